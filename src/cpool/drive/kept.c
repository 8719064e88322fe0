#include "drive/kept.h"

/* Whether a belongs above b. */
typedef int (*cp_order)(const cp_kept *a, const cp_kept *b);

/* The worst: NaN is the best, of equals the first is better. */
static int is_worse(const cp_kept *a, const cp_kept *b)
{
    int a_nan = a->value != a->value, b_nan = b->value != b->value;
    if (a_nan || b_nan) {
        return b_nan && (!a_nan || a->at > b->at);
    }
    return a->value < b->value || (a->value == b->value && a->at > b->at);
}

static int is_later(const cp_kept *a, const cp_kept *b)
{
    return a->at > b->at;
}

static void sift_down(cp_kept *heap, int64_t n, int64_t i, cp_order above)
{
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && above(&heap[child + 1], &heap[child]);
        if (!above(&heap[child], &heap[i])) {
            return;
        }
        cp_kept moved = heap[i];
        heap[i] = heap[child];
        heap[child] = moved;
    }
}

static void make_heap(cp_kept *heap, int64_t n, cp_order above)
{
    for (int64_t i = n / 2; i-- > 0;) {
        sift_down(heap, n, i, above);
    }
}

void cp_kept_sort(cp_kept *kept, int64_t n)
{
    make_heap(kept, n, is_later);
    for (int64_t end = n - 1; end > 0; end--) {
        cp_kept last = kept[0];
        kept[0] = kept[end];
        kept[end] = last;
        sift_down(kept, end, 0, is_later);
    }
}

int64_t cp_kept_offer(cp_kept *kept, int64_t n, int64_t most, cp_kept next)
{
    if (n < most) {
        kept[n++] = next;
        if (n == most) {
            make_heap(kept, n, is_worse);
        }
    } else if (is_worse(&kept[0], &next)) {
        kept[0] = next;
        sift_down(kept, n, 0, is_worse);
    }
    return n;
}
