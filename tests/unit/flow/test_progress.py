"""What progress shows: counts of the whole study, the best cell, the time left, and as much as there is room for."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_study import ACCURACY, make_plan

from runner.fits.metrics import CURVES
from runner.fits.records import FitResult, TrainingPlan
from runner.flow.progress import Lines, Live, Progress

PLAN = replace(make_plan(list(ACCURACY), repeats=2), most=8)
ALONE = TrainingPlan(1, 100, "numpy", "cpu", "float32")
REASON = "repeat 3 of at most 8: 2 of 6 pairs are still open"


def fits(repeats: range) -> list[Any]:
    cells = [cell.id for cell in PLAN.cells]
    return [
        SimpleNamespace(id=f"{cell}-{3 * repeat + fold}", cell=cell, repeat=repeat, fold=fold, cost=1.0, training=ALONE)
        for cell in cells
        for repeat in repeats
        for fold in range(3)
    ]


def result(fit: Any, accuracy: float = 0.5, seconds: float = 1.0) -> FitResult:
    curves = {name: [accuracy] for name in CURVES}
    return FitResult(fit.id, fit.cell, fit.repeat, fit.fold, "ok", "", 1, curves, seconds=seconds)


def failed(fit: Any) -> FitResult:
    return FitResult(fit.id, fit.cell, fit.repeat, fit.fold, "failed", "diverged")


def two_rounds(progress: Lines) -> None:
    with progress:
        progress.begin(PLAN, [], fits(range(2)), 2)
        for fit in fits(range(2)):
            progress.finished(result(fit, 0.9 if fit.cell == PLAN.cells[1].id else 0.5))
        todo = fits(range(2, 3))
        progress.begin_repeat(replace(PLAN, repeats=3), 24, todo, REASON)
        for fit in todo[:3]:
            progress.finished(result(fit))


def test_lines_of_a_further_repeat_count_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Lines()
    two_rounds(progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "study: 24 fits to train" and lines[24].startswith("[24/24] ")
    assert lines[25:27] == [REASON, "study: 12 fits to train, 24 are in the journal already"]
    assert [line.split()[0] for line in lines[27:]] == ["[25/36]", "[26/36]", "[27/36]"]
    assert "best so far 0.9000" in progress.best(), "the results of earlier repeats still count"
    assert lines[24].endswith("in 1.0 s"), "nothing is left"


def test_the_bar_has_the_total_of_the_study() -> None:
    progress = Live()
    progress.console.file = io.StringIO()
    two_rounds(progress)
    (bar,) = progress.bar.tasks
    assert (bar.completed, bar.total) == (27, 36) and progress.description().startswith("27/36 · ")


@pytest.mark.parametrize("again", [0, 2])
def test_a_resumed_run_counts_what_was_done(capsys: pytest.CaptureFixture[str], again: int) -> None:
    """Also the failed fits, unless they are trained again: then they count when they have ended."""
    progress, everything = Lines(), fits(range(2))
    known = [*map(result, everything[:8]), *map(failed, everything[8:10])]
    todo = everything[8:10] if again else everything[10:]
    progress.begin(PLAN, known, todo, 2)
    progress.finished(result(todo[0]))
    start, line = capsys.readouterr().err.splitlines()
    assert start == f"study: {len(todo)} fits to train, {10 - again} are in the journal already"
    assert line.startswith(f"[{11 - again}/24] ") and progress.failed == 2 - again


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_so_far_is_of_whole_cells_and_never_gets_worse(metric: str) -> None:
    plan, random = make_plan(list(ACCURACY), metric=metric), np.random.default_rng(0)
    for _ in range(20):
        todo, shown, progress = fits(range(1)), list[float](), Progress()
        progress.begin(plan, [], todo, 2)
        ended: dict[str, list[float]] = {}
        for index in random.permutation(len(todo)):
            fit, accuracy = todo[index], float(random.random())
            ended.setdefault(fit.cell, []).append(accuracy)
            progress.finished(result(fit, accuracy))
            means = [sum(values) / 3 for values in ended.values() if len(values) == 3]
            best = (max if metric == "val_accuracy" else min)(means) if means else None
            assert progress.best().startswith(f"best so far {best:.4f} (" if means else "") and (means or not shown)
            shown += [] if best is None else [best]
        assert shown == sorted(shown, reverse=metric == "val_loss")


def test_a_cell_whose_fits_failed_may_be_the_best_by_the_others() -> None:
    progress, todo = Progress(), fits(range(1))
    progress.begin(make_plan(list(ACCURACY)), [], todo, 1)
    for end in (failed(todo[0]), result(todo[1], 0.7), result(todo[2], 0.8)):
        assert not progress.best()
        progress.finished(end)
    assert progress.best() == "best so far 0.7500 (max, 1)"


def test_the_time_left_rests_on_the_seconds_of_fits_and_the_workers_that_can_be_busy() -> None:
    """Not on the time since the beginning, in which the workers also start."""
    progress, todo = Progress(), fits(range(1))
    progress.begin(make_plan(list(ACCURACY)), [], todo, 2)
    assert progress.left() == "?"
    progress.finished(result(todo[0], seconds=10))
    assert progress.left() == "55 s", "11 fits of 10 s on 2 workers"
    progress.finished(failed(todo[1]))
    for fit in todo[2:11]:
        progress.finished(result(fit, seconds=10))
    assert progress.left() == "10 s", "the last fit has one worker"
    together = TrainingPlan(1, 100, "numpy", "cpu", "float32", stacking=3)
    groups = [SimpleNamespace(**vars(fit) | {"training": together, "cost": 0.0}) for fit in todo]
    progress.begin(make_plan(list(ACCURACY)), [], groups, 8)
    for fit in groups[:6]:
        progress.finished(result(fit, seconds=10))
    assert progress.left() == "30 s", "two groups of three fits of 10 s each, on a worker each"


@pytest.mark.parametrize("width", range(30, 130, 10))
def test_the_line_beside_the_bar_has_whole_parts_that_fit(width: int) -> None:
    progress, todo = Live(), fits(range(2))
    progress.console.file, progress.console.width = io.StringIO(), width
    progress.begin(PLAN, [], todo, 2)
    for fit in todo[:9]:
        progress.finished(result(fit, seconds=100) if fit.fold else failed(fit))
    whole = ["9/24", "3 failed", "2 running", "12 min 30 s left", "best so far 0.5000 (max, 1)", "best so far 0.5000"]
    parts = progress.description().split(" · ")
    assert set(parts) <= set(whole) and parts[0] == "9/24"
    assert len(progress.description()) + 1 + Live.LEAST <= width
    assert width < 90 or whole[4] in parts
    assert width < 50 or whole[3] in parts
