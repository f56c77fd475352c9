"""The nouns of an environment: what a model is, what physics an engine hands over, what a task is made of.

A *task* is a module of pure functions (``tasks/hopper.py``), written once. An *engine* (``physics/mujoco.py``,
``physics/mjx.py``) moves the bodies. :class:`smac_jax.envs.env.TaskEnv` joins one of each into a Brax environment.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.errors import ConfigError
from smac_jax.types import Array, Key, Metrics

Version = Literal["v4", "v5", "d4rl"]
VERSIONS: tuple[str, ...] = ("v4", "v5", "d4rl")


class Model(NamedTuple):
    """What an engine has to know of a task.

    Attributes:
      xml: file name in Gymnasium's folder of MuJoCo models.
      frame_skip: physics steps in one environment step.
      free_axes: indices of ``qpos`` along which the world looks the same everywhere (a robot on an endless plane).
        A float32 engine steps from 0 there, so that a robot 100 m away is simulated as well as one at the start.
      tracked_body: the body whose displacement the task rewards, where that is not a joint coordinate. It hangs on a
        free joint, the first of the model.
      contact_forces: whether the task reads ``cfrc_ext``, the contact force on each body.
    """

    xml: str
    frame_skip: int
    free_axes: tuple[int, ...] = (0,)
    tracked_body: str | None = None
    contact_forces: bool = False


class Physics(NamedTuple):
    """One robot's physics, as every engine reports it to every task.

    Attributes:
      qpos: joint positions.
      qvel: joint velocities.
      qpos_change: ``qpos`` minus its value one environment step earlier, subtracted in the engine's own precision: in
        float32, ``(x_after - x_before) / dt`` would be off by 1e-3 at ``x`` = 100 m.
      diverged: the simulation blew up in this step; everything else then is as it was before the step, and finite.
      extras: what the model asked for: ``body_change`` (3 numbers) for a tracked body, ``cfrc_ext`` (bodies x 6).
      raw: the engine's own state, which only the engine reads.
    """

    qpos: Float[Array, " qpos"]
    qvel: Float[Array, " qvel"]
    qpos_change: Float[Array, " qpos"]
    diverged: Bool[Array, ""]
    extras: dict[str, Array]
    raw: Any


class Engine(Protocol):
    """Moves the bodies of one model. ``start`` and ``step`` are pure, jit, vmap and scan."""

    name: str
    dt: float
    action_size: int
    init_qpos: Float[np.ndarray, " qpos"]
    init_qvel: Float[np.ndarray, " qvel"]

    def start(self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"]) -> Physics:
        """Physics at rest in a given state (without a physics computation: a reset is free)."""

    def start_exact(self, qpos: Float[np.ndarray, "*batch qpos"], qvel: Float[np.ndarray, "*batch qvel"]) -> Physics:
        """The same from NumPy arrays in the engine's full precision, outside jit, with any leading axes."""

    def step(self, physics: Physics, action: Float[Array, " action"]) -> Physics:
        """Physics one environment step later."""


class Task(Protocol):
    """What a module in ``tasks/`` defines, in this order."""

    def model(self, version: Version) -> Model:
        """Which MuJoCo model, and what the task reads from it."""

    def reset(
        self, key: Key, init_qpos: Float[Array, " qpos"], init_qvel: Float[Array, " qvel"]
    ) -> tuple[Float[Array, " qpos"], Float[Array, " qvel"]]:
        """A random first state."""

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """What the agent sees."""

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """What the step that led to ``physics`` earned, and its parts."""

    def termination(self, physics: Physics) -> Bool[Array, ""]:
        """Whether the task is over (never because of a time limit)."""


def model_path(xml: str) -> Path:
    """Finds a model file among Gymnasium's assets without importing Gymnasium.

    Raises:
      ConfigError: Gymnasium is not installed, or does not have the file.
    """
    spec = importlib.util.find_spec("gymnasium")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("The locomotion models come with Gymnasium, which is not installed: `pip install gymnasium`.")
    path = Path(spec.submodule_search_locations[0], "envs", "mujoco", "assets", xml)
    if not path.exists():
        raise ConfigError(f"Gymnasium's model {path} is missing. Install a version that ships it: gymnasium>=1.0.")
    return path
