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
CP_VEC vf64 vf64_load_f32(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill)
{
    __mmask8 first = (__mmask8)((1u << n) - 1u);
    return _mm512_mask_cvtps_pd(_mm512_set1_pd(fill), first, _mm256_maskz_loadu_ps(first, p));
}
CP_VEC void vf64_store_f32(float *p, vf64 v) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(v)); }
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n)
{
    _mm256_mask_storeu_ps(p, (__mmask8)((1u << n) - 1u), _mm512_cvtpd_ps(v));
}

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

CP_VEC vf32 vf32_bits_shl(vf32 a, int n)
{ return _mm512_castsi512_ps(_mm512_sll_epi32(_mm512_castps_si512(a), _mm_cvtsi32_si128(n))); }
CP_VEC vf64_int vf64_bits(vf64 a) { return _mm512_castpd_si512(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return _mm512_castsi512_pd(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return _mm512_set1_epi64((long long)x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return _mm512_add_epi64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return _mm512_sub_epi64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return _mm512_and_si512(a, b); }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return _mm512_xor_si512(a, b); }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b) { return _mm512_mul_epu32(a, b); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return _mm512_sll_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return _mm512_srl_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_high32(vf64_int a) { return _mm512_shuffle_epi32(a, _MM_PERM_DDBB); }

/* "Not less or equal" is true of an unordered pair. */
CP_VEC vf32_mask vf32_above(vf32 a, vf32 b)
{ return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ); }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b)
{ return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ); }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b)
{ return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NGE_UQ); }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b)
{ return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NGE_UQ); }
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd)
{
    const __m512i first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, first, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(1)), b);
}
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd)
{
    const __m512i first = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    *even = _mm512_permutex2var_pd(a, first, b);
    *odd = _mm512_permutex2var_pd(a, _mm512_add_epi64(first, _mm512_set1_epi64(1)), b);
}
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b)
{
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(even, first, odd);
    *b = _mm512_permutex2var_ps(even, _mm512_add_epi32(first, _mm512_set1_epi32(8)), odd);
}
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b)
{
    const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    *a = _mm512_permutex2var_pd(even, first, odd);
    *b = _mm512_permutex2var_pd(even, _mm512_add_epi64(first, _mm512_set1_epi64(4)), odd);
}

typedef __m512i vf32_places;
typedef __m512i vf64_places;
CP_VEC vf32_places vf32_places_from(const int32_t *index) { return _mm512_loadu_si512(index); }
CP_VEC vf64_places vf64_places_from(const int32_t *index)
{ return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)index)); }
CP_VEC vf32 vf32_pick(vf32 a, vf32 b, vf32_places places) { return _mm512_permutex2var_ps(a, places, b); }
CP_VEC vf64 vf64_pick(vf64 a, vf64 b, vf64_places places) { return _mm512_permutex2var_pd(a, places, b); }

typedef __mmask16 vf32_lanes;
typedef __mmask8 vf64_lanes;
CP_VEC unsigned cp_first_lanes(int64_t n) { return n <= 0 ? 0u : n >= 16 ? 0xffffu : (1u << n) - 1u; }
CP_VEC vf32_lanes vf32_lanes_from(int64_t lo, int64_t hi) { return (__mmask16)(cp_first_lanes(hi) & ~cp_first_lanes(lo)); }
CP_VEC vf64_lanes vf64_lanes_from(int64_t lo, int64_t hi) { return (__mmask8)(cp_first_lanes(hi) & ~cp_first_lanes(lo)); }
CP_VEC vf32 vf32_load_lanes(const float *p, vf32_lanes lanes, vf32 fill) { return _mm512_mask_loadu_ps(fill, lanes, p); }
CP_VEC vf64 vf64_load_lanes(const double *p, vf64_lanes lanes, vf64 fill) { return _mm512_mask_loadu_pd(fill, lanes, p); }

typedef __m128i vf32_codes;
typedef __m128i vf64_codes;
CP_VEC vf32_codes vf32_load_codes(const uint8_t *p, int64_t n)
{
    return n == 16 ? _mm_loadu_si128((const __m128i *)(const void *)p) : _mm_maskz_loadu_epi8((__mmask16)cp_first_lanes(n), p);
}
CP_VEC vf64_codes vf64_load_codes(const uint8_t *p, int64_t n)
{
    return n == 8 ? _mm_loadl_epi64((const __m128i *)(const void *)p) : _mm_maskz_loadu_epi8((__mmask16)cp_first_lanes(n), p);
}
CP_VEC vf32_codes vf32_load_codes_lanes(const uint8_t *p, vf32_lanes lanes) { return _mm_maskz_loadu_epi8(lanes, p); }
CP_VEC vf64_codes vf64_load_codes_lanes(const uint8_t *p, vf64_lanes lanes) { return _mm_maskz_loadu_epi8(lanes, p); }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code) { return _mm_cmpeq_epi8_mask(codes, _mm_set1_epi8((char)code)); }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code)
{ return (__mmask8)_mm_cmpeq_epi8_mask(codes, _mm_set1_epi8((char)code)); }
CP_VEC void vf32_store_u8(uint8_t *p, vf32 v, int64_t n)
{
    _mm_mask_storeu_epi8(p, (__mmask16)cp_first_lanes(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
CP_VEC void vf64_store_u8(uint8_t *p, vf64 v, int64_t n)
{
    _mm_mask_storeu_epi8(p, (__mmask16)cp_first_lanes(n), _mm256_cvtepi32_epi8(_mm512_cvtpd_epi32(v)));
}
CP_VEC vf32 vf32_load_u8(const uint8_t *p, int64_t n)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)cp_first_lanes(n), p)));
}
CP_VEC vf64 vf64_load_u8(const uint8_t *p, int64_t n)
{
    return _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)cp_first_lanes(n), p)));
}
CP_VEC vf32 vf32_add_where(vf32_mask m, vf32 a, vf32 b) { return _mm512_mask_add_ps(a, m, a, b); }
CP_VEC vf64 vf64_add_where(vf64_mask m, vf64 a, vf64 b) { return _mm512_mask_add_pd(a, m, a, b); }
/* clang-format on */

#endif
