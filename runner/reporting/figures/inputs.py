"""The data that the figures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from runner.planning.plan import Plan
from runner.reporting.statistics.metric_matrix import ALPHA
from runner.reporting.tables.inspected import array_files, best_cell, read_arrays
from runner.reporting.tables.study_tables import Tables


@dataclass(frozen=True)
class FigureInputs:
    """The plan, its tables, and the folder with the arrays saved for some fits (None if there is none)."""

    plan: Plan
    tables: Tables
    arrays: Path | None = None

    # cached_property stores its value in __dict__, which `frozen` does not prevent.
    @cached_property
    def best(self) -> str | None:
        """The name of the cell with the best mean."""
        return best_cell(self.tables.cells, self.plan.measure)

    @cached_property
    def array_files(self) -> Mapping[str, Path]:
        """By cell name, the file with the arrays of the cell's first fit."""
        return array_files(self.plan, self.arrays)

    # The figures of the activations and of the mistakes share one reading of the file.
    @cached_property
    def best_arrays(self) -> Mapping[str, np.ndarray]:
        """The saved arrays of the best cell's first fit by name; empty if there are none."""
        if not self.best or self.best not in self.array_files:
            return {}
        return read_arrays(self.array_files[self.best], classes=len(self.class_names))

    @property
    def alpha(self) -> float:
        """The level of the comparisons' tests."""
        return float(self.tables.comparisons["alpha"].iloc[0]) if len(self.tables.comparisons) else ALPHA

    @property
    def class_names(self) -> list[str]:
        return [str(name) for name in self.plan.data.get("class_names", ())]
