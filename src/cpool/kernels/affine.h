/* Normalizing and its gradient, element by element, f64 lanes: no order matters here. And the table of all normalization. */

CP_TEMPLATE void NORM(write)(int wide, char *row, int64_t i, int64_t n, vf64 v)
{
    double *wider = (double *)(void *)row + (wide ? i : 0);
    float *narrow = (float *)(void *)row + (wide ? 0 : i);
    if (n == vf64_N) {
        wide ? vf64_store(wider, v) : vf64_store_f32(narrow, v);
    } else {
        wide ? vf64_store_n(wider, v, n) : vf64_store_f32_n(narrow, v, n);
    }
}

CP_TEMPLATE vf64 NORM(element)(int task, int kind, int wide, int relu, const cp_norm_tile *t, const NORM(constants) * k,
                               int64_t row, int64_t i, int64_t n)
{
    const vf64 zero = vf64_set1(0.0);
    vf64 x = zero;
    if (task != CP_NORM_CONSTANT || relu) {
        x = NORM(load)(wide, t->x + row * t->x_step, i, n, zero);
    }
    if (task == CP_NORM_APPLY) {
        vf64 y = NORM(affine_of)(k, x);
        if (kind == CP_LAYER) {
            y = vf64_add(vf64_mul(y, NORM(lanes)(t->weight, i, n)), NORM(lanes)(t->bias, i, n));
        }
        return relu ? vf64_add(vf64_max(y, zero), zero) : y; /* of +0 and -0, max may give either */
    }
    vf64 e = NORM(upstream)(relu, t, k, x, NORM(load)(wide, t->dy + row * t->dy_step, i, n, zero));
    if (kind == CP_LAYER) {
        e = vf64_mul(e, NORM(lanes)(t->weight, i, n));
    }
    e = vf64_mul(e, k->a);
    return task == CP_NORM_CONSTANT ? e : vf64_add(vf64_add(e, k->c), vf64_mul(vf64_sub(x, k->center), k->b));
}

/* A vector of each row. */
CP_TEMPLATE void NORM(column)(int task, int kind, int wide, int relu, const cp_norm_tile *t, NORM(constants) * k, int64_t row,
                              int rows, int64_t i, int64_t n)
{
    if (kind == CP_ACROSS) {
        NORM(take)(k, task, kind, relu, t, row, i, n);
    }
    CP_EACH(r, rows, vf64 y = NORM(element)(task, kind, wide, relu, t, k, row + r, i, n);
            NORM(write)(wide, t->out + (row + r) * t->out_step, i, n, y));
}

/* Some rows at a time, a constant number: constants that lie across are loaded once for all of them. */
CP_TEMPLATE void NORM(rows)(int task, int kind, int wide, int relu, const cp_norm_tile *t, int64_t row, int rows)
{
    const int64_t item = wide ? 8 : 4;
    NORM(constants) k;
    char *out = t->out + row * t->out_step;
    int64_t i = 0;
    if (kind != CP_ACROSS) {
        NORM(take)(&k, task, kind, relu, t, row, 0, vf64_N);
    }
    for (; i + CP_SUM_LANES <= t->lanes; i += CP_SUM_LANES) {
        for (int r = 0; r < rows; r++) {
            CP_PREFETCH(out + r * t->out_step + i * item + t->out_ahead);
            if (wide) {
                CP_PREFETCH(out + r * t->out_step + i * item + t->out_ahead + 64);
            }
        }
        NORM_EACH(u, NORM(column)(task, kind, wide, relu, t, &k, row, rows, i + u * vf64_N, vf64_N));
    }
    for (; i < t->lanes; i += vf64_N) {
        NORM(column)(task, kind, wide, relu, t, &k, row, rows, i, t->lanes - i < vf64_N ? t->lanes - i : vf64_N);
    }
}

CP_TEMPLATE void NORM(elements)(int task, int kind, int wide, int relu, const cp_norm_tile *tile)
{
    const cp_norm_tile own = *tile, *t = &own; /* which no store through a pointer can mean */
    int64_t row = 0;
    for (; kind == CP_ACROSS && row + NORM(ROWS) <= t->rows; row += NORM(ROWS)) {
        NORM(rows)(task, kind, wide, relu, t, row, NORM(ROWS));
    }
    for (; row < t->rows; row++) {
        NORM(rows)(task, kind, wide, relu, t, row, 1);
    }
}

static void NORM(apply)(const cp_norm_tile *t)
{
    CP_NORM_CASES(NORM(elements), CP_NORM_APPLY, t);
}

static void NORM(input_gradient)(const cp_norm_tile *t)
{
    CP_NORM_CASES(NORM(elements), CP_NORM_GRADIENT, t);
}

static void NORM(constant_gradient)(const cp_norm_tile *t)
{
    CP_NORM_CASES(NORM(elements), CP_NORM_CONSTANT, t);
}

static const cp_norm_kernels NORM(table) = {
    .tile[CP_NORM_MOMENTS] = NORM(moments),
    .tile[CP_NORM_EXACT] = NORM(exact_moments),
    .tile[CP_NORM_SUMS] = NORM(gradient_sums),
    .tile[CP_NORM_PARAMETERS] = NORM(parameter_sums),
    .tile[CP_NORM_APPLY] = NORM(apply),
    .tile[CP_NORM_GRADIENT] = NORM(input_gradient),
    .tile[CP_NORM_CONSTANT] = NORM(constant_gradient),
    .fold = NORM(fold),
    .fold_across = NORM(fold_across),
    .block = NORM(block),
    .merge = NORM(merge),
    .unite = NORM(unite),
    .finish = NORM(finish),
    .rstd = NORM(rstd),
    .affine = NORM(affine),
    .recenter = NORM(recenter),
    .gradient = NORM(gradient),
    .add = NORM(add),
};
#undef CP_NORM_CASES
#undef NORM_EACH
#undef NORM
