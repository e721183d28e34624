"""The parameters that every optimizer has, in whole experiments: identity, messages, warnings, and `describe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import TINY, Command

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.experiment.load import load
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan
from runner.planning.plan_warnings import plan_warnings

ONE_CELL = TINY.partition("grid:")[0]
PLUGIN = """\
from dataclasses import dataclass
from runner.api import NonNegative, Optimizer, hookimpl
@dataclass(frozen=True)
class Plain:
    lr: float
    slots: tuple[str, ...] = ()
    def update(self, parameter, gradient, state, step): parameter -= self.lr * gradient
class Loose:
    lr, slots = 0.1, ()
    def update(self, parameter, gradient, state, step): parameter -= self.lr * gradient
def plain(*, lr: float = 0.1): return Plain(lr)
def loose(): return Loose()
def own(*, sam: str = "uncle"): return Plain(0.1)
@hookimpl
def register_optimizers(): return [Optimizer(f.__name__, f) for f in (plain, loose, own)]
"""


def experiment(folder: Path, optimizer: str, more: str = "") -> Path:
    file = folder / "tiny.yaml"
    (folder / "mine.py").write_text(PLUGIN)
    text = ONE_CELL.replace("{name: adam, lr: 1e-2}", optimizer).replace("plugins: []", "plugins: [./mine.py]")
    file.write_text(text + more)
    return file


def planned(folder: Path, optimizer: str, more: str = "") -> Plan:
    return make_plan(load(experiment(folder, optimizer, more)))


SAME = [
    "adam", "{name: adam, multipliers: {}}", "{name: adam, multipliers: null, sam: null, lookahead: null}",
    "{name: adam, multipliers: {bias: {lr: 1, weight_decay: 1.0}, conv: {}}}", "{name: adam, sam: {rho: 0}}",
]  # fmt: skip
DIFFERENT = [
    "{name: adam, multipliers: {bias: {lr: 2}}}", "{name: adam, multipliers: {conv: {lr: 2}}}",
    "{name: adam, multipliers: {conv: {weight_decay: 2}}}", "{name: adam, sam: {}}", "{name: adam, sam: {rho: 0.1}}",
    "{name: adam, lookahead: {}}", "{name: adam, lookahead: {k: 6}}",
]  # fmt: skip


def test_they_are_in_the_identity_only_where_they_change_something(tmp_path: Path) -> None:
    ids = [planned(tmp_path, optimizer).cells[0].id for optimizer in SAME + DIFFERENT]
    assert len(set(ids[: len(SAME)])) == 1 and len(set(ids)) == 1 + len(DIFFERENT)
    bound = load_catalog().bind("optimizer", ComponentRef("sgd", {"lr": 1, "sam": {}, "lookahead": {"k": 3}}))
    assert bound.parameters["sam"] == {"rho": 0.05} and bound.parameters["lookahead"] == {"k": 3, "alpha": 0.5}


def test_a_grid_may_vary_them(tmp_path: Path) -> None:
    grid = "{optimizer.sam.rho: [0, 0.05], optimizer.multipliers.bias.lr: [1, 2], optimizer.lookahead: [null, {}]}"
    plan = planned(tmp_path, "{name: sgd, lr: 0.1}", f"grid: {grid}\n")
    assert len({cell.id for cell in plan.cells}) == 8


def test_a_plugin_s_own_parameter_of_that_name_is_its_own(tmp_path: Path) -> None:
    plan = planned(tmp_path, "{name: own, sam: hello}")
    (cell,) = plan.cells
    assert cell.settings.optimizer.parameters == {"sam": "hello"}
    assert load_catalog((str(tmp_path / "mine.py"),)).rule_options(cell.settings.optimizer).sam is None


REFUSED = """
{name: adam, multipliers: 3}                  => .multipliers: found 3; expected a mapping
{name: adam, multipliers: {biases: {lr: 2}}}  => .multipliers.biases: multipliers has no parameter 'biases'; did you \
mean 'bias'? allowed: bias, conv, dense, norm
{name: adam, multipliers: {bias: 2}}          => .multipliers.bias: found 2; expected a mapping
{name: adam, multipliers: {bias: {lr_mult: 2}}} => .multipliers.bias.lr_mult: bias has no parameter 'lr_mult'; \
allowed: lr, weight_decay
{name: adam, multipliers: {bias: {lr: -1}}}   => .multipliers.bias.lr: found -1; allowed: 0.0 or more
{name: adam, multipliers: {bias: {lr: x}}}    => .multipliers.bias.lr: found 'x'; expected a number
{name: adam, multipliers: {bias: {lr: .inf}}} => .multipliers.bias.lr: found .inf; expected a finite number
{name: adam, multipliers: {bias: {weight_decay: 0.5}}} => : adam: multipliers.bias.weight_decay is 0.5, but biases are \
exempt from weight decay; set decay_all: true, or the multiplier to 0
{name: Rprop, multipliers: {conv: {weight_decay: 2}}} => : Rprop: multipliers.*.weight_decay cannot be set: its \
parameter groups have no weight_decay
{name: plain, multipliers: {conv: {weight_decay: 2}}} => : optimizer plain(lr=0.1, multipliers={'conv': \
{'weight_decay': 2.0}}) of FILE: multipliers need a rule that is a dataclass with the field weight_decay, which it \
computes from
{name: loose, multipliers: {conv: {lr: 2}}}   => : optimizer loose(multipliers={'conv': {'lr': 2.0}}) of FILE: \
multipliers need a rule that is a dataclass with the field lr, which it computes from
{name: adam, lookahead: 5}                    => .lookahead: found 5; expected a mapping
{name: adam, lookahead: {k: 0}}               => .lookahead.k: found 0; allowed: 1 or more
{name: adam, lookahead: {k: 2.5}}             => .lookahead.k: found 2.5; expected a whole number
{name: adam, lookahead: {alpha: 0}}           => .lookahead.alpha: found 0; allowed: more than 0.0
{name: NAdam, lookahead: {alpha: 2}}          => .lookahead.alpha: found 2; allowed: 1.0 or less
{name: NAdam, sam: {roh: 0.1}}                => .sam.roh: sam has no parameter 'roh'; did you mean 'rho'? allowed: rho
{name: sgd, lr: 1, sam: true}                 => .sam: found true; expected a mapping
{name: sgd, lr: 1, samm: {}}                  => .samm: sgd has no parameter 'samm'; did you mean 'sam'? allowed: \
clip, decay_all, lookahead, lr, momentum, multipliers, nesterov, sam, schedule, weight_decay
"""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines())
def test_an_invalid_value_is_one_line(row: str, tmp_path: Path, here: Command) -> None:
    optimizer, complaint = row.split("=> ")
    file = experiment(tmp_path, optimizer.strip())
    done = here("plan", file)
    expected = f"{file}:6: optimizer{complaint}\n".replace("FILE", str(tmp_path / "mine.py"))
    assert (done.returncode, done.stderr) == (2, expected)


def test_multipliers_of_what_no_network_has_are_reported(tmp_path: Path) -> None:
    multipliers = "{name: adam, multipliers: {norm: {lr: 2}, conv: {lr: 2}}}"
    (line,) = plan_warnings(planned(tmp_path, multipliers))
    assert line == "optimizer.multipliers.norm has no effect: no network has parameters of that kind"
    assert not plan_warnings(planned(tmp_path, multipliers, "grid: {architecture.batch_norm: [false, true]}\n"))


def test_describe_shows_those_that_are_set(here: Command) -> None:
    described = here("describe", "sgd", "--set", "lr=1", "--set", "sam={}", "--set", "multipliers={bias: {lr: 2}}")
    lines = described.stdout.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("sam ")]
    assert row[-4:] == ["null", '{"rho":', "0.05}", "null"]
    assert "not set, and known to every optimizer: lookahead" in lines
    document = json.loads(here("describe", "sgd", "--set", "lr=1", "--set", "sam={}", "--json").stdout)
    assert {p["name"]: p["value"] for p in document["parameters"]}["sam"] == {"rho": 0.05}
    refused = here("describe", "adam", "--set", "multipliers={bias: {weight_decay: 2}}")
    assert refused.returncode == 2 and "exempt from weight decay" in refused.stderr


def test_a_step_with_two_gradients_counts_twice(tmp_path: Path) -> None:
    from runner.planning.estimate import estimate

    seconds: list[Any] = [
        estimate(planned(tmp_path, f"{{name: adam, sam: {sam}}}"), [], 1).seconds for sam in ("null", "{}")
    ]
    assert seconds[1] == pytest.approx(2 * seconds[0]) and seconds[0] > 0
