"""On a Slurm cluster, through submitit: an array job with a task for each job.

The command submits what is not under way yet, then watches; stopping it leaves the Slurm jobs alone, and repeating it
watches again. A job that is preempted, or comes to its time limit, saves, and goes back to the queue. Results must lie
on a file system that the cluster's machines share.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from smac_jax.errors import ConfigError, SmacError
from smac_jax.files import write_json
from smac_jax.runs.interrupts import SIGNALS, Interrupted, Interrupts
from smac_jax.sweep.launchers.base import Failure, failure_of, need, pairs, run_jobs_here
from smac_jax.sweep.watch import ENDED, Watch
from smac_jax.text import count

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions

FLAGS = flags.FLAGS
flags.DEFINE_string("slurm_partition", None, "Slurm: partition; default: the cluster's.")
flags.DEFINE_string(
    "slurm_time",
    "1-00",
    "Slurm: time limit of a job, as sbatch takes it (minutes, H:MM:SS, D-HH). A job that takes longer is saved, and "
    "goes back to the queue.",
)
flags.DEFINE_integer("slurm_cpus", 4, "Slurm: processors of a job, and threads that it computes with.", lower_bound=1)
flags.DEFINE_integer("slurm_gpus", 0, "Slurm: GPUs of a job; a job's seeds are spread over them.", lower_bound=0)
flags.DEFINE_string("slurm_gres", None, "Slurm: the same where GPUs go by names, such as gpu:a100:1.")
flags.DEFINE_string("slurm_mem", None, "Slurm: memory of a job, such as 16GB; default: the cluster's.")
flags.DEFINE_integer("slurm_array_parallelism", 256, "Slurm: jobs that run at once, at most.", lower_bound=1)
flags.DEFINE_multi_string(
    "slurm_extra", [], "Slurm: any other option of sbatch, such as account=me; repeat it for more."
)
flags.DEFINE_enum(
    "slurm_cluster",
    "slurm",
    ["slurm", "local"],
    "Slurm: 'local' runs the Slurm jobs as processes of this machine, to try.",
)
flags.DEFINE_bool(
    "detach", False, "Slurm: return as soon as the Slurm jobs are submitted; the same command without it watches."
)

POLL = 2.0
"""Seconds between two looks at the jobs' files."""
ASK = 10.0
"""Seconds between two questions to Slurm."""
GRACE = 20.0
"""Seconds that the files of a Slurm job may take to arrive once Slurm has forgotten it."""
RESTARTS = 1000
"""How often a Slurm job may come to its time limit."""
WHY = "cancelled, killed, or out of memory"


class SlurmJob(NamedTuple):
    """Where a job runs; ``slurm.json`` in its folder.

    Attributes:
      cluster: ``slurm``, or ``local``.
      number: the job's, such as ``12_3``.
      result: what it leaves when it ends by itself.
      log: what it prints.
    """

    cluster: str
    number: str
    result: str
    log: str


@dataclasses.dataclass(frozen=True)
class Work:
    """A job as submitit pickles it."""

    job: Job
    options: CheckpointOptions
    threads: int

    def __call__(self) -> Failure | None:
        """Trains what is left of the job; asked to make room, it saves, and submitit puts it back in the queue."""
        # submitit's handler: it puts the Slurm job back in the queue, and does not come back
        requeue = signal.getsignal(signal.SIGUSR2)
        with Interrupts((*SIGNALS, signal.SIGUSR2), second_ends=False) as interrupts:
            try:
                return run_jobs_here(self.job, self.options, interrupts, self.threads)
            except Interrupted as stopped:
                print(stopped, file=sys.stderr, flush=True)
                if callable(requeue) and (interrupts.number == signal.SIGUSR2 or preempted()):
                    requeue(signal.SIGUSR2, None)
                # cancelled: no result, so that nobody takes it for the end
                sys.exit(stopped.exit_code)

    def checkpoint(self) -> Any:
        """What submitit puts back in the queue: the same, which finds its snapshots."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def preempted() -> bool:
    """Whether this process's Slurm job has to make room for another one.

    Slurm then sends SIGTERM, as it does to a job that is cancelled, and forgets the job if it ends before it is killed.
    """
    command = ["scontrol", "--oneliner", "show", "job", os.environ.get("SLURM_JOB_ID", "")]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return re.search(r"\bPreemptTime=\d", shown) is not None


def launch(jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> list[Failure] | None:
    """Submits the jobs that are not under way, and waits for all; None under ``--detach``.

    Raises:
      Interrupted: SIGTERM or SIGINT came; the jobs go on.
      ConfigError: submitit or Slurm is not there, or does not accept what it is asked.
    """
    submitit = need("submitit", "slurm")
    left = [job for job in jobs if not job.done]
    if not left:
        return []
    slurm_jobs = [slurm_job_of(job) for job in left]
    known = under_way([slurm_job for slurm_job in slurm_jobs if slurm_job])
    if known is None:
        raise ConfigError("--launcher=slurm: squeue gives no answer. Is this a machine of the cluster, and is it up?")
    new = [
        job
        for job, slurm_job in zip(left, slurm_jobs, strict=True)
        if slurm_job is None or slurm_job.number not in known
    ]
    if new:
        submit(submitit, new, options, results)
    going = len(left) - len(new)
    under = f"{count(going, 'was', 'were')} under way"
    print(f"{count(new, 'job')} submitted, {under}: {numbers(map(slurm_job_of, left))}")
    if FLAGS.detach:
        print("The same command without --detach shows how far they are, and makes the tables when they are done.")
        return None
    return wait(jobs)


def submit(submitit: Any, jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> None:
    """One array job of all jobs; notes in their folders which task is whose.

    Raises:
      ConfigError: Slurm does not want it.
    """
    folder = (results / "slurm").absolute()
    wanted: dict[str, Any] = {
        "name": f"smac-{results.absolute().name}",
        "timeout_min": minutes(FLAGS.slurm_time),
        "slurm_cpus_per_task": FLAGS.slurm_cpus,
        # srun does not take it over from sbatch since Slurm 22.05
        "slurm_srun_args": [f"--cpus-per-task={FLAGS.slurm_cpus}"],
        "slurm_array_parallelism": FLAGS.slurm_array_parallelism,
        "slurm_additional_parameters": {"requeue": True} | pairs("slurm_extra", FLAGS.slurm_extra),
        "slurm_partition": FLAGS.slurm_partition,
        "slurm_gres": FLAGS.slurm_gres,
        "slurm_mem": FLAGS.slurm_mem,
        "gpus_per_node": FLAGS.slurm_gpus,
    }
    restarts = {f"{cluster}_max_num_timeout": RESTARTS for cluster in ("slurm", "local")}
    try:
        # a folder each; for processes of this machine submitit would make one of that very name, and use none
        where = folder / "%j" if FLAGS.slurm_cluster == "slurm" else folder
        executor = submitit.AutoExecutor(where, cluster=FLAGS.slurm_cluster, **restarts)
        executor.update_parameters(**{name: value for name, value in wanted.items() if value})
        works = [Work(absolute(job), options, FLAGS.slurm_cpus) for job in jobs]
        with executor.batch():
            submitted = [executor.submit(work) for work in works]
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"--launcher=slurm: the jobs could not be submitted: {_last_line(error)}") from error
    for job, slurm_job in zip(jobs, submitted, strict=True):
        paths = slurm_job.paths
        place = SlurmJob(FLAGS.slurm_cluster, slurm_job.job_id, str(paths.result_pickle), str(paths.stderr))
        write_json(job.folder / "slurm.json", place._asdict())
        (job.folder / "error.txt").unlink(missing_ok=True)


def wait(jobs: Sequence[Job]) -> list[Failure]:
    """Shows how far the jobs are, until none is left.

    Raises:
      Interrupted: SIGTERM or SIGINT came; the jobs go on.
    """
    states = {i: "done" for i, job in enumerate(jobs) if job.done}
    waiting = {i: slurm_job for i, job in enumerate(jobs) if i not in states and (slurm_job := slurm_job_of(job))}
    failures: list[Failure] = []
    gone: dict[int, float] = {}
    known: dict[str, str] | None = {}
    asked = -math.inf
    with Interrupts() as interrupts, Watch(jobs) as watch:
        while waiting:
            now = time.monotonic()
            if now - asked >= (ASK if FLAGS.slurm_cluster == "slurm" else POLL):
                asked, known = now, under_way(list(waiting.values()))
            for i, slurm_job in list(waiting.items()):
                failure = None
                if jobs[i].done:
                    states[i] = "done"
                elif failure := result(jobs[i], slurm_job):
                    pass
                elif known is None or slurm_job.number in known:  # where Slurm gives no answer, nothing is over
                    gone.pop(i, None)
                    states[i] = "running" if known is None else known[slurm_job.number]
                elif now - gone.setdefault(i, now) >= GRACE:
                    failure = failure_of(
                        jobs[i],
                        _Lost(f"Slurm job {slurm_job.number} is over, but not done: {WHY} (see {slurm_job.log})"),
                    )
                if failure:
                    states[i] = "failed"
                    failures.append(failure)
                if states.get(i) in ENDED:
                    del waiting[i]
            watch.update(states)
            if interrupts.number is not None and waiting:
                message = f"No longer watching; the jobs go on (scancel ends them: {numbers(waiting.values())})"
                raise Interrupted(message, interrupts.number)
            if waiting:
                time.sleep(POLL)
    return failures


class _Lost(SmacError):
    """A Slurm job that is over and has left no result."""


def slurm_job_of(job: Job) -> SlurmJob | None:
    """Where a job was last submitted."""
    try:
        return SlurmJob(**json.loads((job.folder / "slurm.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def result(job: Job, slurm_job: SlurmJob) -> Failure | None:
    """Why a job failed whose Slurm job has ended by itself; None where it has not, or did not fail."""
    if not Path(slurm_job.result).exists():
        return None
    try:
        outcome, value = pickle.loads(Path(slurm_job.result).read_bytes())
    except Exception as error:  # any: such as of another version of the code
        return failure_of(job, error)
    if outcome == "error":
        return failure_of(
            job, _Lost(f"Slurm job {slurm_job.number}: {str(value).strip().splitlines()[-1]} (see {slurm_job.log})")
        )
    return value


def numbers(slurm_jobs: Iterable[SlurmJob | None]) -> str:
    """Of array jobs, for people."""
    return " ".join(sorted({slurm_job.number.split("_")[0] for slurm_job in slurm_jobs if slurm_job}))


def under_way(slurm_jobs: Sequence[SlurmJob]) -> dict[str, str] | None:
    """Of these Slurm jobs those that wait or run, with what is to be said of them; None where Slurm gives no answer."""
    found = {
        slurm_job.number: "running"
        for slurm_job in slurm_jobs
        if slurm_job.cluster == "local" and _lives(int(slurm_job.number))
    }
    if not any(slurm_job.cluster == "slurm" for slurm_job in slurm_jobs):
        return found
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r"]
    try:
        lines = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=True, timeout=60
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    for line in lines:
        number, state, reason = (*line.split("|"), "", "")[:3]
        waits = f"queued ({reason})" if reason not in ("", "None") else "queued"
        found[number] = waits if state == "PENDING" else "running" if state == "RUNNING" else state.lower()
    return found


def _lives(process: int) -> bool:
    """Whether this process is there, and is submitit's: numbers are used again."""
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    return "submitit" in shown.stdout


def absolute(job: Job) -> Job:
    """A job whose folder can be found from anywhere."""
    return dataclasses.replace(job, folder=job.folder.absolute())


def minutes(text: str) -> int:
    """A time as sbatch takes it: M, M:SS, H:MM:SS, D-H, D-H:MM, D-H:MM:SS; in whole minutes, rounded up.

    Raises:
      ConfigError: not of these forms.
    """
    days, dash, rest = text.rpartition("-")
    try:
        parts = [int(part) for part in rest.split(":")]
        if not 1 <= len(parts) <= 3 or min(parts) < 0:
            raise ValueError
        hours_first = dash or len(parts) == 3
        units = (3600, 60, 1) if hours_first else (60, 1)
        seconds = (int(days) * 86400 if dash else 0) + sum(n * unit for n, unit in zip(parts, units, strict=False))
    except ValueError:
        raise ConfigError(f"--slurm_time={text}: must be minutes, H:MM:SS or D-HH:MM:SS, such as 90 or 1-12.") from None
    if seconds <= 0:
        raise ConfigError(f"--slurm_time={text}: must be more than nothing.")
    return math.ceil(seconds / 60)


def _last_line(error: BaseException) -> str:
    output = getattr(error, "output", None) or getattr(error, "stderr", None) or str(error)
    text = output.decode() if isinstance(output, bytes) else str(output)
    return text.strip().splitlines()[-1] if text.strip() else type(error).__name__
