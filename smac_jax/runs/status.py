"""How far a run is, as it says itself in ``status.json``: the one place that reads the file.

The run writes it while it trains (:class:`smac_jax.runs.folder.RunFolder`); whoever reads it must expect a file that is
missing, half written or damaged. Nothing here imports JAX.
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
    """What a run said last. Text is one line; numbers are finite, and None where the file does not have them.

    Attributes:
      found: whether there is a file, readable or not.
      state: running, done, stopped (as it was asked to) or failed; empty where the file cannot be read.
      title: of the run, for people.
      phase: what it is at.
      doing: training, compilation or evaluation.
      done, total: steps of the phase.
      rate: steps a second.
      left: how long the run still takes.
      took: seconds so far, by stage.
      last_return: of the newest evaluation, mean over seeds.
      diverged: seeds that were frozen, and the step of each.
      time: when it was written, in seconds since 1970.
      error: what went wrong.
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
    """The status of the run whose folder this is.

    Raises:
      OSError, ValueError: a path that no file can have, or a folder that must not be read.
    """
    path = run / FILE
    told = read_json(path)
    seconds = finite_number(told.get("seconds_left"))
    took = {str(stage): finite_number(value) for stage, value in _mapping(told.get("took")).items()}
    diverged = {str(seed): finite_number(step) for seed, step in _mapping(told.get("diverged")).items()}
    return RunStatus(
        found=bool(told) or path.exists(),
        state=first_line(told.get("state")),
        title=first_line(told.get("title")),
        phase=first_line(told.get("phase")),
        doing=first_line(told.get("doing")),
        done=finite_number(told.get("done")),
        total=finite_number(told.get("total")),
        rate=finite_number(told.get("rate")),
        left=None if seconds is None else TimeLeft(seconds, told.get("at_least", True) is not False),
        took={stage: value for stage, value in took.items() if value is not None},
        last_return=finite_number(told.get("last_return")),
        diverged={int(seed): int(step or 0) for seed, step in diverged.items() if seed.isdecimal()},
        time=finite_number(told.get("time")),
        error=first_line(told.get("error")),
    )


def steps_text(phase: str, done: float | None, total: float | None, doing: str) -> str:
    """``SMAC: offline 2,000/5,000, compiling``; empty where the number of steps is not known."""
    if not total:
        return ""
    return ", ".join(part for part in (f"{phase} {done or 0:,.0f}/{total:,.0f}".strip(), doing_text(doing)) if part)


def doing_text(doing: str) -> str:
    """What a run does that is no training, for people."""
    return {COMPILATION: "compiling", EVALUATION: "evaluating"}.get(doing, "")


def read_json(path: Path) -> dict[str, Any]:
    """An object in a file; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first_line(text: Any) -> str:
    """The first line of a text that may be anything, and no longer than a line."""
    lines = str(text or "").strip().splitlines()
    return lines[0][:300] if lines else ""


def finite_number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
