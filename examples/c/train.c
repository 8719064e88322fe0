/* Training: max pooling and batch norm with ReLU, forward and backward, and steps down the gradient of a squared error. The
 * gradient with respect to the input is compared with differences of the loss along it. */
#include "call.h"

#include <math.h>

enum {
    SAMPLES = 4,
    CHANNELS = 3,
    SIZE = 8,
    POOLED = SIZE / 2,
    IN = SAMPLES * CHANNELS * SIZE * SIZE,
    OUT = IN / 4,
    STEPS = 30
};

static const int64_t in_shape[] = {SAMPLES, CHANNELS, SIZE, SIZE}, out_shape[] = {SAMPLES, CHANNELS, POOLED, POOLED},
                     channels[] = {CHANNELS}, stats_shape[] = {3, CHANNELS};

static float x[IN], dx[IN], target[OUT], h[OUT], dh[OUT], y[OUT], dy[OUT];
static float weight[CHANNELS] = {1, 1, 1}, bias[CHANNELS], dweight[CHANNELS], dbias[CHANNELS];
static uint8_t taps[OUT];
static double stats[3 * CHANNELS];

static cpool_pool_params max_pool(void)
{
    cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    params.op = CPOOL_MAX;
    params.window[0] = params.window[1] = 2;
    return params;
}

static cpool_norm_params batch_norm(void)
{
    cpool_norm_params params = CPOOL_NORM_PARAMS_INIT;
    params.op = CPOOL_BATCH_NORM;
    params.flags = CPOOL_RELU;
    return params;
}

/* Half the mean squared error; dy is its gradient. */
static double forward(void)
{
    const cpool_pool_params pool_params = max_pool();
    const cpool_norm_params norm_params = batch_norm();
    const cpool_arg pool_args[] = {floats(CPOOL_X, x, 4, in_shape), floats(CPOOL_Y, h, 4, out_shape),
                                   array(CPOOL_TAPS, taps, CPOOL_UINT, 8, 4, out_shape)};
    const cpool_arg norm_args[] = {floats(CPOOL_X, h, 4, out_shape), floats(CPOOL_WEIGHT, weight, 1, channels),
                                   floats(CPOOL_BIAS, bias, 1, channels), floats(CPOOL_Y, y, 4, out_shape),
                                   array(CPOOL_STATS, stats, CPOOL_FLOAT, 64, 2, stats_shape)};
    pool(&pool_params, pool_args, 3, CPOOL_FORWARD);
    norm(&norm_params, norm_args, 5, CPOOL_FORWARD);
    double loss = 0;
    for (int i = 0; i < OUT; i++) {
        double difference = (double)y[i] - (double)target[i];
        dy[i] = (float)(difference / OUT);
        loss += difference * difference / (2 * OUT);
    }
    return loss;
}

static void backward(void)
{
    const cpool_pool_params pool_params = max_pool();
    const cpool_norm_params norm_params = batch_norm();
    const cpool_arg norm_args[] = {
        floats(CPOOL_GRAD | CPOOL_Y, dy, 4, out_shape),
        floats(CPOOL_X, h, 4, out_shape),
        floats(CPOOL_WEIGHT, weight, 1, channels),
        floats(CPOOL_BIAS, bias, 1, channels),
        array(CPOOL_STATS, stats, CPOOL_FLOAT, 64, 2, stats_shape),
        floats(CPOOL_GRAD | CPOOL_X, dh, 4, out_shape),
        floats(CPOOL_GRAD | CPOOL_WEIGHT, dweight, 1, channels),
        floats(CPOOL_GRAD | CPOOL_BIAS, dbias, 1, channels),
    };
    const cpool_arg pool_args[] = {floats(CPOOL_GRAD | CPOOL_Y, dh, 4, out_shape),
                                   array(CPOOL_TAPS, taps, CPOOL_UINT, 8, 4, out_shape),
                                   floats(CPOOL_GRAD | CPOOL_X, dx, 4, in_shape)};
    norm(&norm_params, norm_args, 8, CPOOL_BACKWARD);
    pool(&pool_params, pool_args, 3, CPOOL_BACKWARD);
}

static float draw(void)
{
    static uint32_t state = 1;
    state = state * UINT32_C(1664525) + UINT32_C(1013904223);
    return (float)(state >> 8) / 16777216.0f - 0.5f;
}

/* The loss where the input is moved by `step` along its gradient. */
static double loss_at(const float *from, const float *along, float step)
{
    for (int i = 0; i < IN; i++) {
        x[i] = from[i] + step * along[i];
    }
    return forward();
}

int main(void)
{
    for (int i = 0; i < IN; i++) {
        x[i] = draw();
    }
    for (int i = 0; i < OUT; i++) {
        target[i] = 2 * draw() + 0.5f;
    }

    forward();
    backward();
    static float from[IN], along[IN];
    double squares = 0;
    for (int i = 0; i < IN; i++) {
        from[i] = x[i];
        along[i] = dx[i];
        squares += (double)dx[i] * (double)dx[i];
    }
    const float step = 1e-2f;
    const double measured = (loss_at(from, along, step) - loss_at(from, along, -step)) / (2 * (double)step);
    const int agree = fabs(measured - squares) <= 1e-2 * squares;
    printf("the gradient with respect to the input %s\n", agree ? "agrees with differences" : "IS WRONG");

    const double before = loss_at(from, along, 0);
    double after = before;
    for (int i = 0; i < STEPS; i++) {
        backward();
        for (int c = 0; c < CHANNELS; c++) {
            weight[c] -= 0.5f * dweight[c];
            bias[c] -= 0.5f * dbias[c];
        }
        after = forward();
    }
    printf("loss %.3f, after %d steps %.3f\n", before, STEPS, after);
    return !(agree && after < before);
}
