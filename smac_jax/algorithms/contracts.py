"""The contracts of algorithms: their functions, with types.

As in optax, an algorithm is a ``NamedTuple`` of pure functions of a state, which is any pytree. It is built from a
frozen config, it has no other memory, and it does no work on the host inside a compiled program. Every function here is
written for one seed, and the training loops map it over the seeds by the outermost ``vmap``.

The shapes are those for one seed, and ``batch`` is the number of transitions in a batch.
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
          state: the state of the algorithm.
          batch: transitions ``[batch, ...]`` in the units of the environment.
          key: the random key of this update.

        Returns:
          The new state, whose leaves have the same shapes and types, and the metrics, which are scalars, or
          :class:`~smac_jax.types.Sometimes` if not every update has them.
        """


class OfflineInit(Protocol[S_out]):
    """The initialization of an offline algorithm."""

    def __call__(self, key: Key, dataset: Dataset, /) -> S_out:
        """Returns the initial state, with new networks for the observations and actions of a data set."""


class OnlineInit(Protocol[S_out]):
    """The initialization of an online algorithm."""

    def __call__(self, key: Key, actor_critic: ActorCritic, training_state: Any = None, /) -> S_out:
        """Returns the initial state, which has the networks of an offline algorithm.

        Args:
          key: the random key.
          actor_critic: the pre-trained networks.
          training_state: the :class:`TrainingState` of the offline algorithm, or None if it is not available. An
            algorithm that continues an offline one (``OnlineAlgorithm.carry``) takes its whole state instead.

        Raises:
          ConfigError: the config asks for a part of ``training_state`` that is missing or has another form.
        """


class ContinueOnline(Protocol):
    """The continuation of an offline algorithm in an environment, with its networks and its training state."""

    def __call__(
        self, offline: OfflineAlgorithm[Any], changes: Any = None, carry: str = "all", /
    ) -> OnlineAlgorithm[Any]:
        """Returns the online algorithm that continues an offline one.

        Args:
          offline: the offline algorithm that has this function.
          changes: a mapping of the fields of the configuration that differ online; None for no differences.
          carry: the parts that continue: ``"all"`` of the state, the networks and their ``"optimizers"``, or only the
            ``"networks"``.

        Raises:
          ConfigError: a field does not exist, is out of range, or cannot change after offline training.
        """


class Act(Protocol[S_in]):
    """The exploration of an online algorithm."""

    def __call__(self, state: S_in, observation: Float[Array, "observation"], key: Key, /) -> Float[Array, "action"]:
        """Returns the action ``[action]`` in the box ``[-1, 1]`` at one observation in the environment's units."""


class GetActorCritic(Protocol[S_in]):
    """The access to the networks in a state."""

    def __call__(self, state: S_in, /) -> ActorCritic:
        """Returns the actor-critic that is evaluated, saved and transferred."""


class GetTrainingState(Protocol[S_in]):
    """The access to the part of a state that an online algorithm may ask for in addition to the networks."""

    def __call__(self, state: S_in, /) -> TrainingState | None:
        """Returns the states of the optimizers and the temperature, or None if the algorithm has none."""


class Prepare(Protocol):
    """The preparation of a data set before training."""

    def __call__(self, dataset: Dataset, /) -> Dataset:
        """Returns the data set with the columns that the algorithm needs. It runs once, on the host."""


class Diagnostics(Protocol[S_in]):
    """Measurements that are too expensive for every update."""

    def __call__(self, state: S_in, batch: Transition, key: Key, /) -> Metrics:
        """Returns metrics of a state on a batch ``[batch, ...]``. It is called once for each evaluation."""


class TrainingState(struct.PyTreeNode):
    """The states of optimizers and temperature at the end of offline training.

    An online algorithm may ask for them in addition to the actor-critic.

    Attributes:
      critic_optimizer, actor_optimizer: the states of the optimizers.
      temperature: the temperature of the entropy term, ``[]``; None if the offline algorithm has none.
      temperature_optimizer: the state of the optimizer of the temperature, or None.
    """

    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature: Float[Array, ""] | None = None
    temperature_optimizer: optax.OptState | None = None

    __repr__ = brief


class Phase(NamedTuple, Generic[S]):
    """A phase of offline training, which consists of ``num_updates`` calls of ``update``.

    Attributes:
      name: the name in the progress bar and in the metrics.
      update: the function of one update.
      batch_size: the number of transitions in each batch.
      num_updates: the number of updates; None for the main phase, whose length is an argument of ``pretrain``.
    """

    name: str
    update: Update[S]
    batch_size: int
    num_updates: int | None = None


def same_dataset(dataset: Dataset) -> Dataset:
    """Returns the data set itself, for algorithms that need only the columns that every data set has."""
    return dataset


def no_diagnostics(state: Any, batch: Transition, key: Key) -> Metrics:
    """Returns no metrics, for algorithms that have none except those of their updates."""
    del state, batch, key
    return {}


def no_training_state(state: Any) -> None:
    """Returns None, for algorithms that have no training state in addition to the actor-critic."""
    del state


class OfflineAlgorithm(NamedTuple, Generic[S]):
    """An algorithm that learns from a data set.

    Attributes:
      name: the name of the algorithm, as in the registry.
      config: the configuration as it runs.
      init: returns the initial state for a data set.
      phases: the phases of training, in order; none if nothing is trained (:mod:`smac_jax.algorithms.none`).
      actor_critic: returns the networks in a state.
      prepare: adds the columns that the algorithm needs to a data set.
      diagnostics: returns the metrics that are computed once for each evaluation.
      training_state: returns the part of a state that an online algorithm may ask for in addition to the networks.
      evaluate_draws: whether evaluations act with samples of the policy, and not with its mode.
      continue_online: returns the online algorithm that continues this one; None if it cannot continue online.
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
      name: the name of the algorithm, as in the registry.
      config: the configuration as it runs.
      init: returns the initial state for an actor-critic.
      update: the function of one update, on a batch of ``batch_size`` transitions.
      act: returns the actions of exploration.
      actor_critic: returns the networks in a state.
      batch_size: the number of transitions in each batch.
      needs_density: whether it needs the density of the policy's actions, which a one-step flow does not have.
      evaluate_draws: whether evaluations act with samples of the policy, and not with its mode.
      prepare: adds the columns that the algorithm needs to a data set.
      carry: None for an algorithm that starts from the networks of any offline algorithm. If the algorithm continues
        the offline algorithm of the same name, the parts that it carries over, as in :class:`ContinueOnline`; ``init``
        then takes the whole offline state in place of a :class:`TrainingState`.
      return_discount: the discount of ``return_to_go``, in the units of the critics, if the algorithm needs the
        returns-to-go of online transitions; None if it does not.
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
