"""Are the transfers of a sweep sound? What its runs have logged, gathered for :mod:`smac_jax.analysis.diagnosis`.

Nothing here imports JAX, waits for a run, or changes a file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.diagnosis import CHECKS, Evidence, Summary, gather, share_of, summarize
from smac_jax.analysis.fitting import Column, FittedTable
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.sweep.run_names import RunName
from smac_jax.sweep.state import SweepState, read_json
from smac_jax.tasks import task_info
from smac_jax.text import name_of, start_of

NO_PENALTY = 1e-3
"""The largest kappa of a control without penalty: where kappa adapts, it cannot start from less."""

Pair = tuple[str, str, int | None]
"""Labels of the offline and of the online algorithm, and the checkpoint (:attr:`TransferCurve.key`)."""


class Log(NamedTuple):
    """What a run has logged.

    Attributes:
      metrics: of training, ``[point, seed]``; with ``phase`` and ``step``, ``[point]``.
      evaluations: ``[seed, evaluation]``; with ``step``, ``[evaluation]``.
    """

    metrics: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]


def read_log(paths: Sequence[Path], seeds: int, until: float = np.inf) -> Log:
    """Reads ``metrics.jsonl`` of a run. What is not there is NaN; a line that cannot be read is left out.

    Args:
      paths: of the file, or of those of several runs of which each went on from the one before. One that is missing
        is empty.
      seeds: how many the run has.
      until: leaves out what comes after this step of the main phase.
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
        except (ValueError, KeyError, TypeError):  # the last one, which is being written
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


def read_evidence(sweep: SweepState) -> dict[str, dict[Pair, list[Evidence]]]:
    """The evidence of every pair whose curve is there, seed by seed, by data set."""
    jobs = [(job, read_json(job.folder / "job.json")) for job in sweep.jobs]
    controls = [
        (_kind(job.folder, claimed), job.folder, len(claimed["seeds"]))
        for job, claimed in jobs
        if has_no_penalty(claimed)
    ]
    found: dict[str, dict[Pair, list[Evidence]]] = {}
    for job, claimed in jobs:
        of_kind = [(folder, seeds) for kind, folder, seeds in controls if kind == _kind(job.folder, claimed)]
        for run in (RunName.parse(run.name) for run in job.runs):
            if run is None or run.kind != "online" or not (job.folder / run.curve).exists():
                continue
            try:
                curve = TransferCurve.from_json(job.folder / run.curve)
                evidence = _evidence(curve, job.folder, run, of_kind)
            except (DatasetError, UnknownNameError):  # which the page names
                continue
            found.setdefault(data_of(job.folder, claimed), {}).setdefault(curve.key, []).extend(evidence)
    return found


def _evidence(curve: TransferCurve, folder: Path, run: RunName, controls: Sequence[tuple[Path, int]]) -> list[Evidence]:
    """Of every seed of one pair of one job.

    Args:
      curve: of the pair.
      folder: of the job.
      run: of fine-tuning.
      controls: jobs without penalty that are like this one otherwise, with how many seeds they have.
    """
    seeds = len(curve.online_returns)
    transferred = float(curve.offline_updates[-1]) if curve.offline_updates.size else np.inf
    offline = read_log(offline_logs(folder), seeds, transferred)
    online = read_log([folder / str(run) / "metrics.jsonl"], seeds)
    share = None
    logs = [read_log(offline_logs(place), count, transferred) for place, count in controls]
    of_controls = [log.evaluations["return"][:, -1] for log in logs if "return" in log.evaluations]
    if of_controls and curve.offline_returns.size:
        random_return = task_info(curve.task).random_return
        share = share_of(curve.offline_returns[:, -1], np.concatenate(of_controls), random_return)
    found = gather(offline.metrics, offline.evaluations, online.evaluations, share)
    return found or [Evidence()] * seeds  # of a run whose log is gone


def offline_logs(job: Path) -> list[Path]:
    """Of a job's offline training: of several runs, in order, where it transfers from checkpoints."""
    runs = [run for path in job.glob("offline*") if (run := RunName.parse(path.name)) and run.kind == "offline"]
    return [job / str(run) / "metrics.jsonl" for run in sorted(runs, key=lambda run: run.order)]


def has_no_penalty(claimed: Mapping[str, Any]) -> bool:
    """Whether a job, given its ``job.json``, trains SMAC without its penalty."""
    offline = claimed.get("offline")
    if not isinstance(offline, dict) or offline.get("algorithm") != "smac" or not claimed.get("seeds"):
        return False
    kappa = offline.get("config", {}).get("kappa")
    return isinstance(kappa, (int, float)) and kappa <= NO_PENALTY


def data_of(folder: Path, claimed: Mapping[str, Any]) -> str:
    """The data set of a job, given its folder and its ``job.json``."""
    return str(claimed.get("data") or folder.parent.parent.name)


def _kind(folder: Path, claimed: Mapping[str, Any]) -> str:
    """What a job shares with its control without penalty: data, algorithm, length, and every field but kappa's."""
    offline = claimed.get("offline")
    offline = offline if isinstance(offline, dict) else {}
    config = {name: value for name, value in offline.get("config", {}).items() if not name.startswith("kappa")}
    same = [data_of(folder, claimed), offline.get("algorithm"), config, offline.get("schedule")]
    return json.dumps(same, sort_keys=True)


HEADER = ("offline", "online", "verdict", *CHECKS)
"""Of the table, here and on the page."""
COLUMNS = (
    Column("offline", justify="left", wraps=True),
    Column("online", justify="left", wraps=True),
    Column("verdict", justify="left", wraps=True),
    Column("cosine / residual", "cosine /\nresidual", rank=2),
    Column("optimism", rank=1),
    Column("random preferred", "random\npreferred", rank=1),
    Column("caught up", rank=1),
    Column("optimism at the end", "optimism\nat end", rank=4),
)
MARKS = "(!) is not sound, (?) could not be decided; what is empty was not measured, or is not asked of this algorithm."


def summaries(found: Mapping[Pair, Sequence[Evidence]]) -> dict[Pair, Summary]:
    """The judgment on each pair of a data set."""
    return {pair: summarize(evidence) for pair, evidence in found.items()}


def terminal(judged: Mapping[Pair, Summary], title: str, elsewhere: str = "") -> FittedTable:
    """A table for a terminal; ``elsewhere`` is a file with all of it."""
    return FittedTable(COLUMNS, [cells(pair, summary) for pair, summary in judged.items()], title, elsewhere)


def cells(pair: Pair, summary: Summary) -> list[str]:
    """A row under :data:`HEADER`."""
    return [*names(pair), summary.verdict, *summary.cells.values()]


def names(pair: Pair) -> tuple[str, str]:
    """What a transfer starts from, and the online algorithm, for people."""
    offline, online, checkpoint = pair
    return start_of(offline, checkpoint), name_of(online)


def advice(judged: Mapping[Pair, Summary]) -> list[str]:
    """What to do, a sentence a line, each with the pairs that it is for."""
    pairs: dict[str, list[str]] = {}
    for pair, summary in judged.items():
        for sentence in summary.advice:
            pairs.setdefault(sentence, []).append(" to ".join(names(pair)))
    return [f"{'; '.join(some)}: {sentence}" for sentence, some in pairs.items()]
