"""One architecture before any training: built, and its facts known, whatever it is made of."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from runner.catalog import Catalog
from runner.components import ComponentRef, Shape
from runner.errors import PluginError
from runner.identity import canonical
from runner.network.analysis import Analysis, analyse
from runner.network.graph import Network
from runner.validation import show


def examine(catalog: Catalog, ref: ComponentRef, shape: Shape, classes: int) -> tuple[Analysis, Any]:
    """The facts of the bound architecture `ref` for images of `shape`, and what identifies the network, as plain data.

    Raises RunnerError where it does not work out.
    """
    with _without_memory():
        built = catalog.build("architecture", ref, shape, classes)
    if isinstance(built, Network):
        return analyse(built, shape, classes, strict=bool(ref.parameters.get("strict"))), canonical(built)
    if not is_module(built):
        source = catalog.find("architecture", ref.name).source
        raise PluginError(f"architecture {ref} of {source} builds {show(repr(built))}, which is no network")
    from runner.engines.torch_engine.measure import measure

    # Layer records say all that they compute; of a module only its code does.
    code = catalog.find("architecture", ref.name).version
    return measure(built, shape, classes), {"module": repr(built), "code": code, **ref.plain()}


def is_module(built: Any) -> bool:
    """Whether an architecture built a `torch.nn.Module`; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(built, torch.nn.Module)


def _without_memory() -> AbstractContextManager[Any]:
    """Tensors on the meta device, which has shapes and no numbers, if a plugin has torch loaded."""
    torch = sys.modules.get("torch")
    return torch.device("meta") if torch is not None else nullcontext()
