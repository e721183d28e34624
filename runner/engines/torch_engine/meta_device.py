"""Building networks on torch's meta device, where a module has shapes but no numbers; imports torch only if needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def is_module(built: Any) -> bool:
    """Whether an architecture built a `torch.nn.Module`."""
    # Without torch there can be no module, so this check need not import it, which takes about a second.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(built, torch.nn.Module)


def build_on_meta(build: Callable[[], Any]) -> Any:
    """The result of `build`, with any module in it on the meta device.

    Most architectures build layer records and never import torch. If `build` imports torch itself, it is stopped at
    that point and called again with torch's default device set to meta.
    """
    if "torch" not in sys.modules:
        if find_spec("torch") is None:
            # `build` gets the usual ImportError, which it may catch to do without torch.
            return build()
        hook: Any = _TorchImportHook()
        sys.meta_path.insert(0, hook)
        try:
            return build()
        except _TorchImported:
            pass
        finally:
            sys.meta_path.remove(hook)
    import torch

    with torch.device("meta"):
        return build()


class _TorchImported(BaseException):
    """Raised when `build` imports torch.

    Not an ImportError, nor any Exception: `build` may catch those to do without torch.
    """


class _TorchImportHook:
    """An import hook that raises _TorchImported for torch and leaves all other modules to the usual finders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            raise _TorchImported
