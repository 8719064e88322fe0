#include "drive/shares.h"

#include "drive/window.h"

/* Whether element i is in the results i + pad - (window - 1) to i + pad, as far as there are any, and in one at least: behind a
 * single result there may be elements that none holds. */
static int suits_axis(const cp_axis *axis)
{
    int all = axis->stride == 1 || (axis->targets == 1 && axis->sources <= axis->window - axis->pad);
    return axis->kind == CP_AXIS_SLIDING && axis->dilation == 1 && axis->pad < axis->window && all;
}

static int suits(const cp_pool *pool)
{
    for (int s = 0; s < CP_SPACE; s++) {
        if (!suits_axis(&pool->axis[s])) {
            return 0;
        }
    }
    return pool->op->family == CP_MEAN && pool->in[0] == 1 && pool->out[0] == 1 && pool->axis[0].window == 1;
}

int cp_shares_plan(cp_shares *shares, const cp_pool *pool)
{
    cp_pool *sum = &shares->sum;
    if (!suits(pool)) {
        return 0;
    }
    *sum = *pool;
    sum->params.flags = CPOOL_DIVISOR;
    sum->params.divisor = 1;
    sum->array = sum->args.array;
    sum->grad = sum->args.grad;
    sum->array[CPOOL_X] = pool->grad[CPOOL_Y];
    sum->array[CPOOL_Y] = pool->grad[CPOOL_X];
    for (int s = 0; s < CP_SPACE; s++) {
        const cp_axis *axis = &pool->axis[s];
        sum->in[s] = sum->padded_end[s] = pool->out[s];
        sum->out[s] = pool->in[s];
        sum->axis[s] = cp_axis_sliding(pool->out[s], pool->in[s], axis->window, 1, 1, axis->window - 1 - axis->pad);
    }
    return cp_window_lane(sum, sum->axis) == cp_window_lane(pool, pool->axis) && cp_strips_plan(&shares->strips, sum, pool);
}

void cp_shares_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    cp_shares *shares = arg;
    cp_strips_run(&shares->strips, lo, hi, worker);
}
