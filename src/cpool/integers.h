/* Arithmetic of sizes. */
#ifndef CP_INTEGERS_H
#define CP_INTEGERS_H

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

#endif
