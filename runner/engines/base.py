"""What every engine takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from runner.components.protocols import LossFunction, Transform, UpdateRule
from runner.components.rule_options import RuleOptions
from runner.engines.checkpoint import Checkpoint
from runner.engines.measuring import BuiltMetric
from runner.fits.preprocessing import Preprocessing
from runner.fits.records import Curves, FitSpec, Learned
from runner.network.analysis import LayerWithInput
from runner.seeding import Key


# eq=False: comparing arrays gives an array, not the truth value that a generated __eq__ needs.
@dataclass(frozen=True, eq=False)
class BuiltFit:
    """A fit with its components built and its data loaded.

    `network` is a tree of layer records, or a plugin's own `torch.nn.Module`. `images` (N, C, H, W) uint8 and `labels`
    (N,) hold the whole data set; `spec.train`, `spec.inner` and `spec.validation` index into them. `test` holds the
    images and labels of the held-out test part if the result is to be evaluated on it. `checkpoint` stores the
    state of the whole group, so only the first fit of a group has one. `options` say what is done around the rule.
    `loss` is None for the plain cross-entropy. `preprocessing`, if there is one, replaces the normalisation by channel.
    """

    spec: FitSpec
    network: Any
    transforms: tuple[Transform, ...]
    rule: UpdateRule
    images: np.ndarray
    labels: np.ndarray
    test: tuple[np.ndarray, np.ndarray] | None = None
    checkpoint: Checkpoint | None = None
    options: RuleOptions = RuleOptions()
    loss: LossFunction | None = None
    metrics: tuple[BuiltMetric, ...] = ()
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True, eq=False)
class TrainedFit:
    """The result of a fit that reached its last epoch, or stopped because its inner loss no longer fell.

    `best_epoch` is the epoch, from 1, whose parameters it has; 0 if it is the last because the fit could not stop.
    `answers` are those for the validation images with these parameters, from `fits.answers.pack`. `arrays` are those
    of `runner.engines.inspection`; most fits have none. `learned` is None unless the fit's `keep` asks for it, and
    `measures` and `test_answers` are those of `FitResult`.
    """

    curves: Curves
    answers: str = ""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    best_epoch: int = 0
    learned: Learned | None = None
    measures: dict[str, float] = field(default_factory=dict)
    test_answers: str = ""


class Trained(Protocol):
    """Networks that are trained already, of one group: what a saved fit answers with."""

    @property
    def module(self) -> Any:
        """The torch module or the NumPy network, of all fits of the group at once."""
        ...

    def subset(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> Any:
        """The images (N, C, H, W) and labels (N,) at each fit's indices, in the form that `shares` takes."""
        ...

    def shares(self, subset: Any) -> list[np.ndarray]:
        """For each fit the softmax (N, classes) of its scores, computed as in the evaluation after an epoch."""
        ...

    def inspectable(self, fit: int) -> Any:
        """The network of one fit of the group; see `runner.engines.inspection.Inspectable`."""
        ...


class Engine(Protocol):
    """Trains groups of fits. Deterministic: the same fits give the same bits on the same machine."""

    name: str

    def versions(self) -> dict[str, str]:
        """The version of each library that computes, for the journal."""
        ...

    def seeded(self, *keys: Key) -> AbstractContextManager[None]:
        """A context in which the library's own global random numbers depend on `keys` alone.

        Architectures are built in it: a plugin's own module draws its initial values from that global generator.
        """
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether memory ran out, so that another attempt may succeed."""
        ...

    def device_memory(self, device: str) -> dict[str, int]:
        """The `device_memory` and the `device_total` of a `FitResult` since the last call; none but on CUDA."""
        ...

    def fit(self, group: Sequence[BuiltFit]) -> Sequence[TrainedFit | Exception]:
        """Train the fits of a group together: fits of one cell, whose networks have the same layers.

        Returns one entry per fit, in order: its result, or the exception that ended it.
        """
        ...

    def layer_problem(self, entry: LayerWithInput) -> str:
        """What is wrong with a layer that a plugin brings itself, found by trying it; "" if nothing.

        Whatever its methods raise is passed on.
        """
        ...

    def computing(self) -> AbstractContextManager[None]:
        """A context with the settings under which equal numbers give equal bits; `fit` computes in it too."""
        ...

    def load(self, group: Sequence[BuiltFit], learned: Learned) -> Trained:
        """A group of fits, all of them with the parameters `learned`. Raises ValueError if these are not the network's.

        Nothing is read of the fits but their networks, shapes and settings.
        """
        ...
