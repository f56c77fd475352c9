"""Algorithms by name: a new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smac_jax.algorithms.awac import AWACConfig, awac
from smac_jax.algorithms.awr import AWRConfig, awr
from smac_jax.algorithms.bc import BCConfig, bc
from smac_jax.algorithms.cal_ql import CalQLConfig, cal_ql
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm
from smac_jax.algorithms.cql import CQLConfig, cql
from smac_jax.algorithms.iql import IQLConfig, iql
from smac_jax.algorithms.sac import SACConfig, sac
from smac_jax.algorithms.smac import SMACConfig, smac
from smac_jax.algorithms.td3 import TD3Config, td3
from smac_jax.algorithms.td3_bc import OnlineTD3BCConfig, TD3BCConfig, online_td3_bc, td3_bc
from smac_jax.config import resolve
from smac_jax.errors import UnknownNameError

OFFLINE: dict[str, tuple[Any, Callable[[Any], OfflineAlgorithm]]] = {
    "smac": (SMACConfig, smac),
    "td3_bc": (TD3BCConfig, td3_bc),
    "iql": (IQLConfig, iql),
    "cql": (CQLConfig, cql),
    "cal_ql": (CalQLConfig, cal_ql),
    "awac": (AWACConfig, awac),
    "bc": (BCConfig, bc),
}
ONLINE: dict[str, tuple[Any, Callable[[Any], OnlineAlgorithm]]] = {
    "sac": (SACConfig, sac),
    "td3": (TD3Config, td3),
    "td3_bc": (OnlineTD3BCConfig, online_td3_bc),
    "awr": (AWRConfig, awr),
}


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
