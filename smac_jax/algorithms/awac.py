"""AWAC: advantage-weighted actor-critic.

    y    = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')                                 (equation 2)
    L_pi = -mean min(exp(A(s, a) / lambda), limit) log pi(a|s) ,   A = Q(s, a) - Q(s, a~) ,   a~ ~ pi(s)  (equation 13)

``Q`` is the smallest value of the critics after their step.

Source: Nair et al. 2020 (arXiv 2006.09359), algorithm 1 and section 4. Four deviations from the authors' code (rlkit)
follow CORL: the weights are clipped at 100, and not divided by their mean over the batch (``N softmax(A / lambda)``);
the advantage uses the critics after their step, not before; the policy's samples are clipped to the action box; and
lambda is 1/3, which is CORL's value for hopper-medium-replay (0.1 for Adroit). The mean of the policy has a tanh, as in
rlkit (CORL: no tanh), and ``log sigma`` is in [-5, 2] (rlkit [-6, 0], CORL [-20, 2]). The networks have two layers of
256 (rlkit: four for the policy; CORL: three for all).
"""

from __future__ import annotations

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import continuation
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase
from smac_jax.algorithms.high_utd import UTDConfig, check_utd, high_utd_update
from smac_jax.algorithms.learner import (
    L,
    Learner,
    LearningConfig,
    actor_critic_of,
    actor_optimizer,
    apply_actor_gradient,
    new_learner,
    optimizer_states,
)
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import choice, number
from smac_jax.data.dataset import Dataset
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(LearningConfig):
    """The fields for evaluating the current policy, which AWAC and behavior cloning share."""

    backup_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class AdvantageWeightedConfig(EvaluationConfig, UTDConfig):
    """The fields that AWAC and online AWR share."""

    temperature: float = number(1.0 / 3.0, 1e-6, doc="lambda, by which the advantage is divided")
    weight_limit: float = number(100.0, 0.0, doc="the largest weight exp(advantage / temperature)")


@dataclasses.dataclass(frozen=True)
class AWACConfig(AdvantageWeightedConfig, PretrainingConfig):
    """The hyperparameters of AWAC."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, distribution="box_gaussian", state_dependent_std=False)
    )


def init(config: AWACConfig, key: Key, dataset: Dataset) -> Learner:
    """Returns the initial state, a :class:`~smac_jax.algorithms.learner.Learner` with randomly initialized networks."""
    return new_learner(config, actor_critic_for(config, key, dataset))


def temporal_difference_target(
    config: EvaluationConfig, ac: ActorCritic, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """Returns ``y [batch]`` of equation 2, with one action ``a' ~ pi(s')`` for each transition."""
    action_key, subset_key = jax.random.split(key)
    next_action = ac.actor.apply(ac.actor_params, batch.next_observation).sample(action_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return critic.bootstrap(batch, config.discount, value)


def advantage(ac: ActorCritic, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """Returns ``A [batch] = Q(s, a) - Q(s, a~)``. The value of a state is estimated by one sample ``a~ ~ pi(s)``."""
    action_key, subset_key = jax.random.split(key)
    sampled = ac.actor.apply(ac.actor_params, batch.observation).sample(action_key)
    q, v = (
        aggregate(ensemble_values(ac.critic, ac.critic_params, batch.observation, action), "min", subset_key)
        for action in (batch.action, sampled)
    )
    return q - v


def policy_loss(
    ac: ActorCritic, actor_params: Params, batch: Transition, weight: Float[Array, "batch"]
) -> Float[Array, ""]:
    """Returns ``-mean weight log pi(a|s)``, the regression of equation 13 on the actions of a normalized batch.

    Args:
      ac: has the module of the actor.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
      weight: the weights ``[batch]``. Ones give maximum likelihood.
    """
    log_prob = ac.actor.apply(actor_params, batch.observation).log_prob(batch.action)
    chex.assert_equal_shape([weight, log_prob])
    return -jnp.mean(weight * log_prob)


def critic_step(config: EvaluationConfig, learner: L, batch: Transition, key: Key) -> tuple[L, Metrics]:
    """Takes one gradient step of the critics on their squared error, and updates the target critics."""
    target = temporal_difference_target(config, learner.actor_critic, batch, key)
    learner, metrics = critic.critic_step(config, learner, batch, target)
    return critic.move_targets(config, learner), metrics


def policy_step(
    config: EvaluationConfig, learner: L, batch: Transition, weight: Float[Array, "batch"]
) -> tuple[L, Float[Array, ""]]:
    """Takes one gradient step of the policy on :func:`policy_loss`, and returns the loss before the step."""
    ac = learner.actor_critic
    loss, gradient = jax.value_and_grad(partial(policy_loss, ac, batch=batch, weight=weight))(ac.actor_params)
    return apply_actor_gradient(actor_optimizer(config), learner, gradient), loss


def update(config: AdvantageWeightedConfig, learner: L, batch: Transition, key: Key) -> tuple[L, Metrics]:
    """Takes ``utd`` critic steps on the parts of the batch, then one policy step on the whole batch."""
    batch = learner.actor_critic.normalize_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    learner, metrics = high_utd_update(config, partial(critic_step, config), learner, batch, critic_key)
    advantages = advantage(learner.actor_critic, batch, policy_key)
    weight = jnp.minimum(jnp.exp(advantages / config.temperature), config.weight_limit)
    learner, loss = policy_step(config, learner, batch, weight)
    return learner, {**metrics, "policy_loss": loss, "advantage": advantages.mean(), "weight": weight.mean()}


def awac(config: AWACConfig) -> OfflineAlgorithm[Learner]:
    """Builds AWAC from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
    """
    check_utd(config)
    return OfflineAlgorithm(
        name="awac",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
        training_state=optimizer_states,
        continue_online=continuation(
            Learner,
            lambda online: partial(update, online),
            lambda online, state: new_learner(online, state.actor_critic),
            check=check_utd,
        ),
    )
