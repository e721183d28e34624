"""What the commands share in printing: tables for a terminal, a file or a pipe, and how facts are written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from runner.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console


WIDE = 240
"""The width of a table that goes to a file or a pipe, where nothing is wrapped."""


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE, color_system=None)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> None:
    """Print a table; in a narrow terminal titles and text columns wrap between words, and the last numeric columns for
    which there is no room even then are left out and named.
    """
    columns, *rows = [[one_line(text) for text in row] for row in (columns, *rows)]
    # rich only where something has to be fitted: `runner plan` in a pipe does not even import it.
    if not sys.stdout.isatty() and _print_plainly([columns, *rows], text_columns):
        return
    from rich.table import Table
    from rich.text import Text

    console = _console()
    widths = _fit(columns, rows, text_columns, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, (column, width) in enumerate(zip(columns, widths, strict=False)):
        # Only a word that is wider than the terminal is cut.
        table.add_column(column, justify="left" if index < text_columns else "right", overflow="fold", width=width)
    for row in rows:
        # As Text: a name may contain brackets, which rich would take for markup in a plain string.
        table.add_row(*map(Text, row[: len(widths)]))
    console.print(table)
    if len(widths) < len(columns):
        print_line(f"(too narrow for: {', '.join(columns[len(widths) :])})")


def _fit(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, room: int) -> list[int]:
    """The widths of the columns that fit into `room`, with a space after each: all columns, or the first of them.

    A numeric column may be as narrow as its entries and the words of its title, a text column as its longest word.
    """
    from rich.cells import cell_len

    def longest(texts: Iterable[str]) -> int:
        return max(map(cell_len, texts), default=0)

    entries = [[row[index] for row in rows] for index in range(len(columns))]
    full = [longest([title, *column]) for title, column in zip(columns, entries, strict=True)]
    least = [
        longest(word for text in (title, *column) for word in text.split())
        if index < text_columns
        else max(longest(column), longest(title.split()))
        for index, (title, column) in enumerate(zip(columns, entries, strict=True))
    ]
    visible = len(columns)
    while visible > text_columns + 1 and sum(least[:visible]) + visible > room:
        visible -= 1
    widths, spare = least[:visible], room - sum(least[:visible]) - visible
    # What is left over first goes to the text columns, whose entries are the longest to read.
    for index in range(visible):
        more = max(min(full[index] - least[index], spare), 0)
        widths[index], spare = widths[index] + more, spare - more
    if spare < 0:  # not even the words fit
        widths[0] = max(widths[0] + spare, 8)
    return widths


def _print_plainly(rows: Sequence[Sequence[str]], text_columns: int) -> bool:
    """Print the same table without rich, a hundred times as fast; False if it has to wrap."""
    # Only text columns: the numeric ones are our own, and their × and – are one column wide.
    if not all(text.isascii() for row in rows for text in row[:text_columns]):
        return False  # some characters are two columns wide
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + len(widths) - 1 > WIDE:
        return False
    aligned = ["<" if index < text_columns else ">" for index in range(len(widths))]
    line = " ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    print("\n".join(line.format(*row) for row in rows))
    return True


def print_line(text: str) -> None:
    text = one_line(text)
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.text import Text

    _console().print(Text(text))  # a terminal wraps between words


def print_remark(text: str) -> None:
    """Print what is no part of the result: to stderr, so that stdout is the result alone."""
    if not sys.stderr.isatty():
        print(printable(text), file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text(printable(text)))  # a terminal wraps between words


def field_text(pair: tuple[float, float] | None) -> str:
    # A jump may be a fraction of a pixel.
    return "×".join(f"{side:g}" if isinstance(side, float) else str(side) for side in pair) if pair else "–"


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def count_text(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
