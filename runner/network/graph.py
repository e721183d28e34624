"""How layers are put together, the path by which each is known, and the one walk behind every question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from runner.errors import ShapeError
from runner.network.base import Layer, Shape

Signal = TypeVar("Signal")


@dataclass(frozen=True, init=False)
class Group:
    """Parts of a network with a `name`, the group's own part of their paths ("" for its type and a number)."""

    type: ClassVar[str]
    layers: tuple[Network, ...]
    name: str

    def __init__(self, *layers: Network, name: str = "") -> None:
        for layer in layers:
            if not isinstance(layer, (Layer, Group)):
                raise ShapeError(f"a network is made of layers, but {layer!r} is none")
        if not isinstance(name, str) or "/" in name:
            raise ShapeError(f"a group's name is {name!r}; allowed: text without '/', which parts a path")
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "name", name)


class Sequential(Group):
    """Layers, or groups of them, one after another. Without any it is the identity."""

    type: ClassVar[str] = "group"


IDENTITY = Sequential()


@dataclass(frozen=True, init=False)
class Residual(Group):
    """The sum of its layers' output and its `shortcut`'s, both fed the same input (He et al. 2016).

    The shortcut is the identity unless another is given: a 1x1 convolution (with batch
    normalisation) to project, or :class:`PadChannels` for the one without parameters.
    """

    type: ClassVar[str] = "residual"
    shortcut: Network

    def __init__(self, *layers: Network, shortcut: Network = IDENTITY, name: str = "") -> None:
        super().__init__(*layers, name=name)
        if not isinstance(shortcut, (Layer, Group)):
            raise ShapeError(f"a shortcut is a network, but {shortcut!r} is none")
        if any(isinstance(layer, Group) and layer.name == "shortcut" for layer in layers):
            raise ShapeError("'shortcut' names a residual's other branch; call the group something else")
        object.__setattr__(self, "shortcut", shortcut)

    def branches(self) -> list[tuple[str, Network]]:
        return [("", Sequential(*self.layers)), ("shortcut", self.shortcut)]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of the sum; raises ShapeError where the two branches differ."""
        body, shortcut = (_words(shape) for shape in shapes)
        if body != shortcut:
            raise ShapeError(f"the layers give {body} and the shortcut {shortcut}; a sum needs equal shapes")
        return shapes[0]


class Concat(Group):
    """Branches fed the same input, their outputs' channels one after another (Szegedy et al. 2015)."""

    type: ClassVar[str] = "concat"

    def branches(self) -> list[tuple[str, Network]]:
        return list(children(self))

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The channels' sum; raises ShapeError where heights or widths differ, or there is no branch."""
        if len({shape[1:] for shape in shapes}) != 1:
            found = ", ".join(map(_words, shapes)) or "nothing"
            raise ShapeError(f"the branches give {found}; they need equal heights and widths")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


Network = Layer | Group
"""A whole network is a tree of the same records as its parts."""
Branching = Residual | Concat


def children(group: Group) -> Iterator[tuple[str, Network]]:
    """Each part with its path segment: its name, or its type and its number among its kind, such as ``conv2``."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    for part in group.layers:
        word = part.name if isinstance(part, Group) and part.name else part.type
        named = isinstance(part, Group) and part.name not in ("", *taken)
        seen[word] += 1
        segment = word if named else f"{word}{seen[word]}"
        while segment in taken:
            seen[word] += 1
            segment = f"{word}{seen[word]}"
        taken.add(segment)
        yield segment, part


def steps(network: Network, path: str = "") -> Iterator[tuple[str, Layer | Branching]]:
    """The network as one chain: its layers and branching groups with their paths, sequences taken apart."""
    if not isinstance(network, Sequential):
        assert isinstance(network, (Layer, Residual, Concat))
        yield path or network.type, network
        return
    for segment, part in children(network):
        yield from steps(part, join(path, segment))


def walk(
    network: Network,
    signal: Signal,
    visit: Callable[[str, Layer, Signal], Signal],
    merge: Callable[[str, Branching, list[Signal]], Signal],
    prefix: str = "",
) -> Signal:
    """Send `signal` through the network: `visit` at every layer, `merge` where branches meet; what comes out.

    Every question about a whole network is such a fold, with a signal of its own: shapes, fields, arrays.
    """
    for path, part in steps(network, prefix):
        if isinstance(part, Layer):
            signal = visit(path, part, signal)
        else:
            ends = [walk(branch, signal, visit, merge, join(path, segment)) for segment, branch in part.branches()]
            signal = merge(path, part, ends)
    return signal


def join(path: str, segment: str) -> str:
    return "/".join(filter(None, (path, segment)))


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
