"""Acting in one or several environments of a seed, inside the compiled loop.

A single environment has no axis. With several, the leaves of the state are ``[environment, ...]``; all use the same
policy, each with its own key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from smac_jax.errors import ConfigError
from smac_jax.types import Array, Key, Transition

if TYPE_CHECKING:
    from brax.envs.base import Env

Act = Callable[[Any, Array, Key], Array]
"""``(learner, observation, key) -> action``, of one environment."""


def check_multiples(environments: int, schedule: Mapping[str, int]) -> None:
    """Checks that the numbers of a schedule are multiples of the number of environments that step together.

    Args:
      environments: the number of environments.
      schedule: numbers of environment steps, by name.

    Raises:
      ConfigError: a number is not a multiple of ``environments``.
    """
    for name, number in schedule.items():
        if number % environments:
            nearest = max(1, round(number / environments)) * environments
            raise ConfigError(
                f"finetune: {name} = {number}: must be a multiple of environments = {environments}, which step "
                f"together. The nearest multiple is {nearest}."
            )


def begin(env: Env, key: Key, environments: int) -> Any:
    """Returns the first states of the environments.

    Args:
      env: an environment that resets itself (:class:`smac_jax.envs.AutoReset`).
      key: the random key.
      environments: the number of environments.
    """
    return env.reset(key) if environments == 1 else jax.vmap(env.reset)(jax.random.split(key, environments))


def step(env: Env, act: Act, learner: Any, world: Any, key: Key, environments: int) -> tuple[Any, Transition]:
    """Makes one step in every environment.

    Args:
      env: as in :func:`begin`.
      act: the policy's function.
      learner: the algorithm's state, from which the policy acts.
      world: the states of the environments before the step.
      key: the random key of the actions.
      environments: the number of environments.

    Returns:
      The states after the step, and the transitions: a single one without an axis, or ``[environment, ...]``.
    """

    def one(world: Any, key: Key) -> tuple[Any, Transition]:
        observation = world.obs
        action = act(learner, observation, key)
        after = env.step(world, action)
        return after, Transition(
            observation=observation,
            action=action,
            reward=after.reward,
            next_observation=after.info["next_observation"],
            terminal=after.info["terminal"],
            condition=jnp.zeros((), jnp.float32),
            return_to_go=jnp.zeros((), jnp.float32),
        )

    return one(world, key) if environments == 1 else jax.vmap(one)(world, jax.random.split(key, environments))
