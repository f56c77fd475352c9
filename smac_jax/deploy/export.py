"""One trained policy as a file for somewhere else."""

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
    """Writes a policy that runs elsewhere.

    >>> smac_jax.export(on.actor_critic, "policy.onnx", seed=0)

    The file computes ``observation [batch, observation] -> action [batch, action]``, float32: observations in the
    environment's own units, actions in the box ``[-1, 1]``.

    A policy whose network is a Flax module of somebody's own is given as an actor-critic, and written as StableHLO
    alone. Samples of it are taken where its distribution is one of this package's.

    Args:
      source: whatever :func:`smac_jax.load` takes, what it gives, or an actor-critic.
      out: the file; its folder must be there.
      to: ``"npz"`` (for :func:`smac_jax.load`: NumPy alone), ``"stablehlo"`` (for ``jax.export.deserialize``; CPU, CUDA
        and TPU) or ``"onnx"`` (opset 17; needs the ``onnx`` package); default: what ``out`` ends in.
      seed: as for :func:`smac_jax.load`.
      batch: a fixed batch size; None leaves it open. Not for ``"npz"``, which takes any.
      sample: add an input ``noise [batch, action]``, standard normal, and compute a sample instead of the mode. Not for
        ``"npz"``, which does both.

    Returns:
      The policy that was written.

    Raises:
      CheckpointError: no policy at ``source``, or a file that cannot be written.
      ConfigError: no such seed, a batch size below 1, an option that the format has not, another source, a URL, or a
        network of somebody's own that this format cannot have.
      UnknownNameError: no such format.
    """
    out = local_path(out)
    to = to or out.suffix.removeprefix(".")
    if to not in FORMATS:
        raise UnknownNameError("export format", to, FORMATS)
    if to == "npz" and (batch is not None or sample):
        raise ConfigError("batch, sample: not for to = 'npz', which takes any batch and samples when it is asked to.")
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
    """The policy of one seed, or of all.

    Raises:
      ConfigError: a network of somebody's own, and another format than StableHLO: said before anything is read.
    """
    if isinstance(source, (str, os.PathLike)):
        if actor := own_actor(local_path(source)):
            _check_format(actor, to)
            raise ConfigError(
                f"{source}: the policy's network is {actor}, a Flax module of somebody's own. Give the actor-critic, "
                "as smac_jax.runs.checkpoint.load_actor_critic loads it; `smac-jax export --import=...` does."
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
