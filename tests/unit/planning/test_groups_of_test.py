"""A group that is trained on must have no images in the held-out test part: refused by `plan --data` and `run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run_here
from PIL import Image

from runner.components.records import ImageData
from runner.data import columns
from runner.experiment.load import load
from runner.flow.training import prepared_data
from runner.planning import plan_file
from runner.planning.fits import plan_fits
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan

STUDY: dict[str, Any] = {
    "name": "own",
    "architecture": {"name": "stages", "width": 2, "stages": 1},
    "optimizer": "adam",
    "training": {"epochs": 1, "engine": "numpy", "batch_size": 10},
}
WHO = np.repeat(np.arange(12), 4)
LABELS = np.arange(48) % 2
CURE = "take them out of one of the two, or leave out cross_validation.test"


def npz(folder: Path, test: list[int], **arrays: Any) -> dict[str, Any]:
    images = np.random.default_rng(0).integers(0, 256, (48 + len(test), 8, 8), np.uint8)
    parts = {"images": images[:48], "labels": LABELS, "test_images": images[48:], "test_labels": LABELS[: len(test)]}
    given = {"groups": WHO, "test_groups": np.array(test)} | arrays
    np.savez(folder / "d.npz", **parts, **{name: array for name, array in given.items() if array is not None})
    return {"name": "npz", "file": "d.npz"}


def files(folder: Path, test: list[int], root: str = "pets", other: str = "new") -> None:
    """Image files of both parts, whose names begin with the group."""
    rng = np.random.default_rng(0)
    for name, who in ((root, WHO.tolist()), (other, test)):
        for number, group in enumerate(who):
            path = folder / name / ("cat", "dog")[number % 2] / f"p{group}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(path)


def table(folder: Path, test: list[int], named: str = "animal") -> dict[str, Any]:
    files(folder, test)
    for name, root, column in (("a.csv", "pets", "animal"), ("b.csv", "new", named)):
        found = sorted((folder / root).rglob("*.png"))
        rows = [f"{path.relative_to(folder)},{path.parent.name},{path.name.partition('_')[0]}" for path in found]
        (folder / name).write_text("\n".join([f"path,label,{column}", *rows]))
    return {"name": "image-table", "file": "a.csv", "test_file": "b.csv", "size": 8, "grey": True}


def image_folder(folder: Path, test: list[int], groups: str = r"(?P<group>p\d+)_.*", **more: Any) -> dict[str, Any]:
    files(folder, test, **({"root": "all/train", "other": "all/test"} if more else {}))
    where = more or {"root": "pets", "test_root": "new"}
    return {"name": "image-folder", "size": 8, "grey": True, "groups": groups, **where}


def from_table(folder: Path, test: list[int]) -> dict[str, Any]:
    """Paths in it are relative to the folder: of the training part below its own folder, of the test below `root`."""
    data = image_folder(folder, test, groups="who.csv", root="all", split=True)
    found = [*sorted((folder / "all/train").rglob("*.png")), *sorted((folder / "all/test").rglob("*.png"))]
    paths = [str(path.relative_to(folder / "all")).removeprefix("train/") for path in found]
    rows = [f"{path},{Path(path).name.partition('_')[0]}" for path in paths]
    (folder / "who.csv").write_text("\n".join(["path,animal", *rows]))
    return data


KINDS = {
    "npz": (npz, True, "3"),
    "table": (table, "animal", "p3"),
    "pattern": (image_folder, True, "p3"),
    "table of a folder": (from_table, "animal", "p3"),
}


def write(folder: Path, dataset: dict[str, Any], **validation: Any) -> None:
    given = {"test": True, **validation}
    (folder / "s.yaml").write_text(json.dumps({**STUDY, "dataset": dataset, "cross_validation": given}))


def planned(folder: Path) -> Plan:
    """The plan with what only the data tell."""
    experiment = load(folder / "s.yaml")
    plan = make_plan(experiment)
    with prepared_data(experiment, plan) as (data, test):
        return plan_fits(experiment, plan, data, test)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_in_both_parts_is_refused_and_another_is_not(kind: str, tmp_path: Path) -> None:
    make, groups, example = KINDS[kind]
    (tmp_path / "bad").mkdir()
    write(tmp_path / "bad", make(tmp_path / "bad", [20, 3, 3, 21, 7, 22]), groups=groups)
    expected = "s.yaml:1: cross_validation.groups: 2 groups have images in the training data and in the held-out test "
    expected += f"part too ({example} for one), so that the test would be of images that are known; {CURE}"
    for command in (("plan", "s.yaml", "--data"), ("run", "s.yaml")):
        done = run_here(tmp_path / "bad", *command)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("runner.datasets: ")]
        assert (done.returncode, lines) == (2, [expected])
    assert not (tmp_path / "bad" / "reports").exists(), "nothing was trained"
    assert run_here(tmp_path / "bad", "plan", "s.yaml").returncode == 0, "which reads no data"
    # Without the test there is no leak, and with other animals in it neither.
    assert (
        run_here(tmp_path / "bad", "plan", "s.yaml", "--data", "--set", "cross_validation.test=false").returncode == 0
    )
    (tmp_path / "good").mkdir()
    write(tmp_path / "good", make(tmp_path / "good", [20, 23, 23, 21, 27, 22]), groups=groups)
    done = run_here(tmp_path / "good", "plan", "s.yaml", "--data")
    assert done.returncode == 0 and "warning: groups" not in done.stderr, done.stderr
    assert "images; 12 groups, and 5 others in the held-out test part" in done.stdout


def test_with_given_folds_a_split_or_a_subset(tmp_path: Path) -> None:
    data = npz(tmp_path, [3, 30], folds=WHO % 3, split=np.where(WHO < 4, "val", "train"))
    for validation in ({"folds": 3, "fold_column": True}, {"split": True}, {"split": 0.3}):
        write(tmp_path, data, groups=True, **validation)
        done = run_here(tmp_path, "plan", "s.yaml", "--data")
        assert done.returncode == 2 and "1 group has images in the training data and in the held-out" in done.stderr
        assert "test part too (3), so that" in done.stderr and done.stderr.count("\n") == 1
    # Only the images that are split count: without those of group 3 there is nothing to refuse.
    write(tmp_path, {**data, "subset": 12}, groups=True, folds=3)
    seeds = [run_here(tmp_path, "plan", "s.yaml", "--data", "--set", f"seed={seed}") for seed in range(4)]
    assert {done.returncode for done in seeds} == {0, 2}
    refused = next(done.stderr for done in seeds if done.returncode)
    assert refused.endswith("cross_validation.test (with dataset.subset: 12)\n")


@pytest.mark.parametrize("kind", ["npz", "table", "pattern"])
def test_a_test_part_without_groups_is_warned_of(kind: str, tmp_path: Path) -> None:
    data: dict[str, Any]
    if kind == "npz":
        data, groups = npz(tmp_path, [3] * 6, test_groups=None), True
    elif kind == "table":
        data, groups = table(tmp_path, [3] * 6, named="other"), "animal"
    else:
        data, groups = image_folder(tmp_path, [3] * 6, groups=r"(?P<group>p\d+)_.*"), True
        for path in (tmp_path / "new").rglob("*.png"):
            path.rename(path.with_name(f"q{path.name}"))
    write(tmp_path, data, groups=groups)
    done = run_here(tmp_path, "plan", "s.yaml", "--data")
    assert done.returncode == 0
    assert "warning: groups: the data set does not say which groups its held-out test images are of" in done.stderr
    if kind == "npz":
        done = run_here(tmp_path, "run", "s.yaml")
        assert done.returncode == 0 and "warning: groups: the data set does not say" in done.stderr, done.stderr
        plan = plan_file.read(tmp_path / "reports" / "own" / "plan.yaml")
        assert plan.data["test_groups"] == 0 and plan.data["groups"] == 12


def test_a_study_keeps_its_fits_and_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test groups that are none of the training part's change nothing but the plan's number of them."""
    monkeypatch.chdir(tmp_path)
    plans = []
    for test_groups in (None, np.arange(20, 26)):
        write(tmp_path, npz(tmp_path, [0] * 6, test_groups=test_groups), groups=True)
        plans.append(planned(tmp_path))
    assert plans[0].fits == plans[1].fits and [plan.data["test_groups"] for plan in plans] == [0, 6]
    assert plan_file.text(plans[1]) == plan_file.text(plans[0]).replace("test_groups: 0", "test_groups: 6")
    write(tmp_path, npz(tmp_path, [0] * 6))
    assert "test_groups" not in plan_file.text(planned(tmp_path)), "without groups nobody asks for them"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"test_groups": np.arange(5)}, "d.npz: test_groups is int64 (5,); expected 6 values, one per image"),
        ({"test_groups": np.array(["a", "b", "", "c", "d", "e"])}, "cross_validation.groups: test_groups: image 3 has "
         "no value; every image needs one"),
        ({"test_groups": np.full(6, 0.5)}, "cross_validation.groups: test_groups: image 1 has 0.5; expected texts or"),
    ],
)  # fmt: skip
def test_groups_that_are_not_complete_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path, npz(tmp_path, [0] * 6, **arrays), groups=True)
    done = run_here(tmp_path, "plan", "s.yaml", "--data")
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_an_array_of_groups_without_a_test_part_is_refused(tmp_path: Path) -> None:
    images = np.zeros((48, 8, 8), np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=LABELS, test_groups=np.arange(6))
    write(tmp_path, {"name": "npz", "file": "d.npz"})
    done = run_here(tmp_path, "plan", "s.yaml")
    assert done.returncode == 2 and "d.npz: test_groups without test_images" in done.stderr


@pytest.mark.parametrize(
    ("groups", "test_groups", "wanted", "expected"),
    [
        ([1, 2], [3, 4, 3], True, ("3", "4")),
        ([1, 2], ["3", "4", "3"], True, ("3", "4")),
        ([1, 2], None, True, None),
        ({"group": [1, 2], "who": [5, 6]}, {"group": [1, 1, 1], "who": [8, 9, 8]}, True, ("1",)),
        ({"group": [1, 2], "who": [5, 6]}, {"group": [1, 1, 1], "who": [8, 9, 8]}, "who", ("8", "9")),
        ({"group": [1, 2], "who": [5, 6]}, {"group": [1, 1, 1]}, "who", None),
        ({"groups": [1, 2]}, {"group": [1, 1, 1]}, True, None),
        ({"who": [1, 2]}, lambda: [1, 1, 1], "who", ("1",)),
        ([1, 2], {"group": [1, 1, 1]}, True, ("1",)),
    ],
)
def test_the_groups_of_the_test_part(groups: Any, test_groups: Any, wanted: Any, expected: Any) -> None:
    test = {"test_size": 3, "load_test": lambda: (), "test_groups": test_groups}
    data = ImageData((1, 2, 2), ("a", "b"), 2, lambda: (), groups=groups, **test)
    assert columns.read_test_groups(data, wanted) == expected
