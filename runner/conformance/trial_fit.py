"""A fit of one step on eight images, by which a network of layer records is tried."""

from __future__ import annotations

from typing import Any

import numpy as np

from runner.components.records import ComponentRef
from runner.conformance.arrays import IMAGES
from runner.engines.base import BuiltFit
from runner.fits.records import FitSpec, TrainingPlan
from runner.network.base import Shape
from runner.network.graph import Network


def trial_fit(network: Network, rule: Any, engine: str, shape: Shape, classes: int, fold: int = 0) -> BuiltFit:
    """A fit of `network` that takes one step on eight images of `shape` (C, H, W), and is validated on four of them.

    It is not of the first repeat, whose first fit is inspected layer by layer.
    """
    nothing = ComponentRef("none")
    spec = FitSpec(
        id="trial", cell="trial", repeat=1, fold=fold, seed=0, data="", shape=shape, classes=classes,
        architecture=nothing, augmentation=(), optimizer=nothing,
        training=TrainingPlan(1, IMAGES, engine, "cpu", "float32"),
        train=np.arange(IMAGES), validation=np.arange(IMAGES // 2),
    )  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8)
    return BuiltFit(spec, network, (), rule, images, np.arange(IMAGES) % classes)
