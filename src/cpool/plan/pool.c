#include "plan/pool.h"

#include <inttypes.h>
#include <string.h>

#include "dtype/list.h"
#include "error.h"
#include "plan/parameters.h"

/* Every role of an operator, the positions that its taps stand for included. */
static uint64_t roles_of(const cp_operator *op)
{
    uint64_t roles = op->required[0] | op->optional[0] | op->required[1] | op->optional[1];
    return roles & cp_role_bit(CPOOL_TAPS) ? roles | cp_role_bit(CPOOL_INDICES) : roles;
}

/* ---- Parameters ---- */

static cpool_status take_params(cp_pool *pool, const cpool_pool_params *params, cpool_error *error)
{
    static const cpool_pool_params init = CPOOL_POOL_PARAMS_INIT;
    CP_TRY(cp_take_struct(&pool->params, &init, sizeof init, offsetof(cpool_pool_params, geometry), params,
                          "CPOOL_POOL_PARAMS_INIT", error));
    const cpool_pool_params *p = &pool->params;
    pool->op = cp_operator_find(p->op);
    if (pool->op == NULL) {
        return cp_fail(error, CPOOL_UNSUPPORTED, 0, "params.op=%" PRId32 " is no operator of this library (%s)", p->op,
                       CPOOL_VERSION);
    }
    if (p->rank < 1 || p->rank > CP_SPACE) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "rank=%" PRId32 ": 1 to 3 spatial axes are possible", p->rank);
    }
    if (p->geometry < CPOOL_SLIDING || p->geometry > CPOOL_WHOLE || p->padding_mode < CPOOL_EXPLICIT ||
        p->padding_mode > CPOOL_SAME_LOWER) {
        return cp_fail(error, CPOOL_UNSUPPORTED, 0,
                       "params.geometry=%" PRId32 ", params.padding_mode=%" PRId32 " are not both known to this library",
                       p->geometry, p->padding_mode);
    }
    if (p->reserved_flags != 0 || cp_any_set(p->reserved) || cp_any_set(p->reserved + 4)) {
        return cp_fail(error, CPOOL_UNSUPPORTED, 0, "params.reserved is set; this library knows no use of it");
    }
    if ((p->flags & ~pool->op->flags) != 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no %s", pool->op->name,
                       p->flags & ~pool->op->flags & CPOOL_CEIL_MODE           ? "ceil_mode"
                       : p->flags & ~pool->op->flags & CPOOL_COUNT_INCLUDE_PAD ? "count_include_pad"
                       : p->flags & ~pool->op->flags & CPOOL_DIVISOR           ? "divisor_override"
                       : p->flags & ~pool->op->flags & CPOOL_MEAN              ? "norm"
                       : p->flags & ~pool->op->flags & CPOOL_ADD               ? "duplicates='add'"
                       : p->flags & ~pool->op->flags & CPOOL_ASYMMETRIC        ? "symmetric=False"
                                                                               : "such flags");
    }
    if (p->flags & CPOOL_DIVISOR && !(p->divisor != 0 && p->divisor - p->divisor == 0)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "divisor_override=%g: it must be finite and not 0", p->divisor);
    }
    int random = p->op == CPOOL_MIXED_RANDOM;
    if (p->granularity < CPOOL_LAYER || p->granularity > (random ? CPOOL_REGION : CPOOL_LAYER)) {
        return cp_fail(error, random ? CPOOL_UNSUPPORTED : CPOOL_INVALID_VALUE, 0,
                       "params.granularity=%" PRId32 " is not known to %s", p->granularity, pool->op->name);
    }
    if (random && !(p->p_max >= 0 && p->p_max <= 1)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "p_max=%g: it must be 0 to 1", p->p_max);
    }
    int32_t variants = p->op == CPOOL_DPP ? CPOOL_DPP_SUM : p->op == CPOOL_BLUR ? CPOOL_ZERO : 0;
    if (p->variant < 0 || p->variant > variants) {
        return cp_fail(error, variants > 0 ? CPOOL_UNSUPPORTED : CPOOL_INVALID_VALUE, 0,
                       "params.variant=%" PRId32 " is not known to %s", p->variant, pool->op->name);
    }
    if (p->op == CPOOL_DPP && !(p->eps2 > 0 && p->eps2 - p->eps2 == 0)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "eps2=%g: it must be finite and greater than 0", p->eps2);
    }
    for (int32_t i = 0; i < p->rank; i++) {
        int given = p->grid[i] != CPOOL_SIZE_DEFAULT;
        if (given && (p->op != CPOOL_S3 || p->grid[i] < 1)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "grid=%" PRId64 "%s", p->grid[i],
                           p->op == CPOOL_S3 ? ": it must be at least 1" : " belongs to s3_pool alone");
        }
    }
    if (p->op == CPOOL_KMAX ? p->k < 1 : p->k != 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "k=%" PRId64 "%s", p->k,
                       p->op == CPOOL_KMAX ? ": it must be at least 1" : " belongs to kmax_pool alone");
    }
    return CPOOL_OK;
}

/* ---- Axes ---- */

static cpool_status take_axes(cp_pool *pool, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int32_t rank = p->rank, unused = CP_SPACE - rank;
    uint64_t spatial = 0;
    if (pool->ndim < rank) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                       "x has %" PRId32 " dimensions, fewer than the %" PRId32 " spatial axes", pool->ndim, rank);
    }
    for (int32_t s = 0; s < CP_SPACE; s++) {
        pool->space[s] = -1;
        pool->in[s] = 1;
        if (s < unused) {
            continue;
        }
        int32_t given = p->axes[s - unused];
        CP_TRY(cp_take_axis(given == CPOOL_AXIS_DEFAULT ? s - CP_SPACE : given, pool->ndim, "axes", &pool->space[s], error));
        if (spatial >> pool->space[s] & 1) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                           "axes=%" PRId32 " is named twice: every spatial axis must be another", given);
        }
        spatial |= UINT64_C(1) << pool->space[s];
        pool->in[s] = pool->x_shape[pool->space[s]];
        if (pool->in[s] < 1) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x has length 0 along the spatial axis %" PRId32 " (shape %s)",
                           pool->space[s], cp_format_shape(pool->x_shape, pool->ndim).text);
        }
    }
    pool->channel = -1;
    if (p->channel_axis == CPOOL_AXIS_DEFAULT) {
        for (int32_t i = 0; i < pool->ndim; i++) { /* the last that is not spatial; it is the one before where those are last */
            pool->channel = spatial >> i & 1 ? pool->channel : i;
        }
    } else if (p->channel_axis != CPOOL_AXIS_NONE) {
        CP_TRY(cp_take_axis(p->channel_axis, pool->ndim, "channel_axis", &pool->channel, error));
        if (spatial >> pool->channel & 1) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                           "channel_axis=%" PRId32 " is one of the spatial axes; it must be another", p->channel_axis);
        }
    }
    pool->batch_count = 0;
    for (int32_t i = 0; i < pool->ndim; i++) {
        if (!(spatial >> i & 1) && i != pool->channel) {
            pool->batch[pool->batch_count++] = i;
        }
    }
    if (pool->channel >= 0) {
        pool->batch[pool->batch_count++] = pool->channel;
    }
    return CPOOL_OK;
}

/* ---- Geometry ---- */

/* What a call gives beside windows, of that which some windows do not take; NULL: nothing. */
static const char *given_beside(const cpool_pool_params *p)
{
    const char *extra = p->padding_mode != CPOOL_EXPLICIT ? "padding" : p->flags & CPOOL_CEIL_MODE ? "ceil_mode" : NULL;
    for (int32_t i = 0; i < p->rank; i++) {
        extra = p->pad_before[i] != 0 || p->pad_after[i] != 0 ? "padding" : p->dilation[i] != 1 ? "dilation" : extra;
    }
    return extra;
}

static cpool_status check_length(const cp_pool *pool, int32_t s, cpool_error *error)
{
    if (pool->in[s] > INT64_MAX / 4) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x is longer than 2^61 along axis %" PRId32, pool->space[s]);
    }
    return CPOOL_OK;
}

/* The distance of windows, their size where it is not given. */
static cpool_status take_stride(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    cpool_pool_params *p = &pool->params;
    if (p->window[i] < 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=%s: every size must be at least 1",
                       cp_format_sizes(p->window, p->rank).text);
    }
    if (p->stride[i] == CPOOL_SIZE_DEFAULT) {
        p->stride[i] = p->window[i];
    }
    if (p->stride[i] < 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "stride=%" PRId64 " along axis %" PRId32 ": it must be at least 1",
                       p->stride[i], pool->space[s]);
    }
    if (p->stride[i] > INT64_MAX / 4) {
        p->stride[i] = INT64_MAX / 4; /* beyond any input: the same one window */
    }
    return CPOOL_OK;
}

/* One axis of a filter, around every stride-th element. */
static cpool_status filter(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    cpool_pool_params *p = &pool->params;
    CP_TRY(take_stride(pool, s, i, error));
    if (p->window[i] > CP_BINOMIALS) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=%s: filters have sizes of 1 to %d",
                       cp_format_sizes(p->window, p->rank).text, CP_BINOMIALS);
    }
    CP_TRY(check_length(pool, s, error));
    pool->out[s] = (pool->in[s] - 1) / p->stride[i] + 1;
    pool->padded_end[s] = pool->in[s];
    pool->axis[s] = cp_axis_sliding(pool->in[s], pool->out[s], p->window[i], p->stride[i], 1, (p->window[i] - 1) / 2);
    return CPOOL_OK;
}

/* One axis of windows side by side, none of which goes beyond the input. */
static cpool_status shrink(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int64_t factor = p->window[i];
    if (p->stride[i] != CPOOL_SIZE_DEFAULT) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no stride", pool->op->name);
    }
    CP_TRY(check_length(pool, s, error));
    if (factor < 1 || factor > pool->in[s]) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "factor=%s: along axis %" PRId32 " of x it must be 1 to %" PRId64,
                       cp_format_sizes(p->window, p->rank).text, pool->space[s], pool->in[s]);
    }
    pool->out[s] = pool->in[s] / factor;
    pool->padded_end[s] = pool->in[s];
    pool->axis[s] = cp_axis_sliding(pool->in[s], pool->out[s], factor, factor, 1, 0);
    return CPOOL_OK;
}

/* One axis of sliding windows; `text` is its place in messages, as in "window[1]". */
static cpool_status slide(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    cpool_pool_params *p = &pool->params;
    CP_TRY(take_stride(pool, s, i, error));
    int64_t in = pool->in[s], window = p->window[i], dilation = p->dilation[i], before, after, out;
    int64_t stride = p->op == CPOOL_S3 ? 1 : p->stride[i];
    if (dilation < 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "dilation=%" PRId64 " along axis %" PRId32 ": it must be at least 1",
                       dilation, pool->space[s]);
    }
    if (cp_product_overflows(window - 1, dilation) || (window - 1) * dilation > INT64_MAX / 4) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=%s, dilation=%" PRId64 ": an extent of more than 2^61",
                       cp_format_sizes(p->window, p->rank).text, dilation);
    }
    int64_t extent = (window - 1) * dilation + 1;
    CP_TRY(check_length(pool, s, error));
    if (p->padding_mode == CPOOL_EXPLICIT) {
        before = p->pad_before[i];
        after = p->pad_after[i];
        if (before < 0 || after < 0 || before >= extent || after >= extent) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                           "padding=(%" PRId64 ", %" PRId64 ") along axis %" PRId32 ": both must be 0 to %" PRId64
                           ", less than the window's extent %" PRId64,
                           before, after, pool->space[s], extent - 1, extent);
        }
    } else {
        if (p->flags & CPOOL_CEIL_MODE) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "ceil_mode=True does not go with padding='%s'",
                           p->padding_mode == CPOOL_VALID        ? "valid"
                           : p->padding_mode == CPOOL_SAME_UPPER ? "same"
                                                                 : "same_lower");
        }
        int64_t total = 0;
        if (p->padding_mode != CPOOL_VALID) {
            total = (in - 1) / stride * stride + extent - in; /* ceil(in / stride) windows */
            total = total > 0 ? total : 0;
        }
        before = p->padding_mode == CPOOL_SAME_LOWER ? total - total / 2 : total / 2;
        after = total - before;
    }
    p->pad_before[i] = before;
    p->pad_after[i] = after;
    if (p->op == CPOOL_UNPOOL) { /* nothing slides; only its output size follows from the window */
        pool->padded_end[s] = in;
        pool->axis[s] = cp_axis_sliding(in, in, 1, 1, 1, 0);
        return CPOOL_OK;
    }
    int64_t room = in + before + after - extent;
    if (room < 0 && !(p->flags & CPOOL_CEIL_MODE && room > -stride)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                       "window=%s does not fit: along axis %" PRId32 " its extent is %" PRId64 ", x has %" PRId64
                       " and padding adds %" PRId64,
                       cp_format_sizes(p->window, p->rank).text, pool->space[s], extent, in, before + after);
    }
    if (p->flags & CPOOL_CEIL_MODE) {
        out = (room + stride - 1) / stride + 1;
        out -= (out - 1) * stride >= in + before;
    } else {
        out = room / stride + 1;
    }
    if (out < 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "window=%s leaves no output along axis %" PRId32,
                       cp_format_sizes(p->window, p->rank).text, pool->space[s]);
    }
    pool->out[s] = out;
    pool->padded_end[s] = in + after;
    pool->axis[s] = cp_axis_sliding(in, out, window, stride, dilation, before);
    return CPOOL_OK;
}

int64_t cp_pool_kept(const cp_pool *pool, int32_t axis, int64_t windows)
{
    int64_t stride = pool->params.stride[axis - (CP_SPACE - pool->params.rank)];
    return (windows - 1) / stride + 1;
}

/* One axis of windows of stride 1, of which some are kept. */
static cpool_status thin_out(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    CP_TRY(slide(pool, s, i, error));
    const cp_axis *all = &pool->axis[s];
    int64_t map = pool->out[s], grid = pool->params.grid[i];
    int64_t strip = grid == CPOOL_SIZE_DEFAULT || grid > map ? map : grid, kept = cp_pool_kept(pool, s, strip);
    pool->map[s] = map;
    pool->strip[s] = strip;
    pool->out[s] = map / strip * kept + (map % strip != 0 ? cp_pool_kept(pool, s, map % strip) : 0);
    pool->axis[s] = cp_axis_starts(all->sources, pool->out[s], all->window, all->dilation, all->pad,
                                   (double)strip / (double)kept, 2.0 * (double)strip);
    return CPOOL_OK;
}

/* One axis of so many windows, whose distances are drawn. */
static cpool_status spread_out(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int64_t window = p->window[i], out = p->output_size[i];
    if (p->stride[i] != CPOOL_SIZE_DEFAULT) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no stride", pool->op->name);
    }
    CP_TRY(check_length(pool, s, error));
    if (window < 1 || window > pool->in[s]) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=%s: along axis %" PRId32 " of x the size must be 1 to %" PRId64,
                       cp_format_sizes(p->window, p->rank).text, pool->space[s], pool->in[s]);
    }
    if (out < 1 || out > INT32_MAX) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "output_size=%s: every size must be 1 to %" PRId32,
                       out == CPOOL_SIZE_DEFAULT ? "NULL" : cp_format_sizes(p->output_size, p->rank).text, INT32_MAX);
    }
    pool->out[s] = out;
    pool->padded_end[s] = pool->in[s];
    double pace = out > 1 ? (double)(pool->in[s] - window) / (double)(out - 1) : 0;
    pool->axis[s] = cp_axis_starts(pool->in[s], out, window, 1, 0, pace, 2);
    return CPOOL_OK;
}

/* One axis of bins. */
static cpool_status adapt(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int64_t out = p->geometry == CPOOL_WHOLE ? 1 : p->window[i];
    if (out < 1 || out > INT32_MAX) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=adaptive%s: every output size must be 1 to %" PRId32,
                       cp_format_sizes(p->window, p->rank).text, INT32_MAX);
    }
    CP_TRY(check_length(pool, s, error));
    pool->out[s] = out;
    pool->padded_end[s] = pool->in[s];
    pool->axis[s] = cp_axis_bins(pool->in[s], out);
    return CPOOL_OK;
}

/* Of a row without windows: k results. */
static cpool_status take_k(cp_pool *pool, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int32_t along = CP_SPACE - 1;
    if (p->rank != 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "rank=%" PRId32 ": kmax_pool goes along one axis", p->rank);
    }
    if (p->k > INT64_MAX / 4 || (pool->array[CPOOL_LENGTHS] == NULL && pool->grad[CPOOL_Y] == NULL && p->k > pool->in[along])) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                       "k=%" PRId64 " is more than the %" PRId64 " elements along axis %" PRId32
                       "; with lengths it may be, then missing results are 0",
                       p->k, pool->in[along], pool->space[along]);
    }
    for (int32_t s = 0; s < CP_SPACE; s++) {
        pool->out[s] = s == along ? p->k : 1;
    }
    pool->window_taps = 1;
    pool->taps_bits = 8;
    return CPOOL_OK;
}

/* One axis of a filter with windows of its own: from there on the axis reads what either reads. */
static cpool_status add_filter(cp_pool *pool, int32_t s, int32_t i, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int64_t size = pool->array[CPOOL_FILTER]->shape[1 + i], before = p->filter_pad_before[i], after = p->filter_pad_after[i];
    int64_t pad = p->pad_before[i], extent = (p->window[i] - 1) * p->dilation[i] + 1, stride = p->stride[i], out = pool->out[s];
    if (before == CPOOL_SIZE_DEFAULT && after == CPOOL_SIZE_DEFAULT) {
        before = (size - 1) / 2;
    } else {
        if (before < 0 || after < 0 || before >= size || after >= size) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                           "filter_padding=(%" PRId64 ", %" PRId64 ") along axis %" PRId32 ": both must be 0 to %" PRId64
                           ", less than the filter's size %" PRId64,
                           before, after, pool->space[s], size - 1, size);
        }
        int64_t room = pool->in[s] + before + after - size, count = room < 0 ? 0 : room / stride + 1;
        if (p->flags & CPOOL_CEIL_MODE && room > -stride) {
            count = (room + stride - 1) / stride + 1;
            count -= (count - 1) * stride >= pool->in[s] + before;
        }
        if (count != out) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_FILTER,
                           "filter_padding=(%" PRId64 ", %" PRId64 ") along axis %" PRId32 " gives the filter %" PRId64
                           " windows; there are %" PRId64,
                           before, after, pool->space[s], count, out);
        }
    }
    int64_t most = before > pad ? before : pad, end = extent - pad > size - before ? extent - pad : size - before;
    pool->filtered[s] = (cp_filtered){p->window[i], p->dilation[i], most - pad, size, most - before};
    pool->axis[s] = cp_axis_sliding(pool->in[s], out, most + end, stride, 1, most);
    return CPOOL_OK;
}

static cpool_status take_filter(cp_pool *pool, cpool_error *error)
{
    static const int32_t optional[] = {CPOOL_REFERENCE, CPOOL_FILTER, CPOOL_BIAS};
    const cpool_pool_params *p = &pool->params;
    const cpool_view *filter = pool->array[CPOOL_FILTER];
    int32_t unused = CP_SPACE - p->rank;
    for (size_t i = 0; i < sizeof optional / sizeof *optional && p->op == CPOOL_DPP; i++) {
        if (pool->grad[optional[i]] != NULL && pool->array[optional[i]] == NULL) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_GRAD | optional[i], "%s is asked for, but no %s is given",
                           cp_role_name(CPOOL_GRAD | optional[i]), cp_role_name(optional[i]));
        }
    }
    for (int32_t i = 0; i < p->rank; i++) {
        if ((filter == NULL || p->op != CPOOL_DPP) &&
            (p->filter_pad_before[i] != CPOOL_SIZE_DEFAULT || p->filter_pad_after[i] != CPOOL_SIZE_DEFAULT)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "filter_padding is given without a filter");
        }
    }
    if (filter == NULL) {
        return pool->op->code == CPOOL_DPP && pool->array[CPOOL_BIAS] != NULL
                   ? cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_BIAS, "bias belongs to a filter, and there is none")
                   : CPOOL_OK;
    }
    if (pool->array[CPOOL_REFERENCE] != NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_REFERENCE,
                       "reference takes the place of a filter: give one of the two");
    }
    if (p->geometry != CPOOL_SLIDING) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_FILTER,
                       "dpp_pool takes no %s window with a filter: the filter has windows of one size",
                       p->geometry == CPOOL_ADAPTIVE ? "adaptive" : "whole");
    }
    CP_TRY(cp_parameter_check(pool, filter, CPOOL_FILTER, cp_role_name(CPOOL_FILTER), error));
    for (int32_t s = 0; s < CP_SPACE; s++) {
        pool->filtered[s] = (cp_filtered){1, 1, 0, 1, 0};
        CP_TRY(s < unused ? CPOOL_OK : add_filter(pool, s, s - unused, error));
    }
    return CPOOL_OK;
}

static cpool_status take_windows(cp_pool *pool, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    int32_t unused = CP_SPACE - p->rank;
    const char *kind = p->geometry == CPOOL_ADAPTIVE ? "an adaptive" : "a whole";
    if (p->geometry != CPOOL_SLIDING) {
        const char *extra = given_beside(p);
        for (int32_t i = 0; i < p->rank; i++) {
            extra = p->stride[i] != CPOOL_SIZE_DEFAULT ? "stride" : extra;
        }
        if (p->op == CPOOL_UNPOOL) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                           "max_unpool takes no %s window: give the window's sizes, and output_size",
                           p->geometry == CPOOL_ADAPTIVE ? "adaptive" : "whole");
        }
        if (pool->op->family == CP_BLUR || pool->op->family == CP_SAMPLE || pool->op->family == CP_SHRINK) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no %s window: give the window's sizes", pool->op->name,
                           p->geometry == CPOOL_ADAPTIVE ? "adaptive" : "whole");
        }
        if (extra != NULL) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s window takes no %s", kind, extra);
        }
        if (p->op == CPOOL_GATED || p->op == CPOOL_TREE) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                           "%s takes no %s window: its weights belong to the elements of one of fixed size", pool->op->name,
                           p->geometry == CPOOL_ADAPTIVE ? "adaptive" : "whole");
        }
    } else if (p->op == CPOOL_UNPOOL && p->padding_mode != CPOOL_EXPLICIT && p->padding_mode != CPOOL_VALID) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "max_unpool takes no padding='%s': give the numbers, or output_size",
                       p->padding_mode == CPOOL_SAME_UPPER ? "same" : "same_lower");
    } else if ((p->op == CPOOL_BLUR || p->op == CPOOL_FRACTIONAL || p->op == CPOOL_DPID) && given_beside(p) != NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no %s", pool->op->name, given_beside(p));
    }
    for (int32_t s = 0; s < CP_SPACE; s++) {
        if (s < unused) {
            pool->out[s] = pool->padded_end[s] = 1;
            pool->axis[s] = cp_axis_sliding(1, 1, 1, 1, 1, 0);
        } else {
            CP_TRY(p->geometry != CPOOL_SLIDING ? adapt(pool, s, s - unused, error)
                   : p->op == CPOOL_BLUR        ? filter(pool, s, s - unused, error)
                   : p->op == CPOOL_S3          ? thin_out(pool, s, s - unused, error)
                   : p->op == CPOOL_FRACTIONAL  ? spread_out(pool, s, s - unused, error)
                   : p->op == CPOOL_DPID        ? shrink(pool, s, s - unused, error)
                                                : slide(pool, s, s - unused, error));
        }
    }
    if (p->op == CPOOL_UNPOOL) {
        for (int32_t s = unused; s < CP_SPACE; s++) {
            int32_t i = s - unused;
            int64_t size = p->output_size[i], extent = (p->window[i] - 1) * p->dilation[i] + 1;
            if (size == CPOOL_SIZE_DEFAULT) {
                if (cp_product_overflows(pool->in[s] - 1, p->stride[i]) || (pool->in[s] - 1) * p->stride[i] > INT64_MAX / 4) {
                    return cp_fail(error, CPOOL_INVALID_VALUE, 0, "stride=%" PRId64 " gives a result longer than 2^61",
                                   p->stride[i]);
                }
                size = (pool->in[s] - 1) * p->stride[i] - p->pad_before[i] - p->pad_after[i] + extent;
                if (size < 1) {
                    return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                                   "padding=(%" PRId64 ", %" PRId64 ") along axis %" PRId32 " leaves no output",
                                   p->pad_before[i], p->pad_after[i], pool->space[s]);
                }
            } else if (size < 1 || size > INT64_MAX / 4) {
                return cp_fail(error, CPOOL_INVALID_VALUE, 0,
                               "output_size=%" PRId64 " along axis %" PRId32 ": it must be 1 to 2^61", size, pool->space[s]);
            }
            pool->out[s] = size;
        }
    }
    CP_TRY(take_filter(pool, error));
    pool->window_taps = (double)pool->axis[0].taps * (double)pool->axis[1].taps * (double)pool->axis[2].taps;
    pool->taps_bits = pool->window_taps <= 255 ? 8 : pool->window_taps <= (double)INT32_MAX ? 32 : 64;
    return CPOOL_OK;
}

static cpool_status take_geometry(cp_pool *pool, cpool_error *error)
{
    const cpool_pool_params *p = &pool->params;
    CP_TRY(p->op == CPOOL_KMAX ? take_k(pool, error) : take_windows(pool, error));
    int64_t size = 1;
    for (int32_t i = 0; i < pool->batch_count + CP_SPACE; i++) {
        int64_t length = i < CP_SPACE ? pool->out[i] : pool->x_shape[pool->batch[i - CP_SPACE]];
        if (length <= 1) {
            continue;
        }
        if (cp_product_overflows(size, length) || size * length > INT64_MAX / 8) {
            return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s: the result would have more than 2^60 elements",
                           p->op == CPOOL_UNPOOL ? "stride or output_size"
                           : p->op == CPOOL_KMAX ? "k"
                                                 : "window");
        }
        size *= length;
    }
    return CPOOL_OK;
}

/* ---- The whole ---- */

static cpool_status check_array(const cp_pool *pool, const cpool_view *view, int32_t role, cpool_error *error)
{
    cpool_shape want; /* whose room is not cleared: it is set as far as it is read */
    int32_t kind = role & ~CPOOL_GRAD;
    if (cp_parameter_role(role)) {
        return cp_parameter_check(pool, view, role, cp_role_name(role), error);
    }
    if (view->shape == pool->x_shape && kind == CPOOL_X) {
        return CPOOL_OK; /* the array that all others are compared with */
    }
    const cpool_view *like = pool->array[kind];
    if (cp_parameter_role(kind)) { /* like the parameter; that it is missing is found later */
        CP_TRY(like == NULL ? CPOOL_OK : cp_check_dtype(view, role, like->dtype_code, like->dtype_bits, error));
        return like == NULL ? CPOOL_OK : cp_check_shape(view, role, like->shape, like->ndim, error);
    }
    if (kind == CPOOL_Y) { /* the same without the questions that other roles raise: every call has one */
        const cpool_view *x = pool->array[CPOOL_X] != NULL ? pool->array[CPOOL_X] : pool->grad[CPOOL_X];
        cp_pool_result_shape(pool, want.shape);
        CP_TRY(cp_check_dtype(view, role, x->dtype_code, x->dtype_bits, error));
        return cp_check_shape(view, role, want.shape, pool->ndim, error);
    }
    want.ndim = want.dtype_code = want.dtype_bits = 0;
    CP_TRY(cp_pool_shape(pool, role, &want, error));
    CP_TRY(cp_check_dtype(view, role, want.dtype_code, want.dtype_bits, error));
    return cp_check_shape(view, role, want.shape, want.ndim, error);
}

cpool_status cp_pool_plan(cp_pool *pool, const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                          cpool_error *error)
{
    CP_TRY(take_params(pool, params, error));
    uint64_t known = direction >= 0 ? pool->op->required[direction] | pool->op->optional[direction] : roles_of(pool->op);
    CP_TRY(cp_args_take(&pool->args, args, n, known, pool->op->name, error));
    pool->array = pool->args.array;
    pool->grad = pool->args.grad;
    const cpool_view *x = pool->array[CPOOL_X] != NULL ? pool->array[CPOOL_X] : pool->grad[CPOOL_X];
    int32_t x_role = pool->array[CPOOL_X] != NULL ? CPOOL_X : CPOOL_GRAD | CPOOL_X;
    if (x == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x is missing");
    }
    CP_TRY(cp_take_dtype(&pool->dtype, x, x_role, "pools", error));
    pool->dtype_bits = x->dtype_bits;
    pool->x_shape = x->shape;
    pool->ndim = x->ndim;
    CP_TRY(take_axes(pool, error));
    CP_TRY(take_geometry(pool, error));
    for (int32_t i = 0; i < pool->args.given_count; i++) {
        int32_t role = pool->args.given[i];
        CP_TRY(check_array(pool, cp_args_view(&pool->args, role), role, error));
    }
    return CPOOL_OK;
}

void cp_pool_result_shape(const cp_pool *pool, int64_t *shape)
{
    for (int32_t i = 0; i < pool->ndim; i++) {
        shape[i] = pool->x_shape[i];
    }
    for (int32_t s = 0; s < CP_SPACE; s++) {
        if (pool->space[s] >= 0) {
            shape[pool->space[s]] = pool->out[s];
        }
    }
}

int32_t cp_pool_draws_shape(const cp_pool *pool, int64_t *shape)
{
    int32_t ndim = 0;
    if (pool->op->family != CP_SAMPLE) {
        cp_pool_result_shape(pool, shape);
        return pool->ndim;
    }
    if (pool->op->code == CPOOL_FRACTIONAL) {
        for (int32_t i = 0; i < pool->ndim; i++) {
            if (i != pool->space[0] && i != pool->space[1] && i != pool->space[2]) {
                shape[ndim++] = pool->x_shape[i];
            }
        }
        shape[ndim++] = pool->params.rank;
        return ndim;
    }
    shape[0] = 0;
    for (int32_t s = CP_SPACE - pool->params.rank; s < CP_SPACE; s++) {
        shape[0] += pool->map[s];
    }
    return 1;
}

/* Parameters are described as they are given, else as the simplest that they may be. */
static void parameter_shape(const cp_pool *pool, int32_t kind, cpool_shape *out)
{
    const cpool_view *given = pool->array[kind];
    out->dtype_code = kind == CPOOL_LENGTHS ? CPOOL_INT : CPOOL_FLOAT;
    out->dtype_bits = given != NULL ? given->dtype_bits : 64;
    int masks = kind == CPOOL_LEAVES || kind == CPOOL_GATES;
    out->ndim = given != NULL ? given->ndim : masks ? 2 : kind == CPOOL_WEIGHT ? 1 : 0;
    out->shape[0] = kind == CPOOL_LEAVES ? 2 : 1;
    out->shape[masks] = (int64_t)(pool->window_taps < 0x1p62 ? pool->window_taps : 0x1p62);
    for (int32_t i = 0; given != NULL && i < given->ndim; i++) {
        out->shape[i] = given->shape[i];
    }
}

cpool_status cp_pool_shape(const cp_pool *pool, int32_t role, cpool_shape *out, cpool_error *error)
{
    int32_t kind = role & ~CPOOL_GRAD;
    const cpool_view *x = pool->array[CPOOL_X] != NULL ? pool->array[CPOOL_X] : pool->grad[CPOOL_X];
    out->dtype_lanes = 1;
    if (cp_role_name(role) == NULL || (roles_of(pool->op) & cp_role_bit(role)) == 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has no array of role %" PRId32, pool->op->name, role);
    }
    if (kind == CPOOL_U && pool->array[kind] == NULL) {
        out->ndim = cp_pool_draws_shape(pool, out->shape);
        out->dtype_code = x->dtype_code;
        out->dtype_bits = x->dtype_bits;
        return CPOOL_OK;
    }
    int like_input = kind == CPOOL_LOGITS && pool->array[CPOOL_LOGITS] == NULL;
    if (cp_parameter_role(kind) && !like_input) {
        parameter_shape(pool, kind, out);
        return CPOOL_OK;
    }
    /* A selected tap is carried in a double; powers may be selections, where p is infinite. */
    if ((kind == CPOOL_TAPS || (kind == CPOOL_INDICES && pool->op->family == CP_SAMPLE) ||
         (role == (CPOOL_GRAD | CPOOL_X) && pool->op->family == CP_POWER)) &&
        pool->window_taps > 0x1p53) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "window=%s has more than 2^53 taps, too many to name the one selected",
                       cp_format_sizes(pool->params.window, pool->params.rank).text);
    }
    int like_x = kind == CPOOL_X || like_input || (pool->op->code == CPOOL_UNPOOL && kind == CPOOL_INDICES);
    out->ndim = kind == CPOOL_MASK && pool->params.granularity == CPOOL_LAYER ? 0 : pool->ndim;
    if (!like_x) {
        cp_pool_result_shape(pool, out->shape);
    }
    for (int32_t i = 0; like_x && i < pool->ndim; i++) {
        out->shape[i] = pool->x_shape[i];
    }
    for (int32_t s = 0; s < CP_SPACE && kind == CPOOL_MASK && pool->params.granularity == CPOOL_MAP; s++) {
        if (pool->space[s] >= 0) {
            out->shape[pool->space[s]] = 1;
        }
    }
    out->dtype_code = x->dtype_code;
    out->dtype_bits = x->dtype_bits;
    if (kind == CPOOL_INDICES) {
        out->dtype_code = CPOOL_INT;
        out->dtype_bits = 64;
    } else if (kind == CPOOL_TAPS) {
        out->dtype_code = pool->taps_bits == 8 ? CPOOL_UINT : CPOOL_INT;
        out->dtype_bits = (uint8_t)pool->taps_bits;
    } else if (kind == CPOOL_MASK) {
        out->dtype_code = CPOOL_UINT;
        out->dtype_bits = 8;
    }
    return CPOOL_OK;
}

cpool_status cp_pool_ready(const cp_pool *pool, int32_t direction, cpool_error *error)
{
    /* What unpooling reads is what selections write. */
    uint64_t forward = cp_role_bit(CPOOL_Y) | cp_role_bit(CPOOL_TAPS) | cp_role_bit(CPOOL_MASK) |
                       (pool->op->code == CPOOL_UNPOOL ? 0 : cp_role_bit(CPOOL_INDICES));
    uint64_t backward = ~UINT64_C(0) << 32 & ~cp_role_bit(CPOOL_GRAD | CPOOL_Y);
    CP_TRY(
        cp_args_ready(&pool->args, pool->op->required[direction], direction == CPOOL_FORWARD ? forward : backward, 0, error));
    return cp_parameter_check_values(pool, error);
}

cpool_status cp_pool_ready_indices(cp_pool *pool, cpool_error *error)
{
    pool->array[CPOOL_X] = NULL; /* only its shape mattered */
    return cp_args_ready(&pool->args, cp_role_bit(CPOOL_TAPS) | cp_role_bit(CPOOL_INDICES), cp_role_bit(CPOOL_INDICES), 0,
                         error);
}

int64_t cp_pool_count_along(const cp_pool *pool, int32_t axis, int64_t output)
{
    if (pool->params.flags & CPOOL_COUNT_INCLUDE_PAD) {
        return cp_axis_count_below(&pool->axis[axis], output, pool->padded_end[axis]);
    }
    cp_span span = cp_axis_span(&pool->axis[axis], output);
    return span.hi - span.lo;
}

double cp_pool_divisor_along(const cp_pool *pool, int32_t axis, int64_t output)
{
    if (pool->params.flags & CPOOL_DIVISOR) {
        return axis == CP_SPACE - 1 ? pool->params.divisor : 1;
    }
    return (double)cp_pool_count_along(pool, axis, output);
}
