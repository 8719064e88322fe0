/* Pools whose planes lie in memory as a kernel wants them: windows of few taps, no dilation, lanes side by side. Results are
 * those of the walk, bit for bit; the walk does everything else. */
#ifndef CP_DRIVE_STRIP_H
#define CP_DRIVE_STRIP_H

#include "drive/engine.h"
#include "plan/layout.h"

enum { CP_STRIP_GRIDS = 3 }; /* x, results, taps */

typedef struct cp_strips {
    const cp_pool *pool, *shares; /* x is divided by what results of the latter are; NULL: it is not */
    const cp_engine *engine;
    cp_layout layout;
    int32_t fold, form, lane_kind, lane_size;
    int32_t floats, tap_bytes;            /* elements are floats, lanes double; of a tap */
    int64_t row_lanes;                    /* lanes of a column: those of a pixel, or of a long row of few channels */
    int64_t tile, lacking;                /* pixels: lanes at once, of which the first tile lacks so many */
    int64_t width;                        /* columns at once */
    int64_t height, blocks;               /* rows at once, and how many times that */
    int64_t tiles, strips, groups, group; /* planes at once */
    int64_t slots, pitch;
    int32_t turned;                          /* planes become the lanes of pixels, in scratch */
    int64_t box[CP_SPACE];                   /* elements along each axis that a unit's results are of, at most */
    int64_t space[CP_STRIP_GRIDS][CP_SPACE]; /* bytes from one element to the next, where the kernel works */
    int64_t span, second;                    /* what neighbouring windows share: as in cp_strip */
    cp_strip_levels levels;
    int64_t run, run_step[CP_GRIDS]; /* planes at equal distances, and these */
    int64_t runs;                    /* how many times so many planes there are */
    int64_t units;
    size_t row_bytes, column_bytes, count_bytes[2], ring_bytes, turn_bytes[CP_STRIP_GRIDS], bytes; /* per worker */
} cp_strips;

/* Whether a forward pool can be done this way; of shares that the results of another have, if that is not NULL. */
int cp_strips_plan(cp_strips *strips, const cp_pool *pool, const cp_pool *shares);

/* A body for cp_engine_run over strips->units; arg is the strips. */
void cp_strips_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
