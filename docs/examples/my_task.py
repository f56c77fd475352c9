"""A task on MuJoCo's engines: half cheetah, which is to run backwards.

    smac-jax make-dataset --import=my_task.py --task=halfcheetah-backward --kinds=random --size=10000
    smac-jax sweep --import=my_task.py --task=data/halfcheetah-backward-random.hdf5

A task is a few pure functions of the state of the physics; the engines (MuJoCo, MJX, Warp) simulate it.
"""

from __future__ import annotations

import jax

from smac_jax.envs.tasks import halfcheetah
from smac_jax.extend import Metrics, Physics, Version, register_task


# The mean return of random actions; nobody has trained an expert, so that of the task forwards stands for it.
@register_task("halfcheetah-backward", random_return=-123.2, expert_return=12135.0, episode_length=1000)
class HalfCheetahBackward:
    """Gymnasium's half cheetah in everything but the sign of its speed."""

    model = staticmethod(halfcheetah.model)
    reset = staticmethod(halfcheetah.reset)
    observation = staticmethod(halfcheetah.observation)
    termination = staticmethod(halfcheetah.termination)

    def reward(self, physics: Physics, action: jax.Array, dt: float, version: Version) -> tuple[jax.Array, Metrics]:
        """The speed backwards, minus the price for torque."""
        reward, metrics = halfcheetah.reward(physics, action, dt, version)
        return reward - 2.0 * metrics["reward_forward"], metrics
