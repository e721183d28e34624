"""Whether what a plugin builds repeats: built or used twice with equal random streams, it has to give equal values.

Random numbers of `random`, `numpy.random` and torch are seeded for every fit. What a plugin draws from elsewhere (a
generator of its own without a seed, the system's entropy, the clock) would give other results each time, so it is
refused while the plan is made. Built-in components are not tried: their tests do that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runner.components.parameters import RegisteredComponent
from runner.components.protocols import Step
from runner.components.records import ComponentRef
from runner.errors import PluginError

BUILDS = 8
"""How often an architecture of layer records is built: a choice between two networks is missed once in 128 times."""
MOST_PARAMETERS = 20_000_000
"""Larger modules are not built twice, which would take seconds and gigabytes."""


def refuse_unrepeatable(entry: RegisteredComponent, ref: ComponentRef, built: Any, shape: tuple[int, int, int]) -> None:
    """Raise PluginError if an augmentation or an optimizer gives other values when it is used again.

    `shape` is that of the images, [C, H, W]. One that raises is left to the engines, whose arrays it may need.
    """
    use = {"augmentation": _augment, "optimizer": _update}.get(entry.component.kind)
    if use is None:
        return
    try:
        same = _equal(*(use(built, shape) for _ in range(2)))
    except Exception:
        return
    if not same:
        cure = "draw from the rng that draw() is given, and from nothing in apply()"
        if entry.component.kind == "optimizer":
            cure = "an update must depend on its arguments alone"
        raise PluginError(f"{ref} of {entry.source} gives other values each time it is used; {cure}")


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


def _augment(transform: Any, shape: tuple[int, int, int]) -> list[Any]:
    """The draws and the changed images of a transform, for eight images."""
    import numpy as np

    with _seeded_globals():
        images = np.random.default_rng(0).random((8, *shape), np.float32)
        draws = transform.draw(np.random.default_rng(1), len(images), shape)
        return [*(draws[name] for name in sorted(draws)), transform.apply(images, draws)]


def _update(rule: Any, shape: tuple[int, int, int]) -> list[Any]:
    """A parameter and the state of an update rule after three steps."""
    import numpy as np

    with _seeded_globals():
        rng = np.random.default_rng(0)
        parameter, state = rng.random((1, 4, 3), np.float32), {}
        state = {slot: np.zeros_like(parameter) for slot in rule.slots}
        for number in range(1, 4):
            rule.update(parameter, rng.random((1, 4, 3), np.float32), state, Step(number, 3))
        return [parameter, *state.values()]


def _equal(first: list[Any], second: list[Any]) -> bool:
    import numpy as np

    return len(first) == len(second) and all(
        np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)
        for one, other in zip(first, second, strict=True)
    )
