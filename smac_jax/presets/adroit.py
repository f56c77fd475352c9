"""The paper's settings for the binary pen, door and relocate tasks (SMAC, tables 6-8; rewards: section 5)."""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import paper


def get_config(variant: str = "") -> ConfigDict:
    """Returns the settings for Adroit. The variants are those of :mod:`smac_jax.presets.paper`."""
    config = paper.family(
        variant,
        num_updates=200_000,
        smac={"kappa": 40.0, "network": {"actor_hidden": (256,) * 3, "critic_hidden": (512,) * 4}},
        score_model=paper.MANIPULATION_SCORE_MODEL,
        baseline_network={"actor_hidden": (512,) * 3, "critic_hidden": (256,) * 3},
        reward={"reward_scale": 10.0, "reward_bias": 5.0},
    )
    config.iql.update({"expectile": 0.7, "beta": 0.5})
    for name in ("cql", "cal_ql"):  # these networks are those of Cal-QL's authors
        config[name].min_q_weight = 1.0
        config[name].network.update({"actor_hidden": (512, 512), "critic_hidden": (512,) * 3})
    config.online_td3_bc.alpha = 0.2
    config.awr.temperature = 20.0
    config.awac.temperature = 0.1
    return config
