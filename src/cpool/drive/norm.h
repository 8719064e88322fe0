/* Normalization as one problem: groups of elements, some of which lie side by side.
 *
 * A cell is what has one mean, one deviation and, where parameters go by channel, one weight: a channel, a channel of a sample,
 * or all that a layer norm normalizes. (The channels of a group norm's group are cells that are united.) Kept axes count the
 * cells, reduced ones the elements of each. Lanes run along a reduced axis or across the channels, by the strides of x alone.
 *
 * The elements of a cell are cut into blocks by geometry alone; the sums of a block have an order of their own
 * (kernels/moments.h), blocks are merged in order within a chunk, chunks in order. A job is a run of cells whose elements fit a
 * cache: where that is all there is to a sum, one worker takes the sums and then uses them. */
#ifndef CP_DRIVE_NORM_H
#define CP_DRIVE_NORM_H

#include "drive/engine.h"
#include "plan/norm.h"

enum { CP_NORM_X, CP_NORM_DY, CP_NORM_OUT, CP_NORM_PLACE, CP_NORM_GRIDS }; /* PLACE: in the parameters, in elements */

typedef struct cp_norm_axis {
    int64_t length, step[CP_NORM_GRIDS]; /* in bytes but for PLACE */
} cp_norm_axis;

/* How the elements of a cell are walked. */
typedef struct cp_norm_path {
    cp_norm_axis reduced[CPOOL_MAX_NDIM], lane; /* without and with the axis along which lanes run; across, that is not used */
    int32_t reduced_count;
    int64_t rows;                                  /* product of reduced */
    int64_t block_rows, segment, segments, blocks; /* a block is some rows, or a segment of one */
    int staged;                                    /* lanes of some array do not lie side by side */
} cp_norm_path;

typedef struct cp_norm_walk {
    const cp_norm *norm;
    const cp_engine *engine;
    int32_t direction, kind; /* CP_ALONG, ... */
    int64_t together;        /* across: rows that are summed in lanes of their own, so that few channels fill vectors */
    int used[CP_NORM_PLACE]; /* which arrays there are */
    char *data[CP_NORM_PLACE];
    cp_norm_axis kept[CPOOL_MAX_NDIM], cell; /* the last kept axis apart */
    int32_t kept_count;
    cp_norm_path sum, use;              /* of sums, by what they read, and of results, by their layout as well */
    int64_t outer;                      /* product of kept */
    int64_t cells, each;                /* all cells; elements of one */
    int64_t tile, tiles, jobs;          /* cells of a job; jobs of one kept index; of all */
    int64_t chunks;                     /* parts of the blocks of a job, summed apart */
    int sums, parameters, apply, fused; /* what there is to do */
    int64_t ranges;                     /* of jobs, for gradients of parameters by element */
    int far;                            /* arrays are prefetched */
    int slots;                          /* jobs that a worker has at a time: 2 where it sums one while it uses the other */

    /* Workspace. */
    double *weight, *bias; /* as doubles; NULL: 1, 0 */
    cp_norm_groups groups; /* of all cells, where not fused */
    double *partials;      /* [chunks - 1][3][cells] */
    double *shares;        /* [2][cells]: what cells add to the gradients of bias and weight; by element [ranges][2][P] */
    double *totals;        /* [2][P] */
} cp_norm_walk;

/* Everything but the workspace; returns the cost. */
cp_cost cp_norm_walk_plan(cp_norm_walk *walk, const cp_norm *norm, int32_t direction);
void cp_norm_walk_bind(cp_norm_walk *walk, const cp_engine *engine);

/* A job's own workspace. */
typedef struct cp_norm_work {
    const cp_norm_walk *walk;
    cp_norm_groups groups[2];             /* of the jobs' cells, where fused */
    double *sums, *shift, *lanes, *stage; /* CP_SUM_ROWS rows of the job's cells; their virtual lanes */
    double *repeated;                     /* constants, once for each of the rows that are together */
} cp_norm_work;
void cp_norm_work_bind(cp_norm_work *work, const cp_norm_walk *walk, int worker);

/* The groups that begin with cell `first`. */
cp_norm_groups cp_norm_groups_at(const cp_norm_groups *groups, int64_t first);

/* A job: cells [cell, cell + count) of kept index `outer`. */
typedef struct cp_norm_job {
    int64_t outer, cell, count;
    int slot;
} cp_norm_job;
cp_norm_job cp_norm_job_at(const cp_norm_walk *walk, int64_t index);

/* Elements of every cell in a block of sums. */
int64_t cp_norm_block_elements(const cp_norm_walk *walk, int64_t block);
/* First element of every cell in a block of sums, as doubles. */
void cp_norm_first_elements(const cp_norm_walk *walk, const cp_norm_job *job, int64_t block, double *to);
/* Gives a tile constants that repeat for each row of those together; n of each there are. */
void cp_norm_repeat(const cp_norm_work *work, cp_norm_tile *tile, int64_t n);

/* Makes `tile`, which has the constants and sums of a task for the first cell of the job,
 * the part of a block that begins with `row`, and moves that behind it: a row of all
 * cells, or, across, all rows of one step. True for the last part of the block. */
int cp_norm_tile_at(const cp_norm_work *work, const cp_norm_job *job, int64_t block, int task, int64_t *row,
                    cp_norm_tile *tile);
/* Runs the task over so many rows of that tile, which then begins behind them. Across and where sums are by lane, over all. */
void cp_norm_tile_run(const cp_norm_work *work, int task, cp_norm_tile *tile, int64_t rows);

/* out = a and b merged, checked float64 [4, C]. */
void cp_moments_merge(const cpool_view *a, const cpool_view *b, const cpool_view *out);

cp_cost cp_norm_cost(const cp_norm *norm, int32_t direction);
cpool_status cp_norm_run(const cp_norm *norm, int32_t direction, const cpool_exec *exec);

#endif
