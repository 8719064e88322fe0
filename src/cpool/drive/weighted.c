#include "drive/weighted.h"

#include <string.h>

#include "integers.h"
#include "kernels/template.h"
#include "plan/parameters.h"

/* Bytes of weights and weighted elements at once, roughly; lanes of pixels, columns of
 * results; additions along both axes after which a quotient of sums, and a root of one, are
 * still as exact as they have to be; taps along an axis, and strides, that strips take. */
enum { SCRATCH = 192 * 1024, LEAST_LANES = 16, MOST_LANES = 64, MOST_COLUMNS = 1024 };
enum { MOST_SUMS = 5, MOST_SQUARES = 2 * (CP_STRIP_SUM - 1), MOST_STRIDE = 8 };
enum { ON_X, ON_Y, ON_LOGIT, ARRAYS };

/* ---- Planning ---- */

static int suits(const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    int power = pool->op->code == CPOOL_LP, weighted = pool->op->family == CP_TAPWISE && pool->op->fold <= CP_TAP_SHARE;
    int good = (power || weighted) && pool->dtype == CP_DTYPE_f32 && pool->in[0] == 1 && pool->out[0] == 1;
    int64_t sums = axis[1].taps - 1 + axis[2].taps - 1;
    for (int a = 1; a < CP_SPACE; a++) {
        good &= axis[a].kind == CP_AXIS_SLIDING && (axis[a].dilation == 1 || axis[a].taps == 1) &&
                axis[a].taps <= CP_STRIP_SUM && cp_axis_stride(&axis[a]) <= MOST_STRIDE;
    }
    return good && sums > 0 && sums <= (power ? MOST_SQUARES : MOST_SUMS);
}

/* How many results of an axis are made from so many sources. */
static int64_t results_of(const cp_axis *axis, int64_t sources)
{
    return sources < axis->taps ? 1 : (sources - axis->taps) / axis->stride + 1;
}

static int64_t sources_of(const cp_axis *axis, int64_t results)
{
    return (results - 1) * axis->stride + axis->taps;
}

/* The smallest part of which no more are needed than of `most`: parts are of one size, and the last one overlaps. */
static int64_t even_part(int64_t whole, int64_t most)
{
    return whole <= most ? whole : cp_ceil_div(whole, cp_ceil_div(whole, most));
}

static void plan_unit(cp_weighted *w)
{
    const cp_pool *pool = w->pool;
    const cp_axis *axis = pool->axis;
    const int64_t item = w->parts * (int64_t)sizeof(float);
    int together = w->layout.lane >= 0;
    w->lanes = together ? even_part(w->layout.lanes, MOST_LANES) : 1;
    w->columns = even_part(pool->out[2], MOST_COLUMNS / w->lanes);
    w->source[1] = sources_of(&axis[2], w->columns);
    w->rows = even_part(pool->out[1], results_of(&axis[1], SCRATCH / (w->source[1] * w->lanes * item)));
    w->source[0] = sources_of(&axis[1], w->rows);
    int64_t step[CP_GRIDS];
    w->run = cp_layout_run(&w->layout, step);
    int whole = w->rows == pool->out[1] && w->columns == pool->out[2] && !together;
    w->planes = whole ? even_part(w->run, cp_max64(1, SCRATCH / (w->source[0] * w->source[1] * item))) : 1;
    w->groups = together ? cp_ceil_div(w->layout.lanes, w->lanes) : cp_ceil_div(w->run, w->planes);
    w->blocks = cp_ceil_div(pool->out[1], w->rows);
    w->strips = cp_ceil_div(pool->out[2], w->columns);
    w->units = (together ? w->layout.outer : w->layout.outer / w->run * w->groups) * w->blocks * w->strips;
}

/* The sums of scratch, as a pool of their own: averages whose divisor is 1. */
static int plan_sum(cp_weighted *w)
{
    enum { ROWS = 2, BATCH = 3 };
    static const int32_t batch[BATCH] = {0, 1, 4};
    const cp_axis *axis = w->pool->axis;
    const int64_t sources[CP_WEIGHTED_SIDES] = {w->parts, w->planes, w->source[0], w->source[1], w->lanes};
    const int64_t results[CP_WEIGHTED_SIDES] = {w->parts, w->planes, w->rows, w->columns, w->lanes};
    cp_pool *sum = &w->sum;
    memset(&sum->args, 0, sizeof sum->args);
    memcpy(sum->batch, batch, sizeof batch);
    memcpy(w->shape[0], sources, sizeof sources);
    memcpy(w->shape[1], results, sizeof results);
    sum->params = w->pool->params;
    sum->params.geometry = CPOOL_SLIDING;
    sum->params.flags = CPOOL_DIVISOR;
    sum->params.divisor = 1;
    sum->op = cp_operator_find(CPOOL_AVG);
    sum->array = sum->args.array;
    sum->grad = sum->args.grad;
    sum->ndim = CP_WEIGHTED_SIDES;
    sum->x_shape = w->shape[0];
    sum->channel = -1;
    sum->batch_count = BATCH;
    sum->window_taps = w->pool->window_taps;
    sum->taps_bits = w->pool->taps_bits;
    sum->dtype = w->pool->dtype;
    sum->dtype_bits = w->pool->dtype_bits;
    for (int a = 0; a < CP_SPACE; a++) {
        sum->space[a] = a == 0 ? -1 : a + ROWS - 1;
        sum->in[a] = sum->padded_end[a] = a == 0 ? 1 : sources[sum->space[a]];
        sum->out[a] = a == 0 ? 1 : results[sum->space[a]];
        sum->axis[a] = cp_axis_sliding(sum->in[a], sum->out[a], axis[a].taps, cp_axis_stride(&w->pool->axis[a]), 1, 0);
    }
    for (int side = 0; side < 2; side++) {
        w->view[side] = (cpool_view){NULL, w->shape[side], NULL, CP_WEIGHTED_SIDES, CPOOL_FLOAT, 32, 1, {0, 0, 0, 0}};
        sum->array[side == 0 ? CPOOL_X : CPOOL_Y] = &w->view[side];
    }
    return cp_strips_plan(&w->strip, sum, NULL);
}

int cp_weighted_plan(cp_weighted *w, const cp_pool *pool)
{
    if (!suits(pool)) {
        return 0;
    }
    cp_spread spread;
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y]};
    if (pool->array[CPOOL_LOGITS] != NULL) {
        cp_parameter_spread(&spread, pool, pool->array[CPOOL_LOGITS], CPOOL_LOGITS);
        views[ON_LOGIT] = &spread.view;
    }
    w->pool = pool;
    int power = pool->op->code == CPOOL_LP;
    w->kind = power ? CP_SQUARES : pool->op->fold;
    w->parts = power ? 1 : 2;
    w->parameter = pool->array[power ? CPOOL_P : CPOOL_BETA];
    cp_layout_make(&w->layout, pool, views, cp_parameter_per_channel(pool, w->parameter));
    if (cp_layout_planes(&w->layout) == 0) {
        return 0;
    }
    for (int32_t dim = 0; dim < w->layout.dims; dim++) {
        if (w->layout.grid[ON_X].batch[dim] == w->layout.grid[ON_X].item && w->layout.length[dim] >= LEAST_LANES) {
            cp_layout_take_lanes(&w->layout, dim);
        }
    }
    plan_unit(w);
    if (!plan_sum(w)) {
        return 0;
    }
    w->sources = w->planes * w->lanes * w->source[0] * w->source[1];
    w->results = w->planes * w->lanes * w->rows * w->columns;
    w->source_bytes = cp_row_bytes(w->parts * w->sources, sizeof(float));
    w->result_bytes = cp_row_bytes(w->parts * w->results, sizeof(float));
    w->line_bytes = cp_row_bytes(cp_max64(w->source[1], w->columns) * w->lanes, sizeof(float));
    w->lane_bytes = cp_row_bytes(w->lanes, sizeof(float));
    w->bytes = CP_LINE + 2 * w->lane_bytes + w->source_bytes + w->result_bytes + 2 * w->line_bytes + w->strip.bytes;
    return 1;
}

cp_cost cp_weighted_cost(const cp_weighted *w)
{
    const cp_pool *pool = w->pool;
    double elements = (double)pool->in[1] * (double)pool->in[2] + 2.0 * (double)pool->out[1] * (double)pool->out[2];
    return (cp_cost){w->bytes, 0, elements * (double)cp_layout_planes(&w->layout) * 0.6};
}

/* ---- Running ---- */

/* What a worker holds. Weights come first, weighted elements behind them; squares are alone. */
typedef struct cp_weighted_work {
    const cp_weighted *plan;
    int32_t *left;                              /* whether results are; in the worker's memory, where the caller finds it */
    float *source, *result, *line[2], *beta[2]; /* beta in two floats, of each lane or of all */
    cp_engine engine;
    cp_strips sum;
} cp_weighted_work;

static void begin(cp_weighted_work *work, const cp_weighted *w, char *memory)
{
    work->plan = w;
    work->left = (int32_t *)(void *)memory;
    memory += CP_LINE;
    for (int i = 0; i < 2; i++, memory += w->lane_bytes) {
        work->beta[i] = (float *)(void *)memory;
    }
    work->source = (float *)(void *)memory;
    memory += w->source_bytes;
    work->result = (float *)(void *)memory;
    memory += w->result_bytes;
    for (int i = 0; i < 2; i++, memory += w->line_bytes) {
        work->line[i] = (float *)(void *)memory;
    }
    work->engine = *w->engine;
    work->engine.workspace = memory;
    work->sum = w->strip;
    work->sum.engine = &work->engine;
    work->sum.layout.grid[0].data = (char *)work->source;
    work->sum.layout.grid[1].data = (char *)work->result;
}

static int lanes_are_channels(const cp_weighted *w)
{
    return w->layout.lane >= 0 && w->layout.lane == w->layout.channel;
}

static double parameter_of(const cp_weighted *w, int64_t channel)
{
    return cp_parameter_at(w->pool, w->parameter, channel, 0);
}

static void find_beta(const cp_weighted_work *work, int64_t channel)
{
    const cp_weighted *w = work->plan;
    for (int64_t l = 0; w->kind == CP_TAP_SOFT && l < (lanes_are_channels(w) ? w->lanes : 1); l++) {
        double beta = parameter_of(w, channel + l);
        work->beta[0][l] = (float)beta;
        work->beta[1][l] = (float)(beta - (double)work->beta[0][l]);
    }
}

/* Powers of other exponents than 2 are left. */
static int leave_powers(const cp_weighted_work *work, int64_t plane, int64_t channel)
{
    const cp_weighted *w = work->plan;
    int64_t lanes = lanes_are_channels(w) ? w->lanes : 1, results = w->rows * w->columns * w->lanes;
    int any = 0;
    for (int64_t l = 0; l < lanes; l++) {
        if (parameter_of(w, channel + l) != 2) {
            any = 1;
            for (int64_t i = l; i < results; i += lanes) {
                work->result[plane * results + i] = (float)cp_nan();
            }
        }
    }
    return any;
}

/* Elements `from` to `to` of a row of an array, where a kernel can read them: there, or copied side by side. */
static const char *find_line(const cp_weighted_work *work, int g, const char *row, int64_t from, int64_t to, int64_t *step)
{
    const cp_weighted *w = work->plan;
    const cp_layout *layout = &w->layout;
    const cp_grid *grid = &layout->grid[g];
    int64_t apart = layout->lane >= 0 ? grid->batch[layout->lane] : grid->space[2];
    const char *at = row + from * grid->space[2];
    *step = layout->lane >= 0 ? grid->space[2] : 0;
    if (apart == grid->item) {
        return at;
    }
    float *line = work->line[g == ON_LOGIT];
    w->engine->kernels->lane[CP_LANE_f32]->load[w->pool->dtype](line, at, to - from, grid->space[2], w->lanes,
                                                                layout->lane >= 0 ? apart : 0);
    *step = w->lanes * (int64_t)sizeof *line;
    return (const char *)line;
}

static void clear(const cp_weighted_work *work, int64_t from, int64_t to)
{
    for (int i = 0; i < work->plan->parts; i++) {
        memset(work->source + i * work->plan->sources + from, 0, (size_t)(to - from) * sizeof(float));
    }
}

/* Weights of a plane's rows from `row` and columns from `column` on, some of which may be padding, to place `to` of scratch. */
static void weigh_plane(const cp_weighted_work *work, char *const *at, int64_t row, int64_t column, int64_t to)
{
    const cp_weighted *w = work->plan;
    const cp_weighting by = {work->beta[0], work->beta[1], lanes_are_channels(w)};
    const int64_t *in = w->pool->in;
    int64_t from = cp_max64(column, 0), end = cp_max64(from, cp_min64(column + w->source[1], in[2])), lanes = w->lanes;
    int64_t before = (from - column) * lanes, behind = (end - column) * lanes, all = w->source[1] * lanes;
    for (int64_t r = row; r < row + w->source[0]; r++, to += all) {
        if (r < 0 || r >= in[1] || from >= end) {
            clear(work, to, to + all);
            continue;
        }
        float *weight = work->source + to + before;
        cp_weighted_row line = {NULL, NULL, 0, 0, end - from, lanes, weight, weight + (w->parts - 1) * w->sources};
        line.x = find_line(work, ON_X, at[ON_X] + r * w->layout.grid[ON_X].space[1], from, end, &line.x_step);
        if (w->kind == CP_TAP_LIP) {
            line.logit =
                find_line(work, ON_LOGIT, at[ON_LOGIT] + r * w->layout.grid[ON_LOGIT].space[1], from, end, &line.logit_step);
        }
        if (w->layout.lane < 0) { /* columns are the lanes */
            line.lanes = line.columns;
            line.columns = 1;
        }
        clear(work, to, to + before);
        w->engine->kernels->weighted->map[w->kind](&by, &line);
        clear(work, to + behind, to + all);
    }
}

/* Roots of the sums of squares, of means where it is these: of the elements that windows have. */
static int take_roots(const cp_weighted_work *work, int64_t row, int64_t column)
{
    const cp_weighted *w = work->plan;
    const cp_axis *axis = w->pool->axis;
    const cp_weighted_kernels *kernels = w->engine->kernels->weighted;
    int64_t line = w->columns * w->lanes;
    int left = 0;
    if (!(w->pool->params.flags & CPOOL_MEAN)) {
        return kernels->root(work->result, NULL, 1, w->results);
    }
    for (int64_t c = 0; c < w->columns; c++) {
        cp_span span = cp_axis_span(&axis[2], column + c);
        for (int64_t l = 0; l < w->lanes; l++) {
            work->line[0][c * w->lanes + l] = (float)(span.hi - span.lo);
        }
    }
    for (int64_t r = 0; r < w->rows; r++) {
        cp_span span = cp_axis_span(&axis[1], row + r);
        for (int64_t p = 0; p < w->planes; p++) {
            left |= kernels->root(work->result + (p * w->rows + r) * line, work->line[0], (float)(span.hi - span.lo), line);
        }
    }
    return left;
}

/* Tells memory where the results of a plane will go, where they lie side by side. */
CP_TEMPLATE void expect_plane(const cp_weighted_work *work, const char *to)
{
    const cp_weighted *w = work->plan;
    const cp_grid *y = &w->layout.grid[ON_Y];
    int together = w->layout.lane >= 0;
    int64_t bytes = (together ? w->lanes : w->columns) * y->item;
    if ((together ? y->batch[w->layout.lane] : y->space[2]) != y->item) {
        return;
    }
    for (int64_t r = 0; r < w->rows; r++) {
        for (int64_t c = 0; c < (together ? w->columns : 1); c++) {
            for (int64_t byte = 0; byte < bytes; byte += CP_LINE) {
                CP_PREFETCH_WRITE(to + r * y->space[1] + (together ? c * y->space[2] : 0) + byte);
            }
        }
    }
}

/* The results of a plane from row `new_row` and column `new_column` on, to `to`, where the first of all is. */
static void store_plane(const cp_weighted_work *work, const float *result, char *to, int64_t new_row, int64_t new_column)
{
    const cp_weighted *w = work->plan;
    const cp_grid *y = &w->layout.grid[ON_Y];
    int64_t lane_step = w->layout.lane >= 0 ? y->batch[w->layout.lane] : 0;
    for (int64_t r = new_row; r < w->rows; r++) {
        w->engine->kernels->lane[CP_LANE_f32]->store[w->pool->dtype](to + r * y->space[1] + new_column * y->space[2],
                                                                     result + (r * w->columns + new_column) * w->lanes,
                                                                     w->columns - new_column, y->space[2], w->lanes, lane_step);
    }
}

/* Where plane p of a part, or its first lane, lies; and its channel, of lanes that of the first. */
static char *find_plane(const cp_weighted *w, int32_t g, int64_t outer, int64_t first, int64_t p, int64_t *channel)
{
    const cp_layout *layout = &w->layout;
    const cp_grid *grid = &layout->grid[g];
    int together = layout->lane >= 0;
    *channel = lanes_are_channels(w) ? first : 0;
    char *at = grid->data + cp_layout_offset(layout, g, together ? outer : outer * w->run + first + p, channel);
    return at + (together ? first * grid->batch[layout->lane] : 0);
}

/* Some planes, or some lanes; the last part along each axis is as large as the others,
 * and makes results anew that have been stored before. */
static void run_part(cp_weighted_work *work, int64_t outer, int64_t group, int64_t block, int64_t strip)
{
    const cp_weighted *w = work->plan;
    const cp_layout *layout = &w->layout;
    const cp_grid *y = &layout->grid[ON_Y];
    const cp_axis *axis = w->pool->axis;
    const int64_t *out = w->pool->out;
    int together = layout->lane >= 0;
    int64_t column = cp_min64(strip * w->columns, out[2] - w->columns), row = cp_min64(block * w->rows, out[1] - w->rows);
    int64_t most = together ? layout->lanes - w->lanes : w->run - w->planes, each = w->planes * w->lanes, channel = 0;
    int64_t first = cp_min64(group * each, most), plane_size = w->source[0] * w->source[1] * w->lanes;
    for (int64_t p = 0; p < w->planes; p++) {
        char *at[ARRAYS] = {NULL};
        for (int32_t g = 0; g < ARRAYS; g++) {
            at[g] = layout->grid[g].item == 0 ? NULL : find_plane(w, g, outer, first, p, &channel);
        }
        find_beta(work, channel);
        expect_plane(work, at[ON_Y] + row * y->space[1] + column * y->space[2]);
        weigh_plane(work, at, row * axis[1].stride - axis[1].pad, column * axis[2].stride - axis[2].pad, p * plane_size);
    }
    cp_strips_run(&work->sum, 0, work->sum.units, 0);
    float *means = work->result + (w->parts - 1) * w->results;
    *work->left |= w->kind == CP_SQUARES ? take_roots(work, row, column)
                                         : w->engine->kernels->weighted->divide(means, work->result, w->results);
    for (int64_t p = together ? 0 : group * each - first; p < w->planes; p++) {
        char *to = find_plane(w, ON_Y, outer, first, p, &channel) + row * y->space[1] + column * y->space[2];
        if (w->kind == CP_SQUARES) {
            *work->left |= leave_powers(work, p, channel);
        }
        store_plane(work, means + p * w->rows * w->columns * w->lanes, to, block * w->rows - row, strip * w->columns - column);
    }
}

/* Lanes are all in one unit, so that no two workers write what overlaps. */
static void run_unit(cp_weighted_work *work, int64_t unit)
{
    const cp_weighted *w = work->plan;
    int64_t strip = unit % w->strips, block = unit / w->strips % w->blocks, rest = unit / w->strips / w->blocks;
    if (w->layout.lane < 0) {
        run_part(work, rest / w->groups, rest % w->groups, block, strip);
        return;
    }
    for (int64_t group = 0; group < w->groups; group++) {
        run_part(work, rest, group, block, strip);
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_weighted *w = arg;
    cp_weighted_work work;
    begin(&work, w, cp_engine_worker(w->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit);
    }
}

int cp_weighted_takes_exponent(const cp_weighted *w)
{
    int64_t channels = cp_parameter_per_channel(w->pool, w->parameter) ? w->pool->x_shape[w->pool->channel] : 1;
    for (int64_t channel = 0; channel < channels; channel++) {
        if (parameter_of(w, channel) == 2) {
            return 1;
        }
    }
    return 0;
}

int cp_weighted_run(cp_weighted *w, const cp_engine *engine)
{
    w->engine = engine;
    return cp_engine_run_any(engine, w->units, cp_weighted_cost(w).nanoseconds, run_units, w);
}
