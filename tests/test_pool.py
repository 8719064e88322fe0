"""Values and indices of every operator against the reference, in every layout, and the manners of the calls."""

import pickle

import numpy as np
import pytest
import reference as ref
from cases import FINITE, MEMORY, cases, data, exponents
from hypothesis import given
from hypothesis import strategies as st

import cpool

SELECTING = ["max_pool", "min_pool"]
WINDOW_OPERATORS = [*SELECTING, "avg_pool", "lp_pool", "l2_pool", "soft_pool", "mixed_pool"]


def same_bits(a, b):
    """Whether a and b are the same numbers, -0 differing from +0 and NaN being NaN."""
    same = (a == b) & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.all(same))


def check(actual, expected, dtype):
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.shape == expected.value.shape
    excess = expected.excess(actual)
    if np.any(excess):
        at = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(
            f"at {tuple(map(int, at))}: {actual[at]!r}, should be {expected.value[at]!r} within {expected.bound[at]!r}"
        )


def check_call(op, case, **arguments):
    """The call and `forward` agree in every layout; return the result of `forward`."""
    before = case.x.copy()
    y, saved = op.forward(case.x, case.window, **case.kwargs, **arguments)
    assert same_bits(op(case.x, case.window, **case.kwargs, **arguments), y)
    assert op.output_shape(case.x.shape, case.window, **case.kwargs) == y.shape == case.y_shape
    assert same_bits(case.x, before)
    if case.x.size:
        # Parameters go along no axis here: those per channel become one plane after the other.
        canonical = case.canonical()
        if np.ndim(arguments.get("p")):
            arguments |= {"p": case.per_plane(arguments["p"])}
            canonical.layout.kwargs["channel_axis"] = 0
        planes = op(canonical.x, canonical.window, **canonical.kwargs, **arguments)
        assert same_bits(np.ascontiguousarray(case.layout.planes(y)), planes)
        one = op(canonical.x[-1:], canonical.window, **canonical.kwargs, **_last(arguments))
        assert same_bits(one, planes[-1:])
    return y, saved


def _last(arguments):
    return arguments | {"p": arguments["p"][-1:]} if np.ndim(arguments.get("p")) else arguments


# ---- Against the reference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTING)
@given(cases())
def test_selecting(name, case):
    y, saved = check_call(getattr(cpool, name), case)
    values, indices, _ = getattr(ref, name)(case.planes, case.windows)
    assert same_bits(y, case.restore(values))
    assert saved.indices.dtype == np.int64
    np.testing.assert_array_equal(saved.indices, case.restore(indices))


@given(cases(), st.booleans(), st.sampled_from([None, None, None, 3, -2, 2.5]))
def test_average(case, count_include_pad, divisor):
    arguments = {}
    if count_include_pad:
        arguments["count_include_pad"] = True
    if divisor is not None:
        arguments["divisor_override"] = divisor
    y, _ = check_call(cpool.avg_pool, case, **arguments)
    check(y, case.restore(ref.avg_pool(case.planes, case.windows, count_include_pad, divisor)), case.x.dtype)


@given(st.data(), cases([*FINITE, "nan"]), st.sampled_from(["sum", "mean"]))
def test_power(source, case, norm):
    p = source.draw(exponents(case))
    y, _ = check_call(cpool.lp_pool, case, p=p, norm=norm)
    check(y, case.restore(ref.lp_pool(case.planes, case.windows, case.per_plane(p), norm == "mean")), case.x.dtype)


@given(cases(FINITE))
def test_root_mean_square(case):
    y, _ = check_call(cpool.l2_pool, case)
    check(y, case.restore(ref.lp_pool(case.planes, case.windows, 2, mean=True)), case.x.dtype)
    assert same_bits(y, cpool.lp_pool(case.x, case.window, **case.kwargs, p=2.0, norm="mean"))


@pytest.mark.parametrize("far", [1e-16, 1e16, 1e-30, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("kwargs", [{"stride": 2, "padding": 1}, {"stride": 1}])
def test_squares_that_float_does_not_hold(far, norm, kwargs):
    """They are summed in double, those of other windows in float: what these give does not change."""
    x = np.random.default_rng(0).normal(size=(2, 3, 11, 40)).astype(np.float32)
    x[0] *= np.random.default_rng(1).random(x[0].shape) < 0.3
    far_x = x.copy()
    far_x[..., :2, :2] = far
    y = cpool.lp_pool(x, 3, p=2, norm=norm, **kwargs)
    for isa in cpool.isas():
        with cpool.using_isa(isa):
            far_y = cpool.lp_pool(far_x, 3, p=2, norm=norm, **kwargs)
            last = cpool.lp_pool(np.moveaxis(far_x, 1, -1).copy(), 3, p=2, norm=norm, axes=(1, 2), **kwargs)
        assert same_bits(far_y[..., 2:, :], y[..., 2:, :]) and same_bits(far_y[..., 2:], y[..., 2:])
        assert same_bits(np.moveaxis(last, -1, 1), far_y)
    expected = cpool.lp_pool(far_x.astype(np.float64), 3, p=2, norm=norm, **kwargs)
    np.testing.assert_allclose(far_y, expected, rtol=16 * 2.0**-24)


@st.composite
def unpoolings(draw):
    """A case whose windows only give the rank, indices for its x, and the size of the result."""
    case = draw(cases(empty=True))
    seed, size = draw(st.integers(0, 2**32 - 1)), tuple(draw(st.integers(1, 6)) for _ in case.layout.spatial)
    indices = np.random.default_rng(seed).integers(-1, np.prod(size), case.x.shape)
    return case, MEMORY[draw(st.sampled_from(["C", "Fortran", "sliced", "reversed"]))](indices), size


@given(unpoolings(), st.sampled_from(["overwrite", "add"]))
def test_unpooling(unpooling, duplicates):
    case, indices, size = unpooling
    window = (2,) * len(size)
    kwargs = case.layout.kwargs | {"output_size": size}
    if duplicates == "add":
        kwargs["duplicates"] = "add"
    y, saved = cpool.max_unpool.forward(case.x, indices, window, **kwargs)
    assert same_bits(cpool.max_unpool(case.x, indices, window, **kwargs), y)
    with np.errstate(invalid="ignore"):
        expected = ref.max_unpool(case.planes, case.layout.planes(indices), size, duplicates)
    check(y, case.restore(expected), case.x.dtype)
    dy = np.random.default_rng(0).normal(size=y.shape).astype(y.dtype)
    dx = cpool.max_unpool.backward(dy, saved)
    assert dx.dtype == case.x.dtype
    np.testing.assert_array_equal(
        dx, case.restore(ref.unpool_grad(case.layout.planes(dy), case.layout.planes(indices), duplicates))
    )


@given(cases(["normal", "ties", "positive"], empty=False).filter(lambda case: isinstance(case.window, (int, tuple))))
def test_unpooling_undoes_pooling(case):
    y, saved = cpool.max_pool.forward(case.x, case.window, **case.kwargs)
    spatial = case.windows.spatial
    z = cpool.max_unpool(y, saved.indices, (1,) * len(spatial), output_size=spatial, **case.layout.kwargs)
    selected = z != 0
    assert z.shape == case.x.shape
    np.testing.assert_array_equal(z[selected], case.x[selected])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spatial", [(5003,), (70, 71), (17, 18, 19), (1, 6000)], ids=str)
@pytest.mark.parametrize("sliding", [False, True], ids=["whole", "sliding"])
@pytest.mark.parametrize("kind", ["normal", "positive", "stress", "large", "nan"])
def test_windows_of_thousands(dtype, spatial, sliding, kind):
    rank = len(spatial)
    x = data(kind, 7, (2, *spatial), dtype)
    kernel = tuple(max(1, n - 1) for n in spatial)
    window = kernel if sliding else cpool.whole
    kwargs = {"axes": tuple(range(1, rank + 1))} | ({"stride": 1} if sliding else {})
    windows = ref.Windows.sliding(spatial, kernel, (1,) * rank) if sliding else ref.Windows.whole(spatial)
    values, indices, _ = ref.max_pool(x, windows)
    y, saved = cpool.max_pool.forward(x, window, **kwargs)
    assert same_bits(y, values)
    np.testing.assert_array_equal(saved.indices, indices)
    for axis in range(1, rank + 2):  # the same with the batch axis elsewhere
        moved = np.ascontiguousarray(np.moveaxis(x, 0, axis - 1))
        spatial_axes = {"axes": tuple(a for a in range(rank + 1) if a != axis - 1)}
        for name, expected, arguments in [
            ("avg_pool", ref.avg_pool(x, windows), {}),
            ("lp_pool", ref.lp_pool(x, windows, 2), {"p": 2}),
            ("lp_pool", ref.lp_pool(x, windows, 3, mean=True), {"p": 3, "norm": "mean"}),
        ]:
            y = getattr(cpool, name)(moved, window, **(kwargs | spatial_axes | arguments))
            check(np.moveaxis(y, axis - 1, 0), expected, dtype)


LARGE_WINDOWS = [  # planes, window, stride, padding
    ((41, 37), (9, 6), (1, 1), (4, 3)),
    ((7, 70), (5, 13), (1, 1), (2, 6)),
    ((70, 33), (16, 5), (3, 1), (8, 2)),
    ((3, 130), (2, 80), (1, 1), (1, 40)),
    ((90, 40), (70, 2), (2, 1), (35, 1)),
    ((5, 2100), (5, 5), (2, 1), (2, 2)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["wide", "ties", "equal", "-inf", "nan and inf"])
@pytest.mark.parametrize(("spatial", "window", "stride", "padding"), LARGE_WINDOWS, ids=str)
def test_large_windows(spatial, window, stride, padding, kind, dtype):
    """Rows of many results, of which neighbouring windows share most of what they hold."""
    x = data(kind, 11, (2, 3, *spatial), dtype)
    if kind != "equal":
        x[:, :, : window[0], : window[1]] = -np.inf  # selections whose only elements are that, and the padding's
    windows = ref.Windows.sliding(spatial, window, stride, [(p, p) for p in padding])
    planes = x.reshape(6, *spatial)
    expected, indices, _ = ref.max_pool(planes, windows)
    kwargs = {"stride": stride, "padding": padding}
    mean = cpool.avg_pool(planes, window, **kwargs)
    check(mean, ref.avg_pool(planes, windows), dtype)
    for isa in cpool.isas():
        with cpool.using_isa(isa):
            for last in (False, True):
                a = np.moveaxis(x, 1, -1).copy() if last else x
                axes = (1, 2) if last else (2, 3)

                def planes_of(y, last=last):
                    y = np.moveaxis(y, -1, 1) if last else y
                    return np.ascontiguousarray(y.reshape(6, *y.shape[2:]))

                y, saved = cpool.max_pool.forward(a, window, axes=axes, **kwargs)
                assert same_bits(planes_of(y), expected)
                assert same_bits(planes_of(cpool.max_pool(a, window, axes=axes, **kwargs)), expected)
                np.testing.assert_array_equal(planes_of(saved.indices), indices)
                assert same_bits(planes_of(cpool.avg_pool(a, window, axes=axes, **kwargs)), mean)


# ---- The short names -------------------------------------------------------------------------------------------------


@given(cases(empty=False))
def test_short_names(case):
    axes = case.layout.spatial
    for name, op in [("max", cpool.max_pool), ("avg", cpool.avg_pool)]:
        y = getattr(cpool, f"global_{name}_pool")(case.x, axes)
        assert same_bits(y, op(case.x, cpool.whole, axes=axes))
        sizes = case.windows.shape
        y = getattr(cpool, f"adaptive_{name}_pool")(case.x, sizes, axes)
        assert same_bits(y, op(case.x, cpool.adaptive(*sizes), axes=axes))


def test_short_names_without_axes():
    x = data("normal", 0, (2, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(cpool.global_max_pool(x), x.max(axis=(2, 3), keepdims=True))
    np.testing.assert_allclose(cpool.global_avg_pool(x), x.mean(axis=(2, 3), keepdims=True), rtol=1e-5)
    assert cpool.adaptive_max_pool(x, (2, 3)).shape == (2, 3, 2, 3)
    assert cpool.adaptive_avg_pool(x, (2, 3)).shape == (2, 3, 2, 3)


# ---- Arguments and results -------------------------------------------------------------------------------------------


def _outputs(shape, dtype):
    yield np.full(shape, 7, dtype)
    yield np.full([2 * n for n in shape], 7, dtype)[tuple(slice(None, None, 2) for _ in shape)]
    yield np.full(shape, 7, dtype)[tuple(slice(None, None, -1) for _ in shape)]
    yield np.full(shape[::-1], 7, dtype).T


@pytest.mark.parametrize("name", WINDOW_OPERATORS)
@given(cases(["normal", "ties", "zeros"]))
def test_out(name, case):
    op = getattr(cpool, name)
    y, saved = op.forward(case.x, case.window, **case.kwargs)
    dy = case.gradient()
    dx = op.backward(dy, saved, wrt="x")
    for out in _outputs(y.shape, y.dtype):
        assert op(case.x, case.window, **case.kwargs, out=out) is out
        assert same_bits(out, y)
        out[...] = 7
        again, _ = op.forward(case.x, case.window, **case.kwargs, out=(out,))
        assert again is out
        assert same_bits(out, y)
    for out in _outputs(dx.shape, dx.dtype):
        assert op.backward(dy, saved, wrt="x", out=out) is out
        assert same_bits(out, dx)


def test_out_leaves_what_lies_between():
    x = data("normal", 0, (2, 3, 8, 8), np.float32)
    everything = np.full((2, 3, 8, 9), 7, np.float32)
    cpool.max_pool(x, 2, out=everything[:, :, ::2, 1::2])
    np.testing.assert_array_equal(everything[:, :, 1::2], 7)
    np.testing.assert_array_equal(everything[..., ::2], 7)


def test_out_of_unpooling():
    x = np.array([[[4.0, 5.0], [6.0, 4.0]]])
    indices = np.array([[[4, 2], [13, 15]]])
    y, saved = cpool.max_unpool.forward(x, indices, (2, 2))
    for out in _outputs(y.shape, y.dtype):
        assert cpool.max_unpool(x, indices, (2, 2), out=out) is out
        assert same_bits(out, y)
    for out in _outputs(x.shape, x.dtype):
        assert cpool.max_unpool.backward(y, saved, out=out) is out
        assert same_bits(out, x)


@pytest.mark.parametrize("name", WINDOW_OPERATORS)
def test_lists_are_arrays(name):
    op = getattr(cpool, name)
    x = [[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]]
    y = op(x, 2)
    assert y.dtype == np.float64
    assert same_bits(y, op(np.array(x), 2))
    y, saved = op.forward(x, 2)
    assert same_bits(op.backward(y.tolist(), saved, wrt="x"), op.backward(y, saved, wrt="x"))


@pytest.mark.parametrize("name", WINDOW_OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swapped_bytes_are_read(name, dtype):
    x = data("normal", 0, (2, 3, 5, 5), dtype)
    assert same_bits(getattr(cpool, name)(x.astype(x.dtype.newbyteorder()), 2), getattr(cpool, name)(x, 2))


def test_indices_are_read_as_lists():
    assert cpool.max_unpool([[4.0, 5.0]], [[4, 2]], (1, 2), output_size=(2, 4)).tolist() == [[0, 0, 5, 0], [4, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mixed_exponents(dtype):
    x = data("normal", 3, (2, 2, 4, 4), dtype)
    y = cpool.lp_pool(x, 2, p=[2, np.inf])
    check(y[:, 0], ref.lp_pool(x[:, 0], ref.Windows.sliding((4, 4), (2, 2)), 2), dtype)
    assert same_bits(y[:, 1], cpool.max_pool(np.abs(x[:, 1]), (2, 2)))


@pytest.mark.parametrize("p", [2, 2.0, np.float32(2), np.float64(2), np.array(2.0), [2.0], np.array([2.0] * 3, np.float32)])
def test_forms_of_an_exponent(p):
    x = data("normal", 3, (2, 3, 4, 4), np.float32)
    assert same_bits(cpool.lp_pool(x, 2, p=p), cpool.lp_pool(x, 2))


def test_one_element_windows():
    x = data("wide", 5, (2, 3, 4, 4), np.float32)
    for op in (cpool.max_pool, cpool.min_pool, cpool.avg_pool):
        assert same_bits(op(x, 1), x + 0)
    for p in (0.5, 1, 2, 3, 100, np.inf):
        y = cpool.lp_pool(x, 1, p=p)
        assert np.all(np.abs(y - np.abs(x)) <= 16 * 2.0**-24 * max(1, 1 / p) * np.abs(x))


@pytest.mark.parametrize("indices", [[[0, 4]], [[-2, 0]], [[2**62, 0]]])
def test_unpooling_refuses_indices_outside(indices):
    out = np.full((1, 4), 7.0)
    with pytest.raises(ValueError, match="ind"):
        cpool.max_unpool(np.ones((1, 2)), indices, (1, 2), out=out)
    np.testing.assert_array_equal(out, 7)


@pytest.mark.parametrize("p", [0, -1, np.nan, -np.inf, [2, 0, 1]])
def test_exponents_are_positive(p):
    with pytest.raises(ValueError, match="p"):
        cpool.lp_pool(np.ones((1, 3, 4, 4)), 2, p=p)


# ---- What forward saves ----------------------------------------------------------------------------------------------


def _saved(name, x):
    return getattr(cpool, name).forward(x, 2, stride=1, padding=1)[1]


@pytest.mark.parametrize("name", WINDOW_OPERATORS)
def test_saved(name):
    op = getattr(cpool, name)
    x = data("normal", 1, (2, 3, 5, 5), np.float32)
    saved = _saved(name, x)
    assert saved.op is op
    assert isinstance(saved.nbytes, int)
    assert saved.nbytes >= 0
    dy = data("normal", 2, (2, 3, 6, 6), np.float32)
    dx = op.backward(dy, saved, wrt="x")
    assert same_bits(op.backward(dy, pickle.loads(pickle.dumps(saved)), wrt="x"), dx)
    for attribute in ("op", "nbytes", "indices", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(saved, attribute, None)
    assert same_bits(op.backward(dy, saved, wrt="x"), dx)


@pytest.mark.parametrize("name", SELECTING)
def test_saved_indices_are_safe(name):
    x = data("normal", 1, (2, 3, 5, 5), np.float32)
    saved = _saved(name, x)
    before = saved.indices.copy()
    if saved.indices.flags.writeable:
        saved.indices[...] = 0
    np.testing.assert_array_equal(saved.indices, before)
    x[...] = 0
    dx = getattr(cpool, name).backward(np.ones((2, 3, 6, 6), np.float32), saved)
    assert dx.sum() == 2 * 3 * 6 * 6


def test_saved_keeps_little():
    x = data("normal", 1, (2, 3, 40, 40), np.float32)
    assert cpool.max_pool.forward(x, 2)[1].nbytes < x.nbytes / 8
    assert cpool.avg_pool.forward(x, 2)[1].nbytes < x.nbytes / 8


def test_wrt():
    x = data("normal", 1, (2, 3, 4, 4), np.float32)
    dy = data("normal", 2, (2, 3, 2, 2), np.float32)
    _, saved = cpool.lp_pool.forward(x, 2, p=np.array([1.5, 2, 3], np.float32))
    both = cpool.lp_pool.backward(dy, saved)
    assert both._fields == ("x", "p")
    assert both.x.dtype == both.p.dtype == np.float32
    assert both.p.shape == (3,)
    assert same_bits(cpool.lp_pool.backward(dy, saved, wrt="x"), both.x)
    assert same_bits(cpool.lp_pool.backward(dy, saved, wrt="p"), both.p)
    chosen = cpool.lp_pool.backward(dy, saved, wrt=("x", "p"))
    assert same_bits(chosen.x, both.x)
    assert same_bits(chosen.p, both.p)
    assert same_bits(cpool.lp_pool.backward(dy, saved, wrt=("p",)).p, both.p)
    out = np.empty_like(x)
    assert cpool.lp_pool.backward(dy, saved, out=out).x is out
    assert same_bits(out, both.x)
    with pytest.raises(ValueError, match="wrt"):
        cpool.lp_pool.backward(dy, saved, wrt="q")


@pytest.mark.parametrize("name", ["max_pool", "min_pool", "avg_pool", "l2_pool"])
def test_wrt_with_one_gradient(name):
    op = getattr(cpool, name)
    x = data("normal", 1, (2, 3, 4, 4), np.float32)
    y, saved = op.forward(x, 2)
    dx = op.backward(y, saved)
    assert type(dx) is np.ndarray
    assert same_bits(op.backward(y, saved, wrt="x"), dx)


@pytest.mark.parametrize(
    ("p", "dtype", "shape"),
    [
        (2, np.float64, ()),
        (2.5, np.float64, ()),
        (np.float32(2.5), np.float32, ()),
        (np.array(2.5, np.float32), np.float32, ()),
        (np.array([2.5], np.float32), np.float32, (1,)),
        (np.array([2.5, 2, 1]), np.float64, (3,)),
        ([2.5, 2, 1], np.float64, (3,)),
        (np.array([2.5, 2, 1], np.float32), np.float32, (3,)),
    ],
)
def test_gradient_of_p_is_like_p(p, dtype, shape):
    x = data("positive", 1, (2, 3, 4, 4), np.float32)
    y, saved = cpool.lp_pool.forward(x, 2, p=p)
    dp = cpool.lp_pool.backward(y, saved).p
    assert dp.dtype == dtype
    assert dp.shape == shape
    if isinstance(p, (int, float)):
        assert type(dp) is np.float64
