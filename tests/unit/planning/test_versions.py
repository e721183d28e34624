"""Fits made with different versions of a library: warnings before they are trained and wherever they are compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command import TINY, Command, journal_lines, run_here

from runner.fits.records import FitResult
from runner.journal.index import read
from runner.journal.line import encode

SERIAL = ("--executor", "serial", "--set", "training.epochs=1", "--set", "training.engine=numpy")
OLD, NEW = "1.26.9", np.__version__


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    assert run_here(folder, "run", "tiny.yaml", *SERIAL).returncode == 0
    return folder


@pytest.fixture
def report(trained: Path, tmp_path: Path) -> Path:
    """The report of a run of 4 cells x 3 folds, all made with the installed NumPy."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "reports" / "tiny"


def rewrite(report: Path, change: Callable[[int, FitResult], FitResult], count: int = 12) -> None:
    """Applies `change` to the first `count` fits of the journal and drops the others."""
    fits = read(report / "journal.jsonl")[0][:count]
    (report / "journal.jsonl").write_bytes(b"".join(encode(change(n, fit)) for n, fit in enumerate(fits)))


def older(first: int) -> Callable[[int, FitResult], FitResult]:
    """A change of the `first` fits to an older NumPy."""
    return lambda number, fit: replace(fit, versions={"numpy": OLD}) if number < first else fit


@pytest.mark.slow
def test_a_run_that_continues_with_other_libraries_warns_before_and_after(report: Path, runner: Command) -> None:
    rewrite(report, older(5), count=5)
    warning = (
        f"warning: the journal has fits made with numpy {OLD} (5 fits); the remaining 7 will be made with numpy "
        f"{NEW}, so comparisons will mix versions. `runner run tiny.yaml --set training.epochs=1 --set "
        "training.engine=numpy --reports NEWDIR` trains all 12 fits with the installed versions."
    )
    assert warning in runner("plan", "tiny.yaml", *SERIAL[2:]).stdout.splitlines()
    done = runner("run", "tiny.yaml", *SERIAL)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and lines[0] == warning and "7 fits to train, 5 are in the journal" in lines[1]
    mixture = f"these results were made with numpy {OLD} (5 fits) and {NEW} (7 fits), so differences between cells"
    assert any(line.startswith(f"warning: {mixture}") for line in lines[2:])
    for page in ("report.html", "report.md"):
        text = (report / page).read_text()
        assert mixture in text and text.index(mixture) < text.index("## Answer" if page == "report.md" else '="answer"')
    retrained = runner("run", "tiny.yaml", *SERIAL, "--reports", "NEWDIR")
    assert retrained.returncode == 0 and "numpy" not in retrained.stderr, "the suggested command removes the mixture"
    versions = [json.loads(line)["fit"]["versions"] for line in journal_lines(report.parents[1] / "NEWDIR" / "tiny")]
    assert versions == [{"numpy": NEW, "archrunner": version("archrunner"), "numerics": "default"}] * 12
    assert "Mixed versions" not in (report.parents[1] / "NEWDIR" / "tiny" / "report.html").read_text()


def test_no_warning_if_all_fits_have_the_same_version(report: Path, runner: Command) -> None:
    for first in (0, 12):  # none and all of the fits older; nothing left to train
        rewrite(report, older(first))
        done = runner("run", "tiny.yaml", *SERIAL)
        assert done.returncode == 0 and "numpy" not in done.stderr
        assert "Mixed versions" not in (report / "report.html").read_text() + (report / "report.md").read_text()


def test_a_failed_fit_does_not_count(report: Path, runner: Command) -> None:
    rewrite(
        report, lambda n, fit: replace(older(1)(n, fit), status="failed", reason="broke", curves={}) if n < 1 else fit
    )
    assert runner("report", "tiny").returncode == 0
    assert "Mixed versions" not in (report / "report.html").read_text()
    assert "versions" not in (report / "tables" / "fits.csv").read_text().partition("\n")[0]


def test_compare_warns_within_an_experiment_and_between_two(report: Path, runner: Command) -> None:
    other = Path(shutil.copytree(report, report.parent / "other"))
    same = runner("compare", "tiny", "reports/other")
    assert same.returncode == 0 and "numpy" not in same.stderr
    rewrite(other, older(12))
    between = runner("compare", "tiny", "reports/other").stderr
    assert f"warning: A and B were made with numpy {NEW} and {OLD}; to train either again with the" in between
    shutil.copy(report / "journal.jsonl", other)
    rewrite(other, older(4))
    mixed = runner("compare", "tiny", "reports/other", "--json")
    within = f"B mixes fits made with numpy {OLD} (4 fits) and {NEW} (8 fits). `runner run tiny.yaml"
    assert [warning[: len(within)] for warning in json.loads(mixed.stdout)["warnings"]][0] == within
    assert f"A and B were made with numpy {NEW} and {OLD}/{NEW}; " in mixed.stderr


def test_fits_that_were_trained_on_several_processors_are_a_mixture(report: Path, runner: Command) -> None:
    """As the nodes of a cluster record them. The driver's own processor, which trains nothing, is not compared."""

    def on_processor(number: int, fit: FitResult) -> FitResult:
        return replace(fit, versions={**fit.versions, "processor": "old" if number < 5 else "new"})

    rewrite(report, on_processor)
    done = runner("run", "tiny.yaml", *SERIAL)
    mixture = "processor new (7 fits) and old (5 fits), so differences between cells may come from the processors."
    assert done.returncode == 0 and f"these results were made with {mixture}" in done.stderr
    assert mixture in (report / "report.md").read_text()
    rewrite(report, on_processor, count=7)
    planned = runner("plan", "tiny.yaml", *SERIAL[2:]).stdout
    assert "\ntrained so far: on new (2 fits) and old (5 fits)\n" in planned
    rewrite(report, on_processor, count=4)
    assert "processor" not in runner("plan", "tiny.yaml", *SERIAL[2:]).stdout
