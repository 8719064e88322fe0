#include <string.h>

#include "drive/drive.h"
#include "drive/mend.h"
#include "drive/places.h"
#include "drive/quick.h"
#include "drive/weighted.h"
#include "drive/window.h"
#include "kernels/template.h"

/* ---- Results ---- */

static void power_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_lp_kernels *lp = w->window->engine->kernels->lp;
    double down = cp_work_row_count(w, d, h), *sum = (double *)(void *)w->result;
    int mean = (w->window->pool->params.flags & CPOOL_MEAN) != 0;
    cp_work_columns(w, column, 1, count);
    for (int64_t from = 0, to; from < count; from = to) {
        to = cp_work_run_end(w, from, count);
        double size = down * w->counts[from];
        int64_t at = from * w->lanes;
        if (size == 0) {
            w->kernels->fill(sum + at, 0.0, (to - from) * w->lanes);
        } else if (w->recipe->map == CP_POWERS) {
            CP_EACH_EXPONENT(w, to - from, i, n, lp->root(sum + at + i, w->walk.pitch, n, w->exponent, mean ? size : 0));
        }
    }
}

static void pool_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_pool *pool = window->pool;
    double *there = (double *)(void *)w->aux;
    if (window->mends) {
        cp_work_load(w, 1, d, h, column, 1, count, there);
        if (!cp_mend_any(there, count * w->lanes)) {
            return;
        }
    }
    cp_walk_fold(&w->walk, d, h, w->result);
    if (pool->op->family == CP_POWER) {
        power_row(w, d, h, column, count);
    } else if (pool->op->family == CP_MEAN) {
        cp_work_columns(w, column, 1, count);
        cp_work_divide(w, w->result, d, h, count);
    } else {
        w->kernels->plus_zero(w->result, count * w->lanes);
    }
    if (cp_window_selects(pool)) {
        const cp_grid *taps = &window->layout.grid[2];
        char *row = w->result + w->walk.pitch * window->lane_size;
        cp_work_settle_taps(w, &w->walk, d, h, row);
        if (pool->op->family == CP_SAMPLE) {
            cp_work_store_indices(w, d, h, column, count, row);
        } else {
            w->kernels->store_taps(cp_work_element(w, 2, d, h, column), taps->bits, row, count, taps->space[2], w->lanes,
                                   w->lane_step[2]);
        }
    }
    if (window->mends) {
        cp_mend_keep((double *)(void *)w->result, there, count * w->lanes);
    }
    cp_work_store(w, 1, d, h, column, count, w->result);
}

static void input_gradient_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_pool *pool = window->pool;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *sum = (double *)(void *)w->result, *x = (double *)(void *)w->aux;
    if (w->walk.fold == CP_GATHER) {
        w->kernels->iota(w->self, (double)((d * pool->in[1] + h) * pool->in[2] + column), count);
        cp_walk_gather(&w->walk, d, h, w->self, w->result);
    } else {
        cp_walk_fold(&w->walk, d, h, w->result);
    }
    if (pool->op->family == CP_POWER) {
        cp_work_load(w, 2, d, h, column, 1, count, x);
        if (w->recipe->map == CP_ABSOLUTE) {
            w->kernels->copy_sign(w->result, x, count * w->lanes);
        } else {
            CP_EACH_EXPONENT(w, count, i, n, lp->input_gradient(sum + i, w->walk.pitch, x + i, n, w->exponent));
        }
    }
    cp_work_store(w, 0, d, h, column, count, w->result);
}

static void exponent_gradient_row(cp_work *w, int64_t d, int64_t h, int64_t column, int64_t count)
{
    const cp_window *window = w->window;
    const cp_lp_kernels *lp = window->engine->kernels->lp;
    double *entropy = (double *)(void *)w->result, *dy = (double *)(void *)w->aux;
    cp_walk_fold(&w->walk, d, h, entropy);
    cp_work_load(w, 1, d, h, column, 1, count, dy);
    cp_work_columns(w, column, 1, count);
    double down = cp_work_row_count(w, d, h);
    int mean = (window->pool->params.flags & CPOOL_MEAN) != 0;
    for (int64_t from = 0, to; from < count; from = to) {
        to = cp_work_run_end(w, from, count);
        double size = mean ? down * w->counts[from] : 0;
        int64_t at = from * w->lanes;
        CP_EACH_EXPONENT(w, to - from, i, n,
                         lp->exponent_gradient(entropy + at + i, w->walk.pitch, dy + at + i, n, w->exponent, size));
    }
    cp_parameter_sums_add(&w->sums, entropy, 0, count);
}

/* ---- Running ---- */

static void bind_work(cp_work *w, const cp_recipe *recipe, char *memory)
{
    const cp_window *window = w->window;
    size_t size = (size_t)window->lane_size;
    w->recipe = recipe;
    w->walk = recipe->walk;
    w->walk.axis = w->axis;
    w->walk.source = cp_work_source(w);
    w->walk.context = w;
    memory = cp_walk_bind(&w->walk, memory, w->kernels);
    w->inner = recipe->inner;
    if (recipe->nested) {
        w->inner.source = cp_source_x;
        w->inner.context = w;
        memory = cp_walk_bind(&w->inner, memory, w->kernels);
    }
    w->result = memory;
    memory += cp_round_up((size_t)w->walk.pitch * size) * (size_t)w->walk.rows;
    w->inner_result = memory;
    memory += cp_round_up((size_t)w->inner.pitch * size) * (size_t)w->inner.rows;
    w->aux = memory;
    memory += cp_round_up(recipe->aux_lanes * size);
    w->self = memory;
    memory += cp_round_up((size_t)w->walk.width * size);
    w->counts = (double *)(void *)memory;
    memory += cp_round_up(recipe->columns * sizeof(double));
    w->exponents = (double *)(void *)memory;
    memory += cp_round_up((size_t)window->lanes * sizeof(double));
    w->sums.memory = (double *)(void *)memory;
    w->count = 0;
}

static void set_exponents(cp_work *w, int64_t channel)
{
    int differ = cp_window_lanes_are_channels(w->window) && w->lanes > 1;
    for (int64_t l = 0; l < (differ ? w->lanes : 1); l++) {
        w->exponents[l] = cp_exponent_at(w->window->pool->array[CPOOL_P], channel + l);
    }
    w->exponent.p = w->exponents;
    w->exponent.step = differ;
}

/* The rows of one block, for `lanes` lanes from `lane` on that share a recipe. */
static void run_lanes(cp_work *w, int64_t outer, int64_t block, int64_t lane, int64_t lanes, char *memory)
{
    const cp_window *window = w->window;
    const cp_layout *layout = &window->layout;
    int64_t channel = 0;
    int infinite = 0;
    w->lanes = lanes;
    for (int g = 0; g < CP_GRIDS; g++) {
        w->at[g] = NULL;
        if (layout->grid[g].item != 0) {
            w->lane_step[g] = layout->lane >= 0 ? layout->grid[g].batch[layout->lane] : 0;
            w->at[g] = layout->grid[g].data + cp_layout_offset(layout, (int32_t)g, outer, &channel) + lane * w->lane_step[g];
        }
    }
    channel = cp_window_lanes_are_channels(window) ? lane : channel;
    if (window->pool->op->family == CP_POWER) {
        infinite = cp_exponent_at(window->pool->array[CPOOL_P], channel) == cp_infinity();
    }
    if (window->pool->op->code == CPOOL_FRACTIONAL) {
        cp_places_by_plane(w->axis, window->pool, cp_layout_plane(layout, outer, lane), w->at[3], w->starts);
    }
    if (w->recipe != &window->recipe[infinite]) {
        bind_work(w, &window->recipe[infinite], memory);
    }
    if (window->pool->op->family == CP_POWER) {
        set_exponents(w, channel);
    }
    w->inner.targets = 0;
    w->walk.direct_data = w->at[0];
    memcpy(w->walk.direct_stride, layout->grid[0].space, sizeof w->walk.direct_stride);
    int64_t rows = window->axis[0].targets * window->axis[1].targets, height = window->axis[1].targets;
    int64_t begin = block * window->block_rows, end = begin + window->block_rows < rows ? begin + window->block_rows : rows;
    if (window->task == CP_TASK_EXPONENT_GRADIENT) {
        cp_parameter_sums_begin(&w->sums, lanes);
    }
    for (int64_t column = 0; column < window->axis[2].targets; column += w->walk.width) {
        int64_t left = window->axis[2].targets - column, count = left < w->walk.width ? left : w->walk.width;
        cp_walk_tile(&w->walk, column, count, w->lanes);
        for (int64_t row = begin; row < end; row++) {
            int64_t d = row / height, h = row % height;
            switch (window->task) {
            case CP_TASK_POOL: pool_row(w, d, h, column, count); break;
            case CP_TASK_INPUT_GRADIENT: input_gradient_row(w, d, h, column, count); break;
            case CP_TASK_EXPONENT_GRADIENT: exponent_gradient_row(w, d, h, column, count); break;
            }
        }
        if (window->task == CP_TASK_EXPONENT_GRADIENT) {
            cp_parameter_sums_close(&w->sums);
        }
    }
    for (int64_t l = 0; l < w->lanes && window->task == CP_TASK_EXPONENT_GRADIENT; l++) {
        int64_t plane = cp_layout_plane(layout, outer, lane + l);
        window->partials[plane * window->blocks + block] = infinite ? 0.0 : cp_parameter_sums_total(&w->sums, l);
    }
}

static void run_unit(cp_work *w, int64_t unit, char *memory)
{
    const cp_window *window = w->window;
    int64_t block = unit % window->blocks, tile = unit / window->blocks % window->tiles;
    int64_t outer = unit / window->blocks / window->tiles, lane = tile * window->lanes;
    int64_t end = lane + window->lanes < window->layout.lanes ? lane + window->lanes : window->layout.lanes;
    while (lane < end) {
        int64_t to = end;
        if (window->pool->op->family == CP_POWER &&
            cp_window_lanes_are_channels(window)) { /* finite and infinite exponents apart */
            const cpool_view *p = window->pool->array[CPOOL_P];
            int infinite = cp_exponent_at(p, lane) == cp_infinity();
            for (to = lane + 1; to < end && (cp_exponent_at(p, to) == cp_infinity()) == infinite;) {
                to++;
            }
        }
        run_lanes(w, outer, block, lane, to - lane, memory);
        lane = to;
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_window *window = arg;
    const cp_engine *engine = window->engine;
    char *memory = cp_engine_worker(engine, worker);
    cp_work work;
    work.window = window;
    work.recipe = NULL;
    memcpy(work.axis, window->axis, sizeof work.axis);
    work.starts = memory + window->bytes - cp_places_bytes_by_plane(window->pool);
    work.kernels = engine->kernels->lane[window->lane_kind];
    for (int64_t unit = lo; unit < hi; unit++) {
        run_unit(&work, unit, memory);
    }
}
static void reduce_exponent_gradient(const cp_window *w)
{
    int64_t channels = cp_exponent_per_channel(w->pool) ? w->pool->x_shape[w->pool->channel] : 1;
    cp_parameter_sums_reduce(w->partials, cp_layout_planes(&w->layout), 1, w->blocks, channels, 0, 1, w->pool->grad[CPOOL_P]);
}

static double task_nanoseconds(const cp_window *w)
{
    double planes = (double)cp_layout_planes(&w->layout), targets = 1, sources = 1, taps = 0;
    for (int s = 0; s < CP_SPACE; s++) {
        targets *= (double)w->axis[s].targets;
        sources *= (double)w->axis[s].sources;
        taps += (double)w->axis[s].taps;
    }
    double each = w->pool->op->family == CP_POWER ? 4.0 : 0.8;
    return planes * each * (sources + targets * taps);
}

static void plan_next(cp_window *w, const cp_pool *pool, cp_task task, cp_cost *cost)
{
    cp_window_plan(w, pool, task);
    cost->per_worker = w->bytes > cost->per_worker ? w->bytes : cost->per_worker;
    cost->nanoseconds += task_nanoseconds(w);
    if (task == CP_TASK_EXPONENT_GRADIENT) {
        cost->shared = cp_round_up((size_t)(cp_layout_planes(&w->layout) * w->blocks) * sizeof(double));
    } else if (pool->op->family == CP_SAMPLE) {
        cost->shared = cp_places_bytes_for_all(pool);
    }
}

/* The tasks of a direction, planned; returns how many. */
static int plan_tasks(cp_window windows[2], const cp_pool *pool, int32_t direction, cp_cost *cost)
{
    int n = 0;
    *cost = (cp_cost){0, 0, 0};
    if (direction == CPOOL_FORWARD) {
        plan_next(&windows[n++], pool, CP_TASK_POOL, cost);
        return n;
    }
    if (pool->grad[CPOOL_X] != NULL) {
        plan_next(&windows[n++], pool, CP_TASK_INPUT_GRADIENT, cost);
    }
    if (pool->grad[CPOOL_P] != NULL) {
        plan_next(&windows[n++], pool, CP_TASK_EXPONENT_GRADIENT, cost);
    }
    return n;
}

/* Sums of squares of floats, in float: what is left for the plan is what float cannot hold. */
static int plan_squares(cp_weighted *squares, const cp_pool *pool, int32_t direction, cp_cost *cost)
{
    if (direction != CPOOL_FORWARD || pool->op->code != CPOOL_LP || !cp_weighted_plan(squares, pool)) {
        return 0;
    }
    cp_cost own = cp_weighted_cost(squares);
    cost->per_worker = own.per_worker > cost->per_worker ? own.per_worker : cost->per_worker;
    return 1;
}

cp_cost cp_window_cost(const cp_pool *pool, int32_t direction)
{
    cp_window windows[2];
    cp_weighted squares;
    cp_quick quick;
    cp_cost cost;
    if (cp_quick_plan(&quick, pool, direction)) {
        return quick.cost;
    }
    (void)plan_tasks(windows, pool, direction, &cost);
    (void)plan_squares(&squares, pool, direction, &cost);
    return cost;
}

cpool_status cp_window_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_quick quick;
    if (cp_quick_plan(&quick, pool, direction)) {
        return cp_quick_run(&quick, exec);
    }
    cp_window windows[2];
    cp_weighted squares;
    cp_engine engine;
    cp_cost cost;
    int n = plan_tasks(windows, pool, direction, &cost), by_squares = plan_squares(&squares, pool, direction, &cost);
    cpool_status status = cp_engine_take(&engine, exec, cost);
    if (status == CPOOL_OK && by_squares && cp_weighted_takes_exponent(&squares)) {
        n = windows[0].mends = cp_weighted_run(&squares, &engine);
    }
    for (int i = 0; i < n && status == CPOOL_OK; i++) {
        cp_window *w = &windows[i];
        w->engine = &engine;
        w->partials = (double *)(void *)cp_engine_shared(&engine);
        cp_places_for_all(w->axis, pool, cp_engine_shared(&engine));
        cp_engine_run(&engine, w->units, task_nanoseconds(w), run_units, w);
        if (w->task == CP_TASK_EXPONENT_GRADIENT) {
            reduce_exponent_gradient(w);
        }
    }
    return status;
}
