"""The whole number nearest to a target: the same as by trying all, with few tries where the quantity is monotone."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.planning.best_integer import SCANNED, best_integer, distance


def brute_force(quantity, target, limit):
    known = [(distance(found, target), n) for n in range(1, limit + 1) if (found := quantity(n)) is not None]
    return min(known)[1] if known else None


few = settings(max_examples=60)
polynomials = st.lists(st.integers(0, 500), min_size=2, max_size=4).filter(lambda terms: any(terms[1:]))


@few
@given(polynomials, st.integers(1, 4000))
def test_a_polynomial_as_by_trying_all(terms, target):
    def quantity(n):
        return (sum(term * n**power for power, term in enumerate(terms)),)

    assert best_integer(quantity, (target,)) == brute_force(quantity, (target,), target + 1)


@few
@given(polynomials, st.integers(1, 64), st.integers(1, 100))
def test_a_rising_staircase_gives_the_first_number_of_the_best_step(terms, step, target):
    def quantity(n):
        return (sum(term * (n // step) ** power for power, term in enumerate(terms)),)

    assert best_integer(quantity, (target,)) == brute_force(quantity, (target,), step * (target + 1))


@few
@given(st.integers(1, SCANNED - 1), st.integers(1, 3000))
def test_a_falling_quantity(scale, target):
    def quantity(n):
        return (scale // n,)

    assert best_integer(quantity, (target,)) == brute_force(quantity, (target,), SCANNED)


@few
@given(st.lists(st.integers(1, 1000) | st.none(), min_size=1, max_size=60), st.integers(1, 1000))
def test_any_short_list_of_values(values, target):
    def quantity(n):
        found = values[n - 1] if n <= len(values) else None
        return None if found is None else (found,)

    assert best_integer(quantity, (target,)) == brute_force(quantity, (target,), len(values))


@few
@given(st.integers(1, 40), st.integers(0, 9), st.integers(1, 10**5))
def test_numbers_of_which_only_some_are_allowed(step, offset, target):
    def quantity(n):
        return (n * n + 3 * n,) if n % step == offset % step else None

    assert best_integer(quantity, (target,)) == brute_force(quantity, (target,), SCANNED)


@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 400), st.integers(1, 400))
def test_height_and_width_meet_half_way(tall, wide, height, width):
    def quantity(n):
        return 1 + tall * n, 1 + wide * n

    assert best_integer(quantity, (height, width)) == brute_force(quantity, (height, width), 500)


@pytest.mark.parametrize("target", [10**4, 10**6, 10**9])
def test_a_monotone_quantity_is_asked_for_few_numbers(target):
    asked = set()

    @cache
    def quantity(n):
        asked.add(n)
        return (9 * n * n + 310 * n + 10,)

    assert best_integer(quantity, (target,)) is not None
    assert len(asked) <= 12 + math.log2(target) / 2


def test_out_of_reach_is_the_nearest():
    assert best_integer(lambda n: (min(n, 700),), (10**6,)) == 700
    assert best_integer(lambda n: (n + 50,), (3,)) == 1
    assert best_integer(lambda n: None, (3,)) is None
