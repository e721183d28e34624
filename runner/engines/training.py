"""What all engines do alike: the course of a fit and its random streams. An engine brings the arrays."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from runner.components import Step
from runner.engines.base import Job, Trained
from runner.engines.inspection import Transparent, confusion, inspected
from runner.errors import Diverged
from runner.fit import Curves
from runner.seeding import Key, stream

EVALUATION_BATCH = 500
log = logging.getLogger("runner.engines")


class Measured(NamedTuple):
    """Mean loss and accuracy over a part; of each of its images (N,) the predicted class and its softmax share."""

    loss: float
    accuracy: float
    predicted: np.ndarray
    confidence: np.ndarray


class Learner(Transparent, Protocol):
    """One fit in an engine: its network, its data, its update rule."""

    masks: Masks

    def step(self, index: np.ndarray, draws: Sequence[Mapping[str, np.ndarray]]) -> tuple[Any, Any]:
        """Learn from the training images at `index`, augmented by `draws`, one for each transform.

        Returns the summed loss and the number of correct answers before the step, as 0-dimensional arrays.
        """
        ...

    def part(self, images: np.ndarray, labels: np.ndarray, index: np.ndarray) -> Any:
        """Those of the images (N, C, H, W) and labels (N,) that stand at `index`, laid where the engine measures."""
        ...

    def evaluate(self, part: Any) -> Measured: ...

    def state(self) -> Any:
        """A copy of all that its next steps depend on but for `masks`: nested plain data and NumPy arrays."""
        ...

    def restore(self, state: Any) -> None:
        """Become as it was when it gave that state."""
        ...


def train(job: Job, learner: Learner) -> Trained:
    """All epochs that its checkpoint, if it has one, has not behind it.

    Raises Diverged at the first epoch whose loss is not a finite number, or after which it is stuck.
    """
    curves: Curves = {"train_loss": [], "train_accuracy": [], "val_loss": [], "val_accuracy": []}
    validation = learner.part(job.images, job.labels, job.spec.validation)
    first_filters = learner.filters() if job.spec.shown else None
    kept = _resumed(job, learner)
    curves = kept["curves"] if kept else curves
    for epoch in range(len(curves["train_loss"]), job.spec.training.epochs):
        trained, measured = _epoch(job, learner, curves, kept), learner.evaluate(validation)
        kept = None
        figures = (*trained, measured.loss, measured.accuracy)
        for values, figure in zip(curves.values(), figures, strict=True):
            values.append(figure)
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(curves[name][-1]):
                raise Diverged(f"diverged: {name} is {curves[name][-1]} after epoch {epoch + 1}")
        _refuse_stuck(job, curves["train_accuracy"])
    if job.test:
        test = learner.evaluate(learner.part(*job.test, np.arange(len(job.test[1]))))
        curves |= {"test_loss": [test.loss], "test_accuracy": [test.accuracy]}
    if not job.spec.shown:
        return Trained(curves, confusion(job, measured.predicted))
    try:
        looks = inspected(job, learner, first_filters, measured.predicted, measured.confidence)
    except Exception as error:  # of a plugin's own module, say: what is only looked at shall cost no trained fit
        log.warning("cell %s: its layers can't be looked into (%s: %s)", job.spec.cell, type(error).__name__, error)
        looks = {}
    return Trained(curves, confusion(job, measured.predicted), looks)


def _resumed(job: Job, learner: Learner) -> dict[str, Any] | None:
    """Where the fit's checkpoint stands, the learner brought there; None where there is none to go on from."""
    kept = job.checkpoint.load() if job.checkpoint else None
    if kept is None or job.checkpoint is None:
        return None
    before = learner.state()
    try:
        learner.restore(kept["learner"])
    except Exception as error:  # of a plugin's own module or optimizer, say, that is not built the same every time
        learner.restore(before)
        log.warning("%s is not used, and its fit starts from the beginning: %s", job.checkpoint.path, error)
        return None
    epochs = len(kept["curves"]["train_loss"])
    log.warning(
        "fit %s goes on from its checkpoint, after %d epochs and %d batches", job.spec.id, epochs, kept["batches"]
    )
    return kept


def _refuse_stuck(job: Job, accuracies: Sequence[float]) -> None:
    """Raise Diverged where, as far as the user asked to check, the last epochs' accuracies are no better than chance.

    Chance is always to say the largest class, whose share of the training part is p. Within two standard deviations
    of that, 2 sqrt(p (1 - p) / images), an accuracy over the training part tells nothing of the images.
    """
    most, labels = job.spec.training.stuck_after, job.labels[job.spec.train]
    if most is None or len(accuracies) < most:
        return
    share = float(np.bincount(labels).max()) / len(labels)
    limit = share + 2 * math.sqrt(share * (1 - share) / len(labels))
    if max(accuracies[-most:]) <= limit:
        words = f"train_accuracy is {accuracies[-1]:.4f} after epoch {len(accuracies)}"
        epochs = f"for {most} epochs in a row" if most > 1 else "in this epoch"
        raise Diverged(f"stuck: {words}, and {epochs} not above {limit:.4f}, which is chance")


def _epoch(job: Job, learner: Learner, curves: Curves, kept: dict[str, Any] | None) -> tuple[float, float]:
    """The epoch behind those of the curves, or what the `kept` state leaves of it: one pass over the training part.

    Returns its mean loss and accuracy, each batch measured before its step.
    """
    spec, epoch = job.spec, len(curves["train_loss"])
    order = stream("order", *spec.keys, epoch).permutation(len(spec.train))
    rng = stream("augment", *spec.keys, epoch)
    learner.masks.begin(epoch)
    loss: Any = 0.0
    correct: Any = 0
    done = 0
    if kept:
        done, loss, correct = (kept[name] for name in ("batches", "loss", "correct"))
        rng.bit_generator.state = kept["augment"]
        learner.masks.restore(kept["masks"])
    for number, index in enumerate(batches(order, spec.training.batch_size)[done:], done + 1):
        draws = [transform.draw(rng, len(index), spec.shape) for transform in job.transforms]
        batch_loss, batch_correct = learner.step(index, draws)
        loss, correct = loss + batch_loss, correct + batch_correct
        if job.checkpoint and job.checkpoint.due():
            came_to = {"curves": curves, "batches": number, "loss": float(loss), "correct": int(correct)}
            drawn = {"augment": rng.bit_generator.state, "masks": learner.masks.state()}
            job.checkpoint.save(came_to | drawn, learner.state)
    return float(loss) / len(order), int(correct) / len(order)


def augmented(job: Job, images: Any, targets: Any, draws: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    """Images and targets (N, classes) as the job's transforms change them; arrays of one engine throughout."""
    for transform, drawn in zip(job.transforms, draws, strict=True):
        images = transform.apply(images, drawn)
        if hasattr(transform, "relabel"):
            targets = transform.relabel(targets, drawn)
    return images, targets


def relabels(job: Job) -> bool:
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


class Masks:
    """What dropout leaves out: drawn by NumPy for each layer by its path, so that all engines leave out the same."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys
        self.begin(0)

    def begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._streams: dict[str, np.random.Generator] = {}

    def state(self) -> dict[str, Any]:
        """How far each layer's stream of this epoch has come."""
        return {path: drawn.bit_generator.state for path, drawn in self._streams.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for path, drawn in state.items():
            self._stream(path).bit_generator.state = drawn

    def draw(self, path: str, shape: tuple[int, ...], rate: float) -> np.ndarray:
        """0 with probability `rate`, else 1 / (1 - rate): float32 of `shape` (N, H, W, C)."""
        kept = self._stream(path).random(shape, dtype=np.float32) >= rate
        return kept.astype(np.float32) / np.float32(1 - rate)

    def _stream(self, path: str) -> np.random.Generator:
        if path not in self._streams:
            self._streams[path] = stream("dropout", *self._keys, self._epoch, path)
        return self._streams[path]


class Rule:
    """A job's update rule over its parameters, with the running arrays of each."""

    def __init__(self, job: Job, parameters: Sequence[Any]) -> None:
        self.rule, self.parameters = job.rule, [_as_group(parameter) for parameter in parameters]
        self.clip: float | None = getattr(job.rule, "clip", None)
        self.states = [self._zeros(parameter) for parameter in self.parameters]
        self.course = Course(job)

    def _zeros(self, parameter: Any) -> dict[str, Any]:
        """Running arrays, each its own."""
        return dict(zip(self.rule.slots, (parameter * 0 for _ in self.rule.slots), strict=True))

    def step(self, gradients: Sequence[Any]) -> None:
        """Change every parameter that has a gradient."""
        step = next(self.course)
        groups = [None if gradient is None else _as_group(gradient) for gradient in gradients]
        if self.clip is not None:
            groups = clipped(groups, self.clip)
        for parameter, gradient, state in zip(self.parameters, groups, self.states, strict=True):
            if gradient is not None:
                self.rule.update(parameter, gradient, state, step)

    def state(self) -> dict[str, Any]:
        return {"done": self.course.done, "states": [dict(state) for state in self.states]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course.done = state["done"]
        for mine, arrays in zip(self.states, state["states"], strict=True):
            mine.clear()
            mine.update(arrays)


def is_torch_only(rule: Any) -> bool:
    """Whether the rule is one of torch's own optimizers: it has `over`, `rate` and `clip` in place of `update`."""
    return hasattr(rule, "over")


def _as_group(array: Any) -> Any:
    """A view with the first axis that update rules expect, of a group of one fit."""
    return array[None]


class Course:
    """Every step of a fit, one after another; `done` of them are behind it."""

    def __init__(self, job: Job) -> None:
        self.done, self.in_epoch = 0, math.ceil(len(job.spec.train) / job.spec.training.batch_size)
        self.total = job.spec.training.epochs * self.in_epoch

    def __next__(self) -> Step:
        self.done += 1
        return Step(self.done, self.total, self.in_epoch)


def clipped(gradients: Sequence[Any], most: float) -> list[Any]:
    """The gradients of a fit, scaled down where their norm over all parameters is above `most` (Pascanu et al. 2013).

    As in torch, 1e-6 is added to the norm that divides.
    """
    if all(gradient is None for gradient in gradients):
        return list(gradients)
    squares: Any = sum((g * g).reshape(len(g), -1).sum(1) for g in gradients if g is not None)
    scale = (most / (squares**0.5 + 1e-6)).clip(None, 1.0)
    return [g if g is None else g * scale.reshape(-1, *[1] * (g.ndim - 1)) for g in gradients]
