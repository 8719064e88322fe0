"""Normalization has the same bits on every instruction set, for every split of the work and whatever the batch; and it touches
nothing but its arrays and the workspace it asked for."""

import capi
import numpy as np
import pytest
from test_bits import assert_same
from test_bounds import Memory
from test_norm import DTYPES, LARGE, kind_of

import cpool

CODES = {"batch_norm": 1, "instance_norm": 2, "group_norm": 3, "layer_norm": 4, "rms_norm": 5}

# Odd sizes: no vector is full at the end, and every way to walk is taken.
SMALL = {
    "small: along": ("batch_norm", (3, 5, 7, 9), {"relu": True}),
    "small: along, small planes": ("batch_norm", (9, 37, 3, 3), {}),
    "small: channels last": ("batch_norm", (3, 7, 9, 37), {"channel_axis": -1, "relu": True}),
    "small: few channels last": ("batch_norm", (3, 7, 9, 3), {"channel_axis": -1}),
    "small: matrix": ("batch_norm", (31, 45), {}),
    "small: samples": ("instance_norm", (3, 5, 77), {}),
    "small: samples across": ("instance_norm", (3, 77, 21), {"channel_axis": -1}),
    "small: groups": ("group_norm", (3, 6, 77), {"groups": 2}),
    "small: groups across": ("group_norm", (3, 77, 12), {"groups": 4, "channel_axis": -1}),
    "small: layer": ("layer_norm", (7, 77), {}),
    "small: layer of two axes": ("layer_norm", (7, 5, 9), {"axes": (2, 0)}),
    "small: rms": ("rms_norm", (7, 77), {}),
}
CASES = SMALL | LARGE


def inputs(case, dtype):
    name, shape, options = CASES[case]
    rng, kind = np.random.default_rng(0), kind_of(name, shape, options)
    scale = 2.0 ** rng.integers(-20, 20, size=shape)  # every order of a sum has its own bits
    x, dy = ((rng.normal(size=shape) * scale).astype(dtype) for _ in range(2))
    parameters = {"weight": rng.normal(size=kind.shape).astype(dtype)}
    if name != "rms_norm":
        parameters["bias"] = rng.normal(size=kind.shape).astype(dtype)
    return x, dy, parameters


def run(case, x, dy, parameters):
    name, _, options = CASES[case]
    op = getattr(cpool, name)
    y, saved = op.forward(x, **options, **parameters)
    gradients = op.backward(dy, saved)
    result = {"y": y, "dx": gradients.x} | {f"d{field}": getattr(gradients, field) for field in parameters}
    if name == "batch_norm":
        axis = {"channel_axis": options.get("channel_axis", 1)}
        m = cpool.moments(x, **axis)
        result |= {"mean": m.mean, "m2": m.m2, "rest": m.rest}
        constants = {"mean": m.mean, "var": m.var}
        result["inference"], saved = op.forward(x, **constants, **options, **parameters)
        gradients = op.backward(dy, saved)
        result |= {"dx, constants": gradients.x, "dweight, constants": gradients.weight, "dbias, constants": gradients.bias}
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_instruction_sets(case, dtype):
    x, dy, parameters = inputs(case, dtype)
    with cpool.using_isa("scalar"):
        expected = run(case, x, dy, parameters)
    for isa in cpool.isas()[1:]:
        with cpool.using_isa(isa):
            assert_same(run(case, x, dy, parameters), expected, isa)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channel_axis", [0, 1, -1])
@pytest.mark.parametrize("size", [2, 7, 21])
def test_means_that_are_not_finite(size, channel_axis, dtype):
    """Vectors that are not full add nothing, be it infinity minus infinity."""
    rng, given = np.random.default_rng(0), [np.inf, -np.inf, np.nan, 1e300, 0.0]
    x, dy = (np.moveaxis(rng.normal(size=(5, 3, size)), 0, channel_axis).astype(dtype) for _ in range(2))
    dy = abs(dy)

    def gradients():
        _, saved = cpool.batch_norm.forward(x, np.ones(5), np.zeros(5), mean=given, var=np.ones(5), channel_axis=channel_axis)
        return cpool.batch_norm.backward(dy, saved)._asdict()

    with cpool.using_isa("scalar"):
        expected = gradients()
    assert expected["weight"][0] == -np.inf and expected["weight"][1] == np.inf
    for isa in cpool.isas()[1:]:
        with cpool.using_isa(isa):
            assert_same(gradients(), expected, isa)


@pytest.mark.parametrize("isa", cpool.isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SMALL)
def test_layout_of_results(case, dtype, isa):
    """It changes no bit: rows that pass through scratch give the bits of those that do not."""
    x, dy, parameters = inputs(case, dtype)
    name, shape, options = CASES[case]
    op = getattr(cpool, name)
    with cpool.using_isa(isa):
        expected = run(case, x, dy, parameters)
        _, saved = op.forward(x, **options, **parameters)
        y, _ = op.forward(x, **options, **parameters, out=np.empty(shape[::-1], dtype).T)
        gradients = op.backward(dy, saved, out=np.empty(shape[::-1], dtype).T)
    actual = {"y": y, "dx": gradients.x} | {f"d{field}": getattr(gradients, field) for field in parameters}
    assert_same(actual, {key: expected[key] for key in actual}, "transposed")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 20, 40])
def test_gaps_between_rows(channels, dtype):
    """They change no bit: few channels are summed several rows at a time, also where the rows of an image lie apart."""
    rng, scale = np.random.default_rng(0), 2.0 ** np.arange(-20, 21)
    x, dy = ((rng.normal(size=(3, 45, 7, channels)) * rng.choice(scale, (3, 45, 7, channels))).astype(dtype) for _ in range(2))

    def gradients(x, dy, **out):
        y, saved = cpool.batch_norm.forward(x, relu=True, weight=np.ones(channels), channel_axis=-1, **out)
        result = cpool.batch_norm.backward(dy, saved)
        return {"y": y, "dx": result.x, "dweight": result.weight}

    def apart(a):
        whole = np.full((3, 47, 10, channels + 1), np.nan, dtype)
        whole[:, 1:-1, 2:-1, :-1] = a
        return whole[:, 1:-1, 2:-1, :-1]

    expected = gradients(x, dy)
    assert_same(gradients(apart(x), apart(dy)), expected, "both apart")
    assert_same(gradients(apart(x), dy), expected, "x apart")
    assert_same(gradients(x, apart(dy), out=apart(x)), expected, "dy and y apart")


@pytest.mark.parametrize("case", LARGE)
def test_threads(case):
    x, dy, parameters = inputs(case, np.float32)
    with cpool.num_threads(1):
        expected = run(case, x, dy, parameters)
    for threads in (2, 5):
        with cpool.num_threads(threads):
            assert_same(run(case, x, dy, parameters), expected, f"{threads} threads")


def call_of(case, direction, arrays):
    name, _, options = CASES[case]
    options = {key: value for key, value in options.items() if key != "relu"}
    return capi.NormCall(capi.make_norm_params(CODES[name], flags=int(CASES[case][2].get("relu", False)), **options), arrays)


@pytest.mark.parametrize("isa", cpool.isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SMALL)
def test_units_in_any_order_between_guards(case, dtype, isa):
    """Every unit alone, the last first, workers in turn; arrays and workspace lie between pages that may not be accessed."""
    x, dy, parameters = inputs(case, dtype)
    expected = run(case, x, dy, parameters)
    memory, workers = Memory(1 << 17), 3
    roles = {"weight": capi.WEIGHT, "bias": capi.BIAS}

    def c_strides(a):
        return np.empty(a.shape, a.dtype).strides

    for at_end in (False, True):
        memory.begin()
        given = {capi.X: memory.input("x", x, x.strides, at_end)}
        given |= {roles[k]: memory.input(k, v, c_strides(v), at_end) for k, v in parameters.items()}
        shape = call_of(case, capi.FORWARD, given).describe(capi.STATS)[0]
        y = memory.output("y", x.shape, dtype, x.strides, at_end)
        stats = memory.output("stats", shape, np.float64, np.empty(shape).strides, at_end)
        call = call_of(case, capi.FORWARD, given | {capi.Y: y, capi.STATS: stats})
        need = call.query(capi.FORWARD, workers)
        how = {"isa": isa, "workers": workers, "parallel_for": capi.hostile(workers)}
        size = call.query(capi.FORWARD, 1).workspace_size * workers  # also where the work is too small to share
        assert need.workspace_size <= size
        call.forward(workspace=memory.workspace(size, at_end), **how)
        memory.check("y", y)
        memory.check("stats", stats)
        dx = memory.output("dx", x.shape, dtype, x.strides, at_end)
        gradients = {k: memory.output(f"d{k}", v.shape, v.dtype, c_strides(v), at_end) for k, v in parameters.items()}
        arrays = given | {capi.GRAD | capi.Y: memory.input("dy", dy, dy.strides, at_end), capi.STATS: stats}
        arrays |= {capi.GRAD | capi.X: dx} | {capi.GRAD | roles[k]: v for k, v in gradients.items()}
        call = call_of(case, capi.BACKWARD, arrays)
        size = call.query(capi.BACKWARD, 1).workspace_size * workers
        call.backward(workspace=memory.workspace(size, at_end), **how)
        memory.check("dx", dx)
        for k, v in gradients.items():
            memory.check(f"d{k}", v)
        actual = {"y": y, "dx": dx} | {f"d{k}": v for k, v in gradients.items()}
        assert_same(actual, {key: expected[key] for key in actual}, isa)


@pytest.mark.parametrize("case", SMALL)
def test_statistics_that_lie_apart(case):
    """They are written to arrays of any strides: what a gap holds stays."""
    x, _, parameters = inputs(case, np.float32)
    roles = {"weight": capi.WEIGHT, "bias": capi.BIAS}
    given = {capi.X: x} | {roles[k]: v for k, v in parameters.items()}
    asked = [capi.STATS, capi.MOMENTS] if CASES[case][0] == "batch_norm" else [capi.STATS]

    def forward(array):
        written = {role: array(call_of(case, capi.FORWARD, given).describe(role)[0]) for role in asked}
        call_of(case, capi.FORWARD, given | {capi.Y: np.empty_like(x)} | written).forward()
        return written

    dense = forward(np.empty)
    apart = forward(lambda shape: np.full((*shape[::-1], 2), -7.0).T[0])
    for role in asked:
        np.testing.assert_array_equal(apart[role], dense[role])
        assert np.all(apart[role].base[..., 1] == -7)


@pytest.mark.parametrize("case", [case for case, (name, _, _) in CASES.items() if name != "batch_norm"])
def test_nothing_depends_on_the_batch(case):
    name, shape, options = CASES[case]
    if 0 in options.get("axes", ()):
        return  # no axis of samples is left
    x, _, parameters = inputs(case, np.float32)
    op = getattr(cpool, name)
    y = op(x, **options, **parameters)
    for i in (0, shape[0] - 1):
        np.testing.assert_array_equal(op(x[i : i + 1], **options, **parameters), y[i : i + 1])
    fortran = np.asfortranarray(x)
    whole = op(fortran, **options, **parameters)
    np.testing.assert_array_equal(op(fortran[1:2], **options, **parameters), whole[1:2])


def test_inference_does_not_depend_on_the_layout():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 20, 9, 11)).astype(np.float32)
    stats = {"mean": rng.normal(size=20), "var": rng.uniform(1, 2, 20)}
    y = cpool.batch_norm(x, **stats)
    last = cpool.batch_norm(np.ascontiguousarray(np.moveaxis(x, 1, -1)), channel_axis=-1, **stats)
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), y)
