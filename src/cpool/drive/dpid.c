#include <string.h>

#include "drive/drive.h"
#include "integers.h"
#include "kernels/template.h"
#include "plan/layout.h"
#include "plan/parameters.h"

/* Detail-preserving downscaling, window by window, in double. An element's weight is a
 * power of its distance over all channels, so channels are the lanes. Sums over a window
 * run in row-major order, in pieces of at most SOME elements, whose sums are added.
 *
 * Only ratios of weights matter: distances are scaled by a power of two, so that their
 * squares stay in range, and a weight is the power of the square relative to the largest. */

enum { INPUT, RESULT, GRIDS };
enum { SOME = 64, PIECE = 8192, BUDGET = 160 * 1024, ROWS = 16, SIDE = 3 }; /* SIDE: neighbours along an axis */

typedef struct cp_dpid {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    int64_t factor[CP_SPACE], elements; /* of a window */
    int64_t channels, some;             /* elements of a piece */
    int64_t width, block_rows, blocks, units;
    int64_t row; /* doubles of the averages of a row of the tile and a column on either side */
    double power;
    size_t bytes;
} cp_dpid;

/* What a worker holds. */
typedef struct cp_dpid_work {
    const cp_dpid *dpid;
    const cp_engine *engine;
    const char *x;
    char *y;
    int64_t column, count;       /* the tile */
    double *piece;               /* [some][channels] */
    double *square, *weight;     /* [SOME], [2][SOME] */
    double *center, *sum, *part; /* [channels] */
    double *averages;            /* [SIDE][SIDE] rows, at their positions modulo SIDE */
    int64_t at[SIDE][SIDE][2];   /* which rows they are */
} cp_dpid_work;

static size_t doubles(int64_t count)
{
    return cp_row_bytes(count, sizeof(double));
}

static void plan_dpid(cp_dpid *p, const cp_pool *pool)
{
    const cpool_view *views[CP_GRIDS] = {pool->array[CPOOL_X], pool->array[CPOOL_Y]};
    p->pool = pool;
    cp_layout_make(&p->layout, pool, views, 1);
    cp_layout_take_lanes(&p->layout, p->layout.channel);
    p->channels = p->layout.lanes;
    p->elements = 1;
    for (int a = 0; a < CP_SPACE; a++) {
        p->factor[a] = pool->axis[a].window;
        p->elements *= p->factor[a];
    }
    /* No memory holds more channels; products of them stay numbers. */
    int64_t lanes = cp_min64(cp_max64(p->channels, 1), INT64_C(1) << 50), rows = pool->out[0] * pool->out[1];
    p->some = cp_max64(1, cp_min64(SOME, PIECE / lanes));
    p->width = cp_min64(pool->out[2], cp_max64(1, BUDGET / (SIDE * SIDE * 8) / lanes));
    p->row = (p->width + 2) * lanes;
    p->bytes = doubles(p->some * lanes) + 3 * doubles(SOME) + 3 * doubles(lanes) + doubles(SIDE * SIDE * p->row);
    p->block_rows = cp_min64(rows, ROWS);
    p->blocks = cp_ceil_div(rows, p->block_rows);
    p->units = p->channels > 0 ? p->layout.outer * p->blocks : 0;
}

static cp_cost cost_of(const cp_dpid *p)
{
    double elements = (double)cp_layout_planes(&p->layout);
    for (int a = 0; a < CP_SPACE; a++) {
        elements *= (double)p->pool->in[a];
    }
    return (cp_cost){p->bytes, 0, elements * 10.0};
}

cp_cost cp_dpid_cost(const cp_pool *pool, int32_t direction)
{
    cp_dpid p;
    (void)direction;
    plan_dpid(&p, pool);
    return cost_of(&p);
}

/* ---- Pieces of windows ---- */

/* The elements of a window from number `from` on, as many as a piece has; returns how many. */
static int64_t load_piece(const cp_dpid_work *w, const char *window, int64_t from)
{
    const cp_dpid *p = w->dpid;
    const cp_layout *layout = &p->layout;
    const int64_t *space = layout->grid[INPUT].space;
    int64_t end = cp_min64(from + p->some, p->elements), along = p->factor[2];
    double *to = w->piece;
    for (int64_t i = from, n; i < end; i += n) {
        int64_t row = i / along;
        n = cp_min64(end - i, along - i % along);
        const char *at = window + row / p->factor[1] * space[0] + row % p->factor[1] * space[1] + i % along * space[2];
        w->engine->kernels->lane[CP_LANE_f64]->load[p->pool->dtype](
            to, at, n, space[2], p->channels, layout->lane >= 0 ? layout->grid[INPUT].batch[layout->lane] : 0);
        to += n * p->channels;
    }
    return end - from;
}

/* to = sum of weight[i] * (element i), in pieces; weight NULL: 1. The piece is loaded. */
static void add_piece(const cp_dpid_work *w, double *to, const double *weight, int64_t n)
{
    int64_t channels = w->dpid->channels;
    memset(w->part, 0, (size_t)channels * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < channels; c++) {
            double x = w->piece[i * channels + c];
            w->part[c] += weight != NULL ? weight[i] * x : x;
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        to[c] += w->part[c];
    }
}

static const char *window_at(const cp_dpid_work *w, int64_t d, int64_t h, int64_t column)
{
    const cp_dpid *p = w->dpid;
    const int64_t *space = p->layout.grid[INPUT].space;
    return w->x + d * p->factor[0] * space[0] + h * p->factor[1] * space[1] + column * p->factor[2] * space[2];
}

/* ---- Averages ---- */

/* The averages of the windows of a row, from the column before the tile on. */
static const double *averages_of(cp_dpid_work *w, int64_t d, int64_t h)
{
    const cp_dpid *p = w->dpid;
    int64_t *kept = w->at[d % SIDE][h % SIDE], channels = p->channels;
    double *row = w->averages + (d % SIDE * SIDE + h % SIDE) * p->row;
    if (kept[0] == d && kept[1] == h) {
        return row;
    }
    kept[0] = d;
    kept[1] = h;
    int64_t from = cp_max64(w->column - 1, 0), to = cp_min64(w->column + w->count + 1, p->pool->out[2]);
    for (int64_t column = from; column < to; column++) {
        double *average = row + (column - w->column + 1) * channels;
        memset(average, 0, (size_t)channels * sizeof(double));
        for (int64_t i = 0, n; i < p->elements; i += n) {
            n = load_piece(w, window_at(w, d, h, column), i);
            add_piece(w, average, NULL, n);
        }
        for (int64_t c = 0; c < channels; c++) {
            average[c] /= (double)p->elements;
        }
    }
    return row;
}

/* center = the averages around a result, weighted 1 2 1 along each axis where they exist. */
static void find_center(cp_dpid_work *w, int64_t d, int64_t h, int64_t column)
{
    const cp_dpid *p = w->dpid;
    const int64_t *out = p->pool->out;
    double total = 0;
    memset(w->center, 0, (size_t)p->channels * sizeof(double));
    for (int64_t i = cp_max64(d - 1, 0); i <= cp_min64(d + 1, out[0] - 1); i++) {
        for (int64_t j = cp_max64(h - 1, 0); j <= cp_min64(h + 1, out[1] - 1); j++) {
            const double *row = averages_of(w, i, j);
            for (int64_t k = cp_max64(column - 1, 0); k <= cp_min64(column + 1, out[2] - 1); k++) {
                double weight = (i == d ? 2.0 : 1.0) * (j == h ? 2.0 : 1.0) * (k == column ? 2.0 : 1.0);
                const double *average = row + (k - w->column + 1) * p->channels;
                for (int64_t c = 0; c < p->channels; c++) {
                    w->center[c] += weight * average[c];
                }
                total += weight;
            }
        }
    }
    for (int64_t c = 0; c < p->channels; c++) {
        w->center[c] /= total;
    }
}

/* ---- Weights ---- */

/* 2^-e for a number of 2^e to 2^(e + 1); of the largest and the smallest nearly so. */
static double power_of_two_below_inverse(double number)
{
    uint64_t bits;
    double power;
    memcpy(&bits, &number, sizeof bits);
    uint64_t exponent = bits >> 52 & 0x7ff;
    exponent = exponent < 1 ? 2045 : exponent > 2045 ? 1 : 2046 - exponent;
    bits = exponent << 52;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* The largest distance of an element from the center along a channel; NaN if there is a NaN. */
static double largest_difference(cp_dpid_work *w, const char *window)
{
    const cp_dpid *p = w->dpid;
    double largest = 0;
    for (int64_t from = 0, n; from < p->elements; from += n) {
        n = load_piece(w, window, from);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t c = 0; c < p->channels; c++) {
                double difference = w->piece[i * p->channels + c] - w->center[c];
                difference = difference < 0 ? -difference : difference;
                largest = difference > largest || difference != difference ? difference : largest;
            }
        }
    }
    return largest;
}

/* Squares of the distances of the elements of the piece; returns the largest. */
static double find_squares(cp_dpid_work *w, int64_t n, double scale)
{
    int64_t channels = w->dpid->channels;
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double square = 0;
        for (int64_t c = 0; c < channels; c++) {
            double difference = (w->piece[i * channels + c] - w->center[c]) * scale;
            square += difference * difference;
        }
        w->square[i] = square;
        largest = square > largest ? square : largest;
    }
    return largest;
}

/* Weights of the piece, 0 to 1, of its squares relative to the largest of the window. */
static void find_weights(cp_dpid_work *w, int64_t n, double largest)
{
    const cp_exponent exponent = {&w->dpid->power, 0};
    for (int64_t i = 0; i < n; i++) {
        w->square[i] /= largest;
    }
    w->engine->kernels->lp->map(w->weight, SOME, w->square, n, exponent);
    for (int64_t i = 0; i < n; i++) {
        double e = w->weight[SOME + i], power = 0;
        if (e > -1000) {
            uint64_t bits = (uint64_t)((int64_t)e + 1023) << 52;
            memcpy(&power, &bits, sizeof power);
        }
        w->weight[i] *= power;
    }
}

/* sum = the result of a window. */
static void weigh_window(cp_dpid_work *w, const char *window)
{
    const cp_dpid *p = w->dpid;
    double largest = 0, total = 0, difference = largest_difference(w, window);
    if (difference == 0) {
        memcpy(w->sum, w->center, (size_t)p->channels * sizeof(double));
        return;
    }
    if (difference - difference != 0) { /* NaN or infinity */
        for (int64_t c = 0; c < p->channels; c++) {
            w->sum[c] = cp_nan();
        }
        return;
    }
    double scale = power_of_two_below_inverse(difference);
    for (int64_t from = 0, n; from < p->elements; from += n) {
        n = load_piece(w, window, from);
        double square = find_squares(w, n, scale);
        largest = square > largest ? square : largest;
    }
    memset(w->sum, 0, (size_t)p->channels * sizeof(double));
    for (int64_t from = 0, n; from < p->elements; from += n) {
        double part = 0;
        n = load_piece(w, window, from);
        (void)find_squares(w, n, scale);
        find_weights(w, n, largest);
        add_piece(w, w->sum, w->weight, n);
        for (int64_t i = 0; i < n; i++) {
            part += w->weight[i];
        }
        total += part;
    }
    for (int64_t c = 0; c < p->channels; c++) {
        w->sum[c] /= total;
    }
}

/* ---- Running ---- */

static void run_row(cp_dpid_work *w, int64_t d, int64_t h)
{
    const cp_dpid *p = w->dpid;
    const cp_layout *layout = &p->layout;
    const int64_t *space = layout->grid[RESULT].space;
    for (int64_t column = w->column; column < w->column + w->count; column++) {
        const double *result = w->sum;
        if (p->power == 0) { /* every weight is 1 */
            result = averages_of(w, d, h) + (column - w->column + 1) * p->channels;
        } else {
            find_center(w, d, h, column);
            weigh_window(w, window_at(w, d, h, column));
        }
        w->engine->kernels->lane[CP_LANE_f64]->store[p->pool->dtype](
            w->y + d * space[0] + h * space[1] + column * space[2], result, 1, 0, p->channels,
            layout->lane >= 0 ? layout->grid[RESULT].batch[layout->lane] : 0);
    }
}

static void run_units(void *arg, int64_t lo, int64_t hi, int worker)
{
    const cp_dpid *p = arg;
    const cp_pool *pool = p->pool;
    char *memory = cp_engine_worker(p->engine, worker);
    int64_t rows = pool->out[0] * pool->out[1], channel;
    cp_dpid_work work = {.dpid = p, .engine = p->engine};
    double **const parts[] = {&work.piece, &work.square, &work.weight, &work.center, &work.sum, &work.part, &work.averages};
    const size_t sizes[] = {doubles(p->some * p->channels), doubles(SOME),        2 * doubles(SOME),     doubles(p->channels),
                            doubles(p->channels),           doubles(p->channels), doubles(SIDE * p->row)};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i] = (double *)(void *)memory;
        memory += sizes[i];
    }
    for (int64_t unit = lo; unit < hi; unit++) {
        int64_t outer = unit / p->blocks, begin = unit % p->blocks * p->block_rows;
        int64_t end = cp_min64(begin + p->block_rows, rows);
        work.x = p->layout.grid[INPUT].data + cp_layout_offset(&p->layout, INPUT, outer, &channel);
        work.y = p->layout.grid[RESULT].data + cp_layout_offset(&p->layout, RESULT, outer, &channel);
        for (work.column = 0; work.column < pool->out[2]; work.column += p->width) {
            work.count = cp_min64(p->width, pool->out[2] - work.column);
            memset(work.at, 0xFF, sizeof work.at); /* -1: no row */
            for (int64_t row = begin; row < end; row++) {
                run_row(&work, row / pool->out[1], row % pool->out[1]);
            }
        }
    }
}

cpool_status cp_dpid_run(const cp_pool *pool, int32_t direction, const cpool_exec *exec)
{
    cp_dpid p;
    cp_engine engine;
    (void)direction;
    plan_dpid(&p, pool);
    p.power = cp_parameter_at(pool, pool->array[CPOOL_LAMBDA], 0, 0) / 2;
    p.power = p.power >= 0 ? p.power : 0; /* checked before, but another thread may write it */
    p.engine = &engine;
    return cp_engine_do(&engine, exec, cost_of(&p), p.units, run_units, &p);
}
