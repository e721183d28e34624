"""Names of factors and settings in MLflow: accepted by it, never lost, never two for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param_name

from runner.tracking.names import FACTOR, factor_names, original_names, safe, setting_name, shortened

ODD = ["pool/", "a//b", "a/b", "./x", "x", "..", ".", "", " ", "/", "/x", "a:b", "größe", "`x`", "x" * 300, "x" * 301,
       "pool_", safe("pool/"), safe(safe("pool/")), "a_b", "../x", "a/../b", "b", "fold",
       "architecture.fold", safe("fold") + " 00000000"]  # fmt: skip

names = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


def accepted(name: str) -> bool:
    _validate_param_name(name)
    return len(FACTOR + name) <= 250  # it is the end of a tag too


@given(st.lists(names, unique=True))
def test_every_name_is_accepted_and_no_two_become_one(given: list[str]) -> None:
    made = [safe(name) for name in given]
    assert all(map(accepted, made))
    assert len(set(made)) == len(given)


@given(st.lists(names, unique=True), st.sets(names), st.sets(st.sampled_from(["fold", "repeat", "x", "a_b"])))
def test_no_factor_is_lost(factors: list[str], settings: set[str], of_fits: set[str]) -> None:
    made = factor_names(factors, settings, of_fits)
    assert list(made) == factors and len(set(made.values())) == len(factors)
    assert not of_fits & set(made.values())
    assert all(map(accepted, made.values()))
    given = [setting_name(name, set(made.values())) for name in settings]
    assert not set(given) & set(made.values()) and len(set(given)) == len(settings)
    assert {factor: name for name, factor in original_names(made).items()}.items() <= made.items()


@given(st.lists(st.text("ab", min_size=5, max_size=30), unique=True), st.integers(12, 20))
def test_texts_that_are_cut_stay_apart(given: list[str], most: int) -> None:
    made = [shortened(text, most) for text in given]
    assert len(set(made)) == len(given) and all(len(text) <= most for text in made)
    assert all(short == text for text, short in zip(given, made, strict=True) if len(text) < most)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        (["architecture.width", "filters"], ["width", "filters"]),
        (["architecture.width", "width"], ["architecture.width", "width"]),
        (["architecture.lr", "optimizer.lr"], ["architecture.lr", "optimizer.lr"]),
        (["optimizer", "architecture.seed"], ["optimizer", "architecture.seed"]),
    ],
)
def test_a_path_is_shortened_unless_that_is_unclear(factors: list[str], expected: list[str]) -> None:
    assert list(factor_names(factors, ["optimizer", "seed"]).values()) == expected
