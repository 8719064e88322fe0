/* Gradients whose results come to an element from windows that hold it: each element collects, from +0 and in ascending order of
 * the results, along the row first for shares. Where neighbouring columns are lanes, results are prepared in scratch with a margin
 * of such as hold nothing, so that no border is special. */

/* ---- Preparing ---- */

CP_TEMPLATE CP_VECTOR NAME(share)(const cp_collect *c, CP_VECTOR dy, double row_count, int64_t i, int64_t n)
{
    if (c->full != 0) {
        double count = c->full * row_count;
        return cp_is_power_of_two(count) ? V(mul)(dy, V(set1)((CP_ELEMENT)(1 / count))) : V(div)(dy, V(set1)((CP_ELEMENT)count));
    }
    CP_VECTOR counts = NAME(load)((const CP_ELEMENT *)c->counts + i, n, 1.0);
    return V(div)(dy, V(mul)(counts, V(set1)((CP_ELEMENT)row_count)));
}

/* Shares, or values and taps, of every row at hand; i counts lanes along the row. */
CP_TEMPLATE void NAME(prepare_results)(const cp_collect *c, int select, const char *dy, const char *taps, CP_ELEMENT *scratch)
{
    const int64_t lanes = c->pixels ? c->lanes : 1, pixel = lanes * (int64_t)sizeof(CP_ELEMENT);
    const int is_dense = c->column_step[0] == pixel;
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
                    v = NAME(share)(c, v, c->row_counts[k], piece * length + i, n);
                }
                NAME(save)(to + i, v, n);
                if (select) {
                    NAME(save)(to + c->second + i, V(load_u8)(tap + i, n), n);
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

/* ---- Neighbouring columns are lanes ---- */

/* N elements, stride apart, of which the first is held by result `from` in its tap `tap`, and by those before. */
CP_TEMPLATE CP_VECTOR NAME(collect_columns)(int select, int64_t window, int stride, const cp_collect *c,
                                            const cp_collect_row *row, const CP_ELEMENT *scratch, int64_t from, int64_t tap)
{
    CP_VECTOR acc = V(set1)(0);
    const int64_t before = (window - 1 - tap) / stride; /* results */
    for (int64_t a = 0; a < row->planes; a++) {
        CP_VECTOR plane = V(set1)(0);
        for (int64_t b = 0; b < row->rows; b++) {
            const CP_ELEMENT *values = scratch + ((row->first_plane + a) * c->results + row->first_row + b) * c->pitch + from;
            const CP_ELEMENT *codes = (const CP_ELEMENT *)c->codes + row->tap - a * c->tap_plane - b * c->tap_row + tap;
            CP_VECTOR sum = V(set1)(0);
            for (int64_t k = before; k >= 0; k--) {
                CP_VECTOR value = V(load)(values - k);
                if (select) {
                    V(mask) selected = V(eq)(V(load)(values - k + c->second), V(set1)(codes[k * stride]));
                    acc = V(add_where)(selected, acc, value);
                } else {
                    sum = V(add)(sum, value);
                }
            }
            plane = b == 0 ? sum : V(add)(plane, sum);
        }
        if (!select) {
            acc = a == 0 ? plane : V(add)(acc, plane);
        }
    }
    return acc;
}

CP_TEMPLATE void NAME(collect_row)(int select, int64_t window, int stride, const cp_collect *c, const cp_collect_row *row,
                                   const CP_ELEMENT *scratch, CP_ELEMENT *dx)
{
    for (int64_t i = 0; i < c->width; i += stride * V(N)) {
        /* Element i is in tap (i + pad) % stride of result (i + pad) / stride, among others. */
        int64_t at = i + c->pad, n = c->width - i;
        CP_VECTOR first = NAME(collect_columns)(select, window, stride, c, row, scratch, c->margin + at / stride, at % stride);
        if (stride == 1) {
            NAME(save)(dx + i, first, n < V(N) ? n : V(N));
            continue;
        }
        at++;
        CP_VECTOR second = NAME(collect_columns)(select, window, stride, c, row, scratch, c->margin + at / stride, at % stride);
        V(zip)(first, second, &first, &second);
        NAME(save)(dx + i, first, n < V(N) ? n : V(N));
        if (n > V(N)) {
            NAME(save)(dx + i + V(N), second, n < 2 * V(N) ? n - V(N) : V(N));
        }
    }
}

/* ---- The elements of a pixel are lanes ---- */

typedef struct NAME(holder) {
    const char *dy, *taps;
    uint8_t tap;
} NAME(holder);

CP_TEMPLATE void NAME(collect_pixel)(int select, const cp_collect *c, const cp_collect_row *row, const cp_collect_column *column,
                                     const char *dy, const char *taps, const int64_t *plane_step, const int64_t *row_step,
                                     int64_t dy_column, CP_ELEMENT *dx)
{
    NAME(holder) holders[CP_COLLECT_HOLDERS];
    int count = 0;
    for (int64_t a = 0; a < row->planes; a++) {
        for (int64_t b = 0; b < row->rows; b++) {
            const int64_t plane = row->first_plane + a, line = row->first_row + b;
            for (int64_t k = 0; k < column->count; k++) {
                NAME(holder) *h = &holders[count++];
                h->dy = dy + plane * plane_step[0] + line * row_step[0] + (column->first + k) * dy_column;
                h->taps = taps + plane * plane_step[1] + line * row_step[1] + (column->first + k) * c->column_step[1];
                h->tap = (uint8_t)(row->tap - a * c->tap_plane - b * c->tap_row + column->tap - k * c->stride);
            }
        }
    }
    const int across = column->count, rows = row->rows;
    for (int64_t l = 0; l < c->lanes; l += V(N)) {
        const int64_t n = c->lanes - l < V(N) ? c->lanes - l : V(N);
        CP_VECTOR acc = V(set1)(0), plane = acc, sum = acc;
        for (int h = 0; h < count; h++) {
            CP_VECTOR value = NAME(load)((const CP_ELEMENT *)(const void *)holders[h].dy + l, n, 0.0);
            if (select) {
                acc = V(add_where)(V(eq_u8)((const uint8_t *)holders[h].taps + l, n, holders[h].tap), acc, value);
                continue;
            }
            sum = h % across == 0 ? value : V(add)(sum, value);
            if (h % across == across - 1) {
                plane = h / across % rows == 0 ? sum : V(add)(plane, sum);
                if (h / across % rows == rows - 1) {
                    acc = h / across / rows == 0 ? plane : V(add)(acc, plane);
                }
            }
        }
        NAME(save)(dx + l, V(add)(acc, V(set1)(0)), n);
    }
}

CP_TEMPLATE void NAME(collect_pixels)(int select, const cp_collect *c, const cp_collect_row *row, const char *dy,
                                      const char *taps, const CP_ELEMENT *scratch, char *dx)
{
    const int64_t size = (int64_t)sizeof(CP_ELEMENT), prepared_row[2] = {c->pitch * size, 0};
    const int64_t prepared_plane[2] = {c->results * c->pitch * size, 0};
    for (int64_t i = 0; i < c->width; i++) {
        CP_ELEMENT *target = (CP_ELEMENT *)(void *)(dx + i * c->target_column);
        if (select) {
            NAME(collect_pixel)(1, c, row, &c->columns[i], dy, taps, c->plane_step, c->row_step, c->column_step[0], target);
        } else {
            NAME(collect_pixel)(0, c, row, &c->columns[i], (const char *)(scratch + c->margin), NULL, prepared_plane,
                                prepared_row, c->lanes * size, target);
        }
    }
}

/* ---- All planes ---- */

CP_TEMPLATE void NAME(collect_plane)(int select, const cp_collect *c, const cp_collect_planes *planes, int64_t p,
                                     CP_ELEMENT *scratch)
{
    const char *dy = planes->dy + p * planes->dy_step, *taps = planes->taps + p * planes->taps_step;
    if (!c->pixels || !select) {
        NAME(prepare_results)(c, select, dy, taps, scratch);
    }
    for (int64_t r = 0; r < c->row_count; r++) {
        char *dx = planes->dx + p * planes->dx_step + c->rows[r].target;
        CP_ELEMENT *row = (CP_ELEMENT *)(void *)dx;
        if (c->pixels) {
            NAME(collect_pixels)(select, c, &c->rows[r], dy, taps, scratch, dx);
        } else if (c->stride == 1 && c->window == 3) {
            NAME(collect_row)(select, 3, 1, c, &c->rows[r], scratch, row);
        } else if (c->stride == 1) {
            NAME(collect_row)(select, c->window, 1, c, &c->rows[r], scratch, row);
        } else if (c->window == 2) {
            NAME(collect_row)(select, 2, 2, c, &c->rows[r], scratch, row);
        } else {
            NAME(collect_row)(select, c->window, 2, c, &c->rows[r], scratch, row);
        }
    }
}

static void NAME(collect)(const cp_collect *c, const cp_collect_planes *planes, void *scratch)
{
    for (int64_t p = 0; p < planes->count; p++) {
        if (c->select) {
            NAME(collect_plane)(1, c, planes, p, scratch);
        } else {
            NAME(collect_plane)(0, c, planes, p, scratch);
        }
    }
}
