r"""How far a sweep is: every job and run, while it runs and after.

    smac-jax status results/NAME [MORE ...] [--watch]

A job trains one offline algorithm for some seeds. Its runs are offline (pre-training), control (which goes on offline)
and to-NAME (fine-tuning with NAME); of a sweep with --checkpoints, offline-at-3000 and so on.

The state of a run:
  done                finished
  running, starting   a process is at work on it; starting: it has not told yet how far it is
  stopped             it was asked to stop, and has saved
  died                its process ended without a word; the same command resumes it
  failed              an error, which is shown below
  damaged             its status cannot be read; the same command resumes it
  left                not begun

The time left of a run is computed from its own rates, and from what a run like it took where one is done. A plus says
that something is left out, of which neither is known yet. The last line has the time left of the whole sweep.

The exit code is 0 where all is done, 3 where something is left to do, 1 where a job has failed, and 2 where a folder
holds no sweep or the command was not understood; of several folders the worst, in the order 2, 1, 3, 0.
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

ARGUMENTS = None  # any number of them
FLAGS = flags.FLAGS
flags.DEFINE_bool("watch", False, "Show it again and again, until nothing is left to do, or Ctrl-C.")
flags.DEFINE_float("every", 2.0, "Seconds after which --watch shows it again.", lower_bound=0.1)

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
    """Shows each folder."""
    folders = [local_path(name) for name in argv[1:]]
    if not folders:
        Console(stderr=True).print("Which sweep? smac-jax status FOLDER", style="red")
        return 2
    console = console_for_tables()
    if not FLAGS.watch:
        return show(folders, console)
    try:
        return watch(folders, console, FLAGS.every)
    except KeyboardInterrupt:
        return look(folders)[1]


def show(folders: Sequence[Path], console: Console) -> int:
    """Prints all of it once; returns the exit code."""
    shown, code = look(folders)
    console.print(shown)
    return code


def watch(folders: Sequence[Path], console: Console, every: float) -> int:
    """Shows it until nothing is left to do; on a terminal in place, as much as there is room for."""
    if not console.is_terminal:
        while True:
            code = show(folders, console)
            if code in (0, 2):
                return code
            time.sleep(every)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            room = max(1, (console.height - 7 * len(folders)) // len(folders))
            shown, code = look(folders, room)
            live.update(shown, refresh=True)
            if code in (0, 2):
                return code
            time.sleep(every)


def look(folders: Sequence[Path], room: int | None = None) -> tuple[Group, int]:
    """What there is to see in each folder, and the exit code.

    Args:
      folders: of sweeps.
      room: lines for each; runs that nothing happens to are left out where there are more. None: all.
    """
    shown, codes = [], set()
    for folder in folders:
        try:
            sweep = read_sweep(folder)
        except NoSweepError as error:
            shown.append(Group(words(str(error), "red")))
            codes.add(2)
            continue
        shown.append(picture(sweep, room))
        codes.add(1 if sweep.failed else 0 if sweep.done else 3)
    return Group(*shown), next(code for code in (2, 1, 3, 0) if code in codes)


def picture(sweep: SweepState, room: int | None = None) -> Group:
    """A sweep as a table, what is to be said about it, and totals."""
    rows = [(job, run) for job in sweep.jobs for run in job.runs]
    hidden = 0
    if room is not None and len(rows) > room:
        eventful = [row for row in rows if row[1].state not in ("done", "left")][:room]
        hidden, rows = len(rows) - len(eventful), eventful
    lines_of_table = []
    before = None
    for job, run in rows:
        title = "" if job is before else job.title
        lines_of_table.append([words(title), words(run.name), words(run.state, STYLES[run.state]), *numbers(run)])
        before = job
    table = FittedTable(COLUMNS, lines_of_table, words(str(sweep.folder), "bold"))
    lines = [words(note, "yellow") for note in sweep.notes]
    lines += [words(note, "red") for job in sweep.jobs for note in job.troubles]
    if hidden:
        lines.append(words(f"{count(hidden, 'run is', 'runs are')} not shown.", "dim"))
    return Group(table, *lines, words(sweep.totals), Text())


def numbers(run: RunState) -> list[Text]:
    """The cells of a run."""
    steps = run.steps_text if run.state != "done" else ""
    rate = left = age = ""
    if run.rate is not None:
        rate = rate_text(run.rate)
    if run.left is not None:
        left = run.left.text
    if run.age is not None and run.state not in ("done", "left"):
        age = f"{duration(run.age)} ago"
    return [words(cell) for cell in (steps, rate, left, run.return_text, age)]


def words(text: str, style: str = "") -> Text:
    """A text that cannot move the cursor, whoever wrote it."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text), style=style)
