#include <inttypes.h>
#include <string.h>

#include "drive/drive.h"
#include "error.h"
#include "integers.h"
#include "plan/layout.h"

/* Unpooling, and the gradient of selections that come with indices, which is unpooling of the gradient of the result.
 *
 * Values are scattered plane by plane in row-major order, so of several for one place the
 * last stays, or their sum has one order, whatever the threads. */

enum { INPUT, PLANE, INDEX }; /* grids: x or dx; y or dy; indices */

/* Places that one pass of the backward direction remembers: half a MiB of bits. */
enum { PLACES = 1 << 22 };

typedef struct cp_unpool {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    const int64_t *sizes, *plane; /* of the values, and of the plane that they are put into */
    int64_t places;               /* of that plane */
    int linear[CP_GRIDS];         /* elements of a plane lie one step apart, row after row */
    int puts, adds;               /* else values are taken back; where several are put into one place */
} cp_unpool;

/* Whether outer elements lie as far apart as all inner ones take; by division, since products may overflow. */
static int follow(int64_t outer_step, int64_t outer, int64_t step, int64_t size)
{
    return outer == 1 || (outer_step % size == 0 && outer_step / size == step);
}

static void plan_unpool(cp_unpool *u, const cp_pool *pool, int32_t direction)
{
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y], pool->array[CPOOL_INDICES]};
    int of_selection = pool->op->code != CPOOL_UNPOOL;
    if (direction == CPOOL_BACKWARD) {
        views[INPUT] = of_selection ? pool->grad[CPOOL_Y] : pool->grad[CPOOL_X];
        views[PLANE] = of_selection ? pool->grad[CPOOL_X] : pool->grad[CPOOL_Y];
    }
    u->pool = pool;
    u->sizes = of_selection ? pool->out : pool->in;
    u->plane = of_selection ? pool->in : pool->out;
    u->puts = of_selection || direction == CPOOL_FORWARD;
    u->adds = of_selection || (pool->params.flags & CPOOL_ADD) != 0;
    u->places = u->plane[0] * u->plane[1] * u->plane[2];
    cp_layout_make(&u->layout, pool, views, 0);
    for (int g = 0; g < CP_GRIDS; g++) {
        const int64_t *size = g == PLANE ? u->plane : u->sizes, *step = u->layout.grid[g].space;
        u->linear[g] = u->layout.grid[g].item != 0 && follow(step[1], size[1], step[2], size[2]) &&
                       follow(step[0], size[0], step[2], size[1] * size[2]);
    }
}

static double plane_nanoseconds(const cp_unpool *u)
{
    const int64_t *size = u->sizes;
    return (double)(size[0] * size[1] * size[2]) * 4.0 + (double)u->places * 0.5;
}

static cp_cost cost_of(const cp_unpool *u)
{
    int64_t places = u->places < PLACES ? u->places : PLACES;
    cp_cost cost = {0, 0, (double)u->layout.outer * plane_nanoseconds(u)};
    if (!u->puts && !u->adds) {
        cost.per_worker = cp_round_up((size_t)places / 8 + 1);
    }
    return cost;
}

cp_cost cp_unpool_cost(const cp_pool *pool, int32_t direction)
{
    cp_unpool u;
    plan_unpool(&u, pool, direction);
    return cost_of(&u);
}

static int64_t read_index(const char *at)
{
    int64_t index;
    memcpy(&index, at, sizeof index);
    return index;
}

/* Where element `index` of a row-major plane of grid g lies. */
static int64_t place(const cp_unpool *u, int g, int64_t index)
{
    const int64_t *size = g == PLANE ? u->plane : u->sizes, *step = u->layout.grid[g].space;
    if (u->linear[g]) {
        return index * step[2];
    }
    int64_t row = index / size[2];
    return row / size[1] * step[0] + row % size[1] * step[1] + index % size[2] * step[2];
}

/* One pass over the indices, before anything is written. */
static cpool_status check_indices(const cp_unpool *u, cpool_error *error)
{
    const int64_t *in = u->sizes;
    int64_t channel = 0, count = in[0] * in[1] * in[2];
    for (int64_t plane = 0; plane < u->layout.outer; plane++) {
        const char *indices = u->layout.grid[INDEX].data + cp_layout_offset(&u->layout, INDEX, plane, &channel);
        for (int64_t j = 0; j < count; j++) {
            int64_t index = read_index(indices + place(u, INDEX, j));
            if (index < -1 || index >= u->places) {
                return cp_fail(error, CPOOL_INVALID_VALUE, CPOOL_INDICES,
                               "indices holds %" PRId64 "; each must be 0 to %" PRId64
                               ", a position in the plane that it is put into, or -1 for none",
                               index, u->places - 1);
            }
        }
    }
    return CPOOL_OK;
}

static void clear_plane(const cp_unpool *u, char *y)
{
    const int64_t *size = u->plane, *step = u->layout.grid[PLANE].space;
    size_t item = (size_t)u->layout.grid[PLANE].item;
    for (int64_t d = 0; d < size[0]; d++) {
        for (int64_t h = 0; h < size[1]; h++) {
            char *row = y + d * step[0] + h * step[1];
            if (step[2] == (int64_t)item) {
                memset(row, 0, (size_t)size[2] * item);
                continue;
            }
            for (int64_t i = 0; i < size[2]; i++) {
                memset(row + i * step[2], 0, item);
            }
        }
    }
}

/* In double and rounded once more, which for float is the same as adding in float. */
static void add(char *y, const char *x, int32_t dtype)
{
    switch (dtype) {
#define ROW(name, code, bits, lane) \
    case CP_DTYPE_##name: cp_write_##name(y, cp_read_##name(y) + cp_read_##name(x)); break;
        CP_DTYPE_LIST(ROW)
#undef ROW
    default: break;
    }
}

static void scatter(const cp_unpool *u, char *y, const char *x, const char *indices)
{
    const cp_grid *grid = u->layout.grid;
    const int64_t *in = u->sizes;
    int64_t count = in[0] * in[1] * in[2];
    clear_plane(u, y);
    for (int64_t j = 0; j < count; j++) {
        int64_t index = read_index(indices + place(u, INDEX, j));
        if (index < 0 || index >= u->places) { /* checked before, but another thread may write it */
            continue;
        }
        char *to = y + place(u, PLANE, index);
        const char *from = x + place(u, INPUT, j);
        if (u->adds) {
            add(to, from, u->pool->dtype);
        } else {
            memcpy(to, from, (size_t)grid[PLANE].item);
        }
    }
}

/* Backwards through the plane, so that the first met is the one that stayed. `seen` has a bit for each of PLACES places. */
static void collect(const cp_unpool *u, char *dx, const char *dy, const char *indices, unsigned char *seen)
{
    const cp_grid *grid = u->layout.grid;
    const int64_t *in = u->sizes;
    int64_t count = in[0] * in[1] * in[2];
    int every = u->adds;
    for (int64_t low = 0, next; low < u->places; low = next) {
        int64_t left = u->places - low, range = every ? u->places : left < PLACES ? left : PLACES;
        if (!every) {
            memset(seen, 0, (size_t)range / 8 + 1);
        }
        next = u->places; /* passes are for ranges that hold an index */
        for (int64_t j = count; j-- > 0;) {
            int64_t index = read_index(indices + place(u, INDEX, j)), bit = index - low;
            next = index >= low && bit >= range && index < next ? index : next;
            char *to = dx + place(u, INPUT, j);
            int here = index >= low && bit < range;
            if (here && (every || !(seen[bit / 8] >> bit % 8 & 1))) {
                memcpy(to, dy + place(u, PLANE, index), (size_t)grid[INPUT].item);
            } else if (here || (low == 0 && index < 0)) {
                memset(to, 0, (size_t)grid[INPUT].item);
            }
            if (here && !every) {
                seen[bit / 8] |= (unsigned char)(1 << bit % 8);
            }
        }
    }
}

static void run_planes(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_unpool *u = arg;
    const cp_layout *layout = &u->layout;
    int64_t channel = 0;
    for (int64_t plane = lo; plane < hi; plane++) {
        char *at[CP_GRIDS];
        for (int32_t g = 0; g < CP_GRIDS; g++) {
            const cp_grid *grid = &layout->grid[g];
            at[g] = grid->item != 0 ? grid->data + cp_layout_offset(layout, g, plane, &channel) : NULL;
        }
        if (u->puts) {
            scatter(u, at[PLANE], at[INPUT], at[INDEX]);
        } else {
            collect(u, at[INPUT], at[PLANE], at[INDEX], (unsigned char *)cp_engine_worker(u->engine, worker));
        }
    }
}

cpool_status cp_unpool_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_unpool u;
    cp_engine engine;
    plan_unpool(&u, pool, direction);
    cpool_status status = check_indices(&u, exec->error);
    if (status != CPOOL_OK) {
        return status;
    }
    u.engine = &engine;
    return cp_engine_do(&engine, exec, cost_of(&u), u.layout.outer, run_planes, &u);
}
