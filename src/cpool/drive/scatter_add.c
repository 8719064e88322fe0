/* The gradient of a selection: dy is added where the tap says, results in ascending order. Taps
 * are not trusted: what is none, not of the window or not among the positions to be written is
 * left out. Written once for every element type; there is nothing in it for vectors. */
#include "drive/scatter_add.h"

#include <string.h>

#include "integers.h"
#include "kernels/taps.h"
#include "kernels/template.h"

/* Bytes of a row of sums that are not worth a call. */
enum { FEW_BYTES = 512 };

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

/* Whether a window that begins at position `first` is among those to be written, along an axis. */
static inline int is_within(const cp_scatter *s, const int64_t *first, int a)
{
    return first[a] >= s->lo[a] && first[a] + (s->window[a] - 1) * s->dilation[a] < s->hi[a];
}

/* `count` results one behind the other, taps of which have known places, of so many planes by turns: sums of the same element
 * wait for each other. bits: 8 or 0, those of the scatter; step: bytes from one result to the next; to: where the window of the
 * first one begins. */
CP_TEMPLATE void scatter_run(cp_add add, int bits, int planes, const int64_t *step, const cp_scatter *s, char *to,
                             const char *dy, const char *taps, int64_t count)
{
    const uint64_t known = (uint64_t)s->taps;
    const int64_t *near = s->near, to_plane = s->lane_step[0], dy_plane = s->lane_step[1], taps_plane = s->lane_step[2];
    for (int64_t i = 0; i < count; i++, to += step[0], dy += step[1], taps += step[2]) {
        CP_UNROLL
        for (int p = 0; p < planes; p++) {
            const char *tap_at = taps + p * taps_plane;
            const uint64_t tap = bits == 8 ? *(const uint8_t *)tap_at : (uint64_t)cp_read_tap(tap_at, s->bits);
            if (tap < known) {
                add(to + p * to_plane + near[tap], dy + p * dy_plane);
            }
        }
    }
}

/* Rows of some planes by turns, columns of which lie side by side and slide, taps of which have known places. */
CP_TEMPLATE void scatter_planes(cp_add add, int bits, int planes, int64_t size, const cp_scatter *s, char *to, const char *dy,
                                const char *taps, int64_t rows, int64_t columns)
{
    const int64_t step[3] = {s->advance * s->step[2], size, bits == 8 ? 1 : s->column_step[2]};
    for (int64_t r = 0; r < rows; r++) {
        scatter_run(add, bits, planes, step, s, to + r * s->row_advance * s->step[1], dy + r * s->row_step[1],
                    taps + r * s->row_step[2], columns);
    }
}

/* A row of pixels, taps of which have known places. */
CP_TEMPLATE void scatter_pixels(cp_add add, int bits, int64_t size, const cp_scatter *s, char *to, const char *dy,
                                const char *taps, const int64_t *first, const int64_t *starts, int64_t columns)
{
    const int64_t *column = s->column_step;
    for (int64_t c = 0; c < columns; c++) {
        const char *pixel = dy + c * column[1], *taps_pixel = taps + c * column[2];
        const int64_t at = (starts == NULL ? first[2] + c * s->advance : starts[c]) * s->step[2];
        if (columns - c > CP_SCATTER_AHEAD) { /* pixels far apart */
            for (int64_t byte = 0; byte < s->lanes * size; byte += CP_LINE) {
                CP_PREFETCH(pixel + CP_SCATTER_AHEAD * column[1] + byte);
            }
            CP_PREFETCH(taps_pixel + CP_SCATTER_AHEAD * column[2]);
        }
        scatter_run(add, bits, 1, s->lane_step, s, to + at, pixel, taps_pixel, s->lanes);
    }
}

/* Taps whose place is known. bits: 8 or 0, those of the scatter; size: of an element. */
CP_TEMPLATE void scatter_near(cp_add add, int bits, int64_t size, const cp_scatter *s, char *to, const char *dy,
                              const char *taps, const int64_t *first, const int64_t *starts, int64_t rows, int64_t columns)
{
    const int64_t *lane = s->lane_step;
    to += first[0] * s->step[0] + first[1] * s->step[1];
    /* Columns lie side by side. The step of a single one may be anything. */
    if (starts == NULL && columns > 1 && s->column_step[1] == size && s->column_step[2] * 8 == s->bits) {
        to += first[2] * s->step[2];
        int64_t l = 0;
        for (; l + 4 <= s->lanes; l += 4) {
            scatter_planes(add, bits, 4, size, s, to + l * lane[0], dy + l * lane[1], taps + l * lane[2], rows, columns);
        }
        for (; l < s->lanes; l++) {
            scatter_planes(add, bits, 1, size, s, to + l * lane[0], dy + l * lane[1], taps + l * lane[2], rows, columns);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        scatter_pixels(add, bits, size, s, to + r * s->row_advance * s->step[1], dy + r * s->row_step[1],
                       taps + r * s->row_step[2], first, starts, columns);
    }
}

/* A row of taps, some of which have no place that is known. */
CP_TEMPLATE void scatter_open(cp_add add, const cp_scatter *s, char *to, const char *dy, const char *taps, int64_t plane,
                              int64_t row, const int64_t *first, const int64_t *starts, int64_t columns)
{
    int64_t begin[3] = {plane, row, first[2]};
    const int rows_within = s->near != NULL && is_within(s, begin, 0) && is_within(s, begin, 1);
    for (int64_t c = 0; c < columns; c++, begin[2] += s->advance) {
        const char *pixel = dy + c * s->column_step[1], *taps_pixel = taps + c * s->column_step[2];
        begin[2] = starts == NULL ? begin[2] : starts[c];
        if (rows_within && is_within(s, begin, 2)) {
            const int64_t at = begin[0] * s->step[0] + begin[1] * s->step[1] + begin[2] * s->step[2];
            scatter_run(add, 0, 1, s->lane_step, s, to + at, pixel, taps_pixel, s->lanes);
            continue;
        }
        for (int64_t l = 0; l < s->lanes; l++) {
            char *place = tap_place(s, to, begin, cp_read_tap(taps_pixel + l * s->lane_step[2], s->bits));
            if (place != NULL) {
                add(place + l * s->lane_step[0], pixel + l * s->lane_step[1]);
            }
        }
    }
}

CP_TEMPLATE void scatter(cp_add add, int64_t size, const cp_scatter *given, char *to, const char *dy, const char *taps,
                         const int64_t *first, const int64_t *starts, int64_t rows, int64_t columns)
{
    const cp_scatter own = *given, *s = &own; /* that no store can be thought to change */
    if (s->near != NULL && !s->is_open && s->bits == 8) {
        scatter_near(add, 8, size, s, to, dy, taps, first, starts, rows, columns);
        return;
    }
    if (s->near != NULL && !s->is_open) {
        scatter_near(add, 0, size, s, to, dy, taps, first, starts, rows, columns);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        scatter_open(add, s, to, dy + r * s->row_step[1], taps + r * s->row_step[2], first[0], first[1] + r * s->row_advance,
                     first, starts, columns);
    }
}

/* Whole elements of 4 bytes or more, few of them: calling memcpy takes longer than that. Memory is told of as many as lie
 * `ahead` bytes further. */
static inline void copy_few(char *to, const char *from, int64_t bytes, int64_t ahead)
{
    for (int64_t byte = 0; byte < bytes; byte += CP_LINE) {
        CP_PREFETCH_WRITE(to + ahead + byte);
    }
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
        memcpy(to, from, 16);
    }
    for (; bytes > 0; bytes -= 4, to += 4, from += 4) {
        memcpy(to, from, 4);
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
    const int64_t ahead = outer > CP_SCATTER_AHEAD ? CP_SCATTER_AHEAD * outer_to : CP_AHEAD; /* pieces far apart, or not */
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < inner; i++) {
            char *at = to + o * outer_to + i * inner_to;
            if (from == NULL) {
                memset(at, 0, (size_t)(length * size));
            } else if (length * size <= FEW_BYTES) {
                copy_few(at, from + o * outer_from + i * inner_from, length * size, ahead);
            } else {
                memcpy(at, from + o * outer_from + i * inner_from, (size_t)(length * size));
            }
        }
    }
}

#define CP_ROW(name, code, bits, lane) \
    static void scatter_##name(const cp_scatter *s, char *to, const char *dy, const char *taps, const int64_t *first, \
                               const int64_t *starts, int64_t rows, int64_t columns) \
    { \
        scatter(cp_add_##name, (bits) / 8, s, to, dy, taps, first, starts, rows, columns); \
    }
CP_DTYPE_LIST(CP_ROW)
#undef CP_ROW

const cp_scatter_function cp_scatter_add[CP_DTYPES] = {
#define CP_ROW(name, code, bits, lane) scatter_##name,
    CP_DTYPE_LIST(CP_ROW)
#undef CP_ROW
};
