#include "plan/norm.h"

#include <inttypes.h>
#include <string.h>

#include "dtype/list.h"
#include "error.h"

#define R(role) (UINT64_C(1) << CPOOL_##role)
#define G(role) (UINT64_C(1) << (32 + CPOOL_##role))

/* ---- Operators ---- */

typedef struct operator_row {
    const char *name;
    int per_sample, per_element, with_mean, batch;
} operator_row;

static const operator_row operators[] = {
    [CPOOL_BATCH_NORM] = {"batch_norm", 0, 0, 1, 1}, [CPOOL_INSTANCE_NORM] = {"instance_norm", 1, 0, 1, 0},
    [CPOOL_GROUP_NORM] = {"group_norm", 1, 0, 1, 0}, [CPOOL_LAYER_NORM] = {"layer_norm", 1, 1, 1, 0},
    [CPOOL_RMS_NORM] = {"rms_norm", 1, 1, 0, 0},
};
enum { OPERATORS = sizeof operators / sizeof operators[0] };

static const operator_row *operator_of(const cp_norm *norm)
{
    return &operators[norm->params.op];
}

uint64_t cp_norm_required(const cp_norm *norm, int32_t direction)
{
    int32_t stage = norm->params.stage;
    if (direction == CPOOL_FORWARD) {
        return stage == CPOOL_STAGE_STATS   ? R(X) | R(MOMENTS)
               : stage == CPOOL_STAGE_APPLY ? R(X) | R(MOMENTS) | R(Y)
                                            : R(X) | R(Y) | (norm->constant ? R(MU) | R(VAR) : 0);
    }
    uint64_t both = G(Y) | R(X);
    return stage == CPOOL_STAGE_SUMS || stage == CPOOL_STAGE_APPLY ? both | R(STATS) | R(SUMS)
           : norm->constant                                        ? both | R(MU) | R(VAR)
                                                                   : both | R(STATS);
}

uint64_t cp_norm_optional(const cp_norm *norm, int32_t direction)
{
    int32_t stage = norm->params.stage, batch = operator_of(norm)->batch;
    uint64_t parameters = norm->with_mean ? R(WEIGHT) | R(BIAS) : R(WEIGHT), roles = parameters;
    if (direction == CPOOL_FORWARD) {
        roles = stage == CPOOL_STAGE_STATS ? 0 : norm->constant ? parameters : parameters | R(STATS);
        roles |= stage == CPOOL_STAGE_ALL && batch ? R(MOMENTS) | R(MU) | R(VAR) : 0;
        roles &= ~(norm->constant ? R(MOMENTS) : 0);
    } else {
        roles |= stage == CPOOL_STAGE_SUMS ? 0 : G(X) | parameters << 32;
        roles |= stage == CPOOL_STAGE_ALL && batch ? R(MU) | R(VAR) : 0;
    }
    return roles & ~cp_norm_required(norm, direction);
}

uint64_t cp_norm_kept(const cp_norm *norm)
{
    uint64_t parameters = norm->with_mean ? R(WEIGHT) | R(BIAS) : R(WEIGHT);
    return R(X) | (norm->constant ? R(MU) | R(VAR) : R(STATS)) | parameters;
}

/* ---- Parameters ---- */

static cpool_status take_params(cp_norm *norm, const cpool_norm_params *params, int32_t direction, cpool_error *error)
{
    static const cpool_norm_params init = CPOOL_NORM_PARAMS_INIT;
    CP_TRY(cp_take_struct(&norm->params, &init, sizeof init, offsetof(cpool_norm_params, stage), params,
                          "CPOOL_NORM_PARAMS_INIT", error));
    const cpool_norm_params *p = &norm->params;
    if (p->op < CPOOL_BATCH_NORM || p->op >= OPERATORS) {
        return cp_fail(error, CPOOL_UNSUPPORTED, 0, "params.op=%" PRId32 " is no normalization of this library (%s)", p->op,
                       CPOOL_VERSION);
    }
    const operator_row *op = &operators[p->op];
    norm->name = op->name;
    norm->per_sample = op->per_sample;
    norm->per_element = op->per_element;
    norm->with_mean = op->with_mean;
    if (p->reserved_flags != 0 || cp_any_set(p->reserved) || cp_any_set(p->reserved + 4) || (p->flags & ~CPOOL_RELU) != 0) {
        return cp_fail(error, CPOOL_UNSUPPORTED, 0, "params sets reserved fields or flags that this library has no use of");
    }
    if (p->flags & CPOOL_RELU && !op->batch) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "%s takes no relu", op->name);
    }
    int32_t other = direction == CPOOL_FORWARD ? CPOOL_STAGE_SUMS : direction == CPOOL_BACKWARD ? CPOOL_STAGE_STATS : -1;
    if (p->stage < CPOOL_STAGE_ALL || p->stage > CPOOL_STAGE_APPLY || p->stage == other ||
        (p->stage != CPOOL_STAGE_ALL && !op->batch)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "params.stage=%" PRId32 " is no stage of %s in this direction", p->stage,
                       op->name);
    }
    if (!(p->eps >= 0) || p->eps - p->eps != 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "eps=%g: it must be finite and at least 0", p->eps);
    }
    return CPOOL_OK;
}

/* ---- Axes ---- */

static cpool_status take_norm_axes(cp_norm *norm, uint64_t *reduced, cpool_error *error)
{
    const cpool_norm_params *p = &norm->params;
    if (norm->ndim < 1) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x has shape (); %s needs at least one axis", norm->name);
    }
    if (p->rank < 1 || p->rank > norm->ndim) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                       "axes has %" PRId32 " entries; %s of x with shape %s takes 1 to %" PRId32, p->rank, norm->name,
                       cp_format_shape(norm->x_shape, norm->ndim).text, norm->ndim);
    }
    norm->parameter_ndim = p->rank;
    for (int32_t i = 0; i < p->rank; i++) {
        int32_t axis;
        CP_TRY(cp_take_axis(p->norm_axes[i], norm->ndim, "axes", &axis, error));
        if (*reduced >> axis & 1) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "axes=%" PRId32 " is named twice", p->norm_axes[i]);
        }
        *reduced |= UINT64_C(1) << axis;
        norm->reduced[norm->reduced_count++] = axis;
        norm->parameter_shape[i] = norm->x_shape[axis];
    }
    for (int32_t i = 0; i < norm->ndim; i++) {
        if (!(*reduced >> i & 1)) {
            norm->kept[norm->kept_count++] = i;
            norm->stat_shape[norm->stat_ndim++] = norm->x_shape[i];
        }
    }
    return CPOOL_OK;
}

static cpool_status take_channels(cp_norm *norm, cpool_error *error)
{
    const cpool_norm_params *p = &norm->params;
    if (norm->ndim < 2) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                       "x has shape %s; %s needs at least 2 axes, of samples and of channels",
                       cp_format_shape(norm->x_shape, norm->ndim).text, norm->name);
    }
    CP_TRY(cp_take_axis(p->channel_axis == CPOOL_AXIS_DEFAULT ? 1 : p->channel_axis, norm->ndim, "channel_axis", &norm->channel,
                        error));
    int64_t channels = norm->x_shape[norm->channel], groups = channels;
    if (norm->per_sample) {
        norm->sample = norm->channel == 0 ? 1 : 0;
        norm->kept[norm->kept_count++] = norm->sample;
        norm->stat_shape[norm->stat_ndim++] = norm->x_shape[norm->sample];
    }
    if (p->op == CPOOL_GROUP_NORM) {
        groups = p->groups;
        if (groups < 1 || channels % groups != 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                           "groups=%" PRId64 " does not divide the %" PRId64 " channels along axis %" PRId32 " of x", groups,
                           channels, norm->channel);
        }
        if (cp_product_overflows(norm->x_shape[norm->sample], groups)) { /* any number divides no channels */
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                           "groups=%" PRId64 " of %" PRId64 " samples are more groups than 2^63 - 1", groups,
                           norm->x_shape[norm->sample]);
        }
        norm->members = channels / groups;
    }
    norm->kept[norm->kept_count++] = norm->channel;
    norm->stat_shape[norm->stat_ndim++] = groups;
    norm->parameter_shape[norm->parameter_ndim++] = channels;
    for (int32_t i = 0; i < norm->ndim; i++) {
        if (i != norm->channel && i != norm->sample) {
            norm->reduced[norm->reduced_count++] = i;
        }
    }
    return CPOOL_OK;
}

static int64_t product(const int64_t *shape, int32_t ndim)
{
    int64_t size = 1;
    for (int32_t i = 0; i < ndim; i++) {
        size *= shape[i];
    }
    return size;
}

static cpool_status take_axes(cp_norm *norm, cpool_error *error)
{
    uint64_t reduced = 0;
    norm->channel = norm->sample = -1;
    norm->members = 1;
    norm->reduced_count = norm->kept_count = norm->stat_ndim = norm->parameter_ndim = 0;
    CP_TRY(norm->per_element ? take_norm_axes(norm, &reduced, error) : take_channels(norm, error));
    norm->groups = product(norm->stat_shape, norm->stat_ndim);
    norm->parameters = product(norm->parameter_shape, norm->parameter_ndim);
    norm->elements = norm->members;
    for (int32_t i = 0; i < norm->reduced_count; i++) {
        norm->elements *= norm->x_shape[norm->reduced[i]];
    }
    return CPOOL_OK;
}

/* ---- Arrays ---- */

static cpool_status check_array(const cp_norm *norm, const cpool_view *view, int32_t role, cpool_error *error)
{
    cpool_shape want = CPOOL_SHAPE_INIT;
    int32_t kind = role & ~CPOOL_GRAD;
    const cpool_view *x = norm->args.array[CPOOL_X], *parameter = norm->args.array[kind];
    if (kind == CPOOL_WEIGHT || kind == CPOOL_BIAS || kind == CPOOL_MU || kind == CPOOL_VAR) {
        CP_TRY(cp_check_parameter_dtype(view, role, x, error));
        if (kind != role && parameter != NULL) {
            CP_TRY(cp_check_dtype(view, role, parameter->dtype_code, parameter->dtype_bits, error));
        }
        if (!norm->per_element && view->ndim == 1 && view->shape[0] != norm->parameter_shape[0]) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role,
                           "%s has %" PRId64 " values; x has %" PRId64 " channels along axis %" PRId32 " of its shape %s",
                           cp_role_name(role), view->shape[0], norm->parameter_shape[0], norm->channel,
                           cp_format_shape(norm->x_shape, norm->ndim).text);
        }
        return cp_check_shape(view, role, norm->parameter_shape, norm->parameter_ndim, error);
    }
    CP_TRY(cp_norm_shape(norm, role, &want, error));
    CP_TRY(cp_check_dtype(view, role, want.dtype_code, want.dtype_bits, error));
    return cp_check_shape(view, role, want.shape, want.ndim, error);
}

cpool_status cp_norm_plan(cp_norm *norm, const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                          cpool_error *error)
{
    uint64_t known = 0;
    norm->constant = 0;
    CP_TRY(take_params(norm, params, direction, error));
    for (int32_t i = 0; i < n && args != NULL; i++) {
        norm->constant |= args[i].role == CPOOL_MU || args[i].role == CPOOL_VAR;
    }
    for (int32_t d = CPOOL_FORWARD; d <= CPOOL_BACKWARD; d++) {
        known |= direction < 0 || direction == d ? cp_norm_required(norm, d) | cp_norm_optional(norm, d) : 0;
    }
    CP_TRY(cp_args_take(&norm->args, args, n, known, norm->name, error));
    const cpool_view *x = norm->args.array[CPOOL_X];
    if (x == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x is missing");
    }
    CP_TRY(cp_take_dtype(&norm->dtype, x, CPOOL_X, "normalizes", error));
    norm->x_shape = x->shape;
    norm->ndim = x->ndim;
    CP_TRY(take_axes(norm, error));
    for (int32_t i = 0; i < norm->args.given_count; i++) {
        int32_t role = norm->args.given[i];
        CP_TRY(check_array(norm, cp_args_view(&norm->args, role), role, error));
    }
    return CPOOL_OK;
}

cpool_status cp_norm_shape(const cp_norm *norm, int32_t role, cpool_shape *out, cpool_error *error)
{
    int32_t kind = role & ~CPOOL_GRAD;
    const cpool_view *x = norm->args.array[CPOOL_X], *given;
    uint64_t roles = 0;
    for (int32_t d = CPOOL_FORWARD; d <= CPOOL_BACKWARD; d++) {
        roles |= cp_norm_required(norm, d) | cp_norm_optional(norm, d);
    }
    if (cp_role_name(role) == NULL || (roles & cp_role_bit(role)) == 0) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has no array of role %" PRId32 " here", norm->name, role);
    }
    given = norm->args.array[kind];
    out->dtype_lanes = 1;
    out->dtype_code = CPOOL_FLOAT;
    out->dtype_bits = given != NULL ? given->dtype_bits : x->dtype_bits;
    if (kind == CPOOL_X || kind == CPOOL_Y) {
        out->ndim = norm->ndim;
        out->dtype_bits = x->dtype_bits;
        memcpy(out->shape, norm->x_shape, (size_t)norm->ndim * sizeof *out->shape);
    } else if (kind == CPOOL_STATS || kind == CPOOL_MOMENTS || kind == CPOOL_SUMS) {
        if (norm->stat_ndim + 1 > CPOOL_MAX_NDIM) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s would have more than %d axes", cp_role_name(role),
                           CPOOL_MAX_NDIM);
        }
        out->ndim = norm->stat_ndim + 1;
        out->dtype_bits = 64;
        out->shape[0] = kind == CPOOL_MOMENTS ? 4 : 3;
        memcpy(out->shape + 1, norm->stat_shape, (size_t)norm->stat_ndim * sizeof *out->shape);
    } else {
        out->ndim = norm->parameter_ndim;
        memcpy(out->shape, norm->parameter_shape, (size_t)norm->parameter_ndim * sizeof *out->shape);
    }
    return CPOOL_OK;
}

/* ---- Values ---- */

/* Number i of [n], or of row `row` of [rows, n], whose strides are given. */
static double read_at(const cpool_view *view, const int64_t *strides, int64_t row, int64_t i)
{
    const char *at = (const char *)view->data + (view->ndim == 2 ? row * strides[0] + i * strides[1] : i * strides[0]);
    return view->dtype_bits == 32 ? cp_read_f32(at) : cp_read_f64(at);
}

static cpool_status check_values(const cp_norm *norm, cpool_error *error)
{
    int64_t strides[CPOOL_MAX_NDIM];
    const cpool_view *var = norm->args.array[CPOOL_VAR];
    if (var != NULL) {
        cp_view_strides(var, strides);
    }
    for (int64_t i = 0; var != NULL && i < var->shape[0]; i++) {
        double value = read_at(var, strides, 0, i);
        if (!(value >= 0)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_VAR, "var=%g of channel %" PRId64 ": a variance is at least 0",
                           value, i);
        }
    }
    return CPOOL_OK;
}

/* Moments and sums that come from a caller: counts are numbers of elements, m2 is not
 * negative (NaN is what NaN in x makes it). */
static cpool_status check_counts(const cpool_view *view, int32_t role, int may_be_empty, cpool_error *error)
{
    int64_t strides[CPOOL_MAX_NDIM];
    if (view != NULL) {
        cp_view_strides(view, strides);
    }
    for (int64_t i = 0; view != NULL && i < view->shape[1]; i++) {
        double count = read_at(view, strides, 0, i), m2 = role == CPOOL_MOMENTS ? read_at(view, strides, 2, i) : 0;
        if (!(count >= 0) || count - count != 0 || (count == 0 && !may_be_empty)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has count %g for channel %" PRId64 "; it must be %s",
                           cp_role_name(role), count, i, may_be_empty ? "a finite number, at least 0" : "greater than 0");
        }
        if (m2 < 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has m2=%g for channel %" PRId64 "; it is at least 0",
                           cp_role_name(role), m2, i);
        }
    }
    return CPOOL_OK;
}

cpool_status cp_norm_ready(const cp_norm *norm, int32_t direction, cpool_error *error)
{
    const cp_args *args = &norm->args;
    int32_t stage = norm->params.stage;
    uint64_t forward = R(Y) | R(STATS) | (stage == CPOOL_STAGE_APPLY ? 0 : R(MOMENTS));
    uint64_t backward = G(X) | G(WEIGHT) | G(BIAS) | (stage == CPOOL_STAGE_SUMS ? R(SUMS) : 0);
    uint64_t required = cp_norm_required(norm, direction);
    for (int32_t role = CPOOL_BIAS; role <= CPOOL_WEIGHT; role += CPOOL_WEIGHT - CPOOL_BIAS) {
        required |= args->grad[role] != NULL ? cp_role_bit(role) : 0;
    }
    if (direction == CPOOL_FORWARD) {
        CP_TRY(cp_args_ready(args, required, forward, args->array[CPOOL_STATS] != NULL ? 0 : R(X) | R(Y), error));
    } else {
        CP_TRY(cp_args_ready(args, required, backward, G(Y) | G(X), error));
    }
    /* A part of a batch may be empty, a batch may not; nor may a sample have no elements where there are samples. */
    int whole = !norm->constant && stage == CPOOL_STAGE_ALL;
    if (whole && norm->elements == 0 && (norm->groups > 0 || !norm->per_sample)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X, "x has shape %s: there is nothing to take the statistics of",
                       cp_format_shape(norm->x_shape, norm->ndim).text);
    }
    CP_TRY(check_values(norm, error));
    if (stage == CPOOL_STAGE_APPLY) {
        CP_TRY(check_counts(args->array[CPOOL_MOMENTS], CPOOL_MOMENTS, 0, error));
        CP_TRY(check_counts(args->array[CPOOL_SUMS], CPOOL_SUMS, 0, error));
    }
    return CPOOL_OK;
}

cpool_status cp_moments_ready(const cpool_view *a, const cpool_view *b, const cpool_view *out, cpool_error *error)
{
    static const char *const names[] = {"a", "b", "out"};
    const cpool_view *views[] = {a, b, out};
    cpool_arg args[3];
    cp_args taken;
    for (int i = 0; i < 3; i++) {
        if (views[i] == NULL) {
            return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_MOMENTS, "%s is NULL", names[i]);
        }
        args[i].role = i == 0   ? CPOOL_MOMENTS
                       : i == 1 ? CPOOL_SUMS
                                : CPOOL_Y; /* three different ones; all are told as moments */
        args[i].reserved = 0;
        args[i].view = *views[i];
    }
    CP_TRY(cp_args_take(&taken, args, 3, R(MOMENTS) | R(SUMS) | R(Y), "cpool_moments_merge", error));
    for (int i = 0; i < 3; i++) {
        int64_t shape[2] = {4, a->ndim == 2 ? a->shape[1] : 0};
        CP_TRY(cp_check_dtype(views[i], args[i].role, CPOOL_FLOAT, 64, error));
        CP_TRY(cp_check_shape(views[i], args[i].role, shape, 2, error));
    }
    CP_TRY(cp_args_ready(&taken, 0, R(Y), R(MOMENTS) | R(SUMS) | R(Y), error));
    CP_TRY(check_counts(a, CPOOL_MOMENTS, 1, error));
    return check_counts(b, CPOOL_MOMENTS, 1, error);
}
