"""A sweep on one page, for a browser: what was run, tables, curves, and what became of every job.

    smac-jax report results/NAME [MORE ...]

writes ``report.html`` in each folder, from what lies there: after a sweep, which does so itself, or while it runs. The
page is one file that needs no other, nor a network.
"""

from __future__ import annotations

from collections.abc import Sequence

from smac_jax.errors import ConfigError
from smac_jax.files import local_path

ARGUMENTS = None  # any number of them


def main(argv: Sequence[str]) -> int:
    """Writes the pages."""
    from smac_jax.sweep.report import write_report

    if len(argv) < 2:
        raise ConfigError("which sweep? smac-jax report FOLDER")
    for folder in argv[1:]:
        print(write_report(local_path(folder)))
    return 0
