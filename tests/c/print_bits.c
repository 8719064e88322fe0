/* Prints, for every operator, hashes of the bits of its results: forward and backward, float32 and float64, a channel's
 * elements together and a position's. Each is computed on every instruction set of this machine, which have to agree.
 * tools/cross.py compares what machines print; so there are no threads here, and nothing that depends on byte order.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cpool/cpool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2, C = 19, H = 9, W = 23, ARGS = 16, DIMS = 4 };

static const int64_t X_SHAPE[DIMS] = {N, C, H, W};
#define R(role) (UINT32_C(1) << CPOOL_##role)

typedef struct row {
    const char *name;
    int32_t op;
    uint32_t in, out, kept; /* roles besides X and Y; what backward reads besides GRAD|Y */
    int geometries;
} row;

static const row pools[] = {
    {"max", CPOOL_MAX, 0, R(TAPS), R(TAPS), 3},
    {"min", CPOOL_MIN, 0, R(TAPS), R(TAPS), 3},
    {"avg", CPOOL_AVG, 0, 0, 0, 3},
    {"lp", CPOOL_LP, R(P), 0, R(X) | R(P), 3},
    {"unpool", CPOOL_UNPOOL, R(INDICES), 0, R(INDICES), 1},
    {"soft", CPOOL_SOFT, R(BETA), 0, R(X) | R(BETA), 3},
    {"lip", CPOOL_LIP, R(LOGITS), 0, R(X) | R(LOGITS), 3},
    {"stochastic", CPOOL_STOCHASTIC, 0, R(TAPS), R(TAPS), 3},
    {"stochastic mean", CPOOL_STOCHASTIC_MEAN, 0, 0, R(X), 3},
    {"mixed", CPOOL_MIXED, R(BLEND), 0, R(X) | R(BLEND), 3},
    {"mixed random", CPOOL_MIXED_RANDOM, 0, R(MASK), R(X) | R(MASK), 3},
    {"gated", CPOOL_GATED, R(WEIGHT) | R(BIAS), 0, R(X) | R(WEIGHT) | R(BIAS), 1},
    {"rank", CPOOL_RANK, R(WEIGHT), 0, R(X) | R(WEIGHT), 3},
    {"kmax", CPOOL_KMAX, 0, R(INDICES), R(INDICES), 1},
    {"dpp", CPOOL_DPP, R(ALPHA) | R(LAMBDA), 0, R(X) | R(ALPHA) | R(LAMBDA), 3},
    {"dpp, filter", CPOOL_DPP, R(ALPHA) | R(LAMBDA) | R(FILTER), 0, R(X) | R(ALPHA) | R(LAMBDA) | R(FILTER), 1},
    {"ada", CPOOL_ADA, R(BLEND), 0, R(X) | R(BLEND), 3},
    {"tree", CPOOL_TREE, R(LEAVES) | R(GATES), 0, R(X) | R(LEAVES) | R(GATES), 1},
    {"blur", CPOOL_BLUR, 0, 0, 0, 1},
    {"fractional", CPOOL_FRACTIONAL, 0, R(INDICES), R(INDICES), 1},
    {"s3", CPOOL_S3, 0, R(INDICES), R(INDICES), 1},
    {"dpid", CPOOL_DPID, R(LAMBDA), 0, 0, 1},
};

#define AFFINE (R(WEIGHT) | R(BIAS))
static const row norms[] = {
    {"batch norm", CPOOL_BATCH_NORM, AFFINE, R(STATS) | R(MOMENTS), R(X) | R(STATS) | AFFINE, 1},
    {"instance norm", CPOOL_INSTANCE_NORM, AFFINE, R(STATS), R(X) | R(STATS) | AFFINE, 1},
    {"group norm", CPOOL_GROUP_NORM, AFFINE, R(STATS), R(X) | R(STATS) | AFFINE, 1},
    {"layer norm", CPOOL_LAYER_NORM, AFFINE, R(STATS), R(X) | R(STATS) | AFFINE, 1},
    {"RMS norm", CPOOL_RMS_NORM, R(WEIGHT), R(STATS), R(X) | R(STATS) | R(WEIGHT), 1},
};

/* ---- One call ---------------------------------------------------------------------------------------------------------- */

static cpool_pool_params pool_params;
static cpool_norm_params norm_params;
static int is_norm, channels_last;
static cpool_arg args[ARGS];
static int64_t shapes[ARGS][DIMS], strides[ARGS][DIMS];
static int32_t n;
static char arena[1 << 23];
static size_t used;
static uint32_t state;

static void check(cpool_status status, const cpool_error *error)
{
    if (status != CPOOL_OK) {
        printf("%s\n", error->message);
        exit(1);
    }
}

static void *allocate(size_t bytes)
{
    void *memory = arena + used;
    used += (bytes + 63) / 64 * 64;
    if (used > sizeof arena) {
        printf("the arena is too small\n");
        exit(1);
    }
    return memory;
}

static int64_t elements(const cpool_view *v)
{
    int64_t count = 1;
    for (int32_t i = 0; i < v->ndim; i++) {
        count *= v->shape[i];
    }
    return count;
}

static char *element(const cpool_view *v, int64_t index)
{
    char *at = v->data;
    for (int32_t i = v->ndim - 1; i >= 0; i--) {
        at += index % v->shape[i] * v->strides[i];
        index /= v->shape[i];
    }
    return at;
}

/* With so many digits that sums of doubles are rounded, too, and tell in which order they were made. */
static double draw(void)
{
    const double rest = (double)(state >> 8) / 0x1p47;
    state = state * UINT32_C(1664525) + UINT32_C(1013904223);
    return ((double)(state >> 8) / 0x1p23 - 1.0 + rest) * (state >> 29 == 0 ? 300.0 : 1.0);
}

/* Numbers in the order of indices, whatever the strides are. */
static void fill(const cpool_arg *a, int64_t limit)
{
    const int positive = a->role == CPOOL_P || a->role == CPOOL_ALPHA || a->role == CPOOL_LAMBDA;
    for (int64_t i = 0; i < elements(&a->view); i++) {
        double value = draw();
        if (positive) {
            value = 0.5 + (value - (double)(int)value) * (value < 0 ? -1 : 1);
        }
        float single = (float)value;
        int64_t integer = (int64_t)(state >> 8) % limit;
        memcpy(element(&a->view, i),
               a->view.dtype_code == CPOOL_INT ? (void *)&integer
               : a->view.dtype_bits == 32      ? (void *)&single
                                               : (void *)&value,
               a->view.dtype_bits / 8);
    }
}

/* Reads elements as numbers, so that byte order does not matter; any NaN is the same. */
static uint64_t hash(uint64_t h, const cpool_view *v)
{
    for (int64_t i = 0; i < elements(v); i++) {
        uint64_t bits;
        uint32_t single;
        uint8_t byte;
        if (v->dtype_bits == 64) {
            memcpy(&bits, element(v, i), 8);
            bits = v->dtype_code == CPOOL_FLOAT && bits << 1 > UINT64_C(0xffe) << 52 ? UINT64_C(0x7ff8) << 48 : bits;
        } else if (v->dtype_bits == 32) {
            memcpy(&single, element(v, i), 4);
            bits = v->dtype_code == CPOOL_FLOAT && single << 1 > UINT32_C(0xff) << 24 ? UINT32_C(0x7fc00000) : single;
        } else {
            memcpy(&byte, element(v, i), 1);
            bits = byte;
        }
        h = (h ^ bits) * UINT64_C(1099511628211);
        h ^= h >> 29;
    }
    return h;
}

static const cpool_arg *add(int32_t role, int32_t ndim, const int64_t *shape, uint8_t code, uint8_t bits)
{
    static const int order[2][DIMS] = {{3, 2, 1, 0}, {1, 3, 2, 0}}; /* the fastest axis first */
    cpool_view view = {NULL, shapes[n], strides[n], ndim, code, bits, 1, {0, 0, 0, 0}};
    int64_t step = bits / 8;
    for (int32_t i = 0; i < ndim; i++) {
        int axis = ndim == DIMS ? order[channels_last][i] : ndim - 1 - i;
        shapes[n][axis] = shape[axis];
        strides[n][axis] = step;
        step *= shape[axis];
    }
    view.data = allocate((size_t)step);
    args[n].role = role;
    args[n].view = view;
    return &args[n++];
}

static const cpool_arg *add_described(int32_t role)
{
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_shape shape = CPOOL_SHAPE_INIT;
    const int64_t filter[] = {C, 3, 3}, channels[] = {C};
    if (role == CPOOL_FILTER) {
        return add(role, 3, filter, CPOOL_FLOAT, 64);
    }
    check(is_norm ? cpool_norm_describe(&norm_params, args, n, role, &shape, &error)
                  : cpool_pool_describe(&pool_params, args, n, role, &shape, &error),
          &error);
    int one = shape.ndim == 0 && role < CPOOL_GRAD && role != CPOOL_MASK && (is_norm || pool_params.op != CPOOL_DPID);
    return add(role, one ? 1 : shape.ndim, one ? channels : shape.shape, shape.dtype_code, shape.dtype_bits);
}

static void run(int32_t direction, int32_t isa)
{
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_info info = CPOOL_INFO_INIT;
    cpool_exec exec = CPOOL_EXEC_INIT;
    check(is_norm ? cpool_norm_query(&norm_params, args, n, direction, 1, &info, &error)
                  : cpool_pool_query(&pool_params, args, n, direction, 1, &info, &error),
          &error);
    exec.workspace = allocate(info.workspace_size);
    exec.workspace_size = info.workspace_size;
    exec.isa = isa;
    exec.error = &error;
    if (is_norm) {
        check((direction == CPOOL_FORWARD ? cpool_norm_forward : cpool_norm_backward)(&norm_params, args, n, &exec), &error);
    } else {
        check((direction == CPOOL_FORWARD ? cpool_pool_forward : cpool_pool_backward)(&pool_params, args, n, &exec), &error);
    }
}

/* ---- Both directions of a row ------------------------------------------------------------------------------------------ */

static void set_params(const row *r, int32_t geometry)
{
    const cpool_pool_params pool = CPOOL_POOL_PARAMS_INIT;
    const cpool_norm_params norm = CPOOL_NORM_PARAMS_INIT;
    pool_params = pool;
    norm_params = norm;
    norm_params.op = r->op;
    pool_params.op = r->op;
    pool_params.geometry = geometry;
    pool_params.seed = 5;
    pool_params.granularity = r->op == CPOOL_MIXED_RANDOM ? CPOOL_REGION : 0;
    if (r->op == CPOOL_KMAX) {
        pool_params.rank = 1;
        pool_params.k = 3;
        return;
    }
    for (int i = 0; i < 2; i++) {
        pool_params.window[i] = geometry == CPOOL_WHOLE ? 0 : 3;
        if (r->op == CPOOL_FRACTIONAL) {
            pool_params.output_size[i] = 4;
        } else if (r->op != CPOOL_DPID && geometry == CPOOL_SLIDING) {
            pool_params.stride[i] = 2;
            pool_params.pad_before[i] = pool_params.pad_after[i] = r->op <= CPOOL_TREE;
        }
    }
}

static void both_directions(const row *r, int32_t geometry, uint8_t bits, int32_t isa, uint64_t *hashes)
{
    set_params(r, geometry);
    state = 7;
    used = 0;
    n = 0;
    fill(add(CPOOL_X, DIMS, X_SHAPE, CPOOL_FLOAT, bits), 1);
    for (int32_t role = CPOOL_TAPS; role <= CPOOL_GATES; role++) {
        if (r->in >> role & 1) {
            fill(add_described(role), H * W);
        }
    }
    const int32_t inputs = n;
    add_described(CPOOL_Y);
    for (int32_t role = CPOOL_TAPS; role <= CPOOL_GATES; role++) {
        if (r->out >> role & 1) {
            add_described(role);
        }
    }
    run(CPOOL_FORWARD, isa);
    hashes[0] = hashes[1] = UINT64_C(14695981039346656037);
    for (int32_t i = inputs; i < n; i++) {
        hashes[0] = hash(hashes[0], &args[i].view);
    }
    if (!is_norm && r->op == CPOOL_DPID) {
        return;
    }

    /* What backward reads, moved to the front. */
    int32_t kept = 0;
    const int32_t y_ndim = args[inputs].view.ndim;
    int64_t y_shape[DIMS];
    memcpy(y_shape, args[inputs].view.shape, sizeof y_shape);
    for (int32_t i = 0; i < n; i++) {
        if (i != inputs && (r->kept >> args[i].role & 1)) {
            memcpy(shapes[kept], args[i].view.shape, sizeof shapes[0]);
            memcpy(strides[kept], args[i].view.strides, sizeof strides[0]);
            args[kept] = args[i];
            args[kept].view.shape = shapes[kept];
            args[kept].view.strides = strides[kept];
            kept++;
        }
    }
    n = kept;
    const uint32_t differentiable = (R(X) | (r->in & ~R(INDICES)));
    for (int32_t role = CPOOL_X; role <= CPOOL_GATES; role++) {
        if (differentiable >> role & 1) {
            int32_t like = 0;
            while (like < kept && args[like].role != role) {
                like++;
            }
            if (like < kept) {
                add(CPOOL_GRAD | role, args[like].view.ndim, args[like].view.shape, CPOOL_FLOAT, args[like].view.dtype_bits);
            } else {
                add(CPOOL_GRAD | role, DIMS, X_SHAPE, CPOOL_FLOAT, bits);
            }
        }
    }
    const int32_t results = n;
    fill(add(CPOOL_GRAD | CPOOL_Y, y_ndim, y_shape, CPOOL_FLOAT, bits), 1);
    run(CPOOL_BACKWARD, isa);
    for (int32_t i = kept; i < results; i++) {
        hashes[1] = hash(hashes[1], &args[i].view);
    }
}

static int print_row(const row *r)
{
    static const char *const geometries[] = {"sliding", "adaptive", "whole"};
    int differ = 0;
    for (int variant = 0; variant < 4 * r->geometries; variant++) {
        const int32_t geometry = variant / 4;
        const uint8_t bits = variant & 1 ? 64 : 32;
        uint64_t first[2] = {0, 0}, now[2];
        channels_last = variant >> 1 & 1;
        for (int32_t isa = CPOOL_ISA_SCALAR; isa <= CPOOL_ISA_WASM; isa++) {
            if (cpool_isa_available(isa)) {
                both_directions(r, geometry, bits, isa, now);
                if (isa == CPOOL_ISA_SCALAR) {
                    memcpy(first, now, sizeof now);
                } else if (memcmp(first, now, sizeof now) != 0) {
                    fprintf(stderr, "%s: other bits on %s\n", r->name, cpool_isa_name(isa));
                    differ = 1;
                }
            }
        }
        printf("%s%s%s, channels %s, float%d:", r->name, is_norm ? "" : " ", is_norm ? "" : geometries[geometry],
               channels_last ? "last" : "first", bits);
        for (int i = 0; i < 2; i++) {
            printf(" %08lx%08lx", (unsigned long)(first[i] >> 32), (unsigned long)(first[i] & 0xffffffffu));
        }
        printf("\n");
    }
    return differ;
}

int main(void)
{
    int differ = 0;
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        differ |= print_row(&pools[i]);
    }
    is_norm = 1;
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++) {
        differ |= print_row(&norms[i]);
    }
    fprintf(stderr, "instruction sets:");
    for (int32_t isa = CPOOL_ISA_SCALAR; isa <= CPOOL_ISA_WASM; isa++) {
        if (cpool_isa_available(isa)) {
            fprintf(stderr, " %s", cpool_isa_name(isa));
        }
    }
    fprintf(stderr, "\n");
    return differ;
}
