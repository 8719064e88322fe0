/* What the scatter kernel is told: see kernels/scatter.h. */
#ifndef CP_KERNELS_SCATTER_TABLE_H
#define CP_KERNELS_SCATTER_TABLE_H

#include <stdint.h>

/* Columns, how far ahead results are asked for. */
enum { CP_SCATTER_AHEAD = 8 };

/* Axes are plane, row, column. */
typedef struct cp_scatter {
    int64_t window[3], dilation[3];
    int64_t lo[3], hi[3];   /* positions that are written */
    int64_t step[3];        /* bytes from one position to the next in what is added to */
    int64_t advance;        /* from the start of one column's window to that of the next, if `starts` is NULL */
    int64_t lanes;          /* of a column */
    int64_t lane_step[3];   /* bytes between lanes: of what is added to, of the gradient of y, of taps */
    int64_t column_step[3]; /* bytes between columns; [0]: none */
    int32_t bits;           /* of a tap */
    int64_t taps;           /* of a window, at most what an integer counts */
    const int64_t
        *near; /* bytes from the start of a window to each tap, all of which have a place; NULL: look where they are */
} cp_scatter;

#endif
