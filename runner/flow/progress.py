"""What a user sees while fits train: a bar on a terminal, one line per fit elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from runner.fits.metrics import find_metric
from runner.fits.records import FitResult, FitSpec
from runner.planning.plan import Plan
from runner.text import duration, megabytes, printable


class Progress:
    """Counts, the best cell so far and the time left. This base prints nothing; its subclasses do."""

    def begin(self, plan: Plan, known: Sequence[FitResult], todo: Sequence[FitSpec], workers: int) -> None:
        """The `known` results are in the journal; the fits in `todo` are about to train on `workers` workers."""
        self.plan, self.workers = plan, workers
        self.names = {cell.id: cell.name for cell in plan.cells}
        self.failed, self.values = 0, dict[str, list[float]]()
        for result in known if todo else ():  # reading them all is slow, and without new fits nobody sees the best cell
            self._note(result)
        self._count(todo)
        self.show_start(len(known))

    def begin_repeat(self, plan: Plan, known: int, todo: Sequence[FitSpec], reason: str) -> None:
        """Another repeat, now in `plan`, with the fits in `todo`; `known` fits of the plan are in the journal."""
        self.plan = plan
        self._count(todo)
        self.notify([reason])
        self.show_start(known)

    def _count(self, todo: Sequence[FitSpec]) -> None:
        self.costs = {fit.id: fit.cost for fit in todo}
        self.total, self.done = len(todo), 0
        self.cost = self.cost_left = sum(self.costs.values())
        self.started = time.monotonic()

    def notify(self, lines: Sequence[str]) -> None:
        """Show what a user should know before training begins."""

    def finished(self, result: FitResult) -> None:
        self.done += 1
        self.failed += result.status == "failed"
        self.cost_left -= self.costs[result.id]
        self._note(result)
        self.show_result(result)

    def _note(self, result: FitResult) -> None:
        if result.status == "ok":
            self.values.setdefault(result.cell, []).append(result.final(self.plan.metric))

    @property
    def running(self) -> int:
        return min(self.workers, self.total - self.done)

    def best(self) -> str:
        """The best cell by the mean of its fits so far."""
        if not self.values:
            return ""
        means = {cell: sum(values) / len(values) for cell, values in self.values.items()}
        cell = (max if find_metric(self.plan.metric).higher_is_better else min)(means, key=lambda key: means[key])
        return f"best so far {means[cell]:.4f} ({self.names[cell]})"

    def left(self) -> str:
        """The time left, assuming that time is proportional to a fit's cost (its multiply-adds)."""
        # All costs may be 0, as those of networks whose multiply-adds are unknown: then there is no rate to divide by.
        if not self.done or self.cost_left >= self.cost:
            return "?"
        seconds = (time.monotonic() - self.started) / (self.cost - self.cost_left) * self.cost_left
        return duration(seconds)

    def show_start(self, known: int) -> None:
        """Called before the first fit, and before the first of each further repeat."""

    def show_result(self, result: FitResult) -> None:
        """Called after every fit."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal."""


class Lines(Progress):
    """One line per fit, for files and pipes."""

    def notify(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(line)

    def show_start(self, known: int) -> None:
        finished = f", {known} are in the journal already" if known else ""
        self._print(f"{self.plan.name}: {self.total} fits to train{finished}")

    def show_result(self, result: FitResult) -> None:
        self._print(f"[{self.done}/{self.total}] {self.words(result)}, {self.left()} left")

    def words(self, result: FitResult) -> str:
        where = f"{self.names[result.cell]}, repeat {result.repeat + 1} fold {result.fold + 1}"
        if result.status == "failed":
            memory = f" (peak memory {megabytes(result.memory)})" if result.memory else ""
            return f"{where}: FAILED: {result.reason}{memory}"
        return f"{where}: {self.plan.metric} {result.final(self.plan.metric):.4f} in {result.seconds:.1f} s"

    def _print(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


class Live(Lines):
    """A bar with counts on a terminal; failures are printed above it."""

    def __init__(self) -> None:
        # Imported only for a terminal, the one place where a bar is shown.
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True)
        # Without markup, here and in _print: the names of cells may contain brackets.
        columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
        self.bar = Bar(*columns, console=self.console, transient=True)
        self.status: Any = None

    def show_start(self, known: int) -> None:
        super().show_start(known)
        if self.status is not None:  # the last repeat's
            self.bar.remove_task(self.status)
        self.status = self.bar.add_task(f"0/{self.total} · starting", total=self.total)

    def show_result(self, result: FitResult) -> None:
        if result.status == "failed":
            self._print(self.words(result))
        done = f"{self.done}/{self.total}"
        parts = [done, f"{self.failed} failed", f"{self.running} running", f"{self.left()} left", self.best()]
        self.bar.update(self.status, advance=1, description=printable(" · ".join(filter(None, parts))))

    def _print(self, text: str) -> None:
        self.console.print(printable(text), markup=False, highlight=False)

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
