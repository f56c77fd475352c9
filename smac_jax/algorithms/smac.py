"""SMAC: SAC on a data set, with a penalty that matches the critics' action-gradients to a score.

    L_critic = L_TD + kappa * L_SM ,   L_SM = mean sum_i || grad_a Q_i(s, a) - alpha * score(a|s) ||^2
    L_pi     = mean (temperature * log pi(a|s) - Q(s, a)) ,   a ~ pi(s)

Source: SMAC (arXiv 2602.17632 v1), sections 3 and 4, tables 6-8. The field ``score`` selects one of two scores:

* ``score="dataset"`` (the default, as in the paper): the target is ``alpha_psi(s)`` times the score of the data's
  actions, from a return-conditioned diffusion model that is trained first and then frozen
  (:mod:`smac_jax.scores.dataset`).
* ``score="policy"`` (as in the paper's summary): the target is the temperature times the score of the policy itself, at
  actions of the policy or of the data; or the score alone, with ``alpha_parameterization="fixed", alpha_value=1``.
  Other forms of alpha are refused. So is a policy without tanh, whose score has another formula
  (:mod:`smac_jax.scores.policy`).

Deviations from the paper are fields of the config: those of the score (:mod:`smac_jax.scores.dataset`), of alpha
(:mod:`smac_jax.algorithms.alpha`) and of kappa (:mod:`smac_jax.algorithms.kappa`), and

* ``temperature_learning_rate``: according to the identity, alpha *is* the temperature. For a critic with ``grad_a Q =
  alpha * score``, the soft-optimal policy at the temperature alpha is that of the data. A temperature that is tuned to
  a target entropy decreases far below alpha, and the policy then prefers actions at which the identity was not learned.
  By default the temperature stays at ``initial_temperature``, which is the lower bound of alpha.
* ``penalty_fraction``: the penalty doubles the operations of an update (``benchmarks/README.md``). On a part of the
  batch's rows, it has the same mean. By default it uses all rows, as published.
* ``penalty_reduction``: the paper does not say whether kappa multiplies the sum or the mean over the critics.
* ``optimizer``: in the paper, Muon improves SMAC. The default is Adam, because here no improvement has been measured.

SMAC can continue online with its penalty, which the paper does not describe: with its full weight, or with a weight
that decreases after the transfer (:mod:`smac_jax.algorithms.kappa`). The score model does not change online.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms import critic, sac
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.alpha import AlphaConfig, AlphaState, alpha_of, alpha_optimizer, init_alpha, update_alpha
from smac_jax.algorithms.continuation import continuation, keep_optimizers
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase, TrainingState
from smac_jax.algorithms.kappa import (
    KappaConfig,
    KappaState,
    check_kappa,
    continue_kappa,
    init_kappa,
    kappa_of,
    update_kappa,
)
from smac_jax.algorithms.learner import apply_critic_gradient, critic_optimizer, draw_action
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.algorithms.temperature import temperature_of
from smac_jax.config import choice, choice_from, number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.scores import (
    SCORES,
    DatasetScoreConfig,
    MatchingPoints,
    PolicyScoreConfig,
    Score,
    identity_metrics,
    make_score,
    score_matching_penalty,
)
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class SMACConfig(
    sac.SoftConfig,
    sac.UpdateConfig,
    KappaConfig,
    AlphaConfig,
    DatasetScoreConfig,
    PolicyScoreConfig,
    PretrainingConfig,
):
    """The hyperparameters of SAC, and those of the score-matching penalty."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, critic_activation="tanh", num_critics=10)
    )
    temperature_learning_rate: float = number(
        0.0, 0.0, 1.0, doc="0 for a constant temperature; see the module's docstring"
    )
    OF_STATE: ClassVar[tuple[str, ...]] = ("score",)
    score: str = choice_from(SCORES, "dataset", doc="the score that the critics' action-gradients are matched to")
    penalty_reduction: str = choice("sum", "mean", doc="the reduction of the penalty over the critics")
    penalty_fraction: float = number(
        1.0, 1e-6, 1.0, doc="the share of a batch's rows in the penalty; fewer rows are faster and noisier"
    )

    def __post_init__(self) -> None:
        # "auto" is resolved here, so that the record of a configuration has the value that runs
        if self.alpha_parameterization == "auto":
            resolved = "temperature" if self.score == "policy" else "softplus"
            object.__setattr__(self, "alpha_parameterization", resolved)


def check(config: SMACConfig) -> None:
    """Checks that the fields do not contradict each other.

    Raises:
      ConfigError: they do.
    """
    check_kappa(config)
    if config.score == "policy" and config.alpha_parameterization not in ("temperature", "fixed"):
        raise ConfigError(
            f"SMACConfig.alpha_parameterization = {config.alpha_parameterization!r}: with score = 'policy' it must be "
            "'temperature' (or 'auto', which becomes that) or 'fixed'."
        )
    if config.score == "policy" and config.network.distribution != "tanh_gaussian":
        raise ConfigError(
            f"SMACConfig.network.distribution = {config.network.distribution!r}: score = 'policy' needs a policy with "
            "tanh. Set network.distribution = 'tanh_gaussian', or score = 'dataset'."
        )


class State(struct.PyTreeNode):
    """The state of SAC, and the states of the penalty's parts.

    Attributes:
      sac: networks, temperature and their optimizers.
      score: the state of the score.
      alpha: the state of the factor of the score.
      kappa: the state of the weight of the penalty.
    """

    sac: sac.State
    score: Any
    alpha: AlphaState
    kappa: KappaState

    __repr__ = brief


def init(config: SMACConfig, score: Score[Any], key: Key, dataset: Dataset) -> State:
    """Returns the initial state with randomly initialized networks."""
    # The fourth key is not used. Splitting into three would change the other keys, and with them all networks.
    network_key, alpha_key, score_key, _ = jax.random.split(key, 4)
    ac = actor_critic_for(config, network_key, dataset)
    observation_size = ac.observation_mean.shape[-1]
    return State(
        sac=sac.new_state(config, ac, config.initial_temperature),
        score=score.init(score_key, observation_size, ac.actor.action_size),
        alpha=init_alpha(config, alpha_key, observation_size),
        kappa=init_kappa(config),
    )


def actor_critic(state: State) -> ActorCritic:
    """Returns the networks. Their temperature, from which an online algorithm can start, is the mean of alpha."""
    return state.sac.actor_critic.replace(temperature=state.alpha.mean)


def training_state(config: SMACConfig, state: State) -> TrainingState:
    """Returns the states of optimizers and temperature, for an online algorithm that asks for them."""
    return sac.training_state(config, state.sac)


def score_matching_loss(
    config: SMACConfig,
    score: Score[Any],
    state: State,
    critic_params: Params,
    alpha_params: Params,
    batch: Transition,
    key: Key,
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_SM = mean sum_i || grad_a Q_i(s, a) - alpha_psi(s) * score(a|s) ||^2`` (section 3).

    The loss is differentiated with respect to ``critic_params`` and ``alpha_params``.

    Args:
      config: has the share of the rows, and the reduction over the members.
      score: defines the target, and the actions at which it is matched.
      state: has everything that is not differentiated.
      critic_params: the parameters of the ensemble; every leaf is ``[member, ...]``.
      alpha_params: the parameters ``psi`` of alpha.
      batch: normalized transitions, ``[batch, ...]``.
      key: the random key of the actions.

    Returns:
      The loss, and as metrics the loss of one member, its ratio to the loss of a flat Q, and the mean of alpha.
    """
    # The rows of a batch are independent, so its first rows are a random sample.
    rows = max(1, round(config.penalty_fraction * batch.reward.shape[0]))
    batch = jax.tree.map(lambda x: x[:rows], batch)
    ac = state.sac.actor_critic
    policy = ac.actor.apply(ac.actor_params, batch.observation)
    action = jax.lax.stop_gradient(score.actions(policy, batch, key))
    matched = jax.lax.stop_gradient(score.evaluate(state.score, policy, batch.observation, action))
    temperature = temperature_of(config, state.sac.temperature_parameter)
    alpha = alpha_of(config, alpha_params, batch.observation, temperature)
    target = alpha[:, None] * matched.score
    points = MatchingPoints(batch.observation, action, target, matched.weight)
    loss = score_matching_penalty(ac.critic.apply, critic_params, points)
    of_one_member = loss / config.network.num_critics
    of_flat_q = jnp.mean(jnp.sum(target**2, axis=-1))
    return of_one_member if config.penalty_reduction == "mean" else loss, {
        "score_matching_loss": of_one_member,
        "relative_residual": of_one_member / (of_flat_q + 1e-8),
        "alpha": alpha.mean(),
    }


def critic_step(
    config: SMACConfig, score: Score[Any], state: State, batch: Transition, target_key: Key, penalty_key: Key
) -> tuple[State, Metrics]:
    """Takes one step of the critics and of ``alpha_psi`` on ``L_TD + kappa L_SM``, and updates targets and kappa."""
    ac = state.sac.actor_critic
    target = sac.temporal_difference_target(config, state.sac, batch, target_key)
    td_loss = partial(critic.critic_loss, ac, batch=batch, target=target, reduction=config.td_reduction)
    sm_loss = partial(score_matching_loss, config, score, state, batch=batch, key=penalty_key)
    td_gradient, td_metrics = jax.grad(td_loss, has_aux=True)(ac.critic_params)
    (sm_gradient, alpha_gradient), sm_metrics = jax.grad(sm_loss, argnums=(0, 1), has_aux=True)(
        ac.critic_params, state.alpha.params
    )
    kappa = kappa_of(config, state.kappa)
    gradient = jax.tree.map(lambda td, sm: td + kappa * sm, td_gradient, sm_gradient)
    alpha_gradient = jax.tree.map(lambda sm: kappa * sm, alpha_gradient)
    ratio = kappa * optax.tree.norm(sm_gradient) / (optax.tree.norm(td_gradient) + 1e-8)
    sac_state = apply_critic_gradient(critic_optimizer(config), state.sac, gradient)
    return state.replace(
        sac=critic.move_targets(config, sac_state),
        alpha=update_alpha(config, state.alpha, alpha_gradient, sm_metrics["alpha"]),
        kappa=update_kappa(config, state.kappa, sm_metrics["relative_residual"], ratio),
    ), {**td_metrics, **sm_metrics, "gradient_ratio": ratio, "kappa": kappa}


def update(config: SMACConfig, score: Score[Any], state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one step of the critics on ``L_TD + kappa L_SM``, then SAC's policy step."""
    before = state.sac.actor_critic
    batch = before.normalize_batch(batch)
    target_key, penalty_key, policy_key = jax.random.split(key, 3)
    state, critic_metrics = critic_step(config, score, state, batch, target_key, penalty_key)
    critic_params = sac.critics_for_policy(config, before, state.sac.actor_critic)
    sac_state, policy_metrics = sac.policy_step(config, state.sac, batch, policy_key, critic_params)
    return state.replace(sac=sac_state), {**critic_metrics, **policy_metrics}


def phases(config: SMACConfig, score: Score[Any]) -> tuple[Phase[State], ...]:
    """Returns the phases of training: the score is trained first, if it has parameters; then everything else."""
    main = Phase("offline", partial(update, config, score), config.batch_size)
    if score.training is None:
        return (main,)
    training = score.training

    def update_score(state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        learned, metrics = training.update(state.score, state.sac.actor_critic.normalize_batch(batch), key)
        return state.replace(score=learned), metrics

    return Phase("score model", update_score, training.batch_size, training.num_updates), main


def diagnostics(config: SMACConfig, score: Score[Any], state: State, batch: Transition, key: Key) -> Metrics:
    """Measures how well ``grad_a Q = alpha * score`` holds (:func:`smac_jax.scores.diagnostics.identity_metrics`)."""
    ac = state.sac.actor_critic
    batch = ac.normalize_batch(batch)
    policy = ac.actor.apply(ac.actor_params, batch.observation)
    temperature = temperature_of(config, state.sac.temperature_parameter)
    alpha = alpha_of(config, state.alpha.params, batch.observation, temperature)
    return identity_metrics(score, state.score, ac.critic.apply, ac.critic_params, policy, alpha, batch, key)


def restart(config: SMACConfig, state: State) -> State:
    """Returns a state with the same networks, score and alpha, and with new optimizers, temperature and kappa."""
    return State(
        sac=sac.new_state(config, state.sac.actor_critic, config.initial_temperature),
        score=state.score,
        alpha=state.alpha.replace(optimizer=alpha_optimizer(config).init(state.alpha.params)),
        kappa=init_kappa(config),
    )


def with_optimizers(fresh: State, carried: State) -> State:
    """Returns a restarted state with the offline optimizer states of critics, policy and alpha."""
    alpha = fresh.alpha.replace(optimizer=carried.alpha.optimizer)
    return fresh.replace(sac=keep_optimizers()(fresh.sac, carried.sac), alpha=alpha)


def smac(config: SMACConfig) -> OfflineAlgorithm[State]:
    """Builds SMAC from its config.

    Raises:
      ConfigError: fields contradict each other.
    """
    check(config)
    score = make_score(config.score, config)
    return OfflineAlgorithm(
        name="smac",
        config=config,
        init=partial(init, config, score),
        phases=phases(config, score),
        actor_critic=actor_critic,
        diagnostics=partial(diagnostics, config, score),
        training_state=partial(training_state, config),
        continue_online=continuation(
            State,
            lambda online: partial(update, online, score),
            restart,
            with_optimizers=with_optimizers,
            adapt=lambda offline, online, state: state.replace(kappa=continue_kappa(offline, online, state.kappa)),
            check=check,
            act=lambda state, observation, key: draw_action(state.sac, observation, key),
            actor_critic=actor_critic,
        ),
    )
