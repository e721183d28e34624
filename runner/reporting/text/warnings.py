"""What a reader should be wary of before believing any figure, in sentences: first in a report, last in a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from runner.planning.class_balance import LargestClass, largest_class
from runner.planning.plan import Plan
from runner.planning.plan_warnings import plan_warnings
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.statistics.metric_test import metric_test
from runner.reporting.tables.recall import class_counts
from runner.reporting.tables.rising import LAST_PART
from runner.reporting.tables.study_tables import Tables
from runner.reporting.text.numbers import interval, number
from runner.reporting.text.sentences import enumeration
from runner.text import plural

ACCURACY = "val_accuracy"


def warnings(plan: Plan, tables: Tables) -> list[str]:
    """The sentences, what makes all others doubtful first; none if there is nothing to say."""
    counts = known_counts(plan, tables)
    largest = largest_class(plan.data.get("class_names", ()), counts)
    planned = replace(plan, data={**plan.data, "class_counts": counts})
    return [
        *(_no_better_than_chance(plan, tables, largest) if largest else ()),
        *_diverged(tables),
        *plan_warnings(planned),
        *_still_rising(plan, tables.learning),
    ]


def known_counts(plan: Plan, tables: Tables) -> list[int]:
    """The number of images of each class; none if it is unknown."""
    cells = tables.cells
    return class_counts(plan, tables.recall, list(cells.loc[cells["ok"] == cells["fits"], "cell"]))


def _no_better_than_chance(plan: Plan, tables: Tables, largest: LargestClass) -> Iterator[str]:
    """Of the cells whose 95% interval of accuracy does not lie above the share of the largest class."""
    accuracy = _accuracies(plan, tables)
    accuracy = accuracy[accuracy["low"].notna()]
    doubtful = accuracy[accuracy["low"] <= largest.share]
    if doubtful.empty:
        return
    share = f"'{largest.name}', {number(ACCURACY, largest.share)}% of the images"
    if len(doubtful) < len(accuracy):
        count = f"{len(doubtful):,} of {plural(len(accuracy), 'cell')} {'is' if len(doubtful) == 1 else 'are'}"
        names = enumeration(list(doubtful["cell"]))
        yield f"{count} not shown to be better than always naming the largest class ({share}): {names}"
        return
    best = accuracy.loc[accuracy["mean"].idxmax()]
    reached = f"{number(ACCURACY, best['mean'])}% (95% interval {interval(ACCURACY, best['low'], best['high'])})"
    yield f"no cell is shown to be better than always naming the largest class ({share}): {best['cell']} has {reached}"


def _accuracies(plan: Plan, tables: Tables) -> pd.DataFrame:
    """Each cell's mean accuracy with its corrected 95% interval: cell, mean, low, high."""
    cells = tables.cells
    if plan.metric == ACCURACY:
        return cells[["cell", "mean", "ci_low", "ci_high"]].set_axis(["cell", "mean", "low", "high"], axis=1)
    plan = replace(plan, metric=ACCURACY)
    matrix = metric_matrix(plan, tables.fits)
    found = metric_test(plan, matrix.values)
    return pd.DataFrame(
        {"cell": [cell.name for cell in matrix.cells], **{k: found[k] for k in ("mean", "low", "high")}}
    )


def _diverged(tables: Tables) -> Iterator[str]:
    fits = tables.fits
    diverged = fits[(fits["status"] == "failed") & fits["reason"].str.startswith("diverged")]
    if len(diverged):
        cells = enumeration(list(dict.fromkeys(diverged["cell"])))
        of = f"{len(diverged):,} of {plural(len(fits), 'fit')}"
        yield f"training diverged in {of} ({cells}); means are over the others, which flatters these cells"


def _still_rising(plan: Plan, learning: pd.DataFrame) -> Iterator[str]:
    known = learning[learning["rise"].notna()]
    rising = known[known["rising"].astype(np.bool_)]
    if rising.empty:
        return
    most = rising.loc[rising["rise"].idxmax()]
    epochs = {cell.name: cell.settings.training.epochs for cell in plan.cells}[str(most["cell"])]
    last = "last epoch" if epochs < 2 * LAST_PART else f"last {epochs // LAST_PART} epochs"
    points = number(ACCURACY, float(most["rise"]), sign=True)
    yield (
        f"accuracy was still rising when training ended in {len(rising):,} of {plural(len(known), 'cell')} (most in "
        f"{most['cell']}: {points} points in the {last}); with more epochs, the comparison may come out otherwise"
    )
