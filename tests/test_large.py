"""Arrays, windows and positions beyond 2**31, with little memory: elements that lie in one place, or far apart in memory of
which only what is touched exists."""

import mmap
import subprocess
import sys
import time

import capi
import numpy as np
import pytest

import cpool

DTYPES = [np.float32, np.float64]


def spread(shape, strides, dtype):
    """Zeros with strides of any size, on pages that exist once they are written."""
    size = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + np.dtype(dtype).itemsize
    no_reserve = 0x4000 if sys.platform == "linux" else 0
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve)
    return np.ndarray(shape, dtype, memory, 0, strides)


@pytest.fixture
def row():
    return np.random.default_rng(0).permutation(1 << 16).astype(np.float32)


# ---- Planes of 2**32 elements ----------------------------------------------------------------------------------------


def test_positions_along_rows(row):
    plane = np.broadcast_to(row, (1 << 16, 1 << 16))
    starts = np.arange(3) * 32000
    y, saved = cpool.max_pool.forward(plane, (60, 700), stride=32000)
    columns = np.array([start + np.argmax(row[start : start + 700]) for start in starts])
    assert np.array_equal(y, np.broadcast_to(row[columns], (3, 3)))
    assert np.array_equal(saved.indices, starts[:, None] * (1 << 16) + columns)
    assert saved.indices.max() > 2**31


def test_positions_down_columns(row):
    plane = np.broadcast_to(row[:, None], (1 << 16, 1 << 16))
    y, saved = cpool.min_pool.forward(plane, (700, 60), stride=32000)
    starts = np.arange(3) * 32000
    rows = np.array([start + np.argmin(row[start : start + 700]) for start in starts])
    assert np.array_equal(y, np.broadcast_to(row[rows][:, None], (3, 3)))
    assert np.array_equal(saved.indices, rows[:, None] * (1 << 16) + starts)


@pytest.mark.parametrize("op", [cpool.avg_pool, cpool.l2_pool, cpool.lp_pool], ids=lambda op: op.__name__)
def test_sums_far_out(op, row):
    plane = np.broadcast_to(row, (1 << 16, 1 << 16))
    far = op(plane, (3, 70), stride=60000)
    near = op(np.broadcast_to(row[60000:], (3, 5536)), (3, 70), stride=60000)
    assert far.shape == (2, 2)
    assert np.array_equal(far[:, 1:], [near[0], near[0]])


def test_channels_last(row):
    image = np.broadcast_to(row[:, None], (1 << 15, 1 << 16, 16))
    y, saved = cpool.max_pool.forward(image, 50, stride=30000, axes=(0, 1))
    columns = np.array([start + np.argmax(row[start : start + 50]) for start in range(0, 65536, 30000)])
    assert np.array_equal(y, np.broadcast_to(row[columns][:, None], (2, 3, 16)))
    assert np.array_equal(saved.indices[..., 15], np.arange(2)[:, None] * 30000 * (1 << 16) + columns)


def test_unpooling_gradient(row):
    """Of a plane that no memory holds; of several in one place the last has the gradient."""
    dy = np.broadcast_to(row, (1 << 16, 1 << 16))
    indices = np.array([[2**32 - 1, 5, -1, 2**31], [2**31 + 7, 3, 2**31 + 7, 2**32 - 1]])
    params = capi.make_params(capi.UNPOOL, (2, 2))
    params.output_size[0] = params.output_size[1] = 1 << 16
    dx = np.full(indices.shape, np.nan, np.float32)
    capi.Call(params, {capi.GRAD | capi.Y: dy, capi.INDICES: indices, capi.GRAD | capi.X: dx}).backward()
    assert np.array_equal(dx, [[0, row[5], 0, row[0]], [0, row[3], row[7], row[-1]]])
    params.flags = capi.ADD
    capi.Call(params, {capi.GRAD | capi.Y: dy, capi.INDICES: indices, capi.GRAD | capi.X: dx}).backward()
    assert np.array_equal(dx, [[row[-1], row[5], 0, row[0]], [row[7], row[3], row[7], row[-1]]])


# ---- Axes of 2**40 elements ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_axes(dtype):
    line = np.broadcast_to(dtype(3), (1 << 40,))
    y, saved = cpool.max_pool.forward(line, (3,), stride=1 << 39)
    assert np.array_equal(y, [3, 3])
    assert np.array_equal(saved.indices, [0, 1 << 39])
    step = 1 << 38
    y, saved = cpool.max_pool.forward(line, (3,), stride=step, dilation=step, padding=((step + 5, 0),))
    assert np.array_equal(saved.indices, [step - 5, step - 5, step - 5, 2 * step - 5])
    for op, expected in [(cpool.avg_pool, 3), (cpool.l2_pool, 3), (cpool.lp_pool, np.sqrt(dtype(27)))]:
        y = op(line, (3,), stride=1 << 39, dilation=1 << 35)
        assert y.shape == (2,)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    side = 1 << 19
    box = np.broadcast_to(dtype(3), (side, side, side))
    y, saved = cpool.max_pool.forward(box, 2, axes=(0, 1, 2), stride=side - 2)
    assert np.array_equal(saved.indices.ravel(), [(d * side + h) * side + i
                                                  for d in (0, side - 2) for h in (0, side - 2) for i in (0, side - 2)])


def test_many_batch_axes():
    most = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32  # that NumPy has
    batch = (1,) * (most - 24) + (3, 1, 2) + (1,) * 17
    x = np.broadcast_to(np.float32(2), (*batch, 4, 1 << 40))
    y = cpool.avg_pool(x, (2, 2), stride=(2, 1 << 39))
    assert y.shape == (*batch, 2, 2)
    assert np.all(y == 2)


def test_results_that_no_memory_holds():
    line = np.broadcast_to(np.float64(3), (1 << 58,))
    for call in (cpool.max_pool, cpool.max_pool.forward, cpool.avg_pool, cpool.lp_pool):
        with pytest.raises((MemoryError, ValueError)):
            call(line, (1,))
    with pytest.raises((MemoryError, ValueError)):
        cpool.max_unpool(np.ones((2, 2), np.float32), np.zeros((2, 2), np.int64), 2, output_size=(1 << 30, 1 << 29))


# ---- Elements far apart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strides", [(1 << 35, 1 << 32), (1 << 32, 1 << 35), (3 * (1 << 33) + 4096, 8)])
def test_strides(strides, dtype):
    values = np.random.default_rng(0).normal(size=(5, 6)).astype(dtype)
    x, dx, y = spread((5, 6), strides, dtype), spread((5, 6), strides, dtype), spread((4, 5), strides, dtype)
    x[...] = values
    for op in (cpool.max_pool, cpool.min_pool, cpool.avg_pool, cpool.lp_pool):
        expected, saved = op.forward(values, 2, stride=1)
        gradient = op.backward(expected, saved, wrt="x")
        assert op(x, 2, stride=1, out=y) is y
        assert np.array_equal(y, expected)
        _, saved = op.forward(x[::-1, ::-1][::-1, ::-1], 2, stride=1)
        assert op.backward(y, saved, wrt="x", out=dx) is dx
        assert np.array_equal(dx, gradient)
    indices = spread((5, 6), strides if strides[1] != 8 else (1 << 33, 8), np.int64)
    indices[...] = np.random.default_rng(1).permutation(30).reshape(5, 6) - 1
    z = spread((6, 5), strides, dtype)
    cpool.max_unpool(x, indices, 2, output_size=(6, 5), out=z)
    assert np.array_equal(z, cpool.max_unpool(values, np.array(indices), 2, output_size=(6, 5)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_strides(dtype):
    values = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(dtype)
    strides = (1 << 35, 1 << 33, 1 << 14, 8)
    x, dx, y = (spread(shape, strides, dtype) for shape in [(3, 2, 4, 5), (3, 2, 4, 5), (3, 2, 2, 2)])
    x[...] = values
    with cpool.num_threads(2):
        expected, saved = cpool.max_pool.forward(values, 2)
        assert np.array_equal(cpool.max_pool(x, 2, out=y), expected)
        assert np.array_equal(cpool.max_pool.backward(y, saved, out=dx), cpool.max_pool.backward(expected, saved))


# ---- Windows of many elements ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "dtype"), [
    ((15, 17), np.uint8), ((16, 16), np.int32), ((1, 255), np.uint8), ((1, 256), np.int32), ((2**15, 2**16 - 1), np.int32),
    ((2**15, 2**16), np.int64), ((1, 2**31 - 1), np.int32), ((1, 2**31), np.int64), ((2**20, 2**20), np.int64)])
def test_types_of_taps(window, dtype):
    """What describe says, for sliding windows and for whole ones."""
    shape = np.broadcast_to(np.float32(0), window)
    for geometry in (capi.SLIDING, capi.WHOLE):
        params = capi.make_params(capi.MAX, window, geometry=geometry)
        assert capi.Call(params, {capi.X: shape}).describe(capi.TAPS) == ((1, 1), np.dtype(dtype))


@pytest.mark.parametrize("window", [(15, 17), (16, 16), (1, 255), (1, 256)])
def test_last_tap(window):
    x = np.zeros(window, np.float32)
    x[-1, -1] = 1
    y, saved = cpool.max_pool.forward(x, window)
    assert saved.indices.item() == x.size - 1
    dx = cpool.max_pool.backward(np.full_like(y, 7), saved)
    assert dx[-1, -1] == 7
    assert np.count_nonzero(dx) == 1


def test_taps_and_positions_beyond_floats():
    """A float counts to 2**24."""
    x = np.zeros((4100, 4101), np.float32)
    x[-1, -1] = 2
    y, saved = cpool.max_pool.forward(x, cpool.whole)
    assert saved.indices.item() == x.size - 1 > 2**24
    dx = cpool.max_pool.backward(y, saved)
    assert np.array_equal(np.flatnonzero(dx), [x.size - 1])
    x[-1, -2] = 3
    y, saved = cpool.max_pool.forward(x, (7, 2), stride=(4093, 1))
    assert saved.indices[-1, -2:].tolist() == [x.size - 2, x.size - 2]
    dx = cpool.max_pool.backward(np.ones_like(y), saved)
    assert dx[-1, -3:].tolist() == [0, 2, 0]


def test_averages_of_many(row):
    """Integers, whose sum is exact in any order."""
    plane = np.broadcast_to(row, (3000, 1 << 16))
    y = cpool.avg_pool(plane, (3000, 9000), stride=(1, 50000))
    expected = [np.mean(row[start : start + 9000].astype(np.float64)) for start in (0, 50000)]
    assert np.array_equal(y[0], np.array(expected, np.float32))
    small = cpool.avg_pool(np.broadcast_to(np.float32(0.1), (5000, 5000)), cpool.whole)
    assert small.item() == np.float32(0.1)


@pytest.mark.parametrize("size", [2**40, 2**52])
def test_windows_far_larger_than_the_input(size):
    """Only what is there takes time."""
    program = f"""if True:
        import numpy as np, cpool
        x = np.array([1, 4, 4, 2], np.float32)
        y, saved = cpool.max_pool.forward(x, ({size},), padding={size // 2})
        assert y.tolist() == [4] and saved.indices.tolist() == [1], (y, saved.indices)
        assert cpool.max_pool.backward(y, saved).tolist() == [0, 4, 0, 0]
        assert cpool.avg_pool(x, ({size},), padding={size // 2}).tolist() == [2.75]
        assert cpool.lp_pool(x, ({size},), padding={size // 2}, p=1.0).tolist() == [11]
    """
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.fail(f"a window of {size} elements on 4 takes for ever")
    assert done.returncode == 0, done.stderr


def test_windows_beyond_what_a_double_counts():
    """Their values are right; which element it was cannot be kept."""
    x = np.array([1, 4, 4, 2], np.float32)
    assert cpool.max_pool(x, (2**59,), padding=2**58).tolist() == [4]
    y, saved = cpool.lp_pool.forward(x, (2**59,), padding=2**58, p=np.inf)
    assert y.tolist() == [4]
    with pytest.raises(ValueError, match=r"window=\d+ has more than 2\^53 taps"):
        cpool.max_pool.forward(x, (2**59,), padding=2**58)
    with pytest.raises(ValueError, match=r"window=\d+ has more than 2\^53 taps"):
        cpool.lp_pool.backward(y, saved)


@pytest.mark.parametrize(("shape", "window", "stride", "pad"), [
    ((4,), (2**32,), 2**32, 2**32 - 1),
    ((1000, 4), (1, 2**20), (1, 2**19), (0, 2**20 - 1)),
    ((4, 4), (2**26, 2**26), 2**26, 2**26 - 1)])
@pytest.mark.parametrize("op", [cpool.max_pool, cpool.avg_pool, cpool.lp_pool])
def test_gaps_between_windows(op, shape, window, stride, pad):
    """Windows that begin far apart have no tap in common: what lies between takes no time."""
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    begin = time.process_time()
    y = op(x, window, stride=stride, padding=pad)
    y, saved = op.forward(x, window, stride=stride, padding=pad)
    op.backward(y, saved)
    assert time.process_time() - begin < 2
    assert np.all(np.isfinite(y))


@pytest.mark.parametrize("call", [
    lambda x, p: cpool.lp_pool(x, 2, p=p), lambda x, p: cpool.soft_pool(x, 2, beta=p), lambda x, p: cpool.mixed_pool(x, 2, a=p),
    lambda x, p: cpool.rank_pool(x, 2, weight=p), lambda x, p: cpool.gated_pool(x, 2, weight=p),
    lambda x, p: cpool.dpp_pool(x, 2, alpha=p, lam=1.0)])
def test_parameters_longer_than_memory(call):
    with pytest.raises(ValueError, match=str(2**44)):
        call(np.zeros((1, 3, 4, 4), np.float32), np.broadcast_to(np.float32(0.5), (2**44,)))


def test_parameters_that_repeat_an_element():
    x = np.random.default_rng(0).random((2, 3, 4, 4))
    y, saved = cpool.lp_pool.forward(x, 2, p=np.broadcast_to(2.5, (3,)))
    z, same = cpool.lp_pool.forward(x, 2, p=np.full(3, 2.5))
    assert np.array_equal(y, z)
    assert np.array_equal(cpool.lp_pool.backward(y, saved).p, cpool.lp_pool.backward(y, same).p)


def test_unpooling_to_a_place_far_away():
    """Gradients of 2**40 places, one of which is asked for."""
    x, indices = np.ones(1, np.float32), np.array([2**39])
    _, saved = cpool.max_unpool.forward(x, np.zeros(1, np.int64), (1,), output_size=(4,))
    lengths = [(*along[:6], 2**40, *along[7:]) for along in saved.__reduce__()[1][2]]
    far = capi.forged(saved, lengths=lengths, indices=indices)
    begin = time.process_time()
    assert cpool.max_unpool.backward(np.broadcast_to(np.float32(3), (2**40,)), far).tolist() == [3]
    assert time.process_time() - begin < 1


def test_tall_windows_keep_their_rows():
    """The gradient costs about what the window's height says, not its square."""
    x = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    y, saved = cpool.lp_pool.forward(x, (100, 3), stride=1, p=2.5)
    begin = time.process_time()
    cpool.lp_pool.backward(y, saved)
    assert time.process_time() - begin < 3
