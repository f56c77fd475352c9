"""What the runs of a sweep have logged (``metrics.jsonl``).

This module does not import JAX, wait for a run, or change a file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smac_jax.sweep.run_names import RunName


class Log(NamedTuple):
    """The metrics that a run has logged.

    Attributes:
      metrics: metrics of training, each ``[point, seed]``; and ``phase`` and ``step``, ``[point]``.
      evaluations: results of evaluations, each ``[seed, evaluation]``; and ``step``, ``[evaluation]``.
    """

    metrics: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]


def read_log(paths: Sequence[Path], seeds: int, until: float = np.inf) -> Log:
    """Reads the ``metrics.jsonl`` of a run. Missing values are NaN; a line that cannot be read is skipped.

    Args:
      paths: the file; or the files of several runs, each of which resumed from the previous one. A missing file counts
        as empty.
      seeds: the number of seeds of the run.
      until: points after this step of the main phase are skipped.
    """
    lines: list[str] = []
    for path in paths:
        with contextlib.suppress(OSError):
            lines += path.read_text(encoding="utf-8").splitlines()
    points: list[dict[str, Any]] = []
    for line in lines:
        try:
            point = json.loads(line)
            kept = point["phase"] not in ("offline", "evaluation") or point["step"] <= until
        except (ValueError, KeyError, TypeError):  # the last line may be incomplete
            continue
        if kept:
            points.append(point)
    training = [point for point in points if point["phase"] != "evaluation"]
    evaluated = [point for point in points if point["phase"] == "evaluation"]
    labels = {"phase": np.array([point["phase"] for point in training], str), "step": _steps(training)}
    metrics = {name: np.stack(rows) for name, rows in _columns(training, seeds).items()}
    evaluations = {name: np.stack(rows, axis=1) for name, rows in _columns(evaluated, seeds).items()}
    return Log(metrics | labels, evaluations | {"step": _steps(evaluated)})


def _steps(points: list[dict[str, Any]]) -> np.ndarray:
    return np.array([point["step"] for point in points], float)


def _columns(points: list[dict[str, Any]], seeds: int) -> dict[str, list[np.ndarray]]:
    names = {name for point in points for name, value in point.items() if _is_row(value, seeds)}
    missing = [None] * seeds
    return {
        name: [
            np.array(value if _is_row(value := point.get(name), seeds) else missing, float) for point in points
        ]
        for name in sorted(names)
    }  # fmt: skip


def _is_row(value: Any, seeds: int) -> bool:
    numbers = isinstance(value, list) and all(x is None or isinstance(x, (int, float)) for x in value)
    return numbers and len(value) == seeds


def offline_logs(job: Path) -> list[Path]:
    """The logs of a job's offline training, in order; several if the job transfers from checkpoints."""
    runs = [run for path in job.glob("offline*") if (run := RunName.parse(path.name)) and run.kind == "offline"]
    return [job / str(run) / "metrics.jsonl" for run in sorted(runs, key=lambda run: run.order)]
