"""The leaderboard: normalized scores of every algorithm on every data set, offline and after fine-tuning.

Beside them stand the scores that others have published (:mod:`experiments.paper.published`).
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.text import Text

from experiments.paper.grid import Task, curves_of
from experiments.paper.published import Published, Score, Source, is_same, peers_of
from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.fitting import Cell, Column, FittedTable, console_for_tables
from smac_jax.analysis.statistics import Interval, bootstrap_interval, stratified_interval
from smac_jax.files import write_text
from smac_jax.sweep.grid import Job
from smac_jax.sweep.job import trained_by
from smac_jax.tasks import normalized_score
from smac_jax.text import count, name_of

PerSeed = Float[np.ndarray, " seed"]
Scores = dict[str, dict[str, PerSeed]]
"""Normalized scores by algorithm and column: :data:`OFFLINE`, or the online algorithm that fine-tuned."""
OFFLINE = "offline"
NOTHING = "–"
SAYS = (
    "D4RL's normalized score: 0 is a random policy, 100 an expert. Ours: the mean over seeds with its 95 % interval "
    "(bootstrap over seeds), at the end of offline training, and at the end of fine-tuning with each online algorithm. "
    "Published: mean ± standard deviation over seeds, with the number of its source; an arrow leads from offline "
    "training to fine-tuning with the same algorithm. Published scores are from other code, other evaluations and "
    "mostly longer training (see the sources), so compare them with care."
)


@dataclasses.dataclass(frozen=True)
class Row:
    """An algorithm on a data set.

    Attributes:
      algorithm: its name in the package.
      measured: mean and interval, by column.
      published: what others have published.
    """

    algorithm: str
    measured: Mapping[str, Interval]
    published: tuple[Published, ...] = ()

    @property
    def rank(self) -> tuple[float, float]:
        """What rows are ordered by: the highest mean after fine-tuning, then the mean offline."""
        means = {column: score.estimate for column, score in self.measured.items() if not math.isnan(score.estimate)}
        tuned = [mean for column, mean in means.items() if column != OFFLINE]
        return max(tuned, default=-math.inf), means.get(OFFLINE, -math.inf)


@dataclasses.dataclass(frozen=True)
class Board:
    """The algorithms on a data set, or over all of them.

    Attributes:
      title: the name of the data set.
      about: what the data are.
      rows: the best first; those that were published alone are the last.
      note: of which data sets the published scores are.
    """

    title: str
    about: str
    rows: tuple[Row, ...]
    note: str = ""


def scores_of(curves: Sequence[TransferCurve]) -> Scores:
    """The normalized scores of the last evaluation offline, and of the last one of each fine-tuning."""
    scores: Scores = {}
    for curve in curves:
        columns = scores.setdefault(curve.offline, {})
        columns.setdefault(OFFLINE, normalized_score(curve.task, curve.offline_returns[:, -1]))
        columns[curve.online] = normalized_score(curve.task, curve.online_returns[:, -1])
    return scores


def board(title: str, about: str, data: str, scores: Scores) -> Board:
    """The algorithms on one data set.

    Args:
      title: of the board.
      about: the data.
      data: the name of the data set, which says what was published on it.
      scores: that were measured.
    """
    peers = peers_of(data)
    rows = [
        Row(
            algorithm,
            {column: bootstrap_interval(values) for column, values in scores.get(algorithm, {}).items()},
            tuple(found for found in peers if found.algorithm == algorithm),
        )
        for algorithm in dict.fromkeys([*scores, *(found.algorithm for found in peers)])
    ]
    named = list(dict.fromkeys(found.data for found in peers))
    note = f"Published scores are of {', '.join(named)}." if named else "No published scores of these data are known."
    if named and not all(is_same(name, data) for name in named):
        note += f" The data here are another data set ({data})."
    return Board(title, about, _ordered(rows), note)


def over_all(by_title: Mapping[str, Scores]) -> Board | None:
    """Means over the data sets of what all of them have; None where there are fewer than two."""
    every = list(by_title.values())
    if len(every) < 2:
        return None
    rows = []
    for algorithm in every[0]:
        if not all(algorithm in scores for scores in every):
            continue
        shared = [column for column in every[0][algorithm] if all(column in scores[algorithm] for scores in every)]
        means = {column: _mean_over_data([scores[algorithm][column] for scores in every]) for column in shared}
        if means:
            rows.append(Row(algorithm, means))
    title = f"Mean over {count(every, 'data set')}"
    return Board(title, ", ".join(by_title), _ordered(rows)) if rows else None


def write_leaderboard(
    folder: Path, tasks: Sequence[Task], jobs: Mapping[str, Mapping[str, Job]], provenance: Mapping[str, Any]
) -> Path | None:
    """Writes ``leaderboard.md``, ``leaderboard.csv`` and ``leaderboard.html``, and prints the tables.

    Args:
      folder: for them.
      tasks: of the run.
      jobs: by the task's source and the algorithm. What is not done is left out.
      provenance: of the run.

    Returns:
      The page; None where nothing is done.
    """
    by_title: dict[str, Scores] = {}
    boards = []
    for task in tasks:
        if curves := list(curves_of(jobs[task.source]).values()):
            by_title[task.name or task.data.name] = scores = scores_of(curves)
            about = str(provenance["data"][task.source])
            boards.append(board(task.name or task.data.name, about, task.data.name, scores))
    if not boards:
        return None
    boards = [*([mean] if (mean := over_all(by_title)) else []), *boards]
    said = {**provenance, "data": "; ".join(str(provenance["data"][task.source]) for task in tasks)}
    said["trained_by"] = trained_by(job for task in tasks for job in jobs[task.source].values())
    write_text(folder / "leaderboard.md", markdown(boards, said))
    write_text(folder / "leaderboard.csv", comma_separated(boards))
    write_text(folder / "leaderboard.html", page(boards, provenance))
    print_boards(boards, str(folder / "leaderboard.md"))
    return folder / "leaderboard.html"


# ------------------------------------------------------------------------------------------------- the tables


def columns_of(boards: Sequence[Board]) -> list[str]:
    """The columns of what was measured: offline, then the online algorithms."""
    found = dict.fromkeys(column for board in boards for row in board.rows for column in row.measured)
    return [OFFLINE, *(column for column in found if column != OFFLINE)]


def header(columns: Sequence[str], published: bool) -> list[str]:
    """Heads of the table."""
    tuned = [f"then {name_of(column)}" for column in columns if column != OFFLINE]
    return ["algorithm", OFFLINE, *tuned, *(["published offline", "published fine-tuned"] if published else [])]


def sources_of(boards: Sequence[Board]) -> list[Source]:
    """The sources of what the tables show, in the order of their numbers."""
    return list(dict.fromkeys(found.source for board in boards for row in board.rows for found in row.published))


def cells(
    row: Row, columns: Sequence[str], sources: Sequence[Source], published: bool, short: bool = False
) -> list[str]:
    """The texts of a row.

    Args:
      row: of a board.
      columns: that are shown.
      sources: by which the published scores are numbered.
      published: whether there are columns for these.
      short: means alone.
    """
    texts = [name_of(row.algorithm)]
    texts += [_measured(row.measured[column], short) if column in row.measured else NOTHING for column in columns]
    if published:
        numbered = [(found, f"({sources.index(found.source) + 1})") for found in row.published]
        offline = [f"{_score(f.offline, short)} {number}" for f, number in numbered if f.online is None]
        tuned = [
            f"{_score(f.offline, short)} → {_score(f.online, short)} {number}" for f, number in numbered if f.online
        ]
        texts += [", ".join(offline) or NOTHING, ", ".join(tuned) or NOTHING]
    return texts


def best_rows(board: Board, columns: Sequence[str]) -> dict[str, int]:
    """The number of the row that has the highest mean of each column, of those that several rows have."""
    best = {}
    for column in columns:
        means = {i: row.measured[column].estimate for i, row in enumerate(board.rows) if column in row.measured}
        means = {i: mean for i, mean in means.items() if not math.isnan(mean)}
        if len(means) > 1:
            best[column] = max(means, key=lambda i: means[i])
    return best


def has_published(board: Board) -> bool:
    """Whether a board has published scores."""
    return any(row.published for row in board.rows)


def markdown(boards: Sequence[Board], provenance: Mapping[str, Any]) -> str:
    """The page as Markdown; the highest mean of each column is bold."""
    columns, sources = columns_of(boards), sources_of(boards)
    lines = ["# Leaderboard", "", SAYS, ""]
    for shown in boards:
        published, best = has_published(shown), best_rows(shown, columns)
        heads = header(columns, published)
        lines += [f"## {shown.title}", "", shown.about, "", _line(heads), _line(["---"] * len(heads))]
        for i, row in enumerate(shown.rows):
            texts = cells(row, columns, sources, published)
            for j, column in enumerate(columns, 1):
                texts[j] = f"**{texts[j]}**" if best.get(column) == i else texts[j]
            lines.append(_line(texts))
        lines += ["", *([shown.note, ""] if shown.note else [])]
    if sources:
        lines += ["## Sources", ""]
        lines += [f"{i}. {s.citation}: <{s.address}>. {_sentence(s.protocol)}" for i, s in enumerate(sources, 1)]
        lines.append("")
    return "\n".join([*lines, "## Provenance", "", tables.provenance_text(provenance), ""])


def comma_separated(boards: Sequence[Board]) -> str:
    """A line for each score: of ours mean and interval, of others' mean and standard deviation."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["data", "algorithm", "fine_tuned_with", "score", "low", "high", "std", "published_on", "source"])
    for shown in boards:
        for row in shown.rows:
            for column, (mean, low, high) in row.measured.items():
                ends = ["" if math.isnan(x) else f"{x:.6g}" for x in (low, high)]
                tuned = "" if column == OFFLINE else column
                writer.writerow([shown.title, row.algorithm, tuned, f"{mean:.6g}", *ends, "", "", ""])
            for found in row.published:
                for score, tuned in ((found.offline, ""), (found.online, found.algorithm)):
                    if score is not None:
                        numbers = [score.mean, "", "", score.std]
                        writer.writerow([shown.title, row.algorithm, tuned, *numbers, found.data, found.source.name])
    return out.getvalue()


def page(boards: Sequence[Board], provenance: Mapping[str, Any]) -> str:
    """The page for a browser, in the style of a sweep's report; it works offline and runs no program."""
    import jinja2
    import markupsafe

    from smac_jax.sweep.report import PAGE, facts

    columns, sources = columns_of(boards), sources_of(boards)
    sections = []
    for shown in boards:
        published, best = has_published(shown), best_rows(shown, columns)
        marked = [
            [(text, 0 < j <= len(columns) and best.get(columns[j - 1]) == i) for j, text in enumerate(texts)]
            for i, texts in enumerate(cells(row, columns, sources, published) for row in shown.rows)
        ]
        sections.append({"board": shown, "header": header(columns, published), "rows": marked})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("leaderboard.html").render(
        says=SAYS,
        scale=provenance.get("scale", ""),
        facts=facts(provenance),
        sections=sections,
        sources=[(source, _sentence(source.protocol)) for source in sources],
        style=markupsafe.Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def print_boards(boards: Sequence[Board], elsewhere: str) -> None:
    """Prints the tables, as wide as the terminal lets them be, and the sources."""
    columns, sources = columns_of(boards), sources_of(boards)
    console = console_for_tables()
    for shown in boards:
        published = has_published(shown)
        heads = header(columns, published)
        # where there is little room, the columns on the right are left out first
        made = [
            Column(head, head.replace("published ", "published\n"), rank=i + 1 if i > 1 else 0)
            for i, head in enumerate(heads)
        ]
        made[0] = Column(heads[0], justify="left")
        texts = [[cells(row, columns, sources, published, short) for short in (False, True)] for row in shown.rows]
        rows = [[Cell(*pair) for pair in zip(*of_row, strict=True)] for of_row in texts]
        console.print(FittedTable(made, rows, shown.title, elsewhere=elsewhere))
        if shown.note:
            console.print(Text(shown.note, style="dim"))
    for i, source in enumerate(sources, 1):
        console.print(Text(f"({i}) {source.citation}. {_sentence(source.protocol)}", style="dim"))
    console.print(Text(SAYS))


def _ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.rank, reverse=True))


def _mean_over_data(groups: Sequence[PerSeed]) -> Interval:
    def mean(*groups: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([group.mean(axis=axis) for group in groups], axis=0)

    finite = [group[np.isfinite(group)] for group in groups]
    return stratified_interval(finite, mean) if all(map(len, finite)) else Interval(*[math.nan] * 3)


def _measured(score: Interval, short: bool) -> str:
    mean, low, high = score
    if math.isnan(mean):
        return NOTHING
    return f"{mean:.1f}" if short or math.isnan(low) else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _score(score: Score, short: bool) -> str:
    return f"{score.mean:.1f}" if short else f"{score.mean:.1f} ± {score.std:.1f}"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
