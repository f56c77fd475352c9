"""Q-chunking: FQL that learns from chunks of five actions and carries them out (Li et al. 2025, arXiv 2507.07969).

    smac-jax sweep --config=qc --task=chunks:5:ogbench:cube-triple-play-singletask-task2-v0

Source: ``main.py``, ``agents/acfql.py`` and the README of the authors' code (QC-FQL). The chunks are those of the data
set's name; the discount of every algorithm is that of a whole chunk, ``0.99 ** 5``, so ``--offline=bc`` fits as well.
``qc:10`` is for chunks of ten actions. Deviations: the replay buffer holds the chunks that were carried out, and not
those that begin in between; there is one update for each chunk (published: for each step); each batch takes a fixed
share from the data.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.chunk_names import DISCOUNT
from smac_jax.errors import ConfigError
from smac_jax.presets import base

STEPS, WARM_START, EVERY = 1_000_000, 5_000, 100_000
"""Of the published training: environment steps online, those before the first update, and between evaluations."""


def get_config(variant: str = "") -> ConfigDict:
    """The settings for chunks of ``variant`` actions; of 5 without one.

    Raises:
      ConfigError: the variant is not a length.
    """
    if variant and not (variant.isdecimal() and int(variant) > 0):
        raise ConfigError(
            f"The preset qc has no variant {variant!r}: it takes the length of the chunks, such as qc:10."
        )
    length = int(variant or 5)
    config = base.get_config()
    config.offline, config.online = ("fql",), ("same",)
    for section in config.values():
        if isinstance(section, ConfigDict) and section.get("discount") is not None:
            section.discount = DISCOUNT**length
    config.fql.alpha = 100.0
    config.pretrain.update({"num_updates": 1_000_000, "eval_every": EVERY, "eval_episodes": 50, "final_episodes": 50})
    config.finetune.update(
        {"num_steps": STEPS // length, "warm_start": WARM_START // length, "eval_every": EVERY // length}
    )
    config.finetune.update({"eval_episodes": 50, "final_episodes": 50})
    return config
