/* The primitive vocabulary of isa/vec_scalar.h for x86 with SSE4.1. */
#ifndef CP_ISA_VEC_SSE41_H
#define CP_ISA_VEC_SSE41_H

#define CP_VEC static inline

#define vf32_N 4
#define vf64_N 2
typedef __m128 vf32;
typedef __m128d vf64;
typedef __m128 vf32_mask; /* all bits of a lane, or none */
typedef __m128d vf64_mask;
typedef __m128i vf64_int;

/* clang-format off */
CP_VEC vf32 vf32_load(const float *p) { return _mm_loadu_ps(p); }
CP_VEC vf64 vf64_load(const double *p) { return _mm_loadu_pd(p); }
CP_VEC void vf32_store(float *p, vf32 v) { _mm_storeu_ps(p, v); }
CP_VEC void vf64_store(double *p, vf64 v) { _mm_storeu_pd(p, v); }
/* The casts keep the compiler from concluding that p is aligned. */
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill)
{
    float a, b = fill, c = fill;
    memcpy(&a, (const void *)p, sizeof a);
    if (n > 1) { memcpy(&b, (const void *)(p + 1), sizeof b); }
    if (n > 2) { memcpy(&c, (const void *)(p + 2), sizeof c); }
    return _mm_setr_ps(a, b, c, fill);
}
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill)
{
    double a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return _mm_setr_pd(a, fill);
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
CP_VEC vf32 vf32_set1(float x) { return _mm_set1_ps(x); }
CP_VEC vf64 vf64_set1(double x) { return _mm_set1_pd(x); }
CP_VEC vf64 vf64_load_f32(const float *p)
{
    double both;
    memcpy(&both, (const void *)p, sizeof both);
    return _mm_cvtps_pd(_mm_castpd_ps(_mm_set_sd(both)));
}
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill)
{
    float a;
    (void)n;
    memcpy(&a, (const void *)p, sizeof a);
    return _mm_setr_pd((double)a, fill);
}
CP_VEC void vf64_store_f32(float *p, vf64 v)
{
    __m128 narrow = _mm_cvtpd_ps(v);
    memcpy((void *)p, &narrow, 2 * sizeof *p);
}
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n)
{
    float a = (float)_mm_cvtsd_f64(v);
    (void)n;
    memcpy((void *)p, &a, sizeof a);
}

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return _mm_add_ps(a, b); }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return _mm_add_pd(a, b); }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return _mm_sub_ps(a, b); }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return _mm_sub_pd(a, b); }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return _mm_mul_ps(a, b); }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return _mm_mul_pd(a, b); }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return _mm_div_ps(a, b); }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return _mm_div_pd(a, b); }
CP_VEC vf32 vf32_sqrt(vf32 a) { return _mm_sqrt_ps(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return _mm_sqrt_pd(a); }
CP_VEC vf32 vf32_abs(vf32 a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
CP_VEC vf64 vf64_abs(vf64 a) { return _mm_andnot_pd(_mm_set1_pd(-0.0), a); }

/* The instruction returns its second operand where either is NaN; all bits set is a NaN. */
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { return _mm_or_ps(_mm_max_ps(b, a), _mm_cmpunord_ps(b, b)); }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { return _mm_or_pd(_mm_max_pd(b, a), _mm_cmpunord_pd(b, b)); }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { return _mm_or_ps(_mm_min_ps(b, a), _mm_cmpunord_ps(b, b)); }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { return _mm_or_pd(_mm_min_pd(b, a), _mm_cmpunord_pd(b, b)); }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return _mm_cmpgt_ps(a, b); }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return _mm_cmpgt_pd(a, b); }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return _mm_cmpeq_ps(a, b); }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return _mm_cmpeq_pd(a, b); }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return _mm_cmpunord_ps(a, a); }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return _mm_cmpunord_pd(a, a); }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return _mm_and_ps(a, b); }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return _mm_and_pd(a, b); }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return _mm_or_ps(a, b); }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return _mm_or_pd(a, b); }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return _mm_andnot_ps(b, a); }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return _mm_andnot_pd(b, a); }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return _mm_blendv_ps(b, a, m); }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return _mm_blendv_pd(b, a, m); }

CP_VEC vf32 vf32_bits_shl(vf32 a, int n) { return _mm_castsi128_ps(_mm_sll_epi32(_mm_castps_si128(a), _mm_cvtsi32_si128(n))); }
CP_VEC vf64_int vf64_bits(vf64 a) { return _mm_castpd_si128(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return _mm_castsi128_pd(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return _mm_set1_epi64x((long long)x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return _mm_add_epi64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return _mm_sub_epi64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return _mm_and_si128(a, b); }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return _mm_xor_si128(a, b); }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b) { return _mm_mul_epu32(a, b); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return _mm_sll_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return _mm_srl_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_high32(vf64_int a) { return _mm_shuffle_epi32(a, _MM_SHUFFLE(3, 3, 1, 1)); }

/* "Not less or equal" is what compares true of an unordered pair. */
CP_VEC vf32_mask vf32_above(vf32 a, vf32 b) { return _mm_and_ps(_mm_cmpnle_ps(a, b), _mm_cmpord_ps(b, b)); }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b) { return _mm_and_pd(_mm_cmpnle_pd(a, b), _mm_cmpord_pd(b, b)); }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b) { return _mm_and_ps(_mm_cmpnge_ps(a, b), _mm_cmpord_ps(b, b)); }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b) { return _mm_and_pd(_mm_cmpnge_pd(a, b), _mm_cmpord_pd(b, b)); }
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd)
{
    *even = _mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0));
    *odd = _mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1));
}
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd) { *even = _mm_unpacklo_pd(a, b); *odd = _mm_unpackhi_pd(a, b); }
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b)
{ *a = _mm_unpacklo_ps(even, odd); *b = _mm_unpackhi_ps(even, odd); }
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b)
{ *a = _mm_unpacklo_pd(even, odd); *b = _mm_unpackhi_pd(even, odd); }
typedef __m128i vf32_codes;
typedef __m128i vf64_codes;
CP_VEC vf32_codes vf32_widen(uint32_t word) { return _mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)word)); }
CP_VEC vf64_codes vf64_widen(uint32_t word) { return _mm_cvtepu8_epi64(_mm_cvtsi32_si128((int)word)); }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code)
{ return _mm_castsi128_ps(_mm_cmpeq_epi32(codes, _mm_set1_epi32(code))); }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code)
{ return _mm_castsi128_pd(_mm_cmpeq_epi64(codes, _mm_set1_epi64x(code))); }
CP_VEC vf32 vf32_numbers(vf32_codes codes) { return _mm_cvtepi32_ps(codes); }
CP_VEC vf64 vf64_numbers(vf64_codes codes) { return _mm_cvtepi32_pd(_mm_shuffle_epi32(codes, _MM_SHUFFLE(3, 1, 2, 0))); }
CP_VEC uint32_t cp_low_bytes(__m128i lanes)
{
    const __m128i low = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    return (uint32_t)_mm_cvtsi128_si32(_mm_shuffle_epi8(lanes, low));
}
CP_VEC uint32_t vf32_narrow(vf32 v) { return cp_low_bytes(_mm_cvtps_epi32(v)); }
CP_VEC uint32_t vf64_narrow(vf64 v) { return cp_low_bytes(_mm_cvtpd_epi32(v)); }
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
