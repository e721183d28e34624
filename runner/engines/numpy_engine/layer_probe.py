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
    probes: list[ProbedLayer] = []
    originals: list[tuple[Chain, list[tuple[str, NumpyLayer | Branches]]]] = []

    def probe(chain: Chain) -> None:
        originals.append((chain, list(chain.links)))
        for position, (path, link) in enumerate(chain.links):
            if isinstance(link, Branches):  # not a layer itself; the layers in it run before those behind it
                for branch in link.branches:
                    probe(branch)
            else:
                probes.append(ProbedLayer(path, link))
                chain.links[position] = path, probes[-1]

    probe(network)
    try:
        yield probes
    finally:
        for chain, links in originals:
            chain.links = links
