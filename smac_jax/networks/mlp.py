"""The multi-layer perceptron, of which all networks of this package consist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.product import product
from smac_jax.types import Array

# The initializer of the kernels of PyTorch's linear layers, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in TD3+BC's code and
# CORL. Biases are zero at first; in those codes they have the same distribution as the kernels.
kernel_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
# The gain of WSRL's and IQL's code.
ORTHOGONAL_SCALE = 2.0**0.5
# The largest absolute value of the initial parameters of a last layer in EDAC's and ReBRAC's code.
CRITIC_BOUND, ACTOR_BOUND = 3e-3, 1e-3

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "silu": nn.silu}


def orthogonal(scale: float) -> nn.initializers.Initializer:
    """Returns the initializer of kernels whose columns (or rows, if there are fewer) are orthogonal, of norm ``scale``.

    The distribution is uniform, as in Flax. The computation is Gram-Schmidt's, not LAPACK's QR: a compiled program that
    initializes several networks in parallel was seen to wait forever for LAPACK on a CPU with two cores (jaxlib
    0.10.2).
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
    "glorot_uniform": lambda scale: nn.initializers.glorot_uniform(),
    "edac": lambda scale: kernel_init,
}
"""The initializers of kernels by name. Each is a function of the gain, which only "orthogonal" uses.

"glorot_uniform" is that of FQL's code, and "edac" that of EDAC's and ReBRAC's code, in which biases are 0.1 at first
and the last layer is near zero (:func:`output_init`).
"""


def bias_init(initializer: str) -> nn.initializers.Initializer:
    """Returns the initializer of the bias of a hidden layer, for the name of the initializer of the kernels."""
    return nn.initializers.constant(0.1) if initializer == "edac" else nn.initializers.zeros


def output_init(initializer: str, bound: float) -> dict[str, nn.initializers.Initializer]:
    """Returns the initializers of a last layer.

    Args:
      initializer: the name of the initializer of the kernels, a key of ``INITIALIZERS``.
      bound: with "edac", kernel and bias are uniform in ``[-bound, bound]``.
    """
    if initializer != "edac":
        return {"kernel_init": INITIALIZERS[initializer](ORTHOGONAL_SCALE), "bias_init": nn.initializers.zeros}

    def near_zero(key: Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {"kernel_init": near_zero, "bias_init": near_zero}


class MLP(nn.Module):
    """Dense layers with an activation, and optionally a layer norm before or after the activation.

    Attributes:
      hidden: the widths of the hidden layers.
      activation: a key of ``ACTIVATIONS``.
      output: the width of the last layer, which is linear; None for no such layer.
      layer_norm: whether each hidden layer has a layer norm.
      initializer: a key of ``INITIALIZERS``.
      last_hidden_scale: with "orthogonal", the gain of the last hidden layer; that of the others is the square root of
        two.
      layer_norm_position: ``"before_activation"`` (WSRL) or ``"after_activation"`` (ReBRAC, FQL).
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    output: int | None = None
    layer_norm: bool = False
    initializer: str = "fan_in_uniform"
    last_hidden_scale: float = ORTHOGONAL_SCALE
    layer_norm_position: str = "before_activation"

    @nn.compact
    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        make = INITIALIZERS[self.initializer]
        for i, width in enumerate(self.hidden):
            scale = self.last_hidden_scale if i + 1 == len(self.hidden) else ORTHOGONAL_SCALE
            x = nn.Dense(width, kernel_init=make(scale), bias_init=bias_init(self.initializer), dot_general=product)(x)
            if self.layer_norm and self.layer_norm_position == "before_activation":
                x = nn.LayerNorm()(x)
            x = ACTIVATIONS[self.activation](x)
            if self.layer_norm and self.layer_norm_position == "after_activation":
                x = nn.LayerNorm()(x)
        if self.output is None:
            return x
        return nn.Dense(self.output, dot_general=product, **output_init(self.initializer, CRITIC_BOUND))(x)


def num_parameters(params: dict) -> int:
    """Returns the number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
