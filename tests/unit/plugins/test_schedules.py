"""Learning-rate schedules against those of torch, step by step, and their YAML setting."""

import itertools
import json

import pytest
import torch
from command import TINY
from runner.plugins.optimizers.sgd import sgd
from torch.optim import lr_scheduler

from runner.api import Step
from runner.cli import main
from runner.components.schedules import normalise_schedule

LR, IN_EPOCH, EPOCHS = 0.3, 7, 12
TOTAL = IN_EPOCH * EPOCHS


def ours(schedule, total=TOTAL, in_epoch=IN_EPOCH):
    rule = sgd(lr=LR, schedule=schedule)
    return [rule.rate(Step(number, total, in_epoch)) for number in range(1, total + 1)]


def theirs(make, steps=TOTAL, each=1):
    """The rates of torch's scheduler over `steps` steps; it advances at every `each`-th."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler, rates = make(optimizer), []
    for number in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number % each == 0 and number < steps:
            scheduler.step()
    return rates


def with_warmup(make, steps=2 * IN_EPOCH):
    """A schedule after torch's own warm-up, whose first step takes 1 / steps of the rate and whose last takes all."""

    def sequence(optimizer):
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)
        return lr_scheduler.SequentialLR(optimizer, [rise, make(optimizer)], milestones=[steps])

    return sequence


def cosine(steps, final=0.0):
    return lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=final * LR)


def step_decay(*epochs, before=0, factor=0.1):
    steps = [epoch * IN_EPOCH - before for epoch in epochs]
    return lambda optimizer: lr_scheduler.MultiStepLR(optimizer, steps, gamma=factor)


def restarts(first, growth=1, final=0.0):
    def make(optimizer):
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, first, growth, eta_min=final * LR)

    return make


def one_cycle(steps=TOTAL, **options):
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, cycle_momentum=False, **options)


STEP = {"name": "step", "every": 3, "factor": 0.5}
SCHEDULES = [
    ("constant", lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0)),
    ("cosine", cosine(TOTAL)),
    ({"name": "cosine", "final": 0.1}, cosine(TOTAL, 0.1)),
    (STEP, step_decay(3, 6, 9, factor=0.5)),
    ({"name": "multi_step", "at": [2, 9]}, step_decay(2, 9)),
    ({"name": "multi_step", "at": [20, 90], "of": 120}, step_decay(2, 9)),
    ({"name": "warm_restarts", "first": 3}, restarts(3 * IN_EPOCH)),
    ({"name": "warm_restarts", "first": 1, "growth": 2, "final": 0.1}, restarts(IN_EPOCH, 2, 0.1)),
    ({"name": "warm_restarts", "first": 0.5, "growth": 3}, restarts(4, 3)),
    ({"name": "warm_restarts", "first": 2, "growth": 2, "warmup": 2}, with_warmup(restarts(14, 2))),
    ("one_cycle", one_cycle()),
    (
        {"name": "one_cycle", "rising": 0.5, "start": 0.1, "final": 0.001},
        one_cycle(pct_start=0.5, div_factor=10, final_div_factor=100),
    ),
    ({"name": "constant", "warmup": 2}, with_warmup(lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0))),
    ({"name": "cosine", "warmup": 2, "final": 0.1}, with_warmup(cosine(TOTAL - 14, 0.1))),
    ({"name": "cosine", "warmup": 0.5}, with_warmup(cosine(TOTAL - 4), 4)),
    (STEP | {"warmup": 2}, with_warmup(step_decay(3, 6, 9, before=14, factor=0.5))),
    ({"name": "multi_step", "at": [3, 9], "warmup": 2}, with_warmup(step_decay(3, 9, before=14))),
]


@pytest.mark.parametrize(("schedule", "make"), SCHEDULES, ids=[str(schedule) for schedule, _ in SCHEDULES])
def test_each_steps_rate_is_that_of_torch(schedule, make):
    assert ours(schedule) == pytest.approx(theirs(make), rel=0, abs=1e-14)


def test_epochs_are_those_of_torchs_schedulers():
    step_lr = theirs(lambda optimizer: lr_scheduler.StepLR(optimizer, 3, gamma=0.5), each=IN_EPOCH)
    assert ours(STEP) == pytest.approx(step_lr, rel=0, abs=1e-14)
    multi_step = theirs(lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 9]), each=IN_EPOCH)
    assert ours({"name": "multi_step", "at": [2, 9]}) == pytest.approx(multi_step, rel=0, abs=1e-14)


@pytest.mark.parametrize("epochs", [7, 35, 70, 350])
def test_a_published_schedule_is_stretched_to_the_length_of_the_fit(epochs):
    """Springenberg et al. 2015: divided by 10 at epochs 200, 250 and 300 of 350, and so at 20, 25 and 30 of 35."""
    rates = ours({"name": "multi_step", "at": [200, 250, 300], "of": 350}, epochs * 3, 3)
    drops = [n / 3 for n in range(1, epochs * 3) if rates[n] != rates[n - 1]]
    assert drops == [epochs * at // 350 for at in (200, 250, 300)]
    assert [rates[0], rates[-1]] == pytest.approx([LR, LR / 1000])


def test_a_stretched_step_may_lie_within_an_epoch():
    rates = ours({"name": "multi_step", "at": [1], "of": 4}, total=20, in_epoch=10)  # after 0.5 of 2 epochs
    assert rates == pytest.approx([LR] * 5 + [LR / 10] * 15)


def test_a_cycle_begins_where_its_warm_up_ends():
    expected = [LR / 25 * n / 14 for n in range(1, 15)] + theirs(one_cycle(TOTAL - 14), TOTAL - 14)
    assert ours({"name": "one_cycle", "warmup": 2}) == pytest.approx(expected, rel=0, abs=1e-14)


def test_a_warm_up_longer_than_the_fit_rises_to_its_end():
    assert ours({"name": "cosine", "warmup": 24}) == pytest.approx([LR * n / 168 for n in range(1, 85)])


NAMES = ["constant", STEP, {"name": "multi_step", "at": [1]}, "cosine", "one_cycle"]
NAMES += [{"name": "warm_restarts", "first": 0.1}, {"name": "warm_restarts", "first": 2, "growth": 1.5}]


@pytest.mark.parametrize("schedule", NAMES, ids=str)
def test_the_shortest_fits_have_a_rate(schedule):
    parameters = schedule if isinstance(schedule, dict) else {"name": schedule}
    for total, in_epoch, warmup in itertools.product(range(1, 12), (1, 3), (0, 1, 5)):
        rates = ours(parameters | {"warmup": warmup}, total, in_epoch)
        assert len(rates) == total and all(0 <= rate <= LR for rate in rates)
    for steps in (2, 4, 5, 8, 10):  # where the rise of 1 / steps ends at the first step, which torch can't divide
        assert ours({"name": "one_cycle", "rising": 1 / steps}, steps)[0] == pytest.approx(LR)


@pytest.mark.parametrize(("written", "shortest"), [
    ("cosine", "cosine"),
    ({"name": "cosine"}, "cosine"),
    ({"name": "cosine", "final": 0, "warmup": 0.0}, "cosine"),
    ({"warmup": 5, "name": "cosine"}, {"name": "cosine", "warmup": 5.0}),
    ({"name": "step", "factor": 0.1, "every": 30}, {"name": "step", "every": 30}),
    ({"name": "multi_step", "at": [1, 2], "factor": 1}, {"name": "multi_step", "at": [1, 2], "factor": 1.0}),
])  # fmt: skip
def test_a_schedule_has_one_form_however_it_is_written(written, shortest):
    assert normalise_schedule(written) == shortest and normalise_schedule(shortest) == shortest


ALLOWED = "allowed: constant, cosine, multi_step, one_cycle, step, warm_restarts"
REFUSED = """
cosin                             => : found 'cosin'; did you mean 'cosine'? ALLOWED
3                                 => : found 3; ALLOWED
[1]                               => : found [1]; ALLOWED
{warmup: 3}                       => .name: is missing; ALLOWED
{name: one_cycel}                 => .name: found 'one_cycel'; did you mean 'one_cycle'? ALLOWED
{name: cosine, warmpu: 3}         => .warmpu: cosine has no parameter 'warmpu'; did you mean 'warmup'? allowed: final, \
warmup
{name: constant, every: 3}        => .every: constant has no parameter 'every'; allowed: warmup
step                              => .every: is required, but missing
{name: step, every: 0}            => .every: found 0; allowed: 1 or more
{name: step, every: 2.5}          => .every: found 2.5; expected a whole number
{name: step, every: 1, factor: 0} => .factor: found 0; allowed: more than 0.0
{name: multi_step, at: 3}         => .at: found 3; expected a list
{name: multi_step, at: []}        => .at: found []; expected epochs in increasing order, such as [30, 60]
{name: multi_step, at: [3, 2]}    => .at: found [3, 2]; expected epochs in increasing order, such as [30, 60]
{name: multi_step, at: [1, x]}    => .at[1]: found 'x'; expected a whole number
{name: multi_step, at: [3], of: 3} => : found at [3] of 3; allowed: epochs before 3
{name: multi_step, at: [3], fo: 4} => .fo: multi_step has no parameter 'fo'; did you mean 'of'? allowed: at, factor, \
of, warmup
{name: cosine, final: 2}          => .final: found 2; allowed: 1.0 or less
{name: cosine, warmup: x}         => .warmup: found 'x'; expected a number
{name: cosine, warmup: -1}        => .warmup: found -1; allowed: 0.0 or more
{name: one_cycle, rising: 1}      => .rising: found 1; allowed: less than 1.0
warm_restarts                     => .first: is required, but missing
{name: warm_restarts, first: 0}   => .first: found 0; allowed: more than 0.0
{name: warm_restarts, first: 1, growth: 0.5} => .growth: found 0.5; allowed: 1.0 or more
"""
ROWS = [line.split("=> ") for line in REFUSED.replace("ALLOWED", ALLOWED).strip().splitlines()]


@pytest.mark.parametrize("optimizer", ["adam", "NAdam"])
@pytest.mark.parametrize(("written", "complaint"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_an_invalid_schedule_is_one_line(optimizer, written, complaint, tiny, capsys):
    edited = TINY.replace("{name: adam, lr: 1e-2}", f"{{name: {optimizer}, schedule: {written.strip()}}}")
    tiny.write_text(edited)
    assert main(["plan", str(tiny)]) == 2
    assert capsys.readouterr().err == f"{tiny}:6: optimizer.schedule{complaint}\n"


def test_a_grid_may_vary_a_schedule_and_its_parts(tiny, capsys):
    tiny.write_text(TINY.replace("lr: 1e-2}", "schedule: {name: cosine}}").partition("grid:")[0])
    grid = "grid.optimizer.schedule.warmup=[0, 1, 5]"
    assert main(["plan", str(tiny), "--set", grid]) == 0
    assert main(["plan", str(tiny), "--set", "grid.optimizer.schedule=[cosine, {name: step, every: 2}]"]) == 0
    capsys.readouterr()
    assert main(["plan", str(tiny), "--set", "grid.optimizer.schedule=[cosine, {name: cosine, final: 0}]"]) == 2
    assert "both have the same settings" in capsys.readouterr().err


def test_plugins_lists_the_schedules(capsys):
    assert main(["plugins", "--json"]) == 0
    names = "constant | step | multi_step | cosine | warm_restarts | one_cycle | mapping"
    assert f'"type": "{names}"' in capsys.readouterr().out


PLUGIN = """
from dataclasses import dataclass
from runner.api import Optimizer, Positive, Schedule, hookimpl, rate
@dataclass(frozen=True)
class Mine:
    lr: float
    schedule: Schedule
    slots = ()
    def rate(self, step): return rate(self.lr, self.schedule, step)
    def update(self, parameter, gradient, state, step): parameter -= self.rate(step) * gradient
def mine(*, lr: Positive = 0.01, schedule: Schedule = "constant"): return Mine(lr, schedule)
@hookimpl
def register_optimizers(): return [Optimizer(name="mine", build=mine)]
"""


def test_a_plugin_has_the_same_schedules_messages_and_rates(tiny, capsys):
    (tiny.parent / "mine.py").write_text(PLUGIN)
    for written, complaint in ROWS[::3]:
        edited = TINY.replace("{name: adam, lr: 1e-2}", f"{{name: mine, schedule: {written.strip()}}}")
        tiny.write_text(edited.replace("plugins: []", "plugins: [./mine.py]"))
        assert main(["plan", str(tiny)]) == 2
        assert capsys.readouterr().err == f"{tiny}:6: optimizer.schedule{complaint}\n"
    restarts = ["--set", "schedule={name: warm_restarts, first: 2, warmup: 1}", "--epochs", "5", "--json"]
    rates = []
    for name, more in (("mine", ["--plugin", str(tiny.parent / "mine.py")]), ("adam", [])):
        assert main(["describe", name, "--set", "lr=0.01", *more, *restarts]) == 0
        rates.append(json.loads(capsys.readouterr().out)["rates"])
    assert rates[0] == rates[1] and rates[0][300]["rate"] == 0.01, "the second cycle begins after 1 + 2 epochs"
    assert rates[0][299]["rate"] < 1e-6
