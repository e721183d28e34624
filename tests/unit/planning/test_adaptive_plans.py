"""Plans whose repeats stop when decided: their fits are those of a fixed number of repeats, and so are their ids."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from bad_input import BASE
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import ACCURACY
from small_study import make_plan as small_plan

from runner.data.parts import PreparedPart
from runner.errors import RunnerError
from runner.experiment.load import load
from runner.experiment.schema import Experiment, UntilDecided
from runner.fits.grouping import groups_to_train
from runner.fits.records import FitResult, FitSpec, TrainingPlan
from runner.planning import changes, plan_file
from runner.planning.estimate import estimate
from runner.planning.fits import plan_fits, plan_repeat
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan
from runner.planning.stacking import decide

UNTIL = "cross_validation.repeats={until: decided, most: 6}"
DATA = PreparedPart("nowhere", np.arange(600) % 10, "0123456789abcdef")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repeats") / "base.yaml"
    path.write_text(BASE.replace("[none, shift]", "[none, shift, flip]"))
    return path


def planned(file: Path, *overrides: str) -> tuple[Experiment, Plan, list[FitSpec]]:
    experiment = load(file, overrides)
    return experiment, *plan_fits(experiment, make_plan(experiment), DATA, None)


def grown(file: Path, repeats: int, *overrides: str) -> tuple[Plan, list[FitSpec]]:
    """An adaptive plan after it was extended to `repeats`, in which all cells went on."""
    experiment, plan, fits = planned(file, UNTIL, *overrides)
    while plan.repeats < repeats:
        plan, fits = plan_repeat(experiment, DATA, None, plan, [cell.id for cell in plan.cells])
    return plan, fits


@pytest.mark.parametrize("stacking", ["auto", "off", "2", "3"])
@pytest.mark.parametrize("folds", [3, 5])
def test_fits_of_the_first_repeats_are_those_of_a_fixed_number(stacking: str, folds: int, file: Path) -> None:
    options = ("training.engine=torch", "training.device=cpu", f"training.stacking={stacking}")
    options = (*options, f"cross_validation.folds={folds}")
    for repeats in range(2, 7):
        plan, fits = grown(file, repeats, *options)
        _, fixed, expected = planned(file, f"cross_validation.repeats={repeats}", *options)
        assert plan.fits == fixed.fits and [fit.id for fit in fits] == [fit.id for fit in expected]
        assert replace(plan, most=None, overrides=fixed.overrides) == fixed
        for fit, same in zip(fits, expected, strict=True):
            assert (fit.repeat, fit.fold, fit.keys, fit.training) == (same.repeat, same.fold, same.keys, same.training)
            assert (fit.train == same.train).all() and (fit.validation == same.validation).all()
        assert sorted(map(ids_of, groups_of(fits))) == sorted(map(ids_of, groups_of(expected)))


def groups_of(fits: list[FitSpec]) -> list[tuple[FitSpec, ...]]:
    return groups_to_train(fits, {fit.id for fit in fits})


def ids_of(group: tuple[FitSpec, ...]) -> list[str]:
    return [fit.id for fit in group]


@pytest.mark.parametrize("stacking", ["auto", "7", "10", "1000"])
def test_groups_never_cross_a_repeat(stacking: str, file: Path) -> None:
    options = ("training.engine=torch", "training.device=cpu", f"training.stacking={stacking}")
    _, fits = grown(file, 4, *options, "cross_validation.folds=5")
    sizes = Counter(len(group) for group in groups_of(fits))
    assert sizes == {5: 3 * 4} and all(len({fit.repeat for fit in group}) == 1 for group in groups_of(fits))


@given(st.integers(2, 12), st.integers(2, 20), st.sampled_from(["auto", 1, 5, 40]), st.integers(1, 10**8))
def test_on_a_gpu_at_most_a_repeat_is_trained_together(
    folds: int, most: int, requested: str | int, activations: int
) -> None:
    training = TrainingPlan(1, 100, "torch", "cuda", "float32")
    analysis: Any = SimpleNamespace(macs=1, activations=activations)
    until = UntilDecided(until="decided", most=most)
    size = decide(requested, "", training, analysis, folds, until) or 1
    assert 1 <= size <= folds
    assert size == min(decide(requested, "", training, analysis, folds, most) or 1, folds)


@settings(max_examples=20)
@given(st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=1, max_size=4))
def test_cells_that_are_out_of_a_race_get_no_more_repeats(file: Path, looks: list[set[int]]) -> None:
    experiment, plan, fits = planned(file, UNTIL, "search.race=best")
    alive = set(range(3))
    repeats = [2, 2, 2]
    for going_on in looks:
        if not alive & going_on:
            break
        alive &= going_on
        repeats = [count + (index in alive) for index, count in enumerate(repeats)]
        plan, fits = plan_repeat(experiment, DATA, None, plan, [plan.cells[index].id for index in going_on])
    assert [plan.repeats_of(cell.id) for cell in plan.cells] == repeats and plan.repeats == max(repeats)
    assert plan.fit_count == len(fits) == len(plan.fit_keys()) == 2 * sum(repeats)
    assert [(fit.id, fit.cell, fit.repeat, fit.fold) for fit in fits] == plan.fit_keys()
    _, fixed, _ = planned(file, f"cross_validation.repeats={plan.repeats}")
    assert all(fixed.fits[cell][: len(ids)] == ids for cell, ids in plan.fits.items()), "the same ids as without a race"
    assert estimate(plan, [], 1).fits == plan.fit_count
    plan_file._check_consistency(plan)


def test_a_plan_begins_with_two_repeats(file: Path) -> None:
    plan = make_plan(load(file, [UNTIL]))
    assert (plan.repeats, plan.most, plan.race, plan.fit_count, plan.fits_at_most) == (2, 6, False, 12, 36)
    assert plan.repeats_setting == "{until: decided, most: 6}"
    fixed = make_plan(load(file, ["cross_validation.repeats=3"]))
    assert (fixed.repeats, fixed.most, fixed.fit_count, fixed.fits_at_most) == (3, None, 18, 18)
    assert fixed.repeats_setting == 3
    by_default = make_plan(load(file, ["cross_validation.repeats={until: decided}", "search={race: best}"]))
    assert (by_default.most, by_default.race) == (8, True)


def saved(file: Path, folder: Path, *overrides: str) -> tuple[Plan, Path]:
    _, plan, _ = planned(file, UNTIL, *overrides)
    path = folder / "plan.yaml"
    plan_file.save(plan, path)
    return plan, path


def test_the_file_holds_both_settings(file: Path, tmp_path: Path) -> None:
    plan, path = saved(file, tmp_path, "search.race=best")
    content = yaml.safe_load(path.read_text())
    assert (content["repeats"], content["most"], content["race"]) == (2, 6, True)
    read = plan_file.read(path)
    assert (read.repeats, read.most, read.race, read.fits) == (2, 6, True, plan.fits)


def test_a_file_of_an_earlier_version_lacks_them(file: Path, tmp_path: Path) -> None:
    _, path = saved(file, tmp_path)
    content = yaml.safe_load(path.read_text())
    del content["most"], content["race"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    read = plan_file.read(path)
    assert (read.repeats, read.most, read.race) == (2, None, False)


def cut(content: dict[str, Any], cell: int, fits: int) -> None:
    """Leave the cell with this index its first `fits`."""
    ids = list(content["fits"].values())[cell]
    del ids[fits:]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.update(most=1), "found 2 repeats; allowed: at most 1"),
        (lambda content: content.update(most=None), "it is a race, but its number of repeats is fixed"),
        (lambda content: cut(content, 1, 3), "a cell does not have a whole number of repeats, 1 to 2"),
        (lambda content: cut(content, 1, 0), "a cell does not have a whole number of repeats, 1 to 2"),
        (lambda content: [cut(content, cell, 2) for cell in range(3)], "whole number of repeats, 1 to 2"),
        (lambda content: (content.update(race=False), cut(content, 1, 2)), "a cell does not have 4 fits"),
        (lambda content: content["fits"].popitem(), "a cell does not have 4 fits"),
        (lambda content: content.update(most="many"), "most"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(edit: Any, message: str, file: Path, tmp_path: Path) -> None:
    _, path = saved(file, tmp_path, "search.race=best")
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(RunnerError, match=message):
        plan_file.read(path)


def test_a_cell_of_a_race_may_have_fewer_repeats(file: Path, tmp_path: Path) -> None:
    _, path = saved(file, tmp_path, "search.race=best")
    content = yaml.safe_load(path.read_text())
    cut(content, 1, 2)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert plan_file.read(path).fit_count == 4 + 2 + 4


def small(repeats: int, most: int | None = None, race: bool = False) -> Plan:
    plan = replace(small_plan(list(ACCURACY), repeats=repeats), most=most, race=race)
    plan.data["size"] = 300
    return plan


def results_of(plan: Plan) -> list[FitResult]:
    return [FitResult(fit, *key, "ok", seconds=1.0) for fit, *key in plan.fit_keys()]


def test_an_estimate_counts_the_repeats_of_each_cell() -> None:
    plan = small(3, 8, race=True)
    fits = copy.deepcopy(plan.fits)
    del fits[plan.cells[0].id][3:]
    plan = replace(plan, fits=fits)
    assert plan.fit_count == 9 * 3 + 3
    assert estimate(plan, results_of(small(1)), 1).fits == 9 * 2
    assert estimate(plan, results_of(small(3)), 1).fits == 0, "results that the race no longer plans are not counted"


GROWTH = ": cross_validation.repeats {} -> {}"
SIX, EIGHT = "{until: decided, most: 6}", "{until: decided, most: 8}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (small(2, 8), small(3, 8), []),  # the next repeat of an undecided study is no change
        (small(2, 6), small(3, 8), []),  # nor is it if the most were raised: it would have been trained anyway
        (small(3, 8), small(2, 8), []),  # the third repeat may be needed again
        (small(6, 6), small(7, 8), ["12 of 84 fits are new" + GROWTH.format(SIX, EIGHT) + " (all cells)"]),
        (small(2), small(3, 8), ["12 of 36 fits are new" + GROWTH.format(2, EIGHT) + " (all cells)"]),
        (small(3, 8), small(5), ["24 of 60 fits are new" + GROWTH.format(EIGHT, 5) + " (all cells)"]),
        (small(3), small(2, 8), []),
        (small(3, 8), small(2), ["12 results of the last run stay in the journal, unused by this plan"]),
        (small(4), small(2, 3), ["12 results of the last run stay in the journal, unused by this plan"]),
    ],
)
def test_what_changed(old: Plan, new: Plan, expected: list[str]) -> None:
    assert changes.describe(old, new, results_of(old)) == expected
    if not any("new" in line for line in expected):  # also for `runner plan`, which knows no ids
        assert changes.describe(old, replace(new, fits={}), results_of(old)) in (expected, [])
