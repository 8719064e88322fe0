/* What the fuzzers share: calls made from bytes, and what must hold of every call.
 *
 * Every array and the workspace is a block of its own, exactly as large as its strides need, so that AddressSanitizer sees a
 * byte too many. A call is made twice, serially and by a parallel_for that is as bad as it may be, with different instruction
 * sets, other floating-point modes, and results and workspace full of different garbage. Then
 *
 *   - a call that fails has written nothing, and says why;
 *   - a call that succeeds has written the same elements twice, all of them, and nothing between them;
 *   - inputs are as they were.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_H
#define FUZZ_H

#include "cpool/cpool.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(holds) \
    do { \
        if (!(holds)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds); \
            abort(); \
        } \
    } while (0)

/* ---- Choices ----------------------------------------------------------------------------------------------------------- */

static const uint8_t *input, *input_end;
static uint64_t noise_state;

static void begin(const uint8_t *data, size_t size)
{
    input = data;
    input_end = data + size;
    noise_state = 88172645463325252u + size;
}

/* 0 when the input has ended: short inputs are simple calls. */
static uint64_t take(int bytes)
{
    uint64_t value = 0;
    for (; bytes-- > 0; input += input < input_end) {
        value = value << 8 | (input < input_end ? *input : 0);
    }
    return value;
}

static int64_t below(int64_t n)
{
    return (int64_t)take(1) % n;
}

/* 1 rarely: for one byte in n. */
static int rarely(int n)
{
    return below(n) == n - 1;
}

/* For what arrays hold: bytes of the input, then others without end. */
static uint64_t noise(void)
{
    if (input < input_end) {
        return *input++ * UINT64_C(0x9E3779B97F4A7C15) >> 20;
    }
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state >> 11;
}

static int64_t extreme(void)
{
    static const int64_t values[] = {
        0,         -1,        INT64_MIN, INT64_MAX, INT64_MAX / 4, INT64_MAX / 4 + 1, INT64_MAX / 8,
        1LL << 62, 1LL << 61, 1LL << 53, 1LL << 32, 1LL << 31,     (1LL << 31) - 1,   4096,
        256,       255};
    return values[below(sizeof values / sizeof *values)];
}

/* 1 to most, or rarely anything. */
static int64_t length_to(int64_t most)
{
    return rarely(128) ? extreme() : 1 + below(most < 1 ? 1 : most);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------------- */

enum { MAX_ARGS = 16, MAX_AXES = 8, MAX_ELEMENTS = 5000 };

typedef struct call call;
struct call {
    const void *params;
    cpool_status (*run)(const call *c, const cpool_exec *exec);
    cpool_status (*query)(const call *c, int32_t workers, cpool_info *info, cpool_error *error); /* NULL: no workspace */
    int32_t direction, n;
    cpool_arg args[MAX_ARGS + 1];
    int64_t shape[MAX_ARGS][MAX_AXES], strides[MAX_ARGS][MAX_AXES], elements[MAX_ARGS];
    unsigned char *block[MAX_ARGS], *copy[MAX_ARGS]; /* what is allocated; what it held before the call */
    size_t size[MAX_ARGS];
    int result[MAX_ARGS];
    int together; /* some arrays share memory: what each holds afterwards cannot be told apart */
    int spoil;    /* contents change while bodies run */
};

static void end_call(call *c)
{
    for (int32_t i = 0; i < c->n && i < MAX_ARGS; i++) {
        free(c->block[i]);
        free(c->copy[i]);
    }
}

/* An array without memory, as describe and query take it. 0 where it would be too large to be made. */
static int add(call *c, int32_t role, int32_t ndim, const int64_t *shape, uint8_t code, uint8_t bits)
{
    if (ndim > MAX_AXES || c->n == MAX_ARGS) {
        return 0;
    }
    int32_t i = c->n++;
    cpool_arg *arg = &c->args[i];
    memset(arg, 0, sizeof *arg);
    arg->role = role;
    arg->view = (cpool_view){NULL, c->shape[i], NULL, ndim, code, bits, 1, {0, 0, 0, 0}};
    c->block[i] = c->copy[i] = NULL;
    c->elements[i] = 1;
    for (int32_t k = 0; k < ndim; k++) {
        c->shape[i][k] = shape[k];
        int small = shape[k] >= 0 && shape[k] <= MAX_ELEMENTS && c->elements[i] <= MAX_ELEMENTS;
        c->elements[i] = small ? c->elements[i] * shape[k] : MAX_ELEMENTS + 1;
    }
    return c->elements[i] <= MAX_ELEMENTS;
}

static int32_t find(const call *c, int32_t role)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->args[i].role == role) {
            return i;
        }
    }
    return -1;
}

/* One thing that is wrong, or may be. */
static void damage(call *c)
{
    int32_t i = (int32_t)below(c->n), k = (int32_t)below(MAX_AXES);
    cpool_view *view = &c->args[i].view;
    switch (below(12)) {
    case 0: c->shape[i][k] += c->shape[i][k] < INT64_MAX; break;
    case 1: c->shape[i][k] -= c->shape[i][k] > INT64_MIN; break;
    case 2: c->shape[i][k] = extreme(); break;
    case 3: view->ndim -= view->ndim > 0; break;
    case 4: view->dtype_code = (uint8_t)below(4); break;
    case 5: view->dtype_bits = (uint8_t)take(1); break;
    case 6: view->dtype_lanes = (uint16_t)below(3); break;
    case 7: view->reserved[below(4)] = 1; break;
    case 8: c->args[i].role = (int32_t)take(2); break;
    case 9: c->args[i].reserved = 1; break;
    case 10: view->shape = NULL; break;
    default:
        if (c->n < MAX_ARGS) { /* twice the same */
            add(c, c->args[i].role, 0, NULL, view->dtype_code, view->dtype_bits);
        }
        break;
    }
}

/* Strides of all kinds, in memory that they just fill. 0 where that would be too large. */
static int place(call *c, int32_t i)
{
    cpool_view *view = &c->args[i].view;
    int64_t item = view->dtype_bits / 8, low = 0, high = 0, step = item, *strides = c->strides[i];
    if (view->ndim < 0 || view->ndim > MAX_AXES || (view->ndim > 0 && view->shape == NULL)) {
        return 1; /* refused before anything is read */
    }
    int64_t kind = below(16), elements = 1;
    for (int32_t k = 0; k < view->ndim; k++) {
        int64_t length = c->shape[i][k];
        elements = length < 0 || length > MAX_ELEMENTS || elements > MAX_ELEMENTS ? MAX_ELEMENTS + 1 : elements * length;
    }
    c->elements[i] = elements;
    if (elements > MAX_ELEMENTS || rarely(128)) {
        return elements <= MAX_ELEMENTS; /* no data at all */
    }
    int32_t first = kind < 8 || view->ndim < 1 ? 0 : (int32_t)below(view->ndim); /* the axis that lies innermost is any */
    for (int32_t j = view->ndim; j-- > 0;) {
        int32_t k = (j + first) % view->ndim;
        int64_t length = c->shape[i][k];
        strides[k] = step;
        if (kind >= 11) {
            int64_t change = below(16);
            strides[k] = change < 4    ? -step
                         : change == 4 ? 2 * step
                         : change == 5 ? -3 * step
                         : change == 6 ? step + 1
                         : change == 7 ? step + item
                         : change == 8 ? 0
                         : change == 9 ? below(64)
                                       : step;
        }
        if (length <= 1 && kind == 15) {
            strides[k] = extreme();
        }
        int64_t span = length > 1 ? (length - 1) * strides[k] : 0;
        low += span < 0 ? span : 0;
        high += span > 0 ? span : 0;
        step = length <= 1 || strides[k] == 0 ? step : length * (strides[k] < 0 ? -strides[k] : strides[k]);
        if (high - low > 8 * 8 * MAX_ELEMENTS) {
            return 0;
        }
    }
    view->strides = kind > 0 && view->ndim > 0 ? strides : NULL;
    if (view->strides == NULL) {
        low = 0;
        high = elements * item - item;
    }
    c->size[i] = elements == 0 ? 0 : (size_t)(high - low + item);
    c->block[i] = malloc(c->size[i]);
    c->copy[i] = malloc(c->size[i]);
    view->data = c->size[i] == 0 ? NULL : c->block[i] - low;
    if (kind == 15 && view->ndim > 0 && c->shape[i][0] > 2 && rarely(8)) {
        strides[0] = INT64_C(1) << 62; /* spans more than there is */
        return 0;
    }
    return 1;
}

/* Moves an array into the memory of another, where there is room and no array lies in the memory of another yet. */
static void put_inside(call *c, int32_t from, int32_t to)
{
    cpool_view *view = &c->args[to].view;
    if (c->together || from == to || c->block[from] == NULL || c->block[to] == NULL || c->size[to] == 0 ||
        c->size[from] < c->size[to]) {
        return;
    }
    size_t offset = take(2) % (c->size[from] - c->size[to] + 1);
    view->data = c->block[from] + offset + ((unsigned char *)view->data - c->block[to]);
    free(c->block[to]);
    c->block[to] = NULL;
    c->result[from] |= c->result[to];
    c->together = 1;
}

static void *element(const call *c, int32_t i, int64_t index)
{
    const cpool_view *view = &c->args[i].view;
    int64_t step = view->dtype_bits / 8;
    char *at = view->data;
    for (int32_t k = view->ndim; k-- > 0; index /= view->shape[k]) {
        at += index % view->shape[k] * (view->strides != NULL ? view->strides[k] : step);
        step *= view->shape[k];
    }
    return at;
}

static void put(const call *c, int32_t i, int64_t index, double value)
{
    float single = (float)value;
    int wide = c->args[i].view.dtype_bits == 64;
    memcpy(element(c, i, index), wide ? (void *)&value : (void *)&single, wide ? sizeof value : sizeof single);
}

static int holds(const call *c, int32_t i, uint8_t code)
{
    const cpool_view *view = &c->args[i].view;
    return view->data != NULL && view->dtype_code == code &&
           (view->dtype_bits == 64 || view->dtype_bits == 32 || (view->dtype_bits == 8 && code != CPOOL_FLOAT));
}

/* Numbers of one kind: small integers, of which many are equal; in [-1, 1); everything there is; one and the same. */
static double number(int64_t kind)
{
    static const double values[] = {0,
                                    -0.0,
                                    1,
                                    -1,
                                    __builtin_inf(),
                                    -__builtin_inf(),
                                    __builtin_nan(""),
                                    1e-45,
                                    -1e-40,
                                    5e-324,
                                    1e-310,
                                    3.4e38,
                                    -3.4e38,
                                    1.7e308,
                                    -1e300,
                                    1e30,
                                    1e-30,
                                    0x1p-25,
                                    0x1p53,
                                    100};
    uint64_t bits = noise();
    return kind == 0   ? (double)(int64_t)(bits % 7) - 3
           : kind < 3  ? (double)(int64_t)(bits % 20000) / 10000 - 1
           : kind == 3 ? values[bits % (sizeof values / sizeof *values)]
                       : 1.5;
}

/* Garbage of the results, of a kind that tells calls apart. */
static void spread(call *c, int garbage)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->block[i] != NULL && c->result[i] && !c->together) {
            memset(c->block[i], garbage, c->size[i]);
        }
    }
}

static void remember(call *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->block[i] != NULL && c->size[i] > 0) {
            memcpy(c->copy[i], c->block[i], c->size[i]);
        }
    }
}

static void require_untouched(const call *c, int results_too)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->block[i] != NULL && c->size[i] > 0 && (results_too || !c->result[i])) {
            REQUIRE(memcmp(c->copy[i], c->block[i], c->size[i]) == 0);
        }
    }
}

/* The results of two calls, in `copy` and `block`, that found different garbage: equal elements, any NaN being equal to any,
 * and garbage between them. */
static void require_same(call *c, int first_garbage, int second_garbage)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->block[i] == NULL || c->size[i] == 0 || !c->result[i]) {
            continue;
        }
        const cpool_view *view = &c->args[i].view;
        size_t item = view->dtype_bits / 8u;
        for (int64_t k = 0; k < c->elements[i]; k++) {
            unsigned char *second = element(c, i, k), *first = c->copy[i] + (second - c->block[i]);
            if (memcmp(first, second, item) != 0) {
                float f[2];
                double d[2];
                REQUIRE(view->dtype_code == CPOOL_FLOAT);
                memcpy(&f[0], first, sizeof(float));
                memcpy(&f[1], second, sizeof(float));
                memcpy(&d[0], first, item == 8 ? item : 0);
                memcpy(&d[1], second, item == 8 ? item : 0);
                REQUIRE(item == 4 ? f[0] != f[0] && f[1] != f[1] : d[0] != d[0] && d[1] != d[1]);
            }
            memset(first, first_garbage, item);
            memset(second, second_garbage, item);
        }
        for (size_t k = 0; k < c->size[i]; k++) {
            REQUIRE(c->copy[i][k] == first_garbage && c->block[i][k] == second_garbage);
        }
    }
}

/* ---- Running ----------------------------------------------------------------------------------------------------------- */

enum { WORKERS = 3 };

typedef struct order {
    call *c;
    int64_t chunk;
    int reversed, interleaved;
} order;

/* Changes what taps, indices and numbers there are, as another thread might. */
static void spoil(call *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (c->block[i] != NULL && c->size[i] > 0 && !c->result[i]) {
            c->block[i][noise() % c->size[i]] = (unsigned char)noise();
        }
    }
}

/* Small chunks, backwards, every second one first, each by another worker than the one before. */
static void hostile(void *ctx, int64_t n, int64_t grain, void (*body)(void *arg, int64_t lo, int64_t hi, int worker), void *arg)
{
    const order *o = ctx;
    int64_t chunk = n / 200 > o->chunk ? n / 200 : o->chunk, count = (n + chunk - 1) / chunk;
    int worker = 0;
    REQUIRE(n > 0 && grain > 0);
    for (int64_t i = 0; i < count; i++) {
        int64_t half = (count + 1) / 2, at = !o->interleaved ? i : i < half ? 2 * i : 2 * (i - half) + 1;
        at = o->reversed ? count - 1 - at : at;
        if (o->c->spoil) {
            spoil(o->c);
        }
        body(arg, at * chunk, at == count - 1 ? n : (at + 1) * chunk, worker++ % WORKERS);
    }
}

static void require_error(const call *c, cpool_status status, const cpool_error *error)
{
    REQUIRE(error->status == (int32_t)status && error->message[0] != '\0');
    REQUIRE(memchr(error->message, '\0', sizeof error->message) != NULL);
    require_untouched(c, 1);
}

/* Bytes of workspace for these workers: of small work a query tells for one only, and a call that gets none for more. */
static size_t workspace_for(call *c, cpool_exec *exec)
{
    cpool_error error = CPOOL_ERROR_INIT, *given = exec->error;
    exec->error = &error;
    exec->workspace = NULL;
    exec->workspace_size = 0;
    cpool_status status = c->run(c, exec);
    exec->error = given;
    if (status == CPOOL_NO_MEMORY) {
        require_error(c, status, &error);
        return (size_t)strtoull(strstr(error.message, " need ") + 6, NULL, 10);
    }
    return 0;
}

static cpool_status run(call *c, cpool_exec *exec, size_t bytes, int garbage)
{
    exec->workspace_size = bytes;
    exec->workspace = bytes == 0 ? NULL : malloc(bytes);
    if (bytes != 0) {
        memset(exec->workspace, garbage, bytes < 16384 ? bytes : 16384);
    }
    cpool_status status = c->run(c, exec);
    free(exec->workspace);
    return status;
}

/* One that this CPU and this build have. */
static int32_t draw_isa(void)
{
    int32_t isa = (int32_t)below(5);
    return cpool_isa_available(isa) ? isa : CPOOL_ISA_BEST;
}

/* Makes the call; every array is in place and filled. */
static void make(call *c)
{
    enum { FIRST = 0xA5, SECOND = 0x5A, TOO_MUCH = 1 << 26 };
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    cpool_error error = CPOOL_ERROR_INIT;
    cpool_exec exec = CPOOL_EXEC_INIT;
    cpool_info info = CPOOL_INFO_INIT;
    order o = {c, 1 + below(3), (int)below(2), (int)below(2)};
    exec.error = &error;
    exec.isa = draw_isa();
    int32_t other_isa = draw_isa(), mode = modes[below(4)];
    spread(c, FIRST);
    remember(c);
    if (c->query != NULL) {
        cpool_status status = c->query(c, 1, &info, &error);
        if (status != CPOOL_OK) {
            require_error(c, status, &error);
        }
        if (info.workspace_size > TOO_MUCH) {
            return;
        }
    }
    cpool_status status = run(c, &exec, info.workspace_size, FIRST);
    if (status != CPOOL_OK) {
        REQUIRE(status != CPOOL_NO_MEMORY || info.workspace_size == 0);
        require_error(c, status, &error);
        return;
    }
    if (c->together) {
        return;
    }
    require_untouched(c, 0);
    for (int32_t i = 0; i < c->n; i++) { /* what the first call has made, for the comparison */
        if (c->result[i] && c->block[i] != NULL && c->size[i] > 0) {
            memcpy(c->copy[i], c->block[i], c->size[i]);
        }
    }
    exec.isa = other_isa;
    exec.parallel_for = hostile;
    exec.parallel_ctx = &o;
    exec.workers = WORKERS;
    int spoiling = c->spoil;
    c->spoil = 0;
    size_t bytes = workspace_for(c, &exec);
    c->spoil = spoiling;
    if (bytes > TOO_MUCH) {
        return;
    }
    spread(c, SECOND);
    REQUIRE(fesetround(mode) == 0);
    status = run(c, &exec, bytes, SECOND);
    REQUIRE(fegetround() == mode && fesetround(FE_TONEAREST) == 0);
    if (!spoiling) {
        REQUIRE(status == CPOOL_OK);
        require_untouched(c, 0);
        require_same(c, FIRST, SECOND);
    }
}

/* The end of every input: what is common to all calls is drawn, then the call is made. */
static void finish(call *c, int share)
{
    if (share) {
        put_inside(c, (int32_t)below(c->n), (int32_t)below(c->n));
    }
    c->spoil = rarely(8);
    make(c);
    end_call(c);
}

#endif
