/* The kernels for x86 with AVX-512 (F, DQ, BW, VL). */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#  include <immintrin.h>
#  define CP_ISA_NAME avx512
CP_REGION_BEGIN("avx512f,avx512dq,avx512bw,avx512vl")
#  include "isa/vec_avx512.h"
#  include "kernels/kernels.h"
CP_REGION_END
#else
typedef int cp_empty_avx512;
#endif
