/* The largest or smallest elements of whole planes, and where the first of these is if that is asked for: of planes that lie in
 * one piece each, or of pixels whose elements are lanes. Any order gives the same values, as zeros become +0. */

/* The first of equals, whichever of the two is the earlier one. */
CP_TEMPLATE NAME(element) NAME(combine_either)(int fold, NAME(element) a, NAME(element) b)
{
    NAME(element) x = NAME(combine_elements)(fold, a, b);
    if (NAME(carries_tap)(fold)) {
        x.tap = V(min)(x.tap, NAME(combine_elements)(fold, b, a).tap);
    }
    return x;
}

/* Of N vectors, the lanes of each folded by halves: lane i is that of vector i. */
CP_TEMPLATE NAME(element) NAME(fold_across)(int fold, NAME(element) *v)
{
    CP_UNROLL for (int half = V(N) / 2; half > 0; half /= 2)
    {
        CP_UNROLL for (int i = 0; i < half; i++)
        {
            NAME(element) low, high;
            V(zip)(v[i].value, v[i + half].value, &low.value, &high.value);
            low.tap = high.tap = low.value;
            if (NAME(carries_tap)(fold)) {
                V(zip)(v[i].tap, v[i + half].tap, &low.tap, &high.tap);
            }
            v[i] = NAME(combine_either)(fold, low, high);
        }
    }
    return v[0];
}

/* Of n elements, at least one, those in every N-th lane; lanes: the numbers of the first N. */
CP_TEMPLATE NAME(element) NAME(extreme_lanes)(int fold, const CP_ELEMENT *x, CP_VECTOR lanes, int64_t n)
{
    const double identity = cp_fold_identity(fold, 0);
    NAME(element) best[4], next;
    CP_EACH(q, 4, best[q].value = V(set1)((CP_ELEMENT)identity); best[q].tap = V(set1)(0));
    int64_t i = 0;
    for (; i + 4 * V(N) <= n; i += 4 * V(N)) {
        CP_EACH(q, 4, {
            next.value = V(load)(x + i + q * V(N));
            next.tap = V(add)(lanes, V(set1)((CP_ELEMENT)(i + q * V(N))));
            best[q] = NAME(combine_elements)(fold, best[q], next);
        });
    }
    for (; i < n; i += V(N)) {
        next.value = NAME(load)(x + i, n - i < V(N) ? n - i : V(N), identity);
        next.tap = V(add)(lanes, V(set1)((CP_ELEMENT)i));
        best[0] = NAME(combine_elements)(fold, best[0], next);
    }
    best[0] = NAME(combine_either)(fold, best[0], best[1]);
    return NAME(combine_either)(fold, best[0], NAME(combine_either)(fold, best[2], best[3]));
}

CP_TEMPLATE void NAME(save_extremes)(int fold, NAME(element) x, CP_ELEMENT *best, CP_ELEMENT *taps, int64_t n)
{
    NAME(save)(best, V(add)(x.value, V(set1)(0)), n); /* -0 becomes +0 */
    if (NAME(carries_tap)(fold)) {
        NAME(save)(taps, x.tap, n);
    }
}

CP_TEMPLATE void NAME(extremes_of_planes)(int fold, const cp_whole *w, const char *x, CP_ELEMENT *best, CP_ELEMENT *taps)
{
    const int64_t elements = w->size[0] * w->size[1] * w->size[2];
    CP_ELEMENT numbers[V(N)];
    NAME(iota)(numbers, 0, V(N));
    const CP_VECTOR lanes = V(load)(numbers);
    for (int64_t p = 0; p < w->count; p += V(N)) {
        const int64_t planes = w->count - p < V(N) ? w->count - p : V(N);
        const char *plane = x + p * w->x_step;
        NAME(element) v[V(N)];
        v[0] = NAME(extreme_lanes)(fold, (const CP_ELEMENT *)(const void *)plane, lanes, elements);
        for (int64_t i = 1; i < V(N); i++) {
            plane += i < planes ? w->x_step : 0;
            v[i] = i < planes ? NAME(extreme_lanes)(fold, (const CP_ELEMENT *)(const void *)plane, lanes, elements) : v[0];
        }
        NAME(save_extremes)(fold, NAME(fold_across)(fold, v), best + p, taps + p, planes);
    }
}

/* Pixels of a row, from number `tap` on, to N lanes, n of which there are. */
CP_TEMPLATE void NAME(extremes_of_row)(int fold, const cp_whole *w, const char *x, double tap, CP_ELEMENT *best,
                                       CP_ELEMENT *taps, int64_t n)
{
    NAME(element) acc = {NAME(load)(best, n, 0.0), V(set1)(0)}, next;
    if (NAME(carries_tap)(fold)) {
        acc.tap = NAME(load)(taps, n, 0.0);
    }
    const int64_t ahead = w->size[1] > 1 ? w->step[1] : 0; /* steps of an axis that makes none may be any number */
    for (int64_t c = 0; c < w->size[2]; c++, x += w->step[2]) {
        CP_PREFETCH(x + ahead);
        next.value = NAME(load)((const CP_ELEMENT *)(const void *)x, n, 0.0);
        next.tap = V(set1)((CP_ELEMENT)(tap + (double)c));
        acc = NAME(combine_elements)(fold, acc, next);
    }
    NAME(save_extremes)(fold, acc, best, taps, n);
}

CP_TEMPLATE void NAME(extremes_of_pixels)(int fold, const cp_whole *w, const char *x, CP_ELEMENT *best, CP_ELEMENT *taps)
{
    NAME(fill)(best, cp_fold_identity(fold, 0), w->count);
    NAME(fill)(taps, 0.0, w->count);
    for (int64_t d = 0; d < w->size[0]; d++) {
        for (int64_t h = 0; h < w->size[1]; h++) {
            const double tap = (double)((d * w->size[1] + h) * w->size[2]);
            const char *row = x + d * w->step[0] + h * w->step[1];
            int64_t l = 0;
            for (; l + V(N) <= w->count; l += V(N)) {
                NAME(extremes_of_row)(fold, w, row + l * w->x_step, tap, best + l, taps + l, V(N));
            }
            if (l < w->count) {
                NAME(extremes_of_row)(fold, w, row + l * w->x_step, tap, best + l, taps + l, w->count - l);
            }
        }
    }
}

#define EXTREME(name, fold) \
    static void NAME(name)(const cp_whole *given, const char *x, void *best, void *taps) \
    { \
        const cp_whole own = *given; /* that no store can be thought to change */ \
        if (own.pixels) { \
            NAME(extremes_of_pixels)(fold, &own, x, best, taps); \
        } else { \
            NAME(extremes_of_planes)(fold, &own, x, best, taps); \
        } \
    }
EXTREME(whole_max, CP_MAX)
EXTREME(whole_min, CP_MIN)
EXTREME(whole_max_tap, CP_MAX_TAP)
EXTREME(whole_min_tap, CP_MIN_TAP)
#undef EXTREME
