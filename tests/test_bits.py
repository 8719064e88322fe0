"""The same bits on every instruction set, for every split of the work, in every layout, in any floating-point environment, and
whatever the batch. Any NaN counts as equal to any NaN."""

import ctypes
import platform
import subprocess
from contextlib import contextmanager
from itertools import product

import capi
import numpy as np
import pytest
from cases import MEMORY, cases, data, exponents
from hypothesis import given, settings
from hypothesis import strategies as st

import cpool

DTYPES = [np.float32, np.float64]
ISAS = cpool.isas()
BATCH, CHANNELS = 2, 11


def assert_same(actual, expected, what):
    """actual and expected are dicts of arrays."""
    for name, want in expected.items():
        have = np.asarray(actual[name])
        want = np.asarray(want)
        assert have.dtype == want.dtype, (what, name)
        assert have.shape == want.shape, (what, name)
        unsigned = f"u{want.itemsize}"
        differs = np.ascontiguousarray(have).view(unsigned) != np.ascontiguousarray(want).view(unsigned)
        if want.dtype.kind == "f":
            differs &= ~(np.isnan(have) & np.isnan(want))
        if np.any(differs):
            at = np.unravel_index(np.argmax(differs), differs.shape)
            raise AssertionError(f"{what}: {name}{list(map(int, at))} is {have[at]!r}, not {want[at]!r}; "
                                 f"{np.count_nonzero(differs)} of {differs.size} differ")


# ---- Calls -----------------------------------------------------------------------------------------------------------

# Operators by name, with their further arguments.
OPERATORS = {
    "max": ("max_pool", {}),
    "min": ("min_pool", {}),
    "avg": ("avg_pool", {}),
    "avg with padding": ("avg_pool", {"count_include_pad": True}),
    "avg by 0.1": ("avg_pool", {"divisor_override": 0.1}),
    "lp 2.5": ("lp_pool", {"p": 2.5}),
    "lp 2 mean": ("lp_pool", {"p": 2.0, "norm": "mean"}),
    "lp inf": ("lp_pool", {"p": np.inf}),
}


def first(memory):
    """Channels before the spatial axes."""
    return {}, memory, lambda a: a


def last(memory):
    """Channels behind the spatial axes; without batch axes the array is as it is."""
    return {"last": True}, lambda a: memory(np.ascontiguousarray(np.moveaxis(a, 1, -1))), lambda a: np.moveaxis(a, -1, 1)


LAYOUTS = {
    "first": first(MEMORY["C"]),
    "first, Fortran": first(MEMORY["Fortran"]),
    "first, sliced": first(MEMORY["sliced"]),
    "first, reversed": first(MEMORY["reversed"]),
    "first, transposed": first(MEMORY["transposed"]),
    "last": last(MEMORY["C"]),
    "last, sliced": last(MEMORY["sliced"]),
    "last, reversed": last(MEMORY["reversed"]),
}


def run(operator, x, dy, window, kwargs, *, layout="first", isa="scalar", backward=True, p=None):
    """Everything that an operator gives for x [batch, channels, spatial] and dy, logical order whatever the layout."""
    name, further = OPERATORS[operator]
    if p is not None:
        further = further | {"p": p}
    flags, arrange, restore = LAYOUTS[layout]
    if flags:
        kwargs = kwargs | {"axes": tuple(range(1, x.ndim - 1))}
    op = getattr(cpool, name)
    with cpool.using_isa(isa):
        y, saved = op.forward(arrange(x), window, **kwargs, **further)
        result = {"y": restore(y)}
        if name in ("max_pool", "min_pool"):
            result["indices"] = restore(saved.indices)
        result["call"] = restore(op(arrange(x), window, **kwargs, **further))
        if backward:
            gradient = op.backward(arrange(dy), saved)
            if name == "lp_pool":
                result |= {"dx": restore(gradient.x), "dp": gradient.p}
            else:
                result["dx"] = restore(gradient)
    return result


def wide(shape, dtype, seed=0):
    """Magnitudes so different that every order of a sum has its own bits."""
    return data("wide", seed, shape, dtype)


# ---- Every way to read -----------------------------------------------------------------------------------------------

# Spatial shape, window, arguments. What each is for is which loops it drives: how many taps there are along an axis (8, 64, 256
# and 1024 are limits), how far apart the first and last source of a row are (64 KiB is one), whether folded rows can be kept.
GEOMETRIES = {
    "stride 1": ((9, 20), 3, {"stride": 1, "padding": 1}),
    "stride 2": ((9, 40), 3, {"stride": 2, "padding": 1}),
    "stride beyond the window": ((9, 60), 2, {"stride": 4}),
    "stride 3, dilated, ceil": ((14, 50), (3, 4), {"stride": 3, "dilation": 2, "padding": (1, 2), "ceil_mode": True}),
    "dilation and stride not coprime": ((14, 70), (3, 5), {"stride": (2, 4), "dilation": (4, 6), "padding": (0, 5)}),
    "few columns": ((9, 5), 3, {"stride": 1, "padding": 1}),
    "tree": ((14, 30), (9, 11), {"stride": (1, 2)}),
    "256 taps": ((20, 40), 16, {"stride": 3}),
    "289 taps": ((20, 40), 17, {"stride": 3}),
    "beyond 64 down": ((70, 20), (66, 3), {"stride": (2, 1)}),
    "beyond 64 along": ((3, 90), (2, 70), {"stride": (1, 3), "padding": (0, 5)}),
    "beyond 4096 in all": ((68, 74), (66, 70), {"stride": (2, 3)}),
    "beyond 256 down": ((330, 14), (300, 2), {"stride": (14, 1)}),
    "beyond 256 along": ((3, 330), (2, 300), {"stride": (1, 2)}),
    "beyond 1024 along": ((1400,), (1300,), {"stride": 7}),
    "beyond 4096 along": ((5200,), (5000,), {"stride": 50, "padding": 30}),
    "beyond 4096 down": ((5300, 2), (5000, 2), {"stride": (250, 1)}),
    "tap by tap": ((17000,), (3,), {"stride": 1, "dilation": 8300, "padding": 700}),
    "tap by tap, stride 7": ((20000,), (2,), {"stride": 7, "dilation": 17000}),
    "tap by tap, table": ((20000,), (3,), {"stride": 6, "dilation": 9004}),
    "tap by tap beyond 64": ((1700,), (1600,), {"stride": 9}),
    "whole": ((30, 40), cpool.whole, {}),
    "whole, small": ((7, 5), cpool.whole, {}),
    "whole, long": ((17000,), cpool.whole, {"axes": -1}),
    "adaptive": ((13, 37), cpool.adaptive(5, 14), {}),
    "adaptive, even": ((12, 39), cpool.adaptive(4, 13), {}),
    "adaptive, more bins than elements": ((7, 20), cpool.adaptive(9, 33), {}),
    "adaptive, long bins": ((33001,), cpool.adaptive(2), {}),
    "3-d": ((5, 6, 20), (3, 3, 3), {"stride": (1, 2, 1), "padding": 1}),
    "3-d, stride 2": ((6, 7, 26), (3, 2, 3), {"stride": 2, "padding": 1, "ceil_mode": True}),
    "3-d, tree": ((12, 11, 14), (9, 10, 2), {"stride": (1, 1, 2)}),
    "3-d, beyond 64 deep": ((70, 3, 13), (66, 2, 2), {"stride": (4, 1, 1)}),
    "3-d, beyond 256 deep": ((262, 2, 13), (260, 2, 2), {"stride": (2, 1, 1)}),
    "rows not kept, dilated": ((140, 14), (3, 3), {"stride": 1, "dilation": (65, 1), "padding": (3, 1)}),
    "rows not kept, deep": ((19, 67, 3), (17, 63, 2), {"stride": (2, 4, 1)}),
    "empty windows": ((1, 14), 2, {"stride": 1, "dilation": 2, "padding": 1}),
    "large, stride 1": ((11, 34), (5, 9), {"stride": 1, "padding": (2, 4)}),
}
COSTLY = ("beyond", "tap by tap", "long", "rows not kept, deep", "3-d, tree")
# Lp pooling sums a window again for every row that it covers where rows cannot be kept.
SLOW_GRADIENTS = ("beyond 256 down", "beyond 4096 down", "3-d, beyond 256 deep", "rows not kept, deep", "adaptive, long bins")


def is_costly(geometry):
    return any(part in geometry for part in COSTLY)


def inputs(geometry, dtype, operator="avg"):
    spatial, window, kwargs = GEOMETRIES[geometry]
    batch, channels = (1, 8) if is_costly(geometry) else (BATCH, CHANNELS)
    kind = "ties" if operator in ("max", "min") else "wide"
    x = data(kind, 1, (batch, channels, *spatial), dtype)
    shape = cpool.max_pool.output_shape(x.shape, window, **kwargs)
    return x, wide(shape, dtype, 2), window, kwargs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_instruction_sets_and_layouts(geometry, dtype):
    costly = is_costly(geometry)
    for operator in ["max", "avg", "lp 2.5", "lp inf"] if costly else OPERATORS:
        x, dy, window, kwargs = inputs(geometry, dtype, operator)
        power = operator[:2] == "lp"
        further = {"backward": not (power and geometry in SLOW_GRADIENTS)}
        expected = run(operator, x, dy, window, kwargs, **further)
        assert_same({"y": expected["call"]}, {"y": expected["y"]}, operator)
        if costly and power:
            ways = [("first", ISAS[-1]), ("last", ISAS[-1])]
        elif costly:
            ways = [(layout, ISAS[-1 - i % len(ISAS)]) for i, layout in enumerate(LAYOUTS)]
        else:
            # All instruction sets where memory is contiguous, one of them in turn where it is loaded element by element.
            ways = [(layout, isa) for i, layout in enumerate(LAYOUTS)
                    for isa in (ISAS if layout in ("first", "last") else [ISAS[-1 - i % len(ISAS)]])]
        for layout, isa in ways:
            actual = run(operator, x, dy, window, kwargs, layout=layout, isa=isa, **further)
            assert_same(actual, expected, (operator, layout, isa))
        # One plane by itself.
        one = run(operator, x[-1:, 4:5], dy[-1:, 4:5], window, kwargs, isa=ISAS[-1], **further)
        assert_same(one, {name: expected[name][-1:, 4:5] for name in one if name != "dp"}, (operator, "one plane"))


# Planes that are cut into pieces: along the row, down and deep.
PIECES = {
    "wide rows, stride 1": ((1, 2, 4, 4700), (3, 3), {"stride": 1, "padding": 1}),
    "wide rows, stride 2": ((2, 4500), (3,), {"stride": 2, "padding": 1}),
    "wide rows, without overlap": ((1, 1, 3, 9001), (2, 2), {}),
    "wide rows, stride 3": ((1, 1, 5, 4700), (3, 5), {"stride": 3, "padding": 1}),
    "wide rows, stride 4": ((1, 1, 5, 8800), (3, 3), {"stride": (1, 4), "padding": 1}),
    "many rows": ((1, 2, 700, 90), (3, 3), {"stride": 1, "padding": 1}),
    "many rows, stride 2": ((1, 1, 900, 130), (3, 2), {"stride": 2, "padding": (1, 0)}),
    "windows of 3x3 in steps of 2, wide rows": ((1, 1, 9, 9000), 3, {"stride": 2}),
    "windows of 3x3 in steps of 2, wide rows, padded": ((1, 1, 10, 4101), 3, {"stride": 2, "padding": 1}),
    "windows of 3x3 in steps of 2, many rows": ((1, 2, 70, 130), 3, {"stride": 2, "padding": (0, 1)}),
    "windows of 3x3 in steps of 2, odd": ((2, 9, 61, 33), 3, {"stride": 2, "padding": (1, 0)}),
    "windows of 3x3 in steps of 2, beyond the plane": ((2, 9, 24, 14), 3, {"stride": 2, "ceil_mode": True}),
    "windows of 3x3 in steps of 1, few columns": ((2, 9, 15, 13), 3, {"stride": 1, "padding": (1, 0)}),
    "windows of 3x3 in steps of 1, 20 channels": ((2, 20, 21, 19), 3, {"stride": 1, "padding": (1, 0)}),
    "many planes": ((1, 1, 40, 30, 31), (3, 3, 3), {"stride": 1, "padding": 1}),
    "many planes, without overlap": ((1, 2, 40, 40, 41), (2, 2, 2), {}),
    "many channels": ((1, 4500, 3, 5), (2, 3), {"stride": 1, "padding": (0, 1)}),
    "many channels and columns": ((1, 40, 3, 2300), (3, 3), {"stride": 2, "padding": 1}),
    "many small planes": ((3, 700, 7, 7), (3, 3), {"stride": 1, "padding": 1}),
    "many whole planes": ((3, 700, 7, 5), cpool.whole, {"axes": (-2, -1)}),
    "whole planes of many elements": ((2, 19, 70, 60), cpool.whole, {}),
    "whole planes of more elements": ((1, 2, 3, 100, 301), cpool.whole, {"axes": (-3, -2, -1)}),
    "whole planes of few channels": ((2, 3, 33, 31), cpool.whole, {}),
    "whole planes of many channels": ((1, 500, 9, 15), cpool.whole, {}),
    "large windows, many rows": ((1, 2, 300, 130), (9, 10), {"stride": (1, 2), "padding": (4, 5)}),
    "large windows, wide rows": ((1, 1, 1, 70000), (1, 9), {"stride": (1, 3), "padding": (0, 4)}),
    "large windows, many channels": ((2, 70, 21, 20), (9, 12), {"stride": (2, 1), "padding": (4, 6)}),
    "large windows, large planes": ((1, 19, 60, 120), (11, 13), {"stride": 1, "padding": (5, 6)}),
    "large windows, long rows": ((1, 17, 10, 3000), (9, 10), {"stride": (2, 1), "padding": 4}),
    "large windows, apart": ((1, 150, 48, 50), (16, 16), {}),
    "large windows, apart, padded": ((1, 24, 70, 260), (33, 64), {"padding": (5, 9), "ceil_mode": True}),
    "large windows, the largest apart": ((1, 20, 22, 260), (20, 127), {"stride": (7, 127), "padding": (3, 2)}),
    "large windows, half apart": ((1, 40, 50, 33), (30, 12), {"stride": (12, 6), "padding": (11, 3), "ceil_mode": True}),
    "large windows, rows in pieces": ((1, 2, 20, 2300), (9, 13), {"stride": 1, "padding": (4, 6)}),
    "large windows, rows apart": ((1, 2, 70, 90), (12, 9), {"stride": (5, 1), "padding": (6, 4)}),
    "large windows, long rows of few channels": ((2, 3, 40, 50), (9, 13), {"stride": 1, "padding": (4, 6)}),
    "large windows, short rows": ((1, 40, 20, 20), 13, {"stride": 1, "padding": 6}),
    "large windows, one row of results": ((1, 2, 12, 90), (12, 13), {"stride": (5, 1), "padding": (0, 2), "ceil_mode": True}),
    "large windows, one result": ((1, 2, 40, 40), 30, {}),
    "large windows, one result, few rows": ((1, 2, 15, 40), (8, 30), {}),
    "large windows, one result along": ((2, 2, 60, 40), (20, 20), {"stride": (1, 30)}),
    "large windows, one result down, many channels": ((1, 20, 60, 90), (20, 20), {"stride": (60, 1), "padding": (3, 0)}),
    "large windows, nothing absent": ((1, 32, 30, 70), (17, 20), {"stride": 1}),
    "large bins, many channels": ((1, 90, 140, 50), cpool.adaptive(6, 3), {}),
    "large bins": ((1, 20, 66, 70), cpool.adaptive(3, 4), {}),
    "large windows, several planes": ((1, 2, 5, 50, 60), (1, 13, 5), {"stride": 1, "padding": (0, 6, 2)}),
    "windows beyond 64": ((1, 2, 90, 140), (65, 127), {"stride": 1, "padding": (32, 63)}),
    "windows beyond 64 down": ((1, 3, 200, 40), (100, 5), {"stride": (3, 1), "padding": (50, 2)}),
    "windows beyond 64, many channels": ((1, 20, 90, 80), (70, 66), {"stride": (2, 3), "padding": (35, 33)}),
    "few columns far apart": ((1, 24, 44, 56), (8, 8), {"padding": (3, 0)}),
    "few columns far apart, deep": ((2, 70, 6, 28, 28), (2, 4, 4), {}),
    "narrow planes, many rows": ((1, 20, 2000, 9), (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    "narrow planes, apart": ((2, 90, 14, 14), (2, 2), {}),
    "narrow planes, apart, odd": ((2, 20, 13, 15), (2, 2), {}),
    "narrow planes, apart, odd, ceil": ((1, 20, 15, 13), (2, 2), {"ceil_mode": True}),
    "narrow planes, apart, deep": ((1, 20, 5, 13, 14), (2, 2, 2), {}),
    "planes apart, some rows of none": ((1, 9, 21, 37), (2, 2), {"stride": (3, 2)}),
    "narrow planes, deep and cut": ((1, 20, 50, 60, 12), (3, 3, 3), {"stride": (1, 2, 1), "padding": 1}),
    "few columns, deep": ((2, 20, 9, 10, 6), (3, 3, 3), {"stride": 1, "padding": 1}),
    "few columns, deep windows far apart": ((1, 24, 8, 8, 100), (8, 8, 8), {"stride": (1, 1, 12)}),
    "few columns, windows too deep": ((1, 9, 16, 16, 17), (16, 16, 16), {"stride": 1}),
    "bins of many planes": ((1, 24, 40, 900), cpool.adaptive(7, 130), {}),
    "bins of many columns": ((1, 1, 30, 9000), cpool.adaptive(3, 7), {}),
    "deep windows of one plane": ((2, 3, 1, 9, 40), (2, 3, 3), {"stride": 1, "padding": 1}),
    "deep windows of one plane, one result": ((1, 2, 1, 8, 40), (3, 2, 2), {"stride": (1, 2, 2), "padding": (1, 0, 0)}),
    "deep windows of one plane, several results": ((1, 2, 1, 8, 40), (2, 2, 2), {"stride": (1, 2, 2), "padding": (1, 0, 0)}),
    "deep windows of one plane, in steps": ((1, 2, 1, 8, 41), (3, 3, 3), {"stride": (1, 2, 2), "padding": 1}),
    "bins of one plane": ((1, 2, 1, 8, 40), cpool.adaptive(3, 4, 20), {}),
    "bins of small planes": ((2, 20, 13, 13), cpool.adaptive(7, 7), {}),
    "bins of small planes, deep": ((1, 20, 5, 9, 13), cpool.adaptive(3, 5, 7), {}),
    "planes of 20 columns": ((1, 37, 20, 20), (4, 4), {"stride": 1, "padding": 1}),
    "planes of 21 columns, stride 2": ((2, 20, 9, 21), (3, 3), {"stride": 2, "padding": 1}),
    "large windows, rows that share places of a cache": ((1, 40, 30, 120), (9, 9), {"stride": 1, "padding": 4}),
    "large windows, held by few": ((1, 40, 60, 30), (12, 13), {"stride": (6, 9), "padding": (5, 0)}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", PIECES)
def test_pieces(pieces, dtype):
    """Of planes beyond what is worked on at a time; what is expected comes element by element."""
    shape, window, kwargs = PIECES[pieces]
    x = wide(shape, dtype)
    flat = {name: value for name, value in kwargs.items() if name != "axes"}
    dy = wide(cpool.max_pool.output_shape(shape, window, **kwargs), dtype, 1)
    layouts = ("first", "last") if x.ndim > 3 else ("first",)
    large = "large" in pieces or "beyond" in pieces or "whole" in pieces
    for operator in ("max", "min", "avg", "avg with padding") + (("avg by 0.1",) if large else ()):
        expected = run(operator, x, dy, window, kwargs, layout="first, sliced")
        for layout, (threads, isa) in product(layouts, ((1, ISAS[0]), (2, ISAS[-1]))):
            with cpool.num_threads(threads):
                actual = run(operator, x, dy, window, flat if layout == "last" else kwargs, layout=layout, isa=isa)
            assert_same(actual, expected, (operator, layout, isa, threads))


def sum_of_whole(elements):
    """As docs/NUMERICS.md says: blocks of 64 in 8 lanes, which are folded by halves; blocks in a tree of powers of 4."""
    blocks = np.zeros((-(-len(elements) // 64), 8, 8))
    blocks.reshape(-1)[: len(elements)] = elements
    lanes = np.zeros((len(blocks), 8))
    for i in range(8):
        lanes += blocks[:, i]
    for half in (4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half:]
    sums, size = [float(value) for value in lanes[:, 0]], 1
    while size * 4 <= len(sums):
        size *= 4

    def tree(values):
        if len(values) == 1:
            return values[0]
        a, b, c, d = (tree(part) for part in np.split(np.array(values), 4))
        return (a + b) + (c + d)

    total = 0.0
    while sums:
        while len(sums) >= size:
            total += tree(sums[:size])
            sums = sums[size:]
        size //= 4
    return total


WHOLE = [(1, 1), (7, 7), (8, 8), (5, 13), (16, 16), (9, 100), (33, 31), (64, 65), (11, 700), (130, 131)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("plane", WHOLE, ids=str)
def test_order_of_whole_planes(plane, dtype):
    x = wide((3, 10, *plane), dtype)
    expected = [[sum_of_whole(p.reshape(-1).astype(np.float64)) / p.size for p in sample] for sample in x]
    for layout, isa in product(LAYOUTS, ISAS):
        flags, arrange, restore = LAYOUTS[layout]
        axes = {"axes": (1, 2)} if flags else {}
        with cpool.using_isa(isa):
            y = restore(cpool.avg_pool(arrange(x), cpool.whole, **axes))
        assert_same({"y": y[..., 0, 0]}, {"y": np.array(expected, dtype)}, (layout, isa))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 8, 9, 12, 15])
def test_few_channels(channels, dtype):
    """Rows of pixels that are smaller than vectors, or a little larger, and windows in steps; what is expected comes element
    by element."""
    geometries = [((5, 41), 3, {"stride": 2, "padding": 1}), ((6, 50), 2, {}), ((5, 38), 3, {"stride": (1, 2)}),
                  ((7, 33), (2, 5), {"stride": (2, 3), "padding": (0, 2)}), ((5, 75), 2, {"stride": (3, 8)}),
                  ((4, 24), (3, 2), {"stride": (2, 5), "padding": 1, "ceil_mode": True}), ((3, 7), 3, {"stride": 4}),
                  ((3, 40), (1, 16), {"stride": (1, 6), "padding": (0, 8)}), ((1, 300), (1, 4), {"stride": (1, 2)})]
    for spatial, window, kwargs in geometries:
        x = wide((2, channels, *spatial), dtype)
        dy = wide(cpool.max_pool.output_shape(x.shape, window, **kwargs), dtype, 1)
        for operator in ("max", "min", "avg", "avg with padding"):
            expected = run(operator, x, dy, window, kwargs, layout="first, sliced")
            for layout, isa in product(("first", "last"), ISAS):
                actual = run(operator, x, dy, window, kwargs, layout=layout, isa=isa)
                assert_same(actual, expected, (operator, spatial, window, kwargs, layout, isa))


@pytest.mark.parametrize("kind", ["subnormal", "large", "nan", "nan and inf", "-inf", "zeros", "equal", "close"])
@pytest.mark.parametrize("geometry", ["stride 1", "tree", "few columns", "adaptive", "empty windows", "large, stride 1",
                                      "whole", "whole, small"])
def test_kinds_of_data(geometry, kind):
    spatial, window, kwargs = GEOMETRIES[geometry]
    for dtype, operator in product(DTYPES, OPERATORS):
        x = data(kind, 3, (BATCH, CHANNELS, *spatial), dtype)
        dy = data(kind, 4, cpool.max_pool.output_shape(x.shape, window, **kwargs), dtype)
        expected = run(operator, x, dy, window, kwargs)
        for layout, isa in product(("first", "last"), ISAS):
            assert_same(run(operator, x, dy, window, kwargs, layout=layout, isa=isa), expected, (operator, layout, isa))


TIES = [(-0.0, 0.0), (-0.0, -1, 0.0, -2), (1, 2, 3), (-np.inf, -np.inf), (np.inf, 5, -7), (np.nan, 1, np.inf), (np.nan, np.nan)]


def first_of_largest(plane):
    best = 0
    for i, value in enumerate(plane):
        if value > plane[best] or (np.isnan(value) and not np.isnan(plane[best])):
            best = i
    return best


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spatial", [(1, 1), (1, 3), (5, 7), (14, 14), (9, 50), (3, 4, 31)])
@pytest.mark.parametrize("values", TIES, ids=str)
def test_first_of_equals_in_whole_planes(values, spatial, dtype, isa):
    """The first of them is selected, also of zeros of either sign; and a result that is zero is +0."""
    rng = np.random.default_rng(11)
    x = rng.choice(np.array(values, dtype), (2, 37, *spatial))
    x[0, :5] = values[-1]
    elements = x.reshape(74, -1)
    expected = np.array([first_of_largest(plane) for plane in elements])
    y = elements[np.arange(74), expected] + 0
    for layout, (op, sign) in product(LAYOUTS, ((cpool.max_pool, 1), (cpool.min_pool, -1))):
        flags, arrange, restore = LAYOUTS[layout]
        axes = tuple(range(1, x.ndim - 1)) if flags else tuple(range(2, x.ndim))
        with cpool.using_isa(isa):
            actual, saved = op.forward(arrange(sign * x), cpool.whole, axes=axes)
            alone = op(arrange(sign * x), cpool.whole, axes=axes)
        assert_same({"y": restore(actual).reshape(74)}, {"y": sign * y + 0}, (layout, op))
        assert_same({"call": restore(alone).reshape(74)}, {"call": sign * y + 0}, (layout, op))
        assert_same({"taps": restore(saved.indices).reshape(74)}, {"taps": expected}, (layout, op))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 31, 33, 63, 65, 130])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_lanes(dtype, count):
    """Tails of vectors and of tiles, along channels and along columns."""
    for operator in OPERATORS:
        for shape in [(1, count, 5, 4), (1, 2, 5, count + 2), (count, 1, 4, 3)]:
            x = wide(shape, dtype)
            dy = wide(cpool.max_pool.output_shape(shape, 3, stride=1), dtype, 1)
            expected = run(operator, x, dy, 3, {"stride": 1})
            for layout, isa in product(("first", "last"), ISAS[1:]):
                actual = run(operator, x, dy, 3, {"stride": 1}, layout=layout, isa=isa)
                assert_same(actual, expected, (operator, shape, layout, isa))


# ---- Places ----------------------------------------------------------------------------------------------------------

PLACES = [((6, 5), 3, {"stride": 1, "padding": 1}), ((5, 6), 2, {}), ((4, 9), (2, 3), {"stride": 2}),
          ((1, 6), 6, {"padding": 3}), ((9, 8), 5, {"stride": 1, "padding": 2}), ((12, 11), 9, {"stride": 1, "padding": 4})]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "window", "kwargs"), PLACES, ids=str)
def test_any_place_in_memory(spatial, window, kwargs, dtype):
    """Arrays that begin anywhere in a line of memory, of pixels that are many vectors or nearly: the way that vectors begin
    where those of memory do must not be seen, and what lies before and behind results stays."""
    line = 64 // np.dtype(dtype).itemsize

    def placed(a, offset):
        memory = np.full(a.size + 3 * line, 7, dtype)
        begin = (-memory.ctypes.data) % 64 // memory.itemsize + offset
        view = memory[begin:begin + a.size].reshape(a.shape)
        view[...] = a
        return view, lambda: (memory[:begin] == 7).all() and (memory[begin + a.size:] == 7).all()

    kwargs = kwargs | {"axes": (1, 2)}
    for channels, operator in product((16 * line, 17 * line, 16 * line + 3), (cpool.max_pool, cpool.avg_pool)):
        x = wide((1, *spatial, channels), dtype)
        with cpool.using_isa("scalar"):
            y, saved = operator.forward(x, window, **kwargs)
            dy = wide(y.shape, dtype, 1)
            expected = {"y": y, "dx": operator.backward(dy, saved)}
            if operator is cpool.max_pool:
                expected["taps"] = saved.indices
        for isa, (at_x, at_y) in product(ISAS, [(0, 0), (0, 4 % line), (4 % line, 0), (4 % line, 4 % line), (line - 1, 1)]):
            x_there, dy_there = placed(x, at_x)[0], placed(dy, at_y)[0]
            (y_there, keeps_y), (dx_there, keeps_dx) = placed(y * 0, at_y), placed(x * 0, at_x)
            with cpool.using_isa(isa):
                _, saved = operator.forward(x_there, window, out=y_there, **kwargs)
                actual = {"y": y_there.copy(), "dx": operator.backward(dy_there, saved, out=dx_there)}
                if operator is cpool.max_pool:
                    actual["taps"] = saved.indices
                assert_same(actual, expected, (operator, channels, isa, at_x, at_y))
                operator(x_there, window, out=y_there, **kwargs)
            assert_same({"y": y_there}, {"y": y}, (operator, channels, isa, at_x, at_y, "call"))
            assert keeps_y() and keeps_dx()


# ---- Exponents -------------------------------------------------------------------------------------------------------

EXPONENTS = [0.5, 1.0, 2.0, 3.0, 7.5, 100.0, np.inf]
MIXED = [2.0, np.inf, 0.5, np.inf, np.inf, 1.0, 3.0, 7.5, 100.0, 2.5, np.inf]


FEW = [  # planes, window and further arguments: up to 64 elements of windows, and just over
    ((4, 4), (2, 2), {}),
    ((4, 4), (3, 3), {"stride": 1}),
    ((3, 4), (3, 3), {"stride": 2, "padding": 1}),
    ((5, 5), (2, 3), {"stride": 3, "padding": (1, 2), "ceil_mode": True}),
    ((8, 8), (8, 8), {}),
    ((8, 9), (8, 8), {"stride": 1}),
    ((7,), (2,), {"padding": 1}),
    ((1, 3, 4), (1, 2, 2), {}),
    ((1, 2, 4), (3, 1, 2), {"padding": (1, 0, 0)}),
    ((1, 2, 2), (255, 1, 2), {"padding": (254, 0, 0), "stride": (255, 1, 2)}),
    ((2, 2, 3), (2, 2, 2), {"stride": 1}),
    ((64,), (1,), {}),
    ((65,), (1,), {}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("plane", "window", "kwargs"), FEW, ids=str)
def test_few_windows_alone_and_among_many(plane, window, kwargs, dtype):
    """Calls so small that their windows are taken one by one, in memory of any strides, and these windows in a large call."""
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1, 1e-40, -3], dtype)
    x = np.concatenate([wide((24, 1, *plane), dtype), np.random.default_rng(7).choice(special, (24, 1, *plane))])
    every_second = (slice(1, 2), *[slice(None, None, 2)] * len(plane))
    for operator, further in [(cpool.max_pool, {}), (cpool.min_pool, {}), (cpool.avg_pool, {}),
                              (cpool.avg_pool, {"count_include_pad": True}), (cpool.avg_pool, {"divisor_override": 3})]:
        with cpool.using_isa("scalar"):
            y, saved = operator.forward(x, window, **kwargs, **further)
        for isa, i in product(ISAS, range(len(x))):
            what = (isa, i, operator, further)
            memory = np.full([*[2 * n for n in plane], 3], 99, dtype)
            alone, out = np.moveaxis(memory, -1, 0)[every_second], np.full((*y.shape[2:], 2), 99, dtype)
            alone[...] = x[i]
            with cpool.using_isa(isa):
                operator(alone[None], window, out=np.moveaxis(out, -1, 0)[None, 1:], **kwargs, **further)
                trained, own = operator.forward(x[i:i + 1], window, **kwargs, **further)
            assert_same({"y": out[..., 1]}, {"y": y[i, 0]}, what)
            assert np.all(out[..., 0] == 99), what
            assert_same({"y": trained}, {"y": y[i:i + 1]}, what)
            if operator is not cpool.avg_pool:
                assert_same({"indices": own.indices}, {"indices": saved.indices[i:i + 1]}, what)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("plane", "result"), [((1, 1, 1), (3, 1, 1)), ((1, 2, 3), (2, 3, 4)), ((2, 3), (3, 2))], ids=str)
def test_few_uneven_windows(plane, result, dtype):
    x = wide((2, 1, *plane), dtype)
    indices = np.ix_(*[[j * n // m for j in range(m)] for n, m in zip(plane, result, strict=True)])
    ends = np.ix_(*[[-(-(j + 1) * n // m) - 1 for j in range(m)] for n, m in zip(plane, result, strict=True)])
    for isa in ISAS:
        with cpool.using_isa(isa):
            y = cpool.adaptive_max_pool(x, result)
        for i in range(2):
            corners = np.stack([x[i, 0][np.ix_(*[axis.ravel() for axis in pick])] for pick in product(
                *zip(indices, ends, strict=True))])  # no window has more than two elements along an axis
            assert_same({"y": y[i, 0]}, {"y": corners.max(0)}, (isa, i))


@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", ["stride 2", "tree", "few columns", "adaptive"])
def test_exponents(geometry, dtype, norm):
    """One for all channels is one for each of them, and channels do not mix."""
    x, dy, window, kwargs = inputs(geometry, dtype)
    kwargs = kwargs | {"norm": norm}
    planes = {}
    for p in EXPONENTS:
        expected = planes[p] = run("lp 2.5", x, dy, window, kwargs, p=p)
        for layout, isa in product(("first", "last"), ISAS):
            what = (p, layout, isa)
            assert_same(run("lp 2.5", x, dy, window, kwargs, layout=layout, isa=isa, p=p), expected, what)
            same = {name: expected[name] for name in ("y", "call", "dx")}
            assert_same(run("lp 2.5", x, dy, window, kwargs, layout=layout, isa=isa, p=np.full(CHANNELS, p)), same, what)
            if layout == "last":  # a parameter's gradient has its dtype
                single = run("lp 2.5", x, dy, window, kwargs, layout=layout, isa=isa, p=np.array([p], dtype))
                assert_same(single, same | {"dp": expected["dp"].astype(dtype)[None]}, what)
    planes[2.5] = run("lp 2.5", x, dy, window, kwargs, p=2.5)
    mixed = run("lp 2.5", x, dy, window, kwargs, p=np.array(MIXED))
    for channel, p in enumerate(MIXED):
        assert_same({name: mixed[name][:, channel] for name in ("y", "call", "dx")},
                    {name: planes[p][name][:, channel] for name in ("y", "call", "dx")}, (channel, p))
        alone = run("lp 2.5", x[:, channel : channel + 1], dy[:, channel : channel + 1], window, kwargs, p=p)
        assert_same({"dp": mixed["dp"][channel]}, {"dp": alone["dp"]}, (channel, p))
    for layout, isa in product(LAYOUTS, ISAS):
        assert_same(run("lp 2.5", x, dy, window, kwargs, layout=layout, isa=isa, p=np.array(MIXED)), mixed, (layout, isa))


# ---- Any split of the work -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def team():
    pool = capi.library.cpool_threads_create(3)
    yield pool
    capi.library.cpool_threads_destroy(pool)


def splits(saved, x, y, dy, gradients, team):
    """Forward and backward on real threads and in a hostile order: results by how, and how many units there were."""
    params, kept = capi.kept_by(saved)
    reverse = capi.hostile(3)
    units = []

    @capi.ParallelFor
    def interleaved(ctx, n, grain, body, arg):
        units.append(n)
        for start in range(3):
            for i in range(start, n, 3):
                body(arg, i, i + 1, 2 - start)

    for how, parallel_for, ctx in [("threads", capi.THREADS_RUN, team), ("reverse", reverse, None),
                                   ("interleaved", interleaved, None)]:
        arrays = {capi.X: x, capi.Y: np.full_like(y, 9)}
        arrays |= {role: a for role, a in kept.items() if role in (capi.INDICES, capi.P)}
        if capi.TAPS in kept:
            arrays[capi.TAPS] = np.full_like(kept[capi.TAPS], 9)
        capi.Call(params, arrays).forward(isa=ISAS[-1], workers=3, parallel_for=parallel_for, ctx=ctx)
        result = {"y": arrays[capi.Y]}
        if capi.TAPS in kept:
            result["taps"] = arrays[capi.TAPS]
        arrays = {capi.GRAD | capi.Y: dy} | kept
        arrays |= {role: np.full_like(a, 9) for role, a in gradients.items()}
        capi.Call(params, arrays).backward(isa=ISAS[-1], workers=3, parallel_for=parallel_for, ctx=ctx)
        yield how, result | {role: arrays[role] for role in gradients}
    assert units


@pytest.mark.parametrize(("geometry", "layout"), [
    (geometry, layout) for geometry in GEOMETRIES for layout in ("first", "last", "first, sliced")
    if layout != "first, sliced" or not is_costly(geometry)])
def test_splits(geometry, layout, team):
    flags, arrange, _ = LAYOUTS[layout]
    for operator in ["max", "avg", "lp 2.5"][: 2 if geometry in SLOW_GRADIENTS else 3]:
        x, dy, window, kwargs = inputs(geometry, np.float32, operator)
        name, further = OPERATORS[operator]
        if flags:
            kwargs = kwargs | {"axes": tuple(range(1, x.ndim - 1))}
        x, dy = arrange(x), arrange(dy)
        op = getattr(cpool, name)
        with cpool.using_isa("scalar"), cpool.num_threads(1):
            y, saved = op.forward(x, window, **kwargs, **further)
            gradient = op.backward(dy, saved)
        expected, gradients = {"y": y}, {capi.GRAD | capi.X: gradient}
        if operator == "max":
            expected["taps"] = capi.kept_by(saved)[1][capi.TAPS]
        if operator == "lp 2.5":
            gradients = {capi.GRAD | capi.X: gradient.x, capi.GRAD | capi.P: np.asarray(gradient.p)}
        for how, actual in splits(saved, x, y, dy, gradients, team):
            assert_same(actual, expected | gradients, (operator, how))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_numbers_of_threads(operator, dtype):
    """Large enough work is spread by itself."""
    power = operator[:2] == "lp"
    for shape, window, kwargs in [((3, 12, 40 if power else 160, 140), 3, {"stride": 2, "padding": 1}),
                                  ((1, 1, 100 if power else 500, 300), 5, {"stride": 1}),
                                  ((1, 2, 100, 120), cpool.whole, {}), ((1, 1, 160, 150), cpool.adaptive(7, 9), {})]:
        x = wide(shape, dtype)
        dy = wide(cpool.max_pool.output_shape(shape, window, **kwargs), dtype, 1)
        expected = run(operator, x, dy, window, kwargs)
        for threads, layout in product((2, 3), ("first", "last")):
            with cpool.num_threads(threads):
                actual = run(operator, x, dy, window, kwargs, layout=layout, isa=ISAS[-1])
            assert_same(actual, expected, (shape, threads, layout))
    name, further = OPERATORS[operator]
    x = wide((3, 12, 160, 140), dtype)
    y, saved = getattr(cpool, name).forward(x, 3, **further)
    params, kept = capi.kept_by(saved)
    forward = {capi.X: x, capi.Y: y} | {role: a for role, a in kept.items() if role == capi.P}
    backward = {capi.GRAD | capi.Y: y, capi.GRAD | capi.X: x} | kept
    assert capi.Call(params, forward).query(capi.FORWARD, 3).workers == 3
    assert capi.Call(params, backward).query(capi.BACKWARD, 3).workers == 3


@pytest.mark.parametrize("duplicates", ["overwrite", "add"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_unpooling(dtype, duplicates, team):
    rng = np.random.default_rng(0)
    for spatial, window, kwargs in [((6, 7), (2, 2), {}), ((30,), (3,), {"stride": 2}), ((3, 4, 5), (2, 2, 2), {}),
                                    ((40, 50), (2, 2), {"stride": 1})]:
        x = wide((5, 9, *spatial), dtype)
        size = cpool.max_unpool.output_shape(x.shape, window, **kwargs)
        indices = rng.integers(-1, min(np.prod(size[2:]), x[0, 0].size), x.shape)
        dy = wide(size, dtype, 1)
        kwargs = kwargs | {"duplicates": duplicates}
        y, saved = cpool.max_unpool.forward(x, indices, window, **kwargs)
        expected = {"y": y, "dx": cpool.max_unpool.backward(dy, saved)}
        for layout, threads in product(LAYOUTS, (1, 3)):
            flags, arrange, restore = LAYOUTS[layout]
            axes = {"axes": tuple(range(1, x.ndim - 1))} if flags else {}
            with cpool.num_threads(threads):
                y, saved = cpool.max_unpool.forward(arrange(x), arrange(indices), window, **kwargs, **axes)
                assert_same({"y": restore(y), "dx": restore(cpool.max_unpool.backward(arrange(dy), saved))}, expected,
                            (layout, threads))
        for how, actual in splits(saved, arrange(x), y, arrange(dy), {capi.GRAD | capi.X: arrange(x)}, team):
            assert_same({"y": restore(actual["y"]), "dx": restore(actual[capi.GRAD | capi.X])}, expected, how)
        one, saved = cpool.max_unpool.forward(x[-1:], indices[-1:], window, **kwargs)
        assert_same({"y": one, "dx": cpool.max_unpool.backward(dy[-1:], saved)},
                    {name: a[-1:] for name, a in expected.items()}, "one")


# ---- The floating-point environment of the caller ----------------------------------------------------------------------------

X86 = platform.machine().lower() in ("x86_64", "amd64")
HELPER = """
#if defined(__SSE__)
#include <xmmintrin.h>
unsigned long get_control(void) { return _mm_getcsr(); }
void set_control(unsigned long v) { _mm_setcsr((unsigned)v); }
#elif defined(__aarch64__)
unsigned long get_control(void) { unsigned long v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return v; }
void set_control(unsigned long v) { __asm__ volatile("msr fpcr, %0" : : "r"(v)); }
#endif
typedef int entry(const void *params, const void *args, int n, const void *how);
unsigned long control_after;
int call_under(unsigned long control, entry *f, const void *params, const void *args, int n, const void *how)
{
    unsigned long old = get_control();
    set_control(control);
    int status = f(params, args, n, how);
    control_after = get_control();
    set_control(old);
    return status;
}
"""
ENVIRONMENTS = {
    "flush to zero": 0x9FC0, "round down": 0x3F80, "round up": 0x5F80, "round to zero and flush": 0xFFC0,
} if X86 else {
    "flush to zero": 1 << 24, "round up": 1 << 22, "round down": 2 << 22, "round to zero and flush": 1 << 24 | 3 << 22,
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    (folder / "helper.c").write_text(HELPER)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "helper.c", "-o", "helper.so"], cwd=folder, check=True)
    helper = ctypes.CDLL(str(folder / "helper.so"))
    helper.get_control.restype = ctypes.c_ulong
    helper.set_control.argtypes = [ctypes.c_ulong]
    helper.call_under.argtypes = [ctypes.c_ulong, *[ctypes.c_void_p] * 3, ctypes.c_int, ctypes.c_void_p]
    return helper


@contextmanager
def setting(environment, control):
    old = environment.get_control()
    environment.set_control(control)
    try:
        yield
        after = environment.get_control()
    finally:
        environment.set_control(old)
    assert (after ^ control) & ~0x3F == 0  # but for the sticky flags


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("kind", ["subnormal", "wide"])
def test_environment_of_the_caller(environment, name, kind):
    for dtype, operator in product(DTYPES, OPERATORS):
        for shape, window, kwargs in [((2, 8, 9, 20), 3, {"stride": 1, "padding": 1}),
                                      ((1, 9, 12, 24), (11, 10), {"stride": 1}),
                                      ((2, 12, 30, 40), 3, {"stride": 2})]:
            x = data(kind, 0, shape, dtype)
            dy = data(kind, 1, cpool.max_pool.output_shape(shape, window, **kwargs), dtype)
            expected = run(operator, x, dy, window, kwargs)
            for isa in ISAS:
                with setting(environment, ENVIRONMENTS[name]):
                    actual = run(operator, x, dy, window, kwargs, isa=isa)
                assert_same(actual, expected, (operator, dtype, shape, isa))


def test_threads_started_in_another_environment(environment):
    x = data("subnormal", 0, (8, 16, 60, 60), np.float32)
    dy = data("subnormal", 1, cpool.avg_pool.output_shape(x.shape, 3), np.float32)
    expected = run("avg", x, dy, 3, {}, isa=ISAS[-1])
    for control in ENVIRONMENTS.values():
        pool = capi.library.cpool_threads_create(3)
        _, saved = cpool.avg_pool.forward(x, 3)
        params, _ = capi.kept_by(saved)
        y, dx = np.empty_like(expected["y"]), np.empty_like(x)
        with setting(environment, control):
            capi.Call(params, {capi.X: x, capi.Y: y}).forward(workers=3, parallel_for=capi.THREADS_RUN, ctx=pool)
        capi.Call(params, {capi.GRAD | capi.Y: dy, capi.GRAD | capi.X: dx}).backward(
            workers=3, parallel_for=capi.THREADS_RUN, ctx=pool)
        capi.library.cpool_threads_destroy(pool)
        assert_same({"y": y, "dx": dx}, {"y": expected["y"], "dx": expected["dx"]}, control)


@pytest.mark.parametrize("divisor", [float(np.float32(1e-40)), 3e-310, 1.5e-45])
def test_environment_and_tiny_divisors(environment, divisor):
    x = data("normal", 0, (1, 3, 9, 20), np.float32) * np.float32(1e-30)
    expected = cpool.avg_pool(x, 3, divisor_override=divisor)
    for control in ENVIRONMENTS.values():
        with setting(environment, control):
            actual = cpool.avg_pool(x, 3, divisor_override=divisor)
        assert_same({"y": actual}, {"y": expected}, control)


def test_environment_and_tiny_exponents(environment):
    x = data("normal", 0, (1, 3, 9, 20), np.float32)
    expected = cpool.lp_pool(x, 3, p=3e-310)
    for control in ENVIRONMENTS.values():
        with setting(environment, control):
            actual = cpool.lp_pool(x, 3, p=3e-310)
        assert_same({"y": actual}, {"y": expected}, control)


@pytest.mark.skipif(not X86, reason="traps cannot be set everywhere")
def test_traps_of_the_caller(environment):
    """A program that makes a signal of overflow, division by zero and invalid operations has none from here."""
    control = 0x1F80 & ~(0x80 | 0x200 | 0x400)
    x = data("nan and inf", 0, (2, 8, 9, 20), np.float32)
    x[0] = 3e38
    for operator in OPERATORS:
        expected = run(operator, x, np.ones((2, 8, 3, 6), np.float32), 3, {})
        name, further = OPERATORS[operator]
        params, kept = capi.kept_by(getattr(cpool, name).forward(x, 3, **further)[1])
        y = np.empty_like(expected["y"])
        call = capi.Call(params, {capi.X: x, capi.Y: y} | {role: a for role, a in kept.items() if role == capi.P})
        how, workspace = capi.sized(capi.Exec), np.empty(1 << 22, np.uint8)
        how.workspace, how.workspace_size = workspace.ctypes.data, workspace.nbytes
        entry = ctypes.cast(capi.library.cpool_pool_forward, ctypes.c_void_p)
        status = environment.call_under(control, entry, ctypes.addressof(params), ctypes.addressof(call.args), len(call.args),
                                        ctypes.addressof(how))
        assert status == capi.OK
        assert (ctypes.c_ulong.in_dll(environment, "control_after").value ^ control) & ~0x3F == 0
        assert_same({"y": y}, {"y": expected["y"]}, operator)


# ---- Anything --------------------------------------------------------------------------------------------------------


@settings(max_examples=150 if settings.default.max_examples == 60 else settings.default.max_examples)
@given(st.data(), cases(), st.sampled_from(["max_pool", "min_pool", "avg_pool", "avg_pool", "lp_pool"]))
def test_random(source, case, name):
    op, further = getattr(cpool, name), {}
    if name == "lp_pool":
        further = {"p": source.draw(exponents(case)), "norm": source.draw(st.sampled_from(["sum", "mean"]))}
    if name == "avg_pool":
        further = {"count_include_pad": source.draw(st.booleans())}
    dy = MEMORY[source.draw(st.sampled_from(["C", "Fortran", "sliced", "reversed", "record"]))](case.gradient())

    def everything(x, dy, window, kwargs):
        y, saved = op.forward(x, window, **kwargs)
        gradient = op.backward(dy, saved)
        result = {"y": y, "dx": gradient.x, "dp": gradient.p} if name == "lp_pool" else {"y": y, "dx": gradient}
        return result | ({"indices": saved.indices} if name in ("max_pool", "min_pool") else {}), saved

    with cpool.using_isa("scalar"):
        expected, _ = everything(case.x, dy, case.window, case.kwargs | further)
    for isa in ISAS[1:]:
        with cpool.using_isa(isa):
            actual, saved = everything(case.x, dy, case.window, case.kwargs | further)
        assert_same(actual, expected, isa)
    params, kept = capi.kept_by(saved)
    y = np.full_like(expected["y"], 9)
    arrays = {capi.X: case.x, capi.Y: y} | {role: a for role, a in kept.items() if role == capi.P}
    capi.Call(params, arrays).forward(workers=3, parallel_for=capi.hostile(3))
    dx = np.full(case.x.shape, 9, case.x.dtype)
    arrays = {capi.GRAD | capi.Y: dy, capi.GRAD | capi.X: dx} | kept
    if name == "lp_pool":
        arrays[capi.GRAD | capi.P] = dp = np.full_like(kept[capi.P], 9)
        expected["dp"] = np.asarray(expected["dp"], dp.dtype)
    capi.Call(params, arrays).backward(workers=3, parallel_for=capi.hostile(3))
    assert_same({"y": y, "dx": dx} | ({"dp": dp} if name == "lp_pool" else {}),
                {name: a for name, a in expected.items() if name != "indices"}, "hostile")
    if case.x.size and case.layout.batch:
        axis = case.layout.batch[0]
        i = source.draw(st.integers(0, case.x.shape[axis] - 1))
        part = [slice(None)] * case.x.ndim
        part[axis] = slice(i, i + 1)
        one, _ = everything(case.x[tuple(part)], dy[tuple(part)], case.window, case.kwargs | further)
        assert_same(one, {name: expected[name][tuple(part)] for name in one if name != "dp"}, "part of the batch")
