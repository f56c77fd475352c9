"""Makes a Brax environment of one task and one engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State
from jaxtyping import Float

from smac_jax.envs.base import Engine, Physics, Start, Task, Version
from smac_jax.errors import ConfigError
from smac_jax.types import AnyArray, Array, Key


class TaskEnv(Env):
    """An environment of one robot. For several robots, use `jax.vmap` on its methods.

    ``state.done`` is 1 where the task has terminated, and never because of a time limit (see
    :class:`smac_jax.envs.wrappers.AutoReset`). ``state.metrics`` holds the components of the reward.
    ``state.pipeline_state`` is the :class:`Physics`.

    A simulation that diverges ends the episode. In that step nothing moves, so that every number stays finite.

    Args:
      task: one of the modules in ``tasks/``, or an object with the same functions.
      engine: one of the engines in ``physics/``, made for the model of the task.
      version: the version of the task.
    """

    def __init__(self, task: Task, engine: Engine, version: Version = "v4"):
        self.task, self._engine, self._version = task, engine, version
        self._command = getattr(task, "command", lambda physics, action, version: action)
        self._remember = getattr(task, "remember", lambda physics, version: physics.memory)
        if hasattr(task, "episode_length"):
            self.episode_length = int(task.episode_length(version))
        self._observation_size = jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[-1]

    def reset(self, rng: Key) -> State:
        """Returns a random first state, with the noise of Gymnasium's reset.

        No physics is computed unless the task reads sensors.
        """
        start = self._start(rng)
        return self._first(self._engine.start(start.qpos, start.qvel, start.scene), start.memory)

    def reset_to(
        self,
        qpos: Float[Any, "*batch qpos"],
        qvel: Float[Any, "*batch qvel"],
        scene: Any = None,
        key: Key | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> State:
        """Returns the first state of an episode that starts in a given physics state.

        The method is for replaying data and for comparisons, outside jit. Leading axes are those of a batch of states,
        as with `jax.vmap`. An engine that computes in float64 uses float64 NumPy arrays exactly.

        Args:
          qpos, qvel: joint positions and velocities.
          scene: the values of the task's ``Model.scene``, such as the position of the door; by default those of the
            model.
          key: the key of the task's randomness after the start, such as the kitchen's noise. All states of a batch
            share it.
          memory: values that replace those of the task's memory at the start, such as a maze's ``goal``. All states of
            a batch share them.

        Raises:
          ConfigError: an array has another shape than in the model, a number is not finite, or the task has no such
            memory.
        """
        qpos, qvel = np.asarray(qpos), np.asarray(qvel)
        batch = qpos.shape[:-1]
        init = self._engine
        scene = np.broadcast_to(init.init_scene, (*batch, *init.init_scene.shape)) if scene is None else scene
        arrays = {"qpos": (qpos, init.init_qpos), "qvel": (qvel, init.init_qvel), "scene": (scene, init.init_scene)}
        for name, (value, like) in arrays.items():
            if np.shape(value)[-1:] != like.shape or not np.isfinite(value).all():
                raise ConfigError(f"{name} must be finite and end in shape {like.shape}; got {value!r}.")
            if np.shape(value)[:-1] != batch:
                raise ConfigError(f"qpos and {name} must have the same leading axes; got {batch} and {value.shape}.")
        start_memory = dict(self._start(jax.random.key(0) if key is None else key).memory)
        for name, value in (memory or {}).items():
            shape = start_memory[name].shape if name in start_memory else None
            if np.shape(value) != shape:
                raise ConfigError(
                    f"memory[{name!r}] has shape {np.shape(value)}; the memory of the task has "
                    f"{', '.join(f'{k} {v.shape}' for k, v in start_memory.items()) or 'no entries'}."
                )
            start_memory[name] = jnp.asarray(value, start_memory[name].dtype)
        first = partial(self._first, memory=start_memory)
        for _ in batch:
            first = jax.vmap(first)
        return first(self._engine.start_exact(qpos, qvel, np.asarray(scene)))

    def snapshot(self, physics: Physics) -> Any:
        """Returns the part of a state that :meth:`states_of` reads. A compiled program must store it for each step."""
        return physics.raw if hasattr(self._engine, "exact_state") else (physics.qpos, physics.qvel)

    def states_of(self, snapshots: Any) -> dict[str, np.ndarray]:
        """Converts snapshots to the arguments of :meth:`reset_to`, outside jit.

        Args:
          snapshots: what :meth:`snapshot` returns, with any leading axes.

        Returns:
          ``qpos`` and ``qvel``, which are float64 with the C engine and float32 with the others. With the C engine also
          ``scene``, if the task has one.
        """
        if not hasattr(self._engine, "exact_state"):
            return dict(zip(("qpos", "qvel"), map(np.asarray, snapshots), strict=True))
        states = dict(zip(("qpos", "qvel", "scene"), self._engine.exact_state(np.asarray(snapshots)), strict=True))
        return states if len(self._engine.init_scene) else {key: states[key] for key in ("qpos", "qvel")}

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """Computes one environment step, which is ``frame_skip`` physics steps with the same action."""
        before, action = state.pipeline_state, jnp.asarray(action, jnp.float32)
        physics = self._engine.step(before, self._command(before, action, self._version))
        physics = physics._replace(memory=self._remember(physics, self._version))
        reward, metrics = self.task.reward(physics, action, self.dt, self._version)
        done = self.task.termination(physics, self._version) | physics.diverged
        return state.replace(
            pipeline_state=physics,
            obs=self.task.observation(physics, self._version).astype(jnp.float32),
            reward=reward.astype(jnp.float32),
            done=done.astype(jnp.float32),
            # a wrapper may have added metrics
            metrics=state.metrics | {name: jnp.asarray(x, jnp.float32) for name, x in metrics.items()},
        )

    def _start(self, key: Key) -> Start:
        init_qpos, init_qvel = (jnp.asarray(x, jnp.float32) for x in (self._engine.init_qpos, self._engine.init_qvel))
        return Start(*self.task.reset(key, init_qpos, init_qvel))

    def _first(self, physics: Physics, memory: Mapping[str, Array]) -> State:
        physics = physics._replace(memory=dict(memory))
        _, metrics = self.task.reward(physics, jnp.zeros(self.action_size, jnp.float32), self.dt, self._version)
        return State(
            pipeline_state=physics,
            obs=self.task.observation(physics, self._version).astype(jnp.float32),
            reward=jnp.zeros((), jnp.float32),
            done=jnp.zeros((), jnp.float32),
            metrics={name: jnp.zeros(jnp.shape(x), jnp.float32) for name, x in metrics.items()},
            info={},
        )

    @property
    def dt(self) -> float:
        """The seconds of one environment step."""
        return self._engine.dt

    @property
    def observation_size(self) -> int:
        """The length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """The number of motors. Each takes a number in [-1, 1], and MuJoCo clips other numbers, as in Gymnasium."""
        return self._engine.action_size

    @property
    def init_scene(self) -> Float[np.ndarray, " scene"]:
        """The values of the task's ``Model.scene`` in the model."""
        return self._engine.init_scene

    @property
    def backend(self) -> str:
        """The name of the engine: "mujoco", "mjx" or "warp"."""
        return self._engine.name
