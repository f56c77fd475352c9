r"""A table and a figure of any learning curves: of several sweeps side by side, or of published ones once more.

    smac-jax compare results/A/curves/*_sac.json "wider=results/B/curves/smac_sac.json" --results=results/a-and-b

The files are those that a sweep leaves in its curves/, or curve-*.json of a job. Curves of one pair whose seeds differ
become one row; NAME=FILE gives a curve another name than that of its offline algorithm, which tells apart what two
sweeps call the same. Regret is measured from the best return of the curves that are compared, so it differs from table
to table. Writes table.md, table.csv, transfer.png, transfer.pdf and provenance.json to --results. Nothing is trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.files import local_path
from smac_jax.sweep.program import results_folder

if TYPE_CHECKING:
    from smac_jax.analysis.curves import TransferCurve

ARGUMENTS = None  # any number of them
FLAGS = flags.FLAGS
flags.DEFINE_string("results", None, "Folder for what is written.")
flags.DEFINE_string("title", "", "Title of table and figure; default: the task.")


def main(argv: Sequence[str]) -> int:
    """Reads the curves, then writes table and figure."""
    from smac_jax.runs.provenance import write_provenance
    from smac_jax.sweep.results import write_results

    if len(argv) < 2 or not FLAGS.results:
        raise ConfigError("which curves, and where to? smac-jax compare FILE [MORE ...] --results=FOLDER")
    folder = results_folder(FLAGS.results)
    named = [name_and_path(argument) for argument in argv[1:]]
    curves = compared([read(name, path) for name, path in named])
    records = list({str(found): found for _, path in named if (found := record_of(path))}.values())
    provenance = write_provenance(
        folder,
        data="; ".join(dict.fromkeys(text for record in records for text in data_of(record))) or "not recorded",
        scale="; ".join(dict.fromkeys(map(scale_of, curves))),
        seeds=seeds_of(curves, records),
        trained_by=list(dict.fromkeys(text for record in records for text in trained_by(record))),
        curves=[str(path) for _, path in named],
    )
    write_results(folder, curves, provenance, FLAGS.title or curves[0].task)
    print(f"Table and figure: {folder}")
    return 0


def name_and_path(argument: str) -> tuple[str, Path]:
    """``NAME=FILE`` taken apart; a file whose own name has an equals sign is a file."""
    name, equals, rest = argument.partition("=")
    if not equals or local_path(argument).exists():
        return "", local_path(argument)
    return name, local_path(rest)


def read(name: str, path: Path) -> TransferCurve:
    """A curve, under its own name or the one that is given.

    Raises:
      DatasetError: no such file, or no curve.
    """
    from smac_jax.analysis.curves import TransferCurve

    curve = TransferCurve.from_json(path)
    return dataclasses.replace(curve, offline=name) if name else curve


def compared(curves: Sequence[TransferCurve]) -> list[TransferCurve]:
    """The rows of the table: seeds of one pair joined; what differs in the length of offline training told apart.

    Raises:
      ConfigError: two curves of the same pair and seeds.
      DatasetError: curves of two tasks, or seeds of one pair that were not evaluated at the same steps.
    """
    from smac_jax.analysis.curves import joined

    lengths: dict[tuple[str, str, int | None], set[float]] = {}
    for curve in curves:
        lengths.setdefault(curve.key, set()).add(updates_of(curve))
    rows: dict[tuple[str, str, int | None], list[TransferCurve]] = {}
    for curve in curves:
        if len(lengths[curve.key]) > 1:
            curve = dataclasses.replace(curve, checkpoint=updates_of(curve))
        rows.setdefault(curve.key, []).append(curve)
    for same in rows.values():
        seeds = [seed for curve in same for seed in curve.seeds]
        if len(same) > 1 and (len(set(seeds)) < len(seeds) or not all(curve.seeds for curve in same)):
            raise ConfigError(
                f"{len(same)} curves are of {same[0].pair}, and of the same seeds as far as they say. Give them names "
                "that tell them apart: NAME=FILE."
            )
    return [joined(same) for same in rows.values()]


def updates_of(curve: TransferCurve) -> int:
    """Offline updates after which a curve's transfer began; 0 where offline training was not evaluated."""
    return int(curve.offline_updates[-1]) if curve.offline_updates.size else 0


def seeds_of(curves: Sequence[TransferCurve], records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Numbers of the seeds: from the curves, or of older ones, which do not say, from the records beside them."""
    said = [curve.seeds for curve in curves] + [record.get("seeds") or [] for record in records]
    return list(dict.fromkeys(seed for seeds in said if isinstance(seeds, (list, tuple)) for seed in seeds))


def scale_of(curve: TransferCurve) -> str:
    """How long a curve is."""
    online = curve.online_steps[-1] - curve.warm_start
    return f"{updates_of(curve):,} updates offline, {online:,.0f} online"


def record_of(path: Path) -> dict[str, Any]:
    """What was written down where a curve was made: the nearest ``provenance.json`` above, if there is one."""
    from smac_jax.runs.status import read_json

    for folder in list(path.absolute().parents)[:5]:
        if (folder / "provenance.json").exists():
            return read_json(folder / "provenance.json")
    return {}


def data_of(record: Mapping[str, Any]) -> list[str]:
    """The data sets of a record."""
    data = record.get("data", [])
    return [data] if isinstance(data, str) else list(map(str, data.values() if isinstance(data, Mapping) else data))


def trained_by(record: Mapping[str, Any]) -> list[str]:
    """Commit, device and day of what trained, as far as a record says."""
    from smac_jax.sweep.provenance import made_by

    if isinstance(found := record.get("trained_by"), list):
        return list(map(str, found))
    return [made_by(record)] if {"commit", "device", "date"} <= set(record) else []
