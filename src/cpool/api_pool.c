/* The pooling entries of cpool.h: check, plan, run. */
#include <inttypes.h>
#include <string.h>

#include "dispatch.h"
#include "drive/drive.h"
#include "error.h"
#include "plan/pool.h"

enum { ALIGN = 64 };

/* Work below which a second thread costs more than it brings. */
static const double nanoseconds_worth_a_thread = 50000;

static cp_cost cost_of(const cp_pool *pool, int32_t direction)
{
    return pool->op->code == CPOOL_UNPOOL ? cp_unpool_cost(pool, direction) : cp_window_cost(pool, direction);
}

static size_t workspace_of(cp_cost cost, int32_t workers)
{
    size_t bytes = cost.per_worker * (size_t)workers + cost.shared;
    return bytes == 0 ? 0 : bytes + ALIGN - 1;
}

static void serial(void *ctx, int64_t n, int64_t grain, void (*body)(void *arg, int64_t lo, int64_t hi, int worker), void *arg)
{
    (void)ctx;
    (void)grain;
    if (n > 0) {
        body(arg, 0, n, 0);
    }
}

/* Fills the engine from what the caller gave. */
static cpool_status take_exec(cp_engine *engine, const cpool_exec *exec, cp_cost cost, cpool_error *error)
{
    cpool_status status = cp_dispatch(exec->isa, &engine->kernels, error);
    if (status != CPOOL_OK) {
        return status;
    }
    int parallel = exec->parallel_for != NULL && exec->workers > 1;
    engine->workers = parallel ? exec->workers : 1;
    engine->parallel_for = parallel ? exec->parallel_for : serial;
    engine->parallel_ctx = exec->parallel_ctx;
    size_t need = workspace_of(cost, engine->workers), offset = (size_t)((uintptr_t)exec->workspace % ALIGN);
    if (need > 0 && (exec->workspace == NULL || exec->workspace_size < need)) {
        return cp_fail(error, CPOOL_NO_MEMORY, 0, "workspace_size=%zu; %" PRId32 " workers need %zu bytes (cpool_pool_query)",
                       exec->workspace == NULL ? (size_t)0 : exec->workspace_size, engine->workers, need);
    }
    engine->workspace = need > 0 ? (char *)exec->workspace + (offset == 0 ? 0 : ALIGN - offset) : NULL;
    return CPOOL_OK;
}

static cpool_status check_exec(const cpool_exec *exec)
{
    if (exec == NULL || exec->struct_size < sizeof(cpool_exec)) {
        return CPOOL_INVALID_VALUE;
    }
    for (int i = 0; i < 4; i++) {
        if (exec->reserved[i] != 0) {
            return cp_fail(exec->error, CPOOL_UNSUPPORTED, 0, "exec.reserved is set; this library knows no use of it");
        }
    }
    return CPOOL_OK;
}

static cpool_status run(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                        const cpool_exec *exec)
{
    cp_pool pool;
    cp_engine engine;
    cpool_status status = check_exec(exec);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, direction, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_pool_ready(&pool, direction, exec->error);
    }
    if (status == CPOOL_OK && pool.op->code == CPOOL_UNPOOL) {
        status = cp_unpool_check(&pool, exec->error);
    }
    if (status == CPOOL_OK) {
        status = take_exec(&engine, exec, cost_of(&pool, direction), exec->error);
    }
    if (status == CPOOL_OK && pool.op->code == CPOOL_UNPOOL) {
        cp_unpool_run(&pool, direction, &engine);
    } else if (status == CPOOL_OK) {
        cp_window_run(&pool, direction, &engine);
    }
    return status;
}

cpool_status cpool_pool_forward(const cpool_pool_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    return run(params, args, n, CPOOL_FORWARD, exec);
}

cpool_status cpool_pool_backward(const cpool_pool_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    return run(params, args, n, CPOOL_BACKWARD, exec);
}

cpool_status cpool_pool_describe(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t role, cpool_shape *out,
                                 cpool_error *error)
{
    cp_pool pool;
    if (out == NULL || out->struct_size < sizeof(cpool_shape)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "out is NULL or its struct_size is too small");
    }
    cpool_status status = cp_pool_plan(&pool, params, args, n, -1, error);
    return status == CPOOL_OK ? cp_pool_shape(&pool, role, out, error) : status;
}

cpool_status cpool_pool_query(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                              int32_t workers, cpool_info *info, cpool_error *error)
{
    cp_pool pool;
    if (info == NULL || info->struct_size < sizeof(cpool_info)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "info is NULL or its struct_size is too small");
    }
    if (direction != CPOOL_FORWARD && direction != CPOOL_BACKWARD) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "direction=%" PRId32 " must be CPOOL_FORWARD or CPOOL_BACKWARD", direction);
    }
    cpool_status status = cp_pool_plan(&pool, params, args, n, direction, error);
    if (status != CPOOL_OK) {
        return status;
    }
    cp_cost cost = cost_of(&pool, direction);
    double worth = cost.nanoseconds / nanoseconds_worth_a_thread;
    info->workers = workers < 1 || worth < 2 ? 1 : worth < workers ? (int32_t)worth : workers;
    info->workspace_size = workspace_of(cost, info->workers);
    info->required = pool.op->required[direction];
    info->optional = pool.op->optional[direction];
    info->kept = pool.op->kept;
    return CPOOL_OK;
}

cpool_status cpool_taps_to_indices(const cpool_pool_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    cp_pool pool;
    cp_engine engine;
    const cp_cost none = {0, 0, 0};
    cpool_status status = check_exec(exec);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, -1, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_pool_ready_indices(&pool, exec->error);
    }
    if (status == CPOOL_OK) {
        status = take_exec(&engine, exec, none, exec->error);
    }
    if (status == CPOOL_OK) {
        cp_indices_run(&pool, &engine);
    }
    return status;
}
