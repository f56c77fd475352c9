"""What training puts around an environment."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from jaxtyping import Float

from smac_jax.config import whole_number
from smac_jax.types import AnyArray, Array, Key


class AutoReset(Wrapper):
    """Adds a time limit, and starts a new episode where one ends.

    Wraps one environment; callers `jax.vmap` over environments and seeds. After ``step``:

    * ``obs``: what to act on next; the first observation of a new episode where one has just ended;
    * ``done``: 1 where an episode ended, for either reason;
    * ``info["terminal"]``: 1 where the task ended (do not bootstrap);
    * ``info["truncation"]``: 1 where only time ran out (bootstrap from ``next_observation``), by our limit or by the
      environment's own, where it keeps one (``info["truncated"]``);
    * ``info["next_observation"]``: what the step led to, before any reset. This goes into the replay buffer;
    * ``info["steps"]``, ``info["episode_return"]``: of the episode under way, 0 at its start;
    * ``info["last_episode_return"]``, ``info["last_episode_length"]``: of the last episode that ended, 0 before;
    * ``info["episodes"]``: how many have ended.

    Unlike Brax's wrapper, which goes back to one cached first state for ever, each episode starts from new noise, drawn
    from ``info["key"]``. Under `jax.vmap` a reset is computed in every step and mostly thrown away. For locomotion that
    is a handful of additions; for a hand one more computation of its sensors; for a Brax environment it may cost as
    much as a step. An environment that has a ``reset_where(key, wanted)`` is asked to do it only where it is wanted.

    Args:
      env: an environment that is not vectorized.
      episode_length: steps after which an episode is cut.
    """

    def __init__(self, env: Env, episode_length: int = 1000):
        super().__init__(env)
        self.episode_length = whole_number("AutoReset: episode_length", episode_length, 1)
        self._reset_where = getattr(env, "reset_where", lambda key, wanted: env.reset(key))

    def reset(self, rng: Key) -> State:
        """The start of a first episode."""
        key, key_reset = jax.random.split(rng)
        return self.begin(self.env.reset(key_reset), key)

    def begin(self, state: State, rng: Key) -> State:
        """The start of a first episode in a state of the wrapped environment, e.g. from its ``reset_to``."""
        zero, count, earned = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros_like(state.reward)
        ours = {
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
        return state.replace(info=state.info | ours)

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """One step, and a reset where it ends an episode."""
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

        ours = {
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
        # What the environment keeps in `info` for itself starts anew too; what another wrapper put there does not.
        theirs = {k: v for k, v in after.info.items() if k not in ours}
        theirs |= {k: jax.tree.map(renew, v, theirs[k]) for k, v in fresh.info.items() if k in theirs}
        return after.replace(
            pipeline_state=jax.tree.map(renew, fresh.pipeline_state, after.pipeline_state),
            obs=jax.tree.map(renew, fresh.obs, after.obs),
            done=done.astype(after.done.dtype),
            info=theirs | ours,
        )
