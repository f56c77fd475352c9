"""Settings with which every algorithm trains in a second, a small data set, and SMAC with its state."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.algorithms import OFFLINE, ONLINE, make_online, smac
from smac_jax.config import resolve
from smac_jax.data.dataset import Dataset
from smac_jax.scores import SCORES, Score
from smac_jax.types import Transition

OBSERVATIONS, ACTIONS = 3, 2
TRAINED = tuple(name for name in OFFLINE if name != "none")
"""The offline algorithms that train."""
NETWORK = {"actor_hidden": (8,), "critic_hidden": (8,)}
SCORE_MODEL = {"num_updates": 5, "hidden": 8, "num_blocks": 1, "embedding": 4}
_MORE = {
    "smac": {"alpha_hidden": (8,), "score_model": SCORE_MODEL},
    "iql": {"value_hidden": (8,)},
    "cql": {"num_actions": 2},
    "cal_ql": {"num_actions": 2},
}


def small(name: str) -> dict[str, Any]:
    """Returns the settings of an offline algorithm."""
    if name == "none":
        return {"network": NETWORK}
    return {"batch_size": 16, "network": NETWORK, **_MORE.get(name, {})}


def transfers_to(offline: str) -> list[str]:
    """The online algorithms that can follow an offline one: FQL's policy has no density."""
    return [name for name in ONLINE if offline != "fql" or not make_online(name).needs_density]


def dataset() -> Dataset:
    """Returns a data set of noise, with four episodes of 16 rows."""
    rng = np.random.default_rng(1)
    rows = 64
    return Dataset.from_arrays(
        rng.normal(size=(rows, OBSERVATIONS)),
        rng.uniform(-1, 1, (rows, ACTIONS)),
        rng.normal(size=rows),
        np.arange(rows) % 16 == 15,
        next_observations=rng.normal(size=(rows, OBSERVATIONS)),
    )


def noise_batch(rows: int, observations: int, actions: int) -> Transition:
    """Returns a batch of noise, in which every fifth row is a terminal."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return Transition(
        observation=normal(rows, observations),
        action=jnp.tanh(normal(rows, actions)),
        reward=normal(rows),
        next_observation=normal(rows, observations),
        terminal=jnp.asarray(np.arange(rows) % 5 == 0, jnp.float32),
        condition=jnp.zeros(rows),
        return_to_go=jnp.zeros(rows),
    )


def smac_case(**fields: Any) -> tuple[smac.SMACConfig, Score[Any], smac.State]:
    """Returns SMAC's config, its score and its initial state for :func:`dataset`."""
    config = resolve(smac.SMACConfig, {**small("smac"), **fields})
    score = SCORES[config.score](config)
    return config, score, jax.jit(partial(smac.init, config, score))(jax.random.key(7), dataset())


def policy_of(state: smac.State, observation: jax.Array) -> Any:
    """Returns ``pi(.|s)`` at normalized observations."""
    ac = state.sac.actor_critic
    return ac.actor.apply(ac.actor_params, observation)
