"""`describe` of every kind of component: what it prints, what it draws, and which options belong to which kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command

from runner.components.catalog import load_catalog
from runner.components.protocols import Step
from runner.components.records import KINDS, ComponentRef

PLUGIN = """
from dataclasses import dataclass
from runner.api import *

@dataclass(frozen=True)
class Rule:
    lr: float
    slots: tuple[str, ...] = ()
    def update(self, parameter, gradient, state, step):
        pass

class Timed(Rule):
    def rate(self, step):
        return {rate}

def plain(*, lr: float = 1e-3):
    return Rule(lr)

def shift(*, lr: float):
    '''Moves   by
    `lr`.'''
    return Timed(lr)

@hookimpl
def register_optimizers():
    yield Optimizer(name="plain", build=plain)
    yield Optimizer(name="shift", build=shift)
"""


def test_each_kind_has_a_module() -> None:
    from runner.commands.describe import DESCRIBED_IN, OPTIONS

    assert (
        DESCRIBED_IN.keys() == KINDS.keys() == {kind for kinds, _ in OPTIONS.values() for kind in kinds} | KINDS.keys()
    )


def test_an_optimizer_has_its_parameters_and_its_rate_over_the_epochs(tmp_path: Path, here: Command) -> None:
    given = (
        "describe",
        "sgd",
        "--set",
        "lr=0.5",
        "--set",
        "schedule={name: step, every: 2, factor: 0.5}",
        "--epochs",
        4,
    )
    done = here(*given, "--out", "rate.png")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("sgd, optimizer of archrunner")
    assert [line.split() for line in lines if line.startswith("lr ")] == [["lr", "float", ">", "0", "0.5", "required"]]
    drawn = [line.split() for line in lines[lines.index("learning rate over 4 epochs of 100 steps") + 1 :]]
    rates = [("epoch", "1", "0.5"), ("epoch", "2", "0.5"), ("epoch", "3", "0.25"), ("epoch", "4", "0.25"),
             ("the", "end", "0.25")]  # fmt: skip
    assert [tuple(words[:3]) for words in drawn[:5]] == rates
    assert [len(words[3]) for words in drawn[:5]] == [24, 24, 12, 12, 12]
    assert drawn[5] == ["picture:", "rate.png"] and (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, lines[lines.index("learning rate over 4 epochs of 100 steps") :])) <= 50


@pytest.mark.parametrize(("epochs", "steps"), [(3, 7), (1, 1), (5000, 10)])
def test_the_json_document_has_the_rates_that_a_fit_would_have(epochs: int, steps: int, here: Command) -> None:
    schedule = ("--set", "schedule={name: cosine, warmup: 1}", "--epochs", epochs, "--steps", steps)
    done = here("describe", "adam", *schedule, "--json")
    described = json.loads(done.stdout)
    assert described["kind"] == "optimizer" and described["description"].startswith("Steps of about `lr`")
    assert {"name": "lr", "type": "float > 0", "default": 0.001, "value": 0.001} in described["parameters"]
    catalog, parameters = load_catalog(), {"schedule": {"name": "cosine", "warmup": 1}}
    rule = catalog.build("optimizer", catalog.bind("optimizer", ComponentRef("adam", parameters)))
    total = epochs * steps
    assert len(described["rates"]) == min(total, 1000)
    assert (described["rates"][0]["step"], described["rates"][-1]["step"]) == (1, total)
    for point in described["rates"]:
        assert point["rate"] == rule.rate(Step(point["step"], total, steps))


def test_a_component_without_its_required_parameters_is_described_as_far_as_possible(here: Command) -> None:
    for name, parameter in (("sgd", "lr"), ("npz", "file")):
        done = here("describe", name)
        assert (done.returncode, done.stderr) == (0, f"for more, set what it requires: --set {parameter}=VALUE\n")
        assert "required" in done.stdout and "not set" in done.stdout
        facts = json.loads(here("describe", name, "--json").stdout)
        assert "value" not in next(entry for entry in facts["parameters"] if entry["name"] == parameter)


def test_a_data_set(here: Command) -> None:
    done = here("describe", "digits")
    assert "training images 1,797" in done.stdout and "licence: CC BY 4.0" in done.stdout
    assert json.loads(here("describe", "digits", "--json").stdout)["facts"]["size"] == 1797


def test_an_augmentation_as_a_document(here: Command) -> None:
    described = json.loads(here("describe", "shift", "--set", "pixels=3", "--json").stdout)
    assert {"name": "pixels", "type": "int >= 1", "default": 2, "value": 3} in described["parameters"]


def test_a_name_of_two_kinds_is_chosen_by_its_kind(tmp_path: Path, here: Command) -> None:
    (tmp_path / "p.py").write_text(PLUGIN.replace("{rate}", "self.lr / step.number"))
    done = here("describe", "shift", "--plugin", "p.py")
    message = "shift is the name of several components; choose one with --kind augmentation or --kind optimizer\n"
    assert (done.returncode, done.stderr) == (2, message)
    chosen = ("describe", "shift", "--plugin", "p.py", "--kind", "optimizer", "--set", "lr=1")
    done = here(*chosen, "--steps", "1", "--epochs", "2")
    assert done.returncode == 0 and "Moves by `lr`." in done.stdout and "epoch 2  0.5 " in done.stdout
    done = here("describe", "plain", "--plugin", "p.py")
    assert done.returncode == 0 and "its learning rate is unknown: what it builds has no method rate" in done.stdout


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("1 / 0", "rate(step) raised ZeroDivisionError"),
        ("float('nan')", "rate(step) is nan at step 1"),
        ("'x'", "rate(step) raised ValueError"),
    ],
)
def test_a_rule_that_has_no_rate_to_give(rate: str, message: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "p.py").write_text(PLUGIN.replace("{rate}", rate).replace('"shift"', '"moved"'))
    done = here("describe", "moved", "--plugin", "p.py", "--set", "lr=1")
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("adm", "unknown optimizer 'adm'; did you mean 'adam'? allowed: ASGD"),
        ("digts", "unknown dataset 'digts'; did you mean 'digits'?"),
        ("adam --kind dataset", "--kind dataset: adam is of the kind optimizer"),
        ("adam --kind optimiser", "runner describe: --kind: unknown 'optimiser'; did you mean 'optimizer'?"),
        ("adam --input 1x8x8", "--input: adam is of the kind optimizer, which has no such option; it has --epochs"),
        ("lenet5 --out a.png", "--out: lenet5 is of the kind architecture, which has no such option; it has --input"),
        ("digits --epochs 2", "--epochs: digits is of the kind dataset, which has no such option"),
        ("adam --out a.jpg", "argument --out: found 'a.jpg'; allowed: the name of a PNG file"),
        ("adam --epochs 0", "argument --epochs: found '0'; allowed: 1 or more"),
        ("adam --set lr=1 --set lr=2", "--set lr=2: 'lr' is set twice"),
        ("adam --set lr=x", "--set lr: found 'x'; expected a number"),
        ("adam --set schedule=cosin", "--set schedule: found 'cosin'; did you mean 'cosine'?"),
    ],
)
def test_what_does_not_belong_to_the_component_is_refused(arguments: str, message: str, here: Command) -> None:
    done = here("describe", *arguments.split())
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("image-folder", "--set", "roott=x", "--set", "size=16"),
            "no parameter 'roott'; did you mean",
        ),
        (("sgd", "--set", "momentum=lots"), "--set momentum: found 'lots'; expected a number"),
    ],
)
def test_what_is_wrong_is_said_before_what_is_missing(arguments: tuple[str, ...], message: str, here: Command) -> None:
    done = here("describe", *arguments)
    assert done.returncode == 2 and done.stdout == "" and message in done.stderr, done.stderr


def test_a_picture_is_drawn_beside_the_document(tmp_path: Path, here: Command) -> None:
    done = here("describe", "digits", "--json", "--out", "sheet.png")
    assert json.loads(done.stdout)["size"] == 1797 and (tmp_path / "sheet.png").stat().st_size > 10_000
