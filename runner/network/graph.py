"""How layers are put together, and the path by which each is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from runner.errors import ShapeError
from runner.network.layers import Layer


@dataclass(frozen=True, init=False)
class Sequential:
    """Layers (or named groups of them) one after another; `name` is the group's part of its layers' paths."""

    type: ClassVar[str] = "group"
    layers: tuple[Network, ...]
    name: str

    def __init__(self, *layers: Network, name: str = "") -> None:
        for layer in layers:
            if not isinstance(layer, (Layer, Sequential)):
                raise ShapeError(f"a network is made of layers, but {layer!r} is none")
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "name", name)


Network = Layer | Sequential
"""A whole network is a tree of the same records as its parts."""


def children(group: Sequential) -> Iterator[tuple[str, Network]]:
    """Each part with its path segment: its name, or its type and its number among its kind, such as ``conv2``."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    for part in group.layers:
        word = part.name if isinstance(part, Sequential) and part.name else part.type
        named = isinstance(part, Sequential) and part.name not in ("", *taken)
        seen[word] += 1
        segment = word if named else f"{word}{seen[word]}"
        while segment in taken:
            seen[word] += 1
            segment = f"{word}{seen[word]}"
        taken.add(segment)
        yield segment, part


def join(path: str, segment: str) -> str:
    return f"{path}/{segment}" if path else segment
