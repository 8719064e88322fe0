#include "plan/args.h"

#include <inttypes.h>
#include <string.h>

#include "dtype/list.h"
#include "error.h"
#include "overlap.h"

/* ---- Roles ---- */

const char *cp_role_name(int32_t role)
{
    switch (role) {
    case CPOOL_X: return "x";
    case CPOOL_Y: return "out";
    case CPOOL_TAPS: return "taps";
    case CPOOL_INDICES: return "indices";
    case CPOOL_LENGTHS: return "lengths";
    case CPOOL_U: return "u";
    case CPOOL_LOGITS: return "logits";
    case CPOOL_P: return "p";
    case CPOOL_BETA: return "beta";
    case CPOOL_ALPHA: return "alpha";
    case CPOOL_LAMBDA: return "lam";
    case CPOOL_REFERENCE: return "reference";
    case CPOOL_FILTER: return "filter";
    case CPOOL_BIAS: return "bias";
    case CPOOL_BLEND: return "a";
    case CPOOL_MASK: return "mask";
    case CPOOL_LEAVES: return "leaves";
    case CPOOL_GATES: return "gates";
    case CPOOL_WEIGHT: return "weight";
    case CPOOL_MU: return "mean";
    case CPOOL_VAR: return "var";
    case CPOOL_STATS: return "stats";
    case CPOOL_MOMENTS: return "moments";
    case CPOOL_SUMS: return "sums";
    case CPOOL_GRAD | CPOOL_X: return "out";
    case CPOOL_GRAD | CPOOL_Y: return "dy";
    case CPOOL_GRAD | CPOOL_LOGITS: return "the gradient of logits";
    case CPOOL_GRAD | CPOOL_P: return "the gradient of p";
    case CPOOL_GRAD | CPOOL_BETA: return "the gradient of beta";
    case CPOOL_GRAD | CPOOL_BLEND: return "the gradient of a";
    case CPOOL_GRAD | CPOOL_ALPHA: return "the gradient of alpha";
    case CPOOL_GRAD | CPOOL_LAMBDA: return "the gradient of lam";
    case CPOOL_GRAD | CPOOL_REFERENCE: return "the gradient of reference";
    case CPOOL_GRAD | CPOOL_FILTER: return "the gradient of filter";
    case CPOOL_GRAD | CPOOL_BIAS: return "the gradient of bias";
    case CPOOL_GRAD | CPOOL_WEIGHT: return "the gradient of weight";
    case CPOOL_GRAD | CPOOL_LEAVES: return "the gradient of leaves";
    case CPOOL_GRAD | CPOOL_GATES: return "the gradient of gates";
    default: return NULL;
    }
}

/* ---- Views ---- */

int64_t cp_view_size(const cpool_view *view)
{
    int64_t size = 1;
    for (int32_t i = 0; i < view->ndim; i++) {
        size *= view->shape[i];
    }
    return size;
}

void cp_view_strides(const cpool_view *view, int64_t *strides)
{
    int64_t step = view->dtype_bits / 8;
    if (view->strides != NULL) {
        for (int32_t i = 0; i < view->ndim; i++) {
            strides[i] = view->strides[i];
        }
        return;
    }
    for (int32_t i = view->ndim; i-- > 0; step *= view->shape[i]) {
        strides[i] = step;
    }
}

char *cp_view_element(const cpool_view *view, int64_t index)
{
    int64_t strides[CPOOL_MAX_NDIM];
    char *at = view->data;
    cp_view_strides(view, strides);
    for (int32_t axis = view->ndim; axis-- > 0; index /= view->shape[axis]) {
        at += index % view->shape[axis] * strides[axis];
    }
    return at;
}

static int add_overflows(int64_t a, int64_t b) /* b >= 0 */
{
    return a > INT64_MAX - b;
}

static cpool_status check_view(const cpool_view *view, int32_t role, cpool_error *error)
{
    const char *name = cp_role_name(role);
    if (view->ndim < 0 || view->ndim > CPOOL_MAX_NDIM) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has ndim=%" PRId32 "; 0 to %d are possible", name, view->ndim,
                       CPOOL_MAX_NDIM);
    }
    if (view->ndim > 0 && view->shape == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has no shape (NULL)", name);
    }
    if (view->dtype_lanes != 1 || view->dtype_bits % 8 != 0 || view->dtype_bits == 0) {
        return cp_fail(error, CPOOL_INVALID_TYPE, role,
                       "%s has dtype_bits=%d, dtype_lanes=%d; bits must be 8, 32 or 64 and lanes 1", name, view->dtype_bits,
                       view->dtype_lanes);
    }
    if (cp_any_set(view->reserved)) {
        return cp_fail(error, CPOOL_UNSUPPORTED, role, "%s has reserved fields set; this library knows no use of them", name);
    }
    int64_t bytes = view->dtype_bits / 8, extent = bytes;
    for (int32_t i = 0; i < view->ndim; i++) {
        int64_t length = view->shape[i], positive = length > 1 ? length : 1;
        if (length < 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has the negative length %" PRId64 " along axis %" PRId32, name,
                           length, i);
        }
        if (cp_product_overflows(bytes, positive)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s: more than 2^63 - 1 bytes", name,
                           cp_format_shape(view->shape, view->ndim).text);
        }
        bytes *= positive;
        if (view->strides != NULL) {
            int64_t stride = view->strides[i];
            if (stride == INT64_MIN || cp_product_overflows(positive - 1, stride < 0 ? -stride : stride) ||
                add_overflows(extent, (positive - 1) * (stride < 0 ? -stride : stride))) {
                return cp_fail(error, CPOOL_INVALID_VALUE, role,
                               "%s has the stride %" PRId64 " along axis %" PRId32 ": it spans more than 2^63 - 1 bytes", name,
                               stride, i);
            }
            extent += (positive - 1) * (stride < 0 ? -stride : stride);
        }
    }
    return CPOOL_OK;
}

int cp_is_float(const cpool_view *view)
{
    return view->dtype_code == CPOOL_FLOAT && (view->dtype_bits == 32 || view->dtype_bits == 64);
}

const char *cp_dtype_kind(uint8_t code)
{
    return code == CPOOL_FLOAT ? "float" : code == CPOOL_UINT ? "uint" : code == CPOOL_INT ? "int" : "dtype";
}

cpool_status cp_check_dtype(const cpool_view *view, int32_t role, uint8_t code, uint8_t bits, cpool_error *error)
{
    if (view->dtype_code == code && view->dtype_bits == bits) {
        return CPOOL_OK;
    }
    return cp_fail(error, CPOOL_INVALID_TYPE, role, "%s has dtype %s%d; it must be %s%d", cp_role_name(role),
                   cp_dtype_kind(view->dtype_code), view->dtype_bits, cp_dtype_kind(code), bits);
}

cpool_status cp_check_shape(const cpool_view *view, int32_t role, const int64_t *shape, int32_t ndim, cpool_error *error)
{
    int same = view->ndim == ndim;
    for (int32_t i = 0; same && i < ndim; i++) {
        same = view->shape[i] == shape[i];
    }
    if (same) {
        return CPOOL_OK;
    }
    return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has shape %s; it must be %s", cp_role_name(role),
                   cp_format_shape(view->shape, view->ndim).text, cp_format_shape(shape, ndim).text);
}

cpool_status cp_check_parameter_dtype(const cpool_view *view, int32_t role, const cpool_view *x, cpool_error *error)
{
    if (cp_is_float(view) && (view->dtype_bits == 64 || view->dtype_bits == x->dtype_bits)) {
        return CPOOL_OK;
    }
    return cp_fail(error, CPOOL_INVALID_TYPE, role, "%s has dtype %s%d; it must be float64 or that of x", cp_role_name(role),
                   cp_dtype_kind(view->dtype_code), view->dtype_bits);
}

cpool_status cp_take_dtype(int32_t *dtype, const cpool_view *x, int32_t role, const char *verb, cpool_error *error)
{
#define ROW(name, code, bits, lane) \
    if (x->dtype_code == code && x->dtype_bits == bits) { \
        *dtype = CP_DTYPE_##name; \
        return CPOOL_OK; \
    }
    CP_DTYPE_LIST(ROW)
#undef ROW
    return cp_fail(error, CPOOL_INVALID_TYPE, role, "x has dtype %s%d; cpool %s float32 and float64",
                   cp_dtype_kind(x->dtype_code), x->dtype_bits, verb);
}

/* ---- Parameters ---- */

cpool_status cp_take_struct(void *to, const void *init, size_t size, size_t least, const void *params, const char *name,
                            cpool_error *error)
{
    size_t given;
    if (params == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "params is NULL");
    }
    memcpy(&given, params, sizeof given);
    if (given < least) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "params.struct_size=%zu is too small; start from %s", given, name);
    }
    if (given < size) {
        memcpy(to, init, size);
    }
    memcpy(to, params, given < size ? given : size);
    for (size_t i = size; i < given; i++) {
        if (((const unsigned char *)params)[i] != 0) {
            return cp_fail(error, CPOOL_UNSUPPORTED, 0, "params sets a field that this library (%s) does not have",
                           CPOOL_VERSION);
        }
    }
    return CPOOL_OK;
}

cpool_status cp_take_axis(int32_t given, int32_t ndim, const char *name, int32_t *axis, cpool_error *error)
{
    if (given < -ndim || given >= ndim) {
        return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_X,
                       "%s=%" PRId32 " is not an axis of x, which has %" PRId32 ": %" PRId32 " to %" PRId32, name, given, ndim,
                       -ndim, ndim - 1);
    }
    *axis = given < 0 ? given + ndim : given;
    return CPOOL_OK;
}

/* ---- Arrays ---- */

cpool_status cp_args_take(cp_args *to, const cpool_arg *args, int32_t n, uint64_t known, const char *operator_name,
                          cpool_error *error)
{
    uint64_t seen = 0;
    memset(to, 0, offsetof(cp_args, given));
    to->given_count = 0;
    if (n < 0 || (n > 0 && args == NULL)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "args is NULL or n=%" PRId32 " is negative", n);
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t role = args[i].role;
        const char *name = cp_role_name(role);
        if (name == NULL || args[i].reserved != 0) {
            return cp_fail(error, CPOOL_UNSUPPORTED, role, "args[%" PRId32 "].role=%" PRId32 " is no role of this library (%s)",
                           i, role, CPOOL_VERSION);
        }
        if ((known & cp_role_bit(role)) == 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s takes no %s here", operator_name, name);
        }
        if ((seen & cp_role_bit(role)) != 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s is given twice", name);
        }
        seen |= cp_role_bit(role);
        to->given[to->given_count++] = role;
        CP_TRY(check_view(&args[i].view, role, error));
        if (role & CPOOL_GRAD) {
            to->grad[role - CPOOL_GRAD] = &args[i].view;
        } else {
            to->array[role] = &args[i].view;
        }
    }
    return CPOOL_OK;
}

static int same_memory(const cpool_view *a, const cpool_view *b)
{
    int64_t a_strides[CPOOL_MAX_NDIM], b_strides[CPOOL_MAX_NDIM];
    int same = a->data == b->data && a->ndim == b->ndim && a->dtype_bits == b->dtype_bits;
    if (same) {
        cp_view_strides(a, a_strides);
        cp_view_strides(b, b_strides);
    }
    for (int32_t i = 0; same && i < a->ndim; i++) {
        same = a->shape[i] == b->shape[i] && (a->shape[i] == 1 || a_strides[i] == b_strides[i]);
    }
    return same;
}

cpool_status cp_args_ready(const cp_args *args, uint64_t required, uint64_t results, uint64_t in_place, cpool_error *error)
{
    for (int32_t i = 0; i < args->given_count; i++) {
        int32_t role = args->given[i];
        const cpool_view *view = cp_args_view(args, role);
        required &= ~cp_role_bit(role);
        if (view != NULL && view->data == NULL && cp_view_size(view) != 0) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s has no data (NULL)", cp_role_name(role));
        }
    }
    for (int32_t r = 0; required != 0; r++, required >>= 1) {
        if (required & 1) {
            int32_t role = r < CP_ROLES ? r : CPOOL_GRAD | (r - CP_ROLES);
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s is missing", cp_role_name(role));
        }
    }
    for (int32_t i = 0; i < args->given_count; i++) {
        int32_t role = args->given[i];
        const cpool_view *result = cp_args_view(args, role);
        if ((results & cp_role_bit(role)) == 0) {
            continue;
        }
        if (cp_overlap_self(result)) {
            return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s overlaps itself: several of its elements lie in one place",
                           cp_role_name(role));
        }
        for (int32_t j = 0; j < args->given_count; j++) {
            const cpool_view *other = cp_args_view(args, args->given[j]);
            uint64_t both = cp_role_bit(role) | cp_role_bit(args->given[j]);
            if (j == i || other == NULL || ((in_place & both) == both && same_memory(result, other))) {
                continue;
            }
            if (cp_overlap(result, other)) {
                return cp_fail(error, CPOOL_INVALID_VALUE, role, "%s shares memory with %s", cp_role_name(role),
                               cp_role_name(args->given[j]));
            }
        }
    }
    return CPOOL_OK;
}
