#include "error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

cpool_status cp_fail(cpool_error *error, cpool_status status, int32_t role, const char *format, ...)
{
    if (error != NULL && error->struct_size >= sizeof(cpool_error)) {
        va_list list;
        va_start(list, format);
        error->status = (int32_t)status;
        error->role = role;
        (void)vsnprintf(error->message, sizeof error->message, format, list);
        va_end(list);
    }
    return status;
}

cp_text cp_format_sizes(const int64_t *sizes, int32_t n)
{
    cp_text out;
    size_t used = 0;
    out.text[0] = '\0';
    if (n == 1) {
        (void)snprintf(out.text, sizeof out.text, "%" PRId64, sizes[0]);
        return out;
    }
    for (int32_t i = 0; i < n; i++) {
        int written = snprintf(out.text + used, sizeof out.text - used, "%s%" PRId64, i == 0 ? "(" : ", ", sizes[i]);
        if (written < 0 || used + (size_t)written + 6 > sizeof out.text) {
            (void)snprintf(out.text + used, sizeof out.text - used, ", ...)");
            return out;
        }
        used += (size_t)written;
    }
    (void)snprintf(out.text + used, sizeof out.text - used, n == 0 ? "()" : ")");
    return out;
}

cp_text cp_format_shape(const int64_t *shape, int32_t n)
{
    cp_text out = cp_format_sizes(shape, n);
    if (n == 1) {
        (void)snprintf(out.text, sizeof out.text, "(%" PRId64 ",)", shape[0]);
    }
    return out;
}
