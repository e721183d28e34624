"""`runner publish`: send MLflow what it lacks. Trains nothing."""

from __future__ import annotations

import argparse

from runner.commands.arguments import add_report, add_reports, add_tracking, report_folder, some_text
from runner.commands.output import print_remark
from runner.text import plural

EXAMPLES = (
    "runner publish study",
    "runner publish study --restore",
    "runner publish study --tracking-uri http://localhost:5000",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_report(parser)
    add_reports(parser)
    add_tracking(parser)
    parser.add_argument(
        "--restore", action="store_true", help="bring back what was deleted in MLflow: the experiment, cells, fits"
    )
    parser.add_argument(
        "--as", dest="name", type=some_text, metavar="NAME",
        help="the name of the experiment in MLflow, from now on, in place of the study's",
    )  # fmt: skip


def run(given: argparse.Namespace) -> int:
    from runner.flow.publishing import publish

    folder = report_folder(given.reports, given.experiment)
    done = publish(folder, given.tracking_uri, given.restore, given.name or "")
    for note in done.notes:
        print_remark(note)
    partial = "" if done.fits == done.planned else f" of {done.planned:,}"
    untrained = "; the rest is not trained yet" if done.fits == done.finished < done.planned else ""
    report = "" if (folder / "report.html").is_file() else ", and no report"
    print(f"MLflow has {plural(done.fits, 'fit')}{partial}{untrained}{report}")
    return 0
