"""The built-in update rules against torch's own optimizers, step by step; and torch's own, by their names."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import RUNNER, TINY, environment
from runner.plugins.optimizers.adagrad import adagrad
from runner.plugins.optimizers.adam import adam, adamw
from runner.plugins.optimizers.lars import lars
from runner.plugins.optimizers.lion import lion
from runner.plugins.optimizers.rmsprop import rmsprop
from runner.plugins.optimizers.sgd import sgd
from runner.plugins.optimizers.torch_optim import NAMES

from runner.api import RunnerError, Step
from runner.catalog import load_catalog
from runner.cli import main
from runner.components import ComponentRef
from runner.engines.training import clipped
from runner.folds import stratified_splits
from runner.network.parameters import initial_values
from runner.seeding import stream

STEPS = 20
SHAPES = [(6,), (5, 7), (4, 3, 3, 3)]
"""A bias, a dense layer and a convolution."""
LARGE = (40, 30, 5, 5)
"""More numbers than a library sums up in one go."""
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


def drawn(shape, dtype=np.float64, fits=1, steps=STEPS):
    """Parameters of some fits, and their gradients at each step, among them zeros, as behind a ReLU."""
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
    given = {names.get(key, key): value for key, value in options.items() if key != "decay_all"}
    if build in (adam, adamw):
        given["betas"] = given.pop("beta1", 0.9), given.pop("beta2", 0.999)
    theirs = torch.nn.Parameter(torch.from_numpy(parameter.copy()))
    optimizer = THEIRS[build]([theirs], **given)
    for gradient in gradients:
        theirs.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        yield theirs.detach().numpy().copy()


@each_rule
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_each_step_is_that_of_torch(build, options, dtype, library):
    for shape in SHAPES:
        parameter, gradients = drawn(shape, dtype)
        array = LIBRARIES[library]
        found = list(walk(build(**options), array(parameter), map(array, gradients)))
        expected = list(walk_of_torch(build, options, parameter, gradients))
        # In float32, RMSprop divides by roots of differences: what is rounded there may be seen.
        tolerance = 1e-12 if dtype == "float64" else 1e-2 if options.get("centered") else 2e-5
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
        assert found[0].dtype == dtype and not np.array_equal(found[-1], parameter)


@each_rule
def test_numpy_and_torch_arrays_go_the_same_way(build, options):
    for shape, dtype in product(SHAPES, ("float64", "float32")):
        parameter, gradients = drawn(shape, dtype)
        walks = [list(walk(build(**options), array(parameter), map(array, gradients))) for array in LIBRARIES.values()]
        tolerance = 1e-12 if dtype == "float64" else 1e-2 if options.get("centered") else 2e-5
        for other in walks[1:]:
            np.testing.assert_allclose(other, walks[0], rtol=0, atol=tolerance)


@each_rule
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_group_of_fits_goes_as_each_alone_bit_for_bit(build, options, library):
    array, rule = LIBRARIES[library], build(**options)
    for shape, dtype in product([*SHAPES, LARGE], ("float64", "float32")):
        parameters, gradients = drawn(shape, dtype, fits=3, steps=STEPS if shape in SHAPES else 3)
        together = list(walk(rule, array(parameters), map(array, gradients)))
        for fit in range(3):
            mine = slice(fit, fit + 1)
            alone = list(walk(rule, array(parameters[mine]), map(array, gradients[:, mine])))
            np.testing.assert_array_equal([step[mine] for step in together], alone)


@each_rule
def test_the_gradient_is_left_alone(build, options):
    parameter, gradients = drawn((4, 3))
    before = gradients.copy()
    list(walk(build(**options), parameter, gradients))
    np.testing.assert_array_equal(gradients, before)


@each_build
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_decay_spares_biases_and_normalisation(build, library):
    options, array = OPTIONS[build][0] | {"weight_decay": 0.05}, LIBRARIES[library]
    ends = {}
    for shape, decays in product([(6,), (5, 7)], ({}, {"decay_all": True}, {"weight_decay": 0.0})):
        parameter, gradients = drawn(shape)
        ends[len(shape), *decays] = list(walk(build(**options | decays), array(parameter), map(array, gradients)))[-1]
    np.testing.assert_array_equal(ends[2,], ends[2, "decay_all"])
    assert not np.array_equal(ends[2,], ends[2, "weight_decay"])
    np.testing.assert_array_equal(ends[1,], ends[1, "weight_decay"])
    assert not np.array_equal(ends[1,], ends[1, "decay_all"])


def test_lars_moves_what_is_exempt_as_sgd_does():
    parameter, gradients = drawn((6,))
    # Its velocity holds the learning rate, which is the same while that rests.
    found = list(walk(lars(lr=0.1, momentum=0.9), parameter.copy(), gradients))
    expected = list(walk(sgd(lr=0.1, momentum=0.9), parameter, gradients))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_lars_moves_weights_of_zero_and_stays_where_nothing_pulls(library):
    array, rule = LIBRARIES[library], lars(lr=0.1, momentum=0.0)
    weights, ones = np.stack([np.zeros((2, 3)), np.ones((2, 3))]), np.ones((2, 2, 3))
    (first,) = walk(rule, array(weights), [array(ones * [[[1.0]], [[0.0]]])])
    np.testing.assert_array_equal(first, [np.full((2, 3), -0.1), np.ones((2, 3))])


def test_an_even_gradient_has_no_variance_below_zero():
    gradients = np.full((STEPS, 1, 50, 3), 0.1, np.float32) * np.arange(1, 51, dtype=np.float32)[:, None]
    for moved in walk(rmsprop(centered=True, alpha=0.5), np.ones((1, 50, 3), np.float32), gradients):
        assert np.isfinite(moved).all()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("most", [0.5, 2.0, 1e3])
def test_clipping_is_that_of_torch_and_each_fits_own(library, most):
    array = LIBRARIES[library]
    for dtype in ("float64", "float32"):
        gradients = [drawn(shape, dtype, fits=3, steps=1)[0] * 0.1 for shape in [*SHAPES, LARGE]]
        together = clipped([None, *map(array, gradients)], most)
        assert together[0] is None
        for fit in range(3):
            theirs = [torch.nn.Parameter(torch.from_numpy(gradient[fit])) for gradient in gradients]
            for parameter in theirs:
                parameter.grad = parameter.detach().clone()
            torch.nn.utils.clip_grad_norm_(theirs, most)
            alone = clipped([array(gradient[fit : fit + 1]) for gradient in gradients], most)
            for mine, own, expected in zip(together[1:], alone, theirs, strict=True):
                np.testing.assert_array_equal(mine[fit], own[0])
                np.testing.assert_allclose(own[0], expected.grad, rtol=1e-12 if dtype == "float64" else 2e-5)


def test_clipping_nothing_is_nothing():
    assert clipped([None, None], 1.0) == [None, None]


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(RunnerError, match="needs a momentum"):
        sgd(lr=0.1, nesterov=True)


PLUGIN = """\
from dataclasses import dataclass
from runner.api import Optimizer, Positive, hookimpl
@dataclass(frozen=True)
class Normed:
    lr: float
    clip: float
    slots = ("velocity",)
    def update(self, parameter, gradient, state, step):
        state["velocity"] *= 0.9
        state["velocity"] += gradient
        parameter -= self.lr * state["velocity"]
def normed(*, lr: Positive = 0.05, clip: Positive = 0.5): return Normed(lr, clip)
@hookimpl
def register_optimizers(): return [Optimizer(name="normed", build=normed)]
"""
ONE_CELL = TINY.partition("grid:")[0].replace("folds: 3", "folds: 2")


def experiment(folder, optimizer="adam", training="{epochs: 2, batch_size: 100}", more=""):
    file = folder / "tiny.yaml"
    text = ONE_CELL.replace("{name: adam, lr: 1e-2}", optimizer).replace("{epochs: 2, batch_size: 100}", training)
    file.write_text(text + more)
    return file


def trained(file):
    """Run an experiment as a user would; the curves of each cell's fits, by its levels and by fold."""
    command = [str(RUNNER), "run", str(file), "--executor", "serial"]
    done = subprocess.run(command, cwd=file.parent, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = file.parent / "reports" / "tiny"
    levels = {cell["id"]: tuple(cell["levels"].values()) for cell in parse_plan(report)["cells"]}
    curves = {cell: {} for cell in levels.values()}
    for line in (report / "journal.jsonl").read_text().splitlines():
        fit = json.loads(line)["fit"]
        curves[levels[fit["cell"]]][fit["fold"]] = fit["curves"]
    return curves


def parse_plan(report):
    return yaml.safe_load((report / "plan.yaml").read_text())


def test_an_optimizer_of_15_lines_trains_as_the_built_in_one_on_both_engines(tmp_path):
    assert len(PLUGIN.splitlines()) <= 15
    (tmp_path / "normed.py").write_text(PLUGIN)
    built_in = "{name: sgd, lr: 0.05, momentum: 0.9, clip: 0.5}"
    factors = f"  f: {{mine: {{optimizer: normed}}, theirs: {{optimizer: {built_in}}}}}\n"
    grid = f"grid:\n{factors}  training.engine: [torch, numpy]\n"
    file = experiment(tmp_path, more=grid)
    file.write_text(file.read_text().replace("plugins: []", "plugins: [./normed.py]"))
    curves = trained(file)
    for engine in ("torch", "numpy"):
        assert curves["mine", engine] == curves["theirs", engine] and len(curves["mine", engine]) == 2
    first, second = (curves["mine", engine][0]["train_loss"] for engine in ("torch", "numpy"))
    assert first == pytest.approx(second, rel=1e-4)


HAND = [
    ("{name: NAdam, lr: 0.01, weight_decay: 1e-3, betas: [0.8, 0.99]}",
     lambda p: torch.optim.NAdam(p, lr=0.01, weight_decay=1e-3, betas=(0.8, 0.99)), None, None),
    ("{name: SGD, lr: 0.1, momentum: 0.9, dampening: 0.1, clip: 0.5, schedule: cosine}",
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1), 0.5,
     lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 18)),
    ("{name: adamw, lr: 0.02, weight_decay: 0.1, decay_all: true, clip: 0.5, schedule: one_cycle}",
     lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1), 0.5,
     lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.02, total_steps=18, cycle_momentum=False)),
]  # fmt: skip


def by_hand(make, clip, schedule):
    """The training losses of fold 1 of ONE_CELL, in torch alone."""
    catalog = load_catalog()
    data = catalog.build("dataset", ComponentRef("digits"))
    images, labels = (torch.from_numpy(np.array(array)) for array in data.load())
    split = stratified_splits(labels.numpy(), 2, 1, 0)[1]
    images, labels = images[split.train] / 255, labels[split.train].long()
    images = (images - images.mean()) / images.std(correction=0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(64, 10),
    )  # fmt: skip
    network = catalog.build("architecture", ComponentRef("stages", {"width": 4, "stages": 1}), data.shape, 10)
    values = initial_values(network, data.shape, 0, 0, 1)
    module.load_state_dict(dict(zip(module.state_dict(), map(torch.from_numpy, values.values()), strict=True)))
    optimizer = make(module.parameters())
    scheduler = schedule and schedule(optimizer)
    losses = []
    for epoch in range(2):
        total, order = 0.0, torch.from_numpy(stream("order", 0, 0, 1, epoch).permutation(len(labels)))
        for index in order.split(100):
            loss = torch.nn.functional.cross_entropy(module(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            if scheduler:
                scheduler.step()
            total += loss.item() * len(index)
        losses.append(total / len(labels))
    return losses


def test_torchs_own_optimizers_train_as_in_a_loop_written_by_hand(tmp_path):
    levels = [f"    hand{number}: {{optimizer: {row[0]}}}\n" for number, row in enumerate(HAND)]
    levels += [f"    {name}: {{optimizer: {name}}}\n" for name in NAMES]
    curves = trained(experiment(tmp_path, more="grid:\n  f:\n" + "".join(levels)))
    for number, (_, *given) in enumerate(HAND):
        found = curves[f"hand{number}",][1]["train_loss"]
        assert found == pytest.approx(by_hand(*given), rel=1e-4)
    losses = {fit["train_loss"][1] for fits in curves.values() for fit in fits.values()}
    assert len(losses) == 2 * len(curves) == 2 * (len(HAND) + len(NAMES))


def test_the_names_are_all_of_torchs_that_can_train_any_network():
    classes = {name for name, value in vars(torch.optim).items() if isinstance(value, type)}
    assert classes - set(NAMES) <= {"Optimizer", "LBFGS", "SparseAdam", "Muon"}


REFUSED = """
{name: adma}               => : unknown optimizer 'adma'; did you mean 'adam'? allowed: ASGD, Adadelta, Adafactor, \
Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, Rprop, SGD, adagrad, adam, adamw, lars, lion, rmsprop, sgd
{name: lion, betas: [1]}   => .betas: lion has no parameter 'betas'; did you mean 'beta2'? allowed: beta1, beta2, \
clip, decay_all, lr, schedule, weight_decay
lars                       => : lars needs the parameter 'lr' (float > 0)
{name: adam, clip: 0}      => .clip: found 0; allowed: more than 0.0
{name: adam, decay_all: 1} => .decay_all: found 1; expected true or false
{name: NAdam, lrr: 1}      => : NAdam has no parameter 'lrr'; did you mean 'lr'? allowed: betas, \
decoupled_weight_decay, eps, lr, momentum_decay, weight_decay
{name: NAdam, params: []}  => : NAdam has no parameter 'params'; allowed: betas, decoupled_weight_decay, eps, lr, \
momentum_decay, weight_decay
{name: NAdam, lr: x}       => : NAdam: lr is "x"; expected a finite number
{name: NAdam, lr: .nan}    => : NAdam: lr is NaN; expected a finite number
{name: NAdam, lr: true}    => : NAdam: lr is true; expected a finite number
{name: NAdam, lr: -1}      => : NAdam: Invalid learning rate: -1
{name: NAdam, betas: 0.9}  => : NAdam: betas is 0.9; expected a list like [0.9, 0.999]
{name: NAdam, betas: [1]}  => : NAdam: betas is [1]; expected a list like [0.9, 0.999]
{name: SGD, nesterov: 1}   => : SGD: nesterov is 1; expected true or false
{name: SGD, clip: x}       => .clip: found 'x'; expected a number
{name: Rprop, schedule: cosine} => : Rprop takes no schedule: it finds its own step sizes, and reads lr only at first
"""
ROWS = [line.split("=> ") for line in REFUSED.strip().splitlines()]


@pytest.mark.parametrize(("optimizer", "complaint"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_what_is_wrong_with_an_optimizer_is_a_line(optimizer, complaint, tmp_path, capsys):
    file = experiment(tmp_path, optimizer.strip())
    assert main(["plan", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}:6: optimizer{complaint}\n"


def test_torchs_own_need_torch_and_its_engine(tmp_path, capsys, monkeypatch):
    file = experiment(tmp_path, "NAdam", "{epochs: 1, engine: numpy}")
    assert main(["plan", str(file)]) == 2
    line = f"{file}:6: optimizer: NAdam is torch's own, which the numpy engine lacks\n"
    assert capsys.readouterr().err == line
    monkeypatch.delattr(torch.optim, "NAdam")
    assert main(["plan", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}:6: optimizer: NAdam is not in torch {torch.__version__}\n"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["plan", str(file)]) == 2
    line = f"{file}:6: optimizer: NAdam needs PyTorch, which is not installed: pip install torch\n"
    assert capsys.readouterr().err == line


def test_planning_with_our_own_leaves_torch_alone(tmp_path):
    lars = "{name: lars, lr: 1, clip: 1, schedule: {name: cosine, warmup: 1}}"
    script = "import sys; from runner.cli import main; assert not main(sys.argv[1:]) and 'torch' not in sys.modules"
    grid = f"grid: {{optimizer: [adagrad, adam, adamw, lion, rmsprop, {lars}]}}\n"
    command = [sys.executable, "-c", script, "plan", str(experiment(tmp_path, more=grid))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_module_is_an_entry_point():
    """A plugin that setup.cfg does not list is not there for anyone."""
    folder = Path(__file__).parent.parent
    listed = (folder / "setup.cfg").read_text()
    modules = [file.stem for file in (folder / "plugins/optimizers").glob("*.py") if "@hookimpl" in file.read_text()]
    assert [name for name in modules if f"{name} = runner.plugins.optimizers.{name}\n" not in listed] == []
