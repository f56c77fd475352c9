"""Algorithms by name: a new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smac_jax.algorithms.base import OfflineAlgorithm, OnlineAlgorithm
from smac_jax.algorithms.sac import SACConfig, sac
from smac_jax.algorithms.smac import SMACConfig, smac
from smac_jax.algorithms.td3_bc import TD3BCConfig, td3_bc
from smac_jax.config import resolve
from smac_jax.errors import UnknownNameError

OFFLINE: dict[str, tuple[Any, Callable[[Any], OfflineAlgorithm]]] = {
    "smac": (SMACConfig, smac),
    "td3_bc": (TD3BCConfig, td3_bc),
}
ONLINE: dict[str, tuple[Any, Callable[[Any], OnlineAlgorithm]]] = {"sac": (SACConfig, sac)}


def make_offline(name: str, config: Any = None) -> OfflineAlgorithm:
    """An offline algorithm from its name and config (None, a mapping, or the config's own class).

    Raises:
      UnknownNameError: no offline algorithm of that name.
      ConfigError: an unknown field or a value out of range.
    """
    if name not in OFFLINE:
        raise UnknownNameError("offline algorithm", name, tuple(OFFLINE))
    config_class, build = OFFLINE[name]
    return build(resolve(config_class, config))


def make_online(name: str, config: Any = None) -> OnlineAlgorithm:
    """An online algorithm from its name and config. Raises as :func:`make_offline` does."""
    if name not in ONLINE:
        raise UnknownNameError("online algorithm", name, tuple(ONLINE))
    config_class, build = ONLINE[name]
    return build(resolve(config_class, config))
