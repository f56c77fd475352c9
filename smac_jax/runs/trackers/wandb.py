"""Weights & Biases, online or (``WANDB_MODE=offline``) to be sent later by ``wandb sync``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smac_jax.errors import ConfigError
from smac_jax.runs.trackers.base import TrackedRun, require


class WeightsAndBiases:
    """One run of theirs for one of ours, however often it is resumed.

    Raises:
      ConfigError: wandb is not installed.
    """

    def __init__(self) -> None:
        require("wandb", "wandb")
        self._run: Any = None

    def open(self, run: TrackedRun) -> int:
        """Begins or resumes.

        Returns:
          How many points the server has. An offline run does not know; all its points are written again, and
          ``wandb sync`` of the newest folder is the whole run.

        Raises:
          ConfigError: there is no login, or no such project.
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
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"Weights & Biases cannot be told ({said}). Log in with `wandb login`, set WANDB_MODE=offline to send "
                f"it later by `wandb sync`, or leave wandb out of --tracker."
            ) from error
        self._run.define_metric("*", step_metric="step")
        # a process that was killed was ahead of its snapshot: what is computed again is there already
        return self._run.starting_step if self._run.resumed else 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands a point to their process, which sends it."""
        self._run.log({**metrics, "step": step})

    def close(self) -> None:
        """Waits until everything is sent."""
        self._run.finish()
