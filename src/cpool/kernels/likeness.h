/* Weights that grow with the likeness to the mean, blended with exponentials: part of kernels/tapwise.h. */

/* Rows of the state behind those of the weighted means: the number of elements; the largest magnitude,
 * then a power of two that elements are multiplied with (s does not change, and what is next to 0
 * keeps its digits); of such elements the sum, then the mean, and the sums of the weights and of the
 * weighted elements, then D; what all elements pull at the mean. MEAN, of such elements too, is S. */
enum {
    NAME_TAP(ADA_COUNT) = NAME_TAP(TERM_REST) + 1,
    NAME_TAP(ADA_FACTOR),
    NAME_TAP(MU),
    NAME_TAP(MU_REST),
    NAME_TAP(LIKE),
    NAME_TAP(LIKE_REST),
    NAME_TAP(LIKED),
    NAME_TAP(LIKED_REST),
    NAME_TAP(ADA_PULL),
    NAME_TAP(ADA_PULL_REST)
};

/* An element, the weight exp(s), s = 2 t / (1 + t^2), t the smaller magnitude of x and the mean over the larger; and the slopes
 * of s by x and by the mean times x - D, which next to 0 are ordinary numbers as products alone. */
typedef struct NAME_TAP(alike) {
    vf64 x, weight, by_x, by_mean;
} NAME_TAP(alike);

CP_TEMPLATE vf64 NAME_TAP(signed_like)(vf64 magnitude, vf64 sign)
{
    vf64 zero = vf64_set1(0.0), other = vf64_select(vf64_gt(zero, sign), vf64_sub(zero, magnitude), magnitude);
    return vf64_select(vf64_eq(sign, zero), zero, other);
}

CP_TEMPLATE NAME_TAP(alike) NAME_TAP(alike_at)(const cp_tap_windows *w, const cp_tap_block *b, int64_t t, int64_t i)
{
    NAME_TAP(alike) e;
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0), mean = NAME_TAP(get)(w, NAME_TAP(MU), i), mantissa, exponent;
    e.x = vf64_mul(vf64_load(b->tap[t].leaf[2] + i), NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i));
    vf64 a = vf64_abs(e.x), m = vf64_abs(mean), large = vf64_max(a, m), small = vf64_min(a, m);
    vf64_mask none = vf64_eq(large, zero), below = vf64_gt(m, a);
    vf64 ratio = vf64_select(none, one, vf64_div(small, large)), square = vf64_add(one, vf64_mul(ratio, ratio));
    vf64 slope = vf64_mul(vf64_mul(vf64_set1(2.0), vf64_sub(one, ratio)), vf64_add(one, ratio));
    vf64 up = vf64_div(slope, vf64_mul(square, square)), down = vf64_sub(zero, vf64_mul(up, ratio));
    vf64 apart = vf64_div(vf64_sub(e.x, NAME_TAP(get)(w, NAME_TAP(LIKED), i)), vf64_select(none, one, large));
    e.by_x = vf64_mul(apart, NAME_TAP(signed_like)(vf64_select(below, up, down), e.x));
    e.by_mean = vf64_mul(apart, NAME_TAP(signed_like)(vf64_select(below, down, up), mean));
    vf64 likeness = vf64_div(vf64_add(ratio, ratio), square); /* at most 1 */
    if (CP_TAP_EXACT) {
        NAME_TAP(exp)(one, likeness, &mantissa, &exponent);
        e.weight = vf64_scale(mantissa, exponent);
    } else {
        e.weight = NAME_TAP(exp_flat)(likeness);
    }
    return e;
}

static void NAME_TAP(ada_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    if (pass == 0) {
        NAME_TAP(ratio_pass)(CP_TAP_SOFT, w, b, pass);
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        for (int64_t t = 0; t < b->count; t++) {
            vf64 x = vf64_load(b->tap[t].leaf[2] + i), there = vf64_load(b->tap[t].there + i); /* absent: 0 */
            vf64_mask is = vf64_gt(there, zero);
            if (pass == 0) {
                vf64 count = NAME_TAP(get)(w, NAME_TAP(ADA_COUNT), i), most = NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i);
                NAME_TAP(put)(w, NAME_TAP(ADA_COUNT), i, vf64_add(count, there));
                NAME_TAP(put)(w, NAME_TAP(ADA_FACTOR), i, vf64_max(most, vf64_abs(x)));
            } else if (pass == 1) {
                x = vf64_mul(x, NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i));
                NAME_TAP(add_to_row)(w, NAME_TAP(MU), i, x);
                NAME_TAP(add_to_row)(w, NAME_TAP(MEAN), i, NAME_TAP(weighted)(w, b, 0, t, i, x, one));
            } else {
                NAME_TAP(alike) e = NAME_TAP(alike_at)(w, b, t, i);
                if (pass == 2) {
                    NAME_TAP(add_to_row)(w, NAME_TAP(LIKE), i, vf64_select(is, e.weight, zero));
                    NAME_TAP(add_to_row)(w, NAME_TAP(LIKED), i, vf64_select(is, vf64_mul(e.weight, e.x), zero));
                } else {
                    vf64 pull = vf64_mul(vf64_div(e.weight, NAME_TAP(get)(w, NAME_TAP(LIKE), i)), e.by_mean);
                    NAME_TAP(add_to_row)(w, NAME_TAP(ADA_PULL), i, vf64_select(is, pull, zero));
                }
            }
        }
    }
}

CP_TEMPLATE void NAME_TAP(finish_likeness)(const cp_tap_windows *w, int64_t i)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0), blend = vf64_load(w->parameter + i),
         soft = NAME_TAP(get)(w, NAME_TAP(MEAN), i);
    vf64 weights = NAME_TAP(total_of_row)(w, NAME_TAP(LIKE), i), factor = NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i);
    weights = vf64_select(vf64_eq(weights, zero), one, weights);
    vf64 liked = vf64_div(NAME_TAP(total_of_row)(w, NAME_TAP(LIKED), i), weights);
    NAME_TAP(put)(w, NAME_TAP(LIKE), i, weights);
    NAME_TAP(put)(w, NAME_TAP(LIKED), i, liked);
    vf64 y = vf64_add(vf64_mul(blend, liked), vf64_mul(vf64_sub(one, blend), soft));
    vf64_store(w->y + i, vf64_div(y, factor));
}

static void NAME_TAP(ada_finish)(const cp_tap_windows *w, int pass)
{
    vf64 zero = vf64_set1(0.0), one = vf64_set1(1.0);
    if (pass == 0 && CP_TAP_EXACT) {
        NAME_TAP(ratio_finish)(w, pass);
    } else if (pass == 0) {
        for (int64_t i = 0; i < w->n; i += vf64_N) {
            NAME_TAP(put)(w, NAME_TAP(WEIGHT_REST), i, NAME_TAP(inverse_or_zero)(NAME_TAP(get)(w, NAME_TAP(WEIGHT), i)));
        }
    }
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 count = NAME_TAP(get)(w, NAME_TAP(ADA_COUNT), i);
        if (pass == 0) {
            vf64 most = NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i);
            vf64 factor = vf64_select(vf64_gt(vf64_set1(0x1p-400), most), vf64_set1(0x1p600), one);
            factor = vf64_select(vf64_gt(most, vf64_set1(0x1p400)), vf64_set1(0x1p-600), factor);
            NAME_TAP(put)(w, NAME_TAP(ADA_FACTOR), i, factor);
            NAME_TAP(put)(w, NAME_TAP(ADA_COUNT), i, vf64_select(vf64_eq(count, zero), one, count));
        } else if (pass == 1) {
            NAME_TAP(put)(w, NAME_TAP(MU), i, vf64_div(NAME_TAP(total_of_row)(w, NAME_TAP(MU), i), count));
            NAME_TAP(put)(w, NAME_TAP(MEAN), i, NAME_TAP(total_of_row)(w, NAME_TAP(MEAN), i));
        } else if (pass == 2) {
            NAME_TAP(finish_likeness)(w, i);
        } else {
            NAME_TAP(put)(w, NAME_TAP(ADA_PULL), i, vf64_div(NAME_TAP(total_of_row)(w, NAME_TAP(ADA_PULL), i), count));
        }
    }
}

static void NAME_TAP(ada_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    vf64 one = vf64_set1(1.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i), blend = vf64_load(w->parameter + i), soft = NAME_TAP(get)(w, NAME_TAP(MEAN), i);
        vf64 pull = NAME_TAP(get)(w, NAME_TAP(ADA_PULL), i), weights = NAME_TAP(get)(w, NAME_TAP(LIKE), i);
        vf64 to_soft = vf64_mul(dy, vf64_sub(one, blend)), to_liked = vf64_mul(dy, blend);
        for (int64_t t = 0; t < b->count; t++) {
            int64_t at = t * b->n + i;
            NAME_TAP(alike) e = NAME_TAP(alike_at)(w, b, t, i);
            vf64 dx = vf64_add(vf64_mul(vf64_div(e.weight, weights), vf64_add(one, e.by_x)), pull);
            vf64 slope = vf64_add(one, vf64_div(vf64_sub(e.x, soft), NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i)));
            dx = vf64_add(vf64_mul(to_liked, dx), NAME_TAP(weighted)(w, b, 0, t, i, to_soft, slope));
            vf64_store(b->gradient[0] + at, dx);
        }
    }
}

static void NAME_TAP(ada_finish_terms)(const cp_tap_windows *w)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 difference = vf64_sub(NAME_TAP(get)(w, NAME_TAP(LIKED), i), NAME_TAP(get)(w, NAME_TAP(MEAN), i));
        difference = vf64_div(difference, NAME_TAP(get)(w, NAME_TAP(ADA_FACTOR), i));
        vf64_store(w->terms + i, vf64_mul(vf64_load(w->dy + i), difference));
    }
}
