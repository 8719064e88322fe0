/* Detail-preserving pooling, window by window: part of kernels/tapwise.h. */

/* What is known of windows, each a row of the state between two passes; most are sums with their rests. The reference is a sum,
 * then hi + lo; scale is Z; weights are kept times 2^-top, and their sum becomes its inverse; share is sum (x - y) rho / W,
 * then its part in every du; pull is what all d together pull at the reference. The last two are without dy. */
#define CP_DETAIL_ROWS(ROW) \
    ROW(count) \
    ROW(reference) \
    ROW(reference_rest) \
    ROW(scale) \
    ROW(scale_rest) \
    ROW(most) \
    ROW(most_rest) \
    ROW(log_scale) \
    ROW(log_scale_rest) \
    ROW(top) \
    ROW(alpha) \
    ROW(weights) \
    ROW(weights_rest) \
    ROW(weighed) \
    ROW(weighed_rest) \
    ROW(share) \
    ROW(share_rest) \
    ROW(pull) \
    ROW(pull_rest) \
    ROW(by_alpha) \
    ROW(by_alpha_rest) \
    ROW(by_lambda) \
    ROW(by_lambda_rest)

#define CP_ROW(name) NAME_TAP(row_##name),
enum { CP_DETAIL_ROWS(CP_ROW) NAME_TAP(DETAIL_STATES) };
#undef CP_ROW
_Static_assert((int)NAME_TAP(DETAIL_STATES) <= (int)CP_TAP_MOST_STATES, "the state has no room for these rows");

#define CP_ROW(name) vf64 name;
typedef struct NAME_TAP(details) {
    CP_DETAIL_ROWS(CP_ROW)
    vf64 lambda, y;
} NAME_TAP(details);
#undef CP_ROW

CP_TEMPLATE NAME_TAP(details) NAME_TAP(details_at)(const cp_tap_windows *w, int64_t i)
{
    NAME_TAP(details) s;
#define CP_ROW(name) s.name = NAME_TAP(get)(w, NAME_TAP(row_##name), i);
    CP_DETAIL_ROWS(CP_ROW)
#undef CP_ROW
    s.lambda = vf64_load(w->lambda + i);
    s.y = vf64_load(w->y + i);
    return s;
}

CP_TEMPLATE void NAME_TAP(keep_details)(const cp_tap_windows *w, const NAME_TAP(details) * s, int64_t i)
{
#define CP_ROW(name) NAME_TAP(put)(w, NAME_TAP(row_##name), i, s->name);
    CP_DETAIL_ROWS(CP_ROW)
#undef CP_ROW
    vf64_store(w->y + i, s->y);
}

CP_TEMPLATE NAME_TAP(details) NAME_TAP(no_details)(const cp_tap_windows *w, int64_t i)
{
    NAME_TAP(details) s;
#define CP_ROW(name) s.name = vf64_set1(0.0);
    CP_DETAIL_ROWS(CP_ROW)
#undef CP_ROW
    s.lambda = vf64_load(w->lambda + i);
    s.y = vf64_set1(0.0);
    return s;
}

/* ---- Elements ---- */

/* An element of a window, and what becomes of it. */
typedef struct NAME_TAP(detail) {
    vf64 is_inside;
    vf64_mask there, inside; /* inside: it is an element of the window, not of the filter alone */
    vf64 x, d;
    vf64 u, u_rest;     /* hi + lo: a power multiplies what is lost */
    vf64 log, log_rest; /* log2(u / Z) */
    vf64 rho;           /* times 2^-top */
} NAME_TAP(detail);

CP_TEMPLATE NAME_TAP(detail)
    NAME_TAP(detail_at)(cp_detail how, const NAME_TAP(details) * s, const cp_tap_block *b, int64_t t, int64_t i)
{
    NAME_TAP(detail) e;
    vf64 zero = vf64_set1(0.0), there = vf64_load(b->tap[t].there + i);
    e.is_inside = how.reference == CP_DETAIL_FILTER ? vf64_mul(there, vf64_set1(b->inside[t])) : there;
    e.there = vf64_gt(there, zero);
    e.inside = how.reference == CP_DETAIL_FILTER ? vf64_gt(e.is_inside, zero) : e.there;
    e.x = vf64_load(b->tap[t].leaf[0] + i);
    if (!CP_TAP_EXACT) {
        e.d = vf64_sub(e.x, s->reference);
        e.d = how.asymmetric ? NAME_TAP(positive)(e.d) : e.d;
        e.u = vf64_add(vf64_mul(e.d, e.d), vf64_set1(how.eps2));
        e.u_rest = zero;
        return e;
    }
    vf64 d_rest = vf64_sub(zero, s->reference_rest);
    e.d = e.x;
    NAME_TAP(add)(&e.d, &d_rest, vf64_sub(zero, s->reference));
    d_rest = vf64_select(vf64_isnan(d_rest), zero, d_rest);
    vf64_renormalize(&e.d, &d_rest);
    if (how.asymmetric) {
        d_rest = vf64_select(vf64_gt(e.d, zero), d_rest, zero);
        e.d = NAME_TAP(positive)(e.d);
    }
    vf64 square = e.d;
    e.u = vf64_mul(e.d, e.d);
    e.u_rest = vf64_add(d_rest, d_rest);
    vf64_mul_dd(&square, &e.u_rest, e.d);
    NAME_TAP(add)(&e.u, &e.u_rest, vf64_set1(how.eps2));
    e.u_rest = vf64_select(vf64_isnan(e.u_rest), zero, e.u_rest); /* of a square that is no number */
    vf64_renormalize(&e.u, &e.u_rest);
    return e;
}

/* log2(x + rest), the rest below an ulp of x. Of floats a flat x is normal. */
CP_TEMPLATE void NAME_TAP(log2_of_sum)(int flat, vf64 x, vf64 rest, vf64 *hi, vf64 *lo)
{
    vf64 zero = vf64_set1(0.0);
    if (!CP_TAP_EXACT) {
        vf64_mask denormal = vf64_gt(vf64_set1(0x1p-1022), x), number = vf64_gt(vf64_set1(cp_infinity()), x);
        *lo = zero;
        if (flat) {
            *hi = vf64_log2_near(x);
            return;
        }
        *hi = vf64_log2_near(vf64_select(denormal, vf64_mul(x, vf64_set1(0x1p54)), x));
        *hi = vf64_sub(*hi, vf64_select(denormal, vf64_set1(54.0), zero));
        *hi = vf64_select(number, *hi, x);
        return;
    }
    vf64 more = vf64_mul(vf64_div(rest, x), vf64_set1(CP_LOG2_E));
    vf64_log2_dd(x, hi, lo);
    *lo = vf64_add(*lo, vf64_select(vf64_isnan(more), zero, more));
}

/* log2((u + u_rest) / Z) */
CP_TEMPLATE void NAME_TAP(log2_of_ratio)(int flat, const NAME_TAP(details) * s, vf64 u, vf64 u_rest, vf64 *log, vf64 *rest)
{
    vf64 hi, lo;
    NAME_TAP(log2_of_sum)(flat, u, u_rest, &hi, &lo);
    *log = vf64_sub(hi, s->log_scale);
    *rest = lo;
    if (CP_TAP_EXACT) {
        *rest = vf64_add(vf64_sub(hi, vf64_add(*log, s->log_scale)), vf64_sub(lo, s->log_scale_rest));
        vf64_renormalize(log, rest);
    }
}

/* (u / Z)^(lambda / 2) as mantissa and exponent, from the logarithm. */
CP_TEMPLATE void NAME_TAP(detail_power)(const NAME_TAP(details) * s, vf64 log, vf64 rest, vf64 *mantissa, vf64 *exponent)
{
    vf64 half = vf64_mul(s->lambda, vf64_set1(0.5));
    if (!CP_TAP_EXACT) {
        vf64 power = vf64_mul(log, half), most = vf64_set1(0x1p49);
        vf64_exp2_near(vf64_max(vf64_min(power, most), vf64_sub(rest, most)), mantissa, exponent);
        return;
    }
    vf64_mul_dd(&log, &rest, vf64_min(half, vf64_set1(0x1p100))); /* beyond that the largest takes all anyway */
    vf64_exp2_dd(log, rest, mantissa, exponent);
}

/* Logarithm and rho, 0 outside the window; of a flat one both are something there. */
CP_TEMPLATE void NAME_TAP(take_log)(int flat, const NAME_TAP(details) * s, NAME_TAP(detail) * e)
{
    vf64 zero = vf64_set1(0.0);
    NAME_TAP(log2_of_ratio)(flat, s, e->u, e->u_rest, &e->log, &e->log_rest);
    e->log = flat ? e->log : vf64_select(e->inside, e->log, zero);
    e->log_rest = flat ? e->log_rest : vf64_select(e->inside, e->log_rest, zero);
}

CP_TEMPLATE void NAME_TAP(take_power)(const NAME_TAP(details) * s, NAME_TAP(detail) * e)
{
    vf64 mantissa, exponent;
    NAME_TAP(detail_power)(s, e->log, e->log_rest, &mantissa, &exponent);
    e->rho = vf64_mul(mantissa, vf64_pow2_down(vf64_sub(exponent, s->top)));
    e->rho = vf64_select(e->inside, e->rho, vf64_set1(0.0));
}

/* top is 0; adds the square of the logarithm to `powers`. */
CP_TEMPLATE void NAME_TAP(take_flat_power)(const NAME_TAP(details) * s, NAME_TAP(detail) * e, vf64 *powers)
{
    vf64 power = vf64_mul(e->log, vf64_mul(s->lambda, vf64_set1(0.5))), mantissa, exponent;
    *powers = vf64_mad(power, power, *powers);
    vf64_exp2_near(power, &mantissa, &exponent);
    e->rho = vf64_exp2_flat(mantissa, exponent);
}

CP_TEMPLATE void NAME_TAP(weigh)(const NAME_TAP(details) * s, NAME_TAP(detail) * e)
{
    NAME_TAP(take_log)(0, s, e);
    NAME_TAP(take_power)(s, e);
}

/* x - y, 0 outside the window, and times rho / W. */
CP_TEMPLATE vf64 NAME_TAP(detail_part)(const NAME_TAP(details) * s, const NAME_TAP(detail) * e, vf64 *difference)
{
    *difference = vf64_select(e->inside, vf64_sub(e->x, s->y), vf64_set1(0.0));
    return vf64_mul(*difference, vf64_mul(e->rho, s->weights));
}

/* The gradient of d, without dy; 0 outside the window. */
CP_TEMPLATE vf64 NAME_TAP(detail_slope)(cp_detail how, int flat, const NAME_TAP(details) * s, const NAME_TAP(detail) * e,
                                        vf64 part)
{
    vf64 du = vf64_div(part, e->u);
    if (how.variant != CPOOL_DPP_PLAIN) {
        du = vf64_sub(du, s->share);
    }
    vf64 slope = vf64_mul(vf64_mul(e->d, s->lambda), du); /* 2 d (lambda / 2) */
    return flat && how.variant == CPOOL_DPP_PLAIN ? slope : vf64_select(e->inside, slope, vf64_set1(0.0));
}

/* ---- Sums over the elements of windows ---- */

CP_TEMPLATE void NAME_TAP(add_to_reference)(cp_detail how, NAME_TAP(details) * s, const cp_tap_windows *w,
                                            const cp_tap_block *b, const NAME_TAP(detail) * e, int64_t t, int64_t i)
{
    vf64 zero = vf64_set1(0.0);
    s->count = vf64_add(s->count, e->is_inside);
    if (how.reference == CP_DETAIL_BOX) {
        NAME_TAP(add)(&s->reference, &s->reference_rest, e->x);
    } else if (how.reference == CP_DETAIL_FILTER && b->number[t] >= 0) {
        vf64 factor = vf64_load(w->weight + (int64_t)b->number[t] * w->n + i), product = e->x, error = zero;
        NAME_TAP(add)(&s->reference, &s->reference_rest, vf64_select(e->there, vf64_mul(e->x, factor), zero));
        if (CP_TAP_EXACT) { /* the rounding error of the product counts as well */
            vf64_mul_dd(&product, &error, factor);
            error = vf64_select(vf64_isnan(error), zero, error); /* of a product that is no number */
            s->reference_rest = vf64_add(s->reference_rest, vf64_select(e->there, error, zero));
        }
    }
}

CP_TEMPLATE void NAME_TAP(add_to_scale)(cp_detail how, NAME_TAP(details) * s, const NAME_TAP(detail) * e)
{
    vf64 zero = vf64_set1(0.0);
    if (how.variant != CPOOL_DPP_PLAIN) {
        NAME_TAP(add)(&s->scale, &s->scale_rest, vf64_select(e->inside, e->u, zero));
        s->scale_rest = vf64_add(s->scale_rest, vf64_select(e->inside, e->u_rest, zero));
    }
}

CP_TEMPLATE void NAME_TAP(add_to_most)(NAME_TAP(details) * s, const NAME_TAP(detail) * e)
{
    vf64 zero = vf64_set1(0.0), u = vf64_select(e->inside, e->u, zero), rest = vf64_select(e->inside, e->u_rest, zero);
    vf64_mask more = vf64_mask_and(vf64_eq(u, s->most), vf64_gt(rest, s->most_rest));
    more = vf64_mask_or(vf64_mask_or(vf64_gt(u, s->most), vf64_isnan(u)), more);
    s->most = vf64_select(more, u, s->most);
    s->most_rest = vf64_select(more, rest, s->most_rest);
}

/* Where the reference is no filter, x is 0 outside the window. */
CP_TEMPLATE void NAME_TAP(add_to_weights)(cp_detail how, NAME_TAP(details) * s, const NAME_TAP(detail) * e)
{
    vf64 zero = vf64_set1(0.0), weight = vf64_select(e->inside, vf64_add(s->alpha, e->rho), zero);
    vf64 x = how.reference == CP_DETAIL_FILTER ? vf64_select(e->inside, e->x, zero) : e->x;
    NAME_TAP(add)(&s->weights, &s->weights_rest, weight);
    NAME_TAP(add)(&s->weighed, &s->weighed_rest, vf64_mul(weight, x));
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
CP_TEMPLATE void NAME_TAP(finish_reference)(cp_detail how, NAME_TAP(details) * s, const cp_tap_windows *w, int64_t i)
{
    vf64 zero = vf64_set1(0.0), hi = s->reference, lo = s->reference_rest;
    if (how.reference == CP_DETAIL_GIVEN) {
        hi = vf64_load(w->u + i);
    } else {
        if (how.reference == CP_DETAIL_FILTER) {
            NAME_TAP(add)(&hi, &lo, vf64_load(w->bias + i));
        }
        lo = vf64_select(vf64_isnan(lo), zero, lo);
        vf64_renormalize(&hi, &lo);
    }
    if (how.reference == CP_DETAIL_BOX) {
        NAME_TAP(divide_sum)(&hi, &lo, vf64_select(vf64_eq(s->count, zero), vf64_set1(1.0), s->count));
    }
    s->reference = hi;
    s->reference_rest = vf64_select(vf64_isnan(lo), zero, lo);
}

CP_TEMPLATE void NAME_TAP(finish_scale)(cp_detail how, int flat, NAME_TAP(details) * s)
{
    vf64 one = vf64_set1(1.0), zero = vf64_set1(0.0);
    vf64_mask unit = vf64_eq(s->count, zero);
    if (how.variant == CPOOL_DPP_PLAIN) {
        s->scale = one;
        return;
    }
    if (how.variant == CPOOL_DPP_MEAN) {
        NAME_TAP(divide_sum)(&s->scale, &s->scale_rest, s->count);
    }
    s->scale = vf64_select(unit, one, s->scale);
    s->scale_rest = vf64_select(unit, zero, s->scale_rest);
    NAME_TAP(log2_of_sum)(flat, s->scale, s->scale_rest, &s->log_scale, &s->log_scale_rest);
}

/* The exponent of the largest weight. */
CP_TEMPLATE void NAME_TAP(finish_most)(NAME_TAP(details) * s, const cp_tap_windows *w, int64_t i)
{
    vf64 log, rest, mantissa, top, alpha, exponent;
    NAME_TAP(log2_of_ratio)(0, s, s->most, s->most_rest, &log, &rest);
    NAME_TAP(detail_power)(s, log, rest, &mantissa, &top);
    vf64_frexp(vf64_load(w->parameter + i), &alpha, &exponent);
    s->top = vf64_max(top, exponent);
    s->alpha = vf64_mul(alpha, vf64_pow2_down(vf64_sub(exponent, s->top)));
}

CP_TEMPLATE void NAME_TAP(finish_weights)(NAME_TAP(details) * s)
{
    vf64 one = vf64_set1(1.0);
    vf64 weights = vf64_select(vf64_eq(s->count, vf64_set1(0.0)), one, NAME_TAP(total)(s->weights, s->weights_rest));
    s->y = vf64_div(NAME_TAP(total)(s->weighed, s->weighed_rest), weights);
    s->weights = vf64_div(one, weights);
}

CP_TEMPLATE void NAME_TAP(finish_share)(cp_detail how, NAME_TAP(details) * s)
{
    s->share = vf64_div(NAME_TAP(total)(s->share, s->share_rest), s->scale);
    s->share = how.variant == CPOOL_DPP_MEAN ? vf64_div(s->share, s->count) : s->share;
}

/* ---- Gradients ---- */

CP_TEMPLATE void NAME_TAP(put_gradient)(cp_detail how, const NAME_TAP(details) * s, const cp_tap_windows *w,
                                        const cp_tap_block *b, const NAME_TAP(detail) * e, vf64 slope, vf64 each, int64_t t,
                                        int64_t i)
{
    vf64 dx = vf64_mul(vf64_add(s->alpha, e->rho), s->weights);
    if (how.reference == CP_DETAIL_FILTER) {
        dx = vf64_select(e->inside, dx, vf64_set1(0.0));
    }
    dx = vf64_add(dx, slope);
    if (how.reference == CP_DETAIL_BOX) {
        dx = vf64_sub(dx, each);
    } else if (how.reference == CP_DETAIL_FILTER && b->number[t] >= 0) {
        dx = vf64_sub(dx, vf64_mul(vf64_load(w->weight + (int64_t)b->number[t] * w->n + i), s->pull));
    }
    vf64_store(b->gradient[0] + t * b->n + i, vf64_mul(vf64_load(w->dy + i), dx));
}

/* The gradients of elements of the filter. */
CP_TEMPLATE void NAME_TAP(filter_terms)(const NAME_TAP(details) * s, const cp_tap_windows *w, const cp_tap_block *b,
                                        const NAME_TAP(detail) * e, int64_t t, int64_t i)
{
    vf64 zero = vf64_set1(0.0), term = vf64_mul(vf64_mul(vf64_load(w->dy + i), s->pull), e->x);
    if (b->number[t] >= 0) {
        vf64_store(w->terms + (3 + (int64_t)b->number[t]) * w->n + i, vf64_sub(zero, vf64_select(e->there, term, zero)));
    }
}

CP_TEMPLATE void NAME_TAP(add_to_terms)(NAME_TAP(details) * s, const NAME_TAP(detail) * e, vf64 difference, vf64 part)
{
    NAME_TAP(add)(&s->by_alpha, &s->by_alpha_rest, difference);
    NAME_TAP(add)(&s->by_lambda, &s->by_lambda_rest, vf64_mul(part, vf64_add(e->log, e->log_rest)));
}

/* Of alpha, lambda, the filter's bias, and the reference. */
CP_TEMPLATE void NAME_TAP(put_terms)(const NAME_TAP(details) * s, const cp_tap_windows *w, int64_t i)
{
    vf64 zero = vf64_set1(0.0), dy = vf64_load(w->dy + i);
    vf64 by_alpha = vf64_mul(NAME_TAP(total)(s->by_alpha, s->by_alpha_rest), s->weights);
    vf64 by_lambda = vf64_mul(NAME_TAP(total)(s->by_lambda, s->by_lambda_rest), vf64_set1(0.5 * CP_LN2));
    vf64 to_reference = vf64_sub(zero, vf64_mul(dy, s->pull));
    by_alpha = vf64_scale(by_alpha, vf64_sub(zero, s->top));
    vf64_store(w->terms + i, vf64_mul(dy, by_alpha));
    vf64_store(w->terms + w->n + i, vf64_mul(dy, by_lambda));
    vf64_store(w->terms + 2 * w->n + i, to_reference);
    vf64_store(w->tap + i, to_reference);
}

/* ---- Pass by pass ---- */

CP_TEMPLATE void NAME_TAP(detail_pass_of)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(details_at)(w, i);
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(w->detail, &s, b, t, i);
            vf64 difference, part;
            if (pass == 0) {
                NAME_TAP(add_to_reference)(w->detail, &s, w, b, &e, t, i);
            } else if (pass == 1) {
                NAME_TAP(add_to_scale)(w->detail, &s, &e);
                NAME_TAP(add_to_most)(&s, &e);
            } else if (pass == 2) {
                NAME_TAP(weigh)(&s, &e);
                NAME_TAP(add_to_weights)(w->detail, &s, &e);
            } else {
                NAME_TAP(weigh)(&s, &e);
                part = NAME_TAP(detail_part)(&s, &e, &difference);
                if (pass == 3) {
                    NAME_TAP(add)(&s.share, &s.share_rest, part);
                } else {
                    NAME_TAP(add)(&s.pull, &s.pull_rest, NAME_TAP(detail_slope)(w->detail, 0, &s, &e, part));
                }
            }
        }
        NAME_TAP(keep_details)(w, &s, i);
    }
}

static void NAME_TAP(detail_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    switch (pass) {
    case 0: NAME_TAP(detail_pass_of)(w, b, 0); break;
    case 1: NAME_TAP(detail_pass_of)(w, b, 1); break;
    case 2: NAME_TAP(detail_pass_of)(w, b, 2); break;
    case 3:
        if (w->detail.variant != CPOOL_DPP_PLAIN) {
            NAME_TAP(detail_pass_of)(w, b, 3);
        }
        break;
    default: NAME_TAP(detail_pass_of)(w, b, 4); break;
    }
}

static void NAME_TAP(detail_finish)(const cp_tap_windows *w, int pass)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(details_at)(w, i);
        if (pass == 0) {
            NAME_TAP(finish_reference)(w->detail, &s, w, i);
        } else if (pass == 1) {
            NAME_TAP(finish_scale)(w->detail, 0, &s);
            NAME_TAP(finish_most)(&s, w, i);
        } else if (pass == 2) {
            NAME_TAP(finish_weights)(&s);
        } else if (pass == 3) {
            NAME_TAP(finish_share)(w->detail, &s);
        } else {
            s.pull = NAME_TAP(total)(s.pull, s.pull_rest);
        }
        NAME_TAP(keep_details)(w, &s, i);
    }
}

static void NAME_TAP(detail_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(details_at)(w, i);
        vf64 each = vf64_div(s.pull, s.count), difference;
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(w->detail, &s, b, t, i);
            NAME_TAP(weigh)(&s, &e);
            vf64 slope = NAME_TAP(detail_slope)(w->detail, 0, &s, &e, NAME_TAP(detail_part)(&s, &e, &difference));
            NAME_TAP(put_gradient)(w->detail, &s, w, b, &e, slope, each, t, i);
        }
    }
}

static void NAME_TAP(detail_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(details_at)(w, i);
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(w->detail, &s, b, t, i);
            vf64 difference, part;
            NAME_TAP(weigh)(&s, &e);
            part = NAME_TAP(detail_part)(&s, &e, &difference);
            NAME_TAP(add_to_terms)(&s, &e, difference, part);
            if (w->detail.reference == CP_DETAIL_FILTER) {
                NAME_TAP(filter_terms)(&s, w, b, &e, t, i);
            }
        }
        NAME_TAP(keep_details)(w, &s, i);
    }
}

static void NAME_TAP(detail_finish_terms)(const cp_tap_windows *w)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(details_at)(w, i);
        NAME_TAP(put_terms)(&s, w, i);
    }
}

/* ---- At once ---- */

/* Windows whose taps are all here, in registers; what was made of each tap is kept. Its longest way,
 * logarithm and power, is cut in two: more taps are under way at a time in short loops. Flat windows
 * of floats need no top: what others divide by its power differs by that power alone, in no other
 * bit. If one turns out not to be flat, 0 is returned, and nothing that was written counts. */
CP_TEMPLATE int NAME_TAP(details_at_once)(cp_detail how, int flat, int gradients, const cp_tap_windows *w,
                                          const cp_tap_block *b, int terms)
{
    double rho[CP_DETAIL_TAPS][vf64_N], log[CP_DETAIL_TAPS][vf64_N], log_rest[CP_DETAIL_TAPS][vf64_N];
    double slope[CP_DETAIL_TAPS][vf64_N];
    int plain = how.variant == CPOOL_DPP_PLAIN;
    vf64 zero = vf64_set1(0.0), far = zero;
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        NAME_TAP(details) s = NAME_TAP(no_details)(w, i);
        vf64 powers = zero, difference, part;
        s.alpha = vf64_load(w->parameter + i);
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            NAME_TAP(add_to_reference)(how, &s, w, b, &e, t, i);
        }
        NAME_TAP(finish_reference)(how, &s, w, i);
        for (int64_t t = 0; t < b->count && !(flat && plain); t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            NAME_TAP(add_to_scale)(how, &s, &e);
            if (!flat) {
                NAME_TAP(add_to_most)(&s, &e);
            }
        }
        NAME_TAP(finish_scale)(how, flat, &s);
        if (!flat) {
            NAME_TAP(finish_most)(&s, w, i);
        }
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            NAME_TAP(take_log)(flat, &s, &e);
            vf64_store(log[t], e.log);
            if (CP_TAP_EXACT) {
                vf64_store(log_rest[t], e.log_rest);
            }
        }
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            e.log = vf64_load(log[t]);
            e.log_rest = CP_TAP_EXACT ? vf64_load(log_rest[t]) : zero;
            if (flat) {
                NAME_TAP(take_flat_power)(&s, &e, &powers);
            } else {
                NAME_TAP(take_power)(&s, &e);
            }
            NAME_TAP(add_to_weights)(how, &s, &e);
            vf64_store(rho[t], e.rho);
        }
        NAME_TAP(finish_weights)(&s);
        vf64_store(w->y + i, s.y);
        if (flat) { /* no u is infinite where neither the reference is that large nor an element, of which y is none either */
            vf64 reach = vf64_add(vf64_abs(s.reference), vf64_add(s.alpha, vf64_sub(s.y, s.y)));
            powers = vf64_add(powers, vf64_mul(reach, vf64_set1(CP_DETAIL_POWERS / CP_DETAIL_MOST)));
            far = vf64_max(far, powers);
        }
        if (!gradients) {
            continue;
        }
        for (int64_t t = 0; t < b->count && !plain; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            e.rho = vf64_load(rho[t]);
            NAME_TAP(add)(&s.share, &s.share_rest, NAME_TAP(detail_part)(&s, &e, &difference));
        }
        NAME_TAP(finish_share)(how, &s);
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            e.rho = vf64_load(rho[t]);
            e.log = vf64_load(log[t]);
            e.log_rest = CP_TAP_EXACT ? vf64_load(log_rest[t]) : zero;
            part = NAME_TAP(detail_part)(&s, &e, &difference);
            NAME_TAP(add_to_terms)(&s, &e, difference, part);
            part = NAME_TAP(detail_slope)(how, flat, &s, &e, part);
            NAME_TAP(add)(&s.pull, &s.pull_rest, part);
            vf64_store(slope[t], part);
        }
        s.pull = NAME_TAP(total)(s.pull, s.pull_rest);
        vf64 each = vf64_div(s.pull, s.count);
        for (int64_t t = 0; t < b->count; t++) {
            NAME_TAP(detail) e = NAME_TAP(detail_at)(how, &s, b, t, i);
            e.rho = vf64_load(rho[t]);
            if (b->gradient[0] != NULL) {
                NAME_TAP(put_gradient)(how, &s, w, b, &e, vf64_load(slope[t]), each, t, i);
            }
            if (terms && how.reference == CP_DETAIL_FILTER) {
                NAME_TAP(filter_terms)(&s, w, b, &e, t, i);
            }
        }
        if (terms) {
            NAME_TAP(put_terms)(&s, w, i);
        }
    }
    return !flat || NAME_TAP(all_below)(far, CP_DETAIL_POWERS);
}

/* Floats are flat as a rule, and the most usual kind of them has code of its own. */
CP_TEMPLATE int NAME_TAP(any_details_at_once)(int gradients, const cp_tap_windows *w, const cp_tap_block *b, int terms)
{
    cp_detail how = w->detail;
    int done = 0;
    if (!CP_TAP_EXACT && how.eps2 > 1 / CP_DETAIL_MOST && how.eps2 < CP_DETAIL_MOST) {
        if (how.reference == CP_DETAIL_BOX && !how.asymmetric && how.variant == CPOOL_DPP_PLAIN) {
            cp_detail usual = {CP_DETAIL_BOX, 0, CPOOL_DPP_PLAIN, how.eps2};
            done = NAME_TAP(details_at_once)(usual, 1, gradients, w, b, terms);
        } else {
            done = NAME_TAP(details_at_once)(how, 1, gradients, w, b, terms);
        }
    }
    return done || NAME_TAP(details_at_once)(how, 0, gradients, w, b, terms);
}

static int NAME_TAP(detail_at_once)(const cp_tap_windows *w, const cp_tap_block *b, int gradients, int terms)
{
    if (b->count > CP_DETAIL_TAPS) {
        return 0;
    }
    return gradients ? NAME_TAP(any_details_at_once)(1, w, b, terms) : NAME_TAP(any_details_at_once)(0, w, b, terms);
}
#undef CP_DETAIL_ROWS
