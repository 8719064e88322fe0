/* Random numbers by counter, as in philox.h, for f64 lanes. */

/* u: the indices of what is drawn for, as 64-bit integers; then the numbers. Whole vectors. */
static void NAME(draw)(void *u, uint64_t seed, uint64_t offset, int64_t n)
{
    double *at = u;
    vf64_int low = vf64_int_set1(UINT64_C(0xffffffff)), shifter = vf64_bits(vf64_set1(0x1p52));
    for (int64_t i = 0; i < n; i += vf64_N) {
        vf64_int index = vf64_bits(vf64_load(at + i));
        vf64_int c0 = index, c1 = vf64_int_shr(index, 32), c2 = vf64_int_set1(offset), c3 = vf64_int_set1(offset >> 32);
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < CP_PHILOX_ROUNDS; round++) { /* what is above the low 32 bits never counts */
            vf64_int a = vf64_int_mul32(c0, vf64_int_set1(CP_PHILOX_M0)), b = vf64_int_mul32(c2, vf64_int_set1(CP_PHILOX_M1));
            c0 = vf64_int_xor(vf64_int_xor(vf64_int_shr(b, 32), c1), vf64_int_set1(key0));
            c2 = vf64_int_xor(vf64_int_xor(vf64_int_shr(a, 32), c3), vf64_int_set1(key1));
            c1 = b;
            c3 = a;
            key0 += CP_PHILOX_W0;
            key1 += CP_PHILOX_W1;
        }
        /* 2^52 + an integer has it in its low bits. The sum has 53 bits. */
        vf64 high = vf64_from_bits(vf64_int_add(vf64_int_and(c0, low), shifter));
        vf64 rest = vf64_from_bits(vf64_int_add(vf64_int_shr(vf64_int_and(c1, low), 11), shifter));
        high = vf64_mul(vf64_sub(high, vf64_set1(0x1p52)), vf64_set1(0x1p-32));
        rest = vf64_mul(vf64_sub(rest, vf64_set1(0x1p52)), vf64_set1(0x1p-53));
        vf64_store(at + i, vf64_add(high, rest));
    }
}
