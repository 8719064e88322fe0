/* Pools of a few small windows, worked out one at a time: laying out how to do many takes longer than they do. */
#ifndef CP_DRIVE_FEW_H
#define CP_DRIVE_FEW_H

#include "drive/engine.h"
#include "plan/pool.h"

typedef struct cp_few {
    const cp_pool *pool;
    const cp_engine *engine;
    int32_t fold, lane_kind;
    int64_t planes;
} cp_few;

/* Whether a forward pool in lanes of its elements is one. It needs no workspace, and is one unit. */
int cp_few_plan(cp_few *few, const cp_pool *pool);

/* A body for cp_engine_run; arg is the few. */
void cp_few_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
