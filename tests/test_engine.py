"""The torch engine against torch written by hand, and what may not reach training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from runner.catalog import load_catalog
from runner.components import ComponentRef
from runner.engines.base import Job
from runner.engines.torch_engine.engine import TorchEngine, TorchLearner
from runner.engines.training import train
from runner.fit import Curves, FitSpec, TrainingPlan
from runner.network.parameters import initial_values
from runner.seeding import stream


def job(augmentation: str = "none", epochs: int = 2, precision: str = "float32", **architecture: object) -> Job:
    rng = np.random.default_rng(0)
    catalog = load_catalog()
    spec = FitSpec(
        id="a", cell="b", repeat=0, fold=1, seed=3, data="", shape=(2, 8, 8), classes=3,
        architecture=catalog.bind("architecture", ComponentRef("stages", {"width": 3, "stages": 1, **architecture})),
        augmentation=(ComponentRef(augmentation),), optimizer=ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9}),
        training=TrainingPlan(epochs, 16, "torch", "cpu", precision), train=np.arange(40), validation=np.arange(40, 60),
    )  # fmt: skip
    return Job(
        spec=spec,
        network=catalog.build("architecture", spec.architecture, spec.shape, spec.classes),
        transforms=(catalog.build("augmentation", catalog.bind("augmentation", ComponentRef(augmentation))),),
        rule=catalog.build("optimizer", catalog.bind("optimizer", spec.optimizer)),
        images=rng.integers(0, 256, (60, 2, 8, 8), dtype=np.uint8),
        labels=rng.integers(0, 3, 60),
    )


def fit(given: Job) -> Curves:
    """The curves of the fit on torch."""
    return train(given, TorchLearner(given))


def by_hand(given: Job) -> list[float]:
    """The training losses of the same fit, written with torch's own modules, optimizer and contiguous tensors."""
    images = torch.from_numpy(given.images[:40]).float() / 255
    mean = images.mean((0, 2, 3), keepdim=True)
    images = (images - mean) / images.std((0, 2, 3), keepdim=True, correction=0)
    labels = torch.from_numpy(given.labels[:40])
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(48, 3),
    )  # fmt: skip
    values = initial_values(given.network, (2, 8, 8), *given.spec.keys)
    with torch.no_grad():
        for parameter, key in zip(
            module.parameters(),
            ("stage1/conv1.weight", "stage1/conv1.bias", "dense1.weight", "dense1.bias"),
            strict=True,
        ):
            parameter.copy_(torch.from_numpy(values[key]))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for epoch in range(given.spec.training.epochs):
        total = 0.0
        for index in torch.from_numpy(stream("order", 3, 0, 1, epoch).permutation(40)).split(16):
            loss = torch.nn.functional.cross_entropy(module(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        losses.append(total / 40)
    return losses


def test_training_is_that_of_torch_written_by_hand() -> None:
    given = job()
    assert fit(given)["train_loss"] == pytest.approx(by_hand(given), rel=1e-5)


def test_nothing_of_the_validation_part_reaches_training() -> None:
    given = job()
    changed = given.images.copy()
    changed[40:] = 255 - changed[40:]
    other = fit(dataclasses.replace(given, images=changed))
    same = fit(given)
    assert other["train_loss"] == same["train_loss"] and other["val_loss"] != same["val_loss"]
    learners = [TorchLearner(dataclasses.replace(given, images=images)) for images in (given.images, changed)]
    assert torch.equal(*(learner.train_part.mean for learner in learners))
    assert torch.equal(*(learner.train_part.deviation for learner in learners))


@pytest.mark.parametrize("augmentation", ["none", "shift", "flip"])
def test_equal_jobs_give_equal_bits_and_a_group_those_of_its_fits(augmentation: str) -> None:
    first, second = job(augmentation), job(augmentation, downsample="avg_pool")
    together = list(TorchEngine().fit([first, second, first]))
    assert together[0] == together[2] == fit(first) and together[1] == fit(second)
    assert together[0] != together[1]


def test_precision_changes_the_result_a_little() -> None:
    full, half = fit(job()), fit(job(precision="bfloat16"))
    assert full != half and half["train_loss"] == pytest.approx(full["train_loss"], abs=0.1)


def test_a_fit_that_fails_leaves_the_others_of_its_group_alone() -> None:
    broken = dataclasses.replace(job(), transforms=(None,))  # type: ignore[arg-type]
    outcomes = list(TorchEngine().fit([broken, job()]))
    assert isinstance(outcomes[0], AttributeError) and isinstance(outcomes[1], dict)
