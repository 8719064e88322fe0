/* The walk that every pool and every gradient is: for each target position, fold the sources that its axis tables name, along
 * the row first, then down the slower axes. A walk knows positions and lanes; where sources come from is a function.
 *
 * A row of targets is worked off in tiles of `width` columns of `lanes` lanes each. Folded rows are
 * kept as long as later rows of the tile may want them. Which way a tile is read (pixels, columns
 * or tap by tap) never changes a bit: the order of every sum is in the axis tables alone. */
#ifndef CP_DRIVE_WALK_H
#define CP_DRIVE_WALK_H

#include <stddef.h>

#include "kernels/table.h"
#include "plan/axis.h"
#include "plan/pool.h"

/* `count` columns of row (d, h) from `column` on in steps of `step`, all of them inside the array, lanes fastest, into the rows
 * of a state `pitch` apart. */
typedef void (*cp_source)(void *context, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count, void *dst,
                          int64_t pitch);

enum { CP_GATHER = CP_FOLDS }; /* not a fold: targets add the sources that selected them; state: value, position selected */

typedef struct cp_walk {
    /* Set by the planner of the call. */
    const cp_axis *axis; /* [CP_SPACE] */
    int32_t fold;
    int32_t lane_size; /* bytes of a lane */
    int64_t lanes;     /* per column, at most */
    int64_t width;     /* columns of a tile, at most; set by cp_walk_plan unless fixed */
    int32_t direct;    /* sources are the array itself, lanes side by side in memory */

    /* Set by cp_walk_plan. */
    int32_t rows, leaf_rows;                 /* of the state; of what a source gives */
    int32_t reading;                         /* by pixels, by columns, tap by tap */
    int32_t keeps_rows;                      /* folded rows are looked up by position before they are folded again */
    int64_t pitch, row_pitch;                /* lanes from one row of a state to the next: folded, source */
    int64_t row_slots, plane_slots, buffers; /* how many of each are held */
    int64_t blocks[CP_SPACE];                /* rows for the sums of large blocks */
    int64_t slot_height;

    /* Set by cp_walk_bind and the unit at work. */
    const cp_lane_kernels *kernels;
    cp_source source;
    void *context;
    const char *direct_data; /* element (0, 0, 0) of the first lane */
    int64_t direct_stride[CP_SPACE];

    /* The tile. */
    int64_t first_target, targets, tile_lanes;
    int64_t first_tap, last_tap; /* taps along the row that any window of the tile has: [first, last) */
    int64_t column, columns;     /* sources that are read as one row */
    char *row, *slots, *planes, *buffer, *block[CP_SPACE], *identity;
    const char *pixels; /* the row at work: source `column`, and bytes from one to the next */
    int64_t pixel_step;
    int64_t row_d, row_h; /* source row at work, for reading tap by tap */
    int64_t *slot_d, *slot_h;
    cp_span *spans;
    int32_t *first, *lo, *hi;
} cp_walk;

/* Decides how to read and how wide, within about `budget` bytes; returns the bytes of workspace. `width` 0 lets it choose. */
size_t cp_walk_plan(cp_walk *walk, int64_t width, size_t budget);

/* Lays the walk's scratch out in `memory` (aligned to 64); returns the end of it. */
char *cp_walk_bind(cp_walk *walk, char *memory, const cp_lane_kernels *kernels);

/* Begins a tile: columns [target, target + count) with `lanes` lanes each. Forgets kept rows. */
void cp_walk_tile(cp_walk *walk, int64_t target, int64_t count, int64_t lanes);

/* Folds row (d, h) of targets of the tile into dst, rows of the state walk->pitch apart. */
void cp_walk_fold(cp_walk *walk, int64_t d, int64_t h, void *dst);

/* CP_GATHER: the sum of the values whose position is the target's own; self: positions of the tile's columns. */
void cp_walk_gather(cp_walk *walk, int64_t d, int64_t h, const void *self, void *dst);

#endif
