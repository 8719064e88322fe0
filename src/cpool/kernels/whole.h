/* Sums of whole planes, block by block, and the gradient of their averages, for float and double elements. */

CP_TEMPLATE CP_VECTOR NAME(divide_by)(CP_VECTOR v, double divisor)
{
    v = V(add)(v, V(set1)(0)); /* -0 becomes +0 */
    return cp_is_power_of_two(divisor) ? V(mul)(v, V(set1)(1 / divisor)) : V(div)(v, V(set1)(divisor));
}

/* Of `count` sums the first becomes that of all, by halves. */
CP_TEMPLATE void NAME(fold_halves)(CP_VECTOR *sums, int count)
{
    CP_UNROLL for (int half = count / 2; half > 0; half /= 2)
    {
        CP_UNROLL for (int i = 0; i < half; i++)
        {
            sums[i] = V(add)(sums[i], sums[i + half]);
        }
    }
}

/* Of n elements side by side the sums of the virtual lanes, folded to N. */
CP_TEMPLATE CP_VECTOR NAME(sum_plane)(int floats, const char *x, int64_t n)
{
    enum { PARTS = CP_WHOLE_LANES / V(N) };
    const int64_t size = NAME(element_size)(floats);
    CP_VECTOR sums[PARTS];
    CP_UNROLL for (int i = 0; i < PARTS; i++)
    {
        sums[i] = V(set1)(0);
    }
    for (; n >= CP_WHOLE_LANES; n -= CP_WHOLE_LANES, x += CP_WHOLE_LANES * size) {
        CP_UNROLL for (int i = 0; i < PARTS; i++)
        {
            sums[i] = V(add)(sums[i], NAME(load_element)(floats, x + i * V(N) *size, V(N)));
        }
    }
    CP_UNROLL for (int i = 0; i < PARTS; i++)
    {
        const int64_t left = n - i * V(N);
        if (left > 0) {
            sums[i] = V(add)(sums[i], NAME(load_element)(floats, x + i * V(N) *size, left < V(N) ? left : V(N)));
        }
    }
    NAME(fold_halves)(sums, PARTS);
    return sums[0];
}

CP_TEMPLATE void NAME(sum_planes)(int floats, const cp_whole *w, const char *x, const int64_t *place, int64_t n, double *sums)
{
    for (int64_t p = 0; p < w->count; p += V(N)) {
        NAME(element) v[V(N)];
        for (int64_t i = 0; i < V(N); i++) {
            v[i].tap = V(set1)(0);
            if (p + i >= w->count) {
                v[i].value = V(set1)(0);
                continue;
            }
            const char *plane = x + (p + i) * w->x_step;
            if (w->dense) {
                v[i].value = NAME(sum_plane)(floats, plane + place[0], n);
            } else {
                double own[CP_WHOLE_BLOCK] = {0};
                for (int64_t e = 0; e < n; e++) {
                    own[e] = floats ? cp_read_f32(plane + place[e]) : cp_read_f64(plane + place[e]);
                }
                v[i].value = NAME(sum_plane)(0, (const char *)own, n);
            }
        }
        NAME(save)(sums + p, NAME(fold_across)(CP_SUM, v).value, w->count - p < V(N) ? w->count - p : V(N));
    }
}

/* Some vectors of pixels, the last of which has m lanes: a virtual lane after the other, so that each line of memory is read
 * as a whole. */
CP_TEMPLATE void NAME(sum_some_pixels)(int floats, int some, const char *x, const int64_t *place, int64_t n, double *sums,
                                       int64_t m)
{
    const int64_t size = NAME(element_size)(floats);
    CP_VECTOR sum[4][CP_WHOLE_LANES];
    for (int lane = 0; lane < CP_WHOLE_LANES; lane++) {
        CP_VECTOR own[4] = {V(set1)(0), V(set1)(0), V(set1)(0), V(set1)(0)};
        for (int64_t e = lane; e < n; e += CP_WHOLE_LANES) {
            CP_EACH(q, some, own[q] = V(add)(own[q], NAME(load_element)(floats, x + place[e] + q * V(N) *size, m)));
        }
        CP_EACH(q, some, sum[q][lane] = own[q]);
    }
    CP_EACH(q, some, NAME(fold_halves)(sum[q], CP_WHOLE_LANES); NAME(save)(sums + q * V(N), sum[q][0], m));
}

CP_TEMPLATE void NAME(sum_pixels)(int floats, const cp_whole *w, const char *x, const int64_t *place, int64_t n, double *sums)
{
    const int64_t size = NAME(element_size)(floats);
    int64_t p = 0;
    for (; p + 4 * V(N) <= w->count; p += 4 * V(N)) {
        NAME(sum_some_pixels)(floats, 4, x + p * size, place, n, sums + p, V(N));
    }
    for (; p + V(N) <= w->count; p += V(N)) {
        NAME(sum_some_pixels)(floats, 1, x + p * size, place, n, sums + p, V(N));
    }
    if (p < w->count) {
        NAME(sum_some_pixels)(floats, 1, x + p * size, place, n, sums + p, w->count - p);
    }
}

static void NAME(whole_sums)(const cp_whole *given, const char *x, const int64_t *place, int64_t n, double *sums)
{
    const cp_whole own = *given, *w = &own; /* that no store can be thought to change */
    if (w->floats) {
        w->pixels ? NAME(sum_pixels)(1, w, x, place, n, sums) : NAME(sum_planes)(1, w, x, place, n, sums);
    } else {
        w->pixels ? NAME(sum_pixels)(0, w, x, place, n, sums) : NAME(sum_planes)(0, w, x, place, n, sums);
    }
}

/* One value goes to every element of a plane. */
CP_TEMPLATE void NAME(fill_plane)(int floats, const cp_whole *w, char *dx, CP_VECTOR share)
{
    const int64_t size = NAME(element_size)(floats);
    for (int64_t d = 0; d < w->size[0]; d++) {
        for (int64_t h = 0; h < w->size[1]; h++) {
            char *row = dx + d * w->step[0] + h * w->step[1];
            /* NOLINTNEXTLINE(bugprone-branch-clone): the scalar kernels have one lane anyway */
            const int64_t lanes = w->step[2] == size ? V(N) : 1;
            for (int64_t c = 0; c < w->size[2]; c += lanes) {
                CP_PREFETCH_WRITE(row + c * w->step[2] + CP_AHEAD);
                NAME(save_element)(floats, row + c * w->step[2], share, w->size[2] - c < lanes ? w->size[2] - c : lanes);
            }
        }
    }
}

/* A row of values, n of them, goes to every pixel. */
CP_TEMPLATE void NAME(fill_pixels)(int floats, const cp_whole *w, char *dx, const CP_VECTOR *shares, int64_t n)
{
    const int64_t size = NAME(element_size)(floats);
    const int64_t ahead = w->size[2] > 4 ? 4 * w->step[2] : 0; /* steps of an axis that makes none may be any number */
    for (int64_t d = 0; d < w->size[0]; d++) {
        for (int64_t h = 0; h < w->size[1]; h++) {
            for (int64_t c = 0; c < w->size[2]; c++) {
                char *pixel = dx + d * w->step[0] + h * w->step[1] + c * w->step[2];
                for (int64_t l = 0; l < n; l += V(N)) {
                    CP_PREFETCH_WRITE(pixel + l * size + ahead);
                    NAME(save_element)(floats, pixel + l * size, shares[l / V(N)], n - l < V(N) ? n - l : V(N));
                }
            }
        }
    }
}

enum { NAME(SHARES) = 16 };

CP_TEMPLATE void NAME(whole_shares)(int floats, const cp_whole *w, const char *dy, char *dx)
{
    const int64_t at_once = w->pixels ? NAME(SHARES) *V(N) : 1;
    for (int64_t p = 0; p < w->count; p += at_once) {
        const int64_t n = w->count - p < at_once ? w->count - p : at_once;
        const char *from = dy + p * w->y_step;
        CP_VECTOR shares[NAME(SHARES)];
        if (!w->pixels) {
            shares[0] = V(set1)(floats ? cp_read_f32(from) : cp_read_f64(from));
            NAME(fill_plane)(floats, w, dx + p * w->x_step, NAME(divide_by)(shares[0], w->divisor));
            continue;
        }
        for (int64_t l = 0; l < n; l += V(N)) {
            CP_VECTOR v = NAME(load_element)(floats, from + l * w->y_step, n - l < V(N) ? n - l : V(N));
            shares[l / V(N)] = NAME(divide_by)(v, w->divisor);
        }
        NAME(fill_pixels)(floats, w, dx + p * w->x_step, shares, n);
    }
}

static void NAME(whole_gradient)(const cp_whole *given, const char *dy, char *dx)
{
    const cp_whole own = *given, *w = &own;
    if (w->floats) {
        NAME(whole_shares)(1, w, dy, dx);
    } else {
        NAME(whole_shares)(0, w, dy, dx);
    }
}
