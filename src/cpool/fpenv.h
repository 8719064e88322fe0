/* The floating-point environment of a call. Callers and their threads may differ in rounding mode, flush-to-zero and trap masks
 * (any library of the process may have set them), results may not: entries, and bodies that the engine hands to parallel_for,
 * run between enter and leave, which set the default environment and put back the old one with its sticky flags.
 *
 * Arithmetic on values that are read from and written to memory in between stays in between, and so do calls of functions that
 * the compiler does not see.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef CP_FPENV_H
#define CP_FPENV_H

#include <stdint.h>

/* Without this the compiler may move loads, stores and the arithmetic between them over the change of the mode. */
#if defined(_MSC_VER) && !defined(__clang__)
#  include <intrin.h>
#  define CP_FPENV_FENCE() _ReadWriteBarrier()
#else
#  define CP_FPENV_FENCE() __asm__ volatile("" ::: "memory")
#endif

#if defined(__SSE__) || defined(_M_X64)

#  include <xmmintrin.h>

typedef unsigned int cp_fpenv;

/* Writing the register empties the pipeline, which is a tenth of a small call, and most callers have the default. */
static inline cp_fpenv cp_fpenv_enter(void)
{
    const cp_fpenv at_reset = 0x1F80, flags = 0x3F; /* nearest, no FTZ, no DAZ, all exceptions masked */
    cp_fpenv old = _mm_getcsr();
    if ((old & ~flags) != at_reset) {
        _mm_setcsr(at_reset);
    }
    CP_FPENV_FENCE();
    return old;
}

static inline void cp_fpenv_leave(cp_fpenv old)
{
    CP_FPENV_FENCE();
    if (_mm_getcsr() != old) {
        _mm_setcsr(old);
    }
}

#elif defined(__aarch64__) || defined(_M_ARM64)

typedef struct cp_fpenv {
    uint64_t control, status;
} cp_fpenv;

#  if defined(_MSC_VER) && !defined(__clang__)
/* ARM64_SYSREG(3, 3, 4, 4, 0) and (3, 3, 4, 4, 1), without <windows.h>. */
#    define CP_READ_FPCR(v) ((v) = (uint64_t)_ReadStatusReg(0x5A20))
#    define CP_READ_FPSR(v) ((v) = (uint64_t)_ReadStatusReg(0x5A21))
#    define CP_WRITE_FPCR(v) _WriteStatusReg(0x5A20, (__int64)(v))
#    define CP_WRITE_FPSR(v) _WriteStatusReg(0x5A21, (__int64)(v))
#  else
#    define CP_READ_FPCR(v) __asm__ volatile("mrs %0, fpcr" : "=r"(v))
#    define CP_READ_FPSR(v) __asm__ volatile("mrs %0, fpsr" : "=r"(v))
#    define CP_WRITE_FPCR(v) __asm__ volatile("msr fpcr, %0" : : "r"(v))
#    define CP_WRITE_FPSR(v) __asm__ volatile("msr fpsr, %0" : : "r"(v))
#  endif

static inline cp_fpenv cp_fpenv_enter(void)
{
    cp_fpenv old;
    CP_READ_FPCR(old.control);
    CP_READ_FPSR(old.status);
    CP_WRITE_FPCR(UINT64_C(0)); /* nearest, no flushing, no traps, NaN payloads propagate */
    CP_FPENV_FENCE();
    return old;
}

static inline void cp_fpenv_leave(cp_fpenv old)
{
    CP_FPENV_FENCE();
    CP_WRITE_FPCR(old.control);
    CP_WRITE_FPSR(old.status);
}

#else

/* WebAssembly has no such state. Elsewhere only <fenv.h> reaches it, whose functions live in libm, which the core does not use:
 * there the environment is the caller's, and results are as promised as long as that is the default one. */
typedef int cp_fpenv;

static inline cp_fpenv cp_fpenv_enter(void)
{
    return 0;
}

static inline void cp_fpenv_leave(cp_fpenv old)
{
    (void)old;
}

#endif
#endif
