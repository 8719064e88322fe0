#include <string.h>

#include "drive/drive.h"
#include "drive/walk.h"
#include "fpenv.h"
#include "kernels/taps.h"
#include "plan/layout.h"

/* A direction of an operator is one or two tasks. */
typedef enum cp_task { POOL, INPUT_GRADIENT, EXPONENT_GRADIENT } cp_task;

/* What a source does with the elements that it loads. */
typedef enum cp_map { AS_IS, ABSOLUTE, POWER, ENTROPY } cp_map;

/* Parts of an exponent's gradient are summed by blocks of target rows that geometry alone fixes, each over segments of columns,
 * each in virtual lanes: column modulo LANES. */
enum { BLOCK_ROWS = 64, SEGMENT = 32, LANES = 16 };

enum { BUDGET = 160 * 1024, ALIGN = 64 };

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
    cp_layout layout;
    cp_axis axis[CP_SPACE];  /* of the walk: the pool's, or their transposition */
    int32_t lane_kind, lane_size;
    int64_t lanes;           /* of a tile */
    int64_t tiles, block_rows, blocks, units;
    cp_recipe recipe[2];     /* [1]: p is infinite */
    cp_tap_map tap_map;
    size_t bytes;            /* per worker */
    const cp_engine *engine;
    double *partials;
} cp_window;

/* ---- Planning ---- */

static int is_max(const cp_pool *pool)
{
    return pool->op->code == CPOOL_MAX || pool->op->code == CPOOL_MIN;
}

static double exponent_at(const cpool_view *p, int64_t channel)
{
    int64_t stride = 0;
    if (p->ndim == 1 && p->shape[0] > 1) {
        cp_view_strides(p, &stride);
    }
    const char *at = (const char *)p->data + channel * stride;
    return p->dtype_bits == 32 ? cp_read_f32(at) : cp_read_f64(at);
}

static int per_channel(const cp_pool *pool)
{
    const cpool_view *p = pool->array[CPOOL_P];
    return p != NULL && p->ndim == 1 && p->shape[0] > 1;
}

/* Sums of many taps, taps and positions that a float cannot count, powers: in double lanes, whatever the elements. */
static int wants_wide(const cp_pool *pool, cp_task task, const cp_axis *axis)
{
    double taps = (double)axis[0].taps * (double)axis[1].taps * (double)axis[2].taps;
    double plane = (double)pool->in[0] * (double)pool->in[1] * (double)pool->in[2];
    if (is_max(pool)) {
        return task == POOL ? pool->array[CPOOL_TAPS] != NULL && taps > 0x1p24 : plane > 0x1p24;
    }
    double divisor = pool->params.divisor;
    int exact = !(pool->params.flags & CPOOL_DIVISOR) || (double)(float)divisor == divisor;
    return pool->op->code == CPOOL_LP || taps > 4096 || pool->params.geometry == CPOOL_WHOLE || !exact;
}

static void plan_recipe(cp_window *w, cp_recipe *r, int infinite, int direct)
{
    const cp_pool *pool = w->pool;
    int lp = pool->op->code == CPOOL_LP, taps = pool->array[CPOOL_TAPS] != NULL;
    cp_walk *walk = &r->walk;
    r->map = !lp ? AS_IS : infinite ? ABSOLUTE : w->task == EXPONENT_GRADIENT ? ENTROPY : POWER;
    r->nested = w->task == INPUT_GRADIENT && lp;
    walk->axis = w->axis;
    walk->lane_size = w->lane_size;
    walk->lanes = w->lanes;
    walk->direct = 0;
    if (w->task == INPUT_GRADIENT) {
        walk->fold = is_max(pool) || infinite ? CP_GATHER : lp ? CP_SCALED_SUM : CP_SUM;
    } else if (lp) {
        walk->fold = infinite ? CP_MAX : w->task == POOL ? CP_SCALED_SUM : CP_ENTROPY;
    } else {
        walk->fold = pool->op->code == CPOOL_AVG ? CP_SUM
                     : pool->op->code == CPOOL_MAX ? (taps ? CP_MAX_TAP : CP_MAX)
                                                   : (taps ? CP_MIN_TAP : CP_MIN);
        walk->direct = direct && r->map == AS_IS;
    }
    r->walk_bytes = cp_walk_plan(walk, w->task == EXPONENT_GRADIENT ? SEGMENT : 0, BUDGET);
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

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t recipe_bytes(const cp_window *w, const cp_recipe *r)
{
    size_t size = (size_t)w->lane_size, width = (size_t)r->walk.width;
    size_t bytes = r->walk_bytes + r->inner_bytes;
    bytes += round_up((size_t)r->walk.pitch * size) * (size_t)r->walk.rows;       /* result */
    bytes += round_up((size_t)r->inner.pitch * size) * (size_t)r->inner.rows;     /* inner result */
    bytes += round_up(r->aux_lanes * size);                                       /* aux */
    bytes += round_up(width * size);                                              /* self */
    bytes += 2 * round_up(r->columns * sizeof(double));                           /* counts, base */
    bytes += round_up((size_t)w->lanes * sizeof(double));                         /* exponents */
    bytes += 2 * round_up((size_t)w->lanes * LANES * sizeof(double));             /* sums */
    return round_up(bytes);
}

/* Nothing here depends on data: what a query has said still holds when the exponents have changed. */
static void plan_lanes(cp_window *w)
{
    int64_t limit = w->lane_size == 4 ? 64 : 32;
    const cp_grid *x = &w->layout.grid[0];
    int direct = w->layout.lane >= 0 && x->batch[w->layout.lane] == x->item && x->item == w->lane_size && w->task == POOL;
    int recipes = w->pool->op->code == CPOOL_LP ? 2 : 1;
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
    int64_t weight = 1, tap = 0;
    for (int s = CP_SPACE; s-- > 0;) {
        map->taps[s] = axis[s].taps;
        map->weight[s] = weight * axis[s].dilation;
        weight *= w->pool->in[s];
    }
    for (int64_t d = 0; d < map->taps[0] && tap < 256; d++) {
        for (int64_t h = 0; h < map->taps[1] && tap < 256; h++) {
            for (int64_t i = 0; i < map->taps[2] && tap < 256; i++) {
                map->near[tap++] = (double)(d * map->weight[0] + h * map->weight[1] + i * map->weight[2]);
            }
        }
    }
    while (tap < 256) {
        map->near[tap++] = cp_nan();
    }
}

static void plan_window(cp_window *w, const cp_pool *pool, cp_task task)
{
    const cpool_view *x = pool->array[CPOOL_X], *dx = pool->grad[CPOOL_X];
    const cpool_view *dy = pool->grad[CPOOL_Y], *taps = pool->array[CPOOL_TAPS];
    const cpool_view *views[CP_GRIDS] = {x, task == POOL ? pool->array[CPOOL_Y] : dy, taps};
    w->pool = pool;
    w->task = task;
    if (task == INPUT_GRADIENT) {
        views[0] = dx;
        views[2] = pool->op->code == CPOOL_LP ? x : taps;
    }
    cp_layout_make(&w->layout, pool, views, per_channel(pool));
    for (int s = 0; s < CP_SPACE; s++) {
        w->axis[s] = task == INPUT_GRADIENT ? cp_axis_transpose(&pool->axis[s]) : pool->axis[s];
    }
    w->lane_kind = pool->dtype == CP_DTYPE_f32 && !wants_wide(pool, task, w->axis) ? CP_LANE_f32 : CP_LANE_f64;
    w->lane_size = w->lane_kind == CP_LANE_f32 ? 4 : 8;
    cp_layout_choose_lanes(&w->layout, w->axis[2].targets);
    plan_lanes(w);
    int64_t rows = w->axis[0].targets * w->axis[1].targets;
    w->tiles = (w->layout.lanes + w->lanes - 1) / w->lanes;
    int64_t whole = w->layout.outer * w->tiles;
    /* Few planes are cut into blocks of rows; the cut never changes a bit. */
    enum { ENOUGH_UNITS = 64, FEWEST_ROWS = 16 };
    w->block_rows = task == EXPONENT_GRADIENT ? BLOCK_ROWS : rows;
    if (task != EXPONENT_GRADIENT && whole < ENOUGH_UNITS && whole > 0) {
        int64_t parts = (ENOUGH_UNITS + whole - 1) / whole, part = (rows + parts - 1) / parts;
        w->block_rows = part > FEWEST_ROWS ? part : FEWEST_ROWS;
    }
    w->blocks = (rows + w->block_rows - 1) / w->block_rows;
    w->units = whole * w->blocks;
    if (task == INPUT_GRADIENT) {
        plan_taps(w);
    }
}

/* ---- The unit at work ---- */

typedef struct cp_work {
    const cp_window *window;
    const cp_recipe *recipe;
    const cp_lane_kernels *kernels;
    cp_walk walk, inner;
    const char *at[CP_GRIDS];  /* element (0, 0, 0) of lane 0 of the unit */
    int64_t lane_step[CP_GRIDS];
    int64_t lanes;
    char *result, *inner_result, *aux, *self;
    double *counts, *base, *exponents, *sums;
    cp_exponent exponent;
    int64_t column, step, count; /* what counts and base hold; count 0: nothing */
} cp_work;

static const char *element(const cp_work *w, int g, int64_t d, int64_t h, int64_t column)
{
    const int64_t *space = w->window->layout.grid[g].space;
    return w->at[g] + d * space[0] + h * space[1] + column * space[2];
}

static void load(const cp_work *w, int g, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst)
{
    w->kernels->load[w->window->pool->dtype](dst, element(w, g, d, h, column), count, step * w->window->layout.grid[g].space[2],
                                             w->lanes, w->lane_step[g]);
}

/* Results are written through the same pointers that inputs are read through. */
static char *writable(const char *p)
{
    union {
        const char *from;
        char *to;
    } alias;
    alias.from = p;
    return alias.to;
}

static void store(const cp_work *w, int g, int64_t d, int64_t h, int64_t column, int64_t count, const void *src)
{
    w->kernels->store[w->window->pool->dtype](writable(element(w, g, d, h, column)), src, count,
                                              w->window->layout.grid[g].space[2], w->lanes, w->lane_step[g]);
}

/* Number of elements that a window counts along one axis. */
static int64_t count_along(const cp_pool *pool, int32_t s, int64_t output)
{
    if (pool->params.flags & CPOOL_COUNT_INCLUDE_PAD) {
        return cp_axis_count_below(&pool->axis[s], output, pool->padded_end[s]);
    }
    cp_span span = cp_axis_span(&pool->axis[s], output);
    return span.hi - span.lo;
}

/* Window sizes and first positions along the row, of the output columns at work. */
static void prepare_columns(cp_work *w, int64_t column, int64_t step, int64_t count)
{
    if (w->count == count && w->column == column && w->step == step) {
        return;
    }
    const cp_pool *pool = w->window->pool;
    for (int64_t i = 0; i < count; i++) {
        w->counts[i] = (double)count_along(pool, 2, column + i * step);
        w->base[i] = (double)cp_axis_span(&pool->axis[2], column + i * step).first;
    }
    w->column = column;
    w->step = step;
    w->count = count;
}

static double row_count(const cp_work *w, int64_t d, int64_t h)
{
    return (double)count_along(w->window->pool, 0, d) * (double)count_along(w->window->pool, 1, h);
}

/* The next run of columns with windows of one size: [*from, return value). */
static int64_t run_end(const cp_work *w, int64_t from, int64_t count)
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

static void divide_row(cp_work *w, char *row, int64_t d, int64_t h, int64_t count)
{
    double down = row_count(w, d, h);
    for (int64_t from = 0, to; from < count; from = to) {
        to = run_end(w, from, count);
        w->kernels->divide(row + from * w->lanes * w->window->lane_size, divisor(w, down * w->counts[from]),
                           (to - from) * w->lanes);
    }
}

/* ---- Sources ---- */

/* Calls a map on rows of `count` columns: at once where one exponent serves all, else column by column. */
#define EACH_EXPONENT(w, count, i, n, call) \
    do { \
        int64_t n = (w)->exponent.step != 0 ? (w)->lanes : (w)->lanes * (count); \
        for (int64_t i = 0; i < (w)->lanes * (count); i += n) { call; } \
    } while (0)

static void source_x(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst, int64_t pitch)
{
    cp_work *w = context;
    const cp_lp_kernels *lp = w->window->engine->kernels->lp;
    int g = w->recipe->nested ? 2 : 0;
    cp_map map = w->recipe->map;
    /* Maps work in place: they read a lane before they write it. */
    double *row = dst;
    load(w, g, d, h, column, step, count, dst);
    if (map == ABSOLUTE) {
        w->kernels->absolute(dst, count * w->lanes);
    } else if (map == POWER) {
        EACH_EXPONENT(w, count, i, n, lp->map(row + i, pitch, row + i, n, w->exponent));
    } else if (map == ENTROPY) {
        EACH_EXPONENT(w, count, i, n, lp->map_entropy(row + i, pitch, row + i, n, w->exponent));
    }
}

static void source_mean_gradient(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst,
                                 int64_t pitch)
{
    cp_work *w = context;
    (void)pitch;
    load(w, 1, d, h, column, step, count, dst);
    prepare_columns(w, column, step, count);
    divide_row(w, dst, d, h, count);
}

/* Position in the plane of the first tap of the windows of output row (d, h), without the column. */
static double row_base(const cp_work *w, int64_t d, int64_t h)
{
    const cp_pool *pool = w->window->pool;
    return ((double)cp_axis_span(&pool->axis[0], d).first * (double)pool->in[1] +
            (double)cp_axis_span(&pool->axis[1], h).first) * (double)pool->in[2];
}

static void source_selection(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst,
                             int64_t pitch)
{
    cp_work *w = context;
    const cp_window *window = w->window;
    double base[64], row = row_base(w, d, h);
    load(w, 1, d, h, column, step, count, dst);
    prepare_columns(w, column, step, count);
    for (int64_t from = 0; from < count; from += 64) {
        int64_t n = count - from < 64 ? count - from : 64;
        for (int64_t i = 0; i < n; i++) {
            base[i] = row + w->base[from + i];
        }
        w->kernels->load_positions((char *)dst + (pitch + from * w->lanes) * window->lane_size, window->layout.grid[2].bits,
                                   element(w, 2, d, h, column + from * step), n, step * window->layout.grid[2].space[2],
                                   w->lanes, w->lane_step[2], &window->tap_map, base);
    }
}

/* Taps that a fold left at -1: windows of nothing but the identity (all -inf) select their first element, empty ones none. */
static void settle_taps(cp_work *w, int64_t d, int64_t h, double *taps_of, int64_t column, int64_t count, void *taps)
{
    const cp_pool *pool = w->window->pool;
    cp_span deep = cp_axis_span(&pool->axis[0], d), down = cp_axis_span(&pool->axis[1], h);
    double row = (double)(deep.lo * pool->axis[1].taps + down.lo) * (double)pool->axis[2].taps;
    for (int64_t from = 0; from < count; from += 64) {
        int64_t n = count - from < 64 ? count - from : 64;
        for (int64_t i = 0; i < n; i++) {
            cp_span along = cp_axis_span(&pool->axis[2], column + from + i);
            int empty = deep.lo == deep.hi || down.lo == down.hi || along.lo == along.hi;
            taps_of[i] = empty ? -1.0 : row + (double)along.lo;
        }
        w->kernels->first_taps((char *)taps + from * w->lanes * w->window->lane_size, taps_of, n, w->lanes);
    }
}

/* One tile of windows of x for source_lp_gradient: their sums, then what they pass to their elements. */
static void inner_windows(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *sum = (double *)(void *)w->inner_result, *dy = (double *)(void *)w->aux, scratch[64];
    int64_t pitch = w->inner.pitch;
    if (w->inner.targets != count || w->inner.first_target != column) {
        cp_walk_tile(&w->inner, column, count, w->lanes);
    }
    cp_walk_fold(&w->inner, d, h, sum);
    load(w, 1, d, h, column, 1, count, dy);
    if (w->recipe->map == ABSOLUTE) {
        double row = row_base(w, d, h);
        double *taps = sum + pitch;
        settle_taps(w, d, h, scratch, column, count, taps);
        for (int64_t i = 0; i < count * w->lanes; i++) {
            double base = row + (double)cp_axis_span(&window->pool->axis[2], column + i / w->lanes).first;
            taps[i] = base + cp_tap_offset(&window->tap_map, (int64_t)taps[i]);
        }
        memcpy(sum, dy, (size_t)(count * w->lanes) * sizeof(double));
        return;
    }
    prepare_columns(w, column, 1, count);
    double down = row_count(w, d, h);
    int mean = (window->pool->params.flags & CPOOL_MEAN) != 0;
    for (int64_t from = 0, to; from < count; from = to) {
        to = run_end(w, from, count);
        double size = mean ? down * w->counts[from] : 0;
        int64_t at = from * w->lanes;
        EACH_EXPONENT(w, to - from, i, n, lp->window_gradient(sum + at + i, pitch, dy + at + i, n, w->exponent, size));
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

/* ---- Results ---- */

static void pool_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_pool *pool = window->pool;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double scratch[64], *sum = (double *)(void *)w->result;
    cp_walk_fold(&w->walk, d, h, w->result);
    if (is_max(pool)) {
        w->kernels->plus_zero(w->result, count * w->lanes);
        if (pool->array[CPOOL_TAPS] != NULL) {
            const cp_grid *taps = &window->layout.grid[2];
            char *row = w->result + w->walk.pitch * window->lane_size;
            settle_taps(w, d, h, scratch, column, count, row);
            w->kernels->store_taps(writable(element(w, 2, d, h, column)), taps->bits, row, count, taps->space[2], w->lanes,
                                   w->lane_step[2]);
        }
    } else {
        prepare_columns(w, column, 1, count);
        double down = row_count(w, d, h);
        int mean = (pool->params.flags & CPOOL_MEAN) != 0;
        for (int64_t from = 0, to; from < count; from = to) {
            to = run_end(w, from, count);
            double size = down * w->counts[from];
            int64_t at = from * w->lanes;
            if (pool->op->code == CPOOL_AVG) {
                w->kernels->divide(w->result + at * window->lane_size, divisor(w, size), (to - from) * w->lanes);
            } else if (size == 0) {
                w->kernels->fill(sum + at, 0.0, (to - from) * w->lanes);
            } else if (w->recipe->map == POWER) {
                EACH_EXPONENT(w, to - from, i, n, lp->root(sum + at + i, w->walk.pitch, n, w->exponent, mean ? size : 0));
            }
        }
    }
    store(w, 1, d, h, column, count, w->result);
}

static void input_gradient_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_pool *pool = window->pool;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *sum = (double *)(void *)w->result, *x = (double *)(void *)w->aux;
    if (w->walk.fold == CP_GATHER) {
        w->kernels->iota(w->self, (double)((d * pool->in[1] + h) * pool->in[2] + column), count);
        cp_walk_gather(&w->walk, d, h, w->self, w->result);
    } else {
        cp_walk_fold(&w->walk, d, h, w->result);
    }
    if (pool->op->code == CPOOL_LP) {
        load(w, 2, d, h, column, 1, count, x);
        if (w->recipe->map == ABSOLUTE) {
            w->kernels->copy_sign(w->result, x, count * w->lanes);
        } else {
            EACH_EXPONENT(w, count, i, n, lp->input_gradient(sum + i, w->walk.pitch, x + i, n, w->exponent));
        }
    }
    store(w, 0, d, h, column, count, w->result);
}

static void exponent_gradient_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *entropy = (double *)(void *)w->result, *dy = (double *)(void *)w->aux;
    cp_walk_fold(&w->walk, d, h, entropy);
    load(w, 1, d, h, column, 1, count, dy);
    prepare_columns(w, column, 1, count);
    double down = row_count(w, d, h);
    int mean = (window->pool->params.flags & CPOOL_MEAN) != 0;
    for (int64_t from = 0, to; from < count; from = to) {
        to = run_end(w, from, count);
        double size = mean ? down * w->counts[from] : 0;
        int64_t at = from * w->lanes;
        EACH_EXPONENT(w, to - from, i, n,
                      lp->exponent_gradient(entropy + at + i, w->walk.pitch, dy + at + i, n, w->exponent, size));
    }
    for (int64_t i = 0; i < count; i++) {
        for (int64_t l = 0; l < w->lanes; l++) {
            w->sums[(i % LANES) * w->lanes + l] += entropy[i * w->lanes + l];
        }
    }
}

/* The virtual lanes of a segment, by halves, onto the block's sum. */
static void close_segment(cp_work *w)
{
    double *total = w->sums + LANES * w->lanes;
    for (int64_t half = LANES / 2; half > 0; half /= 2) {
        for (int64_t i = 0; i < half * w->lanes; i++) {
            w->sums[i] += w->sums[i + half * w->lanes];
        }
    }
    for (int64_t l = 0; l < w->lanes; l++) {
        total[l] += w->sums[l];
    }
    memset(w->sums, 0, (size_t)(LANES * w->lanes) * sizeof(double));
}

/* ---- Running ---- */

static void bind_work(cp_work *w, const cp_recipe *recipe, char *memory)
{
    const cp_window *window = w->window;
    size_t size = (size_t)window->lane_size;
    w->recipe = recipe;
    w->walk = recipe->walk;
    w->walk.source = recipe->nested                                                          ? source_lp_gradient
                     : window->task != INPUT_GRADIENT                                        ? source_x
                     : is_max(window->pool)                                                  ? source_selection
                                                                                             : source_mean_gradient;
    w->walk.context = w;
    memory = cp_walk_bind(&w->walk, memory, w->kernels);
    w->inner = recipe->inner;
    if (recipe->nested) {
        w->inner.source = source_x;
        w->inner.context = w;
        memory = cp_walk_bind(&w->inner, memory, w->kernels);
    }
    w->result = memory;
    memory += round_up((size_t)w->walk.pitch * size) * (size_t)w->walk.rows;
    w->inner_result = memory;
    memory += round_up((size_t)w->inner.pitch * size) * (size_t)w->inner.rows;
    w->aux = memory;
    memory += round_up(recipe->aux_lanes * size);
    w->self = memory;
    memory += round_up((size_t)w->walk.width * size);
    w->counts = (double *)(void *)memory;
    memory += round_up(recipe->columns * sizeof(double));
    w->base = (double *)(void *)memory;
    memory += round_up(recipe->columns * sizeof(double));
    w->exponents = (double *)(void *)memory;
    memory += round_up((size_t)window->lanes * sizeof(double));
    w->sums = (double *)(void *)memory;
    w->count = 0;
}

static int lanes_are_channels(const cp_window *w)
{
    return w->layout.lane >= 0 && w->layout.lane == w->layout.channel;
}

static void set_exponents(cp_work *w, int64_t channel)
{
    int differ = lanes_are_channels(w->window) && w->lanes > 1;
    for (int64_t l = 0; l < (differ ? w->lanes : 1); l++) {
        w->exponents[l] = exponent_at(w->window->pool->array[CPOOL_P], channel + l);
    }
    w->exponent.p = w->exponents;
    w->exponent.step = differ;
}

/* The rows of one block, for `lanes` lanes from `lane` on that share a recipe. */
static void run_lanes(cp_work *w, int64_t outer, int64_t block, int64_t lane, int64_t lanes, char *memory)
{
    const cp_window *window = w->window;
    const cp_layout *layout = &window->layout;
    int64_t channel = 0;
    int infinite = 0;
    w->lanes = lanes;
    for (int g = 0; g < CP_GRIDS; g++) {
        if (layout->grid[g].item != 0) {
            w->lane_step[g] = layout->lane >= 0 ? layout->grid[g].batch[layout->lane] : 0;
            w->at[g] = layout->grid[g].data + cp_layout_offset(layout, (int32_t)g, outer, &channel) + lane * w->lane_step[g];
        }
    }
    channel = lanes_are_channels(window) ? lane : channel;
    if (window->pool->op->code == CPOOL_LP) {
        infinite = exponent_at(window->pool->array[CPOOL_P], channel) == cp_infinity();
    }
    if (w->recipe != &window->recipe[infinite]) {
        bind_work(w, &window->recipe[infinite], memory);
    }
    if (window->pool->op->code == CPOOL_LP) {
        set_exponents(w, channel);
    }
    w->inner.targets = 0;
    w->walk.direct_data = w->at[0];
    memcpy(w->walk.direct_stride, layout->grid[0].space, sizeof w->walk.direct_stride);
    int64_t rows = window->axis[0].targets * window->axis[1].targets, height = window->axis[1].targets;
    int64_t begin = block * window->block_rows, end = begin + window->block_rows < rows ? begin + window->block_rows : rows;
    if (window->task == EXPONENT_GRADIENT) {
        memset(w->sums, 0, (size_t)((LANES + 1) * w->lanes) * sizeof(double));
    }
    for (int64_t column = 0; column < window->axis[2].targets; column += w->walk.width) {
        int64_t left = window->axis[2].targets - column, count = left < w->walk.width ? left : w->walk.width;
        cp_walk_tile(&w->walk, column, count, w->lanes);
        for (int64_t row = begin; row < end; row++) {
            int64_t d = row / height, h = row % height;
            switch (window->task) {
            case POOL: pool_row(w, d, h, column, count); break;
            case INPUT_GRADIENT: input_gradient_row(w, d, h, column, count); break;
            case EXPONENT_GRADIENT: exponent_gradient_row(w, d, h, column, count); break;
            }
        }
        if (window->task == EXPONENT_GRADIENT) {
            close_segment(w);
        }
    }
    for (int64_t l = 0; l < w->lanes && window->task == EXPONENT_GRADIENT; l++) {
        int64_t plane = cp_layout_plane(layout, outer, lane + l);
        window->partials[plane * window->blocks + block] = infinite ? 0.0 : w->sums[LANES * w->lanes + l];
    }
}

static void run_unit(cp_work *w, int64_t unit, char *memory)
{
    const cp_window *window = w->window;
    int64_t block = unit % window->blocks, tile = unit / window->blocks % window->tiles;
    int64_t outer = unit / window->blocks / window->tiles, lane = tile * window->lanes;
    int64_t end = lane + window->lanes < window->layout.lanes ? lane + window->lanes : window->layout.lanes;
    while (lane < end) {
        int64_t to = end;
        if (window->pool->op->code == CPOOL_LP && lanes_are_channels(window)) { /* finite and infinite exponents apart */
            const cpool_view *p = window->pool->array[CPOOL_P];
            int infinite = exponent_at(p, lane) == cp_infinity();
            for (to = lane + 1; to < end && (exponent_at(p, to) == cp_infinity()) == infinite;) {
                to++;
            }
        }
        run_lanes(w, outer, block, lane, to - lane, memory);
        lane = to;
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_window *window = arg;
    const cp_engine *engine = window->engine;
    cp_fpenv environment = cp_fpenv_enter();
    char *memory = engine->workspace + (size_t)worker * window->bytes;
    cp_work work;
    work.window = window;
    work.recipe = NULL;
    work.kernels = engine->kernels->lane[window->lane_kind];
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit, memory);
    }
    cp_fpenv_leave(environment);
}

/* Sum of n values, in blocks of powers of 4 from the left, each (a + b) + (c + d) of its quarters. */
typedef struct cp_terms {
    const double *values;
    int64_t run, gap; /* runs of `run` values, `gap` from the first of one to the first of the next */
} cp_terms;

static double sum_block(const cp_terms *terms, int64_t from, int64_t size)
{
    if (size == 1) {
        return terms->values[from / terms->run * terms->gap + from % terms->run];
    }
    int64_t quarter = size / 4;
    return (sum_block(terms, from, quarter) + sum_block(terms, from + quarter, quarter)) +
           (sum_block(terms, from + 2 * quarter, quarter) + sum_block(terms, from + 3 * quarter, quarter));
}

static double sum_terms(const cp_terms *terms, int64_t n)
{
    double sum = 0;
    int64_t size = 1, from = 0;
    while (size <= n / 4) {
        size *= 4;
    }
    for (; size > 0; size /= 4) {
        for (; n - from >= size; from += size) {
            sum += sum_block(terms, from, size);
        }
    }
    return sum;
}

static void reduce_exponent_gradient(const cp_window *w)
{
    const cpool_view *dp = w->pool->grad[CPOOL_P];
    int64_t channels = per_channel(w->pool) ? w->pool->x_shape[w->pool->channel] : 1;
    int64_t planes = cp_layout_planes(&w->layout), run = w->blocks, stride = 0;
    cp_fpenv environment = cp_fpenv_enter();
    if (dp->ndim == 1) {
        cp_view_strides(dp, &stride);
    }
    for (int64_t c = 0; c < channels; c++) { /* channels are the last of the logical order */
        cp_terms terms = {w->partials + c * run, run, channels * run};
        double sum = sum_terms(&terms, planes / channels * run);
        char *at = (char *)dp->data + c * stride;
        if (dp->dtype_bits == 32) {
            cp_write_f32(at, sum);
        } else {
            cp_write_f64(at, sum);
        }
    }
    cp_fpenv_leave(environment);
}

static cp_task task_of(int32_t direction, int i)
{
    return direction == CPOOL_FORWARD ? POOL : i == 0 ? INPUT_GRADIENT : EXPONENT_GRADIENT;
}

static int has_task(const cp_pool *pool, int32_t direction, int i)
{
    if (direction == CPOOL_FORWARD) {
        return i == 0;
    }
    return i == 0 ? pool->grad[CPOOL_X] != NULL : pool->op->code == CPOOL_LP && pool->grad[CPOOL_P] != NULL;
}

static double task_nanoseconds(const cp_window *w)
{
    double planes = (double)cp_layout_planes(&w->layout), targets = 1, sources = 1, taps = 0, all = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        targets *= (double)w->axis[s].targets;
        sources *= (double)w->axis[s].sources;
        taps += (double)w->axis[s].taps;
        all *= (double)w->axis[s].taps;
    }
    taps = w->recipe[0].walk.fold == CP_GATHER ? all : taps;
    double each = w->pool->op->code == CPOOL_LP ? 4.0 : 0.4;
    return planes * each * (sources + targets * taps);
}

cp_cost cp_window_cost(const cp_pool *pool, int32_t direction)
{
    cp_cost cost = {0, 0, 0};
    cp_window window;
    for (int i = 0; i < 2; i++) {
        if (!has_task(pool, direction, i)) {
            continue;
        }
        plan_window(&window, pool, task_of(direction, i));
        cost.per_worker = window.bytes > cost.per_worker ? window.bytes : cost.per_worker;
        cost.nanoseconds += task_nanoseconds(&window);
        if (window.task == EXPONENT_GRADIENT) {
            cost.shared = round_up((size_t)(cp_layout_planes(&window.layout) * window.blocks) * sizeof(double));
        }
    }
    return cost;
}

void cp_window_run(const cp_pool *pool, int32_t direction, const cp_engine *engine)
{
    cp_window window;
    for (int i = 0; i < 2; i++) {
        if (!has_task(pool, direction, i)) {
            continue;
        }
        plan_window(&window, pool, task_of(direction, i));
        window.engine = engine;
        cp_cost cost = cp_window_cost(pool, direction);
        window.partials = (double *)(void *)(engine->workspace + cost.per_worker * (size_t)engine->workers);
        enum { NANOSECONDS_WORTH_A_THREAD = 20000 };
        double each = task_nanoseconds(&window) / (double)(window.units > 0 ? window.units : 1);
        double grain = each > 0 ? NANOSECONDS_WORTH_A_THREAD / each : 1;
        engine->parallel_for(engine->parallel_ctx, window.units, grain < 1 ? 1 : grain > 1e15 ? INT64_MAX : (int64_t)grain,
                             run_units, &window);
        if (window.task == EXPONENT_GRADIENT) {
            reduce_exponent_gradient(&window);
        }
    }
}
