"""The windows that are not numbers: ``adaptive`` and ``whole``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, SupportsIndex, final


@final
class adaptive:
    """Windows that divide each spatial axis into a given number of bins.

    Bin ``i`` of an axis of length ``n`` covers the elements ``floor(i * n / size)`` to ``ceil((i + 1) * n / size) - 1``: bins
    differ in length by at most one or two, may overlap, and may outnumber the elements (spatial pyramid pooling [1]_).

    Parameters
    ----------
    *sizes : int
        Size of the result along each spatial axis, one to three of them.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
       ECCV 2014.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> x = np.arange(5, dtype=np.float32)
    >>> cpool.avg_pool(x, cpool.adaptive(3))
    array([0.5, 2. , 3.5], dtype=float32)
    """

    __slots__ = ("sizes",)
    sizes: SupportsIndex | tuple[SupportsIndex, ...]  # one for all axes from the adaptive functions alone

    def __init__(self, *sizes: SupportsIndex) -> None:
        object.__setattr__(self, "sizes", sizes)

    @classmethod
    def _of(cls, output_size: SupportsIndex | Sequence[SupportsIndex]) -> adaptive:
        """Accept one int for all axes, whose number only the array tells."""
        if isinstance(output_size, (tuple, list)):
            return cls(*output_size)
        self = cls()
        object.__setattr__(self, "sizes", output_size)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("cpool.adaptive is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("cpool.adaptive is immutable")

    def __eq__(self, other: object) -> bool:
        return self.sizes == other.sizes if isinstance(other, adaptive) else NotImplemented

    def __hash__(self) -> int:
        return hash((adaptive, self.sizes))

    def __repr__(self) -> str:
        sizes = self.sizes if isinstance(self.sizes, tuple) else (self.sizes,)
        return f"cpool.adaptive({', '.join(map(repr, sizes))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (adaptive._of, (self.sizes,))


@final
class Whole:
    """The type of ``cpool.whole``: one window, the whole spatial plane.

    Every spatial axis of the result has length 1.

    Examples
    --------
    >>> import numpy as np, cpool
    >>> cpool.max_pool(np.array([[1.0, 5.0], [3.0, 2.0]]), cpool.whole)
    array([[5.]])
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "cpool.whole"

    def __reduce__(self) -> str:
        return "whole"


whole: Final = Whole()
