"""The arrays that a report shows of one fit per cell: filters, activations, mistakes, and time per layer.

Keys of the fit's .npz file (V validation images, M mistakes, S displayed images, L layers):

- `filters_before`, `filters_after` (out, in, height, width): weights of the first convolution, untrained and trained
- `index`, `truth`, `predicted`, `confidence` (V,): position in the data set, class, predicted class, its softmax share
- `mistakes` (M,): positions in those four of the most confident mistakes; `mistake_images` (M, C, H, W) uint8
- `shown_images` (S, C, H, W) uint8, `shown_truth` (S,): the displayed images and their classes
- `layers`, `types` (L,): path and type of each layer, in the order of `runner describe`
- `activation.<i>` (S, c, h, w): the first channels of layer i, for a few evenly spaced layers among those that still
  have positions; `spatial` is the number of those layers
- `seconds` (L, 2): forward and backward time of each layer for one training batch

Images and maps with a side longer than MAX_SIDE pixels are averaged over blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from runner.engines.base import BuiltFit
from runner.network.base import Layer
from runner.network.graph import Group, Network, join, steps
from runner.network.layers import MaxPool, ReLU

MAX_MISTAKES, MAX_IMAGES, MAX_LAYERS, MAX_CHANNELS, MAX_SIDE = 24, 3, 8, 8, 40
TIMING_ROUNDS = 5


class Inspectable(Protocol):
    """One network that can be run layer by layer."""

    def first_filters(self) -> np.ndarray | None:
        """A copy of the first convolution's weights (out, in, height, width); None if there is no convolution."""
        ...

    def layer_outputs(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        """Each layer's type and its output for the images (N, C, H, W) uint8, by path, in the order they run."""
        ...

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        """Forward and backward seconds of each layer, by path, for the training images at `index`.

        Call it last: it may change the network's running statistics.
        """
        ...


def inspect_fit(
    fit: BuiltFit,
    network: Inspectable,
    initial_filters: np.ndarray | None,
    predicted: np.ndarray,
    confidence: np.ndarray,
) -> dict[str, np.ndarray]:
    """The arrays of a fit that has just ended, by the keys above.

    `predicted` (V,) and `confidence` (V,) are those of the validation part. Uses up `network`: its layers are timed.
    """
    filters = network.first_filters()
    both = {"filters_before": initial_filters, "filters_after": filters}
    arrays = {name: array for name, array in both.items() if array is not None}
    return arrays | _predictions(fit, predicted.astype(np.int64), confidence) | _activations(fit, network)


def _predictions(fit: BuiltFit, predicted: np.ndarray, confidence: np.ndarray) -> dict[str, np.ndarray]:
    index, truth = fit.spec.validation, fit.labels[fit.spec.validation].astype(np.int64)
    wrong = np.flatnonzero(predicted != truth)
    # A stable sort, so that equally confident mistakes have the same order on every engine and machine.
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    return {
        "index": index, "truth": truth, "predicted": predicted, "confidence": confidence.astype(np.float32),
        "mistakes": mistakes, "mistake_images": shrink(fit.images[index[mistakes]]),
    }  # fmt: skip


def _activations(fit: BuiltFit, network: Inspectable) -> dict[str, np.ndarray]:
    """The layers' outputs for a few images of different classes, and the layers' times."""
    index, labels = fit.spec.validation, fit.labels[fit.spec.validation]
    first_of_class = np.sort(np.unique(labels, return_index=True)[1])[:MAX_IMAGES]
    images = fit.images[index[first_of_class]]
    # In this order: timing runs the network in training mode, which moves its running statistics.
    layers = as_described(fit.network, network.layer_outputs(images))
    seconds = _median_seconds(fit, network)
    return activation_maps(layers, MAX_LAYERS) | {
        "shown_images": shrink(images), "shown_truth": labels[first_of_class].astype(np.int64),
        # 0 for a layer that a plugin's own module uses in evaluation, but not in training, where layers are timed.
        "seconds": np.array([seconds.get(path, (0.0, 0.0)) for path in layers]),
    }  # fmt: skip


def activation_maps(layers: Mapping[str, tuple[str, np.ndarray]], most: int) -> dict[str, np.ndarray]:
    """The arrays `activation.<i>` of at most `most` layers, `spatial`, `layers` and `types`.

    `layers` are those of `Inspectable.layer_outputs`, as `as_described` puts them.
    """
    outputs = [output for _, output in layers.values()]
    spatial = [i for i, output in enumerate(outputs) if output.ndim == 4 and math.prod(output.shape[2:]) > 1]
    # Both ends are included: the first and the last layer that has positions are always shown.
    chosen = np.linspace(0, len(spatial) - 1, min(most, len(spatial))).round().astype(int)
    with np.errstate(over="ignore"):  # of a network that diverges; infinity is drawn as such
        maps = {
            f"activation.{i}": shrink(outputs[i][:, :MAX_CHANNELS]).astype(np.float16) for i in np.take(spatial, chosen)
        }
    return maps | {
        "spatial": np.array(len(spatial)),
        "layers": np.array(list(layers)), "types": np.array([kind for kind, _ in layers.values()]),
    }  # fmt: skip


def as_described(network: Any, outputs: dict[str, tuple[str, np.ndarray]]) -> dict[str, tuple[str, np.ndarray]]:
    """`Inspectable.layer_outputs` in the order of the layers in `network`, with the outputs that they have there.

    Engines run a ReLU after the max poolings behind it (see `reordering`), where it is cheaper. A plugin's own module
    runs as it is described.
    """
    if not isinstance(network, (Layer, Group)):
        return outputs
    described: dict[str, tuple[str, np.ndarray]] = {}

    def visit(network: Network, prefix: str) -> None:
        before: np.ndarray | None = None  # the output of the step before, if it is known
        after_relu = False
        for path, part in steps(network, prefix):
            if not isinstance(part, Layer):
                for segment, branch in part.branches():
                    visit(branch, join(path, segment))
                before, after_relu = None, False
                continue
            kind, output = outputs[path]
            after_relu = isinstance(part, ReLU) or (after_relu and isinstance(part, MaxPool))
            if isinstance(part, ReLU) and before is not None:
                output = np.maximum(before, 0)
            elif after_relu and isinstance(part, MaxPool):
                output = np.maximum(output, 0)
            described[path] = kind, output
            before = output

    visit(network, "")
    return described


def shrink(images: np.ndarray) -> np.ndarray:
    """(..., h, w) averaged over square blocks until neither side is longer than MAX_SIDE, in the type of `images`.

    Rows and columns that do not fill a last block are cut off; a side shorter than a block is one block.
    """
    step = -(-max(images.shape[-2:]) // MAX_SIDE)
    if step <= 1:
        return images
    height, width = (max(side // step, 1) * min(step, side) for side in images.shape[-2:])
    tall, wide = min(step, height), min(step, width)
    blocks = images[..., :height, :width].reshape(*images.shape[:-2], height // tall, tall, width // wide, wide)
    means: np.ndarray = blocks.mean(axis=(-3, -1), dtype=np.float64)
    # Rounded first, as the conversion to uint8 cuts decimals off.
    return (means.round() if images.dtype == np.uint8 else means).astype(images.dtype)


def _median_seconds(fit: BuiltFit, network: Inspectable) -> dict[str, tuple[float, float]]:
    """Median forward and backward seconds per layer over a few rounds, after one round to warm up."""
    batch = np.arange(min(fit.spec.training.batch_size, len(fit.spec.train)))
    rounds = [network.time_layers(batch) for _ in range(TIMING_ROUNDS + 1)][1:]
    medians = {path: np.median([times[path] for times in rounds], axis=0) for path in rounds[0]}
    return {path: (float(forward), float(backward)) for path, (forward, backward) in medians.items()}
