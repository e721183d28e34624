"""Whether what a plugin builds repeats: built twice with equal random streams, it has to give equal values.

Random numbers of `random`, `numpy.random` and torch are seeded for every fit. What a plugin draws from elsewhere (a
generator of its own without a seed, the system's entropy, the clock) would give other results each time, so it is
refused while the plan is made. Built-in components are not tried: their tests do that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from runner.components.parameters import RegisteredComponent
from runner.components.records import ComponentRef
from runner.errors import PluginError

BUILDS = 8
"""How often an architecture of layer records is built: a choice between two networks is missed once in 128 times."""
MOST_PARAMETERS = 20_000_000
"""Larger modules are not built twice, which would take seconds and gigabytes."""


def refuse_unrepeatable(entry: RegisteredComponent, ref: ComponentRef, built: Any, again: Any) -> None:
    """Raise PluginError if an augmentation or an optimizer that was built twice has other values the second time.

    They are not used here: what crashes in training would end this process, and not only a worker.
    """
    try:
        same = _same(built, again)
    except Exception:  # values of a plugin's own types may refuse to be compared
        return
    if not same:
        raise PluginError(
            f"{ref} of {entry.source} has other values each time it is built; draw random numbers from what it is "
            "given when it is used, or in build from random or numpy.random, which are seeded for each fit"
        )


def refuse_unrepeatable_network(entry: RegisteredComponent, ref: ComponentRef, build: Callable[[], Any]) -> None:
    """Raise PluginError if `build`, of a plugin's architecture, returns different canonical descriptions."""
    first = build()
    if any(build() != first for _ in range(BUILDS - 1)):
        raise PluginError(
            f"{ref} of {entry.source} builds another network each time; only its parameters may decide what it builds"
        )


def refuse_unrepeatable_values(
    entry: RegisteredComponent, ref: ComponentRef, build: Callable[[], Any], parameters: int
) -> None:
    """Raise PluginError if a torch module has other initial values when it is built again with the same seeds."""
    if parameters > MOST_PARAMETERS:
        return
    import torch

    from runner.engines.selection import get

    def values() -> dict[str, Any]:
        with _seeded_globals(), torch.random.fork_rng(devices=[]), get("torch").seeded(0, 0, 0):
            module = build()
            return {**dict(module.named_parameters()), **dict(module.named_buffers())}

    try:
        first, second = values(), values()
    except Exception:  # as it may need more than a description does; its fits will say so
        return
    for name in first.keys() | second.keys():
        if name not in first or name not in second or not _same_bytes(first[name], second[name]):
            raise PluginError(
                f"{ref} of {entry.source} has other initial values of {name} each time; draw them from torch, random "
                "or numpy.random, which are seeded for each fit"
            )


def _same_bytes(one: Any, other: Any) -> bool:
    """Whether two tensors are equal to the last bit; nan, as in a buffer that is not set yet, equals itself."""
    import torch

    def content(tensor: Any) -> Any:
        return tensor.detach().contiguous().reshape(-1).view(torch.uint8)

    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(content(one), content(other))


def build_seeded(build: Callable[[], Any]) -> Any:
    """What `build` returns with the generators as at the start of a fit."""
    with _seeded_globals():
        return build()


@contextmanager
def _seeded_globals() -> Iterator[None]:
    """The generators that are seeded for each fit, as at the start of one; set back at the end."""
    from runner.seeding import global_states, restore_globals, seed_globals

    before = global_states()
    seed_globals(0, 0, 0)
    try:
        yield
    finally:
        restore_globals(before)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as they can be compared: objects without fields and equality pass."""
    if is_dataclass(one) and type(one) is type(other):
        return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if hasattr(one, "__array__") and hasattr(other, "__array__"):
        import numpy as np

        return np.asarray(one).tobytes() == np.asarray(other).tobytes()
    if isinstance(one, (bool, int, float, str, bytes)):
        return bool(one == other) or one != one  # nan
    return True
