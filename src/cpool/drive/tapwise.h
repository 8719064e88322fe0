/* Operators that are worked out window by window: what is planned once, and how windows are read and their gradients put back.
 *
 * Some windows of one output row, the lanes, are worked off together: the kernel (kernels/tapwise.h) sees their
 * taps as rows, in row-major order, in blocks as large as scratch allows. Elements are mapped once (exponentials,
 * for instance) in rows that are kept while later windows want them. Gradients are added to a band of input rows
 * in double, windows in ascending order, so the cut into bands, tiles and blocks changes no bit.
 *
 * Rows of sliding windows, kept ones and those of bands, are split into phases: columns a stride apart lie side by side, the
 * padding among them, so that a tap of neighbouring windows is a stretch of one phase. */
#ifndef CP_DRIVE_TAPWISE_H
#define CP_DRIVE_TAPWISE_H

#include "drive/engine.h"
#include "drive/parameter_sums.h"
#include "plan/layout.h"
#include "plan/parameters.h"

/* Grids: x, y or dy, dx, the second input and its gradient; taps, blend, mask, or the
 * gradient of the reference; u or the reference. */
enum { CP_ON_X, CP_ON_Y, CP_ON_DX, CP_ON_LOGITS, CP_ON_DLOGITS, CP_ON_SIDE, CP_ON_U };

typedef enum cp_tapwise_task { CP_TAPWISE_POOL, CP_TAPWISE_INPUT_GRADIENT, CP_TAPWISE_PARAMETER_GRADIENT } cp_tapwise_task;

/* Columns of a phase, and the distance to the next one. */
typedef struct cp_phase {
    int64_t cells, pitch;
} cp_phase;

typedef struct cp_tapwise {
    const cp_pool *pool;
    cp_tapwise_task task;
    int32_t mends; /* only results that are NaN are made, the others are there */
    cp_layout layout;
    int32_t kind; /* CP_TAP_* */
    const cp_engine *engine;
    int32_t leaves, states;
    int64_t channels;                      /* planes of one unit, of which the second input's gradient is the sum; else 1 */
    const cpool_view *weight, *leaf_masks; /* weights, a filter, or gates; or NULL. And behind gates their leaves */
    cp_spread masks[2];                    /* gates and leaves */
    int64_t weights, gate_weights;         /* of a row: all, and those of gates */
    int32_t one_weight;                    /* of every weight one is kept for all windows, not a row */
    int64_t ranks, nodes;                  /* slots of CP_TAP_RANK; masks of CP_TAP_TREE */
    cp_detail detail;
    int32_t terms;                            /* gradients of parameters are summed, in this task or along with the input's */
    int64_t numbers, sum_blocks;              /* that a window adds to them; blocks of rows that are summed apart */
    int64_t term_rows, sums;                  /* so many are rows of terms, the kernel sums the others; doubles of a sum */
    int32_t per_result;                       /* ... each of them is of one result */
    int64_t lanes, width, n;                  /* planes and columns of a tile, and their product, rounded up */
    int64_t taps, capacity;                   /* of a window at most; of a block */
    int32_t by_rows;                          /* source rows are kept; else the one column of a tile is read tap by tap */
    int32_t whole_rows;                       /* ... all of their columns */
    int64_t phases;                           /* 0: rows are not split */
    cp_phase kept, band;                      /* a phase of a kept row, and of a row of a band */
    int64_t slots[2], reach;                  /* rows kept, by slower axis; columns of one */
    int64_t row, band_row;                    /* from one kept row to the next, and of a band: whole vectors */
    int64_t tiles, blocks, block_rows, units; /* rows of results, or of a band of gradients */
    size_t bytes;
    double *partials;
} cp_tapwise;

/* What a worker holds. */
typedef struct cp_tapwise_work {
    const cp_tapwise *plan;
    const cp_lane_kernels *rows;
    const cp_tap_kernel *kernel;
    char *at[CP_GRIDS];
    int64_t lane_step[CP_GRIDS];
    int64_t outer, lane, lanes, channel;
    /* The tile, and the output row at work. */
    int64_t column, count, d, h;
    int32_t complete, pass; /* the block at hand is all of the windows; what the kernel is at */
    int32_t at_once;        /* the kernel has done it all */
    cp_span deep, down, *spans;
    int64_t first_tap, last_tap; /* along the row, of any window of the tile; the latter is the one behind */
    /* Scratch. */
    cp_tap_windows windows;
    cp_tap_block block;
    cp_tap *tap_rows;
    double *there, *leaf[CP_TAP_LEAVES], *gradient[CP_TAP_GRADIENTS], *number, *inside;
    int64_t (*spot)[2]; /* per tap of the block: source row, d * in[1] + h, and its tap along the row */
    double *state, *y, *tap, *dy, *parameter, *lambda, *bias, *u, *terms, *weight, *rank_value, *rank_tap, *node, *node_rest,
        *dense, *factor, *line;
    double *kept[CP_TAP_LEAVES];                 /* [slot][column][lane], or [slot][phase][cell][lane] */
    int64_t *slot_row, *slot_flat, first_column; /* of each slot the source row (-1: none), and whether its elements are flat */
    int64_t (*sources)[2], *offset,
        *band_offset; /* of each phase the cells that are sources; where taps begin in a split row */
    double *band[CP_TAP_GRADIENTS], *total, *total_rest;
    int64_t band_first, band_last; /* source rows, d * in[1] + h */
    double *sums;
} cp_tapwise_work;

/* ---- drive/tapwise_plan.c ---- */

void cp_tapwise_plan(cp_tapwise *plan, const cp_pool *pool, cp_tapwise_task task);

/* Lays scratch out from `memory` on; returns the bytes it takes. With memory NULL nothing is set but that. */
size_t cp_tapwise_bind(cp_tapwise_work *work, const cp_tapwise *plan, char *memory);

int cp_tapwise_lanes_are_channels(const cp_tapwise *plan);

/* ---- drive/tapwise_read.c ---- */

/* Begins a unit, a tile of columns, an output row. */
void cp_tapwise_lanes(cp_tapwise_work *work, int64_t outer, int64_t lane, int64_t lanes);
void cp_tapwise_columns(cp_tapwise_work *work, int64_t column, int64_t count);
void cp_tapwise_row(cp_tapwise_work *work, int64_t d, int64_t h);

/* Where reading a window has come to. */
typedef struct cp_tap_cursor {
    int64_t a, b, j, taps;
} cp_tap_cursor;

/* Fills the block with the next taps of the windows; returns whether there are more. */
cp_tap_cursor cp_tapwise_first(const cp_tapwise_work *work);
int cp_tapwise_read(cp_tapwise_work *work, cp_tap_cursor *cursor);

/* The element of a grid in the output row at work, and in source row (d, h). */
char *cp_tapwise_element(const cp_tapwise_work *work, int g, int64_t d, int64_t h, int64_t column);
void cp_tapwise_load(const cp_tapwise_work *work, int g, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count,
                     double *dst);

/* Adds the block's gradients to the band. */
void cp_tapwise_scatter(cp_tapwise_work *work);

/* A row of the band, [column][lane]. */
const double *cp_tapwise_band_row(const cp_tapwise_work *work, int gradient, int64_t row);

#endif
