/* The primitive vocabulary of isa/vec_scalar.h for x86 with AVX-512 (F, DQ, BW, VL). */
#ifndef CP_ISA_VEC_AVX512_H
#define CP_ISA_VEC_AVX512_H

#define CP_VEC static inline

#define vf32_N 16
#define vf64_N 8
typedef __m512 vf32;
typedef __m512d vf64;
typedef __mmask16 vf32_mask;
typedef __mmask8 vf64_mask;
typedef __m512i vf64_int;

/* clang-format off */
CP_VEC vf32 vf32_load(const float *p) { return _mm512_loadu_ps(p); }
CP_VEC vf64 vf64_load(const double *p) { return _mm512_loadu_pd(p); }
CP_VEC void vf32_store(float *p, vf32 v) { _mm512_storeu_ps(p, v); }
CP_VEC void vf64_store(double *p, vf64 v) { _mm512_storeu_pd(p, v); }
/* What is masked off is not accessed. */
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1u), p);
}
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill)
{
    return _mm512_mask_loadu_pd(_mm512_set1_pd(fill), (__mmask8)((1u << n) - 1u), p);
}
CP_VEC void vf32_store_n(float *p, vf32 v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), v); }
CP_VEC void vf64_store_n(double *p, vf64 v, int64_t n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), v); }
CP_VEC vf32 vf32_set1(float x) { return _mm512_set1_ps(x); }
CP_VEC vf64 vf64_set1(double x) { return _mm512_set1_pd(x); }

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return _mm512_add_ps(a, b); }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return _mm512_add_pd(a, b); }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return _mm512_sub_ps(a, b); }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return _mm512_sub_pd(a, b); }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return _mm512_mul_ps(a, b); }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return _mm512_mul_pd(a, b); }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return _mm512_div_ps(a, b); }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return _mm512_div_pd(a, b); }
CP_VEC vf32 vf32_sqrt(vf32 a) { return _mm512_sqrt_ps(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return _mm512_sqrt_pd(a); }
CP_VEC vf32 vf32_abs(vf32 a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
CP_VEC vf64 vf64_abs(vf64 a) { return _mm512_andnot_pd(_mm512_set1_pd(-0.0), a); }

/* The instruction returns its second operand where either is NaN; a NaN in b is kept by masking it off. */
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { return _mm512_mask_max_ps(b, _mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), b, a); }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { return _mm512_mask_max_pd(b, _mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), b, a); }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { return _mm512_mask_min_ps(b, _mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), b, a); }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { return _mm512_mask_min_pd(b, _mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), b, a); }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return _kand_mask16(a, b); }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return _kand_mask8(a, b); }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return _kor_mask16(a, b); }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return _kor_mask8(a, b); }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return _kandn_mask16(b, a); }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return _kandn_mask8(b, a); }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return _mm512_mask_blend_ps(m, b, a); }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return _mm512_mask_blend_pd(m, b, a); }

CP_VEC vf64_int vf64_bits(vf64 a) { return _mm512_castpd_si512(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return _mm512_castsi512_pd(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return _mm512_set1_epi64((long long)x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return _mm512_add_epi64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return _mm512_sub_epi64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return _mm512_and_si512(a, b); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return _mm512_sll_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return _mm512_srl_epi64(a, _mm_cvtsi32_si128(n)); }
/* clang-format on */

#endif
