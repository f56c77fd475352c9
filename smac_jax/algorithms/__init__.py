"""The algorithms, each in its own module, their contracts, and the modules that they share."""

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase, TrainingState
from smac_jax.algorithms.make import make_offline, make_online
from smac_jax.registry import OFFLINE, ONLINE

__all__ = [
    "OFFLINE",
    "ONLINE",
    "ActorCritic",
    "NetworkConfig",
    "OfflineAlgorithm",
    "OnlineAlgorithm",
    "Phase",
    "TrainingState",
    "make_offline",
    "make_online",
    "new_actor_critic",
]
