/* The gradient of a selection: dy is added where the tap says, results in ascending order. Taps
 * are not trusted: what is none, not of the window or not among the positions to be written is
 * left out. Written once for every element type; there is nothing in it for vectors. */
#include "drive/scatter_add.h"

#include <string.h>

#include "kernels/taps.h"
#include "kernels/template.h"

/* Adds the element at `value` to that at `at`. */
typedef void (*cp_add)(char *at, const char *value);

/* Where a tap of the window that begins at position `first` lies, or NULL. */
static inline char *tap_place(const cp_scatter *s, char *origin, const int64_t *first, int64_t tap)
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

/* Taps whose place is known. bits and lanes: 8 or 0, 1 or 0: those of the scatter. */
CP_TEMPLATE void scatter_near(cp_add add, int bits, int64_t lanes, const cp_scatter *s, char *to, const char *dy,
                              const char *taps, const int64_t *first, const int64_t *starts, int64_t columns)
{
    const uint64_t known = (uint64_t)s->taps;
    const int64_t *near = s->near, to_lane = s->lane_step[0], dy_lane = s->lane_step[1], taps_lane = s->lane_step[2];
    const int64_t dy_column = s->column_step[1], taps_column = s->column_step[2], step = s->step[2];
    char *line = to + first[0] * s->step[0] + first[1] * s->step[1];
    int64_t begin = first[2];
    lanes = lanes == 0 ? s->lanes : lanes;
    for (int64_t c = 0; c < columns; c++, begin += s->advance) {
        const char *pixel = dy + c * dy_column, *taps_pixel = taps + c * taps_column;
        if (lanes != 1 && columns - c > CP_SCATTER_AHEAD) { /* pixels far apart */
            CP_PREFETCH(pixel + CP_SCATTER_AHEAD * dy_column);
            CP_PREFETCH(taps_pixel + CP_SCATTER_AHEAD * taps_column);
        }
        char *window = line + (starts == NULL ? begin : starts[c]) * step;
        for (int64_t l = 0; l < lanes; l++) {
            const char *at = taps_pixel + l * taps_lane;
            const uint64_t tap = bits == 8 ? *(const uint8_t *)at : (uint64_t)cp_read_tap(at, s->bits);
            if (tap < known) {
                add(window + near[tap] + l * to_lane, pixel + l * dy_lane);
            }
        }
    }
}

CP_TEMPLATE void scatter(cp_add add, const cp_scatter *given, char *to, const char *dy, const char *taps, const int64_t *first,
                         const int64_t *starts, int64_t columns)
{
    const cp_scatter own = *given, *s = &own; /* that no store can be thought to change */
    if (s->near != NULL && s->bits == 8 && s->lanes == 1) {
        scatter_near(add, 8, 1, s, to, dy, taps, first, starts, columns);
        return;
    }
    if (s->near != NULL && s->bits == 8) {
        scatter_near(add, 8, 0, s, to, dy, taps, first, starts, columns);
        return;
    }
    if (s->near != NULL) {
        scatter_near(add, 0, 0, s, to, dy, taps, first, starts, columns);
        return;
    }
    int64_t begin[3] = {first[0], first[1], first[2]};
    for (int64_t c = 0; c < columns; c++, begin[2] += s->advance) {
        const char *pixel = dy + c * s->column_step[1], *taps_pixel = taps + c * s->column_step[2];
        begin[2] = starts == NULL ? begin[2] : starts[c];
        for (int64_t l = 0; l < s->lanes; l++) {
            char *place = tap_place(s, to, begin, cp_read_tap(taps_pixel + l * s->lane_step[2], s->bits));
            if (place != NULL) {
                add(place + l * s->lane_step[0], pixel + l * s->lane_step[1]);
            }
        }
    }
}

void cp_scatter_settle(int64_t size, char *to, const int64_t *to_step, const char *from, const int64_t *from_step,
                       int64_t columns, int64_t lanes)
{
    /* Pieces of `length` elements, those of an outer run apart from those of an inner one. */
    int64_t outer = columns, inner = lanes, length = 1, outer_to = to_step[0], inner_to = to_step[1];
    int64_t outer_from = from_step[0], inner_from = from_step[1];
    if (lanes == 1 || to_step[0] < to_step[1]) {
        outer = lanes, inner = columns;
        outer_to = to_step[1], inner_to = to_step[0];
        outer_from = from_step[1], inner_from = from_step[0];
    }
    if (inner_to == size && inner_from == size) {
        length = inner;
        inner = 1;
    }
    if (inner == 1 && outer_to == length * size && outer_from == length * size) {
        length *= outer;
        outer = 1;
    }
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < inner; i++) {
            char *at = to + o * outer_to + i * inner_to;
            if (from == NULL) {
                memset(at, 0, (size_t)(length * size));
            } else {
                memcpy(at, from + o * outer_from + i * inner_from, (size_t)(length * size));
            }
        }
    }
}

#define CP_ROW(name, code, bits, lane) \
    static void scatter_##name(const cp_scatter *s, char *to, const char *dy, const char *taps, const int64_t *first, \
                               const int64_t *starts, int64_t columns) \
    { \
        scatter(cp_add_##name, s, to, dy, taps, first, starts, columns); \
    }
CP_DTYPE_LIST(CP_ROW)
#undef CP_ROW

const cp_scatter_function cp_scatter_add[CP_DTYPES] = {
#define CP_ROW(name, code, bits, lane) scatter_##name,
    CP_DTYPE_LIST(CP_ROW)
#undef CP_ROW
};
