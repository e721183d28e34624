"""Metrics of the classes that images were taken for, and of the probabilities, by scikit-learn where it has them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from runner.api import Count, Metric, RunnerError, hookimpl

if TYPE_CHECKING:
    import numpy as np

Compute = Callable[[Any, Any], float]
"""From the classes of the images (N,), and the classes (N,) or probabilities (N, classes) that a fit gives them."""
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""In YAML the class 7 is a number."""


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


def recall(class_names: Sequence[str], *, of: ClassName) -> Compute:
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


def loss(class_names: Sequence[str]) -> Compute:
    """The mean of -log of the probability p of an image's class: `val_loss`, with p of at least 2.2e-16."""

    def compute(truth: np.ndarray, shares: np.ndarray) -> float:
        from sklearn.metrics import log_loss

        return float(log_loss(truth, shares, labels=list(range(len(class_names)))))

    return compute


def top_k(class_names: Sequence[str], *, k: Count = 5) -> Compute:
    """The share of the images whose class is among the `k` most probable ones (Russakovsky et al. 2015, for k = 5)."""
    classes = len(class_names)
    if k >= classes:
        raise RunnerError(f"top {k} of {classes} classes is always right; allowed: 1 to {classes - 1}")

    def compute(truth: np.ndarray, shares: np.ndarray) -> float:
        from sklearn.metrics import top_k_accuracy_score

        labels = list(range(classes))
        if classes == 2:  # of which scikit-learn takes the probability of the second alone
            return float(top_k_accuracy_score(truth, shares[:, 1], k=k, labels=labels))
        # Reversed, as of equal probabilities it counts the last class first, and an answer is the first one.
        return float(top_k_accuracy_score(classes - 1 - truth, shares[:, ::-1], k=k, labels=labels))

    return compute


def top5(class_names: Sequence[str]) -> Compute:
    """The share of the images whose class is among the five most probable ones."""
    return top_k(class_names, k=5)


def calibration_error(class_names: Sequence[str], *, bins: Count = 15) -> Compute:
    """How far the probability of the predicted class is from the share of right answers, expected over the images.

    Images are sorted by that probability into `bins` of equal width; the differences count by the images in a bin
    (Naeini et al. 2015; Guo et al. 2017, "On calibration of modern neural networks").
    """

    def compute(truth: np.ndarray, shares: np.ndarray) -> float:
        import numpy as np

        confidence, right = shares.max(1), shares.argmax(1) == truth
        # A bin holds its upper end, as in Guo et al.
        place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        gaps = np.bincount(place, right - confidence, minlength=bins)
        return float(np.abs(gaps).sum() / len(truth))

    return compute


def auc(class_names: Sequence[str]) -> Compute:
    """The area under the ROC curve; of more than two classes, the mean over each against all others."""
    classes = len(class_names)

    def compute(truth: np.ndarray, shares: np.ndarray) -> float:
        from sklearn.metrics import roc_auc_score

        if classes == 2:
            return float(roc_auc_score(truth, shares[:, 1]))
        return float(roc_auc_score(truth, shares, multi_class="ovr", average="macro", labels=list(range(classes))))

    return compute


@hookimpl
def register_metrics() -> Iterable[Metric]:
    yield Metric(name="accuracy", build=accuracy, unit="%", needs="answers", share_of_images=True)
    yield Metric(name="balanced_accuracy", build=balanced_accuracy, unit="%", needs="answers")
    yield Metric(name="macro_f1", build=macro_f1, title="macro F1", unit="%", needs="answers")
    yield Metric(name="recall", build=recall, unit="%", needs="answers")
    yield Metric(name="loss", build=loss, higher_is_better=False, unit="nats", highest=math.inf)
    yield Metric(name="top_k", build=top_k, title="top-k accuracy", unit="%", share_of_images=True)
    yield Metric(name="top5", build=top5, title="top-5 accuracy", unit="%", share_of_images=True)
    title = "expected calibration error"
    yield Metric(name="calibration_error", build=calibration_error, title=title, higher_is_better=False, unit="%")
    yield Metric(name="auc", build=auc, title="AUC")
