/* The pooling entries of cpool.h: check, then drive. */
#include <inttypes.h>

#include "drive/drive.h"
#include "error.h"
#include "fpenv.h"
#include "plan/pool.h"

/* Waking a thread costs tens of microseconds, and it may have to wait for a CPU. */
static const double nanoseconds_worth_sharing = 200000;

/* What runs the operators of a family. */
typedef struct cp_driver {
    cp_cost (*cost)(const cp_pool *pool, int32_t direction);
    cpool_status (*run)(const cp_pool *pool, int32_t direction, const cpool_exec *exec);
} cp_driver;

static const cp_driver drivers[] = {
    [CP_BEST] = {cp_window_cost, cp_window_run},      [CP_MEAN] = {cp_window_cost, cp_window_run},
    [CP_POWER] = {cp_window_cost, cp_window_run},     [CP_PLACE] = {cp_unpool_cost, cp_unpool_run},
    [CP_TAPWISE] = {cp_tapwise_cost, cp_tapwise_run}, [CP_ORDER] = {cp_kmax_cost, cp_kmax_run},
};

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

/* Everything below runs in an environment of its own, the checks too: a caller may flush subnormals, and then 3e-310 == 0. */

static cpool_status run(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                        const cpool_exec *exec)
{
    cp_pool pool;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = check_exec(exec);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, direction, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_pool_ready(&pool, direction, exec->error);
    }
    if (status == CPOOL_OK) {
        status = drivers[pool.op->family].run(&pool, direction, exec);
    }
    cp_fpenv_leave(environment);
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

cpool_status cpool_pool_describe(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t role,
                                 cpool_shape *out, cpool_error *error)
{
    cp_pool pool;
    if (out == NULL || out->struct_size < sizeof(cpool_shape)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "out is NULL or its struct_size is too small");
    }
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_pool_plan(&pool, params, args, n, -1, error);
    if (status == CPOOL_OK) {
        status = cp_pool_shape(&pool, role, out, error);
    }
    cp_fpenv_leave(environment);
    return status;
}

static cpool_status query(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction, int32_t workers,
                          cpool_info *info, cpool_error *error)
{
    cp_pool pool;
    cpool_status status = cp_pool_plan(&pool, params, args, n, direction, error);
    if (status != CPOOL_OK) {
        return status;
    }
    cp_cost cost = drivers[pool.op->family].cost(&pool, direction);
    info->workers = workers < 1 || cost.nanoseconds < nanoseconds_worth_sharing ? 1 : workers;
    info->workspace_size = cp_engine_workspace(cost, info->workers);
    info->required = pool.op->required[direction];
    info->optional = pool.op->optional[direction];
    info->kept = pool.op->kept;
    return CPOOL_OK;
}

cpool_status cpool_pool_query(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                              int32_t workers, cpool_info *info, cpool_error *error)
{
    if (info == NULL || info->struct_size < sizeof(cpool_info)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "info is NULL or its struct_size is too small");
    }
    if (direction != CPOOL_FORWARD && direction != CPOOL_BACKWARD) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "direction=%" PRId32 " must be CPOOL_FORWARD or CPOOL_BACKWARD",
                       direction);
    }
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = query(params, args, n, direction, workers, info, error);
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_taps_to_indices(const cpool_pool_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    cp_pool pool;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = check_exec(exec);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, -1, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_pool_ready_indices(&pool, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_indices_run(&pool, exec);
    }
    cp_fpenv_leave(environment);
    return status;
}
