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

/* Of the elements a_i of a window with maximum m, for one exponent p; r_i = a_i / m:
 *   row 0       m
 *   rows 1, 2   log2 m as hi + lo
 *   row 3       p
 *   row 4       number of elements
 *   row 5       sum of r_i^p without the maximum itself, exact to the last bits where the others hardly count
 *   row 6       sum of 1 - r_i^p, exact to the last bits where all are nearly equal
 *   row 7       sum of r_i^p log2 r_i
 * All terms of a row have one sign, so nothing cancels, and one element alone, or equal ones, give exact zeros. */
CP_OUT_OF_LINE NAME(state) NAME(entropy_merge)(NAME(state) a, NAME(state) b)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    vf64_mask above = vf64_gt(b.row[0], a.row[0]);
    NAME(state) high, low;
    for (int r = 0; r < CP_ENTROPY_ROWS; r++) {
        high.row[r] = vf64_select(above, b.row[r], a.row[r]);
        low.row[r] = vf64_select(above, a.row[r], b.row[r]);
    }
    high.row[3] = vf64_max(high.row[3], low.row[3]); /* of no element it is 0 */

    /* log2 of the ratio, as hi + lo; more than half of the maximum: from the difference, which is exact. */
    vf64 hi = vf64_sub(low.row[1], high.row[1]), back = vf64_add(hi, high.row[1]);
    vf64 lo = vf64_sub(vf64_sub(low.row[1], back), vf64_sub(high.row[1], vf64_sub(back, hi)));
    lo = vf64_add(lo, vf64_sub(low.row[2], high.row[2]));
    vf64_mask close = vf64_gt(vf64_add(low.row[0], low.row[0]), high.row[0]);
    vf64 log_ratio = vf64_mul(vf64_log1p(vf64_div(vf64_sub(high.row[0], low.row[0]), low.row[0])), vf64_set1(-CP_LOG2_E));
    log_ratio = vf64_select(close, log_ratio, vf64_add(hi, lo));

    /* ratio = r^p and its distance from 1 */
    vf64 power = vf64_mul(high.row[3], log_ratio), mantissa, exponent;
    vf64_mul_dd(&hi, &lo, high.row[3]);
    vf64_exp2_dd(hi, lo, &mantissa, &exponent);
    vf64 ratio = vf64_scale(mantissa, exponent), rest = vf64_sub(one, ratio);
    close = vf64_mask_and(vf64_gt(low.row[0], zero), vf64_gt(power, vf64_set1(-0.5)));
    rest = vf64_select(close, vf64_sub(zero, vf64_exp2m1(power)), rest);
    ratio = vf64_select(close, vf64_sub(one, rest), ratio);

    vf64 sum = vf64_add(one, low.row[5]);
    high.row[5] = vf64_add(high.row[5], vf64_mul(ratio, sum));
    high.row[6] = vf64_add(high.row[6], vf64_add(vf64_mul(low.row[4], rest), vf64_mul(ratio, low.row[6])));
    high.row[7] = vf64_add(high.row[7], vf64_mul(ratio, vf64_add(low.row[7], vf64_mul(sum, log_ratio))));
    high.row[4] = vf64_add(high.row[4], low.row[4]);
    return high;
}
