"""Operators that resample: filters, and windows at places of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from cpool import _core
from cpool.pooling import Array, Out, Padding, Sizes, _OneGradient, _Operator

__all__ = ["blur_pool", "dpid_pool", "fractional_max_pool", "s3_pool"]


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


class FractionalMaxPool(_OneGradient):
    """The maximum of windows whose distances are drawn, so many as are asked for [1]_.

    .. code-block:: text

        a = (length - window) / (output_size - 1)                along each axis
        start[i] = floor((i + u) a) - floor(u a)                 the last is length - window
        y[i] = max of x[start[i] : start[i] + window]
        dx at the first maximum of a window += dy

    u is in [0, 1), and drawn for every plane and axis from seed, offset and its place alone (Philox4x32-10), whatever the
    number of threads and the layout. With a between 1 and 2, as in the paper, several layers shrink what one max pool would.

    References
    ----------
    .. [1] B. Graham, "Fractional Max-Pooling", arXiv:1412.6071, 2014.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.fractional_max_pool(np.arange(7.0), (2,), 4, u=[0.3])
    array([1., 3., 4., 6.])
    """

    __slots__ = ()
    __name__ = "fractional_max_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Sizes,
        output_size: Sizes,
        *,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        seed: int | np.random.Generator | None = None,
        offset: int = 0,
        u: ArrayLike | None = None,
        out: Out = None,
    ) -> Array:
        """Return the maximum of every window.

        Parameters
        ----------
        {x}
        window : int or tuple of int
            Size of the windows along each spatial axis; an int is the size along all of them.
            The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
        output_size : int or tuple of int
            How many windows there are along each spatial axis.
        {axes}
        {draws}
        u : array_like, optional
            Numbers in [0, 1) in place of the draws, of the dtype of x or float64: its axes are those of x that are not spatial,
            and then one as long as there are spatial axes.
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
        >>> cpool.fractional_max_pool(np.zeros((8, 24, 24)), (2, 2), 17, seed=1).shape
        (8, 17, 17)
        """
        return _core.fractional(self, False, x, window, output_size, axes, channel_axis, seed, offset, u, out)

    def forward(
        self,
        x: ArrayLike,
        window: Sizes,
        output_size: Sizes,
        *,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        seed: int | np.random.Generator | None = None,
        offset: int = 0,
        u: ArrayLike | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the maximum of every window, and which element it is.

        Parameters
        ----------
        {x}
        window : int or tuple of int
            Size of the windows along each spatial axis; an int is the size along all of them.
            The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
        output_size : int or tuple of int
            How many windows there are along each spatial axis.
        {axes}
        {draws}
        u : array_like, optional
            Numbers in [0, 1) in place of the draws, of the dtype of x or float64: its axes are those of x that are not spatial,
            and then one as long as there are spatial axes.
        {out}

        Returns
        -------
        {y}
        {saved}
            ``saved.indices`` are the positions of the maxima in the flattened spatial plane. It does not keep x.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([1.0, 5.0, 2.0, 0.0, 3.0, 4.0, 1.0])
        >>> y, saved = cpool.fractional_max_pool.forward(x, (2,), 4, u=[0.3])
        >>> y, saved.indices
        (array([5., 2., 3., 4.]), array([1, 2, 4, 5]))
        >>> cpool.fractional_max_pool.backward(np.ones_like(y), saved)
        array([0., 1., 1., 0., 1., 1., 0.])
        """
        return _core.fractional(self, True, x, window, output_size, axes, channel_axis, seed, offset, u, out)

    def output_shape(
        self,
        x_shape: Sequence[int],
        window: Sizes,
        output_size: Sizes,
        *,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        window, output_size, axes, channel_axis
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
        >>> cpool.fractional_max_pool.output_shape((1, 3, 36, 36), 2, 25)
        (1, 3, 25, 25)
        """
        return _core.fractional_output_shape(x_shape, window, output_size, axes, channel_axis)


class S3Pool(_OneGradient):
    """Maxima of stride 1, of which some rows and columns are kept: stochastic spatial sampling [1]_.

    .. code-block:: text

        m = maximum of windows of stride 1
        training      of each `grid` neighbouring rows of m ceil(grid / stride) are kept, and of columns likewise:
                      those with the smallest u, the same in all planes;   dx at the maxima kept += dy
        inference     y = mean of m over windows and strides of `stride`, padding stride // 2

    u is in [0, 1), and drawn for every row and column from seed, offset and its place alone (Philox4x32-10). Training gives
    ceil(length of m / stride) results where the grid is a multiple of the stride. Inference gives as many, but one more where
    an even stride divides that length.

    References
    ----------
    .. [1] S. Zhai, H. Wu, A. Kumar, Y. Cheng, Y. Lu, Z. Zhang, R. Feris, "S3Pool: Pooling with Stochastic Spatial Sampling",
       CVPR 2017.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([1.0, 5.0, 2.0, 0.0, 3.0, 4.0])
    >>> y, saved = cpool.s3_pool.forward(x, (2,), grid=2, u=[0.5, 0.2, 0.3, 0.1, 0.7])
    >>> y
    array([5., 3., 4.])
    >>> cpool.s3_pool(x, (2,))
    array([5. , 3.5, 3.5])
    """

    __slots__ = ()
    __name__ = "s3_pool"

    def __call__(
        self,
        x: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the means of maxima of stride 1: what inference takes.

        Parameters
        ----------
        {x}
        {maxima}
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
        >>> x = np.arange(16.0).reshape(4, 4)
        >>> cpool.s3_pool(x, 2)
        array([[ 5. ,  6.5],
               [11. , 12.5]])
        """
        return _core.thinned_mean(self, x, window, stride, padding, dilation, axes, channel_axis, out)

    def forward(
        self,
        x: ArrayLike,
        window: Sizes,
        *,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        grid: Sizes | None = None,
        seed: int | np.random.Generator | None = None,
        offset: int = 0,
        u: ArrayLike | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the maxima of the rows and columns that are kept, and which elements they are.

        Parameters
        ----------
        {x}
        {maxima}
        {axes}
        grid : int or tuple of int, optional
            How many neighbouring rows or columns are drawn from together, by default all of them.
        {draws}
        u : array_like, optional
            Numbers in [0, 1) in place of the draws, of the dtype of x or float64: one for each row of the maxima of stride 1
            and then one for each column.
        {out}

        Returns
        -------
        {y}
        {saved}
            ``saved.indices`` are the positions of the maxima in the flattened spatial plane, -1 for none. It does not keep x.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.s3_pool.forward(np.arange(36.0).reshape(6, 6), 2, grid=2, seed=1)
        >>> y.shape
        (3, 3)
        >>> bool(cpool.s3_pool.backward(y, saved).sum() == y.sum())
        True
        """
        return _core.thinned(self, x, window, stride, padding, dilation, axes, channel_axis, grid, seed, offset, u, out)

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
        grid: Sizes | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of what ``forward`` gives for an input of shape `x_shape`.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        window, stride, padding, dilation, axes, channel_axis, grid
            As of ``forward``.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError, TypeError
            As ``forward`` would.

        Examples
        --------
        >>> import cpool
        >>> cpool.s3_pool.output_shape((1, 3, 32, 32), 2, grid=8)
        (1, 3, 16, 16)
        """
        return _core.thinned_output_shape(x_shape, window, stride, padding, dilation, axes, channel_axis, grid)


class DpidPool(_Operator):
    """A downscaled image whose small details stay: detail-preserving image downscaling [1]_.

    .. code-block:: text

        average = mean of each factor x factor window
        center  = averages of a window and its neighbours, weighted [1 2 1] along each axis where they exist
        w = |x - center|**lam        the norm over all channels
        y = sum over the window of w x / sum over the window of w

    lam = 0 is the average; the larger it is, the more the elements that differ from their surroundings decide. Where all
    equal the center, so does the result. What is left at the end beyond whole windows is not read. It has no gradient.

    References
    ----------
    .. [1] N. Weber, M. Waechter, S. C. Amend, S. Guthe, M. Goesele, "Rapid, Detail-Preserving Image Downscaling", ACM
       Transactions on Graphics 35(6), 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2, 5, 3], [4, 0, 1, 2], [-1, 3, 2, 2], [0, 6, -2, 4]])
    >>> cpool.dpid_pool(x, 2).round(6)
    array([[1.8     , 3.633333],
           [2.483333, 0.135135]])
    """

    __slots__ = ()
    __name__ = "dpid_pool"

    def __call__(
        self,
        x: ArrayLike,
        factor: Sizes,
        *,
        lam: float = 1.0,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
        out: Out = None,
    ) -> Array:
        """Return the downscaled input.

        Parameters
        ----------
        {x}
        factor : int or tuple of int
            How much smaller the result is along each spatial axis; an int is the factor along all of them.
            The number of spatial axes, 1 to 3, is the length of the tuple, else of `axes`, else 2 if x has 2 or 4 axes.
        lam : float, default 1.0
            How much details count: a finite number, at least 0. The paper takes 0.5 and 1.
        axes : int or tuple of int, optional
            The spatial axes, by default the last ones: ``axes=(0, 1)`` for a photograph. The others are batch axes.
        channel_axis : int, optional
            The axis of the channels that a distance is over, by default the one before the spatial axes where these are last,
            else the last that is not spatial.
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
        >>> photograph = np.zeros((480, 640, 3), np.float32)
        >>> cpool.dpid_pool(photograph, 4, axes=(0, 1)).shape
        (120, 160, 3)
        """
        return _core.shrink(self, x, factor, lam, axes, channel_axis, out)

    def output_shape(
        self,
        x_shape: Sequence[int],
        factor: Sizes,
        *,
        axes: Sizes | None = None,
        channel_axis: SupportsIndex | None = None,
    ) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        factor, axes, channel_axis
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
        >>> cpool.dpid_pool.output_shape((427, 640, 3), 4, axes=(0, 1))
        (106, 160, 3)
        """
        return _core.shrink_output_shape(x_shape, factor, axes, channel_axis)


blur_pool = BlurPool()
dpid_pool = DpidPool()
fractional_max_pool = FractionalMaxPool()
s3_pool = S3Pool()
