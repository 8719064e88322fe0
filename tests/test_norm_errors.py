"""What is wrong with a call of a normalization is said by name and value, and nothing is written."""

import pickle

import capi
import numpy as np
import pytest

import cpool

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ONES = np.ones(3, np.float32)
GIVEN = {"mean": np.zeros(3), "var": np.ones(3)}


def refused(error, message, function, *args, **kwargs):
    with pytest.raises(error) as caught:
        function(*args, **kwargs)
    for part in [message] if isinstance(message, str) else message:
        assert part in str(caught.value), str(caught.value)


CALLS = {
    "weight too long": (ValueError, ["weight has 4 values", "3 channels"], {"weight": np.ones(4, np.float32)}),
    "bias too short": (ValueError, ["bias has 2 values", "3 channels"], {"bias": np.ones(2)}),
    "scalar weight": (ValueError, ["weight has shape ()", "(3,)"], {"weight": np.float32(2)}),
    "weight matrix": (ValueError, ["weight has shape (3, 1)"], {"weight": np.ones((3, 1))}),
    "weight of integers": (TypeError, ["weight has dtype int64", "astype"], {"weight": np.ones(3, int)}),
    "eps negative": (ValueError, ["eps=-1e-05", "at least 0"], {"eps": -1e-5}),
    "eps NaN": (ValueError, ["eps=nan"], {"eps": np.nan}),
    "eps infinite": (ValueError, ["eps=inf"], {"eps": np.inf}),
    "eps text": (TypeError, ["eps='0'"], {"eps": "0"}),
    "channel_axis": (ValueError, ["channel_axis=3", "-3 to 2"], {"channel_axis": 3}),
    "channel_axis fraction": (TypeError, ["channel_axis=1.0"], {"channel_axis": 1.0}),
    "out of another shape": (ValueError, ["out has shape (2, 3, 5)", "(2, 3, 4)"], {"out": np.empty((2, 3, 5), np.float32)}),
    "out of another dtype": (TypeError, ["out has dtype <f8"], {"out": np.empty((2, 3, 4))}),
    "out overlaps x": (ValueError, ["out shares memory with x"], {"out": X[:, ::-1]}),
}
BATCH = {
    "mean too long": (ValueError, ["mean has 2 values", "3 channels"], {"mean": np.zeros(2)}),
    "var negative": (ValueError, ["var=-0.5", "channel 1"], {"var": [1.0, -0.5, 1.0]}),
    "var NaN": (ValueError, ["var=", "nan", "channel 2"], {"var": [1.0, 1.0, np.nan]}),
    "relu": (TypeError, ["relu=1", "True or False"], {"relu": 1}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("op", ["batch_norm", "instance_norm", "group_norm"])
def test_calls(op, name):
    error, message, given = CALLS[name]
    before = X.copy()
    fixed = {"batch_norm": GIVEN, "instance_norm": {}, "group_norm": {"groups": 3}}[op]
    refused(error, message, getattr(cpool, op), X, **fixed | given)
    if name != "out overlaps x":
        refused(error, message, getattr(cpool, op).forward, X, **({} if op == "batch_norm" else fixed) | given)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("name", BATCH)
def test_batch_norm(name):
    error, message, given = BATCH[name]
    refused(error, message, cpool.batch_norm, X, **GIVEN | given)
    refused(error, message, cpool.batch_norm.forward, X, **GIVEN | given)


def test_x():
    refused(TypeError, "x has dtype int64", cpool.batch_norm, np.ones((2, 3), int), **GIVEN)
    refused(TypeError, "masked", cpool.layer_norm, np.ma.masked_array(X))
    refused(ValueError, ["x has shape (3,)", "at least 2 axes"], cpool.batch_norm, ONES, **GIVEN)
    refused(ValueError, ["x has shape ()", "at least one axis"], cpool.layer_norm, np.float32(1))


def test_statistics_that_are_missing():
    refused(TypeError, "mean", cpool.batch_norm, X)
    refused(TypeError, "mean and var are needed", cpool.batch_norm, X, mean=None, var=None)
    refused(TypeError, "var is missing", cpool.batch_norm.forward, X, mean=np.zeros(3))
    refused(TypeError, "running does not go", cpool.batch_norm.forward, X, running=cpool.RunningStats(3), **GIVEN)


def test_empty_batch_leaves_running_statistics_alone():
    running = cpool.RunningStats(3)
    running.update(cpool.moments(X))
    before = running.to_dict()
    for shape in ((0, 3, 4), (2, 3, 0)):
        refused(ValueError, ["nothing to take the statistics of", str(shape)], cpool.batch_norm.forward, np.empty(shape))
        refused(ValueError, "", cpool.batch_norm.forward, np.empty(shape), running=running)
    refused(ValueError, "without elements", running.update, cpool.moments(np.empty((0, 3))))
    refused(ValueError, "nothing", cpool.instance_norm, np.empty((2, 3, 0)))
    refused(ValueError, "nothing", cpool.layer_norm, np.empty((2, 0)))
    assert running.to_dict() == before


def test_one_element_and_an_unbiased_variance():
    running = cpool.RunningStats(3)
    out = np.full((1, 3), 7, np.float32)
    x = np.ones((1, 3), np.float32)
    refused(ValueError, ["unbiased", "1 element"], cpool.batch_norm.forward, x, running=running, out=out)
    assert running.to_dict() == cpool.RunningStats(3).to_dict()
    assert (out == 7).all()
    biased = cpool.RunningStats(3, unbiased=False)
    cpool.batch_norm.forward(np.ones((1, 3), np.float32), running=biased)
    np.testing.assert_allclose(biased.var, 0.9)


def test_running_of_another_size():
    running = cpool.RunningStats(4)
    out = np.full_like(X, 7)
    refused(ValueError, ["running is of 4 channels", "x has 3"], cpool.batch_norm.forward, X, running=running, out=out)
    assert (out == 7).all()
    refused(TypeError, "running must be", cpool.batch_norm.forward, X, running=np.zeros(3))


def test_groups():
    for groups in (2, 0, -1, 4):
        refused(ValueError, [f"groups={groups}", "3 channels"], cpool.group_norm, X, groups)
    refused(TypeError, "groups=1.5", cpool.group_norm, X, 1.5)


def test_axes_of_layers():
    refused(ValueError, ["axes=3", "-3 to 2"], cpool.layer_norm, X, (3,))
    refused(ValueError, ["axes=-1", "twice"], cpool.layer_norm, X, (2, -1))
    refused(ValueError, ["axes has 0 entries"], cpool.layer_norm, X, ())
    refused(ValueError, ["axes has 4 entries"], cpool.rms_norm, X, (0, 1, 2, 0))
    refused(TypeError, "axes", cpool.layer_norm, X, 1.5)
    refused(ValueError, ["weight has shape (3,)", "(4,)"], cpool.layer_norm, X, weight=ONES)
    refused(ValueError, ["weight has shape (3, 4)", "(4, 3)"], cpool.layer_norm, X, (2, 1), np.ones((3, 4)))


def test_training_in_place():
    x = X.copy()
    for op in (cpool.batch_norm, cpool.instance_norm, cpool.layer_norm):
        refused(ValueError, "out shares memory with x", op.forward, x, out=x)
    np.testing.assert_array_equal(x, X)


def test_read_only_out():
    out = np.empty_like(X)
    out.flags.writeable = False
    refused(ValueError, "read-only", cpool.batch_norm, X, out=out, **GIVEN)
    _, saved = cpool.batch_norm.forward(X)
    refused(ValueError, "read-only", cpool.batch_norm.backward, X, saved, out=out)


def test_backward():
    _, saved = cpool.batch_norm.forward(X, ONES)
    dy = np.ones_like(X)
    refused(ValueError, ["dy has shape (2, 3, 5)"], cpool.batch_norm.backward, np.ones((2, 3, 5), np.float32), saved)
    refused(TypeError, "dy has dtype", cpool.batch_norm.backward, np.ones((2, 3, 4)), saved)
    refused(ValueError, "saved is of batch_norm", cpool.instance_norm.backward, dy, saved)
    refused(TypeError, "saved must be", cpool.batch_norm.backward, dy, None)
    pooled = cpool.max_pool.forward(X, (2,))[1]
    refused(TypeError, "saved must be", cpool.batch_norm.backward, dy, pooled)
    refused(TypeError, "saved must be", cpool.max_pool.backward, dy, saved)
    refused(ValueError, "wrt='gamma'", cpool.batch_norm.backward, dy, saved, wrt="gamma")
    refused(ValueError, "wrt leaves out", cpool.batch_norm.backward, dy, saved, wrt="weight", out=dy)
    refused(ValueError, "shares memory", cpool.batch_norm.backward, dy, saved, out=dy[:, ::-1])
    refused(ValueError, "shares memory", cpool.batch_norm.backward, dy, saved, out=X)


def test_parts():
    total = cpool.moments(X)
    _, saved = cpool.batch_norm.forward(X, moments=total)
    refused(ValueError, ["moments=", "sums="], cpool.batch_norm.backward, X, saved)
    _, constant = cpool.batch_norm.forward(X, **GIVEN)
    refused(ValueError, "constants", cpool.batch_norm.sums, X, constant)
    refused(TypeError, "moments must be", cpool.batch_norm.forward, X, moments=total.mean)
    two = cpool.Moments(8, [0, 0], [1, 1])
    refused(ValueError, ["moments has shape (4, 2)", "(4, 3)"], cpool.batch_norm.forward, X, moments=two)
    refused(ValueError, "count 0", cpool.batch_norm.forward, X, moments=cpool.Moments(0, [0] * 3, [0] * 3))
    refused(TypeError, "sums must be", cpool.batch_norm.backward, X, saved, sums=total)
    refused(ValueError, "cannot be merged", lambda: total + cpool.Moments(1, [0], [0]))
    refused(TypeError, "", lambda: total + 1)


@pytest.mark.parametrize(("error", "message", "args"), [
    (ValueError, "m2=", (3, [0.0], [-1.0])), (ValueError, "count=-1", (-1, [0.0], [1.0])),
    (TypeError, "count=", ("3", [0.0], [1.0])),
    (ValueError, "shapes", (3, [0.0, 1.0], [1.0])), (ValueError, "shapes", (3, 0.0, 1.0))])
def test_moments(error, message, args):
    refused(error, message, cpool.Moments, *args)


@pytest.mark.parametrize(("error", "message", "options"), [
    (ValueError, "n=-1", {"n": -1}), (TypeError, "n=1.5", {"n": 1.5}), (ValueError, "momentum=1.5", {"momentum": 1.5}),
    (ValueError, "momentum=nan", {"momentum": float("nan")}), (TypeError, "momentum", {"momentum": "0.1"}),
    (ValueError, "window=0", {"window": 0}), (ValueError, "taps", {"taps": (1,)}), (ValueError, "pooled", {"pooled": True}),
    (ValueError, "2 entries", {"window": 3, "taps": (1, 2)}), (ValueError, "the first greater", {"window": 2, "taps": (0, 1)}),
    (ValueError, "taps", {"window": 2, "taps": (1, -1)}), (ValueError, "pooled", {"window": 2, "taps": (1, 1), "pooled": True}),
    (TypeError, "unbiased=1", {"unbiased": 1})])
def test_running_stats(error, message, options):
    refused(error, message, lambda **given: cpool.RunningStats(given.pop("n", 3), **given), **options)


def test_running_stats_from_elsewhere():
    state = cpool.RunningStats(2).to_dict()
    refused(ValueError, "'mean'", cpool.RunningStats.from_dict, {k: v for k, v in state.items() if k != "mean"})
    refused(ValueError, "mean", cpool.RunningStats.from_dict, state | {"mean": [0.0], "var": [1.0]})
    refused(ValueError, "var=", cpool.RunningStats.from_dict, state | {"var": [1.0, -1.0]})
    refused(ValueError, "batches", cpool.RunningStats.from_dict, state | {"batches": [[3, [0.0, 0.0], [0.0, 0.0]]]})
    refused(ValueError, "momentum", cpool.RunningStats.from_keras, [0.0], [1.0], momentum=2.0)
    refused(TypeError, "moments", cpool.RunningStats(2).update, np.zeros(2))


@pytest.mark.parametrize(("error", "message", "options"), [
    (ValueError, "var=-1.0", {"var": [-1.0, 1.0]}), (ValueError, "var=nan", {"var": [np.nan, 1.0]}),
    (ValueError, "mean has shape (3,)", {"mean": [0] * 3}),
    (ValueError, "eps=-1", {"eps": -1}), (ValueError, "axis=2", {"axis": 2}), (TypeError, "axis", {"axis": 1.0}),
    (ValueError, "gamma", {"gamma": [1.0]}), (ValueError, "bias", {"bias": [1.0]})])
def test_fold(error, message, options):
    given = {"mean": [0.0, 0.0], "var": [1.0, 1.0]} | options
    refused(error, message, cpool.fold_batch_norm, np.ones((2, 3)), **given)


def test_fold_of_integers():
    refused(TypeError, "int64", cpool.fold_batch_norm, np.ones((2, 3), int), mean=[0, 0], var=[1, 1])


@pytest.mark.parametrize("at", range(9))
def test_forged_saved(at):
    """A damaged pickle is an error, or a result; never a crash."""
    _, saved = cpool.batch_norm.forward(X, ONES, ONES, relu=True)
    restore, state = saved.__reduce__()
    numbers = state[1]
    junk = [None, -1, 2**40, "x", np.zeros(0), np.zeros((4, 4, 4)), (), (99,) * 6, (2**31,), np.array(["a"]), np.float64(3),
            *[tuple(99 if i == j else n for j, n in enumerate(numbers)) for i in range(len(numbers))]]
    for bad in junk:
        forged = [*state]
        forged[at] = bad
        try:
            twin = restore(*forged)
            cpool.batch_norm.backward(X, twin)
            pickle.dumps(twin)
        except (TypeError, ValueError, OverflowError, MemoryError):
            pass


# ---- The C interface -------------------------------------------------------------------------------------------------


def c_refused(status, message, call, *args):
    with pytest.raises(capi.CpoolError) as caught:
        call(*args)
    assert caught.value.status == status
    assert message in str(caught.value)


def arrays(**more):
    return {capi.X: X, capi.Y: np.empty_like(X)} | {getattr(capi, k): v for k, v in more.items()}


def test_c_roles():
    params = capi.make_norm_params(capi.BATCH_NORM)
    stats = np.empty((3, 3))
    c_refused(capi.INVALID_VALUE, "takes no stats",
              capi.NormCall(params, arrays(MU=np.zeros(3), VAR=np.ones(3), STATS=stats)).forward)
    c_refused(capi.INVALID_VALUE, "var is missing", capi.NormCall(params, arrays(MU=np.zeros(3))).forward)
    c_refused(capi.INVALID_VALUE, "takes no taps", capi.NormCall(params, arrays(TAPS=np.zeros(3, np.uint8))).forward)
    c_refused(capi.INVALID_VALUE, "stats is missing", capi.NormCall(params, {capi.X: X, capi.GRAD | capi.Y: X}).backward)
    c_refused(capi.INVALID_VALUE, "weight is missing",
              capi.NormCall(params, {capi.X: X, capi.GRAD | capi.Y: X, capi.STATS: stats,
                                     capi.GRAD | capi.WEIGHT: ONES}).backward)
    c_refused(capi.INVALID_VALUE, "rms_norm takes no bias",
              capi.NormCall(capi.make_norm_params(capi.RMS_NORM), arrays(BIAS=np.ones(4))).forward)
    c_refused(capi.INVALID_VALUE, "stats has shape", capi.NormCall(params, arrays(STATS=np.empty((3, 4)))).forward)
    c_refused(capi.INVALID_VALUE, "x is missing", capi.NormCall(params, {capi.Y: np.empty_like(X)}).forward)


def test_c_dtypes_of_parameters():
    params, x = capi.make_norm_params(capi.BATCH_NORM), X.astype(np.float64)
    for given, dtype in ((np.ones(3, np.int64), "int64"), (ONES, "float32")):
        call = capi.NormCall(params, {capi.X: x, capi.Y: np.empty_like(x), capi.WEIGHT: given})
        c_refused(capi.INVALID_TYPE, f"weight has dtype {dtype}; it must be float64 or that of x", call.forward)


def test_c_parameters():
    for change, status, message in (({"op": 9}, capi.UNSUPPORTED, "op=9"),
                                    ({"stage": 7}, capi.INVALID_VALUE, "stage=7"),
                                    ({"stage": capi.STAGE_SUMS}, capi.INVALID_VALUE, "stage=2"),
                                    ({"flags": 8}, capi.UNSUPPORTED, "reserved"),
                                    ({"reserved_flags": 1}, capi.UNSUPPORTED, "reserved"),
                                    ({"struct_size": 3}, capi.INVALID_VALUE, "struct_size"),
                                    ({"eps": -1.0}, capi.INVALID_VALUE, "eps=-1")):
        params = capi.make_norm_params(capi.BATCH_NORM)
        for name, value in change.items():
            setattr(params, name, value)
        c_refused(status, message, capi.NormCall(params, arrays()).forward)
    params = capi.make_norm_params(capi.INSTANCE_NORM, flags=1)
    c_refused(capi.INVALID_VALUE, "no relu", capi.NormCall(params, arrays()).forward)
    params = capi.make_norm_params(capi.LAYER_NORM, stage=capi.STAGE_APPLY)
    c_refused(capi.INVALID_VALUE, "stage=3", capi.NormCall(params, arrays()).forward)


def test_c_workspace():
    call = capi.NormCall(capi.make_norm_params(capi.BATCH_NORM), arrays())
    need = call.query(capi.FORWARD).workspace_size
    assert 0 < need < 1 << 16
    c_refused(capi.NO_MEMORY, "workspace", lambda: call.forward(workspace=np.empty(need - 1, np.uint8)))
    info = call.query(capi.FORWARD)
    assert info.required == 1 << capi.X | 1 << capi.Y
    assert info.optional & 1 << capi.WEIGHT
    assert info.kept & 1 << capi.STATS


def test_c_merge():
    def view(a):
        shape, strides = (capi.c_int64 * a.ndim)(*a.shape), (capi.c_int64 * a.ndim)(*a.strides)
        return capi.View(a.ctypes.data, shape, strides, a.ndim, 2, 64, 1)

    def merge(a, b, out):
        error = capi.sized(capi.Error)
        status = capi.library.cpool_moments_merge(view(a), view(b), view(out), error)
        if status:
            raise capi.CpoolError(status, error)

    a, b = np.array([[8.0], [2.25], [19.5], [0]]), np.array([[8.0], [1.75], [49.5], [0]])
    out = np.empty((1, 4)).T
    merge(a, b, out)
    assert out.ravel().tolist() == [16, 2, 70, 0]
    merge(a, b, b)
    assert b.ravel().tolist() == [16, 2, 70, 0]
    c_refused(capi.INVALID_VALUE, "shape", merge, a, np.ones((4, 2)), out)
    c_refused(capi.INVALID_VALUE, "shape", merge, np.ones(4), b, out)
    c_refused(capi.INVALID_VALUE, "count", merge, a, np.array([[-1.0], [0], [0], [0]]), out)
    c_refused(capi.INVALID_VALUE, "m2", merge, a, np.array([[1.0], [0], [-1], [0]]), out)
