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
CP_VEC __m128i cp_first_half_f32(int64_t n) { return _mm_cmpgt_epi32(_mm_set1_epi32((int)n), _mm_setr_epi32(0, 1, 2, 3)); }
CP_VEC vf64 vf64_load_f32(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
CP_VEC vf64 vf64_load_f32_n(const float *p, int64_t n, double fill)
{
    __m256d first = _mm256_castsi256_pd(cp_first_f64(n));
    return _mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_cvtps_pd(_mm_maskload_ps(p, cp_first_half_f32(n))), first);
}
CP_VEC void vf64_store_f32(float *p, vf64 v) { _mm_storeu_ps(p, _mm256_cvtpd_ps(v)); }
CP_VEC void vf64_store_f32_n(float *p, vf64 v, int64_t n) { _mm_maskstore_ps(p, cp_first_half_f32(n), _mm256_cvtpd_ps(v)); }

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

CP_VEC vf32 vf32_bits_shl(vf32 a, int n)
{ return _mm256_castsi256_ps(_mm256_sll_epi32(_mm256_castps_si256(a), _mm_cvtsi32_si128(n))); }
CP_VEC vf64_int vf64_bits(vf64 a) { return _mm256_castpd_si256(a); }
CP_VEC vf64 vf64_from_bits(vf64_int a) { return _mm256_castsi256_pd(a); }
CP_VEC vf64_int vf64_int_set1(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
CP_VEC vf64_int vf64_int_add(vf64_int a, vf64_int b) { return _mm256_add_epi64(a, b); }
CP_VEC vf64_int vf64_int_sub(vf64_int a, vf64_int b) { return _mm256_sub_epi64(a, b); }
CP_VEC vf64_int vf64_int_and(vf64_int a, vf64_int b) { return _mm256_and_si256(a, b); }
CP_VEC vf64_int vf64_int_xor(vf64_int a, vf64_int b) { return _mm256_xor_si256(a, b); }
CP_VEC vf64_int vf64_int_mul32(vf64_int a, vf64_int b) { return _mm256_mul_epu32(a, b); }
CP_VEC vf64_int vf64_int_shl(vf64_int a, int n) { return _mm256_sll_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_shr(vf64_int a, int n) { return _mm256_srl_epi64(a, _mm_cvtsi32_si128(n)); }
CP_VEC vf64_int vf64_int_high32(vf64_int a) { return _mm256_shuffle_epi32(a, _MM_SHUFFLE(3, 3, 1, 1)); }

/* "Not less or equal" is true of an unordered pair. */
CP_VEC vf32_mask vf32_above(vf32 a, vf32 b)
{ return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ), _mm256_cmp_ps(b, b, _CMP_ORD_Q)); }
CP_VEC vf64_mask vf64_above(vf64 a, vf64 b)
{ return _mm256_and_pd(_mm256_cmp_pd(a, b, _CMP_NLE_UQ), _mm256_cmp_pd(b, b, _CMP_ORD_Q)); }
CP_VEC vf32_mask vf32_below(vf32 a, vf32 b)
{ return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NGE_UQ), _mm256_cmp_ps(b, b, _CMP_ORD_Q)); }
CP_VEC vf64_mask vf64_below(vf64 a, vf64 b)
{ return _mm256_and_pd(_mm256_cmp_pd(a, b, _CMP_NGE_UQ), _mm256_cmp_pd(b, b, _CMP_ORD_Q)); }
/* Shuffles work on halves: pairs of lanes are put in order afterwards, or before. */
CP_VEC __m256 cp_halves_f32(__m256 a)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), _MM_SHUFFLE(3, 1, 2, 0)));
}
CP_VEC void vf32_unzip(vf32 a, vf32 b, vf32 *even, vf32 *odd)
{
    *even = cp_halves_f32(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
    *odd = cp_halves_f32(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
}
CP_VEC void vf64_unzip(vf64 a, vf64 b, vf64 *even, vf64 *odd)
{
    *even = _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    *odd = _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}
CP_VEC void vf32_zip(vf32 even, vf32 odd, vf32 *a, vf32 *b)
{
    __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}
CP_VEC void vf64_zip(vf64 even, vf64 odd, vf64 *a, vf64 *b)
{
    __m256d low = _mm256_unpacklo_pd(even, odd), high = _mm256_unpackhi_pd(even, odd);
    *a = _mm256_permute2f128_pd(low, high, 0x20);
    *b = _mm256_permute2f128_pd(low, high, 0x31);
}

/* Of 32 bits each, also of doubles; the sign says which of two vectors. */
typedef __m256i vf32_places;
typedef __m256i vf64_places;
CP_VEC vf32_places vf32_places_from(const int32_t *index)
{
    __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)index);
    return _mm256_or_si256(at, _mm256_slli_epi32(at, 28));
}
CP_VEC vf64_places vf64_places_from(const int32_t *index)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3), half = _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1);
    __m256i at = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)index));
    at = _mm256_add_epi32(_mm256_slli_epi32(_mm256_permutevar8x32_epi32(at, twice), 1), half);
    return _mm256_or_si256(at, _mm256_slli_epi32(at, 28));
}
CP_VEC vf32 vf32_pick(vf32 a, vf32 b, vf32_places places)
{
    __m256 of_a = _mm256_permutevar8x32_ps(a, places), of_b = _mm256_permutevar8x32_ps(b, places);
    return _mm256_blendv_ps(of_a, of_b, _mm256_castsi256_ps(places));
}
CP_VEC vf64 vf64_pick(vf64 a, vf64 b, vf64_places places)
{ return _mm256_castps_pd(vf32_pick(_mm256_castpd_ps(a), _mm256_castpd_ps(b), places)); }

typedef struct cp_lanes {
    __m256i there; /* all bits of a lane, or none */
    int lo, hi;
} cp_lanes;
typedef cp_lanes vf32_lanes;
typedef cp_lanes vf64_lanes;
CP_VEC int cp_clamp_lane(int64_t lane, int most) { return lane < 0 ? 0 : lane > most ? most : (int)lane; }
CP_VEC vf32_lanes vf32_lanes_from(int64_t lo, int64_t hi)
{
    vf32_lanes lanes = {.lo = cp_clamp_lane(lo, 8), .hi = cp_clamp_lane(hi, 8)};
    lanes.there = _mm256_andnot_si256(cp_first_f32(lanes.lo), cp_first_f32(lanes.hi));
    return lanes;
}
CP_VEC vf64_lanes vf64_lanes_from(int64_t lo, int64_t hi)
{
    vf64_lanes lanes = {.lo = cp_clamp_lane(lo, 4), .hi = cp_clamp_lane(hi, 4)};
    lanes.there = _mm256_andnot_si256(cp_first_f64(lanes.lo), cp_first_f64(lanes.hi));
    return lanes;
}
CP_VEC vf32 vf32_load_lanes(const float *p, vf32_lanes lanes, vf32 fill)
{
    return _mm256_blendv_ps(fill, _mm256_maskload_ps(p, lanes.there), _mm256_castsi256_ps(lanes.there));
}
CP_VEC vf64 vf64_load_lanes(const double *p, vf64_lanes lanes, vf64 fill)
{
    return _mm256_blendv_pd(fill, _mm256_maskload_pd(p, lanes.there), _mm256_castsi256_pd(lanes.there));
}

CP_VEC __m128i cp_load_bytes(const uint8_t *p, int64_t n, int64_t most)
{
    uint64_t bytes = 0;
    if (n == most) {
        memcpy(&bytes, p, (size_t)most);
    } else {
        for (int64_t l = 0; l < n; l++) {
            bytes |= (uint64_t)p[l] << (8 * l);
        }
    }
    return _mm_cvtsi64_si128((long long)bytes);
}
CP_VEC void cp_store_bytes(uint8_t *p, uint64_t bytes, int64_t n, int64_t most)
{
    if (n == most) {
        memcpy(p, &bytes, (size_t)most);
    } else {
        for (int64_t l = 0; l < n; l++) {
            p[l] = (uint8_t)(bytes >> (8 * l));
        }
    }
}
/* Bytes lo to hi - 1, each where it is in 8 of them. Of 4 and more two words are read that overlap. */
CP_VEC uint64_t cp_load_between(const uint8_t *p, int lo, int hi)
{
    uint64_t bytes = 0;
    uint32_t low, high;
    if (hi - lo == 8) {
        memcpy(&bytes, p, sizeof bytes);
        return bytes;
    }
    if (hi - lo >= 4) {
        memcpy(&low, p + lo, sizeof low);
        memcpy(&high, p + hi - 4, sizeof high);
        return (uint64_t)low << (8 * lo) | (uint64_t)high << (8 * (hi - 4));
    }
    for (int l = lo; l < hi; l++) {
        bytes |= (uint64_t)p[l] << (8 * l);
    }
    return bytes;
}
/* Widened to lanes, where several comparisons take no longer than one. */
typedef __m256i vf32_codes;
typedef __m256i vf64_codes;
CP_VEC vf32_codes vf32_load_codes(const uint8_t *p, int64_t n) { return _mm256_cvtepu8_epi32(cp_load_bytes(p, n, 8)); }
CP_VEC vf64_codes vf64_load_codes(const uint8_t *p, int64_t n) { return _mm256_cvtepu8_epi64(cp_load_bytes(p, n, 4)); }
CP_VEC vf32_codes vf32_load_codes_lanes(const uint8_t *p, vf32_lanes lanes)
{ return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)cp_load_between(p, lanes.lo, lanes.hi))); }
CP_VEC vf64_codes vf64_load_codes_lanes(const uint8_t *p, vf64_lanes lanes)
{ return _mm256_cvtepu8_epi64(_mm_cvtsi64_si128((long long)cp_load_between(p, lanes.lo, lanes.hi))); }
CP_VEC vf32_mask vf32_is_code(vf32_codes codes, int code)
{ return _mm256_castsi256_ps(_mm256_cmpeq_epi32(codes, _mm256_set1_epi32(code))); }
CP_VEC vf64_mask vf64_is_code(vf64_codes codes, int code)
{ return _mm256_castsi256_pd(_mm256_cmpeq_epi64(codes, _mm256_set1_epi64x(code))); }
CP_VEC void vf32_store_u8(uint8_t *p, vf32 v, int64_t n)
{
    const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, /**/
                                               -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_cvtps_epi32(v), low_bytes);
    bytes = _mm256_castsi128_si256(_mm_or_si128(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
    cp_store_bytes(p, (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(bytes)), n, 8);
}
CP_VEC void vf64_store_u8(uint8_t *p, vf64 v, int64_t n)
{
    const __m128i low_bytes = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m128i bytes = _mm_shuffle_epi8(_mm256_cvtpd_epi32(v), low_bytes);
    cp_store_bytes(p, (uint64_t)_mm_cvtsi128_si64(bytes), n, 4);
}
CP_VEC vf32 vf32_load_u8(const uint8_t *p, int64_t n)
{ return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(cp_load_bytes(p, n, 8))); }
CP_VEC vf64 vf64_load_u8(const uint8_t *p, int64_t n) { return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(cp_load_bytes(p, n, 4))); }
CP_VEC vf32 vf32_add_where(vf32_mask m, vf32 a, vf32 b) { return _mm256_add_ps(a, _mm256_and_ps(m, b)); }
CP_VEC vf64 vf64_add_where(vf64_mask m, vf64 a, vf64 b) { return _mm256_add_pd(a, _mm256_and_pd(m, b)); }
/* clang-format on */

#endif
