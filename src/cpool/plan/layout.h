/* Where the arrays of a call lie: layout is strides, nothing else. Batch axes of all arrays are brought into logical order, the
 * channel axis last, and merged where that is the same walk through memory. */
#ifndef CP_PLAN_LAYOUT_H
#define CP_PLAN_LAYOUT_H

#include "plan/pool.h"

enum { CP_GRIDS = 7 };

typedef struct cp_grid {
    char *data;
    int64_t batch[CPOOL_MAX_NDIM], space[CP_SPACE]; /* bytes from one to the next */
    int64_t item;
    int32_t bits;
} cp_grid;

typedef struct cp_layout {
    int32_t dims; /* batch dimensions */
    int64_t length[CPOOL_MAX_NDIM];
    int32_t channel; /* the dimension of channels where they are kept apart, else -1 */
    int32_t lane;    /* the dimension whose elements are lanes side by side; -1: columns are the lanes */
    int64_t lanes;   /* its length, or 1 */
    int64_t outer;   /* product of the other lengths */
    int32_t grids;   /* the first so many, at least three, hold all that there are; of the others only `item` is set, to 0 */
    cp_grid grid[CP_GRIDS];
} cp_layout;

/* `views`: up to CP_GRIDS arrays with x's axes, NULL for none. keep_channels: channels are not merged with other axes. */
void cp_layout_make(cp_layout *layout, const cp_pool *pool, const cpool_view *const *views, int keep_channels);

/* Chooses `lane` for what reads the columns of views[0] into rows of `targets`: planes, where there are few of these. */
enum { CP_FEW_COLUMNS = 64 }; /* for the walk: every row of columns costs its own tables */
void cp_layout_choose_lanes(cp_layout *layout, int64_t targets, int64_t few);

/* Makes lanes of the last dimension that has at least `least` elements side by side in views[0], if there is one. */
void cp_layout_take_pixels(cp_layout *layout, int64_t least);

/* Makes the elements of one dimension the lanes; -1: of none. */
void cp_layout_take_lanes(cp_layout *layout, int32_t dim);

/* Whether, in every array that there is, the elements of a dimension lie side by side. */
int cp_layout_is_together(const cp_layout *layout, int32_t dim);

/* Whether, in every array that there is, elements along the row are `lanes` items apart. */
int cp_layout_is_dense(const cp_layout *layout, int64_t lanes);

/* The length of the innermost of the other dimensions, which is the fastest of an outer index, and in step[g], for `grids` of
 * them, the bytes from one of its elements to the next. */
int64_t cp_layout_run(const cp_layout *layout, int64_t *step);

/* Bytes from data to outer element `index` (lane 0) in grid g, and in *channel which channel it is, if channels are kept apart
 * and are not the lanes. */
int64_t cp_layout_offset(const cp_layout *layout, int32_t g, int64_t index, int64_t *channel);

/* The plane that (index, lane) is in logical order, and how many planes there are. */
int64_t cp_layout_plane(const cp_layout *layout, int64_t index, int64_t lane);
int64_t cp_layout_planes(const cp_layout *layout);

#endif
