"""Weights & Biases. With ``WANDB_MODE=offline``, ``wandb sync`` uploads the run later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smac_jax.errors import ConfigError
from smac_jax.runs.trackers.base import TrackedRun, require


class WeightsAndBiases:
    """Logs to Weights & Biases. A resumed run continues the same run there.

    Raises:
      ConfigError: wandb is not installed.
    """

    def __init__(self) -> None:
        require("wandb", "wandb")
        self._run: Any = None

    def open(self, run: TrackedRun) -> int:
        """Starts or resumes the run.

        Returns:
          The number of points on the server. It is not known in offline mode, where all points are written again:
          ``wandb sync`` of the newest folder uploads the whole run.

        Raises:
          ConfigError: Weights & Biases cannot be reached.
        """
        import wandb

        try:
            self._run = wandb.init(
                project=run.project,
                id=run.id,
                name=run.name,
                config=dict(run.config),
                resume="allow",
                dir=run.folder,
            )
        except wandb.Error as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"Weights & Biases cannot be reached ({reason}). Log in with `wandb login`, set WANDB_MODE=offline to "
                "upload later with `wandb sync`, or omit the tracker 'wandb'."
            ) from error
        self._run.define_metric("*", step_metric="step")
        # an earlier process was ahead of its snapshot, so the first repeated points have been logged already
        return self._run.starting_step if self._run.resumed else 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Passes a point to the process of wandb, which uploads it."""
        self._run.log({**metrics, "step": step})

    def close(self) -> None:
        """Waits until everything is uploaded."""
        self._run.finish()
