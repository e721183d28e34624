"""How results look to Python users: text where Python prints them, HTML in a notebook."""

from __future__ import annotations

import html
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.text import one_line

MOST_ROWS = 60
"""A longer table is cut after so many rows, as a frame of pandas is; the frames have them all."""


@dataclass(frozen=True)
class Table:
    """A table of texts. The first `texts` columns are words, on the left, the others numbers, on the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1

    @property
    def cut(self) -> str:
        """The line below a table that is cut; "" if it is whole."""
        return f"... and {len(self.rows) - MOST_ROWS:,} more rows" if len(self.rows) > MOST_ROWS else ""


class Shown:
    """Base of what displays itself as lines of text and tables."""

    def shown(self) -> Iterable[str | Table]:
        """The parts, in order; "" is an empty line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n".join(_table_text(part) if isinstance(part, Table) else one_line(part) for part in self.shown())

    def _repr_html_(self) -> str:
        return "\n".join(_table_html(part) if isinstance(part, Table) else _line_html(part) for part in self.shown())


def _table_text(table: Table) -> str:
    """The table in aligned columns; on a terminal, the last columns that do not fit are left out and named."""
    rows = [[one_line(text) for text in row] for row in (table.columns, *table.rows[:MOST_ROWS])]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    visible, room = len(widths), shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    while visible > table.texts + 1 and sum(widths[:visible]) + visible - 1 > room:
        visible -= 1

    def line(row: Sequence[str]) -> str:
        gaps = (" " * (width - _width(text)) for text, width in zip(row[:visible], widths, strict=False))
        pairs = zip(row, gaps, strict=False)
        return " ".join(text + gap if i < table.texts else gap + text for i, (text, gap) in enumerate(pairs)).rstrip()

    left_out = f"(too narrow for: {', '.join(table.columns[visible:])})" if visible < len(widths) else ""
    return "\n".join([*map(line, rows), *filter(None, [table.cut, left_out])])


def _width(text: str) -> int:
    """How many columns of a terminal the text takes; characters of some scripts take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _table_html(table: Table) -> str:
    def row(tag: str, texts: Sequence[str]) -> str:
        sides = ("left" if index < table.texts else "right" for index in range(len(texts)))
        starts = (f"<{tag} style='text-align: {side}'>" for side in sides)
        return "".join(["<tr>", *(f"{a}{_escape(b)}</{tag}>" for a, b in zip(starts, texts, strict=True)), "</tr>"])

    body = "\n".join(row("td", texts) for texts in table.rows[:MOST_ROWS])
    head = f"<thead>{row('th', table.columns)}</thead>"
    return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>{_line_html(table.cut)}"


def _line_html(text: str) -> str:
    return f"<p>{_escape(text)}</p>" if text else ""


def _escape(text: str) -> str:
    # A notebook's page also draws what stands between dollar signs as a formula.
    return html.escape(one_line(text)).replace("$", "&#36;")
