"""The paper's settings for kitchen-partial (SMAC, tables 6-8; rewards: section 5)."""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import paper


def get_config(variant: str = "") -> ConfigDict:
    """Returns the settings for the kitchen. The variants are those of :mod:`smac_jax.presets.paper`."""
    config = paper.family(
        variant,
        num_updates=400_000,
        smac={"kappa": 50.0, "network": {"actor_hidden": (512,) * 3, "critic_hidden": (512,) * 4}},
        score_model=paper.MANIPULATION_SCORE_MODEL,
        baseline_network={"actor_hidden": (512,) * 3, "critic_hidden": (512,) * 3},
        reward={"reward_scale": 1.0, "reward_bias": -4.0},
    )
    config.iql.update({"expectile": 0.7, "beta": 0.5})
    config.online_td3_bc.alpha = 2.0
    config.awr.temperature = 5.0
    return config
