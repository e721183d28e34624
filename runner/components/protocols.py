"""The interfaces of what components build: the methods that the runner and its engines call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

# For annotations only: `runner plan` answers without loading NumPy (tests/system/test_latency.py).
if TYPE_CHECKING:
    import numpy as np


Draws = Mapping[str, Any]
"""The random numbers of an augmentation for one batch: arrays by name, converted from NumPy to the engine's own."""


class Transform(Protocol):
    """An augmentation: NumPy draws the random numbers, the engine applies them to its own arrays.

    The two are separate so that every engine, executor and number of workers gets the same images. A transform that
    changes labels has a third method, ``relabel(targets, draws)``: targets are (N, classes), and each row sums to 1.
    """

    def draw(self, rng: np.random.Generator, count: int, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
        """Random numbers, or indices computed from them, for a batch of `count` images of `shape` (C, H, W).

        A number or a list instead of an array becomes one, of float32 if it has fractions.
        """
        ...

    def apply(self, images: Any, draws: Draws) -> Any:
        """The changed images, (N, C, H, W) float32 in [0, 1]; `images` and `draws` are arrays of the same engine."""
        ...


class Step(NamedTuple):
    """The progress of a fit: the `number` of this step, counted from 1, of `total` steps, `in_epoch` per epoch."""

    number: int
    total: int
    in_epoch: int = 1

    @property
    def epochs(self) -> float:
        """Epochs completed before this step, as a fraction."""
        return (self.number - 1) / self.in_epoch


class UpdateRule(Protocol):
    """How an optimizer updates one parameter, written with operators that NumPy and torch arrays share.

    The first axis of every array is that of the fits trained together; a sum over a parameter must not reduce it. If a
    rule has an attribute `clip`, the gradients of each fit are scaled down to at most that norm, taken over all
    parameters of the fit. ``elementwise = True`` declares that each number is updated independently of the others,
    apart from whether its array has more than two axes, as weights have: such a rule may get many parameters in one
    array, which is faster. A rule that computes with one library declares it: ``engine = "torch"`` or ``"numpy"``. One
    with a method ``build_optimizer(parameters)`` needs nothing else; see `components.torch_rule.TorchRule`.
    """

    slots: tuple[str, ...]
    """Names of the state arrays of each parameter, such as a momentum; each starts as zeros of its shape."""

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        """Update `parameter` (fits, ...) and the arrays in `state`, all of the gradient's shape, in place."""
        ...


def is_around_torch(rule: Any) -> bool:
    """Whether the rule builds an optimizer of torch's kind, instead of updating arrays itself."""
    return hasattr(rule, "build_optimizer")


class LossFunction(Protocol):
    """A loss as a number per image, whose mean over a batch is made small. It has no state and draws no numbers.

    `scores` (N, classes) are those of the network's last layer, and the rows of `targets` (N, classes) sum to 1: each
    has a 1 at the image's class, unless an augmentation mixes labels. All images are those of one fit.

    The NumPy engine, which has no automatic derivatives, needs a second method, ``value_and_gradient(scores, targets)``
    for NumPy arrays: the losses (N,), and the derivative (N, classes) of each image's loss by its own scores. A loss
    without it trains on the torch engine only.
    """

    def values(self, scores: Any, targets: Any) -> Any:
        """The loss of each image (N,), in torch's operations."""
        ...


def required_engine(rule: Any) -> str:
    """The only engine that can use the rule, from its attribute `engine`; "" if every engine can."""
    return "torch" if is_around_torch(rule) else str(getattr(rule, "engine", ""))
