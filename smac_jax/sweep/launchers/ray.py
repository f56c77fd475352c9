"""The Ray launcher: runs each job as a task, on a Ray cluster or on this machine, with the resources it requests.

A task whose worker dies is restarted, and resumes from the job's snapshots. The cluster's machines need a shared file
system, on which the current folder (the code and relative paths of data) and the results have the same paths.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.runs.interrupts import Interrupted, Interrupts
from smac_jax.sweep.launchers.base import Failure, failure_of, need, pairs, run_job_in_worker
from smac_jax.sweep.watch import Watch

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "ray_address",
    None,
    "Ray: HOST:PORT of the cluster's head, or 'auto' for the cluster of this machine; default: $RAY_ADDRESS, or a new "
    "cluster of this machine alone, which ends with the sweep.",
)
flags.DEFINE_float(
    "cpus_per_job", 1.0, "Ray: CPUs that a job requests, and the number of its threads.", lower_bound=0.0
)
flags.DEFINE_float(
    "gpus_per_job",
    0.0,
    "Ray: GPUs that a job requests; its seeds are distributed over them. With a share such as 0.5 two jobs run on one "
    "GPU. With 0 the job runs on the CPU.",
    lower_bound=0.0,
)
flags.DEFINE_list("ray_resources", [], "Ray: further resources that a job requests, such as TPU=4 or highmem=1.")
flags.DEFINE_integer("ray_retries", 3, "Ray: how often a job is restarted after its worker died.", lower_bound=0)

STOPPED = "stopped"
POLL = 1.0
"""Seconds between updates."""


def launch(jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> list[Failure]:
    """Runs the jobs, as many at once as the cluster has resources for; one that fails does not stop the others.

    Raises:
      Interrupted: the process received SIGTERM or SIGINT; the jobs have saved their state.
      ConfigError: Ray is not installed, the cluster cannot be reached, or this machine is too small for a job.
    """
    del results
    ray = need("ray", "ray")
    states = {i: "done" for i, job in enumerate(jobs) if job.done}
    if len(states) == len(jobs):
        return []
    resources = _resources()
    failures = []
    with _cluster(ray, resources), Interrupts() as interrupts, Watch(jobs) as watch:
        task = _task(ray, resources)

        def submit(i: int) -> Any:
            return task.remote(jobs[i], options, os.getcwd(), max(1, math.ceil(FLAGS.cpus_per_job)))

        waiting = {submit(i): i for i in range(len(jobs)) if i not in states}
        stopping = False
        while waiting:
            watch.update(states)
            over, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=POLL)
            for one in over:
                i = waiting.pop(one)
                outcome = _outcome(ray, one, jobs[i])
                if outcome == STOPPED and not stopping:  # by the administrator of its machine
                    waiting[submit(i)] = i
                    continue
                states[i] = "done" if outcome is None else STOPPED if outcome == STOPPED else "failed"
                if isinstance(outcome, Failure):
                    failures.append(outcome)
            if interrupts.number is not None and not stopping:
                stopping = True
                for one in waiting:
                    ray.cancel(one)
        watch.update(states)
    if interrupts.number is not None and STOPPED in states.values():
        raise Interrupted("stopped, and all jobs are saved", interrupts.number)
    return failures


def work(job: Job, options: CheckpointOptions, folder: str, threads: int) -> Failure | str | None:
    """Runs one job in a worker. Returns None when it is done, ``STOPPED`` when it was asked to stop and has saved."""
    os.chdir(folder)
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        (job.folder / "log.txt").open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        Interrupts(second_ends=False) as interrupts,  # ray.cancel may deliver its signal more than once
    ):
        try:
            return run_job_in_worker(job, options, interrupts, threads)
        except Interrupted:
            return STOPPED


def _outcome(ray: Any, one: Any, job: Job) -> Failure | str | None:
    try:
        return ray.get(one)
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return STOPPED
    except ray.exceptions.RayError as error:
        return failure_of(job, error)


@contextlib.contextmanager
def _cluster(ray: Any, resources: dict[str, float]) -> Iterator[None]:
    from smac_jax.runs.snapshots import first_line

    address = FLAGS.ray_address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        quiet["include_dashboard"] = False
    try:
        if re.fullmatch(r"[^:/]+:\d+", address):  # Ray itself takes minutes to report that it cannot connect
            host, port = address.split(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # JAX warns of forks; this fork only executes Ray
            ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"--ray_address={address}: cannot connect to a Ray cluster ({first_line(error)}). If the cluster requires "
            "a token, set RAY_AUTH_MODE=token."
        ) from error
    try:
        if address == "local":
            there = ray.cluster_resources()
            for name, amount in resources.items():
                if amount > there.get(name, 0.0):
                    raise ConfigError(
                        f"A job requests {amount:g} {name} (--cpus_per_job, --gpus_per_job, --ray_resources), but "
                        f"this machine has {there.get(name, 0.0):g}."
                    )
        yield
    finally:
        ray.shutdown()


def _resources() -> dict[str, float]:
    """Returns the resources that a job requests, by Ray's names."""
    try:
        others = {name: float(value) for name, value in pairs("ray_resources", FLAGS.ray_resources).items()}
    except ValueError as error:
        raise ConfigError(f"--ray_resources={','.join(FLAGS.ray_resources)}: {error}.") from error
    return {"CPU": FLAGS.cpus_per_job, "GPU": FLAGS.gpus_per_job} | others


def _task(ray: Any, resources: dict[str, float]) -> Any:
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    if resources["GPU"] == 0 and len(resources) == 2:
        environment["JAX_PLATFORMS"] = "cpu"
    elif 0 < resources["GPU"] < 1:
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * resources['GPU']:.3f}"
    return ray.remote(
        num_cpus=resources["CPU"],
        num_gpus=resources["GPU"],
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")},
        max_retries=FLAGS.ray_retries,
        max_calls=1,  # a new process for each job, with its own memory and number of threads
        runtime_env={"env_vars": environment},
    )(work)
