/* Elementary functions of double lanes, from the primitives of isa/vec_*.h only: the same bits on every instruction set.
 *
 * Powers are 2^(p log2 x). An error of 2^-53 in an exponent near 1000 would be 1000 times that in the power, so
 * logarithms travel as two words, hi + lo with |lo| <= ulp(hi) / 2 ("dd"), and powers as a mantissa and an exponent in a
 * double of its own: nothing over- or underflows until vf64_scale puts the two together.
 *
 * A product of two doubles is exact where both have 26 bits. That is what vf64_top is for: the leading terms are cut to
 * 26 bits, multiplied exactly, and everything cut off joins the small words, where one rounding is 2^-26 times less. In
 * comments u = 2^-53.
 *
 * Every bit pattern gives some result without undefined behaviour; what is promised is promised for the arguments named. */
#ifndef CP_KERNELS_MATH_H
#define CP_KERNELS_MATH_H

#include "kernels/math_constants.h"
#include "kernels/template.h"

/* CP_FAR is the exponent and the logarithm of infinity, -CP_FAR of 0. Adding an ordinary number to it may not matter, so
 * anything beyond half of it is "far"; and far stays far under any power. For an ordinary x, log2 x * p must not get
 * there: |p| <= CP_FAR / 2^12. */

#define CP_ONE_BITS 0x3ff0000000000000u
#define CP_TOP_BITS 0xfffffffff8000000u /* sign, exponent, and 26 of the 53 bits of the mantissa */

CP_VEC vf64 vf64_mad(vf64 a, vf64 b, vf64 c)
{
    return vf64_add(vf64_mul(a, b), c);
}

CP_VEC vf64 vf64_top(vf64 x)
{
    return vf64_from_bits(vf64_int_and(vf64_bits(x), vf64_int_set1(CP_TOP_BITS)));
}

/* hi + lo with |hi| >= |lo|, or hi = 0, as dd. */
CP_VEC void vf64_renormalize(vf64 *hi, vf64 *lo)
{
    vf64 sum = vf64_add(*hi, *lo);
    *lo = vf64_sub(*lo, vf64_sub(sum, *hi));
    *hi = sum;
}

/* 2^e, -1023 < e < 1024; 0 for e = -1023: 2^52 + n has the integer n in its low bits. */
CP_VEC vf64 vf64_pow2(vf64 e)
{
    return vf64_from_bits(vf64_int_shl(vf64_bits(vf64_add(e, vf64_set1(0x1p52 + 1023.0))), 52));
}

/* x = mantissa * 2^exponent, exactly, with the mantissa in [base, 2 base), 1/2 <= base <= 1,
 * of a normal x; `bias` is 2^52 + 1023, and as much more as the exponent is to be less. */
CP_VEC void vf64_reduce_normal(vf64 x, vf64 bias, uint64_t base_bits, vf64 *mantissa, vf64 *exponent)
{
    vf64_int bits = vf64_bits(x), biased = vf64_int_shr(vf64_int_add(bits, vf64_int_set1(CP_ONE_BITS - base_bits)), 52);
    vf64 shifted = vf64_from_bits(vf64_int_add(biased, vf64_bits(vf64_set1(0x1p52))));
    *mantissa = vf64_from_bits(vf64_int_add(vf64_int_sub(bits, vf64_int_shl(biased, 52)), vf64_int_set1(CP_ONE_BITS)));
    *exponent = vf64_sub(shifted, bias);
}

/* The same of any x, 0 < x < infinity. */
CP_VEC void vf64_reduce(vf64 x, uint64_t base_bits, vf64 *mantissa, vf64 *exponent)
{
    vf64_mask denormal = vf64_gt(vf64_set1(0x1p-1022), x);
    vf64 bias = vf64_select(denormal, vf64_set1(0x1p52 + 1077.0), vf64_set1(0x1p52 + 1023.0));
    vf64_reduce_normal(vf64_select(denormal, vf64_mul(x, vf64_set1(0x1p54)), x), bias, base_bits, mantissa, exponent);
}

/* x >= 0 as mantissa * 2^exponent, mantissa in [1, 2), exactly. 0: 0 and -CP_FAR; infinity: infinity and CP_FAR; NaN: NaN
 * and 0. */
CP_VEC void vf64_frexp(vf64 x, vf64 *mantissa, vf64 *exponent)
{
    vf64 infinity = vf64_set1(cp_infinity()), zero = vf64_set1(0.0);
    vf64_mask number = vf64_mask_and(vf64_gt(x, zero), vf64_gt(infinity, x));
    vf64 far = vf64_select(vf64_eq(x, zero), vf64_set1(-CP_FAR), vf64_select(vf64_eq(x, infinity), vf64_set1(CP_FAR), zero));
    vf64_reduce(x, CP_ONE_BITS, mantissa, exponent);
    *mantissa = vf64_select(number, *mantissa, x);
    *exponent = vf64_select(number, *exponent, far);
}

/* 2^d for an integer d <= 0: exact down to 2^-1022, 0 below. */
CP_VEC vf64 vf64_pow2_down(vf64 d)
{
    vf64 least = vf64_set1(-1023.0);
    return vf64_pow2(vf64_select(vf64_gt(d, least), d, least));
}

/* m * 2^e for any m and any integer e, rounded once; m = 0, infinity and NaN stay what they are, whatever e.
 * m is brought to [1, 2) first: then its product with 2^-1022 or more is a normal number and exact, and only the second
 * factor, which is 1 unless the result is denormal, 0 or infinite, may round. */
CP_VEC vf64 vf64_scale(vf64 m, vf64 e)
{
    vf64 infinity = vf64_set1(cp_infinity());
    vf64 size = vf64_abs(m), least = vf64_set1(-1022.0), most = vf64_set1(1023.0), unit, exponent, first, second;
    vf64_int sign = vf64_int_sub(vf64_bits(m), vf64_bits(size));
    vf64_mask number = vf64_mask_and(vf64_gt(size, vf64_set1(0.0)), vf64_gt(infinity, size));

    vf64_reduce(size, CP_ONE_BITS, &unit, &exponent);
    exponent = vf64_add(exponent, e);
    exponent = vf64_select(vf64_gt(exponent, vf64_set1(-1100.0)), exponent, vf64_set1(-1100.0));
    exponent = vf64_select(vf64_gt(exponent, vf64_set1(1100.0)), vf64_set1(1100.0), exponent);
    first = vf64_select(vf64_gt(least, exponent), least, vf64_select(vf64_gt(exponent, most), most, exponent));
    second = vf64_sub(exponent, first);
    unit = vf64_mul(vf64_mul(unit, vf64_pow2(first)), vf64_pow2(second));
    return vf64_select(number, vf64_from_bits(vf64_int_add(vf64_bits(unit), sign)), m);
}

/* log2 x for x >= 0 as dd, relative error below 2^-62, exact for powers of two. 0: -CP_FAR; infinity: CP_FAR; NaN: NaN.
 *
 * x = m 2^k, sqrt(1/2) <= m < sqrt(2), s = (m - 1) / (m + 1), z = s^2 < 0.03:
 * log2 m = 2/ln2 atanh(s) = s (C0 + z (C1 + z Q(z))). z^2 Q is 2^-12 of the bracket: a double will do. Of each other factor
 * the leading 26 bits (..t) and the rest (..r). */
CP_VEC void vf64_log2_dd(vf64 x, vf64 *hi, vf64 *lo)
{
    vf64 infinity = vf64_set1(cp_infinity()), zero = vf64_set1(0.0), one = vf64_set1(1.0);
    vf64_mask number = vf64_mask_and(vf64_gt(x, zero), vf64_gt(infinity, x));
    vf64 m, k, f, d, dt, dr, inverse, s, st, sr, zt, zr, z, zz, even, odd, q, c, ct, cr, product, small;

    vf64_reduce(x, CP_SQRT_HALF_BITS, &m, &k);
    f = vf64_sub(m, one);
    d = vf64_add(m, one);
    dt = vf64_top(d);
    dr = vf64_sub(m, vf64_sub(dt, one));
    inverse = vf64_div(one, d);
    s = vf64_mul(f, inverse);
    st = vf64_top(s);
    sr = vf64_mul(vf64_sub(vf64_sub(f, vf64_mul(st, dt)), vf64_mul(st, dr)), inverse);

    product = vf64_mul(st, st);
    small = vf64_mul(sr, vf64_add(vf64_add(st, st), sr));
    zt = vf64_top(product);
    zr = vf64_add(vf64_sub(product, zt), small);

    z = vf64_mul(s, s);
    zz = vf64_mul(z, z);
    even = vf64_mad(vf64_set1(CP_LOG2_Q_6), zz, vf64_set1(CP_LOG2_Q_4));
    odd = vf64_mad(vf64_set1(CP_LOG2_Q_7), zz, vf64_set1(CP_LOG2_Q_5));
    even = vf64_mad(even, zz, vf64_set1(CP_LOG2_Q_2));
    odd = vf64_mad(odd, zz, vf64_set1(CP_LOG2_Q_3));
    even = vf64_mad(even, zz, vf64_set1(CP_LOG2_Q_0));
    odd = vf64_mad(odd, zz, vf64_set1(CP_LOG2_Q_1));
    q = vf64_mad(z, vf64_mad(odd, z, even), vf64_set1(CP_LOG2_C1_LO));

    c = vf64_add(vf64_set1(CP_LOG2_C1_HI), q);
    ct = vf64_top(c);
    cr = vf64_add(vf64_sub(vf64_set1(CP_LOG2_C1_HI), ct), q);

    product = vf64_mul(zt, ct);
    small = vf64_add(vf64_mad(zt, cr, vf64_mul(zr, c)), vf64_set1(CP_LOG2_C0_LO));
    c = vf64_add(vf64_set1(CP_LOG2_C0_HI), vf64_add(product, small));
    ct = vf64_top(c);
    cr = vf64_add(vf64_add(vf64_sub(vf64_set1(CP_LOG2_C0_HI), ct), product), small);

    product = vf64_mul(st, ct);
    small = vf64_mad(st, cr, vf64_mul(sr, c));
    vf64_renormalize(&k, &product);
    small = vf64_add(product, small);
    vf64_renormalize(&k, &small);

    k = vf64_select(number, k, vf64_select(vf64_eq(x, zero), vf64_set1(-CP_FAR), x));
    *hi = vf64_select(vf64_eq(x, infinity), vf64_set1(CP_FAR), k);
    *lo = vf64_select(number, small, zero);
}

/* log2 x for a normal x, relative error below 2^-45; of what is none, something. log2 m = s L(z), s and z as above. */
CP_VEC vf64 vf64_log2_near(vf64 x)
{
    vf64 m, k, s, z, zz, even, odd;

    vf64_reduce_normal(x, vf64_set1(0x1p52 + 1023.0), CP_SQRT_HALF_BITS, &m, &k);
    s = vf64_div(vf64_sub(m, vf64_set1(1.0)), vf64_add(m, vf64_set1(1.0)));
    z = vf64_mul(s, s);
    zz = vf64_mul(z, z);
    even = vf64_mad(vf64_set1(CP_LOG2_NEAR_4), zz, vf64_set1(CP_LOG2_NEAR_2));
    odd = vf64_mad(vf64_set1(CP_LOG2_NEAR_5), zz, vf64_set1(CP_LOG2_NEAR_3));
    even = vf64_mad(even, zz, vf64_set1(CP_LOG2_NEAR_0));
    odd = vf64_mad(odd, zz, vf64_set1(CP_LOG2_NEAR_1));
    return vf64_mad(s, vf64_mad(odd, z, even), k);
}

/* (hi + lo) * p for an hi that is not far and |p| <= 2^200, relative error below 2^-103. Where hi is far it stays so:
 * times p where that is beyond 1, else with the sign of p; and 0 for p = 0. */
CP_VEC void vf64_mul_dd(vf64 *hi, vf64 *lo, vf64 p)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0), minus_one = vf64_set1(-1.0);
    vf64 at_least = vf64_select(vf64_mask_and(vf64_gt(p, zero), vf64_gt(one, p)), one, p);
    vf64_mask far = vf64_gt(vf64_abs(*hi), vf64_set1(CP_FAR / 2));
    vf64 at = vf64_top(*hi), ar = vf64_sub(*hi, at), pt = vf64_top(p), pr = vf64_sub(p, pt);
    vf64 product = vf64_mul(*hi, p), rest = vf64_sub(vf64_mul(at, pt), product), power;

    at_least = vf64_select(vf64_mask_and(vf64_gt(zero, p), vf64_gt(p, minus_one)), minus_one, at_least);
    power = vf64_mul(*hi, at_least);
    rest = vf64_mad(ar, pr, vf64_mad(ar, pt, vf64_mad(at, pr, rest)));
    rest = vf64_mad(*lo, p, rest);
    vf64_renormalize(&product, &rest);
    *hi = vf64_select(far, power, product);
    *lo = vf64_select(far, zero, rest);
}

/* (hi + lo) / p for 1e-300 <= p <= 2^200, relative error below 2^-101. A quotient beyond +-2^100 becomes +-2^100: as the
 * exponent of a result both are 0 or infinity. */
CP_VEC void vf64_div_dd(vf64 *hi, vf64 *lo, vf64 p)
{
    vf64 limit = vf64_set1(0x1p100), minus_limit = vf64_set1(-0x1p100), inverse = vf64_div(vf64_set1(1.0), p);
    vf64 raw = vf64_mul(*hi, inverse);
    vf64_mask above = vf64_gt(raw, limit), below = vf64_gt(minus_limit, raw);
    vf64 quotient = vf64_select(above, limit, vf64_select(below, minus_limit, raw));
    vf64 qt = vf64_top(quotient), qr = vf64_sub(quotient, qt), pt = vf64_top(p), pr = vf64_sub(p, pt), rest;

    rest = vf64_sub(vf64_sub(vf64_sub(vf64_sub(*hi, vf64_mul(qt, pt)), vf64_mul(qt, pr)), vf64_mul(qr, pt)), vf64_mul(qr, pr));
    rest = vf64_select(vf64_mask_or(above, below), vf64_set1(0.0), vf64_mul(vf64_add(rest, *lo), inverse));
    vf64_renormalize(&quotient, &rest);
    *hi = quotient;
    *lo = rest;
}

/* P(f) of 2^f = 1 + f (C1 + f (C2 + f P(f))); ff = f^2. */
CP_VEC vf64 vf64_exp2_tail(vf64 f, vf64 ff)
{
    vf64 even = vf64_mad(vf64_set1(CP_EXP2_P_8), ff, vf64_set1(CP_EXP2_P_6));
    vf64 odd = vf64_mad(vf64_set1(CP_EXP2_P_9), ff, vf64_set1(CP_EXP2_P_7));
    even = vf64_mad(even, ff, vf64_set1(CP_EXP2_P_4));
    odd = vf64_mad(odd, ff, vf64_set1(CP_EXP2_P_5));
    even = vf64_mad(even, ff, vf64_set1(CP_EXP2_P_2));
    odd = vf64_mad(odd, ff, vf64_set1(CP_EXP2_P_3));
    even = vf64_mad(even, ff, vf64_set1(CP_EXP2_P_0));
    odd = vf64_mad(odd, ff, vf64_set1(CP_EXP2_P_1));
    return vf64_mad(odd, f, even);
}

/* 2^f - 1, |f| <= 1/2, relative error below 4 u. */
CP_VEC vf64 vf64_exp2m1(vf64 f)
{
    vf64 ff = vf64_mul(f, f), c1 = vf64_set1(CP_LN2), c2 = vf64_set1(CP_EXP2_C2_HI + CP_EXP2_C2_LO);
    return vf64_mul(f, vf64_add(c1, vf64_mul(f, vf64_mad(f, vf64_exp2_tail(f, ff), c2))));
}

/* 2^x = mantissa * 2^exponent, |x| < 2^50, the mantissa in [0.70, 1.42] with a relative error below 2^-32. NaN: NaN and NaN. */
CP_VEC void vf64_exp2_near(vf64 x, vf64 *mantissa, vf64 *exponent)
{
    vf64 round = vf64_set1(0x3p51), k = vf64_sub(vf64_add(x, round), round), f = vf64_sub(x, k), ff = vf64_mul(f, f);
    vf64 even = vf64_mad(vf64_set1(CP_EXP2_NEAR_6), ff, vf64_set1(CP_EXP2_NEAR_4));
    vf64 odd = vf64_mad(vf64_set1(CP_EXP2_NEAR_5), ff, vf64_set1(CP_EXP2_NEAR_3));
    even = vf64_mad(even, ff, vf64_set1(CP_EXP2_NEAR_2));
    odd = vf64_mad(odd, ff, vf64_set1(CP_EXP2_NEAR_1));
    even = vf64_mad(even, ff, vf64_set1(CP_EXP2_NEAR_0));
    *mantissa = vf64_mad(f, vf64_mad(odd, f, even), vf64_set1(1.0));
    *exponent = k;
}

/* mantissa * 2^exponent of a mantissa in [1/2, 2] and an integer, |exponent| < 1022; of others something. */
CP_VEC vf64 vf64_exp2_flat(vf64 mantissa, vf64 exponent)
{
    return vf64_from_bits(
        vf64_int_add(vf64_bits(mantissa), vf64_int_shl(vf64_bits(vf64_add(exponent, vf64_set1(0x3p51))), 52)));
}

CP_VEC int vf32_any_nan(vf32 x)
{
    float lane[vf32_N];
    int any = 0;
    vf32_store(lane, x);
    for (int l = 0; l < vf32_N; l++) {
        any |= lane[l] != lane[l];
    }
    return any;
}

/* e^(x + rest) in float, |x| <= 64, |rest| below half an ulp of x, within 1.6 * 2^-24 of it: the integer next to x log2 e is
 * the exponent, and comes with its bias to the place of one by way of the last bits of a large float. */
CP_VEC vf32 vf32_exp(vf32 x, vf32 rest)
{
    vf32 one = vf32_set1(1.0f), large = vf32_set1(0x3p22f + 127.0f);
    vf32 biased = vf32_add(vf32_mul(x, vf32_set1((float)CP_LOG2_E)), large), k = vf32_sub(biased, large);
    vf32 r = vf32_sub(x, vf32_mul(k, vf32_set1((float)CP_LN2_FLOAT_TOP)));
    r = vf32_add(vf32_sub(r, vf32_mul(k, vf32_set1((float)CP_LN2_FLOAT_REST))), rest);
    vf32 f = vf32_add(vf32_mul(vf32_set1((float)CP_EXP_F_4), r), vf32_set1((float)CP_EXP_F_3));
    f = vf32_add(vf32_mul(f, r), vf32_set1((float)CP_EXP_F_2));
    f = vf32_add(vf32_mul(f, r), vf32_set1((float)CP_EXP_F_1));
    f = vf32_add(vf32_mul(f, r), vf32_set1((float)CP_EXP_F_0));
    f = vf32_add(one, vf32_add(r, vf32_mul(vf32_mul(r, r), f)));
    return vf32_mul(f, vf32_bits_shl(biased, 23));
}

/* 2^(hi + lo) = mantissa * 2^exponent, the mantissa in [0.70, 1.42] within 0.53 ulp, exactly 1 for integers.
 * |hi| >= 2^52: hi is the exponent and lo is dropped, which is as near as a double can name the exponent.
 * hi far: mantissa 0 or infinity, exponent -CP_FAR or CP_FAR. NaN: NaN and 0.
 *
 * 2^f = 1 + f (C1 + f (C2 + f P(f))), |f| <= 1/2, f = ft + fr. f^2 P is 2^-6 of the bracket: a double will do. */
CP_VEC void vf64_exp2_dd(vf64 hi, vf64 lo, vf64 *mantissa, vf64 *exponent)
{
    /* Next to the first sum doubles are 2 apart, next to the second 1: so the second integer, -1, 0 or 1, corrects the first
     * one, and lo counts. In one step a large lo or a hi beyond 2^51 would leave more than the polynomial is made for. */
    vf64 coarse = vf64_set1(0x3p52), fine = vf64_set1(0x3p51), zero = vf64_set1(0.0), one = vf64_set1(1.0);
    vf64_mask small_enough = vf64_gt(vf64_set1(0x1p52), vf64_abs(hi));
    vf64 k = vf64_select(small_enough, vf64_sub(vf64_add(hi, coarse), coarse), hi);
    vf64 f = vf64_sub(hi, k), g = vf64_select(small_enough, lo, zero), step = vf64_sub(vf64_add(vf64_add(f, g), fine), fine);
    vf64 ft, fr, ff, product, small, c, ct, cr, m;
    vf64_mask zeros = vf64_gt(vf64_set1(-CP_FAR / 2), hi), infinities = vf64_gt(hi, vf64_set1(CP_FAR / 2));

    k = vf64_add(k, step);
    f = vf64_sub(f, step);
    vf64_renormalize(&f, &g);
    ft = vf64_top(f);
    fr = vf64_add(vf64_sub(f, ft), g);

    ff = vf64_mul(f, f);
    small = vf64_mad(ff, vf64_exp2_tail(f, ff), vf64_set1(CP_EXP2_C1_LO));

    product = vf64_mul(ft, vf64_set1(CP_EXP2_C2_HI));
    small = vf64_add(small, vf64_mad(f, vf64_set1(CP_EXP2_C2_LO), vf64_mul(fr, vf64_set1(CP_EXP2_C2_HI))));
    c = vf64_add(vf64_set1(CP_EXP2_C1_HI), vf64_add(product, small));
    ct = vf64_top(c);
    cr = vf64_add(vf64_add(vf64_sub(vf64_set1(CP_EXP2_C1_HI), ct), product), small);

    product = vf64_mul(ft, ct);
    small = vf64_mad(ft, cr, vf64_mul(fr, c));
    m = one;
    vf64_renormalize(&m, &product);
    m = vf64_add(m, vf64_add(product, small));

    m = vf64_select(zeros, zero, m);
    *mantissa = vf64_select(infinities, vf64_set1(cp_infinity()), m);
    k = vf64_select(vf64_isnan(hi), zero, vf64_select(zeros, vf64_set1(-CP_FAR), k));
    *exponent = vf64_select(infinities, vf64_set1(CP_FAR), k);
}

/* log(x) + correction, 0 < x < infinity, the correction below 2 u.
 * log m = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + z R(z))), f = m - 1: f is exact, and what follows it is less. */
CP_VEC vf64 vf64_log_corrected(vf64 x, vf64 correction)
{
    vf64 m, k, f, s, z, zz, even, odd, half, small;

    vf64_reduce(x, CP_SQRT_HALF_BITS, &m, &k);
    f = vf64_sub(m, vf64_set1(1.0));
    s = vf64_div(f, vf64_add(m, vf64_set1(1.0)));
    z = vf64_mul(s, s);
    zz = vf64_mul(z, z);
    even = vf64_mad(vf64_set1(CP_LOG_R_6), zz, vf64_set1(CP_LOG_R_4));
    odd = vf64_mad(vf64_set1(CP_LOG_R_5), zz, vf64_set1(CP_LOG_R_3));
    even = vf64_mad(even, zz, vf64_set1(CP_LOG_R_2));
    odd = vf64_mad(odd, zz, vf64_set1(CP_LOG_R_1));
    even = vf64_mad(even, zz, vf64_set1(CP_LOG_R_0));
    half = vf64_mul(vf64_set1(0.5), vf64_mul(f, f));
    small = vf64_mul(s, vf64_mad(z, vf64_mad(odd, z, even), half));

    correction = vf64_mad(k, vf64_set1(CP_LN2_REST), correction);
    k = vf64_mul(k, vf64_set1(CP_LN2_TOP));
    vf64_renormalize(&k, &f);
    return vf64_sub(k, vf64_sub(half, vf64_add(small, vf64_add(f, correction))));
}

/* log x, relative error below 1.3 u; 0: -infinity; infinity: itself; negative or NaN: NaN. */
CP_VEC vf64 vf64_log(vf64 x)
{
    vf64 infinity = vf64_set1(cp_infinity()), zero = vf64_set1(0.0);
    vf64_mask positive = vf64_gt(x, zero), number = vf64_mask_and(positive, vf64_gt(infinity, x));
    vf64 other = vf64_select(positive, x, vf64_set1(cp_nan()));

    other = vf64_select(vf64_eq(x, zero), vf64_sub(zero, infinity), other);
    return vf64_select(number, vf64_log_corrected(x, zero), other);
}

/* log(1 + r), r >= 0, relative error below 1.6 u. Knuth's sum gives the rounding error of 1 + r exactly; it counts as a
 * correction, and for a small r is the whole result. */
CP_VEC vf64 vf64_log1p(vf64 r)
{
    vf64 one = vf64_set1(1.0), sum = vf64_add(one, r), part = vf64_sub(sum, one);
    vf64 error = vf64_add(vf64_sub(one, vf64_sub(sum, part)), vf64_sub(r, part));
    vf64 result = vf64_log_corrected(sum, vf64_div(error, sum));

    return vf64_select(vf64_eq(r, vf64_set1(cp_infinity())), r, result);
}

#endif
