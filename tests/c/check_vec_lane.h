/* The checks of one lane type of one instruction set. CHECK_BITS is the unsigned integer of the element's size, CHECK_DIGITS
 * its precision. */

static const int LANE(LANES) = V(N);
_Static_assert(V(N) <= CHECK_LANES, "CHECK_LANES is too small");

static uint64_t LANE(bits)(CP_ELEMENT x)
{
    CHECK_BITS bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void LANE(expect)(const char *what, int good, const CP_ELEMENT *a, const CP_ELEMENT *b, CP_ELEMENT got, CP_ELEMENT want)
{
    expect(good, CHECK_TEXT(CP_ISA_NAME), CHECK_TEXT(CP_LANE), what, LANE(bits)(*a), LANE(bits)(*b), LANE(bits)(got),
           LANE(bits)(want));
}

static int LANE(same_bits)(CP_ELEMENT got, CP_ELEMENT want)
{
    return LANE(bits)(got) == LANE(bits)(want);
}

/* Any NaN for a NaN. */
static int LANE(same_number)(CP_ELEMENT got, CP_ELEMENT want)
{
    return want != want ? got != got : LANE(same_bits)(got, want);
}

/* Either zero for a zero as well. */
static int LANE(same_value)(CP_ELEMENT got, CP_ELEMENT want)
{
    return want != want ? got != got : got == want;
}

static CP_ELEMENT LANE(one)(CHECK_BITS bits)
{
    CP_ELEMENT x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every pair, each in every lane but for a few at the ends: x, y are vectors of consecutive pairs, (*p, *q) is one of them. */
#define EACH_PAIR(what, same, result, want) \
    for (int k = 0; k + LANE(LANES) <= CHECK_PAIRS; k++) { \
        CP_VECTOR x = V(load)(A + k), y = V(load)(B + k); \
        CP_ELEMENT out[CHECK_LANES]; \
        (void)x, (void)y; \
        V(store)(out, result); \
        for (int lane = 0; lane < LANE(LANES); lane++) { \
            const CP_ELEMENT *p = A + k + lane, *q = B + k + lane; \
            CP_ELEMENT right = want; \
            LANE(expect)(what, LANE(same)(out[lane], right), p, q, out[lane], right); \
        } \
    }

static void LANE(check_arithmetic)(void)
{
    const CP_ELEMENT nan = (CP_ELEMENT)nan_f64();
    EACH_PAIR("add", same_number, V(add)(x, y), *p + *q)
    EACH_PAIR("sub", same_number, V(sub)(x, y), *p - *q)
    EACH_PAIR("mul", same_number, V(mul)(x, y), *p * *q)
    EACH_PAIR("div", same_number, V(div)(x, y), *p / *q)
    EACH_PAIR("sqrt", same_number, V(sqrt)(x), (CP_ELEMENT)square_root((double)*p, CHECK_DIGITS))
    EACH_PAIR("abs", same_bits, V(abs)(x), LANE(one)((CHECK_BITS)(LANE(bits)(*p) & ((CHECK_BITS)-1 / 2))))
    EACH_PAIR("max", same_value, V(max)(x, y), *p != *p || *q != *q ? nan : *p > *q ? *p : *q)
    EACH_PAIR("min", same_value, V(min)(x, y), *p != *p || *q != *q ? nan : *p < *q ? *p : *q)
}

/* A product and a sum are two roundings, also where they meet. */
static void LANE(check_not_fused)(void)
{
    const CP_ELEMENT *addends = A + CHECK_PAIRS - CHECK_LANES;
    for (int k = 0; k + LANE(LANES) <= CHECK_PAIRS; k++) {
        CP_VECTOR x = V(load)(A + k), y = V(load)(B + k), z = V(load)(addends);
        CP_ELEMENT out[CHECK_LANES];
        V(store)(out, V(add)(V(mul)(x, y), z));
        for (int lane = 0; lane < LANE(LANES); lane++) {
            const CP_ELEMENT *p = A + k + lane, *q = B + k + lane;
            volatile CP_ELEMENT product = *p * *q;
            CP_ELEMENT right = product + addends[lane];
            LANE(expect)("mul, add", LANE(same_number)(out[lane], right), p, q, out[lane], right);
        }
    }
}

static void LANE(check_masks)(void)
{
    EACH_PAIR("gt", same_bits, V(select)(V(gt)(x, y), x, y), *p > *q ? *p : *q)
    EACH_PAIR("eq", same_bits, V(select)(V(eq)(x, y), x, y), *p == *q ? *p : *q)
    EACH_PAIR("isnan", same_bits, V(select)(V(isnan)(x), x, y), *p != *p ? *p : *q)
    const CP_VECTOR zero = V(set1)(0), one = V(set1)(1);
    /* Not where y > 0: of y > 0 ? y : 0 clang makes one instruction of ARM's, to which a signalling NaN is not a number. */
    EACH_PAIR("add_where", same_value, V(add_where)(V(gt)(x, zero), x, y), *p > 0 ? *p + *q : *p)
    EACH_PAIR("above", same_bits, V(select)(V(above)(x, y), x, y), *q == *q && (*p > *q || *p != *p) ? *p : *q)
    EACH_PAIR("below", same_bits, V(select)(V(below)(x, y), x, y), *q == *q && (*p < *q || *p != *p) ? *p : *q)
    EACH_PAIR("mask_and", same_bits, V(select)(V(mask_and)(V(gt)(x, zero), V(gt)(y, one)), x, y), *p > 0 && *q > 1 ? *p : *q)
    EACH_PAIR("mask_or", same_bits, V(select)(V(mask_or)(V(gt)(x, zero), V(gt)(y, one)), x, y), *p > 0 || *q > 1 ? *p : *q)
    EACH_PAIR("mask_andnot", same_bits, V(select)(V(mask_andnot)(V(gt)(x, zero), V(gt)(y, one)), x, y),
              *p > 0 && !(*q > 1) ? *p : *q)
    for (int k = 0; k < CHECK_PAIRS; k++) {
        CP_ELEMENT out[CHECK_LANES];
        V(store)(out, V(set1)(A[k]));
        for (int lane = 0; lane < LANE(LANES); lane++) {
            LANE(expect)("set1", LANE(same_bits)(out[lane], A[k]), A + k, A + k, out[lane], A[k]);
        }
    }
}

static void LANE(check_order)(void)
{
    const int n = LANE(LANES);
    for (int k = 0; k + 2 * n <= CHECK_PAIRS; k += 7) {
        CP_VECTOR even, odd, back_a, back_b;
        CP_ELEMENT out[2][CHECK_LANES];
        V(unzip)(V(load)(A + k), V(load)(A + k + n), &even, &odd);
        V(store)(out[0], even);
        V(store)(out[1], odd);
        for (int i = 0; i < 2 * n; i++) {
            CP_ELEMENT got = out[i % 2][i / 2], want = A[k + i];
            LANE(expect)("unzip", LANE(same_bits)(got, want), A + k + i, A + k + i, got, want);
        }
        V(zip)(even, odd, &back_a, &back_b);
        V(store)(out[0], back_a);
        V(store)(out[1], back_b);
        for (int i = 0; i < 2 * n; i++) {
            CP_ELEMENT got = out[i / n][i % n], want = A[k + i];
            LANE(expect)("zip", LANE(same_bits)(got, want), A + k + i, A + k + i, got, want);
        }
    }
}

/* Pixels of 1 to N lanes, some of them apart, of two vectors. */
static void LANE(check_pick)(int lanes, int apart)
{
    const int n = LANE(LANES);
    int32_t index[CHECK_LANES];
    CP_ELEMENT out[CHECK_LANES];
    for (int lane = 0; lane < n; lane++) {
        index[lane] = (lane / lanes * apart + lane % lanes) % (2 * n);
    }
    for (int k = 0; k + 2 * n <= CHECK_PAIRS; k += 97) {
        V(store)(out, V(pick)(V(load)(A + k), V(load)(A + k + n), V(places_from)(index)));
        for (int lane = 0; lane < n; lane++) {
            const CP_ELEMENT *want = A + k + index[lane];
            LANE(expect)("pick", LANE(same_bits)(out[lane], *want), want, want, out[lane], *want);
        }
    }
}

/* Lanes lo to hi - 1 of a vector at `place`, of which nothing else is there. */
static void LANE(check_lanes)(int lo, int hi)
{
    const int n = LANE(LANES), from = lo < 0 ? 0 : lo > n ? n : lo, to = hi < from ? from : hi > n ? n : hi;
    const CP_ELEMENT *values = A + CHECK_TABLE_PAIRS + 8;
    const size_t size = (size_t)(to - from) * sizeof *values;
    for (int side = 0; side < 2; side++) {
        char *there = side == 0 ? arena.begin : arena.end - size;
        const CP_ELEMENT *place = (const CP_ELEMENT *)(const void *)(there - (size_t)from * sizeof *values);
        CP_ELEMENT out[CHECK_LANES];
        memcpy(there, values + from, size);
        V(store)(out, V(load_lanes)(place, V(lanes_from)(lo, hi), V(load)(B)));
        for (int lane = 0; lane < n; lane++) {
            CP_ELEMENT want = lane >= from && lane < to ? values[lane] : B[lane];
            LANE(expect)("load_lanes", LANE(same_bits)(out[lane], want), values + lane, B + lane, out[lane], want);
        }
    }
}

/* Likewise of N bytes, which are 1, 2, ..., and 0 where there is none. */
static void LANE(check_code_lanes)(int lo, int hi)
{
    const int n = LANE(LANES), from = lo < 0 ? 0 : lo > n ? n : lo, to = hi < from ? from : hi > n ? n : hi;
    for (int side = 0; side < 2; side++) {
        uint8_t *place = (uint8_t *)(side == 0 ? arena.begin - from : arena.end - to);
        for (int lane = from; lane < to; lane++) {
            place[lane] = (uint8_t)(lane + 1);
        }
        const V(codes) codes = V(load_codes_lanes)(place, V(lanes_from)(lo, hi));
        for (int code = 0; code <= n; code++) {
            CP_ELEMENT out[CHECK_LANES];
            V(store)(out, V(select)(V(is_code)(codes, code), V(set1)(1), V(set1)(0)));
            for (int lane = 0; lane < n; lane++) {
                CP_ELEMENT want = (lane >= from && lane < to ? lane + 1 : 0) == code ? 1 : 0;
                LANE(expect)("load_codes_lanes", LANE(same_bits)(out[lane], want), &want, &want, out[lane], want);
            }
        }
    }
}

static void LANE(check_bytes)(int n)
{
    for (int side = 0; side < 2; side++) {
        char *place = side == 0 ? arena.begin + 1 : arena.end - n;
        uint8_t *bytes = (uint8_t *)place;
        for (int code = 0; code < 256; code += 51) {
            CP_ELEMENT row[CHECK_LANES], out[CHECK_LANES];
            memset(arena.begin, CHECK_UNTOUCHED, (size_t)(arena.end - arena.begin));
            for (int lane = 0; lane < CHECK_LANES; lane++) {
                row[lane] = lane % 3 == 0   ? (CP_ELEMENT)code
                            : lane % 3 == 1 ? (CP_ELEMENT)-1
                                            : (CP_ELEMENT)((code + lane) % 256);
            }
            V(store_u8)(bytes, V(load)(row), n);
            int good = 1;
            for (char *p = arena.begin; p < arena.end; p++) {
                good &= p >= place && p < place + n ? *(uint8_t *)p == (uint8_t)(int)row[p - place] : *p == CHECK_UNTOUCHED;
            }
            LANE(expect)("store_u8", good, row, row, row[0], row[0]);
            V(store)(out, V(select)(V(is_code)(V(load_codes)(bytes, n), code), V(set1)(1), V(set1)(0)));
            for (int lane = 0; lane < LANE(LANES); lane++) {
                CP_ELEMENT want = (lane < n ? bytes[lane] : 0) == code ? 1 : 0;
                LANE(expect)("load_codes", LANE(same_bits)(out[lane], want), row + lane, row + lane, out[lane], want);
            }
            V(store)(out, V(load_u8)(bytes, n));
            for (int lane = 0; lane < LANE(LANES); lane++) {
                CP_ELEMENT want = lane < n ? (CP_ELEMENT)bytes[lane] : 0;
                LANE(expect)("load_u8", LANE(same_bits)(out[lane], want), row + lane, row + lane, out[lane], want);
            }
        }
    }
}

/* n elements at `place`; beyond the arena there is nothing. */
static void LANE(check_place)(char *place, int n)
{
    const CP_ELEMENT *values = A + CHECK_TABLE_PAIRS + n, fill = B[n];
    const size_t size = (size_t)n * sizeof *values;
    const CP_ELEMENT *source = (const CP_ELEMENT *)(const void *)place;
    CP_ELEMENT *target = (CP_ELEMENT *)(void *)place, out[CHECK_LANES];

    memset(arena.begin, CHECK_UNTOUCHED, (size_t)(arena.end - arena.begin));
    memcpy(place, values, size);
    V(store)(out, n == LANE(LANES) ? V(load)(source) : V(load_n)(source, n, fill));
    for (int lane = 0; lane < LANE(LANES); lane++) {
        CP_ELEMENT right = lane < n ? values[lane] : fill;
        LANE(expect)(n == LANE(LANES) ? "load" : "load_n", LANE(same_bits)(out[lane], right), values, &fill, out[lane], right);
    }

    memset(arena.begin, CHECK_UNTOUCHED, (size_t)(arena.end - arena.begin));
    if (n == LANE(LANES)) {
        V(store)(target, V(load)(values));
    } else {
        V(store_n)(target, V(load)(values), n);
    }
    int good = memcmp(place, values, size) == 0;
    for (char *p = arena.begin; p < arena.end; p++) {
        good &= (p >= place && p < place + size) || *p == CHECK_UNTOUCHED;
    }
    LANE(expect)(n == LANE(LANES) ? "store" : "store_n", good, values, values, values[0], values[0]);
}

static void LANE(check_memory)(void)
{
    for (int n = 1; n <= LANE(LANES); n++) {
        for (int shift = 0; shift <= CHECK_LANES * (int)sizeof(CP_ELEMENT); shift++) {
            LANE(check_place)(arena.begin + shift, n);
            LANE(check_place)(arena.end - shift - (size_t)n * sizeof(CP_ELEMENT), n);
        }
        LANE(check_bytes)(n);
    }
}

#if !CHECK_INTEGERS
static void LANE(check_shifts)(void){
    EACH_PAIR("bits_shl", same_bits, vf32_bits_shl(x, 1), LANE(one)((CHECK_BITS)(LANE(bits)(*p) << 1)))
        EACH_PAIR("bits_shl", same_bits, vf32_bits_shl(x, 23), LANE(one)((CHECK_BITS)(LANE(bits)(*p) << 23)))}
#else
#  define EACH_INT(what, result, want) EACH_PAIR(what, same_bits, vf64_from_bits(result), LANE(one)(want))
#  define EACH_SHIFT(n) \
      EACH_INT("int_shl", vf64_int_shl(vf64_bits(x), n), LANE(bits)(*p) << n) \
      EACH_INT("int_shr", vf64_int_shr(vf64_bits(x), n), LANE(bits)(*p) >> n)

static void LANE(check_integers)(void)
{
    const vf64_int constant = vf64_int_set1(UINT64_C(0xfedcba9876543210));
    EACH_INT("bits, from_bits", vf64_bits(x), LANE(bits)(*p))
    EACH_INT("int_set1", constant, UINT64_C(0xfedcba9876543210))
    EACH_INT("int_high32", vf64_int_high32(vf64_bits(x)), (LANE(bits)(*p) >> 32) | (LANE(bits)(*p) & ~UINT64_C(0xffffffff)))
    EACH_INT("int_add", vf64_int_add(vf64_bits(x), vf64_bits(y)), LANE(bits)(*p) + LANE(bits)(*q))
    EACH_INT("int_sub", vf64_int_sub(vf64_bits(x), vf64_bits(y)), LANE(bits)(*p) - LANE(bits)(*q))
    EACH_INT("int_and", vf64_int_and(vf64_bits(x), vf64_bits(y)), LANE(bits)(*p) & LANE(bits)(*q))
    EACH_SHIFT(0)
    EACH_SHIFT(1)
    EACH_SHIFT(11)
    EACH_SHIFT(32)
    EACH_SHIFT(52)
    EACH_SHIFT(63)
}
#endif

#if CHECK_INTEGERS
/* Floats in memory: n of them from `place`, and back. */
static void LANE(check_narrow_place)(char *place, int n)
{
    float values[CHECK_LANES], *target = (float *)(void *)place;
    double out[CHECK_LANES], fill = 0.1;
    memcpy(values, a_f32 + CHECK_PAIRS - CHECK_LANES, sizeof values);
    memset(arena.begin, CHECK_UNTOUCHED, (size_t)(arena.end - arena.begin));
    memcpy(place, values, (size_t)n * sizeof(float));
    vf64_store(out, n == vf64_N ? vf64_load_f32(target) : vf64_load_f32_n(target, n, fill));
    for (int lane = 0; lane < vf64_N; lane++) {
        double right = lane < n ? (double)values[lane] : fill;
        LANE(expect)("load_f32", LANE(same_bits)(out[lane], right), out + lane, &fill, out[lane], right);
    }
    for (int lane = 0; lane < vf64_N; lane++) {
        out[lane] = a_f64[CHECK_PAIRS - CHECK_LANES + lane];
        values[lane] = (float)out[lane];
    }
    memset(arena.begin, CHECK_UNTOUCHED, (size_t)(arena.end - arena.begin));
    if (n == vf64_N) {
        vf64_store_f32(target, vf64_load(out));
    } else {
        vf64_store_f32_n(target, vf64_load(out), n);
    }
    int good = memcmp(place, values, (size_t)n * sizeof(float)) == 0;
    for (char *p = arena.begin; p < arena.end; p++) {
        good &= (p >= place && p < place + (size_t)n * sizeof(float)) || *p == CHECK_UNTOUCHED;
    }
    LANE(expect)("store_f32", good, out, out, out[0], out[0]);
}

static void LANE(check_narrow)(void)
{
    for (int n = 1; n <= vf64_N; n++) {
        for (int shift = 0; shift <= CHECK_LANES * (int)sizeof(float); shift++) {
            LANE(check_narrow_place)(arena.begin + shift, n);
            LANE(check_narrow_place)(arena.end - shift - (size_t)n * sizeof(float), n);
        }
    }
    for (int k = 0; k + vf64_N <= CHECK_PAIRS; k++) { /* every value, widened and rounded */
        double out[CHECK_LANES];
        float narrow[CHECK_LANES];
        vf64_store(out, vf64_load_f32(a_f32 + k));
        vf64_store_f32(narrow, vf64_load(a_f64 + k));
        for (int lane = 0; lane < vf64_N; lane++) {
            double wide = (double)a_f32[k + lane], back = (double)narrow[lane], right = (double)(float)a_f64[k + lane];
            LANE(expect)("load_f32", LANE(same_number)(out[lane], wide), out + lane, &wide, out[lane], wide);
            LANE(expect)("store_f32", LANE(same_number)(back, right), a_f64 + k + lane, &right, back, right);
        }
    }
}
#endif

static void LANE(check)(void)
{
    LANE(check_arithmetic)();
    LANE(check_not_fused)();
    LANE(check_masks)();
    LANE(check_memory)();
    LANE(check_order)();
    for (int lanes = 1; lanes <= LANE(LANES); lanes++) {
        for (int apart = lanes; apart <= 3 * lanes; apart++) {
            LANE(check_pick)(lanes, apart);
        }
    }
    for (int lo = -CHECK_LANES - 2; lo <= CHECK_LANES + 2; lo++) {
        for (int hi = -CHECK_LANES - 2; hi <= CHECK_LANES + 2; hi++) {
            LANE(check_lanes)(lo, hi);
            LANE(check_code_lanes)(lo, hi);
        }
    }
#if CHECK_INTEGERS
    LANE(check_integers)();
    LANE(check_narrow)();
#else
    LANE(check_shifts)();
#endif
}
