"""The multi-layer perceptron under every network here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.product import product
from smac_jax.types import Array

# Kernels as PyTorch's linear layers, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which TD3+BC's code and CORL start from.
# Biases start at zero, where those draw them from the same range.
kernel_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
# What WSRL's code (and IQL's) starts from.
ORTHOGONAL_SCALE = 2.0**0.5

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "silu": nn.silu}


def orthogonal(scale: float) -> nn.initializers.Initializer:
    """Kernels whose columns (or rows, whichever are fewer) are orthogonal and of length ``scale``, uniformly drawn.

    As Flax's, by Gram-Schmidt in place of LAPACK's QR: a compiled program that initializes several networks side by
    side was seen to wait for ever for LAPACK on a CPU of two cores (jaxlib 0.10.2).
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        rows, columns = shape
        tall = jax.random.normal(key, (max(shape), min(shape)), jnp.float32)

        def add_column(j: Array, basis: Array) -> Array:
            column = jax.lax.dynamic_index_in_dim(tall, j, axis=1, keepdims=False)
            for _ in range(2):  # twice is enough for float32 (Giraud et al. 2005)
                column = column - basis @ (basis.T @ column)
            return jax.lax.dynamic_update_index_in_dim(basis, column / jnp.linalg.norm(column), j, axis=1)

        basis = jax.lax.fori_loop(0, tall.shape[1], add_column, jnp.zeros_like(tall))
        return (scale * (basis if rows >= columns else basis.T)).astype(dtype)

    return init


INITIALIZERS: dict[str, Callable[[float], nn.initializers.Initializer]] = {
    "fan_in_uniform": lambda scale: kernel_init,
    "orthogonal": orthogonal,
}
"""Initializers of a layer's kernel by name, given the gain, which only "orthogonal" has."""


class MLP(nn.Module):
    """Dense layers, each followed by an activation, before which there may be a layer norm.

    Attributes:
      hidden: width of each layer.
      activation: a key of ``ACTIVATIONS``.
      output: width of a last, linear layer; None for none.
      layer_norm: normalize each hidden layer before its activation.
      initializer: a key of ``INITIALIZERS``.
      last_hidden_scale: with "orthogonal", the gain of the last hidden layer; the others' is the square root of two.
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    output: int | None = None
    layer_norm: bool = False
    initializer: str = "fan_in_uniform"
    last_hidden_scale: float = ORTHOGONAL_SCALE

    @nn.compact
    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        make = INITIALIZERS[self.initializer]
        for i, width in enumerate(self.hidden):
            scale = self.last_hidden_scale if i + 1 == len(self.hidden) else ORTHOGONAL_SCALE
            x = nn.Dense(width, kernel_init=make(scale), dot_general=product)(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = ACTIVATIONS[self.activation](x)
        if self.output is None:
            return x
        return nn.Dense(self.output, kernel_init=make(ORTHOGONAL_SCALE), dot_general=product)(x)


def num_parameters(params: dict) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
