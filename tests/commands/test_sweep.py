"""The command line from start to end with a tiny data set, and its messages about mistakes."""

from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import run_command

import smac_jax
from smac_jax.data.readers.d4rl import write_d4rl

ROOT = Path(__file__).parents[2]
TINY = [
    "--config=quickstart",
    "--config.pretrain.num_updates=20",
    "--config.pretrain.eval_every=10",
    "--config.pretrain.eval_episodes=1",
    "--config.pretrain.final_episodes=1",
    "--config.finetune.num_steps=20",
    "--config.finetune.warm_start=10",
    "--config.finetune.eval_every=10",
    "--config.finetune.eval_episodes=1",
    "--config.finetune.final_episodes=1",
    "--config.smac.score_model.num_updates=10",
    *(f"--config.{name}.network.{part}_hidden=(8,8)" for name in ("smac", "td3_bc") for part in ("actor", "critic")),
]


sweep = partial(run_command, "sweep")


TRACKER = """
from smac_jax.extend import register_tracker

@register_tracker("lines")
class Lines:
    def open(self, run):
        self.path = run.folder / "lines.txt"
        if not run.logged:
            self.path.write_text(f"{run.project} {run.name} {run.config['seeds']}\\n")
        return run.logged

    def log(self, step, metrics):
        with self.path.open("a") as file:
            file.write(f"{step}\\n")

    def close(self):
        pass
"""


def test_a_sweep_writes_table_figure_curves_and_checkpoints(hopper_file, tmp_path):
    from smac_jax.runs.checkpoint import load_actor_critic

    folder = tmp_path / "run"
    lab = tmp_path / "my_lab.py"
    lab.write_text(TRACKER)
    request = [f"--task={hopper_file}", "--seeds=2", f"--results={folder}", *TINY]
    request += [f"--import={lab}", "--tracker=lines", "--project=my-lab"]
    done = sweep(*request)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SMAC" in done.stdout
    assert "TD3+BC" in done.stdout
    for name in ("table.md", "table.csv", "transfer.png", "transfer.pdf", "provenance.json", "report.html"):
        assert (folder / name).stat().st_size > 100, name
    provenance = json.loads((folder / "provenance.json").read_text())
    assert "smac-jax sweep " in provenance["command"]
    assert f" --task={hopper_file} --seeds=2" in provenance["command"]
    assert provenance["config"]["pretrain"]["num_updates"] == 20
    for name in ("smac", "td3_bc"):
        curve = json.loads((folder / "curves" / f"{name}_sac.json").read_text())
        assert curve["online_steps"] == [0, 10, 20, 30]
        assert curve["control_steps"] == [0, 10, 20]
        runs = folder / "runs" / "hopper-tiny" / name / "seeds-0-1"
        for run in ("offline", "to-sac"):
            trained = load_actor_critic(runs / run / "actor_critic")
            assert trained.observation_mean.shape == (2, 11)
            second = jax.tree.map(lambda x: x[1], trained)
            action = smac_jax.load(runs / run, seed=1)(np.ones(11))
            np.testing.assert_allclose(action, second.policy(jnp.ones(11)).mode(), atol=1e-5)
            assert len((runs / run / "metrics.jsonl").read_text().splitlines()) > 2
        for run in ("offline", "control", "to-sac"):
            assert json.loads((runs / run / "status.json").read_text())["state"] == "done"
            points = [json.loads(line) for line in (runs / run / "metrics.jsonl").read_text().splitlines()]
            written = (runs / run / "lines.txt").read_text().splitlines()
            assert written[0] == f"my-lab hopper-tiny/{name}/seeds-0-1/{run} [0, 1]"
            assert [int(line) for line in written[1:]] == [point["step"] for point in points]
            assert not (runs / run / "tensorboard").exists()

    # the same command finds everything finished, and changes nothing
    table, saved = (folder / "table.csv").read_text(), (runs / "offline" / "snapshots").stat().st_mtime_ns
    again = sweep(*request)
    assert again.returncode == 0, again.stderr[-2000:]
    assert json.loads((folder / "provenance.json").read_text())["trained_by"] == provenance["trained_by"]
    assert f"- Trained by: {provenance['commit']}" in (folder / "table.md").read_text()
    assert (folder / "table.csv").read_text() == table
    assert (runs / run / "lines.txt").read_text().splitlines() == written
    assert (runs / "offline" / "snapshots").stat().st_mtime_ns == saved

    # another configuration does not replace the results
    other = sweep(*request, "--config.smac.kappa=1")
    assert other.returncode == 2
    assert "holds results of another configuration" in other.stderr
    assert (folder / "table.csv").read_text() == table


def test_a_sweep_has_continuations_and_training_from_scratch_beside_transfers(hopper_file, tmp_path):
    """The same command finds them finished. The record of each pair says what was carried over."""
    folder = tmp_path / "run"
    tiny = [flag for flag in TINY if "smac" not in flag]
    request = [f"--task={hopper_file}", "--seeds=2", f"--results={folder}", "--online=same,sac", "--offline=iql", *tiny]
    request += ["--config.iql.batch_size=16", "--config.sac.batch_size=16", "--config.sac.optimizer_start=fresh"]
    request += ["--config.online_iql.beta=0.5"]
    request += ["--config.finetune.carry=optimizers", "--config.finetune.final_data_fraction=0.0"]
    for _ in range(2):
        done = sweep(*request)
        assert done.returncode == 0, done.stderr[-2000:]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["carried"] == {"iql to same": "networks, optimizers", "iql to sac": "networks"}
    assert provenance["config"]["online_iql"]["beta"] == 0.5
    assert provenance["config"]["online_iql"]["expectile"] == provenance["config"]["iql"]["expectile"]
    identity = json.loads((folder / "runs/hopper-tiny/iql/seeds-0-1/to-same/identity.json").read_text())
    assert (identity["algorithm"], identity["carry"], identity["final_data_fraction"]) == ("iql", "optimizers", 0.0)

    scratch = [f"--task={hopper_file}", "--seeds=1", f"--results={tmp_path / 'scratch'}", *tiny]
    sizes = ["--config.rlpd.batch_size=40", "--config.none.network.critic_hidden=(8,8)"]
    done = sweep(*[flag.replace("=quickstart", "=rlpd") for flag in scratch], *sizes)
    assert done.returncode == 0, done.stderr[-2000:]
    curve = json.loads((tmp_path / "scratch" / "curves" / "none_rlpd.json").read_text())
    assert (curve["offline_updates"], curve["online_steps"]) == ([0], [0, 10, 20, 30])
    assert not curve.get("control_steps")


def test_files_with_one_name_and_overwritten_files_have_separate_results(hopper_file, tmp_path):
    files = [tmp_path / "first" / hopper_file.name, tmp_path / "second" / hopper_file.name]
    data = smac_jax.load_dataset(hopper_file)
    for i, path in enumerate(files):
        path.parent.mkdir()
        write_d4rl(path, data.replace(rewards=data.rewards + 10.0 * i))
    tasks = f"--task={files[0]},{files[1]}"
    request = [tasks, "--offline=td3_bc", "--seeds=1", "--nocontrol", f"--results={tmp_path / 'run'}", *TINY]
    done = sweep(*request)
    assert done.returncode == 0, done.stderr[-2000:]
    places = [f"{path.parent.name}-hopper-tiny" for path in files]
    tables = {place: (tmp_path / "run" / place / "table.md").read_text() for place in places}
    for path, (place, table) in zip(files, tables.items(), strict=True):
        assert place.replace("-", "/", 1) in table
        job = json.loads((tmp_path / "run" / "runs" / place / "td3_bc" / "seeds-0-0" / "job.json").read_text())
        assert (job["data"], job["fingerprint"]) == (str(path), smac_jax.load_dataset(path).fingerprint())
    provenance = (tmp_path / "run" / "provenance.json").read_text()
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f"<h2>{name}/hopper-tiny</h2>" in page for name in ("first", "second"))

    write_d4rl(files[1], data.replace(rewards=data.rewards + 20.0))
    again = sweep(*request)
    assert again.returncode == 2
    assert "holds results of other data" in again.stderr
    assert "Traceback" not in again.stderr
    assert (tmp_path / "run" / "provenance.json").read_text() == provenance


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.smac.kapa=3"], 'the configuration has no field kapa Did you mean "kappa"'),
        (["--config.smac.kappa=-1"], "SMACConfig.kappa = -1.0: must be in [0, inf]"),
        (
            ["--offline=smak"],
            "Unknown offline algorithm 'smak'. Known: awac, bc, cal_ql, cql, fql, iql, none, rebrac, smac, td3_bc",
        ),
        (["--offline=none", "--online=iql"], "'iql' continues offline training, and with 'none' there was none"),
        (["--offline=iql,cql", "--online=cql"], "'cql' continues the offline training of 'cql', and 'iql' was trained"),
        (["--offline=iql", "--online=same", "--config.online_iql.value_hidden=(9,)"], "no field value_hidden"),
        (["--offline=iql", "--online=iql", "--config.finetune.carry=most"], "carry = 'most': must be one of 'all', 'o"),
        (["--offline=none", "--checkpoints=5"], "--checkpoints=5: with --offline=none there is no offline training"),
        (["--config.finetune.data_fraction_steps=5"], "data_fraction_steps = 5: says in how many steps data_fraction"),
        (["--config.finetune.final_data_fraction=1.5"], "final_data_fraction = 1.5: must be in [0, 1]"),
        (["--task=nowhere.hdf5"], "nowhere.hdf5"),
        (["--env=spider"], "spider"),
        (["--sedes=3"], "Unknown command line flag 'sedes'"),
        (["smac"], "unexpected arguments: smac"),
        (["--results=gs://bucket/x"], "gs://bucket/x is a URL"),
        ([f"--results={__file__}"], "test_sweep.py is a file. Give a folder"),
        ([f"--results={__file__}/x"], "test_sweep.py is a file. Give a folder"),
        (["--config=gs://bucket/x.py"], "gs://bucket/x.py is a URL"),
        (["--config=nowhere.py"], "--config cannot be read"),
        (["--config=qc:five"], "error: The preset qc has no variant 'five'"),
        (["--tracker=clearml"], "Unknown tracker 'clearml'. Known: tensorboard, trackio, wandb"),
        (
            [f"--import={ROOT}/docs/examples/my_tracker.py", "--tracker=chat"],
            "error: The tracker 'chat' cannot be created: docs/examples/my_tracker.py, line ",
        ),
    ],
)
def test_a_mistake_causes_one_line_without_a_traceback(arguments, words, tmp_path):
    done = sweep(f"--results={tmp_path / 'run'}", *TINY[:1], *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("online", "words"),
    [
        (("iql", "--config.online_iql.optimizer=muon"), "the offline state was made with another configuration"),
        (("sac", "--config.sac.temperature_start=carried"), "temperature_start"),
    ],
)
def test_an_online_algorithm_that_cannot_start_is_refused_before_offline_training(online, words, hopper_file, tmp_path):
    name, field = online
    done = sweep(
        f"--results={tmp_path}", f"--task={hopper_file}", "--offline=iql", f"--online={name}", *TINY, field, "--seeds=1"
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/*/*/*/offline"))


@pytest.mark.parametrize("stopped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_sweep_on_two_hosts_equals_one_process(hopper_file, tmp_path, stopped):
    """Two processes connect through jax.distributed. After a signal they save, and the same commands resume."""
    small = [f"--task={hopper_file}", "--offline=td3_bc", "--seeds=2", "--seeds_per_job=1", "--nocontrol", *TINY]
    if stopped:
        small += ["--config.pretrain.num_updates=8000", "--config.pretrain.eval_every=4000"]
    alone = sweep(*small, f"--results={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr[-2000:]

    flags = tmp_path / "two.flags"
    flags.write_text("\n".join([*small, f"--results={tmp_path / 'two'}", "--distributed", "--num_hosts=2"]))
    command = [sys.executable, "-m", "smac_jax", "sweep", f"--flagfile={flags}"]

    def both() -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        where = f"--coordinator=localhost:{port}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return [subprocess.Popen([*command, where, f"--host={host}"], cwd=ROOT, **pipes) for host in (0, 1)]

    if stopped:
        first = both()
        while not all(list((tmp_path / "two").glob(f"runs/*/*/seeds-{s}/*/status.json")) for s in ("0-0", "1-1")):
            assert all(process.poll() is None for process in first)
            time.sleep(0.1)
        for process in first:
            process.send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=300)[0] for process in first]
        for process, words in zip(first, said, strict=True):
            assert process.returncode == 128 + signal.SIGTERM, words
            assert "Repeat the command to resume." in words
        assert not (tmp_path / "two" / "table.csv").exists()

    for process in both():
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    names = ["table.csv", "curves/td3_bc_sac.json"]
    assert [(tmp_path / "two" / n).read_text() for n in names] == [(tmp_path / "alone" / n).read_text() for n in names]


def test_transfers_from_checkpoints_of_variants_have_the_same_names_everywhere(hopper_file, tmp_path):
    config = tmp_path / "mine.py"
    config.write_text(
        "from smac_jax.presets import quickstart\n"
        "def get_config():\n"
        "    config = quickstart.get_config()\n"
        "    config.variants = (\n"
        "        {'name': 'td3_bc', 'algorithm': 'td3_bc'},\n"
        "        {'name': 'td3_bc (bold)', 'algorithm': 'td3_bc', 'td3_bc': {'alpha': 9.0}},\n"
        "    )\n"
        "    return config\n"
    )
    folder = tmp_path / "run"
    request = [f"--task={hopper_file}", "--seeds=1", "--checkpoints=10,20", "--nocontrol", f"--results={folder}"]
    request += [f"--config={config}", *TINY[1:]]
    planned = sweep(*request, "--dry_run")
    assert planned.returncode == 0, planned.stderr[-2000:]
    assert "to-sac-at-20" in planned.stdout
    done = sweep(*request)
    assert done.returncode == 0, done.stderr[-2000:]
    starts = [f"{name} at {updates} updates" for name in ("TD3+BC", "TD3+BC (bold)") for updates in (10, 20)]
    table, page = (folder / "table.md").read_text(), (folder / "report.html").read_text()
    for start in starts:
        assert f"| {start} | SAC | 1 |" in table
        assert f"{start} to SAC" in page
    assert "10 or 20 updates offline" in table
    names = [f"td3_bc{bold}-at-{updates}_sac.json" for bold in ("", "-bold") for updates in (10, 20)]
    names += [name.replace(".json", "_episodes.npz") for name in names]
    assert sorted(path.name for path in (folder / "curves").iterdir()) == sorted(names)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["flags"]["offline"] == ["td3_bc", "td3_bc (bold)"]
    assert provenance["config"]["pretrain"]["num_updates"] == 20
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["offline"], row["updates"]) for row in rows] == [
        *(("td3_bc", "10"), ("td3_bc", "20"), ("td3_bc (bold)", "10"), ("td3_bc (bold)", "20"))
    ]
    # `smac-jax compare` gives the same rows for these curves
    again = run_command("compare", *sorted((folder / "curves").glob("*.json")), f"--results={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr[-2000:]
    with (tmp_path / "again" / "table.csv").open(newline="") as file:
        assert sorted(map(str, csv.DictReader(file))) == sorted(map(str, rows))


def test_a_dry_run_shows_the_jobs_and_their_cost_and_writes_nothing(hopper_file, tmp_path):
    folder = tmp_path / "run"
    request = [f"--task={hopper_file}", "--offline=td3_bc", "--vary=td3_bc.alpha=1,2.5", "--dry_run", *TINY]
    done = sweep(*request, f"--results={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
    shown, _, priced = done.stdout.partition("At the rates just measured on ")
    for words in ("2 jobs, 0 of them done", "TD3+BC, alpha = 2.5", "to-sac"):
        assert words in shown  # no rates have been measured yet
    for words in ("TD3+BC, alpha = 2.5", "In total at most"):
        assert words in priced
    assert not folder.exists()
