#include "drive/engine.h"

#include <inttypes.h>
#include <string.h>

#include "dispatch.h"
#include "error.h"
#include "fpenv.h"
#include "integers.h"
#include "plan/args.h"

cpool_status cp_exec_check(const cpool_exec *exec)
{
    if (exec == NULL || exec->struct_size < sizeof(cpool_exec)) {
        return CPOOL_INVALID_VALUE;
    }
    if (cp_any_set(exec->reserved)) {
        return cp_fail(exec->error, CPOOL_UNSUPPORTED, 0, "exec.reserved is set; this library knows no use of it");
    }
    return CPOOL_OK;
}

cpool_status cp_shape_check(const cpool_shape *out, cpool_error *error)
{
    if (out == NULL || out->struct_size < sizeof(cpool_shape)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "out is NULL or its struct_size is too small");
    }
    return CPOOL_OK;
}

cpool_status cp_info_check(const cpool_info *info, int32_t direction, cpool_error *error)
{
    if (info == NULL || info->struct_size < sizeof(cpool_info)) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "info is NULL or its struct_size is too small");
    }
    if (direction != CPOOL_FORWARD && direction != CPOOL_BACKWARD) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "direction=%" PRId32 " must be CPOOL_FORWARD or CPOOL_BACKWARD",
                       direction);
    }
    return CPOOL_OK;
}

void cp_info_fill(cpool_info *info, cp_cost cost, int32_t workers)
{
    /* Waking a thread costs tens of microseconds, and it may have to wait for a CPU. */
    const double nanoseconds_worth_sharing = 200000;
    info->workers = workers < 1 || cost.nanoseconds < nanoseconds_worth_sharing ? 1 : workers;
    info->workspace_size = cp_engine_workspace(cost, info->workers);
}

size_t cp_engine_workspace(cp_cost cost, int32_t workers)
{
    if ((double)cost.per_worker * workers + (double)cost.shared >= (double)CP_TOO_MANY_BYTES) {
        return CP_TOO_MANY_BYTES;
    }
    size_t bytes = cost.per_worker * (size_t)workers + cost.shared;
    return bytes == 0 ? 0 : bytes + CP_LINE - 1;
}

cpool_status cp_engine_take(cp_engine *engine, const cpool_exec *exec, cp_cost cost)
{
    cpool_status status = cp_dispatch(exec->isa, &engine->kernels, exec->error);
    if (status != CPOOL_OK) {
        return status;
    }
    int parallel = exec->parallel_for != NULL && exec->workers > 1;
    engine->cost = cost;
    engine->workers = parallel ? exec->workers : 1;
    engine->parallel_for = parallel ? exec->parallel_for : NULL;
    engine->parallel_ctx = exec->parallel_ctx;
    size_t need = cp_engine_workspace(cost, engine->workers), size = exec->workspace == NULL ? 0 : exec->workspace_size;
    if (size < need) {
        return cp_fail(exec->error, CPOOL_NO_MEMORY, 0,
                       "workspace_size=%zu; %" PRId32 " workers need %zu bytes (cpool_pool_query)", size, engine->workers,
                       need);
    }
    size_t past = (size_t)((uintptr_t)exec->workspace % CP_LINE);
    engine->workspace = need == 0 ? NULL : (char *)exec->workspace + (past == 0 ? 0 : CP_LINE - past);
    return CPOOL_OK;
}

char *cp_engine_worker(const cp_engine *engine, int worker)
{
    return engine->workspace == NULL ? NULL : engine->workspace + (size_t)worker * engine->cost.per_worker;
}

char *cp_engine_shared(const cp_engine *engine)
{
    return engine->workspace == NULL ? NULL : engine->workspace + (size_t)engine->workers * engine->cost.per_worker;
}

/* A body on a thread of the caller's, whose environment may be any. */
typedef struct cp_foreign {
    cp_body body;
    void *arg;
} cp_foreign;

static void run_foreign(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_foreign *foreign = arg;
    cp_fpenv environment = cp_fpenv_enter();
    foreign->body(foreign->arg, lo, hi, worker);
    cp_fpenv_leave(environment);
}

void cp_engine_run(const cp_engine *engine, int64_t n, double nanoseconds, cp_body body, void *arg)
{
    if (n > 0 && engine->parallel_for == NULL) {
        body(arg, 0, n, 0);
    } else if (n > 0) {
        const double worth_a_chunk = 20000;
        double grain = nanoseconds > 0 ? worth_a_chunk * (double)n / nanoseconds : 1;
        int64_t chunk = grain < 1 ? 1 : grain > 1e15 ? INT64_MAX : (int64_t)grain;
        cp_foreign foreign = {body, arg};
        cp_fpenv environment = cp_fpenv_enter(); /* parallel_for may leave this thread with another */
        engine->parallel_for(engine->parallel_ctx, n, chunk, run_foreign, &foreign);
        cp_fpenv_leave(environment);
    }
}

int cp_engine_run_any(const cp_engine *engine, int64_t n, double nanoseconds, cp_body body, void *arg)
{
    int32_t any = 0;
    for (int worker = 0; worker < engine->workers; worker++) {
        memset(cp_engine_worker(engine, worker), 0, sizeof any);
    }
    cp_engine_run(engine, n, nanoseconds, body, arg);
    for (int worker = 0; worker < engine->workers; worker++) {
        int32_t own;
        memcpy(&own, cp_engine_worker(engine, worker), sizeof own);
        any |= own;
    }
    return any != 0;
}

cpool_status cp_engine_do(cp_engine *engine, const cpool_exec *exec, cp_cost cost, int64_t n, cp_body body, void *arg)
{
    cpool_status status = cp_engine_take(engine, exec, cost);
    if (status == CPOOL_OK) {
        cp_engine_run(engine, n, cost.nanoseconds, body, arg);
    }
    return status;
}
