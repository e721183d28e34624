"""A plan.yaml from an untrusted source: whatever is wrong with it is one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from reporting_samples import make_plan

from runner.errors import RunnerError
from runner.planning import plan_file

SAMPLE = make_plan({"depth": ("1", "2")}, folds=2)


def with_changes(path: Path, changes: dict[str, object]) -> Path:
    """A plan file with values replaced; a key is a path with dots."""
    content = yaml.safe_load(plan_file.text(SAMPLE))
    for key, value in changes.items():
        *parents, last = key.split(".")
        target = content
        for parent in parents:
            target = target[int(parent) if parent.isdigit() else parent]
        target[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_sample_is_a_valid_plan(tmp_path: Path) -> None:
    assert plan_file.read(with_changes(tmp_path / "plan.yaml", {})).name == SAMPLE.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": [], "fits": {}, "folds": 10**9}, "it has no cells; expected at least 1"),
        ({"equivalent": float("nan")}, "equivalent is .nan; allowed: 0 or more"),
        ({"folds": 10**9}, "a cell does not have 1000000000 fits"),
        ({"data.shape": [10**10, 1, 1]}, "shape"),
        ({"data.shape": [1, 0, 28]}, "shape"),
        ({"cells.0.name": "x" * 10_001}, "a name has 10,001 characters; allowed: 10,000"),
        ({"data.class_names": ["x" * 20_000]}, "a name has 20,000 characters"),
    ],
)
def test_a_plan_that_no_run_writes_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = with_changes(tmp_path / "plan.yaml", changes)
    with pytest.raises(RunnerError, match=rf"plan.yaml: .*{message}") as info:
        plan_file.read(path)
    assert "\n" not in str(info.value)


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = with_changes(tmp_path / "plan.yaml", {})
    path.write_text(path.read_text().replace("seed: ", "seed: 0x" + "f" * 5000))
    with pytest.raises(RunnerError, match="plan.yaml: not a plan that this version can read"):
        plan_file.read(path)


def test_size_and_number_of_values_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_changes(tmp_path / "plan.yaml", {})
    monkeypatch.setattr(plan_file, "MOST_VALUES", 50)
    with pytest.raises(RunnerError, match=r"plan.yaml:\d+: more than 50 values"):
        plan_file.read(path)
    with path.open("r+b") as file:
        file.truncate(10**11)
    with pytest.raises(RunnerError, match="plan.yaml: not a plan .*it has 100,000 MB; allowed: 64 MB"):
        plan_file.read(path)
