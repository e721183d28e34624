"""`runner report`: the report again, from the journal."""

from __future__ import annotations

import argparse
from pathlib import Path

from runner.commands.arguments import add_report, add_reports, report_folder, some_text
from runner.commands.output import print_remark
from runner.errors import RunnerError
from runner.text import did_you_mean

EXAMPLES = (
    "runner report study",
    "runner report study.yaml --format html,csv,tex",
    "runner report study --from http://localhost:5000",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_report(parser)
    parser.add_argument("--format", default="html,md,csv", metavar="LIST", help="of html, md, csv, tex, png")
    add_reports(parser)
    text = "fetch the study from this MLflow store first, into the folder of the reports"
    parser.add_argument("--from", dest="store", type=some_text, metavar="URI", help=text)
    text = "with --from: the beginning of a plan's id, if the experiment there has several plans"
    parser.add_argument("--plan", type=some_text, metavar="ID", help=text)


def run(given: argparse.Namespace) -> int:
    from runner.planning import plan_file
    from runner.reporting.pages.formats import FORMATS

    formats = given.format.split(",")
    for name in formats:
        if name not in FORMATS:
            raise RunnerError(f"--format: unknown '{name}'{did_you_mean(name, FORMATS)}")
    folder = _folder(given)
    plan = plan_file.read(folder / "plan.yaml")
    # Only now: pandas, SciPy and matplotlib take a second, and there may be no such report.
    from runner.reporting.journal_frames import read_frames
    from runner.reporting.pages.write import write_report
    from runner.reporting.text.warnings import warnings

    # Always, whatever the build stamp says: this is how a user asks for the report again.
    tables = write_report(plan, read_frames(plan, folder), folder, formats)
    print(folder / "report.html" if "html" in formats else folder)
    for warning in warnings(plan, tables):
        print_remark(f"warning: {warning}")
    return 0


def _folder(given: argparse.Namespace) -> Path:
    """The study's folder, where it is once it is fetched."""
    if given.store is None:
        if given.plan is not None:
            raise RunnerError("--plan needs --from URI")
        return report_folder(given.reports, given.experiment)
    from runner.flow.fetched_study import fetch

    return fetch(given.store, given.experiment, given.reports, given.plan)
