"""What the four tasks of the Adroit hand share: its motors, its versions, and its tasks with binary rewards.

Source: A. Rajeswaran et al., "Learning Complex Dexterous Manipulation with Deep Reinforcement Learning and
Demonstrations", 2018 (DAPG); D4RL (arXiv 2004.07219) for "d4rl"; gymnasium-robotics's ``AdroitHand*-v1`` for "v1".

Models, motors, actions (clipped to [-1, 1], stretched over each motor's range), observations, resets and success are
those of both. What differs between the versions:

* Getting to the object. D4RL *subtracts* 0.1 times the distance from palm to handle, hammer or ball;
  gymnasium-robotics 1.4.2 *adds* it, which rewards keeping away.
* The pen. D4RL ends the episode when it falls; gymnasium-robotics never ends one.
* Contacts of convex geoms, such as the hammer's head and the nail's board. "d4rl" has them from the library that MuJoCo
  used then, in one point; "v1" from MuJoCo's own detection, in several, as gymnasium-robotics has today. With this and
  the margins (:mod:`smac_jax.envs.physics.margins`) one step from states of MuJoCo 2.1 is that of MuJoCo 2.1 within
  1e-6 in 97 (relocate) to 100 (pen) of 100 states; without, in 0 to 14.
* The engine, which is the installed MuJoCo in both, where D4RL's data were logged in 1.50 or 2.0. Human demonstrations
  of the door, replayed from their first observation, stay within 6e-3 in 99 of 100 numbers for 40 steps, and earn the
  file's return to 5 % in 21 of 25 (``tests/envs/test_door_human.py``). Policies that D4RL's authors trained earn here
  what they reported, to 1 % with the door, 2 % in relocate and 5 % with the pen, in the mean over eleven of each
  (``tests/envs/test_policies_of_others.py``).

The observation reads the sites and bodies one physics step (2 ms) late, as both do.
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
    """A model of the hand and what its task reads of it."""
    return Model(
        xml=f"adroit_hand/{xml}",
        frame_skip=FRAME_SKIP,
        free_axes=(),
        package="gymnasium_robotics",
        sensors=sensors,
        scene=scene,
        adjust=soften,
        control="centred",
        native_ccd=version == "v1",
    )


def soften(mj: Any) -> None:
    """The weaker motors that every version of the tasks puts in place of the model's."""
    for (first, last), stiffness in ((_WRIST, 10.0), (_FINGERS, 1.0)):
        motors = slice(mj.actuator(first).id, mj.actuator(last).id + 1)
        mj.actuator_gainprm[motors, :3] = (stiffness, 0.0, 0.0)
        mj.actuator_biasprm[motors, :3] = (0.0, -stiffness, 0.0)


def reach(distance: Float[Array, ""], version: Version) -> Float[Array, ""]:
    """What getting to the object earns."""
    return (0.1 if version == "v1" else -0.1) * distance


def length(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch"]:
    """Euclidean length."""
    return jnp.sqrt(jnp.sum(jnp.square(vector), -1))


class HandTask(Protocol):
    """A task of the hand: :class:`smac_jax.envs.base.Task` that also says what success is."""

    def model(self, version: Version) -> Model: ...
    def reset(self, key: Key, init_qpos: Array, init_qvel: Array) -> Start: ...
    def observation(self, physics: Physics, version: Version) -> Array: ...
    def reward(self, physics: Physics, action: Array, dt: float, version: Version) -> tuple[Array, Metrics]: ...
    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]: ...
    def success(self, physics: Physics) -> Bool[Array, ""]: ...


class Binary:
    """A task of the hand with binary rewards: 0 on success and -1 otherwise; the episode ends at success.

    Source: SMAC, section 5; the rewards of A. Nair et al., "AWAC", 2020. Nothing but success ends an episode: a pen
    that has fallen goes on costing 1 a step.

    ``metrics["score"]`` is 1 on the step that succeeds, so that an episode's score is whether it did.
    """

    def __init__(self, task: HandTask):
        self._task = task
        self.model, self.reset, self.observation = task.model, task.reset, task.observation

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """0 on success, -1 otherwise."""
        dense, _ = self._task.reward(physics, action, dt, version)
        success = self._task.success(physics).astype(jnp.float32)
        return success - 1.0, {"success": success, "score": success, "reward_dense": dense}

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Success."""
        del version
        return self._task.success(physics)
