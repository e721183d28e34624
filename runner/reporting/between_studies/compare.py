"""Experiments side by side: the cells and the factors that they share, and how far their results agree."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.errors import RunnerError
from runner.fits.metrics import find_metric
from runner.journal.frames import Frames, frames
from runner.journal.index import read
from runner.planning import differences, plan_file
from runner.planning.differences import Matched, Setting
from runner.planning.library_versions import Counts, anew, mixture, of_frame
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.comparisons import comparisons_table
from runner.reporting.statistics.corrected_t import corrected_rows, holm
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix, test_share
from runner.reporting.statistics.ranks import CriticalDifference, critical_difference
from runner.reporting.tables.study_tables import fits_table, records

LoadedReport = tuple[Path, Plan, Frames]
"""The folder of a report, its plan and its journal."""

MEAN = {"n": "n", "mean": "mean", "ci_low": "low", "ci_high": "high"}
DIFFERENCE = {"n": "n", "difference": "mean", "ci_low": "low", "ci_high": "high", "t": "t", "df": "df", "p": "p"}
RESULT = (*DIFFERENCE, "p_holm", "p_better", "p_same", "p_worse", "effect_size")
IN_EACH = ("cells", "n", "difference", "ci_low", "ci_high")


@dataclass(frozen=True)
class ComparedReport:
    """One of the experiments; `letter` stands for it in tables that people read, `label` in files: both are unique."""

    letter: str
    label: str
    folder: Path
    plan: Plan
    fits: pd.DataFrame
    versions: Counts

    @cached_property
    def found(self) -> MetricMatrix:
        return metric_matrix(self.plan, self.fits)

    @property
    def good(self) -> int:
        return int((self.fits["status"] == "ok").sum())

    @property
    def fingerprint(self) -> str:
        return str(self.plan.data.get("fingerprint", "unknown"))

    def values(self, cells: Sequence[PlannedCell]) -> np.ndarray:
        """(cells, repeats * folds) of the metric; nan where a fit is not good."""
        place = {cell.id: number for number, cell in enumerate(self.found.cells)}
        return self.found.values[[place[cell.id] for cell in cells]]


@dataclass(frozen=True)
class ComparedPair:
    """Two experiments. `unpaired` says why their fits are no pairs, "" where they are.

    `cells`: a row a shared cell; `factors`: a row a pair of levels that both have.
    """

    a: ComparedReport
    b: ComparedReport
    unpaired: str
    settings: tuple[Setting, ...]
    cells: pd.DataFrame
    factors: pd.DataFrame


@dataclass(frozen=True)
class Ranks:
    """The cells that all experiments share, ranked over data sets. `means`: a row a data set, a column a cell."""

    means: pd.DataFrame
    found: CriticalDifference


@dataclass(frozen=True)
class Comparison:
    """The first experiment beside each of the others, in its metric.

    `refused` says why cells could not be ranked over data sets; "" where they were, or where that was no question.
    """

    metric: str
    sides: tuple[ComparedReport, ...]
    pairs: tuple[ComparedPair, ...]
    ranks: Ranks | None
    refused: str
    warnings: tuple[str, ...]


def read_report(folder: Path) -> LoadedReport:
    """The report in `folder`; raises RunnerError where it is none."""
    plan, file = plan_file.read(folder / "plan.yaml"), folder / "journal.jsonl"
    if not file.is_file():
        raise RunnerError(f"{file}: no such file; it is the record of the fits, and lies beside plan.yaml")
    return folder, plan, frames(read(file)[0])


def compare(studies: Sequence[LoadedReport]) -> Comparison:
    """Two or more experiments side by side.

    Raises RunnerError where the first shares neither a cell nor two levels of a factor with one of the others.
    """
    metric = studies[0][1].metric
    first, *others = sides = [
        ComparedReport(
            _letter(place),
            label,
            folder,
            replace(plan, metric=metric),
            fits_table(plan, frames.fits),
            of_frame(plan, frames.fits),
        )
        for place, (label, (folder, plan, frames)) in enumerate(zip(_labels(studies), studies, strict=True))
    ]
    matches = [differences.match_cells(first.plan, other.plan) for other in others]
    pairs = [_pair(first, other, matched) for other, matched in zip(others, matches, strict=True)]
    ranks, refused = _ranks(sides, matches)
    warnings = (*_mixed(sides), *_versions(pairs), *_metrics(studies), *(_one_source(sides) if ranks else ()))
    return Comparison(metric, tuple(sides), tuple(pairs), ranks, refused, warnings)


def _letter(place: int) -> str:
    """A to Z, then AA to ZZ and so on, one letter repeated."""
    return string.ascii_uppercase[place % 26] * (place // 26 + 1)


def _labels(studies: Sequence[LoadedReport]) -> list[str]:
    """The names of the experiments, or their folders, or the folders with letters: what tells all of them apart."""
    names, folders = [plan.name for _, plan, _ in studies], [str(folder) for folder, _, _ in studies]
    lettered = [f"{folder} ({_letter(place)})" for place, folder in enumerate(folders)]
    return next((labels for labels in (names, folders) if len(set(labels)) == len(labels)), lettered)


def _pair(a: ComparedReport, b: ComparedReport, matched: Matched) -> ComparedPair:
    unpaired = differences.different_splits(a.plan, b.plan)
    cells, factors = _cells_table(a, b, matched, not unpaired), _factors_table(a, b)
    if cells.empty and factors.empty:
        raise RunnerError(
            f"{a.folder} and {b.folder} share no cell, and no factor of which both have two of the same levels: "
            f"{a.letter} has {differences.factor_list(a.plan)}; {b.letter} has {differences.factor_list(b.plan)}"
        )
    return ComparedPair(a, b, unpaired, differences.different_settings(a.plan, b.plan, matched), cells, factors)


def _cells_table(a: ComparedReport, b: ComparedReport, matched: Matched, paired: bool) -> pd.DataFrame:
    """A row a shared cell: both means with their own intervals, and where fits are paired the difference a - b.

    That is as between cells of one experiment: over the (repeat, fold)s that both have, p Holm-adjusted for the cells
    shared. `n` is 0 and the rest nan where fits are not paired.
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
        row = corrected_rows(measurements, test_share(side.plan))
        columns |= {f"{name}_{end}": row[key] for name, key in MEAN.items()}
    if not paired:
        return pd.DataFrame(columns | {"n": 0} | dict.fromkeys(RESULT[1:], math.nan))
    row = corrected_rows(values[0] - values[1], test_share(a.plan), a.plan.equivalent)
    better, worse = ("p_above", "p_below")[:: find_metric(a.plan.metric).direction]
    chances = {"p_better": better, "p_same": "p_within", "p_worse": worse, "effect_size": "effect_size"}
    columns |= {name: row[key] for name, key in {**DIFFERENCE, **chances}.items()}
    table = pd.DataFrame(columns).assign(p_holm=holm(row["p"]))
    return table[[name for name in table if name not in RESULT] + list(RESULT)]


def _factors_table(a: ComparedReport, b: ComparedReport) -> pd.DataFrame:
    """A row a pair of levels that both have: the difference of the levels in each, averaged over its other factors.

    `same_sign`: "yes" where both intervals are on the same side of 0, "no" where they are on different sides, else
    "unclear".
    """
    theirs: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in records(comparisons_table(b.plan, b.fits)):
        theirs[row["factor"], row["level_a"], row["level_b"]] = row
        turned = {"difference": 0 - row["difference"], "ci_low": 0 - row["ci_high"], "ci_high": 0 - row["ci_low"]}
        theirs[row["factor"], row["level_b"], row["level_a"]] = row | turned
    rows = []
    for one in records(comparisons_table(a.plan, a.fits)):
        names = (one["factor"], one["level_a"], one["level_b"])
        if other := theirs.get(names):
            in_each = [side[name] for side in (one, other) for name in IN_EACH]
            sign = _side_of_zero(one) * _side_of_zero(other)
            rows.append((a.label, b.label, *names, {1: "yes", -1: "no", 0: "unclear"}[sign], *in_each))
    columns = ["experiment_a", "experiment_b", "factor", "level_a", "level_b", "same_sign"]
    return pd.DataFrame(rows, columns=[*columns, *(f"{name}_in_{end}" for end in "ab" for name in IN_EACH)])


def _side_of_zero(row: dict[str, Any]) -> int:
    return int(row["ci_low"] > 0) - int(row["ci_high"] < 0)


def _ranks(sides: Sequence[ComparedReport], matches: Sequence[Matched]) -> tuple[Ranks | None, str]:
    """The cells that all share, ranked over the data sets, or why not; neither where it is two of one data set."""
    partners = [{one.id: other for one, other in matched} for matched in matches]
    in_all = [cell for cell in sides[0].plan.cells if all(cell.id in found for found in partners)]
    one_data_set = len({side.fingerprint for side in sides}) == 1
    if len(in_all) < 2 or (one_data_set and len(sides) == 2):
        return None, ""
    cells = [in_all, *([found[cell.id] for cell in in_all] for found in partners)]
    values = [corrected_rows(side.values(row), 0)["mean"] for side, row in zip(sides, cells, strict=True)]
    means = pd.DataFrame(values, index=_data_sets(sides), columns=[cell.name for cell in in_all])
    try:
        return Ranks(means, critical_difference(means, find_metric(sides[0].plan.metric).direction > 0)), ""
    except RunnerError as error:
        return None, str(error)


def _data_sets(sides: Sequence[ComparedReport]) -> list[str]:
    """A name for each experiment's data: the same for the same data, another for others."""
    names: dict[str, str] = {}
    for side in sides:
        name = str(side.plan.dataset.name)
        names.setdefault(side.fingerprint, f"{name} {side.fingerprint}" if name in names.values() else name)
    return [names[side.fingerprint] for side in sides]


def _mixed(sides: Sequence[ComparedReport]) -> list[str]:
    """The experiments that mix versions of libraries within them."""
    found = [(side, mixture(side.versions)) for side in sides]
    return [f"{side.letter} was made with {mixed}. {anew(side.plan)}" for side, mixed in found if mixed]


def _versions(pairs: Sequence[ComparedPair]) -> list[str]:
    ends = [(pair, pair.a, pair.b) for pair in pairs]
    found = [(pair, differences.different_versions(a.plan, b.plan, a.versions, b.versions)) for pair, a, b in ends]
    return [
        f"{pair.a.letter} and {pair.b.letter} were made with {versions}; with another --reports, `runner run` trains "
        "either anew with those that are installed"
        for pair, versions in found
        if versions
    ]


def _metrics(studies: Sequence[LoadedReport]) -> list[str]:
    metric = studies[0][1].metric
    others = [(_letter(place), plan.metric) for place, (_, plan, _) in enumerate(studies) if plan.metric != metric]
    return [f"{letter} is about {own}; all are compared by {metric}, as A is" for letter, own in others]


def _one_source(sides: Sequence[ComparedReport]) -> list[str]:
    """Data sets that cite the same work may hold the same images, which no fingerprint of a whole data set shows."""
    by_source: dict[str, list[str]] = {}
    for side in sides:
        by_source.setdefault(side.plan.data.get("citation") or side.fingerprint, []).append(side.letter)
    words = "are on data of one source, which the ranks count as independent data sets"
    return [f"{' and '.join(letters)} {words}: {source}" for source, letters in by_source.items() if len(letters) > 1]
