/* The pooling entries of cpool.h: check, then drive. */
#include "drive/drive.h"
#include "fpenv.h"
#include "plan/pool.h"

/* What runs the operators of a family. */
typedef struct cp_driver {
    cp_cost (*cost)(const cp_pool *pool, int32_t direction);
    cpool_status (*run)(const cp_pool *pool, int32_t direction, const cpool_exec *exec);
} cp_driver;

static const cp_driver drivers[] = {
    [CP_BEST] = {cp_window_cost, cp_window_run},      [CP_MEAN] = {cp_window_cost, cp_window_run},
    [CP_POWER] = {cp_window_cost, cp_window_run},     [CP_PLACE] = {cp_unpool_cost, cp_unpool_run},
    [CP_TAPWISE] = {cp_tapwise_cost, cp_tapwise_run}, [CP_ORDER] = {cp_kmax_cost, cp_kmax_run},
    [CP_BLUR] = {cp_blur_cost, cp_blur_run},          [CP_SAMPLE] = {cp_sample_cost, cp_sample_run},
    [CP_SHRINK] = {cp_dpid_cost, cp_dpid_run},
};

/* Everything below runs in an environment of its own, the checks too: a caller may flush subnormals, and then 3e-310 == 0. */

static cpool_status run(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                        const cpool_exec *exec)
{
    cp_pool pool;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_exec_check(exec);
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
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_shape_check(out, error);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, -1, error);
    }
    if (status == CPOOL_OK) {
        status = cp_pool_shape(&pool, role, out, error);
    }
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_pool_query(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                              int32_t workers, cpool_info *info, cpool_error *error)
{
    cp_pool pool;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_info_check(info, direction, error);
    if (status == CPOOL_OK) {
        status = cp_pool_plan(&pool, params, args, n, direction, error);
    }
    if (status == CPOOL_OK) {
        cp_info_fill(info, drivers[pool.op->family].cost(&pool, direction), workers);
        info->required = pool.op->required[direction];
        info->optional = pool.op->optional[direction];
        info->kept = pool.op->kept;
    }
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_taps_to_indices(const cpool_pool_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    cp_pool pool;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_exec_check(exec);
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
