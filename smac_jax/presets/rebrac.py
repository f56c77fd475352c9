"""ReBRAC's published settings, for each of D4RL's data sets its own: ``--config=rebrac:hopper-medium-replay-v2``.

Source: ``configs/rebrac`` of the authors' code (DT6A/ReBRAC): a million updates; three layers of 256; batches of 1,024
for locomotion and of 256 elsewhere; in AntMaze a discount of 0.999 and rewards times 100. For a GPU.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.errors import ConfigError
from smac_jax.presets import base

COEFFICIENTS: dict[str, tuple[float, float]] = {
    "antmaze-large-diverse-v2": (0.002, 0.002),
    "antmaze-large-play-v2": (0.002, 0.001),
    "antmaze-medium-diverse-v2": (0.001, 0.0),
    "antmaze-medium-play-v2": (0.001, 0.0005),
    "antmaze-umaze-diverse-v2": (0.003, 0.001),
    "antmaze-umaze-v2": (0.003, 0.002),
    "door-cloned-v1": (0.01, 0.1),
    "door-expert-v1": (0.05, 0.01),
    "door-human-v1": (0.1, 0.1),
    "halfcheetah-expert-v2": (0.01, 0.01),
    "halfcheetah-full-replay-v2": (0.001, 0.1),
    "halfcheetah-medium-expert-v2": (0.01, 0.1),
    "halfcheetah-medium-replay-v2": (0.01, 0.001),
    "halfcheetah-medium-v2": (0.001, 0.01),
    "halfcheetah-random-v2": (0.001, 0.1),
    "hammer-cloned-v1": (0.1, 0.5),
    "hammer-expert-v1": (0.01, 0.01),
    "hammer-human-v1": (0.01, 0.5),
    "hopper-expert-v2": (0.1, 0.1),
    "hopper-full-replay-v2": (0.01, 0.01),
    "hopper-medium-expert-v2": (0.1, 0.01),
    "hopper-medium-replay-v2": (0.05, 0.5),
    "hopper-medium-v2": (0.01, 0.01),
    "hopper-random-v2": (0.001, 0.01),
    "pen-cloned-v1": (0.05, 0.5),
    "pen-expert-v1": (0.01, 0.01),
    "pen-human-v1": (0.1, 0.5),
    "relocate-cloned-v1": (0.1, 0.01),
    "relocate-expert-v1": (0.05, 0.01),
    "relocate-human-v1": (0.1, 0.01),
    "walker2d-expert-v2": (0.01, 0.5),
    "walker2d-full-replay-v2": (0.01, 0.01),
    "walker2d-medium-expert-v2": (0.01, 0.01),
    "walker2d-medium-replay-v2": (0.05, 0.01),
    "walker2d-medium-v2": (0.05, 0.1),
    "walker2d-random-v2": (0.01, 0.0),
}
"""``actor_bc_coef`` and ``critic_bc_coef`` of each data set."""
LOCOMOTION = ("halfcheetah", "hopper", "walker2d")


def get_config(variant: str = "") -> ConfigDict:
    """The settings for a data set; without one those of locomotion, with the coefficients of hopper-medium-replay.

    Raises:
      ConfigError: nothing was published for this data set.
    """
    data = variant or "hopper-medium-replay-v2"
    if data not in COEFFICIENTS:
        raise ConfigError(f"The preset rebrac has no settings for {data!r}. It has: {', '.join(COEFFICIENTS)}.")
    config = base.get_config()
    config.pretrain.update({"num_updates": 1_000_000, "eval_every": 50_000, "eval_episodes": 10, "final_episodes": 100})
    config.rebrac.actor_bc_coef, config.rebrac.critic_bc_coef = COEFFICIENTS[data]
    if not data.startswith(LOCOMOTION):
        config.rebrac.update({"batch_size": 256, "critic_learning_rate": 3e-4, "actor_learning_rate": 3e-4})
    if data.startswith("antmaze"):
        config.rebrac.update({"discount": 0.999, "reward_scale": 100.0, "critic_learning_rate": 5e-5})
    return config
