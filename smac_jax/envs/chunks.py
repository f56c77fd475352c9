"""An environment whose actions are chunks: several consecutive actions, which do not depend on observations in between.

Source: Q-chunking (Li, Zhou and Levine 2025, arXiv 2507.07969), section 4. :func:`smac_jax.data.chunks.in_chunks` makes
the data sets for it.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from jaxtyping import Bool, Float

from smac_jax.chunk_names import DISCOUNT
from smac_jax.config import real_number, whole_number
from smac_jax.types import AnyArray, Array, Key


class _Progress(NamedTuple):
    """The state within a chunk. It does not change after the end of the episode."""

    state: State
    reward: Float[Array, ""]
    score: Float[Array, ""]
    factor: Float[Array, ""]
    over: Bool[Array, ""]


class ActionChunks(Env):
    """An environment in which one step takes ``length`` actions in another environment.

    The reward of a step is the discounted sum of the rewards of its actions. ``metrics["score"]``, which evaluations
    report, is the sum without a discount; if the other environment has a score, it is the sum of this score. If the
    episode ends within a chunk, the remaining actions are not taken. Numbers of steps and time limits count chunks.

    Args:
      env: an environment that is not vectorized and has no automatic reset.
      length: the number of actions in a chunk.
      discount: the discount of a single step. The algorithm needs the discount ``discount ** length``.
      episode_length: the time limit in single steps; None for the time limit of the environment, if it has one. The
        episode ends before a chunk that would exceed it, so only chunks in which the task ends are incomplete.

    Raises:
      ConfigError: an argument is out of range.
    """

    def __init__(self, env: Env, length: int, discount: float = DISCOUNT, episode_length: int | None = None):
        self.env = env
        self.length = whole_number("ActionChunks: length", length, 1)
        self.discount = real_number("ActionChunks: discount", discount, 0.0, 1.0)
        limit = episode_length if episode_length is not None else getattr(env, "episode_length", None)
        if limit is not None:
            self.episode_length = whole_number("ActionChunks: episode_length", limit, self.length) // self.length

    def reset(self, rng: Key) -> State:
        """Starts a new episode."""
        return self._with_score(self.env.reset(rng), jnp.zeros((), jnp.float32))

    def reset_where(self, rng: Key, wanted: Float[Array, ""]) -> State:
        """Starts a new episode where ``wanted`` is above 0 if the environment supports it, and otherwise always."""
        reset = getattr(self.env, "reset_where", lambda key, wanted: self.env.reset(key))
        return self._with_score(reset(rng, wanted), jnp.zeros((), jnp.float32))

    def step(self, state: State, action: Float[AnyArray, " actions"]) -> State:
        """Takes the actions of a chunk ``[length * action]`` one after the other."""
        zero = jnp.zeros((), jnp.float32)
        if not self._has_score:
            state = state.replace(metrics={name: x for name, x in state.metrics.items() if name != "score"})
        first = _Progress(state, zero, zero, zero + 1.0, jnp.zeros((), bool))
        chunk = jnp.asarray(action, jnp.float32).reshape(self.length, self.env.action_size)
        last, _ = jax.lax.scan(self._one, first, chunk)
        return self._with_score(last.state.replace(reward=last.reward), last.score)

    def _one(self, now: _Progress, action: Float[Array, " action"]) -> tuple[_Progress, None]:
        state = self.env.step(now.state, action)
        reward = state.reward.astype(jnp.float32)
        score = state.metrics.get("score", reward).astype(jnp.float32)
        ended = (state.done > 0) | (jnp.asarray(state.info.get("truncated", 0.0)) > 0)
        after = _Progress(
            state=state,
            reward=now.reward + now.factor * reward,
            score=now.score + score,
            factor=self.discount * now.factor,
            over=ended,
        )
        # `where` instead of a product: after its end, a simulation may contain values that are not finite
        return jax.tree.map(lambda old, new: jnp.where(now.over, old, new), now, after), None

    def _with_score(self, state: State, score: Float[Array, ""]) -> State:
        return state.replace(reward=state.reward.astype(jnp.float32), metrics=state.metrics | {"score": score})

    @cached_property
    def _has_score(self) -> bool:
        """Returns whether the environment has a score."""
        return "score" in jax.eval_shape(self.env.reset, jax.random.key(0)).metrics

    @property
    def observation_size(self) -> int:
        """Returns the length of ``state.obs``."""
        return self.env.observation_size  # type: ignore[return-value]

    @property
    def action_size(self) -> int:
        """Returns the number of dimensions of a chunk, which is ``length`` times that of an action."""
        return self.length * self.env.action_size

    @property
    def backend(self) -> str:
        """Returns the name of the backend that computes the steps."""
        return self.env.backend
