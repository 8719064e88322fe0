/* The gradient of a selection: dy is added where the tap says, results in ascending order. Taps are not trusted: what is none, not
 * of the window or not among the positions to be written is left out. */

CP_TEMPLATE void NAME(add_at)(char *at, CP_ELEMENT value)
{
    CP_ELEMENT sum;
    memcpy(&sum, at, sizeof sum);
    sum += value;
    memcpy(at, &sum, sizeof sum);
}

/* Where position (d, h, w) plus tap lies, or NULL. */
CP_TEMPLATE char *NAME(tap_place)(const cp_scatter *s, char *origin, const int64_t *first, int64_t tap)
{
    if (tap < 0 || tap >= s->taps) {
        return NULL;
    }
    int64_t at[3];
    if (tap < CP_SCATTER_NEAR) {
        for (int a = 0; a < 3; a++) {
            at[a] = s->place[tap][a];
        }
    } else {
        int64_t row = tap / s->window[2];
        at[0] = row / s->window[1];
        at[1] = row % s->window[1];
        at[2] = tap % s->window[2];
    }
    for (int a = 0; a < 3; a++) {
        at[a] = first[a] + at[a] * s->dilation[a];
        if (at[a] < s->lo[a] || at[a] >= s->hi[a]) {
            return NULL;
        }
        origin += at[a] * s->step[a];
    }
    return origin;
}

/* Neighbouring results of a row, whose windows begin at (first[0], first[1]) and starts[column], or first[2] + column * advance;
 * dx is position (0, 0, 0). */
static void NAME(scatter)(const cp_scatter *given, char *dx, const char *dy, const char *taps, const int64_t *first,
                          const int64_t *starts, int64_t columns)
{
    const cp_scatter own = *given, *s = &own; /* that no store can be thought to change */
    int inside = s->bits == 8;                /* whatever the row's windows hold is to be written, but for the columns */
    for (int a = 0; a < 2; a++) {
        inside = inside && first[a] >= s->lo[a] && first[a] + (s->window[a] - 1) * s->dilation[a] < s->hi[a];
    }
    const int64_t reach = (s->window[2] - 1) * s->dilation[2];
    int64_t begin[3] = {first[0], first[1], first[2]};
    for (int64_t c = 0; c < columns; c++, begin[2] += s->advance, dy += s->column_step[1], taps += s->column_step[2]) {
        begin[2] = starts == NULL ? begin[2] : starts[c];
        CP_ELEMENT value;
        if (inside && begin[2] >= s->lo[2] && begin[2] + reach < s->hi[2]) {
            char *origin = dx + begin[0] * s->step[0] + begin[1] * s->step[1] + begin[2] * s->step[2];
            for (int64_t l = 0; l < s->lanes; l++) {
                int64_t tap = *(const uint8_t *)(taps + l * s->lane_step[2]);
                if (tap < s->taps) {
                    memcpy(&value, dy + l * s->lane_step[1], sizeof value);
                    NAME(add_at)(origin + s->near[tap] + l * s->lane_step[0], value);
                }
            }
            continue;
        }
        for (int64_t l = 0; l < s->lanes; l++) {
            char *place = NAME(tap_place)(s, dx, begin, cp_read_tap(taps + l * s->lane_step[2], s->bits));
            if (place != NULL) {
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
