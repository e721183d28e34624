"""The state of each comparison at a look, in the words of the report's figure of the looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.text.numbers import MINUS, interval, number
from runner.text import plural


def state_lines(plan: Plan, look: pd.DataFrame) -> list[str]:
    """A line per row of one look of `tables.looks.looks_table`.

    ``downsample: max_pool − avg_pool open after 2 repeats, +0.80 points (−0.30 to +1.90)``
    """
    return [_line(plan, row) for row in look.to_dict("records")]


def _line(plan: Plan, row: Mapping[str, Any]) -> str:
    factor, repeats = str(row["factor"]), plural(int(row["repeats"]), "repeat")
    pair = f"{row['a']} {MINUS} {row['b']}" if row["a"] else str(row["b"])
    named = f"{factor.rpartition('.')[2]}: {pair}" if factor else pair
    return f"{named} {row['state']} after {repeats}{_difference(plan, row)}"


def _difference(plan: Plan, row: Mapping[str, Any]) -> str:
    if pd.isna(row["difference"]):
        return ""
    between = "" if pd.isna(row["ci_low"]) else f" ({interval(plan.measure, row['ci_low'], row['ci_high'], sign=True)})"
    return f", {number(plan.measure, row['difference'], sign=True)} {plan.measure.unit}".rstrip() + between
