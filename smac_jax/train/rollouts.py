"""Collects complete episodes of a given policy in parallel environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from smac_jax.deploy.policy_source import Network, PolicySource, act_with
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.train.progress import Progress
from smac_jax.types import Array, Key

if TYPE_CHECKING:
    from brax.envs.base import Env

CHUNK = 250
"""The largest number of steps in one call of the compiled program."""


class Rollouts(NamedTuple):
    """Consecutive episodes.

    Attributes:
      arrays: the transitions in D4RL's layout.
      infos: ``qpos``, ``qvel`` and, for tasks that have one, ``scene`` of the state in which each action was taken;
        empty for environments of other packages.
      returns: the return of each episode.
      lengths: the number of steps of each episode.
      scores: the sum of ``metrics["score"]`` over each episode; None for tasks that have no score.
    """

    arrays: dict[str, np.ndarray]
    infos: dict[str, np.ndarray]
    returns: Float[np.ndarray, " episode"]
    lengths: Int[np.ndarray, " episode"]
    scores: Float[np.ndarray, " episode"] | None


def collect_episodes(
    env: Env,
    policy: PolicySource,
    size: int,
    *,
    key: Key,
    episode_length: int,
    deterministic: bool = False,
    noise: float = 0.0,
    num_envs: int = 20,
    progress: Progress | bool = False,
) -> Rollouts:
    """Collects episodes until they have at least ``size`` transitions.

    The result has the first episodes in the order in which they were started, so it exceeds ``size`` by less than one
    episode. Whether an episode is included depends on the lengths of the episodes before it and not on its own length.
    Its returns are therefore distributed like those of sequential episodes; with the episodes that end first, short
    episodes would be too frequent.

    Args:
      env: an environment that is not vectorized and does not reset itself.
      policy: a policy that fits the environment (:meth:`PolicySource.fit`).
      size: the least number of transitions.
      key: the random key, which determines the result completely.
      episode_length: the time limit in environment steps.
      deterministic: whether to act with the policy's mean instead of a sample.
      noise: the standard deviation of normal noise that is added to the actions.
      num_envs: the largest number of parallel environments.
      progress: whether to show a bar, or the display to use; its steps are transitions.

    Raises:
      ConfigError: an argument is out of range.
      CheckpointError: the policy gave an action that is not finite.
    """
    if min(size, episode_length, num_envs) < 1 or not 0 <= noise < np.inf:
        raise ConfigError(
            f"size = {size}, episode_length = {episode_length}, num_envs = {num_envs}: must be at least 1; "
            f"noise = {noise}: must not be negative."
        )
    count, steps = min(num_envs, -(-size // episode_length)), min(episode_length, CHUNK)
    begin, advance = _make_collector(
        env, policy.network, policy.action_size, episode_length, steps, deterministic, noise
    )
    parameters = {name: jnp.asarray(array) for name, array in policy.parameters.items()}
    key_start, key_act = jax.random.split(key)
    state = begin(jax.random.split(key_start, count))
    keys = jax.random.split(key_act, count)

    chunks: list[dict[str, Any]] = []
    ends = np.zeros((0, count), bool)
    shown, chosen = 0, None
    with Progress.of(progress) as bar:
        bar.phase(policy.name, size)
        while chosen is None:
            state, rows = advance(parameters, state, keys, len(ends))
            chunks.append(jax.tree.map(np.asarray, rows))
            if not np.isfinite(chunks[-1]["actions"]).all():
                raise CheckpointError(
                    f"{policy.name} gave an action that is not finite within {len(ends) + steps} steps."
                )
            ends = np.concatenate([ends, (chunks[-1]["terminals"] | chunks[-1]["timeouts"]).T])
            chosen = first_episodes(ends, size)
            bar.advance(min(ends.size, size) - shown)
            shown = min(ends.size, size)

    def gather(*parts: np.ndarray) -> np.ndarray:
        streams = np.concatenate(parts, axis=1)
        return np.concatenate([streams[env, start:stop] for env, start, stop in chosen])

    columns = jax.tree.map(gather, *chunks)
    snapshots, scores = columns.pop("snapshots"), columns.pop("scores")
    lengths = np.array([stop - start for _, start, stop in chosen])
    firsts = np.cumsum(lengths) - lengths
    sums = {
        name: np.add.reduceat(values.astype(np.float64), firsts)
        for name, values in (("rewards", columns["rewards"]), ("scores", scores))
        if values is not None
    }
    infos = {} if snapshots is None else env.states_of(snapshots)
    return Rollouts(columns, infos, sums["rewards"], lengths, sums.get("scores"))


def first_episodes(ends: Bool[np.ndarray, "time env"], size: int) -> list[tuple[int, int, int]] | None:
    """Returns the first episodes with at least ``size`` transitions in total: environment, first row and end row of
    each.

    None while one of these episodes has not ended.

    Args:
      ends: whether an episode ended at each step of each environment.
      size: the least number of transitions.
    """
    episodes: list[tuple[int, int, int | None]] = []
    for env, column in enumerate(ends.T):
        # the last start is that of an episode that has not ended, or that begins with the next step
        starts = [0, *(np.flatnonzero(column) + 1).tolist()]
        stops = [*starts[1:], None] if starts[-1] < len(column) else starts[1:]
        episodes += [(start, env, stop) for start, stop in zip(starts, stops, strict=False)]
    chosen, rows = [], 0
    for start, env, stop in sorted(episodes, key=lambda episode: episode[:2]):
        if stop is None:
            return None
        chosen.append((env, start, stop))
        rows += stop - start
        if rows >= size:
            return chosen
    return None


@lru_cache(maxsize=8)
def _make_collector(
    env: Env,
    network: Network,
    action_size: int,
    episode_length: int,
    steps: int,
    deterministic: bool,
    noise: float,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiles the reset of all environments, and ``steps`` steps of them that give their rows ``[env, time, ...]``."""
    from smac_jax.envs import AutoReset
    from smac_jax.envs.task_env import TaskEnv

    wrapped = AutoReset(env, episode_length)

    def collect(parameters: Any, state: Any, key: Key, first: Array) -> tuple[Any, dict[str, Any]]:
        def step(state: Any, i: Array) -> tuple[Any, dict[str, Any]]:
            key_policy, key_noise = jax.random.split(jax.random.fold_in(key, i))
            action = act_with(network, parameters, action_size, state.obs, None if deterministic else key_policy)
            if noise > 0:
                action = jnp.clip(action + noise * jax.random.normal(key_noise, action.shape), -1.0, 1.0)
            after = wrapped.step(state, action)
            rows = {
                "observations": state.obs,
                "actions": action,
                "rewards": after.reward,
                "next_observations": after.info["next_observation"],
                "terminals": after.info["terminal"] > 0.5,
                "timeouts": after.info["truncation"] > 0.5,
                "scores": after.metrics.get("score"),
                "snapshots": env.snapshot(state.pipeline_state) if isinstance(env, TaskEnv) else None,
            }
            return after, rows

        return jax.lax.scan(step, state, first + jnp.arange(steps))

    return jax.jit(jax.vmap(wrapped.reset)), jax.jit(jax.vmap(collect, in_axes=(None, 0, 0, None)))
