/* Of floats: sums in double are far more exact than what they are made from. */
#define CP_TAP_ELEMENT f32
#define CP_TAP_EXACT 0
#include "kernels/tapwise.h"
#undef CP_TAP_ELEMENT
#undef CP_TAP_EXACT
