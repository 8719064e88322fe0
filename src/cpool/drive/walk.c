#include "drive/walk.h"

#include "integers.h"
#include "kernels/identity.h"

enum { PIXELS, COLUMNS, TAPWISE };

/* Folded rows that are kept at most, and the bytes that one source row may take before it is read tap by tap. */
enum { KEPT_ROWS = 4096, KEPT_HEIGHT = 4096, ROW_BYTES = 64 * 1024, WIDEST = 1024 };

/* The gradient of a selection gathers two rows: value and position. No position is negative. */
static int32_t fold_rows(int32_t fold)
{
    return fold == CP_GATHER ? 2 : cp_fold_rows(fold);
}

static double identity(int32_t fold, int32_t row)
{
    return fold == CP_GATHER ? (row == 0 ? 0.0 : -1.0) : cp_fold_identity(fold, row);
}

static int64_t round_lanes(int64_t lanes, int64_t lane_size)
{
    return (int64_t)cp_row_bytes(lanes, lane_size) / lane_size;
}

/* ---- Planning ---- */

static int is_sum(int32_t fold)
{
    return fold == CP_SUM || fold == CP_SCALED_SUM || fold == CP_ENTROPY;
}

static int64_t axis_step(const cp_axis *axis)
{
    return axis->kind == CP_AXIS_TRANSPOSED ? axis->dilation / axis->gcd : axis->dilation;
}

static int64_t block_rows(const cp_axis *axis) /* four for every size of block above 64 */
{
    int64_t rows = 0;
    for (int64_t size = 256; size <= axis->taps; size *= 4) {
        rows += 4;
        if (size > INT64_MAX / 4) {
            break;
        }
    }
    return rows;
}

static void size_walk(cp_walk *w)
{
    const cp_axis *deep = &w->axis[0], *down = &w->axis[1], *along = &w->axis[2];
    int64_t reach = cp_axis_reach(along, w->width), height = INT64_MAX;
    w->pitch = round_lanes(w->width * w->lanes, w->lane_size);
    w->row_pitch = w->reading == TAPWISE               ? 0
                   : w->reading == PIXELS && w->direct ? 0
                                                       : round_lanes((reach + 1) * w->lanes, w->lane_size);
    if (down->taps <= KEPT_HEIGHT && axis_step(down) <= KEPT_HEIGHT) {
        height = (down->taps - 1) * axis_step(down) + 1;
    }
    w->keeps_rows = w->fold != CP_GATHER && down->targets > 1 && deep->taps <= CP_FOLD_TAPS && height <= KEPT_HEIGHT &&
                    deep->taps * height <= KEPT_ROWS;
    w->slot_height = w->keeps_rows ? height : cp_min64(down->taps, CP_FOLD_TAPS);
    w->row_slots = w->fold == CP_GATHER ? 0 : w->keeps_rows ? deep->taps * height : w->slot_height;
    w->plane_slots = w->fold == CP_GATHER || deep->taps == 1 ? 0 : cp_min64(deep->taps, CP_FOLD_TAPS);
    w->buffers = w->reading == PIXELS || (w->reading == COLUMNS && cp_axis_advance(along) == 1)
                     ? 0
                     : cp_min64(along->taps, CP_FOLD_TAPS);
    for (int i = 0; i < CP_SPACE; i++) {
        w->blocks[i] = is_sum(w->fold) ? block_rows(&w->axis[i]) : 0;
    }
}

static size_t walk_bytes(const cp_walk *w)
{
    size_t row = (size_t)w->pitch * (size_t)w->lane_size, state = row * (size_t)w->rows;
    size_t bytes = (size_t)w->row_pitch * (size_t)w->lane_size * (size_t)w->leaf_rows;
    bytes += state * (size_t)(w->row_slots + w->plane_slots + w->blocks[0] + w->blocks[1] + w->blocks[2] + 1);
    bytes += row * (size_t)w->leaf_rows * (size_t)w->buffers;
    bytes += 2 * cp_row_bytes(w->row_slots, sizeof(int64_t)) + cp_row_bytes(w->width, sizeof(cp_span)) +
             3 * cp_row_bytes(w->width, sizeof(int32_t));
    return bytes;
}

size_t cp_walk_plan(cp_walk *w, int64_t width, size_t budget)
{
    const cp_axis *along = &w->axis[2];
    w->rows = fold_rows(w->fold);
    w->leaf_rows = w->fold == CP_MAX_TAP || w->fold == CP_MIN_TAP ? 1 : w->rows;
    int64_t reach = cp_axis_reach(along, width > 0 ? width : 1), row_bytes = w->lanes * w->lane_size * w->leaf_rows;
    w->reading = w->lanes == 1 ? COLUMNS : PIXELS;
    if (reach > ROW_BYTES / row_bytes && !(w->reading == PIXELS && w->direct)) {
        w->reading = TAPWISE;
    }
    w->width = width > 0 ? width : cp_min64(along->targets, w->lanes >= WIDEST ? 1 : WIDEST / w->lanes);
    if (w->reading == TAPWISE && (w->fold == CP_GATHER || along->kind != CP_AXIS_SLIDING)) {
        w->width = width > 0 ? width : 1;
    }
    size_walk(w);
    while (width == 0 && w->width > 1 &&
           (walk_bytes(w) > budget || (w->row_pitch != 0 && w->row_pitch * row_bytes / w->lanes > 2 * ROW_BYTES))) {
        w->width = (w->width + 1) / 2;
        size_walk(w);
    }
    return walk_bytes(w);
}

static char *take(char **memory, size_t bytes)
{
    char *start = *memory;
    *memory += bytes;
    return start;
}

static void fill_identity(const cp_walk *w, char *dst, int32_t rows, int64_t pitch, int64_t n)
{
    for (int32_t r = 0; r < rows; r++) {
        w->kernels->fill(dst + r * pitch * w->lane_size, identity(w->fold, r), n);
    }
}

char *cp_walk_bind(cp_walk *w, char *memory, const cp_lane_kernels *kernels)
{
    size_t row = (size_t)w->pitch * (size_t)w->lane_size, state = row * (size_t)w->rows;
    w->kernels = kernels;
    w->row = take(&memory, (size_t)w->row_pitch * (size_t)w->lane_size * (size_t)w->leaf_rows);
    w->slots = take(&memory, state * (size_t)w->row_slots);
    w->planes = take(&memory, state * (size_t)w->plane_slots);
    for (int i = 0; i < CP_SPACE; i++) {
        w->block[i] = take(&memory, state * (size_t)w->blocks[i]);
    }
    w->buffer = take(&memory, row * (size_t)w->leaf_rows * (size_t)w->buffers);
    w->identity = take(&memory, state);
    w->slot_d = (int64_t *)(void *)take(&memory, cp_row_bytes(w->row_slots, sizeof(int64_t)));
    w->slot_h = (int64_t *)(void *)take(&memory, cp_row_bytes(w->row_slots, sizeof(int64_t)));
    w->spans = (cp_span *)(void *)take(&memory, cp_row_bytes(w->width, sizeof(cp_span)));
    w->first = (int32_t *)(void *)take(&memory, cp_row_bytes(w->width, sizeof(int32_t)));
    w->lo = (int32_t *)(void *)take(&memory, cp_row_bytes(w->width, sizeof(int32_t)));
    w->hi = (int32_t *)(void *)take(&memory, cp_row_bytes(w->width, sizeof(int32_t)));
    fill_identity(w, w->identity, w->rows, w->pitch, w->pitch);
    return memory;
}

/* ---- Tiles ---- */

void cp_walk_tile(cp_walk *w, int64_t target, int64_t count, int64_t lanes)
{
    const cp_axis *along = &w->axis[2];
    int64_t advance = cp_axis_advance(along), from = INT64_MAX, to = 0;
    w->first_target = target;
    w->targets = count;
    w->tile_lanes = lanes;
    w->first_tap = INT64_MAX;
    w->last_tap = 0;
    for (int64_t i = 0; i < w->row_slots; i++) {
        w->slot_d[i] = -1;
    }
    for (int64_t i = 0; i < count; i++) {
        cp_span span = cp_axis_span(along, target + i);
        w->spans[i] = span;
        if (span.lo < span.hi) {
            w->first_tap = cp_min64(w->first_tap, span.lo);
            w->last_tap = span.hi > w->last_tap ? span.hi : w->last_tap;
            from = cp_min64(from, span.first + span.lo * span.step);
            to = span.first + (span.hi - 1) * span.step + 1 > to ? span.first + (span.hi - 1) * span.step + 1 : to;
        }
    }
    w->first_tap = cp_min64(w->first_tap, w->last_tap);
    if (w->reading == COLUMNS && advance != 0) { /* absent sources are read as identity */
        from = w->spans[0].first;
        to = from + (count - 1) * advance + (along->taps - 1) * w->spans[0].step + 1;
    }
    w->column = from < to ? from : 0;
    w->columns = from < to ? to - from : 0;
    if (w->reading == COLUMNS && advance == 0) {
        for (int64_t i = 0; i < count; i++) {
            int there = w->spans[i].lo < w->spans[i].hi;
            w->first[i] = there ? (int32_t)(w->spans[i].first - w->column) : 0;
            w->lo[i] = (int32_t)w->spans[i].lo;
            w->hi[i] = (int32_t)w->spans[i].hi;
        }
    }
    if (w->reading == PIXELS && w->row_pitch != 0) {
        /* The pixel behind the row stands for taps that are absent. */
        fill_identity(w, w->row + w->columns * lanes * w->lane_size, w->leaf_rows, w->row_pitch, lanes);
    }
}

/* Sources with identity where there are none. */
static void fetch(const cp_walk *w, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, char *dst, int64_t pitch)
{
    int64_t sources = w->axis[2].sources, lanes = w->tile_lanes;
    int64_t before = column >= 0 ? 0 : cp_min64(count, (-column + step - 1) / step);
    int64_t end = column >= sources ? 0 : cp_min64(count, (sources - column + step - 1) / step);
    if (before >= end) {
        before = end = count;
    }
    if (before > 0) {
        fill_identity(w, dst, w->leaf_rows, pitch, before * lanes);
    }
    if (end < count) {
        fill_identity(w, dst + end * lanes * w->lane_size, w->leaf_rows, pitch, (count - end) * lanes);
    }
    if (before < end) {
        w->source(w->context, d, h, column + before * step, step, end - before, dst + before * lanes * w->lane_size, pitch);
    }
}

static void read_row(cp_walk *w, int64_t d, int64_t h)
{
    w->row_d = d;
    w->row_h = h;
    if (w->reading == PIXELS && w->direct) {
        w->pixels = w->direct_data + d * w->direct_stride[0] + h * w->direct_stride[1] + w->column * w->direct_stride[2];
        w->pixel_step = w->direct_stride[2];
    } else if (w->reading != TAPWISE) {
        w->pixels = w->row;
        w->pixel_step = w->tile_lanes * w->lane_size;
        if (w->columns > 0) {
            fetch(w, d, h, w->column, 1, w->columns, w->row, w->row_pitch);
        }
    }
}

/* ---- Taps ---- */

typedef struct cp_level {
    cp_walk *walk;
    int32_t axis;
    const cp_span *span; /* NULL: all columns of the tile at once */
    int64_t d, h;        /* targets, or sources where an outer level has chosen them */
    int64_t plane;       /* tap of the outermost axis at work */
} cp_level;

static void fold_level(const cp_level *level, char *dst);

static const char *folded_row(const cp_level *level, int64_t tap, int64_t slot)
{
    cp_walk *w = level->walk;
    int64_t h = level->span->first + tap * level->span->step;
    int64_t state = w->pitch * w->lane_size * w->rows;
    if (w->keeps_rows) {
        slot = level->plane * w->slot_height + h % w->slot_height;
        if (w->slot_d[slot] == level->d && w->slot_h[slot] == h) {
            return w->slots + slot * state;
        }
        w->slot_d[slot] = level->d;
        w->slot_h[slot] = h;
    }
    char *dst = w->slots + slot * state;
    read_row(w, level->d, h);
    cp_level along = {w, 2, NULL, level->d, h, 0};
    if (w->reading != PIXELS) {
        fold_level(&along, dst);
        return dst;
    }
    for (int64_t i = 0; i < w->targets; i++) {
        along.span = &w->spans[i];
        fold_level(&along, dst + i * w->tile_lanes * w->lane_size);
    }
    return dst;
}

static const char *folded_plane(const cp_level *level, int64_t tap, int64_t slot)
{
    cp_walk *w = level->walk;
    cp_span span = cp_axis_span(&w->axis[1], level->h);
    cp_level down = {w, 1, &span, level->span->first + tap * level->span->step, 0, tap};
    char *dst = w->planes + slot * w->pitch * w->lane_size * w->rows;
    fold_level(&down, dst);
    return dst;
}

/* All columns' sources of one tap, side by side. */
static const char *tap_columns(cp_walk *w, int64_t tap, int64_t slot)
{
    const cp_axis *along = &w->axis[2];
    int64_t advance = cp_axis_advance(along), step = w->spans[0].step;
    if (w->reading == COLUMNS && advance == 1) {
        return w->pixels + tap * step * w->lane_size;
    }
    char *dst = w->buffer + slot * w->pitch * w->lane_size * w->leaf_rows;
    if (w->reading == TAPWISE && advance != 0) {
        fetch(w, w->row_d, w->row_h, w->spans[0].first + tap * step, advance, w->targets, dst, w->pitch);
        return dst;
    }
    if (w->reading == TAPWISE) {
        for (int64_t i = 0; i < w->targets; i++) {
            const cp_span *span = &w->spans[i];
            int64_t column = tap >= span->lo && tap < span->hi ? span->first + tap * span->step : along->sources; /* absent */
            fetch(w, w->row_d, w->row_h, column, 1, 1, dst + i * w->tile_lanes * w->lane_size, w->pitch);
        }
        return dst;
    }
    for (int32_t r = 0; r < w->leaf_rows; r++) {
        char *to = dst + r * w->pitch * w->lane_size;
        const char *from = w->pixels + r * w->row_pitch * w->lane_size;
        if (advance != 0) {
            w->kernels->stride(to, from + tap * step * w->lane_size, advance, w->targets);
        } else {
            w->kernels->pick(to, from, w->first, w->lo, w->hi, axis_step(along), (int32_t)tap, identity(w->fold, r),
                             w->targets);
        }
    }
    return dst;
}

static const char *absent(const cp_walk *w, int32_t axis)
{
    if (axis == 2 && w->row_pitch != 0) {
        return w->row + w->columns * w->tile_lanes * w->lane_size;
    }
    return w->identity;
}

static const char *tap_at(const cp_level *level, int64_t tap, int64_t slot)
{
    cp_walk *w = level->walk;
    const cp_span *span = level->span;
    if (span == NULL) {
        return tap_columns(w, tap, slot);
    }
    if (tap < span->lo || tap >= span->hi) {
        return absent(w, level->axis);
    }
    if (level->axis == 2) {
        return w->pixels + (span->first + tap * span->step - w->column) * w->pixel_step;
    }
    return level->axis == 1 ? folded_row(level, tap, slot) : folded_plane(level, tap, slot);
}

/* ---- Folds ---- */

/* The taps that any of the level's windows has. What lies outside them is absent: it is left out where it would add nothing, so
 * that a huge window over a small array costs what the array costs. */
typedef struct cp_range {
    int64_t lo, hi;
} cp_range;

static cp_range taps_there(const cp_level *level)
{
    cp_range range = {level->walk->first_tap, level->walk->last_tap};
    if (level->span != NULL) {
        range.lo = level->span->lo;
        range.hi = level->span->hi;
    }
    return range;
}

/* The first tap from `from` on that any window has; INT64_MAX: none. */
static int64_t next_there(const cp_walk *w, const cp_span *span, int64_t from)
{
    int64_t next = INT64_MAX, n = span != NULL ? 1 : w->targets;
    for (const cp_span *s = span != NULL ? span : w->spans; n-- > 0; s++) {
        if (s->hi > from && s->lo < s->hi) {
            next = cp_min64(next, s->lo > from ? s->lo : from);
        }
    }
    return next;
}

static int64_t level_lanes(const cp_level *level)
{
    const cp_walk *w = level->walk;
    return level->axis == 2 && level->span != NULL ? w->tile_lanes : w->targets * w->tile_lanes;
}

static void fold_run(const cp_level *level, int64_t from, int64_t count, char *dst, int mode)
{
    cp_walk *w = level->walk;
    const void *taps[CP_FOLD_TAPS];
    double offsets[CP_FOLD_TAPS];
    double columns = (double)w->axis[2].taps; /* in double: more taps than an integer counts have values, if no names */
    double unit = level->axis == 2 ? 1.0 : level->axis == 1 ? columns : (double)w->axis[1].taps * columns;
    int64_t pitch = level->axis == 2 && w->reading != TAPWISE && w->buffers == 0 ? w->row_pitch : w->pitch;
    for (int64_t t = 0; t < count; t++) {
        taps[t] = tap_at(level, from + t, t);
        offsets[t] = (double)(from + t) * unit;
    }
    if (level->axis == 2) {
        mode |= CP_LEAF;
    }
    w->kernels->fold[w->fold](dst, w->pitch, taps, pitch, offsets, count, level_lanes(level), mode);
}

/* The sum of `size` (a power of 4, at least 256) taps, as (a + b) + (c + d) of its quarters. */
static void fold_block(const cp_level *level, int64_t from, int64_t size, char *dst, char *scratch)
{
    static const double none[4] = {0, 0, 0, 0};
    cp_walk *w = level->walk;
    int64_t state = w->pitch * w->lane_size * w->rows, quarter = size / 4;
    const void *quarters[4];
    for (int64_t q = 0; q < 4; q++) {
        char *part = scratch + q * state;
        int64_t first = from + q * quarter;
        quarters[q] = part;
        if (next_there(w, level->span, first) >= first + quarter) {
            quarters[q] = w->identity;
        } else if (quarter == CP_FOLD_TAPS) {
            fold_run(level, first, quarter, part, CP_TREE);
        } else {
            fold_block(level, first, quarter, part, scratch + 4 * state);
        }
    }
    w->kernels->fold[w->fold](dst, w->pitch, quarters, w->pitch, none, 4, level_lanes(level), CP_TREE);
}

/* Blocks of powers of 4 from the left, the largest that fit first. */
static void fold_tree(const cp_level *level, char *dst)
{
    static const double none = 0;
    cp_walk *w = level->walk;
    int64_t taps = w->axis[level->axis].taps, size = CP_FOLD_TAPS, t = 0;
    char *block = w->block[level->axis];
    const void *sum = block;
    w->kernels->fold[w->fold](dst, w->pitch, &sum, w->pitch, &none, 0, level_lanes(level), 0);
    while (size <= taps / 4) {
        size *= 4;
    }
    for (; t < taps; t += size) {
        while (size > CP_FOLD_TAPS && size > taps - t) {
            size /= 4;
        }
        int64_t count = cp_min64(size, taps - t);
        if (next_there(w, level->span, t) >= t + count) {
            continue;
        }
        if (size == CP_FOLD_TAPS) {
            fold_run(level, t, count, dst, CP_CONTINUE | CP_TREE);
        } else { /* the first quarter's slot is free again when the block is done */
            fold_block(level, t, size, block, block);
            w->kernels->fold[w->fold](dst, w->pitch, &sum, w->pitch, &none, 1, level_lanes(level), CP_CONTINUE);
        }
    }
}

static void fold_level(const cp_level *level, char *dst)
{
    cp_walk *w = level->walk;
    cp_range there = taps_there(level);
    if (is_sum(w->fold) && w->axis[level->axis].taps > 8) {
        fold_tree(level, dst);
        return;
    }
    int mode = 0;
    do {
        int64_t count = cp_min64(there.hi - there.lo, CP_FOLD_TAPS);
        fold_run(level, there.lo, count, dst, mode);
        mode = CP_CONTINUE;
        there.lo = there.lo + count < there.hi ? next_there(w, level->span, there.lo + count) : there.hi;
    } while (there.lo < there.hi);
}

void cp_walk_fold(cp_walk *w, int64_t d, int64_t h, void *dst)
{
    cp_span deep = cp_axis_span(&w->axis[0], d), down = cp_axis_span(&w->axis[1], h);
    cp_level level = {w, 0, &deep, d, h, 0};
    if (w->axis[0].taps == 1 && deep.lo < deep.hi) { /* one plane: its fold is the result */
        level = (cp_level){w, 1, &down, deep.first, 0, 0};
    }
    fold_level(&level, dst);
}

/* ---- Gathering ---- */

static void gather_row(cp_walk *w, const char *self, char *dst)
{
    const void *taps[CP_FOLD_TAPS];
    int64_t pitch = w->reading != TAPWISE && w->buffers == 0 ? w->row_pitch : w->pitch;
    if (w->reading != PIXELS) {
        for (int64_t t = w->first_tap, count; t < w->last_tap; t = next_there(w, NULL, t + count)) {
            count = cp_min64(w->last_tap - t, CP_FOLD_TAPS);
            for (int64_t j = 0; j < count; j++) {
                taps[j] = tap_columns(w, t + j, j);
            }
            w->kernels->gather(dst, taps, pitch, count, self, w->tile_lanes == 1, w->targets * w->tile_lanes);
        }
        return;
    }
    for (int64_t i = 0; i < w->targets; i++) {
        const cp_span *span = &w->spans[i];
        for (int64_t t = span->lo; t < span->hi; t += CP_FOLD_TAPS) {
            int64_t count = cp_min64(span->hi - t, CP_FOLD_TAPS);
            for (int64_t j = 0; j < count; j++) {
                taps[j] = w->pixels + (span->first + (t + j) * span->step - w->column) * w->pixel_step;
            }
            w->kernels->gather(dst + i * w->tile_lanes * w->lane_size, taps, pitch, count, self + i * w->lane_size, 0,
                               w->tile_lanes);
        }
    }
}

void cp_walk_gather(cp_walk *w, int64_t d, int64_t h, const void *self, void *dst)
{
    cp_span deep = cp_axis_span(&w->axis[0], d), down = cp_axis_span(&w->axis[1], h);
    w->kernels->fill(dst, 0.0, w->targets * w->tile_lanes);
    for (int64_t i = deep.lo; i < deep.hi; i++) {
        for (int64_t j = down.lo; j < down.hi; j++) {
            read_row(w, deep.first + i * deep.step, down.first + j * down.step);
            gather_row(w, self, dst);
        }
    }
}
