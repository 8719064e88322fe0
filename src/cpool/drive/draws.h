/* Random numbers of results, by their places: the same whatever the layout, the tile and the order. */
#ifndef CP_DRIVE_DRAWS_H
#define CP_DRIVE_DRAWS_H

#include "drive/engine.h"
#include "plan/layout.h"

/* Results from `column` of row (d, h) on, of `lanes` lanes from `lane` on of planes `outer`. */
typedef struct cp_draw_row {
    int64_t outer, lane, lanes, d, h, column, count;
} cp_draw_row;

/* u, [column][lane]: a number for each, drawn for its linear index, or for that of what shares a draw; n of them, a multiple of
 * CP_TAP_LANES, of which those behind the row mean nothing. */
void cp_draws(const cp_engine *engine, const cp_pool *pool, const cp_layout *layout, const cp_draw_row *row,
              int32_t granularity, double *u, int64_t n);

/* The same of CPOOL_REGION within 2^-24, 1 at most; `scratch` has room for as many doubles. */
void cp_draws_float(const cp_engine *engine, const cp_pool *pool, const cp_layout *layout, const cp_draw_row *row,
                    double *scratch, float *u, int64_t n);

#endif
