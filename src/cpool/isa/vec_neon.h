/* The primitive vocabulary of isa/vec_scalar.h for aarch64. */
#ifndef CP_ISA_VEC_NEON_H
#define CP_ISA_VEC_NEON_H

#define CP_VEC static inline

#define vf32_N 4
#define vf64_N 2
typedef float32x4_t vf32;
typedef float64x2_t vf64;
typedef uint32x4_t vf32_mask; /* all bits of a lane, or none */
typedef uint64x2_t vf64_mask;
typedef uint64x2_t vf64_int;

/* clang-format off */
/* By memcpy: vld1q and vst1q ask for the alignment of an element. */
CP_VEC vf32 vf32_load(const float *p) { vf32 v; memcpy(&v, (const void *)p, sizeof v); return v; }
CP_VEC vf64 vf64_load(const double *p) { vf64 v; memcpy(&v, (const void *)p, sizeof v); return v; }
CP_VEC void vf32_store(float *p, vf32 v) { memcpy((void *)p, &v, sizeof v); }
CP_VEC void vf64_store(double *p, vf64 v) { memcpy((void *)p, &v, sizeof v); }
/* The casts keep the compiler from concluding that p is aligned. */
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill)
{
    float a, b = fill, c = fill;
    memcpy(&a, (const void *)p, sizeof a);
    if (n > 1) { memcpy(&b, (const void *)(p + 1), sizeof b); }
    if (n > 2) { memcpy(&c, (const void *)(p + 2), sizeof c); }
    return vsetq_lane_f32(c, vsetq_lane_f32(b, vsetq_lane_f32(a, vdupq_n_f32(fill), 0), 1), 2);
}
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill)
{
    double a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return vsetq_lane_f64(a, vdupq_n_f64(fill), 0);
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
CP_VEC vf32 vf32_set1(float x) { return vdupq_n_f32(x); }
CP_VEC vf64 vf64_set1(double x) { return vdupq_n_f64(x); }
CP_VEC vf64 vf64_load_f32(const float *p)
{
    float32x2_t v;
    memcpy(&v, (const void *)p, sizeof v);
    return vcvt_f64_f32(v);
}
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill)
{
    float a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return vsetq_lane_f64((double)a, vdupq_n_f64(fill), 0);
}
CP_VEC void vf64_store_f32(float *p, vf64 v)
{
    float32x2_t narrow = vcvt_f32_f64(v);
    memcpy((void *)p, &narrow, sizeof narrow);
}
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n)
{
    float a = (float)vgetq_lane_f64(v, 0);
    (void)n;
    memcpy((void *)p, &a, sizeof a);
}

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return vaddq_f32(a, b); }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return vaddq_f64(a, b); }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return vsubq_f32(a, b); }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return vsubq_f64(a, b); }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return vmulq_f32(a, b); }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return vmulq_f64(a, b); }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return vdivq_f32(a, b); }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return vdivq_f64(a, b); }
CP_VEC vf32 vf32_sqrt(vf32 a) { return vsqrtq_f32(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return vsqrtq_f64(a); }
CP_VEC vf32 vf32_abs(vf32 a) { return vabsq_f32(a); }
CP_VEC vf64 vf64_abs(vf64 a) { return vabsq_f64(a); }
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { return vmaxq_f32(a, b); }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { return vmaxq_f64(a, b); }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { return vminq_f32(a, b); }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { return vminq_f64(a, b); }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return vcgtq_f32(a, b); }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return vcgtq_f64(a, b); }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return vceqq_f32(a, b); }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return vceqq_f64(a, b); }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return vmvnq_u32(vceqq_f32(a, a)); }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(vceqq_f64(a, a)))); }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return vandq_u32(a, b); }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return vandq_u64(a, b); }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return vorrq_u32(a, b); }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return vorrq_u64(a, b); }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return vbicq_u32(a, b); }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return vbicq_u64(a, b); }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return vbslq_f32(m, a, b); }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return vbslq_f64(m, a, b); }

CP_VEC vf32 vf32_bits_shl(vf32 a, int n) { return vreinterpretq_f32_u32(vshlq_u32(vreinterpretq_u32_f32(a), vdupq_n_s32(n))); }
CP_VEC vf64_int vf64_bits(vf64 a) { return vreinterpretq_u64_f64(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return vreinterpretq_f64_u64(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return vdupq_n_u64(x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return vaddq_u64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return vsubq_u64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return vandq_u64(a, b); }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return veorq_u64(a, b); }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return vshlq_u64(a, vdupq_n_s64(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return vshlq_u64(a, vdupq_n_s64(-n)); }
CP_VEC vf64_int vf64_int_high32(vf64_int a)
{
    uint32x4_t words = vreinterpretq_u32_u64(a);
    return vreinterpretq_u64_u32(vtrn2q_u32(words, words));
}

CP_VEC vf32_mask vf32_above(vf32 a, vf32 b) { return vbicq_u32(vceqq_f32(b, b), vcleq_f32(a, b)); }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b) { return vbicq_u64(vceqq_f64(b, b), vcleq_f64(a, b)); }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b) { return vbicq_u32(vceqq_f32(b, b), vcgeq_f32(a, b)); }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b) { return vbicq_u64(vceqq_f64(b, b), vcgeq_f64(a, b)); }
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd) { *even = vuzp1q_f32(a, b); *odd = vuzp2q_f32(a, b); }
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd) { *even = vuzp1q_f64(a, b); *odd = vuzp2q_f64(a, b); }
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b) { *a = vzip1q_f32(even, odd); *b = vzip2q_f32(even, odd); }
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b) { *a = vzip1q_f64(even, odd); *b = vzip2q_f64(even, odd); }
typedef uint32x4_t vf32_codes;
typedef uint64x2_t vf64_codes;
CP_VEC vf32_codes vf32_widen(uint32_t word)
{ return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(word))))); }
CP_VEC vf64_codes vf64_widen(uint32_t word) { return vmovl_u32(vget_low_u32(vf32_widen(word))); }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code) { return vceqq_u32(codes, vdupq_n_u32((uint32_t)code)); }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code) { return vceqq_u64(codes, vdupq_n_u64((uint64_t)code)); }
CP_VEC vf32 vf32_numbers(vf32_codes codes) { return vcvtq_f32_u32(codes); }
CP_VEC vf64 vf64_numbers(vf64_codes codes) { return vcvtq_f64_u64(codes); }
CP_VEC uint32_t cp_low_bytes(uint32x4_t lanes)
{
    const uint16x4_t half = vmovn_u32(lanes);
    return vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(half, half))), 0);
}
CP_VEC uint32_t vf32_narrow(vf32 v) { return cp_low_bytes(vreinterpretq_u32_s32(vcvtq_s32_f32(v))); }
CP_VEC uint32_t vf64_narrow(vf64 v)
{
    const uint32x2_t half = vmovn_u64(vreinterpretq_u64_s64(vcvtq_s64_f64(v)));
    return cp_low_bytes(vcombine_u32(half, half));
}
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
