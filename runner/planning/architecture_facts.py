"""Analyses one architecture before any training, whether it builds layer records or a torch module."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from runner.components.catalog import Catalog
from runner.components.parameters import RegisteredComponent
from runner.components.records import ComponentRef
from runner.engines.torch_engine.meta_device import build_on_meta, is_module
from runner.errors import PluginError
from runner.files.content_hash import canonical
from runner.network.analysis import Analysis, analyse
from runner.network.base import Shape
from runner.network.graph import Network, has_own_layers
from runner.text import yaml_value


def examine(catalog: Catalog, ref: ComponentRef, shape: Shape, classes: int) -> tuple[Analysis, Any]:
    """The analysis of the bound architecture `ref` for images of `shape` [C, H, W], and the identity of its network.

    The identity is plain data for `content_hash`. Raises RunnerError if the architecture cannot be built or its layers
    do not fit the images.
    """
    entry = catalog.find("architecture", ref.name)

    def build() -> Any:
        return catalog.build("architecture", ref, shape, classes)

    with watched(entry, ref):
        built = build_on_meta(build)
    if isinstance(built, Network):
        # `strict` is read here, not by the plugin: it says what is allowed, and so is not part of the identity.
        strict = bool(ref.parameters.get("strict"))
        if entry.is_ours:
            analysis = analyse(built, shape, classes, strict=strict)
        else:
            analysis = _try_plugin(catalog, ref, shape, classes, built, strict)
        return analysis, identity_of(entry, built)
    if not is_module(built):
        found = yaml_value(repr(built))
        raise PluginError(f"architecture {ref} of {entry.source} builds {found}, which is not a network")
    # Layer records describe all that they compute. A module does not, so its identity includes the version of its code.
    identity = {
        "module": repr(built),
        "code": entry.version,
        "name": ref.name,
        "parameters": entry.build_arguments(ref.parameters),
    }
    return _try_plugin(catalog, ref, shape, classes, built), identity


def watched(entry: RegisteredComponent, ref: ComponentRef) -> AbstractContextManager[None]:
    """A context in which a component is built; see `components.patience`."""
    if entry.is_ours:
        return nullcontext()
    from runner.components import patience  # not for built-in components

    return patience.watched(entry, ref)


def identity_of(entry: RegisteredComponent, network: Network) -> Any:
    """The identity of a network of layers, as plain data, that the component `entry` has built."""
    # Built-in layers describe all that they compute; of a plugin's own only its code does.
    return {"layers": canonical(network), "code": entry.version} if has_own_layers(network) else canonical(network)


def _try_plugin(
    catalog: Catalog, ref: ComponentRef, shape: Shape, classes: int, built: Any, strict: bool = False
) -> Analysis:
    """The analysis of what an architecture of a plugin builds, which is tried too. Raises PluginError for a fault."""
    # Rarely needed, and only a module needs torch, which takes seconds to import.
    from runner.conformance.architectures import examine_module, examine_network
    from runner.conformance.probes import undisturbed
    from runner.conformance.subject import Fault, Subject

    subject = Subject(catalog, "architecture", ref, "torch" if is_module(built) else "numpy", shape, classes)
    try:
        with undisturbed(subject), subject.only_faults():
            if isinstance(built, Network):
                return examine_network(subject, built, strict)
            analysis = examine_module(subject, built)
            return replace(analysis, warnings=(*analysis.warnings, *subject.notes))
    except Fault as fault:
        raise PluginError(str(fault)) from fault
