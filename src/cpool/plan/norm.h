/* A normalization call, checked: what its driver works from. */
#ifndef CP_PLAN_NORM_H
#define CP_PLAN_NORM_H

#include "plan/args.h"

typedef struct cp_norm {
    cpool_norm_params params;
    const char *name;
    int per_sample, per_element, with_mean; /* groups within samples; parameters along norm_axes; not RMS */
    cp_args args;
    const int64_t *x_shape;
    int32_t ndim, dtype;
    int32_t channel, sample;                        /* axes; -1: none */
    int32_t reduced[CPOOL_MAX_NDIM], reduced_count; /* the axes within a group, norm_axes in their order */
    int32_t kept[CPOOL_MAX_NDIM], kept_count;       /* the others, channels last; channels of a group count as kept */
    int64_t members;                                /* channels of a group */
    int64_t stat_shape[CPOOL_MAX_NDIM], parameter_shape[CPOOL_MAX_NDIM];
    int32_t stat_ndim, parameter_ndim;
    int64_t groups, parameters; /* their numbers */
    int64_t elements;           /* of a group, its channels counted together */
    int constant;               /* statistics are given as MU and VAR */
} cp_norm;

/* Checks the parameters and every array that is given; direction -1: roles of both directions may be. */
cpool_status cp_norm_plan(cp_norm *norm, const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                          cpool_error *error);

/* That everything the direction needs is there, with data that can be, and that results share no element with anything. */
cpool_status cp_norm_ready(const cp_norm *norm, int32_t direction, cpool_error *error);

/* Shape and dtype of a role. */
cpool_status cp_norm_shape(const cp_norm *norm, int32_t role, cpool_shape *out, cpool_error *error);

/* The roles of a direction. */
uint64_t cp_norm_required(const cp_norm *norm, int32_t direction);
uint64_t cp_norm_optional(const cp_norm *norm, int32_t direction);
uint64_t cp_norm_kept(const cp_norm *norm);

/* Float64 [4, C] that is merged from two such. */
cpool_status cp_moments_ready(const cpool_view *a, const cpool_view *b, const cpool_view *out, cpool_error *error);

#endif
