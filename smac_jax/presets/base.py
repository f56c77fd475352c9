"""Every field of every algorithm at its default, from which the other configurations start.

A field is overridden on the command line, ``--config.smac.kappa=20``; a name that does not exist is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict, config_dict

from smac_jax.algorithms import make_offline, make_online
from smac_jax.algorithms.continuation import SAME, fixed_fields
from smac_jax.algorithms.make import continues, make_online_after
from smac_jax.algorithms.none import NONE
from smac_jax.registry import OFFLINE, ONLINE

LATER = {"final_data_fraction": None, "data_fraction_steps": None, "environments": 1, "carry": "all"}
"""Fields of ``finetune`` that earlier versions did not have, with the defaults at which nothing changes.

At these they are not recorded, so that the folders of earlier sweeps are still known as those of the same command.
"""


LATER_SECTIONS = (NONE, "rlpd")
"""Sections of algorithms that earlier versions did not have; they name no folder of a sweep that does not use them."""


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
            "final_data_fraction": config_dict.placeholder(float),
            "data_fraction_steps": config_dict.placeholder(int),
            "environments": 1,
            "carry": "all",
            "eval_every": 5_000,
            **evaluations,
        }
    )
    for name, (config_class, _) in OFFLINE.items():
        config[name] = ConfigDict(defaults(config_class))
    for name, (config_class, _) in ONLINE.items():
        config[online_section(name)] = ConfigDict(defaults(config_class))
    for name, (config_class, _) in OFFLINE.items():
        if name not in ONLINE and name != NONE:
            config[online_section(name)] = as_offline(config_class)
    return config


def as_offline(config_class: Any) -> ConfigDict:
    """A section for an offline algorithm that continues online: None, which is as offline, in all that may change."""
    fixed = fixed_fields(config_class)
    fields = [field for field in dataclasses.fields(config_class) if field.name not in fixed]
    kinds = {field.name: type(field.default) for field in fields if field.default is not dataclasses.MISSING}
    return ConfigDict({name: config_dict.placeholder(kind) for name, kind in kinds.items()})


def without_unset(config: ConfigDict) -> dict[str, Any]:
    """The configuration without what concerns only offline algorithms that continue online, where it sets nothing."""

    def sets_nothing(section: Any) -> bool:
        return isinstance(section, dict) and bool(section) and all(value is None for value in section.values())

    found = {name: section for name, section in config.to_dict().items() if not sets_nothing(section)}
    return found | ({"finetune": without_defaults(found["finetune"])} if "finetune" in found else {})


def without_defaults(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """A ``finetune`` section without the fields of :data:`LATER` that are at their defaults."""
    return {name: value for name, value in schedule.items() if name not in LATER or value != LATER[name]}


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
    recorded = without_unset(config)
    made = {name: make_offline(name, recorded[name]) for name in offline}
    for name, built in made.items():
        recorded[name] = dataclasses.asdict(built.config)
    for name in online:
        if not continues(name):
            section = online_section(name)
            recorded[section] = dataclasses.asdict(make_online(name, recorded[section]).config)
            continue
        for before in made.values():
            section = online_section(name, before.name)
            changes = {field: value for field, value in recorded.get(section, {}).items() if value is not None}
            recorded[section] = dataclasses.asdict(make_online_after(before, name, changes).config)
    return recorded


def online_section(name: str, offline: str = "") -> str:
    """Where an online algorithm's fields stand: under its name, or ``online_NAME`` if an offline one has that name.

    Args:
      name: of the online algorithm, or ``"same"``.
      offline: the offline algorithm before it, which ``"same"`` stands for.
    """
    if name == SAME:  # an online algorithm of its own may have the section online_NAME
        return f"{SAME}_{offline}" if offline in ONLINE else f"online_{offline}"
    return f"online_{name}" if name in OFFLINE else name
