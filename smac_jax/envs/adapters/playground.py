"""MuJoCo Playground's environments, on Brax's interface. Needs the package ``playground`` (extra ``playground``).

Source: Zakka et al. 2025, https://playground.mujoco.org. An environment's own options are given as keywords
(``make_env("playground:CartpoleBalance", episode_length=500)``). Two are ours to say: ``impl``, how MJX is computed, is
"jax" unless JAX runs on an NVIDIA GPU, where Playground's own default stands; and where observations have parts, only
``"state"``, what the robot itself can sense, is observed. Playground's action repeat is left to Playground's own
training; here an action is one control step.
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
    """One environment of MuJoCo Playground; `jax.vmap` its methods for many.

    ``state.pipeline_state`` is Playground's own state.

    Args:
      name: in ``mujoco_playground.registry.ALL_ENVS``.
      **overrides: fields of the environment's configuration, nested ones with dots in their names.

    Raises:
      ConfigError: Playground is not installed; its environment has no such field; the robot's model, which Playground
        fetches when it is first wanted, cannot be had.
      UnknownNameError: no environment of that name.
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
        except Exception as error:  # no such field; no network to fetch the robot's model from
            raise ConfigError(f"playground:{name} cannot be made with {overrides}: {error}") from error
        self.episode_length = int(overrides.get("episode_length", config.episode_length))
        start = jax.eval_shape(self._env.reset, jax.random.key(0))
        self._parts = isinstance(start.obs, Mapping)
        self._observation_size = self._observed(start.obs).shape[-1]

    def reset(self, rng: Key) -> State:
        """A random first state."""
        return self._state(self._env.reset(rng))

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """One control step."""
        before = state.pipeline_state.replace(done=state.done)
        after = self._state(self._env.step(before, action))
        # wrappers keep things of their own in both
        return after.replace(metrics=state.metrics | after.metrics, info=state.info)

    @property
    def dt(self) -> float:
        """Seconds of one step."""
        return float(self._env.dt)

    @property
    def observation_size(self) -> int:
        """Length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """Length of an action, each number in [-1, 1]."""
        return int(self._env.action_size)

    @property
    def backend(self) -> str:
        """Who steps it: "mjx"."""
        return "mjx"

    def _observed(self, observation: Any) -> Any:
        return observation["state"] if self._parts else observation

    def _state(self, theirs: Any) -> State:
        return State(
            pipeline_state=theirs,
            obs=self._observed(theirs.obs),
            reward=jnp.asarray(theirs.reward, jnp.float32),
            done=jnp.asarray(theirs.done, jnp.float32),
            metrics=dict(theirs.metrics),
            info={},
        )
