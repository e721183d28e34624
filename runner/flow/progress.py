"""What a user sees while fits train: a bar on a terminal, one line per fit elsewhere. Always on stderr."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from runner.fits.grouping import split_into_groups
from runner.fits.records import FitResult, FitSpec
from runner.planning.plan import Plan
from runner.text import duration, megabytes, plural, printable


class Progress:
    """Counts, the best cell so far and the time left. This base prints nothing; its subclasses do."""

    def begin(self, plan: Plan, known: Sequence[FitResult], todo: Sequence[FitSpec], workers: int) -> None:
        """The `known` results are in the journal; the fits in `todo` are about to train on `workers` workers."""
        self.plan, self.workers = plan, workers
        self.names = {cell.id: cell.name for cell in plan.cells}
        self.failed, self.ended, self.values = 0, Counter[str](), dict[str, list[float]]()
        self.top: tuple[float, str] | None = None
        again = {fit.id for fit in todo}
        for result in known if todo else ():  # reading them all is slow, and without new fits nobody sees the best cell
            if result.id not in again:
                self._note(result)
        self._count(todo, self.ended.total() if todo else len(known))
        self.show_start(self.done)

    def begin_repeat(self, plan: Plan, known: int, todo: Sequence[FitSpec], reason: str) -> None:
        """Another repeat, now in `plan`, with the fits in `todo`; `known` fits of the plan are in the journal."""
        self.plan = plan
        self._count(todo, known)
        self.notify([reason])
        self.show_start(known)

    def _count(self, todo: Sequence[FitSpec], done: int) -> None:
        """Counts are those of the whole plan, of which `done` fits have ended; times are those of `todo`."""
        self.total, self.done = self.plan.fit_count, done
        # All costs may be 0, as those of networks whose multiply-adds are unknown: then fits count alike.
        self.todo = {fit.id: fit.cost for fit in todo}
        if not any(self.todo.values()):
            self.todo = dict.fromkeys(self.todo, 1.0)
        self.group = {fit.id: number for number, group in enumerate(_groups(todo, self.plan.folds)) for fit in group}
        self.seconds, self.trained = 0.0, 0.0

    def notify(self, lines: Sequence[str]) -> None:
        """Show what a user should know before training begins."""

    def finished(self, result: FitResult) -> None:
        self.done += 1
        cost = self.todo.pop(result.id)
        # Not those of failed fits, most of which ended early.
        if result.status == "ok":
            self.seconds, self.trained = self.seconds + result.seconds, self.trained + cost
        self._note(result)
        self.show_result(result)

    def _note(self, result: FitResult) -> None:
        self.failed += result.status == "failed"
        self.ended[result.cell] += 1
        values = self.values.setdefault(result.cell, [])
        if result.status == "ok":
            values.append(result.final(self.plan.measure.journal_key))
        # Only cells whose fits have all ended: the mean of some folds may fall with the next one.
        if values and self.ended[result.cell] >= self.plan.folds * self.plan.repeats_of(result.cell):
            mean, sign = sum(values) / len(values), self.plan.measure.direction
            if self.top is None or sign * mean > sign * self.top[0]:
                self.top = mean, self.names[result.cell]

    @property
    def running(self) -> int:
        return min(self.workers, len(self.todo))

    def best(self, name: bool = True) -> str:
        """The best cell among those whose fits have all ended, with its name unless it is to be left out."""
        if not self.top:
            return ""
        value, cell = self.top
        return f"best so far {value:.4f}{f' ({cell})' if name else ''}"

    def left(self) -> str:
        """The time left: fits take time in proportion to their cost (their multiply-adds).

        From the seconds of the fits that this run has trained, which do not include the start of the workers.
        """
        if not self.trained or not self.seconds:
            return "?" if self.todo else "0 s"
        # The fits of a group are trained by one worker.
        busy = min(self.workers, len({self.group[fit] for fit in self.todo}))
        return duration(self.seconds / self.trained * sum(self.todo.values()) / max(busy, 1))

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


def _groups(fits: Sequence[FitSpec], folds: int) -> Iterator[Sequence[FitSpec]]:
    """The fits that are trained together."""
    by_cell: dict[str, list[FitSpec]] = {}
    for fit in fits:
        by_cell.setdefault(fit.cell, []).append(fit)
    for cell in by_cell.values():
        yield from split_into_groups(cell, cell[0].training.stacking, folds)


class Lines(Progress):
    """One line per fit, for files and pipes."""

    def notify(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(line)

    def show_start(self, known: int) -> None:
        finished = f", {known:,} {'is' if known == 1 else 'are'} in the journal already" if known else ""
        self._print(f"{self.plan.name}: {plural(len(self.todo), 'fit')} to train{finished}")

    def show_result(self, result: FitResult) -> None:
        left = f", {self.left()} left" if self.todo else ""
        self._print(f"[{self.done}/{self.total}] {self.words(result)}{left}")

    def words(self, result: FitResult) -> str:
        where = f"{self.names[result.cell]}, repeat {result.repeat + 1} fold {result.fold + 1}"
        if result.status == "failed":
            memory = f" (peak memory {megabytes(result.memory)})" if result.memory else ""
            return f"{where}: FAILED: {result.reason}{memory}"
        return (
            f"{where}: {self.plan.metric} {result.final(self.plan.measure.journal_key):.4f} in {result.seconds:.1f} s"
        )

    def _print(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


class Live(Lines):
    """A bar with counts on a terminal; failures are printed above it."""

    LEAST, MOST = 10, 20
    """Columns of the bar, in a narrow terminal and in a wide one."""

    def __init__(self) -> None:
        # Imported only for a terminal, the one place where a bar is shown.
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task
        from rich.progress import Progress as Bar
        from rich.text import Text

        live = self

        class Status(ProgressColumn):
            def render(self, task: Task) -> Text:
                # As Text, here and in _print: the names of cells may contain brackets, which would be markup.
                return Text(live.description(), no_wrap=True)

        class FittedBar(BarColumn):
            def render(self, task: Task) -> Any:
                room = live.console.width - 1 - cell_length(live.description())
                self.bar_width = min(max(room, live.LEAST), live.MOST)
                return super().render(task)

        self.console = Console(stderr=True)
        self.bar = Bar(FittedBar(), Status(), console=self.console, transient=True)
        self.status: Any = None

    def show_start(self, known: int) -> None:
        super().show_start(known)
        if self.status is not None:  # the last repeat's
            self.bar.remove_task(self.status)
        self.status = self.bar.add_task("", total=self.total, completed=self.done)

    def show_result(self, result: FitResult) -> None:
        if result.status == "failed":
            self._print(self.words(result))
        self.bar.update(self.status, completed=self.done)

    def description(self) -> str:
        """What stands beside the bar: as much as the terminal has room for, and no part of it cut."""
        done = f"{self.done}/{self.total}"
        if not self.trained and self.todo and not self.failed:
            return f"{done} · starting"
        failed = f"{self.failed} failed" * bool(self.failed)
        running, left = (f"{self.running} running", f"{self.left()} left") if self.todo else ("", "")
        few, more = [done, failed, left], [done, failed, running, left]
        choices = [[*more, self.best()], [*more, self.best(name=False)], more, few, [done, failed], [done]]
        texts = [printable(" · ".join(filter(None, parts))) for parts in choices]
        room = self.console.width - self.LEAST - 1
        return next((text for text in texts if cell_length(text) <= room), texts[-1])

    def _print(self, text: str) -> None:
        self.console.print(printable(text), markup=False, highlight=False)

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()


def cell_length(text: str) -> int:
    """The columns that the text takes on a terminal, on which some letters take two."""
    from rich.cells import cell_len

    return cell_len(text)
