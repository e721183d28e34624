"""What progress shows when a study goes on to another repeat."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from small_study import ACCURACY, make_plan

from runner.fits.metrics import CURVES
from runner.fits.records import FitResult
from runner.flow.progress import Lines, Live

PLAN = replace(make_plan(list(ACCURACY), repeats=2), most=8)
REASON = "repeat 3 of at most 8: 2 of 6 pairs are still open"


def fits(repeats: range) -> list[Any]:
    cells = [cell.id for cell in PLAN.cells]
    return [
        SimpleNamespace(id=f"{cell}-{3 * repeat + fold}", cell=cell, repeat=repeat, fold=fold, cost=1.0)
        for cell in cells
        for repeat in repeats
        for fold in range(3)
    ]


def result(fit: Any, accuracy: float = 0.5) -> FitResult:
    curves = {name: [accuracy] for name in CURVES}
    return FitResult(fit.id, fit.cell, fit.repeat, fit.fold, "ok", "", 1, curves, seconds=1.0)


def two_rounds(progress: Lines) -> None:
    with progress:
        progress.begin(PLAN, [], fits(range(2)), 2)
        for fit in fits(range(2)):
            progress.finished(result(fit, 0.9 if fit.cell == PLAN.cells[1].id else 0.5))
        todo = fits(range(2, 3))
        progress.begin_repeat(replace(PLAN, repeats=3), 24, todo, REASON)
        for fit in todo[:3]:
            progress.finished(result(fit))


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Lines()
    two_rounds(progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "study: 24 fits to train" and lines[24].startswith("[24/24] ")
    assert lines[25:27] == [REASON, "study: 12 fits to train, 24 are in the journal already"]
    assert [line.split()[0] for line in lines[27:]] == ["[1/12]", "[2/12]", "[3/12]"]
    assert "best so far 0.9000" in progress.best(), "the results of earlier repeats still count"


def test_the_bar_has_the_total_of_the_repeat() -> None:
    progress = Live()
    progress.console.file = io.StringIO()
    two_rounds(progress)
    (bar,) = progress.bar.tasks
    assert (bar.completed, bar.total) == (3, 12) and bar.description.startswith("3/12 · ")
