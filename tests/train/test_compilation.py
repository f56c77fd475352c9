"""Compilations are reported, and compiled programs are cached by default."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from smac_jax.train.compilation import Program, listening

ROOT = Path(__file__).parents[2]


def test_each_program_reports_its_compilation_once():
    told: list[bool] = []
    program = Program(lambda x, n: {"sum": x["a"].sum() + n})
    with listening(told.append):
        assert float(program({"a": jnp.ones(3)}, 2)["sum"]) == 5.0
        assert told == [True, False]
        program({"a": jnp.ones(3)}, 7)
        assert told == [True, False]
        program({"a": jnp.ones(4)}, 2)
        assert told == [True, False] * 2
    program({"a": jnp.ones(5)}, 2)
    assert told == [True, False] * 2


def test_a_traced_call_compiles_nothing():
    told: list[bool] = []
    program = Program(lambda x: x + 1)
    with listening(told.append):
        assert jax.eval_shape(program, jnp.ones(3)).shape == (3,)
        assert jax.jit(lambda x: program(x))(jnp.ones(3)).shape == (3,)
    assert told == []


def test_a_failed_compilation_is_reported_as_ended():
    told: list[bool] = []
    with listening(told.append), pytest.raises(ValueError, match="no such thing"):
        Program(lambda x: (_ for _ in ()).throw(ValueError("no such thing")))(jnp.ones(3))
    assert told == [True, False]


@pytest.mark.parametrize(
    ("environment", "cached"),
    [
        ({}, "home/.cache/smac_jax"),
        ({"SMAC_JAX_CACHE": "off"}, None),
        ({"SMAC_JAX_CACHE": "{}/elsewhere"}, "elsewhere"),
        ({"JAX_COMPILATION_CACHE_DIR": "{}/mine"}, "mine"),
        ({"JAX_COMPILATION_CACHE_DIR": "{}/mine", "SMAC_JAX_CACHE": "{}/elsewhere"}, "mine"),
    ],
)
def test_compiled_programs_are_cached_unless_the_user_disables_it(tmp_path, environment, cached):
    program = (
        "import jax, jax.numpy as jnp\n"
        "jnp.ones(3).block_until_ready()\n"  # JAX has already looked for a folder and found none
        "from smac_jax.train.compilation import Program\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "from smac_jax.train import compilation\n"
        "compilation.MIN_SECONDS = 0.0\n"
        "Program(lambda x: jnp.tanh(x @ x))(jnp.ones((3, 3)))\n"
    )
    (tmp_path / "home").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "SMAC_"))}
    mine = {name: value.format(tmp_path) for name, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean | {"HOME": str(tmp_path / "home"), "JAX_PLATFORMS": "cpu"} | mine,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folders = ("home/.cache/smac_jax", "elsewhere", "mine")
    kept = [folder for folder in folders if any((tmp_path / folder).glob("*-cache"))]
    assert kept == ([cached] if cached else [])
