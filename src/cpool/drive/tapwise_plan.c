#include <string.h>

#include "drive/tapwise.h"
#include "integers.h"

/* Bytes for the taps of a block, for mapped rows, and for a band of gradients; windows that are worked off together. */
enum {
    BLOCK_BYTES = 192 * 1024,
    KEPT_BYTES = 512 * 1024,
    BAND_BYTES = 1024 * 1024,
    MOST_WINDOWS = 256,
    FEW_WINDOWS = 16,
    MOST_LANES = 32
};

int cp_tapwise_lanes_are_channels(const cp_tapwise *p)
{
    return p->layout.lane >= 0 && p->layout.lane == p->layout.channel;
}

/* Sources from the first to the last of a window, at most. */
static int64_t extent(const cp_axis *axis)
{
    return cp_axis_reach(axis, 1) < axis->sources ? cp_axis_reach(axis, 1) : axis->sources;
}

/* ---- Arrays ---- */

static int shares_logits(const cp_pool *pool)
{
    const cpool_view *logits = pool->array[CPOOL_LOGITS];
    return logits != NULL && pool->channel >= 0 && logits->shape[pool->channel] != pool->x_shape[pool->channel];
}

static void plan_layout(cp_tapwise *p)
{
    static const int32_t broadcast[] = {CPOOL_LOGITS, CPOOL_BLEND, CPOOL_MASK};
    static const int32_t parameters[] = {CPOOL_BETA, CPOOL_ALPHA,  CPOOL_LAMBDA, CPOOL_FILTER,
                                         CPOOL_BIAS, CPOOL_WEIGHT, CPOOL_LEAVES, CPOOL_GATES};
    static const int32_t grids[] = {CP_ON_LOGITS, CP_ON_SIDE, CP_ON_SIDE};
    const cp_pool *pool = p->pool;
    cp_spread spread[3], gradient;
    const cpool_view *dx = pool->grad[CPOOL_X], *x = pool->array[CPOOL_X], *dlogits = pool->grad[CPOOL_LOGITS];
    const cpool_view *views[CP_GRIDS] = {x != NULL ? x : dx};
    int forward = p->task == CP_TAPWISE_POOL, gradients = p->task == CP_TAPWISE_INPUT_GRADIENT;
    views[CP_ON_Y] = forward ? pool->array[CPOOL_Y] : pool->grad[CPOOL_Y];
    views[CP_ON_DX] = gradients ? dx : NULL;
    views[CP_ON_SIDE] = p->terms && pool->grad[CPOOL_REFERENCE] != NULL ? pool->grad[CPOOL_REFERENCE] : pool->array[CPOOL_TAPS];
    views[CP_ON_U] = pool->array[CPOOL_U] != NULL ? pool->array[CPOOL_U] : pool->array[CPOOL_REFERENCE];
    for (int i = 0; i < 3; i++) {
        if (pool->array[broadcast[i]] != NULL) {
            cp_parameter_spread(&spread[i], pool, pool->array[broadcast[i]], broadcast[i]);
            views[grids[i]] = &spread[i].view;
        }
    }
    if (gradients && dlogits != NULL) {
        cp_parameter_spread(&gradient, pool, dlogits, CPOOL_LOGITS);
        views[CP_ON_DLOGITS] = &gradient.view;
    }
    int shared = views[CP_ON_DLOGITS] != NULL && shares_logits(pool);
    p->channels = shared ? pool->x_shape[pool->channel] : 1;
    int per_channel = shared;
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        per_channel |= cp_parameter_per_channel(pool, pool->array[parameters[i]]);
    }
    cp_layout_make(&p->layout, pool, views, per_channel);
    cp_layout_choose_lanes(&p->layout, pool->out[2], FEW_WINDOWS);
}

/* ---- Tiles ---- */

static int64_t gradients_of(const cp_tapwise *p)
{
    return (p->layout.grid[CP_ON_DX].item != 0) + (p->layout.grid[CP_ON_DLOGITS].item != 0);
}

static int64_t whole_vectors(int64_t lanes)
{
    return (lanes + CP_TAP_LANES - 1) / CP_TAP_LANES * CP_TAP_LANES;
}

/* Cells behind those of the windows that taps reach to. */
static int64_t cells_beyond(const cp_axis *axis)
{
    return (cp_axis_reach(axis, 1) - 1) / axis->stride;
}

/* A phase of the columns of so many windows. Whole vectors are loaded, and mapped, that begin in its last cell. */
static cp_phase plan_phase(const cp_tapwise *p, int64_t windows)
{
    int64_t cells = windows + cells_beyond(&p->pool->axis[2]);
    return (cp_phase){cells, whole_vectors(cells * p->lanes) + CP_TAP_LANES};
}

/* Padding becomes cells too, and windows may skip columns: rows are split where there is little of both. */
static void plan_phases(cp_tapwise *p)
{
    const cp_pool *pool = p->pool;
    const cp_axis *axis = &pool->axis[2];
    p->phases = 0;
    p->band_row = pool->in[2] * p->lanes;
    if (axis->kind == CP_AXIS_SLIDING) {
        int64_t phases = cp_min64(axis->stride, cp_axis_reach(axis, 1));
        double cells = (double)pool->out[2] + (double)cells_beyond(axis);
        if (cells * (double)phases <= 4.0 * (double)pool->in[2] + 64) {
            p->phases = phases;
            p->band = plan_phase(p, pool->out[2]);
            p->band_row = phases * p->band.pitch;
        }
    }
}

/* Whether source rows fit, and how many of them, and how wide. */
static int plan_kept_rows(cp_tapwise *p)
{
    const cp_pool *pool = p->pool;
    const cp_axis *axis = pool->axis;
    int64_t deep = extent(&axis[0]);
    /* Gradients work off the tiles of a row one after another, others the rows of a tile. */
    int whole_rows = p->task != CP_TAPWISE_POOL || p->width >= pool->out[2];
    for (int way = 0; way < 4; way++) { /* the most first: planes of rows, and whole rows */
        p->slots[0] = deep;
        p->slots[1] = way < 2 && deep > 1 ? pool->in[1] : extent(&axis[1]);
        p->whole_rows = way % 2 == 0 && whole_rows;
        p->reach = p->whole_rows ? pool->in[2] : cp_min64(cp_axis_reach(&axis[2], p->width), pool->in[2]);
        p->row = whole_vectors(p->reach * p->lanes);
        if (p->phases > 0) {
            p->kept = plan_phase(p, p->whole_rows ? pool->out[2] : p->width);
            p->row = p->phases * p->kept.pitch;
            p->reach = cp_min64(pool->in[2], (p->kept.cells - 1) * axis[2].stride + p->phases);
        }
        double rows = (double)p->slots[0] * (double)p->slots[1];
        if (rows * (double)p->row * (double)p->leaves * (double)sizeof(double) <= KEPT_BYTES) {
            return 1;
        }
    }
    p->slots[0] = p->slots[1] = p->reach = p->row = 0;
    return 0;
}

static void plan_block(cp_tapwise *p)
{
    p->n = whole_vectors(p->width * p->lanes);
    plan_phases(p);
    p->by_rows = plan_kept_rows(p);
    p->phases = p->by_rows ? p->phases : 0;
    int64_t rows = (p->phases > 0 ? 0 : 1 + p->leaves) + gradients_of(p);
    p->capacity = cp_max64(1, BLOCK_BYTES / (rows * p->n * (int64_t)sizeof(double) + (int64_t)sizeof(cp_tap)));
    p->capacity = cp_min64(p->capacity, p->taps);
    p->band_row = p->phases > 0 ? p->band_row : p->pool->in[2] * p->lanes;
}

static void plan_tiles(cp_tapwise *p)
{
    const cp_axis *axis = p->pool->axis;
    p->taps = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        p->taps *= cp_min64(axis[s].taps, axis[s].sources);
    }
    p->lanes = cp_max64(1, cp_min64(p->layout.lanes, MOST_LANES));
    p->width = cp_max64(1, cp_min64(p->pool->out[2], MOST_WINDOWS / p->lanes));
    if (axis[2].taps > axis[2].sources) { /* neighbours would have more taps together than there are sources */
        p->width = 1;
    }
    plan_block(p);
    while (p->width > 1 && !(p->by_rows && p->capacity == p->taps)) {
        p->width = (p->width + 1) / 2;
        plan_block(p);
    }
}

static void plan_units(cp_tapwise *p)
{
    enum { ENOUGH_UNITS = 64, FEWEST_ROWS = 16 };
    const cp_pool *pool = p->pool;
    int64_t rows = pool->out[0] * pool->out[1], whole;
    p->tiles = (p->layout.lanes + p->lanes - 1) / p->lanes;
    whole = p->layout.outer * p->tiles;
    p->block_rows = p->task == CP_TAPWISE_PARAMETER_GRADIENT && !p->per_result ? CP_PARAMETER_ROWS : rows;
    if (p->task == CP_TAPWISE_INPUT_GRADIENT) {
        /* Windows that reach into two bands are worked out for both: bands are high. */
        int64_t high = 4 * extent(&pool->axis[1]) * (pool->in[0] > 1 ? extent(&pool->axis[0]) : 1);
        double row = (double)p->band_row * (double)gradients_of(p) * (double)sizeof(double);
        rows = pool->in[0] * pool->in[1];
        p->block_rows = cp_max64(cp_max64((int64_t)(BAND_BYTES / row), high), FEWEST_ROWS);
        if (p->channels > 1) {
            whole = cp_tapwise_lanes_are_channels(p) ? p->layout.outer : whole / p->channels;
        }
        if (whole > 0 && whole < ENOUGH_UNITS) {
            p->block_rows = cp_min64(p->block_rows, cp_max64(cp_max64(rows / (ENOUGH_UNITS / whole), high), FEWEST_ROWS));
        }
    } else if (p->task == CP_TAPWISE_POOL && whole > 0 && whole < ENOUGH_UNITS) {
        p->block_rows = cp_max64(FEWEST_ROWS, rows / (ENOUGH_UNITS / whole));
    }
    p->block_rows = cp_min64(p->block_rows, rows);
    p->blocks = (rows + p->block_rows - 1) / p->block_rows;
    p->units = whole * p->blocks;
}

static int has_parameter_gradient(const cp_pool *pool)
{
    static const int32_t roles[] = {CPOOL_BETA, CPOOL_ALPHA, CPOOL_LAMBDA, CPOOL_REFERENCE, CPOOL_FILTER,
                                    CPOOL_BIAS, CPOOL_BLEND, CPOOL_WEIGHT, CPOOL_LEAVES,    CPOOL_GATES};
    int any = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        any |= pool->grad[roles[i]] != NULL;
    }
    return any;
}

static void plan_masks(cp_tapwise *p)
{
    const cpool_view *gates = p->pool->array[CPOOL_GATES], *leaves = p->pool->array[CPOOL_LEAVES];
    if (gates != NULL && leaves != NULL) {
        cp_parameter_masks(&p->masks[0], gates);
        cp_parameter_masks(&p->masks[1], leaves);
        p->weight = &p->masks[0].view;
        p->leaf_masks = &p->masks[1].view;
        p->nodes = gates->shape[0] + leaves->shape[0];
        p->gate_weights = cp_parameter_row(p->weight);
        p->weights = p->gate_weights + cp_parameter_row(p->leaf_masks);
    }
}

void cp_tapwise_plan(cp_tapwise *p, const cp_pool *pool, cp_tapwise_task task)
{
    static const int32_t leaves[CP_TAPS] = {[CP_TAP_SOFT] = 3, [CP_TAP_LIP] = 3,  [CP_TAP_SHARE] = 3, [CP_TAP_DRAW] = 1,
                                            [CP_TAP_MIX] = 1,  [CP_TAP_GATE] = 1, [CP_TAP_RANK] = 1,  [CP_TAP_DPP] = 1,
                                            [CP_TAP_ADA] = 3,  [CP_TAP_TREE] = 1};
    const cpool_view *blend = pool->array[CPOOL_BLEND], *filter = pool->array[CPOOL_FILTER];
    memset(p, 0, sizeof *p);
    p->pool = pool;
    p->task = task;
    p->kind = pool->op->fold;
    p->leaves = leaves[p->kind];
    p->states = p->kind == CP_TAP_DPP || p->kind == CP_TAP_ADA ? CP_TAP_MOST_STATES : CP_TAP_STATES;
    p->weight = filter != NULL ? filter : pool->array[CPOOL_WEIGHT];
    p->weights = p->weight != NULL ? cp_parameter_row(p->weight) : 0;
    if (p->kind == CP_TAP_TREE) {
        p->states = 0; /* nodes are rows of their own */
        plan_masks(p);
    }
    p->detail.reference = filter != NULL                         ? CP_DETAIL_FILTER
                          : pool->array[CPOOL_REFERENCE] != NULL ? CP_DETAIL_GIVEN
                                                                 : CP_DETAIL_BOX;
    p->detail.asymmetric = (pool->params.flags & CPOOL_ASYMMETRIC) != 0;
    p->detail.variant = pool->params.variant;
    p->detail.eps2 = pool->params.eps2;
    p->ranks = p->kind == CP_TAP_RANK ? p->weights : 0;
    p->terms = task != CP_TAPWISE_POOL && has_parameter_gradient(pool);
    if (p->terms) {
        p->numbers = p->weights + (p->kind == CP_TAP_DPP ? 3 : p->kind != CP_TAP_RANK && p->kind != CP_TAP_TREE);
        p->per_result = blend != NULL && blend->ndim > 1;
        p->term_rows = p->kind == CP_TAP_GATE ? 1 : p->kind == CP_TAP_TREE ? 0 : p->numbers;
    }
    plan_layout(p);
    if (cp_layout_planes(&p->layout) == 0) { /* then axes may have any length */
        p->sum_blocks = 1;
        return;
    }
    p->one_weight = (p->kind == CP_TAP_GATE || p->kind == CP_TAP_TREE) &&
                    !(cp_tapwise_lanes_are_channels(p) &&
                      (cp_parameter_per_channel(pool, p->weight) || cp_parameter_per_channel(pool, p->leaf_masks)));
    plan_tiles(p);
    plan_units(p);
    p->sums = (int64_t)(cp_parameter_sums_bytes(p->lanes) / sizeof(double));
    if (task == CP_TAPWISE_INPUT_GRADIENT && (p->per_result || p->blocks > 1 || p->channels != 1)) {
        p->terms = 0; /* windows that reach into two bands would add to them twice */
        p->numbers = p->term_rows = 0;
    }
    p->sum_blocks = p->per_result ? 1 : (pool->out[0] * pool->out[1] + CP_PARAMETER_ROWS - 1) / CP_PARAMETER_ROWS;
    double band = (double)p->block_rows * (double)p->band_row * (2 * CP_TAP_GRADIENTS * sizeof(double));
    /* Of weights, ranks, nodes and the numbers of gradients there may be as many as an array can have. */
    double each = (double)(p->n + p->sums) * sizeof(double);
    double rows = ((double)p->weights + 2.0 * (double)p->ranks + 2.0 * (double)p->nodes + (double)p->numbers) * each;
    p->bytes = band + rows < (double)CP_TOO_MANY_BYTES / 2 ? cp_tapwise_bind(NULL, p, NULL) : CP_TOO_MANY_BYTES;
}

/* ---- Scratch ---- */

typedef struct cp_arena {
    char *memory;
    size_t used;
} cp_arena;

static void *take(cp_arena *arena, int64_t count)
{
    void *start = arena->memory == NULL ? NULL : arena->memory + arena->used;
    arena->used += cp_row_bytes(count, sizeof(double));
    return start;
}

size_t cp_tapwise_bind(cp_tapwise_work *work, const cp_tapwise *p, char *memory)
{
    cp_tapwise_work unused;
    memset(&unused, 0, sizeof unused);
    cp_tapwise_work *w = work != NULL ? work : &unused;
    cp_arena arena = {memory, 0};
    int64_t n = p->n, block = p->capacity * n, band = p->block_rows * p->band_row, leaves = p->phases > 0 ? 0 : block;
    int gradient[CP_TAP_GRADIENTS] = {p->layout.grid[CP_ON_DX].item != 0, p->layout.grid[CP_ON_DLOGITS].item != 0};
    int64_t dense = cp_max64(cp_max64(p->reach, p->capacity), p->width) * p->lanes + CP_TAP_LANES;
    w->tap_rows = take(&arena, p->capacity * (int64_t)(sizeof(cp_tap) / sizeof(double)));
    w->there = take(&arena, p->phases > 0 ? p->row : block);
    w->number = take(&arena, p->capacity);
    w->inside = take(&arena, p->capacity);
    w->spot = take(&arena, 2 * p->capacity);
    w->spans = take(&arena, p->width * (int64_t)(sizeof(cp_span) / sizeof(double)));
    w->dense = take(&arena, p->leaves * dense);
    w->factor = take(&arena, p->kind == CP_TAP_SOFT ? dense : 0);
    for (int r = 0; r < CP_TAP_LEAVES; r++) {
        w->leaf[r] = take(&arena, r < p->leaves ? leaves : 0);
        w->kept[r] = take(&arena, r < p->leaves ? p->slots[0] * p->slots[1] * p->row : 0);
    }
    w->sources = take(&arena, 2 * p->phases);
    w->offset = take(&arena, p->phases > 0 ? p->pool->axis[2].taps : 0);
    w->band_offset = take(&arena, p->phases > 0 ? p->pool->axis[2].taps : 0);
    w->slot_row = take(&arena, p->slots[0] * p->slots[1]);
    w->slot_flat = take(&arena, p->slots[0] * p->slots[1]);
    for (int g = 0; g < CP_TAP_GRADIENTS; g++) {
        w->gradient[g] = take(&arena, gradient[g] ? block : 0);
        w->band[g] = take(&arena, gradient[g] ? band : 0);
        w->gradient[g] = gradient[g] ? w->gradient[g] : NULL;
    }
    int64_t total = p->channels > 1 ? p->block_rows * p->pool->in[2] * p->lanes : 0;
    w->total = take(&arena, total);
    w->total_rest = take(&arena, total);
    w->line = take(&arena, p->phases > 0 && p->task == CP_TAPWISE_INPUT_GRADIENT ? p->pool->in[2] * p->lanes : 0);
    w->state = take(&arena, p->states * n);
    w->y = take(&arena, n);
    w->tap = take(&arena, n);
    w->dy = take(&arena, n);
    w->parameter = take(&arena, n);
    w->lambda = take(&arena, n);
    w->bias = take(&arena, n);
    w->u = take(&arena, n);
    w->terms = take(&arena, p->term_rows * n);
    w->weight = take(&arena, p->one_weight ? p->weights : p->weights * n);
    w->rank_value = take(&arena, p->ranks * n);
    w->rank_tap = take(&arena, p->ranks * n);
    w->node = take(&arena, p->nodes * n);
    w->node_rest = take(&arena, p->nodes * n);
    w->sums = take(&arena, p->per_result ? 0 : p->numbers * p->sums);
    return arena.used;
}
