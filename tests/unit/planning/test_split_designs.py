"""Studies that split by groups, by given folds or into two parts: what their plans say, refuse and identify."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command

import runner as package
from runner.components.records import ImageData
from runner.data.parts import PreparedPart
from runner.experiment.load import load
from runner.fits.records import FitSpec, SplitDesign
from runner.planning import plan_file
from runner.planning.differences import different_splits
from runner.planning.fits import plan_fits, plan_repeat
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan
from runner.planning.split_text import design_text

STUDY = """\
name: own
dataset: {name: npz, file: d.npz}
architecture: {name: stages, width: 2, stages: 1}
optimizer: adam
training: {epochs: 9, engine: numpy, batch_size: 10}
cross_validation: {folds: 3}
"""
GROUPS = np.repeat(np.arange(20), [2, 3, 4, 5, 6, 8, 4, 3, 2, 5] * 2)
LABELS = np.arange(84) % 2
WORDS = np.where(GROUPS % 4 == 0, "val", "train")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment on a file with groups, folds and a split."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (84, 8, 8), np.uint8)
    np.savez("d.npz", images=images, labels=LABELS, groups=GROUPS, folds=GROUPS % 3 + 7, split=WORDS)
    (tmp_path / "own.yaml").write_text(STUDY)
    return tmp_path / "own.yaml"


def part(**fields: Any) -> PreparedPart:
    columns: dict[str, Any] = {"groups": GROUPS, "folds": GROUPS % 3 + 7, "split": WORDS} | fields
    described = ImageData((1, 8, 8), ("0", "1"), 84, lambda: (np.zeros(84), LABELS), **columns)
    return PreparedPart("nowhere", LABELS, "0123456789abcdef", described=described)


def planned(file: Path, *overrides: str, **fields: Any) -> tuple[Plan, list[FitSpec]]:
    experiment = load(file, overrides)
    return plan_fits(experiment, make_plan(experiment), part(**fields), None)


CASES = {
    "{folds: 3, groups: true, repeats: 2}": (3, "3-fold cross-validation of whole groups, folds of ", "; 20 groups"),
    "{folds: 3, fold_column: true}": (3, "3 given folds, folds of ", " images"),
    "{folds: 3, fold_column: true, groups: true}": (3, "3 given folds, folds of ", "20 groups, none of them divided"),
    "{split: true}": (1, "the given split into a training and a validation part; ", " of 84 images validate"),
    "{split: 0.25, repeats: 3}": (1, "one part of 25% for validation, drawn for each repeat; 22", "84 images validate"),
    "{split: 0.25, groups: true}": (1, "one part of 25% for validation, drawn in whole groups for each repeat; ",
                                    "validate; 20 groups, none of them divided"),
}  # fmt: skip


@pytest.mark.parametrize("settings", CASES)
def test_a_plan_says_how_it_splits_and_comes_back_from_its_file(settings: str, study: Path, tmp_path: Path) -> None:
    folds, start, end = CASES[settings]
    plan, fits = planned(study, f"cross_validation={settings}")
    text = design_text(plan)
    assert text.startswith(start) and text.endswith(end), text
    assert plan.folds == folds and len(fits) == plan.fit_count == folds * plan.repeats
    assert plan.data["size"] == 84 == plan.data["train"] + plan.data["validation"]
    assert plan.data["fold_sizes"] == [len(fit.validation) for fit in fits]
    ratios = [len(fit.validation) / len(fit.train) for fit in fits]
    assert plan.test_train_ratio == pytest.approx(np.mean(ratios))
    for fit in fits:
        if "groups" in settings:
            assert not np.intersect1d(GROUPS[fit.train], GROUPS[fit.validation]).size
    plan_file.save(plan, tmp_path / "plan.yaml")
    assert plan_file.read(tmp_path / "plan.yaml") == plan
    # Without the numbers that the statistics need, the file is no plan.
    (tmp_path / "plan.yaml").write_text((tmp_path / "plan.yaml").read_text().replace("fold_sizes", "fold_numbers"))
    with pytest.raises(Exception, match="fold_sizes does not have"):
        plan_file.read(tmp_path / "plan.yaml")


def test_a_plan_without_a_design_has_no_word_of_it_and_the_ids_that_it_had(study: Path) -> None:
    plan, fits = planned(study)
    for off in ("{folds: 3, groups: false}", "{folds: 3, groups: null, split: false, fold_column: null}"):
        same, again = planned(study, f"cross_validation={off}")
        assert replace(same, overrides=()) == plan and [fit.id for fit in again] == [fit.id for fit in fits]
    assert "split_design" not in plan_file.text(plan) and "fold_sizes" not in plan_file.text(plan)
    assert plan.test_train_ratio == 0.5 and plan.validation_images == 28


def test_ids_depend_on_the_splits_and_on_nothing_else_of_the_design(study: Path) -> None:
    def ids(settings: str, *more: str, **fields: Any) -> list[str]:
        return [fit.id for fit in planned(study, f"cross_validation={settings}", *more, **fields)[1]]

    given = ids("{folds: 3, fold_column: true}")
    named = ids("{folds: 3, fold_column: true}", folds=np.array(list("xyz"))[GROUPS % 3])
    checked = ids("{folds: 3, fold_column: true, groups: true}")
    assert given == named == checked, "the same images are trained on"
    others = [ids("{folds: 3}"), ids("{folds: 3, groups: true}"), ids("{split: true}"), ids("{split: 0.3}"), given]
    assert len({fit for fits in others for fit in fits}) == sum(map(len, others))
    stop = "training.stop={patience: 2, share: 0.2}"
    own = [ids("{folds: 3, fold_column: true, groups: true}", stop), ids("{folds: 3, fold_column: true}", stop)]
    assert not set(own[0]) & set(own[1]), "the inner part is of whole groups, or not"


def test_the_inner_part_divides_no_group_and_all_cells_share_it(study: Path) -> None:
    settings = ("cross_validation={folds: 3, groups: true}", "training.stop={patience: 2, share: 0.2}")
    plan, fits = planned(study, *settings, "grid={architecture.width: [2, 3]}")
    assert plan.stops and len(fits) == 6
    for fit in fits:
        assert fit.inner is not None and len(fit.inner)
        parts = [set(GROUPS[images]) for images in (fit.train, fit.inner, fit.validation)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 20
        assert set(LABELS[fit.train]) == {0, 1}
    assert all(a.inner is b.inner for a, b in zip(fits[:3], fits[3:], strict=True))
    with pytest.raises(Exception, match=r"training.stop.share: found 0.2, which leaves .*, less than a batch of 50"):
        planned(study, *settings, "training.batch_size=50")


def test_repeats_until_decided_draw_other_groups_and_are_refused_before_they_are_too_many(study: Path) -> None:
    experiment = load(study, ["cross_validation={folds: 3, groups: true, repeats: {until: decided, most: 4}}",
                              "grid={architecture.width: [2, 3]}"])  # fmt: skip
    data = part()
    plan, fits = plan_fits(experiment, make_plan(experiment), data, None)
    grown, more = plan_repeat(experiment, data, None, plan, [cell.id for cell in plan.cells])
    assert (plan.repeats, grown.repeats) == (2, 3) and {fit.id for fit in fits} < {fit.id for fit in more}
    assert len({tuple(fit.validation) for fit in more}) == 9 and len(grown.data["fold_sizes"]) == 9
    three = np.repeat([0, 1, 2], 28)
    with pytest.raises(Exception, match="repeats: found 4, but 3 groups can be divided evenly into 3 folds in 1 way"):
        plan_fits(experiment, make_plan(experiment), part(groups=three), None)


def test_duplicates_of_a_split_count_where_they_validate(study: Path) -> None:
    digests = np.arange(84).astype(np.uint64)
    train, validation = np.flatnonzero(WORDS == "train"), np.flatnonzero(WORDS == "val")
    digests[validation[:3]] = digests[train[:3]]
    digests[train[5]] = digests[train[4]]
    data = part()
    data.digests = digests
    experiment = load(study, ["cross_validation={split: true}"])
    plan, _ = plan_fits(experiment, make_plan(experiment), data, None)
    found = plan.data["duplicates"]
    assert (found["images"], found["sets"], found["leaked"]) == (8, 4, 3)
    without = load(study, ["cross_validation={folds: 3, groups: true}", "dataset.deduplicate=true"])
    plan, fits = plan_fits(without, make_plan(without), data, None)
    assert plan.data["size"] == 80 == sum(plan.data["fold_sizes"]) and plan.data["groups"] == 20
    assert not any(np.intersect1d(GROUPS[fit.train], GROUPS[fit.validation]).size for fit in fits)


def test_plans_with_other_groups_are_not_paired(study: Path) -> None:
    settings = "cross_validation={folds: 3, groups: true}"
    plain, (a, _), (b, _) = planned(study)[0], planned(study, settings), planned(study, settings, groups=GROUPS[::-1])
    assert not different_splits(a, a) and not different_splits(plain, plain)
    for one, other in ((a, b), (a, plain)):
        assert different_splits(one, other) == "different way of splitting: no paired comparison"


REFUSED = {
    "{folds: 3, groups: 3}": "6: cross_validation.groups: found 3; expected true, or the name of a column of the data",
    "{folds: 3, groups: ''}": "cross_validation.groups: found ''; expected true, or the name",
    "{folds: 3, groups: patient}": "found 'patient', but the groups of this data set have no name; allowed: true",
    "{group: true}": "unknown key 'group'; did you mean 'groups'?",
    "{split: 20}": "cross_validation.split: found 20; did you mean 0.2? allowed: a fraction, more than 0",
    "{split: 0.2, folds: 4}": "cross_validation.folds: found 4, but split is a single fold; leave out one of the two",
    "{split: 0.2, fold_column: true}": "fold_column: found together with split, and both say which images validate",
    "{fold_column: true, repeats: 3}": "repeats: found 3, but fold_column: true gives the splits, so that every",
    "{split: true, repeats: {until: decided}}": "found repeats until decided, but split: true gives the splits",
    "{split: 0.2, repeats: {until: decided}}": "that rule was not shown to hold with one fold; allowed: a number",
}


@pytest.mark.parametrize("settings", REFUSED)
def test_settings_that_contradict_each_other_are_refused_at_their_line(
    settings: str, study: Path, runner: Command
) -> None:
    study.write_text(STUDY.replace("{folds: 3}", settings))
    done = runner("plan", "own.yaml")
    assert done.returncode == 2 and REFUSED[settings] in done.stderr and len(done.stderr.splitlines()) == 1
    assert "own.yaml:6:" in done.stderr


def test_data_sets_without_columns_are_refused_without_being_read(study: Path, runner: Command) -> None:
    done = runner("plan", "own.yaml", "--set", "dataset=digits", "--set", "cross_validation={groups: true}")
    assert done.returncode == 2 and done.stderr == (
        "--set cross_validation={groups: true}: cross_validation.groups: found true, but the data set has no groups of "
        "its images (npz takes an array, image-folder a pattern of the file names, tables a column)\n"
    )


def test_plan_prints_the_design_and_with_the_data_its_numbers(study: Path, runner: Command) -> None:
    override = ("--set", "cross_validation={folds: 3, groups: true}")
    done = runner("plan", "own.yaml", *override)
    assert "splits: 3-fold cross-validation of whole groups\n" in done.stdout and not done.returncode
    done = runner("plan", "own.yaml", *override, "--data", "--json")
    found = json.loads(done.stdout)
    assert found["splits"] == {"groups": True} and found["data"]["groups"] == 20 and found["fits"] == 3
    assert sum(found["data"]["fold_sizes"]) == 84
    done = runner("plan", "own.yaml", "--set", "cross_validation={folds: 5, fold_column: true}", "--data")
    assert done.returncode == 2
    assert "cross_validation.folds: found 5, but the images have 3 folds: 7, 8, 9; allowed: 3" in done.stderr
    done = runner("plan", "own.yaml", "--set", "cross_validation={split: 0.25, repeats: 2}")
    assert "own: 1 cell × 1 fold × 2 repeats = 2 fits" in done.stdout


def test_validation_parts_without_a_class_are_said(study: Path) -> None:
    from runner.planning.plan_warnings import plan_warnings

    # Each group has one class, and the rare one is in two groups.
    groups = np.where(LABELS, np.arange(84) % 7, 9 + np.arange(84) // 42)
    plan, _ = planned(study, "cross_validation={folds: 3, groups: true}", groups=groups)
    assert any(
        line.startswith("splits: 1 of 3 validation parts have no image of some class") for line in plan_warnings(plan)
    )


PLUGIN = """
import numpy as np
from runner.api import Dataset, ImageData, hookimpl

def load():
    labels = np.arange(60) % 2
    return np.full((60, 1, 8, 8), 40, np.uint8) * (1 + labels[:, None, None, None]).astype(np.uint8), labels

def hospitals():
    return [f"hospital {number // 6}" for number in range(60)]

def patients():
    raise ValueError("no such file")

def build():
    groups = {"hospital": hospitals, "patient": patients, "short": hospitals()[1:]}
    return ImageData(shape=(1, 8, 8), class_names=("a", "b"), size=60, load=load, groups=groups)

@hookimpl
def register_datasets():
    yield Dataset(name="clinic", build=build)
"""


def test_a_plugin_s_data_set_carries_groups(study: Path, runner: Command) -> None:
    (study.parent / "clinic.py").write_text(PLUGIN)
    study.write_text(STUDY.replace("dataset: {name: npz, file: d.npz}", "dataset: clinic\nplugins: [./clinic.py]"))
    done = runner("plan", "own.yaml", "--data", "--set", "cross_validation={folds: 5, groups: hospital}")
    assert done.returncode == 0, done.stderr
    assert "whole groups (column 'hospital'), folds of 12 images; 10 groups" in done.stdout
    for column, message in {
        "patient": "dataset: reading its column 'patient' raised ValueError: no such file",
        "short": "column 'short': found 59 values; expected 60, one per image",
        "doctor": "found 'doctor'; allowed: hospital, patient, short",
    }.items():
        done = runner("plan", "own.yaml", "--data", "--set", f"cross_validation={{groups: {column}}}")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert f"cross_validation.groups: {message}" in done.stderr


def test_typed_objects_take_the_same_settings() -> None:
    settings = package.CrossValidation(split=0.2, groups="patient")
    assert settings.design == SplitDesign("patient", False, 0.2) and settings.fold_count == 1
    assert package.CrossValidation(folds=4).design is None
    with pytest.raises(Exception, match="groups: found 0; expected true"):
        package.CrossValidation(groups=0)
