"""The comparison of experiments as text for a terminal, as one JSON document, and as files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from runner.components.records import ComponentRef
from runner.files import atomic_write
from runner.fits.metrics import Metric
from runner.reporting.between_studies.compare import ComparedPair, ComparedReport, Comparison, Ranks
from runner.reporting.tables.csv_text import csv_text
from runner.reporting.tables.study_tables import records
from runner.reporting.text import numbers, sentences
from runner.text import printable, yaml_value

MAX_SETTINGS = 20
"""At most this many of the settings that differ are printed per pair; the JSON document has all of them."""


@dataclass(frozen=True)
class TitledTable:
    """A table with a title above and notes below; the first `texts` columns are text, the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int
    notes: tuple[str, ...] = ()


def sections(compared: Comparison) -> list[TitledTable]:
    """The tables to print, without empty ones."""
    tables = [_experiments(compared.sides)]
    for pair in compared.pairs:
        tables += [_settings(pair), _cells(compared.measure, pair), *_factors(compared.measure, pair)]
    return [table for table in tables if table.rows] + ([_ranks(compared)] if compared.ranks else [])


def _experiments(sides: Sequence[ComparedReport]) -> TitledTable:
    # A narrow terminal leaves out the last ones.
    columns = ("", "experiment", "folder", "data set", "completed fits", "cells", "folds", "repeats", "seed")
    rows = [
        (
            side.letter, side.plan.name, str(side.folder), side.plan.dataset.name,
            f"{side.good} of {side.plan.fit_count}", str(len(side.plan.cells)), str(side.plan.folds),
            str(side.plan.repeats), str(side.plan.seed),
        )
        for side in sides
    ]  # fmt: skip
    return TitledTable("Experiments", columns, rows, 4)


def _between(pair: ComparedPair) -> str:
    return f"{pair.a.letter} and {pair.b.letter}"


def _settings(pair: ComparedPair) -> TitledTable:
    rows = [(s.path, "; ".join(s.cells) or "all", _value(s.a), _value(s.b)) for s in pair.settings[:MAX_SETTINGS]]
    more = len(pair.settings) - MAX_SETTINGS
    notes = (f"and {more} more (use --json to list all)",) if more > 0 else ()
    return TitledTable(
        f"Settings that differ between {_between(pair)}",
        ("setting", "cells", pair.a.letter, pair.b.letter),
        rows,
        4,
        notes,
    )


def _unit(metric: Metric, before: str) -> str:
    """The unit of values with the text before it; "" if they have none."""
    return f"{before}{metric.value_unit}" if metric.value_unit else ""


def _value(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "–"
    if isinstance(value, dict) and "name" in value:
        return str(ComponentRef.from_dict(value))
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else yaml_value(value)


def _cells(metric: Metric, pair: ComparedPair) -> TitledTable:
    """The shared cells: the difference of their means if fits are paired, else each mean with its interval."""
    rows, a, b = records(pair.cells), pair.a.letter, pair.b.letter
    title = f"Cells that {_between(pair)} share, {metric.name}{_unit(metric, ' in ')}"
    means = [(*_mean(metric, row, "a", pair.a), *_mean(metric, row, "b", pair.b)) for row in rows]
    notes = _notes(rows) + _survivors(any(_lacks(row, "a", pair.a) or _lacks(row, "b", pair.b) for row in rows))
    if pair.unpaired:
        columns = ("cell", a, f"95% interval of {a}", b, f"95% interval of {b}")
        unpaired = [(_name(row), *mean) for row, mean in zip(rows, means, strict=True)]
        return TitledTable(title, columns, unpaired, 1, (pair.unpaired, *notes))
    # The difference first, as a narrow terminal leaves out the last columns.
    titles = ("cell", f"{a} {numbers.MINUS} {b}", "95% interval", a, b, "p, Holm", "fits")
    paired = [
        (_name(row), *_difference(metric, row), one, other, numbers.probability(row["p_holm"]), str(row["n"]))
        for row, (one, _, other, _) in zip(rows, means, strict=True)
    ]
    return TitledTable(title, titles, paired, 1, notes)


def _notes(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    by_levels = sum(row["shared_by"] == "levels" for row in rows)
    subject = f"{by_levels} of {len(rows)} cells are" if by_levels < len(rows) else "the cells are"
    return (f"{subject} matched by the names of their levels, not by their content",) if by_levels else ()


def _survivors(present: bool) -> tuple[str, ...]:
    return (numbers.mark_notes(survivors=True).strip(),) if present else ()


def _lacks(row: dict[str, Any], end: str, side: ComparedReport) -> bool:
    """Whether a cell lacks fits that failed or did not run."""
    return bool(row[f"n_{end}"] < side.planned(row[f"cell_{end}"]))


def _name(row: dict[str, Any]) -> str:
    a, b = row["cell_a"], row["cell_b"]
    return str(a) if a == b else f"{a} ({row['experiment_b']}: {b})"


def _mean(metric: Metric, row: dict[str, Any], end: str, side: ComparedReport) -> tuple[str, str]:
    low, high = row[f"ci_low_{end}"], row[f"ci_high_{end}"]
    mean = numbers.number(metric, row[f"mean_{end}"])
    return numbers.marked(mean, numbers.SURVIVORS, _lacks(row, end, side)), numbers.interval(metric, low, high)


def _difference(metric: Metric, row: dict[str, Any], end: str = "") -> tuple[str, str]:
    difference, low, high = (row[f"{name}{end}"] for name in ("difference", "ci_low", "ci_high"))
    return numbers.number(metric, difference, sign=True), numbers.interval(metric, low, high, sign=True)


def _factors(metric: Metric, pair: ComparedPair) -> Iterable[TitledTable]:
    """One table per factor."""
    a, b = pair.a.letter, pair.b.letter
    alphas = (side.matrix.alpha for side in (pair.a, pair.b))  # lower in a study with looks
    own, other = (f"{numbers.confidence(alpha)} interval" for alpha in alphas)
    columns = ("levels", "same sign", f"in {a}", own, f"in {b}", other)
    for factor, table in pair.factors.groupby("factor", sort=False):
        rows = records(table)
        texts = [
            (
                f" {numbers.MINUS} ".join(sentences.level_names(row)), row["same_sign"],
                *_effect(metric, row, "_in_a"), *_effect(metric, row, "_in_b"),
            )
            for row in rows
        ]  # fmt: skip
        notes = _survivors(any(sentences.is_incomplete(row, end) for row in rows for end in ("_in_a", "_in_b")))
        title = f"{factor} in {_between(pair)}, differences in {metric.unit or metric.name}"
        yield TitledTable(title, columns, texts, 2, notes)


def _effect(metric: Metric, row: dict[str, Any], end: str) -> tuple[str, str]:
    difference, interval = _difference(metric, row, end)
    return numbers.marked(difference, numbers.SURVIVORS, sentences.is_incomplete(row, end)), interval


def _ranks(compared: Comparison) -> TitledTable:
    assert compared.ranks is not None  # checked by the caller
    means, result = compared.ranks.means, compared.ranks.result
    columns = ("cell", "mean rank", *(f"{name}{_unit(compared.measure, ', ')}" for name in means.index))
    rows = [
        (str(cell), f"{rank:.2f}", *(numbers.number(compared.measure, value) for value in means[cell]))
        for cell, rank in result.ranks.items()
    ]
    title = f"Cells ranked over {len(means)} data sets by {compared.metric} (1 is the best)"
    return TitledTable(title, columns, rows, 1, tuple(verdict(compared.ranks)))


def verdict(ranks: Ranks) -> Iterable[str]:
    """The critical difference, Friedman's test, and which cells do not differ significantly."""
    result = ranks.result
    yield f"critical difference of mean ranks: {result.difference:.2f} (Nemenyi at 5%, Demsar 2006)"
    if not math.isnan(result.p):
        yield f"Friedman's test that all cells are equal: p {numbers.probability(result.p)}"
    for group in result.groups:
        yield f"no significant differences between: {'; '.join(group)}"
    if not result.groups:
        yield "all cells differ significantly from each other"


def remarks(compared: Comparison, written: Iterable[Path]) -> list[str]:
    """The lines for stderr: warnings, why there are no ranks, and the files that were written."""
    # Warnings quote names from the reports, in which a terminal would execute escape sequences: hence printable.
    warnings = [f"warning: {warning}" for warning in compared.warnings]
    return [*map(printable, [*warnings, *filter(None, [compared.refused])]), *map(str, written)]


def document(compared: Comparison) -> dict[str, Any]:
    """The whole comparison as plain data for JSON; unknown values are None."""
    ranks = compared.ranks
    return {
        "metric": compared.metric,
        "experiments": [
            {
                "letter": side.letter, "label": side.label, "name": side.plan.name, "folder": str(side.folder),
                "dataset": side.plan.dataset.to_dict(), "fits": side.plan.fit_count, "good": side.good,
            }
            for side in compared.sides
        ],
        "pairs": [
            {
                "a": pair.a.letter, "b": pair.b.letter, "unpaired": pair.unpaired or None,
                "settings": [asdict(setting) for setting in pair.settings],
                "cells": _plain(pair.cells), "factors": _plain(pair.factors),
            }
            for pair in compared.pairs
        ],
        "ranks": ranks and {
            "data_sets": list(ranks.means.index),
            "cells": [{"cell": str(cell), "rank": float(rank), "means": [float(v) for v in ranks.means[cell]]}
                      for cell, rank in ranks.result.ranks.items()],
            "critical_difference": ranks.result.difference,
            "groups": ranks.result.groups,
            "p": None if math.isnan(ranks.result.p) else ranks.result.p,
        },
        "refused": compared.refused or None,
        "warnings": compared.warnings,
    }  # fmt: skip


def _plain(table: pd.DataFrame) -> Any:
    """The rows as mappings, without the names of the two experiments, which the document has once per pair."""
    # As objects, since a column of floats would turn None back into nan.
    plain = table.drop(columns=["experiment_a", "experiment_b"]).astype(object)
    # JSON has neither nan nor infinity; a difference without variance has an infinite t statistic.
    plain = plain.where(plain.notna(), None).replace({math.inf: "inf", -math.inf: "-inf"})
    return records(plain)


def write(compared: Comparison, folder: Path) -> list[Path]:
    """Write the tables as CSV files, and the ranks, if any, with their diagram; returns the paths of the files."""
    tables = {
        "cells": pd.concat([pair.cells for pair in compared.pairs]),
        "factors": pd.concat([pair.factors for pair in compared.pairs]),
    }
    if compared.ranks:
        means, result = compared.ranks.means, compared.ranks.result
        table = means[result.ranks.index].T.rename_axis("cell")
        table.insert(0, "rank", result.ranks)
        tables["ranks"] = table.reset_index()
    for name, table in tables.items():
        atomic_write.write(folder / f"{name}.csv", csv_text(table))
    return [folder / f"{name}.csv" for name in tables] + (_draw(compared, folder) if compared.ranks else [])


def _draw(compared: Comparison, folder: Path) -> list[Path]:
    from runner.reporting.figures.ranks import diagram  # imports matplotlib, which the text does not need

    assert compared.ranks is not None  # checked by the caller
    picture = diagram(compared.ranks.result, compared.metric, len(compared.ranks.means))
    svg, png = folder / "ranks.svg", folder / "ranks.png"
    atomic_write.write(svg, picture.svg + "\n")
    atomic_write.write(png, picture.png)
    return [svg, png]
