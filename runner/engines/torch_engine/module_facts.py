"""The cost of a plugin's own module, measured on torch's meta device: shapes propagate, no number is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from runner.engines.torch_engine.flop_formulas import FORMULAS
from runner.engines.torch_engine.layer_probe import layer_path
from runner.engines.torch_engine.tracing import receptive_field
from runner.errors import ShapeError
from runner.network.analysis import Analysis, LayerFacts
from runner.network.base import Shape

_IN_PLACE = (nn.ReLU, nn.ReLU6, nn.Flatten, nn.Identity)
"""Submodules whose output can take its input's memory, as of the layers that `Layer.in_place` marks."""
_Call = tuple[str, nn.Module, Tensor]
"""A call of a submodule without children: its path, the submodule, its output."""


def measure(module: nn.Module, shape: Shape, classes: int) -> Analysis:
    """The analysis of `module` for images of `shape` (C, H, W).

    The MACs are half of torch's own count of floating-point operations, which covers convolutions and matrix products;
    `flop_formulas` has those that it leaves out.
    If the module's control flow depends on the numbers in its images, only its parameters are known.

    Raises ShapeError if the module has lazy parameters, does not run on such images, or does not output scores
    (1, classes) for one image.
    """
    if name := next((name for name, array in module.named_parameters() if array.is_complex()), ""):
        cure = "give it a last axis of two real numbers, and use torch.view_as_complex in forward"
        raise ShapeError(f"the module has complex parameters ({name}), of which only the real part is trained; {cure}")
    # In evaluation mode, because in training batch normalisation refuses one image of one position.
    module = _to_meta(module)
    module.eval()
    if any(is_lazy(array) for array in (*module.parameters(), *module.buffers())):
        raise ShapeError(
            "the module has lazy parameters, whose shapes are unknown; give their sizes in the constructor"
        )
    calls: list[_Call] = []
    leaves = [(path, part) for path, part in module.named_modules() if _is_leaf(part)]
    hooks = [part.register_forward_hook(_recorder(calls, path)) for path, part in leaves]
    try:
        counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
        with _without_gradients(module), counter, torch.no_grad():
            output = _run(module, shape)
    except _DependsOnNumbers:
        return Analysis(shape, tuple(_remainder(module, (classes,), 0, [])), None, costed=False)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or tuple(output.shape) != (1, classes):
        actual = type(output).__name__
        if isinstance(output, Tensor):
            actual = "x".join(map(str, output.shape[1:])) or "a single number"
        raise ShapeError(f"the module's output is {actual}, not one number for each of {classes} classes")
    counts: Any = counter.get_flop_counts()
    # torch's counter names a submodule by the class of the whole module and its path. Two operations are one MAC.
    macs = {path: sum(counts.get(f"{type(module).__name__}.{path}", {}).values()) // 2 for path, _, _ in calls}
    layers = _layers(calls, macs)
    remainder = _remainder(module, tuple(output.shape[1:]), counter.get_total_flops() // 2, layers)
    with _attributes_restored(module):
        return Analysis(shape, (*layers, *remainder), receptive_field(module, shape))


@contextmanager
def _attributes_restored(module: nn.Module) -> Iterator[None]:
    """What the module keeps in attributes is as before: tracing runs it with proxies, one of which it may keep."""
    before = [(part, dict(vars(part))) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)


def _to_meta(module: nn.Module) -> nn.Module:
    """The module on the meta device, of float32 as in a fit, whatever it was built of.

    Parameters that several submodules share stay shared, which `to` alone undoes.
    """
    shared: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        shared.setdefault(id(parameter), []).append(name)
    module = module.to("meta", torch.float32)
    for first, *others in shared.values():
        for path, _, name in (other.rpartition(".") for other in others):
            setattr(module.get_submodule(path), name, module.get_parameter(first))
    return module


@contextmanager
def _without_gradients(module: nn.Module) -> Iterator[None]:
    """Within it, no parameter needs a gradient: torch's counter fails if a submodule gets a view of one."""
    trained = [array for array in module.parameters() if array.requires_grad]
    try:
        for array in trained:
            array.requires_grad_(False)
        yield
    finally:
        for array in trained:
            array.requires_grad_(True)


class _DependsOnNumbers(Exception):
    """The module asked for the value of a number, which the meta device does not have."""


def _run(module: nn.Module, shape: Shape) -> Any:
    try:
        return module(torch.zeros(1, *shape, device="meta"))
    except Exception as error:
        message = " ".join(str(error).split())
        # torch has no exception type for this, only these words.
        if "meta tensor" in message or "meta device type tensor" in message:
            raise _DependsOnNumbers from error
        # A third-party forward may raise anything; whatever it is, the module does not run on these images.
        raise ShapeError(f"the module does not run on {'x'.join(map(str, shape))} images: {message}") from error


def _is_leaf(part: nn.Module) -> bool:
    # Not any(part.children()): an empty nn.Sequential is a child, and false as a truth value.
    return not any(True for _ in part.children())


def _recorder(calls: list[_Call], path: str) -> Callable[..., None]:
    """A forward hook that adds each call of the submodule at `path` to `calls`."""

    def record(part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append((path, part, output))

    return record


def _layers(calls: list[_Call], macs: dict[str, int]) -> list[LayerFacts]:
    """One row per call. A submodule's MACs (over all its calls) are counted at its first call only.

    Each parameter and running statistic is counted where it is first used, also if several submodules share it.
    """
    seen: set[str] = set()
    counted: set[int] = set()
    rows = []
    for path, part, output in calls:
        first = path not in seen
        seen.add(path)
        # Of one image. What has no axis of images, or another one before it, keeps all its axes.
        size = tuple(output.shape[1:] if output.shape[:1] == (1,) else output.shape)
        rows.append(
            LayerFacts(
                layer_path(path), type(part).__name__, _as_shape(size),
                parameters=_trainable(part, counted),
                not_trained=_not_trainable(part, counted),
                macs=macs[path] if first else 0,
                activations=0 if isinstance(part, _IN_PLACE) else output.numel(),
            )
        )  # fmt: skip
        counted.update(id(array) for array in (*part.parameters(), *part.buffers()))
    return rows


def _trainable(module: nn.Module, counted: Collection[int] = ()) -> int:
    """The numbers in the trainable parameters, without those whose id is in `counted`."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad and id(p) not in counted)


def _not_trainable(module: nn.Module, counted: Collection[int] = ()) -> int:
    """The numbers in frozen parameters and in buffers, except scalars such as BatchNorm's num_batches_tracked."""
    arrays = [*(p for p in module.parameters() if not p.requires_grad), *(b for b in module.buffers() if b.dim())]
    return sum(array.numel() for array in arrays if id(array) not in counted)


def _remainder(module: nn.Module, output: tuple[int, ...], macs: int, layers: list[LayerFacts]) -> list[LayerFacts]:
    """What the rows of submodules lack of the module's totals, as at most one row, so that the rows sum to the totals.

    It is what the forward of a module with children does itself.
    """
    trainable = _trainable(module) - sum(layer.parameters for layer in layers)
    not_trainable = _not_trainable(module) - sum(layer.not_trained for layer in layers)
    macs -= sum(layer.macs or 0 for layer in layers)
    if not trainable and not not_trainable and not macs:
        return []
    name = "(outside of modules)" if layers else "(the module)"
    return [LayerFacts(name, type(module).__name__, _as_shape(output), trainable, macs, not_trained=not_trainable)]


def _as_shape(size: tuple[int, ...]) -> Shape:
    """A tensor's size without the batch axis as (channels, height, width); leading axes beyond three are multiplied."""
    channels, height, width = (*size, 1, 1, 1)[:3] if len(size) <= 3 else (math.prod(size[:-2]), *size[-2:])
    return channels, height, width
