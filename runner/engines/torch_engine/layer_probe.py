"""Hooks into the layers of a torch module: what each layer outputs, and how many seconds it takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner.engines.torch_engine.layers import Conv

LABEL = "archrunner_layer"


def label_layer(module: nn.Module, path: str, kind: str) -> None:
    """Record on the module which layer of the network it is, by path and type."""
    setattr(module, LABEL, (path, kind))


def layer_path(name: str) -> str:
    """The path of the submodule that torch names so, ``features.0``, as in networks of our own: ``features/0``."""
    return name.replace(".", "/") or "(the module)"


def layers_by_path(module: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """The type and the module of every layer, by path.

    A plugin's own module has no labels; its layers are the submodules without children, named as `describe` does.
    """
    labelled = {m_path: (kind, m) for m in module.modules() for m_path, kind in [getattr(m, LABEL, ("", ""))] if kind}
    leaves = ((layer_path(path), m) for path, m in module.named_modules() if not list(m.children()))
    return labelled or {path: (type(m).__name__, m) for path, m in leaves}


def first_filters(module: nn.Module) -> np.ndarray | None:
    """A copy of the first 2D convolution's weights (out, in, height, width) in a module of one fit, if it has one."""
    conv: Any = next((m for m in module.modules() if isinstance(m, (nn.Conv2d, Conv))), None)
    # Our own Conv has an axis of fits in front, which has length 1 here.
    return None if conv is None else conv.weight.detach().flatten(0, -4).float().cpu().contiguous().numpy().copy()


def layer_outputs(module: nn.Module, run: Callable[[], Any]) -> dict[str, tuple[str, np.ndarray]]:
    """The type and the output of every layer that `run` uses, by path and in the order of execution.

    If a layer is used several times, the last output counts.
    """
    outputs: dict[str, tuple[str, np.ndarray]] = {}

    def record(path: str, kind: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                # A copy, as the next layer may work in place.
                # float() because NumPy has no bfloat16.
                outputs[path] = kind, output.detach().float().cpu().contiguous().numpy().copy()

        return hook

    hooks = [m.register_forward_hook(record(path, kind)) for path, (kind, m) in layers_by_path(module).items()]
    with _removing(hooks):
        run()
    return outputs


def layer_seconds(module: nn.Module, run: Callable[[], Any], device: torch.device) -> dict[str, tuple[float, float]]:
    """The seconds that every layer takes forward and backward, by path, while `run` does one pass of each.

    A layer's backward time starts when the gradient reaches its output, and ends when a gradient reaches the output of
    the next one.
    """
    forward: dict[str, float] = defaultdict(float)
    reached: list[tuple[float, str]] = []

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # kernels run asynchronously
        return time.perf_counter()

    def start(path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            # Minus the start, and below plus the end: the calls of a layer that is used twice add up.
            forward[path] -= now()

        return hook

    def stop(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            forward[path] += now()
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(lambda _: reached.append((now(), path)))  # type: ignore[no-untyped-call]

        return hook

    layers = layers_by_path(module).items()
    hooks = [m.register_forward_pre_hook(start(path)) for path, (_, m) in layers]
    hooks += [m.register_forward_hook(stop(path)) for path, (_, m) in layers]
    with _removing(hooks):
        run()
    backward: dict[str, float] = defaultdict(float)
    ends = [*(moment for moment, _ in reached[1:]), now()]
    for (begin, path), end in zip(reached, ends, strict=False):
        backward[path] += end - begin
    return {path: (forward[path], backward[path]) for path in forward}


@contextmanager
def _removing(hooks: list[Any]) -> Iterator[None]:
    """Remove the hooks at the end, also if there is an error."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
