"""`runner publish`: send MLflow what it lacks. Trains nothing."""

from __future__ import annotations

import argparse

from runner.commands.arguments import add_plugin, add_report, add_reports, add_tracking, report_folder, some_text
from runner.commands.output import print_line, print_remark
from runner.commands.saved import plugins_of_study
from runner.errors import RunnerError
from runner.text import plural

EXAMPLES = (
    "runner publish study",
    "runner publish study --restore",
    "runner publish study --tracking-uri http://localhost:5000",
    "runner publish study --register digits",
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
    text = "give the saved network of the best cell a version of this name in MLflow's registry"
    parser.add_argument("--register", type=some_text, metavar="NAME", help=text)
    text = "register the network of the best cell, or of each cell (%(default)s)"
    parser.add_argument("--of", choices=["best", "each"], default="best", help=text)
    add_plugin(parser)


def run(given: argparse.Namespace) -> int:
    from runner.flow.publishing import publish

    if given.of == "each" and not given.register:
        raise RunnerError("--of each needs --register NAME")
    folder = report_folder(given.reports, given.experiment)
    plugins, each = plugins_of_study(given, folder), given.of == "each"
    done = publish(folder, given.tracking_uri, plugins, given.register, each, given.restore, given.name or "")
    for note in done.notes:
        print_remark(note)
    partial = "" if done.fits == done.planned else f" of {done.planned:,}"
    untrained = "; the rest is not trained yet" if done.fits == done.finished < done.planned else ""
    report = "" if (folder / "report.html").is_file() else ", and no report"
    print(f"MLflow has {plural(done.fits, 'fit')}{partial}{untrained}{report}")
    for line in done.networks:
        print_line(line)
    return 0
