/* What the scatter kernel is told: see kernels/scatter.h. */
#ifndef CP_KERNELS_SCATTER_TABLE_H
#define CP_KERNELS_SCATTER_TABLE_H

#include <stdint.h>

enum { CP_SCATTER_NEAR = 256 };

/* Axes are plane, row, column. */
typedef struct cp_scatter {
    int64_t window[3], dilation[3];
    int64_t lo[3], hi[3];              /* positions that are written */
    int64_t step[3];                   /* bytes from one position to the next in the gradient of x */
    int64_t advance;                   /* from the start of one column's window to that of the next, if `starts` is NULL */
    int64_t lanes;                     /* of a column */
    int64_t lane_step[3];              /* bytes between lanes: of the gradients of x and y, of taps */
    int64_t column_step[3];            /* bytes between columns; [0]: none */
    int32_t bits;                      /* of a tap */
    int64_t taps;                      /* of a window, at most what an integer counts */
    int64_t near[CP_SCATTER_NEAR];     /* bytes from the first position of a window that is all there to that of tap t < taps */
    int32_t place[CP_SCATTER_NEAR][3]; /* taps along each axis before it */
} cp_scatter;

#endif
