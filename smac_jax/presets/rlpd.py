"""RLPD: from fresh networks, half of each batch from the offline data (Ball et al. 2023, arXiv 2302.02948).

    smac-jax sweep --config=rlpd --task=halfcheetah-medium-replay

Source: ``configs/rlpd_config.py``, ``train_finetuning.py`` and the README of its authors' code, for locomotion.
``--config=rlpd:adroit`` is for Adroit's binary tasks: three hidden layers, and no entropy in the backup. Not available
is what the authors take for AntMaze: targets of a single random critic. Kernels start as in
:mod:`smac_jax.networks.mlp` (published: Glorot's uniform ones).
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
    """RLPD's settings; ``variant`` is "" (locomotion) or "adroit".

    Raises:
      ConfigError: another variant.
    """
    if variant not in HIDDEN:
        raise ConfigError(f"The configuration rlpd has no variant {variant!r}. It has 'adroit'.")
    config = base.get_config()
    config.offline, config.online = ("none",), ("rlpd",)
    config.none.network.update({**NETWORK, "actor_hidden": HIDDEN[variant], "critic_hidden": HIDDEN[variant]})
    config.rlpd.entropy_backup = variant == ""
    config.finetune.update({"num_steps": 250_000, "warm_start": 5_000, "data_fraction": 0.5})
    return config
