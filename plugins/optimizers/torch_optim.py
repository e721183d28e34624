"""torch's own optimizers, by the names of their classes in torch.optim. They train on the torch engine only.

Left out are those that can't take the place of any other: LBFGS (needs a closure), SparseAdam (needs sparse gradients)
and Muon (takes matrices only).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from runner.api import Optimizer, RunnerError, Step, UpdateRule, hookimpl

from .rules import Clip, Paced
from .schedules import Schedule, nearest

if TYPE_CHECKING:
    import torch

NAMES = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
HOW = ("params", "foreach", "fused", "capturable", "differentiable", "maximize")
"""Parameters of the classes that are no part of the rule, but say how it is computed, and for what."""


@dataclass(frozen=True)
class TorchOptimizer(Paced):
    name: str
    parameters: Mapping[str, Any]

    slots = ()
    engine = "torch"
    """The engine that this rule needs; it calls `over` in place of `update`."""

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        raise RunnerError(f"{self.name} is torch's own: it has no update of one parameter, and needs the torch engine")

    def over(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        built: torch.optim.Optimizer = _class(self.name)(parameters, **self.parameters)
        return built


def _named(name: str) -> Callable[..., UpdateRule]:
    def build(*, clip: Clip = None, schedule: Schedule = "constant", **parameters: Any) -> UpdateRule:
        known = {p.name: p.default for p in signature(_class(name)).parameters.values() if p.name not in HOW}
        for key, value in parameters.items():
            if key not in known:
                raise RunnerError(f"{name} has no parameter '{key}'{nearest(key, known)}")
            if not _fits(value, known[key]):
                raise RunnerError(f"{name}: {key} is {json.dumps(value)}; expected {_kind(known[key])}")
        if name == "Rprop" and schedule != "constant":
            raise RunnerError("Rprop takes no schedule: it finds its own step sizes, and reads lr only at first")
        rule = TorchOptimizer(parameters.get("lr", known["lr"]), schedule, clip, name, parameters)
        _tried(rule)
        return rule

    build.__doc__ = f"torch.optim.{name} with its own parameters; its weight_decay applies to all parameters."
    return build


def _class(name: str) -> Any:
    try:
        import torch
    except ImportError:
        raise RunnerError(f"{name} needs PyTorch, which is not installed: pip install torch") from None
    if not hasattr(torch.optim, name):
        raise RunnerError(f"{name} is not in torch {torch.__version__}")
    return getattr(torch.optim, name)


def _fits(value: Any, default: Any) -> bool:
    """Whether a value has the form of its parameter's default: torch itself fails on others in its own terms."""
    if isinstance(default, bool | str) or default is None:
        return isinstance(value, type(default)) or default is None
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_fits, value, default))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _kind(default: Any) -> str:
    if isinstance(default, tuple):
        return f"a list like {json.dumps(default)}"
    return {bool: "true or false", str: "text"}.get(type(default), "a finite number")


def _tried(rule: TorchOptimizer) -> None:
    """Refuse what torch refuses, now, by a step on parameters of every shape."""
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3,), (3, 2), (3, 2, 1, 1))]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    try:
        rule.over(parameters).step()
    except Exception as error:
        raise RunnerError(f"{rule.name}: {error}") from error


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    for name in NAMES:
        yield Optimizer(name=name, build=_named(name))
