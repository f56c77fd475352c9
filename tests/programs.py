"""The programs of the project, run as users run them: in a process of their own, from the checkout."""

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
# none of these defines flags, which belong to one program
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
    """``python -m MODULE ARGUMENTS``: its exit code, and what it said.

    The process is forked from one that has imported the package and has not used it, which saves the seconds that the
    import takes.
    """
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _fresh.Process(target=_be, args=(module, words, *map(str, said)))
        process.start()
        process.join(600)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *words], 600)
        texts = [path.read_text(encoding="utf-8") for path in said]
    return subprocess.CompletedProcess([sys.executable, "-m", module, *words], process.exitcode, *texts)


def run_command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``smac-jax NAME ARGUMENTS``."""
    return run_module("smac_jax", name, *arguments)


def _be(module: str, words: list[str], *outputs: str) -> None:
    """Is ``python -m MODULE WORDS`` from here on, with its two outputs in files."""
    for stream, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), stream)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # the standard library runs them in no forked process
