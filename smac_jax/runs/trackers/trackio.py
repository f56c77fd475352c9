"""Trackio: a local database, without an account. ``trackio show`` opens its dashboard in a browser."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from smac_jax.errors import ConfigError
from smac_jax.runs.trackers.base import TrackedRun, require


class Trackio:
    """Logs to trackio's database (``~/.cache/huggingface/trackio``, or ``TRACKIO_DIR``).

    If ``TRACKIO_SPACE_ID`` or ``TRACKIO_SERVER_URL`` is set, it logs to that server instead.

    Raises:
      ConfigError: trackio is not installed.
    """

    def __init__(self) -> None:
        require("trackio", "trackio")
        self._run: Any = None

    def open(self, run: TrackedRun) -> int:
        """Starts or resumes the run.

        Returns:
          0 for the local database, in which the run is written again, because a killed process may not have written
          the points of its last half second; ``run.logged`` for a server.

        Raises:
          ConfigError: trackio rejects the name of the project, or cannot reach the server.
        """
        import trackio

        name = f"{run.name} {run.id[:6]}"  # trackio resumes runs by their names
        on_server = any(os.environ.get(variable) for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))
        try:
            if not on_server:
                with contextlib.suppress(ValueError):  # the project does not exist yet
                    for earlier in trackio.Api().runs(run.project):
                        if earlier.name == name:
                            earlier.delete()
            with _quiet():
                self._run = trackio.init(
                    project=run.project,
                    name=name,
                    config=dict(run.config),
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
        except (ValueError, OSError) as error:
            raise ConfigError(f"Trackio cannot be used ({error}).") from error
        return run.logged if on_server else 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Passes a point to the thread of trackio, which writes it within half a second."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Waits until everything is written."""
        with _quiet():
            self._run.finish()


def _quiet() -> contextlib.AbstractContextManager[Any]:
    """Hides the lines that trackio prints about each run, which would break the progress bar."""
    return contextlib.redirect_stdout(io.StringIO())
