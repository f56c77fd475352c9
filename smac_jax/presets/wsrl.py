"""WSRL: Cal-QL or CQL offline, then a warm start, then SAC without offline data (Zhou et al. 2024, arXiv 2412.07762).

    smac-jax sweep --config=wsrl --task=halfcheetah-medium-replay
    smac-jax sweep --config=wsrl --task=halfcheetah-medium-replay --offline=cql
    smac-jax sweep --config=wsrl:scratch --task=halfcheetah-medium-replay

Source: ``experiments/configs`` and ``experiments/scripts/locomotion`` of its authors' code. There are ten critics with
layer norm (``--use_redq``), also offline. Online, every part of the update is that of the code, and it continues from
the whole training state (``tests/algorithms/test_wsrl_update.py``). Deviation: Cal-QL and CQL are those of this
package. They have WSRL's hyperparameters, but they sum the errors of the critics, and tune the temperature by the loss
of JaxCQL.
"""

from __future__ import annotations

import math
from typing import Any

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

NETWORK: dict[str, Any] = {
    "actor_hidden": (256, 256),
    "critic_hidden": (256, 256),
    "actor_layer_norm": True,
    "critic_layer_norm": True,
    "num_critics": 10,
    "critic_shared_head": True,
    "initializer": "orthogonal",
    "last_hidden_scale": 0.01,
    "min_log_std": math.log(1e-5),
    "max_log_std": math.log(10.0),
}
SOFT: dict[str, Any] = {
    "discount": 0.99,
    "polyak": 0.005,
    "critic_learning_rate": 3e-4,
    "actor_learning_rate": 1e-4,
    "temperature_learning_rate": 1e-4,
    "initial_temperature": 1.0,
    "temperature_parameterization": "softplus",
    "entropy_observations": "next",
    "target_entropy_scale": -1.0,
    "entropy_backup": False,
    "backup_aggregation": "random2_independent",
    "policy_aggregation": "min",
}
"""The fields that the offline and the online algorithm share."""


def get_config(variant: str = "") -> ConfigDict:
    """Returns WSRL's settings for locomotion. The variant ``"scratch"`` is its SAC without any offline training.

    Raises:
      ConfigError: the variant is not known.
    """
    if variant not in ("", "scratch"):
        raise ConfigError(f"The configuration wsrl has no variant {variant!r}. Its only variant is 'scratch'.")
    config = base.get_config()
    config.offline, config.online = ("cal_ql",), ("sac",)
    for name in ("cal_ql", "cql"):
        config[name].update({**SOFT, "batch_size": 256, "min_q_weight": 5.0, "max_target_backup": True})
        config[name].normalize_observations = False
        config[name].network.update(NETWORK)
    config.sac.update(
        {
            **SOFT,
            "batch_size": 1024,
            "utd": 4,
            "td_reduction": "mean",
            "waiting_optimizers": "coast",
            "temperature_start": "carried",
            "optimizer_start": "carried",
        }
    )
    config.none.network.update(NETWORK)
    if variant == "scratch":
        config.offline = ("none",)
        config.sac.update({"temperature_start": "config", "optimizer_start": "fresh"})
    config.pretrain.update({"num_updates": 250_000, "eval_every": 20_000})
    config.finetune.update({"num_steps": 500_000, "warm_start": 5_000, "data_fraction": 0.0, "eval_every": 20_000})
    return config
