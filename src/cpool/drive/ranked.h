/* Sorted floats of windows of two to four taps that are all there, in float. Results that are not finite are left NaN. */
#ifndef CP_DRIVE_RANKED_H
#define CP_DRIVE_RANKED_H

#include "drive/engine.h"
#include "plan/layout.h"

typedef struct cp_ranked {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout; /* of x and the result */
    float weight[CP_RANKED];
    int64_t taps, lanes, columns, rows; /* of a unit: results along each axis, at most */
    int64_t groups, strips, blocks, units;
    size_t line_bytes, bytes;
} cp_ranked;

/* The weights of one row as floats, 0 behind the last; returns the largest magnitude, -1 where one is neither 0 nor an ordinary
 * float. */
double cp_ranked_weights(const cp_pool *pool, float *weights, int64_t count);

/* Whether a forward pool may be done this way, which the geometry decides. */
int cp_ranked_plan(cp_ranked *ranked, const cp_pool *pool);

/* Whether it is, which the weights decide: the arrays never do. Before it is run. */
int cp_ranked_take_weights(cp_ranked *ranked);

cp_cost cp_ranked_cost(const cp_ranked *ranked);

/* Runs on an engine that has been taken; returns whether results are left. */
int cp_ranked_run(cp_ranked *ranked, const cp_engine *engine);

#endif
