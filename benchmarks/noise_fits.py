"""Fits on images of random noise, for benchmarks that time an engine's training steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from runner.api import Shape
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit
from runner.fits.records import FitSpec, TrainingPlan

CLASSES = 10
SMALL = ComponentRef("stages")
"""conv 16 - pool - conv 32 - pool - dense."""


def noise_fit(
    engine: str, shape: Shape, batch: int, steps: int, network: ComponentRef = SMALL, *augmentation: ComponentRef
) -> BuiltFit:
    """A fit with SGD and momentum, of `steps` steps per epoch and more epochs than a benchmark will run."""
    catalog, rng, count = load_catalog(), np.random.default_rng(0), batch * steps

    def build(kind: str, ref: ComponentRef, *arguments: Any) -> Any:
        return catalog.build(kind, catalog.bind(kind, ref), *arguments)

    optimizer = ComponentRef("sgd", {"lr": 0.01, "momentum": 0.9})
    spec = FitSpec(
        id="", cell="", repeat=0, fold=0, seed=0, architecture=network, augmentation=augmentation, optimizer=optimizer,
        training=TrainingPlan(10**6, batch, engine, "cpu", "float32"), shape=shape, classes=CLASSES, data="",
        train=np.arange(count), validation=np.arange(count),
    )  # fmt: skip
    return BuiltFit(
        spec=spec,
        network=build("architecture", network, shape, CLASSES),
        transforms=tuple(build("augmentation", ref) for ref in augmentation),
        rule=build("optimizer", optimizer),
        images=rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        labels=rng.integers(0, CLASSES, count),
    )
