"""Every field of every algorithm at its default, from which the other configurations start.

A field is overridden on the command line, ``--config.smac.kappa=20``; a name that does not exist is refused.
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from smac_jax.algorithms import OFFLINE, ONLINE


def get_config() -> ConfigDict:
    """The defaults, at a scale for one GPU."""
    config = ConfigDict()
    config.pretrain = ConfigDict({"num_updates": 250_000, "eval_every": 10_000, "eval_episodes": 20})
    config.finetune = ConfigDict(
        {"num_steps": 200_000, "warm_start": 5_000, "data_fraction": 0.5, "eval_every": 5_000, "eval_episodes": 20}
    )
    for name, (config_class, _) in OFFLINE.items():
        config[name] = ConfigDict(dataclasses.asdict(config_class()))
    for name, (config_class, _) in ONLINE.items():
        config[online_section(name)] = ConfigDict(dataclasses.asdict(config_class()))
    return config


def online_section(name: str) -> str:
    """Where an online algorithm's fields stand: under its name, or ``online_NAME`` if an offline one has that name."""
    return f"online_{name}" if name in OFFLINE else name
