"""`--require-published`: a script sees by the exit status whether MLflow has everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, journal_lines, run_here
from mlflow import MlflowClient
from mlflow_runs import free_port, kinds, runs_of, sqlite

ONE_CELL = ("--set", "grid={architecture.convs: [1]}")
REQUIRED = "--require-published"
LINE = "--require-published: not everything is in MLflow ("


@pytest.fixture
def tiny(quick: Path) -> Path:
    return quick


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "not everything is in MLflow" in line]


def test_a_server_that_is_down_ends_the_run_with_status_1_and_one_line(tiny: Path, runner: Command) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    done = runner("run", tiny, *ONE_CELL, REQUIRED, "--tracking-uri", dead, publish=True)
    assert done.returncode == 1 and lines(done.stderr), (done.stdout, done.stderr)
    (line,) = lines(done.stderr)
    assert line.startswith(f"{LINE}nothing answers at this address") and "`runner publish tiny` sends the rest" in line
    report = tiny.parent / "reports" / "tiny"
    assert len(journal_lines(report)) == 3 and (report / "report.html").is_file() and "report: " in done.stdout
    without = runner("run", tiny, *ONE_CELL, "--tracking-uri", dead, publish=True)
    assert without.returncode == 0
    (line,) = lines(without.stderr)
    assert line.startswith("not everything is in MLflow (")


def test_a_store_that_has_everything_ends_it_with_status_0(tiny: Path, runner: Command) -> None:
    done = runner("run", tiny, *ONE_CELL, REQUIRED, publish=True)
    assert (done.returncode, lines(done.stderr)) == (0, []), done.stderr
    assert kinds(runs_of(sqlite(tiny))) == {"cell": 1, "fit": 3, "report": 1}


def test_it_looks_into_the_store_when_nothing_is_left_to_train(tiny: Path, here: Command) -> None:
    """The ledger says that everything is there, and without the option a run believes it."""
    assert here("run", tiny, *ONE_CELL, publish=True).returncode == 0
    client = MlflowClient(sqlite(tiny))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert here("run", tiny, *ONE_CELL, publish=True).returncode == 0
    done = here("run", tiny, *ONE_CELL, REQUIRED, publish=True)
    (line,) = lines(done.stderr)
    assert done.returncode == 1 and line.startswith(f"{LINE}the experiment 'tiny' was deleted in MLflow")
    client.restore_experiment(experiment.experiment_id)
    lost = next(run for run in runs_of(sqlite(tiny)) if run.data.tags["runner.kind"] == "fit")
    client.set_tag(lost.info.run_id, "runner.key", "of nobody")  # as if it had been removed for good
    again = here("run", tiny, *ONE_CELL, REQUIRED, publish=True)
    assert (again.returncode, lines(again.stderr)) == (0, []), again.stderr
    assert kinds(runs_of(sqlite(tiny)))["fit"] == 3 + 1, "and what is missing is sent"


def test_what_a_person_deleted_is_not_missed(tiny: Path, here: Command) -> None:
    assert here("run", tiny, *ONE_CELL, publish=True).returncode == 0
    fit = next(run for run in runs_of(sqlite(tiny)) if run.data.tags["runner.kind"] == "fit")
    MlflowClient(sqlite(tiny)).delete_run(fit.info.run_id)
    done = here("run", tiny, *ONE_CELL, REQUIRED, publish=True)
    assert (done.returncode, lines(done.stderr)) == (0, []), done.stderr
    assert "MLflow: deleted in MLflow, and left out: 1 fit" in done.stderr


def test_failed_fits_end_the_run_with_status_1_in_either_case(tiny: Path, here: Command) -> None:
    diverging = ("--set", "optimizer={name: sgd, lr: 1e30}")
    done = here("run", tiny, *ONE_CELL, *diverging, REQUIRED, publish=True)
    assert done.returncode == 1 and lines(done.stderr) == [] and "3 of 3 fits failed" in done.stderr
    dead = f"http://127.0.0.1:{free_port()}"
    done = here("run", tiny, *ONE_CELL, *diverging, REQUIRED, "--tracking-uri", dead, publish=True)
    assert done.returncode == 1 and len(lines(done.stderr)) == 1 and "3 of 3 fits failed" in done.stderr


@pytest.mark.parametrize("where", ["--tracking-uri", "$MLFLOW_TRACKING_URI"])
def test_it_is_refused_without_a_store(where: str, tiny: Path) -> None:
    given = ("--tracking-uri", "none") if where == "--tracking-uri" else ()
    variables = {} if given else {"MLFLOW_TRACKING_URI": "none"}
    done = run_here(tiny.parent, "run", tiny, REQUIRED, *given, publish=True, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--require-published: {where} is none, so that nothing would be published\n"
    assert not (tiny.parent / "reports").exists()


def test_a_dry_run_only_shows_the_plan(tiny: Path, here: Command) -> None:
    done = here("run", tiny, REQUIRED, "--dry-run", "--tracking-uri", "none")
    assert done.returncode == 0 and "12 fits" in done.stdout and not (tiny.parent / "reports").exists()
