#include "drive/norm.h"

#include <string.h>

#include "dtype/list.h"

/* Elements of a piece of a job, where two take turns. */
enum { PIECE = 2048 };

/* ---- Arrays of parameters and statistics ---- */

/* A view by the number of an element; in C order, as they nearly always are, that takes no division. */
typedef struct cp_flat {
    const cpool_view *view;
    int64_t packed; /* bytes from one to the next, 0: not in C order */
} cp_flat;

static cp_flat flat_of(const cpool_view *view)
{
    int64_t strides[CPOOL_MAX_NDIM], item = view != NULL ? view->dtype_bits / 8 : 0, step = item;
    cp_flat flat = {view, item};
    if (view == NULL) {
        return flat;
    }
    cp_view_strides(view, strides);
    for (int32_t d = view->ndim; d-- > 0;) {
        flat.packed = view->shape[d] == 1 || strides[d] == step ? flat.packed : 0;
        step *= view->shape[d];
    }
    return flat;
}

static char *element_of(cp_flat flat, int64_t i)
{
    int64_t strides[CPOOL_MAX_NDIM];
    char *at = flat.view->data;
    if (flat.packed != 0) {
        return i == 0 ? at : at + i * flat.packed; /* at may be NULL, of nothing */
    }
    cp_view_strides(flat.view, strides);
    for (int32_t d = flat.view->ndim; d-- > 0; i /= flat.view->shape[d]) {
        at += i % flat.view->shape[d] * strides[d];
    }
    return at;
}

static double get(cp_flat flat, int64_t i)
{
    return flat.view->dtype_bits == 32 ? cp_read_f32(element_of(flat, i)) : cp_read_f64(element_of(flat, i));
}

static void put(cp_flat flat, int64_t i, double value)
{
    if (flat.view->dtype_bits == 32) {
        cp_write_f32(element_of(flat, i), value);
    } else {
        cp_write_f64(element_of(flat, i), value);
    }
}

/* The n numbers from i on, as doubles. */
static void get_all(const cp_norm_walk *w, cp_flat flat, int64_t i, int64_t n, double *to)
{
    int dtype = flat.view->dtype_bits == 32 ? CP_DTYPE_f32 : CP_DTYPE_f64;
    if (flat.packed != 0) {
        w->engine->kernels->lane[CP_LANE_f64]->load[dtype](to, element_of(flat, i), n, flat.packed, 1, 0);
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        to[k] = get(flat, i + k);
    }
}

static void put_all(const cp_norm_walk *w, cp_flat flat, int64_t i, int64_t n, const double *from)
{
    int dtype = flat.view->dtype_bits == 32 ? CP_DTYPE_f32 : CP_DTYPE_f64;
    if (flat.packed != 0) {
        w->engine->kernels->lane[CP_LANE_f64]->store[dtype](element_of(flat, i), from, n, flat.packed, 1, 0);
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        put(flat, i + k, from[k]);
    }
}

static void clear(double *at, int64_t n)
{
    memset(at, 0, (size_t)n * sizeof *at);
}

/* ---- Cells ---- */

/* First cell of a job among all, and its groups: those that the job has for itself, or those of all. */
static int64_t first_cell(const cp_norm_walk *w, const cp_norm_job *job)
{
    return job->outer * w->cell.length + job->cell;
}

static cp_norm_groups groups_of(const cp_norm_work *work, const cp_norm_job *job)
{
    const cp_norm_walk *w = work->walk;
    return w->fused ? work->groups[job->slot] : cp_norm_groups_at(&w->groups, first_cell(w, job));
}

/* The group of a job's first cell, as its number in the arrays of statistics; jobs hold whole groups. */
static int64_t first_group(const cp_norm_walk *w, const cp_norm_job *job)
{
    return first_cell(w, job) / w->norm->members;
}

static const double *of_channels(const cp_norm_walk *w, const double *parameter, const cp_norm_job *job)
{
    return parameter == NULL || w->kind == CP_LAYER ? NULL : parameter + job->cell;
}

/* Of arrays [.., groups], for every cell of a job what row `row` says of its group; 0 where there is no array. */
static void read_groups(const cp_norm_walk *w, const cp_norm_job *job, cp_flat flat, int64_t row, double *to)
{
    int64_t first = row * w->norm->groups + first_group(w, job), members = w->norm->members;
    if (flat.view == NULL) {
        clear(to, job->count);
    } else if (members == 1) {
        get_all(w, flat, first, job->count, to);
    } else {
        for (int64_t i = 0; i < job->count; i++) {
            to[i] = get(flat, first + i / members);
        }
    }
}

/* The other way round: of every group what its first cell has. */
static void write_groups(const cp_norm_walk *w, const cp_norm_job *job, cp_flat flat, int64_t row, const double *from)
{
    int64_t first = row * w->norm->groups + first_group(w, job), members = w->norm->members;
    if (members == 1) {
        put_all(w, flat, first, job->count, from);
        return;
    }
    for (int64_t i = 0; i < job->count; i += members) {
        put(flat, first++, from[i]);
    }
}

/* What the cells of a job start from, before any sum. */
static void prepare(const cp_norm_work *work, const cp_norm_job *job)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm *norm = w->norm;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    const cpool_view *const *array = norm->args.array;
    cp_flat stats = flat_of(w->direction == CPOOL_BACKWARD ? array[CPOOL_STATS] : NULL);
    cp_flat sums = flat_of(w->sums ? NULL : array[CPOOL_SUMS]), moments = flat_of(w->sums ? NULL : array[CPOOL_MOMENTS]);
    cp_flat mean = flat_of(array[CPOOL_MU]), var = flat_of(array[CPOOL_VAR]);
    cp_norm_groups g = groups_of(work, job);
    if (w->direction == CPOOL_FORWARD && w->sums) {
        if (norm->with_mean && w->each > 0) {
            cp_norm_first_elements(w, job, 0, g.base);
        } else {
            clear(g.base, job->count);
        }
        return;
    }
    read_groups(w, job, sums, 1, g.mean);
    read_groups(w, job, sums, 2, g.m2);
    if (stats.view != NULL) {
        read_groups(w, job, stats, 0, g.center);
        read_groups(w, job, stats, 1, g.low);
        read_groups(w, job, stats, 2, g.rstd);
    } else {
        read_groups(w, job, moments.view != NULL ? moments : mean, moments.view != NULL, g.center);
        read_groups(w, job, moments, 3, g.low);
        read_groups(w, job, moments.view != NULL ? moments : var, moments.view != NULL ? 2 : 0, g.rstd);
        for (int64_t i = 0, group = first_group(w, job); i < job->count && moments.view != NULL; i++) {
            g.rstd[i] /= get(moments, group + i / norm->members);
        }
        kernels->rstd(g.rstd, job->count, norm->params.eps);
    }
    kernels->affine(&g, job->count, of_channels(w, w->weight, job), of_channels(w, w->bias, job));
}

static cp_norm_tile tile_of(const cp_norm_walk *w, const cp_norm_groups *g)
{
    cp_norm_tile t;
    memset(&t, 0, sizeof t);
    t.kind = w->kind;
    t.dtype = w->norm->dtype;
    t.relu = (w->norm->params.flags & CPOOL_RELU) != 0;
    t.floor = w->norm->dtype == CP_DTYPE_f64 ? 0 : 0x1p-150; /* half of the smallest float goes to 0, which is even */
    t.center = g->center;
    t.scale = g->scale;
    t.offset = g->offset;
    t.a = g->a;
    t.b = g->b;
    t.c = g->c;
    return t;
}

/* ---- Sums ---- */

/* Where the sums of a chunk go: those of the first to the groups themselves. */
static cp_norm_groups chunk_of(const cp_norm_work *work, const cp_norm_job *job, int64_t chunk)
{
    const cp_norm_walk *w = work->walk;
    cp_norm_groups g = groups_of(work, job);
    if (chunk > 0) {
        g.mean = w->partials + (chunk - 1) * 3 * w->cells + first_cell(w, job);
        g.rest = g.mean + w->cells;
        g.m2 = g.rest + w->cells;
    }
    return g;
}

/* What a task does to the blocks of a job, of which some are done. */
typedef struct sweep {
    const cp_norm_work *work;
    cp_norm_job job;
    int task;
    int64_t block, end, row; /* what comes next */
    int last;                /* part of the block */
    cp_norm_groups groups;
    cp_norm_tile tile, part; /* part: of the block, what is left of it */
    double before;           /* elements that have been summed */
} sweep;

static sweep begin_sums(const cp_norm_work *work, const cp_norm_job *job, int64_t chunk)
{
    const cp_norm_walk *w = work->walk;
    sweep s = {.work = work, .job = *job, .groups = chunk_of(work, job, chunk)};
    int forward = w->direction == CPOOL_FORWARD;
    s.task = !forward ? CP_NORM_SUMS : w->norm->dtype == CP_DTYPE_f64 ? CP_NORM_EXACT : CP_NORM_MOMENTS;
    s.block = chunk * w->sum.blocks / w->chunks;
    s.end = (chunk + 1) * w->sum.blocks / w->chunks;
    s.tile = tile_of(w, &s.groups);
    s.tile.sum = w->kind == CP_ACROSS ? work->sums : work->lanes;
    s.tile.sum_pitch = job->count * w->together;
    cp_norm_repeat(work, &s.tile, job->count);
    if (forward) {
        s.tile.center = work->shift;
    }
    clear(s.groups.mean, job->count);
    clear(s.groups.m2, job->count);
    clear(work->shift, job->count * w->together);
    return s;
}

static void begin_block(const sweep *s)
{
    const cp_norm_walk *w = s->work->walk;
    int64_t n = s->job.count;
    if (s->task != CP_NORM_SUMS && w->norm->with_mean) {
        cp_norm_first_elements(w, &s->job, s->block, s->work->shift);
        for (int64_t k = 1; k < w->together; k++) {
            memcpy(s->work->shift + k * n, s->work->shift, (size_t)n * sizeof(double));
        }
    }
    if (w->together > 1) { /* not every lane need have a term */
        clear(s->work->sums, CP_SUM_ROWS * n * w->together);
    }
}

static void end_block(sweep *s)
{
    const cp_norm_work *work = s->work;
    const cp_norm_walk *w = work->walk;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    int64_t n = s->job.count, pitch = n * w->together;
    int exact = s->task == CP_NORM_EXACT;
    if (w->kind != CP_ACROSS) {
        kernels->fold(work->lanes, work->sums, pitch, n, exact);
    } else {
        kernels->fold_across(work->sums, pitch, n, w->together, exact);
    }
    if (s->task != CP_NORM_SUMS) {
        double count = (double)cp_norm_block_elements(w, s->block);
        kernels->block(&s->groups, n, s->before, work->sums, pitch, work->shift, count, w->norm->with_mean, exact);
        s->before += count;
    } else {
        kernels->add(s->groups.mean, work->sums, NULL, n);
        kernels->add(s->groups.m2, work->sums + pitch, NULL, n);
    }
}

/* Goes on for about so many elements, at most to the end of a block. */
static void go_on(sweep *s, int64_t elements)
{
    int sums = s->task < CP_NORM_PARAMETERS;
    if (s->part.rows == 0) {
        if (sums && s->row == 0) {
            begin_block(s);
        }
        s->part = s->tile;
        s->part.begins = sums && s->task != CP_NORM_PARAMETERS && s->row == 0 && s->work->walk->together == 1;
        s->last = cp_norm_tile_at(s->work, &s->job, s->block, s->task, &s->row, &s->part);
    }
    int64_t rows = elements / s->part.lanes;
    rows = rows < 1 ? 1 : rows;
    cp_norm_tile_run(s->work, s->task, &s->part, rows < s->part.rows ? rows : s->part.rows);
    if (s->last && s->part.rows == 0) {
        if (sums) {
            end_block(s);
        }
        s->block++;
        s->row = 0;
    }
}

static void run_to_end(sweep *s)
{
    while (s->block < s->end) {
        go_on(s, INT64_MAX);
    }
}

static void join_chunks(const cp_norm_work *work, const cp_norm_job *job)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    cp_norm_groups g = groups_of(work, job);
    double before = 0;
    for (int64_t chunk = 0, block = 0; chunk < w->chunks; chunk++) {
        cp_norm_groups other = chunk_of(work, job, chunk);
        double count = 0;
        for (; block < (chunk + 1) * w->sum.blocks / w->chunks; block++) {
            count += (double)cp_norm_block_elements(w, block);
        }
        if (chunk > 0 && w->direction == CPOOL_FORWARD) {
            kernels->merge(&g, job->count, before, &other, count);
        } else if (chunk > 0) {
            kernels->add(g.mean, other.mean, NULL, job->count);
            kernels->add(g.m2, other.m2, NULL, job->count);
        }
        before += count;
    }
}

/* ---- From sums to constants ---- */

static void finish_forward(const cp_norm_work *work, const cp_norm_job *job)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm *norm = w->norm;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    cp_flat moments = flat_of(w->sums ? norm->args.array[CPOOL_MOMENTS] : NULL), stats = flat_of(norm->args.array[CPOOL_STATS]);
    cp_norm_groups g = groups_of(work, job);
    if (w->sums) {
        if (norm->members > 1) {
            kernels->unite(&g, job->count, norm->members, (double)w->each);
        }
        kernels->finish(&g, job->count, (double)norm->elements, norm->params.eps, norm->with_mean);
        kernels->affine(&g, job->count, of_channels(w, w->weight, job), of_channels(w, w->bias, job));
    }
    if (stats.view != NULL) {
        write_groups(w, job, stats, 0, g.center);
        write_groups(w, job, stats, 1, g.low);
        write_groups(w, job, stats, 2, g.rstd);
    }
    if (moments.view != NULL) {
        if (norm->elements == 0) { /* there is no mean to tell */
            clear(g.center, job->count);
            clear(g.m2, job->count);
            clear(g.low, job->count);
        }
        for (int64_t i = 0, group = first_group(w, job); i < job->count; i += norm->members) {
            put(moments, group++, (double)norm->elements);
        }
        write_groups(w, job, moments, 1, g.center);
        write_groups(w, job, moments, 2, g.m2);
        write_groups(w, job, moments, 3, g.low);
    }
}

static void finish_backward(const cp_norm_work *work, const cp_norm_job *job)
{
    const cp_norm_walk *w = work->walk;
    const cp_norm *norm = w->norm;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    cp_flat sums = flat_of(norm->args.array[CPOOL_SUMS]);
    const double *weight = of_channels(w, w->weight, job);
    int64_t first = first_cell(w, job), n = job->count;
    cp_norm_groups g = groups_of(work, job);
    if (w->sums) {
        kernels->recenter(&g, n);
    }
    for (int64_t i = 0; i < n && w->sums && sums.view != NULL; i++) {
        put(sums, first + i, (double)norm->elements);
        put(sums, norm->groups + first + i, g.mean[i]);
        put(sums, 2 * norm->groups + first + i, g.m2[i]);
    }
    if (w->parameters && w->kind != CP_LAYER) {
        double *shares = w->shares + first;
        memcpy(shares, g.mean, (size_t)n * sizeof(double));
        memset(shares + w->cells, 0, (size_t)n * sizeof(double));
        kernels->add(shares + w->cells, g.m2, g.rstd, n);
    }
    if (w->apply && !w->sums && sums.view != NULL) { /* of the whole batch, whose count may be any */
        for (int64_t i = 0; i < n; i++) {
            cp_norm_groups one = cp_norm_groups_at(&g, i);
            kernels->gradient(&one, 1, 1, weight != NULL ? weight + i : NULL, get(sums, first + i), norm->with_mean);
        }
    } else if (w->apply) {
        kernels->gradient(&g, n, norm->members, weight, (double)norm->elements, norm->with_mean);
    }
}

static void finish(const cp_norm_work *work, const cp_norm_job *job)
{
    if (work->walk->direction == CPOOL_FORWARD) {
        finish_forward(work, job);
    } else {
        finish_backward(work, job);
    }
}

/* ---- Results ---- */

static sweep begin_use(const cp_norm_work *work, const cp_norm_job *job, int64_t from, int64_t to)
{
    const cp_norm_walk *w = work->walk;
    sweep s = {.work = work, .job = *job, .block = from, .end = to, .groups = groups_of(work, job)};
    s.task = w->direction == CPOOL_FORWARD ? CP_NORM_APPLY : w->norm->constant ? CP_NORM_CONSTANT : CP_NORM_GRADIENT;
    s.tile = tile_of(w, &s.groups);
    cp_norm_repeat(work, &s.tile, job->count);
    return s;
}

/* Gradients of parameters by element: what the cells of a job add to those of their range. */
static void add_parameters(const cp_norm_work *work, const cp_norm_job *job, int64_t range)
{
    const cp_norm_walk *w = work->walk;
    sweep s = {.work = work, .job = *job, .task = CP_NORM_PARAMETERS, .end = w->sum.blocks, .groups = groups_of(work, job)};
    s.tile = tile_of(w, &s.groups);
    s.tile.sum = w->shares + range * 2 * w->norm->parameters;
    s.tile.sum_pitch = w->norm->parameters;
    run_to_end(&s);
}

/* Adds up the shares of cells, or of ranges, in order. */
static void write_parameters(const cp_norm_walk *w)
{
    const cp_norm *norm = w->norm;
    const cp_norm_kernels *kernels = w->engine->kernels->norm;
    cp_flat bias = flat_of(norm->args.grad[CPOOL_BIAS]), weight = flat_of(norm->args.grad[CPOOL_WEIGHT]);
    int64_t n = norm->parameters, layer = w->kind == CP_LAYER;
    memset(w->totals, 0, (size_t)(2 * n) * sizeof(double));
    for (int64_t i = 0; i < (layer ? w->ranges : w->outer); i++) {
        kernels->add(w->totals, layer ? w->shares + i * 2 * n : w->shares + i * n, NULL, n);
        kernels->add(w->totals + n, layer ? w->shares + (i * 2 + 1) * n : w->shares + w->cells + i * n, NULL, n);
    }
    for (int64_t i = 0; i < n; i++) {
        if (bias.view != NULL) {
            put(bias, i, w->totals[i]);
        }
        if (weight.view != NULL) {
            put(weight, i, w->totals[n + i]);
        }
    }
}

/* ---- Units ---- */

typedef void unit_body(const cp_norm_work *work, int64_t lo, int64_t hi);

typedef struct phase {
    const cp_norm_walk *walk;
    unit_body *body;
} phase;

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const phase *p = arg;
    cp_norm_work work;
    cp_norm_work_bind(&work, p->walk, worker);
    p->body(&work, lo, hi);
}

static void run_phase(const cp_norm_walk *w, unit_body *body, int64_t units, double share)
{
    phase p = {w, body};
    cp_engine_run(w->engine, units, share * w->engine->cost.nanoseconds, run_units, &p);
}

/* All of the jobs of a range: what is read for its sums is still in the cache when it is used. A piece of one job is used and a
 * piece of the next one summed in turn, so that memory is never idle. */
static void whole_units(const cp_norm_work *work, int64_t lo, int64_t hi)
{
    const cp_norm_walk *w = work->walk;
    sweep sums, use = {.work = work};
    for (int64_t unit = lo; unit < hi; unit++) {
        for (int64_t j = unit * w->jobs / w->ranges; j < (unit + 1) * w->jobs / w->ranges; j++) {
            cp_norm_job job = cp_norm_job_at(w, j);
            prepare(work, &job);
            sums = begin_sums(work, &job, 0);
            while (sums.block < sums.end && use.block < use.end) {
                go_on(&use, PIECE);
                go_on(&sums, PIECE);
            }
            run_to_end(&use);
            run_to_end(&sums);
            finish(work, &job);
            if (w->parameters && w->kind == CP_LAYER) { /* before dx takes the place of dy */
                add_parameters(work, &job, unit);
            }
            if (w->slots > 1) {
                use = begin_use(work, &job, 0, w->use.blocks);
            }
            for (int64_t block = w->slots > 1 || !w->apply ? 0 : w->use.blocks;
                 block-- > 0;) { /* what was read last is nearest */
                use = begin_use(work, &job, block, block + 1);
                run_to_end(&use);
            }
        }
    }
    run_to_end(&use);
}

static void sum_units(const cp_norm_work *work, int64_t lo, int64_t hi)
{
    const cp_norm_walk *w = work->walk;
    for (int64_t unit = lo; unit < hi; unit++) {
        cp_norm_job job = cp_norm_job_at(w, unit / w->chunks);
        sweep sums = begin_sums(work, &job, unit % w->chunks);
        run_to_end(&sums);
    }
}

static void parameter_units(const cp_norm_work *work, int64_t lo, int64_t hi)
{
    const cp_norm_walk *w = work->walk;
    for (int64_t unit = lo; unit < hi; unit++) {
        for (int64_t j = unit * w->jobs / w->ranges; j < (unit + 1) * w->jobs / w->ranges; j++) {
            cp_norm_job job = cp_norm_job_at(w, j);
            add_parameters(work, &job, unit);
        }
    }
}

/* In the order in which the elements lie where lanes run along rows: segments of a row,
 * jobs, rows. Backwards where all has just been read: the last of it may still be near. */
static void use_units(const cp_norm_work *work, int64_t lo, int64_t hi)
{
    const cp_norm_walk *w = work->walk;
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t at = w->sums ? w->jobs * w->use.blocks - 1 - unit : unit;
        cp_norm_job job = cp_norm_job_at(w, at / w->use.segments % w->jobs);
        int64_t block = at / w->use.segments / w->jobs * w->use.segments + at % w->use.segments;
        sweep use = begin_use(work, &job, block, block + 1);
        run_to_end(&use);
    }
}

static void run_in_phases(const cp_norm_walk *w)
{
    cp_norm_work work;
    cp_norm_work_bind(&work, w, 0);
    for (int64_t j = 0; j < w->jobs; j++) {
        cp_norm_job job = cp_norm_job_at(w, j);
        prepare(&work, &job);
    }
    if (w->sums) {
        run_phase(w, sum_units, w->jobs * w->chunks, 0.4);
    }
    for (int64_t j = 0; j < w->jobs; j++) {
        cp_norm_job job = cp_norm_job_at(w, j);
        if (w->sums) {
            join_chunks(&work, &job);
        }
        finish(&work, &job);
    }
    if (w->parameters && w->kind == CP_LAYER) {
        run_phase(w, parameter_units, w->ranges, 0.4);
    }
    if (w->apply) {
        run_phase(w, use_units, w->jobs * w->use.blocks, 0.4);
    }
}

/* ---- Merging ---- */

void cp_moments_merge(const cpool_view *a_view, const cpool_view *b_view, const cpool_view *out_view)
{
    int64_t n = a_view->shape[1];
    cp_flat a = flat_of(a_view), b = flat_of(b_view), out = flat_of(out_view);
    for (int64_t i = 0; i < n; i++) {
        double before = get(a, i), count = get(b, i);
        double mean = get(a, n + i), m2 = get(a, 2 * n + i), rest = get(a, 3 * n + i);
        double other_mean = get(b, n + i), other_m2 = get(b, 2 * n + i), other_rest = get(b, 3 * n + i);
        cp_norm_groups g = {.mean = &mean, .rest = &rest, .m2 = &m2};
        cp_norm_groups other = {.mean = &other_mean, .rest = &other_rest, .m2 = &other_m2};
        cp_kernels_scalar.norm->merge(&g, 1, before, &other, count);
        put(out, i, before + count);
        put(out, n + i, mean);
        put(out, 2 * n + i, m2);
        put(out, 3 * n + i, rest);
    }
}

/* ---- Running ---- */

static double *as_doubles(const cp_norm_walk *w, double *to, const cpool_view *view, double absent)
{
    int64_t n = w->norm->parameters;
    if (view != NULL) {
        get_all(w, flat_of(view), 0, n, to);
        return to;
    }
    for (int64_t i = 0; i < n && w->kind == CP_LAYER; i++) {
        to[i] = absent;
    }
    return w->kind == CP_LAYER ? to : NULL;
}

cp_cost cp_norm_cost(const cp_norm *norm, int32_t direction)
{
    cp_norm_walk walk;
    return cp_norm_walk_plan(&walk, norm, direction);
}

cpool_status cp_norm_run(const cp_norm *norm, int32_t direction, const cpool_exec *exec)
{
    cp_norm_walk walk;
    cp_engine engine;
    cp_cost cost = cp_norm_walk_plan(&walk, norm, direction);
    cpool_status status = cp_engine_take(&engine, exec, cost);
    if (status != CPOOL_OK) {
        return status;
    }
    cp_norm_walk_bind(&walk, &engine);
    walk.weight = as_doubles(&walk, walk.weight, norm->args.array[CPOOL_WEIGHT], 1);
    int adds = direction == CPOOL_FORWARD || walk.norm->params.flags & CPOOL_RELU;
    walk.bias = as_doubles(&walk, walk.bias, adds ? norm->args.array[CPOOL_BIAS] : NULL, 0);
    if (walk.kind == CP_LAYER && walk.parameters) {
        memset(walk.shares, 0, (size_t)(walk.ranges * 2 * norm->parameters) * sizeof(double));
    }
    if (walk.fused) {
        run_phase(&walk, whole_units, walk.ranges, 1);
    } else {
        run_in_phases(&walk);
    }
    if (walk.parameters) {
        write_parameters(&walk);
    }
    return CPOOL_OK;
}
