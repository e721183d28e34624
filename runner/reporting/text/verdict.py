"""The result of a run as plain data: the table of the cells, the answers, and the failed fits."""

from __future__ import annotations

from typing import Any

from runner.planning.plan import Plan
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import best, equal_cost, interactions, race, sentences, text_tables
from runner.reporting.text.numbers import mark_notes
from runner.reporting.text.warnings import warnings

Verdict = dict[str, Any]
"""`columns` (titles) and `rows` (texts) of the cells, best cell first, and a `note` on the marks in them, as a rule "";
a sentence each of `answers`, `warnings` and `failures`."""


def all_answers(plan: Plan, tables: Tables) -> dict[str, list[str]]:
    """The sentences by factor and by two factors, then those about the best cell; in a race these answer the question,
    and are first.
    """
    answers = sentences.answers(plan, tables.comparisons)
    for factor, lines in interactions.reversals(plan, tables.comparisons, tables.contrasts).items():
        answers[factor] += lines
    answers |= interactions.answers(plan, tables.contrasts)
    if matched := equal_cost.answers(plan, tables):
        answers["at equal cost"] = matched
    about = race.answer(tables.looks) if plan.race else [best.sentence(plan, tables.cells)]
    best_cell = {"best cell": about} if any(about) else {}
    return best_cell | answers if plan.race else answers | best_cell


def verdict(plan: Plan, tables: Tables) -> Verdict:
    table = text_tables.leaderboard(plan, tables)
    failed = records(tables.fits[tables.fits["status"] == "failed"])
    # Only what JSON can hold: the stamp of a report saves it, and a run that changes nothing reads it from there.
    return {
        "columns": [column.title for column in table.columns],
        "rows": [list(row) for row in table.texts()],
        "note": mark_notes(survivors=(tables.cells["ok"] < tables.cells["fits"]).any()).strip(),
        "answers": [
            f"{factor}: {answer}"
            for factor, factor_answers in all_answers(plan, tables).items()
            for answer in factor_answers
        ],
        "warnings": warnings(plan, tables),
        "failures": [f"{row['cell']}, repeat {row['repeat']} fold {row['fold']}: {row['reason']}" for row in failed],
    }
