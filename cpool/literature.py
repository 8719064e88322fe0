"""Pooling operators of the literature, with their true gradients: weighted, drawn, blended and sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from cpool import _core
from cpool.pooling import Array, Out, Padding, Sizes, Window, _OneGradient, _Operator, _wanted, _WindowOperator

__all__ = [
    "ada_pool",
    "clipped_weights",
    "dpp_pool",
    "dynamic_k",
    "gated_pool",
    "kmax_pool",
    "lip_pool",
    "mixed_pool",
    "rank_pool",
    "soft_pool",
    "softmax_weights",
    "stochastic_pool",
    "tree_pool",
]


class SoftGradients(NamedTuple):
    """The gradients of ``soft_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    beta: Any


class LipGradients(NamedTuple):
    """The gradients of ``lip_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    logits: Any


class MixedGradients(NamedTuple):
    """The gradients of ``mixed_pool``; None stands for one that `wrt` leaves out, and for that of a random blend."""

    x: Any
    a: Any


class GatedGradients(NamedTuple):
    """The gradients of ``gated_pool``; None stands for one that `wrt` leaves out, and for that of an absent bias."""

    x: Any
    weight: Any
    bias: Any


class AdaGradients(NamedTuple):
    """The gradients of ``ada_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    a: Any


class DppGradients(NamedTuple):
    """The gradients of ``dpp_pool``; None stands for one that `wrt` leaves out, and for that of an absent input."""

    x: Any
    alpha: Any
    lam: Any
    filter: Any
    bias: Any

    @property
    def reference(self) -> None:
        """None: no reference was given."""
        return


class DppReferenceGradients(NamedTuple):
    """The gradients of ``dpp_pool`` where its reference is given; None stands for one that `wrt` leaves out."""

    x: Any
    alpha: Any
    lam: Any
    reference: Any
    bias: Any

    @property
    def filter(self) -> None:
        """None: no filter was given."""
        return


class TreeGradients(NamedTuple):
    """The gradients of ``tree_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    leaves: Any
    gates: Any


class RankGradients(NamedTuple):
    """The gradients of ``rank_pool``; None stands for one that `wrt` leaves out."""

    x: Any
    weight: Any


Gradients = TypeVar("Gradients", SoftGradients, LipGradients, MixedGradients, GatedGradients, TreeGradients,
                    RankGradients, AdaGradients, DppGradients | DppReferenceGradients)


class _SeveralGradients(_Operator, Generic[Gradients]):
    __slots__ = ()
    _gradients: type[Gradients]

    @overload
    def backward(
        self, dy: ArrayLike, saved: _core.Saved, *, wrt: tuple[str, ...] | None = None, out: Out = None
    ) -> Gradients: ...
    @overload
    def backward(self, dy: ArrayLike, saved: _core.Saved, *, wrt: str, out: Out = None) -> Any: ...
    def backward(
        self, dy: ArrayLike, saved: _core.Saved, *, wrt: str | tuple[str, ...] | None = None, out: Out = None
    ) -> Any:
        """Return the gradients with respect to x and the operator's further inputs.

        The class says by which formulas; contributions of windows that overlap or share a parameter are summed.

        Parameters
        ----------
        {backward}
        wrt : str or tuple of str, optional
            The inputs whose gradients are computed, by default all. A string asks for that array alone.
        {out_dx}

        Returns
        -------
        named tuple
            One field for x and for every further input, in the order of the call. The gradient of a parameter has its shape
            and dtype, and is an np.float64 where it is a Python number; one that was not asked for is None.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.soft_pool.forward(np.array([[1.0, 2.0], [4.0, 0.0]]), 2)
        >>> grads = cpool.soft_pool.backward(np.ones_like(y), saved)
        >>> print(round(float(grads.beta), 6))
        0.897655
        >>> cpool.soft_pool.backward(np.ones_like(y), saved, wrt='x').round(6)
        array([[-0.065783, -0.066361],
               [ 1.171564, -0.03942 ]])
        """
        gradients = self._gradients_of(saved)
        names = _wanted(wrt, gradients._fields)
        found = gradients(*_core.backward(self, dy, saved, gradients._fields, names, out))
        return getattr(found, wrt) if isinstance(wrt, str) else found

    def _gradients_of(self, saved: _core.Saved) -> type[Gradients]:
        return self._gradients


class SoftPool(_WindowOperator, _SeveralGradients[SoftGradients]):
    """The mean of every window, weighted by exponentials: SoftPool [1]_.

    .. code-block:: text

        w = exp(beta x) / sum over the window of exp(beta x)
        y = sum over the window of w x
        dx += dy w (1 + beta (x - y))
        dbeta = sum of dy * sum over the window of w (x - y) x

    beta = 0 is the average, and a large beta approaches the maximum. Nothing overflows: weights are kept with an exponent of
    their own. A window without elements gives 0.

    References
    ----------
    .. [1] A. Stergiou, R. Poppe, G. Kalliatakis, "Refining activation downsampling with SoftPool", ICCV 2021.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.soft_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2).round(6)
    array([[3.590096]])
    """

    __slots__ = ()
    __name__ = "soft_pool"
    _gradients = SoftGradients

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
        beta: ArrayLike = 1.0,
        out: Out = None,
    ) -> Array:
        """Return the softly weighted mean of every window.

        Parameters
        ----------
        {x}
        {geometry}
        beta : float or array_like of shape [C], default 1.0
            How sharp the weights are: a finite number, or one per channel of the dtype of x or float64.
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
        >>> x = np.array([1e4, -1e4, 9999.0, 0.0], np.float32)
        >>> cpool.soft_pool(x, (4,))
        array([9999.731], dtype=float32)
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "soft",
                             {"beta": beta}, out)

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
        beta: ArrayLike = 1.0,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the softly weighted mean of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        beta : float or array_like of shape [C], default 1.0
            How sharp the weights are: a finite number, or one per channel of the dtype of x or float64.
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
        >>> y, saved = cpool.soft_pool.forward(np.array([[1.0, 2.0], [4.0, 0.0]]), 2, beta=2.0)
        >>> dx, dbeta = cpool.soft_pool.backward(np.ones_like(y), saved)
        >>> dx.round(4)
        array([[-0.0119, -0.0522],
               [ 1.0664, -0.0023]])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "soft",
                             {"beta": beta}, out)


class LipPool(_WindowOperator, _SeveralGradients[LipGradients]):
    """The mean of every window, weighted by exponentials of logits: local importance-based pooling [1]_.

    .. code-block:: text

        w = exp(logits) / sum over the window of exp(logits)
        y = sum over the window of w x
        dx += w dy
        dlogits += w (x - y) dy                summed over the channels if logits has one

    A logit of -inf is weight 0, and a window of nothing else is like one without elements: 0, and no gradient. The network that
    makes the logits is the caller's; the paper takes 3 by 3 windows with stride 2 and padding 1.

    References
    ----------
    .. [1] Z. Gao, L. Wang, G. Wu, "LIP: Local Importance-based Pooling", ICCV 2019.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
    >>> cpool.lip_pool(x, np.log([[1.0, 1.0], [2.0, 4.0]]), 2).round(6)
    array([[1.375]])
    """

    __slots__ = ()
    __name__ = "lip_pool"
    _gradients = LipGradients

    def __call__(
        self,
        x: ArrayLike,
        logits: ArrayLike,
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
        """Return the mean of every window with given importance.

        Parameters
        ----------
        {x}
        logits : array_like
            Logarithms of the weights, of the dtype of x and its shape, or with length 1 along `channel_axis`.
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
        >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
        >>> cpool.lip_pool(x, np.full_like(x, 7.0), 2)
        array([[[[1.5]]]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "lip",
                             {"logits": logits}, out)

    def forward(
        self,
        x: ArrayLike,
        logits: ArrayLike,
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
        """Return the mean of every window with given importance, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        logits : array_like
            Logarithms of the weights, of the dtype of x and its shape, or with length 1 along `channel_axis`.
        {geometry}
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps x and logits, not copies: they are to stay as they are until ``backward``.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.lip_pool.forward(x, np.zeros_like(x), 2)
        >>> dx, dlogits = cpool.lip_pool.backward(np.ones_like(y), saved)
        >>> dlogits
        array([[-0.1875,  0.0625],
               [ 0.5625, -0.4375]])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "lip",
                             {"logits": logits}, out)


class StochasticPool(_WindowOperator, _OneGradient):
    """An element of every window, drawn with a probability in proportion to its size [1]_.

    .. code-block:: text

        a = max(x, 0)    S = sum over the window of a
        training      y = the first x with a running sum of a > u S;   dx there += dy
        inference     y = sum over the window of a**2 / S;             dx += dy (2 x - y) / S where x > 0

    u is in [0, 1), and drawn for every result from seed, offset and its place alone (Philox4x32-10), whatever the number of
    threads and the layout. Without a positive element the result is 0 and has no gradient. The first NaN of a window is always
    drawn, else the first inf.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks", ICLR 2013.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> y, saved = cpool.stochastic_pool.forward(x, 2, seed=1)
    >>> y
    array([[4., 3.]])
    >>> cpool.stochastic_pool(x, 2).round(6)
    array([[3.      , 3.545455]])
    """

    __slots__ = ()
    __name__ = "stochastic_pool"

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
        """Return the expectation of what ``forward`` draws.

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
        >>> cpool.stochastic_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2)
        array([[3.]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "expected",
                             {}, out)

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
        training: bool = True,
        seed: int | np.random.Generator | None = None,
        offset: int = 0,
        u: ArrayLike | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Draw an element of every window, or with ``training=False`` return the expectation of that.

        Parameters
        ----------
        {x}
        {geometry}
        training : bool, default True
            Whether to draw.
        seed : int, numpy.random.Generator or None
            The key of the draws, 0 to 2**64 - 1; a Generator gives one, None takes fresh entropy. ``saved.seed`` tells it.
        offset : int, default 0
            Number of the call, for instance of the training step: another one draws other numbers.
        u : array_like, optional
            Numbers in [0, 1) in place of the draws, of the shape of the result and the dtype of x or float64.
        {out}

        Returns
        -------
        {y}
        {saved}
            ``saved.indices`` are the positions of the elements drawn in the flattened spatial plane, -1 for none. With
            ``training=False`` it keeps x, not a copy.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.stochastic_pool.forward(x, 2, u=[[0.1]])
        >>> y, saved.indices
        (array([[1.]]), array([[0]]))
        >>> cpool.stochastic_pool.backward(np.ones_like(y), saved)
        array([[1., 0.],
               [0., 0.]])
        """
        if _truth(training, "training"):
            return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "stochastic",
                                 {"u": u}, out, (None, None, seed, offset))
        if u is not None:
            raise ValueError("u takes the place of draws; there are none with training=False")
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "expected", {},
                             out)


class MixedPool(_WindowOperator, _SeveralGradients[MixedGradients]):
    """Maximum and average of every window, blended by a number [2]_ or at random [1]_.

    .. code-block:: text

        y = a max + (1 - a) mean
        dx += dy (a [first maximum] + (1 - a) / n),  n elements in the input
        da = sum of dy (max - mean) over the results that share it

    a is used as it is; whoever wants it in [0, 1] clips it or takes a sigmoid. At random, a is 1 where u < `p_max` and 0
    elsewhere, with one u for everything ('layer'), for every plane ('map') or for every result ('region'). For inference the
    fraction f of maxima is counted, and ``a=f`` or ``a=(f >= 0.5)``. A window without elements gives 0.

    References
    ----------
    .. [1] D. Yu, H. Wang, P. Chen, Z. Wei, "Mixed Pooling for Convolutional Neural Networks", RSKT 2014.
    .. [2] C.-Y. Lee, P. W. Gallagher, Z. Tu, "Generalizing Pooling Functions in Convolutional Neural Networks: Mixed,
       Gated, and Tree", AISTATS 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> cpool.mixed_pool(x, 2, a=0.25)
    array([[2.3125, 3.3125]])
    """

    __slots__ = ()
    __name__ = "mixed_pool"
    _gradients = MixedGradients

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
        a: ArrayLike = 0.5,
        out: Out = None,
    ) -> Array:
        """Return blends of maximum and average of every window.

        Parameters
        ----------
        {x}
        {geometry}
        a : float or array_like of shape [C], or [C, *out] or [1, *out] with the spatial shape of the result, default 0.5
            The share of the maximum, of the dtype of x or float64.
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
        >>> cpool.mixed_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2)
        array([[2.875]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "mixed",
                             {"a": a}, out)

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
        a: ArrayLike = 0.5,
        random: Literal["layer", "map", "region"] | None = None,
        p_max: float = 0.5,
        seed: int | np.random.Generator | None = None,
        offset: int = 0,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return blends of maximum and average of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        a : float or array_like of shape [C], or [C, *out] or [1, *out] with the spatial shape of the result, default 0.5
            The share of the maximum, of the dtype of x or float64.
        random : 'layer', 'map' or 'region', optional
            Draw a rather than take it.
        p_max : float, default 0.5
            The probability of the maximum, 0 to 1.
        seed : int, numpy.random.Generator or None
            The key of the draws, 0 to 2**64 - 1; a Generator gives one, None takes fresh entropy. ``saved.seed`` tells it.
        offset : int, default 0
            Number of the call, for instance of the training step: another one draws other numbers.
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps x, not a copy: x is to stay as it is until ``backward``. ``saved.mask`` is what was drawn, 1 for the
            maximum.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.mixed_pool.forward(x, 2, a=0.25)
        >>> dx, da = cpool.mixed_pool.backward(np.ones_like(y), saved)
        >>> dx, print(da)
        2.25
        (array([[0.1875, 0.1875],
               [0.4375, 0.1875]]), None)
        >>> y, saved = cpool.mixed_pool.forward(x, 2, random='region', seed=1)
        >>> y, saved.mask
        (array([[1.75]]), array([[0]], dtype=uint8))
        """
        if random is None:
            return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "mixed",
                                 {"a": a}, out)
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "mixed at random",
                             {}, out, (random, p_max, seed, offset))


class AdaPool(_WindowOperator, _SeveralGradients[AdaGradients]):
    """SoftPool blended with a mean weighted by how alike elements are to the average: AdaPool [1]_.

    .. code-block:: text

        m = mean of the window    s = 2 |x m| / (x**2 + m**2), 1 where both are 0
        D = sum over the window of x exp(s) / sum of exp(s)
        S = sum over the window of x exp(x) / sum of exp(x)
        y = a D + (1 - a) S
        da = sum of dy (D - S) over the results that share it

    a is used as it is; whoever wants it in [0, 1] clips it. dx is the true derivative of y, that of m in s included. A window
    without elements gives 0.

    References
    ----------
    .. [1] A. Stergiou, R. Poppe, "AdaPool: Exponential Adaptive Pooling for Information-Retaining Downsampling", IEEE
       Transactions on Image Processing, 2022.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> cpool.ada_pool(x, 2, a=0.5).round(5)
    array([[2.78288, 3.70385]])
    """

    __slots__ = ()
    __name__ = "ada_pool"
    _gradients = AdaGradients

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
        a: ArrayLike = 0.5,
        out: Out = None,
    ) -> Array:
        """Return the adaptively weighted mean of every window.

        Parameters
        ----------
        {x}
        {geometry}
        a : float or array_like of shape [C], or [C, *out] or [1, *out] with the spatial shape of the result, default 0.5
            The share of D, of the dtype of x or float64.
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
        >>> cpool.ada_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2).round(5)
        array([[2.78288]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "ada",
                             {"a": a}, out)

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
        a: ArrayLike = 0.5,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the adaptively weighted mean of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        a : float or array_like of shape [C], or [C, *out] or [1, *out] with the spatial shape of the result, default 0.5
            The share of D, of the dtype of x or float64.
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
        >>> y, saved = cpool.ada_pool.forward(np.array([[2.0, 2.0], [2.0, 2.0]]), 2)
        >>> dx, da = cpool.ada_pool.backward(np.ones_like(y), saved)
        >>> dx.round(6)
        array([[0.25, 0.25],
               [0.25, 0.25]])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "ada",
                             {"a": a}, out)


class GatedPool(_WindowOperator, _SeveralGradients[GatedGradients]):
    """Maximum and average of every window, blended by a gate that sees the window [1]_.

    .. code-block:: text

        g = 1 / (1 + exp(-(sum over the window of weight x + bias)))
        y = g max + (1 - g) mean
        e = dy g (1 - g) (max - mean)
        dweight = sum of e x    dbias = sum of e
        dx += e weight + dy (g [first maximum] + (1 - g) / n),  n elements in the input

    The weights go with the places of the window, in row-major order; places in the padding add nothing. They act within a
    channel: this is no convolution over channels. A window without elements gives 0.

    References
    ----------
    .. [1] C.-Y. Lee, P. W. Gallagher, Z. Tu, "Generalizing Pooling Functions in Convolutional Neural Networks: Mixed,
       Gated, and Tree", AISTATS 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> cpool.gated_pool(x, 2, weight=[0.5, -0.5, 0.25, 0.0]).round(6)
    array([[3.150533, 4.498925]])
    """

    __slots__ = ()
    __name__ = "gated_pool"
    _gradients = GatedGradients

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
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        out: Out = None,
    ) -> Array:
        """Return gated blends of maximum and average of every window.

        Parameters
        ----------
        {x}
        {geometry}
        weight : array_like of shape [K] or [C, K]
            One weight for each of the K places of the window, for all channels or for each, of the dtype of x or float64.
        bias : float or array_like of shape [C], optional
            What is added to the weighted sums, of the dtype of x or float64.
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
        >>> cpool.gated_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2, weight=np.zeros(4))
        array([[2.875]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "gated",
                             {"weight": weight, "bias": bias}, out)

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
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return gated blends of maximum and average of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        weight : array_like of shape [K] or [C, K]
            One weight for each of the K places of the window, for all channels or for each, of the dtype of x or float64.
        bias : float or array_like of shape [C], optional
            What is added to the weighted sums, of the dtype of x or float64.
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
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.gated_pool.forward(x, 2, weight=[0.5, -0.5, 0.25, 0.0], bias=0.0)
        >>> grads = cpool.gated_pool.backward(np.ones_like(y), saved)
        >>> grads.x.round(6)
        array([[ 0.358764, -0.169994],
               [ 0.849034,  0.094385]])
        >>> grads.weight.round(6)
        array([0.528758, 1.057517, 2.115033, 0.      ])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "gated",
                             {"weight": weight, "bias": bias}, out)


class TreePool(_WindowOperator, _SeveralGradients[TreeGradients]):
    """Weighted sums of every window, blended by a tree of gates that see the window: tree pooling [1]_.

    .. code-block:: text

        value of a leaf = sum over the window of mask x
        value of a gate = s left + (1 - s) right,  s = 1 / (1 + exp(-sum over the window of mask x))
        y = value of gate 0
        e = dy at gate 0, e s on its left, e (1 - s) on its right, and so on
        dmask of a leaf = sum of e x    dmask of a gate = sum of e s (1 - s) (left - right) x
        dx += sum over the leaves of e mask + sum over the gates of e s (1 - s) (left - right) mask

    Behind gate i are gates 2i + 1 and 2i + 2; those that would be after the last gate are the leaves, in order. Masks go with
    the places of the window, in row-major order; places in the padding add nothing. They act within a channel. A window
    without elements gives 0.

    References
    ----------
    .. [1] C.-Y. Lee, P. W. Gallagher, Z. Tu, "Generalizing Pooling Functions in Convolutional Neural Networks: Mixed,
       Gated, and Tree", AISTATS 2016.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> leaves = [[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]
    >>> cpool.tree_pool(x, 2, leaves=leaves, gates=[[0.5, -0.5, 0.25, 0.0]]).round(6)
    array([[1.466844, 3.251075]])
    """

    __slots__ = ()
    __name__ = "tree_pool"
    _gradients = TreeGradients

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
        leaves: ArrayLike,
        gates: ArrayLike,
        out: Out = None,
    ) -> Array:
        """Return weighted sums of every window, blended by a tree of gates.

        Parameters
        ----------
        {x}
        {geometry}
        leaves : array_like of shape [L, K] or [L, C, K]
            Masks of the L = 2, 4, 8, ... leaves: one weight for each of the K places of the window, for all channels or for
            each, of the dtype of x or float64.
        gates : array_like of shape [L - 1, K] or [L - 1, C, K]
            Masks of the gates, likewise.
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
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> cpool.tree_pool(x, 2, leaves=[[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]], gates=np.zeros((1, 4)))
        array([[1.375]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "tree",
                             {"leaves": leaves, "gates": gates}, out)

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
        leaves: ArrayLike,
        gates: ArrayLike,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return weighted sums of every window, blended by a tree of gates, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        leaves : array_like of shape [L, K] or [L, C, K]
            Masks of the L = 2, 4, 8, ... leaves: one weight for each of the K places of the window, for all channels or for
            each, of the dtype of x or float64.
        gates : array_like of shape [L - 1, K] or [L - 1, C, K]
            Masks of the gates, likewise.
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
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> leaves = [[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]
        >>> y, saved = cpool.tree_pool.forward(x, 2, leaves=leaves, gates=np.zeros((1, 4)))
        >>> grads = cpool.tree_pool.backward(np.ones_like(y), saved)
        >>> grads.leaves
        array([[0.5, 1. , 2. , 0. ],
               [0.5, 1. , 2. , 0. ]])
        >>> grads.gates
        array([[0.1875, 0.375 , 0.75  , 0.    ]])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "tree",
                             {"leaves": leaves, "gates": gates}, out)


class RankPool(_WindowOperator, _SeveralGradients[RankGradients]):
    """Weighted sums of the sorted elements of every window: ordinal pooling [1]_, sort_pool2d.

    .. code-block:: text

        x[0] >= x[1] >= ... the elements of the window, equals in row-major order, NaN first
        y = sum over r of weight[r] x[r]
        dx of the element of rank r += dy weight[r]
        dweight[r] = sum of dy x[r]

    Ranks that a window at the border does not have add nothing. The weight (1,) makes it the maximum, equal weights the
    average. Weights are used as they are: ``softmax_weights`` and ``clipped_weights`` are the maps of the literature.

    References
    ----------
    .. [1] A. Deliege, M. Istasse, A. Kumar, C. De Vleeschouwer, M. Van Droogenbroeck, "Ordinal Pooling", BMVC 2019.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> cpool.rank_pool(x, 2, weight=[0.5, 0.3, 0.2])
    array([[2.8, 3.8]])
    """

    __slots__ = ()
    __name__ = "rank_pool"
    _gradients = RankGradients

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
        weight: ArrayLike,
        out: Out = None,
    ) -> Array:
        """Return weighted sums of the sorted elements of every window.

        Parameters
        ----------
        {x}
        {geometry}
        weight : array_like of shape [R] or [C, R]
            The weight of each rank, at most as many as a window has elements, for all channels or for each, of the dtype of x
            or float64.
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
        >>> cpool.rank_pool(np.array([[1.0, 2.0], [4.0, 0.0]]), 2, weight=[0.0, 0.5, 0.5])  # the median
        array([[1.5]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "rank",
                             {"weight": weight}, out)

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
        weight: ArrayLike,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return weighted sums of the sorted elements of every window, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        weight : array_like of shape [R] or [C, R]
            The weight of each rank, at most as many as a window has elements, for all channels or for each, of the dtype of x
            or float64.
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
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.rank_pool.forward(x, 2, weight=[0.5, 0.3, 0.2])
        >>> dx, dweight = cpool.rank_pool.backward(np.ones_like(y), saved)
        >>> dx, dweight
        (array([[0.2, 0.3],
               [0.5, 0. ]]), array([4., 2., 1.]))
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "rank",
                             {"weight": weight}, out)


class DppPool(_WindowOperator, _SeveralGradients[DppGradients | DppReferenceGradients]):
    """The mean of every window, weighted by how far elements are from a reference: detail-preserving pooling [1]_.

    .. code-block:: text

        d = x - reference, or without symmetric max(x - reference, 0)
        u = d**2 + eps2    Z = 1, or the mean or the sum of u over the window
        w = alpha + (u / Z)**(lam / 2)    W = sum of w
        y = sum over the window of w x / W

    The reference is the mean of the window, the sum of filter x (+ bias) over windows of the filter's own, or given. Gradients
    are those of this very formula, with respect to x, alpha, lam and what makes the reference: a filter and its bias, or the
    given array, whose gradient has the filter's place then. A window without elements gives 0.

    alpha and lam are used as they are. Networks learn their logarithms, so that they stay positive: with alpha = exp(a), the
    gradient of a is that of alpha times alpha, and likewise for lam; examples/detail_layer.py is such a layer.

    References
    ----------
    .. [1] F. Saeedan, N. Weber, M. Goesele, S. Roth, "Detail-Preserving Pooling in Deep Networks", CVPR 2018.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.array([[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 2.0]])
    >>> cpool.dpp_pool(x, 2, alpha=0.5, lam=1.0).round(6)
    array([[1.964189, 2.964189]])
    """

    __slots__ = ()
    __name__ = "dpp_pool"

    def _gradients_of(self, saved: _core.Saved) -> type[DppGradients] | type[DppReferenceGradients]:
        return DppReferenceGradients if _core.keeps(saved, "reference") else DppGradients

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
        alpha: ArrayLike,
        lam: ArrayLike,
        symmetric: bool = True,
        normalize: Literal["none", "mean", "sum"] = "none",
        eps2: float = 1e-3,
        filter: ArrayLike | None = None,  # noqa: A002
        filter_padding: Sizes | Sequence[SupportsIndex | tuple[SupportsIndex, SupportsIndex]] | None = None,
        bias: ArrayLike | None = None,
        reference: ArrayLike | None = None,
        out: Out = None,
    ) -> Array:
        """Return the mean of every window that keeps details.

        Parameters
        ----------
        {x}
        {geometry}
        alpha : float or array_like of shape [C]
            What every weight is at least: a finite number that is not negative, or one per channel of the dtype of x or
            float64.
        lam : float or array_like of shape [C]
            How fast weights grow with the distance from the reference, 0 for an average: as `alpha`.
        symmetric : bool, default True
            Whether elements below the reference count as those above it.
        normalize : 'none', 'mean' or 'sum', default 'none'
            What squared distances are divided by: nothing, or their mean or sum over the window.
        eps2 : float, default 1e-3
            What is added to squared distances, greater than 0.
        filter : array_like of shape [C, *sizes] or [1, *sizes], optional
            A filter that makes the reference, of the dtype of x or float64. It reads zeros beyond the input.
        filter_padding : int or tuple, optional
            How far the filter reaches beyond the input, as `padding`; it must have as many windows. By default it is centred on
            the element where the window begins without padding.
        bias : float or array_like of shape [C], optional
            What is added to the filter's result.
        reference : array_like, optional
            The reference itself, of the shape of the result and the dtype of x, in place of a filter.
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
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> cpool.dpp_pool(x, 2, alpha=0.5, lam=1.0, symmetric=False).round(6)
        array([[2.855462]])
        """
        return _core.tapwise(self, False, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "detail",
                             {"alpha": alpha, "lam": lam, "filter": filter, "bias": bias, "reference": reference}, out,
                             None, (symmetric, normalize, eps2, filter_padding))

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
        alpha: ArrayLike,
        lam: ArrayLike,
        symmetric: bool = True,
        normalize: Literal["none", "mean", "sum"] = "none",
        eps2: float = 1e-3,
        filter: ArrayLike | None = None,  # noqa: A002
        filter_padding: Sizes | Sequence[SupportsIndex | tuple[SupportsIndex, SupportsIndex]] | None = None,
        bias: ArrayLike | None = None,
        reference: ArrayLike | None = None,
        out: Out = None,
    ) -> tuple[Array, _core.Saved]:
        """Return the mean of every window that keeps details, and what ``backward`` needs.

        Parameters
        ----------
        {x}
        {geometry}
        alpha : float or array_like of shape [C]
            What every weight is at least: a finite number that is not negative, or one per channel of the dtype of x or
            float64.
        lam : float or array_like of shape [C]
            How fast weights grow with the distance from the reference, 0 for an average: as `alpha`.
        symmetric : bool, default True
            Whether elements below the reference count as those above it.
        normalize : 'none', 'mean' or 'sum', default 'none'
            What squared distances are divided by: nothing, or their mean or sum over the window.
        eps2 : float, default 1e-3
            What is added to squared distances, greater than 0.
        filter : array_like of shape [C, *sizes] or [1, *sizes], optional
            A filter that makes the reference, of the dtype of x or float64. It reads zeros beyond the input.
        filter_padding : int or tuple, optional
            How far the filter reaches beyond the input, as `padding`; it must have as many windows. By default it is centred on
            the element where the window begins without padding.
        bias : float or array_like of shape [C], optional
            What is added to the filter's result.
        reference : array_like, optional
            The reference itself, of the shape of the result and the dtype of x, in place of a filter.
        {out}

        Returns
        -------
        {y}
        {saved}
            It keeps x and `reference`, not copies: they are to stay as they are until ``backward``.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> x = np.array([[1.0, 2.0], [4.0, 0.0]])
        >>> y, saved = cpool.dpp_pool.forward(x, 2, alpha=0.5, lam=1.0)
        >>> cpool.dpp_pool.backward(np.ones_like(y), saved, wrt='x').round(6)
        array([[ 0.137711, -0.065979],
               [ 0.50495 ,  0.423318]])
        """
        return _core.tapwise(self, True, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, "detail",
                             {"alpha": alpha, "lam": lam, "filter": filter, "bias": bias, "reference": reference}, out,
                             None, (symmetric, normalize, eps2, filter_padding))


class KmaxPool(_OneGradient):
    """The k largest elements along an axis, in their order there: k-max pooling [1]_.

    .. code-block:: text

        y = the k largest of a row, first come first; of equal ones the first are kept, NaN is largest
        dx at their positions = dy, 0 elsewhere

    References
    ----------
    .. [1] N. Kalchbrenner, E. Grefenstette, P. Blunsom, "A Convolutional Neural Network for Modelling Sentences", ACL 2014.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.kmax_pool(np.array([1.0, 2.0, 5.0, 3.0]), 2)
    array([5., 3.])
    """

    __slots__ = ()
    __name__ = "kmax_pool"

    def __call__(
        self, x: ArrayLike, k: SupportsIndex, *, axis: SupportsIndex = -1, lengths: ArrayLike | None = None, out: Out = None
    ) -> Array:
        """Return the k largest elements of every row.

        Parameters
        ----------
        {x}
        k : int
            How many, at most as many as a row has, or any number where there are `lengths`.
        axis : int, default -1
            The axis along which the rows go.
        lengths : array_like of int64, optional
            How many elements each row has, of the shape of the first axes of x. Elements behind them do not exist; where fewer
            than k are left, the rest of the result is 0.
        {out}

        Returns
        -------
        y : ndarray
            The result, of the dtype of x, with length k along `axis`; `out` itself where it was given.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> cpool.kmax_pool(np.array([[1.0, 2.0, 5.0], [4.0, 0.0, 1.0]]), 2, lengths=[3, 1])
        array([[2., 5.],
               [4., 0.]])
        """
        return _core.largest(self, False, x, k, axis, lengths, out)

    def forward(
        self, x: ArrayLike, k: SupportsIndex, *, axis: SupportsIndex = -1, lengths: ArrayLike | None = None, out: Out = None
    ) -> tuple[Array, _core.Saved]:
        """Return the k largest elements of every row, and where they are.

        Parameters
        ----------
        {x}
        k : int
            How many, at most as many as a row has, or any number where there are `lengths`.
        axis : int, default -1
            The axis along which the rows go.
        lengths : array_like of int64, optional
            How many elements each row has, of the shape of the first axes of x. Elements behind them do not exist; where fewer
            than k are left, the rest of the result is 0.
        {out}

        Returns
        -------
        y : ndarray
            The result, of the dtype of x, with length k along `axis`; `out` itself where it was given.
        {saved}
            ``saved.indices`` are the positions along the axis, -1 for none. It does not keep x.

        Raises
        ------
        {raises}

        Examples
        --------
        >>> import numpy as np, cpool
        >>> y, saved = cpool.kmax_pool.forward(np.array([4.0, 0.0, 1.0, 2.0]), 2)
        >>> saved.indices
        array([0, 3])
        >>> cpool.kmax_pool.backward([1.0, 2.0], saved)
        array([1., 0., 0., 2.])
        """
        return _core.largest(self, True, x, k, axis, lengths, out)

    def output_shape(self, x_shape: Sequence[int], k: SupportsIndex, *, axis: SupportsIndex = -1) -> tuple[int, ...]:
        """Return the shape of the result for an input of shape `x_shape`.

        Parameters
        ----------
        x_shape : tuple of int
            Shape of x.
        k, axis
            As of the call without lengths.

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
        >>> cpool.kmax_pool.output_shape((8, 48, 30), 4)
        (8, 48, 4)
        """
        return _core.largest_output_shape(x_shape, k, axis)


soft_pool = SoftPool()
lip_pool = LipPool()
stochastic_pool = StochasticPool()
mixed_pool = MixedPool()
gated_pool = GatedPool()
tree_pool = TreePool()
rank_pool = RankPool()
ada_pool = AdaPool()
dpp_pool = DppPool()
kmax_pool = KmaxPool()


def _truth(value: object, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r} must be True or False")
    return bool(value)


def _integer(value: object, name: str, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}={value!r} must be an integer")
    number: int = value.__index__()
    if number < least:
        raise ValueError(f"{name}={number} must be at least {least}")
    return number


def dynamic_k(layer: SupportsIndex, layers: SupportsIndex, length: SupportsIndex, k_top: SupportsIndex) -> int:
    """Return how many elements a layer of dynamic k-max pooling [1]_ keeps.

    That is ``max(k_top, ceil((layers - layer) * length / layers))``, in integers.

    It is not clipped to `length`; the caller decides.

    Parameters
    ----------
    layer : int
        Which layer, 1 to `layers`.
    layers : int
        How many layers there are.
    length : int
        Length of the input of the first.
    k_top : int
        How many the last layer keeps.

    Returns
    -------
    int

    Raises
    ------
    ValueError, TypeError
        If an argument is no integer or out of range.

    References
    ----------
    .. [1] N. Kalchbrenner, E. Grefenstette, P. Blunsom, "A Convolutional Neural Network for Modelling Sentences", ACL 2014.

    Examples
    --------
    >>> import cpool
    >>> [cpool.dynamic_k(layer, 3, 18, 3) for layer in (1, 2, 3)]
    [12, 6, 3]
    """
    of = _integer(layers, "layers", 1)
    at, size, least = _integer(layer, "layer", 1), _integer(length, "length", 0), _integer(k_top, "k_top", 1)
    if at > of:
        raise ValueError(f"layer={at} must be 1 to layers={of}")
    return max(least, ((of - at) * size + of - 1) // of)


def _parameters(value: ArrayLike, name: str) -> Array:
    array: Array = np.asarray(value)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; it must be float32 or float64")
    if array.ndim < 1 or array.shape[-1] < 1:
        raise ValueError(f"{name} has shape {array.shape}; its last axis are the ranks, at least one")
    return array


def softmax_weights(theta: ArrayLike, dweight: ArrayLike | None = None) -> Array:
    """Return weights of ``rank_pool`` that are positive and sum to 1, as sort_pool2d learns them, or the gradient of that map.

    .. code-block:: text

        weight = exp(theta) / sum of exp(theta)
        dtheta = weight (dweight - sum of weight dweight)

    Parameters
    ----------
    theta : array_like of float32 or float64, [R] or [C, R]
        What is learned.
    dweight : array_like, optional
        The gradient with respect to the weights, as ``rank_pool.backward`` gives it.

    Returns
    -------
    ndarray
        The weights, or with `dweight` the gradient with respect to theta.

    Raises
    ------
    ValueError, TypeError
        If theta is no row of weights, or no row per channel, of float32 or float64.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> theta = np.log([3.0, 1.0])
    >>> cpool.softmax_weights(theta).round(6)
    array([0.75, 0.25])
    >>> cpool.softmax_weights(theta, [1.0, 0.0]).round(6)
    array([ 0.1875, -0.1875])
    """
    array = _parameters(theta, "theta")
    power = np.exp(array - array.max(axis=-1, keepdims=True))
    weight: Array = power / power.sum(axis=-1, keepdims=True)
    if dweight is None:
        return weight
    gradient = np.asarray(dweight, array.dtype)
    return np.asarray(weight * (gradient - (weight * gradient).sum(axis=-1, keepdims=True)), array.dtype)


def clipped_weights(theta: ArrayLike, dweight: ArrayLike | None = None) -> Array:
    """Return weights of ``rank_pool`` that are not negative and sum to 1, as ordinal pooling learns them, or their gradient.

    .. code-block:: text

        clipped = max(theta, 0)    weight = clipped / sum of clipped
        dtheta = (dweight - sum of weight dweight) / sum of clipped where theta > 0, else 0

    Where nothing is above 0 all weights are equal, and have no gradient.

    Parameters
    ----------
    theta : array_like of float32 or float64, [R] or [C, R]
        What is learned.
    dweight : array_like, optional
        The gradient with respect to the weights, as ``rank_pool.backward`` gives it.

    Returns
    -------
    ndarray
        The weights, or with `dweight` the gradient with respect to theta.

    Raises
    ------
    ValueError, TypeError
        If theta is no row of weights, or no row per channel, of float32 or float64.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.clipped_weights([3.0, -1.0, 1.0])
    array([0.75, 0.  , 0.25])
    """
    array = _parameters(theta, "theta")
    clipped = np.maximum(array, 0)
    total = clipped.sum(axis=-1, keepdims=True)
    none = total == 0
    weight: Array = np.where(none, 1 / array.shape[-1], clipped / np.where(none, 1, total)).astype(array.dtype)
    if dweight is None:
        return weight
    gradient = np.asarray(dweight, array.dtype)
    change = (gradient - (weight * gradient).sum(axis=-1, keepdims=True)) / np.where(none, 1, total)
    return np.where((array > 0) & ~none, change, 0).astype(array.dtype)
