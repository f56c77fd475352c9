"""The contracts of algorithms: what one is made of, each function with its type.

In the manner of optax, an algorithm is a ``NamedTuple`` of pure functions over a state, which is any pytree. It is
built from a frozen config; it has no other memory, and it does no work on the host inside a compiled program. Every
function here is written for one seed: the training loops map all of them over the seeds, with the outermost ``vmap``.

Shapes are those that a function sees, for one seed: ``batch`` is the number of transitions in a batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.data.dataset import Dataset
from smac_jax.short_repr import brief, of_config
from smac_jax.types import Array, Key, Metrics, Transition

S = TypeVar("S")
S_out = TypeVar("S_out", covariant=True)
S_in = TypeVar("S_in", contravariant=True)


class Config(Protocol):
    """A frozen dataclass whose fields are declared with :mod:`smac_jax.config`."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


class Update(Protocol[S]):
    """One update."""

    def __call__(self, state: S, batch: Transition, key: Key, /) -> tuple[S, Metrics]:
        """Learns from a batch.

        Args:
          state: of the algorithm.
          batch: transitions ``[batch, ...]`` in the units of the environment.
          key: of all random draws of this update.

        Returns:
          The new state, whose leaves keep their shapes and types, and the metrics: scalars, or
          :class:`~smac_jax.types.Sometimes` where not every update has them.
        """


class OfflineInit(Protocol[S_out]):
    """The first state of an offline algorithm."""

    def __call__(self, key: Key, dataset: Dataset, /) -> S_out:
        """Makes fresh networks for the observations ``[observation]`` and actions ``[action]`` of a data set."""


class OnlineInit(Protocol[S_out]):
    """The first state of an online algorithm."""

    def __call__(self, key: Key, actor_critic: ActorCritic, training_state: Any = None, /) -> S_out:
        """Starts from the networks of an offline algorithm.

        Args:
          key: of all random draws.
          actor_critic: the pre-trained networks.
          training_state: what the offline algorithm knows beside them, a :class:`TrainingState`; None where it is not
            at hand. An algorithm that continues an offline one (``OnlineAlgorithm.carry``) takes its whole state.

        Raises:
          ConfigError: the config asks for a part of ``training_state`` that is missing or does not fit.
        """


class ContinueOnline(Protocol):
    """How an offline algorithm continues in an environment, with what it learned beside its networks."""

    def __call__(
        self, offline: OfflineAlgorithm[Any], changes: Any = None, carry: str = "all", /
    ) -> OnlineAlgorithm[Any]:
        """Makes the online algorithm that continues an offline one.

        Args:
          offline: the algorithm itself, whose function this is.
          changes: a mapping of the fields of the configuration that differ online; None: none.
          carry: what continues: "all" of the state; the networks and their "optimizers"; or the "networks" alone.

        Raises:
          ConfigError: a field that does not exist, is out of range, or says what the carried state is.
        """


class Act(Protocol[S_in]):
    """The exploration of an online algorithm."""

    def __call__(self, state: S_in, observation: Float[Array, "observation"], key: Key, /) -> Float[Array, "action"]:
        """The action ``[action]`` in the box ``[-1, 1]`` to take at one observation, in the environment's units."""


class GetActorCritic(Protocol[S_in]):
    """The networks inside a state."""

    def __call__(self, state: S_in, /) -> ActorCritic:
        """The actor-critic that is evaluated, saved and transferred."""


class GetTrainingState(Protocol[S_in]):
    """What an online algorithm may continue from, beside the networks."""

    def __call__(self, state: S_in, /) -> TrainingState | None:
        """The states of the optimizers and the temperature, or None where the algorithm has nothing to offer."""


class Prepare(Protocol):
    """The columns of a data set that an algorithm computes before training."""

    def __call__(self, dataset: Dataset, /) -> Dataset:
        """The same data set with these columns; runs on the host, once."""


class Diagnostics(Protocol[S_in]):
    """Measurements that are too expensive for every update."""

    def __call__(self, state: S_in, batch: Transition, key: Key, /) -> Metrics:
        """Metrics of a state on a batch ``[batch, ...]``, taken once an evaluation."""


class TrainingState(struct.PyTreeNode):
    """What offline pre-training knows beside the actor-critic, for an online algorithm that asks for it.

    Attributes:
      critic_optimizer, actor_optimizer: the states of the optimizers.
      temperature: the temperature of the entropy term, ``[]``; None where the offline algorithm has none.
      temperature_optimizer: the state of its optimizer, or None.
    """

    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature: Float[Array, ""] | None = None
    temperature_optimizer: optax.OptState | None = None

    __repr__ = brief


class Phase(NamedTuple, Generic[S]):
    """One part of offline training: ``num_updates`` calls of ``update``.

    Attributes:
      name: for the progress bar and the metrics.
      update: one update.
      batch_size: the number of transitions in each batch.
      num_updates: how many updates; None for the main phase, whose length the caller of ``pretrain`` decides.
    """

    name: str
    update: Update[S]
    batch_size: int
    num_updates: int | None = None


def same_dataset(dataset: Dataset) -> Dataset:
    """For algorithms that need nothing but the columns that every data set has."""
    return dataset


def no_diagnostics(state: Any, batch: Transition, key: Key) -> Metrics:
    """For algorithms that have nothing to add to the metrics of their updates."""
    del state, batch, key
    return {}


def no_training_state(state: Any) -> None:
    """For algorithms that have nothing to offer beside the actor-critic."""
    del state


class OfflineAlgorithm(NamedTuple, Generic[S]):
    """An algorithm that learns from a data set.

    Attributes:
      name: as in the registry.
      config: as it runs.
      init: makes the first state from a data set.
      phases: the parts of training, in order; none where nothing is trained (:mod:`smac_jax.algorithms.none`).
      actor_critic: the networks inside a state.
      prepare: adds the columns that the algorithm needs to a data set.
      diagnostics: measured once an evaluation.
      training_state: what an online algorithm may ask for beside the networks.
      evaluate_draws: whether evaluations act with samples from the policy, and not with its mode.
      continue_online: makes the online algorithm that continues this one; None where it has no online form.
    """

    name: str
    config: Config
    init: OfflineInit[S]
    phases: tuple[Phase[S], ...]
    actor_critic: GetActorCritic[S]
    prepare: Prepare = same_dataset
    diagnostics: Diagnostics[S] = no_diagnostics
    training_state: GetTrainingState[S] = no_training_state
    evaluate_draws: bool = False
    continue_online: ContinueOnline | None = None

    def __repr__(self) -> str:
        return f"OfflineAlgorithm({', '.join(filter(None, (repr(self.name), of_config(self.config))))})"


class OnlineAlgorithm(NamedTuple, Generic[S]):
    """An algorithm that learns in an environment, from pre-trained networks.

    Attributes:
      name: as in the registry.
      config: as it runs.
      init: makes the first state from an actor-critic.
      update: one update, on a batch of ``batch_size`` transitions.
      act: explores.
      actor_critic: the networks inside a state.
      batch_size: the number of transitions in each batch.
      needs_density: whether it asks the policy for the density of an action, which a one-step flow does not have.
      evaluate_draws: whether evaluations act with samples from the policy, and not with its mode.
      prepare: adds the columns that the algorithm needs to a data set.
      carry: None for an algorithm of its own, which starts from the networks of any offline one. Where it continues
        the offline algorithm of its name: what it carries over, as in :class:`ContinueOnline`. ``init`` then takes the
        whole offline state in place of a :class:`TrainingState`.
      return_discount: the discount of ``return_to_go``, if the algorithm needs it of online transitions, too, in the
        units of its critics; None where it does not.
    """

    name: str
    config: Config
    init: OnlineInit[S]
    update: Update[S]
    act: Act[S]
    actor_critic: GetActorCritic[S]
    batch_size: int
    needs_density: bool = False
    evaluate_draws: bool = False
    prepare: Prepare = same_dataset
    carry: str | None = None
    return_discount: float | None = None

    def __repr__(self) -> str:
        return f"OnlineAlgorithm({', '.join(filter(None, (repr(self.name), of_config(self.config))))})"
