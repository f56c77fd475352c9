"""One task and one engine make a Brax environment."""

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
    """An environment of one robot; `jax.vmap` its methods for many.

    ``state.done`` says that the task ended, never that time is up (see :class:`smac_jax.envs.wrappers.AutoReset`).
    ``state.metrics`` holds the parts of the reward. ``state.pipeline_state`` is the :class:`Physics`.

    A simulation that diverges ends the episode: the step counts as not having moved, so every number stays finite.
    """

    def __init__(self, task: Task, engine: Engine, version: Version = "v4"):
        self.task, self._engine, self._version = task, engine, version
        self._command = getattr(task, "command", lambda physics, action, version: action)
        self._remember = getattr(task, "remember", lambda physics, version: physics.memory)
        if hasattr(task, "episode_length"):
            self.episode_length = int(task.episode_length(version))
        self._observation_size = jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[-1]

    def reset(self, rng: Key) -> State:
        """A random first state, with the noise of Gymnasium's reset. Costs physics only where sensors are read."""
        start = self._start(rng)
        return self._first(self._engine.start(start.qpos, start.qvel, start.scene), start.memory)

    def reset_to(
        self,
        qpos: Float[Any, "*batch qpos"],
        qvel: Float[Any, "*batch qvel"],
        scene: Float[Any, "*batch scene"] | None = None,
        key: Key | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> State:
        """Starts from a given physics state, exactly where it comes as float64 NumPy arrays to an engine that has them.

        For replaying data and for comparisons, outside jit. Leading axes give a batch of states, as `jax.vmap` would.

        Args:
          qpos, qvel: joint positions and velocities.
          scene: values of the task's ``Model.scene`` (where the door stands); the model's own by default.
          key: of the task's own randomness after the start (the kitchen's noise); the same for every state of a batch.
          memory: what the task is to remember in place of what a start drawn with ``key`` would have it remember (a
            maze's ``goal``); the same for every state of a batch.

        Raises:
          ConfigError: a shape that is not the model's, a number that is not finite, or something to remember that the
            task does not know.
        """
        qpos, qvel = np.asarray(qpos), np.asarray(qvel)
        batch = qpos.shape[:-1]
        init = self._engine
        scene = np.broadcast_to(init.init_scene, (*batch, *init.init_scene.shape)) if scene is None else scene
        given = {"qpos": (qpos, init.init_qpos), "qvel": (qvel, init.init_qvel), "scene": (scene, init.init_scene)}
        for name, (value, like) in given.items():
            if np.shape(value)[-1:] != like.shape or not np.isfinite(value).all():
                raise ConfigError(f"{name} must be finite and end in shape {like.shape}; got {value!r}.")
            if np.shape(value)[:-1] != batch:
                raise ConfigError(f"qpos and {name} must have the same leading axes; got {batch} and {value.shape}.")
        started = dict(self._start(jax.random.key(0) if key is None else key).memory)
        for name, value in (memory or {}).items():
            shape = started[name].shape if name in started else None
            if np.shape(value) != shape:
                raise ConfigError(
                    f"memory[{name!r}] has shape {np.shape(value)}; the task remembers "
                    f"{', '.join(f'{k} {v.shape}' for k, v in started.items()) or 'nothing'}."
                )
            started[name] = jnp.asarray(value, started[name].dtype)
        first = partial(self._first, memory=started)
        for _ in batch:
            first = jax.vmap(first)
        return first(self._engine.start_exact(qpos, qvel, np.asarray(scene)))

    def snapshot(self, physics: Physics) -> Any:
        """The part of a state that :meth:`states_of` reads: what a compiled program has to keep of each step."""
        return physics.raw if hasattr(self._engine, "exact_state") else (physics.qpos, physics.qvel)

    def states_of(self, snapshots: Any) -> dict[str, np.ndarray]:
        """What :meth:`reset_to` takes, of snapshots with any leading axes, outside jit.

        Returns:
          ``qpos`` and ``qvel``, float64 with the C engine and float32 with the others; and with the C engine ``scene``,
          where the task has one.
        """
        if not hasattr(self._engine, "exact_state"):
            return dict(zip(("qpos", "qvel"), map(np.asarray, snapshots), strict=True))
        states = dict(zip(("qpos", "qvel", "scene"), self._engine.exact_state(np.asarray(snapshots)), strict=True))
        return states if len(self._engine.init_scene) else {key: states[key] for key in ("qpos", "qvel")}

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """One environment step: ``frame_skip`` steps of physics under one action."""
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
            # a wrapper may have added its own
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
        """Seconds of one environment step."""
        return self._engine.dt

    @property
    def observation_size(self) -> int:
        """Length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """Number of motors; each takes a number in [-1, 1], and MuJoCo clamps what is outside, as in Gymnasium."""
        return self._engine.action_size

    @property
    def init_scene(self) -> Float[np.ndarray, " scene"]:
        """The model's own values of the task's ``Model.scene``."""
        return self._engine.init_scene

    @property
    def backend(self) -> str:
        """Name of the engine: "mujoco", "mjx" or "warp"."""
        return self._engine.name
