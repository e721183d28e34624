"""What Python users call, and what it returns: options, frames, tables on screen, progress, interruption."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import ROOT

import runner
from runner.errors import RunnerError
from runner.fits.records import FitResult
from runner.flow.notebook import Notebook, in_notebook, progress_for
from runner.flow.outcome import Options, Outcome
from runner.flow.progress import Lines, Live, Progress
from runner.flow.saved_study import Study, StudyResults
from runner.shown import MOST_ROWS, Shown, Table

EXPERIMENT: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "digits", "subset": 60},
    "architecture": {"name": "stages", "width": 2, "stages": 1},
    "optimizer": "adam",
    "training": {"epochs": 2, "engine": "numpy"},
    "cross_validation": {"folds": 2},
    "grid": {
        "pool": {"<max> $1$": {"architecture.downsample": "max_pool"}, "avg": {"architecture.downsample": "avg_pool"}},
        "architecture.convs": [1, 2],
    },
}
QUIET: dict[str, Any] = {"executor": "serial", "tracking_uri": "none", "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return runner.run(EXPERIMENT, reports=str(folder), **QUIET)


@pytest.fixture(scope="module")
def study(outcome: Outcome) -> Study:
    return runner.load(outcome.folder)


def test_a_loaded_study_has_the_frames_of_the_run(outcome: Outcome, study: Study) -> None:
    names = [name for name, kind in vars(Outcome.__base__).items() if hasattr(kind, "func")]
    frames = [name for name in names if not name.startswith("_")]
    assert len(frames) == 15
    for name in frames:
        pd.testing.assert_frame_equal(getattr(outcome, name), getattr(study, name))
        assert len(getattr(study, name)) or name in ("layers", "looks", "matched")
    assert outcome.answers == study.answers and len(study.answers) == 3
    assert outcome.verdict == study.verdict and outcome.plan == study.plan
    assert outcome.progress == study.progress == "8 of 8 fits are finished"


def test_epochs_and_journal_have_a_row_for_each(study: Study) -> None:
    assert study.epochs.shape[0] == 16 and study.epochs["architecture.convs"].dtype == "int64"
    last = study.epochs.groupby("id", sort=False)["val_accuracy"].last()
    pd.testing.assert_series_equal(last, study.fits["val_accuracy"])
    assert [*study.journal.index] == [*study.fits.index]
    assert study.journal["finished"].dt.tz is not None and study.journal["finished"].min().year > 2000


def test_a_study_is_found_by_folder_name_or_experiment(outcome: Outcome, folder: Path) -> None:
    for given in (outcome.folder, str(outcome.folder), outcome):
        assert runner.load(given).plan == outcome.plan
    for name in ("small", EXPERIMENT):
        assert runner.load(name, reports=str(folder)).plan == outcome.plan


def test_every_public_name_and_option_is_documented() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    options = [name for name in inspect.signature(runner.run).parameters if name != "experiment"]
    frames = [name for name in vars(StudyResults) if name[0] != "_" and name not in ("shown", "progress", "remarks")]

    assert not [name for name in runner.__all__ if f"runner.{name}" not in page]
    assert not [name for name in (*options, *frames) if f"`{name}" not in page]


def test_results_print_as_tables(outcome: Outcome, study: Study) -> None:
    for results in (outcome, study):
        lines = repr(results).splitlines()
        assert lines[0] == "small: 8 of 8 fits are finished" and lines[2].startswith("cell ")
        assert sum("2 of 2" in line for line in lines) == 4 and lines[-1].startswith("report: ")
        assert [line for line in lines if line.startswith("pool: ")] == [study.answers[0]]
        page = results._repr_html_()
        assert page.count("<tr>") == 5 and "&lt;max&gt; &#36;1&#36;" in page and "<max>" not in page


def test_a_plan_prints_its_cells(outcome: Outcome) -> None:
    plan = runner.plan(EXPERIMENT, overrides={"architecture.kernel": 11})

    assert repr(plan).splitlines()[0] == "small: 4 cells × 2 folds × 1 repeat = 8 fits"
    assert len(repr(plan).splitlines()) >= 6 and plan._repr_html_().count("<tr>") == 5
    assert len(repr(replace(plan, cells=plan.cells * 40)).splitlines()) < MOST_ROWS + 20


def test_comparisons_and_descriptions_print_too(outcome: Outcome, study: Study, folder: Path, tmp_path: Path) -> None:
    wider = runner.run(EXPERIMENT | {"name": "wider"}, reports=folder, overrides=["architecture.width=3"], **QUIET)

    compared = runner.compare(outcome, str(wider.folder), out=tmp_path / "out")

    assert "A small" in repr(compared) and "<table>" in compared._repr_html_()
    with pytest.raises(RunnerError, match="the same study as"):
        runner.compare(outcome, folder / "small")
    assert (tmp_path / "out").is_dir() and repr(compared) == repr(runner.compare("small", "wider", reports=folder))
    described = runner.describe({"name": "stages", "width": np.int64(8)}, input=(1, 8, 8))
    assert re.search(r"stage1/conv1 +conv 3×3 +8×8×8 +80 +4,608", repr(described))
    assert described.layers.loc["stage1/conv1", "parameters"] == 80 and described.macs == described.layers["macs"].sum()


def test_a_report_is_written_again(outcome: Outcome, study: Study) -> None:
    page, table = outcome.folder / "report.html", outcome.folder / "tables/cells.csv"
    page.unlink()
    assert runner.report(study) == page and page.is_file()
    before = table.read_bytes()
    table.unlink()
    assert runner.report(outcome, formats="csv,tex") == outcome.folder and table.read_bytes() == before


def test_the_network_of_a_fit(study: Study, tmp_path: Path) -> None:
    saved = {"training.keep": "all", "grid": {"architecture.convs": [1]}}
    outcome = runner.run(EXPERIMENT, overrides=saved, reports=tmp_path, **QUIET)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    shares = outcome.network(repeat=1, fold=2).predict(images)
    assert shares.shape == (3, 10) and np.allclose(shares.sum(axis=1), 1)
    assert np.array_equal(shares, runner.load(outcome.folder).network(fold=2).predict(images))
    assert not np.array_equal(shares, outcome.network(fold=1).predict(images))
    with pytest.raises(RunnerError, match="fold"):
        outcome.network(fold=3)
    # Without `training.keep` there is none, and one line says so.
    with pytest.raises(RunnerError, match=r"training\.keep"):
        study.network()


def test_what_is_missing_is_trained_and_no_more(outcome: Outcome, folder: Path) -> None:
    again = runner.run(EXPERIMENT, reports=folder, **QUIET)

    assert (again.trained, again.ok) == (0, 8)
    pd.testing.assert_frame_equal(again.cells, outcome.cells)


class Interrupted(Progress):
    def show_result(self, result: FitResult) -> None:
        if self.done == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_raises_after_its_report(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="^2 of 8 fits are finished; the same call trains the rest$"):
        runner.run(EXPERIMENT, reports=tmp_path, **QUIET | {"progress": Interrupted()})

    assert (tmp_path / "small/report.html").is_file()
    assert runner.load(tmp_path / "small").fits["status"].value_counts().to_dict() == {"missing": 6, "ok": 2}


BROKEN = EXPERIMENT | {"training": {"epochs": 1, "engine": "numpy", "stuck_after": 1}}


def test_failed_fits_are_named(tmp_path: Path) -> None:
    outcome = runner.run(BROKEN, reports=tmp_path, overrides={"optimizer": {"name": "sgd", "lr": 1e-9}}, **QUIET)

    assert outcome.failed > 0
    assert f"8 of 8 fits are finished, {outcome.failed} of them failed" in repr(outcome)
    assert repr(outcome).count("\nfailed: ") == outcome.failed and "only_failed=True" in repr(outcome)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: runner.run(EXPERIMENT, worker=2), "runner.run: unknown option 'worker'; did you mean 'workers'?"),
        (lambda: runner.plan(EXPERIMENT, override={}), "runner.plan: unknown option 'override'; did you mean 'overr"),
        (lambda: runner.load("x", report="r"), "runner.load: unknown option 'report'; did you mean 'reports'?"),
        (lambda: runner.describe("stages", clases=2), "runner.describe: unknown option 'clases'"),
        (lambda: runner.run(EXPERIMENT, workers=0), "workers: found 0; allowed: a whole number, 1 or more"),
        (lambda: runner.run(EXPERIMENT, workers=1.5), "workers: found 1.5; allowed: a whole number"),
        (lambda: runner.run(EXPERIMENT, workers=True), "workers: found True; allowed: a whole number"),
        (lambda: runner.run(EXPERIMENT, executor="proces"), "executor: found 'proces'; did you mean 'process'?"),
        (lambda: runner.run(EXPERIMENT, publish_wait=-1), "publish_wait: found -1; allowed: seconds, 0 or more"),
        (lambda: runner.run(EXPERIMENT, reports=3), "reports: found 3; expected the path of a folder"),
        (lambda: runner.run(EXPERIMENT, tracking_uri=3), "tracking_uri: found 3; expected an address or"),
        (lambda: runner.load("none"), "reports/none: no such report"),
        (lambda: runner.compare("none"), "compare: found one study; expected two or more"),
        (lambda: runner.describe("stages", input=(8, 8)), "describe: expected input=(channels, height, width)"),
        (lambda: runner.describe({"name": "stages", "widht": 3}), "describe stages: widht: stages has no parameter"),
        (lambda: runner.describe("x", plugins=["./none.py"]), "describe: plugins: no file './none.py'"),
        (lambda: runner.nothing, "module 'runner' has no attribute 'nothing'"),
    ],
)
def test_a_wrong_option_is_one_line(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((RunnerError, TypeError, AttributeError)) as refused:
        call()

    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)
    assert not [*tmp_path.iterdir()]


def test_options_may_be_what_numpy_and_pathlib_give(tmp_path: Path) -> None:
    options = Options(workers=np.int64(2), reports="a/b", tracking_uri=tmp_path / "m.db")  # type: ignore[arg-type]

    assert (options.workers, type(options.workers), options.reports) == (2, int, Path("a/b"))
    assert options.tracking_uri == f"sqlite:///{tmp_path}/m.db"


def test_importing_loads_nothing() -> None:
    """And the typed objects load no library of figures, frames or training."""
    program = (
        "import sys, runner; print(*sys.modules); runner.Experiment; runner.plan; dir(runner); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = (set(line.split()) for line in done.stdout.splitlines())

    assert {name for name in first if name.startswith("runner")} == {"runner"}
    assert not first & {"pydantic", "yaml", "numpy", "pandas", "torch"}
    assert not second & {"numpy", "pandas", "torch", "mlflow", "matplotlib", "rich"}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A kernel's IPython, as far as it matters: the text of its one output, each time it changes."""
    texts: list[str] = []

    def display(data: dict[str, str], raw: bool, display_id: bool = False) -> Any:
        texts.append(data["text/plain"])
        return SimpleNamespace(update=display)

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    yield texts


def test_progress_suits_the_place(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    own = Progress()
    assert progress_for(own) is own and type(progress_for(False)) is Progress
    assert type(progress_for(True)) is Lines and not in_notebook()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert type(progress_for(True)) is Live
    monkeypatch.setattr(sys, "stderr", None)  # a program without a console
    assert type(progress_for(True)) is Lines


def test_progress_in_a_notebook(notebook: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type(progress_for(True)) is Notebook

    runner.run(BROKEN, reports=tmp_path, **QUIET | {"progress": True})

    assert len(notebook) == 9 and notebook[0].endswith("0/8 · starting")
    assert re.match(r"█{24} 8/8 · (\d failed · )?0 s left", notebook[-1])
    out, err = capsys.readouterr()
    assert out.startswith("small: 8 fits to train\n") and err == ""
    runner.run(BROKEN, reports=tmp_path, **QUIET | {"progress": True})
    assert len(notebook) == 9, "no bar of nothing"


class Wide(Shown):
    def shown(self) -> Iterator[str | Table]:
        yield Table(("cell", "first", "second"), [("a name", "1,000", "2")] * (MOST_ROWS + 5))


class Scripts(Shown):
    def shown(self) -> Iterator[str | Table]:
        yield Table(("class", "n"), [("猫と犬", "1"), ("cats", "20")])


def test_characters_that_are_two_columns_wide_are_aligned() -> None:
    assert repr(Scripts()).splitlines() == ["class   n", "猫と犬  1", "cats   20"]


def test_a_narrow_terminal_leaves_columns_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(Wide()).splitlines()[:2] == ["cell   first second", "a name 1,000      2"]
    assert repr(Wide()).splitlines()[-1] == "... and 5 more rows"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "15")
    assert repr(Wide()).splitlines()[:1] == ["cell   first"]
    assert repr(Wide()).splitlines()[-1] == "(too narrow for: second)"
