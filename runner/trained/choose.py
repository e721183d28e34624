"""Which fits of a study are saved, and which of them are meant: by cell, repeat and fold, or the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runner.errors import RunnerError
from runner.files.own_files import refuse_links
from runner.journal.index import Results, index
from runner.planning import plan_file
from runner.planning.plan import Plan, PlannedCell
from runner.text import did_you_mean
from runner.trained.file import path_of


@dataclass(frozen=True)
class SavedFits:
    """The fits of a study's report in `folder`."""

    folder: Path
    plan: Plan

    @classmethod
    def open(cls, folder: Path) -> SavedFits:
        """Raises RunnerError if there is no report in the folder, or a link in it."""
        if not (folder / "plan.yaml").is_file():
            raise RunnerError(f"{folder}: no report of a study (it has no plan.yaml)")
        refuse_links(folder)
        return cls(folder, plan_file.read(folder / "plan.yaml"))

    @cached_property
    def _results(self) -> Results:
        return index(self.folder / "journal.jsonl")[0]

    def cell(self, given: str | None) -> PlannedCell:
        """The cell with this id or name; by default the one with the best mean of the plan's metric."""
        cells = self.plan.cells
        if given is None:
            means = {cell.id: self._mean(cell) for cell in cells}
            good = [cell for cell in cells if means[cell.id] is not None]
            if not good:
                raise RunnerError(f"{self.folder}: no fit has ended well yet")
            return min(good, key=lambda cell: means[cell.id])  # type: ignore[arg-type, return-value]
        found = [cell for cell in cells if given in (cell.id, cell.name)]
        if not found:
            raise RunnerError(f"{self.folder}: unknown cell '{given}'{did_you_mean(given, [c.name for c in cells])}")
        return found[0]

    def saved(self, cell: PlannedCell, repeat: int | None = None, fold: int | None = None) -> list[str]:
        """The ids of the cell's saved fits in the plan's order, of one `repeat` or `fold` (from 1) if they are given.

        Raises RunnerError if there are none.
        """
        where = f"{self.folder}: cell '{cell.name}'"
        for word, number, count in (("repeat", repeat, self.plan.repeats_of(cell.id)), ("fold", fold, self.plan.folds)):
            if number is not None and not 1 <= number <= count:
                raise RunnerError(f"{where}: found {word} {number}; allowed: 1 to {count}")
        chosen = [
            (fit, r + 1, f + 1)
            for fit, id, r, f in self.plan.fit_keys()
            if id == cell.id and repeat in (None, r + 1) and fold in (None, f + 1)
        ]
        saved = [fit for fit, _, _ in chosen if path_of(self.folder, fit).is_file()]
        if not saved:
            of = "".join(f" {word} {number}" for word, number in (("repeat", repeat), ("fold", fold)) if number)
            setting = f"training.keep is {self.plan.keep}"
            advice = "" if self.plan.keep == "all" else "; with keep: all every fit is saved"
            raise RunnerError(f"{where}: no parameters are saved{of and f' of{of}'} ({setting}{advice})")
        return saved

    def best_of(self, fits: Sequence[str]) -> str:
        """The one with the best value of the plan's metric, the first if several are equal or none is known."""
        values = {fit: self._value(fit) for fit in fits}
        known = [fit for fit in fits if values[fit] is not None]
        return min(known, key=lambda fit: values[fit]) if known else fits[0]  # type: ignore[arg-type, return-value]

    def _value(self, fit: str) -> float | None:
        """The metric of a good fit, turned so that less is better."""
        result = self._results.get(fit)
        if result is None or result.status != "ok":
            return None
        value = -self.plan.measure.direction * result.final(self.plan.measure.journal_key)
        return None if math.isnan(value) else value

    def _mean(self, cell: PlannedCell) -> float | None:
        values = [value for fit in self.plan.fits.get(cell.id, ()) if (value := self._value(fit)) is not None]
        return sum(values) / len(values) if values else None
