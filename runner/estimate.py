"""How long a plan will take: from the fits of it that are in the journal, else from a nominal rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.fit import FitResult
from runner.frozen_plan import Plan

NOMINAL_RATE = 5e9
"""Forward multiply-adds trained a second by one worker: a cautious figure for a desktop core in float32."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of wall time with `workers` workers, for the fits that are not in the journal."""

    seconds: float
    fits: int
    measured: bool


def estimate(plan: Plan, results: Iterable[FitResult], workers: int) -> Estimate:
    """Fits cost in proportion to multiply-adds, images and epochs."""
    images = plan.data["size"] * (plan.folds - 1) / plan.folds
    costs = {cell.id: (cell.macs or 0) * images * cell.settings["training"]["epochs"] for cell in plan.cells}
    done = [result for result in results if result.cell in costs and result.status == "ok"]
    seconds = sum(result.seconds for result in done)
    rate = sum(costs[result.cell] for result in done) / seconds if seconds else 0.0
    finished = {(result.cell, result.repeat, result.fold) for result in done}
    left = plan.folds * plan.repeats * sum(costs.values()) - sum(costs[cell] for cell, _, _ in finished)
    return Estimate(max(left, 0.0) / (rate or NOMINAL_RATE) / workers, plan.fit_count - len(finished), bool(rate))
