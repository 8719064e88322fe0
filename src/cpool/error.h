/* Reporting what is wrong with an argument. */
#ifndef CP_ERROR_H
#define CP_ERROR_H

#include "cpool/cpool.h"

#if defined(__GNUC__)
#  define CP_PRINTF(string, first) __attribute__((__format__(__printf__, string, first)))
#else
#  define CP_PRINTF(string, first)
#endif

/* Fills *error (if not NULL and of a known size) and returns status. */
cpool_status cp_fail(cpool_error *error, cpool_status status, int32_t role, const char *format, ...) CP_PRINTF(4, 5);

/* "(3, 5)", or "3" for a single number, as the caller wrote it; for messages. */
typedef struct cp_text {
    char text[96];
} cp_text;
cp_text cp_format_sizes(const int64_t *sizes, int32_t n);

/* The same of a shape, always as a tuple: "(3,)". */
cp_text cp_format_shape(const int64_t *shape, int32_t n);

#endif
