"""What is kept of a fit to look at afterwards: filters, activations, mistakes, where the time goes.

The arrays, as they stand in the fit's .npz file (S images are shown, V are validated, L layers work):
`filters_before`, `filters_after` (out, in, height, width) of the first convolution; `index`, `truth`, `predicted`,
`confidence` (V,), the position in the data set, the class, the predicted class and its softmax share; `mistakes` (M,),
which of these are the most confident mistakes, and `mistake_images` (M, C, H, W) uint8; `shown_images` (S, C, H, W)
uint8 and `shown_truth` (S,); `layers`, `types` (L,) in the order of work; `activation.<i>` (S, c, h, w), the first
channels of layer i, of a few evenly spaced ones among those that are `spatial`; `seconds` (L, 2), forward and backward,
of one training batch. Images and maps are averaged over blocks where a side is longer than SIDE pixels.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from runner.engines.base import BuiltFit

MISTAKES, SHOWN, LAYERS, CHANNELS, SIDE, ROUNDS = 24, 3, 8, 8, 40, 5


class Inspectable(Protocol):
    """A network at work that one can look into."""

    def filters(self) -> np.ndarray | None:
        """A copy of the first convolution's weights (out, in, height, width), if there is one."""
        ...

    def observe(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        """By path and in the order of work, each layer's type and what it makes of the images (N, C, H, W) uint8."""
        ...

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        """Seconds that each layer, by path, takes forward and backward for the training images at `index`.

        The network is not to be used afterwards: its running statistics may have changed.
        """
        ...


def confusion(job: BuiltFit, predicted: np.ndarray) -> list[list[int]]:
    """[truth, predicted, count] of each pair of classes that occurs in the validation part."""
    pairs = np.stack([job.labels[job.spec.validation], predicted], axis=1).astype(np.int64)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return [[*map(int, pair), int(count)] for pair, count in zip(found, counts, strict=True)]


def inspected(
    job: BuiltFit, network: Inspectable, first_filters: np.ndarray | None, predicted: np.ndarray, confidence: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays to keep of a fit that has just ended: its network, its predictions of the validation part."""
    filters = network.filters()
    both = {"filters_before": first_filters, "filters_after": filters}
    kept = {name: array for name, array in both.items() if array is not None}
    return kept | _predictions(job, predicted.astype(np.int64), confidence) | _activations(job, network)


def _predictions(job: BuiltFit, predicted: np.ndarray, confidence: np.ndarray) -> dict[str, np.ndarray]:
    index, truth = job.spec.validation, job.labels[job.spec.validation].astype(np.int64)
    wrong = np.flatnonzero(predicted != truth)
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return {
        "index": index, "truth": truth, "predicted": predicted, "confidence": confidence.astype(np.float32),
        "mistakes": mistakes, "mistake_images": small(job.images[index[mistakes]]),
    }  # fmt: skip


def _activations(job: BuiltFit, network: Inspectable) -> dict[str, np.ndarray]:
    """What the layers make of a few images, each of another class, and the time they take."""
    index, labels = job.spec.validation, job.labels[job.spec.validation]
    first_of_class = np.sort(np.unique(labels, return_index=True)[1])[:SHOWN]
    shown = job.images[index[first_of_class]]
    outputs, seconds = network.observe(shown), _seconds(job, network)
    made = [output for _, output in outputs.values()]
    spatial = [place for place, output in enumerate(made) if output.ndim == 4 and math.prod(output.shape[2:]) > 1]
    spaced = np.linspace(0, len(spatial) - 1, min(LAYERS, len(spatial))).round().astype(int)
    maps = {f"activation.{p}": small(made[p][:, :CHANNELS]).astype(np.float16) for p in np.take(spatial, spaced)}
    return maps | {
        "shown_images": small(shown), "shown_truth": labels[first_of_class].astype(np.int64),
        "spatial": np.array(len(spatial)),
        "layers": np.array(list(outputs)), "types": np.array([kind for kind, _ in outputs.values()]),
        "seconds": np.array([seconds.get(path, (0.0, 0.0)) for path in outputs]),
    }  # fmt: skip


def small(images: np.ndarray) -> np.ndarray:
    """(..., h, w) averaged over blocks until neither side is longer than SIDE, in the type that it has."""
    step = -(-max(images.shape[-2:]) // SIDE)
    if step <= 1:
        return images
    height, width = (max(side // step, 1) * min(step, side) for side in images.shape[-2:])
    tall, wide = min(step, height), min(step, width)
    blocks = images[..., :height, :width].reshape(*images.shape[:-2], height // tall, tall, width // wide, wide)
    means: np.ndarray = blocks.mean(axis=(-3, -1), dtype=np.float64)
    return (means.round() if images.dtype == np.uint8 else means).astype(images.dtype)


def _seconds(job: BuiltFit, network: Inspectable) -> dict[str, tuple[float, float]]:
    """The median of a few rounds, after one that does not count."""
    batch = np.arange(min(job.spec.training.batch_size, len(job.spec.train)))
    rounds = [network.time_layers(batch) for _ in range(ROUNDS + 1)][1:]
    medians = {path: np.median([one[path] for one in rounds], axis=0) for path in rounds[0]}
    return {path: (float(forward), float(backward)) for path, (forward, backward) in medians.items()}
