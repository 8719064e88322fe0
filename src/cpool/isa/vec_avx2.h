/* The primitive vocabulary of isa/vec_scalar.h for x86 with AVX2. */
#ifndef CP_ISA_VEC_AVX2_H
#define CP_ISA_VEC_AVX2_H

#define CP_VEC static inline

#define vf32_N 8
#define vf64_N 4
typedef __m256 vf32;
typedef __m256d vf64;
typedef __m256 vf32_mask; /* all bits of a lane, or none */
typedef __m256d vf64_mask;
typedef __m256i vf64_int;

/* clang-format off */
CP_VEC vf32 vf32_load(const float *p) { return _mm256_loadu_ps(p); }
CP_VEC vf64 vf64_load(const double *p) { return _mm256_loadu_pd(p); }
CP_VEC void vf32_store(float *p, vf32 v) { _mm256_storeu_ps(p, v); }
CP_VEC void vf64_store(double *p, vf64 v) { _mm256_storeu_pd(p, v); }
/* Lanes 0 to n - 1. What is masked off is not accessed. */
CP_VEC __m256i cp_first_f32(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
CP_VEC __m256i cp_first_f64(int64_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
CP_VEC vf32 vf32_load_n(const float *p, int64_t n, float fill)
{
    __m256i first = cp_first_f32(n);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
}
CP_VEC vf64 vf64_load_n(const double *p, int64_t n, double fill)
{
    __m256i first = cp_first_f64(n);
    return _mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, first), _mm256_castsi256_pd(first));
}
CP_VEC void vf32_store_n(float *p, vf32 v, int64_t n) { _mm256_maskstore_ps(p, cp_first_f32(n), v); }
CP_VEC void vf64_store_n(double *p, vf64 v, int64_t n) { _mm256_maskstore_pd(p, cp_first_f64(n), v); }
CP_VEC vf32 vf32_set1(float x) { return _mm256_set1_ps(x); }
CP_VEC vf64 vf64_set1(double x) { return _mm256_set1_pd(x); }

CP_VEC vf32 vf32_add(vf32 a, vf32 b) { return _mm256_add_ps(a, b); }
CP_VEC vf64 vf64_add(vf64 a, vf64 b) { return _mm256_add_pd(a, b); }
CP_VEC vf32 vf32_sub(vf32 a, vf32 b) { return _mm256_sub_ps(a, b); }
CP_VEC vf64 vf64_sub(vf64 a, vf64 b) { return _mm256_sub_pd(a, b); }
CP_VEC vf32 vf32_mul(vf32 a, vf32 b) { return _mm256_mul_ps(a, b); }
CP_VEC vf64 vf64_mul(vf64 a, vf64 b) { return _mm256_mul_pd(a, b); }
CP_VEC vf32 vf32_div(vf32 a, vf32 b) { return _mm256_div_ps(a, b); }
CP_VEC vf64 vf64_div(vf64 a, vf64 b) { return _mm256_div_pd(a, b); }
CP_VEC vf32 vf32_sqrt(vf32 a) { return _mm256_sqrt_ps(a); }
CP_VEC vf64 vf64_sqrt(vf64 a) { return _mm256_sqrt_pd(a); }
CP_VEC vf32 vf32_abs(vf32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
CP_VEC vf64 vf64_abs(vf64 a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }

/* The instruction returns its second operand where either is NaN; all bits set is a NaN. */
CP_VEC vf32 vf32_max(vf32 a, vf32 b) { return _mm256_or_ps(_mm256_max_ps(b, a), _mm256_cmp_ps(b, b, _CMP_UNORD_Q)); }
CP_VEC vf64 vf64_max(vf64 a, vf64 b) { return _mm256_or_pd(_mm256_max_pd(b, a), _mm256_cmp_pd(b, b, _CMP_UNORD_Q)); }
CP_VEC vf32 vf32_min(vf32 a, vf32 b) { return _mm256_or_ps(_mm256_min_ps(b, a), _mm256_cmp_ps(b, b, _CMP_UNORD_Q)); }
CP_VEC vf64 vf64_min(vf64 a, vf64 b) { return _mm256_or_pd(_mm256_min_pd(b, a), _mm256_cmp_pd(b, b, _CMP_UNORD_Q)); }

CP_VEC vf32_mask vf32_gt(vf32 a, vf32 b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
CP_VEC vf64_mask vf64_gt(vf64 a, vf64 b) { return _mm256_cmp_pd(a, b, _CMP_GT_OQ); }
CP_VEC vf32_mask vf32_eq(vf32 a, vf32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
CP_VEC vf64_mask vf64_eq(vf64 a, vf64 b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
CP_VEC vf32_mask vf32_isnan(vf32 a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
CP_VEC vf64_mask vf64_isnan(vf64 a) { return _mm256_cmp_pd(a, a, _CMP_UNORD_Q); }
CP_VEC vf32_mask vf32_mask_and(vf32_mask a, vf32_mask b) { return _mm256_and_ps(a, b); }
CP_VEC vf64_mask vf64_mask_and(vf64_mask a, vf64_mask b) { return _mm256_and_pd(a, b); }
CP_VEC vf32_mask vf32_mask_or(vf32_mask a, vf32_mask b) { return _mm256_or_ps(a, b); }
CP_VEC vf64_mask vf64_mask_or(vf64_mask a, vf64_mask b) { return _mm256_or_pd(a, b); }
CP_VEC vf32_mask vf32_mask_andnot(vf32_mask a, vf32_mask b) { return _mm256_andnot_ps(b, a); }
CP_VEC vf64_mask vf64_mask_andnot(vf64_mask a, vf64_mask b) { return _mm256_andnot_pd(b, a); }
CP_VEC vf32 vf32_select(vf32_mask m, vf32 a, vf32 b) { return _mm256_blendv_ps(b, a, m); }
CP_VEC vf64 vf64_select(vf64_mask m, vf64 a, vf64 b) { return _mm256_blendv_pd(b, a, m); }

CP_VEC vf64_int vf64_bits(vf64 a) { return _mm256_castpd_si256(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return _mm256_castsi256_pd(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return _mm256_add_epi64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return _mm256_sub_epi64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return _mm256_and_si256(a, b); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return _mm256_sll_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return _mm256_srl_epi64(a, _mm_cvtsi32_si128(n)); }
/* clang-format on */

#endif
