/* The drivers of checked calls. They reach kernels through their table and know no instruction set. */
#ifndef CP_DRIVE_DRIVE_H
#define CP_DRIVE_DRIVE_H

#include "drive/engine.h"
#include "plan/pool.h"

/* Operators of sliding, adaptive and whole windows. */
cp_cost cp_window_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_window_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* CPOOL_UNPOOL. */
cp_cost cp_unpool_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_unpool_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* Operators that are worked out window by window, tap by tap. */
cp_cost cp_tapwise_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_tapwise_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* CPOOL_KMAX. */
cp_cost cp_kmax_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_kmax_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* CPOOL_BLUR. */
cp_cost cp_blur_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_blur_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* Selections from windows at drawn places: forward as of windows, backward as of unpooling, of the gradient of the result. */
cp_cost cp_sample_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_sample_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* CPOOL_DPID, forward. */
cp_cost cp_dpid_cost(const cp_pool *pool, int32_t direction);
cpool_status cp_dpid_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec);

/* Window offsets as positions in the plane. */
cpool_status cp_indices_run(const cp_pool *pool, const cpool_exec *exec);

#endif
