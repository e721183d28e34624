"""Rules around an optimizer of torch's kind, which updates all parameters at once and runs on the torch engine only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from runner.components.protocols import Step
from runner.components.records import Positive
from runner.components.schedules import Schedule, rate
from runner.errors import PluginError, RunnerError
from runner.text import did_you_mean

# For annotations only: a rule of another kind is planned without torch.
if TYPE_CHECKING:
    import torch

Clip = Positive | None
"""The largest norm of a fit's gradient over all its parameters; None: no limit. The engines do the clipping."""
ENGINES = ("numpy", "torch")


@dataclass(frozen=True, kw_only=True)
class TorchRule:
    """The base of a rule around an optimizer of torch's kind: derive from it and write `build_optimizer`.

    At every step the runner sets the learning rate of each parameter group to `rate(step)`, in proportion to what the
    group was built with, scales the gradients of the fit down to the norm `clip`, and calls the optimizer's `step()`.
    """

    lr: float
    schedule: Schedule = "constant"
    clip: Clip = None

    engine: ClassVar[str] = "torch"
    slots: ClassVar[tuple[str, ...]] = ()

    def rate(self, step: Step) -> float:
        """The learning rate at `step`."""
        return rate(self.lr, self.schedule, step)

    def build_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of a fit's parameters, with the settings of this rule."""
        raise RunnerError(f"{type(self).__name__} has no build_optimizer(parameters), which makes the optimizer")

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        raise RunnerError(f"{type(self).__name__} updates all parameters at once and needs the torch engine")


def refuse_other_rules(product: str, built: Any) -> None:
    """Raise PluginError for an optimizer of torch instead of a rule, and for an unknown engine.

    `product` begins the message: what builds it.
    """
    if name := _name_in_torch(built):
        rule = "a rule whose build_optimizer(parameters) makes it, derived from runner.api.TorchRule"
        cure = f"name it in YAML, optimizer: {{name: {name}}}, or return {rule}"
        raise PluginError(f"{product} {name}, an optimizer of torch's kind and not an update rule; {cure}")
    engine = getattr(built, "engine", "")
    if engine not in ("", *ENGINES):
        raise PluginError(f"{product} a rule whose engine is {engine!r}{did_you_mean(engine, ENGINES)}")


def _name_in_torch(built: Any) -> str:
    """The name of the class if `built` is an optimizer of torch's kind, its class or a call of it; "" if it is not."""
    made: Any = built.func if isinstance(built, partial) else built
    kind = made if isinstance(made, type) else type(made)
    # Not imported here: whoever built such a thing has imported it.
    torch_optim = sys.modules.get("torch.optim")
    return kind.__name__ if torch_optim is not None and issubclass(kind, torch_optim.Optimizer) else ""
