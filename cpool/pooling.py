"""The operators: objects that are called like ufuncs, with ``forward`` and ``backward`` for training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias, overload

from numpy.typing import ArrayLike, NDArray

from cpool import _core
from cpool._windows import Whole, adaptive, whole

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "global_avg_pool",
    "global_max_pool",
    "l2_pool",
    "lp_pool",
    "max_pool",
    "max_unpool",
    "min_pool",
]

Array: TypeAlias = NDArray[Any]
Sizes: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Window: TypeAlias = Sizes | adaptive | Whole
Padding: TypeAlias = (
    SupportsIndex
    | Sequence[SupportsIndex | tuple[SupportsIndex, SupportsIndex]]
    | Literal["valid", "same", "same_upper", "same_lower"]
)
Out: TypeAlias = Array | tuple[Array] | None

_AXES = """\
axes : int or tuple of int, optional
    The spatial axes, by default the last ones: ``axes=(1, 2)`` for images with channels last. The others are batch axes.
channel_axis : int, optional
    The axis that per-channel parameters go along, by default the one before the spatial axes where these are last, else the
    last that is not spatial."""

# What the docstrings below share: a line {name} in one of them stands for an entry of this table.
_SHARED = {
    "axes": _AXES,
    "x": """\
x : array_like of float32 or float64
    The input, in any layout: nothing is copied where the memory can be walked.""",
    "geometry": """\
window : int, tuple of int, cpool.adaptive or cpool.whole
    Size of the windows along each spatial axis; an int is the size along all of them. ``cpool.adaptive(h, w)`` divides the
    axes into so many bins, ``cpool.whole`` is one window on everything.
    The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
stride : int or tuple of int, optional
    Distance from one window to the next, by default the size of the window.
padding : int, tuple or str, default 0
    How far windows may reach beyond the input: an int, one per spatial axis, or one pair (before, after) per spatial
    axis, each smaller than the window. 'same' (which is 'same_upper') and 'same_lower' give ceil(length / stride)
    results, 'valid' is 0. Padding never takes part in a result.
dilation : int or tuple of int, default 1
    Distance between neighbouring elements of a window.
ceil_mode : bool, default False
    Whether a last window that starts inside the input or the padding before it, but ends beyond the padding, counts.
""" + _AXES,
    "out": """\
out : ndarray or 1-tuple of ndarray, optional
    Array that receives the result, of its shape and dtype and with any strides, sharing no element with an input.""",
    "y": """\
y : ndarray
    The result, of the dtype of x, with as many axes, in the same places; `out` itself where it was given.""",
    "saved": """\
saved : Saved
    What ``backward`` needs: immutable and picklable. ``saved.op`` is this operator, ``saved.nbytes`` what it keeps alive.""",
    "draws": """\
seed : int, numpy.random.Generator or None
    The key of the draws, 0 to 2**64 - 1; a Generator gives one, None takes fresh entropy. ``saved.seed`` tells it.
offset : int, default 0
    Number of the call, for instance of the training step: another one draws other numbers.""",
    "maxima": """\
window : int or tuple of int
    Size of the windows along each spatial axis; an int is the size along all of them.
    The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
stride : int or tuple of int, optional
    How many maxima one is kept of, by default the size of the window.
padding : int, tuple or str, default 0
    How far windows may reach beyond the input, as of ``max_pool`` with stride 1.
dilation : int or tuple of int, default 1
    Distance between neighbouring elements of a window.""",
    "backward": """\
dy : array_like
    Gradient with respect to the result of ``forward``, of its shape and dtype.
saved : Saved
    What ``forward`` returned with that result.""",
    "dx": """\
dx : ndarray
    Gradient with respect to x, of its shape and dtype; `out` itself where it was given. With ``wrt=('x',)`` a named
    tuple of it.""",
    "wrt_x": """\
wrt : 'x' or ('x',), optional
    x is the only input with a gradient, so there is nothing to choose.""",
    "out_dx": """\
out : ndarray or 1-tuple of ndarray, optional
    Array that receives dx, of its shape and dtype and with any strides.""",
    "raises": """\
ValueError
    If a shape, size or range cannot be; the message names the argument, its value and what would be right. Nothing is
    written then.
TypeError
    If an argument is of the wrong kind, or an array neither float32 nor float64: the message names the cast to write.
MemoryError
    If the result is too large.""",
}


def _complete(doc: str) -> str:
    """Replace the lines {name} of a docstring."""
    return re.sub(r"^( *)\{(\w+)\}$", lambda line: line[1] + _SHARED[line[2]].replace("\n", "\n" + line[1]), doc, flags=re.M)


class XGradient(NamedTuple):
    """The gradients of an operator with one differentiable input."""

    x: Array


class PowerGradients(NamedTuple):
    """The gradients of ``lp_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    p: Any


def _wanted(wrt: object, inputs: tuple[str, ...]) -> tuple[str, ...]:
    names = inputs if wrt is None else (wrt,) if isinstance(wrt, str) else wrt
    if not isinstance(names, (tuple, list)):
        raise TypeError(f"wrt={wrt!r} must be a string or a tuple of strings")
    if not names or any(name not in inputs for name in names):
        raise ValueError(f"wrt={wrt!r} must name inputs that have a gradient: {', '.join(map(repr, inputs))}")
    return tuple(names)


class _Operator:
    __slots__ = ()
    __name__: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for method in filter(callable, vars(cls).values()):
            if method.__doc__:
                method.__doc__ = _complete(method.__doc__)

    def __repr__(self) -> str:
        return f"<cpool operator {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__


class _WindowOperator(_Operator):
    __slots__ = ()

    def output_shape(
        self,
        x_shape: Sequence[int],
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`.

        Along an axis of length n that is ``floor((n + before + after - (window - 1) * dilation - 1) / stride) + 1``, with ceil
        in the place of floor in `ceil_mode`, where a last window must start inside the input or the padding before it.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        {geometry}

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError, TypeError
            As the call would.

        Examples
        --------
        >>> import cpool
        >>> cpool.max_pool.output_shape((1, 3, 224, 224), 3, stride=2, padding=1)
        (1, 3, 112, 112)
        """
        return _core.output_shape(x_shape, window, stride, padding, dilation, ceil_mode, axes, channel_axis)


class _OneGradient(_Operator):
    __slots__ = ()

    @overload
    def backward(
        self, dy: ArrayLike, saved: _core.Saved, *, wrt: Literal["x"] | None = None, out: Out = None
    ) -> Array: ...
    @overload
    def backward(self, dy: ArrayLike, saved: _core.Saved, *, wrt: tuple[Literal["x"]], out: Out = None) -> XGradient: ...
    def backward(
        self, dy: ArrayLike, saved: _core.Saved, *, wrt: Literal["x"] | tuple[Literal["x"]] | None = None, out: Out = None
    ) -> Array | XGradient:
        """Return the gradient with respect to x.

        The class says by which formula; contributions of windows that overlap are summed.

        Parameters
        ----------
        {backward}
        {wrt_x}
        {out_dx}

        Returns
        -------
        {dx}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
        >>> y, saved = cpool.max_pool.forward(x, 2)
        >>> cpool.max_pool.backward(np.ones_like(y), saved)
        array([[0., 0., 1., 0.],
               [1., 0., 0., 0.]], dtype=float32)
        """
        if wrt is not None:
            _wanted(wrt, ("x",))
        dx: Array = _core.backward(self, dy, saved, ("x",), ("x",), out)[0]
        return XGradient(dx) if isinstance(wrt, (tuple, list)) else dx


class MaxPool(_WindowOperator, _OneGradient):
    """The maximum of every window.

    .. code-block:: text

        y = max over the window of x
        dx at the first maximum of a window += dy

    The first of equal elements in row-major order is the maximum, NaN is larger than everything, and a zero maximum is +0. A
    window without elements (there are some where dilation steps over a short input) gives -inf and no gradient.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
    >>> cpool.max_pool(x, 2)
    array([[4., 5.]], dtype=float32)
    """

    __slots__ = ()
    __name__ = "max_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the maximum of every window.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.arange(16.0).reshape(4, 4)
        >>> cpool.max_pool(x, 2)
        array([[ 5.,  7.],
               [13., 15.]])
        >>> cpool.max_pool(x, 3, stride=2, padding='same')
        array([[10., 11.],
               [14., 15.]])
        """
        return _core.select(self, False, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, out)

    def forward(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the maximum of every window, and which element it is.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}
        {saved}
            ``saved.indices`` are the positions of the maxima in the flattened spatial plane, int64 and -1 for none. It keeps
            one byte per result for windows of up to 255 elements, else four, and not x.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
        >>> y, saved = cpool.max_pool.forward(x, 2)
        >>> saved.indices
        array([[4, 2]])
        """
        return _core.select(self, True, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, out)


class MinPool(_WindowOperator, _OneGradient):
    """The minimum of every window.

    .. code-block:: text

        y = min over the window of x
        dx at the first minimum of a window += dy

    The first of equal elements in row-major order is the minimum, NaN is smaller than everything, and a zero minimum is +0. A
    window without elements (there are some where dilation steps over a short input) gives +inf and no gradient.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
    >>> cpool.min_pool(x, 2)
    array([[0., 1.]], dtype=float32)
    """

    __slots__ = ()
    __name__ = "min_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the minimum of every window.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.min_pool(np.arange(16.0).reshape(4, 4), 2)
        array([[ 0.,  2.],
               [ 8., 10.]])
        """
        return _core.select(self, False, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, out)

    def forward(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the minimum of every window, and which element it is.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}
        {saved}
            ``saved.indices`` are the positions of the minima in the flattened spatial plane, int64 and -1 for none. It keeps
            one byte per result for windows of up to 255 elements, else four, and not x.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
        >>> y, saved = cpool.min_pool.forward(x, 2)
        >>> saved.indices
        array([[5, 6]])
        """
        return _core.select(self, True, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, out)


class AvgPool(_WindowOperator, _OneGradient):
    """The average of every window.

    .. code-block:: text

        y = (sum over the window of x) / d
        dx of every element of a window += dy / d

    d is the number of elements of the window that are in the input; with ``count_include_pad=True`` the number of those in the
    input or the padding; with `divisor_override` that number. A window without elements gives 0.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
    >>> cpool.avg_pool(x, 2)
    array([[1.75, 2.75]], dtype=float32)
    """

    __slots__ = ()
    __name__ = "avg_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        count_include_pad: bool = False,
        divisor_override: float | None = None,
        out: Out = None,
    ) -> Array:
        """Return the average of every window.

        Parameters
        ----------
        {x}
        {geometry}
        count_include_pad : bool, default False
            Whether padding counts in the number that sums are divided by.
        divisor_override : float, optional
            What to divide sums by instead: finite and not 0.
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.avg_pool(np.arange(16.0).reshape(4, 4), 2)
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
        """
        return _core.average(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis,
                             count_include_pad, divisor_override, out)

    def forward(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        count_include_pad: bool = False,
        divisor_override: float | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the average of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        count_include_pad : bool, default False
            Whether padding counts in the number that sums are divided by.
        divisor_override : float, optional
            What to divide sums by instead: finite and not 0.
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps no array.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.avg_pool.forward(np.arange(16.0).reshape(4, 4), 2)
        >>> cpool.avg_pool.backward(y, saved)[0]
        array([0.625, 0.625, 1.125, 1.125])
        """
        return _core.average(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis,
                             count_include_pad, divisor_override, out)


class LpPool(_WindowOperator):
    """The p-norm of every window, or its power average.

    .. code-block:: text

        norm='sum'    y = (sum over the window of |x|**p) ** (1 / p)
        norm='mean'   y = (1 / n * sum over the window of |x|**p) ** (1 / p),  n elements in the input

        dx += dy * sign(x) * (|x| / y)**(p - 1)                                          for 'mean' divided by n
        dp += dy * y / p * (sum of |x|**p * log|x| / sum of |x|**p - log(sum of |x|**p) / p)    for 'mean' log of the mean

    Nothing overflows on the way that fits in the end. ``p=inf`` is the largest ``|x|``, and its gradient goes to the first
    such element. Elements that are 0 have no gradient, and where y is 0 nothing has. With learned p this is the pooling of
    [1]_; [2]_ compares several p.

    References
    ----------
    .. [1] C. Gulcehre, K. Cho, R. Pascanu, Y. Bengio, "Learned-Norm Pooling for Deep Feedforward and Recurrent Neural
       Networks", ECML PKDD 2014.
    .. [2] P. Sermanet, S. Chintala, Y. LeCun, "Convolutional Neural Networks Applied to House Numbers Digit Classification",
       ICPR 2012.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.lp_pool(np.array([[3.0, 0.0], [0.0, -4.0]]), 2)
    array([[5.]])
    """

    __slots__ = ()
    __name__ = "lp_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        p: ArrayLike = 2.0,
        norm: Literal["sum", "mean"] = "sum",
        out: Out = None,
    ) -> Array:
        """Return the p-norm of every window.

        Parameters
        ----------
        {x}
        {geometry}
        p : float or array_like of shape [C], default 2.0
            The exponent, above 0 and possibly inf: a number, or one per channel of the dtype of x or float64.
        norm : 'sum' or 'mean', default 'sum'
            Whether powers are summed or averaged.
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[[3.0, 4.0]], [[1.0, 3.0]]])
        >>> cpool.lp_pool(x, (1, 2), p=np.array([2.0, 1.0]))
        array([[[5.]],
        <BLANKLINE>
               [[4.]]])
        """
        return _core.power(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, p, norm, out)

    def forward(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        p: ArrayLike = 2.0,
        norm: Literal["sum", "mean"] = "sum",
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the p-norm of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        p : float or array_like of shape [C], default 2.0
            The exponent, above 0 and possibly inf: a number, or one per channel of the dtype of x or float64.
        norm : 'sum' or 'mean', default 'sum'
            Whether powers are summed or averaged.
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps x, not a copy: x is to stay as it is until ``backward``.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.lp_pool.forward(np.array([[3.0, 0.0], [0.0, -4.0]]), 2)
        >>> dx, dp = cpool.lp_pool.backward(np.ones_like(y), saved)
        >>> dx
        array([[ 0.6,  0. ],
               [ 0. , -0.8]])
        """
        return _core.power(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, p, norm, out)

    @overload
    def backward(
        self, dy: ArrayLike, saved: _core.Saved, *, wrt: tuple[Literal["x", "p"], ...] | None = None, out: Out = None
    ) -> PowerGradients: ...
    @overload
    def backward(self, dy: ArrayLike, saved: _core.Saved, *, wrt: Literal["x", "p"], out: Out = None) -> Any: ...
    def backward(
        self,
        dy: ArrayLike,
        saved: _core.Saved,
        *,
        wrt: Literal["x", "p"] | tuple[Literal["x", "p"], ...] | None = None,
        out: Out = None,
    ) -> Any:
        """Return the gradients with respect to x and p.

        The class says by which formulas; contributions of windows that overlap or share an exponent are summed.

        Parameters
        ----------
        {backward}
        wrt : 'x', 'p' or a tuple of these, optional
            The gradients to compute, by default both. A string asks for that array alone.
        {out_dx}

        Returns
        -------
        PowerGradients
            A named tuple (x, p). The gradient of p has its shape and dtype, and is an np.float64 where p is a Python number;
            one that was not asked for is None.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.lp_pool.forward(np.array([[3.0, 0.0], [0.0, -4.0]]), 2, p=2.0)
        >>> grads = cpool.lp_pool.backward(np.ones_like(y), saved)
        >>> print(round(grads.p, 6))
        -0.816773
        >>> cpool.lp_pool.backward(np.ones_like(y), saved, wrt='x')
        array([[ 0.6,  0. ],
               [ 0. , -0.8]])
        """
        names = _wanted(wrt, ("x", "p"))
        gradients = PowerGradients(*_core.backward(self, dy, saved, ("x", "p"), names, out))
        return getattr(gradients, wrt) if isinstance(wrt, str) else gradients


class L2Pool(_WindowOperator, _OneGradient):
    """The root mean square of every window: ``lp_pool`` with ``p=2`` and ``norm='mean'``.

    .. code-block:: text

        y = sqrt(1 / n * sum over the window of x**2),  n elements in the input
        dx += dy / n * x / y

    Where y is 0 the gradient is 0.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.l2_pool(np.array([[2.0, 4.0], [4.0, -8.0]]), 2)
    array([[5.]])
    """

    __slots__ = ()
    __name__ = "l2_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the root mean square of every window.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.l2_pool(np.array([1.0, 7.0, 5.0, 5.0]), (2,))
        array([5., 5.])
        """
        return _core.power(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, 2.0, "mean", out)

    def forward(
        self,
        x: ArrayLike,
        window: Window,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the root mean square of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps x, not a copy: x is to stay as it is until ``backward``.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.l2_pool.forward(np.array([[2.0, 4.0], [4.0, -8.0]]), 2)
        >>> cpool.l2_pool.backward(np.ones_like(y), saved)
        array([[ 0.1,  0.2],
               [ 0.2, -0.4]])
        """
        return _core.power(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, 2.0, "mean", out)


class MaxUnpool(_OneGradient):
    """Elements put back to where a pooling found them, zeros elsewhere.

    .. code-block:: text

        y = 0, then y[indices[j]] = x[j]       in every spatial plane, for all j in row-major order
        dx[j] = dy[indices[j]]                 0 where a later x took the place

    With ``duplicates='add'`` elements that share a place are summed, and ``dx[j] = dy[indices[j]]`` for every j. An index of -1
    is skipped. This is the unpooling of [1]_.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1, 2, 5, 3], [4, 0, 1, 2]], np.float32)
    >>> y, saved = cpool.max_pool.forward(x, 2)
    >>> cpool.max_unpool(y, saved.indices, 2)
    array([[0., 0., 5., 0.],
           [4., 0., 0., 0.]], dtype=float32)
    """

    __slots__ = ()
    __name__ = "max_unpool"

    def __call__(
        self,
        x: ArrayLike,
        indices: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        output_size: Sizes | None = None,
        duplicates: Literal["overwrite", "add"] = "overwrite",
        out: Out = None,
    ) -> Array:
        """Return a larger array with the elements of x at given positions and zeros elsewhere.

        Parameters
        ----------
        {x}
        indices : array_like of int64
            Positions in the flattened spatial plane of the result, of the shape of x; -1 skips the element.
        window, stride, padding, dilation, axes, channel_axis
            As of the pooling that gave the indices: sliding windows, not named padding. They determine the size of the result,
            ``(length - 1) * stride - before - after + (window - 1) * dilation + 1`` along each spatial axis.
        output_size : int or tuple of int, optional
            The size of the result along each spatial axis, where that formula gives another.
        duplicates : 'overwrite' or 'add', default 'overwrite'
            Whether the last of several elements for one position wins, or they are summed.
        {out}

        Returns
        -------
        {y}

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.max_unpool([3.0, 5.0], [1, 2], (2,))
        array([0., 3., 5., 0.])
        >>> cpool.max_unpool([3.0, 5.0], [1, 1], (2,), output_size=3, duplicates='add')
        array([0., 8., 0.])
        """
        return _core.unpool(self, False, x, indices, window, stride, padding, dilation, axes, channel_axis, output_size,
                            duplicates, out)

    def forward(
        self,
        x: ArrayLike,
        indices: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        output_size: Sizes | None = None,
        duplicates: Literal["overwrite", "add"] = "overwrite",
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return a larger array with the elements of x at given positions, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        indices : array_like of int64
            Positions in the flattened spatial plane of the result, of the shape of x; -1 skips the element.
        window, stride, padding, dilation, axes, channel_axis
            As of the pooling that gave the indices: sliding windows, not named padding. They determine the size of the result,
            ``(length - 1) * stride - before - after + (window - 1) * dilation + 1`` along each spatial axis.
        output_size : int or tuple of int, optional
            The size of the result along each spatial axis, where that formula gives another.
        duplicates : 'overwrite' or 'add', default 'overwrite'
            Whether the last of several elements for one position wins, or they are summed.
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps the indices, not a copy: they are to stay as they are until ``backward``.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.max_unpool.forward([3.0, 5.0], [1, 2], (2,))
        >>> cpool.max_unpool.backward([0.1, 0.2, 0.3, 0.4], saved)
        array([0.2, 0.3])
        """
        return _core.unpool(self, True, x, indices, window, stride, padding, dilation, axes, channel_axis, output_size,
                            duplicates, out)

    def output_shape(
        self,
        x_shape: Sequence[int],
        window: Sizes,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        output_size: Sizes | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        window, stride, padding, dilation, axes, channel_axis, output_size
            As of the call.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError, TypeError
            As the call would.

        Examples
        --------
        >>> import cpool
        >>> cpool.max_unpool.output_shape((1, 3, 112, 112), 3, stride=2, padding=1)
        (1, 3, 223, 223)
        """
        return _core.unpool_output_shape(x_shape, window, stride, padding, dilation, axes, channel_axis, output_size)


max_pool = MaxPool()
min_pool = MinPool()
avg_pool = AvgPool()
lp_pool = LpPool()
l2_pool = L2Pool()
max_unpool = MaxUnpool()


def global_avg_pool(x: ArrayLike, axes: Sizes | None = None) -> Array:
    """Return the average over the spatial axes, which stay with length 1: ``avg_pool(x, whole, axes=axes)``.

    Parameters
    ----------
    x : array_like of float32 or float64
        The input.
    axes : int or tuple of int, optional
        The axes to pool, 1 to 3 of them; by default the last two of 2 or 4.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As ``avg_pool`` does.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.global_avg_pool(np.arange(8.0).reshape(1, 2, 2, 2)).ravel()
    array([1.5, 5.5])
    """
    return avg_pool(x, whole, axes=axes)


def global_max_pool(x: ArrayLike, axes: Sizes | None = None) -> Array:
    """Return the maximum over the spatial axes, which stay with length 1: ``max_pool(x, whole, axes=axes)``.

    Parameters
    ----------
    x : array_like of float32 or float64
        The input.
    axes : int or tuple of int, optional
        The axes to pool, 1 to 3 of them; by default the last two of 2 or 4.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As ``max_pool`` does.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.global_max_pool(np.arange(8.0).reshape(1, 2, 2, 2)).ravel()
    array([3., 7.])
    """
    return max_pool(x, whole, axes=axes)


def adaptive_avg_pool(x: ArrayLike, output_size: Sizes, axes: Sizes | None = None) -> Array:
    """Return averages over bins, as many as asked for: ``avg_pool(x, adaptive(*output_size), axes=axes)``.

    Parameters
    ----------
    x : array_like of float32 or float64
        The input.
    output_size : int or tuple of int
        Number of bins along each spatial axis, an int for all of them.
    axes : int or tuple of int, optional
        The axes to pool, by default the last ones.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As ``avg_pool`` does.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.adaptive_avg_pool(np.arange(16.0).reshape(4, 4), (2, 1))
    array([[ 3.5],
           [11.5]])
    """
    return avg_pool(x, adaptive._of(output_size), axes=axes)


def adaptive_max_pool(x: ArrayLike, output_size: Sizes, axes: Sizes | None = None) -> Array:
    """Return maxima over bins, as many as asked for: ``max_pool(x, adaptive(*output_size), axes=axes)``.

    Parameters
    ----------
    x : array_like of float32 or float64
        The input.
    output_size : int or tuple of int
        Number of bins along each spatial axis, an int for all of them.
    axes : int or tuple of int, optional
        The axes to pool, by default the last ones.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As ``max_pool`` does.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.adaptive_max_pool(np.arange(16.0).reshape(4, 4), 2)
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return max_pool(x, adaptive._of(output_size), axes=axes)
