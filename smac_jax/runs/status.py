"""Reads ``status.json``, in which a run records its progress.

The run writes the file while it trains (:class:`smac_jax.runs.folder.RunFolder`), so it may be missing, incomplete or
damaged. This module does not import JAX.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smac_jax.runs.pace import COMPILATION, EVALUATION, TimeLeft

FILE = "status.json"


@dataclasses.dataclass(frozen=True)
class RunStatus:
    """The last status of a run. Texts are single lines; numbers are finite, or None if they are missing.

    Attributes:
      found: whether there is a file, even if it cannot be read.
      state: running, done, stopped (on request) or failed; empty if the file cannot be read.
      title: the name of the run.
      phase: the title of the current phase.
      doing: the activity: training, compilation or evaluation.
      done, total: the steps of the phase.
      rate: steps per second.
      left: the estimated time that the run still takes.
      took: seconds so far, by stage.
      last_return: the mean return of the newest evaluation over seeds.
      diverged: the seeds that have diverged, each with the step.
      time: the time of writing, in seconds since 1970.
      error: the error of a failed run.
    """

    found: bool = False
    state: str = ""
    title: str = ""
    phase: str = ""
    doing: str = ""
    done: float | None = None
    total: float | None = None
    rate: float | None = None
    left: TimeLeft | None = None
    took: Mapping[str, float] = dataclasses.field(default_factory=dict)
    last_return: float | None = None
    diverged: Mapping[int, int] = dataclasses.field(default_factory=dict)
    time: float | None = None
    error: str = ""


def read_status(run: Path) -> RunStatus:
    """The status of the run in a folder.

    Raises:
      OSError, ValueError: the path is invalid, or reading the folder is not permitted.
    """
    path = run / FILE
    written = read_json(path)
    seconds = finite_number(written.get("seconds_left"))
    took = {str(stage): finite_number(value) for stage, value in _mapping(written.get("took")).items()}
    diverged = {str(seed): finite_number(step) for seed, step in _mapping(written.get("diverged")).items()}
    return RunStatus(
        found=bool(written) or path.exists(),
        state=first_line(written.get("state")),
        title=first_line(written.get("title")),
        phase=first_line(written.get("phase")),
        doing=first_line(written.get("doing")),
        done=finite_number(written.get("done")),
        total=finite_number(written.get("total")),
        rate=finite_number(written.get("rate")),
        left=None if seconds is None else TimeLeft(seconds, written.get("at_least", True) is not False),
        took={stage: value for stage, value in took.items() if value is not None},
        last_return=finite_number(written.get("last_return")),
        diverged={int(seed): int(step or 0) for seed, step in diverged.items() if seed.isdecimal()},
        time=finite_number(written.get("time")),
        error=first_line(written.get("error")),
    )


def steps_text(phase: str, done: float | None, total: float | None, doing: str) -> str:
    """The progress as text: ``SMAC: offline 2,000/5,000, compiling``; empty if the number of steps is unknown."""
    if not total:
        return ""
    return ", ".join(part for part in (f"{phase} {done or 0:,.0f}/{total:,.0f}".strip(), doing_text(doing)) if part)


def doing_text(doing: str) -> str:
    """The activity of a run as text; empty for training."""
    return {COMPILATION: "compiling", EVALUATION: "evaluating"}.get(doing, "")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first_line(text: Any) -> str:
    """The first line of any value's text, shortened."""
    lines = str(text or "").strip().splitlines()
    return lines[0][:300] if lines else ""


def finite_number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
