"""How long a plan will take, based on its fits in the journal or, without any, on a nominal rate."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from runner.components.rule_options import passes
from runner.fits.grouping import split_into_groups
from runner.fits.records import FitResult
from runner.planning.plan import Plan

NOMINAL_RATE = 5e9
"""Forward multiply-adds per second that one worker trains: a cautious figure for one desktop core in float32."""


@dataclass(frozen=True)
class TimeEstimate:
    """Wall time in seconds for the `fits` without a result; `measured` if it is based on fits in the journal."""

    seconds: float
    fits: int
    measured: bool


def default_workers() -> int:
    """One worker per core that this process may use."""
    # sched_getaffinity respects taskset and cpusets, which cpu_count does not; macOS lacks it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def estimate(plan: Plan, results: Iterable[FitResult], workers: int, retrain_all: bool = False) -> TimeEstimate:
    """The time for the remaining fits of `plan`: proportional to multiply-adds x gradients a step x images x epochs.

    Fits that may stop early count with all their epochs, so that they take at most this long.
    With `retrain_all`, the `results` only serve to measure the speed: all fits of the plan are still to be trained.
    """
    results = list(results)
    images = _training_images(plan)
    by_epoch = {cell.id: (cell.macs or 0) * passes(cell.settings.optimizer.parameters) * images for cell in plan.cells}
    costs = {cell.id: by_epoch[cell.id] * cell.settings.training.epochs for cell in plan.cells}
    done = [result for result in results if result.cell in costs and result.status == "ok"]
    seconds = sum(result.seconds for result in done)
    # Per worker, because the seconds of fits that ran at the same time are added up.
    rate = sum(by_epoch[result.cell] * result.epochs for result in done) / seconds if seconds else 0.0
    # Not by id: `runner plan` reads no data, and without it a plan has no fit ids.
    slots = {(result.cell, result.repeat, result.fold) for result in results if not retrain_all}
    # Failed fits count as well: a run trains them again only if asked to.
    finished = {
        (c, repeat, fold)
        for c, repeat, fold in slots
        if c in costs and repeat < plan.repeats_of(c) and fold < plan.folds
    }
    planned = sum(plan.folds * plan.repeats_of(cell) * cost for cell, cost in costs.items())
    remaining = planned - sum(costs[cell] for cell, _, _ in finished)
    # A group is trained by one worker, so more workers than groups do not help.
    busy = max(1, min(workers, _groups(plan)))
    return TimeEstimate(max(remaining, 0.0) / (rate or NOMINAL_RATE) / busy, plan.fit_count - len(finished), bool(rate))


def _training_images(plan: Plan) -> float:
    """How many images a fit is trained on; of a given split that is not read yet, all of them."""
    images, split = plan.data["size"], plan.split_design and plan.split_design.split
    if not split:
        return float(images * (plan.folds - 1) / plan.folds)
    return float(plan.data.get("train", images * (1 - split) if isinstance(split, float) else images))


def _groups(plan: Plan) -> int:
    """The number of groups of fits, and thus of workers that can be busy at the same time."""
    indices = {cell.id: range(plan.folds * plan.repeats_of(cell.id)) for cell in plan.cells}
    return sum(
        len(split_into_groups(indices[cell.id], cell.settings.training.stacking, plan.folds)) for cell in plan.cells
    )
