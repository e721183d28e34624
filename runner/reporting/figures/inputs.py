"""What the figures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from runner.planning.plan import Plan
from runner.reporting.tables.inspected import best_cell, kept_files, read_kept
from runner.reporting.tables.study_tables import Tables


@dataclass(frozen=True)
class FigureInputs:
    """The plan, its tables, and the folder with the arrays kept of some fits (None where there is none)."""

    plan: Plan
    tables: Tables
    kept: Path | None = None

    @cached_property
    def best(self) -> str | None:
        """The name of the cell with the best mean."""
        return best_cell(self.tables.cells, self.plan.metric)

    @cached_property
    def files(self) -> Mapping[str, Path]:
        return kept_files(self.plan, self.kept)

    @cached_property
    def best_kept(self) -> Mapping[str, np.ndarray]:
        """The arrays kept of the best cell; empty where there are none."""
        return read_kept(self.files[self.best]) if self.best and self.best in self.files else {}

    @property
    def class_names(self) -> list[str]:
        return [str(name) for name in self.plan.data.get("class_names", ())]
