"""One file an algorithm."""

from smac_jax.algorithms.base import ActorCritic, NetworkConfig, OfflineAlgorithm, OnlineAlgorithm, Phase
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
    "make_offline",
    "make_online",
]
