/* Elementwise maps of Lp pooling, f64 lanes. A power is kept as mantissa * 2^exponent (kernels/scaled.h), so no data and no p
 * overflow, and one pow per element serves every window that holds it. */

#define NAME_LP(kernel) CP_GLUE(lp_##kernel##_, CP_ISA_NAME)

enum { CP_ONE = 1, CP_SQUARE = 2, CP_ANY = 0 }; /* exponents with an exact form of their own */

/* Beyond 2^100 a power of anything but 1 is 0 or infinite in every sense, and products with it are still finite; below 1e-300 a
 * root is. */
CP_TEMPLATE vf64 NAME_LP(bounded)(vf64 p)
{
    return vf64_min(vf64_max(p, vf64_set1(1e-300)), vf64_set1(0x1p100));
}

/* a^q of a >= 0 as mantissa and exponent; 0 for a = 0 whatever q. */
CP_TEMPLATE void NAME_LP(power)(int kind, vf64 a, vf64 q, vf64 *mantissa, vf64 *exponent)
{
    vf64 hi, lo, m, e;
    if (kind != CP_ANY) {
        vf64_frexp(a, mantissa, exponent);
        if (kind == CP_SQUARE) {
            *mantissa = vf64_mul(*mantissa, *mantissa);
            *exponent = vf64_add(*exponent, *exponent);
        }
        return;
    }
    vf64_log2_dd(a, &hi, &lo);
    vf64_mul_dd(&hi, &lo, q);
    vf64_exp2_dd(hi, lo, &m, &e);
    vf64_mask none = vf64_eq(a, vf64_set1(0.0));
    *mantissa = vf64_select(none, vf64_set1(0.0), m);
    *exponent = vf64_select(none, vf64_set1(-CP_FAR), e);
}

/* With an exponent of its own for every lane, lanes whose exponent has an exact form take it, as a row of one exponent does. */
CP_TEMPLATE void NAME_LP(powers)(int kind, vf64 a, vf64 q, int mixed, vf64 *mantissa, vf64 *exponent)
{
    NAME_LP(power)(kind, a, q, mantissa, exponent);
    if (mixed) {
        for (int exact = CP_ONE; exact <= CP_SQUARE; exact++) {
            vf64 m, e;
            vf64_mask here = vf64_eq(q, vf64_set1((double)exact));
            NAME_LP(power)(exact, a, q, &m, &e);
            *mantissa = vf64_select(here, m, *mantissa);
            *exponent = vf64_select(here, e, *exponent);
        }
    }
}

CP_TEMPLATE vf64 NAME_LP(load)(const double *p, int64_t n, double fill)
{
    return n == vf64_N ? vf64_load(p) : vf64_load_n(p, n, fill);
}

CP_TEMPLATE void NAME_LP(save)(double *p, vf64 v, int64_t n)
{
    if (n == vf64_N) {
        vf64_store(p, v);
    } else {
        vf64_store_n(p, v, n);
    }
}

CP_TEMPLATE vf64 NAME_LP(exponents)(cp_exponent p, int64_t i, int64_t n)
{
    return p.step == 0 ? vf64_set1(*p.p) : NAME_LP(load)(p.p + i, n, 1.0);
}

CP_TEMPLATE void NAME_LP(map_kind)(int kind, int mixed, double *dst, int64_t pitch, const double *x, int64_t n, cp_exponent p)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 mantissa, exponent;
        NAME_LP(powers)(kind, vf64_abs(NAME_LP(load)(x + i, m, 1.0)), NAME_LP(bounded)(NAME_LP(exponents)(p, i, m)), mixed,
                        &mantissa, &exponent);
        NAME_LP(save)(dst + i, mantissa, m);
        NAME_LP(save)(dst + pitch + i, exponent, m);
    }
}

/* |x|^p */
static void NAME_LP(map)(double *dst, int64_t pitch, const double *x, int64_t n, cp_exponent p)
{
    if (p.step != 0) {
        NAME_LP(map_kind)(CP_ANY, 1, dst, pitch, x, n, p);
    } else if (*p.p == 1.0) {
        NAME_LP(map_kind)(CP_ONE, 0, dst, pitch, x, n, p);
    } else if (*p.p == 2.0) {
        NAME_LP(map_kind)(CP_SQUARE, 0, dst, pitch, x, n, p);
    } else {
        NAME_LP(map_kind)(CP_ANY, 0, dst, pitch, x, n, p);
    }
}

/* The entropy state of single elements. */
static void NAME_LP(map_entropy)(double *dst, int64_t pitch, const double *x, int64_t n, cp_exponent p)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 a = vf64_abs(NAME_LP(load)(x + i, m, 1.0)), hi, lo, zero = vf64_set1(0.0), one = vf64_set1(1.0);
        vf64_log2_dd(a, &hi, &lo);
        vf64 rows[CP_ENTROPY_ROWS] = {a, hi, lo, NAME_LP(bounded)(NAME_LP(exponents)(p, i, m)), one, zero, zero, zero};
        for (int r = 0; r < CP_ENTROPY_ROWS; r++) {
            NAME_LP(save)(dst + r * pitch + i, rows[r], m);
        }
    }
}

/* log2(mantissa 2^exponent) as hi + lo */
CP_TEMPLATE void NAME_LP(log2_scaled)(vf64 mantissa, vf64 exponent, vf64 *hi, vf64 *lo)
{
    vf64 h, l;
    vf64_log2_dd(mantissa, &h, &l);
    vf64 sum = vf64_add(exponent, h), back = vf64_sub(sum, exponent); /* two-sum: exact whichever is larger */
    vf64 rest = vf64_add(vf64_sub(exponent, vf64_sub(sum, back)), vf64_sub(h, back));
    rest = vf64_add(rest, l);
    *hi = vf64_add(sum, rest);
    *lo = vf64_sub(rest, vf64_sub(*hi, sum));
}

CP_TEMPLATE vf64 NAME_LP(root_of)(int kind, vf64 mantissa, vf64 exponent, vf64 p)
{
    vf64 hi, lo;
    if (kind == CP_SQUARE) {
        vf64 round = vf64_set1(0x1.8p52); /* adding and subtracting it rounds to an integer */
        vf64 half = vf64_sub(vf64_add(vf64_mul(exponent, vf64_set1(0.5)), round), round);
        vf64 odd = vf64_sub(exponent, vf64_add(half, half)); /* -1, 0 or 1 */
        mantissa = vf64_select(vf64_gt(odd, vf64_set1(0.0)), vf64_add(mantissa, mantissa), mantissa);
        mantissa = vf64_select(vf64_gt(vf64_set1(0.0), odd), vf64_mul(mantissa, vf64_set1(0.5)), mantissa);
        return vf64_scale(vf64_sqrt(mantissa), half);
    }
    if (kind == CP_ONE) {
        return vf64_scale(mantissa, exponent);
    }
    vf64 none = vf64_set1(0.0), zero = mantissa;
    NAME_LP(log2_scaled)(mantissa, exponent, &hi, &lo);
    vf64_div_dd(&hi, &lo, p);
    vf64_exp2_dd(hi, lo, &mantissa, &exponent);
    return vf64_select(vf64_eq(zero, none), none, vf64_scale(mantissa, exponent));
}

CP_TEMPLATE void NAME_LP(root_kind)(int kind, int mixed, double *sum, int64_t pitch, int64_t n, cp_exponent p, double count)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 q = NAME_LP(bounded)(NAME_LP(exponents)(p, i, m));
        vf64 mantissa = NAME_LP(load)(sum + i, m, 1.0), exponent = NAME_LP(load)(sum + pitch + i, m, 0.0);
        if (count > 0) {
            mantissa = vf64_div(mantissa, vf64_set1(count));
        }
        vf64 y = NAME_LP(root_of)(kind, mantissa, exponent, q);
        if (mixed) {
            for (int exact = CP_ONE; exact <= CP_SQUARE; exact++) {
                y = vf64_select(vf64_eq(q, vf64_set1((double)exact)), NAME_LP(root_of)(exact, mantissa, exponent, q), y);
            }
        }
        NAME_LP(save)(sum + i, y, m);
    }
}

/* (sum / count)^(1/p), or with count 0 sum^(1/p), into row 0. */
static void NAME_LP(root)(double *sum, int64_t pitch, int64_t n, cp_exponent p, double count)
{
    if (p.step != 0) {
        NAME_LP(root_kind)(CP_ANY, 1, sum, pitch, n, p, count);
    } else if (*p.p == 1.0) {
        NAME_LP(root_kind)(CP_ONE, 0, sum, pitch, n, p, count);
    } else if (*p.p == 2.0) {
        NAME_LP(root_kind)(CP_SQUARE, 0, sum, pitch, n, p, count);
    } else {
        NAME_LP(root_kind)(CP_ANY, 0, sum, pitch, n, p, count);
    }
}

/* What a window passes to its elements, dy y^(1 - p) / count, as mantissa and exponent in place of its sum; 0 where y is 0. */
static void NAME_LP(window_gradient)(double *sum, int64_t pitch, const double *dy, int64_t n, cp_exponent p, double count)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 q = NAME_LP(bounded)(NAME_LP(exponents)(p, i, m)), hi, lo, power, scale, d_mantissa, d_exponent;
        vf64 mantissa = NAME_LP(load)(sum + i, m, 1.0), exponent = NAME_LP(load)(sum + pitch + i, m, 0.0);
        vf64 d = NAME_LP(load)(dy + i, m, 0.0);
        vf64_mask none = vf64_eq(mantissa, zero);
        if (count > 0) {
            mantissa = vf64_div(mantissa, vf64_set1(count));
        }
        NAME_LP(log2_scaled)(mantissa, exponent, &hi, &lo);
        vf64_div_dd(&hi, &lo, q);
        vf64_mul_dd(&hi, &lo, vf64_sub(vf64_set1(1.0), q));
        vf64_exp2_dd(hi, lo, &power, &scale);
        vf64_frexp(vf64_abs(d), &d_mantissa, &d_exponent);
        power = vf64_mul(power, vf64_select(vf64_gt(zero, d), vf64_sub(zero, d_mantissa), d_mantissa));
        if (count > 0) {
            power = vf64_div(power, vf64_set1(count));
        }
        none = vf64_mask_or(none, vf64_eq(d, zero));
        NAME_LP(save)(sum + i, vf64_select(none, zero, power), m);
        NAME_LP(save)(sum + pitch + i, vf64_select(none, vf64_set1(-CP_FAR), vf64_add(scale, d_exponent)), m);
    }
}

CP_TEMPLATE void NAME_LP(input_gradient_kind)(int kind, double *sum, int64_t pitch, const double *x, int64_t n, cp_exponent p)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 q = vf64_sub(NAME_LP(bounded)(NAME_LP(exponents)(p, i, m)), one), power, scale;
        vf64 v = NAME_LP(load)(x + i, m, 0.0);
        NAME_LP(powers)(kind, vf64_abs(v), q, p.step != 0, &power, &scale);
        power = vf64_mul(power, NAME_LP(load)(sum + i, m, 0.0));
        power = vf64_scale(power, vf64_add(scale, NAME_LP(load)(sum + pitch + i, m, 0.0)));
        power = vf64_select(vf64_gt(zero, v), vf64_sub(zero, power), power);
        NAME_LP(save)(sum + i, vf64_select(vf64_eq(v, zero), zero, power), m);
    }
}

/* sign(x) |x|^(p - 1) times the sum of what the windows passed, into row 0; 0 where x is 0. */
static void NAME_LP(input_gradient)(double *sum, int64_t pitch, const double *x, int64_t n, cp_exponent p)
{
    if (p.step == 0 && *p.p == 2.0) {
        NAME_LP(input_gradient_kind)(CP_ONE, sum, pitch, x, n, p);
    } else if (p.step == 0 && *p.p == 3.0) {
        NAME_LP(input_gradient_kind)(CP_SQUARE, sum, pitch, x, n, p);
    } else {
        NAME_LP(input_gradient_kind)(CP_ANY, sum, pitch, x, n, p);
    }
}

/* dy (y / p) (Q / T - log(T or T / count) / p), with T = sum (a / m)^p and Q = sum (a / m)^p log(a / m), into row 0. */
static void NAME_LP(exponent_gradient)(double *entropy, int64_t pitch, const double *dy, int64_t n, cp_exponent p, double count)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 row[CP_ENTROPY_ROWS], log, hi, lo, mantissa, exponent;
        for (int r = 0; r < CP_ENTROPY_ROWS; r++) {
            row[r] = NAME_LP(load)(entropy + r * pitch + i, m, 0.0);
        }
        vf64 q = NAME_LP(bounded)(NAME_LP(exponents)(p, i, m)), total = vf64_add(one, row[5]), share = total;
        log = vf64_log1p(row[5]);
        if (count > 0) { /* T / count is 1 - below */
            vf64 below = vf64_div(row[6], vf64_set1(count)), above = vf64_sub(one, below);
            vf64_mask close = vf64_gt(vf64_set1(0.5), below);
            share = vf64_div(total, vf64_set1(count));
            log = vf64_select(close, vf64_sub(zero, vf64_log1p(vf64_div(below, above))), vf64_log(share));
            share = vf64_select(close, above, share);
        }
        NAME_LP(log2_scaled)(share, zero, &hi, &lo);
        vf64_div_dd(&hi, &lo, q);
        vf64 sum = vf64_add(row[1], hi), back = vf64_sub(sum, row[1]);
        lo = vf64_add(vf64_add(vf64_sub(row[1], vf64_sub(sum, back)), vf64_sub(hi, back)), vf64_add(lo, row[2]));
        vf64_exp2_dd(sum, lo, &mantissa, &exponent);
        vf64 term = vf64_sub(vf64_div(vf64_mul(row[7], vf64_set1(CP_LN2)), total), vf64_div(log, q));
        term = vf64_mul(vf64_div(term, q), NAME_LP(load)(dy + i, m, 0.0));
        term = vf64_mul(term, vf64_scale(mantissa, exponent));
        NAME_LP(save)(entropy + i, vf64_select(vf64_eq(row[0], zero), zero, term), m);
    }
}

static const cp_lp_kernels NAME_LP(table) = {
    NAME_LP(map),
    NAME_LP(map_entropy),
    NAME_LP(root),
    NAME_LP(window_gradient),
    NAME_LP(input_gradient),
    NAME_LP(exponent_gradient),
};
#undef NAME_LP
