"""The operators that resample, as written down in the specification: slow, obvious, and free of the library under test.

Like reference.py: planes of shape ``(B, *spatial)``, sums in ``np.longdouble``.
"""

from math import comb

import numpy as np
from reference import WIDE, Approximate, Axis, roundoff

# ---- Binomial filters ------------------------------------------------------------------------------------------------

BORDERS = {"reflect": "reflect", "replicate": "edge"}


def blur_matrix(n, window, stride, border):
    """What each result along an axis of length n takes of each element."""
    weights = [WIDE(comb(window - 1, j)) / 2 ** (window - 1) for j in range(window)]
    pads = ((window - 1) // 2, window // 2)
    if border == "zero":
        place = np.pad(np.arange(n), pads, constant_values=-1)
    else:
        place = np.pad(np.arange(n), pads, mode=BORDERS[border])
    matrix = np.zeros((-(-n // stride), n), WIDE)
    for o in range(len(matrix)):
        for j, weight in enumerate(weights):
            at = place[o * stride + j]
            if at >= 0:
                matrix[o, at] += weight
    return matrix


def _along(x, axis, matrix):
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def blur_pool(x, matrices):
    """A matrix for each spatial axis; the gradient is that of their transpositions."""
    value, mag = x.astype(WIDE), np.abs(x.astype(WIDE))
    for axis, matrix in enumerate(matrices, 1):
        value, mag = _along(value, axis, matrix), _along(mag, axis, matrix)
    products = sum(int(np.count_nonzero(m, axis=1).max()) for m in matrices)  # each of which a subnormal number may round
    spread = max(float(m.sum(axis=1).max()) for m in matrices) ** len(matrices)
    return Approximate(value, 16 * roundoff(x.dtype) * mag, np.full_like(value, 1 + products * spread))


# ---- Windows at drawn places -----------------------------------------------------------------------------------------


def axis_of(n, k, starts, dilation=1, before=0):
    """The windows of an axis that begin `before` in front of these places."""
    reads = [[start - before + j * dilation for j in range(k)] for start in starts]
    positions = [[at for at in window if 0 <= at < n] for window in reads]
    taps = [[j for j, at in enumerate(window) if 0 <= at < n] for window in reads]
    return Axis(positions, taps, [k] * len(starts), k)


def fractional_starts(n, k, out, u):
    if out == 1:
        return [n - k]
    a = (n - k) / (out - 1)
    return [int((i + u) * a) - int(u * a) for i in range(out - 1)] + [n - k]


def kept_places(n, grid, stride, u):
    """Of every `grid` neighbours of n the ceil(grid / stride) with the smallest u."""
    kept = []
    for first in range(0, n, grid):
        strip = range(first, min(first + grid, n))
        best = sorted(strip, key=lambda at: (u[at], at))[: -(-len(strip) // stride)]
        kept += sorted(best)
    return kept


# ---- Detail-preserving downscaling -----------------------------------------------------------------------------------


def dpid_pool(x, factor, lam):
    """x [N, C, *spatial]; the distance is over C."""
    rank = x.ndim - 2
    spatial = [n // f for n, f in zip(x.shape[2:], factor, strict=True)]
    x = x.astype(WIDE)[(..., *(slice(0, n * f) for n, f in zip(spatial, factor, strict=True)))]
    cut = [size for n, f in zip(spatial, factor, strict=True) for size in (n, f)]
    windows = x.reshape(*x.shape[:2], *cut)
    inside = tuple(range(3, 3 + 2 * rank, 2))
    average = windows.mean(axis=inside)
    center, total = np.zeros_like(average), np.zeros(spatial, WIDE)
    for shift in np.ndindex(*(3,) * rank):
        weight = WIDE(np.prod([2 if s == 1 else 1 for s in shift]))
        for at in np.ndindex(*spatial):
            near = tuple(a + s - 1 for a, s in zip(at, shift, strict=True))
            if all(0 <= a < n for a, n in zip(near, spatial, strict=True)):
                center[(..., *at)] += weight * average[(..., *near)]
                total[at] += weight
    center = np.expand_dims(center / total, inside)
    distance = np.sqrt(((windows - center) ** 2).sum(axis=1, keepdims=True))
    largest = distance.max(axis=inside, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(largest == 0, 1, (distance / np.where(largest == 0, 1, largest)) ** WIDE(lam))
        total = weight.sum(axis=inside)
    value = (weight * windows).sum(axis=inside) / total
    mag = (weight * np.abs(windows)).sum(axis=inside) / total
    return value, mag
