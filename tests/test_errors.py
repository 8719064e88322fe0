"""Whatever is wrong raises the right error, which names the argument and its value, and writes nothing."""

import re
import subprocess
import sys

import capi
import numpy as np
import pytest

import cpool
from cpool import _core

WINDOW_OPERATORS = [cpool.max_pool, cpool.min_pool, cpool.avg_pool, cpool.lp_pool, cpool.l2_pool, cpool.soft_pool,
                    cpool.mixed_pool]
window_operators = pytest.mark.parametrize("op", WINDOW_OPERATORS, ids=[op.__name__ for op in WINDOW_OPERATORS])
SENTINEL = 12345.0
HUGE = [2**31, 2**61, 2**62, 2**63 - 1]


def image(shape=(1, 2, 4, 4), dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def refused(error, message, call, *args, out=None, **kwargs):
    """Call with an out that must stay as it is; the message must hold every word of `message`."""
    out = np.full((1, 2, 2, 2), SENTINEL, np.float32) if out is None else out
    with pytest.raises(error) as raised:
        call(*args, out=out, **kwargs)
    text = str(raised.value)
    for word in [message] if isinstance(message, str) else message:
        assert re.search(word, text), text
    assert len(text) < 500
    if isinstance(out, np.ndarray) and out.dtype.kind == "f":
        assert (out == SENTINEL).all()
    with pytest.raises(error):  # an out is not what is wrong
        call(*args, **kwargs)


# ---- Geometry --------------------------------------------------------------------------------------------------------

GEOMETRY = {
    "window 0": (ValueError, ["window", r"\b0\b", "at least 1"], {"window": 0}),
    "window (2, 0)": (ValueError, ["window", r"\(2, 0\)", "at least 1"], {"window": (2, 0)}),
    "window -3": (ValueError, ["window", "-3", "at least 1"], {"window": -3}),
    "window 2.5": (TypeError, [r"window=2\.5", "integer"], {"window": 2.5}),
    "window 2.0": (TypeError, [r"window=2\.0", "integer"], {"window": 2.0}),
    "window in tuple": (TypeError, [r"window=\(2, 2\.5\)", "integer"], {"window": (2, 2.5)}),
    "window text": (TypeError, ["window='a'", "integer"], {"window": "a"}),
    "window None": (TypeError, ["window=None", "integer"], {"window": None}),
    "window True": (TypeError, ["window=True", "integer"], {"window": True}),
    "window np.True_": (TypeError, ["window", "integer"], {"window": (np.True_, 2)}),
    "window []": (ValueError, [r"window=\(\)", "1 to 3"], {"window": ()}),
    "window of 4": (ValueError, [r"window=\(1, 1, 1, 1\)", "1 to 3"], {"window": (1, 1, 1, 1)}),
    "window of 1000": (ValueError, ["window=", "1000", "1 to 3"], {"window": (1,) * 1000}),
    "window array": (TypeError, ["window=", "integer"], {"window": np.array([2, 2])}),
    "window too large": (ValueError, [r"window=\(5, 5\)", "does not fit", r"\b4\b"], {"window": 5}),
    "whole, the type": (TypeError, ["window", "cpool.whole"], {"window": type(cpool.whole)}),
    "stride 0": (ValueError, ["stride", r"\b0\b", "at least 1"], {"stride": 0}),
    "stride -1": (ValueError, ["stride", "-1", "at least 1"], {"stride": (2, -1)}),
    "stride 1.5": (TypeError, [r"stride=1\.5", "integer"], {"stride": 1.5}),
    "stride True": (TypeError, ["stride=True", "integer"], {"stride": True}),
    "stride of 1": (ValueError, [r"stride=\(2,\)", "1 entries for 2"], {"stride": (2,)}),
    "stride -2**63": (ValueError, [f"stride={-2**63}"], {"stride": -2**63}),
    "dilation 0": (ValueError, ["dilation", r"\b0\b", "at least 1"], {"dilation": 0}),
    "dilation -2": (ValueError, ["dilation", "-2", "at least 1"], {"dilation": -2}),
    "dilation 0.5": (TypeError, [r"dilation=0\.5", "integer"], {"dilation": 0.5}),
    "dilation of 3": (ValueError, [r"dilation=\(1, 1, 1\)", "3 entries for 2"], {"dilation": (1, 1, 1)}),
    "dilation too large": (ValueError, [r"window=\(2, 2\)", "does not fit", "extent"], {"dilation": 4}),
    "padding -1": (ValueError, ["padding", "-1"], {"padding": -1}),
    "padding 0.5": (TypeError, [r"padding=0\.5", "integer"], {"padding": 0.5}),
    "padding None": (TypeError, ["padding=None", "integer"], {"padding": None}),
    "padding = extent": (ValueError, ["padding", r"\b2\b", "extent"], {"padding": 2}),
    "padding = dilated extent": (ValueError, ["padding", r"\b3\b", "extent"], {"padding": 3, "dilation": 2}),
    "padding after": (ValueError, ["padding", r"\b2\b", "extent"], {"padding": ((0, 2), (0, 0))}),
    "padding name": (ValueError, ["padding='full'", "'same_upper'"], {"padding": "full"}),
    "padding of 3": (ValueError, [r"padding=\(1, 1, 1\)", "3 entries for 2"], {"padding": (1, 1, 1)}),
    "padding, 1 pair": (ValueError, [r"padding=\(\(1, 1\),\)", "1 entries for 2"], {"padding": ((1, 1),)}),
    "padding, no pair": (ValueError, [r"padding=\(\(1, 1, 1\), 0\)", "pairs"], {"padding": ((1, 1, 1), 0)}),
    "padding and ceil": (ValueError, ["ceil_mode", "padding='same'"], {"padding": "same", "ceil_mode": True}),
    "ceil_mode 1": (TypeError, ["ceil_mode=1", "True or False"], {"ceil_mode": 1}),
    "ceil_mode text": (TypeError, ["ceil_mode='no'", "True or False"], {"ceil_mode": "no"}),
    "axes repeated": (ValueError, ["axes", r"\b1\b", "twice"], {"axes": (1, 1)}),
    "axes repeated, negative": (ValueError, ["axes", "twice"], {"axes": (3, -1)}),
    "axes foreign": (ValueError, ["axes", r"\b4\b", "-4 to 3"], {"axes": (2, 4)}),
    "axes foreign, negative": (ValueError, ["axes", "-5", "-4 to 3"], {"axes": (-5, 0)}),
    "axes huge": (ValueError, ["axes", str(2**40)], {"axes": (2, 2**40)}),
    "axes of C's constants": (ValueError, ["axes", str(-2**31)], {"axes": (-2**31, -2**31)}),
    "axes 1.0": (TypeError, [r"axes=\(1\.0, 2\)", "integer"], {"axes": (1.0, 2)}),
    "axes of 3": (ValueError, [r"axes=\(1, 2, 3\)", "3 entries for 2"], {"window": (2, 2), "axes": (1, 2, 3)}),
    "axes of 4": (ValueError, [r"axes=\(0, 1, 2, 3\)", "1 to 3"], {"axes": (0, 1, 2, 3)}),
    "axes of 0": (ValueError, [r"axes=\(\)", "1 to 3"], {"axes": ()}),
    "channel_axis spatial": (ValueError, ["channel_axis", r"\b3\b", "spatial"], {"channel_axis": 3}),
    "channel_axis spatial, negative": (ValueError, ["channel_axis", "-1", "spatial"], {"channel_axis": -1}),
    "channel_axis foreign": (ValueError, ["channel_axis", r"\b4\b"], {"channel_axis": 4}),
    "channel_axis of C's constants": (ValueError, ["channel_axis", str(-2**31 + 1)], {"channel_axis": -2**31 + 1}),
    "channel_axis text": (TypeError, ["channel_axis='c'", "integer"], {"channel_axis": "c"}),
    "adaptive 0": (ValueError, ["adaptive", r"\b0\b"], {"window": cpool.adaptive(0, 2)}),
    "adaptive -1": (ValueError, ["adaptive", "-1"], {"window": cpool.adaptive(2, -1)}),
    "adaptive 2.5": (TypeError, [r"\(2\.5, 2\)", "integer"], {"window": cpool.adaptive(2.5, 2)}),
    "adaptive of 0": (ValueError, [r"\(\)", "1 to 3"], {"window": cpool.adaptive()}),
    "adaptive of 4": (ValueError, ["1 to 3"], {"window": cpool.adaptive(1, 1, 1, 1)}),
    "adaptive with stride": (ValueError, ["adaptive", "stride"], {"window": cpool.adaptive(2, 2), "stride": 2}),
    "adaptive with padding": (ValueError, ["adaptive", "padding"], {"window": cpool.adaptive(2, 2), "padding": 1}),
    "adaptive with 'valid'": (ValueError, ["adaptive", "padding"], {"window": cpool.adaptive(2, 2), "padding": "valid"}),
    "adaptive with dilation": (ValueError, ["adaptive", "dilation"], {"window": cpool.adaptive(2, 2), "dilation": 2}),
    "adaptive with ceil_mode": (ValueError, ["adaptive", "ceil_mode"], {"window": cpool.adaptive(2, 2), "ceil_mode": True}),
    "whole with stride": (ValueError, ["whole", "stride"], {"window": cpool.whole, "stride": 1}),
    "whole with padding": (ValueError, ["whole", "padding"], {"window": cpool.whole, "padding": (1, 0)}),
    "whole with dilation": (ValueError, ["whole", "dilation"], {"window": cpool.whole, "dilation": 2}),
    "whole with ceil_mode": (ValueError, ["whole", "ceil_mode"], {"window": cpool.whole, "ceil_mode": True}),
}


@window_operators
@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry(op, name):
    error, message, given = GEOMETRY[name]
    refused(error, message, op, image(), **{"window": 2} | given)
    refused(error, message, op.forward, image(), **{"window": 2} | given)
    with pytest.raises(error):
        op.output_shape((1, 2, 4, 4), **{"window": 2} | given)


@pytest.mark.parametrize("name", ["window", "stride", "padding", "dilation", "axes", "channel_axis"])
@pytest.mark.parametrize("value", [2**63, 2**64, -2**63 - 1, 10**30])
def test_beyond_int64(name, value):
    refused(ValueError, f"{name}={value}", cpool.max_pool, image(), **{"window": 2} | {name: value})


def test_more_digits_than_python_prints():
    refused(ValueError, "window=", cpool.max_pool, image(), 10**5000)
    refused(ValueError, "window=", cpool.max_pool, image((2, 2, 2)), 10**5000)


@window_operators
@pytest.mark.parametrize("value", HUGE)
def test_huge_sizes_are_errors(op, value):
    x = image()
    for given in ({"window": value}, {"window": 2, "dilation": value}, {"window": 2, "padding": value},
                  {"window": (value, value)}, {"window": (value, 2), "dilation": value},
                  {"window": cpool.adaptive(value, value)},
                  {"window": value, "padding": value - 1, "dilation": value}):
        with pytest.raises((ValueError, MemoryError)):
            op(x, **given)
        with pytest.raises((ValueError, MemoryError)):
            op.forward(x, **given)


@window_operators
@pytest.mark.parametrize("value", HUGE)
def test_huge_sizes_that_are_right(op, value):
    x = image()
    assert np.array_equal(op(x, 2, stride=value), op(x[..., :2, :2], 2))
    assert np.array_equal(op(x, 1, stride=1, dilation=value), op(x, 1))
    assert np.array_equal(op(x, 2, stride=value, ceil_mode=True), op(x[..., :2, :2], 2))
    assert np.array_equal(op(x, (1, 2), stride=(value, 1)), op(x[..., :1, :], (1, 2), stride=1))


@window_operators
@pytest.mark.parametrize("value", HUGE[:2])
def test_huge_windows_end(op, value):
    """In a process of its own: one that takes the time of all its positions never ends."""
    program = f"""
import numpy as np, cpool
op = cpool.{op.__name__}
x = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
assert np.allclose(op(x, {value}, padding={value // 2}), op(x, cpool.whole))
y, saved = op.forward(x, (8, 2**40), padding=(7, 2**39))
assert np.allclose(y[..., 0, 0], op(x[..., :1, :], cpool.whole)[..., 0, 0])
assert op.backward(y, saved, wrt="x").shape == x.shape
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("call", [
    lambda: cpool.max_pool(image((4, 4)), cpool.adaptive(2**31 - 1, 2**31 - 1)),
    lambda: cpool.max_pool(image((4, 4)), 2**40, stride=1, padding=2**40 - 1),
    lambda: cpool.avg_pool.forward(image((4, 4)), 2**30, stride=1, padding=2**30 - 1),
    lambda: cpool.max_unpool([[1.0]], [[0]], 2, output_size=2**40),
    lambda: cpool.max_unpool([[1.0]], [[0]], 2, output_size=2**62),
    lambda: cpool.max_unpool([[1.0]], [[0]], 2**31),
    lambda: cpool.max_unpool([[1.0]], [[0]], 2**62),
    lambda: cpool.max_pool(np.broadcast_to(np.float32(1), (2**40, 2**20)), 1),
])
def test_results_that_cannot_be_allocated(call):
    with pytest.raises((MemoryError, ValueError)):
        call()


@window_operators
@pytest.mark.parametrize("shape, window, message", [
    ((), (2,), "x"), ((4,), (2, 2), "dimensions"), ((4, 4), (2, 2, 2), "dimensions"), ((), 2, "0-d"), ((), cpool.whole, "0-d"),
    ((0, 4), 2, "length 0"), ((1, 4, 0), (2, 2), "length 0"), ((4, 0), cpool.whole, "length 0"),
    ((4, 0), cpool.adaptive(1, 1), "length 0"), ((2, 4, 4), 2, "ambiguous"), ((4,), 2, "ambiguous"),
    ((2, 2, 2, 4, 4), 2, "ambiguous"),
])
def test_rank_of_x(op, shape, window, message):
    refused(ValueError, message, op, np.zeros(shape, np.float32), window)
    refused(ValueError, message, op.forward, np.zeros(shape, np.float32), window)
    with pytest.raises(ValueError):
        op.output_shape(shape, window)


@pytest.mark.parametrize("x_shape, error", [
    ("ab", TypeError), (4, TypeError), ((4, 4.0), TypeError), ((4, "4"), TypeError), ((4, -4), ValueError),
    ((4, 2**64), ValueError), ((2**62, 2**62), ValueError), ((1,) * 65 + (4, 4), ValueError), (None, TypeError),
])
def test_output_shape(x_shape, error):
    with pytest.raises(error):
        cpool.max_pool.output_shape(x_shape, (2, 2))
    with pytest.raises(error):
        cpool.max_unpool.output_shape(x_shape, (2, 2))


# ---- Arrays ----------------------------------------------------------------------------------------------------------

WRONG_X = {
    "int64": (np.ones((1, 2, 4, 4), np.int64), ["int64", r"x\.astype\(np\.float32\)"]),
    "uint8": (np.ones((1, 2, 4, 4), np.uint8), ["uint8", r"x\.astype\(np\.float32\)"]),
    "bool": (np.ones((1, 2, 4, 4), bool), ["bool", r"x\.astype\(np\.float32\)"]),
    "float16": (np.ones((1, 2, 4, 4), np.float16), ["float16", r"x\.astype\(np\.float32\)"]),
    "longdouble": (np.ones((1, 2, 4, 4), np.longdouble), ["float|longdouble", r"x\.astype\(np\.float32\)"]),
    "complex": (np.ones((1, 2, 4, 4), np.complex64), ["complex64"]),
    "object": (np.ones((1, 2, 4, 4), object), ["object"]),
    "text": (np.full((1, 2, 4, 4), "a"), ["<U1"]),
    "record": (np.zeros((1, 2, 4, 4), [("a", "f4")]), ["'a'"]),
    "time": (np.zeros((1, 2, 4, 4), "m8[s]"), ["timedelta64"]),
    "masked": (np.ma.masked_array(np.ones((1, 2, 4, 4), np.float32), mask=True), ["mask", "filled"]),
    "list of int": ([[1, 2], [3, 4]], ["int64", r"np\.asarray\(x, np\.float32\)"]),
    "None": (None, ["object"]),
    "dict": ({}, ["object"]),
}


@window_operators
@pytest.mark.parametrize("name", WRONG_X)
def test_kind_of_x(op, name):
    x, message = WRONG_X[name]
    if name == "longdouble" and x.dtype.itemsize == 8:
        pytest.skip("long double is double here")
    refused(TypeError, [r"\bx\b", *message], op, x, (2, 2))
    refused(TypeError, [r"\bx\b", *message], op.forward, x, (2, 2))


@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged nested sequences")
def test_ragged_lists():
    # NumPy before 1.24 makes an array of objects of them.
    error = TypeError if np.lib.NumpyVersion(np.__version__) < "1.24.0" else ValueError
    refused(error, r"\bx\b", cpool.max_pool, [[1.0], [1.0, 2.0]], 1)


@pytest.mark.parametrize("name", WRONG_X)
def test_kind_of_dy(name):
    dy, message = WRONG_X[name]
    if name == "longdouble" and dy.dtype.itemsize == 8:
        pytest.skip("long double is double here")
    _, saved = cpool.max_pool.forward(image(), 2)
    refused(TypeError, [r"\bdy\b", *[word.replace("x", "dy", 1) if "astype" in word else word for word in message[:1]]],
            cpool.max_pool.backward, dy, saved, out=np.full((1, 2, 4, 4), SENTINEL, np.float32))


WRONG_OUT = {
    "read-only": (ValueError, ["out", "read-only"], np.broadcast_to(np.float32(SENTINEL), (1, 2, 2, 2))),
    "shape": (ValueError, ["out", r"\(1, 2, 2, 3\)", r"\(1, 2, 2, 2\)"], np.full((1, 2, 2, 3), SENTINEL, np.float32)),
    "axes": (ValueError, ["out", r"\(2, 2, 2\)", r"\(1, 2, 2, 2\)"], np.full((2, 2, 2), SENTINEL, np.float32)),
    "float64": (TypeError, ["out", "f8", "f4"], np.full((1, 2, 2, 2), SENTINEL, np.float64)),
    "int32": (TypeError, ["out", "i4", "f4"], np.ones((1, 2, 2, 2), np.int32)),
    "byte-swapped": (TypeError, ["out", "f4"], np.full((1, 2, 2, 2), SENTINEL, np.dtype(np.float32).newbyteorder())),
    "misaligned": (ValueError, ["out", "aligned"], np.full(33, 65, np.uint8)[1:].view(np.float32).reshape(1, 2, 2, 2)),
    "list": (TypeError, ["out", "list"], [0.0]),
    "tuple of two": (ValueError, ["out", "2"], (np.zeros(1), np.zeros(1))),
    "tuple of none": (ValueError, ["out", "0"], ()),
    "tuple of None": (TypeError, ["out", "NoneType"], (None,)),
    "masked": (TypeError, ["out", "mask"], np.ma.masked_array(np.zeros((1, 2, 2, 2), np.float32))),
}


@window_operators
@pytest.mark.parametrize("name", WRONG_OUT)
def test_out(op, name):
    error, message, out = WRONG_OUT[name]
    before = out.tobytes() if isinstance(out, np.ndarray) else None
    for call in (op, op.forward):
        with pytest.raises(error) as raised:
            call(image(), 2, out=out)
        assert all(re.search(word, str(raised.value)) for word in message), raised.value
    _, saved = op.forward(image((1, 2, 2, 2)), 1)
    with pytest.raises(error):
        op.backward(image((1, 2, 2, 2)), saved, wrt="x", out=out)
    if before is not None:
        assert out.tobytes() == before


@window_operators
def test_out_that_shares_memory(op):
    memory = image((64,))
    before = memory.copy()
    x = memory[:32].reshape(1, 2, 4, 4)
    _, saved = op.forward(x, 1)
    for out in (x, x[..., ::-1], memory[31:63].reshape(1, 2, 4, 4), memory[1:33].reshape(1, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"out.*\bx\b"):
            op(x, 1, out=out)
        with pytest.raises(ValueError, match=r"out.*\b(dy|x)\b"):
            op.backward(x, saved, wrt="x", out=out)
    assert np.array_equal(memory, before)


@window_operators
def test_out_that_overlaps_itself(op):
    memory = np.full(64, SENTINEL, np.float32)
    for strides in ((0, 0, 0, 0), (0, 32, 8, 4), (64, 16, 4, 4), (64, 12, 8, 4)):
        out = np.lib.stride_tricks.as_strided(memory, (2, 2, 2, 2), strides)
        with pytest.raises(ValueError, match="out overlaps itself"):
            op(image((2, 2, 4, 4)), 2, out=out)
    assert (memory == SENTINEL).all()


# ---- Further arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given, error, message", [
    ({"divisor_override": 0}, ValueError, ["divisor_override", "0"]),
    ({"divisor_override": -0.0}, ValueError, ["divisor_override", "0"]),
    ({"divisor_override": float("nan")}, ValueError, ["divisor_override", "nan", "finite"]),
    ({"divisor_override": float("-inf")}, ValueError, ["divisor_override", "inf", "finite"]),
    ({"divisor_override": 10**400}, ValueError, ["divisor_override", "too large"]),
    ({"divisor_override": "2"}, TypeError, ["divisor_override='2'", "number"]),
    ({"divisor_override": True}, TypeError, ["divisor_override=True", "number"]),
    ({"divisor_override": 1j}, TypeError, ["divisor_override=1j", "number"]),
    ({"divisor_override": np.ones(2)}, TypeError, ["divisor_override", "number"]),
    ({"count_include_pad": 1}, TypeError, ["count_include_pad=1", "True or False"]),
    ({"count_include_pad": None}, TypeError, ["count_include_pad=None", "True or False"]),
])
def test_avg_pool(given, error, message):
    refused(error, message, cpool.avg_pool, image(), 2, **given)
    refused(error, message, cpool.avg_pool.forward, image(), 2, **given)


@pytest.mark.parametrize("p, error, message", [
    (0, ValueError, ["p=0", "greater than 0"]),
    (-1.5, ValueError, [r"p=-1\.5", "greater than 0"]),
    (float("nan"), ValueError, ["p=-?nan", "greater than 0"]),
    (float("-inf"), ValueError, ["p=-inf", "greater than 0"]),
    (10**400, ValueError, ["p=", "too large"]),
    ("2", TypeError, ["p='2'", "number"]),
    (None, TypeError, ["p=None", "number"]),
    (True, TypeError, ["p=True", "number"]),
    (2j, TypeError, ["p=2j", "number"]),
    (np.array([2.0, 0.0]), ValueError, ["p=0", "greater than 0"]),
    (np.array([2.0, np.nan], np.float32), ValueError, ["p=-?nan", "greater than 0"]),
    (np.array([2.0, 2.0, 2.0]), ValueError, ["p has 3 values", "2 channels"]),
    ([2.0, 2.0, 2.0], ValueError, ["p has 3 values", "2 channels"]),
    (np.ones(0), ValueError, ["p has 0 values", "2 channels"]),
    (np.ones((1, 2)), ValueError, ["p has shape", r"\(1, 2\)"]),
    (np.array([2, 2]), TypeError, ["p has dtype int64", "astype"]),
    (np.array(["a", "b"]), TypeError, ["p has dtype"]),
    (["a", "b"], TypeError, ["p has dtype"]),
    (np.array([2.0, 2.0], np.float16), TypeError, ["p has dtype float16", "astype"]),
    (np.ma.masked_array([2.0, 2.0], mask=[0, 1]), TypeError, ["p", "mask"]),
])
def test_p(p, error, message):
    refused(error, message, cpool.lp_pool, image(), 2, p=p)
    refused(error, message, cpool.lp_pool.forward, image(), 2, p=p)


def test_p_of_another_dtype():
    refused(TypeError, ["p has dtype float32", "float64"], cpool.lp_pool, image(dtype=np.float64), 2,
            p=np.ones(2, np.float32), out=np.full((1, 2, 2, 2), SENTINEL, np.float64))


def test_p_per_channel_without_channels():
    refused(ValueError, ["p has 2 values", "channel"], cpool.lp_pool, image((4, 4)), 2, p=np.array([1.0, 2.0]),
            out=np.full((2, 2), SENTINEL, np.float32))


@pytest.mark.parametrize("norm, error", [("max", ValueError), (2, TypeError), (None, TypeError), (True, TypeError)])
def test_norm(norm, error):
    refused(error, [f"norm={norm!r}", "'sum' or 'mean'"], cpool.lp_pool, image(), 2, norm=norm)


def unpool(x=None, indices=None, window=2, **given):
    x = image((1, 2, 2, 2)) if x is None else x
    indices = np.arange(8).reshape(1, 2, 2, 2) if indices is None else indices
    return {"x": x, "indices": indices, "window": window} | given


@pytest.mark.parametrize("given, error, message", [
    (unpool(indices=np.full((1, 2, 2, 2), -5)), ValueError, ["indices", "-5"]),
    (unpool(indices=np.full((1, 2, 2, 2), -2)), ValueError, ["indices", "-2"]),
    (unpool(indices=np.full((1, 2, 2, 2), 16)), ValueError, ["indices", "16"]),
    (unpool(indices=np.full((1, 2, 2, 2), -10**12)), ValueError, ["indices", str(-10**12)]),
    (unpool(indices=np.full((1, 2, 2, 2), -2**63)), ValueError, ["indices", str(-2**63)]),
    (unpool(indices=np.full((1, 2, 2, 2), 2**63 - 1)), ValueError, ["indices", str(2**63 - 1)]),
    (unpool(indices=np.array([0] * 7 + [16]).reshape(1, 2, 2, 2)), ValueError, ["indices", "16"]),
    (unpool(indices=np.zeros((1, 2, 2, 2))), TypeError, ["indices", "float64", "int64"]),
    (unpool(indices=np.zeros((1, 2, 2, 2), np.int32)), TypeError, ["indices", "int32", r"indices\.astype\(np\.int64\)"]),
    (unpool(indices=np.zeros((1, 2, 2, 2), np.uint64)), TypeError, ["indices", "uint64", r"indices\.astype\(np\.int64\)"]),
    (unpool(indices=np.zeros((1, 2, 2, 2), object)), TypeError, ["indices", "object"]),
    (unpool(indices=[[[[0.0, 1.0]] * 2] * 2]), TypeError, ["indices", "float64"]),
    (unpool(indices=np.ma.masked_array(np.zeros((1, 2, 2, 2), np.int64))), TypeError, ["indices", "mask"]),
    (unpool(indices=np.zeros((1, 2, 2, 3), np.int64)), ValueError, ["indices", r"\(1, 2, 2, 3\)", r"\(1, 2, 2, 2\)"]),
    (unpool(indices=np.zeros((2, 2, 2), np.int64)), ValueError, ["indices", r"\(2, 2, 2\)", r"\(1, 2, 2, 2\)"]),
    (unpool(indices=None, output_size=0), ValueError, ["output_size", "0"]),
    (unpool(output_size=(4, -1)), ValueError, ["output_size", "-1"]),
    (unpool(output_size=2.0), TypeError, [r"output_size=2\.0", "integer"]),
    (unpool(output_size=(4, 4, 4)), ValueError, ["output_size", "3 entries for 2"]),
    (unpool(output_size=2**64), ValueError, [f"output_size={2**64}"]),
    (unpool(output_size=(4, 3), indices=np.full((1, 2, 2, 2), 12)), ValueError, [r"\(1, 2, 4, 3\)|indices"]),
    (unpool(window=cpool.whole), ValueError, ["max_unpool", "whole"]),
    (unpool(window=cpool.adaptive(2, 2)), ValueError, ["max_unpool", "adaptive"]),
    (unpool(padding="same"), ValueError, ["padding='same'", "output_size"]),
    (unpool(padding=2), ValueError, ["padding", "2"]),
    (unpool(x=image((1, 2, 1, 1)), indices=np.zeros((1, 2, 1, 1), int), window=3, padding=2), ValueError,
     [r"padding=\(2, 2\) along axis 2 leaves no output"]),
    (unpool(window=0), ValueError, ["window", "0"]),
    (unpool(stride=0), ValueError, ["stride", "0"]),
    (unpool(stride=2**63 - 1), ValueError, ["2.60|stride"]),
    (unpool(duplicates="sum"), ValueError, ["duplicates='sum'", "'overwrite' or 'add'"]),
    (unpool(duplicates=None), TypeError, ["duplicates=None", "'overwrite' or 'add'"]),
    (unpool(x=np.ones((1, 2, 2, 2), int)), TypeError, ["x has dtype int64", "astype"]),
])
def test_max_unpool(given, error, message):
    out = np.full((1, 2, 4, 4), SENTINEL, np.float32)
    refused(error, message, cpool.max_unpool, **given, out=out)
    refused(error, message, cpool.max_unpool.forward, **given, out=out)


def test_max_unpool_has_no_ceil_mode():
    with pytest.raises(TypeError, match="ceil_mode"):
        cpool.max_unpool(**unpool(), ceil_mode=True)


def test_indices_that_share_memory_with_out():
    memory = np.zeros(32, np.int64)
    with pytest.raises(ValueError, match=r"out.*indices"):
        cpool.max_unpool(image((1, 2, 2, 2), np.float64), memory[:8].reshape(1, 2, 2, 2), 2,
                         out=memory.view(np.float64).reshape(1, 2, 4, 4))
    assert (memory == 0).all()


# ---- Backward --------------------------------------------------------------------------------------------------------


@window_operators
@pytest.mark.parametrize("dy, error, message", [
    (np.zeros((1, 2, 2, 3), np.float32), ValueError, ["dy", r"\(1, 2, 2, 3\)", r"\(1, 2, 2, 2\)"]),
    (np.zeros((2, 2, 2), np.float32), ValueError, ["dy", r"\(2, 2, 2\)", r"\(1, 2, 2, 2\)"]),
    (np.float32(1), ValueError, ["dy", r"\(1, 2, 2, 2\)"]),
    (np.zeros((1, 2, 2, 2), np.float64), TypeError, ["dy", "float64", "float32"]),
])
def test_dy(op, dy, error, message):
    _, saved = op.forward(image(), 2)
    refused(error, message, op.backward, dy, saved, wrt="x", out=np.full((1, 2, 4, 4), SENTINEL, np.float32))


@window_operators
def test_saved_of_another_operator(op):
    other = cpool.avg_pool if op is not cpool.avg_pool else cpool.max_pool
    y, saved = other.forward(image(), 2)
    out = np.full((1, 2, 4, 4), SENTINEL, np.float32)
    refused(ValueError, [other.__name__, op.__name__], op.backward, y, saved, wrt="x", out=out)
    for wrong in (None, 0, saved.op, {"op": op}):
        refused(TypeError, ["saved", op.__name__, type(wrong).__name__], op.backward, y, wrong, wrt="x", out=out)


@pytest.mark.parametrize("op, wrt, error", [
    (cpool.max_pool, "p", ValueError), (cpool.max_pool, (), ValueError), (cpool.max_pool, ("x", "p"), ValueError),
    (cpool.max_pool, 1, TypeError), (cpool.lp_pool, "y", ValueError), (cpool.lp_pool, (), ValueError),
    (cpool.lp_pool, ("x", 3), ValueError), (cpool.lp_pool, {"x"}, TypeError),
])
def test_wrt(op, wrt, error):
    y, saved = op.forward(image(), 2)
    refused(error, ["wrt", "'x'|string"], op.backward, y, saved, wrt=wrt, out=np.full((1, 2, 4, 4), SENTINEL, np.float32))


def test_saved_has_no_constructor():
    with pytest.raises(TypeError):
        _core.Saved()
    blank = _core.Saved.__new__(_core.Saved)
    assert blank.nbytes == 0 and repr(blank)
    with pytest.raises((AttributeError, ValueError)):
        _ = blank.indices
    with pytest.raises(ValueError, match="max_pool"):
        cpool.max_pool.backward(image(), blank)


FIELDS = [*capi.FIELDS, "x", "taps", "indices", "p", "weight", "mask"]


def numbers(**values):
    """The numbers of a `saved` of max_pool, some of them changed."""
    usual = {"op": capi.MAX, "rank": 2, "channel_axis": -2**31, "divisor": 0.0, "p_max": 0.5, "eps2": 1e-3}
    return tuple((usual | values).get(name, 0) for name in capi.NUMBERS)


def along(value, axes=-2**31, rest=-2**63):
    """The lengths of a `saved`; rest: of those that max_pool does not take, which are -2**63 where they are not given."""
    first = (axes, *(value,) * 6)
    return [(*first, *(rest,) * (len(capi.LENGTHS_ALONG) - len(first)))] * 3


GARBAGE = [
    None, 0, -1, 1.5, float("nan"), 2**70, "a", b"a", (), [], {}, (1, 2), (-1,) * 4, (2**62,) * 4, (0,) * 4, (2,) * 100, object,
    np.zeros(3), np.zeros((1, 2, 2, 2), np.uint8), np.full((1, 2, 2, 2), 255, np.uint8), np.full((1, 2, 2, 2), 77, np.uint8),
    np.full((1, 2, 2, 2), 2**31 - 1, np.int32), np.full((1, 2, 2, 2), -7, np.int64), np.zeros((1, 2, 2, 2), object),
    np.zeros((1, 2, 2, 2), complex), np.array("text"), np.zeros(0), np.zeros((1, 2, 4, 4), np.float32),
    np.zeros((1, 2, 4, 4), ">f4"), tuple(range(1, len(capi.NUMBERS) + 1)), numbers(op=2, rank=2**31 - 1), numbers(op=4),
    numbers(op=9, flags=2**32 - 1, divisor=float("nan")), numbers(rank=3, geometry=2, padding_mode=3, channel_axis=3, flags=1),
    numbers(channel_axis=99), numbers(variant=2**31 - 1), numbers(eps2=float("nan")), *(numbers(op=op) for op in range(23)),
    numbers(op=capi.KMAX, rank=1, k=2**62), {"x": None},
    {"x": np.zeros((1, 2, 4, 4), np.float32), "weight": np.zeros(4), "bias": 1.0, "logits": np.zeros((1, 2, 4, 4), np.float32)},
    along(2**62), along(0), along(-1), along(1), along(0, axes=0), along(-1, axes=-1), along(1, rest=0), along(2, rest=2**62),
]


def test_forged_numbers_reach_the_library():
    """What is forged below fails, where it does, by its values, not by how many there are."""
    _, saved = cpool.max_pool.forward(image((1, 2, 4, 4)), 2)
    dy = np.ones((1, 2, 2, 2), np.float32)
    same = capi.forged(saved, numbers=numbers())
    assert np.array_equal(cpool.max_pool.backward(dy, same), cpool.max_pool.backward(dy, saved))
    refused(ValueError, "window", cpool.max_pool.backward, dy, capi.forged(saved, lengths=along(0)))


@pytest.mark.parametrize("op", [*WINDOW_OPERATORS, cpool.max_unpool], ids=lambda op: op.__name__)
@pytest.mark.parametrize("field", FIELDS)
def test_forged_saved(op, field):
    """Any one field replaced by anything: an error, or a gradient of the right kind, never more."""
    x = image((1, 2, 4, 4))
    more = [np.arange(32).reshape(x.shape) % 64] if op is cpool.max_unpool else []
    y, saved = op.forward(x, *more, 2)
    for garbage in GARBAGE:
        try:
            other = capi.forged(saved, **{field: garbage})
            repr(other), other.nbytes
            dx = op.backward(y, other, wrt="x")
        except (ValueError, TypeError, OverflowError, MemoryError):
            continue
        assert type(dx) is np.ndarray and dx.dtype.kind == "f"
        try:
            indices = other.indices
        except (AttributeError, ValueError, TypeError):
            continue
        assert indices.dtype == np.int64 and (garbage is None or indices.size < 100)


@pytest.mark.parametrize("window, dtype", [(2, np.uint8), (16, np.int32)])
def test_forged_taps(window, dtype):
    """Taps of the right dtype and shape, but of any value, select something real or nothing."""
    x = np.ones((1, 1, 32, 32), np.float32)
    y, saved = cpool.max_pool.forward(x, window, stride=1, padding=window - 1)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for seed in range(5):
        taps = np.random.default_rng(seed).integers(low, high, y.shape, dtype, endpoint=True)
        other = capi.forged(saved, taps=taps)
        assert (other.indices >= -1).all() and (other.indices < x.size).all()
        dx = cpool.max_pool.backward(np.ones_like(y), other)
        assert dx.shape == x.shape and 0 <= dx.sum() <= y.size


# ---- Around it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, error", [(0, ValueError), (-1, ValueError), (10**6, ValueError), (2**64, ValueError),
                                      (1.5, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)])
def test_threads(n, error):
    before = cpool.get_num_threads()
    with pytest.raises(error, match="n="):
        cpool.set_num_threads(n)
    with pytest.raises(error, match="n="), cpool.num_threads(n):
        pass
    assert cpool.get_num_threads() == before


@pytest.mark.parametrize("name, error", [("altivec", ValueError), ("", ValueError), ("AVX2", ValueError), (1, TypeError),
                                         (None, TypeError), ("x" * 1000, ValueError)])
def test_isa(name, error):
    before = cpool.isa()
    with pytest.raises(error, match="'scalar'"), cpool.using_isa(name):
        pass
    assert cpool.isa() == before


@pytest.mark.parametrize("call", [cpool.global_avg_pool, cpool.global_max_pool])
def test_global(call):
    with pytest.raises(ValueError, match="whole"):
        call(image((2, 3, 4)))
    with pytest.raises(ValueError, match="axes"):
        call(image(), axes=(1, 1))


@pytest.mark.parametrize("call", [cpool.adaptive_avg_pool, cpool.adaptive_max_pool])
@pytest.mark.parametrize("x, output_size, error", [
    (image((2, 3, 4)), 2, ValueError), (image(), 0, ValueError), (image(), (2, 2.5), TypeError), (image(), None, TypeError),
    (image(), "2", TypeError), (image(), (), ValueError), (image(), 2**64, ValueError),
])
def test_adaptive(call, x, output_size, error):
    with pytest.raises(error, match=r"output_size|adaptive"):
        call(x, output_size)


# ---- What came of an attack --------------------------------------------------------------------------------------------------


def test_saved_that_holds_everything():
    y, saved = cpool.lp_pool.forward(image((3, 8, 8)), (2, 2))
    everything = capi.forged(saved, taps=np.zeros((3, 4, 4), np.uint8), indices=np.zeros(3, np.int64))
    for wrt in (None, "x", "p"):
        with pytest.raises(ValueError, match="lp_pool takes no taps"):
            cpool.lp_pool.backward(y, everything, wrt=wrt)


def resizing(x):
    class Number(int):
        def __float__(self):
            x.resize((0,), refcheck=False)
            return 3.0

    return Number(2)


def test_arrays_that_vanish_while_arguments_are_converted():
    class Spoof(np.ndarray):
        victim = None

        @property
        def __class__(self):
            self.victim.resize((0,), refcheck=False)
            return Spoof

    import numpy.ma  # noqa: F401  (asks out for its class)

    for call in [
        lambda x: cpool.lp_pool(x, (2, 2), p=resizing(x)),
        lambda x: cpool.avg_pool(x, (2, 2), divisor_override=resizing(x)),
    ]:
        with pytest.raises(ValueError, match="x has"):
            call(np.ones((2, 300, 300)))
    x = np.ones((2, 300, 300))
    out = np.full((2, 150, 150), 7.0).view(Spoof)
    Spoof.victim = x
    with pytest.raises(ValueError, match="x has"):
        cpool.max_pool(x, (2, 2), out=out)
    y, saved = cpool.max_pool.forward(np.ones((2, 300, 300)), (2, 2))
    Spoof.victim = dy = y.copy()
    with pytest.raises(ValueError, match="dy has"):
        cpool.max_pool.backward(dy, saved, out=np.empty((2, 300, 300)).view(Spoof))


def test_shapes_in_messages_are_tuples():
    with pytest.raises(ValueError, match=re.escape("out has shape (3,); it must be (2,)")):
        cpool.max_pool(np.ones(4), (2,), out=np.empty(3))


def test_long_shapes_in_messages_end_early():
    shape = (10,) * 6 + (1,) * 24 + (4, 0)
    with pytest.raises(ValueError, match=r"x has length 0 along the spatial axis 31 \(shape .*, \.\.\.\)\)") as raised:
        cpool.max_pool(np.empty(shape), (1, 1))
    shown = str(raised.value).split("shape ")[1].removesuffix(", ...))")
    assert str(shape).startswith(shown) and len(shown) > 80
