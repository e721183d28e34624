"""What a component builds: the methods that the runner and its engines call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np


Draws = Mapping[str, Any]
"""What an augmentation drew for one batch: arrays by name, those of NumPy turned into the engine's own."""


class Transform(Protocol):
    """An augmentation: NumPy draws the random numbers, the engine applies them to its own arrays.

    Keeping the two apart is what gives every engine, executor and number of workers the same images. A transform that
    changes labels has a third method, ``relabel(targets, draws)``, on targets (N, classes) that sum up to 1.
    """

    def draw(self, rng: np.random.Generator, count: int, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
        """Random numbers (or indices made from them) for a batch of `count` images of `shape`."""
        ...

    def apply(self, images: Any, draws: Draws) -> Any:
        """`images` (N, C, H, W), float32 in [0, 1], changed as `draws` says; both are arrays of one engine."""
        ...


class Step(NamedTuple):
    """Where a fit stands: the number of this step, from 1, of all its steps, and the steps in an epoch."""

    number: int
    total: int
    in_epoch: int = 1

    @property
    def epochs(self) -> float:
        """Epochs behind the fit before this step, with fractions."""
        return (self.number - 1) / self.in_epoch


class UpdateRule(Protocol):
    """An optimizer's rule for one parameter, written with operators that NumPy and torch arrays share.

    The first axis of every array is that of the fits that are trained together; what is summed up over a parameter
    must leave it alone. A rule with an attribute `clip` has its gradients scaled down to that norm over all parameters
    of a fit. One with ``elementwise = True`` looks at each number alone, but for whether the array has more than two
    axes, as weights have: it may be shown many parameters as one array, which is faster.
    """

    slots: tuple[str, ...]
    """Names of the running arrays it keeps for each parameter; each starts as zeros of the parameter's shape."""

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        """Change `parameter` and `state` in place."""
        ...


def own_engine(rule: Any) -> str:
    """The only engine that can use a rule, which it names in an attribute `engine`; "" if every engine can."""
    return str(getattr(rule, "engine", ""))
