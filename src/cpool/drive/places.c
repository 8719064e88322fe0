#include "drive/places.h"

#include "drive/drive.h"
#include "drive/kept.h"
#include "dtype/list.h"
#include "integers.h"
#include "kernels/philox.h"

/* Tables lie one behind the other, each in whole cache lines. */
static size_t table_bytes(const cp_pool *pool)
{
    size_t bytes = 0;
    for (int s = 0; s < CP_SPACE; s++) {
        bytes += pool->axis[s].kind == CP_AXIS_STARTS ? cp_row_bytes(pool->out[s], sizeof(int64_t)) : 0;
    }
    return bytes;
}

static int64_t *take_table(const cp_pool *pool, int s, char **memory)
{
    int64_t *table = (int64_t *)(void *)*memory;
    *memory += cp_row_bytes(pool->out[s], sizeof(int64_t));
    return table;
}

static double draw(const cp_pool *pool, const char *u, int64_t stride, int64_t at, int64_t index)
{
    const cpool_view *view = pool->array[CPOOL_U];
    if (view == NULL) {
        return cp_draw(pool->params.seed, pool->params.offset, (uint64_t)index);
    }
    return view->dtype_bits == 32 ? cp_read_f32(u + at * stride) : cp_read_f64(u + at * stride);
}

/* ---- The same for all planes ---- */

static int64_t most_kept(const cp_pool *pool)
{
    int64_t most = 0;
    for (int32_t s = CP_SPACE - pool->params.rank; s < CP_SPACE; s++) {
        most = cp_max64(most, cp_pool_kept(pool, s, pool->strip[s]));
    }
    return most;
}

size_t cp_places_bytes_for_all(const cp_pool *pool)
{
    return pool->op->code == CPOOL_S3 ? table_bytes(pool) + cp_row_bytes(most_kept(pool), sizeof(cp_kept)) : 0;
}

void cp_places_for_all(cp_axis *axis, const cp_pool *pool, char *memory)
{
    int64_t first = 0, stride = 0;
    if (pool->op->code != CPOOL_S3) {
        return;
    }
    const cpool_view *u = pool->array[CPOOL_U];
    if (u != NULL) {
        cp_view_strides(u, &stride);
    }
    cp_kept *kept = (cp_kept *)(void *)(memory + table_bytes(pool));
    for (int32_t s = CP_SPACE - pool->params.rank; s < CP_SPACE; s++) {
        int64_t *starts = take_table(pool, s, &memory), count = 0;
        axis[s].starts = starts;
        for (int64_t from = 0; from < pool->map[s]; from += pool->strip[s]) {
            int64_t end = from + cp_min64(pool->map[s] - from, pool->strip[s]), n = 0;
            for (int64_t at = from; at < end; at++) { /* the smallest is the largest with the sign changed */
                double number = draw(pool, u == NULL ? NULL : u->data, stride, first + at, first + at);
                n = cp_kept_offer(kept, n, cp_pool_kept(pool, s, end - from), (cp_kept){-number, at});
            }
            cp_kept_sort(kept, n);
            for (int64_t i = 0; i < n; i++) {
                starts[count++] = kept[i].at;
            }
        }
        first += pool->map[s];
    }
}

/* ---- Every plane's own ---- */

size_t cp_places_bytes_by_plane(const cp_pool *pool)
{
    return pool->op->code == CPOOL_FRACTIONAL ? table_bytes(pool) : 0;
}

void cp_places_by_plane(cp_axis *axis, const cp_pool *pool, int64_t plane, const char *u, char *memory)
{
    int32_t rank = pool->params.rank, unused = CP_SPACE - rank;
    int64_t strides[CPOOL_MAX_NDIM], stride = 0;
    const cpool_view *view = pool->array[CPOOL_U];
    if (view != NULL) {
        cp_view_strides(view, strides);
        stride = strides[view->ndim - 1];
    }
    for (int32_t s = unused; s < CP_SPACE; s++) {
        int64_t *starts = take_table(pool, s, &memory), last = pool->in[s] - axis[s].window, out = pool->out[s];
        double number = draw(pool, u, stride, s - unused, plane * rank + (s - unused)), pace = axis[s].pace;
        number = number >= 0 && number < 1 ? number : 0; /* checked before, but another thread may write it */
        for (int64_t i = 0; i < out - 1; i++) {
            starts[i] = cp_min64(last, (int64_t)(((double)i + number) * pace) - (int64_t)(number * pace));
        }
        starts[out - 1] = last;
        axis[s].starts = starts;
    }
}

/* ---- Running ---- */

cp_cost cp_sample_cost(const cp_pool *pool, int32_t direction)
{
    return direction == CPOOL_FORWARD ? cp_window_cost(pool, direction) : cp_unpool_cost(pool, direction);
}

cpool_status cp_sample_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    return direction == CPOOL_FORWARD ? cp_window_run(pool, direction, exec) : cp_unpool_run(pool, direction, exec);
}
