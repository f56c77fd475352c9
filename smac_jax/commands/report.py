"""Write the report of a sweep, an HTML page: provenance, tables, learning curves, and the state of every job.

    smac-jax report results/NAME [MORE ...]

The program writes ``report.html`` in each folder. A sweep writes its report itself when it ends; use this command while
it runs. The page is a single file and needs no network. The program also prints whether the transfers are sound
(explained in docs/pages/is-my-transfer-sound.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from smac_jax.errors import ConfigError
from smac_jax.files import local_path

ARGUMENTS = None  # any number


def main(argv: Sequence[str]) -> int:
    """Writes the pages, and prints whether the transfers are sound."""
    from smac_jax.sweep.report import write_report

    if len(argv) < 2:
        raise ConfigError("Give the folder of a sweep: smac-jax report FOLDER")
    for folder in argv[1:]:
        path = write_report(local_path(folder))
        show_soundness(path.parent)
        print(path)
    return 0


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
