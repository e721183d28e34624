"""Named random streams. The pinned numbers must never change: every recorded result depends on them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.seeding import stream

names = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=8)
keys = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=5), max_size=4)
addresses = st.tuples(names, keys)


def first(address):
    name, keys = address
    return stream(name, *keys).integers(0, 2**63, 2).tolist()


@settings(max_examples=200)
@given(addresses, addresses)
def test_streams_are_equal_exactly_if_name_and_keys_are(one, other):
    assert (first(one) == first(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("order", [1, 2]), ("order", [2, 1])),
        (("order", [1, 2]), ("order", [12])),
        (("order", [1]), ("order", ["1"])),
        (("order", [0]), ("augment", [0])),
        (("order", []), ("order", [0])),
        (("order", ["a", "b"]), ("order", ["a', 'b"])),
    ],
)
def test_similar_names_and_keys_have_different_streams(one, other):
    assert first(one) != first(other)


def test_split_draws_are_pinned():
    assert stream("split", 0, 0).integers(0, 2**32, 4).tolist() == [557618623, 594359458, 220794614, 237781705]


def test_order_draws_are_pinned():
    assert stream("order", 7, 1, 2, 3).permutation(10).tolist() == [8, 0, 2, 5, 3, 6, 4, 9, 1, 7]


def test_init_draws_are_pinned():
    expected = [1.14129721765384, 2.5569838692510314, -1.5891498397793098]
    assert stream("init", 0, 0, 0, "conv1.weight").standard_normal(3).tolist() == expected


def test_augment_draws_are_pinned():
    expected = [0.07958383379233336, 0.8312383141031765, 0.16764251161802302]
    assert stream("augment", 0, 0, 0, 0).random(3).tolist() == expected
