#include "plan/parameters.h"

#include <inttypes.h>
#include <string.h>

#include "dtype/list.h"
#include "error.h"

int cp_parameter_role(int32_t role)
{
    const uint64_t parameters = cp_role_bit(CPOOL_LENGTHS) | cp_role_bit(CPOOL_U) | cp_role_bit(CPOOL_LOGITS) |
                                cp_role_bit(CPOOL_P) | cp_role_bit(CPOOL_BETA) | cp_role_bit(CPOOL_ALPHA) |
                                cp_role_bit(CPOOL_LAMBDA) | cp_role_bit(CPOOL_FILTER) | cp_role_bit(CPOOL_BIAS) |
                                cp_role_bit(CPOOL_BLEND) | cp_role_bit(CPOOL_WEIGHT) | cp_role_bit(CPOOL_LEAVES) |
                                cp_role_bit(CPOOL_GATES);
    return (cp_role_bit(role) & parameters) != 0;
}

static int64_t channels_of(const cp_pool *pool)
{
    return pool->channel >= 0 ? pool->x_shape[pool->channel] : 1;
}

/* ---- Shapes ---- */

/* Of an array with one row, or a row for every channel, along this axis of its own. */
static cpool_status check_rows(const cp_pool *pool, const cpool_view *view, int32_t axis, int32_t role, const char *name,
                               cpool_error *error)
{
    if (view->shape[axis] == 1 || (pool->channel >= 0 && view->shape[axis] == channels_of(pool))) {
        return CPOOL_OK;
    }
    const char *what = view->ndim == 1 ? "values" : "rows";
    if (pool->channel < 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has %" PRId64 " %s, but x has no channel axis: give one%s", name,
                       view->shape[axis], what, view->ndim == 1 ? " number" : "");
    }
    return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has %" PRId64 " %s; x has %" PRId64 " channels along axis %" PRId32,
                   name, view->shape[axis], what, channels_of(pool), pool->channel);
}

static cpool_status check_weight(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name,
                                 cpool_error *error)
{
    double taps = pool->window_taps, given;
    int exact = pool->op->code == CPOOL_GATED;
    if (view->ndim < 1 || view->ndim > 2) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; it must be a row of weights, or one per channel",
                       name, cp_format_shape(view->shape, view->ndim).text);
    }
    given = (double)view->shape[view->ndim - 1];
    if (exact ? given != taps : given < 1 || given > taps) {
        return cp_fail(
            error, CPOOL_INVALID_VALUE, role, "%s has shape %s; the last axis must have %s%.0f, the %s of the window", name,
            cp_format_shape(view->shape, view->ndim).text, exact ? "" : "1 to ", taps, exact ? "elements" : "most elements");
    }
    return view->ndim == 1 ? CPOOL_OK : check_rows(pool, view, 0, role, name, error);
}

/* Masks of a tree: their number along the first axis, taps along the last, and channels between them. */
static cpool_status check_masks(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name, cpool_error *error)
{
    const cpool_view *leaves = pool->array[CPOOL_LEAVES];
    if (view->ndim < 2 || view->ndim > 3) {
        return cp_fail(
            error, CPOOL_INVALID_VALUE, role,
            "%s has shape %s; it must be (masks, elements of the window) or (masks, channels, elements of the window)", name,
            cp_format_shape(view->shape, view->ndim).text);
    }
    int64_t count = view->shape[0];
    if ((double)view->shape[view->ndim - 1] != pool->window_taps) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role,
                       "%s has shape %s; the last axis must have %.0f, the elements of the window", name,
                       cp_format_shape(view->shape, view->ndim).text, pool->window_taps);
    }
    if (role == CPOOL_LEAVES && (count < 2 || (count & (count - 1)) != 0)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has %" PRId64 " masks; a tree has 2, 4, 8 or so on", name, count);
    }
    if (role == CPOOL_GATES && leaves != NULL && leaves->ndim > 0 && count != leaves->shape[0] - 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role,
                       "%s has %" PRId64 " masks; leaves has %" PRId64 ", which need one less", name, count, leaves->shape[0]);
    }
    if (2.0 * (double)count * pool->window_taps > INT32_MAX) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; a tree has less than 2^30 numbers per channel", name,
                       cp_format_shape(view->shape, view->ndim).text);
    }
    return view->ndim == 2 ? CPOOL_OK : check_rows(pool, view, 1, role, name, error);
}

static cpool_status check_blend(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name, cpool_error *error)
{
    int32_t rank = pool->params.rank, unused = CP_SPACE - rank;
    int same = view->ndim == rank + 1;
    if (view->ndim > 1) {
        for (int32_t i = 0; same && i < rank; i++) {
            same = view->shape[i + 1] == pool->out[unused + i];
        }
        if (!same) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role,
                           "%s has shape %s; it must be one number, one per channel, or (channels or 1) and then %s", name,
                           cp_format_shape(view->shape, view->ndim).text, cp_format_shape(pool->out + unused, rank).text);
        }
    }
    return view->ndim == 0 ? CPOOL_OK : check_rows(pool, view, 0, role, name, error);
}

static cpool_status check_filter(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name,
                                 cpool_error *error)
{
    double taps = 1;
    for (int32_t i = 1; i < view->ndim; i++) {
        taps *= (double)view->shape[i];
    }
    if (view->ndim != pool->params.rank + 1 || taps < 1 || taps > INT32_MAX) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role,
                       "%s has shape %s; it must be (channels or 1) and then a size along each of the %" PRId32 " spatial axes",
                       name, cp_format_shape(view->shape, view->ndim).text, pool->params.rank);
    }
    return check_rows(pool, view, 0, role, name, error);
}

static cpool_status check_like(const cpool_view *view, int32_t role, const char *name, const int64_t *shape, int32_t ndim,
                               int32_t free_axis, cpool_error *error)
{
    int same = view->ndim == ndim;
    for (int32_t i = 0; same && i < ndim; i++) {
        same = view->shape[i] == shape[i] || (i == free_axis && view->shape[i] == 1);
    }
    return same ? CPOOL_OK
                : cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; it must be %s%s", name,
                          cp_format_shape(view->shape, view->ndim).text, cp_format_shape(shape, ndim).text,
                          free_axis >= 0 ? ", or 1 along the channel axis" : "");
}

static cpool_status check_lengths(const cp_pool *pool, const cpool_view *view, cpool_error *error)
{
    int32_t axis = pool->space[CP_SPACE - 1];
    int same = view->ndim <= axis;
    if (view->dtype_code != CPOOL_INT || view->dtype_bits != 64) {
        return cp_fail(error, CPOOL_INVALID_TYPE, CPOOL_LENGTHS, "lengths must be int64");
    }
    for (int32_t i = 0; same && i < view->ndim; i++) {
        same = view->shape[i] == pool->x_shape[i];
    }
    return same ? CPOOL_OK
                : cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_LENGTHS,
                          "lengths has shape %s; it must be that of the first axes of x, %s, and end before axis %" PRId32,
                          cp_format_shape(view->shape, view->ndim).text, cp_format_shape(pool->x_shape, pool->ndim).text, axis);
}

cpool_status cp_parameter_check(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name, cpool_error *error)
{
    int32_t kind = role & ~CPOOL_GRAD;
    const cpool_view *x = pool->array[CPOOL_X] != NULL ? pool->array[CPOOL_X] : pool->grad[CPOOL_X];
    int64_t draws[CPOOL_MAX_NDIM];
    if (kind == CPOOL_LENGTHS) {
        return check_lengths(pool, view, error);
    }
    int own = kind != CPOOL_LOGITS && view->dtype_bits == 64;
    if (view->dtype_code != CPOOL_FLOAT || !(own || view->dtype_bits == x->dtype_bits)) {
        return cp_fail(error, CPOOL_INVALID_TYPE, role, "%s has dtype %s%d; it must be %sthat of x", name,
                       cp_dtype_kind(view->dtype_code), view->dtype_bits, kind == CPOOL_LOGITS ? "" : "float64 or ");
    }
    switch (kind) {
    case CPOOL_WEIGHT: return check_weight(pool, view, role, name, error);
    case CPOOL_FILTER: return check_filter(pool, view, role, name, error);
    case CPOOL_LEAVES:
    case CPOOL_GATES: return check_masks(pool, view, role, name, error);
    case CPOOL_BLEND: return check_blend(pool, view, role, name, error);
    case CPOOL_LOGITS: return check_like(view, role, name, pool->x_shape, pool->ndim, pool->channel, error);
    case CPOOL_U: return check_like(view, role, name, draws, cp_pool_draws_shape(pool, draws), -1, error);
    default: break;
    }
    if (pool->op->code == CPOOL_DPID && cp_view_size(view) != 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; it must be one number", name,
                       cp_format_shape(view->shape, view->ndim).text);
    }
    if (view->ndim > 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; it must be one number or one per channel", name,
                       cp_format_shape(view->shape, view->ndim).text);
    }
    return view->ndim == 0 ? CPOOL_OK : check_rows(pool, view, 0, role, name, error);
}

/* ---- Values ---- */

static double read_value(const cpool_view *view, const char *at)
{
    int64_t integer;
    if (view->dtype_code == CPOOL_INT) {
        memcpy(&integer, at, sizeof integer);
        return (double)integer;
    }
    return view->dtype_bits == 32 ? cp_read_f32(at) : cp_read_f64(at);
}

typedef int (*cp_predicate)(double value, double limit);

static int is_positive(double value, double limit)
{
    (void)limit;
    return value > 0;
}

static int is_finite_weight(double value, double limit)
{
    (void)limit;
    return value >= 0 && value - value == 0;
}

static int is_finite(double value, double limit)
{
    (void)limit;
    return value - value == 0;
}

static int is_fraction(double value, double limit)
{
    (void)limit;
    return value >= 0 && value < 1;
}

static int is_length(double value, double limit)
{
    return value >= 0 && value <= limit;
}

static int find_wrong(const cpool_view *view, cp_predicate right, double limit, double *wrong)
{
    int64_t size = view == NULL ? 0 : cp_view_size(view);
    for (int64_t i = 0; i < size; i++) {
        *wrong = read_value(view, cp_view_element(view, i));
        if (!right(*wrong, limit)) {
            return 1;
        }
    }
    return 0;
}

cpool_status cp_parameter_check_values(const cp_pool *pool, cpool_error *error)
{
    double wrong = 0, length = (double)pool->in[CP_SPACE - 1];
    if (find_wrong(pool->array[CPOOL_P], is_positive, 0, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_P, "p=%g: every exponent must be greater than 0", wrong);
    }
    if (find_wrong(pool->array[CPOOL_BETA], is_finite, 0, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_BETA, "beta=%g: it must be finite", wrong);
    }
    if (find_wrong(pool->array[CPOOL_ALPHA], is_finite_weight, 0, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_ALPHA, "alpha=%g: it must be finite and at least 0", wrong);
    }
    if (find_wrong(pool->array[CPOOL_LAMBDA], is_finite_weight, 0, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_LAMBDA, "lam=%g: it must be finite and at least 0", wrong);
    }
    if (find_wrong(pool->array[CPOOL_U], is_fraction, 0, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_U, "u holds %g; every number must be at least 0 and less than 1",
                       wrong);
    }
    if (find_wrong(pool->array[CPOOL_LENGTHS], is_length, length, &wrong)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_LENGTHS, "lengths holds %.0f; each must be 0 to %.0f", wrong, length);
    }
    return CPOOL_OK;
}

/* ---- Reading ---- */

int cp_parameter_per_channel(const cp_pool *pool, const cpool_view *view)
{
    if (view != NULL && (view == pool->array[CPOOL_LEAVES] || view == pool->array[CPOOL_GATES])) {
        return view->ndim > 2 && view->shape[1] != 1;
    }
    int32_t least = view == NULL ? 0 : view == pool->array[CPOOL_WEIGHT] ? 2 : 1;
    return least > 0 && view->ndim >= least && view->shape[0] != 1; /* no channel at all included */
}

int64_t cp_parameter_row(const cpool_view *view)
{
    int64_t row = view->shape[view->ndim - 1];
    for (int32_t i = view->ndim - 2; i > 0; i--) {
        row *= view->shape[i];
    }
    return row;
}

double cp_parameter_at(const cp_pool *pool, const cpool_view *view, int64_t channel, int64_t index)
{
    int64_t strides[CPOOL_MAX_NDIM];
    const char *at = view->data;
    cp_view_strides(view, strides);
    if (cp_parameter_per_channel(pool, view)) {
        at += channel * strides[0];
    }
    for (int32_t axis = view->ndim - 1; index > 0; axis--) {
        at += index % view->shape[axis] * strides[axis];
        index /= view->shape[axis];
    }
    return read_value(view, at);
}

void cp_parameter_spread(cp_spread *spread, const cp_pool *pool, const cpool_view *view, int32_t role)
{
    int64_t own[CPOOL_MAX_NDIM];
    cp_view_strides(view, own);
    spread->view = *view;
    spread->view.ndim = pool->ndim;
    spread->view.shape = spread->shape;
    spread->view.strides = spread->strides;
    for (int32_t i = 0; i < pool->ndim; i++) {
        spread->shape[i] = 1;
        spread->strides[i] = 0;
    }
    if (role == CPOOL_BLEND) {
        if (cp_parameter_per_channel(pool, view)) {
            spread->strides[pool->channel] = own[0];
        }
        for (int32_t i = 1; i < view->ndim; i++) {
            spread->strides[pool->space[CP_SPACE - pool->params.rank + i - 1]] = own[i];
        }
        return;
    }
    if (role == CPOOL_U && pool->op->code == CPOOL_FRACTIONAL) { /* the axes of x that are not spatial, in their order */
        for (int32_t i = 0, j = 0; i < pool->ndim; i++) {
            if (i != pool->space[0] && i != pool->space[1] && i != pool->space[2]) {
                spread->strides[i] = own[j++];
            }
        }
        return;
    }
    for (int32_t i = 0; i < view->ndim; i++) { /* ndim is 0 or x's */
        spread->strides[i] = view->shape[i] == 1 ? 0 : own[i];
    }
}

void cp_parameter_masks(cp_spread *spread, const cpool_view *masks)
{
    int64_t own[CPOOL_MAX_NDIM];
    int32_t last = masks->ndim - 1;
    cp_view_strides(masks, own);
    spread->view = *masks;
    spread->view.ndim = 3;
    spread->view.shape = spread->shape;
    spread->view.strides = spread->strides;
    for (int32_t i = 0; i < 3; i++) {
        int32_t from = i == 0 ? 1 : i == 1 ? 0 : last;
        int channel = i == 0 && last < 2;
        spread->shape[i] = channel ? 1 : masks->shape[from];
        spread->strides[i] = channel ? 0 : own[from];
    }
}
