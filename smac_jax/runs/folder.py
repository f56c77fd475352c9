"""One training run on disk: what it is, what it measured, how far it is, and what it goes on from after a crash."""

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
    """Where a run lives: ``identity.json``, ``snapshots/``, ``metrics.jsonl``, ``status.json``; ``policies/`` if asked.

    Use as a context manager around :func:`~smac_jax.train.offline.pretrain` or
    :func:`~smac_jax.train.online.finetune`; inside, the folder is this process's alone. A run whose process was killed
    at any moment goes on from its newest snapshot when the same call is made with the same folder, and ends with the
    numbers of a run that never stopped. A run that was finished gives its result again. What cannot be written while it
    trains, or at its end, is warned of with the reason, and never ends the run or loses its result.

    Args:
      folder: made if need be.
      title: what a person sees.
      save_every: seconds between snapshots; 0 saves after every chunk. There is always one at the end.
      keep: snapshots that stay.
      policies: keep the policy of every evaluation, as ``policies/STEP.npz`` for :func:`smac_jax.load`.
      interrupts: asks the run to stop; None never does.
      other_versions: go on from a snapshot of other versions of JAX and the rest, whose numbers may round differently.
      trackers: where metrics are also shown: names of trackers (``tensorboard``, ``wandb``, ``trackio``, or one that
        :func:`smac_jax.extend.register_tracker` knows), or trackers. None: TensorBoard where tensorboardX is installed.
      project: that trackers put the run into.
      warn: told of what went wrong and did not end the run; default: a line on standard error.

    Raises:
      ConfigError: ``folder`` is a URL; an argument that is no number of its kind, or out of range; the package of a
        tracker is missing.
      CheckpointError: on entering, where another process is at work in the folder, or nothing can be written there.
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
        self._saved_at = self._told_at = -float("inf")
        self._unsaved = True
        self._behind = False
        self._identity: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        self.took: dict[str, float] = {}

    def __enter__(self) -> RunFolder:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # not at once: a look at whether this folder is in use (smac-jax status) holds the lock for a moment
            self._lock.acquire(timeout=0.5)
            owner = json.dumps({"pid": os.getpid(), "host": platform.node()}) + "\n"
            (self.folder / "owner.json").write_text(owner, encoding="utf-8")
        except filelock.Timeout:
            owner = ""
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads((self.folder / "owner.json").read_text(encoding="utf-8"))
                owner = f" (process {said['pid']} on {said['host']})"
            raise CheckpointError(
                f"{self.folder}: another process{owner} is at work here. Wait for it, or give another folder."
            ) from None
        except OSError as error:
            self._lock.release()
            raise CheckpointError(f"{self.folder}: nothing can be written here ({error.strerror}).") from error
        earlier = read_status(self.folder)
        if earlier.found:
            said = ("phase", "done", "total", "last_return", "diverged")
            self._said = {name: getattr(earlier, name) for name in said} | _left(earlier.left)
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
            self._tell(state="stopped" if stopped else "failed", error=None if stopped else str(error)[:500])
        self._lock.release()

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Says what this run is: algorithm, configuration, seeds, data, environment.

        Raises:
          CheckpointError: the folder holds another run, or was made by other versions of what the numbers depend on.
        """
        path = self.folder / "identity.json"
        now = json.loads(json.dumps({**to_json(identity), "versions": versions()}))
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CheckpointError(f"{path} cannot be read ({error}); remove the folder to start anew.") from error
            found = {"environment": now.get("environment")} | found  # earlier versions did not write it down
            differing = [name for name in sorted(now | found) if now.get(name) != found.get(name)]
            if self._other_versions and "versions" in differing:
                differing.remove("versions")
            if differing:
                details = "; ".join(_difference(name, found.get(name), now.get(name)) for name in differing)
                hint = "" if "versions" not in differing else " --other_versions goes on with other versions."
                raise CheckpointError(
                    f"{self.folder} holds another run: {details}. Nothing was changed. Give another folder for this "
                    f"one, or repeat what made that one.{hint}"
                )
        self._identity = now
        try:
            write_json(path, now)
            self._snapshots = self._open()
        except OSError as error:
            raise CheckpointError(f"{self.folder}: nothing can be written here ({first_line(error)}).") from error
        self._tell(state="running")

    def restore(self, begin: Callable[[], Any], layout: Layout) -> Snapshot | None:
        """The newest snapshot, its arrays where ``layout`` says; None where there is none."""
        assert self._snapshots is not None, "claim() comes first"
        like = jax.eval_shape(lambda: layout.unpad(begin()))
        found = self._snapshots.newest(like, layout, self._warn)
        self._unsaved = found is None
        return found

    def begin(self, history: History) -> None:
        """Makes the log say what the history says: after a crash it may be ahead.

        Raises:
          ConfigError: a tracker cannot be opened, which is said before anything is trained.
        """
        self._logger.connect(self._identity)
        self._rewrite(history)
        self._saved_at = time.monotonic()

    def log(self, history: History) -> None:
        """Writes what is new."""
        if self._behind:  # what could not be written before comes now
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
        """Keeps the policy that was evaluated after ``step``, where policies are kept."""
        if self._policies:
            path = policy_at(self.folder, step)
            try:
                path.parent.mkdir(exist_ok=True)
                write_policy(path, NumpyPolicy.of(actor_critic, seeds))
            except Exception as error:  # any: the training is worth more than a policy of one evaluation
                self._warn(f"{path} could not be written ({reason(error)}); the run goes on.")

    def show(self, standing: Standing) -> None:
        """Writes down how far the run is, and what it is doing."""
        self._say(standing)
        self._told_at = time.monotonic()
        self._tell(state="running")

    def after_chunk(self, snapshot: Callable[[], Snapshot], standing: Standing) -> None:
        """Tells how far the run is, saves where it is time, and stops where that was asked for.

        Args:
          snapshot: makes one.
          standing: how far it is.

        Raises:
          Interrupted: it was asked to stop.
        """
        self._unsaved = True
        now = time.monotonic()
        self._say(standing)
        if now - self._told_at >= STATUS_EVERY:
            self._told_at = now
            self._tell(state="running")
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
            except Exception as error:  # any: orbax passes on what its threads met, in many guises
                self._warn(f"no snapshot could be saved ({reason(error)}); the run goes on, and tries again.")
                self._reopen()

    def finish(self, snapshot: Callable[[], Snapshot], state: str = "done") -> None:
        """Saves, and waits until it is on disk.

        Args:
          snapshot: makes one.
          state: of the run from here on. One that is "done" has a result, which is worth more than the folder: what
            cannot be saved is then warned of, and written to the status.

        Raises:
          CheckpointError: a run that is not done could not be saved.
        """
        problem = None
        if self._unsaved:
            try:
                try:
                    self._require().wait()  # for an earlier one, whose failure is not this one's
                except Exception:
                    self._reopen()
                try:
                    self._save_and_wait(snapshot)
                except TimeoutError:  # orbax goes by the clock, which may have been set
                    self._reopen()
                    self._save_and_wait(snapshot)
            except Exception as error:  # any: orbax passes on what its threads met, in many guises
                problem = f"could not be saved ({reason(error)})"
                room = "make room, and " if is_full(error) else ""
                if state != "done":
                    raise CheckpointError(
                        f"{self.folder}: the run {problem}. What was saved before is whole: {room}the same command "
                        f"goes on from there."
                    ) from error
                self._warn(
                    f"the run is done and its result is returned, but in {self.folder} it {problem}. What was saved "
                    f"before is whole: {room}the same command would go on from there."
                )
            self._unsaved = problem is not None
        self._tell(state=state, error=problem)

    def _save_and_wait(self, snapshot: Callable[[], Snapshot]) -> None:
        self._require().save(snapshot())
        self._require().wait()

    def _require(self) -> SnapshotStore:
        assert self._snapshots is not None, "claim() comes first"
        return self._snapshots

    def _open(self) -> SnapshotStore:
        # imported here: orbax takes a third of a second, and training without a folder does not need it
        from smac_jax.runs.snapshot_store import SnapshotStore

        return SnapshotStore(self.folder / "snapshots", self._keep)

    def _reopen(self) -> None:
        with contextlib.suppress(Exception):
            self._require().close()
        self._snapshots = self._open()

    def _say(self, standing: Standing) -> None:
        self._said = {
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

    def _tell(self, **what: Any) -> None:
        status = {"title": self.title, "time": time.time(), "took": self.took, **self._said, **what}
        with contextlib.suppress(Exception):  # a status that cannot be written must not end the run
            write_json(self.folder / "status.json", to_json(status))

    @contextlib.contextmanager
    def _writing_may_fail(self) -> Any:
        try:
            yield
            self._behind = False
        except Exception as error:  # any: what was measured is in the history, and the result
            if not self._behind:
                what = error if isinstance(error, SmacError) else f"metrics could not be written ({reason(error)})"
                self._warn(f"{what}; what is missing is written later, when that is possible.")
            self._behind = True


def causes(error: BaseException) -> list[BaseException]:
    """An error, and those that it was made of: orbax wraps what its threads met."""
    found: list[BaseException] = []
    while error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__ or error
    return found


def is_full(error: BaseException) -> bool:
    """Whether the disk, or a quota, has no room; orbax passes some errors on as text."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(
        getattr(cause, "errno", None) in full or any(os.strerror(number) in str(cause) for number in full)
        for cause in causes(error)
    )


def reason(error: BaseException) -> str:
    """What went wrong, in a line: what the system said of a file, where it did, else what is at the bottom of it."""
    found = causes(error)
    of_system = [cause for cause in found if isinstance(cause, OSError)]
    return first_line((of_system or found)[-1])


def _left(left: TimeLeft | None) -> dict[str, Any]:
    """The time left as ``status.json`` has it."""
    left = left or TimeLeft(0.0, at_least=True)
    return {"seconds_left": left.seconds if left.known else None, "at_least": left.at_least}


def policy_at(folder: Path, step: int) -> Path:
    """Where a run that keeps its policies has the one that was evaluated after ``step``."""
    return folder / "policies" / f"{step:09d}.npz"


def _difference(name: str, found: Any, now: Any) -> str:
    """Where two values of an identity differ, down to the field."""
    if isinstance(found, dict) and isinstance(now, dict):
        keys = [key for key in sorted(found | now) if found.get(key) != now.get(key)]
        return "; ".join(_difference(f"{name}.{key}", found.get(key), now.get(key)) for key in keys[:3])
    return f"{name} = {found!r} there, {now!r} here"
