/* Of doubles: what a sum's roundings lose is kept. */
#define CP_TAP_ELEMENT f64
#define CP_TAP_EXACT 1
#include "kernels/tapwise.h"
#undef CP_TAP_ELEMENT
#undef CP_TAP_EXACT
