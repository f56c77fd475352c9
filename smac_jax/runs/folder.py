"""The folder of a training run: its identity, metrics, status, and the snapshots from which it resumes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import filelock
import jax

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.config import real_number, true_or_false, whole_number
from smac_jax.deploy.policy import NumpyPolicy
from smac_jax.deploy.policy_file import write_policy
from smac_jax.errors import CheckpointError, SmacError
from smac_jax.files import local_path, write_json
from smac_jax.runs.history import History
from smac_jax.runs.interrupts import Interrupted, Interrupts
from smac_jax.runs.json_values import to_json
from smac_jax.runs.layout import Layout
from smac_jax.runs.metrics import MetricLogger
from smac_jax.runs.pace import Standing, TimeLeft
from smac_jax.runs.provenance import versions
from smac_jax.runs.snapshots import Position, Snapshot, first_line
from smac_jax.runs.status import read_status
from smac_jax.runs.trackers.base import Tracker
from smac_jax.runs.trackers.connection import PROJECT

if TYPE_CHECKING:
    from smac_jax.runs.snapshot_store import SnapshotStore

__all__ = ["Position", "RunFolder", "Snapshot"]

STATUS_EVERY = 2.0
"""Seconds between two writings of the status."""


class RunFolder:
    """The folder of a run: ``identity.json``, ``snapshots/``, ``metrics.jsonl``, ``status.json``, ``policies/``.

    Use it as a context manager around :func:`~smac_jax.train.offline.pretrain` or
    :func:`~smac_jax.train.online.finetune`, during which the folder is locked for this process. If the process is
    killed at any time, the same call with the same folder resumes from the newest snapshot, and ends with the same
    numbers as an uninterrupted run. For a run that is done, it returns the result again. Errors in writing cause a
    warning; they neither end the run nor lose its result.

    Args:
      folder: the folder, which is created if it does not exist.
      title: the name of the run in messages.
      save_every: seconds between snapshots; 0 saves after every chunk. There is always a snapshot at the end.
      keep: the number of newest snapshots to keep.
      policies: whether to save the policy at every evaluation, as ``policies/STEP.npz`` for :func:`smac_jax.load`.
      interrupts: the signals that ask the run to stop; None for no signals.
      other_versions: whether to resume from a snapshot of other versions of JAX and its libraries, which may round
        differently.
      trackers: trackers that show the metrics during training, or their names (``tensorboard``, ``wandb``, ``trackio``,
        or one from :func:`smac_jax.extend.register_tracker`). None for TensorBoard if tensorboardX is installed.
      project: the project of the run in the trackers.
      warn: a function for warnings; default: print a line to standard error.

    Raises:
      ConfigError: ``folder`` is a URL, an argument has the wrong type or is out of range, or the package of a tracker
        is not installed.
      CheckpointError: on entering, if another process uses the folder, or if it cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        title: str = "",
        *,
        save_every: float = 300.0,
        keep: int = 2,
        policies: bool = False,
        interrupts: Interrupts | None = None,
        other_versions: bool = False,
        trackers: Sequence[str | Tracker] | None = None,
        project: str = PROJECT,
        warn: Callable[[str], None] | None = None,
    ):
        self.folder = local_path(folder).absolute()
        self.title = title or self.folder.name
        self._save_every = real_number("RunFolder: save_every", save_every, 0.0)
        self._keep, self._interrupts = whole_number("RunFolder: keep", keep, 1), interrupts
        self._policies = true_or_false("RunFolder: policies", policies)
        self._other_versions = true_or_false("RunFolder: other_versions", other_versions)
        self._warn = warn or (lambda line: print(f"{self.title}: {line}", file=sys.stderr))
        self._lock = filelock.FileLock(self.folder / ".lock")
        self._snapshots: SnapshotStore | None = None
        self._logger = MetricLogger(self.folder, self.title, trackers, project)
        self._seen = (0, 0)
        self._saved_at = self._status_written_at = -float("inf")
        self._unsaved = True
        self._behind = False
        self._status: dict[str, Any] = {}
        self._identity: dict[str, Any] = {}
        self.took: dict[str, float] = {}

    def __enter__(self) -> RunFolder:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # with a timeout, because smac-jax status holds the lock for a moment to see whether the folder is in use
            self._lock.acquire(timeout=0.5)
            owner = json.dumps({"pid": os.getpid(), "host": platform.node()}) + "\n"
            (self.folder / "owner.json").write_text(owner, encoding="utf-8")
        except filelock.Timeout:
            owner = ""
            with contextlib.suppress(OSError, ValueError, KeyError):
                other = json.loads((self.folder / "owner.json").read_text(encoding="utf-8"))
                owner = f" (process {other['pid']} on {other['host']})"
            raise CheckpointError(
                f"{self.folder}: another process{owner} uses this folder. Wait for it, or give another folder."
            ) from None
        except OSError as error:
            self._lock.release()
            raise CheckpointError(f"{self.folder}: nothing can be written here ({error.strerror}).") from error
        earlier = read_status(self.folder)
        if earlier.found:
            kept = ("phase", "done", "total", "last_return", "diverged")
            self._status = {name: getattr(earlier, name) for name in kept} | _left(earlier.left)
            self.took = dict(earlier.took)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._snapshots is not None:
            with contextlib.suppress(Exception):
                self._snapshots.close()
        with contextlib.suppress(Exception):
            self._logger.close()
        if error is not None:
            stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
            self._write_status(state="stopped" if stopped else "failed", error=None if stopped else str(error)[:500])
        self._lock.release()

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Records the identity of the run: algorithm, configuration, seeds, data and environment.

        Raises:
          CheckpointError: the folder holds a run with another identity, or of other versions of the libraries.
        """
        path = self.folder / "identity.json"
        now = json.loads(json.dumps({**to_json(identity), "versions": versions()}))
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CheckpointError(f"{path} cannot be read ({error}). Remove the folder to start again.") from error
            found = {"environment": now.get("environment")} | found  # earlier versions did not record it
            differing = [name for name in sorted(now | found) if now.get(name) != found.get(name)]
            if self._other_versions and "versions" in differing:
                differing.remove("versions")
            if differing:
                details = "; ".join(_difference(name, found.get(name), now.get(name)) for name in differing)
                hint = "" if "versions" not in differing else " Use --other_versions to resume with other versions."
                raise CheckpointError(
                    f"{self.folder} holds another run: {details}. Nothing was changed. Give another folder for this "
                    f"run, or repeat the command of the other one.{hint}"
                )
        self._identity = now
        try:
            write_json(path, now)
            self._snapshots = self._open()
        except OSError as error:
            raise CheckpointError(f"{self.folder}: nothing can be written here ({first_line(error)}).") from error
        self._write_status(state="running")

    def restore(self, begin: Callable[[], Any], layout: Layout) -> Snapshot | None:
        """The newest snapshot, with its arrays distributed as in ``layout``; None if there is no snapshot."""
        assert self._snapshots is not None, "claim() must be called first"
        like = jax.eval_shape(lambda: layout.unpad(begin()))
        found = self._snapshots.newest(like, layout, self._warn)
        self._unsaved = found is None
        return found

    def begin(self, history: History) -> None:
        """Rewrites the log from the history. After a crash, the log may be ahead of the snapshot.

        Raises:
          ConfigError: a tracker cannot be opened.
        """
        self._logger.connect(self._identity)
        self._rewrite(history)
        self._saved_at = time.monotonic()

    def log(self, history: History) -> None:
        """Writes the new points of the history."""
        if self._behind:  # an earlier write failed
            self._rewrite(history)
            return
        points, self._seen = history.since(self._seen)
        with self._writing_may_fail():
            for phase, step, values in points:
                self._logger.log(phase, step, values)

    def _rewrite(self, history: History) -> None:
        points, self._seen = history.since()
        with self._writing_may_fail():
            self._logger.restart(points)

    def evaluated(self, step: int, actor_critic: ActorCritic, seeds: Sequence[int]) -> None:
        """Saves the policy that was evaluated after ``step``, if policies are kept."""
        if self._policies:
            path = policy_at(self.folder, step)
            try:
                path.parent.mkdir(exist_ok=True)
                write_policy(path, NumpyPolicy.of(actor_critic, seeds))
            except Exception as error:  # any: a policy that cannot be saved must not end the training
                self._warn(f"{path} could not be written ({reason(error)}); the run continues.")

    def show(self, standing: Standing) -> None:
        """Writes the progress of the run and its activity to the status."""
        self._update_status(standing)
        self._status_written_at = time.monotonic()
        self._write_status(state="running")

    def after_chunk(self, snapshot: Callable[[], Snapshot], standing: Standing) -> None:
        """Writes the status, saves a snapshot if it is time, and stops if the run was asked to.

        Args:
          snapshot: makes a snapshot.
          standing: the progress of the run.

        Raises:
          Interrupted: the run was asked to stop; its state is saved.
        """
        self._unsaved = True
        now = time.monotonic()
        self._update_status(standing)
        if now - self._status_written_at >= STATUS_EVERY:
            self._status_written_at = now
            self._write_status(state="running")
        number = self._interrupts.number if self._interrupts else None
        if number is not None:
            self.finish(snapshot, state="stopped")
            raise Interrupted(
                f"{self.title}: stopped at {standing.phase} {standing.done:,} of {standing.total:,}, and saved", number
            )
        if now - self._saved_at >= self._save_every:
            self._saved_at = now
            try:
                self._require().save(snapshot())
            except Exception as error:  # any: orbax wraps the errors of its threads in various ways
                self._warn(f"no snapshot could be saved ({reason(error)}); the run continues, and will try again.")
                self._reopen()

    def finish(self, snapshot: Callable[[], Snapshot], state: str = "done") -> None:
        """Saves a snapshot, and waits until it is on disk.

        Args:
          snapshot: makes a snapshot.
          state: the new state of the run. For a run that is done, an error in saving causes a warning only, so that its
            result is not lost.

        Raises:
          CheckpointError: the snapshot of a run that is not done could not be saved.
        """
        problem = None
        if self._unsaved:
            try:
                try:
                    self._require().wait()  # for an earlier snapshot, whose failure does not concern this one
                except Exception:
                    self._reopen()
                try:
                    self._save_and_wait(snapshot)
                except TimeoutError:  # orbax uses the system's clock, which may have been set
                    self._reopen()
                    self._save_and_wait(snapshot)
            except Exception as error:  # any: orbax wraps the errors of its threads in various ways
                problem = f"could not be saved ({reason(error)})"
                advice = "Free disk space, and repeat" if is_full(error) else "Repeat"
                if state != "done":
                    raise CheckpointError(
                        f"{self.folder}: the run {problem}. What was saved before is intact. {advice} the command to "
                        "resume."
                    ) from error
                self._warn(
                    f"the run is done and its result is returned, but it {problem} in {self.folder}. What was saved "
                    f"before is intact. {advice} the command to resume from it."
                )
            self._unsaved = problem is not None
        self._write_status(state=state, error=problem)

    def _save_and_wait(self, snapshot: Callable[[], Snapshot]) -> None:
        self._require().save(snapshot())
        self._require().wait()

    def _require(self) -> SnapshotStore:
        assert self._snapshots is not None, "claim() must be called first"
        return self._snapshots

    def _open(self) -> SnapshotStore:
        # imported here, because orbax takes a third of a second to import and only runs with a folder need it
        from smac_jax.runs.snapshot_store import SnapshotStore

        return SnapshotStore(self.folder / "snapshots", self._keep)

    def _reopen(self) -> None:
        with contextlib.suppress(Exception):
            self._require().close()
        self._snapshots = self._open()

    def _update_status(self, standing: Standing) -> None:
        self._status = {
            "phase": standing.phase,
            "done": standing.done,
            "total": standing.total,
            "doing": standing.doing,
            "rate": standing.rate,
            **_left(standing.run_left),
            "last_return": standing.last_return,
            "diverged": dict(standing.diverged),
            "took": dict(standing.took),
        }

    def _write_status(self, **what: Any) -> None:
        status = {"title": self.title, "time": time.time(), "took": self.took, **self._status, **what}
        with contextlib.suppress(Exception):  # a status that cannot be written must not end the run
            write_json(self.folder / "status.json", to_json(status))

    @contextlib.contextmanager
    def _writing_may_fail(self) -> Any:
        try:
            yield
            self._behind = False
        except Exception as error:  # any: the metrics are still in the history and in the result
            if not self._behind:
                what = error if isinstance(error, SmacError) else f"metrics could not be written ({reason(error)})"
                self._warn(f"{what}; they will be written when it is possible.")
            self._behind = True


def causes(error: BaseException) -> list[BaseException]:
    """An error and its causes: orbax wraps the errors of its threads."""
    found: list[BaseException] = []
    while error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__ or error
    return found


def is_full(error: BaseException) -> bool:
    """Whether the disk or a quota is full. Orbax passes on some errors as text."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(
        getattr(cause, "errno", None) in full or any(os.strerror(number) in str(cause) for number in full)
        for cause in causes(error)
    )


def reason(error: BaseException) -> str:
    """An error's message as one line: that of the operating system's error among its causes, else of the last cause."""
    found = causes(error)
    of_system = [cause for cause in found if isinstance(cause, OSError)]
    return first_line((of_system or found)[-1])


def _left(left: TimeLeft | None) -> dict[str, Any]:
    """The fields of ``status.json`` for the time left."""
    left = left or TimeLeft(0.0, at_least=True)
    return {"seconds_left": left.seconds if left.known else None, "at_least": left.at_least}


def policy_at(folder: Path, step: int) -> Path:
    """The file of the policy that was evaluated after ``step``."""
    return folder / "policies" / f"{step:09d}.npz"


def _difference(name: str, found: Any, now: Any) -> str:
    """The difference between two values of an identity, by field."""
    if isinstance(found, dict) and isinstance(now, dict):
        keys = [key for key in sorted(found | now) if found.get(key) != now.get(key)]
        return "; ".join(_difference(f"{name}.{key}", found.get(key), now.get(key)) for key in keys[:3])
    return f"{name} = {found!r} in the folder, {now!r} now"
