"""`runner power`: how small a difference an experiment finds, and what more images, folds or repeats would buy."""

from __future__ import annotations

import argparse
import json

from runner.commands.arguments import add_experiment, add_json, add_reports, positive, report_folder, some_text
from runner.commands.output import print_line, print_table
from runner.commands.studies import check_experiment_file
from runner.text import printable

EXAMPLES = ("runner power study.yaml", "runner power study.yaml --like pilot --set cross_validation.repeats=3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    text = "take the variances from the journal of another study: its file, name or folder"
    parser.add_argument("--like", type=some_text, metavar="STUDY", help=text)
    add_reports(parser)
    parser.add_argument("--workers", type=positive, metavar="N", help="worker processes, for the time")
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.experiment.load import load
    from runner.flow.power import power
    from runner.planning.estimate import default_workers
    from runner.planning.make_plan import runnable_plan
    from runner.shown import Table

    check_experiment_file(given.file, given.reports)
    like = report_folder(given.reports, given.like) if given.like else None
    plan = runnable_plan(load(given.file, given.set))
    found = power(plan, given.reports / plan.name, like, given.workers or default_workers())
    if given.json:
        print(json.dumps(found.document()))
        return 0
    for part in found.shown():
        if isinstance(part, Table):
            print_table(part.columns, part.rows)
        else:
            print_line(printable(part))
    return 0
