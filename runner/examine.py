"""One architecture before any training: built, and its facts known, whatever it is made of."""

from __future__ import annotations

import sys
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
    built = _built(catalog, ref, shape, classes)
    if isinstance(built, Network):
        return analyse(built, shape, classes, strict=bool(ref.parameters.get("strict"))), canonical(built)
    entry = catalog.find("architecture", ref.name)
    if not is_module(built):
        raise PluginError(f"architecture {ref} of {entry.source} builds {show(repr(built))}, which is no network")
    from runner.engines.torch_engine.measure import measure

    # Layer records say all that they compute; of a module only its code does.
    identity = {"module": repr(built), "code": entry.version, "name": ref.name, "parameters": entry.own(ref.parameters)}
    return measure(built, shape, classes), identity


def is_module(built: Any) -> bool:
    """Whether an architecture built a `torch.nn.Module`; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(built, torch.nn.Module)


def _built(catalog: Catalog, ref: ComponentRef, *arguments: Any) -> Any:
    """The network, or a module on the meta device, which has shapes and holds no numbers.

    A function that imports torch itself is stopped there and called again with that device set.
    """
    loaded = "torch" in sys.modules
    if not loaded:
        sys.modules["torch"] = None  # type: ignore[assignment]  # so that importing it raises ImportError
        try:
            return catalog.build("architecture", ref, *arguments)
        except PluginError as error:
            if getattr(error.__cause__, "name", None) != "torch":
                raise
        finally:
            del sys.modules["torch"]
    try:
        import torch  # noqa: TID253 (here it is only set; what owns torch is the engine)
    except ImportError:
        return catalog.build("architecture", ref, *arguments)
    with torch.device("meta"):
        return catalog.build("architecture", ref, *arguments)
