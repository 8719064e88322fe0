"""Tree pooling: numbers by hand, the formula within its bounds, differences, and bad inputs. Its bits are with those of the
other operators of the literature."""

import pickle
from itertools import product

import capi
import numpy as np
import pytest
import reference as ref
from cases import FINITE, MEMORY, cases, data
from hypothesis import given
from hypothesis import strategies as st
from test_examples import X, rows
from test_grad import GEOMETRIES as SMALL
from test_grad import distinct
from test_literature import differences
from test_pool import check, same_bits

import cpool

DTYPES = [np.float32, np.float64]
MODERATE = [kind for kind in FINITE if kind != "large"]  # where the squares of values do not overflow


# ---- By hand ---------------------------------------------------------------------------------------------------------


def test_example():
    leaves, gate = [[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]], np.array([[0.5, -0.5, 0.25, 0.0]])
    y, saved = cpool.tree_pool.forward(X, 2, leaves=leaves, gates=gate)
    np.testing.assert_allclose(y, rows("1.466844 3.251075; -.642391 1.811230"), rtol=0, atol=5.01e-7)
    gradients = cpool.tree_pool.backward(np.ones_like(y), saved)
    blend = 1 / (1 + np.exp(-np.array([0.5, 1.25, -2.0, -0.5])))
    windows = rows("1 2 4 0; 5 3 1 2; -1 3 0 6; 2 2 -2 4")
    np.testing.assert_allclose(gradients.leaves, [blend @ windows, (1 - blend) @ windows], rtol=1e-14)
    slope = blend * (1 - blend) * (windows.mean(axis=1) - windows[:, 0])
    np.testing.assert_allclose(gradients.gates, [slope @ windows], rtol=1e-14)
    dx = blend[0] / 4 + (1 - blend[0]) * np.eye(4)[0] + slope[0] * gate[0]
    np.testing.assert_allclose(gradients.x[:2, :2].ravel(), dx, rtol=1e-14)


def test_known_relations():
    x = data("normal", 4, (2, 3, 6, 6), np.float64)
    mean, none = np.full((2, 4), 0.25), np.zeros((1, 4))
    np.testing.assert_allclose(cpool.tree_pool(x, 2, leaves=mean, gates=none), cpool.avg_pool(x, 2), rtol=1e-13, atol=1e-15)
    masks = data("normal", 5, (4, 4), np.float64)
    whole = cpool.tree_pool(x, 2, leaves=masks, gates=np.zeros((3, 4)))
    np.testing.assert_allclose(whole, cpool.tree_pool(x, 2, leaves=[masks.mean(axis=0)] * 2, gates=none), rtol=1e-12)
    # Gates that are open or shut: left, then right, is the second leaf.
    positive = np.abs(x)
    gates = np.array([[1e5] * 4, [-1e5] * 4, [1.0] * 4])
    second = cpool.tree_pool(positive, 2, leaves=masks, gates=gates)
    np.testing.assert_allclose(second, cpool.tree_pool(positive, 2, leaves=masks[[1, 1]], gates=none), rtol=1e-12)


# ---- Any call --------------------------------------------------------------------------------------------------------


def draw_masks(source, case):
    """Leaves and gates for a case, as the library and as the reference take them."""
    draw, rng = source.draw, np.random.default_rng(source.draw(st.integers(0, 2**32 - 1)))
    kernel = case.window if isinstance(case.window, tuple) else (case.window,) * len(case.layout.spatial)
    count, taps, masks, planes = 2 ** draw(st.integers(1, 3)), int(np.prod(kernel)), {}, {}
    for name, n in (("leaves", count), ("gates", count - 1)):
        channels = draw(st.sampled_from([(), (1,)] + [(case.channels,)] * (case.channels is not None)))
        kind = draw(st.sampled_from([np.float64, case.x.dtype]))
        memory = MEMORY[draw(st.sampled_from(["C", "Fortran", "reversed"]))]
        masks[name] = memory(rng.normal(size=(n, *channels, taps)).astype(kind))
        planes[name] = masks[name].reshape(n, -1, taps)
        if planes[name].shape[1] > 1:
            planes[name] = np.tile(planes[name], (1, len(case.planes) // planes[name].shape[1], 1))
    return masks, planes


def sliding(kinds):
    return cases(kinds).filter(lambda case: isinstance(case.window, (int, tuple)))


@given(st.data())
def test_values(source):
    case = source.draw(sliding([*FINITE, "nan"]))
    masks, planes = draw_masks(source, case)
    y, saved = cpool.tree_pool.forward(case.x, case.window, **case.kwargs, **masks)
    if len(case.planes):
        with np.errstate(invalid="ignore", over="ignore"):
            check(y, case.restore(ref.tree_pool(case.planes, case.windows, **planes)), case.x.dtype)
    assert same_bits(cpool.tree_pool(case.x, case.window, **case.kwargs, **masks), y)
    assert cpool.tree_pool.output_shape(case.x.shape, case.window, **case.kwargs) == y.shape == case.y_shape
    assert saved.op is cpool.tree_pool


@given(st.data())
def test_gradients(source):
    case = source.draw(sliding(MODERATE))
    masks, planes = draw_masks(source, case)
    dy = case.gradient()
    _, saved = cpool.tree_pool.forward(case.x, case.window, **case.kwargs, **masks)
    gradients = cpool.tree_pool.backward(dy, saved)
    for name in ("x", "leaves", "gates"):
        assert same_bits(cpool.tree_pool.backward(dy, saved, wrt=name), getattr(gradients, name))
    if not len(case.planes):
        assert not gradients.leaves.any() and not gradients.gates.any()
        return
    expected = ref.tree_grad(case.planes, case.layout.planes(dy), case.windows, **planes)
    check(gradients.x, case.restore(expected.x), case.x.dtype)
    first = masks["gates"].shape[0] * masks["gates"].shape[-1]
    for name, numbers in (("gates", expected.parameter[:, :first]), ("leaves", expected.parameter[:, first:])):
        mask = masks[name]
        channels = mask.shape[1] if mask.ndim == 3 and mask.shape[1] > 1 else None
        n, taps = len(mask), mask.shape[-1]

        def arrange(part, mask=mask, n=n, taps=taps):
            return np.moveaxis(part.reshape(-1, n, taps), 0, 1).reshape(mask.shape)

        check(getattr(gradients, name), ref.share(numbers, channels).map(arrange), mask.dtype)


# ---- Differences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("geometry", [name for name in SMALL if isinstance(SMALL[name][1], tuple)])
def test_differences(geometry, depth):
    spatial, window, kwargs = SMALL[geometry]
    rng = np.random.default_rng(3)
    x, taps = distinct((3, *spatial)), int(np.prod(window))
    inputs = {"x": x, "leaves": rng.normal(size=(2**depth, 3, taps)), "gates": rng.normal(size=(2**depth - 1, taps))}
    dy = rng.normal(size=cpool.max_pool.output_shape(x.shape, window, **kwargs))

    def call(values):
        return cpool.tree_pool.forward(values["x"], window, **kwargs, leaves=values["leaves"], gates=values["gates"])

    gradients = cpool.tree_pool.backward(dy, call(inputs)[1])
    for name, value in inputs.items():
        def loss(v, name=name):
            return (call(inputs | {name: v})[0] * dy).sum()

        np.testing.assert_allclose(getattr(gradients, name), differences(loss, value), rtol=2e-6, atol=2e-6, err_msg=name)


# ---- Stress ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["stress", "zero", "equal", "subnormal", "wide"])
def test_anything_finite(dtype, kind):
    x = data(kind, 3, (2, 3, 6, 6), dtype)
    leaves, gates = np.eye(4), data("wide", 5, (3, 4), np.float64)
    y, saved = cpool.tree_pool.forward(x, 2, leaves=leaves, gates=gates)
    blocks = x.reshape(2, 3, 3, 2, 3, 2)
    assert (y <= np.nextafter(blocks.max(axis=(3, 5)), dtype(np.inf))).all()
    assert (y >= np.nextafter(blocks.min(axis=(3, 5)), dtype(-np.inf))).all()
    assert all(np.isfinite(gradient).all() for gradient in cpool.tree_pool.backward(np.ones_like(y), saved))
    one = cpool.tree_pool(x, 1, leaves=[[1.0], [1.0]], gates=[[0.0]])
    np.testing.assert_allclose(one, x, rtol=0, atol=np.finfo(dtype).smallest_subnormal)


def test_empty_windows():
    x = np.array([[[5.0]], [[3.0]]])
    geometry = {"stride": 1, "dilation": 2, "padding": ((0, 0), (1, 1))}
    y, saved = cpool.tree_pool.forward(x, (1, 2), leaves=np.ones((2, 2)), gates=np.ones((1, 2)), **geometry)
    np.testing.assert_array_equal(y, 0)
    for gradient in cpool.tree_pool.backward(np.ones_like(y), saved):
        assert not gradient.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_of_thousands(dtype):
    """More elements than scratch holds."""
    x, windows = data("normal", 7, (2, 2503), dtype), ref.Windows.whole((2503,))
    leaves, gates = data("normal", 1, (2, 1, 2503), dtype), data("normal", 2, (1, 1, 2503), dtype) / 50
    y, saved = cpool.tree_pool.forward(x, (2503,), leaves=leaves, gates=gates)
    check(y, ref.tree_pool(x, windows, leaves, gates), dtype)
    gradients, expected = cpool.tree_pool.backward(np.ones_like(y), saved), ref.tree_grad(x, y * 0 + 1, windows, leaves, gates)
    check(gradients.x, expected.x, dtype)
    check(gradients.leaves, ref.share(expected.parameter[:, 2503:], None).reshape(2, 1, 2503), dtype)


# ---- Manners ---------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"leaves": np.ones((3, 4))}, ValueError, "leaves has 3 masks; a tree has 2, 4, 8 or so on"),
    ({"leaves": np.ones((1, 4))}, ValueError, "leaves has 1 masks"),
    ({"leaves": np.ones((0, 4))}, ValueError, "leaves has 0 masks"),
    ({"leaves": np.ones((2, 5))}, ValueError, r"leaves has shape \(2, 5\).*4, the elements of the window"),
    ({"leaves": np.ones(4)}, ValueError, r"leaves has shape \(4,\)"), ({"leaves": 1.0}, ValueError, "leaves has shape"),
    ({"leaves": np.ones((2, 3, 4))}, ValueError, "leaves has 3 rows.*2 channels"),
    ({"leaves": np.ones((2, 1, 1, 4))}, ValueError, "leaves has shape"), ({"leaves": "oak"}, TypeError, "leaves='oak'"),
    ({"leaves": None}, TypeError, "leaves=None"), ({"leaves": np.ones((2, 4), int)}, TypeError, "leaves has dtype int64"),
    ({"leaves": np.ones((4, 4))}, ValueError, "gates has 1 masks; leaves has 4"),
    ({"gates": np.ones((2, 4))}, ValueError, "gates has 2 masks; leaves has 2"),
    ({"gates": np.ones((1, 3))}, ValueError, r"gates has shape \(1, 3\)"), ({"gates": None}, TypeError, "gates=None"),
    ({"gates": np.ones((1, 3, 4))}, ValueError, "gates has 3 rows.*2 channels"),
    ({"window": cpool.whole}, ValueError, "tree_pool takes no whole"),
    ({"window": cpool.adaptive(2, 2)}, ValueError, "tree_pool takes no adaptive"),
]


@pytest.mark.parametrize(("given", "error", "message"), REFUSED)
def test_refused(given, error, message):
    out = np.full((1, 2, 2, 2), 12345.0, np.float32)
    for call in (cpool.tree_pool, cpool.tree_pool.forward):
        with pytest.raises(error, match=message):
            masks = {"leaves": np.ones((2, 4)), "gates": np.ones((1, 4))}
            call(np.ones((1, 2, 4, 4), np.float32), **{"window": 2} | masks | given, out=out)
    assert (out == 12345).all()


def test_trees_beyond_every_number():
    x = np.ones((1, 4, 4))
    for count, refused in [(2**29, True), (2**20, False)]:
        masks = {capi.LEAVES: np.broadcast_to(1.0, (count, 4)), capi.GATES: np.broadcast_to(1.0, (count - 1, 4))}
        call = capi.Call(capi.make_params(capi.TREE, (2, 2)), {capi.X: x, capi.Y: np.ones((1, 2, 2))} | masks)
        with pytest.raises(capi.CpoolError, match="leaves has shape" if refused else "workspace_size="):
            call.forward(workspace=np.zeros(64, np.uint8))


def test_saved():
    x = data("normal", 0, (2, 3, 6, 6), np.float32)
    y, saved = cpool.tree_pool.forward(x, 2, leaves=np.ones((4, 3, 4)), gates=np.ones((3, 4), np.float32))
    gradients = cpool.tree_pool.backward(y, saved)
    assert [gradient.dtype for gradient in gradients] == [np.float32, np.float64, np.float32]
    for a, b in zip(gradients, cpool.tree_pool.backward(y, pickle.loads(pickle.dumps(saved))), strict=True):
        assert same_bits(a, b)
    junk = [np.zeros(3), np.zeros((1, 2, 2, 2), np.uint8), np.zeros(0), 1.0, np.zeros((4, 4)), np.zeros((8, 2, 4)),
            np.zeros((4, 9)), np.zeros((1, 4)), np.zeros((2, 2, 2), complex)]
    for name, value in product(capi.ROLES, junk):
        try:
            gradients = cpool.tree_pool.backward(y, capi.forged(saved, **{name: value}))
        except (ValueError, TypeError):
            continue
        assert gradients.x.shape == x.shape
