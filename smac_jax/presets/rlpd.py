"""RLPD, which trains online from scratch with half of each batch from the offline data (Ball et al. 2023).

    smac-jax sweep --config=rlpd --task=halfcheetah-medium-replay

Source: arXiv 2302.02948; ``configs/rlpd_config.py``, ``train_finetuning.py`` and the README of its authors' code, for
locomotion. ``--config=rlpd:adroit`` is for Adroit's binary tasks, with three hidden layers and without the entropy in
the backup. The authors' settings for AntMaze, which use the targets of a single random critic, are not available.
Deviation: kernels are initialized as in :mod:`smac_jax.networks.mlp`; the authors use Glorot's uniform initializer.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

NETWORK: dict[str, Any] = {
    "critic_layer_norm": True,
    "num_critics": 10,
    "min_log_std": -20.0,
    "max_log_std": 2.0,
}
HIDDEN = {"": (256, 256), "adroit": (256, 256, 256)}


def get_config(variant: str = "") -> ConfigDict:
    """Returns RLPD's settings; ``variant`` is "" (locomotion) or "adroit".

    Raises:
      ConfigError: the variant is not known.
    """
    if variant not in HIDDEN:
        raise ConfigError(f"The configuration rlpd has no variant {variant!r}. Its only variant is 'adroit'.")
    config = base.get_config()
    config.offline, config.online = ("none",), ("rlpd",)
    config.none.network.update({**NETWORK, "actor_hidden": HIDDEN[variant], "critic_hidden": HIDDEN[variant]})
    config.rlpd.entropy_backup = variant == ""
    config.finetune.update({"num_steps": 250_000, "warm_start": 5_000, "data_fraction": 0.5})
    return config
