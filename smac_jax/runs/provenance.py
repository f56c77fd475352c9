"""The provenance of results: command, versions, device, commit and configuration."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from smac_jax import plugins
from smac_jax.files import local_path, write_json
from smac_jax.runs.json_values import to_json
from smac_jax.version import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy", "gymnasium")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages on which results depend."""
    found = {"python": platform.python_version(), "smac_jax": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_description() -> str:
    """The kind and number of JAX's devices, and the processor."""
    devices = jax.devices()
    # the cores that this process may use, if the system tells; a container often has fewer than the machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{len(devices)} x {devices[0].device_kind} ({platform.machine()}, {cores} cores)"


def git_commit() -> str | None:
    """The commit of the checkout that contains this package, with ``-dirty`` if files differ from it."""
    try:
        described = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        here = Path(__file__).parent
        result = subprocess.run(
            described,
            cwd=here,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def write_provenance(folder: Path, **what: Any) -> dict[str, Any]:
    """Writes ``provenance.json`` with command, date, device, platform, versions, commit, imports, and given entries.

    Args:
      folder: the folder of the results.
      what: further entries, such as ``config``, ``data`` and ``seeds``.

    Returns:
      The record that was written.
    """
    provenance = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device_description(),
        "platform": platform.platform(),
        "versions": versions(),
        "commit": git_commit(),
        **({"imports": imports} if (imports := plugins.record()) else {}),
        **to_json(what),
    }
    write_json(local_path(folder) / "provenance.json", provenance)
    return provenance


def command_line(without: Sequence[str] = ()) -> str:
    """The command line of this process, with ``XLA_FLAGS`` if it is set.

    Args:
      without: names of flags to leave out, such as the folder of the results, if they are written ``--flag=value``.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if sys.argv[0].startswith("smac-jax "):
        program = sys.argv[0]
    else:
        program = f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {Path(sys.argv[0]).name}"
    flags = os.environ.get("XLA_FLAGS", "")
    with_flags = [f"XLA_FLAGS={shlex.quote(flags)}"] if flags else []
    arguments = [a for a in sys.argv[1:] if a.partition("=")[0].lstrip("-") not in without]
    return " ".join([*with_flags, program, *(shlex.quote(argument) for argument in arguments)])
