"""The quintic Newton-Schulz iteration, fast on stacks of matrices.

    X <- c0 X + (c1 A + c2 A A) X ,   A = X X^T ,   starting from X / ||X||

``jax.vmap`` over a stack results in batched matrix products, which XLA's CPU backend computes several times more slowly
than the same products one by one. Therefore all axes before the last two, also those that ``vmap`` adds, are flattened
into one stack. A CPU iterates over the matrices of the stack; other devices compute batched products.

Source: Jordan et al. 2024, Muon; the coefficients are those of optax. ``benchmarks/muon.py`` measures the speed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.types import Array

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-8


def orthogonalize(x: Float[Array, "*stack rows columns"], steps: int = 5) -> Float[Array, "*stack rows columns"]:
    """Returns for each matrix of a stack approximately the nearest orthogonal matrix.

    Args:
      x: ``[*stack, rows, columns]``. A matrix of zeros stays zero.
      steps: the number of iterations. After five, the singular values are in about ``[0.7, 1.2]``.
    """

    @jax.custom_batching.custom_vmap
    def run(x: Float[Array, "*stack rows columns"]) -> Float[Array, "*stack rows columns"]:
        flat = x.reshape(-1, *x.shape[-2:])
        done = jax.lax.platform_dependent(
            flat, cpu=lambda y: jax.lax.map(lambda z: _iterate(z, steps), y), default=lambda y: _iterate(y, steps)
        )
        return done.reshape(x.shape)

    @run.def_vmap
    def _(axis_size: int, in_batched: list[bool], x: Array) -> tuple[Array, bool]:
        del axis_size, in_batched
        return run(x), True

    return run(x)


def _iterate(x: Float[Array, "*stack rows columns"], steps: int) -> Float[Array, "*stack rows columns"]:
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + EPSILON)
    c0, c1, c2 = COEFFICIENTS
    for _ in range(steps):
        a = x @ x.mT
        x = c0 * x + (c1 * a + c2 * (a @ a)) @ x
    return x.mT if tall else x
