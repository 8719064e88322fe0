/* Fuzzes pooling: describe, query, forward, backward and taps_to_indices, of every operator. tools/fuzz.py builds and runs it.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LAST_OP = CPOOL_DPID, MAX_WORK = 3000, TO_INDICES = 2 };

static cpool_status query(const call *c, int32_t workers, cpool_info *info, cpool_error *error)
{
    return cpool_pool_query(c->params, c->args, c->n, c->direction, workers, info, error);
}

static cpool_status run_it(const call *c, const cpool_exec *exec)
{
    return c->direction == CPOOL_FORWARD    ? cpool_pool_forward(c->params, c->args, c->n, exec)
           : c->direction == CPOOL_BACKWARD ? cpool_pool_backward(c->params, c->args, c->n, exec)
                                            : cpool_taps_to_indices(c->params, c->args, c->n, exec);
}

/* ---- Geometry ---------------------------------------------------------------------------------------------------------- */

/* Lengths of x along its axes, and the windows: mostly some that fit. */
static int32_t choose_geometry(cpool_pool_params *p, int64_t *shape)
{
    int large = rarely(24);
    int32_t op = p->op, ndim = p->rank = op == CPOOL_KMAX ? 1 : 1 + (int32_t)below(3);
    ndim += (int32_t)below(3);
    int plain = op == CPOOL_BLUR || op == CPOOL_FRACTIONAL || op == CPOOL_DPID;
    int slides = plain || op == CPOOL_UNPOOL || op == CPOOL_GATED || op == CPOOL_TREE || op == CPOOL_S3;
    static const int64_t most[3] = {40, 12, 6};
    for (int32_t i = 0; i < ndim; i++) {
        shape[i] = rarely(200) ? 0 : length_to(i < ndim - p->rank ? 4 : most[p->rank - 1] * (large ? 4 : 1));
    }
    if (rarely(8)) { /* many channels or samples, few columns */
        int64_t last = shape[ndim - 1];
        shape[ndim - 1] = shape[0];
        shape[0] = last;
    }
    int axes = rarely(4);
    for (int32_t i = 0; axes && i < p->rank; i++) {
        p->axes[i] = (int32_t)(below(2 * ndim + 1) - ndim);
    }
    if (rarely(4)) {
        p->channel_axis = rarely(2) ? CPOOL_AXIS_NONE : (int32_t)(below(2 * ndim + 1) - ndim);
    }
    p->geometry = slides ? CPOOL_SLIDING : (int32_t)below(12) % 4 % 3;
    for (int32_t i = 0; i < p->rank; i++) {
        int32_t axis = axes ? (p->axes[i] + ndim) % ndim : ndim - p->rank + i;
        int64_t n = shape[axis], dense = n < 9 || large ? n : 9;
        p->window[i] = op == CPOOL_BLUR ? length_to(7) : length_to(p->geometry == CPOOL_SLIDING ? dense : 12);
        if (p->geometry != CPOOL_SLIDING) {
            continue;
        }
        if (op != CPOOL_FRACTIONAL && op != CPOOL_DPID && below(4)) {
            p->stride[i] = length_to(4);
        }
        if (op == CPOOL_FRACTIONAL || (op == CPOOL_UNPOOL && below(2))) {
            p->output_size[i] = length_to(20);
        }
        if (plain) {
            continue;
        }
        if (rarely(4)) {
            p->dilation[i] = length_to(p->window[i] > 1 && n > p->window[i] ? (n - 1) / (p->window[i] - 1) : 3);
        }
        if (rarely(3)) {
            int64_t fits = p->window[i] > 0 && p->window[i] < 256 && p->dilation[i] > 0 && p->dilation[i] < 256
                               ? (p->window[i] - 1) * p->dilation[i] + 1
                               : 256;
            p->pad_before[i] = rarely(128) ? extreme() : below(fits);
            p->pad_after[i] = rarely(128) ? extreme() : below(fits);
        }
        if (op == CPOOL_S3 && below(2)) {
            p->grid[i] = length_to(5);
        }
        if (op == CPOOL_DPP && rarely(8)) {
            p->filter_pad_before[i] = rarely(128) ? extreme() : below(3);
            p->filter_pad_after[i] = rarely(128) ? extreme() : below(3);
        }
    }
    if (rarely(8) && p->geometry == CPOOL_SLIDING) {
        p->padding_mode = (int32_t)below(4);
    }
    return ndim;
}

static void choose_rest(cpool_pool_params *p, int64_t columns)
{
    static const uint32_t flags[LAST_OP + 1] = {[CPOOL_AVG] = CPOOL_CEIL_MODE | CPOOL_COUNT_INCLUDE_PAD | CPOOL_DIVISOR,
                                                [CPOOL_LP] = CPOOL_CEIL_MODE | CPOOL_MEAN,
                                                [CPOOL_DPP] = CPOOL_CEIL_MODE | CPOOL_ASYMMETRIC,
                                                [CPOOL_UNPOOL] = CPOOL_ADD};
    uint32_t known = flags[p->op] != 0 ? flags[p->op] : p->op < CPOOL_KMAX || p->op > CPOOL_ADA ? CPOOL_CEIL_MODE : 0;
    p->flags = (uint32_t)take(1) & (rarely(64) ? ~UINT32_C(0) : known);
    if (p->padding_mode != CPOOL_EXPLICIT || p->geometry != CPOOL_SLIDING || p->op > CPOOL_TREE) {
        p->flags &= ~CPOOL_CEIL_MODE;
    }
    p->divisor = p->flags & CPOOL_DIVISOR ? number(below(4)) : 0;
    p->granularity = p->op == CPOOL_MIXED_RANDOM ? (int32_t)below(3) : 0;
    p->variant = p->op == CPOOL_DPP || p->op == CPOOL_BLUR ? (int32_t)below(3) : 0;
    p->k = p->op == CPOOL_KMAX ? length_to(columns < 255 ? columns + 1 : columns) : 0;
    p->p_max = (double)below(11) / 10;
    p->seed = take(2);
    p->offset = take(1);
    switch (below(250)) { /* one wrong number */
    case 249: p->op = (int32_t)extreme(); break;
    case 248: p->rank = (int32_t)extreme(); break;
    case 247: p->geometry = (int32_t)extreme(); break;
    case 246: p->padding_mode = (int32_t)extreme(); break;
    case 245: p->granularity = (int32_t)extreme(); break;
    case 244: p->variant = (int32_t)extreme(); break;
    case 243: p->k = extreme(); break;
    case 242: p->p_max = number(3); break;
    case 241: p->eps2 = number(3); break;
    case 240: p->reserved[below(8)] = 1; break;
    case 239: p->reserved_flags = 1; break;
    case 238: p->channel_axis = (int32_t)extreme(); break;
    case 237: p->struct_size = (size_t)below(256); break;
    default: break;
    }
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------------ */

/* Adds an array as the library describes it, parameters in one of the shapes that they may have. */
static int add_role(call *c, const cpool_pool_params *p, int32_t role, const int64_t *x_shape, int32_t x_ndim)
{
    cpool_shape s = CPOOL_SHAPE_INIT, y = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    int32_t kind = role & ~CPOOL_GRAD;
    if (cpool_pool_describe(p, c->args, c->n, role, &s, &error) != CPOOL_OK) {
        require_error(c, (cpool_status)error.status, &error);
        return 0;
    }
    REQUIRE(s.ndim >= 0 && s.ndim <= CPOOL_MAX_NDIM && s.dtype_lanes == 1);
    if (role == kind) {
        int64_t channels = x_ndim > p->rank ? x_shape[x_ndim - p->rank - 1] : 1, rows = below(2) ? channels : 1;
        int64_t first = s.ndim > 0 ? s.shape[0] : 1, last = s.ndim > 0 ? s.shape[s.ndim - 1] : 1;
        switch (kind) {
        case CPOOL_P:
        case CPOOL_BETA:
        case CPOOL_ALPHA:
        case CPOOL_LAMBDA:
        case CPOOL_BIAS:
        case CPOOL_BLEND:
            s.ndim = (int32_t)below(2);
            s.shape[0] = rows;
            if ((kind == CPOOL_BLEND && rarely(3)) && cpool_pool_describe(p, c->args, c->n, CPOOL_Y, &y, NULL) == CPOOL_OK) {
                s.ndim = p->rank + 1;
                for (int32_t i = 0; i < p->rank; i++) {
                    s.shape[1 + i] = y.shape[y.ndim - p->rank + i];
                }
            }
            break;
        case CPOOL_WEIGHT:
            s.ndim = 1 + (int32_t)below(2);
            s.shape[0] = rows;
            s.shape[s.ndim - 1] = p->op == CPOOL_RANK && last < 250 ? length_to(last) : last;
            break;
        case CPOOL_FILTER:
            s.ndim = p->rank + 1;
            s.shape[0] = rows;
            for (int32_t i = 0; i < p->rank; i++) {
                s.shape[1 + i] = length_to(4);
            }
            break;
        case CPOOL_LEAVES: first = INT64_C(2) << below(3);
        /* fall through */
        case CPOOL_GATES:
            if (kind == CPOOL_GATES && find(c, CPOOL_LEAVES) >= 0) {
                first = c->shape[find(c, CPOOL_LEAVES)][0] - 1;
            }
            s.ndim = 2 + (int32_t)below(2);
            s.shape[0] = first;
            s.shape[1] = rows;
            s.shape[s.ndim - 1] = last;
            break;
        case CPOOL_LENGTHS:
            s.ndim = (int32_t)below(x_ndim < 1 ? 1 : x_ndim);
            memcpy(s.shape, x_shape, (size_t)s.ndim * sizeof *s.shape);
            break;
        default: break;
        }
        if (kind >= CPOOL_P && kind <= CPOOL_WEIGHT && kind != CPOOL_REFERENCE && below(2)) {
            s.dtype_bits = c->args[0].view.dtype_bits;
        }
    }
    return add(c, role, s.ndim, s.shape, s.dtype_code, s.dtype_bits);
}

/* Little-endian, as x86 and ARM are. */
static void put_integer(const call *c, int32_t i, int64_t index, int64_t value)
{
    memcpy(element(c, i, index), &value, c->args[i].view.dtype_bits / 8u);
}

static void fill(call *c, int32_t i)
{
    int32_t role = c->args[i].role;
    int64_t kind = below(5);
    for (int64_t k = 0; k < c->elements[i]; k++) {
        if (holds(c, i, CPOOL_FLOAT)) {
            double value = number(kind), size = value < 0 ? -value : value;
            put(c, i, k,
                role == CPOOL_U                                                               ? (double)(noise() % 256) / 256
                : role == CPOOL_P                                                             ? size + (kind == 3 ? 0 : 0.5)
                : (role == CPOOL_ALPHA || role == CPOOL_LAMBDA || role == CPOOL_BETA) && kind ? size
                                                                                              : value);
        } else if (holds(c, i, CPOOL_INT) || holds(c, i, CPOOL_UINT)) {
            uint64_t bits = noise();
            put_integer(c, i, k,
                        role == CPOOL_LENGTHS ? (int64_t)(bits % 6)
                        : kind == 4           ? (int64_t)(bits << below(60))
                                              : (int64_t)(bits % (kind == 3 ? 4096 : 12)) - 1);
        }
    }
}

/* ---- The call ---------------------------------------------------------------------------------------------------------- */

/* Elements that windows hold in all; roles are described from x alone. */
static int64_t work_of(const call *c, const cpool_pool_params *p)
{
    cpool_shape y = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    double work = p->op == CPOOL_LP || p->op >= CPOOL_SOFT ? 4 : 1;
    if (cpool_pool_describe(p, c->args, 1, CPOOL_Y, &y, &error) != CPOOL_OK) {
        return 0; /* a call that fails is short */
    }
    for (int32_t i = 0; i < y.ndim; i++) {
        work *= (double)y.shape[i];
    }
    for (int32_t i = 0; i < p->rank && p->op != CPOOL_KMAX && p->op != CPOOL_UNPOOL; i++) {
        int64_t n = p->geometry == CPOOL_WHOLE ? MAX_ELEMENTS : p->geometry == CPOOL_ADAPTIVE ? 4 : p->window[i];
        int64_t longest = 1;
        for (int32_t k = 0; k < c->args[0].view.ndim; k++) {
            longest = c->shape[0][k] > longest ? c->shape[0][k] : longest;
        }
        work *= (double)(n < longest ? n : longest);
    }
    return work < 1e9 ? (int64_t)work : 1000000000;
}

static void remove_first(call *c)
{
    int32_t last = --c->n;
    c->args[0] = c->args[last];
    memcpy(c->shape[0], c->shape[last], sizeof c->shape[0]);
    c->args[0].view.shape = c->shape[0];
    c->elements[0] = c->elements[last];
}

static int add_all(call *c, const cpool_pool_params *p, const int64_t *shape, int32_t ndim)
{
    cpool_info info = CPOOL_INFO_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    uint64_t roles = UINT64_C(1) << CPOOL_X | UINT64_C(1) << CPOOL_TAPS | UINT64_C(1) << CPOOL_INDICES;
    /* Backward of some operators takes no x, but the gradient that leaves it has its shape. */
    int32_t first = c->args[0].role;
    if (c->direction != TO_INDICES) {
        c->args[0].role = c->direction == CPOOL_BACKWARD ? CPOOL_GRAD | CPOOL_X : CPOOL_X;
        cpool_status status = cpool_pool_query(p, c->args, 1, c->direction, 1, &info, &error);
        c->args[0].role = first;
        if (status != CPOOL_OK) {
            return 0;
        }
        roles = info.required;
        for (int32_t bit = 0; bit < 64; bit++) {
            uint64_t optional = info.optional & UINT64_C(1) << bit;
            roles |= optional != 0 && below(2) ? optional : 0;
        }
    }
    for (int32_t bit = 1; bit < 64; bit++) {
        int32_t role = bit < 32 ? bit : CPOOL_GRAD | (bit - 32);
        if (!(roles >> bit & 1) || role == CPOOL_X) {
            continue;
        }
        if (!add_role(c, p, role, shape, ndim)) {
            return 0;
        }
    }
    if (!(roles >> CPOOL_X & 1)) { /* it was there to describe the others */
        remove_first(c);
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpool_pool_params p = CPOOL_POOL_PARAMS_INIT;
    call c = {.params = &p, .run = run_it, .query = query};
    int64_t shape[MAX_AXES] = {0};
    begin(data, size);
    p.op = 1 + (int32_t)below(LAST_OP);
    c.direction = (int32_t)below(2);
    if (p.op <= CPOOL_MIN && rarely(8)) {
        c.direction = TO_INDICES;
        c.query = NULL;
    }
    uint8_t bits = below(3) ? 32 : 64;
    int32_t ndim = choose_geometry(&p, shape);
    choose_rest(&p, shape[ndim - 1]);
    int wrong = rarely(16), small = add(&c, CPOOL_X, ndim, shape, CPOOL_FLOAT, bits), share = rarely(16);
    int64_t work = work_of(&c, &p), most = MAX_WORK * (rarely(32) ? 16 : 1);
    /* Arrays that are not made have no data, and the call fails for that if for nothing else. */
    int ready = add_all(&c, &p, shape, ndim) && small && work <= most;
    if (wrong) {
        damage(&c);
    }
    for (int32_t i = 0; i < c.n; i++) {
        int32_t role = c.args[i].role;
        c.result[i] = c.direction == CPOOL_BACKWARD ? role > CPOOL_GRAD && role != (CPOOL_GRAD | CPOOL_Y)
                      : c.direction == TO_INDICES   ? role == CPOOL_INDICES
                      : role == CPOOL_INDICES       ? p.op != CPOOL_UNPOOL
                                                    : role == CPOOL_Y || role == CPOOL_TAPS || role == CPOOL_MASK;
        if (ready && place(&c, i) && !c.result[i]) {
            fill(&c, i);
        }
    }
    finish(&c, share);
    return 0;
}
