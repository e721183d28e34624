"""Layers that a plugin brings itself: what is asked of them, and what is wrong if an answer is missing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.errors import RunnerError, ShapeError
from runner.network import layers
from runner.network.base import Layer, ParameterSpec, Shape, Window, refuse_untyped

OURS: dict[str, type[Layer]] = {
    kind.type: kind
    for kind in vars(layers).values()
    if isinstance(kind, type) and issubclass(kind, Layer) and hasattr(kind, "type")
}
"""The built-in layers by type."""


def check(path: str, layer: Layer, shape: Shape) -> None:
    """Raise ShapeError, which names the layer and the cure, unless it says all that it has to for such an input."""
    refuse_untyped(layer)
    problem = _declaration(type(layer))
    if problem:
        raise ShapeError(f"layer {path}: {type(layer).__name__} {problem}")
    with guarded(path, layer, "its shapes"):
        problem = _facts(layer, shape)
    if problem:
        raise ShapeError(f"layer {path}: {type(layer).__name__}.{problem}")


@contextmanager
def guarded(path: str, layer: Layer, what: str) -> Iterator[None]:
    """Turn whatever the layer's methods raise into a ShapeError that names the layer and the line."""
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        kind = type(layer)
        reason = " ".join(str(error).split())
        raise ShapeError(
            f"layer {path}: {kind.__name__} ({what}) raised {type(error).__name__}{_line(kind, error)}: {reason}"
        ) from error


def _line(kind: type, error: BaseException) -> str:
    """The innermost line of the class's file in the traceback, as `` at my_block.py:12``; "" if it is not in it."""
    try:
        file = inspect.getfile(kind)
    except (OSError, TypeError):
        return ""
    lines, trace = [], error.__traceback__
    while trace is not None:
        lines += [trace.tb_lineno] if trace.tb_frame.f_code.co_filename == file else []
        trace = trace.tb_next
    return f" at {file}:{lines[-1]}" if lines else ""


def _declaration(kind: type[Layer]) -> str:
    """What is wrong with the class, and what to write; "" if nothing."""
    base = next((ours for ours in kind.__mro__ if ours in OURS.values()), None)
    if base is not None:
        return f"extends {base.__name__}, which the engines would compute in its place; extend Layer or Pointwise"
    options: Any = vars(kind).get("__dataclass_params__")
    if options is None or not options.frozen:
        return "is no frozen dataclass, whose fields say what it is; write @dataclass(frozen=True) above the class"
    if kind.type in OURS:
        return f"has the type '{kind.type}' of {OURS[kind.type].__name__}; give it a name of its own"
    if not callable(getattr(kind, "forward", None)):
        return "has no forward(self, x, arrays), which computes its output"
    return ""


def _facts(layer: Layer, shape: Shape) -> str:
    """What is wrong with what the layer says of an input of `shape`; "" if nothing."""
    output = layer.output_shape(shape)
    if not _is_shape(output):
        return f"output_shape gives {output!r}; expected (channels, height, width), whole numbers of at least 1"
    arrays = layer.parameters(shape)
    if not isinstance(arrays, dict) or not all(isinstance(spec, ParameterSpec) for spec in arrays.values()):
        return f"parameters gives {arrays!r}; expected a ParameterSpec for each name"
    for name, spec in arrays.items():
        if not (isinstance(name, str) and name.isidentifier()) or hasattr(layer, name):
            return f"parameters has the name {name!r}; expected a Python name that no attribute of the layer has"
        if not isinstance(spec.shape, tuple) or not all(type(n) is int and n > 0 for n in spec.shape):
            return f"parameters gives '{name}' the shape {spec.shape!r}; expected a tuple of whole numbers"
    window, macs = layer.window(shape), layer.macs(shape)
    if not isinstance(window, Window | None):
        return f"window gives {window!r}; expected Window((height, width), ...), or nothing if it is unknown"
    if not (macs is None or (type(macs) is int and macs >= 0)):
        return f"macs gives {macs!r}; expected a whole number, or nothing if it is unknown"
    return ""


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(type(size) is int and size > 0 for size in value)
