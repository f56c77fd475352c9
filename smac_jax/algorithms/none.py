"""No offline training: fresh networks, from which an online algorithm learns from scratch.

It takes the place of an offline algorithm (``--offline=none``) and has no phases. The data give the sizes of the
networks, and the units of observations and rewards only if ``normalize_observations`` or ``return_span`` asks for them.
An online algorithm may still draw from the data: RLPD takes half of each batch from them; with ``data_fraction = 0`` it
takes nothing.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from smac_jax.algorithms.actor_critic import ActorCritic, new_actor_critic
from smac_jax.algorithms.contracts import OfflineAlgorithm
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import resolve, switch
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.types import Key

NONE = "none"


@dataclasses.dataclass(frozen=True)
class NoneConfig(PretrainingConfig):
    """The networks, and the units of observations and rewards."""

    normalize_observations: bool = switch(False, doc="see (observation - mean) / std of the data set")


def init(config: NoneConfig, key: Key, dataset: Dataset) -> ActorCritic:
    """Fresh networks for the sizes of a data set; the state is these alone."""
    return actor_critic_for(config, key, dataset)


def none(config: NoneConfig) -> OfflineAlgorithm[ActorCritic]:
    """Builds the absence of an offline algorithm."""
    return OfflineAlgorithm(
        name=NONE, config=config, init=partial(init, config), phases=(), actor_critic=lambda state: state
    )


def fresh_networks(config: Any, keys: Key, observation_size: int, action_size: int) -> ActorCritic:
    """The same without a data set: fresh networks of several seeds, leaves ``[seed, ...]``.

    Args:
      config: None for the defaults, a mapping of the fields that differ, or a :class:`NoneConfig`.
      keys: ``[seed]``.
      observation_size, action_size: of the environment.

    Raises:
      ConfigError: a field that does not exist, is out of range, or needs a data set.
    """
    config = resolve(NoneConfig, config)
    for name in ("normalize_observations", "return_span"):
        if getattr(config, name):
            raise ConfigError(
                f"NoneConfig.{name} = {getattr(config, name)!r}: needs a data set. Take pretrain('none', data)."
            )
    mean, std = jnp.zeros(observation_size, jnp.float32), jnp.ones(observation_size, jnp.float32)

    def one_seed(key: Key) -> ActorCritic:
        return new_actor_critic(config.network, key, mean, std, action_size, config.reward_scale, config.reward_bias)

    return jax.vmap(one_seed)(keys)
