"""Listings as LaTeX tables with booktabs, ready for \\input."""

from __future__ import annotations

import pandas as pd

from runner.reporting.text import numbers
from runner.reporting.text.listing import TextTable

SYMBOLS = {numbers.MINUS: "$-$", "×": r"$\times$", "–": "--", "→": r"$\rightarrow$"}
"""What LaTeX fonts may lack, and how it is written there."""


def latex(listing: TextTable) -> str:
    """The listing as a table float; needs ``\\usepackage{booktabs}``. Special characters in names are escaped."""
    # Titles may occur twice (a class can be called like a column), so the frame's own columns are numbers.
    frame = pd.DataFrame(listing.texts(), columns=range(len(listing.columns)))
    table = frame.to_latex(
        index=False,
        escape=True,
        header=[_escaped(column.title) for column in listing.columns],
        column_format="".join("l" if column.text else "r" for column in listing.columns),
        caption=_escaped(listing.title),
        label=f"tab:{listing.name}",
        position="htbp",
    )
    for symbol, written in SYMBOLS.items():
        table = table.replace(symbol, written)
    return f"% {listing.note}\n{table}"


def _escaped(text: str) -> str:
    """A caption or a title, which pandas takes as LaTeX."""
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
