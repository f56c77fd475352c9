"""The wrapper that training uses around an environment."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from jaxtyping import Float

from smac_jax.config import whole_number
from smac_jax.types import AnyArray, Array, Key


class AutoReset(Wrapper):
    """Adds a time limit to an environment, and starts a new episode when one ends.

    It wraps one environment. Callers use `jax.vmap` for several environments and seeds. After ``step``:

    * ``obs`` is the observation for the next action. If an episode has just ended, it is the first observation of the
      next episode.
    * ``done`` is 1 where an episode ended, by termination or truncation.
    * ``info["terminal"]`` is 1 where the task terminated (do not bootstrap).
    * ``info["truncation"]`` is 1 where only the time limit ended the episode (bootstrap from ``next_observation``). The
      time limit is that of this wrapper, or the environment's own (``info["truncated"]``).
    * ``info["next_observation"]`` is the observation after the step, before any reset. It goes to the replay buffer.
    * ``info["steps"]`` and ``info["episode_return"]`` are those of the current episode, 0 at its start.
    * ``info["last_episode_return"]`` and ``info["last_episode_length"]`` are those of the last episode that ended, 0
      before.
    * ``info["episodes"]`` is the number of episodes that have ended.

    Brax's own wrapper always returns to one cached first state. Here each episode starts with new noise, drawn from
    ``info["key"]``. Under `jax.vmap` a reset is computed in every step, and mostly discarded. For locomotion it costs a
    few additions, for a hand one computation of its sensors, and for a Brax environment up to as much as a step. If an
    environment has ``reset_where(key, wanted)``, that is called, and resets only where ``wanted`` is above 0.

    Args:
      env: an environment that is not vectorized.
      episode_length: the number of steps after which an episode is cut.

    Raises:
      ConfigError: ``episode_length`` is not a whole number of at least 1.
    """

    def __init__(self, env: Env, episode_length: int = 1000):
        super().__init__(env)
        self.episode_length = whole_number("AutoReset: episode_length", episode_length, 1)
        self._reset_where = getattr(env, "reset_where", lambda key, wanted: env.reset(key))

    def reset(self, rng: Key) -> State:
        """Returns the start of a first episode."""
        key, key_reset = jax.random.split(rng)
        return self.begin(self.env.reset(key_reset), key)

    def begin(self, state: State, rng: Key) -> State:
        """Returns the start of a first episode in a given state of the wrapped environment.

        Args:
          state: such as one that ``reset_to`` of the environment returns.
          rng: the key of the following episodes.
        """
        zero, count, earned = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros_like(state.reward)
        bookkeeping = {
            "key": rng,
            "terminal": zero,
            "truncation": zero,
            "next_observation": state.obs,
            "steps": count,
            "episode_return": earned,
            "last_episode_return": earned,
            "last_episode_length": count,
            "episodes": count,
        }
        return state.replace(info=state.info | bookkeeping)

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """Computes one step, and a reset if the step ends an episode."""
        info = state.info
        after = self.env.step(state.replace(done=jnp.zeros_like(state.done)), action)
        key, key_reset = jax.random.split(info["key"])

        steps = info["steps"] + 1
        episode_return = info["episode_return"] + after.reward
        terminal = after.done.astype(jnp.float32)
        out_of_time = (steps >= self.episode_length) | (after.info.get("truncated", 0.0) > 0)
        truncation = jnp.where(out_of_time, 1.0 - terminal, 0.0)
        done = jnp.maximum(terminal, truncation)
        fresh = self._reset_where(key_reset, done)

        def renew(new: Array, old: Array) -> Array:
            return jnp.where(done > 0, new, old)

        bookkeeping = {
            "key": key,
            "terminal": terminal,
            "truncation": truncation,
            "next_observation": after.obs,
            "steps": renew(jnp.zeros_like(steps), steps),
            "episode_return": renew(jnp.zeros_like(episode_return), episode_return),
            "last_episode_return": renew(episode_return, info["last_episode_return"]),
            "last_episode_length": renew(steps, info["last_episode_length"]),
            "episodes": info["episodes"] + done.astype(jnp.int32),
        }
        # The environment's own entries of `info` are reset, too. Those of other wrappers are not.
        other_info = {k: v for k, v in after.info.items() if k not in bookkeeping}
        other_info |= {k: jax.tree.map(renew, v, other_info[k]) for k, v in fresh.info.items() if k in other_info}
        return after.replace(
            pipeline_state=jax.tree.map(renew, fresh.pipeline_state, after.pipeline_state),
            obs=jax.tree.map(renew, fresh.obs, after.obs),
            done=done.astype(after.done.dtype),
            info=other_info | bookkeeping,
        )
