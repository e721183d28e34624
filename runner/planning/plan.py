"""The plan: every cell and every fit, decided before any training.

`plan_file` saves it as plan.yaml next to the journal. Field names are keys of that file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.components.records import ComponentRef
from runner.fits.metrics import CURVES, METRICS, TEST_METRICS, Metric, find_metric
from runner.fits.preprocessing import Preprocess
from runner.fits.records import EarlyStop, Matched, SplitDesign, TrainingPlan
from runner.network.base import Pair
from runner.shown import Shown, Table
from runner.text import plural


@dataclass(frozen=True)
class CellSettings:
    """What a cell's fits are trained with: its components with every parameter bound, and the training settings.

    `loss` is None for the plain cross-entropy.
    """

    architecture: ComponentRef
    augmentation: tuple[ComponentRef, ...]
    optimizer: ComponentRef
    training: TrainingPlan
    loss: ComponentRef | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings as in plan.yaml."""
        return {
            "architecture": self.architecture.to_dict(),
            "augmentation": [ref.to_dict() for ref in self.augmentation],
            "optimizer": self.optimizer.to_dict(),
            **({"loss": self.loss.to_dict()} if self.loss else {}),
            "training": self.training.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CellSettings:
        """The inverse of `to_dict`; raises KeyError or TypeError if `content` has another form."""
        stop, loss = content["training"].get("stop"), content.get("loss")
        return cls(
            ComponentRef.from_dict(content["architecture"]),
            tuple(map(ComponentRef.from_dict, content["augmentation"])),
            ComponentRef.from_dict(content["optimizer"]),
            TrainingPlan(**content["training"] | {"stop": stop and EarlyStop(**stop)}),
            loss and ComponentRef.from_dict(loss),
        )


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its id, its bound settings and its cost; `problem` says why it cannot run, and is "" if it can.

    `macs` are per image. `receptive_field` is (height, width) in pixels. `warnings` name parts of the image that the
    network never sees.

    `timeout` is the longest time in seconds for a fit of the cell, `checkpoint` the interval in seconds between saved
    states, and `retries` how often a fit is trained again after a transient failure. They are not part of the id.
    `matched` says which of the settings were solved, for a cell that the grid matches with another.
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
    matched: Matched | None = None


@dataclass(frozen=True)
class Subset:
    """The part of a grid that is run: `kind` is ``fraction`` or ``random``, and `of` the number of all its cells.

    `even` says that every two levels of different factors are in equally many cells. `cells_a_level` has, by factor,
    the matched pairs of cells that would tell two of its levels apart as well. `mixed` has, by factor, the interactions
    that shift the differences between its levels if they exist, and `unknown` those that cannot be told. `spare` is how
    many cells there are more than main effects; without any, nothing shows whether effects add up.
    """

    kind: Literal["fraction", "random"]
    of: int
    spare: int
    even: bool
    cells_a_level: dict[str, float]
    mixed: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """The values of `metric` that a publication, `source`, gives for cells, by their ids."""

    source: str
    metric: str
    values: dict[str, float]


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """A whole experiment.

    `repeats` is the number of repeats that are planned now. `most` is None if it is fixed; else another one is planned,
    up to `most`, while a pair of levels is undecided (see `flow.repeats`). In a `race` only the cells that may still be
    the best get another one, so that cells may have fewer.
    `data` describes the data set; its fingerprint, the sizes of the splits, the number of images of each class and the
    counts of duplicates are added once the data is read.
    `fits` has the fit ids by cell id, ordered by repeat and then fold; it is empty until the data is read.
    `made_with` has the environment of the last run: library versions, git commit and processor.
    `test` says whether every fit is also evaluated on the held-out test images.
    `file` is the path of the experiment file as the user gave it; "" if the experiment was given in Python.
    `plugins` has, for each plugin file as the experiment names it and for each other distribution that provides a
    component, what `plugin_facts.describe_plugins` returns.
    `keep` says of which fits the parameters are saved: none, all, or in each cell the one with the best `metric`.
    `excluded` has the number of combinations that each exclusion is the first to match. `warnings` name settings
    without effect (see `no_effect`).
    `split_design` is None for stratified k-fold cross-validation of single images. With `split` there is one fold.
    `measures` are the metrics of plugins that fits are measured by, `metric` among them if it is one, and with `test`
    the same ones on the test images. `columns` are the metrics that the table of cells shows beside it.
    `baseline` has, by factor, the level that all others are compared with. `subset` is None if all cells of the grid
    are run. `published` has what a publication found, for the report to show beside the
    results.
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
    most: int | None = None
    race: bool = False
    keep: Literal["none", "best", "all"] = "none"
    excluded: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    split_design: SplitDesign | None = None
    measures: tuple[Metric, ...] = ()
    columns: tuple[str, ...] = ()
    baseline: dict[str, str] = field(default_factory=dict)
    subset: Subset | None = None
    published: Published | None = None

    @property
    def test_train_ratio(self) -> float:
        """n_test / n_train of the fits: their mean over the folds, which differ in size in a `split_design`."""
        sizes, images = self.data.get("fold_sizes"), self.data.get("size", 0)
        if self.split_design is None or not sizes:
            return 1 / max(self.folds - 1, 1)
        return float(sum(size / (images - size) for size in sizes) / len(sizes))

    @property
    def validation_images(self) -> float | None:
        """How many images validate a fit, the harmonic mean of folds that differ in size; None if it is unknown."""
        if sizes := self.split_design and self.data.get("fold_sizes"):
            return float(len(sizes) / sum(1 / size for size in sizes))
        return self.data.get("validation")

    @property
    def preprocess(self) -> Preprocess | None:
        """What is made of each image before a network sees it; None for the usual normalisation of each channel."""
        found = self.dataset.parameters.get("preprocess")
        return None if found == "none" else found

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of every fit's result."""
        return (*METRICS, *(TEST_METRICS if self.test else ()), *(measure.name for measure in self.measures))

    @property
    def test_measures(self) -> tuple[str, ...]:
        """Those of `metrics` that are a plugin's and measured on the held-out test images."""
        return tuple(measure.name for measure in self.measures if measure.on_test)

    @property
    def measure(self) -> Metric:
        """The record of the plan's metric."""
        return self.find_metric(self.metric)

    @property
    def curve(self) -> str:
        """The curve that shows how fits learned: that of the metric if it has one, else the validation accuracy."""
        return self.metric if self.metric in CURVES else "val_accuracy"

    def find_metric(self, name: str) -> Metric:
        """The record of one of `metrics`; raises KeyError if there is none."""
        return next((measure for measure in self.measures if measure.name == name), None) or find_metric(name)

    @property
    def stops(self) -> bool:
        """Whether fits of some cell may stop before their last epoch."""
        return any(cell.settings.training.stop for cell in self.cells)

    @property
    def fit_count(self) -> int:
        """The number of fits that are planned now."""
        return sum(self.folds * self.repeats_of(cell.id) for cell in self.cells)

    @property
    def fits_at_most(self) -> int:
        """The number of fits if every cell gets the most repeats."""
        return len(self.cells) * self.folds * (self.most or self.repeats)

    @property
    def repeats_setting(self) -> int | str:
        """`cross_validation.repeats` as in the experiment file."""
        return self.repeats if self.most is None else f"{{until: decided, most: {self.most}}}"

    def repeats_of(self, cell: str) -> int:
        """The number of repeats that are planned now for the cell with this id."""
        # Only in a race can a cell have fewer than the others; before the data is read, none has any fits.
        return len(self.fits[cell]) // self.folds if self.race and self.fits else self.repeats

    def shown(self) -> Iterator[str | Table]:
        from runner.planning.plan_warnings import plan_warnings  # which builds on this module

        most = "" if self.most is None else f", at most {self.fits_at_most:,} ({self.most} repeats)"
        repeats = f"{plural(self.repeats, 'repeat')} = {plural(self.fit_count, 'fit')}{most}"
        yield f"{self.name}: {plural(len(self.cells), 'cell')} × {plural(self.folds, 'fold')} × {repeats}"
        yield Table(("cell", "parameters", "MACs", "receptive field"), [_costs(cell) for cell in self.cells])
        yield from (f"cell '{cell.name}': {cell.problem}" for cell in self.cells if cell.problem)
        yield from (f"warning: {warning}" for warning in plan_warnings(self))

    def fit_keys(self) -> list[tuple[str, str, int, int]]:
        """(fit id, cell id, repeat, fold) of every fit, in the plan's order."""
        return [
            (fit, cell.id, index // self.folds, index % self.folds)
            for cell in self.cells
            for index, fit in enumerate(self.fits.get(cell.id, []))
        ]


def _costs(cell: PlannedCell) -> tuple[str, str, str, str]:
    field = "×".join(map(str, cell.receptive_field)) if cell.receptive_field else "–"
    parameters, macs = ("–" if count is None else f"{count:,}" for count in (cell.parameters, cell.macs))
    return cell.name, parameters, macs, field
