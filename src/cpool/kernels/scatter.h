/* The gradient of a selection: dy is added where the tap says, results in ascending order. Taps are not trusted: what is none, not
 * of the window or not among the positions to be written is left out. */

CP_TEMPLATE void NAME(add_at)(char *at, CP_ELEMENT value)
{
    CP_ELEMENT sum;
    memcpy(&sum, at, sizeof sum);
    sum += value;
    memcpy(at, &sum, sizeof sum);
}

/* Where a tap of the window that begins at position `first` lies, or NULL. */
CP_TEMPLATE char *NAME(tap_place)(const cp_scatter *s, char *origin, const int64_t *first, int64_t tap)
{
    if (tap < 0 || tap >= s->taps) {
        return NULL;
    }
    const int64_t row = tap / s->window[2], taps[3] = {row / s->window[1], row % s->window[1], tap % s->window[2]};
    for (int a = 0; a < 3; a++) {
        const int64_t at = first[a] + taps[a] * s->dilation[a];
        if (at < s->lo[a] || at >= s->hi[a]) {
            return NULL;
        }
        origin += at * s->step[a];
    }
    return origin;
}

/* Taps that are all in the table. lanes: 1, or those of the scatter. */
CP_TEMPLATE void NAME(scatter_near)(int64_t lanes, const cp_scatter *s, char *dx, const char *dy, const char *taps,
                                    const int64_t *first, const int64_t *starts, int64_t columns)
{
    const cp_scatter_tap *near = s->near;
    const int64_t known = s->taps, dx_lane = s->lane_step[0], dy_lane = s->lane_step[1], taps_lane = s->lane_step[2];
    const int64_t dy_column = s->column_step[1], taps_column = s->column_step[2], step = s->step[2], lo = s->lo[2];
    const uint64_t planes = (uint64_t)(s->hi[0] - s->lo[0]), rows = (uint64_t)(s->hi[1] - s->lo[1]),
                   width = (uint64_t)(s->hi[2] - lo);
    const int64_t plane = first[0] - s->lo[0], row = first[1] - s->lo[1], line = first[0] * s->step[0] + first[1] * s->step[1];
    int64_t begin = first[2];
    for (int64_t c = 0; c < columns; c++, begin += s->advance, dy += dy_column, taps += taps_column) {
        begin = starts == NULL ? begin : starts[c];
        for (int64_t l = 0; l < lanes; l++) {
            const int64_t tap = *(const uint8_t *)(taps + l * taps_lane);
            const cp_scatter_tap *t = &near[tap];
            if (tap < known && (uint64_t)(plane + t->away[0]) < planes && (uint64_t)(row + t->away[1]) < rows &&
                (uint64_t)(begin - lo + t->away[2]) < width) {
                CP_ELEMENT value;
                memcpy(&value, dy + l * dy_lane, sizeof value);
                NAME(add_at)(dx + (line + begin * step + t->bytes) + l * dx_lane, value);
            }
        }
    }
}

/* Neighbouring results of a row, whose windows begin at (first[0], first[1]) and starts[column], or first[2] + column * advance;
 * dx is position (0, 0, 0). */
static void NAME(scatter)(const cp_scatter *s, char *dx, const char *dy, const char *taps, const int64_t *first,
                          const int64_t *starts, int64_t columns)
{
    if (s->is_near && s->lanes == 1) {
        NAME(scatter_near)(1, s, dx, dy, taps, first, starts, columns);
        return;
    }
    if (s->is_near) {
        NAME(scatter_near)(s->lanes, s, dx, dy, taps, first, starts, columns);
        return;
    }
    int64_t begin[3] = {first[0], first[1], first[2]};
    for (int64_t c = 0; c < columns; c++, begin[2] += s->advance, dy += s->column_step[1], taps += s->column_step[2]) {
        begin[2] = starts == NULL ? begin[2] : starts[c];
        for (int64_t l = 0; l < s->lanes; l++) {
            char *place = NAME(tap_place)(s, dx, begin, cp_read_tap(taps + l * s->lane_step[2], s->bits));
            if (place != NULL) {
                CP_ELEMENT value;
                memcpy(&value, dy + l * s->lane_step[1], sizeof value);
                NAME(add_at)(place + l * s->lane_step[0], value);
            }
        }
    }
}

/* Zeros, before anything is added. */
static void NAME(clear)(char *dx, int64_t columns, int64_t column_step, int64_t lanes, int64_t lane_step)
{
    const int64_t size = (int64_t)sizeof(CP_ELEMENT);
    if (lane_step == size && column_step == lanes * size) {
        lanes *= columns;
        columns = 1;
    } else if (lanes == 1 && column_step == size) {
        lanes = columns;
        lane_step = size;
        columns = 1;
    }
    for (int64_t c = 0; c < columns; c++, dx += column_step) {
        if (lane_step == size) {
            memset(dx, 0, (size_t)(lanes * size));
            continue;
        }
        for (int64_t l = 0; l < lanes; l++) {
            memset(dx + l * lane_step, 0, (size_t)size);
        }
    }
}
