"""Evaluation: the returns of every seed's policy over complete episodes, and the optimism of its critics.

The optimism of the critics is how far their values lie above the returns of the evaluated policy,

    optimism = mean of  Q(s_t, a_t) - G_t ,    G_t = r_t + gamma r_(t+1) + gamma^2 r_(t+2) + ...  to the episode's end,

over some time steps ``t`` of the evaluation episodes, so it needs no further episodes. Source: REDQ (Chen et al. 2021,
arXiv 2101.05982), section 3, "normalized bias". At the same time steps the critics are also evaluated at a random
action: an online algorithm moves the policy to such actions if the critics prefer them to the policy's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.own_networks import action_size
from smac_jax.config import seed_number, true_or_false, whole_number
from smac_jax.envs.host_errors import as_raised_on_host
from smac_jax.errors import ConfigError
from smac_jax.networks import ensemble_values
from smac_jax.train.keys import fold_in
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key

if TYPE_CHECKING:
    from brax.envs.base import Env

HOST_ENGINES = ("mujoco", "gymnasium", "ogbench")
"""Engines that compute on the processor of the host (``env.backend``)."""
PROBES = 8
"""Number of time steps of an episode, evenly spaced over its time limit, at which the critics are evaluated."""


class Probes(NamedTuple):
    """The critics' values at some time steps of each episode, and the discounted rewards that followed.

    Values and rewards are in the critics' units, ``reward_scale * reward + reward_bias``. If the time limit ends an
    episode ``n`` steps after ``t``, the observed rewards are a return of ``n`` steps: the rest, ``gamma^n`` times the
    value of the last state, was not observed. It is therefore subtracted from the critics' value, and ``weight`` is the
    observed share ``1 - gamma^n``.

    Attributes:
      value: ``Q(s_t, a_t)``, mean over the critics; minus ``gamma^n Q(s_(t+n), a_(t+n))`` if the time limit ended the
        episode.
      earned: the sum of the discounted rewards from ``t`` to the end of the episode.
      weight: 1; minus ``gamma^n`` if the time limit ended the episode. This and all other fields are 0 at time steps
        that the episode did not reach.
      preferred: 1 if the critics value an action drawn uniformly from the action box above the policy's own action.
      reached: 1 at time steps that the episode reached.
    """

    value: Float[Array, "seed episode probe"]
    earned: Float[Array, "seed episode probe"]
    weight: Float[Array, "seed episode probe"]
    preferred: Float[Array, "seed episode probe"]
    reached: Float[Array, "seed episode probe"]


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Attributes:
      returns: the undiscounted return of each episode, or its score (``metrics["score"]``) if the task has one.
      probes: the critics' values and what followed; None if the critics were not evaluated.
    """

    returns: Float[Array, "seed episode"]
    probes: Probes | None


class _Progress(NamedTuple):
    """The state of the running episodes. ``earned`` and ``factor`` are reset at each probe."""

    state: Any
    step: Array
    alive: Array
    total: Array
    earned: Array
    factor: Array
    length: Array
    last_observation: Array
    truncated: Array


def evaluation_layout(env: Env, layout: SeedLayout) -> SeedLayout:
    """The layout by which policies are evaluated: on the host if the environment computes there, else as in training.

    A step of the C engine from a program on a GPU is a round trip through Python of about a millisecond
    (``benchmarks/NOTES.md``). From a program on the host it is a call of C++, and the policies are small.
    """
    backend = getattr(getattr(env, "unwrapped", env), "backend", None)
    return layout.on_host() if backend in HOST_ENGINES else layout


@lru_cache(maxsize=32)
def make_evaluator(
    env: Env, episodes: int, episode_length: int, deterministic: bool, layout: SeedLayout, discount: float | None = None
) -> Callable[[ActorCritic, Key], Evaluation]:
    """Compiles ``(actor_critic, keys[seed]) -> evaluation``.

    All episodes of a device's seeds step together until the last one has ended or the time limit is reached. If the
    environment reports ``metrics["score"]``, its sum replaces the return.

    Args:
      env: an environment that is not vectorized and does not reset itself.
      episodes: the number of episodes of each seed.
      episode_length: the time limit in environment steps.
      deterministic: whether to act with the policy's mode instead of a sample.
      layout: the layout of the seeds over devices.
      discount: the discount of the critics, to compare their values with the returns; None does not evaluate them.
    """
    reset = jax.vmap(jax.vmap(env.reset))
    step = jax.vmap(jax.vmap(env.step))
    probes = 1 if discount is None else min(PROBES, episode_length)
    times = [i * episode_length // probes for i in range(probes)] + [episode_length]
    gamma = 1.0 if discount is None else discount

    def act(actor_critic: ActorCritic, observation: Array, key: Key) -> Array:
        policy = actor_critic.policy(observation)
        return policy.mode() if deterministic else policy.sample(key)

    def value(actor_critic: ActorCritic, observation: Array, action: Array) -> Array:
        seen = actor_critic.normalize(observation)
        return ensemble_values(actor_critic.critic, actor_critic.critic_params, seen, action).mean(axis=0)

    def value_of_policy(actor_critic: ActorCritic, observation: Array, key: Key) -> Array:
        return value(actor_critic, observation, act(actor_critic, observation, key))

    def value_of_random(actor_critic: ActorCritic, observation: Array, key: Key) -> Array:
        shape = actor_critic.policy(observation).mode().shape
        return value(actor_critic, observation, jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0))

    def evaluate_all(actor_critic: ActorCritic, keys: Key) -> Evaluation:
        start = reset(jax.vmap(lambda key: jax.random.split(key, episodes))(keys))
        scale, bias = actor_critic.reward_scale[:, None], actor_critic.reward_bias[:, None]

        def advance(now: _Progress) -> _Progress:
            step_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, now.step)
            action = jax.vmap(act)(actor_critic, now.state.obs, step_keys)
            state = step(now.state, action)
            earned = state.metrics.get("score", state.reward).astype(jnp.float32)
            reward = scale * state.reward.astype(jnp.float32) + bias
            out_of_time = jnp.broadcast_to(state.info.get("truncated", 0.0), state.done.shape) > 0
            # `where` instead of a product: after its end, a simulation may contain values that are not finite
            return _Progress(
                state=state,
                step=now.step + 1,
                alive=now.alive & ~((state.done > 0) | out_of_time),
                total=now.total + jnp.where(now.alive, earned, 0.0),
                earned=now.earned + jnp.where(now.alive, now.factor * reward, 0.0),
                factor=gamma * now.factor,
                length=now.length + now.alive,
                last_observation=jnp.where(now.alive[..., None], state.obs, now.last_observation),
                truncated=now.truncated | (now.alive & ~(state.done > 0) & out_of_time),
            )

        def to_next_probe(now: _Progress, end: Array) -> tuple[_Progress, tuple[Array, Array, Array]]:
            """Runs the episodes up to a step. Also gives their first observations, which ran, and their rewards."""
            begin = now._replace(earned=jnp.zeros_like(now.earned), factor=jnp.ones_like(now.factor))
            after = jax.lax.while_loop(lambda now: (now.step < end) & now.alive.any(), advance, begin)
            return after, (begin.last_observation, begin.alive, after.earned)

        zero, shape = jnp.zeros((), jnp.float32), start.reward.shape
        first = _Progress(
            state=start,
            step=jnp.zeros((), jnp.int32),
            alive=jnp.ones(shape, bool),
            total=jnp.zeros(shape, jnp.float32),
            earned=jnp.zeros(shape, jnp.float32),
            factor=zero + 1.0,
            length=jnp.zeros(shape, jnp.int32),
            last_observation=start.obs,
            truncated=jnp.zeros(shape, bool),
        )
        last, (seen, alive, earned) = jax.lax.scan(to_next_probe, first, jnp.array(times[1:], jnp.int32))
        if discount is None:
            return Evaluation(last.total, None)

        follows = [jnp.zeros(shape, jnp.float32)]
        for i in reversed(range(probes)):
            follows.append(earned[i] + gamma ** (times[i + 1] - times[i]) * follows[-1])
        # an episode that still runs after the last step is truncated by the time limit
        truncated = jnp.where(last.truncated | last.alive, 1.0, 0.0)
        left = jnp.maximum(last.length - jnp.array(times[:-1], jnp.int32)[:, None, None], 0)
        beyond = truncated * jnp.float32(gamma) ** left.astype(jnp.float32)
        # not the keys of steps
        action_keys, value_keys, end_keys = (
            jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, episode_length + i) for i in range(3)
        )
        values = jax.vmap(value_of_policy, in_axes=(0, 1, 0), out_axes=1)(actor_critic, seen, value_keys)
        at_end = jax.vmap(value_of_policy)(actor_critic, last.last_observation, end_keys)
        random = jax.vmap(value_of_random, in_axes=(0, 1, 0), out_axes=1)(actor_critic, seen, action_keys)
        found = Probes(
            value=values - beyond * at_end,
            earned=jnp.stack(follows[:0:-1]),
            weight=1.0 - beyond,
            preferred=jnp.where(random > values, 1.0, 0.0),
            reached=jnp.ones_like(beyond),
        )
        found = jax.tree.map(lambda x: jnp.moveaxis(jnp.where(alive, x, 0.0), 0, -1), found)
        return Evaluation(last.total, found)

    return layout.spread(evaluate_all, (0, 0))


def value_discount(config: Any) -> float | None:
    """Returns the discount under which an algorithm's critics estimate returns.

    None if they estimate something else, because their targets include the policy's entropy (``entropy_backup``), or if
    the algorithm's configuration has no ``discount``.
    """
    return None if getattr(config, "entropy_backup", False) else getattr(config, "discount", None)


def measured_values(probes: Probes) -> dict[str, Float[np.ndarray, " seed"]]:
    """Returns the optimism of the critics and the share of random actions that they prefer, for each seed.

    The first four metrics are sums over all probes of all episodes, divided by the sum of their weights. So a constant
    error of the critics is measured correctly for any time limit.

    Returns:
      ``value``: the mean of the critics' values. ``discounted_return``: the mean discounted return. ``optimism``: their
      difference. All three are in the critics' units. ``relative_optimism``: the optimism divided by the root mean
      square of the discounted return; it is 1 for critics whose values are twice as large as the returns.
      ``random_preferred``: the share of random actions that the critics value above the policy's own action; at one
      half the critics do not distinguish them. NaN if nothing can be compared, as for undiscounted values of truncated
      episodes.
    """
    value, earned, weight, preferred, reached = (np.asarray(x, float).reshape(len(x), -1) for x in probes)
    with np.errstate(all="ignore"):
        total = np.where(weight.sum(axis=1) > 0, weight.sum(axis=1), np.nan)
        mean_value, mean_return = value.sum(axis=1) / total, earned.sum(axis=1) / total
        squared = np.where(weight > 0, earned**2 / np.where(weight > 0, weight, 1.0), 0.0).sum(axis=1) / total
        size = np.where(squared > 0, np.sqrt(squared), np.nan)
        random = preferred.sum(axis=1) / reached.sum(axis=1)
    return {
        "value": mean_value,
        "discounted_return": mean_return,
        "optimism": mean_value - mean_return,
        "relative_optimism": (mean_value - mean_return) / size,
        "random_preferred": random,
    }


def run_evaluation(
    evaluator: Callable[[ActorCritic, Key], Evaluation],
    actor_critic: ActorCritic,
    step: int,
    rounds: int,
    layout: SeedLayout,
) -> tuple[Float[np.ndarray, "seed episode"], dict[str, Float[np.ndarray, " seed"]]]:
    """Runs an evaluator one or several times; gives the returns and the metrics of :func:`measured_values`.

    An evaluation with more episodes repeats the evaluator, so that it uses the same compiled program.

    Args:
      evaluator: from :func:`make_evaluator`.
      actor_critic: the policies, leaves ``[seed, ...]`` distributed by ``layout``.
      step: the training step, which determines the starting states.
      rounds: how often the evaluator runs, each time from other starting states.
      layout: the layout of the evaluator (:func:`evaluation_layout`).
    """
    further = fold_in(layout.keys("further evaluation"), step)
    keys = [fold_in(layout.keys("evaluation"), step), *(fold_in(further, i) for i in range(1, rounds))]
    parts = [jax.tree.map(np.asarray, layout.unpad(evaluator(actor_critic, key))) for key in keys]
    found = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts)
    return found.returns, {} if found.probes is None else measured_values(found.probes)


def evaluate(
    actor_critic: ActorCritic,
    env: Env,
    episodes: int = 20,
    *,
    seed: int = 0,
    episode_length: int = 1000,
    deterministic: bool = True,
) -> Float[np.ndarray, "seed episode"]:
    """Returns the undiscounted returns of policies over complete episodes.

    If the environment reports ``metrics["score"]``, the result is this score instead: success for binary tasks, the
    number of completed subtasks for the kitchen.

    Args:
      actor_critic: one policy, or several stacked along a leading seed axis.
      env: an environment that is not vectorized and does not reset itself.
      episodes: the number of episodes for each policy.
      seed: the seed of the starting states and, if not ``deterministic``, of the actions; the same for every policy.
      episode_length: the time limit in environment steps.
      deterministic: whether to act with the policy's mode instead of a sample.

    Raises:
      ConfigError: the policy's observation or action size differs from the environment's, or an argument has the wrong
        type or is out of range.
    """
    check_sizes(actor_critic, env)
    episodes = whole_number("evaluate: episodes", episodes, 1)
    episode_length = whole_number("evaluate: episode_length", episode_length, 1)
    seed, deterministic = seed_number("evaluate: seed", seed), true_or_false("evaluate: deterministic", deterministic)
    if actor_critic.observation_mean.ndim == 1:
        actor_critic = jax.tree.map(lambda x: x[None], actor_critic)
    seeds = actor_critic.observation_mean.shape[0]
    layout = evaluation_layout(env, SeedLayout.over(range(seeds)))
    keys = jnp.broadcast_to(jax.random.key(seed), (seeds,))
    evaluator = make_evaluator(env, episodes, episode_length, deterministic, layout)
    with as_raised_on_host():
        return np.asarray(layout.unpad(evaluator(layout.shard(actor_critic), layout.shard(keys)).returns))


def check_sizes(actor_critic: ActorCritic, env: Env) -> None:
    """Raises ConfigError if the sizes of a policy's observations and actions are not those of the environment."""
    observations, actions = actor_critic.observation_mean.shape[-1], action_size(actor_critic)
    if (observations, actions) != (env.observation_size, env.action_size):
        raise ConfigError(
            f"The policy maps {observations} observations to {actions} actions, but the environment has "
            f"{env.observation_size} and {env.action_size}. Check that both are for the same task and version."
        )
