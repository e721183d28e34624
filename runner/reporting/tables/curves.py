"""How the fits learned: curves averaged by level, the gap between training and validation, time to an accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from runner.fits.metrics import CURVES
from runner.journal.frames import Frames
from runner.planning.plan import Plan


def curves_table(plan: Plan, frames: Frames) -> pd.DataFrame:
    """A row an epoch of each level of each factor: every curve's mean and, as NAME_low and NAME_high, its band.

    The fits of a (repeat, fold) are averaged first; the band is one standard deviation of these averages on either
    side of their mean (nan where there is one alone). `fits` counts the fits that got as far as that epoch. Where
    there is no factor, factor and level are "".
    """
    rows = planned_fits(plan).merge(frames.curves, on="id")
    levels = {cell.name: cell.levels for cell in plan.cells}
    tables = [
        _by_level(rows.assign(level=[levels[cell][factor] for cell in rows["cell"]]), factor) for factor in plan.factors
    ]
    bands = (f"{name}{end}" for name in CURVES for end in ("", "_low", "_high"))
    found = pd.concat(tables or [_by_level(rows.assign(level=""), "")], ignore_index=True)
    return found.reindex(columns=["factor", "level", "epoch", "fits", *bands])


def planned_fits(plan: Plan) -> pd.DataFrame:
    """A row a planned fit: id, cell (its name), repeat, fold."""
    names = {cell.id: cell.name for cell in plan.cells}
    rows = [(fit, names[cell], repeat, fold) for fit, cell, repeat, fold in plan.fit_keys()]
    return pd.DataFrame(rows, columns=["id", "cell", "repeat", "fold"])


def _by_level(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The curves of one factor's levels, in the order in which they occur."""
    keys = ["level", "epoch"]
    averages = rows.groupby([*keys, "repeat", "fold"], sort=False)[list(CURVES)].mean()
    by_epoch = averages.groupby(keys, sort=False)
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=1)
    table = pd.concat([mean, (mean - spread).add_suffix("_low"), (mean + spread).add_suffix("_high")], axis=1)
    table.insert(0, "fits", rows.groupby(keys, sort=False).size())
    order = {level: place for place, level in enumerate(rows["level"].unique())}
    table = table.reset_index().sort_values(keys, key=lambda c: c.map(order) if c.name == "level" else c)
    table.insert(0, "factor", factor)
    return table


def learning_table(plan: Plan, frames: Frames, target: float | None = None) -> pd.DataFrame:
    """A row a cell: how far training and validation part, and how long a validation accuracy takes.

    `accuracy_gap` is training minus validation accuracy after the last epoch, `loss_gap` validation minus training
    loss: means over the good fits, positive where a network does better on what it has seen. `reached` counts the
    fits that ever reach `target`, an accuracy in 0..1; by default 95% of the best cell's last one, in whole percents.
    `epochs_to_target` and `seconds_to_target` are medians over the good fits; nan where fewer than half of them reach
    it. An epoch's share of a fit's seconds is one in its epochs.
    """
    rows = (
        planned_fits(plan)[["id", "cell"]].merge(frames.curves, on="id").merge(frames.fits[["id", "seconds"]], on="id")
    )
    by_fit = rows.groupby("id", sort=False)
    last = by_fit.last()
    best = last.groupby("cell")["val_accuracy"].mean().max()
    goal = np.floor(95 * best) / 100 if target is None else target
    first = rows[rows["val_accuracy"] >= goal].groupby("id")["epoch"].min().reindex(last.index)
    fits = last.assign(
        accuracy_gap=last["train_accuracy"] - last["val_accuracy"],
        loss_gap=last["val_loss"] - last["train_loss"],
        reached=first.notna(),
        epochs_to_target=first.fillna(np.inf),
        seconds_to_target=(first * last["seconds"] / last["epoch"]).fillna(np.inf),
    ).groupby("cell", sort=False)
    return pd.DataFrame(
        {
            "fits": fits.size(),
            "accuracy_gap": fits["accuracy_gap"].mean(),
            "loss_gap": fits["loss_gap"].mean(),
            "target": goal,
            "reached": fits["reached"].sum(),
            "epochs_to_target": fits["epochs_to_target"].median().replace(np.inf, np.nan),
            "seconds_to_target": fits["seconds_to_target"].median().replace(np.inf, np.nan),
        }
    ).reset_index()
