/* What an x86 CPU can do. An instruction set counts as present if the compilers' idea of its name is: AVX2 brings SSE4.2 and
 * POPCNT along, AVX-512 also FMA and F16C. */
#include "dispatch.h"

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)

#  if defined(__GNUC__) || defined(__clang__)
#    include <cpuid.h>
#  else
#    include <intrin.h>
#  endif

typedef struct cp_cpuid {
    uint32_t eax, ebx, ecx, edx;
} cp_cpuid;

/* All zero where the CPU does not know the leaf. */
static cp_cpuid cp_read_cpuid(uint32_t leaf)
{
    cp_cpuid r = {0, 0, 0, 0};
#  if defined(__GNUC__) || defined(__clang__)
    (void)__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#  else
    int words[4];
    __cpuid(words, 0);
    if ((uint32_t)words[0] >= leaf) {
        __cpuidex(words, (int)leaf, 0);
        r.eax = (uint32_t)words[0];
        r.ebx = (uint32_t)words[1];
        r.ecx = (uint32_t)words[2];
        r.edx = (uint32_t)words[3];
    }
#  endif
    return r;
}

/* The register state that the operating system saves, XCR0; needs OSXSAVE. */
static uint32_t cp_saved_state(void)
{
#  if defined(__GNUC__) || defined(__clang__)
    uint32_t eax, edx;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" /* xgetbv, whose name needs -mxsave */ : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
#  else
    return (uint32_t)_xgetbv(0);
#  endif
}

#  define CP_BIT(n) (UINT32_C(1) << (n))

/* Leaf 1, ecx */
#  define CP_SSE41 (CP_BIT(0) | CP_BIT(9) | CP_BIT(19))                         /* SSE3, SSSE3, SSE4.1 */
#  define CP_AVX (CP_SSE41 | CP_BIT(20) | CP_BIT(23) | CP_BIT(27) | CP_BIT(28)) /* SSE4.2, POPCNT, OSXSAVE, AVX */
#  define CP_FMA_F16C (CP_BIT(12) | CP_BIT(29))
/* Leaf 7, ebx */
#  define CP_AVX2 CP_BIT(5)
#  define CP_AVX512 (CP_BIT(16) | CP_BIT(17) | CP_BIT(30) | CP_BIT(31)) /* F, DQ, BW, VL */
/* XCR0 */
#  define CP_YMM_STATE UINT32_C(0x06)
#  define CP_ZMM_STATE UINT32_C(0xe6)

static int cp_all(uint32_t have, uint32_t wanted)
{
    return (have & wanted) == wanted;
}

static uint32_t cp_detect(void)
{
    uint32_t found = CP_BIT(CPOOL_ISA_SCALAR);
    uint32_t leaf1 = cp_read_cpuid(1).ecx, leaf7 = cp_read_cpuid(7).ebx;
    if (cp_all(leaf1, CP_SSE41)) {
        found |= CP_BIT(CPOOL_ISA_SSE41);
    }
    if (cp_all(leaf1, CP_AVX) && cp_all(leaf7, CP_AVX2)) {
        uint32_t state = cp_saved_state();
        if (cp_all(state, CP_YMM_STATE)) {
            found |= CP_BIT(CPOOL_ISA_AVX2);
        }
        if (cp_all(state, CP_ZMM_STATE) && cp_all(leaf1, CP_FMA_F16C) && cp_all(leaf7, CP_AVX512)) {
            found |= CP_BIT(CPOOL_ISA_AVX512);
        }
    }
    return found;
}

int cp_cpu_has(int32_t isa)
{
    static int32_t cache; /* cpuid is slow where a hypervisor intercepts it */
    int32_t found = CP_CACHE_READ(cache);
    if (found == 0) {
        found = (int32_t)cp_detect();
        CP_CACHE_WRITE(cache, found);
    }
    return (found >> isa) & 1;
}

#else
typedef int cp_empty_cpu_x86;
#endif
