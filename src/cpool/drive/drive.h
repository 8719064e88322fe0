/* What runs a checked call. Drivers reach kernels through their table and know no instruction set. */
#ifndef CP_DRIVE_DRIVE_H
#define CP_DRIVE_DRIVE_H

#include <stddef.h>

#include "kernels/table.h"
#include "plan/pool.h"

/* What a call costs. */
typedef struct cp_cost {
    size_t per_worker, shared; /* bytes of workspace, multiples of 64 */
    double nanoseconds;        /* on one thread, roughly */
} cp_cost;

/* How a call runs, resolved from cpool_exec: parallel_for is never NULL. */
typedef struct cp_engine {
    const cp_kernels *kernels;
    char *workspace; /* aligned to 64: per_worker bytes for each worker, then the shared ones */
    int32_t workers;
    cpool_parallel_for parallel_for;
    void *parallel_ctx;
} cp_engine;

/* Operators of sliding, adaptive and whole windows. */
cp_cost cp_window_cost(const cp_pool *pool, int32_t direction);
void cp_window_run(const cp_pool *pool, int32_t direction, const cp_engine *engine);

/* CPOOL_UNPOOL. The check is one pass over the indices, before anything is written. */
cp_cost cp_unpool_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_unpool_check(const cp_pool *pool, cpool_error *error);
void cp_unpool_run(const cp_pool *pool, int32_t direction, const cp_engine *engine);

/* Window offsets as positions in the plane. */
void cp_indices_run(const cp_pool *pool, const cp_engine *engine);

#endif
