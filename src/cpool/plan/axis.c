#include "axis.h"

#include <stddef.h>

#include "integers.h"

/* floor(a * b / c) and the remainder, for 0 <= a, b and 0 < c; the quotient must fit. */
#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 cp_u128;
static int64_t mul_div(int64_t a, int64_t b, int64_t c, int64_t *remainder)
{
    cp_u128 product = (cp_u128)(uint64_t)a * (uint64_t)b;
    *remainder = (int64_t)(product % (uint64_t)c);
    return (int64_t)(product / (uint64_t)c);
}
#else
static int64_t mul_div(int64_t a, int64_t b, int64_t c, int64_t *remainder)
{
    uint64_t quotient = 0, rest = 0, whole = (uint64_t)(b / c), part = (uint64_t)(b % c), limit = (uint64_t)c;
    for (int bit = 62; bit >= 0; bit--) { /* Horner in binary: no intermediate exceeds 2 c */
        quotient = 2 * quotient + (2 * rest >= limit);
        rest = 2 * rest >= limit ? 2 * rest - limit : 2 * rest;
        if ((a >> bit) & 1) {
            quotient += whole + (rest + part >= limit);
            rest = rest + part >= limit ? rest + part - limit : rest + part;
        }
    }
    *remainder = (int64_t)rest;
    return (int64_t)quotient;
}
#endif

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int64_t modular_inverse(int64_t value, int64_t modulus) /* coprime; in [0, modulus) */
{
    int64_t r0 = modulus, r1 = value % modulus, s0 = 0, s1 = 1;
    while (r1 > 1) {
        int64_t quotient = r0 / r1, r2 = r0 % r1, s2 = s0 - quotient * s1;
        r0 = r1;
        r1 = r2;
        s0 = s1;
        s1 = s2;
    }
    return modulus == 1 ? 0 : s1 < 0 ? s1 + modulus : s1;
}

cp_axis cp_axis_bins(int64_t sources, int64_t targets)
{
    int64_t whole = sources / targets, rest = sources % targets;
    if (rest == 0) { /* equal bins slide */
        return cp_axis_sliding(sources, targets, whole, whole, 1, 0);
    }
    /* A bin covers `whole` sources and one more, and a second more if a boundary of sources lies strictly inside it. */
    cp_axis axis = {CP_AXIS_BINS, sources, targets, whole + (targets % rest == 0 ? 1 : 2), 0, 0, 1, 0, 0, 0, NULL, 0, 0};
    return axis;
}

cp_axis cp_axis_starts(int64_t sources, int64_t targets, int64_t window, int64_t dilation, int64_t pad, double pace,
                       double spread)
{
    cp_axis axis = {CP_AXIS_STARTS, sources, targets, window, window, 0, dilation, pad, 0, 0, NULL, pace, spread};
    return axis;
}

cp_axis cp_axis_transpose(const cp_axis *axis)
{
    if (axis->kind == CP_AXIS_BINS) { /* bins are their own transposition, with the roles exchanged */
        cp_axis bins = {CP_AXIS_BINS, axis->targets, axis->sources, 0, 0, 0, 1, 0, 0, 0, NULL, 0, 0};
        int64_t whole = axis->targets / axis->sources, rest = axis->targets % axis->sources;
        bins.taps = rest == 0 ? whole : whole + (axis->sources % rest == 0 ? 1 : 2);
        return bins;
    }
    cp_axis result = *axis;
    int64_t gcd = greatest_common_divisor(axis->stride, axis->dilation);
    result.kind = CP_AXIS_TRANSPOSED;
    result.sources = axis->targets;
    result.targets = axis->sources;
    result.taps = cp_ceil_div(axis->window, axis->stride / gcd);
    result.gcd = gcd;
    result.inverse = modular_inverse(axis->dilation / gcd, axis->stride / gcd);
    return result;
}

static cp_span transposed_span(const cp_axis *axis, int64_t target)
{
    cp_span none = {0, 1, 0, 0};
    int64_t position = target + axis->pad, modulus = axis->stride / axis->gcd, tap;
    if (position % axis->gcd != 0) {
        return none;
    }
    /* The forward taps j that hold the target: position - j * dilation is a multiple of stride. */
    (void)mul_div(position / axis->gcd % modulus, axis->inverse, modulus, &tap);
    if (modulus == 1) {
        tap = 0;
    }
    if (tap >= axis->window) {
        return none;
    }
    int64_t count = (axis->window - 1 - tap) / modulus + 1, last = tap + (count - 1) * modulus;
    cp_span span = {(position - last * axis->dilation) / axis->stride, axis->dilation / axis->gcd, 0, 0};
    return cp_span_clip(span, count, axis->sources);
}

cp_span cp_axis_span_not_sliding(const cp_axis *axis, int64_t target)
{
    if (axis->kind == CP_AXIS_STARTS) {
        cp_span span = {axis->starts[target] - axis->pad, axis->dilation, 0, 0};
        return cp_span_clip(span, axis->taps, axis->sources);
    }
    if (axis->kind == CP_AXIS_TRANSPOSED) {
        return transposed_span(axis, target);
    }
    int64_t rest;
    cp_span span = {mul_div(target, axis->sources, axis->targets, &rest), 1, 0, 0};
    span.hi = mul_div(target + 1, axis->sources, axis->targets, &rest) + (rest != 0) - span.first;
    return span;
}

int64_t cp_axis_count_below(const cp_axis *axis, int64_t target, int64_t limit)
{
    cp_span span = cp_axis_span(axis, target);
    if (axis->kind != CP_AXIS_SLIDING) {
        return span.hi - span.lo;
    }
    return limit <= span.first ? 0 : cp_min64(axis->taps, cp_ceil_div(limit - span.first, span.step));
}

void cp_axis_holders(const cp_axis *axis, int64_t lo, int64_t hi, int64_t *from, int64_t *to)
{
    if (axis->kind == CP_AXIS_BINS) {
        cp_axis transposed = cp_axis_transpose(axis);
        cp_span last = cp_axis_span(&transposed, hi - 1);
        *from = cp_axis_span(&transposed, lo).first;
        *to = last.first + last.hi;
        return;
    }
    /* Target t begins at t * stride - pad and ends `reach` behind. */
    int64_t reach = (axis->window - 1) * axis->dilation, before = lo + axis->pad - reach,
            last = (hi - 1 + axis->pad) / axis->stride;
    *from = before <= 0 ? 0 : cp_ceil_div(before, axis->stride);
    *to = cp_min64(last, axis->targets - 1) + 1;
}

int64_t cp_axis_advance(const cp_axis *axis)
{
    switch (axis->kind) {
    case CP_AXIS_SLIDING: return axis->stride;
    case CP_AXIS_TRANSPOSED: return axis->stride == 1 ? 1 : 0;
    case CP_AXIS_STARTS:
    case CP_AXIS_BINS: break;
    }
    return 0;
}

int64_t cp_axis_reach(const cp_axis *axis, int64_t targets)
{
    /* In double: only compared with memory budgets, and a product of two int64 may overflow. */
    double per_target, extent;
    if (axis->kind == CP_AXIS_SLIDING) {
        per_target = (double)axis->stride;
        extent = (double)(axis->taps - 1) * (double)axis->dilation + 1.0;
    } else if (axis->kind == CP_AXIS_TRANSPOSED) {
        per_target = 1.0 / (double)axis->stride;
        extent = (double)axis->window * (double)axis->dilation / (double)axis->stride + 3.0;
    } else if (axis->kind == CP_AXIS_STARTS) {
        per_target = axis->pace;
        extent = (double)(axis->taps - 1) * (double)axis->dilation + axis->spread;
    } else {
        per_target = (double)axis->sources / (double)axis->targets;
        extent = (double)axis->taps + 2.0;
    }
    double reach = (double)(targets - 1) * per_target + extent + 1.0;
    return reach < 0x1p40 ? (int64_t)reach : INT64_C(1) << 40;
}
