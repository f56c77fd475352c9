"""FQL: flow Q-learning. A flow clones the data, and a one-step policy is distilled from it and maximizes the critics.

    L_flow = mean (v(s, x_t, t) - (a - x_0))^2 ,   x_t = (1 - t) x_0 + t a ,   x_0 ~ N(0, I) ,   t ~ U(0, 1)
    L_pi   = alpha mean (mu(s, z) - a_flow(s, z))^2 - lambda mean mean_i Q_i(s, clip(mu(s, z))) ,   z ~ N(0, I)
    y      = r + gamma (1 - terminal) mean_i Qbar_i(s', clip(mu(s', z')))
    L_Q    = mean_i mean (Q_i(s, a) - y)^2

``a_flow(s, z)`` is the result of ``flow_steps`` steps of Euler's method along ``v``, which start at the noise ``z``. It
is clipped to the action box and has no gradient. So the policy is trained without gradients through the flow, and it
can have as many modes as the flow.

Source: Park, Li and Levine 2025 (arXiv 2502.02538), section 4 and algorithm 1, and the authors' code
(``agents/fql.py`` of seohongpark/fql), which this file equals up to rounding: all gradients of an update are computed
at the parameters before it, and the target critics are updated with the critics before their step. The critics' layer
norms are after the activations (gelu, in its form with tanh), and kernels have Glorot's initializer. Observations are
not normalized. Each data set has its own ``alpha``, which is in the preset ``--config=fql:DATA``.

Evaluations act with samples, for which ``z`` is drawn. Online, FQL continues with the same update and explores by such
samples, as in the code. The code samples batches from the union of data and replay buffer; here each batch has a fixed
share of both.

Deviation: there is one optimizer for each network, and the code has one for all. With Adam both are the same.

The policy has no density. Only TD3 and TD3+BC can follow FQL; they train and evaluate ``mu(s, 0)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import continuation, keep_optimizers
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase
from smac_jax.algorithms.learner import (
    Learner,
    LearningConfig,
    actor_critic_of,
    actor_optimizer,
    apply_actor_gradient,
    gradient_step,
    new_learner,
    optimizer_states,
)
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import choice, number, switch
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.networks import MLP, ensemble_values
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class FQLConfig(LearningConfig, PretrainingConfig):
    """The hyperparameters of FQL, as in its code for OGBench. The flow's network has the layers of the actor."""

    backup_aggregation: str = choice("mean", "min", "random2")
    alpha: float = number(10.0, 0.0, doc="the weight of the distillation from the flow, relative to Q")
    flow_steps: int = number(10, 1, 1000, doc="the number of steps of Euler's method")
    normalize_q: bool = switch(False, doc="whether lambda is 1 / mean |Q|; otherwise it is 1")
    normalize_observations: bool = switch(
        False, doc="whether the networks get (observation - mean) / std, with the statistics of the data set"
    )
    network: NetworkConfig = dataclasses.field(
        default_factory=partial(
            NetworkConfig,
            actor_hidden=(512, 512, 512, 512),
            actor_activation="gelu",
            distribution="one_step_flow",
            critic_hidden=(512, 512, 512, 512),
            critic_activation="gelu",
            critic_layer_norm=True,
            layer_norm_position="after_activation",
            initializer="glorot_uniform",
        )
    )


class State(Learner):
    """A learner with a flow.

    Attributes:
      flow_params: the parameters of the velocity of the flow.
      flow_optimizer: the state of the optimizer of the velocity.
    """

    flow_params: Params
    flow_optimizer: optax.OptState

    __repr__ = brief


def flow_network(ac: ActorCritic) -> MLP:
    """Returns the network of the velocity: a perceptron of ``(s, x, t)`` with the layers of the actor."""
    actor = ac.actor
    return MLP(
        hidden=actor.hidden,
        activation=actor.activation,
        output=actor.action_size,
        layer_norm=actor.layer_norm,
        initializer=actor.initializer,
        last_hidden_scale=actor.last_hidden_scale,
        layer_norm_position=actor.layer_norm_position,
    )


def velocity(
    ac: ActorCritic,
    flow_params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
    time: Float[Array, "batch"],
) -> Float[Array, "batch action"]:
    """Returns the velocity ``v(s, x, t) [batch, action]``.

    Args:
      ac: the networks.
      flow_params: the parameters of the velocity.
      observation: normalized observations ``s``.
      action: the points ``x`` on the way from noise to actions.
      time: ``t`` in ``[0, 1]``.
    """
    x = jnp.concatenate([observation, action, time[:, None]], axis=-1)
    return flow_network(ac).apply(flow_params, x)  # type: ignore[return-value]


def flow_action(
    velocity_at: Callable[[Array, Array], Array], noise: Float[Array, "batch action"], steps: int
) -> Float[Array, "batch action"]:
    """Returns ``a_flow(s, z)``, the result of Euler's method from ``t = 0`` to ``1``, clipped to the action box.

    Args:
      velocity_at: ``v(s, ., .)``, a function of points ``[batch, action]`` and times ``[batch]``.
      noise: ``z``, the points at ``t = 0``.
      steps: the number of steps, which have equal lengths.
    """

    def step(action: Array, i: Array) -> tuple[Array, None]:
        time = jnp.full(action.shape[:1], i / steps, jnp.float32)
        return action + velocity_at(action, time) / steps, None

    action, _ = jax.lax.scan(step, noise, jnp.arange(steps, dtype=jnp.float32))
    return jnp.clip(action, -1.0, 1.0)


def init(config: FQLConfig, key: Key, dataset: Dataset) -> State:
    """Returns the initial state with randomly initialized networks."""
    network_key, flow_key = jax.random.split(key)
    ac = actor_critic_for(config, network_key, dataset)
    inputs = jnp.zeros(dataset.observations.shape[-1] + dataset.actions.shape[-1] + 1, jnp.float32)
    return new_state(config, ac, flow_network(ac).init(flow_key, inputs))


def new_state(config: FQLConfig, ac: ActorCritic, flow_params: Params) -> State:
    """Returns a state with the given networks, and with new optimizer states."""
    learner = new_learner(config, ac)
    return State(
        actor_critic=ac,
        critic_optimizer=learner.critic_optimizer,
        actor_optimizer=learner.actor_optimizer,
        flow_params=flow_params,
        flow_optimizer=actor_optimizer(config).init(flow_params),
    )


def temporal_difference_target(
    config: FQLConfig, ac: ActorCritic, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """Returns the target ``y [batch]``, with one action of the policy for each transition."""
    action_key, subset_key = jax.random.split(key)
    next_action = ac.actor.apply(ac.actor_params, batch.next_observation).sample(action_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return critic.bootstrap(batch, config.discount, value)


def flow_loss(
    ac: ActorCritic,
    flow_params: Params,
    batch: Transition,
    noise: Float[Array, "batch action"],
    time: Float[Array, "batch"],
) -> Float[Array, ""]:
    """Returns ``L_flow``, the loss of flow matching.

    Args:
      ac: the networks.
      flow_params: the parameters of the velocity, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
      noise: ``x_0``.
      time: ``t``.
    """
    chex.assert_equal_shape([noise, batch.action])
    between = (1.0 - time[:, None]) * noise + time[:, None] * batch.action
    predicted = velocity(ac, flow_params, batch.observation, between, time)
    return jnp.mean((predicted - (batch.action - noise)) ** 2)


def policy_loss(
    config: FQLConfig,
    ac: ActorCritic,
    actor_params: Params,
    batch: Transition,
    noise: Float[Array, "batch action"],
    target: Float[Array, "batch action"],
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_pi`` and its metrics.

    Args:
      config: has alpha, and says whether Q is divided by its mean absolute value.
      ac: the networks.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]``.
      noise: ``z``.
      target: ``a_flow(s, z)``.
    """
    policy = ac.actor.apply(actor_params, batch.observation)
    action = policy.at(noise)
    chex.assert_equal_shape([action, target])
    distillation = jnp.mean((action - target) ** 2)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, jnp.clip(action, -1.0, 1.0))
    value = values.mean(axis=0)
    weight = jnp.ones((), jnp.float32)
    if config.normalize_q:
        # the maximum avoids a division by zero if all values are zero
        weight = 1.0 / jnp.maximum(jax.lax.stop_gradient(jnp.abs(value).mean()), 1e-8)
    loss = config.alpha * distillation - weight * value.mean()
    return loss, {"policy_loss": loss, "distillation_loss": distillation}


def update(config: FQLConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one step of critics, policy and flow, and updates the target critics.

    All gradients are computed at the parameters before the update.
    """
    ac = state.actor_critic
    batch = ac.normalize_batch(batch)
    target_key, start_key, time_key, noise_key = jax.random.split(key, 4)

    start = jax.random.normal(start_key, batch.action.shape, jnp.float32)
    time = jax.random.uniform(time_key, batch.reward.shape, jnp.float32)
    matching, flow_gradient = jax.value_and_grad(partial(flow_loss, ac, batch=batch, noise=start, time=time))(
        state.flow_params
    )

    noise = jax.random.normal(noise_key, batch.action.shape, jnp.float32)
    action = flow_action(partial(velocity, ac, state.flow_params, batch.observation), noise, config.flow_steps)
    of_policy = partial(policy_loss, config, ac, batch=batch, noise=noise, target=action)
    policy_gradient, policy_metrics = jax.grad(of_policy, has_aux=True)(ac.actor_params)

    target = temporal_difference_target(config, ac, batch, target_key)
    state = critic.move_targets(config, state)
    state, critic_metrics = critic.critic_step(config, state, batch, target, reduction="mean")
    state = apply_actor_gradient(actor_optimizer(config), state, policy_gradient)
    flow_params, flow_optimizer = gradient_step(
        actor_optimizer(config), flow_gradient, state.flow_optimizer, state.flow_params
    )
    state = state.replace(flow_params=flow_params, flow_optimizer=flow_optimizer)
    return state, {**critic_metrics, **policy_metrics, "flow_loss": matching}


def fql(config: FQLConfig) -> OfflineAlgorithm[State]:
    """Builds FQL from its config.

    Raises:
      ConfigError: the policy's distribution is not a one-step flow.
    """
    if config.network.distribution != "one_step_flow":
        raise ConfigError(
            f"FQLConfig.network.distribution = {config.network.distribution!r}: must be 'one_step_flow', which is the "
            "policy that FQL distills from its flow."
        )
    return OfflineAlgorithm(
        name="fql",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
        training_state=optimizer_states,
        evaluate_draws=True,
        continue_online=continuation(
            State,
            lambda online: partial(update, online),
            lambda online, state: new_state(online, state.actor_critic, state.flow_params),
            with_optimizers=keep_optimizers("flow_optimizer"),
        ),
    )
