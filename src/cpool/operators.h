/* What there is to compute: a row per operator in ops.def. */
#ifndef CP_OPERATORS_H
#define CP_OPERATORS_H

#include <stdint.h>

/* What an operator is made of; drivers go by the family. */
typedef enum cp_family {
    CP_BEST,    /* a fold that selects one element */
    CP_MEAN,    /* a sum, divided */
    CP_POWER,   /* a sum of powers, and its root */
    CP_PLACE,   /* no fold: values put in their places */
    CP_TAPWISE, /* window by window, tap by tap: kernels/tapwise.h */
    CP_ORDER,   /* no window: the largest of a row */
    CP_BLUR,    /* a filter along each axis */
    CP_SAMPLE,  /* a fold that selects, of windows at drawn places */
    CP_SHRINK   /* windows of all channels together; forward only */
} cp_family;

typedef struct cp_operator {
    int32_t code;
    const char *name;
    cp_family family;
    int32_t fold, tap_fold; /* of values (CP_TAPWISE: its kernel); of values and taps */
    uint32_t flags;
    uint64_t required[2], optional[2], kept; /* by direction */
} cp_operator;

/* The operator of a CPOOL_* code, or NULL. */
const cp_operator *cp_operator_find(int32_t code);

#endif
