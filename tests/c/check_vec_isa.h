/* The checks of one instruction set; included inside its target region. */
#define CP_LANE f32
#define CP_ELEMENT float
#define CHECK_BITS uint32_t
#define CHECK_DIGITS 24
#define CHECK_INTEGERS 0
#include "check_vec_lane.h"
#undef CP_LANE
#undef CP_ELEMENT
#undef CHECK_BITS
#undef CHECK_DIGITS
#undef CHECK_INTEGERS

#define CP_LANE f64
#define CP_ELEMENT double
#define CHECK_BITS uint64_t
#define CHECK_DIGITS 53
#define CHECK_INTEGERS 1
#include "check_vec_lane.h"
#undef CP_LANE
#undef CP_ELEMENT
#undef CHECK_BITS
#undef CHECK_DIGITS
#undef CHECK_INTEGERS

static void CHECK_NAME(check)(void)
{
    CHECK_NAME(check_f32)();
    CHECK_NAME(check_f64)();
}

#undef vf32_N
#undef vf64_N
