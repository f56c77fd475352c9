"""Logs the metrics of a run to ``metrics.jsonl`` and to trackers."""

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
"""The phase, the step in it, and the metrics: a number, or one number for each seed, by name."""


class MetricLogger:
    """Appends a line to ``metrics.jsonl`` for each point, and logs to trackers.

    A line is on disk when :meth:`log` returns, so an interrupted run keeps its metrics. The lines have the values of
    every seed; trackers show means over seeds.

    Args:
      folder: the folder of the run, which is created with the first point. Its earlier lines are kept until
        :meth:`restart`.
      title: the name of the run in the lines.
      trackers: trackers or their names; None for TensorBoard if tensorboardX is installed.
      project: the project of the run in the trackers.

    Raises:
      SmacError: as in :func:`~smac_jax.runs.trackers.connection.connections`.
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
        self._known: dict[str, Any] = {}  # the run's identifier, and the number of points of each tracker
        self._points = 0  # with a finite value

    def connect(self, config: Mapping[str, Any]) -> None:
        """Opens the trackers.

        Args:
          config: the identity of the run, which trackers record.

        Raises:
          ConfigError: a tracker cannot be opened.
        """
        self._config = to_json(config)
        for connection in self._connections:
            self._open(connection)

    def restart(self, points: Sequence[Point]) -> None:
        """Replaces the content of the file with these points, for a run that resumes from before its last line.

        Trackers that are not open are opened, and receive the points that they do not have.

        Raises:
          OSError: a file could not be written. The points are logged to the trackers nonetheless.
          SmacError: a tracker could not be opened, or raised an error. The points are logged to the others nonetheless.
        """
        errors: list[Exception] = []
        finite = [(step, means) for phase, step, metrics in points if (means := means_of(phase, metrics))]
        self._points = len(finite)
        with _collecting(errors):
            write_text(self._path, "".join(self._line(*point) for point in points))
        for connection in self._connections:
            with _collecting(errors):
                self._open(connection)
                for index, (step, means) in enumerate(finite):
                    connection.log(index, step, means)
        self._finish(errors)

    def log(self, phase: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Logs one point. Trackers that are not open, because of an error, receive it at the next :meth:`restart`.

        Args:
          phase: the phase of training.
          step: the step in that phase.
          metrics: a number, or one number for each seed, by name.

        Raises:
          OSError, SmacError: as in :meth:`restart`.
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
        """Closes the trackers after everything is written."""
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
                logged=self._known["logged"].get(connection.name, 0),
            )
        )

    def _remembered(self) -> dict[str, Any]:
        """The identifier of the run and the number of points of each tracker, from an earlier process or new."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found = json.loads(self._memory.read_text(encoding="utf-8"))
            return {"id": str(found["id"]), "logged": {str(name): int(n) for name, n in found["logged"].items()}}
        # random, because another machine may use the same folder name
        known = {"id": secrets.token_hex(8), "logged": {}}
        with contextlib.suppress(OSError):  # a full disk ends no run; it is written again with the first point
            write_json(self._memory, known)
        return known

    def _finish(self, errors: list[Exception]) -> None:
        """Writes the number of points of each tracker, and raises the first error."""
        logged = {connection.name: connection.held for connection in self._connections if connection.held is not None}
        if logged:
            self._known["logged"] |= logged
            with _collecting(errors):
                write_json(self._memory, self._known)
        if errors:
            raise errors[0]

    def _line(self, phase: str, step: int, metrics: Mapping[str, Any]) -> str:
        values = {name: np.asarray(value, float) for name, value in metrics.items()}
        line = {"run": self._title, "phase": phase, "step": int(step), **to_json(values)}
        return json.dumps(line, allow_nan=False) + "\n"


def means_of(phase: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The mean of each metric over the seeds with a finite value, by ``PHASE/NAME``; without any, it is left out."""
    means = {}
    for name, value in metrics.items():
        of_seeds = np.asarray(value, float)
        finite = of_seeds[np.isfinite(of_seeds)]
        if finite.size:
            means[f"{phase}/{name}"] = float(finite.mean())
    return means


@contextlib.contextmanager
def _collecting(errors: list[Exception]) -> Iterator[None]:
    """Appends an error to a list, so that the following statements are executed nonetheless."""
    try:
        yield
    except Exception as error:
        errors.append(error)
