/* The table of the lane at hand: see kernels/table.h. */
static const cp_lane_kernels NAME(lane) = {.fold[CP_SUM] = NAME(fold_sum),
                                           .fold[CP_MAX] = NAME(fold_max),
                                           .fold[CP_MIN] = NAME(fold_min),
                                           .fold[CP_MAX_TAP] = NAME(fold_max_tap),
                                           .fold[CP_MIN_TAP] = NAME(fold_min_tap),
#ifdef CP_LANE_IS_F64
                                           .fold[CP_SCALED_SUM] = NAME(fold_scaled_sum),
                                           .fold[CP_ENTROPY] = NAME(fold_entropy),
#endif
                                           .gather = NAME(gather),
                                           .fill = NAME(fill),
                                           .iota = NAME(iota),
                                           .absolute = NAME(absolute),
                                           .plus_zero = NAME(plus_zero),
                                           .divide = NAME(divide),
                                           .copy_sign = NAME(copy_sign),
                                           .stride = NAME(stride),
                                           .pick = NAME(pick),
                                           .first_taps = NAME(first_taps),
                                           .any_negative = NAME(any_negative),
                                           .load_positions = NAME(load_positions),
                                           .store_taps = NAME(store_taps),
                                           .clear = NAME(clear),
                                           .scatter = NAME(scatter),
                                           .strip[CP_SUM] = NAME(strip_sum),
                                           .strip[CP_MAX] = NAME(strip_max),
                                           .strip[CP_MIN] = NAME(strip_min),
                                           .strip[CP_MAX_TAP] = NAME(strip_max_tap),
                                           .strip[CP_MIN_TAP] = NAME(strip_min_tap),
#define CP_ROW(name, code, bits, lane) .load[CP_DTYPE_##name] = NAME(load_##name), .store[CP_DTYPE_##name] = NAME(store_##name),
                                           CP_DTYPE_LIST(CP_ROW)
#undef CP_ROW
};
