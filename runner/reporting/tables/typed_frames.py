"""The report's tables for people who work on with them in pandas: levels are what they stand for, names are in order.

The CSV files have texts in their place, which every program reads alike.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.contrasts import LEVELS

LARGEST = 2**63
"""NumPy's whole numbers end here; a level beyond is a name."""


def typed(plan: Plan, table: pd.DataFrame, index: str | None = None) -> pd.DataFrame:
    """The table with typed columns and, if `index` is given, that column as its index.

    A factor's own column has numbers or booleans if all its levels are, else ordered categories as in the grid. In
    `level`, `level_a`, `level_b`, and in `level_a1` and its like, where factors share a column, each level has the type
    that it has there. Names of factors and cells are ordered categories, too.
    """
    types = {factor: _type(plan, factor) for factor in plan.factors}
    table = table.copy()
    # Those of fits and of cells have a column a factor, which may have any name that is not reserved.
    own = set(plan.factors) if "id" in table else set()
    ours = set(table.columns) - own - {index}
    for factor in own:
        table[factor] = _column(table[factor], types[factor])
    for level in {"level", "level_a", "level_b", *LEVELS, "a", "b"} & ours:
        factors = table["factor" if "factor" in ours else level.replace("level", "factor").rstrip("12")]
        values = [_value(text, types.get(name)) for text, name in zip(table[level], factors, strict=True)]
        table[level] = pd.Series(values, index=table.index, dtype=object)
    names = {"factor": plan.factors, "cell": [cell.name for cell in plan.cells]}
    for name in {f"{kind}{end}" for kind in names for end in ("", "_a", "_b")} & ours:
        table[name] = _in_order(table[name], names[name.partition("_")[0]])
    return table.set_index(index) if index else table


def _type(plan: Plan, factor: str) -> type | list[str]:
    """int, float or bool if every level of the factor is one; else the levels, in the order of the grid."""
    labels = list(dict.fromkeys(cell.levels[factor] for cell in plan.cells))
    kinds = {type(_parsed(label)) for label in labels}
    if kinds in ({int}, {bool}, {float}):
        return kinds.pop()
    return float if kinds == {int, float} else labels


def _parsed(label: str) -> Any:
    """The number or boolean that the label is written as by us; any other label as it is, also one such as 007."""
    try:
        value = json.loads(label)
    except ValueError:
        return label
    plain = isinstance(value, (bool, int, float)) and json.dumps(value) == label
    return value if plain and math.isfinite(value) and abs(value) < LARGEST else label


def _column(texts: pd.Series, kind: type | list[str]) -> pd.Series:
    return _in_order(texts, kind) if isinstance(kind, list) else texts.map(_parsed).astype(kind)


def _value(text: str, kind: type | list[str] | None) -> Any:
    return kind(_parsed(text)) if isinstance(kind, type) else text


def _in_order(texts: pd.Series, names: Any) -> pd.Series:
    # Also the names that are no part of the plan, such as "" in place of a factor.
    found = [name for name in texts.unique() if name not in names]
    return texts.astype(pd.CategoricalDtype([*names, *found], ordered=True))
