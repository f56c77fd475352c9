"""Reads trained policies of various sources as functions for compiled programs.

>>> policy = read_policy_source("dope-hopper.npz", checkpoint=3)
>>> actions = jax.vmap(policy.act)(observations, keys)

Three kinds of files are read, and nothing in them is executed or unpickled:

* **A perceptron in an .npz file.** ``w0, b0, w1, b1, ...`` are its layers, ``[input, output]``; ``w_mean, b_mean`` give
  the mean m. ``activation`` is one of those of :mod:`smac_jax.deploy.policy`. ``head``: ``"tanh"`` acts by
  tanh(m + noise); ``"none"`` and ``"clip"`` by m + noise, clipped to [-1, 1]. The noise is normal, with a standard
  deviation of exp(``log_std``) or exp(x ``w_log_std`` + ``b_log_std``); a file with neither is deterministic. Where
  they are present, the network sees clip((observation - ``obs_mean``) / ``obs_std``, +-``obs_clip``), and
  m ``out_scale`` + ``out_shift`` takes the place of m. A leading axis of all arrays holds checkpoints. A file without
  ``activation`` and ``head`` is taken for SAC's: relu and tanh.
* **A policy of this package**: a run's folder, its ``policy.npz``, or an exported ``.npz``. Its seeds take the place of
  checkpoints.
* **An ONNX file**, this package's or another's: observations ``[batch, observation]`` to actions ``[batch, action]``,
  computed by ONNX Runtime on the host, called from the compiled program.

The module imports JAX only when a policy acts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from smac_jax.deploy.load import read_all_seeds
from smac_jax.deploy.policy import ACTIVATIONS, Architecture, act
from smac_jax.deploy.policy_file import checksum
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.files import local_path

if TYPE_CHECKING:
    from jaxtyping import Float

    from smac_jax.types import Array, Key

HEADS = ("tanh", "none", "clip")
PADDINGS: dict[tuple[int, int], tuple[int, int, int]] = {
    (27, 111): (27, 84, 0),
    (111, 27): (27, 0, 0),
    (17, 18): (17, 0, 1),
    (27, 112): (27, 84, 1),
    (111, 112): (111, 0, 1),
}
"""For sizes of the environment's and of the policy's observation: how many numbers are kept, then how many zeros and
ones follow. The ant's contact forces are zeros in D4RL's 111 numbers. The last of 18 or 112 numbers is the time that is
left in RL Zoo's training, which it holds at 1 when a policy is used."""


class Network(Protocol):
    """What computes the action of one observation. It is hashable, so that equal ones share a compiled program."""

    def __call__(self, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
        """The action in ``[-1, 1]``; ``noise`` holds standard normal numbers, or is None for the mean."""

    def __hash__(self) -> int: ...


@dataclasses.dataclass(frozen=True, eq=False)
class PolicySource:
    """A policy from a file.

    Attributes:
      name: the file's name, with ``@CHECKPOINT`` where it holds several.
      sha256: the SHA-256 of the file.
      observation_size: the number of observations.
      action_size: the number of action dimensions.
      stochastic: whether the policy is stochastic.
      network: the function that computes the action.
      parameters: the arrays of the network. They are an argument of compiled programs, not part of them.
    """

    name: str
    sha256: str
    observation_size: int
    action_size: int
    stochastic: bool
    network: Network
    parameters: Mapping[str, np.ndarray]

    def act(self, observation: Float[Array, " observation"], key: Key | None = None) -> Float[Array, " action"]:
        """The action for one observation; ``jax.vmap`` it for many.

        Args:
          observation: in the environment's own units.
          key: draws a sample of the policy; None gives its mean.
        """
        return act_with(self.network, self.parameters, self.action_size, observation, key)

    def fit(self, observation_size: int, action_size: int, environment: str) -> PolicySource:
        """The policy for the observations of an environment, which are padded by :data:`PADDINGS` if sizes differ.

        Args:
          observation_size: the number of observations of the environment.
          action_size: the number of action dimensions of the environment.
          environment: the name of the environment, for error messages.

        Raises:
          ConfigError: the sizes differ, and there is no padding for them.
        """
        padding = PADDINGS.get((observation_size, self.observation_size))
        same = observation_size == self.observation_size
        if action_size != self.action_size or not (same or padding):
            raise ConfigError(
                f"{self.name} maps {self.observation_size} observations to {self.action_size} actions, but "
                f"{environment} has {observation_size} and {action_size}. Only these observations are padded: "
                "27 to 111 or 112 (ant: zeros), 17 to 18 and 111 to 112 (a time feature of 1)."
            )
        if same or padding is None:
            return self
        return dataclasses.replace(self, network=Padded(self.network, *padding), observation_size=observation_size)


def act_with(
    network: Network,
    parameters: Mapping[str, Any],
    action_size: int,
    observation: Float[Array, " observation"],
    key: Key | None = None,
) -> Float[Array, " action"]:
    """:meth:`PolicySource.act` with parameters that the caller passes, so that one program serves many checkpoints."""
    import jax
    import jax.numpy as jnp

    noise = None if key is None else jax.random.normal(key, (action_size,))
    # accelerators would round the factors of a product to fewer bits
    with jax.default_matmul_precision("highest"):
        action: Array = network(parameters, jnp.asarray(observation, jnp.float32), noise)
    return action


def split_checkpoint(text: str) -> tuple[str, int | None]:
    """Splits ``FILE@CHECKPOINT``. A text that is the path of an existing file is not split."""
    path, at, number = text.rpartition("@")
    if at and number.isdecimal() and not local_path(text).exists():
        return path, int(number)
    return text, None


def read_policy_source(path: str | os.PathLike[str], checkpoint: int | None = None) -> PolicySource:
    """Reads a policy from a file of any kind that this module knows.

    Args:
      path: a file, or the folder of a run.
      checkpoint: the index of the file's checkpoint, from 0, or the number of a run's seed; None if there is only one.

    Raises:
      CheckpointError: the file does not exist, is not a policy, is damaged, or has numbers that are not finite.
      ConfigError: the checkpoint does not exist or is not given although there are several, or a package is missing.
    """
    path = local_path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: the file does not exist.")
    if path.is_dir():
        return _read_ours(path, checkpoint)
    if path.suffix.lower() == ".onnx":
        _choose(path, [0], checkpoint)
        return read_onnx(path)
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is not a policy file: neither an .npz file nor an .onnx file.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored.files)
            arrays = {} if _missing(names) else {name: stored[name] for name in names}
    except Exception as error:  # any: what NumPy raises depends on where the damage is
        raise CheckpointError(f"{path} is damaged, or no policy file ({error}).") from error
    if "about" in names:
        return _read_ours(path, checkpoint)
    if missing := _missing(names):
        raise CheckpointError(
            f"{path} is not a policy file: it has no {', '.join(missing)}; it has {', '.join(names) or 'nothing'}."
        )
    return _read_perceptron(path, arrays, checkpoint)


def _missing(names: Sequence[str]) -> list[str]:
    required = ["w0", "b0", "w_mean", "b_mean"]
    if "w_log_std" in names or "b_log_std" in names:
        required += ["w_log_std", "b_log_std"]
    if "obs_mean" in names or "obs_std" in names:
        required += ["obs_mean", "obs_std"]
    required += [f"b{name[1:]}" for name in names if name[0] == "w" and name[1:].isdecimal()]
    return [name for name in dict.fromkeys(required) if name not in names]


def _choose(path: Path, numbers: Sequence[int], checkpoint: int | None, kind: str = "checkpoint") -> int:
    """The given checkpoint, or the only one."""
    listed = f"{kind}s {', '.join(map(str, numbers))}" if len(numbers) > 1 else f"only {kind} {numbers[0]}"
    if checkpoint is None and len(numbers) > 1:
        raise ConfigError(f"{path} holds {listed}. Name one of them, as in {path.name}@{numbers[-1]}.")
    if checkpoint is not None and checkpoint not in numbers:
        raise ConfigError(f"{path} has no {kind} {checkpoint}: it holds {listed}.")
    return numbers[0] if checkpoint is None else checkpoint


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# A perceptron in an .npz file


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """The network of the first kind of file.

    Attributes:
      layers: the number of hidden layers.
      activation: a key of :data:`smac_jax.deploy.policy.ACTIVATIONS`.
      head: one of :data:`HEADS`.
    """

    layers: int
    activation: str
    head: str

    def __call__(self, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
        """The action in ``[-1, 1]``."""
        import jax.numpy as jnp

        p, x = parameters, observation
        if "obs_mean" in p:
            x = (x - p["obs_mean"]) / p["obs_std"]
        if "obs_clip" in p:
            x = jnp.clip(x, -p["obs_clip"], p["obs_clip"])
        for i in range(self.layers):
            x = ACTIVATIONS[self.activation](jnp, x @ p[f"w{i}"] + p[f"b{i}"])
        action = (x @ p["w_mean"] + p["b_mean"]) * p.get("out_scale", 1.0) + p.get("out_shift", 0.0)
        if noise is not None and ("log_std" in p or "w_log_std" in p):
            log_std = p["log_std"] if "log_std" in p else x @ p["w_log_std"] + p["b_log_std"]
            action = action + jnp.exp(log_std) * noise
        return jnp.tanh(action) if self.head == "tanh" else jnp.clip(action, -1.0, 1.0)


def _read_perceptron(path: Path, stored: Mapping[str, np.ndarray], checkpoint: int | None) -> PolicySource:
    layers = sum(name[0] == "w" and name[1:].isdecimal() for name in stored)
    activation, head = (_text(path, stored, *option) for option in (("activation", "relu"), ("head", "tanh")))
    for value, field, known in ((activation, "activation", tuple(ACTIVATIONS)), (head, "head", HEADS)):
        if value not in known:
            raise CheckpointError(f"{path}: {field} is {value!r}; known are {', '.join(known)}.")
    if absent := [f"w{i}" for i in range(layers) if f"w{i}" not in stored]:
        raise CheckpointError(f"{path} is not a policy file: it has no {', '.join(absent)} before later layers.")
    first, last = stored["w0"], stored["w_mean"]
    if first.ndim not in (2, 3) or last.ndim != first.ndim:
        raise CheckpointError(
            f"{path}: w0 has shape {first.shape} and w_mean {last.shape}; expected [input, output] for both, or "
            "[checkpoint, input, output]."
        )
    count = len(first) if first.ndim == 3 else None
    chosen = _choose(path, range(count or 1), checkpoint)
    sizes = [first.shape[-2], *(stored[f"w{i}"].shape[-1] if stored[f"w{i}"].ndim else 0 for i in range(layers))]
    actions = last.shape[-1]
    shapes: dict[str, tuple[int, ...]] = {f"w{i}": (sizes[i], sizes[i + 1]) for i in range(layers)}
    shapes |= {f"b{i}": (sizes[i + 1],) for i in range(layers)}
    shapes |= dict.fromkeys(("w_mean", "w_log_std"), (sizes[-1], actions))
    shapes |= dict.fromkeys(("b_mean", "b_log_std", "log_std", "out_scale", "out_shift"), (actions,))
    shapes |= dict.fromkeys(("obs_mean", "obs_std"), (sizes[0],)) | {"obs_clip": ()}
    parameters = {}
    for name, shape in shapes.items():
        if name not in stored:
            continue
        array = stored[name]
        if array.dtype.kind not in "fiu":
            raise CheckpointError(f"{path}: {name} holds {array.dtype}, expected numbers.")
        if count is not None and array.shape == (count, *shape):
            array = array[chosen]
        if array.shape != shape:
            raise CheckpointError(f"{path}: {name} has shape {stored[name].shape}, but the other arrays need {shape}.")
        if not np.isfinite(array).all():
            at = "" if count is None else f" of checkpoint {chosen}"
            raise CheckpointError(
                f"{path}: {name}{at} holds {np.sum(~np.isfinite(array))} numbers that are not finite."
            )
        parameters[name] = np.asarray(array, np.float32)
    if "obs_std" in parameters and not (parameters["obs_std"] > 0).all():
        raise CheckpointError(f"{path}: obs_std must be above 0; the smallest is {parameters['obs_std'].min():g}.")
    return PolicySource(
        name=path.name if count is None else f"{path.name}@{chosen}",
        sha256=_sha256(path),
        observation_size=sizes[0],
        action_size=actions,
        stochastic=bool({"log_std", "w_log_std"} & set(parameters)),
        network=Perceptron(layers, activation, head),
        parameters=parameters,
    )


def _text(path: Path, stored: Mapping[str, np.ndarray], name: str, default: str) -> str:
    if name not in stored:
        return default
    array = stored[name]
    if array.size != 1 or array.dtype.kind not in "US":
        raise CheckpointError(f"{path}: {name} holds {array.dtype} of shape {array.shape}, expected one text.")
    value = array.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# A policy of this package


@dataclasses.dataclass(frozen=True)
class OwnNetwork:
    """The network of :mod:`smac_jax.deploy.policy`."""

    architecture: Architecture

    def __call__(self, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
        """The action in ``[-1, 1]``."""
        import jax.numpy as jnp

        rows = None if noise is None else noise[None]
        return act(jnp, self.architecture, parameters, observation[None], rows)[0]


def _read_ours(path: Path, seed: int | None) -> PolicySource:
    found, stacked = read_all_seeds(path)
    numbers = (stacked.seeds,) if isinstance(stacked.seeds, int) else stacked.seeds
    chosen = _choose(path, numbers, seed, "seed")
    try:
        policy = stacked.select(chosen)
    except CheckpointError as error:
        raise CheckpointError(f"{found}: {error}") from None
    built = policy.architecture
    return PolicySource(
        name=f"{path.name}@{chosen}" if len(numbers) > 1 else path.name,
        sha256=_sha256(found) if found.is_file() else checksum({}, stacked.arrays),
        observation_size=built.observation_size,
        action_size=built.action_size,
        stochastic=True,
        network=OwnNetwork(built),
        parameters=policy.parameters,
    )


# An ONNX file


class OnnxNetwork:
    """A graph that ONNX Runtime computes on the host, with one call for each batch.

    Args:
      session: the session of ONNX Runtime.
      inputs: the types of the inputs by their names: the observation, and the noise if the graph takes one.
      output: the name of the action.
      batch: the batch size of the graph; None for any.
      action_size: the number of action dimensions; None until it is known.
    """

    def __init__(
        self, session: Any, inputs: Mapping[str, Any], output: str, batch: int | None, action_size: int | None = None
    ):
        self._session, self._inputs, self._output, self._batch = session, inputs, output, batch
        self.action_size = action_size

    def __call__(self, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
        """The action, clipped to ``[-1, 1]``."""
        import jax
        import jax.numpy as jnp

        del parameters
        given = [observation]
        if len(self._inputs) == 2:
            given.append(jnp.zeros(self.action_size) if noise is None else noise)
        answer = jax.ShapeDtypeStruct((self.action_size,), jnp.float32)
        action = jax.pure_callback(self.on_host, answer, *given, vmap_method="broadcast_all")
        return jnp.clip(action, -1.0, 1.0)

    def on_host(self, *given: Any) -> np.ndarray:
        """The graph's output for arrays with any leading axes, as NumPy arrays."""
        arrays = [np.asarray(array) for array in given]
        leading = arrays[0].shape[:-1]
        rows = [array.reshape(-1, array.shape[-1]) for array in arrays]
        count = len(rows[0])
        step = self._batch or count
        parts = [self._run([array[i : i + step] for array in rows], step) for i in range(0, count, step)]
        return np.concatenate(parts).reshape(*leading, -1)

    def _run(self, rows: Sequence[np.ndarray], step: int) -> np.ndarray:
        count = len(rows[0])
        # a graph with a fixed batch size needs all rows
        padded = [np.concatenate([array, np.zeros((step - count, array.shape[1]), array.dtype)]) for array in rows]
        feed = {
            name: np.ascontiguousarray(array, kind)
            for (name, kind), array in zip(self._inputs.items(), padded, strict=True)
        }
        (action,) = self._session.run([self._output], feed)
        return np.asarray(action, np.float32)[:count]


def read_onnx(path: Path) -> PolicySource:
    """Reads an ONNX file whose input is ``[batch, observation]`` and whose output is ``[batch, action]``.

    A second input is allowed if it is the noise of this package's own exports. If there are several outputs, the one
    called ``action`` or ``actions`` is used, else the first.

    Raises:
      ConfigError: ONNX Runtime is not installed.
      CheckpointError: ONNX Runtime cannot read the file, or the graph has other inputs or outputs.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading ONNX files needs ONNX Runtime ({error}): pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # a policy is small, and the physics uses the other threads
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # any: ONNX Runtime's own exceptions have no public base
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path} is not an ONNX file that ONNX Runtime can read ({reason}).") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    sees = inputs[0] if inputs else None
    size = sees.shape[1] if sees is not None and len(sees.shape) == 2 else None
    extra = [x.name for x in inputs[1:]]
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
    if (
        sees is None
        or not isinstance(size, int)
        or extra not in ([], ["noise"])
        or any(x.type not in types for x in inputs)
    ):
        found = ", ".join(f"{x.name} {x.type} {x.shape}" for x in inputs) or "none"
        raise CheckpointError(f"{path}: expected one input of real numbers, [batch, observation]; its inputs: {found}.")
    output = next((x.name for x in outputs if x.name.lower() in ("action", "actions")), outputs[0].name)
    batch = sees.shape[0] if isinstance(sees.shape[0], int) else None
    network = partial(OnnxNetwork, session, {x.name: types[x.type] for x in inputs}, output, batch)
    noise = [np.zeros((1, int(inputs[1].shape[-1])))] if extra else []
    try:
        action = network().on_host(np.zeros((1, size)), *noise)
    except Exception as error:  # any: ONNX Runtime's own exceptions have no public base
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path}: ONNX Runtime cannot compute {output} of {size} zeros ({reason}).") from error
    if action.ndim != 2 or len(action) != 1:
        shape = next(x.shape for x in outputs if x.name == output)
        raise CheckpointError(f"{path}: its output {output} has shape {shape}, expected [batch, action].")
    if not np.isfinite(action).all():
        raise CheckpointError(f"{path}: its action for an observation of zeros is not finite.")
    return PolicySource(
        name=path.name,
        sha256=_sha256(path),
        observation_size=size,
        action_size=action.shape[1],
        stochastic=bool(extra),
        network=network(action.shape[1]),
        parameters={},
    )


# An environment's observation, made as long as a policy's


@dataclasses.dataclass(frozen=True)
class Padded:
    """A network whose input is a part of the observation, followed by zeros and ones.

    Attributes:
      network: the network of the padded observation.
      keep: how many numbers of the observation are used.
      zeros: how many zeros follow.
      ones: how many ones follow.
    """

    network: Network
    keep: int
    zeros: int
    ones: int

    def __call__(self, parameters: Mapping[str, Any], observation: Any, noise: Any = None) -> Any:
        """The action in ``[-1, 1]``."""
        import jax.numpy as jnp

        seen = jnp.concatenate([observation[: self.keep], jnp.zeros(self.zeros), jnp.ones(self.ones)])
        return self.network(parameters, seen, noise)
