"""The plan: every cell and every fit, decided before anything is trained. Frozen beside the journal as plan.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.components.records import ComponentRef
from runner.fits.metrics import METRICS, TEST_METRICS
from runner.fits.records import TrainingPlan
from runner.network.base import Pair


@dataclass(frozen=True)
class CellSettings:
    """What a cell's fits are trained with: its components with every parameter bound, and the training settings."""

    architecture: ComponentRef
    augmentation: tuple[ComponentRef, ...]
    optimizer: ComponentRef
    training: TrainingPlan

    def to_dict(self) -> dict[str, Any]:
        """As it stands in plan.yaml."""
        return {
            "architecture": self.architecture.to_dict(),
            "augmentation": [ref.to_dict() for ref in self.augmentation],
            "optimizer": self.optimizer.to_dict(),
            "training": self.training.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CellSettings:
        """The inverse of `to_dict`; raises KeyError or TypeError for anything else."""
        return cls(
            ComponentRef.from_dict(content["architecture"]),
            tuple(map(ComponentRef.from_dict, content["augmentation"])),
            ComponentRef.from_dict(content["optimizer"]),
            TrainingPlan(**content["training"]),
        )


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its cost. `settings` are its components with all parameters bound; `problem` is "" if it can run.

    `warnings` say what of the image its network never sees.

    `timeout` bounds the seconds of each of its fits, `retries` says how often one that is lost by chance is trained
    again, and every `checkpoint` seconds their state is kept; none is a part of what the cell is.
    """

    id: str
    name: str
    levels: dict[str, str]
    settings: CellSettings
    parameters: int | None = None
    macs: int | None = None
    receptive_field: Pair | None = None
    problem: str = ""
    timeout: float | None = None
    checkpoint: float | None = None
    warnings: tuple[str, ...] = ()
    retries: int = 0


@dataclass(frozen=True)
class Plan:
    """A whole experiment. `data` and `fits` (fit ids by cell, by repeat and then fold) are known once data is read.

    `test` says whether every fit is measured on the held-out test images too; `file` is the experiment's, as given.
    `plugins`: of each plugin file, as the experiment names it, its `digest`, and the names of its `components` by kind.
    """

    name: str
    description: str
    factors: tuple[str, ...]
    folds: int
    repeats: int
    seed: int
    metric: str
    equivalent: float
    dataset: ComponentRef
    training: TrainingPlan
    cells: tuple[PlannedCell, ...]
    data: dict[str, Any] = field(default_factory=dict)
    fits: dict[str, list[str]] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    test: bool = False
    file: str = ""
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured of every fit after its last epoch."""
        return METRICS + TEST_METRICS if self.test else METRICS

    @property
    def fit_count(self) -> int:
        return len(self.cells) * self.folds * self.repeats

    def fit_keys(self) -> list[tuple[str, str, int, int]]:
        """(fit id, cell id, repeat, fold) of every fit, in the plan's order."""
        return [
            (fit, cell.id, index // self.folds, index % self.folds)
            for cell in self.cells
            for index, fit in enumerate(self.fits.get(cell.id, []))
        ]
