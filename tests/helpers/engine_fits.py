"""Fits on 40 random images, to be trained by either engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit
from runner.engines.numpy_engine.engine import NumpyEngine, NumpyLearner
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.learner import TorchLearner
from runner.engines.training_loop import train
from runner.fits.records import Curves, FitSpec, TrainingPlan
from runner.network.graph import Concat, Multiply, Network, Residual, Sequential
from runner.network.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    ReLU,
    ReLU6,
    SiLU,
    StochasticDepth,
    Tanh,
    Upsample,
)

LEARNERS: dict[str, Any] = {"torch": TorchLearner, "numpy": NumpyLearner}


ENGINES: dict[str, Any] = {"torch": TorchEngine, "numpy": NumpyEngine}


each_engine = pytest.mark.parametrize("engine", ["torch", "numpy"])


MIXED = Sequential(
    Residual(Conv(4, 3, bias=False), BatchNorm(), ReLU(), Dropout(0.25), Conv(2, 3)),
    Conv(4, 3, padding_mode="reflect"), ReLU(), MaxPool(2),
    Concat(Conv(2, 3, groups=2), AvgPool(3, 1, padding=1), Sequential(LocalResponseNorm(), GELU())),
    Tanh(), Flatten(), Dense(5, bias=False), BatchNorm(), ReLU(), Dropout(), Dense(3),
)  # fmt: skip


GATED = Sequential(
    Conv(4, 2, 2), LayerNorm2d(),
    Residual(Conv(4, 3, groups="depthwise"), GroupNorm(2), SiLU(), LayerScale(0.5), StochasticDepth(0.3)),
    Multiply(GlobalAvgPool(), Dense(2), ReLU6(), Dense(4), Hardsigmoid(), name="se"), Hardswish(),
    ConvTranspose(4, 3, 2, padding=1, groups=2), InstanceNorm(affine=True), LeakyReLU(0.1),
    Multiply(Conv(1, 3), Hardsigmoid()), Upsample(2, "bilinear"), AdaptiveAvgPool((3, 4)), ELU(), Flatten(), Dense(3),
)  # fmt: skip
"""The layers of newer networks."""


MOMENTUM = ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9})


OPTIMIZERS = [
    MOMENTUM,
    ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "schedule": "cosine"}),
    ComponentRef("adam", {"lr": 0.01}),
    ComponentRef("adam", {"lr": 0.01, "weight_decay": 0.1, "schedule": "cosine"}),
]


def built_fit(
    augmentation: str = "none",
    epochs: int = 2,
    precision: str = "float32",
    optimizer: ComponentRef = MOMENTUM,
    network: Network | None = None,
    **architecture: object,
) -> BuiltFit:
    """A fit on 40 random images in batches of 16, with 20 for validation; `architecture` are parameters of `stages`."""
    rng = np.random.default_rng(0)
    catalog = load_catalog()
    spec = FitSpec(
        id="a", cell="b", repeat=0, fold=1, seed=3, data="", shape=(2, 8, 8), classes=3,
        architecture=catalog.bind("architecture", ComponentRef("stages", {"width": 3, "stages": 1, **architecture})),
        augmentation=(ComponentRef(augmentation),), optimizer=catalog.bind("optimizer", optimizer),
        training=TrainingPlan(epochs, 16, "torch", "cpu", precision), train=np.arange(40), validation=np.arange(40, 60),
    )  # fmt: skip
    return BuiltFit(
        spec=spec,
        network=network or catalog.build("architecture", spec.architecture, spec.shape, spec.classes),
        transforms=(catalog.build("augmentation", catalog.bind("augmentation", ComponentRef(augmentation))),),
        rule=catalog.build("optimizer", spec.optimizer),
        options=catalog.rule_options(spec.optimizer),
        images=rng.integers(0, 256, (60, 2, 8, 8), dtype=np.uint8),
        labels=rng.integers(0, 3, 60),
    )


def train_curves(fit: BuiltFit, engine: str = "torch") -> Curves:
    """Train the fit and return its curves. Raises the exception that ended it, if any."""
    (outcome,) = train([fit], LEARNERS[engine])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.curves
