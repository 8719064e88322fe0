/* Windows of planes that lie in memory as a kernel wants them, in one sweep: along the
 * row in registers, down over rows of a small ring, the result straight to its place.
 * Which planes those are is the driver's; the order of every fold is that of the walk. */

/* Border blocks whose lanes are worked out once per call, and loads of one block. */
enum { NAME(BORDERS) = 6, NAME(LOADS) = 2 * CP_STRIP_WINDOW };

/* Instead of the logarithm of a stride: targets are picked from two vectors for each tap. */
enum { NAME(PICKED) = 4 };

/* Source elements read for N targets, of stride 2^log_stride, from vectors one after another to one per tap. */
CP_TEMPLATE void NAME(separate)(int log_stride, CP_VECTOR *v)
{
    CP_VECTOR even[4], odd[4];
    if (log_stride == 0 || log_stride == NAME(PICKED)) {
        return;
    }
    for (int k = 0; k < 1 << (log_stride - 1); k++) {
        V(unzip)(v[2 * k], v[2 * k + 1], &even[k], &odd[k]);
    }
    if (log_stride == 2) {
        V(unzip)(even[0], even[1], &even[0], &even[1]);
        V(unzip)(odd[0], odd[1], &odd[0], &odd[1]);
    } else if (log_stride == 3) {
        CP_VECTOR a[4], b[4];
        for (int k = 0; k < 2; k++) {
            V(unzip)(even[2 * k], even[2 * k + 1], &a[k], &a[2 + k]);
            V(unzip)(odd[2 * k], odd[2 * k + 1], &b[k], &b[2 + k]);
        }
        for (int k = 0; k < 2; k++) {
            V(unzip)(a[2 * k], a[2 * k + 1], &even[k], &even[2 + k]);
            V(unzip)(b[2 * k], b[2 * k + 1], &odd[k], &odd[2 + k]);
        }
    }
    for (int k = 0; k < 1 << (log_stride - 1); k++) {
        v[2 * k] = even[k];
        v[2 * k + 1] = odd[k];
    }
}

/* N lanes of targets at work, or fewer at a border. */
enum { NAME(FULL), NAME(SOME_LANES), NAME(FIRST_LANES) };
typedef struct NAME(place) {
    int64_t source;          /* bytes from the start of a source row to where tap 0 of lane 0 is */
    int64_t window, step;    /* taps, and bytes from one to the next */
    int64_t ring;            /* lanes from the start of a row of the ring */
    int64_t n;               /* lanes that are targets */
    const V(lanes) *there;   /* SOME_LANES: of each load */
    const V(places) *places; /* PICKED: of two vectors; NULL: the first one as it is */
    CP_VECTOR first_tap;     /* number of the first tap that is there */
} NAME(place);

/* Of targets that are picked, those of tap j. */
CP_TEMPLATE CP_VECTOR NAME(pick_targets)(int extent, const CP_ELEMENT *p, const NAME(place) *at, int64_t j, CP_VECTOR fill)
{
    const int some = extent == NAME(SOME_LANES);
    CP_VECTOR a = some ? V(load_lanes)(p, at->there[2 * j], fill) : V(load)(p);
    if (at->places == NULL) {
        return a;
    }
    return V(pick)(a, some ? V(load_lanes)(p + V(N), at->there[2 * j + 1], fill) : V(load)(p + V(N)), *at->places);
}

/* Taps from j on of a stride that is separated, or tap j: combined with `acc`, the fold of those before. */
CP_TEMPLATE NAME(element) NAME(along_group)(int fold, int extent, int64_t window, int log_stride, const char *row,
                                            const NAME(place) *at, int64_t j, NAME(element) acc)
{
    const int picked = log_stride == NAME(PICKED), stride = picked ? 1 : 1 << log_stride;
    CP_VECTOR fill = V(set1)((CP_ELEMENT)cp_fold_identity(fold, 0)), v[8];
    for (int k = 0; k < stride; k++) {
        int64_t offset = stride == 1 ? j * at->step : (j + k * V(N))*(int64_t)sizeof(CP_ELEMENT);
        const CP_ELEMENT *p = (const CP_ELEMENT *)(const void *)(row + at->source + offset);
        v[k] = picked                       ? NAME(pick_targets)(extent, p, at, j, fill)
               : extent == NAME(FULL)       ? V(load)(p)
               : extent == NAME(SOME_LANES) ? V(load_lanes)(p, at->there[j + k], fill)
                                            : NAME(load)(p, at->n, 0.0);
    }
    NAME(separate)(log_stride, v);
    for (int k = 0; k < stride && j + k < window; k++) {
        NAME(element) x = {v[k], V(set1)((CP_ELEMENT)(j + k))};
        if (extent != NAME(SOME_LANES)) { /* else absent taps are there, as identities */
            x.tap = V(add)(x.tap, at->first_tap);
        }
        acc.value = j + k == 0 ? x.value : acc.value;
        acc = j + k == 0 ? acc : NAME(combine_elements)(fold, acc, x);
    }
    return acc;
}

CP_TEMPLATE NAME(element)
    NAME(along)(int fold, int extent, int64_t window, int log_stride, const char *row, const NAME(place) *at)
{
    const int stride = log_stride == NAME(PICKED) ? 1 : 1 << log_stride;
    NAME(element) acc = {V(set1)((CP_ELEMENT)cp_fold_identity(fold, 0)), at->first_tap};
    if (CP_IS_CONSTANT(window) && window <= 4) { /* gcc would leave the loop one */
        CP_EACH(
            j, 4,
            if (j < window && j % stride == 0) { acc = NAME(along_group)(fold, extent, window, log_stride, row, at, j, acc); });
        return acc;
    }
    for (int64_t j = 0; j < window; j += stride) {
        acc = NAME(along_group)(fold, extent, window, log_stride, row, at, j, acc);
    }
    return acc;
}

/* A row of targets and the source rows of its windows. */
typedef struct NAME(line) {
    const cp_strip_row *row;
    const char *source;
    int64_t source_row, source_plane, tap_row, tap_plane;
    int64_t planes, rows, kept;
    CP_ELEMENT *slot[CP_STRIP_WINDOW]; /* of the ring, for each source row of the first plane */
    int64_t slots_of_plane, second;    /* from there to the next plane, to the numbers of the taps */
    char *target, *taps;
} NAME(line);

/* How windows lie: one source row after another, of one plane; some kept in the ring; in several planes as well. */
enum { NAME(FRESH), NAME(KEPT), NAME(DEEP) };

CP_TEMPLATE void NAME(find_line)(NAME(line) *line, const cp_strip *s, const cp_strip_planes *planes, int64_t plane, int64_t r,
                                 int depth, CP_ELEMENT *ring)
{
    const cp_strip_row *row = &s->rows[r];
    line->row = row;
    line->source = planes->source + plane * planes->source_step + row->source;
    line->target = planes->target + plane * planes->target_step + row->target;
    line->taps = cp_behind(planes->taps, plane * planes->taps_step + row->taps);
    line->source_row = s->source_row;
    line->source_plane = s->source_plane;
    line->tap_row = s->tap_row;
    line->tap_plane = s->tap_plane;
    line->planes = row->planes;
    line->rows = row->rows;
    line->kept = row->kept;
    line->slots_of_plane = s->ring_slots * s->ring_pitch;
    line->second = s->ring_pitch / 2;
    for (int64_t t = 0; t < (depth == NAME(KEPT) ? CP_STRIP_KEPT : row->rows); t++) { /* of KEPT also one that no window has */
        line->slot[t] = ring + ((row->first + t) & (s->ring_slots - 1)) * s->ring_pitch;
    }
}

CP_TEMPLATE NAME(element) NAME(down)(int fold, int extent, int64_t window, int log_stride, int depth, const NAME(line) *line,
                                     int64_t plane, const NAME(place) *at)
{
    const char *source = line->source + (depth == NAME(DEEP) ? plane * line->source_plane : 0);
    const int64_t place = at->ring + (depth == NAME(DEEP) ? plane * line->slots_of_plane : 0);
    NAME(element) acc = {at->first_tap, at->first_tap}, x = acc;
    const int64_t most = depth == NAME(KEPT) ? CP_STRIP_KEPT : CP_STRIP_WINDOW;
    int64_t t = 0;
    for (; depth != NAME(FRESH) &&t < line->kept && t < most - 1; t++) {
        const CP_ELEMENT *kept = line->slot[t] + place;
        x.value = V(load)(kept);
        if (NAME(carries_tap)(fold)) {
            x.tap = V(add)(V(load)(kept + line->second), V(set1)((CP_ELEMENT)(t * line->tap_row)));
        }
        acc = t == 0 ? x : NAME(combine_elements)(fold, acc, x);
    }
    for (source += t * line->source_row; t < line->rows && t < most; t++, source += line->source_row) {
        x = NAME(along)(fold, extent, window, log_stride, source, at);
        if (depth != NAME(FRESH)) {
            CP_ELEMENT *kept = line->slot[t] + place;
            V(store)(kept, x.value);
            if (NAME(carries_tap)(fold)) {
                V(store)(kept + line->second, x.tap);
            }
        }
        if (NAME(carries_tap)(fold)) {
            x.tap = V(add)(x.tap, V(set1)((CP_ELEMENT)(t * line->tap_row)));
        }
        acc = t == 0 ? x : NAME(combine_elements)(fold, acc, x);
    }
    return acc;
}

/* What a window has come to. Adding +0 makes +0 of the -0 that a fold may have ended in. */
CP_TEMPLATE CP_VECTOR NAME(result)(int fold, CP_VECTOR value, CP_VECTOR divisor, int is_inverse)
{
    value = V(add)(value, V(set1)(0));
    if (fold == CP_SUM) {
        value = is_inverse ? V(mul)(value, divisor) : V(div)(value, divisor);
    }
    return value;
}

CP_TEMPLATE void NAME(finish)(int fold, NAME(element) x, CP_VECTOR divisor, int is_inverse, double tap, CP_ELEMENT *target,
                              char *taps, int64_t n)
{
    CP_PREFETCH_WRITE((const char *)target + CP_AHEAD);
    NAME(save)(target, NAME(result)(fold, x.value, divisor, is_inverse), n);
    if (NAME(carries_tap)(fold)) {
        V(store_u8)((uint8_t *)taps, V(add)(x.tap, V(set1)((CP_ELEMENT)tap)), n);
    }
}

CP_TEMPLATE void NAME(target)(int fold, int extent, int64_t window, int log_stride, int depth, const NAME(line) *line,
                              const NAME(place) *at, CP_VECTOR divisor, int is_inverse, CP_ELEMENT *target, char *taps,
                              int64_t n)
{
    NAME(element) x = {divisor, divisor};
    for (int64_t plane = 0; plane < (depth == NAME(DEEP) ? line->planes : 1); plane++) {
        NAME(element) y = NAME(down)(fold, extent, window, log_stride, depth, line, plane, at);
        if (plane > 0) {
            y.tap = V(add)(y.tap, V(set1)((CP_ELEMENT)(plane * line->tap_plane)));
            y = NAME(combine_elements)(fold, x, y);
        }
        x = y;
    }
    NAME(finish)(fold, x, divisor, is_inverse, line->row->tap, target, taps, n);
}

/* ---- Neighbouring columns are lanes ---- */

typedef struct NAME(block) {
    NAME(place) at;
    int64_t i; /* first target */
    V(lanes) there[NAME(LOADS)];
} NAME(block);

/* How targets become the lanes of a block. */
typedef struct NAME(lanes) {
    int log_stride;          /* a constant, or PICKED */
    int64_t width;           /* targets of a block */
    int64_t unit;            /* a multiple of which a block begins at, or the pixel that several blocks make */
    const V(places) *places; /* PICKED: where they are in two vectors; NULL: side by side */
    V(places) picked;
} NAME(lanes);

/* As many pixels as two vectors hold, or a part of one that is larger than a vector; its last part ends with it. */
CP_TEMPLATE void NAME(find_lanes)(NAME(lanes) *lanes, const cp_strip *s, int log_stride)
{
    lanes->log_stride = log_stride;
    lanes->width = lanes->unit = V(N);
    lanes->places = NULL;
    if (log_stride != NAME(PICKED)) {
        return;
    }
    lanes->unit = s->step;
    if (s->step > V(N)) {
        return;
    }
    const int64_t apart = s->stride * s->step, whole = V(N) / s->step, read = (2 * V(N) - s->step) / apart + 1;
    const int64_t pixels = whole < read ? whole : read;
    lanes->width = lanes->unit = pixels * s->step;
    if (pixels > 1) {
        int32_t index[V(N)];
        for (int32_t l = 0; l < V(N); l++) {
            index[l] = l < lanes->width ? (int32_t)(l / s->step * apart + l % s->step) : 0;
        }
        lanes->picked = V(places_from)(index);
        lanes->places = &lanes->picked;
    }
}

/* How many lanes behind tap 0 of its first target a block's load j is. */
CP_TEMPLATE int64_t NAME(load_offset)(const cp_strip *s, const NAME(lanes) *lanes, int64_t j)
{
    if (lanes->log_stride == NAME(PICKED)) {
        return j / 2 * s->step + j % 2 * V(N);
    }
    const int64_t group = j >> lanes->log_stride << lanes->log_stride;
    return lanes->log_stride == 0 ? j * s->step : group + (j - group) * V(N);
}

/* The lane of a source row where tap 0 of target i is. */
CP_TEMPLATE int64_t NAME(first_source)(const cp_strip *s, const NAME(lanes) *lanes, int64_t i)
{
    return (lanes->log_stride == NAME(PICKED) ? i / s->step * s->stride * s->step + i % s->step : i << lanes->log_stride) -
           s->pad;
}

CP_TEMPLATE void NAME(find_block)(NAME(block) *block, const cp_strip *s, const NAME(lanes) *lanes, int64_t i)
{
    const int64_t size = (int64_t)sizeof(CP_ELEMENT);
    block->i = i;
    block->at.source = NAME(first_source)(s, lanes, i) * size;
    block->at.window = s->window;
    block->at.step = s->step * size;
    block->at.ring = i - s->begin;
    block->at.n = s->end - i < lanes->width ? s->end - i : lanes->width;
    block->at.there = NULL;
    block->at.places = lanes->places;
    block->at.first_tap = V(set1)(0);
}

CP_TEMPLATE void NAME(find_border)(int fold, NAME(block) *block, const cp_strip *s, const NAME(lanes) *lanes, int64_t i)
{
    NAME(find_block)(block, s, lanes, i);
    for (int64_t j = 0; j < NAME(LOADS) &&j < s->loads; j++) {
        const int64_t from = NAME(first_source)(s, lanes, i) + NAME(load_offset)(s, lanes, j);
        block->there[j] = V(lanes_from)(-from, s->length - from);
    }
    block->at.there = block->there;
    if (NAME(carries_tap)(fold)) {
        block->at.first_tap = NAME(load)((const CP_ELEMENT *)s->first_tap + i - s->begin, block->at.n, 0.0);
    }
}

/* What the averages of a block are divided by; *is_inverse: multiplied. */
CP_TEMPLATE CP_VECTOR NAME(divisor)(int extent, const cp_strip *s, const cp_strip_row *row, int64_t i, int64_t n,
                                    int *is_inverse)
{
    *is_inverse = row->is_inverse;
    if (extent == NAME(FULL) || s->uniform) {
        return V(set1)((CP_ELEMENT)row->divisor);
    }
    *is_inverse = 0;
    return V(mul)(NAME(load)((const CP_ELEMENT *)s->counts + i - s->begin, n, 1.0), V(set1)((CP_ELEMENT)row->count));
}

CP_TEMPLATE void NAME(fold_columns)(int fold, int extent, int64_t window, int log_stride, int depth, const cp_strip *s,
                                    const NAME(line) *line, const NAME(block) *block)
{
    int is_inverse;
    CP_VECTOR divisor = NAME(divisor)(extent, s, line->row, block->i, block->at.n, &is_inverse);
    NAME(target)(fold, extent, window, log_stride, depth, line, &block->at, divisor, is_inverse,
                 (CP_ELEMENT *)(void *)line->target + block->i, line->taps + block->i,
                 extent == NAME(FULL) ? V(N) : block->at.n);
}

CP_TEMPLATE int64_t NAME(whole_blocks)(const NAME(lanes) *lanes, int64_t n)
{
    return n < 0 ? 0 : (n + lanes->unit - 1) / lanes->unit * lanes->unit;
}

/* A block of targets that ends with the row, or with its pixel, if it would end behind it: some of them are made twice. */
CP_TEMPLATE int64_t NAME(block_at)(const cp_strip *s, const NAME(lanes) *lanes, int64_t i)
{
    const int64_t last = s->end - V(N);
    if (lanes->log_stride == NAME(PICKED)) {
        return lanes->unit == lanes->width ? i : cp_part_at(i, lanes->width, lanes->unit);
    }
    return i > last && last >= s->begin ? last : i;
}

CP_TEMPLATE int64_t NAME(block_behind)(const NAME(lanes) *lanes, int64_t i)
{
    return lanes->unit == lanes->width ? i + lanes->width : cp_part_behind(i, lanes->width, lanes->unit);
}

/* Which blocks read no absent element: those at `first` to `last`, and of blocks side by side the ones from lo to hi. */
typedef struct NAME(full) {
    int64_t first, last, lo, hi;
} NAME(full);

CP_TEMPLATE NAME(full) NAME(full_blocks)(const cp_strip *s, const NAME(lanes) *lanes)
{
    const int picked = lanes->log_stride == NAME(PICKED);
    const int64_t begin = s->begin, pixel = picked ? s->step : 1,
                  stride = picked ? s->stride * pixel : INT64_C(1) << lanes->log_stride;
    const int64_t reach = picked                   ? s->window * s->step + 2 * V(N)
                          : lanes->log_stride == 0 ? (s->window - 1) * s->step + V(N)
                                                   : s->loads - stride + stride * V(N);
    const int64_t there = s->length + s->pad - reach;
    int64_t end = there < 0 ? begin : (there / stride + 1) * pixel;
    end = end < s->end - V(N) + 1 ? end : s->end - V(N) + 1;
    const int64_t first = (s->pad + stride - 1) / stride * pixel;
    NAME(full) full = {first, end - 1, begin + NAME(whole_blocks)(lanes, first - begin),
                       begin + NAME(whole_blocks)(lanes, end - begin)};
    if (full.lo >= full.hi) {
        full.lo = full.hi = s->end;
    }
    return full;
}

CP_TEMPLATE void NAME(columns)(int fold, int64_t window, int log_stride, int depth, const cp_strip *s,
                               const cp_strip_planes *planes, CP_ELEMENT *ring)
{
    const int64_t begin = s->begin;
    NAME(lanes) lanes;
    NAME(find_lanes)(&lanes, s, log_stride);
    const NAME(full) full = NAME(full_blocks)(s, &lanes);
    NAME(block) borders[NAME(BORDERS) + 1];
    int known = 0;
    for (int64_t i = begin; i < s->end && known < NAME(BORDERS); i = NAME(block_behind)(&lanes, i)) {
        if (i == full.lo) {
            i = full.hi;
            if (i >= s->end) {
                break;
            }
        }
        NAME(find_border)(fold, &borders[known++], s, &lanes, NAME(block_at)(s, &lanes, i));
    }
    for (int64_t p = 0; p < planes->count; p++) {
        for (int64_t r = 0; r < s->row_count; r++) {
            NAME(line) line;
            NAME(find_line)(&line, s, planes, p, r, depth, ring);
            int border = 0;
            for (int64_t i = begin; i < s->end; i = NAME(block_behind)(&lanes, i)) {
                if (i == full.lo) {
                    NAME(block) block;
                    for (; i < full.hi; i = NAME(block_behind)(&lanes, i)) {
                        NAME(find_block)(&block, s, &lanes, lanes.unit == lanes.width ? i : NAME(block_at)(s, &lanes, i));
                        NAME(fold_columns)(fold, NAME(FULL), window, log_stride, depth, s, &line, &block);
                    }
                    if (i >= s->end) {
                        break;
                    }
                }
                if (border >= known) {
                    NAME(find_border)(fold, &borders[NAME(BORDERS)], s, &lanes, NAME(block_at)(s, &lanes, i));
                }
                NAME(fold_columns)(fold, NAME(SOME_LANES), window, log_stride, depth, s, &line,
                                   &borders[border < known ? border : NAME(BORDERS)]);
                border++;
            }
        }
    }
}

/* ---- Neighbouring columns are lanes, and rows follow one another ---- */

/* Blocks at once: what a target row shares with the next stays in registers. */
enum { NAME(MARCH) = 4 };

/* The fold of one source row for a block. Of an absent row, the first tap that is there keeps its number. */
CP_TEMPLATE NAME(element) NAME(march_source)(int fold, int extent, int64_t window, int log_stride, const cp_strip *s,
                                             const char *source, int64_t row, const NAME(place) *at)
{
    NAME(element) x = {V(set1)((CP_ELEMENT)cp_fold_identity(fold, 0)), at->first_tap};
    if (row >= 0 && row < s->source_rows) {
        x = NAME(along)(fold, extent, window, log_stride, source, at);
    } else if (NAME(carries_tap)(fold)) {
        x.tap = V(add)(x.tap, V(set1)((CP_ELEMENT)(-row * s->tap_row)));
    }
    return x;
}

CP_TEMPLATE void NAME(march_target)(int fold, int extent, int window, const cp_strip *s, const cp_strip_row *row,
                                    const NAME(block) *block, const NAME(element) *h, int64_t pitch, char *target, char *taps)
{
    NAME(element) acc = h[0];
    CP_VECTOR divisor = acc.value;
    int is_inverse = 0;
    CP_EACH(
        t, window, if (t > 0) {
            NAME(element) x = h[t * pitch];
            x.tap = V(add)(x.tap, V(set1)((CP_ELEMENT)(t * s->tap_row)));
            acc = NAME(combine_elements)(fold, acc, x);
        });
    if (fold == CP_SUM) {
        divisor = NAME(divisor)(extent, s, row, block->i, block->at.n, &is_inverse);
    }
    NAME(finish)(fold, acc, divisor, is_inverse, 0.0, (CP_ELEMENT *)(void *)target + block->i, taps + block->i,
                 extent == NAME(FULL) ? V(N) : block->at.n);
}

CP_TEMPLATE void NAME(march)(int fold, int extent, int window, int log_stride, int step, int blocks, const cp_strip *s,
                             const cp_strip_planes *planes, int64_t plane, const NAME(block) *block)
{
    const char *source = planes->source + plane * planes->source_step + s->first_row * s->source_row;
    char *target = planes->target + plane * planes->target_step + s->rows[0].target;
    char *taps = cp_behind(planes->taps, plane * planes->taps_step + s->rows[0].taps);
    NAME(element) h[4][NAME(MARCH)]; /* CP_EACH has four, some of them idle */
    int64_t row = s->first_row;
    CP_EACH(
        t, window,
        if (t >= step) { /* as a row before the first would have left it */
                         CP_EACH(u, blocks,
                                 h[t][u] = NAME(march_source)(fold, extent, window, log_stride, s, source, row, &block[u].at));
                         row++;
                         source += s->source_row;
        });
    for (int64_t r = 0; r < s->row_count; r++) {
        CP_EACH(t, window, if (t >= step) { CP_EACH(u, blocks, h[t >= step ? t - step : 0][u] = h[t][u]); });
        CP_EACH(
            t, window, if (t >= window - step) {
                CP_EACH(u, blocks,
                        h[t][u] = NAME(march_source)(fold, extent, window, log_stride, s, source, row, &block[u].at));
                row++;
                source += s->source_row;
            });
        CP_EACH(u, blocks,
                NAME(march_target)(fold, extent, window, s, &s->rows[r], &block[u], &h[0][u], NAME(MARCH), target, taps));
        target += s->target_row;
        taps += s->taps_row;
    }
}

/* Windows as high as wide, in a plane of its own; step rows down from one to the next. */
CP_TEMPLATE void NAME(march_all)(int fold, int window, int log_stride, int step, const cp_strip *s,
                                 const cp_strip_planes *planes)
{
    NAME(block) block[NAME(MARCH)];
    NAME(lanes) lanes;
    NAME(find_lanes)(&lanes, s, log_stride);
    const NAME(full) full = NAME(full_blocks)(s, &lanes);
    for (int64_t i = s->begin, next; i < s->end; i = next) {
        const int64_t left = (s->end - i + V(N) - 1) / V(N);
        /* Masks of few lanes take longer than a block by itself. */
        const int alone = V(N) <= 4 && i < full.first;
        const int blocks = alone ? 1 : left >= NAME(MARCH) ? NAME(MARCH) : left >= 2 ? 2 : 1;
        next = i + blocks * V(N);
        for (int u = 0; u < blocks; u++) {
            NAME(find_border)(fold, &block[u], s, &lanes, NAME(block_at)(s, &lanes, i + u * V(N)));
        }
        const int extent = block[0].i >= full.first && block[blocks - 1].i <= full.last ? NAME(FULL) : NAME(SOME_LANES);
        for (int64_t p = 0; p < planes->count; p++) {
            if (extent == NAME(FULL) &&blocks == NAME(MARCH)) {
                NAME(march)(fold, NAME(FULL), window, log_stride, step, NAME(MARCH), s, planes, p, block);
            } else if (blocks == NAME(MARCH)) {
                NAME(march)(fold, NAME(SOME_LANES), window, log_stride, step, NAME(MARCH), s, planes, p, block);
            } else if (blocks == 2) {
                NAME(march)(fold, NAME(SOME_LANES), window, log_stride, step, 2, s, planes, p, block);
            } else {
                NAME(march)(fold, NAME(SOME_LANES), window, log_stride, step, 1, s, planes, p, block);
            }
        }
    }
}

/* ---- Windows of 2x2 side by side, two rows of results in a vector ---- */

/* Whether rows of results are so short, nothing is absent, and all results lie one behind the other. */
CP_TEMPLATE int NAME(fits_pairs)(const cp_strip *s, const cp_strip_planes *planes)
{
    const int64_t results = s->end, rows = s->row_count, row = results * (int64_t)sizeof(CP_ELEMENT);
    return s->begin == 0 && 2 * results <= V(N) &&s->pad == 0 && s->length >= 2 * results && s->first_row >= 0 &&
           s->first_row + 2 * rows <= s->source_rows && s->target_row == row &&
           (planes->count == 1 || planes->target_step == rows * row) &&
           (planes->taps == NULL || (s->taps_row == results && (planes->count == 1 || planes->taps_step == rows * results)));
}

/* The fold of a source row of either row of results. */
CP_TEMPLATE NAME(element)
    NAME(pair_source)(int fold, const char *first, const char *second, V(lanes) there, const V(places) *places, double tap)
{
    const CP_VECTOR zero = V(set1)(0), a = V(load_lanes)((const CP_ELEMENT *)(const void *)first, there, zero);
    const CP_VECTOR b = V(load_lanes)((const CP_ELEMENT *)(const void *)second, there, zero);
    NAME(element) even = {V(pick)(a, b, places[0]), V(set1)((CP_ELEMENT)tap)};
    NAME(element) odd = {V(pick)(a, b, places[1]), V(set1)((CP_ELEMENT)(tap + 1))};
    return NAME(combine_elements)(fold, even, odd);
}

CP_TEMPLATE void NAME(march_pairs)(int fold, const cp_strip *s, const cp_strip_planes *planes)
{
    const int64_t results = s->end, rows = planes->count * s->row_count;
    const V(lanes) there = V(lanes_from)(0, 2 * results);
    const CP_VECTOR divisor = V(set1)((CP_ELEMENT)s->rows[0].divisor);
    int32_t index[2][V(N)];
    for (int32_t l = 0; l < V(N); l++) {
        index[0][l] = l < 2 * results ? (int32_t)(l / results * V(N) + l % results * 2) : 0;
        index[1][l] = index[0][l] + 1;
    }
    const V(places) places[2] = {V(places_from)(index[0]), V(places_from)(index[1])};
    CP_ELEMENT *target = (CP_ELEMENT *)(void *)(planes->target + s->rows[0].target);
    char *taps = cp_behind(planes->taps, s->rows[0].taps);
    const char *plane = planes->source + s->first_row * s->source_row, *source[2];
    for (int64_t r = 0, of_plane = 0; r < rows; r += 2, target += 2 * results, taps = cp_behind(taps, 2 * results)) {
        const int64_t there_are = rows - r < 2 ? 1 : 2;
        for (int64_t k = 0; k < 2; k++) {
            source[k] = k < there_are ? plane + 2 * of_plane * s->source_row : source[0];
            of_plane += k < there_are;
            if (of_plane == s->row_count) {
                of_plane = 0;
                plane += planes->source_step;
            }
        }
        NAME(element) acc = NAME(pair_source)(fold, source[0], source[1], there, places, 0);
        const double tap_row = (double)s->tap_row;
        acc = NAME(combine_elements)(
            fold, acc, NAME(pair_source)(fold, source[0] + s->source_row, source[1] + s->source_row, there, places, tap_row));
        NAME(finish)(fold, acc, divisor, s->rows[0].is_inverse, 0.0, target, taps, there_are * results);
    }
}

/* ---- The elements of a pixel are lanes ---- */

/* Vectors that begin where those of memory do pay for one more of few lanes where a pixel has so many; not where numbers of
 * taps are written as well. */
enum { NAME(FOLD_LEAD_VECTORS) = 12 };

CP_TEMPLATE void NAME(fold_pixel)(int fold, int64_t window, int depth, const cp_strip *s, const NAME(line) *line,
                                  const cp_strip_pixel *pixel, int64_t index, int64_t lead)
{
    double count = pixel->count * line->row->count;
    int is_inverse = cp_is_power_of_two(count);
    CP_VECTOR divisor = V(set1)((CP_ELEMENT)(is_inverse ? 1.0 / count : count));
    NAME(place) at = {pixel->source, window, s->step_bytes, index * s->lanes,
                      V(N),          NULL,   NULL,          V(set1)((CP_ELEMENT)pixel->tap)};
    CP_ELEMENT *target = (CP_ELEMENT *)(void *)(line->target + (s->begin + index) * s->target_pixel);
    char *taps = line->taps + (s->begin + index) * s->taps_pixel;
    for (int64_t c = 0, n = lead;; n = s->lanes - c) { /* ahead of vectors, and behind them */
        if (n > 0) {
            at.n = n;
            NAME(target)(fold, NAME(FIRST_LANES), window, 0, depth, line, &at, divisor, is_inverse, target + c, taps + c, n);
            at.source += n * (int64_t)sizeof(CP_ELEMENT);
            at.ring += n;
            c += n;
        }
        for (; c + V(N) <= s->lanes; c += V(N)) {
            NAME(target)(fold, NAME(FULL), window, 0, depth, line, &at, divisor, is_inverse, target + c, taps + c, V(N));
            at.source += V(N) *(int64_t)sizeof(CP_ELEMENT);
            at.ring += V(N);
        }
        if (c == s->lanes) {
            break;
        }
    }
}

CP_TEMPLATE void NAME(pixels)(int fold, int depth, const cp_strip *s, const cp_strip_planes *planes, CP_ELEMENT *ring)
{
    const int64_t lead =
        NAME(carries_tap)(fold) ? 0 : NAME(lead)(planes->target, s->target_pixel, s->lanes, NAME(FOLD_LEAD_VECTORS));
    ring += lead == 0 ? 0 : V(N) - lead; /* its vectors begin there, too: behind its rows is room for one */
    for (int64_t p = 0; p < planes->count; p++) {
        for (int64_t r = 0; r < s->row_count; r++) {
            NAME(line) line;
            NAME(find_line)(&line, s, planes, p, r, depth, ring);
            for (int64_t i = 0; i < s->end - s->begin; i++) {
                const cp_strip_pixel *pixel = &s->pixels[i];
                if (depth == NAME(FRESH) &&pixel->window == 2) {
                    NAME(fold_pixel)(fold, 2, depth, s, &line, pixel, i, lead);
                } else if (depth == NAME(KEPT) &&pixel->window == 3) {
                    NAME(fold_pixel)(fold, 3, depth, s, &line, pixel, i, lead);
                } else {
                    NAME(fold_pixel)(fold, pixel->window, depth, s, &line, pixel, i, lead);
                }
            }
        }
    }
}

#include "kernels/shared.h"

#include "kernels/shared_columns.h"

/* Vectors of two doubles gain too little by forms of their own for the code that these take. */
enum { NAME(MARCHES) = sizeof(CP_ELEMENT) < sizeof(double) || V(N) >= 4 };

CP_TEMPLATE int NAME(known_form)(int form)
{
    switch (form) {
    case CP_STRIP_2_BY_2:
    case CP_STRIP_3_BY_2: return NAME(MARCHES) ? form : CP_STRIP_ANY_BY_2;
    case CP_STRIP_3_BY_1: return NAME(MARCHES) ? form : CP_STRIP_ANY_BY_1;
    default: return form;
    }
}

CP_TEMPLATE void NAME(strip)(int fold, const cp_strip *given, const cp_strip_planes *planes, void *memory)
{
    const cp_strip own = *given, *s = &own; /* that no store can be thought to change */
    CP_ELEMENT *ring = memory;
    const int is_usual = fold == CP_SUM || fold == CP_MAX || fold == CP_MAX_TAP, has_own = is_usual && NAME(MARCHES);
    switch (NAME(known_form)(s->form)) {
    case CP_STRIP_PIXELS_DEEP: NAME(pixels)(fold, NAME(DEEP), s, planes, ring); break;
    case CP_STRIP_ANY_BY_1: NAME(columns)(fold, s->window, 0, NAME(DEEP), s, planes, ring); break;
    case CP_STRIP_ANY_BY_2: NAME(columns)(fold, s->window, 1, NAME(DEEP), s, planes, ring); break;
    case CP_STRIP_ANY_BY_4: NAME(columns)(fold, s->window, 2, NAME(DEEP), s, planes, ring); break;
    case CP_STRIP_ANY_PICKED: NAME(columns)(fold, s->window, NAME(PICKED), NAME(DEEP), s, planes, ring); break;
    case CP_STRIP_PIXELS_FRESH:
        if (is_usual) {
            NAME(pixels)(fold, NAME(FRESH), s, planes, ring);
        }
        break;
    case CP_STRIP_PIXELS_KEPT:
        if (is_usual) {
            NAME(pixels)(fold, NAME(KEPT), s, planes, ring);
        }
        break;
    case CP_STRIP_2_BY_2:
        if (has_own && NAME(fits_pairs)(s, planes)) {
            NAME(march_pairs)(fold, s, planes);
        } else if (has_own) {
            NAME(march_all)(fold, 2, 1, 2, s, planes);
        }
        break;
    case CP_STRIP_3_BY_1:
        if (has_own) {
            NAME(march_all)(fold, 3, 0, 1, s, planes);
        }
        break;
    case CP_STRIP_3_BY_2:
        if (has_own) {
            NAME(march_all)(fold, 3, 1, 2, s, planes);
        }
        break;
#ifndef CP_LANE_IS_F64
    case CP_STRIP_2_PICKED:
        if (is_usual) {
            NAME(columns)(fold, 2, NAME(PICKED), NAME(KEPT), s, planes, ring);
        }
        break;
    case CP_STRIP_3_PICKED:
        if (is_usual) {
            NAME(columns)(fold, 3, NAME(PICKED), NAME(KEPT), s, planes, ring);
        }
        break;
    case CP_STRIP_ANY_BY_8:
        if (is_usual) {
            NAME(columns)(fold, s->window, 3, NAME(DEEP), s, planes, ring);
        }
        break;
#endif
    default: break;
    }
}

/* Functions of their own, for what compilers keep in registers. */
#define STRIP(instance, fold) \
    CP_OUT_OF_LINE void NAME(instance##_shared_pixels)(const cp_strip *s, const cp_strip_planes *planes, void *memory) \
    { \
        const cp_strip own = *s; \
        NAME(shared)(fold, &own, planes, memory); \
    } \
    CP_OUT_OF_LINE void NAME(instance##_shared_columns)(const cp_strip *s, const cp_strip_planes *planes, void *memory) \
    { \
        const cp_strip own = *s; \
        NAME(columns_shared)(fold, &own, planes, memory); \
    } \
    static void NAME(instance)(const cp_strip *s, const cp_strip_planes *planes, void *ring) \
    { \
        if (s->form == CP_STRIP_PIXELS_SHARED) { \
            NAME(instance##_shared_pixels)(s, planes, ring); \
        } else if (s->form == CP_STRIP_COLUMNS_SHARED) { \
            NAME(instance##_shared_columns)(s, planes, ring); \
        } else { \
            NAME(strip)(fold, s, planes, ring); \
        } \
    }
STRIP(strip_sum, CP_SUM)
STRIP(strip_max, CP_MAX)
STRIP(strip_min, CP_MIN)
STRIP(strip_max_tap, CP_MAX_TAP)
STRIP(strip_min_tap, CP_MIN_TAP)
#undef STRIP
