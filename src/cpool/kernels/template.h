/* How a kernel is written once for every lane type and instruction set: V(add) is the primitive of the lane at hand, NAME(fold)
 * the instance (fold_f32_avx2), and a CP_TEMPLATE function with a constant argument is expanded where it is called. A
 * CP_OUT_OF_LINE one never is: it is large, and called from many places. */
#ifndef CP_KERNELS_TEMPLATE_H
#define CP_KERNELS_TEMPLATE_H

#include <stdint.h>
#include <string.h>

#include "kernels/philox.h"

/* Not from math.h: nothing here depends on it. */
static inline double cp_infinity(void)
{
    const uint64_t bits = UINT64_C(0x7ff0000000000000);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double cp_nan(void)
{
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Whether dividing by it is multiplying with its inverse. */
static inline int cp_is_power_of_two(double divisor)
{
    uint64_t bits;
    memcpy(&bits, &divisor, sizeof bits);
    return (bits & UINT64_C(0x000fffffffffffff)) == 0 && divisor >= 1.0 && divisor <= 0x1p60;
}

/* The exponent of 0, negated that of infinity: no finite number's, yet finite, so that differences of exponents are. */
#define CP_FAR 0x1p600

/* The exponent of a weight of 0: below that of any other. Differences of exponents may be infinite, but are no NaN. */
#define CP_NOTHING (-0x1.fffffffffffffp1023)

/* Of floats: what exp_near() of kernels/tapwise.h is made for. */
#define CP_TAP_NEAR 0x1p20

/* Exponents below it in magnitude have powers that are sums and products of doubles, and times floats, without scaling. */
#define CP_TAP_FLAT 0x1p8

/* Detail-preserving windows that are worked out at once have so many taps at most. They are flat where the sum of the squares
 * of the logarithms of all powers is below the second, which keeps them apart by less than 2^726, and below the third are the
 * reference, alpha, and eps^2 and its inverse, which keeps every square finite. */
enum { CP_DETAIL_TAPS = 64 };
#define CP_DETAIL_POWERS 0x1p17
#define CP_DETAIL_MOST 0x1p300

/* Of sorted windows: what few_ranks_gradient() of kernels/tapwise.h is for. */
enum { CP_FEW_RANKS = 32 };

#define CP_GLUE_(a, b) a##b
#define CP_GLUE(a, b) CP_GLUE_(a, b)

/* NULL stays NULL: nothing may be added to it, not even 0. */
static inline char *cp_behind(char *base, int64_t offset)
{
    return base == NULL ? NULL : base + offset;
}

/* Parts of a whole, the last of which ends with it, for wholes one behind the other: where the part is that i is at or in, and
 * the place to ask for the next one. */
static inline int64_t cp_part_at(int64_t i, int64_t part, int64_t whole)
{
    int64_t at = i % whole;
    return at + part > whole ? i - at + whole - part : i;
}

static inline int64_t cp_part_behind(int64_t i, int64_t part, int64_t whole)
{
    int64_t at = i % whole;
    return at + part >= whole ? i - at + whole : i + part;
}

/* The cache line of an address that will be written; any address will do. Memory that is written and not read is several times
 * slower without: a line is told of CP_AHEAD bytes before it is stored to. */
enum { CP_AHEAD = 4096 };
#if defined(__GNUC__)
#  define CP_PREFETCH_WRITE(address) __builtin_prefetch((address), 1, 3)
#else
#  define CP_PREFETCH_WRITE(address) ((void)(address))
#endif

/* What follows, for i = 0 .. n - 1, n <= 4 a constant: written out, so that compilers keep arrays indexed by i in registers. */
#define CP_EACH(i, n, ...) \
    do { \
        CP_ONE_OF_EACH(i, 0, n, __VA_ARGS__) \
        CP_ONE_OF_EACH(i, 1, n, __VA_ARGS__) \
        CP_ONE_OF_EACH(i, 2, n, __VA_ARGS__) \
        CP_ONE_OF_EACH(i, 3, n, __VA_ARGS__) \
    } while (0)
#define CP_ONE_OF_EACH(i, value, n, ...) \
    { \
        enum { i = value }; \
        if (i < (n)) { \
            __VA_ARGS__; \
        } \
    }

/* Before a loop of a few constant steps: it is written out. One that a template leaves
 * with a variable number of them stays a loop, of which clang would warn. */
#if defined(__clang__)
#  define CP_UNROLL _Pragma("clang loop unroll(full)")
#  pragma clang diagnostic ignored "-Wpass-failed"
#elif defined(__GNUC__)
#  define CP_UNROLL _Pragma("GCC unroll 16")
#else
#  define CP_UNROLL
#endif

/* Whether a template got x as a constant; compilers that do not say so take the way of variables. */
#if defined(__GNUC__)
#  define CP_IS_CONSTANT(x) __builtin_constant_p(x)
#else
#  define CP_IS_CONSTANT(x) 0
#endif

#define CP_VECTOR CP_GLUE(v, CP_LANE)
#define V(operation) CP_GLUE(CP_VECTOR, _##operation)
#define NAME(kernel) CP_GLUE(CP_GLUE(kernel##_, CP_LANE), CP_GLUE(_, CP_ISA_NAME))

#if defined(_MSC_VER) && !defined(__clang__)
#  define CP_TEMPLATE static __forceinline
#  define CP_OUT_OF_LINE static __declspec(noinline)
#else
#  define CP_TEMPLATE static inline __attribute__((always_inline))
#  define CP_OUT_OF_LINE static __attribute__((noinline))
#endif

/* Asks for a cache line; any address is allowed. In a function that does nothing else only where that is a CP_TEMPLATE: gcc
 * takes others for functions without effect, and drops their calls. */
#if defined(__GNUC__) || defined(__clang__)
#  define CP_PREFETCH(address) __builtin_prefetch(address)
#else
#  define CP_PREFETCH(address) ((void)(address))
#endif

#endif
