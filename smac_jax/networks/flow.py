"""A policy that pushes noise through a network once: what FQL distills from a flow.

Source: FQL (Park et al. 2025, arXiv 2502.02538), section 4, and its code.
"""

from __future__ import annotations

from typing import NoReturn

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

from smac_jax.errors import ConfigError
from smac_jax.networks.mlp import MLP
from smac_jax.types import Array, Key, Params

NO_DENSITY = (
    "The policy is a one-step flow (network.distribution = 'one_step_flow'), which has no density that could be "
    "computed. SAC, AWR and weighted regression need one: give such a policy to TD3 or TD3+BC, or take another "
    "distribution."
)


class OneStepFlow(struct.PyTreeNode):
    """Noise pushed through a network: ``a = clip(mu(s, z), -1, 1)``, ``z ~ N(0, I)``.

    A pytree, so it passes through jit, vmap and scan. It has no density: ``mu(s, .)`` need not be invertible.

    Attributes:
      observation: ``s``, as the network sees it.
      params: of the network.
      network: ``mu``, a perceptron of ``(s, z)``.
    """

    observation: Float[Array, "*batch observation"]
    params: Params
    network: MLP = struct.field(pytree_node=False)

    def at(self, noise: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
        """``mu(s, z)``, which may lie outside the action box."""
        x = jnp.concatenate([self.observation, noise], axis=-1)
        return self.network.apply(self.params, x)  # type: ignore[return-value]

    def mode(self) -> Float[Array, "*batch action"]:
        """The action for zero noise, the mode of the noise. It need not be likely."""
        return jnp.clip(self.at(jnp.zeros(self._shape, jnp.float32)), -1.0, 1.0)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """A reparameterized action."""
        return jnp.clip(self.at(jax.random.normal(key, self._shape, jnp.float32)), -1.0, 1.0)

    def sample_and_log_prob(self, key: Key) -> NoReturn:
        """Raises ConfigError: there is no density."""
        raise ConfigError(NO_DENSITY)

    def log_prob(self, action: Float[Array, "*batch action"]) -> NoReturn:
        """Raises ConfigError: there is no density."""
        raise ConfigError(NO_DENSITY)

    @property
    def _shape(self) -> tuple[int, ...]:
        assert self.network.output is not None
        return (*self.observation.shape[:-1], self.network.output)
