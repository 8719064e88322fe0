"""The contract of the Python interface: what goes in, what comes out, and how it runs."""

import copy
import gc
import inspect
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

import cpool

WINDOW_OPERATORS = [cpool.max_pool, cpool.min_pool, cpool.avg_pool, cpool.lp_pool, cpool.l2_pool, cpool.soft_pool]
OPERATORS = [*WINDOW_OPERATORS, cpool.max_unpool]
NAMES = [op.__name__ for op in OPERATORS]
all_operators = pytest.mark.parametrize("op", OPERATORS, ids=NAMES)
window_operators = pytest.mark.parametrize("op", WINDOW_OPERATORS, ids=NAMES[:-1])


def image(shape=(2, 3, 8, 6), dtype=np.float32):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def unpool_indices(x):
    """Positions for max_unpool with window 2 that differ within every plane."""
    size = x.shape[-2] * x.shape[-1]
    return np.broadcast_to(np.arange(size).reshape(x.shape[-2:]) * 4, x.shape)


def arguments(op, x):
    return (x, unpool_indices(x), 2) if op is cpool.max_unpool else (x, 2)


# ---- Operators are objects -------------------------------------------------------------------------------------------


@all_operators
def test_repr_and_identity(op):
    assert repr(op) == f"<cpool operator {op.__name__}>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(op, protocol)) is op
    assert copy.copy(op) is op and copy.deepcopy(op) is op


@all_operators
def test_operators_are_immutable(op):
    with pytest.raises(AttributeError):
        op.anything = 1


GEOMETRY = ["stride", "padding", "dilation", "ceil_mode", "axes", "channel_axis"]
FURTHER = {
    "avg_pool": ["count_include_pad", "divisor_override"],
    "lp_pool": ["p", "norm"],
    "soft_pool": ["beta"],
}


@window_operators
@pytest.mark.parametrize("method", ["__call__", "forward"])
def test_signature(op, method):
    signature = inspect.signature(getattr(op, method))
    assert list(signature.parameters) == ["x", "window", *GEOMETRY, *FURTHER.get(op.__name__, []), "out"]
    defaults = {name: p.default for name, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "axes": None, "channel_axis": None,
            "out": None}.items() <= defaults.items()
    if method == "__call__":
        assert inspect.signature(op) == signature


@all_operators
def test_signature_of_backward(op):
    assert list(inspect.signature(op.backward).parameters) == ["dy", "saved", "wrt", "out"]


def test_signature_of_unpool():
    assert list(inspect.signature(cpool.max_unpool).parameters) == [
        "x", "indices", "window", "stride", "padding", "dilation", "axes", "channel_axis", "output_size", "duplicates", "out"]


def test_public_names():
    assert all(hasattr(cpool, name) for name in cpool.__all__)
    assert cpool.__version__.count(".") == 2


# ---- Windows ---------------------------------------------------------------------------------------------------------


def test_adaptive_and_whole_are_values():
    assert repr(cpool.adaptive(7, 5)) == "cpool.adaptive(7, 5)" and repr(cpool.whole) == "cpool.whole"
    assert cpool.adaptive(7, 5) == cpool.adaptive(7, 5) != cpool.adaptive(5, 7)
    assert cpool.adaptive(7, 5) != (7, 5)
    assert len({cpool.adaptive(7, 5), cpool.adaptive(7, 5)}) == 1
    assert pickle.loads(pickle.dumps(cpool.adaptive(7, 5))) == cpool.adaptive(7, 5)
    assert pickle.loads(pickle.dumps(cpool.whole)) is cpool.whole is copy.deepcopy(cpool.whole)
    with pytest.raises(AttributeError):
        cpool.adaptive(7, 5).sizes = (1, 1)


@pytest.mark.parametrize("ndim, window, axes, pooled", [
    (2, 2, None, (0, 1)),
    (4, 2, None, (2, 3)),
    (1, (2,), None, (0,)),
    (3, (2,), None, (2,)),
    (3, (2, 2), None, (1, 2)),
    (3, (2, 2, 2), None, (0, 1, 2)),
    (5, (2, 2, 2), None, (2, 3, 4)),
    (3, 2, (0, 2), (0, 2)),
    (3, 2, 1, (1,)),
    (3, 2, (-3, -1), (0, 2)),
    (4, 2, (1, 2), (1, 2)),
    (6, 2, (5, 0), (0, 5)),
    (4, cpool.whole, None, (2, 3)),
    (3, cpool.whole, (0,), (0,)),
    (3, cpool.whole, (0, 1, 2), (0, 1, 2)),
    (3, cpool.adaptive(2), None, (2,)),
    (3, cpool.adaptive(2, 2, 2), None, (0, 1, 2)),
    (3, [2, 2], None, (1, 2)),
    (4, np.int64(2), None, (2, 3)),
])
def test_rank(ndim, window, axes, pooled):
    x = image((4,) * ndim)
    small = 1 if window is cpool.whole else 2
    shape = tuple(small if i in pooled else 4 for i in range(ndim))
    assert cpool.max_pool(x, window, axes=axes).shape == shape
    assert cpool.max_pool.output_shape(x.shape, window, axes=axes) == shape


@pytest.mark.parametrize("ndim, window, message", [
    (3, 3, r"window=3 is ambiguous for 3-d x: \(3,\) pools the last axis, \(3, 3\) the last two"),
    (1, 3, r"window=3 is ambiguous for 1-d x: \(3,\) pools the last axis"),
    (5, 3, r"window=3 is ambiguous for 5-d x: \(3, 3\) pools the last two, \(3, 3, 3\) the last three"),
    (3, cpool.whole,
     r"window=cpool.whole is ambiguous for 3-d x: axes=\(-1,\) pools the last axis, axes=\(-2, -1\) the last two"),
])
def test_ambiguous_rank(ndim, window, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        cpool.max_pool(image((4,) * ndim), window)


def test_spelling_of_padding():
    x = image()
    both = cpool.max_pool(x, 3, padding=1)
    assert np.array_equal(both, cpool.max_pool(x, 3, padding=(1, 1)))
    assert np.array_equal(both, cpool.max_pool(x, 3, padding=((1, 1), (1, 1))))
    assert np.array_equal(both, cpool.max_pool(x, 3, padding=[[1, 1], 1]))
    assert cpool.max_pool(x, 3, stride=1, padding=((2, 0), (0, 1))).shape == (2, 3, 8, 5)
    assert np.array_equal(cpool.max_pool(x, 3, padding="valid"), cpool.max_pool(x, 3))
    assert np.array_equal(cpool.max_pool(x, 2, stride=1, padding="same"), cpool.max_pool(x, 2, stride=1, padding="same_upper"))
    assert not np.array_equal(cpool.max_pool(x, 2, stride=1, padding="same"),
                              cpool.max_pool(x, 2, stride=1, padding="same_lower"))
    assert cpool.max_pool(image((7,)), (3,), stride=1, padding=((1, 0),)).shape == (6,)


def test_plain_functions():
    x = image()
    assert np.array_equal(cpool.global_avg_pool(x), cpool.avg_pool(x, cpool.whole))
    assert np.array_equal(cpool.global_max_pool(x), x.max(axis=(2, 3), keepdims=True))
    assert np.array_equal(cpool.global_max_pool(x, axes=(1, 2)), x.max(axis=(1, 2), keepdims=True))
    assert np.array_equal(cpool.global_max_pool(x[0], axes=0), x[0].max(axis=0, keepdims=True))
    assert np.array_equal(cpool.adaptive_avg_pool(x, (3, 2)), cpool.avg_pool(x, cpool.adaptive(3, 2)))
    assert np.array_equal(cpool.adaptive_max_pool(x, 3), cpool.max_pool(x, cpool.adaptive(3, 3)))
    assert np.array_equal(cpool.adaptive_max_pool(x, [3, 3]), cpool.max_pool(x, cpool.adaptive(3, 3)))
    assert cpool.adaptive_max_pool(x, 5, axes=1).shape == (2, 5, 8, 6)


@window_operators
@pytest.mark.parametrize("given", [
    {"window": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"window": (2, 3), "dilation": (2, 1), "axes": (1, 2)},
    {"window": cpool.adaptive(5, 3)},
    {"window": cpool.whole},
    {"window": 3, "padding": "same", "channel_axis": 0},
])
def test_output_shape(op, given):
    x = image()
    assert op.output_shape(x.shape, **given) == op(x, **given).shape
    assert op.output_shape(list(x.shape), **given) == op(x, **given).shape


def test_output_shape_of_unpool():
    x = image((2, 3, 4, 4))
    for given in ({}, {"stride": 3}, {"output_size": (8, 9)}):
        assert cpool.max_unpool.output_shape(x.shape, 2, **given) == cpool.max_unpool(x, unpool_indices(x), 2, **given).shape


# ---- Arrays ----------------------------------------------------------------------------------------------------------


def record_field(x):
    """x as the misaligned field of a packed record."""
    records = np.zeros(x.shape, np.dtype([("flag", "u1"), ("value", x.dtype)]))
    records["value"] = x
    assert not records["value"].flags.aligned
    return records["value"]


MEMORY = {
    "C order": lambda x: x,
    "Fortran order": np.asfortranarray,
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": record_field,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "list": lambda x: x.tolist(),
}


@all_operators
@pytest.mark.parametrize("memory", MEMORY)
def test_memory_of_x(op, memory):
    x = image((2, 3, 4, 4), np.float64)
    y = op(*arguments(op, x))
    again = op(MEMORY[memory](x), *arguments(op, x)[1:])
    assert type(again) is np.ndarray and again.dtype == np.float64 and again.dtype.isnative
    assert np.array_equal(y, again)


@all_operators
@pytest.mark.parametrize("memory", MEMORY)
def test_memory_of_dy(op, memory):
    x = image((2, 3, 4, 4), np.float64)
    y, saved = op.forward(*arguments(op, x))
    dx = op.backward(y, saved, wrt="x")
    again = op.backward(MEMORY[memory](y), saved, wrt="x")
    assert type(again) is np.ndarray and np.array_equal(dx, again)


@all_operators
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(op, dtype):
    x = image((2, 3, 4, 4), dtype)
    y, saved = op.forward(*arguments(op, x))
    assert y.dtype == dtype and op.backward(y, saved, wrt="x").dtype == dtype


def test_steps_of_zero():
    row = image((8,))
    x = np.broadcast_to(row, (3, 8))
    assert np.array_equal(cpool.max_pool(x, 2, stride=1), np.broadcast_to(cpool.max_pool(row, (2,), stride=1), (2, 7)))


def test_scalars_and_empty_batches():
    assert cpool.max_pool([[1.0, 2.0]], (2,)).tolist() == [[2.0]]
    y, saved = cpool.max_pool.forward(np.empty((0, 3, 4, 4), np.float32), 2)
    assert y.shape == (0, 3, 2, 2) and cpool.max_pool.backward(y, saved).shape == (0, 3, 4, 4)
    assert saved.indices.shape == (0, 3, 2, 2)


def test_subclasses_come_out_as_arrays(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 4))
    x[...] = image((4, 4))
    assert type(cpool.max_pool(x, 2)) is np.ndarray
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(image((4, 4)))
    assert type(cpool.max_pool(matrix, 2)) is np.ndarray
    y, saved = cpool.lp_pool.forward(x, 2)
    assert all(type(a) is np.ndarray for a in cpool.lp_pool.backward(y, saved, wrt=("x",))[:1])


@window_operators
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_results_lie_in_memory_as_x_does(op, order):
    x = np.ascontiguousarray(image((2, 3, 8, 6)).transpose(order)).transpose(np.argsort(order))
    y, saved = op.forward(x, 2)
    for result in (y, op(x, 2), op.backward(y, saved, wrt="x"), *([saved.indices] if hasattr(saved, "indices") else [])):
        assert result.transpose(order).flags.c_contiguous
    y = op(x[..., ::2, ::-1], 2)
    assert y.transpose(order).flags.c_contiguous


def test_axes_that_do_not_step_lie_as_in_c_order():
    assert cpool.max_pool(np.broadcast_to(image((4, 6)), (3, 4, 6)), (2, 2)).flags.c_contiguous
    x = np.ascontiguousarray(image((2, 8, 6)).transpose(1, 2, 0)).transpose(2, 0, 1)[:, None]
    assert cpool.max_pool(x, 2).transpose(2, 3, 0, 1).flags.c_contiguous


def test_many_axes():
    x = image((1,) * 30 + (4, 4))
    assert cpool.max_pool(x, (2, 2)).shape == (1,) * 30 + (2, 2)


# ---- out -------------------------------------------------------------------------------------------------------------


@all_operators
def test_out_is_returned(op):
    x = image((2, 3, 4, 4))
    y, saved = op.forward(*arguments(op, x))
    for out in (np.empty_like(y), np.empty(y.shape[::-1], y.dtype).T, np.empty((*y.shape, 2), y.dtype)[..., 1],
                np.empty_like(y)[..., ::-1]):
        assert op(*arguments(op, x), out=out) is out and np.array_equal(out, y)
        out[...] = 7
        assert op(*arguments(op, x), out=(out,)) is out and np.array_equal(out, y)
        out[...] = 7
        assert op.forward(*arguments(op, x), out=out)[0] is out and np.array_equal(out, y)
    dx = op.backward(y, saved, wrt="x")
    out = np.full_like(dx, 7)
    assert op.backward(y, saved, wrt="x", out=out) is out and np.array_equal(out, dx)


def test_out_may_be_a_subclass(tmp_path):
    x = image((4, 4))
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=(2, 2))
    assert cpool.max_pool(x, 2, out=out) is out and np.array_equal(out, cpool.max_pool(x, 2))


def test_interleaved_views_are_fine():
    both = np.empty((4, 4, 2), np.float32)
    both[..., 0] = image((4, 4))
    y = cpool.max_pool(both[..., 0], 2)
    assert np.array_equal(cpool.max_pool(both[..., 0], 2, out=both[:2, :2, 1]), y)


# ---- saved and backward ----------------------------------------------------------------------------------------------


@all_operators
def test_saved_survives_pickling(op):
    x = image((2, 3, 4, 4))
    y, saved = op.forward(*arguments(op, x))
    dx = op.backward(y, saved, wrt="x")
    for other in (pickle.loads(pickle.dumps(saved)), copy.deepcopy(saved), copy.copy(saved)):
        assert other.op is op and other.nbytes == saved.nbytes
        assert np.array_equal(op.backward(y, other, wrt="x"), dx)
        if op in (cpool.max_pool, cpool.min_pool, cpool.max_unpool):
            assert np.array_equal(other.indices, saved.indices)


def test_saved_keeps_what_backward_needs():
    x = image()
    nbytes = {op.__name__: op.forward(x, 2)[1].nbytes for op in WINDOW_OPERATORS}
    results = x.size // 4
    assert nbytes == {"max_pool": results, "min_pool": results, "avg_pool": 0, "lp_pool": x.nbytes, "l2_pool": x.nbytes,
                      "soft_pool": x.nbytes}
    assert cpool.max_pool.forward(image((1, 1, 32, 32)), 16)[1].nbytes == 4 * 4
    indices = unpool_indices(image((2, 3, 4, 4))).copy()
    assert cpool.max_unpool.forward(image((2, 3, 4, 4)), indices, 2)[1].nbytes == indices.nbytes


@all_operators
def test_saved_keeps_x_only_where_needed(op):
    x = image((2, 3, 4, 4))
    y, saved = op.forward(*arguments(op, x))
    reference = weakref.ref(x)
    del x
    gc.collect()
    assert (reference() is not None) == (op in (cpool.lp_pool, cpool.l2_pool, cpool.soft_pool))
    assert op.backward(y, saved, wrt="x").shape == (2, 3, 4, 4)


@all_operators
def test_saved_is_immutable(op):
    saved = op.forward(*arguments(op, image((2, 3, 4, 4))))[1]
    assert repr(saved).startswith(f"<cpool saved of {op.__name__}")
    for name in ("op", "nbytes", "indices", "anything"):
        with pytest.raises(AttributeError):
            setattr(saved, name, None)


def test_indices():
    x = image((2, 3, 8, 6))
    y, saved = cpool.max_pool.forward(x, 3, stride=2, padding=1)
    assert saved.indices.dtype == np.int64 and saved.indices.shape == y.shape
    assert np.array_equal(np.take_along_axis(x.reshape(2, 3, -1), saved.indices.reshape(2, 3, -1), 2).reshape(y.shape), y)
    for op in (cpool.avg_pool, cpool.lp_pool, cpool.l2_pool):
        assert not hasattr(op.forward(x, 2)[1], "indices")
        with pytest.raises(AttributeError, match=op.__name__):
            _ = op.forward(x, 2)[1].indices


@pytest.mark.parametrize("op", [cpool.max_pool, cpool.avg_pool, cpool.l2_pool, cpool.max_unpool])
def test_backward_of_one_input(op):
    x = image((2, 3, 4, 4))
    y, saved = op.forward(*arguments(op, x))
    dx = op.backward(y, saved)
    assert type(dx) is np.ndarray and dx.shape == x.shape
    assert np.array_equal(op.backward(y, saved, wrt="x"), dx)
    assert np.array_equal(op.backward(y, saved, wrt=("x",)).x, dx)


@pytest.mark.parametrize("p, kind, shape", [
    (2.0, np.float64, ()), (3, np.float64, ()), (np.float32(2), np.ndarray, ()), (np.int8(2), np.float64, ()),
    (np.array(2.5), np.ndarray, ()), (np.array([1.5, 2, 3], np.float32), np.ndarray, (3,)),
    (np.array([1.5, 2, 3]), np.ndarray, (3,)), ([1, 2, 3], np.ndarray, (3,)), (np.array([2.0]), np.ndarray, (1,)),
])
def test_backward_of_lp(p, kind, shape):
    x = image((2, 3, 4, 4))
    y, saved = cpool.lp_pool.forward(x, 2, p=p)
    grads = cpool.lp_pool.backward(y, saved)
    assert grads._fields == ("x", "p") and isinstance(grads.p, kind) and grads.p.shape == shape
    assert grads.p.dtype == (p.dtype if isinstance(p, (np.ndarray, np.floating)) else np.float64)
    assert np.array_equal(cpool.lp_pool.backward(y, saved, wrt="x"), grads.x)
    assert np.array_equal(cpool.lp_pool.backward(y, saved, wrt="p"), grads.p)
    both = cpool.lp_pool.backward(y, saved, wrt=("p", "x"))
    assert np.array_equal(both.x, grads.x) and np.array_equal(both.p, grads.p)
    only = cpool.lp_pool.backward(y, saved, wrt=("p",))
    assert only.x is None and np.array_equal(only.p, grads.p)
    out = np.empty_like(x)
    assert cpool.lp_pool.backward(y, saved, out=out).x is out
    assert np.array_equal(cpool.lp_pool.backward(y, pickle.loads(pickle.dumps(saved))).p, grads.p)


def test_backward_uses_the_p_of_forward():
    x, p = image((2, 3, 4, 4)), np.array([1.5, 2, 3])
    y, saved = cpool.lp_pool.forward(x, 2, p=p)
    dx = cpool.lp_pool.backward(y, saved, wrt="x")
    p += 1
    assert np.array_equal(cpool.lp_pool.backward(y, saved, wrt="x"), dx)


def test_channel_axis():
    x, p = image((2, 3, 4, 4)), np.array([1.0, 2.0])
    y = cpool.lp_pool(x, 2, p=p, channel_axis=0)
    assert np.array_equal(y, cpool.lp_pool(x, 2, p=p, channel_axis=-4))
    assert np.array_equal(y[1], cpool.lp_pool(x[1], (2, 2), p=2.0))


def test_wrt_of_nothing_else():
    x = image((4, 4))
    y, saved = cpool.lp_pool.forward(x, 2)
    with pytest.raises(ValueError, match="out"):
        cpool.lp_pool.backward(y, saved, wrt="p", out=np.empty_like(x))


# ---- Threads and instruction sets ------------------------------------------------------------------------------------


def test_threads_are_per_context():
    before = cpool.get_num_threads()
    with cpool.num_threads(3):
        assert cpool.get_num_threads() == 3
        with cpool.num_threads(2), cpool.using_isa("scalar"):
            assert (cpool.get_num_threads(), cpool.isa()) == (2, "scalar")
            inner = copy_context()
            with ThreadPoolExecutor(1) as other:
                assert other.submit(cpool.get_num_threads).result() == before
        assert cpool.get_num_threads() == 3
        assert inner.run(cpool.get_num_threads) == 2
    assert cpool.get_num_threads() == before


def test_set_num_threads_is_global():
    before = cpool.get_num_threads()
    try:
        cpool.set_num_threads(5)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(cpool.get_num_threads).result() == 5 == cpool.get_num_threads()
    finally:
        cpool.set_num_threads(before)


def test_isa_is_per_context():
    before = cpool.isa()
    assert before in cpool.isas() and cpool.isas()[0] == "scalar"
    for name in cpool.isas():
        with cpool.using_isa(name):
            assert cpool.isa() == name
            with cpool.num_threads(1):
                assert cpool.isa() == name
    assert cpool.isa() == before


@all_operators
def test_bits_do_not_depend_on_how_it_runs(op):
    x = image((4, 8, 64, 64))
    y, saved = op.forward(*arguments(op, x))
    dx = op.backward(y, saved, wrt="x")
    for threads in (1, 2, 3, 7):
        for isa in cpool.isas():
            with cpool.num_threads(threads), cpool.using_isa(isa):
                assert op(*arguments(op, x)).tobytes() == y.tobytes()
                assert op.backward(y, saved, wrt="x").tobytes() == dx.tobytes()


def test_calls_from_many_threads():
    x = image((4, 8, 64, 64))
    y = cpool.lp_pool(x, 3, stride=2)
    failures = []

    def work():
        for _ in range(5):
            if not np.array_equal(cpool.lp_pool(x, 3, stride=2), y):
                failures.append(threading.current_thread())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def run_python(program, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in ("CPOOL_NUM_THREADS", "OMP_NUM_THREADS", "CPOOL_ISA")}
    return subprocess.run([sys.executable, "-c", program], env=clean | environment, capture_output=True, text=True, timeout=60)


THREADS = "import cpool; print(cpool.get_num_threads())"


@pytest.mark.parametrize("environment, threads", [
    ({"CPOOL_NUM_THREADS": "3"}, 3),
    ({"CPOOL_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
    ({"OMP_NUM_THREADS": "5"}, 5),
    ({"OMP_NUM_THREADS": "4,2"}, 4),
    ({"CPOOL_NUM_THREADS": ""}, None),
    ({"OMP_NUM_THREADS": "many"}, None),
    ({}, None),
])
def test_threads_of_the_environment(environment, threads):
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert run_python(THREADS, **environment).stdout == f"{threads}\n"


@pytest.mark.parametrize("value", ["two", "0", "-1", "1.5", "99999999999999999999"])
def test_wrong_threads_in_the_environment(value):
    run = run_python(THREADS, CPOOL_NUM_THREADS=value)
    assert run.returncode != 0 and f"CPOOL_NUM_THREADS={value}" in run.stderr.replace("'", "")


def test_isa_of_the_environment():
    assert run_python("import cpool; print(cpool.isa())", CPOOL_ISA="scalar").stdout == "scalar\n"
    assert run_python("import cpool; print(cpool.isa())", CPOOL_ISA="").stdout == f"{cpool.isas()[-1]}\n"
    absent = next(name for name in ("neon", "avx2") if name not in cpool.isas())
    for name, what in (("altivec", "unknown"), (absent, "not available")):
        run = run_python("import cpool", CPOOL_ISA=name)
        assert run.returncode != 0 and f"CPOOL_ISA='{name}' in the environment is {what}; this CPU has: scalar" in run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_after_parallel_work():
    program = """
import os, numpy as np, cpool
x = np.random.default_rng(0).normal(size=(8, 16, 128, 128))
with cpool.num_threads(2):
    y = cpool.max_pool(x, 2)
    child = os.fork()
    same = np.array_equal(cpool.max_pool(x, 2), y)
    if child == 0:
        os._exit(0 if same else 1)
    assert same and os.waitpid(child, 0)[1] == 0
"""
    run = run_python(program)
    assert run.returncode == 0, run.stderr


# ---- The installation ------------------------------------------------------------------------------------------------


def test_show_config(capsys):
    cpool.show_config()
    text = capsys.readouterr().out
    assert cpool.__version__ in text and cpool.isa() in text and np.__version__ in text


def test_get_include():
    assert os.path.exists(os.path.join(cpool.get_include(), "cpool", "cpool.h"))


def test_import_is_light():
    program = ("import sys, numpy, numpy.typing; before = set(sys.modules); import cpool; "
               "print(*sorted(set(sys.modules) - before))")
    loaded = run_python(program).stdout.split()
    # What Cython makes, a name of NumPy that it has not loaded by itself, locks, and variables of a context.
    others = [name for name in loaded if not name.startswith(("cpool", "_cython_", "cython_runtime"))]
    expected = {"__future__", "numpy._core", "numpy._core._multiarray_umath", "threading", "contextvars", "_contextvars"}
    assert set(others) <= expected, others
    assert "cpool.demo" not in loaded


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs a C compiler and LD_PRELOAD")
@pytest.mark.parametrize("function", ['const char *cpool_version(void) { return "9.9.9"; }',
                                      "int cpool_abi_version(void) { return 99; }"])
def test_another_library_is_refused(function, tmp_path):
    (tmp_path / "other.c").write_text(function)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "other.so", tmp_path / "other.c"], check=True)
    run = run_python("import cpool", LD_PRELOAD=str(tmp_path / "other.so"))
    assert run.returncode != 0 and "ImportError" in run.stderr and "99" in run.stderr.replace(".", "")


@pytest.mark.skipif(sysconfig.get_config_var("Py_GIL_DISABLED") == 1, reason="no stable ABI")
def test_the_extension_is_abi3():
    assert ".abi3." in cpool._core.__file__ or not cpool._core.__file__.endswith(".so")
