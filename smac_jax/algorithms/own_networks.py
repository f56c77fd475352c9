"""Users' networks in an actor-critic.

They are Flax modules with the signatures of :class:`smac_jax.networks.Actor` and :class:`smac_jax.networks.Critic`.
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
    """A distribution of actions in ``[-1, 1]``. It is a pytree, such as :class:`smac_jax.networks.TanhGaussian`."""

    def mode(self) -> Float[Array, "*batch action"]:
        """Returns the action for evaluations."""

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """Returns a reparameterized sample."""

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """Returns a reparameterized sample, and its log density."""

    def log_prob(self, action: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """Returns the log density of any action."""


class ActorNetwork(Protocol):
    """A Flax module that maps observations to a policy."""

    def __call__(self, observation: Float[Array, "*batch observation"]) -> PolicyDistribution:
        """Returns the policy at normalized observations with any leading axes."""


class CriticNetwork(Protocol):
    """A Flax module of one critic ``Q(s, a)``."""

    def __call__(
        self, observation: Float[Array, "*batch observation"], action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        """Returns the values of actions at normalized observations with any leading axes."""


def with_networks(
    actor_critic: ActorCritic,
    key: Key,
    *,
    actor: nn.Module | None = None,
    critic: nn.Module | None = None,
    num_critics: int | None = None,
) -> ActorCritic:
    """Returns an actor-critic with other networks, which are randomly initialized. Its normalization does not change.

    Args:
      actor_critic: the result of :func:`actor_critic_for`, for one seed.
      key: the random key of the initial parameters.
      actor: a module with the signature of :class:`ActorNetwork`; None keeps the present actor with its parameters.
      critic: a module with the signature of :class:`CriticNetwork`; None keeps the present critics.
      num_critics: the number of critics in the ensemble; None keeps their number.

    Raises:
      RegistrationError: a module has another signature, or returns something else. The message says what.
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
        members = jax.tree.leaves(actor_critic.critic_params)[0].shape[0]
        if num_critics is not None:
            members = whole_number("with_networks: num_critics", num_critics, 1)
        params = init_ensemble(critic, critic_key, members, len(observation), size)  # type: ignore[arg-type]
        _check_value(critic, params, observation, jnp.zeros(size, jnp.float32))
        targets = jax.tree.map(jnp.copy, params)
        actor_critic = actor_critic.replace(critic=critic, critic_params=params, target_critic_params=targets)
    return actor_critic


def action_size(actor_critic: ActorCritic) -> int:
    """Returns the number of action dimensions of a policy. A user's actor may not have it as an attribute."""
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
        raise RegistrationError(f"The {which} is a {type(module).__name__}, but it must be a flax.linen.Module.")


def _check_policy(actor: nn.Module, params: Any, observation: Array, size: int) -> None:
    """Raises RegistrationError if an actor does not return a policy with this number of action dimensions."""
    name = type(actor).__name__
    policy: Any = jax.eval_shape(actor.apply, params, observation)
    for function in POLICY_FUNCTIONS:
        if not callable(getattr(policy, function, None)):
            raise RegistrationError(
                f"The actor {name} returns a {type(policy).__name__}, which has no function {function!r}. A policy "
                f"needs: {', '.join(POLICY_FUNCTIONS)} (smac_jax.networks.TanhGaussian is an example)."
            )
    rows = jnp.broadcast_to(observation, (2, 3, *observation.shape))
    found = jax.eval_shape(lambda x: actor.apply(params, x).mode(), rows).shape  # type: ignore[union-attr]
    if found != (2, 3, size):
        raise RegistrationError(
            f"The actor {name} returns actions of shape {found} for observations of shape {rows.shape}, but the shape "
            f"must be {(2, 3, size)}."
        )


def _check_value(critic: nn.Module, params: Any, observation: Array, action: Array) -> None:
    """Raises RegistrationError if a critic does not return a number for each observation and action."""
    rows, actions = (jnp.broadcast_to(x, (2, 3, *x.shape)) for x in (observation, action))
    one = jax.tree.map(lambda x: x[0], params)
    found = jax.eval_shape(critic.apply, one, rows, actions)
    if getattr(found, "shape", None) != (2, 3):
        raise RegistrationError(
            f"The critic {type(critic).__name__} returns {getattr(found, 'shape', type(found).__name__)} for "
            f"observations of shape {rows.shape} and actions of shape {actions.shape}, but it must return a value for "
            "each: (2, 3)."
        )
