"""The groups of fits that wait for a worker, in the order of the run, and which of them are tried again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult
from runner.workers.executors.attempt import Attempt

log = logging.getLogger("runner.executors")


class Backlog:
    """What every executor with workers starts next; `remaining` groups have no results that count yet."""

    def __init__(self, groups: Sequence[FitGroup]) -> None:
        self._waiting = deque(Attempt(group) for group in groups)
        self.remaining = len(groups)

    def __len__(self) -> int:
        """How many groups wait for a worker."""
        return len(self._waiting)

    def take(self) -> Attempt | None:
        """The attempt to start next; None if none is waiting."""
        return self._waiting.popleft() if self._waiting else None

    def settle(self, done: Attempt, results: Sequence[FitResult]) -> bool:
        """Whether the results of a finished attempt count.

        If not, its worker was lost, and the group is tried again before all others: as often as its fits allow.
        """
        lost = any(result.retryable for result in results)
        if lost and done.number <= max(spec.retries for spec in done.group):
            self._waiting.appendleft(Attempt(done.group, done.number + 1))
            others = f" and {len(results) - 1} more" if len(results) > 1 else ""
            log.warning("fit %s%s: %s; trying again", results[0].id, others, results[0].reason)
            return False
        self.remaining -= 1
        return True
