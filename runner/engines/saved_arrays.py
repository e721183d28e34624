"""Compares saved arrays with those that a network has, before any of them is used."""

from __future__ import annotations

from collections.abc import Mapping

Form = tuple[str, tuple[int, ...]]
"""The type of an array, as NumPy names it, and its shape."""


def refuse_differing(expected: Mapping[str, Form], found: Mapping[str, Form]) -> None:
    """Raise ValueError unless the arrays `found` are those `expected`, by name, type and shape."""
    if differing := sorted(expected.keys() ^ found.keys()):
        name = differing[0]
        raise ValueError(f"{name} is missing" if name in expected else f"{name} is no array of the network")
    for name, (dtype, shape) in expected.items():
        if found[name] != (dtype, shape):
            raise ValueError(f"{name} is {found[name][0]} {found[name][1]}; the network has {dtype} {shape}")
