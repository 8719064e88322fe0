/* The checks of one lane type on one instruction set. check_vec.c includes this once per pair, inside the target region, with
 * CP_ISA_NAME, CP_LANE, CP_ELEMENT and CHECK_BITS (the unsigned integer of the element's size) defined. */

enum { NAME(LANES) = V(N) };
_Static_assert(NAME(LANES) <= CHECK_LANES, "CHECK_LANES is too small");

static uint64_t NAME(bits)(CP_ELEMENT x)
{
    CHECK_BITS bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void NAME(expect)(const char *what, int good, const CP_ELEMENT *a, const CP_ELEMENT *b, CP_ELEMENT got, CP_ELEMENT want)
{
    expect(good, CHECK_TEXT(CP_ISA_NAME), CHECK_TEXT(CP_LANE), what, NAME(bits)(*a), NAME(bits)(*b), NAME(bits)(got),
           NAME(bits)(want));
}

static int NAME(same_bits)(CP_ELEMENT got, CP_ELEMENT want)
{
    return NAME(bits)(got) == NAME(bits)(want);
}

/* Any NaN for a NaN. */
static int NAME(same_number)(CP_ELEMENT got, CP_ELEMENT want)
{
    return want != want ? got != got : NAME(same_bits)(got, want);
}

/* Either zero for a zero as well. */
static int NAME(same_value)(CP_ELEMENT got, CP_ELEMENT want)
{
    return want != want ? got != got : got == want;
}

static CP_ELEMENT NAME(one)(CHECK_BITS bits)
{
    CP_ELEMENT x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every pair of a and b, in every lane: x and y are vectors of consecutive pairs, `lane` is at `want`'s pair (*p, *q). */
#define EACH_PAIR(what, same, result, want) \
    for (int k = 0; k + NAME(LANES) <= CHECK_PAIRS; k++) { \
        V(t) x = V(load)(CHECK_A + k), y = V(load)(CHECK_B + k); \
        CP_ELEMENT out[CHECK_LANES]; \
        (void)y; \
        V(store)(out, result); \
        for (int lane = 0; lane < NAME(LANES); lane++) { \
            const CP_ELEMENT *p = CHECK_A + k + lane, *q = CHECK_B + k + lane; \
            CP_ELEMENT right = want; \
            NAME(expect)(what, NAME(same)(out[lane], right), p, q, out[lane], right); \
        } \
    }

static void NAME(check_arithmetic)(void)
{
    const CP_ELEMENT nan = NAME(one)(CHECK_NAN);
    EACH_PAIR("add", same_number, V(add)(x, y), *p + *q)
    EACH_PAIR("sub", same_number, V(sub)(x, y), *p - *q)
    EACH_PAIR("mul", same_number, V(mul)(x, y), *p * *q)
    EACH_PAIR("div", same_number, V(div)(x, y), *p / *q)
    EACH_PAIR("sqrt", same_number, V(sqrt)(x), (CP_ELEMENT)square_root((double)*p, CHECK_DIGITS))
    EACH_PAIR("abs", same_bits, V(abs)(x), NAME(one)((CHECK_BITS)(NAME(bits)(*p) & ~CHECK_SIGN)))
    EACH_PAIR("max", same_value, V(max)(x, y), *p != *p || *q != *q ? nan : *p > *q ? *p : *q)
    EACH_PAIR("min", same_value, V(min)(x, y), *p != *p || *q != *q ? nan : *p < *q ? *p : *q)
}

/* mul and add are two roundings, also where they meet in one expression. */
static void NAME(check_not_fused)(void)
{
    for (int k = 0; k + NAME(LANES) <= CHECK_PAIRS; k++) {
        V(t) x = V(load)(CHECK_A + k), y = V(load)(CHECK_B + k), z = V(load)(CHECK_B);
        CP_ELEMENT out[CHECK_LANES];
        V(store)(out, V(add)(V(mul)(x, y), z));
        for (int lane = 0; lane < NAME(LANES); lane++) {
            const CP_ELEMENT *p = CHECK_A + k + lane, *q = CHECK_B + k + lane;
            volatile CP_ELEMENT product = *p * *q;
            CP_ELEMENT right = product + CHECK_B[lane];
            NAME(expect)("mul, add", NAME(same_number)(out[lane], right), p, q, out[lane], right);
        }
    }
}

static void NAME(check_masks)(void)
{
    EACH_PAIR("gt", same_bits, V(select)(V(gt)(x, y), x, y), *p > *q ? *p : *q)
    EACH_PAIR("eq", same_bits, V(select)(V(eq)(x, y), x, y), *p == *q ? *p : *q)
    EACH_PAIR("isnan", same_bits, V(select)(V(isnan)(x), x, y), *p != *p ? *p : *q)
    const V(t) zero = V(set1)(0), one = V(set1)(1);
    EACH_PAIR("mask_and", same_bits, V(select)(V(mask_and)(V(gt)(x, zero), V(gt)(y, one)), x, y), *p > 0 && *q > 1 ? *p : *q)
    EACH_PAIR("mask_or", same_bits, V(select)(V(mask_or)(V(gt)(x, zero), V(gt)(y, one)), x, y), *p > 0 || *q > 1 ? *p : *q)
    EACH_PAIR("mask_andnot", same_bits, V(select)(V(mask_andnot)(V(gt)(x, zero), V(gt)(y, one)), x, y),
              *p > 0 && !(*q > 1) ? *p : *q)
    for (int k = 0; k < CHECK_PAIRS; k++) {
        CP_ELEMENT out[CHECK_LANES];
        V(store)(out, V(set1)(CHECK_A[k]));
        for (int lane = 0; lane < NAME(LANES); lane++) {
            NAME(expect)("set1", NAME(same_bits)(out[lane], CHECK_A[k]), CHECK_A + k, CHECK_A + k, out[lane], CHECK_A[k]);
        }
    }
}

/* n elements of CHECK_A at `place`, which is inside the arena or at an end of it. */
static void NAME(check_place)(char *place, int n)
{
    const CP_ELEMENT *values = CHECK_A + n, fill = CHECK_B[3 * n];
    const size_t size = (size_t)n * sizeof *values;
    const CP_ELEMENT *source = (const CP_ELEMENT *)(const void *)place;
    CP_ELEMENT *target = (CP_ELEMENT *)(void *)place, out[CHECK_LANES];

    memset(arena.begin, CHECK_UNTOUCHED, ARENA_SIZE);
    memcpy(place, values, size);
    V(store)(out, n == NAME(LANES) ? V(load)(source) : V(load_n)(source, n, fill));
    for (int lane = 0; lane < NAME(LANES); lane++) {
        CP_ELEMENT right = lane < n ? values[lane] : fill;
        NAME(expect)(n == NAME(LANES) ? "load" : "load_n", NAME(same_bits)(out[lane], right), values, &fill, out[lane], right);
    }

    memset(arena.begin, CHECK_UNTOUCHED, ARENA_SIZE);
    if (n == NAME(LANES)) {
        V(store)(target, V(load)(values));
    } else {
        V(store_n)(target, V(load)(values), n);
    }
    int good = memcmp(place, values, size) == 0;
    for (char *p = arena.begin; p < arena.end; p++) {
        good &= (p >= place && p < place + size) || *p == CHECK_UNTOUCHED;
    }
    NAME(expect)(n == NAME(LANES) ? "store" : "store_n", good, values, values, values[0], values[0]);
}

static void NAME(check_memory)(void)
{
    for (int n = 1; n <= NAME(LANES); n++) {
        for (int shift = 0; shift <= CHECK_LANES * (int)sizeof(CP_ELEMENT); shift++) {
            NAME(check_place)(arena.begin + shift, n);
            NAME(check_place)(arena.end - shift - (size_t)n * sizeof(CP_ELEMENT), n);
        }
    }
}

#if CHECK_INTEGERS
#  define INT(operation) vf64_int_##operation
#  define AS_INT(v) vf64_bits(v)
#  define EACH_INT(what, result, want) EACH_PAIR(what, same_bits, vf64_from_bits(result), NAME(one)(want))
#  define EACH_SHIFT(n) \
      EACH_INT("int_shl", vf64_int_shl(vf64_bits(x), n), NAME(bits)(*p) << n) \
      EACH_INT("int_shr", vf64_int_shr(vf64_bits(x), n), NAME(bits)(*p) >> n)

static void NAME(check_integers)(void)
{
    const vf64_int constant = vf64_int_set1(UINT64_C(0xfedcba9876543210));
    EACH_INT("bits, from_bits", vf64_bits(x), NAME(bits)(*p))
    EACH_INT("int_set1", constant, UINT64_C(0xfedcba9876543210))
    EACH_INT("int_add", vf64_int_add(vf64_bits(x), vf64_bits(y)), NAME(bits)(*p) + NAME(bits)(*q))
    EACH_INT("int_sub", vf64_int_sub(vf64_bits(x), vf64_bits(y)), NAME(bits)(*p) - NAME(bits)(*q))
    EACH_INT("int_and", vf64_int_and(vf64_bits(x), vf64_bits(y)), NAME(bits)(*p) & NAME(bits)(*q))
    EACH_SHIFT(0)
    EACH_SHIFT(1)
    EACH_SHIFT(11)
    EACH_SHIFT(32)
    EACH_SHIFT(52)
    EACH_SHIFT(63)
}
#endif

static void NAME(check)(void)
{
    NAME(check_arithmetic)();
    NAME(check_not_fused)();
    NAME(check_masks)();
    NAME(check_memory)();
#if CHECK_INTEGERS
    NAME(check_integers)();
#endif
}
