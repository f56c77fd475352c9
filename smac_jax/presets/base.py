"""The base configuration, which has every field of every algorithm at its default. Other configurations change it.

The command line overrides a field by ``--config.smac.kappa=20``, and refuses the name of a field that does not exist.
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
"""Fields of ``finetune`` that earlier versions did not have, with their defaults, which change nothing.

A field with its default is not recorded. So a sweep of an earlier version has the same folder as today.
"""

LATER_SECTIONS = (NONE, "rlpd", "rebrac", "fql")
"""Sections of algorithms that earlier versions did not have. They do not affect the folder of a sweep without them."""


def get_config() -> ConfigDict:
    """Returns the defaults of all algorithms, with numbers of updates for one GPU."""
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
    """Returns the section of an offline algorithm that continues online, with the fields that may change there.

    All fields are None, which means that they have the same values as offline.
    """
    fixed = fixed_fields(config_class)
    fields = [field for field in dataclasses.fields(config_class) if field.name not in fixed]
    kinds = {field.name: type(field.default) for field in fields if field.default is not dataclasses.MISSING}
    return ConfigDict({name: config_dict.placeholder(kind) for name, kind in kinds.items()})


def without_unset(config: ConfigDict) -> dict[str, Any]:
    """Returns the configuration without sections in which all fields are None, and without defaults of later fields."""

    def sets_nothing(section: Any) -> bool:
        return isinstance(section, dict) and bool(section) and all(value is None for value in section.values())

    found = {name: section for name, section in config.to_dict().items() if not sets_nothing(section)}
    return found | ({"finetune": without_defaults(found["finetune"])} if "finetune" in found else {})


def without_defaults(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a ``finetune`` section without those fields of :data:`LATER` that have their defaults."""
    return {name: value for name, value in schedule.items() if name not in LATER or value != LATER[name]}


def defaults(config_class: Any) -> dict[str, Any]:
    """Returns the defaults of the fields of an algorithm's configuration.

    The defaults are those of the class, not of an instance: a default that depends on another field is still "auto", so
    the other field can be overridden first.
    """
    return {
        field.name: field.default
        if field.default_factory is dataclasses.MISSING
        else dataclasses.asdict(field.default_factory())  # type: ignore[call-overload]
        for field in dataclasses.fields(config_class)
    }


def as_run(config: ConfigDict, offline: Sequence[str], online: Sequence[str]) -> dict[str, Any]:
    """Returns the configuration as it is recorded.

    In the sections of the given algorithms every field has been checked, and has the value with which it runs.
    """
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
    """Returns the section of an online algorithm: its name, or ``online_NAME`` if an offline algorithm has that name.

    Args:
      name: the name of the online algorithm, or ``"same"``.
      offline: the name of the offline algorithm that ``"same"`` continues.
    """
    if name == SAME:  # if an online algorithm has the name of the offline one, it has the section online_NAME
        return f"{SAME}_{offline}" if offline in ONLINE else f"online_{offline}"
    return f"online_{name}" if name in OFFLINE else name
