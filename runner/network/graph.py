"""How layers are combined into a network, the path of each layer, and the walk that every analysis and engine uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from runner.errors import ShapeError
from runner.network.base import Layer, Shape, is_own, refuse_untyped

Signal = TypeVar("Signal")


_MERGING = ("branches", "output_shape", "gates")
"""What says how a group's branches become one signal; each engine computes it in its own way."""


def _refuse_own_merging(kind: type[Group]) -> None:
    """Raise ShapeError for a group of a plugin's own that merges in a way of its own, which no engine knows."""
    ours = next(base for base in kind.__mro__ if base.__module__ == __name__)
    if ours is Group or any(getattr(kind, name, None) is not getattr(ours, name, None) for name in _MERGING):
        raise ShapeError(
            f"{kind.__name__}: groups are Sequential, Residual, Concat and Multiply; to combine signals in another way"
            " write a Layer, or return a torch.nn.Module"
        )


@dataclass(frozen=True, init=False)
class Group:
    """Layers and groups under one `name`, which is a segment of their paths; "" for the type and a number."""

    type: ClassVar[str]
    gates: ClassVar[bool] = False
    """Whether a branch that has mixed all positions only scales what the others say."""
    layers: tuple[Network, ...]
    name: str

    def __init__(self, *layers: Network, name: str = "") -> None:
        _refuse_own_merging(type(self))
        for layer in layers:
            if not isinstance(layer, (Layer, Group)):
                raise ShapeError(f"a network is built of layers and groups, but {layer!r} is neither")
            if isinstance(layer, Layer):
                refuse_untyped(layer)
        if not isinstance(name, str) or "/" in name:
            raise ShapeError(f"a group's name is {name!r}; allowed: text without '/', the separator of paths")
        # The dataclass is frozen, and its generated __init__ would not take *layers.
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "name", name)


class Sequential(Group):
    """Layers and groups, one after another. Without any it is the identity."""

    type: ClassVar[str] = "group"


IDENTITY = Sequential()


@dataclass(frozen=True, init=False)
class Residual(Group):
    """The sum of two branches with the same input: its layers, one after another, and `shortcut` (He et al. 2016).

    The shortcut is the identity by default. Others are a 1x1 convolution, with batch normalisation, as a projection,
    or :class:`PadChannels`, which has no parameters.
    """

    type: ClassVar[str] = "residual"
    shortcut: Network

    def __init__(self, *layers: Network, shortcut: Network = IDENTITY, name: str = "") -> None:
        super().__init__(*layers, name=name)
        if not isinstance(shortcut, (Layer, Group)):
            raise ShapeError(f"a shortcut is a layer or a group, but {shortcut!r} is neither")
        # Its layers would have the paths of the shortcut's, and so share the names of their arrays.
        if any(isinstance(layer, Group) and layer.name == "shortcut" for layer in layers):
            raise ShapeError("'shortcut' is the name of a residual's other branch; give the group another name")
        object.__setattr__(self, "shortcut", shortcut)

    def branches(self) -> list[tuple[str, Network]]:
        """The path segment and the network of each branch."""
        return [("", Sequential(*self.layers)), ("shortcut", self.shortcut)]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of the sum, from those of the two branches; raises ShapeError if they differ."""
        body, shortcut = (_shape_text(shape) for shape in shapes)
        if body != shortcut:
            raise ShapeError(f"the layers output {body} and the shortcut {shortcut}; a sum needs equal shapes")
        return shapes[0]


class Concat(Group):
    """The concatenated channels of branches with the same input (Szegedy et al. 2015)."""

    type: ClassVar[str] = "concat"

    def branches(self) -> list[tuple[str, Network]]:
        """The path segment and the network of each branch."""
        return list(children(self))

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The output's shape, from those of the branches; raises ShapeError if heights or widths differ."""
        if len({shape[1:] for shape in shapes}) != 1:
            outputs = ", ".join(map(_shape_text, shapes)) or "nothing"
            raise ShapeError(f"the branches output {outputs}; they need equal heights and widths")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


class Multiply(Group):
    """The input times the output of the layers: a gate, as in squeeze-and-excitation (Hu et al. 2018).

    That output may have a single channel, row or column for all of the input's: one number per channel behind global
    pooling, or one per position (Woo et al. 2018, "CBAM", section 3).
    """

    type: ClassVar[str] = "multiply"
    gates: ClassVar[bool] = True

    def branches(self) -> list[tuple[str, Network]]:
        """The path segment and the network of each branch: the gate, and the input itself."""
        return [("", Sequential(*self.layers)), ("", IDENTITY)]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The input's shape; raises ShapeError if that of the gate cannot be broadcast to it."""
        gate, whole = shapes
        if any(own not in (1, size) for own, size in zip(gate, whole, strict=True)):
            found = f"the layers output {_shape_text(gate)} for an input of {_shape_text(whole)}"
            raise ShapeError(f"{found}; a product needs equal sizes, or 1")
        return whole


Network = Layer | Group
"""A network is a tree of these records, and so is each part of it."""
Branching = Residual | Concat | Multiply
"""The groups whose parts are branches with the same input, instead of following one another."""


def has_own_layers(network: Network) -> bool:
    """Whether a plugin brings a layer of the network itself."""
    if isinstance(network, Layer):
        return is_own(network)
    inner = [*network.layers, *([network.shortcut] if isinstance(network, Residual) else [])]
    return any(map(has_own_layers, inner))


def children(group: Group) -> Iterator[tuple[str, Network]]:
    """Each part with its path segment: its name, or its type and its number among those of the type, ``conv2``."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    for part in group.layers:
        base = part.name if isinstance(part, Group) and part.name else part.type
        named = isinstance(part, Group) and part.name not in ("", *taken)
        seen[base] += 1
        segment = base if named else f"{base}{seen[base]}"
        while segment in taken:  # a group may be named as if it were numbered: stage, stage, stage2
            seen[base] += 1
            segment = f"{base}{seen[base]}"
        taken.add(segment)
        yield segment, part


def steps(network: Network, path: str = "") -> Iterator[tuple[str, Layer | Branching]]:
    """The network as one chain: the paths and records of its layers and branching groups, sequences flattened."""
    if not isinstance(network, Sequential):
        assert isinstance(network, (Layer, Residual, Concat, Multiply))
        yield path or network.type, network  # a network of one layer has no group that numbers it
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
    """Pass `signal` through the network and return what comes out: a fold over the tree, in order of computation.

    `visit(path, layer, signal)` returns the signal after a layer; `merge(path, group, signals)` that after a group
    whose branches have ended with `signals`. Shapes, receptive fields and the costs of a network are such folds.
    """
    for path, part in steps(network, prefix):
        if isinstance(part, Layer):
            signal = visit(path, part, signal)
        else:
            # All branches get the same signal, so `visit` must return a new one instead of changing it.
            ends = [walk(branch, signal, visit, merge, join(path, segment)) for segment, branch in part.branches()]
            signal = merge(path, part, ends)
    return signal


def join(path: str, segment: str) -> str:
    """``path/segment``; either may be empty."""
    return "/".join(filter(None, (path, segment)))


def _shape_text(shape: Shape) -> str:
    return "x".join(map(str, shape))
