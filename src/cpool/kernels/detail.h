/* Detail-preserving pooling, window by window: part of kernels/tapwise.h. */

/* Rows of the state, most of them sums with their rests. The reference is a sum, then hi + lo; SCALE is Z; weights are kept times 2^-TOP;
 * SHARE is sum (x - y) rho / W, PULL what all d together pull at the reference, both without dy. */
enum {
    NAME_TAP(REFERENCE),
    NAME_TAP(REFERENCE_REST),
    NAME_TAP(DETAIL_COUNT),
    NAME_TAP(SCALE),
    NAME_TAP(SCALE_REST),
    NAME_TAP(MOST),
    NAME_TAP(MOST_REST),
    NAME_TAP(LOG_SCALE),
    NAME_TAP(LOG_SCALE_REST),
    NAME_TAP(DETAIL_TOP),
    NAME_TAP(ALPHA),
    NAME_TAP(WEIGHTS),
    NAME_TAP(WEIGHTS_REST),
    NAME_TAP(WEIGHED),
    NAME_TAP(WEIGHED_REST),
    NAME_TAP(PULL_SHARE),
    NAME_TAP(PULL_SHARE_REST),
    NAME_TAP(PULL),
    NAME_TAP(PULL_REST),
    NAME_TAP(BY_ALPHA),
    NAME_TAP(BY_ALPHA_REST),
    NAME_TAP(BY_LAMBDA),
    NAME_TAP(BY_LAMBDA_REST)
};

/* An element of a window, and what becomes of it. */
typedef struct NAME_TAP(detail) {
    vf64_mask there, inside; /* inside: it is an element of the window, not of the filter alone */
    vf64 x, d;
    vf64 u, u_rest;     /* hi + lo: a power multiplies what is lost */
    vf64 log, log_rest; /* log2(u / Z) */
    vf64 rho;           /* times 2^-TOP */
} NAME_TAP(detail);

CP_TEMPLATE NAME_TAP(detail) NAME_TAP(detail_at)(const cp_tap_windows *w, const cp_tap_block *b, int64_t t, int64_t i)
{
    NAME_TAP(detail) e;
    vf64 zero = vf64_set1(0.0), there = vf64_load(b->tap[t].there + i);
    e.there = vf64_gt(there, zero);
    e.inside = vf64_gt(vf64_mul(there, vf64_set1(b->inside[t])), zero);
    e.x = vf64_load(b->tap[t].leaf[0] + i);
    if (!CP_TAP_EXACT) {
        e.d = vf64_sub(e.x, NAME_TAP(get)(w, NAME_TAP(REFERENCE), i));
        e.d = w->detail.asymmetric ? NAME_TAP(positive)(e.d) : e.d;
        e.u = vf64_add(vf64_mul(e.d, e.d), vf64_set1(w->detail.eps2));
        e.u_rest = zero;
        return e;
    }
    vf64 d_rest = vf64_sub(zero, NAME_TAP(get)(w, NAME_TAP(REFERENCE_REST), i));
    e.d = e.x;
    NAME_TAP(add)(&e.d, &d_rest, vf64_sub(zero, NAME_TAP(get)(w, NAME_TAP(REFERENCE), i)));
    d_rest = vf64_select(vf64_isnan(d_rest), zero, d_rest);
    vf64_renormalize(&e.d, &d_rest);
    if (w->detail.asymmetric) {
        d_rest = vf64_select(vf64_gt(e.d, zero), d_rest, zero);
        e.d = NAME_TAP(positive)(e.d);
    }
    vf64 square = e.d;
    e.u = vf64_mul(e.d, e.d);
    e.u_rest = vf64_add(d_rest, d_rest);
    vf64_mul_dd(&square, &e.u_rest, e.d);
    NAME_TAP(add)(&e.u, &e.u_rest, vf64_set1(w->detail.eps2));
    e.u_rest = vf64_select(vf64_isnan(e.u_rest), zero, e.u_rest); /* of a square that is no number */
    vf64_renormalize(&e.u, &e.u_rest);
    return e;
}

/* log2(x + rest), the rest below an ulp of x. */
CP_TEMPLATE void NAME_TAP(log2_of_sum)(vf64 x, vf64 rest, vf64 *hi, vf64 *lo)
{
    if (!CP_TAP_EXACT) {
        *hi = vf64_mul(vf64_log(x), vf64_set1(CP_LOG2_E));
        *lo = vf64_set1(0.0);
        return;
    }
    vf64 more = vf64_mul(vf64_div(rest, x), vf64_set1(CP_LOG2_E));
    vf64_log2_dd(x, hi, lo);
    *lo = vf64_add(*lo, vf64_select(vf64_isnan(more), vf64_set1(0.0), more));
}

/* (u / Z)^(lambda / 2) as mantissa and exponent, and log2(u / Z). */
CP_TEMPLATE void NAME_TAP(detail_power)(const cp_tap_windows *w, int64_t i, vf64 u, vf64 u_rest, vf64 *log, vf64 *rest,
                                        vf64 *mantissa, vf64 *exponent)
{
    vf64 scale = NAME_TAP(get)(w, NAME_TAP(LOG_SCALE), i), hi, lo;
    NAME_TAP(log2_of_sum)(u, u_rest, &hi, &lo);
    if (!CP_TAP_EXACT) {
        vf64 most = vf64_set1(0x1p49);
        *log = vf64_sub(hi, scale);
        *rest = lo;
        hi = vf64_mul(*log, vf64_mul(vf64_load(w->lambda + i), vf64_set1(0.5)));
        vf64_exp2_near(vf64_max(vf64_min(hi, most), vf64_sub(lo, most)), mantissa, exponent);
        return;
    }
    vf64 next = vf64_sub(hi, scale), back = vf64_add(next, scale);
    *rest = vf64_add(vf64_sub(hi, back), vf64_sub(lo, NAME_TAP(get)(w, NAME_TAP(LOG_SCALE_REST), i)));
    *log = next;
    vf64_renormalize(log, rest);
    hi = *log;
    lo = *rest;
    vf64 half = vf64_mul(vf64_load(w->lambda + i), vf64_set1(0.5));
    vf64_mul_dd(&hi, &lo, vf64_min(half, vf64_set1(0x1p100))); /* beyond that the largest takes all anyway */
    vf64_exp2_dd(hi, lo, mantissa, exponent);
}

CP_TEMPLATE NAME_TAP(detail) NAME_TAP(weighed_detail_at)(const cp_tap_windows *w, const cp_tap_block *b, int64_t t, int64_t i)
{
    NAME_TAP(detail) e = NAME_TAP(detail_at)(w, b, t, i);
    vf64 mantissa, exponent;
    NAME_TAP(detail_power)(w, i, e.u, e.u_rest, &e.log, &e.log_rest, &mantissa, &exponent);
    e.rho = vf64_mul(mantissa, vf64_pow2_down(vf64_sub(exponent, NAME_TAP(get)(w, NAME_TAP(DETAIL_TOP), i))));
    return e;
}

/* (x - y) rho / W */
CP_TEMPLATE vf64 NAME_TAP(detail_part)(const cp_tap_windows *w, const NAME_TAP(detail) * e, int64_t i)
{
    vf64 part = vf64_div(e->rho, NAME_TAP(get)(w, NAME_TAP(WEIGHTS), i));
    return vf64_mul(vf64_sub(e->x, vf64_load(w->y + i)), part);
}

/* The gradient of d, without dy; 0 outside the window. */
CP_TEMPLATE vf64 NAME_TAP(detail_slope)(const cp_tap_windows *w, const NAME_TAP(detail) * e, int64_t i)
{
    vf64 du = vf64_div(NAME_TAP(detail_part)(w, e, i), e->u);
    if (w->detail.variant != CPOOL_DPP_PLAIN) {
        vf64 share = vf64_div(NAME_TAP(get)(w, NAME_TAP(PULL_SHARE), i), NAME_TAP(get)(w, NAME_TAP(SCALE), i));
        share = w->detail.variant == CPOOL_DPP_MEAN ? vf64_div(share, NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i)) : share;
        du = vf64_sub(du, share);
    }
    vf64 slope = vf64_mul(vf64_mul(e->d, vf64_load(w->lambda + i)), du); /* 2 d (lambda / 2) */
    return vf64_select(e->inside, slope, vf64_set1(0.0));
}

/* What a tap adds to the reference: of a product also the rounding error. */
CP_TEMPLATE void NAME_TAP(add_to_reference)(const cp_tap_windows *w, const cp_tap_block *b, const NAME_TAP(detail) * e,
                                            int64_t t, int64_t i)
{
    vf64 zero = vf64_set1(0.0);
    if (w->detail.reference == CP_DETAIL_BOX) {
        NAME_TAP(add_to_row)(w, NAME_TAP(REFERENCE), i, vf64_select(e->inside, e->x, zero));
    } else if (w->detail.reference == CP_DETAIL_FILTER && b->number[t] >= 0) {
        vf64 factor = vf64_load(w->weight + (int64_t)b->number[t] * w->n + i), product = e->x, error = zero;
        vf64_mul_dd(&product, &error, factor);
        error = vf64_select(vf64_isnan(error), zero, error); /* of a product that is no number */
        NAME_TAP(add_to_row)(w, NAME_TAP(REFERENCE), i, vf64_select(e->there, vf64_mul(e->x, factor), zero));
        error = vf64_add(NAME_TAP(get)(w, NAME_TAP(REFERENCE_REST), i), vf64_select(e->there, error, zero));
        NAME_TAP(put)(w, NAME_TAP(REFERENCE_REST), i, error);
    }
}

static void NAME_TAP(detail_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    if (pass == 3 && w->detail.variant == CPOOL_DPP_PLAIN) {
        return;
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e;
            if (pass == 0) {
                e = NAME_TAP(detail_at)(w, b, t, i);
                vf64 count = NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i);
                NAME_TAP(put)(w, NAME_TAP(DETAIL_COUNT), i, vf64_add(count, vf64_select(e.inside, one, zero)));
                NAME_TAP(add_to_reference)(w, b, &e, t, i);
            } else if (pass == 1) {
                e = NAME_TAP(detail_at)(w, b, t, i);
                vf64 u = vf64_select(e.inside, e.u, zero), rest = vf64_select(e.inside, e.u_rest, zero);
                NAME_TAP(add_to_row)(w, NAME_TAP(SCALE), i, u);
                NAME_TAP(put)(w, NAME_TAP(SCALE_REST), i, vf64_add(NAME_TAP(get)(w, NAME_TAP(SCALE_REST), i), rest));
                vf64 most = NAME_TAP(get)(w, NAME_TAP(MOST), i), most_rest = NAME_TAP(get)(w, NAME_TAP(MOST_REST), i);
                vf64_mask more = vf64_mask_and(vf64_eq(u, most), vf64_gt(rest, most_rest));
                more = vf64_mask_or(vf64_mask_or(vf64_gt(u, most), vf64_isnan(u)), more);
                NAME_TAP(put)(w, NAME_TAP(MOST), i, vf64_select(more, u, most));
                NAME_TAP(put)(w, NAME_TAP(MOST_REST), i, vf64_select(more, rest, most_rest));
            } else if (pass == 2) {
                e = NAME_TAP(weighed_detail_at)(w, b, t, i);
                vf64 weight = vf64_select(e.inside, vf64_add(NAME_TAP(get)(w, NAME_TAP(ALPHA), i), e.rho), zero);
                NAME_TAP(add_to_row)(w, NAME_TAP(WEIGHTS), i, weight);
                NAME_TAP(add_to_row)(w, NAME_TAP(WEIGHED), i, vf64_mul(weight, vf64_select(e.inside, e.x, zero)));
            } else if (pass == 3) {
                e = NAME_TAP(weighed_detail_at)(w, b, t, i);
                vf64 part = vf64_select(e.inside, NAME_TAP(detail_part)(w, &e, i), zero);
                NAME_TAP(add_to_row)(w, NAME_TAP(PULL_SHARE), i, part);
            } else {
                e = NAME_TAP(weighed_detail_at)(w, b, t, i);
                NAME_TAP(add_to_row)(w, NAME_TAP(PULL), i, NAME_TAP(detail_slope)(w, &e, i));
            }
        }
    }
}

/* (hi + lo) / count */
CP_TEMPLATE void NAME_TAP(divide_sum)(vf64 *hi, vf64 *lo, vf64 count)
{
    vf64 quotient = vf64_div(*hi, count), product = quotient, rest = vf64_set1(0.0);
    vf64_mul_dd(&product, &rest, count);
    *lo = vf64_div(vf64_add(vf64_sub(vf64_sub(*hi, product), rest), *lo), count);
    *hi = quotient;
}

/* The reference as hi + lo. */
CP_TEMPLATE void NAME_TAP(finish_reference)(const cp_tap_windows *w, int64_t i)
{
    vf64 zero = vf64_set1(0.0), count = NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i);
    vf64 hi = NAME_TAP(get)(w, NAME_TAP(REFERENCE), i), lo = NAME_TAP(get)(w, NAME_TAP(REFERENCE_REST), i);
    if (w->detail.reference == CP_DETAIL_GIVEN) {
        hi = vf64_load(w->u + i);
    } else {
        if (w->detail.reference == CP_DETAIL_FILTER) {
            NAME_TAP(add)(&hi, &lo, vf64_load(w->bias + i));
        }
        lo = vf64_select(vf64_isnan(lo), zero, lo);
        vf64_renormalize(&hi, &lo);
    }
    if (w->detail.reference == CP_DETAIL_BOX) {
        NAME_TAP(divide_sum)(&hi, &lo, count);
    }
    NAME_TAP(put)(w, NAME_TAP(REFERENCE), i, hi);
    NAME_TAP(put)(w, NAME_TAP(REFERENCE_REST), i, vf64_select(vf64_isnan(lo), zero, lo));
}

CP_TEMPLATE void NAME_TAP(finish_scale)(const cp_tap_windows *w, int64_t i)
{
    vf64 one = vf64_set1(1.0), zero = vf64_set1(0.0), count = NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i);
    vf64 scale = NAME_TAP(get)(w, NAME_TAP(SCALE), i), scale_rest = NAME_TAP(get)(w, NAME_TAP(SCALE_REST), i);
    vf64 most = NAME_TAP(get)(w, NAME_TAP(MOST), i), most_rest = NAME_TAP(get)(w, NAME_TAP(MOST_REST), i);
    vf64 hi, lo, log, rest, mantissa, exponent, alpha, top;
    vf64_mask unit = vf64_eq(count, zero);
    if (w->detail.variant == CPOOL_DPP_MEAN) {
        NAME_TAP(divide_sum)(&scale, &scale_rest, count);
    }
    scale = w->detail.variant == CPOOL_DPP_PLAIN ? one : vf64_select(unit, one, scale);
    scale_rest = w->detail.variant == CPOOL_DPP_PLAIN ? zero : vf64_select(unit, zero, scale_rest);
    NAME_TAP(log2_of_sum)(scale, scale_rest, &hi, &lo);
    NAME_TAP(put)(w, NAME_TAP(SCALE), i, scale);
    NAME_TAP(put)(w, NAME_TAP(LOG_SCALE), i, hi);
    NAME_TAP(put)(w, NAME_TAP(LOG_SCALE_REST), i, lo);
    NAME_TAP(detail_power)(w, i, most, most_rest, &log, &rest, &mantissa, &top);
    vf64_frexp(vf64_load(w->parameter + i), &alpha, &exponent);
    top = vf64_max(top, exponent);
    NAME_TAP(put)(w, NAME_TAP(DETAIL_TOP), i, top);
    NAME_TAP(put)(w, NAME_TAP(ALPHA), i, vf64_mul(alpha, vf64_pow2_down(vf64_sub(exponent, top))));
}

static void NAME_TAP(detail_finish)(const cp_tap_windows *w, int pass)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        if (pass == 0) {
            NAME_TAP(finish_reference)(w, i);
        } else if (pass == 1) {
            NAME_TAP(finish_scale)(w, i);
        } else if (pass == 2) {
            vf64_mask empty = vf64_eq(NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i), zero);
            vf64 weights = vf64_select(empty, vf64_set1(1.0), NAME_TAP(total_of_row)(w, NAME_TAP(WEIGHTS), i));
            vf64_store(w->y + i, vf64_div(NAME_TAP(total_of_row)(w, NAME_TAP(WEIGHED), i), weights));
            NAME_TAP(put)(w, NAME_TAP(WEIGHTS), i, weights);
        } else {
            int row = pass == 3 ? NAME_TAP(PULL_SHARE) : NAME_TAP(PULL);
            NAME_TAP(put)(w, row, i, NAME_TAP(total_of_row)(w, row, i));
        }
    }
}

static void NAME_TAP(detail_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 alpha = NAME_TAP(get)(w, NAME_TAP(ALPHA), i), weights = NAME_TAP(get)(w, NAME_TAP(WEIGHTS), i);
        vf64 pull = NAME_TAP(get)(w, NAME_TAP(PULL), i), dy = vf64_load(w->dy + i);
        vf64 each = vf64_div(pull, NAME_TAP(get)(w, NAME_TAP(DETAIL_COUNT), i));
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(weighed_detail_at)(w, b, t, i);
            vf64 dx = vf64_select(e.inside, vf64_div(vf64_add(alpha, e.rho), weights), zero);
            dx = vf64_add(dx, NAME_TAP(detail_slope)(w, &e, i));
            if (w->detail.reference == CP_DETAIL_BOX) {
                dx = vf64_sub(dx, vf64_select(e.inside, each, zero));
            } else if (w->detail.reference == CP_DETAIL_FILTER && b->number[t] >= 0) {
                dx = vf64_sub(dx, vf64_mul(vf64_load(w->weight + (int64_t)b->number[t] * w->n + i), pull));
            }
            vf64_store(b->gradient[0] + t * b->n + i, vf64_mul(dy, dx));
        }
    }
}

/* Of alpha, lambda, the filter's bias, then of every element of the filter. */
static void NAME_TAP(detail_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 to_reference = vf64_mul(vf64_load(w->dy + i), NAME_TAP(get)(w, NAME_TAP(PULL), i));
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(weighed_detail_at)(w, b, t, i);
            vf64 part = vf64_mul(NAME_TAP(detail_part)(w, &e, i), vf64_add(e.log, e.log_rest));
            vf64 difference = vf64_sub(e.x, vf64_load(w->y + i));
            NAME_TAP(add_to_row)(w, NAME_TAP(BY_ALPHA), i, vf64_select(e.inside, difference, zero));
            NAME_TAP(add_to_row)(w, NAME_TAP(BY_LAMBDA), i, vf64_select(e.inside, part, zero));
            if (w->detail.reference == CP_DETAIL_FILTER && b->number[t] >= 0) {
                vf64 term = vf64_select(e.there, vf64_mul(to_reference, e.x), zero);
                vf64_store(w->terms + (3 + (int64_t)b->number[t]) * w->n + i, vf64_sub(zero, term));
            }
        }
    }
}

static void NAME_TAP(detail_finish_terms)(const cp_tap_windows *w)
{
    vf64 zero = vf64_set1(0.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i), top = NAME_TAP(get)(w, NAME_TAP(DETAIL_TOP), i);
        vf64 by_alpha = NAME_TAP(total_of_row)(w, NAME_TAP(BY_ALPHA), i);
        by_alpha = vf64_scale(vf64_div(by_alpha, NAME_TAP(get)(w, NAME_TAP(WEIGHTS), i)), vf64_sub(zero, top));
        vf64 by_lambda = vf64_mul(NAME_TAP(total_of_row)(w, NAME_TAP(BY_LAMBDA), i), vf64_set1(0.5 * CP_LN2));
        vf64 to_reference = vf64_sub(zero, vf64_mul(dy, NAME_TAP(get)(w, NAME_TAP(PULL), i)));
        vf64_store(w->terms + i, vf64_mul(dy, by_alpha));
        vf64_store(w->terms + w->n + i, vf64_mul(dy, by_lambda));
        vf64_store(w->terms + 2 * w->n + i, to_reference);
        vf64_store(w->tap + i, to_reference);
    }
}
