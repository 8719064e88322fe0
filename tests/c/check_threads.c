/* The default thread pool: coverage, worker ids, nesting, several callers, fork, latency.
 *
 *     cc -std=c11 -O2 -Iinclude tests/c/check_threads.c src/cpool/threads.c -o check_threads -lpthread && ./check_threads
 *
 * --no-fork: without the parts that fork.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L

#include "cpool/cpool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#  define SANITIZED 1
#elif defined(__has_feature)
#  if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#    define SANITIZED 1
#  endif
#endif

#if defined(SANITIZED)
/* Children of a threaded process start threads here: that is what is tested. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

enum { MAX_WORKERS = 16, MAX_SIZE = 100003 };

static atomic_int passed, failed;

static void check(int ok, const char *what)
{
    if (ok) {
        passed++;
    } else {
        failed++;
        printf("FAILED: %s\n", what);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* ---- Coverage and worker ids ------------------------------------------------------------------------------------------- */

typedef struct job {
    int64_t n, grain;
    int workers;
    unsigned char *hits;           /* n, or NULL */
    char scratch[MAX_WORKERS][64]; /* not atomic: two bodies with one id are a race that TSan sees */
    atomic_int inside[MAX_WORKERS];
    atomic_int wrong, bodies;
    atomic_llong covered;
    int work;
} job;

static void job_body(void *arg, int64_t lo, int64_t hi, int worker)
{
    job *j = arg;
    if (worker < 0 || worker >= j->workers || lo < 0 || lo >= hi || hi > j->n || (hi - lo < j->grain && hi < j->n) ||
        (j->grain > 0 && worker > (j->n - 1) / j->grain)) {
        j->wrong++;
        return;
    }
    if (atomic_exchange(&j->inside[worker], 1)) {
        j->wrong++;
    }
    memset(j->scratch[worker], worker, sizeof j->scratch[worker]);
    for (int64_t i = lo; j->hits && i < hi; i++) {
        j->hits[i]++;
    }
    for (volatile int i = 0; i < j->work; i++) {
    }
    j->bodies++;
    j->covered += hi - lo;
    j->inside[worker] = 0;
}

static int run_job(cpool_threads *t, job *j, int workers, int64_t n, int64_t grain)
{
    j->n = n;
    j->grain = grain;
    j->workers = workers;
    j->wrong = j->bodies = 0;
    j->covered = 0;
    if (j->hits && n > 0) {
        memset(j->hits, 0, (size_t)n);
    }
    cpool_threads_run(t, n, grain, job_body, j);
    for (int64_t i = 0; j->hits && i < n; i++) {
        if (j->hits[i] != 1) {
            return 0;
        }
    }
    return !j->wrong && j->covered == (n > 0 ? n : 0) && (n > grain || j->bodies == (n > 0));
}

static void check_coverage(void)
{
    static unsigned char hits[MAX_SIZE];
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 8, 9, 31, 100, 1000, 4097, MAX_SIZE};
    static const int workers[] = {1, 2, 3, 4, 7, MAX_WORKERS};
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
        cpool_threads *t = cpool_threads_create(workers[w]);
        static job j;
        j.hits = hits;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t n = sizes[s], grains[] = {-5, 0, 1, 2, 7, 64, 1000, n - 1, n, n + 1, INT64_MAX};
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                for (int repeat = 0; repeat < 2; repeat++) {
                    check(run_job(t, &j, workers[w], n, grains[g]), "coverage");
                }
            }
        }
        j.hits = NULL;
        check(run_job(t, &j, workers[w], INT64_MAX, 1), "2^63 - 1 elements");
        check(run_job(t, &j, workers[w], INT64_MAX, INT64_MAX - 1), "2^63 - 1 elements in two");
        check(run_job(t, &j, workers[w], -7, -9) && j.bodies == 0, "negative size");
        cpool_threads_destroy(t);
    }
    check(cpool_threads_create(0) == NULL && cpool_threads_create(-1) == NULL, "less than one worker");
    cpool_threads_destroy(NULL);
    cpool_threads_destroy(cpool_threads_create(8));
}

static void check_exclusive(void)
{
    static job j;
    cpool_threads *t = cpool_threads_create(MAX_WORKERS);
    j.work = 300;
    for (int i = 0; i < 500; i++) {
        check(run_job(t, &j, MAX_WORKERS, 64, 1), "one body per worker id");
    }
    cpool_threads_destroy(t);
}

/* ---- Truly parallel ---------------------------------------------------------------------------------------------------- */

/* Bodies that wait for each other, for a while: only threads of their own meet. */
typedef struct meeting {
    atomic_int arrived;
    int wanted, patient; /* patient: gives the processor away */
} meeting;

static void meeting_body(void *arg, int64_t lo, int64_t hi, int worker)
{
    meeting *m = arg;
    (void)lo;
    (void)hi;
    (void)worker;
    m->arrived++;
    for (double start = now(); m->arrived < m->wanted && now() - start < 20;) {
        if (m->patient) {
            sleep_us(20);
        }
    }
}

static int meets(cpool_threads *t, int workers)
{
    meeting m = {0, workers, 1};
    double start = now();
    cpool_threads_run(t, workers, 1, meeting_body, &m);
    return m.arrived == workers && now() - start < 20;
}

static void check_parallel(void)
{
    for (int workers = 2; workers <= 8; workers *= 2) {
        cpool_threads *t = cpool_threads_create(workers);
        for (int i = 0; i < 10; i++) {
            check(meets(t, workers), "all workers at once");
        }
        cpool_threads_destroy(t);
    }
}

/* ---- Nested calls ------------------------------------------------------------------------------------------------------ */

typedef struct nest {
    cpool_threads *threads;
    atomic_int wrong;
    atomic_llong covered;
} nest;

typedef struct inner {
    pthread_t thread;
    int wrong;
    int64_t covered;
} inner;

static void inner_body(void *arg, int64_t lo, int64_t hi, int worker)
{
    inner *i = arg;
    i->wrong |= worker != 0 || !pthread_equal(i->thread, pthread_self());
    i->covered += hi - lo;
}

static void outer_body(void *arg, int64_t lo, int64_t hi, int worker)
{
    nest *o = arg;
    (void)worker;
    for (int64_t k = lo; k < hi; k++) {
        inner i = {pthread_self(), 0, 0};
        cpool_threads_run(o->threads, 100, 1, inner_body, &i);
        o->wrong |= i.wrong;
        o->covered += i.covered;
    }
}

static void check_nested(void)
{
    nest o = {cpool_threads_create(4), 0, 0};
    for (int i = 0; i < 200; i++) {
        o.covered = 0;
        cpool_threads_run(o.threads, 50, 1, outer_body, &o);
        check(!o.wrong && o.covered == 5000, "nested calls run on their own thread");
    }
    cpool_threads_destroy(o.threads);
}

/* ---- Several callers --------------------------------------------------------------------------------------------------- */

typedef struct caller {
    cpool_threads *threads;
    atomic_int *stop; /* or NULL: a fixed number of calls */
    int wrong, workers;
    atomic_int calls;
} caller;

static void *caller_main(void *arg)
{
    caller *c = arg;
    unsigned char hits[500];
    job *j = calloc(1, sizeof *j);
    if (!j) {
        c->wrong++;
        return NULL;
    }
    j->hits = hits;
    j->work = 20;
    for (int i = 0; c->stop ? !*c->stop : i < 1000; i++) {
        c->wrong += !run_job(c->threads, j, c->workers, 1 + i % 500, 1 + i % 3);
        c->calls++;
    }
    free(j);
    return NULL;
}

static void check_callers(void)
{
    cpool_threads *t = cpool_threads_create(3);
    caller c[4];
    pthread_t thread[4];
    for (int k = 0; k < 4; k++) {
        c[k] = (caller){.threads = t, .workers = 3};
        check(!pthread_create(&thread[k], NULL, caller_main, &c[k]), "pthread_create");
    }
    for (int k = 0; k < 4; k++) {
        pthread_join(thread[k], NULL);
        check(!c[k].wrong, "four callers at once");
    }
    check(meets(t, 3), "parallel again after that");
    cpool_threads_destroy(t);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------------- */

static int child_result(pid_t child)
{
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Of a child, to check that it works in parallel; depth more generations follow. */
static int child_work(cpool_threads *t, int workers, int depth)
{
    static job j;
    static unsigned char hits[1000];
    int ok = 1;
    j.hits = hits;
    for (int i = 0; i < 20; i++) {
        ok &= run_job(t, &j, workers, 1000, 1);
    }
    ok &= meets(t, workers);
    if (depth > 0) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(!child_work(t, workers, depth - 1));
        }
        ok &= child_result(child) && meets(t, workers);
    }
    cpool_threads_destroy(t);
    return ok;
}

static void check_fork_once(cpool_threads *t, int workers, int i, const char *what)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* its default action ends a child that hangs */
        if (i % 4 == 3) {
            cpool_threads_destroy(t);
            _exit(0);
        }
        _exit(!child_work(t, workers, i % 4 == 2 ? 2 : 0));
    }
    check(child_result(child), what);
}

static void check_fork(void)
{
#if defined(__SANITIZE_THREAD__)
    printf("fork: not with gcc's thread sanitizer, which ends a child whose threads reuse addresses (clang's does not)\n");
    return;
#endif
    cpool_threads *t = cpool_threads_create(3);
    check_fork_once(t, 3, 0, "fork before the first call");
    for (int i = 0; i < 20; i++) {
        check(meets(t, 3), "parallel in the parent");
        check_fork_once(t, 3, i, "fork of an idle pool");
    }
    atomic_int stop = 0;
    caller c[3];
    pthread_t thread[3];
    for (int k = 0; k < 3; k++) {
        c[k] = (caller){.threads = t, .stop = &stop, .workers = 3};
        check(!pthread_create(&thread[k], NULL, caller_main, &c[k]), "pthread_create");
    }
    /* Threads that start allocate, and AddressSanitizer's allocator hands a lock that is
     * held to the child, which waits for ever. */
    for (int k = 0; k < 3; k++) {
        for (double start = now(); !c[k].calls && now() - start < 20;) {
            sleep_us(20);
        }
        check(c[k].calls > 0, "callers start");
    }
    for (int i = 0; i < 20; i++) {
        sleep_us(200 + 37 * i);
        check_fork_once(t, 3, i, "fork of a pool at work");
    }
    stop = 1;
    for (int k = 0; k < 3; k++) {
        pthread_join(thread[k], NULL);
        check(!c[k].wrong, "callers during forks");
    }
    check(meets(t, 3), "parallel after forks");
    cpool_threads_destroy(t);
}

/* ---- Signals and failures ---------------------------------------------------------------------------------------------- */

static pthread_t main_thread;
static atomic_int signals, elsewhere;

static void on_signal(int number)
{
    (void)number;
    signals++;
    elsewhere += !pthread_equal(pthread_self(), main_thread);
}

static void check_signals(void)
{
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, &old);
    main_thread = pthread_self();
    cpool_threads *t = cpool_threads_create(4);
    check(meets(t, 4), "threads run");
    sigset_t usr1, pending;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    kill(getpid(), SIGUSR1);
    sleep_us(2000);
    sigpending(&pending);
    check(!signals && sigismember(&pending, SIGUSR1), "workers take no signals");
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    check(signals == 1 && !elsewhere, "the application does");
    cpool_threads_destroy(t);
    sigaction(SIGUSR1, &old, NULL);
}

/* Address space for a few stacks only. Comes first: stacks of threads that have ended are used again. */
static void check_short_of_threads(void)
{
#if !defined(SANITIZED)
    for (int stacks = 0; stacks < 2; stacks++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            static job j;
            cpool_threads *t = cpool_threads_create(MAX_WORKERS);
            struct rlimit limit = {0, 0};
            limit.rlim_cur = limit.rlim_max = stacks ? 40u << 20 : 1;
            setrlimit(RLIMIT_AS, &limit);
            int ok = 1;
            for (int i = 0; i < 20; i++) {
                ok &= run_job(t, &j, MAX_WORKERS, 1000, 1);
                ok &= stacks ? j.bodies > 1 && j.bodies < MAX_WORKERS * 4 : j.bodies == 1;
            }
            cpool_threads_destroy(t);
            _exit(!ok);
        }
        check(child_result(child), stacks ? "few threads could be started" : "no thread could be started");
    }
#endif
}

/* ---- Latency ----------------------------------------------------------------------------------------------------------- */

static void empty_body(void *arg, int64_t lo, int64_t hi, int worker)
{
    (void)arg;
    (void)lo;
    (void)hi;
    (void)worker;
}

/* both: until two workers have met, not only until the caller has done it all. */
static void print_latency(const char *what, cpool_threads *t, int64_t n, int both, int repeats, long idle_us)
{
    double best = 1, sum = 0, end = now() + 0.5; /* a busy machine may take milliseconds for each */
    int runs = 0;
    for (; runs < repeats && now() < end; runs++) {
        if (idle_us) {
            sleep_us(idle_us);
        }
        meeting m = {0, 2, 0};
        double start = now();
        cpool_threads_run(t, n, 1, both ? meeting_body : empty_body, &m);
        double time = now() - start;
        best = time < best ? time : best;
        sum += time;
    }
    printf("%-40s best %7.2f us, mean %7.2f us\n", what, best * 1e6, sum / runs * 1e6);
}

static void latency(void)
{
    cpool_threads *t = cpool_threads_create(2);
    print_latency("serial (n = grain)", t, 1, 0, 20000, 0);
    print_latency("2 workers, back to back", t, 2, 0, 20000, 0);
    print_latency("2 workers, after 1 ms", t, 2, 0, 300, 1000);
    print_latency("2 workers that meet, back to back", t, 2, 1, 20000, 0);
    print_latency("2 workers that meet, after 1 ms", t, 2, 1, 300, 1000);
    print_latency("2 workers that meet, after 20 ms", t, 2, 1, 20, 20000);
    cpool_threads_destroy(t);
}

int main(int argc, char **argv)
{
    const int forks = argc < 2 || strcmp(argv[1], "--no-fork") != 0;
    if (forks) {
        check_short_of_threads();
        check_fork();
    }
    check_coverage();
    check_exclusive();
    check_parallel();
    check_nested();
    check_callers();
    check_signals();
    latency();
    printf("%d passed, %d failed%s\n", passed, failed, forks ? "" : ", without forks");
    return failed != 0;
}
