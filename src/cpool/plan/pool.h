/* A pooling call, checked: what every driver works from. */
#ifndef CP_PLAN_POOL_H
#define CP_PLAN_POOL_H

#include "cpool/cpool.h"
#include "operators.h"
#include "plan/args.h"
#include "plan/axis.h"

/* The spatial axes of a pool are always three, slowest first; those that the rank does not have are of length 1. */
enum { CP_SPACE = 3 };

/* An axis whose taps are those of a window and of a filter together: where each of the two begins. */
typedef struct cp_filtered {
    int64_t window, dilation, window_at, filter, filter_at;
} cp_filtered;
/* The longest binomial filter. */
enum { CP_BINOMIALS = 7 };

typedef struct cp_pool {
    cpool_pool_params params;
    const cp_operator *op;
    cp_args args;
    const cpool_view **array, **grad; /* those of args */
    const int64_t *x_shape;
    int32_t ndim;
    int32_t space[CP_SPACE];       /* the array axis of each spatial axis; -1: none */
    int32_t batch[CPOOL_MAX_NDIM]; /* the other array axes, the channel axis last */
    int32_t batch_count;
    int32_t channel; /* the array axis of channels; -1: none */
    int64_t in[CP_SPACE], out[CP_SPACE];
    int64_t padded_end[CP_SPACE];           /* end of input and padding */
    int64_t strip[CP_SPACE], map[CP_SPACE]; /* CPOOL_S3: windows that are drawn from together, and all of them along an axis */
    cp_axis axis[CP_SPACE];                 /* not for CPOOL_UNPOOL and CPOOL_KMAX */
    cp_filtered filtered[CP_SPACE];         /* where there is a filter */
    double window_taps;                     /* taps of the largest window */
    int32_t taps_bits;
    int32_t dtype, dtype_bits; /* CP_DTYPE_* of x */
} cp_pool;

/* Checks the parameters and every array that is given, against each other and against what the operator takes; not yet that all
 * arrays a direction needs are there. direction -1: roles of both directions may be given. */
cpool_status cp_pool_plan(cp_pool *pool, const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                          cpool_error *error);

/* That everything the direction needs is there, with data, and that results share no element with anything. */
cpool_status cp_pool_ready(const cp_pool *pool, int32_t direction, cpool_error *error);

/* The same for taps to indices. */
cpool_status cp_pool_ready_indices(cp_pool *pool, cpool_error *error);

/* Shape and dtype of a role. */
cpool_status cp_pool_shape(const cp_pool *pool, int32_t role, cpool_shape *out, cpool_error *error);

/* Number of elements that an average counts along one axis, and what its divisor is the product of over the axes: these
 * numbers, or for a given divisor 1 and, along the row, this divisor. */
int64_t cp_pool_count_along(const cp_pool *pool, int32_t axis, int64_t output);
double cp_pool_divisor_along(const cp_pool *pool, int32_t axis, int64_t output);

/* CPOOL_S3: how many of neighbouring windows are kept. */
int64_t cp_pool_kept(const cp_pool *pool, int32_t axis, int64_t windows);

/* The shape of the result. */
void cp_pool_result_shape(const cp_pool *pool, int64_t *shape);

/* The shape of numbers in place of draws; returns how many axes it has. */
int32_t cp_pool_draws_shape(const cp_pool *pool, int64_t *shape);
#endif
