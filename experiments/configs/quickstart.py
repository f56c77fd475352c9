"""SMAC and TD3+BC on the embedded Hopper data, in minutes on two CPU cores.

Everything is small: networks of 2 x 128, thousands of updates where the paper has hundreds of thousands. SMAC keeps
its ensemble of ten critics and its offline batches of 64, TD3+BC its two critics.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from experiments.configs import base


def get_config() -> ConfigDict:
    """The quickstart's sizes; what is not named here is the library's default."""
    config = base.get_config()
    config.pretrain.update({"num_updates": 24_000, "eval_every": 3_000, "eval_episodes": 5})
    config.finetune.update({"num_steps": 8_000, "warm_start": 5_000, "eval_every": 500, "eval_episodes": 5})
    network = {"actor_hidden": (128, 128), "critic_hidden": (128, 128)}
    config.smac.update({"batch_size": 64, "network": {**network, "num_critics": 10}, "alpha_hidden": (64, 64)})
    config.td3_bc.update({"batch_size": 128, "network": network})
    config.sac.update({"batch_size": 128})
    return config
