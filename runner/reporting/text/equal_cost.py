"""What a report says of cells that `match` made equally large: in its tables, and beside the same cells unmatched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.planning.match_text import NAMES, against_text, equal_text, solved_text
from runner.planning.plan import Plan
from runner.reporting.statistics.metric_matrix import ALPHA
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import numbers, sentences
from runner.reporting.text.text_tables import Column, Row, TextTable, text_table


def cell_columns(plan: Plan) -> list[Column]:
    """The columns of the table of cells; none if the grid matches no cells."""
    found = {cell.name: cell.matched for cell in plan.cells if cell.matched}

    def text(row: Row) -> str:
        matched = found.get(row["cell"])
        return f"{solved_text(matched)}: {against_text(matched)}" if matched else ""

    return [Column("solved to match", text, is_text=True)] if found else []


def comparison_columns(tables: Tables) -> list[Column]:
    """The column of the table of differences; none if no two levels are at equal cost."""
    if "equal_cost" not in tables.comparisons or not any(tables.comparisons["equal_cost"]):
        return []
    return [Column("at equal", _equal, is_text=True)]


def _equal(row: Row) -> str:
    return equal_text(row["equal_cost"], row["equal_off"]).removeprefix("at equal ") if row["equal_cost"] else ""


def table(plan: Plan, tables: Tables) -> TextTable:
    """Levels that the study has matched and unmatched: their differences from the same cells."""
    alpha = tables.comparisons["alpha"].iloc[0] if len(tables.comparisons) else ALPHA

    def difference(kind: str) -> Column:
        return Column(_TITLES[kind], lambda row: _difference(plan, row, kind), lambda row: row[f"{kind}_difference"])

    def costs(row: Row) -> str:
        return sentences.cost_phrase((row["written_parameters_ratio"], row["written_macs_ratio"])) or "–"

    columns = (
        Column("levels", lambda row: f"{row['unmatched']} {numbers.MINUS} {row['like']}", is_text=True),
        difference("written"),
        Column("cost as written", costs, is_text=True),
        Column("matched", lambda row: equal_text(row["quantity"], row["off"]), is_text=True),
        difference("equal"),
        difference("size"),
    )
    unit = f"{plan.measure.unit} of " if plan.measure.unit else ""
    note = (
        f"Differences in {unit}{plan.measure.name} with {numbers.confidence(alpha)} intervals, averaged over the other "
        "factors and not adjusted for their number. Due to size: the level as written minus the same one matched."
    )
    return text_table("matched", "At equal cost, and as written", note, columns, records(tables.matched))


_TITLES = {"written": "as written", "equal": "at equal cost", "size": "due to size"}


def _difference(plan: Plan, row: Mapping[str, Any], kind: str) -> str:
    low, high = row[f"{kind}_ci_low"], row[f"{kind}_ci_high"]
    value = numbers.number(plan.measure, row[f"{kind}_difference"], sign=True)
    return f"{value} ({numbers.interval(plan.measure, low, high, sign=True)})"


def answers(plan: Plan, tables: Tables) -> list[str]:
    """A sentence per level that the study has matched and unmatched: what is left of its difference at equal cost."""
    return [_sentence(plan, row) for row in records(tables.matched)]


def _sentence(plan: Plan, row: Row) -> str:
    written, equal = (_difference(plan, row, kind) for kind in ("written", "equal"))
    cost = sentences.cost_phrase((row["written_parameters_ratio"], row["written_macs_ratio"]))
    unit = f" {plan.measure.unit}" if plan.measure.unit else ""
    return (
        f"{row['unmatched']} minus {row['like']}: {written}{unit} as written{f', {cost}' if cost else ''};"
        f" {equal} {equal_text(row['quantity'], row['off'])}. {_conclusion(row)}"
    )


def _conclusion(row: Row) -> str:
    """What holding the size fixed changed, by whether the two intervals contain 0."""
    signs = {kind: _sign(row[f"{kind}_ci_low"], row[f"{kind}_ci_high"]) for kind in ("written", "equal")}
    same = f"with {NAMES[row['quantity']]} held fixed"
    if signs["written"] is None or signs["equal"] is None:
        return "No claim without intervals."
    if signs["written"] and signs["equal"]:
        return f"The order reverses {same}." if signs["written"] != signs["equal"] else f"The order stays {same}."
    if signs["written"]:
        return f"No difference is visible {same}."
    return f"A difference is visible only {same}." if signs["equal"] else "No difference is visible in either way."


def _sign(low: float, high: float) -> int | None:
    """1 or -1 if all values of an interval have this sign, 0 if not, and None if it is unknown."""
    if low != low:  # nan
        return None
    return (low > 0) - (high < 0)
