#include <string.h>

#include "drive/window.h"
#include "kernels/taps.h"

char *cp_work_element(const cp_work *w, int g, int64_t d, int64_t h, int64_t column)
{
    const int64_t *space = w->window->layout.grid[g].space;
    return w->at[g] + d * space[0] + h * space[1] + column * space[2];
}

void cp_work_load(const cp_work *w, int g, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst)
{
    int64_t stride = count > 1 ? step * w->window->layout.grid[g].space[2] : 0; /* one step may be beyond every address */
    w->kernels->load[w->window->pool->dtype](dst, cp_work_element(w, g, d, h, column), count, stride, w->lanes,
                                             w->lane_step[g]);
}

void cp_work_store(const cp_work *w, int g, int64_t d, int64_t h, int64_t column, int64_t count, const void *src)
{
    w->kernels->store[w->window->pool->dtype](cp_work_element(w, g, d, h, column), src, count,
                                              w->window->layout.grid[g].space[2], w->lanes, w->lane_step[g]);
}

void cp_work_columns(cp_work *w, int64_t column, int64_t step, int64_t count)
{
    if (w->count == count && w->column == column && w->step == step) {
        return;
    }
    const cp_pool *pool = w->window->pool;
    for (int64_t i = 0; i < count; i++) {
        w->counts[i] = (double)cp_pool_count_along(pool, 2, column + i * step);
    }
    w->column = column;
    w->step = step;
    w->count = count;
}

double cp_work_row_count(const cp_work *w, int64_t d, int64_t h)
{
    return (double)cp_pool_count_along(w->window->pool, 0, d) * (double)cp_pool_count_along(w->window->pool, 1, h);
}

int64_t cp_work_run_end(const cp_work *w, int64_t from, int64_t count)
{
    int64_t to = from + 1;
    while (to < count && w->counts[to] == w->counts[from]) {
        to++;
    }
    return to;
}

static double divisor(const cp_work *w, double count)
{
    const cpool_pool_params *p = &w->window->pool->params;
    return p->flags & CPOOL_DIVISOR ? p->divisor : count > 0 ? count : 1;
}

void cp_work_divide(cp_work *w, char *row, int64_t d, int64_t h, int64_t count)
{
    double down = cp_work_row_count(w, d, h);
    for (int64_t from = 0, to; from < count; from = to) {
        to = cp_work_run_end(w, from, count);
        w->kernels->divide(row + from * w->lanes * w->window->lane_size, divisor(w, down * w->counts[from]),
                           (to - from) * w->lanes);
    }
}

/* ---- Sources ---- */

void cp_source_x(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst, int64_t pitch)
{
    cp_work *w = context;
    const cp_lp_kernels *lp = w->window->engine->kernels->lp;
    int g = w->recipe->nested ? 2 : 0;
    cp_map map = w->recipe->map;
    /* Maps work in place: they read a lane before they write it. */
    double *row = dst;
    cp_work_load(w, g, d, h, column, step, count, dst);
    if (map == CP_ABSOLUTE) {
        w->kernels->absolute(dst, count * w->lanes);
    } else if (map == CP_POWERS) {
        CP_EACH_EXPONENT(w, count, i, n, lp->map(row + i, pitch, row + i, n, w->exponent));
    } else if (map == CP_ENTROPIES) {
        CP_EACH_EXPONENT(w, count, i, n, lp->map_entropy(row + i, pitch, row + i, n, w->exponent));
    }
}

static void source_mean_gradient(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst,
                                 int64_t pitch)
{
    cp_work *w = context;
    (void)pitch;
    cp_work_load(w, 1, d, h, column, step, count, dst);
    cp_work_columns(w, column, step, count);
    cp_work_divide(w, dst, d, h, count);
}

/* Position in the plane of the first tap of the windows of output row (d, h), without the column. */
static double row_base(const cp_work *w, const cp_axis *axis, int64_t d, int64_t h)
{
    const int64_t *in = w->window->pool->in;
    return ((double)cp_axis_span(&axis[0], d).first * (double)in[1] + (double)cp_axis_span(&axis[1], h).first) * (double)in[2];
}

void cp_work_settle_taps(const cp_work *w, const cp_walk *walk, int64_t d, int64_t h, void *taps)
{
    double first[64];
    const cp_axis *axis = walk->axis;
    int64_t count = walk->targets;
    if (!w->kernels->any_negative(taps, count * w->lanes)) {
        return;
    }
    cp_span deep = cp_axis_span(&axis[0], d), down = cp_axis_span(&axis[1], h);
    double row = ((double)deep.lo * (double)axis[1].taps + (double)down.lo) * (double)axis[2].taps;
    for (int64_t from = 0; from < count; from += 64) {
        int64_t n = count - from < 64 ? count - from : 64;
        for (int64_t i = 0; i < n; i++) {
            cp_span along = walk->spans[from + i];
            int empty = deep.lo == deep.hi || down.lo == down.hi || along.lo == along.hi;
            first[i] = empty ? -1.0 : row + (double)along.lo;
        }
        w->kernels->first_taps((char *)taps + from * w->lanes * w->window->lane_size, first, n, w->lanes);
    }
}

void cp_work_store_indices(const cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count, const char *taps)
{
    const cp_window *window = w->window;
    int64_t tap[64], lanes = w->lanes, piece = 64 / lanes; /* a unit has at most 64 lanes */
    double row = row_base(w, w->axis, d, h);
    for (int64_t from = 0; from < count; from += piece) {
        int64_t n = count - from < piece ? count - from : piece;
        w->kernels->store_taps((char *)tap, 64, taps + from * lanes * window->lane_size, n, lanes * 8, lanes, 8);
        for (int64_t c = 0; c < n; c++) {
            char *at = cp_work_element(w, 2, d, h, column + from + c);
            double first = row + (double)w->walk.spans[from + c].first;
            for (int64_t l = 0; l < lanes; l++) {
                int64_t t = tap[c * lanes + l], index = t < 0 ? -1 : (int64_t)(first + cp_tap_offset(&window->tap_map, t));
                memcpy(at + l * w->lane_step[2], &index, sizeof index);
            }
        }
    }
}

/* One tile of windows of x for source_lp_gradient: their sums, then what they pass to their elements. */
static void inner_windows(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *sum = (double *)(void *)w->inner_result, *dy = (double *)(void *)w->aux;
    int64_t pitch = w->inner.pitch;
    if (w->inner.targets != count || w->inner.first_target != column) {
        cp_walk_tile(&w->inner, column, count, w->lanes);
    }
    cp_walk_fold(&w->inner, d, h, sum);
    cp_work_load(w, 1, d, h, column, 1, count, dy);
    if (w->recipe->map == CP_ABSOLUTE) {
        double row = row_base(w, window->pool->axis, d, h);
        double *taps = sum + pitch;
        cp_work_settle_taps(w, &w->inner, d, h, taps);
        for (int64_t i = 0; i < count * w->lanes; i++) {
            int64_t at = column + i / w->lanes;
            double base = row + (double)cp_axis_span(&window->pool->axis[2], at).first;
            taps[i] = base + cp_tap_offset(&window->tap_map, (int64_t)taps[i]);
        }
        memcpy(sum, dy, (size_t)(count * w->lanes) * sizeof(double));
        return;
    }
    cp_work_columns(w, column, 1, count);
    double down = cp_work_row_count(w, d, h);
    int mean = (window->pool->params.flags & CPOOL_MEAN) != 0;
    for (int64_t from = 0, to; from < count; from = to) {
        to = cp_work_run_end(w, from, count);
        double size = mean ? down * w->counts[from] : 0;
        int64_t at = from * w->lanes;
        CP_EACH_EXPONENT(w, to - from, i, n, lp->window_gradient(sum + at + i, pitch, dy + at + i, n, w->exponent, size));
    }
}

static void source_lp_gradient(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst,
                               int64_t pitch)
{
    cp_work *w = context;
    int64_t piece = step == 1 ? w->inner.width : 1;
    for (int64_t from = 0; from < count; from += piece) {
        int64_t n = count - from < piece ? count - from : piece;
        inner_windows(w, d, h, column + from * step, n);
        for (int r = 0; r < 2; r++) {
            memcpy((double *)dst + r * pitch + from * w->lanes, (double *)(void *)w->inner_result + r * w->inner.pitch,
                   (size_t)(n * w->lanes) * sizeof(double));
        }
    }
}

cp_source cp_work_source(const cp_work *w)
{
    if (w->window->task != CP_TASK_INPUT_GRADIENT) {
        return cp_source_x;
    }
    return w->recipe->nested ? source_lp_gradient : source_mean_gradient;
}
