"""Normalization against the reference: every operator and layout, forward and backward; and the specification's examples."""

import copy
import json
import pickle
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cases import MEMORY
from hypothesis import given
from hypothesis import strategies as st
from reference import WIDE, Normalization, normalize, normalize_grad

import cpool

DTYPES = [np.float32, np.float64]
X = np.array([[1, 2, 5, 3], [4, 0, 1, 2], [-1, 3, 2, 2], [0, 6, -2, 4]], np.float64)
ONE = X.reshape(1, 1, 4, 4)


def close(actual, expected, what=""):
    assert actual.shape == expected.value.shape, what
    excess = expected.excess(actual)
    worst = np.unravel_index(np.argmax(excess), excess.shape) if excess.size else None
    assert not excess.any(), (f"{what} {actual.dtype}: {np.count_nonzero(excess)} off, at {worst}: {actual[worst]!r}, not "
                              f"{expected.value[worst]!r} within {expected.bound[worst]!r}")


# ---- The examples of the specification -------------------------------------------------------------------------------


def test_training_example():
    y, saved = cpool.batch_norm.forward(ONE, [2.0], [0.5])
    np.testing.assert_allclose(y[0, 0, 0], [-.456182, .5, 3.368545, 1.456182], atol=1e-6)
    dy = np.zeros_like(ONE)
    dy[0, 0, 0, 0] = 1
    gradients = cpool.batch_norm.backward(dy, saved)
    np.testing.assert_allclose(gradients.x[0, 0, 0], [.882761, -.059761, -.018782, -.046102], atol=1e-6)
    np.testing.assert_allclose(gradients.bias, [1])
    np.testing.assert_allclose(gradients.weight, [-.478091], atol=1e-6)


def test_relu_example():
    _, saved = cpool.batch_norm.forward(ONE, [2.0], [0.5], relu=True)
    gradients = cpool.batch_norm.backward(np.ones_like(ONE), saved)
    np.testing.assert_allclose(gradients.weight, [6.215182], atol=1e-6)
    np.testing.assert_array_equal(gradients.bias, [10])
    np.testing.assert_allclose(gradients.x[0, 0, 0], [-.420037, .358568, -.174160, .180992], atol=1e-6)


def test_running_example():
    for unbiased, var in ((True, 1.366667), (False, 1.3375)):
        running = cpool.RunningStats(1, unbiased=unbiased)
        cpool.batch_norm.forward(ONE, running=running)
        np.testing.assert_allclose([running.mean[0], running.var[0]], [.2, var], atol=1e-6)


def test_merging_example():
    upper, lower = cpool.moments(ONE[:, :, :2]), cpool.moments(ONE[:, :, 2:])
    assert (upper.count, *upper.mean, *upper.m2) == (8, 2.25, 19.5)
    assert (lower.count, *lower.mean, *lower.m2) == (8, 1.75, 49.5)
    total = upper + lower
    assert (total.count, *total.mean, *total.m2) == (16, 2, 70)


def test_rms_example():
    y = cpool.rms_norm(X, (0, 1))
    np.testing.assert_allclose(y[0], [.345547, .691094, 1.727736, 1.036641], atol=1e-6)


# ---- Every operator against the reference ----------------------------------------------------------------------------


@st.composite
def calls(draw, ops=("batch", "instance", "group", "layer", "rms")):
    """An operator, its arguments, and x."""
    op = draw(st.sampled_from(ops))
    ndim = draw(st.integers(2 if op not in ("layer", "rms") else 1, 5))
    longest = {1: 300, 2: 90, 3: 24, 4: 9, 5: 5}[ndim]
    shape = [draw(st.integers(1, longest)) for _ in range(ndim)]
    options, groups = {}, None
    if op in ("layer", "rms"):
        axes = draw(st.permutations(range(ndim)).map(tuple))[: draw(st.integers(1, ndim))]
        options["axes"] = tuple(a - ndim * draw(st.booleans()) for a in axes)
        kind = Normalization.layer(shape, axes, op == "layer")
    else:
        channel = draw(st.integers(0, ndim - 1))
        options["channel_axis"] = channel - ndim * draw(st.booleans())
        if op == "group":
            groups = draw(st.integers(1, 4))
            shape[channel] = groups * draw(st.integers(1, 12))
            options["groups"] = groups
            kind = Normalization.groups(shape, channel, groups)
        else:
            kind = getattr(Normalization, op)(shape, channel)
    dtype = draw(st.sampled_from(DTYPES))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    shift, spread = draw(st.sampled_from([(0, 1), (3, 1), (1e3, 1), (-1e6, 1), (0, 1e-20), (1e5, 100)]))
    x = (rng.normal(size=shape) * spread + shift).astype(dtype)
    memory = MEMORY[draw(st.sampled_from(sorted(MEMORY)))]
    parameters = {}
    if draw(st.booleans()):
        parameters["weight"] = rng.normal(size=kind.shape).astype(draw(st.sampled_from([dtype, np.float64])))
    if draw(st.booleans()) and op != "rms":
        parameters["bias"] = rng.normal(size=kind.shape).astype(dtype)
    options["eps"] = draw(st.sampled_from([1e-5, 1e-3, 1e-45]))
    relu = op == "batch" and draw(st.booleans())
    if relu:
        options["relu"] = True
    dy = memory(rng.normal(size=shape).astype(dtype))
    return getattr(cpool, f"{op}_norm"), kind, memory(x), dy, options, parameters


@given(calls())
def test_forward_and_backward(call):
    op, kind, x, dy, options, parameters = call
    relu = options.get("relu", False)
    expected = normalize(kind, x, eps=options["eps"], relu=relu, **parameters)
    y, saved = op.forward(x, **options, **parameters)
    assert y.dtype == x.dtype
    close(y, expected, "y")
    gradients = op.backward(dy, saved)
    dx, dweight, dbias = normalize_grad(kind, x, dy, parameters.get("weight"), options["eps"], positive=y > 0 if relu else None)
    close(gradients.x, dx, "dx")
    for name, value in (("weight", dweight), ("bias", dbias)):
        got = getattr(gradients, name)
        assert (got is None) == (name not in parameters)
        if got is not None:
            assert got.dtype == parameters[name].dtype
            close(got, value, name)
    if op is not cpool.batch_norm:
        np.testing.assert_array_equal(op(x, **options, **parameters), y)


@given(calls(ops=("batch",)), st.integers(0, 99))
def test_constants(call, seed):
    op, kind, x, dy, options, parameters = call
    relu = options.get("relu", False)
    rng = np.random.default_rng(seed)
    mean, var = rng.normal(size=kind.shape), rng.uniform(0.1, 4, size=kind.shape)
    expected = normalize(kind, x, mean=mean, var=var, eps=options["eps"], relu=relu, **parameters)
    y = op(x, mean=mean, var=var, **options, **parameters)
    close(y, expected, "y")
    again, saved = op.forward(x, mean=mean, var=var, **options, **parameters)
    np.testing.assert_array_equal(again, y)
    gradients = op.backward(dy, saved)
    wanted = normalize_grad(kind, x, dy, parameters.get("weight"), options["eps"], mean, var, y > 0 if relu else None)
    for name, got, value in zip(gradients._fields, gradients, wanted, strict=True):
        if got is not None:
            close(got, value, name)


# Shapes that are cut into blocks, chunks and ranges: every limit of the planner is passed by one of them.
LARGE = {
    "long rows": ("batch_norm", (2, 3, 20000), {}),
    "one long row": ("batch_norm", (1, 1, 600_000), {}),
    "many rows": ("batch_norm", (300, 5, 49), {}),
    "many small rows": ("batch_norm", (7000, 70, 1, 2), {}),
    "across": ("batch_norm", (40, 33, 37, 17), {"channel_axis": -1}),
    "fully connected": ("batch_norm", (1700, 300), {}),
    "wide": ("batch_norm", (3, 5000), {}),
    "samples across": ("instance_norm", (3, 40, 41, 21), {"channel_axis": -1}),
    "large sample across": ("instance_norm", (2, 700, 600), {"channel_axis": -1}),
    "large sample along": ("instance_norm", (2, 2, 600, 1001), {}),
    "groups along": ("group_norm", (3, 24, 40, 41), {"groups": 3}),
    "groups across": ("group_norm", (3, 40, 41, 24), {"groups": 3, "channel_axis": -1}),
    "one wide group": ("group_norm", (2, 7, 2500), {"groups": 1, "channel_axis": -1}),
    "large groups": ("group_norm", (2, 6, 300, 500), {"groups": 2}),
    "layers": ("layer_norm", (2000, 300), {}),
    "long layers": ("layer_norm", (3, 300_000), {}),
    "layers in chunks": ("layer_norm", (3, 600_000), {}),
    "layers of three axes": ("layer_norm", (50, 20, 30, 11), {"axes": (1, 2, 3)}),
    "layers of channels": ("layer_norm", (6, 48, 20, 21), {"axes": (1,)}),
    "rms": ("rms_norm", (700, 600), {}),
}


def kind_of(name, shape, options):
    if name in ("layer_norm", "rms_norm"):
        return Normalization.layer(shape, options.get("axes", (-1,)), name == "layer_norm")
    channel = options.get("channel_axis", 1) % len(shape)
    if name == "group_norm":
        return Normalization.groups(shape, channel, options["groups"])
    return getattr(Normalization, name.removesuffix("_norm"))(shape, channel)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LARGE)
def test_large(case, dtype):
    name, shape, options = LARGE[case]
    op, kind, rng = getattr(cpool, name), kind_of(name, shape, options), np.random.default_rng(1)
    x = (rng.normal(size=shape) + 1000).astype(dtype)
    dy = rng.normal(size=shape).astype(dtype)
    parameters = {"weight": rng.normal(size=kind.shape).astype(dtype)}
    if name != "rms_norm":
        parameters["bias"] = rng.normal(size=kind.shape).astype(dtype)
    y, saved = op.forward(x, **options, **parameters)
    close(y, normalize(kind, x, **parameters), "y")
    for got, expected in zip(op.backward(dy, saved), normalize_grad(kind, x, dy, parameters["weight"]), strict=True):
        if got is not None:
            close(got, expected, "gradient")


LARGEST = {
    "one row of more than 16 chunks": ("batch_norm", (1, 1, 4_500_000)),
    "layers of more than 16 ranges": ("layer_norm", (18, 250_000)),
}


@pytest.mark.parametrize("case", LARGEST)
def test_largest(case):
    """Too large for the reference: NumPy in double, as each result is rounded to float."""
    name, shape = LARGEST[case]
    op, rng = getattr(cpool, name), np.random.default_rng(1)
    x, dy = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    weight = rng.normal(size=shape[-1] if name == "layer_norm" else 1).astype(np.float32)
    y, saved = op.forward(x, weight=weight, bias=np.zeros_like(weight), eps=0.01)
    gradients = op.backward(dy, saved)

    wide, scaled = x.astype(np.float64), dy * weight.astype(np.float64)
    centered = wide - wide.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 0.01)
    normed = centered * rstd
    dx = rstd * (scaled - scaled.mean(axis=-1, keepdims=True) - normed * (scaled * normed).mean(axis=-1, keepdims=True))
    others = 0 if name == "layer_norm" else (0, 1, 2)
    near = {"rtol": 2.0**-23, "atol": 1e-9}
    np.testing.assert_allclose(y, normed * weight, **near)
    np.testing.assert_allclose(gradients.x, dx, **near)
    np.testing.assert_allclose(gradients.weight, np.atleast_1d((dy * normed).sum(axis=others)), **near)
    np.testing.assert_allclose(gradients.bias, np.atleast_1d(dy.sum(axis=others, dtype=np.float64)), **near)
    with cpool.using_isa("scalar"), cpool.num_threads(1):
        again, saved = op.forward(x, weight=weight, bias=np.zeros_like(weight), eps=0.01)
        for field, gradient in op.backward(dy, saved)._asdict().items():
            np.testing.assert_array_equal(gradient, getattr(gradients, field), field)
    np.testing.assert_array_equal(again, y)


# ---- Gradients by finite differences ---------------------------------------------------------------------------------


def difference(function, a, step=1e-5):
    gradient = np.empty_like(a)
    for at in np.ndindex(a.shape):
        here = a[at]
        a[at] = here + step
        above = function()
        a[at] = here - step
        gradient[at] = (above - function()) / (2 * step)
        a[at] = here
    return gradient


@pytest.mark.parametrize(("name", "relu"), [*product(["instance_norm", "group_norm", "layer_norm", "rms_norm"], [False]),
                                            *product(["batch_norm", "constants"], [False, True])])
def test_finite_differences(name, relu):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(3, 4, 2, 3)), rng.normal(size=(3, 4, 2, 3))
    options = {"group_norm": {"groups": 2}, "layer_norm": {"axes": (1, 3)}, "rms_norm": {"axes": (2, 1)}}.get(name, {})
    if name == "constants":
        options = {"mean": rng.normal(size=4), "var": rng.uniform(1, 2, 4)}
        name = "batch_norm"
    op, kind = getattr(cpool, name), kind_of(name, x.shape, options)
    if relu:
        options["relu"] = True
    parameters = {"weight": rng.normal(size=kind.shape), "bias": rng.normal(size=kind.shape)}
    if name == "rms_norm":
        del parameters["bias"]

    def loss():
        return float((op.forward(x, **options, **parameters)[0] * dy).sum())

    _, saved = op.forward(x, **options, **parameters)
    gradients = op.backward(dy, saved)
    np.testing.assert_allclose(gradients.x, difference(loss, x), rtol=1e-6, atol=1e-7)
    for field, value in parameters.items():
        np.testing.assert_allclose(getattr(gradients, field), difference(loss, value), rtol=1e-6, atol=1e-7)


# ---- Accuracy on data that is hard -----------------------------------------------------------------------------------


def variances(x, channel=1):
    wide = np.moveaxis(x.astype(WIDE), channel, -1).reshape(-1, x.shape[channel])
    return ((wide - wide.mean(axis=0)) ** 2).mean(axis=0)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0, 1, 1e3, 1e6])
@pytest.mark.parametrize("shape", [(4, 3, 2, 1), (8, 5, 14, 14), (2, 3, 40000), (600, 20, 9)])
def test_variance(shape, shift, dtype, layout):
    x = (np.random.default_rng(0).normal(size=shape) + shift).astype(dtype)
    channel = 1
    if layout == "last":
        x, channel = np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1
    m = cpool.moments(x, channel_axis=channel)
    expected = variances(x, channel)
    bound = 2 * 2.0**-24 if dtype == np.float32 else 1e-13
    assert np.all(np.abs(m.var - expected) <= bound * expected)
    assert m.count == x.size // shape[1]
    wide = np.moveaxis(x.astype(WIDE), channel, -1).reshape(-1, shape[1])
    np.testing.assert_allclose(m.mean, wide.mean(axis=0).astype(np.float64), rtol=2**-52, atol=1e-14)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_channels(dtype, layout):
    x = np.empty((5, 4, 30, 31), dtype)
    x[...] = np.array([0, 0.1, -1e6, 3e30], dtype)[:, None, None]
    if layout == "last":
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    channel = 1 if layout == "first" else -1
    m = cpool.moments(x, channel_axis=channel)
    np.testing.assert_array_equal(m.m2, 0)
    np.testing.assert_array_equal(m.mean, np.array([0, 0.1, -1e6, 3e30], dtype).astype(np.float64))
    y = cpool.batch_norm.forward(x, bias=[1.0, 2.0, 3.0, 4.0], channel_axis=channel)[0]
    np.testing.assert_array_equal(np.moveaxis(y, channel, -1), np.broadcast_to(np.array([1, 2, 3, 4], dtype), (5, 30, 31, 4)))


@pytest.mark.parametrize("values", ["huge", "subnormal", "outlier", "zeros and one"])
def test_hard_values(values):
    rng = np.random.default_rng(0)
    shape = (6, 3, 7, 11)
    x = rng.normal(size=shape).astype(np.float32)
    eps = 1e-5
    if values == "huge":
        x = (x * 1e30).astype(np.float32)
    elif values == "subnormal":
        x, eps = (x * 1e-40).astype(np.float32), 1e-80
    elif values == "outlier":
        x = (x + 1e6).astype(np.float32)
        x[0, :, 0, 0] = 0
    else:
        x = np.zeros(shape, np.float32)
        x[3, :, 2, 2] = 1e-30
        eps = 0.0
    dy = rng.normal(size=shape).astype(np.float32)
    kind = Normalization.batch(shape, 1)
    y, saved = cpool.batch_norm.forward(x, eps=eps)
    close(y, normalize(kind, x, eps=eps), "y")
    close(cpool.batch_norm.backward(dy, saved, wrt="x"), normalize_grad(kind, x, dy, eps=eps)[0], "dx")
    assert np.all(cpool.moments(x).m2 >= 0)


@given(st.lists(st.floats(-2.0**99, 2.0**99, width=32), min_size=1, max_size=40), st.sampled_from(DTYPES))
def test_variance_is_never_negative(values, dtype):
    x = np.array(values, dtype)[:, None]
    assert np.all(cpool.moments(x).m2 >= 0)
    assert np.all(cpool.moments(np.ascontiguousarray(x.T), channel_axis=0).m2 >= 0)


def test_one_element_per_channel():
    x = np.array([[3.0, -2.0]], np.float32)
    y, saved = cpool.batch_norm.forward(x, [5.0, 5.0], [0.5, 0.25])
    np.testing.assert_array_equal(y, [[0.5, 0.25]])
    np.testing.assert_array_equal(cpool.batch_norm.backward(np.ones_like(x), saved).x, 0)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_stays_in_its_channel(bad, layout):
    x = np.random.default_rng(0).normal(size=(3, 20, 5, 5)).astype(np.float32)
    dirty = x.copy()
    dirty[1, 7, 2, 3] = bad
    channel = 1
    if layout == "last":
        x, dirty = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, dirty))
        channel = -1
    with np.errstate(invalid="ignore"):
        clean, saved = cpool.batch_norm.forward(x, channel_axis=channel)
        y, dirty_saved = cpool.batch_norm.forward(dirty, channel_axis=channel)
        dx, dirty_dx = (cpool.batch_norm.backward(np.ones_like(x), s).x for s in (saved, dirty_saved))
    others = np.arange(20) != 7
    for a, b in ((clean, y), (dx, dirty_dx)):
        a, b = (np.moveaxis(v, channel, -1) for v in (a, b))
        np.testing.assert_array_equal(b[..., others], a[..., others])
        assert np.isnan(b[..., 7]).all()
    relu = cpool.batch_norm.forward(dirty, channel_axis=channel, relu=True)[0]
    assert np.isnan(np.moveaxis(relu, channel, -1)[..., 7]).all()


def test_relu_gives_positive_zero_and_keeps_nan():
    x = np.array([[-1.0], [-0.0], [0.0], [2.0], [np.nan]], np.float32)
    y = cpool.batch_norm(x, mean=[0.0], var=[1.0], eps=0.0, relu=True).ravel()
    np.testing.assert_array_equal(y, [0, 0, 0, 2, np.nan])
    assert not np.signbit(y[:4]).any()


# ---- Memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [1, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(dtype, channel):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(4, 6, 5, 6)).astype(dtype) for _ in range(2))
    stats = {"mean": rng.normal(size=6), "var": rng.uniform(1, 2, 6), "channel_axis": channel}
    expected = cpool.batch_norm(x, **stats)
    a = x.copy()
    assert cpool.batch_norm(a, **stats, out=a) is a
    np.testing.assert_array_equal(a, expected)
    b = np.asfortranarray(x)
    np.testing.assert_array_equal(cpool.batch_norm(b, **stats, out=b), expected)
    for op, options in ((cpool.batch_norm, {}), (cpool.instance_norm, {}), (cpool.group_norm, {"groups": 3})):
        _, saved = op.forward(x, channel_axis=channel, **options)
        gradient = op.backward(dy, saved, wrt="x")
        d = dy.copy()
        assert op.backward(d, saved, wrt="x", out=d) is d
        np.testing.assert_array_equal(d, gradient)
        if op is not cpool.batch_norm:
            c = x.copy()
            np.testing.assert_array_equal(op(c, channel_axis=channel, **options, out=c), op(x, channel_axis=channel, **options))
    weight = rng.normal(size=6).astype(dtype)
    _, saved = cpool.layer_norm.forward(x, weight=weight)
    whole = cpool.layer_norm.backward(dy, saved)
    d = dy.copy()
    over = cpool.layer_norm.backward(d, saved, out=d)
    assert over.x is d
    np.testing.assert_array_equal(d, whole.x)
    np.testing.assert_array_equal(over.weight, whole.weight)


@pytest.mark.parametrize("memory", ["C", "Fortran", "sliced", "reversed", "transposed"])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm", "layer_norm"])
def test_out_of_other_strides(name, memory):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(3, 8, 5, 6)).astype(np.float32) for _ in range(2))
    op = getattr(cpool, name)
    y, saved = op.forward(x)
    dx = op.backward(dy, saved).x
    out = MEMORY[memory](np.zeros_like(x))
    np.testing.assert_array_equal(op.forward(x, out=out)[0], y)
    close(op.backward(MEMORY[memory](dy.copy()), saved).x, normalize_grad(kind_of(name, x.shape, {}), x, dy)[0])
    out = MEMORY[memory](np.zeros_like(x))
    np.testing.assert_array_equal(op.backward(dy, saved, out=out).x, dx)


def test_layout_of_the_result():
    x = np.zeros((2, 3, 4, 5), np.float32).transpose(0, 2, 3, 1)
    assert cpool.batch_norm.forward(x)[0].strides == x.strides


def test_empty():
    for shape in ((0, 3, 2), (0, 3)):
        x = np.empty(shape, np.float32)
        assert cpool.batch_norm(x, mean=np.zeros(3), var=np.ones(3)).shape == shape
        _, saved = cpool.batch_norm.forward(x, [1.0] * 3, mean=np.zeros(3), var=np.ones(3))
        np.testing.assert_array_equal(cpool.batch_norm.backward(x, saved).weight, 0)
        m = cpool.moments(x)
        assert m.count == 0
        np.testing.assert_array_equal([m.mean, m.m2, m.rest], 0)
    x = np.empty((2, 0, 3), np.float32)
    assert cpool.batch_norm.forward(x)[0].shape == x.shape
    assert cpool.instance_norm(np.empty((0, 3, 2))).shape == (0, 3, 2)
    y, saved = cpool.layer_norm.forward(np.empty((0, 4)), weight=np.ones(4))
    np.testing.assert_array_equal(cpool.layer_norm.backward(y, saved).weight, 0)


# ---- Gradients that are asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [cpool.batch_norm, cpool.instance_norm, cpool.layer_norm], ids=lambda op: op.__name__)
def test_each_gradient_alone(op):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 40, 3, 5))
    size = x.shape[-1 if op is cpool.layer_norm else 1]
    _, saved = op.forward(x, weight=rng.normal(size=size), bias=np.zeros(size))
    for name, expected in op.backward(dy, saved)._asdict().items():
        np.testing.assert_array_equal(op.backward(dy, saved, wrt=name), expected)


def test_wrt():
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    _, saved = cpool.batch_norm.forward(x, np.ones(3), np.zeros(3))
    all_of_them = cpool.batch_norm.backward(x, saved)
    for name in ("x", "weight", "bias"):
        np.testing.assert_array_equal(cpool.batch_norm.backward(x, saved, wrt=name), getattr(all_of_them, name))
    some = cpool.batch_norm.backward(x, saved, wrt=("weight",))
    assert some.x is None
    assert some.bias is None
    np.testing.assert_array_equal(some.weight, all_of_them.weight)
    _, bare = cpool.batch_norm.forward(x)
    assert cpool.batch_norm.backward(x, bare)[1:] == (None, None)


def test_saved():
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    weight = np.ones(3)
    for forward in (lambda: cpool.batch_norm.forward(x, weight, relu=True), lambda: cpool.layer_norm.forward(x, (2, 1)),
                    lambda: cpool.group_norm.forward(x, 3, weight), lambda: cpool.rms_norm.forward(x),
                    lambda: cpool.batch_norm.forward(x, mean=np.zeros(3), var=np.ones(3))):
        _, saved = forward()
        op = saved.op
        expected = op.backward(x, saved)
        weight[:] = 7  # an optimizer's step changes nothing
        for twin in (pickle.loads(pickle.dumps(saved)), copy.deepcopy(saved)):
            assert twin.op is op
            for a, b in zip(op.backward(x, twin), expected, strict=True):
                np.testing.assert_array_equal(a, b)
        weight[:] = 1
        assert saved.nbytes >= x.nbytes
        assert op.__name__ in repr(saved)


# ---- Running statistics ----------------------------------------------------------------------------------------------


def batches(count=7, n=3):
    rng = np.random.default_rng(5)
    return [cpool.moments(rng.normal(i, 1 + i, size=(4 + i, n))) for i in range(count)]


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("momentum", [0.1, 0.01, 0.0, 1.0, None])
def test_exponential_and_cumulative(momentum, unbiased):
    running = cpool.RunningStats(3, momentum=momentum, unbiased=unbiased)
    mean, var = np.zeros(3), np.ones(3)
    for t, batch in enumerate(batches(), 1):
        w = 1 / t if momentum is None else momentum
        v = batch.m2 / (batch.count - unbiased)
        mean, var = (1 - w) * mean + w * batch.mean, (1 - w) * var + w * v
        running.update(batch)
        np.testing.assert_allclose(running.mean, mean, rtol=1e-14)
        np.testing.assert_allclose(running.var, var, rtol=1e-14)
        assert running.count == t
    if momentum is None:
        np.testing.assert_allclose(running.mean, np.mean([b.mean for b in batches()], axis=0))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("taps", [None, (1, 1, 1, 1), (4, 2, 0, 1)])
def test_window(taps, unbiased):
    running = cpool.RunningStats(3, window=4, taps=taps, unbiased=unbiased)
    assert running.var.tolist() == [1, 1, 1]
    seen = []
    for batch in batches():
        running.update(batch)
        seen = [batch, *seen][:4]
        h = np.array(taps or (1,) * 4, float)[: len(seen)]
        v = [b.m2 / (b.count - unbiased) for b in seen]
        np.testing.assert_allclose(running.mean, h @ [b.mean for b in seen] / h.sum(), rtol=1e-13)
        np.testing.assert_allclose(running.var, h @ v / h.sum(), rtol=1e-13)


@pytest.mark.parametrize("unbiased", [False, True])
def test_pooled_window(unbiased):
    rng = np.random.default_rng(0)
    running = cpool.RunningStats(2, window=3, pooled=True, unbiased=unbiased)
    parts = [rng.normal(i, 1, size=(5 + i, 2)) for i in range(6)]
    for t, x in enumerate(parts, 1):
        running.update(cpool.moments(x))
        union = np.concatenate(parts[max(0, t - 3) : t])
        np.testing.assert_allclose(running.mean, union.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(running.var, union.var(axis=0, ddof=int(unbiased)), rtol=1e-13)


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"window": 3}, {"window": 3, "taps": (3, 2, 1)},
                                     {"window": 2, "pooled": True, "unbiased": False}], ids=str)
def test_running_stats_are_kept(options):
    running = cpool.RunningStats(3, **options)
    for batch in batches(4):
        running.update(batch)
    before = running.mean, running.var
    twins = [pickle.loads(pickle.dumps(running)), copy.deepcopy(running), cpool.RunningStats.from_dict(running.to_dict()),
             cpool.RunningStats.from_dict(json.loads(json.dumps(running.to_dict())))]
    running.update(batches()[-1])
    for twin in twins:
        np.testing.assert_array_equal(twin.mean, before[0])
        twin.update(batches()[-1])
        assert twin.to_dict() == running.to_dict()
    with pytest.raises(ValueError, match="read-only"):
        running.mean[0] = 1


def test_converters():
    batch = batches(1)[0]
    cases = [(cpool.RunningStats.from_torch, {"momentum": 0.1}, 0.1, True),
             (cpool.RunningStats.from_keras, {"momentum": 0.99}, 0.01, False),
             (cpool.RunningStats.from_keras, {"momentum": 0.99, "fused": True}, 0.01, True),
             (cpool.RunningStats.from_onnx, {"momentum": 0.9}, 0.1, False)]
    for convert, options, w, unbiased in cases:
        running = convert([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], **options)
        running.update(batch)
        np.testing.assert_allclose(running.mean, (1 - w) * np.array([1, 2, 3]) + w * batch.mean, rtol=1e-12)
        variance = batch.m2 / (batch.count - unbiased)
        np.testing.assert_allclose(running.var, (1 - w) * np.array([4, 5, 6]) + w * variance, rtol=1e-12)
    running = cpool.RunningStats.from_torch([1.0], [1.0], momentum=None, num_batches_tracked=3)
    running.update(cpool.Moments(2, [5.0], [2.0]))
    np.testing.assert_allclose([running.mean[0], running.var[0]], [2, 1.25])


# ---- A batch in parts ------------------------------------------------------------------------------------------------


def test_moments_merge():
    x = np.random.default_rng(0).normal(1e6, 1, size=(30, 4, 11))
    parts = [cpool.moments(x[i:j]) for i, j in ((0, 4), (4, 4), (4, 19), (19, 30))]
    total = sum(parts)
    assert total.count == 330
    expected = variances(x)
    assert np.all(np.abs(total.var - expected) <= 1e-13 * expected)
    nothing = cpool.moments(x[:0])
    assert nothing + total == total
    assert total + nothing == total
    assert pickle.loads(pickle.dumps(total)) == total
    with pytest.raises(AttributeError):
        total.count = 3


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("channel", [1, -1])
def test_synchronized(channel, relu):
    """A batch in parts gives what the whole one gives."""
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(9, 6, 5, 6)) for _ in range(2))
    parameters = {"weight": rng.normal(size=6), "bias": rng.normal(size=6), "channel_axis": channel, "relu": relu}
    running, whole_running = cpool.RunningStats(6), cpool.RunningStats(6)
    y, saved = cpool.batch_norm.forward(x, running=whole_running, **parameters)
    whole = cpool.batch_norm.backward(dy, saved)
    cuts = [slice(0, 2), slice(2, 2), slice(2, 7), slice(7, 9)]
    total = sum(cpool.moments(x[c], channel_axis=channel) for c in cuts)
    done = [cpool.batch_norm.forward(x[c], moments=total, running=running if i == 0 else None, **parameters)
            for i, c in enumerate(cuts)]
    sums = sum(cpool.batch_norm.sums(dy[c], s) for c, (_, s) in zip(cuts, done, strict=True))
    gradients = [cpool.batch_norm.backward(dy[c], s, sums=sums) for c, (_, s) in zip(cuts, done, strict=True)]
    np.testing.assert_allclose(np.concatenate([part for part, _ in done]), y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.concatenate([g.x for g in gradients]), whole.x, rtol=1e-11, atol=1e-13)
    for g in gradients:
        np.testing.assert_allclose(g.weight, whole.weight, rtol=1e-12)
        np.testing.assert_allclose(g.bias, whole.bias, rtol=1e-12)
    np.testing.assert_allclose(running.var, whole_running.var, rtol=1e-13)
    assert sums.count == 9 * 30


@pytest.mark.parametrize("processes", ["1", "3"])
def test_example_of_several_processes(processes):
    script = Path(__file__).parent.parent / "examples" / "synchronized_batch_norm.py"
    done = subprocess.run([sys.executable, script, processes], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "the same bits as one process" in done.stdout


# ---- Folding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), [((5, 7), 0), ((5, 3, 3, 3), 0), ((7, 5), 1), ((3, 5, 2, 2), 1), ((7, 5), -1)])
def test_fold(shape, axis, dtype):
    rng = np.random.default_rng(0)
    n = shape[axis]
    weight = rng.normal(size=shape).astype(dtype)
    bias, mean, gamma, beta = (rng.normal(size=n).astype(dtype) for _ in range(4))
    var = rng.uniform(0.1, 3, n).astype(dtype)
    w, b = cpool.fold_batch_norm(weight, bias, mean=mean, var=var, gamma=gamma, beta=beta, axis=axis)
    assert w.dtype == b.dtype == dtype
    u = np.finfo(dtype).eps / 2
    s = gamma.astype(WIDE) / np.sqrt(var.astype(WIDE) + WIDE(1e-5))
    exact = np.moveaxis(np.moveaxis(weight.astype(WIDE), axis, -1) * s, -1, axis)
    factor = 1.001 if dtype == np.float32 else 6  # in float64 the arithmetic itself rounds
    assert np.all(np.abs(w - exact) <= factor * u * np.abs(exact))
    shifted = (bias.astype(WIDE) - mean) * s + beta
    assert np.all(np.abs(b - shifted) <= factor * u * (np.abs((bias.astype(WIDE) - mean) * s) + np.abs(beta) + np.abs(shifted)))


def test_fold_is_the_batch_norm_behind_a_layer():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(10, 7)), rng.normal(size=(5, 7)), rng.normal(size=5)
    mean, var, gamma, beta = rng.normal(size=5), rng.uniform(1, 2, 5), rng.normal(size=5), rng.normal(size=5)
    expected = cpool.batch_norm(x @ weight.T + bias, gamma, beta, mean=mean, var=var)
    w, b = cpool.fold_batch_norm(weight, bias, mean=mean, var=var, gamma=gamma, beta=beta)
    np.testing.assert_allclose(x @ w.T + b, expected, rtol=1e-12, atol=1e-12)
    w, b = cpool.fold_batch_norm(weight, mean=mean, var=var)
    np.testing.assert_allclose(x @ w.T + b, cpool.batch_norm(x @ weight.T, mean=mean, var=var), rtol=1e-12, atol=1e-12)
