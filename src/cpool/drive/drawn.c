#include "drive/drawn.h"

#include <string.h>

#include "drive/draws.h"
#include "integers.h"
#include "kernels/template.h"

/* Results of a row and of its lanes, lanes that are worth it, bytes of results that a
 * unit makes, roughly; distances between windows and between the first and the last tap
 * of one, bytes of rows that are kept, and how far ahead memory is told of results. */
enum { MOST_RESULTS = 512, LEAST_LANES = 16, MOST_LANES = 64, UNIT = 64 * 1024, MOST_STRIDE = 8, MOST_REACH = 64 };
enum { KEPT = 64 * 1024, ROWS_AHEAD = 8, TOGETHER = 128 };
enum { ON_X, ON_Y, ON_TAPS, ARRAYS };

/* ---- Planning ---- */

static int suits(const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    int good = pool->op->code == CPOOL_STOCHASTIC && pool->dtype == CP_DTYPE_f32 && pool->array[CPOOL_U] == NULL &&
               pool->in[0] == 1 && pool->out[0] == 1;
    for (int a = 1; a < CP_SPACE; a++) {
        good = good && axis[a].kind == CP_AXIS_SLIDING && axis[a].taps <= CP_DRAWN && cp_axis_stride(&axis[a]) <= MOST_STRIDE &&
               (axis[a].taps == 1 || axis[a].dilation <= MOST_REACH / (axis[a].taps - 1));
    }
    return good && axis[1].taps * axis[2].taps <= CP_DRAWN;
}

int cp_drawn_plan(cp_drawn *p, const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_TAPS]};
    if (!suits(pool)) {
        return 0;
    }
    p->pool = pool;
    p->taps = axis[1].taps * axis[2].taps;
    cp_layout_make(&p->layout, pool, views, 0);
    if (cp_layout_planes(&p->layout) == 0) {
        return 0;
    }
    cp_layout_take_pixels(&p->layout, LEAST_LANES);
    for (int a = 0; a < 2; a++) {
        p->stride[a] = cp_axis_stride(&axis[1 + a]);
        p->step[a] = axis[1 + a].taps == 1 ? 1 : axis[1 + a].dilation;
    }
    p->lanes = cp_min64(p->layout.lanes, MOST_LANES);
    p->columns = cp_min64(pool->out[2], MOST_RESULTS / p->lanes);
    p->rows = cp_min64(pool->out[1], cp_max64(1, UNIT / (p->columns * p->lanes * (int64_t)sizeof(float))));
    p->groups = cp_ceil_div(p->layout.lanes, p->lanes);
    p->strips = cp_ceil_div(pool->out[2], p->columns);
    p->blocks = cp_ceil_div(pool->out[1], p->rows);
    p->units = p->layout.outer * p->groups * p->strips * p->blocks;
    p->slots = (axis[1].taps - 1) * p->step[0] + 1;
    p->cells = p->columns + (axis[2].taps - 1) * p->step[1] / p->stride[1];
    p->pitch = (int64_t)(cp_row_bytes(p->cells * p->lanes, sizeof(float)) / sizeof(float));
    p->line = p->pitch * p->stride[1];
    p->together = p->lanes == 1 && p->strips == 1 ? cp_min64(p->rows, cp_max64(1, TOGETHER / p->columns)) : 1;
    p->numbers = (int64_t)(cp_row_bytes(p->together * p->columns * p->lanes, sizeof(float)) / sizeof(float));
    size_t kept = (size_t)((p->slots + 1) * p->line) * sizeof(float);
    p->bytes =
        cp_round_up(sizeof(int64_t) * (size_t)p->slots) + kept + (size_t)p->numbers * (sizeof(double) + 3 * sizeof(float));
    return kept <= KEPT;
}

cp_cost cp_drawn_cost(const cp_drawn *p)
{
    const int64_t *out = p->pool->out;
    double each = 3.0 + 0.2 * (double)p->taps;
    return (cp_cost){p->bytes, 0, (double)out[1] * (double)out[2] * (double)cp_layout_planes(&p->layout) * each};
}

/* ---- Running ---- */

/* What a worker holds. A kept row is split into phases, columns a stride apart, as tapwise.h has it: [phase][cell][lane]. */
typedef struct cp_drawn_work {
    const cp_drawn *plan;
    const cp_lane_kernels *kernels;
    int64_t *slot_row; /* of each slot the row of x, or -1 */
    float *kept, *nothing, *u, *y, *at;
    double *exact; /* u */
    char *base[ARRAYS];
    int64_t outer, lane, lanes, lane_step[ARRAYS], column, count;
    int64_t sources[MOST_STRIDE][2]; /* of each phase the cells that are elements */
    int64_t offset[CP_DRAWN];        /* where taps of the first window begin in a kept row */
} cp_drawn_work;

static void begin(cp_drawn_work *w, const cp_drawn *p, char *memory)
{
    memset(w, 0, sizeof *w);
    w->plan = p;
    w->kernels = p->engine->kernels->lane[CP_LANE_f32];
    w->exact = (double *)(void *)memory;
    w->u = (float *)(void *)(w->exact + p->numbers);
    w->y = w->u + p->numbers;
    w->at = w->y + p->numbers;
    w->kept = w->at + p->numbers;
    w->nothing = w->kept + p->slots * p->line;
    w->slot_row = (int64_t *)(void *)(w->nothing + p->line);
}

/* Some lanes, and some columns of them. Cells that are padding are 0 for all of their rows. */
static void begin_tile(cp_drawn_work *w, int64_t outer, int64_t lane, int64_t column)
{
    const cp_drawn *p = w->plan;
    const cp_layout *layout = &p->layout;
    int64_t first = column * p->stride[1] - p->pool->axis[2].pad, channel;
    w->outer = outer;
    w->lane = lane;
    w->lanes = cp_min64(p->lanes, layout->lanes - lane);
    w->column = column;
    w->count = cp_min64(p->columns, p->pool->out[2] - column);
    for (int32_t g = 0; g < ARRAYS; g++) {
        if (layout->grid[g].item != 0) {
            w->lane_step[g] = layout->lane >= 0 ? layout->grid[g].batch[layout->lane] : 0;
            w->base[g] = layout->grid[g].data + cp_layout_offset(layout, g, outer, &channel) + lane * w->lane_step[g];
        }
    }
    for (int64_t phase = 0; phase < p->stride[1]; phase++) {
        int64_t before = first + phase < 0 ? cp_ceil_div(-first - phase, p->stride[1]) : 0;
        int64_t behind = cp_ceil_div(cp_max64(0, p->pool->in[2] - first - phase), p->stride[1]);
        w->sources[phase][0] = cp_min64(before, p->cells);
        w->sources[phase][1] = cp_max64(w->sources[phase][0], cp_min64(behind, p->cells));
    }
    for (int64_t tap = 0; tap < p->pool->axis[2].taps; tap++) {
        int64_t across = tap * p->step[1];
        w->offset[tap] = across % p->stride[1] * p->pitch + across / p->stride[1] * w->lanes;
    }
    for (int64_t slot = 0; slot < p->slots; slot++) {
        w->slot_row[slot] = -1;
    }
    memset(w->kept, 0, (size_t)((p->slots + 1) * p->line) * sizeof(float));
}

/* Tells memory what will be read and written ROWS_AHEAD of a row, where these lie side by side; other bytes do no harm. */
CP_TEMPLATE void expect_row(const cp_drawn_work *w, int64_t h)
{
    const cp_drawn *p = w->plan;
    const cp_grid *x = &p->layout.grid[ON_X], *y = &p->layout.grid[ON_Y];
    int64_t results = w->count * w->lanes * (int64_t)sizeof(float), ahead = h + ROWS_AHEAD;
    const char *to = w->base[ON_Y] + ahead * y->space[1] + w->column * y->space[2];
    int64_t source = ahead * p->stride[0], end = cp_min64(source + p->stride[0], p->pool->in[1]);
    int64_t column = cp_min64(w->column * p->stride[1], p->pool->in[2] - 1);
    for (; source < end; source++) { /* of padding there is no address */
        const char *from = w->base[ON_X] + source * x->space[1] + column * x->space[2];
        for (int64_t byte = 0; byte < results * p->stride[1]; byte += CP_LINE) {
            CP_PREFETCH(from + byte);
        }
    }
    for (int64_t byte = 0; byte < results; byte += CP_LINE) {
        CP_PREFETCH_WRITE(to + byte);
    }
}

/* Row h of x, from a slot. */
static const float *kept_row(const cp_drawn_work *w, int64_t h)
{
    const cp_drawn *p = w->plan;
    const cp_grid *x = &p->layout.grid[ON_X];
    int64_t first = w->column * p->stride[1] - p->pool->axis[2].pad, apart = p->stride[1] * x->space[2], slot = h % p->slots;
    float *line = w->kept + slot * p->line;
    const char *row = w->base[ON_X] + h * x->space[1];
    if (w->slot_row[slot] == h) {
        return line;
    }
    w->slot_row[slot] = h;
    if (w->lanes == 1 && p->stride[1] == 2 && x->space[2] == x->item) {
        int64_t from = cp_max64(first, 0), end = cp_min64(first + 2 * p->cells, p->pool->in[2]), phase = (from - first) % 2;
        float *even = line + phase * p->pitch + w->sources[phase][0];
        float *odd = line + (1 - phase) * p->pitch + w->sources[1 - phase][0];
        if (from < end) {
            w->kernels->halve(even, odd, row + from * x->item, end - from);
        }
        return line;
    }
    for (int64_t phase = 0; phase < p->stride[1]; phase++) {
        int64_t lo = w->sources[phase][0], count = w->sources[phase][1] - lo;
        if (count > 0) {
            const char *from = row + (first + phase + lo * p->stride[1]) * x->space[2];
            w->kernels->load[p->pool->dtype](line + phase * p->pitch + lo * w->lanes, from, count, count > 1 ? apart : 0,
                                             w->lanes, w->lane_step[ON_X]);
        }
    }
    return line;
}

static int any_nan(const float *y, int64_t n)
{
    int any = 0;
    for (int64_t i = 0; i < n; i++) {
        any |= y[i] != y[i];
    }
    return any;
}

/* Where the numbers of some rows are drawn for, of which results are numbered on from one to the next; *n of them. */
static cp_draw_row place_of(const cp_drawn_work *w, int64_t h, int64_t rows, int64_t *n)
{
    cp_draw_row place = {w->outer, w->lane, w->lanes, 0, h, w->column, w->count * rows};
    *n = cp_ceil_div(place.count * w->lanes, CP_TAP_LANES) * CP_TAP_LANES;
    return place;
}

/* Windows from the i-th of a row on that are not decided, in double. */
static void decide(const cp_drawn_work *w, const cp_drawn_row *row, int64_t i)
{
    const cp_tap_kernel *kernel = &w->plan->engine->kernels->tap[w->plan->pool->dtype][CP_TAP_DRAW];
    double x[CP_DRAWN][CP_TAP_LANES] = {{0}}, number[CP_DRAWN], state[CP_TAP_STATES * CP_TAP_LANES] = {0};
    double u[CP_TAP_LANES] = {0}, y[CP_TAP_LANES] = {0}, at[CP_TAP_LANES] = {0};
    cp_tap tap[CP_DRAWN];
    int64_t n = cp_min64(row->n - i, CP_TAP_LANES);
    memcpy(u, w->exact + i, (size_t)n * sizeof *u);
    for (int64_t t = 0; t < row->taps; t++) {
        for (int64_t l = 0; l < n; l++) {
            x[t][l] = (double)row->tap[t][i + l];
        }
        number[t] = (double)t;
        tap[t] = (cp_tap){NULL, {x[t]}};
    }
    const cp_tap_block block = {.count = row->taps, .n = CP_TAP_LANES, .tap = tap, .number = number};
    const cp_tap_windows windows = {.n = CP_TAP_LANES, .state = state, .y = y, .tap = at, .u = u};
    for (int pass = 0; pass < kernel->passes; pass++) {
        kernel->pass(&windows, &block, pass);
        kernel->finish(&windows, pass);
    }
    for (int64_t l = 0; l < n; l++) {
        row->y[i + l] = (float)y[l];
        row->at[i + l] = (float)at[l];
    }
}

static void decide_row(const cp_drawn_work *w, const cp_drawn_row *row, int64_t h)
{
    int64_t n;
    const cp_draw_row place = place_of(w, h, 1, &n);
    cp_draws(w->plan->engine, w->plan->pool, &w->plan->layout, &place, CPOOL_REGION, w->exact, n);
    for (int64_t i = 0; i < row->n; i += CP_TAP_LANES) {
        if (any_nan(row->y + i, cp_min64(row->n - i, CP_TAP_LANES))) {
            decide(w, row, i);
        }
    }
}

/* Row h, whose u begin with the `first` of those that are drawn. */
static void draw_row(const cp_drawn_work *w, int64_t h, int64_t first)
{
    const cp_drawn *p = w->plan;
    const cp_axis *axis = p->pool->axis;
    const cp_grid *y = &p->layout.grid[ON_Y], *taps = &p->layout.grid[ON_TAPS];
    cp_drawn_row row;
    int64_t t = 0;
    row.u = w->u + first;
    row.n = w->count * w->lanes;
    row.y = w->y;
    row.at = w->at;
    for (int64_t a = 0; a < axis[1].taps; a++) {
        int64_t source = h * p->stride[0] - axis[1].pad + a * p->step[0];
        const float *line = source < 0 || source >= p->pool->in[1] ? w->nothing : kept_row(w, source);
        for (int64_t b = 0; b < axis[2].taps; b++, t++) {
            row.tap[t] = line + w->offset[b];
        }
    }
    row.taps = t;
    if (h + ROWS_AHEAD < p->pool->out[1]) {
        expect_row(w, h);
    }
    if (p->engine->kernels->drawn(&row)) {
        decide_row(w, &row, h);
    }
    w->kernels->store[p->pool->dtype](w->base[ON_Y] + h * y->space[1] + w->column * y->space[2], w->y, w->count, y->space[2],
                                      w->lanes, w->lane_step[ON_Y]);
    if (taps->item != 0) {
        w->kernels->store_taps(w->base[ON_TAPS] + h * taps->space[1] + w->column * taps->space[2], taps->bits, w->at, w->count,
                               taps->space[2], w->lanes, w->lane_step[ON_TAPS]);
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_drawn *p = arg;
    cp_drawn_work work;
    begin(&work, p, cp_engine_worker(p->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t block = unit % p->blocks, strip = unit / p->blocks % p->strips, rest = unit / p->blocks / p->strips;
        int64_t end = cp_min64((block + 1) * p->rows, p->pool->out[1]);
        begin_tile(&work, rest / p->groups, rest % p->groups * p->lanes, strip * p->columns);
        for (int64_t from = block * p->rows; from < end; from += p->together) {
            int64_t to = cp_min64(from + p->together, end);
            int64_t n;
            const cp_draw_row place = place_of(&work, from, to - from, &n);
            cp_draws_float(p->engine, p->pool, &p->layout, &place, work.exact, work.u, n);
            for (int64_t h = from; h < to; h++) {
                draw_row(&work, h, (h - from) * work.count * work.lanes);
            }
        }
    }
}

void cp_drawn_run(cp_drawn *p, const cp_engine *engine)
{
    p->engine = engine;
    cp_engine_run(engine, p->units, cp_drawn_cost(p).nanoseconds, run_units, p);
}
