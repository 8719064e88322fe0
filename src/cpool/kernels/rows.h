/* Small loops over one row: fill, map, permute, and the way from and to arrays. */

static void NAME(fill)(void *dst, double value, int64_t n)
{
    CP_ELEMENT *d = dst;
    CP_VECTOR v = V(set1)((CP_ELEMENT)value);
    for (int64_t i = 0; i < n; i += V(N)) {
        NAME(save)(d + i, v, n - i < V(N) ? n - i : V(N));
    }
}

static void NAME(iota)(void *dst, double first, int64_t n)
{
    CP_ELEMENT *d = dst;
    for (int64_t i = 0; i < n; i++) {
        d[i] = (CP_ELEMENT)(first + (double)i);
    }
}

enum { NAME(ABSOLUTE), NAME(PLUS_ZERO), NAME(DIVIDE), NAME(MULTIPLY) };

CP_TEMPLATE void NAME(map)(int kind, void *row, CP_ELEMENT operand, int64_t n)
{
    CP_ELEMENT *r = row;
    CP_VECTOR b = V(set1)(operand);
    for (int64_t i = 0; i < n; i += V(N)) {
        int64_t m = n - i < V(N) ? n - i : V(N);
        CP_VECTOR x = NAME(load)(r + i, m, 0.0);
        x = kind == NAME(ABSOLUTE)    ? V(abs)(x)
            : kind == NAME(PLUS_ZERO) ? V(add)(x, b)
            : kind == NAME(DIVIDE)    ? V(div)(x, b)
                                      : V(mul)(x, b);
        NAME(save)(r + i, x, m);
    }
}

static void NAME(absolute)(void *row, int64_t n)
{
    NAME(map)(NAME(ABSOLUTE), row, 0, n);
}

static void NAME(plus_zero)(void *row, int64_t n)
{
    NAME(map)(NAME(PLUS_ZERO), row, 0, n);
}

static void NAME(divide)(void *row, double divisor, int64_t n)
{
    if (cp_is_power_of_two(divisor)) { /* the product with the inverse is the same number */
        NAME(map)(NAME(MULTIPLY), row, (CP_ELEMENT)(1.0 / divisor), n);
    } else {
        NAME(map)(NAME(DIVIDE), row, (CP_ELEMENT)divisor, n);
    }
}

static void NAME(copy_sign)(void *row, const void *sign, int64_t n)
{
    CP_ELEMENT *r = row;
    const CP_ELEMENT *s = sign;
    for (int64_t i = 0; i < n; i++) {
        r[i] = s[i] == 0 ? 0 : s[i] < 0 ? -r[i] : r[i];
    }
}

static void NAME(stride)(void *dst, const void *src, int64_t step, int64_t n)
{
    CP_ELEMENT *d = dst;
    const CP_ELEMENT *s = src;
    int64_t i = 0;
    for (; step == 2 && i + V(N) < n; i += V(N)) { /* behind the last element there may be nothing */
        CP_VECTOR even, odd;
        V(unzip)(V(load)(s + i * 2), V(load)(s + i * 2 + V(N)), &even, &odd);
        V(store)(d + i, even);
    }
    for (; i < n; i++) {
        d[i] = s[i * step];
    }
}

/* Here and below, the last pair of vectors ends where the elements do, or one before. */
static void NAME(halve)(void *even, void *odd, const void *src, int64_t n)
{
    CP_ELEMENT *to[2] = {even, odd};
    const CP_ELEMENT *s = src;
    int64_t i = 0;
    while (V(N) > 1 && n - i > 1 && n >= 2 * V(N)) {
        CP_VECTOR first, second;
        i = n - i >= 2 * V(N) ? i : (n - 2 * V(N)) / 2 * 2;
        V(unzip)(V(load)(s + i), V(load)(s + i + V(N)), &first, &second);
        V(store)(to[0] + i / 2, first);
        V(store)(to[1] + i / 2, second);
        i += 2 * V(N);
    }
    for (; i < n; i++) {
        to[i % 2][i / 2] = s[i];
    }
}

static void NAME(merge)(void *dst, const void *even, const void *odd, int64_t n)
{
    CP_ELEMENT *d = dst;
    const CP_ELEMENT *const from[2] = {even, odd};
    int64_t i = 0;
    while (V(N) > 1 && n - i > 1 && n >= 2 * V(N)) {
        CP_VECTOR first, second;
        i = n - i >= 2 * V(N) ? i : (n - 2 * V(N)) / 2 * 2;
        V(zip)(V(load)(from[0] + i / 2), V(load)(from[1] + i / 2), &first, &second);
        V(store)(d + i, first);
        V(store)(d + i + V(N), second);
        i += 2 * V(N);
    }
    for (; i < n; i++) {
        d[i] = from[i % 2][i / 2];
    }
}

static void NAME(unstride)(void *dst, const void *src, int64_t step, int64_t n)
{
    CP_ELEMENT *d = dst;
    const CP_ELEMENT *s = src;
    for (int64_t i = 0; i < n; i++) {
        d[i * step] = s[i];
    }
}

static void NAME(pick)(void *dst, const void *src, const int32_t *first, const int32_t *lo, const int32_t *hi, int64_t step,
                       int32_t tap, double fill, int64_t n)
{
    CP_ELEMENT *d = dst;
    const CP_ELEMENT *s = src;
    for (int64_t i = 0; i < n; i++) {
        d[i] = tap >= lo[i] && tap < hi[i] ? s[first[i] + tap * step] : (CP_ELEMENT)fill;
    }
}

static int NAME(any_negative)(const void *row, int64_t n)
{
    const CP_ELEMENT *r = row;
    int any = 0;
    for (int64_t i = 0; i < n; i++) {
        any |= r[i] < 0;
    }
    return any;
}

static void NAME(first_taps)(void *taps, const double *first, int64_t columns, int64_t lanes)
{
    CP_ELEMENT *t = taps;
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t l = c * lanes; l < (c + 1) * lanes; l++) {
            t[l] = t[l] < 0 ? (CP_ELEMENT)first[c] : t[l];
        }
    }
}

/* Elements are floats even where lanes are double, if they are said to be: bytes of one; a vector, or n of them. */
CP_TEMPLATE int64_t NAME(element_size)(int floats)
{
#ifdef CP_LANE_IS_F64
    if (floats) {
        return (int64_t)sizeof(float);
    }
#else
    (void)floats;
#endif
    return (int64_t)sizeof(CP_ELEMENT);
}

/* How many of the lanes of a pixel, the first of which is at p, are ahead of the first vector that begins where vectors of
 * memory do: those that lie in two lines of the cache take twice as long. 0: none; or fewer than `least` vectors are there,
 * which one more of few lanes would not pay for; or not every pixel begins at the same place of a vector. */
CP_TEMPLATE int64_t NAME(lead)(const char *p, int64_t pixel_bytes, int64_t lanes, int64_t least)
{
    const int64_t bytes = V(N) *(int64_t)sizeof(CP_ELEMENT);
    if (lanes < least * V(N) || lanes % V(N) != 0 || pixel_bytes % bytes != 0) {
        return 0;
    }
    return (int64_t)((0 - (uintptr_t)p) % (uintptr_t)bytes / sizeof(CP_ELEMENT));
}

CP_TEMPLATE CP_VECTOR NAME(load_element)(int floats, const char *p, int64_t n)
{
#ifdef CP_LANE_IS_F64
    if (floats) {
        const float *from = (const float *)(const void *)p;
        return n == V(N) ? V(load_f32)(from) : V(load_f32_n)(from, n, 0.0);
    }
#else
    (void)floats;
#endif
    return NAME(load)((const CP_ELEMENT *)(const void *)p, n, 0.0);
}

CP_TEMPLATE void NAME(save_element)(int floats, char *p, CP_VECTOR v, int64_t n)
{
#ifdef CP_LANE_IS_F64
    if (floats && n == V(N)) {
        V(store_f32)((float *)(void *)p, v);
        return;
    }
    if (floats) {
        V(store_f32_n)((float *)(void *)p, v, n);
        return;
    }
#else
    (void)floats;
#endif
    NAME(save)((CP_ELEMENT *)(void *)p, v, n);
}

/* Elements side by side. */
CP_TEMPLATE void NAME(load_line)(double (*read)(const char *), int64_t size, CP_ELEMENT *d, const char *src, int64_t n)
{
    int64_t i = 0;
    if (size == sizeof(CP_ELEMENT)) {
        memcpy(d, src, (size_t)(n * size));
        return;
    }
    if (size == sizeof(float) && (uintptr_t)src % sizeof(float) == 0) {
        for (; i + vf64_N <= n; i += vf64_N) {
            vf64_store((double *)(void *)d + i, vf64_load_f32((const float *)(const void *)src + i));
        }
    }
    for (; i < n; i++) {
        d[i] = (CP_ELEMENT)read(src + i * size);
    }
}

CP_TEMPLATE void NAME(store_line)(void (*write)(char *, double), int64_t size, char *dst, const CP_ELEMENT *s, int64_t n)
{
    int64_t i = 0;
    if (size == sizeof(CP_ELEMENT)) {
        memcpy(dst, s, (size_t)(n * size));
        return;
    }
    if (size == sizeof(float) && (uintptr_t)dst % sizeof(float) == 0) {
        for (; i + vf64_N <= n; i += vf64_N) {
            vf64_store_f32((float *)(void *)dst + i, vf64_load((const double *)(const void *)s + i));
        }
    }
    for (; i < n; i++) {
        write(dst + i * size, (double)s[i]);
    }
}

/* Arrays are walked along their shorter stride: the other side is a row in cache. */
CP_TEMPLATE void NAME(load_rows)(double (*read)(const char *), int64_t size, void *dst, const char *src, int64_t columns,
                                 int64_t column_stride, int64_t lanes, int64_t lane_stride)
{
    CP_ELEMENT *d = dst;
    if (lanes == 1 && column_stride == size) { /* one row: the loop below with its inner and outer counts exchanged */
        lanes = columns;
        columns = 1;
        lane_stride = size;
    }
    if (lane_stride == size) {
        for (int64_t c = 0; c < columns; c++) {
            NAME(load_line)(read, size, d + c * lanes, src + c * column_stride, lanes);
        }
        return;
    }
    for (int64_t l = 0; l < lanes; l++) {
        for (int64_t c = 0; c < columns; c++) {
            d[c * lanes + l] = (CP_ELEMENT)read(src + c * column_stride + l * lane_stride);
        }
    }
}

CP_TEMPLATE void NAME(store_rows)(void (*write)(char *, double), int64_t size, char *dst, const void *src, int64_t columns,
                                  int64_t column_stride, int64_t lanes, int64_t lane_stride)
{
    const CP_ELEMENT *s = src;
    if (lanes == 1 && column_stride == size) {
        lanes = columns;
        columns = 1;
        lane_stride = size;
    }
    if (lane_stride == size) {
        for (int64_t c = 0; c < columns; c++) {
            NAME(store_line)(write, size, dst + c * column_stride, s + c * lanes, lanes);
        }
        return;
    }
    for (int64_t l = 0; l < lanes; l++) {
        for (int64_t c = 0; c < columns; c++) {
            write(dst + c * column_stride + l * lane_stride, (double)s[c * lanes + l]);
        }
    }
}

#define LOAD_AND_STORE(name, code, bits, lane) \
    static void NAME(load_##name)(void *dst, const char *src, int64_t columns, int64_t column_stride, int64_t lanes, \
                                  int64_t lane_stride) \
    { \
        NAME(load_rows)(cp_read_##name, bits / 8, dst, src, columns, column_stride, lanes, lane_stride); \
    } \
    static void NAME(store_##name)(char *dst, const void *src, int64_t columns, int64_t column_stride, int64_t lanes, \
                                   int64_t lane_stride) \
    { \
        NAME(store_rows)(cp_write_##name, bits / 8, dst, src, columns, column_stride, lanes, lane_stride); \
    }
CP_DTYPE_LIST(LOAD_AND_STORE)
#undef LOAD_AND_STORE

static void NAME(store_taps)(char *dst, int bits, const void *src, int64_t columns, int64_t column_stride, int64_t lanes,
                             int64_t lane_stride)
{
    const CP_ELEMENT *s = src;
    int64_t all = columns * lanes;
    if (bits == 8 && (lanes == 1 || lane_stride == 1) && (columns == 1 || column_stride == lanes)) {
        int64_t i = 0;
        for (; i + V(N) <= all; i += V(N)) {
            V(store_u8)((uint8_t *)dst + i, V(load)(s + i), V(N));
        }
        if (i < all) {
            V(store_u8)((uint8_t *)dst + i, V(load_n)(s + i, all - i, 0), all - i);
        }
        return;
    }
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t l = 0; l < lanes; l++) {
            char *at = dst + c * column_stride + l * lane_stride;
            int64_t tap = (int64_t)s[c * lanes + l];
            int32_t tap32 = (int32_t)tap;
            if (bits == 8) {
                *(uint8_t *)at = (uint8_t)tap; /* -1, none, is 255 */
            } else if (bits == 32) {
                memcpy(at, &tap32, sizeof tap32);
            } else {
                memcpy(at, &tap, sizeof tap);
            }
        }
    }
}
