"""The return as a function of the policy's parameters, on a line or a plane in parameter space.

Source: SMAC, section 6. The line contains the pre-trained and a fine-tuned policy. The plane contains the pre-trained
policy ``theta`` and two fine-tuned policies, and is spanned by ``u = theta1 - theta`` and ``v = theta2 - theta``. Every
point is a weighted sum of the given policies with weights that add up to one
(:mod:`smac_jax.analysis.landscape_points`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.analysis.landscape_points import Spanned
from smac_jax.config import seed_number, whole_number
from smac_jax.envs.host_errors import as_raised_on_host
from smac_jax.errors import ConfigError
from smac_jax.train.evaluate import check_sizes, evaluation_layout, make_evaluator
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array

if TYPE_CHECKING:
    from brax.envs.base import Env


def mix(policies: Sequence[ActorCritic], weights: Float[np.ndarray, "point policy"]) -> ActorCritic:
    """Returns the actors ``sum_i weights[:, i] theta_i``, with leaves ``[point, seed, ...]`` and without critics.

    Args:
      policies: policies with the same networks and a leading seed axis. Each seed is mixed with the same seed of the
        other policies.
      weights: the weights of the policies at each point.

    Raises:
      ConfigError: the policies differ in their networks, number of seeds or normalization of observations.
    """
    first = policies[0]
    for other in policies[1:]:
        shapes = [jax.tree.map(jnp.shape, p.actor_params) for p in (first, other)]
        if shapes[0] != shapes[1] or first.actor != other.actor:
            raise ConfigError(
                "landscape: the policies have different networks or numbers of seeds and cannot be mixed."
            )
        for name in ("observation_mean", "observation_std"):
            if not np.allclose(getattr(first, name), getattr(other, name), rtol=1e-5, atol=1e-6):
                raise ConfigError(
                    f"landscape: the policies differ in {name}, so their parameters belong to differently scaled "
                    "inputs. Give policies that were fine-tuned from the same policy or trained on the same data."
                )
    w = jnp.asarray(weights, jnp.float32)

    def weighted(*leaves: Array) -> Array:
        # with the default precision a GPU would round the parameters to ten bits
        return jnp.einsum("pi,i...->p...", w, jnp.stack(leaves), precision=jax.lax.Precision.HIGHEST)

    actors = jax.tree.map(weighted, *(p.actor_params for p in policies))
    spread = [jnp.broadcast_to(x, (len(w), *x.shape)) for x in (first.observation_mean, first.observation_std)]
    unused = jnp.zeros(spread[0].shape[:2], jnp.float32)
    return ActorCritic(
        actor_params=actors,
        critic_params={},
        target_critic_params={},
        observation_mean=spread[0],
        observation_std=spread[1],
        reward_scale=unused,
        reward_bias=unused,
        temperature=None,
        actor=first.actor,
        critic=first.critic,
    )


def spanned(policies: Sequence[ActorCritic]) -> Spanned:
    """Returns the distances from the first policy to the second and the third in parameter space, and the angle
    between.
    """
    origin, first, second = (
        np.concatenate([np.asarray(x, float).reshape(len(x), -1) for x in jax.tree.leaves(p.actor_params)], axis=1)
        for p in policies
    )
    u, v = first - origin, second - origin
    lengths = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    cosine = np.sum(u * v, axis=1) / np.maximum(lengths[0] * lengths[1], np.finfo(float).tiny)
    return Spanned(*lengths, np.arccos(np.clip(cosine, -1.0, 1.0)))


def landscape(
    policies: Sequence[ActorCritic],
    weights: Float[np.ndarray, "point policy"],
    env: Env,
    episodes: int = 10,
    *,
    seed: int = 0,
    episode_length: int = 1000,
    points_at_once: int = 64,
    known: dict[int, np.ndarray] | None = None,
    on_points: Callable[[dict[int, np.ndarray]], None] | None = None,
) -> Float[np.ndarray, "point seed episode"]:
    """Returns the returns of mixed policies, with all points, seeds and episodes of a batch in one compiled rollout.

    The episodes of every point start from the same states, so that only the policy differs.

    Args:
      policies: policies with a leading seed axis (:func:`mix`).
      weights: the weights of the policies at each point
        (:func:`~smac_jax.analysis.landscape_points.line_weights`, ``plane_weights``).
      env: an environment, as for :func:`smac_jax.evaluate`.
      episodes: the number of episodes at each point, for each seed.
      seed: the seed of the starting states.
      episode_length: the time limit in environment steps.
      points_at_once: the number of points in one rollout, limited by memory.
      known: the returns of points that have been evaluated, by index.
      on_points: called with the returns of each batch of points, by index.

    Raises:
      ConfigError: the policies cannot be mixed, or do not fit the environment.
    """
    episodes = whole_number("landscape: episodes", episodes, 1)
    episode_length = whole_number("landscape: episode_length", episode_length, 1)
    points_at_once = whole_number("landscape: points_at_once", points_at_once, 1)
    seed = seed_number("landscape: seed", seed)
    check_sizes(policies[0], env)
    found = dict(known or {})
    seeds = policies[0].observation_mean.shape[0]
    left = [i for i in range(len(weights)) if i not in found]
    for start in range(0, len(left), points_at_once):
        batch = left[start : start + points_at_once]
        # the last batch is padded, so that all batches use the same compiled program
        size = points_at_once if len(left) > points_at_once else len(batch)
        rows = np.resize(batch, size)
        mixed = mix(policies, np.asarray(weights)[rows])
        flat = jax.tree.map(lambda x, n=size: x.reshape(n * seeds, *x.shape[2:]), mixed)
        layout = evaluation_layout(env, SeedLayout.over(range(size * seeds)))
        keys = jnp.tile(jnp.broadcast_to(jax.random.key(seed), (seeds,)), size)
        evaluator = make_evaluator(env, episodes, episode_length, True, layout)
        with as_raised_on_host():
            returns = np.asarray(layout.unpad(evaluator(layout.shard(flat), layout.shard(keys)).returns))
        new = dict(zip(batch, returns.reshape(size, seeds, episodes), strict=False))
        found |= new
        if on_points:
            on_points(new)
    return np.stack([found[i] for i in range(len(weights))])
