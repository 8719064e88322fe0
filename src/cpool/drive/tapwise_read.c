#include <string.h>

#include "drive/tapwise.h"
#include "integers.h"
#include "kernels/template.h"

static int32_t dtype_of(const cp_grid *grid)
{
    return grid->bits == 32 ? CP_DTYPE_f32 : CP_DTYPE_f64;
}

char *cp_tapwise_element(const cp_tapwise_work *w, int g, int64_t d, int64_t h, int64_t column)
{
    const int64_t *space = w->plan->layout.grid[g].space;
    return w->at[g] + d * space[0] + h * space[1] + column * space[2];
}

void cp_tapwise_load(const cp_tapwise_work *w, int g, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count,
                     double *dst)
{
    const cp_grid *grid = &w->plan->layout.grid[g];
    int64_t stride = count > 1 ? step * grid->space[2] : 0; /* one step may be beyond every address */
    w->rows->load[dtype_of(grid)](dst, cp_tapwise_element(w, g, d, h, column), count, stride, w->lanes, w->lane_step[g]);
}

/* ---- Units, tiles, rows ---- */

/* A parameter of one number, or one per channel, for every lane of `columns` columns. */
static void spread_parameter(const cp_tapwise_work *w, const cpool_view *parameter, int64_t index, int64_t columns, double *dst)
{
    const cp_pool *pool = w->plan->pool;
    int differ = cp_tapwise_lanes_are_channels(w->plan) && cp_parameter_per_channel(pool, parameter);
    for (int64_t l = 0; l < w->lanes; l++) {
        dst[l] = l == 0 || differ ? cp_parameter_at(pool, parameter, w->channel + (differ ? l : 0), index) : dst[0];
    }
    for (int64_t i = w->lanes; i < columns * w->lanes; i++) {
        dst[i] = dst[i - w->lanes];
    }
}

static void forget_rows(cp_tapwise_work *w)
{
    for (int64_t i = 0; i < w->plan->slots[0] * w->plan->slots[1]; i++) {
        w->slot_row[i] = -1;
    }
}

/* Where the taps of the first window begin in a split row. */
static void place_taps(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    const cp_axis *axis = &p->pool->axis[2];
    for (int64_t tap = 0; tap < axis->taps; tap++) {
        int64_t source = tap * axis->dilation, phase = source % axis->stride, cell = source / axis->stride * w->lanes;
        w->offset[tap] = phase * p->kept.pitch + cell;
        w->band_offset[tap] = phase * p->band.pitch + cell;
    }
}

void cp_tapwise_lanes(cp_tapwise_work *w, int64_t outer, int64_t lane, int64_t lanes)
{
    const cp_tapwise *p = w->plan;
    const cp_layout *layout = &p->layout;
    const cp_pool *pool = p->pool;
    w->outer = outer;
    w->lane = lane;
    w->lanes = lanes;
    w->channel = 0;
    for (int32_t g = 0; g < CP_GRIDS; g++) {
        if (layout->grid[g].item != 0) {
            w->lane_step[g] = layout->lane >= 0 ? layout->grid[g].batch[layout->lane] : 0;
            w->at[g] = layout->grid[g].data + cp_layout_offset(layout, g, outer, &w->channel) + lane * w->lane_step[g];
        }
    }
    if (cp_tapwise_lanes_are_channels(p)) {
        w->channel = lane;
    }
    memset(w->parameter, 0, (size_t)p->n * sizeof(double));
    memset(w->lambda, 0, (size_t)p->n * sizeof(double));
    memset(w->bias, 0, (size_t)p->n * sizeof(double));
    if (p->kind == CP_TAP_DPP) {
        spread_parameter(w, pool->array[CPOOL_ALPHA], 0, p->width, w->parameter);
        spread_parameter(w, pool->array[CPOOL_LAMBDA], 0, p->width, w->lambda);
        if (pool->array[CPOOL_BIAS] != NULL) {
            spread_parameter(w, pool->array[CPOOL_BIAS], 0, p->width, w->bias);
        }
    } else if (pool->array[CPOOL_BETA] != NULL) {
        int64_t columns = p->reach > p->capacity ? p->reach : p->capacity;
        spread_parameter(w, pool->array[CPOOL_BETA], 0, p->width, w->parameter);
        spread_parameter(w, pool->array[CPOOL_BETA], 0, columns, w->factor);
    } else if (pool->array[CPOOL_BIAS] != NULL) {
        spread_parameter(w, pool->array[CPOOL_BIAS], 0, p->width, w->parameter);
    }
    for (int64_t i = 0; i < p->weights; i++) {
        int leaf = p->leaf_masks != NULL && i >= p->gate_weights;
        const cpool_view *weight = leaf ? p->leaf_masks : p->weight;
        int64_t index = leaf ? i - p->gate_weights : i;
        if (p->one_weight) {
            w->weight[i] = cp_parameter_at(pool, weight, w->channel, index);
        } else {
            memset(w->weight + i * p->n, 0, (size_t)p->n * sizeof(double));
            spread_parameter(w, weight, index, p->width, w->weight + i * p->n);
        }
    }
    w->column = -1;
    if (p->phases > 0) {
        place_taps(w);
    }
}

/* Of a phase of a row that begins at source column `base`, the cells that are sources. */
static void phase_sources(const cp_tapwise *p, int64_t cells, int64_t base, int64_t phase, int64_t *lo, int64_t *hi)
{
    const cp_axis *axis = &p->pool->axis[2];
    int64_t first = base + phase;
    *lo = cp_min64(cells, first < 0 ? cp_ceil_div(-first, axis->stride) : 0);
    *hi = cp_max64(*lo, cp_min64(cells, first < axis->sources ? cp_ceil_div(axis->sources - first, axis->stride) : 0));
}

static void fill(const cp_tapwise_work *w, double *row, int64_t from, int64_t to, double value)
{
    if (from < to) {
        w->rows->fill(row + from, value, to - from);
    }
}

/* Which taps of the windows are there: a row of its own. */
static void mark_sources(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    for (int64_t phase = 0; phase < p->phases; phase++) {
        double *there = w->there + phase * p->kept.pitch;
        int64_t *lo = &w->sources[phase][0], *hi = &w->sources[phase][1];
        phase_sources(p, p->kept.cells, w->first_column, phase, lo, hi);
        fill(w, there, 0, p->kept.pitch, 0);
        fill(w, there, *lo * w->lanes, *hi * w->lanes, 1);
    }
}

void cp_tapwise_columns(cp_tapwise_work *w, int64_t column, int64_t count)
{
    const cp_tapwise *p = w->plan;
    if (w->column == column) {
        return;
    }
    int anew = w->column < 0 || !p->whole_rows;
    if (anew) {
        forget_rows(w);
    }
    w->column = column;
    w->count = count;
    int64_t from = INT64_MAX;
    w->first_tap = INT64_MAX;
    w->last_tap = 0;
    for (int64_t i = 0; i < count; i++) {
        cp_span span = w->spans[i] = cp_axis_span(&p->pool->axis[2], column + i);
        if (span.lo < span.hi) {
            from = cp_min64(from, span.first + span.lo * span.step);
            w->first_tap = cp_min64(w->first_tap, span.lo);
            w->last_tap = cp_max64(w->last_tap, span.hi);
        }
    }
    if (p->phases == 0) {
        w->first_column = p->whole_rows || from == INT64_MAX ? 0 : from;
    } else if (anew) {
        const cp_axis *axis = &p->pool->axis[2];
        w->first_column = (p->whole_rows ? 0 : column) * axis->stride - axis->pad;
        mark_sources(w);
    }
}

void cp_tapwise_row(cp_tapwise_work *w, int64_t d, int64_t h)
{
    const cp_tapwise *p = w->plan;
    size_t row = (size_t)p->n * sizeof(double);
    w->d = d;
    w->h = h;
    w->deep = cp_axis_span(&p->pool->axis[0], d);
    w->down = cp_axis_span(&p->pool->axis[1], h);
    memset(w->y, 0, row);
    if (p->term_rows > 0) {
        memset(w->terms, 0, (size_t)p->term_rows * row);
    }
    if (p->ranks > 0) {
        w->rows->fill(w->rank_value, -cp_infinity(), p->ranks * p->n);
        w->rows->fill(w->rank_tap, cp_infinity(), p->ranks * p->n);
    }
    w->windows = (cp_tap_windows){
        .n = p->n,
        .state = w->state,
        .y = w->y,
        .tap = w->tap,
        .dy = p->task == CP_TAPWISE_POOL ? NULL : w->dy,
        .parameter = w->parameter,
        .u = w->u,
        .terms = w->terms,
        .sums = {w->sums, p->sums, w->lanes, w->column % CP_TERM_LANES * w->lanes, w->count * w->lanes},
        .weight = w->weight,
        .one_weight = p->one_weight,
        .ranks = p->ranks,
        .rank_value = w->rank_value,
        .rank_tap = w->rank_tap,
        .nodes = p->nodes,
        .node_taps = p->nodes > 0 ? p->weights / p->nodes : 0,
        .node = w->node,
        .node_rest = w->node_rest,
        .lambda = w->lambda,
        .bias = w->bias,
        .detail = p->detail,
    };
}

/* ---- Blocks ---- */

/* Elements from the array, mapped; whether they are flat. */
static int load_mapped(cp_tapwise_work *w, int64_t d, int64_t h, int64_t column, int64_t step, int64_t count,
                       double *const *leaf)
{
    int32_t leaves = w->plan->leaves;
    cp_tapwise_load(w, CP_ON_X, d, h, column, step, count, leaf[leaves - 1]);
    if (w->plan->kind == CP_TAP_LIP) {
        cp_tapwise_load(w, CP_ON_LOGITS, d, h, column, step, count, leaf[1]);
    }
    return w->kernel->map != NULL && w->kernel->map(leaf, w->factor, count * w->lanes);
}

/* `count` cells of a phase from a row of columns, of which the first is column `from`; and back. */
static void take_phase(const cp_tapwise_work *w, double *phase, const double *line, int64_t from, int64_t count)
{
    int64_t stride = w->plan->pool->axis[2].stride, lanes = w->lanes;
    if (lanes == 1 && count > 0) {
        w->rows->stride(phase, line + from, stride, count);
        return;
    }
    for (int64_t c = 0; c < count; c++) {
        memcpy(phase + c * lanes, line + (from + c * stride) * lanes, (size_t)lanes * sizeof(double));
    }
}

static void give_phase(const cp_tapwise_work *w, double *line, const double *phase, int64_t to, int64_t count)
{
    int64_t stride = w->plan->pool->axis[2].stride, lanes = w->lanes;
    if (lanes == 1 && count > 0) {
        w->rows->unstride(line + to, phase, stride, count);
        return;
    }
    for (int64_t c = 0; c < count; c++) {
        memcpy(line + (to + c * stride) * lanes, phase + c * lanes, (size_t)lanes * sizeof(double));
    }
}

/* Row (d, h) of a grid, split. */
static void load_phases(cp_tapwise_work *w, int g, int64_t d, int64_t h, double *row)
{
    const cp_tapwise *p = w->plan;
    const cp_axis *axis = &p->pool->axis[2];
    int64_t base = w->first_column, from = cp_max64(base, 0), to = from;
    for (int64_t phase = 0; phase < p->phases && axis->stride > 1; phase++) {
        int64_t lo = w->sources[phase][0], hi = w->sources[phase][1];
        to = lo < hi ? cp_max64(to, base + phase + (hi - 1) * axis->stride + 1) : to;
    }
    if (from < to) {
        cp_tapwise_load(w, g, d, h, from, 1, to - from, w->dense);
    }
    if (axis->stride == 2 && w->lanes == 1 && from < to) {
        int64_t phase = (from - base) % 2;
        w->rows->halve(row + phase * p->kept.pitch + w->sources[phase][0],
                       row + (1 - phase) * p->kept.pitch + w->sources[1 - phase][0], w->dense, to - from);
        return;
    }
    for (int64_t phase = 0; phase < p->phases; phase++) {
        int64_t lo = w->sources[phase][0], hi = w->sources[phase][1];
        double *at = row + phase * p->kept.pitch + lo * w->lanes;
        if (axis->stride > 1) {
            take_phase(w, at, w->dense, base + phase + lo * axis->stride - from, hi - lo);
        } else if (lo < hi) {
            cp_tapwise_load(w, g, d, h, base + lo, 1, hi - lo, at);
        }
    }
}

static int load_split(cp_tapwise_work *w, int64_t d, int64_t h, double *const *leaf)
{
    const cp_tapwise *p = w->plan;
    int flat = 1;
    load_phases(w, CP_ON_X, d, h, leaf[p->leaves - 1]);
    if (p->kind == CP_TAP_LIP) {
        load_phases(w, CP_ON_LOGITS, d, h, leaf[1]);
    }
    for (int64_t phase = 0; phase < p->phases; phase++) {
        double *at[CP_TAP_LEAVES];
        int64_t lo = w->sources[phase][0], hi = w->sources[phase][1];
        for (int r = 0; r < p->leaves; r++) {
            at[r] = leaf[r] + phase * p->kept.pitch + lo * w->lanes;
        }
        if (w->kernel->map != NULL && lo < hi) {
            flat &= w->kernel->map(at, w->factor, (hi - lo) * w->lanes);
        }
        for (int r = 0; r < p->leaves; r++) {
            double *cells = leaf[r] + phase * p->kept.pitch;
            fill(w, cells, 0, lo * w->lanes, w->kernel->absent[r]);
            fill(w, cells, hi * w->lanes, p->kept.pitch, w->kernel->absent[r]);
        }
    }
    return flat;
}

/* Source row (d, h), mapped: the index of its slot. */
static int64_t kept_row(cp_tapwise_work *w, int64_t d, int64_t h)
{
    const cp_tapwise *p = w->plan;
    const cp_pool *pool = p->pool;
    int64_t slot = d % p->slots[0] * p->slots[1] + h % p->slots[1], row = d * pool->in[1] + h;
    if (w->slot_row[slot] != row) {
        double *leaf[CP_TAP_LEAVES] = {NULL};
        int64_t left = pool->in[2] - w->first_column, count = left < p->reach ? left : p->reach;
        for (int r = 0; r < p->leaves; r++) {
            leaf[r] = w->kept[r] + slot * p->row;
        }
        w->slot_flat[slot] = p->phases > 0 ? load_split(w, d, h, leaf) : load_mapped(w, d, h, w->first_column, 1, count, leaf);
        w->slot_row[slot] = row;
    }
    return slot;
}

/* `count` taps along a split row, from `tap` on. */
static void point_at_taps(cp_tapwise_work *w, int64_t slot, int64_t tap, int64_t count, cp_tap *to)
{
    const cp_tapwise *p = w->plan;
    int64_t column = (p->whole_rows ? w->column : 0) * w->lanes, row = slot * p->row;
    for (int64_t t = 0; t < count; t++) {
        int64_t at = column + w->offset[tap + t];
        to[t].there = w->there + at;
        for (int r = 0; r < p->leaves; r++) {
            to[t].leaf[r] = w->kept[r] + row + at;
        }
    }
}

/* One tap of all columns, from a kept row. */
static void take_tap(cp_tapwise_work *w, int64_t slot, int64_t tap, int64_t to)
{
    const cp_tapwise *p = w->plan;
    int64_t lanes = w->lanes, base = slot * p->row;
    for (int64_t c = 0; c < w->count; c++) {
        const cp_span *span = &w->spans[c];
        int there = tap >= span->lo && tap < span->hi;
        int64_t at = to + c * lanes, from = base + (span->first + tap * span->step - w->first_column) * lanes;
        for (int64_t l = 0; l < lanes; l++) {
            w->there[at + l] = there;
        }
        for (int r = 0; r < p->leaves; r++) {
            for (int64_t l = 0; l < lanes; l++) {
                w->leaf[r][at + l] = there ? w->kept[r][from + l] : w->kernel->absent[r];
            }
        }
    }
}

/* `count` taps along a row of the tile's one column, behind one another; whether they are flat. */
static int take_run(cp_tapwise_work *w, int64_t d, int64_t h, int64_t tap, int64_t count, int64_t to)
{
    const cp_tapwise *p = w->plan;
    const cp_span *span = &w->spans[0];
    int64_t lanes = w->lanes, dense = (p->reach > p->capacity ? p->reach : p->capacity) * p->lanes + CP_TAP_LANES;
    double *leaf[CP_TAP_LEAVES] = {NULL};
    for (int r = 0; r < p->leaves; r++) {
        leaf[r] = w->dense + r * dense;
    }
    int flat = load_mapped(w, d, h, span->first + tap * span->step, span->step, count, leaf);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t l = 0; l < lanes; l++) {
            w->there[(to + t) * p->n + l] = 1;
        }
        for (int r = 0; r < p->leaves; r++) {
            for (int64_t l = 0; l < lanes; l++) {
                w->leaf[r][(to + t) * p->n + l] = leaf[r][t * lanes + l];
            }
        }
    }
    return flat;
}

/* Taps that were copied: they are pointed at, and what is behind the last window is cleared. */
static void finish_copies(cp_tapwise_work *w, int64_t count)
{
    const cp_tapwise *p = w->plan;
    for (int64_t t = 0; t < count; t++) {
        w->tap_rows[t].there = w->there + t * p->n;
        fill(w, w->there + t * p->n, w->count * w->lanes, p->n, 0);
        for (int r = 0; r < p->leaves; r++) {
            w->tap_rows[t].leaf[r] = w->leaf[r] + t * p->n;
            fill(w, w->leaf[r] + t * p->n, w->count * w->lanes, p->n, w->kernel->absent[r]);
        }
    }
}

cp_tap_cursor cp_tapwise_first(const cp_tapwise_work *w)
{
    cp_tap_cursor cursor = {w->deep.lo, w->down.lo, -1, 0};
    return cursor;
}

/* The number of a tap, where taps are those of the window and of the filter together. */
static void name_filtered_tap(cp_tapwise_work *w, const int64_t *tap, int64_t to)
{
    const cp_pool *pool = w->plan->pool;
    double number = 0;
    int inside = 1;
    for (int s = 0; s < CP_SPACE; s++) {
        const cp_filtered *f = &pool->filtered[s];
        int64_t in_window = tap[s] - f->window_at, in_filter = tap[s] - f->filter_at;
        inside &= in_window >= 0 && in_window % f->dilation == 0 && in_window / f->dilation < f->window;
        number = number < 0 || in_filter < 0 || in_filter >= f->filter ? -1 : number * (double)f->filter + (double)in_filter;
    }
    w->number[to] = number;
    w->inside[to] = inside;
}

/* The numbers of `count` taps along a row of the window, (a, b), from j on. */
static void name_taps(cp_tapwise_work *w, int64_t a, int64_t b, int64_t j, int64_t count, int64_t to)
{
    const cp_axis *axis = w->plan->pool->axis;
    double first = ((double)a * (double)axis[1].taps + (double)b) * (double)axis[2].taps;
    for (int64_t t = 0; t < count; t++) {
        if (w->plan->detail.reference == CP_DETAIL_FILTER) {
            const int64_t tap[CP_SPACE] = {a, b, j + t};
            name_filtered_tap(w, tap, to + t);
        } else {
            w->number[to + t] = first + (double)(j + t);
            w->inside[to + t] = 1;
        }
    }
}

int cp_tapwise_read(cp_tapwise_work *w, cp_tap_cursor *cursor)
{
    const cp_tapwise *p = w->plan;
    int64_t lo = w->first_tap, hi = w->last_tap, count = 0, a = cursor->a, b = cursor->b, j = cursor->j;
    int flat = 1;
    j = j < 0 ? lo : j;
    while (lo < hi && a < w->deep.hi && b < w->down.hi && count < p->capacity) {
        int64_t d = w->deep.first + a * w->deep.step, h = w->down.first + b * w->down.step, n = hi - j;
        n = n < p->capacity - count ? n : p->capacity - count;
        int64_t slot = p->by_rows ? kept_row(w, d, h) : 0;
        flat &= p->by_rows ? w->slot_flat[slot] != 0 : take_run(w, d, h, j, n, count);
        name_taps(w, a, b, j, n, count);
        for (int64_t t = 0; t < n; t++) {
            w->spot[count + t][0] = d * p->pool->in[1] + h;
            w->spot[count + t][1] = j + t;
            if (p->phases == 0 && p->by_rows) {
                take_tap(w, slot, j + t, (count + t) * p->n);
            }
        }
        if (p->phases > 0) {
            point_at_taps(w, slot, j, n, w->tap_rows + count);
        }
        count += n;
        j += n;
        if (j == hi) {
            j = lo;
            b++;
        }
        if (b == w->down.hi) {
            b = w->down.lo;
            a++;
        }
    }
    int more = lo < hi && a < w->deep.hi && b < w->down.hi;
    flat &= !more && cursor->taps == 0;
    w->block =
        (cp_tap_block){count, p->n, cursor->taps, flat, w->tap_rows, w->number, w->inside, {w->gradient[0], w->gradient[1]}};
    if (p->phases == 0) {
        finish_copies(w, count);
    }
    *cursor = (cp_tap_cursor){a, b, j, cursor->taps + count};
    return more;
}

/* ---- Gradients ---- */

/* Of windows that share a column the last has it as its first tap. */
static void scatter_split(cp_tapwise_work *w)
{
    const cp_tapwise *p = w->plan;
    for (int64_t t = w->block.count - 1; t >= 0; t--) {
        int64_t row = w->spot[t][0];
        if (row < w->band_first || row >= w->band_last) {
            continue;
        }
        int64_t to = (row - w->band_first) * p->band_row + w->band_offset[w->spot[t][1]] + w->column * w->lanes;
        for (int g = 0; g < CP_TAP_GRADIENTS; g++) {
            if (w->gradient[g] != NULL) {
                const void *terms = w->gradient[g] + t * p->n;
                w->rows->fold[CP_SUM](w->band[g] + to, 0, &terms, 0, NULL, 1, w->count * w->lanes, CP_CONTINUE);
            }
        }
    }
}

const double *cp_tapwise_band_row(const cp_tapwise_work *w, int gradient, int64_t row)
{
    const cp_tapwise *p = w->plan;
    const cp_axis *axis = &p->pool->axis[2];
    const double *band = w->band[gradient] + (row - w->band_first) * p->band_row;
    if (p->phases == 0) {
        return band;
    }
    if (axis->stride == 2 && w->lanes == 1) {
        int64_t first = axis->pad % 2, count = cp_max64(0, cp_min64(axis->sources, 2 * p->band.cells - axis->pad));
        w->rows->merge(w->line, band + first * p->band.pitch + axis->pad / 2,
                       band + (1 - first) * p->band.pitch + (axis->pad + 1) / 2, count);
        memset(w->line + count, 0, (size_t)(axis->sources - count) * sizeof(double));
        return w->line;
    }
    memset(w->line, 0, (size_t)(axis->sources * w->lanes) * sizeof(double));
    for (int64_t phase = 0; phase < p->phases; phase++) {
        int64_t lo, hi;
        phase_sources(p, p->band.cells, -axis->pad, phase, &lo, &hi);
        give_phase(w, w->line, band + phase * p->band.pitch + lo * w->lanes, phase - axis->pad + lo * axis->stride, hi - lo);
    }
    return w->line;
}

void cp_tapwise_scatter(cp_tapwise_work *w)
{
    if (w->plan->phases > 0) {
        scatter_split(w);
        return;
    }
    const cp_tapwise *p = w->plan;
    int64_t lanes = w->lanes;
    for (int64_t c = 0; c < w->count; c++) {
        const cp_span *span = &w->spans[c];
        for (int64_t t = 0; t < w->block.count; t++) {
            int64_t row = w->spot[t][0], tap = w->spot[t][1];
            if (row < w->band_first || row >= w->band_last || tap < span->lo || tap >= span->hi) {
                continue;
            }
            int64_t to = (row - w->band_first) * p->band_row + (span->first + tap * span->step) * lanes;
            for (int g = 0; g < CP_TAP_GRADIENTS; g++) {
                if (w->gradient[g] == NULL) {
                    continue;
                }
                const double *from = w->gradient[g] + t * p->n + c * lanes;
                for (int64_t l = 0; l < lanes; l++) {
                    w->band[g][to + l] += from[l];
                }
            }
        }
    }
}
