"""How long a plan will take: from the fits of it that are in the journal, else from a nominal rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.fits.grouping import stacks
from runner.fits.records import FitResult
from runner.planning.plan import Plan

NOMINAL_RATE = 5e9
"""Forward multiply-adds trained a second by one worker: a cautious figure for a desktop core in float32."""


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds of wall time with `workers` workers, for the fits that are not in the journal."""

    seconds: float
    fits: int
    measured: bool


def estimate(plan: Plan, results: Iterable[FitResult], workers: int, anew: bool = False) -> TimeEstimate:
    """Fits cost in proportion to multiply-adds, images and epochs. `anew`: none of the results is the plan's."""
    images = plan.data["size"] * (plan.folds - 1) / plan.folds
    costs = {cell.id: (cell.macs or 0) * images * cell.settings.training.epochs for cell in plan.cells}
    done = [result for result in results if result.cell in costs and result.status == "ok"]
    seconds = sum(result.seconds for result in done)
    rate = sum(costs[result.cell] for result in done) / seconds if seconds else 0.0
    finished = {(result.cell, result.repeat, result.fold) for result in done if not anew}
    left = plan.folds * plan.repeats * sum(costs.values()) - sum(costs[cell] for cell, _, _ in finished)
    busy = max(1, min(workers, _groups(plan)))
    return TimeEstimate(max(left, 0.0) / (rate or NOMINAL_RATE) / busy, plan.fit_count - len(finished), bool(rate))


def _groups(plan: Plan) -> int:
    """How many groups of fits there are: no more workers than that are busy."""
    index = range(plan.folds * plan.repeats)
    return sum(len(stacks(index, cell.settings.training.stacking, plan.folds)) for cell in plan.cells)
