"""The study of the hand-over, at a scale for two CPU cores: the same networks, steps and evaluations for everybody.

Every algorithm keeps its published losses, activations and learning rates. SMAC has its ensemble of ten and offline
batches of 64 (SMAC, tables 6-8); the baselines are twins, as published, with batches of 128.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import base

HIDDEN = (128, 128)


def get_config() -> ConfigDict:
    """The study's sizes; what is not named here is the library's default."""
    config = base.get_config()
    config.pretrain.update({"eval_every": 2_000, "eval_episodes": 5})
    config.finetune.update({"num_steps": 4_000, "warm_start": 5_000, "eval_every": 500, "eval_episodes": 5})
    network = {"actor_hidden": HIDDEN, "critic_hidden": HIDDEN}
    for name in ("td3_bc", "iql", "cql", "cal_ql", "awac", "bc"):
        config[name].update({"batch_size": 128, "network": network})
    config.iql.value_hidden = HIDDEN
    config.smac.update({"batch_size": 64, "network": {**network, "num_critics": 10}, "alpha_hidden": (64, 64)})
    for name in ("sac", "td3", "online_td3_bc", "awr"):
        config[name].batch_size = 128
    return config
