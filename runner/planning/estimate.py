"""How long a plan will take, based on its fits in the journal or, without any, on a nominal rate."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from runner.components.rule_options import passes
from runner.fits.grouping import run_order, split_into_groups, wall_time
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

    The speed is that of the cell's own fits in the journal or, without any, of all; the fits start in the order of a
    run on so many workers. Fits that may stop early count with all their epochs, so that they take at most this long.
    With `retrain_all`, the `results` only serve to measure the speed: all fits of the plan are still to be trained.
    """
    results = list(results)
    images = _training_images(plan)
    by_epoch = {cell.id: (cell.macs or 0) * passes(cell.settings.optimizer.parameters) * images for cell in plan.cells}
    done = [result for result in results if result.cell in by_epoch and result.status == "ok"]
    speeds = _speeds(done, by_epoch)
    overall = _speeds(done, by_epoch, together=True).get("", NOMINAL_RATE)
    seconds = {
        cell.id: by_epoch[cell.id] * cell.settings.training.epochs / speeds.get(cell.id, overall) for cell in plan.cells
    }
    # Not by id: `runner plan` reads no data, and without it a plan has no fit ids. Failed fits count as well: a run
    # trains them again only if asked to.
    slots = {(result.cell, result.repeat, result.fold) for result in results if not retrain_all}
    groups = [*_remaining(plan, seconds, slots)]
    durations = [duration for _, duration, _ in groups]
    order = run_order(durations, [(repeat, duration) for repeat, duration, _ in groups], workers)
    return TimeEstimate(wall_time(order, workers), sum(fits for _, _, fits in groups), overall != NOMINAL_RATE)


def _speeds(done: Iterable[FitResult], by_epoch: Mapping[str, float], together: bool = False) -> dict[str, float]:
    """What one worker trained in a second, by cell or of all cells `together`, as "".

    Per worker, because the seconds of fits that ran at the same time are added up.
    """
    work, seconds = defaultdict[str, float](float), defaultdict[str, float](float)
    for result in done:
        cell = "" if together else result.cell
        work[cell] += by_epoch[result.cell] * result.epochs
        seconds[cell] += result.seconds
    return {cell: work[cell] / seconds[cell] for cell in work if work[cell] and seconds[cell]}


def _remaining(
    plan: Plan, seconds: Mapping[str, float], slots: Collection[tuple[str, int, int]]
) -> Iterator[tuple[int, float, int]]:
    """The repeat, the seconds and the number of fits of each group that a worker still has to train."""
    for cell in plan.cells:
        indices = range(plan.folds * plan.repeats_of(cell.id))
        for group in split_into_groups(indices, cell.settings.training.stacking, plan.folds):
            left = sum((cell.id, *divmod(index, plan.folds)) not in slots for index in group)
            if left:
                yield group[0] // plan.folds, seconds[cell.id] * left, left


def _training_images(plan: Plan) -> float:
    """How many images a fit is trained on; of a given split that is not read yet, all of them."""
    images, split = plan.data["size"], plan.split_design and plan.split_design.split
    if not split:
        return float(images * (plan.folds - 1) / plan.folds)
    return float(plan.data.get("train", images * (1 - split) if isinstance(split, float) else images))
