/* Large windows of one plane, the elements of a pixel lanes: what neighbouring windows share is folded once. Level k of a row
 * is, at every place, the fold of the 2^k elements from there on, made of two of level k - 1; the fold of a window is that of a
 * few of those (cp_strip_terms). Rows that have been folded along have levels of the same kind downwards. As rows are copied
 * anyway, elements may be floats of double lanes, or to be divided, and taps may be of more than a byte. */

typedef struct NAME(shared_row) {
    const CP_ELEMENT *value, *tap;
} NAME(shared_row);

/* Pixels of a row; lanes from one to the next, those of taps are s->span apart. */
typedef struct NAME(shared_level) {
    NAME(shared_row) row;
    int64_t pitch;
} NAME(shared_level);

CP_TEMPLATE NAME(shared_row) NAME(shared_pixel)(const cp_strip *s, NAME(shared_level) level, int64_t i)
{
    NAME(shared_row) pixel = {level.row.value + i * level.pitch, level.row.tap + i * s->span};
    return pixel;
}

CP_TEMPLATE NAME(element) NAME(shared_element)(int fold, NAME(shared_row) row, int64_t i)
{
    NAME(element) x;
    x.value = V(load)(row.value + i);
    x.tap = NAME(carries_tap)(fold) ? V(load)(row.tap + i) : x.value;
    return x;
}

CP_TEMPLATE void NAME(shared_store)(int fold, const cp_strip *s, CP_ELEMENT *to, NAME(element) x)
{
    V(store)(to, x.value);
    if (NAME(carries_tap)(fold)) {
        V(store)(to + s->second, x.tap);
    }
}

CP_TEMPLATE void NAME(shared_fold)(int fold, const cp_strip *s, CP_ELEMENT *to, NAME(shared_row) a, NAME(shared_row) b,
                                   int64_t n)
{
    for (int64_t i = 0; i < n; i += V(N)) {
        NAME(element) x = NAME(shared_element)(fold, a, i), y = NAME(shared_element)(fold, b, i);
        NAME(shared_store)(fold, s, to + i, NAME(combine_elements)(fold, x, y));
    }
}

/* n elements of a source row, of column i of those that are there; row_count: what is counted of it besides. */
CP_TEMPLATE CP_VECTOR NAME(shared_load)(int fold, const cp_strip *s, const char *p, int64_t i, double row_count, int64_t n)
{
    const CP_VECTOR x = NAME(load_element)(s->floats, p, n);
    if (fold != CP_SUM || s->source_counts == NULL) {
        return x;
    }
    const CP_ELEMENT *counts = (const CP_ELEMENT *)s->source_counts + i;
    const CP_VECTOR along = s->form == CP_STRIP_PIXELS_SHARED ? V(set1)(*counts) : NAME(load)(counts, n, 1.0);
    return V(div)(x, V(mul)(along, V(set1)((CP_ELEMENT)row_count)));
}

CP_TEMPLATE double NAME(shared_row_count)(int fold, const cp_strip *s, int64_t row)
{
    return fold != CP_SUM || s->source_row_counts == NULL ? 1.0 : s->source_row_counts[row];
}

CP_TEMPLATE void NAME(shared_finish)(int fold, const cp_strip *s, NAME(element) x, CP_VECTOR divisor, int is_inverse,
                                     double tap, char *target, char *taps, int64_t n)
{
    CP_PREFETCH_WRITE(target + CP_AHEAD);
    NAME(save_element)(s->floats, target, NAME(result)(fold, x.value, divisor, is_inverse), n);
    if (!NAME(carries_tap)(fold)) {
        return;
    }
    x.tap = V(add)(x.tap, V(set1)((CP_ELEMENT)tap));
    if (s->tap_bytes == 1) {
        V(store_u8)((uint8_t *)taps, x.tap, n);
        return;
    }
    CP_ELEMENT numbers[V(N)];
    int32_t wide[V(N)];
    V(store)(numbers, x.tap);
    for (int64_t l = 0; l < n; l++) { /* behind these there may be anything */
        wide[l] = (int32_t)numbers[l];
    }
    memcpy(taps, wide, (size_t)n * sizeof *wide);
}

CP_TEMPLATE NAME(shared_row) NAME(shared_at)(const cp_strip *s, const CP_ELEMENT *at)
{
    NAME(shared_row) row = {at, at + s->second};
    return row;
}

/* The elements of a source row that windows read, with identities where there are none. */
CP_TEMPLATE NAME(shared_level)
    NAME(shared_source)(int fold, const cp_strip *s, const char *source, double row_count, CP_ELEMENT *memory)
{
    const double identity = cp_fold_identity(fold, 0);
    const int64_t size = NAME(element_size)(s->floats), ahead = s->source_rows > 1 ? s->source_row : 0;
    NAME(shared_level) level = {NAME(shared_at)(s, memory), s->span};
    if (s->there == s->reach && s->lanes == s->span && s->step_bytes % size == 0 && !s->floats && s->source_counts == NULL) {
        level.row.value = (const CP_ELEMENT *)(const void *)source;
        level.pitch = s->step_bytes / size;
        for (int64_t j = 0; j < s->there && level.pitch > s->span; j++, source += s->step_bytes) {
            for (int64_t l = 0; l < s->span; l += V(N)) { /* pieces of pixels, which processors do not foresee */
                CP_PREFETCH(source + ahead + l * size);
            }
        }
        return level;
    }
    const int64_t behind = s->before + s->there;
    NAME(fill)(memory, identity, s->before * s->span);
    NAME(fill)(memory + behind * s->span, identity, (s->reach - behind) * s->span);
    memory += s->before * s->span;
    for (int64_t j = 0; j < s->there; j++, source += s->step_bytes, memory += s->span) {
        for (int64_t l = 0; l < s->span; l += V(N)) {
            const int64_t n = s->lanes - l < V(N) ? s->lanes - l : V(N);
            CP_PREFETCH(source + ahead + l * size);
            V(store)(memory + l, n > 0 ? NAME(shared_load)(fold, s, source + l * size, j, row_count, n) : V(set1)(0));
        }
    }
    return level;
}

/* Element i of a fold of some rows; `count` of them, 0 if that is not known here. */
CP_TEMPLATE NAME(element) NAME(shared_terms)(int fold, int count, int most, const NAME(shared_row) *term, int64_t i)
{
    NAME(element) acc = NAME(shared_element)(fold, term[0], i);
    for (int t = 1; t < (count == 0 ? most : count); t++) {
        acc = NAME(combine_elements)(fold, acc, NAME(shared_element)(fold, term[t], i));
    }
    return acc;
}

CP_TEMPLATE void NAME(shared_run)(int fold, int count, int most, const cp_strip *s, const NAME(shared_row) *term, double number,
                                  CP_ELEMENT *to, int64_t n)
{
    for (int64_t i = 0; i < n; i += V(N)) {
        NAME(element) x = NAME(shared_terms)(fold, count, most, term, i);
        x.tap = NAME(carries_tap)(fold) ? V(add)(x.tap, V(set1)((CP_ELEMENT)number)) : x.tap;
        NAME(shared_store)(fold, s, to + i, x);
    }
}

/* Element i of the fold of 2^k pixels, of which `at` is the first, by halves; k is even, as it is in sums. */
CP_TEMPLATE NAME(element)
    NAME(apart_block)(int fold, const cp_strip *s, NAME(shared_level) level, int64_t at, int32_t k, int64_t i)
{
    enum { FOURS = 1 << (CP_STRIP_LEVELS - 1 - 2) };
    NAME(element) part[FOURS], four[4];
    if (k == 0) {
        return NAME(shared_element)(fold, NAME(shared_pixel)(s, level, at), i);
    }
    int fours = 1 << (k - 2);
    for (int b = 0; b < fours; b++, at += 4) {
        CP_EACH(e, 4, four[e] = NAME(shared_element)(fold, NAME(shared_pixel)(s, level, at + e), i));
        part[b] = NAME(combine_elements)(fold, NAME(combine_elements)(fold, four[0], four[1]),
                                         NAME(combine_elements)(fold, four[2], four[3]));
    }
    for (; fours > 1; fours /= 2) {
        for (int b = 0; b < fours / 2; b++) {
            part[b] = NAME(combine_elements)(fold, part[2 * b], part[2 * b + 1]);
        }
    }
    return part[0];
}

/* A source row, folded along for every target, of windows that share little. */
CP_TEMPLATE void NAME(apart_along)(int fold, const cp_strip *s, NAME(shared_level) level, double number, CP_ELEMENT *to)
{
    cp_strip_terms terms = {0, {0}, {0}};
    int64_t known = -1;
    for (int64_t i = 0; i < s->end - s->begin; i++, to += s->span) {
        const cp_strip_pixel *pixel = &s->pixels[i];
        if (pixel->window != known) {
            known = pixel->window;
            terms = cp_strip_find_terms(1, known);
        }
        for (int64_t l = 0; l < s->span; l += V(N)) {
            NAME(element) x = NAME(apart_block)(fold, s, level, pixel->source, terms.level[0], l);
            for (int t = 1; t < terms.count; t++) {
                x = NAME(combine_elements)(fold, x,
                                           NAME(apart_block)(fold, s, level, pixel->source + terms.at[t], terms.level[t], l));
            }
            x.tap = NAME(carries_tap)(fold) ? V(add)(x.tap, V(set1)((CP_ELEMENT)number)) : x.tap;
            NAME(shared_store)(fold, s, to + l, x);
        }
    }
}

/* A source row, folded along for every target, with the number of its taps. */
CP_TEMPLATE void NAME(shared_along)(int fold, const cp_strip *s, const char *source, int64_t row, CP_ELEMENT *memory,
                                    CP_ELEMENT *to)
{
    const double number = (double)(row * s->tap_row);
    NAME(shared_level) level[CP_STRIP_LEVELS];
    level[0] = NAME(shared_source)(fold, s, source, NAME(shared_row_count)(fold, s, row), memory);
    if (s->levels->apart) {
        NAME(apart_along)(fold, s, level[0], number, to);
        return;
    }
    for (int k = 0; k < s->levels->last[1]; k++) {
        const int64_t half = INT64_C(1) << k, step = s->levels->step[1][k + 1], places = s->reach - 2 * half + 1;
        const int64_t run = step == 1 && level[k].pitch == s->span ? places : 1;
        CP_ELEMENT *next = memory + (k + 1) * s->reach * s->span;
        level[k + 1] = (NAME(shared_level)){NAME(shared_at)(s, next), s->span};
        for (int64_t j = 0; j < places; j += step * run) {
            NAME(shared_fold)(fold, s, next + j * s->span, NAME(shared_pixel)(s, level[k], j),
                              NAME(shared_pixel)(s, level[k], j + half), run * s->span);
        }
    }
    const int64_t targets = s->end - s->begin;
    NAME(shared_row) term[CP_STRIP_TERMS];
    cp_strip_terms terms = {0, {0}, {0}};
    int64_t known = -1;
    int32_t lowest = 0;
    for (int64_t i = 0, next; i < targets; to += (next - i) * s->span, i = next) { /* windows in a row of a size */
        const cp_strip_pixel *pixel = &s->pixels[i];
        if (pixel->window != known) {
            known = pixel->window;
            if (fold == CP_SUM) {
                terms = cp_strip_find_terms(1, known);
                lowest = terms.level[terms.count - 1];
            } else {
                lowest = cp_strip_level(known);
            }
        }
        for (next = i + 1; next < targets && level[lowest].pitch == s->span && s->pixels[next].window == known &&
                           s->pixels[next].source == pixel->source + next - i;) {
            next++;
        }
        if (fold == CP_SUM) {
            for (int t = 0; t < terms.count; t++) {
                term[t] = NAME(shared_pixel)(s, level[terms.level[t]], pixel->source + terms.at[t]);
            }
            NAME(shared_run)(fold, 0, terms.count, s, term, number, to, (next - i) * s->span);
        } else {
            term[0] = NAME(shared_pixel)(s, level[lowest], pixel->source);
            term[1] = NAME(shared_pixel)(s, level[lowest], pixel->source + known - (1 << lowest));
            NAME(shared_run)(fold, 2, 2, s, term, number, to, (next - i) * s->span);
        }
    }
}

CP_TEMPLATE CP_ELEMENT *NAME(shared_slot)(const cp_strip *s, CP_ELEMENT *memory, int level, int64_t row)
{
    return memory + s->levels->at[level] + (row & (s->levels->slots[level] - 1)) * s->ring_pitch;
}

/* How many rows from `row` on are in slots one after another, of `most`. */
CP_TEMPLATE int64_t NAME(shared_slots)(const cp_strip *s, int level, int64_t row, int64_t most)
{
    const int64_t slots = s->levels->slots[level], left = slots - (row & (slots - 1));
    return left < most ? left : most;
}

/* Makes the folds of rows downwards whose last one is among `count` from `row` on, all of
 * which are in their slots; rows from `from` on are known. Rows have n lanes. */
CP_TEMPLATE void NAME(shared_down)(int fold, const cp_strip *s, int64_t from, int64_t row, int64_t count, CP_ELEMENT *memory,
                                   int64_t n)
{
    for (int k = 0; k < s->levels->last[0]; k++) {
        const int64_t half = INT64_C(1) << k, first = row - 2 * half + 1, step = s->levels->step[0][k + 1];
        for (int64_t start = first < from ? from : first, run; start < first + count; start += run) {
            run = step == 1 ? first + count - start : 1;
            if (start % step != 0) {
                continue;
            }
            run = NAME(shared_slots)(s, k, start, run);
            run = NAME(shared_slots)(s, k, start + half, run);
            run = NAME(shared_slots)(s, k + 1, start, run);
            NAME(shared_row) low = NAME(shared_at)(s, NAME(shared_slot)(s, memory, k, start));
            NAME(shared_row) high = NAME(shared_at)(s, NAME(shared_slot)(s, memory, k, start + half));
            NAME(shared_fold)(fold, s, NAME(shared_slot)(s, memory, k + 1, start), low, high, (run - 1) * s->ring_pitch + n);
        }
    }
}

/* Makes source row `row` known, of which those from `from` on have been. */
CP_TEMPLATE void NAME(shared_feed)(int fold, const cp_strip *s, const char *source, int64_t from, int64_t row,
                                   CP_ELEMENT *memory)
{
    const int64_t n = (s->end - s->begin) * s->span, place = s->first_row + row;
    CP_ELEMENT *to = NAME(shared_slot)(s, memory, 0, row);
    if (place >= 0 && place < s->source_rows) {
        NAME(shared_along)(fold, s, source + row * s->source_row, row, memory, to);
    } else {
        NAME(fill)(to, cp_fold_identity(fold, 0), n);
    }
    NAME(shared_down)(fold, s, from, row, 1, memory, n);
}

/* The folds that a row of targets is made of. */
CP_TEMPLATE int NAME(shared_find_rows)(int fold, const cp_strip *s, const cp_strip_row *row, CP_ELEMENT *memory,
                                       NAME(shared_row) *term)
{
    const cp_strip_terms terms = cp_strip_find_terms(fold == CP_SUM, row->rows);
    for (int t = 0; t < terms.count; t++) {
        term[t] = NAME(shared_at)(s, NAME(shared_slot)(s, memory, terms.level[t], row->first + terms.at[t]));
    }
    return terms.count;
}

CP_TEMPLATE void NAME(shared_pixels)(int fold, int count, int most, const cp_strip *s, const cp_strip_row *row,
                                     const NAME(shared_row) *term, char *target, char *taps)
{
    const double tap = row->tap - (double)(row->first * s->tap_row);
    const int64_t size = NAME(element_size)(s->floats);
    for (int64_t i = 0; i < s->end - s->begin; i++) {
        const cp_strip_pixel *pixel = &s->pixels[i];
        const double number = pixel->count * row->count;
        const int is_inverse = cp_is_power_of_two(number);
        const CP_VECTOR divisor = V(set1)((CP_ELEMENT)(is_inverse ? 1.0 / number : number));
        char *to = target + (s->begin + i) * s->target_pixel;
        for (int64_t l = 0; l < s->lanes; l += V(N)) {
            NAME(shared_finish)(fold, s, NAME(shared_terms)(fold, count, most, term, i * s->span + l), divisor, is_inverse,
                                tap + (double)(pixel->tap - pixel->source), to + l * size,
                                cp_behind(taps, (s->begin + i) * s->taps_pixel + l * s->tap_bytes),
                                s->lanes - l < V(N) ? s->lanes - l : V(N));
        }
    }
}

CP_TEMPLATE void NAME(shared_targets)(int fold, const cp_strip *s, const cp_strip_row *row, char *target, char *taps,
                                      CP_ELEMENT *memory)
{
    NAME(shared_row) term[CP_STRIP_TERMS];
    const int count = NAME(shared_find_rows)(fold, s, row, memory, term);
    NAME(shared_pixels)(fold, fold == CP_SUM ? 0 : 2, count, s, row, term, target, taps);
}

CP_TEMPLATE void NAME(shared)(int fold, const cp_strip *s, const cp_strip_planes *planes, CP_ELEMENT *memory)
{
    for (int64_t j = 0; j < s->reach && NAME(carries_tap)(fold); j++) {
        NAME(fill)(memory + s->second + j * s->span, (double)j, s->span);
    }
    for (int64_t p = 0; p < planes->count; p++) {
        int64_t from = 0, next = 0;
        for (int64_t r = 0; r < s->row_count; r++) {
            const cp_strip_row *row = &s->rows[r];
            if (row->kept == 0) {
                from = next = row->first;
            }
            for (; next < row->first + row->rows; next++) {
                NAME(shared_feed)(fold, s, planes->source + p * planes->source_step + row->source, from, next, memory);
            }
            NAME(shared_targets)(fold, s, row, planes->target + p * planes->target_step + row->target,
                                 cp_behind(planes->taps, p * planes->taps_step + row->taps), memory);
        }
    }
}
