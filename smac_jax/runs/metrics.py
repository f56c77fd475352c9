"""Logs the metrics of a run to ``metrics.jsonl``, TensorBoard, and Weights & Biases."""

from __future__ import annotations

import functools
import importlib.util
import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.errors import ConfigError
from smac_jax.files import local_path, write_text
from smac_jax.runs.json_values import to_json


def check_wandb(project: str | None) -> None:
    """Checks that Weights & Biases is installed, if a project is given.

    Raises:
      ConfigError: it is not installed.
    """
    if project is not None and importlib.util.find_spec("wandb") is None:
        raise ConfigError("--wandb: Weights & Biases is not installed: `pip install wandb`, or omit --wandb.")


class MetricLogger:
    """Appends a line to ``metrics.jsonl`` for each point, and logs to TensorBoard if tensorboardX is installed.

    A line is on disk when :meth:`log` returns, so an interrupted run keeps its metrics. The lines have the values of
    every seed; TensorBoard and Weights & Biases show means over seeds.

    Args:
      folder: the folder of the run, which is created with the first point. Its earlier lines are kept until
        :meth:`restart`.
      wandb: a Weights & Biases project to log to. A run that is resumed continues the same run there.

    Raises:
      ConfigError: ``wandb`` is given and not installed; or, from :meth:`connect` or the first point, it cannot be
        reached.
    """

    def __init__(self, folder: Path, wandb: str | None = None):
        check_wandb(wandb)
        self._path, self._project = local_path(folder) / "metrics.jsonl", wandb
        self._already_logged = 0

    @functools.cached_property
    def _board(self) -> Any:
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError:
            return None
        # not SummaryWriter: after an error its thread ends, and later every tenth point would wait for it forever
        folder = self._path.parent / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(folder / "events"))

    @functools.cached_property
    def _wandb(self) -> Any:
        import wandb

        folder = self._path.parent
        mark = folder / ".wandb-run"
        if not mark.exists():  # random, because another machine may use the same folder name
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
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"Weights & Biases cannot be reached ({reason}). Log in with `wandb login`, set WANDB_MODE=offline to "
                "upload later with `wandb sync`, or omit --wandb."
            ) from error
        run.define_metric("*", step_metric="step")
        # an earlier process was ahead of its snapshot, so the first repeated points have been logged already
        self._already_logged = run.starting_step if run.resumed else 0
        return run

    def connect(self) -> None:
        """Connects to Weights & Biases, if a project is given.

        Raises:
          ConfigError: it cannot be reached.
        """
        if self._project is not None:
            _ = self._wandb

    def restart(self, run: str, points: Sequence[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Replaces the content of the files with these points, for a run that resumes from before its last line."""
        self.close()
        shutil.rmtree(self._path.parent / "tensorboard", ignore_errors=True)
        write_text(self._path, "".join(self._line(run, *point) for point in points))
        for point in points:
            self._show(run, *point, earlier=True)

    def log(self, run: str, phase: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Logs one point.

        Args:
          run: the name of the run.
          phase: the phase of training.
          step: the step in that phase.
          metrics: a number, or one number for each seed, by name.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(run, phase, step, metrics))
        self._show(run, phase, step, metrics)

    def close(self) -> None:
        """Closes TensorBoard and Weights & Biases after everything is written."""
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
        wandb_run = self._wandb
        # points that an earlier process has logged cannot be removed, and must not be logged again
        if self._already_logged > 0:
            self._already_logged -= 1
        elif not (earlier and wandb_run.resumed):
            wandb_run.log({**means, "step": int(step)})
