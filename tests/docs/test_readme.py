"""The code of the README runs: Python at the smallest size, and commands until they have parsed the command line."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import smac_jax

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NETWORK = {"actor_hidden": (8,), "critic_hidden": (8,)}
SMALL = {
    "num_updates": 2,
    "num_steps": 2,
    "warm_start": 2,
    "eval_every": None,
    "eval_episodes": 1,
    "episodes": 1,
    "episode_length": 3,
    "seeds": 1,
    "progress": False,
}
READ_ONLY = """
import runpy, sys
import smac_jax.sweep.program as program
run = program.run
program.run = lambda main, arguments=0: run(lambda argv: print("was read"), arguments)
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def blocks(*languages: str) -> list[str]:
    found = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [code for language, code in found if language in languages]


def at_smallest_size(function: Any) -> Any:
    """Returns the function with the smallest sizes in place of its arguments.

    Other arguments are checked and passed on.
    """
    signature = inspect.signature(function)

    def smaller(*arguments: Any, **more: Any) -> Any:
        bound = signature.bind(*arguments, **more)
        changed = {name: value for name, value in SMALL.items() if name in signature.parameters and value is not None}
        bound.arguments |= changed
        if "config" in signature.parameters:
            small: dict[str, Any] = {"batch_size": 8}
            if "dataset" in signature.parameters or "num_updates" in signature.parameters:
                small["network"] = NETWORK
            if bound.arguments.get("algorithm") == "smac":
                small["score_model"] = {"num_updates": 2, "hidden": 8, "num_blocks": 1, "embedding": 4}
            bound.arguments["config"] = small | dict(bound.arguments.get("config") or {})
        return function(*bound.args, **bound.kwargs)

    return smaller


@pytest.fixture
def surroundings(tmp_path, monkeypatch) -> dict[str, Any]:
    """Provides what the code of the README assumes (a log, an observation, a trained run), and the smallest sizes."""
    monkeypatch.chdir(tmp_path)
    rng, ends = np.random.default_rng(0), np.arange(30) % 5 == 4
    observations = rng.normal(size=(31, 11))
    columns = {"observations": observations[:-1], "next_observations": observations[1:], "rewards": rng.normal(size=30)}
    actions = rng.uniform(-1, 1, (30, 3))
    np.savez("log.npz", actions=actions, terminals=np.zeros(30), timeouts=ends, **columns)
    names: dict[str, Any] = {"__name__": "readme", "observation": observations[0], "observations": observations}
    for name in ("pretrain", "finetune", "evaluate"):
        monkeypatch.setattr(smac_jax, name, at_smallest_size(getattr(smac_jax, name)), raising=False)
    load = smac_jax.load

    def load_what_there_is(path: Any, seed: Any = None) -> Any:
        if Path(path).exists():
            return load(path, seed)
        smac_jax.export(names["on"].actor_critic, "policy.npz", seed=seed)
        return load("policy.npz")

    monkeypatch.setattr(smac_jax, "load", load_what_there_is, raising=False)
    return names


def test_the_python_code_runs(surroundings):
    """The blocks run in one session, as a reader would type them."""
    found = blocks("python")
    assert found
    for code in found:
        exec(compile(code, "README.md", "exec"), surroundings)
    assert np.isfinite(surroundings["returns"]).all()


def commands() -> list[str]:
    """Returns the lines of the shell blocks without comments. Continued lines are joined."""
    text = "".join(blocks("bash", "sh", "shell", "console")).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if shlex.split(line, comments=True)]


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command.split()[:2]))
def test_the_commands_have_valid_flags(command, tmp_path):
    words = shlex.split(command.removeprefix("$ "), comments=True)
    while "=" in words[0]:  # the command may begin with environment variables
        words.pop(0)
    if words[0] == "make":
        dry = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert dry.returncode == 0, dry.stderr
    elif words[0] == "pip":
        extras = re.findall(r"^(\w+) =", (ROOT / "setup.cfg").read_text().partition("extras_require]")[2], re.MULTILINE)
        asked = re.findall(r"\[([\w,]+)\]", command)
        assert {extra for names in asked for extra in names.split(",")} <= set(extras)
    elif words[0] in ("smac-jax", "python"):
        module, arguments = ("smac_jax", words[1:]) if words[0] == "smac-jax" else (words[2], words[3:])
        assert words[0] == "smac-jax" or words[1] == "-m"
        read = subprocess.run(
            [sys.executable, "-c", READ_ONLY, module, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert read.returncode == 0, read.stderr
        assert read.stdout == "was read\n" or set(arguments) & {"--help", "--version"}
    else:
        assert words[0] in ("cd", "git"), f"what is {words[0]}?"
