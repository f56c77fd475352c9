"""SMAC: SAC on a data set, plus one term that matches the critic's action-gradient to a score.

    L_critic = L_TD + kappa * L_SM ,   L_SM = mean sum_i || grad_a Q_i(s, a) - alpha * score(a | s) ||^2

Source: SMAC (arXiv 2602.17632 v1), sections 3 and 4, tables 6-8. Two targets, one field apart:

* ``score="dataset"`` (default, the paper): ``alpha_psi(s)`` times the score of the data's actions, from a
  return-conditioned diffusion model that is trained first and then frozen; at actions half from the policy and half
  uniform over the box.
* ``score="policy"`` (the project's summary): the temperature times the score of the policy itself, at policy or data
  actions; or the score alone, ``alpha_parameterization="fixed", alpha_value=1``. Other alphas are refused, and so is a
  policy that is not squashed by tanh, whose score has another formula.

Deviations from the published text, each one a config field:

* ``score_sign``: the paper prints the penalty with ``+eps``. The trained network estimates minus the score, so ``+eps``
  pushes Q up *away* from the data. Default: the true score. Either is read where a noised action of that level would
  lie, at ``sqrt(abar) a`` (:func:`smac_jax.scores.data_score`).
* ``alpha_parameterization``: left free, ``alpha_psi`` collapses to zero, where a flat Q satisfies the penalty for
  nothing. Default: ``alpha_floor + softplus(.)``, which holds the scale from below and lets states ask for more.
* ``temperature_learning_rate``: the identity says that alpha *is* the temperature: the policy that is soft-optimal at
  temperature alpha for a critic with ``grad_a Q = alpha * score`` is the data's. A temperature tuned to a target
  entropy falls far below alpha, and the policy then sits where the identity was not learned. Default: held at
  ``initial_temperature``, which is alpha's floor.
* ``kappa_adaptation``: the weight as a dual variable, which the authors name as open. ``"residual"`` holds the
  penalty at ``kappa_target`` times what it would be for a flat Q; ``"gradient_ratio"`` holds its gradient at
  ``kappa_target`` times the temporal-difference gradient. Or as a schedule: ``"decay"`` halves it every
  ``kappa_half_life`` updates, so that the critics are released before the hand-over and not at it. Default: fixed, as
  published.
* ``penalty_fraction``: the penalty doubles an update's arithmetic (``benchmarks/README.md``); on fewer of the batch's
  rows its mean is the same. Default: all, as published.
* ``policy_score_damped``: both sides of the policy form times ``1 - a^2``, without which it diverges at the box's edge.

SMAC may use Muon (``optimizer="muon"``), which the paper found to help it; the default is Adam until measured
otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Bool, Float

from smac_jax.algorithms import sac
from smac_jax.algorithms.base import (
    NetworkConfig,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    actor_critic_for,
    polyak_average,
)
from smac_jax.algorithms.critic import critic_loss, step
from smac_jax.config import choice, number, sizes, switch
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.networks import MLP, NoisePredictor
from smac_jax.optim import make_optimizer
from smac_jax.scores import (
    action_gradient,
    damped_policy_score,
    data_score,
    noise_level,
    noise_prediction_loss,
    policy_score,
    score_matching_penalty,
)
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition

KAPPA_RANGE = (1e-3, 1e3)
"""Where an adapting kappa stays."""


@dataclasses.dataclass(frozen=True)
class ScoreModelConfig:
    """The diffusion model of the data's actions (SMAC tables 6-8; the widths here are for a laptop)."""

    num_updates: int = number(5_000, 0)
    batch_size: int = number(256, 1)
    learning_rate: float = number(1e-3, 0.0, 1.0)
    diffusion_steps: int = number(32, 2, 1000)
    hidden: int = number(64, 1)
    num_blocks: int = number(2, 1)
    embedding: int = number(32, 2, doc="width of the observation, time and condition embeddings")
    condition_hidden: tuple[int, ...] = sizes(64, 64)
    condition_on_return: bool = switch(True)
    cosine_decay: bool = switch(False, doc="the learning rate falls to zero along a cosine (IDQL)")
    average_rate: float = number(
        0.0, 0.0, 1.0, doc="above 0: scores are read from a running average of the weights, at this rate (IDQL: 0.001)"
    )


@dataclasses.dataclass(frozen=True)
class SMACConfig(sac.SoftConfig, sac.UpdateConfig, PretrainingConfig):
    """SAC's hyper-parameters, and those of the score-matching penalty."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, critic_activation="tanh", num_critics=10)
    )
    temperature_learning_rate: float = number(0.0, 0.0, 1.0, doc="0 holds the temperature; see the module's docstring")
    kappa: float = number(5.0, 0.0, doc="weight of the penalty, at the start if it adapts; the paper has 40 and 50")
    kappa_adaptation: str = choice("fixed", "residual", "gradient_ratio", "decay")
    kappa_target: float = number(
        0.3, 1e-6, doc="of 'residual': L_SM over its value for a flat Q; of 'gradient_ratio': penalty's over TD's"
    )
    kappa_learning_rate: float = number(1e-3, 0.0, 1.0)
    kappa_half_life: float = number(10_000.0, 1.0, doc="of 'decay': updates in which kappa halves, down to 0.001")
    penalty_reduction: str = choice("sum", "mean", doc="of the penalty over the critics")
    score: str = choice("dataset", "policy")
    penalty_form: str = choice("forward_over_reverse", "reverse_over_reverse")
    uniform_fraction: float = number(
        0.5, 0.0, 1.0, doc="dataset score: share of uniform actions, the rest is the policy's"
    )
    penalty_fraction: float = number(
        1.0, 1e-6, 1.0, doc="share of a batch's rows that the penalty is measured on; fewer are faster, and noisier"
    )
    score_model: ScoreModelConfig = dataclasses.field(default_factory=ScoreModelConfig)
    score_level: int = number(0, 0, doc="noise level the data's score is read at; 0 is the least noised")
    score_sign: str = choice("true", "literal", doc="'literal' is the paper's printed +eps")
    alpha_parameterization: str = choice(
        "auto",
        "softplus",
        "free",
        "fixed",
        "temperature",
        doc="'auto' becomes 'softplus' with the data's score, and 'temperature' with the policy's",
    )
    alpha_floor: float = number(0.1, 0.0, doc="smallest alpha_psi of 'softplus'")
    alpha_value: float = number(0.1, 0.0, doc="alpha of 'fixed'")
    alpha_hidden: tuple[int, ...] = sizes(256, 256)
    alpha_learning_rate: float = number(1e-4, 0.0, 1.0)
    policy_score_actions: str = choice("policy", "dataset")
    policy_score_damped: bool = switch(True)
    policy_score_limit: float = number(0.99999, 0.0, 0.999999, doc="actions are clipped to this magnitude")
    policy_score_min_std: float = number(0.1, 0.0, doc="sigma is taken to be at least this in the score")

    def __post_init__(self) -> None:
        # here and not where it is used, so that whatever is written down of a configuration is what runs
        if self.alpha_parameterization == "auto":
            alpha = "temperature" if self.score == "policy" else "softplus"
            object.__setattr__(self, "alpha_parameterization", alpha)


class State(struct.PyTreeNode):
    """SAC's state, the scale ``alpha_psi``, the score model (and its average), and the weight of the penalty.

    ``alpha_known`` says whether alpha was measured yet; ``log_kappa`` is 0 where kappa is fixed.
    """

    sac: sac.State
    scale_params: Params
    scale_optimizer: optax.OptState
    score_params: Params
    score_average: Params | None
    score_optimizer: optax.OptState
    alpha_known: Bool[Array, ""]
    log_kappa: Float[Array, ""]
    kappa_optimizer: optax.OptState

    __repr__ = brief


def scale_network(config: SMACConfig) -> MLP:
    """The network under ``alpha_psi(s)``."""
    return MLP(config.alpha_hidden, "relu", output=1)


def score_network(config: SMACConfig, action_size: int) -> NoisePredictor:
    """``eps_omega``."""
    model = config.score_model
    return NoisePredictor(
        action_size=action_size,
        hidden=model.hidden,
        num_blocks=model.num_blocks,
        observation_embedding=model.embedding,
        time_embedding=model.embedding,
        condition_embedding=model.embedding,
        condition_hidden=model.condition_hidden,
    )


def init(config: SMACConfig, key: Key, dataset: Dataset) -> State:
    """Fresh networks that see the data set's normalized observations."""
    network_key, scale_key, score_key, sac_key = jax.random.split(key, 4)
    ac = actor_critic_for(config, network_key, dataset).replace(temperature=jnp.zeros((), jnp.float32))
    action_size = ac.actor.action_size
    observation, action = jnp.zeros_like(ac.observation_mean), jnp.zeros(action_size, jnp.float32)
    zero = jnp.zeros((), jnp.float32)
    scale_params = scale_network(config).init(scale_key, observation)
    score_params = score_network(config, action_size).init(score_key, observation, action, zero, zero)
    log_kappa = jnp.asarray(0.0 if config.kappa_adaptation == "fixed" else math.log(config.kappa), jnp.float32)
    return State(
        sac=sac.init(config, sac_key, ac),
        scale_params=scale_params,
        scale_optimizer=make_optimizer("adam", config.alpha_learning_rate).init(scale_params),
        score_params=score_params,
        score_average=jax.tree.map(jnp.copy, score_params) if config.score_model.average_rate else None,
        score_optimizer=score_model_optimizer(config.score_model).init(score_params),
        alpha_known=jnp.zeros((), bool),
        log_kappa=log_kappa,
        kappa_optimizer=make_optimizer("adam", config.kappa_learning_rate).init(log_kappa),
    )


def scale(
    config: SMACConfig, scale_params: Params, state: State, observation: Float[Array, "batch observation"]
) -> Float[Array, "batch"]:
    """``alpha_psi(s)``: how steep the matched hill is."""
    if config.alpha_parameterization == "fixed":
        return jnp.full(observation.shape[:-1], config.alpha_value, jnp.float32)
    if config.alpha_parameterization == "temperature":
        return jnp.full(observation.shape[:-1], sac.temperature_of(config, state.sac.temperature_parameter))
    raw = scale_network(config).apply(scale_params, observation)[..., 0]
    return config.alpha_floor + jax.nn.softplus(raw) if config.alpha_parameterization == "softplus" else raw


def score_of_data(
    config: SMACConfig,
    state: State,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
) -> Float[Array, "batch action"]:
    """The data's score at the best return, or with the paper's printed sign: raw ``+eps``."""
    score = data_score(
        score_network(config, action.shape[-1]).apply,
        state.score_params if state.score_average is None else state.score_average,
        observation,
        action,
        jnp.ones(action.shape[:-1], jnp.float32),
        config.score_model.diffusion_steps,
        config.score_level,
    )
    if config.score_sign == "literal":
        return -score * noise_level(config.score_model.diffusion_steps, config.score_level)
    return score


def penalty_actions(config: SMACConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch action"]:
    """Where the gradient is matched: see ``score`` in the module's docstring."""
    ac = state.sac.actor_critic
    if config.score == "policy" and config.policy_score_actions == "dataset":
        return batch.action
    policy_key, uniform_key = jax.random.split(key)
    action = ac.actor.apply(ac.actor_params, batch.observation).sample(policy_key)
    if config.score == "dataset":
        # rows of a batch are independent, so a fixed share of its rows is a fair draw
        num_uniform = round(config.uniform_fraction * action.shape[0])
        uniform = jax.random.uniform(uniform_key, (num_uniform, action.shape[1]), jnp.float32, -1.0, 1.0)
        action = action.at[:num_uniform].set(uniform)
    return jax.lax.stop_gradient(action)


def score_and_weight(
    config: SMACConfig,
    state: State,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
    """The score that ``grad_a Q / alpha`` should equal, times a weight, and that weight."""
    if config.score == "dataset":
        return score_of_data(config, state, observation, action), jnp.ones_like(action)
    ac = state.sac.actor_critic
    policy = ac.actor.apply(ac.actor_params, observation)
    policy = policy._replace(log_std=jnp.maximum(policy.log_std, jnp.log(config.policy_score_min_std)))
    if config.policy_score_damped:
        return damped_policy_score(policy, action, config.policy_score_limit)
    return policy_score(policy, action, config.policy_score_limit), jnp.ones_like(action)


def score_matching_loss(
    config: SMACConfig, state: State, critic_params: Params, scale_params: Params, batch: Transition, key: Key
) -> tuple[Float[Array, ""], Metrics]:
    """``L_SM``."""
    ac = state.sac.actor_critic
    # rows of a batch are independent, so its first ones are a fair draw
    rows = max(1, round(config.penalty_fraction * batch.reward.shape[0]))
    batch = jax.tree.map(lambda x: x[:rows], batch)
    action = penalty_actions(config, state, batch, key)
    score, weight = jax.lax.stop_gradient(score_and_weight(config, state, batch.observation, action))
    alpha = scale(config, scale_params, state, batch.observation)
    target = alpha[:, None] * score
    loss, _ = score_matching_penalty(
        ac.critic.apply, critic_params, batch.observation, action, target, weight, config.penalty_form
    )
    of_one_member = loss / config.network.num_critics
    of_flat_q = jnp.mean(jnp.sum(target**2, axis=-1))
    return of_one_member if config.penalty_reduction == "mean" else loss, {
        "score_matching_loss": of_one_member,
        "relative_residual": of_one_member / (of_flat_q + 1e-8),
        "alpha": alpha.mean(),
    }


def update(config: SMACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step for the critics and ``alpha_psi`` on ``L_TD + kappa L_SM``, then SAC's policy step."""
    ac = state.sac.actor_critic
    batch = ac.normalize_batch(batch)
    target_key, penalty_key, policy_key = jax.random.split(key, 3)
    target = sac.temporal_difference_target(config, state.sac, batch, target_key)
    temporal_difference = partial(critic_loss, ac, batch=batch, target=target, reduction=config.td_reduction)
    td_gradient, td_metrics = jax.grad(temporal_difference, has_aux=True)(ac.critic_params)
    penalty = partial(score_matching_loss, config, state, batch=batch, key=penalty_key)
    (penalty_gradient, scale_gradient), penalty_metrics = jax.grad(penalty, argnums=(0, 1), has_aux=True)(
        ac.critic_params, state.scale_params
    )
    kappa = kappa_of(config, state)
    gradient = jax.tree.map(lambda td, sm: td + kappa * sm, td_gradient, penalty_gradient)
    metrics = {
        **td_metrics,
        **penalty_metrics,
        "gradient_ratio": kappa * optax.tree.norm(penalty_gradient) / (optax.tree.norm(td_gradient) + 1e-8),
        "kappa": kappa,
    }
    scale_params, scale_optimizer = step(
        make_optimizer("adam", config.alpha_learning_rate),
        jax.tree.map(lambda g: kappa * g, scale_gradient),
        state.scale_optimizer,
        state.scale_params,
    )
    new_sac, policy_metrics = sac.policy_step(
        config,
        sac.apply_critic_gradient(config, state.sac, gradient),
        batch,
        policy_key,
        sac.policy_critics(config, ac),
    )
    state = state.replace(sac=new_sac, scale_params=scale_params, scale_optimizer=scale_optimizer)
    state = remember_alpha(state, metrics["alpha"])
    return adapt_kappa(config, state, metrics), {**metrics, **policy_metrics}


def remember_alpha(state: State, alpha: Float[Array, ""]) -> State:
    """Keeps a running mean of alpha beside the actor-critic: a temperature that an online algorithm may start from."""
    ac = state.sac.actor_critic
    assert ac.temperature is not None, "init() makes room for it"
    average = jnp.where(state.alpha_known, 0.99 * ac.temperature + 0.01 * alpha, alpha)
    sac_state = state.sac.replace(actor_critic=ac.replace(temperature=average))
    return state.replace(sac=sac_state, alpha_known=jnp.ones_like(state.alpha_known))


def kappa_of(config: SMACConfig, state: State) -> Float[Array, ""]:
    """The weight of the penalty. A fixed one may be zero, which has no logarithm."""
    return jnp.asarray(config.kappa, jnp.float32) if config.kappa_adaptation == "fixed" else jnp.exp(state.log_kappa)


def adapt_kappa(config: SMACConfig, state: State, metrics: Metrics) -> State:
    """Moves kappa to where ``kappa_target`` is met, a dual variable, as SAC's temperature is for entropy; or halves."""
    if config.kappa_adaptation == "fixed":
        return state
    log_kappa, kappa_optimizer = state.log_kappa, state.kappa_optimizer
    if config.kappa_adaptation == "decay":
        log_kappa = log_kappa - jnp.log(2.0) / config.kappa_half_life
    else:
        # in logarithms: a ratio of gradients has a heavy tail
        if config.kappa_adaptation == "residual":
            excess = jnp.log(metrics["relative_residual"] + 1e-8) - jnp.log(config.kappa_target)
        else:
            excess = jnp.log(config.kappa_target) - jnp.log(metrics["gradient_ratio"] + 1e-8)
        optimizer = make_optimizer("adam", config.kappa_learning_rate)
        log_kappa, kappa_optimizer = step(optimizer, -excess, kappa_optimizer, log_kappa)
    low, high = jnp.log(KAPPA_RANGE[0]), jnp.log(KAPPA_RANGE[1])
    return state.replace(log_kappa=jnp.clip(log_kappa, low, high), kappa_optimizer=kappa_optimizer)


def score_model_optimizer(model: ScoreModelConfig) -> optax.GradientTransformation:
    """The score model's optimizer."""
    return make_optimizer("adam", model.learning_rate, model.num_updates if model.cosine_decay else 0)


def score_model_update(config: SMACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step of the score model, which is trained first and then frozen."""
    batch = state.sac.actor_critic.normalize_batch(batch)
    if not config.score_model.condition_on_return:
        batch = batch._replace(condition=jnp.ones_like(batch.condition))
    predict = score_network(config, batch.action.shape[-1]).apply

    def loss(params: Params) -> Float[Array, ""]:
        return noise_prediction_loss(predict, params, batch, config.score_model.diffusion_steps, key)

    value, gradient = jax.value_and_grad(loss)(state.score_params)
    optimizer = score_model_optimizer(config.score_model)
    updates, score_optimizer = optimizer.update(gradient, state.score_optimizer, state.score_params)
    score_params = optax.apply_updates(state.score_params, updates)
    state = state.replace(score_params=score_params, score_optimizer=score_optimizer)
    if state.score_average is not None:
        average = polyak_average(score_params, state.score_average, config.score_model.average_rate)
        state = state.replace(score_average=average)
    return state, {"score_model_loss": value}


def diagnostics(config: SMACConfig, state: State, batch: Transition, key: Key) -> Metrics:
    """Does ``grad_a Q = alpha * score`` hold? At the data's, the policy's and uniform actions.

    For each: the size of ``grad_a Q``, its cosine with the score, and the residual of the (weighted) identity; and the
    mean, the spread and the share of negative values of alpha.
    """
    ac = state.sac.actor_critic
    batch = ac.normalize_batch(batch)
    policy_key, uniform_key = jax.random.split(key)
    at_policy = ac.actor.apply(ac.actor_params, batch.observation).sample(policy_key)
    uniform = jax.random.uniform(uniform_key, batch.action.shape, jnp.float32, -1.0, 1.0)
    alpha = scale(config, state.scale_params, state, batch.observation)
    metrics = {"alpha_mean": alpha.mean(), "alpha_std": alpha.std(), "alpha_negative": (alpha < 0).mean()}
    for name, action in {"data": batch.action, "policy": at_policy, "uniform": uniform}.items():
        score, weight = score_and_weight(config, state, batch.observation, action)
        gradient = jax.vmap(action_gradient, in_axes=(None, 0, None, None))(
            ac.critic.apply, ac.critic_params, batch.observation, action
        )
        size = jnp.linalg.norm(gradient, axis=-1)
        residual = weight * gradient - alpha[:, None] * score
        alignment = jnp.sum(weight * gradient * score, axis=-1) / (
            jnp.linalg.norm(weight * gradient, axis=-1) * jnp.linalg.norm(score, axis=-1) + 1e-8
        )
        metrics |= {
            f"action_gradient_{name}": size.mean(),
            f"cosine_{name}": alignment.mean(),
            f"residual_{name}": jnp.linalg.norm(residual, axis=-1).mean(),
        }
    return metrics


def smac(config: SMACConfig) -> OfflineAlgorithm:
    """Builds SMAC from its config.

    Raises:
      ConfigError: fields that do not go together.
    """
    if config.score == "policy" and config.alpha_parameterization not in ("temperature", "fixed"):
        raise ConfigError(
            f"SMACConfig.alpha_parameterization = {config.alpha_parameterization!r}: with score = 'policy' it must be "
            "'temperature' (or 'auto', which becomes that) or 'fixed'."
        )
    if config.score == "policy" and config.network.policy != "tanh_gaussian":
        raise ConfigError(
            f"SMACConfig.network.policy = {config.network.policy!r}: score = 'policy' is the score of a policy that is "
            "squashed by tanh. Take network.policy = 'tanh_gaussian', or score = 'dataset'."
        )
    if config.kappa_adaptation != "fixed" and not KAPPA_RANGE[0] <= config.kappa <= KAPPA_RANGE[1]:
        raise ConfigError(f"SMACConfig.kappa = {config.kappa}: to adapt, it must start in {list(KAPPA_RANGE)}.")
    if config.score_level >= config.score_model.diffusion_steps:
        raise ConfigError(
            f"SMACConfig.score_level = {config.score_level}: must be below score_model.diffusion_steps = "
            f"{config.score_model.diffusion_steps}."
        )
    model = config.score_model
    main = Phase("offline", partial(update, config), config.batch_size)
    learn_score = Phase("score model", partial(score_model_update, config), model.batch_size, model.num_updates)
    return OfflineAlgorithm(
        name="smac",
        config=config,
        init=partial(init, config),
        phases=(learn_score, main) if config.score == "dataset" else (main,),
        actor_critic=lambda state: state.sac.actor_critic,
        diagnostics=partial(diagnostics, config),
        training_state=lambda state: sac.training_state(config, state.sac),
    )
