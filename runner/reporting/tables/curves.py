"""How the fits learned: mean curves by level, the gap between training and validation, the time to an accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from runner.fits.metrics import CURVES, find_metric
from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.statistics.effects import averaged
from runner.reporting.statistics.metric_matrix import MetricMatrix
from runner.reporting.tables.fits import result_epochs
from runner.reporting.tables.rising import rising_table


def curves_table(plan: Plan, frames: Frames, matrix: MetricMatrix) -> pd.DataFrame:
    """One row per epoch of each level of each factor: the mean of every curve and its band, NAME_low and NAME_high.

    The curves of a factor are those of the fits that `levels_table` averages, and `balanced` is its column, so that
    the curves end at its means: `matrix` is the one that it gets, and says how many repeats count. They end elsewhere
    if fits have different numbers of epochs, as each epoch is averaged over the fits that reached it.
    The fits of each (repeat, fold) are averaged first; the band is one standard deviation of these averages on either
    side of their mean, within what is possible (nan if there is only one). `fits` counts the fits that reached that
    epoch. Without factors, factor and level are "". If fits may stop early, a level also has the mean epoch of its
    fits' results, best_epoch, and the mean of the plan's curve in them, METRIC_best.
    """
    # Merging onto the plan gives its order, whatever the journal's, and leaves out fits of other plans.
    planned = planned_fits(plan)
    rows = planned[planned["repeat"] < matrix.values.shape[1] // plan.folds].merge(frames.curves, on="id")
    if plan.stops:
        rows = rows.merge(frames.fits[["id"]].assign(best_epoch=result_epochs(frames.fits)), on="id")
    position = {cell.name: position for position, cell in enumerate(matrix.cells)}
    cells = rows["cell"].map(position).to_numpy(dtype=np.int64)
    values = (rows["repeat"] * plan.folds + rows["fold"]).to_numpy(dtype=np.int64)
    tables = []
    for factor in plan.factors or ("",):
        over = averaged(plan, matrix, (factor,) if factor else ())
        levels = np.array([level for level, *_ in over.combinations] if factor else [""], dtype=object)
        # A factor may have the name of a column of `rows`, so its levels go into a column of their own.
        part = rows.assign(level=levels[over.code[cells]])[over.values[cells, values]]
        tables.append(_by_level(part, factor, plan).assign(balanced=over.balanced))
    bands = (f"{name}{end}" for name in CURVES for end in ("", "_low", "_high"))
    table = pd.concat(tables, ignore_index=True)
    results = ("best_epoch", f"{plan.curve}_best") if plan.stops else ()
    return table.reindex(columns=["factor", "level", "epoch", "fits", *bands, "balanced", *results])


def planned_fits(plan: Plan) -> pd.DataFrame:
    """One row per planned fit: id, cell (its name), repeat, fold."""
    names = {cell.id: cell.name for cell in plan.cells}
    rows = [(fit, names[cell], repeat, fold) for fit, cell, repeat, fold in plan.fit_keys()]
    return pd.DataFrame(rows, columns=["id", "cell", "repeat", "fold"])


def _by_level(rows: pd.DataFrame, factor: str, plan: Plan) -> pd.DataFrame:
    """The mean curves of one factor's levels, in the order in which they occur."""
    keys = ["level", "epoch"]
    # Averaging over the cells first makes the band show the spread between splits, not between cells.
    averages = rows.groupby([*keys, "repeat", "fold"], sort=False)[list(CURVES)].mean()
    by_epoch = averages.groupby(keys, sort=False)
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=1)
    lowest, highest = np.array([find_metric(name).limits() for name in CURVES]).T
    # Of the arrays: the same of frames takes a hundred times as long.
    ends = {"_low": mean.to_numpy() - spread.to_numpy(), "_high": mean.to_numpy() + spread.to_numpy()}
    bands = [
        pd.DataFrame(np.clip(end, lowest, highest), mean.index, mean.columns).add_suffix(name)
        for name, end in ends.items()
    ]
    table = pd.concat([mean, *bands], axis=1)
    table.insert(0, "fits", rows.groupby(keys, sort=False).size())
    # Fits may have different numbers of epochs, so an epoch may first occur after those of the next level.
    order = {level: position for position, level in enumerate(rows["level"].unique())}
    table = table.reset_index().sort_values(keys, key=lambda c: c.map(order) if c.name == "level" else c)
    table.insert(0, "factor", factor)
    return table.join(_results(rows, plan.curve), on="level") if plan.stops else table


def _results(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By level, the mean epoch of its fits' results and the mean of the metric in them."""
    results = rows[rows["epoch"] == rows["best_epoch"]].assign(**{f"{metric}_best": lambda frame: frame[metric]})
    averages = results.groupby(["level", "repeat", "fold"], sort=False)[["best_epoch", f"{metric}_best"]].mean()
    return averages.groupby("level", sort=False).mean()


def learning_table(plan: Plan, frames: Frames, target: float | None = None) -> pd.DataFrame:
    """One row per cell: the gap between training and validation, and the time to a validation accuracy.

    `accuracy_gap` is training minus validation accuracy in the fits' results, `loss_gap` validation minus training
    loss: means over the good fits, positive if the networks do better on their training images. `reached` counts the
    fits that ever reach `target`, an accuracy in 0..1. Its default is 95% of the best cell's accuracy in its results,
    rounded down to a whole percent. `epochs_to_target` and `seconds_to_target` are medians over the good fits,
    nan unless more than half of them reach it; every epoch of a fit is taken to last equally long. `rise` and `rising`
    are those of `rising_table`.
    """
    facts = frames.fits[["id", "seconds", "epochs"]].assign(result=result_epochs(frames.fits))
    rows = planned_fits(plan).merge(frames.curves, on="id").merge(facts, on="id")
    last = rows[rows["epoch"] == rows["result"]].set_index("id")
    best = last.groupby("cell")["val_accuracy"].mean().max()
    goal = np.floor(95 * best) / 100 if target is None else target
    # A fit that never reaches it has no row left; reindex gives it nan.
    first = rows[rows["val_accuracy"] >= goal].groupby("id")["epoch"].min().reindex(last.index)
    # Fits that never reach it count as infinite, which is exact for a median while they are fewer than half.
    fits = last.assign(
        accuracy_gap=last["train_accuracy"] - last["val_accuracy"],
        loss_gap=last["val_loss"] - last["train_loss"],
        reached=first.notna(),
        epochs_to_target=first.fillna(np.inf),
        seconds_to_target=(first * last["seconds"] / last["epochs"]).fillna(np.inf),
    ).groupby("cell", sort=False)
    still = rising_table(plan, rows)
    return pd.DataFrame(
        {
            "fits": fits.size(),
            "accuracy_gap": fits["accuracy_gap"].mean(),
            "loss_gap": fits["loss_gap"].mean(),
            "rise": still["rise"],
            "rising": still["rising"],
            "target": goal,
            "reached": fits["reached"].sum(),
            "epochs_to_target": fits["epochs_to_target"].median().replace(np.inf, np.nan),
            "seconds_to_target": fits["seconds_to_target"].median().replace(np.inf, np.nan),
        }
    ).reset_index()
