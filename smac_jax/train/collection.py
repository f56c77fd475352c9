"""Acting in the environments of one seed, inside the compiled loop: one environment, or several side by side.

With one, leaves have no axis for it. With several, the leaves of the state are ``[environment, ...]``; all act on the
same policy, each with a key of its own.
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
    """Checks that environments that step together can take exactly as many steps as a schedule has.

    Args:
      environments: how many step together.
      schedule: numbers of environment steps by name.

    Raises:
      ConfigError: one of these is not a multiple of ``environments``.
    """
    for name, number in schedule.items():
        if number % environments:
            nearest = max(1, round(number / environments)) * environments
            raise ConfigError(
                f"finetune: {name} = {number}: must be a multiple of environments = {environments}, which step "
                f"together; the nearest is {nearest}."
            )


def begin(env: Env, key: Key, environments: int) -> Any:
    """The first states of the environments.

    Args:
      env: an environment that resets itself (:class:`smac_jax.envs.AutoReset`).
      key: the random key.
      environments: how many.
    """
    return env.reset(key) if environments == 1 else jax.vmap(env.reset)(jax.random.split(key, environments))


def step(env: Env, act: Act, learner: Any, world: Any, key: Key, environments: int) -> tuple[Any, Transition]:
    """One step of every environment.

    Args:
      env: as in :func:`begin`.
      act: the policy.
      learner: what the policy is read from.
      world: the states of the environments before the step.
      key: the random key of the actions.
      environments: how many.

    Returns:
      The states after the step, and the transitions: one without an axis, or ``[environment, ...]``.
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
