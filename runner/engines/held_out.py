"""The held-out test part at the end of a training: what the results of a group of fits say of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.measuring import measure_part
from runner.fits import answers

if TYPE_CHECKING:
    from runner.engines.training_loop import Learner


class HeldOut:
    """The images (N, C, H, W) and labels (N,) of the test part, evaluated by the networks that a learner has now."""

    def __init__(self, learner: Learner, fits: Sequence[BuiltFit], images: np.ndarray, labels: np.ndarray) -> None:
        self.learner, self.fits, self.labels = learner, fits, labels
        self.subset = learner.subset(images, labels, [np.arange(len(labels))] * len(fits))
        self.evaluations = learner.evaluate(self.subset)

    def added(self, number: int, trained: TrainedFit) -> TrainedFit:
        """The result `trained` of one fit of the group, by its place, with what it says of the test part.

        That is its loss and accuracy, as curves of one value, its answers, and its metrics of plugins.
        """
        fit, found = self.fits[number], self.evaluations[number]
        packed = answers.pack(self.labels, found.predicted, fit.spec.classes)
        values = measure_part(fit.metrics, True, self.labels, found.predicted, lambda: self._shares[number])
        curves = {"test_loss": [found.loss], "test_accuracy": [found.accuracy]}
        return replace(trained, curves=trained.curves | curves, measures=trained.measures | values, test_answers=packed)

    @cached_property
    def _shares(self) -> list[np.ndarray]:
        """The softmax (N, classes) of each fit's scores."""
        return self.learner.shares(self.subset)
