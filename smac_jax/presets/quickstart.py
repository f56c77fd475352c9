"""SMAC and TD3+BC on the embedded half cheetah data, transferred to SAC. It takes minutes on two CPU cores.

Networks are 2 x 128, SMAC has four critics instead of the paper's ten, and there are thousands of updates instead of
hundreds of thousands. With so few updates, SMAC's transfer needs other settings than the defaults of the library
(``results/README.md``). They were chosen on other seeds (100 to 103) than those whose results are shown:

* The weight of the penalty is halved every 600 updates, so that before the transfer the critics are trained by temporal
  differences only.
* As in WSRL's code (:mod:`smac_jax.presets.bases`), the critics have layer norm, targets use random pairs of critics,
  the optimizers keep their states in the transfer, and online there are four critic steps for each policy step.
* SAC's temperature is very small, as it would be after a long tuning towards the paper's target entropy.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import base


def get_config() -> ConfigDict:
    """Returns the settings of the quickstart. Fields that are not set here have the defaults of the library."""
    config = base.get_config()
    # 1,250 is a multiple of 250, so offline training and its control share one compiled program.
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
