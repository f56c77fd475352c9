"""Exports a trained policy to a file for NumPy, JAX or ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from smac_jax.config import true_or_false, whole_number
from smac_jax.deploy.flax_policy import FlaxPolicy
from smac_jax.deploy.load import load, own_actor
from smac_jax.deploy.policy import NumpyPolicy, TrainedActor, computes, only_by_jax
from smac_jax.deploy.policy_file import write_bytes, write_policy
from smac_jax.errors import CheckpointError, ConfigError, UnknownNameError
from smac_jax.files import local_path

FORMATS = ("npz", "stablehlo", "onnx")


def export(
    source: str | os.PathLike[str] | NumpyPolicy | FlaxPolicy | TrainedActor,
    out: str | os.PathLike[str],
    to: str | None = None,
    *,
    seed: int | Literal["all"] | None = None,
    batch: int | None = None,
    sample: bool = False,
) -> NumpyPolicy | FlaxPolicy:
    """Exports a trained policy to a file.

    >>> smac_jax.export(on.actor_critic, "policy.onnx", seed=0)

    The file computes ``observation [batch, observation] -> action [batch, action]`` in float32, from observations in
    the environment's own units to actions in the box ``[-1, 1]``.

    If the policy's network is a user's own Flax module, ``source`` must be an actor-critic, and StableHLO is the only
    format. Its actions can be sampled if its distribution is one of this package's.

    Args:
      source: a path that :func:`smac_jax.load` takes, a policy that it returns, or an actor-critic.
      out: the path of the file; its folder must exist.
      to: ``"npz"`` (for :func:`smac_jax.load`, NumPy only), ``"stablehlo"`` (for ``jax.export.deserialize`` on CPU,
        CUDA and TPU) or ``"onnx"`` (opset 17; needs the ``onnx`` package); default: the suffix of ``out``.
      seed: as for :func:`smac_jax.load`.
      batch: a fixed batch size; None for any. Not for ``"npz"``, which takes any batch size.
      sample: whether to add an input ``noise [batch, action]``, standard normal, and compute a sample instead of the
        mode. Not for ``"npz"``, which can compute both.

    Returns:
      The policy that was written.

    Raises:
      CheckpointError: there is no policy at ``source``, or the file cannot be written.
      ConfigError: the seed does not exist, the batch size is below 1, the format does not have an option or does not
        support the network, ``source`` has another type, or a path is a URL.
      UnknownNameError: the format does not exist.
    """
    out = local_path(out)
    to = to or out.suffix.removeprefix(".")
    if to not in FORMATS:
        raise UnknownNameError("export format", to, FORMATS)
    if to == "npz" and (batch is not None or sample):
        raise ConfigError("batch, sample: not for to = 'npz', which takes any batch size and can always sample.")
    batch = None if batch is None else whole_number("batch", batch, 1)
    sample = true_or_false("sample", sample)
    policy = _policy_of(source, seed, to)
    try:
        if to == "npz":
            write_policy(out, policy)  # type: ignore[arg-type]  # _policy_of gives no other
        else:
            write_bytes(out, _serializer(to)(policy, batch, sample))
    except OSError as error:
        raise CheckpointError(f"{out} cannot be written ({error.strerror}).") from error
    return policy


def _policy_of(source: Any, seed: int | Literal["all"] | None, to: str) -> NumpyPolicy | FlaxPolicy:
    """The policy of one seed, or of all seeds.

    Raises:
      ConfigError: the network is a user's own, and the format is not StableHLO. Checked before anything is read.
    """
    if isinstance(source, (str, os.PathLike)):
        if actor := own_actor(local_path(source)):
            _check_format(actor, to)
            raise ConfigError(
                f"{source}: the policy's network is {actor}, a user's own Flax module. Give the actor-critic from "
                "smac_jax.runs.checkpoint.load_actor_critic, or use `smac-jax export --import=...`."
            )
        return load(source, seed)
    if isinstance(source, (NumpyPolicy, FlaxPolicy)):
        found: NumpyPolicy | FlaxPolicy = source
    elif isinstance(source, TrainedActor):
        found = NumpyPolicy.of(source) if computes(source.actor) else FlaxPolicy.of(source)
    else:
        raise ConfigError(f"source is a {type(source).__name__}: give a path, a policy, or a result's .actor_critic.")
    if isinstance(found, FlaxPolicy):
        _check_format(type(found.actor_critic.actor).__qualname__, to)
    return found.select(seed)


def _check_format(actor: str, to: str) -> None:
    if to != "stablehlo":
        raise ConfigError(f"to = {to!r}: {only_by_jax(actor)}")


def _serializer(to: str) -> Callable[[Any, int | None, bool], bytes]:
    if to == "onnx":
        from smac_jax.deploy.to_onnx import to_onnx

        return to_onnx
    from smac_jax.deploy.to_stablehlo import to_stablehlo

    return to_stablehlo
