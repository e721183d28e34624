"""What `match` made equal: which pairs of levels, and the matched beside the unmatched cells where a study has both."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.comparisons import COST_RATIOS, compare_pairs
from runner.reporting.statistics.metric_matrix import MetricMatrix
from runner.text import level_name

Levels = tuple[tuple[str, str], ...]
SHOWN = ("difference", "ci_low", "ci_high", "p", "n", "cells", *COST_RATIOS[:2])
DIFFERENCES = ("equal", "written", "size")
"""The matched cells minus those they are matched with, the unmatched ones minus these, and the unmatched minus the
matched ones, which differ in nothing but what was solved."""
COLUMNS = ("quantity", "off", "matched", "unmatched", "like", *(f"{d}_{c}" for d in DIFFERENCES for c in SHOWN))


def with_equal_costs(plan: Plan, comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with two more columns, if the grid matches any cells: `equal_cost`, the quantity of which the
    matched cells of both levels have the same, or ""; and `equal_off`, by what fraction they differ at most.
    """
    if not any(cell.matched for cell in plan.cells) or comparisons.empty:
        return comparisons
    found = [
        _equal_cost(plan, *names)
        for names in comparisons[["factor", "level_a", "level_b"]].itertuples(index=False, name=None)
    ]
    place = comparisons.columns.get_loc(COST_RATIOS[0])
    table = comparisons.copy()
    table.insert(place, "equal_off", [off for _, off in found])
    table.insert(place, "equal_cost", [keep for keep, _ in found])
    return table


def _equal_cost(plan: Plan, factor: str, a: str, b: str) -> tuple[str, float]:
    """The quantity that all pairs of cells at two levels have in common, and by what fraction they differ at most."""
    beside: dict[Levels, dict[str, PlannedCell]] = defaultdict(dict)
    for cell in plan.cells:
        beside[_without(cell, factor)][cell.levels[factor]] = cell
    pairs = [(cells[a], cells[b]) for cells in beside.values() if a in cells and b in cells]
    found = [_in_common(one, other) for one, other in pairs]
    keeps = {keep for keep, _ in found}
    return (keeps.pop(), max(off for _, off in found)) if len(keeps) == 1 else ("", np.nan)


def _in_common(one: PlannedCell, other: PlannedCell) -> tuple[str, float]:
    for cell, reference in ((one, other), (other, one)):
        if cell.matched and _reference(cell) == reference.levels:
            return cell.matched.keep, abs(cell.matched.off)
    a, b = one.matched, other.matched
    if a and b and a.keep == b.keep and _reference(one) == _reference(other):
        return a.keep, max(abs(x - y) / max(y, 1) for x, y in zip(a.found, b.found, strict=True))
    # Two that nothing was solved in, and that another rule makes the standard for both.
    return "", np.nan


def _reference(cell: PlannedCell) -> dict[str, str]:
    """The levels of the cell that this one is matched with."""
    return cell.levels | (cell.matched.like if cell.matched else {})


def _without(cell: PlannedCell, factor: str) -> Levels:
    return tuple((name, level) for name, level in cell.levels.items() if name != factor)


@dataclass(frozen=True)
class _Triple:
    """A matched cell, the same one unmatched, and the one that it is matched with."""

    matched: PlannedCell
    unmatched: PlannedCell
    like: PlannedCell

    @property
    def key(self) -> tuple[Levels, ...]:
        """Triples of one key differ only in the levels of other factors, over which they are averaged."""
        cells = (self.matched, self.unmatched, self.like)
        differing = [name for name in self.matched.levels if len({cell.levels[name] for cell in cells}) > 1]
        return tuple(tuple((name, cell.levels[name]) for name in differing) for cell in cells)


def _triples(plan: Plan) -> Iterator[_Triple]:
    matched = [cell for cell in plan.cells if cell.matched]
    if not matched:  # as in most studies: comparing all cells with each other takes seconds for a thousand
        return
    by_levels = {tuple(cell.levels.items()): cell for cell in plan.cells}
    alike: dict[str, list[PlannedCell]] = defaultdict(list)
    solved = sorted({path for cell in matched if cell.matched for path in cell.matched.values})
    for cell in plan.cells:
        if cell.matched is None:
            alike[_but_for(cell, solved)].append(cell)
    for cell in matched:
        like = by_levels.get(tuple(_reference(cell).items()))
        twins = [twin for twin in alike[_but_for(cell, solved)] if _differing(cell, twin) == 1] if like else []
        if like and len(twins) == 1 and twins[0] is not like:
            yield _Triple(cell, twins[0], like)


def _but_for(cell: PlannedCell, paths: list[str]) -> str:
    """The settings of a cell as text, without those at `paths`."""
    settings = cell.settings.to_dict()
    for section, _, key in (path.partition(".") for path in paths):
        settings[section] = {name: value for name, value in settings[section].items() if name != key}
    settings["training"].pop("stacking", None)  # it follows from the size of the network
    return json.dumps(settings, sort_keys=True)


def _differing(one: PlannedCell, other: PlannedCell) -> int:
    return sum(one.levels[name] != other.levels[name] for name in one.levels)


def matched_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """One row for each level that a study has matched and unmatched, averaged over the other factors; see DIFFERENCES.

    The three differences of a row are each judged as the comparisons are, without an adjustment for their number.
    """
    position = {cell.id: index for index, cell in enumerate(matrix.cells)}
    groups: dict[tuple[Any, ...], list[_Triple]] = defaultdict(list)
    for triple in _triples(plan):
        if all(cell.id in position for cell in (triple.matched, triple.unmatched, triple.like)):
            keep = triple.matched.matched.keep if triple.matched.matched else ""
            groups[(keep, *triple.key)].append(triple)
    rows = [_row(plan, matrix, position, key, triples) for key, triples in groups.items()]
    return pd.DataFrame(rows, columns=[*COLUMNS])


def _row(
    plan: Plan, matrix: MetricMatrix, position: dict[str, int], key: tuple[Any, ...], triples: list[_Triple]
) -> dict[str, Any]:
    keep, *levels = key
    names = [", ".join(level_name(*level) for level in each) for each in levels]
    rows = [[position[cell.id] for cell in (t.unmatched, t.matched, t.like)] for t in triples]
    # The pairs of the three, in this order: unmatched - matched, unmatched - like, matched - like.
    pairs = compare_pairs(plan, matrix, np.array(rows).T)
    differences = dict(zip(("size", "written", "equal"), pairs.to_dict("records"), strict=True))
    offs = [abs(triple.matched.matched.off) for triple in triples if triple.matched.matched]
    return {
        "quantity": keep, "off": max(offs), **dict(zip(("matched", "unmatched", "like"), names, strict=True)),
        **{f"{kind}_{name}": differences[kind][name] for kind in DIFFERENCES for name in SHOWN},
    }  # fmt: skip
