"""`runner publish`: send MLflow what it lacks. Trains nothing."""

from __future__ import annotations

import argparse

from runner.commands.arguments import add_report, add_reports, add_tracking, report_folder
from runner.text import plural

EXAMPLES = ("runner publish study", "runner publish study --tracking-uri http://localhost:5000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_report(parser)
    add_reports(parser)
    add_tracking(parser)


def run(given: argparse.Namespace) -> int:
    from runner.flow.publishing import publish

    folder = report_folder(given.reports, given.experiment)
    fits, planned = publish(folder, given.tracking_uri)
    partial = "" if fits == planned else f" of {planned}; the rest is not trained yet"
    print(f"MLflow has {plural(fits, 'fit')}{partial}{'' if (folder / 'report.html').is_file() else ', and no report'}")
    return 0
