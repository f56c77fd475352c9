"""AWAC: advantage-weighted actor-critic.

    y    = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')                                 (equation 2)
    L_pi = -mean min(exp(A(s, a) / lambda), limit) log pi(a|s) ,   A = Q(s, a) - Q(s, a~) ,   a~ ~ pi(s)  (equation 13)

``Q`` is the smallest of the critics, after their step.

Source: Nair et al. 2020 (arXiv 2006.09359), algorithm 1 and section 4. Deviations from the authors' code (rlkit), in
which we follow CORL: the weights are not divided by their mean over the batch (``N softmax(A / lambda)``) but clipped
at 100; the advantage is of the critics after their step, not before; the policy's draws are clipped to the action box;
and lambda is 1/3, CORL's for hopper-medium-replay (0.1 on Adroit). The policy is a Gaussian whose mean passed a tanh,
as theirs (CORL: no tanh), with ``log sigma`` in [-5, 2] (theirs [-6, 0], CORL [-20, 2]). Networks of two layers of 256
(theirs four for the policy, CORL three for all).
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.base import (
    ActorCritic,
    LearningConfig,
    NetworkConfig,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    TrainingState,
    UTDConfig,
    actor_critic_for,
    check_parts,
    high_utd_update,
    optimizer_states,
    starting_optimizers,
)
from smac_jax.algorithms.critic import (
    bootstrap,
    critic_loss,
    critic_optimizer_step,
    optimizers,
    step,
    target_value,
    with_new_critics,
)
from smac_jax.config import choice, number
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(LearningConfig):
    """How the policy that is there is evaluated: what behavior cloning takes, too."""

    backup_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class AdvantageWeightedConfig(EvaluationConfig, UTDConfig):
    """What AWAC and online AWR share."""

    temperature: float = number(1.0 / 3.0, 1e-6, doc="lambda: the advantage is divided by it")
    weight_limit: float = number(100.0, 0.0, doc="largest exp(advantage / temperature)")
    policy_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class AWACConfig(AdvantageWeightedConfig, PretrainingConfig):
    """Hyper-parameters of AWAC."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, policy="box_gaussian", state_dependent_std=False)
    )


class State(struct.PyTreeNode):
    """Actor-critic and the optimizers' states."""

    actor_critic: ActorCritic
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState

    __repr__ = brief


def init(config: EvaluationConfig, key: Key, actor_critic: ActorCritic, carried: TrainingState | None = None) -> State:
    """Takes an actor-critic as it is and puts optimizers beside it.

    Raises:
      ConfigError: the config asks for what was not carried over.
    """
    del key
    return State(actor_critic, *starting_optimizers(config, optimizers(config), actor_critic, carried))


def temporal_difference_target(
    config: EvaluationConfig, ac: ActorCritic, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) Qbar(s', a')``, ``a' ~ pi(s')``."""
    action_key, subset_key = jax.random.split(key)
    next_action = ac.actor.apply(ac.actor_params, batch.next_observation).sample(action_key)
    value = target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return bootstrap(batch, config.discount, value)


def advantage(config: AdvantageWeightedConfig, ac: ActorCritic, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """``Q(s, a) - Q(s, a~)``, ``a~ ~ pi(s)``: one draw for the value of the state."""
    action_key, subset_key = jax.random.split(key)
    drawn = ac.actor.apply(ac.actor_params, batch.observation).sample(action_key)
    q, v = (
        aggregate(
            ensemble_values(ac.critic, ac.critic_params, batch.observation, action),
            config.policy_aggregation,
            subset_key,
        )
        for action in (batch.action, drawn)
    )
    return q - v


def policy_loss(
    config: EvaluationConfig,
    ac: ActorCritic,
    actor_params: Params,
    batch: Transition,
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """The weighted regression of equation 13."""
    return -jnp.mean(weight * ac.actor.apply(actor_params, batch.observation).log_prob(batch.action))


def critic_step(config: EvaluationConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on the critics' squared error, and a polyak step of their targets."""
    ac = state.actor_critic
    target = temporal_difference_target(config, ac, batch, key)
    gradient, metrics = jax.grad(partial(critic_loss, ac, batch=batch, target=target), has_aux=True)(ac.critic_params)
    critic_params, critic_optimizer = critic_optimizer_step(config, ac, gradient, state.critic_optimizer)
    ac = with_new_critics(ac, critic_params, config.polyak)
    return state.replace(actor_critic=ac, critic_optimizer=critic_optimizer), metrics


def update(config: AdvantageWeightedConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch, then one policy step."""
    batch = state.actor_critic.normalize_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    state, metrics, rows = high_utd_update(config, partial(critic_step, config), state, batch, critic_key)
    ac = state.actor_critic
    better = advantage(config, ac, rows, policy_key)
    weight = jnp.minimum(jnp.exp(better / config.temperature), config.weight_limit)
    loss, gradient = jax.value_and_grad(partial(policy_loss, config, ac, batch=rows, weight=weight))(ac.actor_params)
    actor_params, actor_optimizer = step(optimizers(config)["actor"], gradient, state.actor_optimizer, ac.actor_params)
    state = state.replace(actor_critic=ac.replace(actor_params=actor_params), actor_optimizer=actor_optimizer)
    return state, {**metrics, "policy_loss": loss, "advantage": better.mean(), "weight": weight.mean()}


def awac(config: AWACConfig) -> OfflineAlgorithm:
    """Builds AWAC from its config."""
    check_parts(config)
    return OfflineAlgorithm(
        name="awac",
        config=config,
        init=lambda key, dataset: init(config, key, actor_critic_for(config, key, dataset)),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=lambda state: state.actor_critic,
        training_state=optimizer_states,
    )
