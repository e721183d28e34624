"""A table as the text of a CSV file: pandas reads all its names back, and a spreadsheet runs none as a formula."""

from __future__ import annotations

import re
from functools import cache

import pandas as pd

READ_AS_MISSING = frozenset(
    "NA N/A n/a #NA #N/A <NA> NULL null None NaN nan -NaN -nan 1.#IND -1.#IND 1.#QNAN -1.#QNAN".split()  # noqa: SIM905
) | {"#N/A N/A"}
"""Words that `pandas.read_csv` takes for a missing value, so that a group-by drops what has such a name."""

# As in OWASP's "CSV Injection". Also after a semicolon, tab or line break, at which some spreadsheets split a line.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n]))(?= *[=+\-@＝＋－＠]|['\t\r\n])")
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)


def csv_text(table: pd.DataFrame) -> str:
    """The rows, numbers with all their digits, and texts and the columns' names as in `csv_name`."""
    written = table.copy(deep=False)  # columns are replaced, none is changed
    texts = table.dtypes.map(lambda kind: not pd.api.types.is_numeric_dtype(kind)).to_numpy()
    for index in texts.nonzero()[0]:
        values = [csv_name(value) if isinstance(value, str) else value for value in table.iloc[:, index]]
        written.isetitem(index, pd.Series(values, table.index, dtype=object))
    written.columns = pd.Index([csv_name(str(name)) for name in table.columns])
    # Python's csv module quotes a carriage return only if the line terminator has one; lines end in the same way on all
    # platforms.
    return str(written.to_csv(index=False, lineterminator="\r\n")).replace("\r\n", "\n")


@cache
def csv_name(text: str) -> str:
    """The text, with a single quote before what would be read as missing or run as a formula: ``'null``, ``'=1+1``.

    A negative number is no formula. A single quote gets another one, so that different texts stay different.
    """
    if text in READ_AS_MISSING:
        return f"'{text}"
    return text if _NEGATIVE.fullmatch(text) else _FORMULA.sub("'", text)
