"""The operators of the literature: numbers by hand, the formulas within their bounds, differences, bits, and bad inputs."""

import math
import pickle
from itertools import product

import capi
import numpy as np
import pytest
import reference as ref
from cases import FINITE, MEMORY, cases, data
from hypothesis import given
from hypothesis import strategies as st
from test_bits import GEOMETRIES, LAYOUTS, SLOW_GRADIENTS, assert_same, is_costly
from test_examples import X, rows
from test_grad import GEOMETRIES as SMALL
from test_grad import distinct
from test_pool import check, same_bits

import cpool

DTYPES = [np.float32, np.float64]
ISAS = cpool.isas()

# ---- By hand ---------------------------------------------------------------------------------------------------------

Z = rows("0 1 0 2; 1 0 2 0; 3 0 0 1; 0 3 1 0")
EXAMPLES = {
    "soft": (
        "soft_pool", (), {}, "3.590096 4.590096; 5.837998 3.563120",
        "-.065783 -.066361 1.171564 -.066361; 1.171564 -.039420 -.039420 -.065783; -.005055 -.086888 -.059859 -.059859;"
        "-.011387 1.103329 -.008884 1.128603", {"beta": 3.051301},
    ),
    "lip": (
        "lip_pool", (Z,), {}, "2.327646 2.178804; 2.452574 .806824",
        ".134471 .365529 .059601 .440399; .365529 .134471 .440399 .059601; .476287 .023713 .134471 .365529;"
        ".023713 .476287 .365529 .134471",
        {"logits": rows("-.178530 -.119764 .168147 .361653; .611294 -.313000 -.519144 -.010657;"
                        "-1.644416 .012981 .160447 .436141; -.058158 1.689593 -1.025976 .429389")},
    ),
    "mixed": (
        "mixed_pool", (), {"a": 0.25}, "2.3125 3.3125; 3 2.125",
        ".1875 .1875 .4375 .1875; .4375 .1875 .1875 .1875; .1875 .1875 .1875 .1875; .1875 .4375 .1875 .4375", {"a": 11.0},
    ),
    "ada": ("ada_pool", (), {"a": 0.5}, "2.782880 3.703853; 3.993614 2.444302", None, {}),
    "gated": (
        "gated_pool", (), {"weight": [0.5, -0.5, 0.25, 0]}, "3.150533 4.498925; 2.476812 2.443852",
        ".358764 -.169994 1.027718 -.139068; .849034 .094385 .153046 .055675; .430186 .010212 .449369 -.138140;"
        ".325193 .339402 .302492 .533156", {"weight": [3.231231, 4.660916, 1.329501, 5.648855], "bias": None},
    ),
    "rank": (
        "rank_pool", (), {"weight": [0.5, 0.3, 0.2]}, "2.8 3.8; 3.9 3",
        ".2 .3 .5 .3; .5 0 0 .2; 0 .3 .3 .2; .2 .5 0 .5", {"weight": [19, 10, 5]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example):
    name, inputs, arguments, y, dx, more = EXAMPLES[example]
    op = getattr(cpool, name)
    actual, saved = op.forward(X, *inputs, 2, **arguments)
    gradients = op.backward(np.ones_like(actual), saved)
    np.testing.assert_allclose(actual, rows(y), rtol=0, atol=5.01e-7)
    if dx is not None:
        np.testing.assert_allclose(gradients.x, rows(dx), rtol=0, atol=5.01e-7)
    for key, value in more.items():
        if value is None:
            assert getattr(gradients, key) is None
        else:
            np.testing.assert_allclose(getattr(gradients, key), value, rtol=0, atol=5.01e-7)
    single = [np.asarray(a, np.float32) for a in inputs]
    np.testing.assert_allclose(op(X.astype(np.float32), *single, 2, **arguments), rows(y), rtol=1e-6)


def test_far_apart():
    y = cpool.soft_pool(np.array([1e4, -1e4, 9999, 0]), (4,))
    np.testing.assert_allclose(y, 9999.731058578630, rtol=1e-15)


def test_stochastic_examples():
    y, saved = cpool.stochastic_pool.forward(X, 2, u=[[0.1, 0.5], [0.9, 0.99]])
    np.testing.assert_array_equal(y, [[1, 3], [6, 4]])
    np.testing.assert_array_equal(saved.indices, [[0, 3], [13, 15]])
    dx = cpool.stochastic_pool.backward([[1.0, 2.0], [3.0, 4.0]], saved)
    np.testing.assert_array_equal(dx, rows("1 0 0 2; 0 0 0 0; 0 0 0 0; 0 3 0 4"))
    y, saved = cpool.stochastic_pool.forward(X, 2, seed=1)
    np.testing.assert_array_equal(y, [[4, 3], [3, 4]])
    np.testing.assert_array_equal(saved.indices, [[4, 3], [9, 15]])
    y, saved = cpool.stochastic_pool.forward(X, 2, training=False)
    np.testing.assert_allclose(y, [[3, 39 / 11], [5, 3]], rtol=1e-15)
    dx = cpool.stochastic_pool.backward(np.ones_like(y), saved)
    expected = rows("-.142857 .142857 .586777 .223140; .714286 0 -.140496 .041322; 0 .111111 .125 .125; 0 .777778 0 .625")
    np.testing.assert_allclose(dx, expected, rtol=0, atol=5.01e-7)


def test_philox():
    full = 0xFFFFFFFF
    for counter, key, words in [
        ((0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((full,) * 4, (full,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]:
        assert " ".join(f"{word:08x}" for word in ref.philox(counter, key)) == words
    assert [ref.draw(1, 0, i) for i in range(4)] == [
        0.8902591729757107, 0.6719982688953429, 0.24740147231065202, 0.757626511397898]


@pytest.mark.parametrize(("seed", "offset"), [(0, 0), (1, 0), (2**64 - 1, 2**64 - 1), (2**32, 2**32), (123456789, 987654321)])
def test_draws_are_philox(seed, offset):
    """The u that is drawn is seen from what it selects: a mask of regions for many probabilities."""
    indices = range(40)
    u = np.array([ref.draw(seed, offset, i) for i in indices])
    for p_max in [*u[:10], *np.nextafter(u[:10], 1), 0.0, 1.0]:
        _, saved = cpool.mixed_pool.forward(np.ones((2, 4, 5)), (1,), random="region", p_max=float(p_max), seed=seed,
                                            offset=offset)
        np.testing.assert_array_equal(saved.mask.ravel(), u < p_max)
    assert (saved.seed, saved.offset) == (seed, offset)


def test_kmax_examples():
    y, saved = cpool.kmax_pool.forward(X, 2)
    np.testing.assert_array_equal(y, rows("5 3; 4 2; 3 2; 6 4"))
    np.testing.assert_array_equal(saved.indices, rows("2 3; 0 3; 1 2; 1 3"))
    dx = cpool.kmax_pool.backward(rows("1 2; 3 4; 5 6; 7 8"), saved)
    np.testing.assert_array_equal(dx, rows("0 0 1 2; 3 0 0 4; 0 5 6 0; 0 7 0 8"))


def test_dynamic_k():
    assert [cpool.dynamic_k(layer, 3, 18, 3) for layer in (1, 2, 3)] == [12, 6, 3]
    assert cpool.dynamic_k(1, 3, 7, 5) == 5
    assert cpool.dynamic_k(2, 11, 77, 1) == 63
    for arguments, error in [((0, 3, 18, 3), ValueError), ((4, 3, 18, 3), ValueError), ((1, 0, 18, 3), ValueError),
                             ((1, 3, -1, 3), ValueError), ((1, 3, 18, 0), ValueError), ((1.0, 3, 18, 3), TypeError),
                             ((1, 3, 18, True), TypeError)]:
        with pytest.raises(error):
            cpool.dynamic_k(*arguments)


# ---- Any call --------------------------------------------------------------------------------------------------------


class Use:
    """An operator with its further inputs for a case, as the library and as the reference take them."""

    def __init__(self, source, case, name, plain=False):
        draw, dtype, rng = source.draw, case.x.dtype, np.random.default_rng(source.draw(st.integers(0, 2**32 - 1)))
        self.case, self.name, self.positional, self.arguments, self.further = case, name, (), {}, {}
        self.op = getattr(cpool, "stochastic_pool" if name in ("expected", "drawn") else f"{name}_pool")
        channels, planes, taps = case.channels, len(case.planes), max(1, *map(len, case.windows.taps), 1)
        per_channel = channels is not None and draw(st.booleans())
        self.per_channel = channels if per_channel else None
        kind = draw(st.sampled_from([np.float64, dtype]))
        lead = (channels,) if per_channel else ()
        shape = np.prod(case.windows.shape)
        if name == "soft":
            self.beta = rng.choice([0.0, 1.0, -0.7, 2.0, 0.3], lead).astype(kind) if lead else draw(
                st.sampled_from([1.0, 0.0, -1.5, 2.0]))
            self.arguments = {"beta": self.beta}
        elif name == "lip":
            logits = np.asarray(rng.normal(size=case.x.shape) * rng.choice([1, 30, 1e4]), dtype)
            logits = np.where(rng.random(logits.shape) < 0.1, -np.inf, logits).astype(dtype)
            self.shared = channels is not None and draw(st.booleans())
            if self.shared:
                logits = np.take(logits, [0] if channels else [], axis=case.layout.channel) if channels else logits
            self.logits = MEMORY[draw(st.sampled_from(["C", "Fortran", "sliced", "reversed"]))](logits)
            self.positional = (self.logits,)
        elif name == "drawn":
            self.u = rng.random(case.y_shape).astype(kind)
            self.u = np.where(self.u < 1, self.u, 0)  # rounding to float32 may give 1
            self.arguments = {"u": self.u}
        elif name in ("mixed", "ada"):
            full = draw(st.booleans())
            a = rng.normal(size=((channels if per_channel else 1), *case.windows.shape)) if full else rng.normal(size=lead)
            self.a = a.astype(kind) if full or lead else float(a)
        if name in ("mixed", "ada"):
            self.arguments = {"a": self.a}
        elif name == "rank":
            self.weight = rng.normal(size=(*lead, draw(st.integers(1, taps)))).astype(kind)
            self.arguments = {"weight": self.weight}
        elif name == "gated":
            kernel = case.window if isinstance(case.window, tuple) else (case.window,) * len(case.layout.spatial)
            self.weight = (rng.normal(size=(*lead, int(np.prod(kernel)))) / 2).astype(kind)
            self.bias = draw(st.sampled_from([None, 0.0, 0.5, "channels"]))
            if self.bias == "channels":
                self.bias = rng.normal(size=channels or 1).astype(kind)
            self.arguments = {"weight": self.weight, "bias": self.bias}
        self.planes, self.results = planes, int(shape)

    def forward(self, **kwargs):
        more = {"training": False} if self.name == "expected" else {}
        return self.op.forward(self.case.x, *self.positional, self.case.window, **self.case.kwargs, **self.arguments, **more,
                               **kwargs)

    def rows(self, parameter):
        """A row per plane of one number, of one per channel, of a row or one row per channel."""
        parameter = np.asarray(parameter)
        if self.per_channel is None or parameter.ndim == 0:
            return parameter
        repeats = self.planes // len(parameter) if len(parameter) else 0
        return np.tile(parameter, (repeats, *[1] * (parameter.ndim - 1)))

    def logit_planes(self):
        return self.case.layout.planes(np.broadcast_to(self.logits, self.case.x.shape))

    def blends(self):
        a = np.asarray(self.a)
        if a.ndim < 2:
            return self.rows(a).reshape(-1, 1)
        return (self.rows(a) if len(a) != 1 else a).reshape(-1, self.results)

    def weights(self):
        return self.rows(self.weight) if self.weight.ndim == 2 else self.weight[None]

    def biases(self):
        bias = 0.0 if self.bias is None else self.bias
        return np.tile(bias, self.planes // len(bias)) if np.ndim(bias) and len(bias) > 1 else bias

    def expected(self):
        x, windows = self.case.planes, self.case.windows
        return {"soft": lambda: ref.soft_pool(x, windows, self.rows(self.beta)),
                "lip": lambda: ref.soft_pool(x, windows, logits=self.logit_planes()),
                "expected": lambda: ref.expected_pool(x, windows),
                "mixed": lambda: ref.mixed_pool(x, windows, self.blends()),
                "ada": lambda: ref.ada_pool(x, windows, self.blends()),
                "gated": lambda: ref.gated_pool(x, windows, self.weights(), self.biases()),
                "rank": lambda: ref.rank_pool(x, windows, self.weights())}[self.name]()

    def expected_grads(self, dy):
        x, windows, dy = self.case.planes, self.case.windows, self.case.layout.planes(dy)
        return {"soft": lambda: ref.soft_grad(x, dy, windows, self.rows(self.beta)),
                "lip": lambda: ref.soft_grad(x, dy, windows, logits=self.logit_planes()),
                "expected": lambda: ref.expected_grad(x, dy, windows),
                "mixed": lambda: ref.mixed_grad(x, dy, windows, self.blends()),
                "ada": lambda: ref.ada_grad(x, dy, windows, self.blends()),
                "gated": lambda: ref.gated_grad(x, dy, windows, self.weights(), self.biases()),
                "rank": lambda: ref.rank_grad(x, dy, windows, self.weights())}[self.name]()


NAMES = ["soft", "lip", "expected", "mixed", "ada", "gated", "rank"]
# Where neither the values nor their squares overflow.
MODERATE = [kind for kind in FINITE if kind != "large"]


def use(source, name, kinds, **kwargs):
    case = source.draw(cases(kinds, **kwargs).filter(lambda case: name != "gated" or isinstance(case.window, (int, tuple))))
    return Use(source, case, name)


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_values(name, source):
    u = use(source, name, [*FINITE, "nan"])
    before = u.case.x.copy()
    y, saved = u.forward()
    with np.errstate(invalid="ignore", over="ignore"):
        check(y, u.case.restore(u.expected()), u.case.x.dtype)
    assert same_bits(u.op(u.case.x, *u.positional, u.case.window, **u.case.kwargs, **u.arguments), y)
    assert u.op.output_shape(u.case.x.shape, u.case.window, **u.case.kwargs) == y.shape == u.case.y_shape
    assert same_bits(u.case.x, before)
    assert saved.op is u.op


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_gradients(name, source):
    u = use(source, name, MODERATE)
    dy, dtype = u.case.gradient(), u.case.x.dtype
    _, saved = u.forward()
    gradients = u.op.backward(dy, saved, wrt=("x",) if name == "expected" else None)
    expected = u.expected_grads(dy)
    check(gradients.x, u.case.restore(expected.x), dtype)
    assert same_bits(u.op.backward(dy, saved, wrt="x"), gradients.x)
    if name == "lip":
        dlogits = u.case.restore(expected.second)
        if u.logits.shape != u.case.x.shape:
            dlogits = dlogits.map(lambda part: part.sum(axis=u.case.layout.channel, keepdims=True))
        check(gradients.logits, dlogits, dtype)
        assert same_bits(u.op.backward(dy, saved, wrt="logits"), gradients.logits)
    elif name != "expected":
        field = u.op._gradients._fields[1]
        parameter, gradient = u.arguments[field], getattr(gradients, field)
        shape, channels = np.shape(parameter), u.per_channel
        numbers = expected.parameter
        if name in ("mixed", "ada") and np.ndim(parameter) < 2:
            numbers = numbers.map(lambda part: part.sum(axis=1, keepdims=True))
        check(np.atleast_1d(gradient), ref.share(numbers, channels).reshape(*(shape or (1,))), np.asarray(parameter).dtype)
        assert np.shape(gradient) == shape
        assert same_bits(np.asarray(u.op.backward(dy, saved, wrt=field)), np.asarray(gradient))
    if name == "gated" and u.bias is not None:
        channels = len(u.bias) if np.ndim(u.bias) and len(u.bias) != 1 else None
        total = ref.share(expected.bias, channels).reshape(*(np.shape(u.bias) or (1,)))
        check(np.atleast_1d(gradients.bias), total, np.asarray(u.bias).dtype)


@given(st.data())
def test_draws(source):
    u = use(source, "drawn", [*FINITE, "nan", "nan and inf"])
    y, saved = u.forward()
    flat = u.case.layout.planes(u.u).reshape(u.planes, u.results)
    values, indices = ref.stochastic_pool(u.case.planes, u.case.windows, flat)
    assert same_bits(y, u.case.restore(values))
    np.testing.assert_array_equal(saved.indices, u.case.restore(indices))
    dy = u.case.gradient()
    dx = u.op.backward(dy, saved)
    check(dx, u.case.restore(ref.select_grad(u.case.layout.planes(dy), indices, u.case.windows.spatial)), u.case.x.dtype)


@pytest.mark.parametrize(("shape", "window", "kwargs"), [
    ((2, 3, 12, 14), (2, 2), {"stride": 2}),
    ((1, 2, 9, 40), (3, 3), {"stride": 2, "padding": 1}),
    ((2, 20, 7, 9), (3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 5, 1100), (1, 3), {"stride": (1, 2)}),
    ((1, 3, 20, 30), (3, 5), {"stride": (1, 5), "dilation": (2, 3), "padding": (2, 1)}),
    ((1, 2, 10, 10), (8, 8), {"stride": 1, "padding": 3}),
])
@pytest.mark.parametrize("channels_last", [False, True])
def test_draws_of_floats_are_those_of_double(shape, window, kwargs, channels_last):
    """Floats may be drawn by sums in float where these decide as those in double do."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(shape).astype(np.float32)
    wild = normal * np.float32(2) ** rng.integers(-126, 127, shape).astype(np.float32)
    odd = normal.copy()
    odd[rng.random(shape) < 0.02] = np.nan
    odd[rng.random(shape) < 0.02] = np.inf
    small = np.round(normal)
    for x in [normal, wild, odd, small, -abs(normal), normal * np.float32(1e-44), abs(normal) * np.float32(2.0**126)]:
        arranged = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1) if channels_last else x
        y, saved = cpool.stochastic_pool.forward(arranged, window, **kwargs, seed=3, offset=2**33)
        u = np.array([ref.draw(3, 2**33, i) for i in range(y.size)])
        exact, of_u = cpool.stochastic_pool.forward(x, window, **kwargs, u=u.reshape(y.shape))
        assert same_bits(y, exact)
        np.testing.assert_array_equal(saved.indices, of_u.indices)


@pytest.mark.parametrize("taps", [(1, 2), (2, 2), (3, 3)])
def test_draws_that_hang_by_a_bit(taps):
    """Windows of which u is next to a share of the whole, and on it: what is drawn is what double says."""
    k, results = taps[0] * taps[1], 600
    u = np.array([ref.draw(7, 0, i) for i in range(results)])
    windows = np.zeros((results, k), np.float32)
    windows[:, k - 1] = 1
    windows[:, 0] = u / (1 - u)
    windows[200:, 0] = np.nextafter(windows[200:, 0], np.float32(np.inf))
    windows[400:, 0] = np.nextafter(windows[400:, 0], np.float32(0))
    total = windows[:, 0].astype(np.float64) + 1.0
    first = windows[:, 0] > u * total
    assert 0 < first.sum() < results and np.all(abs(windows[:, 0] / total - u) < 1e-6)
    x = windows.reshape(20, 30, *taps).transpose(0, 2, 1, 3).reshape(1, 1, 20 * taps[0], 30 * taps[1])
    y, _ = cpool.stochastic_pool.forward(x, taps, seed=7)
    np.testing.assert_array_equal(y.ravel(), np.where(first, windows[:, 0], 1))


@given(st.data(), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from(["layer", "map", "region"]))
def test_draws_by_seed(source, seed, offset, granularity):
    case = source.draw(cases(["normal"]))
    count, results = len(case.planes), int(np.prod(case.windows.shape))
    u = np.array([ref.draw(seed, offset, i) for i in range(count * results)]).reshape(count, results)
    y, saved = cpool.stochastic_pool.forward(case.x, case.window, **case.kwargs, seed=seed, offset=offset)
    explicit, _ = cpool.stochastic_pool.forward(
        case.x, case.window, **case.kwargs, u=case.restore(u.reshape(count, *case.windows.shape)))
    assert same_bits(y, explicit)
    again, _ = cpool.stochastic_pool.forward(case.x, case.window, **case.kwargs, seed=saved.seed, offset=saved.offset)
    assert same_bits(again, y)

    y, saved = cpool.mixed_pool.forward(
        case.x, case.window, **case.kwargs, random=granularity, p_max=0.4, seed=seed, offset=offset)
    first = {"layer": np.full((count, results), ref.draw(seed, offset, 0)), "region": u,
             "map": np.broadcast_to(np.array([ref.draw(seed, offset, i) for i in range(count)]).reshape(count, 1),
                                    (count, results))}[granularity]
    mask = (first < 0.4).astype(np.uint8)
    check(y, case.restore(ref.mixed_pool(case.planes, case.windows, mask)), case.x.dtype)
    spatial = [case.x.shape[axis] for axis in case.layout.spatial]
    kept = {"layer": (), "map": tuple(1 if axis in case.layout.spatial else n for axis, n in enumerate(case.x.shape)),
            "region": case.y_shape}[granularity]
    assert saved.mask.shape == kept and saved.mask.dtype == np.uint8 and len(spatial)
    if y.size:
        drawn = case.restore(mask.reshape(count, *case.windows.shape))
        np.testing.assert_array_equal(np.broadcast_to(saved.mask, y.shape), drawn)
    dy = case.gradient()
    gradients = cpool.mixed_pool.backward(dy, saved)
    assert gradients.a is None
    expected = ref.mixed_grad(case.planes, case.layout.planes(dy), case.windows, mask)
    check(gradients.x, case.restore(expected.x), case.x.dtype)


@given(st.data(), cases([*FINITE, "nan", "nan and inf", "-inf"]))
def test_kmax(source, case):
    x, n = case.x, case.x.ndim
    axis = source.draw(st.integers(0, n - 1))
    length, before = x.shape[axis], x.shape[:axis]
    if length == 0:
        with pytest.raises(ValueError, match="length 0"):
            cpool.kmax_pool(x, 1, axis=axis)
        return
    lengths = None
    if source.draw(st.booleans()):
        shape = before[: source.draw(st.integers(0, axis))]
        lengths = np.random.default_rng(source.draw(st.integers(0, 99))).integers(0, length, shape, endpoint=True)
    k = source.draw(st.integers(1, length + 3 if lengths is not None else length))
    kwargs = {"axis": axis - source.draw(st.sampled_from([0, n])), "lengths": lengths}
    y, saved = cpool.kmax_pool.forward(x, k, **kwargs)
    assert same_bits(cpool.kmax_pool(x, k, **kwargs), y)
    if lengths is None:
        assert cpool.kmax_pool.output_shape(x.shape, k, axis=axis) == y.shape
        every = np.full([m for i, m in enumerate(x.shape) if i != axis], length)
    else:
        rest = [m for i, m in enumerate(x.shape) if i != axis]
        every = np.broadcast_to(lengths.reshape(lengths.shape + (1,) * (len(rest) - lengths.ndim)), rest)
    last = np.moveaxis(x, axis, -1).reshape(-1, length)
    values, indices = ref.kmax_pool(last, k, every.ravel())
    assert same_bits(np.ascontiguousarray(np.moveaxis(y, axis, -1)).reshape(-1, k), values)
    np.testing.assert_array_equal(np.moveaxis(saved.indices, axis, -1).reshape(-1, k), indices)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(x.dtype)
    dx, expected = cpool.kmax_pool.backward(dy, saved), np.zeros_like(last)
    for row, at, d in zip(expected, indices, np.moveaxis(dy, axis, -1).reshape(-1, k), strict=True):
        row[at[at >= 0]] = d[at >= 0]
    np.testing.assert_array_equal(np.moveaxis(dx, axis, -1).reshape(-1, length), expected)


# ---- Differences -----------------------------------------------------------------------------------------------------


def differences(loss, value, step=1e-6):
    result = np.empty_like(value)
    for i in np.ndindex(value.shape):
        up, down = value.copy(), value.copy()
        up[i] += step
        down[i] -= step
        result[i] = (loss(up) - loss(down)) / (2 * step)
    return result


def difference_inputs(name, x, y_shape, kernel, rng):
    """Inputs of an operator for [3, *spatial]: positional ones, then named ones, all arrays."""
    weight = {"gated": lambda: rng.normal(size=(3, int(np.prod(kernel)))) / 2, "rank": lambda: rng.normal(size=(3, 2))}
    return {"soft": lambda: [("beta", rng.normal(size=3))], "lip": lambda: [("logits", rng.normal(size=x.shape))],
            "lip, shared": lambda: [("logits", rng.normal(size=(1, *x.shape[1:])))], "expected": list,
            "mixed": lambda: [("a", rng.normal(size=(3, *y_shape[1:])))],
            "mixed, one": lambda: [("a", np.array(0.3))], "ada": lambda: [("a", rng.normal(size=(3, *y_shape[1:])))],
            "gated": lambda: [("weight", weight["gated"]()), ("bias", rng.normal(size=3))],
            "rank": lambda: [("weight", weight["rank"]())]}[name]()


@pytest.mark.parametrize("geometry", SMALL)
@pytest.mark.parametrize("name", ["soft", "lip", "lip, shared", "expected", "mixed", "mixed, one", "ada", "gated", "rank"])
def test_differences(name, geometry):
    spatial, window, kwargs = SMALL[geometry]
    if name == "gated" and not isinstance(window, tuple):
        return  # windows of one size only
    if name == "rank" and geometry == "empty windows":
        window = (2, 2)
    rng = np.random.default_rng(3)
    x = distinct((3, *spatial))
    op = cpool.stochastic_pool if name == "expected" else getattr(cpool, f"{name.split(',')[0]}_pool")
    y_shape = cpool.max_pool.output_shape(x.shape, window, **kwargs)
    inputs = difference_inputs(name, x, y_shape, window if isinstance(window, tuple) else (), rng)
    named = kwargs | ({"training": False} if name == "expected" else {})
    dy = rng.normal(size=y_shape)

    def call(x, values):
        if name.startswith("lip"):
            return op.forward(x, values[0], window, **named)
        return op.forward(x, window, **named, **{key: value for (key, _), value in zip(inputs, values, strict=True)})

    values = [value for _, value in inputs]
    _, saved = call(x, values)
    gradients = op.backward(dy, saved, wrt=("x",)) if name == "expected" else op.backward(dy, saved)
    scale = {"rtol": 2e-6, "atol": 2e-6}
    np.testing.assert_allclose(gradients[0], differences(lambda v: (call(v, values)[0] * dy).sum(), x), **scale)
    for i, value in enumerate(values):
        def loss(v, i=i):
            return (call(x, [*values[:i], v, *values[i + 1 :]])[0] * dy).sum()

        np.testing.assert_allclose(gradients[1 + i], differences(loss, value), **scale)


@pytest.mark.parametrize("make", [cpool.softmax_weights, cpool.clipped_weights])
@pytest.mark.parametrize("shape", [(4,), (2, 5)])
def test_differences_of_weights(make, shape):
    theta = distinct(shape)
    weight = make(theta)
    np.testing.assert_allclose(weight.sum(axis=-1), 1)
    assert (weight >= 0).all() and weight.dtype == make(theta.astype(np.float32)).astype(np.float64).dtype
    dweight = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(make(theta, dweight), differences(lambda v: (make(v) * dweight).sum(), theta), atol=1e-8)
    for wrong, error in [([1, 2], TypeError), (np.zeros(0), ValueError), (1.0, ValueError), (["a"], TypeError)]:
        with pytest.raises(error, match="theta"):
            make(wrong)


def test_clipped_weights_of_nothing():
    np.testing.assert_array_equal(cpool.clipped_weights([-1.0, 0.0]), [0.5, 0.5])
    np.testing.assert_array_equal(cpool.clipped_weights([-1.0, 0.0], [1.0, 2.0]), 0)


# ---- Stress ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_windows_and_single_elements_are_exact(dtype):
    x = data("wide", 3, (2, 3, 4, 4), dtype)
    equal = np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)
    for value, window in [(x, 1), (equal, 2)]:
        for y in (cpool.soft_pool(value, window), cpool.soft_pool(value, window, beta=50.0),
                  cpool.lip_pool(value, np.zeros_like(value), window), cpool.mixed_pool(value, window),
                  cpool.rank_pool(value, window, weight=[1.0])):
            np.testing.assert_allclose(y, x, rtol=4 * np.finfo(dtype).eps)
    assert same_bits(cpool.soft_pool(x, 1), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [0.0, 1.0, 1e4, -1e4, 1e30, 1e-30])
@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "large"])
def test_soft_pool_of_anything_finite(dtype, beta, kind):
    x = data(kind, 3, (2, 3, 6, 6), dtype)
    y, saved = cpool.soft_pool.forward(x, 2, beta=beta)
    blocks = x.reshape(2, 3, 3, 2, 3, 2)
    assert np.isfinite(y).all()
    assert (y <= np.nextafter(blocks.max(axis=(3, 5)), dtype(np.inf))).all()
    assert (y >= np.nextafter(blocks.min(axis=(3, 5)), dtype(-np.inf))).all()
    if kind in ("zero", "equal", "subnormal"):
        assert np.isfinite(cpool.soft_pool.backward(np.ones_like(y), saved).x).all()


@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "large", "wide"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ada_pool_of_anything_finite(dtype, kind):
    x = data(kind, 3, (2, 3, 6, 6), dtype)
    blocks = x.reshape(2, 3, 3, 2, 3, 2)
    for a in (0.0, 0.3, 1.0):
        y, saved = cpool.ada_pool.forward(x, 2, a=a)
        slack = 4 * np.finfo(dtype).eps * np.abs(blocks / 2).max(axis=(3, 5)) + 2 * np.finfo(dtype).smallest_subnormal
        assert (y / 2 <= blocks.max(axis=(3, 5)) / 2 + slack).all() and (y / 2 >= blocks.min(axis=(3, 5)) / 2 - slack).all()
        if kind != "large" or a == 1:
            dx, da = cpool.ada_pool.backward(np.ones_like(y), saved)
            assert np.isfinite(dx).all() and np.isfinite(da)


def test_likeness_knows_no_scale():
    """The part of the mean, whose gradient is a ratio of elements, has the same bits next to 0 and next to infinity."""
    x = data("normal", 3, (2, 3, 6, 6), np.float64)
    y, saved = cpool.ada_pool.forward(x, 3, a=1.0)
    dx = cpool.ada_pool.backward(np.ones_like(y), saved, wrt="x")
    for scale in (2.0**-900, 2.0**-390, 2.0**390, 2.0**1000):
        other, saved = cpool.ada_pool.forward(x * scale, 3, a=1.0)
        assert same_bits(other / scale, y)
        assert same_bits(cpool.ada_pool.backward(np.ones_like(y), saved, wrt="x"), dx)
    tiny = np.array([3.0, 1.0, 0.0, -2.0, 5.0, 8.0]) * 5e-324
    found, saved = cpool.ada_pool.forward(tiny, (6,), a=1.0)
    expected, other = cpool.ada_pool.forward(tiny * 2.0**1000, (6,), a=1.0)
    np.testing.assert_array_equal(found, expected / 2.0**1000)
    assert same_bits(cpool.ada_pool.backward([1.0], saved).x, cpool.ada_pool.backward([1.0], other).x)


def test_logits_of_minus_infinity():
    x, z = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]]), np.full((2, 4), -np.inf)
    z[0, 1] = -1e4
    y, saved = cpool.lip_pool.forward(x, z, 2)
    np.testing.assert_array_equal(y, [[2, 0]])
    gradients = cpool.lip_pool.backward(np.ones_like(y), saved)
    np.testing.assert_array_equal(gradients.x, rows("0 1 0 0; 0 0 0 0"))
    np.testing.assert_array_equal(gradients.logits, 0)
    z[1, 0] = np.nan
    np.testing.assert_array_equal(cpool.lip_pool(x, z, 2), [[np.nan, 0]])


@pytest.mark.parametrize("name", ["soft", "lip", "expected", "drawn", "mixed", "ada", "rank"])
def test_empty_windows(name):
    x = np.array([[[5.0]], [[3.0]]])
    geometry = {"stride": 1, "dilation": 2, "padding": ((0, 0), (1, 1))}
    inputs = {"lip": (x,)}.get(name, ())
    more = {"rank": {"weight": [1.0, 1.0]}, "expected": {"training": False}}.get(name, {})
    op = cpool.stochastic_pool if name in ("expected", "drawn") else getattr(cpool, f"{name}_pool")
    y, saved = op.forward(x, *inputs, (1, 2), **geometry, **more)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(op.backward(np.ones_like(y), saved, wrt="x"), 0)
    if name == "drawn":
        np.testing.assert_array_equal(saved.indices, -1)


def test_draws_of_sums_that_overflow():
    x = np.array([1e308, 1e308, 5e307, 1e308])
    for u, at in [(0.0, 0), (0.2, 0), (0.3, 1), (0.6, 2), (0.9, 3)]:
        y, saved = cpool.stochastic_pool.forward(x, (4,), u=[u])
        assert saved.indices == [at] and y == x[at]
    np.testing.assert_allclose(cpool.stochastic_pool(x, (4,)), [1e308 * (3 / 3.5) + 5e307 / 7], rtol=1e-14)


def test_draws_without_positive_elements():
    y, saved = cpool.stochastic_pool.forward([-1.0, 0.0, -0.0, -np.inf], (4,), seed=5)
    assert y == [0] and saved.indices == [-1]
    np.testing.assert_array_equal(cpool.stochastic_pool.backward([1.0], saved), 0)


def test_draws_have_their_probabilities():
    x = np.broadcast_to(np.array([1.0, 2.0, 0.0, 5.0]), (20000, 4))
    _, saved = cpool.stochastic_pool.forward(x, (4,), seed=7)
    counts = np.bincount(saved.indices.ravel(), minlength=4) / len(x)
    np.testing.assert_allclose(counts, np.array([1, 2, 0, 5]) / 8, atol=0.015)
    assert counts[2] == 0


def chi_square(counts, expected):
    return float(np.sum((counts - expected) ** 2 / expected))


def chi_square_limit(freedom):
    """What chi-square exceeds once in a million times (Wilson and Hilferty)."""
    return freedom * (1 - 2 / (9 * freedom) + 4.75 * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_million_draws(dtype):
    """Of windows of nine elements by their weights; one seed, one offset and one window say nothing of another."""
    shares, number = np.arange(1, 10) / 45, 1000 * 1000
    x = np.tile(np.arange(1, 10, dtype=dtype).reshape(3, 3), (1000, 1000))

    def picks(seed, offset):
        return cpool.stochastic_pool.forward(x, 3, stride=3, seed=seed, offset=offset)[0].astype(int).ravel() - 1

    first = picks(5, 0)
    others = {"seed": picks(6, 0), "high seed": picks(5 + 2**32, 0), "offset": picks(5, 1), "high offset": picks(5, 2**32),
              "the next": np.roll(first, -1), "the one below": np.roll(first, -1000)}
    assert chi_square(np.bincount(first, minlength=9), number * shares) < chi_square_limit(8)
    for name, other in others.items():
        assert chi_square(np.bincount(other, minlength=9), number * shares) < chi_square_limit(8), name
        both = np.bincount(9 * first + other, minlength=81)
        assert chi_square(both, number * np.outer(shares, shares).ravel()) < chi_square_limit(80), name


@pytest.mark.parametrize("spatial", [(5003,), (70, 71), (17, 18, 19)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["normal", "positive", "stress"])
def test_windows_of_thousands(spatial, dtype, kind):
    """More elements than scratch holds."""
    x, rank = data(kind, 7, (2, *spatial), dtype), len(spatial)
    z = data("normal", 8, x.shape, dtype)
    windows, kwargs = ref.Windows.whole(spatial), {"axes": tuple(range(1, rank + 1))}
    dy, weight = np.ones((2, *[1] * rank), dtype), np.array([[0.5, 0.3, 0.2]])
    u = np.array([[0.3], [0.8]])
    values, indices = ref.stochastic_pool(x, windows, u)
    drawn, saved = cpool.stochastic_pool.forward(x, cpool.whole, u=u.reshape(dy.shape), **kwargs)
    assert same_bits(drawn, values)
    np.testing.assert_array_equal(saved.indices, indices)
    for op, inputs, named, forward, backward in [
        (cpool.soft_pool, (), {}, ref.soft_pool(x, windows), ref.soft_grad(x, dy, windows)),
        (cpool.lip_pool, (z,), {}, ref.soft_pool(x, windows, logits=z), ref.soft_grad(x, dy, windows, logits=z)),
        (cpool.mixed_pool, (), {"a": 0.3}, ref.mixed_pool(x, windows, 0.3), ref.mixed_grad(x, dy, windows, 0.3)),
        (cpool.rank_pool, (), {"weight": weight[0]}, ref.rank_pool(x, windows, weight), ref.rank_grad(x, dy, windows, weight)),
    ]:
        y, saved = op.forward(x, *inputs, cpool.whole, **kwargs, **named)
        check(y, forward, dtype)
        check(op.backward(dy, saved).x, backward.x, dtype)


# ---- Bits ------------------------------------------------------------------------------------------------------------

def by_channel(x, rng):
    return {"alpha": rng.uniform(0.2, 1, x.shape[1]), "lam": rng.uniform(0.5, 3, x.shape[1])}


# Operators with inputs for x [batch, channels, *spatial]; numbers per channel, per rank and per place.
BITS = {
    "soft": ("soft_pool", lambda x, y, k, rng: {"beta": rng.normal(size=x.shape[1])}),
    "soft, one": ("soft_pool", lambda x, y, k, rng: {}),
    "lip": ("lip_pool", lambda x, y, k, rng: {"logits": (rng.normal(size=x.shape) * 9).astype(x.dtype)}),
    "lip, shared": ("lip_pool", lambda x, y, k, rng: {"logits": rng.normal(size=(len(x), 1, *x.shape[2:])).astype(x.dtype)}),
    "drawn": ("stochastic_pool", lambda x, y, k, rng: {"seed": 3, "offset": 2**40}),
    "expected": ("stochastic_pool", lambda x, y, k, rng: {"training": False}),
    "mixed": ("mixed_pool", lambda x, y, k, rng: {"a": rng.normal(size=x.shape[1])}),
    "mixed, each": ("mixed_pool", lambda x, y, k, rng: {"a": rng.normal(size=(x.shape[1], *y[2:]))}),
    "ada": ("ada_pool", lambda x, y, k, rng: {"a": rng.normal(size=(x.shape[1], *y[2:]))}),
    "ada, one": ("ada_pool", lambda x, y, k, rng: {"a": 0.3}),
    "mixed, region": ("mixed_pool", lambda x, y, k, rng: {"random": "region", "seed": 5}),
    "mixed, map": ("mixed_pool", lambda x, y, k, rng: {"random": "map", "seed": 5}),
    "gated": ("gated_pool", lambda x, y, k, rng: {"weight": rng.normal(size=(x.shape[1], k)) / k,
                                                  "bias": rng.normal(size=x.shape[1])}),
    "gated, one": ("gated_pool", lambda x, y, k, rng: {"weight": rng.normal(size=k) / k}),
    "rank": ("rank_pool", lambda x, y, k, rng: {"weight": rng.normal(size=(x.shape[1], min(k, 5)))}),
    "rank, nine": ("rank_pool", lambda x, y, k, rng: {"weight": rng.normal(size=(x.shape[1], min(k, 9)))}),
    "rank, for all": ("rank_pool", lambda x, y, k, rng: {"weight": rng.normal(size=min(k, 9))}),
    "dpp": ("dpp_pool", lambda x, y, k, rng: by_channel(x, rng) | {"normalize": "mean", "symmetric": False}),
    "dpp, filter": ("dpp_pool", lambda x, y, k, rng: by_channel(x, rng) | {
        "filter": rng.normal(size=(x.shape[1], *(3, 2, 3)[: x.ndim - 2])), "bias": rng.normal(size=x.shape[1])}),
    "dpp, given": ("dpp_pool", lambda x, y, k, rng: by_channel(x, rng) | {
        "normalize": "sum", "reference": rng.normal(size=y).astype(x.dtype)}),
    "tree": ("tree_pool", lambda x, y, k, rng: {"leaves": rng.normal(size=(4, x.shape[1], k)),
                                                "gates": rng.normal(size=(3, k)) / k}),
    "tree, one": ("tree_pool", lambda x, y, k, rng: {"leaves": rng.normal(size=(2, k)), "gates": rng.normal(size=(1, k)) / k}),
}
SLIDING = ("gated", "gated, one", "dpp, filter", "tree", "tree, one")
SHAPED = ("logits", "reference")


def run(operator, x, dy, window, kwargs, *, layout="first", isa="scalar", backward=True):
    name, make = BITS[operator]
    flags, arrange, restore = LAYOUTS[layout]
    kernel = window if isinstance(window, tuple) else (window,) * (x.ndim - 2) if isinstance(window, int) else ()
    y_shape = cpool.max_pool.output_shape(x.shape, window, **kwargs)
    taps = int(np.prod(kernel)) if kernel else int(np.prod(x.shape[2:]) if window is cpool.whole else 1)
    inputs = make(x, y_shape, taps, np.random.default_rng(0))
    if flags:
        kwargs = kwargs | {"axes": tuple(range(1, x.ndim - 1))}
    op = getattr(cpool, name)
    inputs = {key: arrange(value) if key in SHAPED else value for key, value in inputs.items()}
    positional = [inputs.pop("logits")] if name == "lip_pool" else []
    with cpool.using_isa(isa):
        y, saved = op.forward(arrange(x), *positional, window, **kwargs, **inputs)
        result = {"y": restore(y)}
        if operator == "drawn":
            result["indices"] = restore(saved.indices)
        if operator in ("mixed, region", "mixed, map"):
            result["mask"] = restore(saved.mask)
        if backward:
            gradients = op.backward(arrange(dy), saved, wrt=("x",) if name == "stochastic_pool" else None)
            for field, gradient in gradients._asdict().items():
                if gradient is not None:
                    result[f"d{field}"] = restore(gradient) if field in ("x", *SHAPED) else gradient
    return result


# A window is worked out for itself: those of thousands of elements that overlap take too long here.
TOO_LONG = ("beyond 4096 along", "beyond 4096 down", "beyond 4096 in all", "3-d, tree")


# How windows are read is one for all operators: those that take long are shown every way of it in small.
SLOW = ("ada", "ada, one", "dpp", "dpp, filter", "dpp, given", "tree")
TELLING = ("stride 2", "stride 3, dilated, ceil", "few columns", "whole", "adaptive", "3-d, stride 2", "empty windows")


def bit_inputs(geometry, dtype):
    spatial, window, kwargs = GEOMETRIES[geometry]
    batch, channels = (1, 3) if is_costly(geometry) else (2 if geometry in TELLING else 1, 11)
    x = data("wide", 1, (batch, channels, *spatial), dtype)
    return x, data("wide", 2, cpool.max_pool.output_shape(x.shape, window, **kwargs), dtype), window, kwargs


@pytest.mark.parametrize("geometry", [geometry for geometry in GEOMETRIES if geometry not in TOO_LONG])
def test_instruction_sets_and_layouts(geometry):
    for i, (operator, dtype) in enumerate(product(BITS, DTYPES)):
        x, dy, window, kwargs = bit_inputs(geometry, dtype)
        if (operator in SLIDING and not isinstance(window, (int, tuple))) or (is_costly(geometry) and i % 3):
            continue
        if operator in SLOW and geometry not in TELLING:
            continue
        expected = run(operator, x, dy, window, kwargs, backward=geometry not in SLOW_GRADIENTS)
        ways = [(layout, isa) for j, layout in enumerate(LAYOUTS)
                for isa in (ISAS if layout in ("first", "last") else [ISAS[-1 - (i + j) % len(ISAS)]])]
        for layout, isa in ways[:: 3 if is_costly(geometry) else 1]:
            actual = run(operator, x, dy, window, kwargs, layout=layout, isa=isa, backward=geometry not in SLOW_GRADIENTS)
            assert_same(actual, expected, (operator, layout, isa))
        if len(x) > 1 and operator not in ("drawn", "mixed, region", "mixed, map", "dpp, given"):
            one = run(operator, x[:1], dy[:1], window, kwargs, isa=ISAS[-1], backward=geometry not in SLOW_GRADIENTS)
            same = [name for name in one if name in ("y", "dx", "dlogits")]
            assert_same({name: one[name] for name in same}, {name: expected[name][:1] for name in same}, (operator, "one"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_ranks(dtype):
    """Gradients of few and of many ranks are written in ways of their own."""
    x, dy, window, kwargs = bit_inputs("tree", dtype)
    weight = np.random.default_rng(0).normal(size=60)
    for count in (32, 33, 60):
        _, saved = cpool.rank_pool.forward(x, window, weight=weight[:count], **kwargs)
        with cpool.using_isa("scalar"):
            expected = cpool.rank_pool.backward(dy, saved)
        for isa in ISAS[1:]:
            with cpool.using_isa(isa):
                gradients = cpool.rank_pool.backward(dy, saved)
            assert_same(gradients._asdict(), expected._asdict(), (count, isa))


@pytest.mark.parametrize("far", [63.9, 64.1, 1e-38, 255.0, 257.0, 1e5, 1e7, 1e31, np.inf, np.nan])
@pytest.mark.parametrize("name", ["soft_pool", "lip_pool", "stochastic_pool", "ada_pool"])
def test_a_far_element_changes_no_other_window(name, far):
    # Windows without any have a quicker way, and so have rows.
    kwargs = {"stochastic_pool": {"training": False}, "ada_pool": {"a": 0.3}}.get(name, {})
    rng = np.random.default_rng(0)
    x, logits = rng.normal(size=(2, 2, 3, 9, 40)).astype(np.float32)
    dy = rng.normal(size=(2, 3, 5, 20)).astype(np.float32)
    far_x, far_logits = x.copy(), logits.copy()
    (far_logits if name == "lip_pool" else far_x)[..., 0, 0] = far

    def pool(x, logits):
        inputs = (x, logits) if name == "lip_pool" else (x,)
        y, saved = getattr(cpool, name).forward(*inputs, 3, stride=2, padding=1, **kwargs)
        gradients = getattr(cpool, name).backward(dy, saved, wrt=("x", "logits") if name == "lip_pool" else ("x",))
        return y, [gradient for gradient in gradients if gradient is not None]

    for isa in ISAS:
        with cpool.using_isa(isa):
            (y, near), (far_y, also) = pool(x, logits), pool(far_x, far_logits)
        assert len(near) == len(also) == (2 if name == "lip_pool" else 1)
        for rest in (np.s_[..., 1:, :], np.s_[..., 1:]):
            assert same_bits(far_y[rest], y[rest])
        for gradient, other in zip(near, also, strict=True):
            for rest in (np.s_[..., 2:, :], np.s_[..., 2:]):
                assert same_bits(other[rest], gradient[rest])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 35, 70])
def test_beta_of_each_channel(channels, dtype):
    x = data("wide", 0, (2, channels, 9, 8), dtype)
    beta = np.random.default_rng(0).normal(size=channels)
    beta[:2] = 1, 0
    alone = [cpool.soft_pool(x[:, c : c + 1], 3, stride=2, padding=1, beta=float(beta[c])) for c in range(channels)]
    for isa in ISAS:
        with cpool.using_isa(isa):
            assert same_bits(cpool.soft_pool(x, 3, stride=2, padding=1, beta=beta), np.concatenate(alone, axis=1))
            last = cpool.soft_pool(np.moveaxis(x, 1, -1).copy(), 3, stride=2, padding=1, beta=beta, axes=(1, 2))
            assert same_bits(np.moveaxis(last, -1, 1), np.concatenate(alone, axis=1))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_whole_planes_of_few_elements(size):
    x, logits = np.random.default_rng(0).normal(size=(2, 3, 5, size)).astype(np.float32)
    for op, inputs in [(cpool.soft_pool, (x,)), (cpool.lip_pool, (x, logits)), (cpool.stochastic_pool, (x,))]:
        wide = [value.astype(np.float64) for value in inputs]
        for window in (cpool.whole, cpool.adaptive(1), (size,)):
            y = op(*inputs, window, axes=(2,))
            np.testing.assert_allclose(y, op(*wide, window, axes=(2,)), rtol=0, atol=16 * 2.0**-24 * abs(x).max())


@pytest.mark.parametrize("window", [(2, 2), (1, 2), (3, 1), (1, 4)])
@pytest.mark.parametrize("weight", [[0.4, 0.3, 0.2, 0.1], [1.0, 1.0, -1.0, -1.0], [0.0, 1.0], [1e-40, 1.0, 1.0, 1.0]])
def test_few_ranks_of_floats(window, weight):
    """Windows whose sums float32 holds are summed in it; not those beside them."""
    weight = weight[: window[0] * window[1]]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 17, 13, 14)).astype(np.float32)
    for value in (3e38, -3e38, 1e-45, np.inf, -np.inf, np.nan):
        x[rng.random(x.shape) < 0.03] = value
    for stride in [None, 1, 3]:
        y = cpool.rank_pool(x, window, stride=stride, weight=weight)
        with np.errstate(invalid="ignore", over="ignore"):
            step = window if stride is None else (stride, stride)
            windows = np.lib.stride_tricks.sliding_window_view(x, window, axis=(2, 3))[:, :, :: step[0], :: step[1]]
            ranks = np.sort(windows.reshape(*windows.shape[:4], -1).astype(np.float64))[..., ::-1]
            parts = [ranks[..., r] * w for r, w in enumerate(weight[: ranks.shape[-1]])]
            total = sum(parts)
            expected = total.astype(np.float32)
            magnitude = sum(abs(part) for part in parts)
        known = np.isfinite(expected)
        assert same_bits(y[~known], expected[~known]) and 0.2 < known.mean() < 0.9
        error = abs(y[known].astype(np.float64) - total[known])
        assert (error <= 16 * 2.0**-24 * magnitude[known] + 2.0**-149).all()
        last = cpool.rank_pool(np.moveaxis(x, 1, -1).copy(), window, stride=stride, weight=weight, axes=(1, 2))
        assert same_bits(np.moveaxis(last, -1, 1), y)
        apart = np.zeros((2, 17, 13, 28), np.float32)[..., ::2]
        apart[...] = x
        for isa in ISAS:
            with cpool.using_isa(isa):
                assert same_bits(cpool.rank_pool(apart, window, stride=stride, weight=weight), y)


@pytest.mark.parametrize("kind", ["finite", "elements", "any"])
@pytest.mark.parametrize("shape", [(5, 1, 71, 39), (40, 1, 9, 11)], ids=str)
@pytest.mark.parametrize(("window", "kwargs"), [
    (2, {}), (2, {"stride": 3}), (2, {"stride": 1}), (3, {"stride": 2, "padding": 1}), (3, {"stride": 1, "padding": 1}),
    (3, {"stride": 2, "ceil_mode": True}), ((1, 4), {}), ((3, 1), {"stride": (2, 1)}), ((2, 3), {"padding": 1}),
    ((1, 9), {"stride": 1, "padding": (0, 4)}), ((9, 1), {"stride": 3, "padding": (4, 0)}), ((2, 4), {"stride": (1, 4)}),
], ids=str)
def test_gradients_of_ranks_of_floats(window, kwargs, shape, kind):
    """Few ranks, weighted alike in all channels, are worked out in float32; what it cannot hold is not."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=shape) * 4).astype(np.float32) / 4
    for value in (1e-45, -0.0, *((3e38, -3e38, np.inf, -np.inf, np.nan) if kind != "finite" else ())):
        x[rng.random(shape) < 0.03] = value
    x[-1] = 0 if kind == "finite" else -np.inf
    taps = int(np.prod(window)) if isinstance(window, tuple) else window**2
    weight = rng.normal(size=taps - taps // 5).astype(np.float32)
    dy = rng.normal(size=cpool.max_pool.output_shape(shape, window, **kwargs)).astype(np.float32)
    for value in (3e38, -3e38, 1e-45, np.inf, np.nan) if kind == "any" else ():
        dy[rng.random(dy.shape) < 0.02] = value

    def gradients(x, dy, weight, **more):
        return cpool.rank_pool.backward(dy, cpool.rank_pool.forward(x, window, weight=weight, **kwargs, **more)[1])

    found, wide = gradients(x, dy, weight), gradients(*(a.astype(np.float64) for a in (x, dy, weight)))
    with np.errstate(invalid="ignore", over="ignore"):
        assert same_bits(found.weight, wide.weight.astype(np.float32))  # sums in double of the same numbers
        magnitude = gradients(*(a.astype(np.float64) for a in (x, abs(dy), abs(weight)))).x
        expected, error = wide.x.astype(np.float32), abs(found.x.astype(np.float64) - wide.x)
    known = np.isfinite(expected)
    assert same_bits(found.x[~known], expected[~known]) and (known.all() if kind != "any" else 0.2 < known.mean() < 1)
    assert (error[known] <= 16 * 2.0**-24 * magnitude[known] + 2.0**-147).all()
    only = cpool.rank_pool.forward(x, window, weight=weight, **kwargs)[1]
    assert same_bits(cpool.rank_pool.backward(dy, only, wrt="weight"), found.weight)
    for isa in ISAS:
        with cpool.using_isa(isa):
            assert_same(gradients(x, dy, weight)._asdict(), found._asdict(), isa)
            last = gradients(np.moveaxis(x, 0, -1).copy(), np.moveaxis(dy, 0, -1).copy(), weight, axes=(1, 2))
            assert_same({"x": np.moveaxis(last.x, -1, 0), "weight": last.weight}, found._asdict(), (isa, "last"))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 31, 33, 65])
def test_any_number_of_lanes(count):
    for operator, dtype in product(BITS, DTYPES):
        for shape in [(1, count, 5, 4), (1, 2, 5, count + 2), (count, 1, 4, 3)]:
            x = data("wide", 0, shape, dtype)
            dy = data("wide", 1, cpool.max_pool.output_shape(shape, 3, stride=1), dtype)
            expected = run(operator, x, dy, 3, {"stride": 1})
            for layout, isa in product(("first", "last"), (ISAS[0], ISAS[-1])):
                actual = run(operator, x, dy, 3, {"stride": 1}, layout=layout, isa=isa)
                assert_same(actual, expected, (operator, shape, layout, isa))


@pytest.mark.parametrize("operator", ["gated", "gated, one", "tree", "tree, one"])
def test_tiles_that_begin_anywhere(operator):
    """Windows so large that few are worked off together: where a row of them is cut is no multiple of what sums are kept in."""
    x, kwargs = data("normal", 0, (1, 17, 13, 162), np.float32), {"stride": 1}
    dy = data("normal", 1, cpool.max_pool.output_shape(x.shape, 13, **kwargs), np.float32)
    expected = run(operator, x, dy, 13, kwargs)
    alone = run(operator, x[..., :28], dy[..., :16], 13, kwargs)
    for layout, isa in product(("first", "last"), ISAS):
        assert_same(run(operator, x, dy, 13, kwargs, layout=layout, isa=isa), expected, (layout, isa))
    with_zeros = run(operator, x, np.concatenate([dy[..., :16], dy[..., 16:] * 0], axis=-1), 13, kwargs)
    assert_same(with_zeros, {name: alone[name] for name in alone if name not in ("y", "dx")}, "alone")


@pytest.mark.parametrize("operator", [name for name in BITS if name != "dpp, filter"])
def test_elements_of_no_window_change_nothing(operator):
    x, kwargs = data("normal", 0, (2, 3, 5, 24), np.float32), {"stride": 2}
    dy = data("normal", 1, cpool.max_pool.output_shape(x.shape, 3, **kwargs), np.float32)
    x[..., 23] = 0
    expected = run(operator, x, dy, 3, kwargs)
    x[..., 23] = np.nan
    for layout, isa in product(("first", "last"), ISAS):
        assert_same(run(operator, x, dy, 3, kwargs, layout=layout, isa=isa), expected, (layout, isa))


@pytest.mark.parametrize("count", [3, 32, 35, 70])
def test_lanes_of_uneven_windows(count):
    """Planes side by side, more and fewer than a tile of them, whose rows are not split: they are as each is alone."""
    x, window = data("wide", 0, (1, count, 5, 7), np.float32), cpool.adaptive(3, 3)
    dy = data("wide", 1, (1, count, 3, 3), np.float32)

    def gradient(name, x, dy):
        inputs, given = ((x, x), {}) if name == "lip_pool" else ((x,), {"dpp_pool": {"alpha": 0.5, "lam": 1.0}}.get(name, {}))
        op = getattr(cpool, name)
        return op.backward(dy, op.forward(*inputs, window, **given)[1], wrt="x")

    for name in ("soft_pool", "lip_pool", "dpp_pool"):
        alone = [gradient(name, x[:, c : c + 1], dy[:, c : c + 1]) for c in range(count)]
        assert same_bits(gradient(name, x, dy), np.concatenate(alone, axis=1))


@pytest.mark.parametrize("operator", BITS)
@pytest.mark.parametrize("geometry", ["stride 1", "stride 3, dilated, ceil", "beyond 64 down", "3-d", "whole", "adaptive"])
def test_splits(operator, geometry):
    """Units in a hostile order on changing workers, and the workspace full of NaN."""
    x, dy, window, kwargs = bit_inputs(geometry, np.float32)
    if operator in SLIDING and not isinstance(window, (int, tuple)):
        return
    x, dy = np.tile(x, (1, 1, *[1] * (x.ndim - 2))), dy
    name, make = BITS[operator]
    kernel = window if isinstance(window, tuple) else (window,) * (x.ndim - 2) if isinstance(window, int) else (2, 2)
    inputs = make(x, dy.shape, int(np.prod(kernel)) if geometry != "adaptive" else 1, np.random.default_rng(0))
    op = getattr(cpool, name)
    positional = [inputs.pop("logits")] if name == "lip_pool" else []
    y, saved = op.forward(x, *positional, window, **kwargs, **inputs)
    gradients = op.backward(dy, saved, wrt=("x",) if name == "stochastic_pool" else None)
    params, kept = capi.kept_by(saved)
    outputs = {role: np.full_like(kept[role], 9) for role in (capi.TAPS, capi.MASK) if role in kept}
    arrays = {capi.X: x} | {role: a for role, a in kept.items() if role not in outputs} | outputs | {capi.Y: np.full_like(y, 9)}
    for way in (capi.hostile(3), None):
        call = capi.Call(params, arrays)
        size = call.query(capi.FORWARD, 3).workspace_size
        size = max(size, call.query(capi.FORWARD, 1).workspace_size) * 3 + 64
        call.forward(workers=3, parallel_for=way, workspace=np.full(size, 0xFF, np.uint8))
        assert_same({"y": arrays[capi.Y]}, {"y": y}, operator)
        assert_same({str(r): arrays[r] for r in outputs}, {str(r): kept[r] for r in outputs}, operator)
        results = {capi.GRAD | (capi.X if f == "x" else capi.ROLES[f]): np.asarray(g)
                   for f, g in gradients._asdict().items() if g is not None}
        back = {capi.GRAD | capi.Y: dy} | kept | {role: np.full_like(a, 9) for role, a in results.items()}
        call = capi.Call(params, back)
        size = max(call.query(capi.BACKWARD, n).workspace_size for n in (1, 3)) * 3 + 64
        call.backward(workers=3, parallel_for=way, workspace=np.full(size, 0xFF, np.uint8))
        assert_same({str(r): back[r] for r in results}, {str(r): a for r, a in results.items()}, operator)


@pytest.mark.parametrize("operator", BITS)
def test_numbers_of_threads(operator):
    for shape, window, kwargs in [((2, 8, 60, 50), 3, {"stride": 2, "padding": 1}), ((1, 1, 200, 150), 3, {"stride": 1})]:
        x = data("wide", 0, shape, np.float32)
        dy = data("wide", 1, cpool.max_pool.output_shape(shape, window, **kwargs), np.float32)
        expected = run(operator, x, dy, window, kwargs)
        for threads, layout in product((2, 3), ("first", "last")):
            with cpool.num_threads(threads):
                assert_same(run(operator, x, dy, window, kwargs, layout=layout, isa=ISAS[-1]), expected, (threads, layout))


@pytest.mark.parametrize("memory", ["C", "Fortran", "sliced", "reversed", "record", "transposed"])
def test_kmax_in_any_memory(memory):
    x = data("ties", 0, (4, 5, 30), np.float32)
    y, saved = cpool.kmax_pool.forward(x, 7)
    for threads in (1, 3):
        with cpool.num_threads(threads):
            other, kept = cpool.kmax_pool.forward(MEMORY[memory](x), 7)
            assert same_bits(other, y)
            np.testing.assert_array_equal(kept.indices, saved.indices)
            assert same_bits(cpool.kmax_pool.backward(MEMORY[memory](y), kept), cpool.kmax_pool.backward(y, saved))


# ---- Manners ---------------------------------------------------------------------------------------------------------

SENTINEL = 12345.0


def image(shape=(1, 2, 4, 4), dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


REFUSED = [
    (cpool.soft_pool, (), {"beta": np.nan}, ValueError, "beta=-?nan"),
    (cpool.soft_pool, (), {"beta": np.inf}, ValueError, "beta=inf"),
    (cpool.soft_pool, (), {"beta": [1.0, -np.inf]}, ValueError, "beta=-inf"),
    (cpool.soft_pool, (), {"beta": [1.0] * 3}, ValueError, "beta has 3 values.*2 channels"),
    (cpool.soft_pool, (), {"beta": np.ones((1, 2))}, ValueError, r"beta has shape \(1, 2\)"),
    (cpool.soft_pool, (), {"beta": "1"}, TypeError, "beta='1'"),
    (cpool.soft_pool, (), {"beta": np.ones(2, np.int64)}, TypeError, "beta has dtype int64"),
    (cpool.lip_pool, (image((1, 2, 4, 5)),), {}, ValueError, r"logits has shape \(1, 2, 4, 5\).*\(1, 2, 4, 4\)"),
    (cpool.lip_pool, (image((2, 4, 4)),), {}, ValueError, "logits has shape"),
    (cpool.lip_pool, (image(dtype=np.float64),), {}, TypeError, "logits has dtype float64"),
    (cpool.lip_pool, (None,), {}, TypeError, "logits"),
    (cpool.mixed_pool, (), {"a": [0.5] * 3}, ValueError, "a has 3 values.*2 channels"),
    (cpool.mixed_pool, (), {"a": np.zeros((2, 3, 2))}, ValueError, r"a has shape \(2, 3, 2\).*\(2, 2\)"),
    (cpool.mixed_pool, (), {"a": np.zeros((3, 2, 2))}, ValueError, "a has 3 rows.*2 channels"),
    (cpool.mixed_pool, (), {"a": None}, TypeError, "a=None"),
    (cpool.ada_pool, (), {"a": [0.5] * 3}, ValueError, "a has 3 values.*2 channels"),
    (cpool.ada_pool, (), {"a": np.zeros((2, 3, 2))}, ValueError, r"a has shape \(2, 3, 2\).*\(2, 2\)"),
    (cpool.gated_pool, (), {"weight": np.zeros(5)}, ValueError, r"weight has shape \(5,\).*4"),
    (cpool.gated_pool, (), {"weight": np.zeros((3, 4))}, ValueError, "weight has 3 rows.*2 channels"),
    (cpool.gated_pool, (), {"weight": 1.0}, ValueError, "weight has shape"),
    (cpool.gated_pool, (), {"weight": np.zeros(4), "bias": np.zeros(3)}, ValueError, "bias has 3 values"),
    (cpool.gated_pool, (), {"weight": np.zeros(4), "bias": "b"}, TypeError, "bias='b'"),
    (cpool.gated_pool, (), {"weight": np.zeros(4), "window": cpool.whole}, ValueError, "gated_pool takes no whole"),
    (cpool.gated_pool, (), {"weight": np.zeros(4), "window": cpool.adaptive(2, 2)}, ValueError, "gated_pool takes no adaptive"),
    (cpool.rank_pool, (), {"weight": np.zeros(5)}, ValueError, r"weight has shape \(5,\).*1 to 4"),
    (cpool.rank_pool, (), {"weight": np.zeros(0)}, ValueError, "weight has shape"),
    (cpool.rank_pool, (), {"weight": np.zeros((3, 2))}, ValueError, "weight has 3 rows"),
    (cpool.rank_pool, (), {"weight": np.zeros((1, 1, 2))}, ValueError, "weight has shape"),
]


@pytest.mark.parametrize(("op", "inputs", "given", "error", "message"), REFUSED)
def test_refused(op, inputs, given, error, message):
    out = np.full((1, 2, 2, 2), SENTINEL, np.float32)
    given = {"window": 2} | given
    for call in (op, op.forward):
        with pytest.raises(error, match=message):
            call(image(), *inputs, **given, out=out)
    assert (out == SENTINEL).all()


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"u": np.full((1, 2, 2, 2), 1.0)}, ValueError, "u holds 1"),
    ({"u": np.full((1, 2, 2, 2), -0.1)}, ValueError, "u holds -0.1"),
    ({"u": np.full((1, 2, 2, 2), np.nan)}, ValueError, "u holds"), ({"u": np.zeros((2, 2))}, ValueError, "u has shape"),
    ({"u": np.zeros((1, 2, 2, 2), int)}, TypeError, "u has dtype"), ({"training": 1}, TypeError, "training=1"),
    ({"training": False, "u": np.zeros((1, 2, 2, 2))}, ValueError, "training"), ({"seed": -1}, ValueError, "seed=-1"),
    ({"seed": 2**64}, ValueError, "seed="), ({"seed": 1.0}, TypeError, "seed=1.0"), ({"seed": True}, TypeError, "seed=True"),
    ({"offset": -1}, ValueError, "offset=-1"), ({"offset": None}, TypeError, "offset=None"),
])
def test_refused_draws(given, error, message):
    out = np.full((1, 2, 2, 2), SENTINEL, np.float32)
    with pytest.raises(error, match=message):
        cpool.stochastic_pool.forward(image(), 2, **given, out=out)
    assert (out == SENTINEL).all()


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"random": "pixel"}, ValueError, "random='pixel'"), ({"random": 1}, TypeError, "random=1"),
    ({"random": "map", "p_max": 1.5}, ValueError, "p_max=1.5"), ({"random": "map", "p_max": np.nan}, ValueError, "p_max"),
    ({"random": "map", "p_max": "1"}, TypeError, "p_max='1'"), ({"random": "map", "seed": "1"}, TypeError, "seed='1'"),
])
def test_refused_blends(given, error, message):
    with pytest.raises(error, match=message):
        cpool.mixed_pool.forward(image(), 2, **given)


@pytest.mark.parametrize(("k", "given", "error", "message"), [
    (0, {}, ValueError, "k=0"), (5, {}, ValueError, "k=5.*4 elements"), (-1, {}, ValueError, "k=-1"),
    (1.0, {}, TypeError, "k=1.0"), (2**62, {"lengths": 3}, ValueError, "k="), (2, {"axis": 4}, ValueError, "ax"),
    (2, {"axis": None}, TypeError, "axis=None"), (2, {"lengths": [5]}, ValueError, "lengths holds 5; each must be 0 to 4"),
    (2, {"lengths": [-1]}, ValueError, "lengths holds -1"), (2, {"lengths": [1.0]}, TypeError, "lengths has dtype float64"),
    (2, {"lengths": [1, 1]}, ValueError, "lengths has shape"),
    (2, {"lengths": [1], "axis": 0}, ValueError, "lengths has shape"),
    (2, {"lengths": np.zeros(1, np.int32)}, TypeError, r"lengths\.astype"),
])
def test_refused_kmax(k, given, error, message):
    with pytest.raises(error, match=message):
        cpool.kmax_pool(image(), k, **given)


def test_refused_in_c():
    x, y = image(), np.full((1, 2, 2, 2), 7, np.float32)
    for op, granularity, status in [(capi.MAX, 1, capi.INVALID_VALUE), (capi.MIXED_RANDOM, 3, capi.UNSUPPORTED),
                                    (capi.MIXED_RANDOM, -1, capi.UNSUPPORTED)]:
        params = capi.make_params(op, (2, 2))
        params.granularity = granularity
        with pytest.raises(capi.CpoolError, match=f"params.granularity={granularity} is not known to") as raised:
            capi.Call(params, {capi.X: x, capi.Y: y}).forward()
        assert raised.value.status == status
    params = capi.make_params(capi.MAX, (2, 2))
    params.k = 2
    with pytest.raises(capi.CpoolError, match="k=2 belongs to kmax_pool alone"):
        capi.Call(params, {capi.X: x, capi.Y: y}).forward()
    params = capi.make_params(capi.KMAX, (1, 1))
    params.k = 2
    with pytest.raises(capi.CpoolError, match="rank=2: kmax_pool goes along one axis") as raised:
        capi.Call(params, {capi.X: x, capi.Y: y}).forward()
    assert raised.value.status == capi.INVALID_VALUE
    params.rank, y = 1, np.full((1, 2, 4, 2), 7, np.float32)
    with pytest.raises(capi.CpoolError, match="lengths must be int64") as raised:
        capi.Call(params, {capi.X: x, capi.Y: y, capi.LENGTHS: np.array([4], np.int32)}).forward()
    assert (raised.value.status, raised.value.role) == (capi.INVALID_TYPE, capi.LENGTHS)
    assert (y == 7).all()


OPERATORS = [cpool.soft_pool, cpool.lip_pool, cpool.stochastic_pool, cpool.mixed_pool, cpool.ada_pool, cpool.gated_pool,
             cpool.rank_pool]


def arguments(op, x, window=4):
    positional = (x, x * 0) if op is cpool.lip_pool else (x,)
    named = {"gated_pool": {"weight": np.ones(window)}, "rank_pool": {"weight": np.ones(3)}}.get(op.__name__, {})
    return positional, named


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_saved(op):
    x = image((2, 3, 6, 6))
    positional, named = arguments(op, x)
    y, saved = op.forward(*positional, 2, **named)
    assert saved.op is op and saved.nbytes > 0
    dx = op.backward(y, saved, wrt="x")
    other = pickle.loads(pickle.dumps(saved))
    assert same_bits(op.backward(y, other, wrt="x"), dx)
    out = np.empty_like(x)
    assert op.backward(y, saved, wrt="x", out=out) is out and same_bits(out, dx)
    target = np.full((2, 3, 6, 3), 7, np.float32)[:, :, ::2]
    assert op.forward(*positional, 2, **named, out=target)[0] is target
    if op is not cpool.stochastic_pool:
        assert same_bits(target, y)
        with pytest.raises(AttributeError):
            _ = saved.indices
        with pytest.raises(AttributeError):
            _ = saved.seed
    with pytest.raises(AttributeError):
        _ = saved.mask
    with pytest.raises(ValueError, match=r"out.*\bx\b"):
        op(*positional, 1, **(named if op is not cpool.gated_pool else {"weight": [1.0]})
           | ({"weight": [1.0]} if op is cpool.rank_pool else {}), out=x)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_forged_saved(op):
    """Arrays of other shapes and kinds: an error, or a gradient, never more."""
    x = image((1, 2, 4, 4))
    positional, named = arguments(op, x)
    y, saved = op.forward(*positional, 2, **named)
    junk = [np.zeros(3), np.zeros((1, 2, 2, 2), np.uint8), np.full((1, 2, 2, 2), 255, np.uint8), np.zeros(0), 1.0, np.nan,
            np.zeros((1, 1, 4, 4), np.float32), np.full((1, 2, 2, 2), 77, np.uint8), np.zeros((2, 9)),
            np.zeros((1, 2, 2, 2), complex)]
    for name, value in product(capi.ROLES, junk):
        try:
            other = capi.forged(saved, **{name: value})
            assert op.backward(y, other, wrt="x").shape == x.shape
        except (ValueError, TypeError):
            continue


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty_batches(shape):
    x = np.zeros(shape, np.float32)
    for op, named in [(cpool.soft_pool, {"beta": np.ones(shape[1])}), (cpool.mixed_pool, {"a": np.ones((shape[1], 2, 2))}),
                      (cpool.gated_pool, {"weight": np.ones((shape[1], 4)), "bias": 1.0}),
                      (cpool.rank_pool, {"weight": [1.0]})]:
        y, saved = op.forward(x, 2, **named)
        gradients = op.backward(y, saved)
        assert gradients.x.shape == shape
        for field, value in named.items():
            np.testing.assert_array_equal(getattr(gradients, field), np.zeros(np.shape(value)))
    logits = np.zeros((shape[0], 1, 4, 4), np.float32)
    y, saved = cpool.lip_pool.forward(x, logits, 2)
    np.testing.assert_array_equal(cpool.lip_pool.backward(y, saved).logits, 0)
    y, saved = cpool.stochastic_pool.forward(x, 2, seed=1)
    assert cpool.stochastic_pool.backward(y, saved).shape == shape
    assert cpool.kmax_pool(x, 2).shape == (*shape[:3], 2)


def test_seeds():
    x = np.ones((8, 64, 4))
    made = [cpool.stochastic_pool.forward(x, (4,), seed=seed)[1] for seed in (None, None, np.random.default_rng(1), 5)]
    assert len({saved.seed for saved in made}) == 4
    same = cpool.stochastic_pool.forward(x, (4,), seed=np.random.default_rng(1))[1]
    assert same.seed == made[2].seed
    np.testing.assert_array_equal(cpool.stochastic_pool.forward(x, (4,), seed=made[0].seed)[1].indices, made[0].indices)


def test_parameters_may_change_after_forward():
    x, beta = image(), np.array([1.0, 2.0])
    y, saved = cpool.soft_pool.forward(x, 2, beta=beta)
    before = cpool.soft_pool.backward(y, saved)
    beta[:] = 9
    assert same_bits(cpool.soft_pool.backward(y, saved).x, before.x)


@pytest.mark.parametrize("op", [cpool.max_pool, *OPERATORS], ids=lambda op: op.__name__)
def test_known_relations(op):
    """What one operator is by another."""
    x = data("normal", 4, (2, 3, 6, 6), np.float64)
    relations = {
        "max_pool": [(cpool.rank_pool(x, 2, weight=[1.0]), 0), (cpool.mixed_pool(x, 2, a=1.0), 0),
                     (cpool.soft_pool(x, 2, beta=1e5), 1e-12)],
        "soft_pool": [(cpool.lip_pool(x, x, 2), 1e-15)],
        "lip_pool": [], "stochastic_pool": [], "gated_pool": [], "ada_pool": [],
        "mixed_pool": [(cpool.gated_pool(x, 2, weight=np.zeros(4)), 1e-15)],
        "rank_pool": [],
    }[op.__name__]
    positional, named = arguments(op, x)
    for y, tolerance in relations:
        np.testing.assert_allclose(y, op(*positional, 2, **named), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(cpool.soft_pool(x, 2, beta=0.0), cpool.avg_pool(x, 2), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(cpool.rank_pool(x, 2, weight=np.full(4, 0.25)), cpool.avg_pool(x, 2), rtol=1e-14, atol=1e-15)




@pytest.mark.parametrize("scale", [1e15, 1e16, 1e100, 1e270, 1e300, 1.7e308])
def test_the_largest_takes_all(scale):
    """Weights of products that have no fraction, up to the largest numbers."""
    x = np.array([-1.0, 0.5, 1.0, 0.999]) * scale
    np.testing.assert_array_equal(cpool.soft_pool(x, (4,)), x[2])
    np.testing.assert_array_equal(cpool.soft_pool(-x, (4,)), scale)
    np.testing.assert_array_equal(cpool.soft_pool(x, (4,), beta=-1.0), -scale)
    np.testing.assert_array_equal(cpool.lip_pool([1.0, 2.0, 3.0, 4.0], x, (4,)), 3)
    np.testing.assert_array_equal(cpool.soft_pool([-scale, -scale], (2,), beta=1e300), -scale)
