/* Overlap of strided views as a bounded linear equation.
 *
 * A byte of view a is lo + sum(i[k] * |stride[k]|) + p and, counted from the other end, a byte of view b is
 * last - sum(j[k] * |stride[k]|) - q. They are one byte if all these terms sum to last - lo: is there a solution of
 *     sum(x[k] * c[k]) = target,  0 <= x[k] <= u[k],  c[k] > 0 ?
 * Nested terms are merged (dense arrays collapse to a single one), the rest is a depth-first search from the largest c, which
 * at each level visits only those x that leave a remainder within reach and divisible by the gcd of what is left. The lowest
 * two terms are thereby solved in closed form.
 *
 * All sums are below 2^64: those of one view are below 2^63.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "overlap.h"

#define MAX_TERMS (2 * CPOOL_MAX_NDIM + 1)

enum {
    WORK_LIMIT = 200000, /* nodes of the search */
    SPLIT_LIMIT = 16     /* values of the lowest term that are tried one by one */
};

typedef struct cp_term {
    uint64_t c, u;
} cp_term;

typedef struct cp_span {
    uint64_t lo, last; /* addresses of the lowest and the highest byte */
    uint64_t item;
    int n;
    int repeats; /* an axis of stride 0 */
    cp_term term[CPOOL_MAX_NDIM];
} cp_span;

typedef struct cp_level {
    uint64_t c, u;
    uint64_t reach;         /* the largest sum of the terms up to this one */
    uint64_t gcd;           /* of the c up to this one */
    uint64_t step, inverse; /* x is inverse * (target / gcd) modulo step */
} cp_level;

typedef struct cp_equation {
    int64_t work_left;
    int n;
    cp_term term[MAX_TERMS]; /* by ascending c */
    cp_level level[MAX_TERMS];
} cp_equation;

/* 0 if the view is empty. */
static int read_view(const cpool_view *v, cp_span *s)
{
    uint64_t elements = 1; /* of steps of 0 there may be more than this counts */
    for (int k = 0; k < v->ndim; k++) {
        elements *= (uint64_t)v->shape[k];
        if (v->shape[k] == 0) {
            return 0;
        }
    }
    s->item = v->dtype_bits / 8u;
    s->lo = (uint64_t)(uintptr_t)v->data;
    s->last = s->lo + s->item - 1;
    s->n = 0;
    s->repeats = 0;
    if (v->strides == NULL) { /* one element behind the other */
        s->last = s->lo + elements * s->item - 1;
        s->term[0] = (cp_term){s->item, elements - 1};
        s->n = elements > 1;
        return 1;
    }
    for (int k = v->ndim - 1; k >= 0; k--) {
        uint64_t u = (uint64_t)v->shape[k] - 1;
        int64_t stride = v->strides[k];
        if (u == 0) {
            continue;
        }
        if (stride == 0) {
            s->repeats = 1;
            continue;
        }
        cp_term t = {stride < 0 ? 0 - (uint64_t)stride : (uint64_t)stride, u};
        if (stride < 0) {
            s->lo -= t.c * u;
        } else {
            s->last += t.c * u;
        }
        s->term[s->n++] = t;
    }
    return 1;
}

/* By insertion from the end: the axes of most views come sorted. */
static void add_term(cp_term *term, int *n, uint64_t c, uint64_t u)
{
    if (u == 0) {
        return;
    }
    int k = (*n)++;
    for (; k > 0 && term[k - 1].c > c; k--) {
        term[k] = term[k - 1];
    }
    term[k].c = c;
    term[k].u = u;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Inverse of a modulo m, for coprime a and m < 2^63; 0 modulo 1. */
static uint64_t inverse(uint64_t a, uint64_t m)
{
    int64_t x = 0, next = 1;
    uint64_t r = m, s = a % m;
    while (s) {
        uint64_t q = r / s, rest = r % s;
        int64_t y = x - (int64_t)q * next;
        r = s;
        s = rest;
        x = next;
        next = y;
    }
    return m == 1 ? 0 : x < 0 ? m - (uint64_t)-x : (uint64_t)x;
}

/* a * b modulo m, for a, b < m < 2^63. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t m)
{
    if (m <= UINT64_C(1) << 32) {
        return a * b % m;
    }
    uint64_t sum = 0;
    for (; b; b >>= 1) {
        if (b & 1) {
            sum = sum >= m - a ? sum - (m - a) : sum + a;
        }
        a = a >= m - a ? a - (m - a) : a + a;
    }
    return sum;
}

/* x * c + y * kc takes every multiple of c up to its end if x reaches k - 1. */
static void merge(cp_equation *e)
{
    int last = 0;
    for (int k = 1; k < e->n; k++) {
        cp_term *low = &e->term[last], high = e->term[k];
        if (high.c - low->c <= low->c * low->u && high.c % low->c == 0) {
            low->u += high.c / low->c * high.u;
        } else {
            e->term[++last] = high;
        }
    }
    e->n = e->n ? last + 1 : 0;
}

/* Levels of the terms from `first` on; their number. */
static int prepare(cp_equation *e, int first)
{
    cp_level *level = e->level;
    int n = 0;
    for (int k = first; k < e->n; k++, n++) {
        cp_level l = {e->term[k].c, e->term[k].u, 0, 0, 1, 0};
        l.reach = l.c * l.u;
        l.gcd = l.c;
        if (n > 0) {
            l.reach += level[n - 1].reach;
            l.gcd = gcd(level[n - 1].gcd, l.c);
            l.step = level[n - 1].gcd / l.gcd;
            l.inverse = inverse(l.c / l.gcd, l.step);
        }
        level[n] = l;
    }
    return n;
}

/* target is at most level->reach and divisible by level->gcd. `depth` levels are below this one. */
static int search(const cp_level *level, int depth, uint64_t target, int64_t *work_left)
{
    if (depth == 0 || --*work_left < 0) {
        return 1;
    }
    uint64_t c = level->c, step = level->step, below = level[-1].reach;
    uint64_t x = target > below ? (target - below - 1) / c + 1 : 0;
    uint64_t end = target / c < level->u ? target / c : level->u;
    if (x > end) {
        return 0;
    }
    if (step > 1) {
        uint64_t wanted = multiply(target / level->gcd % step, level->inverse, step), at = x % step;
        uint64_t ahead = wanted >= at ? wanted - at : wanted + step - at;
        if (ahead > end - x) {
            return 0;
        }
        x += ahead;
    }
    for (;; x += step) {
        if (search(level - 1, depth - 1, target - x * c, work_left)) {
            return 1;
        }
        if (end - x < step) {
            return 0;
        }
    }
}

static int solve_levels(cp_equation *e, int n, uint64_t target)
{
    if (n == 0) {
        return target == 0;
    }
    const cp_level *top = &e->level[n - 1];
    return target <= top->reach && target % top->gcd == 0 && search(top, n - 1, target, &e->work_left);
}

static int solve(cp_equation *e, uint64_t target)
{
    merge(e);
    if (e->n < 2 || e->term[0].c != 1) {
        return solve_levels(e, prepare(e, 0), target);
    }
    /* The bytes of the items: as a level they would make every gcd 1. The gcd of the others leaves few values of them, mostly
     * one, that are worth trying. */
    uint64_t rest = e->term[1].c, bytes = e->term[0].u;
    for (int k = 2; k < e->n; k++) {
        rest = gcd(e->term[k].c, rest);
    }
    if (bytes / rest >= SPLIT_LIMIT) {
        return solve_levels(e, prepare(e, 0), target);
    }
    uint64_t x = target % rest;
    if (x > bytes) {
        return 0;
    }
    int n = prepare(e, 1);
    for (; x <= bytes && x <= target; x += rest) {
        if (solve_levels(e, n, target - x)) {
            return 1;
        }
    }
    return 0;
}

int cp_overlap(const cpool_view *a, const cpool_view *b)
{
    cp_span s, t;
    if (!read_view(a, &s) || !read_view(b, &t) || t.last < s.lo || s.last < t.lo) {
        return 0;
    }
    cp_equation e;
    e.work_left = WORK_LIMIT;
    e.n = 0;
    add_term(e.term, &e.n, 1, s.item - 1 + t.item - 1);
    for (int k = 0; k < s.n; k++) {
        add_term(e.term, &e.n, s.term[k].c, s.term[k].u);
    }
    for (int k = 0; k < t.n; k++) {
        add_term(e.term, &e.n, t.term[k].c, t.term[k].u);
    }
    return solve(&e, t.last - s.lo);
}

/* Two elements differ by d[k] steps along each axis. Let k be the axis of the largest stride where they differ, and d[k] > 0:
 * d[k] = 1 + x[k] and d[j] = y[j] - u[j] for the axes j of smaller stride. They share a byte if
 *     c[k] * (1 + x[k]) + sum(c[j] * (y[j] - u[j])) = (item - 1) - z,  0 <= z <= 2 * (item - 1). */
int cp_overlap_self(const cpool_view *a)
{
    cp_span s;
    if (a->strides == NULL || !read_view(a, &s)) {
        return 0;
    }
    if (s.repeats) {
        return 1;
    }
    cp_term term[CPOOL_MAX_NDIM];
    int n = 0;
    for (int k = 0; k < s.n; k++) {
        add_term(term, &n, s.term[k].c, s.term[k].u);
    }
    cp_equation e;
    e.work_left = WORK_LIMIT;
    uint64_t below = s.item - 1;
    for (int k = 0; k < n; below += term[k].c * term[k].u, k++) {
        if (term[k].c > below) {
            continue;
        }
        e.n = 0;
        add_term(e.term, &e.n, 1, 2 * (s.item - 1));
        for (int j = 0; j < k; j++) {
            add_term(e.term, &e.n, term[j].c, 2 * term[j].u);
        }
        add_term(e.term, &e.n, term[k].c, term[k].u - 1);
        if (solve(&e, below - term[k].c)) {
            return 1;
        }
    }
    return 0;
}
