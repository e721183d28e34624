"""The built-in architectures since 2016, narrow, train a step on both engines, which agree on it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from engine_fits import LEARNERS, built_fit
from zoo import build

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.training_loop import train

NARROW: list[tuple[str, dict[str, Any]]] = [
    ("convnext", {"patch": 1, "width": 2, "layer_scale": 0.5, "stochastic_depth": 0.3}),
    ("mobilenet_v2", {"alpha": 0.1, "stem": "small"}),
    ("efficientnet_b0", {"width": 0.1, "depth": 0.3, "stochastic_depth": 0.5, "stem": "small"}),
    ("squeezenet", {"width": 8, "stem": "small"}),
    ("squeezenet", {"width": 8, "stem": "small", "version": "v1.1"}),
    ("resnext50", {"width": 2, "cardinality": 2, "base_width": 1, "stem": "small"}),
    ("resnext_cifar", {"width": 2, "cardinality": 2, "base_width": 2}),
    ("wide_resnet50", {"width": 2, "stem": "small"}),
    ("wide_resnet_cifar", {"depth": 16, "width": 2, "widen": 2, "dropout": 0.3}),
    ("se_resnet50", {"width": 2, "reduction": 2, "stem": "small"}),
    ("se_resnext50", {"width": 2, "reduction": 2, "cardinality": 2, "base_width": 1, "stem": "small"}),
    ("se_resnet18", {"width": 2, "reduction": 2, "stem": "small"}),
    ("se_resnet_cifar", {"width": 4, "reduction": 2}),
]


def one_step(name: str, options: dict[str, Any]) -> BuiltFit:
    """A fit of one batch of 8 images of 8x8, in float64."""
    fit = built_fit(epochs=1, precision="float64", network=build(name, (2, 8, 8), **options))
    return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, train=np.arange(8)))


@pytest.mark.parametrize(("name", "options"), NARROW, ids=[name for name, _ in NARROW])
def test_both_engines_take_the_same_step(name: str, options: dict[str, Any]) -> None:
    """The loss of a batch, and those of other images with the parameters and running statistics after it."""
    fit = one_step(name, options)
    curves = {}
    for engine, learner in LEARNERS.items():
        (outcome,) = train([fit], learner)
        assert isinstance(outcome, TrainedFit), outcome
        curves[engine] = outcome.curves
    assert curves["numpy"].keys() == curves["torch"].keys() > {"train_loss", "val_loss"}
    for curve, values in curves["numpy"].items():
        assert np.isfinite(values).all()
        assert values == pytest.approx(curves["torch"][curve], rel=1e-9)
