#include "drive/ranked.h"

#include <string.h>

#include "integers.h"
#include "kernels/template.h"
#include "plan/parameters.h"

enum { MOST_COLUMNS = 1024, LEAST_LANES = 16, MOST_LANES = 512, UNIT = 64 * 1024, ROWS_AHEAD = 8 };

int cp_ranked_plan(cp_ranked *p, const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    const cpool_view *weight = pool->array[CPOOL_WEIGHT];
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y]};
    if (pool->op->code != CPOOL_RANK || pool->dtype != CP_DTYPE_f32 || cp_parameter_per_channel(pool, weight) ||
        pool->window_taps < 2 || pool->window_taps > CP_RANKED || pool->in[0] != 1 || pool->out[0] != 1) {
        return 0;
    }
    for (int a = 1; a < CP_SPACE; a++) {
        if (axis[a].kind != CP_AXIS_SLIDING || (axis[a].dilation != 1 && axis[a].taps > 1) || axis[a].pad != 0 ||
            (axis[a].targets - 1) * axis[a].stride + axis[a].taps > axis[a].sources) {
            return 0;
        }
    }
    p->pool = pool;
    p->taps = axis[1].taps * axis[2].taps;
    cp_layout_make(&p->layout, pool, views, 0);
    if (cp_layout_planes(&p->layout) == 0) {
        return 0;
    }
    cp_layout_take_pixels(&p->layout, LEAST_LANES);
    p->lanes = cp_min64(p->layout.lanes, MOST_LANES);
    p->columns = cp_min64(pool->out[2], cp_max64(1, MOST_COLUMNS / p->lanes));
    p->rows = cp_min64(pool->out[1], cp_max64(1, UNIT / (p->columns * p->lanes * (int64_t)sizeof(float))));
    p->groups = cp_ceil_div(p->layout.lanes, p->lanes);
    p->strips = cp_ceil_div(pool->out[2], p->columns);
    p->blocks = cp_ceil_div(pool->out[1], p->rows);
    p->units = p->layout.outer * p->groups * p->strips * p->blocks;
    p->line_bytes = cp_row_bytes(p->columns * p->lanes, sizeof(float));
    p->bytes = CP_LINE + (1 + CP_RANKED) * p->line_bytes;
    return 1;
}

cp_cost cp_ranked_cost(const cp_ranked *p)
{
    const int64_t *out = p->pool->out;
    return (cp_cost){p->bytes, 0, (double)out[1] * (double)out[2] * (double)cp_layout_planes(&p->layout) * 2.0};
}

/* What a worker holds: whether results are left, where the caller finds it, and rows. */
typedef struct cp_ranked_work {
    const cp_ranked *plan;
    const cp_lane_kernels *kernels;
    int32_t *left;
    char *lines; /* the result, then each tap */
} cp_ranked_work;

/* Tells memory what will be read and written ROWS_AHEAD of a row, where these lie side by side; other bytes do no harm. */
CP_TEMPLATE void expect_row(const cp_ranked_work *work, const char *x, const char *y, int64_t columns, int64_t lanes)
{
    const cp_ranked *p = work->plan;
    const cp_axis *axis = p->pool->axis;
    const cp_grid *from = &p->layout.grid[0], *to = &p->layout.grid[1];
    int64_t results = columns * lanes * (int64_t)sizeof(float), down = cp_axis_stride(&axis[1]),
            across = cp_axis_stride(&axis[2]);
    for (int64_t a = 0; a < down && a < axis[1].taps; a++) {
        for (int64_t byte = 0; byte < results * across; byte += CP_LINE) {
            CP_PREFETCH(x + (ROWS_AHEAD * down + a) * from->space[1] + byte);
        }
    }
    for (int64_t byte = 0; byte < results; byte += CP_LINE) {
        CP_PREFETCH_WRITE(y + ROWS_AHEAD * to->space[1] + byte);
    }
}

/* A row of results: columns `column` on, of `lanes` lanes; x and y are its plane and first lane. */
static void rank_row(const cp_ranked_work *work, const char *x, char *y, int64_t h, int64_t column, int64_t lanes)
{
    const cp_ranked *p = work->plan;
    const cp_axis *axis = p->pool->axis;
    const cp_grid *from = &p->layout.grid[0], *to = &p->layout.grid[1];
    int together = p->layout.lane >= 0;
    int64_t columns = cp_min64(p->columns, p->pool->out[2] - column), t = 0;
    int64_t stride = cp_axis_stride(&axis[2]), step = stride * from->space[2];
    int64_t lane_step = together ? to->batch[p->layout.lane] : 0;
    cp_ranked_row row = {{NULL}, step, columns, lanes, {0}, (float *)(void *)work->lines};
    memcpy(row.weight, p->weight, sizeof row.weight);
    x += h * cp_axis_stride(&axis[1]) * from->space[1] + column * step;
    y += h * to->space[1] + column * to->space[2];
    for (int64_t a = 0; a < axis[1].taps; a++) {
        for (int64_t b = 0; b < axis[2].taps; b++, t++) {
            row.tap[t] = x + a * from->space[1] + b * from->space[2];
            if (!together && step != from->item) {
                char *line = work->lines + (1 + (size_t)t) * p->line_bytes;
                if (from->space[2] == from->item && stride == 2 && axis[2].taps == 2) {
                    if (b == 0) {
                        work->kernels->halve(line, line + p->line_bytes, row.tap[t], 2 * columns);
                    }
                } else if (from->space[2] == from->item) {
                    work->kernels->stride(line, row.tap[t], stride, columns);
                } else {
                    work->kernels->load[p->pool->dtype](line, row.tap[t], columns, step, 1, 0);
                }
                row.tap[t] = line;
            }
        }
    }
    if (h + ROWS_AHEAD < p->pool->out[1]) {
        expect_row(work, x, y, columns, lanes);
    }
    int in_place = together ? lane_step == to->item && to->space[2] == lanes * to->item : to->space[2] == to->item;
    if (in_place) {
        row.y = (float *)(void *)y;
    }
    if (!together) { /* columns are the lanes */
        row.lanes = columns;
        row.columns = 1;
    }
    *work->left |= p->engine->kernels->ranked[p->taps](&row);
    if (!in_place) {
        work->kernels->store[p->pool->dtype](y, row.y, columns, to->space[2], lanes, lane_step);
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_ranked *p = arg;
    const cp_layout *layout = &p->layout;
    char *memory = cp_engine_worker(p->engine, worker);
    cp_ranked_work work = {p, p->engine->kernels->lane[CP_LANE_f32], (int32_t *)(void *)memory, memory + CP_LINE};
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t strip = unit % p->strips, block = unit / p->strips % p->blocks, rest = unit / p->strips / p->blocks;
        int64_t lane = rest % p->groups * p->lanes, outer = rest / p->groups, channel;
        int64_t end = cp_min64((block + 1) * p->rows, p->pool->out[1]);
        char *at[2];
        for (int32_t g = 0; g < 2; g++) {
            at[g] = layout->grid[g].data + cp_layout_offset(layout, g, outer, &channel);
            at[g] += layout->lane >= 0 ? lane * layout->grid[g].batch[layout->lane] : 0;
        }
        for (int64_t h = block * p->rows; h < end; h++) {
            rank_row(&work, at[0], at[1], h, strip * p->columns, cp_min64(p->lanes, layout->lanes - lane));
        }
    }
}

/* What they are rounded by is felt in no product. */
double cp_ranked_weights(const cp_pool *pool, float *weights, int64_t count)
{
    const cpool_view *weight = pool->array[CPOOL_WEIGHT];
    double largest = 0;
    for (int64_t r = 0; r < count; r++) {
        double value = r < cp_parameter_row(weight) ? cp_parameter_at(pool, weight, 0, r) : 0;
        double size = value < 0 ? -value : value;
        if (!(value == 0 || (size > 0x1p-100 && size < 0x1p100))) {
            return -1;
        }
        weights[r] = (float)value;
        largest = size > largest ? size : largest;
    }
    return largest;
}

int cp_ranked_take_weights(cp_ranked *p)
{
    return cp_ranked_weights(p->pool, p->weight, CP_RANKED) >= 0;
}

int cp_ranked_run(cp_ranked *p, const cp_engine *engine)
{
    p->engine = engine;
    return cp_engine_run_any(engine, p->units, cp_ranked_cost(p).nanoseconds, run_units, p);
}
