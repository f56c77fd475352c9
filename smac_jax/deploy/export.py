"""One trained policy as a file for somewhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from smac_jax.config import true_or_false, whole_number
from smac_jax.deploy.load import load
from smac_jax.deploy.policy import NumpyPolicy, TrainedActor
from smac_jax.deploy.policy_file import write_bytes, write_policy
from smac_jax.errors import CheckpointError, ConfigError, UnknownNameError
from smac_jax.files import local_path

FORMATS = ("npz", "stablehlo", "onnx")


def export(
    source: str | os.PathLike[str] | NumpyPolicy | TrainedActor,
    out: str | os.PathLike[str],
    to: str | None = None,
    *,
    seed: int | Literal["all"] | None = None,
    batch: int | None = None,
    sample: bool = False,
) -> NumpyPolicy:
    """Writes a policy that runs elsewhere.

    >>> smac_jax.export(on.actor_critic, "policy.onnx", seed=0)

    The file computes ``observation [batch, observation] -> action [batch, action]``, float32: observations in the
    environment's own units, actions in the box ``[-1, 1]``.

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
      ConfigError: no such seed, a batch size below 1, an option that the format has not, another source, or a URL.
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
    if isinstance(source, (str, os.PathLike)):
        policy = load(source, seed)
    elif not isinstance(source, (NumpyPolicy, TrainedActor)):
        raise ConfigError(f"source is a {type(source).__name__}: give a path, a policy, or a result's .actor_critic.")
    else:
        policy = (source if isinstance(source, NumpyPolicy) else NumpyPolicy.of(source)).select(seed)
    try:
        if to == "npz":
            write_policy(out, policy)
        else:
            write_bytes(out, _serializer(to)(policy, batch, sample))
    except OSError as error:
        raise CheckpointError(f"{out} cannot be written ({error.strerror}).") from error
    return policy


def _serializer(to: str) -> Callable[[NumpyPolicy, int | None, bool], bytes]:
    if to == "onnx":
        from smac_jax.deploy.to_onnx import to_onnx

        return to_onnx
    from smac_jax.deploy.to_stablehlo import to_stablehlo

    return to_stablehlo
