"""Operators that resample: filters, and windows at places of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, SupportsIndex

from numpy.typing import ArrayLike

from cpool import _core
from cpool.pooling import Array, Out, Sizes, _OneGradient

__all__ = ["blur_pool"]


class BlurPool(_OneGradient):
    """A binomial filter at every stride-th element: anti-aliased subsampling [1]_.

    .. code-block:: text

        w = a row of Pascal's triangle, divided by its sum: [1 2 1] / 4 for a window of 3
        y[o] = sum over j of w[j] x[o * stride + j - (window - 1) // 2]          along each axis
        dx = the same sums read backwards, what lies beyond the border folded back

    Beyond the border x goes on mirrored at its outermost elements (`reflect`: c b | a b c | b a), by repeating them
    (`replicate`: a a | a b c | c c), or with zeros (`zero`). With a maximum of stride 1 before, this is MaxBlurPool; with an
    average or a convolution of stride 1 the other layers of the paper.

    References
    ----------
    .. [1] R. Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2, 5, 3], [4, 0, 1, 2], [-1, 3, 2, 2], [0, 6, -2, 4]])
    >>> cpool.blur_pool(x, 3)
    array([[1.75 , 2.375],
           [1.75 , 1.75 ]])
    """

    __slots__ = ()
    __name__ = "blur_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes = 2,
        border: Literal["reflect", "replicate", "zero"] = "reflect",
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the filtered and subsampled input.

        Parameters
        ----------
        {x}
        window : int or tuple of int
            Size of the filter along each spatial axis, 1 to 7; an int is the size along all of them.
            The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
        stride : int or tuple of int, default 2
            Distance from one result to the next.
        border : 'reflect', 'replicate' or 'zero'
            How the input goes on beyond its border.
        {axes}
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
        >>> x = np.array([0.0, 4.0, 0.0, 8.0, 8.0])
        >>> cpool.blur_pool(x, (3,), stride=1)
        array([2., 2., 3., 6., 8.])
        """
        return _core.blur(self, False, x, window, stride, border, axes, channel_axis, out)

    def forward(
        self,
        x: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes = 2,
        border: Literal["reflect", "replicate", "zero"] = "reflect",
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the filtered and subsampled input, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        window : int or tuple of int
            Size of the filter along each spatial axis, 1 to 7; an int is the size along all of them.
            The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
        stride : int or tuple of int, default 2
            Distance from one result to the next.
        border : 'reflect', 'replicate' or 'zero'
            How the input goes on beyond its border.
        {axes}
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
        >>> y, saved = cpool.blur_pool.forward(np.zeros(5), (3,))
        >>> cpool.blur_pool.backward(np.ones_like(y), saved)
        array([0.5 , 0.75, 0.5 , 0.75, 0.5 ])
        """
        return _core.blur(self, True, x, window, stride, border, axes, channel_axis, out)

    def output_shape(
        self,
        x_shape: Sequence[int],
        window: Sizes,
        *,
        stride: Sizes = 2,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`: ceil(length / stride) along each spatial axis.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        window, stride, axes, channel_axis
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
        >>> cpool.blur_pool.output_shape((1, 3, 224, 224), 3)
        (1, 3, 112, 112)
        """
        return _core.blur_output_shape(x_shape, window, stride, axes, channel_axis)


blur_pool = BlurPool()
