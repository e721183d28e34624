"""An optimizer of torch as a plugin: NAdam, which decays weights and leaves biases alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from runner.api import Clip, NonNegative, Optimizer, Positive, Schedule, TorchRule, hookimpl


@dataclass(frozen=True)
class WrappedNAdam(TorchRule):
    weight_decay: float

    def build_optimizer(self, parameters):
        decaying = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups = [{"params": decaying, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.NAdam(groups, lr=self.lr)


def build(*, lr: Positive = 2e-3, weight_decay: NonNegative = 0, clip: Clip = None, schedule: Schedule = "constant"):
    """torch.optim.NAdam (Dozat 2016) with weight decay for weights alone."""
    return WrappedNAdam(weight_decay, lr=lr, schedule=schedule, clip=clip)


@hookimpl
def register_optimizers():
    yield Optimizer(name="wrapped_nadam", build=build)
