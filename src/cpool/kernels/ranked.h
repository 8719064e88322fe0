/* Sums of few sorted floats times the weights of their ranks, in float lanes. What is not finite becomes NaN. */

#define NAME_RANKED(kernel) CP_GLUE(CP_GLUE(ranked_, kernel), CP_GLUE(_, CP_ISA_NAME))

CP_TEMPLATE void NAME_RANKED(order)(vf32 *larger, vf32 *smaller)
{
    vf32 most = vf32_max(*larger, *smaller);
    *smaller = vf32_min(*larger, *smaller);
    *larger = most;
}

CP_TEMPLATE vf32 NAME_RANKED(sum)(int taps, vf32 *x, const float *weight)
{
    vf32 sum = vf32_set1(0.0f);
    NAME_RANKED(order)(&x[0], &x[1]);
    if (taps == 3) {
        NAME_RANKED(order)(&x[1], &x[2]);
        NAME_RANKED(order)(&x[0], &x[1]);
    } else if (taps == 4) {
        NAME_RANKED(order)(&x[2], &x[3]);
        NAME_RANKED(order)(&x[0], &x[2]);
        NAME_RANKED(order)(&x[1], &x[3]);
        NAME_RANKED(order)(&x[1], &x[2]);
    }
    for (int r = 0; r < taps; r++) {
        sum = vf32_add(sum, vf32_mul(vf32_set1(weight[r]), x[r]));
    }
    return vf32_select(vf32_gt(vf32_set1((float)cp_infinity()), vf32_abs(sum)), sum, vf32_set1((float)cp_nan()));
}

/* Returns whether a result is NaN. */
CP_TEMPLATE int NAME_RANKED(row)(int taps, const cp_ranked_row *row)
{
    vf32 left = vf32_set1(0.0f), x[CP_RANKED];
    for (int64_t c = 0; c < row->columns; c++) {
        float *y = row->y + c * row->lanes;
        for (int64_t i = 0; i < row->lanes; i += vf32_N) {
            int64_t n = row->lanes - i;
            for (int t = 0; t < taps; t++) {
                const float *tap = (const float *)(const void *)(row->tap[t] + c * row->step) + i;
                x[t] = n >= vf32_N ? vf32_load(tap) : vf32_load_n(tap, n, 0.0f);
            }
            vf32 sum = NAME_RANKED(sum)(taps, x, row->weight);
            left = vf32_select(vf32_isnan(sum), sum, left);
            if (n >= vf32_N) {
                vf32_store(y + i, sum);
            } else {
                vf32_store_n(y + i, sum, n);
            }
        }
    }
    return vf32_any_nan(left);
}

static int NAME_RANKED(two)(const cp_ranked_row *row)
{
    return NAME_RANKED(row)(2, row);
}

static int NAME_RANKED(three)(const cp_ranked_row *row)
{
    return NAME_RANKED(row)(3, row);
}

static int NAME_RANKED(four)(const cp_ranked_row *row)
{
    return NAME_RANKED(row)(4, row);
}
#undef NAME_RANKED
