"""Text tables as LaTeX tables with booktabs, ready for \\input."""

from __future__ import annotations

import re

import pandas as pd

from runner.reporting.text import numbers
from runner.reporting.text.text_tables import TextTable

LATEX_SYMBOLS = {
    numbers.MINUS: "$-$", "×": r"$\times$", "–": "--", "→": r"$\rightarrow$", numbers.SURVIVORS: r"\dag{}",
}  # fmt: skip
"""The characters that LaTeX fonts may lack, and the commands for them."""


def latex(table: TextTable) -> str:
    """The table as a float; needs ``\\usepackage{booktabs}``. Special characters in names are escaped."""
    # Two titles may be equal (a class can have the name of a column), so the frame's columns are numbered instead.
    frame = pd.DataFrame(table.texts(), columns=range(len(table.columns)))
    source = frame.to_latex(
        index=False,
        escape=True,
        # pandas' escape applies neither to a list of titles nor to the caption.
        header=[_escape(column.title) for column in table.columns],
        column_format="".join("l" if column.is_text else "r" for column in table.columns),
        caption=_escape(table.title),
        label=f"tab:{table.name}",
        position="htbp",
    )
    # In a row's first entry, LaTeX takes these for an option of the command that ended the row before.
    source = re.sub(r"^(?=[\[*])", "{}", source, flags=re.MULTILINE)
    # After pandas has escaped the text: it would escape these commands, too.
    for symbol, command in LATEX_SYMBOLS.items():
        source = source.replace(symbol, command)
    # A comment ends with its line, so a note must not have a line break.
    return f"% {' '.join(table.note.splitlines())}\n{source}"


def _escape(text: str) -> str:
    """A caption or a title, which pandas does not escape."""
    # These are our own words, in which a backslash, ~ and ^ do not occur.
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
