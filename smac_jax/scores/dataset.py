"""The score of the data's actions, from a diffusion model that is conditioned on the return of the trajectory.

The model is trained first and then frozen; it is asked for the best return, ``w = 1`` (reinforcement via supervision).
Its score is matched at actions half from the policy and half uniform over the action box.

Source: SMAC (arXiv 2602.17632 v1), sections 3 and 4, tables 6-8. The network and its training follow IDQL
(Hansen-Estruch et al. 2023, arXiv 2304.10573). Deviations, each one an option:

* ``score_sign``: the paper prints the penalty with ``+eps``. The trained network estimates minus the score, so ``+eps``
  pushes Q up *away* from the data. Default: the true score. Either is read where a noised action of that level would
  lie, at ``sqrt(abar) a`` (:func:`smac_jax.scores.diffusion.data_score`).
* ``score_level``: the paper reads the score at "k = 1". IDQL's code counts the levels from 0, where that would be the
  second one.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.config import choice, number, sizes, switch
from smac_jax.errors import ConfigError
from smac_jax.networks import NoisePredictor, Policy
from smac_jax.optim import make_optimizer
from smac_jax.scores.base import ScoreTraining, WeightedScore
from smac_jax.scores.diffusion import data_score, noise_level, noise_prediction_loss
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class ScoreModelConfig:
    """The diffusion model of the data's actions (SMAC, tables 6-8; the widths here are for a laptop)."""

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
class DatasetScoreConfig:
    """The options of the data's score."""

    OF_STATE: ClassVar[tuple[str, ...]] = ("score_model", "score_level", "score_sign")

    uniform_fraction: float = number(
        0.5, 0.0, 1.0, doc="share of uniform actions, the rest is the policy's: where the data's score is matched"
    )
    score_model: ScoreModelConfig = dataclasses.field(default_factory=ScoreModelConfig)
    score_level: int = number(0, 0, doc="noise level the data's score is read at; 0 is the least noised")
    score_sign: str = choice("true", "literal", doc="'literal' is the paper's printed +eps")


class State(struct.PyTreeNode):
    """The diffusion model in training.

    Attributes:
      params: the parameters of the noise predictor.
      average: their running average; None where scores are read from ``params``.
      optimizer: the state of its optimizer.
    """

    params: Params
    average: Params | None
    optimizer: optax.OptState

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class DatasetScore:
    """The score of the data's actions. The functions are those of :class:`smac_jax.scores.base.Score`.

    Raises:
      ConfigError: a noise level that the diffusion does not have.
    """

    config: DatasetScoreConfig

    def __post_init__(self) -> None:
        steps = self.config.score_model.diffusion_steps
        if self.config.score_level >= steps:
            raise ConfigError(
                f"{type(self.config).__name__}.score_level = {self.config.score_level}: must be below "
                f"score_model.diffusion_steps = {steps}."
            )

    def network(self, action_size: int) -> NoisePredictor:
        """``eps_omega``."""
        model = self.config.score_model
        return NoisePredictor(
            action_size=action_size,
            hidden=model.hidden,
            num_blocks=model.num_blocks,
            observation_embedding=model.embedding,
            time_embedding=model.embedding,
            condition_embedding=model.embedding,
            condition_hidden=model.condition_hidden,
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Adam, whose learning rate may decay."""
        model = self.config.score_model
        return make_optimizer("adam", model.learning_rate, model.num_updates if model.cosine_decay else 0)

    def init(self, key: Key, observation_size: int, action_size: int) -> State:
        """A fresh noise predictor."""
        observation, action = jnp.zeros(observation_size, jnp.float32), jnp.zeros(action_size, jnp.float32)
        scalar = jnp.zeros((), jnp.float32)
        params = self.network(action_size).init(key, observation, action, scalar, scalar)
        average = jax.tree.map(jnp.copy, params) if self.config.score_model.average_rate else None
        return State(params, average, self.optimizer().init(params))

    @property
    def training(self) -> ScoreTraining[State]:
        """The model is trained on noise prediction, and frozen when the critics are trained."""
        return ScoreTraining(self.update, self.config.score_model.batch_size, self.config.score_model.num_updates)

    def update(self, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        """One step on :func:`~smac_jax.scores.diffusion.noise_prediction_loss`, and one of the running average."""
        model = self.config.score_model
        if not model.condition_on_return:
            batch = batch._replace(condition=jnp.ones_like(batch.condition))
        predict = self.network(batch.action.shape[-1]).apply

        def loss(params: Params) -> Float[Array, ""]:
            return noise_prediction_loss(predict, params, batch, model.diffusion_steps, key)

        value, gradient = jax.value_and_grad(loss)(state.params)
        updates, optimizer = self.optimizer().update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            average = optax.incremental_update(params, average, model.average_rate)
        return State(params, average, optimizer), {"score_model_loss": value}

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Float[Array, "batch action"]:
        """``uniform_fraction`` of the actions uniform over the box, the rest drawn from the policy."""
        policy_key, uniform_key = jax.random.split(key)
        action = policy.sample(policy_key)
        # rows of a batch are independent, so a fixed share of its rows is a fair draw
        num_uniform = round(self.config.uniform_fraction * action.shape[0])
        uniform = jax.random.uniform(uniform_key, (num_uniform, action.shape[1]), jnp.float32, -1.0, 1.0)
        return action.at[:num_uniform].set(uniform)

    def evaluate(
        self,
        state: State,
        policy: Policy,
        observation: Float[Array, "batch observation"],
        action: Float[Array, "batch action"],
    ) -> WeightedScore:
        """The data's score at the best return; with the paper's printed sign, raw ``+eps``."""
        del policy
        steps, level = self.config.score_model.diffusion_steps, self.config.score_level
        score = data_score(
            self.network(action.shape[-1]).apply,
            state.params if state.average is None else state.average,
            observation,
            action,
            jnp.ones(action.shape[:-1], jnp.float32),
            steps,
            level,
        )
        if self.config.score_sign == "literal":
            score = -score * noise_level(steps, level)
        return WeightedScore(score, jnp.ones_like(action))
