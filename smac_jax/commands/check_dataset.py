r"""A data set's card: what is in it, and whether the simulator gives the same rows.

    smac-jax check-dataset NAME-or-FILE

NAME is whatever `load_dataset` and `--task` take: embedded, D4RL's, minari:ID, part:FRACTION:NAME, a file.

The last lines of the card step the simulator once from the state of each logged row and compare the observation with
the one that the log has next. Physics other than those of the log are seen there and nowhere else: contact margins as
MuJoCo adds them up since 3.5 change a quarter of Hopper's rows, and hardly a return. The states are `infos/qpos` and
`infos/qvel` of the file, or what the observations show where that is all (hopper, walker2d, halfcheetah, ant). Rows
of rounded numbers are compared less strictly. Only observations decide, and not rewards: the ant's reward depends on
where its torso's frame lagged, which no log holds.

Ends with 0, also where agreement could not be checked (the card says why); with 3 where the simulator reproduces fewer
than --min_share of the rows; with 2 where the data set cannot be read.
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
MOST_COLUMNS = 6  # constant columns that are listed one by one

ARGUMENTS = 1
FLAGS = flags.FLAGS
flags.DEFINE_integer("max_rows", 20_000, "Rows to step from, evenly spread; 0 leaves the simulator out.", lower_bound=0)
flags.DEFINE_float(
    "min_share", 0.99, "Share of these rows that the simulator must give again.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_string("env", None, "The task that was logged, where neither the file nor its name says it.")
flags.DEFINE_string("version", None, "The environment's version (v4, v5, d4rl, v1); default: the one that fits.")
flags.DEFINE_enum("physics", "mujoco", ["mujoco", "mjx", "warp"], "The engine; the C engine is the exact one.")
flags.DEFINE_enum("margins", "max", ["max", "sum"], "Contact margins: the logs' (max), or those of MuJoCo since 3.5.")
flags.DEFINE_string("json", None, "Write the card to this file, too.")


def main(argv: Sequence[str]) -> int:
    """Prints the card and says whether the simulator agrees."""
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
    """One line on rows that the simulator does not give again, and on whether it does with the other margins."""
    margins = "sum" if FLAGS.margins == "max" else "max"
    other = compare(name, data, file, margins).agreement
    return (
        f"error: {name}: the simulator gives {found.share:.1%} of {found.rows:,} rows again, expected at least "
        f"{FLAGS.min_share:.0%}; worst: row {found.worst_row}, observation[{found.worst_number}] off by "
        f"{found.worst_error:.2g}." + (f" With --margins={margins} it gives {other.share:.1%}." if other else "")
    )


def logged_file(name: str) -> Path | None:
    """The one file in D4RL's layout whose rows a data set has, all of them."""
    from smac_jax.data.readers.demonstrations import SUFFIXES
    from smac_jax.data.sources import files_of

    files = () if name.startswith("part:") else files_of(name)
    return files[0] if len(files) == 1 and files[0].suffix not in SUFFIXES else None


def compare(name: str, data: Dataset, file: Path | None, margins: str) -> Comparison:
    """Compares a data set with the simulator, from its file as it was logged where there is one."""
    import numpy as np

    from smac_jax.data.readers.d4rl import OPTIONAL, REQUIRED, read_columns
    from smac_jax.data.trajectories import mark_breaks
    from smac_jax.data.validation import check_arrays
    from smac_jax.envs.logged_states import INFOS, compare_with_simulator
    from smac_jax.tasks import parse_name

    task = parse_name(FLAGS.env).task if FLAGS.env else data.task
    columns = {} if file is None else read_columns(file, (*REQUIRED, *OPTIONAL, *INFOS))
    if not {"terminals", "timeouts"} <= set(columns):
        # what the data set has is settled: an observation never leads to one of another episode
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
    """The card's lines, each a word and what it is."""
    yield "data set", card.name
    yield "task", card.task or "not known"
    yield "rows", f"{card.rows:,} of {card.observation_size} observations and {card.action_size} actions"
    ended = "ended in success" if card.successes is not None else "ended"
    yield "episodes", f"{card.episodes:,}: {card.terminals:,} {ended}, {card.timeouts:,} cut"
    yield "lengths", _spread(card.lengths, 0)
    yield "returns", _spread(card.returns, 2)
    if card.score is not None:
        yield "score", f"{card.score:.1f} (normalized, of the mean)"
    yield "rewards", _spread(card.rewards, 3)
    yield "actions", f"{_spread(card.actions, 3)}; {card.at_the_edge:.1%} at the edge (from 0.99)"
    yield "duplicates", f"{card.duplicates:,} rows ({card.duplicates / card.rows:.2%}) are copies of an earlier one"
    yield (
        "constant",
        f"observations: {_columns(card.constant_observations)}; actions: {_columns(card.constant_actions)}",
    )


def file_lines(name: str, file: Path | None) -> Iterator[tuple[str, str]]:
    """What the file holds before anything is left out, and what others printed of it."""
    import numpy as np

    from smac_jax.data.d4rl_statistics import count, differences, published_name, published_statistics
    from smac_jax.data.readers.d4rl import read_columns

    claimed = published_name(name)
    printed = published_statistics()[claimed] if claimed else None
    if file is not None:
        logged = read_columns(file, ("rewards", "terminals", "timeouts"))
        ended = logged.get("terminals", np.zeros(len(logged["rewards"])))
        found = count(logged["rewards"], ended, logged.get("timeouts"))
        episodes = "time-outs are not marked" if found.episodes is None else f"{found.episodes:,} episodes"
        tail = f", the last cut after {found.tail:,} rows by the end of the log" if found.tail else ""
        yield "file", f"{found.rows:,} rows, {episodes}{tail}"
        if claimed and printed:
            apart = differences(claimed, found)
            yield "published", "; ".join(apart) if apart else f"as printed of {claimed} ({_known(printed.counts)})"
            return
    if printed:
        yield "published", f"{_known(printed.counts)} were printed of {claimed}; differences are warned of on reading"


def agreement(checked: Comparison | None) -> Iterator[tuple[str, str]]:
    """What the simulator says."""
    if checked is None:
        return
    if checked.agreement is None:
        yield "simulator", f"agreement was not checked: {checked.note}"
    else:
        yield "simulator", str(checked.agreement)
        yield "", checked.note


def table(lines: Sequence[tuple[str, str]]) -> Table:
    """Two columns that fit the width."""
    laid_out = Table(box=None, show_header=False, pad_edge=False, width=WIDTH)
    laid_out.add_column(style="bold", no_wrap=True)
    laid_out.add_column(overflow="fold", ratio=1)
    for word, text in lines:
        laid_out.add_row(Text(word), Text(text))
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
