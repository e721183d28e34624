"""Finds the level that a cell is at among thousands, without trying each of them on each of thousands of cells."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from runner.errors import Complaint
from runner.experiment.apply import apply_levels
from runner.experiment.bound_sections import BoundSections
from runner.experiment.schema import Level
from runner.files.yaml_nodes import Node


class Form(NamedTuple):
    """The paths that levels of this form set."""

    paths: tuple[str, ...]

    @property
    def sections(self) -> list[str]:
        return sorted({path.partition(".")[0] for path in self.paths})

    @property
    def is_flat(self) -> bool:
        """Whether it sets only parameters, which are bound each on its own: not a component, nor parts of a value."""
        return all(path.count(".") == 1 and not path.endswith(".name") for path in self.paths)

    def amount(self, sections: BoundSections, document: Node) -> Hashable:
        """What the settings of `document` amount to where levels of this form set them; None if they are not valid."""
        amounts = {section: sections.amount(document, section) for section in self.sections}
        if None in amounts.values():
            return None
        if self.is_flat:
            pairs = [path.split(".") for path in self.paths]
            return tuple((amounts[section] or {}).get(key) for section, key in pairs)
        return tuple(tuple(sorted((amount or {}).items())) for amount in amounts.values())

    def surroundings(self, document: Node) -> Hashable:
        """What else a level's amount may depend on in `document`."""
        if self.is_flat:
            return tuple(_kind(document.value.get(section), section) for section in self.sections)
        blank = {path: Node(None, document.where) for path in self.paths}
        without = apply_levels(document, [Level("", blank)], [])
        return tuple(repr(node and node.to_data()) for node in map(without.value.get, self.sections))


def _kind(section: Node | None, name: str) -> str:
    """Of a component, its name; of the training settings, those that others depend on."""
    data = section and section.to_data()
    if not isinstance(data, dict):
        return repr(data)
    return repr([data.get(key) for key in (("engine", "device") if name == "training" else ("name",))])


class LevelTables:
    """For levels of one form in the same surroundings: the first level of each amount, one table for all cells."""

    def __init__(self, sections: BoundSections) -> None:
        self._sections = sections
        self._tables: dict[Hashable, dict[Hashable, Level]] = {}

    def first(self, document: Node, levels: Sequence[Level], inner: Sequence[Level]) -> Level | None:
        """The first of `levels`, all of one form, that the cell `document` is at.

        It is at a level if setting the level, and in it the levels of `inner` factors, changes nothing.
        """
        form = Form(tuple(sorted(levels[0].settings)))
        amount = form.amount(self._sections, document)
        if amount is None:
            return None
        key = (id(levels), tuple(map(id, inner)), form.surroundings(document))
        if key not in self._tables:
            self._tables[key] = self._table(document, form, levels, inner)
        return self._tables[key].get(amount)

    def contradicts(self, document: Node, level: Level, inner: Sequence[Level]) -> bool:
        """Whether setting `level` would change valid settings of `document` into other valid ones."""
        form = Form(tuple(sorted(level.settings)))
        before, after = form.amount(self._sections, document), self._amount_with(document, form, level, inner)
        return None not in (before, after) and before != after

    def _amount_with(self, document: Node, form: Form, level: Level, inner: Sequence[Level]) -> Hashable:
        """The amount of `document` with `level` set; None if that is not possible."""
        obstacles: list[Complaint] = []
        amount = form.amount(self._sections, apply_levels(document, [level, *inner], obstacles))
        return None if obstacles else amount

    def _table(
        self, document: Node, form: Form, levels: Sequence[Level], inner: Sequence[Level]
    ) -> dict[Hashable, Level]:
        table: dict[Hashable, Level] = {}
        for level in levels:
            amount = self._amount_with(document, form, level, inner)
            if amount is not None:
                table.setdefault(amount, level)
        return table
