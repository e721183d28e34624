"""Fits of a cell that are trained together: each comes to what it comes to alone, but for rounding."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from breaking import ADAM, STEPS, Every, Killer, bits
from command import Command, journal_by_id, journal_lines
from engine_jobs import MIXED, MOMENTUM, job

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import file_of
from runner.engines.optimizer_step import runs_of_equal
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.learner import TorchLearner
from runner.errors import EndedEarly, RunnerError
from runner.fits.grouping import stacks
from runner.fits.records import TrainingPlan
from runner.network.analysis import analyse
from runner.network.base import Shape
from runner.network.graph import Residual, Sequential
from runner.network.layers import Conv, Dense, Flatten, GlobalMaxPool, PadChannels, ReLU
from runner.planning.stacking import decide

RULES = [
    MOMENTUM, ADAM,
    ComponentRef("lars", {"lr": 1.0, "weight_decay": 0.01}),
    ComponentRef("lion", {"lr": 0.01, "weight_decay": 0.1}),
    ComponentRef("rmsprop", {"centered": True, "momentum": 0.5}),
    ComponentRef("adagrad", {}),
    ComponentRef("sgd", {"lr": 0.1, "clip": 0.5, "schedule": {"name": "cosine", "warmup": 1}}),
]  # fmt: skip
SHORTCUT = Sequential(
    Conv(4, 3), ReLU(), Residual(Conv(6, 3, 2), ReLU(), Conv(6, (1, 3)), shortcut=PadChannels(6, 2)),
    GlobalMaxPool(), Flatten(), Dense(3),
)  # fmt: skip
SIZES = (40, 41, 48, 49, 33)
"""Of training parts in batches of 16: last batches of 8, 9, 16 and 1, and one fit with a batch more than others."""


def group(*settings: Any, sizes: tuple[int, ...] = SIZES, **named: Any) -> list[BuiltFit]:
    """Fits with training parts of these sizes, each with its own seeds, validated on 10 images or a few more."""
    jobs = []
    for fold, size in enumerate(sizes):
        given = job(*settings, **named)
        rng = np.random.default_rng(fold)
        order = rng.permutation(60)
        validation = np.sort(order[size:][: 10 + fold % 2])
        spec = dataclasses.replace(given.spec, fold=fold, train=np.sort(order[:size]), validation=validation)
        jobs.append(dataclasses.replace(given, spec=spec))
    return jobs


def alone(jobs: list[BuiltFit]) -> list[Any]:
    return [TorchEngine().fit([one])[0] for one in jobs]


def check_like_alone(jobs: list[BuiltFit], tolerance: float) -> None:
    together = TorchEngine().fit(jobs)
    for ours, theirs in zip(together, alone(jobs), strict=True):
        assert isinstance(ours, TrainedFit) and isinstance(theirs, TrainedFit), (ours, theirs)
        for name, values in ours.curves.items():
            assert values == pytest.approx(theirs.curves[name], rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize("augmentation", ["none", "mixup"])
@pytest.mark.parametrize("rule", RULES, ids=lambda ref: ref.name)
def test_whole_trainings_in_float64_come_to_the_same(rule: ComponentRef, augmentation: str) -> None:
    """With batches of unequal sizes, dropout, batch normalisation, branches, grouped convolutions, weight decay."""
    check_like_alone(group(augmentation, 4, "float64", rule, MIXED), 1e-8)


@pytest.mark.parametrize("network", [None, MIXED, SHORTCUT], ids=["stages", "mixed", "shortcut"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05), ("float64", 1e-10)])
def test_first_steps_agree_within_rounding(network: Any, precision: str, tolerance: float) -> None:
    check_like_alone(group("shift", 1, precision, MOMENTUM, network), tolerance)


def test_what_is_kept_to_look_at_is_that_of_the_fit() -> None:
    jobs = group("none", 2, "float64", MOMENTUM, MIXED)
    together, by_itself = TorchEngine().fit(jobs)[0], TorchEngine().fit(jobs[:1])[0]
    assert isinstance(together, TrainedFit) and isinstance(by_itself, TrainedFit) and together.kept
    assert set(together.kept) == set(by_itself.kept) and together.confusion == by_itself.confusion
    for name in set(together.kept) - {"seconds"}:
        if together.kept[name].dtype.kind == "f":
            np.testing.assert_allclose(together.kept[name], by_itself.kept[name], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(together.kept[name], by_itself.kept[name], err_msg=name)


class Exploding:
    """A transform that makes of batches of 9 images what no network can learn from."""

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        return {"factor": np.float32([np.nan if count == 9 else 1.0])}

    def apply(self, images: Any, draws: Any) -> Any:
        return images * draws["factor"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fit_that_diverges_leaves_the_others_as_they_are(place: int) -> None:
    jobs = group("none", 4, "float64", ADAM, MIXED, sizes=tuple(41 if n == place else 40 for n in range(3)))
    jobs = [dataclasses.replace(one, transforms=(Exploding(),)) for one in jobs]
    together = TorchEngine().fit(jobs)
    assert isinstance(together[place], EndedEarly) and "after epoch 1" in str(together[place])
    for ours, theirs in zip(together, alone(jobs), strict=True):
        assert type(ours) is type(theirs)
        if isinstance(ours, TrainedFit):
            for name, values in ours.curves.items():
                assert values == pytest.approx(theirs.curves[name], rel=1e-8), name


def test_a_group_whose_fits_all_diverge_ends() -> None:
    wild = group(optimizer=ComponentRef("sgd", {"lr": 1e30}), epochs=10**6)
    assert all(isinstance(outcome, EndedEarly) for outcome in TorchEngine().fit(wild))


def test_how_many_others_there_are_does_not_change_a_fit_s_data(tmp_path: Path) -> None:
    """Every fit is normalised by its own training part."""
    jobs = group()
    together = TorchLearner(jobs).normalisation
    for number, one in enumerate(jobs):
        assert torch.equal(together.mean[number : number + 1], TorchLearner([one]).normalisation.mean)


@pytest.mark.parametrize("explodes", [False, True])
def test_a_group_killed_at_any_batch_goes_on_with_the_same_bits(explodes: bool, tmp_path: Path) -> None:
    """Also where one of its fits has diverged before."""

    def outcome(killer: Killer, every: int = 0) -> list[Any]:
        jobs = group("shift", 3, "float32", ADAM, MIXED, sizes=(40, 41, 49))
        exploding = (Exploding(),) if explodes else ()
        jobs[1] = dataclasses.replace(jobs[1], transforms=(*jobs[1].transforms, *exploding))
        kept = Every(tmp_path, every, fits=["a", "b", "c"]) if every else None
        jobs[0] = dataclasses.replace(jobs[0], transforms=(*jobs[0].transforms, killer), checkpoint=kept)
        return [str(one) if isinstance(one, Exception) else bits(one) for one in TorchEngine().fit(jobs)]

    whole = outcome(Killer())
    assert ("diverged" in whole[1]) == explodes
    for kill in range(1, STEPS):
        file_of(tmp_path, "a").unlink(missing_ok=True)
        outcome(Killer(kill), 1 + kill % 2)
        rest, kept = Killer(), file_of(tmp_path, "a").exists()
        assert outcome(rest, 100) == whole, kill
        assert kept == (kill > 1) and (rest.seen < STEPS) == kept, "it went on from there"


class Mixing:
    """A rule that takes steps of one length, measured over all fits at once."""

    slots = ()

    def update(self, parameter: Any, gradient: Any, state: Any, step: Any) -> None:
        parameter -= 0.1 * gradient / (gradient**2).sum() ** 0.5


def test_a_rule_that_mixes_fits_is_refused_where_there_are_several() -> None:
    jobs = [dataclasses.replace(one, rule=Mixing()) for one in group()]
    for outcome in TorchEngine().fit(jobs):
        assert isinstance(outcome, RunnerError) and "Mixing: its update of several fits" in str(outcome)
    assert all(isinstance(outcome, TrainedFit) for outcome in alone(jobs))


def test_runs_of_equal_values() -> None:
    assert list(runs_of_equal([])) == []
    assert list(runs_of_equal([3, 3, 2])) == [(slice(0, 2), 3), (slice(2, 3), 2)]
    assert list(runs_of_equal([1, 2, 1])) == [(slice(0, 1), 1), (slice(1, 2), 2), (slice(2, 3), 1)]


def test_a_group_holds_neighbours_and_more_repeats_leave_the_first_as_they_were() -> None:
    for size in (2, 3, 5, 10, 12):
        assert stacks(range(10), size, 5) == stacks(range(20), size, 5)[: len(stacks(range(10), size, 5))]
    assert [len(stack) for stack in stacks(range(24), 4, 6)] == [4, 2] * 4
    assert [len(stack) for stack in stacks(range(18), 13, 6)] == [12, 6]
    assert stacks(range(5), None, 5) == [range(n, n + 1) for n in range(5)]


def plan_of(shape: Shape, device: str = "cpu", batch: int = 32, wanted: str | int = "auto", **options: Any) -> Any:
    training = TrainingPlan(1, batch, "torch", device, "float32")
    analysis = analyse(Sequential(Conv(8, 3), Flatten(), Dense(3)), shape, 3)
    return decide(
        wanted, options.get("obstacle", ""), training, analysis, options.get("folds", 5), options.get("repeats", 2)
    )


def test_small_fits_are_trained_together_by_a_rule_of_the_experiment() -> None:
    assert plan_of((1, 8, 8)) == plan_of((1, 28, 28)) == 5
    assert plan_of((3, 64, 64)) is None and plan_of((3, 64, 64), wanted=4) == 4
    assert plan_of((1, 28, 28), batch=1000) is None
    assert plan_of((1, 8, 8), wanted="off") is None and plan_of((1, 8, 8), wanted=1) is None
    assert plan_of((1, 8, 8), obstacle="no") is None
    assert plan_of((1, 28, 28), folds=12) == 6, "two groups of one size"
    assert plan_of((1, 28, 28), "cuda") == 10, "all of a cell on a GPU"
    assert plan_of((1, 28, 28), "cuda", repeats=3, batch=5000) == 15 and plan_of((1, 224, 224), "cuda", 1000) is None


SETTINGS = ("training={epochs: 2, batch_size: 100, engine: torch}", "cross_validation={folds: 3, repeats: 2}")


def given(*more: str) -> list[str]:
    return ["tiny.yaml", *[word for setting in (*SETTINGS, *more) for word in ("--set", setting)]]


def test_the_plan_says_it_and_it_is_part_of_what_a_fit_is(tiny: Path, runner: Command) -> None:
    cells = {}
    for stacking, words in (("auto", "3 fits of a cell trained together"), ("off", ""), ("6", "6 fits of a cell")):
        done = runner("plan", *given(f"training.stacking={stacking}"))
        assert done.returncode == 0 and words in done.stdout, done.stderr
        assert ("together" in done.stdout) == bool(words)
        document = runner("plan", *given(f"training.stacking={stacking}"), "--json")
        cells[stacking] = {cell["id"] for cell in json.loads(document.stdout)["cells"]}
    assert not cells["auto"] & cells["off"] and not cells["auto"] & cells["6"]
    explicit = json.loads(runner("plan", *given("training.stacking=3"), "--json").stdout)
    assert {cell["id"] for cell in explicit["cells"]} == cells["auto"], "what comes out of auto counts"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("training.engine=numpy", "training.stacking=3"), "found 3, but the numpy engine trains one fit at a time"),
        (("optimizer=Adam", "training.stacking=2"), "found 2, but torch's own optimizers train one fit at a time"),
        (("training.stacking=0",), "training.stacking"),
        (("training.stacking=on",), "training.stacking"),
    ],
)
def test_what_can_t_be_is_refused(settings: tuple[str, ...], words: str, tiny: Path, runner: Command) -> None:
    done = runner("plan", *given(*settings))
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_whatever_the_workers_and_the_breaks_the_bits_are_the_same(tiny: Path, runner: Command) -> None:
    """And of a group of which a fit is missing only that is noted; the others were good already."""
    assert runner("run", *given(), "--executor", "serial").returncode == 0
    report = tiny.parent / "reports" / "tiny"
    assert runner("run", *given(), "--workers", "2", "--reports", "two").returncode == 0
    reference = journal_by_id(report)
    assert len(reference) == 24 and journal_by_id(tiny.parent / "two" / "tiny") == reference
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:4] + lines[5:17]))
    done = runner("run", *given())
    assert done.returncode == 0 and "8 fits to train, 16 are in the journal" in done.stderr
    assert journal_by_id(report) == reference
    more = [setting.replace("repeats: 2", "repeats: 3") for setting in given()]
    assert "12 fits to train, 24 are in the journal" in runner("run", *more).stderr
