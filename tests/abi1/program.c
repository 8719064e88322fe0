/* A program of ABI 1: every function and every struct of the header beside it, which stays as it was when ABI 1 was declared.
 * tests/test_abi.py runs it with the library of today. The results are exact, whatever the order of sums. */
#include <cpool/cpool.h>

#include <stdio.h>
#include <stdlib.h>

static void check(cpool_status status, const cpool_error *error)
{
    if (status != CPOOL_OK) {
        printf("status %d, role %d: %s\n", (int)status, (int)error->role, error->message);
        exit(1);
    }
}

static cpool_arg array(int32_t role, void *data, uint8_t code, uint8_t bits, int32_t ndim, const int64_t *shape)
{
    cpool_arg arg = {role, 0, {data, shape, NULL, ndim, code, bits, 1, {0, 0, 0, 0}}};
    return arg;
}

static void print(const char *name, const float *values, int n)
{
    printf("%s:", name);
    for (int i = 0; i < n; i++) {
        printf(" %g", (double)values[i]);
    }
    printf("\n");
}

/* Forward and backward of one family; `exec` is by value, its workspace ours. */
#define RUN(family, direction, verb) \
    static void family##_##verb(const cpool_##family##_params *params, const cpool_arg *args, int32_t n, cpool_exec exec) \
    { \
        cpool_error error = CPOOL_ERROR_INIT; \
        cpool_info info = CPOOL_INFO_INIT; \
        check(cpool_##family##_query(params, args, n, direction, exec.workers, &info, &error), &error); \
        exec.workspace = malloc(info.workspace_size + 1); \
        exec.workspace_size = info.workspace_size; \
        exec.workers = info.workers; \
        exec.error = &error; \
        check(cpool_##family##_##verb(params, args, n, &exec), &error); \
        free(exec.workspace); \
    }
RUN(pool, CPOOL_FORWARD, forward)
RUN(pool, CPOOL_BACKWARD, backward)
RUN(norm, CPOOL_FORWARD, forward)
RUN(norm, CPOOL_BACKWARD, backward)

static void pooling(cpool_exec exec)
{
    float x[] = {1, 2, 5, 3, 4, 0, 1, 2, -1, 3, 2, 2, 0, 6, -2, 4}, y[4], dy[] = {1, 2, 3, 4}, dx[16];
    const int64_t plane[] = {4, 4};
    uint8_t taps[4];
    int64_t indices[4];
    cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_shape shape = CPOOL_SHAPE_INIT;
    params.op = CPOOL_MAX;
    params.window[0] = params.window[1] = 3;
    params.stride[0] = params.stride[1] = 2;
    params.pad_before[0] = params.pad_before[1] = params.pad_after[0] = params.pad_after[1] = 1;
    cpool_arg args[] = {array(CPOOL_X, x, CPOOL_FLOAT, 32, 2, plane), array(CPOOL_Y, y, CPOOL_FLOAT, 32, 2, shape.shape),
                        array(CPOOL_TAPS, taps, CPOOL_UINT, 8, 2, shape.shape)};
    check(cpool_pool_describe(&params, args, 1, CPOOL_TAPS, &shape, &error), &error);
    printf("taps: %dx%d of %d %d-bit\n", (int)shape.shape[0], (int)shape.shape[1], shape.dtype_code, shape.dtype_bits);
    pool_forward(&params, args, 3, exec);
    print("max", y, 4);
    args[1] = array(CPOOL_INDICES, indices, CPOOL_INT, 64, 2, shape.shape);
    exec.error = &error;
    check(cpool_taps_to_indices(&params, args, 3, &exec), &error);
    printf("indices: %d %d %d %d\n", (int)indices[0], (int)indices[1], (int)indices[2], (int)indices[3]);
    const cpool_arg back[] = {array(CPOOL_GRAD | CPOOL_X, dx, CPOOL_FLOAT, 32, 2, plane),
                              array(CPOOL_GRAD | CPOOL_Y, dy, CPOOL_FLOAT, 32, 2, shape.shape), args[2]};
    pool_backward(&params, back, 3, exec);
    print("gradient", dx, 16);

    params.divisor = 0;
    params.op = CPOOL_AVG;
    params.flags = CPOOL_DIVISOR;
    cpool_status status = cpool_pool_forward(&params, args, 1, &exec);
    printf("status %d as in the error: %d, role %d, a message: %d\n", (int)status, error.status == (int32_t)status,
           (int)error.role, error.message[0] != 0);
}

static void normalization(cpool_exec exec)
{
    float x[] = {1, 3, 1, 3, -4, 4, 4, -4}, y[8], dy[] = {1, 1, 0, 0, 0, 2, 0, -2}, dx[8];
    double stats[6], moments[8], sums[8], weight[] = {2, 1}, dweight[2];
    const int64_t shape[] = {1, 2, 4}, of_stats[] = {3, 2}, of_moments[] = {4, 2}, channels[] = {2};
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_shape described = CPOOL_SHAPE_INIT;
    params.op = CPOOL_BATCH_NORM;
    params.eps = 0;
    const cpool_arg kept = array(CPOOL_STATS, stats, CPOOL_FLOAT, 64, 2, of_stats);
    const cpool_arg factor = array(CPOOL_WEIGHT, weight, CPOOL_FLOAT, 64, 1, channels);
    const cpool_arg args[] = {array(CPOOL_X, x, CPOOL_FLOAT, 32, 3, shape), factor,
                              array(CPOOL_Y, y, CPOOL_FLOAT, 32, 3, shape), kept,
                              array(CPOOL_MOMENTS, moments, CPOOL_FLOAT, 64, 2, of_moments)};
    check(cpool_norm_describe(&params, args, 1, CPOOL_STATS, &described, &error), &error);
    printf("stats: %dx%d\n", (int)described.shape[0], (int)described.shape[1]);
    norm_forward(&params, args, 5, exec);
    print("batch norm", y, 8);
    const cpool_arg back[] = {args[0],
                              factor,
                              kept,
                              array(CPOOL_GRAD | CPOOL_Y, dy, CPOOL_FLOAT, 32, 3, shape),
                              array(CPOOL_GRAD | CPOOL_X, dx, CPOOL_FLOAT, 32, 3, shape),
                              array(CPOOL_GRAD | CPOOL_WEIGHT, dweight, CPOOL_FLOAT, 64, 1, channels)};
    norm_backward(&params, back, 6, exec);
    print("gradient", dx, 8);
    printf("of the weight: %g %g\n", dweight[0], dweight[1]);
    const cpool_view *part = &args[4].view, whole = array(0, sums, CPOOL_FLOAT, 64, 2, of_moments).view;
    check(cpool_moments_merge(part, part, &whole, &error), &error);
    printf("moments: %g %g, %g %g, %g %g\n", sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]);
}

static void count(void *arg, int64_t lo, int64_t hi, int worker)
{
    for (int64_t i = lo; i < hi; i++) {
        ((signed char *)arg)[i] = (signed char)(worker < 2 ? 1 : 100);
    }
}

int main(void)
{
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_threads *threads = cpool_threads_create(2);
    for (int32_t isa = CPOOL_ISA_SCALAR; isa <= CPOOL_ISA_WASM; isa++) {
        if (cpool_isa_available(isa)) {
            cpool_exec exec = CPOOL_EXEC_INIT;
            exec.isa = isa;
            exec.workers = 2;
            exec.parallel_for = cpool_threads_run;
            exec.parallel_ctx = threads;
            pooling(exec);
            normalization(exec);
        }
    }
    signed char seen[64] = {0};
    int sum = 0;
    cpool_threads_run(threads, 64, 1, count, seen);
    for (int i = 0; i < 64; i++) {
        sum += seen[i];
    }
    printf("threads: %d\n", sum);
    cpool_threads_destroy(threads);
    int32_t best = 0;
    check(cpool_isa_best(&best, &error), &error);
    printf("ABI %d, a version: %d, a name: %d\n", (int)cpool_abi_version(), cpool_version()[0] != 0,
           cpool_isa_name(best) != NULL);
    return 0;
}
