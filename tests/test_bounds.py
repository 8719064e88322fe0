"""Nothing beyond the arrays is read or written: every array touches a page that may not be accessed, at its end or its start.

Run as a program, it is what the tests start, so that a crash is a failure that says which call it was:

    python tests/test_bounds.py rows avx2 log
"""

import ctypes
import faulthandler
import mmap
import subprocess
import sys
from itertools import product
from pathlib import Path

import capi
import numpy as np
import pytest
from test_bits import GEOMETRIES, SLOW_GRADIENTS, assert_same, is_costly

import cpool

DTYPES = [np.float32, np.float64]
CANARY = 0xA5


class Region:
    """Memory between two pages that may not be accessed."""

    def __init__(self, size):
        page = mmap.PAGESIZE
        self.size = -(-size // page) * page
        self.memory = mmap.mmap(-1, self.size + 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (start, start + page + self.size):
            if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self.memory, np.uint8, self.size, page)

    def place(self, shape, dtype, strides, at_end, buffer=None):
        """An array that touches the end or the start of the region."""
        itemsize = np.dtype(dtype).itemsize
        spans = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
        low, high = sum(min(s, 0) for s in spans), sum(max(s, 0) for s in spans) + itemsize
        offset = self.size - high if at_end else -low
        assert offset + low >= 0
        assert offset + high <= self.size
        return np.ndarray(shape, dtype, self.bytes if buffer is None else buffer, offset, strides)


class Memory:
    """Regions by role, for one call after the other."""

    def __init__(self, size):
        self.size = size
        self.regions = {}
        self.results = {}

    def region(self, role):
        if role not in self.regions:
            self.regions[role] = Region(self.size)
        return self.regions[role]

    def begin(self):
        self.results = {}

    def input(self, role, values, strides, at_end):
        array = self.region(role).place(values.shape, values.dtype, strides, at_end)
        array[...] = values
        return array

    def output(self, role, shape, dtype, strides, at_end):
        region = self.region(role)
        region.bytes[:] = CANARY
        self.results[role] = (shape, dtype, strides, at_end)
        return region.place(shape, dtype, strides, at_end)

    def workspace(self, size, at_end):
        """As large as asked for and not a byte more, full of NaN."""
        if "workspace" not in self.regions or self.regions["workspace"].size < size:
            self.regions["workspace"] = Region(2 * size + 1)
        region = self.regions["workspace"]
        space = region.bytes[region.size - size :] if at_end else region.bytes[:size]
        space[:] = 0xFF
        return space

    def check(self, role, array):
        """Around the elements of a result everything is as it was."""
        shape, dtype, strides, at_end = self.results[role]
        region = self.regions[role]
        expected = np.full(region.size, CANARY, np.uint8)
        region.place(shape, dtype, strides, at_end, expected)[...] = array
        if not np.array_equal(expected, region.bytes):
            raise AssertionError(f"bytes around the result of role {role} were written")


def packed(shape, itemsize, order=None, factor=1):
    """Strides of an array whose axes lie in memory in `order`, with gaps."""
    strides = [0] * len(shape)
    stride = itemsize * factor
    for axis in reversed(range(len(shape)) if order is None else order):
        strides[axis] = stride
        stride *= shape[axis] * factor
    return tuple(strides)


# How arrays [plane, row, column] or [row, column, channel] lie in memory; itemsize + 1 makes every address odd or even in turn.
STRIDES = {
    "in order": lambda shape, size: packed(shape, size),
    "reversed": lambda shape, size: tuple(-s for s in packed(shape, size)),
    "every second": lambda shape, size: packed(shape, size, factor=2),
    "odd": lambda shape, size: packed(shape, size + 1),
    "last axis first": lambda shape, size: packed(shape, size, order=(len(shape) - 1, *range(len(shape) - 1))),
}


def guarded_call(memory, params, direction, inputs, expected, strides, at_end, isa, workers=1):
    """Run with every array and the workspace against a guard and compare the results. expected: arrays by role."""
    memory.begin()
    arrays = {role: memory.input(role, a, strides(a.shape, a.itemsize) if a.ndim > 1 else packed(a.shape, a.itemsize), at_end)
              for role, a in inputs.items()}
    for role, a in expected.items():
        arrays[role] = memory.output(role, a.shape, a.dtype,
                                     strides(a.shape, a.itemsize) if a.ndim > 1 else packed(a.shape, a.itemsize), at_end)
    call = capi.Call(params, arrays)
    if direction is None:
        call.run("cpool_taps_to_indices", isa=isa)
    else:
        size = call.query(direction, workers).workspace_size
        entry = "cpool_pool_backward" if direction else "cpool_pool_forward"
        call.run(entry, isa=isa, workspace=memory.workspace(size, at_end))
    results = {role: np.array(arrays[role]) for role in expected}
    assert_same(results, expected, "guarded")
    for role, a in results.items():
        memory.check(role, a)


OPERATORS = {"max_pool": [{}], "min_pool": [{}], "avg_pool": [{}, {"count_include_pad": True}],
             "lp_pool": [{"p": 2.5}, {"p": np.inf}, {"p": "mixed"}]}


def check_operator(log, memory, name, further, x, window, kwargs, ways, isa, backward=True):
    """Forward, indices and backward of one call. ways: layouts and ends."""
    op = getattr(cpool, name)
    with cpool.using_isa("scalar"), cpool.num_threads(1):
        y, saved = op.forward(x, window, **kwargs, **further)
        params, kept = capi.kept_by(saved)
        forward_inputs = {capi.X: x} | {role: a for role, a in kept.items() if role == capi.P}
        forward_results = {capi.Y: y} | {role: a for role, a in kept.items() if role == capi.TAPS}
        rng = np.random.default_rng(0)
        dy = rng.normal(size=y.shape).astype(y.dtype)
        if backward:
            gradient = op.backward(dy, saved)
            backward_results = ({capi.GRAD | capi.X: gradient.x, capi.GRAD | capi.P: np.asarray(gradient.p)}
                                if name == "lp_pool" else {capi.GRAD | capi.X: gradient})
    for layout, at_end in ways:
        log(f"{name} {further} x={x.dtype}{x.shape} window={window} {kwargs} {layout} at_end={at_end} {isa}")
        strides = STRIDES[layout]
        guarded_call(memory, params, capi.FORWARD, forward_inputs, forward_results, strides, at_end, isa)
        if capi.TAPS in kept:
            inputs = {capi.X: x, capi.TAPS: kept[capi.TAPS]}
            guarded_call(memory, params, None, inputs, {capi.INDICES: saved.indices}, strides, at_end, isa)
            guarded_call(memory, params, capi.FORWARD, forward_inputs, {capi.Y: y}, strides, at_end, isa)
        if backward:
            inputs = {capi.GRAD | capi.Y: dy} | kept
            guarded_call(memory, params, capi.BACKWARD, inputs, backward_results, strides, at_end, isa)


def rows(log, isa):
    """Every length of a row, of elements and of channels."""
    memory = Memory(1 << 15)
    rng = np.random.default_rng(0)
    for length in range(1, 71):
        ways = [("in order", True), ("in order", False), (list(STRIDES)[1 + length % 4], length % 8 < 4)]
        for dtype in DTYPES:
            wide_window = {"stride": (1, 1 + length % 3), "padding": (0, 1)} if length > 1 else {"padding": ((0, 0), (1, 0))}
            for shape, window, kwargs in [((2, 3, length), (2, 2), wide_window),
                                          ((3, 2, length), (2, 2), {"axes": (0, 1), "stride": 1}),
                                          ((1, 2, length), cpool.adaptive(1, (length + 2) // 3), {}),
                                          ((1, 1, length), (1, length), {})]:
                x = rng.normal(size=shape).astype(dtype)
                for name, variants in OPERATORS.items():
                    further = dict(variants[length % len(variants)])
                    if further.get("p") == "mixed":
                        channels = shape[-1] if "axes" in kwargs else shape[0]
                        further["p"] = np.where(np.arange(channels) % 3, 2.5, np.inf).astype(dtype)
                    check_operator(log, memory, name, further, x, window, kwargs, ways, isa)
            x = rng.normal(size=(2, 5, length)).astype(dtype)
            for stride, padding in product((1, 2), (0, 1)):
                if length + 2 * padding >= 3:
                    kwargs = {"stride": stride, "padding": (1 - padding, padding)}
                    check_operator(log, memory, "max_pool", {}, x, (3, 3), kwargs, ways, isa)


def paths(log, isa):
    """Every way to read, with the arrays that it may want."""
    memory = Memory(1 << 21)
    rng = np.random.default_rng(0)
    for geometry, (spatial, window, kwargs) in GEOMETRIES.items():
        costly = is_costly(geometry)
        for channels_last in (False, True):
            x = rng.normal(size=(*spatial, 9) if channels_last else (2, *spatial)).astype(np.float32)
            axes = {"axes": tuple(range(len(spatial)))} if channels_last else {"axes": tuple(range(1, len(spatial) + 1))}
            for name, variants in OPERATORS.items():
                if name == "min_pool":
                    continue
                ways = [("in order", True)]
                ways += [] if costly else [("in order", False), *((layout, channels_last) for layout in list(STRIDES)[1:])]
                check_operator(log, memory, name, variants[0], x, window, kwargs | axes, ways, isa,
                               backward=not (costly and name == "lp_pool") and geometry not in SLOW_GRADIENTS)


# Operators that work window by window, with inputs for x [plane, ...] or [..., channel] of `taps` elements a window.
TAPWISE = {
    "soft": lambda x, y, taps, rng, channels: {"beta": rng.normal(size=channels)},
    "lip": lambda x, y, taps, rng, channels: {"logits": rng.normal(size=x.shape).astype(x.dtype)},
    "stochastic": lambda x, y, taps, rng, channels: {"u": rng.random(y).astype(x.dtype) / 2},
    "mixed": lambda x, y, taps, rng, channels: {"a": rng.normal(size=channels).astype(x.dtype)},
    "ada": lambda x, y, taps, rng, channels: {"a": rng.normal(size=channels)},
    "gated": lambda x, y, taps, rng, channels: {"weight": rng.normal(size=(channels, taps)), "bias": rng.normal(size=channels)},
    "tree": lambda x, y, taps, rng, channels: {"leaves": rng.normal(size=(2, channels, taps)),
                                               "gates": rng.normal(size=(1, taps))},
    "rank": lambda x, y, taps, rng, channels: {"weight": rng.normal(size=(channels, min(max(1, taps // 2), 99)))},
    "dpp": lambda x, y, taps, rng, channels: {"alpha": rng.random(channels), "lam": rng.random(channels)} | (
        {"filter": rng.normal(size=(channels, *(2, 3, 2)[: x.ndim - 1])), "bias": rng.normal(size=channels)} if taps > 1
        else {"reference": rng.normal(size=y).astype(x.dtype)}),
}


def check_tapwise(log, memory, name, x, window, kwargs, ways, isa):
    op = getattr(cpool, f"{name}_pool")
    channels = x.shape[-1] if 0 in kwargs.get("axes", ()) else x.shape[0]
    taps = int(np.prod(window)) if isinstance(window, tuple) else 1
    rng = np.random.default_rng(0)
    inputs = TAPWISE[name](x, cpool.max_pool.output_shape(x.shape, window, **kwargs), taps, rng, channels)
    positional = [inputs.pop("logits")] if name == "lip" else []
    with cpool.using_isa("scalar"), cpool.num_threads(1):
        y, saved = op.forward(x, *positional, window, **kwargs, **inputs)
        params, kept = capi.kept_by(saved)
        given = {capi.X: x} | {role: a for role, a in kept.items() if role != capi.TAPS}
        given |= {capi.U: inputs["u"]} if name == "stochastic" else {}
        results = {capi.Y: y} | {role: a for role, a in kept.items() if role == capi.TAPS}
        dy = rng.normal(size=y.shape).astype(y.dtype)
        gradients = op.backward(dy, saved, wrt=("x",) if name == "stochastic" else None)._asdict()
    back = {capi.GRAD | (capi.X if field == "x" else capi.ROLES[field]): np.asarray(a)
            for field, a in gradients.items() if a is not None}
    for layout, at_end in ways:
        log(f"{name} x={x.dtype}{x.shape} window={window} {kwargs} {layout} at_end={at_end} {isa}")
        guarded_call(memory, params, capi.FORWARD, given, results, STRIDES[layout], at_end, isa)
        guarded_call(memory, params, capi.BACKWARD, {capi.GRAD | capi.Y: dy} | kept, back, STRIDES[layout], at_end, isa)


def tapwise(log, isa):
    """Rows of every length, windows of every kind, and windows of more elements than scratch holds."""
    small, large = Memory(1 << 15), Memory(1 << 19)
    rng = np.random.default_rng(0)
    shapes = [((2, 3, length), (2, 2), {"stride": (1, 1 + length % 3), "padding": (0, 1)}) for length in range(2, 40, 2)]
    shapes += [((3, 2, length), (2, 2), {"axes": (0, 1), "stride": 1}) for length in range(1, 40, 2)]
    shapes += [((2, 53, 63), (50, 60), {"stride": 3}), ((50, 60, 5), (50, 60), {"axes": (0, 1)}),
               ((2, 1, 900), (1, 3), {"dilation": (1, 400)}), ((2, 7, 9, 8), (3, 2, 2), {"stride": 1, "padding": 1}),
               ((5, 6, 4, 9), (3, 2, 2), {"axes": (0, 1, 2), "stride": (1, 2, 1)}), ((3, 7, 20), cpool.adaptive(9, 13), {}),
               ((7, 20, 9), cpool.adaptive(3, 7), {"axes": (0, 1)}), ((3, 40, 50), cpool.whole, {"axes": (1, 2)})]
    for i, (shape, window, kwargs) in enumerate(shapes):
        ways = [("in order", True), ("in order", False), (list(STRIDES)[1 + i % 4], i % 8 < 4)]
        for dtype, name in product(DTYPES, TAPWISE):
            if name not in ("gated", "tree") or isinstance(window, tuple):
                axes = {} if "axes" in kwargs or not isinstance(window, tuple) else {"axes": tuple(range(1, len(shape)))}
                x = rng.normal(size=shape).astype(dtype)
                check_tapwise(log, small if x.size < 400 else large, name, x, window, kwargs | axes, ways, isa)


def largest(log, isa):
    memory = Memory(1 << 17)
    rng = np.random.default_rng(0)
    for length, dtype in product(range(1, 40, 3), DTYPES):
        x, lengths = rng.normal(size=(2, 3, length)).astype(dtype), rng.integers(0, length, (2, 3), endpoint=True)
        for k, given in [((length + 1) // 2, {}), (length + 2, {capi.LENGTHS: lengths})]:
            y, saved = cpool.kmax_pool.forward(x, k, lengths=given.get(capi.LENGTHS))
            params, kept = capi.kept_by(saved)
            dx = cpool.kmax_pool.backward(y, saved)
            anything = {capi.INDICES: rng.choice([-(2**63), -1, 0, length, 2**63 - 1], y.shape)}
            for layout, at_end in product(["in order", "reversed", "odd"], (True, False)):
                log(f"kmax_pool {k} x={dtype.__name__}{x.shape} {layout} at_end={at_end}")
                guarded_call(memory, params, capi.FORWARD, {capi.X: x} | given, {capi.Y: y} | kept, STRIDES[layout], at_end,
                             isa)
                guarded_call(memory, params, capi.BACKWARD, {capi.GRAD | capi.Y: y} | kept, {capi.GRAD | capi.X: dx},
                             STRIDES[layout], at_end, isa)
                capi.Call(params, {capi.GRAD | capi.Y: y, capi.GRAD | capi.X: np.empty_like(dx)} | anything).backward(isa=isa)


def check_resampling(log, memory, name, x, window, kwargs, given, isa):
    """given: further inputs of forward by name."""
    op = getattr(cpool, name)
    with cpool.using_isa("scalar"), cpool.num_threads(1):
        y, saved = op.forward(x, window, **kwargs, **given)
        params, kept = capi.kept_by(saved)
        dy = np.random.default_rng(0).normal(size=y.shape).astype(y.dtype)
        dx = op.backward(dy, saved)
    inputs = {capi.X: x} | ({capi.U: given["u"]} if given else {})
    for layout, at_end in product(["in order", list(STRIDES)[1 + x.size % 4]], (True, False)):
        log(f"{name} x={x.dtype}{x.shape} window={window} {kwargs} {layout} at_end={at_end} {isa}")
        guarded_call(memory, params, capi.FORWARD, inputs, {capi.Y: y} | kept, STRIDES[layout], at_end, isa)
        guarded_call(memory, params, capi.BACKWARD, {capi.GRAD | capi.Y: dy} | kept, {capi.GRAD | capi.X: dx}, STRIDES[layout],
                     at_end, isa)


def resampling(log, isa):
    memory = Memory(1 << 16)
    rng = np.random.default_rng(0)
    for length, dtype in product(range(1, 40), DTYPES):
        x = rng.normal(size=(3, 4, length)).astype(dtype)
        for axes, window in [((1, 2), (3, 1 + length % 7)), ((0, 1), (3, 2)), ((0, 1, 2), (2, 3, 1 + length % 7))]:
            border = ("reflect", "replicate", "zero")[length % 3]
            kwargs = {"axes": axes, "stride": 1 + length % 3, "border": border}
            check_resampling(log, memory, "blur_pool", x, window, kwargs, {}, isa)
            rest = [n for axis, n in enumerate(x.shape) if axis not in axes]
            if length > 6 or axes[-1] == 1:
                size = tuple(1 + x.shape[axis] * 2 // 3 for axis in axes)
                check_resampling(log, memory, "fractional_max_pool", x, window, {"axes": axes, "output_size": size},
                                 {"u": rng.random((*rest, len(axes)))}, isa)
            if length > 6 or axes[-1] == 1:
                lam = np.array(length / 9)
                y = cpool.dpid_pool(x, window, lam=float(lam), axes=axes)
                params = capi.make_params(capi.DPID, window, axes=(*axes, *axes)[:3])
                for layout, at_end in product(["in order", list(STRIDES)[1 + length % 4]], (True, False)):
                    log(f"dpid_pool x={x.dtype}{x.shape} factor={window} axes={axes} {layout} at_end={at_end} {isa}")
                    guarded_call(memory, params, capi.FORWARD, {capi.X: x, capi.LAMBDA: lam}, {capi.Y: y}, STRIDES[layout],
                                 at_end, isa)
            kwargs = {"axes": axes, "stride": 1 + length % 3, "grid": 1 + length % 5, "padding": tuple(k // 2 for k in window)}
            places = sum(x.shape[axis] + k // 2 * 2 - k + 1 for axis, k in zip(axes, window, strict=True))
            check_resampling(log, memory, "s3_pool", x, window, kwargs, {"u": rng.random(places)}, isa)


def unpooling(log, isa):
    memory = Memory(1 << 17)
    rng = np.random.default_rng(0)
    for length, dtype, duplicates in product(range(1, 71, 3), DTYPES, ("overwrite", "add")):
        for shape, window, axes in [((2, 2, length), (2, 3), {}), ((2, 3, length), (2, 2), {"axes": (0, 1)}),
                                    ((3, length), (2,), {})]:
            x = rng.normal(size=shape).astype(dtype)
            size = cpool.max_unpool.output_shape(shape, window, **axes)
            places = np.prod(size) // np.prod(shape) * np.prod(shape) // (shape[-1] if axes else shape[0])
            indices = rng.integers(-1, places, shape)
            indices.flat[0], indices.flat[-1] = places - 1, 0
            y, saved = cpool.max_unpool.forward(x, indices, window, duplicates=duplicates, **axes)
            params, _ = capi.kept_by(saved)
            dy = rng.normal(size=size).astype(dtype)
            dx = cpool.max_unpool.backward(dy, saved)
            for layout, at_end in product(STRIDES if len(shape) == 3 else ["in order", "reversed", "odd"], (True, False)):
                log(f"max_unpool {duplicates} x={dtype.__name__}{shape} {window} {axes} {layout} at_end={at_end}")
                guarded_call(memory, params, capi.FORWARD, {capi.X: x, capi.INDICES: indices}, {capi.Y: y}, STRIDES[layout],
                             at_end, isa)
                guarded_call(memory, params, capi.BACKWARD, {capi.GRAD | capi.Y: dy, capi.INDICES: indices},
                             {capi.GRAD | capi.X: dx}, STRIDES[layout], at_end, isa)


def garbage(log, isa):
    """Taps of any value: those that are no tap of the window pass nothing on, the others what they say. What one that selects
    padding does is not promised; it gets nothing to pass on."""
    memory = Memory(1 << 20)
    rng = np.random.default_rng(0)
    extremes = [-(2**31), 2**31 - 1, -1, 0, -2, 2**24, 2**30, 255, 256, 288, 289]
    for (spatial, window, kwargs), channels_last in product([
            ((5, 6), (2, 2), {"stride": (1, 2)}), ((5, 26), (2, 3), {"stride": 1, "padding": (1, 2)}),
            ((3, 2), (2, 5), {"stride": 1, "padding": (1, 4)}), ((14, 30), (5, 7), {"padding": (4, 3), "dilation": (2, 1)}),
            ((6, 16), cpool.adaptive(4, 13), {}), ((18, 20), (17, 17), {"stride": 1}), ((3, 4, 14), (2, 2, 3), {"stride": 1}),
            ((9, 40), (9, 40), {})], (False, True)):
        shape = (*spatial, 9) if channels_last else (2, *spatial)
        axes = tuple(range(len(spatial))) if channels_last else tuple(range(1, len(spatial) + 1))
        x = np.zeros(shape, np.float32)
        y, saved = cpool.max_pool.forward(x, window, **kwargs, axes=axes)
        params, kept = capi.kept_by(saved)
        largest = np.prod((2, 3) if isinstance(window, cpool.adaptive) else window)
        dy = rng.integers(1, 9, y.shape).astype(np.float32)
        if kept[capi.TAPS].dtype == np.uint8:
            every = 1 if spatial[-1] < 10 else 9
            values = [np.full(y.shape, tap, np.uint8) for tap in range(0, 256, every)]
            values += [rng.integers(0, 256, y.shape, np.uint8) for _ in range(20)]
        else:
            values = [np.full(y.shape, tap, np.int32) for tap in extremes]
            values += [rng.choice(np.array(extremes, np.int32), y.shape) for _ in range(20)]
            values += [rng.integers(-10, 400, y.shape, np.int32) for _ in range(20)]
        for i, taps in enumerate(values):
            log(f"garbage {taps.dtype} {taps.flat[:3]} x={shape} window={window} {kwargs} axes={axes} {isa}")
            indices = np.empty(y.shape, np.int64)
            capi.Call(params, {capi.X: x, capi.TAPS: taps, capi.INDICES: indices}).run("cpool_taps_to_indices", isa=isa)
            assert np.all((indices >= -1) & (indices < np.prod(spatial)))
            padding = (indices < 0) & (taps < largest) & (taps >= 0)
            passed = np.where(padding, np.float32(0), dy)
            dx = np.zeros((*spatial, shape[-1] if channels_last else shape[0]), np.float32)
            planes = (indices, passed) if channels_last else (np.moveaxis(indices, 0, -1), np.moveaxis(passed, 0, -1))
            for channel in range(dx.shape[-1]):
                where, what = (a[..., channel].ravel() for a in planes)
                np.add.at(dx[..., channel].reshape(-1), where[where >= 0], what[where >= 0])
            dx = dx if channels_last else np.ascontiguousarray(np.moveaxis(dx, -1, 0))
            guarded_call(memory, params, capi.BACKWARD, {capi.GRAD | capi.Y: passed, capi.TAPS: taps},
                         {capi.GRAD | capi.X: dx}, STRIDES["in order"], i % 2 == 0, isa)
            # And no crash where it does.
            anything = {capi.GRAD | capi.Y: dy, capi.TAPS: taps, capi.GRAD | capi.X: np.empty_like(dx)}
            capi.Call(params, anything).backward(isa=isa)


ISAS = cpool.isas()
BEST = ISAS[-1:]
PROGRAMS = {"rows": (rows, ISAS), "paths": (paths, BEST), "garbage": (garbage, BEST), "unpooling": (unpooling, ISAS[:1]),
            "tapwise": (tapwise, BEST), "largest": (largest, ISAS[:1]), "resampling": (resampling, BEST)}


@pytest.mark.parametrize(("program", "isa"), [(program, isa) for program, (_, isas) in PROGRAMS.items() for isa in isas])
def test_guarded(program, isa, tmp_path):
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, __file__, program, isa, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{path.read_text()}\n{done.stderr}"


@pytest.mark.parametrize(("place", "crashes"),
                         [("-1", True), ("0", False), ("region.size - 1", False), ("region.size", True)])
def test_guards(place, crashes):
    """What the tests above rely on."""
    program = ("import ctypes, test_bounds; region = test_bounds.Region(9); "
               f"ctypes.string_at(region.bytes.ctypes.data + {place}, 1)")
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, timeout=60)
    assert (done.returncode != 0) is crashes


if __name__ == "__main__":
    faulthandler.enable()
    with open(sys.argv[3], "w") as file:

        def log(text):
            file.seek(0)
            file.truncate()
            file.write(text)
            file.flush()

        PROGRAMS[sys.argv[1]][0](log, sys.argv[2])
