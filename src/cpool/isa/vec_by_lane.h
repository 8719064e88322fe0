/* Primitives that an instruction set without masks has lane by lane, for the lane type at hand. It defines besides
 *   widen(word)                   bytes of a word as codes
 *   numbers(codes)                codes as lanes
 *   narrow(v)                     lanes, integers of -1 to 255, as bytes of a word
 */

typedef struct V(places) {
    int32_t index[V(N)];
} V(places);

CP_VEC V(places) V(places_from)(const int32_t *index)
{
    V(places) places;
    memcpy(places.index, index, sizeof places.index);
    return places;
}

CP_VEC CP_VECTOR V(pick)(CP_VECTOR a, CP_VECTOR b, V(places) places)
{
    CP_ELEMENT row[2 * V(N)], picked[V(N)];
    V(store)(row, a);
    V(store)(row + V(N), b);
    for (int l = 0; l < V(N); l++) {
        picked[l] = row[places.index[l]];
    }
    return V(load)(picked);
}

typedef struct V(lanes) {
    int lo, hi;
} V(lanes);

CP_VEC V(lanes) V(lanes_from)(int64_t lo, int64_t hi)
{
    V(lanes) lanes = {lo < 0 ? 0 : lo > V(N) ? V(N) : (int)lo, hi < 0 ? 0 : hi > V(N) ? V(N) : (int)hi};
    return lanes;
}

CP_VEC CP_VECTOR V(load_lanes)(const CP_ELEMENT *p, V(lanes) lanes, CP_VECTOR fill)
{
    CP_ELEMENT row[V(N)];
    if (lanes.hi - lanes.lo == V(N)) {
        return V(load)(p);
    }
    if (lanes.hi <= lanes.lo) {
        return fill;
    }
    V(store)(row, fill);
    for (int l = lanes.lo; l < lanes.hi; l++) {
        memcpy(row + l, (const void *)(p + l), sizeof *row);
    }
    return V(load)(row);
}

/* Bytes of a word, the first one lowest: what an instruction set makes codes of, and of lanes. */
CP_VEC uint32_t V(word)(const uint8_t *p, int lo, int hi)
{
    uint32_t word = 0;
    if (V(N) > 1 && hi - lo == V(N)) { /* more than one lane have only processors that store the lowest byte first */
        memcpy(&word, p, V(N));
        return word;
    }
    for (int l = lo; l < hi; l++) {
        word |= (uint32_t)p[l] << (8 * l);
    }
    return word;
}

CP_VEC V(codes) V(load_codes)(const uint8_t *p, int64_t n) { return V(widen)(V(word)(p, 0, (int)n)); }
CP_VEC V(codes) V(load_codes_lanes)(const uint8_t *p, V(lanes) lanes) { return V(widen)(V(word)(p, lanes.lo, lanes.hi)); }
CP_VEC CP_VECTOR V(load_u8)(const uint8_t *p, int64_t n) { return V(numbers)(V(load_codes)(p, n)); }

CP_VEC void V(store_u8)(uint8_t *p, CP_VECTOR v, int64_t n)
{
    const uint32_t word = V(narrow)(v);
    if (V(N) > 1 && n == V(N)) {
        memcpy(p, &word, V(N));
        return;
    }
    for (int64_t l = 0; l < n; l++) {
        p[l] = (uint8_t)(word >> (8 * l));
    }
}

CP_VEC CP_VECTOR V(add_where)(V(mask) m, CP_VECTOR a, CP_VECTOR b) { return V(add)(a, V(select)(m, b, V(set1)(0))); }
