/* What the kernels of averages over whole planes are told: see kernels/whole.h. */
#ifndef CP_KERNELS_WHOLE_TABLE_H
#define CP_KERNELS_WHOLE_TABLE_H

#include <stdint.h>

enum { CP_WHOLE_AXIS = 8 }; /* elements along an axis at most, where planes are summed */

/* Planes at equal distances, or pixels whose elements are lanes. Steps are bytes. */
typedef struct cp_whole {
    int32_t is_double, pixels; /* elements are double; else float */
    int64_t size[3], step[3];  /* of a plane, and from one element to the next */
    int64_t count;             /* of planes, or of lanes */
    int64_t x_step, y_step;    /* from one plane to the next; of pixels, an element's size */
    double divisor;
} cp_whole;

#endif
