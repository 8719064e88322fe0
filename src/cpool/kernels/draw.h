/* Random numbers by counter, as in philox.h, for f64 lanes. */

/* Of each round, to be added to the first words and to the third ones. */
typedef struct NAME(draw_keys) {
    vf64_int first[CP_PHILOX_ROUNDS], third[CP_PHILOX_ROUNDS], offset, offset_high;
} NAME(draw_keys);

CP_TEMPLATE void NAME(draw_begin)(NAME(draw_keys) *keys, uint64_t seed, uint64_t offset)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < CP_PHILOX_ROUNDS; round++) {
        keys->first[round] = vf64_int_set1(key0);
        keys->third[round] = vf64_int_set1(key1);
        key0 += CP_PHILOX_W0;
        key1 += CP_PHILOX_W1;
    }
    keys->offset = vf64_int_set1(offset);
    keys->offset_high = vf64_int_set1(offset >> 32);
}

/* The first two words, in the low halves. */
CP_TEMPLATE void NAME(draw_words)(const NAME(draw_keys) *keys, vf64_int index, vf64_int words[2])
{
    vf64_int c0 = index, c1 = vf64_int_shr(index, 32), c2 = keys->offset, c3 = keys->offset_high;
    CP_UNROLL
    for (int round = 0; round < CP_PHILOX_ROUNDS; round++) { /* what is above the low 32 bits never counts */
        vf64_int a = vf64_int_mul32(c0, vf64_int_set1(CP_PHILOX_M0)), b = vf64_int_mul32(c2, vf64_int_set1(CP_PHILOX_M1));
        c0 = vf64_int_xor(vf64_int_xor(vf64_int_high32(b), c1), keys->first[round]);
        c2 = vf64_int_xor(vf64_int_xor(vf64_int_high32(a), c3), keys->third[round]);
        c1 = b;
        c3 = a;
    }
    words[0] = c0;
    words[1] = c1;
}

/* The low half of a word as a number: 2^52 + an integer has it in its low bits. */
CP_TEMPLATE vf64 NAME(draw_number)(vf64_int word)
{
    vf64_int low = vf64_int_set1(UINT64_C(0xffffffff)), shifter = vf64_bits(vf64_set1(0x1p52));
    return vf64_sub(vf64_from_bits(vf64_int_xor(vf64_int_and(word, low), shifter)), vf64_set1(0x1p52));
}

CP_TEMPLATE vf64 NAME(draw_one)(const NAME(draw_keys) *keys, vf64_int index)
{
    vf64_int words[2];
    NAME(draw_words)(keys, index, words);
    vf64_int rest = vf64_int_shr(vf64_int_and(words[1], vf64_int_set1(UINT64_C(0xffffffff))), 11);
    return vf64_add(vf64_mul(NAME(draw_number)(words[0]), vf64_set1(0x1p-32)),
                    vf64_mul(NAME(draw_number)(rest), vf64_set1(0x1p-53))); /* which has 53 bits */
}

/* u: the indices of what is drawn for, as 64-bit integers; then the numbers. Whole vectors. */
static void NAME(draw)(void *u, uint64_t seed, uint64_t offset, int64_t n)
{
    double *at = u;
    NAME(draw_keys) keys;
    NAME(draw_begin)(&keys, seed, offset);
    for (int64_t i = 0; i < n; i += vf64_N) {
        vf64_store(at + i, NAME(draw_one)(&keys, vf64_bits(vf64_load(at + i))));
    }
}

/* For indices from `first` on. */
CP_TEMPLATE void NAME(draw_all)(int is_float, void *u, uint64_t seed, uint64_t offset, uint64_t first, int64_t n)
{
    NAME(draw_keys) keys;
    uint64_t lane[vf64_N];
    double start[vf64_N];
    for (int l = 0; l < vf64_N; l++) {
        lane[l] = first + (uint64_t)l;
    }
    memcpy(start, lane, sizeof start);
    NAME(draw_begin)(&keys, seed, offset);
    vf64_int index = vf64_bits(vf64_load(start));
    for (int64_t i = 0; i < n; i += vf64_N, index = vf64_int_add(index, vf64_int_set1(vf64_N))) {
        if (is_float) {
            vf64_int words[2];
            NAME(draw_words)(&keys, index, words);
            vf64_store_f32((float *)u + i, vf64_mul(NAME(draw_number)(words[0]), vf64_set1(0x1p-32)));
        } else {
            vf64_store((double *)u + i, NAME(draw_one)(&keys, index));
        }
    }
}

static void NAME(draw_run)(double *u, uint64_t seed, uint64_t offset, uint64_t first, int64_t n)
{
    NAME(draw_all)(0, u, seed, offset, first, n);
}

/* Within 2^-24 of those, 1 at most. */
static void NAME(draw_floats)(float *u, uint64_t seed, uint64_t offset, uint64_t first, int64_t n)
{
    NAME(draw_all)(1, u, seed, offset, first, n);
}
