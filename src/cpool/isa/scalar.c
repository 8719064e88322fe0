/* The kernels for any machine, one lane at a time. */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#define CP_ISA_NAME scalar
CP_REGION_BEGIN_BASE
#include "isa/vec_scalar.h"
#include "kernels/kernels.h"
CP_REGION_END_BASE
