"""The record of a run is JSON, and can be read."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.runs.json_values import to_json
from smac_jax.runs.provenance import command_line, device_description, git_commit, versions, write_provenance


def strict(text: str):
    """JSON without JavaScript's NaN and Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_any_value_is_written_as_json():
    @dataclasses.dataclass(frozen=True)
    class Config:
        kappa: float = 40.0
        layers: tuple[int, ...] = (512, 512)

    value = {"config": Config(), "seeds": range(2), "path": Path("a"), 3: jnp.ones((1, 2)), "x": np.float32(np.nan)}
    expected = {"config": {"kappa": 40.0, "layers": [512, 512]}, "seeds": [0, 1], "path": "a", "3": [[1, 1]], "x": None}
    assert strict(json.dumps(to_json(value), allow_nan=False)) == expected
    assert to_json(jax.random.key(3)) == [0, 3]
    assert to_json({"flag": True, "bound": -np.inf, "nothing": None}) == {"flag": True, "bound": None, "nothing": None}


def test_provenance_has_command_machine_and_versions(tmp_path):
    returned = write_provenance(tmp_path / "run", config={"kappa": 40.0}, data="hopper", seeds=range(4))
    written = strict((tmp_path / "run" / "provenance.json").read_text())
    assert written == returned
    assert written["config"] == {"kappa": 40.0}
    assert (written["data"], written["seeds"]) == ("hopper", [0, 1, 2, 3])
    assert written["versions"]["python"] == platform.python_version()
    assert {"jax", "flax", "optax", "mujoco", "brax", "smac_jax"} <= set(written["versions"])
    assert written["device"] == device_description()
    assert {"command", "date", "platform", "commit"} <= set(written)
    assert written["command"] == command_line()


def test_the_recorded_command_can_be_run_again(monkeypatch):
    arguments = ["--config.kappa=40", "--title=two words; $HOME", "ü"]
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(sys, "argv", ["/somewhere/sweep.py", *arguments])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert shlex.split(command_line()) == ["python", "sweep.py", *arguments]
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", sys.modules["json"].__spec__)
    assert shlex.split(command_line())[:3] == ["python", "-m", "json"]
    package = importlib.machinery.ModuleSpec("benchmarks.devices.__main__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", package)
    assert shlex.split(command_line())[:3] == ["python", "-m", "benchmarks.devices"]
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_b=2")
    assert shlex.split(command_line())[:2] == ["XLA_FLAGS=--xla_a=1 --xla_b=2", "python"]


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_the_commit_is_unknown_without_git(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert git_commit() is None


def test_versions_exclude_packages_that_are_not_installed(monkeypatch):
    monkeypatch.setattr("smac_jax.runs.provenance.PACKAGES", ("jax", "no-such-package-here"))
    assert set(versions()) == {"python", "smac_jax", "jax"}
