"""A whole network in NumPy: chains of layers, and the branches of residuals, concatenations and gates.

Shapes and notation as in `layers`: x input, y output, g = dL/dy; images are (C, H, W, N).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.numpy_engine import activations, layers, normalisation, resampling, spatial
from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.numpy_engine.own_layer import OwnLayer
from runner.engines.reordering import pool_before_relu
from runner.network import layers as records
from runner.network.analysis import layer_output_shape, merged_shape
from runner.network.base import Layer, Shape, is_own
from runner.network.graph import Branching, Concat, Group, Multiply, Network, Residual, join

_LAYERS: dict[type[Layer], type[NumpyLayer]] = {
    records.Conv: spatial.Convolution,
    records.ConvTranspose: resampling.TransposedConvolution,
    records.MaxPool: spatial.MaxPooling,
    records.AvgPool: spatial.AveragePooling,
    records.AdaptiveAvgPool: resampling.Resampling,
    records.Upsample: resampling.Resampling,
    records.GlobalAvgPool: spatial.GlobalAveragePooling,
    records.GlobalMaxPool: spatial.GlobalMaxPooling,
    records.PadChannels: spatial.ChannelPadding,
    records.Flatten: layers.Flatten,
    records.Dense: layers.Dense,
    records.BatchNorm: normalisation.BatchNormalisation,
    records.GroupNorm: normalisation.GroupNormalisation,
    records.InstanceNorm: normalisation.InstanceNormalisation,
    records.LayerNorm2d: normalisation.LayerNormalisation,
    records.LayerScale: normalisation.LayerScaling,
    records.LocalResponseNorm: normalisation.LocalResponseNormalisation,
    records.ReLU: layers.ReLU,
    records.ReLU6: activations.ReLU6,
    records.LeakyReLU: activations.LeakyReLU,
    records.ELU: activations.ELU,
    records.SiLU: activations.SiLU,
    records.Sigmoid: layers.Sigmoid,
    records.Hardsigmoid: activations.Hardsigmoid,
    records.Hardswish: activations.Hardswish,
    records.Tanh: layers.Tanh,
    records.GELU: layers.GELU,
}


class Chain:
    """Layers and branches one after another, by path.

    Forward:  x goes through the links in order. After each, values are rounded to the type `storage`, as if stored in
    it, and converted back to `compute`, the type of all computation.
    Backward: the chain rule, link by link from the last to the first.
    """

    def __init__(self, links: list[tuple[str, NumpyLayer | Branches]], storage: type, compute: type) -> None:
        self.links, self.storage, self.compute = links, storage, compute

    def forward(self, x: Array, training: bool = False) -> Array:
        # No link changes its x or its g in place: a neighbour may have stored that very array for its backward pass.
        # If both types are equal, copy=False makes the two conversions free.
        for _, link in self.links:
            x = link.forward(x, training).astype(self.storage, copy=False).astype(self.compute, copy=False)
        return x

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        """dL/dx, or None without `need_dx`; the gradients of the parameters are left in the layers."""
        # Unlike x, g is not rounded to `storage`: in float16 everything below 3e-8 would become 0.
        for index in reversed(range(len(self.links))):
            # All links but the first need dL/dx: it is the g of the link before.
            dx = self.links[index][1].backward(g, need_dx or index > 0)
            # Only the first link may return None, and no other is left to run.
            if dx is None:
                return None
            g = dx
        return g

    def named_layers(self) -> Iterator[tuple[str, NumpyLayer]]:
        """Every layer with its path, those in branches as well."""
        for path, link in self.links:
            if isinstance(link, NumpyLayer):
                yield path, link
            else:
                for branch in link.branches:
                    yield from branch.named_layers()


class Branches:
    """Chains with the same input x, whose outputs are merged into one y.

    Backward: x reaches L through every branch, so dL/dx is the sum of what each branch returns.
    """

    def __init__(self, branches: list[Chain]) -> None:
        self.branches = branches

    def forward(self, x: Array, training: bool) -> Array:
        return self.merge([branch.forward(x, training) for branch in self.branches])

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradients = self.split_gradient(g)
        all_dx = [branch.backward(own, need_dx) for branch, own in zip(self.branches, gradients, strict=True)]
        # Without `need_dx` a convolution returns None and an identity does not. Their sum is then not dL/dx, but nobody
        # uses it: the links that need dL/dx come after the first.
        given = [dx for dx in all_dx if dx is not None]
        return sum(given[1:], given[0]) if given else None

    def merge(self, outputs: list[Array]) -> Array:
        """y from the branches' outputs."""
        raise NotImplementedError

    def split_gradient(self, g: Array) -> list[Array]:
        """The gradient of L with respect to each branch's output."""
        raise NotImplementedError


class SumBranches(Branches):
    """A residual: y = a + b, with a the output of its layers and b that of its shortcut.

    Shapes: a, b, y and g (C, H, W, N).
    Backward: dy/da = dy/db = 1, so each branch gets the whole g.
    Source: He et al. 2016, "Deep residual learning for image recognition", section 3.2.
    """

    def merge(self, outputs: list[Array]) -> Array:
        return outputs[0] + outputs[1]

    def split_gradient(self, g: Array) -> list[Array]:
        return [g, g]


class ConcatBranches(Branches):
    """A concatenation: y holds the channels of all branches, in their order.

    Shapes: the output of branch i (C_i, H, W, N); y and g (sum of C_i, H, W, N).
    Backward: each branch gets the part of g that belongs to its own channels.
    Source: Szegedy et al. 2015, "Going deeper with convolutions", section 4.
    """

    def merge(self, outputs: list[Array]) -> Array:
        # np.split takes the positions between the parts, so the end of the last one is left out.
        self.ends = np.cumsum([len(output) for output in outputs])[:-1]
        return np.concatenate(outputs)

    def split_gradient(self, g: Array) -> list[Array]:
        return np.split(g, self.ends)


class MultiplyBranches(Branches):
    """A gate: y = x a, with x the input and a the output of the layers, broadcast where it has a side of 1.

    Shapes: x, y and g (C, H, W, N); a (C or 1, H or 1, W or 1, N).
    Backward: dy/dx = a along this branch, so x gets g a; a gets g x, summed over the values of x that share a value of
    a. That x is the input of the gate too is the sum over branches.
    Source: Hu et al. 2018, "Squeeze-and-excitation networks", equation 4.
    """

    def merge(self, outputs: list[Array]) -> Array:
        self.gate, self.x = outputs
        return self.x * self.gate

    def split_gradient(self, g: Array) -> list[Array]:
        shared = tuple(axis for axis in (0, 1, 2) if self.gate.shape[axis] == 1)
        return [(g * self.x).sum(shared, keepdims=True), g * self.gate]


_BRANCHES: dict[type[Group], type[Branches]] = {
    Residual: SumBranches,
    Concat: ConcatBranches,
    Multiply: MultiplyBranches,
}


def build(
    network: Network,
    shape: Shape,
    values: Mapping[str, Array],
    masks: DropoutMasks | None = None,
    storage: type = np.float32,
    compute: type = np.float32,
) -> Chain:
    """The network for images of `shape` (C, H, W), ready to run.

    Its arrays are copies of `values` (see `initial_values`) in the type `compute`; see `Chain` for `storage`.
    """
    masks = masks or DropoutMasks()

    def chain(network: Network, shape: Shape, prefix: str) -> tuple[Chain, Shape]:
        links: list[tuple[str, NumpyLayer | Branches]] = []
        for path, part in pool_before_relu(network, prefix):
            if isinstance(part, Layer):
                links.append((path, layer(path, part, shape)))
                shape = layer_output_shape(path, part, shape)
            else:
                branches, shape = branching(part, shape, path)
                links.append((path, branches))
        return Chain(links, storage, compute), shape

    def branching(part: Branching, shape: Shape, path: str) -> tuple[Branches, Shape]:
        built = [chain(branch, shape, join(path, segment)) for segment, branch in part.branches()]
        kind = next(_BRANCHES[base] for base in type(part).__mro__ if base in _BRANCHES)
        return kind([c for c, _ in built]), merged_shape(path, part, [s for _, s in built])

    def layer(path: str, record: Layer, shape: Shape) -> NumpyLayer:
        if isinstance(record, records.RandomMask):
            return layers.RandomMasking(record, path, masks)
        names = record.parameters(shape)
        kind = OwnLayer if is_own(record) else _LAYERS[type(record)]
        # astype copies, so that training does not change the caller's `values`.
        return kind(record, {name: values[f"{path}.{name}"].astype(compute) for name in names})

    return chain(network, shape, "")[0]
