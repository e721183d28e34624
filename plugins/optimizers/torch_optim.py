"""torch's own optimizers, under the names of their classes in torch.optim. They need the torch engine.

Left out are those that cannot train any network: LBFGS (needs a closure), SparseAdam (needs sparse gradients) and Muon
(accepts matrices only).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from runner.api import Optimizer, RunnerError, Step, UpdateRule, hookimpl

from .rules import Clip, ScheduledRule
from .schedule_setting import Schedule, suggest

if TYPE_CHECKING:
    import torch

NAMES = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
NOT_SETTABLE = ("params", "foreach", "fused", "capturable", "differentiable", "maximize")
"""Constructor parameters that are not part of the update rule: what it is applied to and how it is computed."""


@dataclass(frozen=True)
class TorchOptimizer(ScheduledRule):
    name: str
    parameters: Mapping[str, Any]

    slots = ()
    engine = "torch"
    """The engine that this rule needs; it calls `build_optimizer` instead of `update`."""

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        raise RunnerError(f"{self.name} is torch.optim's: it updates all parameters at once and needs the torch engine")

    def build_optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer of a fit's parameters, with the settings of this rule."""
        optimizer: torch.optim.Optimizer = _torch_class(self.name)(parameters, **self.parameters)
        return optimizer


def _build_function(name: str) -> Callable[..., UpdateRule]:
    """The `build` function of one of NAMES. Its parameters are those of the installed torch, so it checks them."""

    def build(*, clip: Clip = None, schedule: Schedule = "constant", **parameters: Any) -> UpdateRule:
        accepted = signature(_torch_class(name)).parameters.values()
        defaults = {p.name: p.default for p in accepted if p.name not in NOT_SETTABLE}
        for key, value in parameters.items():
            if key not in defaults:
                raise RunnerError(f"{name} has no parameter '{key}'{suggest(key, defaults)}")
            if not _same_kind(value, defaults[key]):
                raise RunnerError(f"{name}: {key} is {json.dumps(value)}; expected {_expected(defaults[key])}")
        if name == "Rprop" and schedule != "constant":
            raise RunnerError("Rprop takes no schedule: it adapts its step sizes and uses lr only at the first step")
        # Without what equals torch's default, so that a default written out builds the same rule as one left out.
        changed = {key: value for key, value in parameters.items() if not _equal(value, defaults[key])}
        rule = TorchOptimizer(parameters.get("lr", defaults["lr"]), schedule, clip, name, changed)
        _try_one_step(rule)
        return rule

    build.__doc__ = f"torch.optim.{name} with its own parameters; its weight_decay applies to all parameters."
    return build


def _torch_class(name: str) -> Any:
    # Imported here, so that planning with our own optimizers does not wait for torch.
    try:
        import torch
    except ImportError:
        raise RunnerError(f"{name} needs PyTorch, which is not installed: pip install torch") from None
    if not hasattr(torch.optim, name):
        raise RunnerError(f"{name} is not in torch {torch.__version__}")
    return getattr(torch.optim, name)


def _same_kind(value: Any, default: Any) -> bool:
    """Whether a value has the type and length of the parameter's default.

    torch does not check this itself, and would fail later with an error about its own code.
    """
    if isinstance(default, bool | str) or default is None:
        return isinstance(value, type(default)) or default is None
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_same_kind, value, default))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _equal(value: Any, default: Any) -> bool:
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _expected(default: Any) -> str:
    if isinstance(default, tuple):
        return f"a list like {json.dumps(default)}"
    return {bool: "true or false", str: "text"}.get(type(default), "a finite number")


def _try_one_step(rule: TorchOptimizer) -> None:
    """Raise RunnerError for settings that torch refuses, some of them only at the first step.

    The parameters have the number of axes of a bias, of a dense layer's weights and of a convolution's.
    """
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3,), (3, 2), (3, 2, 1, 1))]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    try:
        rule.build_optimizer(parameters).step()
    except Exception as error:  # torch has no common class for these
        raise RunnerError(f"{rule.name}: {error}") from error


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    for name in NAMES:
        yield Optimizer(name=name, build=_build_function(name))
