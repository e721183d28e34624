"""Repeats that stop when decided: after each complete repeat the study is looked at, and goes on or is finished.

What is planned next depends on the results of complete repeats alone, never on their order or on times. So a run that
was interrupted looks at the same results again, from its journal, and comes to the same fits and the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runner.data.splits_file import SavedSplits
from runner.fits.records import FitSpec, Look
from runner.flow.measures import complete
from runner.flow.outcome import Options
from runner.flow.signals import exit_status
from runner.flow.training import missing_fits
from runner.journal.index import SelectedResults
from runner.journal.journal import Journal
from runner.planning.plan import Plan
from runner.text import plural

Extend = Callable[[Plan, Collection[str]], tuple[Plan, list[FitSpec]]]
"""Plans one more repeat of the cells with these ids: `planning.fits.plan_repeat`."""


@dataclass(frozen=True)
class Decision:
    """What a look at all repeats of a plan found.

    `done` if none of the `pairs` of levels is open; `open_pairs` of them are. `going_on` has the ids of the cells that
    get another repeat if not; it only counts in a race. `states` has the state of each pair by its name, and `lines` a
    line about each.
    """

    done: bool
    going_on: tuple[str, ...]
    open_pairs: int
    pairs: int
    states: Mapping[str, str]
    lines: tuple[str, ...] = ()

    @property
    def still_open(self) -> str:
        """``2 of 6 pairs are still open``"""
        return f"{self.open_pairs} of {plural(self.pairs, 'pair')} {'is' if self.open_pairs == 1 else 'are'} still open"


@dataclass(frozen=True)
class Reached:
    """How far a study has come: its plan, and all fits of the repeats that are planned now.

    `opened_by` is the look that asked for the last repeat. `decision` is the look at all repeats; None if the number of
    repeats is fixed, or a fit has no result yet.
    """

    plan: Plan
    fits: Sequence[FitSpec]
    opened_by: Decision | None = None
    decision: Decision | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the study is not decided after the last repeat and may get another."""
        return bool(self.decision and not self.decision.done and self.plan.repeats < (self.plan.most or 0))

    @property
    def decided(self) -> str:
        """After how many repeats the study is decided, or that it is not; "" if no look was at all of them."""
        plan, look = self.plan, self.decision
        if not look:
            return ""
        if look.done:
            return f"decided after {plan.repeats} of at most {plan.most} repeats"
        most = f"of at most {plan.most} repeats" if self.goes_on else "repeats, the most that the experiment allows"
        return f"not decided after {plan.repeats} {most}: {look.still_open}"

    @property
    def state(self) -> str:
        """What the last look found, as a whole and then a line per comparison; "" if there was none."""
        look = self.decision or self.opened_by
        return "\n".join([*([self.decided] if self.decided else opening_lines(self)), *look.lines]) if look else ""


def decide(plan: Plan, fits: Sequence[FitSpec], results: SelectedResults, labels: np.ndarray) -> Decision:
    """The look at `results`, one for each of `fits`; a pure function. `labels` (N,) are those of the data set."""
    # Here, as a study whose number of repeats is fixed needs neither pandas nor SciPy before its report.
    from runner.journal.frames import frames
    from runner.reporting.tables.looks import look

    splits = SavedSplits.of(labels, fits, len(plan.data["class_names"]))
    found = look(plan, frames(results, splits))
    return Decision(found.done, tuple(found.going_on), found.open_pairs, found.pairs, dict(found.states), found.lines)


def go_on(reached: Reached, journal: Journal, labels: np.ndarray, extend: Extend, begin: bool = True) -> Reached:
    """Look at the study and plan repeats until it is decided, has the most repeats, or has a fit without a result.

    The journal records each look. `labels` (N,) are those of the data set. Without `begin`, no repeat is planned of
    which the journal has no result.
    """
    results = journal.results
    while (most := reached.plan.most) and not reached.decision and all(fit.id in results for fit in reached.fits):
        complete(journal, reached.plan.measures, reached.fits, labels)
        decision = decide(reached.plan, reached.fits, results.select(fit.id for fit in reached.fits), labels)
        journal.record_look(Look(reached.plan.repeats, True, decision.open_pairs))
        cells = _going_on(reached.plan, decision)
        looked = replace(reached, decision=decision)
        if decision.done or reached.plan.repeats >= most or not cells:
            return looked
        plan, fits = extend(reached.plan, cells)
        if not begin and not any(fit.id in results for fit in fits if fit.repeat == reached.plan.repeats):
            return looked
        reached = Reached(plan, fits, opened_by=decision)
    return reached


def _going_on(plan: Plan, decision: Decision) -> list[str]:
    """The ids of the cells that get another repeat: in a race, never one that has missed a repeat."""
    if not plan.race:
        return [cell.id for cell in plan.cells]
    return [cell.id for cell in plan.cells if cell.id in decision.going_on and plan.repeats_of(cell.id) == plan.repeats]


Train = Callable[[Sequence[FitSpec], Sequence[FitSpec]], int]
"""Called with all fits of a plan and those to train; returns the exit status of the signal that stopped it, else 0."""
Begin = Callable[[Reached, Sequence[FitSpec]], None]
"""Called with the repeat that is reached and its missing fits."""


@dataclass(frozen=True)
class Repeats:
    """The repeats of a study in one run, from the `first` ones on as far as the `journal` has them.

    `labels` (N,) are those of the data set.
    """

    first: Reached
    journal: Journal
    labels: np.ndarray
    extend: Extend
    options: Options

    def reached(self) -> Reached:
        """How far the results in the journal bring the study."""
        return go_on(self.first, self.journal, self.labels, self.extend, begin=not self.options.only_failed)

    def train(self, reached: Reached, missing: Sequence[FitSpec], train: Train, begin: Begin) -> tuple[Reached, int]:
        """Train `missing` and then one repeat after another while the study is undecided.

        `begin` is called before each further repeat. Returns how far the study has come, and the exit status of the
        signal that stopped it, else 0.
        """
        try:
            while True:
                stopped = train(reached.fits, missing)
                if stopped or self._failed_fast(missing):
                    return reached, stopped
                if self.options.only_failed:  # other results, so that all looks are to be made again
                    return self.reached(), 0
                following = go_on(reached, self.journal, self.labels, self.extend)
                if following is reached or following.decision:
                    return following, 0
                reached, statuses = following, self.journal.results.statuses
                missing = missing_fits(reached.fits, statuses, only_failed=False)
                begin(reached, missing)
        except KeyboardInterrupt as stop:  # during a look: the caller still has to write the report
            return reached, exit_status(stop)

    def _failed_fast(self, trained: Sequence[FitSpec]) -> bool:
        statuses = self.journal.results.statuses
        return self.options.fail_fast and any(statuses.get(fit.id) == "failed" for fit in trained)


def opening_lines(reached: Reached) -> list[str]:
    """A line that says why the last repeat is trained, unless no look asked for it."""
    plan, look = reached.plan, reached.opened_by
    return [f"repeat {plan.repeats} of at most {plan.most}: {look.still_open}"] if look else []
