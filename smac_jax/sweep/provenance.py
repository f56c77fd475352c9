"""The provenance that tables and figures show: data, scale, seeds, commits and devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import smac_jax
from smac_jax.text import count

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job


def describe(data: smac_jax.Dataset) -> str:
    """Returns the name and size of a data set and, if its metadata record it, how it was made or where it is from."""
    notes = dict(data.metadata)
    recorded = [notes[key] for key in ("recipe", "source", "alone", "without_success") if key in notes]
    return f"{data.name} ({'; '.join([f'{data.size:,} transitions', *recorded])})"


def scale_of(configs: Iterable[Mapping[str, Any]], updates: Iterable[int], steps: Iterable[int]) -> str:
    """Returns the sizes of networks and the lengths of training, as one line for tables and figures.

    Args:
      configs: the configurations of the offline algorithms.
      updates: their numbers of gradient updates.
      steps: the numbers of environment steps of fine-tuning, with one update each.
    """

    def either(values: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(values))

    # the configuration of a user's algorithm may not have these fields
    layers = [config.get("network", {}).get("critic_hidden") for config in configs]
    networks = either(_sizes(hidden) for hidden in layers if hidden)
    offline, online = either(f"{x:,}" for x in updates), either(f"{x:,}" for x in steps)
    parts = [f"networks {networks}"] if networks else []
    return ", ".join([*parts, f"{offline} updates offline", *([f"{online} online"] if online else [])])


def scale_of_jobs(jobs: Sequence[Job]) -> str:
    """:func:`scale_of` the jobs of a sweep."""
    return scale_of(
        [job.offline.config for job in jobs],
        [updates for job in jobs for updates in job.updates],
        [end.schedule["num_steps"] for job in jobs for end in job.online],
    )


def _sizes(hidden: Sequence[int]) -> str:
    return f"{len(hidden)} x {hidden[0]}" if len(set(hidden)) == 1 else "-".join(map(str, hidden))


def made_by(record: Mapping[str, Any]) -> str:
    """Commit, device and day from a provenance record."""
    return f"{record['commit'] or 'no commit'}, {record['device']}, {record['date'][:10]}"


def caption(provenance: Mapping[str, Any]) -> str:
    """Returns the caption of a figure: a line with the data, one with the scale, and one with seeds, commits and
    devices.
    """
    provenance = {"trained_by": [], **provenance}
    drawn_by, seeds = made_by(provenance), provenance["seeds"]
    trained = provenance["trained_by"] if provenance["trained_by"] != [drawn_by] else []
    return "\n".join(
        [
            str(provenance["data"]),
            *([f"scale: {provenance['scale']}"] if provenance.get("scale") else []),
            f"{count(seeds, 'seed') if seeds else 'seeds unknown'}; commit {drawn_by}"
            + "".join(f"; trained by {by}" for by in trained),
        ]
    )
