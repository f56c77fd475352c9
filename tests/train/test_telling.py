"""The output of a run that is stopped and resumed: status, and trackers with each point once."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import sqlite3
import struct
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import survivor

import smac_jax
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.history import History
from smac_jax.runs.interrupts import Interrupted
from smac_jax.runs.pace import Standing

pytestmark = pytest.mark.usefixtures("small_chunks_compiled_once")


def events(folder: Path) -> Counter[tuple[str, int]]:
    """Returns tag and step of every number in TensorBoard's files. Records have a length, bytes, and checksums."""
    from tensorboardX.proto.event_pb2 import Event

    found: Counter[tuple[str, int]] = Counter()
    for path in (folder / "tensorboard").iterdir():
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found.update((value.tag, event.step) for value in event.summary.value)
            data = data[16 + length :]
    return found


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Once:
    """An interruption after some chunks, once."""

    def __init__(self, chunks: int):
        self.left = chunks

    @property
    def number(self) -> int | None:
        self.left -= 1
        return 15 if self.left < 0 else None


def test_tensorboard_has_each_step_of_a_resumed_run_once(tmp_path):
    pytest.importorskip("tensorboardX")

    def pretrain(interrupts=None):
        with RunFolder(tmp_path, "a-run", save_every=0, interrupts=interrupts) as run:
            survivor.pretrain(run)

    with pytest.raises(Interrupted):
        pretrain(Once(2))
    assert {step for _, step in events(tmp_path)} == {20}
    pretrain()
    found = events(tmp_path)
    assert set(found.values()) == {1}
    measured = {
        (f"{line['phase']}/{name}", line["step"])
        for line in lines(tmp_path)
        for name, value in line.items()
        if isinstance(value, list) and any(x is not None for x in value)
    }
    assert set(found) == measured
    assert {step for _, step in measured} == {20, 40}


def test_status_names_diverged_seeds_also_after_a_repeated_call(tmp_path):
    for _ in range(2):
        with RunFolder(tmp_path, save_every=0) as run:
            survivor.pretrain(run, q_limit=1e-12)
        status = json.loads((tmp_path / "status.json").read_text())
        assert status["state"] == "done"
        assert status["diverged"] == {"0": 0, "3": 0}
        assert (status["done"], status["total"]) == (40, 40)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "7", '{"took": 5}', '{"took": ["a"]}', '{"took": {"x": "y"}}', '{"took": null}']
)
def test_a_damaged_status_does_not_prevent_resuming(tmp_path, damage):
    (tmp_path / "status.json").write_text(damage)
    with RunFolder(tmp_path) as run:
        run.claim({})
        run.begin(History((0,)))
        took = run.took
        run.after_chunk(lambda: pytest.fail("not yet"), Standing("x", 10, 20, took={**took, "x": 1.0}))
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["done"], status["took"]) == ("running", 10, {"x": 1.0})


def status_of(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


def test_status_has_the_last_evaluation_of_a_finished_run(tmp_path):
    env = smac_jax.make_env("hopper", physics="mujoco")
    off = survivor.pretrain(env=env)
    for _ in range(2):
        with RunFolder(tmp_path / "off", save_every=0) as run:
            again = survivor.pretrain(run, env)
        assert status_of(tmp_path / "off")["last_return"] == pytest.approx(off.mean_returns[:, -1].mean())
        with RunFolder(tmp_path / "on", save_every=0) as run:
            on = survivor.finetune(again, run, env)
        said = status_of(tmp_path / "on")
        assert (said["done"], said["total"], said["state"]) == (60, 60, "done")
        assert said["last_return"] == pytest.approx(on.mean_returns[:, -1].mean())
        assert (said["seconds_left"], said["at_least"]) == (0.0, False)
        # an outdated status, such as one of an earlier version, is corrected when the run is called again
        stale = said | {"last_return": -1.0}
        (tmp_path / "on" / "status.json").write_text(json.dumps(stale))


def test_status_is_written_after_every_evaluation(tmp_path, monkeypatch):
    seen = []
    env = smac_jax.make_env("hopper", physics="mujoco")
    write = RunFolder._write_status

    def spy(folder, **what):
        write(folder, **what)
        seen.append(status_of(folder.folder))

    monkeypatch.setattr(RunFolder, "_write_status", spy)
    evaluated = []
    off = survivor.pretrain(env=env)
    with RunFolder(tmp_path, save_every=0) as run:
        survivor.finetune(
            off, run, env, on_evaluation=lambda step, returns: evaluated.append((step, returns.mean())) or step == 50
        )
    assert [step for step, _ in evaluated] == [0, 30, 50]
    after = [
        (now["done"], now["last_return"])
        for before, now in itertools.pairwise(seen)
        if before.get("doing") == "evaluation" and now.get("doing") == "training"
    ]
    assert after == [(step, pytest.approx(value)) for step, value in evaluated]
    # the run was stopped at 50 of 60, and then finished
    assert [(now["done"], now["total"], now["seconds_left"]) for now in seen[-1:]] == [(50, 60, 0.0)]
    assert {"compilation", "training", "evaluation"} == {now["doing"] for now in seen if "doing" in now}
    first = next(now for now in seen if now.get("doing") == "compilation")
    assert (first["done"], first["rate"], first["seconds_left"], first["at_least"]) == (0, None, None, True)
    # the rate of steps with updates is not known during the warm start
    warm = [now for now in seen if "warm start" in now["took"] and "online" not in now["took"]]
    assert warm
    assert all(now["at_least"] for now in warm)
    assert not seen[-1]["at_least"]


def rows_of(path: Path) -> tuple[list[dict[str, float]], bool]:
    """Returns the rows of an offline run of Weights & Biases, and whether the file has its end.

    After 7 bytes the file is in LevelDB's log format, with blocks of 32 KiB.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, rows, ended = path.read_bytes(), 7, b"", [], False
    while at + 7 <= len(data):
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        if kind in (1, 4):  # full, last
            record, whole = Record.FromString(whole), b""
            ended = ended or record.WhichOneof("record_type") == "exit"
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
    return rows, ended


def test_an_offline_run_of_weights_and_biases_has_all_points_of_a_resumed_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def pretrain(interrupts=None):
        with RunFolder(tmp_path / "run", save_every=0, interrupts=interrupts, trackers=["wandb"]) as run:
            survivor.pretrain(run)

    with pytest.raises(Interrupted):
        pretrain(Once(2))
    pretrain()
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))  # in the order of dates
    until = time.monotonic() + 60
    while not all(rows_of(path)[1] for path in files) and time.monotonic() < until:
        time.sleep(0.1)  # another process writes the file
    first, second = (rows_of(path)[0] for path in files)
    assert [row["step"] for row in first] == [20]
    measured = lines(tmp_path / "run")
    assert [row["step"] for row in second] == [line["step"] for line in measured] == [20, 40]
    for row, line in zip(second, measured, strict=True):
        assert row["offline/td_loss"] == pytest.approx(np.mean(line["td_loss"]))
    assert (
        len({path.name for path in files}) == 1
    )  # all files are of one run, and `wandb sync` of the newest one completes it


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed")
def test_a_resumed_run_is_one_run_of_trackio_with_each_point_once(tmp_path, monkeypatch):
    assert "trackio" not in sys.modules  # trackio finds its database when it is imported
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))

    def pretrain(interrupts=None):
        with RunFolder(
            tmp_path / "run", save_every=0, interrupts=interrupts, trackers=["trackio"], project="lab"
        ) as run:
            survivor.pretrain(run)

    with pytest.raises(Interrupted):
        pretrain(Once(2))
    pretrain()
    with contextlib.closing(sqlite3.connect(tmp_path / "trackio" / "lab.db")) as database:
        rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
        ((config,),) = database.execute("select config from configs").fetchall()
    measured = lines(tmp_path / "run")
    assert len({name for name, *_ in rows}) == 1
    assert [step for _, step, _ in rows] == [line["step"] for line in measured] == [20, 40]
    for (*_, metrics), line in zip(rows, measured, strict=True):
        assert json.loads(metrics)["offline/td_loss"] == pytest.approx(np.mean(line["td_loss"]))
    assert json.loads(config)["algorithm"] == "td3_bc"
