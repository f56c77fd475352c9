"""The wheel has everything that the commands need: it is built, installed separately, and run from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import smac_jax
from smac_jax.cli import COMMANDS

ROOT = Path(__file__).parents[1]
TASK = "hopper-medium-replay"
SIZES = ["--seeds=2", "--offline=td3_bc", "--online=sac", "--results=swept", "--config=quickstart"]
for section, sizes in {
    "pretrain": {"num_updates": 20, "eval_every": 10, "eval_episodes": 1, "final_episodes": 1},
    "finetune": {"num_steps": 20, "warm_start": 10, "eval_every": 10, "eval_episodes": 1, "final_episodes": 1},
    "td3_bc": {"network.actor_hidden": "(8,)", "network.critic_hidden": "(8,)"},
}.items():
    SIZES += [f"--config.{section}.{name}={value}" for name, value in sizes.items()]
RUN = f"swept/runs/{TASK}/td3_bc/seeds-0-1/to-sac"
USES = {
    "sweep": [f"--task={TASK}", *SIZES],
    "status": ["swept"],
    "report": ["swept"],
    "export": [RUN, "--out=policy.npz"],
    "evaluate": [RUN, "--episodes=1"],
    "check-dataset": [TASK, "--max_rows=100"],
}

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Builds a wheel and a source archive of the tracked files."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        if name.partition("/")[0] not in ("results", "tests", "docs") and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    if not (source / "setup.cfg").exists():
        pytest.skip("no git checkout")
    call(sys.executable, "-m", "build", "--outdir", source / "dist", source, cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def command(built, tmp_path_factory) -> Path:
    """Installs the wheel in an environment with the same packages as this one, and returns its command ``smac-jax``."""
    place = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", place, cwd=place)
    (wheel,) = built.glob("*.whl")
    call(place / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place)
    scheme = {"base": str(place), "platbase": str(place)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "smac-jax"


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("empty")


def test_archives_pass_the_index_checks_and_hold_every_file_of_the_package(built):
    pytest.importorskip("twine")
    call(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith(f"smac_jax-{smac_jax.__version__}-")
    tracked = subprocess.run(["git", "ls-files", "smac_jax"], cwd=ROOT, capture_output=True, text=True).stdout
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("smac_jax/")}
    assert packed == {name for name in tracked.splitlines() if (ROOT / name).exists()}


def test_every_command_explains_itself(command, empty):
    assert all(name in call(command, "--help", cwd=empty) for name in COMMANDS)
    assert call(command, "--version", cwd=empty) == f"smac_jax {smac_jax.__version__}\n"
    for name in COMMANDS:
        # the exit code of absl's --help is 1
        said = subprocess.run([command, name, "--help"], cwd=empty, capture_output=True, text=True, timeout=300)
        assert f"flags:\n\nsmac-jax {name}:" in said.stdout, said.stderr


def test_the_installed_package_runs_a_sweep_and_uses_its_results(command, empty):
    for name, arguments in USES.items():
        call(command, name, *arguments, cwd=empty)
    assert {path.name for path in empty.iterdir()} == {"swept", "policy.npz"}
    assert (empty / "swept" / "table.md").exists()
    assert (empty / "swept" / "report.html").exists()
    assert smac_jax.load(empty / "policy.npz").architecture.observation_size == 11
