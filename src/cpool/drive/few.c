#include "drive/few.h"

#include "dispatch.h"
#include "drive/window.h"
#include "integers.h"
#include "kernels/template.h"

/* Elements that all windows have together at most, and so windows as well. */
enum { FEW = 64 };

enum { X, Y, TAPS, ARRAYS };

int cp_few_plan(cp_few *f, const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    f->fold = pool->array[CPOOL_TAPS] != NULL ? pool->op->tap_fold : pool->op->fold;
    if ((pool->op->family != CP_BEST && pool->op->family != CP_MEAN) || f->fold == CP_MIN || f->fold == CP_MIN_TAP ||
        axis[0].taps != 1 || pool->in[0] != 1 || pool->out[0] != 1) {
        return 0;
    }
    f->planes = 1;
    for (int32_t i = 0; i < pool->batch_count; i++) {
        int64_t length = pool->x_shape[pool->batch[i]];
        f->planes = length > FEW ? FEW + 1 : cp_min64(f->planes * length, FEW + 1);
    }
    for (int a = 1; a < CP_SPACE; a++) {
        if (axis[a].taps > CP_STRIP_SUM || axis[a].dilation != 1 || pool->out[a] > FEW) {
            return 0;
        }
    }
    f->pool = pool;
    f->lane_kind = cp_element_lane(pool);
    return f->planes * pool->out[1] * pool->out[2] * axis[1].taps * axis[2].taps <= FEW;
}

/* Sources of a target along an axis, which there are some of, and what it divides by. */
static cp_span find_span(const cp_pool *pool, int32_t axis, int64_t target, double *count)
{
    *count = pool->op->family == CP_MEAN ? cp_pool_divisor_along(pool, axis, target) : 1;
    return cp_axis_span(&pool->axis[axis], target);
}

void cp_few_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_few *f = arg;
    const cp_pool *pool = f->pool;
    const cpool_view *views[ARRAYS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_TAPS]};
    const int arrays = pool->array[CPOOL_TAPS] != NULL ? ARRAYS : TAPS;
    int64_t strides[ARRAYS][CPOOL_MAX_NDIM], down[ARRAYS] = {0}, along[ARRAYS] = {0};
    (void)lo, (void)hi, (void)worker;
    for (int g = 0; g < arrays; g++) {
        cp_view_strides(views[g], strides[g]);
        down[g] = pool->space[1] < 0 ? 0 : strides[g][pool->space[1]];
        along[g] = strides[g][pool->space[2]];
    }
    cp_strip_row rows[FEW];
    cp_strip_pixel pixels[FEW];
    double count;
    for (int64_t h = 0; h < pool->out[1]; h++) {
        cp_span span = find_span(pool, 1, h, &count);
        rows[h].first = span.first + span.lo;
        rows[h].source = rows[h].first * down[X];
        rows[h].target = h * down[Y];
        rows[h].taps = h * down[TAPS];
        rows[h].rows = (int32_t)(span.hi - span.lo);
        rows[h].tap = (double)(span.lo * pool->axis[2].taps);
        rows[h].count = count;
    }
    for (int64_t i = 0; i < pool->out[2]; i++) {
        cp_span span = find_span(pool, 2, i, &count);
        pixels[i] = (cp_strip_pixel){(span.first + span.lo) * along[X], (int32_t)(span.hi - span.lo), (int32_t)span.lo, count};
    }
    cp_strip strip; /* no initializer, here and above: clearing what is not read takes as long as a window */
    strip.form = CP_STRIP_PIXELS_FRESH;
    strip.rows = rows;
    strip.row_count = pool->out[1];
    strip.source_row = down[X];
    strip.ring_slots = 1;
    strip.ring_pitch = 0;
    strip.begin = 0;
    strip.end = pool->out[2];
    strip.tap_row = pool->axis[2].taps;
    strip.pixels = pixels;
    strip.lanes = 1;
    strip.step_bytes = along[X];
    strip.target_pixel = along[Y];
    strip.taps_pixel = along[TAPS];
    const cp_kernels *kernels = f->engine->kernels;
    (void)cp_dispatch(CPOOL_ISA_SCALAR, &kernels, NULL); /* which is everywhere, and quickest where vectors hold one lane */
    for (int64_t plane = 0; plane < f->planes; plane++) {
        int64_t index = plane, offset[ARRAYS] = {0};
        for (int32_t i = pool->batch_count; i-- > 0;) {
            int64_t at = cp_take_digit(&index, pool->x_shape[pool->batch[i]]);
            for (int g = 0; g < arrays && at > 0; g++) {
                offset[g] += at * strides[g][pool->batch[i]];
            }
        }
        cp_strip_planes planes = {.source = (const char *)views[X]->data + offset[X],
                                  .target = (char *)views[Y]->data + offset[Y],
                                  .taps = arrays > TAPS ? (char *)views[TAPS]->data + offset[TAPS] : NULL,
                                  .count = 1};
        kernels->lane[f->lane_kind]->strip[f->fold](&strip, &planes, NULL);
    }
}
