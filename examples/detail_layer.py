"""Detail-preserving pooling as a layer of a network: alpha and lam learned by their logarithms, and a filter, in plain NumPy.

    python examples/detail_layer.py

Weights must not be negative, so what is learned is a = log alpha and l = log lam, one of each per channel: alpha = exp(a), and
the gradient with respect to a is that of alpha times alpha. The script checks the gradients of the layer against differences,
and lets layers learn from which pooling an image came: of its averages lam falls towards 0, of its maxima it grows.

F. Saeedan, N. Weber, M. Goesele, S. Roth, "Detail-Preserving Pooling in Deep Networks", CVPR 2018.
"""

import numpy as np

import cpool


class DetailPool:
    """Pools images [N, C, H, W] by 2; `parameters` are log alpha, log lam [C] and the filter of the reference [C, 3, 3]."""

    def __init__(self, channels, *, symmetric=True):
        smooth = np.outer([1, 2, 1], [1, 2, 1]) / 16
        self.parameters = [np.full(channels, np.log(0.1)), np.zeros(channels), np.tile(smooth, (channels, 1, 1))]
        self.symmetric = symmetric

    def forward(self, x):
        log_alpha, log_lam, smooth = self.parameters
        alpha, lam = np.exp(log_alpha), np.exp(log_lam)
        y, saved = cpool.dpp_pool.forward(x, 2, alpha=alpha, lam=lam, filter=smooth, symmetric=self.symmetric)
        return y, (saved, alpha, lam)

    def backward(self, dy, kept):
        """The gradient with respect to x, and those with respect to the parameters."""
        saved, alpha, lam = kept
        grads = cpool.dpp_pool.backward(dy, saved)
        return grads.x, [grads.alpha * alpha, grads.lam * lam, grads.filter]


def worst_difference(layer, x, dy, step=1e-6):
    """How far the gradients are from differences, at the ends of every array."""
    dx, dparameters = layer.backward(dy, layer.forward(x)[1])
    worst = 0.0
    for array, gradient in zip((x, *layer.parameters), (dx, *dparameters), strict=True):
        for at in [(0,) * array.ndim, tuple(n - 1 for n in array.shape)]:
            before = array[at]
            losses = []
            for array[at] in (before + step, before - step):
                losses.append((layer.forward(x)[0] * dy).sum())
            array[at] = before
            worst = max(worst, abs((losses[0] - losses[1]) / (2 * step) - gradient[at]))
    return worst


def learn(layer, x, target, steps=150, rate=0.5):
    for _ in range(steps):
        y, kept = layer.forward(x)
        _, gradients = layer.backward(2 * (y - target) / y[:, 0].size, kept)
        for parameter, gradient in zip(layer.parameters[:2], gradients, strict=False):
            parameter -= rate * gradient
    return ((layer.forward(x)[0] - target) ** 2).mean()


def main():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2, 8, 8))
    dy = rng.normal(size=(4, 2, 4, 4))
    print(f"gradients differ from differences by {worst_difference(DetailPool(2), x, dy):.1e}")
    for name, target in [("averages", cpool.avg_pool(x, 2)), ("maxima", cpool.max_pool(x, 2))]:
        layer = DetailPool(2, symmetric=False)
        before = ((layer.forward(x)[0] - target) ** 2).mean()
        after = learn(layer, x, target)
        print(f"{name}: mean squared error {before:.3f}, then {after:.3f} with lam {np.exp(layer.parameters[1]).round(2)}")


if __name__ == "__main__":
    main()
