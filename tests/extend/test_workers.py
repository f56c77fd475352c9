"""Jobs with a user's file in processes that have not imported it: those of submitit, and of Ray if it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from programs import run_command

from smac_jax import plugins
from smac_jax.data.readers.d4rl import write_d4rl
from smac_jax.sweep.cost import _networks, _program
from smac_jax.sweep.grid import Job, Variant
from smac_jax.sweep.job import CheckpointOptions
from smac_jax.sweep.launchers import base
from smac_jax.sweep.provenance import scale_of

ROOT = Path(__file__).parents[2]
OWN = """
import dataclasses

from smac_jax.algorithms import bc, td3
from smac_jax.extend import Dataset, register_dataset, register_offline, register_online


@dataclasses.dataclass(frozen=True)
class Config(bc.BCConfig):
    strength: float = 1.0


@register_offline("own", Config)
def own(config):
    return bc.bc(config)._replace(name="own", diagnostics=lambda state, batch, key: {"strength": config.strength})


@register_online("own", td3.TD3Config)
def own_online(config):
    return td3.td3(config)._replace(name="own")


@register_dataset("lab")
def read(name):
    from smac_jax import load_dataset

    return load_dataset(name)
"""


@pytest.fixture(scope="module")
def request_(tmp_path_factory):
    rng, rows = np.random.default_rng(0), 60
    folder = tmp_path_factory.mktemp("lab")
    arrays = {
        "observations": rng.normal(size=(rows, 11)),
        "actions": rng.uniform(-1, 1, (rows, 3)),
        "rewards": rng.normal(size=rows),
        "terminals": np.arange(rows) % 20 == 19,
    }
    write_d4rl(folder / "hopper-tiny.hdf5", arrays)
    (folder / "my_lab.py").write_text(OWN)
    return folder, [
        *(f"--import={folder / 'my_lab.py'}", f"--task=lab:{folder / 'hopper-tiny.hdf5'}"),
        *("--offline=own", "--online=own", "--nocontrol", "--seeds=2", "--seeds_per_job=1"),
        *("--config.own.strength=3", "--config.own.batch_size=8", "--config.online_own.batch_size=8"),
        *(f"--config.own.network.{part}_hidden=(8,8)" for part in ("actor", "critic")),
        *(
            "--config.pretrain.num_updates=20",
            "--config.pretrain.eval_every=10",
            "--config.pretrain.eval_episodes=1",
            "--config.pretrain.final_episodes=1",
        ),
        *("--config.finetune.num_steps=10", "--config.finetune.warm_start=10", "--config.finetune.eval_every=10"),
        "--config.finetune.eval_episodes=1",
        "--config.finetune.final_episodes=1",
    ]


sweep = partial(run_command, "sweep")


@pytest.mark.parametrize(
    ("launcher", "module"),
    [
        (["--launcher=slurm", "--slurm_cluster=local", "--slurm_cpus=1", "--slurm_time=30"], "submitit"),
        (["--launcher=ray", "--cpus_per_job=1"], "ray"),
    ],
    ids=["submitit", "ray"],
)
def test_workers_import_the_users_file_and_refuse_a_changed_one(launcher, module, request_, tmp_path):
    pytest.importorskip(module)
    folder, request = request_
    path, text = folder / "my_lab.py", OWN
    path.write_text(text)
    done = sweep(*request, *launcher, f"--results={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = sorted((tmp_path / "run" / "runs").glob("*/own/seeds-*"))
    assert len(jobs) == 2
    sha256 = json.loads((tmp_path / "run" / "provenance.json").read_text())["imports"][0]["sha256"]
    for job in jobs:
        said = json.loads((job / "job.json").read_text())
        assert (said["code my_lab.py"], said["offline"]["config"]["strength"]) == (sha256, 3.0)
        first = json.loads((job / "offline" / "metrics.jsonl").read_text().splitlines()[0])
        assert first["strength"] == [3.0]
        assert (job / "curve-own.json").exists()

    path.write_text(text + "\n# another thought\n")
    again = sweep(*request, *launcher, f"--results={tmp_path / 'run'}")
    assert again.returncode == 2
    assert "holds results of other code: my_lab.py has changed since (sha256 " + sha256[:12] in again.stderr


def test_a_worker_with_a_changed_file_trains_nothing(request_, tmp_path):
    """The file may have been edited while the job waited in a queue."""
    path = request_[0] / "my_lab.py"
    path.write_text(OWN)
    code = (
        "import dataclasses, sys\nfrom pathlib import Path\nfrom smac_jax import plugins\n"
        "from smac_jax.sweep.grid import Job, Variant\nfrom smac_jax.sweep.job import CheckpointOptions, run_job\n"
        "variants = [Variant('own', 'own', {}, {'num_updates': 9}),\n"
        "            Variant('own', 'own', {}, {'num_steps': 9, 'warm_start': 1})]\n"
        "job = Job(Path(sys.argv[2]), 'lab:x', 'hopper', 'auto', 'v4', variants[0], (variants[1],), (0,), False,\n"
        "          imports=(sys.argv[1],), code={'my_lab.py': 'what it was'})\n"
        "run_job(job, CheckpointOptions(), False)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "job")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stderr.splitlines()[-1]
    assert "my_lab.py has changed since this sweep began (sha256 what it was then, " in said
    assert not (tmp_path / "job").exists()


def test_a_job_that_fails_in_a_users_file_names_the_file(tmp_path, monkeypatch):
    """The complete traceback is in ``error.txt``."""
    (tmp_path / "my_lab.py").write_text("def broken(*_):\n    return [][3]\n")
    plugins.load([str(tmp_path / "my_lab.py")])
    monkeypatch.setattr(base, "run_job", sys.modules["my_lab"].broken)
    job = Job(tmp_path / "job", "x", "hopper", "auto", "v4", Variant("a", "a", {}, {}), (), (0,), False)
    failure = base.try_job(job, CheckpointOptions(), None, None)
    error = tmp_path / "job" / "error.txt"
    assert failure.error == f"{tmp_path}/my_lab.py, line 2: IndexError: list index out of range (see {error})"
    assert "Traceback" in error.read_text()


def test_a_configuration_without_networks_is_described_without_them(tmp_path):
    assert scale_of([{"strength": 1.0}], [1000], [50]) == "1,000 updates offline, 50 online"
    job = Job(tmp_path, "x", "hopper", "auto", "v4", Variant("a", "a", {"strength": 1.0}, {}), (), (0,), False)
    assert _networks(job) == _program(job, job.offline)
