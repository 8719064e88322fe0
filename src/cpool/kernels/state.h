/* The state of a fold in registers: one vector for each of its rows, see kernels/table.h. */

typedef struct NAME(state) {
    CP_VECTOR row[CP_MAX_ROWS];
} NAME(state);
