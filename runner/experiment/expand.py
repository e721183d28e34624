"""Experiment -> cells: every combination of levels, with the settings that it selects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.components.catalog import load_catalog
from runner.errors import Complaint, InputError
from runner.experiment.apply import apply_levels
from runner.experiment.load import parse_settings
from runner.experiment.schema import BASE, Block, Experiment, Level, Settings
from runner.files.yaml_nodes import Node
from runner.fits.records import Matched
from runner.text import level_name

if TYPE_CHECKING:
    from runner.experiment.bound_sections import Resolve
    from runner.experiment.cell_levels import CellLevels

Solve = Callable[[Node, list[Complaint]], tuple[Node, Matched | None]]
Matcher = Callable[[Block, dict[str, Level], Node, list[Complaint]], tuple[Node, Matched | None]]
"""Solves what a cell's rule leaves open: a combination of levels of a block, and its document before and after."""

MAX_CELLS = 10_000


@dataclass(frozen=True)
class Cell:
    """One combination of levels. `document` is the YAML with these levels applied; later errors take lines from it.

    `matched` says which of the settings were solved to match the cell with another.
    """

    levels: dict[str, str]
    settings: Settings
    document: Node
    matched: Matched | None = None

    @property
    def short_name(self) -> str:
        """The levels alone; a number is preceded by the last part of its factor's path, as in ``lr=0.1``."""
        return _name(self.levels) or BASE

    @property
    def full_name(self) -> str:
        return ", ".join(f"{factor}={level}" for factor, level in self.levels.items())


def expand(
    experiment: Experiment,
    resolve: Resolve = lambda training: training,
    excluded: dict[int, int] | None = None,
    match: Matcher | None = None,
) -> list[Cell]:
    """All cells in file order: the union of the blocks' products minus the excluded combinations.

    A combination that occurs in two blocks is one cell, whether or not both write out its defaults; `resolve` says what
    ``auto`` means. `excluded` gets the number of combinations that each exclusion is the first to match. `match`
    solves the settings of the cells that the grid matches with others. Raises InputError if levels do not form valid
    settings.
    """
    _check_cell_count(experiment)
    complaints: list[Complaint] = []
    # Labels are enough as the key: every cell has one for each factor of the experiment, in the same order.
    cells: dict[tuple[str, ...], Cell] = {}
    used_rules = {} if excluded is None else excluded
    union = _union_levels(experiment, resolve)
    for block in experiment.blocks:
        written: dict[tuple[str, ...], dict[str, Level]] = {}
        for combination in _product(block):
            solve = partial(match, block, combination) if match else None
            cell = _create_cell(experiment, combination, union, used_rules, complaints, solve)
            if cell is None:
                continue
            key = tuple(cell.levels.values())
            if union:
                complaints += _check_equal(written.setdefault(key, combination), combination, cell)
                complaints += _check_shared(union, cells.get(key, cell), cell)
            cells.setdefault(key, cell)
    # A rule without effect is taken for a mistake: nothing in the file is ever ignored in silence.
    for index in set(range(len(experiment.exclude))) - used_rules.keys():
        where = experiment.document.find(("exclude", index))
        complaints.append(Complaint(where, f"exclude[{index}]", "matches no combination of the grid"))
    if not cells and not complaints:
        complaints.append(Complaint(experiment.document.find(("exclude",)), "exclude", "excludes every cell"))
    if complaints:
        raise InputError(complaints)
    return list(cells.values())


def _name(levels: dict[str, str]) -> str:
    return ", ".join(level_name(factor, level) for factor, level in levels.items())


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


def _union_levels(experiment: Experiment, resolve: Resolve) -> CellLevels | None:
    """Finds the levels of a union's cells; None for a single block, whose cells have the levels of its factors."""
    if len(experiment.blocks) == 1:
        return None
    # Only here: as a rule, an experiment has one block, and its plan answers sooner.
    from runner.experiment.bound_sections import BoundSections
    from runner.experiment.cell_levels import CellLevels

    return CellLevels(experiment, BoundSections(load_catalog(experiment.plugin_files), resolve))


def _product(block: Block) -> Iterator[dict[str, Level]]:
    for combination in itertools.product(*block.values()):
        yield dict(zip(block, combination, strict=True))


def _check_equal(first: dict[str, Level], second: dict[str, Level], cell: Cell) -> Iterator[Complaint]:
    """A complaint if two combinations of one block have the same levels, of which another block has other spellings."""
    if second is not first:
        one, other = (_name({factor: level.label for factor, level in levels.items()}) for levels in (first, second))
        message = f"is the same as cell '{one}': both have the same settings; exclude one of them"
        yield Complaint(cell.document.find(("grid",)), f"cell '{other}'", message)


def _check_shared(union: CellLevels, first: Cell, second: Cell) -> Iterator[Complaint]:
    """A complaint if two cells of the same levels have different settings."""
    if second is not first and not union.same_settings(first.document, second.document):
        message = f"two blocks give the levels '{second.short_name}' different settings; rename one of them"
        yield Complaint(second.document.find(("grid",)), "grid", message)


def _create_cell(
    experiment: Experiment,
    combination: dict[str, Level],
    union: CellLevels | None,
    used_rules: dict[int, int],
    complaints: list[Complaint],
    solve: Solve | None,
) -> Cell | None:
    """The cell of a combination of levels; None if it is excluded or, with a new complaint, invalid.

    The exclusions that match it are noted in `used_rules`, the first of them as the one that excludes it.
    """
    new_complaints: list[Complaint] = []
    document = apply_levels(experiment.document, combination.values(), new_complaints)
    levels = written = {factor: level.label for factor, level in combination.items()}
    matched = None
    # What is excluded may well be excluded because it cannot be matched.
    if solve and not any(rule.items() <= written.items() for rule in experiment.exclude):
        document, matched = solve(document, new_complaints)
    if union:
        levels = union.labels(combination, document, new_complaints)
    complaints += new_complaints
    matching_rules = [i for i, rule in enumerate(experiment.exclude) if _matches(rule, levels, written)]
    for position, rule in enumerate(matching_rules):
        used_rules[rule] = used_rules.get(rule, 0) + (position == 0)
    # Before the settings are validated: what is excluded may well be excluded because it is invalid.
    if matching_rules or new_complaints:
        return None
    settings = parse_settings(document, complaints)
    return Cell(levels, settings, document, matched) if settings is not None else None


def _matches(rule: dict[str, str], levels: dict[str, str], written: dict[str, str]) -> bool:
    """Whether the cell has every level of the rule, by its own name for it or as the block writes it."""
    return all(level in (levels[factor], written.get(factor)) for factor, level in rule.items())
