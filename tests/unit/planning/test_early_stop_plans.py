"""`training.stop` in plans: whose fits are the same, what is refused, what is said before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import Command, journal_by_id

from runner.data.folds import stratified_splits
from runner.data.parts import PreparedPart
from runner.experiment.load import load
from runner.fits.records import EarlyStop, FitResult, FitSpec
from runner.planning import plan_file
from runner.planning.fits import assign_fit_ids
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan
from runner.tracking.metrics import cell_curves, fit_metrics

pytestmark = pytest.mark.figures

STOP = "training={epochs: 9, batch_size: 100, stop: {patience: 2, on: inner}}"
SMALL = "grid={architecture.convs: [1]}"


def planned(file: Path, *overrides: str) -> tuple[Plan, list[FitSpec]]:
    experiment = load(file, overrides)
    plan = make_plan(experiment)
    data = PreparedPart("nowhere", np.arange(600) % 10, "0123456789abcdef")
    splits = stratified_splits(data.labels, plan.folds, plan.repeats, plan.seed)
    return assign_fit_ids(plan, data, None, splits, ())


def ids(file: Path, stop: str) -> list[str]:
    return [fit.id for fit in planned(file, SMALL, STOP, f"training.stop={stop}")[1]]


def test_the_rule_is_part_of_the_identity_and_its_defaults_are_not_another_rule(tiny: Path) -> None:
    without = [fit.id for fit in planned(tiny, SMALL, "training={epochs: 9, batch_size: 100}")[1]]
    assert ids(tiny, "null") == without, "no rule, however that is written"
    plain = ids(tiny, "{patience: 2}")
    assert plain == ids(tiny, "{patience: 2, on: inner, share: 0.1}")
    others = [ids(tiny, "{patience: 3}"), ids(tiny, "{patience: 2, share: 0.2}"), without]
    assert not set(plain).intersection(*others) and len({fit for part in [plain, *others] for fit in part}) == 12


def test_all_cells_share_the_inner_part_of_a_fold(tiny: Path) -> None:
    _, fits = planned(tiny, STOP, "cross_validation={folds: 3, repeats: 2}")
    assert len(fits) == 24
    by_fold: dict[tuple[int, int], list[FitSpec]] = {}
    for fit in fits:
        by_fold.setdefault((fit.repeat, fit.fold), []).append(fit)
    drawn = set()
    for first, *rest in by_fold.values():
        assert first.inner is not None and len(first.inner) == 40 and len(first.train) == 360
        assert all(fit.inner is first.inner and fit.train is first.train for fit in rest)
        drawn.add(tuple(first.inner.tolist()))
    assert len(drawn) == 6
    assert all(fit.inner is None for fit in planned(tiny)[1])


@pytest.mark.parametrize(
    ("grid", "stops"),
    [
        ("{training.stop: [null, {patience: 2, on: inner}]}", [None, EarlyStop(2, 0.1)]),
        ("{rule: {never: {training.stop: null}, soon: {training.stop: {patience: 1}}}}", [None, EarlyStop(1, 0.1)]),
        ("{training.stop.patience: [1, 4]}", [EarlyStop(1, 0.1), EarlyStop(4, 0.1)]),
        ("[{training.stop: [null]}, {training.stop.share: [0.1, 0.3]}]", [None, EarlyStop(2, 0.1), EarlyStop(2, 0.3)]),
    ],
)
def test_a_grid_may_vary_the_rule(grid: str, stops: list[Any], tiny: Path, tmp_path: Path) -> None:
    plan, fits = planned(tiny, STOP, f"grid={grid}")
    assert [cell.settings.training.stop for cell in plan.cells] == stops
    assert not any(mark in cell.name for cell in plan.cells for mark in "\"'"), "names are written as in the file"
    by_cell = {cell.id: cell.settings.training.stop for cell in plan.cells}
    shares = {None: None, 0.1: 40, 0.3: 120}
    for fit in fits:
        stop = by_cell[fit.cell]
        assert shares[stop and stop.share] == (None if fit.inner is None else len(fit.inner))
    plan_file.save(plan, tmp_path / "plan.yaml")
    assert plan_file.read(tmp_path / "plan.yaml").cells == plan.cells


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stop=5", "training.stop: found 5; expected a mapping such as {patience: 5, on: inner}, or null"),
        ("stop=off", "training.stop: found 'off'; expected a mapping such as"),
        ("stop={on: inner}", "training.stop.patience: is required, but missing"),
        ("stop={patience: 2, shar: 0.2}", "training.stop.shar: unknown key 'shar'; did you mean 'share'?"),
        ("stop.patience=0", "training.stop.patience: found 0; allowed: 1 or more"),
        ("stop.patience=9", "training.stop.patience: found 9; allowed: 1 to 8, as training.epochs is 9"),
        ("epochs=1", "training.stop.patience: found 2; allowed: 2 or more epochs with training.stop, as"),
        (
            "stop.on=validation",
            "training.stop.on: found 'validation'; allowed: inner, a part of the training images, as",
        ),
        ("stop.on=true", "training.stop.on: found true; allowed: inner"),
        ("stop.share=10", "training.stop.share: found 10; did you mean 0.1? allowed: a fraction, more than 0 and at"),
        ("stop.share=0.6", "training.stop.share: found 0.6; allowed: a fraction, more than 0 and at most 0.5"),
        ("stop.share=0", "training.stop.share: found 0; allowed: a fraction, more than 0"),
        ("stop.share=ten", "training.stop.share: found 'ten'; expected a number"),
        (
            "batch_size=1100",
            "training.stop.share: found 0.1, which leaves 1079 of 1198 training images, less than a batch",
        ),
    ],
)
def test_bad_rules_are_refused_in_one_line(setting: str, words: str, tiny: Path, here: Command) -> None:
    done = here("plan", tiny, "--set", SMALL, "--set", STOP, "--set", f"training.{setting}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and f": {words}" in done.stderr, done.stderr


def test_a_batch_that_no_part_could_fill_is_not_the_fault_of_the_share(tiny: Path, here: Command) -> None:
    assert here("plan", tiny, "--set", SMALL, "--set", STOP, "--set", "training.batch_size=5000").returncode == 0


def test_classes_of_two_images_leave_nothing_to_set_aside(tiny: Path, here: Command) -> None:
    np.savez(tiny.parent / "few.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 0, 1, 1])
    few = ("dataset={name: npz, file: few.npz}", "cross_validation.folds=2", "training.engine=numpy", SMALL)
    done = here("run", tiny, *[word for setting in (STOP, *few) for word in ("--set", setting)])
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "training.stop: no class has two training images in a fold" in done.stderr


def test_a_study_tells_at_every_stage_that_its_fits_stop_early(tiny: Path, here: Command) -> None:
    """Plan, journal, tables, figure and page, and a run that has nothing left to do."""
    training = "training={epochs: 30, batch_size: 100, stop: {patience: 1, on: inner}, engine: numpy}"
    grid = "grid={rule: {never: {training.stop: null, training.epochs: 3}, soon: {training.stop.patience: 1}}}"
    arguments = (
        tiny,
        "--set",
        training,
        "--set",
        grid,
        "--set",
        "optimizer.lr=0.1",
        "--set",
        "dataset={name: digits, subset: 300}",
    )
    words = here("plan", *arguments).stdout
    assert "fits stop early in 1 cell: after 1 epoch without a lower loss on 10% of their training images" in words
    assert "fits to train: at most about " in words
    done = here("run", *arguments)
    assert done.returncode == 0, done.stderr
    report = tiny.parent / "reports" / "tiny"
    fits, journal = pd.read_csv(report / "tables" / "fits.csv"), journal_by_id(report)
    assert list(fits)[-4:] == ["epochs", "best_epoch", "seconds", "worker"]
    for row in fits.to_dict("records"):
        line = journal[row["id"]]
        assert row["epochs"] == len(line["curves"]["val_loss"]) == line["epochs"]
        assert row["best_epoch"] == (line.get("best_epoch") or 3)
        assert row["val_accuracy"] == line["curves"]["val_accuracy"][row["best_epoch"] - 1]
    soon = fits[fits["rule"] == "soon"]
    assert (soon["epochs"] == soon["best_epoch"] + 1).all() and soon["epochs"].max() < 30
    curves = pd.read_csv(report / "tables" / "curves.csv").query("level == 'soon'")
    assert len(curves) == soon["epochs"].max() and curves["fits"].tolist()[0] == 3
    assert curves["best_epoch"].iloc[0] == pytest.approx(soon["best_epoch"].mean())
    assert curves["val_accuracy_best"].iloc[0] == pytest.approx(soon["val_accuracy"].mean())
    page = (report / "report.md").read_text()
    low, high = soon["epochs"].min(), soon["epochs"].max()
    assert f"epochs trained: {low} to {high} (median" in page and "a dot is the mean result" in page
    assert "Generalisation gap after the epoch of each fit's result" in page
    again = here("run", *arguments)
    assert again.returncode == 0 and "0 fits to train" in again.stderr


def test_the_tracker_gets_the_result_and_curves_of_different_lengths() -> None:
    def fit(best: int, *accuracies: float) -> FitResult:
        curves = {name: list(accuracies) for name in ("val_accuracy", "val_loss", "inner_loss")}
        return FitResult("a", "c", 0, 0, "ok", epochs=len(accuracies), curves=curves, best_epoch=best)

    fits = [fit(1, 0.5, 0.7), fit(2, 0.2, 0.6, 0.4, 0.9)]
    assert fit_metrics(fits[1]) | {"seconds": 0} == {
        "seconds": 0, "val_accuracy": 0.6, "val_loss": 0.6, "inner_loss": 0.6,
        "best_val_accuracy": 0.9, "best_val_loss": 0.2, "best_epoch": 2, "epochs": 4,
    }  # fmt: skip
    assert cell_curves(fits)["val_accuracy"] == pytest.approx([0.35, 0.65, 0.4, 0.9])
    assert json.loads(json.dumps(fits[0].to_dict()))["best_epoch"] == 1
