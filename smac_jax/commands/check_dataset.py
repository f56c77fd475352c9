r"""Show a summary of a data set, and whether the simulator reproduces its transitions.

    smac-jax check-dataset NAME-or-FILE

NAME is a name that `load_dataset` and `--task` accept (an embedded data set, D4RL's, minari:ID, part:FRACTION:NAME), or
a file.

For the agreement with the simulator, the program steps the simulator once from the state of each logged row and
compares the resulting observation with the next one in the log. Only this test detects a simulator whose physics differ
from those of the log. For example, MuJoCo sums contact margins since version 3.5: this changes a quarter of Hopper's
rows, but hardly changes returns. The states are `infos/qpos` and `infos/qvel` of the file; for hopper, walker2d,
halfcheetah and ant they can also be computed from the observations. Rows of rounded numbers are compared with a larger
tolerance. Rewards are not compared, because the ant's reward depends on a delayed position of its torso that no log
contains.

The exit code is 0 if the simulator agrees or if agreement could not be checked (the summary says why), 3 if the
simulator reproduces a smaller share of the rows than --min_share, and 2 if the data set cannot be read.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import app, flags
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smac_jax.sweep.program import set_up

if TYPE_CHECKING:
    from smac_jax.data import Dataset
    from smac_jax.data.card import Card, Statistics
    from smac_jax.envs.agreement import Agreement
    from smac_jax.envs.logged_states import Comparison

WIDTH = 100
MOST_COLUMNS = 6  # the largest number of constant columns that are listed

ARGUMENTS = 1
FLAGS = flags.FLAGS
flags.DEFINE_integer(
    "max_rows", 20_000, "Number of evenly spaced rows from which to step; 0 does not use the simulator.", lower_bound=0
)
flags.DEFINE_float(
    "min_share", 0.99, "Share of these rows that the simulator must reproduce.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_string("env", None, "The task of the data; default: from the file or its name.")
flags.DEFINE_string(
    "version", None, "The environment's version (v4, v5, d4rl, v1); default: the one that matches the data."
)
flags.DEFINE_enum("physics", "mujoco", ["mujoco", "mjx", "warp"], "Physics engine; only mujoco is exact.")
flags.DEFINE_enum(
    "margins", "max", ["max", "sum"], "Contact margins: max as in D4RL's logs, or sum as in MuJoCo since 3.5."
)
flags.DEFINE_string("json", None, "Also write the summary to this file, as JSON.")


def main(argv: Sequence[str]) -> int:
    """Prints the summary and whether the simulator agrees with the data."""
    if len(argv) != 2:
        raise app.UsageError("Give one data set: smac-jax check-dataset NAME-or-FILE")
    set_up()
    from smac_jax.data import load_dataset
    from smac_jax.data.card import make_card
    from smac_jax.files import local_path, write_json

    name, json_file = argv[1], local_path(FLAGS.json) if FLAGS.json else None
    data = load_dataset(name)
    card = make_card(data)
    file = logged_file(name)
    checked = compare(name, data, file, FLAGS.margins) if FLAGS.max_rows else None
    Console(width=WIDTH, highlight=False).print(
        table([*card_lines(card), *file_lines(name, file), *agreement(checked)])
    )
    if json_file is not None:
        found: dict[str, Any] = {"card": dataclasses.asdict(card), "agreement": None, "note": None}
        if checked is not None:
            found |= {"agreement": checked.agreement and checked.agreement._asdict(), "note": checked.note}
        write_json(json_file, found)
    if checked is None or checked.agreement is None or checked.agreement.share >= FLAGS.min_share:
        return 0
    print(contradiction(name, data, file, checked.agreement), file=sys.stderr)
    return 3


def contradiction(name: str, data: Dataset, file: Path | None, found: Agreement) -> str:
    """The error message if the simulator does not reproduce the rows, with the result for the other margins."""
    margins = "sum" if FLAGS.margins == "max" else "max"
    other = compare(name, data, file, margins).agreement
    return (
        f"error: {name}: the simulator reproduces {found.share:.1%} of {found.rows:,} rows, expected at least "
        f"{FLAGS.min_share:.0%}. Largest error: row {found.worst_row}, observation[{found.worst_number}], "
        f"{found.worst_error:.2g}." + (f" With --margins={margins} it reproduces {other.share:.1%}." if other else "")
    )


def logged_file(name: str) -> Path | None:
    """The file in D4RL's layout that holds exactly the rows of a data set, if there is one."""
    from smac_jax.data.readers.demonstrations import SUFFIXES
    from smac_jax.data.sources import files_of

    files = () if name.startswith(("part:", "chunks:")) else files_of(name)
    return files[0] if len(files) == 1 and files[0].suffix not in SUFFIXES else None


def compare(name: str, data: Dataset, file: Path | None, margins: str) -> Comparison:
    """Compares a data set with the simulator; uses the original file if there is one."""
    import numpy as np

    from smac_jax.data.readers.d4rl import OPTIONAL, REQUIRED, read_columns
    from smac_jax.data.trajectories import mark_breaks
    from smac_jax.data.validation import check_arrays
    from smac_jax.envs.logged_states import INFOS, compare_with_simulator
    from smac_jax.tasks import parse_name

    task = parse_name(FLAGS.env).task if FLAGS.env else data.task
    columns = {} if file is None else read_columns(file, (*REQUIRED, *OPTIONAL, *INFOS))
    if not {"terminals", "timeouts"} <= set(columns):
        # use the rows of the data set, in which no next observation belongs to another episode
        columns = {key: np.asarray(getattr(data, key)) for key in (*REQUIRED, *OPTIONAL)}
    elif "unmarked_breaks" in dict(data.metadata):
        logged = {key: columns[key] for key in (*REQUIRED, *OPTIONAL) if key in columns}
        columns |= mark_breaks(check_arrays(logged, name), {})
    return compare_with_simulator(
        name,
        task,
        columns,
        version=FLAGS.version,
        physics=FLAGS.physics,
        margins=margins,
        most_rows=FLAGS.max_rows,
    )


def card_lines(card: Card) -> Iterator[tuple[str, str]]:
    """The lines of the summary, each a label and its text."""
    yield "data set", card.name
    yield "task", card.task or "unknown"
    yield "rows", f"{card.rows:,}, each with {card.observation_size} observations and {card.action_size} actions"
    ended = "ended in success" if card.successes is not None else "terminated"
    yield "episodes", f"{card.episodes:,}: {card.terminals:,} {ended}, {card.timeouts:,} truncated"
    yield "lengths", _spread(card.lengths, 0)
    yield "returns", _spread(card.returns, 2)
    if card.score is not None:
        yield "score", f"{card.score:.1f} (normalized, of the mean)"
    yield "rewards", _spread(card.rewards, 3)
    yield "actions", f"{_spread(card.actions, 3)}; {card.at_the_edge:.1%} saturated (magnitude above 0.99)"
    yield "duplicates", f"{card.duplicates:,} rows ({card.duplicates / card.rows:.2%}) are copies of an earlier row"
    yield (
        "constant",
        f"observations: {_columns(card.constant_observations)}; actions: {_columns(card.constant_actions)}",
    )


def file_lines(name: str, file: Path | None) -> Iterator[tuple[str, str]]:
    """The lines on the file before rows are left out, and on the statistics that were published for it."""
    import numpy as np

    from smac_jax.data.d4rl_statistics import count, differences, published_name, published_statistics
    from smac_jax.data.readers.d4rl import read_columns

    known_as = published_name(name)
    published = published_statistics()[known_as] if known_as else None
    if file is not None:
        logged = read_columns(file, ("rewards", "terminals", "timeouts"))
        ended = logged.get("terminals", np.zeros(len(logged["rewards"])))
        found = count(logged["rewards"], ended, logged.get("timeouts"))
        episodes = "time-outs are not marked" if found.episodes is None else f"{found.episodes:,} episodes"
        tail = f", the last one truncated after {found.tail:,} rows by the end of the log" if found.tail else ""
        yield "file", f"{found.rows:,} rows, {episodes}{tail}"
        if known_as and published:
            apart = differences(known_as, found)
            same = f"equal to the statistics of {known_as} ({_known(published.counts)})"
            yield "published", "; ".join(apart) if apart else same
            return
    if published:
        yield "published", f"{_known(published.counts)} for {known_as}; load_dataset warns if the data differ"


def agreement(checked: Comparison | None) -> Iterator[tuple[str, str]]:
    """The lines on the agreement with the simulator."""
    if checked is None:
        return
    if checked.agreement is None:
        yield "simulator", f"agreement not checked: {checked.note}"
    else:
        yield "simulator", str(checked.agreement)
        yield "", checked.note


def table(lines: Sequence[tuple[str, str]]) -> Table:
    """A table of two columns that fits the width."""
    laid_out = Table(box=None, show_header=False, pad_edge=False, width=WIDTH)
    laid_out.add_column(style="bold", no_wrap=True)
    laid_out.add_column(overflow="fold", ratio=1)
    for label, text in lines:
        laid_out.add_row(Text(label), Text(text))
    return laid_out


def _spread(of: Statistics, digits: int) -> str:
    return (
        f"{of.lowest:,.{digits}f} to {of.highest:,.{digits}f}, mean {of.mean:,.{max(digits, 1)}f}, "
        f"deviation {of.deviation:,.{max(digits, 1)}f}"
    )


def _columns(constant: Sequence[tuple[int, float]]) -> str:
    if not constant:
        return "none"
    shown = ", ".join(f"[{index}] = {value:g}" for index, value in constant[:MOST_COLUMNS])
    more = len(constant) - MOST_COLUMNS
    return shown + (f" and {more} more" if more > 0 else "")


def _known(counts: Any) -> str:
    parts = [f"{counts.rows:,} rows"]
    if counts.episodes is not None:
        parts.append(f"{counts.episodes:,} episodes")
    if counts.return_mean is not None:
        parts.append(f"return {counts.return_mean:.2f} +- {counts.return_std:.2f}")
    return ", ".join(parts)
