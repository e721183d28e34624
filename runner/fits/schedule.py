"""The order in which groups of fits start, and how long they take on workers that each take the next one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

LAST = 2
"""The last so many groups per worker are in an order of their own."""


def run_order(groups: Sequence[T], keys: Sequence[tuple[int, float]], workers: int = 1) -> list[T]:
    """The groups in the order in which they start; `keys` has the repeat and the cost of each.

    Repeat by repeat, so that an interrupted study has whole ones, and in each the most costly first. The last ones on
    several workers are the most costly first whatever their repeat: most run at the same time anyway, and a long one
    that starts late leaves all other workers idle (benchmarks/schedule.py).
    """
    by_repeat = sorted(range(len(groups)), key=lambda index: (keys[index][0], -keys[index][1]))
    last = min(LAST * workers, len(by_repeat)) if workers > 1 else 0
    start = len(by_repeat) - last
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
