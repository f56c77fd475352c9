"""OGBench's environments with one task (``singletask``), through Gymnasium's adapter.

Rewards are the package's, -1 in each step until the task is solved, which ends the episode (with several objects: minus
how many are not where they should be). ``metrics["score"]`` is 1 in the step that solves it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from brax.envs.base import State
from jaxtyping import Float

from smac_jax.envs.adapters.gymnasium import GymnasiumEnv
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.ogbench_sets import import_ogbench, parse_ogbench
from smac_jax.types import AnyArray, Array, Key


class OGBenchEnv(GymnasiumEnv):
    """The environment of one of OGBench's data sets; `jax.vmap` its methods for many.

    Args:
      name: of the data set, such as ``antmaze-large-navigate-singletask-v0``.
      episode_length, instances: as in :class:`GymnasiumEnv`.

    Raises:
      UnknownNameError: OGBench has none of that name.
      ConfigError: it is goal-conditioned, observes images, or cannot be made; or ``ogbench`` is not installed.
    """

    def __init__(self, name: str, episode_length: int | None = None, instances: int | None = None):
        parsed = parse_ogbench(name, ConfigError)
        import_ogbench(name, ConfigError)
        if parsed.env not in gymnasium.registry:
            known = tuple(known for known in gymnasium.registry if "singletask" in known and "visual" not in known)
            raise UnknownNameError(f"environment of OGBench (for the data set {name!r})", parsed.env, known)
        super().__init__(f"ogbench:{parsed.env}", episode_length, instances)

    def reset_where(self, rng: Key, wanted: Float[Array, ""]) -> State:
        """A new episode where ``wanted`` is above 0."""
        state = super().reset_where(rng, wanted)
        return state.replace(metrics={"score": jnp.zeros((), jnp.float32)})

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """One step; nothing but success terminates an episode."""
        over = state.pipeline_state.over
        after = super().step(state, action)
        return after.replace(metrics=state.metrics | {"score": jnp.where(over, 0.0, after.done)})

    @property
    def backend(self) -> str:
        """Who steps it: "ogbench"."""
        return "ogbench"

    def _prepare(self, env: gymnasium.Env) -> gymnasium.Env:
        return OwnRandomness(env)


class OwnRandomness(gymnasium.Wrapper):
    """An environment that draws from NumPy's global generator, which here follows from the seed of its episode.

    Gymnasium asks for the same episode where seed and actions are the same. The package's environments draw starts, and
    where teleports lead to, from ``numpy.random`` itself, which belongs to the user.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """A new episode, which follows from the seed alone."""
        if seed is not None:
            self._state = np.random.RandomState(seed).get_state()
            self.unwrapped.action_space.seed(seed)  # from which a reset draws, too
        with self._own():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """One step."""
        with self._own():
            return self.env.step(action)

    @contextlib.contextmanager
    def _own(self) -> Iterator[None]:
        users = np.random.get_state()  # noqa: NPY002 (it is what the package draws from)
        if self._state is not None:
            np.random.set_state(self._state)  # noqa: NPY002
        try:
            yield
        finally:
            self._state = np.random.get_state()  # noqa: NPY002
            np.random.set_state(users)  # noqa: NPY002
