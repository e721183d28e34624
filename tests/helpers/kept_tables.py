"""Compares the tables of a report with those that were kept, perhaps made on another processor."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def assert_kept_tables(made: Path, kept: Path) -> None:
    """Both reports have the same tables, but for digits beyond the twelfth.

    NumPy's exp and log take other instructions, which round otherwise, where the processor has AVX-512.
    """
    tables = sorted(path.name for path in (kept / "tables").glob("*.csv"))
    assert tables == sorted(path.name for path in (made / "tables").glob("*.csv"))
    for name in tables:
        one, other = (pd.read_csv(report / "tables" / name) for report in (made, kept))
        pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=0, obj=name)
