"""Masks of dropout and of stochastic depth, drawn by NumPy for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runner.seeding import Key, stream


class DropoutMasks:
    """The random masks of one fit, with one random stream per epoch and layer path.

    NumPy draws them for all engines, so every engine drops the same values.
    """

    def __init__(self, *keys: Key) -> None:
        self._keys = keys
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        # The epoch is a key of every stream, so a checkpoint needs the states of this epoch alone.
        self._epoch = epoch
        self._streams: dict[str, np.random.Generator] = {}

    def state(self) -> dict[str, Any]:
        """The generator state of each layer that has drawn in this epoch, by path."""
        return {path: generator.bit_generator.state for path, generator in self._streams.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of the same epoch."""
        for path, generator_state in state.items():
            self._stream(path).bit_generator.state = generator_state

    def rewind(self, state: Mapping[str, Any]) -> None:
        """Draw again what was drawn since a `state` of this epoch, also in layers that had drawn nothing then."""
        self.begin_epoch(self._epoch)
        self.restore(state)

    def draw(self, path: str, shape: tuple[int, ...], rate: float) -> np.ndarray:
        """A mask of `shape` (N, H, W, C), float32: 0 with probability `rate`, else 1 / (1 - rate).

        One that is shared by the values of an image has sides of 1. Dividing by 1 - rate leaves the expected value
        unchanged, so evaluation needs no scaling (Srivastava et al. 2014, section 10).
        """
        # In float32 whatever the precision of the fit, so that all precisions drop the same values.
        retained = self._stream(path).random(shape, dtype=np.float32) >= rate
        return retained.astype(np.float32) / np.float32(1 - rate)

    def _stream(self, path: str) -> np.random.Generator:
        # One stream per path, not one per fit: adding a layer then leaves the masks of all others as they were.
        if path not in self._streams:
            self._streams[path] = stream("dropout", *self._keys, self._epoch, path)
        return self._streams[path]
