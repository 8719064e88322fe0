/* A direction of a window operator: what is planned once, what a worker holds, and the pieces that both share. */
#ifndef CP_DRIVE_WINDOW_H
#define CP_DRIVE_WINDOW_H

#include "drive/engine.h"
#include "drive/parameter_sums.h"
#include "drive/walk.h"
#include "integers.h"
#include "plan/layout.h"

/* A direction of an operator is one or two tasks. */
typedef enum cp_task { CP_TASK_POOL, CP_TASK_INPUT_GRADIENT, CP_TASK_EXPONENT_GRADIENT } cp_task;

/* What a source does with the elements that it loads. */
typedef enum cp_map { CP_AS_IS, CP_ABSOLUTE, CP_POWERS, CP_ENTROPIES } cp_map;

/* How the lanes of one unit are worked off. Lp pooling has two ways, by whether the exponent is finite. */
typedef struct cp_recipe {
    int32_t nested; /* sources of the gradient are windows of x, walked by `inner` */
    cp_map map;
    cp_walk walk, inner;
    size_t walk_bytes, inner_bytes, aux_lanes, columns;
} cp_recipe;

typedef struct cp_window {
    const cp_pool *pool;
    cp_task task;
    int32_t mends; /* only results that are NaN are made, the others are there */
    cp_layout layout;
    cp_axis axis[CP_SPACE]; /* of the walk: the pool's, or their transposition */
    int32_t lane_kind, lane_size;
    int64_t lanes; /* of a tile */
    int64_t tiles, block_rows, blocks, units;
    cp_recipe recipe[2]; /* [1]: p is infinite */
    cp_tap_map tap_map;
    size_t bytes; /* per worker */
    const cp_engine *engine;
    double *partials;
} cp_window;
/* What a worker holds: the lanes of one unit, and scratch. */

typedef struct cp_work {
    const cp_window *window;
    const cp_recipe *recipe;
    const cp_lane_kernels *kernels;
    cp_axis axis[CP_SPACE]; /* of the walk; places that are drawn for each plane change */
    char *starts;           /* ... and lie there */
    cp_walk walk, inner;
    char *at[CP_GRIDS]; /* element (0, 0, 0) of lane 0 of the unit */
    int64_t lane_step[CP_GRIDS];
    int64_t lanes;
    char *result, *inner_result, *aux, *self;
    double *counts, *exponents;
    cp_parameter_sums sums;
    cp_exponent exponent;
    int64_t column, step, count; /* what counts hold; count 0: nothing */
} cp_work;

/* ---- drive/window_plan.c ---- */

void cp_window_plan(cp_window *window, const cp_pool *pool, cp_task task);

/* The lanes of elements, those that a fold over `axis` is computed in, and the bytes of one. */
int32_t cp_element_lane(const cp_pool *pool);
int32_t cp_window_lane(const cp_pool *pool, const cp_axis *axis);
int32_t cp_lane_size(int32_t lane);

/* Whether elements lie in memory as the lanes they are computed in. */
int cp_stored_as_lanes(const cp_pool *pool);

/* Whether a result comes with the place of the element selected. */
int cp_window_selects(const cp_pool *pool);

/* The exponent of a channel, whether there is one for each, and whether lanes differ in it. */
double cp_exponent_at(const cpool_view *p, int64_t channel);
int cp_exponent_per_channel(const cp_pool *pool);
int cp_window_lanes_are_channels(const cp_window *window);

/* ---- drive/window_source.c ---- */

/* Element (d, h, column) of lane 0 of the unit, in grid g. */
char *cp_work_element(const cp_work *work, int g, int64_t d, int64_t h, int64_t column);
void cp_work_load(const cp_work *work, int g, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst);
void cp_work_store(const cp_work *work, int g, int64_t d, int64_t h, int64_t column, int64_t count, const void *src);

/* Fills counts: window sizes along the row, of the output columns at work. */
void cp_work_columns(cp_work *work, int64_t column, int64_t step, int64_t count);

/* Elements of a window of output row (d, h) down the slower axes; times counts[column] it is all of them. */
double cp_work_row_count(const cp_work *work, int64_t d, int64_t h);

/* The end of the run of columns from `from` on whose windows have one size. */
int64_t cp_work_run_end(const cp_work *work, int64_t from, int64_t count);

/* Divides a row of `count` output columns by the averages' divisors. */
void cp_work_divide(cp_work *work, char *row, int64_t d, int64_t h, int64_t count);

/* Taps that a fold of the walk's tile left at -1: windows of nothing but the identity
 * (all -inf) select their first element, empty ones none. */
void cp_work_settle_taps(const cp_work *work, const cp_walk *walk, int64_t d, int64_t h, void *taps);

/* Positions in the plane of such taps, into the array of indices. */
void cp_work_store_indices(const cp_work *work, int64_t d, int64_t h, int64_t column, int64_t count, const char *taps);

/* The source of the unit's walk, and of the walk inside it. */
cp_source cp_work_source(const cp_work *work);
void cp_source_x(void *work, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst, int64_t pitch);

/* Calls a map on rows of `count` columns: at once where one exponent serves all, else column by column. */
#define CP_EACH_EXPONENT(w, count, i, n, call) \
    do { \
        int64_t n = (w)->exponent.step != 0 ? (w)->lanes : (w)->lanes * (count); \
        for (int64_t i = 0; i < (w)->lanes * (count); i += n) { \
            call; \
        } \
    } while (0)

#endif
