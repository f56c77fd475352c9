"""The programs of the project, run as users run them: in a process of their own, from the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_module(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``python -m MODULE ARGUMENTS``: its exit code, and what it said."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def run_command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``smac-jax NAME ARGUMENTS``."""
    return run_module("smac_jax", name, *arguments)
