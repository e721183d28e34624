"""The built-in update rules against torch's own optimizers, step by step."""

import numpy as np
import pytest
import torch
from runner.plugins.optimizers.adam import adam
from runner.plugins.optimizers.sgd import sgd

from runner.api import RunnerError, Step

STEPS = 20
SGD = [
    {"lr": 0.1},
    {"lr": 0.1, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.9, "schedule": "cosine"},
]
ADAM = [
    {},
    {"lr": 0.1, "beta1": 0.8, "beta2": 0.95},
    {"lr": 0.1, "beta1": 0.0},
    {"lr": 0.1, "epsilon": 0.1},
    {"lr": 0.1, "weight_decay": 0.05},
    {"lr": 0.1, "schedule": "cosine"},
]
RULES = [(sgd, options) for options in SGD] + [(adam, options) for options in ADAM]


def torch_optimizer(build, options, parameter):
    options = {key: value for key, value in options.items() if key != "schedule"}
    if build is sgd:
        return torch.optim.SGD([parameter], **options)
    defaults = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0} | options
    betas = defaults.pop("beta1"), defaults.pop("beta2")
    return torch.optim.Adam([parameter], betas=betas, eps=defaults.pop("epsilon"), **defaults)


def start():
    rng = np.random.default_rng(3)
    return rng.standard_normal((4, 3)), rng.standard_normal((STEPS, 4, 3))


def walk(rule, parameter, gradients, zeros):
    """The parameter after each step of our rule."""
    state = {slot: zeros(parameter) for slot in rule.slots}
    for number, gradient in enumerate(gradients, 1):
        rule.update(parameter, gradient, state, Step(number, STEPS))
        yield parameter.tolist()


@pytest.mark.parametrize(("build", "options"), RULES)
def test_each_step_is_that_of_torch(build, options):
    parameter, gradients = start()
    theirs = torch.nn.Parameter(torch.tensor(parameter))
    optimizer = torch_optimizer(build, options, theirs)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    ours = walk(build(**options), torch.tensor(parameter), torch.tensor(gradients), torch.zeros_like)
    for gradient, found in zip(gradients, ours, strict=True):
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
        if options.get("schedule") == "cosine":
            cosine.step()
        np.testing.assert_allclose(found, theirs.tolist(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("build", "options"), RULES)
def test_numpy_and_torch_arrays_go_the_same_way(build, options):
    parameter, gradients = start()
    rule = build(**options)
    on_torch = list(walk(rule, torch.tensor(parameter), torch.tensor(gradients), torch.zeros_like))
    on_numpy = list(walk(rule, parameter.copy(), gradients, np.zeros_like))
    np.testing.assert_allclose(on_numpy, on_torch, rtol=0, atol=1e-14)
    assert not np.array_equal(on_numpy[-1], parameter)


@pytest.mark.parametrize(("build", "options"), RULES)
def test_the_gradient_is_left_alone(build, options):
    parameter, gradients = start()
    before = gradients.copy()
    list(walk(build(**options), parameter, gradients, np.zeros_like))
    np.testing.assert_array_equal(gradients, before)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(RunnerError, match="needs a momentum"):
        sgd(lr=0.1, nesterov=True)
