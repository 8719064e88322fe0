/* Arithmetic of sizes. */
#ifndef CP_INTEGERS_H
#define CP_INTEGERS_H

#include <stddef.h>
#include <stdint.h>

static inline int64_t cp_min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t cp_max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Divisions take longer than all else that a small call does, and in most of them there is nothing to divide. */
static inline int64_t cp_ceil_div(int64_t a, int64_t b) /* a >= 0, b > 0 */
{
    return a <= b ? a > 0 : b == 1 ? a : a / b + (a % b != 0);
}

/* The last digit of an index of which it has `n` values; the index is what is before it. */
static inline int64_t cp_take_digit(int64_t *index, int64_t n) /* *index >= 0, n > 0 */
{
    int64_t all = *index;
    if (n == 1) {
        return 0;
    }
    *index = all < n ? 0 : all / n;
    return all < n ? all : all % n;
}

/* How many of `each` fit into `room`: 1 at least, `most` at most. */
static inline int64_t cp_fitting(int64_t most, int64_t room, int64_t each) /* most >= 0, each > 0 */
{
    if (most <= INT32_MAX && each <= INT32_MAX && most * each <= room) {
        return most;
    }
    return cp_min64(most, cp_max64(1, room / each));
}

/* Bytes in whole cache lines: so many, and those of a row of lanes. */
enum { CP_LINE = 64 };

static inline size_t cp_round_up(size_t bytes)
{
    return (bytes + CP_LINE - 1) / CP_LINE * CP_LINE;
}

static inline size_t cp_row_bytes(int64_t lanes, int64_t lane_size)
{
    return cp_round_up((size_t)lanes * (size_t)lane_size);
}

#endif
