/* The quick ways of a call, for planes and windows that suit them; the walk does everything else, and the bits are the same. */
#ifndef CP_DRIVE_QUICK_H
#define CP_DRIVE_QUICK_H

#include "drive/collect.h"
#include "drive/few.h"
#include "drive/scatter.h"
#include "drive/shares.h"
#include "drive/strip.h"
#include "drive/whole.h"

typedef struct cp_quick {
    cp_engine engine;
    cp_cost cost;
    int64_t units;
    cp_body body;
    union {
        cp_few few;
        cp_strips strips;
        cp_scatters scatters;
        cp_collects collects;
        cp_shares shares;
        cp_wholes wholes;
    } way;
} cp_quick;

/* Whether there is one. */
int cp_quick_plan(cp_quick *quick, const cp_pool *pool, int32_t direction);
cpool_status cp_quick_run(cp_quick *quick, const cpool_exec *exec);

#endif
