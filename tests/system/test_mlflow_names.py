"""Factors and levels whose names MLflow refuses, cuts or takes for paths: all are in the store, and none is lost."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from browsed_study import publish_study
from command import QUICK, run_here
from mlflow.entities import Run
from mlflow_runs import kinds, runs_of, sqlite
from reporting_samples import make_plan, results

from runner.journal.journal import open_journal
from runner.planning import plan_file
from runner.tracking.names import FACTOR, LEVEL
from runner.tracking.parameters import factor_parameters

LONG = "a long name of a level " * 300
"""6,900 characters; the levels below add some, at the end only."""
ODD = ("a//b", "a/b", "./x", "x", "/2", "2", "..", "pool_", "größe", "n" * 300)
"""Names of which MLflow refuses some and takes some for one path."""
GRID = {
    "pool/": {"max": {"architecture.downsample": "max_pool"}, "stride": {"architecture.downsample": "strided_conv"}},
    "optimizer": {f"{LONG}{end * 100}": {"optimizer.lr": lr} for end, lr in (("s", 1e-3), ("f", 1e-2))},
    **{name: {f"level of {number}": {}} for number, name in enumerate(ODD)},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose study was run and published."""
    file = tmp_path_factory.mktemp("names") / "tiny.yaml"
    cells = {"exclude": [{"pool/": "max", "optimizer": f"{LONG}{'s' * 100}"}], "cross_validation": {"folds": 2}}
    file.write_text(yaml.safe_dump({**yaml.safe_load(QUICK), "grid": GRID, **cells}, sort_keys=False))
    done = run_here(file.parent, "run", file.name, publish=True)
    assert done.returncode == 0 and "MLflow refused" not in done.stderr, done.stderr
    return file


@pytest.fixture(scope="module")
def runs(study: Path) -> list[Run]:
    return runs_of(sqlite(study))


def of_kind(runs: list[Run], kind: str) -> list[Run]:
    return [run for run in runs if run.data.tags["runner.kind"] == kind]


def original(tags: dict[str, str], params: dict[str, str]) -> dict[str, str]:
    """The levels by factor as somebody finds them who has the run alone."""
    names = {name: tags.get(f"{FACTOR}{name}", name) for name in params}
    return {factor: tags.get(f"{LEVEL}{name}", params[name]) for name, factor in names.items() if factor in GRID}


def test_every_factor_and_level_can_be_read_back_from_each_run(study: Path, runs: list[Run]) -> None:
    assert kinds(runs) == {"cell": 3, "fit": 6, "report": 1}
    plan = plan_file.read(study.parent / "reports" / "tiny" / "plan.yaml")
    wanted = {cell.id: cell.levels for cell in plan.cells}
    cells = of_kind(runs, "cell")
    for run in cells:
        assert original(run.data.tags, run.data.params) == wanted[run.data.tags["runner.cell"]]
    tags = {run.info.run_id: run.data.tags for run in cells}
    for run in of_kind(runs, "fit"):
        cell = tags[run.data.tags["mlflow.parentRunId"]]
        assert original(cell, run.data.params) == wanted[run.data.tags["runner.cell"]]


def test_no_factor_shares_its_name_with_another_or_with_a_setting(study: Path, runs: list[Run]) -> None:
    names = factor_parameters(plan_file.read(study.parent / "reports" / "tiny" / "plan.yaml"))
    assert set(names) == set(GRID) and len({*names.values()}) == len(GRID)
    for run in of_kind(runs, "fit"):
        assert (run.data.params["repeat"], run.data.params["fold"]) in {("1", "1"), ("1", "2")}
    for run in of_kind(runs, "cell"):
        assert run.data.params["optimizer"].startswith("a long name") and run.data.params["setting optimizer"] == "adam"


def test_names_of_one_beginning_stay_apart_however_long_they_are(runs: list[Run]) -> None:
    """The levels of the optimizer and the cells' names differ behind MLflow's limits only."""
    assert len({run.data.params["optimizer"] for run in of_kind(runs, "cell")}) == 2
    assert len({run.info.run_name for run in runs}) == len(runs)


def test_factors_called_as_what_a_fit_logs_keep_their_levels(tmp_path: Path) -> None:
    """A file of today may have none, but plans of earlier ones may, and the end of a path is such a name too."""
    plan = make_plan({"architecture.fold": ("flat", "deep"), "repeat": ("often", "once")}, folds=2)
    folder = tmp_path / "reports" / plan.name
    folder.mkdir(parents=True)
    plan_file.save(plan, folder / "plan.yaml")
    with open_journal(folder) as journal:
        journal.append(*results(plan))
    publish_study(folder.parent, plan.name)
    runs = of_kind(runs_of(f"sqlite:///{folder.parent / 'mlflow.db'}", plan.name), "fit")
    names = factor_parameters(plan)
    found = {(*(run.data.params[names[factor]] for factor in plan.factors), run.data.params["fold"]) for run in runs}
    assert found == set(itertools.product(("flat", "deep"), ("often", "once"), ("1", "2")))
    assert {run.data.params["repeat"] for run in runs} == {"1"}
