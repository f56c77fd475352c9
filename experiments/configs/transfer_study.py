"""The study of the transfer, at a scale for two CPU cores: the same networks, steps and evaluations for everybody.

Every algorithm keeps its published losses, activations and learning rates. SMAC has its ensemble of ten and offline
batches of 64 (SMAC, tables 6-8); the baselines are twins, as published, with batches of 128.

    smac-jax sweep --config=experiments/configs/transfer_study.py:kappa --online=sac --checkpoints=12000

trains the variants of a group of :data:`GROUPS`: `main` compares the algorithms, the others change one thing of SMAC at
a time. ``--offline="smac,smac kappa=50"`` trains these alone. Sweeps of several groups with one --results share
"smac". Without a group there are the sizes alone.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

HIDDEN = (128, 128)

# Each variant: what differs from the configuration, by section. A name that is an algorithm's has no changes.
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
"""What is compared with what, in the order of tables. SMAC itself has kappa 5, ten critics, actions of the policy and
uniform ones half and half, and alpha > 0.1 with the temperature held there."""


def get_config(group: str = "") -> ConfigDict:
    """The study's sizes, and the variants of a group; what is not named here is the library's default.

    Raises:
      ConfigError: there is no such group.
    """
    config = base.get_config()
    config.pretrain.update({"eval_every": 2_000, "eval_episodes": 5})
    config.finetune.update({"num_steps": 4_000, "warm_start": 5_000, "eval_every": 500, "eval_episodes": 5})
    network = {"actor_hidden": HIDDEN, "critic_hidden": HIDDEN}
    for name in ("td3_bc", "rebrac", "fql", "iql", "cql", "cal_ql", "awac", "bc"):
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
    """A variant as :func:`smac_jax.sweep.grid.named_variants` reads it."""
    algorithm = name.partition(" ")[0]
    return {"name": name, "algorithm": algorithm, algorithm: VARIANTS.get(name, {})}
