"""An example: a small convolutional network in plain NumPy whose pooling and batch norm, forward and backward, are cpool.

Images are channels-last, ``[N, H, W, C]``. A layer has ``forward(x)`` and ``backward(dy)``; `forward` keeps what `backward`
needs, and `backward` leaves the gradients of the layer's ``parameters`` in ``gradients``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import cpool

Array = np.ndarray[Any, np.dtype[Any]]


def patches(x: Array, size: int) -> Array:
    """Every size x size patch of the zero-padded images, as a view: [N, H, W, C, size, size]."""
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sliding_window_view(padded, (size, size), axis=(1, 2))


class Layer:
    """What layers have in common; one without parameters needs no more than this."""

    parameters: Sequence[Array] = ()
    gradients: Sequence[Array] = ()

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def infer(self, x: Array) -> Array:
        """What the layer does when it is not trained: for most the same."""
        return self.forward(x)

    def backward(self, dy: Array) -> Array:
        raise NotImplementedError


class Convolution(Layer):
    """y[n, i, j] = bias + sum over a, b of x[n, i + a - size // 2, j + b - size // 2] @ weight[a, b], zeros outside."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int, size: int = 3, dtype: Any = np.float32) -> None:
        if size % 2 == 0:
            raise ValueError(f"size must be odd for an output of the input's size, got {size}")
        scale = np.sqrt(2 / (size * size * inputs))
        self.weight = rng.normal(0, scale, (size, size, inputs, outputs)).astype(dtype)
        self.bias = np.zeros(outputs, dtype)
        self.parameters = [self.weight, self.bias]

    def forward(self, x: Array) -> Array:
        self.patches = patches(x, len(self.weight))
        return np.tensordot(self.patches, self.weight, axes=((4, 5, 3), (0, 1, 2))) + self.bias

    def backward(self, dy: Array) -> Array:
        dweight = np.tensordot(self.patches, dy, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)
        self.gradients = [dweight, dy.sum(axis=(0, 1, 2))]
        # x reached each output through one weight; from x's side that is the same convolution with the kernel turned round.
        return np.tensordot(patches(dy, len(self.weight)), self.weight[::-1, ::-1], axes=((4, 5, 3), (0, 1, 3)))


class Relu(Layer):
    def forward(self, x: Array) -> Array:
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy: Array) -> Array:
        return dy * self.positive


class Pool(Layer):
    """Any cpool operator: `forward` hands out `saved`, and `backward` takes its geometry from it."""

    wrt: str | None = "x"  # None: `backward` gives the gradients of all inputs

    def __init__(self, operator: Any, *args: Any, **options: Any) -> None:
        self.operator, self.args, self.options = operator, args, options
        self.seconds = 0.0

    def forward(self, x: Array) -> Array:
        start = perf_counter()
        y: Array
        y, self.saved = self.operator.forward(x, *self.args, axes=(1, 2), **self.options)
        self.seconds += perf_counter() - start
        return y

    def backward(self, dy: Array) -> Array:
        start = perf_counter()
        dx: Array = self.operator.backward(dy, self.saved, wrt=self.wrt)
        self.seconds += perf_counter() - start
        return dx


class BatchNorm(Layer):
    """Batch norm and ReLU in one: by statistics of the batch while it trains, else by the running ones."""

    def __init__(self, channels: int, dtype: Any = np.float32) -> None:
        self.weight, self.bias = np.ones(channels, dtype), np.zeros(channels, dtype)
        self.parameters = [self.weight, self.bias]
        self.running = cpool.RunningStats(channels)
        self.seconds = 0.0

    def forward(self, x: Array) -> Array:
        start = perf_counter()
        y: Array
        y, self.saved = cpool.batch_norm.forward(x, self.weight, self.bias, running=self.running, channel_axis=-1, relu=True)
        self.seconds += perf_counter() - start
        return y

    def infer(self, x: Array) -> Array:
        running = self.running
        y: Array = cpool.batch_norm(x, self.weight, self.bias, mean=running.mean, var=running.var, channel_axis=-1, relu=True)
        return y

    def backward(self, dy: Array) -> Array:
        start = perf_counter()
        dx: Array
        dx, *self.gradients = cpool.batch_norm.backward(dy, self.saved)
        self.seconds += perf_counter() - start
        return dx


class Linear(Layer):
    """Flattens what it is given: y = x.reshape(N, -1) @ weight + bias."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int, dtype: Any = np.float32) -> None:
        self.weight = rng.normal(0, np.sqrt(1 / inputs), (inputs, outputs)).astype(dtype)
        self.bias = np.zeros(outputs, dtype)
        self.parameters = [self.weight, self.bias]

    def forward(self, x: Array) -> Array:
        self.shape, self.flat = x.shape, x.reshape(len(x), -1)
        y: Array = self.flat @ self.weight + self.bias
        return y

    def backward(self, dy: Array) -> Array:
        self.gradients = [self.flat.T @ dy, dy.sum(axis=0)]
        dx: Array = dy @ self.weight.T
        return dx.reshape(self.shape)


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """The mean of -log softmax(scores)[label], and its gradient with respect to scores."""
    rows = np.arange(len(labels))
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(log_softmax)
    gradient[rows, labels] -= 1
    return float(-log_softmax[rows, labels].mean()), gradient / len(labels)


class Network:
    """Two rounds of convolution, batch norm, ReLU and pooling, then a linear layer: 8 x 8 x 1 images to `classes` scores.

    `pool` makes the pooling layers, for so many channels; without it the first is a maximum and the second an average.
    """

    def __init__(self, rng: np.random.Generator, channels: tuple[int, int] = (16, 32), classes: int = 10,
                 dtype: Any = np.float32, batch_norm: bool = True, pool: Callable[[int], Pool] | None = None) -> None:
        def activation(n: int) -> Layer:
            return BatchNorm(n, dtype) if batch_norm else Relu()

        self.layers: list[Layer] = [
            Convolution(rng, 1, channels[0], dtype=dtype),
            activation(channels[0]),
            Pool(cpool.max_pool, 2) if pool is None else pool(channels[0]),
            Convolution(rng, channels[0], channels[1], dtype=dtype),
            activation(channels[1]),
            Pool(cpool.avg_pool, 2) if pool is None else pool(channels[1]),
        ]
        features = self.infer(np.zeros((1, 8, 8, 1), dtype)).size
        self.layers.append(Linear(rng, features, classes, dtype=dtype))

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def infer(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.infer(x)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    @property
    def parameters(self) -> list[Array]:
        return [p for layer in self.layers for p in layer.parameters]

    @property
    def gradients(self) -> list[Array]:
        return [g for layer in self.layers for g in layer.gradients]

    @property
    def pooling_seconds(self) -> float:
        return sum(layer.seconds for layer in self.layers if isinstance(layer, Pool))

    @property
    def batch_norm_seconds(self) -> float:
        return sum(layer.seconds for layer in self.layers if isinstance(layer, BatchNorm))


class Adam:
    """Kingma and Ba 2015, updating the parameters in place."""

    def __init__(self, parameters: list[Array], rate: float = 3e-3, decay: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameters, self.rate, self.decay, self.steps = parameters, rate, decay, 0
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]

    def step(self, gradients: list[Array]) -> None:
        self.steps += 1
        a, b = self.decay
        rate = self.rate * np.sqrt(1 - b**self.steps) / (1 - a**self.steps)
        for p, g, (first, second) in zip(self.parameters, gradients, self.moments, strict=True):
            first += (1 - a) * (g - first)
            second += (1 - b) * (g * g - second)
            p -= (rate * first / (np.sqrt(second) + 1e-8)).astype(p.dtype)
