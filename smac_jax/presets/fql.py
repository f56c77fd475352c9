"""FQL's published settings, for each group of data sets its own: ``--config=fql:antmaze-medium-play-v2``.

Source: the README of the authors' code (seohongpark/fql), "Reproducing the main results". What differs between the data
sets is alpha, how the target aggregates the two critics, and the discount. OGBench's data sets are named without
``-singletask`` and what follows (``cube-double-play``), D4RL's as they are. For a GPU.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

OGBENCH: dict[str, dict[str, float | str]] = {
    "antmaze-large-navigate": {"alpha": 10.0, "backup_aggregation": "min"},
    "antmaze-giant-navigate": {"alpha": 10.0, "backup_aggregation": "min", "discount": 0.995},
    "humanoidmaze-medium-navigate": {"alpha": 30.0, "discount": 0.995},
    "humanoidmaze-large-navigate": {"alpha": 30.0, "discount": 0.995},
    "antsoccer-arena-navigate": {"alpha": 10.0, "discount": 0.995},
    "cube-single-play": {"alpha": 300.0},
    "cube-double-play": {"alpha": 300.0},
    "scene-play": {"alpha": 300.0},
    "puzzle-3x3-play": {"alpha": 1000.0},
    "puzzle-4x4-play": {"alpha": 1000.0},
}
"""Of OGBench, by the name of the data set without ``-singletask`` and what follows."""
ANTMAZE_ALPHA = {
    "antmaze-umaze-v2": 10.0,
    "antmaze-umaze-diverse-v2": 10.0,
    "antmaze-medium-play-v2": 10.0,
    "antmaze-medium-diverse-v2": 10.0,
    "antmaze-large-play-v2": 3.0,
    "antmaze-large-diverse-v2": 3.0,
}
ADROIT_ALPHA = {
    "pen-human-v1": 10_000.0,
    "pen-cloned-v1": 10_000.0,
    "pen-expert-v1": 3_000.0,
    "door-human-v1": 30_000.0,
    "door-cloned-v1": 30_000.0,
    "door-expert-v1": 30_000.0,
    "hammer-human-v1": 30_000.0,
    "hammer-cloned-v1": 10_000.0,
    "hammer-expert-v1": 30_000.0,
    "relocate-human-v1": 10_000.0,
    "relocate-cloned-v1": 30_000.0,
    "relocate-expert-v1": 30_000.0,
}
D4RL: dict[str, dict[str, float | str]] = {
    # the code learns from AntMaze's rewards minus 1
    **{name: {"alpha": alpha, "reward_bias": -1.0} for name, alpha in ANTMAZE_ALPHA.items()},
    **{name: {"alpha": alpha, "backup_aggregation": "min"} for name, alpha in ADROIT_ALPHA.items()},
}
SETTINGS = {**OGBENCH, **D4RL}


def get_config(variant: str = "") -> ConfigDict:
    """The settings for a data set; without one the code's defaults, alpha 10.

    Raises:
      ConfigError: nothing was published for this data set.
    """
    if variant and variant not in SETTINGS:
        raise ConfigError(f"The preset fql has no settings for {variant!r}. It has: {', '.join(SETTINGS)}.")
    config = base.get_config()
    num_updates = 500_000 if variant in D4RL else 1_000_000
    config.pretrain.update(
        {"num_updates": num_updates, "eval_every": 100_000, "eval_episodes": 50, "final_episodes": 50}
    )
    config.fql.update(SETTINGS.get(variant, {}))
    return config
