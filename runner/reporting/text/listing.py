"""The tables that people read: a listing's columns say how a row is shown and by what it is sorted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import numbers, sentences

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its title, how a row's entry is shown, and by what it is sorted (None: not at all)."""

    title: str
    show: Callable[[Row], str]
    key: Callable[[Row], Any] | None = None
    text: bool = False


@dataclass(frozen=True)
class Entry:
    """One entry as text, and the value that it is sorted by ("" where there is none)."""

    text: str
    key: str


@dataclass(frozen=True)
class TextTable:
    """A table as every format shows it. `name` is that of the CSV with its figures, `note` says what it shows."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]

    def texts(self) -> list[list[str]]:
        return [[entry.text for entry in row] for row in self.rows]


def listing(name: str, title: str, note: str, columns: Sequence[Column | None], rows: Sequence[Row]) -> TextTable:
    """The rows under the columns that are not None."""
    kept = tuple(column for column in columns if column)
    return TextTable(name, title, note, kept, tuple(tuple(_entry(column, row) for column in kept) for row in rows))


def _entry(column: Column, row: Row) -> Entry:
    key = column.key(row) if column.key else ""
    unknown = key is None or (isinstance(key, float) and math.isnan(key))
    return Entry(column.show(row), "" if unknown else str(key))


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}".replace("-", numbers.MINUS)


def _seconds(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _ratio(value: float) -> str:
    return "–" if math.isnan(value) else f"× {value:.3g}"


def _range(low: float, high: float) -> str:
    if math.isnan(low):
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _test(t: float, df: float) -> str:
    return "–" if math.isnan(t) else f"{t:.2f} ({df:.0f})".replace("-", numbers.MINUS)


def _name(title: str, column: str) -> Column:
    return Column(title, lambda row: str(row[column]), lambda row: str(row[column]), text=True)


def _figure(title: str, column: str, show: Callable[[Any], str]) -> Column:
    return Column(title, lambda row: show(row[column]), lambda row: row[column])


def leaderboard(plan: Plan, tables: Tables) -> TextTable:
    """The cells, best first."""
    metric = plan.metric
    unit = find_metric(plan.metric).value_unit

    def value(number: float) -> str:
        return numbers.number(metric, number)

    def span(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"])

    def rank(row: Row) -> str:
        return _range(row["rank_low"], row["rank_high"])

    test = _figure("test accuracy %", "test_accuracy_mean", lambda v: numbers.number("test_accuracy", v))
    columns = (
        _name("cell", "cell"),
        _figure(f"{metric} {unit}", "mean", value),
        _figure("std", "std", value),
        Column("95% interval", span, lambda row: row["ci_low"]),
        Column("rank", rank, lambda row: row["rank_low"]),
        test if plan.test else None,
        _figure("parameters", "parameters", numbers.count),
        _figure("MACs", "macs", numbers.count),
        Column("field", lambda row: str(row["receptive_field"]).replace("x", "×") or "–", _area),
        _figure("s a fit", "seconds", _seconds),
        Column("good fits", lambda row: f"{row['ok']} of {row['fits']}", lambda row: row["ok"]),
    )
    note = (
        f"Mean, standard deviation and 95% interval of {metric} over the folds, best first; the ranks that a cell may "
        "have, as pairs of cells that are not clearly apart (Holm-adjusted p below 0.05) may stand either way; what "
        "one image costs, and how much of the image the network sees."
    )
    if plan.test:
        note += f" The test accuracy is the folds' mean on the {plan.data.get('test_size')} held-out test images."
    best_first = tables.cells.sort_values("mean", ascending=metric == "val_loss", kind="stable")
    return listing("cells", "Cells", note, columns, records(best_first))


def _area(row: Row) -> int | None:
    """A receptive field's pixels."""
    sides = str(row["receptive_field"]).split("x")
    return int(sides[0]) * int(sides[1]) if len(sides) == 2 else None


def comparisons(plan: Plan, tables: Tables) -> TextTable:
    """The pairs of levels of each factor."""
    metric = plan.metric

    def span(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"], sign=True)

    def chances(row: Row) -> str:
        return " / ".join(numbers.probability(row[key]) for key in ("p_better", "p_same", "p_worse"))

    columns = (
        _name("factor", "factor"),
        Column("levels", lambda row: f" {numbers.MINUS} ".join(sentences.pair(row)), text=True),
        _figure("difference", "difference", lambda v: numbers.number(metric, v, sign=True)),
        Column("95% interval", span, lambda row: row["ci_low"]),
        Column("t (df)", lambda row: _test(row["t"], row["df"]), lambda row: row["t"]),
        _figure("p", "p", numbers.probability),
        _figure("p, Holm", "p_holm", numbers.probability),
        Column("better / same / worse", chances, lambda row: row["p_better"]),
        _figure("effect size", "effect_size", _plain),
        _figure("parameters", "parameters_ratio", _ratio),
        _figure("MACs", "macs_ratio", _ratio),
        Column("cells × folds", lambda row: f"{row['cells']} × {row['n']}"),
    )
    note = (
        f"First level minus second, in {find_metric(metric).unit} of {metric}, averaged over the other factors. p is "
        "that of the corrected t-test, and Holm-adjusted within its factor; the chances are those of the first "
        "level being practically better / the same / worse (Bayesian correlated t-test); the effect size is the "
        "difference over its standard deviation; parameters and MACs are the first level's over the second's."
    )
    left_out = int((tables.comparisons["pairs"] > tables.comparisons["cells"]).sum())
    if left_out:
        note += f" In {left_out} of them, matched cells without all their fits are left out."
    return listing("comparisons", "Differences between levels", note, columns, records(tables.comparisons))


def learning(tables: Tables) -> TextTable:
    """How each cell learned: the generalisation gap and the time to a given accuracy."""
    rows = records(tables.learning)
    target = numbers.number("val_accuracy", rows[0]["target"]) if rows else "–"
    columns = (
        _name("cell", "cell"),
        _figure("accuracy gap", "accuracy_gap", lambda v: numbers.number("val_accuracy", v, sign=True)),
        _figure("loss gap", "loss_gap", lambda v: numbers.number("val_loss", v, sign=True)),
        _figure(f"epochs to {target}%", "epochs_to_target", _plain),
        _figure(f"seconds to {target}%", "seconds_to_target", _seconds),
        Column("reached by", lambda row: f"{row['reached']} of {row['fits']}", lambda row: row["reached"]),
    )
    note = (
        "The generalisation gap after the last epoch: training minus validation accuracy in points, validation minus "
        f"training loss in nats. Epochs and seconds until the validation accuracy first reaches {target}%, 95% of the "
        "best cell's last one: medians over the fits, none where fewer than half of them reach it."
    )
    return listing("learning", "Generalisation and time to accuracy", note, columns, rows)


def confused(cell: str, pairs: pd.DataFrame, most: int = 10) -> TextTable:
    """The most frequent mistakes of a cell."""
    columns = (
        _name("class", "truth"),
        _name("taken for", "predicted"),
        _figure("images", "count", numbers.count),
        _figure("share of the class", "share", lambda v: f"{100 * v:.1f}%"),
    )
    note = f"The {most} most frequent mistakes of {cell}, over all its fits' validation images."
    return listing("confusions", "Most confused classes", note, columns, records(pairs.head(most)))


def failures(tables: Tables) -> TextTable:
    failed = tables.fits[tables.fits["status"] == "failed"]
    columns = (
        _name("cell", "cell"),
        _figure("repeat", "repeat", lambda v: str(v + 1)),
        _figure("fold", "fold", lambda v: str(v + 1)),
        _name("reason", "reason"),
    )
    note = "They count in no mean; their logs are in fits/."
    return listing("fits", "Failed fits", note, columns, records(failed))
