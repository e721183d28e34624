"""torch's own optimizers, under the names of their classes in torch.optim. They need the torch engine.

Left out are those that cannot train any network: LBFGS (needs a closure), SparseAdam (needs sparse gradients) and Muon
(accepts matrices only).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from runner.api import Clip, Optimizer, RunnerError, Schedule, TorchRule, hookimpl

if TYPE_CHECKING:
    import torch

NAMES = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
NOT_SETTABLE = ("params", "foreach", "fused", "capturable", "differentiable", "maximize")
"""Constructor parameters that are not part of the update rule: what it is applied to and how it is computed."""


@dataclass(frozen=True)
class TorchOptimizer(TorchRule):
    name: str
    parameters: Mapping[str, Any]

    def build_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = _torch_class(self.name)(parameters, **self.parameters)
        return optimizer


def _build_function(name: str) -> Callable[..., TorchRule]:
    """The `build` function of one of NAMES. Its parameters are those of the installed torch, so it checks them."""

    def build(*, clip: Clip = None, schedule: Schedule = "constant", **parameters: Any) -> TorchRule:
        accepted = signature(_torch_class(name)).parameters.values()
        defaults = {p.name: p.default for p in accepted if p.name not in NOT_SETTABLE}
        for key, value in parameters.items():
            if key not in defaults:
                raise RunnerError(f"{name} has no parameter '{key}'{_suggest(key, defaults)}")
            if not _same_kind(value, defaults[key]):
                raise RunnerError(f"{name}: {key} is {json.dumps(value)}; expected {_expected(defaults[key])}")
        if name == "Rprop" and schedule != "constant":
            raise RunnerError("Rprop takes no schedule: it adapts its step sizes and uses lr only at the first step")
        # Without what equals torch's default, so that a default written out builds the same rule as one left out.
        changed = {key: value for key, value in parameters.items() if not _equal(value, defaults[key])}
        return TorchOptimizer(name, changed, lr=parameters.get("lr", defaults["lr"]), schedule=schedule, clip=clip)

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


def _suggest(wrong: str, allowed: Iterable[str]) -> str:
    """The nearest allowed name, if any is near, and all allowed names: the tail of an error message."""
    names = sorted(allowed)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return f"{f'; did you mean {close[0]!r}?' if close else ';'} allowed: {', '.join(names)}"


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    for name in NAMES:
        yield Optimizer(name=name, build=_build_function(name))
