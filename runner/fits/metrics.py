"""The metrics of a fit: one record per metric, and their names in the order of the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.components import records
from runner.components.records import ComponentRef
from runner.text import call

if TYPE_CHECKING:
    from runner.components.parameters import RegisteredComponent

_PARTS = {"val": "validation", "train": "training"}


@dataclass(frozen=True)
class Metric:
    """One metric and its format. `name` is its column in the tables, and `quantity` what it measures, in words.

    Values lie in `lowest` to `highest`. Those with the unit ``%`` are shares, 0 to 1. `share_of_images` says that a
    value is the fraction of the images of which something is true. `component` is the metric of a plugin that it is,
    None for those that are measured after every epoch; `key` is its name in the journal, "" if that is `name`.
    `needs_probabilities` says that it cannot be computed from the classes that images were taken for. `on_test` says
    that a plugin's metric is measured on the held-out test images, and not on those of the validation.
    """

    name: str
    quantity: str
    higher_is_better: bool = True
    value_unit: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    share_of_images: bool = False
    component: ComponentRef | None = None
    key: str = ""
    needs_probabilities: bool = False
    on_test: bool = False

    def of_test(self) -> Metric:
        """The same metric on the held-out test images."""
        # No metric has a key that begins so, whatever plugins call theirs: names have no spaces.
        name, key = f"test_{self.name}", f"test {self.journal_key}"
        return replace(self, name=name, quantity=f"test {self.quantity}", key=key, on_test=True)

    @property
    def direction(self) -> int:
        """1 if a higher value is better, -1 if a lower one is."""
        return 1 if self.higher_is_better else -1

    @property
    def journal_key(self) -> str:
        """Its name in the journal: the curve, or the entry in `measures` of a fit's line."""
        return self.key or self.name

    @property
    def scale(self) -> float:
        """A value is shown times this."""
        return 100 if self.value_unit == "%" else 1

    @property
    def decimals(self) -> int:
        return 2 if self.value_unit == "%" else 4

    @property
    def unit(self) -> str:
        """The unit of a difference; "" if it has none."""
        return "points" if self.value_unit == "%" else self.value_unit

    @property
    def words(self) -> str:
        """``validation accuracy``, ``macro F1``"""
        if self.component:
            return self.quantity
        part = self.name.partition("_")[0]
        return f"{_PARTS.get(part, part)} {self.quantity}"

    def limits(self, difference: bool = False) -> tuple[float, float]:
        """The lowest and the highest possible value, or difference of two values."""
        range_ = self.highest - self.lowest
        return (-range_, range_) if difference else (self.lowest, self.highest)


def of_component(entry: RegisteredComponent, bound: ComponentRef) -> Metric:
    """What fits and reports need to know of a metric of a plugin, with every parameter set."""
    component: Any = entry.component
    assert isinstance(component, records.Metric)
    defaults = {name: parameter.bound_default for name, parameter in entry.parameters.items()}
    own = {name: value for name, value in bound.parameters.items() if repr(value) != repr(defaults.get(name))}
    name = call(bound.name, own)
    return Metric(
        name,
        component.title or bound.name.replace("_", " "),
        component.higher_is_better,
        component.unit,
        float(component.lowest),
        float(component.highest),
        component.share_of_images,
        bound,
        # Values that an edited plugin would compute otherwise are those of another metric.
        f"{name} {entry.version[:8]}".strip(),
        component.needs == "probabilities",
    )


def _accuracy(part: str) -> Metric:
    return Metric(f"{part}_accuracy", "accuracy", True, "%", share_of_images=True)


def _loss(part: str) -> Metric:
    return Metric(f"{part}_loss", "loss", False, "nats", highest=math.inf)


_BY_NAME = {metric.name: metric for part in ("val", "train", "test") for metric in (_accuracy(part), _loss(part))}
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Measured after every epoch. Every loss is the cross-entropy, whatever a fit is trained with, so that all compare."""
INNER_CURVES = ("inner_loss", "inner_accuracy")
"""Measured after every epoch too, if the fit may stop early: on the inner part of its training images."""
METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""Those of every fit's result, in the order of the tables: after its last epoch, or its best if it chooses one."""
COMPARED = ("val_accuracy", "val_loss")
"""Those that a report may compare without asking for a metric of a plugin."""
TEST_METRICS = ("test_accuracy", "test_loss")
"""Those of the result on the held-out test part, if the experiment asks for it."""
MOST_MEASURES = 100
"""The most metrics of plugins that a fit's line in the journal may have, those on the test images among them."""


def find_metric(metric: str | Metric) -> Metric:
    """The metric with that name, or the one that is given itself; raises KeyError if there is none."""
    return metric if isinstance(metric, Metric) else _BY_NAME[metric]
