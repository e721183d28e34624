"""The tables of what a publication gives beside what was found, as texts."""

from __future__ import annotations

import math

from runner.planning.plan import Plan
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import numbers
from runner.reporting.text.text_tables import Column, Row, TextTable, number_column, text_column, text_table, titled


def published(plan: Plan, tables: Tables) -> TextTable:
    """The cells with a published value, those with the best one first; no rows if nothing is published."""
    if plan.published is None or tables.published.empty:
        return text_table("published", "", "", (), ())
    metric = plan.find_metric(plan.published.metric)

    def value(number: float) -> str:
        return numbers.number(metric, number)

    def interval(row: Row) -> str:
        return numbers.interval(metric, row["ci_low"], row["ci_high"])

    def difference(row: Row) -> str:
        return numbers.number(metric, row["difference"], sign=True)

    def around(row: Row) -> str:
        return numbers.interval(metric, row["difference_low"], row["difference_high"], sign=True)

    def rank(number: float) -> str:
        return "–" if math.isnan(number) else f"{number:.0f}"

    columns = (
        text_column("cell", "cell"),
        number_column(f"published {titled(metric)}", "published", value),
        number_column("here", "mean", value),
        Column("95% interval", interval, lambda row: row["ci_low"]),
        Column("difference", difference, lambda row: row["difference"]),
        Column("95% interval of the difference", around, lambda row: row["difference_low"]),
        number_column("published rank", "published_rank", rank),
        number_column("rank here", "rank", rank),
    )
    note = (
        f"Published: {plan.published.source}, taken without an error of its own. Here: the mean over fits of "
        f"{metric.name}. {_coverage(tables)}"
    )
    best_first = tables.published.sort_values("published", ascending=not metric.higher_is_better, kind="stable")
    return text_table("published", "Beside published values", note.strip(), columns, records(best_first))


def _coverage(tables: Tables) -> str:
    """What the intervals cover."""
    kinds = set(tables.published["interval"])
    if "images" in kinds:
        return (
            "The intervals cover the choice of the images alone (binomial), and not what other initial values and "
            "batches would change, so they are too narrow."
        )
    return "The intervals are those of the table of cells." if "fits" in kinds else ""


def order(plan: Plan, tables: Tables) -> TextTable:
    """The levels of each factor by published and by found values; no rows if nothing is published."""
    if plan.published is None or tables.published_order.empty:
        return text_table("published_order", "", "", (), ())

    def same(row: Row) -> str:
        return f"{row['same']} of {row['pairs']}"

    def count(number: float) -> str:
        return "–" if math.isnan(number) else f"{number:.0f}"

    compared = bool(tables.published_order["shown"].notna().any())
    columns = (
        text_column("factor", "factor"),
        text_column("at", "at"),
        text_column("published", "published"),
        text_column("here", "found"),
        Column("pairs in the same order", same, lambda row: row["same"]),
        number_column("of them shown", "shown", count) if compared else None,
        number_column("shown to be the other way round", "contradicted", count) if compared else None,
    )
    note = "The order of the levels of each factor at the same levels of the others, best first, by the values above."
    if compared:
        note += " Shown: the difference of the two cells here is significant (Holm-adjusted over all pairs of cells)."
    else:
        note += " Nothing here says which of these differences another study would find again."
    rows = records(tables.published_order)
    return text_table("published_order", "The published order", note, columns, rows)
