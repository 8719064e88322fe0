/* The largest of a row: a heap of those kept so far, the worst of them on top, then a sort by position. */
#ifndef CP_DRIVE_KEPT_H
#define CP_DRIVE_KEPT_H

#include <stdint.h>

typedef struct cp_kept {
    double value;
    int64_t at;
} cp_kept;

/* Keeps the next one, if it is among the `most` best of n that are kept and it; NaN is the best, of equals the first is better.
 * Returns how many are kept. They are offered by ascending position. */
int64_t cp_kept_offer(cp_kept *kept, int64_t n, int64_t most, cp_kept next);

/* Sorts by position. */
void cp_kept_sort(cp_kept *kept, int64_t n);

#endif
