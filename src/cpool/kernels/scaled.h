/* Sums of numbers of any magnitude, f64 lanes: row 0 * 2^row 1, row 1 an integer. Only powers of two are ever scaled by, so the
 * bits do not depend on what a summand is scaled to. */

CP_TEMPLATE NAME(state) scaled_add(NAME(state) a, NAME(state) b)
{
    vf64 top = vf64_max(a.row[1], b.row[1]);
    a.row[0] = vf64_add(vf64_mul(a.row[0], vf64_pow2_down(vf64_sub(a.row[1], top))),
                        vf64_mul(b.row[0], vf64_pow2_down(vf64_sub(b.row[1], top))));
    a.row[1] = top;
    return a;
}

/* Of the elements a_i of a window with maximum m, for one exponent p:
 *   rows 0, 1   log2 m as hi + lo             (-CP_FAR, 0: no element but zeros)
 *   rows 2, 3   m^p as row 2 * 2^row 3
 *   row 4       sum of (a_i / m)^p without the maximum itself
 *   row 5       sum of (a_i / m)^p log2(a_i / m)
 * All terms of a row have one sign, so nothing cancels, and one element alone gives exact zeros. */
CP_TEMPLATE NAME(state) entropy_merge(NAME(state) a, NAME(state) b)
{
    vf64_mask above = vf64_mask_or(vf64_gt(b.row[0], a.row[0]),
                                   vf64_mask_and(vf64_eq(b.row[0], a.row[0]), vf64_gt(b.row[1], a.row[1])));
    NAME(state) high, low;
    for (int r = 0; r < CP_ENTROPY_ROWS; r++) {
        high.row[r] = vf64_select(above, b.row[r], a.row[r]);
        low.row[r] = vf64_select(above, a.row[r], b.row[r]);
    }
    vf64 zero = vf64_set1(0.0);
    vf64 log_ratio = vf64_add(vf64_sub(low.row[0], high.row[0]), vf64_sub(low.row[1], high.row[1]));
    vf64 ratio = vf64_mul(vf64_div(low.row[2], high.row[2]), vf64_pow2_down(vf64_sub(low.row[3], high.row[3])));
    ratio = vf64_select(vf64_eq(high.row[2], zero), zero, ratio);
    vf64 sum = vf64_add(vf64_set1(1.0), low.row[4]);
    high.row[4] = vf64_add(high.row[4], vf64_mul(ratio, sum));
    high.row[5] = vf64_add(high.row[5], vf64_mul(ratio, vf64_add(low.row[5], vf64_mul(sum, log_ratio))));
    return high;
}
