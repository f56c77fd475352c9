"""The Slurm launcher: submits an array job with a task for each job, through submitit.

The command submits the jobs that are neither queued nor running, then shows their progress. Stopping the command does
not stop the Slurm jobs, and repeating it shows their progress again. A job that is preempted or reaches its time limit
saves its state and returns to the queue. The results must be on a file system that the cluster's machines share.
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
from smac_jax.sweep.launchers.base import Failure, failure_of, need, pairs, run_job_in_worker
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
    "Slurm: time limit of a job in the format of sbatch (minutes, H:MM:SS, D-HH). A job that takes longer is saved and "
    "queued again.",
)
flags.DEFINE_integer("slurm_cpus", 4, "Slurm: CPUs of a job, and the number of its threads.", lower_bound=1)
flags.DEFINE_integer("slurm_gpus", 0, "Slurm: GPUs of a job; its seeds are distributed over them.", lower_bound=0)
flags.DEFINE_string("slurm_gres", None, "Slurm: GPUs of a job by their name in the cluster, such as gpu:a100:1.")
flags.DEFINE_string("slurm_mem", None, "Slurm: memory of a job, such as 16GB; default: the cluster's.")
flags.DEFINE_integer("slurm_array_parallelism", 256, "Slurm: the most jobs that run at once.", lower_bound=1)
flags.DEFINE_multi_string("slurm_extra", [], "Slurm: any other option of sbatch, such as account=me; may be repeated.")
flags.DEFINE_enum(
    "slurm_cluster",
    "slurm",
    ["slurm", "local"],
    "Slurm: 'local' runs the Slurm jobs as processes of this machine, for a test.",
)
flags.DEFINE_bool(
    "detach",
    False,
    "Slurm: return as soon as the jobs are submitted. The same command without --detach shows their progress.",
)

POLL = 2.0
"""Seconds between two readings of the jobs' files."""
SQUEUE_INTERVAL = 10.0
"""Seconds between two calls of squeue."""
GRACE = 20.0
"""Seconds until the files of a Slurm job must be visible after squeue no longer lists it."""
RESTARTS = 1000
"""How often a Slurm job may reach its time limit."""
WHY = "cancelled, killed, or out of memory"


class SlurmJob(NamedTuple):
    """The Slurm job of a job of the sweep; ``slurm.json`` in the job's folder.

    Attributes:
      cluster: ``slurm``, or ``local``.
      number: the number of the Slurm job, such as ``12_3``.
      result: the file that it writes when it ends normally.
      log: the file of its output.
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
        """Trains the runs of the job that are not done. When it is preempted, it saves and submitit requeues it."""
        # submitit's handler requeues the Slurm job, and does not return
        requeue = signal.getsignal(signal.SIGUSR2)
        with Interrupts((*SIGNALS, signal.SIGUSR2), second_ends=False) as interrupts:
            try:
                return run_job_in_worker(self.job, self.options, interrupts, self.threads)
            except Interrupted as stopped:
                print(stopped, file=sys.stderr, flush=True)
                if callable(requeue) and (interrupts.number == signal.SIGUSR2 or preempted()):
                    requeue(signal.SIGUSR2, None)
                # cancelled: without a result file, the job does not count as done
                sys.exit(stopped.exit_code)

    def checkpoint(self) -> Any:
        """Returns the work that submitit queues again: the same job, which resumes from its snapshots."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def preempted() -> bool:
    """Returns whether this process's Slurm job is being preempted.

    Slurm then sends SIGTERM, as it does to a job that is cancelled, and does not requeue the job if it ends before it
    is killed.
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
    """Submits the jobs that are neither queued nor running, and waits for all; returns None under ``--detach``.

    Raises:
      Interrupted: the process received SIGTERM or SIGINT; the Slurm jobs continue.
      ConfigError: submitit or Slurm is not installed, or Slurm rejects the jobs.
    """
    submitit = need("submitit", "slurm")
    left = [job for job in jobs if not job.done]
    if not left:
        return []
    slurm_jobs = [slurm_job_of(job) for job in left]
    known = under_way([slurm_job for slurm_job in slurm_jobs if slurm_job])
    if known is None:
        raise ConfigError(
            "--launcher=slurm: squeue does not answer. Run the command on a machine of the cluster, and check that "
            "Slurm is running."
        )
    new = [
        job
        for job, slurm_job in zip(left, slurm_jobs, strict=True)
        if slurm_job is None or slurm_job.number not in known
    ]
    if new:
        submit(submitit, new, options, results)
    earlier = f"{count(len(left) - len(new), 'was', 'were')} submitted before"
    print(f"{count(new, 'job')} submitted, {earlier}: {numbers(map(slurm_job_of, left))}")
    if FLAGS.detach:
        print("The same command without --detach shows their progress, and writes the tables when they are done.")
        return None
    return wait(jobs)


def submit(submitit: Any, jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> None:
    """Submits one array job of all jobs, and records the number of its task in each job's folder.

    Raises:
      ConfigError: Slurm rejects it.
    """
    folder = (results / "slurm").absolute()
    wanted: dict[str, Any] = {
        "name": f"smac-{results.absolute().name}",
        "timeout_min": minutes(FLAGS.slurm_time),
        "slurm_cpus_per_task": FLAGS.slurm_cpus,
        # srun does not inherit this option from sbatch since Slurm 22.05
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
        # a folder for each job; for local processes submitit does not replace %j
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
    """Shows the progress of the jobs until none is left.

    Raises:
      Interrupted: the process received SIGTERM or SIGINT; the Slurm jobs continue.
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
            if now - asked >= (SQUEUE_INTERVAL if FLAGS.slurm_cluster == "slurm" else POLL):
                asked, known = now, under_way(list(waiting.values()))
            for i, slurm_job in list(waiting.items()):
                failure = None
                if jobs[i].done:
                    states[i] = "done"
                elif failure := result(jobs[i], slurm_job):
                    pass
                elif known is None or slurm_job.number in known:  # without an answer of Slurm, no job counts as ended
                    gone.pop(i, None)
                    states[i] = "running" if known is None else known[slurm_job.number]
                elif now - gone.setdefault(i, now) >= GRACE:
                    failure = failure_of(
                        jobs[i],
                        _Lost(f"Slurm job {slurm_job.number} ended before it was done: {WHY} (see {slurm_job.log})"),
                    )
                if failure:
                    states[i] = "failed"
                    failures.append(failure)
                if states.get(i) in ENDED:
                    del waiting[i]
            watch.update(states)
            if interrupts.number is not None and waiting:
                message = f"The Slurm jobs continue (scancel {numbers(waiting.values())} ends them)"
                raise Interrupted(message, interrupts.number)
            if waiting:
                time.sleep(POLL)
    return failures


class _Lost(SmacError):
    """A Slurm job ended without a result."""


def slurm_job_of(job: Job) -> SlurmJob | None:
    """Returns the Slurm job as which a job was last submitted; None if it was not."""
    try:
        return SlurmJob(**json.loads((job.folder / "slurm.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def result(job: Job, slurm_job: SlurmJob) -> Failure | None:
    """Returns the failure of a job whose Slurm job has ended; None if it has not ended, or did not fail."""
    if not Path(slurm_job.result).exists():
        return None
    try:
        outcome, value = pickle.loads(Path(slurm_job.result).read_bytes())
    except Exception as error:  # any: for example, another version of the code wrote the file
        return failure_of(job, error)
    if outcome == "error":
        return failure_of(
            job, _Lost(f"Slurm job {slurm_job.number}: {str(value).strip().splitlines()[-1]} (see {slurm_job.log})")
        )
    return value


def numbers(slurm_jobs: Iterable[SlurmJob | None]) -> str:
    """Returns the numbers of array jobs, for messages and for scancel."""
    return " ".join(sorted({slurm_job.number.split("_")[0] for slurm_job in slurm_jobs if slurm_job}))


def under_way(slurm_jobs: Sequence[SlurmJob]) -> dict[str, str] | None:
    """Returns the states of those Slurm jobs that are queued or running, by number; None if Slurm does not answer."""
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
    """Returns whether this process exists and belongs to submitit: process numbers are reused."""
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    return "submitit" in shown.stdout


def absolute(job: Job) -> Job:
    """Returns the job with an absolute path of its folder."""
    return dataclasses.replace(job, folder=job.folder.absolute())


def minutes(text: str) -> int:
    """Parses a time limit of sbatch (M, M:SS, H:MM:SS, D-H, D-H:MM, D-H:MM:SS) into minutes, rounded up.

    Raises:
      ConfigError: the text has none of these forms.
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
        raise ConfigError(f"--slurm_time={text}: must be longer than 0.")
    return math.ceil(seconds / 60)


def _last_line(error: BaseException) -> str:
    output = getattr(error, "output", None) or getattr(error, "stderr", None) or str(error)
    text = output.decode() if isinstance(output, bytes) else str(output)
    return text.strip().splitlines()[-1] if text.strip() else type(error).__name__
