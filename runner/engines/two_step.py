"""What Lookahead and SAM do around the update rule of a group of fits.

`parameters` and gradients are (fits, ...), arrays of NumPy or torch; parameters are changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.components.protocols import Step
from runner.components.rule_options import SAM, Lookahead, RuleOptions


class SlowWeights:
    """The slow parameters of Lookahead, which start as copies of the others.

    Source: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back", algorithm 1. The rule's own state
    goes on, as in the paper's experiments.
    """

    def __init__(self, parameters: Sequence[Any], setting: Lookahead) -> None:
        self.parameters, self.setting = parameters, setting
        self.slow = [_copy(parameter) for parameter in parameters]

    def follow(self, fits: slice, step: Step) -> None:
        """After `step` of some of the fits: if it is one in k, move the slow parameters and go back to them."""
        if step.number % self.setting.k:
            return
        for parameter, slow in zip(self.parameters, self.slow, strict=True):
            fast, mine = parameter[fits], slow[fits]
            mine += self.setting.alpha * (fast - mine)
            fast[...] = mine

    def state(self) -> list[Any]:
        return list(self.slow)

    def restore(self, state: Sequence[Any]) -> None:
        self.slow = list(state)


class Ascent:
    """The steps of SAM to a point where the loss is higher, and back.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization", algorithm 1 with
    equation 2 for p = 2: w + rho * g / |g|, with the norm over all parameters of a fit.
    """

    def __init__(self, parameters: Sequence[Any], setting: SAM) -> None:
        self.parameters, self.rho = parameters, setting.rho
        self.before: list[Any] = []

    def climb(self, gradients: Sequence[Any]) -> None:
        """Move up the gradient; one of None leaves its parameter where it is."""
        self.before = [_copy(parameter) for parameter in self.parameters]
        if all(gradient is None for gradient in gradients):
            return
        # Keeps the division defined for a fit without a gradient, such as one without a batch.
        scale = self.rho / (squared_norms(gradients) ** 0.5 + 1e-12)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is not None:
                parameter += gradient * scale.reshape(-1, *[1] * (gradient.ndim - 1))

    def descend(self) -> None:
        """Back to where `climb` began, to the last bit."""
        for parameter, before in zip(self.parameters, self.before, strict=True):
            parameter[...] = before


def around(options: RuleOptions, parameters: Sequence[Any]) -> tuple[SlowWeights | None, Ascent | None]:
    """What the options of a rule ask for."""
    return (
        SlowWeights(parameters, options.lookahead) if options.lookahead else None,
        Ascent(parameters, options.sam) if options.sam else None,
    )


def squared_norms(gradients: Sequence[Any]) -> Any:
    """The squared norm (fits,) of each fit's gradient over all parameters; of the gradients, not all are None."""
    # Only operators and methods that NumPy and torch share. One norm per fit: the sums leave the first axis alone.
    return sum((g * g).reshape(len(g), -1).sum(1) for g in gradients if g is not None)


def _copy(array: Any) -> Any:
    # Times 1 gives a copy of the same library, type, device and memory order, with the same bits.
    return array * 1
