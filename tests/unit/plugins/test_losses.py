"""The built-in losses: equal to torch's and to their formulas, with derivatives that agree on both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.errors import PluginError, RunnerError

NAMES, COUNTS = ("cat", "dog", "owl", "7"), (30, 20, 9, 1)
WEIGHTS = [2.0, 0.5, 1.0, 7.5]
RANDOM = np.random.default_rng(0)
SCORES = np.concatenate([RANDOM.normal(0, 3, (40, 4)), 60 * np.eye(4), -60 * np.eye(4), np.zeros((1, 4))])
LABELS = RANDOM.integers(0, 4, len(SCORES))
ONE_HOT = np.eye(4)[LABELS]
MIXED = 0.7 * ONE_HOT + 0.3 * np.roll(ONE_HOT, 1, 0)


def build(name: str, **parameters: Any) -> Any:
    catalog = load_catalog()
    return catalog.build("loss", catalog.bind("loss", ComponentRef(name, parameters)), NAMES, COUNTS)


def by_torch(loss: Any, targets: np.ndarray) -> np.ndarray:
    return loss.values(torch.from_numpy(SCORES), torch.from_numpy(targets)).numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(smoothing: float, weights: list[float] | None) -> None:
    loss = build("cross_entropy", label_smoothing=smoothing, class_weights=weights)
    options: dict[str, Any] = {"reduction": "none", "label_smoothing": smoothing}
    options["weight"] = torch.tensor(weights, dtype=torch.float64) if weights else None
    for targets, given in ((ONE_HOT, LABELS), (MIXED, MIXED)):
        expected = F.cross_entropy(torch.from_numpy(SCORES), torch.from_numpy(given), **options).numpy()
        np.testing.assert_allclose(by_torch(loss, targets), expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_its_formula(gamma: float) -> None:
    p = np.exp(SCORES - SCORES.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    own = p[np.arange(len(p)), LABELS]
    with np.errstate(divide="ignore"):
        expected = -np.array(WEIGHTS)[LABELS] * (1 - own) ** gamma * np.log(own)
    # Where p is 1 to the last bit the formula itself is inexact.
    np.testing.assert_allclose(
        by_torch(build("focal", gamma=gamma, class_weights=WEIGHTS), ONE_HOT), expected, rtol=1e-9, atol=1e-12
    )


def test_focal_without_focus_is_cross_entropy() -> None:
    np.testing.assert_allclose(
        by_torch(build("focal", gamma=0), MIXED), by_torch(build("cross_entropy"), MIXED), rtol=1e-12
    )


LOSSES: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.2, "class_weights": WEIGHTS}),
    *(("focal", {"gamma": gamma, "class_weights": WEIGHTS}) for gamma in (0, 0.5, 1, 2, 5)),
]


@pytest.mark.parametrize("targets", [ONE_HOT, MIXED], ids=["labels", "mixed"])
@pytest.mark.parametrize(("name", "parameters"), LOSSES)
def test_derivatives_are_those_of_torch(name: str, parameters: dict[str, Any], targets: np.ndarray) -> None:
    loss = build(name, **parameters)
    values, gradient = loss.value_and_gradient(SCORES, targets)
    scores = torch.from_numpy(SCORES).requires_grad_()
    by_autograd = loss.values(scores, torch.from_numpy(targets))
    by_autograd.sum().backward()
    np.testing.assert_allclose(values, by_autograd.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient, scores.grad.numpy(), rtol=1e-7, atol=1e-12)  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "parameters"), LOSSES)
def test_certain_answers_have_finite_derivatives_in_single_precision(name: str, parameters: dict[str, Any]) -> None:
    scores, targets = (200 * np.eye(4)).astype(np.float32), np.eye(4, dtype=np.float32)
    values, gradient = build(name, **parameters).value_and_gradient(scores, targets)
    own = torch.from_numpy(scores).requires_grad_()
    build(name, **parameters).values(own, torch.from_numpy(targets)).sum().backward()
    assert values.dtype == gradient.dtype == np.float32
    assert np.isfinite(values).all() and np.isfinite(gradient).all() and torch.isfinite(own.grad).all()  # type: ignore[arg-type]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.repeat(np.arange(4), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    assert build("cross_entropy", class_weights="balanced").weights == pytest.approx(expected)
    assert np.mean(expected[labels]) == pytest.approx(1), "so that losses and gradients keep their size"


def test_weights_by_name_are_those_of_a_list() -> None:
    assert build("focal", class_weights={"owl": 3, "7": 0.5}).weights == (1.0, 1.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "class_weights: found 2 numbers; expected 4, one a class"),
        ({"cats": 2}, "class_weights: unknown class 'cats'; did you mean 'cat'? allowed: cat, dog, owl, 7"),
    ],
)
def test_weights_of_no_class_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(RunnerError) as error:
        build("cross_entropy", class_weights=weights)
    assert str(error.value) == message and not isinstance(error.value, PluginError)
