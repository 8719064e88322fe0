/* Window offsets in memory, and where they lie. Their contents are not trusted. */
#ifndef CP_KERNELS_TAPS_H
#define CP_KERNELS_TAPS_H

#include <stdint.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/template.h"

static inline int64_t cp_read_tap(const char *at, int bits) /* -1: none */
{
    int32_t tap32;
    int64_t tap64;
    if (bits == 8) {
        uint8_t tap = *(const uint8_t *)at;
        return tap == 255 ? -1 : tap;
    }
    if (bits == 32) {
        memcpy(&tap32, at, sizeof tap32);
        return tap32;
    }
    memcpy(&tap64, at, sizeof tap64);
    return tap64;
}

static inline double cp_tap_offset(const cp_tap_map *map, int64_t tap) /* NaN: none, or not of this window */
{
    if ((uint64_t)tap < 256) {
        return map->near[tap];
    }
    if (tap < 0 || tap / map->taps[2] / map->taps[1] >= map->taps[0]) {
        return cp_nan();
    }
    int64_t row = tap / map->taps[2], plane = row / map->taps[1];
    return (double)plane * map->weight[0] + (double)(row % map->taps[1]) * map->weight[1] +
           (double)(tap % map->taps[2]) * map->weight[2];
}

#endif
