"""Returns of whole episodes, for every seed's policy at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.algorithms.base import ActorCritic
from smac_jax.algorithms.own_networks import action_size
from smac_jax.config import seed_number, true_or_false, whole_number
from smac_jax.envs.host_errors import as_raised_on_host
from smac_jax.errors import ConfigError
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key

if TYPE_CHECKING:
    from brax.envs.base import Env


class _Progress(NamedTuple):
    state: Any
    step: Array
    alive: Array
    total: Array


@lru_cache(maxsize=32)
def make_evaluator(
    env: Env, episodes: int, episode_length: int, deterministic: bool, layout: SeedLayout
) -> Callable[[ActorCritic, Key], Float[Array, "seed episode"]]:
    """A compiled ``(actor_critic, keys[seed]) -> returns[seed, episode]``.

    All episodes of a device's seeds step together until the last has ended or the time limit is reached. Where an
    environment reports ``metrics["score"]``, that is summed in place of the reward: what the task is judged by.
    """
    reset = jax.vmap(jax.vmap(env.reset))
    step = jax.vmap(jax.vmap(env.step))

    def act(actor_critic: ActorCritic, observation: Array, key: Key) -> Array:
        policy = actor_critic.policy(observation)
        return policy.mode() if deterministic else policy.sample(key)

    def evaluate_all(actor_critic: ActorCritic, keys: Key) -> Float[Array, "seed episode"]:
        start = reset(jax.vmap(lambda key: jax.random.split(key, episodes))(keys))

        def advance(now: _Progress) -> _Progress:
            step_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, now.step)
            action = jax.vmap(act)(actor_critic, now.state.obs, step_keys)
            state = step(now.state, action)
            earned = state.metrics.get("score", state.reward).astype(jnp.float32)
            # `where`, not a product: a simulation that went on past its end may hold anything
            total = now.total + jnp.where(now.alive, earned, 0.0)
            ended = (state.done > 0) | (state.info.get("truncated", 0.0) > 0)
            return _Progress(state, now.step + 1, now.alive & ~ended, total)

        def running(now: _Progress) -> Array:
            return (now.step < episode_length) & now.alive.any()

        shape = start.reward.shape
        first = _Progress(start, jnp.zeros((), jnp.int32), jnp.ones(shape, bool), jnp.zeros(shape, jnp.float32))
        return jax.lax.while_loop(running, advance, first).total

    return layout.spread(evaluate_all, (0, 0))


def evaluate(
    actor_critic: ActorCritic,
    env: Env,
    episodes: int = 20,
    *,
    seed: int = 0,
    episode_length: int = 1000,
    deterministic: bool = True,
) -> Float[np.ndarray, "seed episode"]:
    """Undiscounted returns of whole episodes.

    Where a task is judged otherwise (``metrics["score"]``) it is that: whether a binary task succeeded, how much of the
    kitchen was solved.

    Args:
      actor_critic: one policy, or several stacked along a leading seed axis.
      env: an environment that is not vectorized and does not reset itself.
      episodes: how many for each policy.
      seed: of the starting states and, if not ``deterministic``, of the actions; the same for every policy.
      episode_length: time limit in environment steps.
      deterministic: act by ``tanh(mu)`` rather than by a sample.

    Raises:
      ConfigError: a policy made for another observation or action size than the environment's; an argument that is no
        number of its kind, or out of range.
    """
    check_sizes(actor_critic, env)
    episodes = whole_number("evaluate: episodes", episodes, 1)
    episode_length = whole_number("evaluate: episode_length", episode_length, 1)
    seed, deterministic = seed_number("evaluate: seed", seed), true_or_false("evaluate: deterministic", deterministic)
    if actor_critic.observation_mean.ndim == 1:
        actor_critic = jax.tree.map(lambda x: x[None], actor_critic)
    seeds = actor_critic.observation_mean.shape[0]
    layout = SeedLayout.over(range(seeds))
    keys = jnp.broadcast_to(jax.random.key(seed), (seeds,))
    evaluator = make_evaluator(env, episodes, episode_length, deterministic, layout)
    with as_raised_on_host():
        return np.asarray(layout.unpad(evaluator(layout.shard(actor_critic), layout.shard(keys))))


def check_sizes(actor_critic: ActorCritic, env: Env) -> None:
    """Raises ConfigError where a policy does not fit an environment."""
    sees, acts = actor_critic.observation_mean.shape[-1], action_size(actor_critic)
    if (sees, acts) != (env.observation_size, env.action_size):
        raise ConfigError(
            f"The policy maps {sees} observations to {acts} actions, the environment has {env.observation_size} and "
            f"{env.action_size}: were they made for the same task and version?"
        )
