/* Boxes of elements of planes that lie behind each other, as pixels whose lanes are the planes, in scratch; and back. */
#ifndef CP_DRIVE_TURN_H
#define CP_DRIVE_TURN_H

#include "kernels/table.h"
#include "plan/pool.h"

typedef struct cp_turn {
    const cp_lane_kernels *kernels;
    int64_t item;                                 /* bytes of an element; 1: taps */
    int64_t count[CP_SPACE];                      /* elements along each axis */
    int64_t space[CP_SPACE], step, planes, lanes; /* bytes from one to the next, also of planes; lanes hold them all */
    int64_t pixels[CP_SPACE];                     /* the same in scratch, where the elements of a row are dense */
} cp_turn;

void cp_turn_in(const cp_turn *turn, char *pixels, const char *planes);
void cp_turn_out(const cp_turn *turn, char *planes, const char *pixels);

#endif
