"""The temperature of the entropy term: its parameterization, its first value and its loss.

    J(alpha) = alpha (entropy of pi - target entropy)

Source: Haarnoja et al. 2018 (arXiv 1812.05905), section 5, equation 18. Deviations: the target entropy is
``target_entropy_scale`` times the number of action dimensions (Haarnoja: -1 times; SMAC, tables 6-8: -10 times). WSRL's
code (Zhou et al. 2024, arXiv 2412.07762) trains the inverse softplus of the temperature instead of its logarithm, and
measures the entropy at the *next* observations.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.contracts import TrainingState
from smac_jax.config import choice, number
from smac_jax.errors import ConfigError
from smac_jax.optim import make_optimizer
from smac_jax.types import Array


@dataclasses.dataclass(frozen=True)
class TemperatureConfig:
    """The fields of the temperature: its first value and its tuning."""

    OF_STATE: ClassVar[tuple[str, ...]] = ("initial_temperature", "temperature_parameterization")

    initial_temperature: float = number(0.1, 1e-8, 1e3)
    temperature_learning_rate: float = number(3e-4, 0.0, 1.0, doc="0 for a constant temperature")
    temperature_parameterization: str = choice(
        "exp", "softplus", doc="the function from the trained number to the temperature (WSRL: softplus)"
    )
    entropy_observations: str = choice(
        "current", "next", doc="the observations at which the entropy is measured to tune the temperature (WSRL: next)"
    )
    target_entropy_scale: float = number(-1.0, -100.0, 100.0, doc="the target entropy for each action dimension")


@dataclasses.dataclass(frozen=True)
class OnlineTemperatureConfig(TemperatureConfig):
    """The fields of the temperature of an online algorithm after pre-training."""

    temperature_start: str = choice(
        "config",
        "offline",
        "carried",
        doc="the first temperature: 'config' is initial_temperature; 'offline' is that at which the offline policy is "
        "the soft optimum, if it is known (SMAC: alpha); 'carried' is the temperature that was trained offline",
    )


class TemperatureLoss(Protocol):
    """A loss of the temperature."""

    def __call__(
        self, config: TemperatureConfig, parameter: Float[Array, ""], entropy: Float[Array, ""], action_size: int, /
    ) -> Float[Array, ""]:
        """Returns the loss ``[]`` of the trained number; see :func:`temperature_loss`."""


def temperature_of(config: TemperatureConfig, parameter: Float[Array, ""]) -> Float[Array, ""]:
    """Returns the temperature ``[]`` for the trained number ``[]``."""
    return jnp.exp(parameter) if config.temperature_parameterization == "exp" else jax.nn.softplus(parameter)


def parameter_of(config: TemperatureConfig, temperature: Float[Array, ""]) -> Float[Array, ""]:
    """Returns the trained number ``[]`` for a temperature ``[]``, the inverse of :func:`temperature_of`."""
    if config.temperature_parameterization == "exp":
        return jnp.log(temperature)
    return temperature + jnp.log(-jnp.expm1(-temperature))


def temperature_optimizer(config: TemperatureConfig) -> optax.GradientTransformation:
    """Returns the optimizer of the temperature, which is always Adam because the temperature is a scalar."""
    return make_optimizer("adam", config.temperature_learning_rate)


def temperature_loss(
    config: TemperatureConfig, parameter: Float[Array, ""], entropy: Float[Array, ""], action_size: int
) -> Float[Array, ""]:
    """Returns ``temperature * (entropy - target entropy)``.

    The temperature decreases if the entropy is above its target, and increases if it is below.

    Args:
      config: has the parameterization and the target.
      parameter: the trained number, ``[]``.
      entropy: the mean entropy of the policy over a batch, ``[]``.
      action_size: the number of action dimensions.
    """
    return temperature_of(config, parameter) * (entropy - config.target_entropy_scale * action_size)


def starting_temperature(
    config: OnlineTemperatureConfig, actor_critic: ActorCritic, training_state: TrainingState | None
) -> Float[Array, ""]:
    """Returns the first temperature ``[]`` of an online algorithm.

    Args:
      config: has ``temperature_start``.
      actor_critic: may have a temperature of the offline algorithm (SMAC: alpha).
      training_state: may have the temperature that was trained offline.

    Raises:
      ConfigError: the config asks for a temperature that was trained offline, but there is none.
    """
    configured = jnp.asarray(config.initial_temperature, jnp.float32)
    if config.temperature_start == "offline" and actor_critic.temperature is not None:
        # alpha can be negative if it has no constraint
        known = jnp.isfinite(actor_critic.temperature) & (actor_critic.temperature > 0.0)
        return jnp.where(known, actor_critic.temperature, configured)
    if config.temperature_start == "carried":
        if training_state is None or training_state.temperature is None:
            raise ConfigError(
                f"{type(config).__name__}.temperature_start = 'carried': no temperature was trained offline. Pass "
                "training_state=..., as pretrain(...) returns it, of SMAC, CQL or Cal-QL."
            )
        return training_state.temperature
    return configured
