#include "drive/scatter.h"

#include <string.h>

#include "drive/scatter_add.h"
#include "integers.h"

/* Bytes of the gradient of x that are written at once, roughly, and of lanes of a plane; results of a row, planes at once;
 * bytes of scratch, and taps in a table, at most; elements of each of few results, and then taps in a table, lanes of a pixel
 * at least, and bytes of as many as are cleared together. */
enum {
    BAND = 128 * 1024,
    NEAR_CACHE = 24 * 1024,
    COLUMNS = 4096,
    FEWEST_PLANES = 4,
    MOST_PLANES = 16,
    MOST_FIELD = 512 * 1024,
    MOST_NEAR = 128 * 128,
    FEW = 64,
    FEW_TAPS = 1024,
    FEW_LANES = 256,
    FEW_BYTES = 1024 * 1024
};

enum { ARRAYS = 3 }; /* the gradients of x and y, taps */

static int64_t reach(const cp_axis *axis) /* from the first tap of a window to the last */
{
    return (axis->taps - 1) * axis->dilation;
}

/* Positions that windows which hold any of lo to hi - 1 begin at, from the first one to the last; 0: there are none. */
static int window_starts(const cp_axis *axis, int64_t lo, int64_t hi, int64_t *first, int64_t *last)
{
    int64_t from, to;
    cp_axis_holders(axis, lo, hi, &from, &to);
    if (from >= to) {
        return 0;
    }
    *first = cp_axis_span(axis, from).first;
    *last = cp_axis_span(axis, to - 1).first;
    return 1;
}

/* Bytes from one row to the next, so that the same column of many rows is not in the same place of the nearest cache. */
static int64_t row_pitch(int64_t bytes)
{
    return bytes % (64 * CP_LINE) == 0 ? bytes + 8 * CP_LINE : bytes;
}

/* Taps by table, and where they are added to: the gradient itself if no window reaches beyond, else scratch. */
static void plan_field(cp_scatters *s)
{
    const cp_pool *pool = s->pool;
    int64_t size = s->layout.grid[0].item, lanes = s->tile;
    double bytes = (double)size * (double)lanes, farthest = 0;
    s->has_field = s->bands > 1;
    s->field_bytes = 0;
    memset(s->field_step, 0, sizeof s->field_step);
    for (int a = 0; a < CP_SPACE; a++) {
        const cp_axis *axis = &pool->axis[a];
        int64_t step = s->layout.grid[0].space[a], first = 0, last = 0, extent = pool->in[a];
        if ((double)axis->taps * (double)axis->dilation > (double)MOST_FIELD) {
            s->is_near = s->has_field = 0;
            return;
        }
        farthest += (double)(2 * reach(axis) + pool->in[a]) * ((double)step < 0 ? -(double)step : (double)step);
        if (pool->in[a] > 0 && window_starts(axis, 0, pool->in[a], &first, &last)) {
            s->has_field = s->has_field || first < 0 || last + reach(axis) >= pool->in[a];
            extent = cp_max64(pool->in[a], last + reach(axis) + 1) - cp_min64(first, 0);
        }
        s->field[a] = a == s->cut ? cp_min64(extent, s->band + 2 * reach(axis)) : extent;
        bytes *= (double)s->field[a];
    }
    s->has_field = s->has_field && !s->are_few;
    int64_t most = s->are_few ? FEW_TAPS : MOST_NEAR;
    s->is_near = s->taps <= most && farthest < 0x1p62 && (!s->has_field || bytes <= MOST_FIELD);
    s->has_field = s->has_field && s->is_near;
    if (s->has_field) {
        int lanes_together = s->layout.lane >= 0 && s->layout.grid[0].batch[s->layout.lane] == size;
        s->field_step[2] = lanes_together ? lanes * size : size;
        s->field_step[1] = row_pitch(s->field[2] * s->field_step[2]);
        s->field_step[0] = s->field[1] * s->field_step[1];
        /* An odd number of lines, so that the same position of two planes is not in the same place of the nearest cache. */
        s->field_lane = lanes_together ? size : (int64_t)cp_round_up((size_t)(s->field[0] * s->field_step[0])) | CP_LINE;
        s->field_bytes = cp_round_up((size_t)(lanes_together ? s->field[0] * s->field_step[0] : s->field_lane * lanes));
    }
}

/* A band sees again what windows reach into it from outside: it is not much smaller than they are. */
static void plan_bands(cp_scatters *s, int64_t tile)
{
    const cp_pool *pool = s->pool;
    double each = (double)tile * (double)s->layout.grid[0].item; /* of one position along the cut */
    for (int a = 0; a < CP_SPACE; a++) {
        each *= a == s->cut ? 1 : (double)pool->in[a];
    }
    double band = each >= 1 && each < BAND ? BAND / each : 1;
    int64_t shortest = cp_min64(pool->axis[s->cut].taps, pool->in[s->cut]);
    s->tile = tile;
    s->band = cp_max64(1, cp_min64(pool->in[s->cut], cp_max64((int64_t)band, shortest)));
    s->bands = cp_ceil_div(pool->in[s->cut], s->band);
    plan_field(s);
}

void cp_scatters_plan(cp_scatters *s, const cp_pool *pool)
{
    const cpool_view *views[CP_GRIDS] = {pool->grad[CPOOL_X], pool->grad[CPOOL_Y], pool->array[CPOOL_TAPS]};
    s->pool = pool;
    cp_layout_make(&s->layout, pool, views, 0);
    cp_layout *layout = &s->layout;
    cp_layout_take_lanes(layout, layout->dims - 1); /* sums of different lanes do not wait for each other */
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->grid[0].batch[dim] == layout->grid[0].item && layout->length[dim] > 1) {
            cp_layout_take_lanes(layout, dim);
        }
    }
    int64_t item = layout->grid[0].item, rows = 1;
    int together = layout->lane >= 0 && layout->grid[0].batch[layout->lane] == item;
    double taps = 1, results = 1;
    s->cut = pool->in[0] > 1 ? 0 : pool->in[1] > 1 ? 1 : 2;
    for (int a = 0; a < CP_SPACE; a++) {
        rows *= a == s->cut ? 1 : pool->in[a]; /* elements of one position along the cut */
        taps *= (double)pool->axis[a].taps;
        results *= (double)pool->out[a];
    }
    s->taps = taps < 0x1p62 ? (int64_t)taps : INT64_MAX;
    /* Lanes of whole cache lines, of which a plane stays in the nearest cache; of two, one of which comes with the other, if
     * that is small enough for the next cache. */
    double elements = (double)rows * (double)pool->in[s->cut], plane = (elements > 1 ? elements : 1) * (double)item;
    int64_t pair = 2 * CP_LINE / item, line = plane * (double)pair <= BAND ? pair : pair / 2;
    int64_t least = together ? line : FEWEST_PLANES, most = together ? NEAR_CACHE : MOST_PLANES;
    s->tile = plane < NEAR_CACHE / (double)least ? (int64_t)(NEAR_CACHE / plane) / least * least : least;
    s->are_few = results * FEW <= elements;
    if (s->are_few) { /* mostly zeros, which are quicker in one piece */
        double piece = together ? FEW_BYTES : BAND;
        int64_t lanes = plane < piece ? (int64_t)(piece / plane) : 1;
        s->tile = most = cp_max64(together ? FEW_LANES : s->tile, lanes);
    }
    int64_t tile = cp_max64(1, cp_min64(layout->lanes, cp_min64(s->tile, most)));
    plan_bands(s, tile);
    while (!s->is_near && !s->are_few && s->tile > 1) { /* looking for the place of each tap takes longer than fewer lanes do */
        plan_bands(s, s->tile / 2);
    }
    if (!s->is_near) {
        plan_bands(s, tile);
    }
    s->tiles = cp_ceil_div(layout->lanes, s->tile);
    s->units = rows == 0 ? 0 : layout->outer * s->tiles * s->bands;
    s->start_bytes = cp_row_bytes(cp_min64(pool->out[2], COLUMNS), sizeof(int64_t));
    s->near_bytes = s->is_near ? cp_row_bytes(s->taps, sizeof(int64_t)) : 0;
    s->bytes = s->start_bytes + s->near_bytes + s->field_bytes;
}

/* What a worker holds. */
typedef struct cp_scatter_work {
    const cp_scatters *scatters;
    cp_scatter scatter;
    int64_t *starts, column, count; /* of `count` columns from `column` on; NULL: they slide */
    int64_t *near;
    char *field;
} cp_scatter_work;

static void begin_scatter(cp_scatter_work *w, char *memory)
{
    const cp_scatters *s = w->scatters;
    const cp_pool *pool = s->pool;
    const cp_grid *grid = s->layout.grid;
    cp_scatter *scatter = &w->scatter;
    for (int a = 0; a < CP_SPACE; a++) {
        scatter->window[a] = pool->axis[a].taps;
        scatter->dilation[a] = pool->axis[a].dilation;
        scatter->lo[a] = 0;
        scatter->hi[a] = pool->in[a];
        scatter->step[a] = s->has_field ? s->field_step[a] : grid[0].space[a];
    }
    for (int g = 0; g < ARRAYS; g++) {
        scatter->lane_step[g] = s->layout.lane >= 0 ? grid[g].batch[s->layout.lane] : 0;
        scatter->column_step[g] = grid[g].space[2];
        scatter->row_step[g] = grid[g].space[1];
    }
    scatter->row_advance = cp_axis_advance(&pool->axis[1]);
    scatter->lane_step[0] = s->has_field ? s->field_lane : scatter->lane_step[0];
    scatter->advance = cp_axis_advance(&pool->axis[2]);
    scatter->bits = grid[2].bits;
    scatter->taps = s->taps;
    w->near = (int64_t *)(void *)(memory + s->start_bytes);
    w->field = memory + s->start_bytes + s->near_bytes;
    for (int64_t d = 0, t = 0; s->is_near && d < scatter->window[0]; d++) {
        for (int64_t h = 0; h < scatter->window[1]; h++) {
            int64_t line = d * scatter->dilation[0] * scatter->step[0] + h * scatter->dilation[1] * scatter->step[1];
            for (int64_t i = 0; i < scatter->window[2]; i++) {
                w->near[t++] = line + i * scatter->dilation[2] * scatter->step[2];
            }
        }
    }
    scatter->near = s->is_near ? w->near : NULL;
    scatter->is_open = s->are_few;
    w->starts = scatter->advance == 0 ? (int64_t *)(void *)memory : NULL;
    w->column = -1;
}

/* Finds where the windows of some columns begin, if they do not slide. */
static void find_starts(cp_scatter_work *w, int64_t column, int64_t count)
{
    if (w->starts != NULL && (w->column != column || w->count < count)) {
        for (int64_t c = 0; c < count; c++) {
            w->starts[c] = cp_axis_span(&w->scatters->pool->axis[2], column + c).first;
        }
        w->column = column;
        w->count = count;
    }
}

/* Columns `begin` to `end` of some rows of results. */
static void scatter_rows(cp_scatter_work *w, char *const *at, int64_t d, int64_t h, int64_t rows, int64_t begin, int64_t end)
{
    const cp_scatters *s = w->scatters;
    const cp_pool *pool = s->pool;
    const int64_t *y = s->layout.grid[1].space, *taps = s->layout.grid[2].space;
    for (int64_t c = begin; c < end; c += COLUMNS) {
        int64_t count = cp_min64(end - c, COLUMNS);
        const int64_t first[3] = {cp_axis_span(&pool->axis[0], d).first, cp_axis_span(&pool->axis[1], h).first,
                                  cp_axis_span(&pool->axis[2], c).first};
        find_starts(w, c, count);
        cp_scatter_add[pool->dtype](&w->scatter, at[0], at[1] + d * y[0] + h * y[1] + c * y[2],
                                    at[2] + d * taps[0] + h * taps[1] + c * taps[2], first, w->starts, rows, count);
    }
}

/* Sums that lie from `from`, position (0, 0, 0), on become the gradient; NULL: zeros do. */
static void settle(const cp_scatter_work *w, char *dx, const char *from)
{
    const cp_scatters *s = w->scatters;
    const cp_scatter *scatter = &w->scatter;
    const cp_grid *grid = &s->layout.grid[0];
    const int64_t *field = from != NULL ? s->field_step : grid->space;
    const int64_t lane = s->layout.lane >= 0 ? grid->batch[s->layout.lane] : 0, to_step[2] = {grid->space[2], lane};
    const int64_t from_step[2] = {field[2], from != NULL ? s->field_lane : lane}, first = scatter->lo[2];
    int64_t columns = scatter->hi[2] - first, rows = scatter->hi[1];
    if (grid->space[1] == columns * grid->space[2] && field[1] == columns * field[2]) { /* one long row */
        columns *= rows - scatter->lo[1];
        rows = scatter->lo[1] + 1;
    }
    for (int64_t d = scatter->lo[0]; d < scatter->hi[0]; d++) {
        for (int64_t h = scatter->lo[1]; h < rows; h++) {
            const char *row = from == NULL ? NULL : from + d * field[0] + h * field[1] + first * field[2];
            cp_scatter_settle(grid->item, dx + d * grid->space[0] + h * grid->space[1] + first * to_step[0], to_step, row,
                              from_step, columns, scatter->lanes);
        }
    }
}

static void run_unit(cp_scatter_work *w, int64_t unit)
{
    const cp_scatters *s = w->scatters;
    const cp_axis *axis = s->pool->axis;
    cp_scatter *scatter = &w->scatter;
    int64_t band = unit % s->bands, tile = unit / s->bands % s->tiles * s->tile, outer = unit / s->bands / s->tiles, channel;
    int64_t from[CP_SPACE], to[CP_SPACE], origin = 0;
    char *at[ARRAYS];
    scatter->lanes = cp_min64(s->tile, s->layout.lanes - tile);
    scatter->lo[s->cut] = band * s->band;
    scatter->hi[s->cut] = cp_min64(scatter->lo[s->cut] + s->band, s->pool->in[s->cut]);
    for (int a = 0; a < CP_SPACE; a++) {
        int64_t lo = scatter->lo[a], first = lo, last;
        cp_axis_holders(&axis[a], lo, scatter->hi[a], &from[a], &to[a]);
        (void)window_starts(&axis[a], lo, scatter->hi[a], &first, &last);
        origin += cp_min64(first, lo) * s->field_step[a];
    }
    for (int32_t g = 0; g < ARRAYS; g++) {
        int64_t step = s->layout.lane >= 0 ? s->layout.grid[g].batch[s->layout.lane] : 0;
        at[g] = s->layout.grid[g].data + cp_layout_offset(&s->layout, g, outer, &channel) + tile * step;
    }
    char *dx = at[0];
    if (s->has_field) {
        memset(w->field, 0, s->field_bytes);
        at[0] = w->field - origin;
    } else {
        settle(w, dx, NULL);
    }
    int64_t rows = scatter->row_advance == 0 ? 1 : to[1] - from[1]; /* at once */
    for (int64_t d = from[0]; d < to[0]; d++) {
        for (int64_t h = from[1]; h < to[1]; h += rows) {
            scatter_rows(w, at, d, h, rows, from[2], to[2]);
        }
    }
    if (s->has_field) {
        settle(w, dx, at[0]);
    }
}

void cp_scatters_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_scatters *s = arg;
    cp_scatter_work work;
    work.scatters = s;
    begin_scatter(&work, cp_engine_worker(s->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit);
    }
}
