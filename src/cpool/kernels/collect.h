/* Gradients whose results come to an element from windows that hold it: each element collects, from +0 and in ascending order of
 * the results, along the row first for shares. Where neighbouring columns are lanes, results are prepared in scratch with a margin
 * of such as hold nothing, so that no border is special. */

/* ---- Preparing ---- */

CP_TEMPLATE CP_VECTOR NAME(share)(const cp_collect *c, CP_VECTOR dy, double row_count, int64_t i, int64_t n)
{
    if (c->full != 0) {
        double count = c->full * row_count;
        return cp_is_power_of_two(count) ? V(mul)(dy, V(set1)((CP_ELEMENT)(1 / count)))
                                         : V(div)(dy, V(set1)((CP_ELEMENT)count));
    }
    CP_VECTOR counts = NAME(load)((const CP_ELEMENT *)c->counts + i, n, 1.0);
    return V(div)(dy, V(mul)(counts, V(set1)((CP_ELEMENT)row_count)));
}

CP_TEMPLATE void NAME(spread)(CP_ELEMENT *to, CP_VECTOR v, int64_t i, int64_t n, int64_t spread)
{
    CP_ELEMENT row[V(N)];
    if (spread == 1) {
        NAME(save)(to + i, v, n);
        return;
    }
    V(store)(row, v);
    for (int64_t l = 0; l < n; l++) {
        to[(i + l) * spread] = row[l];
    }
}

/* Shares, or values and taps, of every row at hand; i counts lanes along the row. */
CP_TEMPLATE void NAME(prepare_results)(const cp_collect *c, int select, const char *dy, const char *taps, CP_ELEMENT *scratch)
{
    const int64_t lanes = c->pixels ? c->lanes : 1, pixel = lanes * (int64_t)sizeof(CP_ELEMENT);
    const int is_dense = c->column_step[0] == pixel && c->count_step == lanes;
    const int64_t length = is_dense ? c->across * lanes : lanes, pieces = is_dense ? 1 : c->across;
    for (int64_t k = 0; k < c->planes * c->results; k++) {
        const int64_t plane = k / c->results, row = k % c->results;
        const char *from = dy + plane * c->plane_step[0] + row * c->row_step[0];
        const uint8_t *tap = (const uint8_t *)taps + plane * c->plane_step[1] + row * c->row_step[1];
        CP_ELEMENT *to = scratch + k * c->pitch + c->margin;
        for (int64_t piece = 0; piece < pieces; piece++, from += c->column_step[0], to += length) {
            for (int64_t i = 0; i < length; i += V(N)) {
                const int64_t n = length - i < V(N) ? length - i : V(N);
                CP_VECTOR v = NAME(load)((const CP_ELEMENT *)(const void *)from + i, n, 0.0);
                if (!select) {
                    v = NAME(share)(c, v, c->row_counts[k], piece * c->count_step + i, n);
                }
                NAME(spread)(to, v, i, n, c->spread);
                if (select) {
                    NAME(spread)(to + c->second, V(load_u8)(tap + i, n), i, n, c->spread);
                }
            }
        }
    }
}

static void NAME(collect_margins)(const cp_collect *c, void *scratch)
{
    CP_ELEMENT *s = scratch;
    NAME(fill)(s, 0.0, c->planes * c->results * c->pitch);
    if (c->select) {
        NAME(fill)(s + c->second, 255.0, c->planes * c->results * c->pitch);
    }
}

/* ---- Rows of results that hold a row of elements ---- */

typedef struct NAME(lines) {
    const char *dy[CP_COLLECT_HOLDERS], *taps[CP_COLLECT_HOLDERS];
    int64_t tap[CP_COLLECT_HOLDERS]; /* number of the first tap of a window's row */
    int64_t planes, rows;
} NAME(lines);

CP_TEMPLATE void NAME(find_lines)(NAME(lines) *lines, const cp_collect *c, const cp_collect_row *row, const char *dy,
                                  const char *taps, const int64_t *plane_step, const int64_t *row_step)
{
    lines->planes = row->planes;
    lines->rows = row->rows;
    for (int64_t a = 0; a < row->planes; a++) {
        for (int64_t b = 0; b < row->rows; b++) {
            const int64_t plane = row->first_plane + a, line = row->first_row + b, k = a * row->rows + b;
            lines->dy[k] = dy + plane * plane_step[0] + line * row_step[0];
            lines->taps[k] = taps + plane * plane_step[1] + line * row_step[1];
            lines->tap[k] = row->tap - a * c->tap_plane - b * c->tap_row;
        }
    }
}

/* ---- Neighbouring columns are lanes ---- */

/* N elements, stride apart, the first of which is held by result `from` in its tap `tap`, and by those before. */
CP_TEMPLATE CP_VECTOR NAME(collect_columns)(int select, int64_t window, int stride, int tap, const cp_collect *c,
                                            const NAME(lines) *lines, int64_t from)
{
    const int64_t before = (window - 1 - tap) / stride; /* results */
    CP_VECTOR acc = V(set1)(0), plane = acc, sum = acc;
    for (int64_t a = 0, line = 0; a < lines->planes; a++) {
        for (int64_t b = 0; b < lines->rows; b++, line++) {
            const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)lines->dy[line] + from;
            const CP_ELEMENT *codes = (const CP_ELEMENT *)c->codes + lines->tap[line] + tap;
            for (int64_t k = before; k >= 0; k--) {
                CP_VECTOR value = V(load)(values - k);
                if (select) {
                    V(mask) selected = V(eq)(V(load)(values - k + c->second), V(set1)(codes[k * stride]));
                    acc = V(add_where)(selected, acc, value);
                } else {
                    sum = k == before ? value : V(add)(sum, value);
                }
            }
            plane = b == 0 ? sum : V(add)(plane, sum);
        }
        if (!select) {
            acc = a == 0 ? plane : V(add)(acc, plane);
        }
    }
    return V(add)(acc, V(set1)(0));
}

/* `parity`: of the padding; decides which tap of the results the first element is in. */
CP_TEMPLATE void NAME(collect_row)(int select, int64_t window, int stride, int parity, const cp_collect *c,
                                   const NAME(lines) *lines, CP_ELEMENT *dx)
{
    for (int64_t i = 0; i < c->width; i += stride * V(N)) {
        /* Element i is in tap (i + pad) % stride of result (i + pad) / stride, among others. */
        const int64_t from = c->margin + (i + c->pad) / stride, n = c->width - i;
        CP_VECTOR first = NAME(collect_columns)(select, window, stride, parity, c, lines, from);
        CP_PREFETCH_WRITE((const char *)(dx + i) + CP_AHEAD);
        if (stride == 1) {
            NAME(save)(dx + i, first, n < V(N) ? n : V(N));
            continue;
        }
        CP_VECTOR second = NAME(collect_columns)(select, window, stride, 1 - parity, c, lines, from + parity);
        V(zip)(first, second, &first, &second);
        CP_PREFETCH_WRITE((const char *)(dx + i + V(N))+CP_AHEAD);
        NAME(save)(dx + i, first, n < V(N) ? n : V(N));
        if (n > V(N)) {
            NAME(save)(dx + i + V(N), second, n < 2 * V(N) ? n - V(N) : V(N));
        }
    }
}

CP_TEMPLATE void NAME(collect_rows)(int select, int64_t window, int stride, int parity, const cp_collect *c,
                                    const CP_ELEMENT *scratch, char *dx)
{
    const int64_t row_step[2] = {c->pitch * (int64_t)sizeof(CP_ELEMENT), 0}, plane_step[2] = {c->results * row_step[0], 0};
    for (int64_t r = 0; r < c->row_count; r++) {
        NAME(lines) lines;
        NAME(find_lines)(&lines, c, &c->rows[r], (const char *)scratch, NULL, plane_step, row_step);
        NAME(collect_row)(select, window, stride, parity, c, &lines, (CP_ELEMENT *)(void *)(dx + c->rows[r].target));
    }
}

CP_TEMPLATE void NAME(collect_plane_columns)(int select, const cp_collect *c, const CP_ELEMENT *scratch, char *dx)
{
    const int parity = (int)(c->pad % c->stride);
    if (c->stride == 1 && c->window == 3) {
        NAME(collect_rows)(select, 3, 1, 0, c, scratch, dx);
    } else if (c->stride == 1) {
        NAME(collect_rows)(select, c->window, 1, 0, c, scratch, dx);
    } else if (c->window == 2 && parity == 0) {
        NAME(collect_rows)(select, 2, 2, 0, c, scratch, dx);
    } else if (c->window == 3 && parity == 0) {
        NAME(collect_rows)(select, 3, 2, 0, c, scratch, dx);
    } else if (c->window == 3) {
        NAME(collect_rows)(select, 3, 2, 1, c, scratch, dx);
    } else {
        NAME(collect_rows)(select, c->window, 2, parity, c, scratch, dx);
    }
}

/* ---- The elements of a pixel are lanes ---- */

/* N lanes, n of which there are: of all results that hold an element, or of those that selected it. */
CP_TEMPLATE void NAME(collect_lanes)(int select, int blocks, const cp_collect *c, const NAME(lines) *lines,
                                     const cp_collect_column *column, int64_t dy_column, int64_t l, int64_t n, CP_ELEMENT *dx)
{
    CP_VECTOR acc[4], plane[4], sum[4];
    CP_EACH(u, blocks, acc[u] = plane[u] = sum[u] = V(set1)(0));
    for (int64_t a = 0, line = 0; a < lines->planes; a++) {
        for (int64_t b = 0; b < lines->rows; b++, line++) {
            const char *at = lines->dy[line] + column->first * dy_column;
            const uint8_t *taps = (const uint8_t *)lines->taps[line] + column->first * c->column_step[1] + l;
            int64_t tap = lines->tap[line] + column->tap;
            for (int64_t k = 0; k < column->count; k++) {
                const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)at + l;
                CP_EACH(u, blocks, {
                    CP_VECTOR value = NAME(load)(values + u * V(N), n, 0.0);
                    if (select) {
                        acc[u] = V(add_where)(V(eq_u8)(taps + u * V(N), n, (uint8_t)tap), acc[u], value);
                    } else {
                        sum[u] = k == 0 ? value : V(add)(sum[u], value);
                    }
                });
                at += dy_column;
                taps += c->column_step[1];
                tap -= c->stride;
            }
            CP_EACH(u, blocks, plane[u] = b == 0 ? sum[u] : V(add)(plane[u], sum[u]));
        }
        if (!select) {
            CP_EACH(u, blocks, acc[u] = a == 0 ? plane[u] : V(add)(acc[u], plane[u]));
        }
    }
    CP_EACH(u, blocks, {
        CP_PREFETCH_WRITE((const char *)(dx + l + u * V(N))+CP_AHEAD);
        NAME(save)(dx + l + u * V(N), V(add)(acc[u], V(set1)(0)), n);
    });
}

CP_TEMPLATE void NAME(collect_pixels)(int select, const cp_collect *c, const char *dy, const char *taps,
                                      const CP_ELEMENT *scratch, char *dx)
{
    const int64_t size = (int64_t)sizeof(CP_ELEMENT), row_step[2] = {c->pitch * size, 0};
    const int64_t plane_step[2] = {c->results * row_step[0], 0}, dy_column = select ? c->column_step[0] : c->lanes * size;
    for (int64_t r = 0; r < c->row_count; r++) {
        NAME(lines) lines;
        if (select) {
            NAME(find_lines)(&lines, c, &c->rows[r], dy, taps, c->plane_step, c->row_step);
        } else {
            NAME(find_lines)(&lines, c, &c->rows[r], (const char *)(scratch + c->margin), NULL, plane_step, row_step);
        }
        for (int64_t i = 0; i < c->width; i++) {
            CP_ELEMENT *target = (CP_ELEMENT *)(void *)(dx + c->rows[r].target + i * c->target_column);
            int64_t l = 0;
            for (; l + 4 * V(N) <= c->lanes; l += 4 * V(N)) {
                NAME(collect_lanes)(select, 4, c, &lines, &c->columns[i], dy_column, l, V(N), target);
            }
            for (; l + V(N) <= c->lanes; l += V(N)) {
                NAME(collect_lanes)(select, 1, c, &lines, &c->columns[i], dy_column, l, V(N), target);
            }
            if (l < c->lanes) {
                NAME(collect_lanes)(select, 1, c, &lines, &c->columns[i], dy_column, l, c->lanes - l, target);
            }
        }
    }
}

/* ---- All planes ---- */

CP_TEMPLATE void NAME(collect_planes)(int select, const cp_collect *c, const cp_collect_planes *planes, CP_ELEMENT *scratch)
{
    for (int64_t p = 0; p < planes->count; p++) {
        const char *dy = planes->dy + p * planes->dy_step, *taps = planes->taps + p * planes->taps_step;
        char *dx = planes->dx + p * planes->dx_step;
        if (!c->pixels || !select) {
            NAME(prepare_results)(c, select, dy, taps, scratch);
        }
        if (c->pixels) {
            NAME(collect_pixels)(select, c, dy, taps, scratch, dx);
        } else {
            NAME(collect_plane_columns)(select, c, scratch, dx);
        }
    }
}

static void NAME(collect)(const cp_collect *c, const cp_collect_planes *planes, void *scratch)
{
    const cp_collect own = *c; /* that no store can be thought to change */
    if (c->select) {
        NAME(collect_planes)(1, &own, planes, scratch);
    } else {
        NAME(collect_planes)(0, &own, planes, scratch);
    }
}
