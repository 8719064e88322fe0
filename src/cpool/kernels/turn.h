/* Planes that lie behind each other become the lanes of pixels, and back: `lanes`, a multiple of any vector, hold `planes` of
 * them, and the last one again in those that are left. */

/* Rows become columns: in each round, lanes of the upper half go between those of the lower. */
CP_TEMPLATE void NAME(transpose)(CP_VECTOR *v)
{
    CP_VECTOR next[V(N)];
    CP_UNROLL for (int round = 1; round < V(N); round *= 2)
    {
        CP_UNROLL for (int i = 0; i < V(N) / 2; i++)
        {
            V(zip)(v[i], v[i + V(N) / 2], &next[2 * i], &next[2 * i + 1]);
        }
        CP_UNROLL for (int i = 0; i < V(N); i++)
        {
            v[i] = next[i];
        }
    }
}

/* The next N of `count` elements: the last ones again where fewer are left, if there are as many. */
CP_TEMPLATE int64_t NAME(turn_from)(int64_t c, int64_t count)
{
    return count - c < V(N) &&count >= V(N) ? count - V(N) : c;
}

/* Bytes from what is turned to what memory is told of meanwhile: the next planes, if they are turned soon; 0 if not. */
CP_TEMPLATE int64_t NAME(turn_ahead)(int64_t plane_step)
{
    enum { SOON = 64 * 1024 };
    return plane_step > 0 && plane_step <= SOON / V(N) ? V(N) *plane_step : 0;
}

/* bytes: elements are taps. */
CP_TEMPLATE void NAME(turn_planes)(int bytes, void *to, const char *from, int64_t plane_step, int64_t planes, int64_t lanes,
                                   int64_t count)
{
    const int64_t size = bytes ? 1 : (int64_t)sizeof(CP_ELEMENT), ahead = NAME(turn_ahead)(plane_step);
    for (int64_t l = 0; l < lanes; l += V(N)) {
        const char *row[V(N)];
        for (int64_t i = 0; i < V(N); i++) {
            row[i] = from + (l + i < planes ? l + i : planes - 1) * plane_step;
        }
        for (int64_t c = 0; c < count; c += V(N)) {
            const int64_t at = NAME(turn_from)(c, count), n = count < V(N) ? count : V(N);
            CP_VECTOR v[V(N)];
            CP_UNROLL for (int i = 0; i < V(N); i++)
            {
                const char *place = row[i] + at * size;
                CP_PREFETCH(place + ahead);
                v[i] =
                    bytes ? V(load_u8)((const uint8_t *)place, n) : NAME(load)((const CP_ELEMENT *)(const void *)place, n, 0.0);
            }
            NAME(transpose)(v);
            CP_UNROLL for (int i = 0; i < V(N); i++)
            {
                const int64_t pixel = (at + i) * lanes + l;
                if (i < n && bytes) {
                    V(store_u8)((uint8_t *)to + pixel, v[i], V(N));
                } else if (i < n) {
                    V(store)((CP_ELEMENT *)to + pixel, v[i]);
                }
            }
        }
    }
}

static void NAME(turn_in)(void *to, const char *from, int64_t plane_step, int64_t planes, int64_t lanes, int64_t count)
{
    NAME(turn_planes)(0, to, from, plane_step, planes, lanes, count);
}

static void NAME(turn_in_u8)(void *to, const char *from, int64_t plane_step, int64_t planes, int64_t lanes, int64_t count)
{
    NAME(turn_planes)(1, to, from, plane_step, planes, lanes, count);
}

CP_TEMPLATE void NAME(turn_back)(int bytes, char *to, int64_t plane_step, const void *from, int64_t planes, int64_t lanes,
                                 int64_t count)
{
    const int64_t size = bytes ? 1 : (int64_t)sizeof(CP_ELEMENT), next = NAME(turn_ahead)(plane_step);
    const int64_t ahead = next == 0 ? CP_AHEAD : next;
    for (int64_t l = 0; l < planes; l += V(N)) {
        for (int64_t c = 0; c < count; c += V(N)) {
            const int64_t at = NAME(turn_from)(c, count), n = count < V(N) ? count : V(N);
            CP_VECTOR v[V(N)];
            CP_UNROLL for (int i = 0; i < V(N); i++)
            {
                const int64_t pixel = (i < n ? at + i : at) * lanes + l;
                v[i] = bytes ? V(load_u8)((const uint8_t *)from + pixel, V(N)) : V(load)((const CP_ELEMENT *)from + pixel);
            }
            NAME(transpose)(v);
            CP_UNROLL for (int i = 0; i < V(N); i++)
            {
                if (l + i < planes) {
                    char *place = to + (l + i) * plane_step + at * size;
                    CP_PREFETCH_WRITE(place + ahead);
                    if (bytes) {
                        V(store_u8)((uint8_t *)place, v[i], n);
                    } else {
                        NAME(save)((CP_ELEMENT *)(void *)place, v[i], n);
                    }
                }
            }
        }
    }
}

static void NAME(turn_out)(char *to, int64_t plane_step, const void *from, int64_t planes, int64_t lanes, int64_t count)
{
    NAME(turn_back)(0, to, plane_step, from, planes, lanes, count);
}

/* The same of bytes. */
static void NAME(turn_out_u8)(char *to, int64_t plane_step, const void *from, int64_t planes, int64_t lanes, int64_t count)
{
    NAME(turn_back)(1, to, plane_step, from, planes, lanes, count);
}
