"""Runs programs of the project as users do, in separate processes from the checkout."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# modules that do not define flags, because each program has its own
IMPORTED = [
    "mujoco.mjx",
    "gymnasium",
    "matplotlib.figure",
    "orbax.checkpoint",
    "smac_jax.train.online",
    "smac_jax.sweep.job",
]
_fresh = multiprocessing.get_context("forkserver")
_fresh.set_forkserver_preload(IMPORTED)


def run_module(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m MODULE ARGUMENTS``, and returns the exit code and the output.

    The process is forked from one that has imported the package and has not used it. This saves the seconds that the
    import takes.
    """
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _fresh.Process(target=_run_program, args=(module, words, *map(str, outputs)))
        process.start()
        process.join(600)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *words], 600)
        texts = [path.read_text(encoding="utf-8") for path in outputs]
    return subprocess.CompletedProcess([sys.executable, "-m", module, *words], process.exitcode, *texts)


def run_command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``smac-jax NAME ARGUMENTS``, and returns the exit code and the output."""
    return run_module("smac_jax", name, *arguments)


def _run_program(module: str, words: list[str], *outputs: str) -> None:
    """Runs ``python -m MODULE WORDS`` in this process, with its two outputs in files."""
    for stream, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), stream)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a forked process does not run them by itself
