"""Write the report of a sweep, an HTML page: provenance, tables, learning curves, and the state of every job.

    smac-jax report results/NAME [MORE ...]

The program writes ``report.html`` in each folder. A sweep writes its report itself when it ends; use this command while
it runs, or after it was stopped: transfers that are not done are shown up to their newest evaluation. The page is a
single file and needs no network. The program also prints whether the transfers are sound (explained in
docs/pages/is-my-transfer-sound.md). ``--curves`` also writes the learning curves of all pairs, done or not, to curves/,
where ``smac-jax compare`` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.files import local_path

ARGUMENTS = None  # any number
FLAGS = flags.FLAGS
flags.DEFINE_bool("curves", False, "Also write the learning curves, of transfers that are not done as far as they are.")


def main(argv: Sequence[str]) -> int:
    """Writes the pages, and prints whether the transfers are sound."""
    from smac_jax.sweep.report import write_report

    if len(argv) < 2:
        raise ConfigError("Give the folder of a sweep: smac-jax report FOLDER")
    for folder in argv[1:]:
        path = write_report(local_path(folder))
        show_soundness(path.parent)
        print(path)
        if FLAGS.curves:
            write_curves(path.parent)
    return 0


def write_curves(folder: Path) -> None:
    """Writes the curves to ``curves/``; with more than one data set, to ``curves/`` in the folder of each."""
    from smac_jax.sweep.report import read_curves
    from smac_jax.sweep.results import curve_file
    from smac_jax.sweep.state import read_sweep

    found, _, unfinished = read_curves(read_sweep(folder))
    for data, curves in found.items():
        place = (folder / Path(data).stem if len(found) > 1 else folder) / "curves"
        for curve in curves:
            curve.to_json(place / curve_file(curve))
            print(place / curve_file(curve))
        for line in unfinished.get(data, []):
            print(f"not done: {line}")


def show_soundness(folder: Path) -> None:
    """Prints a table for each data set with the verdict on each pair, and recommendations."""
    from rich.text import Text

    from smac_jax.analysis.fitting import console_for_tables
    from smac_jax.sweep import soundness
    from smac_jax.sweep.state import read_sweep

    console = console_for_tables()
    for data, found in soundness.read_evidence(read_sweep(folder)).items():
        judged = soundness.summaries(found)
        if not any(any(summary.cells.values()) for summary in judged.values()):
            continue
        name = Path(data).stem if "/" in data else data
        console.print(
            soundness.terminal(judged, f"Is the transfer sound? {name}", elsewhere=str(folder / "report.html"))
        )
        console.print(Text(soundness.MARKS, style="dim"))
        for line in soundness.advice(judged):
            console.print(Text(f"* {line}"))
