"""The command `smac-jax sweep` in a process that kills itself at a given moment.

    python killed_sweep.py MOMENT SECONDS SWEEP_FLAGS ...

MOMENT is "none" or one of the moments that are printed as they come: "RUN compilation", "RUN PHASE" (of a run's folder
and the title of its phase), "warm start", "evaluation", "saving", "report". So many seconds after that moment a thread
sends SIGKILL to the process, whatever its other threads are doing. Compiled programs are cached in the folder CACHE.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import jax

from smac_jax import cli
from smac_jax.commands import sweep
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.pace import COMPILATION, EVALUATION, Standing


def kill_after(seconds: float) -> None:
    """Sends SIGKILL to this process from another thread after some seconds."""

    def wait_and_kill() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait_and_kill, daemon=True).start()


class Watch:
    """Waits for the moment in the functions that the sweep calls.

    Args:
      wanted: the moment.
      seconds: the seconds between the moment and the signal.
    """

    def __init__(self, wanted: str, seconds: float):
        self._wanted, self._seconds = wanted, seconds
        self._armed = True

    def at(self, moment: str) -> None:
        """Is called when something begins."""
        print(f"moment: {moment}", flush=True)
        if self._armed and self._wanted == moment:
            self._armed = False
            kill_after(self._seconds)

    def before(self, owner: Any, name: str, describe: Any) -> None:
        """Makes a function call :meth:`at` first."""
        function = getattr(owner, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            self.at(describe(*arguments, **more))
            return function(*arguments, **more)

        setattr(owner, name, watched)


def main() -> None:
    """See the module."""
    wanted, seconds, *flags = sys.argv[1:]
    jax.config.update("jax_compilation_cache_dir", os.environ["CACHE"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    watch = Watch(wanted, float(seconds))

    def of_standing(folder: RunFolder, standing: Standing) -> str:
        if standing.doing == EVALUATION:
            return EVALUATION
        if standing.doing == COMPILATION:
            return f"{folder.folder.name} compilation"
        if folder.folder.name.startswith("to-") and standing.done == 0:
            return "warm start"
        return f"{folder.folder.name} {standing.phase.partition(': ')[2]}"

    def after_chunk(folder: RunFolder, snapshot: Any, standing: Standing) -> str:
        del snapshot
        return of_standing(folder, standing)

    watch.before(RunFolder, "show", of_standing)
    watch.before(RunFolder, "after_chunk", after_chunk)
    watch.before(RunFolder, "finish", lambda *_, **__: "saving")
    watch.before(sweep, "report_all", lambda *_: "report")
    cli.main(["smac-jax", "sweep", *flags])


if __name__ == "__main__":
    main()
