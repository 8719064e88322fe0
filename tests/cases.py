"""Hypothesis strategies: what an operator is called with, and the same as the reference sees it."""

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import reference as ref
from hypothesis import strategies as st

import cpool

DTYPES = [np.float32, np.float64]

# ---- Data ------------------------------------------------------------------------------------------------------------

_SUBNORMAL = {np.dtype(t): np.finfo(t).smallest_subnormal for t in DTYPES}
_LARGE = {np.dtype(np.float32): 1e30, np.dtype(np.float64): 1e300}


def _sprinkle(rng, x, *values):
    return np.where(rng.random(x.shape) < 0.2, rng.choice(values, x.shape), x)


DATA = {
    "normal": lambda rng, shape, dtype: rng.normal(size=shape),
    "positive": lambda rng, shape, dtype: rng.uniform(0.1, 2, shape),
    "ties": lambda rng, shape, dtype: rng.integers(-2, 3, shape),
    "wide": lambda rng, shape, dtype: rng.normal(size=shape) * 10.0 ** rng.integers(-6, 5, shape),
    "close": lambda rng, shape, dtype: 1 + rng.integers(0, 4, shape) * np.finfo(dtype).eps,
    "stress": lambda rng, shape, dtype: rng.choice([-1e4, 1e4, 9999, 0], shape),
    "zeros": lambda rng, shape, dtype: rng.choice([-0.0, 0.0, -0.0, 1.0, -1.0], shape),
    "zero": lambda rng, shape, dtype: np.zeros(shape),
    "equal": lambda rng, shape, dtype: np.full(shape, rng.normal()),
    "subnormal": lambda rng, shape, dtype: rng.integers(-9, 10, shape) * _SUBNORMAL[dtype],
    "large": lambda rng, shape, dtype: rng.normal(size=shape) * _LARGE[dtype],
    "nan": lambda rng, shape, dtype: _sprinkle(rng, rng.normal(size=shape), np.nan),
    "inf": lambda rng, shape, dtype: _sprinkle(rng, rng.normal(size=shape), np.inf, -np.inf),
    "nan and inf": lambda rng, shape, dtype: _sprinkle(rng, rng.normal(size=shape), np.nan, np.inf, -np.inf),
    "-inf": lambda rng, shape, dtype: np.where(rng.random(shape) < 0.7, -np.inf, -1.0),
}
FINITE = [kind for kind in DATA if "nan" not in kind and "inf" not in kind]
ORDINARY = ["normal", "positive", "ties", "stress", "zero", "equal"]  # gradients neither overflow nor become subnormal


def data(kind, seed, shape, dtype):
    dtype = np.dtype(dtype)
    return np.asarray(DATA[kind](np.random.default_rng(seed), shape, dtype)).astype(dtype)


# ---- Memory ----------------------------------------------------------------------------------------------------------


def _sliced(a):
    every_second = np.full([2 * n for n in a.shape], 99, a.dtype)[tuple(slice(None, None, 2) for _ in a.shape)]
    every_second[...] = a
    return every_second


def _reversed(a):
    back = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[back])[back]


def _record(a):
    """A field of a packed record: strides that are no multiple of the alignment."""
    records = np.zeros(a.shape, np.dtype([("tag", "u1"), ("value", a.dtype)]))
    records["value"] = a
    return records["value"]


def _swapped(a):
    return np.swapaxes(np.swapaxes(a, 0, -1).copy(), 0, -1)


MEMORY = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "sliced": _sliced,
    "reversed": _reversed,
    "transposed": _swapped,
    "record": _record,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "broadcast last": lambda a: np.broadcast_to(a[..., :1], a.shape),
}


# ---- Windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """A window and its arguments as the library takes them, and the windows they mean."""

    window: object
    kwargs: dict
    windows: ref.Windows


def _spell(draw, sizes):
    """Sizes as one int where that is the same."""
    return sizes[0] if len(set(sizes)) == 1 and draw(st.booleans()) else tuple(sizes)


@st.composite
def _axis(draw, size, longest):
    """Length, window, stride, dilation, (before, after) with at least one window."""
    if size == "small":
        n, k = draw(st.integers(1, longest)), draw(st.integers(1, min(5, longest)))
    elif size == "long":
        n, k = draw(st.integers(33, 70)), draw(st.integers(1, 5))
    else:
        k = draw(st.integers(9, 20))
        n = draw(st.integers(k - 3, k + 9))
    stride = draw(st.integers(1, k + 1))
    dilation = draw(st.integers(1, 2 if k > 5 else 3)) if draw(st.booleans()) else 1
    extent = (k - 1) * dilation + 1
    before, after = (draw(st.integers(0, extent - 1)) if draw(st.booleans()) else 0 for _ in range(2))
    lacking = extent - n - before
    if lacking > after:
        after = min(lacking, extent - 1)
        before = max(before, extent - n - after)
    return n, k, stride, dilation, (before, after)


@st.composite
def geometries(draw, rank):
    """(spatial, Geometry), small but for an occasional axis that fills vectors or has windows of more than eight elements."""
    longest = {1: 12, 2: 8, 3: 5}[rank]
    kind = draw(st.sampled_from(["sliding"] * 6 + ["named"] * 2 + ["adaptive"] * 2 + ["whole"]))
    if kind in ("adaptive", "whole"):
        spatial = tuple(draw(st.integers(1, longest)) for _ in range(rank))
        if draw(st.integers(0, 3)) == 0:
            spatial = (*spatial[:-1], draw(st.integers(20, 70)))
        if kind == "whole":
            return spatial, Geometry(cpool.whole, {}, ref.Windows.whole(spatial))
        sizes = tuple(draw(st.integers(1, min(n, longest) + 2)) for n in spatial)
        return spatial, Geometry(cpool.adaptive(*sizes), {}, ref.Windows.adaptive(spatial, sizes))
    special = draw(st.sampled_from(["small", "small", "long", "large window"]))
    at = draw(st.integers(0, rank - 1))
    axes = [draw(_axis(special if i == at else "small", longest if special == "small" else 4)) for i in range(rank)]
    spatial, kernel, stride, dilation, padding = zip(*axes, strict=True)
    kwargs, ceil = {}, False
    if kind == "named":
        padding = draw(st.sampled_from(["same", "same_upper", "same_lower", "valid"]))
        if padding == "valid":
            extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
            spatial = tuple(max(n, extent) for n, extent in zip(spatial, extents, strict=True))
        kwargs["padding"] = padding
    else:
        ceil = draw(st.booleans())
        if any(before != after for before, after in padding) or draw(st.booleans()):
            kwargs["padding"] = padding
        elif any(before for before, _ in padding):
            kwargs["padding"] = _spell(draw, [before for before, _ in padding])
        if ceil or draw(st.booleans()):
            kwargs["ceil_mode"] = ceil
    if stride != kernel or draw(st.booleans()):
        kwargs["stride"] = _spell(draw, stride)
    if any(d != 1 for d in dilation) or draw(st.booleans()):
        kwargs["dilation"] = _spell(draw, dilation)
    return spatial, Geometry(kernel, kwargs, ref.Windows.sliding(spatial, kernel, stride, padding, dilation, ceil))


# ---- Cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Where the axes of an array are; planes are (batch, *spatial) with the channel axis last of the batch axes."""

    batch: tuple  # axes that are neither spatial nor the channels
    channel: int | None
    spatial: tuple  # in the order of the argument `axes`
    kwargs: dict = field(default_factory=dict)

    @property
    def order(self):
        return (*self.batch, *(() if self.channel is None else (self.channel,)), *self.spatial)

    def planes(self, a):
        moved = a.transpose(self.order)
        rank = len(self.spatial)
        return moved.reshape(prod(moved.shape[: moved.ndim - rank]), *moved.shape[moved.ndim - rank :])

    def unplanes(self, planes, like):
        """Undo `planes`: results in place of the spatial axes of an array of shape `like`."""
        outer = [like[axis] for axis in self.order[: len(like) - len(self.spatial)]]
        return planes.reshape(*outer, *planes.shape[1:]).transpose(np.argsort(self.order))


@dataclass(frozen=True)
class Case:
    """One call: ``op(case.x, case.window, **case.kwargs)``."""

    x: np.ndarray
    layout: Layout
    geometry: Geometry

    @property
    def window(self):
        return self.geometry.window

    @property
    def kwargs(self):
        return self.geometry.kwargs | self.layout.kwargs

    @property
    def windows(self):
        return self.geometry.windows

    @property
    def planes(self):
        return self.layout.planes(self.x)

    @property
    def channels(self):
        return None if self.layout.channel is None else self.x.shape[self.layout.channel]

    @property
    def y_shape(self):
        shape = list(self.x.shape)
        for axis, n in zip(self.layout.spatial, self.windows.shape, strict=True):
            shape[axis] = n
        return tuple(shape)

    def per_plane(self, p):
        """A value per channel as one per plane."""
        p = np.asarray(p)
        return np.tile(p, len(self.planes) // len(p)) if p.ndim and len(p) else p

    def restore(self, result):
        """A result of the reference with its axes where the library puts them."""

        def function(planes):
            return self.layout.unplanes(planes, self.x.shape)

        return result.map(function) if isinstance(result, ref.Approximate) else function(result)

    def canonical(self):
        """The same call on a C-contiguous array of planes with the spatial axes last."""
        rank = len(self.layout.spatial)
        layout = Layout((0,), None, tuple(range(1, rank + 1)), {"axes": tuple(range(1, rank + 1))})
        return Case(np.ascontiguousarray(self.planes), layout, self.geometry)

    def gradient(self, seed=0):
        """A gradient of the result, with some zeros, that is not contiguous."""
        rng = np.random.default_rng(seed)
        dy = rng.normal(size=self.y_shape) * (rng.random(self.y_shape) < 0.9)
        return np.asfortranarray(dy.astype(self.x.dtype))

    def _repr_pretty_(self, printer, cycle):
        """What hypothesis prints of a failure: enough to repeat the call."""
        x = self.x
        printer.text(f"<{x.dtype}{x.shape} strides {x.strides}, {self.window!r}, {self.kwargs!r}, x={x.tolist()!r}>")


@st.composite
def layouts(draw, rank):
    """(Layout, shape of the batch axes and the channel axis by their place among all axes)."""
    kind = draw(st.sampled_from(["first", "first", "last", "plane", "channels", "any", "any"]))
    if kind == "plane":
        axes = {"axes": tuple(range(rank))} if draw(st.booleans()) else {}
        return Layout((), None, tuple(range(rank)), axes)
    if kind == "channels":
        return Layout((), 0, tuple(range(1, rank + 1)), {})
    if kind == "first":
        return Layout((0,), 1, tuple(range(2, rank + 2)), {})
    if kind == "last":
        axes = tuple(range(1, rank + 1))
        return Layout((0,), rank + 1, axes, {"axes": axes})
    ndim = rank + draw(st.integers(1, 3))
    order = draw(st.permutations(range(ndim)))
    spatial, rest = order[:rank], sorted(order[rank:])
    channel = draw(st.sampled_from(rest))
    named = [axis - ndim if draw(st.booleans()) else axis for axis in spatial]
    kwargs = {"axes": named[0] if rank == 1 and draw(st.booleans()) else tuple(named), "channel_axis": channel}
    return Layout(tuple(axis for axis in rest if axis != channel), channel, tuple(spatial), kwargs)


@st.composite
def cases(draw, kinds=tuple(DATA), dtypes=tuple(DTYPES), empty=True):
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    spatial, geometry = draw(geometries(rank))
    layout = draw(layouts(rank))
    shape = [0] * (rank + len(layout.batch) + (layout.channel is not None))
    for axis, n in zip(layout.spatial, spatial, strict=True):
        shape[axis] = n
    shortest = 0 if empty and draw(st.integers(0, 15)) == 0 else 1
    for axis in layout.batch:
        shape[axis] = draw(st.integers(shortest, 2))
    if layout.channel is not None:
        shape[layout.channel] = draw(st.sampled_from([shortest, 1, 2, 3, 3, 5]))
    if layout.order != layout.spatial and draw(st.integers(0, 3)) == 0:
        shape[draw(st.sampled_from(layout.order[: -len(layout.spatial)]))] = draw(st.sampled_from([4, 8, 17, 35]))
    x = data(draw(st.sampled_from(kinds)), draw(st.integers(0, 2**32 - 1)), shape, draw(st.sampled_from(dtypes)))
    x = MEMORY[draw(st.sampled_from(list(MEMORY)))](x)
    rank_known = "axes" in layout.kwargs or (rank == 2 and x.ndim in (2, 4))
    if geometry.window is cpool.whole and not rank_known:
        layout = replace(layout, kwargs=layout.kwargs | {"axes": tuple(range(-rank, 0))})
    elif isinstance(geometry.window, tuple) and rank_known:
        geometry = replace(geometry, window=_spell(draw, geometry.window))
    return Case(x, layout, geometry)


EXPONENTS = [0.5, 1.0, 1.5, 2.0, 3.0, 2.7, 100.0, np.inf]


@st.composite
def exponents(draw, case):
    """p for a case: a number or, where there are channels, one for each of them."""
    if case.channels is None or draw(st.booleans()):
        return draw(st.sampled_from(EXPONENTS))
    p = [draw(st.sampled_from(EXPONENTS)) for _ in range(case.channels)]
    dtype = draw(st.sampled_from([case.x.dtype, np.dtype(np.float64)]))
    return np.array(p, dtype)
