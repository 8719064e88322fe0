/* Random numbers by counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC
 * 2011). What is drawn for an index depends on seed and offset alone, never on threads or order. */
#ifndef CP_KERNELS_PHILOX_H
#define CP_KERNELS_PHILOX_H

#include <stdint.h>

enum { CP_PHILOX_ROUNDS = 10 };
#define CP_PHILOX_M0 UINT64_C(0xD2511F53)
#define CP_PHILOX_M1 UINT64_C(0xCD9E8D57)
#define CP_PHILOX_W0 UINT32_C(0x9E3779B9)
#define CP_PHILOX_W1 UINT32_C(0xBB67AE85)

static inline void cp_philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < CP_PHILOX_ROUNDS; round++) {
        uint64_t a = CP_PHILOX_M0 * counter[0], b = CP_PHILOX_M1 * counter[2];
        uint32_t next0 = (uint32_t)(b >> 32) ^ counter[1] ^ key0, next2 = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[0] = next0;
        counter[1] = (uint32_t)b;
        counter[2] = next2;
        counter[3] = (uint32_t)a;
        key0 += CP_PHILOX_W0;
        key1 += CP_PHILOX_W1;
    }
}

/* In [0, 1), 53 bits. */
static inline double cp_draw(uint64_t seed, uint64_t offset, uint64_t index)
{
    uint32_t r[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)offset, (uint32_t)(offset >> 32)};
    cp_philox(r, (uint32_t)seed, (uint32_t)(seed >> 32));
    return (double)((uint64_t)r[0] << 21 | r[1] >> 11) * 0x1p-53;
}

#endif
