"""Which fits an engine trains together, in which order the groups run, and how long they take on several workers."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from runner.fits.records import FitSpec

T = TypeVar("T")

LAST = 8
"""The last so many groups per worker start in an order of their own, but at most half of all groups."""
LEAST_LAST = 2
"""So many per worker do in any case."""

FitGroup = tuple[FitSpec, ...]
"""Fits of one cell that an engine trains together."""


def time_limit(group: FitGroup) -> float | None:
    """The time limit of a group in seconds, the sum of those of its fits; None if they have none."""
    limits = [fit.timeout for fit in group if fit.timeout is not None]
    return sum(limits) or None


def groups_to_train(fits: Sequence[FitSpec], wanted: Collection[str], workers: int = 1) -> list[FitGroup]:
    """The groups that contain a fit whose id is in `wanted`, in the order in which so many workers start them.

    `fits` are all fits of a plan, in its order. A group is always trained as a whole, even if only one of its fits is
    wanted: the number of fits trained together affects the last bits of their results.
    """
    by_cell: dict[str, list[FitSpec]] = {}
    for fit in fits:
        by_cell.setdefault(fit.cell, []).append(fit)
    # Of all fits, not of the missing ones: a group must consist of the same fits whatever is already in the journal.
    all_groups = [
        tuple(group)
        for cell in by_cell.values()
        for group in split_into_groups(cell, cell[0].training.stacking, 1 + max(fit.fold for fit in cell))
    ]
    chosen = [group for group in all_groups if any(fit.id in wanted for fit in group)]
    keys = [(group[0].repeat, sum(fit.cost for fit in group)) for group in chosen]
    return run_order(chosen, keys, workers)


def split_into_groups(fits: Sequence[T], stacking: int | None, folds: int) -> list[Sequence[T]]:
    """The fits of one cell, in the plan's order, split into the groups that are trained together.

    `stacking` is the size of a group, None for 1. A group holds a part of one repeat, or whole repeats, so that adding
    repeats to an experiment leaves every full group as it is. `fits` may be anything that belongs to the fits.
    """
    # A size above `folds` is rounded down to whole repeats: with 5 folds, 12 gives groups of two repeats, 10 fits.
    size = stacking or 1
    span = folds if size <= folds else size // folds * folds  # fits that groups do not cross: one repeat, or several
    spans = [fits[start : start + span] for start in range(0, len(fits), span)]
    return [part[start : start + size] for part in spans for start in range(0, len(part), min(size, span))]


def run_order(groups: Sequence[T], keys: Sequence[tuple[int, float]], workers: int = 1) -> list[T]:
    """The groups in the order in which they start; `keys` has the repeat and the cost of each.

    Repeat by repeat, so that an interrupted study has whole ones, and in each the most costly first. The last ones on
    several workers are the most costly first whatever their repeat: a long one that starts late leaves all other
    workers idle, and one may take many times as long as its cost lets expect (benchmarks/schedule.py).
    """
    by_repeat = sorted(range(len(groups)), key=lambda index: (keys[index][0], -keys[index][1]))
    last = min(LAST * workers, max(LEAST_LAST * workers, len(by_repeat) // 2)) if workers > 1 else 0
    start = max(0, len(by_repeat) - last)
    end = sorted(by_repeat[start:], key=lambda index: -keys[index][1])
    return [groups[index] for index in (*by_repeat[:start], *end)]


def wall_time(durations: Iterable[float], workers: int) -> float:
    """The seconds until all groups have ended, whose `durations` are in the order in which they start.

    That is list scheduling (Graham, Bounds on multiprocessing timing anomalies, 1969).
    """
    ends: list[float] = []
    for duration in durations:
        if len(ends) < workers:
            heapq.heappush(ends, duration)
        else:
            heapq.heapreplace(ends, ends[0] + duration)
    return max(ends, default=0.0)
