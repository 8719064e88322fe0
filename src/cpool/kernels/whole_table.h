/* What the kernels of whole planes are told: see kernels/whole.h, kernels/extreme.h. */
#ifndef CP_KERNELS_WHOLE_TABLE_H
#define CP_KERNELS_WHOLE_TABLE_H

#include <stdint.h>

/* Elements of a block, and the virtual lanes that they are summed in: element i in lane i modulo these. */
enum { CP_WHOLE_BLOCK = 64, CP_WHOLE_LANES = 8 };

/* Planes at equal distances, or pixels whose elements are lanes. Steps are bytes. */
typedef struct cp_whole {
    int32_t floats, pixels;   /* elements are floats; else double */
    int32_t dense;            /* all elements of a plane lie side by side */
    int64_t size[3], step[3]; /* of a plane, and from one element to the next */
    int64_t count;            /* of planes, or of lanes */
    int64_t x_step, y_step;   /* from one plane to the next; of pixels, an element's size */
    double divisor;
} cp_whole;

#endif
