/* Primitives that an instruction set without masks has lane by lane, for the lane type at hand. */

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

CP_VEC V(mask) V(eq_u8)(const uint8_t *p, int64_t n, uint8_t code)
{
    CP_ELEMENT row[V(N)];
    for (int l = 0; l < V(N); l++) {
        row[l] = l < n ? (CP_ELEMENT)p[l] : (CP_ELEMENT)-1;
    }
    return V(eq)(V(load)(row), V(set1)(code));
}

CP_VEC void V(store_u8)(uint8_t *p, CP_VECTOR v, int64_t n)
{
    CP_ELEMENT row[V(N)];
    V(store)(row, v);
    for (int l = 0; l < V(N); l++) {
        if (l < n) {
            p[l] = (uint8_t)(int)row[l];
        }
    }
}

CP_VEC CP_VECTOR V(load_u8)(const uint8_t *p, int64_t n)
{
    CP_ELEMENT row[V(N)];
    for (int l = 0; l < V(N); l++) {
        row[l] = l < n ? (CP_ELEMENT)p[l] : 0;
    }
    return V(load)(row);
}

CP_VEC CP_VECTOR V(add_where)(V(mask) m, CP_VECTOR a, CP_VECTOR b) { return V(add)(a, V(select)(m, b, V(set1)(0))); }
