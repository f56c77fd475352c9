"""CQL: conservative Q-learning, SAC whose critics are pushed down wherever the data does not hold them up.

    L_Q = L_TD + w sum_i mean_s [ T log sum_a exp(Q_i(s, a) / T) - Q_i(s, a_data) ]       (equation 4, "CQL(H)")

The sum over actions is importance-sampled (appendix F): ``num_actions`` each from the uniform distribution, from the
policy at ``s`` and from the policy at ``s'``, all of them valued at ``s``, and each minus the log density that it was
drawn with. With ``importance_sampling=False`` the densities are left out and the data's action joins the sum.

Source: Kumar et al. 2020 (arXiv 2006.04779). Within an update every loss is taken at the parameters before it, as in
the published codes (JaxCQL and CORL). ``max_target_backup`` backs up the best of ``num_actions`` draws;
``target_action_gap`` above 0 makes the weight a dual variable that holds the gap there (the "Lagrange" version).
Deviations: the log-sum-exp, like the codes', is not divided by the number of actions, a constant. Proposals carry no
gradient to the policy. Observations are normalized by ``max(std, 1e-3)`` (CORL: ``std + 1e-3``; JaxCQL: not). The
policy's sigma starts at 1 and has no learned factor and offset (the codes: at 1/e, with both).
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms import sac
from smac_jax.algorithms.base import (
    ActorCritic,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    actor_critic_for,
    reward_scale_for,
    same_dataset,
)
from smac_jax.algorithms.critic import bootstrap, squared_error, step, target_value
from smac_jax.config import choice, number, switch
from smac_jax.data.dataset import Dataset
from smac_jax.networks import ensemble_values
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class CQLConfig(sac.SoftConfig, PretrainingConfig):
    """SAC's hyper-parameters, and those of the conservative term."""

    initial_temperature: float = number(1.0, 1e-8, 1e3)
    temperature_learning_rate: float = number(1e-4, 0.0, 1.0)
    temperature_loss: str = choice("log_temperature", "temperature")
    min_q_weight: float = number(5.0, 0.0, doc="w; 1 for Adroit")
    num_actions: int = number(10, 1, doc="draws from each proposal")
    importance_sampling: bool = switch(True)
    max_target_backup: bool = switch(False)
    cql_temperature: float = number(1.0, 1e-6, doc="T of the log-sum-exp")
    target_action_gap: float = number(0.0, 0.0, doc="above 0: w times a dual variable holds the gap there")
    gap_min: float = number(
        -1e9, -1e9, 1e9, doc="each row's gap is clipped to these: cql_clip_diff_min, cql_clip_diff_max"
    )
    gap_max: float = number(1e9, -1e9, 1e9)


class State(struct.PyTreeNode):
    """SAC's state, and the dual variable of the Lagrange version."""

    sac: sac.State
    log_dual: Float[Array, ""]
    dual_optimizer: optax.OptState

    __repr__ = brief


def dual_optimizer(config: CQLConfig) -> optax.GradientTransformation:
    """The dual variable's optimizer."""
    return make_optimizer("adam", config.critic_learning_rate)


def init(config: CQLConfig, key: Key, dataset: Dataset) -> State:
    """Fresh networks; the logarithm of the dual variable starts at one, as in the codes."""
    log_dual = jnp.ones((), jnp.float32)
    return State(
        sac=sac.init(config, key, actor_critic_for(config, key, dataset)),
        log_dual=log_dual,
        dual_optimizer=dual_optimizer(config).init(log_dual),
    )


def draw(
    ac: ActorCritic, observation: Float[Array, "batch observation"], num_actions: int, key: Key
) -> tuple[Float[Array, "batch draw action"], Float[Array, "batch draw"]]:
    """``num_actions`` actions of the policy in each state, and their log densities, without gradient."""
    policy = ac.actor.apply(ac.actor_params, observation)
    actions, log_probs = jax.vmap(policy.sample_and_log_prob, out_axes=1)(jax.random.split(key, num_actions))
    return jax.lax.stop_gradient((actions, log_probs))


class Proposals(struct.PyTreeNode):
    """Where the log-sum-exp is evaluated: first the uniform draws, then the policy's at ``s'`` and at ``s``."""

    actions: Float[Array, "batch draw action"]
    log_density: Float[Array, "batch draw"]
    num_uniform: int = struct.field(pytree_node=False)


def propose(config: CQLConfig, ac: ActorCritic, batch: Transition, key: Key) -> Proposals:
    """Draws from the three proposals."""
    uniform_key, current_key, next_key = jax.random.split(key, 3)
    rows, action_size = batch.action.shape
    uniform = jax.random.uniform(uniform_key, (rows, config.num_actions, action_size), jnp.float32, -1.0, 1.0)
    at_next, at_next_density = draw(ac, batch.next_observation, config.num_actions, next_key)
    at_current, at_current_density = draw(ac, batch.observation, config.num_actions, current_key)
    uniform_density = jnp.full((rows, config.num_actions), action_size * jnp.log(0.5), jnp.float32)
    return Proposals(
        actions=jnp.concatenate([uniform, at_next, at_current], axis=1),
        log_density=jnp.concatenate([uniform_density, at_next_density, at_current_density], axis=1),
        num_uniform=config.num_actions,
    )


def action_gap(
    config: CQLConfig,
    ac: ActorCritic,
    critic_params: Params,
    batch: Transition,
    values: Float[Array, "member batch"],
    proposals: Proposals,
    lower_bound: Float[Array, "batch"] | None = None,
) -> Float[Array, "member"]:
    """``mean_s [T log sum_a exp(Q_i(s, a) / T) - Q_i(s, a_data)]`` of each member.

    Args:
      config: how.
      ac: the networks.
      critic_params: the critics' parameters.
      batch: the data.
      values: ``Q_i(s, a_data)``.
      proposals: the actions of the sum.
      lower_bound: Cal-QL's: no value at a *policy's* action counts as lower than this. None for CQL.
    """
    observation = jnp.broadcast_to(
        batch.observation[:, None], (*proposals.actions.shape[:2], batch.observation.shape[-1])
    )
    q = ensemble_values(ac.critic, critic_params, observation, proposals.actions)
    if lower_bound is not None:
        calibrated = jnp.maximum(q[..., proposals.num_uniform :], lower_bound[:, None])
        q = jnp.concatenate([q[..., : proposals.num_uniform], calibrated], axis=-1)
    if config.importance_sampling:
        q = q - proposals.log_density
    else:
        q = jnp.concatenate([q, values[..., None]], axis=-1)
    temperature = config.cql_temperature
    soft_maximum = temperature * jax.nn.logsumexp(q / temperature, axis=-1)
    return jnp.mean(jnp.clip(soft_maximum - values, config.gap_min, config.gap_max), axis=-1)


def temporal_difference_target(
    config: CQLConfig, state: sac.State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """SAC's target, or with ``max_target_backup`` that of the best of several draws."""
    if not config.max_target_backup:
        return sac.temporal_difference_target(config, state, batch, key)
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    actions, log_probs = draw(ac, batch.next_observation, config.num_actions, action_key)
    observation = jnp.broadcast_to(
        batch.next_observation[:, None], (*actions.shape[:2], batch.next_observation.shape[-1])
    )
    values = target_value(ac, observation, actions, config.backup_aggregation, subset_key)
    best = jnp.argmax(values, axis=1, keepdims=True)
    value = jnp.take_along_axis(values, best, axis=1)[:, 0]
    if config.entropy_backup:
        value = (
            value
            - sac.temperature_of(config, state.temperature_parameter)
            * jnp.take_along_axis(log_probs, best, axis=1)[:, 0]
        )
    return bootstrap(batch, config.discount, value)


def update(config: CQLConfig, calibrated: bool, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step each of critics, policy and temperature, all from the same parameters."""
    ac = state.sac.actor_critic
    batch = ac.normalize_batch(batch)
    target_key, proposal_key, policy_key = jax.random.split(key, 3)
    target = temporal_difference_target(config, state.sac, batch, target_key)
    proposals = propose(config, ac, batch, proposal_key)
    lower_bound = batch.return_to_go if calibrated else None
    dual = jnp.clip(jnp.exp(state.log_dual), 0.0, 1e6) if config.target_action_gap else 1.0

    def loss(critic_params: Params) -> tuple[Float[Array, ""], tuple[Metrics, Float[Array, ""]]]:
        values = ensemble_values(ac.critic, critic_params, batch.observation, batch.action)
        td_loss, metrics = squared_error(values, target)
        gap = action_gap(config, ac, critic_params, batch, values, proposals, lower_bound)
        conservative = config.min_q_weight * jnp.sum(gap - config.target_action_gap)
        return td_loss + dual * conservative, ({**metrics, "action_gap": gap.mean()}, conservative)

    gradient, (metrics, conservative) = jax.grad(loss, has_aux=True)(ac.critic_params)
    # the policy's step does not see the critics' step, nor the other way round
    after_policy, policy_metrics = sac.policy_step(config, state.sac, batch, policy_key)
    after_critic = sac.apply_critic_gradient(config, state.sac, gradient)
    state = state.replace(
        sac=after_policy.replace(
            actor_critic=after_critic.actor_critic.replace(actor_params=after_policy.actor_critic.actor_params),
            critic_optimizer=after_critic.critic_optimizer,
        )
    )
    if config.target_action_gap:
        # ascends: the weight grows while the gap is above its target
        gradient = jax.grad(lambda log_dual: -0.5 * jnp.exp(log_dual) * conservative)(state.log_dual)
        log_dual, optimizer = step(dual_optimizer(config), gradient, state.dual_optimizer, state.log_dual)
        state = state.replace(log_dual=log_dual, dual_optimizer=optimizer)
        metrics = {**metrics, "dual": dual}
    return state, {**metrics, **policy_metrics}


def build(name: str, config: CQLConfig, calibrated: bool) -> OfflineAlgorithm:
    """CQL, or Cal-QL if ``calibrated``."""

    def with_lower_bound(dataset: Dataset) -> Dataset:
        # in the units of the critics' values, which they bound
        return dataset.with_returns_to_go(config.discount, float(reward_scale_for(config, dataset)), config.reward_bias)

    return OfflineAlgorithm(
        name=name,
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config, calibrated), config.batch_size),),
        actor_critic=lambda state: state.sac.actor_critic,
        prepare=with_lower_bound if calibrated else same_dataset,
        training_state=lambda state: sac.training_state(config, state.sac),
    )


def cql(config: CQLConfig) -> OfflineAlgorithm:
    """Builds CQL from its config."""
    return build("cql", config, calibrated=False)
