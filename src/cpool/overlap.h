/* Do views share memory? Decided by element, not by address range: interleaved views that share no byte pass.
 *
 * Both take views of validated shape and strides: sum(|stride| * (n - 1)) + itemsize of a view that is not empty fits in
 * int64_t (axes of length 1 and their strides count for nothing). Nothing is read through `data`.
 *
 * Finding out is NP-hard for strides made up to be hard. The answer is exact unless the search exceeds a fixed amount of work
 * (some milliseconds); then it is 1. Slices, steps, flips and transposes of one array come nowhere near.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef CP_OVERLAP_H
#define CP_OVERLAP_H

#include "cpool/cpool.h"

/* 1 if some element of a shares a byte with some element of b. Empty views share nothing. */
int cp_overlap(const cpool_view *a, const cpool_view *b);

/* 1 if two different elements (index tuples) of a share a byte. */
int cp_overlap_self(const cpool_view *a);

#endif
