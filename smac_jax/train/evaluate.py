"""Whole episodes of every seed's policy at once: their returns, and what the critics promised of them.

The optimism of the critics is how far their values lie above what the evaluated policy gets,

    optimism = mean of  Q(s_t, a_t) - G_t ,    G_t = r_t + gamma r_(t+1) + gamma^2 r_(t+2) + ...  to the episode's end,

over some moments ``t`` of the evaluation episodes, so it costs no episode and next to no arithmetic. Source: REDQ (Chen
et al. 2021, arXiv 2101.05982), section 3, "normalized bias". At the same moments the critics are asked what they think
of a random action: an online algorithm follows them wherever they prefer that to the policy's own.
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

PROBES = 8
"""Moments of an episode, evenly spaced over its time limit, at which the critics are compared with what follows."""


class Probes(NamedTuple):
    """What the critics promise at some moments of each episode, and what the policy then got.

    All in the units that the critics learn from, ``reward_scale * reward + reward_bias``. An episode that ends by its
    time limit, after ``n`` more steps, shows ``gamma^n`` of the value too little; the critics' own value of the state
    in which it was cut stands in for that, and ``weight`` says how much was seen.

    Attributes:
      value: ``Q(s_t, a_t)``, the mean over the critics, less ``gamma^n Q(s_(t+n), a_(t+n))`` where the time limit
        ended the episode.
      earned: the discounted rewards from ``t`` to the end of the episode.
      weight: 1, less ``gamma^n`` where the time limit ended the episode; 0, as the others, at a moment that the episode
        did not reach.
      preferred: 1 where the critics value an action that is uniform over the action box above the policy's own.
      reached: 1 at a moment that the episode reached.
    """

    value: Float[Array, "seed episode probe"]
    earned: Float[Array, "seed episode probe"]
    weight: Float[Array, "seed episode probe"]
    preferred: Float[Array, "seed episode probe"]
    reached: Float[Array, "seed episode probe"]


class Evaluation(NamedTuple):
    """Some episodes of each seed's policy.

    Attributes:
      returns: undiscounted, or the sum of what the task is judged by.
      probes: None where the critics were not asked.
    """

    returns: Float[Array, "seed episode"]
    probes: Probes | None


class _Progress(NamedTuple):
    """Episodes under way. ``earned`` and ``factor`` begin anew at each probe."""

    state: Any
    step: Array
    alive: Array
    total: Array
    earned: Array
    factor: Array
    length: Array
    last_observation: Array
    truncated: Array


@lru_cache(maxsize=32)
def make_evaluator(
    env: Env, episodes: int, episode_length: int, deterministic: bool, layout: SeedLayout, discount: float | None = None
) -> Callable[[ActorCritic, Key], Evaluation]:
    """A compiled ``(actor_critic, keys[seed]) -> evaluation``.

    All episodes of a device's seeds step together until the last has ended or the time limit is reached. Where an
    environment reports ``metrics["score"]``, that is summed in place of the reward: what the task is judged by.

    Args:
      env: an environment that is not vectorized and does not reset itself.
      episodes: of each seed.
      episode_length: time limit in environment steps.
      deterministic: act by the policy's mode rather than by a sample.
      layout: of the seeds.
      discount: of the critics, to compare them with what the policy gets; None does not ask them.
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

    def value_of_policy(actor_critic: ActorCritic, observation: Array) -> Array:
        return value(actor_critic, observation, actor_critic.policy(observation).mode())

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
            # `where`, not a product: a simulation that went on past its end may hold anything
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
            """Episodes up to a step; and at its begin what was seen and who was alive, and what was earned until."""
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
        # what is alive after the last step is cut by the time limit
        cut = jnp.where(last.truncated | last.alive, 1.0, 0.0)
        left = jnp.maximum(last.length - jnp.array(times[:-1], jnp.int32)[:, None, None], 0)
        beyond = cut * jnp.float32(gamma) ** left.astype(jnp.float32)
        values = jax.vmap(value_of_policy, in_axes=(0, 1), out_axes=1)(actor_critic, seen)
        at_end = jax.vmap(value_of_policy)(actor_critic, last.last_observation)
        action_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, episode_length)  # after those of the steps
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
    """The discount under which an algorithm's critics estimate returns.

    None where they estimate something else: their targets hold the policy's entropy as well (``entropy_backup``), or
    the algorithm's configuration has no ``discount``.
    """
    return None if getattr(config, "entropy_backup", False) else getattr(config, "discount", None)


def measured_values(probes: Probes) -> dict[str, Float[np.ndarray, " seed"]]:
    """What the critics promise, what the policy got, and whether they prefer other actions; of each seed.

    The first four are sums over all probes of all episodes, divided by the sum of their weights: critics that are too
    high by the same amount everywhere are found to be so, wherever the time limit lies.

    Returns:
      ``value``: the mean of the critics' values. ``discounted_return``: the mean of what followed. ``optimism``: their
      difference, all three in the units that the critics learn from. ``relative_optimism``: the same as a share of the
      root mean square of what followed, 1 for critics that promise twice as much. ``random_preferred``: the share of
      random actions that the critics value above the policy's own; one half says that they do not tell the policy's
      actions from any others. NaN where there is nothing to compare with: an undiscounted value of episodes that their
      time limit cuts.
    """
    value, earned, weight, preferred, reached = (np.asarray(x, float).reshape(len(x), -1) for x in probes)
    with np.errstate(all="ignore"):
        in_all = np.where(weight.sum(axis=1) > 0, weight.sum(axis=1), np.nan)
        promised, got = value.sum(axis=1) / in_all, earned.sum(axis=1) / in_all
        squared = np.where(weight > 0, earned**2 / np.where(weight > 0, weight, 1.0), 0.0).sum(axis=1) / in_all
        size = np.where(squared > 0, np.sqrt(squared), np.nan)
        random = preferred.sum(axis=1) / reached.sum(axis=1)
    return {
        "value": promised,
        "discounted_return": got,
        "optimism": promised - got,
        "relative_optimism": (promised - got) / size,
        "random_preferred": random,
    }


def run_evaluation(
    evaluator: Callable[[ActorCritic, Key], Evaluation],
    actor_critic: ActorCritic,
    step: int,
    rounds: int,
    layout: SeedLayout,
) -> tuple[Float[np.ndarray, "seed episode"], dict[str, Float[np.ndarray, " seed"]]]:
    """Runs an evaluator as often as is asked for; gives the returns, and what :func:`measured_values` finds.

    The same program serves an evaluation of more episodes than the others have.

    Args:
      evaluator: from :func:`make_evaluator`.
      actor_critic: leaves ``[seed, ...]``, in place.
      step: after which it is evaluated; other steps start other episodes.
      rounds: how often all episodes of the evaluator are run, each time from other states.
      layout: of the seeds.
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
        return np.asarray(layout.unpad(evaluator(layout.shard(actor_critic), layout.shard(keys)).returns))


def check_sizes(actor_critic: ActorCritic, env: Env) -> None:
    """Raises ConfigError where a policy does not fit an environment."""
    sees, acts = actor_critic.observation_mean.shape[-1], action_size(actor_critic)
    if (sees, acts) != (env.observation_size, env.action_size):
        raise ConfigError(
            f"The policy maps {sees} observations to {acts} actions, the environment has {env.observation_size} and "
            f"{env.action_size}: were they made for the same task and version?"
        )
