/* What a strip kernel is told: see kernels/strip.h. */
#ifndef CP_KERNELS_STRIP_TABLE_H
#define CP_KERNELS_STRIP_TABLE_H

#include <stdint.h>

/* Along the row: the elements of a pixel are lanes (channels last), or neighbouring columns are, by window and
 * stride, a power of two. "3 by 2" is 3 rows and columns in steps of 2, in planes of one, f32 lanes
 * only. Pixels: windows of one plane that share no source row; of one plane, at most three rows; of any depth;
 * of one plane, with what windows share folded once; columns likewise, in steps of 1. Picked: of two vectors for
 * each tap the targets are taken: for any strides, and for rows of pixels of few lanes. */
enum {
    CP_STRIP_PIXELS_FRESH,
    CP_STRIP_PIXELS_KEPT,
    CP_STRIP_PIXELS_DEEP,
    CP_STRIP_PIXELS_SHARED,
    CP_STRIP_2_BY_2,
    CP_STRIP_3_BY_1,
    CP_STRIP_3_BY_2,
    CP_STRIP_ANY_BY_1,
    CP_STRIP_ANY_BY_2,
    CP_STRIP_ANY_BY_4,
    CP_STRIP_ANY_BY_8,
    CP_STRIP_2_PICKED,
    CP_STRIP_3_PICKED,
    CP_STRIP_ANY_PICKED,
    CP_STRIP_COLUMNS_SHARED
};

/* Taps along an axis at most, and of sums, whose order changes there; of those down in forms of the second kind. */
enum { CP_STRIP_WINDOW = 16, CP_STRIP_SUM = 8, CP_STRIP_KEPT = 3 };

/* Taps along an axis of which neighbouring windows share the folds, levels of these (one of so many elements is the last), and
 * what a window is folded from, at most. */
enum { CP_STRIP_SHARED = 127, CP_STRIP_LEVELS = 7, CP_STRIP_TERMS = 10 };

/* What a window is folded from, in this order: level k is the fold of 2^k elements, here from the at-th of the window on. */
typedef struct cp_strip_terms {
    int32_t count, level[CP_STRIP_TERMS], at[CP_STRIP_TERMS];
} cp_strip_terms;

/* The largest level that a window of a selection has. */
static inline int32_t cp_strip_level(int64_t window)
{
    int32_t level = 0;
    while (INT64_C(2) << level <= window) {
        level++;
    }
    return level;
}

/* Sums are of blocks of powers of four as everywhere; a selection is of two blocks, which may overlap: of equals the first one
 * wins. */
static inline cp_strip_terms cp_strip_find_terms(int is_sum, int64_t window)
{
    cp_strip_terms terms = {0, {0}, {0}};
    if (!is_sum) {
        terms.count = 2;
        terms.level[0] = terms.level[1] = cp_strip_level(window);
        terms.at[1] = (int32_t)window - (1 << terms.level[0]);
        return terms;
    }
    int32_t level = window <= CP_STRIP_SUM ? 0 : CP_STRIP_LEVELS - 1;
    for (int32_t at = 0; at < window; at += 1 << level) {
        while (1 << level > window - at) {
            level -= 2;
        }
        terms.level[terms.count] = level;
        terms.at[terms.count++] = at;
    }
    return terms;
}

/* A row of targets. */
typedef struct cp_strip_row {
    int64_t source, target, taps; /* bytes from the plane's beginning: the first source row that is there, the row of results */
    int64_t first;                /* number of that source row: it lives in slot first % ring_slots */
    int32_t planes, rows, kept;   /* source planes, rows of each that are there, and how many of these the ring has already */
    double tap;                   /* number of the first tap of the first of them */
    int32_t is_inverse;           /* averages: the divisor of full windows is given as its inverse */
    double divisor, count;        /* this divisor; what any divisor is besides the count along the row */
} cp_strip_row;

/* A target whose elements are lanes. */
typedef struct cp_strip_pixel {
    int64_t source;      /* bytes from the row's beginning to the first source that is there */
    int32_t window, tap; /* how many are there, and the number of the first */
    double count;
} cp_strip_pixel;

/* Levels of shared folds, along and downwards ([0]: down): the largest, the places from one fold that is wanted to the next, in
 * the ring's memory where each level of rows is and how many are kept, powers of two. Apart: there are none along, as windows
 * share little; each is folded from the row itself. */
typedef struct cp_strip_levels {
    int32_t last[2], apart;
    int64_t step[2][CP_STRIP_LEVELS], at[CP_STRIP_LEVELS], slots[CP_STRIP_LEVELS];
    int64_t at_once, row, pitch; /* columns: rows that are folded along at once, lanes of each, of a level of all of them */
} cp_strip_levels;

typedef struct cp_strip {
    int32_t form;
    const cp_strip_row *rows;
    int64_t row_count;
    int64_t source_row, source_plane; /* bytes from one source row, or plane, to the next */
    int64_t begin, end;               /* the targets of a row */
    int64_t ring_slots, ring_pitch;   /* per source plane, a power of two; lanes from one to the next */
    int64_t tap_row, tap_plane;       /* taps of a row, of a plane */

    /* Columns as lanes: tap j of target i is source i * stride - pad + j * step, of `length` sources. */
    int64_t length, pad, window, step, stride;
    int32_t uniform;       /* all targets of the row have the full count */
    int64_t loads;         /* vectors read for a block of targets */
    const void *first_tap; /* lanes, per target, if taps are carried: the first; shared: the target's number from `begin` on */
    const void *counts;    /* lanes, per target, if averages are made: elements to count along the row */

    /* Windows as high as wide, rows of one plane in order. */
    int64_t first_row, source_rows; /* source row of tap 0 of the first target row, also where it is absent; all there are */
    int64_t target_row, taps_row;   /* bytes from one row to the next */

    /* Shared: what is read of a source row, in pixels of `span` lanes: `there` of them behind `before`
     * that are absent; taps lie `second` lanes behind their values. A pixel's source counts pixels,
     * rows count from first_row, and their source is that row. Columns: pixels of `step` lanes. */
    int64_t reach, before, there, span, second;
    const cp_strip_levels *levels;
    int32_t floats, tap_bytes; /* elements are floats, lanes double; of a tap, 1 or 4 */

    /* What sources are divided by, or NULL: the number of the column (of pixels one each, else `step`), from the first one on
     * that is there, times that of the row, from first_row on. */
    const void *source_counts;
    const double *source_row_counts;

    /* Pixels. */
    const cp_strip_pixel *pixels;
    int64_t lanes, step_bytes, target_pixel, taps_pixel;
} cp_strip;

/* Planes at equal distances. */
typedef struct cp_strip_planes {
    const char *source;
    char *target, *taps;
    int64_t source_step, target_step, taps_step;
    int64_t count;
} cp_strip_planes;

#endif
