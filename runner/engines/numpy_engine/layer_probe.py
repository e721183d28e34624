"""Outputs and times of the layers of a network while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.numpy_engine.network import Branches, Chain


class ProbedLayer(NumpyLayer):
    """Runs the layer that it stands for, stores a copy of its last output, and adds up its seconds."""

    def __init__(self, path: str, probed: NumpyLayer) -> None:
        super().__init__(probed.layer, probed.arrays)
        self.path, self.probed = path, probed
        self.forward_seconds = self.backward_seconds = 0.0

    def forward(self, x: Array, training: bool) -> Array:
        start = time.perf_counter()
        output = self.probed.forward(x, training)
        self.forward_seconds += time.perf_counter() - start
        self.output = output.copy()  # after the clock, so that the copy does not count
        return output

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        start = time.perf_counter()
        result = self.probed.backward(g, need_dx)
        self.backward_seconds += time.perf_counter() - start
        return result


@contextmanager
def probe_layers(network: Chain) -> Iterator[list[ProbedLayer]]:
    """A context in which every layer of the network is probed; gives the probes, in the order in which layers run."""
    chains = list(_chains(network))
    before = [list(chain.links) for chain in chains]
    probes: list[ProbedLayer] = []
    for chain in chains:
        chain.links = [(path, _wrap(path, link, probes)) for path, link in chain.links]
    try:
        yield probes
    finally:
        for chain, links in zip(chains, before, strict=True):
            chain.links = links


def _wrap(path: str, link: NumpyLayer | Branches, probes: list[ProbedLayer]) -> NumpyLayer | Branches:
    # Branches are not layers; the layers in them are wrapped with their own chains.
    if isinstance(link, Branches):
        return link
    probes.append(ProbedLayer(path, link))
    return probes[-1]


def _chains(network: Chain) -> Iterator[Chain]:
    """The network itself and the chains of all its branches, however deep."""
    yield network
    for _, link in network.links:
        for branch in link.branches if isinstance(link, Branches) else ():
            yield from _chains(branch)
