r"""Show the progress of a sweep: the state of every job and run, while it runs and afterwards.

    smac-jax status results/NAME [MORE ...] [--watch]

A job trains one offline algorithm for some seeds. Its runs are offline (pre-training), control (which continues offline
training) and to-NAME (fine-tuning with NAME). With --checkpoints they are called offline-at-3000 and so on.

The state of a run:
  done       it is complete
  running    a process is training it
  starting   a process has begun it, and has not written its progress yet
  stopped    it was asked to stop, and has saved its state
  died       its process ended unexpectedly; repeat the command of the sweep to resume it
  failed     an error occurred, which is shown below the table
  damaged    its status cannot be read; repeat the command of the sweep to resume it
  left       it has not begun

The time left of a run is estimated from its own rates and from the duration of similar runs that are done. A plus sign
means that the estimate leaves out a part whose duration is not known yet. The last line has the time left of the sweep.

The exit code is 0 if all jobs are done, 3 if some are left, 1 if a job has failed, and 2 if a folder holds no sweep or
the command line is wrong. For several folders it is the worst of these, in the order 2, 1, 3, 0.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from smac_jax.analysis.fitting import Column, FittedTable, console_for_tables
from smac_jax.files import local_path
from smac_jax.sweep.state import NoSweepError, RunState, SweepState, read_sweep
from smac_jax.text import count, duration, rate_text

ARGUMENTS = None  # any number
FLAGS = flags.FLAGS
flags.DEFINE_bool("watch", False, "Update the table until all jobs are done, or until Ctrl-C.")
flags.DEFINE_float("every", 2.0, "Seconds between the updates of --watch.", lower_bound=0.1)

STYLES = {
    "done": "green",
    "running": "bold cyan",
    "starting": "cyan",
    "failed": "bold red",
    "died": "red",
    "damaged": "red",
    "stopped": "yellow",
    "left": "dim",
}
COLUMNS = (
    Column("job", justify="left", wraps=True),
    Column("run", justify="left"),
    Column("state", justify="left"),
    Column("steps", wraps=True),
    Column("steps/s", rank=2),
    Column("left"),
    Column("return"),
    Column("last news", "last\nnews", rank=1),
)


def main(argv: Sequence[str]) -> int:
    """Shows the sweep of each folder."""
    folders = [local_path(name) for name in argv[1:]]
    if not folders:
        Console(stderr=True).print("Give the folder of a sweep: smac-jax status FOLDER", style="red")
        return 2
    console = console_for_tables()
    if not FLAGS.watch:
        return show(folders, console)
    try:
        return watch(folders, console, FLAGS.every)
    except KeyboardInterrupt:
        return tables(folders)[1]


def show(folders: Sequence[Path], console: Console) -> int:
    """Prints the tables once; returns the exit code."""
    shown, code = tables(folders)
    console.print(shown)
    return code


def watch(folders: Sequence[Path], console: Console, every: float) -> int:
    """Shows the tables until all jobs are done; on a terminal in place, with as many rows as fit."""
    if not console.is_terminal:
        while True:
            code = show(folders, console)
            if code in (0, 2):
                return code
            time.sleep(every)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            room = max(1, (console.height - 7 * len(folders)) // len(folders))
            shown, code = tables(folders, room)
            live.update(shown, refresh=True)
            if code in (0, 2):
                return code
            time.sleep(every)


def tables(folders: Sequence[Path], room: int | None = None) -> tuple[Group, int]:
    """The table of each sweep, and the exit code.

    Args:
      folders: the folders of sweeps.
      room: the number of rows for each sweep; if there are more runs, those that are done or have not begun are left
        out. None shows all runs.
    """
    shown, codes = [], set()
    for folder in folders:
        try:
            sweep = read_sweep(folder)
        except NoSweepError as error:
            shown.append(Group(printable(str(error), "red")))
            codes.add(2)
            continue
        shown.append(table_of(sweep, room))
        codes.add(1 if sweep.failed else 0 if sweep.done else 3)
    return Group(*shown), next(code for code in (2, 1, 3, 0) if code in codes)


def table_of(sweep: SweepState, room: int | None = None) -> Group:
    """The table of a sweep's runs, with errors and totals below it."""
    rows = [(job, run) for job in sweep.jobs for run in job.runs]
    hidden = 0
    if room is not None and len(rows) > room:
        active = [row for row in rows if row[1].state not in ("done", "left")][:room]
        hidden, rows = len(rows) - len(active), active
    lines_of_table = []
    before = None
    for job, run in rows:
        title = "" if job is before else job.title
        state = printable(run.state, STYLES[run.state])
        lines_of_table.append([printable(title), printable(run.name), state, *numbers(run)])
        before = job
    table = FittedTable(COLUMNS, lines_of_table, printable(str(sweep.folder), "bold"))
    lines = [printable(note, "yellow") for note in sweep.notes]
    lines += [printable(note, "red") for job in sweep.jobs for note in job.troubles]
    if hidden:
        lines.append(printable(f"{count(hidden, 'run is', 'runs are')} not shown.", "dim"))
    return Group(table, *lines, printable(sweep.totals), Text())


def numbers(run: RunState) -> list[Text]:
    """The entries of a run's row from the column ``steps`` on."""
    steps = run.steps_text if run.state != "done" else ""
    rate = left = age = ""
    if run.rate is not None:
        rate = rate_text(run.rate)
    if run.left is not None:
        left = run.left.text
    if run.age is not None and run.state not in ("done", "left"):
        age = f"{duration(run.age)} ago"
    return [printable(entry) for entry in (steps, rate, left, run.return_text, age)]


def printable(text: str, style: str = "") -> Text:
    """A text without control characters, which could move the terminal's cursor."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text), style=style)
