"""How many workers share a GPU, from what fits were measured to take of its memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.fits.records import FitResult
from runner.text import megabytes, plural

MARGIN = 1.25
"""Of the measured memory: what the next fit may take more than any before it."""
CONTEXT_BYTES = 10**9
"""What CUDA itself keeps for each process, which torch does not count: 0.3 to 0.6 GB, and some more to be safe."""
MOST = 64
"""Workers on a GPU. Ray counts ten-thousandths of one: from 100 workers on one more than was meant might fit."""


@dataclass(frozen=True)
class Measured:
    """The most memory that a fit took of its GPU, and that of the smallest GPU, in bytes; 0 if none was measured."""

    peak: int = 0
    total: int = 0

    def with_results(self, results: Iterable[FitResult]) -> Measured:
        """With those of further fits; one that failed may have ended before its peak, and does not count."""
        peak, total = self.peak, self.total
        for fit in results:
            if fit.status == "ok" and fit.device_memory and fit.device_total:
                peak = max(peak, fit.device_memory)
                total = min(total or fit.device_total, fit.device_total)
        return Measured(peak, total)

    @property
    def needed(self) -> int:
        """The bytes that a worker declares."""
        return int(self.peak * MARGIN) + CONTEXT_BYTES

    @property
    def workers(self) -> int:
        """How many workers share a GPU: 1 as long as nothing was measured."""
        return max(1, min(MOST, self.total // self.needed)) if self.peak else 1

    @property
    def share(self) -> float:
        """The part of a GPU that a worker declares, in the ten-thousandths in which Ray counts."""
        return (10_000 // self.workers) / 10_000

    def sentence(self) -> str:
        """How many workers a GPU has room for, and why; "" as long as nothing was measured."""
        if not self.peak:
            return ""
        took = f"fits took at most {megabytes(self.peak)} of its {megabytes(self.total)}"
        added = f"a quarter more and {megabytes(CONTEXT_BYTES)} for CUDA are added"
        return f"a GPU has room for {plural(self.workers, 'worker')}: {took}; {added}"
