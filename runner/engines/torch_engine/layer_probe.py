"""Looking at a module's layers at work: what each gives, and the seconds that each takes."""

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


def label(module: nn.Module, path: str, kind: str) -> None:
    """Note which layer of the network the module is."""
    setattr(module, LABEL, (path, kind))


def layers(module: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """By path, type and module of every layer; of a plugin's own module, those without parts of their own."""
    labelled = {m_path: (kind, m) for m in module.modules() for m_path, kind in [getattr(m, LABEL, ("", ""))] if kind}
    leaves = ((path, m) for path, m in module.named_modules() if not list(m.children()))
    return labelled or {path: (type(m).__name__, m) for path, m in leaves}


def first_filters(module: nn.Module) -> np.ndarray | None:
    """A copy of the first two-dimensional convolution's weights (out, in, height, width), of a module of one fit."""
    found: Any = next((m for m in module.modules() if isinstance(m, (nn.Conv2d, Conv))), None)
    return None if found is None else found.weight.detach().flatten(0, -4).float().cpu().contiguous().numpy().copy()


def outputs(module: nn.Module, run: Callable[[], Any]) -> dict[str, tuple[str, np.ndarray]]:
    """By path, type and output of every layer that `run` makes the module use once, in the order of work."""
    seen: dict[str, tuple[str, np.ndarray]] = {}

    def watch(path: str, kind: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                # A copy, as the layer behind may write over it.
                seen[path] = kind, output.detach().float().cpu().contiguous().numpy().copy()

        return hook

    hooks = [m.register_forward_hook(watch(path, kind)) for path, (kind, m) in layers(module).items()]
    with _removed(hooks):
        run()
    return seen


def seconds(module: nn.Module, run: Callable[[], Any], device: torch.device) -> dict[str, tuple[float, float]]:
    """By path, the seconds forward and backward of every layer while `run` goes through both.

    Backward, a layer's time begins when the gradient reaches its output and ends when one reaches the next.
    """
    forward: dict[str, float] = defaultdict(float)
    reached: list[tuple[float, str]] = []

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def before(path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            forward[path] -= now()

        return hook

    def after(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            forward[path] += now()
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(lambda _: reached.append((now(), path)))  # type: ignore[no-untyped-call]

        return hook

    found = layers(module).items()
    hooks = [m.register_forward_pre_hook(before(path)) for path, (_, m) in found]
    hooks += [m.register_forward_hook(after(path)) for path, (_, m) in found]
    with _removed(hooks):
        run()
    backward: dict[str, float] = defaultdict(float)
    ends = [*(moment for moment, _ in reached[1:]), now()]
    for (start, path), end in zip(reached, ends, strict=False):
        backward[path] += end - start
    return {path: (forward[path], backward[path]) for path in forward}


@contextmanager
def _removed(hooks: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
