"""Local importance-based pooling with a small network that makes the logits: the "projection" of its paper, in plain NumPy.

    python examples/lip_projection.py

Logits are 12 * sigmoid(instance_norm(convolution(x))), here with a 1 by 1 convolution: a product along the channels. The script
pools random images, checks the gradients of the network against differences, and takes a few steps in which pooling learns to
keep more of a bright spot in noise.

Z. Gao, L. Wang, G. Wu, "LIP: Local Importance-based Pooling", ICCV 2019.
"""

import numpy as np

import cpool

WINDOW = {"window": 3, "stride": 2, "padding": 1}


def sigmoid(v):
    return np.where(v >= 0, 1 / (1 + np.exp(-np.abs(v))), np.exp(-np.abs(v)) / (1 + np.exp(-np.abs(v))))


class Projection:
    """Logits from images [N, C, H, W]: a convolution, instance norm without parameters, 12 times a sigmoid."""

    def __init__(self, channels, rng):
        self.weight = rng.normal(size=(channels, channels)) / np.sqrt(channels)

    def forward(self, x, eps=1e-5):
        v = np.einsum("dc,nchw->ndhw", self.weight, x)
        centred = v - v.mean(axis=(2, 3), keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(axis=(2, 3), keepdims=True) + eps)
        gate = sigmoid(centred * scale)
        return 12 * gate, (x, centred * scale, scale, gate)

    @staticmethod
    def mean(v):
        return v.mean(axis=(2, 3), keepdims=True)

    def backward(self, dlogits, saved):
        """The gradients with respect to x and the weight."""
        x, normed, scale, gate = saved
        e = dlogits * 12 * gate * (1 - gate)
        dv = scale * (e - self.mean(e) - normed * self.mean(e * normed))
        return np.einsum("dc,ndhw->nchw", self.weight, dv), np.einsum("ndhw,nchw->dc", dv, x)


def pool(network, x):
    logits, inner = network.forward(x)
    y, saved = cpool.lip_pool.forward(x, logits, **WINDOW)
    return y, (inner, saved)


def pool_backward(network, dy, kept):
    inner, saved = kept
    grads = cpool.lip_pool.backward(dy, saved)
    dx, dweight = network.backward(grads.logits, inner)
    return grads.x + dx, dweight


def worst_difference(network, x, dy, step=1e-6):
    """How far the gradients are from differences, at a few places."""
    _, kept = pool(network, x)
    worst = 0.0
    for array, gradient in zip((x, network.weight), pool_backward(network, dy, kept), strict=True):
        for at in [(0,) * array.ndim, tuple(n // 2 for n in array.shape), tuple(n - 1 for n in array.shape)]:
            before = array[at]
            losses = []
            for array[at] in (before + step, before - step):
                losses.append((pool(network, x)[0] * dy).sum())
            array[at] = before
            worst = max(worst, abs((losses[0] - losses[1]) / (2 * step) - gradient[at]))
    return worst


def main():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 9, 9))
    network = Projection(3, rng)
    dy = rng.normal(size=cpool.lip_pool.output_shape(x.shape, **WINDOW))
    print(f"gradients differ from differences by {worst_difference(network, x, dy):.1e}")

    spots = rng.random(size=(64, 2, 16, 16)) * 0.5
    rows, columns = rng.integers(0, 16, (2, 64))
    spots[np.arange(64), 0, rows, columns] = 2.0
    network = Projection(2, rng)
    for step in range(31):
        y, kept = pool(network, spots)
        found = y[np.arange(64), 0, (rows + 1) // 2 - (rows == 15), (columns + 1) // 2 - (columns == 15)]
        if step % 10 == 0:
            print(f"step {step:2}: a spot of 2 is pooled to {found.mean():.2f}")
        dy = np.zeros_like(y)
        dy[np.arange(64), 0, (rows + 1) // 2 - (rows == 15), (columns + 1) // 2 - (columns == 15)] = -1 / 64
        network.weight -= 5.0 * pool_backward(network, dy, kept)[1]


if __name__ == "__main__":
    main()
