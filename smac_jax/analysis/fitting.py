"""Tables that fit the terminal: numbers are not wrapped, and columns without room are left out and named below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

LOG_WIDTH = 100
"""Width of a table if the output is not a terminal."""
WRAPPED = 20
"""The least width to which text is wrapped."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      head: the heading.
      short: the heading if there is little room; default: ``head``.
      justify: the alignment of its cells.
      rank: if there is too little room, columns with a higher rank are left out first. Columns of rank 1 and 2 are left
        out only if wrapping is not enough, and columns of rank 0 never.
      wraps: whether its cells may be wrapped to several lines.
    """

    head: str
    short: str = ""
    justify: Literal["left", "right"] = "right"
    rank: int = 0
    wraps: bool = False


class Cell(NamedTuple):
    """The text of a cell, and a shorter one for tables with little room."""

    text: str | Text
    short: str | Text | None = None


class FittedTable:
    """A table for ``rich`` that is at most as wide as the terminal.

    A table that is too wide is reduced in this order: shorter cells and headings; no frame; columns of rank above 2 are
    left out, the highest rank first; cells are wrapped; columns of rank 2 and 1 are left out. A line below the table
    names the missing columns.

    Args:
      columns: the columns from left to right.
      rows: the rows, with one cell for each column.
      title: the title above the table.
      elsewhere: the file with the complete table, named in the line about missing columns.
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
        # not rich's own title, which would be wrapped to the width of the table
        if self._title:
            yield Text(self._title, style="italic") if isinstance(self._title, str) else self._title
        yield table
        if left_out:
            place = f" (see {self._elsewhere})" if self._elsewhere else ""
            yield Text(f"Columns left out to fit: {', '.join(left_out)}{place}.", style="dim")

    def _fitting(self, console: Console, options: ConsoleOptions) -> tuple[Table, list[str]]:
        """Returns the widest table that fits, else the narrowest; and the headings that it leaves out."""
        for found in self._narrower_tables():
            table, _, wrapped = found
            needed = table.__rich_measure__(console, options.update(width=10_000)).maximum
            if needed - (self._saved_by_wrapping() if wrapped else 0) <= options.max_width:
                break
        return found[:2]

    def _saved_by_wrapping(self) -> int:
        """Returns the width that wrapping saves if no line becomes shorter than :data:`WRAPPED`."""
        saved = 0
        for i, column in enumerate(self._columns):
            if column.wraps:
                texts = [column.head, *(str(row[i].text) for row in self._rows)]
                word = max(cell_len(word) for text in texts for word in text.split() or [""])
                saved += max(0, max(map(cell_len, texts)) - max(word, WRAPPED))
        return saved

    def _narrower_tables(self) -> Iterator[tuple[Table, list[str], bool]]:
        """Tables of decreasing width, the headings that they leave out, and whether cells are wrapped."""
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
            # headings contain their own newlines; rich wraps other cells between words, or folds them
            table.add_column(Text(head), justify=column.justify, no_wrap=not column.wraps, overflow="fold")
        for row in self._rows:
            cells = (row[i] for i in shown)
            # Text, because a name may contain rich's markup
            texts = (cell.short if short and cell.short is not None else cell.text for cell in cells)
            table.add_row(*(Text(text) if isinstance(text, str) else text for text in texts))
        return table


def console_for_tables() -> Console:
    """Returns a console for standard output, with :data:`LOG_WIDTH` if it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)
