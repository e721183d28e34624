"""What a study's journal says of the variances that decide how small a difference is found; see `planning.power`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.planning.power import HIGH, Variances
from runner.reporting.statistics.comparisons import CROSSED, factor_pairs
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.tables.fits import fits_table


def measured_variances(plan: Plan, journal: Frames) -> dict[str, Variances]:
    """The mean over a factor's pairs of levels, by factor; without those that have no finished comparison."""
    matrix = metric_matrix(plan, fits_table(plan, journal.fits), journal)
    matrix = matrix.first(min(map(plan.repeats_of, plan.fits), default=plan.repeats), plan.folds)
    found = {factor: _of_factor(plan, factor, factor_pairs(plan, matrix, factor)) for factor in plan.factors}
    return {factor: variances for factor, variances in found.items() if variances}


def _of_factor(plan: Plan, factor: str, pairs: pd.DataFrame) -> Variances | None:
    known = pairs[pairs["variance"].notna()]
    if known.empty:
        return None
    column = {name: known[name].to_numpy(np.float64) for name in ("variance", "floor", "per_repeat", "n", "cells")}
    images, repeats = plan.data["size"], column["n"] / plan.folds
    # In a part of a grid, as many matched pairs as would tell equally much.
    cells = plan.subset.cells_a_level[factor] if plan.subset else column["cells"]
    if (known["method"] != CROSSED).any():
        # s^2 / K for each image: `Design.variance` adds the correction.
        return Variances(float(images * column["per_repeat"].mean()), 0.0, whole=True)
    # At least what the interval was made from, which is wider where a few repeats say little.
    fits = np.maximum(column["per_repeat"], repeats * (column["variance"] - column["floor"])) * cells
    # One repeat cannot tell the two parts from each other: they are taken in their usual proportion.
    share = HIGH.images / HIGH.fits
    alone = column["variance"] / (share + 1 / cells)
    one = np.isnan(column["floor"])
    parts = np.where(one, share * alone, column["floor"]), np.where(one, alone, fits)
    shared, divided = (float(images * part.mean()) for part in parts)
    return Variances(shared, divided)


def average(variances: dict[str, Variances]) -> Variances:
    """The mean over factors, for one that a study does not have; raises ValueError without any."""
    if not variances:
        raise ValueError("no variances to average")
    whole = any(v.whole for v in variances.values())
    chosen = [v for v in variances.values() if v.whole == whole]
    return Variances(float(np.mean([v.images for v in chosen])), float(np.mean([v.fits for v in chosen])), whole)
