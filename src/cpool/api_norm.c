/* The normalization entries of cpool.h: check, then drive. */
#include "drive/norm.h"
#include "fpenv.h"
#include "plan/norm.h"

/* Everything below runs in an environment of its own, as the pooling entries do. */

static cpool_status run(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                        const cpool_exec *exec)
{
    cp_norm norm;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_exec_check(exec);
    if (status == CPOOL_OK) {
        status = cp_norm_plan(&norm, params, args, n, direction, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_norm_ready(&norm, direction, exec->error);
    }
    if (status == CPOOL_OK) {
        status = cp_norm_run(&norm, direction, exec);
    }
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_norm_forward(const cpool_norm_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    return run(params, args, n, CPOOL_FORWARD, exec);
}

cpool_status cpool_norm_backward(const cpool_norm_params *params, const cpool_arg *args, int32_t n, const cpool_exec *exec)
{
    return run(params, args, n, CPOOL_BACKWARD, exec);
}

cpool_status cpool_norm_describe(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t role,
                                 cpool_shape *out, cpool_error *error)
{
    cp_norm norm;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_shape_check(out, error);
    if (status == CPOOL_OK) {
        status = cp_norm_plan(&norm, params, args, n, -1, error);
    }
    if (status == CPOOL_OK) {
        status = cp_norm_shape(&norm, role, out, error);
    }
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_norm_query(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                              int32_t workers, cpool_info *info, cpool_error *error)
{
    cp_norm norm;
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_info_check(info, direction, error);
    if (status == CPOOL_OK) {
        status = cp_norm_plan(&norm, params, args, n, direction, error);
    }
    if (status == CPOOL_OK) {
        cp_info_fill(info, cp_norm_cost(&norm, direction), workers);
        info->required = cp_norm_required(&norm, direction);
        info->optional = cp_norm_optional(&norm, direction);
        info->kept = cp_norm_kept(&norm);
    }
    cp_fpenv_leave(environment);
    return status;
}

cpool_status cpool_moments_merge(const cpool_view *a, const cpool_view *b, const cpool_view *out, cpool_error *error)
{
    cp_fpenv environment = cp_fpenv_enter();
    cpool_status status = cp_moments_ready(a, b, out, error);
    if (status == CPOOL_OK) {
        cp_moments_merge(a, b, out);
    }
    cp_fpenv_leave(environment);
    return status;
}
