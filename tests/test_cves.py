"""What has been exploited or has crashed in pooling and normalization elsewhere, a test for each class.

Most are gradients that trust what forward is said to have left (positions of maxima, shapes), and sizes that are multiplied or
narrowed before they are checked. More of each: test_errors.py, test_norm_errors.py, tests/fuzz.
"""

import capi
import numpy as np
import pytest

import cpool

SENTINEL = 12345.0
SELECTIONS = [capi.MAX, capi.MIN, capi.STOCHASTIC]
POOLS = sorted({capi.UNPOOL, *range(capi.MAX, capi.DPID + 1)})
HOSTILE = [-1, -2, 4, 2**31 - 1, -2**31, 2**31, 2**32, 2**62, 2**63 - 1, -2**63]


def refused(call, entry, role=None, status=capi.INVALID_VALUE):
    """The call fails with words for it, and writes nothing."""
    before = {name: a.copy() for name, a in call.arrays.items()}
    with pytest.raises(capi.CpoolError, match=r"\w") as raised:
        call.run(entry)
    assert raised.value.status == status
    assert role is None or raised.value.role == role
    for name, a in call.arrays.items():
        assert np.array_equal(a, before[name], equal_nan=a.dtype.kind == "f")


def results(*shape, dtype=np.float32):
    return np.full(shape, SENTINEL, dtype)


# ---- Positions of maxima that lie elsewhere (MaxPoolGradWithArgmax, max_unpool: heap overflow, read and write) -----------


@pytest.mark.parametrize("position", HOSTILE)
def test_indices_out_of_range(position):
    x, indices = np.ones((1, 1, 1, 2), np.float32), np.full((1, 1, 1, 2), position, np.int64)
    params = capi.make_params(capi.UNPOOL, (2, 2))
    valid = -1 <= position < 8
    for entry, arrays in [("cpool_pool_forward", {capi.X: x, capi.INDICES: indices, capi.Y: results(1, 1, 2, 4)}),
                          ("cpool_pool_backward", {capi.GRAD | capi.Y: results(1, 1, 2, 4), capi.INDICES: indices,
                                                   capi.GRAD | capi.X: results(1, 1, 1, 2)})]:
        call = capi.Call(params, arrays)
        if valid:
            call.run(entry)
        else:
            refused(call, entry, capi.INDICES)
    if not valid:
        with pytest.raises(ValueError, match=f"indices.*{position}"):
            cpool.max_unpool(x, indices, 2)


@pytest.mark.parametrize("op", SELECTIONS)
@pytest.mark.parametrize("tap", [4, 100, 254, 255])
def test_taps_out_of_range_give_no_gradient(op, tap):
    arrays = {capi.GRAD | capi.Y: np.ones((1, 1, 2, 2), np.float32), capi.TAPS: np.full((1, 1, 2, 2), tap, np.uint8),
              capi.GRAD | capi.X: results(1, 1, 4, 4)}
    capi.Call(capi.make_params(op, (2, 2)), arrays).backward()
    assert (arrays[capi.GRAD | capi.X] == 0).all()


@pytest.mark.parametrize("op", [capi.FRACTIONAL, capi.S3, capi.KMAX])
@pytest.mark.parametrize("position", HOSTILE)
def test_indices_of_samples_out_of_range(op, position):
    one = op == capi.KMAX
    params = capi.make_params(op, (2,) if one else (2, 2))
    params.k = 2 if one else 0
    if op == capi.FRACTIONAL:
        params.output_size[0] = params.output_size[1] = 2
    arrays = {capi.GRAD | capi.X: results(1, 4) if one else results(1, 1, 4, 4)}
    shape, _ = capi.Call(params, arrays).describe(capi.Y)
    arrays |= {capi.GRAD | capi.Y: np.ones(shape, np.float32), capi.INDICES: np.full(shape, position, np.int64)}
    call = capi.Call(params, arrays)
    if one or -1 <= position < 16:  # of k-max they are skipped
        call.backward()
        assert np.count_nonzero(arrays[capi.GRAD | capi.X]) == (0 <= position < (4 if one else 16))
    else:
        refused(call, "cpool_pool_backward", capi.INDICES)


# ---- Gradients of another shape than the result (MaxPoolGrad, AvgPoolGrad, FractionalAvgPoolGrad) -------------------------


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (1, 1, 3, 2), (2, 1, 2, 2), (1, 2, 2, 2), (1, 1, 2), (1, 1, 1, 2, 2), ()])
def test_gradient_of_another_shape(shape):
    for op, kept in [(capi.MAX, {capi.TAPS: np.zeros((1, 1, 2, 2), np.uint8)}), (capi.AVG, {}),
                     (capi.SOFT, {capi.X: results(1, 1, 4, 4), capi.BETA: np.array(1.0)})]:
        arrays = {capi.GRAD | capi.Y: results(*shape), capi.GRAD | capi.X: results(1, 1, 4, 4), **kept}
        refused(capi.Call(capi.make_params(op, (2, 2)), arrays), "cpool_pool_backward", capi.GRAD | capi.Y)
    _, saved = cpool.max_pool.forward(results(1, 1, 4, 4), 2)
    with pytest.raises(ValueError, match="dy has shape"):
        cpool.max_pool.backward(results(*shape), saved)


@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (1, 1, 5, 2), (1, 1, 4), ()])
def test_taps_and_statistics_of_another_shape(shape):
    arrays = {capi.GRAD | capi.Y: results(1, 1, 2, 2), capi.TAPS: np.zeros(shape, np.uint8),
              capi.GRAD | capi.X: results(1, 1, 4, 4)}
    refused(capi.Call(capi.make_params(capi.MAX, (2, 2)), arrays), "cpool_pool_backward", capi.TAPS)
    arrays = {capi.X: results(2, 3, 4), capi.GRAD | capi.Y: results(2, 3, 4), capi.GRAD | capi.X: results(2, 3, 4),
              capi.STATS: results(*shape, dtype=np.float64)}
    refused(capi.NormCall(capi.make_norm_params(capi.BATCH_NORM), arrays), "cpool_norm_backward", capi.STATS)


# ---- Windows, strides and sizes of 0 or less (MaxPool, AvgPool3DGrad, FractionalMaxPool: division by zero, endless loops) -


@pytest.mark.parametrize("op", [op for op in POOLS if op != capi.KMAX])
@pytest.mark.parametrize("size", [0, -1, -2**31, -2**63 + 1])
@pytest.mark.parametrize("name", ["window", "stride", "dilation", "output_size"])
def test_sizes_below_one(op, size, name):
    params = capi.make_params(op, (2, 2))
    if op == capi.FRACTIONAL:
        params.output_size[0] = params.output_size[1] = 2
    elif name == "output_size" and op != capi.UNPOOL:
        return
    getattr(params, name)[1] = size
    with pytest.raises(capi.CpoolError):
        capi.Call(params, {capi.X: results(1, 1, 4, 4)}).describe(capi.Y)
    refused(capi.Call(params, {capi.X: results(1, 1, 4, 4), capi.Y: results(1, 1, 2, 2)}), "cpool_pool_forward")


@pytest.mark.parametrize("groups", [0, -1, 5, -2**63, 2**63 - 1])
def test_groups_that_divide_nothing(groups):
    call = capi.NormCall(capi.make_norm_params(capi.GROUP_NORM, groups=groups), {capi.X: results(1, 4), capi.Y: results(1, 4)})
    refused(call, "cpool_norm_forward", capi.X)


def test_more_groups_than_can_be_counted():
    """Any number divides no channels; groups of all samples were once multiplied beyond 2^63, which fuzzing found."""
    with pytest.raises(capi.CpoolError, match="groups=2305843009213693952"):
        capi.NormCall(capi.make_norm_params(capi.GROUP_NORM, groups=2**61), {capi.X: results(5, 0)}).describe(capi.STATS)


@pytest.mark.parametrize("shape", [(0, 0, 4), (0, 4, 4), (2, 0, 4), (0, 0, 0)])
@pytest.mark.parametrize("op", [capi.BATCH_NORM, capi.INSTANCE_NORM, capi.GROUP_NORM, capi.LAYER_NORM, capi.RMS_NORM])
def test_normalization_of_nothing(op, shape):
    """No channels are not to be divided by: once a division by zero in group_norm."""
    call = capi.NormCall(capi.make_norm_params(op), {capi.X: results(*shape), capi.Y: results(*shape)})
    call.query(capi.FORWARD)
    try:
        call.forward()
    except capi.CpoolError as error:
        assert "nothing to take the statistics of" in str(error)


def empty_calls(op):
    """Calls of x without elements, in layouts of either kind."""
    for shape, axes in [((0, 2, 4, 4), (-2, -1)), ((2, 0, 4, 4), (-2, -1)), ((2, 4, 4, 0), (1, 2)), ((0, 4, 4, 3), (1, 2)),
                        ((4, 4, 0, 2), (0, 1))]:
        one = op == capi.KMAX
        params = capi.make_params(op, (2,) if one else (2, 2), axes=(*axes[:1], 0, 0) if one else (*axes, 0))
        params.k = 2 if one else 0
        params.divisor = 1
        if op == capi.FRACTIONAL:
            params.output_size[0] = params.output_size[1] = 2
        yield params, shape


@pytest.mark.parametrize("op", [capi.MAX, capi.AVG])
@pytest.mark.parametrize(("shape", "axes"), [((1, 9, 9, 512), (1, 2, 0)), ((1, 512, 9, 9), (2, 3, 0))])
@pytest.mark.parametrize("window", [2, 5, 9])
def test_query_of_what_has_no_other_arrays(op, shape, axes, window):
    """Of results there is only what x says: once their elements of no bytes were divided by."""
    for direction, role in [(capi.FORWARD, capi.X), (capi.BACKWARD, capi.GRAD | capi.X)]:
        params = capi.make_params(op, (window, window), stride=1, axes=axes)
        alone = capi.Call(params, {role: results(*shape)}).query(direction)
        assert alone.workspace_size > 0


@pytest.mark.parametrize("op", POOLS)
@pytest.mark.parametrize("direction", [capi.FORWARD, capi.BACKWARD])
def test_pooling_of_nothing(op, direction):
    """No lanes are not to be divided by: once a division by zero in max_pool and avg_pool of C."""
    for params, shape in empty_calls(op):
        arrays = {capi.X: results(*shape)}
        first = capi.GRAD | capi.X if direction else capi.X
        try:
            info = capi.Call(params, {first: arrays[capi.X]}).query(direction)
        except capi.CpoolError as error:
            assert direction == capi.BACKWARD and op == capi.DPID, error
            continue
        for bit in range(1, 64):
            role = bit if bit < 32 else capi.GRAD | (bit - 32)
            if info.required >> bit & 1 and role not in arrays:
                described, dtype = capi.Call(params, arrays).describe(role)
                arrays[role] = np.ones(described, dtype)
        if not info.required >> capi.X & 1:
            del arrays[capi.X]
        call = capi.Call(params, arrays)
        for strides in (True, False):  # those of NumPy, which are of no use here, and none
            for arg in call.args:
                arg.view.strides = arg.view.strides if strides else None
            call.query(direction)
            call.run("cpool_pool_backward" if direction else "cpool_pool_forward")


# ---- Products of sizes beyond int64 (AvgPool3D, QuantizedMaxPool; overlap of strides) --------------------------------------


@pytest.mark.parametrize("shape", [(2**31, 2**31, 2**31), (2**62, 2, 1), (2**61, 1, 1), (2**32, 2**31, 1)])
def test_products_of_lengths(shape):
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 1, 1), (0, 0, 0))
    call = capi.Call(capi.make_params(capi.MAX, (1,)), {capi.X: x})
    for i, length in enumerate(shape):
        call.args[0].view.shape[i] = length
    with pytest.raises(capi.CpoolError, match=r"more than 2\^6[013]|longer than 2\^61"):
        call.query(capi.FORWARD)


@pytest.mark.parametrize("op", [cpool.max_pool, cpool.min_pool, cpool.avg_pool, cpool.l2_pool])
@pytest.mark.parametrize("window", [(2, 6), (2, 2, 6)])
def test_strides_times_taps_that_overflow(op, window):
    x = np.arange(3.0 * 4**len(window)).reshape(1, 1, *[4] * (len(window) - 1), 12)
    for axis in range(len(window) - 1):
        stride, beyond = [1] * len(window), [1] * len(window)
        stride[axis], beyond[axis] = 4, 2**61 - 1
        y, saved = op.forward(x, window, stride=stride)
        far_y, far_saved = op.forward(x, window, stride=beyond)
        assert np.array_equal(far_y, y)
        assert np.array_equal(op.backward(y, far_saved)[0], op.backward(y, saved)[0])


@pytest.mark.parametrize("stride", [2**61 - 1, 2**63 - 1])
def test_steps_of_a_single_window_that_overflow(stride):
    """Of a selection by windows with gaps, whose results are added one by one."""
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 12))
    y, saved = cpool.max_pool.forward(x, (2, 6), stride=(1, 4), dilation=(1, 2))
    far_y, far_saved = cpool.max_pool.forward(x, (2, 6), stride=(1, stride), dilation=(1, 2))
    assert np.array_equal(far_y, y)
    assert np.array_equal(cpool.max_pool.backward(y, far_saved), cpool.max_pool.backward(y, saved))


@pytest.mark.parametrize("window", [40, 41])
def test_gradients_of_windows_wider_than_scratch(window):
    """Of an odd window the tap in the middle is real and no other, of an even one none is."""
    x = np.random.default_rng(0).normal(size=(9, 600, 40))
    y, saved = cpool.max_pool.forward(x, (3, window), stride=(1, 2), dilation=(1, 20000), padding="same_lower")
    thin_y, thin_saved = cpool.max_pool.forward(x, (3, 1), stride=(1, 2), padding="same_lower")
    dx = cpool.max_pool.backward(thin_y, saved, out=np.full_like(x, 7))[0]
    if window % 2:
        assert np.array_equal(y, thin_y)
        assert np.array_equal(dx, cpool.max_pool.backward(thin_y, thin_saved)[0])
    else:
        assert (y == -np.inf).all() and not dx.any()


@pytest.mark.parametrize("stride", [2**63 - 1, -2**63, -2**63 + 1, 2**62])
def test_strides_that_span_too_much(stride):
    call = capi.Call(capi.make_params(capi.MAX, (1,)), {capi.X: results(3, 1), capi.Y: results(3, 1)})
    call.args[0].view.strides[0] = stride
    refused(call, "cpool_pool_forward", capi.X)


@pytest.mark.parametrize("op", [capi.MAX, capi.AVG, capi.LP])
@pytest.mark.parametrize("direction", [capi.FORWARD, capi.BACKWARD])
def test_workspace_of_the_longest_axes(op, direction):
    """Scratch is planned for some of 2^60 rows, not for a product that wraps. Empty arrays may be as long."""
    for shape in [(0, 2**59, 2), (0, 2**60 - 1, 1), (2**60 - 1, 1), (2, 0, 2**58, 1)]:
        role = capi.GRAD | capi.X if direction else capi.X
        call = capi.Call(capi.make_params(op, (1, 1), stride=1), {role: results(*(0,) * len(shape))})
        call.args[0].view.strides = None
        for i, length in enumerate(shape):
            call.args[0].view.shape[i] = length
        try:
            assert call.query(direction).workspace_size < 2**24
        except capi.CpoolError as error:
            assert "2^6" in str(error)


# ---- Narrowed before the check (sizes and positions cast to int) ------------------------------------------------------------


@pytest.mark.parametrize("extra", [2**32, 2**33, 2**40])
def test_sizes_that_fit_once_narrowed(extra):
    for name in ("window", "pad_before", "k"):
        params = capi.make_params(capi.KMAX if name == "k" else capi.MAX, (2,))
        if name == "k":
            params.k = 2 + extra
        else:
            getattr(params, name)[0] += extra
        refused(capi.Call(params, {capi.X: results(1, 4), capi.Y: results(1, 2)}), "cpool_pool_forward")
    params = capi.make_params(capi.MAX, (2,), stride=2 + extra)
    arrays = {capi.X: np.arange(4, dtype=np.float32)[None], capi.Y: results(1, 1)}
    capi.Call(params, arrays).forward()
    assert arrays[capi.Y] == 1
    x, indices = np.ones((1, 2), np.float32), np.full((1, 2), 1 + extra)
    with pytest.raises(ValueError, match="indices"):
        cpool.max_unpool(x, indices, (2,))


# ---- Statistics of nothing, or that say so (FusedBatchNorm: empty batches, mean and variance of other sizes) ----------------


def test_statistics_of_nothing():
    with pytest.raises(ValueError, match="nothing to take the statistics of"):
        cpool.batch_norm.forward(np.zeros((0, 3, 4), np.float32))
    for count in (0.0, -1.0, np.nan, np.inf):
        moments = np.ones((4, 3))
        moments[0, 1] = count
        arrays = {capi.X: results(2, 3, 4), capi.MOMENTS: moments, capi.Y: results(2, 3, 4)}
        params = capi.make_norm_params(capi.BATCH_NORM, stage=capi.STAGE_APPLY)
        refused(capi.NormCall(params, arrays), "cpool_norm_forward", capi.MOMENTS)


@pytest.mark.parametrize("role", [capi.MU, capi.VAR, capi.WEIGHT, capi.BIAS])
@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (4,), (3, 1), ()])
def test_parameters_of_another_size(role, shape):
    arrays = {capi.X: results(2, 3, 4), capi.MU: np.zeros(3), capi.VAR: np.ones(3), capi.WEIGHT: np.ones(3),
              capi.BIAS: np.ones(3), capi.Y: results(2, 3, 4)} | {role: np.ones(shape)}
    refused(capi.NormCall(capi.make_norm_params(capi.BATCH_NORM), arrays), "cpool_norm_forward", role)
