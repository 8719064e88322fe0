/* Adding results to the elements that they were selected from. */
#ifndef CP_DRIVE_SCATTER_ADD_H
#define CP_DRIVE_SCATTER_ADD_H

#include <stdint.h>

#include "dtype/list.h"

/* Columns, how far ahead results are asked for. */
enum { CP_SCATTER_AHEAD = 8 };

/* Axes are plane, row, column. */
typedef struct cp_scatter {
    int64_t window[3], dilation[3];
    int64_t lo[3], hi[3];                /* positions that are written */
    int64_t step[3];                     /* bytes from one position to the next in what is added to */
    int64_t advance;                     /* from the start of one column's window to that of the next, if `starts` is NULL */
    int64_t row_advance;                 /* that of one row's windows to that of the next; 0: there is one row at a time */
    int64_t lanes;                       /* of a column */
    int64_t lane_step[3];                /* bytes between lanes: of what is added to, of the gradient of y, of taps */
    int64_t column_step[3], row_step[3]; /* bytes between columns, between rows; [0]: none */
    int32_t bits;                        /* of a tap */
    int64_t taps;                        /* of a window, at most what an integer counts */
    const int64_t *near;                 /* bytes from the start of a window to each tap; NULL: look where they are */
    int32_t is_open;                     /* not all of them have a place */
} cp_scatter;

/* Neighbouring results of some rows, of which the first one's windows begin at (first[0], first[1]) and starts[column], or
 * first[2] + column * advance; `to` is position (0, 0, 0). */
typedef void (*cp_scatter_function)(const cp_scatter *scatter, char *to, const char *dy, const char *taps, const int64_t *first,
                                    const int64_t *starts, int64_t rows, int64_t columns);
extern const cp_scatter_function cp_scatter_add[CP_DTYPES];

/* A row of sums of elements of `size` bytes to where it belongs, or without `from` zeros,
 * before anything is added. to_step, from_step: bytes between columns, between lanes. */
void cp_scatter_settle(int64_t size, char *to, const int64_t *to_step, const char *from, const int64_t *from_step,
                       int64_t columns, int64_t lanes);

#endif
