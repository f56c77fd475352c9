"""The transfer study, at a scale for two CPU cores, with the same networks, steps and evaluations for all algorithms.

Every algorithm has its published losses, activations and learning rates. SMAC has its ensemble of ten critics and
offline batches of 64 (SMAC, tables 6-8). The baselines have two critics, as published, and batches of 128.

    smac-jax sweep --config=experiments/configs/transfer_study.py:kappa --online=sac --checkpoints=12000

trains the variants of a group of :data:`GROUPS`. The group `main` compares the algorithms; the others change one
property of SMAC at a time. ``--offline="smac,smac kappa=50"`` trains only these variants. Sweeps of several groups with
the same --results share the job "smac". Without a group, the configuration has the sizes and no variants.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

HIDDEN = (128, 128)

# The changes of each variant, by section of the configuration. The name of an algorithm stands for no changes.
VARIANTS: dict[str, dict[str, Any]] = {
    "smac (policy score)": {"score": "policy"},
    "smac kappa=0": {"kappa": 0.0},
    "smac kappa=0.5": {"kappa": 0.5},
    "smac kappa=50": {"kappa": 50.0},
    "smac (residual held at 0.3)": {"kappa_adaptation": "residual", "kappa_target": 0.3},
    "smac (gradient ratio held at 1)": {"kappa_adaptation": "gradient_ratio", "kappa_target": 1.0},
    "smac (kappa halved every 2000)": {"kappa_adaptation": "decay", "kappa_half_life": 2_000.0},
    "smac (literal sign + free alpha)": {"score_sign": "literal", "alpha_parameterization": "free"},
    "smac (literal sign + alpha > 0.1)": {"score_sign": "literal"},
    "smac (no return condition)": {"score_model": {"condition_on_return": False}},
    "smac (policy's actions)": {"uniform_fraction": 0.0},
    "smac (uniform actions)": {"uniform_fraction": 1.0},
    "smac (penalty on a quarter of the rows)": {"penalty_fraction": 0.25},
    "smac (2 critics)": {"network": {"num_critics": 2}},
    "smac (layer norm)": {"network": {"critic_layer_norm": True}},
    "smac (muon)": {"optimizer": "muon"},
    "smac (tuned temperature)": {"temperature_learning_rate": 3e-4},
    "smac (alpha > 0 + tuned temperature)": {"alpha_floor": 0.0, "temperature_learning_rate": 3e-4},
    "smac (alpha > 1)": {"alpha_floor": 1.0, "initial_temperature": 1.0, "kappa": 0.5},
    "td3_bc (smac's critics)": {"network": {"num_critics": 10, "critic_activation": "tanh"}, "batch_size": 64},
}
GROUPS: dict[str, tuple[str, ...]] = {
    "main": ("smac", "smac (policy score)", "td3_bc", "iql", "cql"),
    "kappa": (
        *("smac kappa=0", "smac kappa=0.5", "smac", "smac kappa=50"),
        *("smac (residual held at 0.3)", "smac (gradient ratio held at 1)"),
    ),
    "schedule": ("smac kappa=0", "smac kappa=0.5", "smac", "smac (kappa halved every 2000)"),
    "score": (
        *("smac", "smac (literal sign + free alpha)", "smac (literal sign + alpha > 0.1)"),
        "smac (no return condition)",
    ),
    "actions": (
        *("smac", "smac (policy's actions)", "smac (uniform actions)"),
        "smac (penalty on a quarter of the rows)",
    ),
    "critics": ("smac", "smac (2 critics)", "smac (layer norm)", "smac (muon)", "td3_bc (smac's critics)"),
    "temperature": (*("smac", "smac (tuned temperature)", "smac (alpha > 0 + tuned temperature)", "smac (alpha > 1)"),),
}
"""The variants of each group, in the order of the tables. SMAC itself has kappa 5, ten critics, half policy actions and
half uniform actions, and alpha > 0.1 with the temperature fixed there."""


def get_config(group: str = "") -> ConfigDict:
    """The sizes of the study and the variants of a group; all other fields have the defaults of the package.

    Raises:
      ConfigError: the group does not exist.
    """
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
    if group and group not in GROUPS:
        raise ConfigError(f"transfer_study has no group {group!r}. It has {', '.join(GROUPS)}.")
    if group:
        config.variants = tuple(map(variant, GROUPS[group]))
    return config


def variant(name: str) -> dict[str, Any]:
    """A variant in the form of :func:`smac_jax.sweep.grid.named_variants`."""
    algorithm = name.partition(" ")[0]
    return {"name": name, "algorithm": algorithm, algorithm: VARIANTS.get(name, {})}
