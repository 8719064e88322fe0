/* Results that float could not hold were left NaN (weighted.h, ranked*.h): they are made the general way, the others stay. */
#ifndef CP_DRIVE_MEND_H
#define CP_DRIVE_MEND_H

#include <stdint.h>

/* Whether some are missing of those that are there. */
static inline int cp_mend_any(const double *there, int64_t n)
{
    int any = 0;
    for (int64_t i = 0; i < n; i++) {
        any |= there[i] != there[i];
    }
    return any;
}

static inline void cp_mend_keep(double *result, const double *there, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        result[i] = there[i] != there[i] ? result[i] : there[i];
    }
}

#endif
