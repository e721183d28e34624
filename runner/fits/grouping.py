"""Which fits an engine trains together, and in which order the groups run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from runner.fits.records import FitSpec

T = TypeVar("T")


FitGroup = tuple[FitSpec, ...]
"""Fits of one cell that an engine trains together."""


def time_limit(group: FitGroup) -> float | None:
    """The seconds that a group may take: those of its fits together."""
    limits = [fit.timeout for fit in group if fit.timeout is not None]
    return sum(limits) or None


def groups(fits: Sequence[FitSpec], wanted: Collection[str]) -> list[FitGroup]:
    """The fits in the groups in which they are trained, the most costly first so that no worker ends alone.

    `fits` are all of a plan, in its order. A group is trained as a whole or not at all, as its bits depend on how many
    it holds; it is here where the id of one of its fits is `wanted`.
    """
    by_cell: dict[str, list[FitSpec]] = {}
    for fit in fits:
        by_cell.setdefault(fit.cell, []).append(fit)
    found = [
        tuple(group)
        for cell in by_cell.values()
        for group in stacks(cell, cell[0].training.stacking, 1 + max(fit.fold for fit in cell))
    ]
    here = [group for group in found if any(fit.id in wanted for fit in group)]
    return sorted(here, key=lambda group: -sum(fit.cost for fit in group))


def stacks(fits: Sequence[T], stacking: int | None, folds: int) -> list[Sequence[T]]:
    """What belongs to the fits of a cell, in the plan's order, parted by the groups that are trained together.

    A group is a part of one repeat, or whole repeats, so that more repeats leave full groups as they are.
    """
    size = stacking or 1
    span = folds if size <= folds else size // folds * folds
    spans = [fits[start : start + span] for start in range(0, len(fits), span)]
    return [part[start : start + size] for part in spans for start in range(0, len(part), min(size, span))]
