/* The largest or smallest elements of whole planes, each of which lies in one piece. Any order gives the same bits, as zeros
 * become +0. */

CP_TEMPLATE CP_VECTOR NAME(combine_values)(int fold, CP_VECTOR a, CP_VECTOR b)
{
    NAME(element) x = {a, a}, y = {b, b};
    return NAME(combine_elements)(fold, x, y).value;
}

/* Of N vectors, the lanes of each folded by halves: lane i is that of vector i. */
CP_TEMPLATE CP_VECTOR NAME(fold_across)(int fold, CP_VECTOR *v)
{
    CP_UNROLL for (int half = V(N) / 2; half > 0; half /= 2)
    {
        CP_UNROLL for (int i = 0; i < half; i++)
        {
            CP_VECTOR low, high;
            V(zip)(v[i], v[i + half], &low, &high);
            v[i] = NAME(combine_values)(fold, low, high);
        }
    }
    return v[0];
}

/* Of n elements, at least one, those in every N-th lane. */
CP_TEMPLATE CP_VECTOR NAME(extreme_lanes)(int fold, const CP_ELEMENT *x, int64_t n)
{
    const double identity = cp_fold_identity(fold, 0);
    CP_VECTOR best[4];
    CP_EACH(q, 4, best[q] = V(set1)((CP_ELEMENT)identity));
    for (; n >= 4 * V(N); n -= 4 * V(N), x += 4 * V(N)) {
        CP_EACH(q, 4, best[q] = NAME(combine_values)(fold, best[q], V(load)(x + q * V(N))));
    }
    for (; n > 0; n -= V(N), x += V(N)) {
        best[0] = NAME(combine_values)(fold, best[0], NAME(load)(x, n < V(N) ? n : V(N), identity));
    }
    return NAME(combine_values)(fold, NAME(combine_values)(fold, best[0], best[1]),
                                NAME(combine_values)(fold, best[2], best[3]));
}

CP_TEMPLATE void NAME(extremes)(int fold, const cp_whole *w, const char *x, int64_t n, CP_ELEMENT *best)
{
    for (int64_t p = 0; p < w->count; p += V(N), best += V(N)) {
        const int64_t planes = w->count - p < V(N) ? w->count - p : V(N);
        const char *plane = x + p * w->x_step;
        CP_VECTOR v[V(N)];
        v[0] = NAME(extreme_lanes)(fold, (const CP_ELEMENT *)(const void *)plane, n);
        for (int64_t i = 1; i < V(N); i++) {
            plane += i < planes ? w->x_step : 0;
            v[i] = i < planes ? NAME(extreme_lanes)(fold, (const CP_ELEMENT *)(const void *)plane, n) : v[0];
        }
        NAME(save)(best, V(add)(NAME(fold_across)(fold, v), V(set1)(0)), planes); /* -0 becomes +0 */
    }
}

static void NAME(whole_max)(const cp_whole *given, const char *x, int64_t n, void *best)
{
    const cp_whole own = *given; /* that no store can be thought to change */
    NAME(extremes)(CP_MAX, &own, x, n, best);
}

static void NAME(whole_min)(const cp_whole *given, const char *x, int64_t n, void *best)
{
    const cp_whole own = *given;
    NAME(extremes)(CP_MIN, &own, x, n, best);
}
