"""Training in NumPy: the same course, batches and update rules as on torch, one thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.numpy_engine.layer_probe import watched
from runner.engines.numpy_engine.network import build
from runner.engines.numpy_engine.spatial import Convolution
from runner.engines.optimizer_step import OptimizerStep
from runner.engines.training_loop import EVALUATION_BATCH, BatchDraws, Evaluation, augmented, batches, statistics, train
from runner.network.parameters import initial_values
from runner.seeding import Key

PRECISIONS = {
    "float16": (np.float16, np.float32),
    "float32": (np.float32, np.float32),
    "float64": (np.float64, np.float64),
}
"""What values wait in between two layers, and what is computed in. Parameters are kept in the latter."""

Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images (N, C, H, W) uint8, labels (N,), and the indices of those that belong to the part."""


class NumpyEngine:
    """Trains one fit at a time."""

    name = "numpy"

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def seeded(self, *keys: Key) -> AbstractContextManager[None]:
        """Layer records draw nothing of their own."""
        return nullcontext()

    def out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)  # NumPy's own is a subclass

    def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit | Exception]:
        # One thread a process, as on torch; it also keeps the order of every sum.
        with threadpool_limits(1), np.errstate(all="ignore"):  # a fit that diverges says so itself
            try:
                return train(group, NumpyLearner)
            except Exception as error:
                return [error]


class NumpyLearner:
    """The network, data and update rule of one fit: this engine trains no group of several."""

    def __init__(self, group: Sequence[BuiltFit]) -> None:
        (job,) = group
        spec = self.spec = job.spec
        self.job, self.masks = job, [DropoutMasks(*spec.keys)]
        self.storage, self.dtype = PRECISIONS[spec.training.precision]
        values = initial_values(job.network, spec.shape, *spec.keys)
        self.network = build(job.network, spec.shape, values, self.masks[0], self.storage, self.dtype)
        mean, deviation = statistics(job.images, spec.train)
        self.mean, self.deviation = (v.astype(self.dtype)[:, None, None] for v in (mean, deviation))
        learned = [(part, name) for _, part in self.network.named_parts() for name in part.arrays if _learned(name)]
        self.learned = learned
        self.rule = OptimizerStep(group, [part.arrays[name][None] for part, name in learned])
        self.begin()

    def begin(self) -> None:
        self._loss, self._correct = 0.0, 0

    def seen(self) -> list[tuple[float, int]]:
        return [(self._loss, self._correct)]

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        (index,), (drawn,) = batches, draws
        place = self.spec.train[index]
        labels = self.job.labels[place]
        images, targets = augmented(self.job, self._unit(self.job.images[place]), self._targets(labels), drawn)
        scores, losses = self._learn(images, targets)
        self.rule.step([part.gradients[name][None] for part, name in self.learned])
        self._loss += float(losses.sum())
        self._correct += int((scores.argmax(1) == labels).sum())

    def _learn(self, images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (N, classes) and losses (N,); the parts are left with the gradients of the mean loss."""
        scores = self.network.forward(self._normalised(images), training=True)[:, 0, 0]
        losses, shares = cross_entropy(scores, targets)
        # dL/dscores of the mean loss: (softmax - target) / N (CS231n, "Linear classification").
        self.network.backward(((shares - targets) / len(targets))[:, None, None], wanted=False)
        return scores, losses

    def part(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> Part:
        return images, labels, indices[0]

    def alone(self, fit: int) -> NumpyLearner:
        return self

    def evaluate(self, part: Part) -> list[Evaluation]:
        all_images, all_labels, index = part
        loss, correct, answers = 0.0, 0, []
        for some in batches(index, EVALUATION_BATCH):
            scores = self.network.forward(self._normalised(self._unit(all_images[some])))[:, 0, 0]
            labels = all_labels[some]
            losses, shares = cross_entropy(scores, self._targets(labels))
            loss += float(losses.sum())
            correct += int((scores.argmax(1) == labels).sum())
            answers.append((scores.argmax(1), shares.max(1)))
        predicted, confidence = (np.concatenate(column) for column in zip(*answers, strict=True))
        return [Evaluation(loss / len(index), correct / len(index), predicted, confidence)]

    def state(self) -> dict[str, Any]:
        arrays = {key: array.copy() for key, array in self._arrays()}
        return {"arrays": arrays, "rule": self.rule.state(), "seen": [self._loss, self._correct]}

    def restore(self, state: Mapping[str, Any]) -> None:
        for key, array in self._arrays():
            array[...] = state["arrays"][key]
        self.rule.restore(state["rule"])
        self._loss, self._correct = state["seen"]

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for path, part in self.network.named_parts():
            for name, array in part.arrays.items():
                yield f"{path}.{name}", array

    def filters(self) -> np.ndarray | None:
        parts = (part for _, part in self.network.named_parts() if isinstance(part, Convolution))
        first = next(parts, None)
        return None if first is None else first.arrays["weight"].astype(np.float32)

    def observe(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        with watched(self.network) as links:
            self.network.forward(self._normalised(self._unit(images)))
        return {link.path: (link.part.layer.type, link.output.transpose(0, 3, 1, 2)) for link in links}

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        place = self.spec.train[index]
        with watched(self.network) as links:
            self._learn(self._unit(self.job.images[place]), self._targets(self.job.labels[place]))
        return {link.path: (link.forward_seconds, link.backward_seconds) for link in links}

    def _targets(self, labels: np.ndarray) -> np.ndarray:
        """(N, classes): 1 at the label."""
        return np.eye(self.spec.classes, dtype=self.dtype)[labels]

    def _unit(self, images: np.ndarray) -> np.ndarray:
        return images.astype(self.dtype) / 255

    def _normalised(self, images: np.ndarray) -> np.ndarray:
        """From (N, C, H, W) in [0, 1] to the engine's order (N, H, W, C), mean 0 and deviation 1 a channel."""
        images = ((images - self.mean) / self.deviation).astype(self.storage).astype(self.dtype, copy=False)
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _learned(name: str) -> bool:
    return not name.startswith("running_")


def cross_entropy(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-sum of targets * log softmax(scores) (N,), and the softmax (N, classes).

    The largest score is taken off first, which changes no share and keeps the exponential from overflowing.
    """
    shifted = scores - scores.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(1, keepdims=True)
    losses = (targets * (np.log(totals) - shifted)).sum(1)
    return losses, exponentials / totals
