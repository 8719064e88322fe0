#include <string.h>

#include "drive/places.h"
#include "drive/window.h"
#include "kernels/template.h"
#include "plan/parameters.h"

enum { BUDGET = 160 * 1024 };

double cp_exponent_at(const cpool_view *p, int64_t channel)
{
    int64_t stride = 0;
    if (p->ndim == 1 && p->shape[0] > 1) {
        cp_view_strides(p, &stride);
    }
    const char *at = (const char *)p->data + channel * stride;
    return p->dtype_bits == 32 ? cp_read_f32(at) : cp_read_f64(at);
}

int cp_exponent_per_channel(const cp_pool *pool)
{
    const cpool_view *p = pool->array[CPOOL_P];
    return p != NULL && p->ndim == 1 && p->shape[0] != 1; /* no channel at all included */
}

int cp_window_selects(const cp_pool *pool)
{
    return pool->array[CPOOL_TAPS] != NULL || (pool->op->family == CP_SAMPLE && pool->array[CPOOL_INDICES] != NULL);
}

static const int32_t lane_of[CP_DTYPES] = {
#define ROW(name, code, bits, lane) CP_LANE_##lane,
    CP_DTYPE_LIST(ROW)
#undef ROW
};

/* Sums of many taps, taps that a float cannot count, powers: in double lanes, whatever the elements. */
static int wants_wide(const cp_pool *pool, const cp_axis *axis)
{
    double taps = (double)axis[0].taps * (double)axis[1].taps * (double)axis[2].taps;
    if (pool->op->family == CP_BEST || pool->op->family == CP_SAMPLE) {
        return cp_window_selects(pool) && taps > 0x1p24;
    }
    double divisor = pool->params.divisor;
    int exact = !(pool->params.flags & CPOOL_DIVISOR) || (double)(float)divisor == divisor;
    return pool->op->family == CP_POWER || taps > 4096 || !exact;
}

int32_t cp_element_lane(const cp_pool *pool)
{
    return lane_of[pool->dtype];
}

int cp_stored_as_lanes(const cp_pool *pool)
{
    static const int32_t stored_as[CP_LANES] = {[CP_LANE_f32] = CP_DTYPE_f32, [CP_LANE_f64] = CP_DTYPE_f64};
    return stored_as[cp_element_lane(pool)] == pool->dtype;
}

int32_t cp_window_lane(const cp_pool *pool, const cp_axis *axis)
{
    return wants_wide(pool, axis) ? CP_LANE_f64 : cp_element_lane(pool);
}

int32_t cp_lane_size(int32_t lane)
{
    return lane == CP_LANE_f32 ? 4 : 8;
}

static void plan_recipe(cp_window *w, cp_recipe *r, int infinite, int direct)
{
    const cp_pool *pool = w->pool;
    int lp = pool->op->family == CP_POWER, taps = cp_window_selects(pool);
    cp_walk *walk = &r->walk;
    r->map = !lp ? CP_AS_IS : infinite ? CP_ABSOLUTE : w->task == CP_TASK_EXPONENT_GRADIENT ? CP_ENTROPIES : CP_POWERS;
    r->nested = w->task == CP_TASK_INPUT_GRADIENT && lp;
    walk->axis = w->axis;
    walk->lane_size = w->lane_size;
    walk->lanes = w->lanes;
    walk->direct = 0;
    if (w->task == CP_TASK_INPUT_GRADIENT) {
        walk->fold = infinite ? CP_GATHER : lp ? CP_SCALED_SUM : CP_SUM;
    } else if (lp) {
        walk->fold = infinite ? CP_MAX : w->task == CP_TASK_POOL ? CP_SCALED_SUM : CP_ENTROPY;
    } else {
        walk->fold = taps ? pool->op->tap_fold : pool->op->fold;
        walk->direct = direct && r->map == CP_AS_IS;
    }
    r->walk_bytes = cp_walk_plan(walk, w->task == CP_TASK_EXPONENT_GRADIENT ? CP_PARAMETER_SEGMENT : 0, BUDGET);
    int64_t columns = walk->row_pitch / walk->lanes + 1;
    columns = columns > walk->width ? columns : walk->width;
    if (r->nested) {
        r->inner.axis = pool->axis;
        r->inner.lane_size = w->lane_size;
        r->inner.lanes = w->lanes;
        r->inner.direct = 0;
        r->inner.fold = infinite ? CP_MAX_TAP : CP_SCALED_SUM;
        int64_t widest = pool->out[2] < columns ? pool->out[2] : columns;
        r->inner_bytes = cp_walk_plan(&r->inner, widest, BUDGET);
    }
    r->columns = (size_t)columns;
    r->aux_lanes = (size_t)(columns * w->lanes);
}

static size_t recipe_bytes(const cp_window *w, const cp_recipe *r)
{
    size_t size = (size_t)w->lane_size, width = (size_t)r->walk.width;
    size_t bytes = r->walk_bytes + r->inner_bytes;
    bytes += cp_round_up((size_t)r->walk.pitch * size) * (size_t)r->walk.rows;   /* result */
    bytes += cp_round_up((size_t)r->inner.pitch * size) * (size_t)r->inner.rows; /* inner result */
    bytes += cp_round_up(r->aux_lanes * size);                                   /* aux */
    bytes += cp_round_up(width * size);                                          /* self */
    bytes += cp_round_up(r->columns * sizeof(double));                           /* counts */
    bytes += cp_round_up((size_t)w->lanes * sizeof(double));                     /* exponents */
    bytes += cp_parameter_sums_bytes(w->lanes);
    return cp_round_up(bytes);
}

/* Nothing here depends on data: what a query has said still holds when the exponents have changed. */
static void plan_lanes(cp_window *w)
{
    int64_t limit = w->lane_size == 4 ? 64 : 32;
    const cp_grid *x = &w->layout.grid[0];
    int direct =
        w->layout.lane >= 0 && x->batch[w->layout.lane] == x->item && x->item == w->lane_size && w->task == CP_TASK_POOL;
    int recipes = w->pool->op->family == CP_POWER ? 2 : 1;
    w->lanes = w->layout.lanes < limit ? w->layout.lanes : limit;
    w->lanes = w->lanes < 1 ? 1 : w->lanes;
    for (;;) {
        w->bytes = 0;
        for (int i = 0; i < recipes; i++) {
            memset(&w->recipe[i], 0, sizeof w->recipe[i]);
            plan_recipe(w, &w->recipe[i], i == 1, direct);
            size_t bytes = recipe_bytes(w, &w->recipe[i]);
            w->bytes = bytes > w->bytes ? bytes : w->bytes;
        }
        if (w->lanes == 1 || w->bytes <= 4 * BUDGET) {
            return;
        }
        w->lanes = (w->lanes + 1) / 2;
    }
}

static void plan_taps(cp_window *w)
{
    const cp_axis *axis = w->pool->axis;
    cp_tap_map *map = &w->tap_map;
    int64_t tap = 0;
    double weight = 1;
    for (int s = CP_SPACE; s-- > 0;) {
        map->taps[s] = axis[s].taps;
        map->weight[s] = weight * (double)axis[s].dilation;
        weight *= (double)w->pool->in[s];
    }
    for (int64_t d = 0; d < map->taps[0] && tap < 256; d++) {
        for (int64_t h = 0; h < map->taps[1] && tap < 256; h++) {
            for (int64_t i = 0; i < map->taps[2] && tap < 256; i++) {
                map->near[tap++] = (double)d * map->weight[0] + (double)h * map->weight[1] + (double)i * map->weight[2];
            }
        }
    }
    while (tap < 256) {
        map->near[tap++] = cp_nan();
    }
}

void cp_window_plan(cp_window *w, const cp_pool *pool, cp_task task)
{
    const cpool_view *x = pool->array[CPOOL_X], *dx = pool->grad[CPOOL_X];
    const cpool_view *dy = pool->grad[CPOOL_Y], *taps = pool->array[CPOOL_TAPS];
    const cpool_view *views[CP_GRIDS] = {x, task == CP_TASK_POOL ? pool->array[CPOOL_Y] : dy, taps};
    int by_plane = pool->op->code == CPOOL_FRACTIONAL;
    cp_spread draws;
    w->pool = pool;
    w->task = task;
    w->mends = 0;
    if (task == CP_TASK_INPUT_GRADIENT) {
        views[0] = dx;
        views[2] = pool->op->family == CP_POWER ? x : NULL;
    }
    if (pool->op->family == CP_SAMPLE) {
        views[2] = pool->array[CPOOL_INDICES];
    }
    if (by_plane && pool->array[CPOOL_U] != NULL) {
        cp_parameter_spread(&draws, pool, pool->array[CPOOL_U], CPOOL_U);
        views[3] = &draws.view;
    }
    cp_layout_make(&w->layout, pool, views, cp_exponent_per_channel(pool));
    for (int s = 0; s < CP_SPACE; s++) {
        w->axis[s] = task == CP_TASK_INPUT_GRADIENT ? cp_axis_transpose(&pool->axis[s]) : pool->axis[s];
    }
    w->lane_kind = cp_window_lane(pool, w->axis);
    w->lane_size = cp_lane_size(w->lane_kind);
    if (!by_plane) { /* lanes would be planes, whose windows lie at other places */
        cp_layout_choose_lanes(&w->layout, w->axis[2].targets, CP_FEW_COLUMNS);
    }
    plan_lanes(w);
    w->bytes += cp_places_bytes_by_plane(pool);
    int64_t rows = w->axis[0].targets * w->axis[1].targets;
    w->tiles = (w->layout.lanes + w->lanes - 1) / w->lanes;
    int64_t whole = w->layout.outer * w->tiles;
    /* Few planes are cut into blocks of rows; the cut never changes a bit. */
    enum { ENOUGH_UNITS = 64, FEWEST_ROWS = 16 };
    w->block_rows = task == CP_TASK_EXPONENT_GRADIENT ? CP_PARAMETER_ROWS : rows;
    if (task != CP_TASK_EXPONENT_GRADIENT && whole < ENOUGH_UNITS && whole > 0) {
        int64_t parts = (ENOUGH_UNITS + whole - 1) / whole, part = (rows + parts - 1) / parts;
        w->block_rows = part > FEWEST_ROWS ? part : FEWEST_ROWS;
    }
    w->blocks = (rows + w->block_rows - 1) / w->block_rows;
    w->units = whole * w->blocks;
    if (task == CP_TASK_INPUT_GRADIENT || pool->op->family == CP_SAMPLE) {
        plan_taps(w);
    }
}

int cp_window_lanes_are_channels(const cp_window *w)
{
    return w->layout.lane >= 0 && w->layout.lane == w->layout.channel;
}
