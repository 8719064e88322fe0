/* Fuzzes normalization: describe, query, forward and backward of every operator and stage, and the merging of moments.
 * tools/fuzz.py builds and runs it.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cpool_status query(const call *c, int32_t workers, cpool_info *info, cpool_error *error)
{
    return cpool_norm_query(c->params, c->args, c->n, c->direction, workers, info, error);
}

static cpool_status run_it(const call *c, const cpool_exec *exec)
{
    return c->direction == CPOOL_FORWARD ? cpool_norm_forward(c->params, c->args, c->n, exec)
                                         : cpool_norm_backward(c->params, c->args, c->n, exec);
}

static cpool_status merge(const call *c, const cpool_exec *exec)
{
    return cpool_moments_merge(&c->args[0].view, &c->args[1].view, &c->args[2].view, exec->error);
}

static int add_role(call *c, const cpool_norm_params *p, int32_t role)
{
    cpool_shape s = CPOOL_SHAPE_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    if (cpool_norm_describe(p, c->args, c->n, role, &s, &error) != CPOOL_OK) {
        require_error(c, (cpool_status)error.status, &error);
        return 0;
    }
    REQUIRE(s.ndim >= 0 && s.ndim <= CPOOL_MAX_NDIM && s.dtype_lanes == 1);
    int any = role == CPOOL_WEIGHT || role == CPOOL_BIAS || role == CPOOL_MU || role == CPOOL_VAR;
    return add(c, role, s.ndim, s.shape, s.dtype_code, any && below(2) ? 64 : s.dtype_bits);
}

static int add_all(call *c, const cpool_norm_params *p, int constant)
{
    cpool_info info = CPOOL_INFO_INIT;
    cpool_error error = CPOOL_ERROR_INIT;
    if (constant && !(add_role(c, p, CPOOL_MU) && add_role(c, p, CPOOL_VAR))) {
        return 0;
    }
    if (query(c, 1, &info, &error) != CPOOL_OK) {
        return 0;
    }
    for (int32_t bit = 1; bit < 64; bit++) {
        int32_t role = bit < 32 ? bit : CPOOL_GRAD | (bit - 32);
        int known = find(c, role) >= 0 || role == CPOOL_MU || role == CPOOL_VAR;
        int wanted = (int)(info.required >> bit & 1) || ((info.optional >> bit & 1) && below(2));
        if (wanted && !known && !add_role(c, p, role)) {
            return 0;
        }
    }
    return 1;
}

/* Counts are positive, and so are variances and sums of squares, which lie in the third row of moments. */
static void fill(call *c, int32_t i)
{
    int32_t role = c->args[i].role;
    int64_t kind = below(5), row = c->args[i].view.ndim > 0 && c->shape[i][0] > 0 ? c->elements[i] / c->shape[i][0] : 1;
    int counted = role == CPOOL_MOMENTS || role == CPOOL_SUMS || c->run == merge;
    for (int64_t k = 0; holds(c, i, CPOOL_FLOAT) && k < c->elements[i]; k++) {
        double value = number(kind);
        int positive = role == CPOOL_VAR || (counted && row > 0 && (k / row == 0 || k / row == 2));
        value = positive && value < 0 ? -value : value;
        put(c, i, k, counted && row > 0 && k / row == 0 && kind != 3 ? (double)(int64_t)value + 1 : value);
    }
}

static int32_t choose(call *c, cpool_norm_params *p, int64_t *shape)
{
    int large = rarely(16);
    int32_t ndim = 2 + (int32_t)below(4);
    p->op = 1 + (int32_t)below(CPOOL_RMS_NORM);
    c->direction = (int32_t)below(2);
    for (int32_t i = 0; i < ndim; i++) {
        shape[i] = rarely(200) ? 0 : length_to(i == below(ndim) ? (large ? 160 : 40) : 5);
    }
    if (rarely(3)) {
        p->channel_axis = (int32_t)(below(2 * ndim + 1) - ndim);
    }
    p->rank = 1 + (int32_t)below(ndim);
    for (int32_t i = 0; i < p->rank; i++) {
        p->norm_axes[i] = rarely(8) ? (int32_t)(below(2 * ndim + 1) - ndim) : ndim - p->rank + i;
    }
    int32_t channel = p->channel_axis == CPOOL_AXIS_DEFAULT ? 1 : (p->channel_axis + ndim) % ndim;
    p->groups = length_to(3);
    if (p->op == CPOOL_GROUP_NORM && p->groups > 0 && p->groups < 9 && shape[channel] < 100 && below(8)) {
        shape[channel] = (shape[channel] / p->groups + 1) * p->groups;
    }
    p->eps = rarely(4) ? 0 : rarely(16) ? number(3) : 1e-5;
    if (p->op == CPOOL_BATCH_NORM) {
        int32_t stage = (int32_t)below(6);
        p->stage = stage < 3 ? 0 : stage == 3 ? CPOOL_STAGE_APPLY : c->direction ? CPOOL_STAGE_SUMS : CPOOL_STAGE_STATS;
        p->flags = rarely(3) ? CPOOL_RELU : 0;
    }
    switch (below(200)) { /* one wrong number */
    case 199: p->op = (int32_t)extreme(); break;
    case 198: p->stage = (int32_t)extreme(); break;
    case 197: p->channel_axis = (int32_t)extreme(); break;
    case 196: p->rank = (int32_t)extreme(); break;
    case 195: p->norm_axes[0] = (int32_t)extreme(); break;
    case 194: p->groups = extreme(); break;
    case 193: p->flags = (uint32_t)take(4); break;
    case 192: p->reserved_flags = 1; break;
    case 191: p->reserved[below(8)] = 1; break;
    case 190: p->struct_size = (size_t)below(256); break;
    default: break;
    }
    return ndim;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpool_norm_params p = CPOOL_NORM_PARAMS_INIT;
    call c = {.params = &p, .run = run_it, .query = query};
    int64_t shape[MAX_AXES] = {0};
    begin(data, size);
    int ready = 1, wrong = rarely(16), share = rarely(16), in_place = rarely(6);
    if (rarely(16)) {
        c.run = merge;
        c.query = NULL;
        shape[0] = 4;
        shape[1] = length_to(20);
        for (int32_t i = 0; i < 3; i++) { /* roles tell the arrays apart; the function knows their places alone */
            ready &= add(&c, CPOOL_MOMENTS + i, 2, shape, CPOOL_FLOAT, 64);
        }
    } else {
        int32_t ndim = choose(&c, &p, shape);
        ready = add(&c, CPOOL_X, ndim, shape, CPOOL_FLOAT, below(3) ? 32 : 64) && add_all(&c, &p, rarely(4));
    }
    if (wrong) {
        damage(&c);
    }
    for (int32_t i = 0; i < c.n; i++) {
        int32_t role = c.args[i].role;
        c.result[i] = c.run == merge                  ? i == 2
                      : c.direction == CPOOL_BACKWARD ? role == CPOOL_SUMS ? p.stage == CPOOL_STAGE_SUMS
                                                                           : role > CPOOL_GRAD && role != (CPOOL_GRAD | CPOOL_Y)
                      : role == CPOOL_MOMENTS         ? p.stage != CPOOL_STAGE_APPLY
                                                      : role == CPOOL_Y || role == CPOOL_STATS;
        if (ready && place(&c, i) && !c.result[i]) {
            fill(&c, i);
        }
    }
    int32_t from = c.run == merge ? 0 : find(&c, c.direction ? CPOOL_GRAD | CPOOL_Y : CPOOL_X);
    int32_t to = c.run == merge ? 2 : find(&c, c.direction ? CPOOL_GRAD | CPOOL_X : CPOOL_Y);
    if (in_place && from >= 0 && to >= 0 && c.block[from] != NULL && c.block[to] != NULL) { /* exactly the same memory */
        free(c.block[to]);
        c.block[to] = NULL;
        c.args[to].view = c.args[from].view;
        c.result[from] = c.together = 1;
    }
    finish(&c, share);
    return 0;
}
