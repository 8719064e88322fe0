/* Few sorted floats, in float lanes: sums of them times the weights of their ranks, of
 * which what is not finite becomes NaN, and the gradients of those sums. */

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
    CP_UNROLL
    for (int r = 0; r < taps; r++) {
        sum = vf32_add(sum, vf32_mul(vf32_set1(weight[r]), x[r]));
    }
    return vf32_select(vf32_gt(vf32_set1((float)cp_infinity()), vf32_abs(sum)), sum, vf32_set1((float)cp_nan()));
}

/* Windows of a column from lane i on, n of them, at most a vector; returns the results. */
CP_TEMPLATE vf32 NAME_RANKED(vector)(int taps, const cp_ranked_row *row, int64_t column, int64_t i, int64_t n)
{
    vf32 x[CP_RANKED];
    float *y = row->y + column * row->lanes + i;
    CP_UNROLL
    for (int t = 0; t < taps; t++) {
        const float *tap = (const float *)(const void *)(row->tap[t] + column * row->step) + i;
        x[t] = n == vf32_N ? vf32_load(tap) : vf32_load_n(tap, n, 0.0f);
    }
    vf32 sum = NAME_RANKED(sum)(taps, x, row->weight);
    if (n == vf32_N) {
        vf32_store(y, sum);
    } else {
        vf32_store_n(y, sum, n);
    }
    return sum;
}

/* Returns whether a result is NaN. */
CP_TEMPLATE int NAME_RANKED(row)(int taps, const cp_ranked_row *given)
{
    const cp_ranked_row own = *given, *row = &own; /* that no store can be thought to change */
    vf32 left = vf32_set1(0.0f);
    for (int64_t c = 0; c < row->columns; c++) {
        int64_t i = 0;
        for (; i + vf32_N <= row->lanes; i += vf32_N) {
            vf32 sum = NAME_RANKED(vector)(taps, row, c, i, vf32_N);
            left = vf32_select(vf32_isnan(sum), sum, left);
        }
        if (i < row->lanes) {
            vf32 sum = NAME_RANKED(vector)(taps, row, c, i, row->lanes - i);
            left = vf32_select(vf32_isnan(sum), sum, left);
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

/* ---- Gradients ---- */

/* a and b change places where the mask says so. */
CP_TEMPLATE void NAME_RANKED(exchange)(vf32_mask where, vf32 *a, vf32 *b)
{
    vf32 first = vf32_select(where, *b, *a);
    *b = vf32_select(where, *a, *b);
    *a = first;
}

/* Stable, since only neighbours are compared; `moved` is what has been done, exchange after exchange. */
CP_TEMPLATE void NAME_RANKED(sort)(int taps, vf32 *x, vf32_mask *moved)
{
    CP_UNROLL
    for (int t = 1; t < taps; t++) {
        CP_UNROLL
        for (int r = t; r > 0; r--) {
            vf32_mask *where = &moved[t * (t - 1) / 2 + t - r];
            *where = vf32_above(x[r], x[r - 1]);
            NAME_RANKED(exchange)(*where, &x[r - 1], &x[r]);
        }
    }
}

/* Back to where they came from: ranks to taps. */
CP_TEMPLATE void NAME_RANKED(unsort)(int taps, vf32 *term, const vf32_mask *moved)
{
    CP_UNROLL
    for (int t = taps - 1; t > 0; t--) {
        CP_UNROLL
        for (int r = 1; r <= t; r++) {
            NAME_RANKED(exchange)(moved[t * (t - 1) / 2 + t - r], &term[r - 1], &term[r]);
        }
    }
}

/* What is of each rank times dy: to `ranks` sums, one `step` behind the other. */
CP_TEMPLATE void NAME_RANKED(add_terms)(int taps, const vf32 *x, vf32 dy, double *sums, int64_t step, int ranks)
{
    float value[CP_RANKED_MOST][vf32_N], by[vf32_N];
    vf32_store(by, dy);
    CP_UNROLL
    for (int r = 0; r < taps; r++) {
        vf32_store(value[r], x[r]);
    }
    for (int j = 0; j < vf32_N; j += vf64_N) {
        vf64 factor = vf64_load_f32(by + j);
        CP_UNROLL
        for (int r = 0; r < taps; r++) {
            if (r < ranks) {
                double *sum = sums + r * step + j;
                vf64_store(sum, vf64_add(vf64_load(sum), vf64_mul(factor, vf64_load_f32(value[r] + j))));
            }
        }
    }
}

/* Absent taps are -infinity, so they are behind all elements but those that are the same: of windows with such, all elements
 * are brought before the absent taps first. Returns whether there are any. */
CP_OUT_OF_LINE int NAME_RANKED(part)(int taps, vf32 *there, vf32 *x, vf32_mask *moved)
{
    vf32 same = vf32_set1(0.0f), least = vf32_set1((float)-cp_infinity());
    for (int t = 0; t < taps; t++) {
        vf32_mask element = vf32_mask_and(vf32_gt(there[t], vf32_set1(0.0f)), vf32_eq(x[t], least));
        same = vf32_select(element, vf32_set1((float)cp_nan()), same);
    }
    if (!vf32_any_nan(same)) {
        return 0;
    }
    NAME_RANKED(sort)(taps, there, moved);
    for (int t = 1, k = 0; t < taps; t++) {
        for (int r = t; r > 0; r--, k++) {
            NAME_RANKED(exchange)(moved[k], &x[r - 1], &x[r]);
        }
    }
    return 1;
}

/* Returns whether a gradient may be beyond float. */
CP_TEMPLATE int NAME_RANKED(gradient)(int taps, const cp_ranked_gradient *row)
{
    vf32 zero = vf32_set1(0.0f), left = zero, x[CP_RANKED_MOST], term[CP_RANKED_MOST];
    vf32_mask moved[CP_RANKED_MOST * (CP_RANKED_MOST - 1) / 2], parted[CP_RANKED_MOST * (CP_RANKED_MOST - 1) / 2];
    int64_t at = 0;
    for (int64_t i = 0; i < row->n; i += vf32_N) {
        int64_t n = row->n - i < vf32_N ? row->n - i : vf32_N;
        int whole = row->all_rows && i >= row->whole_from && i + n <= row->whole_to, two_ways = 0;
        vf32 dy = n == vf32_N ? vf32_load(row->dy + i) : vf32_load_n(row->dy + i, n, 0.0f);
        CP_UNROLL
        for (int t = 0; t < taps; t++) {
            x[t] = n == vf32_N ? vf32_load(row->tap[t] + i) : vf32_load_n(row->tap[t] + i, n, 0.0f);
        }
        left = vf32_select(vf32_gt(vf32_set1(row->most), vf32_abs(dy)), left, vf32_set1((float)cp_nan()));
        vf32 count = vf32_set1((float)taps);
        if (!whole) {
            vf32 there[CP_RANKED_MOST], mixed[CP_RANKED_MOST];
            count = zero;
            for (int t = 0; t < taps; t++) {
                there[t] = n == vf32_N ? vf32_load(row->there[t] + i) : vf32_load_n(row->there[t] + i, n, 1.0f);
                count = vf32_add(count, there[t]);
                mixed[t] = x[t];
            }
            two_ways = NAME_RANKED(part)(taps, there, mixed, parted);
            for (int t = 0; t < taps; t++) {
                x[t] = mixed[t];
            }
        }
        NAME_RANKED(sort)(taps, x, moved);
        if (row->sums != NULL) {
            CP_UNROLL
            for (int r = 0; r < taps && !whole; r++) {
                x[r] = vf32_select(vf32_gt(count, vf32_set1((float)r)), x[r], zero);
            }
            NAME_RANKED(add_terms)(taps, x, dy, row->sums + at, row->sums_step, row->ranks);
            at = at + vf32_N < row->period ? at + vf32_N : 0;
        }
        if (row->dx[0] == NULL) {
            continue;
        }
        CP_UNROLL
        for (int r = 0; r < taps; r++) {
            term[r] = vf32_mul(dy, vf32_set1(row->weight[r]));
        }
        NAME_RANKED(unsort)(taps, term, moved);
        if (two_ways) {
            NAME_RANKED(unsort)(taps, term, parted);
        }
        CP_UNROLL
        for (int t = 0; t < taps; t++) {
            float *dx = row->dx[t] + i;
            vf32 before = !row->adds[t] ? zero : n == vf32_N ? vf32_load(dx) : vf32_load_n(dx, n, 0.0f);
            if (n == vf32_N) {
                vf32_store(dx, vf32_add(before, term[t]));
            } else {
                vf32_store_n(dx, vf32_add(before, term[t]), n);
            }
        }
    }
    return vf32_any_nan(left);
}

static int NAME_RANKED(gradient_four)(const cp_ranked_gradient *row)
{
    return NAME_RANKED(gradient)(4, row);
}

static int NAME_RANKED(gradient_nine)(const cp_ranked_gradient *row)
{
    return NAME_RANKED(gradient)(9, row);
}
#undef NAME_RANKED
