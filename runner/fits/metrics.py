"""What is measured of a fit: each metric as one record, and the names in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric, and how it is written: `scale` times its value, with `decimals` decimals, in `value_unit`.

    Differences are in `unit` (percentage points of a percentage). `quantity` is what it measures, for a sentence.
    """

    name: str
    quantity: str
    higher_is_better: bool
    value_unit: str
    unit: str
    scale: float
    decimals: int

    @property
    def direction(self) -> int:
        """1 if more is better, -1 if less is."""
        return 1 if self.higher_is_better else -1


def _accuracy(part: str) -> Metric:
    return Metric(f"{part}_accuracy", "accuracy", True, "%", "points", 100, 2)


def _loss(part: str) -> Metric:
    return Metric(f"{part}_loss", "loss", False, "nats", "nats", 1, 4)


_BY_NAME = {metric.name: metric for part in ("val", "train", "test") for metric in (_accuracy(part), _loss(part))}
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Measured after each epoch of every fit."""
METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""What every fit has after its last epoch, in the order of the tables."""
TEST_METRICS = ("test_accuracy", "test_loss")
"""What it has besides if the held-out test images are measured."""


def find_metric(name: str) -> Metric:
    """The metric with that name; raises KeyError if there is none."""
    return _BY_NAME[name]
