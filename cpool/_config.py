"""Threads, instruction sets, and what this installation is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from cpool import _core


def _check_threads(n: int, name: str) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{name}={n!r} must be an integer from 1 to {_core.MAX_THREADS}")
    n = n.__index__()
    if not 1 <= n <= _core.MAX_THREADS:
        raise ValueError(f"{name}={n} must be from 1 to {_core.MAX_THREADS}")
    return n


def _available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _initial_threads() -> int:
    own = os.environ.get("CPOOL_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or len(own) > 9:
            raise ValueError(f"the environment variable CPOOL_NUM_THREADS={own!r} must be from 1 to {_core.MAX_THREADS}")
        return _check_threads(int(own), "the environment variable CPOOL_NUM_THREADS")
    openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list has one entry per level of nesting
    if openmp.isdecimal() and len(openmp) <= 9 and int(openmp) >= 1:
        return min(int(openmp), _core.MAX_THREADS)
    return min(_available_cpus(), _core.MAX_THREADS)


def set_num_threads(n: int) -> None:
    """Set the number of threads that large calls are spread over, in the whole process.

    The results have the same bits for every number, and small work stays on the calling thread whatever it is.

    Parameters
    ----------
    n : int
        1 or more, the calling thread included.

    Raises
    ------
    ValueError, TypeError
        If n is not a number of threads.

    See Also
    --------
    num_threads : the same for a block of code.

    Examples
    --------
    >>> import cpool
    >>> before = cpool.get_num_threads()
    >>> cpool.set_num_threads(2)
    >>> cpool.get_num_threads()
    2
    >>> cpool.set_num_threads(before)
    """
    _core.set_threads(_check_threads(n, "n"))


def get_num_threads() -> int:
    """Return the number of threads in effect.

    It is that of the innermost ``with cpool.num_threads(n)``, else of the last ``set_num_threads``, else of the environment
    variable ``CPOOL_NUM_THREADS``, else of ``OMP_NUM_THREADS``, else the number of CPUs that this process may use.

    Returns
    -------
    int

    Examples
    --------
    >>> import cpool
    >>> cpool.get_num_threads() >= 1
    True
    """
    return _core.threads()


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use n threads in a ``with`` block: in this context (thread or asynchronous task) only.

    Parameters
    ----------
    n : int
        1 or more, the calling thread included.

    Raises
    ------
    ValueError, TypeError
        If n is not a number of threads.

    Examples
    --------
    >>> import cpool
    >>> with cpool.num_threads(1):
    ...     cpool.get_num_threads()
    1
    """
    token = _core.scope.set((_check_threads(n, "n"), _core.scope.get()[1]))
    try:
        yield
    finally:
        _core.scope.reset(token)


def isa() -> str:
    """Return the name of the instruction set in effect.

    It is that of the innermost ``with cpool.using_isa(name)``, else of the environment variable ``CPOOL_ISA``, else the best of
    this machine. The results have the same bits on every one.

    Returns
    -------
    str

    Examples
    --------
    >>> import cpool
    >>> cpool.isa() in cpool.isas()
    True
    """
    return _core.isa_name()


def isas() -> tuple[str, ...]:
    """Return the names of the instruction sets that this build and this machine have, simplest first.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import cpool
    >>> cpool.isas()[0]
    'scalar'
    """
    return _core.isa_names()


@contextmanager
def using_isa(name: str) -> Iterator[None]:
    """Use one instruction set in a ``with`` block: in this context (thread or asynchronous task) only.

    Parameters
    ----------
    name : str
        One of ``cpool.isas()``.

    Raises
    ------
    ValueError, TypeError
        If name is not an instruction set of this machine.

    Examples
    --------
    >>> import cpool
    >>> with cpool.using_isa('scalar'):
    ...     cpool.isa()
    'scalar'
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be a string, one of {', '.join(map(repr, isas()))}")
    number = _core.isa_number(name)
    if number == 0:
        raise ValueError(f"name={name!r} is not an instruction set of this machine; it has {', '.join(map(repr, isas()))}")
    token = _core.scope.set((_core.scope.get()[0], number))
    try:
        yield
    finally:
        _core.scope.reset(token)


def get_include() -> str:
    """Return the folder to give to a C compiler with ``-I``: it holds ``cpool/cpool.h``.

    Returns
    -------
    str

    Examples
    --------
    >>> import cpool, os
    >>> os.path.exists(os.path.join(cpool.get_include(), 'cpool', 'cpool.h'))
    True
    """
    package = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(package, "include")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "include")


def show_config() -> None:
    """Print the versions, the instruction sets and the threads in use: what a bug report should hold.

    Examples
    --------
    >>> import cpool
    >>> cpool.show_config()  # doctest: +ELLIPSIS
    cpool    ...
    """
    print(f"cpool    {_core.__version__} (ABI {_core.abi_version}) in {os.path.dirname(os.path.abspath(__file__))}")
    print(f"python   {platform.python_version()} ({platform.platform()})")
    print(f"numpy    {np.__version__}")
    print(f"isa      {isa()} of {', '.join(isas())}")
    print(f"threads  {get_num_threads()} of {_available_cpus()} CPUs")


_core.set_threads(_initial_threads())
isa()  # an unknown name in CPOOL_ISA is an error here, not at some later call
