"""Fits that make something else small than the plain cross-entropy: on both engines, stacked, and with mixed labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from engine_fits import ENGINES, built_fit, each_engine, train_curves
from torch.nn import functional as F

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.measuring import BuiltMetric
from runner.engines.torch_engine.engine import TorchEngine
from runner.fits.metrics import Metric
from runner.fits.records import EarlyStop
from runner.network.parameters import initial_values
from runner.seeding import stream

NAMES, WEIGHTS = ("a", "b", "c"), [3.0, 1.0, 0.5]
SMOOTH = {"label_smoothing": 0.1, "class_weights": WEIGHTS}


def with_loss(fit: BuiltFit, name: str, counts: Sequence[int] = (20, 15, 5), **parameters: Any) -> BuiltFit:
    catalog = load_catalog()
    ref = catalog.bind("loss", ComponentRef(name, parameters))
    spec = dataclasses.replace(fit.spec, loss=ref, class_names=NAMES)
    return dataclasses.replace(fit, spec=spec, loss=catalog.build("loss", ref, NAMES, tuple(counts)))


def losses_in_plain_torch(fit: BuiltFit) -> list[float]:
    """The mean cross-entropies by epoch of a network that makes a smoothed and weighted one small."""
    images = torch.from_numpy(fit.images[:40]).float() / 255
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True, correction=0)
    labels = torch.from_numpy(fit.labels[:40])
    values = initial_values(fit.network, (2, 8, 8), *fit.spec.keys)
    names = ("stage1/conv1.weight", "stage1/conv1.bias", "dense1.weight", "dense1.bias")
    w, b, v, c = parameters = [torch.from_numpy(values[name]).requires_grad_() for name in names]
    optimizer, losses = torch.optim.SGD(parameters, lr=0.1, momentum=0.9), []
    for epoch in range(fit.spec.training.epochs):
        total = 0.0
        for index in torch.from_numpy(stream("order", 3, 0, 1, epoch).permutation(40)).split(16):
            hidden = F.max_pool2d(torch.relu(F.conv2d(images[index], w, b, padding=1)), 2)
            scores = F.linear(hidden.flatten(1), v, c)
            options: dict[str, Any] = {"label_smoothing": 0.1, "weight": torch.tensor(WEIGHTS)}
            # The mean over the images, and not over their weights.
            loss = F.cross_entropy(scores, labels[index], reduction="none", **options).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += F.cross_entropy(scores, labels[index], reduction="sum").item()
        losses.append(total / 40)
    return losses


@each_engine
def test_training_equals_plain_torch(engine: str) -> None:
    fit = built_fit(epochs=3)
    smooth = train_curves(with_loss(fit, "cross_entropy", **SMOOTH), engine)["train_loss"]
    assert smooth == pytest.approx(losses_in_plain_torch(fit), rel=1e-5)
    assert smooth != pytest.approx(train_curves(fit, engine)["train_loss"], rel=1e-3)


@pytest.mark.parametrize("augmentation", ["none", "mixup"])
@pytest.mark.parametrize(("name", "parameters"), [("focal", {"class_weights": "balanced"}), ("cross_entropy", SMOOTH)])
def test_the_engines_agree(name: str, parameters: dict[str, Any], augmentation: str) -> None:
    fit = with_loss(built_fit(augmentation, 3, "float64"), name, **parameters)
    by_torch, by_numpy = (train_curves(fit, engine) for engine in ("torch", "numpy"))
    for curve, values in by_torch.items():
        assert values == pytest.approx(by_numpy[curve], rel=1e-7), curve


@each_engine
def test_the_losses_that_are_reported_are_plain_cross_entropies(engine: str) -> None:
    """So that cells with several losses compare: here the parameters never move."""
    fit = built_fit(optimizer=ComponentRef("sgd", {"lr": 1e-30}))
    plain, focal = train_curves(fit, engine), train_curves(with_loss(fit, "focal"), engine)
    for curve, values in plain.items():
        assert focal[curve] == pytest.approx(values, rel=1e-6), curve


@pytest.mark.parametrize(("name", "parameters"), [("focal", {"class_weights": "balanced"}), ("cross_entropy", SMOOTH)])
def test_fits_that_are_trained_together_get_what_they_get_alone(name: str, parameters: dict[str, Any]) -> None:
    """Each with the weights of its own training part."""
    fits = []
    for fold, size in enumerate((40, 41, 33)):
        fit = built_fit("none", 3, "float64")
        order = np.random.default_rng(fold).permutation(60)
        spec = dataclasses.replace(fit.spec, fold=fold, train=np.sort(order[:size]), validation=np.sort(order[size:]))
        counts = np.bincount(fit.labels[spec.train], minlength=3).tolist()
        fits.append(with_loss(dataclasses.replace(fit, spec=spec), name, counts, **parameters))
    together = TorchEngine().fit(fits)
    for fit, one in zip(fits, together, strict=True):
        (alone,) = TorchEngine().fit([fit])
        assert isinstance(one, TrainedFit) and isinstance(alone, TrainedFit), (one, alone)
        for curve, values in one.curves.items():
            assert values == pytest.approx(alone.curves[curve], rel=1e-9), curve


class Mean:
    def values(self, scores: Any, targets: Any) -> Any:
        return F.cross_entropy(scores, targets)

    def value_and_gradient(self, scores: Any, targets: Any) -> Any:
        return np.zeros(3), scores


@each_engine
def test_a_loss_that_is_no_number_per_image_ends_the_fit_in_one_line(engine: str) -> None:
    fit = with_loss(built_fit(), "focal")
    (outcome,) = ENGINES[engine]().fit([dataclasses.replace(fit, loss=Mean())])
    assert isinstance(outcome, Exception) and "focal" in str(outcome) and "one" in str(outcome)
    assert "(16,)" in str(outcome) and "\n" not in str(outcome)


@pytest.mark.parametrize("stops", [False, True])
@each_engine
def test_metrics_get_the_probabilities_that_the_answers_are_from(engine: str, stops: bool) -> None:
    seen: list[np.ndarray] = []

    def look(truth: np.ndarray, said: np.ndarray) -> float:
        seen.append(said)
        return float(len(truth) / 100)

    fit = built_fit(epochs=8 if stops else 2)
    if stops:
        training = dataclasses.replace(fit.spec.training, stop=EarlyStop(patience=7, share=0.25))
        parts = {"train": np.arange(30), "inner": np.arange(30, 40)}
        fit = dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, training=training, **parts))
    metrics = [BuiltMetric(Metric("p", "p", needs_probabilities=True), look), BuiltMetric(Metric("a", "a"), look)]
    (outcome,) = ENGINES[engine]().fit([dataclasses.replace(fit, metrics=tuple(metrics))])
    assert isinstance(outcome, TrainedFit) and outcome.measures == {"p": 0.2, "a": 0.2}
    shares, predicted = seen
    assert shares.shape == (20, 3) and shares.sum(1) == pytest.approx(1) and (shares.argmax(1) == predicted).all()
    labels = fit.labels[fit.spec.validation]
    loss, result = -np.log(shares[np.arange(20), labels]).mean(), outcome.best_epoch - 1
    assert loss == pytest.approx(outcome.curves["val_loss"][result], rel=1e-5)
    assert (predicted == labels).mean() == pytest.approx(outcome.curves["val_accuracy"][result])
    assert not stops or 0 <= result < 7, "the best epoch is not the last one"
