"""What all engines do alike: the course of a group of fits, and its random streams. An engine brings the arrays."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import Checkpoint
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.inspection import Inspectable, confusion, inspected
from runner.errors import EndedEarly
from runner.fits.metrics import CURVES
from runner.fits.records import Curves
from runner.seeding import stream

EVALUATION_BATCH = 500
NOTHING = np.empty(0, np.int64)
BatchDraws = Sequence[Mapping[str, Any]]
"""What was drawn for one batch of one fit: a mapping for each transform."""
log = logging.getLogger("runner.engines")


class Evaluation(NamedTuple):
    """Mean loss and accuracy over a part; of each of its images (N,) the predicted class and its softmax share."""

    loss: float
    accuracy: float
    predicted: np.ndarray
    confidence: np.ndarray


class Learner(Protocol):
    """A group of fits at work in an engine: their networks, their data, their update rule."""

    masks: list[DropoutMasks]

    def begin(self) -> None:
        """Forget what was seen."""
        ...

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        """Each fit learns from its training images at the indices of its batch, of which there may be none."""
        ...

    def seen(self) -> list[tuple[float, int]]:
        """Of each fit since it began, the summed loss and the number of correct answers, before each step."""
        ...

    def part(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> Any:
        """For each fit, those of the images (N, C, H, W) and labels (N,) at its indices, laid where the engine
        measures.
        """
        ...

    def evaluate(self, part: Any) -> list[Evaluation]: ...

    def alone(self, fit: int) -> Inspectable:
        """One of the fits, to look into."""
        ...

    def state(self) -> Any:
        """A copy of all that its next steps depend on but for `masks`: nested plain data and NumPy arrays."""
        ...

    def restore(self, state: Any) -> None:
        """Become as it was when it gave that state."""
        ...


@dataclass(eq=False)
class FitProgress:
    """Where a fit of a group stands: its curves, the stream `drawing` of its augmentation in this epoch, and why it
    has `ended` before its last one ("" if it did not).
    """

    job: BuiltFit
    curves: Curves = field(default_factory=lambda: {name: [] for name in CURVES})
    ended: str = ""
    drawing: np.random.Generator = field(default_factory=np.random.default_rng)
    measured: Evaluation | None = None

    def begin(self, epoch: int) -> None:
        self.drawing = stream("augment", *self.job.spec.keys, epoch)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of the epoch, as indices into the training part."""
        spec = self.job.spec
        order = stream("order", *spec.keys, epoch).permutation(len(spec.train))
        return batches(order, spec.training.batch_size)

    def draw(self, count: int) -> BatchDraws:
        """What the transforms draw for a batch of so many images."""
        if not count:
            return []
        return [transform.draw(self.drawing, count, self.job.spec.shape) for transform in self.job.transforms]

    def finish(self, loss: float, correct: int, measured: Evaluation) -> None:
        """Note the figures of an epoch; a fit that diverged or is stuck has then `ended`."""
        count = len(self.job.spec.train)
        figures = (loss / count, correct / count, measured.loss, measured.accuracy)
        for values, figure in zip(self.curves.values(), figures, strict=True):
            values.append(figure)
        self.measured, self.ended = measured, _diverged(self.curves) or _stuck(self.job, self.curves["train_accuracy"])

    def state(self) -> dict[str, Any]:
        return {"curves": self.curves, "ended": self.ended, "drawing": self.drawing.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.curves, self.ended = state["curves"], state["ended"]
        self.drawing.bit_generator.state = state["drawing"]


def train(group: Sequence[BuiltFit], make: Callable[[Sequence[BuiltFit]], Learner]) -> list[TrainedFit | Exception]:
    """What each fit of the group comes to, in order, by a learner that `make` makes.

    All epochs are trained that the group's checkpoint, if it has one, has not behind it. A fit ends at the first epoch
    whose loss is not a finite number, or after which it is stuck; the group goes on until all have ended.
    """
    course = _GroupTraining(group, make)
    for epoch in range(course.epoch, group[0].spec.training.epochs):
        if not course.ended:
            course.train_epoch(epoch)
    course.measure_test()
    return [course.outcome(number) for number in range(len(group))]


class _GroupTraining:
    """Where a group of fits stands: each of them, their learner, and what they are validated on."""

    def __init__(self, group: Sequence[BuiltFit], make: Callable[[Sequence[BuiltFit]], Learner]) -> None:
        self.fits, self.checkpoint = [FitProgress(job) for job in group], group[0].checkpoint
        self.learner, self.epoch, self.behind = make(group), 0, 0
        first = group[0]
        self.validation = self.learner.part(first.images, first.labels, [job.spec.validation for job in group])
        self.first_filters = [
            self.learner.alone(n).filters() if job.spec.shown else None for n, job in enumerate(group)
        ]
        if kept := self.checkpoint.load() if self.checkpoint else None:
            self._resume(kept)

    @property
    def ended(self) -> bool:
        return all(fit.ended for fit in self.fits)

    def _resume(self, kept: Mapping[str, Any]) -> None:
        """Bring the group to where its checkpoint stands; a warning says if that can't be."""
        assert self.checkpoint is not None
        before = self.learner.state()
        try:
            self.learner.restore(kept["learner"])
        except Exception as error:  # of a plugin's own module or optimizer, say, that is not built the same every time
            log.warning("%s is not used, and its fit starts from the beginning: %s", self.checkpoint.path, error)
            self.learner.restore(before)
            self.checkpoint.forget()
            return
        self.epoch, self.behind = kept["epoch"], kept["batches"]
        for fit, state in zip(self.fits, kept["fits"], strict=True):
            fit.restore(state)
        for masks, state in zip(self.learner.masks, kept["masks"], strict=True):
            masks.begin(self.epoch)
            masks.restore(state)
        log.warning(
            "fit %s goes on from its checkpoint, after %d epochs and %d batches",
            self.fits[0].job.spec.id, self.epoch, self.behind,
        )  # fmt: skip

    def train_epoch(self, epoch: int) -> None:
        """Each fit learns from its training part, but for the batches behind it, and is validated."""
        self.epoch, orders = epoch, [fit.order(epoch) for fit in self.fits]
        if not self.behind:
            self.learner.begin()
            for fit, masks in zip(self.fits, self.learner.masks, strict=True):
                fit.begin(epoch)
                masks.begin(epoch)
        for number in range(self.behind, max(map(len, orders))):
            some = [order[number] if number < len(order) else NOTHING for order in orders]
            drawn = [fit.draw(len(index)) for fit, index in zip(self.fits, some, strict=True)]
            self.learner.step(some, drawn)
            if self.checkpoint and self.checkpoint.due():
                self._save(self.checkpoint, number + 1)
        self.behind = 0
        seen, measured = self.learner.seen(), self.learner.evaluate(self.validation)
        for fit, (loss, correct), validated in zip(self.fits, seen, measured, strict=True):
            if not fit.ended:
                fit.finish(loss, correct, validated)

    def _save(self, checkpoint: Checkpoint, batches: int) -> None:
        drawn = [masks.state() for masks in self.learner.masks]
        came_to = {"fits": [fit.state() for fit in self.fits], "epoch": self.epoch, "batches": batches, "masks": drawn}
        checkpoint.save(came_to, self.learner.state)

    def measure_test(self) -> None:
        """The held-out test's figures, where they are asked for."""
        test = self.fits[0].job.test
        if test and not self.ended:
            part = self.learner.part(*test, [np.arange(len(test[1]))] * len(self.fits))
            for fit, measured in zip(self.fits, self.learner.evaluate(part), strict=True):
                fit.curves |= {"test_loss": [measured.loss], "test_accuracy": [measured.accuracy]}

    def outcome(self, number: int) -> TrainedFit | Exception:
        fit = self.fits[number]
        if fit.ended or fit.measured is None:
            return EndedEarly(fit.ended)
        job, measured = fit.job, fit.measured
        if not job.spec.shown:
            return TrainedFit(fit.curves, confusion(job, measured.predicted))
        try:
            network, first_filters = self.learner.alone(number), self.first_filters[number]
            looks = inspected(job, network, first_filters, measured.predicted, measured.confidence)
        except Exception as error:  # of a plugin's own module, say: what is only looked at shall cost no trained fit
            log.warning("cell %s: its layers can't be looked into (%s: %s)", job.spec.cell, type(error).__name__, error)
            looks = {}
        return TrainedFit(fit.curves, confusion(job, measured.predicted), looks)


def _diverged(curves: Curves) -> str:
    """Why the fit diverged in its last epoch; "" if it did not."""
    for name in ("train_loss", "val_loss"):
        if not math.isfinite(curves[name][-1]):
            return f"diverged: {name} is {curves[name][-1]} after epoch {len(curves[name])}"
    return ""


def _stuck(job: BuiltFit, accuracies: Sequence[float]) -> str:
    """Where, as far as the user asked to check, the last epochs' accuracies are no better than chance, words for that.

    Chance is always to say the largest class, whose share of the training part is p. Within two standard deviations
    of that, 2 sqrt(p (1 - p) / images), an accuracy over the training part tells nothing of the images.
    """
    most, labels = job.spec.training.stuck_after, job.labels[job.spec.train]
    if most is None or len(accuracies) < most:
        return ""
    share = float(np.bincount(labels).max()) / len(labels)
    limit = share + 2 * math.sqrt(share * (1 - share) / len(labels))
    if max(accuracies[-most:]) > limit:
        return ""
    words = f"train_accuracy is {accuracies[-1]:.4f} after epoch {len(accuracies)}"
    epochs = f"for {most} epochs in a row" if most > 1 else "in this epoch"
    return f"stuck: {words}, and {epochs} not above {limit:.4f}, which is chance"


def augmented(job: BuiltFit, images: Any, targets: Any, draws: BatchDraws) -> tuple[Any, Any]:
    """Images and targets (N, classes) as the job's transforms change them; arrays of one engine throughout."""
    for transform, drawn in zip(job.transforms, draws, strict=True):
        images = transform.apply(images, drawn)
        if hasattr(transform, "relabel"):
            targets = transform.relabel(targets, drawn)
    return images, targets


def relabels(job: BuiltFit) -> bool:
    """Whether a transform changes labels, so that a target is a share of every class."""
    return any(hasattr(transform, "relabel") for transform in job.transforms)


def batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def statistics(images: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of each channel over the images (N, C, H, W) uint8 at `index`, in [0, 1]."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for some in batches(index, EVALUATION_BATCH):  # a part at a time, as bincount makes eight bytes of each
        for channel, count in enumerate(counts):
            count += np.bincount(images[some, channel].ravel(), minlength=256)
    share, level = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = share @ level
    deviation = np.sqrt((share * (level - mean[:, None]) ** 2).sum(1))
    deviation[deviation == 0] = 1.0  # a channel without variation stays at zero
    return mean, deviation
