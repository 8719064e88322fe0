#include <string.h>

#include "drive/drive.h"
#include "drive/kept.h"
#include "dtype/list.h"
#include "integers.h"
#include "plan/layout.h"
#include "plan/parameters.h"

/* The largest of a row, in their order there. */

enum { INPUT, RESULT, INDEX, LENGTH }; /* grids: x or dx; y or dy; indices; lengths */

typedef struct cp_kmax {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    int64_t length, k;
    int32_t direction;
} cp_kmax;

static void plan_kmax(cp_kmax *m, const cp_pool *pool, int32_t direction)
{
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_INDICES]};
    if (direction == CPOOL_BACKWARD) {
        views[INPUT] = pool->grad[CPOOL_X];
        views[RESULT] = pool->grad[CPOOL_Y];
    }
    cp_spread lengths;
    if (pool->array[CPOOL_LENGTHS] != NULL) {
        cp_parameter_spread(&lengths, pool, pool->array[CPOOL_LENGTHS], CPOOL_LENGTHS);
        views[LENGTH] = &lengths.view;
    }
    m->pool = pool;
    m->direction = direction;
    m->length = pool->in[CP_SPACE - 1];
    m->k = pool->out[CP_SPACE - 1];
    cp_layout_make(&m->layout, pool, views, 0);
}

static int64_t kept_at_most(const cp_kmax *m)
{
    return m->k < m->length ? m->k : m->length;
}

static cp_cost cost_of(const cp_kmax *m)
{
    cp_cost cost = {0, 0, (double)m->layout.outer * ((double)m->length * 8.0 + (double)m->k * 40.0)};
    if (m->direction == CPOOL_FORWARD) {
        cost.per_worker = cp_row_bytes(kept_at_most(m), sizeof(cp_kept));
    }
    return cost;
}

cp_cost cp_kmax_cost(const cp_pool *pool, int32_t direction)
{
    cp_kmax m;
    plan_kmax(&m, pool, direction);
    return cost_of(&m);
}

/* ---- Rows ---- */

static double read_value(const cp_kmax *m, const char *at)
{
    switch (m->pool->dtype) {
#define ROW(name, code, bits, lane) \
    case CP_DTYPE_##name: return cp_read_##name(at);
        CP_DTYPE_LIST(ROW)
#undef ROW
    default: return 0;
    }
}

static void select_row(const cp_kmax *m, char *const at[], int64_t length, cp_kept *kept)
{
    const cp_grid *grid = m->layout.grid;
    int64_t n = 0, most = kept_at_most(m), none = -1, along[CP_GRIDS];
    for (int g = 0; g < CP_GRIDS; g++) {
        along[g] = grid[g].item != 0 ? grid[g].space[CP_SPACE - 1] : 0;
    }
    for (int64_t i = 0; i < length; i++) {
        cp_kept next = {read_value(m, at[INPUT] + i * along[INPUT]), i};
        n = cp_kept_offer(kept, n, most, next);
    }
    cp_kept_sort(kept, n);
    for (int64_t j = 0; j < m->k; j++) {
        char *y = at[RESULT] + j * along[RESULT];
        if (j < n) { /* the element itself, its zero's sign and all */
            memcpy(y, at[INPUT] + kept[j].at * along[INPUT], (size_t)grid[RESULT].item);
        } else {
            memset(y, 0, (size_t)grid[RESULT].item);
        }
        if (grid[INDEX].item != 0) {
            memcpy(at[INDEX] + j * along[INDEX], j < n ? &kept[j].at : &none, sizeof none);
        }
    }
}

/* Indices are not trusted: those of no element are none. */
static void scatter_row(const cp_kmax *m, char *const at[])
{
    const cp_grid *grid = m->layout.grid;
    int64_t last = CP_SPACE - 1;
    for (int64_t i = 0; i < m->length; i++) {
        memset(at[INPUT] + i * grid[INPUT].space[last], 0, (size_t)grid[INPUT].item);
    }
    for (int64_t j = 0; j < m->k; j++) {
        int64_t index;
        memcpy(&index, at[INDEX] + j * grid[INDEX].space[last], sizeof index);
        if (index >= 0 && index < m->length) {
            memcpy(at[INPUT] + index * grid[INPUT].space[last], at[RESULT] + j * grid[RESULT].space[last],
                   (size_t)grid[INPUT].item);
        }
    }
}

static void run_rows(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_kmax *m = arg;
    const cp_layout *layout = &m->layout;
    int64_t channel = 0, length = m->length, given;
    for (int64_t row = lo; row < hi; row++) {
        char *at[CP_GRIDS] = {NULL};
        for (int32_t g = 0; g < CP_GRIDS; g++) {
            if (layout->grid[g].item != 0) {
                at[g] = layout->grid[g].data + cp_layout_offset(layout, g, row, &channel);
            }
        }
        if (m->direction == CPOOL_BACKWARD) {
            scatter_row(m, at);
            continue;
        }
        if (at[LENGTH] != NULL) { /* checked before, but another thread may write it */
            memcpy(&given, at[LENGTH], sizeof given);
            length = given < 0 ? 0 : given < m->length ? given : m->length;
        }
        select_row(m, at, length, (cp_kept *)(void *)cp_engine_worker(m->engine, worker));
    }
}

cpool_status cp_kmax_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_kmax m;
    cp_engine engine;
    plan_kmax(&m, pool, direction);
    m.engine = &engine;
    return cp_engine_do(&engine, exec, cost_of(&m), m.layout.outer, run_rows, &m);
}
