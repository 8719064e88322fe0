/* Every kernel of f64 lanes, and their table. */
#define CP_LANE f64
#define CP_ELEMENT double
#define CP_LANE_IS_F64
#include "kernels/state.h"
#include "kernels/scaled.h"
#include "kernels/fold.h"
#include "kernels/rows.h"
#include "kernels/turn.h"
#include "kernels/collect.h"
#include "kernels/strip.h"
#include "kernels/extreme.h"
#include "kernels/draw.h"
#include "kernels/weigh.h"
#include "kernels/whole.h"
#include "kernels/lane_table.h"
#undef CP_LANE_IS_F64
#undef CP_ELEMENT
#undef CP_LANE
