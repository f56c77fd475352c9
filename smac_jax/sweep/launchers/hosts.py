"""Distributes the jobs of one sweep among several hosts with ``jax.distributed``.

Jobs do not depend on each other. The hosts communicate only at the beginning, to learn their indices, and at the end,
when they wait for each other before the first host writes tables.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeVar

from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.runs.interrupts import Interrupted, Interrupts

FLAGS = flags.FLAGS
flags.DEFINE_bool(
    "distributed",
    False,
    "Divide the jobs among several hosts. Run the same command on each of them, with a results folder that they share.",
)
flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of the first host; default: set by Slurm, the TPU pod or Kubernetes."
)
flags.DEFINE_integer("num_hosts", None, "Number of hosts; default as for --coordinator.", lower_bound=1)
flags.DEFINE_integer("host", None, "Index of this host, from 0; default as for --coordinator.", lower_bound=0)

LONGEST_WAIT = 30 * 24 * 3600
"""The longest time in seconds that a host waits for the others at the end."""

Share = TypeVar("Share")


def join() -> None:
    """Connects to the other hosts if ``--distributed`` is given. Must be called before JAX computes anything.

    Raises:
      ConfigError: the hosts are not known, or cannot be reached.
    """
    if not FLAGS.distributed:
        if FLAGS.coordinator or FLAGS.host is not None or FLAGS.num_hosts is not None:
            raise ConfigError("--coordinator, --num_hosts and --host need --distributed.")
        return
    import jax

    try:
        jax.distributed.initialize(FLAGS.coordinator, FLAGS.num_hosts, FLAGS.host)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"--distributed: {error} Outside of Slurm, Kubernetes and TPU pods, give --coordinator=HOST:PORT of the "
            "first host, --num_hosts and --host."
        ) from error


def share(jobs: Sequence[Share]) -> list[Share]:
    """Returns the jobs of this host."""
    if not FLAGS.distributed:
        return list(jobs)
    import jax

    return list(jobs[jax.process_index() :: jax.process_count()])


def is_first() -> bool:
    """Returns whether this is the first host, which writes the files that belong to the sweep as a whole."""
    if not FLAGS.distributed:
        return True
    import jax

    return jax.process_index() == 0


def wait_for_all() -> None:
    """Waits until every host has called this function.

    Raises:
      Interrupted: the process was asked to stop. It must end in an orderly way, because JAX terminates all hosts if one
        of them ends unexpectedly, even while they save.
    """
    if not FLAGS.distributed:
        return
    import jax
    from orbax.checkpoint import multihost

    if jax.process_count() == 1:
        return
    everybody = set(range(jax.process_count()))
    arguments = {"name": "the sweep is done", "timeout": LONGEST_WAIT, "processes": everybody}
    waiting = threading.Thread(target=multihost.sync_global_processes, kwargs=arguments, daemon=True)
    with Interrupts() as interrupts:
        waiting.start()
        while waiting.is_alive():
            waiting.join(0.2)
            if interrupts.number is not None:
                raise Interrupted("this host's share is done; stopped waiting for the others", interrupts.number)
