"""Where a run's numbers go, and what is written down of how they came about."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smac_jax import plugins
from smac_jax.errors import ConfigError
from smac_jax.files import local_path, write_json, write_text
from smac_jax.version import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy", "gymnasium")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
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
    # what this process may use, where the system tells: a container often has fewer than the machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{len(devices)} x {devices[0].device_kind} ({platform.machine()}, {cores} cores)"


def git_commit() -> str | None:
    """The commit of the checkout that this package lies in, ``-dirty`` where files differ from it."""
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


def to_json(value: Any) -> Any:
    """Arrays as lists, dataclasses as objects, NaN and infinity as null, everything unknown as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [to_json(item) for item in value]
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return to_json(jax.random.key_data(value))
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return to_json(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def write_provenance(folder: Path, **what: Any) -> dict[str, Any]:
    """Writes ``provenance.json``: command, date, device, platform, versions, commit, imports, and what else is given.

    Args:
      folder: of the run.
      what: e.g. ``config`` as run, ``data`` and ``seeds``.

    Returns:
      What was written.
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
    """The command that this process was started with, as one would type it again; with the compiler's flags, if any.

    Args:
      without: flags that are left out, such as where the results go, as far as they are written ``--flag=value``.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if sys.argv[0].startswith("smac-jax "):
        program = sys.argv[0]
    else:
        program = f"python -m {spec.name}" if spec else f"python {Path(sys.argv[0]).name}"
    flags = os.environ.get("XLA_FLAGS", "")
    with_flags = [f"XLA_FLAGS={shlex.quote(flags)}"] if flags else []
    arguments = [a for a in sys.argv[1:] if a.partition("=")[0].lstrip("-") not in without]
    return " ".join([*with_flags, program, *(shlex.quote(argument) for argument in arguments)])


def check_wandb(project: str | None) -> None:
    """Looks whether Weights & Biases can be told of a project; None asks for nothing.

    Raises:
      ConfigError: it is not installed.
    """
    if project is not None and importlib.util.find_spec("wandb") is None:
        raise ConfigError("--wandb: Weights & Biases is not installed: `pip install wandb`, or leave --wandb away.")


class MetricLogger:
    """Appends to ``metrics.jsonl``, a line a point; and to TensorBoard's files where tensorboardX is installed.

    A line is on disk when :meth:`log` returns, so a run that is cut keeps what it measured. TensorBoard shows means
    over seeds; the lines keep every seed.

    Args:
      folder: of the run; made with the first point. Lines of an earlier run there are kept until :meth:`restart`.
      wandb: tell Weights & Biases too, in this project; one run of theirs, however often this one is resumed.

    Raises:
      ConfigError: ``wandb`` is given and not installed; or, by :meth:`connect` or the first point, it cannot be told.
    """

    def __init__(self, folder: Path, wandb: str | None = None):
        check_wandb(wandb)
        self._path, self._project = local_path(folder) / "metrics.jsonl", wandb
        self._there = 0

    @functools.cached_property
    def _board(self) -> Any:
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError:
            return None
        # not SummaryWriter: its thread ends at the first error, and then every tenth point waits for it for ever
        folder = self._path.parent / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(folder / "events"))

    @functools.cached_property
    def _wandb(self) -> Any:
        import wandb

        folder = self._path.parent
        mark = folder / ".wandb-run"
        if not mark.exists():  # not made from the folder's name, which another machine may use too
            write_text(mark, secrets.token_hex(8))
        try:
            run = wandb.init(
                project=self._project,
                id=mark.read_text(encoding="utf-8").strip(),
                resume="allow",
                dir=folder,
                name="/".join(folder.parts[-4:]),
            )
        except wandb.Error as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"Weights & Biases cannot be told ({said}). Log in with `wandb login`, set WANDB_MODE=offline to send "
                f"it later by `wandb sync`, or leave --wandb away."
            ) from error
        run.define_metric("*", step_metric="step")
        # a process that died was ahead of its snapshot: what is computed again is there already
        self._there = run.starting_step if run.resumed else 0
        return run

    def connect(self) -> None:
        """Finds out whether Weights & Biases can be told, if it is asked for.

        Raises:
          ConfigError: it cannot.
        """
        if self._project is not None:
            _ = self._wandb

    def restart(self, run: str, points: Sequence[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Makes the files hold these points and no others, as a run needs that goes on from before its last line."""
        self.close()
        shutil.rmtree(self._path.parent / "tensorboard", ignore_errors=True)
        write_text(self._path, "".join(self._line(run, *point) for point in points))
        for point in points:
            self._show(run, *point, earlier=True)

    def log(self, run: str, phase: str, step: int, metrics: Mapping[str, Any]) -> None:
        """One point.

        Args:
          run: the algorithm, or the pair.
          phase: of training.
          step: in that phase.
          metrics: each a number, or one a seed.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(run, phase, step, metrics))
        self._show(run, phase, step, metrics)

    def close(self) -> None:
        """Ends what writes in the background, all of it written."""
        board, run = self.__dict__.pop("_board", None), self.__dict__.pop("_wandb", None)
        if board is not None:
            board.close()
        if run is not None:
            run.finish()

    def _line(self, run: str, phase: str, step: int, metrics: Mapping[str, Any]) -> str:
        values = {name: np.asarray(value, float) for name, value in metrics.items()}
        return json.dumps({"run": run, "phase": phase, "step": int(step), **to_json(values)}, allow_nan=False) + "\n"

    def _show(self, run: str, phase: str, step: int, metrics: Mapping[str, Any], earlier: bool = False) -> None:
        means = {}
        for name, value in metrics.items():
            finite = np.asarray(value, float)
            finite = finite[np.isfinite(finite)]
            if finite.size:
                means[f"{phase}/{name}"] = float(finite.mean())
        if not means:
            return
        if self._board is not None:
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.summary import scalar

            for name, mean in means.items():
                self._board.write_event(
                    Event(wall_time=time.time(), step=int(step), summary=scalar(f"{run}/{name}", mean))
                )
            self._board.flush()
        if self._project is None:
            return
        told = self._wandb
        # what an earlier process has sent there cannot be taken back, and needs not be sent again
        if self._there > 0:
            self._there -= 1
        elif not (earlier and told.resumed):
            told.log({**means, "step": int(step)})
