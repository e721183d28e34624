"""The metrics of a fit: one record per metric, and their names in the order of the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric and its format: a value is shown times `scale`, with `decimals` decimals, in `value_unit`.

    A difference is shown in `unit`, such as percentage points. `quantity` names what is measured, for a sentence.
    Values lie in 0..`highest`.
    """

    name: str
    quantity: str
    higher_is_better: bool
    value_unit: str
    unit: str
    scale: float
    decimals: int
    highest: float

    @property
    def direction(self) -> int:
        """1 if a higher value is better, -1 if a lower one is."""
        return 1 if self.higher_is_better else -1

    def limits(self, difference: bool = False) -> tuple[float, float]:
        """The lowest and the highest possible value, or difference of two values."""
        return (-self.highest if difference else 0.0), self.highest


def _accuracy(part: str) -> Metric:
    return Metric(f"{part}_accuracy", "accuracy", True, "%", "points", 100, 2, 1.0)


def _loss(part: str) -> Metric:
    return Metric(f"{part}_loss", "loss", False, "nats", "nats", 1, 4, math.inf)


_BY_NAME = {metric.name: metric for part in ("val", "train", "test") for metric in (_accuracy(part), _loss(part))}
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Measured after every epoch."""
INNER_CURVES = ("inner_loss", "inner_accuracy")
"""Measured after every epoch too, if the fit may stop early: on the inner part of its training images."""
METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""Those of every fit's result, in the order of the tables: after its last epoch, or its best if it chooses one."""
TEST_METRICS = ("test_accuracy", "test_loss")
"""Those of the result on the held-out test part, if the experiment asks for it."""


def find_metric(name: str) -> Metric:
    """The metric with that name; raises KeyError if there is none."""
    return _BY_NAME[name]
