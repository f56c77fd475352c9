"""What tables and figures say of where they come from: data, scale, seeds, commits, devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import smac_jax
from smac_jax.text import count

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job


def describe(data: smac_jax.Dataset) -> str:
    """The data set, and how it was made or where it is from, where it says so."""
    notes = dict(data.metadata)
    said = [notes[key] for key in ("recipe", "source", "alone", "without_success") if key in notes]
    return f"{data.name} ({'; '.join([f'{data.size:,} transitions', *said])})"


def scale_of(configs: Iterable[Mapping[str, Any]], updates: Iterable[int], steps: Iterable[int]) -> str:
    """How large everything is, in a line for tables and figures.

    Args:
      configs: of the offline algorithms.
      updates: their numbers of gradient updates.
      steps: numbers of environment steps after them, with an update each.
    """

    def either(values: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(values))

    # an algorithm of somebody's own may have another way to say it
    said = [config.get("network", {}).get("critic_hidden") for config in configs]
    networks = either(_sizes(hidden) for hidden in said if hidden)
    offline, online = either(f"{x:,}" for x in updates), either(f"{x:,}" for x in steps)
    parts = [f"networks of {networks}"] if networks else []
    return ", ".join([*parts, f"{offline} updates offline", *([f"{online} online"] if online else [])])


def scale_of_jobs(jobs: Sequence[Job]) -> str:
    """The same of a sweep's jobs."""
    return scale_of(
        [job.offline.config for job in jobs],
        [updates for job in jobs for updates in job.updates],
        [end.schedule["num_steps"] for job in jobs for end in job.online],
    )


def _sizes(hidden: Sequence[int]) -> str:
    return f"{len(hidden)} x {hidden[0]}" if len(set(hidden)) == 1 else "-".join(map(str, hidden))


def made_by(record: Mapping[str, Any]) -> str:
    """Commit, device and day, of a record that has them."""
    return f"{record['commit'] or 'no commit'}, {record['device']}, {record['date'][:10]}"


def caption(provenance: Mapping[str, Any]) -> str:
    """What a figure must name, a line each: data; scale; seeds, with commit, device and day of drawing and training."""
    provenance = {"trained_by": [], **provenance}
    here, seeds = made_by(provenance), provenance["seeds"]
    trained = provenance["trained_by"] if provenance["trained_by"] != [here] else []
    return "\n".join(
        [
            str(provenance["data"]),
            *([f"scale: {provenance['scale']}"] if provenance.get("scale") else []),
            f"{count(seeds, 'seed') if seeds else 'seeds unknown'}; commit {here}"
            + "".join(f"; trained by {by}" for by in trained),
        ]
    )
