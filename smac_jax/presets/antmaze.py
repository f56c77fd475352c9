"""Settings for AntMaze, from those who published results there; SMAC's authors did not, and its own are not tuned.

Sources: IQL (Kostrikov et al. 2021, arXiv 2110.06169): expectile 0.9, temperature 10, rewards minus 1; Cal-QL
(Nakamoto et al. 2023, arXiv 2303.05479): rewards times 10 minus 5, a weight of 5 of the regularizer, critics
of four layers; ReBRAC and FQL: those of the medium maze in :mod:`smac_jax.presets.rebrac`, :mod:`smac_jax.presets.fql`,
which have every maze's.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.algorithms import OFFLINE
from smac_jax.presets import base, fql, rebrac


def get_config() -> ConfigDict:
    """AntMaze, at its publications' scale: hours on a GPU."""
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
