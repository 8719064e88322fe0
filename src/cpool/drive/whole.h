/* Averages over whole planes, and their gradient; the largest or smallest elements of planes in one piece, and of pixels. */
#ifndef CP_DRIVE_WHOLE_H
#define CP_DRIVE_WHOLE_H

#include "drive/engine.h"
#include "plan/layout.h"

typedef struct cp_wholes {
    const cp_engine *engine;
    int32_t direction, dtype;
    int32_t selects, fold, lane_kind; /* the largest or smallest elements are wanted, in lanes of their kind; else averages */
    cp_layout layout;
    cp_whole whole;
    int64_t taps_step;     /* bytes from the number of one plane's element to that of the next */
    int64_t group, groups; /* planes at equal distances, or lanes, at once */
    int64_t units;
    int64_t elements, blocks, levels; /* of a plane; sums of blocks are kept in so many levels */
    size_t row_bytes, bytes;          /* of a sum of each plane; per worker */
} cp_wholes;

/* Whether this is to be done this way, as all averages are. */
int cp_wholes_plan(cp_wholes *wholes, const cp_pool *pool, int32_t direction);

/* A body for cp_engine_run over wholes->units; arg is the wholes. */
void cp_wholes_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
