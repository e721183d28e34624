"""The sentence on the best cell: its mean, and how many cells may be the best in its place."""

from __future__ import annotations

import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.comparisons import MAX_COMPARED
from runner.reporting.text.numbers import number
from runner.reporting.text.sentences import enumeration
from runner.text import plural


def sentence(plan: Plan, cells: pd.DataFrame) -> str:
    """``stages=2, avg_pool has the highest mean, 91.20%; 3 of 12 cells may be the best.``; "" without results.

    `cells` is the table of cells. A cell may be the best if no other is significantly better.
    """
    known = cells[cells["mean"].notna()] if len(cells) else cells
    if known.empty:
        return ""
    metric = plan.measure
    top = known["mean"].max() if metric.higher_is_better else known["mean"].min()
    best = known[known["mean"] == top]
    names = enumeration([str(name) for name in best["cell"]])
    unit = "%" if metric.value_unit == "%" else f" {metric.value_unit}".rstrip()
    mean = f"{number(plan.measure, top)}{unit}{_survivors(best)}"
    if len(cells) == 1:
        return f"{names} is the only cell; its mean {metric.words} is {mean}."
    extreme = "highest" if metric.higher_is_better else "lowest"
    return (
        f"{names} {'has' if len(best) == 1 else 'have'} the {extreme} mean {metric.words}, {mean}{_rank(cells, known)}."
    )


def _survivors(best: pd.DataFrame) -> str:
    """How many fits the mean rests on, if some failed or did not run."""
    if len(best) > 1 or (best["ok"] >= best["fits"]).all():
        return ""
    return f" over {int(best['ok'].iloc[0])} of its {plural(int(best['fits'].iloc[0]), 'fit')}"


def _rank(cells: pd.DataFrame, known: pd.DataFrame) -> str:
    """How many cells may be the best, as far as it is known."""
    if len(known) == 1:
        return f", and is the only one of {plural(len(cells), 'cell')} with a result"
    if known["rank_low"].isna().all():
        return f"; which others may be the best is not tested for more than {plural(MAX_COMPARED, 'cell')}"
    candidates = int((known["rank_low"] == 1).sum())
    if candidates == 1:
        return "; no other cell may be the best"
    whole = f"{len(known):,} cells" if len(known) == len(cells) else f"{len(known):,} cells with results"
    return f"; {candidates:,} of {whole} may be the best"
