#include "drive/whole.h"

#include "drive/window.h"
#include "integers.h"

/* Bytes of x that a unit reads or writes, roughly, and of sums that it keeps; lanes of a pixel, and planes at once, at least;
 * lanes that extremes are looked for of; sums of a level. */
enum { UNIT = 128 * 1024, SUMS = 64 * 1024, FEWEST_LANES = 8, FEWEST_PLANES = 16, MOST_LANES = 512, RADIX = 16 };

/* Of a plane that lies in rows, whether these lie behind each other. */
static int is_dense(const cp_whole *whole)
{
    int64_t step = whole->floats ? 4 : 8;
    for (int s = CP_SPACE; s-- > 0; step *= whole->size[s]) {
        if (whole->size[s] > 1 && whole->step[s] != step) {
            return 0;
        }
    }
    return 1;
}

int cp_wholes_plan(cp_wholes *w, const cp_pool *pool, int32_t direction)
{
    int forward = direction == CPOOL_FORWARD;
    const cpool_view *views[CP_GRIDS] = {forward ? pool->array[CPOOL_X] : pool->grad[CPOOL_X],
                                         forward ? pool->array[CPOOL_Y] : pool->grad[CPOOL_Y],
                                         forward ? pool->array[CPOOL_TAPS] : NULL};
    w->selects = pool->op->family == CP_BEST && forward && cp_stored_as_lanes(pool) &&
                 cp_window_lane(pool, pool->axis) == cp_element_lane(pool);
    if ((pool->op->family != CP_MEAN && !w->selects) || pool->params.geometry != CPOOL_WHOLE) {
        return 0;
    }
    cp_layout_make(&w->layout, pool, views, 0);
    w->direction = direction;
    w->lane_kind = w->selects ? cp_element_lane(pool) : CP_LANE_f64;
    w->fold = views[2] != NULL ? pool->op->tap_fold : pool->op->fold;
    w->dtype = pool->dtype;
    w->units = 0;
    w->bytes = 0;
    if (cp_layout_planes(&w->layout) == 0) { /* their axes may be of any length */
        return !w->selects;
    }
    int32_t inner = w->layout.dims - 1; /* planes at equal distances, or lanes; -1: one plane */
    cp_whole *whole = &w->whole;
    const cp_grid *grid = w->layout.grid;
    w->elements = 1;
    whole->floats = pool->dtype_bits == 32;
    whole->pixels = 0;
    whole->divisor = 1;
    for (int32_t s = 0; s < CP_SPACE; s++) {
        whole->size[s] = pool->in[s];
        whole->step[s] = grid[0].space[s];
        w->elements *= pool->in[s];
        whole->divisor *= w->selects ? 1 : cp_pool_divisor_along(pool, s, 0);
    }
    whole->dense = is_dense(whole);
    for (int32_t dim = 0; dim < w->layout.dims; dim++) {
        if (w->layout.length[dim] >= FEWEST_LANES && cp_layout_is_together(&w->layout, dim)) {
            inner = dim;
            whole->pixels = 1;
        }
    }
    if (w->selects && (w->elements == 0 || !(whole->dense || whole->pixels))) {
        return 0;
    }
    cp_layout_take_lanes(&w->layout, inner);
    whole->x_step = inner >= 0 ? grid[0].batch[inner] : 0;
    whole->y_step = inner >= 0 ? grid[1].batch[inner] : 0;
    w->taps_step = inner >= 0 && views[2] != NULL ? grid[2].batch[inner] : 0;
    w->blocks = cp_ceil_div(w->elements, CP_WHOLE_BLOCK);
    w->levels = 1;
    for (int64_t blocks = w->blocks; blocks >= RADIX; blocks /= RADIX) {
        w->levels++;
    }
    int64_t rows = w->selects ? 2 : w->blocks == 1 ? 1 : w->levels * RADIX + 1, lanes = w->layout.lanes;
    int64_t most = UNIT / (w->elements < UNIT ? w->elements * grid[0].item : UNIT);
    w->group = cp_max64(FEWEST_PLANES, most / FEWEST_PLANES * FEWEST_PLANES);
    if (whole->pixels && (w->selects || w->blocks > 1)) {
        w->group = cp_max64(w->group, w->selects ? MOST_LANES : SUMS / (rows * (int64_t)sizeof(double)));
    }
    w->group = cp_max64(1, cp_min64(lanes, w->group));
    w->groups = cp_ceil_div(lanes, w->group);
    w->units = w->layout.outer * w->groups;
    w->row_bytes = cp_row_bytes(w->group, sizeof(double));
    w->bytes = forward ? w->row_bytes * (size_t)rows : 0;
    return 1;
}

/* Where the elements of a block lie in a plane. */
static int64_t find_places(const cp_wholes *w, int64_t block, int64_t *place)
{
    const cp_whole *whole = &w->whole;
    int64_t first = block * CP_WHOLE_BLOCK, n = cp_min64(w->elements - first, CP_WHOLE_BLOCK);
    int64_t rest = first, column = cp_take_digit(&rest, whole->size[2]), row = cp_take_digit(&rest, whole->size[1]);
    for (int64_t e = 0; e < n; e++, column++) {
        if (column == whole->size[2]) {
            column = 0;
            row++;
        }
        if (row == whole->size[1]) {
            row = 0;
            rest++;
        }
        place[e] = rest * whole->step[0] + row * whole->step[1] + column * whole->step[2];
    }
    return n;
}

static char *find_sums(const cp_wholes *w, char *memory, int64_t level, int64_t row)
{
    return memory + (size_t)(level * RADIX + row) * w->row_bytes;
}

/* Adds up `rows` sums of a level, in blocks of powers of four. */
static void add_sums(const cp_wholes *w, char *memory, int64_t level, int64_t rows, void *to, int64_t planes, int mode)
{
    const void *sums[RADIX];
    for (int64_t r = 0; r < rows; r++) {
        sums[r] = find_sums(w, memory, level, r);
    }
    w->engine->kernels->lane[CP_LANE_f64]->fold[CP_SUM](to, 0, sums, 0, NULL, rows, planes, mode);
}

/* The sums of `whole->count` planes; returns where they are. */
static char *sum_planes(const cp_wholes *w, const cp_whole *whole, const char *x, char *memory)
{
    int64_t place[CP_WHOLE_BLOCK];
    for (int64_t b = 0; b < w->blocks; b++) {
        int64_t n = find_places(w, b, place), index = b;
        double *sums = (double *)(void *)find_sums(w, memory, 0, b % RADIX);
        w->engine->kernels->lane[CP_LANE_f64]->whole_sums(whole, x, place, n, sums);
        for (int64_t level = 0; index % RADIX == RADIX - 1; level++) {
            index /= RADIX;
            add_sums(w, memory, level, RADIX, find_sums(w, memory, level + 1, index % RADIX), whole->count, CP_TREE);
        }
    }
    if (w->blocks == 1) {
        return memory;
    }
    char *total = find_sums(w, memory, w->levels, 0);
    int mode = CP_TREE;
    int64_t left = w->blocks, size = 1;
    for (int64_t level = 1; level < w->levels; level++) {
        size *= RADIX;
    }
    for (int64_t level = w->levels; level-- > 0; left %= size, size /= RADIX, mode |= CP_CONTINUE) {
        if (left >= size) {
            add_sums(w, memory, level, left / size, total, whole->count, mode);
        }
    }
    return total;
}

/* The extremes of `whole->count` planes from `first` on, and the numbers of their elements to where these belong. */
static void select_extremes(const cp_wholes *w, const cp_whole *whole, const char *x, int64_t outer, int64_t first, char *best)
{
    const cp_lane_kernels *kernels = w->engine->kernels->lane[w->lane_kind];
    const cp_grid *taps = &w->layout.grid[2];
    char *numbers = best + w->row_bytes;
    kernels->whole_extreme[w->fold](whole, x, best, numbers);
    if (taps->item != 0) {
        int64_t channel;
        char *to = taps->data + cp_layout_offset(&w->layout, 2, outer, &channel) + first * w->taps_step;
        kernels->store_taps(to, taps->bits, numbers, 1, 0, whole->count, w->taps_step);
    }
}

void cp_wholes_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_wholes *w = arg;
    const cp_lane_kernels *kernels = w->engine->kernels->lane[w->lane_kind];
    cp_whole whole = w->whole;
    char *memory = cp_engine_worker(w->engine, worker);
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t first = unit % w->groups * w->group, channel;
        whole.count = cp_min64(w->group, w->layout.lanes - first);
        char *x = w->layout.grid[0].data + cp_layout_offset(&w->layout, 0, unit / w->groups, &channel) + first * whole.x_step;
        char *y = w->layout.grid[1].data + cp_layout_offset(&w->layout, 1, unit / w->groups, &channel) + first * whole.y_step;
        if (w->direction == CPOOL_BACKWARD) {
            kernels->whole_gradient(&whole, y, x);
            continue;
        }
        char *results = memory;
        if (w->selects) {
            select_extremes(w, &whole, x, unit / w->groups, first, results);
        } else {
            results = sum_planes(w, &whole, x, memory);
            kernels->divide(results, whole.divisor, whole.count);
        }
        kernels->store[w->dtype](y, results, whole.count, whole.y_step, 1, 0);
    }
}
