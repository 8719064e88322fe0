"""The operators that resample: numbers by hand, the formulas within their bounds, differences, bits, and bad inputs."""

import pickle
from itertools import product

import capi
import numpy as np
import pytest
import reference_resampling as ref
from cases import MEMORY, data
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
    for direction, given, expected in [(capi.FORWARD, forward, results),
                                       (capi.BACKWARD, {capi.GRAD | capi.Y: dy} | kept, {capi.GRAD | capi.X: dx})]:
        for way in (capi.hostile(3), None):
            arrays = given | {role: np.full_like(a, 9) for role, a in expected.items()}
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
