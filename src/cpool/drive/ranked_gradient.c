#include "drive/ranked_gradient.h"

#include <string.h>

#include "drive/parameter_sums.h"
#include "drive/ranked.h"
#include "integers.h"
#include "kernels/template.h"
#include "plan/parameters.h"

enum { ON_X, ON_DY, ON_DX };
enum { MOST_COLUMNS = 16 * 1024, FEW_WINDOWS = 16, SCRATCH = 256 * 1024, LINE_FLOATS = 16, ROWS_AHEAD = 8 };

static int64_t whole_lines(int64_t floats)
{
    return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

/* Scratch of a worker: rows of x, and of what windows add to rows of dx, for every row that a window has. */
typedef struct cp_ranked_work {
    const cp_ranked_gradients *plan;
    const cp_lane_kernels *kernels;
    int32_t *left;
    float *x, *dx, *dy, *joined, *there, *none, *least, *unused; /* `unused` takes what is added to no element */
    double *sums;
    int64_t x_row[CP_RANKED_MOST], dx_row[CP_RANKED_MOST];   /* that are there; -1: none */
    int64_t phase_of[CP_RANKED_MOST], shift[CP_RANKED_MOST]; /* of taps along a row: in a split row, and where in the phase */
    char *at[3];
    int64_t lane_step[3], in_two[3]; /* columns that lie side by side and are of two phases, 0: they are loaded one by one */
    int64_t outer, lane, lanes;
    cp_ranked_gradient row;
} cp_ranked_work;

static size_t place_scratch(cp_ranked_work *w, const cp_ranked_gradients *p, char *memory)
{
    const cp_axis *axis = p->pool->axis;
    struct {
        float **at;
        int64_t size;
    } parts[] = {{&w->x, axis[1].taps * p->phases * p->phase},
                 {&w->dx, axis[1].taps * axis[2].taps * p->line},
                 {&w->dy, p->line},
                 {&w->joined, p->phases * p->phase},
                 {&w->there, axis[2].taps * p->line},
                 {&w->none, p->line},
                 {&w->least, p->line},
                 {&w->unused, p->line}};
    size_t used = CP_LINE;
    w->left = (int32_t *)(void *)memory;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].at = memory == NULL ? NULL : (float *)(void *)(memory + used);
        used += cp_row_bytes(parts[i].size, sizeof(float));
    }
    w->sums = memory == NULL ? NULL : (double *)(void *)(memory + used);
    return used + (size_t)p->ranks * cp_parameter_sums_bytes(p->lanes);
}

static void plan_lanes(cp_ranked_gradients *p, int64_t lanes)
{
    cp_ranked_work unused;
    p->lanes = lanes;
    p->margin = whole_lines((p->pool->axis[2].taps - 1) / cp_axis_stride(&p->pool->axis[2]) * lanes);
    p->phase = whole_lines(p->cells * lanes);
    p->line = p->margin + whole_lines(p->windows * lanes) + p->margin;
    p->sums = (int64_t)(cp_parameter_sums_bytes(lanes) / sizeof(double));
    p->bytes = place_scratch(&unused, p, NULL);
}

int cp_ranked_gradients_plan(cp_ranked_gradients *p, const cp_pool *pool)
{
    const cp_axis *axis = pool->axis;
    const cpool_view *weight = pool->array[CPOOL_WEIGHT], *x = pool->array[CPOOL_X], *dx = pool->grad[CPOOL_X];
    const cpool_view *views[CP_GRIDS] = {x != NULL ? x : dx, pool->grad[CPOOL_Y], dx}; /* a query may not have all */
    if (pool->op->code != CPOOL_RANK || pool->dtype != CP_DTYPE_f32 || cp_parameter_per_channel(pool, weight) ||
        pool->window_taps < 2 || pool->window_taps > CP_RANKED_MOST || pool->in[0] != 1 || pool->out[0] != 1 ||
        axis[0].taps != 1 || pool->in[2] > MOST_COLUMNS) {
        return 0;
    }
    for (int a = 1; a < CP_SPACE; a++) {
        if (axis[a].kind != CP_AXIS_SLIDING || (axis[a].dilation != 1 && axis[a].taps > 1) || axis[a].sources < 1 ||
            axis[a].targets < 1) {
            return 0;
        }
    }
    p->pool = pool;
    p->ranks = weight != NULL ? cp_parameter_row(weight) : 0;
    if ((double)p->ranks > pool->window_taps) {
        return 0;
    }
    cp_layout_make(&p->layout, pool, views, 0);
    if (cp_layout_planes(&p->layout) == 0) {
        return 0;
    }
    cp_layout_choose_lanes(&p->layout, pool->out[2], FEW_WINDOWS);
    p->windows = pool->out[2];
    p->phases = cp_min64(cp_axis_stride(&axis[2]), axis[2].taps);
    p->cells = p->windows + (axis[2].taps - 1) / cp_axis_stride(&axis[2]);
    plan_lanes(p, 1);
    plan_lanes(p, cp_max64(1, cp_min64(p->layout.lanes, SCRATCH / (int64_t)p->bytes)));
    p->tiles = cp_ceil_div(p->layout.lanes, p->lanes);
    p->blocks = cp_ceil_div(pool->out[1], CP_PARAMETER_ROWS);
    p->units = p->layout.outer * p->tiles * p->blocks;
    return 1;
}

cp_cost cp_ranked_gradients_cost(const cp_ranked_gradients *p)
{
    const int64_t *out = p->pool->out;
    double each = p->pool->window_taps > CP_RANKED ? 8.0 : 4.0;
    return (cp_cost){p->bytes, 0, (double)out[1] * (double)out[2] * (double)cp_layout_planes(&p->layout) * each};
}

int cp_ranked_gradients_take_weights(cp_ranked_gradients *p)
{
    double largest = cp_ranked_weights(p->pool, p->weight, CP_RANKED_MOST);
    double most = largest > 0 ? 0x1p120 / largest : 0x1p120;
    p->most = (float)(most < 0x1p120 ? most : 0x1p120);
    return largest >= 0;
}

/* ---- Rows ---- */

static char *element(const cp_ranked_work *w, int g, int64_t row, int64_t column)
{
    const int64_t *space = w->plan->layout.grid[g].space;
    return w->at[g] + row * space[1] + column * space[2];
}

/* Whether the columns of a grid lie side by side, and are the lanes. */
static int is_line(const cp_ranked_work *w, int g)
{
    const cp_grid *grid = &w->plan->layout.grid[g];
    return w->plan->layout.lane < 0 && grid->space[2] == grid->item;
}

/* Of a phase, the cells that are columns of the plane: from *lo on, so many; the first is column *column. */
static int64_t columns_of(const cp_ranked_gradients *p, int64_t phase, int64_t *lo, int64_t *column)
{
    const cp_axis *axis = &p->pool->axis[2];
    int64_t stride = cp_axis_stride(axis), first = phase - axis->pad;
    *lo = first < 0 ? cp_ceil_div(-first, stride) : 0;
    *column = first + *lo * stride;
    return *column >= axis->sources ? 0 : cp_max64(0, cp_min64(p->cells - *lo, cp_ceil_div(axis->sources - *column, stride)));
}

/* One step may be beyond every address. */
static int64_t phase_step(const cp_ranked_work *w, int g, int64_t columns)
{
    const cp_ranked_gradients *p = w->plan;
    return columns > 1 ? cp_axis_stride(&p->pool->axis[2]) * p->layout.grid[g].space[2] : 0;
}

/* Tells memory what will be read or written ROWS_AHEAD of a row whose columns lie side by side. */
CP_TEMPLATE void expect_row(const cp_ranked_work *w, int g, int64_t row)
{
    int64_t bytes = row + ROWS_AHEAD < w->plan->pool->in[1] ? w->in_two[g] * (int64_t)sizeof(float) : 0;
    for (int64_t byte = 0; byte < bytes; byte += CP_LINE) {
        const char *at = element(w, g, row + ROWS_AHEAD, 0) + byte;
        if (g == ON_DX) {
            CP_PREFETCH_WRITE(at);
        } else {
            CP_PREFETCH(at);
        }
    }
}

static const float *row_of_x(cp_ranked_work *w, int64_t row, int64_t slot)
{
    const cp_ranked_gradients *p = w->plan;
    int64_t pad = p->pool->axis[2].pad, first = pad % 2, lo, column;
    float *to = w->x + slot * p->phases * p->phase;
    if (w->x_row[slot] == row) {
        return to;
    }
    w->x_row[slot] = row;
    if (w->in_two[ON_X] > 0) {
        float *even = to + first * p->phase + pad / 2, *odd = to + (1 - first) * p->phase + (pad + 1) / 2;
        expect_row(w, ON_X, row);
        w->kernels->halve(even, odd, element(w, ON_X, row, 0), w->in_two[ON_X]);
        return to;
    }
    for (int64_t phase = 0; phase < p->phases; phase++) {
        int64_t count = columns_of(p, phase, &lo, &column);
        if (count > 0) {
            w->kernels->load[CP_DTYPE_f32](to + phase * p->phase + lo * w->lanes, element(w, ON_X, row, column), count,
                                           phase_step(w, ON_X, count), w->lanes, w->lane_step[ON_X]);
        }
    }
    return to;
}

static const float *row_of_dy(cp_ranked_work *w, int64_t row)
{
    const cp_ranked_gradients *p = w->plan;
    if (is_line(w, ON_DY)) {
        return (const float *)(const void *)element(w, ON_DY, row, 0);
    }
    w->kernels->load[CP_DTYPE_f32](w->dy, element(w, ON_DY, row, 0), p->windows,
                                   p->windows > 1 ? p->layout.grid[ON_DY].space[2] : 0, w->lanes, w->lane_step[ON_DY]);
    return w->dy;
}

/* What windows add to their tap b of a row of dx. */
static float *added(const cp_ranked_work *w, int64_t slot, int64_t b)
{
    const cp_ranked_gradients *p = w->plan;
    return w->dx + (slot * p->pool->axis[2].taps + b) * p->line + p->margin;
}

static void clear_row(const cp_ranked_work *w, int64_t row)
{
    const cp_ranked_gradients *p = w->plan;
    int64_t space = p->layout.grid[ON_DX].space[2], columns = p->pool->in[2];
    for (int64_t column = 0; column < columns; column += p->windows) {
        int64_t count = cp_min64(p->windows, columns - column);
        w->kernels->store[CP_DTYPE_f32](element(w, ON_DX, row, column), w->none, count, count > 1 ? space : 0, w->lanes,
                                        w->lane_step[ON_DX]);
    }
}

/* A phase of a row of dx: of windows that share a column the first has it as its last tap. */
static const float *join(const cp_ranked_work *w, int64_t slot, int64_t phase)
{
    const cp_ranked_gradients *p = w->plan;
    int64_t count = 0, n = p->cells * w->lanes;
    const void *taps[CP_RANKED_MOST];
    float *to = w->joined + phase * p->phase;
    for (int64_t b = p->pool->axis[2].taps - 1; b >= 0; b--) {
        if (w->phase_of[b] == phase) {
            taps[count++] = added(w, slot, b) - w->shift[b];
        }
    }
    if (count == 1 && !*w->left) {
        return taps[0];
    }
    w->kernels->fold[CP_SUM](to, 0, taps, 0, NULL, count, n, 0);
    for (int64_t i = 0; i < n && *w->left; i++) {
        to[i] = to[i] - to[i] == 0 ? to[i] : (float)cp_nan();
    }
    return to;
}

static void store_row(const cp_ranked_work *w, int64_t row)
{
    const cp_ranked_gradients *p = w->plan;
    const cp_axis *axis = &p->pool->axis[2];
    int64_t stride = cp_axis_stride(axis), pad = axis->pad, first = pad % 2, lo, column, slot = row % p->pool->axis[1].taps;
    if (w->dx_row[slot] != row) {
        clear_row(w, row);
        return;
    }
    if (p->phases < stride || (p->cells - 1) * stride + p->phases - pad < axis->sources) {
        clear_row(w, row);
    }
    if (w->in_two[ON_DX] > 0) {
        const float *even = join(w, slot, first) + pad / 2, *odd = join(w, slot, 1 - first) + (pad + 1) / 2;
        expect_row(w, ON_DX, row);
        w->kernels->merge(element(w, ON_DX, row, 0), even, odd, w->in_two[ON_DX]);
        return;
    }
    for (int64_t phase = 0; phase < p->phases; phase++) {
        int64_t count = columns_of(p, phase, &lo, &column);
        if (count > 0) {
            w->kernels->store[CP_DTYPE_f32](element(w, ON_DX, row, column), join(w, slot, phase) + lo * w->lanes, count,
                                            phase_step(w, ON_DX, count), w->lanes, w->lane_step[ON_DX]);
        }
    }
}

/* ---- Windows ---- */

/* The windows of output row h; what they add to rows of dx from `from` on, before `to`, and to sums. */
static void run_row(cp_ranked_work *w, int64_t h, int64_t from, int64_t to, int sums)
{
    const cp_ranked_gradients *p = w->plan;
    const cp_axis *axis = p->pool->axis;
    cp_ranked_gradient *row = &w->row;
    int64_t top = h * cp_axis_stride(&axis[1]) - axis[1].pad, slot = (top + axis[1].taps) % axis[1].taps, t = 0;
    row->dy = row_of_dy(w, h);
    row->sums = sums ? w->sums : NULL;
    row->all_rows = top >= 0 && top + axis[1].taps <= axis[1].sources;
    for (int64_t source = top; source < top + axis[1].taps; source++, slot = slot + 1 == axis[1].taps ? 0 : slot + 1) {
        int there = source >= 0 && source < axis[1].sources, wanted = source >= from && source < to;
        const float *x = there ? row_of_x(w, source, slot) : NULL;
        for (int64_t b = 0; b < axis[2].taps; b++, t++) {
            row->tap[t] = there ? x + w->phase_of[b] * p->phase + w->shift[b] : w->least;
            row->there[t] = there ? w->there + b * p->line : w->none;
            row->dx[t] = wanted ? added(w, slot, b) : w->unused;
            row->adds[t] = wanted && w->dx_row[slot] == source;
        }
        w->dx_row[slot] = wanted ? source : w->dx_row[slot];
    }
    if (p->layout.grid[ON_DX].item == 0) {
        row->dx[0] = NULL;
    }
    *w->left |= p->engine->kernels->ranked_gradient[p->pool->window_taps > CP_RANKED](row);
}

/* What is the same for all rows. */
static void begin_rows(cp_ranked_work *w)
{
    const cp_ranked_gradients *p = w->plan;
    const cp_axis *axis = &p->pool->axis[2];
    int64_t stride = cp_axis_stride(axis), last = axis->sources + axis->pad - axis->taps, lo, column;
    memcpy(w->row.weight, p->weight, sizeof w->row.weight);
    w->row.most = p->most;
    w->row.ranks = (int32_t)p->ranks;
    w->row.n = p->windows * w->lanes;
    w->row.whole_from = cp_min64(p->windows, cp_ceil_div(axis->pad, stride)) * w->lanes;
    w->row.whole_to = last < 0 ? 0 : cp_min64(p->windows, last / stride + 1) * w->lanes;
    w->row.sums_step = p->sums;
    w->row.period = CP_TERM_LANES * w->lanes;
    for (int64_t t = p->pool->axis[1].taps * axis->taps; t < CP_RANKED_MOST; t++) {
        w->row.tap[t] = w->least;
        w->row.there[t] = w->none;
        w->row.dx[t] = w->unused;
        w->row.adds[t] = 0;
    }
    for (int64_t b = 0; b < axis->taps; b++) {
        int64_t cell = b / stride, count = columns_of(p, b % stride, &lo, &column);
        int64_t first = cp_max64(0, lo - cell), end = cp_min64(p->windows, lo + count - cell);
        w->phase_of[b] = b % stride;
        w->shift[b] = cell * w->lanes;
        if (first < end) {
            w->kernels->fill(w->there + b * p->line + first * w->lanes, 1, (end - first) * w->lanes);
        }
    }
}

static void begin_unit(cp_ranked_work *w, int64_t outer, int64_t lane)
{
    const cp_ranked_gradients *p = w->plan;
    const cp_layout *layout = &p->layout;
    const cp_axis *axis = p->pool->axis;
    int64_t channel;
    w->outer = outer;
    w->lane = lane;
    w->lanes = cp_min64(p->lanes, layout->lanes - lane);
    for (int g = 0; g < 3; g++) {
        const cp_grid *grid = &layout->grid[g];
        if (grid->item != 0) {
            w->lane_step[g] = layout->lane >= 0 ? grid->batch[layout->lane] : 0;
            w->at[g] = grid->data + cp_layout_offset(layout, g, outer, &channel) + lane * w->lane_step[g];
            w->in_two[g] = p->phases == 2 && cp_axis_stride(&axis[2]) == 2 && is_line(w, g)
                               ? cp_max64(0, cp_min64(axis[2].sources, 2 * p->cells - axis[2].pad))
                               : 0;
        }
    }
    w->kernels->fill(w->x, -cp_infinity(), axis[1].taps * p->phases * p->phase);
    w->kernels->fill(w->least, -cp_infinity(), p->line);
    w->kernels->fill(w->none, 0, p->line);
    w->kernels->fill(w->dx, 0, axis[1].taps * axis[2].taps * p->line);
    w->kernels->fill(w->there, 0, axis[2].taps * p->line);
    for (int64_t a = 0; a < axis[1].taps; a++) {
        w->x_row[a] = w->dx_row[a] = -1;
    }
    begin_rows(w);
}

/* A block of output rows; of dx the rows from the first that they read on, up to the first of the next block's. */
static void run_block(cp_ranked_work *w, int64_t block)
{
    const cp_ranked_gradients *p = w->plan;
    const cp_axis *axis = &p->pool->axis[1];
    int64_t stride = cp_axis_stride(axis), own = block * CP_PARAMETER_ROWS,
            end = cp_min64(own + CP_PARAMETER_ROWS, axis->targets);
    int64_t from = block == 0 ? 0 : cp_min64(axis->sources, cp_max64(0, own * stride - axis->pad));
    int64_t to = end == axis->targets ? axis->sources : cp_min64(axis->sources, cp_max64(0, end * stride - axis->pad));
    int gradient = p->layout.grid[ON_DX].item != 0, sums = p->pool->grad[CPOOL_WEIGHT] != NULL;
    int64_t h = own;
    if (gradient) { /* windows of the block before reach in */
        while (h > 0 && (h - 1) * stride - axis->pad + axis->taps > from) {
            h--;
        }
    } else {
        from = to = 0;
    }
    cp_parameter_block numbers = {w->sums, sums ? p->ranks : 0, p->sums, &p->layout, w->outer, w->lane, w->lanes};
    cp_parameter_block_begin(&numbers);
    for (; h < end; h++) {
        run_row(w, h, from, to, sums && h >= own);
        for (; from < to && (h + 1 == end || from < (h + 1) * stride - axis->pad); from++) {
            store_row(w, from);
        }
    }
    cp_parameter_block_end(&numbers, p->partials, p->blocks, block);
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_ranked_gradients *p = arg;
    cp_ranked_work work;
    memset(&work, 0, sizeof work);
    work.plan = p;
    work.kernels = p->engine->kernels->lane[CP_LANE_f32];
    (void)place_scratch(&work, p, cp_engine_worker(p->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t block = unit % p->blocks, rest = unit / p->blocks;
        begin_unit(&work, rest / p->tiles, rest % p->tiles * p->lanes);
        run_block(&work, block);
    }
}

int cp_ranked_gradients_run(cp_ranked_gradients *p, const cp_engine *engine)
{
    const cpool_view *weight = p->pool->grad[CPOOL_WEIGHT];
    p->engine = engine;
    p->partials = (double *)(void *)cp_engine_shared(engine);
    int left = cp_engine_run_any(engine, p->units, cp_ranked_gradients_cost(p).nanoseconds, run_units, p);
    if (weight != NULL) {
        cp_parameter_sums_reduce(p->partials, cp_layout_planes(&p->layout), p->ranks, p->blocks, 1, 0, p->ranks, weight);
    }
    return left && p->pool->grad[CPOOL_X] != NULL;
}
