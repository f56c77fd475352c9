"""The networks of offline algorithms, and the units of observations and rewards in which they are trained."""

from __future__ import annotations

import dataclasses
import warnings
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import Config
from smac_jax.config import number, switch
from smac_jax.data.dataset import Dataset
from smac_jax.spread import ROUNDING, spread
from smac_jax.types import Array, Key


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """The networks, and the units of their observations and rewards. An online algorithm keeps all of them."""

    OF_STATE: ClassVar[tuple[str, ...]] = (
        "network",
        "normalize_observations",
        "reward_scale",
        "reward_bias",
        "return_span",
    )

    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    normalize_observations: bool = switch(
        True, doc="whether networks get (observation - mean) / std, with the statistics of the data set"
    )
    reward_scale: float = number(
        1.0, 1e-6, 1e6, doc="algorithms learn from reward_scale * reward + reward_bias; evaluations do not use it"
    )
    reward_bias: float = number(0.0, -1e6, 1e6)
    return_span: float = number(
        0.0,
        0.0,
        1e6,
        doc="above 0: reward_scale is also multiplied by return_span / (highest - lowest return of the data), if the "
        "returns differ (IQL's code: 1000)",
    )


def actor_critic_for(config: PretrainingConfig, key: Key, dataset: Dataset) -> ActorCritic:
    """Returns randomly initialized networks with the units of observations and rewards that the config asks for."""
    mean, std = dataset.observation_statistics()
    if not config.normalize_observations:
        mean, std = jnp.zeros_like(mean), jnp.ones_like(std)
    scale = reward_scale_for(config, dataset)
    return new_actor_critic(config.network, key, mean, std, dataset.actions.shape[-1], scale, config.reward_bias)


def reward_scale_for(config: PretrainingConfig, dataset: Dataset) -> Float[Array, ""]:
    """Returns the factor of the rewards, which includes ``return_span / (highest - lowest return)`` if that is set."""
    scale = jnp.asarray(config.reward_scale, jnp.float32)
    if config.return_span == 0.0:
        return scale
    low, high = dataset.trajectory_returns.min(), dataset.trajectory_returns.max()
    differ = high - low > ROUNDING * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return jnp.where(differ, scale * config.return_span / jnp.where(differ, high - low, 1.0), scale)


def warn_of_equal_returns(config: Config, dataset: Dataset) -> None:
    """Warns if a config scales rewards by the spread of the returns, but all returns are equal."""
    if not isinstance(config, PretrainingConfig) or config.return_span == 0.0:
        return
    returns = np.asarray(dataset.trajectory_returns)
    if spread(returns) == 0.0:
        warnings.warn(
            f"{type(config).__name__}.return_span = {config.return_span:g}: every episode of {dataset.name} has the "
            f"return {returns[0]:g}, so the span of returns cannot be scaled. Rewards are only multiplied by "
            f"reward_scale = {config.reward_scale:g}.",
            stacklevel=3,
        )
