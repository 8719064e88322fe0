/* Gradients of parameters: sums of one term for each window, in double, in an order that geometry alone fixes. Output rows are
 * cut into blocks of CP_PARAMETER_ROWS, columns into segments; a segment of a block is summed in virtual lanes, column modulo
 * 16, which are folded by halves; segments are added in order; blocks and planes in a tree. */
#ifndef CP_DRIVE_PARAMETER_SUMS_H
#define CP_DRIVE_PARAMETER_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "cpool/cpool.h"
#include "plan/layout.h"

enum { CP_PARAMETER_ROWS = 64, CP_PARAMETER_SEGMENT = 32 };

/* The sums of one block, for some planes (lanes) at once: [virtual lane][plane], to which kernels may add themselves
 * (cp_tap_sums of kernels/table.h), and the totals behind them. */
typedef struct cp_parameter_sums {
    double *memory; /* cp_parameter_sums_bytes: of each virtual lane those at hand, then of the segments that have ended */
    int64_t lanes;
} cp_parameter_sums;

size_t cp_parameter_sums_bytes(int64_t lanes);
void cp_parameter_sums_begin(cp_parameter_sums *sums, int64_t lanes);
/* Terms of `count` columns, the first of them `column` behind a segment's first, lanes fastest; rows of the block in order. */
void cp_parameter_sums_add(cp_parameter_sums *sums, const double *terms, int64_t column, int64_t count);
void cp_parameter_sums_close(cp_parameter_sums *sums); /* ends a segment */
double cp_parameter_sums_total(const cp_parameter_sums *sums, int64_t lane);

/* The same of several numbers, for lanes of a layout from `lane` on: the memory of each,
 * `pitch` doubles of it, is behind that of the one before. */
typedef struct cp_parameter_block {
    double *memory;
    int64_t numbers, pitch;
    const cp_layout *layout;
    int64_t outer, lane, lanes;
} cp_parameter_block;

cp_parameter_sums cp_parameter_block_sums(const cp_parameter_block *block, int64_t number);
void cp_parameter_block_begin(const cp_parameter_block *block);
/* Ends the block's last segment; its totals are element `at` of `blocks` of partials[plane][number]. */
void cp_parameter_block_end(const cp_parameter_block *block, double *partials, int64_t blocks, int64_t at);

/* partials[plane][number][block] of all planes, in logical order with `channels` fastest, to a gradient
 * of a row for every channel: `count`, from `first` on, of the `numbers` that every plane has. Elements
 * of the gradient are in C order of its shape. Without planes there are no partials (NULL). */
void cp_parameter_sums_reduce(const double *partials, int64_t planes, int64_t numbers, int64_t blocks, int64_t channels,
                              int64_t first, int64_t count, const cpool_view *gradient);

#endif
