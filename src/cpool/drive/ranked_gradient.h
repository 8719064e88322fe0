/* Gradients of sorted floats: windows of two to nine taps of a plane, in float, sums for weights in double as everywhere
 * (parameter_sums.h). Of the input's gradient, what float cannot hold is left NaN. */
#ifndef CP_DRIVE_RANKED_GRADIENT_H
#define CP_DRIVE_RANKED_GRADIENT_H

#include "drive/engine.h"
#include "plan/layout.h"

/* Rows are split into phases, columns a stride apart side by side: a tap of neighbouring
 * windows is a stretch of a phase. Lengths of scratch are in floats. */
typedef struct cp_ranked_gradients {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout; /* of x, dy and dx */
    double *partials;
    float weight[CP_RANKED_MOST], most;
    int64_t ranks, lanes, tiles, blocks, units;
    int64_t phases, cells, windows, margin; /* along a row; cells of a phase; results, and what is 0 on either side of them */
    int64_t phase, line, sums;              /* from one to the next */
    size_t bytes;
} cp_ranked_gradients;

/* Whether gradients may be made this way, which the geometry decides. */
int cp_ranked_gradients_plan(cp_ranked_gradients *plan, const cp_pool *pool);

cp_cost cp_ranked_gradients_cost(const cp_ranked_gradients *plan);

/* Whether they are, which the weights decide. Before it is run. */
int cp_ranked_gradients_take_weights(cp_ranked_gradients *plan);

/* Runs on an engine that has been taken, with partial sums in what its workers share; returns whether elements are left. */
int cp_ranked_gradients_run(cp_ranked_gradients *plan, const cp_engine *engine);

#endif
