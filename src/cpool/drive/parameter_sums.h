/* Gradients of parameters: sums of one term for each window, in double, in an order that geometry alone fixes. Output rows are cut
 * into blocks of CP_PARAMETER_ROWS, columns into segments; a segment of a block is summed in virtual lanes, column modulo 16, which
 * are folded by halves; segments are added in order; blocks and planes in a tree. */
#ifndef CP_DRIVE_PARAMETER_SUMS_H
#define CP_DRIVE_PARAMETER_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "cpool/cpool.h"

enum { CP_PARAMETER_ROWS = 64, CP_PARAMETER_SEGMENT = 32 };

/* The sums of one block, for some planes (lanes) at once. */
typedef struct cp_parameter_sums {
    double *memory; /* cp_parameter_sums_bytes */
    int64_t lanes;
} cp_parameter_sums;

size_t cp_parameter_sums_bytes(int64_t lanes);
void cp_parameter_sums_begin(cp_parameter_sums *sums, int64_t lanes);
/* Terms of `count` columns, the first of them `column` behind a segment's first, lanes fastest; rows of the block in order. */
void cp_parameter_sums_add(cp_parameter_sums *sums, const double *terms, int64_t column, int64_t count);
void cp_parameter_sums_close(cp_parameter_sums *sums); /* ends a segment */
double cp_parameter_sums_total(const cp_parameter_sums *sums, int64_t lane);

/* partials[plane][number][block] of all planes, in logical order with `channels` fastest, to a gradient of a row for every channel:
 * `count`, from `first` on, of the `numbers` that every plane has. Elements of the gradient are in C order of its shape.
 * Without planes there are no partials (NULL). */
void cp_parameter_sums_reduce(const double *partials, int64_t planes, int64_t numbers, int64_t blocks, int64_t channels,
                              int64_t first, int64_t count, const cpool_view *gradient);

#endif
