"""Every field of every algorithm at its default, from which the other configurations start.

A field is overridden on the command line, ``--config.smac.kappa=20``; a name that does not exist is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from smac_jax.algorithms import make_offline, make_online
from smac_jax.registry import OFFLINE, ONLINE


def get_config() -> ConfigDict:
    """The defaults, at a scale for one GPU."""
    config = ConfigDict()
    evaluations = {"eval_episodes": 20, "final_episodes": 20}
    config.pretrain = ConfigDict({"num_updates": 250_000, "eval_every": 10_000, **evaluations})
    config.finetune = ConfigDict(
        {
            "num_steps": 200_000,
            "warm_start": 5_000,
            "data_fraction": 0.5,
            "environments": 1,
            "eval_every": 5_000,
            **evaluations,
        }
    )
    for name, (config_class, _) in OFFLINE.items():
        config[name] = ConfigDict(defaults(config_class))
    for name, (config_class, _) in ONLINE.items():
        config[online_section(name)] = ConfigDict(defaults(config_class))
    return config


def defaults(config_class: Any) -> dict[str, Any]:
    """What the fields of an algorithm's configuration say of themselves.

    A default that depends on another field stays open here ("auto"), where an instance has decided it already; so the
    other field can still be overridden.
    """
    return {
        field.name: field.default
        if field.default_factory is dataclasses.MISSING
        else dataclasses.asdict(field.default_factory())  # type: ignore[call-overload]
        for field in dataclasses.fields(config_class)
    }


def as_run(config: ConfigDict, offline: Sequence[str], online: Sequence[str]) -> dict[str, Any]:
    """The configuration with the sections of these algorithms as they run: every field checked and decided."""
    recorded = config.to_dict()
    for name in offline:
        recorded[name] = dataclasses.asdict(make_offline(name, recorded[name]).config)
    for name in online:
        section = online_section(name)
        recorded[section] = dataclasses.asdict(make_online(name, recorded[section]).config)
    return recorded


def online_section(name: str) -> str:
    """Where an online algorithm's fields stand: under its name, or ``online_NAME`` if an offline one has that name."""
    return f"online_{name}" if name in OFFLINE else name
