"""No offline training: randomly initialized networks, from which an online algorithm learns from scratch.

It replaces an offline algorithm (``--offline=none``), and has no phases. The data define the sizes of the networks.
They affect the units of observations and rewards only if ``normalize_observations`` or ``return_span`` is set. An
online algorithm can still sample from the data: RLPD takes half of each batch from them, and with ``data_fraction = 0``
it takes none.
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

    normalize_observations: bool = switch(
        False, doc="whether networks get (observation - mean) / std, with the statistics of the data set"
    )


def init(config: NoneConfig, key: Key, dataset: Dataset) -> ActorCritic:
    """Returns randomly initialized networks for the sizes of a data set. They are the whole state."""
    return actor_critic_for(config, key, dataset)


def none(config: NoneConfig) -> OfflineAlgorithm[ActorCritic]:
    """Builds the algorithm that trains nothing offline."""
    return OfflineAlgorithm(
        name=NONE, config=config, init=partial(init, config), phases=(), actor_critic=lambda state: state
    )


def fresh_networks(config: Any, keys: Key, observation_size: int, action_size: int) -> ActorCritic:
    """Returns randomly initialized networks of several seeds without a data set; every leaf is ``[seed, ...]``.

    Args:
      config: None for the defaults, a mapping of the fields that differ, or a :class:`NoneConfig`.
      keys: the random keys of the seeds, ``[seed]``.
      observation_size, action_size: the sizes in the environment.

    Raises:
      ConfigError: a field does not exist, is out of range, or needs a data set.
    """
    config = resolve(NoneConfig, config)
    for name in ("normalize_observations", "return_span"):
        if getattr(config, name):
            raise ConfigError(
                f"NoneConfig.{name} = {getattr(config, name)!r} needs a data set. Use pretrain('none', data)."
            )
    mean, std = jnp.zeros(observation_size, jnp.float32), jnp.ones(observation_size, jnp.float32)

    def one_seed(key: Key) -> ActorCritic:
        return new_actor_critic(config.network, key, mean, std, action_size, config.reward_scale, config.reward_bias)

    return jax.vmap(one_seed)(keys)
