/* Checks isa/vec_*.h: every primitive of every instruction set that is built here and that the CPU has, against the text at the
 * top of isa/vec_scalar.h.
 *
 *     cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -ffp-contract=off -Iinclude -Isrc/cpool \
 *         tests/c/check_vec.c src/cpool/cpu_x86.c -o check_vec
 *
 * Prints "N passed, 0 failed". A crash is a failure too: buffers end where memory ends. */
#if defined(__unix__) || defined(__APPLE__)
#  define CHECK_PAGES 1
#  if !defined(__APPLE__)
#    define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#  endif
#  include <sys/mman.h>
#  include <unistd.h>
#endif
#include <float.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#  include <immintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#  include <arm_neon.h>
#elif defined(__wasm_simd128__)
#  include <wasm_simd128.h>
#endif

#include "dispatch.h"
#include "isa/list.h"
#include "isa/region.h"

enum {
    CHECK_LANES = 16, /* of the widest vector */
    CHECK_TABLE = 34,
    CHECK_TABLE_PAIRS = CHECK_TABLE * CHECK_TABLE,
    CHECK_RANDOM_PAIRS = 2048,
    CHECK_PAIRS = CHECK_TABLE_PAIRS + CHECK_RANDOM_PAIRS,
    CHECK_UNTOUCHED = 0x5a
};

/* ---- Values ------------------------------------------------------------------------------------------------------------ */

/* Magnitudes; each enters with both signs. */
static const uint32_t table_f32[CHECK_TABLE / 2] = {
    0x00000000, 0x00000001, 0x00000002, 0x007fffff, 0x00800000, 0x00800001, /* zero, denormals, the smallest normals */
    0x33800000, 0x3eaaaaab, 0x3f7fffff, 0x3f800000, 0x3f800001, 0x40400000, /* 2^-24, 1/3, around 1, 3 */
    0x4b800001, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7f800001, /* 2^24 + 2, largest, infinity, NaN, one signalling */
};
static const uint64_t table_f64[CHECK_TABLE / 2] = {
    UINT64_C(0x0000000000000000), UINT64_C(0x0000000000000001), UINT64_C(0x0000000000000002), UINT64_C(0x000fffffffffffff),
    UINT64_C(0x0010000000000000), UINT64_C(0x0010000000000001), UINT64_C(0x3ca0000000000000), UINT64_C(0x3fd5555555555555),
    UINT64_C(0x3fefffffffffffff), UINT64_C(0x3ff0000000000000), UINT64_C(0x3ff0000000000001), UINT64_C(0x4008000000000000),
    UINT64_C(0x4340000000000001), UINT64_C(0x7fefffffffffffff), UINT64_C(0x7ff0000000000000), UINT64_C(0x7ff8000000000000),
    UINT64_C(0x7ff0000000000001),
};

/* Pair k of a lane type is (a[k], b[k]): first every pair of the table, then any bits, at the end numbers in 1 .. 2. */
static float a_f32[CHECK_PAIRS], b_f32[CHECK_PAIRS];
static double a_f64[CHECK_PAIRS], b_f64[CHECK_PAIRS];

static uint64_t random_bits(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void make_pair(int k, int j, float *narrow, double *wide)
{
    int entry = j == 0 ? k / CHECK_TABLE : k % CHECK_TABLE;
    uint64_t random = random_bits();
    uint32_t bits32 = (uint32_t)random;
    uint64_t bits64 = random;
    if (k < CHECK_TABLE_PAIRS) {
        bits32 = table_f32[entry / 2] | (uint32_t)(entry % 2) << 31;
        bits64 = table_f64[entry / 2] | (uint64_t)(entry % 2) << 63;
    } else if (k >= CHECK_PAIRS - CHECK_RANDOM_PAIRS / 2) {
        bits32 = UINT32_C(0x3f800000) | (bits32 & UINT32_C(0x7fffff));
        bits64 = UINT64_C(0x3ff0000000000000) | (bits64 & UINT64_C(0xfffffffffffff));
    }
#if defined(__i386__) /* results of functions pass through the x87, which makes signalling NaNs quiet */
    bits32 |= (bits32 & 0x7fffffff) > 0x7f800000 ? UINT32_C(1) << 22 : 0;
    bits64 |= (bits64 & INT64_MAX) > UINT64_C(0x7ff) << 52 ? UINT64_C(1) << 51 : 0;
#endif
    memcpy(narrow, &bits32, sizeof bits32);
    memcpy(wide, &bits64, sizeof bits64);
}

static double nan_f64(void)
{
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The square root, rounded to nearest even to `digits` binary digits, by integers only. */
static double square_root(double x, int digits)
{
    if (x != x || x == 0 || x > DBL_MAX) {
        return x;
    }
    if (x < 0) {
        return nan_f64();
    }
    double scale = 1;
    for (; x < 1; x *= 4) {
        scale /= 2;
    }
    for (; x >= 4; x /= 4) {
        scale *= 2;
    }
    uint64_t radicand = (uint64_t)(x * 0x1p52), root = 0, rest = 0;
    for (int i = 0; i <= digits; i++) { /* one digit more than is kept */
        rest = rest * 4 + (i <= 26 ? radicand >> (52 - 2 * i) & 3 : 0);
        int digit = rest >= root * 4 + 1;
        rest -= digit ? root * 4 + 1 : 0;
        root = root * 2 + (uint64_t)digit;
    }
    int up = (root & 1) && (rest > 0 || (root & 2));
    double rounded = (double)(root / 2 + (uint64_t)up);
    return rounded / (double)(UINT64_C(1) << (digits - 1)) * scale;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------------ */

/* Where the system has pages, those before and behind the arena may not be touched. */
static struct {
    char *begin, *end;
} arena;

static int make_arena(void)
{
#if CHECK_PAGES
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, page, PROT_NONE) != 0 || mprotect(pages + 2 * page, page, PROT_NONE) != 0) {
        return 0;
    }
    arena.begin = pages + page;
    arena.end = pages + 2 * page;
#else
    static char buffer[4096];
    arena.begin = buffer;
    arena.end = buffer + sizeof buffer;
#endif
    return 1;
}

/* ---- Counting ---------------------------------------------------------------------------------------------------------- */

static long passed, failed;

static void expect(int good, const char *isa, const char *lane, const char *what, uint64_t a, uint64_t b, uint64_t got,
                   uint64_t want)
{
    if (good) {
        passed++;
    } else if (failed++ < 20) {
        printf("%s %s %s: a %#" PRIx64 ", b %#" PRIx64 ": got %#" PRIx64 ", want %#" PRIx64 "\n", isa, lane, what, a, b, got,
               want);
    }
}

/* ---- Every instruction set --------------------------------------------------------------------------------------------- */

/* The headers define the same names; here each gets its instruction set appended: vf32_add_avx2. This is the whole vocabulary,
 * but for the macros vf32_N and vf64_N. */
#define CHECK_NAME__(name, isa) name##_##isa
#define CHECK_NAME_(name, isa) CHECK_NAME__(name, isa)
#define CHECK_NAME(name) CHECK_NAME_(name, CP_ISA_NAME)
#define vf32 CHECK_NAME(vf32)
#define vf32_mask CHECK_NAME(vf32_mask)
#define vf32_load CHECK_NAME(vf32_load)
#define vf32_store CHECK_NAME(vf32_store)
#define vf32_load_n CHECK_NAME(vf32_load_n)
#define vf32_store_n CHECK_NAME(vf32_store_n)
#define vf32_set1 CHECK_NAME(vf32_set1)
#define vf32_add CHECK_NAME(vf32_add)
#define vf32_sub CHECK_NAME(vf32_sub)
#define vf32_mul CHECK_NAME(vf32_mul)
#define vf32_div CHECK_NAME(vf32_div)
#define vf32_sqrt CHECK_NAME(vf32_sqrt)
#define vf32_abs CHECK_NAME(vf32_abs)
#define vf32_max CHECK_NAME(vf32_max)
#define vf32_min CHECK_NAME(vf32_min)
#define vf32_gt CHECK_NAME(vf32_gt)
#define vf32_eq CHECK_NAME(vf32_eq)
#define vf32_isnan CHECK_NAME(vf32_isnan)
#define vf32_mask_and CHECK_NAME(vf32_mask_and)
#define vf32_mask_or CHECK_NAME(vf32_mask_or)
#define vf32_mask_andnot CHECK_NAME(vf32_mask_andnot)
#define vf32_select CHECK_NAME(vf32_select)
#define vf32_above CHECK_NAME(vf32_above)
#define vf32_below CHECK_NAME(vf32_below)
#define vf32_unzip CHECK_NAME(vf32_unzip)
#define vf32_zip CHECK_NAME(vf32_zip)
#define vf32_places CHECK_NAME(vf32_places)
#define vf32_places_from CHECK_NAME(vf32_places_from)
#define vf32_pick CHECK_NAME(vf32_pick)
#define vf32_lanes CHECK_NAME(vf32_lanes)
#define vf32_lanes_from CHECK_NAME(vf32_lanes_from)
#define vf32_load_lanes CHECK_NAME(vf32_load_lanes)
#define vf32_codes CHECK_NAME(vf32_codes)
#define vf32_widen CHECK_NAME(vf32_widen)
#define vf32_numbers CHECK_NAME(vf32_numbers)
#define vf32_narrow CHECK_NAME(vf32_narrow)
#define vf32_word CHECK_NAME(vf32_word)
#define vf32_load_codes CHECK_NAME(vf32_load_codes)
#define vf32_load_codes_lanes CHECK_NAME(vf32_load_codes_lanes)
#define vf32_is_code CHECK_NAME(vf32_is_code)
#define vf32_store_u8 CHECK_NAME(vf32_store_u8)
#define vf32_load_u8 CHECK_NAME(vf32_load_u8)
#define vf32_add_where CHECK_NAME(vf32_add_where)
#define vf32_bits_shl CHECK_NAME(vf32_bits_shl)
#define vf64 CHECK_NAME(vf64)
#define vf64_mask CHECK_NAME(vf64_mask)
#define vf64_load CHECK_NAME(vf64_load)
#define vf64_store CHECK_NAME(vf64_store)
#define vf64_load_n CHECK_NAME(vf64_load_n)
#define vf64_store_n CHECK_NAME(vf64_store_n)
#define vf64_load_f32 CHECK_NAME(vf64_load_f32)
#define vf64_load_f32_n CHECK_NAME(vf64_load_f32_n)
#define vf64_store_f32 CHECK_NAME(vf64_store_f32)
#define vf64_store_f32_n CHECK_NAME(vf64_store_f32_n)
#define vf64_set1 CHECK_NAME(vf64_set1)
#define vf64_add CHECK_NAME(vf64_add)
#define vf64_sub CHECK_NAME(vf64_sub)
#define vf64_mul CHECK_NAME(vf64_mul)
#define vf64_div CHECK_NAME(vf64_div)
#define vf64_sqrt CHECK_NAME(vf64_sqrt)
#define vf64_abs CHECK_NAME(vf64_abs)
#define vf64_max CHECK_NAME(vf64_max)
#define vf64_min CHECK_NAME(vf64_min)
#define vf64_gt CHECK_NAME(vf64_gt)
#define vf64_eq CHECK_NAME(vf64_eq)
#define vf64_isnan CHECK_NAME(vf64_isnan)
#define vf64_mask_and CHECK_NAME(vf64_mask_and)
#define vf64_mask_or CHECK_NAME(vf64_mask_or)
#define vf64_mask_andnot CHECK_NAME(vf64_mask_andnot)
#define vf64_select CHECK_NAME(vf64_select)
#define vf64_above CHECK_NAME(vf64_above)
#define vf64_below CHECK_NAME(vf64_below)
#define vf64_unzip CHECK_NAME(vf64_unzip)
#define vf64_zip CHECK_NAME(vf64_zip)
#define vf64_places CHECK_NAME(vf64_places)
#define vf64_places_from CHECK_NAME(vf64_places_from)
#define vf64_pick CHECK_NAME(vf64_pick)
#define vf64_lanes CHECK_NAME(vf64_lanes)
#define vf64_lanes_from CHECK_NAME(vf64_lanes_from)
#define vf64_load_lanes CHECK_NAME(vf64_load_lanes)
#define vf64_codes CHECK_NAME(vf64_codes)
#define vf64_widen CHECK_NAME(vf64_widen)
#define vf64_numbers CHECK_NAME(vf64_numbers)
#define vf64_narrow CHECK_NAME(vf64_narrow)
#define vf64_word CHECK_NAME(vf64_word)
#define vf64_load_codes CHECK_NAME(vf64_load_codes)
#define vf64_load_codes_lanes CHECK_NAME(vf64_load_codes_lanes)
#define vf64_is_code CHECK_NAME(vf64_is_code)
#define vf64_store_u8 CHECK_NAME(vf64_store_u8)
#define vf64_load_u8 CHECK_NAME(vf64_load_u8)
#define vf64_add_where CHECK_NAME(vf64_add_where)
#define vf64_int CHECK_NAME(vf64_int)
#define vf64_bits CHECK_NAME(vf64_bits)
#define vf64_from_bits CHECK_NAME(vf64_from_bits)
#define vf64_int_set1 CHECK_NAME(vf64_int_set1)
#define vf64_int_add CHECK_NAME(vf64_int_add)
#define vf64_int_sub CHECK_NAME(vf64_int_sub)
#define vf64_int_and CHECK_NAME(vf64_int_and)
#define vf64_int_xor CHECK_NAME(vf64_int_xor)
#define vf64_int_mul32 CHECK_NAME(vf64_int_mul32)
#define vf64_int_shl CHECK_NAME(vf64_int_shl)
#define vf64_int_shr CHECK_NAME(vf64_int_shr)
#define vf64_int_high32 CHECK_NAME(vf64_int_high32)
#define cp_clamp_lane CHECK_NAME(cp_clamp_lane)

/* V(add) is the primitive of the lane type at hand, LANE(check) the function that checks it: check_f32_avx2. */
#define CHECK_GLUE_(a, b, c) a##b##c
#define CHECK_GLUE(a, b, c) CHECK_GLUE_(a, b, c)
#define V(operation) CHECK_GLUE(v, CP_LANE, _##operation)
#define CP_VECTOR CHECK_GLUE(v, CP_LANE, )
#define A CHECK_GLUE(a_, CP_LANE, )
#define B CHECK_GLUE(b_, CP_LANE, )
#define LANE__(name, lane, isa) name##_##lane##_##isa
#define LANE_(name, lane, isa) LANE__(name, lane, isa)
#define LANE(name) LANE_(name, CP_LANE, CP_ISA_NAME)
#define CHECK_TEXT_(x) #x
#define CHECK_TEXT(x) CHECK_TEXT_(x)

#define CP_ISA_NAME scalar
CP_REGION_BEGIN_BASE
#include "isa/vec_scalar.h"
#include "check_vec_isa.h"
CP_REGION_END_BASE
#undef CP_ISA_NAME

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)

#  define CP_ISA_NAME sse41
CP_REGION_BEGIN("sse4.1")
#  include "isa/vec_sse41.h"
#  include "check_vec_isa.h"
CP_REGION_END
#  undef CP_ISA_NAME

#  define CP_ISA_NAME avx2
CP_REGION_BEGIN("avx2")
#  include "isa/vec_avx2.h"
#  include "check_vec_isa.h"
CP_REGION_END
#  undef CP_ISA_NAME

#  define CP_ISA_NAME avx512
CP_REGION_BEGIN("avx512f,avx512dq,avx512bw,avx512vl")
#  include "isa/vec_avx512.h"
#  include "check_vec_isa.h"
CP_REGION_END
#  undef CP_ISA_NAME

#elif defined(__aarch64__) || defined(_M_ARM64)

#  define CP_ISA_NAME neon
CP_REGION_BEGIN_BASE
#  include "isa/vec_neon.h"
#  include "check_vec_isa.h"
CP_REGION_END_BASE
#  undef CP_ISA_NAME

#elif defined(__wasm_simd128__)

#  define CP_ISA_NAME wasm
CP_REGION_BEGIN_BASE
#  include "isa/vec_wasm.h"
#  include "check_vec_isa.h"
CP_REGION_END_BASE
#  undef CP_ISA_NAME

#endif

int main(void)
{
    if (!make_arena()) {
        printf("no memory\n");
        return 1;
    }
    for (int k = 0; k < CHECK_PAIRS; k++) {
        make_pair(k, 0, &a_f32[k], &a_f64[k]);
        make_pair(k, 1, &b_f32[k], &b_f64[k]);
    }
#define CHECK_ROW(constant, name) \
    if (cp_cpu_has(CPOOL_ISA_##constant)) { \
        check_##name(); \
        printf("%s: done\n", #name); \
    } else { \
        printf("%s: not on this CPU\n", #name); \
    }
    CP_ISA_LIST(CHECK_ROW)
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
