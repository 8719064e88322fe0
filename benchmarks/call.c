/* What a call costs beside the work: max pooling 2x2 of small planes, the time of one call in the best of many rounds.
 *
 *     cc -O2 -Iexamples/c benchmarks/call.c $(python -m cpool --cflags --libs) -o call && ./call
 *
 * An argument is the number of rounds. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "call.h"

enum { CALLS = 300, ROUNDS = 3000, LARGEST = 64 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    static float x[LARGEST * LARGEST], y[LARGEST * LARGEST / 4];
    const int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    for (int i = 0; i < LARGEST * LARGEST; i++) {
        x[i] = (float)(i * 7919 % 1009);
    }
    for (int64_t side = 4; side <= LARGEST; side *= 2) {
        const int64_t plane[] = {1, 1, side, side}, result[] = {1, 1, side / 2, side / 2};
        cpool_arg args[] = {floats(CPOOL_X, x, 4, plane), floats(CPOOL_Y, y, 4, result)};
        cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
        cpool_error error = CPOOL_ERROR_INIT;
        cpool_info info = CPOOL_INFO_INIT;
        cpool_exec exec = CPOOL_EXEC_INIT;
        params.op = CPOOL_MAX;
        params.window[0] = params.window[1] = 2;
        check(cpool_pool_query(&params, args, 2, CPOOL_FORWARD, 1, &info, &error), &error);
        exec.workspace = allocate(info.workspace_size);
        exec.workspace_size = info.workspace_size;
        exec.error = &error;
        double best = 1e30;
        for (int round = 0; round < rounds; round++) {
            const double begin = now();
            for (int i = 0; i < CALLS; i++) {
                check(cpool_pool_forward(&params, args, 2, &exec), &error);
            }
            const double each = (now() - begin) / CALLS;
            best = each < best ? each : best;
        }
        printf("%d x %d: %.0f ns\n", (int)side, (int)side, best);
        free(exec.workspace);
    }
    return 0;
}
