"""Transfers from several checkpoints: the runs of a job, which give the same bits after any interruption."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import smac_jax
from smac_jax.analysis.curves import TransferCurve
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.presets.base import get_config
from smac_jax.runs import pace
from smac_jax.runs.interrupts import Interrupted
from smac_jax.sweep.grid import Job, make_jobs, parse_checkpoints
from smac_jax.sweep.job import CheckpointOptions, already_done, run_job
from smac_jax.sweep.run_names import RunName
from smac_jax.train import plan

CHECKPOINTS = (10, 25)


def jobs(folder: Path, data: Path, checkpoints=CHECKPOINTS, **changes) -> list[Job]:
    """Makes jobs of TD3+BC to SAC at the smallest size, with evaluations of a few steps of one episode."""
    config = get_config()
    config.pretrain.update({"num_updates": 25, "eval_every": 10, "eval_episodes": 1, "final_episodes": 1})
    config.finetune.update({"num_steps": 10, "warm_start": 5, "eval_every": 5, "eval_episodes": 1, "final_episodes": 1})
    config.td3_bc.update({"batch_size": 8, "network": {"actor_hidden": (8,), "critic_hidden": (8,)}})
    config.sac.batch_size = 8
    settings = {"physics": "mujoco", "version": "v4", "control": True, "checkpoints": checkpoints} | changes
    return make_jobs(folder, [(str(data), "hopper")], ["td3_bc"], ["sac"], config, {}, (3, 5), 2, **settings)


@pytest.fixture(scope="module", autouse=True)
def small_steps():
    """Makes chunks and episodes short, so that there are many moments to stop at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK", 5)
        patch.setattr("smac_jax.tasks.time_limit", lambda task, env: 10)
        yield


class StopsAfter:
    """A signal to stop after a number of chunks."""

    def __init__(self, chunks: int):
        self.left = chunks

    @property
    def number(self) -> int | None:
        self.left -= 1
        return signal.SIGTERM if self.left < 0 else None


@pytest.fixture(scope="module")
def uncut(hopper_file, tmp_path_factory) -> Job:
    (job,) = jobs(tmp_path_factory.mktemp("uncut"), hopper_file)
    run_job(job, CheckpointOptions(policies=True), False)
    return job


def left_by(job: Job) -> dict[str, bytes]:
    """Returns all results of a job, which must not depend on interruptions."""
    names = ("*.json", "*/metrics.jsonl", "*/identity.json", "*/actor_critic/policy.npz", "*/policies/*.npz")
    files = sorted(path for pattern in names for path in job.folder.glob(pattern))
    return {str(path.relative_to(job.folder)): path.read_bytes() for path in files}


def test_a_job_trains_offline_once_and_transfers_from_each_checkpoint(hopper_file, tmp_path):
    (job,) = jobs(tmp_path, hopper_file)
    assert [(str(run.name), run.after, run.steps) for run in job.plan] == [
        ("offline-at-10", 0, 10),
        ("control-at-10", 10, 10),
        ("to-sac-at-10", 10, 15),
        ("offline-at-25", 10, 15),
        ("control-at-25", 25, 10),
        ("to-sac-at-25", 25, 15),
    ]
    assert [path.name for path in job.curves] == ["curve-sac-at-10.json", "curve-sac-at-25.json"]
    (plain,) = jobs(tmp_path, hopper_file, checkpoints=())
    assert plain.runs == ("offline", "control", "to-sac")
    assert (plain.updates, job.updates) == ((25,), CHECKPOINTS)


def test_a_job_that_is_stopped_anywhere_and_resumed_equals_an_uninterrupted_one(
    uncut, hopper_file, tmp_path, monkeypatch
):
    (job,) = jobs(tmp_path, hopper_file)
    trained: Counter[str] = Counter()
    add = pace.Pace.add

    def counted(self, stage, steps, seconds):
        trained[stage] += steps
        add(self, stage, steps, seconds)

    monkeypatch.setattr(pace.Pace, "add", counted)
    attempts = 0
    while not job.done:
        attempts += 1
        with contextlib.suppress(Interrupted):
            run_job(job, CheckpointOptions(policies=True), False, StopsAfter(attempts % 3))
    assert attempts > 5
    assert left_by(job) == left_by(uncut)
    assert trained["offline"] == 25 + 2 * 10  # training to the last checkpoint, and a control from each
    assert trained["warm start"] == 2 * 5
    assert trained["online"] == 2 * 10


def test_checkpoints_are_points_of_one_offline_training(uncut, hopper_file, tmp_path):
    (plain,) = jobs(tmp_path, hopper_file, checkpoints=(), control=False)
    run_job(plain, CheckpointOptions(policies=True), False)
    for updates, place in ((10, "offline-at-10"), (25, "offline-at-25")):
        alone = smac_jax.load(plain.folder / "offline" / "policies" / f"{updates:09d}.npz", seed="all")
        kept = smac_jax.load(uncut.folder / place, seed="all")
        for name, array in alone.arrays.items():
            np.testing.assert_array_equal(kept.arrays[name], array)
    found = {c: TransferCurve.from_json(uncut.curve(uncut.online[0], c)) for c in CHECKPOINTS}
    reference = TransferCurve.from_json(plain.curve(plain.online[0]))
    assert [curve.checkpoint for curve in (*found.values(), reference)] == [*CHECKPOINTS, None]
    # each evaluation of the whole training until the checkpoint occurs once
    assert found[10].offline_updates.tolist() == [0, 10]
    assert found[25].offline_updates.tolist() == [0, 10, 20, 25]
    for curve in found.values():
        shared = np.isin(reference.offline_updates, curve.offline_updates)
        np.testing.assert_array_equal(
            curve.offline_returns[:, np.isin(curve.offline_updates, reference.offline_updates)],
            reference.offline_returns[:, shared],
        )
        assert curve.control_steps.tolist() == [0, 5, 10]
    # the transfer from the end of training equals that of a sweep without checkpoints
    np.testing.assert_array_equal(found[25].online_returns, reference.online_returns)
    # the control is the training that leads to the next checkpoint
    control = smac_jax.load(uncut.folder / "control-at-10" / "policies" / f"{20:09d}.npz", seed="all")
    later = smac_jax.load(uncut.folder / "offline-at-25" / "policies" / f"{20:09d}.npz", seed="all")
    for name, array in later.arrays.items():
        np.testing.assert_array_equal(control.arrays[name], array)


def test_later_checkpoints_can_be_added_and_earlier_ones_are_refused(uncut, hopper_file, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(uncut.folder.parents[3], results)
    before = left_by(uncut)
    (longer,) = jobs(results, hopper_file, checkpoints=(*CHECKPOINTS, 30))
    assert not already_done(longer)
    run_job(longer, CheckpointOptions(policies=True), False)
    assert already_done(longer)
    after = left_by(longer)
    assert {name: after[name] for name in before if name != "job.json"} == {
        name: text for name, text in before.items() if name != "job.json"
    }
    assert TransferCurve.from_json(longer.curve(longer.online[0], 30)).offline_updates[-1] == 30
    for checkpoints in ((10, 15, 25), (25,), (5, 10, 25)):
        (other,) = jobs(results, hopper_file, checkpoints=checkpoints)
        with pytest.raises(CheckpointError, match=r"checkpoints 10, 25, 30\. You may add later checkpoints"):
            already_done(other)
    (fewer,) = jobs(results, hopper_file, checkpoints=(10,))
    assert already_done(fewer)


def test_a_control_and_more_algorithms_can_be_added_later(uncut):
    more = dataclasses.replace(uncut, online=(*uncut.online, dataclasses.replace(uncut.online[0], label="sac x=1")))
    needed = [str(run.name) for run in more.plan if run.name.kind != "offline" and more.needs(run)]
    assert needed == ["control-at-10", "to-sac-x=1-at-10", "control-at-25", "to-sac-x=1-at-25"]
    assert not any(uncut.needs(run) for run in uncut.plan)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("offline", RunName("offline")),
        ("control-at-3000", RunName("control", "", 3000)),
        ("to-sac", RunName("online", "sac")),
        ("to-sac-batch_size=8-at-3000", RunName("online", "sac-batch_size=8", 3000)),
        ("to-online-at-home", RunName("online", "online-at-home")),
        ("slurm", None),
        ("offline-old", None),
        ("to-", None),
    ],
)
def test_parsing_the_name_of_a_run_inverts_making_it(name, parts):
    assert RunName.parse(name) == parts
    if parts is not None:
        assert str(parts) == name
        assert parts.kind != "online" or RunName.of_curve(parts.curve) == parts


@pytest.mark.parametrize("texts", [["20", "10"], ["10", "10"], ["0", "5"], ["ten"], [""], ["1e3"], ["-5"]])
def test_checkpoints_are_increasing_numbers(texts):
    with pytest.raises(ConfigError, match="increasing order, such as"):
        parse_checkpoints(texts)
    assert parse_checkpoints(["10", "25"]) == (10, 25)
    assert parse_checkpoints([]) == ()


def test_checkpoints_beyond_the_length_are_refused(hopper_file, tmp_path):
    with pytest.raises(ConfigError, match="--checkpoints already sets the length"):
        make_jobs(
            *(tmp_path, [(str(hopper_file), "hopper")], ["td3_bc"], ["sac"], get_config()),
            *({"pretrain.num_updates": [1, 2]}, [0], 1),
            **{"physics": "mujoco", "version": "v4", "control": True, "checkpoints": CHECKPOINTS},
        )


def test_status_shows_the_progress_of_each_checkpoint(uncut):
    from smac_jax.sweep.state import read_sweep

    sweep = uncut.folder.parents[3]
    (found,) = read_sweep(sweep).jobs
    assert [run.name for run in found.runs] == list(uncut.runs)
    assert {run.state for run in found.runs} == {"done"}
    returns = {run.name: run.last_return for run in found.runs}
    for checkpoint in CHECKPOINTS:
        curve = json.loads(uncut.curve(uncut.online[0], checkpoint).read_text())
        for kind, run in (("offline", "offline"), ("control", "control"), ("online", "to-sac")):
            last = np.mean([seed[-1] for seed in curve[f"{kind}_returns"]])
            assert returns[f"{run}-at-{checkpoint}"] == pytest.approx(last)
