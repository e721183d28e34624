"""Comparisons of experiments: the cells and the factors that they share, and how well their results agree."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.errors import RunnerError
from runner.fits.metrics import Metric
from runner.journal.frames import Frames
from runner.planning import differences, plan_file
from runner.planning.differences import MatchedCells, SettingDifference
from runner.planning.library_versions import Counts, count_versions_in_frame, describe_mixture, retrain_hint
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.journal_frames import read_frames
from runner.reporting.statistics.comparisons import comparisons_table
from runner.reporting.statistics.corrected_t import holm
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix
from runner.reporting.statistics.metric_test import metric_test
from runner.reporting.statistics.ranks import CriticalDifference, critical_difference
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.study_tables import records
from runner.shown import Shown, Table

LoadedReport = tuple[Path, Plan, Frames]
"""The folder of a report, its plan and the frames of its journal."""

# The columns of the tables, and the estimates of `metric_test` that they hold.
MEAN = {"n": "n", "mean": "mean", "ci_low": "low", "ci_high": "high"}
DIFFERENCE = {"n": "n", "difference": "mean", "ci_low": "low", "ci_high": "high", "t": "t", "df": "df", "p": "p"}
DIFFERENCE_COLUMNS = (*DIFFERENCE, "p_holm", "p_better", "p_same", "p_worse", "effect_size")
IN_EACH = ("cells", "pairs", "n", "n_planned", "difference", "ci_low", "ci_high")


@dataclass(frozen=True)
class ComparedReport:
    """One of the experiments. `letter` names it in the tables that are printed, `label` in files; both are unique."""

    letter: str
    label: str
    folder: Path
    plan: Plan
    fits: pd.DataFrame
    versions: Counts
    journal: Frames

    # Cached, since the first experiment is part of every pair.
    @cached_property
    def matrix(self) -> MetricMatrix:
        return metric_matrix(self.plan, self.fits, self.journal)

    @property
    def good(self) -> int:
        return int((self.fits["status"] == "ok").sum())

    @property
    def fingerprint(self) -> str:
        return str(self.plan.data.get("fingerprint", "unknown"))

    def planned(self, cell: str) -> int:
        """The number of fits that are planned for the cell of that name."""
        return next(self.plan.folds * self.plan.repeats_of(c.id) for c in self.plan.cells if c.name == cell)

    def values(self, cells: Sequence[PlannedCell]) -> np.ndarray:
        """The metric of the cells (cells, repeats * folds), nan for fits that failed or are missing."""
        row = {cell.id: index for index, cell in enumerate(self.matrix.cells)}
        return self.matrix.values[[row[cell.id] for cell in cells]]


@dataclass(frozen=True)
class ComparedPair:
    """The comparison of two experiments. `unpaired` says why their fits are not paired, "" if they are.

    `settings` are those that differ. `cells` has one row per shared cell, `factors` one row per pair of levels that
    both experiments have.
    """

    a: ComparedReport
    b: ComparedReport
    unpaired: str
    settings: tuple[SettingDifference, ...]
    cells: pd.DataFrame
    factors: pd.DataFrame


@dataclass(frozen=True)
class Ranks:
    """The cells that all experiments share, ranked over data sets.

    `means` (data sets, cells) has the mean metric, with names as its index and columns.
    """

    means: pd.DataFrame
    result: CriticalDifference


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """The first experiment compared with each of the others, by its metric.

    `refused` says why the cells could not be ranked over data sets; "" if they were, or if there was nothing to rank.
    """

    metric: str
    sides: tuple[ComparedReport, ...]
    pairs: tuple[ComparedPair, ...]
    ranks: Ranks | None
    refused: str
    warnings: tuple[str, ...]

    @property
    def measure(self) -> Metric:
        """The record of the metric."""
        return self.sides[0].plan.measure

    def shown(self) -> Iterator[str | Table]:
        from runner.reporting.between_studies import side_by_side  # which builds on this module

        for section in side_by_side.sections(self):
            yield section.title
            yield Table(section.columns, section.rows, section.texts)
            yield from section.notes
            yield ""
        yield from side_by_side.remarks(self, ())


def read_report(folder: Path) -> LoadedReport:
    """Read the report in `folder`; raises RunnerError if it has no valid plan.yaml or no journal.jsonl."""
    plan, file = plan_file.read(folder / "plan.yaml"), folder / "journal.jsonl"
    if not file.is_file():
        raise RunnerError(f"{file}: no such file; a report's folder has this record of its fits next to plan.yaml")
    return folder, plan, read_frames(plan, folder)


def refuse_same(reports: Sequence[LoadedReport], given: Sequence[object]) -> None:
    """Raise RunnerError if two of the reports, which were `given` so, are of one folder."""
    first: dict[Path, object] = {}
    for (folder, *_), name in zip(reports, given, strict=True):
        if (earlier := first.get(folder.resolve())) is not None:
            raise RunnerError(f"{name}: the same study as {earlier} ({folder}); expected different ones")
        first[folder.resolve()] = name


def compare(reports: Sequence[LoadedReport]) -> Comparison:
    """Compare the first of two or more experiments with each of the others.

    Raises RunnerError if it shares neither a cell nor two levels of a factor with one of them.
    """
    metric = reports[0][1].metric
    first, *others = sides = [
        ComparedReport(
            _letter(index),
            label,
            folder,
            plan,
            fits_table(plan, frames.fits),
            count_versions_in_frame(plan, frames.fits),
            frames,
        )
        for index, (label, (folder, given, frames)) in enumerate(zip(_labels(reports), reports, strict=True))
        # One metric for all, also if an experiment was made for another.
        for plan in [replace(given, metric=metric, measures=reports[0][1].measures)]
    ]
    for side in sides:
        if side.good and np.isnan(side.matrix.values).all():
            message = f"its fits were not measured by {metric}, the metric of {first.folder}"
            raise RunnerError(
                f"{side.folder}: {message}; run it with report.metrics: [{metric}], or compare by another"
            )
    matches = [differences.match_cells(first.plan, other.plan) for other in others]
    pairs = [_pair(first, other, matched) for other, matched in zip(others, matches, strict=True)]
    ranks, refused = _ranks(sides, matches)
    warnings = (*_mixed(sides), *_versions(pairs), *_metrics(reports), *(_one_source(sides) if ranks else ()))
    return Comparison(metric, tuple(sides), tuple(pairs), ranks, refused, warnings)


def _letter(index: int) -> str:
    """A to Z, then AA, BB to ZZ, AAA and so on."""
    return string.ascii_uppercase[index % 26] * (index // 26 + 1)


def _labels(reports: Sequence[LoadedReport]) -> list[str]:
    """The names of the experiments, else their folders, else the folders with letters: the first that are unique."""
    names, folders = [plan.name for _, plan, _ in reports], [str(folder) for folder, _, _ in reports]
    lettered = [f"{folder} ({_letter(index)})" for index, folder in enumerate(folders)]
    return next((labels for labels in (names, folders) if len(set(labels)) == len(labels)), lettered)


def _pair(a: ComparedReport, b: ComparedReport, matched: MatchedCells) -> ComparedPair:
    unpaired = differences.different_splits(a.plan, b.plan)
    cells, factors = _cells_table(a, b, matched, not unpaired), _factors_table(a, b)
    # Two common levels are not enough: in each experiment some of their cells must match in all other factors.
    if cells.empty and factors.empty:
        raise RunnerError(
            f"{a.folder} and {b.folder} share no cell and no factor with two levels in common: "
            f"{a.letter} has {differences.factor_list(a.plan)}; {b.letter} has {differences.factor_list(b.plan)}"
        )
    return ComparedPair(a, b, unpaired, differences.different_settings(a.plan, b.plan, matched), cells, factors)


def _cells_table(a: ComparedReport, b: ComparedReport, matched: MatchedCells, paired: bool) -> pd.DataFrame:
    """One row per shared cell: both means with their own intervals, and the difference a - b if fits are paired.

    The difference is tested like that of two cells of one experiment, on each (repeat, fold) that both have, with p
    Holm-adjusted for the shared cells. Without paired fits, its `n` is 0 and the rest nan.
    """
    values = [a.values([one for one, _ in matched]), b.values([other for _, other in matched])]
    columns: dict[str, Any] = {
        "experiment_a": a.label,
        "experiment_b": b.label,
        "cell_a": [one.name for one, _ in matched],
        "cell_b": [other.name for _, other in matched],
        "shared_by": ["content" if one.id == other.id else "levels" for one, other in matched],
    }
    for end, side, measurements in zip("ab", (a, b), values, strict=True):
        # Each with its own plan: without paired fits, the numbers of folds may differ.
        estimates = metric_test(side.plan, measurements)
        columns |= {f"{name}_{end}": estimates[key] for name, key in MEAN.items()}
    if not paired:
        return pd.DataFrame(columns | {"n": 0} | dict.fromkeys(DIFFERENCE_COLUMNS[1:], math.nan))
    # Paired fits have the same splits, so the folds of either plan are those of both.
    tests = metric_test(a.plan, values[0] - values[1], difference=True)
    better, worse = ("p_above", "p_below")[:: a.plan.measure.direction]
    probabilities = {"p_better": better, "p_same": "p_within", "p_worse": worse, "effect_size": "effect_size"}
    columns |= {name: tests[key] for name, key in {**DIFFERENCE, **probabilities}.items()}
    table = pd.DataFrame(columns).assign(p_holm=holm(tests["p"]))
    # assign put p_holm last; unpaired tables have it after p, and `write` concatenates both kinds.
    return table[[name for name in table if name not in DIFFERENCE_COLUMNS] + list(DIFFERENCE_COLUMNS)]


def _factors_table(a: ComparedReport, b: ComparedReport) -> pd.DataFrame:
    """One row per pair of levels that both have: their difference in each, averaged over its other factors.

    `same_sign` is "yes" if both intervals are on the same side of 0, "no" if they are on different sides, else
    "unclear".
    """
    in_b: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in records(comparisons_table(b.plan, b.matrix)):
        in_b[row["factor"], row["level_a"], row["level_b"]] = row
        # The two plans may list the levels in different orders. `0 -` because `-` would turn 0.0 into -0.0.
        flipped = {"difference": 0 - row["difference"], "ci_low": 0 - row["ci_high"], "ci_high": 0 - row["ci_low"]}
        in_b[row["factor"], row["level_b"], row["level_a"]] = row | flipped
    rows = []
    for one in records(comparisons_table(a.plan, a.matrix)):
        names = (one["factor"], one["level_a"], one["level_b"])
        other = in_b.get(names)
        # Without a matched pair of cells in both, there are no two differences to put side by side.
        if other and one["pairs"] and other["pairs"]:
            in_each = [side[name] for side in (one, other) for name in IN_EACH]
            sign = _side_of_zero(one) * _side_of_zero(other)
            rows.append((a.label, b.label, *names, {1: "yes", -1: "no", 0: "unclear"}[sign], *in_each))
    columns = ["experiment_a", "experiment_b", "factor", "level_a", "level_b", "same_sign"]
    return pd.DataFrame(rows, columns=[*columns, *(f"{name}_in_{end}" for end in "ab" for name in IN_EACH)])


def _side_of_zero(row: dict[str, Any]) -> int:
    # An unknown interval is on neither side, since nan compares as false.
    return int(row["ci_low"] > 0) - int(row["ci_high"] < 0)


def _ranks(sides: Sequence[ComparedReport], matches: Sequence[MatchedCells]) -> tuple[Ranks | None, str]:
    """The shared cells ranked over the data sets, or why they are not; neither if there is nothing to rank."""
    partners = [{one.id: other for one, other in matched} for matched in matches]
    in_all = [cell for cell in sides[0].plan.cells if all(cell.id in partner for partner in partners)]
    # Two experiments on one data set are compared in pairs; that there are no ranks is not worth a message.
    one_data_set = len({side.fingerprint for side in sides}) == 1
    if len(in_all) < 2 or (one_data_set and len(sides) == 2):
        return None, ""
    cells = [in_all, *([partner[cell.id] for cell in in_all] for partner in partners)]
    values = [metric_test(side.plan, side.values(row))["mean"] for side, row in zip(sides, cells, strict=True)]
    means = pd.DataFrame(values, index=_data_sets(sides), columns=[cell.name for cell in in_all])
    # A refusal concerns only the ranks; the comparisons in pairs are still worth reading.
    try:
        return Ranks(means, critical_difference(means, sides[0].plan.measure.direction > 0)), ""
    except RunnerError as error:
        return None, str(error)


def _data_sets(sides: Sequence[ComparedReport]) -> list[str]:
    """A name for the data of each experiment: equal names for equal fingerprints, and different ones for different."""
    names: dict[str, str] = {}
    for side in sides:
        name = str(side.plan.dataset.name)
        # Two files may be read by one data set component, and have its name; the fingerprint distinguishes them.
        names.setdefault(side.fingerprint, f"{name} {side.fingerprint}" if name in names.values() else name)
    # Equal names are kept, since critical_difference refuses a data set that occurs twice.
    return [names[side.fingerprint] for side in sides]


def _mixed(sides: Sequence[ComparedReport]) -> list[str]:
    """A warning for each experiment whose fits were made with different versions of a library."""
    mixtures = [(side, describe_mixture(side.versions)) for side in sides]
    return [
        f"{side.letter} mixes fits made with {mixed}. {retrain_hint(side.plan)}" for side, mixed in mixtures if mixed
    ]


def _versions(pairs: Sequence[ComparedPair]) -> list[str]:
    """A warning for each two experiments that were made with different versions of a library."""
    warnings = []
    for a, b in ((pair.a, pair.b) for pair in pairs):
        if versions := differences.different_versions(a.plan, b.plan, a.versions, b.versions):
            warnings.append(
                f"{a.letter} and {b.letter} were made with {versions}; to train either again with the installed "
                "versions, use `runner run` with another --reports"
            )
    return warnings


def _metrics(reports: Sequence[LoadedReport]) -> list[str]:
    metric = reports[0][1].metric
    others = [(_letter(index), plan.metric) for index, (_, plan, _) in enumerate(reports) if plan.metric != metric]
    return [f"the metric of {letter} is {own}; all are compared by {metric}, the metric of A" for letter, own in others]


def _one_source(sides: Sequence[ComparedReport]) -> list[str]:
    """A warning for data sets that cite the same work: they may share images, though their fingerprints differ."""
    by_source: dict[str, list[str]] = {}
    for side in sides:
        # Without a citation there is no sign of a common source.
        by_source.setdefault(side.plan.data.get("citation") or side.fingerprint, []).append(side.letter)
    words = "have data from the same source, which the ranks count as independent data sets"
    return [f"{' and '.join(letters)} {words}: {source}" for source, letters in by_source.items() if len(letters) > 1]
