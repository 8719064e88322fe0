/* From an instruction set to its kernels. */
#ifndef CP_DISPATCH_H
#define CP_DISPATCH_H

#include <stdint.h>

#include "cpool/cpool.h"
#include "kernels/table.h"

/* The kernels of a CPOOL_ISA_*; CPOOL_ISA_BEST is what cpool_isa_best says. */
cpool_status cp_dispatch(int32_t isa, const cp_kernels **out, cpool_error *error);

/* Whether the CPU, and the operating system where there is more state to save, can run it; `isa` is one of isa/list.h. */
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
int cp_cpu_has(int32_t isa);
#else
static inline int cp_cpu_has(int32_t isa)
{
    (void)isa; /* what is built here belongs to the architecture */
    return 1;
}
#endif

/* A value that whoever finds it missing works out, always to the same result: nothing to order, only single accesses. MSVC has
 * no C11 atomics, but its volatile is enough for that. */
#if defined(__GNUC__) || defined(__clang__)
#  define CP_CACHE_READ(cache) __atomic_load_n(&(cache), __ATOMIC_RELAXED)
#  define CP_CACHE_WRITE(cache, value) __atomic_store_n(&(cache), value, __ATOMIC_RELAXED)
#else
#  define CP_CACHE_READ(cache) (*(volatile int32_t *)&(cache))
#  define CP_CACHE_WRITE(cache, value) (*(volatile int32_t *)&(cache) = (value))
#endif

#endif
