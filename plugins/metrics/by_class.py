"""Metrics of the classes that images were taken for, by scikit-learn: every journal has what they need."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from runner.api import Metric, RunnerError, hookimpl

if TYPE_CHECKING:
    import numpy as np

Compute = Callable[[Any, Any], float]
"""From the classes of the images (N,) and those that they were taken for (N,)."""


def accuracy(class_names: Sequence[str]) -> Compute:
    """The share of the images that are taken for what they are: `val_accuracy` by another name."""

    def compute(truth: np.ndarray, predicted: np.ndarray) -> float:
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(truth, predicted))

    return compute


def balanced_accuracy(class_names: Sequence[str]) -> Compute:
    """The mean of the classes' recalls: always naming one class has 1 / classes (Brodersen et al. 2010)."""

    def compute(truth: np.ndarray, predicted: np.ndarray) -> float:
        from sklearn.metrics import balanced_accuracy_score

        return float(balanced_accuracy_score(truth, predicted))

    return compute


def macro_f1(class_names: Sequence[str]) -> Compute:
    """The mean over the classes of 2 precision recall / (precision + recall); 0 for a class that is never right."""

    def compute(truth: np.ndarray, predicted: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        classes = range(len(class_names))
        return float(f1_score(truth, predicted, labels=list(classes), average="macro", zero_division=0))

    return compute


def recall(class_names: Sequence[str], *, of: str) -> Compute:
    """The share of the images of the class `of` that are taken for it."""
    names = [str(name) for name in class_names]
    if of not in names:
        near = difflib.get_close_matches(of, names, n=1, cutoff=0.5)
        nearest = f"; did you mean '{near[0]}'?" if near else ";"
        raise RunnerError(f"recall: unknown class '{of}'{nearest} allowed: {', '.join(names[:20])}")
    number = names.index(of)

    def compute(truth: np.ndarray, predicted: np.ndarray) -> float:
        from sklearn.metrics import recall_score

        return float(recall_score(truth == number, predicted == number, zero_division=float("nan")))

    return compute


@hookimpl
def register_metrics() -> Iterable[Metric]:
    yield Metric(name="accuracy", build=accuracy, unit="%", needs="answers", share_of_images=True)
    yield Metric(name="balanced_accuracy", build=balanced_accuracy, unit="%", needs="answers")
    yield Metric(name="macro_f1", build=macro_f1, title="macro F1", unit="%", needs="answers")
    yield Metric(name="recall", build=recall, unit="%", needs="answers")
