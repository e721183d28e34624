"""A whole network forward and backward: chains of parts, and the places where branches part and meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.numpy_engine import layers, normalisation, spatial
from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.reordering import cheaper
from runner.network.analysis import merged_shape, output_of
from runner.network.base import Layer, Shape
from runner.network.graph import Branching, Concat, Network, Residual, join
from runner.network.layers import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    Sigmoid,
    Tanh,
)

_PARTS: dict[type[Layer], type[NumpyLayer]] = {
    Conv: spatial.Convolution,
    MaxPool: spatial.MaxPooling,
    AvgPool: spatial.AveragePooling,
    GlobalAvgPool: spatial.GlobalAveragePooling,
    GlobalMaxPool: spatial.GlobalMaxPooling,
    PadChannels: spatial.ChannelPadding,
    Flatten: layers.Flattening,
    Dense: layers.Dense,
    BatchNorm: normalisation.BatchNormalisation,
    LocalResponseNorm: normalisation.ResponseNormalisation,
    ReLU: layers.Rectifier,
    Sigmoid: layers.Sigmoid,
    Tanh: layers.Tanh,
    GELU: layers.GaussianUnit,
}


class Chain:
    """Parts one after another. `storage` is the type in which values wait between them; they compute in `compute`."""

    def __init__(self, links: list[tuple[str, NumpyLayer | Branches]], storage: type, compute: type) -> None:
        self.links, self.storage, self.compute = links, storage, compute

    def forward(self, x: Array, training: bool = False) -> Array:
        for _, part in self.links:
            x = part.forward(x, training).astype(self.storage, copy=False).astype(self.compute, copy=False)
        return x

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        """The gradient in the input, if it is `wanted`; each part is left with its parameters' gradients."""
        for index in reversed(range(len(self.links))):
            result = self.links[index][1].backward(g, wanted or index > 0)
            if result is None:
                return None
            g = result
        return g

    def named_parts(self) -> Iterator[tuple[str, NumpyLayer]]:
        for path, link in self.links:
            if isinstance(link, NumpyLayer):
                yield path, link
            else:
                for branch in link.branches:
                    yield from branch.named_parts()


class Branches:
    """Chains fed the same input, so that its gradient is the sum of theirs."""

    def __init__(self, branches: list[Chain]) -> None:
        self.branches = branches

    def forward(self, x: Array, training: bool) -> Array:
        return self.meet([branch.forward(x, training) for branch in self.branches])

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        ends = [branch.backward(part, wanted) for branch, part in zip(self.branches, self.part(g), strict=True)]
        given = [end for end in ends if end is not None]
        return sum(given[1:], given[0]) if given else None

    def meet(self, outputs: list[Array]) -> Array:
        raise NotImplementedError

    def part(self, g: Array) -> list[Array]:
        """The gradient in each branch's output."""
        raise NotImplementedError


class SumBranches(Branches):
    """d(a + b)/da = 1: each branch gets the whole gradient."""

    def meet(self, outputs: list[Array]) -> Array:
        return outputs[0] + outputs[1]

    def part(self, g: Array) -> list[Array]:
        return [g, g]


class ConcatBranches(Branches):
    """Each branch gets the gradient of its own channels."""

    def meet(self, outputs: list[Array]) -> Array:
        self.ends = np.cumsum([output.shape[3] for output in outputs])[:-1]
        return np.concatenate(outputs, axis=3)

    def part(self, g: Array) -> list[Array]:
        return np.split(g, self.ends, axis=3)


def build(
    network: Network,
    shape: Shape,
    values: Mapping[str, Array],
    masks: DropoutMasks | None = None,
    storage: type = np.float32,
    compute: type = np.float32,
) -> Chain:
    """The network for images of `shape`; its arrays are copies of `values` (see `initial_values`) in `compute`."""
    masks = masks or DropoutMasks()

    def chain(network: Network, shape: Shape, prefix: str) -> tuple[Chain, Shape]:
        links: list[tuple[str, NumpyLayer | Branches]] = []
        for path, part in cheaper(network, prefix):
            if isinstance(part, Layer):
                links.append((path, layer(path, part, shape)))
                shape = output_of(path, part, shape)
            else:
                branches, shape = branching(part, shape, path)
                links.append((path, branches))
        return Chain(links, storage, compute), shape

    def branching(part: Branching, shape: Shape, path: str) -> tuple[Branches, Shape]:
        ends = [chain(branch, shape, join(path, segment)) for segment, branch in part.branches()]
        kind = {Residual: SumBranches, Concat: ConcatBranches}[type(part)]
        return kind([c for c, _ in ends]), merged_shape(path, part, [s for _, s in ends])

    def layer(path: str, record: Layer, shape: Shape) -> NumpyLayer:
        if isinstance(record, Dropout):
            return layers.DropoutLayer(record, path, masks)
        names = record.parameters(shape)
        return _PARTS[type(record)](record, {name: values[f"{path}.{name}"].astype(compute) for name in names})

    return chain(network, shape, "")[0]
