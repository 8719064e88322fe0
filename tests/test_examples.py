"""Numbers worked out by hand, for the library and for the reference that the other tests trust."""

import numpy as np
import pytest
import reference as ref

import cpool


def rows(text):
    """'1 2; 3 4' as an array; fractions are allowed."""
    numbers = [[np.divide(*map(float, (*n.split("/"), "1")[:2])) for n in row.split()] for row in text.split(";")]
    return np.array(numbers)


X = rows("1 2 5 3; 4 0 1 2; -1 3 2 2; 0 6 -2 4")
NINE = {"stride": 2, "padding": 1, "ceil_mode": True}

# Operator, window, arguments, y, dx for dy = 1, and for the selecting operators the positions, for lp_pool dp.
EXAMPLES = {
    "max": ("max_pool", 2, {}, "4 5; 6 4", "0 0 1 0; 1 0 0 0; 0 0 0 0; 0 1 0 1", [[4, 2], [13, 15]]),
    "min": ("min_pool", 2, {}, "0 1; -1 -2", "0 0 0 0; 0 1 1 0; 1 0 0 0; 0 0 1 0", [[5, 6], [8, 14]]),
    "max of nine": (
        "max_pool", 3, NINE, "4 5 3; 6 6 4; 6 6 4", "0 0 1 1; 1 0 0 0; 0 0 0 0; 0 4 0 2",
        [[4, 2, 3], [13, 13, 15], [13, 13, 15]],
    ),
    "average": ("avg_pool", 2, {}, "1.75 2.75; 2 1.5", "; ".join(["0.25 0.25 0.25 0.25"] * 4), None),
    "average with padding": (
        "avg_pool", 3, NINE | {"count_include_pad": True}, "7/9 13/9 5/6; 4/3 2 4/3; 1 4/3 1", None, None,
    ),
    "average without padding": ("avg_pool", 3, NINE, "1.75 13/6 2.5; 2 2 8/3; 3 8/3 4", None, None),
    "sum, p=2": (
        "lp_pool", 2, {"p": 2.0}, "4.582576 6.244998; 6.782330 5.291503",
        ".218218 .436436 .800641 .480384; .872872 0 .160128 .320256; -.147442 .442326 .377964 .377964;"
        "0 .884652 -.377964 .755929",
        -4.783839,
    ),
    "mean, p=2": (
        "lp_pool", 2, {"p": 2.0, "norm": "mean"}, "2.291288 3.122499; 3.391165 2.645751",
        ".109109 .218218 .4003205 .240192; .436436 0 .080064 .160128; -.073721 .221163 .188982 .188982;"
        "0 .442326 -.188982 .3779645",
        1.576592,
    ),
    "root mean square": ("l2_pool", 2, {}, "2.291288 3.122499; 3.391165 2.645751", None, None),
    "sum, p=3": ("lp_pool", 2, {"p": 3.0}, "4.179339 5.440122; 6.248800 4.447960", None, -1.299751),
    "sum, p=.5": (
        "lp_pool", 2, {"p": 0.5}, "19.485281 40.734166; 26.848362 38.970563", "4.414214 3.121320 2.854266 3.684841",
        -627.488212,
    ),
    "global average": ("avg_pool", cpool.whole, {}, "2", "; ".join(["1/16 1/16 1/16 1/16"] * 4), None),
    "global max": ("max_pool", cpool.whole, {}, "6", "0 0 0 0; 0 0 0 0; 0 0 0 0; 0 1 0 0", [[13]]),
    "adaptive average": ("avg_pool", cpool.adaptive(3, 3), {}, "1.75 2 2.75; 1.5 1.5 1.75; 2 2.25 1.5", None, None),
}  # fmt: skip


def by_library(name, window, arguments):
    """y, dx, positions or dp."""
    op = getattr(cpool, name)
    y, saved = op.forward(X, window, **arguments)
    gradients = op.backward(np.ones_like(y), saved)
    if name == "lp_pool":
        return y, gradients.x, gradients.p
    return y, gradients, saved.indices if name in ("max_pool", "min_pool") else None


def by_reference(name, window, arguments):
    if window is cpool.whole:
        windows = ref.Windows.whole(X.shape)
    elif isinstance(window, int):
        stride, pad = (arguments.get(key, default) for key, default in [("stride", window), ("padding", 0)])
        windows = ref.Windows.sliding(
            X.shape, (window,) * 2, (stride,) * 2, ((pad, pad),) * 2, ceil=arguments.get("ceil_mode", False)
        )
    else:
        windows = ref.Windows.adaptive(X.shape, (3, 3))
    x = X[None]
    dy = np.ones((1, *windows.shape))
    if name in ("max_pool", "min_pool"):
        y, indices, _ = getattr(ref, name)(x, windows)
        return y[0], ref.select_grad(dy, indices, X.shape).value[0], indices[0]
    if name == "avg_pool":
        include = arguments.get("count_include_pad", False)
        return ref.avg_pool(x, windows, include).value[0], ref.avg_grad(dy, windows, include).value[0], None
    p, mean = arguments.get("p", 2), arguments.get("norm", "mean" if name == "l2_pool" else "sum") == "mean"
    dx, dp = ref.lp_grad(x, dy, windows, p, mean)
    return ref.lp_pool(x, windows, p, mean).value[0], dx.value[0], dp.value[0] if name == "lp_pool" else None


@pytest.mark.parametrize("by", [by_library, by_reference])
@pytest.mark.parametrize("example", EXAMPLES)
def test_operators(example, by):
    name, window, arguments, y, dx, more = EXAMPLES[example]
    exactly = {"rtol": 0, "atol": 0 if name in ("max_pool", "min_pool") else 5.01e-7}
    actual_y, actual_dx, actual_more = by(name, window, arguments)
    np.testing.assert_allclose(actual_y, rows(y), **exactly)
    if dx is not None:
        dx = rows(dx)
        np.testing.assert_allclose(actual_dx[: len(dx)], dx, **exactly)
    if more is not None:
        np.testing.assert_allclose(actual_more, more, **exactly)


@pytest.mark.parametrize("example", EXAMPLES)
def test_operators_in_single_precision(example):
    name, window, arguments, y, _, _ = EXAMPLES[example]
    actual = getattr(cpool, name)(X.astype(np.float32), window, **arguments)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, rows(y), rtol=1e-6, atol=1e-6)


def test_a_minimum_is_a_negated_maximum():
    y, saved = cpool.max_pool.forward(-X, 2)
    negated, negated_saved = cpool.min_pool.forward(X, 2)
    np.testing.assert_array_equal(negated, -y)
    np.testing.assert_array_equal(negated_saved.indices, saved.indices)


def test_divisors():
    windows = ref.Windows.sliding(X.shape, (3, 3), (2, 2), ((1, 1), (1, 1)), ceil=True)
    assert windows.padded_counts == [9, 9, 6, 9, 9, 6, 6, 6, 4]
    assert [positions.size for positions in windows.positions] == [4, 6, 2, 6, 9, 3, 2, 3, 1]
    sums = cpool.avg_pool(X, 3, **NINE, divisor_override=1)
    np.testing.assert_array_equal(sums, cpool.avg_pool(X, 3, **NINE, divisor_override=2) * 2)
    np.testing.assert_allclose(sums / [[9, 9, 6], [9, 9, 6], [6, 6, 4]], cpool.avg_pool(X, 3, **NINE, count_include_pad=True))


# in, k, s, pads, d, ceil -> out
SIZES = [
    (5, 2, 2, (0, 0), 1, False, 2),
    (5, 2, 2, (0, 0), 1, True, 3),
    (6, 1, 2, (0, 0), 1, True, 3),
    (5, 3, 3, (1, 1), 1, True, 2),
    (4, 3, 2, (1, 1), 1, True, 3),
    (3, 3, 1, (1, 1), 2, False, 1),
    (2, 3, 2, (0, 1), 1, True, 1),
]


@pytest.mark.parametrize(("n", "k", "stride", "pads", "dilation", "ceil", "out"), SIZES)
def test_sizes(n, k, stride, pads, dilation, ceil, out):
    kwargs = {"stride": stride, "padding": (pads,), "dilation": dilation, "ceil_mode": ceil}
    assert ref.output_size(n, k, stride, dilation, *pads, ceil) == out
    assert cpool.max_pool.output_shape((n,), (k,), **kwargs) == (out,)
    assert cpool.max_pool(np.ones(n), (k,), **kwargs).shape == (out,)


# in, k, s, name, pads, out
NAMED = [
    (5, 2, 1, "same", (0, 1), 5),
    (5, 2, 1, "same_upper", (0, 1), 5),
    (5, 2, 1, "same_lower", (1, 0), 5),
    (4, 1, 3, "same", (0, 0), 2),
    (4, 1, 3, "same_lower", (0, 0), 2),
]


@pytest.mark.parametrize(("n", "k", "stride", "name", "pads", "out"), NAMED)
def test_named_padding(n, k, stride, name, pads, out):
    x = np.arange(1.0, n + 1)
    assert ref.same_padding(n, k, stride, lower=name == "same_lower") == pads
    y = cpool.lp_pool(x, (k,), stride=stride, padding=name, p=1)
    np.testing.assert_array_equal(y, [x[max(o * stride - pads[0], 0) : o * stride - pads[0] + k].sum() for o in range(out)])


@pytest.mark.parametrize("kwargs", [{"padding": "same"}, {"padding": "valid"}, {"padding": "same_lower"}], ids=str)
def test_named_padding_and_ceil_exclude_each_other(kwargs):
    with pytest.raises(ValueError, match="ceil"):
        cpool.max_pool(X, 2, **kwargs, ceil_mode=True)


def test_adaptive_bins():
    assert ref.Axis.adaptive(4, 3).positions == [[0, 1], [1, 2], [2, 3]]
    assert ref.Axis.adaptive(2, 5).positions == [[0], [0], [0, 1], [1], [1]]
    np.testing.assert_array_equal(cpool.avg_pool([1.0, 3.0], cpool.adaptive(5)), [1, 1, 2, 3, 3])


def test_unpooling():
    values, positions = np.array([[4.0, 5.0], [6.0, 4.0]]), np.array([[4, 2], [13, 15]])
    expected = rows("0 0 5 0; 4 0 0 0; 0 0 0 0; 0 6 0 4")
    np.testing.assert_array_equal(cpool.max_unpool(values, positions, 2), expected)
    np.testing.assert_array_equal(cpool.max_unpool(values, positions, 2, output_size=(4, 4)), expected)
    np.testing.assert_array_equal(ref.max_unpool(values[None], positions[None], (4, 4)).value[0], expected)
    _, saved = cpool.max_unpool.forward(values, positions, 2)
    np.testing.assert_array_equal(cpool.max_unpool.backward(np.arange(16.0).reshape(4, 4), saved), positions)


def test_unpooling_of_duplicates():
    values, positions = [[1.0, 2.0, 4.0, 8.0]], [[1, 1, -1, 0]]
    dy = np.array([[16.0, 32.0, 64.0]])
    for duplicates, y, dx in [("overwrite", [[8, 2, 0]], [[0, 32, 0, 16]]), ("add", [[8, 3, 0]], [[32, 32, 0, 16]])]:
        arguments = {"output_size": (1, 3), "duplicates": duplicates}
        actual, saved = cpool.max_unpool.forward(values, positions, (1, 2), **arguments)
        np.testing.assert_array_equal(actual, y)
        np.testing.assert_array_equal(cpool.max_unpool.backward(dy, saved), dx)
        x, indices = np.array(values)[:, None], np.array(positions)[:, None]
        np.testing.assert_array_equal(ref.max_unpool(x, indices, (1, 3), duplicates).value[0], y)
        np.testing.assert_array_equal(ref.unpool_grad(dy[:, None], indices, duplicates)[0], dx)


def test_size_of_unpooling():
    # (in - 1) * stride - before - after + window
    assert cpool.max_unpool(np.ones(3), [0, 1, 2], (3,), stride=2, padding=1).shape == (5,)
    assert ref.unpool_size(3, 3, 2, 1, 1, 1) == 5
