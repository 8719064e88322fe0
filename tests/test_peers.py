"""The operators that PyTorch defines by the same rules, against PyTorch. Runs where it is installed."""

import numpy as np
import pytest
from cases import data

import cpool

torch = pytest.importorskip("torch")

F = torch.nn.functional
DTYPES = [np.float32, np.float64]

# rank -> spatial size, window, stride, padding (at most half the window), dilation, ceil
GEOMETRIES = [
    ((11,), (2,), (2,), (0,), (1,), False),
    ((11,), (3,), (2,), (1,), (2,), True),
    ((30,), (13,), (4,), (6,), (1,), False),
    ((6, 8), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((7, 9), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((7, 9), (3, 2), (1, 3), (1, 1), (1, 1), True),
    ((9, 10), (3, 3), (1, 2), (1, 0), (2, 3), False),
    ((14, 13), (5, 11), (3, 2), (2, 5), (1, 1), True),
    ((5, 6, 7), (2, 3, 2), (2, 1, 2), (1, 1, 0), (1, 1, 1), False),
    ((5, 6, 7), (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), True),
    ((6, 6, 6), (2, 2, 3), (1, 2, 1), (0, 1, 1), (2, 1, 2), False),
]
UNDILATED = [geometry for geometry in GEOMETRIES if set(geometry[4]) == {1}]
IMAGES = [geometry for geometry in UNDILATED if len(geometry[0]) == 2]
FULL = [((11,), (3,), (2,)), ((8, 9), (2, 3), (2, 2)), ((5, 6, 7), (2, 3, 2), (1, 2, 2))]
DISJOINT = [((12,), (2,), (2,)), ((6, 8), (2, 2), (2, 2)), ((6, 9), (3, 2), (3, 4)), ((4, 6, 4), (2, 3, 2), None)]
SIZES = [((7,), (3,)), ((4,), (6,)), ((7, 9), (3, 4)), ((5, 3), (7, 1)), ((4, 5, 6), (3, 2, 7))]


def sample(spatial, dtype, kind="normal"):
    return data(kind, 0, (2, 3, *spatial), dtype)


def run(name, x, *args, rank, **kwargs):
    """y, dx for the gradient 1, 2, 3, ... of y, and the indices where asked for."""
    leaf = torch.from_numpy(x).requires_grad_()
    y = getattr(F, f"{name}{rank}d")(leaf, *args, **kwargs)
    y, indices = y if isinstance(y, tuple) else (y, None)
    dy = upstream(y.shape, x.dtype)
    y.backward(torch.from_numpy(dy))
    return y.detach().numpy(), leaf.grad.numpy(), None if indices is None else indices.numpy()


def upstream(shape, dtype):
    return (np.arange(1, np.prod(shape) + 1) / np.prod(shape)).reshape(tuple(shape)).astype(dtype)


def scalar(sizes):
    """One-dimensional lp_pool takes no tuple of one."""
    return sizes[0] if len(sizes) == 1 else sizes


def close(actual, expected, scale=1):
    """Up to rounding of sums whose terms have the magnitude `scale` together."""
    eps = np.finfo(expected.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=64 * eps, atol=8 * eps * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties"])
def test_max_pool(geometry, dtype, kind):
    spatial, window, stride, padding, dilation, ceil = geometry
    x = sample(spatial, dtype, kind)
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil}
    expected, dx, indices = run("max_pool", x, window, rank=len(spatial), return_indices=True, **arguments)
    y, saved = cpool.max_pool.forward(x, window, **arguments)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(saved.indices, indices)
    close(cpool.max_pool.backward(upstream(y.shape, dtype), saved), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", UNDILATED, ids=str)
@pytest.mark.parametrize("include", [False, True])
def test_avg_pool(geometry, dtype, include):
    spatial, window, stride, padding, _, ceil = geometry
    x = sample(spatial, dtype)
    arguments = {"stride": stride, "padding": padding, "ceil_mode": ceil, "count_include_pad": include}
    expected, dx, _ = run("avg_pool", x, window, rank=len(spatial), **arguments)
    y, saved = cpool.avg_pool.forward(x, window, **arguments)
    close(y, expected)
    close(cpool.avg_pool.backward(upstream(y.shape, dtype), saved), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", [geometry for geometry in UNDILATED if len(geometry[0]) > 1], ids=str)
@pytest.mark.parametrize("divisor", [1, 7])
def test_divisor(geometry, dtype, divisor):
    spatial, window, stride, padding, _, ceil = geometry
    x = sample(spatial, dtype)
    arguments = {"stride": stride, "padding": padding, "ceil_mode": ceil, "divisor_override": divisor}
    expected, dx, _ = run("avg_pool", x, window, rank=len(spatial), **arguments)
    y, saved = cpool.avg_pool.forward(x, window, **arguments)
    close(y, expected, scale=max(1, np.prod(window) / divisor))
    close(cpool.avg_pool.backward(upstream(y.shape, dtype), saved), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "sizes"), SIZES, ids=str)
def test_adaptive(spatial, sizes, dtype):
    x = sample(spatial, dtype)
    window = cpool.adaptive(*sizes)
    expected, dx, indices = run("adaptive_max_pool", x, sizes, rank=len(spatial), return_indices=True)
    y, saved = cpool.max_pool.forward(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(saved.indices, indices)
    close(cpool.max_pool.backward(upstream(y.shape, dtype), saved), dx)
    expected, dx, _ = run("adaptive_avg_pool", x, sizes, rank=len(spatial))
    y, saved = cpool.avg_pool.forward(x, window)
    close(y, expected)
    close(cpool.avg_pool.backward(upstream(y.shape, dtype), saved), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "stride"), FULL, ids=str)
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_lp_pool(spatial, window, stride, p, dtype):
    x = sample(spatial, dtype, "positive")
    expected, dx, _ = run("lp_pool", x, p, scalar(window), rank=len(spatial), stride=scalar(stride))
    y, saved = cpool.lp_pool.forward(x, window, stride=stride, p=p)
    close(y, expected)
    close(cpool.lp_pool.backward(upstream(y.shape, dtype), saved, wrt="x"), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "stride"), DISJOINT, ids=str)
def test_max_unpool(spatial, window, stride, dtype):
    x = sample(spatial, dtype)
    pooled, saved = cpool.max_pool.forward(x, window, stride=stride)
    indices = torch.from_numpy(saved.indices.copy())
    expected, dx, _ = run("max_unpool", pooled, indices, window, rank=len(spatial), stride=stride, output_size=spatial)
    y, saved = cpool.max_unpool.forward(pooled, saved.indices, window, stride=stride, output_size=spatial)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(cpool.max_unpool.backward(upstream(y.shape, dtype), saved), dx)


@pytest.mark.parametrize("geometry", IMAGES, ids=str)
def test_channels_last(geometry):
    spatial, window, stride, padding, _, ceil = geometry
    x = sample(spatial, np.float32)
    expected = F.max_pool2d(torch.from_numpy(x), window, stride=stride, padding=padding, ceil_mode=ceil).numpy()
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    y = cpool.max_pool(nhwc, window, stride=stride, padding=padding, ceil_mode=ceil, axes=(1, 2))
    np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), expected)
