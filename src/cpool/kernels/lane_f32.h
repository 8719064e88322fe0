/* Every kernel of f32 lanes, and their table. */
#define CP_LANE f32
#define CP_ELEMENT float
#include "kernels/state.h"
#include "kernels/fold.h"
#include "kernels/rows.h"
#include "kernels/turn.h"
#include "kernels/collect.h"
#include "kernels/strip.h"
#include "kernels/extreme.h"
#include "kernels/lane_table.h"
#undef CP_ELEMENT
#undef CP_LANE
