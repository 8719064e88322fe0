/* Gradients of windows few of which hold an element, where arrays lie in memory as a
 * kernel wants them: every element collects what windows that hold it have for it. */
#ifndef CP_DRIVE_COLLECT_H
#define CP_DRIVE_COLLECT_H

#include "drive/engine.h"
#include "plan/layout.h"

enum { CP_COLLECT_GRIDS = 3 }; /* the gradient of x, of results, taps */

typedef struct cp_collects {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    cp_axis held[CP_SPACE];                         /* which results hold an element: the pool's axes, transposed */
    int32_t lane_kind, form, select, turned;        /* turned: planes become the lanes of pixels, in scratch */
    int64_t row_lanes, tile, tiles;                 /* of a pixel; at once */
    int64_t box[CP_SPACE], boxes[CP_SPACE];         /* elements along each axis at once, and how many times that */
    int64_t spread;                                 /* places of a result in scratch */
    int64_t results[CP_SPACE], pitch, margin;       /* results of a box at most, lanes of a row of them in scratch */
    int64_t space[CP_COLLECT_GRIDS][CP_SPACE];      /* bytes from one element to the next, where the kernel works */
    int64_t run, run_step[CP_GRIDS], group, groups; /* planes at equal distances, and how many of them at once */
    int64_t units;
    size_t row_bytes, column_bytes, count_bytes, code_bytes, scratch_bytes, turn_bytes[CP_COLLECT_GRIDS],
        bytes; /* per worker */
} cp_collects;

/* Whether a backward pool can be done this way, in lanes of its elements. */
int cp_collects_plan(cp_collects *collects, const cp_pool *pool);

/* A body for cp_engine_run over collects->units; arg is the collects. */
void cp_collects_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
