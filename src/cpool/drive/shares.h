/* Gradients of averages over large windows in steps of 1: the results that hold an element are a window themselves, and their
 * shares are summed like its elements. */
#ifndef CP_DRIVE_SHARES_H
#define CP_DRIVE_SHARES_H

#include "drive/strip.h"

typedef struct cp_shares {
    cp_pool sum; /* of shares, as a pool of its own, whose x is the gradient of results */
    cp_strips strips;
} cp_shares;

/* Whether a backward pool can be done this way. */
int cp_shares_plan(cp_shares *shares, const cp_pool *pool);

/* A body for cp_engine_run over shares->strips.units; arg is the shares. */
void cp_shares_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
