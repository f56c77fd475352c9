"""The contract of a score: the target of the critics' action-gradients, and the actions at which they are matched.

SMAC's identity is ``grad_a Q(s, a) = alpha * grad_a log p(a|s)`` (arXiv 2602.17632, section 3). The gradient of a
log-density with respect to its argument is called the *score* of the density. A :class:`Score` is a frozen object that
contains only options. The parameters that it learns are a separate pytree, the state of the score, which the algorithm
stores beside its networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from jaxtyping import Float

from smac_jax.networks import Policy
from smac_jax.types import Array, Key, Metrics, Transition

S = TypeVar("S")


class WeightedScore(NamedTuple):
    """A score with a weight that multiplies both sides of the identity.

    ``weight * grad_a Q = alpha * weight * grad_a log p``

    Attributes:
      score: ``weight * grad_a log p(a|s) [batch, action]``.
      weight: ``[batch, action]``. Ones give the identity as published.
    """

    score: Float[Array, "batch action"]
    weight: Float[Array, "batch action"]


class ScoreTraining(NamedTuple, Generic[S]):
    """The training of a score, which takes place before that of the critics.

    Attributes:
      update: ``(state, batch, key) -> (state, metrics)`` on a normalized batch ``[batch, ...]``.
      batch_size: the number of transitions in a batch.
      num_updates: the number of updates.
    """

    update: Callable[[S, Transition, Key], tuple[S, Metrics]]
    batch_size: int
    num_updates: int


class Score(Protocol[S]):
    """A score to match. :mod:`smac_jax.scores.dataset` and :mod:`smac_jax.scores.policy` have one each."""

    def init(self, key: Key, observation_size: int, action_size: int) -> S:
        """Returns the initial state, which is any pytree; an empty tuple if the score does not learn anything."""

    @property
    def training(self) -> ScoreTraining[S] | None:
        """The training of the state; None if there is nothing to train."""

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Float[Array, "batch action"]:
        """Returns the actions ``[batch, action]`` at which the gradient is matched.

        Args:
          policy: ``pi(.|s)`` at the observations of the batch.
          batch: normalized transitions, ``[batch, ...]``.
          key: the random key of the actions.
        """

    def evaluate(
        self,
        state: S,
        policy: Policy,
        observation: Float[Array, "batch observation"],
        action: Float[Array, "batch action"],
    ) -> WeightedScore:
        """Returns the score at given states and actions.

        Args:
          state: the state of the score, after its training.
          policy: ``pi(.|s)`` at the observations.
          observation: normalized observations, ``[batch, observation]``.
          action: ``[batch, action]``.
        """


ScoreBuilder = Callable[[Any], Score[Any]]
"""A function that makes a score from the config of the algorithm that uses it."""
