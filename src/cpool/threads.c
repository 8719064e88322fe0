/* The default thread pool.
 *
 * One atomic word, the gate, is the whole protocol: how many threads are inside the job, whether the job is open to more, and
 * which job it is. The caller fills in the job, opens the gate, works, closes it when no chunk is left and waits for those
 * inside; a thread that wakes up late finds it closed, and nobody waits for it. Fields of the job are written only while the
 * gate is closed and empty, and read only by threads inside.
 *
 * Waiting is a short spin, then a condition variable. Whoever goes to sleep says so (sleepers, caller_sleeps) before it looks a
 * last time, whoever changes the gate looks for sleepers after that: all atomics are sequentially consistent, so one of the two
 * sees the other.
 *
 * Worker ids are given to a thread with its first chunk and the caller has the first chunk of all, so that ids are below the
 * number of chunks as well as below the number of workers: n / grain, rounded up, bounds the ids of a call.
 *
 * A child of fork has none of the threads and may have inherited any state, that of a call in another thread of the parent
 * included. So the pool remembers the process that started its threads and the one that uses it; where these are not the
 * current one nothing of the state counts, and the first parallel call makes it anew. A fork handler would outlive the pool
 * and run in every child. (A descendant with the process id of a dead ancestor goes unnoticed.)
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#if !defined(_WIN32)
#  define _POSIX_C_SOURCE 200809L
#endif

#include "cpool/cpool.h"

#include <stdlib.h>

#if defined(__wasm__) || defined(CPOOL_NO_THREADS)

struct cpool_threads {
    int32_t n;
};

cpool_threads *cpool_threads_create(int32_t n)
{
    cpool_threads *t = n < 1 ? NULL : malloc(sizeof *t);
    if (t) {
        t->n = n;
    }
    return t;
}

void cpool_threads_destroy(cpool_threads *t)
{
    free(t);
}

void cpool_threads_run(void *ctx, int64_t n, int64_t grain, void (*body)(void *arg, int64_t lo, int64_t hi, int worker),
                       void *arg)
{
    (void)ctx;
    (void)grain;
    if (n > 0) {
        body(arg, 0, n, 0);
    }
}

#else

/* ---- The system -------------------------------------------------------------------------------------------------------- */

#  if defined(_MSC_VER) && !defined(__clang__)

#    define WIN32_LEAN_AND_MEAN
#    include <windows.h>

typedef volatile long cp_atomic;

static uint32_t load(cp_atomic *p)
{
    return (uint32_t)ReadAcquire(p);
}

static void store(cp_atomic *p, uint32_t v)
{
    InterlockedExchange(p, (long)v);
}

static uint32_t fetch_add(cp_atomic *p, uint32_t v)
{
    return (uint32_t)InterlockedExchangeAdd(p, (long)v);
}

/* Like C11: on failure *old is what is there. */
static int exchange_if(cp_atomic *p, uint32_t *old, uint32_t v)
{
    uint32_t was = (uint32_t)InterlockedCompareExchange(p, (long)v, (long)*old);
    int done = was == *old;
    *old = was;
    return done;
}

#  else

#    include <stdatomic.h>

typedef _Atomic uint32_t cp_atomic;

static uint32_t load(cp_atomic *p)
{
    return atomic_load(p);
}

static void store(cp_atomic *p, uint32_t v)
{
    atomic_store(p, v);
}

static uint32_t fetch_add(cp_atomic *p, uint32_t v)
{
    return atomic_fetch_add(p, v);
}

static int exchange_if(cp_atomic *p, uint32_t *old, uint32_t v)
{
    return atomic_compare_exchange_strong(p, old, v);
}

#  endif

#  if defined(_WIN32)

#    define WIN32_LEAN_AND_MEAN
#    include <windows.h>

typedef CRITICAL_SECTION cp_mutex;
typedef CONDITION_VARIABLE cp_condition;
typedef HANDLE cp_thread;
#    define THREAD_MAIN static DWORD WINAPI
#    define THREAD_RESULT 0

static void pause_cpu(void)
{
    YieldProcessor();
}

static uint32_t process_id(void)
{
    return 1; /* there is no fork */
}

static void lock(cp_mutex *m)
{
    EnterCriticalSection(m);
}

static void unlock(cp_mutex *m)
{
    LeaveCriticalSection(m);
}

static void wait_for(cp_condition *c, cp_mutex *m)
{
    SleepConditionVariableCS(c, m, INFINITE);
}

static void wake_all(cp_condition *c)
{
    WakeAllConditionVariable(c);
}

static int make_locks(cp_mutex *m, cp_condition *a, cp_condition *b)
{
    InitializeCriticalSection(m);
    InitializeConditionVariable(a);
    InitializeConditionVariable(b);
    return 1;
}

static void end_locks(cp_mutex *m, cp_condition *a, cp_condition *b)
{
    (void)a;
    (void)b;
    DeleteCriticalSection(m);
}

/* How many of n threads could be started. */
static int32_t start_threads(cp_thread *thread, int32_t n, DWORD(WINAPI *run)(void *), void *arg)
{
    int32_t k = 0;
    while (k < n && (thread[k] = CreateThread(NULL, 0, run, arg, 0, NULL)) != NULL) {
        k++;
    }
    return k;
}

static void join_thread(cp_thread thread)
{
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

#  else

#    include <pthread.h>
#    include <signal.h>
#    include <string.h>
#    include <unistd.h>
#    if defined(__SSE2__)
#      include <emmintrin.h>
#    endif

typedef pthread_mutex_t cp_mutex;
typedef pthread_cond_t cp_condition;
typedef pthread_t cp_thread;
#    define THREAD_MAIN static void *
#    define THREAD_RESULT NULL

static void pause_cpu(void)
{
#    if defined(__SSE2__)
    _mm_pause();
#    elif defined(__aarch64__)
    __asm__ volatile("yield");
#    endif
}

static uint32_t process_id(void)
{
    return (uint32_t)getpid();
}

static void lock(cp_mutex *m)
{
    pthread_mutex_lock(m);
}

static void unlock(cp_mutex *m)
{
    pthread_mutex_unlock(m);
}

static void wait_for(cp_condition *c, cp_mutex *m)
{
    pthread_cond_wait(c, m);
}

static void wake_all(cp_condition *c)
{
    pthread_cond_broadcast(c);
}

/* In the child of a fork the storage holds objects that threads of the parent may have been using: it is wiped, the old objects
 * are not touched by any call. */
static int make_locks(cp_mutex *m, cp_condition *a, cp_condition *b)
{
    memset(m, 0, sizeof *m);
    memset(a, 0, sizeof *a);
    memset(b, 0, sizeof *b);
    return !pthread_mutex_init(m, NULL) && !pthread_cond_init(a, NULL) && !pthread_cond_init(b, NULL);
}

static void end_locks(cp_mutex *m, cp_condition *a, cp_condition *b)
{
    pthread_cond_destroy(b);
    pthread_cond_destroy(a);
    pthread_mutex_destroy(m);
}

/* How many of n threads could be started. Signals are for the threads of the application; but faults belong to the thread that
 * makes them, and blocked ones would kill the process without its handler. */
static int32_t start_threads(cp_thread *thread, int32_t n, void *(*run)(void *), void *arg)
{
    sigset_t blocked, old;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    int32_t k = 0;
    while (k < n && !pthread_create(&thread[k], NULL, run, arg)) {
        k++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return k;
}

static void join_thread(cp_thread thread)
{
    pthread_join(thread, NULL);
}

#  endif

/* ---- The pool ---------------------------------------------------------------------------------------------------------- */

/* The gate, from the low bits up: threads inside, two flags, the number of the job (which may wrap: a thread that slept through
 * all the numbers misses one job, which is done without it). */
#  define INSIDE UINT32_C(0xFFFF)
#  define OPEN UINT32_C(0x10000)
#  define STOP UINT32_C(0x20000)
#  define JOB UINT32_C(0x40000)
#  define JOB_NUMBER (~(JOB - 1))

enum {
    MAX_THREADS = 0xFFFF, /* that the gate can count */
    SPINS = 2000,         /* some 10 to 100 us: longer than from one parallel loop of a call to the next */
    CHUNKS_PER_WORKER = 4
};

struct cpool_threads {
    int32_t n;       /* workers, the caller included */
    int32_t started; /* threads that run, in the process that started them */
    uint32_t process;
    cp_atomic busy; /* the process in which a call uses the pool: what a child inherits is not its own and counts as 0 */
    cp_atomic gate;
    cp_atomic sleepers, caller_sleeps;
    cp_mutex mutex;
    cp_condition opened, emptied;

    void (*body)(void *arg, int64_t lo, int64_t hi, int worker);
    void *arg;
    int64_t size, chunk;
    uint32_t chunks;
    cp_atomic next_chunk, next_worker;

    cp_thread thread[]; /* n - 1 */
};

static void work(cpool_threads *t, uint32_t chunk, uint32_t worker)
{
    for (; chunk < t->chunks; chunk = fetch_add(&t->next_chunk, 1)) {
        int64_t lo = (int64_t)chunk * t->chunk;
        int64_t hi = t->size - lo > t->chunk ? lo + t->chunk : t->size;
        t->body(t->arg, lo, hi, (int)worker);
    }
}

/* Is the gate open to a thread that took part in job `seen` last? */
static int is_open(uint32_t gate, uint32_t seen)
{
    return (gate & OPEN) && (gate & JOB_NUMBER) != seen;
}

/* Returns a gate that is open, or has STOP. */
static uint32_t wait_for_job(cpool_threads *t, uint32_t seen)
{
    uint32_t gate = load(&t->gate);
    for (int i = 0; i < SPINS && !(gate & STOP) && !is_open(gate, seen); i++) {
        pause_cpu();
        gate = load(&t->gate);
    }
    if ((gate & STOP) || is_open(gate, seen)) {
        return gate;
    }
    lock(&t->mutex);
    fetch_add(&t->sleepers, 1);
    gate = load(&t->gate);
    while (!(gate & STOP) && !is_open(gate, seen)) {
        wait_for(&t->opened, &t->mutex);
        gate = load(&t->gate);
    }
    fetch_add(&t->sleepers, UINT32_MAX);
    unlock(&t->mutex);
    return gate;
}

THREAD_MAIN thread_main(void *arg)
{
    cpool_threads *t = arg;
    uint32_t seen = 0;
    for (;;) {
        uint32_t gate = wait_for_job(t, seen);
        if (gate & STOP) {
            return THREAD_RESULT;
        }
        if (!exchange_if(&t->gate, &gate, gate + 1)) {
            continue;
        }
        seen = gate & JOB_NUMBER;
        uint32_t chunk = fetch_add(&t->next_chunk, 1);
        if (chunk < t->chunks) {
            work(t, chunk, fetch_add(&t->next_worker, 1));
        }
        gate = fetch_add(&t->gate, UINT32_MAX) - 1;
        if (!(gate & (INSIDE | OPEN)) && load(&t->caller_sleeps)) {
            lock(&t->mutex);
            unlock(&t->mutex);
            wake_all(&t->emptied);
        }
    }
}

/* The caller has the pool to itself. */
static void start(cpool_threads *t, uint32_t process)
{
    t->process = process;
    t->started = 0;
    store(&t->gate, 0);
    store(&t->sleepers, 0);
    store(&t->caller_sleeps, 0);
    if (!make_locks(&t->mutex, &t->opened, &t->emptied)) {
        return;
    }
    t->started = start_threads(t->thread, t->n - 1, thread_main, t);
    if (t->started == 0) {
        end_locks(&t->mutex, &t->opened, &t->emptied);
    }
}

/* 0 if the call is to run serially. */
static int take(cpool_threads *t)
{
    uint32_t process = process_id(), owner = load(&t->busy);
    if (owner == process || !exchange_if(&t->busy, &owner, process)) {
        return 0;
    }
    if (t->process != process) {
        start(t, process);
    }
    if (t->started == 0) {
        store(&t->busy, 0);
        return 0;
    }
    return 1;
}

static void open_gate(cpool_threads *t)
{
    store(&t->gate, load(&t->gate) + JOB + OPEN);
    if (load(&t->sleepers)) {
        lock(&t->mutex);
        unlock(&t->mutex);
        wake_all(&t->opened);
    }
}

static void close_gate(cpool_threads *t)
{
    uint32_t gate = fetch_add(&t->gate, 0 - OPEN);
    for (int i = 0; i < SPINS && (gate & INSIDE); i++) {
        pause_cpu();
        gate = load(&t->gate);
    }
    if (gate & INSIDE) {
        lock(&t->mutex);
        /* Not a store: qemu 7.2 lets those of ARM pass the load behind them, sequentially consistent or not. */
        fetch_add(&t->caller_sleeps, 1);
        while (load(&t->gate) & INSIDE) {
            wait_for(&t->emptied, &t->mutex);
        }
        store(&t->caller_sleeps, 0);
        unlock(&t->mutex);
    }
}

cpool_threads *cpool_threads_create(int32_t n)
{
    if (n < 1) {
        return NULL;
    }
    if (n > MAX_THREADS) {
        n = MAX_THREADS;
    }
    cpool_threads *t = calloc(1, sizeof *t + (size_t)n * sizeof t->thread[0]);
    if (t) {
        t->n = n;
    }
    return t;
}

void cpool_threads_destroy(cpool_threads *t)
{
    if (t && t->started && t->process == process_id()) {
        lock(&t->mutex);
        fetch_add(&t->gate, STOP);
        unlock(&t->mutex);
        wake_all(&t->opened);
        for (int32_t k = 0; k < t->started; k++) {
            join_thread(t->thread[k]);
        }
        end_locks(&t->mutex, &t->opened, &t->emptied);
    }
    free(t);
}

/* A call that finds the pool busy has arguments, and workspace, of its own: worker 0 of one call is not worker 0 of another. */
void cpool_threads_run(void *ctx, int64_t n, int64_t grain, void (*body)(void *arg, int64_t lo, int64_t hi, int worker),
                       void *arg)
{
    cpool_threads *t = ctx;
    if (n <= 0) {
        return;
    }
    if (n <= grain || n == 1 || t->n == 1 || !take(t)) {
        body(arg, 0, n, 0);
        return;
    }
    int64_t chunk = (n - 1) / ((t->started + 1) * CHUNKS_PER_WORKER) + 1;
    t->chunk = chunk > grain ? chunk : grain;
    t->chunks = (uint32_t)((n - 1) / t->chunk + 1);
    t->size = n;
    t->body = body;
    t->arg = arg;
    store(&t->next_chunk, 1);
    store(&t->next_worker, 1);
    open_gate(t);
    work(t, 0, 0);
    close_gate(t);
    store(&t->busy, 0);
}

#endif
