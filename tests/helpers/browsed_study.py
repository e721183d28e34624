"""A study of twelve cells with its journal and report, and MLflow's UI in a real browser to look at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reporting_samples import make_frames, make_plan, results, write_arrays

from runner.flow.publishing import publish
from runner.journal.journal import open_journal
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.reporting.pages.write import write_report

FACTORS = {
    "architecture.filters": ("3x3", "5x5", "7x7"),
    "architecture.downsample": ("max_pool", "strided_conv"),
    "optimizer": ("adam", "sgd"),
}
FINISHED = 1_700_000_000_000
"""When the fits finished, in milliseconds since 1970."""


def make_study(reports: Path, name: str = "filters") -> Plan:
    """Twelve cells of three fits, one of which failed, in `reports`, with a report that has figures."""
    plan, folder = make_plan(FACTORS, folds=3, name=name), reports / name
    failed = (plan.fits[plan.cells[-1].id][1],)
    folder.mkdir(parents=True)
    plan_file.save(plan, folder / "plan.yaml")
    with open_journal(folder) as journal:
        journal.append(
            *(replace(result, finished=result.finished or FINISHED) for result in results(plan, failed=failed))
        )
    write_arrays(plan, folder)
    write_report(plan, make_frames(plan, failed=failed), folder)
    return plan


def publish_study(reports: Path, name: str, uri: str | None = None) -> None:
    publish(reports / name, uri or f"sqlite:///{reports / 'mlflow.db'}")
