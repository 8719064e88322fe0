#include "drive/whole.h"

#include <string.h>

#include "integers.h"

/* Bytes of x that a unit reads or writes, roughly; lanes of a pixel at least; planes that become lanes at once. */
enum { UNIT = 128 * 1024, FEWEST_LANES = 8, TURNED = 16 };

int cp_wholes_plan(cp_wholes *w, const cp_pool *pool, int32_t direction)
{
    int forward = direction == CPOOL_FORWARD;
    const cpool_view *views[CP_GRIDS] = {forward ? pool->array[CPOOL_X] : pool->grad[CPOOL_X],
                                         forward ? pool->array[CPOOL_Y] : pool->grad[CPOOL_Y], NULL};
    if (pool->op->family != CP_MEAN || pool->params.geometry != CPOOL_WHOLE) {
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
    w->turned = forward && !whole->pixels;
    w->length = whole->size[2];
    w->rows = whole->size[0] * whole->size[1];
    if (whole->step[1] == w->length * grid[0].item && whole->step[0] == whole->size[1] * whole->step[1]) {
        w->length *= w->rows;
        w->rows = 1;
    }
    w->bytes = w->turned ? cp_row_bytes(elements * TURNED, grid[0].item) : 0;
    return 1;
}

static void run_turned(const cp_wholes *w, const cp_whole *given, const char *x, char *y, char *memory)
{
    const int32_t element = given->is_double ? CP_LANE_f64 : CP_LANE_f32;
    const int64_t item = w->layout.grid[0].item;
    cp_whole whole = *given;
    whole.x_step = item;
    whole.step[2] = TURNED * item;
    whole.step[1] = whole.size[2] * whole.step[2];
    whole.step[0] = whole.size[1] * whole.step[1];
    for (int64_t p = 0; p < given->count; p += TURNED, x += TURNED * given->x_step, y += TURNED * given->y_step) {
        whole.count = cp_min64(TURNED, given->count - p);
        for (int64_t row = 0; row < w->rows; row++) {
            w->engine->kernels->lane[element]->turn_in(
                memory + row * whole.step[1], x + row / whole.size[1] * given->step[0] + row % whole.size[1] * given->step[1],
                given->x_step, whole.count, TURNED, w->length);
        }
        w->engine->kernels->lane[CP_LANE_f64]->whole(&whole, memory, y);
    }
}

void cp_wholes_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_wholes *w = arg;
    const cp_lane_kernels *kernels = w->engine->kernels->lane[CP_LANE_f64];
    cp_whole whole = w->whole;
    char *memory = cp_engine_worker(w->engine, worker);
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t first = unit % w->groups * w->group, channel;
        whole.count = cp_min64(w->group, w->layout.lanes - first);
        char *x = w->layout.grid[0].data + cp_layout_offset(&w->layout, 0, unit / w->groups, &channel) + first * whole.x_step;
        char *y = w->layout.grid[1].data + cp_layout_offset(&w->layout, 1, unit / w->groups, &channel) + first * whole.y_step;
        if (w->turned) {
            run_turned(w, &whole, x, y, memory);
        } else if (w->direction == CPOOL_FORWARD) {
            kernels->whole(&whole, x, y);
        } else {
            kernels->whole_gradient(&whole, y, x);
        }
    }
}
