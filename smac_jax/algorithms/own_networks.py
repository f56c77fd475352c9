"""Networks of others' in an actor-critic: any Flax modules that are called as :class:`smac_jax.networks.Actor` and
:class:`smac_jax.networks.Critic` are.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.config import whole_number
from smac_jax.errors import RegistrationError
from smac_jax.networks import init_ensemble
from smac_jax.types import Array, Key

POLICY_FUNCTIONS = ("mode", "sample", "sample_and_log_prob", "log_prob")


class PolicyDistribution(Protocol):
    """A distribution of actions in the box ``[-1, 1]``: a pytree, as :class:`smac_jax.networks.TanhGaussian` is one."""

    def mode(self) -> Float[Array, "*batch action"]:
        """The action that an evaluation takes."""

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """A reparameterized action."""

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """A reparameterized action, and its log density."""

    def log_prob(self, action: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """The log density of an action from elsewhere."""


class ActorNetwork(Protocol):
    """A Flax module that maps observations to a policy."""

    def __call__(self, observation: Float[Array, "*batch observation"]) -> PolicyDistribution:
        """The policy at normalized observations, with any leading axes or none."""


class CriticNetwork(Protocol):
    """A Flax module of one critic: ``Q(s, a)``."""

    def __call__(
        self, observation: Float[Array, "*batch observation"], action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        """The value of actions in normalized observations, with any leading axes or none."""


def with_networks(
    actor_critic: ActorCritic,
    key: Key,
    *,
    actor: nn.Module | None = None,
    critic: nn.Module | None = None,
    num_critics: int | None = None,
) -> ActorCritic:
    """The same actor-critic with other networks, freshly initialized; observations and rewards are seen as before.

    Args:
      actor_critic: from :func:`actor_critic_for`, for one seed.
      key: of the initial parameters.
      actor: called as an :class:`ActorNetwork`; None keeps the one that is there, with its parameters.
      critic: called as a :class:`CriticNetwork`; None keeps those that are there.
      num_critics: members of the ensemble; None: as many as there are.

    Raises:
      RegistrationError: a module that is not called so, or gives something else; the message says what.
    """
    observation = jnp.zeros(actor_critic.observation_mean.shape[-1], jnp.float32)
    size = action_size(actor_critic)
    actor_key, critic_key = jax.random.split(key)
    if actor is not None:
        _check_module(actor, "actor")
        params = actor.init(actor_key, observation)
        _check_policy(actor, params, observation, size)
        actor_critic = actor_critic.replace(actor=actor, actor_params=params)
    if critic is not None:
        _check_module(critic, "critic")
        there = jax.tree.leaves(actor_critic.critic_params)[0].shape[0]
        members = there if num_critics is None else whole_number("with_networks: num_critics", num_critics, 1)
        params = init_ensemble(critic, critic_key, members, len(observation), size)  # type: ignore[arg-type]
        _check_value(critic, params, observation, jnp.zeros(size, jnp.float32))
        targets = jax.tree.map(jnp.copy, params)
        actor_critic = actor_critic.replace(critic=critic, critic_params=params, target_critic_params=targets)
    return actor_critic


def action_size(actor_critic: ActorCritic) -> int:
    """The number of action dimensions of a policy, which an actor of others' need not say."""
    known = getattr(actor_critic.actor, "action_size", None)
    if known is not None:
        return int(known)

    def mode(params: Any, observation: Array) -> Array:
        return actor_critic.actor.apply(params, observation).mode()  # type: ignore[union-attr]

    for _ in range(actor_critic.observation_mean.ndim - 1):  # seeds
        mode = jax.vmap(mode)
    return jax.eval_shape(mode, actor_critic.actor_params, actor_critic.observation_mean).shape[-1]


def _check_module(module: Any, which: str) -> None:
    if not isinstance(module, nn.Module):
        raise RegistrationError(f"The {which} is a {type(module).__name__}, and must be a flax.linen.Module.")


def _check_policy(actor: nn.Module, params: Any, observation: Array, size: int) -> None:
    """Raises RegistrationError where an actor gives no policy of so many action dimensions."""
    name = type(actor).__name__
    policy: Any = jax.eval_shape(actor.apply, params, observation)
    for function in POLICY_FUNCTIONS:
        if not callable(getattr(policy, function, None)):
            raise RegistrationError(
                f"The actor {name} gives a {type(policy).__name__}, which has no function {function!r}. A policy "
                f"needs: {', '.join(POLICY_FUNCTIONS)} (smac_jax.networks.TanhGaussian is one)."
            )
    rows = jnp.broadcast_to(observation, (2, 3, *observation.shape))
    found = jax.eval_shape(lambda x: actor.apply(params, x).mode(), rows).shape  # type: ignore[union-attr]
    if found != (2, 3, size):
        raise RegistrationError(
            f"The actor {name} gives actions of shape {found} for observations of shape {rows.shape}, and must give "
            f"{(2, 3, size)}."
        )


def _check_value(critic: nn.Module, params: Any, observation: Array, action: Array) -> None:
    """Raises RegistrationError where a critic does not give a number for each observation and action."""
    rows, actions = (jnp.broadcast_to(x, (2, 3, *x.shape)) for x in (observation, action))
    one = jax.tree.map(lambda x: x[0], params)
    found = jax.eval_shape(critic.apply, one, rows, actions)
    if getattr(found, "shape", None) != (2, 3):
        raise RegistrationError(
            f"The critic {type(critic).__name__} gives {getattr(found, 'shape', type(found).__name__)} for "
            f"observations of shape {rows.shape} and actions of shape {actions.shape}, and must give a value for "
            "each: (2, 3)."
        )
