/* Weighted sums of rows: what filters are made of. */

static void NAME(weigh)(double *dst, const double *const *rows, const double *weights, int64_t count, int64_t n)
{
    int64_t i = 0;
    for (; i + 2 * V(N) <= n; i += 2 * V(N)) {
        CP_VECTOR a = V(set1)(0), b = V(set1)(0);
        for (int64_t t = 0; t < count; t++) {
            CP_VECTOR weight = V(set1)(weights[t]);
            a = V(add)(a, V(mul)(weight, V(load)(rows[t] + i)));
            b = V(add)(b, V(mul)(weight, V(load)(rows[t] + i + V(N))));
        }
        V(store)(dst + i, a);
        V(store)(dst + i + V(N), b);
    }
    for (; i < n; i += V(N)) {
        int64_t m = n - i < V(N) ? n - i : V(N);
        CP_VECTOR a = V(set1)(0);
        for (int64_t t = 0; t < count; t++) {
            a = V(add)(a, V(mul)(V(set1)(weights[t]), NAME(load)(rows[t] + i, m, 0.0)));
        }
        NAME(save)(dst + i, a, m);
    }
}
