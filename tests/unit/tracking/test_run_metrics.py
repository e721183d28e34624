"""The metrics of fits and cells: the plan's comes first, as MLflow's pages show them in the order they were logged."""

from __future__ import annotations

import pytest
from reporting_samples import make_plan, results

from runner.tracking.metrics import cell_metrics, fit_metrics

PLAN = make_plan({"a": ("1", "2")}, folds=3)
FAILED = PLAN.fits[PLAN.cells[1].id][0]
RESULTS = results(PLAN, failed=(FAILED,))


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_metric_of_the_plan_comes_first(metric: str) -> None:
    for cell in PLAN.cells:
        found = cell_metrics(cell, [fit for fit in RESULTS if fit.cell == cell.id], first=metric)
        assert list(found)[:2] == [metric, f"{metric}_std"]
    for fit in RESULTS:
        found = fit_metrics(fit, first=metric)
        assert next(iter(found)) == (metric if fit.status == "ok" else "seconds")


def test_a_cell_says_how_many_of_its_planned_fits_succeeded() -> None:
    counts = []
    for cell in PLAN.cells:
        found = cell_metrics(cell, [fit for fit in RESULTS if fit.cell == cell.id])
        counts.append([found[name] for name in ("fits_ok", "fits_planned", "fits_failed")])
    assert counts == [[3, 3, 0], [2, 3, 1]]


def test_a_cell_without_a_successful_fit_has_no_metric_but_its_counts_and_cost() -> None:
    cell = PLAN.cells[1]
    found = cell_metrics(cell, [fit for fit in RESULTS if fit.id == FAILED])
    assert next(iter(found)) == "fits_ok" and "val_accuracy" not in found
