/* What the scatter kernel is told: see kernels/scatter.h. */
#ifndef CP_KERNELS_SCATTER_TABLE_H
#define CP_KERNELS_SCATTER_TABLE_H

#include <stdint.h>

enum { CP_SCATTER_NEAR = 256 };

/* Where a tap lies from the start of its window: positions along each axis, and bytes. */
typedef struct cp_scatter_tap {
    int64_t away[3], bytes;
} cp_scatter_tap;

/* Axes are plane, row, column. */
typedef struct cp_scatter {
    int64_t window[3], dilation[3];
    int64_t lo[3], hi[3];   /* positions that are written */
    int64_t step[3];        /* bytes from one position to the next in the gradient of x */
    int64_t advance;        /* from the start of one column's window to that of the next, if `starts` is NULL */
    int64_t lanes;          /* of a column */
    int64_t lane_step[3];   /* bytes between lanes: of the gradients of x and y, of taps */
    int64_t column_step[3]; /* bytes between columns; [0]: none */
    int32_t bits;           /* of a tap */
    int64_t taps;           /* of a window, at most what an integer counts */
    int32_t is_near;        /* taps have 8 bits, and any distance in bytes is a number: `near` says where they are */
    const cp_scatter_tap *near;
} cp_scatter;

#endif
