"""The noise-prediction network of the diffusion score model.

Source: SMAC tables 6-8; the residual block is that of IDQL (Hansen-Estruch et al. 2023, arXiv 2304.10573, appendix G):
a layer norm, a layer of four times the width, an activation, and a layer of the original width, whose result is added
to the input. Deviations from IDQL's code: all activations are silu (IDQL: mish and swish), there is no dropout (IDQL:
0.1), and Fourier features are of ``(k + 1) / K`` with frequencies from N(0, 1) (IDQL: of ``k``, from N(0, 0.2)). The
average of the parameters over time is an option (``average_rate``).
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.mlp import MLP, kernel_init
from smac_jax.networks.product import product
from smac_jax.types import Array


class FourierFeatures(nn.Module):
    """Cosine and sine of a scalar in ``[0, 1]`` with learned frequencies.

    Attributes:
      size: the number of features, which is even.
    """

    size: int

    @nn.compact
    def __call__(self, x: Float[Array, "*batch"]) -> Float[Array, "*batch size"]:
        frequency = self.param("frequency", nn.initializers.normal(1.0), (self.size // 2,), jnp.float32)
        phase = 2.0 * jnp.pi * x[..., None] * frequency
        return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)


class NoisePredictor(nn.Module):
    """The network ``eps_omega(s, a_k, w, k)``, which predicts the noise in a noised action.

    Attributes:
      action_size: the number of action dimensions.
      hidden: the width of the residual stream.
      num_blocks: the number of residual blocks.
      observation_embedding, time_embedding, condition_embedding: the widths of the three embeddings.
      condition_hidden: the widths of the layers that embed the condition.
    """

    action_size: int
    hidden: int = 512
    num_blocks: int = 3
    observation_embedding: int = 64
    time_embedding: int = 64
    condition_embedding: int = 64
    condition_hidden: tuple[int, ...] = (512, 512, 512)

    @nn.compact
    def __call__(
        self,
        observation: Float[Array, "*batch observation"],
        noised_action: Float[Array, "*batch action"],
        condition: Float[Array, "*batch"],
        time: Float[Array, "*batch"],
    ) -> Float[Array, "*batch action"]:
        x = jnp.concatenate(
            [
                noised_action,
                MLP((self.observation_embedding,), "silu", output=self.observation_embedding)(observation),
                MLP((self.time_embedding,), "silu", output=self.time_embedding)(
                    FourierFeatures(self.time_embedding)(time)
                ),
                MLP(self.condition_hidden, "silu", output=self.condition_embedding)(condition[..., None]),
            ],
            axis=-1,
        )
        x = nn.Dense(self.hidden, kernel_init=kernel_init, dot_general=product)(x)
        for _ in range(self.num_blocks):
            y = nn.Dense(4 * self.hidden, kernel_init=kernel_init, dot_general=product)(nn.LayerNorm()(x))
            x = x + nn.Dense(self.hidden, kernel_init=kernel_init, dot_general=product)(nn.silu(y))
        return nn.Dense(self.action_size, kernel_init=nn.initializers.zeros, dot_general=product)(nn.silu(x))
