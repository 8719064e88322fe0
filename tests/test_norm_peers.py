"""Normalization against PyTorch. Runs where it is installed."""

import numpy as np
import pytest

import cpool

torch = pytest.importorskip("torch")

F = torch.nn.functional
DTYPES = [np.float32, np.float64]
SHAPES = [(6, 8), (4, 8, 11), (3, 8, 7, 5), (2, 8, 3, 4, 5)]


def close(actual, expected, factor=256):
    eps = np.finfo(expected.dtype).eps
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=factor * eps, atol=factor * eps * scale)


def sample(shape, dtype, channels):
    rng = np.random.default_rng(0)
    x, dy = ((rng.normal(size=shape) + 0.5).astype(dtype) for _ in range(2))
    return x, dy, *(rng.normal(size=channels).astype(dtype) for _ in range(2))


def gradients(dy, y, *leaves):
    y.backward(torch.from_numpy(dy))
    return [leaf.grad.numpy() for leaf in leaves]


def leaves(*arrays):
    return [torch.from_numpy(a).requires_grad_() for a in arrays]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape, dtype, relu):
    x, dy, weight, bias = sample(shape, dtype, 8)
    running = cpool.RunningStats(8)
    mean, var = torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
    mean, var = mean.to(torch.from_numpy(x).dtype), var.to(torch.from_numpy(x).dtype)
    t = leaves(x, weight, bias)
    expected = F.batch_norm(t[0], mean, var, t[1], t[2], training=True, momentum=0.1, eps=1e-5)
    expected = F.relu(expected) if relu else expected
    y, saved = cpool.batch_norm.forward(x, weight, bias, running=running, relu=relu)
    close(y, expected.detach().numpy())
    for got, want in zip(cpool.batch_norm.backward(dy, saved), gradients(dy, expected, *t), strict=True):
        close(got, want)
    close(running.mean.astype(dtype), mean.numpy())
    close(running.var.astype(dtype), var.numpy())
    t = leaves(x, weight, bias)
    expected = F.batch_norm(t[0], mean, var, t[1], t[2], training=False, eps=1e-5)
    y, saved = cpool.batch_norm.forward(x, weight, bias, mean=mean.numpy(), var=var.numpy())
    close(y, expected.detach().numpy())
    for got, want in zip(cpool.batch_norm.backward(dy, saved), gradients(dy, expected, *t), strict=True):
        close(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_instance_and_group_norm(shape, dtype):
    x, dy, weight, bias = sample(shape, dtype, 8)
    for op, peer in ((cpool.instance_norm.forward, lambda a, w, b: F.instance_norm(a, weight=w, bias=b)),
                     (lambda a, w, b: cpool.group_norm.forward(a, 2, w, b), lambda a, w, b: F.group_norm(a, 2, w, b))):
        t = leaves(x, weight, bias)
        expected = peer(*t)
        y, saved = op(x, weight, bias)
        close(y, expected.detach().numpy())
        for got, want in zip(saved.op.backward(dy, saved), gradients(dy, expected, *t), strict=True):
            close(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_layer_and_rms_norm(shape, rank, dtype):
    axes, inner = tuple(range(-rank, 0)), shape[-rank:]
    x, dy, weight, bias = sample(shape, dtype, inner)
    t = leaves(x, weight, bias)
    expected = F.layer_norm(t[0], inner, t[1], t[2])
    y, saved = cpool.layer_norm.forward(x, axes, weight, bias)
    close(y, expected.detach().numpy())
    for got, want in zip(cpool.layer_norm.backward(dy, saved), gradients(dy, expected, *t), strict=True):
        close(got, want)
    t = leaves(x, weight)
    expected = F.rms_norm(t[0], inner, t[1], eps=1e-5)
    y, saved = cpool.rms_norm.forward(x, axes, weight)
    close(y, expected.detach().numpy())
    for got, want in zip(cpool.rms_norm.backward(dy, saved)[:2], gradients(dy, expected, *t), strict=True):
        close(got, want)


def test_channels_last():
    x, _, weight, bias = sample((3, 8, 7, 5), np.float32, 8)
    expected = F.batch_norm(torch.from_numpy(x), None, None, torch.from_numpy(weight), torch.from_numpy(bias), training=True)
    y, _ = cpool.batch_norm.forward(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), weight, bias, channel_axis=-1)
    close(y.transpose(0, 3, 1, 2), expected.numpy())
