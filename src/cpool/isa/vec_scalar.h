/* The primitive vocabulary, in its plainest form: one lane per vector. Every other isa/vec_*.h defines exactly these names, and
 * nothing above isa/ uses anything else. tests/c/check_vec.c holds every one of them to the text below, on edge values.
 *
 * For each lane type L in f32, f64 (element type `float`, `double`):
 *   vL, vL_mask, vL_N             the vector, the comparison mask, the number of lanes (a macro)
 *   load store                    N elements at any alignment
 *   load_n(p, n, fill)            n of them, 0 < n < N, the other lanes `fill`; touches nothing beyond p[n - 1]
 *   store_n(p, v, n)              likewise
 *   set1
 *   add sub mul div sqrt          IEEE, round to nearest even, never fused
 *   abs                           clears the sign bit
 *   max min                       NaN if either operand is NaN; of +0 and -0 either
 *   gt eq                         false where an operand is NaN
 *   isnan
 *   mask_and mask_or mask_andnot  andnot(a, b) is a and not b
 *   select(m, a, b)               a where m, else b; bit for bit
 *   above(a, b)                   b is a number, and a > b or a is NaN: what replaces the first of the largest so far
 *   below(a, b)                   likewise with a < b
 *   unzip(a, b, &even, &odd)      of the 2 N lanes a, b: those at even places, and those at odd ones
 *   zip(even, odd, &a, &b)        the inverse
 *   vL_places, places_from(index) N integers, each of 0 to 2 N - 1
 *   pick(a, b, places)            of the 2 N lanes a, b: those at these places
 *   vL_lanes, lanes_from(lo, hi)  lanes lo to hi - 1, of any two integers
 *   load_lanes(p, lanes, fill)    these lanes of N elements, the others from the vector `fill`; touches nothing else
 *   vL_codes, load_codes(p, n)    n bytes, beyond them 0, 0 < n <= N; touches nothing else
 *   load_codes_lanes(p, lanes)    bytes p[lane] of these lanes, of others 0; touches nothing else
 *   is_code(codes, code)          where the byte is `code`, of 0 to 255
 *   load_u8(p, n)                 n bytes as numbers, 0 beyond, 0 < n <= N
 *   add_where(m, a, b)            a + b where m, else a, for an a that is not -0
 *   store_u8(p, v, n)             n lanes, integers of -1 to 255, as bytes
 * For f32 also
 *   bits_shl(v, n)                the 32 bits shifted left by a constant
 * For f64 also
 *   load_f32 load_f32_n           floats in memory, widened
 *   store_f32 store_f32_n         rounded to floats in memory, to nearest even
 * and integers of the same width, vf64_int:
 *   bits from_bits                the same 64 bits, as the other type
 *   int_set1 int_add int_sub int_and int_xor
 *   int_mul32                     the product of the low 32 bits of either
 *   int_shl(v, n) int_shr(v, n)   by a constant; shr is logical
 *   int_high32                    the high 32 bits in both halves
 */
#ifndef CP_ISA_VEC_SCALAR_H
#define CP_ISA_VEC_SCALAR_H

#define CP_VEC static inline

#define vf32_N 1
#define vf64_N 1
typedef float vf32;
typedef double vf64;
typedef int vf32_mask;
typedef int vf64_mask;
typedef uint64_t vf64_int;

/* clang-format off */
/* The cast keeps the compiler from concluding that p is aligned. */
CP_VEC vf32 vf32_load(const float *p) { float v; memcpy(&v, (const void *)p, sizeof v); return v; }
CP_VEC vf64 vf64_load(const double *p) { double v; memcpy(&v, (const void *)p, sizeof v); return v; }
CP_VEC void vf32_store(float *p, vf32 v) { memcpy((void *)p, &v, sizeof v); }
CP_VEC void vf64_store(double *p, vf64 v) { memcpy((void *)p, &v, sizeof v); }
/* No n lies between 0 and 1; the same as load and store, so that no branch is left of the choice. */
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill) { (void)n; (void)fill; return vf32_load(p); }
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill) { (void)n; (void)fill; return vf64_load(p); }
CP_VEC void vf32_store_n(float *p, vf32 v, int64_t n) { (void)n; vf32_store(p, v); }
CP_VEC void vf64_store_n(double *p, vf64 v, int64_t n) { (void)n; vf64_store(p, v); }
CP_VEC vf32 vf32_set1(float x) { return x; }
CP_VEC vf64 vf64_set1(double x) { return x; }
/* Wider than they lie in memory. */
CP_VEC vf64 vf64_load_f32(const float *p) { return (double)vf32_load(p); }
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill) { (void)n; (void)fill; return vf64_load_f32(p); }
CP_VEC void vf64_store_f32(float *p, vf64 v) { vf32_store(p, (float)v); }
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n) { (void)n; vf64_store_f32(p, v); }

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return a + b; }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return a + b; }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return a - b; }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return a - b; }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return a * b; }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return a * b; }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return a / b; }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return a / b; }

/* The instruction itself: a compiler that keeps errno calls libm where the argument is negative. */
#if defined(__SSE2__) || defined(_M_X64)
CP_VEC vf32 vf32_sqrt(vf32 a) { __m128 v = _mm_set_ss(a); return _mm_cvtss_f32(_mm_sqrt_ss(v)); }
CP_VEC vf64 vf64_sqrt(vf64 a) { __m128d v = _mm_set_sd(a); return _mm_cvtsd_f64(_mm_sqrt_sd(v, v)); }
#elif defined(__aarch64__) || defined(_M_ARM64)
CP_VEC vf32 vf32_sqrt(vf32 a) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(a)), 0); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return vget_lane_f64(vsqrt_f64(vdup_n_f64(a)), 0); }
#elif defined(__riscv_d)
CP_VEC vf32 vf32_sqrt(vf32 a) { vf32 y; __asm__("fsqrt.s %0, %1" : "=f"(y) : "f"(a)); return y; }
CP_VEC vf64 vf64_sqrt(vf64 a) { vf64 y; __asm__("fsqrt.d %0, %1" : "=f"(y) : "f"(a)); return y; }
#elif defined(__s390x__)
CP_VEC vf32 vf32_sqrt(vf32 a) { vf32 y; __asm__("sqebr %0, %1" : "=f"(y) : "f"(a)); return y; }
CP_VEC vf64 vf64_sqrt(vf64 a) { vf64 y; __asm__("sqdbr %0, %1" : "=f"(y) : "f"(a)); return y; }
#elif defined(__powerpc64__)
CP_VEC vf32 vf32_sqrt(vf32 a) { vf32 y; __asm__("fsqrts %0, %1" : "=f"(y) : "f"(a)); return y; }
CP_VEC vf64 vf64_sqrt(vf64 a) { vf64 y; __asm__("fsqrt %0, %1" : "=d"(y) : "d"(a)); return y; }
#else
CP_VEC vf32 vf32_sqrt(vf32 a) { return __builtin_sqrtf(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return __builtin_sqrt(a); }
#endif

CP_VEC vf32 vf32_bits_shl(vf32 a, int n) { uint32_t v; memcpy(&v, &a, sizeof v); v <<= n; memcpy(&a, &v, sizeof v); return a; }
CP_VEC vf64_int vf64_bits(vf64 a) { uint64_t v; memcpy(&v, &a, sizeof v); return v; }
CP_VEC vf64 vf64_from_bits(vf64_int a) { double v; memcpy(&v, &a, sizeof v); return v; }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return x; }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return a + b; }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return a - b; }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return a & b; }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return a ^ b; }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return a << n; }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return a >> n; }
CP_VEC vf64_int vf64_int_high32(vf64_int a) { return (a >> 32) * UINT64_C(0x100000001); }

CP_VEC vf32 vf32_abs(vf32 a) { uint32_t v; memcpy(&v, &a, sizeof v); v &= UINT32_MAX >> 1; memcpy(&a, &v, sizeof v); return a; }
CP_VEC vf64 vf64_abs(vf64 a) { return vf64_from_bits(vf64_bits(a) & (UINT64_MAX >> 1)); }
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { vf32 y = a > b ? a : b; return a == a ? y : a; }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { vf64 y = a > b ? a : b; return a == a ? y : a; }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { vf32 y = a < b ? a : b; return a == a ? y : a; }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { vf64 y = a < b ? a : b; return a == a ? y : a; }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return a > b; }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return a > b; }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return a == b; }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return a == b; }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return a != a; }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return a != a; }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return a & b; }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return a & b; }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return a | b; }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return a | b; }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return a & !b; }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return a & !b; }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return m ? a : b; }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return m ? a : b; }

CP_VEC vf32_mask vf32_above(vf32 a, vf32 b) { return (a > b || a != a) && b == b; }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b) { return (a > b || a != a) && b == b; }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b) { return (a < b || a != a) && b == b; }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b) { return (a < b || a != a) && b == b; }
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd) { *even = a; *odd = b; }
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd) { *even = a; *odd = b; }
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b) { *a = even; *b = odd; }
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b) { *a = even; *b = odd; }
typedef uint32_t vf32_codes;
typedef uint32_t vf64_codes;
CP_VEC vf32_codes vf32_widen(uint32_t word) { return word; }
CP_VEC vf64_codes vf64_widen(uint32_t word) { return word; }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code) { return codes == (uint32_t)code; }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code) { return codes == (uint32_t)code; }
CP_VEC vf32 vf32_numbers(vf32_codes codes) { return (float)codes; }
CP_VEC vf64 vf64_numbers(vf64_codes codes) { return codes; }
CP_VEC uint32_t vf32_narrow(vf32 v) { return (uint8_t)(int)v; }
CP_VEC uint32_t vf64_narrow(vf64 v) { return (uint8_t)(int)v; }
/* clang-format on */

#define CP_LANE f32
#define CP_ELEMENT float
#include "isa/vec_by_lane.h"
#undef CP_ELEMENT
#undef CP_LANE
#define CP_LANE f64
#define CP_ELEMENT double
#include "isa/vec_by_lane.h"
#undef CP_ELEMENT
#undef CP_LANE

#endif
