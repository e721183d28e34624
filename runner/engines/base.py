"""What an engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from runner.components.protocols import Transform, UpdateRule
from runner.engines.checkpoint import Checkpoint
from runner.fits.records import Curves, FitSpec
from runner.seeding import Key


@dataclass(frozen=True, eq=False)
class BuiltFit:
    """A fit with its components built and its data at hand.

    `network` is a tree of layer records, or a plugin's own `torch.nn.Module`. images (N, C, H, W) uint8 and labels
    (N,) are those of the whole data set; the fit's indices say which it may use. `test` are the held-out test images
    and labels, where they are to be measured after the last epoch. `checkpoint` keeps the state of the fit's group, if
    that is asked for: the first of a group has it.
    """

    spec: FitSpec
    network: Any
    transforms: tuple[Transform, ...]
    rule: UpdateRule
    images: np.ndarray
    labels: np.ndarray
    test: tuple[np.ndarray, np.ndarray] | None = None
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, eq=False)
class TrainedFit:
    """What a fit comes to: its curves, how often each class was taken for which (truth, predicted, count) in the
    validation part after the last epoch, and the arrays that are `kept` to look at (see `inspection`; most fits have
    none).
    """

    curves: Curves
    confusion: list[list[int]] = field(default_factory=list)
    kept: dict[str, np.ndarray] = field(default_factory=dict)


class Engine(Protocol):
    """Trains groups of fits. Deterministic: equal jobs give equal bits on one machine."""

    name: str

    def versions(self) -> dict[str, str]:
        """The library and its version, for the journal."""
        ...

    def seeded(self, *keys: Key) -> AbstractContextManager[None]:
        """Within it, what an architecture draws from the library's own random numbers depends on `keys` alone."""
        ...

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether `error` says that memory ran out, so that another attempt may succeed."""
        ...

    def fit(self, group: Sequence[BuiltFit]) -> Sequence[TrainedFit | Exception]:
        """Train the group together; for each job, in order, what it came to or the exception that ended it.

        The jobs are fits of one cell, whose networks have the same layers.
        """
        ...
