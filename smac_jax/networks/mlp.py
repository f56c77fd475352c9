"""The multi-layer perceptron under every network here."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.product import product
from smac_jax.types import Array

# Kernels as PyTorch's linear layers, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which TD3+BC's code and CORL start from.
# Biases start at zero, where those draw them from the same range. (IQL's code: orthogonal kernels times sqrt(2).)
kernel_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "silu": nn.silu}


class MLP(nn.Module):
    """Dense layers with an activation (and, if asked, a layer norm before it) after each.

    Attributes:
      hidden: width of each layer.
      activation: a key of ``ACTIVATIONS``.
      output: width of a last, linear layer; None for none.
      layer_norm: normalise each hidden layer before its activation.
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    output: int | None = None
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch output"]:
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=kernel_init, dot_general=product)(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = ACTIVATIONS[self.activation](x)
        return x if self.output is None else nn.Dense(self.output, kernel_init=kernel_init, dot_general=product)(x)


def num_parameters(params: dict) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
