"""The built-in metrics: equal to scikit-learn's, and to their formulas where it has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as by_sklearn

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.measuring import BuiltMetric, measure
from runner.errors import RunnerError
from runner.fits.metrics import Metric, of_component

NAMES = tuple("abcdefg")
RANDOM = np.random.default_rng(1)
TRUTH = np.concatenate([np.arange(7), RANDOM.choice(7, 300, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.03, 0.02])])
SHARES = 0.75 * RANDOM.dirichlet(np.ones(7), len(TRUTH)) + 0.25 * np.eye(7)[TRUTH]
PREDICTED = SHARES.argmax(1)


def find(name: str, names: tuple[str, ...] = NAMES, **parameters: Any) -> tuple[Metric, Any]:
    catalog = load_catalog()
    ref = catalog.bind("metric", ComponentRef(name, parameters))
    return of_component(catalog.find("metric", name), ref), catalog.build("metric", ref, names)


def value(name: str, truth: np.ndarray = TRUTH, shares: np.ndarray = SHARES, **parameters: Any) -> float:
    """As a fit measures it, whose shares are in single precision."""
    built = BuiltMetric(*find(name, NAMES[: shares.shape[1]], **parameters))
    (found,) = measure([built], truth, shares.argmax(1), shares.astype(np.float32)).values()
    return found


EXPECTED = {
    "accuracy": (PREDICTED == TRUTH).mean(),
    "balanced_accuracy": by_sklearn.recall_score(TRUTH, PREDICTED, average="macro"),
    "macro_f1": by_sklearn.f1_score(TRUTH, PREDICTED, average="macro"),
    "loss": by_sklearn.log_loss(TRUTH, SHARES),
    "top5": by_sklearn.top_k_accuracy_score(TRUTH, SHARES, k=5),
    "auc": np.mean([by_sklearn.roc_auc_score(c == TRUTH, SHARES[:, c]) for c in range(7)]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_they_are_those_of_scikit_learn(name: str) -> None:
    assert 0 < EXPECTED[name] < 3 and value(name) == pytest.approx(EXPECTED[name], rel=1e-6)


def test_with_parameters() -> None:
    assert value("top_k", k=2) == pytest.approx(by_sklearn.top_k_accuracy_score(TRUTH, SHARES, k=2))
    assert value("recall", of="c") == pytest.approx((PREDICTED[TRUTH == 2] == 2).mean())
    assert find("top_k", k=2)[0].name == "top_k(k=2)" and find("top_k", k=5)[0].name == "top_k"
    assert find("recall", of="c")[0].name == "recall(of=c)"
    digits = tuple(map(str, range(10)))
    assert find("recall", digits, of=7)[0] == find("recall", digits, of="7")[0], "in YAML, the class 7 is a number"


def test_of_equal_probabilities_the_first_classes_count_as_an_answer_does() -> None:
    equal = np.full((7, 7), 1 / 7)
    truth = np.array([0, 0, 1, 2, 4, 5, 6])
    assert value("top_k", truth, equal, k=1) == pytest.approx((equal.argmax(1) == truth).mean()) == pytest.approx(2 / 7)
    assert value("top5", truth, equal) == pytest.approx(5 / 7)


def test_of_two_classes() -> None:
    truth = TRUTH % 2
    shares = np.stack([SHARES[:, ::2].sum(1), SHARES[:, 1::2].sum(1)], 1)
    assert value("auc", truth, shares) == pytest.approx(by_sklearn.roc_auc_score(truth, shares[:, 1]))
    assert value("top_k", truth, shares, k=1) == pytest.approx((shares.argmax(1) == truth).mean())


def test_the_calibration_error_is_its_formula() -> None:
    confidence, right, expected = SHARES.max(1), PREDICTED == TRUTH, 0.0
    for low in range(10):
        inside = (confidence > low / 10) & (confidence <= (low + 1) / 10)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert value("calibration_error", bins=10) == pytest.approx(expected, rel=1e-6)
    certain = np.eye(7)[TRUTH]
    assert value("calibration_error", TRUTH, certain) == 0
    assert value("calibration_error", TRUTH, np.roll(certain, 1, 1)) == 1


def test_what_is_never_named_counts_as_never_right() -> None:
    always = np.zeros_like(SHARES)
    always[:, 0] = 1
    assert value("balanced_accuracy", TRUTH, always) == pytest.approx(1 / 7)
    assert value("recall", TRUTH, always, of="b") == 0
    share = (TRUTH == 0).mean()
    assert value("macro_f1", TRUTH, always) == pytest.approx(2 * share / (1 + share) / 7)


def test_directions_and_ranges() -> None:
    facts = {name: find(name)[0] for name in (*EXPECTED, "calibration_error")}
    assert {name for name, fact in facts.items() if not fact.higher_is_better} == {"loss", "calibration_error"}
    assert {name for name, fact in facts.items() if fact.needs_probabilities} == {
        "loss", "top5", "auc", "calibration_error",
    }  # fmt: skip
    assert facts["auc"].unit == "" and facts["macro_f1"].unit == "points" and facts["loss"].unit == "nats"
    assert all(fact.lowest <= value(name) <= fact.highest for name, fact in facts.items())


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("top_k", {"k": 7}, "top 7 of 7 classes is always right; allowed: 1 to 6"),
        ("recall", {"of": "h"}, "recall: unknown class 'h'; allowed: a, b, c, d, e, f, g"),
    ],
)
def test_what_no_class_can_have_is_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RunnerError) as error:
        find(name, **parameters)
    assert str(error.value) == message


def test_a_metric_that_cannot_be_computed_is_unknown_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    one_class = TRUTH[TRUTH == 0]
    built = BuiltMetric(*find("auc"))
    assert np.isnan(measure([built], one_class, one_class, SHARES[TRUTH == 0])["auc"])
    assert "metric auc cannot be computed" in caplog.text


def test_a_metric_cannot_change_what_the_next_one_gets() -> None:
    def spoil(truth: np.ndarray, shares: np.ndarray) -> float:
        truth[:], shares[:] = 0, 0.5
        return 0.5

    spoiler = BuiltMetric(Metric("spoil", "spoil", needs_probabilities=True), spoil)
    found = measure([spoiler, BuiltMetric(*find("top5"))], TRUTH.copy(), PREDICTED, SHARES.copy())
    assert found["top5"] == pytest.approx(EXPECTED["top5"])
