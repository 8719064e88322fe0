"""Three operators as PyTorch functions, with their gradients; tensors and arrays share memory both ways.

    python examples/torch_function.py

Memory format does not matter: a channels-last tensor is an array with other strides, which is read as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

import cpool


def array_of(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """The tensor's memory as an array: no copy."""
    return tensor.detach().numpy()


def tensor_of(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """The array's memory as a tensor: no copy."""
    return torch.from_numpy(np.asarray(array))


class MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: Any, options: dict[str, Any]) -> torch.Tensor:
        y, ctx.saved = cpool.max_pool.forward(array_of(x), window, **options)
        return tensor_of(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        return tensor_of(cpool.max_pool.backward(array_of(dy), ctx.saved)), None, None


class SoftPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, beta: torch.Tensor, window: Any, options: dict[str, Any]) -> torch.Tensor:
        ctx.save_for_backward(x, beta)  # what backward reads of them is their memory: PyTorch then refuses if it was changed
        y, ctx.saved = cpool.soft_pool.forward(array_of(x), window, beta=array_of(beta), **options)
        return tensor_of(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        _ = ctx.saved_tensors
        gradients = cpool.soft_pool.backward(array_of(dy), ctx.saved)
        return tensor_of(gradients.x), tensor_of(gradients.beta), None, None


class BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        ctx.save_for_backward(x, weight, bias)
        y, ctx.saved = cpool.batch_norm.forward(array_of(x), array_of(weight), array_of(bias), **options)
        return tensor_of(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        _ = ctx.saved_tensors
        return (*map(tensor_of, cpool.batch_norm.backward(array_of(dy), ctx.saved)), None)


def max_pool(x: torch.Tensor, window: Any, **options: Any) -> torch.Tensor:
    return MaxPool.apply(x, window, options)


def soft_pool(x: torch.Tensor, beta: torch.Tensor, window: Any, **options: Any) -> torch.Tensor:
    return SoftPool.apply(x, beta, window, options)


def batch_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, **options: Any) -> torch.Tensor:
    """`options`: those of cpool.batch_norm.forward, `running=` and `relu=` among them."""
    return BatchNorm.apply(x, weight, bias, options)


def main() -> None:
    """A few steps of training a small network whose pooling and normalization are cpool's."""
    torch.manual_seed(0)
    x, labels = torch.randn(64, 1, 12, 12), torch.arange(64) % 2
    x[labels == 1, :, 3:6, 3:6] += 1.5
    convolution, linear = torch.nn.Conv2d(1, 8, 3), torch.nn.Linear(8 * 2 * 2, 2)
    weight, bias, beta = (torch.full(shape, value, requires_grad=True)
                          for shape, value in [((8,), 1.0), ((8,), 0.0), ((), 1.0)])
    parameters = [*convolution.parameters(), *linear.parameters(), weight, bias, beta]
    optimizer = torch.optim.SGD(parameters, lr=0.2)
    for step in range(41):
        h = max_pool(batch_norm(convolution(x), weight, bias, relu=True), 2)
        loss = torch.nn.functional.cross_entropy(linear(soft_pool(h, beta, 2).flatten(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step:2}: loss {loss.item():.3f}, beta {beta.item():.3f}")


if __name__ == "__main__":
    main()
