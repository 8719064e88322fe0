/* What the collect kernels are told: see kernels/collect.h. */
#ifndef CP_KERNELS_COLLECT_TABLE_H
#define CP_KERNELS_COLLECT_TABLE_H

#include <stdint.h>

enum { CP_COLLECT_WINDOW = 8, CP_COLLECT_HOLDERS = 64 }; /* taps along an axis, results that hold an element, at most */

/* A row of elements, and the rows of results that hold it: `planes` times `rows` of those at hand, from the first ones on. */
typedef struct cp_collect_row {
    int64_t target; /* bytes from the plane's beginning; for CP_COLLECT_THREES the only one */
    int32_t first_plane, planes, first_row, rows;
    uint8_t deep[CP_COLLECT_WINDOW], down[CP_COLLECT_WINDOW]; /* see cp_collect_tap */
} cp_collect_row;

/* A column of elements: the results of a row that hold it, and for selections which tap it is in each of them. */
typedef struct cp_collect_column {
    int32_t first, count;
    uint8_t tap[CP_COLLECT_WINDOW];
} cp_collect_column;

/* For selections: number of the first tap of a window's row that holds these elements, in row b of plane a of results. */
static inline int64_t cp_collect_tap(const cp_collect_row *row, int64_t a, int64_t b)
{
    return row->deep[a] + row->down[b];
}

/* How elements collect. */
enum {
    CP_COLLECT_PIXELS,  /* the elements of a pixel are lanes; else neighbouring columns are: */
    CP_COLLECT_APART,   /* a row has one result at most that holds an element, the stride is 2 or 4 */
    CP_COLLECT_THREES,  /* selections by windows of 3x3 in one plane, the stride is 1 or 2 along both axes */
    CP_COLLECT_PREPARED /* results are prepared in scratch; the only one of these that has any */
};

typedef struct cp_collect {
    int32_t form;
    int32_t select; /* taps say which results selected an element; else all that hold it have a share */
    const cp_collect_row *rows;
    int64_t row_count, width;     /* of elements; without pixels, width and pad count lanes */
    int64_t lanes, target_column; /* of a pixel; bytes from one to the next */
    int64_t window, stride, pad;  /* along the row */
    int64_t pad_down;             /* for CP_COLLECT_THREES */
    const cp_collect_column *columns;

    /* Results at hand: `planes` of `results` rows, `across` columns, and where they lie; bytes. */
    int64_t planes, results, across;
    int64_t plane_step[2], row_step[2], column_step[2]; /* of dy, of taps */
    const double *row_counts; /* of each row at hand, what divisors are besides the count along the row */
    const void *counts;       /* the count along the row, in every lane */
    int64_t count_step;       /* lanes from one column's counts to the next */
    double full;              /* this count, if it is the same for all columns, else 0 */

    /* Scratch of prepared results: rows of `pitch` lanes, `margin` before the first column; the taps `second` lanes behind. */
    int64_t pitch, margin, second;
    int64_t close;     /* a row of results before they are spread */
    int64_t spread;    /* places from one result to the next; between them is nothing. Then stride is 1 */
    const void *codes; /* lanes: 0, 1, 2, ... */
} cp_collect;

/* Planes at equal distances. */
typedef struct cp_collect_planes {
    const char *dy, *taps; /* the first result at hand */
    char *dx;
    int64_t dy_step, taps_step, dx_step;
    int64_t count;
} cp_collect_planes;

#endif
