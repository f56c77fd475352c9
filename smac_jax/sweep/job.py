"""One job of a sweep, from beginning to end, or from where an earlier process left it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smac_jax import plugins
from smac_jax.analysis.curves import TransferCurve
from smac_jax.errors import CheckpointError, DatasetError
from smac_jax.files import write_json
from smac_jax.runs.interrupts import Interrupts
from smac_jax.runs.json_values import to_json
from smac_jax.runs.provenance import device_description, git_commit
from smac_jax.runs.status import read_status
from smac_jax.runs.trackers.connection import PROJECT
from smac_jax.sweep.grid import Job, code_of
from smac_jax.sweep.provenance import made_by
from smac_jax.sweep.results import transfer_curve
from smac_jax.sweep.run_names import RunName
from smac_jax.text import count
from smac_jax.train.offline import PretrainResult
from smac_jax.train.progress import Progress

CODE = "code "
"""What stands before a file's name in ``job.json``, where the file's SHA-256 is."""


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """How a job is kept on disk.

    Attributes:
      save_every: seconds between snapshots.
      keep: how many of the newest stay.
      policies: keep the policy of every evaluation.
      other_versions: go on from snapshots of other versions of JAX and the rest.
      trackers: names of the trackers that show metrics; None: TensorBoard where tensorboardX is installed.
      project: that trackers put the runs into.
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
    """Trains what is left of a job.

    Raises:
      Interrupted: asked to stop; all is saved.
      CheckpointError: its folder holds something else, is in use, or cannot be written; or its data, or a file of the
        user's, have changed since the sweep began.
      ConfigError: a file of the user's cannot be imported.
    """
    if already_done(job):
        return
    plugins.load(job.imports)  # in a process of its own nobody has
    _check_code(job)
    import smac_jax
    from smac_jax.runs.checkpoint import save_actor_critic
    from smac_jax.runs.folder import RunFolder
    from smac_jax.tasks import time_limit

    data = smac_jax.load_dataset(job.data)
    job = _with_data(job, data.fingerprint())
    env = smac_jax.make_env(job.task, physics=job.physics, version=job.version)
    shared: dict[str, Any] = {
        "env": env,
        "progress": progress,
        "seeds": job.seeds,
        "episode_length": time_limit(job.task, env),
    }
    start, ends = job.offline, [end.schedule for end in job.online]
    going_on = {name: value for name, value in start.schedule.items() if name != "num_updates"}
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
                how |= {"config": start.config, "resume": off, "num_updates": run.steps, **going_on}
                off = continued(off, smac_jax.pretrain(start.algorithm, data, **how))
                control = None
                save_actor_critic(place / "actor_critic", off.actor_critic, job.seeds)
                continue
            assert off is not None, "a plan begins with offline training"
            if run.online is None:
                longest = max(ends, key=lambda schedule: schedule["num_steps"])
                how |= {"config": start.config, "resume": off, "num_updates": run.steps, **going_on}
                control = smac_jax.pretrain(start.algorithm, data, **how | {"eval_every": longest["eval_every"]})
                continue
            end = run.online
            how |= {"config": end.config, "data": data, "training_state": off.training_state, **end.schedule}
            on = smac_jax.finetune(end.algorithm, off.actor_critic, **how)
            save_actor_critic(place / "actor_critic", on.actor_critic, job.seeds)
        warm_start = end.schedule["warm_start"]
        curve = transfer_curve(job.task, start.label, off, end.label, on, warm_start, control, checkpoint)
        curve.to_json(job.curve(end, checkpoint))


def continued(earlier: PretrainResult | None, later: PretrainResult) -> PretrainResult:
    """A result that was resumed from another, with the evaluations of both; that of the moment between them once."""
    if earlier is None:
        return later
    return dataclasses.replace(later, evaluations=earlier.evaluations.followed_by(later.evaluations))


def _check_code(job: Job) -> None:
    """Raises CheckpointError where the files that define the job's algorithms are not those that the sweep saw."""
    now = code_of(job.offline, job.online, job.task)
    for file in sorted(job.code.keys() | now.keys()):
        if job.code.get(file) != now.get(file):
            raise CheckpointError(
                f"{file} has changed since this sweep began (sha256 {_short(job.code.get(file))} then, "
                f"{_short(now.get(file))} now). Nothing was trained with it. Bring the earlier file back, or repeat "
                "the command."
            )


def _short(sha256: Any) -> str:
    return str(sha256)[:12] if sha256 else "nothing"


def _with_data(job: Job, fingerprint: str) -> Job:
    """The job of the data that were read.

    Raises:
      CheckpointError: these are not the data that the sweep began with, or that trained the job.
    """
    if job.fingerprint not in (None, fingerprint):
        raise CheckpointError(
            f"{job.data} has changed since this sweep began (fingerprint {job.fingerprint} then, {fingerprint} "
            "now). Nothing was trained on it. Bring the earlier file back, or give another --results."
        )
    job = dataclasses.replace(job, fingerprint=fingerprint)
    already_done(job)
    return job


def already_done(job: Job) -> bool:
    """Whether nothing is left to do.

    Raises:
      CheckpointError: its folder holds a job of another configuration, or of other data.
    """
    if (job.folder / "job.json").exists():
        found, now = _claimed(job), description(job)
        if (trained_on := fingerprint_of(job, found)) is not None:
            found = found | {"fingerprint": trained_on}
        differing = [name for name in now if found.get(name, now[name]) != now[name]]
        if differing == ["fingerprint"]:
            raise CheckpointError(
                f"{job.folder} holds results of other data: {job.data} has changed since (fingerprint {trained_on} "
                f"then, {job.fingerprint} now). Give another --results for the new data, or bring the earlier file "
                "back."
            )
        files = [name.removeprefix(CODE) for name in differing if name.startswith(CODE)]
        if files and len(files) == len(differing):
            raise CheckpointError(
                f"{job.folder} holds results of other code: {', '.join(files)} has changed since (sha256 "
                f"{_short(found[CODE + files[0]])} then, {_short(now[CODE + files[0]])} now). Give another --results "
                "for the new code, or bring the earlier file back."
            )
        if differing:
            raise CheckpointError(
                f"{job.folder} holds results of another configuration ({', '.join(sorted(differing))}). Give another "
                f"--results."
            )
        there = tuple(found.get("checkpoints", ()))
        if job.checkpoints[: len(there)] != there[: len(job.checkpoints)]:
            raise CheckpointError(
                f"{job.folder} transfers from checkpoints {', '.join(map(str, there))}. Later ones may be added, but "
                "none between them, and none be left out before others. Give another --results."
            )
    for path in job.curves:
        try:
            if path.exists():
                TransferCurve.from_json(path)
        except DatasetError as error:
            print(f"{error} It is made again from the run's snapshots.", file=sys.stderr)
            path.unlink()
    return job.done


def fingerprint_of(job: Job, claimed: Mapping[str, Any]) -> str | None:
    """Of the data that a job was trained on; None where that was not written down.

    Args:
      job: which.
      claimed: what its ``job.json`` says. Jobs of earlier versions say it only in the identities of their runs.
    """
    if "fingerprint" in claimed:
        return claimed["fingerprint"]
    # Cal-QL's pre-training writes down the data with the returns that it adds
    own = [] if job.offline.algorithm == "cal_ql" else [RunName("offline")]
    for run in [*(run.name for run in job.plan if run.online is not None), *own]:
        try:
            return json.loads((job.folder / str(run) / "identity.json").read_text(encoding="utf-8"))["data"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def run_states(job: Job) -> dict[str, str]:
    """For each run of a job what its status says: done, running, stopped, failed; or left, where there is none."""
    return {run: read_status(job.folder / run).state or "left" for run in job.runs}


def description(job: Job) -> dict[str, Any]:
    """What a job's results depend on; the control, online variants and later checkpoints may be added to it."""
    online = {f"online {v.label}": to_json(v) for v in job.online}
    names = ["data", "task", "physics", "version", "offline", "seeds"]
    names += ["fingerprint"] if job.fingerprint is not None else []
    code = {f"{CODE}{file}": sha256 for file, sha256 in job.code.items()}
    return {**to_json({name: getattr(job, name) for name in names}), **online, **code}


def trained_by(jobs: Iterable[Job]) -> list[str]:
    """Commit, device and day of every process that trained some of the jobs, whoever makes tables of them later."""
    return trained_by_of([claimed for job in {b.folder: b for b in jobs}.values() if (claimed := _claimed(job))])


def trained_by_of(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same, of what ``job.json`` of each says."""
    found = [made_by(by) for claimed in claims for by in claimed.get("trained_by", [])]
    silent = sum("trained_by" not in claimed for claimed in claims)
    return list(dict.fromkeys(found)) + ([f"of {count(silent, 'job')} not recorded"] if silent else [])


def _claim(job: Job) -> None:
    claimed = _claimed(job)
    us = {
        "commit": git_commit(),
        "device": device_description(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    earlier = [by for by in claimed.get("trained_by", []) if by != us]
    checkpoints = {"checkpoints": max(job.checkpoints, tuple(claimed.get("checkpoints", ())), key=len)}
    now = description(job) | (checkpoints if job.checkpoints else {}) | {"trained_by": [*earlier, us]}
    write_json(job.folder / "job.json", claimed | now)


def _claimed(job: Job) -> dict[str, Any]:
    path = job.folder / "job.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Remove it if this sweep made the folder.") from error
