/* The primitive vocabulary, in its plainest form: one lane per vector. Every other isa/vec_*.h defines exactly these names, and
 * nothing above isa/ uses anything else. tests/c/check_vec.c holds every one of them to the text below, on edge values.
 *
 * For each lane type L in f32, f64 (element type `float`, `double`):
 *   vL, vL_mask, vL_N             the vector, the comparison mask, the number of lanes (a macro)
 *   load store                    N elements at any alignment
 *   load_n(p, n, fill)            n of them, 0 < n < N, the other lanes `fill`; touches nothing beyond p[n - 1]
 *   store_n(p, v, n)              likewise
 *   set1
 *   add sub mul div sqrt          IEEE, round to nearest even, never fused
 *   abs                           clears the sign bit
 *   max min                       NaN if either operand is NaN; of +0 and -0 either
 *   gt eq                         false where an operand is NaN
 *   isnan
 *   mask_and mask_or mask_andnot  andnot(a, b) is a and not b
 *   select(m, a, b)               a where m, else b; bit for bit
 * For f64 also integers of the same width, vf64_int:
 *   bits from_bits                the same 64 bits, as the other type
 *   int_set1 int_add int_sub int_and
 *   int_shl(v, n) int_shr(v, n)   by a constant; shr is logical
 */
#ifndef CP_ISA_VEC_SCALAR_H
#define CP_ISA_VEC_SCALAR_H

#include <stdint.h>
#include <string.h>

#define CP_VEC static inline

#define vf32_N 1
#define vf64_N 1
typedef float vf32;
typedef double vf64;
typedef int vf32_mask;
typedef int vf64_mask;
typedef uint64_t vf64_int;
