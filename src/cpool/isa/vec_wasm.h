/* The primitive vocabulary of isa/vec_scalar.h for WebAssembly with 128-bit SIMD. */
#ifndef CP_ISA_VEC_WASM_H
#define CP_ISA_VEC_WASM_H

#define CP_VEC static inline

#define vf32_N 4
#define vf64_N 2
typedef v128_t vf32;
typedef v128_t vf64;
typedef v128_t vf32_mask; /* all bits of a lane, or none */
typedef v128_t vf64_mask;
typedef v128_t vf64_int;

/* clang-format off */
CP_VEC vf32 vf32_load(const float *p) { return wasm_v128_load(p); }
CP_VEC vf64 vf64_load(const double *p) { return wasm_v128_load(p); }
CP_VEC void vf32_store(float *p, vf32 v) { wasm_v128_store(p, v); }
CP_VEC void vf64_store(double *p, vf64 v) { wasm_v128_store(p, v); }
/* The casts keep the compiler from concluding that p is aligned. */
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill)
{
    float a, b = fill, c = fill;
    memcpy(&a, (const void *)p, sizeof a);
    if (n > 1) { memcpy(&b, (const void *)(p + 1), sizeof b); }
    if (n > 2) { memcpy(&c, (const void *)(p + 2), sizeof c); }
    return wasm_f32x4_make(a, b, c, fill);
}
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill)
{
    double a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return wasm_f64x2_make(a, fill);
}
CP_VEC void vf32_store_n(float *p, vf32 v, int64_t n)
{
    float lanes[4];
    memcpy(lanes, &v, sizeof lanes);
    memcpy((void *)p, lanes, sizeof *p);
    if (n > 1) { memcpy((void *)(p + 1), lanes + 1, sizeof *p); }
    if (n > 2) { memcpy((void *)(p + 2), lanes + 2, sizeof *p); }
}
CP_VEC void vf64_store_n(double *p, vf64 v, int64_t n) { (void)n; memcpy((void *)p, &v, sizeof *p); }
CP_VEC vf32 vf32_set1(float x) { return wasm_f32x4_splat(x); }
CP_VEC vf64 vf64_set1(double x) { return wasm_f64x2_splat(x); }
CP_VEC vf64 vf64_load_f32(const float *p) { return wasm_f64x2_promote_low_f32x4(wasm_v128_load64_zero(p)); }
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill)
{
    float a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return wasm_f64x2_make((double)a, fill);
}
CP_VEC void vf64_store_f32(float *p, vf64 v) { wasm_v128_store64_lane(p, wasm_f32x4_demote_f64x2_zero(v), 0); }
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n)
{
    float a = (float)wasm_f64x2_extract_lane(v, 0);
    (void)n;
    memcpy((void *)p, &a, sizeof a);
}

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return wasm_f32x4_add(a, b); }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return wasm_f64x2_add(a, b); }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return wasm_f32x4_sub(a, b); }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return wasm_f64x2_sub(a, b); }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return wasm_f32x4_mul(a, b); }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return wasm_f64x2_mul(a, b); }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return wasm_f32x4_div(a, b); }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return wasm_f64x2_div(a, b); }
CP_VEC vf32 vf32_sqrt(vf32 a) { return wasm_f32x4_sqrt(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return wasm_f64x2_sqrt(a); }
CP_VEC vf32 vf32_abs(vf32 a) { return wasm_f32x4_abs(a); }
CP_VEC vf64 vf64_abs(vf64 a) { return wasm_f64x2_abs(a); }
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { return wasm_f32x4_max(a, b); }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { return wasm_f64x2_max(a, b); }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { return wasm_f32x4_min(a, b); }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { return wasm_f64x2_min(a, b); }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return wasm_f32x4_gt(a, b); }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return wasm_f64x2_gt(a, b); }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return wasm_f32x4_eq(a, b); }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return wasm_f64x2_eq(a, b); }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return wasm_f32x4_ne(a, a); }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return wasm_f64x2_ne(a, a); }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return wasm_v128_and(a, b); }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return wasm_v128_and(a, b); }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return wasm_v128_or(a, b); }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return wasm_v128_or(a, b); }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return wasm_v128_andnot(a, b); }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return wasm_v128_andnot(a, b); }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return wasm_v128_bitselect(a, b, m); }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return wasm_v128_bitselect(a, b, m); }

CP_VEC vf32 vf32_bits_shl(vf32 a, int n) { return wasm_i32x4_shl(a, (uint32_t)n); }
CP_VEC vf64_int vf64_bits(vf64 a) { return a; }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return a; }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return wasm_u64x2_splat(x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return wasm_i64x2_add(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return wasm_i64x2_sub(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return wasm_v128_and(a, b); }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return wasm_v128_xor(a, b); }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b)
{
    v128_t low = wasm_i64x2_splat(0xffffffff);
    return wasm_i64x2_mul(wasm_v128_and(a, low), wasm_v128_and(b, low));
}
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return wasm_i64x2_shl(a, (uint32_t)n); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return wasm_u64x2_shr(a, (uint32_t)n); }
CP_VEC vf64_int vf64_int_high32(vf64_int a) { return wasm_i32x4_shuffle(a, a, 1, 1, 3, 3); }

CP_VEC vf32_mask vf32_above(vf32 a, vf32 b) { return wasm_v128_andnot(wasm_f32x4_eq(b, b), wasm_f32x4_le(a, b)); }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b) { return wasm_v128_andnot(wasm_f64x2_eq(b, b), wasm_f64x2_le(a, b)); }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b) { return wasm_v128_andnot(wasm_f32x4_eq(b, b), wasm_f32x4_ge(a, b)); }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b) { return wasm_v128_andnot(wasm_f64x2_eq(b, b), wasm_f64x2_ge(a, b)); }
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd)
{
    *even = wasm_i32x4_shuffle(a, b, 0, 2, 4, 6);
    *odd = wasm_i32x4_shuffle(a, b, 1, 3, 5, 7);
}
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd)
{
    *even = wasm_i64x2_shuffle(a, b, 0, 2);
    *odd = wasm_i64x2_shuffle(a, b, 1, 3);
}
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b)
{
    *a = wasm_i32x4_shuffle(even, odd, 0, 4, 1, 5);
    *b = wasm_i32x4_shuffle(even, odd, 2, 6, 3, 7);
}
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b)
{
    *a = wasm_i64x2_shuffle(even, odd, 0, 2);
    *b = wasm_i64x2_shuffle(even, odd, 1, 3);
}
typedef v128_t vf32_codes;
typedef v128_t vf64_codes;
CP_VEC vf32_codes vf32_widen(uint32_t word)
{ return wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_i32x4_splat((int32_t)word))); }
CP_VEC vf64_codes vf64_widen(uint32_t word) { return wasm_u64x2_extend_low_u32x4(vf32_widen(word)); }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code) { return wasm_i32x4_eq(codes, wasm_i32x4_splat(code)); }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code) { return wasm_i64x2_eq(codes, wasm_i64x2_splat(code)); }
CP_VEC vf32 vf32_numbers(vf32_codes codes) { return wasm_f32x4_convert_i32x4(codes); }
CP_VEC vf64 vf64_numbers(vf64_codes codes)
{ return wasm_f64x2_convert_low_i32x4(wasm_i32x4_shuffle(codes, codes, 0, 2, 0, 2)); }
CP_VEC uint32_t cp_low_bytes(v128_t lanes)
{
    v128_t low = wasm_i8x16_shuffle(lanes, lanes, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    return (uint32_t)wasm_i32x4_extract_lane(low, 0);
}
CP_VEC uint32_t vf32_narrow(vf32 v) { return cp_low_bytes(wasm_i32x4_trunc_sat_f32x4(v)); }
CP_VEC uint32_t vf64_narrow(vf64 v) { return cp_low_bytes(wasm_i32x4_trunc_sat_f64x2_zero(v)); }
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
