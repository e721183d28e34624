"""Which cells were still getting better when their training ended."""

from __future__ import annotations

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import corrected_t_test
from runner.reporting.statistics.metric_test import binomial_std

LAST_PART = 10
"""The rise is that of the last tenth of the epochs, at least that of the last one."""
LEAST_RISE = 0.001
"""A smaller rise, in accuracy, is not worth more epochs."""
FALSE_SHARE = 0.05
"""Of the cells that are said to rise, at most this share do not, on average (Benjamini and Hochberg 1995)."""


def last_epochs(epochs: pd.Series) -> pd.Series:
    """Over how many epochs at the end of a fit of so many epochs its rise is measured."""
    return np.maximum(1, epochs // LAST_PART)


def rising_table(plan: Plan, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, by its name: `rise` of the validation accuracy in the last epochs, `rising` if that is real.

    `curves` has id, cell, repeat, fold, epoch and val_accuracy of the good fits, each fit's epochs in order. The rise
    is the mean over the fits. It is real if the corrected t-test over the fits finds it above 0, one-sided, with the
    share of false findings among all cells at most FALSE_SHARE, and if it is at least LEAST_RISE. Fits that ended
    before their last planned epoch do not count, nor those of one epoch.
    """
    planned = {cell.name: cell.settings.training.epochs for cell in plan.cells}
    total = curves.groupby("id", sort=False)["epoch"].transform("last")
    whole = curves[(total == curves["cell"].map(planned)) & (total > 1)]
    total = total.loc[whole.index]
    before = whole[whole["epoch"] == total - last_epochs(total)].set_index("id")["val_accuracy"]
    last = whole[whole["epoch"] == total].set_index("id")
    last = last.assign(rise=last["val_accuracy"] - before)
    cells = list(dict.fromkeys(curves["cell"]))
    values = np.full((len(cells), plan.folds * plan.repeats), np.nan)
    places = pd.Index(cells).get_indexer(last["cell"]), (last["repeat"] * plan.folds + last["fold"]).to_numpy(np.int64)
    values[places] = last["rise"]
    images = plan.validation_images
    least = binomial_std(values[:, None], np.full((len(cells), 1), True), images, plan.folds) if images else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        test = corrected_t_test(values, plan.test_train_ratio, least_std=least)
    one_sided = np.where(test["t"] > 0, test["p"] / 2, 1 - test["p"] / 2)
    rising = _found(one_sided) & (test["mean"] >= LEAST_RISE)
    return pd.DataFrame({"rise": test["mean"], "rising": rising}, index=pd.Index(cells, name="cell"))


def _found(p_values: np.ndarray) -> np.ndarray:
    """Which tests of `p_values` (n,) find something, by Benjamini and Hochberg; nan finds nothing and is no test."""
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    below = p_values[order] <= FALSE_SHARE * np.arange(1, len(order) + 1) / max(len(order), 1)
    found = np.zeros(len(p_values), np.bool_)
    found[order[: 1 + max(np.flatnonzero(below), default=-1)]] = True
    return found
