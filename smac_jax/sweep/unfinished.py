"""Learning curves of transfers that are not done, from what their runs have logged so far.

The log of a run has the mean return of each evaluation and seed. Returns of single episodes are kept only when a run is
done, so an unfinished curve has none. This module does not import JAX, wait for a run, or change a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.analysis.curves import TransferCurve
from smac_jax.sweep.logs import offline_logs, read_log
from smac_jax.sweep.run_names import RunName


def curve_of(job: Path, claimed: Mapping[str, Any], run: RunName) -> TransferCurve | None:
    """Returns the learning curve of a pair, up to the newest evaluation if it is not done (:func:`curve_so_far`)."""
    path = job / run.curve
    return TransferCurve.from_json(path) if path.exists() else curve_so_far(job, claimed, run)


def curve_so_far(job: Path, claimed: Mapping[str, Any], run: RunName) -> TransferCurve | None:
    """Returns the learning curve of a pair up to the newest evaluation, or None if fine-tuning has not begun.

    Args:
      job: the folder of the job.
      claimed: the content of its ``job.json``.
      run: the run of fine-tuning.

    Raises:
      DatasetError: what is logged is no learning curve.
    """
    seeds, offline, online = claimed.get("seeds"), claimed.get("offline"), claimed.get(f"online {run.online}")
    if not (seeds and isinstance(offline, dict) and isinstance(online, dict)):
        return None
    checkpoint = np.inf if run.checkpoint is None else run.checkpoint
    steps, returns = _evaluations([job / str(run) / "metrics.jsonl"], len(seeds))
    if not steps.size or steps[0] != 0:
        return None
    updates, before = _evaluations(offline_logs(job), len(seeds), checkpoint)
    schedule = online.get("schedule", {})
    warm_start = int(schedule.get("warm_start", 0))
    control_steps, control = _evaluations([job / str(run._replace(kind="control")) / "metrics.jsonl"], len(seeds))
    return TransferCurve(
        task=str(claimed.get("task", "")),
        offline=str(offline.get("label", "")),
        online=str(online.get("label", "")),
        offline_updates=updates,
        offline_returns=before,
        online_steps=steps,
        online_returns=returns,
        # until the warm start is over, only the evaluation at the transfer exists
        warm_start=min(warm_start, int(steps[-1])),
        control_steps=control_steps - (control_steps[0] if control_steps.size else 0),
        control_returns=control,
        seeds=tuple(seeds),
        checkpoint=run.checkpoint,
        planned_steps=warm_start + int(schedule.get("num_steps", 0)),
    )


def _evaluations(paths: list[Path], seeds: int, until: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """The steps and the returns ``[seed, evaluation]`` in some logs; of two evaluations at one step, the later one."""
    evaluations = read_log(paths, seeds, until).evaluations
    if "return" not in evaluations:
        return np.zeros(0), np.zeros((0, 0))
    last = {step: i for i, step in enumerate(evaluations["step"])}
    return np.array(list(last)), evaluations["return"][:, list(last.values())]
