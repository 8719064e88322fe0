/* What drivers may ask of an instruction set: rows of lanes, and nothing of shapes, windows or layouts.
 *
 * A lane row is contiguous float (CP_LANE_f32) or double (CP_LANE_f64). A state of a fold is one or more rows, the second a
 * pitch behind the first. Every function works on n >= 1 lanes and touches nothing else. */
#ifndef CP_KERNELS_TABLE_H
#define CP_KERNELS_TABLE_H

#include <stdint.h>

#include "cpool/cpool.h"
#include "dtype/list.h"
#include "kernels/collect_table.h"
#include "kernels/strip_table.h"
#include "kernels/whole_table.h"

enum { CP_LANE_f32, CP_LANE_f64, CP_LANES };

/* Folds, with their states. */
enum {
    CP_SUM,        /* sum */
    CP_MAX,        /* maximum; NaN wins */
    CP_MIN,        /* minimum; NaN wins */
    CP_MAX_TAP,    /* maximum, and the number of the first tap that has it; -1 before any */
    CP_MIN_TAP,    /* the same of the minimum */
    CP_SCALED_SUM, /* sum = row 0 * 2^row 1, of any magnitude; f64 lanes only */
    CP_ENTROPY,    /* what the gradient of an exponent needs, see kernels/scaled.h; f64 lanes only */
    CP_FOLDS
};
enum { CP_ENTROPY_ROWS = 8, CP_MAX_ROWS = CP_ENTROPY_ROWS };

/* How a fold runs. */
enum {
    CP_CONTINUE = 1, /* begin with what the destination holds instead of the identity */
    CP_TREE = 2, /* blocks of 64, then 16, then 4, each (a + b) + (c + d), then single taps; without: one tap after another */
    CP_LEAF = 4  /* taps are elements: the state's second row is the tap's offset, not read */
};
enum { CP_FOLD_TAPS = 64 }; /* taps of one call at most */

/* Taps as positions: tap j of axis a lies weight[a] * j behind the window's first; near[t]
 * is the sum for the first 256 taps, NaN for those that the window does not have. */
typedef struct cp_tap_map {
    int64_t taps[3];
    double weight[3]; /* of an absent tap it may be beyond every integer */
    double near[256];
} cp_tap_map;

/* Exponents of one Lp pool, per lane (step 1) or one for all (step 0). */
typedef struct cp_exponent {
    const double *p;
    int64_t step;
} cp_exponent;

typedef struct cp_lane_kernels {
    /* Fold taps[t][0 .. n) over t into dst; rows of the taps' states are tap_pitch apart, those of dst dst_pitch.
     * Folds that carry a tap number add offsets[t] to it. */
    void (*fold[CP_FOLDS])(void *dst, int64_t dst_pitch, const void *const *taps, int64_t tap_pitch, const double *offsets,
                           int64_t count, int64_t n, int mode);
    /* dst += taps[t] where taps[t] + pitch (a position) equals self, t ascending; self_step 0: one position for all lanes. */
    void (*gather)(void *dst, const void *const *taps, int64_t tap_pitch, int64_t count, const void *self, int64_t self_step,
                   int64_t n);
    void (*fill)(void *dst, double value, int64_t n);
    void (*iota)(void *dst, double first, int64_t n);
    void (*absolute)(void *row, int64_t n);
    void (*plus_zero)(void *row, int64_t n); /* -0 becomes +0 */
    void (*divide)(void *row, double divisor, int64_t n);
    void (*copy_sign)(void *row, const void *sign, int64_t n); /* row * sign(sign), 0 where sign is 0 */
    /* dst[i] = src[i * step] */
    void (*stride)(void *dst, const void *src, int64_t step, int64_t n);
    /* Those of n elements at even places, and those at odd ones; and back. */
    void (*halve)(void *even, void *odd, const void *src, int64_t n);
    void (*merge)(void *dst, const void *even, const void *odd, int64_t n);
    /* dst[i * step] = src[i] */
    void (*unstride)(void *dst, const void *src, int64_t step, int64_t n);
    /* dst[i] = lo[i] <= tap < hi[i] ? src[first[i] + tap * step] : fill */
    void (*pick)(void *dst, const void *src, const int32_t *first, const int32_t *lo, const int32_t *hi, int64_t step,
                 int32_t tap, double fill, int64_t n);
    int (*any_negative)(const void *row, int64_t n);
    /* Where the tap is -1, what `first` says of the column (columns of `lanes` lanes each). */
    void (*first_taps)(void *taps, const double *first, int64_t columns, int64_t lanes);
    /* Arrays of elements (columns * lanes of them, strides in bytes) from and to rows, lanes fastest. */
    void (*load[CP_DTYPES])(void *dst, const char *src, int64_t columns, int64_t column_stride, int64_t lanes,
                            int64_t lane_stride);
    void (*store[CP_DTYPES])(char *dst, const void *src, int64_t columns, int64_t column_stride, int64_t lanes,
                             int64_t lane_stride);
    void (*store_taps)(char *dst, int bits, const void *src, int64_t columns, int64_t column_stride, int64_t lanes,
                       int64_t lane_stride);

    /* `count` elements of planes into pixels of `lanes`, and back; see kernels/turn.h. */
    void (*turn_in)(void *to, const char *from, int64_t plane_step, int64_t planes, int64_t lanes, int64_t count);
    void (*turn_in_u8)(void *to, const char *from, int64_t plane_step, int64_t planes, int64_t lanes, int64_t count);
    void (*turn_out)(char *to, int64_t plane_step, const void *from, int64_t planes, int64_t lanes, int64_t count);
    void (*turn_out_u8)(char *to, int64_t plane_step, const void *from, int64_t planes, int64_t lanes, int64_t count);

    /* CP_SUM to CP_MIN_TAP, for every plane and row; sums are divided. The ring holds the folded rows of one plane. */
    void (*strip[CP_SCALED_SUM])(const cp_strip *strip, const cp_strip_planes *planes, void *ring);

    /* dst = sum of weights[t] * rows[t], from +0, t ascending; f64 lanes only. */
    void (*weigh)(double *dst, const double *const *rows, const double *weights, int64_t count, int64_t n);

    /* Random numbers for the indices that u holds as integers, n of them, a multiple of CP_TAP_LANES; f64 lanes only. */
    void (*draw)(void *u, uint64_t seed, uint64_t offset, int64_t n);
    void (*draw_run)(double *u, uint64_t seed, uint64_t offset, uint64_t first, int64_t n);   /* for indices from `first` on */
    void (*draw_floats)(float *u, uint64_t seed, uint64_t offset, uint64_t first, int64_t n); /* within 2^-24 of those */

    /* Of every whole plane the sum of n elements, CP_WHOLE_BLOCK at most, at place[0], place[1], ... bytes from its beginning;
     * and the gradient of averages; f64 lanes only. */
    void (*whole_sums)(const cp_whole *whole, const char *x, const int64_t *place, int64_t n, double *sums);
    void (*whole_gradient)(const cp_whole *whole, const char *dy, char *dx);

    /* Of dense planes, or of pixels, the largest or smallest elements, and the numbers of the first of these for folds that
     * carry them. */
    void (*whole_extreme[CP_FOLDS])(const cp_whole *whole, const char *x, void *best, void *taps);

    /* Gradients of small windows. Scratch has its margins filled once. */
    void (*collect_margins)(const cp_collect *collect, void *scratch);
    void (*collect)(const cp_collect *collect, const cp_collect_planes *planes, void *scratch);
} cp_lane_kernels;

typedef struct cp_lp_kernels { /* f64 lanes; see kernels/lp.h */
    void (*map)(double *dst, int64_t pitch, const double *x, int64_t n, cp_exponent p);
    void (*map_entropy)(double *dst, int64_t pitch, const double *x, int64_t n, cp_exponent p);
    void (*root)(double *sum, int64_t pitch, int64_t n, cp_exponent p, double count);
    void (*window_gradient)(double *sum, int64_t pitch, const double *dy, int64_t n, cp_exponent p, double count);
    void (*input_gradient)(double *sum, int64_t pitch, const double *x, int64_t n, cp_exponent p);
    void (*exponent_gradient)(double *entropy, int64_t pitch, const double *dy, int64_t n, cp_exponent p, double count);
} cp_lp_kernels;

/* ---- Window by window ---- */

/* Operators that look at the elements of each window, row-major, in one pass or several; f64 lanes, see kernels/tapwise.h. */
enum {
    CP_TAP_SOFT,  /* weights exp(beta x) */
    CP_TAP_LIP,   /* weights exp(logit) */
    CP_TAP_SHARE, /* weights max(x, 0) */
    CP_TAP_DRAW,  /* an element drawn with those weights */
    CP_TAP_MIX,   /* maximum and mean, blended by a parameter */
    CP_TAP_GATE,  /* ... by a weighted sum */
    CP_TAP_RANK,  /* a weighted sum of sorted elements */
    CP_TAP_DPP,   /* weights that grow with the distance from a reference */
    CP_TAP_ADA,   /* weights exp(x), blended with weights that grow with the likeness to the mean */
    CP_TAP_TREE,  /* weighted sums, blended by a tree of gates */
    CP_TAPS
};
enum { CP_TAP_LEAVES = 3, CP_TAP_GRADIENTS = 2, CP_TAP_STATES = 10, CP_TAP_MOST_STATES = 23, CP_TAP_LANES = 8 };

/* A tap of n windows. */
typedef struct cp_tap {
    const double *there; /* [n]: 1 where the window has it, else 0 */
    const double
        *leaf[CP_TAP_LEAVES]; /* [n]: what the operator's map made of the element, and its `absent` where there is none */
} cp_tap;

/* Elements of windows, tap by tap. n, the number of windows, is a multiple of CP_TAP_LANES; windows behind the last are padding
 * whose results mean nothing. */
typedef struct cp_tap_block {
    int64_t count, n;
    int64_t first;        /* how many taps came before this block */
    int32_t flat;         /* all taps are here, and what the map made of each is flat */
    const cp_tap *tap;    /* [count] */
    const double *number; /* [count]: the tap's number in the unclipped window, or in the filter (-1: not in it) */
    const double *inside; /* [count]: 1 where it is a tap of the window, 0 where it is one of the filter alone */
    double *gradient[CP_TAP_GRADIENTS]; /* [count][n]: of x, and of the second input; NULL: not wanted */
} cp_tap_block;

/* How CP_TAP_DPP weighs. */
typedef struct cp_detail {
    enum { CP_DETAIL_BOX, CP_DETAIL_FILTER, CP_DETAIL_GIVEN } reference;
    int32_t asymmetric, variant; /* CPOOL_DPP_* */
    double eps2;
} cp_detail;

/* Sums of the terms of gradients of parameters, in virtual lanes: the term of window i, i < count, goes to place (first + i) %
 * (CP_TERM_LANES planes) of its number's sums, and numbers are `pitch` apart. */
enum { CP_TERM_LANES = 16 };
typedef struct cp_tap_sums {
    double *sums;
    int64_t pitch, planes, first, count;
} cp_tap_sums;

/* What n windows hold from pass to pass. */
typedef struct cp_tap_windows {
    int64_t n;
    double *state;                    /* [states][n] */
    double *y, *tap;                  /* results, and the taps selected (-1: none) */
    const double *dy, *parameter, *u; /* dy: NULL where results alone are wanted; parameter: beta, blend, or bias */
    double *terms;                    /* [numbers][n]: what each window adds to the gradients of parameters, but for ... */
    cp_tap_sums sums;                 /* ... products with weights of CP_TAP_GATE and CP_TAP_TREE, which are summed at once */
    const double *weight; /* [ranks][n], or [taps of the unclipped window, or of the filter][n]; of every node such taps */
    int32_t one_weight;   /* ... which may be [taps], one for all windows, of CP_TAP_GATE and CP_TAP_TREE */
    int64_t ranks;
    double *rank_value, *rank_tap; /* [ranks][n] */
    int64_t nodes, node_taps;      /* CP_TAP_TREE: gates in the order of a heap, leaves behind them; weights of each */
    double *node, *node_rest;      /* [nodes][n] */
    const double *lambda, *bias;   /* CP_TAP_DPP; its alpha is the parameter, its reference u, its filter the weight */
    cp_detail detail;
} cp_tap_windows;

typedef struct cp_tap_kernel {
    int32_t leaves, passes, gradient_passes; /* the latter are run for gradients only, behind the others */
    double absent[CP_TAP_LEAVES];            /* what stands in a leaf for an absent tap */
    /* An element once: the last leaf holds x, leaf[1] the logit; the leaves take their places. `parameter`: beta. Returns
     * whether all are flat: numbers that need no power of two, whose leaf is 0. */
    int (*map)(double *const *leaf, const double *parameter, int64_t n);
    void (*pass)(const cp_tap_windows *windows, const cp_tap_block *block, int pass);
    void (*finish)(const cp_tap_windows *windows, int pass); /* after the last block of a pass */
    void (*gradient)(const cp_tap_windows *windows, const cp_tap_block *block);
    void (*terms)(const cp_tap_windows *windows, const cp_tap_block *block); /* adds to terms, or to sums */
    void (*finish_terms)(const cp_tap_windows *windows);
    /* All of that, where the block is all of the windows: results, and gradients and
     * terms if asked for. Returns whether it could; NULL: never. */
    int (*at_once)(const cp_tap_windows *windows, const cp_tap_block *block, int gradients, int terms);
} cp_tap_kernel;

/* Weighted means of floats as two sums; see kernels/weighted.h. */
typedef struct cp_weighting {
    const float *beta, *rest; /* CP_TAP_SOFT: the factor in two floats */
    int32_t by_lane;          /* whether every lane has its own */
} cp_weighting;

/* Columns of `lanes` elements each, so many bytes apart; weights and weighted elements one behind the other. */
typedef struct cp_weighted_row {
    const char *x, *logit;
    int64_t x_step, logit_step, columns, lanes;
    float *weight, *weighted;
} cp_weighted_row;

/* Magnitudes that floats are weighted with: logits below the first, weighted elements between the others, or 0. */
#define CP_WEIGHTED_LOGIT 64.0f
#define CP_WEIGHTED_LEAST 0x1p-120f
#define CP_WEIGHTED_MOST 0x1p100f

/* Of squares, which have no weights, the roots. */
#define CP_SQUARES_LEAST 0x1p-50f
#define CP_SQUARES_MOST 0x1p50f
enum { CP_SQUARES = CP_TAP_SHARE + 1, CP_WEIGHTINGS };

typedef struct cp_weighted_kernels {
    void (*map[CP_WEIGHTINGS])(const cp_weighting *by, const cp_weighted_row *row);
    int (*divide)(float *weighted, const float *weight, int64_t n);
    int (*root)(float *squares, const float *across, float down,
                int64_t n); /* divided first by across[i] * down, if not NULL */
} cp_weighted_kernels;

/* Sorted floats of windows of at most so many taps; see kernels/ranked.h. */
enum { CP_RANKED = 4 };

/* Columns of `lanes` results each, one behind the other, and of each tap its elements,
 * `step` bytes from one column to the next. */
typedef struct cp_ranked_row {
    const char *tap[CP_RANKED];
    int64_t step, columns, lanes;
    float weight[CP_RANKED];
    float *y;
} cp_ranked_row;

/* Of the gradient, windows of at most so many taps. */
enum { CP_RANKED_MOST = 9 };

/* n windows side by side: of each tap the elements, -infinity where there is none, and what each adds to the gradients. */
typedef struct cp_ranked_gradient {
    const float *tap[CP_RANKED_MOST], *there[CP_RANKED_MOST], *dy; /* `there`: 1 where there is one, else 0 */
    int64_t n, whole_from, whole_to;                               /* those in between have all taps along the row */
    int32_t all_rows;                                              /* ... and all windows all of its rows */
    float weight[CP_RANKED_MOST];                                  /* 0 behind the last rank */
    float most;                                                    /* that dy may be */
    float *dx[CP_RANKED_MOST];                                     /* of each tap; NULL: none is wanted */
    int32_t adds[CP_RANKED_MOST];                                  /* whether it is added to what is there */
    int32_t ranks;
    int64_t sums_step, period;
    double *sums; /* [ranks][period], sums_step apart: dy times what has that rank, windows modulo period; or NULL */
} cp_ranked_gradient;

/* Elements drawn from windows of floats of at most so many taps, whose sums are 0 or
 * larger than the other; see kernels/drawn.h. */
enum { CP_DRAWN = 64 };
#define CP_DRAWN_LEAST 0x1p-100f

/* n windows side by side: of each tap the elements, 0 where there is none, and u; then what was drawn, and its tap or -1. */
typedef struct cp_drawn_row {
    const float *tap[CP_DRAWN], *u;
    int64_t taps, n;
    float *y, *at;
} cp_drawn_row;

/* ---- Normalization: f64 lanes, see kernels/moments.h and kernels/affine.h ---- */

/* Where the constants of a group lie. */
enum {
    CP_ALONG,  /* one set for each row: lanes are elements of a group */
    CP_ACROSS, /* one for each lane: rows are elements of a group */
    CP_LAYER   /* one for each row, and weight and bias for each lane */
};

/* Virtual lanes of a sum along rows. Two sums, and for doubles what their roundings have lost. */
enum { CP_SUM_LANES = 16, CP_SUM_ROWS = 4 };

/* A matrix of elements, those of a row side by side. */
typedef struct cp_norm_tile {
    int32_t kind, dtype, relu;
    double floor; /* with relu: results up to it are rounded to 0 */
    int64_t rows, lanes;
    const char *x, *dy;
    char *out;
    int64_t x_step, dy_step, out_step;     /* bytes from row to row */
    int64_t x_ahead, out_ahead;            /* bytes, how far ahead to prefetch; 0: not */
    const double *center, *scale, *offset; /* per row or lane: (x - center) * scale + offset */
    const double *a, *b, *c;               /* likewise, of the gradient: e * a + (x - center) * b + c */
    const double *weight, *bias;           /* per lane; CP_LAYER */
    double *sum; /* sums that are added to. Along: per row CP_SUM_ROWS x CP_SUM_LANES; across: per lane, rows sum_pitch apart */
    int64_t sum_pitch;
    int64_t row;    /* of the block, with which the tile begins */
    int32_t begins; /* nothing has been summed yet: what is in `sum` does not count */
} cp_norm_tile;

/* What is done to a tile. */
enum {
    CP_NORM_MOMENTS,    /* sums of d and d^2, d = x - center */
    CP_NORM_EXACT,      /* the same with compensation: means of doubles come out better than doubles are */
    CP_NORM_SUMS,       /* sums of e and e (x - center); CP_LAYER: e = dy weight */
    CP_NORM_PARAMETERS, /* sums across, of dy and dy ((x - center) scale + offset); CP_LAYER only */
    CP_NORM_APPLY,      /* out = y */
    CP_NORM_GRADIENT,   /* out = dx */
    CP_NORM_CONSTANT,   /* out = dx where the statistics are constants: e * a */
    CP_NORM_TASKS
};

/* Moments and constants of n groups, arrays of n each. */
typedef struct cp_norm_groups {
    double *base;                /* some element of each; mean + rest is relative to it, so that it keeps its digits */
    double *mean, *rest, *m2;    /* backward: sum of e, not used, sum of e (x - center) */
    double *center, *low, *rstd; /* the mean is center + low */
    double *scale, *offset, *a, *b, *c;
} cp_norm_groups;

typedef struct cp_norm_kernels {
    void (*tile[CP_NORM_TASKS])(const cp_norm_tile *tile);
    /* Folds the virtual lanes of n sums along rows into two rows, pitch apart; exact, of CP_NORM_EXACT, into four. */
    void (*fold)(const double *sums, double *to, int64_t pitch, int64_t n, int exact);
    /* Folds sums across of which each lane has so many, n lanes behind n lanes, into the first n; rows as above. */
    void (*fold_across)(double *sums, int64_t pitch, int64_t n, int64_t together, int exact);
    /* Adds a block of `count` to groups of `before`: from sums of d and d^2, d = x - shift,
     * and, exact, their losses, pitch apart. Without mean: of x and x^2, shift 0. */
    void (*block)(const cp_norm_groups *groups, int64_t n, double before, const double *sums, int64_t pitch,
                  const double *shift, double count, int with_mean, int exact);
    /* Adds moments to moments. */
    void (*merge)(const cp_norm_groups *groups, int64_t n, double before, const cp_norm_groups *other, double count);
    /* Makes one group of every `size` of n, and gives its moments to all of them. */
    void (*unite)(const cp_norm_groups *groups, int64_t n, int64_t size, double count);
    /* center, low, rstd from base, mean, rest and m2. */
    void (*finish)(const cp_norm_groups *groups, int64_t n, double count, double eps, int with_mean);
    void (*rstd)(double *variances, int64_t n, double eps); /* in place */
    /* scale and offset from weight and bias (NULL: 1 and 0). */
    void (*affine)(const cp_norm_groups *groups, int64_t n, const double *weight, const double *bias);
    /* From sums of e (x - center) to those of e (x - mean). */
    void (*recenter)(const cp_norm_groups *groups, int64_t n);
    /* a, b, c from the sums of groups of `size`, `count` elements in all, and weight (NULL: 1). */
    void (*gradient)(const cp_norm_groups *groups, int64_t n, int64_t size, const double *weight, double count, int with_mean);
    /* sum += terms * factor (NULL: 1) */
    void (*add)(double *sum, const double *terms, const double *factor, int64_t n);
} cp_norm_kernels;

typedef struct cp_kernels {
    const cp_lane_kernels *lane[CP_LANES];
    const cp_lp_kernels *lp;
    const cp_tap_kernel *tap[CP_DTYPES]; /* of each type [CP_TAPS] */
    const cp_weighted_kernels *weighted;
    int (*ranked[CP_RANKED + 1])(const cp_ranked_row *row);   /* by the number of taps, from two on */
    int (*ranked_gradient[2])(const cp_ranked_gradient *row); /* of up to four taps, of up to nine; those missing are absent */
    int (*drawn)(const cp_drawn_row *row);                    /* whether a result is NaN, which then is not decided */
    const cp_norm_kernels *norm;
} cp_kernels;

extern const cp_kernels cp_kernels_scalar, cp_kernels_sse41, cp_kernels_avx2, cp_kernels_avx512, cp_kernels_neon,
    cp_kernels_wasm;

#endif
