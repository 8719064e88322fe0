"""The operators as written down in the specification: slow, obvious, and free of the library under test.

Every function works on planes, arrays of shape ``(B, *spatial)`` with one plane per batch entry and channel. Windows are
listed one by one as arrays of plane positions. Sums run in ``np.longdouble`` on the inputs as they are, and every inexact
result comes as `Approximate`, a value with the absolute error that an implementation is allowed.
"""

from dataclasses import dataclass
from math import fsum, prod

import numpy as np

WIDE = np.longdouble


# ---- Geometry --------------------------------------------------------------------------------------------------------


def output_size(n, k, stride, dilation=1, before=0, after=0, ceil=False):
    """Number of windows along an axis of length n."""
    extent = (k - 1) * dilation + 1
    out = (n + before + after - extent + (stride - 1 if ceil else 0)) // stride + 1
    if ceil and (out - 1) * stride >= n + before:
        out -= 1
    return out


def same_padding(n, k, stride, dilation=1, lower=False):
    """(before, after) of the padding 'same_upper', or 'same_lower'."""
    out = -(-n // stride)
    total = max((out - 1) * stride + (k - 1) * dilation + 1 - n, 0)
    small = total // 2
    return (total - small, small) if lower else (small, total - small)


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: per window the positions inside the input, their taps, and a count with padding."""

    positions: list
    taps: list
    padded_counts: list
    pitch: int  # taps that a window may have

    @classmethod
    def sliding(cls, n, k, stride, dilation, before, after, ceil):
        positions, taps, padded_counts = [], [], []
        for o in range(output_size(n, k, stride, dilation, before, after, ceil)):
            reads = [o * stride - before + j * dilation for j in range(k)]
            positions.append([at for at in reads if 0 <= at < n])
            taps.append([j for j, at in enumerate(reads) if 0 <= at < n])
            padded_counts.append(sum(at < n + after for at in reads))
        return cls(positions, taps, padded_counts, k)

    @classmethod
    def adaptive(cls, n, out):
        positions = [list(range(i * n // out, ((i + 1) * n + out - 1) // out)) for i in range(out)]
        counts = [len(p) for p in positions]
        return cls(positions, [list(range(count)) for count in counts], counts, max(counts))


@dataclass(frozen=True)
class Windows:
    """All windows over a plane, in row-major order of the results."""

    spatial: tuple
    shape: tuple  # of the results
    positions: list  # per window an array of positions in the flattened plane, row-major
    taps: list  # per window the offsets of the same elements in the unclipped window
    padded_counts: list  # per window the number of elements that are real or padding

    @classmethod
    def product(cls, spatial, axes):
        shape = tuple(len(axis.positions) for axis in axes)
        positions, taps, padded_counts = [], [], []
        for at in np.ndindex(shape):
            position = tap = np.zeros(1, np.int64)
            padded_count = 1
            for n, axis, o in zip(spatial, axes, at, strict=True):
                position = np.add.outer(position * n, np.array(axis.positions[o], np.int64)).ravel()
                tap = np.add.outer(tap * axis.pitch, np.array(axis.taps[o], np.int64)).ravel()
                padded_count *= axis.padded_counts[o]
            positions.append(position)
            taps.append(tap)
            padded_counts.append(padded_count)
        return cls(tuple(spatial), shape, positions, taps, padded_counts)

    @classmethod
    def sliding(cls, spatial, kernel, stride=None, padding=None, dilation=None, ceil=False):
        """`padding` is a list of (before, after), or a name."""
        rank = len(spatial)
        stride = stride or kernel
        dilation = dilation or (1,) * rank
        if padding is None or padding == "valid":
            padding = ((0, 0),) * rank
        elif isinstance(padding, str):
            lower = padding == "same_lower"
            padding = [same_padding(n, k, s, d, lower) for n, k, s, d in zip(spatial, kernel, stride, dilation, strict=True)]
        each = zip(spatial, kernel, stride, dilation, padding, strict=True)
        return cls.product(spatial, [Axis.sliding(n, k, s, d, *pads, ceil) for n, k, s, d, pads in each])

    @classmethod
    def adaptive(cls, spatial, out):
        return cls.product(spatial, [Axis.adaptive(n, size) for n, size in zip(spatial, out, strict=True)])

    @classmethod
    def filter(cls, spatial, shape, sizes, stride, before):
        """So many windows of a filter; padding is left out."""
        axes = []
        for n, out, k, s, pad in zip(spatial, shape, sizes, stride, before, strict=True):
            reads = [[(j, o * s - pad + j) for j in range(k) if 0 <= o * s - pad + j < n] for o in range(out)]
            positions, taps = [[at for _, at in read] for read in reads], [[j for j, _ in read] for read in reads]
            axes.append(Axis(positions, taps, [0] * out, k))
        return cls.product(spatial, axes)

    @classmethod
    def whole(cls, spatial):
        return cls.adaptive(spatial, (1,) * len(spatial))

    def flatten(self, x):
        return x.reshape(len(x), prod(self.spatial))

    def results(self, columns, count, dtype):
        """Stack one column of `count` results per window into an array (count, *shape)."""
        stacked = np.stack(columns, axis=1) if columns else np.empty((count, 0))
        return stacked.astype(dtype).reshape(count, *self.shape)


# ---- Accuracy --------------------------------------------------------------------------------------------------------


def roundoff(dtype):
    """The unit roundoff of the bounds, doubled where the reference itself is no more precise than the results."""
    return np.finfo(dtype).eps / 2 * (1 if np.finfo(WIDE).eps < np.finfo(dtype).eps else 2)


@dataclass
class Approximate:
    """`value` within `bound`, plus what rounding to a subnormal number costs each of `roundings` terms."""

    value: np.ndarray
    bound: np.ndarray
    roundings: np.ndarray

    def reshape(self, *shape):
        return Approximate(self.value.reshape(shape), self.bound.reshape(shape), self.roundings.reshape(shape))

    def __getitem__(self, key):
        return Approximate(self.value[key], self.bound[key], self.roundings[key])

    def map(self, function):
        """`function`, which only rearranges elements, applied to all parts."""
        return Approximate(function(self.value), function(self.bound), function(self.roundings))

    @classmethod
    def exact(cls, value):
        value = np.asarray(value, WIDE)
        return cls(value, np.zeros_like(value), np.zeros_like(value))

    @classmethod
    def zeros(cls, shape):
        return cls(np.zeros(shape, WIDE), np.zeros(shape, WIDE), np.zeros(shape, WIDE))

    def excess(self, actual):
        """By how much each element of `actual` is off beyond what is allowed; 0 where it is right."""
        info = np.finfo(actual.dtype)
        allowed = self.bound + self.roundings * WIDE(info.smallest_subnormal) / 2
        overflow = WIDE(info.max) * (1 + WIDE(info.eps) / 4)  # from here on the nearest number is infinity
        with np.errstate(invalid="ignore", over="ignore"):
            value, wide = self.value, actual.astype(WIDE)
            off = np.abs(wide - value) - allowed
            if np.all(off <= 0):  # as mostly, and then the rest, which takes much longer, says the same
                return np.zeros_like(off)
            right = np.abs(wide - value) <= allowed
            right |= wide == value
            right |= np.isnan(wide) & np.isnan(value)
            right |= np.isinf(wide) & (np.sign(wide) == np.sign(value)) & (np.abs(value) + allowed >= overflow)
        return np.where(right, 0, np.where(np.isnan(off), np.inf, off))


# ---- Selecting -------------------------------------------------------------------------------------------------------


def _select(x, windows, empty, first_best):
    flat = windows.flatten(x)
    planes = np.arange(len(flat))
    values, indices, taps = [], [], []
    for positions, window_taps in zip(windows.positions, windows.taps, strict=True):
        if positions.size == 0:
            values.append(np.full(len(flat), empty))
            indices.append(np.full(len(flat), -1))
            taps.append(np.full(len(flat), -1))
            continue
        best = first_best(flat[:, positions])
        values.append(flat[planes, positions[best]] + x.dtype.type(0))  # + 0: a zero is returned as +0
        indices.append(positions[best])
        taps.append(window_taps[best])
    results = [(values, x.dtype), (indices, np.int64), (taps, np.int64)]
    return tuple(windows.results(columns, len(flat), dtype) for columns, dtype in results)


def max_pool(x, windows):
    """Values, positions in the plane, taps. np.argmax takes the first of equals, and the first NaN before all else."""
    return _select(x, windows, -np.inf, lambda v: v.argmax(axis=1))


def min_pool(x, windows):
    return _select(x, windows, np.inf, lambda v: v.argmin(axis=1))


def select_grad(dy, indices, spatial):
    """dx[index] += dy: exact with one contribution, else within (j + 1) u mag for j of them."""
    count = len(dy)
    value, mag, terms = (np.zeros((count, prod(spatial)), WIDE) for _ in range(3))
    indices, dy_flat = indices.reshape(count, prod(dy.shape[1:])), dy.reshape(count, prod(dy.shape[1:])).astype(WIDE)
    planes, results = np.nonzero(indices >= 0)
    at = (planes, indices[planes, results])
    np.add.at(value, at, dy_flat[planes, results])
    np.add.at(mag, at, np.abs(dy_flat[planes, results]))
    np.add.at(terms, at, 1)
    bound = np.where(terms > 1, (terms + 1) * roundoff(dy.dtype) * mag, 0)
    return Approximate(value, bound, np.zeros_like(bound)).reshape(count, *spatial)


# ---- Averaging -------------------------------------------------------------------------------------------------------


def _divisors(windows, count_include_pad, divisor):
    for positions, padded_count in zip(windows.positions, windows.padded_counts, strict=True):
        if divisor is not None:
            yield divisor
        else:
            yield padded_count if count_include_pad else positions.size


def avg_pool(x, windows, count_include_pad=False, divisor=None):
    flat = windows.flatten(x).astype(WIDE)
    values, bounds = [], []
    for positions, div in zip(windows.positions, _divisors(windows, count_include_pad, divisor), strict=True):
        if positions.size == 0:
            values.append(np.zeros(len(flat)))
            bounds.append(np.zeros(len(flat)))
            continue
        with np.errstate(invalid="ignore"):
            values.append(flat[:, positions].sum(axis=1) / WIDE(div))
            bounds.append(8 * roundoff(x.dtype) * np.abs(flat[:, positions]).sum(axis=1) / abs(WIDE(div)))
    count = len(flat)
    value = windows.results(values, count, WIDE)
    return Approximate(value, windows.results(bounds, count, WIDE), np.ones_like(value))


def avg_grad(dy, windows, count_include_pad=False, divisor=None):
    count = len(dy)
    flat = dy.reshape(count, prod(windows.shape)).astype(WIDE)
    dx = Approximate.zeros((count, prod(windows.spatial)))
    for o, (positions, div) in enumerate(zip(windows.positions, _divisors(windows, count_include_pad, divisor), strict=True)):
        if positions.size:
            share = (flat[:, o] / WIDE(div))[:, None]
            dx.value[:, positions] += share
            dx.bound[:, positions] += 8 * roundoff(dy.dtype) * np.abs(share)
            dx.roundings[:, positions] += 1
    return dx.reshape(count, *windows.spatial)


# ---- Lp --------------------------------------------------------------------------------------------------------------


def _lp_window(a, p, mean):
    """y of windows a of shape (B, n), n > 0."""
    m = a.max(axis=1)
    if np.isinf(p):
        return m
    r = a / np.where(m == 0, 1, m)[:, None]
    total = (r**p).sum(axis=1) / (a.shape[1] if mean else 1)
    return m * total ** (1 / p)


def _exponents(p, count):
    """(exponent, which of the planes have it) for p a number or an array of one exponent per plane."""
    p = np.broadcast_to(np.asarray(p, WIDE), (count,))
    for value in np.unique(p):
        yield value, p == value


def lp_pool(x, windows, p, mean=False):
    flat = np.abs(windows.flatten(x).astype(WIDE))
    count = len(flat)
    value = np.zeros((count, len(windows.positions)), WIDE)
    factor = np.zeros((count, 1), WIDE)
    for exponent, rows in _exponents(p, count):
        factor[rows] = 16 * roundoff(x.dtype) * max(WIDE(1), 1 / exponent)
        for o, positions in enumerate(windows.positions):
            if positions.size:
                value[rows, o] = _lp_window(flat[np.ix_(rows, positions)], exponent, mean)
    if np.any(np.isinf(p)):
        factor[np.broadcast_to(np.isinf(p), (count,))] = 0  # a maximum is exact
    return Approximate(value, factor * value, np.ones_like(value)).reshape(count, *windows.shape)


def _lp_window_grads(x, dy, p, mean, u):
    """The share of windows x of shape (B, n) with upstream gradients dy (B,): dx, its bound, dp, the magnitude of dp."""
    a = np.abs(x)
    alive = a.max(axis=1) > 0
    a[~alive] = 1  # any number will do: nothing of such a window has a gradient
    dy = np.where(alive, dy, 0)[:, None]
    n = a.shape[1]
    y = _lp_window(a, p, mean)[:, None]
    m = a.max(axis=1)[:, None]
    real = a > 0
    q = np.where(real, a, y) / y
    dx = np.where(real, dy * np.sign(x) * q ** (p - 1), 0) / (n if mean else 1)
    dx_bound = 8 * u * np.abs(dx) * (1 + abs(p - 1) * (1 + np.abs(np.log(q))))

    # Near 1 the logarithms come from differences, which are exact: dp may be tiny against its parts, and so is its bound.
    near = 2 * a > m
    log_r = np.where(near, np.log1p(np.where(near, (a - m) / m, 0)), np.log(np.where(real, a, m) / m))
    power = np.where(real, np.exp(p * log_r), 0)
    if mean:
        log_total = np.log1p(np.where(real, np.expm1(p * log_r), -1).sum(axis=1) / n)
    else:
        others = np.arange(n) != a.argmax(axis=1)[:, None]
        log_total = np.log1p((power * others).sum(axis=1))
    dy, y = dy[:, 0], y[:, 0]
    entropy = (power * log_r).sum(axis=1) / power.sum(axis=1)
    dp = dy * (y / p) * (entropy - log_total / p)
    dp_mag = np.abs(dy) * (y / p) * (np.abs(entropy) + np.abs(log_total) / p)
    return dx, dx_bound, dp, dp_mag


def lp_grad(x, dy, windows, p, mean=False):
    """dx, and per plane the gradient of p. Only for finite x."""
    count, u = len(x), roundoff(x.dtype)
    flat, upstream = windows.flatten(x), dy.reshape(count, prod(windows.shape)).astype(WIDE)
    dx, dp = Approximate.zeros((count, prod(windows.spatial))), Approximate.zeros(count)
    for exponent, rows in _exponents(p, count):
        if np.isinf(exponent):
            _, indices, _ = max_pool(np.abs(x[rows]), windows)
            signs = np.sign(np.take_along_axis(flat[rows], indices.reshape(len(indices), -1), axis=1)).reshape(indices.shape)
            largest = select_grad(dy[rows] * signs, indices, windows.spatial).reshape(-1, prod(windows.spatial))
            dx.value[rows], dx.bound[rows] = largest.value, largest.bound
            continue
        for o, positions in enumerate(windows.positions):
            if positions.size:
                at = np.ix_(rows, positions)
                value, bound, p_value, p_mag = _lp_window_grads(flat[at].astype(WIDE), upstream[rows, o], exponent, mean, u)
                dx.value[at] += value
                dx.bound[at] += bound
                dx.roundings[at] += 1
                dp.value[rows] += p_value
                dp.bound[rows] += 32 * u * p_mag
                dp.roundings[rows] += 1
    return dx.reshape(count, *windows.spatial), dp


def share_p(dp, channels):
    """Sum the gradients of the planes that share an exponent: all of them (None), or those of a channel."""
    if channels is None:
        return dp.map(lambda part: part.sum())
    return dp.map(lambda part: part.reshape(-1, channels).sum(axis=0) if channels else part)


# ---- Unpooling -------------------------------------------------------------------------------------------------------


def unpool_size(n, k, stride, dilation=1, before=0, after=0):
    return (n - 1) * stride - before - after + (k - 1) * dilation + 1


def max_unpool(x, indices, spatial, duplicates="overwrite"):
    count, add = len(x), duplicates == "add"
    y, mag, terms = (np.zeros((count, prod(spatial)), WIDE) for _ in range(3))
    for b in range(count):
        for value, i in zip(x[b].ravel(), indices[b].ravel(), strict=True):
            if i >= 0:
                y[b, i] = y[b, i] + value if add else value
                mag[b, i] += abs(value)
                terms[b, i] += add
    bound = np.where(terms > 1, (terms + 1) * roundoff(x.dtype) * mag, 0)
    return Approximate(y, bound, np.zeros_like(bound)).reshape(count, *spatial)


def unpool_grad(dy, indices, duplicates="overwrite"):
    count = len(dy)
    flat = dy.reshape(count, prod(dy.shape[1:]))
    dx = np.zeros(indices.shape, dy.dtype)
    for b in range(count):
        last = {}
        for j, i in enumerate(indices[b].ravel()):
            last[i] = j
        for j, i in enumerate(indices[b].ravel()):
            if i >= 0 and (duplicates == "add" or last[i] == j):
                dx[b].reshape(-1)[j] = flat[b, i]
    return dx


# ---- Window by window ------------------------------------------------------------------------------------------------


@dataclass
class Grads:
    """Gradients: per element of x (and of logits), and per plane and number of a parameter; None where there is none."""

    x: Approximate
    second: Approximate | None = None  # of the logits
    parameter: Approximate | None = None  # (planes, numbers)
    bias: Approximate | None = None


def _forward(x, windows, window):
    """`window(values (B, n), o)` gives value, bound of each window that has elements; others are 0."""
    flat = windows.flatten(x).astype(WIDE)
    y = Approximate.zeros((len(flat), len(windows.positions)))
    for o, positions in enumerate(windows.positions):
        if positions.size:
            y.value[:, o], y.bound[:, o] = window(flat[:, positions], o)
            y.roundings[:, o] = positions.size + 1
    return y.reshape(len(flat), *windows.shape)


def _add(total, at, value, bound, roundings):
    total.value[at] += value
    total.bound[at] += bound
    total.roundings[at] += roundings


def _backward(x, dy, windows, window, numbers=0, second=False, bias=False):
    """`window(values, dy (B,), o)` gives pairs (value, bound): of x, then of what else was asked for."""
    flat, upstream = windows.flatten(x).astype(WIDE), dy.reshape(len(dy), prod(windows.shape)).astype(WIDE)
    size = (len(flat), prod(windows.spatial))
    grads = Grads(Approximate.zeros(size), Approximate.zeros(size) if second else None,
                  Approximate.zeros((len(flat), numbers)) if numbers else None,
                  Approximate.zeros((len(flat), 1)) if bias else None)
    for o, positions in enumerate(windows.positions):
        if positions.size:
            pairs = window(flat[:, positions], upstream[:, o], o)
            roundings = 2 + np.abs(upstream[:, o : o + 1])  # dy times something rounded, and the product
            _add(grads.x, (slice(None), positions), *pairs[0], roundings)
            if second:
                _add(grads.second, (slice(None), positions), *pairs[1], roundings)
            if numbers:
                places = pairs[1][2] if len(pairs[1]) > 2 else np.arange(pairs[1][0].shape[1])
                _add(grads.parameter, (slice(None), places), *pairs[1][:2], roundings)
            if bias:
                _add(grads.bias, slice(None), *pairs[2], roundings)
    grads.x = grads.x.reshape(len(flat), *windows.spatial)
    if second:
        grads.second = grads.second.reshape(len(flat), *windows.spatial)
    return grads


def _column(value, count):
    """A parameter of one number, or of one per plane, as a column."""
    return np.broadcast_to(np.asarray(value, WIDE).reshape(-1, 1), (count, 1))


def _weights(x, beta, logits):
    """Weights that sum to 1 (or are all 0), and how far their logarithms are below the largest."""
    if logits is None:
        extreme = np.where(beta >= 0, x.max(axis=1, keepdims=True), x.min(axis=1, keepdims=True))
        below = beta * (x - extreme)  # subtracted before it is scaled
    else:
        top = logits.max(axis=1, keepdims=True)
        below = np.where(top == -np.inf, -np.inf, logits - np.where(top == -np.inf, 0, top))
    weight = np.exp(below)
    total = weight.sum(axis=1, keepdims=True)
    return np.where(total == 0, 0, weight / np.where(total == 0, 1, total)), below


def soft_pool(x, windows, beta=1.0, logits=None):
    """Weights exp(beta x), or exp(logits)."""
    beta, u = _column(beta, len(x)), roundoff(x.dtype)
    z = None if logits is None else windows.flatten(logits).astype(WIDE)

    def window(v, o):
        w, _ = _weights(v, beta, None if z is None else z[:, windows.positions[o]])
        return (w * v).sum(axis=1), 16 * u * (w * np.abs(v)).sum(axis=1)

    return _forward(x, windows, window)


def soft_grad(x, dy, windows, beta=1.0, logits=None):
    """Of x and beta, or of x and logits. The slope beta multiplies a difference of x: so it does in the bound, from 1 on."""
    beta, u = _column(beta, len(x)), roundoff(x.dtype)
    z = None if logits is None else windows.flatten(logits).astype(WIDE)

    def window(v, d, o):
        w, below = _weights(v, beta, None if z is None else z[:, windows.positions[o]])
        y, s, d = (w * v).sum(axis=1, keepdims=True), (w * np.abs(v)).sum(axis=1, keepdims=True), d[:, None]
        scale = 16 * u * np.abs(d) * w * (1 + np.where(w == 0, 0, np.abs(below)))
        if z is None:
            slope = np.maximum(1, np.abs(beta))
            dbeta, mag = d * (w * (v - y) * v).sum(axis=1, keepdims=True), np.abs(d) * (w * (np.abs(v) + s) * np.abs(v))
            return ((d * w * (1 + beta * (v - y)), scale * (1 + slope * (np.abs(v) + s))),
                    (dbeta, 32 * u * mag.sum(axis=1, keepdims=True)))
        bound = scale * (1 + np.abs(v) + s)
        return (d * w, bound), (d * w * (v - y), bound)

    return _backward(x, dy, windows, window, numbers=int(z is None), second=z is not None)


def expected_pool(x, windows):
    """The expectation of a stochastic pooling."""

    def window(v, o):
        a = np.where(v > 0, v, np.where(np.isnan(v), v, 0))
        total = a.sum(axis=1, keepdims=True)
        y = (a / np.where(total == 0, 1, total) * a).sum(axis=1)
        return y, 16 * roundoff(x.dtype) * y

    return _forward(x, windows, window)


def expected_grad(x, dy, windows):
    def window(v, d, o):
        a, d = np.maximum(v, 0), d[:, None]
        total = np.where(a.sum(axis=1, keepdims=True) == 0, 1, a.sum(axis=1, keepdims=True))
        y = (a / total * a).sum(axis=1, keepdims=True)
        mag = np.where(v > 0, np.abs(d) * (2 * a / total + y / total), 0)
        return [(np.where(v > 0, d * (2 * a / total - y / total), 0), 16 * roundoff(x.dtype) * mag)]

    return _backward(x, dy, windows, window)


def stochastic_pool(x, windows, u):
    """Values and positions of the elements drawn: exact. u: (planes, results)."""
    flat = windows.flatten(x)
    y, indices = np.zeros((len(flat), len(windows.positions)), x.dtype), np.full((len(flat), len(windows.positions)), -1)
    for b in range(len(flat)):
        for o, positions in enumerate(windows.positions):
            v = flat[b, positions]
            a = [float(e) if e > 0 else 0.0 for e in v]
            odd = [i for i, e in enumerate(v) if np.isnan(e)] or [i for i, e in enumerate(v) if e == np.inf]
            total = sum(a[1:], a[0]) if a else 0.0
            if total == np.inf and not odd:
                a = [e * 2.0**-64 for e in a]
                total = sum(a[1:], a[0])
            chosen, running = None, 0.0
            for i, e in enumerate(a):
                running += e
                if chosen is None and running > float(u[b, o]) * total:
                    chosen = i
            if odd:
                chosen = odd[0]
            elif total > 0 and chosen is None:
                chosen = max(i for i, e in enumerate(a) if e > 0)
            if chosen is not None:
                y[b, o], indices[b, o] = v[chosen], positions[chosen]
    return y.reshape(len(flat), *windows.shape), indices.reshape(len(flat), *windows.shape)


def philox(counter, key):
    """Philox4x32-10: four words from four words and two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b & 0xFFFFFFFF, a >> 32 ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return c0, c1, c2, c3


def draw(seed, offset, index):
    """u of an index."""
    low, high = 0xFFFFFFFF, 32
    r = philox((index & low, index >> high, offset & low, offset >> high), (seed & low, seed >> high))
    return (r[0] << 21 | r[1] >> 11) * 2.0**-53


def _max_and_mean(v):
    """Maximum, mean, their magnitudes, and where the maximum is first."""
    first = np.arange(v.shape[1]) == v.argmax(axis=1)[:, None]
    return v.max(axis=1, keepdims=True), v.mean(axis=1, keepdims=True), np.abs(v).mean(axis=1, keepdims=True), first


def mixed_pool(x, windows, a):
    """a: (planes or 1, results or 1)."""
    a = np.broadcast_to(np.asarray(a, WIDE), (len(x), len(windows.positions)))

    def window(v, o):
        top, mean, mag, _ = _max_and_mean(v)
        at = a[:, o]
        return at * top[:, 0] + (1 - at) * mean[:, 0], 16 * roundoff(x.dtype) * (
            np.abs(at) * np.abs(top[:, 0]) + (1 + np.abs(at)) * mag[:, 0])

    return _forward(x, windows, window)


def mixed_grad(x, dy, windows, a):
    """The parameter's numbers are the results."""
    a, u = np.broadcast_to(np.asarray(a, WIDE), (len(x), len(windows.positions))), roundoff(x.dtype)

    def window(v, d, o):
        top, mean, mag, first = _max_and_mean(v)
        at, d, n = a[:, o : o + 1], d[:, None], v.shape[1]
        return ((d * (at * first + (1 - at) / n), 16 * u * np.abs(d) * (np.abs(at) * first + (1 + np.abs(at)) / n)),
                (d * (top - mean), 32 * u * np.abs(d) * (np.abs(top) + mag), [o]))

    return _backward(x, dy, windows, window, numbers=len(windows.positions))


def _exact_mean(v):
    """Of doubles that nearly cancel a sum of any precision may have the wrong sign."""
    means = []
    for row in v.astype(np.float64):
        total = fsum(row) if np.isfinite(row).all() else row.sum()
        means.append((WIDE(total) + (WIDE(fsum([*row, -total])) if np.isfinite(total) else 0)) / v.shape[1])
    return np.array(means, WIDE).reshape(-1, 1)


def _likeness(v):
    """Weights that sum to 1 of the likeness to the mean; the slopes of the likeness by the element and by the mean; and their
    formulas with magnitudes."""
    m = _exact_mean(v)
    large, small = np.maximum(np.abs(v), np.abs(m)), np.minimum(np.abs(v), np.abs(m))
    t = np.where(large == 0, 1, small / np.where(large == 0, 1, large))
    weight = np.exp(2 * t / (1 + t * t))
    up = np.where(large == 0, 0, 2 * (1 - t * t) / (np.where(large == 0, 1, large) * (1 + t * t) ** 2))
    below = np.abs(v) < np.abs(m)
    square = np.where(large == 0, 1, v * v + m * m)
    return weight / weight.sum(axis=1, keepdims=True), (
        np.sign(v) * np.where(below, up, -t * up), np.sign(m) * np.where(below, -t * up, up)), (
        2 * np.abs(m) / square, 2 * np.abs(v) / square)  # (m^2 + x^2) for (m^2 - x^2)


def ada_pool(x, windows, a):
    """a: (planes or 1, results or 1)."""
    a = np.broadcast_to(np.asarray(a, WIDE), (len(x), len(windows.positions)))

    def window(v, o):
        (like, *_), (soft, _), at = _likeness(v), _weights(v, np.ones((len(v), 1), WIDE), None), a[:, o]
        mag = np.abs(at) * (like * np.abs(v)).sum(axis=1) + (1 + np.abs(at)) * (soft * np.abs(v)).sum(axis=1)
        return at * (like * v).sum(axis=1) + (1 - at) * (soft * v).sum(axis=1), 32 * roundoff(x.dtype) * mag

    return _forward(x, windows, window)


def ada_grad(x, dy, windows, a):
    """The parameter's numbers are the results."""
    a, u = np.broadcast_to(np.asarray(a, WIDE), (len(x), len(windows.positions))), roundoff(x.dtype)

    def window(v, d, o):
        at, d, n = a[:, o : o + 1], d[:, None], v.shape[1]
        (like, (by_x, by_mean), (x_mag, m_mag)), (soft, below) = _likeness(v), _weights(v, np.ones((len(v), 1), WIDE), None)
        liked, liked_mag = (like * v).sum(axis=1, keepdims=True), (like * np.abs(v)).sum(axis=1, keepdims=True)
        mean, mean_mag = (soft * v).sum(axis=1, keepdims=True), (soft * np.abs(v)).sum(axis=1, keepdims=True)
        pull = (like * (v - liked) * by_mean).sum(axis=1, keepdims=True) / n
        dx = d * (at * (like + like * (v - liked) * by_x + pull) + (1 - at) * soft * (1 + v - mean))
        pull_mag = (like * (np.abs(v) + liked_mag) * m_mag).sum(axis=1, keepdims=True) / n
        mag = np.abs(at) * (like + like * (np.abs(v) + liked_mag) * x_mag + pull_mag)
        soft_mag = soft * (1 + np.abs(below)) * (1 + np.abs(v) + mean_mag) * (1 + np.abs(at)) / 2
        return ((dx, 32 * u * np.abs(d) * (mag + soft_mag)),
                (d * (liked - mean), 32 * u * np.abs(d) * (liked_mag + mean_mag), [o]))

    return _backward(x, dy, windows, window, numbers=len(windows.positions))


def _gate(v, weight, bias):
    dot = (weight * v).sum(axis=1, keepdims=True) + bias
    gate = np.where(dot >= 0, 1 / (1 + np.exp(-np.abs(dot))), np.exp(-np.abs(dot)) / (1 + np.exp(-np.abs(dot))))
    return gate, 1 + (np.abs(weight) * np.abs(v)).sum(axis=1, keepdims=True) + np.abs(bias)


def gated_pool(x, windows, weight, bias=0.0):
    """weight: (planes or 1, K)."""
    weight, bias, u = np.asarray(weight, WIDE), _column(bias, len(x)), roundoff(x.dtype)

    def window(v, o):
        top, mean, mag, _ = _max_and_mean(v)
        gate, condition = _gate(v, weight[:, windows.taps[o]], bias)
        bound = 32 * u * condition * (gate * np.abs(top) + (1 + gate) * mag)
        return (gate * top + (1 - gate) * mean)[:, 0], bound[:, 0]

    return _forward(x, windows, window)


def gated_grad(x, dy, windows, weight, bias=0.0):
    weight, bias, u = np.asarray(weight, WIDE), _column(bias, len(x)), roundoff(x.dtype)

    def window(v, d, o):
        top, mean, mag, first = _max_and_mean(v)
        w, n, d = weight[:, windows.taps[o]], v.shape[1], d[:, None]
        gate, condition = _gate(v, w, bias)
        e, e_mag = d * gate * (1 - gate) * (top - mean), np.abs(d) * gate * (1 + gate) * (np.abs(top) + mag)
        bound = 32 * u * condition
        return ((e * w + d * (gate * first + (1 - gate) / n),
                 bound * (e_mag * np.abs(w) + np.abs(d) * (gate * first + (1 + gate) / n))),
                (e * v, bound * e_mag * np.abs(v), windows.taps[o]), (e, bound * e_mag))

    return _backward(x, dy, windows, window, numbers=weight.shape[1], bias=True)


class _Tree:
    """The tree of one window: masks (leaves or gates, planes or 1, K), of which the window has some taps. Magnitudes have a
    floor: a product of blends may be rounded to a subnormal double."""

    FLOOR = WIDE(np.finfo(np.float64).smallest_subnormal) / (16 * WIDE(np.finfo(np.float64).eps))

    def __init__(self, v, taps, leaves, gates):
        self.v, self.leaves, self.gates = v, np.asarray(leaves, WIDE)[..., taps], np.asarray(gates, WIDE)[..., taps]
        self.condition = 1 + np.abs(self.gates * v).sum(axis=2).max(axis=0)[:, None]

    def gate(self, node):
        return _gate(self.v, self.gates[node], 0)[0]

    def value(self, node=0):
        """With its magnitude."""
        if node >= len(self.gates):
            terms = self.leaves[node - len(self.gates)] * self.v
            return terms.sum(axis=1, keepdims=True), np.abs(terms).sum(axis=1, keepdims=True)
        gate, (left, left_mag), (right, right_mag) = self.gate(node), self.value(2 * node + 1), self.value(2 * node + 2)
        return gate * left + (1 - gate) * right, gate * left_mag + (1 + gate) * right_mag + self.FLOOR

    def slopes(self, e, mag, node=0):
        """Of every node: its number, its mask, and the gradient of the sum with it, with the magnitude."""
        if node >= len(self.gates):
            return [(node, self.leaves[node - len(self.gates)], e, mag)]
        gate, (left, left_mag), (right, right_mag) = self.gate(node), self.value(2 * node + 1), self.value(2 * node + 2)
        return [(node, self.gates[node], e * gate * (1 - gate) * (left - right),
                 (mag * gate * (1 + gate) + self.FLOOR) * (left_mag + right_mag)),
                *self.slopes(e * gate, mag * gate + self.FLOOR, 2 * node + 1),
                *self.slopes(e * (1 - gate), mag * (1 + gate), 2 * node + 2)]


def tree_pool(x, windows, leaves, gates):
    """leaves, gates: (masks, planes or 1, K)."""

    def window(v, o):
        tree = _Tree(v, windows.taps[o], leaves, gates)
        value, mag = tree.value()
        return value[:, 0], (32 * roundoff(x.dtype) * tree.condition * mag)[:, 0]

    return _forward(x, windows, window)


def tree_grad(x, dy, windows, leaves, gates):
    """The parameter's numbers are those of the gates, mask after mask, then those of the leaves."""
    taps = np.shape(leaves)[2]

    def window(v, d, o):
        tree = _Tree(v, windows.taps[o], leaves, gates)
        slopes, bound = tree.slopes(d[:, None], np.abs(d[:, None])), 32 * roundoff(x.dtype) * tree.condition
        return ((sum(e * mask for _, mask, e, _ in slopes), bound * sum(mag * np.abs(mask) for _, mask, _, mag in slopes)),
                (np.concatenate([e * v for *_, e, _ in slopes], axis=1),
                 np.concatenate([bound * mag * np.abs(v) for *_, mag in slopes], axis=1),
                 np.concatenate([node * taps + np.asarray(windows.taps[o]) for node, *_ in slopes])))

    return _backward(x, dy, windows, window, numbers=(len(leaves) + len(gates)) * taps)


def _ranks(v, count):
    """For each rank that there is the place of its element in the window: NaN first, then downwards, equals by place."""
    keys = np.where(np.isnan(v), -np.inf, -v)
    order = np.lexsort((np.broadcast_to(np.arange(v.shape[1]), v.shape), keys, ~np.isnan(v)), axis=1)
    return order[:, :count]


def rank_pool(x, windows, weight):
    """weight: (planes or 1, R)."""
    weight = np.asarray(weight, WIDE)

    def window(v, o):
        ranked = np.take_along_axis(v, _ranks(v, weight.shape[1]), axis=1)
        terms = weight[:, : ranked.shape[1]] * ranked
        return terms.sum(axis=1), 16 * roundoff(x.dtype) * np.abs(terms).sum(axis=1)

    return _forward(x, windows, window)


def rank_grad(x, dy, windows, weight):
    weight, u = np.asarray(weight, WIDE), roundoff(x.dtype)

    def window(v, d, o):
        order, d = _ranks(v, weight.shape[1]), d[:, None]
        w = np.broadcast_to(weight[:, : order.shape[1]], order.shape)
        dx = np.zeros(v.shape, WIDE)
        np.put_along_axis(dx, order, d * w, axis=1)
        dweight = d * np.take_along_axis(v, order, axis=1)
        return (dx, 16 * u * np.abs(dx)), (dweight, 32 * u * np.abs(dweight))

    return _backward(x, dy, windows, window, numbers=weight.shape[1])


@dataclass(frozen=True)
class Detail:
    """How dpp_pool weighs: per plane alpha and lam; the reference is the box's mean, given (planes, results), or of a filter
    (planes or 1, taps) over windows of its own, with a bias per plane."""

    alpha: object
    lam: object
    symmetric: bool = True
    normalize: str = "none"
    eps2: float = 1e-3
    reference: object = None
    filter: object = None
    filter_windows: Windows | None = None
    bias: object = 0.0

    def at(self, x, windows, o):
        """The elements of window o, what is to be known of each, and the mean."""
        flat = windows.flatten(x).astype(WIDE)
        v = flat[:, windows.positions[o]]
        n, alpha, half = v.shape[1], _column(self.alpha, len(x)), _column(self.lam, len(x)) / 2
        if self.filter is not None:
            read = flat[:, self.filter_windows.positions[o]]
            factors = np.asarray(self.filter, WIDE)[:, self.filter_windows.taps[o]]
            center = (factors * read).sum(axis=1, keepdims=True) + _column(self.bias, len(x))
        elif self.reference is not None:
            center = np.asarray(self.reference, WIDE)[:, o : o + 1]
        else:
            center = v.mean(axis=1, keepdims=True)
        d = v - center if self.symmetric else np.maximum(v - center, 0)
        square = d * d + WIDE(self.eps2)
        total = square.sum(axis=1, keepdims=True)
        scale = {"none": 1, "mean": total / n, "sum": total}[self.normalize]
        zeta = {"none": 0, "mean": WIDE(1) / n, "sum": 1}[self.normalize]
        logs = np.log(square) - np.log(WIDE(1) * scale)
        top = (half * logs).max(axis=1, keepdims=True)
        top = np.where(alpha > 0, np.maximum(top, np.log(np.where(alpha > 0, alpha, 1))), top)
        rho, weight = np.exp(half * logs - top), alpha * np.exp(-top)
        total = (weight + rho).sum(axis=1, keepdims=True)
        return v, d, square, scale, zeta, logs, half, rho / total, (weight + rho) / total, np.exp(-top) / total


def _detail_bound(x):
    return {4: 1e-5, 8: 2e-14}[x.dtype.itemsize]


def dpp_pool(x, windows, detail):
    def window(v, o):
        *_, share, _ = detail.at(x, windows, o)
        return (share * v).sum(axis=1), _detail_bound(x) * (share * np.abs(v)).sum(axis=1)

    return _forward(x, windows, window)


def dpp_grad(x, dy, windows, detail):
    """The gradients by name, per plane: x, alpha, lam, filter (planes, taps), bias, reference (planes, results). The bound
    of x is in proportion to the largest of them, of the others to the formula in which every summand is its magnitude."""
    flat, upstream = windows.flatten(x), dy.reshape(len(dy), prod(windows.shape)).astype(WIDE)
    count, results = len(flat), len(windows.positions)
    taps = 0 if detail.filter is None else np.shape(detail.filter)[1]
    sizes = {"x": prod(windows.spatial), "alpha": 1, "lam": 1, "filter": taps, "bias": 1, "reference": results}
    grads = {name: np.zeros((count, size), WIDE) for name, size in sizes.items()}
    mags = {name: np.zeros((count, size), WIDE) for name, size in sizes.items()}

    def add(name, places, value, mag):
        grads[name][:, places] += value
        mags[name][:, places] += mag

    for o, positions in enumerate(windows.positions):
        if not positions.size:
            continue
        v, d, square, scale, zeta, logs, half, rho, share, unit = detail.at(x, windows, o)
        dy_o = upstream[:, o : o + 1]
        apart = (v - (share * v).sum(axis=1, keepdims=True)) * dy_o
        apart_mag = (np.abs(v) + (share * np.abs(v)).sum(axis=1, keepdims=True)) * np.abs(dy_o)

        def total(terms):
            return terms.sum(axis=1, keepdims=True)

        dd = 2 * d * (apart * half * rho / square - half / scale * zeta * total(apart * rho))
        dd_mag = 2 * np.abs(d) * (apart_mag * half * rho / square + half / scale * zeta * total(apart_mag * rho))
        pull, pull_mag = -total(dd), total(dd_mag)
        add("x", positions, dy_o * share + dd, 0)
        add("alpha", [0], total(apart * unit), total(apart_mag * unit))
        # log(u / Z) is a difference, log u - log Z, but one that has to come out almost as exact as if it were none.
        logs_mag = np.abs(logs) + roundoff(x.dtype) * (np.abs(np.log(square)) + np.abs(np.log(WIDE(1) * scale)))
        add("lam", [0], total(apart * rho * logs) / 2, total(apart_mag * rho * logs_mag) / 2)
        add("reference", [o], pull, pull_mag)
        add("bias", [0], pull, pull_mag)
        if detail.filter is not None:
            read, places = detail.filter_windows.positions[o], detail.filter_windows.taps[o]
            add("x", read, pull * np.asarray(detail.filter, WIDE)[:, places], 0)
            add("filter", places, pull * flat[:, read], pull_mag * np.abs(flat[:, read]))
        elif detail.reference is None:
            add("x", positions, pull / v.shape[1], 0)
    bounds = {name: 32 * roundoff(x.dtype) * mags[name] for name in grads}
    bounds["x"][...] = _detail_bound(x) * (1 + np.abs(x).max(initial=0)) * np.abs(grads["x"]).max(initial=0)
    return {name: Approximate(grads[name], bounds[name], np.ones_like(bounds[name])) for name in grads}


def kmax_pool(rows, k, lengths):
    """Values and positions of rows (B, L) of which the first `lengths` elements exist."""
    y, indices = np.zeros((len(rows), k), rows.dtype), np.full((len(rows), k), -1)
    for b, row in enumerate(rows):
        order = sorted(range(lengths[b]), key=lambda i: (not np.isnan(row[i]), 0 if np.isnan(row[i]) else -row[i], i))
        kept = sorted(order[:k])
        y[b, : len(kept)], indices[b, : len(kept)] = row[kept], kept
    return y, indices


def share(gradient, channels):
    """Sum the numbers (planes, n) of the planes that share a parameter: all of them (None), or those of a channel."""
    if channels is None:
        return gradient.map(lambda part: part.sum(axis=0))
    return gradient.map(lambda part: part.reshape(-1 if channels else 1, channels, part.shape[1]).sum(axis=0))


# ---- Normalization ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalization:
    """One kind of normalization of x as it stands: which axes form a group, and along which its parameters lie.

    x is seen with the shape `split`, in which a channel axis may be two, group and channel of the group.
    """

    split: tuple
    group: tuple  # axes of `split` over which mean and variance are taken
    parameters: tuple  # shape of weight and bias seen in `split`, 1 along the other axes
    shape: tuple  # of weight and bias
    order: tuple  # axes of weight in the order of `split`
    with_mean: bool = True

    @classmethod
    def batch(cls, shape, channel):
        return cls._by_channel(shape, channel, tuple(i for i in range(len(shape)) if i != channel))

    @classmethod
    def instance(cls, shape, channel):
        sample = 1 if channel == 0 else 0
        return cls._by_channel(shape, channel, tuple(i for i in range(len(shape)) if i not in (sample, channel)))

    @classmethod
    def _by_channel(cls, shape, channel, group):
        parameters = tuple(n if i == channel else 1 for i, n in enumerate(shape))
        return cls(tuple(shape), group, parameters, (shape[channel],), (0,))

    @classmethod
    def groups(cls, shape, channel, groups):
        sample, members = 1 if channel == 0 else 0, shape[channel] // groups
        split = (*shape[:channel], groups, members, *shape[channel + 1 :])
        sample += sample > channel
        group = tuple(i for i in range(len(split)) if i not in (sample, channel))
        parameters = tuple(n if i in (channel, channel + 1) else 1 for i, n in enumerate(split))
        return cls(split, group, parameters, (shape[channel],), (0,))

    @classmethod
    def layer(cls, shape, axes, with_mean=True):
        axes = tuple(a % len(shape) for a in axes)
        parameters = tuple(n if i in axes else 1 for i, n in enumerate(shape))
        order = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))
        return cls(tuple(shape), axes, parameters, tuple(shape[a] for a in axes), order, with_mean)

    def parameter(self, values, absent):
        """weight or bias, to be broadcast against x seen in `split`."""
        if values is None:
            return np.full((1,) * len(self.split), absent, WIDE)
        return np.asarray(values, WIDE).transpose(self.order).reshape(self.parameters)

    def mean(self, a):
        return a.mean(axis=self.group, keepdims=True) if self.group else a

    def statistics(self, x, eps, mean=None, var=None):
        """x - mean, mean, 1 / deviation, and how far off x - mean may be here; of the group, or by the given ones."""
        if mean is not None:
            mu, v = self.parameter(mean, 0), self.parameter(var, 1)
            return x - mu, mu, 1 / np.sqrt(v + WIDE(eps)), 0
        base = x[tuple(slice(0, 1) if i in self.group else slice(None) for i in range(x.ndim))]
        d, mu = x, np.zeros((1,) * x.ndim, WIDE)
        if self.with_mean:  # from an element first: against a large mean differences would have few digits
            d = x - base
            offset = self.mean(d)
            d, mu = d - offset, base + offset
        return d, mu, 1 / np.sqrt(self.mean(d**2) + WIDE(eps)), 8 * np.finfo(WIDE).eps * self.mean(np.abs(x - base))


def normalize(kind, x, weight=None, bias=None, eps=1e-5, mean=None, var=None, relu=False):
    wide = x.astype(WIDE).reshape(kind.split)
    d, mu, r, own = kind.statistics(wide, eps, mean, var)
    gamma, beta = kind.parameter(weight, 1), kind.parameter(bias, 0)
    scaled = gamma * d * r
    y = scaled + beta
    u = roundoff(x.dtype)
    bound = 8 * u * (np.abs(scaled) + np.abs(beta)) + np.abs(gamma) * r * own
    if x.dtype == np.float64:
        bound = bound + 4 * u * np.abs(gamma) * np.abs(mu) * r
    if relu:
        y = np.where(y < 0, 0, y)
    return Approximate(y, np.broadcast_to(bound, y.shape), np.ones_like(y)).reshape(*x.shape)


def normalize_grad(kind, x, dy, weight=None, eps=1e-5, mean=None, var=None, positive=None):
    """dx, dweight, dbias; `positive` says where y > 0, for a fused ReLU."""
    wide, e = x.astype(WIDE).reshape(kind.split), dy.astype(WIDE).reshape(kind.split)
    if positive is not None:
        e = np.where(positive.reshape(kind.split), e, 0)
    d, _, r, own = kind.statistics(wide, eps, mean, var)
    gamma, u = kind.parameter(weight, 1), roundoff(x.dtype)
    normed = d * r
    scaled = gamma * e
    dx, mag = r * scaled, r * np.abs(scaled)
    if mean is None:
        dx = dx - r * normed * kind.mean(scaled * normed)
        mag = mag + r * np.abs(normed) * kind.mean(np.abs(scaled * normed))
        if kind.with_mean:
            dx, mag = dx - r * kind.mean(scaled), mag + r * kind.mean(np.abs(scaled))
    shared = tuple(i for i, n in enumerate(kind.parameters) if n == 1)

    def total(terms, off):
        lengths, order = [kind.shape[i] for i in kind.order], np.argsort(kind.order)
        value, bound = (np.broadcast_to(a, kind.split).sum(axis=shared, keepdims=True).reshape(lengths).transpose(order)
                        for a in (terms, 32 * u * np.abs(terms) + off))
        return Approximate(value, bound, np.ones_like(value))

    dx = Approximate(dx, 16 * u * mag, np.ones_like(dx)).reshape(*x.shape)
    return dx, total(e * normed, np.abs(e) * r * own), total(e, 0)
