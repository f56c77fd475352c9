"""One file an algorithm; beside them what they share, their contracts, and a registry of their names."""

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase, TrainingState
from smac_jax.algorithms.registry import OFFLINE, ONLINE, make_offline, make_online

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
