/* The arrays of a call that are neither its input nor its result: what shapes and values they may have. */
#ifndef CP_PLAN_PARAMETERS_H
#define CP_PLAN_PARAMETERS_H

#include "plan/pool.h"

/* Whether a role (CPOOL_GRAD taken off) has a shape of its own, which cp_parameter_check knows, rather than that of x or y. */
int cp_parameter_role(int32_t role);

/* Kind and shape of a parameter that is given; `name` is what its role is called. */
cpool_status cp_parameter_check(const cp_pool *pool, const cpool_view *view, int32_t role, const char *name,
                                cpool_error *error);

/* The values of every array that may hold wrong ones. */
cpool_status cp_parameter_check_values(const cp_pool *pool, cpool_error *error);

/* Whether a parameter has a row for every channel, and element `index` of that row. NULL is no row. */
int cp_parameter_per_channel(const cp_pool *pool, const cpool_view *view);
double cp_parameter_at(const cp_pool *pool, const cpool_view *view, int64_t channel, int64_t index);

/* CPOOL_WEIGHT, CPOOL_FILTER, masks as they are spread: weights of one row. */
int64_t cp_parameter_row(const cpool_view *view);

/* A smaller array as one with x's axes: axes along which it does not change have stride 0. */
typedef struct cp_spread {
    cpool_view view;
    int64_t shape[CPOOL_MAX_NDIM], strides[CPOOL_MAX_NDIM];
} cp_spread;

void cp_parameter_spread(cp_spread *spread, const cp_pool *pool, const cpool_view *view, int32_t role);

/* The masks of a tree with a row per channel, or one: masks one after the other. */
void cp_parameter_masks(cp_spread *spread, const cpool_view *masks);

#endif
