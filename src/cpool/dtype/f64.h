/* double in memory, at any alignment. Every element type is exact in a double; the conversion to lanes folds away. */
#ifndef CP_DTYPE_F64_H
#define CP_DTYPE_F64_H

#include <string.h>

static inline double cp_read_f64(const char *address)
{
    double value;
    memcpy(&value, address, sizeof value);
    return value;
}

static inline void cp_write_f64(char *address, double value)
{
    double stored = (double)value;
    memcpy(address, &stored, sizeof stored);
}

/* Adds the element at `value` to that at `address`. */
static inline void cp_add_f64(char *address, const char *value)
{
    double sum, term;
    memcpy(&sum, address, sizeof sum);
    memcpy(&term, value, sizeof term);
    sum += term;
    memcpy(address, &sum, sizeof sum);
}

#endif
