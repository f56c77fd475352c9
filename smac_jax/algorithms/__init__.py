"""One file an algorithm, and a registry of their names."""

from smac_jax.algorithms.base import ActorCritic, NetworkConfig, OfflineAlgorithm, OnlineAlgorithm, Phase
from smac_jax.algorithms.registry import OFFLINE, ONLINE, make_offline, make_online

__all__ = [
    "OFFLINE",
    "ONLINE",
    "ActorCritic",
    "NetworkConfig",
    "OfflineAlgorithm",
    "OnlineAlgorithm",
    "Phase",
    "make_offline",
    "make_online",
]
