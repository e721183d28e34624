"""Looking at a network's parts at work: what each gives, and the seconds that each takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.numpy_engine.network import Branches, Chain


class ProbedLayer(NumpyLayer):
    """A part in its place that notes its last output and adds up its seconds."""

    def __init__(self, path: str, part: NumpyLayer) -> None:
        super().__init__(part.layer, part.arrays)
        self.path, self.part = path, part
        self.forward_seconds = self.backward_seconds = 0.0

    def forward(self, x: Array, training: bool) -> Array:
        start = time.perf_counter()
        output = self.part.forward(x, training)
        self.forward_seconds += time.perf_counter() - start
        self.output = output.copy()
        return output

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        start = time.perf_counter()
        result = self.part.backward(g, wanted)
        self.backward_seconds += time.perf_counter() - start
        return result


@contextmanager
def watched(network: Chain) -> Iterator[list[ProbedLayer]]:
    """Within it, every part of the network is watched; the list is in the order of work."""
    chains = list(_chains(network))
    before = [list(chain.links) for chain in chains]
    found: list[ProbedLayer] = []
    for chain in chains:
        chain.links = [(path, _watch(path, link, found)) for path, link in chain.links]
    try:
        yield found
    finally:
        for chain, links in zip(chains, before, strict=True):
            chain.links = links


def _watch(path: str, link: NumpyLayer | Branches, found: list[ProbedLayer]) -> NumpyLayer | Branches:
    if isinstance(link, Branches):
        return link
    found.append(ProbedLayer(path, link))
    return found[-1]


def _chains(network: Chain) -> Iterator[Chain]:
    yield network
    for _, link in network.links:
        for branch in link.branches if isinstance(link, Branches) else ():
            yield from _chains(branch)
