/* What every program here does: say where an array is, and make a call with the workspace that it needs. */
#ifndef CALL_H
#define CALL_H

#include <cpool/cpool.h>
#include <stdio.h>
#include <stdlib.h>

/* An array in C order. `shape` has to live as long as the result. */
static inline cpool_arg array(int32_t role, void *data, uint8_t code, uint8_t bits, int32_t ndim, const int64_t *shape)
{
    cpool_arg arg = {role, 0, {data, shape, NULL, ndim, code, bits, 1, {0, 0, 0, 0}}};
    return arg;
}

static inline cpool_arg floats(int32_t role, float *data, int32_t ndim, const int64_t *shape)
{
    return array(role, data, CPOOL_FLOAT, 32, ndim, shape);
}

static inline void *allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return memory;
}

static inline void check(cpool_status status, const cpool_error *error)
{
    if (status != CPOOL_OK) {
        fprintf(stderr, "cpool: %s\n", error->message);
        exit(1);
    }
}

/* Forward or backward on the threads of `exec`, whose workspace is provided here. */
static inline void pool_on(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                           cpool_exec exec)
{
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_info info = CPOOL_INFO_INIT;
    check(cpool_pool_query(params, args, n, direction, exec.workers, &info, &error), &error);
    exec.workspace = allocate(info.workspace_size);
    exec.workspace_size = info.workspace_size;
    exec.error = &error;
    check((direction == CPOOL_FORWARD ? cpool_pool_forward : cpool_pool_backward)(params, args, n, &exec), &error);
    free(exec.workspace);
}

static inline void pool(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction)
{
    const cpool_exec this_thread = CPOOL_EXEC_INIT;
    pool_on(params, args, n, direction, this_thread);
}

static inline void norm(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction)
{
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_info info = CPOOL_INFO_INIT;
    cpool_exec exec = CPOOL_EXEC_INIT;
    check(cpool_norm_query(params, args, n, direction, 1, &info, &error), &error);
    exec.workspace = allocate(info.workspace_size);
    exec.workspace_size = info.workspace_size;
    exec.error = &error;
    check((direction == CPOOL_FORWARD ? cpool_norm_forward : cpool_norm_backward)(params, args, n, &exec), &error);
    free(exec.workspace);
}

#endif
