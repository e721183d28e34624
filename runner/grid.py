"""Experiment -> cells: every combination of levels, with the settings it stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from runner.config import settings_of
from runner.document import Node
from runner.errors import Complaint, InputError
from runner.experiment import Block, Experiment, Level, Settings

MOST_CELLS = 100_000


@dataclass(frozen=True)
class Cell:
    """One combination of levels. `document` is the YAML with the levels set, for the lines of later complaints."""

    levels: dict[str, str]
    settings: Settings
    document: Node

    @property
    def name(self) -> str:
        """A short name from the levels: words as they are, numbers with the end of their factor's path."""
        return ", ".join(_short(factor, level) for factor, level in self.levels.items()) or "base"


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
            levels = _all_levels(experiment, chosen)
            hits = [i for i, rule in enumerate(experiment.exclude) if _matches(levels, rule)]
            used.update(hits)
            if hits or tuple(levels.values()) in cells:
                continue
            document = _apply(experiment.document, list(chosen.values()), complaints)
            settings = settings_of(document, complaints)
            if settings is not None:
                cells[tuple(levels.values())] = Cell(levels, settings, document)
    for index in set(range(len(experiment.exclude))) - used:
        where = experiment.document.find(("exclude", index))
        complaints.append(Complaint(where, f"exclude[{index}]", "matches no combination that is left"))
    if not cells and not complaints:
        complaints.append(Complaint(experiment.document.find(("exclude",)), "exclude", "excludes every cell"))
    if complaints:
        raise InputError(complaints)
    return list(cells.values())


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


def _all_levels(experiment: Experiment, chosen: dict[str, Level]) -> dict[str, str]:
    """A label for every factor of the experiment, those of other blocks included (by what the base file sets)."""
    return {
        factor: chosen[factor].label if factor in chosen else _base_level(experiment, factor)
        for factor in experiment.factors
    }


def _base_level(experiment: Experiment, factor: str) -> str:
    """The level of a factor that a block leaves alone: the one whose settings the base file already has."""
    levels = [level for block in experiment.blocks for level in block.get(factor, [])]
    for level in levels:
        if all(_value_at(experiment.document, path) == node.plain() for path, node in level.settings.items()):
            return level.label
    return "base"


def _value_at(document: Node, path: str) -> object:
    value = document.plain()
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _apply(document: Node, levels: list[Level], complaints: list[Complaint]) -> Node:
    """Set all paths of the levels, whole components before their parameters."""
    settings = [item for level in levels for item in level.settings.items()]
    for path, value in sorted(settings, key=lambda item: item[0].count(".")):
        keys = tuple(path.split("."))
        document = document.normalised(keys[0])
        current = document.value.get(keys[0])
        if len(keys) > 1 and current is not None and isinstance(current.value, list):
            message = f"{keys[0]} is a list, so '{path}' does not say which; set the whole list"
            complaints.append(Complaint(value.where, path, message))
            continue
        document = document.replaced(keys, value)
    return document


def _short(factor: str, level: str) -> str:
    try:
        float(level)
    except ValueError:
        return level if level not in ("true", "false", "null", "base") else f"{factor.rpartition('.')[2]}={level}"
    return f"{factor.rpartition('.')[2]}={level}"
