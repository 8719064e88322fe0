/* The C interface: what is right computes, what is wrong fails as it should and writes nothing.
 *
 *     python tools/run_c_tests.py pool
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE

#include "cpool/cpool.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__SSE__)
#  include <xmmintrin.h>
#endif

static int passed, failed;

static int check(int ok, const char *format, ...)
{
    if (ok) {
        passed++;
        return 1;
    }
    if (failed++ < 40) {
        va_list list;
        va_start(list, format);
        printf("FAILED: ");
        vprintf(format, list);
        printf("\n");
        va_end(list);
    }
    return 0;
}

static uint64_t state = 88172645463325252u;

static int64_t below(int64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)((state >> 11) % (uint64_t)n);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------------- */

enum { MAX_ARRAYS = 6, BYTES = 1 << 17, NONE = 0 };

/* A call with all it needs, every array in memory of its own. */
typedef struct call {
    const char *name;
    cpool_pool_params params;
    int32_t direction, n;
    cpool_arg args[MAX_ARRAYS + 2];
    int64_t shape[MAX_ARRAYS][CPOOL_MAX_NDIM], strides[MAX_ARRAYS][CPOOL_MAX_NDIM];
    cpool_exec exec;
    cpool_error error;
} call;

static _Alignas(64) unsigned char memory[MAX_ARRAYS][BYTES], workspace[1 << 22];

/* What a call that must not write may not have changed: all that the arrays of wrong calls hold, and more. */
enum { REMEMBERED = 1 << 13 };
static unsigned char before[MAX_ARRAYS][REMEMBERED];

static void remember(void)
{
    for (int i = 0; i < MAX_ARRAYS; i++) {
        memcpy(before[i], memory[i], REMEMBERED);
    }
}

static int is_as_before(void)
{
    int same = 1;
    for (int i = 0; i < MAX_ARRAYS; i++) {
        same &= memcmp(before[i], memory[i], REMEMBERED) == 0;
    }
    return same;
}

static size_t item_size(const cpool_view *view)
{
    return view->dtype_bits / 8;
}

static int64_t elements(const cpool_view *view)
{
    int64_t size = 1;
    for (int32_t i = 0; i < view->ndim; i++) {
        size *= view->shape[i];
    }
    return size;
}

static int32_t index_of(const call *c, int32_t role)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->args[i].role == role) {
            return i;
        }
    }
    return -1;
}

static cpool_view *view_of(call *c, int32_t role)
{
    return &c->args[index_of(c, role)].view;
}

static int is_result(const call *c, int32_t role)
{
    if (c->direction == CPOOL_FORWARD) {
        return role == CPOOL_Y || role == CPOOL_TAPS;
    }
    return role == (CPOOL_GRAD | CPOOL_X) || role == (CPOOL_GRAD | CPOOL_P);
}

static cpool_arg *add(call *c, int32_t role, int32_t ndim, const int64_t *shape, uint8_t code, uint8_t bits)
{
    int32_t i = c->n++;
    cpool_arg *arg = &c->args[i];
    memset(arg, 0, sizeof *arg);
    arg->role = role;
    arg->view.data = memory[i];
    arg->view.shape = c->shape[i];
    arg->view.strides = c->strides[i];
    arg->view.ndim = ndim;
    arg->view.dtype_code = code;
    arg->view.dtype_bits = bits;
    arg->view.dtype_lanes = 1;
    int64_t stride = bits / 8;
    for (int32_t k = ndim; k-- > 0;) {
        c->shape[i][k] = shape[k];
        c->strides[i][k] = stride;
        stride *= shape[k];
    }
    return arg;
}

/* A role as the library describes it, given what is there already. */
static void add_described(call *c, int32_t role)
{
    cpool_shape shape = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_status status = cpool_pool_describe(&c->params, c->args, c->n, role, &shape, &error);
    if (check(status == CPOOL_OK, "%s: describe role %d: %s", c->name, role, error.message)) {
        add(c, role, shape.ndim, shape.shape, shape.dtype_code, shape.dtype_bits);
    }
}

static void fill(const call *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        const cpool_view *v = &c->args[i].view;
        if (is_result(c, c->args[i].role)) {
            memset(v->data, 0xA5, BYTES);
            continue;
        }
        for (int64_t j = 0; j < elements(v); j++) {
            char *at = (char *)v->data + (size_t)j * item_size(v);
            double value = (double)below(2001) / 1000 - 1;
            float single = (float)value;
            int64_t index = below(5) - 1;
            int32_t tap = (int32_t)index;
            if (c->args[i].role == CPOOL_P) {
                value = j % 3 == 2 ? (double)INFINITY : 0.5 + (double)j;
                single = (float)value;
            }
            if (v->dtype_code == CPOOL_FLOAT) {
                memcpy(at, v->dtype_bits == 32 ? (void *)&single : (void *)&value, item_size(v));
            } else if (v->dtype_bits == 8) {
                *(unsigned char *)at = (unsigned char)tap;
            } else {
                memcpy(at, v->dtype_bits == 32 ? (void *)&tap : (void *)&index, item_size(v));
            }
        }
    }
}

typedef struct kind {
    const char *name;
    int32_t op, direction;
    uint32_t flags;
    int per_channel;
} kind;

static const kind kinds[] = {
    {"max forward", CPOOL_MAX, CPOOL_FORWARD, CPOOL_CEIL_MODE, 0},
    {"max backward", CPOOL_MAX, CPOOL_BACKWARD, 0, 0},
    {"min forward", CPOOL_MIN, CPOOL_FORWARD, 0, 0},
    {"min backward", CPOOL_MIN, CPOOL_BACKWARD, CPOOL_CEIL_MODE, 0},
    {"avg forward", CPOOL_AVG, CPOOL_FORWARD, CPOOL_COUNT_INCLUDE_PAD, 0},
    {"avg backward", CPOOL_AVG, CPOOL_BACKWARD, CPOOL_DIVISOR, 0},
    {"lp forward", CPOOL_LP, CPOOL_FORWARD, CPOOL_MEAN, 1},
    {"lp forward, one p", CPOOL_LP, CPOOL_FORWARD, 0, 0},
    {"lp backward", CPOOL_LP, CPOOL_BACKWARD, 0, 1},
    {"lp backward, one p", CPOOL_LP, CPOOL_BACKWARD, CPOOL_MEAN, 0},
    {"unpool forward", CPOOL_UNPOOL, CPOOL_FORWARD, 0, 0},
    {"unpool forward, add", CPOOL_UNPOOL, CPOOL_FORWARD, CPOOL_ADD, 0},
    {"unpool backward", CPOOL_UNPOOL, CPOOL_BACKWARD, 0, 0},
    {"unpool backward, add", CPOOL_UNPOOL, CPOOL_BACKWARD, CPOOL_ADD, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void make_on(call *c, const kind *k, const int64_t *shape, uint8_t bits)
{
    static const cpool_pool_params params = CPOOL_POOL_PARAMS_INIT;
    static const cpool_exec exec = CPOOL_EXEC_INIT;
    static const cpool_error error = CPOOL_ERROR_INIT;
    memset(c, 0, sizeof *c);
    c->name = k->name;
    c->params = params;
    c->params.op = k->op;
    c->params.window[0] = 3;
    c->params.window[1] = 2;
    c->params.stride[0] = 2;
    c->params.stride[1] = 1;
    c->params.pad_before[0] = c->params.pad_after[1] = 1;
    c->params.flags = k->flags;
    c->params.divisor = 3.5;
    c->direction = k->direction;
    c->exec = exec;
    c->exec.workspace = workspace;
    c->exec.workspace_size = sizeof workspace;
    c->exec.error = &c->error;
    c->error = error;
    int backward = k->direction == CPOOL_BACKWARD;
    add(c, backward ? CPOOL_GRAD | CPOOL_X : CPOOL_X, 4, shape, CPOOL_FLOAT, bits);
    add_described(c, backward ? CPOOL_GRAD | CPOOL_Y : CPOOL_Y);
    if (k->op == CPOOL_MAX || k->op == CPOOL_MIN) {
        add_described(c, CPOOL_TAPS);
    }
    if (k->op == CPOOL_UNPOOL) {
        add_described(c, CPOOL_INDICES);
    }
    if (k->op == CPOOL_LP) {
        if (backward) {
            add(c, CPOOL_X, 4, shape, CPOOL_FLOAT, bits);
        }
        add(c, CPOOL_P, k->per_channel, &shape[1], CPOOL_FLOAT, k->per_channel ? bits : 64);
        if (backward) {
            add_described(c, CPOOL_GRAD | CPOOL_P);
        }
    }
    fill(c);
}

static void make(call *c, const kind *k)
{
    static const int64_t shape[4] = {2, 3, 7, 6};
    make_on(c, k, shape, 32);
}

static cpool_status run(const call *c)
{
    return c->direction == CPOOL_FORWARD ? cpool_pool_forward(&c->params, c->args, c->n, &c->exec)
                                         : cpool_pool_backward(&c->params, c->args, c->n, &c->exec);
}

static void works(call *c, const char *what)
{
    memset(&c->error, 0x5A, sizeof c->error);
    c->error.struct_size = sizeof c->error;
    cpool_error untouched = c->error;
    cpool_status status = run(c);
    check(status == CPOOL_OK, "%s, %s: status %d, %.255s", c->name, what, (int)status, c->error.message);
    check(status != CPOOL_OK || memcmp(&untouched, &c->error, sizeof untouched) == 0, "%s, %s: the error is written", c->name,
          what);
}

enum { ANY_ROLE = -1 };

/* Reserved room that was filled with 0x5A still is. */
static int is_left(const int64_t reserved[4])
{
    return reserved[0] == INT64_C(0x5A5A5A5A5A5A5A5A) && memcmp(reserved, reserved + 1, 24) == 0;
}

/* The call must fail with this status, name this role and write nothing. word: part of the message, or NULL. */
static void refused(call *c, cpool_status want, int32_t role, const char *word, const char *what)
{
    remember();
    memset(&c->error, 0x5A, sizeof c->error);
    c->error.struct_size = sizeof c->error;
    cpool_status status = run(c);
    check(status == want, "%s, %s: status %d, not %d (%.255s)", c->name, what, (int)status, (int)want,
          status == CPOOL_OK ? "" : c->error.message);
    check(is_as_before(), "%s, %s: arrays are written", c->name, what);
    if (status != CPOOL_OK) {
        check(c->error.status == (int32_t)status, "%s, %s: error.status=%d", c->name, what, c->error.status);
        check(role == ANY_ROLE || c->error.role == role, "%s, %s: error.role=%d, not %d (%.255s)", c->name, what, c->error.role,
              role, c->error.message);
        check(is_left(c->error.reserved), "%s, %s: reserved room of the error is written", c->name, what);
        check(memchr(c->error.message, 0, sizeof c->error.message) != NULL && c->error.message[0] != 0,
              "%s, %s: no message, or no end of it", c->name, what);
        check(word == NULL || strstr(c->error.message, word) != NULL, "%s, %s: '%s' is not in: %s", c->name, what, word,
              c->error.message);
    }
    cpool_exec exec = c->exec;
    c->exec.error = NULL;
    check(run(c) == status, "%s, %s: another status without an error", c->name, what);
    cpool_error small = c->error;
    small.struct_size = sizeof small.struct_size;
    memset(small.message, 0x5A, sizeof small.message);
    cpool_error as_it_was = small;
    c->exec.error = &small;
    check(run(c) == status && memcmp(&small, &as_it_was, sizeof small) == 0, "%s, %s: a small error is written", c->name, what);
    c->exec = exec;
}

/* ---- Wrong parameters -------------------------------------------------------------------------------------------------- */

#define REFUSED(status, role, word, ...) \
    do { \
        make(&c, k); \
        __VA_ARGS__; \
        refused(&c, status, role, word, #__VA_ARGS__); \
    } while (0)

static const int64_t extremes[] = {
    0, -1, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, INT64_MAX / 2, INT64_C(1) << 62, INT64_MIN / 2};
enum { EXTREMES = sizeof extremes / sizeof extremes[0] };

static void wrong_params(const kind *k)
{
    call c;
    int unpool = k->op == CPOOL_UNPOOL,
        x = k->direction == CPOOL_BACKWARD && k->op != CPOOL_LP ? CPOOL_GRAD | CPOOL_X : CPOOL_X;
    static const int32_t operators[] = {0, -1, 22, 99, INT32_MAX, INT32_MIN}, ranks[] = {0, -1, 4, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        REFUSED(CPOOL_UNSUPPORTED, NONE, "op", c.params.op = operators[i]);
    }
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, "rank", c.params.rank = ranks[i]);
    }
    REFUSED(CPOOL_INVALID_VALUE, NONE, "struct_size", c.params.struct_size = 0);
    REFUSED(CPOOL_INVALID_VALUE, NONE, "struct_size", c.params.struct_size = sizeof(size_t));
    REFUSED(CPOOL_INVALID_VALUE, NONE, "window", c.params.struct_size = offsetof(cpool_pool_params, window));
    REFUSED(CPOOL_UNSUPPORTED, NONE, "geometry", c.params.geometry = -1);
    REFUSED(CPOOL_UNSUPPORTED, NONE, "geometry", c.params.geometry = 3);
    REFUSED(CPOOL_UNSUPPORTED, NONE, "padding_mode", c.params.padding_mode = -1);
    REFUSED(CPOOL_UNSUPPORTED, NONE, "padding_mode", c.params.padding_mode = 4);
    REFUSED(CPOOL_UNSUPPORTED, NONE, "reserved", c.params.reserved_flags = 1);
    for (int i = 0; i < 8; i++) {
        REFUSED(CPOOL_UNSUPPORTED, NONE, "reserved", c.params.reserved[i] = i - 4 + (i == 4));
    }
    for (int i = 0; i < 2; i++) {
        REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "axes", c.params.axes[i] = 4);
        REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "axes", c.params.axes[i] = -5);
        REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "axes", c.params.axes[i] = INT32_MAX);
        REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "axes", c.params.axes[i] = CPOOL_AXIS_NONE);
        REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "twice", c.params.axes[i] = i == 0 ? 3 : 2);
        for (int e = 0; e < EXTREMES; e++) {
            if (extremes[e] < 1) {
                REFUSED(CPOOL_INVALID_VALUE, NONE, "window", c.params.window[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, NONE, "stride", c.params.stride[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, NONE, "dilation", c.params.dilation[i] = extremes[e]);
            } else {
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.window[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.stride[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.dilation[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.window[i] = c.params.dilation[i] = extremes[e]);
            }
            if (extremes[e] != 0) {
                REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.pad_before[i] = extremes[e]);
                REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.pad_after[i] = extremes[e]);
            }
            if (unpool) {
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.output_size[i] = extremes[e]);
            }
        }
        REFUSED(CPOOL_INVALID_VALUE, NONE, "window", c.params.window[i] = INT64_MIN);
        REFUSED(CPOOL_INVALID_VALUE, NONE, "dilation", c.params.dilation[i] = INT64_MIN);
        REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.pad_before[i] = INT64_MIN);
        REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.pad_after[i] = INT64_MIN);
        REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.pad_before[i] = c.params.window[i]);
        REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, c.params.output_size[0] = c.params.output_size[1] = INT64_C(1) << 40;
                c.params.window[i] = unpool ? 2 : 50);
        if (!unpool) {
            REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "window", c.params.window[i] = 50);
            REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "window", c.params.dilation[i] = 50);
        }
    }
    REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "channel_axis", c.params.channel_axis = 4);
    REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "channel_axis", c.params.channel_axis = -5);
    REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "channel_axis", c.params.channel_axis = 3);
    REFUSED(CPOOL_INVALID_VALUE, CPOOL_X, "channel_axis", c.params.channel_axis = INT32_MAX);
    REFUSED(CPOOL_INVALID_VALUE, NONE, NULL, c.params.geometry = CPOOL_WHOLE);
    REFUSED(CPOOL_INVALID_VALUE, NONE, NULL, c.params.geometry = CPOOL_ADAPTIVE);
    for (int i = 0; i < 2; i++) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, NULL, c.params.geometry = CPOOL_WHOLE; c.params.stride[i] = CPOOL_SIZE_DEFAULT;
                c.params.pad_before[0] = c.params.pad_after[1] = 0);
        REFUSED(CPOOL_INVALID_VALUE, NONE, NULL, c.params.geometry = CPOOL_WHOLE;
                c.params.stride[0] = c.params.stride[1] = CPOOL_SIZE_DEFAULT);
    }
    static const uint32_t flags[] = {CPOOL_CEIL_MODE, CPOOL_COUNT_INCLUDE_PAD, CPOOL_DIVISOR, CPOOL_MEAN, CPOOL_ADD};
    static const uint32_t taken[] = {0,
                                     CPOOL_CEIL_MODE,
                                     CPOOL_CEIL_MODE,
                                     CPOOL_CEIL_MODE | CPOOL_COUNT_INCLUDE_PAD | CPOOL_DIVISOR,
                                     CPOOL_CEIL_MODE | CPOOL_MEAN,
                                     CPOOL_ADD};
    for (int i = 0; i < 5; i++) {
        if ((taken[k->op] & flags[i]) == 0) {
            REFUSED(CPOOL_INVALID_VALUE, NONE, "takes no", c.params.flags |= flags[i]);
        }
    }
    REFUSED(CPOOL_INVALID_VALUE, NONE, "symmetric", c.params.flags |= CPOOL_ASYMMETRIC);
    for (int bit = 6; bit < 32; bit++) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, "flags", c.params.flags |= UINT32_C(1) << bit);
    }
    if (k->op == CPOOL_AVG) {
        static const double divisors[] = {0.0, -0.0, (double)NAN, (double)INFINITY, (double)-INFINITY};
        for (size_t i = 0; i < sizeof divisors / sizeof *divisors; i++) {
            REFUSED(CPOOL_INVALID_VALUE, NONE, "divisor", c.params.flags |= CPOOL_DIVISOR; c.params.divisor = divisors[i]);
        }
    }
    for (int32_t mode = CPOOL_VALID; mode <= CPOOL_SAME_LOWER && (taken[k->op] & CPOOL_CEIL_MODE); mode++) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, "ceil_mode", c.params.padding_mode = mode; c.params.flags |= CPOOL_CEIL_MODE);
    }
    if (unpool) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.padding_mode = CPOOL_SAME_UPPER);
        REFUSED(CPOOL_INVALID_VALUE, NONE, "padding", c.params.padding_mode = CPOOL_SAME_LOWER);
    }
    (void)x;
    make(&c, k);
    c.exec.error = NULL;
    cpool_status status = k->direction == CPOOL_FORWARD ? cpool_pool_forward(NULL, c.args, c.n, &c.exec)
                                                        : cpool_pool_backward(NULL, c.args, c.n, &c.exec);
    check(status == CPOOL_INVALID_VALUE, "%s: params NULL", c.name);
}

/* What an older or a newer caller gives. */
static void sizes_of_params(const kind *k)
{
    struct {
        cpool_pool_params params;
        unsigned char more[64];
    } newer;
    call c;
    make(&c, k);
    works(&c, "as it is");
    unsigned char result[MAX_ARRAYS][BYTES];
    memcpy(result, memory, sizeof memory);
    memset(&newer, 0, sizeof newer);
    make(&c, k);
    memcpy(memory, result, sizeof memory); /* the same inputs */
    newer.params = c.params;
    newer.params.struct_size = sizeof newer;
    cpool_status status = k->direction == CPOOL_FORWARD ? cpool_pool_forward(&newer.params, c.args, c.n, &c.exec)
                                                        : cpool_pool_backward(&newer.params, c.args, c.n, &c.exec);
    check(status == CPOOL_OK && memcmp(result, memory, sizeof memory) == 0, "%s: a larger struct of zeros", c.name);
    for (size_t i = 0; i < sizeof newer.more; i += 9) {
        newer.more[i] = 1;
        remember();
        status = k->direction == CPOOL_FORWARD ? cpool_pool_forward(&newer.params, c.args, c.n, &c.exec)
                                               : cpool_pool_backward(&newer.params, c.args, c.n, &c.exec);
        check(status == CPOOL_UNSUPPORTED && c.error.role == 0 && is_as_before(), "%s: a larger struct with byte %zu set",
              c.name, i);
        newer.more[i] = 0;
    }
    /* What the struct does not hold is as in INIT, whatever lies there. */
    if ((k->flags & CPOOL_DIVISOR) == 0) {
        c.params.struct_size = offsetof(cpool_pool_params, divisor);
        memset((char *)&c.params + c.params.struct_size, 0x77, sizeof c.params - c.params.struct_size);
        works(&c, "an older struct, without divisor");
        check(memcmp(result, memory, sizeof memory) == 0, "%s: an older struct gives the same", c.name);
    }
    c.params.struct_size = offsetof(cpool_pool_params, output_size);
    c.params.output_size[0] = c.params.output_size[1] = -1;
    c.params.flags = UINT32_MAX;
    if (k->flags == 0) {
        works(&c, "an older struct, without output_size");
        check(memcmp(result, memory, sizeof memory) == 0, "%s: an older struct gives the same", c.name);
    }
}

/* ---- Wrong arrays ------------------------------------------------------------------------------------------------------ */

static void wrong_arrays(const kind *k)
{
    call c;
    make(&c, k);
    int32_t count = c.n;
    static const int32_t unknown[] = {0,
                                      31,
                                      25,
                                      32,
                                      63,
                                      64,
                                      255,
                                      256,
                                      256 + 5,
                                      256 + 31,
                                      512,
                                      512 + 1,
                                      INT32_MAX,
                                      -1,
                                      INT32_MIN,
                                      INT32_MIN + 1,
                                      INT32_MIN + 257};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        REFUSED(CPOOL_UNSUPPORTED, unknown[i], "role", c.args[below(c.n)].role = unknown[i]);
        REFUSED(CPOOL_UNSUPPORTED, unknown[i], "role", c.args[c.n] = c.args[0]; c.args[c.n++].role = unknown[i]);
    }
    static const int32_t known[] = {CPOOL_X,
                                    CPOOL_Y,
                                    CPOOL_TAPS,
                                    CPOOL_INDICES,
                                    CPOOL_LENGTHS,
                                    CPOOL_U,
                                    CPOOL_LOGITS,
                                    CPOOL_P,
                                    CPOOL_BETA,
                                    CPOOL_BIAS,
                                    CPOOL_BLEND,
                                    CPOOL_WEIGHT,
                                    CPOOL_MASK,
                                    CPOOL_GRAD | CPOOL_X,
                                    CPOOL_GRAD | CPOOL_Y,
                                    CPOOL_GRAD | CPOOL_P,
                                    CPOOL_GRAD | CPOOL_WEIGHT};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        make(&c, k);
        if (index_of(&c, known[i]) < 0) {
            REFUSED(CPOOL_INVALID_VALUE, known[i], "takes no", c.args[c.n] = c.args[0]; c.args[c.n++].role = known[i]);
        }
    }
    REFUSED(CPOOL_INVALID_VALUE, NONE, "args", c.n = -1);
    REFUSED(CPOOL_INVALID_VALUE, NONE, "args", c.n = INT32_MIN);
    REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, "missing", c.n = 0);
    make(&c, k);
    c.exec.error = NULL;
    check(CPOOL_INVALID_VALUE == (k->direction == CPOOL_FORWARD ? cpool_pool_forward(&c.params, NULL, c.n, &c.exec)
                                                                : cpool_pool_backward(&c.params, NULL, c.n, &c.exec)),
          "%s: args NULL", c.name);
    for (int32_t i = 0; i < count; i++) {
        int32_t role = c.args[i].role;
        cpool_view *v = &c.args[i].view;
        int64_t *shape = c.shape[i], *strides = c.strides[i];
        int optional = role == CPOOL_TAPS ? k->direction == CPOOL_FORWARD
                                          : k->op == CPOOL_LP && k->direction == CPOOL_BACKWARD && is_result(&c, role);
        if (!optional) {
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, "missing", c.args[i] = c.args[--c.n]);
        }
        REFUSED(CPOOL_INVALID_VALUE, role, "twice", c.args[c.n] = c.args[i]; c.n++);
        REFUSED(CPOOL_UNSUPPORTED, role, NULL, c.args[i].reserved = 1);
        static const int32_t dims[] = {-1, CPOOL_MAX_NDIM + 1, INT32_MAX, INT32_MIN};
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
            REFUSED(CPOOL_INVALID_VALUE, role, "ndim", v->ndim = dims[d]);
        }
        for (int r = 0; r < 4; r++) {
            REFUSED(CPOOL_UNSUPPORTED, role, "reserved", v->reserved[r] = r - 2 + (r == 2));
        }
        static const int lanes[] = {0, 2, 65535}, bits[] = {0, 1, 7, 9, 12, 63, 255};
        for (size_t l = 0; l < sizeof lanes / sizeof *lanes; l++) {
            REFUSED(CPOOL_INVALID_TYPE, role, "lanes", v->dtype_lanes = (uint16_t)lanes[l]);
        }
        for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
            REFUSED(CPOOL_INVALID_TYPE, role, "bits", v->dtype_bits = (uint8_t)bits[b]);
        }
        make(&c, k);
        int right_code = v->dtype_code;
        for (int code = 0; code < 256; code++) {
            if (code != right_code) {
                REFUSED(CPOOL_INVALID_TYPE, role, "dtype", v->dtype_code = (uint8_t)code);
            }
        }
        REFUSED(CPOOL_INVALID_TYPE, role, "dtype", v->dtype_bits = 16);
        REFUSED(CPOOL_INVALID_TYPE, role, "dtype", v->dtype_bits = 128);
        REFUSED(CPOOL_INVALID_VALUE, role, "NULL", v->data = NULL);
        if (v->ndim == 0) {
            continue;
        }
        REFUSED(CPOOL_INVALID_VALUE, role, "shape", v->shape = NULL);
        for (int32_t d = 0; d < v->ndim; d++) {
            static const int64_t negative[] = {-1, INT64_MIN, INT64_MIN + 1};
            for (int e = 0; e < 3; e++) {
                REFUSED(CPOOL_INVALID_VALUE, role, "length", shape[d] = negative[e]);
            }
            for (int e = 0; e < EXTREMES; e++) {
                if (extremes[e] > 1) {
                    REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] = extremes[e]);
                    REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] = extremes[e]; strides[d] = 0);
                    REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] = extremes[e]; v->strides = NULL);
                }
                if (extremes[e] > INT64_MAX - 8 || extremes[e] < 8 - INT64_MAX) { /* others may be right: memory is large */
                    REFUSED(CPOOL_INVALID_VALUE, role, "stride", strides[d] = extremes[e]);
                }
            }
            REFUSED(CPOOL_INVALID_VALUE, role, "stride", strides[d] = INT64_MIN);
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] *= 3);
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] *= 3; v->strides = NULL);
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, shape[d] = 0);
            if (is_result(&c, role)) {
                REFUSED(CPOOL_INVALID_VALUE, role, "itself", strides[d] = 0);
                REFUSED(CPOOL_INVALID_VALUE, role, "itself", strides[d] = v->dtype_bits > 8 ? 1 : 0);
            }
        }
        if (v->ndim > 1) {
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, v->ndim--);
            REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, v->ndim = 0);
        }
        REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, NULL, v->ndim++; shape[v->ndim - 1] = 1; strides[v->ndim - 1] = 4);
        for (int32_t j = 0; j < count; j++) {
            if (j != i && is_result(&c, role)) {
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, "shares memory", v->data = c.args[j].view.data);
                REFUSED(CPOOL_INVALID_VALUE, ANY_ROLE, "shares memory",
                        c.args[j].view.data = (char *)v->data + (size_t)elements(v) * item_size(v) - 1);
            }
        }
    }
    if (k->op == CPOOL_LP) {
        static const double exponents[] = {0.0, -0.0, -1.0, (double)NAN, (double)-INFINITY, -5e-324};
        for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
            make(&c, k);
            cpool_view *p = view_of(&c, CPOOL_P);
            float single = (float)exponents[e];
            char *at = (char *)p->data + (size_t)(elements(p) - 1) * item_size(p);
            memcpy(at, p->dtype_bits == 32 ? (const void *)&single : (const void *)&exponents[e], item_size(p));
            refused(&c, CPOOL_INVALID_VALUE, CPOOL_P, "p=", "an exponent that cannot be");
        }
        if (k->per_channel) {
            REFUSED(CPOOL_INVALID_VALUE, CPOOL_P, "channel", c.params.channel_axis = CPOOL_AXIS_NONE);
            REFUSED(CPOOL_INVALID_VALUE, CPOOL_P, "channel", c.params.channel_axis = 0);
        }
    }
    if (k->op == CPOOL_UNPOOL) {
        static const int64_t wrong[] = {-2, INT64_MIN, INT64_MAX, INT64_C(1) << 32, INT64_MIN + 1};
        for (size_t e = 0; e < sizeof wrong / sizeof *wrong; e++) {
            make(&c, k);
            cpool_view *indices = view_of(&c, CPOOL_INDICES);
            memcpy((char *)indices->data + 8 * below(elements(indices)), &wrong[e], 8);
            refused(&c, CPOOL_INVALID_VALUE, CPOOL_INDICES, "indices", "an index that cannot be");
        }
        make(&c, k);
        int32_t plane = k->direction == CPOOL_FORWARD ? CPOOL_Y : CPOOL_GRAD | CPOOL_Y;
        int64_t places = view_of(&c, plane)->shape[2] * view_of(&c, plane)->shape[3], last = places - 1;
        char *end = (char *)view_of(&c, CPOOL_INDICES)->data + 8 * (elements(view_of(&c, CPOOL_INDICES)) - 1);
        memcpy(end, &last, 8);
        works(&c, "the last place");
        make(&c, k);
        memcpy(end, &places, 8);
        refused(&c, CPOOL_INVALID_VALUE, CPOOL_INDICES, "indices", "behind the last place");
    }
}

/* ---- Wrong ways to run ------------------------------------------------------------------------------------------------- */

static cpool_info query(const call *c, int32_t workers)
{
    cpool_info info = CPOOL_INFO_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_status status = cpool_pool_query(&c->params, c->args, c->n, c->direction, workers, &info, &error);
    check(status == CPOOL_OK, "%s: query: %s", c->name, error.message);
    return info;
}

static void wrong_exec(const kind *k)
{
    call c;
    make(&c, k);
    size_t need = query(&c, 1).workspace_size;
    check(need > 0 || k->op == CPOOL_UNPOOL, "%s: no workspace", c.name);
    check((k->direction == CPOOL_FORWARD ? cpool_pool_forward(&c.params, c.args, c.n, NULL)
                                         : cpool_pool_backward(&c.params, c.args, c.n, NULL)) == CPOOL_INVALID_VALUE,
          "%s: exec NULL", c.name);
    remember();
    c.exec.struct_size = offsetof(cpool_exec, reserved);
    check(run(&c) == CPOOL_INVALID_VALUE && is_as_before(), "%s: a small exec", c.name);
    for (int i = 0; i < 4; i++) {
        REFUSED(CPOOL_UNSUPPORTED, NONE, "reserved", c.exec.reserved[i] = i - 2 + (i == 2));
    }
    static const int32_t isas[] = {-1, 7, 100, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        REFUSED(CPOOL_INVALID_VALUE, NONE, "isa", c.exec.isa = isas[i]);
    }
    for (int32_t isa = 1; cpool_isa_name(isa) != NULL; isa++) {
        if (!cpool_isa_available(isa)) {
            REFUSED(CPOOL_INVALID_VALUE, NONE, cpool_isa_name(isa), c.exec.isa = isa);
        }
    }
    if (need > 0) {
        REFUSED(CPOOL_NO_MEMORY, NONE, "workspace", c.exec.workspace = NULL);
        REFUSED(CPOOL_NO_MEMORY, NONE, "workspace", c.exec.workspace_size = 0);
        REFUSED(CPOOL_NO_MEMORY, NONE, "workspace", c.exec.workspace_size = need - 1);
    } else {
        make(&c, k);
        c.exec.workspace = NULL;
        c.exec.workspace_size = 0;
        works(&c, "no workspace");
    }
    static const int32_t workers[] = {0, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        make(&c, k);
        c.exec.workers = workers[i];
        works(&c, "any number of workers without parallel_for");
        check(query(&c, workers[i] > 0 ? 1 : workers[i]).workers == 1, "%s: query with %d workers", c.name, workers[i]);
    }
    /* Of any alignment, as large as asked for, and not a byte beyond. */
    static unsigned char result[MAX_ARRAYS][BYTES];
    make(&c, k);
    works(&c, "as it is");
    memcpy(result, memory, sizeof memory);
    for (size_t offset = 0; offset < 64 && need > 0; offset++) {
        memset(workspace, 0xA5, need + 256);
        c.exec.workspace = workspace + 64 + offset;
        c.exec.workspace_size = need;
        works(&c, "a workspace of any alignment");
        int clean = memcmp(result, memory, sizeof memory) == 0;
        for (size_t i = 0; i < 64 + offset; i++) {
            clean &= workspace[i] == 0xA5;
        }
        for (size_t i = 64 + offset + need; i < need + 256; i++) {
            clean &= workspace[i] == 0xA5;
        }
        check(clean, "%s: a workspace at %zu", c.name, offset);
    }
}

static void wrong_questions(const kind *k)
{
    call c;
    cpool_info info = CPOOL_INFO_INIT;
    cpool_shape shape = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    make(&c, k);
    check(cpool_pool_query(&c.params, c.args, c.n, c.direction, 1, NULL, &error) == CPOOL_INVALID_VALUE, "%s: info NULL",
          c.name);
    info.struct_size--;
    check(cpool_pool_query(&c.params, c.args, c.n, c.direction, 1, &info, NULL) == CPOOL_INVALID_VALUE, "%s: info small",
          c.name);
    info.struct_size++;
    memset(info.reserved, 0x5A, sizeof info.reserved);
    memset(shape.reserved, 0x5A, sizeof shape.reserved);
    for (int32_t direction = -3; direction < 5; direction++) {
        cpool_status status = cpool_pool_query(&c.params, c.args, c.n, direction, 1, &info, NULL);
        check((status == CPOOL_OK) == (direction == c.direction), "%s: query of direction %d", c.name, direction);
    }
    check(cpool_pool_query(NULL, c.args, c.n, c.direction, 1, &info, NULL) == CPOOL_INVALID_VALUE, "%s: params NULL", c.name);
    check(cpool_pool_query(&c.params, NULL, c.n, c.direction, 1, &info, NULL) == CPOOL_INVALID_VALUE, "%s: args NULL", c.name);
    check(cpool_pool_describe(&c.params, c.args, c.n, CPOOL_X, NULL, NULL) == CPOOL_INVALID_VALUE, "%s: out NULL", c.name);
    shape.struct_size--;
    check(cpool_pool_describe(&c.params, c.args, c.n, CPOOL_X, &shape, &error) == CPOOL_INVALID_VALUE, "%s: out small", c.name);
    shape.struct_size++;
    check(cpool_pool_describe(NULL, c.args, c.n, CPOOL_X, &shape, NULL) == CPOOL_INVALID_VALUE, "%s: params NULL", c.name);
    static const int32_t none[] = {0,   5,       7,        31,       32,  63,        64, 255,
                                   256, 256 + 7, 256 + 31, 256 + 32, 512, INT32_MAX, -1, INT32_MIN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cpool_status status = cpool_pool_describe(&c.params, c.args, c.n, none[i], &shape, &error);
        check(status != CPOOL_OK && error.status == (int32_t)status && error.role == none[i], "%s: describe %d", c.name,
              none[i]);
    }
    for (int32_t i = 0; i < c.n; i++) {
        cpool_status status = cpool_pool_describe(&c.params, c.args, c.n, c.args[i].role, &shape, &error);
        const cpool_view *v = &c.args[i].view;
        check(status == CPOOL_OK && shape.ndim == v->ndim && shape.dtype_code == v->dtype_code && shape.dtype_lanes == 1 &&
                  shape.dtype_bits == v->dtype_bits && memcmp(shape.shape, v->shape, 8 * (size_t)v->ndim) == 0,
              "%s: describe %d", c.name, c.args[i].role);
    }
    /* Data is not read. */
    for (int32_t i = 0; i < c.n; i++) {
        c.args[i].view.data = NULL;
    }
    check(is_left(info.reserved) && is_left(shape.reserved), "%s: reserved room is written", c.name);
    info = query(&c, 1);
    uint64_t given = 0;
    for (int32_t i = 0; i < c.n; i++) {
        int32_t role = c.args[i].role;
        given |= UINT64_C(1) << (role >= CPOOL_GRAD ? role - CPOOL_GRAD + 32 : role);
    }
    check((info.required & ~given) == 0 && (given & ~(info.required | info.optional)) == 0, "%s: roles", c.name);
    for (int32_t isa = 1; isa < 7; isa++) {
        check(query(&c, 1).workspace_size == info.workspace_size, "%s: workspace", c.name);
    }
}

static void nowhere_to_put_the_isa(void)
{
    cpool_error error = CPOOL_ERROR_INIT;
    check(cpool_isa_best(NULL, &error) == CPOOL_INVALID_VALUE && error.status == CPOOL_INVALID_VALUE && error.role == 0 &&
              strstr(error.message, "isa is NULL") != NULL,
          "cpool_isa_best: %s", error.message);
    check(cpool_isa_best(NULL, NULL) == CPOOL_INVALID_VALUE, "cpool_isa_best without an error");
}

/* ---- What works -------------------------------------------------------------------------------------------------------- */

#define EXAMPLE {1, 2, 5, 3, 4, 0, 1, 2, -1, 3, 2, 2, 0, 6, -2, 4}

static void expect(const call *c, int32_t role, const double *want, double tolerance)
{
    const cpool_view *v = &c->args[index_of(c, role)].view;
    for (int64_t i = 0; i < elements(v); i++) {
        const char *at = (const char *)v->data + (size_t)i * item_size(v);
        double have;
        float single;
        int64_t index;
        if (v->dtype_code == CPOOL_FLOAT && v->dtype_bits == 32) {
            memcpy(&single, at, 4);
            have = (double)single;
        } else if (v->dtype_code == CPOOL_FLOAT) {
            memcpy(&have, at, 8);
        } else if (v->dtype_bits == 64) {
            memcpy(&index, at, 8);
            have = (double)index;
        } else {
            have = *(const unsigned char *)at;
        }
        check(fabs(have - want[i]) <= tolerance, "%s: role %d [%d] is %.9g, not %.9g", c->name, role, (int)i, have, want[i]);
    }
}

static void put(const call *c, int32_t role, const double *values)
{
    const cpool_view *v = &c->args[index_of(c, role)].view;
    for (int64_t i = 0; i < elements(v); i++) {
        char *at = (char *)v->data + (size_t)i * item_size(v);
        float single = (float)values[i];
        int64_t index = (int64_t)values[i];
        if (v->dtype_code == CPOOL_FLOAT) {
            memcpy(at, v->dtype_bits == 32 ? (const void *)&single : (const void *)&values[i], item_size(v));
        } else if (v->dtype_bits == 64) {
            memcpy(at, &index, 8);
        } else {
            *(unsigned char *)at = (unsigned char)index;
        }
    }
}

static void example(call *c, int32_t op, int32_t direction, uint8_t bits)
{
    const kind k = {"example", op, direction, 0, 0};
    static const int64_t shape[4] = {1, 1, 4, 4}, pooled[4] = {1, 1, 2, 2};
    make_on(c, &k, op == CPOOL_UNPOOL ? pooled : shape, bits);
    c->params.stride[0] = c->params.stride[1] = CPOOL_SIZE_DEFAULT;
    c->params.window[0] = c->params.window[1] = 2;
    c->params.pad_before[0] = c->params.pad_after[1] = 0;
    static const int64_t smaller[4] = {1, 1, 2, 2};
    for (int32_t i = 0; i < c->n; i++) { /* the described shapes were those of another window */
        int32_t role = c->args[i].role, y = role == CPOOL_Y || role == (CPOOL_GRAD | CPOOL_Y);
        const int64_t *wanted = op == CPOOL_UNPOOL ? (y ? shape : pooled) : (y || role == CPOOL_TAPS ? smaller : shape);
        if (role != CPOOL_P && role != (CPOOL_GRAD | CPOOL_P)) {
            memcpy(c->shape[i], wanted, sizeof shape);
            c->args[i].view.strides = NULL;
        }
    }
    fill(c);
}

static void examples(uint8_t bits)
{
    static const double x[] = EXAMPLE, ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, two[] = {2};
    static const double largest[] = {4, 5, 6, 4}, taps[] = {2, 0, 3, 3}, positions[] = {4, 2, 13, 15};
    static const double smallest[] = {0, 1, -1, -2}, mean[] = {1.75, 2.75, 2, 1.5},
                        quarters[] = {.25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25};
    static const double max_gradient[] = {0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
    static const double norm[] = {4.582576, 6.244998, 6.782330, 5.291503}, dp[] = {-4.783839};
    static const double norm_gradient[] = {.218218,  .436436, .800641, .480384, .872872, 0,       .160128,  .320256,
                                           -.147442, .442326, .377964, .377964, 0,       .884652, -.377964, .755929};
    static const double unpooled[] = {0, 0, 5, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 4};
    call c;
    example(&c, CPOOL_MAX, CPOOL_FORWARD, bits);
    put(&c, CPOOL_X, x);
    works(&c, "max");
    expect(&c, CPOOL_Y, largest, 0);
    expect(&c, CPOOL_TAPS, taps, 0);
    static const int64_t pooled[4] = {1, 1, 2, 2};
    int32_t n = c.n, y = index_of(&c, CPOOL_Y);
    c.args[y] = c.args[--c.n];
    memcpy(c.shape[n], pooled, sizeof pooled);
    add(&c, CPOOL_INDICES, 4, pooled, CPOOL_INT, 64);
    c.args[c.n - 1].view.data = memory[5];
    cpool_exec exec = CPOOL_EXEC_INIT;
    check(cpool_taps_to_indices(&c.params, c.args, c.n, &exec) == CPOOL_OK, "taps_to_indices");
    expect(&c, CPOOL_INDICES, positions, 0);

    example(&c, CPOOL_MAX, CPOOL_BACKWARD, bits);
    put(&c, CPOOL_GRAD | CPOOL_Y, ones);
    put(&c, CPOOL_TAPS, taps);
    works(&c, "max backward");
    expect(&c, CPOOL_GRAD | CPOOL_X, max_gradient, 0);

    example(&c, CPOOL_MIN, CPOOL_FORWARD, bits);
    put(&c, CPOOL_X, x);
    c.n = 2; /* without taps */
    works(&c, "min");
    expect(&c, CPOOL_Y, smallest, 0);

    example(&c, CPOOL_AVG, CPOOL_FORWARD, bits);
    put(&c, CPOOL_X, x);
    works(&c, "avg");
    expect(&c, CPOOL_Y, mean, 0);
    example(&c, CPOOL_AVG, CPOOL_BACKWARD, bits);
    put(&c, CPOOL_GRAD | CPOOL_Y, ones);
    works(&c, "avg backward");
    expect(&c, CPOOL_GRAD | CPOOL_X, quarters, 0);

    example(&c, CPOOL_LP, CPOOL_FORWARD, bits);
    put(&c, CPOOL_X, x);
    put(&c, CPOOL_P, two);
    works(&c, "lp");
    expect(&c, CPOOL_Y, norm, 1e-6);
    example(&c, CPOOL_LP, CPOOL_BACKWARD, bits);
    put(&c, CPOOL_X, x);
    put(&c, CPOOL_P, two);
    put(&c, CPOOL_GRAD | CPOOL_Y, ones);
    works(&c, "lp backward");
    expect(&c, CPOOL_GRAD | CPOOL_X, norm_gradient, 1e-6);
    expect(&c, CPOOL_GRAD | CPOOL_P, dp, 2e-6);

    example(&c, CPOOL_UNPOOL, CPOOL_FORWARD, bits);
    put(&c, CPOOL_X, largest);
    put(&c, CPOOL_INDICES, positions);
    works(&c, "unpool");
    expect(&c, CPOOL_Y, unpooled, 0);
    example(&c, CPOOL_UNPOOL, CPOOL_BACKWARD, bits);
    put(&c, CPOOL_GRAD | CPOOL_Y, x);
    put(&c, CPOOL_INDICES, positions);
    works(&c, "unpool backward");
    expect(&c, CPOOL_GRAD | CPOOL_X, largest, 0);
}

/* Arrays that lie in each other without sharing an element, one that is empty, and one of many axes. */
static void unusual_arrays(const kind *k)
{
    call c;
    make(&c, k);
    static unsigned char result[MAX_ARRAYS][BYTES];
    works(&c, "as it is");
    memcpy(result, memory, sizeof memory);
    for (int32_t i = 0; i < c.n; i++) {
        int32_t role = c.args[i].role, in = -1;
        cpool_view *v = &c.args[i].view;
        for (int32_t j = 0; j < c.n && in < 0; j++) {
            in = !is_result(&c, c.args[j].role) && c.args[j].view.ndim == 4 ? j : in;
        }
        if (!is_result(&c, role) || v->ndim < 4 || v->dtype_bits != 32 || c.args[in].view.dtype_bits != 32) {
            continue;
        }
        make(&c, k);
        memcpy(memory, result, sizeof memory);
        cpool_view *x = &c.args[in].view;
        int64_t size = elements(x);
        static float both[BYTES / 2];
        for (int64_t j = 0; j < size; j++) {
            memcpy(&both[2 * j], (char *)x->data + 4 * j, 4);
        }
        x->data = both;
        v->data = both + 1;
        for (int d = 0; d < 4; d++) {
            c.strides[in][d] *= 2;
            c.strides[i][d] *= 2;
        }
        works(&c, "interleaved arrays");
        int same = 1;
        for (int64_t j = 0; j < elements(v); j++) {
            same &= memcmp(&both[2 * j + 1], result[i] + 4 * j, 4) == 0;
        }
        check(same, "%s: interleaved arrays give the same", c.name);
        make(&c, k);
    }
    static const int64_t none[4] = {0, 3, 7, 6};
    make_on(&c, k, none, 32);
    for (int32_t i = 0; i < c.n; i++) {
        if (elements(&c.args[i].view) == 0) {
            c.args[i].view.data = NULL;
        }
    }
    works(&c, "an empty batch");
    static const int64_t no_channels[4] = {2, 0, 7, 6};
    make_on(&c, k, no_channels, 64);
    works(&c, "no channels");

    /* Of 64 axes. */
    make(&c, k);
    memcpy(memory, result, sizeof memory);
    for (int32_t i = 0; i < c.n; i++) {
        cpool_view *v = &c.args[i].view;
        if (v->ndim != 4) {
            continue;
        }
        for (int d = 3; d >= 0; d--) {
            c.shape[i][60 + d] = c.shape[i][d];
            c.strides[i][60 + d] = c.strides[i][d];
        }
        for (int d = 0; d < 60; d++) {
            c.shape[i][d] = 1;
            c.strides[i][d] = d % 2 ? INT64_MAX : -7; /* counts for nothing */
        }
        v->ndim = 64;
    }
    works(&c, "64 axes");
    check(memcmp(result, memory, sizeof memory) == 0, "%s: 64 axes give the same", c.name);
}

/* ---- Any split --------------------------------------------------------------------------------------------------------- */

typedef void body_function(void *arg, int64_t lo, int64_t hi, int worker);

enum { WORKERS = 3 };

static int64_t units;

static void reversed(void *ctx, int64_t n, int64_t grain, body_function *body, void *arg)
{
    (void)ctx;
    (void)grain;
    units += n;
    for (int64_t i = n; i-- > 0;) {
        body(arg, i, i + 1, (int)(i % WORKERS));
    }
}

static void odd_then_even(void *ctx, int64_t n, int64_t grain, body_function *body, void *arg)
{
    (void)ctx;
    (void)grain;
    for (int64_t start = 1; start >= 0; start--) {
        for (int64_t i = start; i < n; i += 2) {
            body(arg, i, i + 1, WORKERS - 1 - (int)(i / 2 % WORKERS));
        }
    }
}

static void random_ranges(void *ctx, int64_t n, int64_t grain, body_function *body, void *arg)
{
    (void)ctx;
    (void)grain;
    for (int64_t lo = 0; lo < n;) {
        int64_t hi = lo + 1 + below(n - lo);
        body(arg, lo, hi, (int)below(WORKERS));
        lo = hi;
    }
}

typedef struct job {
    body_function *body;
    void *arg;
    int64_t n;
    int worker;
} job;

static void *worker_main(void *arg)
{
    const job *j = arg;
#if defined(__SSE__)
    _mm_setcsr(j->worker == 1 ? 0xFFC0 : 0x3F80); /* threads of the caller, with flags of theirs */
#endif
    for (int64_t i = j->n - 1 - j->worker; i >= 0; i -= WORKERS) {
        j->body(j->arg, i, i + 1, j->worker);
    }
    return NULL;
}

static void own_threads(void *ctx, int64_t n, int64_t grain, body_function *body, void *arg)
{
    (void)ctx;
    (void)grain;
    pthread_t thread[WORKERS];
    job jobs[WORKERS];
    for (int w = 0; w < WORKERS; w++) {
        jobs[w] = (job){body, arg, n, w};
        if (pthread_create(&thread[w], NULL, worker_main, &jobs[w]) != 0) {
            printf("no thread\n");
            exit(1);
        }
    }
    for (int w = 0; w < WORKERS; w++) {
        pthread_join(thread[w], NULL);
    }
}

static void splits(const kind *k, const int64_t *shape, uint8_t bits, cpool_threads *threads)
{
    static unsigned char result[MAX_ARRAYS][BYTES];
    static const cpool_parallel_for ways[] = {reversed, odd_then_even, random_ranges, own_threads, cpool_threads_run};
    static const char *const names[] = {"reversed", "odd then even", "random ranges", "own threads", "pool"};
    call c;
    make_on(&c, k, shape, bits);
    c.exec.isa = CPOOL_ISA_SCALAR;
    works(&c, "serial");
    memcpy(result, memory, sizeof memory);
    for (int32_t isa = 1; cpool_isa_name(isa) != NULL; isa++) {
        for (size_t w = 0; w < sizeof ways / sizeof ways[0] && cpool_isa_available(isa); w++) {
            for (int32_t i = 0; i < c.n; i++) {
                if (is_result(&c, c.args[i].role)) {
                    memset(memory[i], 0xA5, BYTES);
                }
            }
            memset(workspace, 0xFF, sizeof workspace);
            c.exec.isa = isa;
            c.exec.parallel_for = ways[w];
            c.exec.parallel_ctx = threads;
            c.exec.workers = WORKERS;
            works(&c, names[w]);
            check(memcmp(result, memory, sizeof memory) == 0, "%s, %s, %s, shape %d %d %d %d: other bits", k->name, names[w],
                  cpool_isa_name(isa), (int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3]);
        }
    }
}

/* ---- Taps of any value, against pages that may not be accessed ----------------------------------------------------------- */

/* `size` bytes that end at such a page. */
static unsigned char *guarded(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page * page;
    unsigned char *start = mmap(NULL, pages + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start, page, PROT_NONE) != 0 || mprotect(start + page + pages, page, PROT_NONE) != 0) {
        printf("no guard page\n");
        exit(1);
    }
    return start + page + pages - size;
}

static void guard_all(call *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        cpool_view *v = &c->args[i].view;
        size_t size = (size_t)elements(v) * item_size(v);
        unsigned char *at = guarded(size);
        memcpy(at, v->data, size);
        v->data = at;
    }
    size_t need = query(c, 1).workspace_size;
    c->exec.workspace = need == 0 ? NULL : guarded(need);
    c->exec.workspace_size = need;
}

static void release_all(call *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int32_t i = 0; i <= c->n; i++) {
        const cpool_view *v = &c->args[i].view;
        size_t size = i == c->n ? c->exec.workspace_size : (size_t)elements(v) * item_size(v),
               pages = (size + page - 1) / page * page;
        unsigned char *data = i == c->n ? c->exec.workspace : v->data;
        if (data != NULL) {
            munmap(data + size - pages - page, pages + 2 * page);
        }
    }
}

static void try_taps(call *c, call *positions)
{
    for (int32_t isa = 1; cpool_isa_name(isa) != NULL; isa++) {
        if (cpool_isa_available(isa)) {
            c->exec.isa = isa;
            works(c, "taps of any value");
        }
    }
    check(cpool_taps_to_indices(&positions->params, positions->args, positions->n, &positions->exec) == CPOOL_OK,
          "taps to indices");
    const cpool_view *dx = view_of(c, CPOOL_GRAD | CPOOL_X), *indices = view_of(positions, CPOOL_INDICES);
    int64_t plane = dx->shape[2] * dx->shape[3];
    int inside = 1;
    for (int64_t i = 0; i < elements(indices); i++) {
        int64_t index;
        memcpy(&index, (char *)indices->data + 8 * i, 8);
        inside &= index >= -1 && index < plane;
    }
    check(inside, "taps to indices: positions outside of the plane");
}

static void garbage_taps(int large)
{
    static const kind k = {"garbage taps", CPOOL_MAX, CPOOL_BACKWARD, 0, 0};
    static const int64_t shape[4] = {2, 9, 20, 19};
    call c, positions;
    make_on(&c, &k, shape, 32);
    if (large) { /* more than 255 taps: int32 */
        c.n = 1;
        c.params.window[0] = 17;
        c.params.window[1] = 18;
        add_described(&c, CPOOL_GRAD | CPOOL_Y);
        add_described(&c, CPOOL_TAPS);
        fill(&c);
    }
    guard_all(&c);
    const cpool_view *taps = view_of(&c, CPOOL_TAPS);
    positions = c;
    positions.n = 0;
    add(&positions, CPOOL_X, 4, shape, CPOOL_FLOAT, 32)->view.data = NULL;
    add(&positions, CPOOL_TAPS, 4, taps->shape, taps->dtype_code, taps->dtype_bits)->view.data = taps->data;
    add(&positions, CPOOL_INDICES, 4, taps->shape, CPOOL_INT, 64);
    positions.args[2].view.data = guarded(8 * (size_t)elements(taps));
    positions.exec.workspace = NULL;
    positions.exec.workspace_size = 0;
    check((taps->dtype_bits == 32) == large, "dtype of taps");
    int64_t size = elements(taps);
    if (!large) {
        for (int tap = 0; tap < 256; tap++) {
            memset(taps->data, tap, (size_t)size);
            try_taps(&c, &positions);
        }
    }
    static const int32_t values[] = {INT32_MIN, INT32_MAX, -1, -2, 0, 255, 256, 305, 306, 307, 1 << 24, (1 << 24) + 1, 1 << 30};
    for (int round = 0; round < 40; round++) {
        for (int64_t i = 0; i < size * taps->dtype_bits / 8; i++) {
            ((unsigned char *)taps->data)[i] = (unsigned char)below(256);
        }
        for (int64_t i = 0; i < size && large && round < 20; i++) {
            memcpy((char *)taps->data + 4 * i, &values[round < 13 ? round : below(13)], 4);
        }
        try_taps(&c, &positions);
    }
    release_all(&c);
}

static void wrong_taps_to_indices(void)
{
    static const kind k = {"taps to indices", CPOOL_MAX, CPOOL_FORWARD, 0, 0};
    static const int64_t shape[4] = {2, 3, 7, 6};
    call c;
    for (int what = 0; what < 12; what++) {
        make_on(&c, &k, shape, 32);
        c.args[1] = c.args[--c.n]; /* taps in the place of y */
        add_described(&c, CPOOL_INDICES);
        cpool_view *indices = view_of(&c, CPOOL_INDICES), *taps = view_of(&c, CPOOL_TAPS);
        memset(memory, 1, sizeof memory);
        indices->data = memory[4];
        int32_t role = 0;
        cpool_status want = CPOOL_INVALID_VALUE;
        switch (what) {
        case 0:
            c.n--;
            role = CPOOL_INDICES;
            break;
        case 1:
            taps->data = NULL;
            role = CPOOL_TAPS;
            break;
        case 2:
            indices->data = NULL;
            role = CPOOL_INDICES;
            break;
        case 3:
            indices->dtype_bits = 32;
            role = CPOOL_INDICES;
            want = CPOOL_INVALID_TYPE;
            break;
        case 4:
            taps->dtype_bits = 32;
            role = CPOOL_TAPS;
            want = CPOOL_INVALID_TYPE;
            break;
        case 5:
            indices->data = taps->data;
            role = CPOOL_INDICES;
            break;
        case 6:
            indices->ndim = 3;
            role = CPOOL_INDICES;
            break;
        case 7:
            c.params.op = CPOOL_AVG;
            role = CPOOL_TAPS;
            break;
        case 8:
            c.params.op = CPOOL_UNPOOL;
            role = CPOOL_TAPS;
            break;
        case 9: c.exec.isa = 77; break;
        case 10: c.params.window[0] = 0; break;
        case 11:
            c.args[0] = c.args[--c.n];
            role = CPOOL_X;
            break;
        default: break;
        }
        remember();
        cpool_status status = cpool_taps_to_indices(&c.params, c.args, c.n, &c.exec);
        check(status == want && c.error.status == (int32_t)want && c.error.role == role, "taps_to_indices %d: %d, role %d: %s",
              what, (int)status, c.error.role, c.error.message);
        check(is_as_before(), "taps_to_indices %d: written", what);
        c.exec.error = NULL;
        check(cpool_taps_to_indices(&c.params, c.args, c.n, &c.exec) == want, "taps_to_indices %d: without an error", what);
    }
    check(cpool_taps_to_indices(&c.params, c.args, c.n, NULL) == CPOOL_INVALID_VALUE, "taps_to_indices: exec NULL");
}

/* ---- Indices that another thread writes meanwhile ------------------------------------------------------------------------ */

typedef struct scribbler {
    volatile int64_t *indices;
    int64_t n;
    volatile int stop;
} scribbler;

#if defined(__has_feature)
#  if __has_feature(thread_sanitizer)
#    define RACES_ARE_REPORTED 1
#  endif
#endif
#if defined(__SANITIZE_THREAD__)
#  define RACES_ARE_REPORTED 1
#endif

#ifndef RACES_ARE_REPORTED
/* The last index turns bad and good again, for long and short times: good when it is
 * checked, bad when it is used, now and then. */
static void *scribble(void *arg)
{
    scribbler *s = arg;
    static const int64_t bad[] = {INT64_MAX, INT64_MIN, INT64_C(1) << 40, -(INT64_C(1) << 40), 1 << 20};
    for (int64_t round = 0; !s->stop; round++) {
        for (int64_t wait = round * 7919 % 3000; wait > 0; wait--) {
            s->indices[s->n - 1] = round % 2 ? 3 : bad[round / 2 % 5];
        }
    }
    return NULL;
}

static void changing_indices(const kind *k)
{
    static const int64_t shape[4] = {1, 2, 40, 40};
    call c;
    make_on(&c, k, shape, 32);
    c.params.rank = 3; /* the same shapes: channels are planes, beyond which a bad index would reach */
    for (int i = 2; i > 0; i--) {
        c.params.window[i] = c.params.window[i - 1];
        c.params.stride[i] = c.params.stride[i - 1];
        c.params.pad_before[i] = c.params.pad_before[i - 1];
        c.params.pad_after[i] = c.params.pad_after[i - 1];
    }
    c.params.window[0] = c.params.stride[0] = 1;
    c.params.pad_before[0] = c.params.pad_after[0] = 0;
    guard_all(&c);
    cpool_view *indices = view_of(&c, CPOOL_INDICES);
    scribbler s = {indices->data, elements(indices), 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, scribble, &s) != 0) {
        printf("no thread\n");
        exit(1);
    }
    int good = 1, computed = 0;
    for (int i = 0; i < 2000 || (computed == 0 && i < 2000000); i++) { /* the thread may sleep while they are bad */
        cpool_status status = run(&c);
        computed += status == CPOOL_OK;
        good &= status == CPOOL_OK || (status == CPOOL_INVALID_VALUE && c.error.role == CPOOL_INDICES);
    }
    check(computed > 0, "%s: indices were never good", k->name);
    s.stop = 1;
    pthread_join(thread, NULL);
    check(good, "%s: indices that change", k->name);
    release_all(&c);
}
#endif

int main(void)
{
    cpool_threads *threads = cpool_threads_create(WORKERS);
    examples(32);
    examples(64);
    for (int i = 0; i < KINDS; i++) {
        const kind *k = &kinds[i];
        wrong_params(k);
        sizes_of_params(k);
        wrong_arrays(k);
        wrong_exec(k);
        wrong_questions(k);
        unusual_arrays(k);
        static const int64_t shapes[][4] = {{2, 3, 7, 6}, {3, 5, 19, 23}, {1, 1, 60, 50}, {40, 1, 5, 4}, {1, 17, 11, 9}};
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            splits(k, shapes[s], 32, threads);
            splits(k, shapes[s], 64, threads);
        }
#ifndef RACES_ARE_REPORTED
        if (k->op == CPOOL_UNPOOL) {
            changing_indices(k);
        }
#endif
    }
    check(units > 500, "work was not split");
    nowhere_to_put_the_isa();
    garbage_taps(0);
    garbage_taps(1);
    wrong_taps_to_indices();
    cpool_threads_destroy(threads);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
