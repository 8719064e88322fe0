/* cpool: pooling and batch normalization, forward and backward, at memory speed, without a framework.
 *
 * The whole public C API. C11 and C++17. No function here allocates, except cpool_threads_create; none keeps a pointer after
 * it returns; none prints, aborts or raises a signal. Every function may be called from any number of threads at once, as long
 * as no two calls write the same memory.
 *
 * A call is: fill cpool_pool_params, list the arrays as cpool_arg by role, ask cpool_pool_describe for
 * the shape of the result and cpool_pool_query for the workspace, provide both, call cpool_pool_forward
 * or cpool_pool_backward. Normalization likewise, by cpool_norm_params and cpool_norm_*.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef CPOOL_CPOOL_H
#define CPOOL_CPOOL_H

#include <stddef.h>
#include <stdint.h>

#define CPOOL_VERSION "0.1.0"
#define CPOOL_ABI_VERSION 1 /* a program built with this file runs with every later library of the same number: docs/ABI.md */

#if defined(_WIN32) && !defined(CPOOL_STATIC)
#  ifdef CPOOL_BUILD
#    define CPOOL_API __declspec(dllexport)
#  else
#    define CPOOL_API __declspec(dllimport)
#  endif
#elif defined(__GNUC__)
#  define CPOOL_API __attribute__((visibility("default")))
#else
#  define CPOOL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status and errors ------------------------------------------------------------------------------------------------- */

typedef enum cpool_status {
    CPOOL_OK = 0,
    CPOOL_INVALID_VALUE = 1, /* a shape, range or combination that cannot be */
    CPOOL_INVALID_TYPE = 2,  /* a dtype that cannot be */
    CPOOL_NO_MEMORY = 3,     /* a workspace that is missing or too small, a size that cannot be allocated */
    CPOOL_UNSUPPORTED = 4    /* something a newer library may know */
} cpool_status;

/* Structs that have a struct_size start from their INIT, in which reserved room is 0. It has to stay 0 in what the library
 * reads; in what it writes (cpool_error, cpool_shape, cpool_info) it stays 0 where the library does not know a use of it. */

/* What went wrong, in the vocabulary of the arguments. Owned by the caller, written only when a call fails, always terminated;
 * every function takes NULL for it. Start from CPOOL_ERROR_INIT. */
typedef struct cpool_error {
    size_t struct_size;
    int32_t status; /* cpool_status */
    int32_t role;   /* the role of the array at fault, or 0 */
    char message[256];
    int64_t reserved[4];
} cpool_error;
#define CPOOL_ERROR_INIT {sizeof(cpool_error), 0, 0, "", {0, 0, 0, 0}}

/* ---- Arrays ------------------------------------------------------------------------------------------------------------ */

/* dtype_code, the numbers of DLPack. Elements are float 32 or 64 (values), uint 8 or int 32 or 64 (taps), int 64 (indices). */
enum { CPOOL_INT = 0, CPOOL_UINT = 1, CPOOL_FLOAT = 2 };

#define CPOOL_MAX_NDIM 64

/* A borrowed array. Strides are in bytes, may be negative, zero (inputs only) or odd; NULL means C order. `data` is element
 * [0, 0, ...] and may have any alignment; it may be NULL if the array is empty, or where only the shape is read (describe,
 * query). shape and strides have ndim entries. dtype_lanes is 1; reserved is 0. */
typedef struct cpool_view {
    void *data;
    const int64_t *shape;
    const int64_t *strides;
    int32_t ndim; /* 0 to CPOOL_MAX_NDIM */
    uint8_t dtype_code, dtype_bits;
    uint16_t dtype_lanes;
    int64_t reserved[4];
} cpool_view;

/* What an array is to a call. CPOOL_GRAD | role is the gradient with respect to that role: CPOOL_GRAD | CPOOL_Y enters
 * backward, the others leave it, and one that is not listed is not computed. */
enum {
    CPOOL_X = 1,       /* the input */
    CPOOL_Y = 2,       /* the result */
    CPOOL_TAPS = 3,    /* per result, which tap of its window was selected; see cpool_pool_describe for its dtype */
    CPOOL_INDICES = 4, /* int64 positions in the spatial plane; of CPOOL_KMAX along the axis */
    CPOOL_LENGTHS = 5, /* int64, of the leading axes of x: how many elements a row has */
    CPOOL_U = 6,       /* numbers in [0, 1) in place of draws, of the shape of the result or as the operator says */
    CPOOL_LOGITS = 7,  /* logarithms of weights, of the shape of x or 1 along the channel axis */
    /* Parameters have the dtype of x or float64, and ndim 0, [1] or [C] where nothing else is said. */
    CPOOL_P = 8,          /* exponent of CPOOL_LP */
    CPOOL_BETA = 9,       /* of CPOOL_SOFT */
    CPOOL_ALPHA = 10,     /* of CPOOL_DPP, finite and at least 0 */
    CPOOL_LAMBDA = 11,    /* of CPOOL_DPP and CPOOL_DPID, there one number; finite and at least 0 */
    CPOOL_REFERENCE = 12, /* of CPOOL_DPP: of the shape of the result and the dtype of x */
    CPOOL_FILTER = 13,    /* of CPOOL_DPP: [C or 1, sizes along the spatial axes] */
    CPOOL_BIAS = 14, /* of CPOOL_GATED, and of the filter of CPOOL_DPP; normalization: what is added, shape of the parameters */
    CPOOL_BLEND = 15,  /* of CPOOL_MIXED: also [C or 1, sizes of the result along the spatial axes] */
    CPOOL_WEIGHT = 16, /* CPOOL_RANK: [R] or [C, R], 1 <= R <= number of taps; CPOOL_GATED: [K] or [C, K], K taps;
                          normalization: the factor, shape of the parameters */
    CPOOL_MASK = 17,   /* uint8, what CPOOL_MIXED_RANDOM drew, 1 for the maximum; see cpool_pool_describe */
    CPOOL_MU = 18,     /* batch norm: the mean to normalize by, [C]; dtype of x or float64 */
    CPOOL_VAR = 19,    /* batch norm: the variance to normalize by, likewise; >= 0 */
    CPOOL_STATS =
        20, /* normalization: float64 [3, groups...], what backward needs: mean, what that lacks of it, 1 / deviation */
    CPOOL_MOMENTS = 21, /* batch norm: float64 [4, C]: count, mean, sum of (x - mean)^2, what the mean lacks of the exact one */
    CPOOL_SUMS = 22, /* batch norm: float64 [3, C]: count, sum of e, sum of e (x - mean); those of parts of a batch are added */
    CPOOL_LEAVES = 23, /* of CPOOL_TREE: masks [L, K] or [L, C or 1, K], L = 2, 4, 8, ..., K taps */
    CPOOL_GATES = 24,  /* of CPOOL_TREE: likewise L - 1 masks; those behind gate i are 2i + 1 and 2i + 2, then the leaves */
    CPOOL_GRAD = 256
};

typedef struct cpool_arg {
    int32_t role;
    int32_t reserved; /* 0 */
    cpool_view view;
} cpool_arg;

/* ---- Pooling ----------------------------------------------------------------------------------------------------------- */

/* Operators, and the roles each takes (optional ones in parentheses). Padding never takes part in a result. A window without
 * real elements gives -inf (max), +inf (min) or 0 (the others), tap none, and no gradient.
 *
 *   CPOOL_MAX, CPOOL_MIN   forward  X -> Y (TAPS)             backward  GRAD|Y, TAPS -> GRAD|X
 *       The first of equals in row-major order; NaN wins; a zero result is +0.
 *   CPOOL_AVG              forward  X -> Y                    backward  GRAD|Y -> GRAD|X
 *       Sum over the real elements divided by their number, by the number of window positions inside input or padding
 *       (CPOOL_COUNT_INCLUDE_PAD), or by params.divisor (CPOOL_DIVISOR).
 *   CPOOL_LP               forward  X, P -> Y                 backward  GRAD|Y, X, P -> (GRAD|X) (GRAD|P)
 *       (sum |x|^p)^(1/p), or with CPOOL_MEAN (sum |x|^p / n)^(1/p); p > 0, +inf is the maximum of |x|.
 *   CPOOL_UNPOOL           forward  X, INDICES -> Y           backward  GRAD|Y, INDICES -> GRAD|X
 *       Y is 0 except y[index] = x, per plane; index -1 is skipped; of several x for one index the last wins, or with
 *       CPOOL_ADD they are summed. Sliding windows without ceil only; they determine the default output size.
 *   CPOOL_SOFT             forward  X, BETA -> Y              backward  GRAD|Y, X, BETA -> (GRAD|X) (GRAD|BETA)
 *       sum w x with weights w proportional to exp(beta x), beta finite.
 *   CPOOL_LIP              forward  X, LOGITS -> Y            backward  GRAD|Y, X, LOGITS -> (GRAD|X) (GRAD|LOGITS)
 *       sum w x with weights w proportional to exp(logit); a logit of -inf is weight 0.
 *   CPOOL_STOCHASTIC       forward  X (U) -> Y (TAPS)         backward  GRAD|Y, TAPS -> GRAD|X
 *       An element drawn with probability proportional to max(x, 0), by u of the linear index of the result (see params.seed).
 *   CPOOL_STOCHASTIC_MEAN  forward  X -> Y                    backward  GRAD|Y, X -> GRAD|X
 *       The expectation of that draw.
 *   CPOOL_MIXED            forward  X, BLEND -> Y             backward  GRAD|Y, X, BLEND -> (GRAD|X) (GRAD|BLEND)
 *       blend * maximum + (1 - blend) * mean.
 *   CPOOL_MIXED_RANDOM     forward  X -> Y (MASK)             backward  GRAD|Y, X, MASK -> GRAD|X
 *       The maximum where u < params.p_max, else the mean; one u per params.granularity.
 *   CPOOL_GATED            forward  X, WEIGHT (BIAS) -> Y     backward  GRAD|Y, X, WEIGHT (BIAS) -> (GRAD|X|WEIGHT|BIAS)
 *       The blend is 1 / (1 + exp(-(sum weight x + bias))), a weight for every tap. Sliding windows only.
 *   CPOOL_RANK             forward  X, WEIGHT -> Y            backward  GRAD|Y, X, WEIGHT -> (GRAD|X) (GRAD|WEIGHT)
 *       sum weight[r] x[r], x sorted downwards, equals by position and NaN first; ranks
 *       that a window does not have add nothing.
 *   CPOOL_KMAX             forward  X (LENGTHS) -> Y (INDICES)  backward  GRAD|Y, INDICES -> GRAD|X
 *       The params.k largest along one axis (rank 1, no window) in their order there; of equals the first, NaN is largest.
 *       Elements from a length on do not exist; results that are missing are 0 with index -1.
 *   CPOOL_DPP              forward  X, ALPHA, LAMBDA (REFERENCE, or FILTER (BIAS)) -> Y
 *                          backward GRAD|Y and the same -> (GRAD| of each of them)
 *       sum w x / sum w, w = alpha + ((d^2 + params.eps2) / Z)^(lambda / 2), d = x - reference, or
 *       with CPOOL_ASYMMETRIC what of it is above 0; Z by params.variant. The reference is the mean
 *       of the window, or REFERENCE, or sum filter x + bias over windows of the filter's own sizes
 *       and padding but the same stride, in which padding is 0. With a filter sliding windows only.
 *   CPOOL_ADA              forward  X, BLEND -> Y             backward  GRAD|Y, X, BLEND -> (GRAD|X) (GRAD|BLEND)
 *       blend * D + (1 - blend) * S; S as CPOOL_SOFT with beta = 1, D weighted by exp(2 |x m| / (x^2 + m^2)), m the mean.
 *   CPOOL_TREE             forward  X, LEAVES, GATES -> Y     backward  GRAD|Y and the same -> (GRAD| of each of them)
 *       The value of gate 0. A leaf is sum mask x; a gate s left + (1 - s) right,
 *       s = 1 / (1 + exp(-sum mask x)). Sliding windows only.
 *   CPOOL_BLUR             forward  X -> Y                    backward  GRAD|Y -> GRAD|X
 *       A binomial filter: along each axis, window numbers of Pascal's triangle (1 to 7 of them) divided by their sum, at every
 *       stride-th element from the first on, over a border that params.variant says. Sliding windows without padding.
 *   CPOOL_FRACTIONAL       forward  X (U) -> Y (INDICES)      backward  GRAD|Y, INDICES -> GRAD|X
 *       The maximum of params.output_size windows along each axis of a plane, whose distances are
 *       drawn: with a = (n - window) / (output_size - 1), window i begins at
 *       floor((i + u) a) - floor(u a), the last at n - window. One u per plane and axis, drawn for index
 *       (n C + c) rank + axis; U has the axes of x that are not spatial and then one of length rank. No padding.
 *   CPOOL_S3               forward  X (U) -> Y (INDICES)      backward  GRAD|Y, INDICES -> GRAD|X
 *       The maximum of windows of stride 1, of which along each axis some are kept, the same in all planes:
 *       of each params.grid neighbours ceil(grid / stride), those with the smallest u. Drawn for the number
 *       of the window along its axis, counted on from axis to axis; U has one axis, of as many. Inference is
 *       CPOOL_MAX with stride 1, then CPOOL_AVG with window and stride params.stride and padding stride / 2.
 *   CPOOL_DPID             forward  X, LAMBDA -> Y
 *       Detail-preserving downscaling by factors, which are params.window: the mean of a window, weighted by
 *       |x - center|^lambda. The norm is over all channels, LAMBDA one number, and the center the averages of this and
 *       the neighbouring windows, weighted 1 2 1 along each axis. What is left beyond whole windows is not read. */
enum {
    CPOOL_MAX = 1,
    CPOOL_MIN = 2,
    CPOOL_AVG = 3,
    CPOOL_LP = 4,
    CPOOL_UNPOOL = 5,
    CPOOL_SOFT = 6,
    CPOOL_LIP = 7,
    CPOOL_STOCHASTIC = 8,
    CPOOL_STOCHASTIC_MEAN = 9,
    CPOOL_MIXED = 10,
    CPOOL_MIXED_RANDOM = 11,
    CPOOL_GATED = 12,
    CPOOL_RANK = 13,
    CPOOL_KMAX = 14,
    CPOOL_DPP = 15,
    CPOOL_ADA = 16,
    CPOOL_TREE = 17,
    CPOOL_BLUR = 18,
    CPOOL_FRACTIONAL = 19,
    CPOOL_S3 = 20,
    CPOOL_DPID = 21
};

/* granularity of CPOOL_MIXED_RANDOM: what shares a draw. The index drawn for is 0,
 * n * C + c, or the linear index of the result. */
enum { CPOOL_LAYER = 0, CPOOL_MAP = 1, CPOOL_REGION = 2 };

/* variant of CPOOL_DPP: 1, or the mean or the sum of d^2 + eps2 over the window. */
enum { CPOOL_DPP_PLAIN = 0, CPOOL_DPP_MEAN = 1, CPOOL_DPP_SUM = 2 };
/* variant of CPOOL_BLUR: the input goes on beyond its border mirrored at the outermost
 * elements, by repeating them, or with 0. */
enum { CPOOL_REFLECT = 0, CPOOL_REPLICATE = 1, CPOOL_ZERO = 2 };

/* geometry. SLIDING: window, stride, dilation, padding. ADAPTIVE: window holds the output size; bin i of an axis of length n
 * covers floor(i n / out) to ceil((i + 1) n / out) - 1. WHOLE: one window, the whole plane. */
enum { CPOOL_SLIDING = 0, CPOOL_ADAPTIVE = 1, CPOOL_WHOLE = 2 };

/* padding_mode. EXPLICIT: pad_before and pad_after. The SAME modes give ceil(n / stride) results. */
enum { CPOOL_EXPLICIT = 0, CPOOL_VALID = 1, CPOOL_SAME_UPPER = 2, CPOOL_SAME_LOWER = 3 };

/* flags */
#define CPOOL_CEIL_MODE UINT32_C(1)
#define CPOOL_COUNT_INCLUDE_PAD UINT32_C(2)
#define CPOOL_DIVISOR UINT32_C(4)
#define CPOOL_MEAN UINT32_C(8)
#define CPOOL_ADD UINT32_C(16)
#define CPOOL_ASYMMETRIC UINT32_C(32)

/* Start from CPOOL_POOL_PARAMS_INIT, then set op, rank, axes and window. Only the first `rank` entries of the arrays are read.
 * A smaller struct_size (an older caller) takes the defaults of INIT for what is missing; a larger one (a newer caller) must
 * hold zeros beyond this library's size, else CPOOL_UNSUPPORTED. */
typedef struct cpool_pool_params {
    size_t struct_size;
    int32_t op;
    int32_t rank; /* number of spatial axes, 1 to 3 */
    int32_t geometry;
    int32_t padding_mode;
    int32_t axes[3];      /* the spatial axes, positions in x's shape, slowest first; default: the last ones, as -rank .. -1 */
    int32_t channel_axis; /* the axis [C] parameters go along, a position in x's shape; CPOOL_AXIS_DEFAULT, CPOOL_AXIS_NONE */
    int64_t window[3];    /* ADAPTIVE: the output size */
    int64_t stride[3];    /* CPOOL_SIZE_DEFAULT: the window */
    int64_t dilation[3];
    int64_t pad_before[3], pad_after[3]; /* 0 <= pad < (window - 1) * dilation + 1 */
    int64_t output_size
        [3]; /* CPOOL_FRACTIONAL; CPOOL_UNPOOL: spatial size of the result; CPOOL_SIZE_DEFAULT: (n - 1) * stride - pads
                                            + (window - 1) * dilation + 1 */
    uint32_t flags;
    uint32_t reserved_flags; /* 0 */
    double divisor;          /* with CPOOL_DIVISOR: finite, not 0 */
    int32_t granularity;     /* CPOOL_MIXED_RANDOM */
    int32_t variant;         /* CPOOL_DPP: CPOOL_DPP_*; CPOOL_BLUR: the border; else 0 */
    int64_t k;               /* CPOOL_KMAX: at least 1, and at most the length of the axis where LENGTHS is not given; else 0 */
    double p_max;            /* CPOOL_MIXED_RANDOM: 0 to 1 */
    uint64_t seed, offset;   /* of draws: u of index i is Philox4x32-10 with counter (i, offset) and key seed, in [0, 1) */
    double eps2;             /* CPOOL_DPP: finite, above 0 */
    int64_t filter_pad_before[3], filter_pad_after[3]; /* CPOOL_DPP: 0 to the filter's size - 1, so that it has as many windows;
                                                          CPOOL_SIZE_DEFAULT: (size - 1) / 2 before, and what it takes after */
    int64_t grid[3];                                   /* CPOOL_S3; CPOOL_SIZE_DEFAULT: all windows of the axis */
    int64_t reserved[8];                               /* 0 */
} cpool_pool_params;

/* channel_axis: the axis before the spatial ones where these are last, else the last that is not spatial; or no axis at all. */
#define CPOOL_AXIS_DEFAULT INT32_MIN
#define CPOOL_AXIS_NONE (INT32_MIN + 1)
/* stride, output_size, filter_pad, grid: not given. 0 is a value like any other, and an error. */
#define CPOOL_SIZE_DEFAULT INT64_MIN

/* clang-format off */
#define CPOOL_POOL_PARAMS_INIT { \
    sizeof(cpool_pool_params), /* struct_size */ \
    0, 2,                      /* op, rank */ \
    CPOOL_SLIDING,             /* geometry */ \
    CPOOL_EXPLICIT,            /* padding_mode */ \
    {CPOOL_AXIS_DEFAULT, CPOOL_AXIS_DEFAULT, CPOOL_AXIS_DEFAULT}, /* axes */ \
    CPOOL_AXIS_DEFAULT,        /* channel_axis */ \
    {0, 0, 0},                 /* window */ \
    {CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT}, /* stride */ \
    {1, 1, 1},                 /* dilation */ \
    {0, 0, 0}, {0, 0, 0},      /* pad_before, pad_after */ \
    {CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT}, /* output_size */ \
    0, 0, 0.0,                 /* flags, reserved_flags, divisor */ \
    CPOOL_LAYER, 0, 0, 0.5,    /* granularity, variant, k, p_max */ \
    0, 0, 1e-3,                /* seed, offset, eps2 */ \
    {CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT}, /* filter_pad_before */ \
    {CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT}, /* filter_pad_after */ \
    {CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT, CPOOL_SIZE_DEFAULT}, /* grid */ \
    {0, 0, 0, 0, 0, 0, 0, 0} } /* reserved */
/* clang-format on */

/* Runs body(arg, lo, hi, worker) over a partition of [0, n) and returns when all of it is done; ranges below `grain` are not
 * worth splitting. `worker` is in [0, workers) of the cpool_exec that it was given in, and no two bodies that run at the same
 * time share one. Bodies do not block, do not fail, and may run in any order and on any thread. */
typedef void (*cpool_parallel_for)(void *ctx, int64_t n, int64_t grain,
                                   void (*body)(void *arg, int64_t lo, int64_t hi, int worker), void *arg);

/* How to run. CPOOL_EXEC_INIT runs on the calling thread with the best instruction set, if the workspace needed is 0.
 * `workspace` has any alignment and is garbage afterwards. parallel_for NULL or workers <= 1: the calling thread.
 * The result has the same bits for every workers, parallel_for and isa. */
typedef struct cpool_exec {
    size_t struct_size;
    void *workspace;
    size_t workspace_size; /* at least what cpool_pool_query said for these workers */
    cpool_parallel_for parallel_for;
    void *parallel_ctx;
    int32_t workers;
    int32_t isa; /* CPOOL_ISA_*; 0: the best, or what the environment variable CPOOL_ISA names */
    cpool_error *error;
    int64_t reserved[4]; /* 0 */
} cpool_exec;
#define CPOOL_EXEC_INIT {sizeof(cpool_exec), NULL, 0, NULL, NULL, 1, 0, NULL, {0, 0, 0, 0}}

/* A shape, by value. Start from CPOOL_SHAPE_INIT. */
typedef struct cpool_shape {
    size_t struct_size;
    int64_t shape[CPOOL_MAX_NDIM];
    int32_t ndim;
    uint8_t dtype_code, dtype_bits;
    uint16_t dtype_lanes;
    int64_t reserved[4];
} cpool_shape;
#define CPOOL_SHAPE_INIT {sizeof(cpool_shape), {0}, 0, 0, 0, 0, {0, 0, 0, 0}}

/* What a call needs. Start from CPOOL_INFO_INIT. Bit r of a role set is role r, bit 32 + r is CPOOL_GRAD | role r. */
typedef struct cpool_info {
    size_t struct_size;
    size_t workspace_size; /* bytes, for `workers` workers; the same on every instruction set */
    int32_t workers;       /* those asked for, or 1 where the work is too small to share */
    int32_t reserved_int;
    uint64_t required, optional; /* roles of this direction, in and out */
    uint64_t kept;               /* roles of forward (in and out) that backward reads */
    int64_t reserved[4];
} cpool_info;
#define CPOOL_INFO_INIT {sizeof(cpool_info), 0, 0, 0, 0, 0, 0, {0, 0, 0, 0}}

enum { CPOOL_FORWARD = 0, CPOOL_BACKWARD = 1 };

/* Shape and dtype that `role` must have, given X (its shape and dtype; data is not read) and, for backward roles, the same X or
 * GRAD|X. CPOOL_TAPS: uint8 with 255 = none where a window has at most 255 taps, else int32, or int64 where it has more than
 * 2^31 - 1, with -1 = none. A tap is the row-major offset in the unclipped window; in adaptive windows the offset in the
 * largest bin, counted from the bin's own start; in whole windows the position in the plane. CPOOL_MASK: ndim 0 (CPOOL_LAYER),
 * the shape of x with length 1 along the spatial axes (CPOOL_MAP), or that of the result (CPOOL_REGION). */
CPOOL_API cpool_status cpool_pool_describe(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t role,
                                           cpool_shape *out, cpool_error *error);

/* Workspace and roles of a call with these arguments (data is not read). */
CPOOL_API cpool_status cpool_pool_query(const cpool_pool_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                                        int32_t workers, cpool_info *info, cpool_error *error);

/* Compute. Every check, that of indices included, precedes the first write: a call that fails has written nothing, a call that
 * has begun to write does not fail. Results may not share an element with an input, another result or themselves
 * (interleaved arrays that share none are fine). Contents of taps, indices and lengths are not trusted: whatever they hold, or
 * another thread makes them hold meanwhile, nothing outside the arrays is read or written. */
CPOOL_API cpool_status cpool_pool_forward(const cpool_pool_params *params, const cpool_arg *args, int32_t n,
                                          const cpool_exec *exec);
CPOOL_API cpool_status cpool_pool_backward(const cpool_pool_params *params, const cpool_arg *args, int32_t n,
                                           const cpool_exec *exec);

/* X (shape only), TAPS -> INDICES: positions in the flattened spatial plane, -1 = none. A
 * tap that selects nothing real gives -1. Needs no workspace. */
CPOOL_API cpool_status cpool_taps_to_indices(const cpool_pool_params *params, const cpool_arg *args, int32_t n,
                                             const cpool_exec *exec);

/* ---- Normalization ----------------------------------------------------------------------------------------------------- */

/* y = weight * (x - mean) / sqrt(var + eps) + bias, mean and variance being those of the elements that form a group:
 *
 *   CPOOL_BATCH_NORM     all elements of a channel                       groups [C]
 *   CPOOL_INSTANCE_NORM  those of a channel of one sample                groups [N, C]
 *   CPOOL_GROUP_NORM     those of C / params.groups channels of a sample groups [N, params.groups]
 *   CPOOL_LAYER_NORM     those along params.norm_axes                    groups [the other axes]
 *   CPOOL_RMS_NORM       the same, with mean 0 and var the mean of x^2   groups [the other axes]
 *
 * Weight and bias have shape [C], of layer and RMS norm that of the axes; each may be
 * absent (1, 0), and RMS norm has no bias. N is the first axis that is not the channel
 * axis. Variances are biased (divided by the count). Computed in double, rounded once.
 *
 *   forward   X (WEIGHT) (BIAS) -> Y (STATS)
 *   backward  GRAD|Y, X, STATS (WEIGHT) (BIAS) -> (GRAD|X) (GRAD|WEIGHT) (GRAD|BIAS)
 *
 * Batch norm also takes MU and VAR in the place of statistics of the batch (inference), forward, and backward where they are
 * constants that have no gradient, then in the place of STATS. It gives (MOMENTS), from which running statistics are updated.
 * And it works in stages, between which ranks that share a batch exchange what is small:
 *
 *   forward   CPOOL_STAGE_STATS  X -> MOMENTS                     merge them by cpool_moments_merge
 *             CPOOL_STAGE_APPLY  X, MOMENTS (WEIGHT) (BIAS) -> Y (STATS)
 *   backward  CPOOL_STAGE_SUMS   GRAD|Y, X, STATS (WEIGHT) (BIAS) -> SUMS           add them
 *             CPOOL_STAGE_APPLY  GRAD|Y, X, STATS, SUMS (WEIGHT) (BIAS) -> (GRAD|X) (GRAD|WEIGHT) (GRAD|BIAS)
 *
 * With CPOOL_RELU, batch norm only, y = max(0, y), NaN staying NaN, and e = dy where y > 0, else 0; without, e = dy.
 *
 * Y may be exactly X's memory unless STATS are asked for, GRAD|X exactly that of GRAD|Y.
 * A gradient of a parameter comes with the parameter, whose shape and dtype it has. */
enum { CPOOL_BATCH_NORM = 1, CPOOL_INSTANCE_NORM = 2, CPOOL_GROUP_NORM = 3, CPOOL_LAYER_NORM = 4, CPOOL_RMS_NORM = 5 };
enum { CPOOL_STAGE_ALL = 0, CPOOL_STAGE_STATS = 1, CPOOL_STAGE_SUMS = 2, CPOOL_STAGE_APPLY = 3 };

/* flags of normalization */
#define CPOOL_RELU UINT32_C(1)

/* Start from CPOOL_NORM_PARAMS_INIT, then set op. Sizes of struct_size other than this library's as in cpool_pool_params. */
typedef struct cpool_norm_params {
    size_t struct_size;
    int32_t op;
    int32_t stage;
    int32_t channel_axis;              /* CPOOL_AXIS_DEFAULT: 1; not read by layer and RMS norm */
    int32_t rank;                      /* layer and RMS norm: number of norm_axes */
    int32_t norm_axes[CPOOL_MAX_NDIM]; /* positions in x's shape, in the order of the axes of weight; default: the last one */
    int64_t groups;                    /* CPOOL_GROUP_NORM */
    double eps;                        /* >= 0 */
    uint32_t flags;
    uint32_t reserved_flags; /* 0 */
    int64_t reserved[8];     /* 0 */
} cpool_norm_params;
#define CPOOL_NORM_PARAMS_INIT \
    {sizeof(cpool_norm_params), 0, 0, CPOOL_AXIS_DEFAULT, 1, {-1}, 1, 1e-5, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}}

/* Shape and dtype that `role` must have, given X and, for parameters, those that are there. */
CPOOL_API cpool_status cpool_norm_describe(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t role,
                                           cpool_shape *out, cpool_error *error);

/* Workspace and roles of a call with these arguments (data is not read). */
CPOOL_API cpool_status cpool_norm_query(const cpool_norm_params *params, const cpool_arg *args, int32_t n, int32_t direction,
                                        int32_t workers, cpool_info *info, cpool_error *error);

/* Compute; the promises are those of cpool_pool_forward. */
CPOOL_API cpool_status cpool_norm_forward(const cpool_norm_params *params, const cpool_arg *args, int32_t n,
                                          const cpool_exec *exec);
CPOOL_API cpool_status cpool_norm_backward(const cpool_norm_params *params, const cpool_arg *args, int32_t n,
                                           const cpool_exec *exec);

/* out = the moments of everything that a and b are the moments of (Chan, Golub and LeVeque): float64 [4, C] of any strides.
 * Count 0 is nothing, and merging with it changes no bit. out may be exactly a or b. Needs no workspace. */
CPOOL_API cpool_status cpool_moments_merge(const cpool_view *a, const cpool_view *b, const cpool_view *out, cpool_error *error);

/* ---- Instruction sets -------------------------------------------------------------------------------------------------- */

enum {
    CPOOL_ISA_BEST = 0,
    CPOOL_ISA_SCALAR = 1,
    CPOOL_ISA_SSE41 = 2,
    CPOOL_ISA_AVX2 = 3,
    CPOOL_ISA_AVX512 = 4,
    CPOOL_ISA_NEON = 5,
    CPOOL_ISA_WASM = 6
};

/* Name of an instruction set ("scalar", "sse41", "avx2", "avx512", "neon", "wasm"), or NULL where the number is none. */
CPOOL_API const char *cpool_isa_name(int32_t isa);
/* 1 if this library was built with it and this CPU has it, else 0. */
CPOOL_API int cpool_isa_available(int32_t isa);
/* The set that CPOOL_ISA_BEST stands for, in *isa: the best of this CPU, or the one that the environment variable CPOOL_ISA
 * names; an unknown or absent name is CPOOL_INVALID_VALUE. The variable is read until a call has succeeded, then no more. */
CPOOL_API cpool_status cpool_isa_best(int32_t *isa, cpool_error *error);

/* ---- Threads ----------------------------------------------------------------------------------------------------------- */

/* The default thread pool: n workers, the calling thread being one of them; threads start with the first parallel call. A call
 * that finds the pool busy (another thread, or a body that calls again) runs on its own thread. After fork the child's first
 * parallel call starts threads of its own. NULL if n < 1 or memory is short. */
typedef struct cpool_threads cpool_threads;
CPOOL_API cpool_threads *cpool_threads_create(int32_t n);
/* Joins the threads; no call may be under way. NULL is allowed. */
CPOOL_API void cpool_threads_destroy(cpool_threads *threads);
/* A cpool_parallel_for; ctx is the cpool_threads. */
CPOOL_API void cpool_threads_run(void *ctx, int64_t n, int64_t grain,
                                 void (*body)(void *arg, int64_t lo, int64_t hi, int worker), void *arg);

/* ---- Version ----------------------------------------------------------------------------------------------------------- */

CPOOL_API const char *cpool_version(void); /* CPOOL_VERSION of the library */
CPOOL_API int32_t cpool_abi_version(void); /* CPOOL_ABI_VERSION of the library */

#ifdef __cplusplus
}
#endif
#endif
