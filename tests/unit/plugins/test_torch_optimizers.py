"""Optimizers in whole experiments: one from a plugin, torch's own by name, and what the command line refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from command import TINY, environment, journal_lines, run_here
from runner.plugins.optimizers.torch_optim import NAMES

from runner.cli import main
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.folds import stratified_splits
from runner.network.parameters import initial_values
from runner.seeding import stream

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


def run_and_read_curves(file):
    """Run an experiment as a user would; the curves of each cell's fits, by its levels and by fold."""
    done = run_here(file.parent, "run", file)
    assert done.returncode == 0, done.stderr
    report = file.parent / "reports" / "tiny"
    levels = {cell["id"]: tuple(cell["levels"].values()) for cell in read_plan(report)["cells"]}
    curves = {cell: {} for cell in levels.values()}
    for line in journal_lines(report):
        fit = json.loads(line)["fit"]
        curves[levels[fit["cell"]]][fit["fold"]] = fit["curves"]
    return curves


def read_plan(report):
    return yaml.safe_load((report / "plan.yaml").read_text())


def test_an_optimizer_of_15_lines_trains_as_the_built_in_one_on_both_engines(tmp_path):
    assert len(PLUGIN.splitlines()) <= 15
    (tmp_path / "normed.py").write_text(PLUGIN)
    built_in = "{name: sgd, lr: 0.05, momentum: 0.9, clip: 0.5}"
    factors = f"  f: {{mine: {{optimizer: normed}}, theirs: {{optimizer: {built_in}}}}}\n"
    grid = f"grid:\n{factors}  training.engine: [torch, numpy]\n"
    file = experiment(tmp_path, more=grid)
    file.write_text(file.read_text().replace("plugins: []", "plugins: [./normed.py]"))
    curves = run_and_read_curves(file)
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


@pytest.mark.slow
def test_torchs_own_optimizers_train_as_in_a_loop_written_by_hand(tmp_path):
    levels = [f"    hand{number}: {{optimizer: {row[0]}}}\n" for number, row in enumerate(HAND)]
    levels += [f"    {name}: {{optimizer: {name}}}\n" for name in NAMES]
    curves = run_and_read_curves(experiment(tmp_path, more="grid:\n  f:\n" + "".join(levels)))
    for number, (_, *given) in enumerate(HAND):
        losses = curves[f"hand{number}",][1]["train_loss"]
        assert losses == pytest.approx(by_hand(*given), rel=1e-4)
    losses = {fit["train_loss"][1] for fits in curves.values() for fit in fits.values()}
    assert len(losses) == 2 * len(curves) == 2 * (len(HAND) + len(NAMES))


def test_the_names_are_all_of_torchs_that_can_train_any_network():
    classes = {name for name, value in vars(torch.optim).items() if isinstance(value, type)}
    assert classes - set(NAMES) <= {"Optimizer", "LBFGS", "SparseAdam", "Muon"}


REFUSED = """
{name: adma}               => : unknown optimizer 'adma'; did you mean 'adam'? allowed: ASGD, Adadelta, Adafactor, \
Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, Rprop, SGD, adagrad, adam, adamw, lars, lion, rmsprop, sgd
{name: lion, betas: [1]}   => .betas: lion has no parameter 'betas'; did you mean 'beta2'? allowed: beta1, beta2, \
clip, decay_all, lookahead, lr, multipliers, sam, schedule, weight_decay
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
{name: Rprop, schedule: cosine} => : Rprop takes no schedule: it adapts its step sizes and uses lr only at the \
first step
"""
ROWS = [line.split("=> ") for line in REFUSED.strip().splitlines()]


@pytest.mark.parametrize(("optimizer", "complaint"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_an_invalid_optimizer_is_one_line(optimizer, complaint, tmp_path, capsys):
    file = experiment(tmp_path, optimizer.strip())
    assert main(["plan", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}:6: optimizer{complaint}\n"


def test_torchs_own_need_torch_and_its_engine(tmp_path, capsys, monkeypatch):
    file = experiment(tmp_path, "NAdam", "{epochs: 1, engine: numpy}")
    assert main(["plan", str(file)]) == 2
    line = f"{file}:6: optimizer: NAdam needs the torch engine; training.engine is numpy\n"
    assert capsys.readouterr().err == line
    monkeypatch.delattr(torch.optim, "NAdam")
    assert main(["plan", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}:6: optimizer: NAdam is not in torch {torch.__version__}\n"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["plan", str(file)]) == 2
    line = f"{file}:6: optimizer: NAdam needs PyTorch, which is not installed: pip install torch\n"
    assert capsys.readouterr().err == line


def test_planning_with_our_own_does_not_import_torch(tmp_path):
    lars = "{name: lars, lr: 1, clip: 1, schedule: {name: cosine, warmup: 1}}"
    script = "import sys; from runner.cli import main; assert not main(sys.argv[1:]) and 'torch' not in sys.modules"
    grid = f"grid: {{optimizer: [adagrad, adam, adamw, lion, rmsprop, {lars}]}}\n"
    command = [sys.executable, "-c", script, "plan", str(experiment(tmp_path, more=grid))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
