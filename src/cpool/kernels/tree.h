/* Weighted sums blended by a tree of gates: part of kernels/tapwise.h. */

/* The weights of a tap in a node's mask. */
CP_TEMPLATE vf64 NAME_TAP(mask_at)(const cp_tap_windows *w, const cp_tap_block *b, int64_t node, int64_t t, int64_t i)
{
    return vf64_load(w->weight + (node * w->node_taps + (int64_t)b->number[t]) * w->n + i);
}

static void NAME_TAP(tree_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    (void)pass;
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        for (int64_t node = 0; node < w->nodes; node++) {
            vf64 sum = vf64_load(w->node + node * w->n + i), rest = vf64_load(w->node_rest + node * w->n + i);
            for (int64_t t = 0; t < b->count; t++) {
                vf64 x = vf64_load(b->tap[t].leaf[0] + i);
                NAME_TAP(add)(&sum, &rest, vf64_mul(NAME_TAP(mask_at)(w, b, node, t, i), x));
            }
            vf64_store(w->node + node * w->n + i, sum);
            vf64_store(w->node_rest + node * w->n + i, rest);
        }
    }
}

/* From sums to values, the leaves first; and from the root on to what a gradient of 1 passes to the sum of each node, which takes
 * the place of its value once its children have their share. node_rest holds the blend of a gate. */
static void NAME_TAP(tree_finish)(const cp_tap_windows *w, int pass)
{
    (void)pass;
    vf64 one = vf64_set1(1.0);
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        double *at = w->node + i, *blend_at = w->node_rest + i;
        for (int64_t node = w->nodes - 1; node >= 0; node--) {
            vf64 sum = NAME_TAP(total)(vf64_load(at + node * w->n), vf64_load(blend_at + node * w->n));
            if (node < w->nodes / 2) {
                vf64 blend = NAME_TAP(sigmoid)(sum), left = vf64_load(at + (2 * node + 1) * w->n);
                vf64 right = vf64_load(at + (2 * node + 2) * w->n);
                vf64_store(blend_at + node * w->n, blend);
                sum = vf64_add(vf64_mul(blend, left), vf64_mul(vf64_sub(one, blend), right));
            }
            vf64_store(at + node * w->n, sum);
        }
        vf64_store(w->y + i, vf64_load(at));
        vf64_store(at, one);
        for (int64_t node = 0; node < w->nodes / 2; node++) {
            vf64 share = vf64_load(at + node * w->n), blend = vf64_load(blend_at + node * w->n);
            double *left = at + (2 * node + 1) * w->n, *right = at + (2 * node + 2) * w->n;
            vf64 to_left = vf64_mul(share, blend), other = vf64_sub(one, blend);
            vf64_store(at + node * w->n, vf64_mul(vf64_mul(to_left, other), vf64_sub(vf64_load(left), vf64_load(right))));
            vf64_store(left, to_left);
            vf64_store(right, vf64_mul(share, other));
        }
    }
}

static void NAME_TAP(tree_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        for (int64_t t = 0; t < b->count; t++) {
            vf64 sum = vf64_set1(0.0), rest = sum;
            for (int64_t node = 0; node < w->nodes; node++) {
                vf64 share = vf64_load(w->node + node * w->n + i);
                NAME_TAP(add)(&sum, &rest, vf64_mul(share, NAME_TAP(mask_at)(w, b, node, t, i)));
            }
            vf64_store(b->gradient[0] + t * b->n + i, vf64_mul(vf64_load(w->dy + i), NAME_TAP(total)(sum, rest)));
        }
    }
}

/* Of every mask, node after node. */
static void NAME_TAP(tree_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i);
        for (int64_t node = 0; node < w->nodes; node++) {
            vf64 share = vf64_mul(dy, vf64_load(w->node + node * w->n + i));
            for (int64_t t = 0; t < b->count; t++) {
                vf64 term = vf64_mul(share, vf64_load(b->tap[t].leaf[0] + i));
                vf64_store(w->terms + (node * w->node_taps + (int64_t)b->number[t]) * w->n + i, term);
            }
        }
    }
}
