"""Where a run's metrics are written: a file of lines, and trackers."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.files import local_path, write_json, write_text
from smac_jax.runs.json_values import to_json
from smac_jax.runs.trackers.base import TrackedRun, Tracker
from smac_jax.runs.trackers.connection import PROJECT, Connection, connections

Point = tuple[str, int, Mapping[str, Any]]
"""Phase, step, and metrics: each a number, or one for each seed."""


class MetricLogger:
    """Appends to ``metrics.jsonl``, a line for each point, and tells trackers.

    A line is on disk when :meth:`log` returns, so a run that is killed keeps what it measured. Trackers show means over
    seeds; the lines keep every seed.

    Args:
      folder: of the run; made with the first point. Lines of an earlier process stay until :meth:`restart`.
      title: of the run, in each line.
      trackers: names of trackers, or trackers; None: TensorBoard where tensorboardX is installed.
      project: that trackers put the run into.

    Raises:
      SmacError: as :func:`~smac_jax.runs.trackers.connection.connections`.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        trackers: Sequence[str | Tracker] | None = None,
        project: str = PROJECT,
    ):
        self._folder, self._title, self._project = local_path(folder), title, project
        self._path, self._memory = self._folder / "metrics.jsonl", self._folder / ".trackers.json"
        self._connections = connections(trackers)
        self._config: dict[str, Any] = {}
        self._known: dict[str, Any] = {}  # what earlier processes remembered, and now this one
        self._points = 0  # that trackers are told: those with a finite value

    def connect(self, config: Mapping[str, Any]) -> None:
        """Opens the trackers.

        Args:
          config: what the run is.

        Raises:
          ConfigError: a tracker cannot be opened.
        """
        self._config = to_json(config)
        for connection in self._connections:
            self._open(connection)

    def restart(self, points: Sequence[Point]) -> None:
        """Makes file and trackers hold these points, as a run needs that is resumed from before its last line.

        Trackers that are not open are opened.

        Raises:
          OSError: a file could not be written. The trackers are told nonetheless.
          SmacError: a tracker could not be opened, or raised an error. The others are told nonetheless.
        """
        errors: list[Exception] = []
        told = [(step, means) for phase, step, metrics in points if (means := means_of(phase, metrics))]
        self._points = len(told)
        with _collecting(errors):
            write_text(self._path, "".join(self._line(*point) for point in points))
        for connection in self._connections:
            with _collecting(errors):
                self._open(connection)
                for index, (step, means) in enumerate(told):
                    connection.log(index, step, means)
        self._finish(errors)

    def log(self, phase: str, step: int, metrics: Mapping[str, Any]) -> None:
        """One point. A tracker is told where it is open: after :meth:`restart`, until it raises an error.

        Args:
          phase: of training.
          step: in that phase.
          metrics: each a number, or one for each seed.

        Raises:
          OSError, SmacError: as for :meth:`restart`.
        """
        errors: list[Exception] = []
        with _collecting(errors):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._line(phase, step, metrics))
        if means := means_of(phase, metrics):
            for connection in self._connections:
                with _collecting(errors):
                    connection.log(self._points, int(step), means)
            self._points += 1
        self._finish(errors)

    def close(self) -> None:
        """Closes the trackers, with everything written."""
        for connection in self._connections:
            connection.close()

    def _open(self, connection: Connection) -> None:
        if connection.is_open:
            return
        if not self._known:
            self._known = self._remembered()
        connection.open(
            TrackedRun(
                name="/".join(self._folder.absolute().parts[-4:]),
                id=self._known["id"],
                project=self._project,
                folder=self._folder,
                config=self._config,
                told=self._known["told"].get(connection.name, 0),
            )
        )

    def _remembered(self) -> dict[str, Any]:
        """The run's identifier, and how many points each tracker was told; new ones where nothing is remembered."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found = json.loads(self._memory.read_text(encoding="utf-8"))
            return {"id": str(found["id"]), "told": {str(name): int(n) for name, n in found["told"].items()}}
        # the identifier is not made from the folder's name, which another machine may use too
        known = {"id": secrets.token_hex(8), "told": {}}
        write_json(self._memory, known)
        return known

    def _finish(self, errors: list[Exception]) -> None:
        """Remembers what the trackers were told, and raises the first error."""
        told = {connection.name: connection.held for connection in self._connections if connection.held is not None}
        if told:
            self._known["told"] |= told
            with _collecting(errors):
                write_json(self._memory, self._known)
        if errors:
            raise errors[0]

    def _line(self, phase: str, step: int, metrics: Mapping[str, Any]) -> str:
        values = {name: np.asarray(value, float) for name, value in metrics.items()}
        line = {"run": self._title, "phase": phase, "step": int(step), **to_json(values)}
        return json.dumps(line, allow_nan=False) + "\n"


def means_of(phase: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """``{"PHASE/NAME": mean over the seeds}``; a seed without a finite value is left out, and a name without any."""
    means = {}
    for name, value in metrics.items():
        of_seeds = np.asarray(value, float)
        finite = of_seeds[np.isfinite(of_seeds)]
        if finite.size:
            means[f"{phase}/{name}"] = float(finite.mean())
    return means


@contextlib.contextmanager
def _collecting(errors: list[Exception]) -> Iterator[None]:
    """Keeps an error, so that what comes after is done nonetheless."""
    try:
        yield
    except Exception as error:
        errors.append(error)
