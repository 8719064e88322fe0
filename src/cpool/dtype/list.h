/* The element types of arrays, a row each: name, DLPack code and bits, and the lanes it is computed in. dtype/<name>.h defines
 * cp_read_<name>, cp_write_<name> and cp_add_<name>; kernels, checks and tests find the type through this list. */
#ifndef CP_DTYPE_LIST_H
#define CP_DTYPE_LIST_H

#include "dtype/f32.h"
#include "dtype/f64.h"

/* clang-format off */
#define CP_DTYPE_LIST(ROW) \
    ROW(f32, CPOOL_FLOAT, 32, f32) \
    ROW(f64, CPOOL_FLOAT, 64, f64)
/* clang-format on */

/* CP_DTYPE_f32, ...: positions in the list and in the kernel tables. */
enum {
#define CP_ENUM(name, code, bits, lane) CP_DTYPE_##name,
    CP_DTYPE_LIST(CP_ENUM)
#undef CP_ENUM
        CP_DTYPES
};

#endif
