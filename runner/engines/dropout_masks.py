"""What dropout leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runner.seeding import Key, stream


class DropoutMasks:
    """What dropout leaves out: drawn by NumPy for each layer by its path, so that all engines leave out the same."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys
        self.begin(0)

    def begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._streams: dict[str, np.random.Generator] = {}

    def state(self) -> dict[str, Any]:
        """How far each layer's stream of this epoch has come."""
        return {path: drawn.bit_generator.state for path, drawn in self._streams.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for path, drawn in state.items():
            self._stream(path).bit_generator.state = drawn

    def draw(self, path: str, shape: tuple[int, ...], rate: float) -> np.ndarray:
        """0 with probability `rate`, else 1 / (1 - rate): float32 of `shape` (N, H, W, C)."""
        kept = self._stream(path).random(shape, dtype=np.float32) >= rate
        return kept.astype(np.float32) / np.float32(1 - rate)

    def _stream(self, path: str) -> np.random.Generator:
        if path not in self._streams:
            self._streams[path] = stream("dropout", *self._keys, self._epoch, path)
        return self._streams[path]
