"""Networks without normalisation, or whose class scores go through a ReLU: the first scores are small.

The first updates push large ones down, and what a ReLU then makes zero for all images gets no gradient: from He's
initial values, model A of All-CNN, base, stayed at chance with learning rates of 0.05 and 0.01.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from engine_fits import built_fit
from zoo import CIFAR, build

from runner.engines.torch_engine.learner import TorchLearner

NETWORKS = [("all_cnn", {"model": model, "variant": v}) for model in "ABC" for v in ("base", "convpool", "all_cnn")]


def first_loss(network):
    """The mean training loss of 16 random images before the first update: dropout is on."""
    fit = built_fit(network=network)
    images = np.random.default_rng(0).integers(0, 256, (60, *CIFAR), dtype=np.uint8)
    spec = replace(fit.spec, shape=CIFAR, classes=10)
    learner = TorchLearner([replace(fit, spec=spec, images=images, labels=np.arange(60) % 10, transforms=())])
    learner.step([np.arange(16)], [()])
    ((total, _),) = learner.training_totals()
    return total / 16


@pytest.mark.parametrize(("name", "options"), [*NETWORKS, ("squeezenet", {})], ids=str)
def test_the_first_loss_is_about_that_of_equal_scores(name, options):
    assert first_loss(build(name, CIFAR, **options)) == pytest.approx(math.log(10), abs=1.2)
