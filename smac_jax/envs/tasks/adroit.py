"""The common parts of the four tasks of the Adroit hand: its motors, its versions, and tasks with binary rewards.

Source: A. Rajeswaran et al., "Learning Complex Dexterous Manipulation with Deep Reinforcement Learning and
Demonstrations", 2018 (DAPG); D4RL (arXiv 2004.07219) for "d4rl"; gymnasium-robotics's ``AdroitHand*-v1`` for "v1".

Models, motors, actions (clipped to [-1, 1], then scaled to the range of each motor), observations, resets and success
are equal in both versions. The versions differ in the following:

* Reward of the distance to the object. D4RL *subtracts* 0.1 times the distance from palm to handle, hammer or ball.
  gymnasium-robotics 1.4.2 *adds* it, which rewards a large distance.
* Termination of the pen task. D4RL ends the episode when the pen falls; gymnasium-robotics never ends one.
* Contacts of convex geoms, such as the hammer's head and the nail's board. "d4rl" computes them with the library that
  MuJoCo used when the data were logged, with one point. "v1" uses MuJoCo's own detection, with several points, as
  gymnasium-robotics does today. With "d4rl" and the margins of :mod:`smac_jax.envs.physics.margins`, one step from a
  state of MuJoCo 2.1 equals the step of MuJoCo 2.1 within 1e-6 in 97 (relocate) to 100 (pen) of 100 states. Without
  them it does in 0 to 14 of 100 states.

Both versions run on the installed MuJoCo, whereas D4RL's data were logged with MuJoCo 1.50 or 2.0. Human demonstrations
of the door task, replayed from their first observation, differ by at most 6e-3 in 99 of 100 numbers for 40 steps, and
21 of 25 have the return of the file within 5 % (``tests/envs/test_door_human.py``). Policies that D4RL's authors
trained have the returns that they reported within 1 % (door), 2 % (relocate) and 5 % (pen), in the mean over eleven
policies each (``tests/envs/test_policies_of_others.py``).

The observation of sites and bodies lags by one physics step (2 ms), as in both sources.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.types import Array, Key, Metrics

FRAME_SKIP = 5
_WRIST, _FINGERS = ("A_WRJ1", "A_WRJ0"), ("A_FFJ3", "A_THJ0")


def model(version: Version, xml: str, sensors: dict[str, tuple[str, str]], scene: tuple[tuple[str, str], ...]) -> Model:
    """Returns a model of the hand.

    Args:
      version: the version of the task.
      xml: the file of the model.
      sensors: as in :class:`smac_jax.envs.base.Model`.
      scene: as in :class:`smac_jax.envs.base.Model`.
    """
    return Model(
        xml=f"adroit_hand/{xml}",
        frame_skip=FRAME_SKIP,
        free_axes=(),
        package="gymnasium_robotics",
        sensors=sensors,
        scene=scene,
        adjust=soften_motors,
        control="centered",
        native_ccd=version == "v1",
    )


def soften_motors(mj: Any) -> None:
    """Makes the motors weaker, as every version of the tasks does."""
    for (first, last), stiffness in ((_WRIST, 10.0), (_FINGERS, 1.0)):
        motors = slice(mj.actuator(first).id, mj.actuator(last).id + 1)
        mj.actuator_gainprm[motors, :3] = (stiffness, 0.0, 0.0)
        mj.actuator_biasprm[motors, :3] = (0.0, -stiffness, 0.0)


def reach(distance: Float[Array, ""], version: Version) -> Float[Array, ""]:
    """Returns the reward for the distance between the palm and the object."""
    return (0.1 if version == "v1" else -0.1) * distance


def length(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch"]:
    """Returns the Euclidean length."""
    return jnp.sqrt(jnp.sum(jnp.square(vector), -1))


class HandTask(Protocol):
    """A task of the hand: a :class:`smac_jax.envs.base.Task` that also defines success."""

    def model(self, version: Version) -> Model: ...
    def reset(self, key: Key, init_qpos: Array, init_qvel: Array) -> Start: ...
    def observation(self, physics: Physics, version: Version) -> Array: ...
    def reward(self, physics: Physics, action: Array, dt: float, version: Version) -> tuple[Array, Metrics]: ...
    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]: ...
    def success(self, physics: Physics) -> Bool[Array, ""]: ...


class Binary:
    """A task of the hand with binary rewards. The reward is 0 on success, which ends the episode, and -1 otherwise.

    Source: SMAC, section 5, with the rewards of A. Nair et al., "AWAC", 2020. Only success ends an episode. If the pen
    falls, the episode continues with rewards of -1.

    ``metrics["score"]`` is 1 in the step that succeeds, so the score of an episode is 1 if it succeeds and 0 if not.
    """

    def __init__(self, task: HandTask):
        self._task = task
        self.model, self.reset, self.observation = task.model, task.reset, task.observation

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns 0 on success and -1 otherwise."""
        dense, _ = self._task.reward(physics, action, dt, version)
        success = self._task.success(physics).astype(jnp.float32)
        return success - 1.0, {"success": success, "score": success, "reward_dense": dense}

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Returns whether the task has succeeded."""
        del version
        return self._task.success(physics)
