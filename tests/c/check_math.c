/* Checks kernels/math.h: the same bits on every instruction set that this machine has, and the promised accuracy.
 *
 * The names of the primitives are the same for every instruction set, so each is a translation unit of its own, compiled
 * from this file; the one without a CHECK_ macro is the scalar one and the program. On x86-64, with __float128 and
 * libquadmath:
 *
 *     for isa in sse41 avx2 avx512; do
 *         cc -std=c11 -O3 -ffp-contract=off -Isrc/cpool -DCHECK_$isa -c tests/c/check_math.c -o check_math_$isa.o
 *     done
 *     cc -std=c11 -O3 -ffp-contract=off -Isrc/cpool tests/c/check_math.c check_math_*.o -lquadmath -lm -o check_math
 *     ./check_math [--time | --all]
 *
 * Prints the largest error of each function and "N passed, 0 failed". --all: the
 * exponential of floats is checked of every float, not of some, which takes minutes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/region.h"
#include "kernels/template.h"

#if defined(CHECK_sse41)
#  include <immintrin.h>
#  define CP_ISA_NAME sse41
CP_REGION_BEGIN("sse4.1")
#  include "isa/vec_sse41.h"
#elif defined(CHECK_avx2)
#  include <immintrin.h>
#  define CP_ISA_NAME avx2
CP_REGION_BEGIN("avx2")
#  include "isa/vec_avx2.h"
#elif defined(CHECK_avx512)
#  include <immintrin.h>
#  define CP_ISA_NAME avx512
CP_REGION_BEGIN("avx512f,avx512dq,avx512bw,avx512vl")
#  include "isa/vec_avx512.h"
#else
#  define CP_ISA_NAME scalar
CP_REGION_BEGIN_BASE
#  include "isa/vec_scalar.h"
#endif
#include "kernels/math.h"

/* Three rows in, two rows out, n a multiple of CHECK_LANES. */
typedef void (*check_row)(const double *a, const double *b, const double *c, double *y, double *z, int64_t n);

enum { LOG2, MUL, DIV, EXP2, EXP2_NEAR, SCALE, POW2_DOWN, FREXP, LOG, LOG1P, POW, EXP_FLOAT, LOG2_NEAR, EXP2_FLAT, FUNCTIONS };
enum { CHECK_LANES = 8 };

#define ROW(name, ...) \
    static void name(const double *pa, const double *pb, const double *pc, double *py, double *pz, int64_t n) \
    { \
        for (int64_t i = 0; i < n; i += vf64_N) { \
            vf64 a = vf64_load(pa + i), b = vf64_load(pb + i), c = vf64_load(pc + i), y = a, z = b; \
            __VA_ARGS__; \
            (void)c; \
            vf64_store(py + i, y); \
            vf64_store(pz + i, z); \
        } \
    }
ROW(row_log2, vf64_log2_dd(a, &y, &z))
ROW(row_mul, vf64_mul_dd(&y, &z, c))
ROW(row_div, vf64_div_dd(&y, &z, c))
ROW(row_exp2, vf64_exp2_dd(a, b, &y, &z))
ROW(row_exp2_near, vf64_exp2_near(a, &y, &z))
ROW(row_scale, y = vf64_scale(a, b))
ROW(row_pow2_down, y = vf64_pow2_down(a))
ROW(row_frexp, vf64_frexp(a, &y, &z))
ROW(row_log, y = vf64_log(a))
ROW(row_log2_near, y = vf64_log2_near(a))
ROW(row_exp2_flat, y = vf64_exp2_flat(a, b))
ROW(row_log1p, y = vf64_log1p(a))
/* e^(a + b) in float lanes; of what nothing is promised for, e^0. */
static void row_exp_float(const double *pa, const double *pb, const double *pc, double *py, double *pz, int64_t n)
{
    float x[vf32_N] = {0}, rest[vf32_N] = {0}, y[vf32_N];
    (void)pc;
    (void)pz;
    for (int64_t i = 0; i < n; i += vf32_N) {
        for (int l = 0; l < vf32_N && i + l < n; l++) {
            double size = pa[i + l] < 0 ? -pa[i + l] : pa[i + l], part = pb[i + l] < 0 ? -pb[i + l] : pb[i + l];
            x[l] = size <= 64 ? (float)pa[i + l] : 0.0f;
            rest[l] = size <= 64 && part <= size * 0x1p-24 ? (float)pb[i + l] : 0.0f;
        }
        vf32_store(y, vf32_exp(vf32_load(x), vf32_load(rest)));
        for (int l = 0; l < vf32_N && i + l < n; l++) {
            py[i + l] = y[l];
        }
    }
}
ROW(row_pow, vf64_log2_dd(a, &y, &z); vf64_mul_dd(&y, &z, c); vf64_exp2_dd(y, z, &y, &z))

#define TABLE CP_GLUE(check_math_, CP_ISA_NAME)
extern const check_row TABLE[FUNCTIONS];
const check_row TABLE[FUNCTIONS] = {row_log2,  row_mul, row_div,   row_exp2, row_exp2_near, row_scale,     row_pow2_down,
                                    row_frexp, row_log, row_log1p, row_pow,  row_exp_float, row_log2_near, row_exp2_flat};

#if defined(CHECK_sse41) || defined(CHECK_avx2) || defined(CHECK_avx512)
CP_REGION_END
#else
CP_REGION_END_BASE

#  include <math.h>
#  include <time.h>

typedef __float128 quad;
extern quad log2q(quad);
extern quad fabsq(quad);

extern const check_row check_math_sse41[FUNCTIONS], check_math_avx2[FUNCTIONS], check_math_avx512[FUNCTIONS];

enum { BLOCK = 1024 };
static double A[BLOCK], B[BLOCK], C[BLOCK], Y[BLOCK], Z[BLOCK];

static int passed, failed;

/* The largest ordinary exponent to try is 2^this, at most 2^limit: above CP_FAR / 2 it would stand for 0 or infinity. */
static int largest(int limit)
{
    int far = ilogb(CP_FAR) - 2;
    return far < limit ? far : limit;
}

static void report(const char *what, int good)
{
    if (good) {
        passed++;
    } else {
        failed++;
        printf("FAILED: %s\n", what);
    }
}

static void report_error(const char *what, double worst, double limit, const char *unit)
{
    printf("%-44s %9.4g %s (limit %.4g)\n", what, worst, unit, limit);
    report(what, worst <= limit);
}

/* ---- inputs ---- */

static uint64_t random_bits(void)
{
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double as_double(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t as_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double uniform(double lo, double hi)
{
    return lo + (hi - lo) * (double)(random_bits() >> 11) * 0x1p-53;
}

static double random_sign(double x)
{
    return random_bits() & 1 ? x : -x;
}

/* Positive and finite, every exponent as likely, denormals too. */
static double any_positive(void)
{
    return as_double(1 + random_bits() % (as_bits(cp_infinity()) - 1));
}

/* 1 + a number of any size. */
static double near_one(void)
{
    return 1 + random_sign(uniform(0.5, 1) * ldexp(1, -(int)(random_bits() % 52) - 1));
}

static const double EDGES[] = {
    0.0,
    0x1p-1074,
    0x1.8p-1073,
    0x0.fffffffffffffp-1022,
    0x1p-1022,
    0x1.fffffffffffffp-1022,
    0x1p-1000,
    1e-300,
    0x1p-600,
    1e-160,
    0x1p-60,
    0x1p-54,
    0x1p-53,
    0x1p-52,
    1e-8,
    0.1,
    0.25,
    0.5,
    0x1.6a09e667f3bccp-1,
    0x1.6a09e667f3bcdp-1,
    0.75,
    0x1.fffffffffffffp-1,
    1.0,
    0x1.0000000000001p0,
    0x1.6a09e667f3bccp0,
    0x1.6a09e667f3bcdp0,
    1.5,
    2.0,
    2.5,
    3.0,
    10.0,
    100.0,
    1022.0,
    1022.5,
    1023.0,
    1024.0,
    1074.0,
    1075.0,
    1100.0,
    2098.0,
    4000.0,
    1e6,
    0x1p45,
    0x1.8p51,
    0x1.fffffffffffffp51,
    0x1p52,
    0x1.0000000000001p52,
    0x1p53,
    1e15,
    1e19,
    0x1p63,
    0x1p64,
    0x1p100,
    0x1p200,
    0x1p211,
    0x1p599,
    0x1.8p599,
    0x1p600,
    0x1p601,
    0x1p1023,
    0x1.fffffffffffffp1023,
    INFINITY,
    NAN,
};
enum { N_EDGES = (int)(sizeof EDGES / sizeof *EDGES) };

/* ---- the same bits everywhere ---- */

typedef struct check_isa {
    const char *name;
    const check_row *rows;
} check_isa;

static const char *const NAMES[FUNCTIONS] = {"log2_dd", "mul_dd",       "div_dd",    "exp2_dd",  "exp2_near",
                                             "scale",   "pow2_down",    "frexp",     "log",      "log1p",
                                             "pow",     "exp in float", "log2_near", "exp2_flat"};

static int same(const double *x, const double *y)
{
    for (int i = 0; i < BLOCK; i++) {
        if (as_bits(x[i]) != as_bits(y[i]) && !(isnan(x[i]) && isnan(y[i]))) {
            return 0;
        }
    }
    return 1;
}

static void compare_block(const check_isa *isas, int n_isas, int *equal)
{
    static double y[BLOCK], z[BLOCK];
    for (int f = 0; f < FUNCTIONS; f++) {
        isas[0].rows[f](A, B, C, Y, Z, BLOCK);
        for (int k = 1; k < n_isas; k++) {
            isas[k].rows[f](A, B, C, y, z, BLOCK);
            equal[k * FUNCTIONS + f] &= same(y, Y) && same(z, Z);
        }
    }
}

static void check_equal(const check_isa *isas, int n_isas)
{
    int equal[8 * FUNCTIONS], filled = 0;
    for (int i = 0; i < 8 * FUNCTIONS; i++) {
        equal[i] = 1;
    }
    /* Edge values, all signs, every pair; the third argument is one of them as well. */
    for (int i = 0; i < 4 * N_EDGES * N_EDGES; i++) {
        int j = i / 4;
        A[filled] = (i & 1 ? -1 : 1) * EDGES[j % N_EDGES];
        B[filled] = (i & 2 ? -1 : 1) * EDGES[j / N_EDGES];
        C[filled] = random_sign(EDGES[random_bits() % N_EDGES]);
        if (++filled == BLOCK) {
            compare_block(isas, n_isas, equal);
            filled = 0;
        }
    }
    for (int block = 0; block < 1000; block++) {
        for (int i = 0; i < BLOCK; i++) {
            int plain = block & 1; /* else any bits whatever: NaN and infinity of all kinds among them */
            A[i] = as_double(random_bits());
            B[i] = plain ? uniform(-1, 1) * fabs(A[i]) * 0x1p-53 : as_double(random_bits());
            C[i] = plain ? uniform(-20, 20) : as_double(random_bits());
            A[i] = block % 8 == 3 ? near_one() : block % 8 == 5 ? uniform(-2000, 2000) : A[i];
        }
        compare_block(isas, n_isas, equal);
    }
    for (int k = 1; k < n_isas; k++) {
        for (int f = 0; f < FUNCTIONS; f++) {
            char what[64];
            snprintf(what, sizeof what, "%s: bits of %s", NAMES[f], isas[k].name);
            report(what, equal[k * FUNCTIONS + f]);
        }
    }
}

/* ---- accuracy ---- */

static double ulp(double x)
{
    int e;
    frexp(x, &e);
    return ldexp(1, (e < -1021 ? -1021 : e) - 53);
}

static int is_pair(double hi, double lo)
{
    return fabs(lo) <= ulp(hi) / 2 && hi + lo == hi;
}

static double max(double a, double b)
{
    return a > b ? a : b;
}

static double relative(quad got, quad exact)
{
    return exact == 0 ? (got == 0 ? 0 : INFINITY) : (double)fabsq((got - exact) / exact);
}

static void check_log2(const check_row *rows)
{
    double absolute = 0, near = 0, all = 0;
    int pairs = 1;
    for (int block = 0; block < 400; block++) {
        for (int i = 0; i < BLOCK; i++) {
            switch (block % 4) {
            case 0: A[i] = any_positive(); break;
            case 1: A[i] = near_one(); break;
            case 2: A[i] = uniform(0.5, 2); break;
            case 3: A[i] = as_double(random_bits() >> (12 + random_bits() % 51)); break; /* denormal */
            }
            A[i] = A[i] > 0 ? A[i] : 0x1p-1074;
        }
        rows[LOG2](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            quad exact = log2q((quad)A[i]), got = (quad)Y[i] + (quad)Z[i];
            double size = fabs((double)exact);
            pairs &= is_pair(Y[i], Z[i]);
            absolute = max(absolute, (double)fabsq(got - exact) / max(1, size));
            if (block % 4 == 1) {
                near = max(near, relative(got, exact));
            }
            all = max(all, relative(got, exact));
        }
    }
    report("log2_dd: hi and lo do not overlap", pairs);
    report_error("log2_dd: absolute / max(1, |log2 x|)", absolute * 0x1p60, 0.25, "* 2^-60");
    report_error("log2_dd: relative, near 1", near * 0x1p58, 0.0625, "* 2^-58");
    report_error("log2_dd: relative, anywhere", all * 0x1p58, 0.0625, "* 2^-58");

    int exact = 1;
    for (int e = -1074; e < 1024; e += CHECK_LANES) {
        for (int i = 0; i < CHECK_LANES; i++) {
            A[i] = ldexp(1, e + i < 1024 ? e + i : 0);
        }
        rows[LOG2](A, B, C, Y, Z, CHECK_LANES);
        for (int i = 0; i < CHECK_LANES; i++) {
            exact &= as_bits(Y[i]) == as_bits(e + i < 1024 ? (double)(e + i) : 0.0) && Z[i] == 0;
        }
    }
    report("log2_dd: powers of two", exact);
}

static void check_log2_near(const check_row *rows)
{
    double error = 0;
    for (int block = 0; block < 400; block++) {
        for (int i = 0; i < BLOCK; i++) {
            A[i] = block % 3 == 0 ? any_positive() : block % 3 == 1 ? near_one() : uniform(0.5, 2);
            A[i] = A[i] < 0x1p-1022 ? 1.0 : A[i];
        }
        rows[LOG2_NEAR](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            quad exact = log2q((quad)A[i]);
            error = max(error, exact == 0 ? Y[i] != 0 : relative(Y[i], exact));
        }
    }
    report_error("log2_near: relative", error * 0x1p45, 1, "* 2^-45");
}

static void random_pair(double *hi, double *lo, int least, int most)
{
    *hi = random_sign(uniform(1, 2) * ldexp(1, least + (int)(random_bits() % (uint64_t)(most - least))));
    *lo = uniform(-0.5, 0.5) * ulp(*hi);
}

static void check_mul_div(const check_row *rows)
{
    double error[2] = {0, 0};
    int pairs = 1, limits = 1;
    for (int block = 0; block < 1000; block++) {
        for (int i = 0; i < BLOCK; i++) {
            random_pair(&A[i], &B[i], -60, block & 1 ? largest(52) : 10);
            C[i] = uniform(1, 2) * ldexp(1, (int)(random_bits() % 250) - 50);
            C[i] = block % 4 < 2 ? random_sign(C[i]) : uniform(-10, 10);
        }
        rows[MUL](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            error[0] = max(error[0], relative((quad)Y[i] + (quad)Z[i], ((quad)A[i] + (quad)B[i]) * (quad)C[i]));
            pairs &= is_pair(Y[i], Z[i]);
        }
        for (int i = 0; i < BLOCK; i++) {
            C[i] = block % 4 < 2 ? fabs(C[i]) : uniform(1, 2) * ldexp(1, -(int)(random_bits() % 997));
        }
        rows[DIV](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            quad exact = ((quad)A[i] + (quad)B[i]) / (quad)C[i];
            if (fabsq(exact) < (quad)0x1p100) {
                error[1] = max(error[1], relative((quad)Y[i] + (quad)Z[i], exact));
            } else {
                limits &= Y[i] == copysign(0x1p100, A[i]) && Z[i] == 0;
            }
            pairs &= is_pair(Y[i], Z[i]);
        }
    }
    report("mul_dd, div_dd: hi and lo do not overlap", pairs);
    report("div_dd: clamped to 2^100", limits);
    report_error("mul_dd: relative", error[0] * 0x1p103, 1, "* 2^-103");
    report_error("div_dd: relative", error[1] * 0x1p101, 1, "* 2^-101");
}

static void check_exp2(const check_row *rows)
{
    double worst = 0;
    int range = 1, integers = 1;
    for (int block = 0; block < 2000; block++) {
        for (int i = 0; i < BLOCK; i++) {
            switch (block % 4) {
            case 0: A[i] = uniform(-0.5, 0.5); break;
            case 1: A[i] = uniform(-1100, 1100); break;
            case 2: random_pair(&A[i], &B[i], -70, largest(52)); break;
            case 3: A[i] = floor(uniform(-50, 50)) + 0.5 + random_sign(ldexp(1, -(int)(random_bits() % 60) - 2)); break;
            }
            B[i] = uniform(-0.5, 0.5) * ulp(A[i]);
        }
        rows[EXP2](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = exp2l(((long double)A[i] - (long double)Z[i]) + (long double)B[i]);
            worst = max(worst, fabs((double)((long double)Y[i] - exact)) / ulp(Y[i]));
            range &= Y[i] >= 0.70 && Y[i] <= 1.42 && Z[i] == floor(Z[i]) && fabs(A[i] - Z[i]) <= 0.51 + fabs(B[i]);
        }
    }
    report("exp2_dd: mantissa in [0.70, 1.42], exponent the nearest integer", range);
    report_error("exp2_dd: mantissa", worst, 0.53, "ulp");
    for (int block = 0; block < 100; block++) {
        for (int i = 0; i < BLOCK; i++) {
            int e = (int)(random_bits() % (uint64_t)largest(400));
            A[i] = block == 0 ? (double)(i - BLOCK / 2) : floor(random_sign(ldexp(uniform(1, 2), e)));
            B[i] = fabs(A[i]) < 0x1p52 ? 0 : uniform(-0.5, 0.5) * ulp(A[i]);
        }
        rows[EXP2](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            integers &= Y[i] == 1 && Z[i] == A[i];
        }
    }
    report("exp2_dd: exact for integers, and hi from 2^52 on", integers);
}

/* exp(x) of floats as operators have it: 2^(x log2 e), the product in double, |x| < 2^20; every `step`th float. */
static void check_exp_near(const check_row *rows, uint32_t step)
{
    double relative_error = 0, ulps = 0;
    uint32_t end = 0x49800000; /* 2^20 */
    for (uint64_t bits = 0; bits < 2 * (uint64_t)end;) {
        for (int i = 0; i < BLOCK; i++, bits += step) {
            uint32_t one = (uint32_t)(bits % end) | (bits / end % 2 == 1 ? 0x80000000u : 0);
            float x;
            memcpy(&x, &one, sizeof x);
            C[i] = x;
            A[i] = C[i] * CP_LOG2_E;
        }
        rows[EXP2_NEAR](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = exp2l((long double)C[i] * 1.442695040888963407359924681001892137L - (long double)Z[i]);
            relative_error = max(relative_error, fabs((double)((Y[i] - exact) / exact)));
            if (Z[i] > -126 && Z[i] < 127) {
                float power = (float)ldexp(Y[i], (int)Z[i]);
                int exponent;
                (void)frexpl(exact, &exponent);
                long double ulp_of_float = ldexpl(1, exponent - 24);
                ulps = max(ulps, fabs((double)((ldexpl(power, -(int)Z[i]) - exact) / ulp_of_float)));
            }
        }
    }
    report_error("exp2_near: exp of floats up to 2^20, relative", relative_error * 0x1p31, 1, "* 2^-31");
    report_error("exp2_near: rounded to float", ulps, 0.51, "ulp");
}

/* e^x of floats, of as many as step leaves, and of floats and half their last place, that is x (1 + 2^-24). */
static void check_exp_float(const check_row *rows, uint32_t step)
{
    double error = 0;
    uint32_t end = 0x42800000; /* 64 */
    for (uint64_t bits = 0; bits < 2 * (uint64_t)end;) {
        for (int i = 0; i < BLOCK; i++, bits += step) {
            uint32_t one = (uint32_t)(bits % end) | (bits / end % 2 == 1 ? 0x80000000u : 0);
            float x;
            memcpy(&x, &one, sizeof x);
            A[i] = x;
            B[i] = i % 2 == 0 ? 0.0 : (float)(A[i] * 0x1p-25);
        }
        rows[EXP_FLOAT](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = expl((long double)A[i] + (long double)B[i]);
            error = max(error, fabs((double)((Y[i] - exact) / exact)));
        }
    }
    report_error("exp in float up to 64, relative", error * 0x1p24, 1.6, "* 2^-24");
}

/* x^p against quad precision, p large enough that one word would not do. */
static void check_pow(const check_row *rows)
{
    double worst = 0;
    for (int block = 0; block < 100; block++) {
        for (int i = 0; i < BLOCK; i++) {
            A[i] = block & 1 ? any_positive() : uniform(0, 4);
            C[i] = block % 4 < 2 ? uniform(-4, 4) : uniform(0, 200);
        }
        rows[POW](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = exp2l((long double)(log2q((quad)A[i]) * (quad)C[i] - (quad)Z[i]));
            worst = max(worst, fabs((double)((long double)Y[i] - exact)) / ulp(Y[i]));
        }
    }
    report_error("log2_dd, mul_dd, exp2_dd: x^p, |p| <= 200", worst, 0.56, "ulp");
}

static void check_scale(const check_row *rows)
{
    int good = 1, far = 1, down = 1, split = 1, flat = 1;
    for (int block = 0; block < 1000; block++) {
        for (int i = 0; i < BLOCK; i++) {
            A[i] = block & 1 ? as_double(random_bits()) : random_sign(any_positive());
            B[i] = floor(uniform(-2300, 2300));
            if (block % 4 == 0) { /* results among the denormals */
                B[i] = floor(uniform(-1080, -1020)) - (A[i] == 0 ? 0 : (double)ilogb(A[i]));
            }
        }
        rows[SCALE](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            double exact = ldexp(A[i], (int)B[i]);
            good &= as_bits(exact) == as_bits(Y[i]) || (isnan(exact) && isnan(Y[i]));
            B[i] = random_sign(block & 2 ? CP_FAR : ldexp(1, (int)(12 + random_bits() % 1000)));
        }
        rows[SCALE](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            double exact = A[i] == 0 || isinf(A[i]) ? A[i] : copysign(B[i] > 0 ? INFINITY : 0, A[i]);
            far &= as_bits(exact) == as_bits(Y[i]) || (isnan(A[i]) && isnan(Y[i]));
            A[i] = -floor(i < BLOCK / 2 ? (double)i * 3 : ldexp(1, i % 1000));
        }
        rows[POW2_DOWN](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            down &= as_bits(Y[i]) == as_bits(A[i] < -1022 ? 0 : ldexp(1, (int)A[i]));
            A[i] = block & 1 ? any_positive() : as_double(random_bits() >> (12 + random_bits() % 51));
            A[i] = A[i] > 0 ? A[i] : 1;
        }
        rows[FREXP](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            split &= Y[i] >= 1 && Y[i] < 2 && Z[i] == ilogb(A[i]) && ldexp(Y[i], (int)Z[i]) == A[i];
            A[i] = uniform(0.5, 2);
            B[i] = floor(uniform(-1021, 1022));
        }
        rows[EXP2_FLAT](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            flat &= as_bits(Y[i]) == as_bits(ldexp(A[i], (int)B[i]));
        }
    }
    report("scale: equal to ldexp, rounded once", good);
    report("scale: exponents of any size", far);
    report("pow2_down: exact", down);
    report("frexp: exact", split);
    report("exp2_flat: exact", flat);
}

static void check_log(const check_row *rows)
{
    double error[2] = {0, 0};
    for (int block = 0; block < 2000; block++) {
        for (int i = 0; i < BLOCK; i++) {
            switch (block % 4) {
            case 0: A[i] = any_positive(); break;
            case 1: A[i] = near_one(); break;
            case 2: A[i] = uniform(0.3, 3); break;
            case 3: A[i] = ldexp(uniform(1, 2), (int)(random_bits() % 127) - 63); break;
            }
        }
        rows[LOG](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = logl((long double)A[i]);
            error[0] = max(error[0], exact == 0 ? Y[i] != 0 : fabs((double)(((long double)Y[i] - exact) / exact)));
        }
        rows[LOG1P](A, B, C, Y, Z, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            long double exact = log1pl((long double)A[i]);
            error[1] = max(error[1], fabs((double)(((long double)Y[i] - exact) / exact)));
        }
    }
    report_error("log: relative", error[0] * 0x1p53, 1.3, "u");
    report_error("log1p: relative", error[1] * 0x1p53, 1.6, "u");
}

/* ---- special values ---- */

static int is(double x, double expected)
{
    return as_bits(x) == as_bits(expected) || (isnan(x) && isnan(expected));
}

static void expect(const check_row *rows, int f, double a, double b, double c, double y, double z)
{
    char what[160];
    for (int i = 0; i < CHECK_LANES; i++) {
        A[i] = a, B[i] = b, C[i] = c;
    }
    rows[f](A, B, C, Y, Z, CHECK_LANES);
    snprintf(what, sizeof what, "%s(%g, %g, %g) = %g, %g, not %g, %g", NAMES[f], a, b, c, Y[0], Z[0], y, z);
    report(what, is(Y[0], y) && is(Z[0], z));
}

static void check_special(const check_row *rows)
{
    const double far = CP_FAR, inf = INFINITY, nan = NAN;
    const double large = ldexp(1, largest(52)), power = ldexp(1, largest(211) - 11);
    expect(rows, LOG2, 0, 0, 0, -far, 0);
    expect(rows, LOG2, -0.0, 0, 0, -far, 0);
    expect(rows, LOG2, inf, 0, 0, far, 0);
    expect(rows, LOG2, nan, 0, 0, nan, 0);
    expect(rows, MUL, -far, 0, 0.25, -far, 0);
    expect(rows, MUL, -far, 0, 1e-300, -far, 0);
    expect(rows, MUL, -far, 0, -0.5, far, 0);
    expect(rows, MUL, far, 0, 4, 4 * far, 0);
    expect(rows, MUL, far, 0, -0x1p200, -0x1p200 * far, 0);
    expect(rows, MUL, far, 0, 0, 0, 0);
    expect(rows, MUL, nan, 0, 3, nan, nan);
    expect(rows, MUL, 0, 0, 1e-300, 0, 0);
    expect(rows, MUL, large, 0, 0x1p200, 0x1p200 * large, 0);
    expect(rows, DIV, -0x1p600, 0, 3, -0x1p100, 0);
    expect(rows, DIV, 0x1p600, 0, 0x1p200, 0x1p100, 0);
    expect(rows, DIV, 0x1p601, 0, 1e-300, 0x1p100, 0);
    expect(rows, DIV, 0, 0, 1e-300, 0, 0);
    expect(rows, DIV, 6, 0, 3, 2, 0);
    expect(rows, DIV, nan, 0, 3, nan, nan);
    expect(rows, EXP2, 0, 0, 0, 1, 0);
    expect(rows, EXP2, -far, 0, 0, 0, -far);
    expect(rows, EXP2, -8 * far, 0, 0, 0, -far);
    expect(rows, EXP2, far, 0, 0, inf, far);
    expect(rows, EXP2, 1024 * power, 0, 0, 1, 1024 * power);
    expect(rows, EXP2, -1024 * power, 0, 0, 1, -1024 * power);
    expect(rows, EXP2, nan, 0, 0, nan, 0);
    expect(rows, FREXP, 0, 0, 0, 0, -far);
    expect(rows, FREXP, inf, 0, 0, inf, far);
    expect(rows, FREXP, nan, 0, 0, nan, 0);
    expect(rows, SCALE, 0, far, 0, 0, far);
    expect(rows, SCALE, -0.0, 2 * far, 0, -0.0, 2 * far);
    expect(rows, SCALE, inf, -far, 0, inf, -far);
    expect(rows, SCALE, nan, -far, 0, nan, -far);
    expect(rows, SCALE, 1, -2 * far, 0, 0, -2 * far);
    expect(rows, SCALE, 1.5, -1074, 0, 0x1p-1073, -1074);
    expect(rows, SCALE, 1, -1075, 0, 0, -1075);
    expect(rows, SCALE, 1.25, -1075, 0, 0x1p-1074, -1075);
    expect(rows, SCALE, 0x1p-1074, 2097, 0, 0x1p1023, 2097);
    expect(rows, POW2_DOWN, -far, 0, 0, 0, 0);
    expect(rows, POW2_DOWN, -0.0, 0, 0, 1, 0);
    expect(rows, LOG, 0, 0, 0, -inf, 0);
    expect(rows, LOG, 1, 0, 0, 0, 0);
    expect(rows, LOG, inf, 0, 0, inf, 0);
    expect(rows, LOG, -1, 0, 0, nan, 0);
    expect(rows, LOG, nan, 0, 0, nan, 0);
    expect(rows, LOG1P, 0, 0, 0, 0, 0);
    expect(rows, LOG1P, 0x1p-1074, 0, 0, 0x1p-1074, 0);
    expect(rows, LOG1P, 1e-300, 0, 0, 1e-300, 0);
    expect(rows, LOG1P, inf, 0, 0, inf, 0);
    expect(rows, LOG1P, nan, 0, 0, nan, 0);
    expect(rows, POW, 0, 0, 0.5, 0, -far);
    expect(rows, POW, 0, 0, power, 0, -far);
    expect(rows, POW, 0.5, 0, power, 1, -power);
    expect(rows, POW, 8, 0, -power, 1, -3 * power);
    expect(rows, POW, inf, 0, 1e-300, inf, far);
    expect(rows, POW, inf, 0, -2, 0, -far);
}

static void measure(const check_isa *isas, int n_isas)
{
    static const int what[] = {POW, LOG2, MUL, EXP2, DIV, SCALE, FREXP, LOG, LOG1P, LOG2_NEAR};
    for (int k = 0; k < n_isas; k++) {
        printf("%-7s ns per element:", isas[k].name);
        for (size_t w = 0; w < sizeof what / sizeof *what; w++) {
            double best = 1e9;
            for (int i = 0; i < BLOCK; i++) {
                A[i] = uniform(0, 4), B[i] = 0, C[i] = 2.7;
            }
            for (int repeat = 0; repeat < 20; repeat++) {
                struct timespec start, stop;
                timespec_get(&start, TIME_UTC);
                for (int j = 0; j < 50; j++) {
                    isas[k].rows[what[w]](A, B, C, Y, Z, BLOCK);
                }
                timespec_get(&stop, TIME_UTC);
                double ns = (double)(stop.tv_sec - start.tv_sec) * 1e9 + (double)(stop.tv_nsec - start.tv_nsec);
                best = ns / 50 / BLOCK < best ? ns / 50 / BLOCK : best;
            }
            printf(" %s %.2f", NAMES[what[w]], best);
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    check_isa isas[4] = {{"scalar", check_math_scalar}};
    int n_isas = 1;
    if (__builtin_cpu_supports("sse4.1")) {
        isas[n_isas++] = (check_isa){"sse41", check_math_sse41};
    }
    if (__builtin_cpu_supports("avx2")) {
        isas[n_isas++] = (check_isa){"avx2", check_math_avx2};
    }
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        isas[n_isas++] = (check_isa){"avx512", check_math_avx512};
    }
    if (argc > 1 && strcmp(argv[1], "--time") == 0) {
        measure(isas, n_isas);
        return 0;
    }
    check_equal(isas, n_isas);
    /* Bits being equal, any one of them stands for all. */
    const check_row *rows = isas[n_isas - 1].rows;
    check_special(isas[0].rows);
    check_special(rows);
    check_log2(rows);
    check_log2_near(rows);
    check_mul_div(rows);
    check_exp2(rows);
    check_exp_near(rows, argc > 1 && strcmp(argv[1], "--all") == 0 ? 1 : 3989);
    check_exp_float(rows, argc > 1 && strcmp(argv[1], "--all") == 0 ? 1 : 3989);
    check_pow(rows);
    check_scale(rows);
    check_log(rows);
    for (int k = 0; k < n_isas; k++) {
        printf("%s%s", k == 0 ? "instruction sets: " : ", ", isas[k].name);
    }
    printf("\n%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

#endif
