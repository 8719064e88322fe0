/* How a call runs: what cpool_exec says, resolved. */
#ifndef CP_DRIVE_ENGINE_H
#define CP_DRIVE_ENGINE_H

#include <stddef.h>

#include "cpool/cpool.h"
#include "kernels/table.h"

/* What a call costs. */
typedef struct cp_cost {
    size_t per_worker, shared; /* bytes of workspace, multiples of 64 */
    double nanoseconds;        /* on one thread, roughly */
} cp_cost;

typedef struct cp_engine {
    const cp_kernels *kernels;
    cp_cost cost;
    char *workspace; /* aligned to 64 */
    int32_t workers;
    cpool_parallel_for parallel_for; /* NULL: the calling thread */
    void *parallel_ctx;
} cp_engine;

/* That what the caller provides is of this library's size, and sets nothing that it does not know. */
cpool_status cp_exec_check(const cpool_exec *exec);
cpool_status cp_shape_check(const cpool_shape *out, cpool_error *error);
cpool_status cp_info_check(const cpool_info *info, int32_t direction, cpool_error *error);

/* The workers of a call, those asked for or 1 where the work is too small to share, and their workspace. */
void cp_info_fill(cpool_info *info, cp_cost cost, int32_t workers);

/* More bytes than there are, for what would overflow. */
#define CP_TOO_MANY_BYTES ((size_t)1 << (sizeof(size_t) * 8 - 2))

/* Bytes of workspace that a caller must provide. */
size_t cp_engine_workspace(cp_cost cost, int32_t workers);

/* Fails where the workspace is too small or the instruction set is not there. */
cpool_status cp_engine_take(cp_engine *engine, const cpool_exec *exec, cp_cost cost);

/* A worker's own workspace, and what all of them share. */
char *cp_engine_worker(const cp_engine *engine, int worker);
char *cp_engine_shared(const cp_engine *engine);

typedef void (*cp_body)(void *arg, int64_t lo, int64_t hi, int worker);

/* Runs body over [0, n), which takes about `nanoseconds` in all, in the environment of fpenv.h: the calling thread is in it. */
void cp_engine_run(const cp_engine *engine, int64_t n, double nanoseconds, cp_body body, void *arg);

/* The same, where every worker has an int32_t at the beginning of its workspace, which is
 * 0 at first: returns whether one is not in the end. */
int cp_engine_run_any(const cp_engine *engine, int64_t n, double nanoseconds, cp_body body, void *arg);

/* Takes what the caller provides and runs: calls that are one body over n units. */
cpool_status cp_engine_do(cp_engine *engine, const cpool_exec *exec, cp_cost cost, int64_t n, cp_body body, void *arg);

#endif
