"""The level of every factor in a cell of a union: what the cell's bound settings amount to.

A block may leave out a factor that another block varies, and two blocks may write one level in two ways: with a default
or without it, as 1 or as 1.0. A cell is at a level if setting that level changes nothing in it.
"""

from __future__ import annotations

from collections import defaultdict

from runner.errors import Complaint
from runner.experiment.bound_sections import BoundSections
from runner.experiment.grid_syntax import level_label
from runner.experiment.level_tables import Form, LevelTables
from runner.experiment.schema import BASE, FACTOR_ROOTS, Block, Experiment, Level
from runner.files.yaml_nodes import Node
from runner.text import level_name


class _Factor:
    """The levels of a factor in all blocks, each once: all by label, all by the paths that they set, and the unnamed.

    Those are labelled by their value; `first_block` has the block in which a label of theirs is written first.
    """

    def __init__(self, name: str, blocks: tuple[Block, ...]) -> None:
        written: dict[tuple[str, str], Level] = {}
        self.by_label: dict[str, list[Level]] = defaultdict(list)
        self.by_form: dict[tuple[str, ...], list[Level]] = defaultdict(list)
        self.unnamed: list[Level] = []
        self.first_block: dict[str, int] = {}
        for number, level in ((n, level) for n, block in enumerate(blocks) for level in block.get(name, ())):
            values = {path: node.to_data() for path, node in level.settings.items()}
            if written.setdefault((level.label, repr([values, level.match])), level) is not level:
                continue
            self.by_label[level.label].append(level)
            if level.match:  # what it amounts to differs from cell to cell
                continue
            self.by_form[tuple(sorted(values))].append(level)
            if list(values) == [name] and level.label == level_label(values[name]):
                self.unnamed.append(level)
                self.first_block.setdefault(level.label, number)
        self.paths = {path for form in self.by_form for path in form}
        self.sections = sorted({path.partition(".")[0] for path in self.paths})
        # By identity, as two levels with the same label and content are still two objects.
        self.place = {id(level): place for place, level in enumerate(written.values())}


class CellLevels:
    """Finds the levels of the cells of an experiment; what depends on the same sections is found once."""

    def __init__(self, experiment: Experiment, sections: BoundSections) -> None:
        self._sections, self._tables, self._document = sections, LevelTables(sections), experiment.document
        self._factors = factors = {name: _Factor(name, experiment.blocks) for name in experiment.factors}
        # The factors that set parts of what this one sets: of `optimizer`, a factor `optimizer.lr`.
        self._inner = {
            name: [other for other in factors if other != name and _are_inside(factors[other].paths, factor.paths)]
            for name, factor in factors.items()
        }
        # Those first: the level of the outer factor is the one that, with theirs, gives the cell.
        self._order = sorted(factors, key=lambda name: len(self._inner[name]))
        self._found: dict[tuple[object, ...], tuple[Level | None, bool]] = {}

    def labels(self, combination: dict[str, Level], document: Node, complaints: list[Complaint]) -> dict[str, str]:
        """One label per factor of the experiment, for the cell `document` of a combination of a block's levels.

        A label that also stands for other settings is a complaint.
        """
        texts = {
            section: repr(document.value[section].to_data()) for section in FACTOR_ROOTS if section in document.value
        }
        stated, labels = dict(combination), {}
        for name in self._order:
            inner, chosen = [stated.get(other) for other in self._inner[name]], combination.get(name)
            key = (name, *(level and level.label for level in (chosen, *inner)))
            key += tuple(texts.get(section) for section in self._factors[name].sections)
            if key not in self._found:
                self._found[key] = self._find(name, chosen, list(filter(None, inner)), document)
            level, is_unique = self._found[key]
            labels[name] = level.label if level else BASE
            if level:
                stated[name] = level
            if not is_unique:
                complaints.append(_ambiguous(document, name, labels[name]))
        return {name: labels[name] for name in self._factors}

    def same_settings(self, a: Node, b: Node) -> bool:
        """Whether two cells' documents amount to the same settings."""
        return all(self._sections.amount(a, section) == self._sections.amount(b, section) for section in FACTOR_ROOTS)

    def _find(self, name: str, chosen: Level | None, inner: list[Level], document: Node) -> tuple[Level | None, bool]:
        """The level that the cell is at, None for base; and whether no level of its name has other settings."""
        factor = self._factors[name]
        if chosen:
            found: Level | None = self._first_spelling(factor, chosen, inner, document)
        else:
            of_forms = [self._tables.first(document, levels, inner) for form, levels in factor.by_form.items() if form]
            found = min((level for level in of_forms if level), key=lambda level: factor.place[id(level)], default=None)
            found = found or self._setting_nothing(factor, document)
        namesakes = factor.by_label.get(found.label if found else BASE, [])
        if found and len(namesakes) == 1:
            return found, True
        if found and any(level.match != found.match for level in namesakes):
            return found, False
        return found, not any(self._tables.contradicts(document, level, inner) for level in namesakes)

    def _setting_nothing(self, factor: _Factor, document: Node) -> Level | None:
        """The level that sets nothing, if the cell has what the file has where other levels of the factor set it.

        Setting it changes nothing in any cell, so it is not looked for as others are.
        """
        for level in factor.by_form.get((), ()):
            form = Form(tuple(sorted(factor.paths)))
            amounts = [form.amount(self._sections, node) for node in (document, self._document)]
            if amounts[0] is not None and amounts[0] == amounts[1]:
                return level
        return None

    def _first_spelling(self, factor: _Factor, chosen: Level, inner: list[Level], document: Node) -> Level:
        """The unnamed level of an earlier block that `chosen` is another spelling of, or `chosen` itself.

        Names are the user's choice, and two equal levels of one block give two equal cells, which are refused.
        """
        block = factor.first_block.get(chosen.label, 0)
        found = self._tables.first(document, factor.unnamed, inner) if block else None
        return found if found and factor.first_block[found.label] < block else chosen


def _are_inside(paths: set[str], outer: set[str]) -> bool:
    """Whether any of `paths` is part of one of `outer`, as optimizer.lr is of optimizer."""
    return any(path.startswith(f"{whole}.") for path in paths for whole in outer)


def _ambiguous(document: Node, factor: str, label: str) -> Complaint:
    message = f"two blocks give the levels '{level_name(factor, label)}' different settings (factor '{factor}')"
    return Complaint(document.find(("grid",)), "grid", f"{message}; rename one of them")
