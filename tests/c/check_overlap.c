/* Overlap of views against brute force, and cases too large for it.
 *
 *     cc -std=c11 -O2 -Iinclude -Isrc/cpool tests/c/check_overlap.c src/cpool/overlap.c -o check_overlap && ./check_overlap
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L

#include "overlap.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SPACE = 1 << 14, MAX_DIMS = 5 };

static int passed, failed;

static void check(int ok, const char *what)
{
    if (ok) {
        passed++;
    } else {
        failed++;
        printf("FAILED: %s\n", what);
    }
}

static uint64_t state = 88172645463325252u;

static int64_t below(int64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)((state >> 11) % (uint64_t)n);
}

typedef struct array {
    cpool_view view;
    int64_t shape[CPOOL_MAX_NDIM], strides[CPOOL_MAX_NDIM];
} array;

static void set(array *a, uint64_t address, int item, int ndim)
{
    memset(&a->view, 0, sizeof a->view);
    a->view.data = (void *)(uintptr_t)address;
    a->view.shape = a->shape;
    a->view.strides = a->strides;
    a->view.ndim = ndim;
    a->view.dtype_code = CPOOL_FLOAT;
    a->view.dtype_bits = (uint8_t)(item * 8);
    a->view.dtype_lanes = 1;
}

static void c_order(array *a)
{
    int64_t stride = a->view.dtype_bits / 8;
    for (int k = a->view.ndim - 1; k >= 0; k--) {
        a->strides[k] = stride;
        stride *= a->shape[k];
    }
}

static void swap_axes(array *a, int j, int k)
{
    int64_t n = a->shape[j], s = a->strides[j];
    a->shape[j] = a->shape[k];
    a->strides[j] = a->strides[k];
    a->shape[k] = n;
    a->strides[k] = s;
}

/* Any strides at all. */
static void random_strides(array *a)
{
    static const int items[] = {1, 4, 8};
    int item = items[below(3)], unit = below(2) ? item : 1, ndim = (int)below(MAX_DIMS);
    int64_t reach = 1 + below(60);
    set(a, (uint64_t)(SPACE / 2 + unit * below(1 + 400 / unit) - 200), item, ndim);
    for (int k = 0; k < ndim; k++) {
        a->shape[k] = below(20) ? 1 + below(5) : 0;
        a->strides[k] = below(15) ? (below(2 * reach + 1) - reach) * unit : 0;
    }
}

/* A basic slice of a dense array that starts at `address`, transposed. */
static void random_slice(array *a, uint64_t address, int item, int ndim, const int64_t *shape)
{
    set(a, address, item, ndim);
    memcpy(a->shape, shape, (size_t)ndim * sizeof *shape);
    c_order(a);
    for (int k = 0; k < ndim; k++) {
        int64_t step = 1 + below(3), first = below(shape[k]), count = 1 + below((shape[k] - 1 - first) / step + 1);
        address += (uint64_t)(first * a->strides[k]);
        a->shape[k] = count;
        a->strides[k] *= step;
        if (below(4) == 0) {
            address += (uint64_t)((count - 1) * a->strides[k]);
            a->strides[k] = -a->strides[k];
        }
    }
    a->view.data = (void *)(uintptr_t)address;
    for (int k = ndim - 1; k > 0; k--) {
        if (below(2)) {
            swap_axes(a, k, (int)below(k + 1));
        }
    }
}

static unsigned char touched[SPACE];

/* Writes `mark` to every byte; 1 if one of them held `hit` (0 where nothing counts). */
static int touch(const array *a, unsigned char hit, unsigned char mark)
{
    int64_t index[MAX_DIMS] = {0};
    int found = 0;
    for (int k = 0; k < a->view.ndim; k++) {
        if (a->shape[k] == 0) {
            return 0;
        }
    }
    for (;;) {
        int64_t at = (int64_t)(uintptr_t)a->view.data;
        for (int k = 0; k < a->view.ndim; k++) {
            at += index[k] * a->strides[k];
        }
        for (int b = 0; b < a->view.dtype_bits / 8; b++) {
            if (at + b < 0 || at + b >= SPACE) {
                printf("FAILED: case leaves the test space\n");
                failed++;
                return 0;
            }
            found |= hit && touched[at + b] == hit;
            touched[at + b] = mark;
        }
        int k = a->view.ndim - 1;
        while (k >= 0 && ++index[k] == a->shape[k]) {
            index[k--] = 0;
        }
        if (k < 0) {
            return found;
        }
    }
}

static void compare(array *a, array *b, const char *what)
{
    memset(touched, 0, sizeof touched);
    touch(a, 0, 1);
    int want = touch(b, 1, 2);
    memset(touched, 0, sizeof touched);
    int self = touch(a, 1, 1);
    if (cp_overlap(&a->view, &b->view) != want || cp_overlap(&b->view, &a->view) != want) {
        printf("want %d: %s\n", want, what);
        check(0, "overlap");
    } else {
        passed++;
    }
    check(cp_overlap_self(&a->view) == self, "self overlap");
}

static void check_random(void)
{
    array a, b;
    for (int i = 0; i < 60000; i++) {
        random_strides(&a);
        random_strides(&b);
        compare(&a, &b, "random strides");
    }
    for (int i = 0; i < 60000; i++) {
        static const int items[] = {1, 4, 8};
        int item = items[below(3)], ndim = 1 + (int)below(MAX_DIMS - 1);
        int64_t shape[MAX_DIMS];
        for (int k = 0; k < ndim; k++) {
            shape[k] = 1 + below(6);
        }
        random_slice(&a, 2000, item, ndim, shape);
        random_slice(&b, below(8) ? 2000 : 2000 + (uint64_t)below(9), item, ndim, shape);
        compare(&a, &b, "slices");
    }
    for (int i = 0; i < 20000; i++) { /* no strides: C order */
        random_strides(&a);
        random_strides(&b);
        c_order(&a);
        compare(&a, &b, "C order");
        int want = cp_overlap(&a.view, &b.view), self = cp_overlap_self(&a.view);
        a.view.strides = NULL;
        check(cp_overlap(&a.view, &b.view) == want && cp_overlap_self(&a.view) == self, "strides NULL");
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Checks both answers and prints what they cost. */
static void expect(const char *what, const array *a, const array *b, int both, int self)
{
    int repeats = 20000, wrong = 0;
    double start = now();
    for (int i = 0; i < repeats; i++) {
        wrong |= cp_overlap(&a->view, &b->view) != both;
    }
    double middle = now();
    for (int i = 0; i < repeats; i++) {
        wrong |= cp_overlap_self(&a->view) != self;
    }
    double end = now();
    printf("%-58s %7.1f ns, self %7.1f ns\n", what, (middle - start) / repeats * 1e9, (end - middle) / repeats * 1e9);
    check(!wrong && cp_overlap(&b->view, &a->view) == both, what);
}

static void set4(array *a, uint64_t address, int item, int64_t n, int64_t c, int64_t h, int64_t w)
{
    set(a, address, item, 4);
    a->shape[0] = n;
    a->shape[1] = c;
    a->shape[2] = h;
    a->shape[3] = w;
    c_order(a);
}

static void check_cases(void)
{
    const uint64_t base = UINT64_C(1) << 40;
    array a, b;

    set4(&a, base, 4, 1, 1, 4, 4);
    set4(&b, base + 64, 4, 1, 1, 4, 4);
    expect("dense, side by side", &a, &b, 0, 0);
    set4(&b, base + 63, 4, 1, 1, 4, 4);
    expect("dense, one byte shared", &a, &b, 1, 0);
    set4(&b, base, 4, 1, 1, 4, 4);
    expect("dense, the same", &a, &b, 1, 0);
    set4(&a, base, 4, 32, 64, 112, 112);
    set4(&b, base + 4 * 1000001, 8, 16, 64, 56, 56);
    expect("dense, large, overlapping", &a, &b, 1, 0);
    b.shape[2] = 0;
    expect("one is empty", &a, &b, 0, 0);

    /* x[:, :, :, 0:2] and x[:, :, :, 2:4] of N, H, W, C = 8, 100, 101, 4, as N, C, H, W */
    for (int shift = 0; shift < 2; shift++) {
        for (int k = 0; k < 2; k++) {
            array *v = k ? &b : &a;
            set4(v, base + (uint64_t)(k ? 8 - shift : 0), 4, 8, 100, 101, 4);
            v->shape[3] = 2;
            swap_axes(v, 2, 3);
            swap_axes(v, 1, 2);
        }
        expect(shift ? "channel pairs of NHWC, shifted by a byte" : "channel pairs of NHWC", &a, &b, shift, 0);
    }
    /* records of 13 bytes: a float64 at 0, a float32 at 9; and at 7 */
    for (int shift = 0; shift < 2; shift++) {
        set4(&a, base, 8, 3, 50, 60, 70);
        set4(&b, base + (shift ? 7 : 9), 4, 3, 50, 60, 70);
        for (int k = 0; k < 4; k++) {
            a.strides[k] = a.strides[k] / 8 * 13;
            b.strides[k] = b.strides[k] / 4 * 13;
        }
        expect(shift ? "fields of packed records that overlap" : "fields of packed records", &a, &b, shift, 0);
    }
    /* the colours of a checkerboard: x[0::2, 0::2] and x[1::2, 0::2] of 1000 x 1001, and x[1::2, 1::2] flipped */
    set4(&a, base, 4, 5, 3, 1000, 1001);
    a.shape[2] = 500;
    a.shape[3] = 501;
    a.strides[2] *= 2;
    a.strides[3] *= 2;
    b = a;
    b.view.shape = b.shape;
    b.view.strides = b.strides;
    b.view.data = (void *)(uintptr_t)(base + 1001 * 4);
    expect("rows of a checkerboard", &a, &b, 0, 0);
    b.view.data = (void *)(uintptr_t)(base + 999 * 1001 * 4 + 999 * 4);
    b.shape[3] = 500;
    b.strides[2] = -b.strides[2];
    b.strides[3] = -b.strides[3];
    expect("diagonal of a checkerboard, flipped", &a, &b, 0, 0);
    b.view.data = (void *)(uintptr_t)(base + 998 * 1001 * 4 + 1000 * 4);
    expect("the same squares, flipped", &a, &b, 1, 0);

    /* an upper and a lower half, one transposed */
    set4(&a, base, 8, 1, 1, 2000, 2000);
    set4(&b, base + 1000 * 2000 * 8, 8, 1, 1, 1000, 2000);
    swap_axes(&b, 2, 3);
    a.shape[2] = 1000;
    expect("halves, one transposed", &a, &b, 0, 0);
    a.shape[2] = 1001;
    expect("halves and a row, one transposed", &a, &b, 1, 0);
    /* left and right of a wide image */
    set4(&a, base, 4, 2, 3, 4000, 5001);
    set4(&b, base + 2500 * 4, 4, 2, 3, 4000, 5001);
    a.shape[3] = 2500;
    b.shape[3] = 2501;
    expect("left and right", &a, &b, 0, 0);
    a.shape[3] = 2501;
    expect("left and right, a column shared", &a, &b, 1, 0);

    /* broadcast */
    set(&a, base, 4, 3);
    a.shape[0] = INT64_C(1) << 40;
    a.shape[1] = 4;
    a.shape[2] = INT64_C(1) << 62;
    a.strides[0] = a.strides[2] = 0;
    a.strides[1] = 8;
    set4(&b, base + 4, 4, 1, 1, 1, 1);
    expect("2^102 zero-stride elements, next to one", &a, &b, 0, 1);
    b.view.data = (void *)(uintptr_t)(base + 8);
    expect("2^102 zero-stride elements, on one", &a, &b, 1, 1);

    /* sliding windows */
    set(&a, base, 4, 4);
    for (int k = 0; k < 4; k++) {
        a.shape[k] = k < 2 ? 1000 : 3;
        a.strides[k] = k % 2 ? 4 : 4 * 1002;
    }
    set4(&b, base, 1, 1, 1, 1, 1);
    expect("sliding windows", &a, &b, 1, 1);
    /* x[i, j] at 7 i + 1000 j does overlap only where rows are long enough */
    set(&a, base, 4, 2);
    a.shape[0] = 143;
    a.shape[1] = 1000000;
    a.strides[0] = 7;
    a.strides[1] = 1000;
    expect("a row as long as the next one is far", &a, &b, 1, 0);
    a.shape[0] = 144;
    expect("a row that is longer", &a, &b, 1, 1);
    /* diagonal strides that interleave without meeting */
    set(&a, base, 4, 2);
    a.shape[0] = a.shape[1] = 1000;
    a.strides[0] = 4 * 1000;
    a.strides[1] = 4 * 1001;
    expect("strides 1000 and 1001, 1000 each", &a, &b, 1, 0);
    a.shape[0] = 1002;
    a.shape[1] = 1001;
    expect("strides 1000 and 1001, 1002 and 1001 each", &a, &b, 1, 1);

#if UINTPTR_MAX > UINT32_MAX
    /* all the dimensions, all the address space */
    set(&a, base, 1, 62);
    for (int k = 0; k < 62; k++) {
        a.shape[k] = 2;
        a.strides[k] = INT64_C(1) << k;
    }
    b = a;
    b.view.shape = b.shape;
    b.view.strides = b.strides;
    b.view.data = (void *)(uintptr_t)(base + (UINT64_C(1) << 62));
    expect("2^62 bytes, side by side", &a, &b, 0, 0);
    b.view.data = (void *)(uintptr_t)(base + (UINT64_C(1) << 62) - 1);
    expect("2^62 bytes, one shared", &a, &b, 1, 0);
#endif
    set(&a, base, 8, 64);
    set(&b, base + 8, 8, 64);
    for (int k = 0; k < 64; k++) {
        a.shape[k] = b.shape[k] = k % 2 ? 1 : 3;
        a.strides[k] = b.strides[k] = k % 2 ? INT64_MIN : (k < 34 ? -(INT64_C(16) << k) : INT64_C(16) << (k - 33));
    }
    expect("64 dimensions, even and odd elements", &a, &b, 0, 1);
    /* coprime strides above 2^32 */
    set(&a, base, 1, 1);
    set(&b, base + 1, 1, 1);
    a.shape[0] = b.shape[0] = INT64_C(1) << 29;
    a.strides[0] = (INT64_C(1) << 33) + 1;
    b.strides[0] = INT64_C(1) << 33;
    expect("2^33 + 1 and 2^33, meeting in one element", &a, &b, 1, 0);
    b.view.data = (void *)(uintptr_t)(base + (UINT64_C(1) << 29));
    expect("2^33 + 1 and 2^33, missing by one", &a, &b, 0, 0);
}

/* Subset sums made to be hard: answers may be inexact, the time is bounded. */
static void check_limit(void)
{
    static const int bits[] = {22, 30, 40, 54};
    for (int i = 0; i < 4; i++) {
        array a, b;
        double worst = 0;
        int64_t unit = INT64_C(1) << bits[i];
        int ones = 0, ndim = i == 0 ? 6 : 15;
        for (int repeat = 0; repeat < 20; repeat++) {
            set(&a, UINT64_C(1) << 62, 8, ndim);
            set(&b, (UINT64_C(1) << 62) + (uint64_t)(unit * ndim + below(unit)), 8, ndim);
            for (int k = 0; k < ndim; k++) {
                a.shape[k] = b.shape[k] = 2;
                a.strides[k] = unit + below(unit);
                b.strides[k] = unit + below(unit);
            }
            double start = now();
            ones += cp_overlap(&a.view, &b.view);
            double middle = now();
            ones += cp_overlap_self(&a.view);
            double end = now();
            worst = middle - start > worst ? middle - start : worst;
            worst = end - middle > worst ? end - middle : worst;
        }
        printf("hard, 2 x %2d axes, strides of %d bits: at most %6.2f ms, %2d of 40 answered 1\n", ndim, bits[i], worst * 1e3,
               ones);
        check(worst < 1.0, "time of a search that is given up");
    }
}

int main(void)
{
    check_random();
    check_cases();
    check_limit();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
