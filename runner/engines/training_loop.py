"""The training loop that all engines share: epochs, batches, random streams, checkpoints and curves of a group of fits.

An engine provides a `Learner`, which holds the arrays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.best_epoch import BestEpoch
from runner.engines.checkpoint import Checkpoint
from runner.engines.draws import drawn_arrays
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.endings import divergence, stuck
from runner.engines.held_out import HeldOut
from runner.engines.inspection import Inspectable, inspect_fit
from runner.engines.measuring import measure_part
from runner.errors import EndedEarly
from runner.fits import answers
from runner.fits.live import LiveFile
from runner.fits.metrics import CURVES, INNER_CURVES
from runner.fits.records import Curves, Learned
from runner.seeding import global_states, restore_globals, stream
from runner.text import plural

EVALUATION_BATCH = 500
"""Images per evaluation step. Losses are summed step by step, so another size may give different bits."""
NO_IMAGES = np.empty(0, np.int64)
BatchDraws = Sequence[Mapping[str, Any]]
"""The random numbers for one batch of one fit: one mapping per transform."""
log = logging.getLogger("runner.engines")


class Evaluation(NamedTuple):
    """Mean loss and accuracy over N images, and for each image (N,) the predicted class and its softmax share."""

    loss: float
    accuracy: float
    predicted: np.ndarray
    confidence: np.ndarray


class Learner(Protocol):
    """A group of fits being trained by one engine: their networks, data and update rule."""

    masks: list[DropoutMasks]

    def begin_epoch(self) -> None:
        """Set the training totals to zero."""
        ...

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        """One training step per fit. `batches` index into each fit's training part; an empty one skips the fit."""
        ...

    def training_totals(self) -> list[tuple[float, int]]:
        """For each fit, the summed loss and the number of correct predictions in this epoch.

        Both are taken from the forward pass of each step, before its update.
        """
        ...

    def subset(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> Any:
        """The images (N, C, H, W) and labels (N,) at each fit's indices, in the form that `evaluate` takes."""
        ...

    def evaluate(self, subset: Any) -> list[Evaluation]: ...

    def shares(self, subset: Any) -> list[np.ndarray]: ...

    def inspectable(self, fit: int) -> Inspectable:
        """The network of one fit of the group."""
        ...

    def network_state(self, fit: int) -> Any:
        """A copy of one fit's parameters and buffers: nested plain data and NumPy arrays."""
        ...

    def restore_network(self, fit: int, state: Any) -> None:
        """Set one fit's parameters and buffers to a `network_state` of it."""
        ...

    def learned(self, fit: int) -> Learned:
        """A copy of what one fit of the group has learned so far."""
        ...

    def state(self) -> Any:
        """A copy of everything that the next steps depend on, except `masks`: nested plain data and NumPy arrays."""
        ...

    def restore(self, state: Any) -> None:
        """Set everything to a `state` of a learner of the same fits."""
        ...


@dataclass(eq=False)
class FitProgress:
    """The progress of one fit of a group.

    `end_reason` says why it failed before its last epoch ("" if it did not). `augment_stream` is the random stream of
    its augmentation in this epoch. `evaluation` is that of the validation part after the last finished epoch. `best` is
    the best epoch so far; None if the fit cannot stop, so that its result is that of its last epoch.
    """

    fit: BuiltFit
    curves: Curves = field(default_factory=lambda: {name: [] for name in CURVES})
    end_reason: str = ""
    # A stand-in of the same kind (PCG64): `begin_epoch` replaces it, or `restore` sets its state.
    augment_stream: np.random.Generator = field(default_factory=np.random.default_rng)
    evaluation: Evaluation | None = None
    best: BestEpoch | None = None

    def __post_init__(self) -> None:
        if self.fit.spec.training.stop:
            self.best = BestEpoch()
            self.curves |= {name: [] for name in INNER_CURVES}

    @property
    def stopped(self) -> bool:
        """Whether the inner loss has not been lower than in the best epoch for as many epochs as its patience."""
        stop = self.fit.spec.training.stop
        if stop is None or self.best is None:
            return False
        return len(self.curves["train_loss"]) - self.best.epoch >= stop.patience

    @property
    def ended(self) -> bool:
        return bool(self.end_reason) or self.stopped

    def begin_epoch(self, epoch: int) -> None:
        self.augment_stream = stream("augment", *self.fit.spec.keys, epoch)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The batches of the epoch, as indices into the training part."""
        spec = self.fit.spec
        # The order depends on the keys and the epoch alone, so a resumed fit draws it again; no checkpoint stores it.
        order = stream("order", *spec.keys, epoch).permutation(len(spec.train))
        return split_into_batches(order, spec.training.batch_size)

    def draw(self, count: int) -> BatchDraws:
        """The transforms' random numbers for a batch of `count` images."""
        if not count:
            return []
        shape = self.fit.spec.shape
        return [drawn_arrays(transform.draw(self.augment_stream, count, shape)) for transform in self.fit.transforms]

    def end_epoch(
        self,
        totals: tuple[float, int],
        evaluation: Evaluation,
        inner: Evaluation | None,
        network: Callable[[], Any],
    ) -> None:
        """Append the epoch's values to the curves, and set `end_reason` if the fit diverged or is stuck.

        `totals` are those of `Learner.training_totals`. `inner` is the evaluation of the inner part, if there is one,
        and `network` returns the network's state.
        """
        count = len(self.fit.spec.train)
        values = [total / count for total in totals] + [evaluation.loss, evaluation.accuracy]
        values += [inner.loss, inner.accuracy] if inner else []
        for curve, value in zip(self.curves.values(), values, strict=True):
            curve.append(value)
        self.evaluation = evaluation
        diverged = divergence(self.curves)
        if self.best and inner and not diverged:
            epoch = len(self.curves["inner_loss"])
            self.best.offer(epoch, inner.loss, evaluation.predicted, evaluation.confidence, network)
        self.end_reason = diverged or stuck(self.fit, self.curves["train_accuracy"], self.stopped)

    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """The classes (V,) that the result predicts for the validation images, and their softmax shares (V,)."""
        source = self.best or self.evaluation
        assert source and source.predicted is not None and source.confidence is not None
        return source.predicted, source.confidence

    def state(self) -> dict[str, Any]:
        # Not `evaluation`: a checkpoint is saved inside an epoch, and the end of that epoch sets it anew.
        state = {"curves": self.curves, "ended": self.end_reason, "drawing": self.augment_stream.bit_generator.state}
        return state | ({"best": self.best.state()} if self.best else {})

    def restore(self, state: Mapping[str, Any]) -> None:
        self.curves, self.end_reason = state["curves"], state["ended"]
        self.augment_stream.bit_generator.state = state["drawing"]
        if self.best:
            self.best.restore(state["best"])


def train(
    group: Sequence[BuiltFit], make_learner: Callable[[Sequence[BuiltFit]], Learner]
) -> list[TrainedFit | Exception]:
    """Train a group of fits with one learner; for each fit, in order, its result or the exception that ended it.

    Starts from the group's checkpoint if there is one. A fit fails at the first epoch whose loss is not finite or after
    which it is stuck; one that may stop early ends when its inner loss has not been lower for long enough. The others
    continue; training stops when all have ended. A fit that may stop early has the network of its best epoch then.
    """
    training, live = _GroupTraining(group, make_learner), LiveFile([fit.spec for fit in group])
    for epoch in range(training.epoch, group[0].spec.training.epochs):
        if not training.all_ended:
            training.train_epoch(epoch)
            live.offer([member.curves for member in training.members])
    training.restore_best()
    return [training.outcome(number) for number in range(len(group))]


class _GroupTraining:
    """A group of fits in training: the progress of each, their learner, and the position in the epoch."""

    def __init__(self, group: Sequence[BuiltFit], make_learner: Callable[[Sequence[BuiltFit]], Learner]) -> None:
        first = group[0]
        self.members, self.checkpoint = [FitProgress(fit) for fit in group], first.checkpoint
        self.learner, self.epoch, self.batches_done = make_learner(group), 0, 0
        self.validation = self.learner.subset(first.images, first.labels, [fit.spec.validation for fit in group])
        self.inner: Any = None
        if inner := [fit.spec.inner for fit in group if fit.spec.inner is not None]:
            self.inner = self.learner.subset(first.images, first.labels, inner)
        # Copied before a checkpoint is restored: these are the untrained filters.
        self.initial_filters = [
            self.learner.inspectable(n).first_filters() if fit.spec.inspected else None for n, fit in enumerate(group)
        ]
        if state := self.checkpoint.load() if self.checkpoint else None:
            self._resume(state)

    @property
    def all_ended(self) -> bool:
        return all(member.ended for member in self.members)

    def _resume(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state, or from the beginning, with a warning, if it does not match."""
        assert self.checkpoint is not None
        before = self.learner.state()
        # The learner goes first: if it fails half-way, it is all that must be set back.
        try:
            self.learner.restore(state["learner"])
        except Exception as error:  # e.g. a plugin's own module or optimizer that is not built the same way every time
            log.warning("%s is ignored and its fit starts from the beginning: %s", self.checkpoint.path, error)
            self.learner.restore(before)
            self.checkpoint.discard_loaded()
            return
        self.epoch, self.batches_done = state["epoch"], state["batches"]
        for member, member_state in zip(self.members, state["fits"], strict=True):
            member.restore(member_state)
        for masks, masks_state in zip(self.learner.masks, state["masks"], strict=True):
            masks.begin_epoch(self.epoch)  # first, as it is a key of the streams whose states follow
            masks.restore(masks_state)
        restore_globals(state["globals"])
        done = f"{plural(self.epoch, 'epoch')} and {plural(self.batches_done, 'batch', 'batches')}"
        log.warning("fit %s resumes from its checkpoint, after %s", self.members[0].fit.spec.id, done)

    def train_epoch(self, epoch: int) -> None:
        """Train on every batch that is not done yet, then evaluate the validation part."""
        self.epoch, epoch_batches = epoch, [member.epoch_batches(epoch) for member in self.members]
        # In a resumed epoch the totals and streams come from the checkpoint.
        if not self.batches_done:
            self.learner.begin_epoch()
            for member, masks in zip(self.members, self.learner.masks, strict=True):
                member.begin_epoch(epoch)
                masks.begin_epoch(epoch)
        # Folds differ in size, so a fit may have a batch less than others of its group.
        # A checkpoint saved after the last batch leaves only the evaluation to do.
        for number in range(self.batches_done, max(map(len, epoch_batches))):
            batches = [own[number] if number < len(own) else NO_IMAGES for own in epoch_batches]
            draws = [member.draw(len(batch)) for member, batch in zip(self.members, batches, strict=True)]
            self.learner.step(batches, draws)
            # Between two steps no gradient is pending, so a state contains none.
            if self.checkpoint and self.checkpoint.due():
                self._save(self.checkpoint, number + 1)
        self.batches_done = 0
        totals, evaluations = self.learner.training_totals(), self.learner.evaluate(self.validation)
        inner = self.learner.evaluate(self.inner) if self.inner else [None] * len(self.members)
        # A fit that has ended is still trained with its group, as taking it out would add more code than it saves time.
        for number, member in enumerate(self.members):
            if not member.ended:
                network = partial(self.learner.network_state, number)
                member.end_epoch(totals[number], evaluations[number], inner[number], network)

    def _save(self, checkpoint: Checkpoint, batches: int) -> None:
        masks = [masks.state() for masks in self.learner.masks]
        members = [member.state() for member in self.members]
        state = {"fits": members, "epoch": self.epoch, "batches": batches, "masks": masks, "globals": global_states()}
        checkpoint.save(state, self.learner.state)

    def restore_best(self) -> None:
        """Set the network of every fit that has a best epoch to what it was then."""
        for number, member in enumerate(self.members):
            if member.best and not member.end_reason:
                self.learner.restore_network(number, member.best.network)

    @cached_property
    def held_out(self) -> HeldOut | None:
        """The held-out test part, evaluated by the results of the fits; None if they have none."""
        test = self.members[0].fit.test
        return HeldOut(self.learner, [member.fit for member in self.members], *test) if test else None

    @cached_property
    def shares(self) -> list[np.ndarray]:
        """The softmax (V, classes) of each fit's scores for its validation images, in its result."""
        return self.learner.shares(self.validation)

    def outcome(self, number: int) -> TrainedFit | Exception:
        member = self.members[number]
        fit, best = member.fit, member.best.epoch if member.best else 0
        if member.end_reason:
            return EndedEarly(member.end_reason)
        predicted, confidence = member.answers()
        packed = answers.pack(truth := fit.labels[fit.spec.validation], predicted, fit.spec.classes)
        measures = measure_part(fit.metrics, False, truth, predicted, lambda: self.shares[number])
        # Before the inspection, which moves the running statistics.
        learned = self._learned(number) if fit.spec.keep else None
        trained = TrainedFit(member.curves, packed, best_epoch=best, learned=learned, measures=measures)
        trained = self.held_out.added(number, trained) if self.held_out else trained
        if not fit.spec.inspected:
            return trained
        try:
            network, initial_filters = self.learner.inspectable(number), self.initial_filters[number]
            inspection = inspect_fit(fit, network, initial_filters, predicted, confidence)
        except Exception as error:  # e.g. of a plugin's own module; a trained fit is worth more than its pictures
            log.warning("cell %s: its layers cannot be inspected (%s: %s)", fit.spec.cell, type(error).__name__, error)
            inspection = {}
        return replace(trained, arrays=inspection)

    def _learned(self, number: int) -> Learned | None:
        try:
            return self.learner.learned(number)
        except Exception as error:  # of a type that NumPy lacks, say; a trained fit is worth more than its parameters
            fit = self.members[number].fit.spec.id
            log.warning("fit %s: its parameters cannot be saved (%s: %s)", fit, type(error).__name__, error)
            return None


def augment(fit: BuiltFit, images: Any, targets: Any, draws: BatchDraws) -> tuple[Any, Any]:
    """Images (N, C, H, W) and targets (N, classes) after the fit's transforms; arrays of one engine throughout."""
    for transform, drawn in zip(fit.transforms, draws, strict=True):
        images = transform.apply(images, drawn)
        if hasattr(transform, "relabel"):
            targets = transform.relabel(targets, drawn)
    return images, targets


def changes_labels(fit: BuiltFit) -> bool:
    """Whether a transform changes labels, so that targets are shares of all classes and not one class."""
    return any(hasattr(transform, "relabel") for transform in fit.transforms)


def split_into_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """`order` (N,) in pieces of `size`; the last one may be shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def channel_statistics(images: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of each channel over the images (N, C, H, W) uint8 at `index`, in [0, 1].

    Computed from a histogram: 256 counts per channel are exact, whatever the order or number of images.
    """
    counts = np.zeros((images.shape[1], 256), np.int64)
    # In batches, because bincount converts each uint8 to eight bytes.
    for batch in split_into_batches(index, EVALUATION_BATCH):
        for channel, count in enumerate(counts):
            count += np.bincount(images[batch, channel].ravel(), minlength=256)
    # In float64 for every engine, which rounds the results to its own type once.
    share, level = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = share @ level
    deviation = np.sqrt((share * (level - mean[:, None]) ** 2).sum(1))
    deviation[deviation == 0] = 1.0  # a constant channel becomes zero when normalised, not 0 / 0
    return mean, deviation
