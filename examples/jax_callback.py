"""Pooling inside JAX, by callbacks: works under jit, grad and vmap, on the CPU.

    python examples/jax_callback.py

A traced function cannot keep what cpool's forward saves, so that backward pools once more. JAX hands its arrays over without
a copy and copies what it gets back.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import cpool


@partial(jax.custom_vjp, nondiff_argnums=(0, 2, 3))
def _pool(operator: Any, x: Any, window: Any, options: tuple[tuple[str, Any], ...]) -> Any:
    spatial = x.ndim - 2
    shape = (*x.shape[:2], *operator.output_shape(x.shape, window, **dict(options))[-spatial:])

    def call(x: Any) -> Any:
        return operator(np.asarray(x), window, **dict(options))

    return jax.pure_callback(call, jax.ShapeDtypeStruct(shape, x.dtype), x, vmap_method="expand_dims")


def _forward(operator: Any, x: Any, window: Any, options: tuple[tuple[str, Any], ...]) -> Any:
    return _pool(operator, x, window, options), x


def _backward(operator: Any, window: Any, options: tuple[tuple[str, Any], ...], x: Any, dy: Any) -> Any:
    def call(x: Any, dy: Any) -> Any:
        _, saved = operator.forward(np.asarray(x), window, **dict(options))
        return operator.backward(np.asarray(dy), saved)

    return (jax.pure_callback(call, jax.ShapeDtypeStruct(x.shape, x.dtype), x, dy, vmap_method="broadcast_all"),)


_pool.defvjp(_forward, _backward)


def pool(operator: Any, x: Any, window: tuple[int, ...], **options: Any) -> Any:
    """`operator` of cpool whose gradient is that of x alone (max_pool, min_pool, avg_pool, l2_pool) on [N, C, spatial axes]."""
    return _pool(operator, x, window, tuple(options.items()))


def main() -> None:
    """The gradient of a loss behind two pools, compiled; beside that of JAX's own reduce_window."""
    x = jax.random.normal(jax.random.key(0), (2, 3, 9, 9))

    @jax.jit
    @jax.grad
    def ours(x: Any) -> Any:
        return jnp.sum(jnp.sin(pool(cpool.avg_pool, pool(cpool.max_pool, x, (3, 3), stride=2), (2, 2))))

    @jax.jit
    @jax.grad
    def its_own(x: Any) -> Any:
        y = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), "VALID")
        return jnp.sum(jnp.sin(jax.lax.reduce_window(y, 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4))

    print(f"largest difference of the gradients: {float(jnp.max(jnp.abs(ours(x) - its_own(x)))):.1e}")


if __name__ == "__main__":
    main()
