"""Experiment -> cells: every combination of levels, with the settings that it selects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runner.errors import Complaint, InputError
from runner.experiment.load import parse_settings
from runner.experiment.schema import Block, Experiment, Level, Settings
from runner.files.yaml_nodes import Node
from runner.text import dotted, level_name, yaml_value

MAX_CELLS = 10_000


@dataclass(frozen=True)
class Cell:
    """One combination of levels. `document` is the YAML with these levels applied; later errors take lines from it."""

    levels: dict[str, str]
    settings: Settings
    document: Node

    @property
    def short_name(self) -> str:
        """The levels alone; a number is preceded by the last part of its factor's path, as in ``lr=0.1``."""
        return ", ".join(level_name(factor, level) for factor, level in self.levels.items()) or "base"

    @property
    def full_name(self) -> str:
        return ", ".join(f"{factor}={level}" for factor, level in self.levels.items())


def expand(experiment: Experiment) -> list[Cell]:
    """All cells in file order: the union of the blocks' products minus the excluded combinations.

    A combination that occurs in two blocks is one cell. Raises InputError if levels do not form valid settings.
    """
    _check_cell_count(experiment)
    complaints: list[Complaint] = []
    cells: dict[tuple[str, ...], Cell] = {}
    used_rules: set[int] = set()
    for combination in itertools.chain.from_iterable(map(_product, experiment.blocks)):
        cell = _create_cell(experiment, combination, used_rules, complaints)
        if cell is None:
            continue
        # Labels are enough as the key: every cell has one for each factor of the experiment, in the same order.
        earlier = cells.setdefault(tuple(cell.levels.values()), cell)
        if earlier.settings != cell.settings:
            message = f"two blocks give the levels '{cell.short_name}' different settings; rename one of them"
            complaints.append(Complaint(cell.document.find(("grid",)), "grid", message))
    # A rule without effect is taken for a mistake: nothing in the file is ever ignored in silence.
    for index in set(range(len(experiment.exclude))) - used_rules:
        where = experiment.document.find(("exclude", index))
        complaints.append(Complaint(where, f"exclude[{index}]", "matches no combination of the grid"))
    if not cells and not complaints:
        complaints.append(Complaint(experiment.document.find(("exclude",)), "exclude", "excludes every cell"))
    if complaints:
        raise InputError(complaints)
    return list(cells.values())


def cell_names(cells: Sequence[Cell]) -> list[str]:
    """One name per cell: the short names if they are unique, otherwise the full names."""
    short = [cell.short_name for cell in cells]
    return short if len(set(short)) == len(short) else [cell.full_name for cell in cells]


def _check_cell_count(experiment: Experiment) -> None:
    # Counted before the products are built: a short file can describe more combinations than memory holds.
    count = sum(math.prod(map(len, block.values())) for block in experiment.blocks)
    if count > MAX_CELLS:
        message = f"expands to {count} cells; allowed: at most {MAX_CELLS}"
        raise InputError([Complaint(experiment.document.find(("grid",)), "grid", message)])


def _create_cell(
    experiment: Experiment, combination: dict[str, Level], used_rules: set[int], complaints: list[Complaint]
) -> Cell | None:
    """The cell of a combination of levels; None if it is excluded or, with a new complaint, invalid.

    The indices of the exclusions that match it are added to `used_rules`.
    """
    apply_complaints: list[Complaint] = []
    document = _apply(experiment.document, list(combination.values()), apply_complaints)
    complaints += apply_complaints
    levels = _all_levels(experiment, combination, document)
    matching_rules = [i for i, rule in enumerate(experiment.exclude) if _matches(levels, rule)]
    used_rules.update(matching_rules)
    # Before the settings are validated: what is excluded may well be excluded because it is invalid.
    if matching_rules or apply_complaints:
        return None
    settings = parse_settings(document, complaints)
    return Cell(levels, settings, document) if settings is not None else None


def _product(block: Block) -> Iterator[dict[str, Level]]:
    for combination in itertools.product(*block.values()):
        yield dict(zip(block, combination, strict=True))


def _matches(levels: dict[str, str], rule: dict[str, str]) -> bool:
    return all(levels[factor] == level for factor, level in rule.items())


def _all_levels(experiment: Experiment, combination: dict[str, Level], document: Node) -> dict[str, str]:
    """One level label per factor of the experiment, including factors that only other blocks vary."""
    return {
        factor: combination[factor].label if factor in combination else _base_level(experiment, factor, document)
        for factor in experiment.factors
    }


def _base_level(experiment: Experiment, factor: str, document: Node) -> str:
    """The level of a factor that the block does not vary: the level whose settings the cell already has, or "base"."""
    levels = [level for block in experiment.blocks for level in block.get(factor, [])]
    for level in levels:
        # In the cell's own document, not in the file: a level of another factor may have set the same path.
        if all(_value_at(document, path) == node.to_data() for path, node in level.settings.items()):
            return level.label
    return "base"


def _value_at(document: Node, path: str) -> object:
    value = document.to_data()
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _apply(document: Node, levels: list[Level], complaints: list[Complaint]) -> Node:
    """The document with every path of `levels` set."""
    settings = [item for level in levels for item in level.settings.items()]
    # Shortest paths first: setting a whole component afterwards would discard parameters set by another factor.
    for path, value in sorted(settings, key=lambda item: item[0].count(".")):
        keys = tuple(path.split("."))
        document = document.with_component_expanded(keys[0])
        complaint = _obstacle(document, keys, value) if len(keys) > 1 else None
        if complaint:
            complaints.append(complaint)
            continue
        document = document.with_value(keys, value)
    return document


def _obstacle(document: Node, keys: tuple[str, ...], value: Node) -> Complaint | None:
    """Why a key inside a section cannot be set; None if the section is a mapping."""
    section = document.value.get(keys[0])
    if section is None:
        missing = Complaint(document.where, keys[0], f"is missing, so {dotted(keys)} cannot be set")
        return None if keys[0] == "training" else missing  # all keys of `training` may come from the levels
    if isinstance(section.value, list):
        message = f"{keys[0]} is a list, so the path is ambiguous; set the whole list"
        return Complaint(value.where, dotted(keys), message)
    if not isinstance(section.value, dict):
        message = f"found {yaml_value(section.value)}; expected a name, or a mapping with a name and parameters"
        return Complaint(document.find((keys[0],)), keys[0], message)
    return None
