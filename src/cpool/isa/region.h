/* The target region: everything between CP_REGION_BEGIN and CP_REGION_END may use the instructions named. System headers, that
 * of the intrinsics included, come before it. Nothing inside is contracted to fused multiply-add, whatever the command line
 * says: a fused operation rounds once where the others round twice, and the bits would depend on the instruction set. */
#ifndef CP_ISA_REGION_H
#define CP_ISA_REGION_H

#include <float.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__) || defined(_M_X64) /* vec_scalar.h takes its square root from these two */
#  include <emmintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#  include <arm_neon.h>
#endif

#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#  error "cpool's results are defined bit by bit: build without -ffast-math, -ffinite-math-only, /fp:fast"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#  error "cpool needs arithmetic without excess precision (32-bit x86: -msse2 -mfpmath=sse; s390x: -fexcess-precision=fast)"
#endif

#define CP_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#  define CP_REGION_BEGIN(name) \
      _Pragma("STDC FP_CONTRACT OFF") CP_PRAGMA(clang attribute push(__attribute__((target(name))), apply_to = function))
#  define CP_REGION_END _Pragma("clang attribute pop")
#  define CP_REGION_BEGIN_BASE _Pragma("STDC FP_CONTRACT OFF")
#  define CP_REGION_END_BASE
#elif defined(__GNUC__)
#  define CP_REGION_BEGIN(name) \
      _Pragma("GCC push_options") CP_PRAGMA(GCC target(name)) _Pragma("GCC optimize(\"fp-contract=off\")")
#  define CP_REGION_END _Pragma("GCC pop_options")
#  define CP_REGION_BEGIN_BASE _Pragma("GCC push_options") _Pragma("GCC optimize(\"fp-contract=off\")")
#  define CP_REGION_END_BASE _Pragma("GCC pop_options")
#else
#  define CP_REGION_BEGIN(name) __pragma(fp_contract(off))
#  define CP_REGION_END
#  define CP_REGION_BEGIN_BASE __pragma(fp_contract(off))
#  define CP_REGION_END_BASE
#endif

#endif
