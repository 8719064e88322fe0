"""The operators that resample: numbers by hand, the formulas within their bounds, differences, bits, and bad inputs."""

import pickle
from itertools import product

import capi
import numpy as np
import pytest
import reference
import reference_resampling as ref
from cases import MEMORY, data, layouts
from hypothesis import given
from hypothesis import strategies as st
from reference import Approximate
from test_bits import LAYOUTS, assert_same
from test_examples import X, rows
from test_literature import SENTINEL, differences, image
from test_pool import check, same_bits

import cpool

DTYPES = [np.float32, np.float64]
ISAS = cpool.isas()


def planes(a, rank):
    return a.reshape(-1, *a.shape[a.ndim - rank :])


def run(op, x, window, named, dy=None, *, layout="first", isa="scalar", threads=1):
    """All that an operator gives for x [batch, channels, *spatial], in logical order whatever the layout."""
    flags, arrange, restore = LAYOUTS[layout]
    rank = x.ndim - 2
    axes = tuple(range(1, rank + 1)) if flags else tuple(range(2, rank + 2))
    with cpool.using_isa(isa), cpool.num_threads(threads):
        y, saved = op.forward(arrange(x), window, **named, axes=axes)
        result = {"y": restore(y)}
        if "indices" in saved.__reduce__()[1][-1]:
            result["indices"] = restore(saved.indices)
        if dy is not None:
            result["dx"] = restore(op.backward(arrange(dy), saved))
    return result


def check_bits(op, x, window, named):
    """Layouts, instruction sets, threads, and a batch of one. Returns what the plainest of them gives."""
    shape = run(op, x, window, named)["y"].shape
    dy = data("wide", 1, shape, x.dtype)
    expected = run(op, x, window, named, dy)
    for i, layout in enumerate(LAYOUTS):
        for isa in ISAS if layout in ("first", "last") else [ISAS[-1 - i % len(ISAS)]]:
            actual = run(op, x, window, named, dy, layout=layout, isa=isa, threads=1 + i % 3)
            assert_same(actual, expected, (op, x.shape, named, layout, isa))
    return expected, dy


def check_splits(saved, forward, results, dy, dx):
    """Units in a hostile order on changing workers, and the workspace full of NaN."""
    params, kept = capi.kept_by(saved)
    for direction, read, expected in [(capi.FORWARD, forward, results),
                                      (capi.BACKWARD, {capi.GRAD | capi.Y: dy} | kept, {capi.GRAD | capi.X: dx})]:
        for way in (capi.hostile(3), None):
            arrays = read | {role: np.full_like(a, 9) for role, a in expected.items()}
            call = capi.Call(params, arrays)
            size = max(call.query(direction, n).workspace_size for n in (1, 3)) * 3 + 64
            run_it = call.backward if direction else call.forward
            run_it(workers=3, parallel_for=way, workspace=np.full(size, 0xFF, np.uint8))
            assert_same({str(r): arrays[r] for r in expected}, {str(r): a for r, a in expected.items()}, saved.op)


def refuse(call, arguments, error, message):
    out = np.full((1, 2, 2, 2), SENTINEL, np.float32)
    with pytest.raises(error, match=message):
        call(image(), **({"window": 2} | arguments), out=out)
    assert (out == SENTINEL).all()


def check_saved(op, x, window, named):
    y, saved = op.forward(x, window, **named)
    assert saved.op is op
    assert same_bits(op.backward(y, pickle.loads(pickle.dumps(saved))), op.backward(y, saved))
    out = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)[..., ::2]
    assert op.backward(y, saved, out=out) is out and same_bits(out, op.backward(y, saved))
    assert op.backward(y, saved, wrt=("x",)).x.shape == x.shape
    with pytest.raises(ValueError, match="wrt"):
        op.backward(y, saved, wrt="y")
    with pytest.raises(ValueError, match="dy has shape"):
        op.backward(y[..., :-1], saved)


# ---- Blur ------------------------------------------------------------------------------------------------------------

BLURS = [  # spatial, window, stride, border
    ((4, 4), (3, 3), (2, 2), "reflect"), ((9, 70), (3, 3), (1, 2), "replicate"), ((12, 40), (5, 7), (2, 3), "zero"),
    ((70, 3), (7, 6), (1, 1), "reflect"), ((2, 1), (7, 5), (1, 1), "reflect"), ((3, 14), (6, 7), (5, 9), "reflect"),
    ((1, 1), (4, 2), (1, 3), "zero"), ((40,), (4,), (1,), "reflect"), ((1500,), (5,), (2,), "reflect"),
    ((3,), (7,), (2,), "replicate"), ((9, 8, 20), (3, 2, 5), (1, 2, 1), "reflect"), ((9, 5, 6), (7, 1, 3), (2, 2, 2), "zero"),
    ((4, 5, 3), (1, 3, 1), (3, 1, 2), "replicate"), ((17,), (1,), (4,), "reflect"), ((6, 7), (2, 2), (1, 1), "replicate"),
]  # fmt: skip


def test_blur_example():
    for dtype in DTYPES:
        y, saved = cpool.blur_pool.forward(X.astype(dtype), 3, stride=2)
        np.testing.assert_array_equal(y, rows("1.75 2.375; 1.75 1.75"))
        corner = cpool.blur_pool.backward(rows("1 0; 0 0").astype(dtype), saved)
        np.testing.assert_array_equal(corner, rows(".25 .25 0 0; .25 .25 0 0; 0 0 0 0; 0 0 0 0"))
    np.testing.assert_array_equal(cpool.blur_pool(X, 1, stride=1), X)
    np.testing.assert_array_equal(cpool.blur_pool(X, 2, stride=2, border="zero"), cpool.avg_pool(X, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "stride", "border"), BLURS)
def test_blur(spatial, window, stride, border, dtype):
    channels = 2 if max(spatial) > 1000 else 9
    named = {"stride": stride, "border": border}
    x = data("wide", 0, (2, channels, *spatial), dtype)
    expected, dy = check_bits(cpool.blur_pool, x, window, named)
    rank = len(spatial)
    matrices = [ref.blur_matrix(n, k, s, border) for n, k, s in zip(spatial, window, stride, strict=True)]
    check(expected["y"], ref.blur_pool(planes(x, rank), matrices).reshape(*expected["y"].shape), dtype)
    check(expected["dx"], ref.blur_pool(planes(dy, rank), [m.T for m in matrices]).reshape(*x.shape), dtype)
    assert expected["y"].shape == cpool.blur_pool.output_shape(x.shape, window, stride=stride)
    assert same_bits(cpool.blur_pool(x, window, **named), expected["y"])
    _, saved = cpool.blur_pool.forward(x, window, **named)
    check_splits(saved, {capi.X: x}, {capi.Y: expected["y"]}, dy, expected["dx"])


@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "large", "nan"])
def test_blur_of_anything(kind):
    for dtype, border in product(DTYPES, ("reflect", "zero")):
        x = data(kind, 3, (2, 3, 6, 7), dtype)
        y = cpool.blur_pool(x, 3, stride=1, border=border)
        matrices = [ref.blur_matrix(n, 3, 1, border) for n in (6, 7)]
        with np.errstate(invalid="ignore"):
            some = ref.blur_pool(planes(np.nan_to_num(x), 2), matrices).reshape(*y.shape)
            nan = ref.blur_pool(planes(np.isnan(x).astype(dtype), 2), matrices).reshape(*y.shape).value > 0
        check(np.where(nan, 0, y).astype(dtype), some.map(lambda part, nan=nan: np.where(nan, 0, part)), dtype)
        assert (np.isnan(y) == nan).all()


@pytest.mark.parametrize("border", ["reflect", "replicate", "zero"])
def test_blur_differences(border):
    for window, stride in product([(3, 5), (6, 2)], [1, 2]):
        x = data("normal", 1, (2, 5, 4), np.float64)
        y, saved = cpool.blur_pool.forward(x, window, stride=stride, border=border)
        dy = data("normal", 2, y.shape, np.float64)
        dx = cpool.blur_pool.backward(dy, saved)
        expected = differences(
            lambda v, w=window, s=stride, d=dy: (cpool.blur_pool(v, w, stride=s, border=border) * d).sum(), x)
        np.testing.assert_allclose(dx, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("memory", MEMORY)
def test_blur_in_any_memory(memory):
    x = data("wide", 0, (3, 4, 9, 11), np.float32)
    y = cpool.blur_pool(MEMORY[memory](x), 4, stride=(1, 2))
    assert same_bits(y, cpool.blur_pool(MEMORY[memory](x).copy(), 4, stride=(1, 2)))


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"window": 8}, ValueError, r"window=\(8, 8\).*1 to 7"), ({"window": 0}, ValueError, r"window=\(0, 0\)"),
    ({"window": (3, -1)}, ValueError, r"window=\(3, -1\)"), ({"window": 3.0}, TypeError, "window=3.0"),
    ({"window": cpool.whole}, ValueError, "blur_pool takes no whole window"),
    ({"window": cpool.adaptive(2, 2)}, ValueError, "blur_pool takes no adaptive window"),
    ({"stride": 0}, ValueError, "stride=0"), ({"stride": "2"}, TypeError, "stride='2'"),
    ({"border": "wrap"}, ValueError, "border='wrap' must be one of 'reflect'"), ({"border": 0}, TypeError, "border=0"),
    ({"axes": (1, 1)}, ValueError, "axes=1"), ({"axes": 9}, ValueError, "axes=9"),
    ({"window": (3,) * 5}, ValueError, "window="),
    ({"stride": 2**62, "window": 1}, ValueError, r"out has shape"),
])
def test_blur_refused(given, error, message):
    for call in (cpool.blur_pool, cpool.blur_pool.forward):
        refuse(call, given, error, message)


def test_blur_in_c_refuses():
    x, y = image((1, 1, 4, 4)), np.zeros((1, 1, 2, 2), np.float32)
    for change, message in [({"padding": 1}, "blur_pool takes no padding"), ({"dilation": 2}, "blur_pool takes no dilation"),
                            ({"flags": capi.CEIL_MODE}, "blur_pool takes no ceil_mode")]:
        with pytest.raises(capi.CpoolError, match=message):
            capi.Call(capi.make_params(capi.BLUR, (2, 2), **change), {capi.X: x, capi.Y: y}).forward()
    for op, variant, message in [(capi.BLUR, 3, "params.variant=3"), (capi.BLUR, -1, "params.variant=-1"),
                                 (capi.MAX, 1, "params.variant=1")]:
        params = capi.make_params(op, (2, 2))
        params.variant = variant
        with pytest.raises(capi.CpoolError, match=message):
            capi.Call(params, {capi.X: x, capi.Y: y}).forward()


def test_blur_saved():
    check_saved(cpool.blur_pool, image((2, 3, 7, 6)), 3, {"stride": 2, "border": "zero"})
    x = np.zeros((0, 3, 5, 5), np.float32)
    y, saved = cpool.blur_pool.forward(x, 3)
    assert y.shape == (0, 3, 3, 3) and cpool.blur_pool.backward(y, saved).shape == x.shape
    assert saved.nbytes == 0


# ---- Windows at drawn places -----------------------------------------------------------------------------------------


def check_selected(op, x, window, named, windows_of):
    """Values, indices and gradient. windows_of: the windows of a plane, by its number."""
    rank = len(window)
    y, saved = op.forward(x, window, **named)
    dy = data("wide", 7, y.shape, x.dtype)
    dx = op.backward(dy, saved)
    flat, indices = planes(y, rank), planes(saved.indices, rank)
    for i, plane in enumerate(planes(x, rank)):
        values, where, _ = reference.max_pool(plane[None], windows_of(i))
        assert same_bits(flat[i], values[0])
        np.testing.assert_array_equal(indices[i], where[0])
        expected = reference.select_grad(planes(dy, rank)[i : i + 1], where, plane.shape)
        check(planes(dx, rank)[i : i + 1], expected, x.dtype)


FRACTIONS = [  # spatial, window, output size
    ((7,), (2,), (4,)), ((20, 33), (2, 3), (11, 20)), ((5, 70), (1, 2), (5, 9)), ((12, 12), (3, 3), (1, 12)),
    ((4, 5, 26), (2, 2, 2), (3, 2, 17)), ((9, 9), (9, 2), (3, 30)), ((1500,), (3,), (700,)), ((70000,), (2,), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "size"), FRACTIONS)
def test_fractional(spatial, window, size, dtype):
    op, rank = cpool.fractional_max_pool, len(spatial)
    channels = 2 if max(spatial) > 1000 else 11
    x = data("ties" if dtype is np.float32 else "nan", 3, (2, channels, *spatial), dtype)

    def windows_of(u):
        each = zip(spatial, window, size, u, strict=True)
        return reference.Windows.product(spatial, [ref.axis_of(n, k, ref.fractional_starts(n, k, out, v))
                                                   for n, k, out, v in each])

    u = np.random.default_rng(5).random((2, channels, rank))
    given = {"output_size": size, "u": u}
    check_selected(op, x, window, given, lambda i: windows_of(u.reshape(-1, rank)[i]))
    seed, offset, each = 2**63 + 11, 5, range(rank)
    drawn = {"output_size": size, "seed": seed, "offset": offset}
    check_selected(op, x, window, drawn, lambda i: windows_of([reference.draw(seed, offset, i * rank + a) for a in each]))
    expected, dy = check_bits(op, x, window, drawn)
    assert same_bits(op(x, window, **drawn), expected["y"])
    assert expected["y"].shape == op.output_shape(x.shape, window, size)
    _, saved = op.forward(x, window, **given)
    y = op(x, window, **given)
    check_splits(saved, {capi.X: x, capi.U: u}, {capi.Y: y, capi.INDICES: saved.indices}, dy, op.backward(dy, saved))


THINNED = [  # spatial, window, stride, padding, dilation, grid
    ((6,), (2,), 2, 0, 1, 2), ((17, 33), (2, 3), (2, 3), 0, 1, (4, 6)), ((9, 70), (3, 3), 2, 1, 1, (1, 16)),
    ((12, 11), (3, 2), (2, 5), ((2, 0), (0, 1)), 2, None), ((4, 5, 26), (2, 2, 2), 2, 1, 1, (2, 4, 8)),
    ((1, 30), (2, 3), 2, (1, 2), (2, 1), (7, 5)), ((1500,), (3,), 4, 0, 1, 64), ((300, 4), (40, 2), (3, 1), 0, 1, None),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "stride", "padding", "dilation", "grid"), THINNED)
def test_thinned(spatial, window, stride, padding, dilation, grid, dtype):
    op, rank = cpool.s3_pool, len(spatial)
    x = data("ties" if dtype is np.float32 else "nan", 3, (2, 2 if max(spatial) > 1000 else 11, *spatial), dtype)
    named = {"stride": stride, "padding": padding, "dilation": dilation}
    strides, dilations, grids = [v if isinstance(v, tuple) else (v,) * rank for v in (stride, dilation, grid)]
    pads = [p if isinstance(p, tuple) else (p, p) for p in (padding if isinstance(padding, tuple) else (padding,) * rank)]
    maps = [reference.output_size(n, k, 1, d, *pad) for n, k, d, pad in zip(spatial, window, dilations, pads, strict=True)]

    def windows_of(u):
        parts = np.split(np.asarray(u), np.cumsum(maps)[:-1])
        each = zip(spatial, window, maps, strides, dilations, pads, grids, parts, strict=True)
        return reference.Windows.product(spatial, [
            ref.axis_of(n, k, ref.kept_places(m, g or m, s, part), d, before)
            for n, k, m, s, d, (before, _), g, part in each])

    u = np.round(np.random.default_rng(5).random(sum(maps)), 1) / 2  # with ties
    given = named | {"grid": grid, "u": u}
    windows = windows_of(u)
    check_selected(op, x, window, given, lambda i: windows)
    drawn = named | {"grid": grid, "seed": 2**63 + 11, "offset": 5}
    windows = windows_of([reference.draw(2**63 + 11, 5, i) for i in range(sum(maps))])
    check_selected(op, x, window, drawn, lambda i: windows)
    expected, dy = check_bits(op, x, window, drawn)
    assert expected["y"].shape == op.output_shape(x.shape, window, **named, grid=grid)
    _, saved = op.forward(x, window, **given)
    results = {capi.Y: op.forward(x, window, **given)[0], capi.INDICES: saved.indices}
    check_splits(saved, {capi.X: x, capi.U: u}, results, dy, op.backward(dy, saved))
    every = cpool.max_pool(x, window, stride=1, padding=padding, dilation=dilation)
    mean = cpool.avg_pool(every, strides, padding=tuple(s // 2 for s in strides))
    axes = tuple(range(2, rank + 2))
    assert same_bits(op(x, window, **named, axes=axes), mean)
    last = op(np.moveaxis(x, 1, -1), window, **named, axes=tuple(a - 1 for a in axes))
    assert same_bits(np.moveaxis(last, -1, 1), mean)


def test_places_by_hand():
    x = np.arange(7.0)
    np.testing.assert_array_equal(cpool.fractional_max_pool(x, (2,), 4, u=[0.0]), [1, 2, 4, 6])
    np.testing.assert_array_equal(cpool.fractional_max_pool(x, (2,), 4, u=[0.3]), [1, 3, 4, 6])
    assert cpool.s3_pool.output_shape((24, 24), 2) == cpool.s3_pool(np.zeros((24, 24)), 2).shape == (12, 12)
    assert cpool.s3_pool(np.zeros((25, 25)), 2).shape == (13, 13)  # 24 rows of maxima, and an even stride


def test_draws_belong_to_logical_planes():
    """In whatever order the axes of a batch lie, and whichever of them the channels are."""
    x = data("normal", 0, (3, 4, 10, 9), np.float32)
    y, saved = cpool.fractional_max_pool.forward(x, 2, 4, seed=9)
    last = cpool.fractional_max_pool(np.moveaxis(x, 1, -1), 2, 4, seed=9, axes=(1, 2))
    assert same_bits(np.moveaxis(last, -1, 1), y)
    swapped, kept = cpool.fractional_max_pool.forward(x.swapaxes(0, 1), 2, 4, seed=9, axes=(2, 3), channel_axis=0)
    assert same_bits(swapped.swapaxes(0, 1), y)
    np.testing.assert_array_equal(kept.indices.swapaxes(0, 1), saved.indices)
    u = np.random.default_rng(1).random((3, 4, 2)).astype(np.float32) / 2
    y = cpool.fractional_max_pool(x, 2, 4, u=u)
    swapped = cpool.fractional_max_pool(x.swapaxes(0, 1), 2, 4, u=u.swapaxes(0, 1), axes=(2, 3), channel_axis=0)
    assert same_bits(swapped.swapaxes(0, 1), y)
    assert saved.seed == 9 and saved.offset == 0


@pytest.mark.parametrize(("op", "named"), [(cpool.fractional_max_pool, {"output_size": 3, "seed": 4}),
                                           (cpool.s3_pool, {"grid": 2, "seed": 4})])
def test_selections(op, named):
    x = image((2, 3, 7, 6))
    check_saved(op, x, 2, named)
    _, saved = op.forward(x, 2, **named)
    y, again = op.forward(x, 2, **(named | {"seed": saved.seed, "offset": saved.offset}))
    np.testing.assert_array_equal(saved.indices, again.indices)
    assert len({op.forward(x, 2, **(named | {"seed": None}))[1].seed for _ in range(3)}) == 3
    junk = saved.indices.copy()
    for index in (42, -2, 2**62):
        junk.flat[3] = index
        with pytest.raises(ValueError, match=f"indices holds {index}"):
            op.backward(y, capi.forged(saved, indices=junk))
    junk.flat[3] = -1
    assert op.backward(y, capi.forged(saved, indices=junk)).shape == x.shape
    for value in (np.zeros(3), np.zeros((2, 3, 1, 1), np.int64), 1.0):
        with pytest.raises((ValueError, TypeError)):
            op.backward(y, capi.forged(saved, indices=value))
    for memory in MEMORY.values():
        place = memory(x)
        assert same_bits(op.forward(place, 2, **named)[0], op.forward(place.copy(), 2, **named)[0])


DRAWS_REFUSED = [
    ({"seed": -1}, ValueError, "seed=-1"), ({"seed": "1"}, TypeError, "seed='1'"), ({"offset": 2**64}, ValueError, "offset="),
    ({"window": cpool.whole}, ValueError, "takes no whole window"), ({"axes": (0, 0)}, ValueError, "axes=0"),
    ({"window": cpool.adaptive(2, 2)}, ValueError, "takes no adaptive window"), ({"window": 0}, ValueError, r"window=\(0, 0\)"),
    ({"window": 5}, ValueError, r"window=\(5, 5\)"), ({"window": 2.0}, TypeError, "window=2.0"),
    ({"u": np.zeros(3)}, ValueError, r"u has shape \(3,\)"), ({"u": np.zeros((1, 2, 2), int)}, TypeError, "u has dtype int64"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "error", "message"), [
    *DRAWS_REFUSED, ({"output_size": 0}, ValueError, r"output_size=\(0, 0\)"),
    ({"output_size": (2, 2, 2)}, ValueError, "output_size="), ({"output_size": None}, TypeError, "output_size=None"),
    ({"output_size": 2**31}, ValueError, "output_size="), ({"u": np.full((1, 2, 2), 1.0)}, ValueError, "u holds 1"),
    ({"u": np.full((1, 2, 2), np.nan)}, ValueError, "u holds"), ({"output_size": 3}, ValueError, "out has shape"),
])
def test_fractional_refused(given, error, message):
    for call in (cpool.fractional_max_pool, cpool.fractional_max_pool.forward):
        refuse(call, {"output_size": 2} | given, error, message)


@pytest.mark.parametrize(("given", "error", "message"), [
    *DRAWS_REFUSED, ({"grid": 0}, ValueError, "grid=0"), ({"grid": (1, 2, 3)}, ValueError, "grid="),
    ({"grid": "2"}, TypeError, "grid='2'"), ({"stride": 0}, ValueError, "stride=0"), ({"padding": 2}, ValueError, "padding="),
    ({"dilation": 0}, ValueError, "dilation=0"), ({"u": np.full(6, 1.0)}, ValueError, "u holds 1"),
    ({"stride": 1}, ValueError, "out has shape"),
])
def test_thinned_refused(given, error, message):
    refuse(cpool.s3_pool.forward, given, error, message)
    if not {"u", "seed", "offset", "grid"} & set(given):
        refuse(cpool.s3_pool, given, error, message)


def test_drawn_in_c_refuses():
    x, y = image((1, 1, 4, 4)), np.zeros((1, 1, 2, 2), np.float32)
    for op, change, message in [
            (capi.FRACTIONAL, {"padding": 1}, "takes no padding"), (capi.FRACTIONAL, {"dilation": 2}, "takes no dilation"),
            (capi.FRACTIONAL, {"stride": 2}, "takes no stride"), (capi.FRACTIONAL, {}, "output_size=NULL"),
            (capi.S3, {"flags": capi.CEIL_MODE}, "s3_pool takes no ceil_mode")]:
        with pytest.raises(capi.CpoolError, match=message):
            capi.Call(capi.make_params(op, (2, 2), **change), {capi.X: x, capi.Y: y}).forward()
    params = capi.make_params(capi.MAX, (2, 2))
    params.grid[1] = 2
    with pytest.raises(capi.CpoolError, match="grid=2 belongs to s3_pool alone"):
        capi.Call(params, {capi.X: x, capi.Y: y}).forward()
    with pytest.raises(ValueError, match="out shares memory with x"):
        cpool.s3_pool(x, 1, out=x)
    params = capi.make_params(capi.S3, (2, 2))
    assert capi.Call(params, {capi.X: x}).describe(capi.U) == ((6,), np.float32)
    params = capi.make_params(capi.FRACTIONAL, (2, 2))
    params.output_size[0] = params.output_size[1] = 2
    assert capi.Call(params, {capi.X: x}).describe(capi.U) == ((1, 1, 2), np.float32)
    assert capi.Call(params, {capi.X: x}).describe(capi.INDICES) == ((1, 1, 2, 2), np.int64)


# ---- Detail-preserving downscaling -----------------------------------------------------------------------------------


def shrink(x, factor, lam, *, layout="first", isa="scalar", threads=1):
    flags, arrange, restore = LAYOUTS[layout]
    rank = x.ndim - 2
    axes = tuple(range(1, rank + 1)) if flags else tuple(range(2, rank + 2))
    with cpool.using_isa(isa), cpool.num_threads(threads):
        return restore(cpool.dpid_pool(arrange(x), factor, lam=lam, axes=axes, channel_axis=-1 if flags else 1))


def test_dpid_example():
    np.testing.assert_allclose(cpool.dpid_pool(X, 2), rows("1.8 3.633333; 2.483333 .135135"), atol=5.01e-7)
    np.testing.assert_array_equal(cpool.dpid_pool(X, 2, lam=0), cpool.avg_pool(X, 2))
    np.testing.assert_array_equal(cpool.dpid_pool(X, 1, lam=0), X)


SHRUNK = [  # shape, factor, lam
    ((2, 3, 12, 13), (3, 4), 1.0), ((1, 1, 9, 40), (2, 3), 0.5), ((2, 11, 7, 6), (2, 2), 2.0), ((1, 3, 40), (7,), 1.5),
    ((2, 2, 6, 5, 9), (2, 3, 2), 1.0), ((1, 3, 30, 25), (30, 25), 0.7), ((1, 2, 90, 20), (4, 5), 30.0),
    ((1, 9, 5, 5), (5, 1), 0.0), ((1, 3, 4, 7000), (2, 2), 1.0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "factor", "lam"), SHRUNK)
def test_dpid(shape, factor, lam, dtype):
    x = data("normal", 4, shape, dtype)
    y = shrink(x, factor, lam)
    value, mag = ref.dpid_pool(x, factor, lam)
    bound = (1e-5 if dtype is np.float32 else 2e-14) * mag
    check(y, Approximate(value, bound, np.ones_like(value)), dtype)
    for i, layout in enumerate(LAYOUTS):
        for isa in ISAS if layout in ("first", "last") else [ISAS[-1 - i % len(ISAS)]]:
            assert_same({"y": shrink(x, factor, lam, layout=layout, isa=isa, threads=1 + i % 3)}, {"y": y}, (layout, isa))
    assert same_bits(shrink(x[-1:], factor, lam), y[-1:])
    params = capi.make_params(capi.DPID, factor)
    for way in (capi.hostile(3), None):
        call = capi.Call(params, {capi.X: x, capi.LAMBDA: np.array(lam), capi.Y: np.full_like(y, 9)})
        size = max(call.query(capi.FORWARD, n).workspace_size for n in (1, 3)) * 3 + 64
        call.forward(workers=3, parallel_for=way, workspace=np.full(size, 0xFF, np.uint8))
        assert_same({"y": call.arrays[capi.Y]}, {"y": y}, "split")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "large", "zeros"])
def test_dpid_of_anything_finite(kind, dtype):
    x = data(kind, 3, (2, 3, 6, 6), dtype) / dtype(1 if kind != "large" else 100)
    for lam in (0.5, 1.0, 100.0, 1e9, 1e-9):
        y = cpool.dpid_pool(x, 2, lam=lam)
        blocks = x.reshape(2, 3, 3, 2, 3, 2)
        slack = 1e-5 * np.abs(blocks).max(axis=(3, 5)) + np.finfo(dtype).smallest_subnormal
        assert (y <= blocks.max(axis=(3, 5)) + slack).all() and (y >= blocks.min(axis=(3, 5)) - slack).all()


def test_dpid_of_nan():
    """It spoils the windows around it that know it, in all channels."""
    x = data("normal", 3, (1, 2, 10, 10), np.float64)
    clean = cpool.dpid_pool(x, 2)
    x[0, 1, 5, 5] = np.nan
    y = cpool.dpid_pool(x, 2)
    assert np.isnan(y[..., 1:4, 1:4]).all()
    rest = np.ones((5, 5), bool)
    rest[1:4, 1:4] = False
    np.testing.assert_array_equal(y[..., rest], clean[..., rest])


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"factor": 0}, ValueError, r"factor=\(0, 0\)"), ({"factor": (2, 5)}, ValueError, r"factor=\(2, 5\).*1 to 4"),
    ({"factor": 2.0}, TypeError, "factor=2.0"), ({"factor": cpool.whole}, TypeError, "factor="),
    ({"lam": -1.0}, ValueError, "lam=-1"), ({"lam": np.nan}, ValueError, "lam="), ({"lam": np.inf}, ValueError, "lam=inf"),
    ({"lam": "1"}, TypeError, "lam='1'"), ({"lam": [1.0, 2.0]}, ValueError, r"lam has shape \(2,\); it must be one number"),
    ({"lam": None}, TypeError, "lam=None"), ({"axes": (0, 9)}, ValueError, "axes=9"),
    ({"factor": 1}, ValueError, "out has shape"), ({"factor": (2, 2.0)}, TypeError, r"factor=\(2, 2.0\)"),
    ({"factor": (2,) * 4}, ValueError, "factor="),
])
def test_dpid_refused(given, error, message):
    out = np.full((1, 2, 2, 2), SENTINEL, np.float32)
    with pytest.raises(error, match=message):
        cpool.dpid_pool(image(), **({"factor": 2} | given), out=out)
    assert (out == SENTINEL).all()


def test_dpid_manners():
    x = image((0, 3, 4, 4))
    assert cpool.dpid_pool(x, 2).shape == (0, 3, 2, 2)
    assert cpool.dpid_pool(image((2, 0, 4, 4)), 2).shape == (2, 0, 2, 2)
    assert cpool.dpid_pool.output_shape((427, 640, 3), (4, 3), axes=(0, 1)) == (106, 213, 3)
    assert pickle.loads(pickle.dumps(cpool.dpid_pool)) is cpool.dpid_pool
    photograph = data("positive", 0, (9, 12, 3), np.float32)
    moved = cpool.dpid_pool(np.moveaxis(photograph, -1, 0), (3, 3))
    assert same_bits(np.moveaxis(moved, 0, -1), cpool.dpid_pool(photograph, 3, axes=(0, 1)))
    out = np.empty((3, 4, 3), np.float32)
    assert cpool.dpid_pool(photograph, 3, axes=(0, 1), out=out) is out
    with pytest.raises(capi.CpoolError, match="dpid_pool takes no x here"):
        capi.Call(capi.make_params(capi.DPID, (2, 2)), {capi.X: photograph}).backward()
    for change, message in [({"stride": 2}, "takes no stride"), ({"padding": 1}, "takes no padding"),
                            ({"geometry": capi.WHOLE}, "takes no whole window")]:
        params = capi.make_params(capi.DPID, (2, 2), **change)
        with pytest.raises(capi.CpoolError, match=message):
            capi.Call(params, {capi.X: photograph, capi.LAMBDA: np.array(1.0), capi.Y: out}).forward()


# ---- Any call --------------------------------------------------------------------------------------------------------


@st.composite
def inputs(draw, kinds=("normal", "ties", "wide", "stress", "zero", "equal")):
    """x of some rank, layout, dtype and memory, its layout, and its spatial size."""
    rank = draw(st.integers(1, 3))
    spatial = [draw(st.integers(1, {1: 40, 2: 10, 3: 5}[rank])) for _ in range(rank)]
    layout = draw(layouts(rank))
    shape = [1] * (rank + len(layout.batch) + (layout.channel is not None))
    for axis, n in zip(layout.spatial, spatial, strict=True):
        shape[axis] = n
    for axis in layout.batch:
        shape[axis] = draw(st.integers(1, 2))
    if layout.channel is not None:
        shape[layout.channel] = draw(st.sampled_from([1, 2, 3, 9, 17]))
    x = data(draw(st.sampled_from(kinds)), draw(st.integers(0, 2**32 - 1)), shape, draw(st.sampled_from(DTYPES)))
    kwargs = {"axes": layout.spatial} | ({} if layout.channel is None else {"channel_axis": layout.channel})
    return MEMORY[draw(st.sampled_from(list(MEMORY)))](x), layout, spatial, kwargs


def each_axis(draw, spatial, most):
    """A number for each spatial axis, 1 to `most` or what `most` says of its length."""
    return tuple(draw(st.integers(1, most(n) if callable(most) else most)) for n in spatial)


def check_planes(op, case, window, named, expected, gradient):
    """expected: of planes; gradient: of planes of dy."""
    x, layout, _, kwargs = case
    y, saved = op.forward(x, window, **named, **kwargs)
    check(y, expected.map(lambda part: layout.unplanes(part, x.shape)), x.dtype)
    dy = data("normal", 3, y.shape, x.dtype)
    dx = op.backward(dy, saved)
    check(dx, gradient(layout.planes(dy)).map(lambda part: layout.unplanes(part, x.shape)), x.dtype)
    return saved


@given(st.data(), inputs())
def test_any_blur(source, case):
    x, layout, spatial, _ = case
    window, stride = each_axis(source.draw, spatial, 7), each_axis(source.draw, spatial, 4)
    border = source.draw(st.sampled_from(["reflect", "replicate", "zero"]))
    matrices = [ref.blur_matrix(n, k, s, border) for n, k, s in zip(spatial, window, stride, strict=True)]
    check_planes(cpool.blur_pool, case, window, {"stride": stride, "border": border},
                 ref.blur_pool(layout.planes(x), matrices), lambda dy: ref.blur_pool(dy, [m.T for m in matrices]))


def selected(case, op, window, named, windows):
    """windows: those of each plane."""
    x, layout, spatial, _ = case
    found = [reference.max_pool(plane[None], w)[:2] for plane, w in zip(layout.planes(x), windows, strict=True)]
    values, indices = (np.concatenate(parts) for parts in zip(*found, strict=True))
    saved = check_planes(op, case, window, named, Approximate.exact(values),
                         lambda dy: reference.select_grad(dy, indices, spatial))
    np.testing.assert_array_equal(saved.indices, layout.unplanes(indices, x.shape))


@given(st.data(), inputs())
def test_any_fractional(source, case):
    x, layout, spatial, _ = case
    window, size = each_axis(source.draw, spatial, lambda n: n), each_axis(source.draw, spatial, lambda n: n + 2)
    outer = [axis for axis in range(x.ndim) if axis not in layout.spatial]
    u = np.random.default_rng(source.draw(st.integers(0, 99))).random((*(x.shape[axis] for axis in outer), len(spatial)))
    logical = u.transpose(*(outer.index(axis) for axis in layout.order[: len(outer)]), -1).reshape(-1, len(spatial))
    windows = [reference.Windows.product(spatial, [ref.axis_of(n, k, ref.fractional_starts(n, k, out, v)) for n, k, out, v in
                                                   zip(spatial, window, size, plane, strict=True)]) for plane in logical]
    selected(case, cpool.fractional_max_pool, window, {"output_size": size, "u": u}, windows)


@given(st.data(), inputs())
def test_any_thinned(source, case):
    x, layout, spatial, _ = case
    window, stride = each_axis(source.draw, spatial, lambda n: n), each_axis(source.draw, spatial, 4)
    grid, before = each_axis(source.draw, spatial, 9), tuple(source.draw(st.integers(0, k - 1)) for k in window)
    maps = [n + p - k + 1 for n, k, p in zip(spatial, window, before, strict=True)]
    u = np.random.default_rng(source.draw(st.integers(0, 99))).random(sum(maps)).round(1) / 2
    parts = np.split(u, np.cumsum(maps)[:-1])
    windows = reference.Windows.product(spatial, [
        ref.axis_of(n, k, ref.kept_places(m, g, s, part), before=p)
        for n, k, m, g, s, part, p in zip(spatial, window, maps, grid, stride, parts, before, strict=True)])
    named = {"stride": stride, "grid": grid, "padding": tuple((p, 0) for p in before), "u": u}
    selected(case, cpool.s3_pool, window, named, [windows] * len(layout.planes(x)))


@given(st.data(), inputs(("normal", "ties", "positive", "stress", "zero", "equal")))
def test_any_dpid(source, case):
    x, layout, spatial, kwargs = case
    factor, lam = each_axis(source.draw, spatial, lambda n: n), source.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.3, 40.0]))
    channels = 1 if layout.channel is None else x.shape[layout.channel]
    moved = x.transpose(layout.order).reshape(-1, channels, *spatial)
    value, mag = (part.reshape(-1, *part.shape[2:]) for part in ref.dpid_pool(moved, factor, lam))
    if layout.channel is None and x.ndim > len(spatial):
        return  # a batch axis is the channel axis where none is named
    bound = (1e-5 if x.dtype == np.float32 else 2e-14) * mag
    y = cpool.dpid_pool(x, factor, lam=lam, **kwargs)
    expected = Approximate(value, bound, np.ones_like(value))
    check(y, expected.map(lambda part: layout.unplanes(part, x.shape)), x.dtype)
