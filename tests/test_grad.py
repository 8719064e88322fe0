"""Gradients: against the formulas within their bounds, and against differences of the operator itself."""

import numpy as np
import pytest
import reference as ref
from cases import FINITE, Case, Layout, cases, data, exponents
from hypothesis import given
from hypothesis import strategies as st
from test_pool import check, same_bits

import cpool

SELECTING = ["max_pool", "min_pool"]


def same_gradient_everywhere(op, case, dx, dy, p=None, norm="sum"):
    """The bits of dx do not depend on the layout."""
    if case.x.size:
        canonical, arguments = case.canonical(), {}
        if p is not None:
            arguments = {"p": case.per_plane(p), "norm": norm}
            canonical.layout.kwargs["channel_axis"] = 0
        _, saved = op.forward(canonical.x, canonical.window, **canonical.kwargs, **arguments)
        planes = op.backward(np.ascontiguousarray(case.layout.planes(dy)), saved, wrt="x")
        assert same_bits(np.ascontiguousarray(case.layout.planes(dx)), planes)


# ---- Against the formulas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTING)
@given(cases())
def test_selecting(name, case):
    op, dy = getattr(cpool, name), case.gradient()
    _, saved = op.forward(case.x, case.window, **case.kwargs)
    dx = op.backward(dy, saved)
    _, indices, _ = getattr(ref, name)(case.planes, case.windows)
    check(dx, case.restore(ref.select_grad(case.layout.planes(dy), indices, case.windows.spatial)), case.x.dtype)
    same_gradient_everywhere(op, case, dx, dy)


@given(cases(["normal"]), st.booleans(), st.sampled_from([None, None, None, 3, -2, 2.5]))
def test_average(case, count_include_pad, divisor):
    dy = case.gradient()
    _, saved = cpool.avg_pool.forward(
        case.x, case.window, **case.kwargs, count_include_pad=count_include_pad, divisor_override=divisor
    )
    dx = cpool.avg_pool.backward(dy, saved)
    check(dx, case.restore(ref.avg_grad(case.layout.planes(dy), case.windows, count_include_pad, divisor)), case.x.dtype)
    if divisor is None and not count_include_pad:
        same_gradient_everywhere(cpool.avg_pool, case, dx, dy)


@given(st.data(), cases(FINITE), st.sampled_from(["sum", "mean"]))
def test_power(source, case, norm):
    p, dy = source.draw(exponents(case)), case.gradient()
    _, saved = cpool.lp_pool.forward(case.x, case.window, **case.kwargs, p=p, norm=norm)
    grads = cpool.lp_pool.backward(dy, saved)
    dx, _ = ref.lp_grad(case.planes, case.layout.planes(dy), case.windows, case.per_plane(p), norm == "mean")
    check(grads.x, case.restore(dx), case.x.dtype)
    assert same_bits(grads.x, cpool.lp_pool.backward(dy, saved, wrt="x"))
    same_gradient_everywhere(cpool.lp_pool, case, grads.x, dy, p if np.ndim(p) else np.full(case.channels or 1, float(p)), norm)


@given(st.data(), cases(FINITE), st.sampled_from(["sum", "mean"]))
def test_exponent(source, case, norm):
    p, dy = source.draw(exponents(case)), case.gradient()
    _, saved = cpool.lp_pool.forward(case.x, case.window, **case.kwargs, p=p, norm=norm)
    dp = cpool.lp_pool.backward(dy, saved, wrt="p")
    _, expected = ref.lp_grad(case.planes, case.layout.planes(dy), case.windows, case.per_plane(p), norm == "mean")
    if np.ndim(p):
        assert dp.dtype == p.dtype
        check(dp, ref.share_p(expected, case.channels), p.dtype)
    else:
        assert type(dp) is np.float64
        check(np.atleast_1d(dp), ref.share_p(expected, None).reshape(1), np.float64)


@given(cases(FINITE))
def test_root_mean_square(case):
    dy = case.gradient()
    _, saved = cpool.l2_pool.forward(case.x, case.window, **case.kwargs)
    dx = cpool.l2_pool.backward(dy, saved)
    check(dx, case.restore(ref.lp_grad(case.planes, case.layout.planes(dy), case.windows, 2, mean=True)[0]), case.x.dtype)
    same_gradient_everywhere(cpool.l2_pool, case, dx, dy)


NARROW_PLANES = [  # planes, window, stride, padding
    ((7, 7), (3, 3), (1, 1), (1, 1)),
    ((13, 13), (3, 3), (2, 2), (0, 0)),
    ((14, 14), (2, 2), (2, 2), (0, 0)),
    ((300, 5), (3, 2), (2, 1), (1, 0)),
    ((9, 15), (2, 3), (4, 5), (1, 1)),
    ((6, 5, 4), (3, 2, 3), (1, 2, 1), (1, 0, 1)),
    ((40, 30, 11), (2, 3, 2), (2, 1, 1), (0, 1, 1)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [8, 17, 70])
@pytest.mark.parametrize(("spatial", "window", "stride", "padding"), NARROW_PLANES, ids=str)
def test_narrow_planes(spatial, window, stride, padding, count, dtype):
    """Planes whose rows fill no vector, enough of them to be lanes."""
    count = min(count, 9) if len(spatial) == 3 and spatial[0] > 6 else count
    x, axes = data("ties", 5, (count, *spatial), dtype), tuple(range(1, 1 + len(spatial)))
    kwargs = {"stride": stride, "padding": padding, "axes": axes}
    windows = ref.Windows.sliding(spatial, window, stride, [(p, p) for p in padding])
    y, saved = cpool.max_pool.forward(x, window, **kwargs)
    _, saved_mean = cpool.avg_pool.forward(x, window, **kwargs)
    dy = data("normal", 6, y.shape, dtype)
    _, indices, _ = ref.max_pool(x, windows)
    expected, mean = ref.select_grad(dy, indices, spatial), ref.avg_grad(dy, windows)
    for isa in cpool.isas():
        with cpool.using_isa(isa):
            check(cpool.max_pool.backward(dy, saved), expected, dtype)
            check(cpool.avg_pool.backward(dy, saved_mean), mean, dtype)


HELD_BY_FEW = [  # planes, window, arguments: windows beyond 8 taps, bins that overlap and bins of the same elements
    ((13, 13), cpool.adaptive(7, 7), {}),
    ((40, 37), cpool.adaptive(60, 5), {}),
    ((300, 14), cpool.adaptive(70, 3), {}),
    ((30, 530), cpool.adaptive(7, 30), {}),
    ((64, 70), (16, 12), {"stride": (8, 5), "padding": (3, 2)}),
    ((90, 8), (20, 5), {"stride": (10, 3), "ceil_mode": True}),
    ((20, 30, 14), cpool.adaptive(9, 4, 5), {}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("divisor", [{}, {"count_include_pad": True}, {"divisor_override": 3}], ids=str)
@pytest.mark.parametrize(("spatial", "window", "arguments"), HELD_BY_FEW, ids=str)
def test_averages_held_by_few(spatial, window, arguments, divisor, dtype):
    """Large or uneven windows, few of which hold an element: in either layout, and of a plane by itself."""
    axes = tuple(range(1, 1 + len(spatial)))
    x = data("normal", 8, (17, *spatial), dtype)
    if isinstance(window, tuple):
        arguments = arguments | divisor
        padding = [(p, p) for p in np.broadcast_to(arguments.get("padding", 0), len(spatial)).tolist()]
        windows = ref.Windows.sliding(spatial, window, arguments["stride"], padding, ceil=arguments.get("ceil_mode", False))
    else:
        windows = ref.Windows.adaptive(spatial, window.sizes)
    _, saved = cpool.avg_pool.forward(x, window, axes=axes, **arguments)
    dy = data("wide", 9, cpool.avg_pool(x, window, axes=axes, **arguments).shape, dtype)
    expected = ref.avg_grad(dy, windows, "count_include_pad" in arguments, arguments.get("divisor_override"))
    one = cpool.avg_pool.backward(dy[:1], cpool.avg_pool.forward(x[:1], window, axes=axes, **arguments)[1])
    pixels = np.moveaxis(x, 0, -1).copy()
    _, saved_pixels = cpool.avg_pool.forward(pixels, window, axes=tuple(a - 1 for a in axes), **arguments)
    for isa in cpool.isas():
        with cpool.using_isa(isa):
            dx = cpool.avg_pool.backward(dy, saved)
            check(dx, expected, dtype)
            assert same_bits(dx[:1], one)
            assert same_bits(np.moveaxis(cpool.avg_pool.backward(np.moveaxis(dy, 0, -1).copy(), saved_pixels), -1, 0), dx)


# ---- Against differences ---------------------------------------------------------------------------------------------

GEOMETRIES = {
    "plain": ((4, 4), (2, 2), {}),
    "overlapping": ((5, 6), (3, 3), {"stride": (2, 1)}),
    "dilated": ((6, 7), (2, 3), {"stride": 1, "dilation": (3, 2)}),
    "padded": ((5, 5), (3, 3), {"stride": 2, "padding": ((2, 1), (0, 2))}),
    "ceil": ((5, 6), (3, 3), {"stride": 3, "padding": 1, "ceil_mode": True}),
    "empty windows": ((1, 4), (2, 2), {"stride": 1, "dilation": (2, 1), "padding": ((1, 1), (0, 0))}),
    "same": ((5, 4), (3, 2), {"stride": 2, "padding": "same"}),
    "adaptive": ((5, 4), cpool.adaptive(3, 6), {}),
    "whole": ((4, 5), cpool.whole, {"axes": (-2, -1)}),
    "row": ((9,), (3,), {"stride": 2}),
    "volume": ((3, 4, 3), (2, 3, 2), {"stride": 1}),
}


def distinct(shape, seed=0):
    """Numbers of both signs that differ from each other, in magnitude too, and from 0 by far more than the step."""
    rng = np.random.default_rng(seed)
    steps = rng.permutation(np.prod(shape)) + 1
    return (steps * rng.choice([-1, 1], steps.size) / steps.size).reshape(shape) * 2


def differences(function, x, step=1e-6):
    """d(function)/dx for every element of x, all moved at once along a new first axis."""
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    upper, lower = function(x + moves), function(x - moves)
    return ((upper - lower).reshape(x.size, -1).sum(axis=1) / (2 * step)).reshape(x.shape)


def check_differences(op, geometry, **arguments):
    spatial, window, kwargs = GEOMETRIES[geometry]
    kwargs = kwargs | arguments
    x = distinct((3, *spatial), seed=1)
    y, saved = op.forward(x, window, **kwargs)
    dy = np.random.default_rng(2).normal(size=y.shape)

    def loss(x):
        y = op(x, window, **kwargs)
        return np.where(np.isinf(y), 0, y) * dy

    np.testing.assert_allclose(op.backward(dy, saved, wrt="x"), differences(loss, x), rtol=2e-6, atol=2e-6)
    return x, dy, saved


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", [*SELECTING, "avg_pool", "l2_pool"])
def test_differences(name, geometry):
    check_differences(getattr(cpool, name), geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("arguments", [{"count_include_pad": True}, {"divisor_override": 3}], ids=str)
def test_differences_of_averages(geometry, arguments):
    check_differences(cpool.avg_pool, geometry, **arguments)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, 100, np.inf, [1.5, 2, 3]], ids=str)
def test_differences_of_powers(p, norm, geometry):
    _, window, kwargs = GEOMETRIES[geometry]
    x, dy, saved = check_differences(cpool.lp_pool, geometry, p=p, norm=norm)
    dp = cpool.lp_pool.backward(dy, saved, wrt="p")
    assert np.shape(dp) == np.shape(p)
    if np.all(np.isinf(p)):
        assert dp == 0
        return
    step = 1e-6 * np.asarray(p)
    upper, lower = (cpool.lp_pool(x, window, **kwargs, p=np.asarray(p) + sign * step, norm=norm) * dy for sign in (1, -1))
    change = (upper - lower).reshape(3, -1).sum(axis=1)
    change = change if np.ndim(p) else change.sum()
    np.testing.assert_allclose(dp, change / (2 * step), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("duplicates", ["overwrite", "add"])
def test_differences_of_unpooling(duplicates):
    x = distinct((3, 2, 4))
    indices = np.random.default_rng(3).integers(-1, 10, x.shape)
    kwargs = {"output_size": (2, 5), "duplicates": duplicates}
    y, saved = cpool.max_unpool.forward(x, indices, (2, 2), **kwargs)
    dy = np.random.default_rng(2).normal(size=y.shape)

    def loss(x):
        return cpool.max_unpool(x, np.broadcast_to(indices, x.shape), (2, 2), **kwargs) * dy

    np.testing.assert_allclose(cpool.max_unpool.backward(dy, saved), differences(loss, x), rtol=1e-7, atol=1e-7)


# ---- Corners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("value", [0.0, -0.0, 3.0, np.nan, np.inf, -np.inf])
def test_ties_go_to_the_first(name, value):
    x = np.full((1, 1, 4, 4), value)
    _, saved = getattr(cpool, name).forward(x, 2)
    dx = getattr(cpool, name).backward(np.ones((1, 1, 2, 2)), saved)
    np.testing.assert_array_equal(dx[0, 0], [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])


def test_ties_of_magnitudes_go_to_the_first():
    _, saved = cpool.lp_pool.forward([[-2.0, 2.0, 0.0, 0.0], [2.0, 1.0, 0.0, -3.0]], 2, p=np.inf)
    dx, dp = cpool.lp_pool.backward([[1.0, 1.0]], saved)
    np.testing.assert_array_equal(dx, [[-1, 0, 0, 0], [0, 0, 0, -1]])
    assert dp == 0


@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, 100, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_have_no_gradient(dtype, p, norm):
    x = np.array([[0.0, 3.0, -0.0, 0.0, -1.0, 0.0], [2.0, -0.0, 0.0, -0.0, 0.0, 0.0]], dtype)
    y, saved = cpool.lp_pool.forward(x, 2, p=p, norm=norm)
    assert y[0, 1] == 0
    dx, dp = cpool.lp_pool.backward(np.ones_like(y), saved)
    np.testing.assert_array_equal(dx != 0, (x != 0) & ((np.abs(x) != 2) | np.isfinite(p)))
    assert np.all(np.isfinite(dx))
    assert np.isfinite(dp)


@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 100, np.inf])
def test_nothing_has_a_gradient_where_all_is_zero(p, norm):
    x = np.zeros((2, 3, 4, 4), np.float32)
    y, saved = cpool.lp_pool.forward(x, 2, p=p, norm=norm)
    dx, dp = cpool.lp_pool.backward(np.ones_like(y), saved)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(dx, 0)
    assert dp == 0


@pytest.mark.parametrize("name", [*SELECTING, "avg_pool", "lp_pool", "l2_pool"])
def test_empty_windows(name):
    x = np.array([[[5.0]], [[-3.0]]])
    y, saved = getattr(cpool, name).forward(x, (1, 2), stride=1, dilation=2, padding=((0, 0), (1, 1)))
    np.testing.assert_array_equal(y, {"max_pool": -np.inf, "min_pool": np.inf}.get(name, 0))
    if name in SELECTING:
        np.testing.assert_array_equal(saved.indices, -1)
    np.testing.assert_array_equal(getattr(cpool, name).backward(np.ones_like(y), saved, wrt="x"), 0)


@pytest.mark.parametrize("arguments", [{"count_include_pad": True}, {"divisor_override": 4}], ids=str)
def test_empty_windows_of_averages(arguments):
    y, saved = cpool.avg_pool.forward(np.array([5.0]), (2,), stride=1, dilation=2, padding=1, **arguments)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(cpool.avg_pool.backward(np.ones_like(y), saved), 0)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty_batches(shape):
    x = np.zeros(shape, np.float32)
    y, saved = cpool.lp_pool.forward(x, 2, p=np.full(shape[1], 2.0))
    dx, dp = cpool.lp_pool.backward(y, saved)
    assert dx.shape == shape
    np.testing.assert_array_equal(dp, np.zeros(shape[1]))
    y, saved = cpool.lp_pool.forward(x, 2, p=3.0)
    assert cpool.lp_pool.backward(y, saved).p == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 100])
@pytest.mark.parametrize("ratio", [0, 1, 4, 2**8, 2**20, 2**40], ids=lambda ratio: f"eps*{ratio}")
def test_exponent_of_nearly_equal_or_lonely_elements(dtype, norm, p, ratio):
    """dp is small here against its parts: where the elements agree, and where all but one hardly count."""
    step = ratio * np.finfo(dtype).eps
    layout = Layout((), None, (0, 1))
    for window in ([1 + step, 1, 1, 1], [1, step, 0, 0], [step, 1, step, 1]):
        x = np.array(window, dtype).reshape(2, 2)
        case = Case(x, layout, None)
        y, saved = cpool.lp_pool.forward(case.x, 2, p=p, norm=norm)
        windows = ref.Windows.sliding((2, 2), (2, 2))
        _, expected = ref.lp_grad(x[None], np.ones_like(y)[None], windows, p, norm == "mean")
        check(np.atleast_1d(cpool.lp_pool.backward(np.ones_like(y), saved).p), expected, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_overwrite(dtype):
    x = data("normal", 0, (2, 3, 5, 5), dtype)
    for op in (cpool.max_pool, cpool.avg_pool, cpool.lp_pool):
        y, saved = op.forward(x, 2)
        out = np.full_like(x, np.nan)
        op.backward(y, saved, wrt="x", out=out)
        assert np.all(np.isfinite(out))
        np.testing.assert_array_equal(out[..., 4], 0)  # no window reaches there


@pytest.mark.parametrize("p", [1e-3, 1e-5, 1e-8, 1e-12])
def test_gradient_of_a_small_exponent(p):
    """The mean form approaches the geometric mean, and its derivative half of that times the variance of the logarithms."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    y, saved = cpool.lp_pool.forward(x, 2, p=p, norm="mean")
    limit = np.exp(np.log(x).mean()) * np.log(x).var() / 2
    gradient = cpool.lp_pool.backward(np.ones_like(y), saved).p
    assert abs(gradient - limit) < limit * (p + 1e-15 / p)  # how far p is from 0, and the rounding of the mean before its root
