/* Every kernel of one instruction set, and their table: included by isa/<name>.c inside its region, behind its primitives and
 * with CP_ISA_NAME defined. */
#include "kernels/identity.h"
#include "kernels/math.h"

#include "kernels/lane_f32.h"
#include "kernels/lane_f64.h"
#include "kernels/lp.h"
#include "kernels/tapwise_f32.h"
#include "kernels/tapwise_f64.h"
#include "kernels/weighted.h"
#include "kernels/ranked.h"
#include "kernels/drawn.h"
#include "kernels/moments.h"
#include "kernels/affine.h"

const cp_kernels CP_GLUE(cp_kernels_, CP_ISA_NAME) = {
    {&CP_GLUE(lane_f32_, CP_ISA_NAME), &CP_GLUE(lane_f64_, CP_ISA_NAME)},
    &CP_GLUE(lp_table_, CP_ISA_NAME),
    {CP_GLUE(tap_table_f32_, CP_ISA_NAME), CP_GLUE(tap_table_f64_, CP_ISA_NAME)},
    &CP_GLUE(weighted_table_, CP_ISA_NAME),
    {NULL, NULL, CP_GLUE(ranked_two_, CP_ISA_NAME), CP_GLUE(ranked_three_, CP_ISA_NAME), CP_GLUE(ranked_four_, CP_ISA_NAME)},
    {CP_GLUE(ranked_gradient_four_, CP_ISA_NAME), CP_GLUE(ranked_gradient_nine_, CP_ISA_NAME)},
    CP_GLUE(drawn_windows_, CP_ISA_NAME),
    &CP_GLUE(norm_table_, CP_ISA_NAME),
};
