"""The quintic Newton-Schulz iteration, fast on stacks of matrices.

    X <- c0 X + (c1 A + c2 A A) X ,   A = X X^T ,   starting from X / ||X||

``jax.vmap`` over a stack results in batched matrix products, which XLA's CPU backend computes several times more slowly
than the same products one by one. Therefore all axes before the last two, also those that ``vmap`` adds, are flattened
into one stack. :func:`orthogonalize_all` then chooses by the device: a CPU computes matrix by matrix; a GPU, on which
starting a kernel takes longer than a small product, computes all matrices of a shape together; a TPU computes each
stack in batched products.

Source: Jordan et al. 2024, Muon; the coefficients are those of optax. Measurements: ``benchmarks/NOTES.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.types import Array

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-8
SMALLEST = 16
"""The rows of the smallest matrices of a group on a GPU, whose units for products compute 16 rows at once."""
Stack = Float[Array, "_ _ _"]
"""``[stack, rows, columns]``, of different sizes in one list."""


def orthogonalize(x: Float[Array, "*stack rows columns"], steps: int = 5) -> Float[Array, "*stack rows columns"]:
    """Returns for each matrix of a stack approximately the nearest orthogonal matrix.

    Args:
      x: ``[*stack, rows, columns]``. A matrix of zeros stays zero.
      steps: the number of iterations. After five, the singular values are in about ``[0.7, 1.2]``.
    """
    return orthogonalize_all([x], steps)[0]


def orthogonalize_all(stacks: Sequence[Array], steps: int = 5) -> list[Array]:
    """:func:`orthogonalize` for several stacks of matrices, which may have different shapes."""

    @jax.custom_batching.custom_vmap
    def run(stacks: list[Array]) -> list[Array]:
        flat = [x.reshape(-1, *x.shape[-2:]) for x in stacks]
        done = jax.lax.platform_dependent(
            flat,
            cpu=partial(_one_by_one, steps=steps),
            cuda=partial(_grouped_by_shape, steps=steps),
            default=lambda flat: [_iterate(x, steps) for x in flat],
        )
        return [y.reshape(x.shape) for y, x in zip(done, stacks, strict=True)]

    @run.def_vmap
    def _(axis_size: int, in_batched: list[list[bool]], stacks: list[Array]) -> tuple[list[Array], list[bool]]:
        del axis_size, in_batched  # all of them are batched, as the parameters of seeds are
        return run(stacks), [True] * len(stacks)

    return run(list(stacks))


def _one_by_one(stacks: list[Stack], steps: int) -> list[Stack]:
    return [jax.lax.map(lambda x: _iterate(x, steps), stack) for stack in stacks]


def _grouped_by_shape(stacks: list[Stack], steps: int) -> list[Stack]:
    """All matrices of a shape in one batch; tall matrices are transposed, and rows of zeros are added to small ones."""
    wide = [x.mT if x.shape[1] > x.shape[2] else x for x in stacks]
    groups: dict[tuple[int, int], list[int]] = {}
    for k, x in enumerate(wide):
        rows, columns = x.shape[1:]
        groups.setdefault((rows if rows == 1 else max(rows, SMALLEST), columns), []).append(k)
    done = list(wide)
    for (rows, _), members in groups.items():
        padded = [jnp.pad(wide[k], ((0, 0), (0, max(0, rows - wide[k].shape[1])), (0, 0))) for k in members]
        batch = jnp.concatenate(padded)
        batch = _iterate_vectors(batch, steps) if rows == 1 else _iterate_factored(batch, steps)
        begin = 0
        for k in members:
            count, kept = wide[k].shape[:2]
            done[k] = batch[begin : begin + count, :kept]
            begin += count
    return [y.mT if x.shape[1] > x.shape[2] else y for x, y in zip(stacks, done, strict=True)]


def _iterate(x: Float[Array, "*stack rows columns"], steps: int) -> Float[Array, "*stack rows columns"]:
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + EPSILON)
    c0, c1, c2 = COEFFICIENTS
    for _ in range(steps):
        a = x @ x.mT
        x = c0 * x + (c1 * a + c2 * (a @ a)) @ x
    return x.mT if tall else x


def _iterate_factored(x: Stack, steps: int) -> Stack:
    """The iteration as ``X <- (c0 I + c1 A + c2 A A) X``, which has a kernel less in each step."""
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + EPSILON)
    c0, c1, c2 = COEFFICIENTS
    identity = jnp.eye(x.shape[-2], dtype=x.dtype)
    for _ in range(steps):
        a = x @ x.mT
        x = (c0 * identity + c1 * a + c2 * (a @ a)) @ x
    return x


def _iterate_vectors(x: Float[Array, "stack 1 columns"], steps: int) -> Float[Array, "stack 1 columns"]:
    """The iteration on matrices of one row, of which only the length changes."""
    norm = jnp.linalg.norm(x, axis=(-2, -1), keepdims=True)
    factor = 1.0 / (norm + EPSILON)
    square = (norm * factor) ** 2
    c0, c1, c2 = COEFFICIENTS
    for _ in range(steps):
        growth = c0 + c1 * square + c2 * square**2
        factor, square = factor * growth, square * growth**2
    return x * factor
