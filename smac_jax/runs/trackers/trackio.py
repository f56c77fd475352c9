"""Trackio: a database on this machine, without an account; ``trackio show`` opens its dashboard in a browser."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from smac_jax.errors import ConfigError
from smac_jax.runs.trackers.base import TrackedRun, require


class Trackio:
    """Writes to trackio's database (``~/.cache/huggingface/trackio``, or ``TRACKIO_DIR``).

    With ``TRACKIO_SPACE_ID`` or ``TRACKIO_SERVER_URL`` set, the points go to that server.

    Raises:
      ConfigError: trackio is not installed.
    """

    def __init__(self) -> None:
        require("trackio", "trackio")
        self._run: Any = None

    def open(self, run: TrackedRun) -> int:
        """Begins or resumes.

        Returns:
          0 for a run on this machine, which is written anew: a process that was killed may have left the last half
          second of its points unwritten. On a server, ``run.told``.

        Raises:
          ConfigError: trackio refuses the project's name, or the server.
        """
        import trackio

        name = f"{run.name} {run.id[:6]}"  # its runs are resumed by their names
        on_server = any(os.environ.get(variable) for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))
        try:
            if not on_server:
                with contextlib.suppress(ValueError):  # the project is new
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
            raise ConfigError(f"Trackio cannot be told ({error}).") from error
        return run.told if on_server else 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands a point to trackio's thread, which writes it within half a second."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Waits until everything is written."""
        with _quiet():
            self._run.finish()


def _quiet() -> contextlib.AbstractContextManager[Any]:
    """Without trackio's lines about each run, which would stand between those of the progress."""
    return contextlib.redirect_stdout(io.StringIO())
