"""Tables that fit the terminal that they are printed to: no cell is broken, and what there is no room for is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

LOG_WIDTH = 100
"""Width of a table that goes to no terminal."""
WRAPPED = 20
"""Width that words are wrapped to, at least."""


class Column(NamedTuple):
    """A column.

    Attributes:
      head: at its top.
      short: the same where there is little room; default: as it is.
      justify: which side its cells stand at.
      rank: columns of a higher rank go first where there is too little room; those of 1 and 2 go only where wrapped
        words are not enough, and those of 0 stay.
      wraps: cells are words that may go over several lines. Others are never broken.
    """

    head: str
    short: str = ""
    justify: Literal["left", "right"] = "right"
    rank: int = 0
    wraps: bool = False


class Cell(NamedTuple):
    """What stands in a cell, and what does where there is little room."""

    text: str | Text
    short: str | Text | None = None


class FittedTable:
    """A table for ``rich``, as wide as the terminal lets it be.

    Where it is too wide, in this order: shorter cells and heads; no frame; columns left out, those of the highest rank
    first, with a line that names them; and, before the last of them, words of cells that may wrap on several lines.

    Args:
      columns: from left to right.
      rows: a cell each.
      title: above.
      elsewhere: where columns that were left out can be found, for the line that names them.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Cell | str | Text]],
        title: str | Text = "",
        elsewhere: str = "",
    ):
        self._columns, self._title, self._elsewhere = columns, title, elsewhere
        self._rows = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, left_out = self._fitting(console, options)
        # not the table's own: rich would break it where the table is narrow
        if self._title:
            yield Text(self._title, style="italic") if isinstance(self._title, str) else self._title
        yield table
        if left_out:
            place = f" (see {self._elsewhere})" if self._elsewhere else ""
            yield Text(f"Left out, for want of room: {', '.join(left_out)}{place}.", style="dim")

    def _fitting(self, console: Console, options: ConsoleOptions) -> tuple[Table, list[str]]:
        """The widest table that fits, else the narrowest; and the heads that it leaves out."""
        for found in self._ever_narrower():
            table, _, wrapped = found
            needed = table.__rich_measure__(console, options.update(width=10_000)).maximum
            if needed - (self._saved_by_wrapping() if wrapped else 0) <= options.max_width:
                break
        return found[:2]

    def _saved_by_wrapping(self) -> int:
        """Columns of the terminal that are saved where words wrap, but into no lines of a word or two."""
        saved = 0
        for i, column in enumerate(self._columns):
            if column.wraps:
                texts = [column.head, *(str(row[i].text) for row in self._rows)]
                word = max(cell_len(word) for text in texts for word in text.split() or [""])
                saved += max(0, max(map(cell_len, texts)) - max(word, WRAPPED))
        return saved

    def _ever_narrower(self) -> Iterator[tuple[Table, list[str], bool]]:
        """Tables, the heads that they leave out, and whether words wrap."""
        shown = list(range(len(self._columns)))
        yield self._table(shown, short=False, framed=True), [], False
        yield self._table(shown, short=True, framed=True), [], False
        yield self._table(shown, short=True, framed=False), [], False
        ranked = sorted((i for i in shown if self._columns[i].rank), key=lambda i: -self._columns[i].rank)
        for i in (i for i in ranked if self._columns[i].rank > 2):
            shown = [j for j in shown if j != i]
            yield self._table(shown, short=True, framed=False), self._heads_without(shown), False
        yield self._table(shown, short=True, framed=False), self._heads_without(shown), True
        for i in (i for i in ranked if self._columns[i].rank <= 2):
            shown = [j for j in shown if j != i]
            yield self._table(shown, short=True, framed=False), self._heads_without(shown), True

    def _heads_without(self, shown: Sequence[int]) -> list[str]:
        return [column.head for i, column in enumerate(self._columns) if i not in shown]

    def _table(self, shown: Sequence[int], short: bool, framed: bool) -> Table:
        table = Table() if framed else Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for i in shown:
            column = self._columns[i]
            head = column.short if short and column.short else column.head
            # the newlines of a head are its own; rich breaks what wraps between words, or folds it
            table.add_column(Text(head), justify=column.justify, no_wrap=not column.wraps, overflow="fold")
        for row in self._rows:
            cells = (row[i] for i in shown)
            # Text: a name may hold what looks like markup
            texts = (cell.short if short and cell.short is not None else cell.text for cell in cells)
            table.add_row(*(Text(text) if isinstance(text, str) else text for text in texts))
        return table


def console_for_tables() -> Console:
    """Standard output, and :data:`LOG_WIDTH` wide where that is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)
