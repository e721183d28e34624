"""Experiment -> cells: every combination of levels, with the settings it stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runner.errors import Complaint, InputError
from runner.experiment.load import settings_of
from runner.experiment.schema import Block, Experiment, Level, Settings
from runner.files.yaml_nodes import Node
from runner.text import dotted, level_name, yaml_value

MOST_CELLS = 10_000


@dataclass(frozen=True)
class Cell:
    """One combination of levels. `document` is the YAML with the levels set, for the lines of later complaints."""

    levels: dict[str, str]
    settings: Settings
    document: Node

    @property
    def short_name(self) -> str:
        """The levels: words as they are, numbers with the end of their factor's path."""
        return ", ".join(level_name(factor, level) for factor, level in self.levels.items()) or "base"

    @property
    def full_name(self) -> str:
        return ", ".join(f"{factor}={level}" for factor, level in self.levels.items())


def expand(experiment: Experiment) -> list[Cell]:
    """All cells in the order of the file: the union of the blocks' products less what is excluded.

    A combination that two blocks share is one cell. Raises InputError where levels do not make valid settings.
    """
    _refuse_too_many(experiment)
    complaints: list[Complaint] = []
    cells: dict[tuple[str, ...], Cell] = {}
    used: set[int] = set()
    for block in experiment.blocks:
        for chosen in _product(block):
            unsettable: list[Complaint] = []
            document = _apply(experiment.document, list(chosen.values()), unsettable)
            complaints += unsettable
            levels = _all_levels(experiment, chosen, document)
            hits = [i for i, rule in enumerate(experiment.exclude) if _matches(levels, rule)]
            used.update(hits)
            if hits:
                continue
            settings = None if unsettable else settings_of(document, complaints)
            if settings is not None:
                cell = Cell(levels, settings, document)
                earlier = cells.setdefault(tuple(levels.values()), cell)
                if earlier.settings != cell.settings:
                    message = f"two blocks give the levels '{cell.short_name}' different settings; rename one"
                    complaints.append(Complaint(document.find(("grid",)), "grid", message))
    for index in set(range(len(experiment.exclude))) - used:
        where = experiment.document.find(("exclude", index))
        complaints.append(Complaint(where, f"exclude[{index}]", "matches no combination that is left"))
    if not cells and not complaints:
        complaints.append(Complaint(experiment.document.find(("exclude",)), "exclude", "excludes every cell"))
    if complaints:
        raise InputError(complaints)
    return list(cells.values())


def _unsettable(document: Node, keys: tuple[str, ...], value: Node) -> Complaint | None:
    """Why a part of a section can't be set: there is no mapping to set it in."""
    section = document.value.get(keys[0])
    if section is None:
        missing = Complaint(document.where, keys[0], f"is missing, so {dotted(keys)} has nothing to change")
        return None if keys[0] == "training" else missing
    if isinstance(section.value, list):
        return Complaint(
            value.where, dotted(keys), f"{keys[0]} is a list, so the path does not say which; set it whole"
        )
    if not isinstance(section.value, dict):
        message = f"found {yaml_value(section.value)}; expected a name, or a mapping with a name and parameters"
        return Complaint(document.find((keys[0],)), keys[0], message)
    return None


def names(cells: Sequence[Cell]) -> list[str]:
    """A name for each cell, short where that tells all of them apart."""
    short = [cell.short_name for cell in cells]
    return short if len(set(short)) == len(short) else [cell.full_name for cell in cells]


def _refuse_too_many(experiment: Experiment) -> None:
    count = sum(math.prod(map(len, block.values())) for block in experiment.blocks)
    if count > MOST_CELLS:
        message = f"makes {count} cells; allowed: at most {MOST_CELLS}"
        raise InputError([Complaint(experiment.document.find(("grid",)), "grid", message)])


def _product(block: Block) -> Iterator[dict[str, Level]]:
    for combination in itertools.product(*block.values()):
        yield dict(zip(block, combination, strict=True))


def _matches(levels: dict[str, str], rule: dict[str, str]) -> bool:
    return all(levels[factor] == level for factor, level in rule.items())


def _all_levels(experiment: Experiment, chosen: dict[str, Level], document: Node) -> dict[str, str]:
    """A label for every factor of the experiment, those of other blocks included (by what the cell sets)."""
    return {
        factor: chosen[factor].label if factor in chosen else _base_level(experiment, factor, document)
        for factor in experiment.factors
    }


def _base_level(experiment: Experiment, factor: str, document: Node) -> str:
    """The level of a factor that a block leaves alone: the one whose settings the cell has all the same."""
    levels = [level for block in experiment.blocks for level in block.get(factor, [])]
    for level in levels:
        if all(_value_at(document, path) == node.to_data() for path, node in level.settings.items()):
            return level.label
    return "base"


def _value_at(document: Node, path: str) -> object:
    value = document.to_data()
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _apply(document: Node, levels: list[Level], complaints: list[Complaint]) -> Node:
    """Set all paths of the levels, whole components before their parameters."""
    settings = [item for level in levels for item in level.settings.items()]
    for path, value in sorted(settings, key=lambda item: item[0].count(".")):
        keys = tuple(path.split("."))
        document = document.normalised(keys[0])
        complaint = _unsettable(document, keys, value) if len(keys) > 1 else None
        if complaint:
            complaints.append(complaint)
            continue
        document = document.replaced(keys, value)
    return document
