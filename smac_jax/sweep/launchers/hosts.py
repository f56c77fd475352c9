"""Several hosts at work on one sweep, through ``jax.distributed``: each takes its share of the jobs.

Jobs need nothing of each other, so hosts talk only at the beginning, to know who is who, and at the end, when the
first one waits for the others before it makes tables.
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
    "distributed", False, "One of several hosts runs this; all run the same command, and share the results folder."
)
flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of the first host; default: what Slurm, a TPU pod or Kubernetes says."
)
flags.DEFINE_integer("num_hosts", None, "How many hosts there are, where nobody else says.", lower_bound=1)
flags.DEFINE_integer("host", None, "Which of them this is, from 0, where nobody else says.", lower_bound=0)

LONGEST_WAIT = 30 * 24 * 3600
"""Seconds that a host which is done waits for the others."""

Share = TypeVar("Share")


def join() -> None:
    """Meets the other hosts, where ``--distributed`` is given; before JAX computes anything.

    Raises:
      ConfigError: nobody says who the hosts are, or they cannot be reached.
    """
    if not FLAGS.distributed:
        if FLAGS.coordinator or FLAGS.host is not None or FLAGS.num_hosts is not None:
            raise ConfigError("--coordinator, --num_hosts and --host say who is who under --distributed; give it too.")
        return
    import jax

    try:
        jax.distributed.initialize(FLAGS.coordinator, FLAGS.num_hosts, FLAGS.host)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"--distributed: {error} On machines that are not managed by Slurm, Kubernetes or a TPU pod, give "
            "--coordinator=HOST:PORT of the first host, --num_hosts and --host."
        ) from error


def share(jobs: Sequence[Share]) -> list[Share]:
    """What this host works on."""
    if not FLAGS.distributed:
        return list(jobs)
    import jax

    return list(jobs[jax.process_index() :: jax.process_count()])


def is_first() -> bool:
    """Whether this host writes what concerns the whole sweep."""
    if not FLAGS.distributed:
        return True
    import jax

    return jax.process_index() == 0


def wait_for_all() -> None:
    """Returns when every host has come here.

    Raises:
      Interrupted: asked to stop. JAX ends all hosts when one leaves without a word, the others' last save or not; so
        this one must leave in an orderly way, too.
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
