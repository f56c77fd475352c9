"""What a trained policy computes, written once for NumPy, JAX and ONNX; and the policy that acts in NumPy."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from smac_jax.config import whole_number
from smac_jax.errors import CheckpointError, ConfigError, ObservationError

if TYPE_CHECKING:
    from jaxtyping import Float

# Flax's definitions with the functions that NumPy, JAX and ONNX share. The sigmoid by way of tanh does not overflow.
ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "relu": lambda xp, x: xp.maximum(x, 0.0),
    "tanh": lambda xp, x: xp.tanh(x),
    "gelu": lambda xp, x: 0.5 * x * (1.0 + xp.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))),
    "silu": lambda xp, x: 0.5 * x * (1.0 + xp.tanh(0.5 * x)),
}
DISTRIBUTIONS = ("tanh_gaussian", "box_gaussian", "one_step_flow")
SAMPLE_ONLY = ("log_std", "noise_kernel")
"""What the names of arrays begin with that a sample needs and a mode does not."""
POSITIONS = ("before_activation", "after_activation")
LAYER_NORM_EPSILON = 1e-6
"""Flax's."""


@runtime_checkable
class TrainedActor(Protocol):
    """The attributes of an actor-critic that a policy needs, as in :class:`smac_jax.ActorCritic`.

    Attributes:
      actor: the network, with the fields of :class:`Architecture` except for the observation's size.
      actor_params: its parameters, with Flax's names.
      observation_mean, observation_std: the input of the network is ``(observation - mean) / std``.
    """

    @property
    def actor(self) -> Any: ...

    @property
    def actor_params(self) -> Mapping[str, Any]: ...

    @property
    def observation_mean(self) -> Any: ...

    @property
    def observation_std(self) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The architecture of a policy's network; see :class:`smac_jax.networks.Actor`.

    Raises:
      ValueError: the activation, the distribution or the position of the layer norms is unknown, or a size is below 1.
    """

    observation_size: int
    action_size: int
    hidden: tuple[int, ...]
    activation: str
    distribution: str
    state_dependent_std: bool
    min_log_std: float
    max_log_std: float
    layer_norm: bool = False
    layer_norm_position: str = "before_activation"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS or self.distribution not in DISTRIBUTIONS:
            raise ValueError(f"activation = {self.activation!r}, distribution = {self.distribution!r}")
        if self.layer_norm_position not in POSITIONS:
            raise ValueError(f"layer_norm_position = {self.layer_norm_position!r}")
        if min(self.observation_size, self.action_size, *self.hidden) < 1:
            raise ValueError(f"sizes {self.observation_size}, {self.hidden}, {self.action_size}: must be at least 1")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the policy's arrays, by name. A kernel is ``[input, output]``."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("observation_mean", "observation_std"), (self.observation_size,)
        )
        sizes = (self.observation_size, *self.hidden)
        layers = {f"hidden_{i}": pair for i, pair in enumerate(itertools.pairwise(sizes))}
        layers["mean"] = sizes[-1], self.action_size
        if self.distribution == "one_step_flow":
            shapes["noise_kernel"] = self.action_size, self.hidden[0]
        elif self.state_dependent_std:
            layers["log_std"] = layers["mean"]
        else:
            shapes["log_std"] = (self.action_size,)
        for name, pair in layers.items():
            shapes |= {f"{name}_kernel": pair, f"{name}_bias": pair[1:]}
            if self.layer_norm and name.startswith("hidden"):
                shapes |= {f"{name}_norm_scale": pair[1:], f"{name}_norm_bias": pair[1:]}
        return shapes


def act(xp: Any, built: Architecture, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
    """The action for each row of ``observation [batch, observation]``: ``[batch, action]``, in the box ``[-1, 1]``.

    Args:
      xp: ``numpy``, ``jax.numpy``, or an object with ``maximum``, ``clip``, ``tanh``, ``exp``, ``mean`` and ``sqrt``.
      built: the architecture.
      parameters: the arrays of :attr:`NumpyPolicy.parameters`; if they have a leading seed axis, so has the action.
      observation: the observations, in the environment's own units.
      noise: standard normal noise ``[batch, action]`` for a sample; None for the mode, which for a one-step flow is
        the action for zero noise.
    """
    flow = built.distribution == "one_step_flow"

    def dense(name: str, x: Any) -> Any:
        return x @ parameters[f"{name}_kernel"] + parameters[f"{name}_bias"]

    def normalize(name: str, x: Any) -> Any:
        x = x - xp.mean(x, axis=-1, keepdims=True)
        x = x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        return x * parameters[f"{name}_norm_scale"] + parameters[f"{name}_norm_bias"]

    x = (observation - parameters["observation_mean"]) / parameters["observation_std"]
    for i in range(len(built.hidden)):
        x = dense(f"hidden_{i}", x)
        if flow and i == 0 and noise is not None:
            x = x + noise @ parameters["noise_kernel"]
        if built.layer_norm and built.layer_norm_position == "before_activation":
            x = normalize(f"hidden_{i}", x)
        x = ACTIVATIONS[built.activation](xp, x)
        if built.layer_norm and built.layer_norm_position == "after_activation":
            x = normalize(f"hidden_{i}", x)
    action = dense("mean", x)
    if flow:
        return xp.clip(action, -1.0, 1.0)
    squashed = built.distribution == "tanh_gaussian"
    if not squashed:
        action = xp.tanh(action)
    if noise is not None:
        log_std = dense("log_std", x) if built.state_dependent_std else parameters["log_std"]
        action = action + xp.exp(xp.clip(log_std, built.min_log_std, built.max_log_std)) * noise
    return xp.tanh(action) if squashed else xp.clip(action, -1.0, 1.0)


def computes(actor: Any) -> bool:
    """Whether :func:`act` can compute an actor; true for this package's own actors only."""
    return (type(actor).__module__, type(actor).__qualname__) == ("smac_jax.networks.actor", "Actor")


def only_by_jax(actor: str) -> str:
    """The error message for a network that only JAX can compute (:func:`computes` is false)."""
    return (
        f"the policy's network is {actor}, a user's own Flax module, which only JAX can compute. Export it to "
        "stablehlo, or load it with smac_jax.runs.checkpoint.load_actor_critic."
    )


@dataclasses.dataclass(frozen=True, eq=False)
class NumpyPolicy:
    """A trained policy that acts on NumPy observations.

    >>> policy = smac_jax.load("results/quickstart/runs/halfcheetah-medium-replay/smac/seeds-0-3/to-sac", seed=0)
    >>> action = policy(observation)  # the mode
    >>> action = policy(observation, rng=np.random.default_rng(0))  # a sample

    Attributes:
      architecture: the architecture of its network.
      arrays: float32 arrays with the names and shapes of :meth:`Architecture.shapes`; ``[seed, ...]`` for several
        seeds.
      seeds: the number of its seed; or the numbers of the seeds along the first axis of the arrays.

    Raises:
      CheckpointError: the arrays do not fit the architecture.
    """

    architecture: Architecture
    arrays: Mapping[str, np.ndarray]
    seeds: int | tuple[int, ...]

    def __repr__(self) -> str:
        built = self.architecture
        seeds = f"seed {self.seeds}" if isinstance(self.seeds, int) else f"seeds {list(self.seeds)}"
        sizes = (built.observation_size, *built.hidden, built.action_size)
        return f"NumpyPolicy({seeds}, {' -> '.join(map(str, sizes))}, {built.distribution})"

    def __post_init__(self) -> None:
        leading = () if isinstance(self.seeds, int) else (len(self.seeds),)
        expected = {name: (*leading, *shape) for name, shape in self.architecture.shapes().items()}
        found = {name: array.shape for name, array in self.arrays.items()}
        if found != expected:
            name = min(n for n in found | expected if found.get(n) != expected.get(n))
            raise CheckpointError(
                f"The policy's {name} has shape {found.get(name)}, but its architecture and {leading or 'no'} seeds "
                f"need {expected.get(name)}."
            )

    @classmethod
    def of(cls, actor_critic: TrainedActor, seeds: Sequence[int] | None = None) -> NumpyPolicy:
        """The policy of an actor-critic.

        Args:
          actor_critic: an actor-critic, or several stacked along a leading seed axis.
          seeds: the numbers of the seeds; default: from 0.

        Raises:
          CheckpointError: the number of seeds is not that of the actor-critic.
          ConfigError: the actor is a user's own, which NumPy cannot compute.
        """
        if not computes(actor_critic.actor):
            found = type(actor_critic.actor)
            raise ConfigError(f"NumPy cannot act: {only_by_jax(f'{found.__module__}.{found.__qualname__}')}")
        actor, params = actor_critic.actor, actor_critic.actor_params["params"]
        fields = {f.name for f in dataclasses.fields(Architecture)}
        built = Architecture(
            observation_size=actor_critic.observation_mean.shape[-1],
            **{name: getattr(actor, name) for name in fields - {"observation_size"}},
        )
        flow = built.distribution == "one_step_flow"
        trunk = params["flow" if flow else "trunk"]
        layers = {f"hidden_{i}": trunk[f"Dense_{i}"] for i in range(len(actor.hidden))}
        layers["mean"] = trunk[f"Dense_{len(actor.hidden)}"] if flow else params["mean"]
        arrays = {name: getattr(actor_critic, name) for name in ("observation_mean", "observation_std")}
        if flow:  # the first layer sees observation and noise side by side
            first, size = layers["hidden_0"], built.observation_size
            layers["hidden_0"] = {**first, "kernel": first["kernel"][..., :size, :]}
            arrays["noise_kernel"] = first["kernel"][..., size:, :]
        elif built.state_dependent_std:
            layers["log_std"] = params["log_std"]
        else:
            arrays["log_std"] = params["log_std"]
        arrays |= {f"{name}_{part}": layer[part] for name, layer in layers.items() for part in ("kernel", "bias")}
        if built.layer_norm:
            norms = {i: trunk[f"LayerNorm_{i}"] for i in range(len(actor.hidden))}
            arrays |= {f"hidden_{i}_norm_{part}": norm[part] for i, norm in norms.items() for part in ("scale", "bias")}
        arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        single = actor_critic.observation_mean.ndim == 1
        if single:
            arrays = {name: array[None] for name, array in arrays.items()}
        count = len(arrays["observation_mean"])
        numbers = range(count) if seeds is None else seeds
        stacked = cls(built, arrays, tuple(whole_number("seeds", seed, 0) for seed in numbers))
        return stacked._take(0) if single else stacked

    def select(self, seed: int | Literal["all"] | None = None) -> NumpyPolicy:
        """The policy of one seed (None for the first); or of all seeds, with actions ``[seed, ...]``.

        Raises:
          ConfigError: the seed does not exist.
          CheckpointError: its parameters are not finite.
        """
        numbers = (self.seeds,) if isinstance(self.seeds, int) else self.seeds
        if isinstance(self.seeds, int):
            arrays = {name: array[None] for name, array in self.arrays.items()}
            chosen = NumpyPolicy(self.architecture, arrays, numbers)
        else:
            chosen = self
        if seed != "all":
            wanted = seed
            seed = numbers[0] if wanted is None else wanted if isinstance(wanted, str) else whole_number("seed", wanted)
            if seed not in numbers:
                raise ConfigError(f"seed = {seed!r}: must be one of {', '.join(map(str, numbers))}, or 'all'.")
            chosen = chosen._take(numbers.index(seed))
        for name, array in chosen.arrays.items():
            if not np.isfinite(array).all():
                raise CheckpointError(f"{name} of seed {seed} is not finite: the training diverged.")
        return chosen

    def _take(self, at: int) -> NumpyPolicy:
        assert isinstance(self.seeds, tuple)
        return NumpyPolicy(self.architecture, {name: x[at] for name, x in self.arrays.items()}, self.seeds[at])

    @property
    def observation_size(self) -> int:
        """The number of observations."""
        return self.architecture.observation_size

    @property
    def action_size(self) -> int:
        """The number of action dimensions."""
        return self.architecture.action_size

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays for :func:`act`, in which vectors are rows, so that they broadcast with a batch."""
        kernels = {name for name, shape in self.architecture.shapes().items() if len(shape) == 2}
        return {name: array if name in kernels else array[..., None, :] for name, array in self.arrays.items()}

    def __call__(
        self, observation: Float[np.ndarray, "*batch observation"], rng: np.random.Generator | None = None
    ) -> Float[np.ndarray, "*seeds_and_batch action"]:
        """The action for an observation or a batch of observations.

        Args:
          observation: observations in the environment's own units, with any number of leading axes.
          rng: the generator for a sample; None gives the mode.

        Returns:
          Actions in ``[-1, 1]``, float32, with the leading axes of ``observation``. For several seeds there is also a
          seed axis in front; the seeds receive the same observations and draw different samples.

        Raises:
          ObservationError: the observation has the wrong size, or contains NaN, infinity, or something else than
            numbers.
        """
        batch, rows = self._rows(observation)
        seeds = () if isinstance(self.seeds, int) else (len(self.seeds),)
        size = self.architecture.action_size
        noise = None if rng is None else rng.standard_normal((*seeds, len(rows), size), np.float32)
        # an activation may overflow although its limit is finite
        with np.errstate(over="ignore", invalid="ignore"):
            action: np.ndarray = act(np, self.architecture, self.parameters, rows, noise)
        if np.isnan(action).any():
            raise ObservationError(
                f"The observation is so large (up to {np.abs(rows).max():g}) that the policy overflows."
            )
        return action.reshape(*seeds, *batch, size)

    def _rows(self, observation: Any) -> tuple[tuple[int, ...], np.ndarray]:
        """The leading axes, and the observations as float32 rows."""
        size = self.architecture.observation_size
        try:
            given = np.asarray(observation)
        except (ValueError, TypeError, RuntimeError) as error:  # a ragged list, a tensor on a device or with gradients
            raise ObservationError(f"The observation is not an array of numbers ({error}).") from error
        if given.dtype.kind not in "fiub":
            raise ObservationError(f"The observation is of type {given.dtype}: it must be an array of real numbers.")
        if given.ndim == 0 or given.shape[-1] != size:
            raise ObservationError(
                f"The observation has shape {given.shape}, but this policy needs {size} numbers, in an array of shape "
                f"({size},), or (..., {size}) for a batch."
            )
        with np.errstate(over="ignore"):
            rows = given.astype(np.float32).reshape(-1, size)
        finite = np.isfinite(rows)
        if not finite.all():
            where = np.unravel_index(int(np.argmin(finite)), given.shape)
            raise ObservationError(
                f"observation[{', '.join(map(str, where))}] is {given[where]}: {np.sum(~finite)} of {rows.size} "
                f"numbers are not finite in float32."
            )
        return given.shape[:-1], rows
