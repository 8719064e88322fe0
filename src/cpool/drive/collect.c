#include "drive/collect.h"

#include <string.h>

#include "drive/turn.h"
#include "drive/window.h"
#include "integers.h"

/* Bytes of prepared results, of gradients that a unit writes, roughly; columns, lanes of a pixel at most; lanes that make a
 * pixel, and as many as are quicker together than one by one; places of a result at most; lanes that a kernel may read behind
 * the last result. */
enum {
    SCRATCH = 64 * 1024,
    UNIT = 256 * 1024,
    WIDEST = 4096,
    MOST_LANES = 2048,
    FEWEST_LANES = 16,
    MANY_LANES = 32,
    MOST_SPREAD = 8,
    BEHIND = 32
};

/* Planes that become lanes: their number, and bytes of them in scratch; how long rows may be where windows are not small, of
 * shares and of selections; how long they may be where windows are small, of selections, of more than 3 taps, of 2x2, of
 * selections of 3x3 that are read where they lie. */
enum {
    FEWEST_PLANES = 8,
    MOST_PLANES = 64,
    TURN = 128 * 1024,
    MOST_COLUMNS = 256,
    MOST_SELECTED = 32,
    FEWEST_SELECTED = 24,
    FEWEST_OF_LONG = 32,
    FEWEST_OF_PAIRS = 12,
    FEWEST_OF_THREES = 13,
    FEWEST_OF_THREES_BY_2 = 11
};

/* In comparisons of an element with a result: what adding a result to its element costs, where results would be prepared for
 * columns else, and where they would be collected in a quicker way; and what an element costs besides its comparisons. Where
 * windows do not slide: how many elements a result has at most that is collected. */
enum { SCATTERED = 20, SCATTERED_FROM_QUICK = 60, COLLECTED = 6, MOST_A_RESULT = 12 };

/* ---- Planning ---- */

/* Where an element compares with more results than that, adding each result where it belongs is quicker. */
enum { MOST_COMPARED = 16 };

/* Results that hold an element, at most, where those along each axis are known to be few. */
static int64_t holders(const cp_axis *held)
{
    return held[0].taps * held[1].taps * held[2].taps;
}

/* Windows that slide and are small: what results are prepared for where columns are lanes. */
static int are_small(const cp_pool *pool, const cp_axis *held)
{
    int64_t taps = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        const cp_axis *axis = &pool->axis[s];
        if (axis->kind != CP_AXIS_SLIDING || axis->dilation != 1 || axis->taps > CP_COLLECT_WINDOW) {
            return 0;
        }
        taps *= axis->taps;
    }
    return holders(held) <= CP_COLLECT_HOLDERS && taps <= 255;
}

/* Any others that are next to each other, few of which hold an element: pixels are added up whatever the windows are. */
static int are_held_by_few(const cp_pool *pool, const cp_axis *held)
{
    for (int s = 0; s < CP_SPACE; s++) {
        if (pool->axis[s].dilation != 1 || held[s].taps > CP_COLLECT_WINDOW) {
            return 0;
        }
    }
    return pool->params.geometry != CPOOL_WHOLE && holders(held) <= MOST_COMPARED;
}

/* Windows of 2x2 side by side, whose rows of results are two rows of elements each: rows may be short. */
static int are_pairs(const cp_pool *pool)
{
    const cp_axis *down = &pool->axis[1], *along = &pool->axis[2];
    return down->taps == 2 && down->stride == 2 && down->pad == 0 && along->taps == 2 && along->stride == 2 && along->pad == 0;
}

/* Whether an element compares with so many results that scattering these is quicker than columns are. */
static int compares_many(const cp_collects *c)
{
    return c->select && holders(c->held) > MOST_COMPARED;
}

/* Selections by windows of 3x3 in a plane of its own, in steps of 1, or of 2 where each column is a pixel. */
static int are_threes(const cp_collects *c)
{
    const cp_axis *axis = c->pool->axis;
    return c->select && c->pool->in[0] == 1 && c->pool->out[0] == 1 && axis[0].taps == 1 && axis[1].taps == 3 &&
           axis[2].taps == 3 && axis[1].stride == axis[2].stride &&
           (axis[2].stride == 1 || (axis[2].stride == 2 && c->layout.lanes == 1));
}

/* How long rows of small windows are, at least. */
static int64_t fewest_of_small(const cp_collects *c)
{
    const cp_axis *along = &c->pool->axis[2];
    if (are_pairs(c->pool)) {
        return FEWEST_OF_PAIRS;
    }
    if (compares_many(c)) {
        return FEWEST_LANES;
    }
    if (are_threes(c)) {
        return along->stride == 1 ? FEWEST_OF_THREES : FEWEST_OF_THREES_BY_2;
    }
    if (along->taps > 3) {
        return FEWEST_OF_LONG;
    }
    return c->select ? FEWEST_SELECTED : FEWEST_LANES;
}

/* How long rows are, at least, that do not become lanes of pixels. */
static int64_t fewest_columns(const cp_collects *c, int small)
{
    return small ? fewest_of_small(c) : c->select ? MOST_SELECTED : MOST_COLUMNS;
}

/* Whether adding each result of a selection to its element is quicker than what has been chosen. */
static int scatters_sooner(const cp_collects *c)
{
    if (!c->select || c->form == CP_COLLECT_THREES || c->layout.lanes >= MANY_LANES) {
        return 0;
    }
    double elements = 1, results = 1;
    int slides = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        elements *= (double)c->pool->in[s];
        results *= (double)c->pool->out[s];
        slides &= c->pool->axis[s].kind == CP_AXIS_SLIDING;
    }
    if (!slides) {
        return elements > MOST_A_RESULT * results;
    }
    int prepared = c->form == CP_COLLECT_PREPARED && c->layout.lanes == 1;
    return elements * (double)(COLLECTED + holders(c->held)) > (prepared ? SCATTERED : SCATTERED_FROM_QUICK) * results;
}

/* How rows of columns are done, where windows are small; 0: not here. */
static int choose_columns(cp_collects *c)
{
    const cp_axis *along = &c->pool->axis[2];
    int64_t lanes = c->layout.lanes;
    if (along->taps <= along->stride && along->pad == 0 && lanes == 1 && (along->stride == 2 || along->stride == 4)) {
        c->form = CP_COLLECT_APART;
    } else if (are_threes(c)) {
        c->form = CP_COLLECT_THREES;
    } else {
        c->form = CP_COLLECT_PREPARED;
        c->spread = along->stride <= 2 && along->stride <= along->taps ? 1 : along->stride;
    }
    return c->spread <= (c->select ? 1 : MOST_SPREAD) && cp_layout_is_dense(&c->layout, lanes);
}

static int choose_form(cp_collects *c)
{
    cp_layout *layout = &c->layout;
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->length[dim] > 1 && cp_layout_is_together(layout, dim)) {
            cp_layout_take_lanes(layout, dim);
        }
    }
    int64_t step[CP_GRIDS];
    int small = are_small(c->pool, c->held), good = 1;
    c->form = CP_COLLECT_PIXELS;
    c->spread = 1;
    if (layout->lanes >= FEWEST_LANES) {
        if (layout->lanes < MANY_LANES && are_threes(c) && small && cp_layout_is_dense(layout, layout->lanes)) {
            c->form = CP_COLLECT_THREES;
        }
    } else {
        c->turned = layout->lanes == 1 && c->pool->in[2] < fewest_columns(c, small) && cp_layout_is_dense(layout, 1) &&
                    cp_layout_run(layout, step) >= FEWEST_PLANES;
        good = c->turned || (small && !compares_many(c) && choose_columns(c));
    }
    return good && !scatters_sooner(c);
}

/* Results along an axis that hold any of `box` neighbouring elements, at most. */
static int64_t most_results(const cp_collects *c, int s, int64_t box)
{
    const cp_axis *axis = &c->pool->axis[s];
    return cp_min64(c->pool->out[s], axis->kind == CP_AXIS_SLIDING ? (box - 1) / axis->stride + c->held[s].taps + 1
                                                                   : cp_axis_reach(&c->held[s], box));
}

/* The results of a box, and where they are spread, one row before that. */
static int64_t scratch_rows(const cp_collects *c)
{
    return c->results[0] * c->results[1] + (c->spread > 1);
}

/* In double: an axis of an array without elements may have any length. */
static double scratch_bytes(const cp_collects *c)
{
    return (double)scratch_rows(c) * (double)(c->pitch * cp_lane_size(c->lane_kind) * (c->select ? 2 : 1));
}

static int has_scratch(const cp_collects *c)
{
    return c->form == CP_COLLECT_PREPARED || (c->form == CP_COLLECT_PIXELS && !c->select);
}

static void set_box(cp_collects *c, int64_t planes, int64_t rows, int64_t columns)
{
    const int64_t box[CP_SPACE] = {planes, rows, columns};
    for (int s = 0; s < CP_SPACE; s++) {
        c->box[s] = box[s];
        c->boxes[s] = cp_ceil_div(c->pool->in[s], box[s]);
        c->results[s] = most_results(c, s, box[s]);
    }
    const cp_axis *along = &c->pool->axis[2];
    int64_t across = c->results[2] * c->tile * c->spread;
    if (c->form == CP_COLLECT_PREPARED) { /* a kernel reads what elements of the last vector would be held by */
        across = cp_max64(across, (columns + along->pad) * c->tile * c->spread / along->stride) + BEHIND;
    }
    c->pitch = (int64_t)cp_row_bytes(c->margin + across, cp_lane_size(c->lane_kind)) / cp_lane_size(c->lane_kind);
}

/* Boxes as large as scratch has room for: whole planes, else slices of them. */
static void choose_box(cp_collects *c)
{
    const int64_t *in = c->pool->in;
    int64_t columns = cp_min64(in[2], c->form == CP_COLLECT_PIXELS && has_scratch(c) ? cp_max64(1, WIDEST / c->tile) : WIDEST);
    int64_t rows = in[1];
    set_box(c, in[0], rows, columns);
    if (has_scratch(c) && scratch_bytes(c) > SCRATCH && in[0] > 1) {
        set_box(c, 1, rows, columns);
    }
    int64_t least = 2 * c->pool->axis[1].taps;
    while (has_scratch(c) && scratch_bytes(c) > SCRATCH && rows > least) {
        rows = cp_max64(least, rows / 2);
        set_box(c, c->box[0], rows, columns);
    }
    if (!has_scratch(c)) { /* only so that threads have something to share */
        int64_t row = columns * c->tile * cp_lane_size(c->lane_kind);
        set_box(c, in[0] * rows * row > UNIT ? 1 : in[0], cp_max64(cp_min64(rows, least), cp_min64(rows, UNIT / row)), columns);
    }
}

/* ---- Planes that become lanes ---- */

/* Bytes of a box and its results, as pixels. */
static double turn_bytes(const cp_collects *c)
{
    double size = (double)cp_lane_size(c->lane_kind), results = c->select ? size + 1 : size;
    return (double)c->tile * ((double)c->box[0] * (double)c->box[1] * (double)c->box[2] * size +
                              (double)c->results[0] * (double)c->results[1] * (double)c->results[2] * results);
}

/* As many planes as a few rows leave room for, then as many rows. */
static void choose_turn(cp_collects *c)
{
    const int64_t *in = c->pool->in;
    int64_t least = cp_min64(in[1], are_small(c->pool, c->held) ? 2 * c->pool->axis[1].taps : 1), rows = in[1], planes = in[0];
    set_box(c, 1, least, in[2]);
    while (c->tile < cp_min64(c->run, MOST_PLANES) && 2 * turn_bytes(c) <= TURN) {
        c->tile *= 2;
    }
    set_box(c, planes, rows, in[2]);
    if (turn_bytes(c) > TURN) {
        set_box(c, planes = 1, rows, in[2]);
    }
    while (turn_bytes(c) > TURN && rows > least) {
        set_box(c, planes, rows = cp_max64(least, rows / 2), in[2]);
    }
    c->row_lanes = c->tile;
    for (int g = 0; g < CP_COLLECT_GRIDS; g++) {
        const int64_t *count = g == 0 ? c->box : c->results;
        c->space[g][2] = c->tile * (g == 2 ? 1 : cp_lane_size(c->lane_kind));
        c->space[g][1] = count[2] * c->space[g][2];
        c->space[g][0] = count[1] * c->space[g][1];
        c->turn_bytes[g] = c->layout.grid[g].item == 0 ? 0 : cp_round_up((size_t)(count[0] * c->space[g][0]));
    }
}

int cp_collects_plan(cp_collects *c, const cp_pool *pool)
{
    const cpool_view *views[CP_GRIDS] = {pool->grad[CPOOL_X], pool->grad[CPOOL_Y], pool->array[CPOOL_TAPS]};
    for (int s = 0; s < CP_SPACE; s++) {
        c->held[s] = cp_axis_transpose(&pool->axis[s]);
    }
    c->pool = pool;
    c->select = pool->op->family == CP_BEST;
    c->turned = 0;
    if (!are_small(pool, c->held) && !are_held_by_few(pool, c->held)) {
        return 0;
    }
    if (c->select && pool->taps_bits != 8) {
        return 0;
    }
    c->lane_kind = cp_window_lane(pool, pool->axis);
    cp_layout_make(&c->layout, pool, views, 0);
    if (!choose_form(c)) {
        return 0;
    }
    int64_t size = cp_lane_size(c->lane_kind);
    c->row_lanes = c->layout.lanes;
    c->tile = cp_min64(c->row_lanes, MOST_LANES);
    c->tiles = c->tile == 0 ? 0 : cp_ceil_div(c->row_lanes, c->tile);
    c->tile = cp_max64(c->tile, 1);
    c->margin = c->form == CP_COLLECT_PREPARED ? (int64_t)cp_row_bytes(CP_COLLECT_WINDOW * c->tile, size) / size : 0;
    c->run = cp_layout_run(&c->layout, c->run_step);
    for (int g = 0; g < CP_COLLECT_GRIDS; g++) {
        for (int a = 0; a < CP_SPACE; a++) {
            c->space[g][a] = c->layout.grid[g].item != 0 ? c->layout.grid[g].space[a] : 0;
        }
        c->turn_bytes[g] = 0;
    }
    if (c->turned) {
        c->tile = FEWEST_LANES;
        c->tiles = 1;
        choose_turn(c);
    } else {
        choose_box(c);
    }
    int64_t boxes = c->boxes[0] * c->boxes[1] * c->boxes[2], volume = c->box[0] * c->box[1] * c->box[2] * c->tile * size;
    c->group = c->turned ? c->tile : boxes > 1 ? 1 : cp_max64(1, cp_min64(c->run, UNIT / volume));
    c->groups = cp_ceil_div(c->run, c->group);
    c->units = c->run == 0 ? 0 : c->layout.outer / c->run * c->groups * c->tiles * boxes;
    c->row_bytes = cp_row_bytes(c->box[0] * c->box[1], sizeof(cp_collect_row));
    c->column_bytes = c->form == CP_COLLECT_PIXELS ? cp_row_bytes(c->box[2], sizeof(cp_collect_column)) : 0;
    c->count_bytes =
        c->select ? 0
                  : cp_row_bytes(c->results[0] * c->results[1], sizeof(double)) + cp_row_bytes(c->results[2] * c->tile, size);
    c->code_bytes = c->select && (c->form == CP_COLLECT_APART || c->form == CP_COLLECT_PREPARED) ? cp_row_bytes(512, size) : 0;
    c->bytes = c->row_bytes + c->column_bytes + c->count_bytes + c->code_bytes;
    c->scratch_bytes = has_scratch(c) ? cp_round_up((size_t)scratch_bytes(c)) : 0;
    c->bytes += c->scratch_bytes;
    for (int g = 0; g < CP_COLLECT_GRIDS; g++) {
        c->bytes += c->turn_bytes[g];
    }
    return 1;
}

/* ---- Tables ---- */

/* What a worker holds: the tables of the box at work, and scratch. */
typedef struct cp_collect_work {
    const cp_collects *collects;
    cp_collect collect;
    int64_t box, across;                    /* that the tables are of, and its place along the row; -1: none */
    int64_t first[CP_SPACE];                /* of the results at hand */
    int64_t begin[CP_SPACE], end[CP_SPACE]; /* the elements of the box */
    char *turn[CP_COLLECT_GRIDS];
    cp_collect_row *rows;
    cp_collect_column *columns;
    double *row_counts;
    void *counts, *codes, *scratch;
} cp_collect_work;

/* The results along an axis that hold an element, and which tap it is in each of them. */
static cp_collect_column find_holders(const cp_collect_work *w, int s, int64_t element)
{
    const cp_collects *c = w->collects;
    cp_span span = cp_axis_span(&c->held[s], element);
    int64_t first = span.first + span.lo, count = span.hi - span.lo;
    cp_collect_column found = {(int32_t)(first - w->first[s]), (int32_t)count, {0}};
    for (int64_t k = 0; c->select && k < count; k++) {
        found.tap[k] = (uint8_t)(element - cp_axis_span(&c->pool->axis[s], first + k).first);
    }
    return found;
}

static void fill_rows(cp_collect_work *w)
{
    const cp_collects *c = w->collects;
    const int64_t *begin = w->begin, *end = w->end, *space = c->space[0];
    int64_t origin = c->turned ? begin[0] * space[0] + begin[1] * space[1] : 0;
    cp_collect_row *row = w->rows;
    for (int64_t d = begin[0]; d < end[0]; d++) {
        for (int64_t h = begin[1]; h < end[1]; h++, row++) {
            row->target = d * space[0] + h * space[1] + begin[2] * space[2] - origin;
            if (c->form == CP_COLLECT_THREES) {
                continue;
            }
            cp_collect_column deep = find_holders(w, 0, d), down = find_holders(w, 1, h);
            row->first_plane = deep.first;
            row->planes = deep.count;
            row->first_row = down.first;
            row->rows = down.count;
            for (int64_t k = 0; c->select && k < CP_COLLECT_WINDOW; k++) {
                row->deep[k] = (uint8_t)(deep.tap[k] * c->pool->axis[1].taps * c->pool->axis[2].taps);
                row->down[k] = (uint8_t)(down.tap[k] * c->pool->axis[2].taps);
            }
        }
    }
    w->collect.row_count = row - w->rows;
}

static void fill_row_counts(cp_collect_work *w)
{
    const cp_collects *c = w->collects;
    const cp_collect *collect = &w->collect;
    for (int64_t d = 0; d < collect->planes; d++) {
        double deep = cp_pool_divisor_along(c->pool, 0, w->first[0] + d);
        for (int64_t h = 0; h < collect->results; h++) {
            w->row_counts[d * collect->results + h] = deep * cp_pool_divisor_along(c->pool, 1, w->first[1] + h);
        }
    }
}

static void fill_columns(cp_collect_work *w, int64_t begin)
{
    const cp_collects *c = w->collects;
    cp_collect *collect = &w->collect;
    const cp_lane_kernels *kernels = c->engine->kernels->lane[c->lane_kind];
    for (int64_t i = 0; c->form == CP_COLLECT_PIXELS && i < collect->width; i++) {
        w->columns[i] = find_holders(w, 2, begin + i);
    }
    if (c->select) {
        return;
    }
    collect->full = cp_pool_divisor_along(c->pool, 2, w->first[2]);
    for (int64_t i = 0; i < collect->across; i++) {
        double count = cp_pool_divisor_along(c->pool, 2, w->first[2] + i);
        kernels->fill((char *)w->counts + i * c->tile * cp_lane_size(c->lane_kind), count, c->tile);
        collect->full = count == collect->full ? count : 0;
    }
}

/* Forgets what boxes at another place along the row have prepared, in every row that any box has. */
static void fill_margins(cp_collect_work *w)
{
    w->collect.planes = w->collects->results[0];
    w->collect.results = w->collects->results[1];
    w->collects->engine->kernels->lane[w->collects->lane_kind]->collect_margins(&w->collect, w->scratch);
}

static void find_box(cp_collect_work *w, int64_t box)
{
    const cp_collects *c = w->collects;
    cp_collect *collect = &w->collect;
    int64_t *begin = w->begin, *end = w->end, count[CP_SPACE], rest = box;
    if (w->box == box) {
        return;
    }
    for (int s = CP_SPACE; s-- > 0;) {
        begin[s] = rest % c->boxes[s] * c->box[s];
        rest /= c->boxes[s];
        end[s] = cp_min64(begin[s] + c->box[s], c->pool->in[s]);
        cp_axis_holders(&c->pool->axis[s], begin[s], end[s], &w->first[s], &count[s]);
        count[s] = cp_max64(0, count[s] - w->first[s]);
    }
    if (c->form == CP_COLLECT_PREPARED && w->across != begin[2]) {
        fill_margins(w);
    }
    collect->planes = count[0];
    collect->results = count[1];
    collect->across = count[2];
    int64_t step = c->form == CP_COLLECT_PIXELS ? 1 : c->tile;
    collect->width = (end[2] - begin[2]) * step;
    collect->pad = (begin[2] + c->pool->axis[2].pad - w->first[2] * c->pool->axis[2].stride) * step;
    collect->pad_down = begin[1] + c->pool->axis[1].pad - w->first[1] * c->pool->axis[1].stride;
    fill_rows(w);
    if (!c->select) {
        fill_row_counts(w);
    }
    if (w->across != begin[2]) {
        fill_columns(w, begin[2]);
    }
    w->across = begin[2];
    w->box = box;
}

static void begin_collect(cp_collect_work *w, char *memory)
{
    const cp_collects *c = w->collects;
    const cp_axis *axis = c->pool->axis;
    const cp_lane_kernels *kernels = c->engine->kernels->lane[c->lane_kind];
    cp_collect *collect = &w->collect;
    w->rows = (cp_collect_row *)(void *)memory;
    w->columns = (cp_collect_column *)(void *)(memory + c->row_bytes);
    w->row_counts = (double *)(void *)(memory + c->row_bytes + c->column_bytes);
    w->counts = memory + c->row_bytes + c->column_bytes + cp_row_bytes(c->results[0] * c->results[1], sizeof(double));
    w->codes = memory + c->row_bytes + c->column_bytes + c->count_bytes;
    w->scratch = memory + c->row_bytes + c->column_bytes + c->count_bytes + c->code_bytes;
    char *turn = (char *)w->scratch + c->scratch_bytes;
    for (int g = 0; g < CP_COLLECT_GRIDS; turn += c->turn_bytes[g++]) {
        w->turn[g] = turn;
    }
    w->box = w->across = -1;
    memset(collect, 0, sizeof *collect);
    collect->form = c->form;
    collect->select = c->select;
    collect->rows = w->rows;
    collect->columns = w->columns;
    collect->target_column = c->space[0][2];
    collect->window = axis[2].taps;
    collect->stride = axis[2].stride / c->spread;
    collect->spread = c->spread;
    for (int g = 0; g < 2; g++) {
        collect->plane_step[g] = c->space[g + 1][0];
        collect->row_step[g] = c->space[g + 1][1];
        collect->column_step[g] = c->space[g + 1][2];
    }
    collect->row_counts = w->row_counts;
    collect->counts = w->counts;
    collect->count_step = c->tile;
    collect->pitch = c->pitch;
    collect->margin = c->margin;
    collect->second = scratch_rows(c) * c->pitch;
    collect->close = (scratch_rows(c) - 1) * c->pitch;
    collect->codes = w->codes;
    if (c->code_bytes > 0) {
        kernels->iota(w->codes, 0, 512);
    }
}

/* ---- Running ---- */

/* The box's elements of `planes` planes in grid g, or the results at hand, where they are pixels in scratch. */
static cp_turn make_turn(const cp_collect_work *w, int g, int64_t planes)
{
    const cp_collects *c = w->collects;
    const cp_grid *grid = &c->layout.grid[g];
    const int64_t results[CP_SPACE] = {w->collect.planes, w->collect.results, w->collect.across};
    cp_turn turn = {.kernels = c->engine->kernels->lane[c->lane_kind],
                    .item = grid->item,
                    .step = c->run_step[g],
                    .planes = planes,
                    .lanes = c->tile};
    for (int s = 0; s < CP_SPACE; s++) {
        turn.count[s] = g == 0 ? w->end[s] - w->begin[s] : results[s];
        turn.space[s] = grid->space[s];
        turn.pixels[s] = c->space[g][s];
    }
    return turn;
}

/* Gradients of planes that become lanes; at[0] is where planes begin, the others where results at hand do. */
static void run_turned(cp_collect_work *w, char *const *at, int64_t count)
{
    const cp_collects *c = w->collects;
    const cp_collect_planes planes = {w->turn[1], w->turn[2], w->turn[0], 0, 0, 0, 1};
    for (int g = 1; g < CP_COLLECT_GRIDS; g++) {
        if (at[g] != NULL) {
            cp_turn turn = make_turn(w, g, count);
            cp_turn_in(&turn, w->turn[g], at[g]);
        }
    }
    w->collect.lanes = c->tile;
    c->engine->kernels->lane[c->lane_kind]->collect(&w->collect, &planes, w->scratch);
    cp_turn turn = make_turn(w, 0, count);
    cp_turn_out(&turn, at[0] + w->begin[0] * turn.space[0] + w->begin[1] * turn.space[1], w->turn[0]);
}

static void run_unit(cp_collect_work *w, int64_t unit)
{
    const cp_collects *c = w->collects;
    /* Boxes are slowest, for their tables. */
    int64_t of_box = c->units / (c->boxes[0] * c->boxes[1] * c->boxes[2]), rest = unit % of_box, channel;
    int64_t tile = rest % c->tiles * c->tile, group = rest / c->tiles, first = group % c->groups * c->group;
    char *at[CP_GRIDS];
    find_box(w, unit / of_box);
    for (int32_t g = 0; g < CP_GRIDS; g++) {
        const cp_grid *grid = &c->layout.grid[g];
        at[g] = NULL;
        if (grid->item != 0) {
            at[g] =
                grid->data + cp_layout_offset(&c->layout, g, group / c->groups * c->run + first, &channel) + tile * grid->item;
            for (int s = 0; g > 0 && s < CP_SPACE; s++) {
                at[g] += w->first[s] * grid->space[s];
            }
        }
    }
    int64_t count = cp_min64(c->group, c->run - first);
    if (c->turned) {
        run_turned(w, at, count);
        return;
    }
    w->collect.lanes = cp_min64(c->tile, c->row_lanes - tile);
    cp_collect_planes planes = {at[1], at[2], at[0], c->run_step[1], c->run_step[2], c->run_step[0], count};
    c->engine->kernels->lane[c->lane_kind]->collect(&w->collect, &planes, w->scratch);
}

void cp_collects_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_collects *c = arg;
    cp_collect_work work = {.collects = c};
    begin_collect(&work, cp_engine_worker(c->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit);
    }
}
