"""Detail-preserving pooling: numbers by hand, the formula within its bounds, differences, and bad inputs. Its bits are with
those of the other operators of the literature."""

import pickle
from itertools import product

import capi
import numpy as np
import pytest
import reference as ref
from cases import cases, data
from hypothesis import given
from hypothesis import strategies as st
from test_examples import X, rows
from test_grad import GEOMETRIES as SMALL
from test_grad import distinct
from test_literature import differences
from test_pool import check, same_bits

import cpool

DTYPES = [np.float32, np.float64]

# ---- By hand ---------------------------------------------------------------------------------------------------------

FILTER = np.array([[[0, 0, 0], [0, 0.5, 0.25], [0, 0.25, 0]]])
EXAMPLES = {
    "box": ({}, "1.964189 2.964189; 2.333304 .889159", {
        "alpha": -0.084354, "lam": 0.375357, "x": rows(
            ".137711 -.065979 .504950 -.065979; .504950 .423318 .423318 .137711; .361095 -.027740 .006154 .006154;"
            ".194441 .472204 .537078 .450613")}),
    "asymmetric": ({"symmetric": False}, "2.855462 3.855462; 4.384371 2.700042", {"alpha": -4.154689, "lam": 3.408474}),
    "mean": ({"normalize": "mean"}, "1.938397 2.938397; 2.258421 1.016005", {"alpha": -0.091535, "lam": 0.333166}),
    "filter": ({"filter": FILTER, "filter_padding": 1}, "1.786637 2.500108; 3.790882 1.300060", {
        "alpha": -0.412785, "lam": 1.250093,
        "filter": [rows("0 -4.061889 -1.479572; -3.219232 -3.829237 -6.831972; -4.438717 -1.742390 -8.942172")]}),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example):
    arguments, y, gradients = EXAMPLES[example]
    actual, saved = cpool.dpp_pool.forward(X, 2, alpha=0.5, lam=1.0, **arguments)
    np.testing.assert_allclose(actual, rows(y), rtol=0, atol=5.01e-7)
    found = cpool.dpp_pool.backward(np.ones_like(actual), saved)
    for name, value in gradients.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=0, atol=5.01e-7)
    centred = {key: value for key, value in arguments.items() if key != "filter_padding"}
    assert same_bits(cpool.dpp_pool(X, 2, alpha=0.5, lam=1.0, **centred), actual)


def test_known_relations():
    x = data("normal", 4, (2, 3, 6, 6), np.float64)
    near = {"rtol": 1e-14, "atol": 1e-15}
    np.testing.assert_allclose(cpool.dpp_pool(x, 2, alpha=0.7, lam=0.0), cpool.avg_pool(x, 2), **near)
    plain = cpool.dpp_pool(x, 2, alpha=0.7, lam=1.5)
    given = cpool.dpp_pool(x, 2, alpha=0.7, lam=1.5, reference=cpool.avg_pool(x, 2))
    box = cpool.dpp_pool(x, 2, alpha=0.7, lam=1.5, filter=np.full((1, 2, 2), 0.25), filter_padding=0)
    np.testing.assert_allclose(given, plain, rtol=1e-12)
    np.testing.assert_allclose(box, plain, rtol=1e-12)
    np.testing.assert_allclose(cpool.dpp_pool(x, 2, alpha=0.0, lam=1e6, symmetric=False), cpool.max_pool(x, 2), rtol=1e-12)


# ---- Any call --------------------------------------------------------------------------------------------------------

MODERATE = ["normal", "positive", "ties", "close", "zeros", "zero", "equal"]  # up to 100 in magnitude, as the bounds are


class Use:
    """Arguments for a case, as the library and as the reference take them."""

    def __init__(self, source, case):
        draw, rng = source.draw, np.random.default_rng(source.draw(st.integers(0, 2**32 - 1)))
        self.case, dtype, windows = case, case.x.dtype, case.windows
        channels = case.channels
        kind = draw(st.sampled_from([np.float64, dtype]))

        def parameter(values):
            if channels is not None and draw(st.booleans()):
                return rng.choice(values, channels).astype(kind)
            return float(draw(st.sampled_from(values)))

        self.arguments = {"alpha": parameter([0.0, 0.5, 1.0, 3.0]), "lam": parameter([0.0, 0.5, 1.0, 2.0, 8.0]),
                          "symmetric": draw(st.booleans()), "normalize": draw(st.sampled_from(["none", "mean", "sum"])),
                          "eps2": draw(st.sampled_from([1e-3, 0.5]))}
        plain = {key: self.arguments[key] for key in ("symmetric", "normalize", "eps2")}
        sliding = isinstance(case.window, (int, tuple))
        way = draw(st.sampled_from(["box", "given", *["filter"] * 2 * sliding]))
        if way == "given":
            self.arguments["reference"] = rng.normal(size=case.y_shape).astype(dtype)
            planes = case.layout.planes(self.arguments["reference"])
            plain["reference"] = planes.reshape(len(case.planes), len(windows.positions))
        elif way == "filter":
            rank = len(case.layout.spatial)
            sizes = tuple(draw(st.integers(1, 4)) for _ in range(rank))
            rows_of = channels if channels is not None and draw(st.booleans()) else 1
            self.arguments["filter"] = (rng.normal(size=(rows_of, *sizes)) / 2).astype(kind)
            self.arguments["bias"] = draw(st.sampled_from([None, 0.25])) if draw(st.booleans()) else parameter([0.5, -1.0])
            kernel = case.window if isinstance(case.window, tuple) else (case.window,) * rank
            stride = case.kwargs.get("stride", kernel)
            stride = stride if isinstance(stride, tuple) else (stride,) * rank
            plain["filter_windows"] = ref.Windows.filter(
                case.windows.spatial, windows.shape, sizes, stride, [(k - 1) // 2 for k in sizes])
            plain["filter"] = self.rows(self.arguments["filter"].reshape(rows_of, int(np.prod(sizes))))
            plain["bias"] = 0.0 if self.arguments["bias"] is None else case.per_plane(self.arguments["bias"])
        self.detail = ref.Detail(case.per_plane(self.arguments["alpha"]), case.per_plane(self.arguments["lam"]), **plain)

    def rows(self, a):
        count = len(self.case.planes)
        return np.tile(a, (count // len(a), 1)) if len(a) > 1 else a

    def shared(self, name, gradient):
        """What the reference says of each plane, summed as the parameter is shared."""
        value = self.arguments[name]
        if np.ndim(value) == 0 or np.shape(value)[0] == 1:
            return ref.share(gradient, None).reshape(*(np.shape(value) or (1,)))
        return ref.share(gradient, len(value)).reshape(*np.shape(value))


@given(st.data())
def test_values(source):
    u = Use(source, source.draw(cases([*MODERATE, "nan"])))
    case = u.case
    y, saved = cpool.dpp_pool.forward(case.x, case.window, **case.kwargs, **u.arguments)
    with np.errstate(invalid="ignore"):
        check(y, case.restore(ref.dpp_pool(case.planes, case.windows, u.detail)), case.x.dtype)
    assert same_bits(cpool.dpp_pool(case.x, case.window, **case.kwargs, **u.arguments), y)
    assert cpool.dpp_pool.output_shape(case.x.shape, case.window, **case.kwargs) == y.shape
    assert saved.op is cpool.dpp_pool


@given(st.data())
def test_gradients(source):
    u = Use(source, source.draw(cases(MODERATE)))
    case, dy = u.case, u.case.gradient()
    _, saved = cpool.dpp_pool.forward(case.x, case.window, **case.kwargs, **u.arguments)
    gradients = cpool.dpp_pool.backward(dy, saved)
    expected = ref.dpp_grad(case.planes, case.layout.planes(dy), case.windows, u.detail)
    spatial, shape = case.windows.spatial, case.windows.shape
    check(gradients.x, case.restore(expected["x"].reshape(len(case.planes), *spatial)), case.x.dtype)
    for name in ("alpha", "lam", "filter", "bias"):
        value, gradient = u.arguments.get(name), getattr(gradients, name)
        if value is None:
            assert gradient is None
        else:
            check(np.atleast_1d(gradient), u.shared(name, expected[name]), np.asarray(value).dtype)
            assert np.shape(gradient) == np.shape(value)
        if value is not None:
            assert same_bits(np.asarray(cpool.dpp_pool.backward(dy, saved, wrt=name)), np.asarray(gradient))
    if "reference" in u.arguments:
        check(gradients.reference, case.restore(expected["reference"].reshape(len(case.planes), *shape)), case.x.dtype)
    assert same_bits(cpool.dpp_pool.backward(dy, saved, wrt="x"), gradients.x)


@pytest.mark.parametrize(("size", "window", "stride", "filter_size", "before"), [
    (5, 2, 2, 2, 0), (6, 2, 3, 2, 0), (8, 3, 2, 2, 0), (5, 2, 2, 3, 1)])
def test_filter_padding_and_ceil_mode(size, window, stride, filter_size, before):
    """The filter's windows go beyond the input's end as those of the box do, and like them never begin there."""
    rng = np.random.default_rng(0)
    x, factors = rng.normal(size=(3, size, size)), rng.normal(size=(1, filter_size, filter_size))
    named = {"stride": stride, "ceil_mode": True, "filter": factors, "filter_padding": ((before, 0), (before, 0))}
    y, saved = cpool.dpp_pool.forward(x, (window, window), alpha=0.5, lam=1.0, **named)
    windows = ref.Windows.sliding((size, size), (window,) * 2, (stride,) * 2, ceil=True)
    read = ref.Windows.filter((size, size), windows.shape, factors.shape[1:], (stride,) * 2, (before,) * 2)
    detail = ref.Detail(np.full(3, 0.5), np.full(3, 1.0), filter=factors.reshape(1, -1).repeat(3, axis=0), filter_windows=read)
    check(y, ref.dpp_pool(x, windows, detail).reshape(*y.shape), x.dtype)
    dy = rng.normal(size=y.shape)
    expected = ref.dpp_grad(x, dy, windows, detail)["x"]
    check(cpool.dpp_pool.backward(dy, saved).x, expected.reshape(*x.shape), x.dtype)


# ---- Differences -----------------------------------------------------------------------------------------------------

WAYS = ["box", "filter", "given"]


def inputs_of(way, x, y_shape, rank, rng):
    inputs = {"alpha": rng.uniform(0.2, 1, x.shape[-rank - 1]), "lam": rng.uniform(0.5, 3, x.shape[-rank - 1])}
    if way == "filter":
        inputs |= {"filter": rng.normal(size=(x.shape[-rank - 1], *(3, 2, 3)[:rank])) / 2,
                   "bias": rng.normal(size=x.shape[-rank - 1])}
    elif way == "given":
        inputs |= {"reference": rng.normal(size=y_shape).astype(x.dtype)}
    return inputs


@pytest.mark.parametrize("normalize", ["none", "mean", "sum"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("geometry", SMALL)
def test_differences(geometry, way, symmetric, normalize):
    spatial, window, kwargs = SMALL[geometry]
    if way == "filter" and not isinstance(window, tuple):
        return  # windows of one size only
    rng = np.random.default_rng(3)
    x = distinct((3, *spatial))
    y_shape = cpool.max_pool.output_shape(x.shape, window, **kwargs)
    inputs = {"x": x} | inputs_of(way, x, y_shape, len(spatial), rng)
    named = kwargs | {"symmetric": symmetric, "normalize": normalize, "eps2": 0.05}
    dy = rng.normal(size=y_shape)

    def call(values):
        return cpool.dpp_pool.forward(values["x"], window, **named, **{k: v for k, v in values.items() if k != "x"})

    _, saved = call(inputs)
    gradients = cpool.dpp_pool.backward(dy, saved)
    for name, value in inputs.items():
        def loss(v, name=name):
            return (call(inputs | {name: v})[0] * dy).sum()

        np.testing.assert_allclose(getattr(gradients, name), differences(loss, value), rtol=2e-5, atol=2e-6, err_msg=name)


# ---- Stress ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "wide"])
@pytest.mark.parametrize(("alpha", "lam"), [(0.0, 0.0), (0.0, 8.0), (1e300, 1.0), (1e-300, 400.0), (0.0, 1e300), (1.0, 1e5)])
def test_anything_finite(dtype, kind, alpha, lam):
    x = data(kind, 3, (2, 3, 6, 6), dtype)
    blocks = x.reshape(2, 3, 3, 2, 3, 2)
    for symmetric, normalize in product([True, False], ["none", "mean", "sum"]):
        y = cpool.dpp_pool(x, 2, alpha=alpha, lam=lam, symmetric=symmetric, normalize=normalize)
        assert np.isfinite(y).all()
        slack = 4 * np.finfo(dtype).eps * np.abs(blocks).max(axis=(3, 5)) + np.finfo(dtype).smallest_subnormal
        assert (y <= blocks.max(axis=(3, 5)) + slack).all() and (y >= blocks.min(axis=(3, 5)) - slack).all()
    np.testing.assert_allclose(cpool.dpp_pool(x, 1, alpha=0.5, lam=1.0), x, rtol=2 * np.finfo(dtype).eps)


# Powers that need no exponent of their own, some that do, and beside them what is no number: rows of the former are quicker.
@pytest.mark.parametrize("far", [1e3, 1e20, 3e38, 1e-38, np.inf, np.nan])
@pytest.mark.parametrize("lam", [0.0, 1.5, 40.0, 1e5])
@pytest.mark.parametrize("way", WAYS)
def test_a_far_element_changes_no_other_window(way, lam, far):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 9, 40)).astype(np.float32)
    dy = rng.normal(size=(2, 3, 5, 20)).astype(np.float32)
    inputs = inputs_of(way, x, dy.shape, 2, rng) | {"lam": lam}
    far_x = x.copy()
    far_x[..., 0, 0] = far

    def pool(x, how, channels_last=False):
        given, up, named = dict(inputs), dy, {}
        if channels_last:
            x, up, named = np.moveaxis(x, 1, -1), np.moveaxis(dy, 1, -1), {"axes": (1, 2)}
            given |= {"reference": np.moveaxis(inputs["reference"], 1, -1)} if way == "given" else {}
        y, saved = cpool.dpp_pool.forward(x, 3, stride=2, padding=1, **how, **named, **given)
        dx = cpool.dpp_pool.backward(up, saved, wrt="x")
        return [np.moveaxis(a, -1, 1) if channels_last else a for a in (y, dx)]

    for symmetric, normalize in product([True, False], ["none", "mean", "sum"]):
        how = {"symmetric": symmetric, "normalize": normalize}
        y, dx = pool(x, how)
        far_y, far_dx = pool(far_x, how)
        for rest in (np.s_[..., 1:, :], np.s_[..., 1:]):
            assert same_bits(far_y[rest], y[rest])
        for rest in (np.s_[..., 2:, :], np.s_[..., 2:]):
            assert same_bits(far_dx[rest], dx[rest])
        for isa, channels_last in product(cpool.isas(), [False, True]):
            with cpool.using_isa(isa):
                other_y, other_dx = pool(far_x, how, channels_last)
            assert same_bits(other_y, far_y) and same_bits(other_dx, far_dx), (isa, channels_last)


def test_empty_windows():
    x = np.array([[[5.0]], [[3.0]]])
    geometry = {"stride": 1, "dilation": 2, "padding": ((0, 0), (1, 1))}
    for more in ({}, {"filter": np.ones((1, 1, 1))}, {"reference": np.ones((2, 1, 1))}):
        y, saved = cpool.dpp_pool.forward(x, (1, 2), alpha=0.5, lam=1.0, **geometry, **more)
        np.testing.assert_array_equal(y, 0)
        for gradient in cpool.dpp_pool.backward(np.ones_like(y), saved):
            assert gradient is None or not np.any(gradient)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty_batches(shape):
    x = np.zeros(shape, np.float32)
    y, saved = cpool.dpp_pool.forward(x, 2, alpha=np.ones(shape[1]), lam=1.0, filter=np.ones((shape[1], 2, 3)))
    gradients = cpool.dpp_pool.backward(y, saved)
    assert gradients.x.shape == shape and gradients.lam == 0
    np.testing.assert_array_equal(gradients.filter, np.zeros((shape[1], 2, 3)))


@pytest.mark.parametrize("spatial", [(5003,), (70, 71)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_of_thousands(spatial, dtype):
    """More elements than scratch holds."""
    x, rank, windows = data("normal", 7, (2, *spatial), dtype), len(spatial), ref.Windows.whole(spatial)
    dy = np.ones((2, *[1] * rank), dtype)
    for normalize in ("none", "mean"):
        detail = ref.Detail(0.5, 1.5, normalize=normalize)
        arguments = {"axes": tuple(range(1, rank + 1)), "alpha": 0.5, "lam": 1.5, "normalize": normalize}
        y, saved = cpool.dpp_pool.forward(x, cpool.whole, **arguments)
        check(y, ref.dpp_pool(x, windows, detail), dtype)
        expected = ref.dpp_grad(x, dy, windows, detail)["x"]
        check(cpool.dpp_pool.backward(dy, saved).x, expected.reshape(*x.shape), dtype)


# ---- Manners ---------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"alpha": -1.0}, ValueError, "alpha=-1"), ({"alpha": np.inf}, ValueError, "alpha=inf"),
    ({"alpha": "1"}, TypeError, "alpha='1'"), ({"alpha": [1.0] * 3}, ValueError, "alpha has 3 values.*2 channels"),
    ({"lam": np.nan}, ValueError, "lam=-?nan"), ({"lam": [1.0, -2.0]}, ValueError, "lam=-2"),
    ({"lam": None}, TypeError, "lam=None"),
    ({"symmetric": 1}, TypeError, "symmetric=1"), ({"normalize": "max"}, ValueError, "normalize='max'"),
    ({"normalize": 1}, TypeError, "normalize=1"), ({"eps2": 0.0}, ValueError, "eps2=0"),
    ({"eps2": np.nan}, ValueError, "eps2="),
    ({"eps2": "1"}, TypeError, "eps2='1'"), ({"filter": np.ones((3, 3))}, ValueError, r"filter has shape \(3, 3\)"),
    ({"filter": np.ones((3, 3, 3))}, ValueError, "filter has 3 rows.*2 channels"),
    ({"filter": np.ones((1, 0, 3))}, ValueError, "filter has shape"), ({"filter": 1.0}, ValueError, "filter has shape"),
    ({"filter": np.ones((1, 3, 3)), "filter_padding": 3}, ValueError, r"filter_padding=\(3, 3\).*0 to 2"),
    ({"filter": np.ones((1, 3, 3)), "filter_padding": -1}, ValueError, r"filter_padding=\(-1, -1\)"),
    ({"filter": np.ones((1, 3, 3)), "filter_padding": 0}, ValueError, "filter_padding=.*1 windows; there are 2"),
    ({"filter": np.ones((1, 4, 4)), "filter_padding": 0, "window": 3, "stride": 1, "ceil_mode": True}, ValueError,
     "filter_padding=.*1 windows; there are 2"),
    ({"filter": np.ones((1, 3, 3)), "filter_padding": (1, 1, 1)}, ValueError, "filter_padding=.*3 entries"),
    ({"filter": np.ones((1, 3, 3)), "filter_padding": "same"}, TypeError, "filter_padding="),
    ({"filter": np.ones((1, 3, 3)), "window": cpool.whole}, ValueError, "dpp_pool takes no whole"),
    ({"filter": np.ones((1, 3, 3)), "window": cpool.adaptive(2, 2)}, ValueError, "dpp_pool takes no adaptive"),
    ({"filter": np.ones((1, 3, 3)), "reference": np.ones((1, 2, 2, 2), np.float32)}, ValueError, "reference takes the place"),
    ({"filter": np.ones((1, 3, 3)), "bias": [1.0] * 3}, ValueError, "bias has 3 values"),
    ({"bias": 1.0}, ValueError, "bias belongs to a filter"), ({"filter_padding": 1}, ValueError, "filter_padding"),
    ({"reference": np.ones((2, 2), np.float32)}, ValueError, r"reference has shape \(2, 2\).*\(1, 2, 2, 2\)"),
    ({"reference": np.ones((1, 2, 2, 2))}, TypeError, "reference has dtype float64"),
]


@pytest.mark.parametrize(("given", "error", "message"), REFUSED)
def test_refused(given, error, message):
    out = np.full((1, 2, 2, 2), 12345.0, np.float32)
    for call in (cpool.dpp_pool, cpool.dpp_pool.forward):
        with pytest.raises(error, match=message):
            call(np.ones((1, 2, 4, 4), np.float32), **{"window": 2, "alpha": 0.5, "lam": 1.0} | given, out=out)
    assert (out == 12345).all()


def test_refused_parameters_of_c():
    x, y = np.ones((1, 4, 4)), np.full((1, 2, 2), 7.0)
    arrays = {capi.X: x, capi.ALPHA: np.array(0.5), capi.LAMBDA: np.array(1.0), capi.Y: y}
    for field, value in [("variant", 3), ("variant", -1), ("eps2", -1.0), ("eps2", np.inf)]:
        params = capi.make_params(capi.DPP, (2, 2))
        setattr(params, field, value)
        with pytest.raises(capi.CpoolError, match=field):
            capi.Call(params, arrays).forward()
    params = capi.make_params(capi.MAX, (2, 2))
    for field in ("variant", "filter_pad_before"):
        params = capi.make_params(capi.MAX, (2, 2), flags=0)
        if field == "variant":
            params.variant = 1
        else:
            params.filter_pad_before[0] = 1
        with pytest.raises(capi.CpoolError):
            capi.Call(params, {capi.X: x, capi.Y: y}).forward()
    with pytest.raises(capi.CpoolError, match="symmetric"):
        capi.Call(capi.make_params(capi.MAX, (2, 2), flags=capi.ASYMMETRIC), {capi.X: x, capi.Y: y}).forward()
    assert (y == 7).all()


@pytest.mark.parametrize("name", ["reference", "filter", "bias"])
def test_refused_gradients_of_what_is_not_given(name):
    shape = {"reference": (1, 2, 2), "filter": (1, 2, 2), "bias": (1,)}[name]
    gradient, role = np.full(shape, 7.0), capi.GRAD | capi.ROLES[name]
    arrays = {capi.GRAD | capi.Y: np.ones((1, 2, 2)), capi.X: np.ones((1, 4, 4)), capi.ALPHA: np.array(0.5),
              capi.LAMBDA: np.array(1.0), role: gradient}
    with pytest.raises(capi.CpoolError, match=f"the gradient of {name} is asked for, but no {name} is given") as raised:
        capi.Call(capi.make_params(capi.DPP, (2, 2)), arrays).backward()
    assert raised.value.role == role
    assert (gradient == 7).all()


def test_workspace_beyond_every_number():
    x, wide = np.broadcast_to(np.float32(1), (2**30, 1, 1)), np.broadcast_to(np.float32(1), (1, 1, 2**31 - 1))
    arrays = {capi.GRAD | capi.Y: x, capi.X: x, capi.ALPHA: np.array(0.5), capi.LAMBDA: np.array(1.0), capi.FILTER: wide,
              capi.GRAD | capi.FILTER: wide}
    call = capi.Call(capi.make_params(capi.DPP, (1, 1), stride=1), arrays)
    for workers in (1, 2**31 - 1):
        assert call.query(capi.BACKWARD, workers).workspace_size == 2**62
    with pytest.raises(capi.CpoolError, match=r"workspace_size=|filter"):
        call.backward(workspace=np.zeros(64, np.uint8))


@pytest.mark.parametrize("way", WAYS)
def test_saved(way):
    x = data("normal", 0, (2, 3, 6, 6), np.float32)
    inputs = inputs_of(way, x, (2, 3, 3, 3), 2, np.random.default_rng(0))
    y, saved = cpool.dpp_pool.forward(x, 2, **inputs, symmetric=False, normalize="sum", eps2=0.1)
    gradients = cpool.dpp_pool.backward(y, saved)
    other = cpool.dpp_pool.backward(y, pickle.loads(pickle.dumps(saved)))
    for a, b in zip(gradients, other, strict=True):
        assert (a is None and b is None) or same_bits(np.asarray(a), np.asarray(b))
    junk = [np.zeros(3), np.zeros((1, 2, 2, 2), np.uint8), np.zeros(0), 1.0, np.nan, -1.0, np.zeros((1, 1, 4, 4), np.float32),
            np.zeros((3, 9, 9)), np.zeros((1, 2, 2, 2), complex)]
    for name, value in product(capi.ROLES, junk):
        try:
            forged = capi.forged(saved, **{name: value})
            assert cpool.dpp_pool.backward(y, forged, wrt="x").shape == x.shape
        except (ValueError, TypeError):
            continue
