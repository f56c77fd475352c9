"""Where a run's metrics are written: a file of lines, TensorBoard, Weights & Biases."""

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
