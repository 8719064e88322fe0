#include <string.h>

#include "drive/drive.h"
#include "kernels/taps.h"
#include "plan/layout.h"

enum { TAPS, INDICES }; /* grids */

typedef struct cp_indices {
    const cp_pool *pool;
    cp_layout layout;
} cp_indices;

/* Position of a tap along one axis, or -1: not in the window, or not real. */
static int64_t position(const cp_axis *axis, int64_t output, int64_t tap)
{
    cp_span span = cp_axis_span(axis, output);
    return tap >= span.lo && tap < span.hi ? span.first + tap * span.step : -1;
}

static int64_t plane_index(const cp_pool *pool, int64_t d, int64_t h, int64_t i, int64_t tap)
{
    const cp_axis *axis = pool->axis;
    if (tap < 0) {
        return -1;
    }
    int64_t row = tap / axis[2].taps;
    int64_t at[CP_SPACE] = {position(&axis[0], d, row / axis[1].taps), position(&axis[1], h, row % axis[1].taps),
                            position(&axis[2], i, tap % axis[2].taps)};
    return at[0] < 0 || at[1] < 0 || at[2] < 0 ? -1 : (at[0] * pool->in[1] + at[1]) * pool->in[2] + at[2];
}

static void run_planes(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_indices *run = arg;
    const cp_pool *pool = run->pool;
    const cp_grid *taps = &run->layout.grid[TAPS], *indices = &run->layout.grid[INDICES];
    int64_t channel = 0;
    (void)worker;
    for (int64_t plane = lo; plane < hi; plane++) {
        const char *from = taps->data + cp_layout_offset(&run->layout, TAPS, plane, &channel);
        char *to = indices->data + cp_layout_offset(&run->layout, INDICES, plane, &channel);
        for (int64_t d = 0; d < pool->out[0]; d++) {
            for (int64_t h = 0; h < pool->out[1]; h++) {
                for (int64_t i = 0; i < pool->out[2]; i++) {
                    int64_t tap = cp_read_tap(from + d * taps->space[0] + h * taps->space[1] + i * taps->space[2], taps->bits);
                    int64_t index = plane_index(pool, d, h, i, tap);
                    memcpy(to + d * indices->space[0] + h * indices->space[1] + i * indices->space[2], &index, sizeof index);
                }
            }
        }
    }
}

cpool_status cp_indices_run(const cp_pool *pool, const cpool_exec *exec)
{
    cp_indices run;
    cp_engine engine;
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_TAPS], pool->array[CPOOL_INDICES], NULL};
    run.pool = pool;
    cp_layout_make(&run.layout, pool, views, 0);
    double results = (double)run.layout.outer * (double)(pool->out[0] * pool->out[1] * pool->out[2]);
    const cp_cost cost = {0, 0, 10.0 * results};
    return cp_engine_do(&engine, exec, cost, run.layout.outer, run_planes, &run);
}
