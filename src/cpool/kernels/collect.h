/* Gradients whose results come to an element from windows that hold it: each element collects, from +0 and in ascending order
 * of the results, along the row first for shares. Where neighbouring columns are lanes, and several results of a row
 * hold an element, these are prepared in scratch with a margin of such as hold nothing, so that no border is special; those of
 * collect_threes.h are read where they lie. */

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

/* Stores n lanes, or without pixels also zeros behind them, which is quicker: nothing is selected or shared there. */
CP_TEMPLATE void NAME(keep)(const cp_collect *c, CP_ELEMENT *to, CP_VECTOR v, int64_t n)
{
    if (c->form == CP_COLLECT_PIXELS) {
        NAME(save)(to, v, n);
    } else {
        V(store)(to, v);
    }
}

/* Shares, or values and taps, of a row. */
CP_TEMPLATE void NAME(prepare_row)(const cp_collect *c, int select, const char *dy, const char *taps, double row_count,
                                   CP_ELEMENT *to)
{
    const int is_dense = c->column_step[0] == c->lanes * (int64_t)sizeof(CP_ELEMENT) && c->count_step == c->lanes;
    const int64_t length = is_dense ? c->across * c->lanes : c->lanes, pieces = is_dense ? 1 : c->across;
    for (int64_t piece = 0; piece < pieces; piece++, dy += c->column_step[0], to += length) {
        for (int64_t i = 0; i < length; i += V(N)) {
            const int64_t n = length - i < V(N) ? length - i : V(N);
            CP_VECTOR v = NAME(load)((const CP_ELEMENT *)(const void *)dy + i, n, 0.0);
            if (select) {
                NAME(keep)(c, to + c->second + i, V(load_u8)((const uint8_t *)taps + i, n), n);
            } else {
                v = NAME(share)(c, v, row_count, piece * c->count_step + i, n);
            }
            NAME(keep)(c, to + i, v, n);
        }
    }
}

CP_TEMPLATE void NAME(prepare_results)(const cp_collect *c, int select, const char *dy, const char *taps, CP_ELEMENT *scratch)
{
    CP_ELEMENT *row = scratch + c->margin, *close = scratch + c->close;
    for (int64_t d = 0; d < c->planes; d++) {
        for (int64_t h = 0; h < c->results; h++, row += c->pitch) {
            const double row_count = select ? 1 : c->row_counts[d * c->results + h];
            NAME(prepare_row)(c, select, dy + d * c->plane_step[0] + h * c->row_step[0],
                              taps + d * c->plane_step[1] + h * c->row_step[1], row_count, c->spread == 1 ? row : close);
            if (c->spread > 1) {
                NAME(move)(c->lanes, c->across, close, c->lanes, row, c->spread * c->lanes);
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

/* ---- Neighbouring lanes of a row, and results are prepared ---- */

/* What result k places before `at` has for its lanes in tap number `tap`; `k` counts
 * down, `first` if it is the first of the row. */
CP_TEMPLATE void NAME(collect_result)(int select, int first, const cp_collect *c, const CP_ELEMENT *at, int64_t tap,
                                      CP_VECTOR *acc, CP_VECTOR *sum)
{
    CP_VECTOR value = V(load)(at);
    if (select) {
        V(mask) selected = V(eq)(V(load)(at + c->second), V(set1)(((const CP_ELEMENT *)c->codes)[tap]));
        *acc = V(add_where)(selected, *acc, value);
    } else {
        *sum = first ? value : V(add)(*sum, value);
    }
}

/* `blocks` vectors of elements, in acc: one behind the other, or with a stride of 2 the elements in tap `parity`, which result
 * `from` holds first, and those in the other one. window: 0 if it is not known here; step: lanes of a pixel. */
CP_TEMPLATE void NAME(collect_columns)(int select, int64_t window, int stride, int parity, int64_t step, int blocks,
                                       const cp_collect *c, const cp_collect_row *row, const CP_ELEMENT *from, CP_VECTOR *acc)
{
    CP_VECTOR plane[4], sum[4]; /* CP_EACH has four, some of them idle */
    CP_EACH(u, blocks, acc[u] = plane[u] = sum[u] = V(set1)(0));
    for (int64_t a = 0; a < row->planes; a++) {
        const CP_ELEMENT *line = from + ((row->first_plane + a) * c->results + row->first_row) * c->pitch;
        for (int64_t b = 0; b < row->rows; b++, line += c->pitch) {
            const int64_t tap = cp_collect_tap(row, a, b);
            CP_EACH(u, blocks, {
                const int first = stride == 1 ? 0 : u == 0 ? parity : 1 - parity;
                const CP_ELEMENT *at = line + (stride == 1 ? u * V(N) : u * parity * step);
                const int64_t before = ((window == 0 ? c->window : window) - 1 - first) / stride;
                if (window == 0) {
                    for (int64_t k = before; k >= 0; k--) {
                        NAME(collect_result)(select, k == before, c, at - k * step, tap + first + k * stride, &acc[u], &sum[u]);
                    }
                } else {
                    CP_EACH(i, before + 1, {
                        const int64_t k = before - i;
                        NAME(collect_result)(select, i == 0, c, at - k * step, tap + first + k * stride, &acc[u], &sum[u]);
                    });
                }
                plane[u] = b == 0 ? sum[u] : V(add)(plane[u], sum[u]);
            });
        }
        if (!select) {
            CP_EACH(u, blocks, acc[u] = a == 0 ? plane[u] : V(add)(acc[u], plane[u]));
        }
    }
    CP_EACH(u, blocks, acc[u] = V(add)(acc[u], V(set1)(0)));
}

/* Stores neighbouring elements, n of which there are. */
CP_TEMPLATE void NAME(save_elements)(CP_ELEMENT *dx, CP_VECTOR v, int64_t n)
{
    if (n > 0) {
        CP_PREFETCH_WRITE((const char *)dx + CP_AHEAD);
        NAME(save)(dx, v, n < V(N) ? n : V(N));
    }
}

CP_TEMPLATE void NAME(collect_rows_by_1)(int select, int64_t window, const cp_collect *c, const CP_ELEMENT *scratch, char *dx)
{
    for (int64_t r = 0; r < c->row_count; r++) {
        CP_ELEMENT *to = (CP_ELEMENT *)(void *)(dx + c->rows[r].target);
        for (int64_t i = 0; i < c->width; i += 2 * V(N)) {
            /* Element i is in tap 0 of result i + pad, among others. */
            const CP_ELEMENT *from = scratch + c->margin + i + c->pad;
            const int64_t n = c->width - i;
            CP_VECTOR found[4];
            if (n <= V(N)) {
                NAME(collect_columns)(select, window, 1, 0, c->lanes, 1, c, &c->rows[r], from, found);
                NAME(save_elements)(to + i, found[0], n);
                continue;
            }
            NAME(collect_columns)(select, window, 1, 0, c->lanes, 2, c, &c->rows[r], from, found);
            NAME(save_elements)(to + i, found[0], n);
            NAME(save_elements)(to + i + V(N), found[1], n - V(N));
        }
    }
}

/* Of a vector of even pixels and one of odd ones: how many lanes are whole pixels, or the part of one that is larger than a
 * vector, and where in the two the pixels in turn are. */
typedef struct NAME(turns) {
    int64_t width;
    V(places) first, second;
} NAME(turns);

CP_TEMPLATE NAME(turns) NAME(find_turns)(int64_t lanes)
{
    const int64_t width = lanes > V(N) ? V(N) : V(N) / lanes * lanes;
    int32_t index[2 * V(N)] = {0};
    for (int64_t l = 0; lanes > 1 && lanes <= width && l < 2 * width; l++) {
        index[l] = (int32_t)(l / lanes % 2 * V(N) + l / lanes / 2 * lanes + l % lanes);
    }
    NAME(turns) turns = {width, V(places_from)(index), V(places_from)(index + V(N))};
    return turns;
}

/* `parity`: of the padding; decides which tap of the results the first pixel is in. */
CP_TEMPLATE void NAME(collect_rows_by_2)(int select, int64_t window, int parity, int64_t lanes, const cp_collect *c,
                                         const CP_ELEMENT *scratch, char *dx)
{
    const int64_t even = (c->width / lanes + 1) / 2 * lanes, shift = c->pad / lanes / 2 * lanes;
    const NAME(turns) turns = NAME(find_turns)(lanes);
    const int is_part = turns.width < lanes;
    for (int64_t r = 0; r < c->row_count; r++) {
        CP_ELEMENT *to = (CP_ELEMENT *)(void *)(dx + c->rows[r].target);
        for (int64_t part = 0; part < even; part = is_part ? cp_part_behind(part, turns.width, lanes) : part + turns.width) {
            /* Pixel p is in tap (p + pad) % 2 of result (p + pad) / 2, among others; h counts lanes of even pixels. */
            const int64_t h = is_part ? cp_part_at(part, turns.width, lanes) : part;
            const CP_ELEMENT *from = scratch + c->margin + shift + h;
            const int64_t i = 2 * h - h % lanes, n = c->width - i;
            CP_VECTOR found[4], turned;
            NAME(collect_columns)(select, window, 2, parity, lanes, 2, c, &c->rows[r], from, found);
            if (lanes > 1 && turns.width <= lanes) {
                NAME(save_elements)(to + i, found[0], turns.width);
                NAME(save_elements)(to + i + lanes, found[1], n > lanes ? turns.width : 0);
                continue;
            }
            if (lanes == 1) {
                V(zip)(found[0], found[1], &turned, &found[1]);
            } else {
                turned = V(pick)(found[0], found[1], turns.first);
                found[1] = V(pick)(found[0], found[1], turns.second);
            }
            /* What is behind the pixels at hand is written again with the next ones. */
            NAME(save_elements)(to + i, turned, n);
            NAME(save_elements)(to + i + V(N), found[1], n - V(N));
        }
    }
}

CP_TEMPLATE void NAME(collect_plane_columns)(int select, const cp_collect *c, const CP_ELEMENT *scratch, char *dx)
{
    const int parity = (int)(c->pad / c->lanes % 2);
    if (c->stride == 1 && c->window == 3) {
        NAME(collect_rows_by_1)(select, 3, c, scratch, dx);
    } else if (c->stride == 1) {
        NAME(collect_rows_by_1)(select, 0, c, scratch, dx);
    } else if (c->lanes > 1 && c->window == 2 && parity == 0) {
        NAME(collect_rows_by_2)(select, 2, 0, c->lanes, c, scratch, dx);
    } else if (c->lanes > 1 && c->window == 3 && parity == 0) {
        NAME(collect_rows_by_2)(select, 3, 0, c->lanes, c, scratch, dx);
    } else if (c->lanes > 1 && c->window == 3) {
        NAME(collect_rows_by_2)(select, 3, 1, c->lanes, c, scratch, dx);
    } else if (c->lanes > 1) {
        NAME(collect_rows_by_2)(select, 0, parity, c->lanes, c, scratch, dx);
    } else if (c->window == 3 && parity == 0) {
        NAME(collect_rows_by_2)(select, 3, 0, 1, c, scratch, dx);
    } else if (c->window == 3) {
        NAME(collect_rows_by_2)(select, 3, 1, 1, c, scratch, dx);
    } else {
        NAME(collect_rows_by_2)(select, 0, parity, 1, c, scratch, dx);
    }
}

/* ---- Rows of results that hold a row of elements ---- */

typedef struct NAME(lines) {
    const char *dy[CP_COLLECT_HOLDERS], *taps[CP_COLLECT_HOLDERS];
    int64_t tap[CP_COLLECT_HOLDERS]; /* number of the first tap of a window's row */
    int64_t planes, rows;
} NAME(lines);

CP_TEMPLATE void NAME(find_lines)(NAME(lines) *lines, const cp_collect_row *row, const char *dy, const char *taps,
                                  const int64_t *plane_step, const int64_t *row_step)
{
    lines->planes = row->planes;
    lines->rows = row->rows;
    for (int64_t a = 0; a < row->planes; a++) {
        for (int64_t b = 0; b < row->rows; b++) {
            const int64_t plane = row->first_plane + a, line = row->first_row + b, k = a * row->rows + b;
            lines->dy[k] = dy + plane * plane_step[0] + line * row_step[0];
            lines->taps[k] = taps + plane * plane_step[1] + line * row_step[1];
            lines->tap[k] = cp_collect_tap(row, a, b);
        }
    }
}

/* ---- Neighbouring columns are lanes, and each is held by one result of a row at most ---- */

/* From n results of each row, if that is above 0: `stride` times N elements. */
CP_TEMPLATE void NAME(collect_apart)(int select, int stride, const cp_collect *c, const cp_collect_row *row, const char *dy,
                                     const char *taps, int64_t from, int64_t n, CP_VECTOR *acc)
{
    CP_VECTOR plane = V(set1)(0), zero = plane, sum = plane;
    CP_EACH(t, stride, acc[t] = zero);
    for (int64_t a = 0; n > 0 && a < row->planes; a++) {
        for (int64_t b = 0; b < row->rows; b++) {
            const int64_t d = row->first_plane + a, h = row->first_row + b;
            const char *values = dy + d * c->plane_step[0] + h * c->row_step[0];
            CP_VECTOR value = NAME(load)((const CP_ELEMENT *)(const void *)values + from, n, 0.0);
            if (select) {
                const uint8_t *codes = (const uint8_t *)taps + d * c->plane_step[1] + h * c->row_step[1];
                const CP_ELEMENT *numbers = (const CP_ELEMENT *)c->codes + cp_collect_tap(row, a, b);
                CP_VECTOR code = V(load_u8)(codes + from, n);
                CP_EACH(t, stride, acc[t] = V(add_where)(V(eq)(code, V(set1)(numbers[t])), acc[t], value));
            } else {
                value = NAME(share)(c, value, c->row_counts[d * c->results + h], from, n);
                sum = b == 0 ? value : V(add)(sum, value);
            }
        }
        plane = a == 0 ? sum : V(add)(plane, sum);
    }
    /* A tap that the window does not have selects nothing: codes of 8 bits are of the
     * next row, of which value is not an element. */
    CP_EACH(t, stride, { acc[t] = t >= c->window ? zero : V(add)(select ? acc[t] : plane, zero); });
}

/* Whether two rows of elements are held by the same row of results, and no other, and each element by a result. */
CP_TEMPLATE int NAME(are_pair)(const cp_collect *c, const cp_collect_row *row)
{
    return c->window == 2 && row[0].planes == 1 && row[1].planes == 1 && row[0].rows == 1 && row[1].rows == 1 &&
           row[0].first_plane == row[1].first_plane && row[0].first_row == row[1].first_row;
}

/* Windows of 2 columns side by side. */
CP_TEMPLATE void NAME(collect_pair)(int select, const cp_collect *c, const cp_collect_row *row, const char *dy,
                                    const char *taps, char *dx)
{
    const int64_t d = row->first_plane, h = row->first_row;
    const CP_VECTOR zero = V(set1)(0);
    const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)(dy + d * c->plane_step[0] + h * c->row_step[0]);
    const uint8_t *codes = select ? (const uint8_t *)taps + d * c->plane_step[1] + h * c->row_step[1] : NULL;
    for (int64_t i = 0; i < c->width; i += 2 * V(N)) {
        const int64_t from = i / 2, left = c->across - from, n = left < V(N) ? left : V(N);
        CP_VECTOR value = n > 0 ? NAME(load)(values + from, n, 0.0) : zero, code = zero, low, high;
        if (select) {
            code = n > 0 ? V(load_u8)(codes + from, n) : zero;
        } else {
            value = V(add)(n > 0 ? NAME(share)(c, value, c->row_counts[d * c->results + h], from, n) : zero, zero);
            V(zip)(value, value, &low, &high);
        }
        CP_EACH(k, 2, {
            CP_ELEMENT *to = (CP_ELEMENT *)(void *)(dx + row[k].target) + i;
            if (select) {
                const CP_ELEMENT *numbers = (const CP_ELEMENT *)c->codes + cp_collect_tap(&row[k], 0, 0);
                V(zip)(V(add_where)(V(eq)(code, V(set1)(numbers[0])), zero, value),
                       V(add_where)(V(eq)(code, V(set1)(numbers[1])), zero, value), &low, &high);
            }
            NAME(save_elements)(to, low, c->width - i);
            NAME(save_elements)(to + V(N), high, c->width - i - V(N));
        });
    }
}

CP_TEMPLATE void NAME(collect_rows_apart)(int select, int stride, const cp_collect *c, const char *dy, const char *taps,
                                          char *dx)
{
    for (int64_t r = 0; r < c->row_count; r++) {
        if (stride == 2 && r + 1 < c->row_count && NAME(are_pair)(c, &c->rows[r])) {
            NAME(collect_pair)(select, c, &c->rows[r++], dy, taps, dx);
            continue;
        }
        CP_ELEMENT *to = (CP_ELEMENT *)(void *)(dx + c->rows[r].target);
        for (int64_t i = 0; i < c->width; i += stride * V(N)) {
            const int64_t left = c->across - i / stride, n = c->width - i;
            CP_VECTOR v[4];
            NAME(collect_apart)(select, stride, c, &c->rows[r], dy, taps, i / stride, left < V(N) ? left : V(N), v);
            if (stride == 4) {
                V(zip)(v[0], v[2], &v[0], &v[2]);
                V(zip)(v[1], v[3], &v[1], &v[3]);
                CP_VECTOR low = v[2];
                V(zip)(v[0], v[1], &v[0], &v[1]);
                V(zip)(low, v[3], &v[2], &v[3]);
            } else {
                V(zip)(v[0], v[1], &v[0], &v[1]);
            }
            CP_EACH(t, stride, NAME(save_elements)(to + i + t * V(N), v[t], n - t * V(N)));
        }
    }
}

/* ---- The elements of a pixel are lanes ---- */

/* Vectors that begin where those of memory do pay for one more of few lanes where windows have so many taps along the row,
 * and a pixel so many vectors. */
enum { NAME(COLLECT_LEAD_TAPS) = 4, NAME(COLLECT_LEAD_VECTORS) = 16 };

/* Vectors of n lanes. */
CP_TEMPLATE void NAME(save_lanes)(CP_ELEMENT *dx, const CP_VECTOR *acc, int blocks, int64_t n)
{
    CP_EACH(u, blocks, {
        CP_PREFETCH_WRITE((const char *)(dx + u * V(N))+CP_AHEAD);
        NAME(save)(dx + u * V(N), V(add)(acc[u], V(set1)(0)), n);
    });
}

/* Result k of a row, where it selected tap number `code`. */
CP_TEMPLATE void NAME(add_selected)(int blocks, const cp_collect *c, const char *dy, const char *taps, uint8_t code, int64_t k,
                                    int64_t n, CP_VECTOR *acc)
{
    const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)(dy + k * c->column_step[0]);
    const uint8_t *codes = (const uint8_t *)taps + k * c->column_step[1];
    CP_EACH(u, blocks, {
        CP_VECTOR value = NAME(load)(values + u * V(N), n, 0.0);
        acc[u] = V(add_where)(V(is_code)(V(load_codes)(codes + u * V(N), n), code), acc[u], value);
    });
}

/* count: of the row's results, if it is known here, else 0. */
CP_TEMPLATE void NAME(add_selected_row)(int blocks, int64_t count, const cp_collect *c, const NAME(lines) *lines, int64_t line,
                                        const cp_collect_column *column, int64_t l, int64_t n, CP_VECTOR *acc)
{
    const char *dy = lines->dy[line] + column->first * c->column_step[0] + l * (int64_t)sizeof(CP_ELEMENT);
    const char *taps = lines->taps[line] + column->first * c->column_step[1] + l;
    const int64_t tap = lines->tap[line];
    if (count == 0) {
        for (int64_t k = 0; k < column->count; k++) {
            NAME(add_selected)(blocks, c, dy, taps, (uint8_t)(tap + column->tap[k]), k, n, acc);
        }
    } else {
        CP_EACH(k, count, NAME(add_selected)(blocks, c, dy, taps, (uint8_t)(tap + column->tap[k]), k, n, acc));
    }
}

/* Of those that selected it; rows: of results that hold the element, if it is known here, else 0. */
CP_TEMPLATE void NAME(collect_selected)(int blocks, int64_t rows, int64_t count, const cp_collect *c, const NAME(lines) *lines,
                                        const cp_collect_column *column, int64_t l, int64_t n, CP_ELEMENT *dx)
{
    CP_VECTOR acc[4];
    CP_EACH(u, blocks, acc[u] = V(set1)(0));
    if (rows == 0) {
        for (int64_t line = 0; line < lines->planes * lines->rows; line++) {
            NAME(add_selected_row)(blocks, count, c, lines, line, column, l, n, acc);
        }
    } else {
        CP_EACH(line, rows, NAME(add_selected_row)(blocks, count, c, lines, line, column, l, n, acc));
    }
    NAME(save_lanes)(dx + l, acc, blocks, n);
}

/* Few results hold an element where windows are as far apart as they are long, or nearly: for one or two of one or two rows
 * there are ways without loops. */
CP_TEMPLATE void NAME(choose_selected)(int blocks, const cp_collect *c, const NAME(lines) *lines,
                                       const cp_collect_column *column, int64_t l, int64_t n, CP_ELEMENT *dx)
{
    switch (lines->planes == 1 && lines->rows <= 2 && column->count <= 2 ? 3 * lines->rows + column->count : 0) {
    case 3 * 1 + 1: NAME(collect_selected)(blocks, 1, 1, c, lines, column, l, n, dx); break;
    case 3 * 1 + 2: NAME(collect_selected)(blocks, 1, 2, c, lines, column, l, n, dx); break;
    case 3 * 2 + 1: NAME(collect_selected)(blocks, 2, 1, c, lines, column, l, n, dx); break;
    case 3 * 2 + 2: NAME(collect_selected)(blocks, 2, 2, c, lines, column, l, n, dx); break;
    default: NAME(collect_selected)(blocks, 0, 0, c, lines, column, l, n, dx);
    }
}

/* Of all of them: along the row first, then down, then from plane to plane. */
CP_TEMPLATE void NAME(collect_shares)(int blocks, const cp_collect *c, const NAME(lines) *lines,
                                      const cp_collect_column *column, int64_t l, int64_t n, CP_ELEMENT *dx)
{
    CP_VECTOR acc[4], plane[4], sum[4];
    CP_EACH(u, blocks, acc[u] = plane[u] = sum[u] = V(set1)(0));
    for (int64_t a = 0, line = 0; a < lines->planes; a++) {
        for (int64_t b = 0; b < lines->rows; b++, line++) {
            const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)lines->dy[line] + column->first * c->lanes + l;
            for (int64_t k = 0; k < column->count; k++, values += c->lanes) {
                CP_EACH(u, blocks, {
                    CP_VECTOR value = NAME(load)(values + u * V(N), n, 0.0);
                    sum[u] = k == 0 ? value : V(add)(sum[u], value);
                });
            }
            CP_EACH(u, blocks, plane[u] = b == 0 ? sum[u] : V(add)(plane[u], sum[u]));
        }
        CP_EACH(u, blocks, acc[u] = a == 0 ? plane[u] : V(add)(acc[u], plane[u]));
    }
    NAME(save_lanes)(dx + l, acc, blocks, n);
}

/* N lanes, n of which there are. */
CP_TEMPLATE void NAME(collect_lanes)(int select, int blocks, const cp_collect *c, const NAME(lines) *lines,
                                     const cp_collect_column *column, int64_t l, int64_t n, CP_ELEMENT *dx)
{
    if (select) {
        NAME(choose_selected)(blocks, c, lines, column, l, n, dx);
    } else {
        NAME(collect_shares)(blocks, c, lines, column, l, n, dx);
    }
}

CP_TEMPLATE void NAME(collect_pixels)(int select, const cp_collect *c, const char *dy, const char *taps,
                                      const CP_ELEMENT *scratch, char *dx)
{
    const int64_t size = (int64_t)sizeof(CP_ELEMENT), row_step[2] = {c->pitch * size, 0};
    const int64_t plane_step[2] = {c->results * row_step[0], 0};
    const int64_t lead = select && c->window >= NAME(COLLECT_LEAD_TAPS)
                             ? NAME(lead)(dy, c->column_step[0], c->lanes, NAME(COLLECT_LEAD_VECTORS))
                             : 0;
    for (int64_t r = 0; r < c->row_count; r++) {
        NAME(lines) lines;
        if (select) {
            NAME(find_lines)(&lines, &c->rows[r], dy, taps, c->plane_step, c->row_step);
        } else {
            NAME(find_lines)(&lines, &c->rows[r], (const char *)(scratch + c->margin), NULL, plane_step, row_step);
        }
        for (int64_t i = 0; i < c->width; i++) {
            const cp_collect_column *column = &c->columns[i];
            CP_ELEMENT *target = (CP_ELEMENT *)(void *)(dx + c->rows[r].target + i * c->target_column);
            for (int64_t l = 0, n = lead; l < c->lanes; l += n, n = 0) {
                const int64_t left = c->lanes - l;
                if (n == 0 && left >= 4 * V(N)) {
                    NAME(collect_lanes)(select, 4, c, &lines, column, l, V(N), target);
                    n = 4 * V(N);
                } else if (n == 0 && left >= 2 * V(N)) {
                    NAME(collect_lanes)(select, 2, c, &lines, column, l, V(N), target);
                    n = 2 * V(N);
                } else {
                    n = n > 0 ? n : left < V(N) ? left : V(N);
                    NAME(collect_lanes)(select, 1, c, &lines, column, l, n, target);
                }
            }
        }
    }
}

#include "kernels/collect_threes.h"

/* ---- All planes ---- */

CP_TEMPLATE void NAME(collect_planes)(int select, const cp_collect *c, const cp_collect_planes *planes, CP_ELEMENT *scratch)
{
    for (int64_t p = 0; p < planes->count; p++) {
        const char *dy = planes->dy + p * planes->dy_step, *taps = select ? planes->taps + p * planes->taps_step : NULL;
        char *dx = planes->dx + p * planes->dx_step;
        if (c->form == CP_COLLECT_PREPARED || (c->form == CP_COLLECT_PIXELS && !select)) {
            NAME(prepare_results)(c, select, dy, taps, scratch);
        }
        switch (c->form) {
        case CP_COLLECT_PIXELS: NAME(collect_pixels)(select, c, dy, taps, scratch, dx); break;
        case CP_COLLECT_PREPARED: NAME(collect_plane_columns)(select, c, scratch, dx); break;
        case CP_COLLECT_APART:
            if (c->stride == 2) {
                NAME(collect_rows_apart)(select, 2, c, dy, taps, dx);
            } else {
                NAME(collect_rows_apart)(select, 4, c, dy, taps, dx);
            }
            break;
        case CP_COLLECT_THREES:
            if (select) {
                NAME(collect_plane_threes)(c, dy, taps, dx);
            }
            break;
        default: break;
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
