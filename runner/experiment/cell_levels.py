"""The level of every factor in a cell of a union: what the cell's bound settings amount to.

A block may leave out a factor that another block varies, and two blocks may write one level in two ways: with a default
or without it, as 1 or as 1.0. A cell is at a level if setting that level changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.errors import Complaint
from runner.experiment.apply import apply_levels
from runner.experiment.bound_sections import BoundSections
from runner.experiment.grid_syntax import level_label
from runner.experiment.schema import FACTOR_ROOTS, Experiment, Level
from runner.files.yaml_nodes import Node
from runner.text import level_name

BASE = "base"
"""The level of a factor that a block leaves out, if its settings are those of no level."""

_Amounts = list[tuple[bool, str]]


@dataclass(frozen=True)
class _Written:
    """A level as it is written for the first time, in the block number `block`; its label is its value if `unnamed`."""

    level: Level
    block: int
    unnamed: bool


class CellLevels:
    """Finds the levels of the cells of an experiment; what depends on the same sections is found once."""

    def __init__(self, experiment: Experiment, sections: BoundSections) -> None:
        self._sections = sections
        self._levels = {factor: _written_levels(experiment, factor) for factor in experiment.factors}
        paths = {factor: {p for item in levels for p in item.level.settings} for factor, levels in self._levels.items()}
        self._roots = {factor: sorted({path.split(".")[0] for path in own}) for factor, own in paths.items()}
        # The factors that set parts of what this one sets: of `optimizer`, a factor `optimizer.lr`.
        self._inner = {
            factor: [other for other in paths if other != factor and _are_inside(paths[other], own)]
            for factor, own in paths.items()
        }
        # Those first: the level of the outer factor is the one that, with theirs, gives the cell.
        self._order = sorted(paths, key=lambda factor: len(self._inner[factor]))
        self._found: dict[tuple[object, ...], tuple[Level | None, bool]] = {}

    def labels(self, combination: dict[str, Level], document: Node, complaints: list[Complaint]) -> dict[str, str]:
        """One label per factor of the experiment, for the cell `document` of a combination of a block's levels.

        A label that also stands for other settings is a complaint.
        """
        texts = {root: repr(document.value[root].to_data()) for root in FACTOR_ROOTS if root in document.value}
        stated, labels = dict(combination), {}
        for factor in self._order:
            inner = [stated.get(other) for other in self._inner[factor]]
            chosen = combination.get(factor)
            key = (factor, *(level and level.label for level in (chosen, *inner)))
            key += tuple(texts.get(root) for root in self._roots[factor])
            if key not in self._found:
                self._found[key] = self._find(factor, chosen, list(filter(None, inner)), document)
            level, is_unique = self._found[key]
            labels[factor] = level.label if level else BASE
            if level:
                stated[factor] = level
            if not is_unique:
                complaints.append(_ambiguous(document, factor, labels[factor]))
        return {factor: labels[factor] for factor in self._levels}

    def same_settings(self, a: Node, b: Node) -> bool:
        """Whether two cells' documents amount to the same settings."""
        return self._amounts(a, FACTOR_ROOTS) == self._amounts(b, FACTOR_ROOTS)

    def _find(self, factor: str, chosen: Level | None, inner: list[Level], document: Node) -> tuple[Level | None, bool]:
        """The level that the cell is at, None for base; and whether no level of its name has other settings."""
        levels = self._levels[factor]
        candidates = levels if chosen is None else self._earlier_spellings(factor, chosen)
        found = next((item.level for item in candidates if self._is_at(document, item.level, inner)), chosen)
        label = found.label if found else BASE
        namesakes = [item.level for item in levels if item.level.label == label and item.level is not found]
        return found, not any(self._contradicts(document, level, inner) for level in namesakes)

    def _earlier_spellings(self, factor: str, chosen: Level) -> list[_Written]:
        """The levels of earlier blocks that `chosen` may be another spelling of.

        Names are the user's choice, and two equal levels of one block give two equal cells, which are refused.
        """
        unnamed = [item for item in self._levels[factor] if item.unnamed]
        first = next((item.block for item in unnamed if item.level.label == chosen.label), 0)
        return [item for item in unnamed if item.block < first]

    def _is_at(self, document: Node, level: Level, inner: list[Level]) -> bool:
        """Whether setting `level`, and in it the levels of the inner factors, changes nothing in `document`."""
        before, after = self._set(document, level, inner)
        return before == after

    def _contradicts(self, document: Node, level: Level, inner: list[Level]) -> bool:
        """Whether setting `level` would change valid settings into other valid ones."""
        before, after = self._set(document, level, inner)
        return before != after and all(valid for valid, _ in before + after)

    def _set(self, document: Node, level: Level, inner: list[Level]) -> tuple[_Amounts, _Amounts]:
        """What the sections that `level` sets amount to, before and after it is set."""
        sections = sorted({path.split(".")[0] for path in level.settings})
        obstacles: list[Complaint] = []
        changed = apply_levels(document, [level, *inner], obstacles)
        after = self._amounts(changed, sections)
        return self._amounts(document, sections), [*after, (False, "")] if obstacles else after

    def _amounts(self, document: Node, sections: Iterable[str]) -> _Amounts:
        return [self._sections.amount(document, section) for section in sections]


def _written_levels(experiment: Experiment, factor: str) -> list[_Written]:
    """The levels of a factor in all blocks, each once, unless one label has two sets of values."""
    levels: dict[tuple[str, str], _Written] = {}
    for block, factors in enumerate(experiment.blocks):
        for level in factors.get(factor, ()):
            values = {path: node.to_data() for path, node in level.settings.items()}
            unnamed = list(values) == [factor] and level.label == level_label(values[factor])
            levels.setdefault((level.label, repr(values)), _Written(level, block, unnamed))
    return list(levels.values())


def _are_inside(paths: set[str], outer: set[str]) -> bool:
    """Whether any of `paths` is part of one of `outer`, as optimizer.lr is of optimizer."""
    return any(path.startswith(f"{whole}.") for path in paths for whole in outer)


def _ambiguous(document: Node, factor: str, label: str) -> Complaint:
    message = f"two blocks give the levels '{level_name(factor, label)}' different settings (factor '{factor}')"
    return Complaint(document.find(("grid",)), "grid", f"{message}; rename one of them")
