/* The same where neighbouring columns are lanes, in steps of 1: what is absent of a row is there as identities, so that all
 * windows of a row are of one size. Some rows at once are folded along, level after level, as if they were one: what has just
 * been stored is not read at another place right away, which processors wait for. */

/* Identities around the rows, and the numbers that their elements have. Absent elements
 * have that of the first one: it is selected where all are the identity. */
CP_TEMPLATE void NAME(columns_prepare)(int fold, const cp_strip *s, CP_ELEMENT *memory)
{
    const cp_strip_levels *levels = s->levels;
    NAME(fill)(memory, cp_fold_identity(fold, 0), levels->pitch);
    for (int64_t r = 0; r < levels->at_once && NAME(carries_tap)(fold); r++) {
        CP_ELEMENT *places = memory + s->second + r * levels->row;
        NAME(fill)(places, 0.0, levels->row);
        for (int64_t j = 0; j < s->reach; j++, places += s->step) {
            NAME(fill)(places, (double)(r * s->tap_row + (j < s->before ? s->before : j)), s->step);
        }
    }
}

CP_TEMPLATE void NAME(columns_copy)(int fold, const cp_strip *s, const char *source, int64_t row, CP_ELEMENT *to)
{
    const int64_t n = s->there * s->step, size = NAME(element_size)(s->floats);
    const double row_count = NAME(shared_row_count)(fold, s, row);
    int64_t i = 0;
    for (; i + V(N) <= n; i += V(N)) {
        V(store)(to + i, NAME(shared_load)(fold, s, source + i * size, i, row_count, V(N)));
    }
    if (i < n) {
        V(store_n)(to + i, NAME(shared_load)(fold, s, source + i * size, i, row_count, n - i), n - i);
    }
}

/* Makes `count` source rows from `row` on known, of which those from `from` on have been. */
CP_TEMPLATE void NAME(columns_feed)(int fold, const cp_strip *s, const char *source, int64_t from, int64_t row, int64_t count,
                                    CP_ELEMENT *memory)
{
    const cp_strip_levels *levels = s->levels;
    const int64_t first = s->first_row + row;
    for (int64_t r = 0; r < count; r++) {
        if (first + r >= 0 && first + r < s->source_rows) {
            NAME(columns_copy)(fold, s, source + (row + r) * s->source_row, row + r,
                               memory + r * levels->row + s->before * s->step);
        }
    }
    const int64_t all = count * levels->row;
    for (int k = 0; k < levels->last[1]; k++) {
        const CP_ELEMENT *level = memory + k * levels->pitch;
        const int64_t half = s->step << k;
        NAME(shared_fold)(fold, s, memory + (k + 1) * levels->pitch, NAME(shared_at)(s, level),
                          NAME(shared_at)(s, level + half), all - 2 * half + s->step);
    }
    const cp_strip_terms terms = cp_strip_find_terms(fold == CP_SUM, s->window);
    const double number = (double)(row * s->tap_row);
    for (int64_t r = 0, run; r < count; r += run) {
        run = NAME(shared_slots)(s, 0, row + r, count - r);
        const int64_t n = run * levels->row - (s->window - 1) * s->step;
        CP_ELEMENT *to = NAME(shared_slot)(s, memory, 0, row + r);
        NAME(shared_row) term[CP_STRIP_TERMS];
        for (int t = 0; t < terms.count; t++) {
            term[t] = NAME(shared_at)(s, memory + terms.level[t] * levels->pitch + r * levels->row + terms.at[t] * s->step);
        }
        if (fold == CP_SUM) {
            NAME(shared_run)(fold, 0, terms.count, s, term, number, to, n);
        } else {
            NAME(shared_run)(fold, 2, 2, s, term, number, to, n);
        }
    }
    for (int64_t r = 0; r < count; r++) {
        if (first + r < 0 || first + r >= s->source_rows) {
            NAME(fill)(NAME(shared_slot)(s, memory, 0, row + r), cp_fold_identity(fold, 0), levels->row);
        }
    }
    NAME(shared_down)(fold, s, from, row, count, memory, s->end - s->begin);
}

CP_TEMPLATE void NAME(columns_targets)(int fold, const cp_strip *s, const cp_strip_row *row, char *target, char *taps,
                                       CP_ELEMENT *memory)
{
    NAME(shared_row) term[CP_STRIP_TERMS];
    const int count = NAME(shared_find_rows)(fold, s, row, memory, term);
    const double tap = row->tap - (double)(row->first * s->tap_row);
    const int64_t size = NAME(element_size)(s->floats);
    target += s->begin * size;
    taps = cp_behind(taps, s->begin * s->tap_bytes);
    for (int64_t i = 0; i < s->end - s->begin; i += V(N)) {
        const int64_t left = s->end - s->begin - i, n = left < V(N) ? left : V(N);
        int is_inverse;
        CP_VECTOR divisor = NAME(divisor)(NAME(SOME_LANES), s, row, s->begin + i, n, &is_inverse);
        NAME(element) x = NAME(shared_terms)(fold, fold == CP_SUM ? 0 : 2, count, term, i);
        if (NAME(carries_tap)(fold)) {
            x.tap = V(sub)(x.tap, NAME(load)((const CP_ELEMENT *)s->first_tap + i, n, 0.0));
        }
        NAME(shared_finish)(fold, s, x, divisor, is_inverse, tap, target + i * size, cp_behind(taps, i * s->tap_bytes), n);
    }
}

CP_TEMPLATE void NAME(columns_shared)(int fold, const cp_strip *s, const cp_strip_planes *planes, CP_ELEMENT *memory)
{
    NAME(columns_prepare)(fold, s, memory);
    for (int64_t p = 0; p < planes->count; p++) {
        int64_t from = 0, next = 0, end = 0;
        for (int64_t r = 0; r < s->row_count; r++) {
            const cp_strip_row *row = &s->rows[r], *last = row;
            if (row->kept == 0) { /* `end`: of the rows that windows hold before there is another such row */
                from = next = row->first;
                for (; last + 1 < s->rows + s->row_count && last[1].kept > 0; last++) {
                }
                end = last->first + last->rows;
            }
            while (next < row->first + row->rows) {
                const int64_t count = end - next < s->levels->at_once ? end - next : s->levels->at_once;
                NAME(columns_feed)(fold, s, planes->source + p * planes->source_step + row->source, from, next, count, memory);
                next += count;
            }
            NAME(columns_targets)(fold, s, row, planes->target + p * planes->target_step + row->target,
                                  cp_behind(planes->taps, p * planes->taps_step + row->taps), memory);
        }
    }
}
