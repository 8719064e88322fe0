"""The examples that put operators into other frameworks. Runs where these are installed."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import cpool

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def torch_function():
    pytest.importorskip("torch")
    return runpy.run_path(EXAMPLES / "torch_function.py")


@pytest.fixture(scope="module")
def jax_callback():
    pytest.importorskip("jax")
    return runpy.run_path(EXAMPLES / "jax_callback.py")


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradcheck_of_torch(torch_function, channels_last):
    import torch

    torch.manual_seed(0)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def leaf(*shape):
        return torch.randn(shape, dtype=torch.float64).requires_grad_()

    x = torch.randn(2, 3, 6, 5, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    window = {"window": (3, 2), "stride": 2, "padding": 1}
    max_pool, soft_pool, batch_norm = (torch_function[name] for name in ("max_pool", "soft_pool", "batch_norm"))
    assert torch.autograd.gradcheck(lambda x: max_pool(x, **window), (x,))
    assert torch.autograd.gradcheck(lambda x, beta: soft_pool(x, beta, **window), (x, leaf()))
    assert torch.autograd.gradcheck(lambda x, beta: soft_pool(x, beta, **window), (x, leaf(3)))
    assert torch.autograd.gradcheck(batch_norm, (x, leaf(3), leaf(3)))


def test_memory_is_shared_with_torch(torch_function):
    import torch

    for tensor in (torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)[:, :, 1:, ::2]):
        array = torch_function["array_of"](tensor)
        assert array.ctypes.data == tensor.data_ptr() and array.shape == tensor.shape
        assert array.strides == tuple(4 * stride for stride in tensor.stride())
    y = cpool.max_pool(np.zeros((4, 4), np.float32), 2)
    assert torch_function["tensor_of"](y).data_ptr() == y.ctypes.data


def test_torch_refuses_what_was_changed_meanwhile(torch_function):
    import torch

    x = torch.randn(1, 2, 4, 4)
    y = torch_function["soft_pool"](x, torch.ones((), requires_grad=True), 2).sum()
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_network_of_torch_learns(torch_function, capsys):
    torch_function["main"]()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < 0.5 * losses[0]


def test_gradients_in_jax(jax_callback):
    import jax
    import jax.numpy as jnp

    pool, x = jax_callback["pool"], np.random.default_rng(0).normal(size=(2, 3, 7, 6)).astype(np.float32)
    options = {"stride": 2, "padding": 1}
    for operator in (cpool.max_pool, cpool.avg_pool, cpool.l2_pool):
        y, saved = operator.forward(x, (3, 2), **options)
        dx = operator.backward(2 * y, saved)

        def loss(x, operator=operator):
            return jnp.sum(pool(operator, x, (3, 2), **options) ** 2)

        def batched(x, operator=operator):
            return jax.vmap(lambda x: pool(operator, x, (3, 2), **options))(x)

        np.testing.assert_array_equal(jax.jit(lambda x, operator=operator: pool(operator, x, (3, 2), **options))(x), y)
        np.testing.assert_array_equal(batched(np.stack([x, x]))[1], y)
        np.testing.assert_array_equal(jax.jit(jax.grad(loss))(x), dx)
        np.testing.assert_array_equal(jax.vmap(jax.grad(loss))(np.stack([x, x]))[1], dx)


def test_jax_agrees_with_its_own_windows(jax_callback, capsys):
    jax_callback["main"]()
    assert float(capsys.readouterr().out.split()[-1]) < 1e-6
