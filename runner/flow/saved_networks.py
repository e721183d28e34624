"""Saves the parameters of fits as `training.keep` asks, and removes those that a better fit of the cell has beaten.

What is saved in the end depends on the results alone, and not on the order in which they came or on interruptions: with
``best``, of all results of a cell that one has the best metric. A file is written before the line of its fit is in the
journal, and a beaten one is removed after it.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.components.catalog import load_catalog
from runner.files import atomic_write
from runner.fits.records import FitResult, FitSpec
from runner.planning.plan import Plan
from runner.text import plural
from runner.trained import file

Rank = tuple[float, int, int]
"""The smallest is the best: the metric's value, turned so that less is better, then the repeat and the fold."""


@dataclass
class SavedNetworks:
    """The saved networks of a study in its report's `folder`; `best` has each cell's best fit so far."""

    plan: Plan
    folder: Path
    best: dict[str, tuple[Rank, str]] = field(default_factory=dict)

    def begin(self, results: Iterable[FitResult], recorded: Container[str]) -> list[str]:
        """Take note of the plan's results so far, and remove the files of beaten fits and what killed runs left.

        `recorded` has the ids of all fits in the journal, also of earlier plans: those keep their files.
        Returns a line for the user if there are fits whose parameters should be saved, and are not.
        """
        if self.plan.keep == "none":
            return []
        good = [result for result in results if result.status == "ok"]
        for result in good:
            self._enter(result)
        best = {fit for _, fit in self.best.values()}
        wanted = [result.id for result in good if self.plan.keep == "all" or result.id in best]
        if self.plan.keep == "best":
            self._remove(result.id for result in good if result.id not in best)
        found = (self.folder / "fits").glob(f"*{file.SUFFIX}")
        self._remove([path.stem for path in found if path.stem not in recorded])
        lacking = sum(not file.path_of(self.folder, fit).is_file() for fit in wanted)
        if not lacking:
            return []
        problem = f"the parameters of {plural(lacking, 'fit')} in the journal were not saved"
        advice = f"delete {self.folder / 'journal.jsonl'} to train them again, or use another --reports folder"
        return [f"training.keep: {self.plan.keep}: {problem}; {advice}"]

    def save(self, result: FitResult, spec: FitSpec) -> None:
        """Write the file of a fit that has just ended, if it is to be saved; raises StorageError."""
        if result.learned is None or (self.plan.keep == "best" and not self._leads(result)):
            return
        entry = load_catalog(spec.plugin_files).find("architecture", spec.architecture.name)
        # Layer records say all that is computed; of a plugin's own module only its code does.
        code = entry.version if result.learned.network is None else ""
        names = [str(name) for name in self.plan.data["class_names"]]
        facts = file.Facts.of(spec, result.learned, self.plan.name, names, code)
        atomic_write.write(file.path_of(self.folder, result.id), file.encode(facts, file.arrays_of_fit(result.learned)))

    def recorded(self, results: Iterable[FitResult]) -> None:
        """Take note of results that are in the journal now; a fit that one of them beats loses its file."""
        if self.plan.keep != "best":
            return
        for result in results:
            before = self.best.get(result.cell)
            # A fit that is beaten may have a file too: of a killed run, or as it led until others of its group came.
            beaten = ([before[1]] if before else []) if self._enter(result) else [result.id]
            self._remove(beaten)

    def _enter(self, result: FitResult) -> bool:
        """Whether the result is the best of its cell so far; if so it is remembered."""
        leads = self._leads(result)
        if leads:
            self.best[result.cell] = (self._rank(result), result.id)
        return leads

    def _leads(self, result: FitResult) -> bool:
        before = self.best.get(result.cell)
        return result.status == "ok" and (before is None or self._rank(result) < before[0])

    def _rank(self, result: FitResult) -> Rank:
        metric = self.plan.measure
        value = -metric.direction * result.final(metric.journal_key)
        # One that could not be computed comes last, as nan has no place in an order.
        return math.inf if math.isnan(value) else value, result.repeat, result.fold

    def _remove(self, fits: Iterable[str]) -> None:
        for fit in fits:
            with suppress(OSError):  # a file that stays takes disk space; the next run removes it
                file.path_of(self.folder, fit).unlink(missing_ok=True)
