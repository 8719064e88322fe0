#include "drive/strip.h"

#include <string.h>

#include "drive/window.h"
#include "fpenv.h"
#include "integers.h"
#include "kernels/template.h"

/* Bytes of results that a unit makes, roughly, and of folded rows that it keeps; lanes of targets of a row,
 * of a pixel at once; the stride of a row that is thinned at most. */
enum { UNIT = 128 * 1024, RING = 32 * 1024, WIDEST = 2048, MOST_LANES = 2048, FEWEST_LANES = 16, MOST_STRIDE = 8 };

/* ---- Planning ---- */

/* Windows of a single plane and few rows. */
static int is_low(const cp_pool *pool)
{
    return pool->axis[0].taps == 1 && pool->axis[1].taps <= CP_STRIP_KEPT;
}

static int shares_rows(const cp_pool *pool)
{
    const cp_axis *down = &pool->axis[1];
    return down->kind != CP_AXIS_SLIDING || down->stride < down->taps;
}

/* What most calls are; the forms that are only quicker exist for nothing else. */
static int is_usual(const cp_strips *s)
{
    return s->fold == CP_SUM || s->fold == CP_MAX || s->fold == CP_MAX_TAP;
}

static int pixel_form(const cp_strips *s)
{
    const cp_pool *pool = s->pool;
    if (!is_usual(s)) {
        return CP_STRIP_PIXELS_DEEP;
    }
    return pool->axis[0].taps == 1 && !shares_rows(pool) ? CP_STRIP_PIXELS_FRESH
           : is_low(pool)                                ? CP_STRIP_PIXELS_KEPT
                                                         : CP_STRIP_PIXELS_DEEP;
}

static int column_form(const cp_strips *s, int64_t stride)
{
    const cp_pool *pool = s->pool;
    const cp_axis *axis = pool->axis;
    int64_t window = axis[2].taps;
    int usual = s->lane_kind == CP_LANE_f32 && is_usual(s);
    int square =
        usual && axis[1].kind == CP_AXIS_SLIDING && axis[1].taps == window && axis[1].stride == stride && pool->in[0] == 1;
    switch (stride) {
    case 1: return square && window == 3 ? CP_STRIP_3_BY_1 : CP_STRIP_ANY_BY_1;
    case 2: return square && window == 2 ? CP_STRIP_2_BY_2 : square && window == 3 ? CP_STRIP_3_BY_2 : CP_STRIP_ANY_BY_2;
    case 4: return CP_STRIP_ANY_BY_4;
    case 8: return usual ? CP_STRIP_ANY_BY_8 : CP_STRIP_THINNED;
    default: return CP_STRIP_THINNED;
    }
}

static int is_pixels(const cp_strips *s)
{
    return s->form <= CP_STRIP_PIXELS_DEEP;
}

/* A byte for each tap, or none are asked for. */
static int has_small_taps(const cp_pool *pool)
{
    return pool->array[CPOOL_TAPS] == NULL || pool->taps_bits == 8;
}

static int suits_columns(const cp_strips *s)
{
    const cp_axis *axis = s->pool->axis;
    return axis[2].kind == CP_AXIS_SLIDING &&
           (s->form != CP_STRIP_THINNED || (axis[2].stride <= MOST_STRIDE && axis[1].taps < CP_STRIP_WINDOW));
}

static int choose_form(cp_strips *s)
{
    const cp_axis *along = &s->pool->axis[2];
    cp_layout *layout = &s->layout;
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->length[dim] == 1 || !cp_layout_is_together(layout, dim)) {
            continue;
        }
        s->row_lanes = layout->length[dim];
        s->form = pixel_form(s);
        if (s->row_lanes < FEWEST_LANES) { /* a row of pixels is one long row */
            s->form = along->stride == 1 ? column_form(s, 1) : CP_STRIP_THINNED;
        }
        cp_layout_take_lanes(layout, dim);
        return is_pixels(s) || (suits_columns(s) && cp_layout_is_dense(layout, s->row_lanes));
    }
    s->row_lanes = 1;
    s->form = column_form(s, along->stride);
    return suits_columns(s) && cp_layout_is_dense(layout, 1);
}

int cp_strips_plan(cp_strips *s, const cp_pool *pool)
{
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_TAPS]};
    const cp_axis *axis = pool->axis;
    if ((pool->op->family != CP_BEST && pool->op->family != CP_MEAN) || !has_small_taps(pool)) {
        return 0;
    }
    for (int i = 0; i < CP_SPACE; i++) {
        if (axis[i].taps > (pool->op->family == CP_BEST ? CP_STRIP_WINDOW : CP_STRIP_SUM) || axis[i].dilation != 1) {
            return 0;
        }
    }
    s->pool = pool;
    s->lane_kind = cp_window_lane(pool, axis);
    s->lane_size = cp_lane_size(s->lane_kind);
    s->fold = pool->array[CPOOL_TAPS] != NULL ? pool->op->tap_fold : pool->op->fold;
    cp_layout_make(&s->layout, pool, views, 0);
    if (!choose_form(s)) {
        return 0;
    }
    int pixels = is_pixels(s), rows = s->fold == CP_MAX_TAP || s->fold == CP_MIN_TAP ? 2 : 1;
    int64_t size = s->lane_size, columns = pool->out[2], height = pool->out[0] * pool->out[1];
    for (s->slots = 1; s->slots < axis[1].taps;) {
        s->slots *= 2;
    }
    int64_t lines = s->slots * axis[0].taps * rows;
    s->tile = cp_max64(1, cp_min64(s->row_lanes, MOST_LANES));
    s->tiles = pixels ? cp_ceil_div(s->row_lanes, s->tile) : 1;
    s->width = cp_min64(columns, cp_max64(1, cp_min64(RING / (lines * s->tile * size), WIDEST / s->tile + 1)));
    if (!pixels) {
        s->width = cp_min64(columns, cp_max64(1, WIDEST / s->tile));
    }
    s->strips = cp_ceil_div(columns, s->width);
    s->pitch = rows * (int64_t)cp_row_bytes(s->width * s->tile + FEWEST_LANES, size) / size;
    int64_t row = s->width * s->tile * size;
    s->height = cp_min64(height, cp_max64(4 * axis[1].taps, UNIT / row));
    s->blocks = cp_ceil_div(height, s->height);
    int64_t run = s->run = cp_layout_run(&s->layout, s->run_step);
    s->group = s->blocks > 1 || s->strips > 1 ? 1 : cp_min64(run, cp_max64(1, UNIT / (row * height)));
    s->groups = cp_ceil_div(run, cp_max64(s->group, 1));
    s->units = run == 0 || s->row_lanes == 0 ? 0 : s->layout.outer / run * s->groups * s->tiles * s->strips * s->blocks;
    s->row_bytes = cp_row_bytes(s->height, sizeof(cp_strip_row));
    s->column_bytes = pixels ? cp_row_bytes(s->width, sizeof(cp_strip_pixel)) : 2 * cp_row_bytes(s->width * s->tile, size);
    s->wide = 0;
    if (s->form == CP_STRIP_THINNED) {
        s->wide = (int64_t)cp_row_bytes(((s->width - 1) * axis[2].stride + 1) * s->tile + FEWEST_LANES, size) / size;
    }
    s->wide_row = lines / rows * s->pitch;
    s->wide_bytes = cp_row_bytes(s->wide, size);
    s->bytes = s->row_bytes + s->column_bytes + s->wide_bytes + cp_row_bytes(s->wide_row + rows * s->wide, size);
    return 1;
}

/* ---- Tables ---- */

/* What a worker holds: the tables of the block and strip at work, and the ring. */
typedef struct cp_strip_work {
    const cp_strips *strips;
    cp_strip strip;
    int64_t block, column; /* that the tables are of; -1: none */
    cp_strip_row *rows;
    cp_strip_pixel *pixels;
    void *columns, *wide, *ring;
} cp_strip_work;

static int is_mean(const cp_strips *s)
{
    return s->pool->op->family == CP_MEAN;
}

static double divisor_along(const cp_strips *s, int32_t axis, int64_t target)
{
    return is_mean(s) ? cp_pool_divisor_along(s->pool, axis, target) : 1;
}

/* That along the row of a window that is all there. */
static double full_divisor(const cp_strips *s)
{
    return s->pool->params.flags & CPOOL_DIVISOR ? s->pool->params.divisor : (double)s->pool->axis[2].taps;
}

static void fill_rows(cp_strip_work *w, int64_t block)
{
    const cp_strips *s = w->strips;
    const cp_axis *axis = s->pool->axis;
    const cp_grid *grid = s->layout.grid;
    int64_t begin = block * s->height, end = cp_min64(begin + s->height, s->pool->out[0] * s->pool->out[1]);
    int64_t kept_to = 0, plane = -1;
    double full = full_divisor(s);
    for (int64_t r = begin; r < end; r++) {
        cp_strip_row *row = &w->rows[r - begin];
        int64_t d = r / s->pool->out[1], h = r % s->pool->out[1];
        cp_span deep = cp_axis_span(&axis[0], d), down = cp_axis_span(&axis[1], h);
        int64_t first_plane = deep.first + deep.lo;
        row->first = down.first + down.lo;
        row->source = first_plane * grid[0].space[0] + row->first * grid[0].space[1];
        row->target = d * grid[1].space[0] + h * grid[1].space[1];
        row->taps = grid[2].item != 0 ? d * grid[2].space[0] + h * grid[2].space[1] : 0;
        row->planes = (int32_t)(deep.hi - deep.lo);
        row->rows = (int32_t)(down.hi - down.lo);
        row->kept = d == plane ? (int32_t)cp_max64(0, cp_min64(kept_to - row->first, row->rows)) : 0;
        row->tap = (double)(deep.lo * w->strip.tap_plane + down.lo * w->strip.tap_row);
        row->count = divisor_along(s, 0, d) * divisor_along(s, 1, h);
        row->divisor = full * row->count;
        row->is_inverse = cp_is_power_of_two(row->divisor);
        row->divisor = row->is_inverse ? 1 / row->divisor : row->divisor;
        plane = d;
        kept_to = row->first + row->rows;
    }
    w->strip.row_count = end - begin;
    w->strip.first_row = begin * axis[1].stride - axis[1].pad;
}

/* The first taps of targets in steps of 1. */
static void fill_wide(cp_strip_work *w, int64_t begin, int64_t end)
{
    const cp_strips *s = w->strips;
    const cp_axis *along = &s->pool->axis[2];
    const cp_lane_kernels *kernels = s->engine->kernels->lane[s->lane_kind];
    int64_t first = begin * along->stride, count = (end - 1 - begin) * along->stride + 1;
    for (int64_t i = 0; i < count; i++) {
        double tap = (double)cp_max64(0, along->pad - (first + i));
        kernels->fill((char *)w->wide + i * s->tile * s->lane_size, tap, s->tile);
    }
}

static void fill_columns(cp_strip_work *w, int64_t begin, int64_t end)
{
    const cp_strips *s = w->strips;
    const cp_axis *along = &s->pool->axis[2];
    const cp_lane_kernels *kernels = s->engine->kernels->lane[s->lane_kind];
    char *first_tap = w->columns, *counts = first_tap + cp_row_bytes(s->width * s->tile, s->lane_size);
    double full = full_divisor(s);
    w->strip.uniform = 1;
    for (int64_t i = begin; i < end; i++) {
        cp_span span = cp_axis_span(along, i);
        double count = divisor_along(s, 2, i);
        w->strip.uniform = w->strip.uniform && count == full;
        if (is_pixels(s)) {
            cp_strip_pixel pixel = {(span.first + span.lo) * s->layout.grid[0].space[2], (int32_t)(span.hi - span.lo),
                                    (int32_t)span.lo, count};
            w->pixels[i - begin] = pixel;
        } else {
            int64_t at = (i - begin) * s->tile * s->lane_size;
            kernels->fill(first_tap + at, (double)span.lo, s->tile);
            kernels->fill(counts + at, count, s->tile);
        }
    }
    if (s->form == CP_STRIP_THINNED) {
        fill_wide(w, begin, end);
    }
    w->strip.begin = begin * (is_pixels(s) ? 1 : s->tile);
    w->strip.end = end * (is_pixels(s) ? 1 : s->tile);
    w->strip.pixels = w->pixels;
    w->strip.first_tap = first_tap;
    w->strip.counts = counts;
}

static void begin_strip(cp_strip_work *w)
{
    const cp_strips *s = w->strips;
    const cp_pool *pool = s->pool;
    const cp_axis *along = &pool->axis[2];
    const cp_grid *grid = s->layout.grid;
    cp_strip *strip = &w->strip;
    memset(strip, 0, sizeof *strip);
    strip->form = s->form;
    strip->rows = w->rows;
    strip->source_row = grid[0].space[1];
    strip->source_plane = grid[0].space[0];
    strip->ring_slots = s->slots;
    strip->ring_pitch = s->pitch;
    strip->tap_row = along->taps;
    strip->tap_plane = along->taps * pool->axis[1].taps;
    strip->length = pool->in[2] * s->tile;
    strip->pad = along->pad * s->tile;
    strip->window = along->taps;
    strip->step = s->tile;
    int64_t stride = s->form == CP_STRIP_THINNED ? 1 : along->stride;
    strip->loads = stride == 0 ? 0 : cp_ceil_div(along->taps, stride) * stride;
    strip->stride = along->stride;
    strip->wide = s->wide;
    strip->wide_row = s->wide_row;
    strip->wide_first_tap = w->wide;
    strip->source_rows = pool->in[1];
    strip->target_row = grid[1].space[1];
    strip->taps_row = grid[2].item != 0 ? grid[2].space[1] : 0;
    strip->step_bytes = grid[0].space[2];
    strip->target_pixel = grid[1].space[2];
    strip->taps_pixel = grid[2].item != 0 ? grid[2].space[2] : 0;
}

/* ---- Running ---- */

static void run_unit(cp_strip_work *w, int64_t unit)
{
    const cp_strips *s = w->strips;
    const cp_layout *layout = &s->layout;
    /* Blocks and strips are slowest, for their tables. */
    int64_t of_strip = s->units / (s->blocks * s->strips), rest = unit % of_strip;
    int64_t block = unit / of_strip / s->strips, column = unit / of_strip % s->strips * s->width;
    int64_t tile = rest % s->tiles * s->tile, group = rest / s->tiles;
    int64_t first = group % s->groups * s->group, channel;
    if (w->block != block) {
        fill_rows(w, block);
        w->block = block;
    }
    if (w->column != column) {
        fill_columns(w, column, cp_min64(column + s->width, s->pool->out[2]));
        w->column = column;
    }
    char *at[CP_GRIDS];
    for (int32_t g = 0; g < CP_GRIDS; g++) {
        const cp_grid *grid = &layout->grid[g];
        at[g] = NULL;
        if (grid->item != 0) {
            at[g] = grid->data + cp_layout_offset(layout, g, group / s->groups * s->run + first, &channel) + tile * grid->item;
        }
    }
    w->strip.lanes = cp_min64(s->tile, s->row_lanes - tile);
    cp_strip_planes planes = {
        at[0], at[1], at[2], s->run_step[0], s->run_step[1], s->run_step[2], cp_min64(s->group, s->run - first)};
    s->engine->kernels->lane[s->lane_kind]->strip[s->fold](&w->strip, &planes, w->ring);
}

void cp_strips_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_strips *s = arg;
    cp_fpenv environment = cp_fpenv_enter();
    char *memory = cp_engine_worker(s->engine, worker);
    cp_strip_work w;
    w.strips = s;
    w.block = w.column = -1;
    w.rows = (cp_strip_row *)(void *)memory;
    w.pixels = (cp_strip_pixel *)(void *)(memory + s->row_bytes);
    w.columns = memory + s->row_bytes;
    w.wide = memory + s->row_bytes + s->column_bytes;
    w.ring = memory + s->row_bytes + s->column_bytes + s->wide_bytes;
    begin_strip(&w);
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&w, unit);
    }
    cp_fpenv_leave(environment);
}
