/* Weighted sums blended by a tree of gates: part of kernels/tapwise.h. */

/* Nodes at a time: all of the smallest tree. */
enum { NAME_TAP(TREE_NODES) = 3 };

/* The weights of a tap in a node's mask. */
CP_TEMPLATE vf64 NAME_TAP(mask_at)(int one, const cp_tap_windows *w, const cp_tap_block *b, int64_t node, int64_t t, int64_t i)
{
    return NAME_TAP(weight_at)(one, w, node * w->node_taps + (int64_t)b->number[t], i);
}

/* The sums of some nodes, from `first` on. */
CP_TEMPLATE void NAME_TAP(tree_sums)(int nodes, int one, const cp_tap_windows *w, const cp_tap_block *b, int64_t first)
{
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        double *at = w->node + first * w->n + i, *rest_at = w->node_rest + first * w->n + i;
        vf64 sum[NAME_TAP(TREE_NODES)], rest[NAME_TAP(TREE_NODES)];
        CP_UNROLL
        for (int k = 0; k < nodes; k++) {
            sum[k] = b->first == 0 ? vf64_set1(0.0) : vf64_load(at + k * w->n);
            rest[k] = b->first == 0 ? vf64_set1(0.0) : vf64_load(rest_at + k * w->n);
        }
        for (int64_t t = 0; t < b->count; t++) {
            vf64 x = vf64_load(b->tap[t].leaf[0] + i);
            CP_UNROLL
            for (int k = 0; k < nodes; k++) {
                NAME_TAP(add)(&sum[k], &rest[k], vf64_mul(NAME_TAP(mask_at)(one, w, b, first + k, t, i), x));
            }
        }
        CP_UNROLL
        for (int k = 0; k < nodes; k++) {
            vf64_store(at + k * w->n, sum[k]);
            vf64_store(rest_at + k * w->n, rest[k]);
        }
    }
}

CP_TEMPLATE void NAME_TAP(all_tree_sums)(int one, const cp_tap_windows *w, const cp_tap_block *b)
{
    int64_t node = 0;
    for (; node + NAME_TAP(TREE_NODES) <= w->nodes; node += NAME_TAP(TREE_NODES)) {
        NAME_TAP(tree_sums)(NAME_TAP(TREE_NODES), one, w, b, node);
    }
    for (; node < w->nodes; node++) {
        NAME_TAP(tree_sums)(1, one, w, b, node);
    }
}

static void NAME_TAP(tree_pass)(const cp_tap_windows *w, const cp_tap_block *b, int pass)
{
    (void)pass;
    if (w->one_weight) {
        NAME_TAP(all_tree_sums)(1, w, b);
    } else {
        NAME_TAP(all_tree_sums)(0, w, b);
    }
}

/* From sums to values, the leaves first; and for gradients, from the root on to what a gradient of 1 passes to the sum of each
 * node, which takes the place of its value once its children have their share. node_rest holds the blend of a gate. */
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
        if (w->dy == NULL) {
            continue;
        }
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

/* `few`: the nodes are TREE_NODES, and what they pass on stays in registers. */
CP_TEMPLATE void NAME_TAP(any_tree_gradient)(int few, int one, const cp_tap_windows *w, const cp_tap_block *b)
{
    const int held = few ? NAME_TAP(TREE_NODES) : 1;
    int64_t nodes = few ? held : w->nodes;
    for (int64_t i = 0; i < w->n; i += vf64_N) {
        vf64 dy = vf64_load(w->dy + i), share[NAME_TAP(TREE_NODES)];
        CP_UNROLL
        for (int node = 0; node < held; node++) {
            share[node] = vf64_load(w->node + node * w->n + i);
        }
        for (int64_t t = 0; t < b->count; t++) {
            vf64 sum = vf64_mul(share[0], NAME_TAP(mask_at)(one, w, b, 0, t, i)), rest = vf64_set1(0.0);
            CP_UNROLL
            for (int64_t node = 1; node < nodes; node++) {
                vf64 passed = few ? share[node] : vf64_load(w->node + node * w->n + i);
                NAME_TAP(add)(&sum, &rest, vf64_mul(passed, NAME_TAP(mask_at)(one, w, b, node, t, i)));
            }
            vf64_store(b->gradient[0] + t * b->n + i, vf64_mul(dy, NAME_TAP(total)(sum, rest)));
        }
    }
}

static void NAME_TAP(tree_gradient)(const cp_tap_windows *w, const cp_tap_block *b)
{
    int few = w->nodes == NAME_TAP(TREE_NODES);
    if (few && w->one_weight) {
        NAME_TAP(any_tree_gradient)(1, 1, w, b);
    } else if (few) {
        NAME_TAP(any_tree_gradient)(1, 0, w, b);
    } else if (w->one_weight) {
        NAME_TAP(any_tree_gradient)(0, 1, w, b);
    } else {
        NAME_TAP(any_tree_gradient)(0, 0, w, b);
    }
}

/* Of every mask, node after node. What dy passes to the sum of a node takes the place of its blend. */
static void NAME_TAP(tree_terms)(const cp_tap_windows *w, const cp_tap_block *b)
{
    for (int64_t i = 0; b->first == 0 && i < w->nodes * w->n; i += w->n) {
        for (int64_t j = 0; j < w->n; j += vf64_N) {
            vf64_store(w->node_rest + i + j, vf64_mul(vf64_load(w->dy + j), vf64_load(w->node + i + j)));
        }
    }
    for (int64_t t = 0; t < b->count; t++) {
        int64_t node = 0, number = (int64_t)b->number[t];
        for (; node + NAME_TAP(TREE_NODES) <= w->nodes; node += NAME_TAP(TREE_NODES)) {
            NAME_TAP(sum_products)(NAME_TAP(TREE_NODES), w, number + node * w->node_taps, w->node_taps,
                                   w->node_rest + node * w->n, b->tap[t].leaf[0]);
        }
        for (; node < w->nodes; node++) {
            NAME_TAP(sum_products)(1, w, number + node * w->node_taps, 0, w->node_rest + node * w->n, b->tap[t].leaf[0]);
        }
    }
}
