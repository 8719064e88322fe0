/* A program's own threads. The library hands out work by a function that the program gives it; how that is split and in which
 * order it runs is the program's business, and no bit of the result depends on it. */
#include "call.h"

#include <pthread.h>
#include <string.h>

enum { WORKERS = 3 };

typedef struct job {
    void (*body)(void *arg, int64_t lo, int64_t hi, int worker);
    void *arg;
    int64_t lo, hi;
    int worker;
} job;

static void *run_job(void *pointer)
{
    const job *j = (const job *)pointer;
    j->body(j->arg, j->lo, j->hi, j->worker);
    return NULL;
}

/* A part for each worker; the last parts are started first. *ctx counts the calls that were split. */
static void on_own_threads(void *ctx, int64_t n, int64_t grain, void (*body)(void *arg, int64_t lo, int64_t hi, int worker),
                           void *arg)
{
    pthread_t threads[WORKERS];
    job jobs[WORKERS];
    int started[WORKERS];
    int64_t parts = grain < 1 ? n : n / grain;
    if (parts > WORKERS) {
        parts = WORKERS;
    }
    if (parts < 1) {
        parts = 1;
    }
    *(int *)ctx += parts > 1;
    for (int i = (int)parts - 1; i >= 0; i--) {
        const job part = {body, arg, n * i / parts, n * (i + 1) / parts, i};
        jobs[i] = part;
        started[i] = i > 0 && pthread_create(&threads[i], NULL, run_job, &jobs[i]) == 0;
        if (!started[i]) {
            run_job(&jobs[i]);
        }
    }
    for (int i = 1; i < parts; i++) {
        if (started[i]) {
            pthread_join(threads[i], NULL);
        }
    }
}

int main(void)
{
    const int64_t in_shape[] = {4, 32, 112, 112}, out_shape[] = {4, 32, 56, 56};
    const size_t in = (size_t)4 * 32 * 112 * 112, out = in / 4;
    float *x = (float *)allocate(in * sizeof *x), *alone = (float *)allocate(out * sizeof *alone);
    float *together = (float *)allocate(out * sizeof *together);
    for (size_t i = 0; i < in; i++) {
        x[i] = (float)(i * 2654435761u % 1000) / 7.0f;
    }
    cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    params.op = CPOOL_AVG;
    params.window[0] = params.window[1] = 2;

    const cpool_arg one[] = {floats(CPOOL_X, x, 4, in_shape), floats(CPOOL_Y, alone, 4, out_shape)};
    const cpool_arg many[] = {floats(CPOOL_X, x, 4, in_shape), floats(CPOOL_Y, together, 4, out_shape)};
    int split = 0;
    cpool_exec exec = CPOOL_EXEC_INIT;
    exec.parallel_for = on_own_threads;
    exec.parallel_ctx = &split;
    exec.workers = WORKERS;
    pool(&params, one, 2, CPOOL_FORWARD);
    pool_on(&params, many, 2, CPOOL_FORWARD, exec);

    const int same = memcmp(alone, together, out * sizeof *alone) == 0;
    printf("%s, %s bits\n", split > 0 ? "split" : "NOT SPLIT", same ? "the same" : "OTHER");
    free(x);
    free(alone);
    free(together);
    return !(split > 0 && same);
}
