"""Runs programs of the project as users do, in separate processes from the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_module(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m MODULE ARGUMENTS``, and returns the exit code and the output."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def run_command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``smac-jax NAME ARGUMENTS``, and returns the exit code and the output."""
    return run_module("smac_jax", name, *arguments)
