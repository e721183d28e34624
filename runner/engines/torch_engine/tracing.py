"""The receptive field of a plugin's own module, where torch.fx can trace it and every step is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from runner.network.base import Pair, Shape, Window, pads_of, pair
from runner.network.receptive_field import ReceptiveField, merged, of_image

_EACH = {
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
"""Modules, functions and methods that act on each position alone."""
_JOINING = {"cat", "concat"}
_MEETING = {"add", "iadd", "sub", "mul", "imul", "maximum"} | _JOINING
_MIXING = {"Linear", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "adaptive_avg_pool2d", "GroupNorm", "LayerNorm"}
_RESHAPING = {"Flatten", "flatten", "reshape", "view", "mean", "amax"}
"""What mixes all positions if it leaves none, and otherwise may do anything."""


class _Signal(NamedTuple):
    field: ReceptiveField
    mixed: bool = False


class _Unknown(Exception):
    """A step whose window is not known."""


def receptive_field(module: nn.Module, shape: Shape) -> Pair | None:
    """[height, width] before all positions are mixed; None where that can't be known."""
    try:
        traced = fx.symbolic_trace(module)
        ShapeProp(traced).propagate(torch.zeros(1, *shape, device="meta"))
        signals: dict[fx.Node, Any] = {}
        for node in traced.graph.nodes:
            signals[node] = _through(node, traced, signals, shape)
            if node.op == "output":
                return signals[node].field.size  # type: ignore[no-any-return]
    except Exception:
        # Tracing runs a stranger's forward with stand-ins for tensors: it may raise anything at all.
        return None
    return None


def _through(node: fx.Node, traced: fx.GraphModule, signals: dict[fx.Node, Any], shape: Shape) -> _Signal | None:
    if node.op == "placeholder":
        return _Signal(of_image(*shape[1:]))
    came = [signals[source] for source in node.all_input_nodes if isinstance(signals[source], _Signal)]
    if not came:
        return None  # a parameter, a number
    part = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    name = type(part).__name__ if part is not None else getattr(node.target, "__name__", str(node.target))
    size = _sizes(node)
    if any(signal.mixed for signal in came) or name in _MIXING or (name in _RESHAPING and size[2:] in ((), (1, 1))):
        return _Signal(_largest(came), mixed=True)
    first: _Signal = came[0]
    if name in _EACH or node.op == "output" or (name in _MEETING - _JOINING and len(came) == 1):
        return first
    if name in _MEETING and _meets_in_place(node, name, size):
        return _Signal(merged(signal.field for signal in came))
    if isinstance(part, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return _Signal(first.field.through(_window(part), (size[2], size[3])))
    raise _Unknown(name)


def _sizes(node: fx.Node) -> tuple[int, ...]:
    found = node.meta.get("tensor_meta")
    return tuple(found.shape) if isinstance(found, TensorMetadata) else ()


def _meets_in_place(node: fx.Node, name: str, size: tuple[int, ...]) -> bool:
    """Whether equal positions of all inputs meet: of one height and width, joined by channels at most."""
    if name in _JOINING and (*node.args, node.kwargs.get("dim"))[1] != 1:
        return False
    return all(other[2:] == size[2:] for other in map(_sizes, node.all_input_nodes) if len(other) == 4)


def _largest(came: list[_Signal]) -> ReceptiveField:
    return max((signal.field for signal in came), key=lambda f: f.size)


def _window(part: Any) -> Window:
    size, stride, dilation = (pair(getattr(part, name, 1)) for name in ("kernel_size", "stride", "dilation"))
    height, width = (d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))
    rows, columns = pads_of(part.padding, size, dilation)
    return Window((height, width), stride, (rows[0], columns[0]))
