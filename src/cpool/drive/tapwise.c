#include "drive/tapwise.h"

#include <string.h>

#include "drive/drawn.h"
#include "drive/draws.h"
#include "drive/drive.h"
#include "drive/mend.h"
#include "drive/ranked.h"
#include "drive/ranked_gradient.h"
#include "drive/weighted.h"
#include "integers.h"
#include "kernels/philox.h"
#include "kernels/template.h"

/* ---- What is given for each result ---- */

static int is_random(const cp_tapwise *p)
{
    return p->pool->op->code == CPOOL_MIXED_RANDOM;
}

static char *side(const cp_tapwise_work *w, int64_t i)
{
    return cp_tapwise_element(w, CP_ON_SIDE, w->d, w->h, w->column + i / w->lanes) + i % w->lanes * w->lane_step[CP_ON_SIDE];
}

static void draw_row(const cp_tapwise_work *w, int32_t granularity, double *u)
{
    const cp_tapwise *p = w->plan;
    const cp_draw_row row = {w->outer, w->lane, w->lanes, w->d, w->h, w->column, w->count};
    cp_draws(p->engine, p->pool, &p->layout, &row, granularity, u, p->n);
}

/* What was drawn: in forward it is written where every result has its own, else by write_mask. */
static void mask_row(const cp_tapwise_work *w)
{
    const cpool_pool_params *params = &w->plan->pool->params;
    int forward = w->plan->task == CP_TAPWISE_POOL, store = w->plan->layout.grid[CP_ON_SIDE].item != 0;
    if (forward) {
        draw_row(w, params->granularity, w->parameter);
    }
    for (int64_t i = 0; i < w->count * w->lanes; i++) {
        w->parameter[i] = forward ? w->parameter[i] < params->p_max : *(unsigned char *)side(w, i) != 0;
        if (forward && store && params->granularity == CPOOL_REGION) {
            *(unsigned char *)side(w, i) = (unsigned char)w->parameter[i];
        }
    }
}

static void write_mask(const cp_pool *pool)
{
    const cpool_pool_params *params = &pool->params;
    const cpool_view *mask = pool->array[CPOOL_MASK];
    if (mask == NULL || params->granularity == CPOOL_REGION) {
        return;
    }
    cp_spread spread;
    cp_layout layout;
    int64_t channel = 0;
    cp_parameter_spread(&spread, pool, mask, CPOOL_MASK);
    const cpool_view *views[CP_GRIDS] = {&spread.view};
    cp_layout_make(&layout, pool, views, 0);
    int64_t n = params->granularity == CPOOL_LAYER ? 1 : layout.outer;
    for (int64_t i = 0; i < n; i++) {
        char *at =
            params->granularity == CPOOL_LAYER ? mask->data : layout.grid[0].data + cp_layout_offset(&layout, 0, i, &channel);
        *(unsigned char *)at = cp_draw(params->seed, params->offset, (uint64_t)i) < params->p_max;
    }
}

/* Everything that the kernel is told of the windows beside their elements. */
static void begin_row(cp_tapwise_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_tapwise *p = w->plan;
    cp_tapwise_columns(w, column, count);
    cp_tapwise_row(w, d, h);
    if (p->task != CP_TAPWISE_POOL) {
        cp_tapwise_load(w, CP_ON_Y, d, h, column, 1, count, w->dy);
    }
    if (p->layout.grid[CP_ON_U].item != 0) {
        cp_tapwise_load(w, CP_ON_U, d, h, column, 1, count, w->u);
        memset(w->u + count * w->lanes, 0, (size_t)(p->n - count * w->lanes) * sizeof(double));
    } else if (p->kind == CP_TAP_DRAW) {
        draw_row(w, CPOOL_REGION, w->u);
    } else if (is_random(p)) {
        mask_row(w);
    } else if (p->kind == CP_TAP_MIX || p->kind == CP_TAP_ADA) {
        cp_tapwise_load(w, CP_ON_SIDE, d, h, column, 1, count, w->parameter);
    }
}

/* ---- Passes ---- */

typedef void (*cp_block_function)(cp_tapwise_work *w);

/* All blocks of the windows at work, once; what fits into one block is read no second time. */
static void each_block(cp_tapwise_work *w, int again, cp_block_function function)
{
    if (again && w->complete) {
        function(w);
        return;
    }
    cp_tap_cursor cursor = cp_tapwise_first(w);
    int more;
    do {
        more = cp_tapwise_read(w, &cursor);
        w->complete = !more && w->block.first == 0;
        function(w);
    } while (more);
}

static void pass_block(cp_tapwise_work *w)
{
    if (w->pass == 0 && w->complete && w->kernel->at_once != NULL) {
        w->at_once = w->kernel->at_once(&w->windows, &w->block, w->plan->task != CP_TAPWISE_POOL, w->plan->terms);
    }
    if (w->pass == 0 && w->block.first == 0 && !w->at_once) {
        memset(w->state, 0, (size_t)(w->plan->states * w->plan->n) * sizeof(double));
    }
    if (!w->at_once) {
        w->kernel->pass(&w->windows, &w->block, w->pass);
    }
}

static void gradient_block(cp_tapwise_work *w)
{
    if (!w->at_once) {
        w->kernel->gradient(&w->windows, &w->block);
    }
    cp_tapwise_scatter(w);
}

static void terms_block(cp_tapwise_work *w)
{
    w->kernel->terms(&w->windows, &w->block);
}

static void results(cp_tapwise_work *w)
{
    int passes = w->kernel->passes + (w->plan->task != CP_TAPWISE_POOL ? w->kernel->gradient_passes : 0);
    w->at_once = 0;
    for (w->pass = 0; w->pass < passes && !w->at_once; w->pass++) {
        each_block(w, w->pass > 0, pass_block);
        if (!w->at_once) {
            w->kernel->finish(&w->windows, w->pass);
        }
    }
}

static void pool_row(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    const cp_grid *y = &p->layout.grid[CP_ON_Y], *taps = &p->layout.grid[CP_ON_SIDE];
    results(w);
    if (p->mends) {
        cp_mend_keep(w->y, w->dy, w->count * w->lanes);
    }
    w->rows->store[p->pool->dtype](cp_tapwise_element(w, CP_ON_Y, w->d, w->h, w->column), w->y, w->count, y->space[2], w->lanes,
                                   w->lane_step[CP_ON_Y]);
    if (p->kind == CP_TAP_DRAW && taps->item != 0) {
        w->rows->store_taps(cp_tapwise_element(w, CP_ON_SIDE, w->d, w->h, w->column), taps->bits, w->tap, w->count,
                            taps->space[2], w->lanes, w->lane_step[CP_ON_SIDE]);
    }
}

/* What the windows whose results are known add to the gradients of parameters. */
static void terms_row(cp_tapwise_work *w)
{
    if (w->kernel->terms != NULL && !w->at_once) {
        each_block(w, 1, terms_block);
    }
    if (w->kernel->finish_terms != NULL && !w->at_once) {
        w->kernel->finish_terms(&w->windows);
    }
    if (w->plan->pool->grad[CPOOL_REFERENCE] != NULL) {
        w->rows->store[w->plan->pool->dtype](cp_tapwise_element(w, CP_ON_SIDE, w->d, w->h, w->column), w->tap, w->count,
                                             w->plan->layout.grid[CP_ON_SIDE].space[2], w->lanes, w->lane_step[CP_ON_SIDE]);
    }
}

/* ---- Units ---- */

static void run_pool(cp_tapwise_work *w, int64_t block)
{
    const cp_tapwise *p = w->plan;
    const int64_t *out = p->pool->out;
    int64_t rows = out[0] * out[1], end = (block + 1) * p->block_rows < rows ? (block + 1) * p->block_rows : rows;
    for (int64_t column = 0; column < out[2]; column += p->width) {
        int64_t left = out[2] - column, count = left < p->width ? left : p->width;
        for (int64_t row = block * p->block_rows; row < end; row++) {
            int64_t d = row / out[1], h = row % out[1];
            if (p->mends) {
                cp_tapwise_load(w, CP_ON_Y, d, h, column, 1, count, w->dy);
            }
            if (!p->mends || cp_mend_any(w->dy, count * w->lanes)) {
                begin_row(w, d, h, column, count);
                pool_row(w);
            }
        }
    }
}

/* One number of every window, each for itself. */
static void run_terms_per_result(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    const int64_t *out = p->pool->out;
    int64_t size = out[0] * out[1] * out[2];
    for (int64_t row = 0; row < out[0] * out[1]; row++) {
        for (int64_t column = 0; column < out[2]; column += p->width) {
            int64_t left = out[2] - column, count = left < p->width ? left : p->width;
            begin_row(w, row / out[1], row % out[1], column, count);
            results(w);
            terms_row(w);
            for (int64_t i = 0; i < count * w->lanes; i++) {
                int64_t plane = cp_layout_plane(&p->layout, w->outer, w->lane + i % w->lanes);
                p->partials[plane * size + row * out[2] + column + i / w->lanes] = w->terms[i];
            }
        }
    }
}

static cp_parameter_block sums_of(const cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    return (cp_parameter_block){w->sums, p->numbers, p->sums, &p->layout, w->outer, w->lane, w->lanes};
}

static void begin_sums(const cp_tapwise_work *w)
{
    cp_parameter_block block = sums_of(w);
    cp_parameter_block_begin(&block);
}

static void add_sums(const cp_tapwise_work *w)
{
    cp_parameter_block block = sums_of(w);
    for (int64_t k = 0; k < w->plan->term_rows; k++) {
        cp_parameter_sums sums = cp_parameter_block_sums(&block, k);
        cp_parameter_sums_add(&sums, w->terms + k * w->plan->n, w->column, w->count);
    }
}

static void end_sums(const cp_tapwise_work *w, int64_t at)
{
    cp_parameter_block block = sums_of(w);
    cp_parameter_block_end(&block, w->plan->partials, w->plan->sum_blocks, at);
}

/* Row by row, so that tiles may be as wide as they like; a block is one segment. */
static void run_terms(cp_tapwise_work *w, int64_t block)
{
    const cp_tapwise *p = w->plan;
    const int64_t *out = p->pool->out;
    int64_t rows = out[0] * out[1], end = (block + 1) * p->block_rows < rows ? (block + 1) * p->block_rows : rows;
    begin_sums(w);
    for (int64_t row = block * p->block_rows; row < end; row++) {
        for (int64_t column = 0; column < out[2]; column += p->width) {
            int64_t left = out[2] - column;
            begin_row(w, row / out[1], row % out[1], column, left < p->width ? left : p->width);
            results(w);
            terms_row(w);
            add_sums(w);
        }
    }
    end_sums(w, block);
}

/* ---- Bands ---- */

/* Whether a window of output row (d, h) reads a row of the band. */
static int reaches_band(const cp_tapwise_work *w, int64_t d, int64_t h)
{
    const cp_pool *pool = w->plan->pool;
    cp_span deep = cp_axis_span(&pool->axis[0], d), down = cp_axis_span(&pool->axis[1], h);
    if (deep.lo == deep.hi || down.lo == down.hi) {
        return 0;
    }
    int64_t first = (deep.first + deep.lo * deep.step) * pool->in[1] + down.first + down.lo * down.step;
    int64_t last = (deep.first + (deep.hi - 1) * deep.step) * pool->in[1] + down.first + (down.hi - 1) * down.step;
    return first < w->band_last && last >= w->band_first;
}

static void add_to_total(double *total, double *rest, double term)
{
    double next = *total + term, part = next - *total;
    *rest += (*total - (next - part)) + (term - part);
    *total = next;
}

/* The gradient of an input that several planes share: they are added in order, the rounding errors apart. */
static void share_band(cp_tapwise_work *w)
{
    int across = cp_tapwise_lanes_are_channels(w->plan);
    int64_t columns = w->plan->pool->in[2];
    for (int64_t row = w->band_first; row < w->band_last; row++) {
        const double *terms = cp_tapwise_band_row(w, 1, row);
        int64_t first = (row - w->band_first) * columns;
        for (int64_t i = 0; i < columns; i++) {
            for (int64_t l = 0; l < w->lanes; l++) {
                int64_t to = across ? first + i : (first + i) * w->lanes + l;
                add_to_total(&w->total[to], &w->total_rest[to], terms[i * w->lanes + l]);
            }
        }
    }
}

/* Tells memory which row will be stored ROWS_AHEAD of this one, if there is one and its columns lie side by side. */
CP_TEMPLATE void expect_row(const cp_tapwise_work *w, int g, int64_t row)
{
    enum { ROWS_AHEAD = 8 };
    const cp_grid *grid = &w->plan->layout.grid[g];
    const int64_t *in = w->plan->pool->in;
    if (w->lanes > 1 || grid->space[2] != grid->item || in[2] > CP_AHEAD / grid->item || row % in[1] + ROWS_AHEAD >= in[1]) {
        return;
    }
    const char *ahead = cp_tapwise_element(w, g, row / in[1], row % in[1] + ROWS_AHEAD, 0);
    for (int64_t byte = 0; byte < in[2] * grid->item; byte += CP_LINE) {
        CP_PREFETCH_WRITE(ahead + byte);
    }
}

static void store_row(const cp_tapwise_work *w, int g, int64_t row, const double *values, int64_t lanes)
{
    const cp_tapwise *p = w->plan;
    const int64_t *in = p->pool->in;
    expect_row(w, g, row);
    w->rows->store[p->pool->dtype](cp_tapwise_element(w, g, row / in[1], row % in[1], 0), values, in[2],
                                   p->layout.grid[g].space[2], lanes, w->lane_step[g]);
}

/* Elements of a row of dx that are missing. */
static void mend_row(cp_tapwise_work *w, int64_t row, const double *values)
{
    const cp_tapwise *p = w->plan;
    int64_t d = row / p->pool->in[1], h = row % p->pool->in[1], columns = p->pool->in[2];
    for (int64_t column = 0; column < columns; column += p->width) {
        int64_t count = cp_min64(p->width, columns - column), n = count * w->lanes;
        cp_tapwise_load(w, CP_ON_DX, d, h, column, 1, count, w->dy);
        memcpy(w->y, values + column * w->lanes, (size_t)n * sizeof(double));
        cp_mend_keep(w->y, w->dy, n);
        w->rows->store[p->pool->dtype](cp_tapwise_element(w, CP_ON_DX, d, h, column), w->y, count,
                                       p->layout.grid[CP_ON_DX].space[2], w->lanes, w->lane_step[CP_ON_DX]);
    }
}

static void store_band(cp_tapwise_work *w, int gradient)
{
    for (int64_t row = w->band_first; row < w->band_last; row++) {
        if (w->plan->mends) {
            mend_row(w, row, cp_tapwise_band_row(w, gradient, row));
            continue;
        }
        store_row(w, gradient == 0 ? CP_ON_DX : CP_ON_DLOGITS, row, cp_tapwise_band_row(w, gradient, row), w->lanes);
    }
}

/* The gradients that the lanes at work add to a band. */
static void run_band(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    const int64_t *out = p->pool->out;
    for (int g = 0; g < CP_TAP_GRADIENTS; g++) {
        if (w->gradient[g] != NULL) {
            memset(w->band[g], 0, (size_t)((w->band_last - w->band_first) * p->band_row) * sizeof(double));
        }
    }
    for (int64_t row = 0; row < out[0] * out[1]; row++) {
        int reaches = reaches_band(w, row / out[1], row % out[1]);
        if (p->terms && row % CP_PARAMETER_ROWS == 0) {
            begin_sums(w);
        }
        for (int64_t column = 0; column < out[2] && (reaches || p->terms); column += p->width) {
            int64_t left = out[2] - column;
            begin_row(w, row / out[1], row % out[1], column, left < p->width ? left : p->width);
            results(w);
            if (reaches) {
                each_block(w, 1, gradient_block);
            }
            if (p->terms) {
                terms_row(w);
                add_sums(w);
            }
        }
        if (p->terms && (row % CP_PARAMETER_ROWS == CP_PARAMETER_ROWS - 1 || row == out[0] * out[1] - 1)) {
            end_sums(w, row / CP_PARAMETER_ROWS);
        }
    }
    if (w->gradient[0] != NULL) {
        store_band(w, 0);
    }
    if (p->channels > 1) {
        share_band(w);
    } else if (w->gradient[1] != NULL) {
        store_band(w, 1);
    }
}

static void begin_lanes(cp_tapwise_work *w, int64_t outer, int64_t tile)
{
    int64_t lane = tile * w->plan->lanes, left = w->plan->layout.lanes - lane;
    cp_tapwise_lanes(w, outer, lane, left < w->plan->lanes ? left : w->plan->lanes);
}

static void run_gradient(cp_tapwise_work *w, int64_t unit)
{
    const cp_tapwise *p = w->plan;
    const int64_t *in = p->pool->in;
    int64_t rows = in[0] * in[1], band = unit % p->blocks, rest = unit / p->blocks;
    w->band_first = band * p->block_rows;
    w->band_last = w->band_first + p->block_rows < rows ? w->band_first + p->block_rows : rows;
    if (p->channels == 1) {
        begin_lanes(w, rest / p->tiles, rest % p->tiles);
        run_band(w);
        return;
    }
    int across = cp_tapwise_lanes_are_channels(p);
    size_t bytes = (size_t)((w->band_last - w->band_first) * in[2] * p->lanes) * sizeof(double);
    memset(w->total, 0, bytes);
    memset(w->total_rest, 0, bytes);
    for (int64_t i = 0; i < (across ? p->tiles : p->channels); i++) {
        begin_lanes(w, across ? rest : rest / p->tiles * p->channels + i, across ? i : rest % p->tiles);
        run_band(w);
    }
    int64_t lanes = across ? 1 : w->lanes;
    for (int64_t i = 0; i < (w->band_last - w->band_first) * in[2] * lanes; i++) {
        w->total[i] += w->total_rest[i];
    }
    for (int64_t row = w->band_first; row < w->band_last; row++) {
        store_row(w, CP_ON_DLOGITS, row, w->total + (row - w->band_first) * in[2] * lanes, lanes);
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_tapwise *p = arg;
    cp_tapwise_work work;
    memset(&work, 0, sizeof work);
    work.plan = p;
    work.rows = p->engine->kernels->lane[CP_LANE_f64];
    work.kernel = &p->engine->kernels->tap[p->pool->dtype][p->kind];
    (void)cp_tapwise_bind(&work, p, cp_engine_worker(p->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        if (p->task == CP_TAPWISE_INPUT_GRADIENT) {
            run_gradient(&work, unit);
            continue;
        }
        begin_lanes(&work, unit / p->blocks / p->tiles, unit / p->blocks % p->tiles);
        if (p->task == CP_TAPWISE_POOL) {
            run_pool(&work, unit % p->blocks);
        } else if (p->per_result) {
            run_terms_per_result(&work);
        } else {
            run_terms(&work, unit % p->blocks);
        }
    }
}

/* ---- Calls ---- */

enum { MOST_TASKS = 2 };

static double task_nanoseconds(const cp_tapwise *p)
{
    const int64_t *in = p->pool->in, *out = p->pool->out;
    double sources = (double)in[0] * (double)in[1] * (double)in[2], targets = (double)out[0] * (double)out[1] * (double)out[2];
    double each = p->kind == CP_TAP_RANK ? 2.0 + (double)p->ranks : 4.0;
    return (double)cp_layout_planes(&p->layout) * (sources * (p->leaves > 1 ? 10.0 : 1.0) + targets * (double)p->taps * each);
}

static int plan_tasks(cp_tapwise plans[MOST_TASKS], const cp_pool *pool, int32_t direction, cp_cost *cost)
{
    int n = 0;
    *cost = (cp_cost){0, 0, 0};
    if (direction == CPOOL_FORWARD) {
        cp_tapwise_plan(&plans[n++], pool, CP_TAPWISE_POOL);
    } else {
        if (pool->grad[CPOOL_X] != NULL || pool->grad[CPOOL_LOGITS] != NULL) {
            cp_tapwise_plan(&plans[n++], pool, CP_TAPWISE_INPUT_GRADIENT);
        }
        if (n == 0 || !plans[0].terms) {
            cp_tapwise_plan(&plans[n], pool, CP_TAPWISE_PARAMETER_GRADIENT);
            n += plans[n].terms;
        }
    }
    for (int i = 0; i < n; i++) {
        const cp_tapwise *p = &plans[i];
        if (p->terms) {
            int64_t size = pool->out[0] * pool->out[1] * pool->out[2], planes = cp_layout_planes(&p->layout);
            int64_t partials = p->per_result ? size : p->numbers * p->sum_blocks;
            cost->shared = (double)planes * (double)partials * sizeof(double) < (double)CP_TOO_MANY_BYTES
                               ? cp_row_bytes(planes * partials, sizeof(double))
                               : CP_TOO_MANY_BYTES;
        }
        cost->per_worker = plans[i].bytes > cost->per_worker ? plans[i].bytes : cost->per_worker;
        cost->nanoseconds += task_nanoseconds(&plans[i]);
    }
    return n;
}

/* Small windows of floats, in float: what is left for the plan is what float cannot hold. */
typedef struct cp_in_float {
    cp_weighted weighted;
    cp_ranked ranked;
    cp_drawn drawn;
    cp_ranked_gradients gradients;
    enum { CP_NOT_IN_FLOAT, CP_WEIGHTED_IN_FLOAT, CP_RANKED_IN_FLOAT, CP_DRAWN_IN_FLOAT, CP_GRADIENTS_IN_FLOAT } way;
} cp_in_float;

static void plan_in_float(cp_in_float *f, const cp_pool *pool, int32_t direction, cp_cost *cost)
{
    cp_cost own = {0, 0, 0};
    f->way = CP_NOT_IN_FLOAT;
    if (direction != CPOOL_FORWARD) {
        if (!cp_ranked_gradients_plan(&f->gradients, pool)) {
            return;
        }
        f->way = CP_GRADIENTS_IN_FLOAT;
        own = cp_ranked_gradients_cost(&f->gradients);
    } else if (cp_weighted_plan(&f->weighted, pool)) {
        f->way = CP_WEIGHTED_IN_FLOAT;
        own = cp_weighted_cost(&f->weighted);
    } else if (cp_ranked_plan(&f->ranked, pool)) {
        f->way = CP_RANKED_IN_FLOAT;
        own = cp_ranked_cost(&f->ranked);
    } else if (cp_drawn_plan(&f->drawn, pool)) {
        f->way = CP_DRAWN_IN_FLOAT;
        own = cp_drawn_cost(&f->drawn);
    } else {
        return;
    }
    cost->per_worker = own.per_worker > cost->per_worker ? own.per_worker : cost->per_worker;
    cost->nanoseconds = own.nanoseconds;
}

/* Whether parameters are such that it is done. */
static int may_run_in_float(cp_in_float *f)
{
    switch (f->way) {
    case CP_NOT_IN_FLOAT: return 0;
    case CP_RANKED_IN_FLOAT: return cp_ranked_take_weights(&f->ranked);
    case CP_GRADIENTS_IN_FLOAT: return cp_ranked_gradients_take_weights(&f->gradients);
    default: return 1;
    }
}

/* Returns whether results are left. */
static int run_in_float(cp_in_float *f, const cp_engine *engine)
{
    switch (f->way) {
    case CP_WEIGHTED_IN_FLOAT: return cp_weighted_run(&f->weighted, engine);
    case CP_RANKED_IN_FLOAT: return cp_ranked_run(&f->ranked, engine);
    case CP_GRADIENTS_IN_FLOAT: return cp_ranked_gradients_run(&f->gradients, engine);
    default: cp_drawn_run(&f->drawn, engine); return 0;
    }
}

/* What was drawn is a selection like any other from there on. */
static int is_selection(const cp_pool *pool, int32_t direction, cp_pool *selection)
{
    if (direction == CPOOL_FORWARD || pool->op->code != CPOOL_STOCHASTIC) {
        return 0;
    }
    *selection = *pool;
    selection->op = cp_operator_find(CPOOL_MAX);
    return 1;
}

cp_cost cp_tapwise_cost(const cp_pool *pool, int32_t direction)
{
    cp_tapwise plans[MOST_TASKS];
    cp_in_float in_float;
    cp_pool selection;
    cp_cost cost;
    if (is_selection(pool, direction, &selection)) {
        return cp_window_cost(&selection, direction);
    }
    (void)plan_tasks(plans, pool, direction, &cost);
    plan_in_float(&in_float, pool, direction, &cost);
    return cost;
}

/* The numbers of one parameter: `count` of those that each plane has, from `first` on. */
static void reduce(const cp_tapwise *p, int32_t role, int64_t first, int64_t count)
{
    const cp_pool *pool = p->pool;
    if (pool->grad[role] == NULL) {
        return;
    }
    int64_t channels = cp_parameter_per_channel(pool, pool->array[role]) ? pool->x_shape[pool->channel] : 1;
    const cpool_view *gradient = pool->grad[role];
    cp_spread masks;
    if (role == CPOOL_LEAVES || role == CPOOL_GATES) {
        cp_parameter_masks(&masks, gradient);
        gradient = &masks.view;
    }
    if (channels > 0) {
        cp_parameter_sums_reduce(p->partials, cp_layout_planes(&p->layout), p->numbers, p->sum_blocks, channels, first, count,
                                 gradient);
    }
}

static void reduce_parameters(cp_tapwise *p)
{
    const int64_t *out = p->pool->out;
    if (p->per_result) {
        p->numbers = out[0] * out[1] * out[2];
    }
    reduce(p, CPOOL_BETA, 0, 1);
    reduce(p, CPOOL_ALPHA, 0, 1);
    reduce(p, CPOOL_LAMBDA, 1, 1);
    reduce(p, CPOOL_BIAS, p->kind == CP_TAP_DPP ? 2 : 0, 1);
    reduce(p, CPOOL_FILTER, 3, p->weights);
    reduce(p, CPOOL_BLEND, 0, p->numbers);
    reduce(p, CPOOL_WEIGHT, p->kind == CP_TAP_GATE, p->weights);
    reduce(p, CPOOL_GATES, 0, p->gate_weights);
    reduce(p, CPOOL_LEAVES, p->gate_weights, p->weights - p->gate_weights);
}

/* Of no channel at all, the sum is 0. */
static void clear_shared(const cp_tapwise *p)
{
    const cpool_view *shared = p->pool->grad[CPOOL_LOGITS];
    for (int64_t i = 0; p->channels == 0 && i < cp_view_size(shared); i++) {
        memset(cp_view_element(shared, i), 0, shared->dtype_bits / 8);
    }
}

cpool_status cp_tapwise_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_tapwise plans[MOST_TASKS];
    cp_in_float in_float;
    cp_pool selection;
    cp_engine engine;
    cp_cost cost;
    if (is_selection(pool, direction, &selection)) {
        return cp_window_run(&selection, direction, exec);
    }
    int n = plan_tasks(plans, pool, direction, &cost);
    plan_in_float(&in_float, pool, direction, &cost);
    cpool_status status = cp_engine_take(&engine, exec, cost);
    if (status == CPOOL_OK && may_run_in_float(&in_float)) {
        plans[0].mends = run_in_float(&in_float, &engine);
        n = plans[0].mends;
        plans[0].terms = 0; /* parameters have their gradients */
        plans[0].numbers = 0;
    }
    for (int i = 0; i < n && status == CPOOL_OK; i++) {
        cp_tapwise *p = &plans[i];
        p->engine = &engine;
        p->partials = (double *)(void *)cp_engine_shared(&engine);
        cp_engine_run(&engine, p->units, task_nanoseconds(p), run_units, p);
        clear_shared(p);
        if (p->terms) {
            reduce_parameters(p);
        } else if (p->task == CP_TAPWISE_POOL) {
            write_mask(pool);
        }
    }
    return status;
}
