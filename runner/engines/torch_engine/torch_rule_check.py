"""One step of an optimizer of torch's kind, on parameters of zeros."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from runner.components.protocols import Step
from runner.components.rule_options import RuleOptions
from runner.engines.torch_engine.torch_optimizer import Groups
from runner.errors import RunnerError

SHAPES = ((3,), (3, 2), (3, 2, 1, 1))
"""Those of a bias, of a dense layer's weights and of a convolution's."""


def try_one_step(rule: Any, options: RuleOptions, name: str) -> None:
    """Raise RunnerError, whose message begins with `name`, for what torch refuses, at the latest in the first step."""
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    # Every multiplier is tried on each of the parameters.
    factors = [options.factors([kind]) for kind in options.multipliers] or [options.factors(())]
    try:
        for own in factors:
            Groups(rule, parameters, [own] * len(parameters)).step(Step(1, 2))
    except RunnerError as error:
        raise RunnerError(f"{name}: {error}") from None
    except ValueError as error:  # whose words in torch are meant for users
        raise RunnerError(f"{name}: {error}") from error
    except Exception as error:
        raise RunnerError(f"{name}: {type(error).__name__}: {error}") from error
