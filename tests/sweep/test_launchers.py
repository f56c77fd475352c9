"""Sweeps with launchers: processes of submitit, Slurm if it is installed, and Ray on this machine.

Each is interrupted, and must give the same bits as an uninterrupted sweep.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from smac_jax.errors import ConfigError
from smac_jax.runs.interrupts import Interrupted, Interrupts
from smac_jax.sweep.job import CheckpointOptions
from smac_jax.sweep.launchers import base, slurm

ROOT = Path(__file__).parents[2]
SMALL = [
    "--config=quickstart",
    "--config.pretrain.num_updates=60000",
    "--config.pretrain.eval_every=30000",
    "--config.pretrain.eval_episodes=1",
    "--config.pretrain.final_episodes=1",
    "--config.finetune.num_steps=2000",
    "--config.finetune.warm_start=10",
    "--config.finetune.eval_every=1000",
    "--config.finetune.eval_episodes=1",
    "--config.finetune.final_episodes=1",
    "--config.td3_bc.batch_size=8",
    "--config.td3_bc.network.actor_hidden=(8,8)",
    "--config.td3_bc.network.critic_hidden=(8,8)",
]
BITS = ("curve-sac.json", "offline/metrics.jsonl", "to-sac/metrics.jsonl")


def jobs_of(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / "hopper-tiny" / "td3_bc").iterdir())


@pytest.fixture(scope="module")
def request_(hopper_file):
    """Returns a request of two jobs, each of several seconds and with one thread."""
    return [f"--task={hopper_file}", "--offline=td3_bc", "--nocontrol", "--seeds_per_job=1", "--save_every=1", *SMALL]


class Sweep:
    """The command in a separate process."""

    def __init__(self, request: list[str], folder: Path, *more: str):
        command = [sys.executable, "-m", "smac_jax", "sweep", f"--results={folder}", *request, *more]
        environment = os.environ | {"NPROC": "1", "OMP_NUM_THREADS": "1"}
        number, self._said = tempfile.mkstemp()  # not a pipe, because jobs that outlive the process would keep it open
        with open(number, "w") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)

    def end(self, code: int = 0) -> str:
        """Waits for the end, and returns the output."""
        found = self.process.wait(timeout=400)
        said = Path(self._said).read_text()
        Path(self._said).unlink()
        assert found == code, said[-3000:]
        return said


def wait_until(condition, seconds: float = 200.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
    return found


def status(job: Path) -> dict:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((job / "offline" / "status.json").read_text())
    return {}


def in_the_middle(folder: Path, number: int, after: float = 0.0) -> Path:
    """Waits until a job is in the middle of its offline training, and returns its folder."""
    job = folder / "runs" / "hopper-tiny" / "td3_bc" / f"seeds-{number}-{number}"
    wait_until(
        lambda: (s := status(job)) and s["time"] > after and s["state"] == "running" and 0 < s.get("done", 0) < 50_000
    )
    return job


@pytest.fixture(scope="module")
def undisturbed(request_, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    Sweep(request_, folder, "--seeds=2").end()
    return {job.name: [(job / name).read_bytes() for name in BITS] for job in jobs_of(folder)}


def bits(folder: Path, names) -> dict[str, list[bytes]]:
    return {name: [(folder / "runs/hopper-tiny/td3_bc" / name / file).read_bytes() for file in BITS] for name in names}


def slurm_answers() -> bool:
    return shutil.which("sbatch") is not None and subprocess.run(["sinfo"], capture_output=True).returncode == 0


def preempt_process(job: str) -> None:
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", job], capture_output=True, text=True, check=True).stdout
    os.kill(int(children.split()[0]), signal.SIGUSR2)


def preempt_slurm(job: str) -> None:
    subprocess.run(["scancel", "--signal=USR2", job], check=True)

    def pending() -> bool:
        shown = subprocess.run(["squeue", "-h", "--array", "-o", "%i %T"], capture_output=True, text=True).stdout
        return f"{job} PENDING" in shown

    wait_until(pending)
    subprocess.run(
        ["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True
    )  # Slurm would otherwise wait two minutes


@pytest.mark.parametrize(
    ("cluster", "preempt"),
    [
        ("local", preempt_process),
        pytest.param(
            "slurm",
            preempt_slurm,
            marks=[pytest.mark.slow, pytest.mark.skipif(not slurm_answers(), reason="no Slurm here")],
        ),
    ],
)
def test_preempted_jobs_are_requeued_and_equal_uninterrupted_ones_bit_for_bit(
    cluster, preempt, request_, undisturbed, tmp_path
):
    pytest.importorskip("submitit")
    folder = tmp_path / "run"
    flags = ["--seeds=2", "--launcher=slurm", f"--slurm_cluster={cluster}", "--slurm_cpus=1", "--slurm_time=30"]
    said = Sweep(request_, folder, *flags, "--detach").end()
    assert "2 jobs submitted, 0 were submitted before" in said
    assert not (folder / "table.md").exists()
    assert not (folder / "slurm" / "%j").exists()
    job = in_the_middle(folder, 0)
    submitted = json.loads((job / "slurm.json").read_text())
    preempt(submitted["number"])

    # the same command finds the jobs, waits for their ends, and makes the tables
    said = Sweep(request_, folder, *flags).end()
    assert re.search("0 jobs submitted, (1 was|2 were) submitted before", said)
    said = Path(submitted["log"]).read_text()
    assert f"Requeued job {submitted['number']}" in said
    assert "stopped at TD3+BC: offline" in said
    assert (folder / "table.md").exists()
    assert bits(folder, undisturbed) == undisturbed

    numbers = [(job / "slurm.json").read_text() for job in jobs_of(folder)]
    Sweep(request_, folder, *flags).end()
    assert [(job / "slurm.json").read_text() for job in jobs_of(folder)] == numbers


@pytest.mark.slow
def test_ray_survives_a_killed_worker_a_failing_job_and_a_signal(request_, undisturbed, tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "run"
    broken = folder / "runs/hopper-tiny/td3_bc/seeds-2-2"
    broken.mkdir(parents=True)
    (broken / "offline").write_text("in the way")
    flags = ["--seeds=3", "--launcher=ray", "--cpus_per_job=1"]

    # after a signal to stop, the driver makes the jobs save
    first = Sweep(request_, folder, *flags)
    in_the_middle(folder, 0)
    first.process.send_signal(signal.SIGTERM)
    said = first.end(128 + signal.SIGTERM)
    assert "all jobs are saved. Repeat the command to resume." in said
    assert status(folder / "runs/hopper-tiny/td3_bc/seeds-0-0")["state"] == "stopped"

    # the same command resumes the sweep; a worker is killed
    now = time.time()
    second = Sweep(request_, folder, *flags)
    job = in_the_middle(folder, 0, after=now)
    killed = json.loads((job / "offline" / "owner.json").read_text())["pid"]
    os.kill(killed, signal.SIGKILL)
    said = second.end(1)
    assert json.loads((job / "offline" / "owner.json").read_text())["pid"] != killed
    assert "failed: hopper-tiny TD3+BC seed 2:" in said
    assert "Traceback" in (broken / "error.txt").read_text()
    assert not (job / "error.txt").exists()
    assert bits(folder, undisturbed) == undisturbed


class Bar:
    def __enter__(self):
        return self

    def __exit__(self, *what):
        pass


def test_a_failure_writes_a_line_and_a_file_that_the_next_attempt_removes(make_job, tmp_path, monkeypatch):
    def fails(*what):
        raise ValueError("first line\nsecond line")

    job = make_job(tmp_path / "job")
    monkeypatch.setattr(base, "run_job", fails)
    failure = base.try_job(job, CheckpointOptions(), Bar(), Interrupts())
    error = job.folder / "error.txt"
    assert failure == (job.title, f"first line (see {error})")
    assert "Traceback" in error.read_text()
    assert "second line" in error.read_text()
    monkeypatch.setattr(base, "run_job", lambda *what: None)
    assert base.try_job(job, CheckpointOptions(), Bar(), Interrupts()) is None
    assert not error.exists()


def test_an_interruption_is_not_a_failure(make_job, tmp_path, monkeypatch):
    def stops(*what):
        raise Interrupted("stopped", signal.SIGTERM)

    monkeypatch.setattr(base, "run_job", stops)
    with pytest.raises(Interrupted):
        base.try_job(make_job(tmp_path / "job"), CheckpointOptions(), Bar(), Interrupts())
    assert not (tmp_path / "job" / "error.txt").exists()


def test_a_second_signal_ends_a_program_unless_a_scheduler_runs_it():
    # a shell without job control starts background processes with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for second_ends in (True, False):
        with Interrupts(second_ends=second_ends) as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupts.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt) if second_ends else contextlib.nullcontext():
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("1:30", 2), ("2:00:00", 120), ("1-0", 1440), ("1-12", 2160), ("0-1:30", 90), ("1-1:01:01", 1502)],
)
def test_time_limits_are_parsed_as_by_sbatch(text, expected):
    assert slurm.minutes(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "0", "1-", "a-1"])
def test_invalid_time_limits_are_refused(text):
    with pytest.raises(ConfigError, match="--slurm_time"):
        slurm.minutes(text)


def test_options_are_pairs():
    assert base.pairs("slurm_extra", ["account=me", "comment=a=b"]) == {"account": "me", "comment": "a=b"}
    for wrong in ("account", "=me", "account="):
        with pytest.raises(ConfigError, match="--slurm_extra="):
            base.pairs("slurm_extra", [wrong])


def slurm_job(number: str, folder: Path = Path("/nowhere")) -> slurm.SlurmJob:
    return slurm.SlurmJob("slurm", number, str(folder / "result.pkl"), str(folder / "log.err"))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes fake programs of Slurm that print a text or fail."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, text: str, code: int = 0) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
        path.chmod(0o755)

    return make


def test_the_queue_is_read_from_squeue(program):
    program("squeue", r"7_0|RUNNING|None\n7_1|PENDING|Priority\n7_2|COMPLETING|None\n8|PENDING|None\n")
    expected = {"7_0": "running", "7_1": "queued (Priority)", "7_2": "completing", "8": "queued"}
    assert slurm.under_way([slurm_job("7_0")]) == expected
    assert slurm.under_way([]) == {}
    program("squeue", "", 1)
    assert slurm.under_way([slurm_job("7_0")]) is None


def test_a_job_counts_as_preempted_if_slurm_reports_it(program):
    times = "PreemptEligibleTime=2026-11-23T20:28:44 PreemptTime="
    for text, code, expected in (("2026-11-23T20:29:10", 0, True), ("None", 0, False), ("2026-11-23", 1, False)):
        program("scontrol", f"JobId=7 {times}{text} Reason=None", code)
        assert slurm.preempted() is expected


def test_a_process_of_submitit_lives_until_it_ends():
    process = subprocess.Popen(["sleep", "100"])
    job = slurm.SlurmJob("local", str(process.pid), "", "")
    assert slurm.under_way([job]) == {}  # the process id belongs to another process
    process.kill()
    process.wait()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)", "submitit"])
    job = slurm.SlurmJob("local", str(process.pid), "", "")
    assert slurm.under_way([job]) == {job.number: "running"}
    process.kill()
    wait_until(lambda: slurm.under_way([job]) == {}, 10)  # although its exit code has not been collected
    process.wait()


def test_the_reason_of_a_failure_is_found_in_the_files_of_a_job(make_job, tmp_path):
    job, submitted = make_job(tmp_path / "job"), slurm_job("7_0", tmp_path)
    assert slurm.result(job, submitted) is None
    failure = base.Failure("a job", "it broke")
    for left, expected in (
        (("success", None), None),
        (("success", failure), failure),
        (("error", "Traceback\nOSError: gone"), (job.title, f"Slurm job 7_0: OSError: gone (see {submitted.log})")),
    ):
        Path(submitted.result).write_bytes(pickle.dumps(left))
        assert slurm.result(job, submitted) == expected
    Path(submitted.result).write_bytes(b"half a pick")
    assert slurm.result(job, submitted) is not None


def test_a_job_is_pickled_with_its_work(make_job, tmp_path):
    work = slurm.Work(make_job(tmp_path), CheckpointOptions(save_every=1.0), 2)
    assert pickle.loads(pickle.dumps(work)) == work


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'ray'.*\.\[ray\]"):
        base.need("ray", "ray")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray_address=localhost:1"], "--ray_address=localhost:1: cannot connect to a Ray cluster"),
        (["--cpus_per_job=1000"], "A job requests 1000 CPU"),
        (["--ray_resources=TPU"], "--ray_resources=TPU: must be KEY=VALUE"),
        (["--ray_resources=TPU=many"], "--ray_resources=TPU=many: could not convert"),
    ],
)
def test_a_request_that_ray_cannot_fulfill_causes_a_one_line_message(arguments, words, request_, tmp_path):
    pytest.importorskip("ray")
    said = Sweep(request_, tmp_path / "run", "--launcher=ray", *arguments).end(2)
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--launcher=slurm", "--slurm_time=soon"], "--slurm_time=soon: must be minutes"),
        (["--launcher=ray", "--distributed"], "--distributed and --launcher=ray both distribute the jobs"),
        (["--launcher=local", "--detach"], "--detach needs --launcher=slurm"),
    ],
)
def test_an_invalid_request_causes_a_one_line_message(arguments, words, request_, tmp_path):
    said = Sweep(request_, tmp_path / "run", *arguments).end(2)
    assert words in said
    assert "Traceback" not in said
