"""Normalization: batch, instance, group, layer and RMS norm, running statistics, and batches in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpool import _core
from cpool.pooling import _SHARED, Array, Out, Sizes, _complete, _Operator, _wanted

__all__ = [
    "Moments",
    "RunningStats",
    "Sums",
    "batch_norm",
    "fold_batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "moments",
    "rms_norm",
]

Doubles: TypeAlias = NDArray[np.float64]

_BATCH, _INSTANCE, _GROUP, _LAYER, _RMS = range(1, 6)

_SHARED.update({
    "norm_x": """\
x : array_like of float32 or float64
    The input, with at least two axes and in any layout.""",
    "norm_channels": """\
weight, bias : array_like, optional
    One number per channel, of the dtype of x or float64; absent they are 1 and 0.""",
    "norm_elements": """\
axes : int or tuple of int, default (-1,)
    The axes to normalize over.
weight : array_like, optional
    A number for each element along `axes`: of the shape of x along them, in their order, and of the dtype of x or float64.""",
    "channel_axis": """\
channel_axis : int, default 1
    The axis of the channels.""",
    "eps": """\
eps : float, default 1e-5
    What is added to the variance, at least 0.""",
    "norm_out": """\
out : ndarray or 1-tuple of ndarray, optional
    Array that receives the result, of the shape and dtype of x and with any strides. It may be exactly the memory of x, but may
    not share elements with it in any other way.""",
    "norm_out_forward": """\
out : ndarray or 1-tuple of ndarray, optional
    Array that receives the result, of the shape and dtype of x and with any strides, sharing no element with x: ``backward``
    reads x.""",
    "norm_out_dx": """\
out : ndarray or 1-tuple of ndarray, optional
    Array that receives the gradient of x, of its shape and dtype and with any strides. It may be exactly the memory of dy.""",
    "norm_y": """\
y : ndarray
    The result, of the shape and dtype of x; `out` itself where it was given.""",
    "norm_saved": """\
saved : NormSaved
    What ``backward`` needs: immutable and picklable. It keeps x by reference, the other arguments as copies.""",
    "wrt": """\
wrt : str or tuple of str, optional
    The inputs whose gradients to compute, by default all. A string gives that bare gradient, a tuple a named tuple.""",
    "norm_gradients": """\
gradients : NormGradients
    A named tuple (x, weight, bias), each of the shape and dtype of its input, None where that is absent or left out.""",
})


class NormGradients(NamedTuple):
    """The gradients of a normalization; None stands for an input that is absent or that `wrt` leaves out."""

    x: Any
    weight: Any
    bias: Any


class _Record:
    """Numbers [n] in float64 that do not change and are merged by +."""

    __slots__ = ("_arrays", "count")
    count: float
    _arrays: tuple[Doubles, ...]

    def __init__(self, count: float, *numbers: ArrayLike) -> None:
        names = self._names()
        if isinstance(count, bool) or not isinstance(count, (int, float, np.integer, np.floating)):
            raise TypeError(f"count={count!r} must be a number")
        if not 0 <= count < np.inf:
            raise ValueError(f"count={count!r} must be a finite number, at least 0")
        arrays = [np.array(a, np.float64) for a in numbers]
        if arrays[0].ndim != 1 or any(a.shape != arrays[0].shape for a in arrays):
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(f"{', '.join(names)} have shapes {shapes}; each needs one number per channel")
        for a in arrays:
            a.flags.writeable = False
        object.__setattr__(self, "count", int(count) if float(count).is_integer() else float(count))
        object.__setattr__(self, "_arrays", tuple(arrays))

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"cpool.{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cpool.{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.count, *self._arrays)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={a!r}" for name, a in list(zip(self._names(), self._arrays, strict=True))[:2])
        return f"cpool.{type(self).__name__}(count={self.count!r}, {shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, _Record)
        return self.count == other.count and all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(self._arrays, other._arrays, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _same_length(self, other: _Record) -> None:
        n, m = len(self._arrays[0]), len(other._arrays[0])
        if n != m:
            raise ValueError(f"{type(self).__name__} of {n} channels cannot be merged with those of {m}")


class Moments(_Record):
    """Count, mean and sum of squared deviations of each channel: what parts of a batch have to know of each other.

    Merging by ``+`` or ``sum`` is by Chan, Golub and LeVeque [1]_, in float64:

    .. code-block:: text

        n = na + nb          d = mean_b - mean_a
        mean = mean_a + d nb / n          m2 = m2_a + m2_b + d^2 na nb / n

    The order of merging fixes the bits.

    Parameters
    ----------
    count : int or float
        Number of elements that each channel has.
    mean : array_like of shape (n,)
        Their mean.
    m2 : array_like of shape (n,)
        Sum of the squares of their differences from it.
    rest : array_like of shape (n,), optional
        What the mean lacks of the exact one, less than its last digit: without it, merging loses digits of m2 where means are a
        million times the deviation. Absent it is 0.

    Attributes
    ----------
    count : int or float
    mean, m2, rest : ndarray of float64, read-only

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37
       (1983).

    Examples
    --------
    >>> import cpool
    >>> upper, lower = cpool.Moments(8, [2.25], [19.5]), cpool.Moments(8, [1.75], [49.5])
    >>> upper + lower
    cpool.Moments(count=16, mean=array([2.]), m2=array([70.]))
    """

    __slots__ = ()

    def __init__(self, count: float, mean: ArrayLike, m2: ArrayLike, rest: ArrayLike | None = None) -> None:
        super().__init__(count, mean, m2, np.zeros(np.shape(mean)) if rest is None else rest)
        if (self.m2 < 0).any():
            raise ValueError(f"m2={float(self.m2[self.m2 < 0][0])!r}: a sum of squares is at least 0")

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return "mean", "m2", "rest"

    @property
    def mean(self) -> Doubles:
        return self._arrays[0]

    @property
    def m2(self) -> Doubles:
        return self._arrays[1]

    @property
    def rest(self) -> Doubles:
        return self._arrays[2]

    @property
    def var(self) -> Doubles:
        """The biased variance, m2 / count."""
        return self.m2 / self.count

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        self._same_length(other)
        merged = _core.merge_moments(self, other)
        return Moments(self.count + other.count, *merged[1:])

    def __radd__(self, other: object) -> Moments:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # what sum begins with


class Sums(_Record):
    """What the gradient of a batch norm needs to know of a part of the batch; parts are merged by ``+`` or ``sum``.

    Parameters
    ----------
    count : int or float
        Number of elements that each channel has.
    e : array_like of shape (n,)
        Sum of the upstream gradients (with a fused ReLU, those where y > 0).
    ex : array_like of shape (n,)
        Sum of the upstream gradients times (x - mean).

    Attributes
    ----------
    count : int or float
    e, ex : ndarray of float64, read-only

    Examples
    --------
    >>> import cpool
    >>> cpool.Sums(8, [1.0], [-1.0]) + cpool.Sums(8, [0.5], [3.0])
    cpool.Sums(count=16, e=array([1.5]), ex=array([2.]))
    """

    __slots__ = ()

    def __init__(self, count: float, e: ArrayLike, ex: ArrayLike) -> None:
        super().__init__(count, e, ex)

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return "e", "ex"

    @property
    def e(self) -> Doubles:
        return self._arrays[0]

    @property
    def ex(self) -> Doubles:
        return self._arrays[1]

    def __add__(self, other: Sums) -> Sums:
        if not isinstance(other, Sums):
            return NotImplemented
        self._same_length(other)
        return Sums(self.count + other.count, self.e + other.e, self.ex + other.ex)

    def __radd__(self, other: object) -> Sums:
        return self if isinstance(other, int) and other == 0 else NotImplemented


def moments(x: ArrayLike, *, channel_axis: SupportsIndex = 1) -> Moments:
    """Return count, mean and sum of squared deviations of each channel, in float64.

    Parameters
    ----------
    {norm_x}
    {channel_axis}

    Returns
    -------
    Moments
        Of no elements, if x is empty: count 0, which merges with anything.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.moments(np.array([[1.0, 10.0], [3.0, 10.0]]))
    cpool.Moments(count=2, mean=array([ 2., 10.]), m2=array([2., 0.]))
    """
    return _moments(_core.batch_moments(x, _BATCH, channel_axis))


def _moments(packed: Doubles) -> Moments:
    return Moments(packed[0, 0] if packed.size else 0, *packed[1:])


class RunningStats:
    """Mean and variance of a channel over many batches: what batch norm normalizes by when it does not train.

    .. code-block:: text

        momentum w:      mean = (1 - w) mean + w (mean of the batch), the variance likewise
        momentum None:   the same with w = 1 / t, t batches so far: the plain mean over batches
        window B:        sum h_j mean_j / sum h_j over the last B batches, taps h_0 for the newest; the variance likewise
        ... and pooled:  mean and variance of all elements of the last B batches together

    Parameters
    ----------
    n : int
        Number of channels.
    momentum : float or None, default 0.1
        Weight of the new batch, 0 to 1.
    window : int, optional
        Average over so many last batches; momentum is not used then.
    taps : sequence of float, optional
        Weights of the batches in the window, the newest first: at least 0, the first greater. By default all 1.
    pooled : bool, default False
        Whether the window is one set of elements. Taps do not apply to it.
    unbiased : bool, default True
        Whether variances are divided by count - 1 instead of count.

    Attributes
    ----------
    mean, var : ndarray of float64, read-only
        0 and 1 before the first batch. An update makes new ones.
    count : int
        Number of batches so far.

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> running = cpool.RunningStats(1)
    >>> x = np.array([[1, 2, 5, 3, 4, 0, 1, 2, -1, 3, 2, 2, 0, 6, -2, 4]], np.float32).T
    >>> running.update(cpool.moments(x))
    >>> running.mean.round(6), running.var.round(6)
    (array([0.2]), array([1.366667]))
    """

    __slots__ = ("_batches", "_count", "_mean", "_momentum", "_n", "_pooled", "_taps", "_unbiased", "_var", "_window")

    def __init__(
        self,
        n: SupportsIndex,
        *,
        momentum: float | None = 0.1,
        window: SupportsIndex | None = None,
        taps: Sequence[float] | None = None,
        pooled: bool = False,
        unbiased: bool = True,
    ) -> None:
        self._n = _integer(n, "n", 0)
        for name, value in (("pooled", pooled), ("unbiased", unbiased)):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name}={value!r} must be True or False")
        if momentum is not None:
            momentum = _real(momentum, "momentum")
            if not 0 <= momentum <= 1:
                raise ValueError(f"momentum={momentum!r}, the weight of the new batch, must be 0 to 1, or None")
        self._window = None if window is None else _integer(window, "window", 1)
        if self._window is None and (taps is not None or pooled):
            raise ValueError(f"{'taps' if taps is not None else 'pooled'} needs a window: say how many batches it holds")
        if taps is not None:
            if pooled:
                raise ValueError("taps do not apply to a pooled window")
            taps = tuple(_real(tap, "taps") for tap in taps)
            if len(taps) != self._window:
                raise ValueError(f"taps={taps!r} has {len(taps)} entries for a window of {self._window}")
            if not all(0 <= tap < np.inf for tap in taps) or taps[0] == 0:
                raise ValueError(f"taps={taps!r} must be finite and at least 0, the first greater")
        self._taps: tuple[float, ...] | None = taps
        self._momentum, self._pooled, self._unbiased = momentum, bool(pooled), bool(unbiased)
        self._batches: tuple[Moments, ...] = ()
        self._count = 0
        self._set(np.zeros(self._n), np.ones(self._n))

    def _set(self, mean: Doubles, var: Doubles) -> None:
        mean.flags.writeable = var.flags.writeable = False
        self._mean, self._var = mean, var

    @property
    def mean(self) -> Doubles:
        return self._mean

    @property
    def var(self) -> Doubles:
        return self._var

    @property
    def count(self) -> int:
        return self._count

    def _expect(self, n: int, count: float) -> None:
        """Raise where a batch of `count` elements in each of n channels cannot update this."""
        if n != self._n:
            raise ValueError(f"running is of {self._n} channels; x has {n}")
        if count == 0:
            raise ValueError("a batch without elements has no statistics to update running by")
        if count <= 1 and self._unbiased:
            raise ValueError(f"a batch of {count} element in each channel has no unbiased variance: use "
                             "RunningStats(unbiased=False)")

    def _variance(self, batch: Moments) -> Doubles:
        return batch.m2 / (batch.count - 1 if self._unbiased else batch.count)

    def update(self, batch: Moments) -> None:
        """Take one more batch into account.

        Parameters
        ----------
        batch : Moments
            What ``cpool.moments`` says of it.

        Raises
        ------
        ValueError, TypeError
            If it has another number of channels, no elements, or one element per channel where the variance is unbiased; then
            nothing changes.

        Examples
        --------
        >>> import cpool
        >>> running = cpool.RunningStats(1, momentum=None)
        >>> running.update(cpool.Moments(3, [6.0], [4.0]))
        >>> running.update(cpool.Moments(3, [8.0], [8.0]))
        >>> running.mean, running.var, running.count
        (array([7.]), array([3.]), 2)
        """
        if not isinstance(batch, Moments):
            raise TypeError(f"update takes Moments, not {type(batch).__name__}: write update(cpool.moments(x))")
        self._expect(len(batch.mean), batch.count)
        if self._window is None:
            weight = 1 / (self._count + 1) if self._momentum is None else self._momentum
            mean = (1 - weight) * self._mean + weight * batch.mean
            var = (1 - weight) * self._var + weight * self._variance(batch)
            if weight == 1:  # whatever the start values were
                mean, var = batch.mean.copy(), self._variance(batch)
        else:
            self._batches = (batch, *self._batches)[: self._window]
            if self._pooled:
                union = self._batches[-1]
                for later in self._batches[-2::-1]:
                    union = union + later
                mean, var = union.mean.copy(), self._variance(union)
            else:
                taps = (self._taps or (1.0,) * self._window)[: len(self._batches)]
                total = mean = var = np.zeros(self._n)
                for tap, one in zip(taps, self._batches, strict=True):
                    total, mean, var = total + tap, mean + tap * one.mean, var + tap * self._variance(one)
                mean, var = mean / total, var / total
        self._count += 1
        self._set(mean, var)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings and lists, as JSON has them.

        Returns
        -------
        dict

        See Also
        --------
        from_dict : the inverse.

        Examples
        --------
        >>> import cpool
        >>> cpool.RunningStats(1).to_dict()['var']
        [1.0]
        """
        return {
            "n": self._n,
            "momentum": self._momentum,
            "window": self._window,
            "taps": None if self._taps is None else list(self._taps),
            "pooled": self._pooled,
            "unbiased": self._unbiased,
            "mean": self._mean.tolist(),
            "var": self._var.tolist(),
            "count": self._count,
            "batches": [[b.count, b.mean.tolist(), b.m2.tolist(), b.rest.tolist()] for b in self._batches],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> RunningStats:
        """Return what ``to_dict`` was called on.

        Parameters
        ----------
        state : dict
            What ``to_dict`` returned.

        Returns
        -------
        RunningStats

        Raises
        ------
        ValueError, TypeError
            If it is none.

        Examples
        --------
        >>> import cpool
        >>> running = cpool.RunningStats(2, window=3)
        >>> running.update(cpool.Moments(4, [1.0, 2.0], [3.0, 6.0]))
        >>> cpool.RunningStats.from_dict(running.to_dict()).var
        array([1., 2.])
        """
        options = ("n", "momentum", "window", "taps", "pooled", "unbiased")
        missing = [name for name in (*options, "mean", "var", "count", "batches") if name not in state]
        if missing:
            raise ValueError(f"state has no {missing[0]!r}; it must be what to_dict returned")
        self = cls(state["n"], **{name: state[name] for name in options[1:]})
        batches = tuple(Moments(*batch) for batch in state["batches"])
        if len(batches) > (self._window or 0) or any(len(batch.mean) != self._n for batch in batches):
            raise ValueError(f"state has {len(batches)} batches, which do not go with its window and its {self._n} channels")
        mean, var = _checked(state["mean"], state["var"])
        if len(mean) != self._n:
            raise ValueError(f"state has a mean of {len(mean)} channels and n={self._n}")
        self._batches, self._count = batches, _integer(state["count"], "count", len(batches))
        self._set(mean, var)
        return self

    @classmethod
    def _started(cls, mean: ArrayLike, var: ArrayLike, count: SupportsIndex, momentum: float | None,
                 unbiased: bool) -> RunningStats:
        start, variances = _checked(mean, var)
        self = cls(len(start), momentum=momentum, unbiased=unbiased)
        self._count = _integer(count, "count", 0)
        self._set(start, variances)
        return self

    @classmethod
    def from_torch(cls, running_mean: ArrayLike, running_var: ArrayLike, *, momentum: float | None = 0.1,
                   num_batches_tracked: SupportsIndex = 0) -> RunningStats:
        """Return running statistics that go on as those of ``torch.nn.BatchNorm2d``.

        Its momentum is the weight of the new batch (None: cumulative), its variance unbiased.

        Parameters
        ----------
        running_mean, running_var : array_like of shape (n,)
            The layer's buffers, as arrays.
        momentum : float or None, default 0.1
            The layer's.
        num_batches_tracked : int, default 0
            The layer's.

        Returns
        -------
        RunningStats

        Raises
        ------
        ValueError, TypeError
            If an argument cannot be.

        Examples
        --------
        >>> import cpool
        >>> running = cpool.RunningStats.from_torch([0.0], [1.0], momentum=0.1)
        """
        return cls._started(running_mean, running_var, num_batches_tracked, momentum, True)

    @classmethod
    def from_keras(cls, moving_mean: ArrayLike, moving_variance: ArrayLike, *, momentum: float = 0.99,
                   fused: bool = False) -> RunningStats:
        """Return running statistics that go on as those of ``keras.layers.BatchNormalization``.

        Its momentum is the weight of the old value, and its variance biased; unbiased in TensorFlow's fused kernel. Its eps is
        0.001 unless it was set.

        Parameters
        ----------
        moving_mean, moving_variance : array_like of shape (n,)
            The layer's weights, as arrays.
        momentum : float, default 0.99
            The layer's.
        fused : bool, default False
            Whether TensorFlow's fused kernel did the training.

        Returns
        -------
        RunningStats

        Raises
        ------
        ValueError, TypeError
            If an argument cannot be.

        Examples
        --------
        >>> import cpool
        >>> running = cpool.RunningStats.from_keras([0.0], [1.0], momentum=0.99)
        """
        return cls._started(moving_mean, moving_variance, 0, 1 - _real(momentum, "momentum"), fused)

    @classmethod
    def from_onnx(cls, input_mean: ArrayLike, input_var: ArrayLike, *, momentum: float = 0.9) -> RunningStats:
        """Return running statistics that go on as those of ONNX BatchNormalization-15 with training_mode=1.

        Its momentum is the weight of the old value, and its variance biased.

        Parameters
        ----------
        input_mean, input_var : array_like of shape (n,)
            The operator's inputs.
        momentum : float, default 0.9
            The operator's attribute.

        Returns
        -------
        RunningStats

        Raises
        ------
        ValueError, TypeError
            If an argument cannot be.

        Examples
        --------
        >>> import cpool
        >>> running = cpool.RunningStats.from_onnx([0.0], [1.0], momentum=0.9)
        """
        return cls._started(input_mean, input_var, 0, 1 - _real(momentum, "momentum"), False)

    def __repr__(self) -> str:
        how = f"momentum={self._momentum!r}"
        if self._window is not None:
            how = f"window={self._window}" + (", pooled=True" if self._pooled else "")
        return f"<cpool running statistics of {self._n} channels, {how}, {self._count} batches>"


def _integer(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}={value!r} must be an integer")
    number: int = value.__index__()
    if number < least:
        raise ValueError(f"{name}={number} must be at least {least}")
    return number


def _real(value: Any, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}={value!r} must be a number")
    return float(value)


def _checked(mean: ArrayLike, var: ArrayLike) -> tuple[Doubles, Doubles]:
    """Copies of mean and variance, one per channel."""
    a, b = np.array(mean, np.float64), np.array(var, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"mean and var have shapes {a.shape} and {b.shape}; each needs one number per channel")
    if not (b >= 0).all():
        raise ValueError(f"var={float(b[~(b >= 0)][0])!r}: a variance is at least 0")
    return a, b


class _Normalization(_Operator):
    __slots__ = ()

    @overload
    def backward(self, dy: ArrayLike, saved: _core.NormSaved, *, wrt: Literal["x"], out: Out = None) -> Array: ...
    @overload
    def backward(self, dy: ArrayLike, saved: _core.NormSaved, *, wrt: Literal["weight", "bias"], out: Out = None) -> Any: ...
    @overload
    def backward(
        self, dy: ArrayLike, saved: _core.NormSaved, *, wrt: tuple[str, ...] | None = None, out: Out = None
    ) -> NormGradients: ...
    def backward(
        self, dy: ArrayLike, saved: _core.NormSaved, *, wrt: str | tuple[str, ...] | None = None, out: Out = None
    ) -> Any:
        """Return the gradients with respect to x, weight and bias.

        .. code-block:: text

            e = weight dy          x^ = (x - mean) r          r = 1 / sqrt(var + eps)
            dx = r (e - mean(e) - x^ mean(e x^))       means over the group; rms_norm: without mean(e), and x^ = x r
            dweight = sum dy x^          dbias = sum dy          over all that share them

        Parameters
        ----------
        {backward}
        {wrt}
        {norm_out_dx}

        Returns
        -------
        {norm_gradients}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
        >>> y, saved = cpool.layer_norm.forward(x, weight=np.ones(4))
        >>> gradients = cpool.layer_norm.backward(x, saved)
        >>> gradients.weight.round(3)
        array([ 4.902, -1.014,  7.099,  0.845])
        """
        return _gradients(self, dy, saved, None, wrt, out)


def _gradients(op: Any, dy: Any, saved: Any, sums: Any, wrt: Any, out: Any) -> Any:
    wanted = _wanted(wrt, ("x", "weight", "bias"))
    gradients = NormGradients(*_core.norm_backward(op, dy, saved, sums, wanted, out))
    return getattr(gradients, wrt) if isinstance(wrt, str) else gradients


class BatchNorm(_Operator):
    """Every channel with mean 0 and deviation 1 over the batch, then a factor and a summand of its own [1]_.

    .. code-block:: text

        y = weight (x - mean) / sqrt(var + eps) + bias          with relu: max(0, y), NaN stays NaN

    The call takes mean and var, as inference does. ``forward`` takes them from the batch, updates `running`, and ``backward``
    differentiates through them; or it takes them as constants. All is computed in double and rounded once.

    For a batch in parts (several processes), ``cpool.moments`` of the parts are summed and given to ``forward`` as moments=,
    and ``sums`` of the parts are summed and given to ``backward``.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
       ICML 2015.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype(np.float32)
    >>> running = cpool.RunningStats(3)
    >>> y, saved = cpool.batch_norm.forward(x, running=running)
    >>> y = cpool.batch_norm(x, mean=running.mean, var=running.var)
    """

    __slots__ = ()
    __name__ = "batch_norm"

    def __call__(
        self,
        x: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        mean: ArrayLike,
        var: ArrayLike,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        relu: bool = False,
        out: Out = None,
    ) -> Array:
        """Return x normalized by a given mean and variance.

        Parameters
        ----------
        {norm_x}
        {norm_channels}
        mean, var : array_like
            One number per channel, of the dtype of x or float64: those of ``RunningStats``.
        {eps}
        {channel_axis}
        relu : bool, default False
            Whether to return max(0, y).
        {norm_out}

        Returns
        -------
        {norm_y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.batch_norm(np.array([[1.0, 2.0]]), mean=[0.0, 1.0], var=[1.0, 4.0], eps=0.0)
        array([[1. , 0.5]])
        """
        if mean is None or var is None:
            raise TypeError("mean and var are needed: batch_norm(x, mean=running.mean, var=running.var); statistics of the "
                            "batch are what batch_norm.forward takes")
        return _core.normalize(self, False, _BATCH, x, weight, bias, mean, var, None, None, eps, channel_axis, None, None, relu,
                               out)

    def forward(
        self,
        x: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        running: RunningStats | None = None,
        mean: ArrayLike | None = None,
        var: ArrayLike | None = None,
        moments: Moments | None = None,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        relu: bool = False,
        out: Out = None,
    ) -> tuple[Array, _core.NormSaved]:
        """Return x normalized by its own statistics, and what the gradient needs.

        Parameters
        ----------
        {norm_x}
        {norm_channels}
        running : RunningStats, optional
            Updated by the statistics of the batch, after all has gone well.
        mean, var : array_like, optional
            Constants to normalize by instead, as the call does; ``backward`` gives them no gradient.
        moments : Moments, optional
            Those of a larger batch of which x is a part, to normalize by instead.
        {eps}
        {channel_axis}
        relu : bool, default False
            Whether to return max(0, y).
        {norm_out_forward}

        Returns
        -------
        {norm_y}
        {norm_saved}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0], [2.0], [3.0]])
        >>> y, saved = cpool.batch_norm.forward(x, weight=[2.0], eps=0.0)
        >>> y.ravel().round(6)
        array([-2.44949,  0.     ,  2.44949])
        """
        if running is not None and not isinstance(running, RunningStats):
            raise TypeError(f"running must be a cpool.RunningStats, not {type(running).__name__}")
        if moments is not None and not isinstance(moments, Moments):
            raise TypeError(f"moments must be cpool.Moments, not {type(moments).__name__}")
        if (mean is None) != (var is None):
            raise TypeError(f"{'var' if mean is not None else 'mean'} is missing: mean and var go together")
        if mean is not None and (running is not None or moments is not None):
            name = "running" if running is not None else "moments"
            raise TypeError(f"{name} does not go with mean and var, which are constants")
        y, saved, batch = _core.normalize(self, True, _BATCH, x, weight, bias, mean, var, moments, running, eps, channel_axis,
                                          None, None, relu, out)
        if running is not None:
            running.update(moments if moments is not None else _moments(batch))
        return y, saved

    def sums(self, dy: ArrayLike, saved: _core.NormSaved) -> Sums:
        """Return what the gradient needs to know of this part of a batch.

        Parameters
        ----------
        {backward}

        Returns
        -------
        Sums

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> parts = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
        >>> total = sum(cpool.moments(x) for x in parts)
        >>> saves = [cpool.batch_norm.forward(x, moments=total)[1] for x in parts]
        >>> sums = sum(cpool.batch_norm.sums(x, saved) for x, saved in zip(parts, saves))
        >>> sums
        cpool.Sums(count=4, e=array([10.]), ex=array([5.]))
        >>> dx = [cpool.batch_norm.backward(x, saved, sums=sums, wrt='x') for x, saved in zip(parts, saves)]
        """
        count, e, ex = _core.norm_sums(self, dy, saved)
        return Sums(count[0] if len(count) else 0, e, ex)

    @overload
    def backward(
        self, dy: ArrayLike, saved: _core.NormSaved, *, sums: Sums | None = None, wrt: Literal["x"], out: Out = None
    ) -> Array: ...
    @overload
    def backward(
        self,
        dy: ArrayLike,
        saved: _core.NormSaved,
        *,
        sums: Sums | None = None,
        wrt: Literal["weight", "bias"],
        out: Out = None,
    ) -> Any: ...
    @overload
    def backward(
        self,
        dy: ArrayLike,
        saved: _core.NormSaved,
        *,
        sums: Sums | None = None,
        wrt: tuple[str, ...] | None = None,
        out: Out = None,
    ) -> NormGradients: ...
    def backward(
        self,
        dy: ArrayLike,
        saved: _core.NormSaved,
        *,
        sums: Sums | None = None,
        wrt: str | tuple[str, ...] | None = None,
        out: Out = None,
    ) -> Any:
        """Return the gradients with respect to x, weight and bias.

        .. code-block:: text

            e = dy, with relu dy where y > 0 and 0 elsewhere          r = 1 / sqrt(var + eps)
            dbias = sum e          dweight = r sum e (x - mean)
            dx = weight r (e - mean(e) - (x - mean) r^2 mean(e (x - mean)))
            dx = weight r e                                           where mean and var were given

        Parameters
        ----------
        {backward}
        sums : Sums, optional
            The sum of ``batch_norm.sums`` over all parts, where ``forward`` was given moments=. Gradients of weight and bias
            are then those of the whole batch.
        {wrt}
        {norm_out_dx}

        Returns
        -------
        {norm_gradients}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0], [2.0], [4.0]])
        >>> y, saved = cpool.batch_norm.forward(x, weight=[2.0], bias=[0.0])
        >>> gradients = cpool.batch_norm.backward(np.array([[1.0], [0.0], [0.0]]), saved)
        >>> gradients.bias
        array([1.])
        >>> gradients.x.ravel().round(3)
        array([ 0.458, -0.687,  0.229])
        """
        if sums is not None and not isinstance(sums, Sums):
            raise TypeError(f"sums must be cpool.Sums, not {type(sums).__name__}")
        packed = None if sums is None else [[sums.count] * len(sums.e), sums.e, sums.ex]
        return _gradients(self, dy, saved, packed, wrt, out)


class InstanceNorm(_Normalization):
    """Every channel of every sample with mean 0 and deviation 1, then a factor and a summand per channel [1]_.

    .. code-block:: text

        y = weight (x - mean) / sqrt(var + eps) + bias

    Samples go along the first axis that is not the channel axis.

    References
    ----------
    .. [1] D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.instance_norm(np.array([[[1.0, 3.0], [5.0, 9.0]]]), eps=0.0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """

    __slots__ = ()
    __name__ = "instance_norm"

    def __call__(
        self,
        x: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        out: Out = None,
    ) -> Array:
        """Return x normalized.

        Parameters
        ----------
        {norm_x}
        {norm_channels}
        {eps}
        {channel_axis}
        {norm_out}

        Returns
        -------
        {norm_y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.instance_norm(np.array([[[1.0, 3.0]]]), weight=[2.0], bias=[0.5], eps=0.0)
        array([[[-1.5,  2.5]]])
        """
        return _core.normalize(self, False, _INSTANCE, x, weight, bias, None, None, None, None, eps, channel_axis, None, None,
                               False, out)

    def forward(
        self,
        x: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        out: Out = None,
    ) -> tuple[Array, _core.NormSaved]:
        """Return x normalized, and what the gradient needs.

        Parameters
        ----------
        {norm_x}
        {norm_channels}
        {eps}
        {channel_axis}
        {norm_out_forward}

        Returns
        -------
        {norm_y}
        {norm_saved}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.instance_norm.forward(np.array([[[1.0, 3.0, 8.0]]]))
        >>> cpool.instance_norm.backward(np.array([[[1.0, 0.0, 0.0]]]), saved, wrt='x').round(3)
        array([[[ 0.109, -0.152,  0.044]]])
        """
        y, saved, _ = _core.normalize(self, True, _INSTANCE, x, weight, bias, None, None, None, None, eps, channel_axis, None,
                                      None, False, out)
        return y, saved


class GroupNorm(_Normalization):
    """Every group of channels of every sample with mean 0 and deviation 1, then a factor and a summand per channel [1]_.

    .. code-block:: text

        y = weight (x - mean) / sqrt(var + eps) + bias

    Channels of a group follow each other. Samples go along the first axis that is not the channel axis.

    References
    ----------
    .. [1] Y. Wu, K. He, "Group Normalization", ECCV 2018.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.group_norm(np.array([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """

    __slots__ = ()
    __name__ = "group_norm"

    def __call__(
        self,
        x: ArrayLike,
        groups: SupportsIndex,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        out: Out = None,
    ) -> Array:
        """Return x normalized.

        Parameters
        ----------
        {norm_x}
        groups : int
            Number of groups; it divides the number of channels.
        {norm_channels}
        {eps}
        {channel_axis}
        {norm_out}

        Returns
        -------
        {norm_y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.group_norm(np.array([[1.0, 3.0]]), 1, weight=[2.0, 4.0], eps=0.0)
        array([[-2.,  4.]])
        """
        return _core.normalize(self, False, _GROUP, x, weight, bias, None, None, None, None, eps, channel_axis, None, groups,
                               False, out)

    def forward(
        self,
        x: ArrayLike,
        groups: SupportsIndex,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        channel_axis: SupportsIndex = 1,
        out: Out = None,
    ) -> tuple[Array, _core.NormSaved]:
        """Return x normalized, and what the gradient needs.

        Parameters
        ----------
        {norm_x}
        groups : int
            Number of groups; it divides the number of channels.
        {norm_channels}
        {eps}
        {channel_axis}
        {norm_out_forward}

        Returns
        -------
        {norm_y}
        {norm_saved}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.group_norm.forward(np.array([[1.0, 3.0, 8.0]]), 1)
        >>> cpool.group_norm.backward(np.array([[1.0, 0.0, 0.0]]), saved, wrt='x').round(3)
        array([[ 0.109, -0.152,  0.044]])
        """
        y, saved, _ = _core.normalize(self, True, _GROUP, x, weight, bias, None, None, None, None, eps, channel_axis, None,
                                      groups, False, out)
        return y, saved


class LayerNorm(_Normalization):
    """All elements along some axes with mean 0 and deviation 1, then a factor and a summand for each [1]_.

    .. code-block:: text

        y = weight (x - mean) / sqrt(var + eps) + bias

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.layer_norm(np.array([[1.0, 3.0], [5.0, 9.0]]), eps=0.0)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    __slots__ = ()
    __name__ = "layer_norm"

    def __call__(
        self,
        x: ArrayLike,
        axes: Sizes = (-1,),
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        out: Out = None,
    ) -> Array:
        """Return x normalized.

        Parameters
        ----------
        {norm_x}
        {norm_elements}
        bias : array_like, optional
            What is added, likewise.
        {eps}
        {norm_out}

        Returns
        -------
        {norm_y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.layer_norm(np.array([[1.0, 3.0]]), weight=[2.0, 4.0], eps=0.0)
        array([[-2.,  4.]])
        """
        return _core.normalize(self, False, _LAYER, x, weight, bias, None, None, None, None, eps, None, axes, None, False,
                               out)

    def forward(
        self,
        x: ArrayLike,
        axes: Sizes = (-1,),
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        out: Out = None,
    ) -> tuple[Array, _core.NormSaved]:
        """Return x normalized, and what the gradient needs.

        Parameters
        ----------
        {norm_x}
        {norm_elements}
        bias : array_like, optional
            What is added, likewise.
        {eps}
        {norm_out_forward}

        Returns
        -------
        {norm_y}
        {norm_saved}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.layer_norm.forward(np.array([[1.0, 3.0, 8.0]]))
        >>> cpool.layer_norm.backward(np.array([[1.0, 0.0, 0.0]]), saved, wrt='x').round(3)
        array([[ 0.109, -0.152,  0.044]])
        """
        y, saved, _ = _core.normalize(self, True, _LAYER, x, weight, bias, None, None, None, None, eps, None, axes, None, False,
                                      out)
        return y, saved


class RmsNorm(_Normalization):
    """All elements along some axes divided by their root mean square, then a factor for each [1]_.

    .. code-block:: text

        y = weight x / sqrt(mean(x^2) + eps)

    References
    ----------
    .. [1] B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.rms_norm(np.array([[3.0, 4.0]]), eps=0.0).round(6)
    array([[0.848528, 1.131371]])
    """

    __slots__ = ()
    __name__ = "rms_norm"

    def __call__(
        self,
        x: ArrayLike,
        axes: Sizes = (-1,),
        weight: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        out: Out = None,
    ) -> Array:
        """Return x normalized.

        Parameters
        ----------
        {norm_x}
        {norm_elements}
        {eps}
        {norm_out}

        Returns
        -------
        {norm_y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.rms_norm(np.array([[1.0, -1.0]]), weight=[2.0, 4.0], eps=0.0)
        array([[ 2., -4.]])
        """
        return _core.normalize(self, False, _RMS, x, weight, None, None, None, None, None, eps, None, axes, None, False,
                               out)

    def forward(
        self,
        x: ArrayLike,
        axes: Sizes = (-1,),
        weight: ArrayLike | None = None,
        *,
        eps: float = 1e-5,
        out: Out = None,
    ) -> tuple[Array, _core.NormSaved]:
        """Return x normalized, and what the gradient needs.

        Parameters
        ----------
        {norm_x}
        {norm_elements}
        {eps}
        {norm_out_forward}

        Returns
        -------
        {norm_y}
        {norm_saved}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.rms_norm.forward(np.array([[3.0, 4.0]]))
        >>> cpool.rms_norm.backward(np.array([[1.0, 0.0]]), saved, wrt='x').round(3)
        array([[ 0.181, -0.136]])
        """
        y, saved, _ = _core.normalize(self, True, _RMS, x, weight, None, None, None, None, None, eps, None, axes, None, False,
                                      out)
        return y, saved


batch_norm = BatchNorm()
instance_norm = InstanceNorm()
group_norm = GroupNorm()
layer_norm = LayerNorm()
rms_norm = RmsNorm()


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    mean: ArrayLike,
    var: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
    axis: SupportsIndex = 0,
) -> tuple[Array, Array]:
    """Fold a batch norm into the linear or convolution layer before it.

    .. code-block:: text

        s = gamma / sqrt(var + eps)          weight' = weight s along axis          bias' = (bias - mean) s + beta

    Computed in float64 and rounded once. It is right for inference, and for a batch norm behind the layer; one in front of a
    layer that pads cannot be folded.

    Parameters
    ----------
    weight : array_like of float32 or float64
        The layer's weights.
    bias : array_like, optional
        The layer's bias, one number per output channel; absent it is 0.
    mean, var : array_like
        Running statistics of the batch norm.
    gamma, beta : array_like, optional
        Weight and bias of the batch norm; absent they are 1 and 0.
    {eps}
    axis : int, default 0
        The axis of the output channels in `weight`: 0 for linear layers and convolutions, 1 for transposed convolutions without
        groups, the last for weights of shape (inputs, outputs).

    Returns
    -------
    weight, bias : ndarray
        Of the dtype of weight.

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be; the message names it and its value.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> w, b = cpool.fold_batch_norm(np.array([[1.0, 2.0]]), [0.5], mean=[1.5], var=[4.0], gamma=[6.0], eps=0.0)
    >>> w, b
    (array([[3., 6.]]), array([-3.]))
    """
    wide = np.asarray(weight)
    if wide.dtype not in (np.float32, np.float64):
        raise TypeError(f"weight has dtype {wide.dtype}; it must be float32 or float64")
    place = _integer(axis, "axis", -wide.ndim)
    if place >= wide.ndim:
        raise ValueError(f"axis={place} is not an axis of weight, which has shape {wide.shape}")
    n = wide.shape[place]

    def channels(name: str, value: ArrayLike | None, absent: float) -> Doubles:
        numbers = np.full(n, absent) if value is None else np.asarray(value, np.float64)
        if numbers.shape != (n,):
            raise ValueError(f"{name} has shape {numbers.shape}; weight has {n} output channels along axis {place}: it must be "
                             f"({n},)")
        return numbers

    added = _real(eps, "eps")
    if not 0 <= added < np.inf:
        raise ValueError(f"eps={added!r} must be finite and at least 0")
    variance = channels("var", var, 1)
    if not (variance >= 0).all():
        raise ValueError(f"var={float(variance[~(variance >= 0)][0])!r}: a variance is at least 0")
    scale = channels("gamma", gamma, 1) / np.sqrt(variance + added)
    along = [1] * wide.ndim
    along[place] = n
    folded = (channels("bias", bias, 0) - channels("mean", mean, 0)) * scale + channels("beta", beta, 0)
    return (wide * scale.reshape(along)).astype(wide.dtype), folded.astype(wide.dtype)


for _function in (moments, fold_batch_norm):
    _function.__doc__ = _complete(_function.__doc__ or "")
