/* Sums of normalization, f64 lanes: moments forward, their gradients backward, and what becomes of them for each group.
 *
 * The order of every sum is fixed here and by the blocks that the driver makes of geometry: along a row in 16 virtual lanes,
 * which are folded by halves, whatever the lanes of the machine; across rows one after another. Differences are taken in double
 * and from a value of the group itself, so that a mean a million times the deviation costs no digits. */

#define NORM(kernel) CP_GLUE(norm_##kernel##_, CP_ISA_NAME)

enum { NORM(UNIT) = CP_SUM_LANES / vf64_N, NORM(WIDTH) = 4, NORM(STRIPE) = 8, NORM(ROWS) = 4 };

/* Calls function(task, kind, wide, relu, tile) with constants. */
#define CP_NORM_CASES(function, task, tile) \
    do { \
        int wide_ = (tile)->dtype == CP_DTYPE_f64, relu_ = (tile)->relu; \
        switch ((tile)->kind) { \
        case CP_ALONG: \
            if (relu_) { \
                wide_ ? function(task, CP_ALONG, 1, 1, tile) : function(task, CP_ALONG, 0, 1, tile); \
            } else { \
                wide_ ? function(task, CP_ALONG, 1, 0, tile) : function(task, CP_ALONG, 0, 0, tile); \
            } \
            break; \
        case CP_ACROSS: \
            if (relu_) { \
                wide_ ? function(task, CP_ACROSS, 1, 1, tile) : function(task, CP_ACROSS, 0, 1, tile); \
            } else { \
                wide_ ? function(task, CP_ACROSS, 1, 0, tile) : function(task, CP_ACROSS, 0, 0, tile); \
            } \
            break; \
        default: wide_ ? function(task, CP_LAYER, 1, 0, tile) : function(task, CP_LAYER, 0, 0, tile); \
        } \
    } while (0)

/* ---- Rows of elements ---- */

CP_TEMPLATE vf64 NORM(load)(int wide, const char *row, int64_t i, int64_t n, vf64 fill)
{
    double rest[vf64_N];
    if (n == vf64_N) {
        return wide ? vf64_load((const double *)(const void *)row + i) : vf64_load_f32((const float *)(const void *)row + i);
    }
    vf64_store(rest, fill); /* fills of a row are the same in all lanes */
    return wide ? vf64_load_n((const double *)(const void *)row + i, n, rest[0])
                : vf64_load_f32_n((const float *)(const void *)row + i, n, rest[0]);
}

CP_TEMPLATE vf64 NORM(lanes)(const double *row, int64_t i, int64_t n)
{
    return n == vf64_N ? vf64_load(row + i) : vf64_load_n(row + i, n, 0.0);
}

CP_TEMPLATE void NORM(keep)(double *row, int64_t i, int64_t n, vf64 v)
{
    if (n == vf64_N) {
        vf64_store(row + i, v);
    } else {
        vf64_store_n(row + i, v, n);
    }
}

/* The constants of a row, or of a vector of lanes. */
typedef struct NORM(constants) {
    vf64 center, scale, offset, a, b, c, weight, bias;
} NORM(constants);

CP_TEMPLATE vf64 NORM(constant)(int per_lane, const double *from, int64_t row, int64_t lane, int64_t n)
{
    return per_lane ? NORM(lanes)(from, lane, n) : vf64_set1(from[row]);
}

CP_TEMPLATE int NORM(needs_affine)(int task, int relu)
{
    return task == CP_NORM_APPLY || task == CP_NORM_PARAMETERS || relu;
}

/* Those of a row (kind is not CP_ACROSS) or of lanes (it is). */
CP_TEMPLATE void NORM(take)(NORM(constants) * k, int task, int kind, int relu, const cp_norm_tile *t, int64_t row, int64_t lane,
                            int64_t n)
{
    int per_lane = kind == CP_ACROSS;
    if (task != CP_NORM_CONSTANT || relu) {
        k->center = NORM(constant)(per_lane, t->center, row, lane, n);
    }
    if (NORM(needs_affine)(task, relu)) {
        k->scale = NORM(constant)(per_lane, t->scale, row, lane, n);
        k->offset = NORM(constant)(per_lane, t->offset, row, lane, n);
    }
    if (task == CP_NORM_GRADIENT || task == CP_NORM_CONSTANT) {
        k->a = NORM(constant)(per_lane, t->a, row, lane, n);
    }
    if (task == CP_NORM_GRADIENT) {
        k->b = NORM(constant)(per_lane, t->b, row, lane, n);
        k->c = NORM(constant)(per_lane, t->c, row, lane, n);
    }
}

CP_TEMPLATE vf64 NORM(affine_of)(const NORM(constants) * k, vf64 x)
{
    return vf64_add(vf64_mul(vf64_sub(x, k->center), k->scale), k->offset);
}

/* The upstream gradient of what was before the ReLU. */
CP_TEMPLATE vf64 NORM(upstream)(int relu, const cp_norm_tile *t, const NORM(constants) * k, vf64 x, vf64 dy)
{
    return relu ? vf64_select(vf64_gt(NORM(affine_of)(k, x), vf64_set1(t->floor)), dy, vf64_set1(0.0)) : dy;
}

/* ---- Sums of rows ---- */

/* Sums with what their roundings lose. */
typedef struct NORM(state) {
    vf64 first, second, first_lost, second_lost;
} NORM(state);

/* What a + b loses when it is rounded to `sum` (Knuth). */
CP_TEMPLATE vf64 NORM(lost)(vf64 a, vf64 b, vf64 sum)
{
    vf64 back = vf64_sub(sum, a);
    return vf64_add(vf64_sub(a, vf64_sub(sum, back)), vf64_sub(b, back));
}

CP_TEMPLATE NORM(state) NORM(accumulate)(int task, NORM(state) s, vf64 p, vf64 q, vf64 p_lost)
{
    vf64 first = vf64_add(s.first, p), second = vf64_add(s.second, q);
    if (task == CP_NORM_EXACT) {
        s.first_lost = vf64_add(s.first_lost, vf64_add(NORM(lost)(s.first, p, first), p_lost));
        s.second_lost = vf64_add(s.second_lost, NORM(lost)(s.second, q, second));
    }
    s.first = first;
    s.second = second;
    return s;
}

CP_TEMPLATE NORM(state) NORM(state_load)(int task, int begins, const double *from, int64_t pitch, int64_t n)
{
    NORM(state) s;
    if (begins) {
        s.first = s.second = s.first_lost = s.second_lost = vf64_set1(0.0);
        return s;
    }
    s.first = NORM(lanes)(from, 0, n);
    s.second = NORM(lanes)(from + pitch, 0, n);
    s.first_lost = task == CP_NORM_EXACT ? NORM(lanes)(from + 2 * pitch, 0, n) : s.first;
    s.second_lost = task == CP_NORM_EXACT ? NORM(lanes)(from + 3 * pitch, 0, n) : s.second;
    return s;
}

CP_TEMPLATE void NORM(state_store)(int task, NORM(state) s, double *to, int64_t pitch, int64_t n)
{
    NORM(keep)(to, 0, n, s.first);
    NORM(keep)(to + pitch, 0, n, s.second);
    if (task == CP_NORM_EXACT) {
        NORM(keep)(to + 2 * pitch, 0, n, s.first_lost);
        NORM(keep)(to + 3 * pitch, 0, n, s.second_lost);
    }
}

CP_TEMPLATE int NORM(is_moments)(int task)
{
    return task == CP_NORM_MOMENTS || task == CP_NORM_EXACT;
}

/* The first n lanes, the others 0. */
CP_TEMPLATE vf64 NORM(first_lanes)(vf64 x, int64_t n)
{
    double lane[vf64_N];
    if (n >= vf64_N) {
        return x;
    }
    vf64_store(lane, x);
    return vf64_load_n(lane, n, 0.0);
}

/* Adds n elements from column i of a row on; those beyond n are 0, even where the center is infinite. */
CP_TEMPLATE NORM(state) NORM(add_terms)(int task, int kind, int wide, int relu, const cp_norm_tile *t,
                                        const NORM(constants) * k, int64_t row, int64_t i, int64_t n, NORM(state) s)
{
    const char *x_row = t->x + row * t->x_step;
    vf64 x = NORM(load)(wide, x_row, i, n, kind == CP_ACROSS ? vf64_set1(0.0) : k->center);
    vf64 d = NORM(first_lanes)(vf64_sub(x, k->center), n);
    if (NORM(is_moments)(task)) {
        vf64 negative = vf64_sub(vf64_set1(0.0), k->center);
        vf64 lost = task == CP_NORM_EXACT ? NORM(first_lanes)(NORM(lost)(x, negative, d), n) : d;
        return NORM(accumulate)(task, s, d, vf64_mul(d, d), lost);
    }
    vf64 e = NORM(upstream)(relu, t, k, x, NORM(load)(wide, t->dy + row * t->dy_step, i, n, vf64_set1(0.0)));
    if (task == CP_NORM_PARAMETERS) {
        d = vf64_add(vf64_mul(d, k->scale), k->offset);
    } else if (kind == CP_LAYER) {
        e = vf64_mul(e, NORM(lanes)(t->weight, i, n));
    }
    return NORM(accumulate)(task, s, e, vf64_mul(e, d), e);
}

/* ... of which some or all may be beyond the end. */
CP_TEMPLATE NORM(state) NORM(add_rest)(int task, int kind, int wide, int relu, const cp_norm_tile *t, const NORM(constants) * k,
                                       int64_t row, int64_t i, NORM(state) s)
{
    int64_t n = t->lanes - i;
    return n <= 0 ? s : NORM(add_terms)(task, kind, wide, relu, t, k, row, i, n < vf64_N ? n : vf64_N, s);
}

/* What follows, for each vector u of the virtual lanes: at least four at a time are written out. */
#define NORM_EACH(u, ...) \
    for (int four_ = 0; four_ < NORM(UNIT); four_ += 4) { \
        CP_EACH(one_, (int)NORM(UNIT), const int u = four_ + one_; __VA_ARGS__); \
    }

CP_TEMPLATE void NORM(sums_along)(int task, int kind, int wide, int relu, const cp_norm_tile *tile)
{
    const cp_norm_tile own = *tile, *t = &own; /* which no store through a pointer can mean */
    const int64_t item = wide ? 8 : 4;
    for (int64_t row = 0; row < t->rows; row++) {
        NORM(constants) k;
        NORM(state) s[NORM(UNIT)];
        double *sum = t->sum + row * CP_SUM_ROWS * CP_SUM_LANES;
        const char *x_next = t->x + row * t->x_step + t->x_ahead;
        const char *dy_next = NORM(is_moments)(task) ? NULL : t->dy + row * t->dy_step + t->x_ahead;
        NORM(take)(&k, task, kind, relu, t, row, 0, vf64_N);
        NORM_EACH(u, s[u] = NORM(state_load)(task, t->begins, sum + u * vf64_N, CP_SUM_LANES, vf64_N));
        int64_t i = 0;
        for (; i + CP_SUM_LANES <= t->lanes; i += CP_SUM_LANES) {
            CP_PREFETCH(x_next + i * item);
            if (!NORM(is_moments)(task)) {
                CP_PREFETCH(dy_next + i * item);
            }
            NORM_EACH(u, s[u] = NORM(add_terms)(task, kind, wide, relu, t, &k, row, i + u * vf64_N, vf64_N, s[u]));
        }
        NORM_EACH(u, s[u] = NORM(add_rest)(task, kind, wide, relu, t, &k, row, i + u * vf64_N, s[u]));
        NORM_EACH(u, NORM(state_store)(task, s[u], sum + u * vf64_N, CP_SUM_LANES, vf64_N));
    }
}

/* Lanes i to i + n of a row; constants of a row are taken here, of lanes they are there. */
CP_TEMPLATE NORM(state) NORM(add_lanes)(int task, int kind, int wide, int relu, const cp_norm_tile *t, NORM(constants) * k,
                                        int64_t row, int64_t i, int64_t n, NORM(state) s)
{
    if (kind != CP_ACROSS) {
        NORM(take)(k, task, kind, relu, t, row, 0, vf64_N);
    }
    return NORM(add_terms)(task, kind, wide, relu, t, k, row, i, n, s);
}

/* Some rows, for `width` vectors of lanes from lane i on, the last of n lanes. */
CP_TEMPLATE void NORM(sums_stripe)(int task, int kind, int wide, int relu, const cp_norm_tile *t, int64_t from, int64_t to,
                                   int64_t i, int width, int64_t n)
{
    const int64_t item = wide ? 8 : 4;
    NORM(constants) k[NORM(WIDTH)];
    NORM(state) s[NORM(WIDTH)];
    CP_EACH(w, width, s[w] = NORM(state_load)(task, t->begins && from == 0, t->sum + i + w * vf64_N, t->sum_pitch, n);
            NORM(take)(&k[w], task, kind, relu, t, from, i + w * vf64_N, n));
    for (int64_t row = from; row < to; row++) {
        for (int64_t ahead = 0; ahead < width * vf64_N * item; ahead += 64) {
            CP_PREFETCH(t->x + row * t->x_step + i * item + ahead + t->x_ahead);
            if (!NORM(is_moments)(task)) {
                CP_PREFETCH(t->dy + row * t->dy_step + i * item + ahead + t->x_ahead);
            }
        }
        CP_EACH(w, width, s[w] = NORM(add_lanes)(task, kind, wide, relu, t, &k[w], row, i + w * vf64_N, n, s[w]));
    }
    CP_EACH(w, width, NORM(state_store)(task, s[w], t->sum + i + w * vf64_N, t->sum_pitch, n));
}

CP_TEMPLATE void NORM(sums_across)(int task, int kind, int wide, int relu, const cp_norm_tile *tile)
{
    const cp_norm_tile own = *tile, *t = &own; /* which no store through a pointer can mean */
    for (int64_t from = 0; from < t->rows; from += NORM(STRIPE)) {
        int64_t to = from + NORM(STRIPE) < t->rows ? from + NORM(STRIPE) : t->rows, i = 0;
        for (; i + NORM(WIDTH) * vf64_N <= t->lanes; i += NORM(WIDTH) * vf64_N) {
            NORM(sums_stripe)(task, kind, wide, relu, t, from, to, i, NORM(WIDTH), vf64_N);
        }
        for (; i + vf64_N <= t->lanes; i += vf64_N) {
            NORM(sums_stripe)(task, kind, wide, relu, t, from, to, i, 1, vf64_N);
        }
        if (i < t->lanes) {
            NORM(sums_stripe)(task, kind, wide, relu, t, from, to, i, 1, t->lanes - i);
        }
    }
}

CP_TEMPLATE void NORM(sums)(int task, int kind, int wide, int relu, const cp_norm_tile *t)
{
    if (kind == CP_ACROSS || task == CP_NORM_PARAMETERS) {
        NORM(sums_across)(task, kind, wide, relu, t);
    } else {
        NORM(sums_along)(task, kind, wide, relu, t);
    }
}

static void NORM(moments)(const cp_norm_tile *t)
{
    if (t->kind == CP_ACROSS) {
        t->dtype == CP_DTYPE_f64 ? NORM(sums)(CP_NORM_MOMENTS, CP_ACROSS, 1, 0, t)
                                 : NORM(sums)(CP_NORM_MOMENTS, CP_ACROSS, 0, 0, t);
    } else {
        t->dtype == CP_DTYPE_f64 ? NORM(sums)(CP_NORM_MOMENTS, CP_ALONG, 1, 0, t)
                                 : NORM(sums)(CP_NORM_MOMENTS, CP_ALONG, 0, 0, t);
    }
}

static void NORM(exact_moments)(const cp_norm_tile *t)
{
    t->kind == CP_ACROSS ? NORM(sums)(CP_NORM_EXACT, CP_ACROSS, 1, 0, t) : NORM(sums)(CP_NORM_EXACT, CP_ALONG, 1, 0, t);
}

static void NORM(gradient_sums)(const cp_norm_tile *t)
{
    CP_NORM_CASES(NORM(sums), CP_NORM_SUMS, t);
}

static void NORM(parameter_sums)(const cp_norm_tile *t)
{
    t->dtype == CP_DTYPE_f64 ? NORM(sums)(CP_NORM_PARAMETERS, CP_LAYER, 1, 0, t)
                             : NORM(sums)(CP_NORM_PARAMETERS, CP_LAYER, 0, 0, t);
}

/* a + b rounded, and what that loses is added to *lost. */
CP_TEMPLATE vf64 NORM(plus)(vf64 a, vf64 b, vf64 *lost)
{
    vf64 sum = vf64_add(a, b);
    *lost = vf64_add(*lost, NORM(lost)(a, b, sum));
    return sum;
}

/* ... and exact, with what a and b have lost before. */
CP_TEMPLATE vf64 NORM(both)(vf64 a, vf64 b, vf64 *a_lost, vf64 b_lost, int exact)
{
    if (!exact) {
        return vf64_add(a, b);
    }
    *a_lost = vf64_add(*a_lost, b_lost);
    return NORM(plus)(a, b, a_lost);
}

CP_TEMPLATE vf64 NORM(high)(vf64 a)
{
    vf64 split = vf64_mul(a, vf64_set1(0x1p27 + 1));
    return vf64_sub(split, vf64_sub(split, a));
}

/* What the product of a and b, `product` once rounded, lacks of it (Dekker); 0 where that overflows. */
CP_TEMPLATE vf64 NORM(product_lost)(vf64 a, vf64 b, vf64 product)
{
    const vf64 zero = vf64_set1(0.0);
    vf64 a_high = NORM(high)(a), b_high = NORM(high)(b), a_low = vf64_sub(a, a_high), b_low = vf64_sub(b, b_high);
    vf64 lost = vf64_add(vf64_sub(vf64_mul(a_high, b_high), product), vf64_mul(a_high, b_low));
    lost = vf64_add(vf64_add(lost, vf64_mul(a_low, b_high)), vf64_mul(a_low, b_low));
    return vf64_select(vf64_eq(vf64_sub(lost, lost), zero), lost, zero);
}

/* a / b rounded, and what that lacks is added to *rest. */
CP_TEMPLATE vf64 NORM(quotient)(vf64 a, vf64 b, vf64 *rest)
{
    vf64 quotient = vf64_div(a, b), product = vf64_mul(quotient, b);
    *rest = vf64_add(*rest, vf64_div(vf64_sub(vf64_sub(a, product), NORM(product_lost)(quotient, b, product)), b));
    return quotient;
}

/* Folds a sum of so many cells by halves: first the vectors of each, then vectors of half
 * of the cells into those of the others, lanes of both in turn. */
CP_TEMPLATE void NORM(fold_row)(const double *sums, double *to, double *to_lost, int64_t cells, int exact)
{
    const int64_t step = CP_SUM_ROWS * CP_SUM_LANES;
    vf64 sum[vf64_N], lost[vf64_N];
    for (int c = 0; c < vf64_N; c++) {
        vf64 part[NORM(UNIT)], part_lost[NORM(UNIT)];
        for (int u = 0; u < NORM(UNIT); u++) {
            const double *from = sums + (c < cells ? c : 0) * step + u * vf64_N;
            part[u] = vf64_load(from);
            part_lost[u] = exact ? vf64_load(from + 2 * CP_SUM_LANES) : part[u];
        }
        for (int half = NORM(UNIT) / 2; half > 0; half /= 2) {
            for (int u = 0; u < half; u++) {
                part[u] = NORM(both)(part[u], part[u + half], &part_lost[u], part_lost[u + half], exact);
            }
        }
        sum[c] = part[0];
        lost[c] = part_lost[0];
    }
    for (int half = vf64_N / 2; half > 0; half /= 2) {
        for (int c = 0; c < half; c++) {
            vf64 a, b, a_lost = lost[c], b_lost = lost[c];
            vf64_zip(sum[c], sum[c + half], &a, &b);
            if (exact) {
                vf64_zip(lost[c], lost[c + half], &a_lost, &b_lost);
            }
            sum[c] = NORM(both)(a, b, &a_lost, b_lost, exact);
            lost[c] = a_lost;
        }
    }
    NORM(keep)(to, 0, cells, sum[0]);
    if (exact) {
        NORM(keep)(to_lost, 0, cells, lost[0]);
    }
}

static void NORM(fold)(const double *sums, double *to, int64_t pitch, int64_t n, int exact)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        for (int row = 0; row < 2; row++) {
            const double *from = sums + (i * CP_SUM_ROWS + row) * CP_SUM_LANES;
            double *row_to = to + row * pitch + i;
            if (exact) {
                NORM(fold_row)(from, row_to, row_to + 2 * pitch, m, 1);
            } else {
                NORM(fold_row)(from, row_to, NULL, m, 0);
            }
        }
    }
}

static void NORM(fold_across)(double *sums, int64_t pitch, int64_t n, int64_t together, int exact)
{
    for (int64_t half = together / 2 * n; half >= n; half /= 2) {
        for (int row = 0; row < 2; row++) {
            double *sum = sums + row * pitch, *lost = sum + 2 * pitch;
            for (int64_t i = 0; i < half; i += vf64_N) {
                int64_t m = half - i < vf64_N ? half - i : vf64_N;
                vf64 a_lost = vf64_set1(0.0), b_lost = a_lost;
                if (exact) {
                    a_lost = NORM(lanes)(lost, i, m);
                    b_lost = NORM(lanes)(lost, i + half, m);
                }
                vf64 folded = NORM(both)(NORM(lanes)(sum, i, m), NORM(lanes)(sum, i + half, m), &a_lost, b_lost, exact);
                NORM(keep)(sum, i, m, folded);
                if (exact) {
                    NORM(keep)(lost, i, m, a_lost);
                }
            }
        }
    }
}

/* ---- Groups ---- */

/* Of vf64_N groups. */
typedef struct NORM(moments_of) {
    vf64 mean, rest, m2;
} NORM(moments_of);

/* Chan, Golub, LeVeque 1983; the mean as a sum of two. */
CP_TEMPLATE NORM(moments_of) NORM(merged)(NORM(moments_of) a, double before, NORM(moments_of) b, double count)
{
    if (before == 0) {
        return b;
    }
    if (count != 0) {
        vf64 share_rest = vf64_set1(0.0), share = NORM(quotient)(vf64_set1(count), vf64_set1(before + count), &share_rest);
        vf64 apart_rest = vf64_sub(b.rest, a.rest), apart = NORM(plus)(b.mean, vf64_sub(vf64_set1(-0.0), a.mean), &apart_rest);
        vf64 step = vf64_mul(apart, share),
             both = vf64_add(NORM(product_lost)(apart, share, step), vf64_mul(apart, share_rest));
        a.rest = vf64_add(a.rest, vf64_add(both, vf64_mul(apart_rest, share)));
        a.mean = NORM(plus)(a.mean, step, &a.rest);
        apart = vf64_add(apart, apart_rest);
        a.m2 = vf64_add(vf64_add(a.m2, b.m2), vf64_mul(vf64_mul(apart, apart), vf64_mul(vf64_set1(before), share)));
    }
    return a;
}

CP_TEMPLATE NORM(moments_of) NORM(get)(const cp_norm_groups *g, int64_t i, int64_t n)
{
    return (NORM(moments_of)){NORM(lanes)(g->mean, i, n), NORM(lanes)(g->rest, i, n), NORM(lanes)(g->m2, i, n)};
}

CP_TEMPLATE void NORM(set)(const cp_norm_groups *g, int64_t i, int64_t n, NORM(moments_of) moments)
{
    NORM(keep)(g->mean, i, n, moments.mean);
    NORM(keep)(g->rest, i, n, moments.rest);
    NORM(keep)(g->m2, i, n, moments.m2);
}

static void NORM(merge)(const cp_norm_groups *g, int64_t n, double before, const cp_norm_groups *other, double count)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        NORM(set)(g, i, m, NORM(merged)(NORM(get)(g, i, m), before, NORM(get)(other, i, m), count));
    }
}

CP_TEMPLATE void NORM(add_block)(const cp_norm_groups *g, int64_t i, int64_t n, double before, const double *sums,
                                 int64_t pitch, const double *shift, double count, int with_mean, int exact)
{
    const vf64 zero = vf64_set1(0.0);
    vf64 first = NORM(lanes)(sums, i, n), second = NORM(lanes)(sums + pitch, i, n);
    vf64 first_lost = exact ? NORM(lanes)(sums + 2 * pitch, i, n) : zero;
    vf64 second_lost = exact ? NORM(lanes)(sums + 3 * pitch, i, n) : zero;
    NORM(moments_of) block = {zero, zero, vf64_add(second, second_lost)};
    if (with_mean) {
        vf64 all = vf64_set1(count), rest = vf64_div(first_lost, all), d = NORM(quotient)(first, all, &rest);
        vf64 product = vf64_mul(first, d), lost = vf64_add(NORM(product_lost)(first, d, product), vf64_mul(first, rest));
        lost = vf64_add(lost, vf64_mul(first_lost, d));
        block.m2 = vf64_add(vf64_sub(second, product), vf64_sub(second_lost, lost));
        block.m2 = vf64_select(vf64_gt(zero, block.m2), zero, block.m2); /* NaN stays */
        block.rest = rest;
        vf64 from_base =
            NORM(plus)(NORM(lanes)(shift, i, n), vf64_sub(vf64_set1(-0.0), NORM(lanes)(g->base, i, n)), &block.rest);
        block.mean = NORM(plus)(from_base, d, &block.rest);
    }
    NORM(set)(g, i, n, NORM(merged)(NORM(get)(g, i, n), before, block, count));
}

static void NORM(block)(const cp_norm_groups *g, int64_t n, double before, const double *sums, int64_t pitch,
                        const double *shift, double count, int with_mean, int exact)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        NORM(add_block)(g, i, m, before, sums, pitch, shift, count, with_mean, exact);
    }
}

/* One group at a time, in one lane. */
static void NORM(unite)(const cp_norm_groups *g, int64_t n, int64_t size, double count)
{
    for (int64_t from = 0; from < n; from += size) {
        NORM(moments_of) group = NORM(get)(g, from, 1);
        vf64 base = NORM(lanes)(g->base, from, 1);
        for (int64_t i = 1; i < size; i++) {
            NORM(moments_of) other = NORM(get)(g, from + i, 1);
            vf64 from_base = NORM(plus)(NORM(lanes)(g->base, from + i, 1), vf64_sub(vf64_set1(-0.0), base), &other.rest);
            other.mean = NORM(plus)(from_base, other.mean, &other.rest);
            group = NORM(merged)(group, (double)i * count, other, count);
        }
        for (int64_t i = from; i < from + size; i++) {
            NORM(keep)(g->base, i, 1, base);
            NORM(set)(g, i, 1, group);
        }
    }
}

static void NORM(rstd)(double *variances, int64_t n, double eps)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        vf64 v = vf64_add(NORM(lanes)(variances, i, m), vf64_set1(eps));
        NORM(keep)(variances, i, m, vf64_div(vf64_set1(1.0), vf64_sqrt(v)));
    }
}

static void NORM(finish)(const cp_norm_groups *g, int64_t n, double count, double eps, int with_mean)
{
    for (int64_t i = 0; i < n; i += vf64_N) {
        int64_t m = n - i < vf64_N ? n - i : vf64_N;
        NORM(moments_of) group = NORM(get)(g, i, m);
        vf64 base = with_mean ? NORM(lanes)(g->base, i, m) : vf64_set1(0.0);
        NORM(keep)(g->center, i, m, NORM(plus)(base, group.mean, &group.rest));
        NORM(keep)(g->low, i, m, group.rest);
        NORM(keep)(g->rstd, i, m, vf64_div(group.m2, vf64_set1(count)));
    }
    NORM(rstd)(g->rstd, n, eps);
}

static void NORM(affine)(const cp_norm_groups *g, int64_t n, const double *weight, const double *bias)
{
    for (int64_t i = 0; i < n; i++) {
        double scale = weight != NULL ? weight[i] * g->rstd[i] : g->rstd[i];
        g->scale[i] = scale;
        g->offset[i] = (bias != NULL ? bias[i] : 0) - g->low[i] * scale;
    }
}

static void NORM(recenter)(const cp_norm_groups *g, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        g->m2[i] -= g->low[i] * g->mean[i];
    }
}

static void NORM(gradient)(const cp_norm_groups *g, int64_t n, int64_t size, const double *weight, double count, int with_mean)
{
    for (int64_t from = 0; from < n; from += size) {
        double first = 0, second = 0;
        for (int64_t i = from; i < from + size; i++) {
            first += weight != NULL ? weight[i] * g->mean[i] : g->mean[i];
            second += weight != NULL ? weight[i] * g->m2[i] : g->m2[i];
        }
        for (int64_t i = from; i < from + size; i++) {
            double r = g->rstd[i], mean = with_mean ? r * (first / count) : 0, slope = r * (r * (second / count)) * r;
            g->a[i] = weight != NULL ? weight[i] * r : r;
            g->b[i] = -slope;
            g->c[i] = slope * g->low[i] - mean;
        }
    }
}

static void NORM(add)(double *sum, const double *terms, const double *factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += factor != NULL ? terms[i] * factor[i] : terms[i];
    }
}
