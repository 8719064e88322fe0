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

static inline int64_t cp_ceil_div(int64_t a, int64_t b) /* a >= 0, b > 0 */
{
    return a / b + (a % b != 0);
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
