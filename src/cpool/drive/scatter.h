/* The gradient of selections, by adding each result's where it was selected: in any layout, for windows of any kind. */
#ifndef CP_DRIVE_SCATTER_H
#define CP_DRIVE_SCATTER_H

#include "drive/engine.h"
#include "plan/layout.h"

typedef struct cp_scatters {
    const cp_pool *pool;
    const cp_engine *engine;
    cp_layout layout;
    int64_t tile, tiles; /* lanes at once */
    int32_t cut;         /* the axis that planes are cut along, into */
    int64_t band, bands; /* so many positions, and how many times that */
    int64_t units;
    int64_t taps;            /* of a window, at most what an integer counts */
    int32_t are_few;         /* results: hardly any element was selected */
    int32_t is_near;         /* where taps lie is in a table */
    int32_t has_field;       /* sums are made in scratch, where windows that reach beyond the plane have room */
    int64_t field[CP_SPACE]; /* positions of that along each axis, at most */
    int64_t field_step[CP_SPACE], field_lane;
    size_t start_bytes, near_bytes, field_bytes, bytes; /* per worker */
} cp_scatters;

/* For a backward pass of a selection; never fails. */
void cp_scatters_plan(cp_scatters *scatters, const cp_pool *pool);

/* A body for cp_engine_run over scatters->units; arg is the scatters. */
void cp_scatters_run(void *arg, int64_t lo, int64_t hi, int worker);

#endif
