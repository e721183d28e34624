"""The cost of a plugin's own module, measured on torch's meta device: shapes flow, no number is computed or stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from runner.engines.torch_engine.tracing import receptive_field
from runner.errors import ShapeError
from runner.network.analysis import Analysis, LayerFacts
from runner.network.base import Shape


def measure(module: nn.Module, shape: Shape, classes: int) -> Analysis:
    """The facts of `module` for images of `shape`; raises ShapeError where it does not run or gives other scores.

    Multiply-adds are torch's own count of floating-point operations (convolutions and matrix products), halved. Of a
    module whose course depends on the numbers in its images only the parameters are known.
    """
    module = module.to("meta").eval()
    if any(is_lazy(array) for array in (*module.parameters(), *module.buffers())):
        raise ShapeError("the module has lazy parameters, whose shapes are not known; give them their sizes")
    calls: list[tuple[str, nn.Module, Tensor]] = []
    leaves = [(path, part) for path, part in module.named_modules() if _is_leaf(part)]
    hooks = [part.register_forward_hook(_noting(calls, path)) for path, part in leaves]
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            output = _run(module, shape)
    except _Unmeasurable:
        return Analysis(shape, tuple(_rest(module, (classes,), 0, [])), None, costed=False)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or tuple(output.shape) != (1, classes):
        found = "x".join(map(str, output.shape[1:])) if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(f"the module's output is {found}, not one number for each of {classes} classes")
    counts: Any = counter.get_flop_counts()
    macs = {path: sum(counts.get(f"{type(module).__name__}.{path}", {}).values()) // 2 for path, _, _ in calls}
    layers = _layers(calls, macs)
    rest = _rest(module, tuple(output.shape[1:]), counter.get_total_flops() // 2, layers)
    return Analysis(shape, (*layers, *rest), receptive_field(module, shape))


class _Unmeasurable(Exception):
    """The module asked for a number, of which the meta device has none."""


def _run(module: nn.Module, shape: Shape) -> Any:
    try:
        return module(torch.zeros(1, *shape, device="meta"))
    except Exception as error:
        words = " ".join(str(error).split())
        if "meta tensor" in words:
            raise _Unmeasurable from error
        # Whatever a stranger's forward raises, it does not run on these images.
        raise ShapeError(f"the module does not run on {'x'.join(map(str, shape))} images: {words}") from error


def _is_leaf(part: nn.Module) -> bool:
    return not any(True for _ in part.children())


def _noting(calls: list[tuple[str, nn.Module, Tensor]], path: str) -> Callable[..., None]:
    def note(part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append((path, part, output))

    return note


def _layers(calls: list[tuple[str, nn.Module, Tensor]], macs: dict[str, int]) -> list[LayerFacts]:
    """A row a call; what a module has or does is counted at its first call."""
    seen: set[str] = set()
    rows = []
    for path, part, output in calls:
        first = path not in seen
        seen.add(path)
        size = tuple(output.shape[1:])
        rows.append(
            LayerFacts(
                path.replace(".", "/"), type(part).__name__, _shape(size),
                parameters=_trained(part) if first else 0,
                not_trained=_not_trained(part) if first else 0,
                macs=macs[path] if first else 0,
                activations=math.prod(size),
            )
        )  # fmt: skip
    return rows


def _trained(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _not_trained(module: nn.Module) -> int:
    """Frozen parameters, and buffers but for single numbers, such as torch's count of batches."""
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    return frozen + sum(b.numel() for b in module.buffers() if b.dim())


def _rest(module: nn.Module, output: tuple[int, ...], macs: int, layers: list[LayerFacts]) -> list[LayerFacts]:
    """What happens between the modules, as one row, so that the rows sum up to the whole."""
    trained = _trained(module) - sum(layer.parameters for layer in layers)
    frozen = _not_trained(module) - sum(layer.not_trained for layer in layers)
    macs -= sum(layer.macs for layer in layers)
    if not trained and not frozen and not macs:
        return []
    name = "(outside of modules)" if layers else "(the module)"
    return [LayerFacts(name, type(module).__name__, _shape(output), trained, macs, not_trained=frozen)]


def _shape(size: tuple[int, ...]) -> Shape:
    """Any size as (channels, height, width)."""
    channels, height, width = (*size, 1, 1)[:3] if len(size) <= 3 else (math.prod(size[:-2]), *size[-2:])
    return channels, height, width
