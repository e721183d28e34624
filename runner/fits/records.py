"""A fit: one training, of one cell on one repeat and fold. Plain, picklable records."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from runner.components.records import ComponentRef
from runner.network.base import Shape

if TYPE_CHECKING:
    import numpy as np

Curves = dict[str, list[float]]
"""Values by epoch: train_loss, train_accuracy, val_loss, val_accuracy. Where the test was asked for, test_loss and
test_accuracy of the last epoch alone."""


@dataclass(frozen=True)
class TrainingPlan:
    """The training settings with everything that was ``auto`` decided.

    So many fits of a cell are trained together as `stacking` says; None: each on its own.
    """

    epochs: int
    batch_size: int
    engine: str
    device: str
    precision: str
    stuck_after: int | None = None
    stacking: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, without those that are not set."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class FitSpec:
    """All that a worker needs to run one fit. `data` is a folder with images.npy and labels.npy; so is `test`, the
    held-out test part, or "" where it is not to be measured. Every `checkpoint` seconds, where that is set, the fit's
    state goes to a file in `folder`.
    """

    id: str
    cell: str
    repeat: int
    fold: int
    seed: int
    architecture: ComponentRef
    augmentation: tuple[ComponentRef, ...]
    optimizer: ComponentRef
    training: TrainingPlan
    shape: Shape
    classes: int
    data: str
    train: np.ndarray
    validation: np.ndarray
    test: str = ""
    plugin_files: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int = 0
    cost: float = 0.0
    checkpoint: float | None = None
    folder: str = ""

    @property
    def shown(self) -> bool:
        """Whether this is the fit of its cell that is looked into."""
        return (self.repeat, self.fold) == (0, 0)

    @property
    def keys(self) -> tuple[int, int, int]:
        """The keys of the fit's random streams."""
        return self.seed, self.repeat, self.fold


@dataclass(frozen=True)
class FitResult:
    """What came of a fit. A failed one has its `reason`, its `log` and no curves.

    `confusion` holds [truth, predicted, count] of the validation part's classes after the last epoch. `seconds` is the
    time it took and `cpu` the processor's, `finished` when it ended (milliseconds since 1970), `worker` the process id.
    `kept` arrays go to a file of their own beside the journal, and so does the `log`. `memory` is the most that its
    process had in use meanwhile, in bytes (0 where it is unknown). `again` says of a failed one that another try may
    end otherwise; that is no part of the journal.
    """

    id: str
    cell: str
    repeat: int
    fold: int
    status: Literal["ok", "failed"]
    reason: str = ""
    epochs: int = 0
    curves: Curves = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    log: str = ""
    finished: int = 0
    confusion: list[list[int]] = field(default_factory=list)
    cpu: float = 0.0
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    memory: int = 0
    again: bool = False

    def final(self, metric: str) -> float:
        """The metric's value after the last epoch; nan for a failed fit."""
        values = self.curves.get(metric, [])
        return values[-1] if self.status == "ok" and values else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """What stands in the journal."""
        return {key: value for key, value in asdict(replace(self, kept={})).items() if key not in ("kept", "again")}


def failed(spec: FitSpec, reason: str, **facts: Any) -> FitResult:
    """The result of a fit that did not end well, its reason on one line."""
    reason = " ".join(reason.split())
    return FitResult(spec.id, spec.cell, spec.repeat, spec.fold, "failed", reason, finished=now(), **facts)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> dict[str, float]:
    """The seconds and the processor's seconds since then."""
    return {key: now - then for key, now, then in zip(("seconds", "cpu"), clocks(), started, strict=True)}
