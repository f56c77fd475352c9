"""The contracts between tasks and engines.

A *task* is a module of pure functions (``tasks/hopper.py``), which is written once for all engines. An *engine*
(``physics/mujoco.py``, ``physics/mjx.py``) simulates the bodies. :class:`smac_jax.envs.task_env.TaskEnv` makes a Brax
environment of one task and one engine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.errors import ConfigError
from smac_jax.types import Array, Key, Metrics

Version = Literal["v1", "v4", "v5", "d4rl", "robotics-v3", "robotics-v4", "robotics-v5"]


class Velocities(NamedTuple):
    """A controller for actions that are velocities of the first joints, each held for one environment step.

    ``control = clip(position + noise + dt * clip(gain * action, velocities), positions)``, where ``position`` are the
    positions of the joints in the engine's full precision. The command to the engine is ``[action, noise]``.

    Attributes:
      gain: the velocity at an action of 1.
      velocities, positions: the bounds of each motor, ``[motor, 2]``.
    """

    gain: float
    velocities: Float[np.ndarray, "motor 2"]
    positions: Float[np.ndarray, "motor 2"]


class Model(NamedTuple):
    """What an engine must know about a task.

    Attributes:
      xml: the path of the file in the package's folder of MuJoCo models.
      frame_skip: the number of physics steps in one environment step.
      free_axes: the indices of ``qpos`` along which the world is the same everywhere (a robot on an infinite plane). A
        float32 engine starts each step at 0 there, so that a robot 100 m away is simulated as precisely as one at the
        start.
      tracked_body: the body whose displacement the task rewards, if that is not a joint coordinate. Its joint is a free
        joint, the first one of the model.
      contact_forces: whether the task reads ``cfrc_ext``, the contact force on each body.
      package: the package with the model, "gymnasium" or "gymnasium_robotics".
      sensors: what the task reads beside the joints, by its name in ``Physics.extras``: ``("site", NAME)`` or
        ``("body", NAME)`` for a position, ``("orientation", NAME)`` for the quaternion of a body, ``("sensor", NAME)``
        for a sensor of the model. As in Gymnasium they lag ``qpos`` by one physics step.
      scene: the numbers of the model that differ from episode to episode, such as the position of the door, as pairs of
        ``"body_pos"``, ``"body_quat"`` or ``"site_pos"`` and a name.
      adjust: a function that changes the compiled model before its first use, as Gymnasium's task does.
      control: how actions become motor commands. With "direct" they are used unchanged; with "centered" they are
        clipped to [-1, 1] and scaled to the range of each motor; :class:`Velocities` is a controller.
      init_qpos: the first joint positions, if they are not those of the model.
      build: a function that adds to the specification of the model (a ``mujoco.MjSpec``) before it is compiled, such as
        the walls of a maze.
      speed_limit: joint velocities are clipped to this magnitude before each environment step.
      native_ccd: whether contacts of convex geoms, such as a cylinder and a box, come from MuJoCo's own collision
        detection, which is the default since 3.2 and gives several points per contact since 3.8. If it is False, they
        come from the earlier library (libccd), with one point.
    """

    xml: str
    frame_skip: int
    free_axes: tuple[int, ...] = (0,)
    tracked_body: str | None = None
    contact_forces: bool = False
    package: str = "gymnasium"
    sensors: Mapping[str, tuple[str, str]] = MappingProxyType({})
    scene: tuple[tuple[str, str], ...] = ()
    adjust: Callable[[Any], None] | None = None
    control: Literal["direct", "centered"] | Velocities = "direct"
    init_qpos: tuple[float, ...] | None = None
    native_ccd: bool = True
    build: Callable[[Any], None] | None = None
    speed_limit: float | None = None


class Start(NamedTuple):
    """The start of an episode.

    Attributes:
      qpos, qvel: joint positions and velocities.
      scene: the values of ``Model.scene``, one after the other; None if there is no scene.
      memory: the first state of the task itself (``Physics.memory``).
    """

    qpos: Float[Array, " qpos"]
    qvel: Float[Array, " qvel"]
    scene: Float[Array, " scene"] | None = None
    memory: Mapping[str, Array] = MappingProxyType({})


class Physics(NamedTuple):
    """The physics of one robot, as every engine reports it to every task.

    Attributes:
      qpos: joint positions.
      qvel: joint velocities.
      qpos_change: ``qpos`` minus its value one environment step earlier, subtracted in the engine's own precision. In
        float32, the error of ``(x_after - x_before) / dt`` would be 1e-3 at ``x`` = 100 m.
      diverged: whether the simulation diverged in this step. All other fields then have the finite values from before
        the step.
      extras: what the model requests: ``body_change`` (3 numbers) for a tracked body, ``cfrc_ext`` (bodies x 6), and
        the sensors by name.
      raw: the engine's own state, which only the engine reads.
      memory: the task's own state, which no engine reads.
    """

    qpos: Float[Array, " qpos"]
    qvel: Float[Array, " qvel"]
    qpos_change: Float[Array, " qpos"]
    diverged: Bool[Array, ""]
    extras: dict[str, Array]
    raw: Any
    memory: dict[str, Array] = {}  # noqa: RUF012 (never changed in place)


class Engine(Protocol):
    """Simulates one model. ``start`` and ``step`` are pure functions, for use under jit, vmap and scan.

    Attributes:
      name: the name of the engine.
      dt: the seconds of one environment step.
      action_size: the number of motors.
      init_qpos, init_qvel: the first joint positions and velocities.
      init_scene: the values of ``Model.scene`` in the model.
    """

    name: str
    dt: float
    action_size: int
    init_qpos: Float[np.ndarray, " qpos"]
    init_qvel: Float[np.ndarray, " qvel"]

    init_scene: Float[np.ndarray, " scene"]

    def start(
        self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"], scene: Float[Array, " scene"] | None = None
    ) -> Physics:
        """Returns the physics in a given state.

        Nothing is computed unless the model has sensors, so that a reset is free.
        """

    def start_exact(
        self,
        qpos: Float[np.ndarray, "*batch qpos"],
        qvel: Float[np.ndarray, "*batch qvel"],
        scene: Float[np.ndarray, "*batch scene"] | None = None,
    ) -> Physics:
        """Returns the same from NumPy arrays in the engine's full precision, outside jit, with any leading axes."""

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Returns the physics one environment step later."""


class Task(Protocol):
    """What a module in ``tasks/`` defines, in this order.

    Some tasks define further functions:

    * A task with a state beside the physics (which subtasks are completed, a random seed) defines
      ``command(physics, action, version)``, the command to the engine for an action, and ``remember(physics,
      version)``, the memory after the step that led to ``physics``. ``physics.memory`` then is the one before the step.
    * A task whose time limit depends on its version or options defines ``episode_length(version)``, in steps.
    * A task whose observations contain the state of the physics defines ``state(observations)``, which returns the
      joint positions and velocities of each row, and which rows contain all of them.

    If a task has ``metrics["score"]``, evaluations sum it over an episode in place of the reward.
    """

    def model(self, version: Version) -> Model:
        """Returns the MuJoCo model, and what the task reads from it."""

    def reset(self, key: Key, init_qpos: Float[Array, " qpos"], init_qvel: Float[Array, " qvel"]) -> tuple[Any, ...]:
        """Returns a random first state: a :class:`Start`, or its first two fields."""

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """Returns the observation."""

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns the reward of the step that led to ``physics``, and its components as metrics."""

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Returns whether the task has terminated. A time limit is not a termination."""


def model_path(xml: str, package: str = "gymnasium") -> Path:
    """Returns the path of a model file in a package, without importing the package.

    Raises:
      ConfigError: the package is not installed, or it does not have the file.
    """
    folder, distribution, release = _PACKAGES[package]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"The model {xml} comes with {distribution}, which is missing: `pip install {distribution}`.")
    path = Path(spec.submodule_search_locations[0], *folder, xml)
    if not path.exists():
        raise ConfigError(f"{distribution}'s model {path} is missing. Install a version that ships it: {release}.")
    return path


_PACKAGES = {
    "gymnasium": (("envs", "mujoco", "assets"), "gymnasium", "gymnasium>=1.0"),
    "gymnasium_robotics": (("envs", "assets"), "gymnasium-robotics", "gymnasium-robotics>=1.4"),
}
