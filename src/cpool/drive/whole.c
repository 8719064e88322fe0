#include "drive/whole.h"

#include <string.h>

#include "fpenv.h"
#include "integers.h"

/* Bytes of x that a unit reads or writes, roughly; lanes of a pixel at least. */
enum { UNIT = 128 * 1024, FEWEST_LANES = 8 };

int cp_wholes_plan(cp_wholes *w, const cp_pool *pool, int32_t direction)
{
    int forward = direction == CPOOL_FORWARD;
    const cpool_view *views[CP_GRIDS] = {forward ? pool->array[CPOOL_X] : pool->grad[CPOOL_X],
                                         forward ? pool->array[CPOOL_Y] : pool->grad[CPOOL_Y], NULL};
    if (pool->op->family != CP_MEAN || pool->params.geometry != CPOOL_WHOLE || views[0]->dtype_code != CPOOL_FLOAT) {
        return 0;
    }
    cp_layout_make(&w->layout, pool, views, 0);
    w->pool = pool;
    w->direction = direction;
    w->inner = w->layout.dims - 1;
    cp_whole *whole = &w->whole;
    const cp_grid *grid = w->layout.grid;
    int64_t elements = 1;
    whole->is_double = pool->dtype_bits == 64;
    whole->pixels = 0;
    for (int s = 0; s < CP_SPACE; s++) {
        if (forward && pool->in[s] > CP_WHOLE_AXIS) {
            return 0;
        }
        whole->size[s] = pool->in[s];
        whole->step[s] = grid[0].space[s];
        elements *= pool->in[s];
    }
    for (int32_t dim = 0; dim < w->layout.dims; dim++) {
        if (w->layout.length[dim] >= FEWEST_LANES && cp_layout_is_together(&w->layout, dim)) {
            w->inner = dim;
            whole->pixels = 1;
        }
    }
    if (forward && !whole->pixels && whole->step[2] != grid[0].item) {
        return 0;
    }
    whole->divisor = 1;
    for (int32_t s = 0; s < CP_SPACE; s++) {
        whole->divisor *= cp_pool_divisor_along(pool, s, 0);
    }
    cp_layout_take_lanes(&w->layout, w->inner);
    whole->x_step = w->inner >= 0 ? grid[0].batch[w->inner] : 0;
    whole->y_step = w->inner >= 0 ? grid[1].batch[w->inner] : 0;
    int64_t lanes = w->layout.lanes, most = UNIT / (elements < UNIT ? elements * grid[0].item : UNIT);
    w->group = cp_max64(1, cp_min64(lanes, cp_max64(16, most / 16 * 16))); /* whole vectors */
    w->groups = cp_ceil_div(lanes, w->group);
    w->units = w->layout.outer * w->groups;
    return 1;
}

void cp_wholes_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_wholes *w = arg;
    const cp_lane_kernels *kernels = w->engine->kernels->lane[CP_LANE_f64];
    cp_fpenv environment = cp_fpenv_enter();
    cp_whole whole = w->whole;
    (void)worker;
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t first = unit % w->groups * w->group, channel;
        whole.count = cp_min64(w->group, w->layout.lanes - first);
        char *x = w->layout.grid[0].data + cp_layout_offset(&w->layout, 0, unit / w->groups, &channel) + first * whole.x_step;
        char *y = w->layout.grid[1].data + cp_layout_offset(&w->layout, 1, unit / w->groups, &channel) + first * whole.y_step;
        if (w->direction == CPOOL_FORWARD) {
            kernels->whole(&whole, x, y);
        } else {
            kernels->whole_gradient(&whole, y, x);
        }
    }
    cp_fpenv_leave(environment);
}
