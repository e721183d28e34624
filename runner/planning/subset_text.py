"""What a part of a grid leaves out and what it can no longer tell, in words: for the plan and the report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.planning.plan import Subset
from runner.text import plural

MOST_PAIRS = 6
"""More interactions are counted; `plan --json` and plan.yaml have them all."""


def left_out(subset: Subset, cells: int) -> str:
    """``fraction, 9 of 81 cells (72 left out); every two levels of different factors are in equally many``."""
    text = f"{subset.kind}, {cells:,} of {plural(subset.of, 'cell')} ({subset.of - cells:,} left out)"
    if subset.even:
        return f"{text}; every two levels of different factors are in equally many"
    return (
        text if subset.kind == "random" else f"{text}; levels of different factors are together as evenly as was found"
    )


def limits(subset: Subset) -> list[str]:
    """A line each on the interactions that cannot be told, and on those that shift differences between levels."""
    lines = []
    if subset.unknown:
        lines.append(f"cannot be told: {_listed(subset, subset.unknown)}")
    shifting = tuple(dict.fromkeys(name for names in subset.mixed.values() for name in names))
    if shifting:
        lines.append(
            "differences between levels suppose that effects add up; those of factors outside of it are shifted by "
            f"{_listed(subset, shifting)}, if there is one"
        )
    if not subset.spare:
        lines.append("no cell is left to show whether effects add up, so that claims rest on that alone")
    return lines


def _listed(subset: Subset, names: Sequence[str]) -> str:
    more = len(names) - MOST_PAIRS
    if len(names) == math.comb(len(subset.cells_a_level), 2):
        return "any interaction of two factors"
    return ", ".join(names[:MOST_PAIRS]) + (f" and {plural(more, 'other interaction')}" if more > 0 else "")
