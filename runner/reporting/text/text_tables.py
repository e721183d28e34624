"""The tables that people read, with each entry as text: every format of the report displays the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.fits.metrics import Metric
from runner.planning.class_balance import largest_class
from runner.planning.plan import Plan
from runner.reporting.statistics.comparisons import P_DUNNETT
from runner.reporting.statistics.metric_matrix import ALPHA
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import numbers, sentences, warnings
from runner.text import level_name, plural

Row = dict[str, Any]
MAX_CONTRASTS = 40
"""With more, a report lists those with the smallest p."""


@dataclass(frozen=True)
class Column:
    """A column: its title, how an entry is written, and the value to sort it by (None: the column cannot be sorted)."""

    title: str
    write: Callable[[Row], str]
    sort_key: Callable[[Row], Any] | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Entry:
    """One entry as text, and the value to sort it by ("" if there is none)."""

    text: str
    sort_key: str


@dataclass(frozen=True)
class TextTable:
    """A table as text. `name` is that of the CSV file with its numbers, and `note` explains its columns."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]

    def texts(self) -> list[list[str]]:
        return [[entry.text for entry in row] for row in self.rows]


def text_table(name: str, title: str, note: str, columns: Sequence[Column | None], rows: Sequence[Row]) -> TextTable:
    """The rows as text, in the columns that are not None."""
    present = tuple(column for column in columns if column)
    return TextTable(
        name, title, note, present, tuple(tuple(_entry(column, row) for column in present) for row in rows)
    )


def _entry(column: Column, row: Row) -> Entry:
    key = column.sort_key(row) if column.sort_key else ""
    unknown = key is None or (isinstance(key, float) and math.isnan(key))
    # The script of the page sorts "" last in both directions.
    return Entry(column.write(row), "" if unknown else str(key))


def _three_digits(value: float) -> str:
    return f"{value:.3g}".replace("-", numbers.MINUS) if math.isfinite(value) else "–"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"


def _ratio(value: float) -> str:
    # A cost of 0 gives a ratio of 0 or none at all.
    return f"× {value:.3g}" if 0 < value < math.inf else "–"


def _rank_range(low: float, high: float) -> str:
    if math.isnan(low):
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _t_statistic(t: float, df: float) -> str:
    return f"{t:z.2f} ({df:.0f})".replace("-", numbers.MINUS) if math.isfinite(t) else "–"


def text_column(title: str, name: str) -> Column:
    return Column(title, lambda row: str(row[name]), lambda row: str(row[name]), is_text=True)


def number_column(title: str, name: str, write: Callable[[Any], str]) -> Column:
    return Column(title, lambda row: write(row[name]), lambda row: row[name])


def leaderboard(plan: Plan, tables: Tables, more: Sequence[Column] = ()) -> TextTable:
    """The cells, best first; `more` columns come after the costs."""
    metric = plan.measure

    def value(number: float) -> str:
        return numbers.number(metric, number)

    def interval(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"])

    def rank(row: Row) -> str:
        return _rank_range(row["rank_low"], row["rank_high"])

    def completed(row: Row) -> str:
        return numbers.marked(f"{row['ok']} of {row['fits']}", numbers.SURVIVORS, row["ok"] < row["fits"])

    def points(number: float) -> str:
        return numbers.number("test_accuracy", number)

    def with_noise(row: Row) -> str:
        return f"{points(row['test_accuracy_mean'])} ± {points(row['test_accuracy_noise'])}"

    counts = warnings.known_counts(plan, tables)
    largest = largest_class(plan.data.get("class_names", ()), counts)
    # Unless it is asked for, as the mean of the fits' own.
    pooled = largest if "balanced_accuracy" not in (plan.metric, *plan.columns) else None
    balanced = number_column("balanced accuracy %", "balanced_accuracy", points)
    columns = (
        text_column("cell", "cell"),
        number_column(titled(metric), "mean", value),
        number_column("std", "std", value),
        Column("95% interval", interval, lambda row: row["ci_low"]),
        Column("rank", rank, lambda row: row["rank_low"]),
        *(_metric_column(plan.find_metric(name)) for name in plan.columns),
        balanced if pooled and pooled.is_imbalanced else None,
        Column("test accuracy %", with_noise, lambda row: row["test_accuracy_mean"]) if plan.test else None,
        number_column("test std", "test_accuracy_std", points) if plan.test else None,
        *(_metric_column(plan.find_metric(name)) for name in plan.test_measures),
        number_column("parameters", "parameters", numbers.count),
        number_column("MACs/image", "macs", numbers.count),
        Column("receptive field", lambda row: str(row["receptive_field"]).replace("x", "×") or "–", _area),
        *more,
        number_column("s/fit", "seconds", _seconds),
        Column("completed fits", completed, lambda row: row["ok"]),
    )
    note = (
        f"Mean, standard deviation and corrected 95% interval of {metric.name} over folds and repeats, best cell "
        "first. Rank: the possible range, since only a significant difference (Holm-adjusted) orders two cells. "
        "MACs: multiply-adds of the forward pass. Receptive field: height × width in pixels of the input."
    )
    note += _test_note(plan)
    if plan.columns:
        note += f" Beside it, the means over fits of {sentences.enumeration(plan.columns)}."
    if pooled and pooled.is_imbalanced:
        note += (
            f" Balanced accuracy: the mean of the recalls of the classes; always naming {pooled.name} has "
            f"{100 / len(counts):.2f}%, and an accuracy of {100 * pooled.share:.2f}%."
        )
    note += f" {numbers.mark_notes(survivors=(tables.cells['ok'] < tables.cells['fits']).any())}".rstrip()
    # Stable, so that equal cells keep the plan's order; those without results come last.
    best_first = tables.cells.sort_values("mean", ascending=not metric.higher_is_better, kind="stable")
    return text_table("cells", "Cells", note, columns, records(best_first))


def titled(metric: Metric) -> str:
    return f"{metric.name} {metric.value_unit}".rstrip()


def _metric_column(metric: Metric) -> Column:
    """The means of a metric that the report does not compare."""
    return number_column(titled(metric), f"{metric.name}_mean", lambda value: numbers.number(metric, value))


def _test_note(plan: Plan) -> str:
    """What the columns on the held-out test images are, if there are any."""
    if not plan.test:
        return ""
    images = plural(int(plan.data.get("test_size") or 0), "held-out test image")
    note = (
        f" Test accuracy: mean over fits on the {images}, ± what so few "
        "images leave open (95%, binomial), the same images for all fits; test std: over fits."
    )
    if plan.test_measures:
        means = f"the means over fits of {sentences.enumeration(plan.test_measures)}"
        note += f" On the same images, {means}; their standard deviations are in cells.csv."
    return note


def _area(row: Row) -> int | None:
    """The pixels of a receptive field, by which the column is sorted."""
    sides = str(row["receptive_field"]).split("x")
    return int(sides[0]) * int(sides[1]) if len(sides) == 2 else None


def comparisons(plan: Plan, tables: Tables, more: Sequence[Column] = ()) -> TextTable:
    """The pairs of levels of each factor; `more` columns come after the costs."""
    metric = plan.measure
    alpha = tables.comparisons["alpha"].iloc[0] if len(tables.comparisons) else ALPHA

    def interval(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"], sign=True)

    def probabilities(row: Row) -> str:
        return " / ".join(numbers.probability(row[key]) for key in ("p_better", "p_same", "p_worse"))

    columns = (
        text_column("factor", "factor"),
        Column("levels", lambda row: f" {numbers.MINUS} ".join(sentences.level_names(row)), is_text=True),
        number_column("difference", "difference", lambda v: numbers.number(metric, v, sign=True)),
        Column(f"{numbers.confidence(alpha)} interval", interval, lambda row: row["ci_low"]),
        Column("t (df)", lambda row: _t_statistic(row["t"], row["df"]), lambda row: row["t"]),
        number_column("p", "p", numbers.probability),
        number_column("p (Holm)", "p_holm", numbers.probability),
        number_column("p (Dunnett)", P_DUNNETT, numbers.probability) if plan.baseline else None,
        Column("P(better / equivalent / worse)", probabilities, lambda row: row["p_better"]),
        number_column("effect size", "effect_size", _three_digits),
        number_column("parameters", "parameters_ratio", _ratio),
        number_column("MACs", "macs_ratio", _ratio),
        *more,
        Column("cells × folds", _extent),
    )
    unit = f"{metric.unit} of " if metric.unit else ""
    levels = sentences.enumeration([level_name(*chosen) for chosen in plan.baseline.items()])
    dunnett = f"p (Dunnett): adjusted for all comparisons with the baseline, {levels}. " if plan.baseline else ""
    note = (
        f"Difference: first level minus second, in {unit}{metric.name}, averaged over the other "
        "factors. p: against no difference; p (Holm): adjusted for all pairs of levels of the factor. "
        f"{dunnett}P: probability "
        "that the first level is better, practically equivalent or worse, from the same t distribution. Effect size: "
        "difference divided by its standard deviation over folds. Parameters and MACs: first level divided by second."
    )
    rows = records(tables.comparisons)
    note += f" {numbers.mark_notes(survivors=any(map(sentences.is_incomplete, rows)))}".rstrip()
    return text_table("comparisons", "Differences between levels", note, columns, rows)


def _extent(row: Row) -> str:
    """The matched pairs of cells and the folds of a comparison: ``2 × 5``, or ``2 of 4 × 3 of 5 †`` if fits failed."""
    if not sentences.is_incomplete(row):
        return f"{row['cells']} × {row['n']}"
    return f"{row['cells']} of {row['pairs']} × {row['n']} of {row['n_planned']} {numbers.SURVIVORS}"


def contrasts(plan: Plan, tables: Tables) -> TextTable:
    """Whether the effect of one factor depends on another; of many contrasts, those with the smallest p."""
    metric, found = plan.measure, tables.contrasts
    alpha = found["alpha"].iloc[0] if len(found) else ALPHA
    if many := len(found) > MAX_CONTRASTS:
        found = found.loc[found["p"].sort_values(kind="stable").index[:MAX_CONTRASTS].sort_values()]

    def names(row: Row, letter: str) -> list[str]:
        return [level_name(row[f"factor_{letter}"], row[f"level_{letter}{i}"]) for i in (1, 2)]

    def effect(row: Row, i: int) -> str:
        return f"{numbers.number(metric, row[f'effect_a_at_b{i}'], sign=True)} with {names(row, 'b')[i - 1]}"

    def interval(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"], sign=True)

    columns = (
        Column("factors", lambda row: f"{row['factor_a']} × {row['factor_b']}", is_text=True),
        Column("effect of", lambda row: f" {numbers.MINUS} ".join(names(row, "a")), is_text=True),
        Column("first effect", lambda row: effect(row, 1), lambda row: row["effect_a_at_b1"]),
        Column("second effect", lambda row: effect(row, 2), lambda row: row["effect_a_at_b2"]),
        number_column("difference", "contrast", lambda v: numbers.number(metric, v, sign=True)),
        Column(f"{numbers.confidence(alpha)} interval", interval, lambda row: row["ci_low"]),
        number_column("p", "p", numbers.probability),
        number_column("p (Holm)", "p_holm", numbers.probability),
        Column("sets × folds", _sets),
    )
    unit = f"{metric.unit} of " if metric.unit else ""
    note = (
        f"Effects: first level minus second, in {unit}{metric.name}, with each of two levels of the other factor; "
        "difference: first effect minus second. Each is over sets of four cells that are equal in all other factors. "
        "p: against no difference; p (Holm): adjusted for all contrasts of all pairs of factors."
    )
    if many:
        note += f" Listed: the {MAX_CONTRASTS} of {len(tables.contrasts):,} with the smallest p."
    rows = records(found)
    note += f" {numbers.mark_notes(survivors=any(map(_lacks_fits, rows)))}".rstrip()
    return text_table("contrasts", "Does the effect of one factor depend on another?", note, columns, rows)


def _lacks_fits(row: Row) -> bool:
    return bool(row["sets"] < row["matched"] or row["n"] < row["n_planned"])


def _sets(row: Row) -> str:
    """The matched sets of cells and the folds of a contrast, as in `_extent`."""
    if not _lacks_fits(row):
        return f"{row['sets']} × {row['n']}"
    return f"{row['sets']} of {row['matched']} × {row['n']} of {row['n_planned']} {numbers.SURVIVORS}"


def learning(tables: Tables) -> TextTable:
    """The generalisation gap of each cell, and its time to a given accuracy."""
    rows = records(tables.learning)
    # The target is the same in every row, so it can be in the titles.
    target = numbers.number("val_accuracy", rows[0]["target"]) if rows else "–"
    columns = (
        text_column("cell", "cell"),
        number_column("accuracy gap", "accuracy_gap", lambda v: numbers.number("val_accuracy", v, sign=True)),
        number_column("loss gap", "loss_gap", lambda v: numbers.number("val_loss", v, sign=True)),
        number_column(f"epochs to {target}%", "epochs_to_target", _three_digits),
        number_column(f"seconds to {target}%", "seconds_to_target", _seconds),
        Column("reached by", lambda row: f"{row['reached']} of {row['fits']}", lambda row: row["reached"]),
    )
    note = (
        f"Generalisation gap after {_result_epoch(tables)}: training minus validation accuracy in points, validation "
        "minus training loss in nats. Epochs and seconds until the validation accuracy first reaches "
        f"{target}% (95% of the best cell's final accuracy, rounded down): medians over fits, a dash unless more than "
        "half of them reach it."
    )
    return text_table("learning", "Generalisation and time to accuracy", note, columns, rows)


def _result_epoch(tables: Tables) -> str:
    return "the epoch of each fit's result" if "best_epoch" in tables.fits else "the last epoch"


def class_recall(cell: str, recall: pd.DataFrame, limit: int = 20) -> TextTable:
    """How well a cell recognises each class; of many classes, those that it recognises least."""
    rows = recall[recall["cell"] == cell]
    many = len(rows) > limit
    if many:
        rows = rows.sort_values("recall", kind="stable").head(limit)

    def percent(value: float) -> str:
        return "–" if math.isnan(value) else f"{100 * value:.1f}%"

    columns = (
        text_column("class", "class"),
        number_column("images", "images", numbers.count),
        number_column("recall", "recall", percent),
        number_column("precision", "precision", percent),
    )
    which = f"The {limit} classes that {cell} recognises least" if many else f"The classes as {cell} recognises them"
    note = (
        f"{which}, over the validation images of all its fits. Recall: the share of a class that is recognised; "
        "precision: the share of answers with that class that are right."
    )
    return text_table("recall", "Classes", note, columns, records(rows))


def confused_classes(cell: str, pairs: pd.DataFrame, limit: int = 10) -> TextTable:
    """The most frequent mistakes of a cell; `pairs` are those of `most_confused`."""
    columns = (
        text_column("true class", "truth"),
        text_column("predicted as", "predicted"),
        number_column("images", "count", numbers.count),
        number_column("share of class", "share", lambda v: f"{100 * v:.1f}%"),
    )
    note = f"The most frequent mistakes of {cell} (at most {limit}), over the validation images of all its fits."
    return text_table("confusions", "Most confused classes", note, columns, records(pairs.head(limit)))


def failures(tables: Tables) -> TextTable:
    """The failed fits."""
    failed = tables.fits[tables.fits["status"] == "failed"]
    columns = (
        text_column("cell", "cell"),
        number_column("repeat", "repeat", str),
        number_column("fold", "fold", str),
        text_column("reason", "reason"),
    )
    note = "Excluded from all means; their logs are in fits/."
    return text_table("fits", "Failed fits", note, columns, records(failed))
