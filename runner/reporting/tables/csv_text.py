"""A table as the text of a CSV file that pandas and its like read back with all its names."""

from __future__ import annotations

import pandas as pd

READ_AS_MISSING = frozenset(
    "NA N/A n/a #NA #N/A <NA> NULL null None NaN nan -NaN -nan 1.#IND -1.#IND 1.#QNAN -1.#QNAN".split()  # noqa: SIM905
) | {"#N/A N/A"}
"""Words that `pandas.read_csv` takes for a missing value, so that a group-by drops what has such a name."""


def csv_text(table: pd.DataFrame) -> str:
    """The rows, numbers with all their digits. A name of READ_AS_MISSING is in single quotes: ``'null'``."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    quoted = texts.mask(texts.isin(READ_AS_MISSING), "'" + texts.astype(str) + "'")
    # The default line terminator is that of the platform, and the files are to be equal on all of them.
    written = table.assign(**{str(name): column for name, column in quoted.items()})
    return str(written.to_csv(index=False, lineterminator="\n"))
