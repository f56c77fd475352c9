"""The nouns of an environment: what a model is, what physics an engine hands over, what a task is made of.

A *task* is a module of pure functions (``tasks/hopper.py``), written once. An *engine* (``physics/mujoco.py``,
``physics/mjx.py``) moves the bodies. :class:`smac_jax.envs.task_env.TaskEnv` joins one of each into a Brax environment.
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
    """Actions are velocities of the first joints, held by position motors for one environment step.

    ``control = clip(position + noise + dt * clip(gain * action, velocities), positions)``, with the joints' own
    positions in the engine's full precision. The engine is sent ``[action, noise]``.

    Attributes:
      gain: speed at an action of 1.
      velocities, positions: bounds of each motor, ``[motor, 2]``.
    """

    gain: float
    velocities: Float[np.ndarray, "motor 2"]
    positions: Float[np.ndarray, "motor 2"]


class Model(NamedTuple):
    """What an engine has to know of a task.

    Attributes:
      xml: path of the file in the package's folder of MuJoCo models.
      frame_skip: physics steps in one environment step.
      free_axes: indices of ``qpos`` along which the world looks the same everywhere (a robot on an endless plane).
        A float32 engine steps from 0 there, so that a robot 100 m away is simulated as well as one at the start.
      tracked_body: the body whose displacement the task rewards, where that is not a joint coordinate. It hangs on a
        free joint, the first of the model.
      contact_forces: whether the task reads ``cfrc_ext``, the contact force on each body.
      package: whose models: "gymnasium" or "gymnasium_robotics".
      sensors: what the task reads of the world, by the name it has in ``Physics.extras``: ``("site", NAME)`` or
        ``("body", NAME)`` for a position, ``("orientation", NAME)`` for a body's quaternion, ``("sensor", NAME)`` for a
        sensor that the model has already. As in Gymnasium they lag ``qpos`` by one physics step.
      scene: numbers of the model that differ from episode to episode, such as where the door stands: pairs of
        ``"body_pos"``, ``"body_quat"`` or ``"site_pos"`` and a name.
      adjust: changes the compiled model before its first use, as Gymnasium's task does.
      control: how actions become motor commands: "direct", as they are; "centred", clipped to [-1, 1] and stretched
        over each motor's range; or :class:`Velocities`.
      init_qpos: joint positions to start from, where they are not the model's own.
      build: adds to the model's specification (a ``mujoco.MjSpec``) before it is compiled: the walls of a maze.
      speed_limit: joint velocities are clipped to it before each environment step.
      native_ccd: whether contacts of convex geoms (a cylinder and a box, say) come from MuJoCo's own collision
        detection of today: its default since 3.2, and since 3.8 with several points a contact. False: from the library
        that came before (libccd), in one point.
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
    control: Literal["direct", "centred"] | Velocities = "direct"
    init_qpos: tuple[float, ...] | None = None
    native_ccd: bool = True
    build: Callable[[Any], None] | None = None
    speed_limit: float | None = None


class Start(NamedTuple):
    """Where an episode begins.

    Attributes:
      qpos, qvel: joint positions and velocities.
      scene: values of ``Model.scene``, one after the other; empty where there is none.
      memory: what the task itself has to remember in an episode (``Physics.memory``).
    """

    qpos: Float[Array, " qpos"]
    qvel: Float[Array, " qvel"]
    scene: Float[Array, " scene"] | None = None
    memory: Mapping[str, Array] = MappingProxyType({})


class Physics(NamedTuple):
    """One robot's physics, as every engine reports it to every task.

    Attributes:
      qpos: joint positions.
      qvel: joint velocities.
      qpos_change: ``qpos`` minus its value one environment step earlier, subtracted in the engine's own precision: in
        float32, ``(x_after - x_before) / dt`` would be off by 1e-3 at ``x`` = 100 m.
      diverged: the simulation blew up in this step; everything else then is as it was before the step, and finite.
      extras: what the model asked for: ``body_change`` (3 numbers) for a tracked body, ``cfrc_ext`` (bodies x 6), and
        its sensors by name.
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
    """Moves the bodies of one model. ``start`` and ``step`` are pure, jit, vmap and scan."""

    name: str
    dt: float
    action_size: int
    init_qpos: Float[np.ndarray, " qpos"]
    init_qvel: Float[np.ndarray, " qvel"]

    init_scene: Float[np.ndarray, " scene"]

    def start(
        self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"], scene: Float[Array, " scene"] | None = None
    ) -> Physics:
        """Physics at rest in a given state. Computes nothing, so that a reset is free, unless the model has sensors."""

    def start_exact(
        self,
        qpos: Float[np.ndarray, "*batch qpos"],
        qvel: Float[np.ndarray, "*batch qvel"],
        scene: Float[np.ndarray, "*batch scene"] | None = None,
    ) -> Physics:
        """The same from NumPy arrays in the engine's full precision, outside jit, with any leading axes."""

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Physics one environment step later."""


class Task(Protocol):
    """What a module in ``tasks/`` defines, in this order.

    A task that remembers something beside the physics (which of its parts are done, a random seed) defines two more:
    ``command(physics, action, version)``, what is sent to the engine for an action; and ``remember(physics, version)``,
    the memory after the step that led to ``physics``, which still holds the one before it.

    One whose time limit depends on its version or options defines ``episode_length(version)``, in steps.

    One whose observations hold the state of the physics defines ``state(observations)``: joint positions and velocities
    of each row, and whether it shows them whole.

    ``metrics["score"]``, where a task has it, is what evaluations sum over an episode in place of the reward.
    """

    def model(self, version: Version) -> Model:
        """Which MuJoCo model, and what the task reads from it."""

    def reset(self, key: Key, init_qpos: Float[Array, " qpos"], init_qvel: Float[Array, " qvel"]) -> tuple[Any, ...]:
        """A random first state: a :class:`Start`, or its first two parts."""

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """What the agent sees."""

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """What the step that led to ``physics`` earned, and its parts."""

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Whether the task is over (never because of a time limit)."""


def model_path(xml: str, package: str = "gymnasium") -> Path:
    """Finds a model file among a package's assets without importing it.

    Raises:
      ConfigError: the package is not installed, or does not have the file.
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
