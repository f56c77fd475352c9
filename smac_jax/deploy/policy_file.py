"""The policy file, which NumPy can read: the arrays, a description of the policy, and a checksum.

The file is an ``.npz`` (uncompressed zip of ``.npy``) with the arrays of :meth:`Architecture.shapes
<smac_jax.deploy.policy.Architecture.shapes>`, and ``about``, UTF-8 JSON as bytes: ``format``, ``version``,
``architecture``, ``seeds`` (a number, or a list for arrays with a leading seed axis), ``sha256``. Nothing in it is
unpickled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.deploy.policy import Architecture, NumpyPolicy
from smac_jax.errors import CheckpointError

POLICY_FILE = "policy.npz"
"""The name of the policy file in the folder of an actor-critic."""
FORMAT, VERSION = "smac_jax.policy", 1


def write_policy(path: Path, policy: NumpyPolicy) -> None:
    """Writes the file; an existing file is replaced atomically."""
    about = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": dataclasses.asdict(policy.architecture),
        "seeds": policy.seeds,
    }
    # converted by JSON and back, so that the checksum is over the values that a reader gets
    about = json.loads(json.dumps(about))
    about["sha256"] = checksum(about, policy.arrays)
    content: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8), **policy.arrays}
    file = io.BytesIO()
    np.savez(file, **content)
    write_bytes(path, file.getvalue())


def read_policy(path: Path) -> NumpyPolicy:
    """Reads what :func:`write_policy` wrote.

    Raises:
      CheckpointError: not such a file, of a later version, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(arrays.pop("about").tobytes())
        name, version = about["format"], about["version"]
        if name != FORMAT:
            raise ValueError(f"its format is {name!r}")
    except Exception as error:  # any: what NumPy raises depends on where the damage is
        raise CheckpointError(
            f"{path} is damaged, or no policy file ({str(error) or type(error).__name__}). Policy files are called "
            f"{POLICY_FILE} in the folder of a run, and are written by `smac-jax export RUN --to=npz`."
        ) from error
    if version != VERSION:
        raise CheckpointError(
            f"{path} is of version {version}, this smac_jax reads version {VERSION}: use the one that wrote it."
        )
    try:
        if checksum(about, arrays) != about["sha256"]:
            raise ValueError("its checksum is not what it was")
        fields = about["architecture"]
        built = Architecture(**{**fields, "hidden": tuple(fields["hidden"])})
        seeds = about["seeds"]
        return NumpyPolicy(built, arrays, tuple(seeds) if isinstance(seeds, list) else seeds)
    except Exception as error:
        raise CheckpointError(f"{path} is damaged ({error}). Copy it again.") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file in one go: a reader, or a crash, meets the old one or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def checksum(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the description and every array's name, type, shape and numbers."""
    described = {name: value for name, value in about.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
