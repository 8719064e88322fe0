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

CP_TEMPLATE void NORM(elements)(int task, int kind, int wide, int relu, const cp_norm_tile *tile)
{
    const cp_norm_tile own = *tile, *t = &own; /* which no store through a pointer can mean */
    const int64_t item = wide ? 8 : 4;
    for (int64_t row = 0; row < t->rows; row++) {
        NORM(constants) k;
        char *out = t->out + row * t->out_step;
        if (kind != CP_ACROSS) {
            NORM(take)(&k, task, kind, relu, t, row, 0, vf64_N);
        }
        int64_t i = 0;
        for (; i + CP_SUM_LANES <= t->lanes; i += CP_SUM_LANES) {
            CP_PREFETCH(out + i * item + t->out_ahead);
            if (wide) {
                CP_PREFETCH(out + i * item + t->out_ahead + 64);
            }
            for (int u = 0; u < NORM(UNIT); u++) {
                if (kind == CP_ACROSS) {
                    NORM(take)(&k, task, kind, relu, t, row, i + u * vf64_N, vf64_N);
                }
                vf64 y = NORM(element)(task, kind, wide, relu, t, &k, row, i + u * vf64_N, vf64_N);
                NORM(write)(wide, out, i + u * vf64_N, vf64_N, y);
            }
        }
        for (; i < t->lanes; i += vf64_N) {
            int64_t n = t->lanes - i < vf64_N ? t->lanes - i : vf64_N;
            if (kind == CP_ACROSS) {
                NORM(take)(&k, task, kind, relu, t, row, i, n);
            }
            NORM(write)(wide, out, i, n, NORM(element)(task, kind, wide, relu, t, &k, row, i, n));
        }
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
#undef NORM
