"""The built-in update rules against torch's own optimizers, step by step; and the clipping of gradients."""

from itertools import product

import numpy as np
import pytest
import torch
from command import ROOT
from runner.plugins.optimizers.adagrad import adagrad
from runner.plugins.optimizers.adam import adam, adamw
from runner.plugins.optimizers.lars import lars
from runner.plugins.optimizers.lion import lion
from runner.plugins.optimizers.rmsprop import rmsprop
from runner.plugins.optimizers.sgd import sgd

from runner.api import RunnerError, Step
from runner.engines.optimizer_step import clip_by_norm

STEPS = 20
SHAPES = [(6,), (5, 7), (4, 3, 3, 3)]
"""A bias, a dense layer and a convolution."""
LARGE = (40, 30, 5, 5)
"""More numbers than NumPy or torch sum in a single pass."""
DECAY = {"weight_decay": 0.05, "decay_all": True}
LIBRARIES = {
    "numpy": lambda array: array.copy(),
    "torch": lambda array: torch.from_numpy(array.copy()),
    "channels_last": lambda array: (
        torch.from_numpy(np.moveaxis(np.moveaxis(array, 2, -1).copy(), -1, 2))
        if array.ndim == 5
        else torch.from_numpy(array.copy())
    ),
}


class Lion:
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2, line by line."""

    def __init__(self, parameters, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
        self.theta, self.m = parameters[0], torch.zeros_like(parameters[0])
        self.eta, self.beta1, self.beta2, self.decay = lr, beta1, beta2, weight_decay

    @torch.no_grad()
    def step(self):
        g = self.theta.grad
        c = self.beta1 * self.m + (1 - self.beta1) * g
        self.theta -= self.eta * (torch.sign(c) + self.decay * self.theta)
        self.m = self.beta2 * self.m + (1 - self.beta2) * g


class LARS:
    """You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1, line by line."""

    def __init__(self, parameters, lr, momentum=0.9, trust=1e-3, weight_decay=0.0):
        self.w, self.v = parameters[0], torch.zeros_like(parameters[0])
        self.gamma, self.m, self.eta, self.beta = lr, momentum, trust, weight_decay

    @torch.no_grad()
    def step(self):
        g, w = self.w.grad, self.w
        local = self.eta * torch.linalg.norm(w) / (torch.linalg.norm(g) + self.beta * torch.linalg.norm(w))
        self.v = self.m * self.v + self.gamma * local * (g + self.beta * w)
        self.w -= self.v


THEIRS = {
    sgd: torch.optim.SGD, adagrad: torch.optim.Adagrad, rmsprop: torch.optim.RMSprop, adam: torch.optim.Adam,
    adamw: torch.optim.AdamW, lion: Lion, lars: LARS,
}  # fmt: skip
OPTIONS = {
    sgd: [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ],
    adagrad: [{}, {"lr": 0.1, "epsilon": 0.1}],
    rmsprop: [
        {},
        {"lr": 1e-3, "alpha": 0.9, "epsilon": 1e-3},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.5},
    ],
    adam: [{}, {"lr": 0.1, "beta1": 0.8, "beta2": 0.95}, {"beta1": 0.0}, {"lr": 0.1, "epsilon": 0.1}],
    adamw: [{}, {"lr": 0.1, "beta1": 0.8, "beta2": 0.95}],
    lion: [{}, {"lr": 0.01, "beta1": 0.95, "beta2": 0.98}],
    lars: [{"lr": 1.0}, {"lr": 10.0, "momentum": 0.5, "trust": 0.02}, {"lr": 10.0, "momentum": 0.0}],
}
EACH = [(build, {"decay_all": True} | options) for build in OPTIONS for options in OPTIONS[build]]
RULES = EACH + [(build, options | DECAY) for build, options in EACH]
each_rule = pytest.mark.parametrize(
    ("build", "options"), RULES, ids=[f"{build.__name__}-{options}" for build, options in RULES]
)
each_build = pytest.mark.parametrize("build", OPTIONS)


def draw_parameters(shape, dtype=np.float64, fits=1, steps=STEPS):
    """Parameters of some fits and their gradients at each step, with zeros among them, as after a ReLU."""
    rng = np.random.default_rng(3)
    gradients = rng.standard_normal((steps, fits, *shape))
    gradients[:, :, ::3] = 0
    return rng.standard_normal((fits, *shape)).astype(dtype), gradients.astype(dtype)


def walk(rule, parameter, gradients):
    """The parameter after each step of our rule."""
    state = dict(zip(rule.slots, (parameter * 0 for _ in rule.slots), strict=True))
    for number, gradient in enumerate(gradients, 1):
        rule.update(parameter, gradient, state, Step(number, STEPS))
        yield np.asarray(parameter).copy()


def walk_of_torch(build, options, parameter, gradients):
    names = {"epsilon": "eps"} if build in (adagrad, rmsprop, adam, adamw) else {}
    arguments = {names.get(key, key): value for key, value in options.items() if key != "decay_all"}
    if build in (adam, adamw):
        arguments["betas"] = arguments.pop("beta1", 0.9), arguments.pop("beta2", 0.999)
    theirs = torch.nn.Parameter(torch.from_numpy(parameter.copy()))
    optimizer = THEIRS[build]([theirs], **arguments)
    for gradient in gradients:
        theirs.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        yield theirs.detach().numpy().copy()


@each_rule
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_each_step_is_that_of_torch(build, options, dtype, library):
    for shape in SHAPES:
        parameter, gradients = draw_parameters(shape, dtype)
        array = LIBRARIES[library]
        actual = list(walk(build(**options), array(parameter), map(array, gradients)))
        expected = list(walk_of_torch(build, options, parameter, gradients))
        # In float32, RMSprop divides by roots of small differences, which makes rounding errors visible.
        tolerance = 1e-12 if dtype == "float64" else 1e-2 if options.get("centered") else 2e-5
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
        assert actual[0].dtype == dtype and not np.array_equal(actual[-1], parameter)


@each_rule
def test_numpy_and_torch_arrays_give_the_same_steps(build, options):
    for shape, dtype in product(SHAPES, ("float64", "float32")):
        parameter, gradients = draw_parameters(shape, dtype)
        walks = [list(walk(build(**options), array(parameter), map(array, gradients))) for array in LIBRARIES.values()]
        tolerance = 1e-12 if dtype == "float64" else 1e-2 if options.get("centered") else 2e-5
        for other in walks[1:]:
            np.testing.assert_allclose(other, walks[0], rtol=0, atol=tolerance)


@each_rule
@pytest.mark.parametrize("library", LIBRARIES)
def test_each_fit_of_a_group_is_updated_as_when_alone_bit_for_bit(build, options, library):
    array, rule = LIBRARIES[library], build(**options)
    for shape, dtype in product([*SHAPES, LARGE], ("float64", "float32")):
        parameters, gradients = draw_parameters(shape, dtype, fits=3, steps=STEPS if shape in SHAPES else 3)
        together = list(walk(rule, array(parameters), map(array, gradients)))
        for fit in range(3):
            mine = slice(fit, fit + 1)
            alone = list(walk(rule, array(parameters[mine]), map(array, gradients[:, mine])))
            np.testing.assert_array_equal([step[mine] for step in together], alone)


@each_rule
def test_the_gradient_is_not_changed(build, options):
    parameter, gradients = draw_parameters((4, 3))
    before = gradients.copy()
    list(walk(build(**options), parameter, gradients))
    np.testing.assert_array_equal(gradients, before)


@each_build
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_decay_spares_biases_and_normalisation(build, library):
    options, array = OPTIONS[build][0] | {"weight_decay": 0.05}, LIBRARIES[library]
    ends = {}
    for shape, decays in product([(6,), (5, 7)], ({}, {"decay_all": True}, {"weight_decay": 0.0})):
        parameter, gradients = draw_parameters(shape)
        ends[len(shape), *decays] = list(walk(build(**options | decays), array(parameter), map(array, gradients)))[-1]
    np.testing.assert_array_equal(ends[2,], ends[2, "decay_all"])
    assert not np.array_equal(ends[2,], ends[2, "weight_decay"])
    np.testing.assert_array_equal(ends[1,], ends[1, "weight_decay"])
    assert not np.array_equal(ends[1,], ends[1, "decay_all"])


def test_lars_updates_exempt_parameters_as_sgd_does():
    parameter, gradients = draw_parameters((6,))
    # Its velocity includes the learning rate; that makes no difference while the rate is constant.
    actual = list(walk(lars(lr=0.1, momentum=0.9), parameter.copy(), gradients))
    expected = list(walk(sgd(lr=0.1, momentum=0.9), parameter, gradients))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_lars_moves_weights_of_zero_and_does_not_move_without_a_gradient(library):
    array, rule = LIBRARIES[library], lars(lr=0.1, momentum=0.0)
    weights, ones = np.stack([np.zeros((2, 3)), np.ones((2, 3))]), np.ones((2, 2, 3))
    (first,) = walk(rule, array(weights), [array(ones * [[[1.0]], [[0.0]]])])
    np.testing.assert_array_equal(first, [np.full((2, 3), -0.1), np.ones((2, 3))])


def test_a_constant_gradient_has_no_variance_below_zero():
    gradients = np.full((STEPS, 1, 50, 3), 0.1, np.float32) * np.arange(1, 51, dtype=np.float32)[:, None]
    for moved in walk(rmsprop(centered=True, alpha=0.5), np.ones((1, 50, 3), np.float32), gradients):
        assert np.isfinite(moved).all()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("most", [0.5, 2.0, 1e3])
def test_clipping_is_that_of_torch_and_each_fits_own(library, most):
    array = LIBRARIES[library]
    for dtype in ("float64", "float32"):
        gradients = [draw_parameters(shape, dtype, fits=3, steps=1)[0] * 0.1 for shape in [*SHAPES, LARGE]]
        together = clip_by_norm([None, *map(array, gradients)], most)
        assert together[0] is None
        for fit in range(3):
            theirs = [torch.nn.Parameter(torch.from_numpy(gradient[fit])) for gradient in gradients]
            for parameter in theirs:
                parameter.grad = parameter.detach().clone()
            torch.nn.utils.clip_grad_norm_(theirs, most)
            alone = clip_by_norm([array(gradient[fit : fit + 1]) for gradient in gradients], most)
            for mine, own, expected in zip(together[1:], alone, theirs, strict=True):
                np.testing.assert_array_equal(mine[fit], own[0])
                np.testing.assert_allclose(own[0], expected.grad, rtol=1e-12 if dtype == "float64" else 2e-5)


def test_clipping_without_gradients_changes_nothing():
    assert clip_by_norm([None, None], 1.0) == [None, None]


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(RunnerError, match="needs a momentum"):
        sgd(lr=0.1, nesterov=True)


def test_each_module_is_an_entry_point():
    """A plugin that setup.cfg does not list is not loaded."""
    folder = ROOT
    listed = (folder / "setup.cfg").read_text()
    modules = [file.stem for file in (folder / "plugins/optimizers").glob("*.py") if "@hookimpl" in file.read_text()]
    assert [name for name in modules if f"{name} = runner.plugins.optimizers.{name}\n" not in listed] == []
