/* Max pooling with the positions of the maxima, whatever the shapes are: the library is asked for them. */
#include "call.h"

int main(void)
{
    float x[] = {1, 2, 5, 3, 4, 0, 1, 2, -1, 3, 2, 2, 0, 6, -2, 4};
    const int64_t plane[] = {4, 4};
    cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    params.op = CPOOL_MAX;
    params.window[0] = params.window[1] = 3;
    params.stride[0] = params.stride[1] = 2;
    params.pad_before[0] = params.pad_before[1] = params.pad_after[0] = params.pad_after[1] = 1;

    cpool_arg args[3] = {floats(CPOOL_X, x, 2, plane)};
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_shape result = CPOOL_SHAPE_INIT, taps = CPOOL_SHAPE_INIT;
    check(cpool_pool_describe(&params, args, 1, CPOOL_Y, &result, &error), &error);
    check(cpool_pool_describe(&params, args, 1, CPOOL_TAPS, &taps, &error), &error);

    const size_t n = (size_t)(result.shape[0] * result.shape[1]);
    float *y = (float *)allocate(n * sizeof *y);
    void *selected = allocate(n * taps.dtype_bits / 8);
    int64_t *positions = (int64_t *)allocate(n * sizeof *positions);
    args[1] = floats(CPOOL_Y, y, 2, result.shape);
    args[2] = array(CPOOL_TAPS, selected, taps.dtype_code, taps.dtype_bits, 2, taps.shape);
    pool(&params, args, 3, CPOOL_FORWARD);

    cpool_exec exec = CPOOL_EXEC_INIT;
    exec.error = &error;
    args[1] = array(CPOOL_INDICES, positions, CPOOL_INT, 64, 2, result.shape);
    check(cpool_taps_to_indices(&params, args, 3, &exec), &error);
    for (size_t i = 0; i < n; i++) {
        printf("%g at row %d, column %d\n", (double)y[i], (int)(positions[i] / plane[1]), (int)(positions[i] % plane[1]));
    }
    free(y);
    free(selected);
    free(positions);
    return 0;
}
