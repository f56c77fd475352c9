"""SMAC: SAC on a data set, plus one term that matches the critic's action-gradient to a score.

    L_critic = L_TD + kappa * L_SM ,   L_SM = mean sum_i || grad_a Q_i(s, a) - alpha * score(a|s) ||^2
    L_pi     = mean (temperature * log pi(a|s) - Q(s, a)) ,   a ~ pi(s)

Source: SMAC (arXiv 2602.17632 v1), sections 3 and 4, tables 6-8. Two scores, one field apart:

* ``score="dataset"`` (default, the paper): ``alpha_psi(s)`` times the score of the data's actions, from a
  return-conditioned diffusion model that is trained first and then frozen (:mod:`smac_jax.scores.dataset`).
* ``score="policy"`` (the project's summary): the temperature times the score of the policy itself, at policy or data
  actions; or the score alone, ``alpha_parameterization="fixed", alpha_value=1``. Other alphas are refused, and so is a
  policy that is not squashed by tanh, whose score has another formula (:mod:`smac_jax.scores.policy`).

Deviations from the published text, each one a config field: those of the score (:mod:`smac_jax.scores.dataset`), of
alpha (:mod:`smac_jax.algorithms.alpha`) and of kappa (:mod:`smac_jax.algorithms.kappa`), and

* ``temperature_learning_rate``: the identity says that alpha *is* the temperature: the policy that is soft-optimal at
  temperature alpha for a critic with ``grad_a Q = alpha * score`` is the data's. A temperature tuned to a target
  entropy falls far below alpha, and the policy then sits where the identity was not learned. Default: held at
  ``initial_temperature``, which is alpha's floor.
* ``penalty_fraction``: the penalty doubles an update's arithmetic (``benchmarks/README.md``); on fewer of the batch's
  rows its mean is the same. Default: all, as published.
* ``penalty_reduction``: the paper does not say whether kappa weighs the sum or the mean over the critics.
* ``optimizer``: Muon helps SMAC, the paper found. The default is Adam until measured otherwise.

Online SMAC can continue with its penalty, which the paper leaves open: at full weight, or released after the transfer
(:mod:`smac_jax.algorithms.kappa`). The score model stays as it was trained.
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
    """SAC's hyper-parameters, and those of the score-matching penalty."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, critic_activation="tanh", num_critics=10)
    )
    temperature_learning_rate: float = number(0.0, 0.0, 1.0, doc="0 holds the temperature; see the module's docstring")
    OF_STATE: ClassVar[tuple[str, ...]] = ("score",)
    score: str = choice_from(SCORES, "dataset", doc="whose score the critic's action-gradient is matched to")
    penalty_reduction: str = choice("sum", "mean", doc="of the penalty over the critics")
    penalty_fraction: float = number(
        1.0, 1e-6, 1.0, doc="share of a batch's rows that the penalty is measured on; fewer are faster, and noisier"
    )

    def __post_init__(self) -> None:
        # here and not where it is used, so that whatever is recorded of a configuration is what runs
        if self.alpha_parameterization == "auto":
            decided = "temperature" if self.score == "policy" else "softplus"
            object.__setattr__(self, "alpha_parameterization", decided)


def check(config: SMACConfig) -> None:
    """Checks the fields that depend on each other.

    Raises:
      ConfigError: they do not go together.
    """
    check_kappa(config)
    if config.score == "policy" and config.alpha_parameterization not in ("temperature", "fixed"):
        raise ConfigError(
            f"SMACConfig.alpha_parameterization = {config.alpha_parameterization!r}: with score = 'policy' it must be "
            "'temperature' (or 'auto', which becomes that) or 'fixed'."
        )
    if config.score == "policy" and config.network.distribution != "tanh_gaussian":
        raise ConfigError(
            f"SMACConfig.network.distribution = {config.network.distribution!r}: score = 'policy' is the score of a "
            "policy that is squashed by tanh. Take network.distribution = 'tanh_gaussian', or score = 'dataset'."
        )


class State(struct.PyTreeNode):
    """The state of SAC, and what the penalty is made of.

    Attributes:
      sac: networks, temperature and their optimizers.
      score: what the score has learned.
      alpha: the factor of the score.
      kappa: the weight of the penalty.
    """

    sac: sac.State
    score: Any
    alpha: AlphaState
    kappa: KappaState

    __repr__ = brief


def init(config: SMACConfig, score: Score[Any], key: Key, dataset: Dataset) -> State:
    """Fresh networks that see the observations of the data set, normalized."""
    # of the four, SAC's own draws nothing; with three, the others would be other keys and give other networks
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
    """The networks, with the running mean of alpha as the temperature that an online algorithm may start from."""
    return state.sac.actor_critic.replace(temperature=state.alpha.mean)


def training_state(config: SMACConfig, state: State) -> TrainingState:
    """What an online algorithm may continue from: that of SAC."""
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
    """``L_SM = mean sum_i || grad_a Q_i(s, a) - alpha_psi(s) * score(a|s) ||^2`` (section 3).

    Args:
      config: the share of the rows, and the reduction over the members.
      score: what is matched, and at which actions.
      state: everything that is not differentiated.
      critic_params: of the ensemble, leaves ``[member, ...]``; the loss is a function of these
      alpha_params: and of these, ``psi``.
      batch: normalized, ``[batch, ...]``.
      key: of the actions.

    Returns:
      The loss; as metrics the loss of one member, the same over its value for a flat Q, and the mean of alpha.
    """
    # rows of a batch are independent, so its first ones are a fair draw
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
    """One step of the critics and of ``alpha_psi`` on ``L_TD + kappa L_SM``; then the targets and kappa follow."""
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
    """One step of the critics on ``L_TD + kappa L_SM``, then SAC's policy step."""
    before = state.sac.actor_critic
    batch = before.normalize_batch(batch)
    target_key, penalty_key, policy_key = jax.random.split(key, 3)
    state, critic_metrics = critic_step(config, score, state, batch, target_key, penalty_key)
    critic_params = sac.ascended_critics(config, before, state.sac.actor_critic)
    sac_state, policy_metrics = sac.policy_step(config, state.sac, batch, policy_key, critic_params)
    return state.replace(sac=sac_state), {**critic_metrics, **policy_metrics}


def phases(config: SMACConfig, score: Score[Any]) -> tuple[Phase[State], ...]:
    """First the score is trained, where it has something to learn, and then frozen; then everything else."""
    main = Phase("offline", partial(update, config, score), config.batch_size)
    if score.training is None:
        return (main,)
    training = score.training

    def update_score(state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        learned, metrics = training.update(state.score, state.sac.actor_critic.normalize_batch(batch), key)
        return state.replace(score=learned), metrics

    return Phase("score model", update_score, training.batch_size, training.num_updates), main


def diagnostics(config: SMACConfig, score: Score[Any], state: State, batch: Transition, key: Key) -> Metrics:
    """Does ``grad_a Q = alpha * score`` hold? See :func:`smac_jax.scores.diagnostics.identity_metrics`."""
    ac = state.sac.actor_critic
    batch = ac.normalize_batch(batch)
    policy = ac.actor.apply(ac.actor_params, batch.observation)
    temperature = temperature_of(config, state.sac.temperature_parameter)
    alpha = alpha_of(config, state.alpha.params, batch.observation, temperature)
    return identity_metrics(score, state.score, ac.critic.apply, ac.critic_params, policy, alpha, batch, key)


def smac(config: SMACConfig) -> OfflineAlgorithm[State]:
    """Builds SMAC from its config.

    Raises:
      ConfigError: fields that do not go together.
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


def restart(config: SMACConfig, state: State) -> State:
    """The same networks, score and alpha; fresh optimizers, temperature and kappa."""
    return State(
        sac=sac.new_state(config, state.sac.actor_critic, config.initial_temperature),
        score=state.score,
        alpha=state.alpha.replace(optimizer=alpha_optimizer(config).init(state.alpha.params)),
        kappa=init_kappa(config),
    )


def with_optimizers(fresh: State, carried: State) -> State:
    """A restarted state with the optimizers of the critics, of the policy and of alpha."""
    alpha = fresh.alpha.replace(optimizer=carried.alpha.optimizer)
    return fresh.replace(sac=keep_optimizers()(fresh.sac, carried.sac), alpha=alpha)
