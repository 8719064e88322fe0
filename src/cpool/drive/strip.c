#include "drive/strip.h"

#include <string.h>

#include "drive/turn.h"
#include "drive/window.h"
#include "integers.h"
#include "kernels/template.h"

/* Bytes of results that a unit makes, roughly, and of folded rows that it keeps; lanes of targets of a row,
 * of a pixel at once; the stride at most where targets are picked. */
enum { UNIT = 128 * 1024, RING = 32 * 1024, WIDEST = 2048, MOST_LANES = 2048, FEWEST_LANES = 16, MOST_STRIDE = 8 };

/* Planes that become lanes: bytes of them in scratch, and of scratch that is quick for small ones; planes, results of a row
 * that vectors of columns are well filled with, and how far apart windows that share nothing have to be. */
enum { TURN = 320 * 1024, SMALL_TURN = 48 * 1024, FEWEST_PLANES = 8, MOST_PLANES = 64, FEWEST_COLUMNS = 8, FAR_APART = 4 };

/* Shared folds: bytes of them, and lanes where the elements of a pixel are lanes; lanes of a pixel where windows along the row
 * share nothing; tiles of a pixel at least where the first may be a shorter one; lanes of a row whose columns are lanes at
 * least, as identities at its ends are folded, too; rows of these that are folded along at once, and their lanes; windows that
 * hold an element at most where each is folded by itself. */
enum {
    SHARED = 256 * 1024,
    SHARED_LANES = 32 * 1024,
    APART_LANES = 128,
    FEWEST_TILES = 4,
    FEWEST_SHARED = 32,
    MOST_AT_ONCE = 16,
    LANES_AT_ONCE = 512,
    MOST_HOLDERS = 3
};

/* ---- Planning ---- */

/* Windows of a single plane and few rows. */
static int is_low(const cp_pool *pool)
{
    return pool->axis[0].taps == 1 && pool->axis[1].taps <= CP_STRIP_KEPT;
}

/* Planes of which each has results of its own, by windows as deep as it is. */
static int is_flat(const cp_pool *pool)
{
    return pool->in[0] == 1 && pool->out[0] == 1 && pool->axis[0].taps == 1;
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

static int carries_tap(const cp_strips *s)
{
    return s->fold == CP_MAX_TAP || s->fold == CP_MIN_TAP;
}

/* Whether windows along an axis are folded from blocks at their unclipped places. */
static int has_blocks(const cp_strips *s, const cp_axis *axis)
{
    return s->fold == CP_SUM && axis->taps > CP_STRIP_SUM;
}

/* Sums of many taps, and selections whose windows overlap a lot, that no other form holds, or whose taps a byte cannot number.
 * Numbers of taps count on through a plane. */
static int is_shared(const cp_strips *s)
{
    const cp_axis *axis = s->pool->axis;
    int gains = s->tap_bytes > 1;
    for (int a = 1; a < CP_SPACE; a++) {
        if (axis[a].taps > CP_STRIP_SHARED || (has_blocks(s, &axis[a]) && axis[a].kind != CP_AXIS_SLIDING)) {
            return 0;
        }
        int overlap = axis[a].kind == CP_AXIS_SLIDING && axis[a].taps > 4 && axis[a].taps / 4 >= axis[a].stride;
        gains = gains || has_blocks(s, &axis[a]) || (s->fold != CP_SUM && (overlap || axis[a].taps > CP_STRIP_WINDOW));
    }
    return gains && axis[0].taps == 1 && (!carries_tap(s) || s->pool->in[1] < (1 << 24) / CP_STRIP_SHARED / 2);
}

static int pixel_form(const cp_strips *s)
{
    const cp_pool *pool = s->pool;
    if (is_shared(s)) {
        return CP_STRIP_PIXELS_SHARED;
    }
    if (!is_usual(s)) {
        return CP_STRIP_PIXELS_DEEP;
    }
    return pool->axis[0].taps == 1 && !shares_rows(pool) ? CP_STRIP_PIXELS_FRESH
           : is_low(pool)                                ? CP_STRIP_PIXELS_KEPT
                                                         : CP_STRIP_PIXELS_DEEP;
}

/* Pixels of few lanes, or columns in any steps. */
static int picked_form(const cp_strips *s)
{
    int64_t window = s->pool->axis[2].taps;
    int has_own = s->lane_kind == CP_LANE_f32 && is_usual(s) && is_low(s->pool);
    return has_own && window == 2 ? CP_STRIP_2_PICKED : has_own && window == 3 ? CP_STRIP_3_PICKED : CP_STRIP_ANY_PICKED;
}

static int column_form(const cp_strips *s, int64_t stride)
{
    if (stride == 1 && is_shared(s) && cp_min64(s->pool->out[2], FEWEST_SHARED) * s->row_lanes >= FEWEST_SHARED) {
        return CP_STRIP_COLUMNS_SHARED;
    }
    const cp_pool *pool = s->pool;
    const cp_axis *axis = pool->axis;
    int64_t window = axis[2].taps;
    int usual = s->lane_kind == CP_LANE_f32 && is_usual(s);
    int square = is_usual(s) && axis[1].kind == CP_AXIS_SLIDING && axis[1].taps == window && axis[1].stride == stride &&
                 is_flat(pool) && !s->floats;
    switch (stride) {
    case 1: return square && window == 3 ? CP_STRIP_3_BY_1 : CP_STRIP_ANY_BY_1;
    case 2: return square && window == 2 ? CP_STRIP_2_BY_2 : square && window == 3 ? CP_STRIP_3_BY_2 : CP_STRIP_ANY_BY_2;
    case 4: return CP_STRIP_ANY_BY_4;
    case 8: return usual ? CP_STRIP_ANY_BY_8 : picked_form(s);
    default: return picked_form(s);
    }
}

static int shares_folds(const cp_strips *s)
{
    return s->form == CP_STRIP_PIXELS_SHARED || s->form == CP_STRIP_COLUMNS_SHARED;
}

/* Whether windows along an axis share so little that folding each by itself is quicker. */
static int are_apart(const cp_axis *axis)
{
    return axis->kind == CP_AXIS_BINS || axis->targets == 1 || axis->stride >= cp_ceil_div(axis->taps, MOST_HOLDERS);
}

static int is_picked(const cp_strips *s)
{
    return s->form >= CP_STRIP_2_PICKED && s->form <= CP_STRIP_ANY_PICKED;
}

static int is_pixels(const cp_strips *s)
{
    return s->form <= CP_STRIP_PIXELS_SHARED;
}

static int suits_columns(const cp_strips *s)
{
    const cp_axis *axis = s->pool->axis;
    return axis[2].kind == CP_AXIS_SLIDING && (!is_picked(s) || axis[2].stride <= MOST_STRIDE);
}

/* Whether the form has room for as many taps. */
static int holds_taps(const cp_strips *s)
{
    for (int a = 0; a < CP_SPACE && !shares_folds(s); a++) {
        if (s->pool->axis[a].taps > (s->fold == CP_SUM ? CP_STRIP_SUM : CP_STRIP_WINDOW)) {
            return 0;
        }
    }
    return 1;
}

static int choose_form(cp_strips *s)
{
    const cp_axis *along = &s->pool->axis[2];
    cp_layout *layout = &s->layout;
    s->turned = 0;
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->length[dim] == 1 || !cp_layout_is_together(layout, dim)) {
            continue;
        }
        s->row_lanes = layout->length[dim];
        s->form = pixel_form(s);
        if (s->row_lanes < FEWEST_LANES) { /* a row of pixels is one long row */
            s->form = along->stride == 1 ? column_form(s, 1) : picked_form(s);
        }
        cp_layout_take_lanes(layout, dim);
        s->run = cp_layout_run(layout, s->run_step);
        return holds_taps(s) && (is_pixels(s) || (suits_columns(s) && cp_layout_is_dense(layout, s->row_lanes)));
    }
    s->row_lanes = 1;
    s->form = column_form(s, along->stride);
    if (!cp_layout_is_dense(layout, 1)) {
        return 0;
    }
    int suits = suits_columns(s) && holds_taps(s);
    s->run = cp_layout_run(layout, s->run_step);
    if (s->run >= FEWEST_PLANES &&
        (!suits || is_picked(s) || (is_shared(s) && s->form != CP_STRIP_COLUMNS_SHARED) ||
         (s->pool->out[2] < FEWEST_COLUMNS && (shares_rows(s->pool) || along->stride >= FAR_APART)))) {
        s->turned = 1;
        s->row_lanes = FEWEST_LANES;
        s->form = pixel_form(s);
        return holds_taps(s);
    }
    return suits;
}

/* ---- What windows share ---- */

static int64_t to_whole_vectors(const cp_strips *s, int64_t lanes)
{
    return (int64_t)cp_row_bytes(lanes, s->lane_size) / s->lane_size;
}

/* Lays levels and rings out for rows of `width` targets; returns the lanes of memory. */
static int64_t plan_shared(cp_strips *s, int64_t width)
{
    cp_strip_levels *levels = &s->levels;
    int is_sum = s->fold == CP_SUM, pixels = is_pixels(s);
    int64_t reach = cp_axis_reach(&s->pool->axis[2], width);
    s->span = pixels ? to_whole_vectors(s, s->tile) : s->tile;
    for (int a = 1; a < CP_SPACE; a++) {
        const cp_axis *axis = &s->pool->axis[a];
        levels->last[a - 1] = cp_strip_find_terms(is_sum, axis->taps).level[0];
        for (int k = 0; k < CP_STRIP_LEVELS; k++) {
            int64_t odd = is_sum ? axis->stride & -axis->stride : 1;
            levels->step[a - 1][k] = cp_max64(1, cp_min64(odd, INT64_C(1) << k));
        }
    }
    levels->apart = pixels && are_apart(&s->pool->axis[2]);
    levels->last[1] = levels->apart ? 0 : levels->last[1];
    levels->row = pixels ? reach * s->span : to_whole_vectors(s, reach * s->span);
    levels->at_once = pixels ? 1 : cp_max64(1, cp_min64(MOST_AT_ONCE, LANES_AT_ONCE / levels->row));
    /* Behind columns, vectors that are not full are read and written. */
    levels->pitch = levels->at_once * levels->row + (pixels ? 0 : FEWEST_LANES);
    s->pitch = pixels ? width * s->span : levels->row;
    s->second = (levels->last[1] + 1) * levels->pitch;
    cp_strip_terms terms = cp_strip_find_terms(is_sum, s->pool->axis[1].taps);
    for (int k = 0; k <= levels->last[0]; k++) {
        int64_t ahead = levels->at_once - 1, rows = 1; /* that the next level, and selections, look back to */
        rows += k < levels->last[0] ? ahead + (INT64_C(1) << k) : 0;
        for (int t = 0; t < terms.count; t++) {
            int64_t oldest = s->pool->axis[1].taps - terms.at[t] - (INT64_C(1) << k) + 1;
            rows = terms.level[t] == k ? cp_max64(rows, oldest + ahead) : rows;
        }
        for (levels->slots[k] = 1; levels->slots[k] < rows;) {
            levels->slots[k] *= 2;
        }
        levels->at[k] = s->second;
        s->second += levels->slots[k] * s->pitch;
    }
    return s->second * (carries_tap(s) ? 2 : 1);
}

/* Lanes that the first of several tiles is shorter by, so that the others begin where lines of memory do: vectors that lie in
 * two of these take twice as long. */
static int64_t find_lacking(const cp_strips *s)
{
    const cp_grid *y = &s->layout.grid[1];
    if (y->item == 0 || s->row_lanes < FEWEST_TILES * s->tile || y->space[2] % CP_LINE != 0) { /* without results: a query */
        return 0;
    }
    int64_t ahead = (int64_t)((CP_LINE - (uintptr_t)y->data % CP_LINE) % CP_LINE) / y->item;
    return ahead == 0 ? 0 : s->tile - ahead;
}

/* How much of a row at once. Of a pixel as many lanes as leave room for the columns of half a window: those of one line
 * of memory would come with others that are not wanted yet. */
static void choose_shared(cp_strips *s)
{
    const cp_axis *along = &s->pool->axis[2];
    int64_t columns = s->pool->out[2], line = to_whole_vectors(s, 1), least = 1, most = MOST_LANES;
    int shares_nothing = along->kind == CP_AXIS_SLIDING && along->stride >= along->taps;
    if (is_pixels(s)) {
        least = shares_nothing || s->turned ? 1 : along->taps / 2;
        most = shares_nothing ? APART_LANES : s->turned ? FEWEST_LANES : carries_tap(s) ? 2 * line : 4 * line;
    }
    for (s->tile = cp_max64(1, cp_min64(s->row_lanes, most));; s->tile = to_whole_vectors(s, s->tile / 2)) {
        s->width = cp_fitting(columns, WIDEST, s->tile);
        while (s->width > 1 && plan_shared(s, s->width) > (is_pixels(s) ? SHARED_LANES : SHARED / s->lane_size)) {
            s->width = (s->width + 1) / 2;
        }
        if (!is_pixels(s) || s->tile <= line || s->width >= cp_min64(columns, least)) {
            return;
        }
    }
}

/* ---- Planes that become lanes ---- */

/* What a unit of `height` rows of `width` results reads and makes, in scratch; returns the bytes of what it reads. */
static double plan_turn(cp_strips *s)
{
    const cp_pool *pool = s->pool;
    const cp_axis *axis = pool->axis;
    int64_t planes = cp_min64(pool->out[0], (s->height - 1) / pool->out[1] + 2);
    s->box[0] = cp_min64(pool->in[0], pool->out[0] == 1 ? axis[0].taps : cp_axis_reach(&axis[0], planes));
    s->box[1] = pool->out[0] == 1 ? cp_min64(pool->in[1], cp_axis_reach(&axis[1], s->height)) : pool->in[1];
    s->box[2] = cp_min64(pool->in[2], cp_axis_reach(&axis[2], s->width));
    return (double)s->box[0] * (double)s->box[1] * (double)s->box[2] * (double)(s->tile * s->lane_size);
}

static int choose_turn(cp_strips *s)
{
    int64_t run = s->run;
    while (plan_turn(s) > TURN && s->height > 1) {
        s->height = (s->height + 1) / 2;
    }
    while (plan_turn(s) > TURN && s->width > 1) {
        s->width = (s->width + 1) / 2;
    }
    int keeps = s->form == CP_STRIP_PIXELS_SHARED && !are_apart(&s->pool->axis[2]);
    while (s->tile < run && s->tile < MOST_PLANES && !keeps && 2 * plan_turn(s) <= SMALL_TURN) {
        s->tile *= 2;
    }
    if (plan_turn(s) > TURN) {
        return 0;
    }
    s->row_lanes = s->tile;
    for (int g = 0; g < CP_STRIP_GRIDS; g++) {
        int64_t size = g == 2 ? s->tap_bytes : s->lane_size;
        int64_t rows = g == 0 ? s->box[0] * s->box[1] : s->height, columns = g == 0 ? s->box[2] : s->width;
        s->space[g][2] = s->tile * size;
        s->space[g][1] = columns * s->space[g][2];
        s->space[g][0] = s->box[1] * s->space[g][1];
        s->turn_bytes[g] = s->layout.grid[g].item == 0 ? 0 : cp_round_up((size_t)(rows * s->space[g][1]));
    }
    return 1;
}

/* Folds that are shared alone take elements that are not as lanes are, and give larger numbers of taps. */
static int suits_elements(const cp_strips *s)
{
    return shares_folds(s) ? !s->floats || !s->turned : !s->floats && s->shares == NULL && s->tap_bytes == 1;
}

int cp_strips_plan(cp_strips *s, const cp_pool *pool, const cp_pool *shares)
{
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_TAPS]};
    const cp_axis *axis = pool->axis;
    s->tap_bytes = pool->array[CPOOL_TAPS] == NULL ? 1 : pool->taps_bits / 8;
    if ((pool->op->family != CP_BEST && pool->op->family != CP_MEAN) || s->tap_bytes > 4 || !cp_stored_as_lanes(pool)) {
        return 0;
    }
    for (int i = 0; i < CP_SPACE; i++) {
        if (axis[i].taps > CP_STRIP_SHARED || axis[i].dilation != 1) {
            return 0;
        }
    }
    memset(s->turn_bytes, 0, sizeof s->turn_bytes);
    s->span = s->second = 0;
    s->pool = pool;
    s->shares = shares;
    s->lane_kind = cp_window_lane(pool, axis);
    s->floats = s->lane_kind != cp_element_lane(pool);
    s->lane_size = cp_lane_size(s->lane_kind);
    s->fold = pool->array[CPOOL_TAPS] != NULL ? pool->op->tap_fold : pool->op->fold;
    cp_layout_make(&s->layout, pool, views, 0);
    if (!choose_form(s) || !suits_elements(s)) {
        return 0;
    }
    int pixels = is_pixels(s), shared = shares_folds(s), rows = carries_tap(s) ? 2 : 1;
    int64_t size = s->lane_size, columns = pool->out[2], height = pool->out[0] * pool->out[1];
    for (s->slots = 1; s->slots < axis[1].taps;) {
        s->slots *= 2;
    }
    int64_t lines = s->slots * axis[0].taps * rows;
    if (shared) {
        choose_shared(s);
    } else {
        s->tile = cp_max64(1, cp_min64(s->row_lanes, MOST_LANES));
        s->width = pixels ? cp_min64(cp_fitting(columns, RING, lines * s->tile * size), WIDEST / s->tile + 1)
                          : cp_fitting(columns, WIDEST, s->tile);
    }
    s->height = cp_min64(height, cp_max64(4 * axis[1].taps, cp_fitting(height, UNIT, s->width * s->tile * size)));
    for (int g = 0; g < CP_STRIP_GRIDS; g++) {
        for (int a = 0; a < CP_SPACE; a++) {
            s->space[g][a] = s->layout.grid[g].item != 0 ? s->layout.grid[g].space[a] : 0;
        }
    }
    if (s->turned && !choose_turn(s)) {
        return 0;
    }
    int64_t row = s->width * s->tile * size;
    s->lacking = shared && pixels && !s->turned ? find_lacking(s) : 0;
    s->tiles = pixels ? cp_ceil_div(s->row_lanes + s->lacking, s->tile) : 1;
    s->strips = cp_ceil_div(columns, s->width);
    s->pitch = rows * (int64_t)cp_row_bytes(s->width * s->tile + FEWEST_LANES, size) / size;
    s->blocks = cp_ceil_div(height, s->height);
    int64_t run = s->run;
    s->group = s->blocks > 1 || s->strips > 1 ? 1 : cp_fitting(run, UNIT, row * height);
    s->group = s->turned ? s->tile : s->group;
    s->groups = cp_ceil_div(run, cp_max64(s->group, 1));
    s->runs = run == 0 ? 0 : run == s->layout.outer ? 1 : s->layout.outer / run;
    s->units = s->row_lanes == 0 ? 0 : s->runs * s->groups * s->tiles * s->strips * s->blocks;
    s->row_bytes = cp_row_bytes(s->height, sizeof(cp_strip_row));
    s->column_bytes = pixels ? cp_row_bytes(s->width, sizeof(cp_strip_pixel)) : cp_row_bytes(s->width * s->tile, size);
    s->ring_bytes = cp_row_bytes(shared ? plan_shared(s, s->width) : lines / rows * s->pitch, size);
    s->count_bytes[0] = shares == NULL ? 0 : cp_row_bytes(cp_axis_reach(&axis[2], s->width) * (pixels ? 1 : s->tile), size);
    s->count_bytes[1] = shares == NULL ? 0 : cp_row_bytes(s->height + axis[1].taps, sizeof(double));
    s->bytes = s->row_bytes + s->column_bytes + s->count_bytes[0] + s->count_bytes[1] + s->ring_bytes;
    for (int g = 0; g < CP_STRIP_GRIDS; g++) {
        s->bytes += s->turn_bytes[g];
    }
    return 1;
}

/* ---- Tables ---- */

/* What a worker holds: the tables of the block and strip at work, and the ring. */
typedef struct cp_strip_work {
    const cp_strips *strips;
    cp_strip strip;
    int64_t block, column;              /* that the tables are of; -1: none */
    int64_t lo[CP_SPACE], hi[CP_SPACE]; /* elements that windows of them hold, where these are turned or share folds */
    char *turn[CP_STRIP_GRIDS];
    cp_strip_row *rows;
    cp_strip_pixel *pixels;
    char *columns; /* of every target the first tap where taps are carried, the count where they are not */
    char *source_counts;
    double *source_row_counts;
    void *ring;
} cp_strip_work;

static int is_mean(const cp_strips *s)
{
    return s->pool->op->family == CP_MEAN;
}

/* That along the row of a window that is all there. */
static double full_divisor(const cp_strips *s)
{
    return s->pool->params.flags & CPOOL_DIVISOR ? s->pool->params.divisor : (double)s->pool->axis[2].taps;
}

/* The elements along an axis that windows of targets `from` to `to` hold, of windows none of which is empty. */
static void find_elements(cp_strip_work *w, int32_t axis, int64_t from, int64_t to)
{
    cp_span first = cp_axis_span(&w->strips->pool->axis[axis], from), last = cp_axis_span(&w->strips->pool->axis[axis], to);
    w->lo[axis] = first.first + first.lo;
    w->hi[axis] = last.first + last.hi;
}

/* What the results that are read of a row, and of rows, have been divided by. */
static void fill_source_counts(cp_strip_work *w)
{
    const cp_strips *s = w->strips;
    const cp_lane_kernels *kernels = s->engine->kernels->lane[s->lane_kind];
    int64_t lanes = is_pixels(s) ? 1 : s->tile;
    for (int64_t i = 0; i < w->strip.there; i++) {
        kernels->fill(w->source_counts + i * lanes * s->lane_size, cp_pool_divisor_along(s->shares, 2, w->lo[2] + i), lanes);
    }
}

static void fill_source_row_counts(cp_strip_work *w)
{
    const cp_pool *shares = w->strips->shares;
    double deep = cp_pool_divisor_along(shares, 0, 0);
    int64_t first = w->strip.first_row, rows = w->strip.row_count + w->strips->pool->axis[1].taps;
    for (int64_t row = cp_max64(0, -first); row < rows && first + row < shares->out[1]; row++) {
        w->source_row_counts[row] = deep * cp_pool_divisor_along(shares, 1, first + row);
    }
}

static void fill_rows(cp_strip_work *w, int64_t block)
{
    const cp_strips *s = w->strips;
    const cp_axis *axis = s->pool->axis;
    int64_t begin = block * s->height, end = cp_min64(begin + s->height, s->pool->out[0] * s->pool->out[1]);
    int64_t kept_to = 0, plane = -1, height = s->pool->out[1], origin = 0, shared = shares_folds(s);
    double full = full_divisor(s);
    int64_t d = begin, h = cp_take_digit(&d, height);
    cp_span deep = cp_axis_span(&axis[0], d);
    if (s->turned) {
        int one_plane = d == (end - 1) / height;
        find_elements(w, 0, d, (end - 1) / height);
        find_elements(w, 1, one_plane ? h : 0, one_plane ? (end - 1) % height : height - 1);
        origin = w->lo[0] * s->space[0][0] + w->lo[1] * s->space[0][1];
    }
    w->strip.row_count = end - begin;
    w->strip.first_row = h * axis[1].stride - axis[1].pad;
    if (s->shares != NULL) {
        fill_source_row_counts(w);
    }
    for (int64_t r = begin; r < end; r++, h++) {
        cp_strip_row *row = &w->rows[r - begin];
        if (h == height) {
            h = 0;
            deep = cp_axis_span(&axis[0], ++d);
        }
        cp_span down = cp_axis_span(&axis[1], h);
        int64_t first_plane = deep.first + deep.lo;
        if (has_blocks(s, &axis[1])) {
            down.lo = 0;
            down.hi = axis[1].taps;
        }
        row->first = down.first + down.lo - (shared ? w->strip.first_row : 0);
        row->source = first_plane * s->space[0][0] - origin;
        row->source += (shared ? w->strip.first_row : row->first) * s->space[0][1];
        row->target = s->turned ? (r - begin) * s->space[1][1] : d * s->space[1][0] + h * s->space[1][1];
        row->taps = s->turned ? (r - begin) * s->space[2][1] : d * s->space[2][0] + h * s->space[2][1];
        row->planes = (int32_t)(deep.hi - deep.lo);
        row->rows = (int32_t)(down.hi - down.lo);
        row->kept = d == plane ? (int32_t)cp_max64(0, cp_min64(kept_to - row->first, row->rows)) : 0;
        row->tap = (double)(deep.lo * w->strip.tap_plane + down.lo * w->strip.tap_row);
        row->count = row->divisor = 1;
        row->is_inverse = 0;
        if (is_mean(s)) {
            row->count = cp_pool_divisor_along(s->pool, 0, d) * cp_pool_divisor_along(s->pool, 1, h);
            row->divisor = full * row->count;
            row->is_inverse = cp_is_power_of_two(row->divisor);
            row->divisor = row->is_inverse ? 1 / row->divisor : row->divisor;
        }
        plane = d;
        kept_to = row->first + row->rows;
    }
}

/* What is read of a source row where windows share folds: from *first on, which may be absent. */
static void find_reach(cp_strip_work *w, int64_t begin, int64_t end, int64_t *first)
{
    const cp_axis *along = &w->strips->pool->axis[2];
    int64_t last = w->hi[2];
    if (has_blocks(w->strips, along) || !is_pixels(w->strips)) {
        *first = cp_axis_span(along, begin).first;
        last = cp_axis_span(along, end - 1).first + along->taps;
    }
    w->strip.before = w->lo[2] - *first;
    w->strip.there = w->hi[2] - w->lo[2];
    w->strip.reach = last - *first;
}

static void fill_columns(cp_strip_work *w, int64_t begin, int64_t end)
{
    const cp_strips *s = w->strips;
    const cp_axis *along = &s->pool->axis[2];
    const cp_lane_kernels *kernels = s->engine->kernels->lane[s->lane_kind];
    double full = full_divisor(s);
    int64_t first = 0, shared = shares_folds(s);
    w->strip.uniform = 1;
    if (shared || s->turned) {
        find_elements(w, 2, begin, end - 1);
        first = w->lo[2];
    }
    if (shared) {
        find_reach(w, begin, end, &first);
        if (s->shares != NULL) {
            fill_source_counts(w);
        }
    }
    int is_needed = is_pixels(s) || carries_tap(s) || is_mean(s);
    for (int64_t i = begin; is_needed && i < end; i++) {
        cp_span span = cp_axis_span(along, i);
        double count = is_mean(s) ? cp_pool_divisor_along(s->pool, 2, i) : 1;
        w->strip.uniform = w->strip.uniform && count == full;
        if (is_pixels(s)) {
            if (has_blocks(s, along)) {
                span.lo = 0;
                span.hi = along->taps;
            }
            cp_strip_pixel pixel = {(span.first + span.lo - first) * (shared ? 1 : s->space[0][2]),
                                    (int32_t)(span.hi - span.lo), (int32_t)span.lo, count};
            w->pixels[i - begin] = pixel;
        } else {
            char *at = w->columns + (i - begin) * s->tile * s->lane_size;
            kernels->fill(at, !carries_tap(s) ? count : (double)(shared ? i - begin : span.lo), s->tile);
        }
    }
    w->strip.begin = s->turned ? 0 : begin * (is_pixels(s) ? 1 : s->tile);
    w->strip.end = s->turned ? end - begin : end * (is_pixels(s) ? 1 : s->tile);
}

static void begin_strip(cp_strip_work *w)
{
    const cp_strips *s = w->strips;
    const cp_pool *pool = s->pool;
    const cp_axis *along = &pool->axis[2];
    cp_strip *strip = &w->strip; /* no initializer: it would clear what is set below, block by block and strip by strip */
    strip->form = s->form;
    strip->rows = w->rows;
    strip->source_row = s->space[0][1];
    strip->source_plane = s->space[0][0];
    strip->ring_slots = s->slots;
    strip->ring_pitch = s->pitch;
    strip->tap_row = along->taps;
    strip->tap_plane = along->taps * pool->axis[1].taps;
    strip->length = pool->in[2] * s->tile;
    strip->pad = along->pad * s->tile;
    strip->window = along->taps;
    strip->step = s->tile;
    strip->loads = along->stride == 0 ? 0 : cp_ceil_div(along->taps, along->stride) * along->stride;
    if (is_picked(s)) {
        strip->loads = 2 * along->taps;
    }
    strip->stride = along->stride;
    strip->source_rows = pool->in[1];
    strip->target_row = s->space[1][1];
    strip->taps_row = s->space[2][1];
    strip->span = s->span;
    strip->second = s->second;
    strip->levels = &s->levels;
    strip->floats = s->floats;
    strip->tap_bytes = s->tap_bytes;
    strip->source_counts = s->shares == NULL ? NULL : w->source_counts;
    strip->source_row_counts = s->shares == NULL ? NULL : w->source_row_counts;
    strip->step_bytes = s->space[0][2];
    strip->target_pixel = s->space[1][2];
    strip->taps_pixel = s->space[2][2];
    strip->pixels = w->pixels;
    strip->first_tap = strip->counts = w->columns;
}

/* ---- Running ---- */

/* The elements of `planes` planes in grid g, where they are pixels in scratch. */
static cp_turn make_turn(const cp_strips *s, int g, int64_t planes)
{
    const cp_grid *grid = &s->layout.grid[g];
    cp_turn turn = {.kernels = s->engine->kernels->lane[grid->item == sizeof(float) ? CP_LANE_f32 : s->lane_kind],
                    .item = grid->item,
                    .step = s->run_step[g],
                    .planes = planes,
                    .lanes = s->tile};
    for (int axis = 0; axis < CP_SPACE; axis++) {
        turn.space[axis] = grid->space[axis];
        turn.pixels[axis] = s->space[g][axis];
    }
    return turn;
}

/* The planes' elements that the unit reads into pixels. */
static void turn_in(const cp_strip_work *w, const char *from, int64_t planes)
{
    cp_turn turn = make_turn(w->strips, 0, planes);
    for (int axis = 0; axis < CP_SPACE; axis++) {
        turn.count[axis] = w->hi[axis] - w->lo[axis];
        from += w->lo[axis] * turn.space[axis];
    }
    cp_turn_in(&turn, w->turn[0], from);
}

/* The unit's results, or their taps, to where they belong: target 0 of the plane is at `to`. */
static void turn_out(const cp_strip_work *w, int g, char *to, int64_t planes)
{
    const cp_strips *s = w->strips;
    cp_turn turn = make_turn(s, g, planes);
    int64_t begin = w->block * s->height, height = s->pool->out[1];
    turn.count[0] = 1;
    turn.count[2] = w->strip.end;
    to += w->column * turn.space[2];
    for (int64_t r = 0; r < w->strip.row_count; r += turn.count[1]) {
        int64_t d = (begin + r) / height, h = (begin + r) % height;
        turn.count[1] = cp_min64(w->strip.row_count - r, height - h);
        cp_turn_out(&turn, to + d * turn.space[0] + h * turn.space[1], w->turn[g] + r * turn.pixels[1]);
    }
}

static void run_unit(cp_strip_work *w, int64_t unit)
{
    const cp_strips *s = w->strips;
    const cp_layout *layout = &s->layout;
    /* Blocks and strips are slowest, for their tables. */
    int64_t tile = cp_take_digit(&unit, s->tiles), first = cp_take_digit(&unit, s->groups) * s->group;
    int64_t lane = cp_max64(0, tile * s->tile - s->lacking);
    int64_t outer = cp_take_digit(&unit, s->runs) * s->run + first, channel;
    int64_t column = cp_take_digit(&unit, s->strips) * s->width, block = unit;
    if (w->block != block) {
        fill_rows(w, block);
        w->block = block;
    }
    if (w->column != column) {
        fill_columns(w, column, cp_min64(column + s->width, s->pool->out[2]));
        w->column = column;
    }
    char *at[CP_STRIP_GRIDS];
    for (int32_t g = 0; g < CP_STRIP_GRIDS; g++) {
        const cp_grid *grid = &layout->grid[g];
        at[g] = NULL;
        if (grid->item != 0) {
            at[g] = grid->data + cp_layout_offset(layout, g, outer, &channel) + lane * grid->item;
        }
    }
    w->strip.lanes = cp_min64((tile + 1) * s->tile - s->lacking, s->row_lanes) - lane;
    int64_t count = cp_min64(s->group, s->run - first);
    cp_strip_planes planes = {at[0], at[1], at[2], s->run_step[0], s->run_step[1], s->run_step[2], count};
    if (s->turned) {
        turn_in(w, at[0], count);
        planes = (cp_strip_planes){w->turn[0], w->turn[1], w->turn[2], 0, 0, 0, 1};
    } else if (shares_folds(s)) {
        planes.source += w->lo[2] * s->space[0][2];
    }
    s->engine->kernels->lane[s->lane_kind]->strip[s->fold](&w->strip, &planes, w->ring);
    for (int g = 1; s->turned && g < CP_STRIP_GRIDS; g++) {
        if (at[g] != NULL) {
            turn_out(w, g, at[g], count);
        }
    }
}

void cp_strips_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_strips *s = arg;
    char *memory = cp_engine_worker(s->engine, worker);
    cp_strip_work w;
    w.strips = s;
    w.block = w.column = -1;
    for (int axis = 0; axis < CP_SPACE; axis++) {
        w.lo[axis] = w.hi[axis] = 0;
    }
    w.rows = (cp_strip_row *)(void *)memory;
    w.pixels = (cp_strip_pixel *)(void *)(memory + s->row_bytes);
    w.columns = memory + s->row_bytes;
    w.source_counts = w.columns + s->column_bytes;
    w.source_row_counts = (double *)(void *)(w.source_counts + s->count_bytes[0]);
    w.ring = w.source_counts + s->count_bytes[0] + s->count_bytes[1];
    char *turn = (char *)w.ring + s->ring_bytes;
    for (int g = 0; g < CP_STRIP_GRIDS; turn += s->turn_bytes[g++]) {
        w.turn[g] = turn;
    }
    begin_strip(&w);
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&w, unit);
    }
}
