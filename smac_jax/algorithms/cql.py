"""CQL: conservative Q-learning, which is SAC with critics whose values are decreased outside the data.

    L_Q = L_TD + w sum_i mean_s [ log sum_a exp(Q_i(s, a)) - Q_i(s, a_data) ]            (equation 4, "CQL(H)")

The sum over actions is estimated by importance sampling (appendix F): ``num_actions`` samples each of the uniform
distribution, of the policy at ``s`` and of the policy at ``s'``. All of them are evaluated at ``s``, and the log
density with which each was sampled is subtracted.

Source: Kumar et al. 2020 (arXiv 2006.04779). As in the published codes (JaxCQL and CORL), all losses of an update are
computed at the parameters before it, and the loss of the temperature is its logarithm times the excess of entropy.
``max_target_backup`` backs up the best of ``num_actions`` samples.

Deviations: the log-sum-exp is not divided by the number of actions (this is a constant, and as in the codes). Sampled
actions have no gradient with respect to the policy. Observations are normalized by ``max(std, 1e-3)`` (CORL: ``std +
1e-3``; JaxCQL: not at all). The policy's sigma is 1 at first, and has no learned factor and offset (in the codes it is
1/e, and has both). Options that are off by default in the codes do not exist here: a dual variable for ``w``
("Lagrange"), a temperature of the log-sum-exp, limits of the gap, and sums without importance sampling.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms import critic, sac
from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.continuation import continuation
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase, Prepare, same_dataset
from smac_jax.algorithms.learner import actor_critic_of, apply_critic_gradient, critic_optimizer
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for, reward_scale_for
from smac_jax.algorithms.temperature import TemperatureConfig, temperature_of
from smac_jax.config import number, switch
from smac_jax.data.dataset import Dataset
from smac_jax.networks import ensemble_values
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class CQLConfig(sac.SoftConfig, PretrainingConfig):
    """The hyperparameters of SAC and of the conservative term."""

    initial_temperature: float = number(1.0, 1e-8, 1e3)
    temperature_learning_rate: float = number(1e-4, 0.0, 1.0)
    min_q_weight: float = number(5.0, 0.0, doc="w, the weight of the conservative term; 1 for Adroit")
    num_actions: int = number(10, 1, doc="the number of samples of each distribution")
    max_target_backup: bool = switch(False)


def init(config: CQLConfig, key: Key, dataset: Dataset) -> sac.State:
    """Returns the initial state, which is that of SAC, with randomly initialized networks."""
    return sac.new_state(config, actor_critic_for(config, key, dataset), config.initial_temperature)


def sample_actions(
    ac: ActorCritic, observation: Float[Array, "batch observation"], num_actions: int, key: Key
) -> tuple[Float[Array, "batch sample action"], Float[Array, "batch sample"]]:
    """Samples ``num_actions`` actions of the policy in each state. They and their log densities have no gradient."""
    policy = ac.actor.apply(ac.actor_params, observation)
    actions, log_probs = jax.vmap(policy.sample_and_log_prob, out_axes=1)(jax.random.split(key, num_actions))
    return jax.lax.stop_gradient((actions, log_probs))


class Proposals(struct.PyTreeNode):
    """The actions of the log-sum-exp: first the uniform ones, then those of the policy at ``s'`` and at ``s``.

    Attributes:
      actions: ``[batch, sample, action]``.
      log_density: the log density with which each action was sampled, ``[batch, sample]``.
      num_uniform: the number of uniform actions (static).
    """

    actions: Float[Array, "batch sample action"]
    log_density: Float[Array, "batch sample"]
    num_uniform: int = struct.field(pytree_node=False)


def propose(config: CQLConfig, ac: ActorCritic, batch: Transition, key: Key) -> Proposals:
    """Samples from the three distributions at the states of a normalized batch."""
    uniform_key, current_key, next_key = jax.random.split(key, 3)
    rows, action_size = batch.action.shape
    uniform = jax.random.uniform(uniform_key, (rows, config.num_actions, action_size), jnp.float32, -1.0, 1.0)
    at_next, at_next_density = sample_actions(ac, batch.next_observation, config.num_actions, next_key)
    at_current, at_current_density = sample_actions(ac, batch.observation, config.num_actions, current_key)
    uniform_density = jnp.full((rows, config.num_actions), action_size * jnp.log(0.5), jnp.float32)
    return Proposals(
        actions=jnp.concatenate([uniform, at_next, at_current], axis=1),
        log_density=jnp.concatenate([uniform_density, at_next_density, at_current_density], axis=1),
        num_uniform=config.num_actions,
    )


def action_gap(
    ac: ActorCritic,
    critic_params: Params,
    batch: Transition,
    values: Float[Array, "member batch"],
    proposals: Proposals,
    lower_bound: Float[Array, "batch"] | None = None,
) -> Float[Array, "member"]:
    """Returns ``mean_s [log sum_a exp(Q_i(s, a)) - Q_i(s, a_data)]`` of each member.

    Args:
      ac: the networks.
      critic_params: the parameters of the critics.
      batch: a normalized batch.
      values: ``Q_i(s, a_data) [member, batch]``.
      proposals: the actions of the sum.
      lower_bound: the lower bound ``[batch]`` of Cal-QL on values at actions of the *policy*; None for CQL.
    """
    chex.assert_rank([values, proposals.actions, proposals.log_density], [2, 3, 2])
    observation = jnp.broadcast_to(
        batch.observation[:, None], (*proposals.actions.shape[:2], batch.observation.shape[-1])
    )
    q = ensemble_values(ac.critic, critic_params, observation, proposals.actions)
    if lower_bound is not None:
        calibrated = jnp.maximum(q[..., proposals.num_uniform :], lower_bound[:, None])
        q = jnp.concatenate([q[..., : proposals.num_uniform], calibrated], axis=-1)
    soft_maximum = jax.nn.logsumexp(q - proposals.log_density, axis=-1)
    chex.assert_equal_shape([soft_maximum, values])
    return jnp.mean(soft_maximum - values, axis=-1)


def temporal_difference_target(
    config: CQLConfig, state: sac.State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """Returns the target ``[batch]`` of SAC, or with ``max_target_backup`` that of the best of several samples."""
    if not config.max_target_backup:
        return sac.temporal_difference_target(config, state, batch, key)
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    actions, log_probs = sample_actions(ac, batch.next_observation, config.num_actions, action_key)
    observation = jnp.broadcast_to(
        batch.next_observation[:, None], (*actions.shape[:2], batch.next_observation.shape[-1])
    )
    values = critic.target_value(ac, observation, actions, config.backup_aggregation, subset_key)
    best = jnp.argmax(values, axis=1, keepdims=True)
    value = jnp.take_along_axis(values, best, axis=1)[:, 0]
    if config.entropy_backup:
        log_prob = jnp.take_along_axis(log_probs, best, axis=1)[:, 0]
        value = value - temperature_of(config, state.temperature_parameter) * log_prob
    return critic.bootstrap(batch, config.discount, value)


def critic_loss(
    config: CQLConfig,
    ac: ActorCritic,
    critic_params: Params,
    batch: Transition,
    target: Float[Array, "batch"],
    proposals: Proposals,
    lower_bound: Float[Array, "batch"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_Q`` of equation 4 for given parameters of the critics; arguments as in :func:`action_gap`."""
    values = ensemble_values(ac.critic, critic_params, batch.observation, batch.action)
    td_loss, metrics = critic.squared_error(values, target)
    gap = action_gap(ac, critic_params, batch, values, proposals, lower_bound)
    return td_loss + config.min_q_weight * jnp.sum(gap), {**metrics, "action_gap": gap.mean()}


def temperature_loss(
    config: TemperatureConfig, parameter: Float[Array, ""], entropy: Float[Array, ""], action_size: int
) -> Float[Array, ""]:
    """Returns ``log temperature * (entropy - target entropy)``, the loss in the published codes."""
    exponential = config.temperature_parameterization == "exp"
    log_temperature = parameter if exponential else jnp.log(temperature_of(config, parameter))
    return log_temperature * (entropy - config.target_entropy_scale * action_size)


def update(
    config: CQLConfig, calibrated: bool, state: sac.State, batch: Transition, key: Key
) -> tuple[sac.State, Metrics]:
    """Takes one step of critics, policy and temperature, with all gradients at the parameters before the update."""
    ac = state.actor_critic
    batch = ac.normalize_batch(batch)
    target_key, proposal_key, policy_key = jax.random.split(key, 3)
    target = temporal_difference_target(config, state, batch, target_key)
    loss = partial(
        critic_loss,
        config,
        ac,
        batch=batch,
        target=target,
        proposals=propose(config, ac, batch, proposal_key),
        lower_bound=batch.return_to_go if calibrated else None,
    )
    gradient, critic_metrics = jax.grad(loss, has_aux=True)(ac.critic_params)
    state = critic.move_targets(config, apply_critic_gradient(critic_optimizer(config), state, gradient))
    state, policy_metrics = sac.policy_step(config, state, batch, policy_key, ac.critic_params, temperature_loss)
    return state, {**critic_metrics, **policy_metrics}


def build(name: str, config: CQLConfig, calibrated: bool) -> OfflineAlgorithm[sac.State]:
    """Builds CQL, or Cal-QL if ``calibrated``."""

    def prepare(config: CQLConfig) -> Prepare:
        return partial(with_lower_bound, config) if calibrated else same_dataset

    return OfflineAlgorithm(
        name=name,
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config, calibrated), config.batch_size),),
        actor_critic=actor_critic_of,
        prepare=prepare(config),
        training_state=partial(sac.training_state, config),
        continue_online=continuation(
            sac.State,
            lambda online: partial(update, online, calibrated),
            lambda online, state: sac.new_state(online, state.actor_critic, online.initial_temperature),
            prepare=prepare,
            return_discount=lambda online: online.discount if calibrated else None,
        ),
    )


def with_lower_bound(config: CQLConfig, dataset: Dataset) -> Dataset:
    """Returns the data set with its returns-to-go in the units of the critics, whose values they bound from below."""
    return dataset.with_returns_to_go(config.discount, float(reward_scale_for(config, dataset)), config.reward_bias)


def cql(config: CQLConfig) -> OfflineAlgorithm[sac.State]:
    """Builds CQL from its config."""
    return build("cql", config, calibrated=False)
