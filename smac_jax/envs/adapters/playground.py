"""MuJoCo Playground's environments with Brax's interface. They need the package ``playground`` (extra ``playground``).

Source: Zakka et al. 2025, https://playground.mujoco.org. The options of an environment are passed as keywords
(``make_env("playground:CartpoleBalance", episode_length=500)``). Two things differ from Playground's defaults. The
option ``impl``, the implementation of MJX, is "jax" unless JAX runs on an NVIDIA GPU. If observations have several
parts, only ``"state"`` is observed, which the robot itself can sense. Playground's action repeat is not applied: an
action is one control step.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from jaxtyping import Float

from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.types import AnyArray, Key


class PlaygroundEnv(Env):
    """One environment of MuJoCo Playground. For several robots, use `jax.vmap` on its methods.

    ``state.pipeline_state`` is Playground's own state.

    Args:
      name: a name in ``mujoco_playground.registry.ALL_ENVS``.
      **overrides: fields of the environment's configuration. The names of nested fields have dots.

    Raises:
      ConfigError: Playground is not installed, its environment has no such field, or the model of the robot, which
        Playground downloads on first use, is not available.
      UnknownNameError: there is no environment of that name.
    """

    def __init__(self, name: str, **overrides: Any):
        if importlib.util.find_spec("mujoco_playground") is None:
            raise ConfigError(f"playground:{name} needs MuJoCo Playground: pip install 'smac_jax[playground]'.")
        from mujoco_playground import registry

        if name not in registry.ALL_ENVS:
            raise UnknownNameError("environment of MuJoCo Playground", name, tuple(registry.ALL_ENVS))
        config = registry.get_default_config(name)
        if "impl" in config and jax.default_backend() != "gpu":
            overrides = {"impl": "jax"} | overrides
        try:
            self._env = registry.load(name, config_overrides=overrides)
        except Exception as error:  # any exception: an unknown field, or no network for the download of the model
            raise ConfigError(f"playground:{name} cannot be made with {overrides}: {error}") from error
        self.episode_length = int(overrides.get("episode_length", config.episode_length))
        start = jax.eval_shape(self._env.reset, jax.random.key(0))
        self._parts = isinstance(start.obs, Mapping)
        self._observation_size = self._observed(start.obs).shape[-1]

    def reset(self, rng: Key) -> State:
        """Returns a random first state."""
        return self._state(self._env.reset(rng))

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """Computes one control step."""
        before = state.pipeline_state.replace(done=state.done)
        after = self._state(self._env.step(before, action))
        # wrappers may have added entries to both
        return after.replace(metrics=state.metrics | after.metrics, info=state.info)

    @property
    def dt(self) -> float:
        """The seconds of one step."""
        return float(self._env.dt)

    @property
    def observation_size(self) -> int:
        """The length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """The length of an action. Each number is in [-1, 1]."""
        return int(self._env.action_size)

    @property
    def backend(self) -> str:
        """The name of the engine: "mjx"."""
        return "mjx"

    def _observed(self, observation: Any) -> Any:
        return observation["state"] if self._parts else observation

    def _state(self, inner: Any) -> State:
        return State(
            pipeline_state=inner,
            obs=self._observed(inner.obs),
            reward=jnp.asarray(inner.reward, jnp.float32),
            done=jnp.asarray(inner.done, jnp.float32),
            metrics=dict(inner.metrics),
            info={},
        )
