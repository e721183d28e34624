"""What a run says at its end, as plain data: the table of the cells, the answers, and what failed."""

from __future__ import annotations

from typing import Any

from runner.planning.plan import Plan
from runner.reporting.tables.study_tables import Tables, records
from runner.reporting.text import listing, sentences

Verdict = dict[str, Any]
"""`columns` and `rows` of texts, best cell first; `answers` and `failures`, a sentence each."""


def verdict(plan: Plan, tables: Tables) -> Verdict:
    table = listing.leaderboard(plan, tables)
    failures = records(tables.fits[tables.fits["status"] == "failed"])
    return {
        "columns": [column.title for column in table.columns],
        "rows": [list(row) for row in table.texts()],
        "answers": [
            f"{factor}: {sentence}"
            for factor, sentences in sentences.answers(plan, tables.comparisons).items()
            for sentence in sentences
        ],
        "failures": [
            f"{row['cell']}, repeat {row['repeat'] + 1} fold {row['fold'] + 1}: {row['reason']}" for row in failures
        ],
    }
