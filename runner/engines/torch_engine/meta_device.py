"""Building networks on torch's meta device, where a module has shapes but no numbers; imports torch only if needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    try:
        with torch.device("meta"):
            return build()
    except Exception as error:
        if not _needs_numbers(error):
            raise
    with _parameters_on_meta():
        return build()


def _needs_numbers(error: BaseException | None) -> bool:
    """Whether a constructor asked for the value of a number, which the meta device does not have."""
    # torch has no exception type for this, only these words.
    return error is not None and ("meta tensor" in str(error) or _needs_numbers(error.__cause__))


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Within it, tensors have numbers, but what becomes a parameter of a module moves to the meta device at once.

    For constructors that compute sizes with tensors, as those of RegNet. At no time does more than one parameter take
    memory.
    """
    from torch import nn
    from torch.nn.parameter import is_lazy

    register = nn.Module.register_parameter

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        # One that is there already stays the same object: it may be tied to another.
        if param is not None and param.device.type != "meta" and not is_lazy(param):
            param = nn.Parameter(param.to("meta"), requires_grad=param.requires_grad)
        register(self, name, param)

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


class _TorchImported(BaseException):
    """Raised when `build` imports torch.

    Not an ImportError, nor any Exception: `build` may catch those to do without torch.
    """


class _TorchImportHook:
    """An import hook that raises _TorchImported for torch and leaves all other modules to the usual finders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            raise _TorchImported
