/* The kernels for x86 with AVX2. */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#  include <immintrin.h>
#  define CP_ISA_NAME avx2
CP_REGION_BEGIN("avx2")
#  include "isa/vec_avx2.h"
#  include "kernels/kernels.h"
CP_REGION_END
#else
typedef int cp_empty_avx2;
#endif
