#include <string.h>

#include "drive/drive.h"
#include "integers.h"
#include "plan/layout.h"

/* Binomial filters, in double: along the row first, then down, then from plane to plane, each
 * element from +0 on and in ascending order of what it reads. The gradient is the same with the
 * roles of input and result exchanged: what an element reads are then the results that read it,
 * and a result that reads it several times, over a border, has the sum of the weights. */

enum { READ, WRITTEN, GRIDS }; /* x and y, or dy and dx */

/* Sources of a target at most; rows and planes that are kept, a power of two and no
 * fewer: the sources of a target lie within so many neighbours. */
enum { SOURCES = 8 };
enum { BUDGET = 160 * 1024, MOST_LANES = 32, ENOUGH_UNITS = 64, FEWEST_ROWS = 16 };

typedef struct cp_blur {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    int32_t direction;
    int64_t sources[CP_SPACE], targets[CP_SPACE];
    double weight[CP_SPACE][CP_BINOMIALS];
    int64_t planes; /* that rows are kept of: 1 or SOURCES */
    int64_t lanes, tiles, width, block_rows, blocks, units;
    int64_t pitch; /* lanes of a row of scratch */
    size_t bytes;
} cp_blur;

/* What a target reads along one axis, ascending. */
typedef struct cp_sources {
    int64_t count, at[SOURCES];
    double weight[SOURCES];
} cp_sources;

/* What a worker holds: rows of scratch. */
typedef struct cp_blur_work {
    const cp_blur *blur;
    const cp_lane_kernels *kernels;
    const char *read;
    char *written;
    int64_t lanes, column, count; /* the tile */
    double *taps;                 /* [SOURCES] rows that one is made of; the gradient: results with zeros between them */
    double *kept, *plane;         /* [planes][SOURCES] filtered rows; [SOURCES] filtered down as well */
    double *result;
    int64_t inner, outer;           /* columns from .. before which no border matters */
    cp_sources border[2 * SOURCES]; /* sources of the other columns */
    int64_t kept_d[SOURCES][SOURCES], kept_h[SOURCES][SOURCES];
} cp_blur_work;

/* ---- Sources ---- */

/* The element that stands at a position in or beyond the input; -1: none, which is 0. */
static int64_t stands_at(int64_t at, int64_t length, int32_t border)
{
    if (at >= 0 && at < length) {
        return at;
    }
    if (border != CPOOL_REFLECT) {
        return border == CPOOL_ZERO ? -1 : at < 0 ? 0 : length - 1;
    }
    if (length == 1) {
        return 0;
    }
    int64_t period = 2 * (length - 1), past = at % period;
    past = past < 0 ? past + period : past;
    return past < length ? past : period - past;
}

static void add_source(cp_sources *s, int64_t at, double weight)
{
    for (int64_t i = 0; i < s->count; i++) {
        if (s->at[i] == at) {
            s->weight[i] += weight; /* exactly: weights are multiples of 1/64 */
            return;
        }
    }
    int64_t place = s->count++;
    for (; place > 0 && s->at[place - 1] > at; place--) {
        s->at[place] = s->at[place - 1];
        s->weight[place] = s->weight[place - 1];
    }
    s->at[place] = at;
    s->weight[place] = weight;
}

/* Targets of an axis whose sources lie where no border is: from *from on, before *to. */
static void inner_targets(const cp_blur *b, int32_t a, int64_t *from, int64_t *to)
{
    const cp_axis *axis = &b->pool->axis[a];
    int64_t after = axis->window - 1 - axis->pad, end = axis->sources - after;
    if (b->direction == CPOOL_FORWARD) {
        *from = cp_ceil_div(axis->pad, axis->stride);
        *to = end <= 0 ? 0 : (end - 1) / axis->stride + 1;
    } else { /* elements that no border repeats */
        *from = axis->pad + 1;
        *to = end - 1;
    }
    *to = cp_max64(*to, *from);
}

/* The sources of such a target. */
static void find_inner_sources(const cp_blur *b, int32_t a, int64_t target, cp_sources *s)
{
    const cp_axis *axis = &b->pool->axis[a];
    int64_t first = target + axis->pad - (axis->window - 1); /* of the places that results begin at */
    s->count = 0;
    if (b->direction == CPOOL_FORWARD) {
        for (int64_t j = 0; j < axis->window; j++, s->count++) {
            s->at[j] = target * axis->stride - axis->pad + j;
            s->weight[j] = b->weight[a][j];
        }
        return;
    }
    for (int64_t t = cp_ceil_div(cp_max64(first, 0), axis->stride); t <= (target + axis->pad) / axis->stride; t++) {
        if (t < axis->targets) {
            s->at[s->count] = t;
            s->weight[s->count++] = b->weight[a][target + axis->pad - t * axis->stride];
        }
    }
}

static void find_sources(const cp_blur *b, int32_t a, int64_t target, cp_sources *s)
{
    const cp_axis *axis = &b->pool->axis[a];
    int32_t border = b->pool->params.variant;
    int64_t reach = 2 * axis->window, low = target, high = target, from, to;
    inner_targets(b, a, &from, &to);
    if (target >= from && target < to) {
        find_inner_sources(b, a, target, s);
        return;
    }
    if (b->direction == CPOOL_BACKWARD) { /* a result that reads the target begins no farther away, reflected or not */
        low = cp_ceil_div(cp_max64(target - reach, 0), axis->stride);
        high = cp_min64((target + reach) / axis->stride, axis->targets - 1);
    }
    s->count = 0;
    for (int64_t t = low; t <= high; t++) {
        for (int64_t j = 0; j < axis->window; j++) {
            int64_t at = stands_at(t * axis->stride - axis->pad + j, axis->sources, border);
            if (b->direction == CPOOL_FORWARD && at >= 0) {
                add_source(s, at, b->weight[a][j]);
            } else if (b->direction == CPOOL_BACKWARD && at == target) {
                add_source(s, t, b->weight[a][j]);
            }
        }
    }
}

/* ---- Planning ---- */

static size_t bytes_of(const cp_blur *b)
{
    return (size_t)(b->pitch * (SOURCES + 1 + SOURCES * b->planes + (b->planes > 1 ? SOURCES : 0))) * sizeof(double);
}

static void plan_blur(cp_blur *b, const cp_pool *pool, int32_t direction)
{
    int forward = direction == CPOOL_FORWARD;
    const cpool_view *views[CP_GRIDS] = {forward ? pool->array[CPOOL_X] : pool->grad[CPOOL_Y],
                                         forward ? pool->array[CPOOL_Y] : pool->grad[CPOOL_X]};
    b->pool = pool;
    b->direction = direction;
    for (int a = 0; a < CP_SPACE; a++) {
        b->sources[a] = forward ? pool->in[a] : pool->out[a];
        b->targets[a] = forward ? pool->out[a] : pool->in[a];
        int64_t f = pool->axis[a].window, sum = INT64_C(1) << (f - 1), number = 1;
        for (int64_t j = 0; j < f; j++) {
            b->weight[a][j] = (double)number / (double)sum;
            number = number * (f - 1 - j) / (j + 1);
        }
    }
    b->planes = pool->axis[0].window > 1 ? SOURCES : 1;
    cp_layout_make(&b->layout, pool, views, 0);
    cp_layout_choose_lanes(&b->layout, b->targets[2], CP_FEW_COLUMNS);
    b->lanes = cp_max64(1, cp_min64(b->layout.lanes, MOST_LANES));
    b->tiles = cp_ceil_div(b->layout.lanes, b->lanes);
    b->pitch = 1;
    int64_t lane_bytes = (int64_t)bytes_of(b) * b->lanes;
    b->width = cp_min64(b->targets[2], cp_max64(BUDGET / lane_bytes, 16));
    b->pitch = ((b->width + CP_BINOMIALS) * b->lanes + 7) / 8 * 8; /* the gradient's taps reach beyond the tile */
    b->bytes = bytes_of(b);
    int64_t rows = b->targets[0] * b->targets[1], whole = b->layout.outer * b->tiles;
    b->block_rows = rows;
    if (whole < ENOUGH_UNITS && whole > 0) { /* few planes are cut into blocks of rows; the cut never changes a bit */
        int64_t parts = cp_ceil_div(ENOUGH_UNITS, whole);
        b->block_rows = cp_max64(cp_ceil_div(rows, parts), FEWEST_ROWS);
    }
    b->blocks = cp_ceil_div(rows, b->block_rows);
    b->units = whole * b->blocks;
}

static cp_cost cost_of(const cp_blur *b)
{
    double elements = (double)cp_layout_planes(&b->layout);
    for (int a = 0; a < CP_SPACE; a++) {
        elements *= (double)b->pool->in[a];
    }
    return (cp_cost){b->bytes, 0, elements * 3.0};
}

cp_cost cp_blur_cost(const cp_pool *pool, int32_t direction)
{
    cp_blur b;
    plan_blur(&b, pool, direction);
    return cost_of(&b);
}

/* ---- Rows ---- */

static void load(const cp_blur_work *w, double *to, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count)
{
    const cp_blur *b = w->blur;
    const cp_grid *grid = &b->layout.grid[READ];
    int64_t stride = count > 1 ? step * grid->space[2] : 0; /* one step may be beyond every address */
    w->kernels->load[b->pool->dtype](to, w->read + d * grid->space[0] + h * grid->space[1] + column * grid->space[2], count,
                                     stride, w->lanes, b->layout.lane >= 0 ? grid->batch[b->layout.lane] : 0);
}

/* A target column near the border, by the list of its sources. */
static void filter_column(const cp_blur_work *w, double *to, int64_t d, int64_t h, const cp_sources *s)
{
    const double *rows[SOURCES];
    for (int64_t i = 0; i < s->count; i++) {
        double *row = w->taps + i * w->lanes;
        load(w, row, d, h, s->at[i], 1, 1);
        rows[i] = row;
    }
    w->kernels->weigh(to, rows, s->weight, s->count, w->lanes);
}

/* Target columns that no border matters to. */
static void filter_columns(const cp_blur_work *w, double *to, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_blur *b = w->blur;
    const cp_axis *axis = &b->pool->axis[2];
    const double *rows[CP_BINOMIALS];
    int64_t lanes = w->lanes, window = axis->window;
    if (b->direction == CPOOL_FORWARD) {
        for (int64_t r = 0; r < window && r < axis->stride; r++) { /* what one tap reads is what an earlier one does, later */
            double *row = w->taps + r * b->pitch;
            load(w, row, d, h, column * axis->stride - axis->pad + r, axis->stride, count + (window - 1 - r) / axis->stride);
            for (int64_t j = r; j < window; j += axis->stride) {
                rows[j] = row + j / axis->stride * lanes;
            }
        }
        w->kernels->weigh(to, rows, b->weight[2], window, count * lanes);
        return;
    }
    /* Results at their places among zeros, from the first on that reads the first column; weights are symmetric. */
    int64_t first = column + axis->pad - window + 1, places = count + window - 1, stride = axis->stride;
    int64_t from = first <= 0 ? 0 : (first - 1) / stride + 1;
    int64_t end = cp_min64((first + places - 1) / stride + 1, axis->targets);
    double *places_at = w->taps, *results = stride == 1 ? places_at : w->taps + 2 * b->pitch;
    w->kernels->fill(places_at, 0.0, places * lanes);
    if (from < end) {
        results = stride == 1 ? places_at + (from - first) * lanes : results;
        load(w, results, d, h, from, 1, end - from);
    }
    for (int64_t r = from; r < end && stride > 1; r++) {
        memcpy(places_at + (r * stride - first) * lanes, results + (r - from) * lanes, (size_t)lanes * sizeof(double));
    }
    for (int64_t j = 0; j < window; j++) {
        rows[j] = places_at + j * lanes;
    }
    w->kernels->weigh(to, rows, b->weight[2], window, count * lanes);
}

static void begin_tile(cp_blur_work *w, int64_t column)
{
    const cp_blur *b = w->blur;
    cp_sources *border = w->border;
    int64_t from, to, end;
    w->column = column;
    w->count = cp_min64(b->width, b->targets[2] - column);
    end = column + w->count;
    inner_targets(b, 2, &from, &to);
    w->inner = cp_min64(cp_max64(from, column), end);
    w->outer = cp_max64(cp_min64(to, end), w->inner);
    for (int64_t c = column; c < end; c++) {
        if (c == w->inner) {
            c = w->outer;
        }
        if (c < end) {
            find_sources(b, 2, c, border++);
        }
    }
    memset(w->kept_d, 0xFF, sizeof w->kept_d); /* -1: no plane */
}

static const double *filtered_row(cp_blur_work *w, int64_t d, int64_t h)
{
    const cp_blur *b = w->blur;
    int64_t slot_d = b->planes > 1 ? d % SOURCES : 0, slot_h = h % SOURCES, end = w->column + w->count;
    double *row = w->kept + (slot_d * SOURCES + slot_h) * b->pitch;
    if (w->kept_d[slot_d][slot_h] == d && w->kept_h[slot_d][slot_h] == h) {
        return row;
    }
    w->kept_d[slot_d][slot_h] = d;
    w->kept_h[slot_d][slot_h] = h;
    const cp_sources *border = w->border;
    for (int64_t c = w->column; c < w->inner; c++) {
        filter_column(w, row + (c - w->column) * w->lanes, d, h, border++);
    }
    if (w->inner < w->outer) {
        filter_columns(w, row + (w->inner - w->column) * w->lanes, d, h, w->inner, w->outer - w->inner);
    }
    for (int64_t c = w->outer; c < end; c++) {
        filter_column(w, row + (c - w->column) * w->lanes, d, h, border++);
    }
    return row;
}

static void filter_down(cp_blur_work *w, double *to, int64_t d, int64_t h)
{
    cp_sources s;
    const double *rows[SOURCES];
    find_sources(w->blur, 1, h, &s);
    for (int64_t i = 0; i < s.count; i++) {
        rows[i] = filtered_row(w, d, s.at[i]);
    }
    w->kernels->weigh(to, rows, s.weight, s.count, w->count * w->lanes);
}

static void filter_deep(cp_blur_work *w, double *to, int64_t d, int64_t h)
{
    cp_sources s;
    const double *planes[SOURCES];
    find_sources(w->blur, 0, d, &s);
    for (int64_t i = 0; i < s.count; i++) {
        double *plane = w->plane + i * w->blur->pitch;
        filter_down(w, plane, s.at[i], h);
        planes[i] = plane;
    }
    w->kernels->weigh(to, planes, s.weight, s.count, w->count * w->lanes);
}

/* Along an axis with filters of one element, a target is its one source, or without one 0. */
static void filter_row(cp_blur_work *w, int64_t d, int64_t h)
{
    const cp_blur *b = w->blur;
    const cp_grid *grid = &b->layout.grid[WRITTEN];
    cp_sources s;
    find_sources(b, 0, d, &s);
    if (b->planes > 1) {
        filter_deep(w, w->result, d, h);
    } else if (s.count == 1) {
        filter_down(w, w->result, s.at[0], h);
    } else {
        w->kernels->fill(w->result, 0.0, w->count * w->lanes);
    }
    w->kernels->store[b->pool->dtype](w->written + d * grid->space[0] + h * grid->space[1] + w->column * grid->space[2],
                                      w->result, w->count, grid->space[2], w->lanes,
                                      b->layout.lane >= 0 ? grid->batch[b->layout.lane] : 0);
}

/* ---- Running ---- */

static void run_unit(cp_blur_work *w, int64_t unit)
{
    const cp_blur *b = w->blur;
    const cp_layout *layout = &b->layout;
    int64_t block = unit % b->blocks, tile = unit / b->blocks % b->tiles, outer = unit / b->blocks / b->tiles, channel = 0;
    int64_t lane = tile * b->lanes, rows = b->targets[0] * b->targets[1], begin = block * b->block_rows;
    char *at[GRIDS];
    for (int32_t g = 0; g < GRIDS; g++) {
        int64_t step = layout->lane >= 0 ? layout->grid[g].batch[layout->lane] : 0;
        at[g] = layout->grid[g].data + cp_layout_offset(layout, g, outer, &channel) + lane * step;
    }
    w->read = at[READ];
    w->written = at[WRITTEN];
    w->lanes = cp_min64(b->lanes, layout->lanes - lane);
    for (int64_t column = 0; column < b->targets[2]; column += b->width) {
        begin_tile(w, column);
        for (int64_t row = begin; row < cp_min64(begin + b->block_rows, rows); row++) {
            filter_row(w, row / b->targets[1], row % b->targets[1]);
        }
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_blur *b = arg;
    cp_blur_work work;
    work.blur = b;
    work.kernels = b->engine->kernels->lane[CP_LANE_f64];
    work.taps = (double *)(void *)cp_engine_worker(b->engine, worker);
    work.kept = work.taps + SOURCES * b->pitch;
    work.result = work.kept + SOURCES * b->planes * b->pitch;
    work.plane = work.result + b->pitch;
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit);
    }
}

cpool_status cp_blur_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_blur b;
    cp_engine engine;
    plan_blur(&b, pool, direction);
    b.engine = &engine;
    return cp_engine_do(&engine, exec, cost_of(&b), b.units, run_units, &b);
}
