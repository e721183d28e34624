"""A network as plain data and back, so that it can be rebuilt without the plugin that described it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from runner.errors import ShapeError
from runner.network import layers
from runner.network.base import Layer
from runner.network.graph import Concat, Group, Multiply, Network, Residual, Sequential, has_own_layers

DEEPEST = 200
"""Groups within groups. Deeper data is no network of ours, and would overflow the stack."""
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (*vars(layers).values(), Sequential, Residual, Concat, Multiply)
    if isinstance(kind, type) and issubclass(kind, (Layer, Group)) and hasattr(kind, "type")
}


def describe(network: Network) -> dict[str, Any] | None:
    """The network as mappings, lists and scalars; the name of each record's class is under "".

    With every field, unlike `content_hash.canonical`: a default may be another one in a later version. None if there
    is a layer of a plugin's own in it, as only the plugin can build that again.
    """
    return None if has_own_layers(network) else _describe(network)


def _describe(network: Network) -> dict[str, Any]:
    # A plugin's class of groups adds nothing but its way to be made.
    kind = {"": next(base.__name__ for base in type(network).__mro__ if base in _KINDS.values())}
    if isinstance(network, Layer):
        # `strict` says what is allowed and not what is computed, as in a fit's id.
        values = {f.name: getattr(network, f.name) for f in fields(network) if f.metadata.get("identity", True)}  # type: ignore[arg-type]
        return kind | {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    inner = {"layers": [_describe(layer) for layer in network.layers], "name": network.name}
    return kind | inner | ({"shortcut": _describe(network.shortcut)} if isinstance(network, Residual) else {})


def parse(content: Any, depth: int = 0) -> Network:
    """The inverse of `describe`; raises ValueError for anything that it does not return."""
    if depth > DEEPEST or not isinstance(content, Mapping):
        raise ValueError("not the description of a network" + " (too deep)" * (depth > DEEPEST))
    kind = _KINDS.get(str(content.get("")))
    values = {key: value for key, value in content.items() if key != ""}
    if kind is None:
        raise ValueError(f"unknown layer {str(content.get(''))[:40]!r}")
    try:
        if issubclass(kind, Layer):
            return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
        inner = [parse(layer, depth + 1) for layer in values.pop("layers")]
        if "shortcut" in values:
            values["shortcut"] = parse(values["shortcut"], depth + 1)
        return kind(*inner, **values)  # type: ignore[no-any-return]
    except (TypeError, KeyError, ShapeError) as error:
        raise ValueError(f"not the description of a network: {error}") from None
