"""Published settings of IQL, CQL and Cal-QL for AntMaze. SMAC's paper has no results on AntMaze, so SMAC is not tuned.

Sources: IQL (Kostrikov et al. 2021, arXiv 2110.06169) has the expectile 0.9, the temperature 10, and rewards minus 1.
Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479) has rewards times 10 minus 5, a regularizer with the weight 5, and
critics with four layers. ReBRAC and FQL have the settings of the medium maze in :mod:`smac_jax.presets.rebrac` and
:mod:`smac_jax.presets.fql`, which also have those of the other mazes.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.algorithms import OFFLINE
from smac_jax.presets import base, fql, rebrac


def get_config() -> ConfigDict:
    """Returns the settings at the scale of the publications. A run takes hours on a GPU."""
    config = base.get_config()
    config.pretrain.update({"num_updates": 1_000_000, "eval_every": 50_000, "eval_episodes": 20, "final_episodes": 100})
    for name in OFFLINE:
        config[name].update({"reward_scale": 1.0, "reward_bias": -1.0})
    config.rebrac.update(rebrac.get_config("antmaze-medium-play-v2").rebrac)
    config.fql.update(fql.get_config("antmaze-medium-play-v2").fql)
    config.iql.update({"expectile": 0.9, "beta": 10.0})
    for name in ("cql", "cal_ql"):
        config[name].update({"reward_scale": 10.0, "reward_bias": -5.0, "min_q_weight": 5.0})
        config[name].network.update({"actor_hidden": (256, 256), "critic_hidden": (256,) * 4})
    return config
