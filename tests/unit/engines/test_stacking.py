"""Fits of a cell that are trained together: each gets the result that it gets alone, except for rounding."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from breaking import ADAM, STEPS, CheckpointEvery, Killer, bits
from command import Command
from engine_fits import GATED, MIXED, MOMENTUM, built_fit

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import checkpoint_path
from runner.engines.optimizer_step import runs_of_equal
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.learner import TorchLearner
from runner.errors import EndedEarly, RunnerError
from runner.fits.grouping import split_into_groups
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
    ComponentRef("adam", {"lr": 0.01, "multipliers": {"bias": {"lr": 2}, "norm": {"lr": 0}}, "lookahead": {"k": 2}}),
    ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9, "sam": {"rho": 0.2}, "multipliers": {"conv": {"lr": 0.5}}}),
]  # fmt: skip
SHORTCUT = Sequential(
    Conv(4, 3), ReLU(), Residual(Conv(6, 3, 2), ReLU(), Conv(6, (1, 3)), shortcut=PadChannels(6, 2)),
    GlobalMaxPool(), Flatten(), Dense(3),
)  # fmt: skip
SIZES = (40, 41, 48, 49, 33)
"""Sizes of training parts. The last batches of 16 have 8, 9, 16, 1 and 1 images; the fourth fit has one batch more."""


def group(*settings: Any, sizes: tuple[int, ...] = SIZES, **named: Any) -> list[BuiltFit]:
    """Fits with training parts of these sizes, each with its own random streams, validated on 10 or 11 images."""
    fits = []
    for fold, size in enumerate(sizes):
        fit = built_fit(*settings, **named)
        rng = np.random.default_rng(fold)
        order = rng.permutation(60)
        validation = np.sort(order[size:][: 10 + fold % 2])
        spec = dataclasses.replace(fit.spec, fold=fold, train=np.sort(order[:size]), validation=validation)
        fits.append(dataclasses.replace(fit, spec=spec))
    return fits


def train_alone(fits: list[BuiltFit]) -> list[Any]:
    return [TorchEngine().fit([fit])[0] for fit in fits]


def check_same_alone(fits: list[BuiltFit], tolerance: float) -> None:
    """The curves of the fits trained together and alone agree within the tolerance, relative or absolute."""
    for together, alone in zip(TorchEngine().fit(fits), train_alone(fits), strict=True):
        assert isinstance(together, TrainedFit) and isinstance(alone, TrainedFit), (together, alone)
        for name, values in together.curves.items():
            assert values == pytest.approx(alone.curves[name], rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize(
    ("rule", "augmentation"),
    [(RULES[0], "none"), *((rule, "mixup") for rule in RULES)],
    ids=lambda part: getattr(part, "name", part),
)
def test_whole_trainings_in_float64_agree(rule: ComponentRef, augmentation: str) -> None:
    """With batches of unequal sizes, dropout, batch normalisation, branches, grouped convolutions, weight decay."""
    check_same_alone(group(augmentation, 4, "float64", rule, MIXED), 1e-8)


@pytest.mark.parametrize("network", [None, MIXED, SHORTCUT, GATED], ids=["stages", "mixed", "shortcut", "gated"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05), ("float64", 1e-10)])
def test_first_steps_agree_within_rounding(network: Any, precision: str, tolerance: float) -> None:
    check_same_alone(group("shift", 1, precision, MOMENTUM, network), tolerance)


def test_the_inspection_arrays_are_those_of_the_fit_itself() -> None:
    fits = group("none", 2, "float64", MOMENTUM, MIXED)
    together, alone = TorchEngine().fit(fits)[0], TorchEngine().fit(fits[:1])[0]
    assert isinstance(together, TrainedFit) and isinstance(alone, TrainedFit) and together.arrays
    assert set(together.arrays) == set(alone.arrays) and together.answers == alone.answers
    for name in set(together.arrays) - {"seconds"}:
        if together.arrays[name].dtype.kind == "f":
            np.testing.assert_allclose(together.arrays[name], alone.arrays[name], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(together.arrays[name], alone.arrays[name], err_msg=name)


class Exploding:
    """A transform that turns batches of 9 images into NaN, so that the fit diverges."""

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        return {"factor": np.float32([np.nan if count == 9 else 1.0])}

    def apply(self, images: Any, draws: Any) -> Any:
        return images * draws["factor"]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_fit_that_diverges_does_not_change_the_others(position: int) -> None:
    fits = group("none", 4, "float64", ADAM, MIXED, sizes=tuple(41 if n == position else 40 for n in range(3)))
    fits = [dataclasses.replace(fit, transforms=(Exploding(),)) for fit in fits]
    outcomes = TorchEngine().fit(fits)
    assert isinstance(outcomes[position], EndedEarly) and "after epoch 1" in str(outcomes[position])
    for together, alone in zip(outcomes, train_alone(fits), strict=True):
        assert type(together) is type(alone)
        if isinstance(together, TrainedFit):
            for name, values in together.curves.items():
                assert values == pytest.approx(alone.curves[name], rel=1e-8), name


def test_a_group_whose_fits_all_diverge_ends() -> None:
    diverging = group(optimizer=ComponentRef("sgd", {"lr": 1e30}), epochs=10**6)
    assert all(isinstance(outcome, EndedEarly) for outcome in TorchEngine().fit(diverging))


def test_every_fit_is_normalised_by_its_own_training_part() -> None:
    fits = group()
    together = TorchLearner(fits).normalisation
    for number, fit in enumerate(fits):
        assert torch.equal(together.mean[number : number + 1], TorchLearner([fit]).normalisation.mean)


@pytest.mark.slow
@pytest.mark.parametrize("explodes", [False, True])
def test_a_group_killed_in_any_epoch_resumes_with_the_same_bits(explodes: bool, tmp_path: Path) -> None:
    """Also if one of its fits has already diverged."""

    def train(killer: Killer, every: int = 0) -> list[Any]:
        fits = group("shift", 3, "float32", ADAM, MIXED, sizes=(40, 41, 49))
        exploding = (Exploding(),) if explodes else ()
        fits[1] = dataclasses.replace(fits[1], transforms=(*fits[1].transforms, *exploding))
        checkpoint = CheckpointEvery(tmp_path, every, fits=["a", "b", "c"]) if every else None
        fits[0] = dataclasses.replace(fits[0], transforms=(*fits[0].transforms, killer), checkpoint=checkpoint)
        outcomes = TorchEngine().fit(fits)
        return [str(outcome) if isinstance(outcome, Exception) else bits(outcome) for outcome in outcomes]

    undisturbed = train(Killer())
    assert ("diverged" in undisturbed[1]) == explodes
    for kill in range(1, STEPS, 1 if explodes else 3):
        checkpoint_path(tmp_path, "a").unlink(missing_ok=True)
        train(Killer(kill), 1 + kill % 2)
        rest, saved = Killer(), checkpoint_path(tmp_path, "a").exists()
        assert train(rest, 100) == undisturbed, kill
        assert saved == (kill > 1) and (rest.batches < STEPS) == saved, "it resumed from the checkpoint"


def test_a_group_resumes_with_the_same_bits_with_what_is_done_around_its_rule(tmp_path: Path) -> None:
    """Of three fits, of which one has a batch more than the others, so that they are at different steps."""
    around = {"lookahead": {"k": 2}, "sam": {}, "multipliers": {"bias": {"lr": 2}}}

    def train(killer: Killer, every: int = 0) -> list[Any]:
        fits = group("shift", 3, "float32", ComponentRef("adam", {"lr": 0.01, **around}), MIXED, sizes=(40, 41, 49))
        checkpoint = CheckpointEvery(tmp_path, every, fits=["a", "b", "c"]) if every else None
        fits[0] = dataclasses.replace(fits[0], transforms=(*fits[0].transforms, killer), checkpoint=checkpoint)
        return [
            str(outcome) if isinstance(outcome, Exception) else bits(outcome) for outcome in TorchEngine().fit(fits)
        ]

    undisturbed, rest = train(Killer()), Killer()
    train(Killer(5), 1)
    assert train(rest, 100) == undisturbed and rest.batches == STEPS - 5


class Mixing:
    """A rule whose step has a fixed length over all fits together, so that they affect each other."""

    slots = ()

    def update(self, parameter: Any, gradient: Any, state: Any, step: Any) -> None:
        parameter -= 0.1 * gradient / (gradient**2).sum() ** 0.5


def test_a_rule_that_mixes_fits_is_refused_for_a_group_of_several() -> None:
    fits = [dataclasses.replace(fit, rule=Mixing()) for fit in group()]
    for outcome in TorchEngine().fit(fits):
        assert isinstance(outcome, RunnerError) and "Mixing: its update mixes fits" in str(outcome)
    assert all(isinstance(outcome, TrainedFit) for outcome in train_alone(fits))


def test_runs_of_equal_values() -> None:
    assert list(runs_of_equal([])) == []
    assert list(runs_of_equal([3, 3, 2])) == [(slice(0, 2), 3), (slice(2, 3), 2)]
    assert list(runs_of_equal([1, 2, 1])) == [(slice(0, 1), 1), (slice(1, 2), 2), (slice(2, 3), 1)]


def test_a_group_holds_neighbours_and_more_repeats_do_not_change_the_first_groups() -> None:
    for size in (2, 3, 5, 10, 12):
        groups = split_into_groups(range(10), size, 5)
        assert split_into_groups(range(20), size, 5)[: len(groups)] == groups
    assert [len(members) for members in split_into_groups(range(24), 4, 6)] == [4, 2] * 4
    assert [len(members) for members in split_into_groups(range(18), 13, 6)] == [12, 6]
    assert split_into_groups(range(5), None, 5) == [range(n, n + 1) for n in range(5)]


def planned_stacking(
    shape: Shape, device: str = "cpu", batch: int = 32, wanted: str | int = "auto", **options: Any
) -> Any:
    training = TrainingPlan(1, batch, "torch", device, "float32")
    analysis = analyse(Sequential(Conv(8, 3), Flatten(), Dense(3)), shape, 3)
    return decide(
        wanted, options.get("obstacle", ""), training, analysis, options.get("folds", 5), options.get("repeats", 2)
    )


def test_auto_trains_small_fits_together_by_a_rule_that_depends_on_the_experiment_alone() -> None:
    assert planned_stacking((1, 8, 8)) == planned_stacking((1, 28, 28)) == 5
    assert planned_stacking((3, 64, 64)) is None and planned_stacking((3, 64, 64), wanted=4) == 4
    assert planned_stacking((1, 28, 28), batch=1000) is None
    assert planned_stacking((1, 8, 8), wanted="off") is None and planned_stacking((1, 8, 8), wanted=1) is None
    assert planned_stacking((1, 8, 8), obstacle="no") is None
    assert planned_stacking((1, 28, 28), folds=12) == 6, "two groups of equal size"
    assert planned_stacking((1, 28, 28), "cuda") == 10, "all fits of a cell on a GPU"
    assert planned_stacking((1, 28, 28), "cuda", repeats=3, batch=5000) == 15
    assert planned_stacking((1, 224, 224), "cuda", 1000) is None


SETTINGS = ("training={epochs: 2, batch_size: 100, engine: torch}", "cross_validation={folds: 3, repeats: 2}")


def arguments(*more: str) -> list[str]:
    return ["tiny.yaml", *[word for setting in (*SETTINGS, *more) for word in ("--set", setting)]]


def test_the_plan_reports_stacking_and_it_is_part_of_a_fits_identity(tiny: Path, runner: Command) -> None:
    cells = {}
    for stacking, words in (("auto", "3 fits of a cell trained together"), ("off", ""), ("6", "6 fits of a cell")):
        done = runner("plan", *arguments(f"training.stacking={stacking}"))
        assert done.returncode == 0 and words in done.stdout, done.stderr
        assert ("together" in done.stdout) == bool(words)
        document = runner("plan", *arguments(f"training.stacking={stacking}"), "--json")
        cells[stacking] = {cell["id"] for cell in json.loads(document.stdout)["cells"]}
    assert not cells["auto"] & cells["off"] and not cells["auto"] & cells["6"]
    explicit = json.loads(runner("plan", *arguments("training.stacking=3"), "--json").stdout)
    assert {cell["id"] for cell in explicit["cells"]} == cells["auto"], "the identity has the resolved value of auto"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("training.engine=numpy", "training.stacking=3"), "found 3, but the numpy engine trains one fit at a time"),
        (("optimizer=Adam", "training.stacking=2"), "found 2, but the optimizer runs only on the torch engine"),
        (("training.stacking=0",), "training.stacking"),
        (("training.stacking=on",), "training.stacking"),
    ],
)
def test_impossible_stacking_is_refused(settings: tuple[str, ...], words: str, tiny: Path, runner: Command) -> None:
    done = runner("plan", *arguments(*settings))
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
