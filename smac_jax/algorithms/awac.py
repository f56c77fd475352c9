"""AWAC: advantage-weighted actor-critic.

    y    = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')                                 (equation 2)
    L_pi = -mean min(exp(A(s, a) / lambda), limit) log pi(a|s) ,   A = Q(s, a) - Q(s, a~) ,   a~ ~ pi(s)  (equation 13)

``Q`` is the smallest of the critics, after their step.

Source: Nair et al. 2020 (arXiv 2006.09359), algorithm 1 and section 4. Deviations from the authors' code (rlkit), in
which we follow CORL: the weights are not divided by their mean over the batch (``N softmax(A / lambda)``) but clipped
at 100; the advantage is that of the critics after their step, not before; the policy's draws are clipped to the action
box; and lambda is 1/3, CORL's for hopper-medium-replay (0.1 on Adroit). The policy is a Gaussian whose mean passed a
tanh, as in rlkit (CORL: no tanh), with ``log sigma`` in [-5, 2] (rlkit [-6, 0], CORL [-20, 2]). The networks have two
layers of 256 (rlkit: four for the policy; CORL: three for all).
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
    """How the present policy is evaluated; behavior cloning does the same."""

    backup_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class AdvantageWeightedConfig(EvaluationConfig, UTDConfig):
    """What AWAC and online AWR have in common."""

    temperature: float = number(1.0 / 3.0, 1e-6, doc="lambda: the advantage is divided by it")
    weight_limit: float = number(100.0, 0.0, doc="largest exp(advantage / temperature)")


@dataclasses.dataclass(frozen=True)
class AWACConfig(AdvantageWeightedConfig, PretrainingConfig):
    """Hyper-parameters of AWAC."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, distribution="box_gaussian", state_dependent_std=False)
    )


def init(config: AWACConfig, key: Key, dataset: Dataset) -> Learner:
    """Fresh networks; the state is a plain :class:`~smac_jax.algorithms.learner.Learner`."""
    return new_learner(config, actor_critic_for(config, key, dataset))


def temporal_difference_target(
    config: EvaluationConfig, ac: ActorCritic, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """``y [batch]`` of equation 2, with one action ``a' ~ pi(s')`` for each transition."""
    action_key, subset_key = jax.random.split(key)
    next_action = ac.actor.apply(ac.actor_params, batch.next_observation).sample(action_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return critic.bootstrap(batch, config.discount, value)


def advantage(ac: ActorCritic, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """``A [batch] = Q(s, a) - Q(s, a~)``, ``a~ ~ pi(s)``: one draw stands for the value of the state."""
    action_key, subset_key = jax.random.split(key)
    drawn = ac.actor.apply(ac.actor_params, batch.observation).sample(action_key)
    q, v = (
        aggregate(ensemble_values(ac.critic, ac.critic_params, batch.observation, action), "min", subset_key)
        for action in (batch.action, drawn)
    )
    return q - v


def policy_loss(
    ac: ActorCritic, actor_params: Params, batch: Transition, weight: Float[Array, "batch"]
) -> Float[Array, ""]:
    """``-mean weight log pi(a|s)``: the regression of equation 13 on the actions of a normalized batch.

    Args:
      ac: the actor's module.
      actor_params: its parameters; the loss is a function of these.
      batch: observations ``[batch, observation]`` and actions ``[batch, action]``.
      weight: ``[batch]``; ones make it maximum likelihood.
    """
    log_prob = ac.actor.apply(actor_params, batch.observation).log_prob(batch.action)
    chex.assert_equal_shape([weight, log_prob])
    return -jnp.mean(weight * log_prob)


def critic_step(config: EvaluationConfig, learner: L, batch: Transition, key: Key) -> tuple[L, Metrics]:
    """One step of the critics on their squared error, and one of the target critics towards them."""
    target = temporal_difference_target(config, learner.actor_critic, batch, key)
    learner, metrics = critic.critic_step(config, learner, batch, target)
    return critic.move_targets(config, learner), metrics


def policy_step(
    config: EvaluationConfig, learner: L, batch: Transition, weight: Float[Array, "batch"]
) -> tuple[L, Float[Array, ""]]:
    """One step of the policy on :func:`policy_loss`; and the loss before it."""
    ac = learner.actor_critic
    loss, gradient = jax.value_and_grad(partial(policy_loss, ac, batch=batch, weight=weight))(ac.actor_params)
    return apply_actor_gradient(actor_optimizer(config), learner, gradient), loss


def update(config: AdvantageWeightedConfig, learner: L, batch: Transition, key: Key) -> tuple[L, Metrics]:
    """``utd`` critic steps on the parts of the batch, then one policy step on all of it."""
    batch = learner.actor_critic.normalize_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    learner, metrics = high_utd_update(config, partial(critic_step, config), learner, batch, critic_key)
    better = advantage(learner.actor_critic, batch, policy_key)
    weight = jnp.minimum(jnp.exp(better / config.temperature), config.weight_limit)
    learner, loss = policy_step(config, learner, batch, weight)
    return learner, {**metrics, "policy_loss": loss, "advantage": better.mean(), "weight": weight.mean()}


def awac(config: AWACConfig) -> OfflineAlgorithm[Learner]:
    """Builds AWAC from its config.

    Raises:
      ConfigError: the batch cannot be cut in ``utd`` equal parts.
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
