/* Folds of T rows into one, lanes independent: dst[i] = combine over t of taps[t][i]. Which taps, where they come from and what
 * the result means is the caller's; here stands only the order, which is what makes the bits the same everywhere. */

/* Rows that a fold does not have are never read; they are set so that no compiler wonders. */
CP_TEMPLATE NAME(state) NAME(blank)(void)
{
    NAME(state) s;
    for (int r = 0; r < CP_MAX_ROWS; r++) {
        s.row[r] = V(set1)(0);
    }
    return s;
}

CP_TEMPLATE NAME(state) NAME(identity_state)(int fold)
{
    NAME(state) s = NAME(blank)();
    for (int r = 0; r < cp_fold_rows(fold); r++) {
        s.row[r] = V(set1)((CP_ELEMENT)cp_fold_identity(fold, r));
    }
    return s;
}

/* A value, and the number of the tap that it comes from where the fold carries one. */
typedef struct NAME(element) {
    CP_VECTOR value, tap;
} NAME(element);

CP_TEMPLATE int NAME(carries_tap)(int fold)
{
    return fold == CP_MAX_TAP || fold == CP_MIN_TAP;
}

/* Of equals, and of NaNs, the accumulated one stays: it is the first. */
CP_TEMPLATE NAME(element) NAME(combine_elements)(int fold, NAME(element) acc, NAME(element) x)
{
    V(mask) take;
    switch (fold) {
    case CP_SUM: acc.value = V(add)(acc.value, x.value); break;
    case CP_MAX: acc.value = V(max)(acc.value, x.value); break;
    case CP_MIN: acc.value = V(min)(acc.value, x.value); break;
    case CP_MAX_TAP:
    case CP_MIN_TAP:
        take = fold == CP_MAX_TAP ? V(above)(x.value, acc.value) : V(below)(x.value, acc.value);
        acc.value = V(select)(take, x.value, acc.value);
        acc.tap = V(select)(take, x.tap, acc.tap);
        break;
    default: break;
    }
    return acc;
}

CP_TEMPLATE NAME(state) NAME(combine)(int fold, NAME(state) acc, NAME(state) x)
{
    NAME(element) a = {acc.row[0], acc.row[1]}, b = {x.row[0], x.row[1]};
    switch (fold) {
#ifdef CP_LANE_IS_F64
    case CP_SCALED_SUM: acc = scaled_add(acc, x); break;
    case CP_ENTROPY: acc = NAME(entropy_merge)(acc, x); break;
#endif
    default:
        a = NAME(combine_elements)(fold, a, b);
        acc.row[0] = a.value;
        acc.row[1] = a.tap;
        break;
    }
    return acc;
}

CP_TEMPLATE CP_VECTOR NAME(load)(const CP_ELEMENT *p, int64_t n, double fill)
{
    return n == V(N) ? V(load)(p) : V(load_n)(p, n, (CP_ELEMENT)fill);
}

CP_TEMPLATE void NAME(save)(CP_ELEMENT *p, CP_VECTOR v, int64_t n)
{
    if (n == V(N)) {
        V(store)(p, v);
    } else {
        V(store_n)(p, v, n);
    }
}

/* `count` pixels of `lanes` elements, to other distances. */
CP_TEMPLATE void NAME(move_pixels)(int64_t lanes, int64_t count, const CP_ELEMENT *from, int64_t from_step, CP_ELEMENT *to,
                                   int64_t to_step)
{
    for (int64_t i = 0; i < count; i++, from += from_step, to += to_step) {
        for (int64_t l = 0; l < lanes; l++) {
            to[l] = from[l];
        }
    }
}

static void NAME(move)(int64_t lanes, int64_t count, const CP_ELEMENT *from, int64_t from_step, CP_ELEMENT *to, int64_t to_step)
{
    switch (lanes) {
    case 1: NAME(move_pixels)(1, count, from, from_step, to, to_step); break;
    case 3: NAME(move_pixels)(3, count, from, from_step, to, to_step); break;
    default: NAME(move_pixels)(lanes, count, from, from_step, to, to_step); break;
    }
}

/* Where a fold reads: lanes i .. i + n of the rows of its taps. */
typedef struct NAME(source) {
    const void *const *taps;
    const double *offsets;
    int64_t pitch, i, n;
    int mode;
} NAME(source);

CP_TEMPLATE NAME(state) NAME(tap)(int fold, const NAME(source) *from, int64_t t)
{
    const CP_ELEMENT *p = (const CP_ELEMENT *)from->taps[t] + from->i;
    NAME(state) s = NAME(blank)();
    s.row[0] = NAME(load)(p, from->n, cp_fold_identity(fold, 0));
    if (fold == CP_MAX_TAP || fold == CP_MIN_TAP) {
        CP_VECTOR offset = V(set1)((CP_ELEMENT)from->offsets[t]);
        s.row[1] = from->mode & CP_LEAF ? offset : V(add)(NAME(load)(p + from->pitch, from->n, -1.0), offset);
    } else {
        for (int r = 1; r < cp_fold_rows(fold); r++) {
            s.row[r] = NAME(load)(p + r * from->pitch, from->n, cp_fold_identity(fold, r));
        }
    }
    return s;
}

CP_TEMPLATE NAME(state) NAME(block4)(int fold, const NAME(source) *from, int64_t t)
{
    return NAME(combine)(fold, NAME(combine)(fold, NAME(tap)(fold, from, t), NAME(tap)(fold, from, t + 1)),
                         NAME(combine)(fold, NAME(tap)(fold, from, t + 2), NAME(tap)(fold, from, t + 3)));
}

CP_TEMPLATE NAME(state) NAME(block16)(int fold, const NAME(source) *from, int64_t t)
{
    NAME(state) a = NAME(combine)(fold, NAME(block4)(fold, from, t), NAME(block4)(fold, from, t + 4));
    return NAME(combine)(fold, a, NAME(combine)(fold, NAME(block4)(fold, from, t + 8), NAME(block4)(fold, from, t + 12)));
}

CP_TEMPLATE NAME(state) NAME(block64)(int fold, const NAME(source) *from)
{
    NAME(state) block[4];
    for (int q = 0; q < 4; q++) {
        block[q] = NAME(block16)(fold, from, (int64_t)16 * q);
    }
    return NAME(combine)(fold, NAME(combine)(fold, block[0], block[1]), NAME(combine)(fold, block[2], block[3]));
}

/* A block of the same tree by one loop, for folds of which a combination is longer than what surrounds it. */
CP_TEMPLATE NAME(state) NAME(paired)(int fold, const NAME(source) *from, int64_t t, int64_t count)
{
    NAME(state) waiting[7];
    int depth = 0;
    for (int64_t i = 0; i < count; i++) {
        NAME(state) x = NAME(tap)(fold, from, t + i);
        for (int64_t pairs = i; pairs & 1; pairs >>= 1) {
            x = NAME(combine)(fold, waiting[--depth], x);
        }
        waiting[depth++] = x;
    }
    return waiting[0];
}

CP_TEMPLATE NAME(state) NAME(fold_taps)(int fold, const NAME(source) *from, NAME(state) acc, int64_t count)
{
    int64_t t = 0;
    if (from->mode & CP_TREE && fold == CP_ENTROPY) {
        for (int64_t block; t < count; t += block) {
            block = count - t >= 64 ? 64 : count - t >= 16 ? 16 : count - t >= 4 ? 4 : 1;
            acc = NAME(combine)(fold, acc, NAME(paired)(fold, from, t, block));
        }
    } else if (from->mode & CP_TREE && (fold == CP_SUM || fold == CP_SCALED_SUM)) {
        if (count == 64) {
            return NAME(combine)(fold, acc, NAME(block64)(fold, from));
        }
        for (; count - t >= 16; t += 16) {
            acc = NAME(combine)(fold, acc, NAME(block16)(fold, from, t));
        }
        for (; count - t >= 4; t += 4) {
            acc = NAME(combine)(fold, acc, NAME(block4)(fold, from, t));
        }
    }
    for (; t < count; t++) {
        acc = NAME(combine)(fold, acc, NAME(tap)(fold, from, t));
    }
    return acc;
}

CP_TEMPLATE void NAME(fold_lanes)(int fold, CP_ELEMENT *dst, int64_t dst_pitch, const NAME(source) *from, int64_t count)
{
    NAME(state) acc = NAME(identity_state)(fold);
    if (from->mode & CP_CONTINUE) {
        for (int r = 0; r < cp_fold_rows(fold); r++) {
            acc.row[r] = NAME(load)(dst + r * dst_pitch, from->n, cp_fold_identity(fold, r));
        }
    }
    acc = NAME(fold_taps)(fold, from, acc, count);
    for (int r = 0; r < cp_fold_rows(fold); r++) {
        NAME(save)(dst + r * dst_pitch, acc.row[r], from->n);
    }
}

CP_TEMPLATE void NAME(fold)(int fold, void *dst, int64_t dst_pitch, const void *const *taps, int64_t tap_pitch,
                            const double *offsets, int64_t count, int64_t n, int mode)
{
    CP_ELEMENT *d = dst;
    NAME(source) from = {taps, offsets, tap_pitch, 0, V(N), mode};
    for (; from.i + V(N) <= n; from.i += V(N)) {
        NAME(fold_lanes)(fold, d + from.i, dst_pitch, &from, count);
    }
    if (from.i < n) {
        from.n = n - from.i;
        NAME(fold_lanes)(fold, d + from.i, dst_pitch, &from, count);
    }
}

#define FOLD(instance, kind) \
    static void NAME(instance)(void *dst, int64_t dst_pitch, const void *const *taps, int64_t tap_pitch, \
                               const double *offsets, int64_t count, int64_t n, int mode) \
    { \
        NAME(fold)(kind, dst, dst_pitch, taps, tap_pitch, offsets, count, n, mode); \
    }
FOLD(fold_sum, CP_SUM)
FOLD(fold_max, CP_MAX)
FOLD(fold_min, CP_MIN)
FOLD(fold_max_tap, CP_MAX_TAP)
FOLD(fold_min_tap, CP_MIN_TAP)
#ifdef CP_LANE_IS_F64
FOLD(fold_scaled_sum, CP_SCALED_SUM)
FOLD(fold_entropy, CP_ENTROPY)
#endif
#undef FOLD

/* The gradient of a selection: contributions of the outputs that selected this position, in the order given. */
static void NAME(gather)(void *dst, const void *const *taps, int64_t tap_pitch, int64_t count, const void *self,
                         int64_t self_step, int64_t n)
{
    CP_ELEMENT *d = dst;
    const CP_ELEMENT *here = self;
    for (int64_t i = 0; i < n; i += V(N)) {
        int64_t m = n - i < V(N) ? n - i : V(N);
        CP_VECTOR position = self_step == 0 ? V(set1)(*here) : NAME(load)(here + i, m, 0.0), zero = V(set1)(0);
        CP_VECTOR acc = NAME(load)(d + i, m, 0.0);
        for (int64_t t = 0; t < count; t++) {
            const CP_ELEMENT *p = (const CP_ELEMENT *)taps[t] + i;
            V(mask) selected = V(eq)(NAME(load)(p + tap_pitch, m, -1.0), position);
            acc = V(add)(acc, V(select)(selected, NAME(load)(p, m, 0.0), zero));
        }
        NAME(save)(d + i, acc, m);
    }
}
