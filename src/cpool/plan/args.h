/* The arrays of a call, by role: what every operator checks in the same way and says in the same words. */
#ifndef CP_PLAN_ARGS_H
#define CP_PLAN_ARGS_H

#include <stddef.h>

#include "cpool/cpool.h"

enum { CP_ROLES = 32 };

typedef struct cp_args {
    const cpool_view *array[CP_ROLES], *grad[CP_ROLES]; /* by role; NULL where absent */
    int32_t given[2 * CP_ROLES], given_count;           /* the roles that are there */
} cp_args;

#define CP_TRY(call) \
    do { \
        cpool_status status_ = (call); \
        if (status_ != CPOOL_OK) { \
            return status_; \
        } \
    } while (0)

/* Roles by the names that callers know, NULL for none; a result is `out` where it is what the caller asked for. */
const char *cp_role_name(int32_t role);
/* A bit of a role set: role, or 32 + role for its gradient. */
static inline uint64_t cp_role_bit(int32_t role)
{
    return UINT64_C(1) << (role & CPOOL_GRAD ? 32 + (role - CPOOL_GRAD) : role);
}

/* Takes the arrays apart; `known` are the roles that `name`, the operator, has. */
cpool_status cp_args_take(cp_args *to, const cpool_arg *args, int32_t n, uint64_t known, const char *name, cpool_error *error);
static inline const cpool_view *cp_args_view(const cp_args *args, int32_t role)
{
    return role & CPOOL_GRAD ? args->grad[role - CPOOL_GRAD] : args->array[role];
}
/* That the required ones are there, with data, and that results overlap neither themselves nor any other array; in_place names
 * a role that may be exactly the memory of its result, as bits of both. */
cpool_status cp_args_ready(const cp_args *args, uint64_t required, uint64_t results, uint64_t in_place, cpool_error *error);

/* Parameters of `size` bytes by their struct_size: what the caller's struct has of them,
 * the rest from `init`, which callers know as `name`. */
cpool_status cp_take_struct(void *to, const void *init, size_t size, size_t least, const void *params, const char *name,
                            cpool_error *error);
/* An axis of x, counted from the end where it is negative. */
cpool_status cp_take_axis(int32_t given, int32_t ndim, const char *name, int32_t *axis, cpool_error *error);

int cp_is_float(const cpool_view *view);
const char *cp_dtype_kind(uint8_t code);
cpool_status cp_check_dtype(const cpool_view *view, int32_t role, uint8_t code, uint8_t bits, cpool_error *error);
/* That a parameter or its gradient has the dtype of x or float64. */
cpool_status cp_check_parameter_dtype(const cpool_view *view, int32_t role, const cpool_view *x, cpool_error *error);
cpool_status cp_check_shape(const cpool_view *view, int32_t role, const int64_t *shape, int32_t ndim, cpool_error *error);
/* CP_DTYPE_* of x; `verb` says what is done to it. */
cpool_status cp_take_dtype(int32_t *dtype, const cpool_view *x, int32_t role, const char *verb, cpool_error *error);
/* Bytes from one element to the next along each axis of a view. */
void cp_view_strides(const cpool_view *view, int64_t *strides);
/* Elements of a view, and where one of them is, in C order. */
int64_t cp_view_size(const cpool_view *view);
char *cp_view_element(const cpool_view *view, int64_t index);

/* Whether any of four reserved fields is set. */
static inline int cp_any_set(const int64_t *reserved)
{
    return (reserved[0] | reserved[1] | reserved[2] | reserved[3]) != 0;
}

static inline int cp_product_overflows(int64_t a, int64_t b) /* a, b >= 0 */
{
    int small = (a | b) >> 31 == 0; /* as most are; a division takes longer than the rest of a check */
    return !small && a != 0 && b > INT64_MAX / a;
}

#endif
