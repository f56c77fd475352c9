"""SMAC and TD3+BC on the embedded half cheetah data, transferred to SAC: minutes on two CPU cores.

Everything is small: networks of 2 x 128, thousands of updates where the paper has hundreds of thousands, and four
critics for SMAC where it has ten. What SMAC has otherwise than by the library's defaults is what its transfer was found
to need at this length (``results/README.md``), on other seeds (100 to 103) than those that are shown:

* the weight of the penalty is halved every 600 updates, so that temporal differences alone have trained the critics for
  a while when they are transferred;
* of WSRL's base (:mod:`smac_jax.presets.bases`) the critics' layer norm, random pairs in the backup, the optimizers'
  states that are carried over, and online four critic steps for each step of the policy;
* SAC's temperature is next to nothing, as it would be after a long tuning towards the paper's target entropy.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import base


def get_config() -> ConfigDict:
    """The quickstart's sizes; what is not named here is the library's default."""
    config = base.get_config()
    # 1,250 is a multiple of 250, so that offline training and its control share one compiled program
    evaluations = {"eval_episodes": 5, "final_episodes": 10}
    config.pretrain.update({"num_updates": 7_000, "eval_every": 1_250, **evaluations})
    config.finetune.update({"num_steps": 1_500, "warm_start": 5_000, "eval_every": 250, **evaluations})
    network = {"actor_hidden": (128, 128), "critic_hidden": (128, 128)}
    config.smac.update(
        {
            "batch_size": 64,
            "network": {**network, "num_critics": 4, "critic_layer_norm": True},
            "alpha_hidden": (64, 64),
            "backup_aggregation": "random2_independent",
            "kappa_adaptation": "decay",
            "kappa_half_life": 600.0,
        }
    )
    config.smac.score_model.num_updates = 2_000
    config.iql.update({"batch_size": 128, "network": network, "value_hidden": (128, 128)})
    config.td3_bc.update({"batch_size": 128, "network": network})
    config.sac.update(
        {
            "batch_size": 256,
            "utd": 4,
            "backup_aggregation": "random2_independent",
            "optimizer_start": "carried",
            "initial_temperature": 0.001,
            "temperature_learning_rate": 0.0,
        }
    )
    return config
