"""How far normalized values, gradients and variances are from the exact ones: the table of docs/NUMERICS.md.

    python tools/norm_accuracy.py    # with PyTorch in the table where it is installed

Largest error over all elements in units of what rounding alone may cost: for y of u (|weight x^| + |bias|), for dx of
u |weight| r (|e| + mean|e| + |x^| mean|e x^|), for variances relative in u; u is 2^-24. Exact values are in long double.
"""

import numpy as np

import cpool

try:
    import torch
except ImportError:
    torch = None

U = 2.0**-24
EPS = 1e-5
SHAPE = (16, 8, 28, 28)
AXES = (0, 2, 3)
DATA = [("mean 0", 0.0, 1.0), ("mean / std = 1e3", 1e3, 1.0), ("mean / std = 1e6", 1e6, 1.0), ("near 1e30", 0.0, 1e30)]


def by_channel(a):
    return np.reshape(a, (1, -1, 1, 1))


def exact(x, dy, weight, bias):
    x, dy, weight, bias = (a.astype(np.longdouble) for a in (x, dy, by_channel(weight), by_channel(bias)))

    def mean(a):
        return a.mean(axis=AXES, keepdims=True)

    d = x - x[:1, :, :1, :1]
    d = d - mean(d)
    var = mean(d**2)
    r = 1 / np.sqrt(var + EPS)
    normed = d * r
    y, y_size = weight * normed + bias, np.abs(weight * normed) + np.abs(bias)
    dx = weight * r * (dy - mean(dy) - normed * mean(dy * normed))
    dx_size = np.abs(weight) * r * (np.abs(dy) + mean(np.abs(dy)) + np.abs(normed) * mean(np.abs(dy * normed)))
    return (y, y_size), (dx, dx_size), (var.ravel(), var.ravel())


def with_cpool(x, dy, weight, bias):
    y, saved = cpool.batch_norm.forward(x, weight, bias, eps=EPS)
    return y, cpool.batch_norm.backward(dy, saved, wrt="x"), cpool.moments(x).var


def with_torch(x, dy, weight, bias):
    leaf = torch.from_numpy(x).requires_grad_()
    mean, var = torch.zeros(SHAPE[1]), torch.ones(SHAPE[1])
    y = torch.nn.functional.batch_norm(leaf, mean, var, torch.from_numpy(weight), torch.from_numpy(bias), training=True,
                                       momentum=1.0, eps=EPS)
    y.backward(torch.from_numpy(dy))
    m = x.size // SHAPE[1]
    return y.detach().numpy(), leaf.grad.numpy(), var.numpy().astype(np.float64) * (m - 1) / m


def with_numpy(x, dy, weight, bias):
    mean, var = x.mean(axis=AXES, keepdims=True), x.var(axis=AXES, keepdims=True)
    weight, bias = by_channel(weight), by_channel(bias)
    r = 1 / np.sqrt(var + np.float32(EPS))
    normed = (x - mean) * r
    dx = weight * r * (dy - dy.mean(axis=AXES, keepdims=True) - normed * (dy * normed).mean(axis=AXES, keepdims=True))
    return weight * normed + bias, dx, var.ravel()


def main():
    contestants = {"cpool": with_cpool, "PyTorch": with_torch, "NumPy": with_numpy}
    if torch is None:
        del contestants["PyTorch"]
    print(f"| data | | {' | '.join(contestants)} |")
    print(f"| --- | --- | {' | '.join('---' for _ in contestants)} |")
    for label, shift, spread in DATA:
        rng = np.random.default_rng(0)
        x, dy = ((rng.normal(size=SHAPE) * scale + center).astype(np.float32) for scale, center in ((spread, shift), (1, 0)))
        weight, bias = (rng.normal(size=SHAPE[1]).astype(np.float32) for _ in range(2))
        right = exact(x, dy, weight, bias)
        with np.errstate(over="ignore", invalid="ignore"):
            results = {name: run(x, dy, weight, bias) for name, run in contestants.items()}
        for i, what in enumerate(("y", "dx", "variance")):
            value, size = right[i]
            errors = []
            for result in results.values():
                with np.errstate(invalid="ignore"):
                    error = float((np.abs(result[i] - value) / (U * size)).max())
                errors.append("not finite" if np.isnan(error) or np.isinf(error) else f"{error:.2g}")
            print(f"| {label} | {what} | {' | '.join(errors)} |")


if __name__ == "__main__":
    main()
