"""The answer of a race: which cells may be the best one."""

from __future__ import annotations

import pandas as pd

from runner.reporting.statistics.metric_matrix import ALPHA
from runner.reporting.statistics.sequential import FROZEN, LEADER, OPEN, OUT
from runner.reporting.tables.looks import NO_RESULT
from runner.reporting.text.sentences import enumeration
from runner.text import plural


def answer(looks: pd.DataFrame) -> list[str]:
    """The sentences; `looks` is the table of `tables.looks.looks_table` for a race."""
    if looks.empty:
        return []
    last = looks[looks["repeats"] == looks["repeats"].max()]
    names = {state: [str(name) for name in rows["b"]] for state, rows in last.groupby("state", sort=False)}
    if LEADER not in names:
        return [f"None of {plural(len(last), 'cell')} has a repeat whose fits all succeeded."]
    leader, rivals = names[LEADER][0], [*names.get(OPEN, ()), *names.get(FROZEN, ())]
    worse, nothing = names.get(OUT, []), names.get(NO_RESULT, [])
    lines = [f"Of {plural(len(last), 'cell')}, {leader} leads."]
    if rivals:
        lines.append(f"{enumeration(rivals)} may be the best as well.")
    if worse:
        lines.append(
            f"{enumeration(worse)} {'is' if len(worse) == 1 else 'are'} worse: in at most {100 * ALPHA:g}% of races is "
            "the best cell among those that leave."
        )
    if nothing:
        lines.append(f"{enumeration(nothing)} cannot be compared, without a repeat whose fits all succeeded.")
    return lines
