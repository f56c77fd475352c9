"""The score of the data's actions, from a diffusion model that is conditioned on the return of the trajectory.

The model is trained first and then frozen. Its score is read for the best return, ``w = 1`` (reinforcement learning via
supervised learning). Half of the actions at which the score is matched are from the policy, and half are uniform over
the action box.

Source: SMAC (arXiv 2602.17632 v1), sections 3 and 4, tables 6-8. The network and its training follow IDQL
(Hansen-Estruch et al. 2023, arXiv 2304.10573). Two options change what the paper leaves unclear:

* ``score_sign``: the paper prints the penalty with ``+eps``. But the score is ``-eps`` times a positive factor, so
  ``+eps`` increases Q *away* from the data. The default is the true score. With both signs, the network is evaluated at
  ``sqrt(abar) a``, the mean of the noised actions of that level (:func:`smac_jax.scores.diffusion.data_score`).
* ``score_level``: the paper reads the score at "k = 1", the least noise. IDQL's code counts the levels from 0, so that
  level 1 is the second one.
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
    """The diffusion model of the data's actions (SMAC, tables 6-8). The default widths are smaller than the paper's."""

    num_updates: int = number(5_000, 0)
    batch_size: int = number(256, 1)
    learning_rate: float = number(1e-3, 0.0, 1.0)
    diffusion_steps: int = number(32, 2, 1000)
    hidden: int = number(64, 1)
    num_blocks: int = number(2, 1)
    embedding: int = number(32, 2, doc="the width of the embeddings of observation, time and condition")
    condition_hidden: tuple[int, ...] = sizes(64, 64)
    condition_on_return: bool = switch(True)
    cosine_decay: bool = switch(False, doc="whether the learning rate decays to zero along a cosine (IDQL)")
    average_rate: float = number(
        0.0,
        0.0,
        1.0,
        doc="the rate of a running average of the weights, from which scores are read (IDQL: 0.001); 0 for none",
    )


@dataclasses.dataclass(frozen=True)
class DatasetScoreConfig:
    """The options of the data's score.

    ``OF_STATE`` names the fields on which the state of the score depends.
    """

    OF_STATE: ClassVar[tuple[str, ...]] = ("score_model", "score_level", "score_sign")

    uniform_fraction: float = number(
        0.5, 0.0, 1.0, doc="the share of uniform actions among those at which the score is matched; the policy's else"
    )
    score_model: ScoreModelConfig = dataclasses.field(default_factory=ScoreModelConfig)
    score_level: int = number(0, 0, doc="the noise level at which the data's score is read; 0 has the least noise")
    score_sign: str = choice("true", "literal", doc="'literal' is +eps, as the paper prints it")


class State(struct.PyTreeNode):
    """The diffusion model in training.

    Attributes:
      params: the parameters of the noise predictor.
      average: the running average of the parameters; None if scores are read from ``params``.
      optimizer: the state of the optimizer.
    """

    params: Params
    average: Params | None
    optimizer: optax.OptState

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class DatasetScore:
    """The score of the data's actions. The functions are those of :class:`smac_jax.scores.base.Score`.

    Raises:
      ConfigError: the diffusion does not have the noise level ``score_level``.
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
        """Returns the noise predictor ``eps_omega``."""
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
        """Returns Adam, whose learning rate decays if ``cosine_decay`` is set."""
        model = self.config.score_model
        return make_optimizer("adam", model.learning_rate, model.num_updates if model.cosine_decay else 0)

    def init(self, key: Key, observation_size: int, action_size: int) -> State:
        """Returns a randomly initialized noise predictor with its optimizer."""
        observation, action = jnp.zeros(observation_size, jnp.float32), jnp.zeros(action_size, jnp.float32)
        scalar = jnp.zeros((), jnp.float32)
        params = self.network(action_size).init(key, observation, action, scalar, scalar)
        average = jax.tree.map(jnp.copy, params) if self.config.score_model.average_rate else None
        return State(params, average, self.optimizer().init(params))

    @property
    def training(self) -> ScoreTraining[State]:
        """The training of the model on noise prediction. It is frozen while the critics are trained."""
        return ScoreTraining(self.update, self.config.score_model.batch_size, self.config.score_model.num_updates)

    def update(self, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        """Takes one gradient step on :func:`~smac_jax.scores.diffusion.noise_prediction_loss`.

        The running average is updated, too.
        """
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
        """Returns actions. The share ``uniform_fraction`` is uniform over the action box, the rest is the policy's."""
        policy_key, uniform_key = jax.random.split(key)
        action = policy.sample(policy_key)
        # The rows of a batch are independent, so its first rows are a random sample.
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
        """Returns the data's score for the best return; with ``score_sign="literal"``, the predicted noise ``+eps``."""
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
