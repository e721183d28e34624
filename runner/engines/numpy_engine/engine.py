"""Training in NumPy, on one thread, with the same loop, batches and update rules as on torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.numpy_engine import own_layer
from runner.engines.numpy_engine.layer_probe import probe_layers
from runner.engines.numpy_engine.network import Chain, build
from runner.engines.numpy_engine.spatial import Convolution
from runner.engines.optimizer_step import OptimizerStep
from runner.engines.saved_arrays import refuse_differing
from runner.engines.training_loop import (
    EVALUATION_BATCH,
    BatchDraws,
    Evaluation,
    augment,
    channel_statistics,
    split_into_batches,
    train,
)
from runner.engines.two_step import Ascent
from runner.errors import RunnerError
from runner.fits.preprocessing import Preprocessing, preprocess
from runner.fits.records import Learned
from runner.network.analysis import LayerWithInput, iterate_layers
from runner.network.base import kinds_of
from runner.network.description import describe
from runner.network.parameters import initial_values
from runner.seeding import Key

DTYPES = {
    "float16": (np.float16, np.float32),
    "float32": (np.float32, np.float32),
    "float64": (np.float64, np.float64),
}
"""By precision: the type to which values between layers are rounded, and the type of parameters and computation."""

Subset = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images (N, C, H, W) uint8, labels (N,), and the indices of those that belong to the subset."""


class NumpyEngine:
    """Trains one fit at a time."""

    name = "numpy"

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def seeded(self, *keys: Key) -> AbstractContextManager[None]:
        return nullcontext()  # layer records draw nothing: their initial values come from `initial_values`

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)  # NumPy raises a subclass of it

    def device_memory(self, device: str) -> dict[str, int]:
        return {}

    def layer_problem(self, entry: LayerWithInput) -> str:
        return own_layer.problem(entry)

    @contextmanager
    def computing(self) -> Iterator[None]:
        # One thread per process, as on torch; it also fixes the order of every sum. NumPy's warnings are off because
        # the training loop itself reports a loss that is not finite.
        with threadpool_limits(1), np.errstate(all="ignore"):
            yield

    def load(self, group: Sequence[BuiltFit], learned: Learned) -> NumpyLearner:
        with self.computing():
            learner = NumpyLearner(group)
        learner.load(learned)
        return learner

    def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit | Exception]:
        with self.computing():
            try:
                return train(group, NumpyLearner)
            except Exception as error:
                return [error]


class NumpyLearner:
    """The network, data and update rule of one fit. A group on this engine has one member."""

    def __init__(self, group: Sequence[BuiltFit]) -> None:
        (fit,) = group
        spec = self.spec = fit.spec
        self.fit, self.masks = fit, [DropoutMasks(*spec.keys)]
        self.storage, self.dtype = DTYPES[spec.training.precision]
        values = initial_values(fit.network, spec.shape, *spec.keys)
        self.network = build(fit.network, spec.shape, values, self.masks[0], self.storage, self.dtype)
        if fit.preprocessing:
            self._set_normalisation(np.zeros(spec.shape[0]), np.ones(spec.shape[0]), fit.preprocessing)
        else:
            self._set_normalisation(*channel_statistics(fit.images, spec.train), None)
        specs = {e.path: e.layer.parameters(e.input) for e in iterate_layers(fit.network, spec.shape)}
        self.trainable = [
            (layer, name)
            for path, layer in self.network.named_layers()
            for name in layer.arrays
            if specs[path][name].trainable
        ]
        factors = [fit.options.factors(kinds_of(layer.layer.family, name)) for layer, name in self.trainable]
        # `[None]` adds the axis of fits that update rules expect; it is a view, so updates reach the layers.
        self.rule = OptimizerStep(group, [layer.arrays[name][None] for layer, name in self.trainable], factors)
        self.begin_epoch()

    def _set_normalisation(self, mean: np.ndarray, deviation: np.ndarray, preprocessing: Preprocessing | None) -> None:
        self.mean, self.deviation = (v.astype(self.dtype)[:, None, None] for v in (mean, deviation))
        self.preprocessing = preprocessing

    @property
    def module(self) -> Chain:
        return self.network

    def begin_epoch(self) -> None:
        self._loss, self._correct = 0.0, 0

    def training_totals(self) -> list[tuple[float, int]]:
        return [(self._loss, self._correct)]

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        (batch,), (drawn,) = batches, draws
        index = self.spec.train[batch]
        labels = self.fit.labels[index]
        # Augmentation comes before normalisation: transforms are promised images in [0, 1].
        images, targets = augment(self.fit, self._to_unit_range(self.fit.images[index]), self._one_hot(labels), drawn)
        masks = self.masks[0].state() if self.rule.ascent else {}
        scores, losses = self._forward_backward(images, targets)
        if self.rule.ascent:
            self._second_gradients(self.rule.ascent, masks, images, targets)
        self.rule.step(self._gradients())
        # Batches are added up in 64 bits, whatever the precision. An answer is right if it is the image's own label,
        # even if a transform has mixed the target with that of another image.
        self._loss += float(losses.sum())
        self._correct += int((scores.argmax(1) == labels).sum())

    def _second_gradients(
        self, ascent: Ascent, masks: Mapping[str, Any], images: np.ndarray, targets: np.ndarray
    ) -> None:
        """Replace the gradients of a batch by those at SAM's point, with the masks that `masks` is the state before.

        Running statistics move once per step, at the parameters themselves.
        """
        running = [(array, array.copy()) for array in self._running()]
        ascent.climb(self._gradients())
        self.masks[0].rewind(masks)
        self._forward_backward(images, targets)
        ascent.descend()
        for array, before in running:
            array[...] = before

    def _running(self) -> list[np.ndarray]:
        """The arrays that a forward pass updates and no rule does, such as running means."""
        trained = {(id(layer), name) for layer, name in self.trainable}
        layers = [layer for _, layer in self.network.named_layers()]
        return [layer.arrays[name] for layer in layers for name in layer.arrays if (id(layer), name) not in trained]

    def _gradients(self) -> list[np.ndarray]:
        """The gradients of `trainable`, each with the axis of fits."""
        return [layer.gradients[name][None] for layer, name in self.trainable]

    def _forward_backward(self, images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (N, classes) and cross-entropies (N,) of images in [0, 1] and targets (N, classes).

        Leaves the gradients of the mean of the fit's own loss in the layers.
        """
        scores = self._scores(images, training=True)
        losses, shares = cross_entropy(scores, targets)
        # dL/dscores of the mean loss: (softmax - target) / N (CS231n, "Minimal neural network case study").
        gradient = shares - targets if self.fit.loss is None else self._own_gradient(scores, targets)
        self.network.backward((gradient / len(targets)).T[:, None, None], need_dx=False)
        return scores, losses

    def _scores(self, images: np.ndarray, training: bool = False) -> np.ndarray:
        """Scores (N, classes) of images in [0, 1]."""
        # The output is a vector, and so an image of one position: (classes, 1, 1, N).
        return np.ascontiguousarray(self.network.forward(self._normalise(images), training)[:, 0, 0].T)

    def _own_gradient(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The derivatives (N, classes) of each image's loss by its scores, for the loss that the experiment chooses."""
        loss: Any = self.fit.loss
        losses, gradient = (np.asarray(array) for array in loss.value_and_gradient(scores, targets))
        if losses.shape != scores.shape[:1] or gradient.shape != scores.shape:
            found = f"losses {losses.shape} and gradients {gradient.shape}"
            expected = f"{scores.shape[:1]}, one for each image, and {scores.shape}"
            raise RunnerError(f"the loss {self.spec.loss}: value_and_gradient returns {found}; expected {expected}")
        return gradient.astype(self.dtype, copy=False)

    def subset(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> Subset:
        return images, labels, indices[0]

    def inspectable(self, fit: int) -> NumpyLearner:
        return self

    def evaluate(self, subset: Subset) -> list[Evaluation]:
        index = subset[2]
        loss, correct, answers = 0.0, 0, []
        for labels, scores in self._evaluated(subset):
            losses, shares = cross_entropy(scores, self._one_hot(labels))
            loss += float(losses.sum())
            correct += int((scores.argmax(1) == labels).sum())
            answers.append((scores.argmax(1), shares.max(1)))
        predicted, confidence = (np.concatenate(column) for column in zip(*answers, strict=True))
        return [Evaluation(loss / len(index), correct / len(index), predicted, confidence)]

    def _evaluated(self, subset: Subset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each batch its labels (N,) and scores (N, classes)."""
        all_images, all_labels, index = subset
        for batch in split_into_batches(index, EVALUATION_BATCH):
            yield all_labels[batch], self._scores(self._to_unit_range(all_images[batch]))

    def shares(self, subset: Subset) -> list[np.ndarray]:
        return [np.concatenate([cross_entropy(s, self._one_hot(labels))[1] for labels, s in self._evaluated(subset)])]

    def learned(self, fit: int) -> Learned:
        mean, deviation = (tuple(v.astype(np.float64).ravel().tolist()) for v in (self.mean, self.deviation))
        described = describe(self.fit.network)
        return Learned(self.network_state(fit), described, mean, deviation, preprocessing=self.preprocessing)

    def load(self, learned: Learned) -> None:
        """Take over the parameters `learned`; raises ValueError if they are not the network's."""
        mine = dict(self._arrays())
        refuse_differing(*({n: (str(a.dtype), a.shape) for n, a in them.items()} for them in (mine, learned.arrays)))
        for name, array in mine.items():
            array[...] = learned.arrays[name]
        self._set_normalisation(np.array(learned.mean), np.array(learned.deviation), learned.preprocessing)

    def state(self) -> dict[str, Any]:
        # Copies, because `restore` writes into these arrays, and a resume that fails goes back to a state saved before.
        return {"arrays": self.network_state(0), "rule": self.rule.state(), "seen": [self._loss, self._correct]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.restore_network(0, state["arrays"])
        self.rule.restore(state["rule"])
        self._loss, self._correct = state["seen"]

    def network_state(self, fit: int) -> dict[str, np.ndarray]:
        return {key: array.copy() for key, array in self._arrays()}

    def restore_network(self, fit: int, state: Mapping[str, np.ndarray]) -> None:
        # In place: the update rule holds views of these arrays.
        for key, array in self._arrays():
            array[...] = state[key]

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for path, layer in self.network.named_layers():
            for name, array in layer.arrays.items():
                yield f"{path}.{name}", array

    def first_filters(self) -> np.ndarray | None:
        convolutions = (layer for _, layer in self.network.named_layers() if isinstance(layer, Convolution))
        first = next(convolutions, None)
        return None if first is None else first.arrays["weight"].astype(np.float32)

    def layer_outputs(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        with probe_layers(self.network) as probes:
            self.network.forward(self._normalise(self._to_unit_range(images)))
        # In the order of axes that torch has and that the report's arrays are in.
        return {probe.path: (probe.probed.layer.type, probe.output.transpose(3, 0, 1, 2)) for probe in probes}

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        index = self.spec.train[index]
        with probe_layers(self.network) as probes:
            self._forward_backward(self._to_unit_range(self.fit.images[index]), self._one_hot(self.fit.labels[index]))
        return {probe.path: (probe.forward_seconds, probe.backward_seconds) for probe in probes}

    def _one_hot(self, labels: np.ndarray) -> np.ndarray:
        """Labels (N,) as targets (N, classes)."""
        return np.eye(self.spec.classes, dtype=self.dtype)[labels]

    def _to_unit_range(self, images: np.ndarray) -> np.ndarray:
        return images.astype(self.dtype) / 255

    def _normalise(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) in [0, 1] -> (C, H, W, N), with mean 0 and deviation 1 per channel over the training part.

        Or preprocessed, if the study says so.
        """
        if self.preprocessing:
            flat = images.reshape(len(images), -1)
            images = preprocess(flat, **self.preprocessing.arrays).reshape(images.shape)
        else:
            images = (images - self.mean) / self.deviation
        # Rounded like every value between layers.
        images = images.astype(self.storage).astype(self.dtype, copy=False)
        # A copy, as in a transposed view the images would not lie together in memory (see `windows`).
        return np.ascontiguousarray(images.transpose(1, 2, 3, 0))


def cross_entropy(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses (N,), -sum over classes of targets * log softmax(scores), and the softmax (N, classes).

    `scores` and `targets` are (N, classes); a row of targets sums up to 1. Source: CS231n, "Linear classification".
    """
    # Subtracting the largest score changes no softmax share and keeps exp from overflowing.
    shifted = scores - scores.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(1, keepdims=True)
    # log softmax = shifted - log totals, without taking the log of a share that may have underflowed to 0.
    losses = (targets * (np.log(totals) - shifted)).sum(1)
    return losses, exponentials / totals
