"""Reports that compare a metric of a plugin: its direction, its unit and its range come from the plan's record."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from reporting_samples import make_plan, results, write_arrays
from test_sentences import row

from runner.components.records import ComponentRef
from runner.fits.metrics import Metric
from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.journal.line import decode, encode
from runner.planning.plan import Plan
from runner.reporting.pages.write import write_report
from runner.reporting.tables.study_tables import Tables, make_tables
from runner.reporting.text import best, numbers, text_tables, warnings
from runner.reporting.text.sentences import sentence
from runner.reporting.text.verdict import verdict
from runner.tracking.metrics import cell_metrics, fit_metrics
from runner.tracking.mlflow_values import fit_key, metric_points
from runner.tracking.names import safe
from runner.tracking.parameters import Parameters

pytestmark = pytest.mark.figures

KAPPA = Metric("kappa", "kappa", True, "", -1.0, 1.0, component=ComponentRef("kappa"), key="kappa 0123abcd")
ERROR = Metric("error(k=2)", "top-2 error", False, "%", component=ComponentRef("error", {"k": 2}))
TWO = {"pool": ("max", "avg"), "depth": ("1", "2")}


def study(metric: str, columns: tuple[str, ...] = ()) -> tuple[Plan, list[FitResult]]:
    """Fits that are measured by both: the first cell has the lowest values, the last one the highest."""
    plan = dataclasses.replace(make_plan(TWO, metric=metric), measures=(KAPPA, ERROR), columns=columns)
    number = {cell.id: n for n, cell in enumerate(plan.cells)}
    measured = []
    for fit in results(plan, 3):
        value = 0.1 * number[fit.cell] + 0.01 * fit.fold * (1 + number[fit.cell])
        measures = {KAPPA.journal_key: value - 0.2, ERROR.journal_key: value}
        measured.append(dataclasses.replace(fit, measures=measures))
    return plan, measured


def tables_of(plan: Plan, fits: list[FitResult]) -> Tables:
    return make_tables(plan, frames(fits))


@pytest.mark.parametrize("metric", [KAPPA, ERROR])
def test_the_direction_is_that_of_the_record(metric: Metric) -> None:
    plan, fits = study(metric.name)
    tables = tables_of(plan, fits)
    names = [cell.name for cell in plan.cells]
    board = text_tables.leaderboard(plan, tables)
    shown = [entries[0].text for entries in board.rows]
    assert shown == (names[::-1] if metric.higher_is_better else names)
    extreme = "highest" if metric is KAPPA else "lowest"
    assert best.sentence(plan, tables.cells).startswith(f"{shown[0]} has the {extreme} mean {metric.quantity}, ")
    first, last = tables.cells.iloc[0], tables.cells.iloc[-1]
    assert first["mean"] < last["mean"] and (tables.comparisons["method"] == "corrected_t").all()
    depth = tables.comparisons[tables.comparisons["factor"] == "depth"].iloc[0]
    assert depth["difference"] < 0
    assert (depth["p_better"] > depth["p_worse"]) == (metric is ERROR)


def test_units_and_digits() -> None:
    better = row(0.0042, 0.0010, 0.0074)
    assert sentence(KAPPA, 0.001, better).startswith(
        "strided_conv outperforms max_pool by 0.0042 in kappa (95% interval 0.0010 to 0.0074;"
    )
    assert sentence(ERROR, 0.001, better).startswith("max_pool outperforms strided_conv by 0.42 points of top-2 error")
    assert numbers.interval(KAPPA, -1.0, 1.0) == "−1.0000 to 1.0000: nothing known"
    assert numbers.interval(KAPPA, -2.0, 2.0).endswith("nothing known")
    plan, fits = study("kappa", ("error(k=2)", "val_loss"))
    board = text_tables.leaderboard(plan, tables_of(plan, fits))
    titles = [column.title for column in board.columns]
    assert titles[1] == "kappa" and titles[5:7] == ["error(k=2) %", "val_loss nats"]
    (worst,) = (entries for entries in board.rows if entries[0].text == plan.cells[0].name)
    assert worst[1].text == "−0.1800" and worst[5].text == "2.00"
    assert "the means over fits of error(k=2) and val_loss" in board.note


def test_intervals_end_where_the_metric_does() -> None:
    plan, fits = study("error(k=2)")
    cells = tables_of(plan, fits).cells
    assert cells["ci_low"].min() == 0 and (cells["ci_high"] <= 1).all()
    plan, fits = study("kappa")
    assert tables_of(plan, fits).cells["ci_low"].min() < -0.2


def test_fits_that_were_not_measured_have_no_value() -> None:
    plan, fits = study("kappa")
    some = [dataclasses.replace(fit, measures={}) if fit.cell == plan.cells[0].id else fit for fit in fits]
    tables = tables_of(plan, some)
    assert math.isnan(tables.cells["mean"][0]) and tables.cells["mean"][1:].notna().all()
    assert tables_of(plan, [dataclasses.replace(fit, measures={}) for fit in fits]).fits["kappa"].isna().all()


def test_the_whole_page_is_written_and_its_warnings_are_of_the_accuracy(tmp_path: Path) -> None:
    plan, fits = study("kappa", ("error(k=2)",))
    write_arrays(plan, tmp_path / "fits")
    tables = write_report(plan, frames(fits), tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "Mean kappa of each level" in page
    assert "difference in kappa" in (tmp_path / "figures" / "differences.svg").read_text()
    assert "Kappa of each cell against its cost" in page and "Solid: mean validation accuracy" in page
    assert "in kappa, averaged over the other factors" in page and "kappa is not the share of images" in page
    assert verdict(plan, tables)["answers"] and not any("kappa" in line for line in warnings.warnings(plan, tables))


def test_a_line_of_the_journal_has_them_only_if_there_are_any() -> None:
    plan, fits = study("kappa")
    assert decode(encode(fits[0])) == fits[0] and fits[0].final(KAPPA.journal_key) == pytest.approx(-0.2)
    plain = dataclasses.replace(fits[0], measures={})
    assert b"measures" not in encode(plain) and math.isnan(plain.final(KAPPA.journal_key))
    unknown = dataclasses.replace(fits[0], measures={"kappa": math.nan})
    again = decode(encode(unknown))
    assert isinstance(again, FitResult) and math.isnan(again.measures["kappa"])
    for wrong in ({"kappa": "high"}, {str(n): 0.5 for n in range(101)}, [0.5]):
        line = encode(dataclasses.replace(plain, measures=wrong))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="measures is .*; expected a mapping of at most 100 numbers"):
            decode(line)


def test_a_metric_of_the_journal_cannot_replace_another_column() -> None:
    plan, fits = study("kappa")
    odd = [dataclasses.replace(fit, measures=fit.measures | {"status": 1.0, "val_loss": -5.0}) for fit in fits]
    found = frames(odd).fits
    assert set(found["status"]) == {"ok"} and (found["val_loss"] >= 0).all()


def test_mlflow_gets_them_for_fits_and_cells() -> None:
    plan, fits = study("kappa")
    own = [fit for fit in fits if fit.cell == plan.cells[1].id]
    values = fit_metrics(own[0], plan.measures)
    assert values["kappa"] == pytest.approx(-0.1) and values["error(k=2)"] == pytest.approx(0.1)
    unknown = dataclasses.replace(own[0], measures={KAPPA.journal_key: math.nan})
    assert not {"kappa", "error(k=2)"} & fit_metrics(unknown, plan.measures).keys()
    of_cell = cell_metrics(plan.cells[1], [unknown, *own[1:]], plan.measures)
    known = [fit.measures[KAPPA.journal_key] for fit in own[1:]]
    assert of_cell["kappa"] == pytest.approx(np.mean(known))
    assert of_cell["kappa_std"] == pytest.approx(np.std(known, ddof=1))
    # A name that MLflow takes.
    assert safe("error(k=2)") in {point.key for point in metric_points(values, 0)}
    assert fit_key(own[0])[1] != fit_key(unknown)[1]


def test_mlflow_gets_the_loss_of_every_cell_if_one_has_its_own() -> None:
    plan, _ = study("kappa")
    assert "loss" not in Parameters(plan).of_cell(plan.cells[0])
    focal = dataclasses.replace(plan.cells[1].settings, loss=ComponentRef("focal", {"gamma": 2.0}))
    cells = (plan.cells[0], dataclasses.replace(plan.cells[1], settings=focal), *plan.cells[2:])
    plan = dataclasses.replace(plan, cells=cells)
    parameters = Parameters(plan)
    assert parameters.of_cell(cells[0])["loss"] == "cross_entropy"
    assert {"loss": "focal", "loss.gamma": "2.0"}.items() <= parameters.of_cell(cells[1]).items()
