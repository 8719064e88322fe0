/* Weighted means of floats as two sums, of weights and of weighted elements, and roots of sums of squares: what is done with
 * one element, and with the sums, in float lanes. An element whose weight, weighted value or square is too large or too small
 * for float has none: it is NaN, and so is the result of every window that holds it. */

#define NAME_WEIGHTED(kernel) CP_GLUE(CP_GLUE(weighted_, kernel), CP_GLUE(_, CP_ISA_NAME))

/* The product, and what its rounding has lost: halves of 12 bits are multiplied exactly. */
CP_TEMPLATE vf32 NAME_WEIGHTED(product)(vf32 a, vf32 b, vf32 *rest)
{
    vf32 cut = vf32_set1(4097.0f), ca = vf32_mul(cut, a), cb = vf32_mul(cut, b), p = vf32_mul(a, b);
    vf32 at = vf32_sub(ca, vf32_sub(ca, a)), bt = vf32_sub(cb, vf32_sub(cb, b)), ar = vf32_sub(a, at), br = vf32_sub(b, bt);
    vf32 error = vf32_add(vf32_sub(vf32_mul(at, bt), p), vf32_mul(at, br));
    *rest = vf32_add(vf32_add(error, vf32_mul(ar, bt)), vf32_mul(ar, br));
    return p;
}

CP_TEMPLATE void NAME_WEIGHTED(lanes)(int kind, int is_one, vf32 beta, vf32 beta_rest, vf32 x, vf32 logit, vf32 *weight,
                                      vf32 *weighted)
{
    vf32 zero = vf32_set1(0.0f), rest = zero, size = zero;
    if (kind == CP_SQUARES) {
        vf32 magnitude = vf32_abs(x), square = vf32_mul(x, x);
        vf32_mask some = vf32_mask_or(vf32_gt(magnitude, vf32_set1(CP_SQUARES_LEAST)), vf32_eq(x, zero));
        some = vf32_mask_and(some, vf32_gt(vf32_set1(CP_SQUARES_MOST), magnitude));
        *weight = *weighted = vf32_select(some, square, vf32_set1((float)cp_nan()));
        return;
    }
    if (kind == CP_TAP_SHARE) {
        *weight = x = vf32_select(vf32_gt(zero, x), zero, x);
    } else {
        if (kind == CP_TAP_SOFT) {
            logit = x;
            if (!is_one) {
                logit = NAME_WEIGHTED(product)(beta, x, &rest);
                rest = vf32_add(rest, vf32_mul(beta_rest, x));
            }
        }
        size = vf32_abs(logit);
        *weight = vf32_exp(logit, rest);
    }
    *weighted = vf32_mul(*weight, x);
    vf32 both = vf32_abs(*weighted);
    vf32_mask there = vf32_mask_or(vf32_gt(both, vf32_set1(CP_WEIGHTED_LEAST)), vf32_eq(x, zero));
    there = vf32_mask_and(there, vf32_gt(vf32_set1(CP_WEIGHTED_MOST), both));
    there = vf32_mask_and(there, vf32_gt(vf32_set1(CP_WEIGHTED_LOGIT), size));
    *weight = vf32_select(there, *weight, vf32_set1((float)cp_nan()));
}

CP_TEMPLATE void NAME_WEIGHTED(map)(int kind, int is_one, int by_lane, const cp_weighting *by, const cp_weighted_row *row)
{
    for (int64_t c = 0; c < row->columns; c++) {
        const float *x = (const float *)(const void *)(row->x + c * row->x_step);
        const float *logit = kind == CP_TAP_LIP ? (const float *)(const void *)(row->logit + c * row->logit_step) : x;
        float *weight = row->weight + c * row->lanes, *weighted = row->weighted + c * row->lanes;
        int64_t i = 0;
        vf32 one, both, beta = vf32_set1(is_one ? 1.0f : by->beta[0]), rest = vf32_set1(is_one ? 0.0f : by->rest[0]);
        for (; i + vf32_N <= row->lanes; i += vf32_N) {
            CP_PREFETCH((const char *)(x + i) + CP_AHEAD);
            if (kind == CP_TAP_LIP) {
                CP_PREFETCH((const char *)(logit + i) + CP_AHEAD);
            }
            if (by_lane) {
                beta = vf32_load(by->beta + i);
                rest = vf32_load(by->rest + i);
            }
            NAME_WEIGHTED(lanes)(kind, is_one, beta, rest, vf32_load(x + i), vf32_load(logit + i), &one, &both);
            vf32_store(weighted + i, both);
            if (kind != CP_SQUARES) {
                vf32_store(weight + i, one);
            }
        }
        if (i < row->lanes) {
            int64_t n = row->lanes - i;
            if (by_lane) {
                beta = vf32_load_n(by->beta + i, n, 0.0f);
                rest = vf32_load_n(by->rest + i, n, 0.0f);
            }
            NAME_WEIGHTED(lanes)
            (kind, is_one, beta, rest, vf32_load_n(x + i, n, 0.0f), vf32_load_n(logit + i, n, 0.0f), &one, &both);
            vf32_store_n(weighted + i, both, n);
            if (kind != CP_SQUARES) {
                vf32_store_n(weight + i, one, n);
            }
        }
    }
}

static void NAME_WEIGHTED(map_soft)(const cp_weighting *by, const cp_weighted_row *row)
{
    if (by->by_lane) {
        NAME_WEIGHTED(map)(CP_TAP_SOFT, 0, 1, by, row);
    } else if (by->beta[0] == 1.0f && by->rest[0] == 0.0f) { /* the same, with nothing to round */
        NAME_WEIGHTED(map)(CP_TAP_SOFT, 1, 0, by, row);
    } else {
        NAME_WEIGHTED(map)(CP_TAP_SOFT, 0, 0, by, row);
    }
}

static void NAME_WEIGHTED(map_lip)(const cp_weighting *by, const cp_weighted_row *row)
{
    NAME_WEIGHTED(map)(CP_TAP_LIP, 1, 0, by, row);
}

static void NAME_WEIGHTED(map_share)(const cp_weighting *by, const cp_weighted_row *row)
{
    NAME_WEIGHTED(map)(CP_TAP_SHARE, 1, 0, by, row);
}

static void NAME_WEIGHTED(map_squares)(const cp_weighting *by, const cp_weighted_row *row)
{
    NAME_WEIGHTED(map)(CP_SQUARES, 1, 0, by, row);
}

/* Sums of squares become roots; returns whether one of them is NaN. */
static int NAME_WEIGHTED(root)(float *squares, const float *across, float down, int64_t n)
{
    vf32 left = vf32_set1(0.0f), rows = vf32_set1(down);
    for (int64_t i = 0; i < n; i += vf32_N) {
        int whole = n - i >= vf32_N;
        vf32 sum = whole ? vf32_load(squares + i) : vf32_load_n(squares + i, n - i, 0.0f);
        if (across != NULL) {
            vf32 count = vf32_mul(whole ? vf32_load(across + i) : vf32_load_n(across + i, n - i, 1.0f), rows);
            sum = vf32_select(vf32_eq(count, vf32_set1(0.0f)), sum, vf32_div(sum, count)); /* without elements the sum is 0 */
        }
        vf32 result = vf32_sqrt(sum);
        left = vf32_select(vf32_isnan(result), result, left);
        if (whole) {
            vf32_store(squares + i, result);
        } else {
            vf32_store_n(squares + i, result, n - i);
        }
    }
    return vf32_any_nan(left);
}

/* Sums of weighted elements become means; returns whether one of them is NaN. No weight at all makes 0. */
static int NAME_WEIGHTED(divide)(float *weighted, const float *weight, int64_t n)
{
    vf32 zero = vf32_set1(0.0f), left = zero;
    for (int64_t i = 0; i < n; i += vf32_N) {
        int whole = n - i >= vf32_N;
        vf32 sum = whole ? vf32_load(weight + i) : vf32_load_n(weight + i, n - i, 0.0f);
        vf32 both = whole ? vf32_load(weighted + i) : vf32_load_n(weighted + i, n - i, 0.0f);
        vf32 mean = vf32_add(vf32_select(vf32_eq(sum, zero), zero, vf32_div(both, sum)), zero);
        left = vf32_select(vf32_isnan(mean), mean, left);
        if (whole) {
            vf32_store(weighted + i, mean);
        } else {
            vf32_store_n(weighted + i, mean, n - i);
        }
    }
    return vf32_any_nan(left);
}

static const cp_weighted_kernels NAME_WEIGHTED(table) = {
    {NAME_WEIGHTED(map_soft), NAME_WEIGHTED(map_lip), NAME_WEIGHTED(map_share), NAME_WEIGHTED(map_squares)},
    NAME_WEIGHTED(divide),
    NAME_WEIGHTED(root),
};
#undef NAME_WEIGHTED
