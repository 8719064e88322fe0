/* Elements drawn from small windows of floats of a plane, in float. Windows that float
 * cannot decide are decided in double: no bit depends on which is which. */
#ifndef CP_DRIVE_DRAWN_H
#define CP_DRIVE_DRAWN_H

#include "drive/engine.h"
#include "plan/layout.h"

typedef struct cp_drawn {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;                   /* of x, the result, and taps */
    int64_t taps, lanes, columns, rows; /* of a unit: results along each axis, at most */
    int64_t groups, strips, blocks, units;
    int64_t step[2], stride[2];        /* between taps, and between windows, down and across */
    int64_t slots, cells, pitch, line; /* rows that are kept; columns of a phase; lanes of a phase, and of all */
    int64_t together, numbers;         /* rows whose u are drawn at once; these, in whole vectors */
    size_t bytes;
} cp_drawn;

/* Whether a forward pool is done this way, which the geometry decides. */
int cp_drawn_plan(cp_drawn *drawn, const cp_pool *pool);

cp_cost cp_drawn_cost(const cp_drawn *drawn);

/* Runs on an engine that has been taken. */
void cp_drawn_run(cp_drawn *drawn, const cp_engine *engine);

#endif
