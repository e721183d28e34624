"""The table of fits: one row per planned fit, whether or not it has a result."""

from __future__ import annotations

import pandas as pd

from runner.journal.frames import COLUMNS
from runner.planning.plan import Plan

VARYING = ("seconds", "worker")
"""Columns of the fits that may differ between equal runs; they come last."""


def fits_table(plan: Plan, journal: pd.DataFrame) -> pd.DataFrame:
    """One row per planned fit: its keys and levels, status and reason, final metrics, epochs, seconds, worker.

    If fits may stop early, the epoch of each fit's result is in ``best_epoch``; else that is its last.
    Repeats and folds count from 1, as everywhere that users read them; those of the plan and the journal from 0.
    `journal` is the journal's frame of fits; fits that are not planned are left out.
    """
    cells = {cell.id: cell for cell in plan.cells}
    rows = [
        (fit, cells[cell].name, *cells[cell].levels.values(), repeat + 1, fold + 1)
        for fit, cell, repeat, fold in plan.fit_keys()
    ]
    columns = ["id", "cell", *plan.factors, "repeat", "fold"]
    # A fit that was trained again has two lines in the journal, and the later one counts.
    # Cell, repeat and fold are taken from the plan: the journal's `cell` is an id, that of the tables a name.
    latest = journal[[name for name in COLUMNS if name not in ("cell", "repeat", "fold")]]
    # A fit that was not measured by a metric has no value of it.
    measures = {m.name: journal.get(m.journal_key, float("nan")) for m in plan.measures}
    latest = latest.assign(**measures).drop_duplicates("id", keep="last")
    table = pd.DataFrame(rows, columns=columns).merge(latest, on="id", how="left")
    table["status"] = table["status"].fillna("missing")
    table["reason"] = table["reason"].fillna("")
    # The left join turns the integers into floats if a fit is missing.
    table["best_epoch"] = result_epochs(table).fillna(0).astype("int64")
    table["epochs"] = table["epochs"].fillna(0).astype("int64")
    best = ["best_epoch"] if plan.stops else []
    return table[[*columns, "status", "reason", *plan.metrics, "epochs", *best, *VARYING]]


def result_epochs(fits: pd.DataFrame) -> pd.Series:
    """The epoch that each fit's result is from: the one that it chose, else its last."""
    return fits["best_epoch"].where(fits["best_epoch"] > 0, fits["epochs"])
