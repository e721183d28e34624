"""A layer that a plugin brings itself: its `forward` and `backward` on arrays (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.network.analysis import LayerWithInput


class Difference(NamedTuple):
    """A central difference: its step, how far a slope may be from it relative to their sizes, and how many numbers
    change at once."""

    step: float
    tolerance: float
    numbers: float


DOUBLE, SINGLE = Difference(1e-6, 1e-4, math.inf), Difference(1e-3, 1e-2, 100)
"""By the precision of the layer's output: over the smaller step single precision shows nothing."""


class OwnLayer(NumpyLayer):
    """Runs the record's own methods, which see images in the order of axes that torch has too."""

    def forward(self, x: Array, training: bool) -> Array:
        self.x = _channels_first(x)
        self.y = np.asarray(self.layer.forward(self.x, self.arrays))
        return np.ascontiguousarray(self.y.transpose(1, 2, 3, 0), x.dtype)

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        dx, self.gradients = self.layer.backward(_channels_first(g), self.x, self.y, self.arrays)
        return np.ascontiguousarray(np.asarray(dx).transpose(1, 2, 3, 0), g.dtype)


def _channels_first(images: Array) -> Array:
    """A view that cannot be written to: a neighbour may have stored the array for its own backward pass."""
    view = images.transpose(3, 0, 1, 2)
    view.flags.writeable = False
    return view


def problem(entry: LayerWithInput) -> str:
    """What is wrong with the layer's methods, tried on two images of noise in float64; "" if nothing."""
    layer: Any = entry.layer
    if not callable(getattr(layer, "backward", None)):
        return "has no backward(self, g, x, y, arrays), without which the numpy engine cannot train it"
    specs, rng = layer.parameters(entry.input), np.random.default_rng(0)
    arrays = {name: rng.normal(spec.mean, spec.deviation or 0.5, spec.shape) for name, spec in specs.items()}
    x = rng.standard_normal((2, *entry.input))
    read_only = x.copy()
    read_only.flags.writeable = False
    y, expected = layer.forward(read_only, arrays), (2, *layer.output_shape(entry.input))
    if not isinstance(y, np.ndarray) or y.shape != expected:
        return f"forward gives {_form(y)} for {_form(x)}; expected {_form(np.empty(expected))}"
    g = rng.standard_normal(expected)
    answer = layer.backward(g, read_only, y, arrays)
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
        return "backward has to return two things: dL/dx, and a dict of dL/d of each parameter, {} if there is none"
    trained = [name for name, spec in specs.items() if spec.trainable]
    if answer[1].keys() != set(trained):
        return f"backward gives gradients of {_names(answer[1])}; expected those of {_names(trained)}"
    for name, value, slope in [("x", x, answer[0]), *((name, arrays[name], answer[1][name]) for name in trained)]:
        if np.shape(slope) != value.shape:
            return f"backward gives {_form(slope)} as the gradient of {name}; expected {_form(value)}"
        if not _is_slope(layer, x, arrays, value, g, slope, rng, DOUBLE if y.dtype == np.float64 else SINGLE):
            return f"backward gives a gradient of {name} that is not the slope of forward, found by small changes"
    return ""


def _names(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "no parameter"


def _is_slope(
    layer: Any,
    x: Array,
    arrays: dict[str, Array],
    value: Array,
    g: Array,
    gradient: Any,
    rng: np.random.Generator,
    difference: Difference,
) -> bool:
    """Whether dL/dvalue, for L = sum of g y, agrees with the change of L along a random direction in `value`."""
    direction, losses = rng.standard_normal(value.shape), []
    direction *= rng.permutation(value.size).reshape(value.shape) < difference.numbers
    for step in (difference.step, -difference.step):
        value += step * direction
        losses.append(float((layer.forward(x.copy(), arrays) * g).sum()))
        value -= step * direction
    measured, claimed = (losses[0] - losses[1]) / (2 * difference.step), float((np.asarray(gradient) * direction).sum())
    scale = float(np.abs(np.asarray(gradient) * direction).sum()) + abs(measured) + difference.step
    return bool(np.isfinite(claimed)) and abs(measured - claimed) <= difference.tolerance * scale


def _form(value: Any) -> str:
    return f"{type(value).__name__} {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
