"""The paper's settings for hopper, walker2d, halfcheetah and ant (SMAC, tables 6-8). A run takes hours on a GPU."""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets import paper, rebrac


def get_config(variant: str = "") -> ConfigDict:
    """Returns the settings for locomotion. The variants are those of :mod:`smac_jax.presets.paper`."""
    config = paper.family(
        variant,
        num_updates=250_000,
        smac={"kappa": 40.0, "network": {"actor_hidden": (512,) * 3, "critic_hidden": (512,) * 3}},
        score_model={
            "num_updates": 1_000_000,
            "batch_size": 512,
            "hidden": 512,
            "num_blocks": 3,
            "embedding": 64,
            "condition_hidden": (512,) * 3,
        },
        baseline_network={"actor_hidden": (256, 256), "critic_hidden": (256, 256)},
        reward={"reward_scale": 1.0, "reward_bias": 0.0},
    )
    config.iql.update({"expectile": 0.9, "beta": 1.0, "return_span": 1000.0})
    config.rebrac.update(rebrac.get_config("hopper-medium-replay-v2").rebrac)
    config.online_td3_bc.alpha = 5.0
    config.awr.temperature = 0.4
    return config
