/* The kernels for x86 with SSE4.1. */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#  include <immintrin.h>
#  define CP_ISA_NAME sse41
CP_REGION_BEGIN("sse4.1")
#  include "isa/vec_sse41.h"
#  include "kernels/kernels.h"
CP_REGION_END
#else
typedef int cp_empty_sse41;
#endif
