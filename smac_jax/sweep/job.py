"""Trains one job of a sweep, from the beginning or from its newest snapshots."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from smac_jax import plugins
from smac_jax.algorithms import make_offline
from smac_jax.algorithms.continuation import state_for_online
from smac_jax.algorithms.contracts import OnlineAlgorithm
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.dataset import Dataset
from smac_jax.errors import CheckpointError, DatasetError
from smac_jax.files import write_json
from smac_jax.runs.interrupts import Interrupts
from smac_jax.runs.json_values import to_json
from smac_jax.runs.provenance import device_description, git_commit
from smac_jax.runs.status import read_status
from smac_jax.runs.trackers.connection import PROJECT
from smac_jax.sweep.grid import Job, code_of, online_of
from smac_jax.sweep.provenance import made_by
from smac_jax.sweep.results import transfer_curve
from smac_jax.sweep.run_names import RunName
from smac_jax.text import count
from smac_jax.train.offline import PretrainResult
from smac_jax.train.progress import Progress
from smac_jax.types import Key

CODE = "code "
"""Prefix of the entries of ``job.json`` that hold the SHA-256 of a user's file."""


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """What a job saves, and how often.

    Attributes:
      save_every: seconds between snapshots.
      keep: the number of newest snapshots to keep.
      policies: whether to save the policy at every evaluation.
      other_versions: whether to resume from snapshots that other versions of JAX and its libraries wrote.
      trackers: names of the trackers to log to; None for TensorBoard if tensorboardX is installed.
      project: the project of the runs in the trackers.
    """

    save_every: float = 300.0
    keep: int = 2
    policies: bool = False
    other_versions: bool = False
    trackers: tuple[str, ...] | None = None
    project: str = PROJECT


def run_job(
    job: Job, options: CheckpointOptions, progress: Progress | bool, interrupts: Interrupts | None = None
) -> None:
    """Trains the runs of a job that are not done.

    Raises:
      Interrupted: the process was asked to stop; the state is saved.
      CheckpointError: the job's folder holds something else, is in use, or cannot be written; or the data or a user's
        file have changed since the sweep began.
      ConfigError: a user's file cannot be imported, or an online algorithm cannot start from the offline state.
    """
    if already_done(job):
        return
    plugins.load(job.imports)  # a worker process has not imported them
    _check_code(job)
    import smac_jax
    from smac_jax.runs.checkpoint import save_actor_critic
    from smac_jax.runs.folder import RunFolder
    from smac_jax.tasks import time_limit

    data = smac_jax.load_dataset(job.data)
    job = _with_data(job, data.fingerprint())
    check_transfers(job, data)
    env = smac_jax.make_env(job.task, physics=job.physics, version=job.version)
    shared: dict[str, Any] = {
        "env": env,
        "progress": progress,
        "seeds": job.seeds,
        "episode_length": time_limit(job.task, env),
    }
    start, ends = job.offline, [end.schedule for end in job.online]
    schedule = {name: value for name, value in start.schedule.items() if name != "num_updates"}
    off: PretrainResult | None = None
    control: PretrainResult | None = None
    for run in job.plan:
        kind, checkpoint = run.name.kind, run.name.checkpoint
        if kind != "offline" and not job.needs(run):
            continue
        if isinstance(progress, Progress):
            progress.run(str(run.name))
        place, title = job.folder / str(run.name), f"{job.title} {run.name}"
        with RunFolder(place, title, interrupts=interrupts, **dataclasses.asdict(options)) as folder:
            how = {**shared, "folder": folder}
            if kind == "offline":
                _claim(job)
                how |= {"config": start.config, "resume": off, "num_updates": run.steps, **schedule}
                off = continued(off, smac_jax.pretrain(start.algorithm, data, **how))
                control = None
                save_actor_critic(place / "actor_critic", off.actor_critic, job.seeds)
                continue
            assert off is not None, "a plan begins with offline training"
            if run.online is None:
                longest = max(ends, key=lambda end: end["num_steps"])
                how |= {"config": start.config, "resume": off, "num_updates": run.steps, **schedule}
                control = smac_jax.pretrain(start.algorithm, data, **how | {"eval_every": longest["eval_every"]})
                continue
            end = run.online
            how |= {"config": end.config, "data": data, **end.schedule}
            on = smac_jax.finetune(end.algorithm, off, **how)
            save_actor_critic(place / "actor_critic", on.actor_critic, job.seeds)
        warm_start = end.schedule["warm_start"]
        curve = transfer_curve(job.task, start.label, off, end.label, on, warm_start, control, checkpoint)
        curve.to_json(job.curve(end, checkpoint))


def check_transfers(job: Job, data: Dataset) -> None:
    """Checks that each online algorithm of a job can start from the offline state, before anything is trained.

    Raises:
      ConfigError: it needs a part of the offline state that is missing or has another form.
    """
    offline = make_offline(job.offline.algorithm, job.offline.config)
    prepared = offline.prepare(data)
    for end in job.online:
        online = online_of(job.offline, end)

        def start(key: Key, online: OnlineAlgorithm[Any] = online) -> Any:
            state = offline.init(key, prepared)
            return online.init(key, offline.actor_critic(state), state_for_online(offline, online, state))

        jax.eval_shape(start, jax.random.key(0))


def continued(earlier: PretrainResult | None, later: PretrainResult) -> PretrainResult:
    """Returns the later of two results, with the evaluations of both; the evaluation that both contain appears once."""
    if earlier is None:
        return later
    return dataclasses.replace(later, evaluations=earlier.evaluations.followed_by(later.evaluations))


def _check_code(job: Job) -> None:
    """Raises CheckpointError if a user's file that defines the job's algorithms has changed since the sweep began."""
    now = code_of(job.offline, job.online, job.task)
    for file in sorted(job.code.keys() | now.keys()):
        if job.code.get(file) != now.get(file):
            raise CheckpointError(
                f"{file} has changed since this sweep began (sha256 {_short(job.code.get(file))} then, "
                f"{_short(now.get(file))} now). Nothing was trained with it. Restore the earlier file, or repeat the "
                "command."
            )


def _short(sha256: Any) -> str:
    return str(sha256)[:12] if sha256 else "nothing"


def _with_data(job: Job, fingerprint: str) -> Job:
    """Returns the job with the fingerprint of the data that were read.

    Raises:
      CheckpointError: the data are not those with which the sweep began, or on which the job was trained.
    """
    if job.fingerprint not in (None, fingerprint):
        raise CheckpointError(
            f"{job.data} has changed since this sweep began (fingerprint {job.fingerprint} then, {fingerprint} "
            "now). Nothing was trained on it. Restore the earlier file, or give another --results."
        )
    job = dataclasses.replace(job, fingerprint=fingerprint)
    already_done(job)
    return job


def already_done(job: Job) -> bool:
    """Returns whether a job is complete. Removes its damaged learning curves, which are then computed again.

    Raises:
      CheckpointError: the job's folder holds results of another configuration, other data or other code.
    """
    if (job.folder / "job.json").exists():
        found, now = _claimed(job), description(job)
        if (trained_on := fingerprint_of(job, found)) is not None:
            found = found | {"fingerprint": trained_on}
        differing = [name for name in now if found.get(name, now[name]) != now[name]]
        if differing == ["fingerprint"]:
            raise CheckpointError(
                f"{job.folder} holds results of other data: {job.data} has changed since (fingerprint {trained_on} "
                f"then, {job.fingerprint} now). Give another --results for the new data, or restore the earlier file."
            )
        files = [name.removeprefix(CODE) for name in differing if name.startswith(CODE)]
        if files and len(files) == len(differing):
            raise CheckpointError(
                f"{job.folder} holds results of other code: {', '.join(files)} has changed since (sha256 "
                f"{_short(found[CODE + files[0]])} then, {_short(now[CODE + files[0]])} now). Give another --results "
                "for the new code, or restore the earlier file."
            )
        if differing:
            raise CheckpointError(
                f"{job.folder} holds results of another configuration ({', '.join(sorted(differing))}). Give another "
                f"--results."
            )
        there = tuple(found.get("checkpoints", ()))
        if job.checkpoints[: len(there)] != there[: len(job.checkpoints)]:
            raise CheckpointError(
                f"{job.folder} transfers from checkpoints {', '.join(map(str, there))}. You may add later checkpoints, "
                "but not insert or leave out earlier ones. Give another --results."
            )
    for path in job.curves:
        try:
            if path.exists():
                TransferCurve.from_json(path)
        except DatasetError as error:
            print(f"{error} It is computed again from the run's snapshots.", file=sys.stderr)
            path.unlink()
    return job.done


def fingerprint_of(job: Job, claimed: Mapping[str, Any]) -> str | None:
    """Returns the fingerprint of the data on which a job was trained; None if it was not recorded.

    Args:
      job: the job.
      claimed: the content of its ``job.json``. Jobs of earlier versions recorded the fingerprint only in the
        ``identity.json`` of their runs.
    """
    if "fingerprint" in claimed:
        return claimed["fingerprint"]
    # Cal-QL's pre-training records the fingerprint of the data with the returns that it adds
    own = [] if job.offline.algorithm == "cal_ql" else [RunName("offline")]
    for run in [*(run.name for run in job.plan if run.online is not None), *own]:
        try:
            return json.loads((job.folder / str(run) / "identity.json").read_text(encoding="utf-8"))["data"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def run_states(job: Job) -> dict[str, str]:
    """Returns the recorded state of each run: done, running, stopped, failed; or left, if the run has not begun."""
    return {run: read_status(job.folder / run).state or "left" for run in job.runs}


def description(job: Job) -> dict[str, Any]:
    """Everything on which a job's results depend.

    The control, further online variants and later checkpoints may be added to a job, so they are not part of it.
    """
    online = {f"online {v.label}": to_json(v) for v in job.online}
    names = ["data", "task", "physics", "version", "offline", "seeds"]
    names += ["fingerprint"] if job.fingerprint is not None else []
    code = {f"{CODE}{file}": sha256 for file, sha256 in job.code.items()}
    return {**to_json({name: getattr(job, name) for name in names}), **online, **code}


def trained_by(jobs: Iterable[Job]) -> list[str]:
    """Commit, device and day of every process that trained one of the jobs."""
    distinct = {job.folder: job for job in jobs}.values()
    return trained_by_of([claimed for job in distinct if (claimed := _claimed(job))])


def trained_by_of(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the same from the contents of the jobs' ``job.json`` files."""
    found = [made_by(by) for claimed in claims for by in claimed.get("trained_by", [])]
    unrecorded = sum("trained_by" not in claimed for claimed in claims)
    return list(dict.fromkeys(found)) + ([f"not recorded for {count(unrecorded, 'job')}"] if unrecorded else [])


def _claim(job: Job) -> None:
    claimed = _claimed(job)
    this_process = {
        "commit": git_commit(),
        "device": device_description(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    earlier = [by for by in claimed.get("trained_by", []) if by != this_process]
    checkpoints = {"checkpoints": max(job.checkpoints, tuple(claimed.get("checkpoints", ())), key=len)}
    now = description(job) | (checkpoints if job.checkpoints else {}) | {"trained_by": [*earlier, this_process]}
    write_json(job.folder / "job.json", claimed | now)


def _claimed(job: Job) -> dict[str, Any]:
    path = job.folder / "job.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Remove it if this sweep made the folder.") from error
