"""One architecture before any training: built, and its facts known, whatever it is made of."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef
from runner.errors import PluginError
from runner.files.content_hash import canonical
from runner.network.analysis import Analysis, analyse
from runner.network.base import Shape
from runner.network.graph import Network
from runner.text import yaml_value


def examine(catalog: Catalog, ref: ComponentRef, shape: Shape, classes: int) -> tuple[Analysis, Any]:
    """The facts of the bound architecture `ref` for images of `shape`, and what identifies the network, as plain data.

    Raises RunnerError where it does not work out.
    """
    built = _built(catalog, ref, shape, classes)
    if isinstance(built, Network):
        return analyse(built, shape, classes, strict=bool(ref.parameters.get("strict"))), canonical(built)
    entry = catalog.find("architecture", ref.name)
    if not is_module(built):
        raise PluginError(f"architecture {ref} of {entry.source} builds {yaml_value(repr(built))}, which is no network")
    from runner.engines.torch_engine.module_facts import measure

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
    if "torch" not in sys.modules:
        if find_spec("torch") is None:
            return catalog.build("architecture", ref, *arguments)
        watch: Any = _Watch()
        sys.meta_path.insert(0, watch)
        try:
            return catalog.build("architecture", ref, *arguments)
        except _TorchWanted:
            pass
        finally:
            sys.meta_path.remove(watch)
    import torch  # noqa: TID253 (only where a plugin has it, or wants it)

    with torch.device("meta"):
        return catalog.build("architecture", ref, *arguments)


class _TorchWanted(BaseException):
    """A plugin's function imports torch; no ImportError, which it might take for a machine without it."""


class _Watch:
    """A finder of modules that finds none, and tells when torch is looked for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            raise _TorchWanted
