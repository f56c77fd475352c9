"""The contract of a score: what the action-gradient of the critics is matched to, and at which actions.

SMAC's identity is ``grad_a Q(s, a) = alpha * grad_a log p(a|s)``; the gradient of a log-density in its argument is the
*score* of the density. A score here is a frozen object that holds its options; what it learns is a state of its own,
a pytree, which the algorithm keeps beside its networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from jaxtyping import Float

from smac_jax.networks import Policy
from smac_jax.types import Array, Key, Metrics, Transition

S = TypeVar("S")


class WeightedScore(NamedTuple):
    """Both sides of the identity may be weighted: ``weight * grad_a Q = alpha * weight * grad_a log p``.

    Attributes:
      score: ``weight * grad_a log p(a|s) [batch, action]``.
      weight: ``[batch, action]``; ones for the identity as published.
    """

    score: Float[Array, "batch action"]
    weight: Float[Array, "batch action"]


class ScoreTraining(NamedTuple, Generic[S]):
    """How a score is learned before the critics are.

    Attributes:
      update: ``(state, batch, key) -> (state, metrics)`` on a normalized batch ``[batch, ...]``.
      batch_size: the number of transitions in a batch.
      num_updates: how many updates.
    """

    update: Callable[[S, Transition, Key], tuple[S, Metrics]]
    batch_size: int
    num_updates: int


class Score(Protocol[S]):
    """A score to match; :mod:`smac_jax.scores.dataset` and :mod:`smac_jax.scores.policy` have one each."""

    def init(self, key: Key, observation_size: int, action_size: int) -> S:
        """The first state: what the score learns, of any pytree; an empty tuple where it learns nothing."""

    @property
    def training(self) -> ScoreTraining[S] | None:
        """How the state is trained before the critics; None where there is nothing to train."""

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Float[Array, "batch action"]:
        """The actions ``[batch, action]`` at which the gradient is matched.

        Args:
          policy: ``pi(.|s)`` at the observations of the batch.
          batch: normalized, ``[batch, ...]``.
          key: of random actions.
        """

    def evaluate(
        self,
        state: S,
        policy: Policy,
        observation: Float[Array, "batch observation"],
        action: Float[Array, "batch action"],
    ) -> WeightedScore:
        """The score at states and actions.

        Args:
          state: what was learned.
          policy: ``pi(.|s)`` at these observations.
          observation: normalized, ``[batch, observation]``.
          action: ``[batch, action]``.
        """


ScoreBuilder = Callable[[Any], Score[Any]]
"""Builds a score from the config of the algorithm that uses it."""
