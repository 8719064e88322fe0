/* Gradients of selections by windows of 3x3 in steps of 1 or 2 in a plane of its own, neighbouring columns being lanes. Results
 * are read where they lie, once on the way down; what is absent counts as 0. */

/* A block of elements, and where results that hold it lie. */
typedef struct NAME(hold) {
    int64_t element;   /* the first one, in lanes */
    int64_t from;      /* the first result of its first load, in lanes; below 0 it is absent */
    int is_inside;     /* every lane of every load is there; which are: */
    V(lanes) there[4]; /* CP_EACH has four, some of them idle; likewise below */
} NAME(hold);

/* Elements i to i + stride * N - 1. In steps of 2 the first of them is in tap 0 of a result, and in tap 2 of the one before,
 * or in tap 1; parity (of the padding) says which. */
CP_TEMPLATE void NAME(find_hold)(NAME(hold) *hold, int stride, int parity, const cp_collect *c, int64_t block)
{
    const int64_t loads = stride == 1 ? 3 : 2, width = stride * V(N), results = c->across * c->lanes;
    const int64_t last = stride == 1 ? c->width - width : (c->width - width + 1) / 2 * 2; /* ends with the row, or one behind */
    hold->element = block * width > last && last >= 0 ? last : block * width;
    hold->from = stride == 1 ? hold->element + c->pad - 2 * c->lanes : (hold->element + c->pad - parity) / 2 - 1 + parity;
    hold->is_inside = hold->from >= 0 && hold->from + (loads - 1) * c->lanes + V(N) <= results;
    CP_EACH(k, 3, {
        const int64_t at = hold->from + k * c->lanes;
        hold->there[k] = V(lanes_from)(-at, results - at);
    });
}

/* What a row of results has for elements of its tap row `down`: in steps of 2 for those at even places, and at odd ones. */
CP_TEMPLATE void NAME(add_three)(int stride, int parity, int down, const CP_VECTOR *value, const V(codes) *code,
                                 CP_VECTOR *even, CP_VECTOR *odd)
{
    const int tap = 3 * down;
    if (stride == 1) {
        CP_EACH(k, 3, *even = V(add_where)(V(is_code)(code[k], tap + 2 - k), *even, value[k]));
        return;
    }
    CP_VECTOR *two = parity == 0 ? even : odd, *one = parity == 0 ? odd : even;
    *two = V(add_where)(V(is_code)(code[0], tap + 2), *two, value[0]);
    *two = V(add_where)(V(is_code)(code[1], tap), *two, value[1]);
    *one = V(add_where)(V(is_code)(code[1 - parity], tap + 1), *one, value[1 - parity]);
}

CP_TEMPLATE void NAME(save_three)(int stride, CP_ELEMENT *to, CP_VECTOR even, CP_VECTOR odd, int64_t n)
{
    if (stride == 2) {
        V(zip)(even, odd, &even, &odd);
        NAME(save_elements)(to + V(N), odd, n - V(N));
    }
    NAME(save_elements)(to, even, n);
}

/* Rows `begin` to `end` - 1 of a block: down the rows of results, three rows of elements being at work; a fourth stays 0. */
CP_TEMPLATE void NAME(collect_hold)(int stride, int parity, int inside, const cp_collect *c, const NAME(hold) *hold,
                                    const char *dy, const char *taps, char *dx, int64_t begin, int64_t end)
{
    const CP_VECTOR zero = V(set1)(0);
    CP_VECTOR even[4] = {zero, zero, zero, zero}, odd[4] = {zero, zero, zero, zero};
    const int64_t first = stride == 1 ? begin + c->pad_down - 2 : (begin + c->pad_down + 1) / 2 - 1;
    const int64_t dy_row = c->results > 1 ? c->row_step[0] : 0, taps_row = c->results > 1 ? c->row_step[1] : 0;
    const CP_ELEMENT *values = (const CP_ELEMENT *)(const void *)(dy + first * dy_row) + hold->from;
    const uint8_t *codes = (const uint8_t *)taps + first * taps_row + hold->from;
    for (int64_t h = first, row = first * stride - c->pad_down; row < end; h++, row += stride) {
        if (h >= 0 && h < c->results) {
            CP_VECTOR value[4];
            V(codes) code[4];
            CP_EACH(k, stride == 1 ? 3 : 2, {
                const int64_t at = k * c->lanes;
                value[k] = inside ? V(load)(values + at) : V(load_lanes)(values + at, hold->there[k], zero);
                code[k] = inside ? V(load_codes)(codes + at, V(N)) : V(load_codes_lanes)(codes + at, hold->there[k]);
            });
            CP_EACH(down, 3, NAME(add_three)(stride, parity, down, value, code, &even[down], &odd[down]));
        }
        CP_EACH(
            r, stride, if (row + r >= begin && row + r < end) {
                CP_ELEMENT *to = (CP_ELEMENT *)(void *)(dx + c->rows[row + r].target) + hold->element;
                NAME(save_three)(stride, to, even[r], odd[r], c->width - hold->element);
            });
        CP_EACH(r, 3, {
            const int next = r + stride < 3 ? r + stride : 3;
            even[r] = even[next];
            odd[r] = odd[next];
        });
        values = (const CP_ELEMENT *)(const void *)((const char *)values + dy_row);
        codes += taps_row;
    }
}

/* Bytes of rows that are done block by block: more are not written in an order that memory likes. And as few rows as are worth
 * those of results that others have as well, which are two in steps of 1, else one. */
enum { NAME(BAND) = 4096, NAME(BAND_ROWS) = 8 };

CP_TEMPLATE void NAME(collect_threes)(int stride, int parity, const cp_collect *c, const char *dy, const char *taps, char *dx)
{
    const int64_t blocks = (c->width + stride * V(N) - 1) / (stride * V(N));
    const int64_t rows = NAME(BAND) / (c->width * (int64_t)sizeof(CP_ELEMENT)), least = NAME(BAND_ROWS) / stride;
    const int64_t band = rows < least ? least : rows;
    NAME(hold) hold;
    for (int64_t r = 0; r < c->row_count; r += band) {
        const int64_t end = r + band < c->row_count ? r + band : c->row_count;
        for (int64_t b = 0; b < blocks; b++) {
            NAME(find_hold)(&hold, stride, parity, c, b);
            if (hold.is_inside) {
                NAME(collect_hold)(stride, parity, 1, c, &hold, dy, taps, dx, r, end);
            } else {
                NAME(collect_hold)(stride, parity, 0, c, &hold, dy, taps, dx, r, end);
            }
        }
    }
}

CP_TEMPLATE void NAME(collect_plane_threes)(const cp_collect *c, const char *dy, const char *taps, char *dx)
{
    if (c->stride == 1) {
        NAME(collect_threes)(1, 0, c, dy, taps, dx);
    } else if (c->pad % 2 == 0) {
        NAME(collect_threes)(2, 0, c, dy, taps, dx);
    } else {
        NAME(collect_threes)(2, 1, c, dy, taps, dx);
    }
}
