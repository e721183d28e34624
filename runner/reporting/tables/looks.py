"""The looks at a study whose repeats stop when it is decided: the state of each comparison after each repeat.

A look reads complete repeats only, and looks are made again from the results whenever they are needed: the same results
give the same looks, whatever the order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.statistics.comparisons import compare_with, factor_pairs
from runner.reporting.statistics.crossed import LEAST_FOLDS, LEAST_REPEATS, Crossed
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix
from runner.reporting.statistics.sequential import (
    FIRST_LOOK,
    LEADER,
    OPEN,
    OUT_OF_REACH,
    leading,
    pair_states,
    race_states,
)
from runner.reporting.tables.fits import fits_table
from runner.reporting.text.looks import state_lines

NO_RESULT = "no result"
"""The state of a pair, or a cell, without complete repeats to compare: more of them are not expected either."""
COLUMNS = ("repeats", "factor", "a", "b", "difference", "ci_low", "ci_high", "p_holm", "p_same", "state")
_NUMBERS = ("difference", "variance", "df", "n", "floor", "per_repeat")


@dataclass(frozen=True)
class LookResult:
    """What the look at all repeats of a plan found; see `flow.repeats.Decision`."""

    done: bool
    going_on: tuple[str, ...]
    open_pairs: int
    pairs: int
    states: dict[str, str]
    lines: tuple[str, ...] = ()


def look(plan: Plan, journal: Frames) -> LookResult:
    """The look at the repeats that are planned now."""
    last = looks_table(plan, metric_matrix(plan, fits_table(plan, journal.fits), journal))
    last = last[last["repeats"] == plan.repeats]
    is_open = last["state"] == OPEN
    ids = {cell.name: cell.id for cell in plan.cells}
    going_on = [ids[name] for name in last.loc[last["state"].isin([OPEN, LEADER]), "b"]] if plan.race else ids.values()
    names = (f"{row.a} vs {row.b}" if row.a else row.b for row in last.itertuples())
    compared = last["state"] != LEADER
    return LookResult(
        not is_open.any(), tuple(going_on), int(is_open.sum()), int(compared.sum()),
        dict(zip(names, last["state"], strict=True)), tuple(state_lines(plan, last)),
    )  # fmt: skip


def looks_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """One row per pair of levels of each factor and look, from the second repeat on; in a race, per cell and look.

    `a`, `b`, `difference` and the rest are those of `comparisons_table` with the repeats that there were at the look.
    In a race, `b` is a cell, `a` the one that led, and the state is one of `race_states`. No rows without a rule.
    """
    if plan.most is None:
        return pd.DataFrame(columns=COLUMNS)
    tables, states = [], None
    for repeats in range(min(FIRST_LOOK, plan.repeats), plan.repeats + 1):
        then, at = replace(plan, repeats=repeats), matrix.first(repeats, plan.folds)
        if plan.race:
            table, states = _race(then, at, states)
        else:
            table = _pairs(then, at)
        tables.append(table.assign(repeats=repeats)[list(COLUMNS)])
    return pd.concat(tables, ignore_index=True)


def _pairs(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    tables = []
    for factor in plan.factors:
        table = factor_pairs(plan, matrix, factor)
        table = table[table["pairs"] > 0]
        assert plan.most is not None
        states = pair_states(_crossed(plan, table), plan.most, plan.equivalent, table["p_holm"])
        if plan.split_design is None and plan.folds < LEAST_FOLDS and plan.repeats < min(LEAST_REPEATS, plan.most):
            # The next repeat may be judged image by image, by which far less is out of reach.
            states = np.where(states == OUT_OF_REACH, OPEN, states)
        tables.append(
            table.assign(state=np.where(table["p"].isna(), NO_RESULT, states), a=table["level_a"], b=table["level_b"])
        )
    return pd.concat(tables, ignore_index=True)


def _race(plan: Plan, matrix: MetricMatrix, previous: np.ndarray | None) -> tuple[pd.DataFrame, np.ndarray]:
    """The cells in the order of the plan, and their states."""
    direction, known = plan.measure.direction, ~np.isnan(matrix.values)
    counts = known.sum(axis=1)
    sums = np.where(known, matrix.values, 0.0).sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan) * direction
    names = np.array([cell.name for cell in matrix.cells], dtype=object)
    if np.isnan(means).all():  # every fit failed, or none has finished yet
        states = np.full(len(names), NO_RESULT)
        return pd.DataFrame({"b": names, "state": states}, columns=COLUMNS[1:]).fillna({"factor": "", "a": ""}), states
    leader = leading(means, previous)
    table = compare_with(plan, matrix, leader)
    # The leader's own row, which is not read, goes back to its place.
    table = table.reindex([*range(leader), len(table), *range(leader, len(table))])
    assert plan.most is not None
    states = race_states(_crossed(plan, table, direction), leader, plan.most, plan.equivalent, previous)
    missing = table["p"].isna().to_numpy() & (np.arange(len(table)) != leader)
    states = np.where(missing, NO_RESULT, states)
    first = np.where(states == LEADER, "", names[leader])
    return table.assign(factor="", a=first, b=names, state=states), states


def _crossed(plan: Plan, table: pd.DataFrame, direction: int = 1) -> Crossed:
    """The pairs of a table as a record, whichever method judged them."""
    column = {name: table[name].to_numpy(dtype=np.float64) for name in _NUMBERS}
    repeats = (np.nan_to_num(column["n"]) // plan.folds).astype(np.int64)
    return Crossed(
        direction * column["difference"], column["variance"], column["df"], repeats, np.full(len(table), True),
        column["floor"], column["per_repeat"],
    )  # fmt: skip
