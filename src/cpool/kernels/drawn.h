/* Elements drawn from small windows of floats, in float lanes: the sums that are compared
 * are so near those in double that only windows in which two of them lie next to each other
 * could be decided otherwise. These become NaN, as windows that float cannot sum do. */

#define NAME_DRAWN(kernel) CP_GLUE(CP_GLUE(drawn_, kernel), CP_GLUE(_, CP_ISA_NAME))

/* Probabilities but for a factor; NaN stays. */
CP_TEMPLATE vf32 NAME_DRAWN(share)(const float *tap, int64_t n)
{
    return vf32_max(n == vf32_N ? vf32_load(tap) : vf32_load_n(tap, n, 0.0f), vf32_set1(0.0f));
}

/* Windows from the i-th on, n of them, at most a vector; returns what is drawn. Of k taps both sums are within (k - 1) 2^-24 of
 * the whole, u and its product within 2^-24 each, and what the comparisons round is 3 of these: all together less than (k + 1)
 * 2^-22. Taps are written out `each` at a time, which divides them. */
CP_TEMPLATE vf32 NAME_DRAWN(vector)(int64_t taps, int each, const cp_drawn_row *row, int64_t i, int64_t n)
{
    vf32 zero = vf32_set1(0.0f), one = vf32_set1(1.0f), slack = vf32_set1((float)(taps + 1) * 0x1p-22f);
    vf32 whole = zero, running = zero, y = zero, at = vf32_set1(-1.0f);
    vf32 u = n == vf32_N ? vf32_load(row->u + i) : vf32_load_n(row->u + i, n, 0.0f);
    for (int64_t from = 0; from < taps; from += each) {
        CP_UNROLL
        for (int t = 0; t < each; t++) {
            whole = vf32_add(whole, NAME_DRAWN(share)(row->tap[from + t] + i, n));
        }
    }
    vf32 aim = vf32_mul(u, whole), near = vf32_mul(slack, whole);
    for (int64_t from = 0; from < taps; from += each) {
        CP_UNROLL
        for (int t = 0; t < each; t++) {
            vf32 share = NAME_DRAWN(share)(row->tap[from + t] + i, n);
            vf32_mask on = vf32_gt(aim, running);
            running = vf32_add_where(on, running, share);
            at = vf32_add_where(on, at, one);
            y = vf32_select(on, share, y);
        }
    }
    vf32_mask sure = vf32_mask_and(vf32_gt(vf32_sub(running, aim), near), vf32_gt(vf32_sub(aim, vf32_sub(running, y)), near));
    vf32_mask fine = vf32_mask_and(vf32_gt(whole, vf32_set1(CP_DRAWN_LEAST)), vf32_gt(vf32_set1((float)cp_infinity()), whole));
    y = vf32_select(vf32_mask_or(vf32_mask_and(sure, fine), vf32_eq(whole, zero)), y, vf32_set1((float)cp_nan()));
    if (n == vf32_N) {
        vf32_store(row->y + i, y);
        vf32_store(row->at + i, at);
    } else {
        vf32_store_n(row->y + i, y, n);
        vf32_store_n(row->at + i, at, n);
    }
    return y;
}

/* Returns whether a result is NaN. */
CP_TEMPLATE int NAME_DRAWN(row)(int64_t taps, int each, const cp_drawn_row *row)
{
    vf32 left = vf32_set1(0.0f);
    int64_t i = 0;
    for (; i + vf32_N <= row->n; i += vf32_N) {
        vf32 y = NAME_DRAWN(vector)(taps, each, row, i, vf32_N);
        left = vf32_select(vf32_isnan(y), y, left);
    }
    if (i < row->n) {
        vf32 y = NAME_DRAWN(vector)(taps, each, row, i, row->n - i);
        left = vf32_select(vf32_isnan(y), y, left);
    }
    return vf32_any_nan(left);
}

static int NAME_DRAWN(windows)(const cp_drawn_row *row)
{
    switch (row->taps) {
    case 4: return NAME_DRAWN(row)(4, 4, row);
    case 9: return NAME_DRAWN(row)(9, 9, row);
    default: return NAME_DRAWN(row)(row->taps, 1, row);
    }
}
#undef NAME_DRAWN
