#include "drive/parameter_sums.h"

#include <string.h>

#include "dtype/list.h"
#include "integers.h"
#include "kernels/table.h"
#include "plan/pool.h"

size_t cp_parameter_sums_bytes(int64_t lanes)
{
    return cp_row_bytes(lanes * (CP_TERM_LANES + 1), sizeof(double));
}

void cp_parameter_sums_begin(cp_parameter_sums *sums, int64_t lanes)
{
    sums->lanes = lanes;
    memset(sums->memory, 0, (size_t)((CP_TERM_LANES + 1) * lanes) * sizeof(double));
}

static void add_row(double *restrict sum, const double *restrict terms, int64_t n)
{
    enum { TOGETHER = 16 }; /* of a constant compilers make vectors */
    int64_t i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER) {
        for (int j = 0; j < TOGETHER; j++) {
            sum[i + j] += terms[i + j];
        }
    }
    for (; i < n; i++) {
        sum[i] += terms[i];
    }
}

void cp_parameter_sums_add(cp_parameter_sums *sums, const double *terms, int64_t column, int64_t count)
{
    for (int64_t i = 0; i < count;) {
        int64_t lane = (column + i) % CP_TERM_LANES, together = cp_min64(CP_TERM_LANES - lane, count - i);
        add_row(sums->memory + lane * sums->lanes, terms + i * sums->lanes, together * sums->lanes);
        i += together;
    }
}

void cp_parameter_sums_close(cp_parameter_sums *sums)
{
    double *sum = sums->memory, *total = sum + CP_TERM_LANES * sums->lanes;
    for (int64_t half = CP_TERM_LANES / 2; half > 0; half /= 2) {
        for (int64_t i = 0; i < half * sums->lanes; i++) {
            sum[i] += sum[i + half * sums->lanes];
        }
    }
    for (int64_t l = 0; l < sums->lanes; l++) {
        total[l] += sum[l];
    }
    memset(sum, 0, (size_t)(CP_TERM_LANES * sums->lanes) * sizeof(double));
}

double cp_parameter_sums_total(const cp_parameter_sums *sums, int64_t lane)
{
    return sums->memory[CP_TERM_LANES * sums->lanes + lane];
}

cp_parameter_sums cp_parameter_block_sums(const cp_parameter_block *block, int64_t number)
{
    return (cp_parameter_sums){block->memory + number * block->pitch, block->lanes};
}

void cp_parameter_block_begin(const cp_parameter_block *block)
{
    for (int64_t k = 0; k < block->numbers; k++) {
        cp_parameter_sums sums = cp_parameter_block_sums(block, k);
        cp_parameter_sums_begin(&sums, block->lanes);
    }
}

void cp_parameter_block_end(const cp_parameter_block *block, double *partials, int64_t blocks, int64_t at)
{
    for (int64_t k = 0; k < block->numbers; k++) {
        cp_parameter_sums sums = cp_parameter_block_sums(block, k);
        cp_parameter_sums_close(&sums);
        for (int64_t l = 0; l < block->lanes; l++) {
            int64_t plane = cp_layout_plane(block->layout, block->outer, block->lane + l);
            partials[(plane * block->numbers + k) * blocks + at] = cp_parameter_sums_total(&sums, l);
        }
    }
}

/* Values from the first on, in runs of `run`, `gap` from the first of one to the first of the next. */
typedef struct cp_terms {
    const double *values;
    int64_t first, run, gap;
} cp_terms;

/* Sum of n values, in blocks of powers of 4 from the left, each (a + b) + (c + d) of its quarters. */
static double sum_block(const cp_terms *terms, int64_t from, int64_t size)
{
    if (size == 1) {
        return terms->values[terms->first + from / terms->run * terms->gap + from % terms->run];
    }
    int64_t quarter = size / 4;
    return (sum_block(terms, from, quarter) + sum_block(terms, from + quarter, quarter)) +
           (sum_block(terms, from + 2 * quarter, quarter) + sum_block(terms, from + 3 * quarter, quarter));
}

static double sum_terms(const cp_terms *terms, int64_t n)
{
    double sum = 0;
    int64_t size = 1, from = 0;
    while (size <= n / 4) {
        size *= 4;
    }
    for (; size > 0; size /= 4) {
        for (; n - from >= size; from += size) {
            sum += sum_block(terms, from, size);
        }
    }
    return sum;
}

void cp_parameter_sums_reduce(const double *partials, int64_t planes, int64_t numbers, int64_t blocks, int64_t channels,
                              int64_t first, int64_t count, const cpool_view *gradient)
{
    for (int64_t i = 0; i < channels * count; i++) {
        int64_t number = i / count * numbers + first + i % count;
        cp_terms terms = {partials, number * blocks, blocks, channels * numbers * blocks};
        double sum = sum_terms(&terms, planes / channels * blocks);
        char *at = cp_view_element(gradient, i);
        if (gradient->dtype_bits == 32) {
            cp_write_f32(at, sum);
        } else {
            cp_write_f64(at, sum);
        }
    }
}
