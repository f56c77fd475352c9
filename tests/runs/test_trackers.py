"""Trackers log each point of a run once over all of its processes, and a failing tracker does not end the run."""

from __future__ import annotations

import builtins
import errno
import importlib.util
import json
import os
import sys
import types
from collections.abc import Mapping

import numpy as np
import pytest

from smac_jax import extend, registry
from smac_jax.errors import ConfigError, RegistrationError, TrackerError, UnknownNameError
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.history import History
from smac_jax.runs.metrics import MetricLogger
from smac_jax.runs.trackers.base import TrackedRun, Tracker

POINTS = [("online", step, {"q": [1.0, np.nan if step == 2 else 3.0]}) for step in range(1, 7)]
ROWS = [(step, {"online/q": 1.0 if step == 2 else 2.0}) for step in range(1, 7)]


@pytest.fixture(autouse=True)
def forgotten():
    with registry.temporary():
        yield


class Memory:
    """A tracker with a server that stores rows.

    Args:
      server: the rows by the identifier of the run.
      fails_at: the steps at which ``log`` raises an error, once for each.
    """

    def __init__(self, server: dict[str, list], fails_at: tuple[int, ...] = ()):
        self.server, self.fails_at = server, list(fails_at)
        self.opened: list[TrackedRun] = []

    def open(self, run: TrackedRun) -> int:
        self.opened.append(run)
        self.rows = self.server.setdefault(run.id, [])
        return run.logged

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step in self.fails_at:
            self.fails_at.remove(step)
            raise ConnectionError(f"no route at {step}\nlong story")
        self.rows.append((step, dict(metrics)))

    def close(self) -> None:
        pass


class Anew(Memory):
    """A tracker that starts again whenever it is opened, like one that writes files."""

    def open(self, run: TrackedRun) -> int:
        self.rows = self.server[run.id] = []
        return 0


def logger_of(folder, *trackers, project="lab") -> MetricLogger:
    return MetricLogger(folder, "title", list(trackers), project)


@pytest.mark.parametrize("kind", [Memory, Anew])
def test_a_tracker_logs_each_point_once_over_all_processes(tmp_path, kind):
    server: dict[str, list] = {}
    killed = logger_of(tmp_path, kind(server))
    killed.restart([])
    for point in POINTS[:5]:
        killed.log(*point)
    # the run resumes from a snapshot before the last logged point, then from its end, and then it is finished
    for begin in (3, 5, 6):
        following = logger_of(tmp_path, kind(server))
        following.connect({})
        following.restart(POINTS[:begin])
        for point in POINTS[begin:]:
            following.log(*point)
        following.close()
    ((_, rows),) = server.items()
    assert rows == ROWS


def test_a_point_without_finite_values_is_skipped(tmp_path):
    server: dict[str, list] = {}
    points = [POINTS[0], ("online", 9, {"q": [np.nan, np.inf]}), *POINTS[1:]]
    for begin in (0, 4):
        logger = logger_of(tmp_path, Memory(server))
        logger.restart(points[:begin])
        for point in points[begin:]:
            logger.log(*point)
    assert list(server.values()) == [ROWS]


def test_a_tracker_is_told_the_identity_of_a_run_and_whether_it_is_resumed(tmp_path):
    server: dict[str, list] = {}
    folder = tmp_path / "hopper" / "smac" / "seeds-0-1" / "offline"
    runs = []
    for logged in (0, 6):
        tracker = Memory(server)
        logger = logger_of(folder, tracker)
        logger.connect({"config": {"kappa": 40.0, "layers": (8, 8)}, "seeds": range(2)})
        logger.restart(POINTS)
        (run,) = tracker.opened
        assert (run.name, run.project, run.folder) == ("hopper/smac/seeds-0-1/offline", "lab", folder)
        assert run.config == {"config": {"kappa": 40.0, "layers": [8, 8]}, "seeds": [0, 1]}
        assert run.logged == logged
        runs.append(run)
    assert runs[0].id == runs[1].id
    assert int(runs[0].id, 16) < 2**64
    other = Memory(server)
    logger_of(tmp_path / "other", other).restart(POINTS[:1])
    assert other.opened[0].id != runs[0].id
    assert len(server) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "7", '{"id": 1}', '{"id": "a", "logged": []}'])
def test_a_damaged_tracker_state_starts_a_new_run(tmp_path, damage):
    (tmp_path / ".trackers.json").write_text(damage)
    server: dict[str, list] = {}
    logger_of(tmp_path, Memory(server)).restart(POINTS)
    ((name, rows),) = server.items()
    assert rows == ROWS
    assert len(name) == 16


def test_a_tracker_that_is_added_later_gets_the_earlier_points(tmp_path):
    server: dict[str, list] = {}
    first = logger_of(tmp_path)
    first.restart(POINTS[:3])
    second = logger_of(tmp_path, Memory(server))
    second.restart(POINTS[:3])
    for point in POINTS[3:]:
        second.log(*point)
    assert list(server.values()) == [ROWS]


@pytest.mark.parametrize("kind", [Memory, Anew])
def test_a_run_continues_without_a_failing_tracker_and_logs_the_points_later(tmp_path, kind, capsys):
    server: dict[str, list] = {}
    good: dict[str, list] = {}

    class Good(Memory): ...

    history = History((0, 1))
    failing = kind(server, fails_at=(2, 3))
    with RunFolder(tmp_path, "a run", trackers=[failing, Good(good)]) as run:
        run.claim({"algorithm": "smac"})
        run.begin(history)
        for phase, step, metrics in POINTS:
            history.add(phase, step, {name: np.array(value) for name, value in metrics.items()})
            run.log(history)
            assert len(next(iter(good.values()))) == step
            lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in lines] == list(range(1, step + 1))
    assert list(server.values()) == [ROWS]
    assert list(good.values()) == [ROWS]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"a run: the tracker {kind.__name__!r} raised an error (")
    assert "ConnectionError: no route at 2)" in said[0]


def test_an_error_names_the_users_file(tmp_path):
    logger = logger_of(tmp_path, Memory({}, fails_at=(1,)))
    logger.restart([])
    with pytest.raises(TrackerError, match=r"test_trackers\.py, line \d+: ConnectionError: no route at 1\)$"):
        logger.log(*POINTS[0])


@pytest.mark.parametrize("held", [None, -1, 1.0, True, "2"])
def test_a_tracker_that_does_not_return_its_last_step_is_refused_before_training(tmp_path, held):
    class Silent(Memory):
        def open(self, run):
            return held

    with RunFolder(tmp_path, trackers=[Silent({})]) as run:
        run.claim({})
        with pytest.raises(ConfigError, match=r"The tracker 'Silent' cannot be opened: ValueError: open\(\) returned"):
            run.begin(History((0,)))


def test_a_tracker_that_cannot_be_opened_ends_a_run_before_it_trains(tmp_path):
    class Closed(Memory):
        def open(self, run):
            raise OSError("no server")

    with RunFolder(tmp_path, trackers=[Closed({})]) as run:
        run.claim({})
        with pytest.raises(ConfigError, match=r"'Closed' cannot be opened: .*, line \d+: OSError: no server$"):
            run.begin(History((0,)))


def test_an_error_in_close_does_not_end_the_run(tmp_path):
    class Stubborn(Memory):
        def close(self):
            raise OSError("still open")

    logger = logger_of(tmp_path, Stubborn({}))
    logger.restart(POINTS)
    logger.close()


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("trackio", "trackio")]
)
def test_the_error_about_a_missing_package_has_the_install_command(tmp_path, monkeypatch, name, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        RunFolder(tmp_path, trackers=[name])
    assert str(error.value) == (
        f"The tracker {name!r} needs the package {package}, which is not installed: pip install {package}"
    )


def test_unknown_and_repeated_trackers_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"Unknown tracker 'clearml'\. Known: tensorboard, trackio, wandb\."):
        logger_of(tmp_path, "clearml")
    with pytest.raises(ConfigError, match=r"trackers = 'wandb': give a list, such as \['wandb'\]\."):
        MetricLogger(tmp_path, "title", "wandb")
    with pytest.raises(ConfigError, match="'Memory' is given twice"):
        logger_of(tmp_path, Memory({}), Memory({}))
    with pytest.raises(RegistrationError, match=r"has no function 'open'\. It needs: open, log, close"):
        logger_of(tmp_path, 7)


def test_a_registered_tracker_is_made_by_its_name_for_each_run(tmp_path):
    made = []

    @extend.register_tracker("mine")
    def make() -> Tracker:
        made.append(Memory({}))
        return made[-1]

    for folder in ("a", "b"):
        logger_of(tmp_path / folder, "mine").restart(POINTS)
    assert [len(tracker.rows) for tracker in made] == [6, 6]
    assert all(isinstance(tracker, extend.Tracker) for tracker in made)

    @extend.register_tracker("broken")
    class Broken(Memory):
        def __init__(self):
            raise KeyError("TOKEN")

    with pytest.raises(
        ConfigError, match=r"'broken' cannot be created: .*test_trackers\.py, line \d+: KeyError: 'TOKEN'"
    ):
        logger_of(tmp_path, "broken")


# ------------------------------------------------------------------------------------------------- TensorBoard


def test_tensorboard_gets_the_mean_over_seeds_and_restarts_its_files(tmp_path):
    pytest.importorskip("tensorboardX")
    for _ in range(2):
        logger = MetricLogger(tmp_path, "smac")
        logger.restart([("offline", 5, {"loss": [1.0, 3.0, np.nan], "none": [np.nan]})])
        logger.close()
    (events,) = (tmp_path / "tensorboard").glob("events*")
    written = events.read_bytes()
    assert written.count(b"offline/loss") == 1
    assert np.float32(2.0).tobytes() in written
    assert b"none" not in written


def test_a_full_disk_does_not_end_a_run_with_tensorboard(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboardX")
    history = History((0,))
    with RunFolder(tmp_path / "run", "a run") as run:
        run.claim({})
        with monkeypatch.context() as patch:
            patch.setattr("smac_jax.files.Path.write_bytes", full)
            patch.setattr("tensorboardX.event_file_writer.EventsWriter.write_event", full)
            run.begin(history)
            history.add("offline", 1, {"loss": np.array([1.0])})
            run.log(history)
        history.add("offline", 2, {"loss": np.array([2.0])})
        run.log(history)
    assert "No space left on device" in capsys.readouterr().err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    (events,) = (tmp_path / "run" / "tensorboard").glob("events*")
    assert events.read_bytes().count(b"offline/loss") == 2


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_tensorboard_is_the_default_if_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    logger = MetricLogger(tmp_path, "smac")
    logger.restart([("offline", 1, {"loss": 1.0})])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_no_tracker_imports_its_package_before_it_is_opened(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        assert name.partition(".")[0] not in ("wandb", "trackio", "tensorboardX")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    logger_of(tmp_path, "wandb", "trackio", "tensorboard").log(*POINTS[0])


# ------------------------------------------------------------------------------------------------- Weights & Biases


class FakeRun:
    """The part of Weights & Biases that this project uses, with a server that stores rows."""

    def __init__(self, server: dict[str, list], id: str, config: dict, **_):
        assert config == {"algorithm": "smac"}
        self._rows = server.setdefault(id, [])
        self.starting_step, self.resumed = len(self._rows), bool(self._rows)

    def define_metric(self, *_, **__):
        pass

    def log(self, row):
        self._rows.append(row)

    def finish(self):
        pass


@pytest.fixture
def wandb_server(monkeypatch):
    """Replaces the package wandb, and returns the rows on its server by run."""
    rows: dict[str, list] = {}
    module = types.ModuleType("wandb")
    module.init = lambda **arguments: FakeRun(rows, **arguments)  # type: ignore[attr-defined]
    module.Error = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: module)
    return rows


def test_weights_and_biases_logs_each_point_once_over_all_processes(tmp_path, wandb_server):
    for begin, end in ((0, 5), (3, 6), (5, 6), (6, 6)):
        logger = logger_of(tmp_path, "wandb")
        logger.connect({"algorithm": "smac"})
        logger.restart(POINTS[:begin])
        for point in POINTS[begin:end]:
            logger.log(*point)
    ((_, rows),) = wandb_server.items()
    assert rows == [{**metrics, "step": step} for step, metrics in ROWS]


def test_an_error_of_weights_and_biases_says_what_to_do(tmp_path, wandb_server, monkeypatch):
    def refuse(**_):
        raise RuntimeError("no key\nlong story")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(ConfigError, match=r"\(no key\).*WANDB_MODE=offline"):
        logger_of(tmp_path, "wandb").connect({"algorithm": "smac"})


# ------------------------------------------------------------------------------------------------- trackio


class FakeTrackio(types.ModuleType):
    """The part of trackio 0.43 that this project uses. Rows arrive late, and are lost if the process is killed."""

    def __init__(self):
        super().__init__("trackio")
        self.projects: dict[str, dict[str, list]] = {}
        self.unwritten: list = []
        self.asked: list[dict] = []

    def init(self, **arguments):
        project, name = arguments["project"], arguments["name"]
        if project.startswith("registry-"):
            raise ValueError(f"Project name {project!r} is not allowed")
        self.asked.append(arguments)
        print(f"* Created new run: {name}")
        rows = self.projects.setdefault(project, {}).setdefault(name, [])

        def finish():
            print("* Run finished.")
            rows.extend(self.unwritten)
            self.unwritten.clear()

        log = lambda metrics, step: self.unwritten.append((step, metrics))  # noqa: E731
        return types.SimpleNamespace(log=log, finish=finish)

    def Api(self):
        def runs(project):
            if project not in self.projects:
                raise ValueError(f"Project '{project}' does not exist")
            there = self.projects[project]
            return [types.SimpleNamespace(name=name, delete=lambda name=name: there.pop(name)) for name in list(there)]

        return types.SimpleNamespace(runs=runs)


@pytest.fixture
def trackio(monkeypatch):
    module = FakeTrackio()
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: module)
    for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(variable, raising=False)
    return module


def test_trackio_has_each_point_once_also_after_a_kill(tmp_path, trackio, capsys):
    for begin, end in ((0, 5), (3, 6)):
        trackio.unwritten.clear()  # a kill has the same effect
        logger = logger_of(tmp_path / "a" / "b" / "c" / "d", "trackio")
        logger.connect({"algorithm": "smac"})
        logger.restart(POINTS[:begin])
        for point in POINTS[begin:end]:
            logger.log(*point)
    logger.close()
    ((name, rows),) = trackio.projects["lab"].items()
    assert rows == ROWS
    known = json.loads((tmp_path / "a/b/c/d/.trackers.json").read_text())
    assert name == f"a/b/c/d {known['id'][:6]}"
    assert trackio.asked[0]["config"] == {"algorithm": "smac"}
    assert trackio.asked[0]["embed"] is False
    assert capsys.readouterr().out == ""


def test_another_run_with_the_same_name_is_not_replaced(tmp_path, trackio):
    for sweep in ("kappa-1", "kappa-5"):
        logger = logger_of(tmp_path / sweep / "a" / "b" / "c" / "d", "trackio")
        logger.restart(POINTS)
        logger.close()
    assert [rows for rows in trackio.projects["lab"].values()] == [ROWS, ROWS]


def test_points_on_a_trackio_server_are_not_sent_again(tmp_path, trackio, monkeypatch):
    monkeypatch.setenv("TRACKIO_SERVER_URL", "https://lab.example")
    for begin, end in ((0, 4), (2, 6)):
        logger = logger_of(tmp_path, "trackio")
        logger.restart(POINTS[:begin])
        for point in POINTS[begin:end]:
            logger.log(*point)
        logger.close()
    ((_, rows),) = trackio.projects["lab"].items()
    assert rows == ROWS


def test_a_project_that_trackio_refuses_causes_a_one_line_message(tmp_path, trackio):
    with pytest.raises(ConfigError, match=r"^Trackio cannot be used \(Project name 'registry-x' is not allowed\)\.$"):
        logger_of(tmp_path, "trackio", project="registry-x").connect({})
