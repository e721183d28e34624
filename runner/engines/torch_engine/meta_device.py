"""Building on torch's meta device, where a module has shapes and holds no numbers. torch is imported only if needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def is_module(built: Any) -> bool:
    """Whether an architecture built a `torch.nn.Module`; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(built, torch.nn.Module)


def build_on_meta(build: Callable[[], Any]) -> Any:
    """What `build` returns, any module in it on the meta device.

    A `build` that imports torch itself is stopped there and called again with that device set.
    """
    if "torch" not in sys.modules:
        if find_spec("torch") is None:
            return build()
        watch: Any = _TorchWatch()
        sys.meta_path.insert(0, watch)
        try:
            return build()
        except _TorchWanted:
            pass
        finally:
            sys.meta_path.remove(watch)
    import torch

    with torch.device("meta"):
        return build()


class _TorchWanted(BaseException):
    """`build` imports torch. Not an ImportError, which `build` might take for a machine without torch."""


class _TorchWatch:
    """A finder of modules that finds none, and raises when torch is looked for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            raise _TorchWanted
