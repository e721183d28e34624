"""A fit: one training of one cell on one repeat and fold. Plain records that pickle, as they travel to workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from runner.components.records import ComponentRef
from runner.fits.metrics import Metric
from runner.fits.preprocessing import Preprocess, Preprocessing
from runner.network.base import Shape

# For types only: `runner plan` uses these records, and answers sooner without NumPy.
if TYPE_CHECKING:
    import numpy as np

Precision = Literal["float32", "bfloat16", "float16", "float64"]
"""The number types that some engine can train in; `engines.selection.PRECISIONS` says which engine has which."""
Curves = dict[str, list[float]]
"""One value per epoch of each metric in `metrics.CURVES`, and of `metrics.INNER_CURVES` if the fit may stop early; if
the held-out test is measured, also test_loss and test_accuracy with a single value each, that of the fit's result."""


@dataclass(frozen=True)
class EarlyStop:
    """When a fit stops before its last epoch: once its inner loss has not been lower for `patience` epochs.

    The inner part is `share` of its training images, of each class; see `data.folds.inner_split`.
    """

    patience: int
    share: float
    on: Literal["inner"] = "inner"


Solved = int | float | tuple[int, ...]
"""A setting that a plan solves: a number, or those of a list."""


@dataclass(frozen=True)
class Matched:
    """What a plan solved in a cell so that it costs as much as another one, which differs in the levels `like`.

    `values` are those of the paths that were solved, which are among the cell's settings too. `found` is what the cell
    has of the quantity `keep`, and `target` what the other one has: one number, or of a receptive field height and
    width; of seconds, what they are estimated by, multiply-adds x gradients a step x epochs. `within` is the largest
    difference that was allowed, as a fraction.
    """

    keep: str
    like: dict[str, str]
    within: float
    values: dict[str, Solved]
    found: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def off(self) -> float:
        """How much more the cell has, as a fraction of the other's; below 0 if it has less."""
        return max(
            ((found - target) / max(target, 1) for found, target in zip(self.found, self.target, strict=True)), key=abs
        )


@dataclass(frozen=True)
class SplitDesign:
    """How images are split other than by stratified k-fold cross-validation of single images.

    Each is False, True (what the data set carries) or the name of one of its columns: no group of `groups` is divided,
    `fold_column` has the fold of each image, and `split` the words train and validation. Or `split` is the part of the
    images that validates, drawn again for each repeat. With `split` there is one fold.
    """

    groups: bool | str = False
    fold_column: bool | str = False
    split: bool | str | float = False

    @property
    def is_given(self) -> bool:
        """Whether the data set says which images validate, so that a repeat could have no other splits."""
        return self.fold_column is not False or self.split is True or isinstance(self.split, str)

    def to_dict(self) -> dict[str, bool | str | float]:
        """The settings of `cross_validation`, without those that are False."""
        return {key: value for key, value in asdict(self).items() if value is not False}


@dataclass(frozen=True)
class TrainingPlan:
    """The training settings after every ``auto`` has been resolved.

    `stacking` is the number of fits of a cell that are trained together; None trains each on its own. A fit whose
    accuracy is at chance for `stuck_after` epochs in a row fails; None never checks. `epochs` is the most that a fit
    is trained; without `stop` it is trained for all of them.
    """

    epochs: int
    batch_size: int
    engine: str
    device: str
    precision: str
    stuck_after: int | None = None
    stacking: int | None = None
    stop: EarlyStop | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, without those that are None."""
        return {key: value for key, value in asdict(self).items() if value is not None}


# Compared and hashed by identity: == of two arrays is an array, and an array has no hash.
@dataclass(frozen=True, eq=False)
class FitSpec:
    """Everything a worker needs to run one fit.

    `data` is a folder with images.npy and labels.npy; `train` and `validation` index the images there, int64
    arrays of shapes (n_train,) and (n_validation,). `inner` (n_inner,), if the fit may stop early, are the images that
    decide when, and `train` is without them. `test` is the folder of the held-out test part, "" if it is not
    measured. `shape` is (channels, height, width). `timeout` and `checkpoint` are in seconds: a fit that takes longer
    than `timeout` is stopped, and every `checkpoint` seconds its state is saved to a file in `folder`; None turns
    either off. `loss` is None for the plain cross-entropy. `metrics` are those of plugins that its result is measured
    by, and `class_names` are there if a loss or a metric needs them.

    `code` has the planned hash of each source file of the plugins, by path: a worker that imported anything
    else refuses the fit. `dataset` is the name of the data set's component. `cost` is MACs/image x training images x
    epochs (all of them, and with the inner images), to compare fits with; 0 if the MACs are unknown. With `keep` the
    result has what the fit has learned. If it is `watched`, its worker writes how far it is (see `fits.live`).
    `preprocess` is what is made of each image, as far as it must be fitted, from the images of `train` alone.
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
    code: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""
    timeout: float | None = None
    retries: int = 0
    cost: float = 0.0
    checkpoint: float | None = None
    folder: str = ""
    inner: np.ndarray | None = None
    keep: bool = False
    loss: ComponentRef | None = None
    metrics: tuple[Metric, ...] = ()
    class_names: tuple[str, ...] = ()
    watched: bool = False
    preprocess: Preprocess | None = None

    @property
    def inspected(self) -> bool:
        """Whether filters, activations and mistakes are recorded: for one fit per cell, as they take much space."""
        return (self.repeat, self.fold) == (0, 0)

    @property
    def keys(self) -> tuple[int, int, int]:
        """The keys of the fit's random streams."""
        # Not the cell: all cells get the same random numbers for a fold, which makes their differences less noisy.
        return self.seed, self.repeat, self.fold


@dataclass(frozen=True, eq=False)
class Learned:
    """What a fit has learned, and all else that its answers depend on.

    `arrays` are the parameters and running statistics: by ``"<layer path>.<name>"``, in the shapes of the layers'
    ParameterSpecs, or as a plugin's own torch module names them. `network` describes the layer records (see
    `network.description`); None for such a module. `mean` and `deviation` (C,) are those by which each channel of an
    image in [0, 1] is normalised; with a `preprocessing` that is done instead, and they are 0 and 1. The fit is at
    `place` in a group of `together` fits.
    """

    arrays: dict[str, np.ndarray]
    network: dict[str, Any] | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    together: int = 1
    place: int = 0
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class FitResult:
    """The outcome of a fit. A failed one has a `reason`, a `log` and no curves.

    `epochs` counts those that were trained. `best_epoch` is the one whose parameters are the fit's result, counted from
    1, if the fit chose it (see `EarlyStop`); 0 if it is the last.
    `answers` are those for the validation images with these parameters (see `fits.answers`). Results of an earlier
    format have `confusion` instead, which lists [truth, predicted, count] over the classes of those images. `measures`
    are its metrics of plugins, by `Metric.journal_key`; nan if one could not be computed. `test_answers` are those for
    the held-out test images; "" if these are not measured, or were by a version that did not record them.
    `seconds` is wall-clock time, `cpu` processor time, both without the start of the worker; fits that are trained
    together have equal shares, so that the fits of one worker add up to the time in which it trained. `finished` is
    the time of the end in milliseconds since 1970; `worker` is the process id; `memory` is the peak memory of the
    process during the fit in bytes, 0 if unknown. `device_memory` is the most that torch held of a CUDA device during
    the fit, and `device_total` what there is of it, in bytes; 0 on other devices.
    `arrays`, by name, are for inspection and go to a file of their own next to the journal, as do `log` and `learned`,
    which only fits with `keep` have. `retryable` marks a failure that may not repeat, such as a killed worker. None of
    `arrays`, `learned` and `retryable` is in the journal. `refused` says that the worker's code is not the plan's: the
    result is not recorded, as nothing was found out about the fit.
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
    answers: str = ""
    cpu: float = 0.0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    memory: int = 0
    retryable: bool = False
    refused: bool = False
    best_epoch: int = 0
    learned: Learned | None = None
    measures: dict[str, float] = field(default_factory=dict)
    test_answers: str = ""
    device_memory: int = 0
    device_total: int = 0

    def final(self, metric: str) -> float:
        """The metric's value in the fit's result, that after its best or its last epoch; nan for a failed fit.

        `metric` is a `Metric.journal_key`; nan too if the fit was not measured by it.
        """
        values = self.curves.get(metric, [])
        if self.status != "ok":
            return float("nan")
        if not values:
            return self.measures.get(metric, float("nan"))
        # The test part has a single value, and 0 - 1 is the last epoch.
        return values[self.best_epoch - 1 if len(values) == self.epochs else -1]

    def to_dict(self) -> dict[str, Any]:
        """The fields that the journal records, as plain data."""
        # The arrays are dropped first: asdict would copy them.
        fields = asdict(replace(self, arrays={}, learned=None))
        left_out = {"arrays", "retryable", "refused", "learned"} | ({"confusion"} if self.answers else set())
        # Fits that cannot stop early have the lines that they have always had.
        left_out |= set() if self.best_epoch else {"best_epoch"}
        rare = ("measures", "test_answers", "device_memory", "device_total")
        left_out |= {key for key in rare if not getattr(self, key)}
        return {key: value for key, value in fields.items() if key not in left_out}


@dataclass(frozen=True)
class Look:
    """A point at which the results were looked at, with `repeats` repeats planned.

    If the study stops its repeats by a rule (`adaptive`), the rule looked, and `open` comparisons were undecided. Else
    a report was written, which somebody could read.
    """

    repeats: int
    adaptive: bool
    open: int = 0


def failed_result(spec: FitSpec, reason: str, **facts: Any) -> FitResult:
    """The result of a failed fit; `reason` is put on one line, `facts` are further fields of the result."""
    reason = " ".join(reason.split())
    return FitResult(spec.id, spec.cell, spec.repeat, spec.fold, "failed", reason, finished=now(), **facts)


def now() -> int:
    """Milliseconds since 1970."""
    # MLflow's unit of time, so that the tracker passes it on as it is.
    return int(time.time() * 1000)


def clocks() -> tuple[float, float]:
    """Wall-clock and processor time in seconds, to pass to `since`."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> dict[str, float]:
    """The wall-clock time ("seconds") and the processor time ("cpu") that have passed since `started`."""
    return {key: now - then for key, now, then in zip(("seconds", "cpu"), clocks(), started, strict=True)}
