"""A run that is interrupted, killed, damaged or without disk space is resumed, and ends with the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import survivor

import smac_jax
from smac_jax.errors import CheckpointError
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.interrupts import Interrupted, Interrupts
from smac_jax.runs.snapshot_store import SnapshotStore
from smac_jax.train import plan

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("small_chunks_compiled_once")


class After:
    """An interruption after a number of chunks."""

    def __init__(self, chunks: int, number: int = signal.SIGTERM):
        self.left, self._number = chunks, number

    @property
    def number(self) -> int | None:
        self.left -= 1
        return self._number if self.left < 0 else None


@pytest.fixture(scope="module")
def undisturbed():
    return survivor.fingerprint(*survivor.train(None))


@pytest.fixture(scope="module")
def pretrained():
    return survivor.fingerprint(survivor.pretrain())


def pretrain(folder: Path, interrupts: After | None = None, **changes):
    with RunFolder(folder, save_every=0, interrupts=interrupts) as run:
        return survivor.pretrain(run, **changes)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """Makes a folder whose pre-training was stopped after three of four chunks, each of which was saved."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        pretrain(folder, After(2))
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return Path(shutil.copytree(stopped_once, tmp_path / "off"))


def snapshots(folder: Path) -> list[Path]:
    return sorted((p for p in (folder / "snapshots").iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def test_a_run_that_is_interrupted_at_every_chunk_equals_an_uninterrupted_one(tmp_path, undisturbed):
    cuts, codes = [], set()
    while True:
        try:
            results = survivor.train(tmp_path, After(0))
            break
        except Interrupted as stop:
            cuts.append(str(stop))
            codes.add(stop.exit_code)
    assert codes == {143}
    assert len(cuts) == 4 + 3 + 3  # pre-training, warm start, learning
    assert cuts[1] == "off: stopped at TD3+BC: offline 20 of 40, and saved"
    assert survivor.fingerprint(*results) == undisturbed
    lines = [json.loads(line) for line in (tmp_path / "off" / "metrics.jsonl").read_text().splitlines()]
    assert [(x["phase"], x["step"]) for x in lines if x["phase"] == "evaluation"] == [
        ("evaluation", step) for step in (0, 20, 40)
    ]
    assert len({(x["phase"], x["step"]) for x in lines}) == len(
        lines
    )  # each point occurs once, even if it was computed several times


def test_a_finished_run_returns_its_result_without_training(tmp_path, undisturbed, monkeypatch):
    survivor.train(tmp_path)
    monkeypatch.setattr(plan, "weighted_mean", lambda parts: pytest.fail("it trained"))
    assert survivor.fingerprint(*survivor.train(tmp_path)) == undisturbed


def largest(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(folder: Path) -> None:
    path = largest(folder / "arrays")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_what_was_measured(folder: Path) -> None:
    path = next(p for p in (folder / "about").iterdir() if '"history"' in p.read_text())
    about = json.loads(path.read_text())
    about["history"]["points"][0][2]["q"][1][0] += 1e-3
    path.write_text(json.dumps(about))


DAMAGES = {
    "a bit flipped": flip_a_bit,
    "cut short": lambda folder: os.truncate(largest(folder), largest(folder).stat().st_size // 3),
    "emptied": lambda folder: os.truncate(largest(folder), 0),
    "a file gone": lambda folder: largest(folder).unlink(),
    "all files gone": lambda folder: [p.unlink() for p in folder.rglob("*") if p.is_file()],
    "half of it gone": lambda folder: shutil.rmtree(folder / "about"),
    "a number changed": change_what_was_measured,
    "nonsense": lambda folder: [p.write_bytes(b"\0garbage") for p in folder.rglob("*") if p.is_file()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_snapshot_is_reported_and_the_one_before_used(stopped, pretrained, damage, capsys):
    before, newest = snapshots(stopped)
    DAMAGES[damage](newest)
    with pytest.raises(
        Interrupted, match=r"stopped at TD3\+BC: offline 30 of 40"
    ):  # the damaged snapshot is that of update 30
        pretrain(stopped, After(0))
    said = capsys.readouterr().err
    assert f"snapshot {newest.name} is damaged" in said
    assert f"damaged-snapshots-{newest.name}; the previous snapshot is used" in said
    assert before.exists()
    assert (stopped / f"damaged-snapshots-{newest.name}").exists()
    assert survivor.fingerprint(pretrain(stopped)) == pretrained


def test_a_run_whose_snapshots_are_all_damaged_is_not_restarted(stopped):
    for snapshot in snapshots(stopped):
        flip_a_bit(snapshot)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"no snapshot can be read.*start this run from the beginning"):
            pretrain(stopped)
    assert len(list(stopped.glob("damaged-*"))) == 2


def test_an_interrupted_save_is_not_a_snapshot(stopped, pretrained):
    """A kill in the middle of a save leaves a folder with orbax's temporary name."""
    newest = snapshots(stopped)[-1]
    left = newest.with_name(f"{int(newest.name) + 1}.orbax-checkpoint-tmp")
    shutil.copytree(newest, left)
    largest(left).unlink()
    assert survivor.fingerprint(pretrain(stopped)) == pretrained
    assert not left.exists()


def test_another_run_in_the_same_folder_is_refused(stopped):
    held = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file() and "owner" not in p.name}
    with pytest.raises(CheckpointError, match=r"another run: seeds = \[0, 3\] in the folder, \[5\] now\. Nothing was"):
        pretrain(stopped, seeds=[5])
    del held[stopped / "status.json"]
    assert all(path.read_bytes() == content for path, content in held.items())


def test_a_run_of_another_environment_is_refused(tmp_path):
    """Finished runs are refused, too, because their numbers depend on the environment."""
    with RunFolder(tmp_path) as run:
        run.claim({"environment": {"name": "hopper", "version": "v4"}})
    with (
        RunFolder(tmp_path) as run,
        pytest.raises(CheckpointError, match=r"environment\.version = 'v4' in the folder, 'v5' now"),
    ):
        run.claim({"environment": {"name": "hopper", "version": "v5"}})
    earlier = json.loads((tmp_path / "identity.json").read_text())
    del earlier["environment"]  # identities of earlier versions do not have the environment
    (tmp_path / "identity.json").write_text(json.dumps(earlier))
    with RunFolder(tmp_path) as run:
        run.claim({"environment": {"name": "hopper", "version": "v5"}})


def test_other_versions_are_refused_unless_they_are_allowed(stopped, pretrained):
    path = stopped / "identity.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"versions": found["versions"] | {"jax": "0.1.2"}}))
    with pytest.raises(CheckpointError, match=r"versions\.jax = '0\.1\.2' in the folder.*Use --other_versions"):
        pretrain(stopped)
    with RunFolder(stopped, other_versions=True) as run:
        assert survivor.fingerprint(survivor.pretrain(run)) == pretrained


def test_a_snapshot_of_another_program_is_reported_and_kept(stopped):
    (stopped / "identity.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"snapshot \d+ was written by another version.* in the snapshot and .* now\. Nothing"
    ):
        pretrain(stopped, seeds=[0, 3, 4])
    assert len(snapshots(stopped)) == 2


def test_two_processes_cannot_use_one_folder(tmp_path):
    with RunFolder(tmp_path / "run"):
        command = f"from smac_jax.runs.folder import RunFolder; RunFolder({str(tmp_path / 'run')!r}).__enter__()"
        other = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert f"another process (process {os.getpid()} on" in other.stderr
    with RunFolder(tmp_path / "run"):  # the folder is free again
        pass


def test_an_unwritable_folder_causes_a_one_line_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="nothing can be written here"), RunFolder(tmp_path / "file" / "run"):
        pass


@pytest.fixture
def small_disk(tmp_path):
    """Makes a small file system, with functions that fill and empty it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs more rights")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    blob = place / "blob"
    with contextlib.suppress(OSError), blob.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2048))
    return blob


def test_a_run_survives_a_full_disk_and_saves_when_there_is_room(small_disk, pretrained, capfd):
    """The disk is full after the first chunk and has space after the third. The run does not need a restart."""
    blobs = []

    class Filling:
        seen = 0

        @property
        def number(self):
            self.seen += 1
            if self.seen == 1:
                blobs.append(fill(small_disk))
            if self.seen == 3:
                blobs.pop().unlink()

    result = pretrain(small_disk / "run", Filling())
    assert not blobs
    assert "no snapshot could be saved" in capfd.readouterr().err
    assert survivor.fingerprint(result) == pretrained
    lines = [json.loads(line) for line in (small_disk / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40]  # no measurement from the time of the full disk is missing


def test_a_full_disk_at_the_end_causes_a_warning_and_the_result_is_returned(small_disk, pretrained, capfd):
    class Filling:
        seen = 0

        @property
        def number(self):
            self.seen += 1
            if self.seen == 2:
                fill(small_disk)

    folder = small_disk / "run"
    assert survivor.fingerprint(pretrain(folder, Filling())) == pretrained
    said = capfd.readouterr().err
    assert "the run is done and its result is returned" in said
    assert "could not be saved (" in said
    assert "No space left on device" in said
    assert "Free disk space, and repeat the command to resume from it" in said
    (small_disk / "blob").unlink()
    assert survivor.fingerprint(pretrain(folder)) == pretrained


def test_an_interrupted_run_on_a_full_disk_keeps_its_earlier_snapshots(small_disk, pretrained):
    class Filling(After):
        @property
        def number(self):
            number = super().number
            if number is not None:
                fill(small_disk)
            return number

    folder = small_disk / "run"
    with pytest.raises(CheckpointError, match=r"No space left.*Free disk space, and repeat the command to resume"):
        pretrain(folder, Filling(2))
    (small_disk / "blob").unlink()
    assert survivor.fingerprint(pretrain(folder)) == pretrained


def test_another_error_while_saving_is_reported_with_its_reason(tmp_path, pretrained, monkeypatch, capfd):
    """If saving fails for any other reason, the run returns its result, and the reason is reported."""

    def broken(self, snapshot):
        raise TypeError("Object of type int64 is not JSON serializable")

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "save", broken)
        result = pretrain(tmp_path / "run")
    assert survivor.fingerprint(result) == pretrained
    said = capfd.readouterr().err
    assert "its result is returned" in said
    assert "could not be saved (Object of type int64 is not JSON serializable)" in said
    assert "Free disk space" not in said
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "done"
    assert status["error"] == "could not be saved (Object of type int64 is not JSON serializable)"
    assert survivor.fingerprint(pretrain(tmp_path / "run")) == pretrained


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("smac_jax.runs.metrics.MetricLogger.log", "metrics could not be written (odd)"),
        ("smac_jax.runs.folder.write_policy", "could not be written (odd); the run continues"),
    ],
)
def test_errors_in_writing_other_files_do_not_end_a_run(tmp_path, pretrained, monkeypatch, capfd, broken, words):
    def fail(*_, **__):
        raise ValueError("odd")

    env = smac_jax.make_env("hopper", physics="mujoco")
    monkeypatch.setattr(broken, fail)
    with RunFolder(tmp_path, save_every=0, policies=True) as run:
        survivor.pretrain(run, env)
    assert words in capfd.readouterr().err


def test_numpy_numbers_run_and_are_recorded_as_plain_ones(tmp_path, pretrained):
    settings = {
        "num_updates": np.int64(40),
        "eval_every": np.int32(20),
        "eval_episodes": np.uint8(1),
        "episode_length": np.float32(20),
        "seeds": np.array(survivor.SEEDS),
        "q_limit": np.float32(1e6),
    }
    with RunFolder(tmp_path / "run", save_every=np.float32(0), keep=np.int64(2), policies=np.bool_(False)) as run:
        result = survivor.pretrain(run, **settings)
    assert survivor.fingerprint(result) == pretrained
    assert (type(result.updates), type(result.seeds[0])) == (int, int)
    with RunFolder(tmp_path / "run", save_every=0) as run:  # this is the same run, which is finished
        assert survivor.fingerprint(survivor.pretrain(run)) == pretrained


def test_a_run_does_not_depend_on_the_clock(tmp_path, pretrained, monkeypatch):
    """The clock jumps by years while snapshots are written in the background."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    class Jumping:
        chunks = 0

        @property
        def number(self):
            self.chunks += 1
            ahead[0] = 1e8 * (-1) ** self.chunks
            return signal.SIGTERM if self.chunks == 3 else None

    with pytest.raises(Interrupted):
        pretrain(tmp_path, Jumping())
    assert survivor.fingerprint(pretrain(tmp_path)) == pretrained


def test_interrupts_note_the_first_signal_and_leave_the_second_to_others():
    heard = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: heard.append("second"))
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.number == signal.SIGTERM
            assert heard == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == ["second"]
    finally:
        signal.signal(signal.SIGTERM, earlier)


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, survivor.__file__, str(folder), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def survive(folder: Path, kills: int, rng: random.Random) -> None:
    """Kills a run repeatedly, half of the times at an operation on a file, and compares its result with a whole run."""
    began = time.monotonic()
    whole = start(folder / "whole", "0")
    said, _ = whole.communicate(timeout=300)
    lasted = time.monotonic() - began
    assert whole.returncode == 0, said
    operations = int(said.splitlines()[-1].split()[0])
    assert operations > 100
    done = 0
    while done < kills:
        if done % 2:
            process = start(folder / "killed", str(rng.randrange(1, operations // 2)))
        else:
            process = start(folder / "killed")
            assert process.stdout is not None
            assert process.stdout.readline() == "at work\n"
            time.sleep(rng.uniform(0, lasted / 3))
            process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=300)
        if process.returncode == 0:  # the run had finished before the kill, so it starts again
            assert _result(folder / "killed") == _result(folder / "whole")
            shutil.rmtree(folder / "killed")
            continue
        assert process.returncode == -signal.SIGKILL, said
        done += 1
    process = start(folder / "killed")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert _result(folder / "killed") == _result(folder / "whole")
    for leg in ("off", "on"):
        lines = [(folder / run / leg / "metrics.jsonl").read_text() for run in ("killed", "whole")]
        assert lines[0] == lines[1]


def _result(folder: Path) -> dict[str, int]:
    return json.loads((folder / "result.json").read_text())


def test_a_run_that_is_killed_twice_equals_an_uninterrupted_one(tmp_path):
    survive(tmp_path, kills=2, rng=random.Random(0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_killed_many_times_equals_an_uninterrupted_one(tmp_path, seed):
    survive(tmp_path, kills=10, rng=random.Random(seed))


def test_sigterm_saves_and_exits_with_its_code(tmp_path):
    process = start(tmp_path / "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    while not (tmp_path / "run" / "off" / "status.json").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "and saved" in said
    status = [json.loads(p.read_text()) for p in (tmp_path / "run").glob("*/status.json")]
    assert "stopped" in {s["state"] for s in status}
