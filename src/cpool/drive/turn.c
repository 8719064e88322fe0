#include "drive/turn.h"

/* Rows that are dense in the planes and in scratch are turned as one: vectors are filled then. */
static cp_turn merge_rows(const cp_turn *given)
{
    cp_turn turn = *given;
    if (turn.space[1] == turn.count[2] * turn.item && turn.pixels[1] == turn.count[2] * turn.lanes * turn.item) {
        turn.count[2] *= turn.count[1];
        turn.count[1] = 1;
    }
    return turn;
}

void cp_turn_in(const cp_turn *given, char *pixels, const char *planes)
{
    const cp_turn turn = merge_rows(given);
    const cp_lane_kernels *kernels = turn.kernels;
    for (int64_t d = 0; d < turn.count[0]; d++) {
        for (int64_t h = 0; h < turn.count[1]; h++) {
            (turn.item == 1 ? kernels->turn_in_u8 : kernels->turn_in)(pixels + d * turn.pixels[0] + h * turn.pixels[1],
                                                                      planes + d * turn.space[0] + h * turn.space[1], turn.step,
                                                                      turn.planes, turn.lanes, turn.count[2]);
        }
    }
}

void cp_turn_out(const cp_turn *given, char *planes, const char *pixels)
{
    const cp_turn turn = merge_rows(given);
    const cp_lane_kernels *kernels = turn.kernels;
    for (int64_t d = 0; d < turn.count[0]; d++) {
        for (int64_t h = 0; h < turn.count[1]; h++) {
            (turn.item == 1 ? kernels->turn_out_u8 : kernels->turn_out)(
                planes + d * turn.space[0] + h * turn.space[1], turn.step, pixels + d * turn.pixels[0] + h * turn.pixels[1],
                turn.planes, turn.lanes, turn.count[2]);
        }
    }
}
