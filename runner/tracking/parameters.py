"""The MLflow parameters of cells: the factors under their short names, then every other setting of the fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.planning.plan import Plan, PlannedCell
from runner.text import yaml_value
from runner.tracking.names import FACTOR, LEVEL, factor_names, original_names, setting_name, shortened

MOST_CHARACTERS = 6000
"""MLflow's limit for the value of a parameter."""

MOST_CHARACTERS_OF_TAG = 8000
"""MLflow's limit for the value of a tag."""

OF_FITS = ("repeat", "fold")
"""Parameters that only the runs of fits have."""


def factor_parameters(plan: Plan) -> dict[str, str]:
    """The name of each factor in MLflow."""
    return Parameters(plan).factors


class Parameters:
    """The parameters of all cells of a plan. `factors` has each factor's name in MLflow, in the grid's order."""

    def __init__(self, plan: Plan) -> None:
        self._settings = {cell.id: _settings(plan, cell) for cell in plan.cells}
        keys = {key for settings in self._settings.values() for key in settings}
        self.factors = factor_names(plan.factors, keys, OF_FITS)
        # A factor that is a path, such as optimizer.lr, is the setting itself; one of that name with own levels is not.
        same = {factor for factor in plan.factors if all(self._is_setting(cell, factor) for cell in plan.cells)}
        self._names = {key: setting_name(key, self.factors.values()) for key in keys - same}

    def of_cell(self, cell: PlannedCell) -> dict[str, str]:
        """The factors and every setting, by names and with values that MLflow accepts."""
        settings = self._settings[cell.id]
        values = {self._names[key]: str(value) for key, value in settings.items() if key in self._names}
        return {**self._levels(cell), **{name: shortened(value, MOST_CHARACTERS) for name, value in values.items()}}

    def of_fit(self, cell: PlannedCell, repeat: int, fold: int) -> dict[str, str]:
        """The factors, and which fit it is: what else its cell has is on the cell's run, and costs MLflow time."""
        return {**self._levels(cell), "repeat": str(repeat + 1), "fold": str(fold + 1)}

    def _levels(self, cell: PlannedCell) -> dict[str, str]:
        return {self.factors[factor]: shortened(level, MOST_CHARACTERS) for factor, level in cell.levels.items()}

    def original_tags(self, cell: PlannedCell) -> dict[str, str]:
        """The factors' own names and levels, where MLflow's names and values are others."""
        levels = {self.factors[factor]: level for factor, level in cell.levels.items()}
        tags = {f"{FACTOR}{name}": factor for name, factor in original_names(self.factors).items()}
        tags |= {f"{LEVEL}{name}": level for name, level in levels.items() if len(level) >= MOST_CHARACTERS}
        return {key: shortened(value, MOST_CHARACTERS_OF_TAG) for key, value in tags.items()}

    def _is_setting(self, cell: PlannedCell, factor: str) -> bool:
        value = self._settings[cell.id].get(factor)
        return value is not None and cell.levels.get(factor) in (str(value), yaml_value(value))


def _settings(plan: Plan, cell: PlannedCell) -> dict[str, Any]:
    """What a cell's fits are trained with, by path."""
    flat: dict[str, Any] = {}
    if any(other.settings.loss for other in plan.cells):
        flat["loss"] = "cross_entropy"  # replaced by the cell's own, if it has one
    sections = {**cell.settings.to_dict(), "dataset": plan.dataset.to_dict()}
    sections["augmentation"] = " + ".join(map(str, cell.settings.augmentation))
    for path, value in _flatten(sections):
        flat[path.removesuffix(".name") if path.count(".") == 1 else path] = value
    return {**flat, "folds": plan.folds, "repeats": plan.repeats_setting, "seed": plan.seed}


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
