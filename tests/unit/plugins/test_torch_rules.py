"""Rules around optimizers of torch's kind, as an author writes them from the documentation, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import ROOT, Command, journal_by_id
from engine_fits import built_fit, train_curves

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.torch_engine.learner import TorchLearner

PAGE = (ROOT / "docs" / "how-to" / "wrap-torch-optim.md").read_text()
ONE_CELL = """\
name: s
plugins: [./mine.py]
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
optimizer: OPTIMIZER
training: {epochs: 2, batch_size: 10, engine: torch}
cross_validation: {folds: 2}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_plugin_of_the_guide_trains_as_the_same_rule_in_arrays(tmp_path: Path, here: Command) -> None:
    (code,) = blocks("python")
    (tmp_path / "signum.py").write_text(code)
    (tmp_path / "twin.py").write_text(TWIN)
    (study,) = blocks("yaml")
    assert "dataset: digits" in study
    study = study.replace("dataset: digits", "dataset: {name: digits, subset: 200}")
    study = study.replace("[./signum.py]", "[./signum.py, ./twin.py]")
    around = "sam: {rho: 0.5}, lookahead: {k: 2}, multipliers: {bias: {lr: 2}}"
    for name, more in (("twin", ""), ("signum", around), ("twin", around)):
        level = f"{{name: {name}, {more or 'lr: 1e-3'}, schedule: cosine, clip: 1.0}}"
        study += f"    {name}{bool(more)}: {{optimizer: {level}}}\n"
    (tmp_path / "study.yaml").write_text(study)
    # In float64, as rounding changes the sign of a mean near 0.
    done = here("run", "study.yaml", "--set", "training.precision=float64")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "reports" / "signum-or-adam"
    curves = {fit["cell"]: fit["curves"]["train_loss"] for fit in journal_by_id(report).values() if fit["fold"] == 0}
    cells = yaml.safe_load((report / "plan.yaml").read_text())["cells"]
    # The last two with what the runner does around the rule.
    adam, signum, twin, signum_around, twin_around = (curves[cell["id"]] for cell in cells)
    assert signum == pytest.approx(twin, rel=1e-5) and signum_around == pytest.approx(twin_around, rel=1e-5)
    assert len({losses[1] for losses in (adam, signum, signum_around)}) == 3


TWIN = """
from dataclasses import dataclass
from runner.api import Clip, Optimizer, Schedule, hookimpl, rate

@dataclass(frozen=True)
class Twin:
    lr: float
    schedule: Schedule
    clip: Clip
    slots = ("mean",)
    def update(self, parameter, gradient, state, step):
        mean = state["mean"]
        mean *= 0.9
        mean += 0.1 * gradient
        parameter -= rate(self.lr, self.schedule, step) * ((mean > 0) * 1.0 - (mean < 0) * 1.0)

def twin(*, lr: float = 1e-3, clip: Clip = None, schedule: Schedule = "constant"):
    return Twin(lr, schedule, clip)

@hookimpl
def register_optimizers():
    yield Optimizer(name="twin", build=twin)
"""
GROUPS = """
import torch
from dataclasses import dataclass
from runner.api import *

@dataclass(frozen=True)
class Rule(TorchRule):
    def build_optimizer(self, parameters):
        small = [p for p in parameters if p.ndim < 2]
        large = [p for p in parameters if p.ndim >= 2]
        return torch.optim.SGD([{"params": large}, {"params": small, "lr": 2 * self.lr}], lr=self.lr)

class Alone(Rule):
    rate = None

def rule(*, lr: Positive = 0.1, schedule: Schedule = "constant"): return Rule(lr=lr, schedule=schedule)
def alone(*, lr: Positive = 0.1): return Alone(lr=lr)
@hookimpl
def register_optimizers(): return [Optimizer(f.__name__, f) for f in (rule, alone)]
"""


def losses(folder: Path, name: str, **parameters: Any) -> list[float]:
    """The training losses with an optimizer of GROUPS or a built-in one."""
    (folder / "mine.py").write_text(GROUPS)
    catalog = load_catalog((str(folder / "mine.py"),))
    ref = catalog.bind("optimizer", ComponentRef(name, parameters))
    rule, options = catalog.build("optimizer", ref), catalog.rule_options(ref)
    return train_curves(dataclasses.replace(built_fit(), rule=rule, options=options))["train_loss"]


def test_groups_of_a_rule_s_own_stay_in_proportion(tmp_path: Path) -> None:
    """Twice the rate for biases: with a schedule, with multipliers, and where the optimizer decides the rate itself."""
    twice = {"multipliers": {"bias": {"lr": 2}}}
    rule, sgd = partial(losses, tmp_path, "rule"), partial(losses, tmp_path, "sgd", lr=0.1)
    assert rule() == pytest.approx(sgd(**twice), rel=1e-5) != pytest.approx(sgd(), rel=1e-5)
    assert losses(tmp_path, "alone") == rule()
    assert rule(schedule="cosine") == pytest.approx(sgd(schedule="cosine", **twice), rel=1e-5)
    assert rule(multipliers={"bias": {"lr": 0.5}}) == pytest.approx(sgd(), rel=1e-5)


START = """
import functools
from dataclasses import dataclass
import numpy as np
import torch
from runner.api import *

MADE = {}

@dataclass(frozen=True)
class Rule(TorchRule):
    def build_optimizer(self, parameters):
        RETURN

@dataclass(frozen=True)
class Arrays:
    slots = ()
    engine = "ENGINE"
    def update(self, parameter, gradient, state, step):
        parameter -= 0.1 * torch.sign(gradient)

def mine():
    BUILD

@hookimpl
def register_optimizers(): return [Optimizer("mine", mine)]
"""
KIND = "an optimizer of torch's kind and not an update rule; name it in YAML, optimizer: {name: "
REFUSED = {
    "torch's class": ({"BUILD": "return torch.optim.SGD"}, f"builds SGD, {KIND}"),
    "torch's optimizer": ({"BUILD": "return torch.optim.Adam([torch.zeros(1)])"}, f"builds Adam, {KIND}"),
    "a call of torch's": ({"BUILD": "return functools.partial(torch.optim.SGD, lr=0.1)"}, f"builds SGD, {KIND}"),
    "nothing built": ({"RETURN": "pass"}, "build_optimizer returns NoneType; expected a torch.optim.Optimizer"),
    "a closure": ({"RETURN": "return torch.optim.LBFGS(parameters)"}, "positional argument: 'closure'"),
    "matrices only": ({"RETURN": "return torch.optim.Muon(parameters, lr=self.lr)"}, "2D parameters"),
    "a wrong setting": ({"RETURN": "return torch.optim.SGD(parameters, lr=-1)"}, ": Invalid learning rate: -1"),
    "a raise": ({"RETURN": "return self.optimizer"}, "AttributeError: 'Rule' object has no attribute 'optimizer'"),
    "other parameters": ({"RETURN": "return torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1)"},
                         "build_optimizer returns an optimizer of other parameters; make a new one of those given"),
    "the one of another fit": ({"RETURN": "return MADE.setdefault(1, torch.optim.SGD(parameters, lr=0.1))"},
                               "build_optimizer returns an optimizer of other parameters"),
    "upwards": ({"RETURN": "return torch.optim.SGD(parameters, lr=0.1, maximize=True)"},
                "update goes along the gradient, so that the loss rises"),
    "forgotten": ({"    def build_optimizer": "    def build_optimiser"}, "Rule has no build_optimizer(parameters)"),
    "no such engine": ({"BUILD": "return Arrays()", "ENGINE": "troch"},
                       "builds a rule whose engine is 'troch'; did you mean 'torch'? allowed: numpy, torch"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_one_line_of_the_plan(case: str, tmp_path: Path, here: Command) -> None:
    changes, message = REFUSED[case]
    if case == "matrices only":
        import torch

        if not hasattr(torch.optim, "Muon"):
            pytest.skip("this torch has no Muon")
    (tmp_path / "mine.py").write_text(code(changes))
    (tmp_path / "s.yaml").write_text(ONE_CELL.replace("OPTIMIZER", "mine"))
    done = here("plan", "s.yaml")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("s.yaml:5: optimizer: "), line
    assert "mine.py" in line and message in line


def code(changes: dict[str, str]) -> str:
    text = START
    defaults = {"RETURN": "return torch.optim.SGD(parameters, lr=self.lr)", "BUILD": "return Rule(lr=0.1)"}
    for word, replacement in ({**changes, **{k: v for k, v in defaults.items() if k not in changes}}).items():
        text = text.replace(word, replacement)
    return text.replace('"ENGINE"', '"torch"')


ONE_SIDED = {
    "torch's functions": ("torch.sign(gradient)", "it works on the torch engine only: update with NumPy arrays raised"),
    "NumPy's functions": ("gradient.astype('f4')", "it works on the numpy engine"),
    "an undeclared slot": ("state['mean']", "uses state['mean'], which is not declared; write slots = ('mean',)"),
}


@pytest.mark.parametrize("case", ONE_SIDED)
def test_a_rule_that_does_not_say_that_it_is_for_one_engine(case: str, tmp_path: Path, here: Command) -> None:
    """It trains on the engine that it works on, with a warning, and is refused on the other."""
    update, message = ONE_SIDED[case]
    text = code({"BUILD": "return Arrays()", "torch.sign(gradient)": update, '    engine = "ENGINE"\n': ""})
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "s.yaml").write_text(ONE_CELL.replace("OPTIMIZER", "mine"))
    (line,) = here("plan", "s.yaml").stderr.splitlines()
    works = case == "torch's functions"  # torch trains here
    begin = "warning: cell 'base': " if works else "s.yaml:5: optimizer: "
    assert line.startswith(f"{begin}optimizer mine of ") and message in line


def test_a_rule_of_one_engine_is_refused_on_the_other_and_is_stacked_on_its_own(tmp_path: Path, here: Command) -> None:
    (tmp_path / "mine.py").write_text(code({"BUILD": "return Arrays()"}))
    (tmp_path / "s.yaml").write_text(ONE_CELL.replace("OPTIMIZER", "mine"))
    done = here("plan", "s.yaml", "--set", "training.engine=numpy")
    assert done.stderr == "s.yaml:5: optimizer: mine needs the torch engine; training.engine is numpy\n"
    planned = here("plan", "s.yaml")
    assert planned.returncode == 0 and "2 fits of a cell trained together" in planned.stdout
    rule = load_catalog((str(tmp_path / "mine.py"),)).build("optimizer", ComponentRef("mine"))
    TorchLearner([dataclasses.replace(built_fit(), rule=rule)] * 2)  # which tries it on two fits at once
