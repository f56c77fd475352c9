"""Are the transfers of a sweep sound? Collects what its runs have logged for :mod:`smac_jax.analysis.diagnosis`.

This module does not import JAX, wait for a run, or change a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.diagnosis import CHECKS, CONSTRAINED, Evidence, Summary, gather, share_of, summarize
from smac_jax.analysis.fitting import Column, FittedTable
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.sweep.logs import offline_logs, read_log
from smac_jax.sweep.run_names import RunName
from smac_jax.sweep.state import SweepState, read_json
from smac_jax.sweep.unfinished import curve_of
from smac_jax.tasks import task_info
from smac_jax.text import name_of, start_of

NO_PENALTY = 1e-3
"""The largest kappa of a control without penalty: an adaptive kappa cannot start from a smaller value."""

Pair = tuple[str, str, int | None]
"""Labels of the offline and of the online algorithm, and the checkpoint (:attr:`TransferCurve.key`)."""


def read_evidence(sweep: SweepState) -> dict[str, dict[Pair, list[Evidence]]]:
    """Returns the evidence for every pair that has begun: for each data set and pair, one entry for each seed."""
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
            if run is None or run.kind != "online":
                continue
            try:
                curve = curve_of(job.folder, claimed, run)
                if curve is None:
                    continue
                constrained = online_algorithm(claimed, curve.online) in CONSTRAINED
                evidence = _evidence(curve, job.folder, run, of_kind, constrained)
            except (DatasetError, UnknownNameError):  # the report names these files
                continue
            found.setdefault(data_of(job.folder, claimed), {}).setdefault(curve.key, []).extend(evidence)
    return found


def _evidence(
    curve: TransferCurve, folder: Path, run: RunName, controls: Sequence[tuple[Path, int]], constrained: bool
) -> list[Evidence]:
    """Returns the evidence for every seed of one pair of a job.

    Args:
      curve: the learning curve of the pair.
      folder: the folder of the job.
      run: the run of fine-tuning.
      controls: the folders of jobs that differ from this one only in having no penalty, with their numbers of seeds.
      constrained: whether the online algorithm keeps the policy close to the data.
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
    found = gather(offline.metrics, offline.evaluations, online.evaluations, share, constrained)
    return found or [Evidence()] * seeds  # the run's log is missing


def online_algorithm(claimed: Mapping[str, Any], label: str) -> str | None:
    """Returns the name of the algorithm that fine-tunes under a label, according to ``job.json``; None if unknown."""

    def algorithm(key: str) -> str | None:
        return claimed[key].get("algorithm") if isinstance(claimed.get(key), dict) else None

    name = algorithm(f"online {label}")
    return algorithm("offline") if name == "same" else name


def has_no_penalty(claimed: Mapping[str, Any]) -> bool:
    """Returns whether a job trains SMAC without its penalty, according to its ``job.json``."""
    offline = claimed.get("offline")
    if not isinstance(offline, dict) or offline.get("algorithm") != "smac" or not claimed.get("seeds"):
        return False
    kappa = offline.get("config", {}).get("kappa")
    return isinstance(kappa, (int, float)) and kappa <= NO_PENALTY


def data_of(folder: Path, claimed: Mapping[str, Any]) -> str:
    """Returns the data set of a job, given its folder and its ``job.json``."""
    return str(claimed.get("data") or folder.parent.parent.name)


def _kind(folder: Path, claimed: Mapping[str, Any]) -> str:
    """What a job has in common with its control without penalty: data, algorithm, length, all fields but kappa's."""
    offline = claimed.get("offline")
    offline = offline if isinstance(offline, dict) else {}
    config = {name: value for name, value in offline.get("config", {}).items() if not name.startswith("kappa")}
    same = [data_of(folder, claimed), offline.get("algorithm"), config, offline.get("schedule")]
    return json.dumps(same, sort_keys=True)


HEADER = ("offline", "online", "verdict", *CHECKS)
"""The columns of the table, in the terminal and in the report."""
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
MARKS = (
    "(!): not sound. (?): could not be decided. An empty entry was not measured, or does not apply to this algorithm."
)


def summaries(found: Mapping[Pair, Sequence[Evidence]]) -> dict[Pair, Summary]:
    """Returns the verdict on each pair of a data set."""
    return {pair: summarize(evidence) for pair, evidence in found.items()}


def terminal(judged: Mapping[Pair, Summary], title: str, elsewhere: str = "") -> FittedTable:
    """Returns a table for a terminal; ``elsewhere`` is a file with the complete table."""
    return FittedTable(COLUMNS, [cells(pair, summary) for pair, summary in judged.items()], title, elsewhere)


def cells(pair: Pair, summary: Summary) -> list[str]:
    """Returns a row of the table, with the columns of :data:`HEADER`."""
    return [*names(pair), summary.verdict, *summary.cells.values()]


def names(pair: Pair) -> tuple[str, str]:
    """Returns the names of a pair in tables: the start of the transfer and the online algorithm."""
    offline, online, checkpoint = pair
    return start_of(offline, checkpoint), name_of(online)


def advice(judged: Mapping[Pair, Summary]) -> list[str]:
    """Recommendations, one sentence each, with the pairs to which they apply."""
    pairs: dict[str, list[str]] = {}
    for pair, summary in judged.items():
        for sentence in summary.advice:
            pairs.setdefault(sentence, []).append(" to ".join(names(pair)))
    return [f"{'; '.join(some)}: {sentence}" for sentence, some in pairs.items()]
