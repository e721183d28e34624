"""The receptive field of a plugin's own module, if torch.fx can trace it and the window of every operation is known."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from runner.network.base import Pair, Shape, Window, pads_of, pair
from runner.network.receptive_field import ReceptiveField, image_field, merge_fields

# Batch normalisation is among them because a module is traced in evaluation mode. Group and instance normalisation are,
# as in `network.analysis`: statistics over all positions scale what the layers before have found at each of them.
_POINTWISE = {
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "SiLU",
    "GELU",
    "Sigmoid",
    "Tanh",
    "Hardswish",
    "Softplus",
    "Mish",
    "PReLU",
    "Identity",
    "Dropout",
    "Dropout2d",
    "BatchNorm2d",
    "LocalResponseNorm",
    "Hardsigmoid",
    "GroupNorm",
    "InstanceNorm2d",
    "relu",
    "relu_",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "dropout",
    "batch_norm",
    "contiguous",
}
"""Modules, functions and methods whose output at a position depends on the input at that position alone."""
_CONCATENATING = {"cat", "concat"}
_SCALING = {"mul", "imul"}
"""Products: a factor that has mixed all positions is a gate, which `network.analysis` leaves out as well."""
_COMBINING = {"add", "iadd", "sub", "mul", "imul", "maximum"} | _CONCATENATING
_MIXING = {"Linear", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "adaptive_avg_pool2d", "LayerNorm"}
"""Operations whose output depends on the input at all positions."""
_RESHAPING = {"Flatten", "flatten", "reshape", "view", "mean", "amax"}
"""Operations that mix all positions if they leave one or none; otherwise what they do to positions is unknown."""


_FUNCTIONS = (torch, nn.functional, operator)
"""Where the functions are whose names are known."""


class _Signal(NamedTuple):
    field: ReceptiveField
    mixed: bool = False


class _UnknownOperation(Exception):
    """An operation whose window is not known."""


def receptive_field(module: nn.Module, shape: Shape) -> Pair | None:
    """(height, width) in pixels up to where all positions are mixed, for images of `shape`; None if it is unknown."""
    try:
        traced = fx.symbolic_trace(module)
        ShapeProp(traced).propagate(torch.zeros(1, *shape, device="meta"))
        signals: dict[fx.Node, Any] = {}
        for node in traced.graph.nodes:
            signals[node] = _output_signal(node, traced, signals, shape)
            if node.op == "output":
                return signals[node].field.size  # type: ignore[no-any-return]
    except Exception:
        # Tracing runs a third-party forward with stand-ins for tensors, so anything may be raised.
        return None
    return None


def _output_signal(node: fx.Node, traced: fx.GraphModule, signals: dict[fx.Node, Any], shape: Shape) -> _Signal | None:
    if node.op == "placeholder":
        return _Signal(image_field(*shape[1:]))
    inputs = [signals[source] for source in node.all_input_nodes if isinstance(signals[source], _Signal)]
    if not inputs:
        return None  # independent of the image, such as a parameter or a number
    part = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    name = type(part).__name__ if part is not None else getattr(node.target, "__name__", str(node.target))
    if node.op == "call_function" and not any(getattr(space, name, None) is node.target for space in _FUNCTIONS):
        raise _UnknownOperation(name)  # of somebody else's, whatever its name is
    size = _output_size(node)
    if name in _SCALING:
        inputs = [signal for signal in inputs if not signal.mixed] or inputs
    # First, because nothing that follows a mixing operation changes the field.
    if any(signal.mixed for signal in inputs) or name in _MIXING or (name in _RESHAPING and size[2:] in ((), (1, 1))):
        return _Signal(_largest(inputs), mixed=True)
    first: _Signal = inputs[0]
    # One input of a sum or product: the others do not depend on the image, and leave its field as it is.
    if name in _POINTWISE or node.op == "output" or (name in _COMBINING - _CONCATENATING and len(inputs) == 1):
        return first
    if name in _COMBINING and _positions_align(node, name, size):
        return _Signal(merge_fields(signal.field for signal in inputs))
    if isinstance(part, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return _Signal(first.field.through(_window(part), (size[2], size[3])))
    raise _UnknownOperation(name)


def _output_size(node: fx.Node) -> tuple[int, ...]:
    metadata = node.meta.get("tensor_meta")
    return tuple(metadata.shape) if isinstance(metadata, TensorMetadata) else ()


def _positions_align(node: fx.Node, name: str, size: tuple[int, ...]) -> bool:
    """Whether the output at a position depends on all inputs at that same position.

    All must have the same height and width, and a concatenation must be along the channels.
    """
    # `dim` is the second argument or a keyword; torch's default is 0. A negative dim is not recognised: the field is
    # then unknown, never wrong.
    if name in _CONCATENATING and (*node.args, node.kwargs.get("dim"))[1] != 1:
        return False
    return all(other[2:] == size[2:] for other in map(_output_size, node.all_input_nodes) if len(other) == 4)


def _largest(signals: list[_Signal]) -> ReceptiveField:
    return max((signal.field for signal in signals), key=lambda field: field.size)


def _window(part: Any) -> Window:
    """The window of a convolution or pooling, with dilation."""
    size, stride, dilation = (pair(getattr(part, name, 1)) for name in ("kernel_size", "stride", "dilation"))
    height, width = (d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))
    rows, columns = pads_of(part.padding, size, dilation)
    return Window((height, width), stride, (rows[0], columns[0]))
