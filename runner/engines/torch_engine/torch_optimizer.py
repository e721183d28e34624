"""Torch's own optimizers behind the interface of `OptimizerStep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runner.engines.base import BuiltFit
from runner.engines.optimizer_step import StepCounter
from runner.engines.torch_engine import fit_state


class TorchOptimizerStep:
    """One of torch's own optimizers, with our schedule and clipping, for a group of one fit.

    Torch's optimizers may treat a parameter by its number of axes, so they get the values (1, ...) without the axis of
    the fits.
    """

    def __init__(self, group: Sequence[BuiltFit], values: Sequence[Tensor]) -> None:
        (fit,) = group
        self.rule: Any = fit.rule
        # `value[0]` is a view, so that torch's updates reach the module's own parameters.
        self.parameters, self.counter = [nn.Parameter(value[0]) for value in values], StepCounter(fit)
        self.optimizer: torch.optim.Optimizer = fit.rule.build_optimizer(self.parameters)  # type: ignore[attr-defined]

    def step(self, gradients: Sequence[Tensor | None], active: Sequence[bool]) -> None:
        """Update the parameters by gradients (1, ...); None leaves a parameter unchanged."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient[0]
        if self.rule.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.rule.clip)
        rate = self.rule.rate(next(self.counter))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {"done": self.counter.done, **fit_state.optimizer_state(self.optimizer, self.parameters)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.counter.done = state["done"]
        fit_state.restore_optimizer(self.optimizer, self.parameters, state)
