r"""Make a table and a figure of learning curves, from several sweeps or from published results.

    smac-jax compare results/A/curves/*_sac.json "wider=results/B/curves/smac_sac.json" --results=results/a-and-b

The files are those that a sweep writes to its curves/, or the curve-*.json files of a job. Curves of the same pair with
different seeds become one row. NAME=FILE replaces the name of a curve's offline algorithm, to distinguish curves that
have the same name in two sweeps. Regret is measured from the best return of all curves in the comparison, so it differs
between tables. Transfers of one pair after several numbers of updates are also shown against these numbers (length.png,
length.pdf). The program writes table.md, table.csv, transfer.png, transfer.pdf and provenance.json to --results. It
trains nothing.
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

ARGUMENTS = None  # any number
FLAGS = flags.FLAGS
flags.DEFINE_string("results", None, "Folder of the output.")
flags.DEFINE_string("title", "", "Title of the table and the figure; default: the task.")


def main(argv: Sequence[str]) -> int:
    """Reads the curves, then writes table and figure."""
    from smac_jax.runs.provenance import write_provenance
    from smac_jax.sweep.results import write_results

    if len(argv) < 2 or not FLAGS.results:
        raise ConfigError("Give curves and an output folder: smac-jax compare FILE [MORE ...] --results=FOLDER")
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
    """Splits ``NAME=FILE``. A text that is the path of an existing file is not split."""
    name, equals, rest = argument.partition("=")
    if not equals or local_path(argument).exists():
        return "", local_path(argument)
    return name, local_path(rest)


def read(name: str, path: Path) -> TransferCurve:
    """Reads a curve; a name that is not empty replaces that of its offline algorithm.

    Raises:
      DatasetError: the file does not exist, or is not a learning curve.
    """
    from smac_jax.analysis.curves import TransferCurve

    curve = TransferCurve.from_json(path)
    return dataclasses.replace(curve, offline=name) if name else curve


def compared(curves: Sequence[TransferCurve]) -> list[TransferCurve]:
    """The rows of the table. Seeds of one pair are joined; different lengths of offline training become separate rows.

    Pairs are in the order in which they are first given, and each pair from the shortest offline training on.

    Raises:
      ConfigError: two curves have the same pair and the same seeds.
      DatasetError: the curves are from two tasks, or the seeds of a pair were not evaluated at the same steps.
    """
    from smac_jax.analysis.curves import joined

    lengths: dict[tuple[str, str, int | None], set[float]] = {}
    for curve in curves:
        lengths.setdefault(curve.key, set()).add(curve.updates)
    rows: dict[tuple[str, str, int | None], list[TransferCurve]] = {}
    for curve in curves:
        if len(lengths[curve.key]) > 1:
            curve = dataclasses.replace(curve, checkpoint=curve.updates)
        rows.setdefault(curve.key, []).append(curve)
    for same in rows.values():
        seeds = [seed for curve in same for seed in curve.seeds]
        if len(same) > 1 and (len(set(seeds)) < len(seeds) or not all(curve.seeds for curve in same)):
            raise ConfigError(
                f"{len(same)} curves are of the pair {same[0].pair}, with the same or unknown seeds. Give them "
                "different names: NAME=FILE."
            )
    pairs = list(dict.fromkeys((offline, online) for offline, online, _ in rows))
    made = [joined(same) for same in rows.values()]
    return sorted(made, key=lambda curve: (pairs.index((curve.offline, curve.online)), curve.updates))


def seeds_of(curves: Sequence[TransferCurve], records: Sequence[Mapping[str, Any]]) -> list[int]:
    """The seeds of the curves; for older curves, which do not record them, those of their provenance."""
    recorded = [curve.seeds for curve in curves] + [record.get("seeds") or [] for record in records]
    return list(dict.fromkeys(seed for seeds in recorded if isinstance(seeds, (list, tuple)) for seed in seeds))


def scale_of(curve: TransferCurve) -> str:
    """The lengths of a curve's offline and online training."""
    online = curve.online_steps[-1] - curve.warm_start
    return f"{curve.updates:,} updates offline, {online:,.0f} online"


def record_of(path: Path) -> dict[str, Any]:
    """The provenance of a curve: the nearest ``provenance.json`` in the folders above it, or an empty dictionary."""
    from smac_jax.runs.status import read_json

    for folder in list(path.absolute().parents)[:5]:
        if (folder / "provenance.json").exists():
            return read_json(folder / "provenance.json")
    return {}


def data_of(record: Mapping[str, Any]) -> list[str]:
    """The data sets of a provenance record."""
    data = record.get("data", [])
    return [data] if isinstance(data, str) else list(map(str, data.values() if isinstance(data, Mapping) else data))


def trained_by(record: Mapping[str, Any]) -> list[str]:
    """Commit, device and day of the processes that trained, if a provenance record names them."""
    from smac_jax.sweep.provenance import made_by

    if isinstance(found := record.get("trained_by"), list):
        return list(map(str, found))
    return [made_by(record)] if {"commit", "device", "date"} <= set(record) else []
