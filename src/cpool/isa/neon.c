/* The kernels for aarch64. */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#if defined(__aarch64__) || defined(_M_ARM64)
#  include <arm_neon.h>
#  define CP_ISA_NAME neon
CP_REGION_BEGIN_BASE
#  include "isa/vec_neon.h"
#  include "kernels/kernels.h"
CP_REGION_END_BASE
#else
typedef int cp_empty_neon;
#endif
