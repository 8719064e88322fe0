/* Axis tables: which source positions each target position of one axis reads. Geometry of every kind (sliding, adaptive, whole,
 * and the transposition of each that gradients follow) is one of these and nothing else. They are functions rather than stored
 * tables, so an axis of any length costs no memory. */
#ifndef CP_PLAN_AXIS_H
#define CP_PLAN_AXIS_H

#include <stddef.h>
#include <stdint.h>

#include "integers.h"

typedef enum cp_axis_kind {
    CP_AXIS_SLIDING,    /* target t reads t * stride - pad + j * dilation, 0 <= j < window */
    CP_AXIS_BINS,       /* target t reads floor(t * sources / targets) to ceil((t + 1) * sources / targets) - 1 */
    CP_AXIS_STARTS,     /* target t reads starts[t] - pad + j * dilation, 0 <= j < window; it has no transposition */
    CP_AXIS_TRANSPOSED, /* target t reads the outputs of a sliding axis whose windows hold t, ascending */
} cp_axis_kind;

typedef struct cp_axis {
    cp_axis_kind kind;
    int64_t sources, targets;
    int64_t taps; /* of the widest window; every window of the axis is folded as if it had this many, some of them absent */
    int64_t window, stride, dilation, pad; /* sliding, and the sliding axis that a transposed one comes from */
    int64_t gcd, inverse;                  /* transposed: of stride and dilation; of dilation / gcd modulo stride / gcd */
    const int64_t *starts;                 /* ascending; they may be provided when all else is planned */
    double pace, spread;                   /* t targets of them begin within t * pace + spread */
} cp_axis;

/* Source of tap j is first + j * step; it is there for lo <= j < hi, and 0 <= lo <= hi <= taps. */
typedef struct cp_span {
    int64_t first, step, lo, hi;
} cp_span;

static inline cp_axis cp_axis_sliding(int64_t sources, int64_t targets, int64_t window, int64_t stride, int64_t dilation,
                                      int64_t pad)
{
    cp_axis axis = {CP_AXIS_SLIDING, sources, targets, window, window, stride, dilation, pad, 0, 0, NULL, 0, 0};
    return axis;
}

cp_axis cp_axis_bins(int64_t sources, int64_t targets);
cp_axis cp_axis_starts(int64_t sources, int64_t targets, int64_t window, int64_t dilation, int64_t pad, double pace,
                       double spread);
cp_axis cp_axis_transpose(const cp_axis *axis);

/* That of an axis of another kind than the first, which most are of. */
cp_span cp_axis_span_not_sliding(const cp_axis *axis, int64_t target);

static inline cp_span cp_span_clip(cp_span span, int64_t taps, int64_t sources)
{
    int64_t before = span.first < 0 ? -span.first : 0, left = sources - span.first;
    span.lo = span.step == 1 ? before : cp_ceil_div(before, span.step);
    span.hi = left <= 0 ? 0 : cp_min64(taps, span.step == 1 ? left : cp_ceil_div(left, span.step));
    if (span.lo >= span.hi) {
        span.lo = span.hi = 0;
    }
    return span;
}

static inline cp_span cp_axis_span(const cp_axis *axis, int64_t target)
{
    if (axis->kind != CP_AXIS_SLIDING) {
        return cp_axis_span_not_sliding(axis, target);
    }
    cp_span span = {target * axis->stride - axis->pad, axis->dilation, 0, 0};
    return cp_span_clip(span, axis->taps, axis->sources);
}

/* The stride of a sliding axis; 1 where it has one target, of which it may be anything. */
static inline int64_t cp_axis_stride(const cp_axis *axis)
{
    return axis->targets == 1 ? 1 : axis->stride;
}

/* Number of taps of a target below `limit` (the end of the padding, for averages that count it). */
int64_t cp_axis_count_below(const cp_axis *axis, int64_t target, int64_t limit);

/* The targets whose windows reach into sources lo to hi - 1: from *from on, before *to. */
void cp_axis_holders(const cp_axis *axis, int64_t lo, int64_t hi, int64_t *from, int64_t *to);

/* Distance in sources from one target to the next where it is the same everywhere, else 0. */
int64_t cp_axis_advance(const cp_axis *axis);

/* Sources from the first to the last that any of `targets` neighbouring targets may read, absent ones included; at most
 * 2^40, which is more than any scratch holds. */
int64_t cp_axis_reach(const cp_axis *axis, int64_t targets);

#endif
