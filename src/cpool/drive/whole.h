/* Averages over whole planes: of small ones, and the gradient over those of any size. */
#ifndef CP_DRIVE_WHOLE_H
#define CP_DRIVE_WHOLE_H

#include "drive/engine.h"
#include "plan/layout.h"

typedef struct cp_wholes {
    const cp_pool *pool;
    const cp_engine *engine;
    int32_t direction;
    cp_layout layout;
    cp_whole whole;
    int32_t inner;         /* dimension of planes at equal distances, or of lanes; -1: one plane */
    int64_t group, groups; /* of them at once */
    int64_t units;
    int32_t turned;       /* planes become pixels in scratch, TURNED at once */
    int64_t length, rows; /* elements that lie side by side, and how many times that */
    size_t bytes;         /* per worker */
} cp_wholes;

/* Whether an average over whole planes of float or double can be done this way. */
int cp_wholes_plan(cp_wholes *wholes, const cp_pool *pool, int32_t direction);

/* A body for cp_engine_run over wholes->units; arg is the wholes. */
void cp_wholes_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
