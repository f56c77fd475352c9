"""The one-step flow, a policy whose action is a function of observation and noise. FQL distills it from a flow.

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
    "The policy is a one-step flow (network.distribution = 'one_step_flow'), which has no density that is computable. "
    "SAC, AWR and weighted regression need the density. Use TD3 or TD3+BC with such a policy, or another distribution."
)


class OneStepFlow(struct.PyTreeNode):
    """The policy ``a = clip(mu(s, z), -1, 1)`` with ``z ~ N(0, I)``.

    It is a pytree, so it can be an argument or a result of compiled functions. Its density cannot be computed, because
    ``mu(s, .)`` need not be invertible.

    Attributes:
      observation: ``s``, the input of the network.
      params: the parameters of the network.
      network: ``mu``, a perceptron of ``(s, z)``.
    """

    observation: Float[Array, "*batch observation"]
    params: Params
    network: MLP = struct.field(pytree_node=False)

    def at(self, noise: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
        """Returns ``mu(s, z)``, which may be outside the action box."""
        x = jnp.concatenate([self.observation, noise], axis=-1)
        return self.network.apply(self.params, x)  # type: ignore[return-value]

    def mode(self) -> Float[Array, "*batch action"]:
        """Returns the action for ``z = 0``, which is the mode of the noise. This action need not be likely."""
        return jnp.clip(self.at(jnp.zeros(self._shape, jnp.float32)), -1.0, 1.0)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """Returns a reparameterized action."""
        return jnp.clip(self.at(jax.random.normal(key, self._shape, jnp.float32)), -1.0, 1.0)

    def sample_and_log_prob(self, key: Key) -> NoReturn:
        """Raises ConfigError, because the density cannot be computed."""
        raise ConfigError(NO_DENSITY)

    def log_prob(self, action: Float[Array, "*batch action"]) -> NoReturn:
        """Raises ConfigError, because the density cannot be computed."""
        raise ConfigError(NO_DENSITY)

    @property
    def _shape(self) -> tuple[int, ...]:
        assert self.network.output is not None
        return (*self.observation.shape[:-1], self.network.output)
