/* Weighted means of floats (soft, LIP, the expectation of a draw) over small windows of a plane, as two
 * sums in float, of weights and of weighted elements, and roots of sums of squares: each element is worked
 * out once, into scratch, where cp_strips sums it. Results of windows that hold an element which float has
 * no weight for, or no square, are left NaN: windows alone decide, not what lies beside them. */
#ifndef CP_DRIVE_WEIGHTED_H
#define CP_DRIVE_WEIGHTED_H

#include "drive/engine.h"
#include "drive/strip.h"

enum { CP_WEIGHTED_SIDES = 5 }; /* of scratch: parts, planes, rows, columns, lanes */

typedef struct cp_weighted {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;            /* of x, the result, logits */
    int32_t kind;                /* CP_TAP_*, or CP_SQUARES */
    int32_t parts;               /* of scratch: weights and weighted elements, or squares */
    const cpool_view *parameter; /* beta or p, which channels may have each for itself; or NULL */
    int64_t run;                 /* planes of the innermost axis */
    int64_t planes, lanes;       /* of a unit: one behind the other, and side by side; one of the two is 1 */
    int64_t rows, columns;       /* results of a plane of it */
    int64_t source[2];           /* rows and columns that they are made from, padding included */
    int64_t groups, blocks, strips, units;
    cp_pool sum; /* of sources in scratch to results in scratch */
    cpool_view view[2];
    int64_t shape[2][CP_WEIGHTED_SIDES];
    int64_t sources, results; /* elements of one half of scratch */
    cp_strips strip;
    size_t lane_bytes, source_bytes, result_bytes, line_bytes, bytes;
} cp_weighted;

/* Whether a forward pool is done this way, which the geometry decides and never the arrays. */
int cp_weighted_plan(cp_weighted *weighted, const cp_pool *pool);

/* Whether powers of a channel are done this way, which its exponent decides: of others results are left. Before it is run. */
int cp_weighted_takes_exponent(const cp_weighted *weighted);

cp_cost cp_weighted_cost(const cp_weighted *weighted);

/* Runs on an engine that has been taken; returns whether results are left. */
int cp_weighted_run(cp_weighted *weighted, const cp_engine *engine);

#endif
