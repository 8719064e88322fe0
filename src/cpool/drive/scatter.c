#include "drive/scatter.h"

#include <string.h>

#include "drive/window.h"
#include "fpenv.h"
#include "integers.h"

/* Bytes of the gradient of x that are written at once, roughly, and of lanes of a plane; results of a row at once. */
enum { BAND = 128 * 1024, NEAR_CACHE = 24 * 1024, COLUMNS = 4096 };

enum { ARRAYS = 3 }; /* the gradients of x and y, taps */

void cp_scatters_plan(cp_scatters *s, const cp_pool *pool)
{
    const cpool_view *views[CP_GRIDS] = {pool->grad[CPOOL_X], pool->grad[CPOOL_Y], pool->array[CPOOL_TAPS]};
    s->pool = pool;
    s->lane_kind = cp_element_lane(pool);
    cp_layout_make(&s->layout, pool, views, 0);
    cp_layout *layout = &s->layout;
    for (int32_t dim = 0; dim < layout->dims; dim++) {
        if (layout->grid[0].batch[dim] == layout->grid[0].item && layout->length[dim] > 1) {
            cp_layout_take_lanes(layout, dim);
        }
    }
    int64_t item = layout->grid[0].item, rows = 1;
    s->cut = pool->in[0] > 1 ? 0 : 1;
    for (int a = 0; a < CP_SPACE; a++) {
        rows *= a == s->cut ? 1 : pool->in[a]; /* elements of one position along the cut */
    }
    /* Lanes of whole cache lines, of which a plane stays in the nearest cache. */
    double plane = (double)rows * (double)pool->in[s->cut] * (double)item;
    int64_t line = 64 / item;
    s->tile = plane < NEAR_CACHE / (double)line ? (int64_t)(NEAR_CACHE / plane) / line * line : line;
    s->tile = cp_max64(1, cp_min64(layout->lanes, s->tile));
    s->tiles = (layout->lanes + s->tile - 1) / s->tile;
    /* A band sees again what windows reach into it from outside: it is not much smaller than they are. */
    double each = (double)rows * (double)s->tile * (double)item;
    double band = each < BAND ? BAND / each : 1;
    int64_t least = cp_min64(pool->axis[s->cut].taps, pool->in[s->cut]);
    s->band = cp_max64(1, cp_min64(pool->in[s->cut], cp_max64((int64_t)band, least)));
    s->bands = (pool->in[s->cut] + s->band - 1) / s->band;
    s->units = layout->outer * s->tiles * s->bands;
    s->bytes = cp_row_bytes(cp_min64(pool->out[2], COLUMNS), sizeof(int64_t));
}

/* What a worker holds. */
typedef struct cp_scatter_work {
    const cp_scatters *scatters;
    cp_scatter scatter;
    cp_scatter_tap near[CP_SCATTER_NEAR];
    int64_t *starts, column; /* of columns from `column` on; NULL: they slide */
} cp_scatter_work;

static void begin_scatter(cp_scatter_work *w, char *memory)
{
    const cp_scatters *s = w->scatters;
    const cp_pool *pool = s->pool;
    const cp_grid *grid = s->layout.grid;
    cp_scatter *scatter = &w->scatter;
    double taps = 1, farthest = 0;
    for (int a = 0; a < CP_SPACE; a++) {
        scatter->window[a] = pool->axis[a].taps;
        scatter->dilation[a] = pool->axis[a].dilation;
        scatter->lo[a] = 0;
        scatter->hi[a] = pool->in[a];
        scatter->step[a] = grid[0].space[a];
        taps *= (double)pool->axis[a].taps;
        double step = (double)grid[0].space[a], reach = (double)(scatter->window[a] - 1) * (double)scatter->dilation[a];
        farthest += ((double)pool->in[a] + (double)pool->axis[a].pad + reach) * (step < 0 ? -step : step);
    }
    for (int g = 0; g < ARRAYS; g++) {
        scatter->lane_step[g] = s->layout.lane >= 0 ? grid[g].batch[s->layout.lane] : 0;
        scatter->column_step[g] = grid[g].space[2];
    }
    scatter->advance = cp_axis_advance(&pool->axis[2]);
    scatter->bits = grid[2].bits;
    scatter->taps = taps < 0x1p62 ? (int64_t)taps : INT64_MAX;
    scatter->is_near = scatter->bits == 8 && farthest < 0x1p62;
    for (int64_t t = 0; scatter->is_near && t < scatter->taps; t++) {
        int64_t row = t / scatter->window[2],
                at[3] = {row / scatter->window[1], row % scatter->window[1], t % scatter->window[2]};
        w->near[t].bytes = 0;
        for (int a = 0; a < CP_SPACE; a++) {
            w->near[t].away[a] = at[a] * scatter->dilation[a];
            w->near[t].bytes += w->near[t].away[a] * scatter->step[a];
        }
    }
    scatter->near = w->near;
    w->starts = scatter->advance == 0 ? (int64_t *)(void *)memory : NULL;
    w->column = -1;
}

/* Finds where the windows of some columns begin, if they do not slide. */
static void find_starts(cp_scatter_work *w, int64_t column, int64_t count)
{
    if (w->starts != NULL && w->column != column) {
        for (int64_t c = 0; c < count; c++) {
            w->starts[c] = cp_axis_span(&w->scatters->pool->axis[2], column + c).first;
        }
        w->column = column;
    }
}

static void scatter_row(cp_scatter_work *w, char *const *at, int64_t d, int64_t h)
{
    const cp_scatters *s = w->scatters;
    const cp_pool *pool = s->pool;
    const int64_t *y = s->layout.grid[1].space, *taps = s->layout.grid[2].space;
    for (int64_t c = 0; c < pool->out[2]; c += COLUMNS) {
        int64_t count = cp_min64(pool->out[2] - c, COLUMNS);
        const int64_t first[3] = {cp_axis_span(&pool->axis[0], d).first, cp_axis_span(&pool->axis[1], h).first,
                                  cp_axis_span(&pool->axis[2], c).first};
        find_starts(w, c, count);
        s->engine->kernels->lane[s->lane_kind]->scatter(&w->scatter, at[0], at[1] + d * y[0] + h * y[1] + c * y[2],
                                                        at[2] + d * taps[0] + h * taps[1] + c * taps[2], first, w->starts,
                                                        count);
    }
}

static void clear(const cp_scatters *s, const cp_scatter *scatter, char *dx)
{
    const cp_lane_kernels *kernels = s->engine->kernels->lane[s->lane_kind];
    for (int64_t d = scatter->lo[0]; d < scatter->hi[0]; d++) {
        for (int64_t h = scatter->lo[1]; h < scatter->hi[1]; h++) {
            kernels->clear(dx + d * scatter->step[0] + h * scatter->step[1], scatter->hi[2], scatter->step[2], scatter->lanes,
                           scatter->lane_step[0]);
        }
    }
}

static void run_unit(cp_scatter_work *w, int64_t unit)
{
    const cp_scatters *s = w->scatters;
    const cp_axis *axis = s->pool->axis;
    cp_scatter *scatter = &w->scatter;
    int64_t band = unit % s->bands, tile = unit / s->bands % s->tiles * s->tile, outer = unit / s->bands / s->tiles, channel;
    int64_t from[2] = {0, 0}, to[2] = {s->pool->out[0], s->pool->out[1]};
    char *at[ARRAYS];
    scatter->lanes = cp_min64(s->tile, s->layout.lanes - tile);
    scatter->lo[s->cut] = band * s->band;
    scatter->hi[s->cut] = cp_min64(scatter->lo[s->cut] + s->band, s->pool->in[s->cut]);
    cp_axis_holders(&axis[s->cut], scatter->lo[s->cut], scatter->hi[s->cut], &from[s->cut], &to[s->cut]);
    for (int32_t g = 0; g < ARRAYS; g++) {
        at[g] = s->layout.grid[g].data + cp_layout_offset(&s->layout, g, outer, &channel) + tile * scatter->lane_step[g];
    }
    clear(s, scatter, at[0]);
    for (int64_t d = from[0]; d < to[0]; d++) {
        for (int64_t h = from[1]; h < to[1]; h++) {
            scatter_row(w, at, d, h);
        }
    }
}

void cp_scatters_run(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_scatters *s = arg;
    cp_fpenv environment = cp_fpenv_enter();
    cp_scatter_work work;
    work.scatters = s;
    begin_scatter(&work, cp_engine_worker(s->engine, worker));
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit);
    }
    cp_fpenv_leave(environment);
}
