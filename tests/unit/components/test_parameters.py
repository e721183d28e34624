"""Binding: a default that is left out and the same value written out give the same parameters."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.components.parameters import RegisteredComponent
from runner.components.records import Augmentation, ComponentRef, Count, Positive
from runner.components.validation import InvalidValues

TYPES: list[tuple[Any, Any]] = [
    (float, 1),
    (Positive, 1),
    (float | None, 1),
    (float | None, None),
    (list[float], [1, 2.5]),
    (tuple[float, ...], (1, 2)),
    (dict[str, float], {"a": 1}),
    (Annotated[list[Positive], "of rates"], [1]),
    (int | float, 1),
    (Count, 1),
    (float, 0.5),
    (bool, True),
    (Literal["a", "b"], "a"),
]


def bind(annotation: Any, default: Any, **given: Any) -> ComponentRef:
    def build(*, value=default): ...

    build.__annotations__ = {"value": annotation}
    return RegisteredComponent(Augmentation("mine", build), "here").bind(given)


def as_lists(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("annotation", "default"), TYPES, ids=str)
def test_a_default_left_out_is_bound_as_the_same_value_written_out(annotation, default):
    left_out = bind(annotation, default).parameters["value"]
    written = bind(annotation, default, value=as_lists(default)).parameters["value"]
    assert repr(as_lists(left_out)) == repr(as_lists(written))


@given(st.integers(-(10**6), 10**6))
def test_a_whole_number_is_a_float_only_where_one_is_expected(number):
    assert repr(bind(float, number).parameters["value"]) == repr(float(number))
    assert repr(bind(int, number).parameters["value"]) == repr(number)


def test_a_default_that_its_type_refuses_stays_as_it_is():
    assert bind(Positive, -1).parameters["value"] == -1
    with pytest.raises(InvalidValues, match="found -1; allowed: more than 0"):
        bind(Positive, -1, value=-1)
