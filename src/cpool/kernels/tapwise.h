/* Operators that look at their windows tap by tap, f64 lanes: a lane is a window, a row a tap, and n a multiple of every
 * vector. Taps come in row-major order, all at once or block after block; where a block ends changes no bit. Written once for
 * elements that are floats and for doubles, for which alone CP_TAP_EXACT is 1. */

#define NAME_TAP(kernel) CP_GLUE(CP_GLUE(tap_##kernel##_, CP_TAP_ELEMENT), CP_GLUE(_, CP_ISA_NAME))

/* ---- Sums ---- */

/* sum + rest with the rounding errors of the sum in `rest`, whatever the number of terms
 * (Neumaier); of floats there is no rest. */
CP_TEMPLATE void NAME_TAP(add)(vf64 *sum, vf64 *rest, vf64 term)
{
    if (!CP_TAP_EXACT) {
        *sum = vf64_add(*sum, term);
        return;
    }
    vf64 next = vf64_add(*sum, term), part = vf64_sub(next, *sum);
    vf64 error = vf64_add(vf64_sub(*sum, vf64_sub(next, part)), vf64_sub(term, part));
    *rest = vf64_add(*rest, error);
    *sum = next;
}

CP_TEMPLATE vf64 NAME_TAP(total)(vf64 sum, vf64 rest)
{
    vf64 total = vf64_add(sum, rest);
    return !CP_TAP_EXACT ? sum : vf64_select(vf64_isnan(total), sum, total); /* of an infinite sum the errors are NaN */
}

CP_TEMPLATE vf64 NAME_TAP(get)(const cp_tap_windows *w, int row, int64_t i)
{
    return vf64_load(w->state + row * w->n + i);
}

CP_TEMPLATE void NAME_TAP(put)(const cp_tap_windows *w, int row, int64_t i, vf64 value)
{
    vf64_store(w->state + row * w->n + i, value);
}

CP_TEMPLATE void NAME_TAP(add_to_row)(const cp_tap_windows *w, int row, int64_t i, vf64 term)
{
    vf64 sum = NAME_TAP(get)(w, row, i), rest = NAME_TAP(get)(w, row + 1, i);
    NAME_TAP(add)(&sum, &rest, term);
    NAME_TAP(put)(w, row, i, sum);
    if (CP_TAP_EXACT) {
        NAME_TAP(put)(w, row + 1, i, rest);
    }
}

CP_TEMPLATE vf64 NAME_TAP(total_of_row)(const cp_tap_windows *w, int row, int64_t i)
{
    return NAME_TAP(total)(NAME_TAP(get)(w, row, i), NAME_TAP(get)(w, row + 1, i));
}

/* The weight of a tap, or of a tap in a mask. */
CP_TEMPLATE vf64 NAME_TAP(weight_at)(int one, const cp_tap_windows *w, int64_t k, int64_t i)
{
    return one ? vf64_set1(w->weight[k]) : vf64_load(w->weight + k * w->n + i);
}

/* ---- Sums of products over windows: gradients of weights ---- */

/* sums[k] += factors of k times x, of the first `n` lanes or of all, for several numbers k. */
CP_TEMPLATE void NAME_TAP(add_products)(int numbers, vf64 *sums, const double *factor, int64_t pitch, const double *x,
                                        int64_t n)
{
    vf64 element = n >= vf64_N ? vf64_load(x) : vf64_load_n(x, n, 0.0);
    CP_UNROLL
    for (int k = 0; k < numbers; k++) {
        const double *at = factor + k * pitch;
        sums[k] = vf64_add(sums[k], vf64_mul(n >= vf64_N ? vf64_load(at) : vf64_load_n(at, n, 0.0), element));
    }
}

/* The same of n windows one behind the other, whose virtual lanes begin with the first; sums of numbers are `to_next` apart. */
CP_TEMPLATE void NAME_TAP(add_columns)(int numbers, double *sum, int64_t to_next, const double *factor, int64_t pitch,
                                       const double *x, int64_t n)
{
    for (int64_t lane = 0; lane < CP_TERM_LANES; lane += 2 * vf64_N) {
        vf64 a[3], b[3];
        CP_UNROLL
        for (int k = 0; k < numbers; k++) {
            a[k] = vf64_load(sum + k * to_next + lane);
            b[k] = vf64_load(sum + k * to_next + lane + vf64_N);
        }
        int64_t i = lane;
        for (; i + 2 * vf64_N <= n; i += CP_TERM_LANES) {
            NAME_TAP(add_products)(numbers, a, factor + i, pitch, x + i, vf64_N);
            NAME_TAP(add_products)(numbers, b, factor + i + vf64_N, pitch, x + i + vf64_N, vf64_N);
        }
        if (i < n) {
            NAME_TAP(add_products)(numbers, a, factor + i, pitch, x + i, n - i);
        }
        if (i + vf64_N < n) {
            NAME_TAP(add_products)(numbers, b, factor + i + vf64_N, pitch, x + i + vf64_N, n - i - vf64_N);
        }
        CP_UNROLL
        for (int k = 0; k < numbers; k++) {
            vf64_store(sum + k * to_next + lane, a[k]);
            vf64_store(sum + k * to_next + lane + vf64_N, b[k]);
        }
    }
}

/* Adds the products of rows of factors (up to three of them) with the elements of a tap to the
 * sums of their numbers, of which the first is `number` and the others `between` apart. */
CP_TEMPLATE void NAME_TAP(sum_products)(int numbers, const cp_tap_windows *w, int64_t number, int64_t between,
                                        const double *factor, const double *x)
{
    const cp_tap_sums *s = &w->sums;
    int64_t round = CP_TERM_LANES * s->planes, at = s->first, to_next = between * s->pitch;
    double *sum = s->sums + number * s->pitch;
    if (s->planes == 1 && at == 0) {
        NAME_TAP(add_columns)(numbers, sum, to_next, factor, w->n, x, s->count);
        return;
    }
    for (int64_t i = 0; i < s->count;) {
        int64_t left = round - at < s->count - i ? round - at : s->count - i, n = left < vf64_N ? left : vf64_N;
        CP_UNROLL
        for (int k = 0; k < numbers; k++) {
            double *to = sum + k * to_next + at;
            vf64 total = n == vf64_N ? vf64_load(to) : vf64_load_n(to, n, 0.0);
            NAME_TAP(add_products)(1, &total, factor + k * w->n + i, 0, x + i, n);
            if (n == vf64_N) {
                vf64_store(to, total);
            } else {
                vf64_store_n(to, total, n);
            }
        }
        i += n;
        at = at + n < round ? at + n : 0;
    }
}

/* ---- Weighted means ---- */

/* exp(t x) as mantissa and exponent. The product is taken in two doubles, so that only the
 * rounding of the mantissa is left. Beyond 2^51 there is no fraction left to compute with: the
 * larger takes all, equals share. There the exponent is the product itself, but for something that
 * keeps it above those of smaller products, and no two products have the same but for overflow. */
CP_TEMPLATE void NAME_TAP(exp)(vf64 t, vf64 x, vf64 *mantissa, vf64 *exponent)
{
    vf64 zero = vf64_set1(0.0), least = vf64_set1(CP_NOTHING), most = vf64_set1(-CP_NOTHING), huge = vf64_set1(0x1p900);
    vf64 log2_e = vf64_set1(CP_LOG2_E), log2_e_top = vf64_top(log2_e), log2_e_rest = vf64_sub(log2_e, log2_e_top);
    vf64 product = vf64_mul(t, x), size = vf64_abs(product), infinity = vf64_set1(cp_infinity());
    vf64 large = vf64_add(product, vf64_min(vf64_max(product, vf64_sub(zero, huge)), huge));
    vf64 tt = vf64_top(t), tr = vf64_sub(t, tt), xt = vf64_top(x), xr = vf64_sub(x, xt);
    vf64 rest = vf64_mad(tr, xr, vf64_mad(tr, xt, vf64_mad(tt, xr, vf64_sub(vf64_mul(tt, xt), product))));
    vf64 pt = vf64_top(product), pr = vf64_sub(product, pt), hi = vf64_mul(product, log2_e), lo;
    lo = vf64_mad(pr, log2_e_top, vf64_mad(pt, log2_e_rest, vf64_sub(vf64_mul(pt, log2_e_top), hi)));
    lo = vf64_add(vf64_mad(pr, log2_e_rest, lo), vf64_mad(rest, log2_e, vf64_mul(product, vf64_set1(CP_LOG2_E_REST))));
    vf64_exp2_dd(hi, lo, mantissa, exponent);
    vf64_mask far = vf64_gt(size, vf64_set1(0x1p51));
    vf64_mask nothing = vf64_mask_and(vf64_eq(product, vf64_sub(zero, infinity)), vf64_eq(vf64_abs(x), infinity));
    *mantissa = vf64_select(nothing, zero, vf64_select(far, vf64_set1(1.0), *mantissa));
    *exponent = vf64_select(far, vf64_min(vf64_max(large, least), most), *exponent);
    *exponent = vf64_select(nothing, vf64_set1(CP_NOTHING), *exponent);
}

/* exp(product) in the same way, where that is near: beyond, the error of product log2 e alone would be felt in a float. */
CP_TEMPLATE void NAME_TAP(exp_near)(vf64 product, vf64 *mantissa, vf64 *exponent)
{
    vf64_exp2_near(vf64_mul(product, vf64_set1(CP_LOG2_E)), mantissa, exponent);
}

/* The same as one number, of flat products. */
CP_TEMPLATE vf64 NAME_TAP(exp_flat)(vf64 product)
{
    vf64 mantissa, exponent;
    NAME_TAP(exp_near)(product, &mantissa, &exponent);
    return vf64_exp2_flat(mantissa, exponent);
}

/* Whether every lane is below a bound; NaN is not. */
CP_TEMPLATE int NAME_TAP(all_below)(vf64 lanes, double bound)
{
    double lane[vf64_N];
    int below = 1;
    vf64_store(lane, lanes);
    for (int l = 0; l < vf64_N; l++) {
        below &= lane[l] < bound;
    }
    return below;
}

/* Powers of logits, or of elements times factors: leaf[of], which stays for those that turn out not to be flat. */
CP_TEMPLATE int NAME_TAP(map_flat)(double *const *leaf, int of, const double *factor, int64_t n)
{
    vf64 largest = vf64_set1(0.0);
    for (int64_t i = 0; i < n; i += vf64_N) {
        vf64 product = n - i >= vf64_N ? vf64_load(leaf[of] + i) : vf64_load_n(leaf[of] + i, n - i, 0.0);
        product = factor != NULL ? vf64_mul(vf64_load(factor + i), product) : product;
        largest = vf64_max(largest, vf64_abs(product));
        vf64_store(leaf[0] + i, NAME_TAP(exp_flat)(product));
    }
    if (!NAME_TAP(all_below)(largest, CP_TAP_FLAT)) {
        return 0;
    }
    memset(leaf[1], 0, (size_t)n * sizeof(double));
    return 1;
}

CP_TEMPLATE int NAME_TAP(map_power)(double *const *leaf, int of, const double *factor, int64_t n)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    if (!CP_TAP_EXACT && NAME_TAP(map_flat)(leaf, of, factor, n)) {
        return 1;
    }
    for (int64_t i = 0; i < n; i += vf64_N) {
        vf64 x = vf64_load(leaf[of] + i), by = factor != NULL ? vf64_load(factor + i) : one, mantissa, exponent;
        NAME_TAP(exp)(by, x, &mantissa, &exponent);
        if (!CP_TAP_EXACT) {
            vf64 product = factor != NULL ? vf64_mul(by, x) : x, size = vf64_abs(product), near_mantissa, near_exponent;
            vf64_mask near = vf64_gt(vf64_set1(CP_TAP_NEAR), size), flat = vf64_gt(vf64_set1(CP_TAP_FLAT), size);
            NAME_TAP(exp_near)(product, &near_mantissa, &near_exponent);
            mantissa = vf64_select(near, near_mantissa, mantissa);
            exponent = vf64_select(near, near_exponent, exponent);
            mantissa = vf64_select(flat, NAME_TAP(exp_flat)(product), mantissa);
            exponent = vf64_select(flat, zero, exponent);
        }
        vf64_store(leaf[0] + i, mantissa);
        vf64_store(leaf[1] + i, exponent);
    }
    return 0;
}

static int NAME_TAP(map_exp)(double *const *leaf, const double *factor, int64_t n)
{
    return NAME_TAP(map_power)(leaf, 2, factor, n);
}

static int NAME_TAP(map_logit)(double *const *leaf, const double *none, int64_t n)
{
    (void)none;
    return NAME_TAP(map_power)(leaf, 1, NULL, n);
}

static int NAME_TAP(map_self)(double *const *leaf, const double *none, int64_t n)
{
    (void)none;
    return NAME_TAP(map_power)(leaf, 2, NULL, n);
}

CP_TEMPLATE vf64 NAME_TAP(positive)(vf64 x) /* max(x, 0), NaN stays */
{
    vf64 zero = vf64_set1(0.0);
    return vf64_select(vf64_mask_or(vf64_gt(x, zero), vf64_isnan(x)), x, zero);
}

/* Floats are flat but for infinities and NaNs. */
static int NAME_TAP(map_positive)(double *const *leaf, const double *none, int64_t n)
{
    vf64 zero = vf64_set1(0.0), infinity = vf64_set1(cp_infinity()), largest = zero;
    (void)none;
    for (int64_t i = 0; i < n; i += vf64_N) {
        vf64 x = n - i >= vf64_N ? vf64_load(leaf[2] + i) : vf64_load_n(leaf[2] + i, n - i, 0.0);
        vf64 a = NAME_TAP(positive)(x), mantissa = a, exponent = zero;
        if (CP_TAP_EXACT) {
            vf64_frexp(a, &mantissa, &exponent);
            exponent = vf64_select(vf64_eq(a, zero), vf64_set1(CP_NOTHING), exponent);
        } else {
            exponent = vf64_select(vf64_gt(infinity, a), zero, vf64_set1(CP_FAR));
        }
        largest = vf64_max(largest, a);
        vf64_store(leaf[0] + i, mantissa);
        vf64_store(leaf[1] + i, exponent);
        vf64_store(leaf[2] + i, a);
    }
    return !CP_TAP_EXACT && NAME_TAP(all_below)(largest, cp_infinity());
}

/* Rows of the state: the sum of the weights is (WEIGHT + its rest) 2^TOP; the mean is MEAN + its rest, then in y; SQUARE, which
 * only CP_TAP_SHARE needs, the sum of the squares of the parts. TERM: what the gradient of beta sums. */
enum {
    NAME_TAP(TOP),
    NAME_TAP(WEIGHT),
    NAME_TAP(WEIGHT_REST),
    NAME_TAP(MEAN),
    NAME_TAP(MEAN_REST),
    NAME_TAP(SQUARE),
    NAME_TAP(SQUARE_REST),
    NAME_TAP(TERM),
    NAME_TAP(TERM_REST)
};

/* a factor times the weight of a tap as a part of the whole; 0 where there is none. The power of two is taken in two steps:
 * what is left of a huge factor after a tiny weight is not lost. */
CP_TEMPLATE vf64 NAME_TAP(weighted)(const cp_tap_windows *w, const cp_tap_block *b, int flat, int64_t t, int64_t i, vf64 a,
                                    vf64 factor)
{
    vf64 sum = NAME_TAP(get)(w, NAME_TAP(WEIGHT), i), zero = vf64_set1(0.0), step = vf64_set1(1000.0);
    vf64 shift = flat ? zero : vf64_sub(vf64_load(b->tap[t].leaf[1] + i), NAME_TAP(get)(w, NAME_TAP(TOP), i));
    if (!CP_TAP_EXACT) { /* no factor is that huge, and the rest of the sum is its inverse */
        vf64 weight = vf64_load(b->tap[t].leaf[0] + i);
        weight = flat ? weight : vf64_mul(weight, vf64_pow2_down(shift));
        return vf64_mul(vf64_mul(vf64_mul(weight, NAME_TAP(get)(w, NAME_TAP(WEIGHT_REST), i)), a), factor);
    }
    vf64 first = vf64_max(shift, vf64_sub(zero, step)), second = vf64_min(vf64_add(shift, step), zero);
    vf64 part = vf64_div(vf64_mul(vf64_load(b->tap[t].leaf[0] + i), vf64_pow2_down(first)), sum);
    part = vf64_select(vf64_eq(sum, zero), zero, part);
    return vf64_mul(vf64_mul(vf64_mul(part, a), factor), vf64_pow2_down(second));
}

/* The same of floats, without a division per tap: the largest exponent, then sums of weights, weighted elements, and squares.
 * Of flat weights the exponent is 0, and multiplying with its power changes nothing. */
CP_TEMPLATE void NAME_TAP(plain_ratio_pass)(int kind, int flat, const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    if (flat && pass == 0) {
        return;
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 top = flat ? vf64_set1(0.0) : NAME_TAP(get)(w, NAME_TAP(TOP), i);
        if (pass == 0) {
            top = b->first == 0 ? vf64_set1(CP_NOTHING) : top;
            for (int64_t t = 0; t < b->count; t++) {
                top = vf64_max(top, vf64_load(b->tap[t].leaf[1] + i));
            }
            NAME_TAP(put)(w, NAME_TAP(TOP), i, top);
            continue;
        }
        vf64 sum = NAME_TAP(get)(w, NAME_TAP(WEIGHT), i), mean = NAME_TAP(get)(w, NAME_TAP(MEAN), i);
        vf64 square = NAME_TAP(get)(w, NAME_TAP(SQUARE), i);
        for (int64_t t = 0; t < b->count; t++) {
            vf64 weight = vf64_load(b->tap[t].leaf[0] + i);
            weight = flat ? weight : vf64_mul(weight, vf64_pow2_down(vf64_sub(vf64_load(b->tap[t].leaf[1] + i), top)));
            sum = vf64_add(sum, weight);
            mean = vf64_add(mean, vf64_mul(weight, vf64_load(b->tap[t].leaf[2] + i)));
            square = kind == CP_TAP_SHARE ? vf64_add(square, vf64_mul(weight, weight)) : square;
        }
        NAME_TAP(put)(w, NAME_TAP(WEIGHT), i, sum);
        NAME_TAP(put)(w, NAME_TAP(MEAN), i, mean);
        NAME_TAP(put)(w, NAME_TAP(SQUARE), i, square);
    }
}

CP_TEMPLATE vf64 NAME_TAP(inverse_or_zero)(vf64 sum)
{
    vf64 zero = vf64_set1(0.0);
    return vf64_select(vf64_eq(sum, zero), zero, vf64_div(vf64_set1(1.0), sum));
}

CP_TEMPLATE void NAME_TAP(plain_ratio_finish)(const cp_tap_windows *w)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 inverse = NAME_TAP(inverse_or_zero)(NAME_TAP(get)(w, NAME_TAP(WEIGHT), i));
        NAME_TAP(put)(w, NAME_TAP(WEIGHT_REST), i, inverse);
        NAME_TAP(put)(w, NAME_TAP(SQUARE), i, vf64_mul(vf64_mul(NAME_TAP(get)(w, NAME_TAP(SQUARE), i), inverse), inverse));
        vf64_store(w->y + i, vf64_mul(NAME_TAP(get)(w, NAME_TAP(MEAN), i), inverse));
    }
}

CP_TEMPLATE void NAME_TAP(ratio_pass)(int kind, const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        if (pass == 0) {
            vf64 top = NAME_TAP(get)(w, NAME_TAP(TOP), i), sum = NAME_TAP(get)(w, NAME_TAP(WEIGHT), i);
            vf64 rest = NAME_TAP(get)(w, NAME_TAP(WEIGHT_REST), i);
            top = b->first == 0 ? vf64_set1(CP_NOTHING) : top;
            for (int64_t t = 0; t < b->count; t++) {
                vf64 exponent = vf64_load(b->tap[t].leaf[1] + i), next = vf64_max(top, exponent);
                vf64 shift = vf64_pow2_down(vf64_sub(top, next));
                sum = vf64_mul(sum, shift);
                rest = vf64_mul(rest, shift);
                shift = vf64_pow2_down(vf64_sub(exponent, next));
                NAME_TAP(add)(&sum, &rest, vf64_mul(vf64_load(b->tap[t].leaf[0] + i), shift));
                top = next;
            }
            NAME_TAP(put)(w, NAME_TAP(TOP), i, top);
            NAME_TAP(put)(w, NAME_TAP(WEIGHT), i, sum);
            NAME_TAP(put)(w, NAME_TAP(WEIGHT_REST), i, rest);
        } else {
            vf64 mean = NAME_TAP(get)(w, NAME_TAP(MEAN), i), rest = NAME_TAP(get)(w, NAME_TAP(MEAN_REST), i);
            vf64 square = NAME_TAP(get)(w, NAME_TAP(SQUARE), i), square_rest = NAME_TAP(get)(w, NAME_TAP(SQUARE_REST), i);
            for (int64_t t = 0; t < b->count; t++) {
                vf64 x = vf64_load(b->tap[t].leaf[2] + i), one = vf64_set1(1.0);
                NAME_TAP(add)(&mean, &rest, NAME_TAP(weighted)(w, b, 0, t, i, x, one));
                if (kind == CP_TAP_SHARE) {
                    vf64 part = NAME_TAP(weighted)(w, b, 0, t, i, one, one);
                    NAME_TAP(add)(&square, &square_rest, vf64_mul(part, part));
                }
            }
            NAME_TAP(put)(w, NAME_TAP(MEAN), i, mean);
            NAME_TAP(put)(w, NAME_TAP(MEAN_REST), i, rest);
            NAME_TAP(put)(w, NAME_TAP(SQUARE), i, square);
            NAME_TAP(put)(w, NAME_TAP(SQUARE_REST), i, square_rest);
        }
    }
}

CP_TEMPLATE void NAME_TAP(any_ratio_pass)(int kind, const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    if (CP_TAP_EXACT) {
        NAME_TAP(ratio_pass)(kind, w, b, pass);
    } else if (b->flat) {
        NAME_TAP(plain_ratio_pass)(kind, 1, w, b, pass);
    } else {
        NAME_TAP(plain_ratio_pass)(kind, 0, w, b, pass);
    }
}

static void NAME_TAP(weighted_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    NAME_TAP(any_ratio_pass)(CP_TAP_SOFT, w, b, pass);
}

static void NAME_TAP(share_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    NAME_TAP(any_ratio_pass)(CP_TAP_SHARE, w, b, pass);
}

static void NAME_TAP(ratio_finish)(const cp_tap_windows *w, int pass)
{
    if (!CP_TAP_EXACT) {
        if (pass == 1) {
            NAME_TAP(plain_ratio_finish)(w);
        }
        return;
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 sum = NAME_TAP(get)(w, NAME_TAP(WEIGHT), i);
        if (pass == 0) {
            NAME_TAP(put)(w, NAME_TAP(WEIGHT), i, NAME_TAP(total)(sum, NAME_TAP(get)(w, NAME_TAP(WEIGHT_REST), i)));
        } else {
            vf64 square = NAME_TAP(get)(w, NAME_TAP(SQUARE), i), rest = NAME_TAP(get)(w, NAME_TAP(SQUARE_REST), i);
            vf64_store(w->y + i,
                       NAME_TAP(total)(NAME_TAP(get)(w, NAME_TAP(MEAN), i), NAME_TAP(get)(w, NAME_TAP(MEAN_REST), i)));
            NAME_TAP(put)(w, NAME_TAP(SQUARE), i, NAME_TAP(total)(square, rest));
        }
    }
}

CP_TEMPLATE void NAME_TAP(ratio_gradient)(int kind, int flat, const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 one = vf64_set1(1.0), zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 y = vf64_load(w->y + i), dy = vf64_load(w->dy + i), square = NAME_TAP(get)(w, NAME_TAP(SQUARE), i);
        vf64 beta = kind == CP_TAP_SOFT ? vf64_load(w->parameter + i) : zero;
        for (int64_t t = 0; t < b->count; t++) {
            int64_t at = t * b->n + i;
            vf64 x = vf64_load(b->tap[t].leaf[2] + i), dx;
            if (kind == CP_TAP_SOFT) {
                dx = NAME_TAP(weighted)(w, b, flat, t, i, dy, vf64_add(one, vf64_mul(beta, vf64_sub(x, y))));
            } else if (kind == CP_TAP_SHARE) {
                vf64 part = NAME_TAP(weighted)(w, b, flat, t, i, one, one);
                dx = vf64_mul(dy, vf64_sub(vf64_add(part, part), square)); /* y / S is the sum of the squares */
                dx = vf64_select(vf64_eq(x, zero), zero, dx);
            } else {
                dx = NAME_TAP(weighted)(w, b, flat, t, i, dy, one);
            }
            if (b->gradient[0] != NULL) {
                vf64_store(b->gradient[0] + at, dx);
            }
            if (kind == CP_TAP_LIP && b->gradient[1] != NULL) {
                vf64_store(b->gradient[1] + at, NAME_TAP(weighted)(w, b, flat, t, i, dy, vf64_sub(x, y)));
            }
        }
    }
}

CP_TEMPLATE void NAME_TAP(any_ratio_gradient)(int kind, const cp_tap_windows *w, const cp_tap_block *b)
{
    if (!CP_TAP_EXACT && b->flat) {
        NAME_TAP(ratio_gradient)(kind, 1, w, b);
    } else {
        NAME_TAP(ratio_gradient)(kind, 0, w, b);
    }
}

static void NAME_TAP(soft_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    NAME_TAP(any_ratio_gradient)(CP_TAP_SOFT, w, b);
}

static void NAME_TAP(lip_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    NAME_TAP(any_ratio_gradient)(CP_TAP_LIP, w, b);
}

static void NAME_TAP(share_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    NAME_TAP(any_ratio_gradient)(CP_TAP_SHARE, w, b);
}

/* dy sum w (x - y) x */
static void NAME_TAP(soft_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 y = vf64_load(w->y + i), sum = NAME_TAP(get)(w, NAME_TAP(TERM), i);
        vf64 rest = NAME_TAP(get)(w, NAME_TAP(TERM_REST), i);
        for (int64_t t = 0; t < b->count; t++) {
            vf64 x = vf64_load(b->tap[t].leaf[2] + i);
            NAME_TAP(add)(&sum, &rest, NAME_TAP(weighted)(w, b, !CP_TAP_EXACT && b->flat, t, i, vf64_sub(x, y), x));
        }
        NAME_TAP(put)(w, NAME_TAP(TERM), i, sum);
        NAME_TAP(put)(w, NAME_TAP(TERM_REST), i, rest);
    }
}

static void NAME_TAP(soft_finish_terms)(const cp_tap_windows *w)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 term = NAME_TAP(total)(NAME_TAP(get)(w, NAME_TAP(TERM), i), NAME_TAP(get)(w, NAME_TAP(TERM_REST), i));
        vf64_store(w->terms + i, vf64_mul(vf64_load(w->dy + i), term));
    }
}

/* ---- Draws ---- */

/* Rows of the state: the sum of max(x, 0), and of the same times 2^-64, which is taken where
 * the first overflows; number and value of the first NaN, else the first infinity (-1: none);
 * then the running sum, what it is to exceed, the factor, and the last positive element. */
enum {
    NAME_TAP(PLAIN),
    NAME_TAP(SCALED),
    NAME_TAP(ODD),
    NAME_TAP(ODD_VALUE),
    NAME_TAP(RUNNING),
    NAME_TAP(AIM),
    NAME_TAP(FACTOR),
    NAME_TAP(LAST),
    NAME_TAP(LAST_VALUE)
};

static void NAME_TAP(draw_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    vf64 zero = vf64_set1(0.0), none = vf64_set1(-1.0), infinity = vf64_set1(cp_infinity());
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        if (pass == 0) {
            vf64 plain = NAME_TAP(get)(w, NAME_TAP(PLAIN), i), scaled = NAME_TAP(get)(w, NAME_TAP(SCALED), i);
            vf64 odd = b->first == 0 ? none : NAME_TAP(get)(w, NAME_TAP(ODD), i),
                 value = NAME_TAP(get)(w, NAME_TAP(ODD_VALUE), i);
            for (int64_t t = 0; t < b->count; t++) {
                vf64 x = vf64_load(b->tap[t].leaf[0] + i), a = vf64_select(vf64_gt(x, zero), x, zero);
                vf64_mask nan = vf64_isnan(x),
                          take = vf64_mask_or(nan, vf64_mask_and(vf64_eq(x, infinity), vf64_gt(zero, odd)));
                take = vf64_mask_andnot(take, vf64_isnan(value));
                odd = vf64_select(take, vf64_set1(b->number[t]), odd);
                value = vf64_select(take, x, value);
                plain = vf64_add(plain, a);
                scaled = vf64_add(scaled, vf64_mul(a, vf64_set1(0x1p-64)));
            }
            NAME_TAP(put)(w, NAME_TAP(PLAIN), i, plain);
            NAME_TAP(put)(w, NAME_TAP(SCALED), i, scaled);
            NAME_TAP(put)(w, NAME_TAP(ODD), i, odd);
            NAME_TAP(put)(w, NAME_TAP(ODD_VALUE), i, value);
            continue;
        }
        vf64 running = NAME_TAP(get)(w, NAME_TAP(RUNNING), i), aim = NAME_TAP(get)(w, NAME_TAP(AIM), i);
        vf64 factor = NAME_TAP(get)(w, NAME_TAP(FACTOR), i), last = NAME_TAP(get)(w, NAME_TAP(LAST), i);
        vf64 last_value = NAME_TAP(get)(w, NAME_TAP(LAST_VALUE), i), tap = vf64_load(w->tap + i), y = vf64_load(w->y + i);
        for (int64_t t = 0; t < b->count; t++) {
            vf64 x = vf64_load(b->tap[t].leaf[0] + i), number = vf64_set1(b->number[t]);
            vf64_mask positive = vf64_gt(x, zero);
            running = vf64_add(running, vf64_mul(vf64_select(positive, x, zero), factor));
            vf64_mask take = vf64_mask_and(vf64_mask_and(positive, vf64_gt(running, aim)), vf64_gt(zero, tap));
            tap = vf64_select(take, number, tap);
            y = vf64_select(take, x, y);
            last = vf64_select(positive, number, last);
            last_value = vf64_select(positive, x, last_value);
        }
        NAME_TAP(put)(w, NAME_TAP(RUNNING), i, running);
        NAME_TAP(put)(w, NAME_TAP(LAST), i, last);
        NAME_TAP(put)(w, NAME_TAP(LAST_VALUE), i, last_value);
        vf64_store(w->tap + i, tap);
        vf64_store(w->y + i, y);
    }
}

static void NAME_TAP(draw_finish)(const cp_tap_windows *w, int pass)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0), none = vf64_set1(-1.0), infinity = vf64_set1(cp_infinity());
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        if (pass == 0) {
            vf64 plain = NAME_TAP(get)(w, NAME_TAP(PLAIN), i);
            vf64_mask over = vf64_eq(plain, infinity);
            vf64 sum = vf64_select(over, NAME_TAP(get)(w, NAME_TAP(SCALED), i), plain);
            NAME_TAP(put)(w, NAME_TAP(AIM), i, vf64_mul(vf64_load(w->u + i), sum));
            NAME_TAP(put)(w, NAME_TAP(FACTOR), i, vf64_select(over, vf64_set1(0x1p-64), one));
            NAME_TAP(put)(w, NAME_TAP(LAST), i, none);
            vf64_store(w->tap + i, none);
            vf64_store(w->y + i, zero);
            continue;
        }
        vf64 tap = vf64_load(w->tap + i), y = vf64_load(w->y + i), odd = NAME_TAP(get)(w, NAME_TAP(ODD), i);
        vf64_mask missed = vf64_gt(zero, tap), is_odd = vf64_mask_or(vf64_eq(odd, zero), vf64_gt(odd, zero));
        tap = vf64_select(missed, NAME_TAP(get)(w, NAME_TAP(LAST), i), tap);
        y = vf64_select(missed, NAME_TAP(get)(w, NAME_TAP(LAST_VALUE), i), y);
        vf64_store(w->tap + i, vf64_select(is_odd, odd, tap));
        vf64_store(w->y + i, vf64_select(is_odd, NAME_TAP(get)(w, NAME_TAP(ODD_VALUE), i), y));
    }
}

/* ---- Maximum and mean ---- */

/* Rows of the state: the maximum, how many taps came before it (-1: none), the sum, the weighted sum, the number of elements;
 * then the mean in the place of the sum and the blend in that of the weighted sum. */
enum {
    NAME_TAP(BEST),
    NAME_TAP(BEST_AT),
    NAME_TAP(SUM),
    NAME_TAP(SUM_REST),
    NAME_TAP(DOT),
    NAME_TAP(DOT_REST),
    NAME_TAP(COUNT)
};

CP_TEMPLATE void NAME_TAP(blend_pass)(int kind, int one, const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 best = NAME_TAP(get)(w, NAME_TAP(BEST), i), at = NAME_TAP(get)(w, NAME_TAP(BEST_AT), i);
        vf64 sum = NAME_TAP(get)(w, NAME_TAP(SUM), i), rest = NAME_TAP(get)(w, NAME_TAP(SUM_REST), i);
        vf64 dot = NAME_TAP(get)(w, NAME_TAP(DOT), i), dot_rest = NAME_TAP(get)(w, NAME_TAP(DOT_REST), i);
        vf64 count = NAME_TAP(get)(w, NAME_TAP(COUNT), i);
        at = b->first == 0 ? vf64_set1(-1.0) : at;
        for (int64_t t = 0; t < b->count; t++) {
            vf64 x = vf64_load(b->tap[t].leaf[0] + i), there = vf64_load(b->tap[t].there + i);
            vf64_mask take = vf64_mask_or(vf64_mask_or(vf64_gt(x, best), vf64_isnan(x)), vf64_gt(zero, at));
            take = vf64_mask_and(vf64_mask_andnot(take, vf64_isnan(best)), vf64_gt(there, zero));
            best = vf64_select(take, x, best);
            at = vf64_select(take, vf64_set1((double)(b->first + t)), at);
            NAME_TAP(add)(&sum, &rest, x);
            count = vf64_add(count, there);
            if (kind == CP_TAP_GATE) {
                NAME_TAP(add)(&dot, &dot_rest, vf64_mul(NAME_TAP(weight_at)(one, w, (int64_t)b->number[t], i), x));
            }
        }
        vf64 rows[] = {best, at, sum, rest, dot, dot_rest, count};
        for (int r = 0; r <= NAME_TAP(COUNT); r++) {
            NAME_TAP(put)(w, r, i, rows[r]);
        }
    }
}

static void NAME_TAP(mix_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    (void)pass;
    NAME_TAP(blend_pass)(CP_TAP_MIX, 0, w, b);
}

static void NAME_TAP(gate_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    (void)pass;
    if (w->one_weight) {
        NAME_TAP(blend_pass)(CP_TAP_GATE, 1, w, b);
    } else {
        NAME_TAP(blend_pass)(CP_TAP_GATE, 0, w, b);
    }
}

/* 1 / (1 + exp(-v)), or exp(v) / (1 + exp(v)) where v < 0. */
CP_TEMPLATE vf64 NAME_TAP(sigmoid)(vf64 v)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0), mantissa, exponent;
    vf64 power;
    if (CP_TAP_EXACT) {
        NAME_TAP(exp)(vf64_set1(-1.0), vf64_abs(v), &mantissa, &exponent);
        power = vf64_scale(mantissa, exponent);
    } else {
        NAME_TAP(exp_near)(vf64_max(vf64_sub(zero, vf64_abs(v)), vf64_set1(-CP_TAP_NEAR)), &mantissa, &exponent);
        power = vf64_mul(mantissa, vf64_pow2_down(exponent));
    }
    return vf64_div(vf64_select(vf64_gt(zero, v), power, one), vf64_add(one, power));
}

CP_TEMPLATE void NAME_TAP(blend_finish)(int kind, const cp_tap_windows *w)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 count = NAME_TAP(get)(w, NAME_TAP(COUNT), i), blend = vf64_load(w->parameter + i);
        vf64_mask empty = vf64_eq(count, zero);
        vf64 best = vf64_add(NAME_TAP(get)(w, NAME_TAP(BEST), i), zero); /* a zero is +0 */
        vf64 sum = NAME_TAP(total)(NAME_TAP(get)(w, NAME_TAP(SUM), i), NAME_TAP(get)(w, NAME_TAP(SUM_REST), i));
        if (kind == CP_TAP_GATE) {
            vf64 dot = NAME_TAP(total)(NAME_TAP(get)(w, NAME_TAP(DOT), i), NAME_TAP(get)(w, NAME_TAP(DOT_REST), i));
            blend = NAME_TAP(sigmoid)(vf64_add(dot, blend));
        }
        /* Divided last: of subnormal elements a mean would be rounded before it is scaled. */
        vf64 y = vf64_add(vf64_mul(blend, best), vf64_div(vf64_mul(vf64_sub(one, blend), sum), count));
        vf64_store(w->y + i, vf64_select(empty, zero, y));
        NAME_TAP(put)(w, NAME_TAP(BEST), i, vf64_select(empty, zero, best));
        NAME_TAP(put)(w, NAME_TAP(SUM), i, vf64_select(empty, zero, vf64_div(sum, count)));
        NAME_TAP(put)(w, NAME_TAP(DOT), i, blend);
    }
}

static void NAME_TAP(mix_finish)(const cp_tap_windows *w, int pass)
{
    (void)pass;
    NAME_TAP(blend_finish)(CP_TAP_MIX, w);
}

static void NAME_TAP(gate_finish)(const cp_tap_windows *w, int pass)
{
    (void)pass;
    NAME_TAP(blend_finish)(CP_TAP_GATE, w);
}

/* dy (maximum - mean), for a gate times its slope */
CP_TEMPLATE vf64 NAME_TAP(blend_gradient)(int kind, const cp_tap_windows *w, int64_t i)
{
    vf64 blend = NAME_TAP(get)(w, NAME_TAP(DOT), i);
    vf64 gradient = vf64_sub(NAME_TAP(get)(w, NAME_TAP(BEST), i), NAME_TAP(get)(w, NAME_TAP(SUM), i));
    gradient = vf64_mul(vf64_load(w->dy + i), gradient);
    if (kind == CP_TAP_GATE) {
        gradient = vf64_mul(vf64_mul(blend, vf64_sub(vf64_set1(1.0), blend)), gradient);
    }
    return gradient;
}

CP_TEMPLATE void NAME_TAP(max_mean_gradient)(int kind, int one_weight, const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 blend = NAME_TAP(get)(w, NAME_TAP(DOT), i), dy = vf64_load(w->dy + i), at = NAME_TAP(get)(w, NAME_TAP(BEST_AT), i);
        vf64 to_mean = vf64_div(vf64_mul(dy, vf64_sub(one, blend)), NAME_TAP(get)(w, NAME_TAP(COUNT), i));
        vf64 to_max = vf64_mul(dy, blend), to_gate = NAME_TAP(blend_gradient)(kind, w, i);
        for (int64_t t = 0; t < b->count; t++) {
            vf64_mask here = vf64_eq(at, vf64_set1((double)(b->first + t)));
            vf64 dx = vf64_add(vf64_select(here, to_max, zero), to_mean);
            if (kind == CP_TAP_GATE) {
                dx = vf64_add(vf64_mul(to_gate, NAME_TAP(weight_at)(one_weight, w, (int64_t)b->number[t], i)), dx);
            }
            vf64_store(b->gradient[0] + t * b->n + i, dx);
        }
    }
}

static void NAME_TAP(mix_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    NAME_TAP(max_mean_gradient)(CP_TAP_MIX, 0, w, b);
}

static void NAME_TAP(gate_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    if (w->one_weight) {
        NAME_TAP(max_mean_gradient)(CP_TAP_GATE, 1, w, b);
    } else {
        NAME_TAP(max_mean_gradient)(CP_TAP_GATE, 0, w, b);
    }
}

static void NAME_TAP(mix_finish_terms)(const cp_tap_windows *w)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64_store(w->terms + i, NAME_TAP(blend_gradient)(CP_TAP_MIX, w, i));
    }
}

/* Of the bias, then of every weight. */
static void NAME_TAP(gate_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64_store(w->terms + i, NAME_TAP(blend_gradient)(CP_TAP_GATE, w, i));
    }
    for (int64_t t = 0; t < b->count; t++) {
        NAME_TAP(sum_products)(1, w, 1 + (int64_t)b->number[t], 0, w->terms, b->tap[t].leaf[0]);
    }
}

/* ---- Ranks ---- */

/* What a tap is when it comes: an absent one is -infinity as tap infinity, behind every element, as an empty slot is. */
typedef struct NAME_TAP(comer) {
    vf64 value, at;
    vf64_mask there;
} NAME_TAP(comer);

CP_TEMPLATE NAME_TAP(comer) NAME_TAP(comer_at)(const cp_tap_block *b, int64_t t, int64_t i)
{
    NAME_TAP(comer) x;
    x.there = vf64_gt(vf64_load(b->tap[t].there + i), vf64_set1(0.0));
    x.value = vf64_select(x.there, vf64_load(b->tap[t].leaf[0] + i), vf64_set1(-cp_infinity()));
    x.at = vf64_select(x.there, vf64_set1((double)(b->first + t)), vf64_set1(cp_infinity()));
    return x;
}

/* How many taps the windows have, where all are in the block and have a rank; else 0. */
CP_TEMPLATE int64_t NAME_TAP(taps_of_all_ranks)(const cp_tap_windows *w, const cp_tap_block *b)
{
    return b->first == 0 && b->count == w->ranks ? b->count : 0;
}

/* Few ranks of as many taps, in registers: behind the place of the one that comes, which
 * is behind its equals, all move on by one. */
CP_TEMPLATE void NAME_TAP(rank_all)(int taps, const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 value[9], at[9];
        CP_UNROLL
        for (int t = 0; t < taps; t++) {
            NAME_TAP(comer) x = NAME_TAP(comer_at)(b, t, i);
            vf64_mask above = x.there;
            value[t] = vf64_set1(-cp_infinity());
            at[t] = vf64_set1(cp_infinity());
            CP_UNROLL
            for (int r = t; r > 0; r--) {
                vf64_mask next = vf64_mask_or(vf64_above(x.value, value[r - 1]), vf64_gt(at[r - 1], x.at));
                value[r] = vf64_select(next, value[r - 1], vf64_select(above, x.value, value[r]));
                at[r] = vf64_select(next, at[r - 1], vf64_select(above, x.at, at[r]));
                above = next;
            }
            value[0] = vf64_select(above, x.value, value[0]);
            at[0] = vf64_select(above, x.at, at[0]);
        }
        CP_UNROLL
        for (int t = 0; t < taps; t++) {
            vf64_store(w->rank_value + t * w->n + i, value[t]);
            vf64_store(w->rank_tap + t * w->n + i, at[t]);
        }
    }
}

/* Insertion: each slot keeps the larger of what it has and what comes, and passes the other on. */
static void NAME_TAP(rank_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    (void)pass;
    int64_t all = NAME_TAP(taps_of_all_ranks)(w, b);
    if (all == 4) {
        NAME_TAP(rank_all)(4, w, b);
        return;
    }
    if (all == 9) {
        NAME_TAP(rank_all)(9, w, b);
        return;
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        for (int64_t t = 0; t < b->count; t++) {
            int64_t filled = b->first + t < w->ranks ? b->first + t : w->ranks - 1;
            NAME_TAP(comer) x = NAME_TAP(comer_at)(b, t, i);
            vf64 value = x.value, at = x.at;
            for (int64_t r = 0; r <= filled; r++) {
                vf64 held = vf64_load(w->rank_value + r * w->n + i), held_at = vf64_load(w->rank_tap + r * w->n + i);
                vf64_mask tie = vf64_mask_or(vf64_eq(value, held), vf64_mask_and(vf64_isnan(value), vf64_isnan(held)));
                vf64_mask above = vf64_mask_or(vf64_gt(value, held), vf64_mask_andnot(vf64_isnan(value), vf64_isnan(held)));
                above = vf64_mask_or(above, vf64_mask_and(tie, vf64_gt(held_at, at)));
                vf64_store(w->rank_value + r * w->n + i, vf64_select(above, value, held));
                vf64_store(w->rank_tap + r * w->n + i, vf64_select(above, at, held_at));
                value = vf64_select(above, held, value);
                at = vf64_select(above, held_at, at);
            }
        }
    }
}

/* The element of a rank; 0 where the window has none. */
CP_TEMPLATE vf64 NAME_TAP(ranked)(const cp_tap_windows *w, int64_t r, int64_t i)
{
    vf64_mask there = vf64_gt(vf64_set1(cp_infinity()), vf64_load(w->rank_tap + r * w->n + i));
    return vf64_select(there, vf64_load(w->rank_value + r * w->n + i), vf64_set1(0.0));
}

static void NAME_TAP(rank_finish)(const cp_tap_windows *w, int pass)
{
    (void)pass;
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 sum = vf64_set1(0.0), rest = sum;
        for (int64_t r = 0; r < w->ranks; r++) {
            NAME_TAP(add)(&sum, &rest, vf64_mul(vf64_load(w->weight + r * w->n + i), NAME_TAP(ranked)(w, r, i)));
        }
        vf64_store(w->y + i, NAME_TAP(total)(sum, rest));
    }
}

/* By comparisons of every tap with every rank, which are more than the scattered stores below where there are many of both. */
CP_TEMPLATE void NAME_TAP(few_ranks_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i);
        for (int64_t t = 0; t < b->count; t++) {
            vf64 dx = vf64_set1(0.0), here = vf64_set1((double)(b->first + t));
            for (int64_t r = 0; r < w->ranks; r++) {
                vf64_mask is = vf64_eq(vf64_load(w->rank_tap + r * w->n + i), here);
                dx = vf64_select(is, vf64_mul(dy, vf64_load(w->weight + r * w->n + i)), dx);
            }
            vf64_store(b->gradient[0] + t * b->n + i, dx);
        }
    }
}

/* The same with places and products in registers, where all taps are here. */
CP_TEMPLATE void NAME_TAP(all_ranks_gradient)(int taps, const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i), at[9], term[9];
        CP_UNROLL
        for (int r = 0; r < taps; r++) {
            at[r] = vf64_load(w->rank_tap + r * w->n + i);
            term[r] = vf64_mul(dy, vf64_load(w->weight + r * w->n + i));
        }
        CP_UNROLL
        for (int t = 0; t < taps; t++) {
            vf64 dx = vf64_set1(0.0), here = vf64_set1((double)t);
            CP_UNROLL
            for (int r = 0; r < taps; r++) {
                dx = vf64_select(vf64_eq(at[r], here), term[r], dx);
            }
            vf64_store(b->gradient[0] + t * b->n + i, dx);
        }
    }
}

static void NAME_TAP(rank_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    double last = (double)(b->first + b->count);
    int64_t all = NAME_TAP(taps_of_all_ranks)(w, b);
    if (all == 4) {
        NAME_TAP(all_ranks_gradient)(4, w, b);
        return;
    }
    if (all == 9) {
        NAME_TAP(all_ranks_gradient)(9, w, b);
        return;
    }
    if (w->ranks <= CP_FEW_RANKS) {
        NAME_TAP(few_ranks_gradient)(w, b);
        return;
    }
    memset(b->gradient[0], 0, (size_t)(b->count * b->n) * sizeof(double));
    for (int64_t r = 0; r < w->ranks; r++) {
        for (int64_t i = 0; i < w->n; i++) {
            double at = w->rank_tap[r * w->n + i];
            if (at >= (double)b->first && at < last) {
                b->gradient[0][((int64_t)at - b->first) * b->n + i] = w->dy[i] * w->weight[r * w->n + i];
            }
        }
    }
}

static void NAME_TAP(rank_finish_terms)(const cp_tap_windows *w)
{
    for (int64_t r = 0; r < w->ranks; r++) {
        for (int64_t i = 0; i < w->n; i += vf64_N) {
            vf64_store(w->terms + r * w->n + i, vf64_mul(vf64_load(w->dy + i), NAME_TAP(ranked)(w, r, i)));
        }
    }
}

#include "kernels/detail.h"
#include "kernels/likeness.h"
#include "kernels/tree.h"

/* ---- All of them ---- */

static const cp_tap_kernel NAME_TAP(table)[CP_TAPS] = {
    [CP_TAP_SOFT] = {3,
                     2,
                     0,
                     {0, CP_NOTHING, 0},
                     NAME_TAP(map_exp),
                     NAME_TAP(weighted_pass),
                     NAME_TAP(ratio_finish),
                     NAME_TAP(soft_gradient),
                     NAME_TAP(soft_terms),
                     NAME_TAP(soft_finish_terms),
                     NULL},
    [CP_TAP_LIP] = {3,
                    2,
                    0,
                    {0, CP_NOTHING, 0},
                    NAME_TAP(map_logit),
                    NAME_TAP(weighted_pass),
                    NAME_TAP(ratio_finish),
                    NAME_TAP(lip_gradient),
                    NULL,
                    NULL,
                    NULL},
    [CP_TAP_SHARE] = {3,
                      2,
                      0,
                      {0, CP_NOTHING, 0},
                      NAME_TAP(map_positive),
                      NAME_TAP(share_pass),
                      NAME_TAP(ratio_finish),
                      NAME_TAP(share_gradient),
                      NULL,
                      NULL,
                      NULL},
    [CP_TAP_DRAW] = {1, 2, 0, {0, 0, 0}, NULL, NAME_TAP(draw_pass), NAME_TAP(draw_finish), NULL, NULL, NULL, NULL},
    [CP_TAP_MIX] = {1,
                    1,
                    0,
                    {0, 0, 0},
                    NULL,
                    NAME_TAP(mix_pass),
                    NAME_TAP(mix_finish),
                    NAME_TAP(mix_gradient),
                    NULL,
                    NAME_TAP(mix_finish_terms),
                    NULL},
    [CP_TAP_GATE] = {1,
                     1,
                     0,
                     {0, 0, 0},
                     NULL,
                     NAME_TAP(gate_pass),
                     NAME_TAP(gate_finish),
                     NAME_TAP(gate_gradient),
                     NAME_TAP(gate_terms),
                     NULL,
                     NULL},
    [CP_TAP_RANK] = {1,
                     1,
                     0,
                     {0, 0, 0},
                     NULL,
                     NAME_TAP(rank_pass),
                     NAME_TAP(rank_finish),
                     NAME_TAP(rank_gradient),
                     NULL,
                     NAME_TAP(rank_finish_terms),
                     NULL},
    [CP_TAP_DPP] = {1,
                    3,
                    2,
                    {0, 0, 0},
                    NULL,
                    NAME_TAP(detail_pass),
                    NAME_TAP(detail_finish),
                    NAME_TAP(detail_gradient),
                    NAME_TAP(detail_terms),
                    NAME_TAP(detail_finish_terms),
                    NAME_TAP(detail_at_once)},
    [CP_TAP_ADA] = {3,
                    3,
                    1,
                    {0, CP_NOTHING, 0},
                    NAME_TAP(map_self),
                    NAME_TAP(ada_pass),
                    NAME_TAP(ada_finish),
                    NAME_TAP(ada_gradient),
                    NULL,
                    NAME_TAP(ada_finish_terms),
                    NULL},
    [CP_TAP_TREE] = {1,
                     1,
                     0,
                     {0, 0, 0},
                     NULL,
                     NAME_TAP(tree_pass),
                     NAME_TAP(tree_finish),
                     NAME_TAP(tree_gradient),
                     NAME_TAP(tree_terms),
                     NULL,
                     NULL},
};
#undef NAME_TAP
