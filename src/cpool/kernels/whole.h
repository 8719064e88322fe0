/* Averages over whole small planes, and their gradient over planes of any size, for float and double elements. */

CP_TEMPLATE CP_VECTOR NAME(load_element)(int is_double, const char *p, int64_t n)
{
    if (is_double) {
        return NAME(load)((const double *)(const void *)p, n, 0.0);
    }
    return n == V(N) ? V(load_f32)((const float *)(const void *)p) : V(load_f32_n)((const float *)(const void *)p, n, 0.0);
}

CP_TEMPLATE void NAME(save_element)(int is_double, char *p, CP_VECTOR v, int64_t n)
{
    if (is_double) {
        NAME(save)((double *)(void *)p, v, n);
    } else if (n == V(N)) {
        V(store_f32)((float *)(void *)p, v);
    } else {
        V(store_f32_n)((float *)(void *)p, v, n);
    }
}

CP_TEMPLATE CP_VECTOR NAME(divide_by)(CP_VECTOR v, double divisor)
{
    v = V(add)(v, V(set1)(0)); /* -0 becomes +0 */
    return cp_is_power_of_two(divisor) ? V(mul)(v, V(set1)(1 / divisor)) : V(div)(v, V(set1)(divisor));
}

/* Averages of N lanes: of pixels, or of planes that became pixels. */
CP_TEMPLATE void NAME(whole_planes)(int is_double, const cp_whole *w, const char *x, char *y)
{
    const int64_t size = is_double ? 8 : 4;
    for (int64_t p = 0; p < w->count; p += V(N)) {
        const int64_t n = w->count - p < V(N) ? w->count - p : V(N);
        CP_VECTOR total = V(set1)(0);
        for (int64_t d = 0; d < w->size[0]; d++) {
            CP_VECTOR plane = V(set1)(0);
            for (int64_t h = 0; h < w->size[1]; h++) {
                const char *row = x + p * size + d * w->step[0] + h * w->step[1];
                CP_VECTOR sum = V(set1)(0);
                for (int64_t j = 0; j < w->size[2]; j++) {
                    sum = V(add)(sum, NAME(load_element)(is_double, row + j * w->step[2], n));
                }
                plane = V(add)(plane, sum);
            }
            total = V(add)(total, plane);
        }
        total = NAME(divide_by)(total, w->divisor);
        if (w->y_step == size) {
            NAME(save_element)(is_double, y + p * w->y_step, total, n);
            continue;
        }
        double lanes[V(N)];
        V(store)(lanes, total);
        for (int64_t i = 0; i < n; i++) {
            is_double ? cp_write_f64(y + (p + i) * w->y_step, lanes[i]) : cp_write_f32(y + (p + i) * w->y_step, lanes[i]);
        }
    }
}

static void NAME(whole)(const cp_whole *given, const char *x, char *y)
{
    const cp_whole own = *given, *w = &own; /* that no store can be thought to change */
    if (w->is_double) {
        NAME(whole_planes)(1, w, x, y);
    } else {
        NAME(whole_planes)(0, w, x, y);
    }
}

/* One value goes to every element of a plane. */
CP_TEMPLATE void NAME(fill_plane)(int is_double, const cp_whole *w, char *dx, CP_VECTOR share)
{
    const int64_t size = is_double ? 8 : 4;
    for (int64_t d = 0; d < w->size[0]; d++) {
        for (int64_t h = 0; h < w->size[1]; h++) {
            char *row = dx + d * w->step[0] + h * w->step[1];
            /* NOLINTNEXTLINE(bugprone-branch-clone): the scalar kernels have one lane anyway */
            const int64_t lanes = w->step[2] == size ? V(N) : 1;
            for (int64_t c = 0; c < w->size[2]; c += lanes) {
                CP_PREFETCH_WRITE(row + c * w->step[2] + CP_AHEAD);
                NAME(save_element)(is_double, row + c * w->step[2], share, w->size[2] - c < lanes ? w->size[2] - c : lanes);
            }
        }
    }
}

/* A row of values, n of them, goes to every pixel. */
CP_TEMPLATE void NAME(fill_pixels)(int is_double, const cp_whole *w, char *dx, const CP_VECTOR *shares, int64_t n)
{
    const int64_t size = is_double ? 8 : 4;
    const int64_t ahead = w->size[2] > 4 ? 4 * w->step[2] : 0; /* steps of an axis that makes none may be any number */
    for (int64_t d = 0; d < w->size[0]; d++) {
        for (int64_t h = 0; h < w->size[1]; h++) {
            for (int64_t c = 0; c < w->size[2]; c++) {
                char *pixel = dx + d * w->step[0] + h * w->step[1] + c * w->step[2];
                for (int64_t l = 0; l < n; l += V(N)) {
                    CP_PREFETCH_WRITE(pixel + l * size + ahead);
                    NAME(save_element)(is_double, pixel + l * size, shares[l / V(N)], n - l < V(N) ? n - l : V(N));
                }
            }
        }
    }
}

enum { NAME(SHARES) = 16 };

CP_TEMPLATE void NAME(whole_shares)(int is_double, const cp_whole *w, const char *dy, char *dx)
{
    const int64_t at_once = w->pixels ? NAME(SHARES) *V(N) : 1;
    for (int64_t p = 0; p < w->count; p += at_once) {
        const int64_t n = w->count - p < at_once ? w->count - p : at_once;
        const char *from = dy + p * w->y_step;
        CP_VECTOR shares[NAME(SHARES)];
        if (!w->pixels) {
            shares[0] = V(set1)(is_double ? cp_read_f64(from) : cp_read_f32(from));
            NAME(fill_plane)(is_double, w, dx + p * w->x_step, NAME(divide_by)(shares[0], w->divisor));
            continue;
        }
        for (int64_t l = 0; l < n; l += V(N)) {
            CP_VECTOR v = NAME(load_element)(is_double, from + l * w->y_step, n - l < V(N) ? n - l : V(N));
            shares[l / V(N)] = NAME(divide_by)(v, w->divisor);
        }
        NAME(fill_pixels)(is_double, w, dx + p * w->x_step, shares, n);
    }
}

static void NAME(whole_gradient)(const cp_whole *given, const char *dy, char *dx)
{
    const cp_whole own = *given, *w = &own;
    if (w->is_double) {
        NAME(whole_shares)(1, w, dy, dx);
    } else {
        NAME(whole_shares)(0, w, dy, dx);
    }
}
