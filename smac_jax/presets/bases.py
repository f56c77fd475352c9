"""Two sets of choices for what the paper leaves open, ``ours`` and ``wsrl_base``, and all combinations of them.

SMAC's protocol has several numbers in common with the public code of WSRL (Zhou et al. 2024, arXiv 2412.07762): 5,000
warm-up steps, online batches of 1,024, learning rates of 3e-4 and 1e-4, and ten critics. So SMAC was probably built on
that code. Where the paper does not say how something is done, ``ours`` has this project's choices and ``wsrl_base``
those of WSRL. Each difference is an entry of :data:`DIFFERENCES`, which a variant of a configuration adds or removes:

    --config=ours:+random2                   ours, with WSRL's targets
    --config=wsrl_base:-critic_layer_norm    WSRL's choices, without layer norm in the critics
    --config=wsrl_base:paper                 the paper's numbers of updates and sizes of networks

:data:`SOURCES` has the source of each value. The default length is moderate: 48,000 updates of networks of 2 x 128,
instead of the paper's 250,000 of 3 x 512. There the learning rate of the temperature is larger in proportion, so that
the temperature decreases by as much.
"""

from __future__ import annotations

import math
from typing import Any

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

PAPER_UPDATES = 250_000
MODERATE_UPDATES = 48_000
P, W, US = "SMAC's paper", "WSRL's code", "this project"

SHARED: dict[str, tuple[Any, str]] = {
    "smac.batch_size": (64, P),
    "smac.discount": (0.99, P),
    "smac.polyak": (0.005, P),
    "smac.critic_learning_rate": (3e-4, P),
    "smac.actor_learning_rate": (1e-4, P),
    "smac.alpha_learning_rate": (1e-4, P),
    "smac.entropy_backup": (False, P),
    "smac.policy_aggregation": ("min", W),
    "smac.network.num_critics": (10, P),
    "smac.network.critic_activation": ("tanh", P),
    "smac.network.actor_activation": ("relu", P),
    "smac.network.distribution": ("tanh_gaussian", W),
    "smac.network.state_dependent_std": (True, W),
    "smac.reward_scale": (1.0, P),
    "smac.reward_bias": (0.0, P),
    "smac.kappa": (5.0, US),
    "smac.score": ("dataset", P),
    "smac.uniform_fraction": (0.5, P),
    "smac.score_model.diffusion_steps": (32, P),
    "smac.score_model.condition_on_return": (True, P),
    "smac.score_model.num_updates": (100_000, US),  # 5,000 earn less (results/README.md); a million in the paper
    "smac.score_sign": ("true", US),
    "smac.alpha_parameterization": ("softplus", US),
    "smac.alpha_floor": (0.1, US),
    "smac.optimizer": ("adam", US),
    "sac.discount": (0.99, P),
    "sac.polyak": (0.005, P),
    "sac.critic_learning_rate": (3e-4, P),
    "sac.actor_learning_rate": (1e-4, P),
    "sac.entropy_backup": (False, P),
    "sac.policy_aggregation": ("min", W),
    "finetune.warm_start": (5_000, P),
    "finetune.data_fraction": (0.5, P),
}
"""The fields that have the same value in both bases, with the source of the value.

Fields that are neither here nor in :data:`DIFFERENCES` have the defaults of the library.
"""

BOTH = ("smac", "sac")  # sections


def _both(**fields: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    return {f"{section}.{name}": values for section in BOTH for name, values in fields.items()}


# These names stand for numbers that depend on the length and the size: the learning rate of the temperature (1e-4 at
# the paper's length), the number of rows in one critic step online, four times this number, and a twelfth of the
# updates.
TEMPERATURE_RATE, MINIBATCH, UTD_BATCH = "temperature rate", "minibatch", "minibatches"
HALF_LIFE = "half-life"

DIFFERENCES: dict[str, dict[str, tuple[Any, Any]]] = {
    # The temperature is tuned offline from 1 towards an entropy that the smallest sigma allows, and transferred.
    "temperature": {
        **_both(
            temperature_parameterization=("exp", "softplus"),
            entropy_observations=("current", "next"),
            initial_temperature=(0.1, 1.0),
            target_entropy_scale=(-1.0, -10.0),
        ),
        "smac.temperature_learning_rate": (0.0, TEMPERATURE_RATE),
        "sac.temperature_learning_rate": (3e-4, TEMPERATURE_RATE),
        "sac.temperature_start": ("config", "carried"),
        "smac.network.min_log_std": (-5.0, math.log(1e-5)),
        "smac.network.max_log_std": (2.0, math.log(10.0)),
    },
    "sigma_floor": {
        "smac.network.min_log_std": (-5.0, math.log(1e-5)),
        "smac.network.max_log_std": (2.0, math.log(10.0)),
    },
    "optimizers": {"sac.optimizer_start": ("fresh", "carried"), "td3.optimizer_start": ("fresh", "carried")},
    "random2": _both(backup_aggregation=("min", "random2_independent")),
    "utd": {
        f"{section}.{field}": values
        for section in ("sac", "td3")
        for field, values in (("utd", (1, 4)), ("batch_size", (MINIBATCH, UTD_BATCH)))
    },
    "critic_layer_norm": {"smac.network.critic_layer_norm": (False, True)},
    "shared_head": {"smac.network.critic_shared_head": (False, True)},
    "coasting": {"sac.waiting_optimizers": ("stop", "coast")},
    "actor_layer_norm": {"smac.network.actor_layer_norm": (False, True)},
    "initializer": {
        "smac.network.initializer": ("fan_in_uniform", "orthogonal"),
        "smac.network.last_hidden_scale": (2.0**0.5, 0.01),
    },
    "observations": {"smac.normalize_observations": (True, False)},
    "td_reduction": _both(td_reduction=("sum", "mean")),
    "penalty_reduction": {"smac.penalty_reduction": ("sum", "mean")},
    "update_order": {"smac.policy_critics": ("updated", "previous")},
    "score_level": {"smac.score_level": (0, 1)},
    "score_average": {"smac.score_model.average_rate": (0.0, 0.001)},
}
"""The differences by name. Each has the fields that differ, with their values ``(in ours, in wsrl_base)``."""

ADDITIONS: dict[str, dict[str, Any]] = {
    "alpha_zero": {"smac.alpha_parameterization": "fixed", "smac.alpha_value": 0.0},
    "muon": {
        "smac.optimizer": "muon",
        "smac.muon_consistent_rms": 0.2,
        "sac.optimizer": "muon",
        "sac.muon_consistent_rms": 0.2,
    },
    "kappa_40": {"smac.kappa": 40.0},
    "kappa_zero": {"smac.kappa": 0.0},
    "kappa_decay": {"smac.kappa_adaptation": "decay", "smac.kappa_half_life": HALF_LIFE},
}
"""Changes that are in neither base and can be added to both.

``alpha_zero`` matches the action-gradients to zero, ``muon`` uses Muon, ``kappa_40`` has the paper's weight of the
penalty, ``kappa_zero`` has no penalty, and ``kappa_decay`` halves its weight twelve times until the transfer.
"""

SOURCES: dict[str, tuple[str, str]] = {
    **{field: (source, source) for field, (_, source) in SHARED.items()},
    **{field: (US, W) for fields in DIFFERENCES.values() for field in fields},
    # these are from the paper itself
    "smac.target_entropy_scale": (US, P),
    "sac.target_entropy_scale": (US, P),
    "sac.batch_size": (US, P),
    "td3.batch_size": (US, P),
    "smac.score_level": (P, "IDQL's code, which counts the levels from 0"),
    "smac.score_model.average_rate": (US, "IDQL's code"),
    "smac.penalty_reduction": (P, "as the temporal-difference errors, which are averaged"),
    "td3.utd": (US, W),
}
"""The sources of every field that a base sets: that of its value in ours, and that of its value in wsrl_base."""


def get_base(name: str, variant: str = "", num_updates: int | None = None) -> ConfigDict:
    """Returns the configuration of a base.

    Args:
      name: "ours" or "wsrl_base".
      variant: "" for the moderate length or "paper" for the paper's, followed by any number of ``+DIFFERENCE`` and
        ``-DIFFERENCE``.
      num_updates: another number of offline updates than that of the variant. The learning rate of the temperature and
        the half-life of the penalty are in proportion to it.

    Raises:
      ConfigError: the variant does not exist.
    """
    at_paper_size = variant.startswith("paper")
    changes = variant.removeprefix("paper")
    updates, rows = (PAPER_UPDATES, 256) if at_paper_size else (MODERATE_UPDATES, 128)
    updates = num_updates or updates
    numbers = {
        TEMPERATURE_RATE: 1e-4 * PAPER_UPDATES / updates,
        HALF_LIFE: updates / 12,
        MINIBATCH: rows,
        UTD_BATCH: 4 * rows,
    }
    config = base.get_config()
    set_sizes(config, at_paper_size)
    for field, (value, _) in SHARED.items():
        set_field(config, field, value)
    config.pretrain.update({"num_updates": updates, "eval_every": max(1, updates // 12), "eval_episodes": 10})
    if not at_paper_size:
        config.finetune.update({"num_steps": 12_000, "eval_every": 500, "eval_episodes": 10})
    chosen = set(DIFFERENCES) if name == "wsrl_base" else set()
    removed: set[str] = set()
    added = []
    for sign, what in _changes(changes):
        if what in ADDITIONS and sign == "+":
            added.append(what)
        elif what in DIFFERENCES and sign == ("+" if name == "ours" else "-"):
            chosen ^= {what}
            removed |= {what} - chosen
        else:
            can = f"+{', +'.join(DIFFERENCES)}" if name == "ours" else f"-{', -'.join(DIFFERENCES)}"
            raise ConfigError(
                f"The configuration {name} has no variant {sign}{what}. It has: paper, {can}, +{', +'.join(ADDITIONS)}."
            )
    for fields in DIFFERENCES.values():
        for field, values in fields.items():
            # Two differences may share a field: the smallest sigma is part of `temperature` and of `sigma_floor`.
            as_wsrl = _has(chosen, field) and not _has(removed, field)
            set_field(config, field, numbers.get(values[as_wsrl], values[as_wsrl]))
    for what in added:
        for field, value in ADDITIONS[what].items():
            set_field(config, field, numbers.get(value, value))
    return config


def _has(names: set[str], field: str) -> bool:
    """Returns whether one of these differences has the field."""
    return any(field in DIFFERENCES[name] for name in names)


def _changes(text: str) -> list[tuple[str, str]]:
    """Splits ``"+a-b"`` into ``[("+", "a"), ("-", "b")]``."""
    found: list[tuple[str, str]] = []
    for character in text:
        if character in "+-":
            found.append((character, ""))
        elif found:
            found[-1] = found[-1][0], found[-1][1] + character
        else:
            raise ConfigError(f"The variant {text!r} of the configuration must begin with 'paper', + or -.")
    return found


def set_sizes(config: ConfigDict, at_paper_size: bool) -> None:
    """Sets the sizes of networks and batches to the paper's, or to small ones for two CPU cores."""
    hidden, alpha = ((512,) * 3, (256, 256)) if at_paper_size else ((128, 128), (64, 64))
    network = {"actor_hidden": hidden, "critic_hidden": hidden}
    config.smac.update({"network": network, "alpha_hidden": alpha})
    baseline = (256, 256) if at_paper_size else (128, 128)
    for name in ("td3_bc", "rebrac", "fql", "iql", "cql", "cal_ql", "awac", "bc"):
        config[name].network.update({"actor_hidden": baseline, "critic_hidden": baseline})
        if not at_paper_size:
            config[name].batch_size = 128
    config.iql.value_hidden = baseline
    for name in ("online_td3_bc", "awr"):
        config[name].batch_size = 256 if at_paper_size else 128
    if at_paper_size:
        config.smac.score_model.update({"hidden": 256, "num_blocks": 3, "batch_size": 256})


def set_field(config: ConfigDict, field: str, value: Any) -> None:
    """Sets the field ``"section.field"``."""
    *path, last = field.split(".")
    section = config
    for part in path:
        section = section[part]
    section[last] = value
