"""Imports run one way, and import no more than necessary. A wrong import fails the check of `make lint`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAINING_STACK = ("jax", "jaxlib", "flax", "optax", "orbax", "chex", "brax", "mujoco", "gymnasium", "h5py", "absl")
WITHOUT_THE_STACK = f"""
import importlib, pkgutil, sys
for name in {TRAINING_STACK!r}:
    sys.modules[name] = None  # an import of it fails
import smac_jax.analysis, smac_jax.deploy
for package in (smac_jax.analysis, smac_jax.deploy):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""
WRONG = {
    "upwards": ("runs/pace.py", "from smac_jax.train import plan"),
    "upwards, inside a function": ("data/card.py", "def late():\n    from smac_jax.envs import base"),
    "JAX in the analysis": ("analysis/curves.py", "def late():\n    import jax"),
    "training in what acts": ("deploy/load.py", "def late():\n    from smac_jax.runs import checkpoint"),
    "a module of no layer": ("unheard_of.py", "x = 1"),
    "a program": ("text.py", "import experiments.sweep"),
}


def test_acting_and_analysis_import_without_the_training_stack():
    done = subprocess.run([sys.executable, "-c", WITHOUT_THE_STACK], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"smac_jax.analysis.plots", "smac_jax.deploy.export", "smac_jax.deploy.to_stablehlo"} <= set(
        done.stdout.split()
    )


def brought_by(*modules: str) -> tuple[set[str], int]:
    """Returns the packages that an import imports, and the number of their modules."""
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    return {name.partition(".")[0] for name in names}, len(names)


def test_training_does_not_import_what_only_some_runs_need():
    """JAX, Flax and optax (about 1,100 modules) are necessary. Snapshots, simulators and figures are imported later."""
    packages, count = brought_by("smac_jax.train.offline", "smac_jax.train.online", "smac_jax.train.evaluate")
    late = {"orbax", "brax", "mujoco", "gymnasium", "h5py", "scipy", "matplotlib", "ml_collections", "jinja2"}
    assert not packages & late
    assert count < 1250


def test_the_largest_command_reads_its_flags_without_numpy():
    packages, count = brought_by("smac_jax.cli", "smac_jax.commands.sweep")
    assert "absl" in packages
    assert not packages & {"numpy", "jax", "flax", "optax", "orbax", "brax", "mujoco", "scipy", "matplotlib", "h5py"}
    assert count < 400


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    return subprocess.run([*command, "--no-logo"], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    pytest.importorskip("importlinter")
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("smac_jax", "experiments", "benchmarks"):
        ignored = shutil.ignore_patterns("*.hdf5", "__pycache__", "results")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_hold(checkout):
    done = lint(checkout)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_import_fails_the_check(checkout, mistake):
    place, statement = WRONG[mistake]
    path = checkout / "smac_jax" / place
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{statement}\n")
    try:
        done = lint(checkout)
        assert done.returncode == 1, done.stdout
        assert "BROKEN" in done.stdout
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
