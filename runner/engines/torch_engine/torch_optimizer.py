"""torch's own optimizers as update rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runner.engines.base import BuiltFit
from runner.engines.optimizer_step import StepCounter
from runner.engines.torch_engine import fit_state


class TorchOptimizerStep:
    """One of torch's own optimizers, with our schedule and clipping, for a fit on its own.

    How it treats a parameter may depend on its axes, so it is not shown the one of the fits.
    """

    def __init__(self, group: Sequence[BuiltFit], values: Sequence[Tensor]) -> None:
        (job,) = group
        self.rule: Any = job.rule
        self.parameters, self.course = [nn.Parameter(value[0]) for value in values], StepCounter(job)
        self.optimizer: torch.optim.Optimizer = job.rule.over(self.parameters)  # type: ignore[attr-defined]

    def step(self, gradients: Sequence[Tensor | None], taking: Sequence[bool]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient[0]
        if self.rule.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.rule.clip)
        rate = self.rule.rate(next(self.course))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {"done": self.course.done, **fit_state.optimizer_state(self.optimizer, self.parameters)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course.done = state["done"]
        fit_state.set_optimizer_state(self.optimizer, self.parameters, state)
