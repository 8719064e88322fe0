#include <string.h>

#include "drive/norm.h"
#include "dtype/list.h"
#include "integers.h"

/* Elements. A segment ends where a sum of doubles in 16 lanes, or a lane's own, has had 512 terms; a job of several cells is of
 * 256 KB of floats; sums are shared out from 2^18 on. */
enum {
    CHAIN = 512,
    SEGMENT = CHAIN * CP_SUM_LANES,
    JOB = 1 << 16,
    CHUNK = 1 << 18,
    MOST_CHUNKS = 16,
    MOST_SLICES = 256,
    STAGE = 1024
};
/* How far ahead arrays are prefetched that are larger than a cache (bytes). */
enum { NEAR = 1 << 20, BYTES_AHEAD = 2048, ROWS_AHEAD = 8 };
/* Two jobs of so many elements are at hand at a time. */
enum { MOST_PAIRED = 1 << 16 };
/* Fewer channels than these lanes have some rows together, each in lanes of its own. */
enum { ENOUGH_LANES = 32, MOST_TOGETHER = 16 };
enum { CONSTANTS = 6 }; /* of a tile */
enum { MOST_CELLS_ALONG = 128, MOST_CELLS_ACROSS = 1024 };
enum { GROUP_ARRAYS = sizeof(cp_norm_groups) / sizeof(double *) };

static int64_t magnitude(int64_t step)
{
    return step < 0 ? -step : step;
}

/* ---- Axes ---- */

/* By division: a product of lengths of one and strides of another may overflow. */
static int continues(const cp_norm_axis *outer, const cp_norm_axis *inner, int without_out)
{
    for (int g = 0; g < CP_NORM_GRIDS; g++) {
        if (without_out && g == CP_NORM_OUT) {
            continue;
        }
        if (inner->length == 0 || outer->step[g] % inner->length != 0 || outer->step[g] / inner->length != inner->step[g]) {
            return 0;
        }
    }
    return 1;
}

static void push(cp_norm_axis *axes, int32_t *count, const cp_norm_axis *axis, int without_out)
{
    if (axis->length == 1) {
        return;
    }
    if (*count > 0 && continues(&axes[*count - 1], axis, without_out)) {
        int64_t length = axes[*count - 1].length * axis->length;
        axes[*count - 1] = *axis;
        axes[*count - 1].length = length;
        return;
    }
    axes[(*count)++] = *axis;
}

static void remove_axis(cp_norm_axis *axes, int32_t *count, int32_t at)
{
    (*count)--;
    memmove(axes + at, axes + at + 1, (size_t)(*count - at) * sizeof *axes);
}

static void take_axes(cp_norm_walk *w, const cp_norm *norm)
{
    int64_t strides[CP_NORM_PLACE][CPOOL_MAX_NDIM] = {{0}}, place = 1, places[CPOOL_MAX_NDIM] = {0};
    const cp_args *args = &norm->args;
    const cpool_view *views[CP_NORM_PLACE] = {args->array[CPOOL_X], args->grad[CPOOL_Y],
                                              w->direction == CPOOL_FORWARD ? args->array[CPOOL_Y] : args->grad[CPOOL_X]};
    int64_t item = norm->dtype == CP_DTYPE_f64 ? 8 : 4;
    for (int g = 0; g < CP_NORM_PLACE; g++) {
        w->used[g] = views[g] != NULL;
        w->data[g] = views[g] != NULL ? views[g]->data : NULL;
        if (views[g] != NULL) {
            cp_view_strides(views[g], strides[g]);
        }
    }
    for (int32_t i = norm->reduced_count; norm->per_element && i-- > 0;) {
        places[norm->reduced[i]] = place;
        place *= norm->x_shape[norm->reduced[i]];
    }
    w->kept_count = w->sum.reduced_count = w->use.reduced_count = 0;
    w->cell = (cp_norm_axis){1, {item, item, item, 1}};
    for (int32_t i = 0; i < norm->kept_count + norm->reduced_count; i++) {
        int kept = i < norm->kept_count;
        int32_t a = kept ? norm->kept[i] : norm->reduced[i - norm->kept_count];
        cp_norm_axis axis = {norm->x_shape[a], {strides[0][a], strides[1][a], strides[2][a], places[a]}};
        if (a == norm->channel) {
            w->cell = axis;
            w->cell.step[CP_NORM_PLACE] = 1;
        } else if (kept) {
            push(w->kept, &w->kept_count, &axis, 0);
        } else {
            push(w->sum.reduced, &w->sum.reduced_count, &axis, 1);
            push(w->use.reduced, &w->use.reduced_count, &axis, 0);
        }
    }
    if (norm->per_element && w->kept_count > 0) {
        w->cell = w->kept[--w->kept_count];
    }
}

static int32_t closest_axis(const cp_norm_path *path)
{
    int32_t closest = -1;
    for (int32_t i = 0; i < path->reduced_count; i++) {
        if (closest < 0 || magnitude(path->reduced[i].step[0]) < magnitude(path->reduced[closest].step[0])) {
            closest = i;
        }
    }
    return closest;
}

/* Lanes are what lies closest together in x. Never samples: a batch of one would be
 * summed in another order than one of many. */
static void choose_kind(cp_norm_walk *w, const cp_norm *norm)
{
    int32_t closest = closest_axis(&w->sum);
    int across = w->cell.length > 1 && (closest < 0 || magnitude(w->cell.step[0]) < magnitude(w->sum.reduced[closest].step[0]));
    w->kind = norm->per_element ? CP_LAYER : across ? CP_ACROSS : CP_ALONG;
    w->together = 1;
    while (w->kind == CP_ACROSS && w->together < MOST_TOGETHER && w->cell.length * w->together < ENOUGH_LANES) {
        w->together *= 2;
    }
}

static void choose_lanes(const cp_norm_walk *w, cp_norm_path *path)
{
    int64_t item = w->norm->dtype == CP_DTYPE_f64 ? 8 : 4;
    /* Parameters by element lie side by side along the last axis. */
    int32_t at = w->kind == CP_LAYER ? path->reduced_count - 1 : w->kind == CP_ALONG ? closest_axis(path) : -1;
    path->lane = (cp_norm_axis){1, {item, item, item, 1}};
    if (at >= 0) {
        path->lane = path->reduced[at];
        remove_axis(path->reduced, &path->reduced_count, at);
    }
    const cp_norm_axis *lanes = w->kind == CP_ACROSS ? &w->cell : &path->lane;
    path->staged = 0;
    for (int g = 0; g < CP_NORM_PLACE; g++) {
        int read = w->used[g] && (g != CP_NORM_OUT || path == &w->use);
        path->staged |= read && lanes->length > 1 && lanes->step[g] != item;
    }
}

/* ---- Tasks ---- */

static void choose_tasks(cp_norm_walk *w, const cp_norm *norm)
{
    const cp_args *args = &norm->args;
    int32_t stage = norm->params.stage;
    w->parameters = args->grad[CPOOL_WEIGHT] != NULL || args->grad[CPOOL_BIAS] != NULL;
    if (w->direction == CPOOL_FORWARD) {
        w->sums = !norm->constant && stage != CPOOL_STAGE_APPLY;
        w->apply = stage != CPOOL_STAGE_STATS;
    } else {
        w->apply = args->grad[CPOOL_X] != NULL;
        w->sums = stage == CPOOL_STAGE_SUMS ||
                  (stage == CPOOL_STAGE_ALL && ((w->apply && !norm->constant) || (w->parameters && w->kind != CP_LAYER)));
    }
}

/* ---- Blocks and jobs ---- */

static int64_t count_of(const cp_norm_axis *axes, int32_t n)
{
    int64_t count = 1;
    for (int32_t i = 0; i < n; i++) {
        count *= axes[i].length;
    }
    return count;
}

static void cut_blocks(const cp_norm_walk *w, cp_norm_path *path)
{
    int across = w->kind == CP_ACROSS;
    int64_t length = path->lane.length;
    path->rows = count_of(path->reduced, path->reduced_count);
    path->segment = across ? 0 : cp_min64(length, SEGMENT);
    path->segments = path->segment == 0 ? 1 : cp_ceil_div(length, path->segment);
    path->block_rows = across               ? CHAIN * w->together
                       : path->segments > 1 ? 1
                                            : CHAIN / cp_max64(1, cp_ceil_div(path->segment, CP_SUM_LANES));
    if (!w->sums && w->kind == CP_ALONG) {
        path->block_rows = 1;
    }
    path->blocks = path->segments > 1 ? path->rows * path->segments : cp_ceil_div(path->rows, path->block_rows);
    path->blocks = length == 0 ? 0 : path->blocks;
}

static void cut_jobs(cp_norm_walk *w, const cp_norm *norm)
{
    int across = w->kind == CP_ACROSS, arrays = w->direction == CPOOL_FORWARD ? 1 : 2;
    w->outer = count_of(w->kept, w->kept_count);
    w->cells = w->outer * w->cell.length;
    w->each = across ? w->sum.rows : w->sum.rows * w->sum.lane.length;
    int64_t fit = JOB / arrays / cp_max64(w->each, 1);
    w->tile = across ? MOST_CELLS_ACROSS : cp_max64(1, cp_min64(fit, MOST_CELLS_ALONG));
    if (!w->sums && w->kind == CP_ALONG) { /* nothing is read twice: jobs as long as they lie in memory */
        w->tile = cp_max64(1, JOB / cp_max64(w->use.lane.length, 1));
    }
    int64_t members = cp_max64(norm->members, 1); /* none where there are no channels */
    w->tile = cp_max64(members, w->tile / members * members);
    w->tile = cp_min64(w->tile, cp_max64(w->cell.length, 1));
    w->tiles = cp_ceil_div(w->cell.length, w->tile);
    w->jobs = w->outer * w->tiles;
    double size = (double)w->tile * (double)w->each / CHUNK;
    w->chunks = !w->sums ? 1 : size > MOST_CHUNKS ? MOST_CHUNKS : cp_max64(1, (int64_t)size);
    w->chunks = cp_max64(1, cp_min64(w->chunks, w->sum.blocks));
}

/* A job that is small beside a cache leaves room for another. */
static int slots_of(const cp_norm_walk *w)
{
    int64_t arrays = w->direction == CPOOL_FORWARD ? 1 : 2;
    return w->fused && w->apply && w->kind != CP_ACROSS && w->jobs > 1 && w->tile * w->each * arrays <= MOST_PAIRED ? 2 : 1;
}

static void choose_phases(cp_norm_walk *w)
{
    w->fused = w->sums && w->chunks == 1;
    w->ranges = w->jobs;
    if (w->parameters && w->kind == CP_LAYER) {
        double size = (double)w->cells * (double)w->each / CHUNK;
        w->ranges = size > MOST_CHUNKS ? MOST_CHUNKS : cp_max64(1, (int64_t)size);
        w->ranges = cp_max64(1, cp_min64(w->ranges, w->jobs));
    }
    w->slots = slots_of(w);
}

/* ---- Workspace ---- */

static size_t doubles(int64_t n)
{
    return cp_row_bytes(n, sizeof(double));
}

static int64_t share_count(const cp_norm_walk *w)
{
    return !w->parameters ? 0 : w->kind == CP_LAYER ? w->ranges * 2 * w->norm->parameters : 2 * w->cells;
}

static double *carve(char **memory, int64_t n)
{
    double *at = (double *)(void *)*memory;
    *memory += doubles(n);
    return at;
}

static void carve_groups(cp_norm_groups *g, char **memory, int64_t n)
{
    double **arrays[GROUP_ARRAYS] = {&g->base, &g->mean,  &g->rest,   &g->m2, &g->center, &g->low,
                                     &g->rstd, &g->scale, &g->offset, &g->a,  &g->b,      &g->c};
    for (int i = 0; i < GROUP_ARRAYS; i++) {
        *arrays[i] = carve(memory, n);
    }
}

cp_norm_groups cp_norm_groups_at(const cp_norm_groups *g, int64_t n)
{
    return (cp_norm_groups){g->base + n, g->mean + n,  g->rest + n,   g->m2 + n, g->center + n, g->low + n,
                            g->rstd + n, g->scale + n, g->offset + n, g->a + n,  g->b + n,      g->c + n};
}

static int64_t sum_lanes(const cp_norm_walk *w)
{
    return !w->sums || w->kind == CP_ACROSS ? 0 : w->tile * CP_SUM_ROWS * CP_SUM_LANES;
}

static int64_t stage_size(const cp_norm_walk *w)
{
    return w->sum.staged || w->use.staged ? CP_NORM_PLACE * STAGE : 0;
}

static int64_t repeated_size(const cp_norm_walk *w)
{
    return w->together > 1 ? CONSTANTS * w->tile * w->together : 0;
}

static double nanoseconds(const cp_norm_walk *w)
{
    double each =
        w->direction == CPOOL_FORWARD ? 0.2 * w->sums + 0.3 * w->apply : 0.4 * w->sums + 0.4 * w->apply + 0.4 * w->parameters;
    return (double)w->cells * (double)w->each * each * (w->sum.staged || w->use.staged ? 6 : 1);
}

cp_cost cp_norm_walk_plan(cp_norm_walk *w, const cp_norm *norm, int32_t direction)
{
    cp_cost cost;
    int64_t item = norm->dtype == CP_DTYPE_f64 ? 8 : 4;
    w->norm = norm;
    w->direction = direction;
    take_axes(w, norm);
    choose_kind(w, norm);
    choose_tasks(w, norm);
    choose_lanes(w, &w->sum);
    choose_lanes(w, &w->use);
    cut_blocks(w, &w->sum);
    cut_blocks(w, &w->use);
    cut_jobs(w, norm);
    choose_phases(w);
    double bytes = (double)w->cells * (double)w->each * (double)item;
    w->far = bytes >= NEAR;

    int64_t cells = w->fused ? 0 : w->cells, parameters = norm->parameters;
    cost.per_worker = doubles(CP_SUM_ROWS * w->tile * w->together) + doubles(w->tile * w->together) + doubles(sum_lanes(w)) +
                      doubles(stage_size(w)) + doubles(repeated_size(w)) +
                      (w->fused ? (size_t)w->slots * GROUP_ARRAYS * doubles(w->tile) : 0);
    cost.shared = 2 * doubles(parameters) + GROUP_ARRAYS * doubles(cells) + doubles((w->chunks - 1) * 3 * cells) +
                  doubles(share_count(w)) + doubles(w->parameters ? 2 * parameters : 0);
    cost.nanoseconds = nanoseconds(w);
    return cost;
}

void cp_norm_walk_bind(cp_norm_walk *w, const cp_engine *engine)
{
    const cp_norm *norm = w->norm;
    char *memory = cp_engine_shared(engine);
    int64_t cells = w->fused ? 0 : w->cells;
    w->engine = engine;
    w->weight = carve(&memory, norm->parameters);
    w->bias = carve(&memory, norm->parameters);
    carve_groups(&w->groups, &memory, cells);
    w->partials = carve(&memory, (w->chunks - 1) * 3 * cells);
    w->shares = carve(&memory, share_count(w));
    w->totals = carve(&memory, w->parameters ? 2 * norm->parameters : 0);
}

void cp_norm_work_bind(cp_norm_work *work, const cp_norm_walk *w, int worker)
{
    char *memory = cp_engine_worker(w->engine, worker);
    work->walk = w;
    work->sums = carve(&memory, CP_SUM_ROWS * w->tile * w->together);
    work->shift = carve(&memory, w->tile * w->together);
    work->lanes = carve(&memory, sum_lanes(w));
    work->stage = carve(&memory, stage_size(w));
    work->repeated = carve(&memory, repeated_size(w));
    for (int slot = 0; slot < w->slots && w->fused; slot++) {
        carve_groups(&work->groups[slot], &memory, w->tile);
    }
}

/* ---- Walking ---- */

cp_norm_job cp_norm_job_at(const cp_norm_walk *w, int64_t index)
{
    cp_norm_job job = {index / w->tiles, index % w->tiles * w->tile, 0, (int)(index % w->slots)};
    job.count = cp_min64(w->tile, w->cell.length - job.cell);
    return job;
}

typedef struct block_range {
    int64_t row, rows, lane, lanes;
} block_range;

static block_range range_of(const cp_norm_walk *w, const cp_norm_path *path, int64_t block)
{
    block_range r = {block / path->segments * path->block_rows, 0, block % path->segments * path->segment, 1};
    r.rows = cp_min64(path->block_rows, path->rows - r.row);
    r.lanes = w->kind == CP_ACROSS ? 1 : cp_min64(path->segment, path->lane.length - r.lane);
    return r;
}

int64_t cp_norm_block_elements(const cp_norm_walk *w, int64_t block)
{
    block_range r = range_of(w, &w->sum, block);
    return r.rows * r.lanes;
}

/* Adds where element `index` of the axes is, in every grid. */
static void add_offset(const cp_norm_axis *axes, int32_t count, int64_t index, int64_t *offset)
{
    for (int32_t i = count; i-- > 0;) {
        int64_t at = index % axes[i].length;
        index /= axes[i].length;
        for (int g = 0; g < CP_NORM_GRIDS; g++) {
            offset[g] += at * axes[i].step[g];
        }
    }
}

static void offset_of(const cp_norm_walk *w, const cp_norm_job *job, int64_t *offset)
{
    for (int g = 0; g < CP_NORM_GRIDS; g++) {
        offset[g] = job->cell * w->cell.step[g];
    }
    offset[CP_NORM_PLACE] = 0;
    add_offset(w->kept, w->kept_count, job->outer, offset);
}

void cp_norm_first_elements(const cp_norm_walk *w, const cp_norm_job *job, int64_t block, double *to)
{
    int64_t offset[CP_NORM_GRIDS];
    block_range r = range_of(w, &w->sum, block);
    offset_of(w, job, offset);
    add_offset(w->sum.reduced, w->sum.reduced_count, r.row, offset);
    const char *first = w->data[CP_NORM_X] + offset[CP_NORM_X] + r.lane * w->sum.lane.step[CP_NORM_X];
    w->engine->kernels->lane[CP_LANE_f64]->load[w->norm->dtype](to, first, job->count, w->cell.step[CP_NORM_X], 1, 0);
}

static const cp_norm_path *path_of(const cp_norm_walk *w, int task)
{
    return task < CP_NORM_APPLY ? &w->sum : &w->use;
}

/* Makes a tile begin with another of its constants. */
static void skip_constants(cp_norm_tile *t, int64_t n)
{
    const double **constants[CONSTANTS] = {&t->center, &t->scale, &t->offset, &t->a, &t->b, &t->c};
    for (int i = 0; i < CONSTANTS; i++) {
        *constants[i] = *constants[i] != NULL ? *constants[i] + n : NULL;
    }
}

void cp_norm_repeat(const cp_norm_work *work, cp_norm_tile *t, int64_t n)
{
    const double **constants[CONSTANTS] = {&t->center, &t->scale, &t->offset, &t->a, &t->b, &t->c};
    int64_t together = work->walk->together;
    for (int i = 0; i < CONSTANTS && together > 1; i++) {
        double *to = work->repeated + i * n * together;
        for (int64_t k = 0; k < together && *constants[i] != NULL; k++) {
            memcpy(to + k * n, *constants[i], (size_t)n * sizeof *to);
        }
        *constants[i] = *constants[i] != NULL ? to : NULL;
    }
}

/* Rows whose lanes lie apart pass through scratch as doubles, some lanes at a time; a sum
 * along a row goes on from piece to piece. */
static void run_staged(const cp_norm_work *work, int task, const cp_norm_tile *whole)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm_path *path = path_of(w, task);
    const int64_t *lane_step = whole->kind == CP_ACROSS ? w->cell.step : path->lane.step;
    const cp_lane_kernels *rows = w->engine->kernels->lane[CP_LANE_f64];
    int across = whole->kind == CP_ACROSS, per_lane = across || task == CP_NORM_PARAMETERS;
    double *x = work->stage, *dy = x + STAGE, *out = dy + STAGE;
    for (int64_t row = 0; row < whole->rows; row++) {
        for (int64_t lane = 0; lane < whole->lanes; lane += STAGE) {
            cp_norm_tile t = *whole;
            int64_t constant = across ? lane : row;
            t.begins = whole->begins && (across ? row : lane) == 0;
            t.dtype = CP_DTYPE_f64;
            t.rows = 1;
            t.lanes = cp_min64(STAGE, whole->lanes - lane);
            t.x_ahead = t.out_ahead = 0;
            skip_constants(&t, constant);
            t.weight = t.weight != NULL ? t.weight + lane : NULL;
            t.bias = t.bias != NULL ? t.bias + lane : NULL;
            t.sum = t.sum == NULL ? NULL : t.sum + (per_lane ? lane : row * CP_SUM_ROWS * CP_SUM_LANES);
            rows->load[whole->dtype](x, whole->x + row * whole->x_step + lane * lane_step[CP_NORM_X], t.lanes,
                                     lane_step[CP_NORM_X], 1, 0);
            t.x = (const char *)x;
            if (whole->dy != NULL && task != CP_NORM_MOMENTS && task != CP_NORM_EXACT) {
                rows->load[whole->dtype](dy, whole->dy + row * whole->dy_step + lane * lane_step[CP_NORM_DY], t.lanes,
                                         lane_step[CP_NORM_DY], 1, 0);
                t.dy = (const char *)dy;
            }
            t.out = (char *)out;
            w->engine->kernels->norm->tile[task](&t);
            if (task >= CP_NORM_APPLY) {
                rows->store[whole->dtype](whole->out + row * whole->out_step + lane * lane_step[CP_NORM_OUT], out, t.lanes,
                                          lane_step[CP_NORM_OUT], 1, 0);
            }
        }
    }
}

int cp_norm_tile_at(const cp_norm_work *work, const cp_norm_job *job, int64_t block, int task, int64_t *row, cp_norm_tile *t)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm_path *path = path_of(w, task);
    const cp_norm_axis one = {1, {0, 0, 0, 0}}, *rows = &w->cell;
    int64_t offset[CP_NORM_GRIDS];
    block_range r = range_of(w, path, block);
    t->row = *row;
    offset_of(w, job, offset);
    add_offset(path->reduced, path->reduced_count, r.row + *row, offset);
    if (w->kind == CP_ACROSS) {
        rows = path->reduced_count > 0 ? &path->reduced[path->reduced_count - 1] : &one;
        t->rows = cp_min64(rows->length - (r.row + *row) % rows->length, r.rows - *row);
        t->lanes = job->count;
        *row += t->rows;
    } else {
        t->rows = job->count;
        t->lanes = r.lanes;
        for (int g = 0; g < CP_NORM_GRIDS; g++) {
            offset[g] += r.lane * path->lane.step[g];
        }
        *row += 1;
    }
    t->x = w->data[CP_NORM_X] + offset[CP_NORM_X];
    t->dy = w->data[CP_NORM_DY] != NULL ? w->data[CP_NORM_DY] + offset[CP_NORM_DY] : NULL;
    t->out = w->data[CP_NORM_OUT] != NULL ? w->data[CP_NORM_OUT] + offset[CP_NORM_OUT] : NULL;
    t->x_step = rows->step[CP_NORM_X];
    t->dy_step = rows->step[CP_NORM_DY];
    t->out_step = rows->step[CP_NORM_OUT];
    if (w->far) {
        t->x_ahead = w->kind == CP_ACROSS ? ROWS_AHEAD * t->x_step : BYTES_AHEAD;
        t->out_ahead = 2 * BYTES_AHEAD;
    }
    if (w->kind == CP_LAYER) {
        t->weight = w->weight != NULL ? w->weight + offset[CP_NORM_PLACE] : NULL;
        t->bias = w->bias != NULL ? w->bias + offset[CP_NORM_PLACE] : NULL;
        t->sum = task == CP_NORM_PARAMETERS ? t->sum + offset[CP_NORM_PLACE] : t->sum;
    }
    return *row == r.rows;
}

static void run_tile(const cp_norm_work *work, int task, const cp_norm_tile *t)
{
    if (path_of(work->walk, task)->staged) {
        run_staged(work, task, t);
    } else {
        work->walk->engine->kernels->norm->tile[task](t);
    }
}

/* Some rows of a tile, `step` apart, from row `from` on; `side_by_side` of each lie together. */
static void run_rows(const cp_norm_work *work, int task, const cp_norm_tile *whole, int64_t from, int64_t rows, int64_t step,
                     int64_t side_by_side)
{
    cp_norm_tile t = *whole;
    int64_t lane = (whole->row + from) % work->walk->together * whole->lanes;
    t.x += from * t.x_step;
    t.dy = t.dy != NULL ? t.dy + from * t.dy_step : NULL;
    t.out = t.out != NULL ? t.out + from * t.out_step : NULL;
    t.sum = t.sum != NULL ? t.sum + lane : NULL;
    t.rows = rows;
    t.lanes *= side_by_side;
    t.x_step *= step;
    t.dy_step *= step;
    t.out_step *= step;
    t.x_ahead = t.x_ahead != 0 ? BYTES_AHEAD : 0;
    if (rows > 0) {
        run_tile(work, task, &t);
    }
}

/* Rows of few channels, each in the lanes that it has of those together. */
static void run_together(const cp_norm_work *work, int task, const cp_norm_tile *t)
{
    int64_t together = work->walk->together, row = t->lanes * (t->dtype == CP_DTYPE_f64 ? 8 : 4);
    int packed = t->x_step == row && (t->dy == NULL || t->dy_step == row) && (task < CP_NORM_APPLY || t->out_step == row);
    if (packed && !path_of(work->walk, task)->staged) {
        int64_t first = cp_min64(t->rows, (together - t->row % together) % together), whole = (t->rows - first) / together;
        int64_t last = t->rows - first - whole * together;
        run_rows(work, task, t, 0, first > 0, 1, first);
        run_rows(work, task, t, first, whole, together, together);
        run_rows(work, task, t, t->rows - last, last > 0, 1, last);
    } else {
        for (int64_t from = 0; from < cp_min64(together, t->rows); from++) {
            run_rows(work, task, t, from, cp_ceil_div(t->rows - from, together), together, 1);
        }
    }
}

void cp_norm_tile_run(const cp_norm_work *work, int task, cp_norm_tile *t, int64_t rows)
{
    int64_t behind = t->rows - rows;
    t->rows = rows;
    if (work->walk->together > 1) {
        run_together(work, task, t);
    } else {
        run_tile(work, task, t);
    }
    t->rows = behind;
    if (behind > 0) {
        t->x += rows * t->x_step;
        t->dy = t->dy != NULL ? t->dy + rows * t->dy_step : NULL;
        t->out = t->out != NULL ? t->out + rows * t->out_step : NULL;
        t->sum = t->sum != NULL ? t->sum + rows * CP_SUM_ROWS * CP_SUM_LANES : NULL;
        skip_constants(t, rows);
    }
}
